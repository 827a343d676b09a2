package ops

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"

	"github.com/pkg/errors"
	G "gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/convgrad/convgrad/internal/kernel"
	"github.com/convgrad/convgrad/internal/opset"
)

// Softmax returns the node y of x as probabilities along an axis:
//
//	y[…,j,…] = exp(x[…,j,…]) / Σ_l exp(x[…,l,…])
//
// Shapes: x and y alike, of any rank but 0; a negative axis counts from the end. Each sum is taken
// relative to its own greatest element, so any finite x is safe. Where the elements along the axis
// have a NaN or +Inf, or are nothing but −Inf, y is NaN.
//
// Derivative: dx[…,j,…] = y[…,j,…] · (dy[…,j,…] − Σ_l dy[…,l,…]·y[…,l,…]).
//
// Softmax returns an error if x is not a float node or the axis is not x's.
func Softmax(x *G.Node, axis int) (*G.Node, error) {
	if err := check("Softmax", float("x", -1, x)); err != nil {
		return nil, err
	}
	axis, err := axisOf("Softmax", axis, x.Dims())
	if err != nil {
		return nil, err
	}
	return Apply(softmax{axis}, x)
}

// LogSoftmax returns the node y of the logarithms of x's softmax along an axis:
//
//	y[…,j,…] = x[…,j,…] − log Σ_l exp(x[…,l,…])
//
// Shapes and errors are Softmax's. No logarithm is taken of a probability that was rounded to 0: y
// is finite for finite x. It is NaN where Softmax is.
//
// Derivative: dx[…,j,…] = dy[…,j,…] − exp(y[…,j,…]) · Σ_l dy[…,l,…].
func LogSoftmax(x *G.Node, axis int) (*G.Node, error) {
	if err := check("LogSoftmax", float("x", -1, x)); err != nil {
		return nil, err
	}
	axis, err := axisOf("LogSoftmax", axis, x.Dims())
	if err != nil {
		return nil, err
	}
	return Apply(logSoftmax{axis}, x)
}

// softmax is Softmax, and logSoftmax LogSoftmax, along an axis that is x's.
type softmax struct{ Axis int }

func (o softmax) Name(int) (string, []string)                   { return "Softmax", []string{"x"} }
func (o softmax) Infer(in []tensor.Shape) (tensor.Shape, error) { return in[0], nil }
func (o softmax) Compute(c *Call) error {
	return ByType(o, c, softmaxForward[float32], softmaxForward[float64])
}
func (o softmax) Rule(_ []*G.Node, y, dy *G.Node) ([]*G.Node, error) {
	dx, err := Apply(softmaxBackward(o), y, dy)
	return []*G.Node{dx}, err
}

func softmaxForward[T kernel.Float](o softmax, c *Call) error {
	kernel.Softmax(kernel.AlongAxis(c.Shape(0), o.Axis), Out[T](c), In[T](c, 0))
	return nil
}

type logSoftmax struct{ Axis int }

func (o logSoftmax) Name(int) (string, []string)                   { return "LogSoftmax", []string{"x"} }
func (o logSoftmax) Infer(in []tensor.Shape) (tensor.Shape, error) { return in[0], nil }
func (o logSoftmax) Compute(c *Call) error {
	return ByType(o, c, logSoftmaxForward[float32], logSoftmaxForward[float64])
}
func (o logSoftmax) Rule(_ []*G.Node, y, dy *G.Node) ([]*G.Node, error) {
	dx, err := Apply(logSoftmaxBackward(o), y, dy)
	return []*G.Node{dx}, err
}

func logSoftmaxForward[T kernel.Float](o logSoftmax, c *Call) error {
	kernel.LogSoftmax(kernel.AlongAxis(c.Shape(0), o.Axis), Out[T](c), In[T](c, 0))
	return nil
}

// sumAlong is Σ a·b along an axis, which stays, with one element.
func sumAlong(t *Try, axis int, ab *G.Node) *G.Node {
	return t.Do(Unsqueeze(t.Do(Sum(ab, axis)), axis))
}

// logSoftmaxBackward is dx = dy − exp(y)·Σ dy, as a function of y and dy, each by itself.
type logSoftmaxBackward logSoftmax

func (o logSoftmaxBackward) Name(int) (string, []string) {
	return "LogSoftmaxBackward", []string{"y", "dy"}
}
func (o logSoftmaxBackward) Infer(in []tensor.Shape) (tensor.Shape, error) {
	return in[0], want("dy", in[1], in[0]...)
}
func (o logSoftmaxBackward) Compute(c *Call) error {
	return ByType(o, c, logSoftmaxGradient[float32], logSoftmaxGradient[float64])
}

