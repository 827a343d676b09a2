package ops

import (
	"fmt"
	"math/rand/v2"
	"slices"

	"github.com/pkg/errors"
	G "gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/convgrad/convgrad/internal/kernel"
	"github.com/convgrad/convgrad/internal/opset"
)

// ConvParams are the parameters of a convolution. The zero value slides the filters over every
// position inside x ("valid").
type ConvParams struct {
	// Stride is the distance of neighbouring windows; {0, 0} stands for {1, 1}. One 0 beside
	// another number is an error, here and in Dilation.
	Stride Size
	// Dilation is the distance of a filter's taps; {0, 0} stands for {1, 1}.
	Dilation Size
	// Pad is the rows and columns of zeros around x.
	Pad Padding
	// OutputPad is the rows below and columns on the right that a transposed convolution adds to
	// its output. Conv2D takes none.
	OutputPad Size
	// Groups: input channels C/Groups feed filters K/Groups. 0 stands for 1; Groups = C is a
	// depthwise convolution.
	Groups int
	// Flip turns each filter by 180°: the article's true convolution (Eqs. 2 and 6) instead of
	// cross-correlation.
	Flip bool
	// Winograd permits Winograd's algorithm for 3×3 filters: faster, with a larger rounding error.
	Winograd bool
}

func (p ConvParams) geometry(x, w tensor.Shape) (kernel.Conv, error) {
	groups := p.Groups
	if groups == 0 {
		groups = 1
	}
	switch {
	case groups == 1 && w[1] != x[1]:
		return kernel.Conv{}, errors.Errorf("x has %d channels and w %d, want as many: x is %v, w is %v", x[1], w[1], x, w)
	case groups > 1 && x[1]%groups == 0 && w[1] != x[1]/groups:
		return kernel.Conv{}, errors.Errorf("x has %d channels in %d groups and w %d, want %d: x is %v, w is %v", x[1], groups, w[1], x[1]/groups, x, w)
	}
	if p.OutputPad != (Size{}) {
		return kernel.Conv{}, errors.Errorf("the output padding is %v, want none: it belongs to a transposed convolution", p.OutputPad)
	}
	sp, err := spatial(Size{x[2], x[3]}, Size{w[2], w[3]}, p.Stride, p.Dilation, p.Pad, Both(1))
	if err != nil {
		return kernel.Conv{}, err
	}
	g, err := kernel.NewConv(max(x[0], 1), x[1], x[2], x[3], w[0], w[2], w[3], groups, sp, p.Flip)
	g.N, g.Winograd = x[0], p.Winograd // an empty batch never reaches a kernel
	return g, errors.Wrapf(err, "x is %v, w is %v", x, w)
}

// Conv2D returns the node y = x ⋆ w + b, the cross-correlation of x with each filter of w, which
// frameworks call convolution (article, Eqs. 1, 4 and 7):
//
//	y[n,k,p,q] = Σ_c Σ_r Σ_s x[n, c, i, j] · w[k,c,r,s] + b[k]
//
// with i = p·stride + r·dilation − top and j = q·stride + s·dilation − left.
//
// Shapes: x N×C×H×W, w K×(C/Groups)×R×S, b K or nil, y N×K×P×Q with P = ⌊(H + top + bottom −
// (R−1)·dilation − 1)/stride⌋ + 1 and Q likewise. x is zero outside its borders. With Flip,
// w[k,c,R−1−r,S−1−s] stands in the sum.
//
// Derivatives, given dy N×K×P×Q: dw is Eq. 13 (Conv2DBackwardFilter), dx is Eq. 20 without f′
// (Conv2DBackwardData), and db[k] = Σ_n Σ_p Σ_q dy[n,k,p,q]. All of them have derivatives again.
//
// A NaN or infinity in an operand propagates to every sum with a product that contains it. The
// padding of x is zeros, and a sum may include or omit its products with them. Where a filter or a
// cotangent is not finite, such an output or gradient may therefore be NaN. With Winograd, operands
// that are not finite, or so large that an intermediate sum could overflow, are multiplied
// directly: the result overflows where the direct sum does, and nowhere else.
//
// Conv2D returns an error if an argument is not a float node of the right rank, b is not as long as
// w has filters, or the shapes do not describe a convolution: channels that do not match, groups
// that do not divide, a stride or dilation below 1, negative padding, a filter larger than the
// padded x.
func Conv2D(x, w, b *G.Node, p ConvParams) (*G.Node, error) {
	args := []wanted{float("x", 4, x), float("w", 4, w)}
	nodes := []*G.Node{x, w}
	if b != nil {
		args, nodes = append(args, float("b", 1, b)), append(nodes, b)
	}
	if err := check("Conv2D", args...); err != nil {
		return nil, err
	}
	g, err := p.geometry(x.Shape(), w.Shape())
	if err != nil {
		return nil, errors.Wrap(err, "ops: Conv2D")
	}
	return node(conv2D{Geometry: g, Bias: b != nil}, nodes...)
}

