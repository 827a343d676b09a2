package ops

import (
	"fmt"
	"math/rand/v2"

	"github.com/pkg/errors"
	G "gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/convgrad/convgrad/internal/kernel"
	"github.com/convgrad/convgrad/internal/opset"
)

// Add returns the node y = a + b, element by element.
//
// Shapes: aligned at their last axes; an axis of one element, or one that is missing, is repeated
// along the other's. y has the larger of each.
//
// Derivatives: da is dy summed over the axes along which a was repeated, and db likewise.
//
// NaN and infinities are as in the arithmetic of the elements' type, here and in Sub, Mul and Div.
//
// Add returns an error if a and b are not float nodes of one graph and type or the shapes do not
// match.
func Add(a, b *G.Node) (*G.Node, error) { return Apply(binaryOp{plus}, a, b) }

// Sub returns the node y = a − b, element by element. Shapes are Add's.
//
// Derivatives: da = dy and db = −dy, summed as in Add.
func Sub(a, b *G.Node) (*G.Node, error) { return Apply(binaryOp{minus}, a, b) }

// Mul returns the node y = a·b, element by element. Shapes are Add's. The matrix product is MatMul.
//
// Derivatives: da = dy·b and db = dy·a, summed as in Add.
func Mul(a, b *G.Node) (*G.Node, error) { return Apply(binaryOp{times}, a, b) }

// Div returns the node y = a/b, element by element. Shapes are Add's. A division by zero gives an
// infinity, or NaN for 0/0.
//
// Derivatives: da = dy/b and db = −dy·y/b, summed as in Add.
func Div(a, b *G.Node) (*G.Node, error) { return Apply(binaryOp{over}, a, b) }

type binaryKind int

const (
	plus  = binaryKind(kernel.Plus)
	minus = binaryKind(kernel.Minus)
	times = binaryKind(kernel.Times)
	over  = binaryKind(kernel.Over)
)

type binaryOp struct{ Kind binaryKind }

func (o binaryOp) Name(int) (string, []string) {
	return [...]string{"Add", "Sub", "Mul", "Div"}[o.Kind], []string{"a", "b"}
}

func (o binaryOp) Infer(in []tensor.Shape) (tensor.Shape, error) {
	a, b := in[0], in[1]
	rank := max(len(a), len(b))
	y := make(tensor.Shape, rank)
	for i := range y {
		m, n := side(a, i-rank+len(a)), side(b, i-rank+len(b))
		switch {
		case m == n || n == 1:
			y[i] = m
		case m == 1:
			y[i] = n
		default:
			return nil, errors.Errorf("a has %d elements on an axis and b %d, want as many or 1: a is %v, b is %v", m, n, a, b)
		}
	}
	return y, countable(y)
}

// side is the length of an axis, or 1 for one that is missing in front.
func side(s tensor.Shape, axis int) int {
	if axis < 0 {
		return 1
	}
	return s[axis]
}

func (o binaryOp) InPlace() int          { return 0 }
func (o binaryOp) Compute(c *Call) error { return ByType(o, c, combined[float32], combined[float64]) }

func (o binaryOp) Rule(in []*G.Node, y, dy *G.Node) ([]*G.Node, error) {
	var t Try
	da, db := dy, dy
	switch o.Kind {
	case minus:
		db = t.Do(Affine(dy, -1, 0))
	case times:
		da, db = t.Do(Mul(dy, in[1])), t.Do(Mul(dy, in[0]))
	case over:
		da = t.Do(Div(dy, in[1]))
		// y/b before dy: dy/b may overflow where y is 0
		db = t.Do(Affine(t.Do(Mul(dy, t.Do(Div(y, in[1])))), -1, 0))
	}
	return []*G.Node{t.Do(sumLike(da, in[0].Shape())), t.Do(sumLike(db, in[1].Shape()))}, t.Err()
}

// A walk goes through the elements of a result and of two operands that are repeated along some
// axes. Neighbouring axes that both operands go through alike are one.
type walk struct {
	sides, a, b []int // lengths, and distances in the operands
}

// kernels is the walk as kernels take it.
func (w walk) kernels() kernel.Walk { return kernel.Walk{Sides: w.sides, A: w.a, B: w.b} }

func newWalk(y, a, b tensor.Shape) walk {
	var w walk
	ra, rb := strides(a, len(y)), strides(b, len(y))
	for i, n := range y {
		if n == 1 {
			continue
		}
		if k := len(w.sides) - 1; k >= 0 && w.a[k] == n*ra[i] && w.b[k] == n*rb[i] {
			w.sides[k], w.a[k], w.b[k] = w.sides[k]*n, ra[i], rb[i]
			continue
		}
		w.sides, w.a, w.b = append(w.sides, n), append(w.a, ra[i]), append(w.b, rb[i])
	}
	if len(w.sides) == 0 {
		w.sides, w.a, w.b = []int{1}, []int{0}, []int{0}
	}
	return w
}

