package train

import (
	"math/rand/v2"
	"slices"

	"gonum.org/v1/gonum/stat/distuv"
	G "gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/convgrad/convgrad/model"
	"github.com/convgrad/convgrad/train/data"
)

// averagePrefix begins the names of averages in a checkpoint.
const averagePrefix = "average."

// An average is a moving average of a network's parameters and buffers. A nil average does nothing.
type average struct {
	of    []*model.Param
	means []*tensor.Dense
	decay float64
}

func newAverage(net *model.Network, decay float64) *average {
	a := &average{of: slices.Concat(net.Params(), net.Buffers()), decay: decay}
	for _, p := range a.of {
		a.means = append(a.means, p.Value.Clone().(*tensor.Dense))
	}
	return a
}

// add takes the weights after a step in. The first steps weigh more: the average would remember the
// weights from before the training for long.
func (a *average) add(step int) {
	if a == nil {
		return
	}
	rest := 1 - min(a.decay, float64(1+step)/float64(10+step))
	for i, p := range a.of {
		switch w := p.Value.Data().(type) {
		case []float32:
			towards(a.means[i].Data().([]float32), w, float32(rest))
		case []float64:
			towards(a.means[i].Data().([]float64), w, rest)
		}
	}
}

func towards[T float32 | float64](mean, w []T, share T) {
	for i, v := range w {
		mean[i] += T(share * (v - mean[i]))
	}
}

// swap exchanges the network's weights and their average.
func (a *average) swap() {
	if a == nil {
		return
	}
	for i, p := range a.of {
		switch w := p.Value.Data().(type) {
		case []float32:
			exchange(w, a.means[i].Data().([]float32))
		case []float64:
			exchange(w, a.means[i].Data().([]float64))
		}
	}
}

func exchange[T any](a, b []T) {
	for i := range a {
		a[i], b[i] = b[i], a[i]
	}
}

// mixes keeps the random numbers of mixup apart from other uses of the same seed.
const mixes = 3 << 62

// mix blends the samples of each batch of n, the first with the last, the second with the last but
// one, and so on: x ← λ·x + (1−λ)·other, and so the targets. λ is at least ½, so that each sample
// remains mostly itself.
func mix(b *batch, n, classes int, alpha float64, seed uint64, step int) {
	size := len(b.x) / len(b.targets)
	r := rand.NewPCG(seed, mixes|uint64(step))
	beta := distuv.Beta{Alpha: alpha, Beta: alpha, Src: r}
	for at := 0; at < len(b.targets); at += n {
		share := beta.Rand()
		if share = max(share, 1-share); !(share <= 1) { // 0/0, of an α near 0
			share = 1
		}
		λ := float32(share)
		for i := range n {
			b.targets[at+i].Values = probabilities(b.targets[at+i], classes)
		}
		for i := range n / 2 {
			j := n - 1 - i
			blend(b.x[(at+i)*size:][:size], b.x[(at+j)*size:][:size], λ)
			blend(b.targets[at+i].Values, b.targets[at+j].Values, λ)
		}
	}
}

// probabilities are a copy of a target's values, or its class as a row of zeros and a one.
func probabilities(t data.Target, classes int) []float32 {
	if t.Values != nil {
		return slices.Clone(t.Values)
	}
	row := make([]float32, classes)
	row[t.Class] = 1
	return row
}

// blend mixes two rows with each other. Rows of different lengths, which the loss refuses, are left
// as they are.
func blend(a, b []float32, λ float32) {
	if len(a) != len(b) {
		return
	}
	for i, v := range a {
		a[i] = float32(λ*v) + float32((1-λ)*b[i])
		b[i] = float32(λ*b[i]) + float32((1-λ)*v)
	}
}

// soft is the cross-entropy against a probability for each class.
type soft struct{ model.CrossEntropy }

// Target implements model.Loss.
func (soft) Target(y *G.Node) (tensor.Shape, tensor.Dtype, error) {
	return model.LossFunc(nil).Target(y)
}

// blended is the loss for targets that are mixed.
func blended(l model.Loss) model.Loss {
	if c, ok := l.(model.CrossEntropy); ok {
		return soft{c}
	}
	return l
}
