package operators

import (
	"math"
	"slices"

	"github.com/pkg/errors"
	G "gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/convgrad/convgrad/ops"
)

// windows are the operators that slide windows over images, and those that pad and resize them.
var windows = map[string]operator{
	"Conv": func(c *call) ([]Value, error) {
		x, w, b, err := c.filter()
		if err != nil {
			return nil, err
		}
		p, err := c.convolution(x, w)
		if err != nil {
			return nil, err
		}
		if x.Dims() == 3 {
			return one(ops.Conv1D(x, w, b, p))
		}
		return one(ops.Conv2D(x, w, b, p))
	},
	"ConvTranspose": convTranspose,
	"MaxPool": func(c *call) ([]Value, error) {
		if c.integer("storage_order", 0) != 0 {
			return nil, errors.New("the attribute storage_order is not 0: columns first are not supported")
		}
		return c.pool(ops.MaxPool1D, ops.MaxPool2D, func(p *ops.PoolParams) {})
	},
	"AveragePool": func(c *call) ([]Value, error) {
		include := c.flag("count_include_pad", false)
		return c.pool(ops.AvgPool1D, ops.AvgPool2D, func(p *ops.PoolParams) { p.ExcludePadding = !include })
	},
	"LpPool": func(c *call) ([]Value, error) {
		norm := c.integer("p", 2)
		return c.pool(ops.LpPool1D, ops.LpPool2D, func(p *ops.PoolParams) { p.Norm = float64(norm) })
	},
	"GlobalAveragePool": global(ops.GlobalAvgPool, ops.Mean),
	"GlobalMaxPool":     global(ops.GlobalMaxPool, ops.Max),
	"Pad":               pad,
	"Resize":            resize,
	"Upsample":          resize,
}

// filter are the operands x, w and b of a convolution of one or two axes.
func (c *call) filter() (x, w, b *G.Node, err error) {
	if err = c.operands(2, 3); err != nil {
		return nil, nil, nil, err
	}
	if x, err = c.x(0); err != nil {
		return nil, nil, nil, err
	}
	if w, err = c.x(1); err != nil {
		return nil, nil, nil, err
	}
	if b, err = c.optional(2); err != nil {
		return nil, nil, nil, err
	}
	if x.Dims() != w.Dims() || x.Dims() < 3 || x.Dims() > 4 {
		return nil, nil, nil, errors.Errorf("x is %v and w %v, want N×C×W or N×C×H×W, and filters alike", x.Shape(), w.Shape())
	}
	if k := c.integers("kernel_shape"); k != nil && !slices.Equal(k, w.Shape()[2:]) {
		return nil, nil, nil, errors.Errorf("kernel_shape is %v, and w is %v", k, w.Shape())
	}
	return x, w, b, nil
}

// pair is a list of a number for each axis as a Size; nil is the fallback for all.
func (c *call) pair(name string, axes, fallback int) (ops.Size, error) {
	list := c.integers(name)
	if list == nil {
		list = []int{fallback, fallback}[:axes]
	}
	if len(list) != axes {
		return ops.Size{}, errors.Errorf("the attribute %s is %v, want %d numbers", name, list, axes)
	}
	for _, v := range list {
		if v < 1 {
			return ops.Size{}, errors.Errorf("the attribute %s is %v, want positive numbers", name, list)
		}
	}
	if axes == 1 {
		return ops.Size{W: list[0]}, nil
	}
	return ops.Size{H: list[0], W: list[1]}, nil
}

