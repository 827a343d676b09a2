package ops

import (
	G "gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/convgrad/convgrad/internal/kernel"
)

// L2Pool2D returns the node y whose elements are the Euclidean norms of each window of x (the
// article's L2-norm pooling, for which it gives no derivative):
//
//	y[n,c,p,q] = √ Σ_r Σ_s x[n, c, p·stride + r·dilation − top, q·stride + s·dilation − left]²
//
// Shapes: x N×C×H×W, y N×C×P×Q with P and Q as for Conv2D. Padding counts as zeros. y neither
// overflows nor underflows where the norm itself does not.
//
// Derivative: ∂y/∂x = x/y, and 0 where y = 0, where the norm has none; so dx = x · Σ dy/y over the
// windows that an element is in.
//
// A window with a NaN has the norm NaN, one with an infinity and no NaN +Inf. In dx, an infinite x
// beside an infinite y is NaN.
//
// L2Pool2D returns an error if x is not a float node of rank 4 or the parameters do not describe a
// pooling.
func L2Pool2D(x *G.Node, p PoolParams) (*G.Node, error) {
	g, err := p.pool("L2Pool2D", x)
	if err != nil {
		return nil, err
	}
	if err := p.only("L2Pool2D", false, false); err != nil {
		return nil, err
	}
	return node(l2Pool{g}, x)
}

type l2Pool struct{ Geometry kernel.Pool }

func (o l2Pool) name() string  { return "L2Pool2D" }
func (o l2Pool) args() []arg   { return []arg{{name: "x", rank: 4}} }
func (o l2Pool) result() arg   { return arg{name: "y", rank: 4} }
func (o l2Pool) rule() []*term { return []*term{apply(l2PoolBackward(o), in(0), out(), cotangent())} }
func (o l2Pool) infer(in []tensor.Shape) (tensor.Shape, error) {
	return outSides(o.Geometry), want("x", in[0], inSides(o.Geometry)...)
}

func (o l2Pool) exec(c *Call) error {
	if c.double() {
		kernel.L2Forward(o.Geometry, slice[float64](c.dst), slice[float64](c.in[0]))
	} else {
		kernel.L2Forward(o.Geometry, slice[float32](c.dst), slice[float32](c.in[0]))
	}
	return nil
}

// l2PoolBackward is dx[i] = x[i] · Σ dy/y over i's windows, as a function of x, y and dy, each by
// itself.
type l2PoolBackward struct{ Geometry kernel.Pool }

func (o l2PoolBackward) name() string { return "L2Pool2DBackward" }
func (o l2PoolBackward) args() []arg {
	return []arg{{name: "x", rank: 4}, {name: "y", rank: 4}, {name: "dy", rank: 4}}
}
func (o l2PoolBackward) result() arg { return arg{name: "dx", rank: 4} }
func (o l2PoolBackward) infer(in []tensor.Shape) (tensor.Shape, error) {
	for i, name := range []string{"y", "dy"} {
		if err := want(name, in[i+1], outSides(o.Geometry)...); err != nil {
			return nil, err
		}
	}
	return inSides(o.Geometry), want("x", in[0], inSides(o.Geometry)...)
}

func (o l2PoolBackward) exec(c *Call) error {
	if c.double() {
		kernel.L2Backward(o.Geometry, slice[float64](c.dst), slice[float64](c.in[0]), slice[float64](c.in[1]), slice[float64](c.in[2]))
	} else {
		kernel.L2Backward(o.Geometry, slice[float32](c.dst), slice[float32](c.in[0]), slice[float32](c.in[1]), slice[float32](c.in[2]))
	}
	return nil
}

func (o l2PoolBackward) rule() []*term {
	x, y, dy, ddx := in(0), in(1), in(2), cotangent()
	// Σ ddx·x / y over each window
	t := apply(quotient{4}, apply(sumWindows(o), apply(product{4}, ddx, x)), y)
	return []*term{
		apply(o, ddx, y, dy),
		apply(scale{4, -1}, apply(quotient{4}, apply(product{4}, t, dy), y)),
		t,
	}
}

// sumWindows is the sum of each window; spreadWindows, its adjoint, gives each element the sum of
// its windows' dy.
type sumWindows struct{ Geometry kernel.Pool }

func (o sumWindows) name() string  { return "SumWindows" }
func (o sumWindows) args() []arg   { return []arg{{name: "x", rank: 4}} }
func (o sumWindows) result() arg   { return arg{name: "y", rank: 4} }
func (o sumWindows) rule() []*term { return []*term{apply(spreadWindows(o), cotangent())} }
func (o sumWindows) infer(in []tensor.Shape) (tensor.Shape, error) {
	return outSides(o.Geometry), want("x", in[0], inSides(o.Geometry)...)
}

func (o sumWindows) exec(c *Call) error {
	if c.double() {
		kernel.RefSumWindows(o.Geometry, slice[float64](c.dst), slice[float64](c.in[0]))
	} else {
		kernel.RefSumWindows(o.Geometry, slice[float32](c.dst), slice[float32](c.in[0]))
	}
	return nil
}

type spreadWindows struct{ Geometry kernel.Pool }

func (o spreadWindows) name() string  { return "SpreadWindows" }
func (o spreadWindows) args() []arg   { return []arg{{name: "dy", rank: 4}} }
func (o spreadWindows) result() arg   { return arg{name: "dx", rank: 4} }
func (o spreadWindows) rule() []*term { return []*term{apply(sumWindows(o), cotangent())} }
func (o spreadWindows) infer(in []tensor.Shape) (tensor.Shape, error) {
	return inSides(o.Geometry), want("dy", in[0], outSides(o.Geometry)...)
}

func (o spreadWindows) exec(c *Call) error {
	if c.double() {
		kernel.RefSpreadWindows(o.Geometry, slice[float64](c.dst), slice[float64](c.in[0]))
	} else {
		kernel.RefSpreadWindows(o.Geometry, slice[float32](c.dst), slice[float32](c.in[0]))
	}
	return nil
}
