package kernel

import (
	"github.com/convgrad/convgrad/internal/simd"
	"github.com/convgrad/convgrad/internal/workers"
)

// ReLU is y = max(0, x); NaN stays NaN and −0 becomes +0. y may be x itself.
func ReLU[T Float](y, x []T) {
	y = y[:len(x)]
	workers.Sweep(len(x), func(lo, hi int) { simd.ReLU(y[lo:hi], x[lo:hi]) })
}

// Gate is dx = dy where x > 0 and 0 elsewhere: the derivative of ReLU at x or, what is the same, at
// its output. Where x is NaN, dx is dy's, as in PyTorch. dx may be dy itself.
func Gate[T Float](dx, dy, x []T) {
	dx, dy = dx[:len(x)], dy[:len(x)]
	workers.Sweep(len(x), func(lo, hi int) { simd.Gate(dx[lo:hi], dy[lo:hi], x[lo:hi]) })
}

// Add is y += x.
func Add[T Float](y, x []T) {
	y = y[:len(x)]
	workers.Sweep(len(x), func(lo, hi int) { simd.Add(y[lo:hi], x[lo:hi]) })
}

// NormaliseBatch gathers the images that indices names, per bytes each, out of src and turns each
// byte into (byte − mean)·scale: dst[i·per+j] = (src[indices[i]·per+j] − mean)·scale. Every index
// must be that of an image in src.
func NormaliseBatch[T Float](dst []T, src []uint8, indices []int, per int, mean, scale T) {
	workers.Spans(len(indices), max(1, workers.Chunk/max(per, 1)), func(lo, hi int) {
		for i := lo; i < hi; i++ {
			image, out := src[indices[i]*per:][:per], dst[i*per:][:per]
			simd.Normalise(out, image, mean, scale)
		}
	})
}