// padding is what pads or auto_pad say.
func (c *call) padding(axes int) (ops.Padding, error) {
	list := c.integers("pads")
	switch how := c.text("auto_pad", "NOTSET"); how {
	case "SAME_UPPER":
		return ops.SameUpper(), nil
	case "SAME_LOWER":
		return ops.SameLower(), nil
	case "VALID":
		return ops.Padding{}, nil
	case "NOTSET":
	default:
		return ops.Padding{}, errors.Errorf("the attribute auto_pad is %.100q", how)
	}
	if list == nil {
		return ops.Padding{}, nil
	}
	if len(list) != 2*axes {
		return ops.Padding{}, errors.Errorf("the attribute pads is %v, want %d numbers", list, 2*axes)
	}
	if axes == 1 {
		return ops.Padding{Left: list[0], Right: list[1]}, nil
	}
	return ops.BeginEnd(ops.Size{H: list[0], W: list[1]}, ops.Size{H: list[2], W: list[3]}), nil
}

// spacing reads strides and dilations.
func (c *call) spacing(axes int) (stride, dilation ops.Size, err error) {
	if stride, err = c.pair("strides", axes, 1); err != nil {
		return stride, dilation, err
	}
	dilation, err = c.pair("dilations", axes, 1)
	return stride, dilation, err
}

func (c *call) convolution(x, w *G.Node) (p ops.ConvParams, err error) {
	axes := x.Dims() - 2
	if p.Stride, p.Dilation, err = c.spacing(axes); err != nil {
		return p, err
	}
	if p.Pad, err = c.padding(axes); err != nil {
		return p, err
	}
	// SameUpper would pad the height, too.
	if axes == 1 && (p.Pad == ops.SameUpper() || p.Pad == ops.SameLower()) {
		p.Pad.Left, p.Pad.Right = same(p.Pad == ops.SameUpper(), x.Shape()[2], w.Shape()[2], p.Stride.W, p.Dilation.W)
		p.Pad = ops.Padding{Left: p.Pad.Left, Right: p.Pad.Right}
	}
	p.Groups = int(min(max(c.integer("group", 1), -far), far))
	if p.Groups < 1 {
		return p, errors.Errorf("the attribute group is %d, want 1 or more", p.Groups)
	}
	return p, nil
}

// same is the padding of an axis under SAME_UPPER or SAME_LOWER.
func same(upper bool, n, window, stride, dilation int) (before, after int) {
	if n > far || window > far/max(dilation, 1) || stride < 1 {
		return 0, 0
	}
	total := max(0, (n-1)/stride*stride+(window-1)*dilation+1-n)
	if upper {
		return total / 2, total - total/2
	}
	return total - total/2, total / 2
}

func convTranspose(c *call) ([]Value, error) {
	x, w, b, err := c.filter()
	if err != nil {
		return nil, err
	}
	axes := x.Dims() - 2
	p, err := c.convolution(x, w)
	if err != nil {
		return nil, err
	}
	if extra := c.integers("output_padding"); extra != nil {
		if len(extra) != axes || slices.Min(extra) < 0 {
			return nil, errors.Errorf("the attribute output_padding is %v, want %d numbers", extra, axes)
		}
		p.OutputPad = ops.Size{W: extra[axes-1]}
		if axes == 2 {
			p.OutputPad.H = extra[0]
		}
	}
	how := c.text("auto_pad", "NOTSET")
	if to := c.integers("output_shape"); to != nil {
		if len(to) != axes {
			return nil, errors.Errorf("the attribute output_shape is %v, want %d numbers", to, axes)
		}
		var begin, end [2]int
		s, k := x.Shape()[2:], w.Shape()[2:]
		stride, dilation, extra := []int{p.Stride.H, p.Stride.W}[2-axes:], []int{p.Dilation.H, p.Dilation.W}[2-axes:], []int{p.OutputPad.H, p.OutputPad.W}[2-axes:]
		for i := range axes {
			if stride[i] > far/s[i] || dilation[i] > far/k[i] {
				return nil, errors.Errorf("the strides are %v and the dilations %v, beyond any image", stride, dilation)
			}
			total := stride[i]*(s[i]-1) + extra[i] + (k[i]-1)*dilation[i] + 1 - to[i]
			if total < 0 {
				return nil, errors.Errorf("the attribute output_shape is %v, larger than what the windows reach", to)
			}
			begin[i], end[i] = total-total/2, total/2
			if how == "SAME_UPPER" {
				begin[i], end[i] = end[i], begin[i]
			}
		}
		p.Pad = ops.BeginEnd(ops.Size{H: begin[0], W: begin[1]}, ops.Size{H: end[0], W: end[1]})
		if axes == 1 {
			p.Pad = ops.Padding{Left: begin[0], Right: end[0]}
		}
	}
	if axes == 1 {
		return one(ops.ConvTranspose1D(x, w, b, p))
	}
	return one(ops.ConvTranspose2D(x, w, b, p))
}

