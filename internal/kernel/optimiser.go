package kernel

import (
	"math"

	"github.com/convgrad/convgrad/internal/simd"
	"github.com/convgrad/convgrad/internal/workers"
)

// SGD is one step of gradient descent with momentum (Polyak, as PyTorch writes it): v = momentum·v
// + g + decay·w, w −= rate·v; with nesterov w −= rate·(g + decay·w + momentum·v). v may be nil
// where momentum is 0.
func SGD[T Float](w, g, v []T, rate, momentum, decay T, nesterov bool) {
	n := len(w)
	g = g[:n]
	if v != nil {
		v = v[:n]
	}
	workers.Sweep(n, func(lo, hi int) {
		if v == nil {
			simd.SGD(w[lo:hi], g[lo:hi], rate, decay)
		} else {
			simd.Momentum(w[lo:hi], g[lo:hi], v[lo:hi], rate, momentum, decay, nesterov)
		}
	})
}

// Adam is step t ≥ 1 of Adam (Kingma and Ba, 2015, algorithm 1):
//
//	m = β₁m + (1−β₁)g,  v = β₂v + (1−β₂)g²
//	w −= rate·m̂/(√v̂ + ε),  m̂ = m/(1−β₁ᵗ),  v̂ = v/(1−β₂ᵗ)
//
// A decay that is decoupled (AdamW) is w −= rate·decay·w first. One that is not stands in the
// gradient, g + decay·w.
func Adam[T Float](w, g, m, v []T, t int, rate, beta1, beta2, epsilon, decay T, decoupled bool) {
	n := len(w)
	g, m, v = g[:n], m[:n], v[:n]
	c := simd.AdamConstants[T]{
		Beta1: beta1, Rest1: 1 - beta1, Beta2: beta2, Rest2: 1 - beta2,
		Rate:    T(float64(rate) / (1 - math.Pow(float64(beta1), float64(t)))),
		Unbias2: T(1 / (1 - math.Pow(float64(beta2), float64(t)))),
		Epsilon: epsilon,
	}
	if decoupled {
		c.Decay, decay = rate*decay, 0
	}
	sweepDecayed(w, g, decay, func(lo, hi int, g []T) { simd.Adam(w[lo:hi], g, m[lo:hi], v[lo:hi], c) })
}

// RMSProp is one step of RMSProp (Tieleman and Hinton, 2012): s = ρs + (1−ρ)g², w −= rate·g/(√s +
// ε), with g + decay·w for g.
func RMSProp[T Float](w, g, s []T, rate, rho, epsilon, decay T) {
	n := len(w)
	g, s = g[:n], s[:n]
	sweepDecayed(w, g, decay, func(lo, hi int, g []T) { simd.RMSProp(w[lo:hi], g, s[lo:hi], rate, rho, epsilon) })
}

// decayBlock is the number of gradients that get their decay at a time: they stay in the cache.
const decayBlock = 2048

// sweepDecayed calls f for parts of all elements with g + decay·w, which is g itself without decay.
func sweepDecayed[T Float](w, g []T, decay T, f func(lo, hi int, g []T)) {
	workers.Sweep(len(w), func(lo, hi int) {
		if decay == 0 {
			f(lo, hi, g[lo:hi])
			return
		}
		sum := make([]T, min(decayBlock, hi-lo))
		for ; lo < hi; lo += decayBlock {
			end := min(lo+decayBlock, hi)
			for i, v := range w[lo:end] {
				sum[i] = g[lo+i] + T(decay*v)
			}
			f(lo, end, sum[:end-lo])
		}
	})
}
