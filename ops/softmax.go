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

// Softmax returns the node y of x as probabilities along an axis:
//
//	y[…,j,…] = exp(x[…,j,…]) / Σ_l exp(x[…,l,…])
//
// Shapes: x and y alike, of any rank but 0; a negative axis counts from the end. Each sum is taken
// relative to its own greatest element, so any finite x is safe. Where the elements along the axis
// have a NaN or +Inf, or are nothing but −Inf, y is NaN.
//
// Derivative: dx[…,j,…] = y[…,j,…] · (dy[…,j,…] − Σ_l dy[…,l,…]·y[…,l,…]).
//
// Softmax returns an error if x is not a float node or the axis is not x's.
func Softmax(x *G.Node, axis int) (*G.Node, error) {
	if err := check("Softmax", float("x", -1, x)); err != nil {
		return nil, err
	}
	return alongRows("Softmax", x, axis, func(x *G.Node) (*G.Node, error) { return node(softmax{}, x) })
}

// LogSoftmax returns the node y of the logarithms of x's softmax along an axis:
//
//	y[…,j,…] = x[…,j,…] − log Σ_l exp(x[…,l,…])
//
// Shapes and errors are Softmax's. No logarithm is taken of a probability that was rounded to 0: y
// is finite for finite x. It is NaN where Softmax is.
//
// Derivative: dx[…,j,…] = dy[…,j,…] − exp(y[…,j,…]) · Σ_l dy[…,l,…].
func LogSoftmax(x *G.Node, axis int) (*G.Node, error) {
	if err := check("LogSoftmax", float("x", -1, x)); err != nil {
		return nil, err
	}
	return alongRows("LogSoftmax", x, axis, func(x *G.Node) (*G.Node, error) { return Apply(logSoftmax{}, x) })
}

// alongRows applies f, which works on the rows of a matrix, along an axis of x.
func alongRows(name string, x *G.Node, axis int, f func(*G.Node) (*G.Node, error)) (*G.Node, error) {
	s := x.Shape()
	axis, err := axisOf(name, axis, len(s))
	if err != nil {
		return nil, err
	}
	if len(s) == 2 && axis == 1 {
		return f(x)
	}
	swap := make([]int, len(s)) // axis and the last
	for i := range swap {
		swap[i] = i
	}
	swap[axis], swap[len(s)-1] = len(s)-1, axis
	if axis != len(s)-1 {
		if x, err = Transpose(x, swap...); err != nil {
			return nil, err
		}
	}
	moved := x.Shape()
	if x, err = Reshape(x, volume(moved[:len(s)-1]), s[axis]); err != nil {
		return nil, err
	}
	y, err := f(x)
	if err != nil {
		return nil, err
	}
	if y, err = Reshape(y, moved...); err != nil || axis == len(s)-1 {
		return y, err
	}
	return Transpose(y, swap...)
}

// logSoftmax is LogSoftmax by rows.
type logSoftmax struct{}

func (o logSoftmax) Name(int) (string, []string) { return "LogSoftmax", []string{"x"} }
func (o logSoftmax) Infer(in []tensor.Shape) (tensor.Shape, error) {
	return in[0], ofRank("x", in[0], 2)
}
func (o logSoftmax) Compute(c *Call) error {
	return ByType(o, c, logSoftmaxForward[float32], logSoftmaxForward[float64])
}
func (o logSoftmax) Rule(_ []*G.Node, y, dy *G.Node) ([]*G.Node, error) {
	dx, err := Apply(logSoftmaxBackward{}, y, dy)
	return []*G.Node{dx}, err
}

func logSoftmaxForward[T kernel.Float](_ logSoftmax, c *Call) error {
	if y := Out[T](c); len(y) > 0 {
		kernel.LogSoftmax(y, In[T](c, 0), c.Shape(0)[0])
	}
	return nil
}

// logSoftmaxBackward is dx = dy − exp(y)·Σ dy by rows, as a function of y and dy, each by itself.
type logSoftmaxBackward struct{}

