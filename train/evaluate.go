package train

import (
	"context"
	"math"

	"github.com/pkg/errors"

	"github.com/convgrad/convgrad/model"
)

// right counts the samples of a batch whose largest output is that of their label. There is
// nothing to count for a set without classes, or a network whose outputs are something else.
func (r *run) right(g *model.Graph, labels []int) (int, error) {
	if r.classes == 0 {
		return 0, nil
	}
	y, err := g.Output()
	if err != nil {
		return 0, err
	}
	if s := y.Shape(); len(s) != 2 || s[1] != r.classes {
		return 0, nil
	}
	switch y := y.Data().(type) {
	case []float32:
		return count(y, labels, r.classes), nil
	case []float64:
		return count(y, labels, r.classes), nil
	}
	return 0, nil
}

func count[T float32 | float64](y []T, labels []int, classes int) (right int) {
	for i, label := range labels {
		if argmax(y[i*classes:][:classes]) == label {
			right++
		}
	}
	return right
}

// argmax is the index of the greatest element, the first of equals. NaN wins over nothing but NaN.
func argmax[T float32 | float64](v []T) int {
	best := 0
	for i, x := range v {
		if x > v[best] || v[best] != v[best] {
			best = i
		}
	}
	return best
}

// An evaluation takes evalBatch samples at once, fewer of large ones: evalElements bounds their
// size.
const (
	evalBatch    = 250
	evalElements = 1 << 22
)

// evaluate is the mean loss over the test samples, without penalties, and the share of them that
// are classified as labelled. The last batch is as short as what is left.
func (r *run) evaluate(ctx context.Context) (loss, accuracy float64, err error) {
	n := r.t.Test.Len()
	right, labels := 0, []int(nil)
	size := min(evalBatch, max(1, evalElements/r.test.size))
	err = r.test.each(ctx, reading{to: n, batch: size}, func(b *batch) error {
		g, err := r.graph(len(b.targets))
		if err != nil {
			return err
		}
		if err := fill(g, b.x, b.targets); err != nil {
			return err
		}
		if err := g.Run(); err != nil {
			return err
		}
		l, err := g.LossValue()
		if err != nil {
			return err
		}
		if math.IsNaN(l) || math.IsInf(l, 0) {
			return errors.Errorf("the loss is %v, want a finite number: the training has diverged", l)
		}
		labels = labels[:0]
		for _, t := range b.targets {
			if labels = append(labels, t.Class); t.Values != nil {
				labels[len(labels)-1] = -1
			}
		}
		k, err := r.right(g, labels)
		loss += l * float64(len(b.targets))
		right += k
		return err
	})
	return loss / float64(n), float64(right) / float64(n), errors.Wrapf(err, "train: evaluation after epoch %d", r.at.Epoch)
}

// graph is the one that evaluates batches of that size.
func (r *run) graph(size int) (*model.Graph, error) {
	g, ok := r.eval[size]
	if !ok {
		var err error
		if g, err = r.t.Net.Build(size, model.BuildOptions{Loss: r.loss}); err != nil {
			return nil, err
		}
		r.eval[size] = g
	}
	return g, nil
}
