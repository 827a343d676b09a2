package ops

import (
	"math"
	"slices"

	"github.com/pkg/errors"

	"github.com/convgrad/convgrad/internal/kernel"
	"github.com/convgrad/convgrad/internal/onnx"
)

// ONNX adds the op to a graph of ONNX, as operators of opset onnx.Opset, and returns its value. It
// returns an error where ONNX has nothing of the kind: backward ops, and ops of other packages.
//
// What the operators of ONNX mean in ops is the affair of internal/onnx/operators.
func (o op) ONNX(b *onnx.Builder, in []onnx.Operand) (onnx.Operand, error) {
	e, ok := o.inner().(interface {
		onnx(c onnxCall) (onnx.Operand, error)
	})
	if !ok {
		return onnx.Operand{}, errors.Errorf("ops: %s has no counterpart in ONNX", o.name())
	}
	y, err := e.onnx(onnxCall{b, in})
	return y, errors.Wrapf(err, "ops: %s: ONNX", o.name())
}

// An onnxCall is an op that is written, with its operands.
type onnxCall struct {
	*onnx.Builder
	in []onnx.Operand
}

// add adds an operator of the first operand and more.
func (c onnxCall) add(name string, attrs []onnx.Attribute, more ...string) (onnx.Operand, error) {
	return onnx.Operand{Name: c.Add(name, attrs, append([]string{c.in[0].Name}, more...)...)}, nil
}

// all adds an operator of all operands.
func (c onnxCall) all(name string, attrs ...onnx.Attribute) (onnx.Operand, error) {
	names := make([]string, len(c.in))
	for i, x := range c.in {
		names[i] = x.Name
	}
	return onnx.Operand{Name: c.Add(name, attrs, names...)}, nil
}

// windowAttributes are those of sliding windows, as far as they are not ONNX's defaults.
func windowAttributes(rows, cols kernel.Window) []onnx.Attribute {
	a := onnx.With("kernel_shape", []int{rows.Size, cols.Size}, "strides", []int{rows.Stride, cols.Stride},
		"pads", []int{rows.Before, cols.Before, rows.After, cols.After})
	if rows.Dilation != 1 || cols.Dilation != 1 {
		a = append(a, onnx.With("dilations", []int{rows.Dilation, cols.Dilation})...)
	}
	return a
}

// filter is the name of a convolution's filters: flipped, where the convolution flips them.
func (c onnxCall) filter(g kernel.Conv, w onnx.Operand) string {
	if !g.Flip {
		return w.Name
	}
	return c.Add("Slice", nil, w.Name, c.Ints(-1, -1), c.Ints(math.MinInt32, math.MinInt32), c.Ints(2, 3), c.Ints(-1, -1))
}

func (o conv2D) onnx(c onnxCall) (onnx.Operand, error) {
	g := o.Geometry
	in := []string{c.filter(g, c.in[1])}
	if o.Bias {
		in = append(in, c.in[2].Name)
	}
	y, err := c.add("Conv", append(windowAttributes(g.Rows, g.Cols), onnx.With("group", g.Groups)...), in...)
	if o.ReLU {
		y.Name = c.Add("Relu", nil, y.Name)
	}
	return y, err
}

// onnx writes a transposed convolution, whose output padding is what the windows leave over.
func (o conv2DBackwardData) onnx(c onnxCall) (onnx.Operand, error) {
	g := o.Geometry
	left := func(w kernel.Window) int { return w.In + w.Before + w.After - w.Read() }
	attrs := append(windowAttributes(g.Rows, g.Cols), onnx.With("group", g.Groups)...)
	if h, w := left(g.Rows), left(g.Cols); h != 0 || w != 0 {
		attrs = append(attrs, onnx.With("output_padding", []int{h, w})...)
	}
	return c.add("ConvTranspose", attrs, c.filter(g, c.in[1]))
}

// onnx writes the bias of a transposed convolution as its third operand.
func (o addChannels) onnx(c onnxCall) (onnx.Operand, error) {
	if n := c.Producer(c.in[0].Name); n != nil && n.Op == "ConvTranspose" && len(n.Inputs) == 2 {
		n.Inputs = append(n.Inputs, c.in[1].Name)
		return c.in[0], nil
	}
	return c.add("Add", nil, c.Add("Reshape", nil, c.in[1].Name, c.Ints(-1, 1, 1)))
}

func (o linear) onnx(c onnxCall) (onnx.Operand, error) {
	return c.all("Gemm", onnx.With("transB", 1)...)
}