type conv2D struct {
	Geometry   kernel.Conv
	Bias, ReLU bool // the executor sets ReLU where one follows
}

func (o conv2D) name() string { return "Conv2D" }

func (o conv2D) args() []arg {
	a := []arg{{name: "x", rank: 4}, {name: "w", rank: 4}}
	if o.Bias {
		a = append(a, arg{name: "b", rank: 1})
	}
	return a
}

func (o conv2D) result() arg { return arg{name: "y", rank: 4} }

func (o conv2D) infer(in []tensor.Shape) (tensor.Shape, error) {
	if err := want("x", in[0], xSides(o.Geometry)...); err != nil {
		return nil, err
	}
	if err := want("w", in[1], wSides(o.Geometry)...); err != nil {
		return nil, err
	}
	if o.Bias {
		if err := want("b", in[2], o.Geometry.K); err != nil {
			return nil, err
		}
	}
	return ySides(o.Geometry), nil
}

func xSides(g kernel.Conv) tensor.Shape { return tensor.Shape{g.N, g.C, g.H, g.W} }
func wSides(g kernel.Conv) tensor.Shape { return tensor.Shape{g.K, g.C / g.Groups, g.R, g.S} }
func ySides(g kernel.Conv) tensor.Shape { return tensor.Shape{g.N, g.K, g.P, g.Q} }

func (o conv2D) exec(c *Call) error {
	if c.double() {
		conv2DForward[float64](o, c)
	} else {
		conv2DForward[float32](o, c)
	}
	return nil
}

func conv2DForward[T kernel.Float](o conv2D, c *Call) {
	kernel.Forward(o.Geometry, slice[T](c.dst), slice[T](c.in[0]), slice[T](c.in[1]), biasOf[T](o, c), o.ReLU)
}

func biasOf[T kernel.Float](o conv2D, c *Call) []T {
	if !o.Bias {
		return nil
	}
	return slice[T](c.in[2])
}

// fuse computes a ReLU or a ReLU6 that follows in the same pass.
func (o conv2D) fuse(next spec, _ int) (spec, bool) {
	cuts, six := cutOff(next)
	if !cuts || o.ReLU {
		return nil, false
	}
	o.ReLU, o.Geometry.ReLU6 = true, six
	return o, true
}

