package kernel

import (
	"math"

	"github.com/convgrad/convgrad/internal/simd"
	"github.com/convgrad/convgrad/internal/workers"
)

// An Along is the lines of a tensor along one of its axes, of N elements each. Element j of line
// (o, i) is element (o·N + j)·Inner + i of the tensor, 0 ≤ o < Outer, 0 ≤ i < Inner.
type Along struct{ Outer, N, Inner int }

// AlongAxis is the lines along an axis of a tensor with these sides.
func AlongAxis(sides []int, axis int) Along {
	a := Along{1, sides[axis], 1}
	for _, s := range sides[:axis] {
		a.Outer *= s
	}
	for _, s := range sides[axis+1:] {
		a.Inner *= s
	}
	return a
}

// stripWidth is how many neighbouring lines are worked on together where Inner is not 1.
const stripWidth = 256

// lines calls rows(first, last) for spans of lines where Inner is 1, and strip(at, line, n) for
// strips of n neighbouring lines elsewhere, the first of which is number line and begins at element
// at; in parallel where there is work for it. Spans and strips depend on a alone.
func (a Along) lines(rows func(first, last int), strip func(at, line, n int)) {
	if a.Outer*a.N*a.Inner == 0 {
		return
	}
	if a.Inner == 1 {
		workers.Spans(a.Outer, a.rowsOf(), rows)
		return
	}
	across, width := a.across(), min(stripWidth, a.Inner)
	workers.Spans(a.Outer*across, max(1, 1<<13/(a.N*width)), func(lo, hi int) {
		for t := lo; t < hi; t++ {
			o, i := t/across, t%across*stripWidth
			strip(o*a.N*a.Inner+i, o*a.Inner+i, min(stripWidth, a.Inner-i))
		}
	})
}

// across is how many strips lie side by side.
func (a Along) across() int { return (a.Inner + stripWidth - 1) / stripWidth }

// part is the number of the span or strip whose first line this is.
func (a Along) part(line int) int {
	if a.Inner == 1 {
		return line / a.rowsOf()
	}
	return line/a.Inner*a.across() + line%a.Inner/stripWidth
}

// rowsOf is how many lines, each element a matter of exp, are worth handing to another core.
func (a Along) rowsOf() int { return max(1, 1<<13/max(a.N, 1)) }

// each calls f with the strip's n elements of each j.
func (a Along) each(at, n int, f func(lo, hi int)) {
	for j := range a.N {
		f(at+j*a.Inner, at+j*a.Inner+n)
	}
}

// tops is the greatest element of each line of a strip. A line's NaN may be left out.
func tops[T Float](a Along, top, x []T, at int) {
	copy(top, x[at:])
	for j := 1; j < a.N; j++ {
		simd.Raise(top, x[at+j*a.Inner:][:len(top)])
	}
}

// exps is y = exp(x).
func exps[T Float](y, x []T) {
	if !simd.Activate(simd.Exp, y, x, 0, 0) {
		for i, v := range x {
			y[i] = T(math.Exp(float64(v)))
		}
	}
}

// logs is the logarithms of positive sums.
func logs(sums []float64) {
	if !simd.Activate(simd.Log, sums, sums, 0, 0) {
		for i, v := range sums {
			sums[i] = math.Log(v)
		}
	}
}

// Softmax is y[j] = exp(x[j]−max)/Σ exp(x[l]−max) along each line. A line that holds NaN or +Inf,
// or nothing but −Inf, is all NaN, as in PyTorch. Sums are made in float64.
func Softmax[T Float](a Along, y, x []T) {
	n := a.N
	a.lines(func(first, last int) {
		for i := first; i < last; i++ {
			row, out := x[i*n:][:n], y[i*n:][:n]
			simd.Scale(out, out, T(1/simd.ExpSum(out, row, simd.Max(row))))
		}
	}, func(at, _, n int) {
		s, d := takeScratch[T](1), takeScratch[float64](1)
		defer s.free()
		defer d.free()
		top, sums := s.slice(0, n), d.slice(0, n)
		tops(a, top, x, at)
		clear(sums)
		a.each(at, n, func(lo, hi int) {
			simd.ExpAdd(y[lo:hi], x[lo:hi], top, sums)
		})
		for i, v := range sums {
			top[i] = T(1 / v)
		}
		a.each(at, n, func(lo, hi int) { simd.Combine(Times, y[lo:hi], y[lo:hi], top) })
	})
}