// strides are the distances of a row-major tensor's elements along rank axes, aligned at the last:
// 0 along those of one element.
func strides(s tensor.Shape, rank int) []int {
	d := make([]int, rank)
	step := 1
	for i := len(s) - 1; i >= 0; i-- {
		if s[i] != 1 {
			d[rank-len(s)+i] = step
		}
		step *= s[i]
	}
	return d
}

// rows calls f for each row along the last axis, with the index of its first element in the result
// and in the operands.
func (w walk) rows(f func(y, a, b int)) {
	last := len(w.sides) - 1
	at := make([]int, last)
	for y, a, b := 0, 0, 0; ; y += w.sides[last] {
		f(y, a, b)
		k := last - 1
		for ; k >= 0; k-- {
			a, b = a+w.a[k], b+w.b[k]
			if at[k]++; at[k] < w.sides[k] {
				break
			}
			a, b, at[k] = a-w.a[k]*w.sides[k], b-w.b[k]*w.sides[k], 0
		}
		if k < 0 {
			return
		}
	}
}

func combined[T kernel.Float](o binaryOp, c *Call) error {
	y, a, b := Out[T](c), In[T](c, 0), In[T](c, 1)
	if len(y) == 0 {
		return nil
	}
	kernel.Combine(kernel.Operation(o.Kind), newWalk(c.Result(), c.Shape(0), c.Shape(1)).kernels(), y, a, b)
	return nil
}

// sumLike is x summed to a shape that x's was repeated from.
func sumLike(x *G.Node, shape tensor.Shape) (*G.Node, error) {
	if len(x.Shape()) == len(shape) && want("", x.Shape(), shape...) == nil {
		return x, nil
	}
	return Apply(sumTo{sizeOf(shape)}, x)
}

// sumTo sums x over the axes along which To has one element, or none. expandTo, its adjoint,
// repeats x along them.
type sumTo struct{ To size }

func (o sumTo) Name(int) (string, []string) { return "Sum", []string{"x"} }
func (o sumTo) Infer(in []tensor.Shape) (tensor.Shape, error) {
	to := o.To.shape()
	return to, repeats(to, in[0])
}

// repeats returns an error unless large is small repeated along some axes.
func repeats(small, large tensor.Shape) error {
	d := len(large) - len(small)
	for i, n := range small {
		if d < 0 || n != 1 && n != large[d+i] {
			return errors.Errorf("x of shape %v cannot be repeated to %v", small, large)
		}
	}
	return nil
}

func (o sumTo) Compute(c *Call) error { return ByType(o, c, summed[float32], summed[float64]) }
func (o sumTo) Rule(in []*G.Node, _, dy *G.Node) ([]*G.Node, error) {
	dx, err := Apply(expandTo{sizeOf(in[0].Shape())}, dy)
	return []*G.Node{dx}, err
}

// summed adds up in float64 and rounds once.
func summed[T kernel.Float](o sumTo, c *Call) error {
	y, x := Out[T](c), In[T](c, 0)
	if len(x) == 0 {
		clear(y)
		return nil
	}
	kernel.SumOver(newWalk(c.Shape(0), c.Result(), c.Shape(0)).kernels(), y, x)
	return nil
}

type expandTo struct{ To size }

func (o expandTo) Name(int) (string, []string) { return "Expand", []string{"x"} }
func (o expandTo) Infer(in []tensor.Shape) (tensor.Shape, error) {
	to := o.To.shape()
	return to, repeats(in[0], to)
}
func (o expandTo) Compute(c *Call) error { return ByType(o, c, expanded[float32], expanded[float64]) }
func (o expandTo) Rule(in []*G.Node, _, dy *G.Node) ([]*G.Node, error) {
	dx, err := Apply(sumTo{sizeOf(in[0].Shape())}, dy)
	return []*G.Node{dx}, err
}

func expanded[T kernel.Float](o expandTo, c *Call) error {
	y, x := Out[T](c), In[T](c, 0)
	if len(y) == 0 {
		return nil
	}
	kernel.Repeat(newWalk(c.Result(), c.Shape(0), c.Result()).kernels(), y, x)
	return nil
}

// Lerp returns the node y = (1 − t)·a + t·b for a number t: a at t = 0 and b at t = 1. A running
// mean is Lerp(mean, batch, momentum).
//
// Shapes: a and b alike. Derivatives: da = (1 − t)·dy, db = t·dy.
//
// Lerp returns an error if a and b are not float nodes of one shape, graph and type.
func Lerp(a, b *G.Node, t float64) (*G.Node, error) {
	if err := alike("Lerp", "a", a, "b", b); err != nil {
		return nil, err
	}
	return Apply(lerp{t}, a, b)
}

