package kernel

import "math"

// LpForward is y = (Σ|x|ᵖ)^(1/p) over each window, scaled by the window's largest |x|, so that it
// neither overflows nor underflows where y itself does not.
func LpForward[T Float](g Pool, p float64, y, x []T) {
	g.eachWindow(func(yi, first int, row, col rect) {
		top := 0.0
		g.eachTap(first, row, col, func(i int) { top = max(top, math.Abs(float64(x[i]))) })
		if top == 0 || math.IsInf(top, 0) || math.IsNaN(top) {
			y[yi] = T(top)
			return
		}
		sum := 0.0
		g.eachTap(first, row, col, func(i int) { sum += math.Pow(math.Abs(float64(x[i]))/top, p) })
		y[yi] = T(top * math.Pow(sum, 1/p))
	})
}

// LpBackward is dx[i] = Σ over i's windows of dy·sign(x[i])·(|x[i]|/y)ᵖ⁻¹, where a window with y =
// 0 gives 0.
func LpBackward[T Float](g Pool, p float64, dx, x, y, dy []T) {
	in := g.H * g.W
	g.planes(func(plane int) { clear(dx[plane*in:][:in]) })
	g.eachWindow(func(yi, first int, row, col rect) {
		norm, d := float64(y[yi]), float64(dy[yi])
		if norm == 0 {
			return
		}
		g.eachTap(first, row, col, func(i int) {
			v := float64(x[i])
			switch {
			case v > 0:
				dx[i] += T(d * math.Pow(v/norm, p-1))
			case v < 0:
				dx[i] -= T(d * math.Pow(-v/norm, p-1))
			case v != v:
				dx[i] = T(v)
			}
		})
	})
}

// eachWindow calls f for each window, in parallel over the planes and in order within one: yi is
// the output element, and row and col the window's part that is not padding, of the plane that
// begins at element first of x.
func (g *Pool) eachWindow(f func(yi, first int, row, col rect)) {
	rows, cols := g.Rows.inside(), g.Cols.inside()
	g.planes(func(plane int) {
		for p, row := range rows {
			for q, col := range cols {
				f((plane*g.P+p)*g.Q+q, plane*g.H*g.W, row, col)
			}
		}
	})
}

// eachTap calls f with the index of each element of a window.
func (g *Pool) eachTap(first int, row, col rect, f func(i int)) {
	for r := range row.taps {
		at := first + (row.first+r*g.Rows.Dilation)*g.W + col.first
		for s := range col.taps {
			f(at + s*g.Cols.Dilation)
		}
	}
}
