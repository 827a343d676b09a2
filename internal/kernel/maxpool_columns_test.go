package kernel

import (
	"math"
	"math/rand/v2"
	"testing"
)

// The winner of each window, among ties, zeros of both signs, infinities and NaN, is the first that
// plain loops find.
func TestAdaptiveWinners(t *testing.T) {
	everyTier(t, func(t *testing.T) { both(t, testAdaptiveWinners[float32], testAdaptiveWinners[float64]) })
}

func testAdaptiveWinners[T Float](t *testing.T) {
	seed := rand.Uint64()
	r := rand.New(rand.NewPCG(seed, 9))
	values := []float64{-1, math.Copysign(0, -1), 0, 1, math.Inf(1), math.Inf(-1), math.NaN(), math.Copysign(math.NaN(), -1)}
	for k := range random(200) {
		const planes = 3
		rows, cols := Window{In: 1 + r.IntN(9), Out: 1 + r.IntN(9)}, Window{In: 1 + r.IntN(40), Out: 1 + r.IntN(12)}
		if k%3 == 0 { // windows of one size
			rows.In, cols.In = rows.Out*(1+r.IntN(3)), cols.Out*(1+r.IntN(7))
		}
		var d yard[T]
		x := d.put(integers[T](r, planes*rows.In*cols.In, 2))
		for i := range x {
			if k%2 == 0 && r.IntN(4) == 0 {
				x[i] = T(values[r.IntN(len(values))])
			}
		}
		g := Pool{N: 1, C: planes, H: rows.In, W: cols.In, P: rows.Out, Q: cols.Out, Rows: rows, Cols: cols}
		got, again := make([]int32, g.YLen()), make([]int32, g.YLen())
		AdaptiveMax(g, nil, got, x)
		y := d.empty(g.YLen())
		AdaptiveMax(g, y, again, x)
		d.check(t)
		compareWinners(t, "with values", again, got)
		for i, g := range got {
			plane := i / (rows.Out * cols.Out)
			x := x[plane*rows.In*cols.In:][:rows.In*cols.In]
			top, bottom := rows.adaptive(i / cols.Out % rows.Out)
			left, right := cols.adaptive(i % cols.Out)
			best := top*cols.In + left
			for h := top; h < bottom; h++ {
				for w := left; w < right; w++ {
					if v, b := x[h*cols.In+w], x[best]; v > b || v != v && b == b {
						best = h*cols.In + w
					}
				}
			}
			if v := y[i]; v != x[best] && (v == v || x[best] == x[best]) {
				t.Fatalf("seed %d, rows %+v, cols %+v: value %d is %v, want %v", seed, rows, cols, i, v, x[best])
			}
			if int(g) != best {
				t.Fatalf("seed %d, rows %+v, cols %+v: winner %d is %d, %v, want %d, %v", seed, rows, cols, i, g, x[g], best, x[best])
			}
		}
	}
}