func (o matProduct) onnx(c onnxCall) (onnx.Operand, error) {
	names := [2]string{c.in[0].Name, c.in[1].Name}
	for i, turned := range [2]bool{o.TransA, o.TransB} {
		if !turned {
			continue
		}
		perm := make([]int, len(c.in[i].Shape))
		for k := range perm {
			perm[k] = k
		}
		last := len(perm) - 1
		perm[last], perm[last-1] = last-1, last
		names[i] = c.Add("Transpose", onnx.With("perm", perm), names[i])
	}
	return onnx.Operand{Name: c.Add("MatMul", nil, names[:]...)}, nil
}

// The winners of a pooling are no tensor of ONNX: its MaxPool finds them by itself.
func (o maxWinners) onnx(c onnxCall) (onnx.Operand, error) {
	return onnx.Operand{Kind: "winners", Of: c.in}, nil
}

func (o adaptiveWinners) onnx(c onnxCall) (onnx.Operand, error) {
	return onnx.Operand{Kind: "adaptive winners", Of: c.in}, nil
}

func (o gather) onnx(c onnxCall) (onnx.Operand, error) {
	g, w := o.Geometry, c.in[1]
	if len(w.Of) != 1 || w.Of[0].Name != c.in[0].Name {
		return onnx.Operand{}, errors.New("the winners are of another image")
	}
	if w.Kind == "winners" {
		return c.add("MaxPool", windowAttributes(g.Rows, g.Cols))
	}
	switch {
	case g.P == 1 && g.Q == 1:
		return c.add("GlobalMaxPool", nil)
	case g.P == g.H && g.Q == g.W:
		return c.in[0], nil
	case g.H%g.P == 0 && g.W%g.Q == 0:
		sides := []int{g.H / g.P, g.W / g.Q}
		return c.add("MaxPool", onnx.With("kernel_shape", sides, "strides", sides))
	}
	return onnx.Operand{}, errors.Errorf("the windows of an adaptive maximum of %d×%d to %d×%d are of several sizes", g.H, g.W, g.P, g.Q)
}

func (o avgPool) onnx(c onnxCall) (onnx.Operand, error) {
	attrs := windowAttributes(o.Geometry.Rows, o.Geometry.Cols)
	if o.CountPadding {
		attrs = append(attrs, onnx.With("count_include_pad", 1)...)
	}
	return c.add("AveragePool", attrs)
}

func (o l2Pool) onnx(c onnxCall) (onnx.Operand, error) {
	return c.add("LpPool", append(windowAttributes(o.Geometry.Rows, o.Geometry.Cols), onnx.With("p", 2)...))
}

func (o lpPool) onnx(c onnxCall) (onnx.Operand, error) {
	if o.P != math.Trunc(o.P) {
		return onnx.Operand{}, errors.Errorf("the norm is %v, want a whole number", o.P)
	}
	return c.add("LpPool", append(windowAttributes(o.Geometry.Rows, o.Geometry.Cols), onnx.With("p", int(o.P))...))
}

// onnx writes a map of axes as the operator for it, or as products with the matrices of both axes.
func (o resample) onnx(c onnxCall) (onnx.Operand, error) {
	y, err := o.operator(c)
	if err != nil {
		return y, err
	}
	if y.Name == "" {
		x := c.Add("MatMul", nil, c.Floats(axisMatrix(o.Rows, false), o.Rows.Out, o.Rows.In), c.in[0].Name)
		y.Name = c.Add("MatMul", nil, x, c.Floats(axisMatrix(o.Cols, true), o.Cols.In, o.Cols.Out))
	}
	if o.Scale != 1 {
		y.Name = c.Add("Mul", nil, y.Name, c.Number(o.Scale))
	}
	return y, nil
}

// operator is one operator for both axes, or "" if there is none.
func (o resample) operator(c onnxCall) (onnx.Operand, error) {
	rows, cols := o.Rows, o.Cols
	if rows.Kind != cols.Kind {
		return onnx.Operand{}, nil
	}
	resize := func(how ...any) (onnx.Operand, error) {
		return c.add("Resize", onnx.With(append(how, "axes", []int{2, 3})...), "", "", c.Ints(rows.Out, cols.Out))
	}
	switch rows.Kind {
	case kernel.PadZeros, kernel.PadReflect, kernel.PadReplicate:
		mode := map[kernel.MapKind]string{kernel.PadZeros: "constant", kernel.PadReflect: "reflect", kernel.PadReplicate: "edge"}[rows.Kind]
		after := func(m kernel.AxisMap) int { return m.Out - m.In - m.Before }
		return c.add("Pad", onnx.With("mode", mode), c.Ints(0, 0, rows.Before, cols.Before, 0, 0, after(rows), after(cols)))
	case kernel.Nearest:
		return resize("mode", "nearest", "coordinate_transformation_mode", "asymmetric", "nearest_mode", "floor")
	case kernel.Linear:
		return resize("mode", "linear", "coordinate_transformation_mode", "half_pixel")
	case kernel.LinearAligned:
		return resize("mode", "linear", "coordinate_transformation_mode", "align_corners")
	case kernel.AdaptiveMean:
		switch {
		case rows.Out == 1 && cols.Out == 1:
			return c.add("GlobalAveragePool", nil)
		case rows.Out == rows.In && cols.Out == cols.In:
			return c.in[0], nil
		case rows.In%rows.Out == 0 && cols.In%cols.Out == 0:
			sides := []int{rows.In / rows.Out, cols.In / cols.Out}
			return c.add("AveragePool", onnx.With("kernel_shape", sides, "strides", sides))
		}
	}
	return onnx.Operand{}, nil
}

