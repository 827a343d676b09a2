package ops

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"

	"github.com/pkg/errors"
	G "gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/convgrad/convgrad/internal/kernel"
	"github.com/convgrad/convgrad/internal/opset"
)

// Stats are the statistics of each channel: nodes of rank 1, one number a channel.
type Stats struct {
	Mean *G.Node
	// Var is the biased variance, Σ(x−mean)²/count. PyTorch keeps count/(count−1) times it as its
	// running variance.
	Var *G.Node
}

// BatchNorm returns the node y, x with each channel normalised by its own mean and variance over
// the batch and the image (Ioffe and Szegedy, 2015):
//
//	x̂ = (x − mean_c)/√(var_c + eps),   y = scale_c·x̂ + bias_c
//
// Shapes: x N×C, N×C×L or N×C×H×W; scale and bias C, or both nil for ones and zeros. var is biased.
//
// Derivatives, with means over the count elements of a channel:
//
//	dx = scale/√(var + eps)·(dy − mean(dy) − x̂·mean(dy·x̂)),   dscale = Σ dy·x̂,   dbias = Σ dy
//
// dx contains what mean and variance owe to x. They have derivatives again, but none of third
// order.
//
// NaN and infinities make NaN of their whole channel. A channel whose elements are equal gives
// bias.
//
// BatchNorm returns an error if an argument is not a float node of the right rank and length, one
// of scale and bias is nil, eps is not positive and finite, or a channel has a single element,
// whose variance says nothing.
func BatchNorm(x, scale, bias *G.Node, eps float64) (*G.Node, error) {
	y, _, err := batchNorm(x, scale, bias, eps)
	return y, err
}

// BatchNormStats is BatchNorm and returns the statistics too, as the forward pass notes them. They
// have derivatives of their own; y has none by them. LispMachine refuses a graph in which one of
// them is used for nothing.
func BatchNormStats(x, scale, bias *G.Node, eps float64) (y *G.Node, s Stats, err error) {
	y, m, err := batchNorm(x, scale, bias, eps)
	if err != nil {
		return nil, s, err
	}
	channels := x.Shape()[1]
	if s.Mean, err = node(momentRow{channels, 0}, m); err != nil {
		return nil, s, err
	}
	s.Var, err = node(momentRow{channels, 1}, m)
	return y, s, err
}

// batchNorm makes y and the matrix of means and variances.
func batchNorm(x, scale, bias *G.Node, eps float64) (y, m *G.Node, err error) {
	const name = "BatchNorm"
	o, operands, err := channels(name, kernel.NormBatch, x, scale, bias, eps)
	if err != nil {
		return nil, nil, err
	}
	if o.Norm.Count() < 2 {
		return nil, nil, errors.Errorf("ops: %s: x is %v, of %d elements a channel, want two or more: fewer have no variance", name, x.Shape(), o.Norm.Count())
	}
	if m, err = node(moments{o.Of, o.Norm}, x); err != nil {
		return nil, nil, err
	}
	y, err = node(o, append(operands, m)...)
	return y, m, err
}

// BatchNormEval is BatchNorm by given statistics, such as running means, which are constants: y has
// no derivative by them, and dx = scale/√(var + eps)·dy. Negative variances give NaN.
//
// It returns an error as BatchNorm does, but takes channels of one element, and if Stats are not
// float nodes of one number a channel.
func BatchNormEval(x, scale, bias *G.Node, s Stats, eps float64) (*G.Node, error) {
	const name = "BatchNormEval"
	o, operands, err := channels(name, kernel.NormFixed, x, scale, bias, eps)
	if err != nil {
		return nil, err
	}
	if err := check(name, float("x", -1, x), float("mean", 1, s.Mean), float("variance", 1, s.Var)); err != nil {
		return nil, err
	}
	m, err := node(stack{o.Norm.Groups}, s.Mean, s.Var)
	if err != nil {
		return nil, errors.Wrapf(err, "ops: %s", name)
	}
	return node(o, append(operands, m)...)
}

