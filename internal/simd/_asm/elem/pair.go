package main

import . "github.com/mmcloughlin/avo/operand"

// Losses of a prediction y and a target t, each with the product of its derivative by y and a
// cotangent. They are made of the parts of the activations, and internal/kernel tests their bounds.

// A pair is a loss and its derivative. a is its parameter.
type pair struct {
	name, parameter string
	value, slope    func(f flavour, y, t, a vec) vec
}

var pairs = []pair{
	{"absolute", "",
		func(f flavour, y, t, _ vec) vec { return f.magnitude(f.minus(y, t)) },
		func(f flavour, y, t, _ vec) vec { // 0 where y = t, NaN where the difference is
			d := f.minus(y, t)
			v := f.where(less, d, f.c(0), f.copyOf(f.c(-1)), d)
			return f.where(greater, d, f.c(0), f.copyOf(f.c(1)), v)
		}},
	{"huber", "a", // with m = min(|d|, a), m·(|d| − m/2)
		func(f flavour, y, t, a vec) vec {
			d := f.magnitude(f.minus(y, t))
			m := f.atMost(d, a)
			return f.times(m, f.minus(d, f.times(m, f.c(0.5))))
		},
		func(f flavour, y, t, a vec) vec {
			return f.atLeast(f.atMost(f.minus(y, t), a), f.minus(f.copyOf(f.c(0)), a))
		}},
	{"crossEntropy", "", // max(y, 0) − y·t + log(1 + e^−|y|)
		func(f flavour, y, t, _ vec) vec {
			linear := f.minus(f.atLeast(y, f.c(0)), f.times(y, t))
			return f.plus(linear, f.log1p(f.decay(y)))
		},
		func(f flavour, y, t, _ vec) vec {
			v, _ := f.logistic(y, false)
			return f.minus(v, t)
		}},
}

// pairing makes both kernels of a loss.
func pairing(f flavour, g pair) {
	parameters := map[string]vec{}
	prepare := func() { f.constants(g.parameter, parameters) }
	unroll = 1
	stream(f, g.name+"Loss", "e = f(y, t) over n elements.", "e, y, t", g.parameter, prepare, func(at func(string) Mem) {
		f.store(g.value(f, f.copyOf(at("y")), f.copyOf(at("t")), parameters["a"]), at("e"))
	})
	stream(f, g.name+"LossBackward", "d = dE·∂f/∂y over n elements.", "d, dE, y, t", g.parameter, prepare, func(at func(string) Mem) {
		slope := g.slope(f, f.copyOf(at("y")), f.copyOf(at("t")), parameters["a"])
		f.store(f.times(slope, at("dE")), at("d"))
	})
	unroll = 4
}