// axisMatrix is a map of an axis as a matrix, Out×In or transposed: the map of unit vectors.
func axisMatrix(m kernel.AxisMap, transposed bool) []float64 {
	n := m.In
	unit, to := make([]float64, n*n), make([]float64, n*m.Out)
	for i := range n {
		unit[i*n+i] = 1
	}
	same := kernel.AxisMap{Kind: kernel.PadZeros, Window: kernel.Window{In: n, Out: n}}
	rows, cols := m, same
	if transposed {
		rows, cols = same, m
	}
	kernel.Resample(rows, cols, to, unit, 1, 1)
	return to
}

func (o relu) onnx(c onnxCall) (onnx.Operand, error) { return c.all("Relu") }

func (o activation) onnx(c onnxCall) (onnx.Operand, error) {
	limit := func(v float64) string {
		if math.IsInf(v, 0) {
			return ""
		}
		return c.Number(v)
	}
	if o.Order > 0 {
		return onnx.Operand{}, errors.New("a second derivative has no operator")
	}
	switch f := o.Of; f.Func {
	case kernel.SiLU:
		return c.add("Mul", nil, c.Add("Sigmoid", nil, c.in[0].Name))
	case kernel.Square:
		return c.add("Mul", nil, c.in[0].Name)
	case kernel.GELU:
		return c.add("Gelu", nil)
	case kernel.GELUTanh:
		return c.add("Gelu", onnx.With("approximate", "tanh"))
	case kernel.ELU:
		return c.add("Elu", onnx.With("alpha", f.A))
	case kernel.LeakyReLU:
		return c.add("LeakyRelu", onnx.With("alpha", f.A))
	case kernel.HardSigmoid:
		return c.add("HardSigmoid", onnx.With("alpha", 1.0/6, "beta", 0.5))
	case kernel.ReLU6:
		return c.add("Clip", nil, limit(0), limit(6))
	case kernel.Below:
		return c.add("Clip", nil, "", limit(0))
	case kernel.Clamp:
		return c.add("Clip", nil, limit(f.A), limit(f.B))
	case kernel.Sigmoid, kernel.Tanh, kernel.Softplus, kernel.HardSwish, kernel.Exp, kernel.Log, kernel.Sqrt, kernel.Abs:
		return c.add(f.Func.String(), nil)
	}
	return onnx.Operand{}, errors.Errorf("%v has no operator", o.Of.Func)
}

func (o binaryOp) onnx(c onnxCall) (onnx.Operand, error) {
	name, _ := o.Name(2)
	return c.all(name)
}

func (o product) onnx(c onnxCall) (onnx.Operand, error)    { return c.all("Mul") }
func (o difference) onnx(c onnxCall) (onnx.Operand, error) { return c.all("Sub") }
func (o scale) onnx(c onnxCall) (onnx.Operand, error) {
	return c.add("Mul", nil, c.Number(o.Factor))
}

func (o affineOf) onnx(c onnxCall) (onnx.Operand, error) {
	x := c.in[0].Name
	if o.Scale != 1 {
		x = c.Add("Mul", nil, x, c.Number(o.Scale))
	}
	return onnx.Operand{Name: c.Add("Add", nil, x, c.Number(o.Shift))}, nil
}

func (o lerp) onnx(c onnxCall) (onnx.Operand, error) {
	d := c.Add("Mul", nil, c.Add("Sub", nil, c.in[1].Name, c.in[0].Name), c.Number(o.T))
	return c.add("Add", nil, d)
}

// summedAxes are those along which to has one element where from has more.
func summedAxes(from, to []int) ([]int, error) {
	if len(from) != len(to) {
		return nil, errors.Errorf("%v is summed to %v, of another rank", from, to)
	}
	axes := []int{}
	for i := range from {
		if from[i] != to[i] {
			axes = append(axes, i)
		}
	}
	return axes, nil
}

