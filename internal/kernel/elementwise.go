package kernel

import "math"

// ReLU is y = max(0, x); NaN stays NaN and −0 becomes +0. y may be x itself.
func ReLU[T Float](y, x []T) {
	y = y[:len(x)]
	sweep(len(x), func(lo, hi int) { relu(y[lo:hi], x[lo:hi]) })
}

func relu[T Float](y, x []T) {
	y = y[:len(x)]
	for i := reluVector(y, x); i < len(x); i++ {
		y[i] = max(x[i], 0)
	}
}

// Gate is dx = dy where x > 0 and 0 elsewhere: the derivative of ReLU at x or, what is the same, at its output. Where x is NaN, dx is dy's, as in PyTorch.
// dx may be dy itself.
func Gate[T Float](dx, dy, x []T) {
	dx, dy = dx[:len(x)], dy[:len(x)]
	sweep(len(x), func(lo, hi int) { gate(dx[lo:hi], dy[lo:hi], x[lo:hi]) })
}

// gate moves bits, not floats, so that the choice is a conditional move and no branch that random data mispredicts.
func gate[T Float](dx, dy, x []T) {
	done := gateVector(dx, dy, x)
	dx, dy, x = dx[done:], dy[done:], x[done:]
	switch x := any(x).(type) {
	case []float32:
		dx, dy := any(dx).([]float32), any(dy).([]float32)
		dx, dy = dx[:len(x)], dy[:len(x)]
		for i, v := range x {
			d := math.Float32bits(dy[i])
			if v <= 0 {
				d = 0
			}
			dx[i] = math.Float32frombits(d)
		}
	case []float64:
		dx, dy := any(dx).([]float64), any(dy).([]float64)
		dx, dy = dx[:len(x)], dy[:len(x)]
		for i, v := range x {
			d := math.Float64bits(dy[i])
			if v <= 0 {
				d = 0
			}
			dx[i] = math.Float64frombits(d)
		}
	}
}

// Add is y += x.
func Add[T Float](y, x []T) {
	y = y[:len(x)]
	sweep(len(x), func(lo, hi int) { add(y[lo:hi], x[lo:hi]) })
}

func add[T Float](y, x []T) {
	y = y[:len(x)]
	for i := addVector(y, x); i < len(x); i++ {
		y[i] += x[i]
	}
}

// NormaliseBatch gathers the images that indices names, per bytes each, out of src and turns each byte into (byte − mean)·scale: dst[i·per+j] =
// (src[indices[i]·per+j] − mean)·scale. Every index must be that of an image in src.
func NormaliseBatch[T Float](dst []T, src []uint8, indices []int, per int, mean, scale T) {
	spans(len(indices), max(1, chunk/max(per, 1)), func(lo, hi int) {
		for i := lo; i < hi; i++ {
			image, out := src[indices[i]*per:][:per], dst[i*per:][:per]
			for j := normaliseVector(out, image, mean, scale); j < per; j++ {
				out[j] = (T(image[j]) - mean) * scale
			}
		}
	})
}
