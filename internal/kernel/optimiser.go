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

// Adam is one step of Adam (Kingma and Ba, 2015, algorithm 1), t ≥ 1 its number: m = β₁m + (1−β₁)g,
// v = β₂v + (1−β₂)g², w −= rate·m̂/(√v̂ + ε), with m̂ = m/(1−β₁ᵗ) and v̂ = v/(1−β₂ᵗ). decay is
// decoupled (AdamW): w −= rate·decay·w first.
func Adam[T Float](w, g, m, v []T, t int, rate, beta1, beta2, epsilon, decay T) {
	n := len(w)
	g, m, v = g[:n], m[:n], v[:n]
	c := simd.AdamConstants[T]{
		Beta1: beta1, Rest1: 1 - beta1, Beta2: beta2, Rest2: 1 - beta2,
		Rate:    T(float64(rate) / (1 - math.Pow(float64(beta1), float64(t)))),
		Unbias2: T(1 / (1 - math.Pow(float64(beta2), float64(t)))),
		Epsilon: epsilon, Decay: rate * decay,
	}
	workers.Sweep(n, func(lo, hi int) { simd.Adam(w[lo:hi], g[lo:hi], m[lo:hi], v[lo:hi], c) })
}

// RMSProp is one step of RMSProp (Tieleman and Hinton, 2012): s = ρs + (1−ρ)g², w −= rate·g/(√s +
// ε).
func RMSProp[T Float](w, g, s []T, rate, rho, epsilon T) {
	n := len(w)
	g, s = g[:n], s[:n]
	workers.Sweep(n, func(lo, hi int) { simd.RMSProp(w[lo:hi], g[lo:hi], s[lo:hi], rate, rho, epsilon) })
}
