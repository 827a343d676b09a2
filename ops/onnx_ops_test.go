package ops_test

import (
	"fmt"
	"math"

	G "gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/convgrad/convgrad/ops"
)

// onnxOps are the operators, outputs and values of attributes that files are not read with, in the
// words of this package, and why a case is listed. An output that is nil is not compared.
var onnxOps = map[string]func(c *onnxCase) []*G.Node{
	"ReduceMax": greatest, "ReduceMin": greatest,
	"ReduceLogSum": reducing(nil), "ReduceLogSumExp": reducing(ops.Exp),
	"ConvTranspose": onnxConvTranspose,
	"AveragePool":   func(c *onnxCase) []*G.Node { c.spatial(); return nil },
	"LpPool":        func(c *onnxCase) []*G.Node { c.spatial(); return nil },
	"MaxPool":       onnxMaxPool, "MaxUnpool": onnxMaxUnpool,
	"Pad": onnxPad, "Resize": onnxResize, "Slice": onnxSlice,
	"Swish": func(c *onnxCase) []*G.Node {
		if a := c.attr("alpha", 1); a != 1 {
			c.Check(listed(fmt.Sprintf("alpha is %v: SiLU has 1", a)))
		}
		return []*G.Node{c.Do(ops.SiLU(c.in(0)))}
	},
	"LayerNormalization": onnxLayerNorm,
	"SoftmaxCrossEntropyLoss": func(c *onnxCase) []*G.Node {
		e, logp, err := ops.CrossEntropyLogProbs(c.in(0), c.labels(1), c.entropy())
		return []*G.Node{c.Do(e, err), c.Do(logp, err)}
	},
	"NegativeLogLikelihoodLoss": func(c *onnxCase) []*G.Node {
		return []*G.Node{c.Do(ops.NLL(c.in(0), c.labels(1), c.entropy()))}
	},
	"Dropout": func(c *onnxCase) []*G.Node { // its mask, which is all true, is no node here
		return []*G.Node{c.Do(ops.Reshape(c.Do(ops.Dropout(c.in(0), 0.5, nil)), c.Outputs[0].Shape...)), nil}
	},
}

// apart is the reason why a case is listed whatever its operator is made of.
func (c *onnxCase) apart() error {
	switch {
	case c.Op == "Dropout" && c.number(2, 0) == 1 && c.number(1, 0.5) != 0:
		return listed("masks of another source of random numbers")
	case c.Op == "Resize" && c.text("coordinate_transformation_mode", "") == "align_corners" && c.text("mode", "") == "linear":
		for axis, scale := range c.scales() {
			if float64(c.Outputs[0].Shape[axis]) != math.Round(scale*float64(c.Inputs[0].Shape[axis])*1e5)/1e5 {
				return listed("corners of a side that is not whole: ONNX Runtime takes the whole one, as we do")
			}
		}
	}
	return nil
}

// greatest is a reduction to the greatest elements, or the smallest, of nothing.
func greatest(c *onnxCase) []*G.Node {
	if c.in(0); tensor.Shape(c.Inputs[0].Shape).TotalSize() == 0 {
		c.Check(listed("the greatest of nothing, which is an error here and in PyTorch"))
	}
	return nil
}

// reducing is the logarithm of a sum, of x or of a function of it.
func reducing(of func(*G.Node) (*G.Node, error)) func(c *onnxCase) []*G.Node {
	return func(c *onnxCase) []*G.Node {
		x := c.in(0)
		if of != nil {
			x = c.Do(of(x))
		}
		return []*G.Node{c.Do(ops.Log(c.reduce(ops.Sum, x)))}
	}
}

// with is a convolution with its filters and bias.
func (c *onnxCase) with(op func(x, w, b *G.Node, p ops.ConvParams) (*G.Node, error)) func(*G.Node, ops.ConvParams) (*G.Node, error) {
	return func(x *G.Node, p ops.ConvParams) (*G.Node, error) { return op(x, c.in(1), c.in(2), p) }
}

func (c *onnxCase) entropy() ops.CrossEntropyParams {
	p := ops.CrossEntropyParams{Reduction: c.reduction(), Weights: c.in(2)}
	if v, ok := c.value("ignore_index").(float64); ok {
		ignore := int(v)
		p.Ignore = &ignore
	}
	return p
}