type pooling = func(x *G.Node, p ops.PoolParams) (*G.Node, error)

func (c *call) pool(line, image pooling, set func(p *ops.PoolParams)) ([]Value, error) {
	if err := c.operands(1, 1); err != nil {
		return nil, err
	}
	x, err := c.x(0)
	if err != nil {
		return nil, err
	}
	axes := x.Dims() - 2
	if axes < 1 || axes > 2 {
		return nil, errors.Errorf("x is %v, want N×C×W or N×C×H×W", x.Shape())
	}
	var p ops.PoolParams
	set(&p)
	if p.Window, err = c.pair("kernel_shape", axes, 0); err != nil {
		return nil, err
	}
	if p.Stride, p.Dilation, err = c.spacing(axes); err != nil {
		return nil, err
	}
	if p.Pad, err = c.padding(axes); err != nil {
		return nil, err
	}
	p.Ceil = c.flag("ceil_mode", false)
	if axes == 1 {
		if p.Pad == ops.SameUpper() || p.Pad == ops.SameLower() {
			before, after := same(p.Pad == ops.SameUpper(), x.Shape()[2], p.Window.W, p.Stride.W, p.Dilation.W)
			p.Pad = ops.Padding{Left: before, Right: after}
		}
		return one(line(x, p))
	}
	return one(image(x, p))
}

// global is a pooling of whole images.
func global(image func(x *G.Node) (*G.Node, error), other func(x *G.Node, axes ...int) (*G.Node, error)) operator {
	return unary(func(x *G.Node) (*G.Node, error) {
		s := x.Shape()
		switch {
		case len(s) == 4:
			return image(x)
		case len(s) < 3:
			return nil, errors.Errorf("x is %v, want N×C×…", s)
		}
		var axes []int
		to := slices.Clone(s)
		for i := 2; i < len(s); i++ {
			axes, to[i] = append(axes, i), 1
		}
		var t ops.Try
		y := t.Do(ops.Reshape(t.Do(other(x, axes...)), to...))
		return y, t.Err()
	})
}

func pad(c *call) ([]Value, error) {
	if err := c.operands(1, 4); err != nil {
		return nil, err
	}
	x, err := c.x(0)
	if err != nil {
		return nil, err
	}
	pads, axes := c.list("pads", 1), c.list("axes", 3)
	value := 0.0
	if c.env.Opset < 11 {
		value = c.float("value", 0)
	}
	if c.has(2) {
		k, err := c.constant(2, "the value")
		if err != nil {
			return nil, err
		}
		if value, err = k.number(); err != nil {
			return nil, errors.Wrap(err, "the value")
		}
	}
	how := c.text("mode", "constant")
	mode, ok := map[string]ops.PadMode{"constant": ops.PadZeros, "reflect": ops.PadReflect, "edge": ops.PadReplicate}[how]
	if !ok {
		return nil, errors.Errorf("the mode is %.100q, want constant, reflect or edge", how)
	}
	if axes == nil {
		for i := range x.Dims() {
			axes = append(axes, i)
		}
	}
	if axes, err = c.axes(axes, x.Dims()); err != nil || c.err != nil {
		return nil, err
	}
	if len(pads) != 2*len(axes) {
		return nil, errors.Errorf("the pads are %v, want %d numbers", pads, 2*len(axes))
	}
	for i, axis := range axes {
		before, after := pads[i], pads[len(axes)+i]
		if before == 0 && after == 0 {
			continue
		}
		if x, err = c.padAxis(x, axis, before, after, mode, value); err != nil {
			return nil, err
		}
	}
	return one(x, nil)
}