// LayerNorm returns the node y, x with each item normalised over its last axes, lastAxes of them
// (Ba, Kiros and Hinton, 2016), by the equation of BatchNorm, and then scale·x̂ + bias element by
// element.
//
// Shapes: x of rank 2 or more, y as x; scale and bias have the shape of x's last axes, or are both
// nil.
//
// Derivatives are BatchNorm's, with the item in the place of the channel for dx, and sums over all
// items for dscale and dbias.
//
// LayerNorm returns an error if an argument is not a float node of the right shape, lastAxes is not
// between 1 and x's rank, or eps is not positive and finite.
func LayerNorm(x, scale, bias *G.Node, lastAxes int, eps float64) (*G.Node, error) {
	const name = "LayerNorm"
	if err := normArguments(name, x, scale, bias, eps); err != nil {
		return nil, err
	}
	s := x.Shape()
	if lastAxes < 1 || lastAxes > len(s) {
		return nil, errors.Errorf("ops: %s: the last %d axes of x, which is %v, want 1 to %d", name, lastAxes, s, len(s))
	}
	last := s[len(s)-lastAxes:]
	rows := kernel.Rows{M: volume(s[:len(s)-lastAxes]), PerRow: volume(last), Plane: 1, Period: 1}
	if scale == nil {
		y, err := standardised(x, rows, eps)
		return y, errors.Wrapf(err, "ops: %s", name)
	}
	flat := make([]*G.Node, 2)
	for i, n := range []*G.Node{scale, bias} {
		err := want([]string{"scale", "bias"}[i], n.Shape(), last...)
		if err == nil {
			flat[i], err = Reshape(n, rows.PerRow)
		}
		if err != nil {
			return nil, errors.Wrapf(err, "ops: %s", name)
		}
	}
	return rowsNormalised(x, flat[0], flat[1], rows, eps)
}

// GroupNorm returns the node y, x with each image's channels normalised in groups of neighbours (Wu
// and He, 2018) by the equation of BatchNorm, and then scale_c·x̂ + bias_c. One group normalises a
// whole image, as many groups as channels each plane by itself (instance norm).
//
// Shapes: x N×C, N×C×L or N×C×H×W, y as x; scale and bias C, or both nil.
//
// Derivatives are BatchNorm's, with the group in the place of the channel for dx.
//
// GroupNorm returns an error if an argument is not a float node of the right shape, groups do not
// divide the channels, or eps is not positive and finite.
func GroupNorm(x, scale, bias *G.Node, groups int, eps float64) (*G.Node, error) {
	const name = "GroupNorm"
	if _, _, err := channels(name, kernel.NormBatch, x, scale, bias, eps); err != nil {
		return nil, err
	}
	s := x.Shape()
	if groups < 1 || s[1]%groups != 0 {
		return nil, errors.Errorf("ops: %s: %d groups do not divide the %d channels of x, which is %v", name, groups, s[1], s)
	}
	rows := kernel.Rows{M: s[0] * groups, PerRow: s[1] / groups, Plane: volume(s[2:]), Period: groups}
	if scale == nil {
		y, err := standardised(x, rows, eps)
		return y, errors.Wrapf(err, "ops: %s", name)
	}
	return rowsNormalised(x, scale, bias, rows, eps)
}

// standardised is x̂ without scale and bias.
func standardised(x *G.Node, g kernel.Rows, eps float64) (*G.Node, error) {
	m, err := node(moments{sizeOf(x.Shape()), g.Norm()}, x)
	if err != nil {
		return nil, err
	}
	return node(normalise{Of: sizeOf(x.Shape()), Norm: g.Norm(), Eps: eps}, x, m)
}

// rowsNormalised is scale·x̂ + bias.
func rowsNormalised(x, scale, bias *G.Node, g kernel.Rows, eps float64) (*G.Node, error) {
	m, err := node(moments{sizeOf(x.Shape()), g.Norm()}, x)
	if err != nil {
		return nil, err
	}
	return Apply(rowNormalise{sizeOf(x.Shape()), g, eps}, x, scale, bias, m)
}

// normArguments checks what all normalisations take.
func normArguments(name string, x, scale, bias *G.Node, eps float64) error {
	args := []wanted{float("x", -1, x)}
	if (scale == nil) != (bias == nil) {
		return errors.Errorf("ops: %s: one of scale and bias is nil, want both or neither", name)
	}
	if scale != nil {
		args = append(args, float("scale", -1, scale), float("bias", -1, bias))
	}
	if err := check(name, args...); err != nil {
		return err
	}
	if x.Dims() < 2 {
		return errors.Errorf("ops: %s: x has shape %v, of rank %d, want rank 2 or more", name, x.Shape(), x.Dims())
	}
	if !(eps > 0) || math.IsInf(eps, 0) {
		return errors.Errorf("ops: %s: eps is %v, want a positive finite number", name, eps)
	}
	return nil
}

