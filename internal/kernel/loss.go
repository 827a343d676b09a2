package kernel

import (
	"math"
	"sync"

	"github.com/convgrad/convgrad/internal/simd"
	"github.com/convgrad/convgrad/internal/workers"
)

// rowsOf is how many rows of n elements, each a matter of exp, are worth handing to another core;
// it depends on n alone, so that sums split the same way always.
func rowsOf(n int) int { return max(1, 1<<13/max(n, 1)) }

// Softmax is y[i,j] = exp(x[i,j]−max_j)/Σ_j exp(x[i,j]−max_j) for each of the m rows of x. A row
// that holds NaN or +Inf, or nothing but −Inf, is all NaN, as in PyTorch.
func Softmax[T Float](y, x []T, m int) {
	if m == 0 {
		return
	}
	n := len(x) / m
	workers.Spans(m, rowsOf(n), func(lo, hi int) {
		for i := lo; i < hi; i++ {
			row, out := x[i*n:][:n], y[i*n:][:n]
			sum := simd.ExpSum(out, row, simd.Max(row))
			simd.WideAffine(out, out, 0, 1/sum, 0)
		}
	})
}

// LogSoftmax is y[i,j] = x[i,j] − log Σ_l exp(x[i,l]) for each of the m rows of x, relative to the
// row's greatest element. It is NaN where Softmax is.
func LogSoftmax[T Float](y, x []T, m int) {
	if m == 0 {
		return
	}
	n := len(x) / m
	workers.Spans(m, rowsOf(n), func(lo, hi int) {
		for i := lo; i < hi; i++ {
			row, out := x[i*n:][:n], y[i*n:][:n]
			top := simd.Max(row)
			log := math.Log(simd.ExpSum(out, row, top))
			simd.WideAffine(out, row, float64(top), 1, -log)
		}
	})
}

// LogSoftmaxBackward is dx[i,j] = dy[i,j] − exp(y[i,j])·Σ_l dy[i,l] for each of the m rows.
func LogSoftmaxBackward[T Float](dx, y, dy []T, m int) {
	if m == 0 {
		return
	}
	n := len(y) / m
	workers.Spans(m, rowsOf(n), func(lo, hi int) {
		for i := lo; i < hi; i++ {
			out, row, d := dx[i*n:][:n], y[i*n:][:n], dy[i*n:][:n]
			simd.ExpSum(out, row, 0)
			simd.WideAffine(out, out, 0, -simd.Sum64(d), 0)
			simd.Combine(Plus, out, out, d)
		}
	})
}

// SoftmaxBackward is dx[i,j] = y[i,j]·(dy[i,j] − Σ_l dy[i,l]·y[i,l]) for each of the m rows.
func SoftmaxBackward[T Float](dx, y, dy []T, m int) {
	if m == 0 {
		return
	}
	n := len(y) / m
	workers.Spans(m, rowsOf(n), func(lo, hi int) {
		for i := lo; i < hi; i++ {
			out, row, d := dx[i*n:][:n], y[i*n:][:n], dy[i*n:][:n]
			_, mean := simd.SumDot(d, row, 0)
			simd.WideAffine(out, d, mean, 1, 0)
			simd.Combine(Times, out, out, row)
		}
	})
}

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

// partials holds sums that are made in parallel until they are joined in order.
var partials = sync.Pool{New: func() any { return new([]float64) }}

// CrossEntropy returns Σ_i log Σ_j exp(x[i,j]) − x[i,label_i], the sum of the m rows' −log softmax
// at their labels, and never overflows for finite x unless the sum itself does. NaN where Softmax
// is. Labels must be in [0, n).
func CrossEntropy[T Float](x []T, labels []int, m int) float64 {
	if m == 0 {
		return 0
	}
	n := len(x) / m
	each := rowsOf(n)
	buf := partials.Get().(*[]float64)
	defer partials.Put(buf)
	if k := (m + each - 1) / each; len(*buf) < k {
		*buf = make([]float64, k)
	}
	sums := *buf
	workers.Spans(m, each, func(lo, hi int) {
		var total float64
		s := takeScratch[T](1)
		defer s.free()
		discard := s.slice(0, n)
		for i := lo; i < hi; i++ {
			row := x[i*n:][:n]
			top := simd.Max(row)
			sum := simd.ExpSum(discard, row, top)
			total += math.Log(sum) - (float64(row[labels[i]]) - float64(top))
		}
		sums[lo/each] = total
	})
	var total float64
	for i := 0; i < m; i += each {
		total += sums[i/each]
	}
	return total
}
