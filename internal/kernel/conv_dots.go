package kernel

import (
	"github.com/convgrad/convgrad/internal/simd"
	"github.com/convgrad/convgrad/internal/workers"
)

// The filter gradient of few filters and taps: each of its elements is a sum along rows of outputs,
// of deltas times the inputs under the tap, and the lanes of a vector are neighbouring outputs. No
// delta has to be transposed, and no lane is lost where the filters are fewer than lanes.

// dotKernel is the micro-kernel that loses the least to tails, if that is less than outer products
// lose.
func (f *filterGradient[T]) dotKernel() (best simd.DotShape, ok bool) {
	lanes := simd.Lanes[T]()
	full := func(n, step int) float64 { return float64(n) / float64((n+step-1)/step*step) }
	// Outer products: rows of taps by vectors of filters; the deltas are transposed first, for each
	// image.
	width := 0
	for _, b := range f.blocks {
		width += b.width
	}
	most := 0.8 * float64(f.taps) / float64(f.filled) * float64(f.k) / float64(width)
	for _, s := range simd.DotShapes() {
		if use := full(f.k, s.Filters) * full(f.taps, s.Taps) * full(f.g.Q, lanes); use > most {
			best, most, ok = s, use, true
		}
	}
	return best, ok
}

// runDots is run with sums along rows.
func (f *filterGradient[T]) runDots() {
	g, shape := f.g, f.dots
	lanes := simd.Lanes[T]()
	filterBlocks, tapBlocks := (f.k+shape.Filters-1)/shape.Filters, (f.taps+shape.Taps-1)/shape.Taps
	unit := shape.Filters * shape.Taps * lanes
	size := filterBlocks * tapBlocks * unit
	slices := min(g.N, 16)
	table := takeInts(filterBlocks*shape.Filters + tapBlocks*shape.Taps + f.filled)
	defer table.free()
	from, off := table.ints[:filterBlocks*shape.Filters], table.ints[filterBlocks*shape.Filters:][:tapBlocks*shape.Taps]
	taps := f.measure(table.ints[len(from)+len(off):][:0])
	for i := range from {
		from[i] = min(i, f.k-1) * g.P * g.Q
	}
	for i := range off {
		off[i] = taps[min(i, f.taps-1)]
	}
	s := takeForCall[T](1)
	defer s.free()
	sums := s.slice(0, slices*size)
	clear(sums)
	workers.Each(g.MACs()/int64(g.Groups) < 1<<16, slices, 1, func(t int) {
		f.dotSlice(shape, sums[t*size:][:size], from, off, g.N*t/slices, g.N*(t+1)/slices)
	})
	for i := 1; i < slices; i++ {
		simd.Add(sums[:size], sums[i*size:][:size])
	}
	for k := range f.k {
		for tap := range f.taps {
			block := k/shape.Filters*tapBlocks + tap/shape.Taps
			at := block*unit + (k%shape.Filters*shape.Taps+tap%shape.Taps)*lanes
			f.dw[k*f.taps+tap] = simd.Sum(sums[at:][:lanes])
		}
	}
}

// dotSlice sums images lo to hi−1.
func (f *filterGradient[T]) dotSlice(shape simd.DotShape, sums []T, from, off []int, lo, hi int) {
	lanes := simd.Lanes[T]()
	g := f.g
	rows := max(1, min(g.P, (1<<13)/g.Q)) // some microseconds
	s := takeScratch[T](1)
	defer s.free()
	padded := s.slice(0, f.frame().size()+simd.Slack)
	xRow := g.Rows.Stride * f.wp
	for n := lo; n < hi; n++ {
		pad(f.frame(), padded, f.x[n*g.C*g.H*g.W:], 0, f.hp)
		dy := f.dy[n*g.K*g.P*g.Q:][:f.k*g.P*g.Q]
		for p := 0; p < g.P; p += rows {
			count := min(rows, g.P-p)
			to := sums
			for i := 0; i < len(from); i += shape.Filters {
				for j := 0; j < len(off); j += shape.Taps {
					block := to[:shape.Filters*shape.Taps*lanes]
					to = to[len(block):]
					simd.Dots(shape, count, g.Q, dy[p*g.Q:], from[i:], g.Q, padded[p*xRow:], off[j:], xRow, block)
				}
			}
		}
	}
}