// together computes the convolution and the moments of its channels, which a batch norm asks for,
// while an image's outputs are in a near cache. Depthwise convolutions have no such pass.
func (o conv2D) together(consumer any, at []int) pass {
	g := o.Geometry
	m, ok := consumer.(moments)
	if !ok || g.Groups != 1 || m.Norm != kernel.ChannelNorm(g.N, g.K, g.P*g.Q, kernel.NormBatch) || !slices.Equal(at, []int{-1}) {
		return nil
	}
	return func(dst, consumerDst G.Value, inputs []G.Value) error {
		args := o.args()
		c, shapes, of, err := operands(args, inputs)
		if err != nil {
			return err
		}
		if _, err := o.infer(shapes); err != nil {
			return err
		}
		if c.dst, err = destination(dst, ySides(g), of); err != nil {
			return err
		}
		result, err := destination(consumerDst, tensor.Shape{2, g.K}, of)
		if err != nil || volume(c.dst.shape) == 0 {
			return err
		}
		if c.double() {
			convMoments[float64](o, c, result)
		} else {
			convMoments[float32](o, c, result)
		}
		return nil
	}
}

func convMoments[T kernel.Float](o conv2D, c *Call, moments operand) {
	kernel.ForwardMoments(o.Geometry, slice[T](c.dst), slice[T](moments), slice[T](c.in[0]), slice[T](c.in[1]), biasOf[T](o, c), o.ReLU)
}

func (o conv2D) arrange(of tensor.Dtype, in []bool, out bool) (spec, bool) {
	o.Geometry.FromLast, o.Geometry.ToLast = in[0], out
	if of == tensor.Float64 {
		return o, !in[1] && kernel.GainsByLast[float64](o.Geometry)
	}
	return o, !in[1] && kernel.GainsByLast[float32](o.Geometry)
}

// WithBias returns the node of the same convolution with other operands, b among them, for who
// computes what follows a convolution in its weights. It is nil where o is no convolution.
func (o op) WithBias(x, w, b *G.Node) (*G.Node, error) {
	c, ok := o.spec.(conv2D)
	if !ok || c.ReLU {
		return nil, nil
	}
	c.Bias = true
	return node(c, x, w, b)
}

func (o conv2D) rule() []*term {
	x, w, dy := in(0), in(1), cotangent()
	switch {
	case o.ReLU && o.Geometry.ReLU6:
		dy = apply(activationBackward{4, kernel.Activation{Func: kernel.ReLU6}}, dy, out())
	case o.ReLU:
		dy = apply(gate{Rank: 4}, dy, out())
	}
	rule := []*term{apply(conv2DBackwardData{o.Geometry}, dy, w), apply(conv2DBackwardFilter{o.Geometry}, x, dy)}
	if o.Bias {
		rule = append(rule, apply(sumChannels{sizeOf(ySides(o.Geometry))}, dy))
	}
	return rule
}

// Conv2DBackwardData returns the node dx of a convolution's input, given the cotangent dy of its
// output (article, Eq. 20 without f′):
//
//	dx[n,c,i,j] = Σ_k Σ_r Σ_s dy[n, k, p, q] · w[k,c,r,s]
//
// over the p and q with i = p·stride + r·dilation − top and j = q·stride + s·dilation − left.
//
// Shapes: dy N×K×P×Q, w K×(C/Groups)×R×S; x is the shape N×C×H×W of the convolution's input, which
// dy alone does not fix at strides above 1. It is bilinear; its derivatives are Conv2D and
// Conv2DBackwardFilter. NaN and infinities are as in Conv2D.
//
// It returns an error if an argument is not a float node of rank 4 or the shapes are not those of
// one convolution.
func Conv2DBackwardData(dy, w *G.Node, x tensor.Shape, p ConvParams) (*G.Node, error) {
	const name = "Conv2DBackwardData"
	if err := check(name, float("dy", 4, dy), float("w", 4, w)); err != nil {
		return nil, err
	}
	g, err := p.backward(name, "x", x, x, w.Shape())
	if err != nil {
		return nil, err
	}
	return node(conv2DBackwardData{g}, dy, w)
}

// backward is the geometry for the backward ops; the shape named arg came from the caller.
func (p ConvParams) backward(name, arg string, given, x, w tensor.Shape) (kernel.Conv, error) {
	if len(given) != 4 {
		return kernel.Conv{}, errors.Errorf("ops: %s: the shape of %s is %v, of rank %d, want rank 4", name, arg, given, len(given))
	}
	if err := countable(given); err != nil {
		return kernel.Conv{}, errors.Errorf("ops: %s: %s %v", name, arg, err)
	}
	g, err := p.geometry(x, w)
	return g, errors.Wrapf(err, "ops: %s", name)
}