// LogSoftmax is y[j] = x[j] − log Σ exp(x[l]) along each line, relative to the line's greatest
// element. It is NaN where Softmax is.
func LogSoftmax[T Float](a Along, y, x []T) {
	n := a.N
	a.lines(func(first, last int) {
		for i := first; i < last; i++ {
			row, out := x[i*n:][:n], y[i*n:][:n]
			top := simd.Max(row)
			log := math.Log(simd.ExpSum(out, row, top))
			simd.Standard(out, row, nil, top, 1, T(-log), false)
		}
	}, func(at, _, n int) {
		s, d := takeScratch[T](2), takeScratch[float64](1)
		defer s.free()
		defer d.free()
		top, log, sums := s.slice(0, n), s.slice(1, n), d.slice(0, n)
		logSums(a, top, log, sums, x, at)
		for i, v := range sums {
			log[i] = T(v)
		}
		a.each(at, n, func(lo, hi int) {
			simd.Combine(Minus, y[lo:hi], x[lo:hi], top)
			simd.Combine(Minus, y[lo:hi], y[lo:hi], log)
		})
	})
}

// logSums is the greatest element of each line of a strip and log Σ exp(x − top). It overwrites e.
func logSums[T Float](a Along, top, e []T, sums []float64, x []T, at int) {
	tops(a, top, x, at)
	clear(sums)
	a.each(at, len(top), func(lo, hi int) { simd.ExpAdd(e, x[lo:hi], top, sums) })
	logs(sums)
}

// LogSoftmaxBackward is dx[j] = dy[j] − exp(y[j])·Σ dy[l] along each line.
func LogSoftmaxBackward[T Float](a Along, dx, y, dy []T) {
	n := a.N
	a.lines(func(first, last int) {
		for i := first; i < last; i++ {
			out, row, d := dx[i*n:][:n], y[i*n:][:n], dy[i*n:][:n]
			simd.ExpSum(out, row, 0)
			simd.Blend(out, d, out, 1, T(-simd.Sum64(d)))
		}
	}, func(at, _, n int) {
		s, d := takeScratch[T](1), takeScratch[float64](1)
		defer s.free()
		defer d.free()
		total, sums := s.slice(0, n), d.slice(0, n)
		clear(sums)
		a.each(at, n, func(lo, hi int) { simd.AddWide(sums, dy[lo:hi]) })
		for i, v := range sums {
			total[i] = T(v)
		}
		a.each(at, n, func(lo, hi int) {
			exps(dx[lo:hi], y[lo:hi])
			simd.Combine(Times, dx[lo:hi], dx[lo:hi], total)
			simd.Combine(Minus, dx[lo:hi], dy[lo:hi], dx[lo:hi])
		})
	})
}

// SoftmaxBackward is dx[j] = y[j]·(dy[j] − Σ dy[l]·y[l]) along each line.
func SoftmaxBackward[T Float](a Along, dx, y, dy []T) {
	n := a.N
	a.lines(func(first, last int) {
		for i := first; i < last; i++ {
			out, row, d := dx[i*n:][:n], y[i*n:][:n], dy[i*n:][:n]
			_, mean := simd.SumDot(d, row, 0)
			simd.CombineNumber(Minus, out, d, T(mean))
			simd.Combine(Times, out, out, row)
		}
	}, func(at, _, n int) {
		s, d := takeScratch[T](1), takeScratch[float64](1)
		defer s.free()
		defer d.free()
		mean, sums := s.slice(0, n), d.slice(0, n)
		clear(sums)
		a.each(at, n, func(lo, hi int) { simd.AddWideProduct(sums, dy[lo:hi], y[lo:hi]) })
		for i, v := range sums {
			mean[i] = T(v)
		}
		a.each(at, n, func(lo, hi int) {
			simd.Combine(Minus, dx[lo:hi], dy[lo:hi], mean)
			simd.Combine(Times, dx[lo:hi], dx[lo:hi], y[lo:hi])
		})
	})
}

