package ops

import (
	"github.com/pkg/errors"
	"gorgonia.org/tensor"
)

// Conv2DShape returns the shape C×H×W of one image of Conv2D's output for such inputs and filters,
// and Conv2D's error where there is none.
func Conv2DShape(x, w tensor.Shape, p ConvParams) (tensor.Shape, error) {
	g, err := p.ofShapes("Conv2DShape", x, w)
	if err != nil {
		return nil, err
	}
	return tensor.Shape{g.K, g.P, g.Q}, nil
}

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
