package kernel

import (
	"github.com/convgrad/convgrad/internal/simd"
	"github.com/convgrad/convgrad/internal/workers"
)

// Rows are M rows that are normalised each by itself and then scaled, of PerRow·Plane elements:
// each Plane elements share a scale, and the rows of a Period have scales of their own. Element j
// of row i has scale i mod Period · PerRow + ⌊j/Plane⌋.
//
//	LayerNorm of M×D:                 PerRow D, Plane 1, Period 1
//	GroupNorm of N×C×L in G groups:   M N·G, PerRow C/G, Plane L, Period G
type Rows struct{ M, PerRow, Plane, Period int }

// Len is the number of elements of a row, Scales that of the scales.
func (g Rows) Len() int    { return g.PerRow * g.Plane }
func (g Rows) Scales() int { return g.PerRow * g.Period }

// Norm is the geometry without scales.
func (g Rows) Norm() Norm { return RowNorm(g.M, g.Len(), NormBatch) }

// at is the first scale of a row.
func (g Rows) at(row int) int { return row % g.Period * g.PerRow }

// RowNormalise is y = (x − mean)/√(variance + eps)·scale + bias for each row. Where measure is set
// it also makes the moments, as Moments does, while the row is in a cache. y may be x itself.
func RowNormalise[T Float](g Rows, y, x, scale, bias, moments []T, eps float64, measure bool) {
	n, d := g.Norm(), g.Len()
	workers.Spans(g.M, max(1, workers.Chunk/max(1, d)), func(lo, hi int) {
		for i := lo; i < hi; i++ {
			from, to := x[i*d:][:d], y[i*d:][:d]
			if measure {
				rowMoments(&n, moments, from, i)
			}
			mean, inv := centre(&n, moments, i, eps)
			a, b := scale[g.at(i):][:g.PerRow], bias[g.at(i):][:g.PerRow]
			if g.Plane == 1 {
				simd.StandardEach(to, from, a, b, T(mean), T(inv))
				continue
			}
			for k := range a {
				simd.Standard(to[k*g.Plane:][:g.Plane], from[k*g.Plane:][:g.Plane], nil, T(mean), T(inv*float64(a[k])), b[k], false)
			}
		}
	})
}

// rowMoments is momentsOf for row i.
func rowMoments[T Float](n *Norm, moments, row []T, i int) {
	var mean, squares float64
	if n.Run < 32 {
		mean = sum64(row) / float64(n.Run)
		squares = deviation(row, mean)
	} else {
		one := Norm{1, 1, n.Run, n.Run, 0, n.Mode}
		mean, squares = moments1(&one, 0, row)
	}
	moments[i], moments[n.Groups+i] = T(mean), T(squares/float64(n.Run))
}

// parts says how many rows are added to one set of sums, how many sets there are, and how many
// scales a set has. A set has those of a single row where planes are long, so that few images are
// work for many cores, and all scales elsewhere.
func (g Rows) parts() (each, parts, width int) {
	each, width = 1, g.PerRow
	if g.Period == 1 || g.Plane < 32 {
		each, width = g.Period*max(1, 2*workers.Chunk/max(1, g.Len()*g.Period)), g.Scales()
	}
	return each, (g.M + each - 1) / each, width
}

// RowBackward is the derivatives of RowNormalise, the moments being those of x. With g = dy·scale
// and means over a row,
//
//	dx = (g − mean(g) − x̂·mean(g·x̂))/√(variance + eps)
//
// and sums are Σdy for each scale, and after all of these Σ dy·x̂: the derivatives by bias and
// scale. dx or sums may be nil. dx must not be dy or x.
func RowBackward[T Float](g Rows, sums, dx, dy, x, scale, moments []T, eps float64) {
	n, d := g.Norm(), g.Len()
	each, parts, width := g.parts()
	s := takeScratch[float64](2)
	defer s.free()
	all := s.slice(0, max(1, 2*parts*width))
	clear(all)
	workers.Spans(parts, 1, func(lo, hi int) {
		for p := lo; p < hi; p++ {
			own := all[2*p*width:][:2*width]
			for i := p * each; i < min(g.M, (p+1)*each); i++ {
				at := 0
				if width == g.Scales() {
					at = g.at(i)
				}
				var to, by []T
				if dx != nil {
					to = dx[i*d:][:d]
				}
				if scale != nil {
					by = scale[g.at(i):][:g.PerRow]
				}
				mean, inv := centre(&n, moments, i, eps)
				rowBackward(g, own[at:][:g.PerRow], own[width+at:][:g.PerRow], to, dy[i*d:][:d], x[i*d:][:d], by, mean, inv)
			}
		}
	})
	if sums == nil {
		return
	}
	scales := g.Scales()
	totals := s.slice(1, max(1, 2*scales))
	clear(totals)
	for p := range parts {
		at := 0
		if width != scales {
			at = g.at(p)
		}
		for k, v := range all[2*p*width:][:width] {
			totals[at+k] += v
			totals[scales+at+k] += all[2*p*width+width+k]
		}
	}
	for i := range 2 * scales {
		sums[i] = T(totals[i])
	}
}

// rowBackward does one row, and adds to the sums of its scales. dx may be nil, and scale where it
// is.
func rowBackward[T Float](g Rows, sums, dots []float64, dx, dy, x, scale []T, mean, inv float64) {
	count := float64(len(x))
	var sum, dot float64
	if g.Plane == 1 {
		w := scale
		if w == nil {
			w = dy // any numbers: what they weigh is not needed
		}
		sum, dot = simd.SumDotEach(sums, dots, dy, x, w, mean, inv)
	} else {
		for k := range sums {
			a, b := simd.SumDot(dy[k*g.Plane:][:g.Plane], x[k*g.Plane:][:g.Plane], mean)
			sums[k] += a
			dots[k] += b * inv
			if scale != nil {
				sum += a * float64(scale[k])
				dot += b * float64(scale[k])
			}
		}
	}
	if dx == nil {
		return
	}
	// The parts that the row's moments owe to x.
	b, c := T(inv*sum/count), T(inv*inv*inv*dot/count)
	if g.Plane == 1 {
		simd.StandardBackwardEach(dx, dy, x, scale, T(mean), T(inv), b, c)
		return
	}
	for k := range scale {
		simd.StandardBackward(dx[k*g.Plane:][:g.Plane], dy[k*g.Plane:][:g.Plane], x[k*g.Plane:][:g.Plane], T(mean), T(inv*float64(scale[k])), b, c)
	}
}