type conv2DBackwardData struct{ Geometry kernel.Conv }

func (o conv2DBackwardData) name() string { return "Conv2DBackwardData" }
func (o conv2DBackwardData) args() []arg {
	return []arg{{name: "dy", rank: 4}, {name: "w", rank: 4}}
}
func (o conv2DBackwardData) result() arg { return arg{name: "dx", rank: 4} }

func (o conv2DBackwardData) infer(in []tensor.Shape) (tensor.Shape, error) {
	if err := want("dy", in[0], ySides(o.Geometry)...); err != nil {
		return nil, err
	}
	return xSides(o.Geometry), want("w", in[1], wSides(o.Geometry)...)
}

func (o conv2DBackwardData) exec(c *Call) error {
	if c.double() {
		kernel.BackwardData(o.Geometry, slice[float64](c.dst), slice[float64](c.in[0]), slice[float64](c.in[1]))
	} else {
		kernel.BackwardData(o.Geometry, slice[float32](c.dst), slice[float32](c.in[0]), slice[float32](c.in[1]))
	}
	return nil
}

func (o conv2DBackwardData) rule() []*term {
	dy, w, ddx := in(0), in(1), cotangent()
	return []*term{
		apply(conv2D{Geometry: o.Geometry}, ddx, w),
		apply(conv2DBackwardFilter(o), ddx, dy),
	}
}

// Conv2DBackwardFilter returns the node dw of a convolution's filters, given the cotangent dy of
// its output (article, Eq. 13):
//
//	dw[k,c,r,s] = Σ_n Σ_p Σ_q dy[n,k,p,q] · x[n, c, i, j]
//
// with i = p·stride + r·dilation − top and j = q·stride + s·dilation − left.
//
// Shapes: x N×C×H×W, dy N×K×P×Q; w is the shape K×(C/Groups)×R×S of the filters. It is bilinear;
// its derivatives are Conv2DBackwardData and Conv2D. NaN and infinities are as in Conv2D.
//
// It returns an error if an argument is not a float node of rank 4 or the shapes are not those of
// one convolution.
func Conv2DBackwardFilter(x, dy *G.Node, w tensor.Shape, p ConvParams) (*G.Node, error) {
	const name = "Conv2DBackwardFilter"
	if err := check(name, float("x", 4, x), float("dy", 4, dy)); err != nil {
		return nil, err
	}
	g, err := p.backward(name, "w", w, x.Shape(), w)
	if err != nil {
		return nil, err
	}
	return node(conv2DBackwardFilter{g}, x, dy)
}

type conv2DBackwardFilter struct{ Geometry kernel.Conv }

func (o conv2DBackwardFilter) name() string { return "Conv2DBackwardFilter" }
func (o conv2DBackwardFilter) args() []arg {
	return []arg{{name: "x", rank: 4}, {name: "dy", rank: 4}}
}
func (o conv2DBackwardFilter) result() arg { return arg{name: "dw", rank: 4} }

func (o conv2DBackwardFilter) infer(in []tensor.Shape) (tensor.Shape, error) {
	if err := want("x", in[0], xSides(o.Geometry)...); err != nil {
		return nil, err
	}
	return wSides(o.Geometry), want("dy", in[1], ySides(o.Geometry)...)
}

func (o conv2DBackwardFilter) exec(c *Call) error {
	if c.double() {
		kernel.BackwardFilter(o.Geometry, slice[float64](c.dst), slice[float64](c.in[1]), slice[float64](c.in[0]))
	} else {
		kernel.BackwardFilter(o.Geometry, slice[float32](c.dst), slice[float32](c.in[1]), slice[float32](c.in[0]))
	}
	return nil
}