// padAxis pads one axis: that of an image whose rows are what lies below the axis.
func (c *call) padAxis(x *G.Node, axis, before, after int, mode ops.PadMode, value float64) (*G.Node, error) {
	s := x.Shape()
	to := slices.Clone(s)
	to[axis] += before + after
	var t ops.Try
	y := t.Do(ops.Reshape(x, 1, volume(s[:axis]), s[axis], volume(s[axis+1:])))
	y = t.Do(ops.Pad(y, ops.Padding{Top: before, Bottom: after}, mode))
	if t.Err() == nil && value != 0 && mode == ops.PadZeros {
		if to[axis] > maxConstant {
			return nil, errors.Errorf("it pads to %v with %v: only zeros are supported around so much", to, value)
		}
		around := &Constant{Dims: tensor.Shape{to[axis], 1}, Floats: make([]float64, to[axis])}
		for i := range around.Floats {
			if i < before || i >= to[axis]-after {
				around.Floats[i] = value
			}
		}
		leaf, err := c.env.leaf(around)
		if err != nil {
			return nil, err
		}
		y = t.Do(ops.Add(y, leaf))
	}
	y = t.Do(ops.Reshape(y, to...))
	return y, t.Err()
}

// resize is Resize, and Upsample of old opsets.
func resize(c *call) ([]Value, error) {
	x, err := c.x(0)
	if err != nil {
		return nil, err
	}
	s := x.Shape()
	r, err := c.resizing(s)
	if err != nil || c.err != nil {
		return nil, err
	}
	if len(s) != 4 || r.to[0] != s[0] || r.to[1] != s[1] {
		return nil, errors.Errorf("it resizes %v to %v, want images N×C×H×W, whose height and width alone change", s, r.to)
	}
	for mode, place := range []func(p, in, out int) float64{
		ops.Nearest:         func(p, in, out int) float64 { return math.Floor(float64(p) * float64(in) / float64(out)) },
		ops.Bilinear:        func(p, in, out int) float64 { return (float64(p)+0.5)*float64(in)/float64(out) - 0.5 },
		ops.BilinearAligned: func(p, in, out int) float64 { return float64(p) * float64(in-1) / float64(max(out-1, 1)) },
	} {
		mode := ops.ResampleMode(mode)
		if (mode == ops.Nearest) == (r.mode == "nearest") && r.is(place, s, 2) && r.is(place, s, 3) {
			return one(ops.Upsample(x, ops.Size{H: r.to[2], W: r.to[3]}, mode))
		}
	}
	return nil, errors.Errorf("it resizes %v to %v, %s by the coordinates %s, %s, which is not supported", s, r.to, r.mode, r.coordinates, r.nearest)
}

// A resizing is how the elements of an image of another size are found.
type resizing struct {
	mode, coordinates, nearest string
	to                         tensor.Shape
	scales                     []float64
}

