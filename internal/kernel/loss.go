package kernel

import (
	"github.com/convgrad/convgrad/internal/simd"
	"github.com/convgrad/convgrad/internal/workers"
)

// Dot is Σ a·b in float64, of pieces that the length alone determines.
func Dot[T Float](a, b []T) float64 {
	return inPieces(len(a), func(lo, hi int) float64 { _, dot := simd.SumDot(a[lo:hi], b[lo:hi], 0); return dot })
}

// Squares is Σ(a−b)² in float64, of such pieces.
func Squares[T Float](a, b []T) float64 {
	return inPieces(len(a), func(lo, hi int) float64 { return simd.Squares(a[lo:hi], b[lo:hi]) })
}

// inPieces adds what f makes of pieces of n elements.
func inPieces(n int, f func(lo, hi int) float64) (sum float64) {
	s := takeScratch[float64](1)
	defer s.free()
	parts := s.slice(0, (n+workers.Chunk-1)/workers.Chunk)
	workers.Spans(len(parts), 1, func(lo, hi int) {
		for p := lo; p < hi; p++ {
			parts[p] = f(p*workers.Chunk, min(n, (p+1)*workers.Chunk))
		}
	})
	for _, v := range parts {
		sum += v
	}
	return sum
}
