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

// AvgPool2D returns the node y whose elements are the means of each window of x:
//
//	y[n,c,p,q] = 1/divisor · Σ_r Σ_s x[n, c, i, j]
//
// with i = p·stride + r·dilation − top and j = q·stride + s·dilation − left.
//
// Shapes: x N×C×H×W, y N×C×P×Q with P and Q as for Conv2D. Padding counts as zeros, and the divisor
// is the window's area (PyTorch's default and the article's 1/(N×N)). With ExcludePadding the
// divisor is the number of the window's elements that are in x. Divisor replaces either. Under Ceil
// what a window spans beyond the padding is not counted.
//
// Derivative: each element of a window gets dy/divisor (article, "Pooling Layer"), and the sum of
// them over the windows that it is in.
//
// NaN and infinities reach the means of the windows that they are in, and no others. dx depends on
// dy alone.
//
// AvgPool2D returns an error if x is not a float node of rank 4 or the parameters do not describe a
// pooling.
func AvgPool2D(x *G.Node, p PoolParams) (*G.Node, error) {
	g, err := p.pool("AvgPool2D", x)
	if err != nil {
		return nil, err
	}
	if err := p.only("AvgPool2D", true, false); err != nil {
		return nil, err
	}
	if p.Divisor == 0 && (p.ExcludePadding || !p.Ceil) {
		return node(avgPool{g, !p.ExcludePadding}, x)
	}
	sp, err := p.spatial(x.Shape())
	if err != nil {
		return nil, errors.Wrap(err, "ops: AvgPool2D")
	}
	g.Rows.After, g.Cols.After = sp.PadBottom, sp.PadRight // the divisor counts no more than this
	kind, scale := kernel.WindowMean, 1.0
	if p.Divisor > 0 {
		kind, scale = kernel.WindowSum, 1/float64(p.Divisor)
	}
	return resampled("AvgPool2D", x, kernel.AxisMap{Kind: kind, Window: g.Rows}, kernel.AxisMap{Kind: kind, Window: g.Cols}, scale)
}

type avgPool struct {
	Geometry     kernel.Pool
	CountPadding bool
}

func (o avgPool) name() string  { return "AvgPool2D" }
func (o avgPool) args() []arg   { return []arg{{name: "x", rank: 4}} }
func (o avgPool) result() arg   { return arg{name: "y", rank: 4} }
func (o avgPool) rule() []*term { return []*term{apply(avgPoolBackward(o), cotangent())} }
func (o avgPool) infer(in []tensor.Shape) (tensor.Shape, error) {
	return outSides(o.Geometry), want("x", in[0], inSides(o.Geometry)...)
}

func (o avgPool) exec(c *Call) error {
	if c.double() {
		kernel.AvgForward(o.Geometry, slice[float64](c.dst), slice[float64](c.in[0]), o.CountPadding)
	} else {
		kernel.AvgForward(o.Geometry, slice[float32](c.dst), slice[float32](c.in[0]), o.CountPadding)
	}
	return nil
}

// avgPoolBackward is the adjoint of avgPool.
type avgPoolBackward struct {
	Geometry     kernel.Pool
	CountPadding bool
}

func (o avgPoolBackward) name() string  { return "AvgPool2DBackward" }
func (o avgPoolBackward) args() []arg   { return []arg{{name: "dy", rank: 4}} }
func (o avgPoolBackward) result() arg   { return arg{name: "dx", rank: 4} }
func (o avgPoolBackward) rule() []*term { return []*term{apply(avgPool(o), cotangent())} }
func (o avgPoolBackward) infer(in []tensor.Shape) (tensor.Shape, error) {
	return inSides(o.Geometry), want("dy", in[0], outSides(o.Geometry)...)
}

func (o avgPoolBackward) exec(c *Call) error {
	if c.double() {
		kernel.AvgBackward(o.Geometry, slice[float64](c.dst), slice[float64](c.in[0]), o.CountPadding)
	} else {
		kernel.AvgBackward(o.Geometry, slice[float32](c.dst), slice[float32](c.in[0]), o.CountPadding)
	}
	return nil
}

func init() {
	opset.Register(opset.Entry{Name: "AvgPool2D", Draw: func(r *rand.Rand) opset.Case {
		p := PoolParams{Window: Size{2 + r.IntN(2), 2}, Stride: Size{1 + r.IntN(3), 1 + r.IntN(2)}, Pad: Padding{Top: r.IntN(2), Left: r.IntN(2), Right: r.IntN(2)},
			Ceil: r.IntN(2) == 0, ExcludePadding: r.IntN(2) == 0, Divisor: []int{0, 0, 5}[r.IntN(3)]}
		const planes, h, w = 6, 5, 6
		count := func(n, window, stride, before, after int) int {
			windows := 0
			for at := -before; at+window <= n+after || p.Ceil && at < n && at+window < n+after+stride; at += stride {
				windows++
			}
			return windows
		}
		rows, cols := count(h, p.Window.H, p.Stride.H, p.Pad.Top, 0), count(w, p.Window.W, p.Stride.W, p.Pad.Left, p.Pad.Right)
		return opset.Case{
			Params: fmt.Sprintf("%+v", p),
			Inputs: []opset.Input{opset.Normal("x", 2, 3, h, w)},
			Build:  func(in []*G.Node) (*G.Node, error) { return AvgPool2D(in[0], p) },
			Terms:  p.Window.H*p.Window.W + 3,
			Want: func(in [][]float64) []float64 {
				y := make([]float64, planes*rows*cols)
				for k := range y {
					sum, n := 0.0, 0
					for a := range p.Window.H {
						for b := range p.Window.W {
							i, j := k/cols%rows*p.Stride.H+a-p.Pad.Top, k%cols*p.Stride.W+b-p.Pad.Left
							inside := i >= 0 && i < h && j >= 0 && j < w
							if inside {
								sum += in[0][k/(rows*cols)*h*w+i*w+j]
							}
							if inside || !p.ExcludePadding && i < h && j < w+p.Pad.Right {
								n++
							}
						}
					}
					if p.Divisor > 0 {
						n = p.Divisor
					}
					y[k] = sum / float64(n)
				}
				return y
			},
		}
	}})
}
