package ops

import (
	"github.com/pkg/errors"
	G "gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/convgrad/convgrad/internal/kernel"
)

// CrossEntropyParams are the parameters of a cross-entropy. The zero value is the mean over the batch.
type CrossEntropyParams struct {
	Reduction Reduction
	// Weights is one weight per class, or nil.
	Weights *G.Node
	// Ignore is the label of samples that do not count; nil stands for −100.
	Ignore *int
	// Smoothing is the part of a label's probability that is spread over all classes.
	Smoothing float64
}

// CrossEntropy returns the scalar node E, the cross-entropy of the rows' softmax against their labels:
//
//	E = Σ_n ( log Σ_j exp(x[n,j]) − x[n, label[n]] )     divided by N for the mean
//
// Shapes: logits x N×M, labels a rank-1 node of N Ints in [0, M). Each row is taken relative to its
// own greatest element, so any finite logits are safe.
//
// Derivative, given dE: dx[n,j] = (softmax(x)[n,j] − [j = label[n]]) · dE, divided by N for the mean.
// Labels have none.
//
// A logit of −Inf is a class of probability 0: E is +Inf if it is the label's. A row with a NaN or
// +Inf, or of nothing but −Inf, makes E NaN, and its row of dx.
//
// CrossEntropy returns an error if logits is not a float node of rank 2, labels is not an Int node of
// N elements, or a parameter is set that is not supported yet (Weights, Ignore, Smoothing,
// ReductionNone). A run returns an error if a label is out of range.
func CrossEntropy(logits, labels *G.Node, p CrossEntropyParams) (*G.Node, error) {
	const name = "CrossEntropy"
	if err := check(name, float("logits", 2, logits), integers("labels", 1, tensor.Int, labels)); err != nil {
		return nil, err
	}
	if err := p.Reduction.check(name); err != nil {
		return nil, err
	}
	if p.Weights != nil || p.Ignore != nil || p.Smoothing != 0 || p.Reduction == ReductionNone {
		return nil, errors.Errorf("ops: %s: Weights, Ignore, Smoothing or ReductionNone is set, which are not supported yet", name)
	}
	if err := nonEmpty(name, "logits", logits); err != nil {
		return nil, err
	}
	x, l := logits.Shape(), labels.Shape()
	if l[0] != x[0] {
		return nil, errors.Errorf("ops: %s: logits has %d rows and labels %d elements, want as many", name, x[0], l[0])
	}
	factor := 1.0
	if p.Reduction == ReductionMean {
		factor = 1 / float64(x[0])
	}
	return node(crossEntropy{N: x[0], M: x[1], Factor: factor}, logits, labels)
}

type crossEntropy struct {
	N, M   int
	Factor float64
}

func (o crossEntropy) name() string { return "CrossEntropy" }
func (o crossEntropy) args() []arg {
	return []arg{{name: "logits", rank: 2}, {name: "labels", rank: 1, of: tensor.Int}}
}
func (o crossEntropy) result() arg { return arg{name: "E", rank: 0} }
func (o crossEntropy) infer(in []tensor.Shape) (tensor.Shape, error) {
	if err := want("logits", in[0], o.N, o.M); err != nil {
		return nil, err
	}
	return tensor.ScalarShape(), want("labels", in[1], o.N)
}

func (o crossEntropy) exec(c *Call) error {
	labels := slice[int](c.in[1])
	if err := checkLabels(labels, o.M); err != nil {
		return err
	}
	if c.double() {
		slice[float64](c.dst)[0] = o.Factor * kernel.CrossEntropy(slice[float64](c.in[0]), labels, o.N)
	} else {
		slice[float32](c.dst)[0] = float32(o.Factor * kernel.CrossEntropy(slice[float32](c.in[0]), labels, o.N))
	}
	return nil
}

func (o crossEntropy) rule() []*term {
	p := apply(softmax{}, in(0))
	return []*term{apply(scaleBy{2, o.Factor}, apply(minusOneHot{o.N, o.M}, p, in(1)), cotangent()), nil}
}

// checkLabels refuses a label that is no class.
func checkLabels(labels []int, classes int) error {
	for i, l := range labels {
		if l < 0 || l >= classes {
			return errors.Errorf("labels: element %d is %d, want 0 to %d", i, l, classes-1)
		}
	}
	return nil
}

// minusOneHot is y[n,j] = x[n,j] − [j = label[n]].
type minusOneHot struct{ N, M int }

func (o minusOneHot) InPlace() int { return 0 }
func (o minusOneHot) name() string { return "MinusOneHot" }
func (o minusOneHot) args() []arg {
	return []arg{{name: "x", rank: 2}, {name: "labels", rank: 1, of: tensor.Int}}
}
func (o minusOneHot) result() arg   { return arg{name: "y", rank: 2} }
func (o minusOneHot) rule() []*term { return []*term{apply(scale{2, 1}, cotangent()), nil} }
func (o minusOneHot) infer(in []tensor.Shape) (tensor.Shape, error) {
	if err := want("x", in[0], o.N, o.M); err != nil {
		return nil, err
	}
	return tensor.Shape{o.N, o.M}, want("labels", in[1], o.N)
}

func (o minusOneHot) exec(c *Call) error {
	labels := slice[int](c.in[1])
	if err := checkLabels(labels, o.M); err != nil {
		return err
	}
	if c.double() {
		subtractOnes(slice[float64](c.dst), slice[float64](c.in[0]), labels, o.M)
	} else {
		subtractOnes(slice[float32](c.dst), slice[float32](c.in[0]), labels, o.M)
	}
	return nil
}

func subtractOnes[T kernel.Float](y, x []T, labels []int, m int) {
	copy(y, x)
	for i, l := range labels {
		y[i*m+l]--
	}
}