// onnxConvTranspose works the paddings out where the output's size is given.
func onnxConvTranspose(c *onnxCase) []*G.Node {
	p := c.conv()
	p.OutputPad = c.pair("output_padding")
	if to := c.list("output_shape"); len(to) == 2 && c.Err() == nil {
		s, w := c.Inputs[0].Shape, c.Inputs[1].Shape
		across := func(axis, stride, out int) (begin, end, more int) {
			total := (s[axis]-1)*stride + w[axis] - out
			if total < 0 {
				return 0, 0, -total
			}
			return total / 2, total - total/2, 0 // the larger part at the end
		}
		var begin, end ops.Size
		begin.H, end.H, p.OutputPad.H = across(2, p.Stride.H, to[0])
		begin.W, end.W, p.OutputPad.W = across(3, p.Stride.W, to[1])
		p.Pad = ops.BeginEnd(begin, end)
	}
	return []*G.Node{onAxes(c, c.in(0), p, c.with(ops.ConvTranspose1D), c.with(ops.ConvTranspose2D))}
}

// onnxMaxPool compares winners too: here they are indices into a plane, in ONNX into the tensor.
func onnxMaxPool(c *onnxCase) []*G.Node {
	p := c.pool()
	x := c.in(0)
	if c.rank() == 3 || c.Err() != nil {
		return []*G.Node{onAxes(c, x, p, ops.MaxPool1D, ops.MaxPool2D)}
	}
	y, winner, err := ops.MaxPool2DIndices(x, p)
	y, winner = c.Do(y, err), c.Do(winner, err)
	if len(c.Outputs) < 2 {
		return []*G.Node{y}
	}
	h, w := c.Inputs[0].Shape[2], c.Inputs[0].Shape[3]
	c.adjust[1] = func(index []float64) {
		plane := y.Shape()[2] * y.Shape()[3]
		for i := range index {
			at := int(index[i])
			if c.attr("storage_order", 0) == 1 {
				at = at%w*h + at/w
			}
			index[i] = float64(i/plane*h*w + at)
		}
	}
	return []*G.Node{y, winner}
}

func onnxMaxUnpool(c *onnxCase) []*G.Node {
	s, p := c.Inputs[0].Shape, c.pool()
	if s[0]*s[1] != 1 {
		c.Check(listed("more than one plane"))
	}
	to := ops.Size{H: (s[2]-1)*p.Stride.H + p.Window.H, W: (s[3]-1)*p.Stride.W + p.Window.W}
	winner := leaf(c.graph, "winner", s, converted[int32](c.numbers(1)))
	y := c.Do(ops.MaxUnpool2D(c.in(0), winner, to))
	if out := c.whole(2); out != nil {
		y = c.Do(ops.Pad(y, ops.Padding{Bottom: out[2] - to.H, Right: out[3] - to.W}, ops.PadZeros))
	}
	return []*G.Node{y}
}

func onnxPad(c *onnxCase) []*G.Node {
	mode, ok := map[string]ops.PadMode{"constant": ops.PadZeros, "reflect": ops.PadReflect, "edge": ops.PadReplicate}[c.text("mode", "constant")]
	if !ok {
		c.Check(listed("the mode is " + c.text("mode", "")))
	}
	rank, pads := c.rank(), c.whole(1)
	begin, end := make([]int, rank), make([]int, rank)
	axes := c.whole(3)
	for i := range len(pads) / 2 {
		axis := i
		if axes != nil {
			axis = (axes[i] + rank) % rank
		}
		begin[axis], end[axis] = pads[i], pads[len(pads)/2+i]
	}
	for axis, n := range begin {
		if (axis < rank-2 || rank < 4) && (n != 0 || end[axis] != 0) {
			c.Check(listed("axes that are not an image's"))
		}
	}
	x, value := c.in(0), c.number(2, 0)
	if c.Err() != nil {
		return nil
	}
	x = c.Do(ops.Affine(x, 1, -value)) // what is put around is 0
	y := c.Do(ops.Pad(x, ops.BeginEnd(ops.Size{H: begin[2], W: begin[3]}, ops.Size{H: end[2], W: end[3]}), mode))
	return []*G.Node{c.Do(ops.Affine(y, 1, value))}
}

// onnxSlice is a slice of which nothing is left.
func onnxSlice(c *onnxCase) []*G.Node {
	for axis, n := range c.Outputs[0].Shape {
		if n == 0 {
			return []*G.Node{c.Do(ops.Slice(c.in(0), axis, 0, 0, 1))}
		}
	}
	return nil
}

