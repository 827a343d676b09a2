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

// PoolParams are the parameters of a pooling. A field that has no meaning for a pooling is an error
// if it is set.
type PoolParams struct {
	// Window is the sides of the windows.
	Window Size
	// Stride is the distance of neighbouring windows; {0, 0} stands for Window: windows that touch
	// and do not overlap. One 0 beside another number is an error, here and in Dilation.
	Stride Size
	// Dilation is the distance of a window's elements; {0, 0} stands for {1, 1}.
	Dilation Size
	// Pad is the rows and columns around x. Every window must hold at least one element of x.
	Pad Padding
	// Ceil adds a last window where the stride leaves elements over: it begins in x, or in the
	// padding before it, and may end beyond the padding. What lies beyond is in no sum, maximum or
	// divisor.
	Ceil bool
	// ExcludePadding divides an average by the number of the window's elements that are in x.
	ExcludePadding bool
	// Divisor replaces an average's divisor; 0 stands for the window's area, or what
	// ExcludePadding says.
	Divisor int
	// Norm is the p of LpPool2D; 0 stands for 2.
	Norm float64
}

// geometry works out how the windows lie on x, whose rank is 4.
func (p PoolParams) geometry(x tensor.Shape) (kernel.Pool, error) {
	sp, err := p.spatial(x)
	if err != nil {
		return kernel.Pool{}, err
	}
	if p.Ceil {
		sp.PadBottom = ceiling(x[2], p.Window.H, sp.StrideH, sp.DilationH, sp.PadTop, sp.PadBottom)
		sp.PadRight = ceiling(x[3], p.Window.W, sp.StrideW, sp.DilationW, sp.PadLeft, sp.PadRight)
	}
	g, err := kernel.NewPool(max(x[0], 1), x[1], x[2], x[3], p.Window.H, p.Window.W, sp)
	g.N = x[0] // an empty batch never reaches a kernel
	return g, errors.Wrapf(err, "x is %v, the window %v", x, p.Window)
}

func (p PoolParams) spatial(x tensor.Shape) (kernel.Spatial, error) {
	return spatial(Size{x[2], x[3]}, p.Window, p.Stride, p.Dilation, p.Pad, p.Window)
}

// ceiling is the padding after an axis of n elements under which there is a last window that begins
// in the axis, or before it, and may end beyond the padding that was asked for. What is refused
// elsewhere anyway is returned as it is.
func ceiling(n, window, stride, dilation, before, after int) int {
	const far = 1 << 29
	for _, v := range []int{window, stride, dilation} {
		if v < 1 || v > far {
			return after
		}
	}
	if before < 0 || before > far || after < 0 || after > far || window > 1 && dilation > far/(window-1) {
		return after
	}
	extent := (window-1)*dilation + 1
	room := n + before + after - extent + stride - 1
	if room < 0 {
		return after
	}
	out := room/stride + 1
	if out > 1 && (out-1)*stride >= n+before {
		out--
	}
	return max(0, (out-1)*stride+extent-n-before)
}

// pool checks x and works out the geometry.
func (p PoolParams) pool(name string, x *G.Node) (kernel.Pool, error) {
	if err := check(name, float("x", 4, x)); err != nil {
		return kernel.Pool{}, err
	}
	g, err := p.geometry(x.Shape())
	return g, errors.Wrapf(err, "ops: %s", name)
}

// only returns an error if a field is set that the pooling has no use for.
func (p PoolParams) only(name string, average, norm bool) error {
	switch {
	case !average && p.ExcludePadding:
		return errors.Errorf("ops: %s: ExcludePadding is set, want it unset: it belongs to AvgPool2D", name)
	case !average && p.Divisor != 0:
		return errors.Errorf("ops: %s: Divisor is %d, want 0: it belongs to AvgPool2D", name, p.Divisor)
	case p.Divisor < 0:
		return errors.Errorf("ops: %s: Divisor is %d, want 1 or more, or 0 for the area", name, p.Divisor)
	case !norm && p.Norm != 0:
		return errors.Errorf("ops: %s: Norm is %v, want 0: it belongs to LpPool2D", name, p.Norm)
	}
	return nil
}

func inSides(g kernel.Pool) tensor.Shape  { return tensor.Shape{g.N, g.C, g.H, g.W} }
func outSides(g kernel.Pool) tensor.Shape { return tensor.Shape{g.N, g.C, g.P, g.Q} }

// registerPool registers a pooling of 2×2 or 3×2 windows under parameters by chance.
func registerPool(name string, build func(x *G.Node, p PoolParams) (*G.Node, error), vary func(r *rand.Rand, p *PoolParams)) {
	opset.Register(opset.Entry{Name: name, Draw: func(r *rand.Rand) opset.Case {
		p := PoolParams{
			Window: Size{2 + r.IntN(2), 2}, Stride: Size{1 + r.IntN(2), 1 + r.IntN(3)}, Dilation: Size{1, 1 + r.IntN(2)},
			Pad: Padding{Top: r.IntN(2), Right: r.IntN(2)},
		}
		if vary != nil {
			vary(r, &p)
		}
		return opset.Case{
			Params: fmt.Sprintf("%+v", p), Inputs: []opset.Input{opset.Distinct("x", 2, 2, 5, 6)},
			Build: func(in []*G.Node) (*G.Node, error) { return build(in[0], p) },
		}
	}})
}

func init() {
	registerPool("MaxPool2D", MaxPool2D, nil)
	registerPool("AvgPool2D", AvgPool2D, func(r *rand.Rand, p *PoolParams) { p.ExcludePadding = r.IntN(2) == 0 })
	registerPool("L2Pool2D", L2Pool2D, nil)
}

func init() {
	for name, torch := range map[string]string{"MaxPool2D": "max_pool2d(x, ", "AvgPool2D": "avg_pool2d(x, ", "L2Pool2D": "lp_pool2d(x, 2., "} {
		op := map[string]func(*G.Node, PoolParams) (*G.Node, error){"MaxPool2D": MaxPool2D, "AvgPool2D": AvgPool2D, "L2Pool2D": L2Pool2D}[name]
		opset.Timed(name, func() []opset.Case {
			var all []opset.Case
			for _, side := range []int{2, 3} {
				all = append(all, opset.Call(fmt.Sprintf("%d×%d, stride 2", side, side), fmt.Sprintf("F.%s%d, 2)", torch, side), func(in []*G.Node) (*G.Node, error) {
					return op(in[0], PoolParams{Window: Both(side), Stride: Both(2)})
				}, opset.Normal("x", 16, 64, 56, 56)))
			}
			return all
		})
	}
}
