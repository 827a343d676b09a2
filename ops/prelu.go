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

// PReLU returns the node that is x where x > 0 and slope·x elsewhere, with slopes that are learned
// (He et al., 2015).
//
// Shapes: x N×C×… of rank 2 or more; slopes of one element, for all of x, or C, one a channel.
//
// Derivatives: dx = dy where x > 0 and slope·dy elsewhere, at 0 too; dslope = Σ dy·min(x, 0) over
// the elements that share it. NaN stays NaN; a NaN's dx is dy. A −0 becomes +0.
//
// PReLU returns an error if x and slopes are not float nodes of these shapes.
func PReLU(x, slopes *G.Node) (*G.Node, error) {
	const name = "PReLU"
	if err := check(name, float("x", -1, x), float("slopes", 1, slopes)); err != nil {
		return nil, err
	}
	s := x.Shape()
	if len(s) < 2 {
		return nil, errors.Errorf("ops: %s: x has shape %v, of rank %d, want rank 2 or more", name, s, len(s))
	}
	n := slopes.Shape()[0]
	if n != 1 && n != s[1] {
		return nil, errors.Errorf("ops: %s: there are %d slopes, want 1 or %d: x is %v", name, n, s[1], s)
	}
	along := make([]int, len(s)-1)
	for i := range along {
		along[i] = 1
	}
	along[0] = n
	var t Try
	below := t.Do(Mul(t.Do(activate(kernel.Activation{Func: kernel.Below}, x)), t.Do(Reshape(slopes, along...))))
	y := t.Do(Add(t.Do(ReLU(x)), below))
	return y, errors.Wrapf(t.Err(), "ops: %s", name)
}

func init() {
	opset.Register(opset.Entry{Name: "PReLU", Draw: func(r *rand.Rand) opset.Case {
		shape := [][]int{{3, 4}, {2, 4, 3}, {2, 4, 2, 2}}[r.IntN(3)]
		n, inner := []int{1, 4}[r.IntN(2)], tensor.Shape(shape[2:]).TotalSize()
		return opset.Case{
			Params: fmt.Sprint(shape, ", slopes ", n),
			Inputs: []opset.Input{opset.Distinct("x", shape...), opset.Normal("slopes", n)},
			Build:  func(in []*G.Node) (*G.Node, error) { return PReLU(in[0], in[1]) },
			Terms:  2,
			Want: func(in [][]float64) []float64 {
				y := make([]float64, len(in[0]))
				for i, v := range in[0] {
					if y[i] = v; v < 0 {
						y[i] = v * in[1][i/inner%4%n]
					}
				}
				return y
			},
			PyTorch: "F.prelu(x, slopes)",
		}
	}})
}

func init() {
	opset.Timed("PReLU", func() []opset.Case {
		return []opset.Case{opset.Call("", "F.prelu(x, slopes)", func(in []*G.Node) (*G.Node, error) {
			return PReLU(in[0], in[1])
		}, opset.Normal("x", 16, 64, 56, 56), opset.Normal("slopes", 64))}
	})
}
