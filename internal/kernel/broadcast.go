package kernel

import (
	"math"

	"github.com/convgrad/convgrad/internal/simd"
	"github.com/convgrad/convgrad/internal/workers"
)

// An Operation is one of arithmetic's four.
type Operation = simd.Operation

// The operations.
const (
	Plus  = simd.Plus
	Minus = simd.Minus
	Times = simd.Times
	Over  = simd.Over
)

// A Walk goes through the elements of a tensor, row-major with the given sides, and of two others
// whose elements lie A and B apart along each axis: 0 along one that they are repeated along. There
// is at least one axis.
type Walk struct{ Sides, A, B []int }

// rows calls f for each row along the last axis, or for parts of it if there is one row, with the
// indices of its first elements and its length; in parallel if they are many.
func (w Walk) rows(f func(y, a, b, n int)) {
	last := len(w.Sides) - 1
	n, count := w.Sides[last], 1
	for _, s := range w.Sides[:last] {
		count *= s
	}
	if count == 1 {
		workers.Sweep(n, func(lo, hi int) { f(lo, lo*w.A[last], lo*w.B[last], hi-lo) })
		return
	}
	workers.Spans(count, max(1, workers.Chunk/2/n), func(lo, hi int) {
		for t := lo; t < hi; t++ {
			a, b, rest := 0, 0, t
			for k := last - 1; k >= 0; k-- {
				i := rest % w.Sides[k]
				rest /= w.Sides[k]
				a, b = a+i*w.A[k], b+i*w.B[k]
			}
			f(t*n, a, b, n)
		}
	})
}

// Combine is y = a∘b for tensors that are repeated as w says; the last steps are 0 or 1. y may be a
// or b itself where that one is not repeated.
func Combine[T Float](op Operation, w Walk, y, a, b []T) {
	last := len(w.Sides) - 1
	da, db := w.A[last], w.B[last]
	w.rows(func(iy, ia, ib, n int) {
		to := y[iy:][:n]
		switch {
		case da == 1 && db == 1:
			simd.Combine(op, to, a[ia:], b[ib:])
		case da == 1:
			simd.CombineNumber(op, to, a[ia:], b[ib])
		case db == 1:
			simd.CombineFrom(op, to, b[ib:], a[ia])
		default:
			simd.Fill(to, a[ia])
			simd.CombineNumber(op, to, to, b[ib])
		}
	})
}

// Repeat is y = x, repeated as w.A says.
func Repeat[T Float](w Walk, y, x []T) {
	last := len(w.Sides) - 1
	w.rows(func(iy, ix, _, n int) {
		if to := y[iy:][:n]; w.A[last] == 1 {
			copy(to, x[ix:])
		} else {
			simd.Fill(to, x[ix])
		}
	})
}

// Map is y = (x − m)·a + b in float64, rounded to T at the end. y may be x itself.
func Map[T Float](y, x []T, m, a, b float64) {
	workers.Sweep(len(y), func(lo, hi int) { simd.WideAffine(y[lo:hi], x[lo:hi], m, a, b) })
}

// Scale is y = by·x in float64, rounded to T. y may be x itself.
func Scale[T Float](y, x []T, by float64) { Map(y, x, 0, by, math.Copysign(0, -1)) }

// SumOver is the sums of x over the axes along which w.A is 0; y has the others. Sums are made in
// float64, of parts that the sides alone determine.
func SumOver[T Float](w Walk, y, x []T) {
	last := len(w.Sides) - 1
	n := w.Sides[last]
	var kept, dropped axes
	step := n
	for k := last - 1; k >= 0; k-- {
		if w.A[k] == 0 {
			dropped.add(w.Sides[k], step)
		} else {
			kept.add(w.Sides[k], step)
		}
		step *= w.Sides[k]
	}
	if w.A[last] == 0 {
		sumRowsOver(kept, dropped, n, y, x)
		return
	}
	// Blocks of neighbouring sums, each over all rows that it is in.
	const block = 512
	across := (n + block - 1) / block
	workers.Spans(kept.count()*across, max(1, workers.Chunk/(min(n, block)*dropped.count())), func(lo, hi int) {
		s := takeScratch[float64](1)
		defer s.free()
		for t := lo; t < hi; t++ {
			from := t % across * block
			sums := s.slice(0, min(block, n-from))
			clear(sums)
			at := kept.at(t/across) + from
			dropped.each(func(d int) { simd.AddWide(sums, x[at+d:][:len(sums)]) })
			to := y[t/across*n+from:][:len(sums)]
			for i, v := range sums {
				to[i] = T(v)
			}
		}
	})
}

