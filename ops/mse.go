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

// A Reduction says how the losses of a batch become one number.
type Reduction int

const (
	ReductionMean Reduction = iota // the sum divided by the number of terms
	ReductionSum
	ReductionNone // no reduction: every term by itself
)

func (r Reduction) String() string {
	switch r {
	case ReductionMean:
		return "mean"
	case ReductionSum:
		return "sum"
	case ReductionNone:
		return "none"
	}
	return "unknown reduction"
}

func (r Reduction) check(name string) error {
	if r < ReductionMean || r > ReductionNone {
		return errors.Errorf("ops: %s: the reduction is %d, want ReductionMean, ReductionSum or ReductionNone", name, int(r))
	}
	return nil
}

// MSE returns the squared error E of predictions y against targets t:
//
//	E = 1/n · Σ (t − y)²     or     E = Σ (t − y)²     or     E[i] = (t[i] − y[i])²
//
// by ReductionMean, ReductionSum and ReductionNone.
//
// Shapes: y and t alike, of any rank; n is their number of elements. E is a scalar, or of their
// shape without a reduction. The sum is formed in float64.
//
// Derivatives, given dE: dy = 2·(y − t)·dE, divided by n for the mean, and dt = −dy.
//
// NaN in y or t makes E and that element's dy and dt NaN; so do infinities of one sign in both. An
// infinity in one of them makes E and that dy and dt infinite.
//
// MSE returns an error if y and t are not float nodes of one shape, or if they are empty and there
// is a reduction.
func MSE(y, t *G.Node, r Reduction) (*G.Node, error) {
	if err := r.check("MSE"); err != nil {
		return nil, err
	}
	if err := alike("MSE", "y", y, "t", t); err != nil {
		return nil, err
	}
	if r != ReductionNone {
		if err := nonEmpty("MSE", "y", y); err != nil {
			return nil, err
		}
	}
	factor := 1.0
	switch r {
	case ReductionMean:
		factor = 1 / float64(y.Shape().TotalSize())
	case ReductionNone:
		d, err := node(difference{y.Dims()}, y, t)
		if err != nil {
			return nil, err
		}
		return node(product{y.Dims()}, d, d)
	}
	return node(squaredError{Rank: y.Dims(), Factor: factor}, y, t)
}

// ArticleError returns the article's error E = ½ Σ_p (t_p − y_p)² (Eq. 9), over all elements of the
// batch, as a scalar node. Shapes, borders and errors are MSE's.
//
// Derivatives, given dE: dy = (y − t)·dE and dt = −dy.
func ArticleError(y, t *G.Node) (*G.Node, error) {
	if err := alike("ArticleError", "y", y, "t", t); err != nil {
		return nil, err
	}
	if err := nonEmpty("ArticleError", "y", y); err != nil {
		return nil, err
	}
	return node(squaredError{Rank: y.Dims(), Factor: 0.5}, y, t)
}

// nonEmpty refuses a loss of nothing.
func nonEmpty(name, operand string, x *G.Node) error {
	if volume(x.Shape()) == 0 {
		return errors.Errorf("ops: %s: %s has shape %v, want at least one element", name, operand, x.Shape())
	}
	return nil
}

// alike returns an error unless a and b are float nodes of one graph, type and shape.
func alike(name, nameA string, a *G.Node, nameB string, b *G.Node) error {
	if err := check(name, float(nameA, -1, a), float(nameB, -1, b)); err != nil {
		return err
	}
	if !slices.Equal(a.Shape(), b.Shape()) {
		return errors.Errorf("ops: %s: %s has shape %v and %s %v, want the same", name, nameA, a.Shape(), nameB, b.Shape())
	}
	return nil
}

type squaredError struct {
	Rank   int
	Factor float64
}

func (o squaredError) name() string { return "MSE" }
func (o squaredError) args() []arg {
	return []arg{{name: "y", rank: o.Rank}, {name: "t", rank: o.Rank}}
}
func (o squaredError) result() arg { return arg{name: "E", rank: 0} }
func (o squaredError) infer(in []tensor.Shape) (tensor.Shape, error) {
	return tensor.ScalarShape(), want("t", in[1], in[0]...)
}

func (o squaredError) exec(c *Call) error {
	if c.double() {
		slice[float64](c.dst)[0] = o.Factor * kernel.Squares(slice[float64](c.in[0]), slice[float64](c.in[1]))
	} else {
		slice[float32](c.dst)[0] = float32(o.Factor * kernel.Squares(slice[float32](c.in[0]), slice[float32](c.in[1])))
	}
	return nil
}

func (o squaredError) rule() []*term {
	y, t, dE := in(0), in(1), cotangent()
	by := scaleBy{o.Rank, 2 * o.Factor}
	return []*term{apply(by, apply(difference{o.Rank}, y, t), dE), apply(by, apply(difference{o.Rank}, t, y), dE)}
}

func init() {
	opset.Register(opset.Entry{Name: "MSE", Draw: func(r *rand.Rand) opset.Case {
		reduction := Reduction(r.IntN(3))
		return opset.Case{
			Params: reduction.String(), Inputs: []opset.Input{opset.Normal("y", 3, 4), opset.Normal("t", 3, 4)},
			PyTorch: fmt.Sprintf("F.mse_loss(y, t, reduction=%q)", reduction), Terms: 3 * 12,
			Build: func(in []*G.Node) (*G.Node, error) { return MSE(in[0], in[1], reduction) },
			Want: func(in [][]float64) []float64 {
				e, sum := make([]float64, len(in[0])), 0.0
				for i := range e {
					d := in[0][i] - in[1][i]
					e[i] = d * d
					sum += e[i]
				}
				switch reduction {
				case ReductionNone:
					return e
				case ReductionMean:
					sum /= float64(len(e))
				}
				return []float64{sum}
			},
		}
	}})
}

func init() {
	opset.Timed("MSE", func() []opset.Case {
		return []opset.Case{opset.Call("", "F.mse_loss(y, t)", func(in []*G.Node) (*G.Node, error) {
			return MSE(in[0], in[1], ReductionMean)
		}, opset.Normal("y", 16, 64, 56, 56), opset.Normal("t", 16, 64, 56, 56))}
	})
}

func init() {
	opset.Register(opset.Entry{Name: "ArticleError", Draw: func(*rand.Rand) opset.Case {
		return opset.Case{
			Inputs: []opset.Input{opset.Normal("y", 3, 4), opset.Normal("t", 3, 4)},
			Build:  func(in []*G.Node) (*G.Node, error) { return ArticleError(in[0], in[1]) },
			Want: func(in [][]float64) []float64 {
				e := 0.0
				for i, y := range in[0] {
					e += (in[1][i] - y) * (in[1][i] - y) / 2
				}
				return []float64{e}
			},
			Terms: 24,
		}
	}})
}