// channels is the op that normalises x's channels, and its operands but for the moments.
func channels(name string, mode kernel.NormMode, x, scale, bias *G.Node, eps float64) (o normalise, operands []*G.Node, err error) {
	if err := normArguments(name, x, scale, bias, eps); err != nil {
		return o, nil, err
	}
	s := x.Shape()
	if len(s) > 4 {
		return o, nil, errors.Errorf("ops: %s: x has shape %v, of rank %d, want rank 2 to 4", name, s, len(s))
	}
	g := kernel.ChannelNorm(s[0], s[1], volume(s[2:]), mode)
	o = normalise{Of: sizeOf(s), Norm: g, Affine: scale != nil, Eps: eps}
	if scale == nil {
		return o, []*G.Node{x}, nil
	}
	for i, n := range []*G.Node{scale, bias} {
		if err := want([]string{"scale", "bias"}[i], n.Shape(), s[1]); err != nil {
			return o, nil, errors.Wrapf(err, "ops: %s", name)
		}
	}
	return o, []*G.Node{x, scale, bias}, nil
}

// The ops of normalisation. Mean and variance of each group are the two rows of one matrix,
// moments, and so are the sums of dy and of dy·x̂. Where a Norm's mode is NormBatch or NormRaw the
// moments operand holds those of x: the derivatives by x contain what goes through them, and there
// is none by the operand.

// moments is the matrix of means and variances.
type moments struct {
	Of   size
	Norm kernel.Norm
}

func (o moments) name() string { return "Moments" }
func (o moments) args() []arg  { return []arg{{name: "x", rank: o.Of.rank}} }
func (o moments) result() arg  { return arg{name: "moments", rank: 2} }
func (o moments) infer(in []tensor.Shape) (tensor.Shape, error) {
	return tensor.Shape{2, o.Norm.Groups}, want("x", in[0], o.Of.shape()...)
}

// rule: the mean gives dmean/count to each element, the variance dvar·2(x − mean)/count.
func (o moments) rule() []*term {
	g, count := o.Norm, float64(o.Norm.Count())
	g.Mode = kernel.NormRaw
	part := func(i int, factor float64) *term {
		return apply(scale{1, factor / count}, apply(momentRow{g.Groups, i}, cotangent()))
	}
	return []*term{apply(normalise{Of: o.Of, Norm: g, Affine: true}, in(0), part(1, 2), part(0, 1), out())}
}

func (o moments) exec(c *Call) error {
	if c.double() {
		kernel.Moments(o.Norm, slice[float64](c.dst), slice[float64](c.in[0]))
	} else {
		kernel.Moments(o.Norm, slice[float32](c.dst), slice[float32](c.in[0]))
	}
	return nil
}

// together computes the moments and what they normalise, group by group.
func (o moments) together(consumer any, at []int) pass {
	if r, ok := consumer.(rowNormalise); ok && r.Of == o.Of && r.Rows.Norm() == o.Norm {
		return r.momentsTogether(at)
	}
	n, ok := consumer.(normalise)
	if !ok || n.Of != o.Of || n.Norm != o.Norm {
		return nil
	}
	args := n.args()
	for i, a := range args {
		if (a.name == "x") != (at[i] == 0) || (a.name == "moments") != (at[i] == -1) {
			return nil
		}
	}
	return n.pass(args, at, momentsNormalise[float32], momentsNormalise[float64])
}

// pass runs f32 or f64 for an op whose result is a matrix of two rows, and for its consumer, o or
// o's backward op, whose operands are args.
func (o normalise) pass(args []arg, at []int, f32, f64 func(o normalise, c *Call, result operand)) pass {
	return onePass(args, at, func(in []tensor.Shape) (first, second tensor.Shape, err error) {
		return tensor.Shape{2, o.Norm.Groups}, o.Of.shape(), o.sides(args, in)
	}, func(c *Call, result operand) {
		if c.double() {
			f64(o, c, result)
		} else {
			f32(o, c, result)
		}
	})
}

