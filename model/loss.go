package model

import (
	"math"
	"slices"

	"github.com/pkg/errors"
	G "gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/convgrad/convgrad/ops"
)

// A Loss is what a network is trained on. It is given to Build, before the gradients are worked
// out.
type Loss interface {
	// Target returns the shape and the element type of a batch's targets, given the network's
	// output.
	Target(y *G.Node) (shape tensor.Shape, of tensor.Dtype, err error)
	// Loss returns the loss of the output y against the targets t, a scalar node.
	Loss(y, t *G.Node) (*G.Node, error)
}

// CrossEntropy is ops.CrossEntropy of the output, N×classes, against Int labels, the mean over the
// batch. The zero value is the plain one.
type CrossEntropy struct {
	Smoothing float64   // the part of a label's probability that is spread over all classes
	Weights   []float64 // one for each class, or nil
	Ignore    *int      // the label of samples that do not count; nil stands for −100
}

// Target implements Loss: N labels.
func (CrossEntropy) Target(y *G.Node) (tensor.Shape, tensor.Dtype, error) {
	if s := y.Shape(); len(s) != 2 {
		return nil, tensor.Dtype{}, errors.Errorf("the output of a batch is %v, want batch×classes for the cross-entropy", s)
	}
	return tensor.Shape{y.Shape()[0]}, tensor.Int, nil
}

// Loss implements Loss.
func (l CrossEntropy) Loss(y, t *G.Node) (*G.Node, error) {
	p := ops.CrossEntropyParams{Smoothing: l.Smoothing, Ignore: l.Ignore}
	if l.Weights != nil {
		var w any = slices.Clone(l.Weights)
		if y.Dtype() == tensor.Float32 {
			single := make([]float32, len(l.Weights))
			for i, v := range l.Weights {
				single[i] = float32(v)
			}
			w = single
		}
		if len(l.Weights) == 0 {
			return nil, errors.New("the cross-entropy's Weights are empty, want nil or one for each class")
		}
		v := tensor.New(tensor.WithShape(len(l.Weights)), tensor.WithBacking(w))
		p.Weights = G.NewTensor(y.Graph(), y.Dtype(), 1, G.WithShape(len(l.Weights)), G.WithName("class weights"), G.WithValue(v))
	}
	return ops.CrossEntropy(y, t, p)
}

func (CrossEntropy) String() string { return "cross-entropy" }

// SquaredError is the article's E = ½ Σ (t − y)² (Eq. 9) of a sample, the mean over the batch.
// Targets are of the output's shape.
type SquaredError struct{}

// Target implements Loss.
func (SquaredError) Target(y *G.Node) (tensor.Shape, tensor.Dtype, error) {
	return LossFunc(nil).Target(y)
}

// Loss implements Loss.
func (SquaredError) Loss(y, t *G.Node) (*G.Node, error) {
	e, err := ops.ArticleError(y, t)
	if err != nil {
		return nil, err
	}
	return ops.Affine(e, 1/float64(y.Shape()[0]), 0)
}

func (SquaredError) String() string { return "mse" }

// A LossFunc is a loss whose targets have the output's shape and type. Classes are handed to it
// one-hot, a row of zeros and a one for each sample:
//
//	model.LossFunc(func(y, t *G.Node) (*G.Node, error) {
//		return ops.MSE(y, t, ops.ReductionMean)
//	})
type LossFunc func(y, t *G.Node) (*G.Node, error)

// Target implements Loss.
func (f LossFunc) Target(y *G.Node) (tensor.Shape, tensor.Dtype, error) {
	return y.Shape().Clone(), y.Dtype(), nil
}

// Loss implements Loss.
func (f LossFunc) Loss(y, t *G.Node) (*G.Node, error) {
	if f == nil {
		return nil, errors.New("the loss function is nil")
	}
	return f(y, t)
}

// ParseLoss returns the loss of that name: "cross-entropy" or "mse".
func ParseLoss(name string) (Loss, error) {
	switch name {
	case "cross-entropy":
		return CrossEntropy{}, nil
	case "mse":
		return SquaredError{}, nil
	}
	return nil, errors.Errorf("model: the loss is %q, want cross-entropy or mse", name)
}

// A Penalty is a term that is added to the loss: a scalar node of the parameters that are trained,
// in the network's order. The nodes have the parameters' names. The gradients are those of the
// whole sum.
type Penalty func(w G.Nodes) (*G.Node, error)

// L2 is the penalty ½·λ·Σ w² over all elements of all parameters, whose gradient is λ·w: what an
// optimizer calls decay, if it adds it to the gradient.
func L2(lambda float64) Penalty {
	return func(w G.Nodes) (*G.Node, error) {
		if !(lambda >= 0) || math.IsInf(lambda, 1) {
			return nil, errors.Errorf("the L2 penalty has λ %v, want 0 or a positive number", lambda)
		}
		var sum *G.Node
		for _, n := range w {
			var t ops.Try
			term := t.Do(ops.Sum(t.Do(ops.Square(n))))
			if sum != nil {
				term = t.Do(ops.Add(sum, term))
			}
			if err := t.Err(); err != nil {
				return nil, errors.Wrapf(err, "the L2 penalty of %s", n.Name())
			}
			sum = term
		}
		if sum == nil {
			return nil, errors.New("the L2 penalty of no parameters, want at least one that is trained")
		}
		return ops.Affine(sum, lambda/2, 0)
	}
}