func (c *call) resizing(s tensor.Shape) (r resizing, err error) {
	r = resizing{mode: c.text("mode", "nearest"), coordinates: "half_pixel", nearest: "round_prefer_floor", to: slices.Clone(s)}
	scales, sizes := 1, -1 // operands
	switch {
	case c.node.Op == "Upsample" || c.env.Opset < 11:
		r.coordinates, r.nearest = "asymmetric", "floor"
		if err := c.operands(1, 2); err != nil {
			return r, err
		}
	default:
		if err := c.operands(1, 4); err != nil {
			return r, err
		}
		scales, sizes = 2, 3
		r.coordinates = c.text("coordinate_transformation_mode", r.coordinates)
		r.nearest = c.text("nearest_mode", r.nearest)
		c.float("cubic_coeff_a", 0)
		c.float("extrapolation_value", 0)
		if c.flag("exclude_outside", false) || c.flag("antialias", false) {
			return r, errors.New("the attributes exclude_outside and antialias are not supported")
		}
		if how := c.text("keep_aspect_ratio_policy", "stretch"); how != "stretch" {
			return r, errors.Errorf("the attribute keep_aspect_ratio_policy is %.100q, want stretch", how)
		}
	}
	if r.mode == "linear" || r.mode == "bilinear" {
		r.mode = "linear"
	} else if r.mode != "nearest" {
		return r, errors.Errorf("the mode is %.100q, want nearest or linear", r.mode)
	}
	axes := c.integers("axes")
	if axes == nil {
		for i := range s {
			axes = append(axes, i)
		}
	}
	if axes, err = c.axes(axes, len(s)); err != nil {
		return r, err
	}
	r.scales = make([]float64, len(s))
	for i := range r.scales {
		r.scales[i] = 1
	}
	factors := []float64(nil)
	if a := c.node.Attr("scales"); a != nil { // opset 7
		c.read["scales"] = true
		for _, v := range a.Floats {
			factors = append(factors, float64(v))
		}
	} else if c.has(scales) {
		k, err := c.constant(scales, "the scales")
		if err != nil {
			return r, err
		}
		factors = k.Floats
	}
	if sizes > 0 && c.has(sizes) && len(factors) == 0 {
		list := c.list("sizes", sizes)
		if len(list) != len(axes) {
			return r, errors.Errorf("the sizes are %v, want %d", list, len(axes))
		}
		for i, axis := range axes {
			if axis == 0 && list[i] == c.env.FixedBatch {
				continue
			}
			r.to[axis] = list[i]
			r.scales[axis] = float64(list[i]) / float64(s[axis])
		}
		return r, nil
	}
	if len(factors) != len(axes) {
		return r, errors.Errorf("the scales are %v, want %d", factors, len(axes))
	}
	for i, axis := range axes {
		to := math.Floor(float64(s[axis]) * factors[i])
		if !(to >= 1 && to <= far) {
			return r, errors.Errorf("the scales are %v, and x is %v", factors, s)
		}
		r.to[axis], r.scales[axis] = int(to), factors[i]
	}
	return r, nil
}

// is reports whether place says for each element of an axis where in the axis of s it comes from.
func (r resizing) is(place func(p, in, out int) float64, s tensor.Shape, axis int) bool {
	in, out, scale := s[axis], r.to[axis], r.scales[axis]
	if out < 1 || out > maxConstant {
		return false
	}
	cut := func(v float64) float64 { return min(max(v, 0), float64(in-1)) }
	for p := range out {
		v := float64(p)
		switch r.coordinates {
		case "half_pixel":
			v = (v+0.5)/scale - 0.5
		case "pytorch_half_pixel":
			if v = (v+0.5)/scale - 0.5; out == 1 {
				v = 0
			}
		case "align_corners":
			if v *= float64(in-1) / float64(max(out-1, 1)); out == 1 {
				v = 0
			}
		case "asymmetric":
			v /= scale
		default:
			return false
		}
		v = cut(v)
		if r.mode == "nearest" {
			switch r.nearest {
			case "floor":
				v = math.Floor(v)
			case "ceil":
				v = math.Ceil(v)
			case "round_prefer_floor":
				v = math.Ceil(v - 0.5)
			case "round_prefer_ceil":
				v = math.Floor(v + 0.5)
			default:
				return false
			}
		}
		// Scales are float32: places may differ by their rounding.
		if !(math.Abs(cut(v)-cut(place(p, in, out))) <= 1e-6*float64(in)) {
			return false
		}
	}
	return true
}