func logSoftmaxGradient[T kernel.Float](o logSoftmaxBackward, c *Call) error {
	kernel.LogSoftmaxBackward(kernel.AlongAxis(c.Shape(0), o.Axis), Out[T](c), In[T](c, 0), In[T](c, 1))
	return nil
}

func (o logSoftmaxBackward) Rule(in []*G.Node, _, dd *G.Node) ([]*G.Node, error) {
	var t Try
	weighted := t.Do(Mul(dd, t.Do(Exp(in[0]))))
	byY := t.Do(Affine(t.Do(Mul(weighted, sumAlong(&t, o.Axis, in[1]))), -1, 0))
	byDy := t.Do(Sub(dd, sumAlong(&t, o.Axis, weighted)))
	return []*G.Node{byY, byDy}, t.Err()
}

// softmaxBackward is dx = y·(dy − Σ dy·y), as a function of y and dy, each by itself. It is
// symmetric as a map of dy.
type softmaxBackward softmax

func (o softmaxBackward) Name(int) (string, []string) {
	return "SoftmaxBackward", []string{"y", "dy"}
}
func (o softmaxBackward) Infer(in []tensor.Shape) (tensor.Shape, error) {
	return in[0], want("dy", in[1], in[0]...)
}
func (o softmaxBackward) Compute(c *Call) error {
	return ByType(o, c, softmaxGradient[float32], softmaxGradient[float64])
}

func softmaxGradient[T kernel.Float](o softmaxBackward, c *Call) error {
	kernel.SoftmaxBackward(kernel.AlongAxis(c.Shape(0), o.Axis), Out[T](c), In[T](c, 0), In[T](c, 1))
	return nil
}

func (o softmaxBackward) Rule(in []*G.Node, _, dd *G.Node) ([]*G.Node, error) {
	var t Try
	y, dy := in[0], in[1]
	inner := func(a, b *G.Node) *G.Node { return sumAlong(&t, o.Axis, t.Do(Mul(a, b))) }
	// dx = y·dy − y·⟨y, dy⟩, so by y: dd·dy − dd·⟨y, dy⟩ − dy·⟨dd, y⟩.
	byY := t.Do(Sub(t.Do(Mul(dd, t.Do(Sub(dy, inner(y, dy))))), t.Do(Mul(dy, inner(dd, y)))))
	return []*G.Node{byY, t.Do(Apply(o, y, dd))}, t.Err()
}

// ofRank returns an error if a shape is of another rank.
func ofRank(name string, s tensor.Shape, rank int) error {
	if len(s) != rank {
		return errors.Errorf("%s has shape %v, of rank %d, want rank %d", name, s, len(s), rank)
	}
	return nil
}

func init() {
	for name, op := range map[string]func(*G.Node, int) (*G.Node, error){"Softmax": Softmax, "LogSoftmax": LogSoftmax} {
		log := name == "LogSoftmax"
		with := func(axis int, shape ...int) opset.Case {
			return opset.Case{
				Params: fmt.Sprintf("axis %d", axis), Inputs: []opset.Input{opset.Normal("x", shape...)},
				Build: func(in []*G.Node) (*G.Node, error) { return op(in[0], axis) },
				Want: func(in [][]float64) []float64 {
					kept := slices.Clone(shape)
					kept[(axis+len(shape))%len(shape)] = 1
					sums, y := make([]float64, volume(kept)), make([]float64, len(in[0]))
					for i, v := range in[0] {
						sums[at(i, shape, kept)] += math.Exp(v)
					}
					for i, v := range in[0] {
						if y[i] = math.Exp(v) / sums[at(i, shape, kept)]; log {
							y[i] = math.Log(y[i])
						}
					}
					return y
				},
				Terms: 8, PyTorch: fmt.Sprintf("F.%s(x, %d)", map[bool]string{false: "softmax", true: "log_softmax"}[log], axis),
			}
		}
		opset.Register(opset.Entry{Name: name, Draw: func(r *rand.Rand) opset.Case {
			shape := []tensor.Shape{{3, 4}, {5}, {2, 3, 4}, {2, 3, 2, 2}}[r.IntN(4)]
			return with(r.IntN(2*len(shape))-len(shape), shape...)
		}})
		opset.Timed(name, func() []opset.Case {
			return []opset.Case{with(-1, 128, 1000), with(1, 8, 21, 64, 64)}
		})
	}
}
