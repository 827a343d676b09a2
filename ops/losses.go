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
	return pairwise(kernel.PairLoss{Of: kernel.Absolute}, y, t, r)
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
	return pairwise(kernel.PairLoss{Of: kernel.Huber, A: delta}, y, t, r)
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
	return pairwise(kernel.PairLoss{Of: kernel.BinaryCrossEntropy}, y, t, r)
}

// pairwise makes the loss of each element, or of all in one pass.
func pairwise(l kernel.PairLoss, y, t *G.Node, r Reduction) (*G.Node, error) {
	name := lossNames[l.Of]
	if err := r.check(name); err != nil {
		return nil, err
	}
	if err := alike(name, "y", y, "t", t); err != nil {
		return nil, err
	}
	o := pairLoss{l}
	switch n := volume(y.Shape()); {
	case r == ReductionSum:
		return Apply(lossSum{o, 1}, y, t)
	case r == ReductionMean && n > 0:
		return Apply(lossSum{o, 1 / float64(n)}, y, t)
	}
	e, err := Apply(o, y, t)
	if err != nil || r == ReductionNone {
		return e, err
	}
	return Mean(e) // of nothing
}

var lossNames = map[kernel.PairFunc]string{kernel.Absolute: "L1", kernel.Huber: "Huber", kernel.BinaryCrossEntropy: "BCEWithLogits"}

// pairLoss is the loss of each element.
type pairLoss struct{ kernel.PairLoss }

func (o pairLoss) Name(int) (string, []string) { return lossNames[o.Of], []string{"y", "t"} }
func (o pairLoss) InPlace() int                { return 0 }
func (o pairLoss) Infer(in []tensor.Shape) (tensor.Shape, error) {
	return in[0], want("t", in[1], in[0]...)
}
func (o pairLoss) Compute(c *Call) error { return ByType(o, c, pairs[float32], pairs[float64]) }

func pairs[T kernel.Float](o pairLoss, c *Call) error {
	kernel.Losses(o.PairLoss, Out[T](c), In[T](c, 0), In[T](c, 1))
	return nil
}

func (o pairLoss) Rule(in []*G.Node, _, dy *G.Node) ([]*G.Node, error) {
	var try Try
	d := try.Do(Apply(pairLossBackward(o), dy, in[0], in[1]))
	if o.Of == kernel.BinaryCrossEntropy {
		return []*G.Node{d, try.Do(Mul(try.Do(Affine(dy, -1, 0)), in[0]))}, try.Err()
	}
	return []*G.Node{d, try.Do(Affine(d, -1, 0))}, try.Err()
}

// lossSum is the sum of all losses, times a factor.
type lossSum struct {
	pairLoss
	Factor float64
}

func (o lossSum) InPlace() int { return -1 }
func (o lossSum) Infer(in []tensor.Shape) (tensor.Shape, error) {
	return tensor.ScalarShape(), want("t", in[1], in[0]...)
}
func (o lossSum) Compute(c *Call) error { return ByType(o, c, pairSums[float32], pairSums[float64]) }
func (o lossSum) Rule(in []*G.Node, y, dE *G.Node) ([]*G.Node, error) {
	var try Try
	rule, err := o.pairLoss.Rule(in, y, try.Do(Affine(dE, o.Factor, 0)))
	try.Check(err)
	return rule, try.Err()
}

func pairSums[T kernel.Float](o lossSum, c *Call) error {
	Out[T](c)[0] = T(o.Factor * kernel.LossSum(o.PairLoss, In[T](c, 0), In[T](c, 1)))
	return nil
}

// pairLossBackward is dE·∂E/∂y. dE is of each element, or one for all.
type pairLossBackward pairLoss

func (o pairLossBackward) Name(int) (string, []string) {
	return lossNames[o.Of] + "Backward", []string{"dE", "y", "t"}
}
func (o pairLossBackward) InPlace() int { return 0 }
func (o pairLossBackward) Infer(in []tensor.Shape) (tensor.Shape, error) {
	if len(in[0]) > 0 {
		if err := want("dE", in[0], in[1]...); err != nil {
			return nil, err
		}
	}
	return in[1], want("t", in[2], in[1]...)
}
func (o pairLossBackward) Compute(c *Call) error {
	return ByType(o, c, pairSlopes[float32], pairSlopes[float64])
}

func pairSlopes[T kernel.Float](o pairLossBackward, c *Call) error {
	kernel.LossSlopes(o.PairLoss, Out[T](c), In[T](c, 0), In[T](c, 1), In[T](c, 2))
	return nil
}

func (o pairLossBackward) Rule(in []*G.Node, _, dd *G.Node) ([]*G.Node, error) {
	var try Try
	dE, y, t := in[0], in[1], in[2]
	rule := []*G.Node{try.Do(Apply(o, dd, y, t)), nil, nil}
	if dE.IsScalar() && !dd.IsScalar() {
		rule[0] = try.Do(Sum(rule[0]))
	}
	switch both := try.Do(Mul(dd, dE)); o.Of {
	case kernel.Huber: // the slope's slope is 1 inside of ±delta and 0 outside
		d := try.Do(Sub(y, t))
		inside := kernel.Activation{Func: kernel.Clamp, A: -o.A, B: o.A}
		rule[1] = try.Do(node(activationBackward{d.Dims(), inside}, both, d))
		rule[2] = try.Do(Affine(rule[1], -1, 0))
	case kernel.BinaryCrossEntropy:
		rule[1] = try.Do(node(activationBackward{y.Dims(), kernel.Activation{Func: kernel.Sigmoid}}, both, y))
		rule[2] = try.Do(Affine(both, -1, 0))
	}
	return rule, try.Err()
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