// MaxOver is where the greatest element of x is over the axes along which w.A is 0: of equal ones
// the first, and the first NaN before all numbers. There is one at least.
func MaxOver[T Float](w Walk, index []int, x []T) { maxOver(w, index, nil, x) }

// MaxValues is the elements that MaxOver finds. Where they lie it need not know.
func MaxValues[T Float](w Walk, y, x []T) { maxOver(w, nil, y, x) }

// maxOver notes indices, or values where index is nil.
func maxOver[T Float](w Walk, index []int, y, x []T) {
	last := len(w.Sides) - 1
	n := w.Sides[last]
	var kept, dropped axes
	step := 1
	for k := last; k >= 0; k-- {
		switch {
		case w.A[k] != 0:
			kept.add(w.Sides[k], step)
		case k < last && step == n && w.A[last] == 0:
			n *= w.Sides[k] // rows end to end are one
		case k < last:
			dropped.add(w.Sides[k], step)
		}
		step *= w.Sides[k]
	}
	if w.A[last] != 0 { // columns
		workers.Spans(max(len(index), len(y)), max(1, workers.Chunk/4/dropped.count()), func(lo, hi int) {
			for o := lo; o < hi; o++ {
				at := kept.at(o)
				won := at
				dropped.each(func(d int) {
					if v := x[at+d]; v > x[won] || v != v && x[won] == x[won] {
						won = at + d
					}
				})
				if index == nil {
					y[o] = x[won]
				} else {
					index[o] = won
				}
			}
		})
		return
	}
	workers.Spans(max(len(index), len(y)), max(1, workers.Chunk/(n*dropped.count())), func(lo, hi int) {
		for o := lo; o < hi; o++ {
			at := kept.at(o)
			if index == nil {
				y[o] = maxValue(x[at:], n, &dropped)
				continue
			}
			won := -1
			dropped.each(func(d int) {
				row := x[at+d:][:n]
				top := simd.Max(row)
				if won >= 0 && !(top > x[won] || top != top && x[won] == x[won]) {
					return
				}
				won = at + d + simd.Find(row, top)
			})
			index[o] = won
		}
	})
}

// maxValue is the greatest element of rows of n elements of x. Of zeros it is the first.
func maxValue[T Float](x []T, n int, rows *axes) T {
	top := T(math.Inf(-1))
	rows.each(func(d int) {
		row := x[d:][:n]
		v := simd.Max(row)
		if v == 0 {
			v = row[simd.Find(row, 0)]
		}
		if v > top || v != v {
			top = v
		}
	})
	return top
}

// sumRowsOver is SumOver where the last axis, of n elements, is dropped.
func sumRowsOver[T Float](kept, dropped axes, n int, y, x []T) {
	outputs, rows := kept.count(), dropped.count()
	if outputs >= 16 || n < 512 {
		workers.Spans(outputs, max(1, workers.Chunk/(n*rows)), func(lo, hi int) {
			for o := lo; o < hi; o++ {
				var sum float64
				at := kept.at(o)
				dropped.each(func(d int) { sum += simd.Sum64(x[at+d:][:n]) })
				y[o] = T(sum)
			}
		})
		return
	}
	// Few sums, of long rows: pieces of rows by themselves.
	pieces := (n + workers.Chunk - 1) / workers.Chunk
	s := takeScratch[float64](1)
	defer s.free()
	parts := s.slice(0, outputs*rows*pieces)
	workers.Spans(len(parts), max(1, workers.Chunk/n), func(lo, hi int) {
		for t := lo; t < hi; t++ {
			p := t % pieces * workers.Chunk
			at := kept.at(t/pieces/rows) + dropped.at(t/pieces%rows) + p
			parts[t] = simd.Sum64(x[at:][:min(workers.Chunk, n-p)])
		}
	})
	for o := range outputs {
		var sum float64
		for _, v := range parts[o*rows*pieces:][:rows*pieces] {
			sum += v
		}
		y[o] = T(sum)
	}
}

// axes are some of a tensor's axes, the last first: their sides and the distances of their
// elements.
type axes struct{ sides, steps []int }

func (a *axes) add(side, step int) { a.sides, a.steps = append(a.sides, side), append(a.steps, step) }

func (a *axes) count() int {
	n := 1
	for _, s := range a.sides {
		n *= s
	}
	return n
}

// at is where element i of those along the axes lies.
func (a *axes) at(i int) (at int) {
	for k, s := range a.sides {
		at, i = at+i%s*a.steps[k], i/s
	}
	return at
}

// each calls f with the place of each element along the axes.
func (a *axes) each(f func(at int)) {
	switch len(a.sides) {
	case 0:
		f(0)
	case 1:
		for i := range a.sides[0] {
			f(i * a.steps[0])
		}
	default:
		for i := range a.count() {
			f(a.at(i))
		}
	}
}
