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

// CrossEntropyParams are the parameters of a cross-entropy. The zero value is the mean over the
// batch.
type CrossEntropyParams struct {
	Reduction Reduction
	// Weights is one weight per class, or nil.
	Weights *G.Node
	// Ignore is the label of samples that do not count; nil stands for −100.
	Ignore *int
	// Smoothing is the part of a label's probability that is spread over all classes.
	Smoothing float64
}

// CrossEntropy returns the scalar node E, the cross-entropy of the softmax along axis 1 against
// labels:
//
//	E = Σ_n ( log Σ_j exp(x[n,j]) − x[n, label[n]] )
//
// divided by the number of labels for the mean.
//
// Shapes: logits x N×M or N×M×d₁×…, labels N or N×d₁×…, of Int, Int32 or Int64 in [0, M). Each row
// is taken relative to its own greatest element, so any finite logits are safe.
//
// Derivative, given dE: dx[n,j] = (softmax(x)[n,j] − [j = label[n]]) · dE, divided as E is. Labels
// have none.
//
// A logit of −Inf is a class of probability 0: E is +Inf if it is the label's. A row with a NaN or
// +Inf, or of nothing but −Inf, makes E NaN, and its row of dx.
//
// CrossEntropy returns an error if logits is not a float node of rank 2 or more, labels is not an
// integer node of logits' shape without axis 1, either is empty, or a parameter is set that is not
// supported yet (Weights, Ignore, Smoothing, ReductionNone). A run returns an error if a label is
// out of range.
func CrossEntropy(logits, labels *G.Node, p CrossEntropyParams) (*G.Node, error) {
	const name = "CrossEntropy"
	kind := tensor.Int
	if labels != nil && labels.Type() != nil {
		if of, err := dtypeOf(labels); err == nil && (of == tensor.Int32 || of == tensor.Int64) {
			kind = of
		}
	}
	if err := check(name, float("logits", -1, logits), integers("labels", -1, kind, labels)); err != nil {
		return nil, err
	}
	if err := p.Reduction.check(name); err != nil {
		return nil, err
	}
	if p.Weights != nil || p.Ignore != nil || p.Smoothing != 0 || p.Reduction == ReductionNone {
		return nil, errors.Errorf("ops: %s: Weights, Ignore, Smoothing or ReductionNone is set, which are not supported yet", name)
	}
	x, l := logits.Shape(), labels.Shape()
	if len(x) < 2 {
		return nil, errors.Errorf("ops: %s: logits has shape %v, of rank %d, want rank 2 or more", name, x, len(x))
	}
	if rows := append(x[:1].Clone(), x[2:]...); !slices.Equal(rows, l) {
		return nil, errors.Errorf("ops: %s: labels has shape %v, want %v: logits is %v", name, l, rows, x)
	}
	if err := nonEmpty(name, "logits", logits); err != nil {
		return nil, err
	}
	var err error
	if len(x) > 2 { // classes last
		axes := []int{0}
		for i := range x[2:] {
			axes = append(axes, i+2)
		}
		if logits, err = Transpose(logits, append(axes, 1)...); err != nil {
			return nil, err
		}
		if logits, err = Reshape(logits, -1, x[1]); err != nil {
			return nil, err
		}
	}
	factor := 1.0
	if p.Reduction == ReductionMean {
		factor = 1 / float64(volume(l))
	}
	return node(crossEntropy{M: x[1], Factor: factor, Labels: labelsOf(kind, l)}, logits, labels)
}

// labelling is the type and shape of labels.
type labelling struct {
	Bits  int // 32 and 64 of Int32 and Int64, 0 of Int
	Shape size
}

func labelsOf(of tensor.Dtype, shape tensor.Shape) labelling {
	l := labelling{Shape: sizeOf(shape)}
	switch of {
	case tensor.Int32:
		l.Bits = 32
	case tensor.Int64:
		l.Bits = 64
	}
	return l
}

func (l labelling) arg() arg {
	of := map[int]tensor.Dtype{0: tensor.Int, 32: tensor.Int32, 64: tensor.Int64}[l.Bits]
	return arg{name: "labels", rank: l.Shape.rank, of: of}
}

// rows is the number of labels.
func (l labelling) rows() int { return volume(l.Shape.sides[:l.Shape.rank]) }

// infer checks the shapes of a matrix of a row for each label, and of the labels.
func (l labelling) infer(name string, m int, in []tensor.Shape) error {
	if err := want(name, in[0], l.rows(), m); err != nil {
		return err
	}
	return want("labels", in[1], l.Shape.shape()...)
}

type crossEntropy struct {
	M      int
	Factor float64
	Labels labelling
}

func (o crossEntropy) name() string { return "CrossEntropy" }
func (o crossEntropy) args() []arg {
	return []arg{{name: "logits", rank: 2}, o.Labels.arg()}
}
func (o crossEntropy) result() arg { return arg{name: "E", rank: 0} }
func (o crossEntropy) infer(in []tensor.Shape) (tensor.Shape, error) {
	return tensor.ScalarShape(), o.Labels.infer("logits", o.M, in)
}

func (o crossEntropy) exec(c *Call) error {
	labels := c.Ints(1)
	if err := checkLabels(labels, o.M); err != nil {
		return err
	}
	if c.double() {
		slice[float64](c.dst)[0] = o.Factor * kernel.CrossEntropy(slice[float64](c.in[0]), labels, len(labels))
	} else {
		slice[float32](c.dst)[0] = float32(o.Factor * kernel.CrossEntropy(slice[float32](c.in[0]), labels, len(labels)))
	}
	return nil
}

func (o crossEntropy) rule() []*term {
	p := apply(softmax{}, in(0))
	return []*term{apply(scaleBy{2, o.Factor}, apply(minusOneHot{o.M, o.Labels}, p, in(1)), cotangent()), nil}
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
type minusOneHot struct {
	M      int
	Labels labelling
}

func (o minusOneHot) InPlace() int { return 0 }
func (o minusOneHot) name() string { return "MinusOneHot" }
func (o minusOneHot) args() []arg {
	return []arg{{name: "x", rank: 2}, o.Labels.arg()}
}
func (o minusOneHot) result() arg   { return arg{name: "y", rank: 2} }
func (o minusOneHot) rule() []*term { return []*term{apply(scale{2, 1}, cotangent()), nil} }
func (o minusOneHot) infer(in []tensor.Shape) (tensor.Shape, error) {
	return in[0], o.Labels.infer("x", o.M, in)
}

func (o minusOneHot) exec(c *Call) error {
	labels := c.Ints(1)
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

func init() {
	opset.Register(opset.Entry{Name: "CrossEntropy", Draw: func(r *rand.Rand) opset.Case {
		reduction, m := Reduction(r.IntN(2)), 2+r.IntN(3)
		x, l := tensor.Shape{3, m}, tensor.Shape{3}
		if r.IntN(2) == 0 {
			x, l = tensor.Shape{2, m, 3}, tensor.Shape{2, 3}
		}
		return opset.Case{
			Params: fmt.Sprintf("x %v, %v", x, reduction), PyTorch: fmt.Sprintf("F.cross_entropy(x, l, reduction=%q)", reduction),
			Inputs: []opset.Input{opset.Normal("x", x...), opset.Labels("l", m, l...)},
			Build: func(in []*G.Node) (*G.Node, error) {
				return CrossEntropy(in[0], in[1], CrossEntropyParams{Reduction: reduction})
			},
		}
	}})
}
