package ops

import (
	"fmt"
	"math"
	"math/rand/v2"

	"github.com/pkg/errors"
	G "gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/convgrad/convgrad/internal/kernel"
	"github.com/convgrad/convgrad/internal/opset"
)

// L1 returns the absolute error of predictions y against targets t, |y − t| element by element, and
// its mean or sum by the reduction.
//
// Shapes: y and t alike, of any rank; the result is a scalar, or of their shape without a
// reduction.
//
// Derivatives, given dE: dy = sign(y − t)·dE, divided by the number of elements for the mean, and
// dt = −dy. Where y = t, which has no derivative, it is taken as 0.
//
// NaN in y or t makes E NaN. L1 returns an error if y and t are not float nodes of one shape.
func L1(y, t *G.Node, r Reduction) (*G.Node, error) {
	return pairwise(pairLoss{Kind: absolute}, y, t, r)
}

// Huber returns Huber's loss of predictions y against targets t: with d = y − t,
//
//	½·d² where |d| ≤ delta,   delta·(|d| − ½·delta) elsewhere
//
// and its mean or sum by the reduction. PyTorch's smooth L1 loss of β is Huber's of delta β, over
// β.
//
// Shapes are L1's. Derivatives, given dE: dy = min(max(d, −delta), delta)·dE, divided by the number
// of elements for the mean, and dt = −dy. NaN in y or t makes E NaN.
//
// Huber returns an error if y and t are not float nodes of one shape, or delta is not positive and
// finite.
func Huber(y, t *G.Node, delta float64, r Reduction) (*G.Node, error) {
	if !(delta > 0) || math.IsInf(delta, 0) {
		return nil, errors.Errorf("ops: Huber: delta is %v, want a positive finite number", delta)
	}
	return pairwise(pairLoss{Kind: huber, Delta: delta}, y, t, r)
}

// BCEWithLogits returns the binary cross-entropy of logits y against probabilities t,
//
//	−t·log σ(y) − (1 − t)·log(1 − σ(y)) = max(y, 0) − y·t + log(1 + e^−|y|)
//
// and its mean or sum by the reduction. The right side neither overflows nor cancels.
//
// Shapes are L1's. Derivatives, given dE: dy = (σ(y) − t)·dE and dt = −y·dE, divided by the number
// of elements for the mean. NaN in y or t makes E NaN; t is not held to [0, 1].
//
// BCEWithLogits returns an error if y and t are not float nodes of one shape.
func BCEWithLogits(y, t *G.Node, r Reduction) (*G.Node, error) {
	return pairwise(pairLoss{Kind: binaryCrossEntropy}, y, t, r)
}

// pairwise makes the loss of each element and reduces it.
func pairwise(o pairLoss, y, t *G.Node, r Reduction) (*G.Node, error) {
	name := o.Kind.String()
	if err := r.check(name); err != nil {
		return nil, err
	}
	if err := alike(name, "y", y, "t", t); err != nil {
		return nil, err
	}
	e, err := Apply(o, y, t)
	if err != nil || r == ReductionNone {
		return e, err
	}
	if r == ReductionSum {
		return Sum(e)
	}
	return Mean(e)
}

// A lossKind is a loss of two numbers.
type lossKind int

const (
	absolute lossKind = iota
	huber
	binaryCrossEntropy
)

func (k lossKind) String() string {
	return map[lossKind]string{absolute: "L1", huber: "Huber", binaryCrossEntropy: "BCEWithLogits"}[k]
}

// pairLoss is the loss of each element.
type pairLoss struct {
	Kind  lossKind
	Delta float64
}

func (o pairLoss) Name(int) (string, []string) { return o.Kind.String(), []string{"y", "t"} }
func (o pairLoss) InPlace() int                { return 0 }
func (o pairLoss) Infer(in []tensor.Shape) (tensor.Shape, error) {
	return in[0], want("t", in[1], in[0]...)
}
func (o pairLoss) Compute(c *Call) error { return ByType(o, c, pairs[float32], pairs[float64]) }
func (o pairLoss) of(y, t float64) float64 {
	switch d := y - t; o.Kind {
	case absolute:
		return math.Abs(d)
	case huber:
		if a := math.Abs(d); a > o.Delta {
			return o.Delta * (a - o.Delta/2)
		}
		return d * d / 2
	}
	return max(y, 0) - y*t + math.Log1p(math.Exp(-math.Abs(y)))
}

func (o pairLoss) Rule(in []*G.Node, _, dy *G.Node) ([]*G.Node, error) {
	var try Try
	d := try.Do(Apply(pairLossBackward(o), dy, in[0], in[1]))
	if o.Kind == binaryCrossEntropy {
		return []*G.Node{d, try.Do(Affine(try.Do(Mul(dy, in[0])), -1, 0))}, try.Err()
	}
	return []*G.Node{d, try.Do(Affine(d, -1, 0))}, try.Err()
}

func pairs[T kernel.Float](o pairLoss, c *Call) error {
	e, y, t := Out[T](c), In[T](c, 0), In[T](c, 1)
	for i := range e {
		e[i] = T(o.of(float64(y[i]), float64(t[i])))
	}
	return nil
}

