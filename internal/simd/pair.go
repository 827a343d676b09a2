package simd

// A Pair is a loss of a prediction y and a target t.
type Pair int

// The losses, as internal/kernel defines them.
const (
	Absolute Pair = iota
	Huber
	BinaryCrossEntropy
)

// PairLoss is e = f(y, t), with the parameter a of f where it has one. It reports whether it did:
// the plain tier has no kernel. e may be y or t itself. An element's bits do not depend on where it
// lies, as in Activate.
func PairLoss[T Float](f Pair, e, y, t []T, a T) bool {
	if tier == Generic {
		return false
	}
	e, t = e[:len(y)], t[:len(y)]
	if n := pairVector(f, e, y, t, a); n < len(y) {
		var from, by, to [16]T
		copy(from[:], y[n:])
		copy(by[:], t[n:])
		pairVector(f, to[:], from[:], by[:], a)
		copy(e[n:], to[:])
	}
	return true
}

// PairLossBackward is d = dE·∂f/∂y. It reports whether it did, as PairLoss does. d may be an
// operand itself.
func PairLossBackward[T Float](f Pair, d, dE, y, t []T, a T) bool {
	if tier == Generic {
		return false
	}
	d, dE, t = d[:len(y)], dE[:len(y)], t[:len(y)]
	if n := pairBackwardVector(f, d, dE, y, t, a); n < len(y) {
		var from, by, times, to [16]T
		copy(from[:], y[n:])
		copy(by[:], t[n:])
		copy(times[:], dE[n:])
		pairBackwardVector(f, to[:], times[:], from[:], by[:], a)
		copy(d[n:], to[:])
	}
	return true
}
