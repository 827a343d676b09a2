package kernel

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/convgrad/convgrad/internal/simd"
)

// winogradConvs reach tiles of 4 and of 2, whole and cut at both ends, blocks of filters of every
// width, several images to a task.
var winogradConvs = []convCase{
	{"whole tiles of 4", 2, 16, 8, 12, 16, 3, 3, 1, Spatial{1, 1, 1, 1, 1, 1, 1, 1}, false},
	{"cut tiles, flipped", 3, 19, 10, 15, 37, 3, 3, 1, Spatial{1, 1, 1, 1, 1, 1, 1, 1}, true},
	{"no padding", 2, 33, 9, 7, 50, 3, 3, 1, Spatial{1, 1, 1, 1, 0, 0, 0, 0}, false},
	{"padding of four kinds", 2, 20, 11, 13, 66, 3, 3, 1, Spatial{1, 1, 1, 1, 2, 0, 1, 2}, true},
	{"padding wider than the filter", 1, 18, 6, 7, 18, 3, 3, 1, Spatial{1, 1, 1, 1, 4, 3, 5, 6}, false},
	{"two groups", 2, 38, 9, 11, 34, 3, 3, 2, Spatial{1, 1, 1, 1, 1, 1, 1, 1}, false},
	{"sums longer than a block of depth", 1, 300, 5, 6, 17, 3, 3, 1, Spatial{1, 1, 1, 1, 1, 1, 1, 1}, false},
	{"tiles of 2", 3, 17, 2, 10, 18, 3, 3, 1, Spatial{1, 1, 1, 1, 1, 1, 1, 1}, false},
	{"tiles of 2, flipped", 2, 40, 2, 2, 33, 3, 3, 1, Spatial{1, 1, 1, 1, 1, 1, 1, 1}, true},
}

// anyWinograd has Winograd's algorithm run wherever it can, until restore is called.
func anyWinograd[T Float]() (restore func()) {
	for i := range candidates[T]() {
		if c := &candidates[T]()[i]; c.name == "winograd" {
			saved := c.acceptsPart
			c.acceptsPart = func(p *correlation[T]) string {
				if why := saved(p); !p.winograd || p.tile == 0 {
					return why
				}
				return ""
			}
			restore = func() { c.acceptsPart = saved }
		}
	}
	for i := range candidates[T]() {
		if c := &candidates[T]()[i]; c.name == "winograd gradient" {
			saved, others := c.acceptsGradient, restore
			c.acceptsGradient = func(f *filterGradient[T]) string {
				if side, _ := f.winogradSide(); side == 0 {
					return saved(f)
				}
				return ""
			}
			return func() { c.acceptsGradient = saved; others() }
		}
	}
	panic("no candidate has this name")
}

func TestWinograd(t *testing.T) {
	everyTier(t, func(t *testing.T) { both(t, testWinograd[float32], testWinograd[float64]) })
}

func testWinograd[T Float](t *testing.T) {
	defer anyWinograd[T]()()
	const seed = 51
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 52))
	for _, c := range winogradConvs {
		g, err := NewConv(c.n, c.c, c.h, c.w, c.k, c.r, c.s, c.g, c.sp, c.flip)
		if err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		g.Winograd = true
		t.Run(c.name, func(t *testing.T) {
			var d yard[T]
			x, w, dy, b := uniform[T](r, g.XLen()), uniform[T](r, g.WLen()), uniform[T](r, g.YLen()), uniform[T](r, g.K)
			// Tiles of 2 add and halve: with integers they are exact.
			exact := g.P == 2
			if exact {
				x, w, dy, b = integers[T](r, g.XLen(), 4), integers[T](r, g.WLen(), 4), integers[T](r, g.YLen(), 4), integers[T](r, g.K, 9)
			}
			x, w, dy, b = d.put(x), d.put(w), d.put(dy), d.put(b)
			wantY, wantX, wantW := make([]float64, g.YLen()), make([]float64, g.XLen()), make([]float64, g.WLen())
			g.Taps(func(yi, xi, wi int) {
				wantY[yi] += float64(x[xi]) * float64(w[wi])
				wantX[xi] += float64(dy[yi]) * float64(w[wi])
				wantW[wi] += float64(dy[yi]) * float64(x[xi])
			})
			// the sums to compare with are rounded in float64, too
			forward, back, filter := WinogradBound(g, unit[T]()+0x1p-53)
			if exact {
				forward, back, filter = 0, 0, 0
			}
			worst := 0.0
			compare := func(what string, got []T, want func(i int) float64, bound float64) {
				t.Helper()
				for i, v := range got {
					e := math.Abs(float64(v) - want(i))
					worst = max(worst, e)
					if !(e <= bound) {
						t.Fatalf("%s: element %d is %v, want %v ± %g", what, i, v, want(i), bound)
					}
				}
			}
			y, dx := d.empty(g.YLen()), d.empty(g.XLen())
			Forward(g, y, x, w, nil, false)
			compare("Forward", y, func(i int) float64 { return wantY[i] }, forward)
			Forward(g, y, x, w, b, true)
			compare("Forward with bias and ReLU", y, func(i int) float64 { return max(0, wantY[i]+float64(b[i/(g.P*g.Q)%g.K])) }, forward)
			BackwardData(g, dx, dy, w)
			compare("BackwardData", dx, func(i int) float64 { return wantX[i] }, back)
			t.Logf("worst error %.3g, bound %.3g", worst, min(forward, back))
			dw := d.empty(g.WLen())
			worst = 0
			BackwardFilter(g, dw, dy, x)
			compare("BackwardFilter", dw, func(i int) float64 { return wantW[i] }, filter)
			d.check(t)
			t.Logf("of the filters' gradient %.3g, bound %.3g", worst, filter)
		})
	}
}

