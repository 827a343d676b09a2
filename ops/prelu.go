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

// PReLU returns the node that is x where x > 0 and slope·x elsewhere, with slopes that are learned
// (He et al., 2015).
//
// Shapes: x N×C×… of rank 2 or more; slopes of one element, for all of x, or C, one a channel.
//
// Derivatives: dx = dy where x > 0 and slope·dy elsewhere, at 0 and at NaN too; dslope =
// Σ dy·min(x, 0) over the elements that share it. NaN stays NaN.
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
	return Apply(prelu{}, x, slopes)
}

// prelu is PReLU, preluBackward dx, and preluSlopes dslopes, of which there are N.
type prelu struct{}

func (o prelu) Name(int) (string, []string) { return "PReLU", []string{"x", "slopes"} }
func (o prelu) InPlace() int                { return 0 }
func (o prelu) Infer(in []tensor.Shape) (tensor.Shape, error) {
	return in[0], preluShapes(in[0], in[1])
}

// preluShapes checks what Apply may be called with.
func preluShapes(x, slopes tensor.Shape) error {
	if len(x) < 2 {
		return errors.Errorf("x has shape %v, of rank %d, want rank 2 or more", x, len(x))
	}
	if len(slopes) == 1 && slopes[0] == 1 {
		return nil
	}
	return want("slopes", slopes, x[1])
}

func (o prelu) Compute(c *Call) error {
	return ByType(o, c, preluForward[float32], preluForward[float64])
}
func (o prelu) Rule(in []*G.Node, _, dy *G.Node) ([]*G.Node, error) {
	var t Try
	x, slopes := in[0], in[1]
	dx := t.Do(Apply(preluBackward{}, dy, x, slopes))
	return []*G.Node{dx, t.Do(Apply(preluSlopes{slopes.Shape()[0]}, dy, x))}, t.Err()
}

func preluForward[T kernel.Float](_ prelu, c *Call) error {
	kernel.PReLU(kernel.AlongAxis(c.Shape(0), 1), Out[T](c), In[T](c, 0), In[T](c, 1))
	return nil
}

type preluBackward struct{}

func (o preluBackward) Name(int) (string, []string) {
	return "PReLUBackward", []string{"dy", "x", "slopes"}
}
func (o preluBackward) InPlace() int { return 0 }
func (o preluBackward) Infer(in []tensor.Shape) (tensor.Shape, error) {
	if err := want("dy", in[0], in[1]...); err != nil {
		return nil, err
	}
	return in[1], preluShapes(in[1], in[2])
}
func (o preluBackward) Compute(c *Call) error {
	return ByType(o, c, preluGradient[float32], preluGradient[float64])
}
func (o preluBackward) Rule(in []*G.Node, _, dd *G.Node) ([]*G.Node, error) {
	var t Try
	dy, x, slopes := in[0], in[1], in[2]
	both := t.Do(node(belowBackward(x), t.Do(Mul(dd, dy)), x))
	byDy := t.Do(Apply(o, dd, x, slopes))
	return []*G.Node{byDy, nil, t.Do(sumChannelsTo(both, slopes.Shape()[0]))}, t.Err()
}

func preluGradient[T kernel.Float](_ preluBackward, c *Call) error {
	kernel.PReLUBackward(kernel.AlongAxis(c.Shape(1), 1), Out[T](c), In[T](c, 0), In[T](c, 1), In[T](c, 2))
	return nil
}

type preluSlopes struct{ N int }

func (o preluSlopes) Name(int) (string, []string) { return "PReLUSlopes", []string{"dy", "x"} }
func (o preluSlopes) Infer(in []tensor.Shape) (tensor.Shape, error) {
	if err := want("dy", in[0], in[1]...); err != nil {
		return nil, err
	}
	return tensor.Shape{o.N}, preluShapes(in[1], tensor.Shape{o.N})
}
func (o preluSlopes) Compute(c *Call) error {
	return ByType(o, c, preluSums[float32], preluSums[float64])
}
func (o preluSlopes) Rule(in []*G.Node, _, dd *G.Node) ([]*G.Node, error) {
	var t Try
	dy, x := in[0], in[1]
	along := slices.Repeat([]int{1}, x.Dims()-1)
	along[0] = o.N
	dd = t.Do(Reshape(dd, along...))
	byDy := t.Do(Mul(t.Do(activate(kernel.Activation{Func: kernel.Below}, x)), dd))
	return []*G.Node{byDy, t.Do(node(belowBackward(x), t.Do(Mul(dy, dd)), x))}, t.Err()
}

func preluSums[T kernel.Float](_ preluSlopes, c *Call) error {
	kernel.PReLUSlopes(kernel.AlongAxis(c.Shape(0), 1), Out[T](c), In[T](c, 0), In[T](c, 1))
	return nil
}

// belowBackward is the derivative of min(x, 0).
func belowBackward(x *G.Node) activationBackward {
	return activationBackward{x.Dims(), kernel.Activation{Func: kernel.Below}}
}

// sumChannelsTo is the sum over all axes but the channels', or over all to one element.
func sumChannelsTo(x *G.Node, n int) (*G.Node, error) {
	var axes []int
	for i := range x.Dims() {
		if i != 1 || n == 1 {
			axes = append(axes, i)
		}
	}
	y, err := Sum(x, axes...)
	if err != nil {
		return nil, err
	}
	return Reshape(y, n)
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
