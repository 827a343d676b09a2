package ops

import (
	"fmt"
	"math"
	"math/rand/v2"

	"github.com/pkg/errors"
	G "gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/convgrad/convgrad/internal/kernel"
	"github.com/convgrad/convgrad/internal/opset"
)

// LpPool2D returns the node y whose elements are the Lᵖ norms of each window of x, p being Norm:
//
//	y[n,c,p,q] = (Σ_r Σ_s |x[n, c, i, j]|ᵖ)^(1/p)
//
// with i = p·stride + r·dilation − top and j = q·stride + s·dilation − left.
//
// Shapes: x N×C×H×W, y N×C×P×Q with P and Q as for Conv2D. Padding counts as zeros. y neither
// overflows nor underflows where the norm itself does not. Under Ceil the sum is that of the
// elements that are there; PyTorch scales it up to a whole window.
//
// Derivative: ∂y/∂x = sign(x)·(|x|/y)ᵖ⁻¹, and 0 where y = 0 and, for p = 1, where x = 0, where
// there is none. A second derivative exists wherever the first is differentiable.
//
// A window with a NaN has the norm NaN, one with an infinity and no NaN +Inf.
//
// LpPool2D returns an error if x is not a float node of rank 4, the parameters do not describe a
// pooling, or Norm is below 1 or not finite.
func LpPool2D(x *G.Node, p PoolParams) (*G.Node, error) {
	const name = "LpPool2D"
	g, err := p.pool(name, x)
	if err != nil {
		return nil, err
	}
	if err := p.only(name, false, true); err != nil {
		return nil, err
	}
	switch {
	case p.Norm == 0 || p.Norm == 2:
		return node(l2Pool{g}, x)
	case !(p.Norm >= 1) || math.IsInf(p.Norm, 0):
		return nil, errors.Errorf("ops: %s: Norm is %v, want a finite number of 1 or more", name, p.Norm)
	}
	return node(lpPool{g, p.Norm}, x)
}

type lpPool struct {
	Geometry kernel.Pool
	P        float64
}

func (o lpPool) name() string  { return "LpPool2D" }
func (o lpPool) args() []arg   { return []arg{{name: "x", rank: 4}} }
func (o lpPool) result() arg   { return arg{name: "y", rank: 4} }
func (o lpPool) rule() []*term { return []*term{apply(lpPoolBackward(o), in(0), out(), cotangent())} }
func (o lpPool) infer(in []tensor.Shape) (tensor.Shape, error) {
	return outSides(o.Geometry), want("x", in[0], inSides(o.Geometry)...)
}

func (o lpPool) exec(c *Call) error {
	if c.double() {
		kernel.LpForward(o.Geometry, o.P, slice[float64](c.dst), slice[float64](c.in[0]))
	} else {
		kernel.LpForward(o.Geometry, o.P, slice[float32](c.dst), slice[float32](c.in[0]))
	}
	return nil
}

// lpPoolBackward is dx[i] = Σ dy·sign(x[i])·(|x[i]|/y)ᵖ⁻¹ over i's windows, as a function of x, y
// and dy, each by itself.
type lpPoolBackward lpPool

func (o lpPoolBackward) name() string { return "LpPool2DBackward" }
func (o lpPoolBackward) args() []arg {
	return []arg{{name: "x", rank: 4}, {name: "y", rank: 4}, {name: "dy", rank: 4}}
}
func (o lpPoolBackward) result() arg { return arg{name: "dx", rank: 4} }
func (o lpPoolBackward) infer(in []tensor.Shape) (tensor.Shape, error) {
	for i, name := range []string{"y", "dy"} {
		if err := want(name, in[i+1], outSides(o.Geometry)...); err != nil {
			return nil, err
		}
	}
	return inSides(o.Geometry), want("x", in[0], inSides(o.Geometry)...)
}

func (o lpPoolBackward) exec(c *Call) error {
	if c.double() {
		kernel.LpBackward(o.Geometry, o.P, slice[float64](c.dst), slice[float64](c.in[0]), slice[float64](c.in[1]), slice[float64](c.in[2]))
	} else {
		kernel.LpBackward(o.Geometry, o.P, slice[float32](c.dst), slice[float32](c.in[0]), slice[float32](c.in[1]), slice[float32](c.in[2]))
	}
	return nil
}

