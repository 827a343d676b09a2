package model

import (
	"cmp"
	"math"
	"slices"

	"github.com/pkg/errors"
	"gorgonia.org/tensor"
)

// A Score is what a network makes of one class.
type Score struct {
	Class int
	Value float64 // as the network gives it: of a classifier the logit
	// Probability is the softmax of the values, e^value over the sum of those of all classes.
	Probability float64
}

// TopK returns for each sample of an output, N×classes, the k classes of the greatest values, the
// greatest first. Of equal values the lower class is first, and NaN is the least of all. A k beyond
// the number of classes stands for all of them.
//
// It returns an error if y is no such tensor of floats, row-major and without gaps, or k is below
// 1.
func TopK(y *tensor.Dense, k int) ([][]Score, error) {
	if y == nil || y.Dtype() != tensor.Float32 && y.Dtype() != tensor.Float64 || y.Dims() != 2 {
		return nil, errors.New("model: TopK: y is no tensor of floats N×classes")
	}
	if err := plain(y, y.Shape(), y.Dtype()); err != nil {
		return nil, errors.Wrap(err, "model: TopK: y")
	}
	if k < 1 {
		return nil, errors.Errorf("model: TopK: k is %d, want at least 1", k)
	}
	n, classes := y.Shape()[0], y.Shape()[1]
	best := make([][]Score, n)
	all := make([]Score, classes)
	for i := range best {
		for c := range all {
			all[c] = Score{Class: c}
			switch v := y.Data().(type) {
			case []float32:
				all[c].Value = float64(v[i*classes+c])
			case []float64:
				all[c].Value = v[i*classes+c]
			}
		}
		slices.SortFunc(all, func(a, b Score) int { // cmp has NaN below all else
			return cmp.Or(cmp.Compare(b.Value, a.Value), cmp.Compare(a.Class, b.Class))
		})
		sum := 0.0
		for c := range all {
			all[c].Probability = 1
			if all[c].Value != all[0].Value { // also where both are infinite
				all[c].Probability = math.Exp(all[c].Value - all[0].Value)
			}
			sum += all[c].Probability
		}
		for c := range all {
			all[c].Probability /= sum
		}
		best[i] = slices.Clone(all[:min(k, classes)])
	}
	return best, nil
}