// pairLossBackward is dE·∂E/∂y.
type pairLossBackward pairLoss

func (o pairLossBackward) Name(int) (string, []string) {
	return o.Kind.String() + "Backward", []string{"dE", "y", "t"}
}
func (o pairLossBackward) InPlace() int { return 0 }
func (o pairLossBackward) Infer(in []tensor.Shape) (tensor.Shape, error) {
	if err := want("y", in[1], in[0]...); err != nil {
		return nil, err
	}
	return in[0], want("t", in[2], in[0]...)
}
func (o pairLossBackward) Compute(c *Call) error {
	return ByType(o, c, pairSlopes[float32], pairSlopes[float64])
}

func (o pairLossBackward) slope(y, t float64) float64 {
	switch d := y - t; o.Kind {
	case absolute:
		switch {
		case d > 0:
			return 1
		case d < 0:
			return -1
		}
		return d // 0 or NaN
	case huber:
		return min(max(d, -o.Delta), o.Delta)
	}
	return sigmoidOf(y) - t
}

// sigmoidOf is σ(y) by an exponential that does not overflow.
func sigmoidOf(y float64) float64 {
	e := math.Exp(-math.Abs(y))
	if y < 0 {
		return e / (1 + e)
	}
	return 1 / (1 + e)
}

func (o pairLossBackward) Rule(in []*G.Node, _, dd *G.Node) ([]*G.Node, error) {
	var try Try
	dE, y, t := in[0], in[1], in[2]
	rule := []*G.Node{try.Do(Apply(o, dd, y, t)), nil, nil}
	switch both := try.Do(Mul(dd, dE)); o.Kind {
	case huber: // the slope's slope is 1 inside of ±delta and 0 outside
		d := try.Do(Sub(y, t))
		inside := kernel.Activation{Func: kernel.Clamp, A: -o.Delta, B: o.Delta}
		rule[1] = try.Do(node(activationBackward{d.Dims(), inside}, both, d))
		rule[2] = try.Do(Affine(rule[1], -1, 0))
	case binaryCrossEntropy:
		rule[1] = try.Do(node(activationBackward{y.Dims(), kernel.Activation{Func: kernel.Sigmoid}}, both, y))
		rule[2] = try.Do(Affine(both, -1, 0))
	}
	return rule, try.Err()
}

func pairSlopes[T kernel.Float](o pairLossBackward, c *Call) error {
	d, dE, y, t := Out[T](c), In[T](c, 0), In[T](c, 1), In[T](c, 2)
	for i := range d {
		d[i] = T(float64(dE[i]) * o.slope(float64(y[i]), float64(t[i])))
	}
	return nil
}

func init() {
	type call struct {
		torch string
		op    func(y, t *G.Node, r Reduction) (*G.Node, error)
		f     func(y, t float64) float64
	}
	for name, l := range map[string]call{
		"L1": {"F.l1_loss(y, t)", L1, func(y, t float64) float64 { return max(y-t, t-y) }},
		"Huber": {"F.huber_loss(y, t, delta=0.75)", func(y, t *G.Node, r Reduction) (*G.Node, error) { return Huber(y, t, 0.75, r) },
			func(y, t float64) float64 {
				d := max(y-t, t-y)
				inside := min(d, 0.75)
				return inside*inside/2 + 0.75*(d-inside)
			}},
		"BCEWithLogits": {"F.binary_cross_entropy_with_logits(y, t)", BCEWithLogits, func(y, t float64) float64 {
			p := 1 / (1 + math.Exp(-y))
			return -t*math.Log(p) - (1-t)*math.Log(1-p)
		}},
	} {
		at := func(reduction Reduction, shape ...int) opset.Case {
			n := float64(tensor.Shape(shape).TotalSize())
			return opset.Case{
				Params: fmt.Sprint(reduction),
				Inputs: []opset.Input{opset.Between("y", -3, 3, shape...), opset.Between("t", 0, 1, shape...)},
				Build:  func(in []*G.Node) (*G.Node, error) { return l.op(in[0], in[1], reduction) },
				Terms:  16 + int(n),
				Want: func(in [][]float64) []float64 {
					e, sum := make([]float64, len(in[0])), 0.0
					for i, y := range in[0] {
						e[i] = l.f(y, in[1][i])
						sum += e[i]
					}
					switch reduction {
					case ReductionNone:
						return e
					case ReductionSum:
						return []float64{sum}
					}
					return []float64{sum / n}
				},
				PyTorch: l.torch,
			}
		}
		opset.Register(opset.Entry{
			Name: name,
			Draw: func(r *rand.Rand) opset.Case {
				return at(Reduction(r.IntN(3)), [][]int{{4, 3}, {7}, {2, 3, 2}}[r.IntN(3)]...)
			},
		})
		opset.Timed(name, func() []opset.Case {
			return []opset.Case{at(ReductionMean, 128, 1000), at(ReductionMean, 16, 64, 56, 56)}
		})
	}
}