// Where vectors are to be had the algorithm is in use, and it gives other bits than the direct sum;
// or else the tests above test nothing.
func TestWinogradIsUsed(t *testing.T) {
	everyTier(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(53, 54))
		g, err := NewConv(2, 32, 12, 12, 32, 3, 3, 1, Spatial{1, 1, 1, 1, 1, 1, 1, 1}, false)
		if err != nil {
			t.Fatal(err)
		}
		x, w, dy := uniform[float32](r, g.XLen()), uniform[float32](r, g.WLen()), uniform[float32](r, g.YLen())
		run := func() (y, dw []float32) {
			y, dw = make([]float32, g.YLen()), make([]float32, g.WLen())
			Forward(g, y, x, w, nil, false)
			BackwardFilter(g, dw, dy, x)
			return y, dw
		}
		y, dw := run()
		g.Winograd = true
		y2, dw2 := run()
		for _, differs := range []bool{!slices.Equal(y, y2), !slices.Equal(dw, dw2)} {
			if differs != (simd.NewLaneShape[float32]().Vectors > 0) {
				t.Errorf("differs from the direct sum: %v", differs)
			}
		}
	})
}

func TestWinogradThreads(t *testing.T) {
	defer anyWinograd[float32]()()
	everyTier(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(55, 56))
		g, err := NewConv(3, 20, 22, 23, 40, 3, 3, 1, Spatial{1, 1, 1, 1, 1, 1, 1, 1}, false)
		if err != nil {
			t.Fatal(err)
		}
		g.Winograd = true
		x, w, dy := uniform[float32](r, g.XLen()), uniform[float32](r, g.WLen()), uniform[float32](r, g.YLen())
		everyThreads(t, "Winograd", func() []float32 {
			y, dx, dw := make([]float32, g.YLen()), make([]float32, g.XLen()), make([]float32, g.WLen())
			Forward(g, y, x, w, nil, true)
			BackwardData(g, dx, dy, w)
			BackwardFilter(g, dw, dy, x)
			return slices.Concat(y, dx, dw)
		})
	})
}

// Operands near the largest float, and such as are not finite, have the bits of the direct sum:
// Winograd's intermediate sums would overflow where it does not.
func TestWinogradStepsBack(t *testing.T) {
	everyTier(t, func(t *testing.T) { both(t, testWinogradStepsBack[float32], testWinogradStepsBack[float64]) })
}

func testWinogradStepsBack[T Float](t *testing.T) {
	defer anyWinograd[T]()()
	const seed = 87
	r := rand.New(rand.NewPCG(seed, 0))
	largest := math.MaxFloat64
	if unit[T]() == 0x1p-24 {
		largest = math.MaxFloat32
	}
	for _, c := range winogradConvs {
		g, err := NewConv(c.n, c.c, c.h, c.w, c.k, c.r, c.s, c.g, c.sp, c.flip)
		if err != nil {
			t.Fatal(err)
		}
		for _, odd := range []struct {
			name string
			x, w float64 // factors of all elements
			one  float64 // put in the place of one
		}{
			{"the largest x", largest, 1 / float64(20*g.C), 0.5},
			{"the largest w", 1 / float64(20*g.C*g.K), largest, 0.5},
			{"large both", math.Sqrt(largest) / 4, math.Sqrt(largest) / float64(36*max(g.C, g.K)), 0.5},
			{"NaN", 1, 1, math.NaN()},
			{"an infinity", 1, 1, math.Inf(-1)},
		} {
			x, w, dy := uniform[T](r, g.XLen()), uniform[T](r, g.WLen()), uniform[T](r, g.YLen())
			if odd.one != 0.5 && g.Groups > 1 {
				continue // the groups without it are made by Winograd's algorithm
			}
			x[g.XLen()/2], dy[g.YLen()/2] = T(odd.one), T(odd.one)
			for _, s := range [][]T{x, dy} {
				for i := range s {
					s[i] *= T(odd.x)
				}
			}
			for i := range w {
				w[i] *= T(odd.w)
			}
			y, want, dx, wantX := make([]T, g.YLen()), make([]T, g.YLen()), make([]T, g.XLen()), make([]T, g.XLen())
			direct := g
			g.Winograd, direct.Winograd = true, false
			Forward(g, y, x, w, nil, false)
			Forward(direct, want, x, w, nil, false)
			same(t, c.name+", "+odd.name+", y", y, want)
			BackwardData(g, dx, dy, w)
			BackwardData(direct, wantX, dy, w)
			same(t, c.name+", "+odd.name+", dx", dx, wantX)
			if odd.x == 1 || odd.x == largest { // or else nothing overflows
				dw, wantW := make([]T, g.WLen()), make([]T, g.WLen())
				BackwardFilter(g, dw, dy, x)
				BackwardFilter(direct, wantW, dy, x)
				same(t, c.name+", "+odd.name+", dw", dw, wantW)
			}
		}
	}
}