func (o conv2DBackwardFilter) rule() []*term {
	x, dy, ddw := in(0), in(1), cotangent()
	return []*term{
		apply(conv2DBackwardData(o), dy, ddw),
		apply(conv2D{Geometry: o.Geometry}, x, ddw),
	}
}

// sumChannels is db[k] = Σ_n Σ_p Σ_q dy[n,k,p,q], the derivative of a bias per filter;
// spreadChannels, dy[n,k,p,q] = db[k], is its adjoint.
type sumChannels struct{ Of size }

func (o sumChannels) geometry() kernel.Conv {
	s := o.Of.sides
	return kernel.Conv{N: s[0], K: s[1], P: s[2], Q: s[3]} // all that a bias depends on
}

func (o sumChannels) name() string  { return "SumChannels" }
func (o sumChannels) args() []arg   { return []arg{{name: "dy", rank: 4}} }
func (o sumChannels) result() arg   { return arg{name: "db", rank: 1} }
func (o sumChannels) rule() []*term { return []*term{apply(spreadChannels(o), cotangent())} }
func (o sumChannels) infer(in []tensor.Shape) (tensor.Shape, error) {
	return tensor.Shape{o.Of.sides[1]}, want("dy", in[0], o.Of.shape()...)
}

func (o sumChannels) exec(c *Call) error {
	if c.double() {
		kernel.BackwardBias(o.geometry(), slice[float64](c.dst), slice[float64](c.in[0]))
	} else {
		kernel.BackwardBias(o.geometry(), slice[float32](c.dst), slice[float32](c.in[0]))
	}
	return nil
}

type spreadChannels struct{ Of size }

func (o spreadChannels) name() string  { return "SpreadChannels" }
func (o spreadChannels) args() []arg   { return []arg{{name: "b", rank: 1}} }
func (o spreadChannels) result() arg   { return arg{name: "y", rank: 4} }
func (o spreadChannels) rule() []*term { return []*term{apply(sumChannels(o), cotangent())} }
func (o spreadChannels) infer(in []tensor.Shape) (tensor.Shape, error) {
	return o.Of.shape(), want("b", in[0], o.Of.sides[1])
}

func (o spreadChannels) exec(c *Call) error {
	if c.double() {
		spreadOver(o.Of, slice[float64](c.dst), slice[float64](c.in[0]))
	} else {
		spreadOver(o.Of, slice[float32](c.dst), slice[float32](c.in[0]))
	}
	return nil
}

func spreadOver[T kernel.Float](s size, y, b []T) {
	plane := s.sides[2] * s.sides[3]
	for i := range y {
		y[i] = b[i/plane%len(b)]
	}
}

// Region returns Q, the region of a convolution's output that the input pixel (i, j) reaches
// (article, Eqs. 16 and 17), as the half-open ranges of rows and of columns. At stride 1 without
// padding, Q is rows i−R+1 … i and columns j−S+1 … j, cut to the output. With a dilation, the
// outputs inside the ranges that step over the pixel are not part of Q.
//
// Shapes are those of Conv2D. Region returns an error if they do not describe a convolution or the
// pixel is not in x.
func Region(x, w tensor.Shape, p ConvParams, i, j int) (rows, cols [2]int, err error) {
	g, err := p.ofShapes("Region", x, w)
	if err != nil {
		return rows, cols, err
	}
	if i < 0 || i >= g.H || j < 0 || j >= g.W {
		return rows, cols, errors.Errorf("ops: Region: the pixel (%d, %d) is not in x, which is %v", i, j, x)
	}
	rows[0], rows[1] = g.Rows.Reach(i)
	cols[0], cols[1] = g.Cols.Reach(j)
	return rows, cols, nil
}