// onePass runs f for two ops. args are the operands of the one whose result f is given as its
// call's; the other's result is f's operand, and may be among args, where at is −1.
func onePass(args []arg, at []int, infer func([]tensor.Shape) (first, second tensor.Shape, err error), f func(c *Call, first operand)) pass {
	return func(dst, consumerDst G.Value, inputs []G.Value) error {
		values := make([]G.Value, len(args))
		for i, k := range at {
			if values[i] = dst; k >= 0 {
				values[i] = inputs[k]
			}
		}
		c, shapes, of, err := operands(args, values)
		if err != nil {
			return err
		}
		first, second, err := infer(shapes)
		if err != nil {
			return err
		}
		result, err := destination(dst, first, of)
		if err != nil {
			return err
		}
		if c.dst, err = destination(consumerDst, second, of); err != nil || volume(c.dst.shape) == 0 {
			result.clear()
			return err
		}
		f(c, result)
		return nil
	}
}

func momentsNormalise[T kernel.Float](o normalise, c *Call, moments operand) {
	kernel.MomentsNormalise(o.Norm, slice[T](moments), slice[T](c.dst), byName[T](c, o.args(), "x"), affineTail[T](o, c))
}

// normalise is y = scale·x̂ + bias. Its operands are x, scale and bias where Affine is set, and the
// moments. An executor may make it add another tensor, its last
// operand, and end with a ReLU or, where that is set too, a ReLU6.
type normalise struct {
	Of        size
	Norm      kernel.Norm
	Affine    bool
	Eps       float64
	Add, ReLU bool
	ReLU6     bool
}

func (o normalise) InPlace() int { return 0 }

// fuse takes in a sum with a tensor of the same shape, and a ReLU or ReLU6.
func (o normalise) fuse(next spec, at int) (spec, bool) {
	if cuts, six := cutOff(next); cuts && !o.ReLU {
		o.ReLU, o.ReLU6 = true, six
		return o, true
	}
	n, ok := next.(applied)
	if !ok || n.Op != Op(binaryOp{plus}) || o.Add || o.ReLU || !slices.Equal(n.in[0], n.in[1]) {
		return nil, false
	}
	o.Add = true
	return o, true
}

// withMoments lists terms, argument descriptions or values: first, then scale, then more, then
// moments. Scale is left out where the op has none.
func withMoments[E any](o normalise, first []E, scale, moments E, more ...E) []E {
	all := first
	if o.Affine {
		all = append(all, scale)
	}
	all = append(all, more...)
	return append(all, moments)
}

func (o normalise) name() string { return "Normalise" }
func (o normalise) args() []arg {
	x, scale, m := arg{name: "x", rank: o.Of.rank}, arg{name: "scale", rank: 1}, arg{name: "moments", rank: 2}
	var args []arg
	if o.Affine {
		args = withMoments(o, []arg{x}, scale, m, arg{name: "bias", rank: 1})
	} else {
		args = withMoments(o, []arg{x}, scale, m)
	}
	if o.Add {
		args = append(args, arg{name: "the tensor to add", rank: o.Of.rank})
	}
	return args
}
func (o normalise) result() arg { return arg{name: "y", rank: o.Of.rank} }

// infer checks operands by their names.
func (o normalise) infer(in []tensor.Shape) (tensor.Shape, error) {
	return o.Of.shape(), o.sides(o.args(), in)
}

// sides checks the shapes of operands.
func (o normalise) sides(args []arg, in []tensor.Shape) error {
	for i, a := range args {
		wanted := o.Of.shape()
		switch a.name {
		case "scale", "bias":
			wanted = tensor.Shape{o.Norm.Groups}
		case "moments", "sums", "sums of v":
			wanted = tensor.Shape{2, o.Norm.Groups}
		}
		if err := want(a.name, in[i], wanted...); err != nil {
			return err
		}
	}
	return nil
}

// byName is the operand of that name, or nil.
func byName[T kernel.Float](c *Call, args []arg, name string) []T {
	for i, a := range args {
		if a.name == name {
			return slice[T](c.in[i])
		}
	}
	return nil
}

