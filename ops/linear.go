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

// Linear returns the node y = x·wᵀ + b, a fully connected layer:
//
//	y[n,o] = Σ_i x[n,i] · w[o,i] + b[o]
//
// Shapes: x N×I, w O×I (a row per output, as PyTorch keeps it), b O or nil, y N×O. x may have more
// axes, …×I; then y is …×O. A vector x of I elements is refused.
//
// Derivatives: dx = dy·w, dw = dyᵀ·x, db[o] = Σ_n dy[n,o].
//
// A NaN or infinity in an operand propagates to every sum with a product that contains it.
//
// Linear returns an error if an argument is not a float node of the right rank or the shapes do not
// match.
func Linear(x, w, b *G.Node) (*G.Node, error) {
	if x != nil && x.Type() != nil && x.Dims() > 2 {
		return linearOfMany(x, w, b)
	}
	args, nodes := []wanted{float("x", 2, x), float("w", 2, w)}, []*G.Node{x, w}
	if b != nil {
		args, nodes = append(args, float("b", 1, b)), append(nodes, b)
	}
	if err := check("Linear", args...); err != nil {
		return nil, err
	}
	xs, ws := x.Shape(), w.Shape()
	if xs[1] != ws[1] {
		return nil, errors.Errorf("ops: Linear: x has %d columns and w %d, want as many: x is %v, w is %v", xs[1], ws[1], xs, ws)
	}
	return node(linear{N: xs[0], I: xs[1], O: ws[0], Bias: b != nil}, nodes...)
}

// linearOfMany is Linear of a matrix that has the leading axes of x as one.
func linearOfMany(x, w, b *G.Node) (*G.Node, error) {
	if err := check("Linear", float("x", -1, x)); err != nil {
		return nil, err
	}
	s := x.Shape()
	last := len(s) - 1
	if err := check("Linear", float("x", -1, x), float("w", 2, w)); err != nil {
		return nil, err
	}
	if ws := w.Shape(); ws[1] != s[last] {
		return nil, errors.Errorf("ops: Linear: x has %d columns and w %d, want as many: x is %v, w is %v", s[last], ws[1], s, ws)
	}
	m, err := Reshape(x, volume(s[:last]), s[last])
	if err != nil {
		return nil, err
	}
	y, err := Linear(m, w, b)
	if err != nil {
		return nil, err
	}
	return Reshape(y, append(s[:last].Clone(), y.Shape()[1])...)
}

type linear struct {
	N, I, O int
	Bias    bool
}

func (o linear) name() string { return "Linear" }
func (o linear) args() []arg {
	a := []arg{{name: "x", rank: 2}, {name: "w", rank: 2}}
	if o.Bias {
		a = append(a, arg{name: "b", rank: 1})
	}
	return a
}
func (o linear) result() arg { return arg{name: "y", rank: 2} }

func (o linear) infer(in []tensor.Shape) (tensor.Shape, error) {
	if err := want("x", in[0], o.N, o.I); err != nil {
		return nil, err
	}
	if err := want("w", in[1], o.O, o.I); err != nil {
		return nil, err
	}
	if o.Bias {
		if err := want("b", in[2], o.O); err != nil {
			return nil, err
		}
	}
	return tensor.Shape{o.N, o.O}, nil
}

func (o linear) exec(c *Call) error {
	if c.double() {
		linearForward[float64](o, c)
	} else {
		linearForward[float32](o, c)
	}
	return nil
}

func linearForward[T kernel.Float](o linear, c *Call) {
	y := slice[T](c.dst)
	kernel.MatMul(y, slice[T](c.in[0]), slice[T](c.in[1]), o.N, o.O, o.I, false, true, false)
	if o.Bias {
		kernel.AddRow(y, slice[T](c.in[2]), o.N)
	}
}

func (o linear) rule() []*term {
	x, w, dy := in(0), in(1), cotangent()
	rule := []*term{
		apply(matMul{M: o.N, N: o.I, K: o.O}, dy, w),
		apply(matMul{M: o.O, N: o.I, K: o.N, TransA: true}, dy, x),
	}
	if o.Bias {
		rule = append(rule, apply(sumRows{o.N, o.O}, dy))
	}
	return rule
}

// matMul is c = op(a)·op(b), M×N, with op(a) M×K and op(b) K×N; op transposes where its flag is
// set.
type matMul struct {
	M, N, K        int
	TransA, TransB bool
}

func (o matMul) name() string { return "MatMul" }
func (o matMul) args() []arg  { return twoOf(2) }
func (o matMul) result() arg  { return arg{name: "c", rank: 2} }

