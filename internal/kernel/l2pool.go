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
	sum := newWindowSums(&g)
	g.planes(func(plane int) {
		x, y := x[plane*in:][:in], y[plane*out:][:out]
		s := takeScratch[float64](3)
		defer s.free()
		products, sums := s.slice(1, in+simd.Slack), s.slice(2, out)
		clear(products[:in])
		simd.AddWideProduct(products[:in], x, x)
		sum(sums, products, s)
		if !simd.Activate(simd.Sqrt, sums, sums, 0, 0) {
			for i, v := range sums {
				sums[i] = math.Sqrt(v)
			}
		}
		for p, row := range rows {
			y, roots := y[p*g.Q:][:g.Q], sums[p*g.Q:][:g.Q]
			for q, root := range roots {
				y[q] = T(root)
				// Squares of float32 stay within float64, those of float64 may need a scale.
				if root < 0x1p-450 || root > math.MaxFloat64 {
					scale := 0x1p-600
					if root < 1 {
						scale = 0x1p600
					}
					y[q] = T(math.Sqrt(squares(x[row.first*g.W+cols[q].first:], row.taps, cols[q].taps, dh, dw, scale)) / scale)
				}
			}
		}
	})
}

// newWindowSums returns a function that sums the windows of the plane x. It uses the scratch buffer
// 0.
func newWindowSums(g *Pool) func(y, x []float64, s *scratch[float64]) {
	rows, cols := AxisMap{WindowSum, g.Rows}, AxisMap{WindowSum, g.Cols}
	if down, across := rows.matrix(), cols.matrix(); down != nil && across != nil {
		pair := newSparsePair(sparseOf[float64](down, g.H, 1), sparseOf[float64](across, g.W, 1), g.H, g.W)
		return func(y, x []float64, s *scratch[float64]) { pair.plane(y, x, s, 0) }
	}
	return func(y, x []float64, _ *scratch[float64]) { resampleRuns(rows, cols, y, x[:g.H*g.W], 1, 1) }
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