func onnxLayerNorm(c *onnxCase) []*G.Node {
	x, eps := c.in(0), c.attr("epsilon", 1e-5)
	axis := int(c.attr("axis", -1))
	if axis < 0 {
		axis += c.rank()
	}
	last := c.rank() - axis
	y := c.Do(ops.LayerNorm(x, c.in(1), c.in(2), last, eps))
	if len(c.Outputs) == 1 || c.Err() != nil {
		return []*G.Node{y}
	}
	var axes []int
	for i := range last {
		axes = append(axes, axis+i)
	}
	kept := c.Outputs[1].Shape
	mean := c.Do(ops.Reshape(c.Do(ops.Mean(x, axes...)), kept...))
	variance := c.Do(ops.Mean(c.Do(ops.Square(c.Do(ops.Sub(x, mean)))), axes...))
	inverse := c.Do(ops.Exp(c.Do(ops.Affine(c.Do(ops.Log(c.Do(ops.Affine(variance, 1, eps)))), -0.5, 0))))
	return []*G.Node{y, mean, c.Do(ops.Reshape(inverse, kept...))}
}

// onnxResize is Upsample where it takes the same elements, or means of the same ones.
func onnxResize(c *onnxCase) []*G.Node {
	mode, coordinates := c.text("mode", "nearest"), c.text("coordinate_transformation_mode", "half_pixel")
	s, out := c.Inputs[0].Shape, c.Outputs[0].Shape
	switch {
	case mode == "cubic":
		c.Check(listed("the mode is cubic"))
	case c.attr("antialias", 0) == 1:
		c.Check(listed("antialias is set"))
	case coordinates == "tf_crop_and_resize" || coordinates == "half_pixel_symmetric":
		c.Check(listed("coordinates are " + coordinates))
	case c.rank() != 4 || s[0] != out[0] || s[1] != out[1]:
		c.Check(listed("axes that are not an image's"))
	}
	x := c.in(0)
	if c.Err() != nil {
		return nil
	}
	to, how := ops.Size{H: out[2], W: out[3]}, ops.Nearest
	scales := c.scales()
	switch {
	case mode == "nearest":
		for axis := 2; axis < 4; axis++ {
			for p := range out[axis] {
				if nearest(c, coordinates, p, s[axis], out[axis], scales[axis]) != p*s[axis]/out[axis] {
					c.Check(listed("nearest elements other than ⌊p·H/P⌋"))
				}
			}
		}
	case coordinates == "align_corners":
		how = ops.BilinearAligned
	case coordinates == "half_pixel" || coordinates == "pytorch_half_pixel":
		how = ops.Bilinear
	default:
		c.Check(listed("coordinates are " + coordinates))
	}
	for axis := 2; axis < 4 && mode == "linear"; axis++ {
		if scale := float64(out[axis]) / float64(s[axis]); math.Abs(scales[axis]-scale) > 1e-7*scale {
			c.Check(listed("a scale that is not the sizes' quotient"))
		}
		if coordinates == "pytorch_half_pixel" && out[axis] == 1 {
			c.Check(listed("pytorch_half_pixel of one row or column"))
		}
	}
	return []*G.Node{c.Do(ops.Upsample(x, to, how))}
}

// scales are the factors of the axes: given, or made of the sizes.
func (c *onnxCase) scales() []float64 {
	s, out := c.Inputs[0].Shape, c.Outputs[0].Shape
	all := make([]float64, len(s))
	for i := range all {
		all[i] = float64(out[i]) / float64(s[i])
	}
	axes := c.list("axes")
	if axes == nil {
		axes = []int{0, 1, 2, 3}
	}
	if given := c.numbers(2); len(given) > 0 {
		for i, v := range given {
			all[axes[i]] = v
		}
	} else if policy := c.text("keep_aspect_ratio_policy", "stretch"); policy != "stretch" {
		factor := 0.0
		for i, v := range c.whole(3) {
			f := float64(v) / float64(s[axes[i]])
			if i == 0 || (f < factor) == (policy == "not_larger") {
				factor = f
			}
		}
		for _, axis := range axes {
			all[axis] = factor
		}
	}
	return all
}

// nearest is the element of an axis that ONNX takes for output p.
func nearest(c *onnxCase, coordinates string, p, in, out int, scale float64) int {
	var at float64
	switch coordinates {
	case "asymmetric":
		at = float64(p) / scale
	case "align_corners":
		if out > 1 {
			at = float64(p) * float64(in-1) / float64(out-1)
		}
	default:
		at = (float64(p)+0.5)/scale - 0.5
	}
	var i float64
	switch c.text("nearest_mode", "round_prefer_floor") {
	case "floor":
		i = math.Floor(at)
	case "ceil":
		i = math.Ceil(at)
	case "round_prefer_ceil":
		i = math.Floor(at + 0.5)
	default:
		i = math.Ceil(at - 0.5)
	}
	return min(max(int(i), 0), in-1)
}
