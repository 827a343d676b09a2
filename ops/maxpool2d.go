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

// MaxPool2D returns the node y whose elements are the greatest of each window of x:
//
//	y[n,c,p,q] = max x[n, c, p·stride + r·dilation − top, q·stride + s·dilation − left]
//
// over the window's r, s that are not padding.
//
// Shapes: x N×C×H×W, y N×C×P×Q with P and Q as for Conv2D. Padding never wins. Of equal elements
// the first in row-major order wins; the first NaN wins over every number, where PyTorch takes the
// last; a window of −Inf has a winner like any other.
//
// Derivative: the winner gets dy, all others 0 (article, "Pooling Layer"), whatever x is; an
// element that wins several windows gets their sum.
//
// MaxPool2D returns an error if x is not a float node of rank 4 or the parameters do not describe a
// pooling.
func MaxPool2D(x *G.Node, p PoolParams) (*G.Node, error) {
	y, _, err := MaxPool2DIndices(x, p)
	return y, err
}

// MaxPool2DIndices is MaxPool2D and returns the winners too, as the forward pass notes them: an
// Int32 node of y's shape that holds each window's winner as its index h·W + w in the plane (n, c)
// of x. winner has no derivative. Errors are MaxPool2D's.
func MaxPool2DIndices(x *G.Node, p PoolParams) (y, winner *G.Node, err error) {
	g, err := p.pool("MaxPool2D", x)
	if err != nil {
		return nil, nil, err
	}
	if err := p.only("MaxPool2D", false, false); err != nil {
		return nil, nil, err
	}
	if winner, err = node(maxWinners{g}, x); err != nil {
		return nil, nil, err
	}
	y, err = node(gather{Geometry: g}, x, winner)
	return y, winner, err
}

// maxWinners notes each window's winner.
type maxWinners struct{ Geometry kernel.Pool }

func (o maxWinners) name() string { return "MaxPool2DWinners" }
func (o maxWinners) args() []arg  { return []arg{{name: "x", rank: 4}} }
func (o maxWinners) result() arg  { return arg{name: "winner", rank: 4, of: tensor.Int32} }
func (o maxWinners) infer(in []tensor.Shape) (tensor.Shape, error) {
	return outSides(o.Geometry), want("x", in[0], inSides(o.Geometry)...)
}
func (o maxWinners) rule() []*term { return []*term{nil} }

func (o maxWinners) exec(c *Call) error {
	if c.double() {
		kernel.MaxWinners(o.Geometry, slice[int32](c.dst), slice[float64](c.in[0]))
	} else {
		kernel.MaxWinners(o.Geometry, slice[int32](c.dst), slice[float32](c.in[0]))
	}
	return nil
}

// gather is y = x at the winners; scatter, its adjoint, gives the winners dy and everything else 0.
type gather struct {
	Geometry kernel.Pool
	ToLast   bool // y has its channels last: the executor asks for it
}

func (o gather) name() string { return "MaxPool2D" }
func (o gather) args() []arg {
	return []arg{{name: "x", rank: 4}, {name: "winner", rank: 4, of: tensor.Int32}}
}
func (o gather) result() arg { return arg{name: "y", rank: 4} }
func (o gather) infer(in []tensor.Shape) (tensor.Shape, error) {
	if err := want("x", in[0], inSides(o.Geometry)...); err != nil {
		return nil, err
	}
	return outSides(o.Geometry), want("winner", in[1], outSides(o.Geometry)...)
}
func (o gather) rule() []*term { return []*term{apply(scatter{o.Geometry}, cotangent(), in(1)), nil} }

func (o gather) exec(c *Call) error {
	winner, bad := slice[int32](c.in[1]), -1
	if c.double() {
		bad = gathered[float64](o, c, winner)
	} else {
		bad = gathered[float32](o, c, winner)
	}
	return checkWinner(&o.Geometry, winner, bad)
}

type scatter struct{ Geometry kernel.Pool }

func (o scatter) name() string { return "MaxPool2DBackward" }
func (o scatter) args() []arg {
	return []arg{{name: "dy", rank: 4}, {name: "winner", rank: 4, of: tensor.Int32}}
}
func (o scatter) result() arg { return arg{name: "dx", rank: 4} }
func (o scatter) infer(in []tensor.Shape) (tensor.Shape, error) {
	if err := want("dy", in[0], outSides(o.Geometry)...); err != nil {
		return nil, err
	}
	return inSides(o.Geometry), want("winner", in[1], outSides(o.Geometry)...)
}
func (o scatter) rule() []*term {
	return []*term{apply(gather{Geometry: o.Geometry}, cotangent(), in(1)), nil}
}

func (o scatter) exec(c *Call) error {
	winner, bad := slice[int32](c.in[1]), -1
	if c.double() {
		bad = kernel.Scatter(o.Geometry, slice[float64](c.dst), slice[float64](c.in[0]), winner)
	} else {
		bad = kernel.Scatter(o.Geometry, slice[float32](c.dst), slice[float32](c.in[0]), winner)
	}
	return checkWinner(&o.Geometry, winner, bad)
}

func (o gather) arrange(_ tensor.Dtype, in []bool, out bool) (spec, bool) {
	o.ToLast = out
	return o, !in[0] && !in[1]
}

