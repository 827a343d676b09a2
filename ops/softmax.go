package ops

import (
	"github.com/pkg/errors"
	G "gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/convgrad/convgrad/internal/kernel"
)

// Softmax returns the node y of the rows of x as probabilities:
//
//	y[n,j] = exp(x[n,j]) / Σ_l exp(x[n,l])
//
// Shapes: x and y N×M. Each row is taken relative to its own greatest element, so any finite x is safe. A row with a NaN or +Inf, or of nothing but −Inf, is NaN.
//
// Derivative: dx[n,j] = y[n,j] · (dy[n,j] − Σ_l dy[n,l]·y[n,l]).
//
// axis is the axis along which x is a distribution, 1 or −1, which is the last.
//
// Softmax returns an error if x is not a float node of rank 2 or axis is another one.
func Softmax(x *G.Node, axis int) (*G.Node, error) {
	if err := check("Softmax", float("x", 2, x)); err != nil {
		return nil, err
	}
	if axis != 1 && axis != -1 {
		return nil, errors.Errorf("ops: Softmax: the axis is %d, want 1 or -1: others are not supported yet", axis)
	}
	return node(softmax{}, x)
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

// softmaxBackward is dx = y·(dy − Σ dy·y) by rows, as a function of y and dy, each by itself. It is symmetric as a map of dy.
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
		softmaxGradient(slice[float64](c.dst), slice[float64](c.in[0]), slice[float64](c.in[1]), c.dst.shape[0])
	} else {
		softmaxGradient(slice[float32](c.dst), slice[float32](c.in[0]), slice[float32](c.in[1]), c.dst.shape[0])
	}
	return nil
}

func softmaxGradient[T kernel.Float](dx, y, dy []T, rows int) {
	n := len(y) / rows
	for r := range rows {
		y, dy, dx := y[r*n:][:n], dy[r*n:][:n], dx[r*n:][:n]
		mean := inner(y, dy)
		for j := range dx {
			dx[j] = T(float64(y[j]) * (float64(dy[j]) - mean))
		}
	}
}

func (o softmaxBackward) rule() []*term {
	y, dy, ddx := in(0), in(1), cotangent()
	// dx = y·dy − y·⟨y, dy⟩, so by y: ddx·dy − ddx·⟨y, dy⟩ − dy·⟨ddx, y⟩.
	byY := apply(difference{2},
		apply(difference{2}, apply(product{2}, ddx, dy), apply(scaleRows{}, ddx, apply(dotRows{}, y, dy))),
		apply(scaleRows{}, dy, apply(dotRows{}, ddx, y)))
	return []*term{byY, apply(o, y, ddx)}
}

// dotRows is the inner product of each row of a with that row of b; scaleRows multiplies each row of x by an element of s.
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
			scaled(slice[float64](c.dst)[i*n:][:n], slice[float64](c.in[0])[i*n:][:n], slice[float64](c.in[1])[i])
		} else {
			scaled(slice[float32](c.dst)[i*n:][:n], slice[float32](c.in[0])[i*n:][:n], float64(slice[float32](c.in[1])[i]))
		}
	}
	return nil
}
