package kernel

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/convgrad/convgrad/internal/workers"
)

func TestPReLU(t *testing.T) {
	everyTier(t, func(t *testing.T) { both(t, testPReLU[float32], testPReLU[float64]) })
}

// A value and a derivative are one product. Their sum over n elements rounds once to T, and in
// float64 by n units of it.
func testPReLU[T Float](t *testing.T) {
	const seed = 88
	r := rand.New(rand.NewPCG(seed, 0))
	for _, a := range []Along{{3, 2, 1}, {2, 3, 5}, {2, 3, 16}, {1, 4, 37}, {2, 2, 1500}} {
		for _, channels := range []int{1, a.N} {
			var d yard[T]
			n := a.Outer * a.N * a.Inner
			x, dy, slopes := uniform[T](r, n), uniform[T](r, n), uniform[T](r, channels)
			x[0], x[1], x[n-1] = 0, T(math.Copysign(0, -1)), T(math.Inf(1))
			x, dy, slopes = d.put(x), d.put(dy), d.put(slopes)
			y, dx, ds := d.empty(n), d.empty(n), d.empty(channels)
			PReLU(a, y, x, slopes)
			PReLUBackward(a, dx, dy, x, slopes)
			PReLUSlopes(a, ds, dy, x)
			wantY, wantDx := make([]T, n), make([]T, n)
			sums, bound := make([]float64, channels), make([]float64, channels)
			for i, v := range x {
				c := i / a.Inner % a.N % channels
				if wantY[i], wantDx[i] = v, dy[i]; !(v > 0) {
					wantY[i], wantDx[i] = v*slopes[c], dy[i]*slopes[c]
					sums[c] += float64(v) * float64(dy[i])
					bound[c] += math.Abs(float64(v)*float64(dy[i])) * (unit[T]() + float64(n)*0x1p-52)
				}
			}
			what := fmt.Sprintf("seed %d, %v, %d slopes", seed, a, channels)
			same(t, what, y, wantY)
			same(t, what+", derivative", dx, wantDx)
			within(t, what+", derivative by the slopes", ds, sums, bound)
			d.check(t)
			x[n/2] = T(math.NaN())
			if PReLU(a, y, x, slopes); y[n/2] == y[n/2] {
				t.Errorf("%s: %v of NaN", what, y[n/2])
			}
			PReLUSlopes(a, ds, dy, x)
			if v := ds[n/2/a.Inner%a.N%channels]; v == v {
				t.Errorf("%s: the derivative by a slope is %v, with a NaN in x", what, v)
			}
		}
	}
}

func TestPReLUThreads(t *testing.T) {
	r := rand.New(rand.NewPCG(89, 0))
	for _, a := range []Along{{2, 3, workers.Chunk / 2}, {1, 1, 3*workers.Chunk + 5}} {
		x := uniform[float32](r, a.Outer*a.N*a.Inner)
		slopes := uniform[float32](r, a.N)
		everyThreads(t, "PReLU", func() []float32 {
			y, ds := make([]float32, len(x)), make([]float32, a.N)
			PReLU(a, y, x, slopes)
			PReLUBackward(a, y, y, x, slopes)
			PReLUSlopes(a, ds, y, x)
			return append(y, ds...)
		})
	}
}
