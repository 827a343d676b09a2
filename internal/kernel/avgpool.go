package kernel

import "github.com/convgrad/convgrad/internal/simd"

// AvgForward is the mean of each window. The divisor is R·S where countPadding is set, otherwise
// the number of elements of the window that are not padding.
//
// A window's columns are summed first, for all windows of a row at a time, then their sums across.
func AvgForward[T Float](g Pool, y, x []T, countPadding bool) {
	if rows, cols := g.sums(); rows != nil {
		pair := newSparsePair(sparseOf[T](rows, g.H, 1), sparseOf[T](cols, g.W, 1), g.H, g.W)
		by := divisors[T](&g, countPadding)
		g.planes(func(plane int) {
			s := takeScratch[T](1)
			defer s.free()
			y := y[plane*pair.out():][:pair.out()]
			pair.plane(y, x[plane*pair.in():], s, 0)
			simd.Combine(simd.Over, y, y, by)
		})
		return
	}
	in, out := g.H*g.W, g.P*g.Q
	rows, cols := g.Rows.inside(), g.Cols.inside()
	dh, dw := g.Rows.Dilation*g.W, g.Cols.Dilation
	tiled := g.tiled()
	lo, hi := g.Cols.full()
	g.planes(func(plane int) {
		x, y := x[plane*in:][:in], y[plane*out:][:out]
		if tiled {
			avgTiles(&g, y, x)
			return
		}
		s := takeScratch[T](1)
		defer s.free()
		sums := s.slice(0, g.W)
		for p, row := range rows {
			at := row.first * g.W
			column := x[at:][:g.W]
			if row.taps > 1 {
				copy(sums, column)
				for r := 1; r < row.taps; r++ {
					simd.Add(sums, x[at+r*dh:][:g.W])
				}
				column = sums
			}
			y := y[p*g.Q:][:g.Q]
			for q := range y {
				col := cols[q]
				if lo <= q && q < hi && g.S == 3 && dw == 1 {
					c := column[col.first:][:3]
					y[q] = (c[0] + c[1] + c[2]) / T(g.divisor(row.taps*3, countPadding))
					continue
				}
				sum := column[col.first]
				for s, i := 1, col.first+dw; s < col.taps; s, i = s+1, i+dw {
					sum += column[i]
				}
				y[q] = sum / T(g.divisor(row.taps*col.taps, countPadding))
			}
		}
	})
}

// avgTiles is AvgForward for one plane of tiles.
func avgTiles[T Float](g *Pool, y, x []T) {
	done := simd.AvgPool(g.P, y, x, g.W)
	for p := range g.P {
		r0, r1 := x[2*p*g.W:][:2*g.Q], x[(2*p+1)*g.W:][:2*g.Q]
		y := y[p*g.Q:][:g.Q]
		for q := done; q < g.Q; q++ {
			y[q] = (r0[2*q] + r0[2*q+1] + r1[2*q] + r1[2*q+1]) / 4
		}
	}
}

// AvgBackward is the adjoint of AvgForward: a row of windows is spread across first, then down.
func AvgBackward[T Float](g Pool, dx, dy []T, countPadding bool) {
	if rows, cols := g.sums(); rows != nil {
		pair := newSparsePair(sparseOf[T](rows.adjoint(g.H), g.P, 1), sparseOf[T](cols.adjoint(g.W), g.Q, 1), g.P, g.Q)
		by := divisors[T](&g, countPadding)
		g.planes(func(plane int) {
			s := takeScratch[T](2)
			defer s.free()
			quotients := s.slice(1, pair.in()+simd.Slack)
			simd.Combine(simd.Over, quotients[:pair.in()], dy[plane*pair.in():], by)
			pair.plane(dx[plane*pair.out():][:pair.out()], quotients, s, 0)
		})
		return
	}
	in, out := g.H*g.W, g.P*g.Q
	rows, cols := g.Rows.inside(), g.Cols.inside()
	dh, dw := g.Rows.Dilation*g.W, g.Cols.Dilation
	tiled := g.tiled()
	lo, hi := g.Cols.full()
	g.planes(func(plane int) {
		dx, dy := dx[plane*in:][:in], dy[plane*out:][:out]
		if tiled {
			spreadTiles(&g, dx, dy)
			return
		}
		s := takeScratch[T](1)
		defer s.free()
		spread := s.slice(0, g.W)
		clear(dx)
		for p, row := range rows {
			clear(spread)
			for q, d := range dy[p*g.Q:][:g.Q] {
				col := cols[q]
				if lo <= q && q < hi && g.S == 3 && dw == 1 {
					d /= T(g.divisor(row.taps*3, countPadding))
					c := spread[col.first:][:3]
					c[0] += d
					c[1] += d
					c[2] += d
					continue
				}
				d /= T(g.divisor(row.taps*col.taps, countPadding))
				for s, i := 0, col.first; s < col.taps; s, i = s+1, i+dw {
					spread[i] += d
				}
			}
			for r := range row.taps {
				simd.Add(dx[row.first*g.W+r*dh:][:g.W], spread)
			}
		}
	})
}

// spreadTiles is AvgBackward for one plane of tiles.
func spreadTiles[T Float](g *Pool, dx, dy []T) {
	clearRest(g, dx)
	done := simd.AvgSpread(g.P, dx, dy, g.W)
	for p := range g.P {
		row0, row1 := dx[2*p*g.W:][:2*g.Q], dx[(2*p+1)*g.W:][:2*g.Q]
		dy := dy[p*g.Q:][:g.Q]
		for q := done; q < g.Q; q++ {
			d := 0 + dy[q]/4
			row0[2*q], row0[2*q+1], row1[2*q], row1[2*q+1] = d, d, d, d
		}
	}
}

// sums are the maps that sum the windows of each axis, or nil where the windows are tiles, which
// have kernels of their own, or many times as large as their distance.
func (g *Pool) sums() (rows, cols *tapMatrix) {
	if g.tiled() {
		return nil, nil
	}
	rows = AxisMap{WindowSum, g.Rows}.matrix()
	cols = AxisMap{WindowSum, g.Cols}.matrix()
	if rows == nil || cols == nil {
		return nil, nil
	}
	return rows, cols
}

// divisors are the divisors of a plane's windows.
func divisors[T Float](g *Pool, countPadding bool) []T {
	by := make([]T, 0, g.P*g.Q)
	cols := g.Cols.inside()
	for _, row := range g.Rows.inside() {
		for _, col := range cols {
			by = append(by, T(g.divisor(row.taps*col.taps, countPadding)))
		}
	}
	return by
}

func (g Pool) divisor(inside int, countPadding bool) int {
	if countPadding {
		return g.R * g.S
	}
	return inside
}
