package ops

import (
	"github.com/pkg/errors"
	G "gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/convgrad/convgrad/internal/kernel"
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
	// Ceil lets a last window begin in x, or in the padding before it, and end beyond the padding.
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
	if p.Ceil {
		return kernel.Pool{}, errors.New("Ceil is set, which is not supported yet")
	}
	sp, err := spatial(Size{x[2], x[3]}, p.Window, p.Stride, p.Dilation, p.Pad, p.Window)
	if err != nil {
		return kernel.Pool{}, err
	}
	g, err := kernel.NewPool(x[0], x[1], x[2], x[3], p.Window.H, p.Window.W, sp)
	return g, errors.Wrapf(err, "x is %v, the window %v", x, p.Window)
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
	case p.Divisor != 0:
		return errors.Errorf("ops: %s: Divisor is %d, want 0: others are not supported yet", name, p.Divisor)
	case !norm && p.Norm != 0:
		return errors.Errorf("ops: %s: Norm is %v, want 0: it belongs to LpPool2D", name, p.Norm)
	}
	return nil
}

func inSides(g kernel.Pool) tensor.Shape  { return tensor.Shape{g.N, g.C, g.H, g.W} }
func outSides(g kernel.Pool) tensor.Shape { return tensor.Shape{g.N, g.C, g.P, g.Q} }

// Pool2DShape returns the shape C×H×W of one image of a pooling's output for such an input, and the
// pooling's error where there is none.
func Pool2DShape(x tensor.Shape, p PoolParams) (tensor.Shape, error) {
	if len(x) != 4 {
		return nil, errors.Errorf("ops: Pool2DShape: x is %v, want rank 4", x)
	}
	if err := countable(x); err != nil {
		return nil, errors.Errorf("ops: Pool2DShape: x %v", err)
	}
	g, err := p.geometry(x)
	if err != nil {
		return nil, errors.Wrap(err, "ops: Pool2DShape")
	}
	return tensor.Shape{g.C, g.P, g.Q}, nil
}
