package kernel

import "math"

// SGD is one step of gradient descent with momentum (Polyak, as PyTorch writes it): v = momentum·v + g + decay·w, w −= rate·v; with nesterov
// w −= rate·(g + decay·w + momentum·v). v may be nil where momentum is 0.
func SGD[T Float](w, g, v []T, rate, momentum, decay T, nesterov bool) {
	n := len(w)
	g = g[:n]
	if v != nil {
		v = v[:n]
	}
	sweep(n, func(lo, hi int) {
		if v == nil {
			sgd(w[lo:hi], g[lo:hi], rate, decay)
		} else {
			sgdMomentum(w[lo:hi], g[lo:hi], v[lo:hi], rate, momentum, decay, nesterov)
		}
	})
}

func sgd[T Float](w, g []T, rate, decay T) {
	g = g[:len(w)]
	for i := sgdVector(w, g, rate, decay); i < len(w); i++ {
		w[i] -= rate * (g[i] + decay*w[i])
	}
}

func sgdMomentum[T Float](w, g, v []T, rate, momentum, decay T, nesterov bool) {
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

// Adam is one step of Adam (Kingma and Ba, 2015, algorithm 1), t ≥ 1 its number: m = β₁m + (1−β₁)g, v = β₂v + (1−β₂)g², w −= rate·m̂/(√v̂ + ε), with
// m̂ = m/(1−β₁ᵗ) and v̂ = v/(1−β₂ᵗ). decay is decoupled (AdamW): w −= rate·decay·w first.
func Adam[T Float](w, g, m, v []T, t int, rate, beta1, beta2, epsilon, decay T) {
	n := len(w)
	g, m, v = g[:n], m[:n], v[:n]
	c := adamConstants[T]{
		beta1: beta1, rest1: 1 - beta1, beta2: beta2, rest2: 1 - beta2,
		rate:    T(float64(rate) / (1 - math.Pow(float64(beta1), float64(t)))),
		unbias2: T(1 / (1 - math.Pow(float64(beta2), float64(t)))),
		epsilon: epsilon, decay: rate * decay,
	}
	sweep(n, func(lo, hi int) { adam(w[lo:hi], g[lo:hi], m[lo:hi], v[lo:hi], c) })
}

// adamConstants holds what a step has in common for all elements: rest is 1−β, rate is rate/(1−β₁ᵗ), unbias2 is 1/(1−β₂ᵗ) and decay is rate·decay.
type adamConstants[T Float] struct{ beta1, rest1, beta2, rest2, rate, unbias2, epsilon, decay T }

func adam[T Float](w, g, m, v []T, c adamConstants[T]) {
	g, m, v = g[:len(w)], m[:len(w)], v[:len(w)]
	for i := adamVector(w, g, m, v, c); i < len(w); i++ {
		m[i] = c.beta1*m[i] + c.rest1*g[i]
		v[i] = c.beta2*v[i] + c.rest2*g[i]*g[i]
		w[i] -= c.rate*m[i]/(T(math.Sqrt(float64(v[i]*c.unbias2)))+c.epsilon) + c.decay*w[i]
	}
}

// RMSProp is one step of RMSProp (Tieleman and Hinton, 2012): s = ρs + (1−ρ)g², w −= rate·g/(√s + ε).
func RMSProp[T Float](w, g, s []T, rate, rho, epsilon T) {
	n := len(w)
	g, s = g[:n], s[:n]
	sweep(n, func(lo, hi int) { rmsProp(w[lo:hi], g[lo:hi], s[lo:hi], rate, rho, epsilon) })
}

func rmsProp[T Float](w, g, s []T, rate, rho, epsilon T) {
	g, s = g[:len(w)], s[:len(w)]
	rest := 1 - rho
	for i := rmsPropVector(w, g, s, rate, rho, epsilon); i < len(w); i++ {
		s[i] = rho*s[i] + rest*g[i]*g[i]
		w[i] -= rate * g[i] / (T(math.Sqrt(float64(s[i]))) + epsilon)
	}
}
