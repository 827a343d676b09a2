package ops

import (
	"github.com/pkg/errors"
	G "gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/convgrad/convgrad/internal/kernel"
)

// PoolParams are the parameters of a pooling.
type PoolParams struct {
	Window   [2]int // rows, columns
	Stride   [2]int // down, across; {0, 0} stands for Window: windows that touch and do not overlap
	Dilation [2]int // distance of a window's elements; {0, 0} stands for {1, 1}
	Pad      [4]int // rows and columns around x: top, bottom, left, right. Every window must hold at least one element of x
}

// pool checks x and works out the geometry.
func (p PoolParams) pool(name string, x *G.Node) (kernel.Pool, error) {
	if err := check(name, float("x", 4, x)); err != nil {
		return kernel.Pool{}, err
	}
	s := x.Shape()
	g, err := kernel.NewPool(s[0], s[1], s[2], s[3], p.Window[0], p.Window[1], spatial(p.Stride, p.Dilation, p.Pad, p.Window))
	return g, errors.Wrapf(err, "ops: %s: x is %v, the window %v", name, s, p.Window)
}

func inSides(g kernel.Pool) tensor.Shape  { return tensor.Shape{g.N, g.C, g.H, g.W} }
func outSides(g kernel.Pool) tensor.Shape { return tensor.Shape{g.N, g.C, g.P, g.Q} }

// Pool2DShape returns the shape C×H×W of one image of a pooling's output for such an input, and the pooling's error where there is none.
func Pool2DShape(x tensor.Shape, p PoolParams) (tensor.Shape, error) {
	if len(x) != 4 {
		return nil, errors.Errorf("ops: Pool2DShape: x is %v, want rank 4", x)
	}
	if err := countable(x); err != nil {
		return nil, errors.Errorf("ops: Pool2DShape: x %v", err)
	}
	g, err := kernel.NewPool(x[0], x[1], x[2], x[3], p.Window[0], p.Window[1], spatial(p.Stride, p.Dilation, p.Pad, p.Window))
	if err != nil {
		return nil, errors.Wrapf(err, "ops: Pool2DShape: x is %v, the window %v", x, p.Window)
	}
	return tensor.Shape{g.C, g.P, g.Q}, nil
}