func (o logSoftmaxBackward) Name(int) (string, []string) {
	return "LogSoftmaxBackward", []string{"y", "dy"}
}
func (o logSoftmaxBackward) Infer(in []tensor.Shape) (tensor.Shape, error) {
	if err := ofRank("y", in[0], 2); err != nil {
		return nil, err
	}
	return in[0], want("dy", in[1], in[0]...)
}
func (o logSoftmaxBackward) Compute(c *Call) error {
	return ByType(o, c, logSoftmaxGradient[float32], logSoftmaxGradient[float64])
}

func logSoftmaxGradient[T kernel.Float](_ logSoftmaxBackward, c *Call) error {
	if dx := Out[T](c); len(dx) > 0 {
		kernel.LogSoftmaxBackward(dx, In[T](c, 0), In[T](c, 1), c.Shape(0)[0])
	}
	return nil
}

func (o logSoftmaxBackward) Rule(in []*G.Node, _, dd *G.Node) ([]*G.Node, error) {
	var t Try
	p := t.Do(Exp(in[0]))
	weighted := t.Do(Mul(dd, p))
	total := t.Do(Unsqueeze(t.Do(Sum(in[1], 1)), 1))
	byY := t.Do(Affine(t.Do(Mul(weighted, total)), -1, 0))
	byDy := t.Do(Sub(dd, t.Do(Unsqueeze(t.Do(Sum(weighted, 1)), 1))))
	return []*G.Node{byY, byDy}, t.Err()
}

// ofRank returns an error if a shape is of another rank.
func ofRank(name string, s tensor.Shape, rank int) error {
	if len(s) != rank {
		return errors.Errorf("%s has shape %v, of rank %d, want rank %d", name, s, len(s), rank)
	}
	return nil
}

type softmax struct{}

func (o softmax) name() string                                  { return "Softmax" }
func (o softmax) args() []arg                                   { return []arg{{name: "x", rank: 2}} }
func (o softmax) result() arg                                   { return arg{name: "y", rank: 2} }
func (o softmax) infer(in []tensor.Shape) (tensor.Shape, error) { return in[0], nil }
func (o softmax) rule() []*term                                 { return []*term{apply(softmaxBackward{}, out(), cotangent())} }

func (o softmax) exec(c *Call) error {
	if c.double() {
		kernel.Softmax(slice[float64](c.dst), slice[float64](c.in[0]), c.dst.shape[0])
	} else {
		kernel.Softmax(slice[float32](c.dst), slice[float32](c.in[0]), c.dst.shape[0])
	}
	return nil
}

// softmaxBackward is dx = y·(dy − Σ dy·y) by rows, as a function of y and dy, each by itself. It is
// symmetric as a map of dy.
type softmaxBackward struct{}

func (o softmaxBackward) name() string { return "SoftmaxBackward" }
func (o softmaxBackward) args() []arg {
	return []arg{{name: "y", rank: 2}, {name: "dy", rank: 2}}
}
func (o softmaxBackward) result() arg { return arg{name: "dx", rank: 2} }
func (o softmaxBackward) infer(in []tensor.Shape) (tensor.Shape, error) {
	return in[0], want("dy", in[1], in[0]...)
}

func (o softmaxBackward) exec(c *Call) error {
	if c.double() {
		kernel.SoftmaxBackward(slice[float64](c.dst), slice[float64](c.in[0]), slice[float64](c.in[1]), c.dst.shape[0])
	} else {
		kernel.SoftmaxBackward(slice[float32](c.dst), slice[float32](c.in[0]), slice[float32](c.in[1]), c.dst.shape[0])
	}
	return nil
}

func (o softmaxBackward) rule() []*term {
	y, dy, ddx := in(0), in(1), cotangent()
	// dx = y·dy − y·⟨y, dy⟩, so by y: ddx·dy − ddx·⟨y, dy⟩ − dy·⟨ddx, y⟩.
	byY := apply(difference{2},
		apply(difference{2}, apply(product{2}, ddx, dy), apply(scaleRows{}, ddx, apply(dotRows{}, y, dy))),
		apply(scaleRows{}, dy, apply(dotRows{}, ddx, y)))
	return []*term{byY, apply(o, y, ddx)}
}

