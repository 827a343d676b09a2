package kernel

import (
	"math"

	"github.com/convgrad/convgrad/internal/simd"
	"github.com/convgrad/convgrad/internal/workers"
)

// A PairFunc names a loss of two numbers.
type PairFunc = simd.Pair

// A PairLoss is a loss of a prediction y and a target t, with its parameter. It is comparable.
type PairLoss struct {
	Of PairFunc
	A  float64
}

// The losses.
const (
	Absolute = simd.Absolute // |y − t|, with derivative 0 where y = t
	// ½(y−t)² where |y − t| ≤ A, A·(|y − t| − ½A) elsewhere
	Huber              = simd.Huber
	BinaryCrossEntropy = simd.BinaryCrossEntropy // max(y, 0) − y·t + log(1 + e^−|y|)
)

// value and slope are the loss and its derivative by y in float64.
func (l PairLoss) value(y, t float64) float64 {
	switch d := math.Abs(y - t); l.Of {
	case Absolute:
		return d
	case Huber:
		m := min(d, l.A)
		return m * (d - m/2)
	}
	return max(y, 0) - y*t + math.Log1p(math.Exp(-math.Abs(y)))
}

func (l PairLoss) slope(y, t float64) float64 {
	switch d := y - t; l.Of {
	case Absolute:
		return activations[Abs].df(d, 0, 0)
	case Huber:
		return min(max(d, -l.A), l.A)
	}
	return sigmoid(y) - t
}

// sweep calls f for spans of n elements: short ones where each element takes an exponential.
func (l PairLoss) sweep(n int, f func(lo, hi int)) {
	if CurrentTier() == Generic {
		sweepCostly(n, f)
		return
	}
	workers.Sweep(n, f)
}

// Losses is e = f(y, t) element by element. e may be y or t itself. Vectors compute in the
// elements' type, as TestPairLosses says; the plain tier in float64, rounded once.
func Losses[T Float](l PairLoss, e, y, t []T) {
	l.sweep(len(e), func(lo, hi int) { losses(l, e[lo:hi], y[lo:hi], t[lo:hi]) })
}

func losses[T Float](l PairLoss, e, y, t []T) {
	if !simd.PairLoss(l.Of, e, y, t, T(l.A)) {
		for i, v := range y {
			e[i] = T(l.value(float64(v), float64(t[i])))
		}
	}
}

// LossSlopes is d = dE·∂f/∂y element by element; one element of dE serves for all. d may be dE, y
// or t itself. Rounding is that of Losses.
func LossSlopes[T Float](l PairLoss, d, dE, y, t []T) {
	if len(dE) == len(d) {
		l.sweep(len(d), func(lo, hi int) { slopes(l, d[lo:hi], dE[lo:hi], y[lo:hi], t[lo:hi]) })
		return
	}
	l.sweep(len(d), func(lo, hi int) {
		s := takeScratch[T](1)
		defer s.free()
		all := s.slice(0, min(lossBlock, hi-lo))
		simd.Fill(all, dE[0])
		for ; lo < hi; lo += lossBlock {
			end := min(hi, lo+lossBlock)
			slopes(l, d[lo:end], all[:end-lo], y[lo:end], t[lo:end])
		}
	})
}

func slopes[T Float](l PairLoss, d, dE, y, t []T) {
	if !simd.PairLossBackward(l.Of, d, dE, y, t, T(l.A)) {
		for i, v := range y {
			d[i] = T(float64(dE[i]) * l.slope(float64(v), float64(t[i])))
		}
	}
}

// lossBlock is how many losses are made before they are added: they stay in the nearest cache.
const lossBlock = 1 << 10

// LossSum is Σf(y, t) of the elements of Losses, in float64, of pieces that the length alone
// determines.
func LossSum[T Float](l PairLoss, y, t []T) float64 {
	return inPieces(len(y), func(lo, hi int) (sum float64) {
		s := takeScratch[T](1)
		defer s.free()
		e := s.slice(0, min(lossBlock, hi-lo))
		for ; lo < hi; lo += lossBlock {
			end := min(hi, lo+lossBlock)
			part := e[:end-lo]
			losses(l, part, y[lo:end], t[lo:end])
			sum += simd.Sum64(part)
		}
		return sum
	})
}