func (o normalise) rule() []*term {
	m := in(len(o.args()) - 1)
	sums := apply(normSums(o), withMoments(o.plain(), []*term{cotangent(), in(0)}, nil, m)...)
	dx := apply(normBackward(o), withMoments(o, []*term{cotangent(), in(0)}, in(1), m, sums)...)
	rule := []*term{dx}
	if o.Affine {
		rule = append(rule, apply(momentRow{o.Norm.Groups, 1}, sums), apply(momentRow{o.Norm.Groups, 0}, sums))
	}
	return append(rule, nil)
}

// plain is the op without scale and bias.
func (o normalise) plain() normalise { o.Affine = false; return o }

func (o normalise) exec(c *Call) error {
	if c.double() {
		normaliseOf[float64](o, c)
	} else {
		normaliseOf[float32](o, c)
	}
	return nil
}

func normaliseOf[T kernel.Float](o normalise, c *Call) {
	a := o.args()
	kernel.Normalise(o.Norm, slice[T](c.dst), byName[T](c, a, "x"), byName[T](c, a, "moments"), affineTail[T](o, c))
}

// affineTail is what follows x̂.
func affineTail[T kernel.Float](o normalise, c *Call) kernel.Affine[T] {
	a := o.args()
	return kernel.Affine[T]{
		Scale: byName[T](c, a, "scale"), Bias: byName[T](c, a, "bias"), Add: byName[T](c, a, "the tensor to add"), Eps: o.Eps, ReLU: o.ReLU, ReLU6: o.ReLU6,
	}
}

// standard is x̂ of each group of elements, that which of gives to element i.
func standard(x []float64, groups int, of func(i int) int, eps float64) []float64 {
	mean, variance, count := make([]float64, groups), make([]float64, groups), float64(len(x)/groups)
	for i, v := range x {
		mean[of(i)] += v / count
	}
	for i, v := range x {
		variance[of(i)] += (v - mean[of(i)]) * (v - mean[of(i)]) / count
	}
	y := make([]float64, len(x))
	for i, v := range x {
		y[i] = (v - mean[of(i)]) / math.Sqrt(variance[of(i)]+eps)
	}
	return y
}

func init() {
	shapes := [][]int{{5, 4}, {3, 4, 3}, {2, 4, 3, 2}}
	register := func(name string, affine func(shape []int, extra int) []int, of func(shape []int, extra, i int) int,
		op func(x, scale, bias *G.Node, extra int) (*G.Node, error)) {
		opset.Register(opset.Entry{Name: name, Draw: func(r *rand.Rand) opset.Case {
			shape, extra := shapes[r.IntN(3)], 1+r.IntN(2)
			if name == "LayerNorm" {
				extra = 1 + r.IntN(len(shape)-1)
			}
			n := tensor.Shape(shape).TotalSize()
			groups := 0
			for i := range n {
				groups = max(groups, of(shape, extra, i)+1)
			}
			sides := affine(shape, extra)
			inner := 1 // elements of x that share a scale and lie side by side
			if name != "LayerNorm" {
				inner = n / (shape[0] * shape[1])
			}
			return opset.Case{
				Params: fmt.Sprint(shape, ", ", extra),
				Inputs: []opset.Input{opset.Normal("x", shape...), opset.Normal("scale", sides...), opset.Normal("bias", sides...)},
				Build:  func(in []*G.Node) (*G.Node, error) { return op(in[0], in[1], in[2], extra) },
				Terms:  4*n/groups + 16,
				Want: func(in [][]float64) []float64 {
					y := standard(in[0], groups, func(i int) int { return of(shape, extra, i) }, 0.25)
					for i := range y {
						c := i / inner % len(in[1])
						y[i] = y[i]*in[1][c] + in[2][c]
					}
					return y
				},
			}
		}})
	}
	channel := func(shape []int, _ int) []int { return shape[1:2] }
	register("BatchNorm", channel, func(shape []int, _, i int) int {
		return i / (tensor.Shape(shape).TotalSize() / (shape[0] * shape[1])) % shape[1]
	}, func(x, scale, bias *G.Node, _ int) (*G.Node, error) {
		return BatchNorm(x, scale, bias, 0.25)
	})
	register("GroupNorm", channel, func(shape []int, extra, i int) int {
		return i / (tensor.Shape(shape).TotalSize() / (shape[0] * 2 * extra))
	}, func(x, scale, bias *G.Node, extra int) (*G.Node, error) {
		return GroupNorm(x, scale, bias, 2*extra, 0.25)
	})
	register("LayerNorm", func(shape []int, extra int) []int { return shape[len(shape)-extra:] }, func(shape []int, extra, i int) int {
		return i / tensor.Shape(shape[len(shape)-extra:]).TotalSize()
	}, func(x, scale, bias *G.Node, extra int) (*G.Node, error) {
		return LayerNorm(x, scale, bias, extra, 0.25)
	})
	opset.Register(opset.Entry{Name: "BatchNormEval", Draw: func(r *rand.Rand) opset.Case {
		shape := shapes[r.IntN(3)]
		n, c := tensor.Shape(shape).TotalSize(), shape[1]
		return opset.Case{
			Params: fmt.Sprint(shape),
			// y has no derivative by the statistics, so they are constants: 0.5 and 1.5.
			Inputs: []opset.Input{opset.Normal("x", shape...), opset.Normal("scale", c), opset.Normal("bias", c)},
			Build: func(in []*G.Node) (*G.Node, error) {
				var t Try
				zeros := t.Do(Mul(in[1], t.Do(Affine(in[1], 0, 0))))
				s := Stats{Mean: t.Do(Affine(zeros, 1, 0.5)), Var: t.Do(Affine(zeros, 1, 1.5))}
				if t.Err() != nil {
					return nil, t.Err()
				}
				return BatchNormEval(in[0], in[1], in[2], s, 0.25)
			},
			Terms: 16,
			Want: func(in [][]float64) []float64 {
				y := make([]float64, n)
				for i, v := range in[0] {
					k := i / (n / (shape[0] * c)) % c
					y[i] = (v-0.5)/math.Sqrt(1.75)*in[1][k] + in[2][k]
				}
				return y
			},
		}
	}})
}