// dotRows is the inner product of each row of a with that row of b; scaleRows multiplies each row
// of x by an element of s.
type dotRows struct{}

func (o dotRows) name() string { return "DotRows" }
func (o dotRows) args() []arg  { return twoOf(2) }
func (o dotRows) result() arg  { return arg{name: "y", rank: 1} }
func (o dotRows) infer(in []tensor.Shape) (tensor.Shape, error) {
	return tensor.Shape{in[0][0]}, want("b", in[1], in[0]...)
}
func (o dotRows) rule() []*term {
	return []*term{apply(scaleRows{}, in(1), cotangent()), apply(scaleRows{}, in(0), cotangent())}
}
func (o dotRows) exec(c *Call) error {
	n := c.in[0].shape[1]
	for i := range c.dst.shape[0] {
		if c.double() {
			slice[float64](c.dst)[i] = inner(slice[float64](c.in[0])[i*n:][:n], slice[float64](c.in[1])[i*n:][:n])
		} else {
			slice[float32](c.dst)[i] = float32(inner(slice[float32](c.in[0])[i*n:][:n], slice[float32](c.in[1])[i*n:][:n]))
		}
	}
	return nil
}

type scaleRows struct{}

func (o scaleRows) name() string { return "ScaleRows" }
func (o scaleRows) args() []arg  { return []arg{{name: "x", rank: 2}, {name: "s", rank: 1}} }
func (o scaleRows) result() arg  { return arg{name: "y", rank: 2} }
func (o scaleRows) infer(in []tensor.Shape) (tensor.Shape, error) {
	return in[0], want("s", in[1], in[0][0])
}
func (o scaleRows) rule() []*term {
	return []*term{apply(o, cotangent(), in(1)), apply(dotRows{}, cotangent(), in(0))}
}
func (o scaleRows) exec(c *Call) error {
	n := c.in[0].shape[1]
	for i := range c.dst.shape[0] {
		if c.double() {
			kernel.Scale(slice[float64](c.dst)[i*n:][:n], slice[float64](c.in[0])[i*n:][:n], slice[float64](c.in[1])[i])
		} else {
			kernel.Scale(slice[float32](c.dst)[i*n:][:n], slice[float32](c.in[0])[i*n:][:n], float64(slice[float32](c.in[1])[i]))
		}
	}
	return nil
}

func init() {
	for name, op := range map[string]func(*G.Node, int) (*G.Node, error){"Softmax": Softmax, "LogSoftmax": LogSoftmax} {
		log := name == "LogSoftmax"
		with := func(axis int, shape ...int) opset.Case {
			return opset.Case{
				Params: fmt.Sprintf("axis %d", axis), Inputs: []opset.Input{opset.Normal("x", shape...)},
				Build: func(in []*G.Node) (*G.Node, error) { return op(in[0], axis) },
				Want: func(in [][]float64) []float64 {
					kept := slices.Clone(shape)
					kept[(axis+len(shape))%len(shape)] = 1
					sums, y := make([]float64, volume(kept)), make([]float64, len(in[0]))
					for i, v := range in[0] {
						sums[at(i, shape, kept)] += math.Exp(v)
					}
					for i, v := range in[0] {
						if y[i] = math.Exp(v) / sums[at(i, shape, kept)]; log {
							y[i] = math.Log(y[i])
						}
					}
					return y
				},
				Terms: 8, PyTorch: fmt.Sprintf("F.%s(x, %d)", map[bool]string{false: "softmax", true: "log_softmax"}[log], axis),
			}
		}
		opset.Register(opset.Entry{Name: name, Draw: func(r *rand.Rand) opset.Case {
			shape := []tensor.Shape{{3, 4}, {5}, {2, 3, 4}, {2, 3, 2, 2}}[r.IntN(4)]
			return with(r.IntN(2*len(shape))-len(shape), shape...)
		}})
		opset.Timed(name, func() []opset.Case {
			return []opset.Case{with(-1, 128, 1000), with(1, 8, 21, 64, 64)}
		})
	}
}