type lerp struct{ T float64 }

func (o lerp) Name(int) (string, []string) { return "Lerp", []string{"a", "b"} }
func (o lerp) Infer(in []tensor.Shape) (tensor.Shape, error) {
	return in[0], want("b", in[1], in[0]...)
}
func (o lerp) InPlace() int          { return 0 }
func (o lerp) Compute(c *Call) error { return ByType(o, c, lerped[float32], lerped[float64]) }
func (o lerp) Rule(_ []*G.Node, _, dy *G.Node) ([]*G.Node, error) {
	var t Try
	return []*G.Node{t.Do(Affine(dy, 1-o.T, 0)), t.Do(Affine(dy, o.T, 0))}, t.Err()
}

func lerped[T kernel.Float](o lerp, c *Call) error {
	y, a, b := Out[T](c), In[T](c, 0), In[T](c, 1)
	for i := range y {
		y[i] = T((1-o.T)*float64(a[i]) + o.T*float64(b[i]))
	}
	return nil
}

func init() {
	for k, f := range []func(a, b float64) float64{
		func(a, b float64) float64 { return a + b },
		func(a, b float64) float64 { return a - b },
		func(a, b float64) float64 { return a * b },
		func(a, b float64) float64 { return a / b },
	} {
		kind := binaryKind(k)
		name, _ := binaryOp{kind}.Name(2)
		opset.Register(opset.Entry{Name: name, Draw: func(r *rand.Rand) opset.Case {
			shapes := [][2]tensor.Shape{
				{{2, 3, 4}, {2, 3, 4}}, {{2, 3, 4}, {4}}, {{3, 1}, {2, 3, 4}}, {{2, 3, 4, 5}, {1, 3, 1, 1}}, {{2, 3}, {}}, {{2, 1, 4}, {3, 1}},
			}[r.IntN(6)]
			b := opset.Normal("b", shapes[1]...)
			if kind == over { // away from 0
				b = opset.Between("b", 0.5, 2, shapes[1]...)
			}
			return opset.Case{
				Params: fmt.Sprint(shapes), Inputs: []opset.Input{opset.Normal("a", shapes[0]...), b},
				Build: func(in []*G.Node) (*G.Node, error) { return Apply(binaryOp{kind}, in[0], in[1]) },
				Want: func(in [][]float64) []float64 {
					shape, _ := binaryOp{kind}.Infer(shapes[:])
					y := make([]float64, shape.TotalSize())
					for i := range y {
						y[i] = f(in[0][at(i, shape, shapes[0])], in[1][at(i, shape, shapes[1])])
					}
					return y
				},
			}
		}})
	}
	opset.Register(opset.Entry{Name: "Lerp", Draw: func(r *rand.Rand) opset.Case {
		t := r.Float64()
		return opset.Case{
			Params: fmt.Sprint("t ", t), Inputs: []opset.Input{opset.Normal("a", 3, 4), opset.Normal("b", 3, 4)},
			Build: func(in []*G.Node) (*G.Node, error) { return Lerp(in[0], in[1], t) },
			Want: func(in [][]float64) []float64 {
				y := make([]float64, len(in[0]))
				for i := range y {
					y[i] = in[0][i] + t*(in[1][i]-in[0][i])
				}
				return y
			},
			Terms: 2,
		}
	}})
}

// at is the index in a tensor of shape small of element i of one of shape large, which it is
// repeated to. It is for definitions.
func at(i int, large, small tensor.Shape) int {
	index, step := 0, 1
	for k := len(large) - 1; k >= 0; k-- {
		c := i % large[k]
		i /= large[k]
		if s := k - len(large) + len(small); s >= 0 {
			if small[s] != 1 {
				index += c * step
			}
			step *= small[s]
		}
	}
	return index
}

func init() {
	for name, sign := range map[string]string{"Add": "+", "Sub": "-", "Mul": "*", "Div": "/"} {
		op := map[string]func(a, b *G.Node) (*G.Node, error){"Add": Add, "Sub": Sub, "Mul": Mul, "Div": Div}[name]
		opset.Timed(name, func() []opset.Case {
			var all []opset.Case
			for _, b := range [][]int{{16, 64, 56, 56}, {1, 64, 1, 1}} {
				all = append(all, opset.Call("", "a "+sign+" b", func(in []*G.Node) (*G.Node, error) {
					return op(in[0], in[1])
				}, opset.Normal("a", 16, 64, 56, 56), opset.Between("b", 0.5, 2, b...)))
			}
			return all
		})
	}
}