func (o matMul) infer(in []tensor.Shape) (tensor.Shape, error) {
	a, b := [2]int{o.M, o.K}, [2]int{o.K, o.N}
	if o.TransA {
		a[0], a[1] = a[1], a[0]
	}
	if o.TransB {
		b[0], b[1] = b[1], b[0]
	}
	if err := want("a", in[0], a[:]...); err != nil {
		return nil, err
	}
	return tensor.Shape{o.M, o.N}, want("b", in[1], b[:]...)
}

func (o matMul) exec(c *Call) error {
	if c.double() {
		kernel.MatMul(slice[float64](c.dst), slice[float64](c.in[0]), slice[float64](c.in[1]), o.M, o.N, o.K, o.TransA, o.TransB, false)
	} else {
		kernel.MatMul(slice[float32](c.dst), slice[float32](c.in[0]), slice[float32](c.in[1]), o.M, o.N, o.K, o.TransA, o.TransB, false)
	}
	return nil
}

func (o matMul) rule() []*term {
	a, b, dc := in(0), in(1), cotangent()
	da := apply(matMul{M: o.M, N: o.K, K: o.N, TransB: !o.TransB}, dc, b)
	if o.TransA {
		da = apply(matMul{M: o.K, N: o.M, K: o.N, TransA: o.TransB, TransB: true}, b, dc)
	}
	db := apply(matMul{M: o.K, N: o.N, K: o.M, TransA: !o.TransA}, a, dc)
	if o.TransB {
		db = apply(matMul{M: o.N, N: o.K, K: o.M, TransA: true, TransB: o.TransA}, dc, a)
	}
	return []*term{da, db}
}

// sumRows is db[j] = Σ_i dy[i,j]; spreadRows, dy[i,j] = db[j], is its adjoint.
type sumRows struct{ M, N int }

func (o sumRows) name() string  { return "SumRows" }
func (o sumRows) args() []arg   { return []arg{{name: "dy", rank: 2}} }
func (o sumRows) result() arg   { return arg{name: "db", rank: 1} }
func (o sumRows) rule() []*term { return []*term{apply(spreadRows(o), cotangent())} }
func (o sumRows) infer(in []tensor.Shape) (tensor.Shape, error) {
	return tensor.Shape{o.N}, want("dy", in[0], o.M, o.N)
}
func (o sumRows) exec(c *Call) error {
	if c.double() {
		kernel.SumRows(slice[float64](c.dst), slice[float64](c.in[0]), o.M)
	} else {
		kernel.SumRows(slice[float32](c.dst), slice[float32](c.in[0]), o.M)
	}
	return nil
}

type spreadRows struct{ M, N int }

func (o spreadRows) name() string  { return "SpreadRows" }
func (o spreadRows) args() []arg   { return []arg{{name: "b", rank: 1}} }
func (o spreadRows) result() arg   { return arg{name: "y", rank: 2} }
func (o spreadRows) rule() []*term { return []*term{apply(sumRows(o), cotangent())} }
func (o spreadRows) infer(in []tensor.Shape) (tensor.Shape, error) {
	return tensor.Shape{o.M, o.N}, want("b", in[0], o.N)
}
func (o spreadRows) exec(c *Call) error {
	if c.double() {
		y := slice[float64](c.dst)
		clear(y)
		kernel.AddRow(y, slice[float64](c.in[0]), o.M)
	} else {
		y := slice[float32](c.dst)
		clear(y)
		kernel.AddRow(y, slice[float32](c.in[0]), o.M)
	}
	return nil
}

func init() {
	opset.Register(opset.Entry{Name: "Linear", Draw: func(r *rand.Rand) opset.Case {
		n, k, m := 1+r.IntN(4), 1+r.IntN(5), 1+r.IntN(3)
		x := []tensor.Shape{{n, k}, {2, n, k}}[r.IntN(2)]
		return opset.Case{
			Params: fmt.Sprintf("x %v to %d", x, m), PyTorch: "F.linear(x, w, b)", Terms: k,
			Inputs: []opset.Input{opset.Normal("x", x...), opset.Normal("w", m, k), opset.Normal("b", m)},
			Build:  func(in []*G.Node) (*G.Node, error) { return Linear(in[0], in[1], in[2]) },
			Want: func(in [][]float64) []float64 {
				var y []float64
				for row := range len(in[0]) / k {
					for o := range m {
						sum := in[2][o]
						for i := range k {
							sum += in[0][row*k+i] * in[1][o*k+i]
						}
						y = append(y, sum)
					}
				}
				return y
			},
		}
	}})
}

func init() {
	opset.Timed("Linear", func() []opset.Case {
		return []opset.Case{opset.Call("", "F.linear(x, w, b)", func(in []*G.Node) (*G.Node, error) {
			return Linear(in[0], in[1], in[2])
		}, opset.Normal("x", 128, 512), opset.Normal("w", 1000, 512), opset.Normal("b", 1000))}
	})
}