func gathered[T kernel.Float](o gather, c *Call, winner []int32) (bad int) {
	f := func(g kernel.Pool, y []T, winner []int32, x []T) { bad = kernel.Gather(g, y, x, winner) }
	if o.ToLast {
		f = toLast(f)
	}
	f(o.Geometry, slice[T](c.dst), winner, slice[T](c.in[0]))
	return bad
}

// A maxima is a kernel that finds values and winners.
type maxima[T kernel.Float] = func(g kernel.Pool, y []T, winner []int32, x []T)

// toLast is f with y's channels last.
func toLast[T kernel.Float](f maxima[T]) maxima[T] {
	return func(g kernel.Pool, y []T, winner []int32, x []T) {
		kernel.ToLast(g.N, g.C, g.P*g.Q, y, func(y []T) { f(g, y, winner, x) })
	}
}

// checkWinner is the error where the winner at some position is an index that no forward pass of
// this geometry noted; a negative position stands for none.
func checkWinner(g *kernel.Pool, winner []int32, at int) error {
	if at < 0 {
		return nil
	}
	return errors.Errorf("winner: element %d is %d, want 0 to %d, an index into a plane of %d×%d", at, winner[at], g.H*g.W-1, g.H, g.W)
}

// together notes the winners and takes their values in one pass.
func (o maxWinners) together(consumer any, at []int) pass {
	return pooledWith(o.Geometry, kernel.MaxForward[float32], kernel.MaxForward[float64], consumer, at)
}

// pooledWith is the pass of what notes winners with a consumer that takes their values; nil for
// another consumer.
func pooledWith(g kernel.Pool, f32 maxima[float32], f64 maxima[float64], consumer any, at []int) pass {
	y, ok := consumer.(gather)
	if !ok || y.Geometry != g || !slices.Equal(at, []int{0, -1}) {
		return nil
	}
	if y.ToLast {
		f32, f64 = toLast(f32), toLast(f64)
	}
	return func(dst, consumerDst G.Value, inputs []G.Value) error {
		return pooled(g, f32, f64, dst, consumerDst, inputs[0])
	}
}

// pooled calls the kernel that finds winners and values.
func pooled(g kernel.Pool, f32 maxima[float32], f64 maxima[float64], winner, y, x G.Value) error {
	from, err := plain(x)
	if err != nil {
		return err
	}
	if err := want("x", from.shape, inSides(g)...); err != nil {
		return err
	}
	index, err := destination(winner, outSides(g), tensor.Int32)
	if err != nil {
		return err
	}
	to, err := destination(y, outSides(g), from.dtype())
	if err != nil {
		return err
	}
	if g.N == 0 {
		return nil
	}
	switch v := from.data.(type) {
	case []float32:
		f32(g, slice[float32](to), slice[int32](index), v)
	case []float64:
		f64(g, slice[float64](to), slice[int32](index), v)
	default:
		return errors.Errorf("x has elements of type %v, want float32 or float64", from.dtype())
	}
	return nil
}

// MaxUnpool2D returns the node x of the given size whose elements are y at the winners that
// MaxPool2DIndices noted, and 0 elsewhere. Where windows share a winner, x has the sum of their y;
// PyTorch has one of them.
//
// Shapes: y and winner N×C×P×Q, x N×C×to.H×to.W: the size of the image that was pooled.
//
// Derivative: dy is dx at the winners.
//
// MaxUnpool2D returns an error if y is not a float node of rank 4, winner not an Int32 node of its
// shape, or a side of to is below 1; and when run, if a winner is not an index into a plane of x.
func MaxUnpool2D(y, winner *G.Node, to Size) (*G.Node, error) {
	const name = "MaxUnpool2D"
	if err := sized(name, y, to); err != nil {
		return nil, err
	}
	if err := check(name, float("y", 4, y), integers("winner", 4, tensor.Int32, winner)); err != nil {
		return nil, err
	}
	s := y.Shape()
	if err := want("winner", winner.Shape(), s...); err != nil {
		return nil, errors.Wrapf(err, "ops: %s", name)
	}
	return node(scatter{kernel.Pool{N: s[0], C: s[1], H: to.H, W: to.W, P: s[2], Q: s[3]}}, y, winner)
}

func init() {
	opset.Register(opset.Entry{Name: "MaxUnpool2D", Draw: func(r *rand.Rand) opset.Case {
		const n, c, p, q = 2, 2, 2, 3
		to := Size{4 + r.IntN(2), 6 + r.IntN(2)}
		index := make([]int32, n*c*p*q)
		for plane := range n * c {
			for i, at := range r.Perm(to.H * to.W)[:p*q] {
				index[plane*p*q+i] = int32(at)
			}
		}
		winner := opset.Input{Name: "winner", Shape: []int{n, c, p, q}, Of: tensor.Int32, Draw: func(_ *rand.Rand, v []float64) {
			for i, at := range index {
				v[i] = float64(at)
			}
		}}
		return opset.Case{
			Params: fmt.Sprint("to ", to), Inputs: []opset.Input{opset.Normal("y", n, c, p, q), winner},
			Build: func(in []*G.Node) (*G.Node, error) { return MaxUnpool2D(in[0], in[1], to) },
			Want: func(in [][]float64) []float64 {
				x := make([]float64, n*c*to.H*to.W)
				for i, y := range in[0] {
					x[i/(p*q)*to.H*to.W+int(in[1][i])] = y
				}
				return x
			},
		}
	}})
}