func (o sumTo) onnx(c onnxCall) (onnx.Operand, error) {
	axes, err := summedAxes(c.in[0].Shape, o.To.shape())
	if err != nil || len(axes) == 0 {
		return c.in[0], err
	}
	return c.add("ReduceSum", onnx.With("keepdims", 1), c.Ints(axes...))
}

// The places of greatest elements are no tensor that ONNX needs.
func (o maxIndex) onnx(c onnxCall) (onnx.Operand, error) {
	return onnx.Operand{Kind: "places of the greatest", Of: c.in}, nil
}

func (o take) onnx(c onnxCall) (onnx.Operand, error) {
	at := c.in[1]
	if len(at.Of) != 1 || at.Of[0].Name != c.in[0].Name {
		return onnx.Operand{}, errors.New("the indices are of another tensor")
	}
	axes, err := summedAxes(c.in[0].Shape, at.Shape)
	if err != nil || len(axes) == 0 {
		return c.in[0], err
	}
	return c.add("ReduceMax", onnx.With("keepdims", 1), c.Ints(axes...))
}

func (o permute) onnx(c onnxCall) (onnx.Operand, error) {
	return c.add("Transpose", onnx.With("perm", append([]int{}, o.Axes[:o.Rank]...)))
}

func (o concat) onnx(c onnxCall) (onnx.Operand, error) {
	return c.all("Concat", onnx.With("axis", o.Axis)...)
}

func (o cut) onnx(c onnxCall) (onnx.Operand, error) {
	return c.add("Slice", nil, c.Ints(o.From), c.Ints(o.To), c.Ints(o.Axis), c.Ints(o.Step))
}

// onnx writes a Flatten where it is one, which leaves the batch open by itself.
func (o reshape) onnx(c onnxCall) (onnx.Operand, error) {
	from, to := o.From.shape(), o.To.shape()
	if len(to) == 2 && len(from) > 0 && from[0] == to[0] {
		return c.add("Flatten", nil)
	}
	return c.add("Reshape", nil, c.Ints(to...))
}

func (o prelu) onnx(c onnxCall) (onnx.Operand, error) {
	to := slices.Repeat([]int{1}, len(c.in[0].Shape)-1)
	to[0] = volume(c.in[1].Shape)
	return c.add("PRelu", nil, c.Add("Reshape", nil, c.in[1].Name, c.Ints(to...)))
}

func (o softmax) onnx(c onnxCall) (onnx.Operand, error) {
	return c.add("Softmax", onnx.With("axis", o.Axis))
}

func (o logSoftmax) onnx(c onnxCall) (onnx.Operand, error) {
	return c.add("LogSoftmax", onnx.With("axis", o.Axis))
}

// Mean and variance, as one matrix, are no tensor of ONNX.
func (o stack) onnx(c onnxCall) (onnx.Operand, error) {
	return onnx.Operand{Kind: "statistics", Of: c.in}, nil
}

func (o moments) onnx(c onnxCall) (onnx.Operand, error) {
	return onnx.Operand{Kind: "moments", Of: c.in}, nil
}

func (o normalise) onnx(c onnxCall) (onnx.Operand, error) {
	last := c.in[len(c.in)-1]
	switch {
	case o.Norm.Mode == kernel.NormFixed && last.Kind == "statistics":
		var in []string
		if o.Affine {
			in = []string{c.in[1].Name, c.in[2].Name}
		} else {
			in = []string{c.Floats(slices.Repeat([]float64{1}, o.Norm.Groups), o.Norm.Groups),
				c.Floats(make([]float64, o.Norm.Groups), o.Norm.Groups)}
		}
		return c.add("BatchNormalization", onnx.With("epsilon", o.Eps), append(in, last.Of[0].Name, last.Of[1].Name)...)
	case o.Norm.Mode == kernel.NormBatch && o.Norm.Parts == 1 && !o.Affine && last.Kind == "moments" && last.Of[0].Name == c.in[0].Name:
		// Rows: as many instances of one channel.
		rows := c.Add("Reshape", nil, c.in[0].Name, c.Ints(o.Norm.Groups, 1, o.Norm.Run))
		rows = c.Add("InstanceNormalization", onnx.With("epsilon", o.Eps), rows, c.Floats([]float64{1}, 1), c.Floats([]float64{0}, 1))
		return onnx.Operand{Name: c.Add("Reshape", nil, rows, c.Ints(o.Of.shape()...))}, nil
	}
	return onnx.Operand{}, errors.New("it normalises by statistics of the batch, in evaluation")
}