// rule: with h = sign(x)·|x|ᵖ⁻¹ the op is h(x) · Σ dy/yᵖ⁻¹.
func (o lpPoolBackward) rule() []*term {
	x, y, dy, ddx := in(0), in(1), in(2), cotangent()
	times, over := product{4}, quotient{4}
	root := apply(power{4, o.P - 1, false}, y)
	t := apply(over, apply(sumWindows{o.Geometry}, apply(times, ddx, apply(power{4, o.P - 1, true}, x))), root)
	if o.P == 1 {
		return []*term{nil, nil, t}
	}
	shares := apply(spreadWindows{o.Geometry}, apply(over, dy, root))
	slope := apply(scale{4, o.P - 1}, apply(power{4, o.P - 2, false}, x))
	return []*term{
		apply(times, ddx, apply(times, slope, shares)),
		apply(scale{4, 1 - o.P}, apply(over, apply(times, t, dy), y)),
		t,
	}
}

// power is |x|ᴾ or, where Signed is set, sign(x)·|x|ᴾ, with sign(0) = 0.
type power struct {
	Rank   int
	P      float64
	Signed bool
}

func (o power) name() string                                  { return "Power" }
func (o power) args() []arg                                   { return []arg{{name: "x", rank: o.Rank}} }
func (o power) result() arg                                   { return arg{name: "y", rank: o.Rank} }
func (o power) infer(in []tensor.Shape) (tensor.Shape, error) { return in[0], nil }
func (o power) rule() []*term {
	if o.P == 0 {
		return []*term{nil}
	}
	slope := apply(scale{o.Rank, o.P}, apply(power{o.Rank, o.P - 1, !o.Signed}, in(0)))
	return []*term{apply(product{o.Rank}, cotangent(), slope)}
}

func (o power) exec(c *Call) error {
	if c.double() {
		powers(o, slice[float64](c.dst), slice[float64](c.in[0]))
	} else {
		powers(o, slice[float32](c.dst), slice[float32](c.in[0]))
	}
	return nil
}

func powers[T kernel.Float](o power, y, x []T) {
	for i, v := range x {
		p := math.Pow(math.Abs(float64(v)), o.P)
		switch {
		case o.Signed && v < 0:
			p = -p
		case o.Signed && v == 0:
			p = 0
		}
		y[i] = T(p)
	}
}

func init() {
	opset.Register(opset.Entry{Name: "LpPool2D", Draw: func(r *rand.Rand) opset.Case {
		p := PoolParams{Window: Size{1 + r.IntN(3), 2}, Stride: Size{1 + r.IntN(2), 1 + r.IntN(2)}, Dilation: Size{1, 1 + r.IntN(2)},
			Pad: Padding{Left: r.IntN(2)}, Norm: []float64{1, 1.5, 2, 3}[r.IntN(4)]}
		const planes, h, w = 6, 5, 6
		rows, cols := (h-p.Window.H)/p.Stride.H+1, (w+p.Pad.Left-p.Dilation.W-1)/p.Stride.W+1
		return opset.Case{
			Params: fmt.Sprintf("%+v", p),
			Inputs: []opset.Input{opset.Distinct("x", 2, 3, h, w)},
			Build:  func(in []*G.Node) (*G.Node, error) { return LpPool2D(in[0], p) },
			Terms:  3*p.Window.H + 16,
			Want: func(in [][]float64) []float64 {
				y := make([]float64, planes*rows*cols)
				for k := range y {
					sum := 0.0
					for a := range p.Window.H {
						for b := range p.Window.W {
							i, j := k/cols%rows*p.Stride.H+a, k%cols*p.Stride.W+b*p.Dilation.W-p.Pad.Left
							if j >= 0 {
								sum += math.Pow(math.Abs(in[0][k/(rows*cols)*h*w+i*w+j]), p.Norm)
							}
						}
					}
					y[k] = math.Pow(sum, 1/p.Norm)
				}
				return y
			},
		}
	}})
}