// CrossEntropy returns Σ log Σ_j exp(x[j]) − x[label] over the lines, the sum of their −log softmax
// at their labels, without the lines whose label is ignore. It never overflows for finite x unless
// the sum itself does. NaN where Softmax is. Other labels must be in [0, N).
func CrossEntropy[T Float](a Along, x []T, labels []int, ignore int) (total float64) {
	if a.Outer*a.Inner == 0 {
		return 0
	}
	s := takeScratch[float64](1)
	defer s.free()
	parts := s.slice(0, a.part(a.Outer*a.Inner-1)+1) // a sum for each span or strip
	clear(parts)
	n := a.N
	a.lines(func(first, last int) {
		s := takeScratch[T](1)
		defer s.free()
		e, sum := s.slice(0, n), 0.0
		for i := first; i < last; i++ {
			if labels[i] == ignore {
				continue
			}
			row := x[i*n:][:n]
			top := simd.Max(row)
			sum += math.Log(simd.ExpSum(e, row, top)) - (float64(row[labels[i]]) - float64(top))
		}
		parts[a.part(first)] = sum
	}, func(at, line, n int) {
		s, d := takeScratch[T](2), takeScratch[float64](1)
		defer s.free()
		defer d.free()
		top, log, sum := s.slice(0, n), d.slice(0, n), 0.0
		logSums(a, top, s.slice(1, n), log, x, at)
		for i, l := range labels[line:][:n] {
			if l != ignore {
				sum += log[i] - (float64(x[at+l*a.Inner+i]) - float64(top[i]))
			}
		}
		parts[a.part(line)] = sum
	})
	for _, v := range parts {
		total += v
	}
	return total
}

// At is where element j of a line lies.
func (a Along) At(line, j int) int { return (line/a.Inner*a.N+j)*a.Inner + line%a.Inner }

// LabelLosses is e[i] = −Σ_j w[j]·q·logp[j] for each line i, q being 1 − s + s/N where j is the
// line's label and s/N elsewhere, and 0 where the label is ignored. nil weights are ones.
func LabelLosses[T Float](a Along, e, logp []T, labels []int, w []T, ignore int, s float64) {
	weight := func(j int) float64 {
		if w == nil {
			return 1
		}
		return float64(w[j])
	}
	// finish makes the loss of a line from its sum over all classes.
	finish := func(line int, all float64) {
		l := labels[line]
		if e[line] = 0; l != ignore {
			e[line] = T(-((1-s)*weight(l)*float64(logp[a.At(line, l)]) + s/float64(a.N)*all))
		}
	}
	if s == 0 {
		workers.Spans(len(e), workers.Chunk, func(lo, hi int) {
			for i := lo; i < hi; i++ {
				finish(i, 0)
			}
		})
		return
	}
	n := a.N
	a.lines(func(first, last int) {
		for i := first; i < last; i++ {
			row, all := logp[i*n:][:n], 0.0
			if w == nil {
				all = simd.Sum64(row)
			} else {
				_, all = simd.SumDot(row, w, 0)
			}
			finish(i, all)
		}
	}, func(at, line, n int) {
		d := takeScratch[float64](1)
		defer d.free()
		all := d.slice(0, n)
		clear(all)
		for j := range a.N {
			part := logp[at+j*a.Inner:][:n]
			if w == nil {
				simd.AddWide(all, part)
				continue
			}
			for i, v := range part {
				all[i] += weight(j) * float64(v)
			}
		}
		for i, v := range all {
			finish(line+i, v)
		}
	})
}

// LabelSlopes is the adjoint of LabelLosses: d[j] = −w[j]·q·dE[i] along each line i. dE may be
// infinite where the label is ignored.
func LabelSlopes[T Float](a Along, d, dE []T, labels []int, w []T, ignore int, s float64) {
	clear(d)
	share := s / float64(a.N)
	weight := func(j int) T {
		if w == nil {
			return 1
		}
		return w[j]
	}
	// at sets the element of the label.
	at := func(line int) {
		if l := labels[line]; l != ignore {
			d[a.At(line, l)] = T(-float64(weight(l)) * (1 - s + share) * float64(dE[line]))
		}
	}
	n := a.N
	a.lines(func(first, last int) {
		for i := first; i < last; i++ {
			if s != 0 && labels[i] != ignore {
				row, by := d[i*n:][:n], T(-share*float64(dE[i]))
				if w == nil {
					simd.Fill(row, by)
				} else {
					simd.Scale(row, w, by)
				}
			}
			at(i)
		}
	}, func(from, line, n int) {
		if s != 0 {
			b := takeScratch[T](1)
			defer b.free()
			by := b.slice(0, n)
			for i := range by {
				if by[i] = 0; labels[line+i] != ignore {
					by[i] = T(-share * float64(dE[line+i]))
				}
			}
			for j := range a.N {
				simd.Scale(d[from+j*a.Inner:][:n], by, weight(j))
			}
		}
		for i := range n {
			at(line + i)
		}
	})
}
