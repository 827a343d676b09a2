package simd

// A Function is an activation that has kernels.
type Function int

// The functions, as internal/kernel defines them.
const (
	Other Function = iota // none that has a kernel
	Sigmoid
	Tanh
	Softplus
	SiLU
	GELU
	GELUTanh
	ELU
	LeakyReLU
	Clamp
	ReLU6
	HardSigmoid
	HardSwish
	Exp
	Log
	Sqrt
	Square
	Abs
	Below
)

// Activate is y = f(x), with the parameters a and b of f where it has such. It reports whether it
// did: neither the plain tier nor Other has a kernel. y may be x itself. An element's bits do not
// depend on where it lies: the last ones fill up a vector of their own.
func Activate[T Float](f Function, y, x []T, a, b T) bool {
	if tier == Generic || f == Other {
		return false
	}
	y = y[:len(x)]
	n := activateVector(f, y, x, a, b)
	if n < len(x) {
		var from, to [16]T
		copy(from[:], x[n:])
		activateVector(f, to[:], from[:], a, b)
		copy(y[n:], to[:])
	}
	return true
}

// ActivateBackward is dx = dy·f′(x). It reports whether it did, as Activate does. dx may be dy or x
// itself.
func ActivateBackward[T Float](f Function, dx, dy, x []T, a, b T) bool {
	if tier == Generic || f == Other {
		return false
	}
	dx, dy = dx[:len(x)], dy[:len(x)]
	n := activateBackwardVector(f, dx, dy, x, a, b)
	if n < len(x) {
		var from, by, to [16]T
		copy(from[:], x[n:])
		copy(by[:], dy[n:])
		activateBackwardVector(f, to[:], by[:], from[:], a, b)
		copy(dx[n:], to[:])
	}
	return true
}