func init() {
	x, scale, bias := opset.Normal("x", 16, 64, 56, 56), opset.Normal("scale", 64), opset.Normal("bias", 64)
	opset.Timed("BatchNorm", func() []opset.Case {
		const torch = "F.batch_norm(x, None, None, scale, bias, True, 0.1, 1e-5)"
		return []opset.Case{
			opset.Call("", torch, func(in []*G.Node) (*G.Node, error) {
				return BatchNorm(in[0], in[1], in[2], 1e-5)
			}, x, scale, bias),
			opset.Call("then ReLU", "F.relu("+torch+")", func(in []*G.Node) (*G.Node, error) {
				var t Try
				return t.Do(ReLU(t.Do(BatchNorm(in[0], in[1], in[2], 1e-5)))), t.Err()
			}, x, scale, bias),
			opset.Call("then + r, ReLU", "F.relu("+torch+" + r)", func(in []*G.Node) (*G.Node, error) {
				var t Try
				return t.Do(ReLU(t.Do(Add(t.Do(BatchNorm(in[0], in[1], in[2], 1e-5)), in[3])))), t.Err()
			}, x, scale, bias, opset.Normal("r", 16, 64, 56, 56)),
			opset.Call("", torch, func(in []*G.Node) (*G.Node, error) {
				return BatchNorm(in[0], in[1], in[2], 1e-5)
			}, opset.Normal("x", 32, 256, 14, 14), opset.Normal("scale", 256), opset.Normal("bias", 256)),
		}
	})
	opset.Timed("GroupNorm", func() []opset.Case {
		return []opset.Case{opset.Call("8 groups", "F.group_norm(x, 8, scale, bias)", func(in []*G.Node) (*G.Node, error) {
			return GroupNorm(in[0], in[1], in[2], 8, 1e-5)
		}, x, scale, bias)}
	})
	opset.Timed("LayerNorm", func() []opset.Case {
		return []opset.Case{opset.Call("", "F.layer_norm(x, (384,), scale, bias)", func(in []*G.Node) (*G.Node, error) {
			return LayerNorm(in[0], in[1], in[2], 1, 1e-5)
		}, opset.Normal("x", 32, 196, 384), opset.Normal("scale", 384), opset.Normal("bias", 384))}
	})
}