// ofShapes is the geometry for shapes that no node vouches for.
func (p ConvParams) ofShapes(name string, x, w tensor.Shape) (kernel.Conv, error) {
	if len(x) != 4 || len(w) != 4 {
		return kernel.Conv{}, errors.Errorf("ops: %s: x is %v and w is %v, want rank 4 both", name, x, w)
	}
	if err := countable(x); err != nil {
		return kernel.Conv{}, errors.Errorf("ops: %s: x %v", name, err)
	}
	if err := countable(w); err != nil {
		return kernel.Conv{}, errors.Errorf("ops: %s: w %v", name, err)
	}
	g, err := p.geometry(x, w)
	return g, errors.Wrapf(err, "ops: %s", name)
}

// drawConv draws the parameters of a convolution, and the shapes of x and w that they fit.
func drawConv(r *rand.Rand) (p ConvParams, x, w tensor.Shape) {
	p = ConvParams{
		Stride: Size{1 + r.IntN(2), 1 + r.IntN(3)}, Dilation: Size{1 + r.IntN(2), 1 + r.IntN(2)},
		Pad: Padding{Top: r.IntN(3), Bottom: r.IntN(2), Left: r.IntN(2), Right: r.IntN(3)}, Groups: 1 + r.IntN(2), Flip: r.IntN(2) == 0,
	}
	w = tensor.Shape{p.Groups * (1 + r.IntN(2)), 1 + r.IntN(2), 1 + r.IntN(3), 1 + r.IntN(2)}
	return p, tensor.Shape{1 + r.IntN(2), p.Groups * w[1], 5 + r.IntN(2), 4}, w
}

func init() {
	opset.Register(opset.Entry{Name: "Conv2D", Draw: func(r *rand.Rand) opset.Case {
		p, x, w := drawConv(r)
		inputs := []opset.Input{opset.Normal("x", x...), opset.Normal("w", w...), opset.Normal("b", w[0])}
		return opset.Case{
			Params: fmt.Sprintf("%+v, x %v, w %v", p, x, w), Inputs: inputs[:2+r.IntN(2)],
			Build: func(in []*G.Node) (*G.Node, error) {
				var b *G.Node
				if len(in) > 2 {
					b = in[2]
				}
				return Conv2D(in[0], in[1], b, p)
			},
		}
	}})
}

func init() {
	opset.Timed("Conv2D", func() []opset.Case {
		return []opset.Case{opset.Call("as large as x", "F.conv2d(x, w)", func(in []*G.Node) (*G.Node, error) {
			return Conv2D(in[0], in[1], nil, ConvParams{})
		}, opset.Normal("x", 16, 64, 14, 14), opset.Normal("w", 64, 64, 14, 14))}
	})
}

func init() {
	y := func(p ConvParams, x, w tensor.Shape) tensor.Shape {
		g, err := p.geometry(x, w)
		if err != nil {
			return nil // Build says why
		}
		return tensor.Shape{g.N, g.K, g.P, g.Q}
	}
	opset.Register(opset.Entry{Name: "Conv2DBackwardData", Draw: func(r *rand.Rand) opset.Case {
		p, x, w := drawConv(r)
		return opset.Case{
			Params: fmt.Sprintf("%+v, x %v, w %v", p, x, w),
			Inputs: []opset.Input{opset.Normal("dy", y(p, x, w)...), opset.Normal("w", w...)},
			Build:  func(in []*G.Node) (*G.Node, error) { return Conv2DBackwardData(in[0], in[1], x, p) },
		}
	}})
	opset.Register(opset.Entry{Name: "Conv2DBackwardFilter", Draw: func(r *rand.Rand) opset.Case {
		p, x, w := drawConv(r)
		return opset.Case{
			Params: fmt.Sprintf("%+v, x %v, w %v", p, x, w),
			Inputs: []opset.Input{opset.Normal("x", x...), opset.Normal("dy", y(p, x, w)...)},
			Build:  func(in []*G.Node) (*G.Node, error) { return Conv2DBackwardFilter(in[0], in[1], w, p) },
		}
	}})
}
