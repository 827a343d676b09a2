package kernel

import (
	"math"

	"github.com/convgrad/convgrad/internal/simd"
)

// L2Forward is y = √Σ x² over each window, scaled so that it neither overflows nor underflows where
// y itself does not.
//
// The squares are summed in float64: down the columns first, for all windows of a row at a time,
// then across.
func L2Forward[T Float](g Pool, y, x []T) {
	in, out := g.H*g.W, g.P*g.Q
	rows, cols := g.Rows.inside(), g.Cols.inside()
	dh, dw := g.Rows.Dilation*g.W, g.Cols.Dilation
	g.planes(func(plane int) {
		x, y := x[plane*in:][:in], y[plane*out:][:out]
		s := takeScratch[float64](1)
		defer s.free()
		sums := s.slice(0, g.W)
		for p, row := range rows {
			at := row.first * g.W
			for i, v := range x[at:][:g.W] {
				sums[i] = float64(v) * float64(v)
			}
			for r := 1; r < row.taps; r++ {
				for i, v := range x[at+r*dh:][:g.W] {
					sums[i] += float64(v) * float64(v)
				}
			}
			y := y[p*g.Q:][:g.Q]
			for q := range y {
				col := cols[q]
				var sum float64
				if col.taps == 3 && dw == 1 {
					c := sums[col.first:][:3]
					sum = c[0] + c[1] + c[2]
				} else {
					for s, i := 0, col.first; s < col.taps; s, i = s+1, i+dw {
						sum += sums[i]
					}
				}
				// Squares of float32 stay within float64, those of float64 may need a scale.
				if sum < 0x1p-900 || sum > math.MaxFloat64 {
					scale := 0x1p-600
					if sum < 1 {
						scale = 0x1p600
					}
					y[q] = T(math.Sqrt(squares(x[at+col.first:], row.taps, col.taps, dh, dw, scale)) / scale)
					continue
				}
				y[q] = T(math.Sqrt(sum))
			}
		}
	})
}

// squares is Σ (scale·x)² over the window that begins at x[0].
func squares[T Float](x []T, taps, across, dh, dw int, scale float64) float64 {
	var sum float64
	for r, i := 0, 0; r < taps; r, i = r+1, i+dh {
		for s, i := 0, i; s < across; s, i = s+1, i+dw {
			v := scale * float64(x[i])
			sum += v * v
		}
	}
	return sum
}

// L2Backward is dx[i] = Σ over i's windows of x[i]·dy/y, where a window with y = 0 gives 0.
func L2Backward[T Float](g Pool, dx, x, y, dy []T) {
	if dx, ok := any(dx).([]float32); ok && !g.tiled() {
		l2Backward32(g, dx, any(x).([]float32), any(y).([]float32), any(dy).([]float32))
		return
	}
	in, out := g.H*g.W, g.P*g.Q
	rows, cols := g.Rows.inside(), g.Cols.inside()
	dh, dw := g.Rows.Dilation*g.W, g.Cols.Dilation
	g.planes(func(plane int) {
		dx, x := dx[plane*in:][:in], x[plane*in:][:in]
		dy, y := dy[plane*out:][:out], y[plane*out:][:out]
		clear(dx)
		for p, row := range rows {
			for q, col := range cols {
				norm, d := y[p*g.Q+q], dy[p*g.Q+q]
				if norm == 0 {
					continue
				}
				for r, i := 0, row.first*g.W+col.first; r < row.taps; r, i = r+1, i+dh {
					for s, i := 0, i; s < col.taps; s, i = s+1, i+dw {
						dx[i] += x[i] / norm * d // x/norm is at most 1, d/norm may overflow
					}
				}
			}
		}
	})
}

// l2Backward32 is L2Backward as x[i]·Σ dy/y, in float64, where the quotients of float32 do not
// overflow. They are spread across a row of windows first, then down.
func l2Backward32(g Pool, dx, x, y, dy []float32) {
	in, out := g.H*g.W, g.P*g.Q
	rows, cols := g.Rows.inside(), g.Cols.inside()
	dh, dw := g.Rows.Dilation*g.W, g.Cols.Dilation
	coveredRows, coveredCols := covered(rows, g.H, g.Rows.Dilation), covered(cols, g.W, dw)
	g.planes(func(plane int) {
		dx, x := dx[plane*in:][:in], x[plane*in:][:in]
		s := takeScratch[float64](2)
		defer s.free()
		spread, sums := s.slice(0, g.W), s.slice(1, in)
		clear(sums)
		for p, row := range rows {
			clear(spread)
			norms := y[plane*out+p*g.Q:][:g.Q]
			for q, d := range dy[plane*out+p*g.Q:][:g.Q] {
				if norms[q] == 0 {
					continue
				}
				ratio, col := float64(d)/float64(norms[q]), cols[q]
				for s, i := 0, col.first; s < col.taps; s, i = s+1, i+dw {
					spread[i] += ratio
				}
			}
			for r := range row.taps {
				simd.Add(sums[row.first*g.W+r*dh:][:g.W], spread)
			}
		}
		for h := range g.H {
			dx, x, sums := dx[h*g.W:][:g.W], x[h*g.W:][:g.W], sums[h*g.W:][:g.W]
			for i, v := range x {
				// An element of no window gets 0 whatever it is, and −0 is no sum.
				dx[i] = 0
				if coveredRows[h] && coveredCols[i] {
					dx[i] += float32(float64(v) * sums[i])
				}
			}
		}
	})
}

// covered says which of n elements of an axis are in a window.
func covered(windows []rect, n, dilation int) []bool {
	in := make([]bool, n)
	for _, w := range windows {
		for k := range w.taps {
			in[w.first+k*dilation] = true
		}
	}
	return in
}
