package ops

import (
	"math"

	"github.com/pkg/errors"
	G "gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/convgrad/convgrad/internal/kernel"
)

// A Reduction says how the losses of a batch become one number.
type Reduction int

const (
	Mean Reduction = iota // the sum divided by the number of terms
	Sum
)

func (r Reduction) String() string {
	switch r {
	case Mean:
		return "mean"
	case Sum:
		return "sum"
	}
	return "unknown reduction"
}

func (r Reduction) check(name string) error {
	if r != Mean && r != Sum {
		return errors.Errorf("ops: %s: the reduction is %d, want Mean or Sum", name, int(r))
	}
	return nil
}

// MSEParams are the parameters of a squared error: E = Factor · Σ (t − y)², or the mean in place of the sum.
type MSEParams struct {
	Factor    float64 // 0 stands for 1
	Reduction Reduction
}

// ArticleError is the article's E = ½ Σ_p (t_p − y_p)² (Eq. 9), over all elements of the batch.
var ArticleError = MSEParams{Factor: 0.5, Reduction: Sum}

// MSE returns the scalar node E, the squared error of predictions y against targets t (article, Eq. 9 with ArticleError):
//
//	E = Factor · Σ (t − y)²     or     E = Factor · 1/n · Σ (t − y)²
//
// Shapes: y and t alike, of any rank; n is their number of elements. The sum is formed in float64.
//
// Derivatives, given dE: dy = 2·Factor·(y − t)·dE, divided by n for the mean, and dt = −dy.
//
// NaN in y or t makes E and that element's dy and dt NaN; so do infinities of one sign in both. An infinity in one of them makes E and that dy and dt infinite.
//
// MSE returns an error if y and t are not float nodes of one shape, or twice the factor is not a finite number.
func MSE(y, t *G.Node, p MSEParams) (*G.Node, error) {
	if err := check("MSE", float("y", -1, y), float("t", -1, t)); err != nil {
		return nil, err
	}
	if !y.Shape().Eq(t.Shape()) || y.Dims() != t.Dims() {
		return nil, errors.Errorf("ops: MSE: y has shape %v and t %v, want the same", y.Shape(), t.Shape())
	}
	if err := p.Reduction.check("MSE"); err != nil {
		return nil, err
	}
	if p.Factor == 0 {
		p.Factor = 1
	}
	if f := 2 * p.Factor; math.IsNaN(f) || math.IsInf(f, 0) { // the derivative's factor
		return nil, errors.Errorf("ops: MSE: the factor is %v, want a number whose double is finite", p.Factor)
	}
	if p.Reduction == Mean {
		p.Factor /= float64(y.Shape().TotalSize())
	}
	return node(squaredError{Rank: y.Dims(), Factor: p.Factor}, y, t)
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

func (o squaredError) exec(c *call) error {
	if c.double() {
		slice[float64](c.dst)[0] = o.Factor * squaredDistance(slice[float64](c.in[0]), slice[float64](c.in[1]))
	} else {
		slice[float32](c.dst)[0] = float32(o.Factor * squaredDistance(slice[float32](c.in[0]), slice[float32](c.in[1])))
	}
	return nil
}

func squaredDistance[T kernel.Float](a, b []T) float64 {
	var s float64
	for i := range a {
		d := float64(a[i]) - float64(b[i])
		s += d * d
	}
	return s
}

func (o squaredError) rule() []*term {
	y, t, dE := in(0), in(1), cotangent()
	by := scaleBy{o.Rank, 2 * o.Factor}
	return []*term{apply(by, apply(difference{o.Rank}, y, t), dE), apply(by, apply(difference{o.Rank}, t, y), dE)}
}
