package kernel

import (
	"github.com/convgrad/convgrad/internal/simd"
	"github.com/convgrad/convgrad/internal/workers"
)

// Where c = a·bᵀ has few rows and long sums, packing b would cost as much as the product. Rows of a
// meet rows of b where they lie: the lanes of a vector are neighbouring terms of a sum.

const (
	// dotRows is the most rows of c, and dotTerms the least terms of a sum, that go this way.
	dotRows, dotTerms = 48, 256
	// dotSlice is how many terms of a row of a stay in a near cache, for all rows.
	dotSlice = 1 << 10
)

// dotShape is the micro-kernel that loses the least for so many rows of c.
func dotShape(m int) (best simd.DotShape) {
	least := 0
	for _, s := range simd.DotShapes() {
		if made := (m + s.Filters - 1) / s.Filters * s.Filters; least == 0 || made < least {
			best, least = s, made
		}
	}
	return best
}

// dots makes the product by rows if it pays, and reports whether it did.
func (p *product[T]) dots(m, n, k int, accumulate bool) bool {
	shape := dotShape(m)
	if p.transA || !p.transB || m > dotRows || k < dotTerms || shape.Filters == 0 {
		return false
	}
	lanes := simd.Lanes[T]()
	blocks := (m + shape.Filters - 1) / shape.Filters
	unit := shape.Filters * shape.Taps * lanes
	table := takeInts(blocks*shape.Filters + n + shape.Taps)
	defer table.free()
	from, off := table.ints[:blocks*shape.Filters], table.ints[blocks*shape.Filters:]
	for i := range from {
		from[i] = min(i, m-1) * p.lda
	}
	for j := range off {
		off[j] = min(j, n-1) * p.ldb
	}
	workers.Each(p.alone || m*n*k < 1<<16, (n+shape.Taps-1)/shape.Taps, 1, func(t int) {
		s := takeScratch[T](1)
		defer s.free()
		sums := s.slice(0, blocks*unit)
		clear(sums)
		j := t * shape.Taps
		for k0 := 0; k0 < k; k0 += dotSlice {
			kb := min(dotSlice, k-k0)
			for i := range blocks {
				simd.Dots(shape, 1, kb, p.a[k0:], from[i*shape.Filters:], 0, p.b[k0:], off[j:], 0, sums[i*unit:])
			}
		}
		for i := range m {
			to := p.c[i*p.ldc+j:][:min(shape.Taps, n-j)]
			for l := range to {
				at := i/shape.Filters*unit + (i%shape.Filters*shape.Taps+l)*lanes
				v := p.alpha * simd.Sum(sums[at:][:lanes])
				if accumulate {
					v += to[l]
				}
				to[l] = v
			}
		}
	})
	return true
}
