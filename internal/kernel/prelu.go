package kernel

import (
	"math"

	"github.com/convgrad/convgrad/internal/simd"
	"github.com/convgrad/convgrad/internal/workers"
)

// PReLU is y = x where x > 0 and slope·x elsewhere, with a slope for each channel, or one for all.
// The channels are axis a.N. y may be x itself.
func PReLU[T Float](a Along, y, x, slopes []T) {
	a.planes(len(slopes), func(lo, hi, c int) {
		y, x, slope := y[lo:hi], x[lo:hi], slopes[c]
		if a.Inner >= 16 && simd.Activate(simd.LeakyReLU, y, x, slope, 0) {
			return
		}
		for i, v := range x {
			if !(v > 0) {
				v *= slope
			}
			y[i] = v
		}
	})
}

// PReLUBackward is dx = dy where x > 0 and slope·dy elsewhere. dx may be dy or x itself.
func PReLUBackward[T Float](a Along, dx, dy, x, slopes []T) {
	a.planes(len(slopes), func(lo, hi, c int) {
		dx, dy, x, slope := dx[lo:hi], dy[lo:hi], x[lo:hi], slopes[c]
		if a.Inner >= 16 && simd.ActivateBackward(simd.LeakyReLU, dx, dy, x, slope, 0) {
			return
		}
		for i, v := range x {
			d := dy[i]
			if !(v > 0) {
				d *= slope
			}
			dx[i] = d
		}
	})
}

// planes calls f for each plane [lo, hi) of Inner elements, and its channel; for parts of all where
// there is one channel for all. In parallel if they are many.
func (a Along) planes(channels int, f func(lo, hi, c int)) {
	if channels == 1 {
		workers.Sweep(a.Outer*a.N*a.Inner, func(lo, hi int) { f(lo, hi, 0) })
		return
	}
	workers.Spans(a.Outer*a.N, max(1, workers.Chunk/2/max(a.Inner, 1)), func(first, last int) {
		for p := first; p < last; p++ {
			f(p*a.Inner, (p+1)*a.Inner, p%a.N)
		}
	})
}

// PReLUSlopes is the derivative by the slopes, Σ dy·min(x, 0) over the elements that share one.
// Sums are made in float64.
func PReLUSlopes[T Float](a Along, ds, dy, x []T) {
	if len(ds) == 1 {
		ds[0] = T(inPieces(len(x), func(lo, hi int) float64 { return dotBelow(dy[lo:hi], x[lo:hi]) }))
		return
	}
	workers.Spans(a.N, max(1, workers.Chunk/max(a.Outer*a.Inner, 1)), func(first, last int) {
		for c := first; c < last; c++ {
			var sum float64
			for o := range a.Outer {
				at := (o*a.N + c) * a.Inner
				sum += dotBelow(dy[at:][:a.Inner], x[at:][:a.Inner])
			}
			ds[c] = T(sum)
		}
	})
}

// dotBelow is Σ dy·min(x, 0).
func dotBelow[T Float](dy, x []T) (sum float64) {
	if len(x) >= 16 && CurrentTier() != Generic {
		s := takeScratch[T](1)
		defer s.free()
		below := s.slice(0, min(lossBlock, len(x)))
		for lo := 0; lo < len(x); lo += lossBlock {
			part := below[:min(lossBlock, len(x)-lo)]
			simd.Activate(simd.Below, part, x[lo:lo+len(part)], 0, 0)
			_, dot := simd.SumDot(dy[lo:lo+len(part)], part, 0)
			sum += dot
		}
		return sum
	}
	for i, v := range x {
		sum += float64(dy[i]) * math.Min(float64(v), 0)
	}
	return sum
}
