package simd

import "math"

// SGD is w −= rate·(g + decay·w).
func SGD[T Float](w, g []T, rate, decay T) {
	g = g[:len(w)]
	for i := sgdVector(w, g, rate, decay); i < len(w); i++ {
		w[i] -= rate * (g[i] + decay*w[i])
	}
}

// Momentum is v = momentum·v + g + decay·w, w −= rate·v; with nesterov
// w −= rate·(g + decay·w + momentum·v).
func Momentum[T Float](w, g, v []T, rate, momentum, decay T, nesterov bool) {
	g, v = g[:len(w)], v[:len(w)]
	for i := momentumVector(w, g, v, rate, momentum, decay, nesterov); i < len(w); i++ {
		d := g[i] + decay*w[i]
		v[i] = momentum*v[i] + d
		if nesterov {
			d += momentum * v[i]
		} else {
			d = v[i]
		}
		w[i] -= rate * d
	}
}

// AdamConstants holds what a step of Adam has in common for all elements: Rest is 1−β, Rate is
// rate/(1−β₁ᵗ), Unbias2 is 1/(1−β₂ᵗ) and Decay is rate·decay.
type AdamConstants[T Float] struct{ Beta1, Rest1, Beta2, Rest2, Rate, Unbias2, Epsilon, Decay T }

// Adam is m = β₁m + (1−β₁)g, v = β₂v + (1−β₂)g², and then
// w −= Rate·m/(√(v·Unbias2) + ε) + Decay·w.
func Adam[T Float](w, g, m, v []T, c AdamConstants[T]) {
	g, m, v = g[:len(w)], m[:len(w)], v[:len(w)]
	for i := adamVector(w, g, m, v, c); i < len(w); i++ {
		m[i] = c.Beta1*m[i] + c.Rest1*g[i]
		v[i] = c.Beta2*v[i] + c.Rest2*g[i]*g[i]
		w[i] -= c.Rate*m[i]/(T(math.Sqrt(float64(v[i]*c.Unbias2)))+c.Epsilon) + c.Decay*w[i]
	}
}

// RMSProp is s = ρs + (1−ρ)g², w −= rate·g/(√s + ε).
func RMSProp[T Float](w, g, s []T, rate, rho, epsilon T) {
	g, s = g[:len(w)], s[:len(w)]
	rest := 1 - rho
	for i := rmsPropVector(w, g, s, rate, rho, epsilon); i < len(w); i++ {
		s[i] = rho*s[i] + rest*g[i]*g[i]
		w[i] -= rate * g[i] / (T(math.Sqrt(float64(s[i]))) + epsilon)
	}
}
