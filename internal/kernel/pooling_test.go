package kernel

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
)

// pools are the geometries that random ones seldom meet; no two sides are equal.
var pools = []struct {
	name                string
	n, c, h, w, r, s    int
	stride, dilation    [2]int
	top, bottom, lf, rt int
}{
	{"the usual one", 2, 3, 8, 10, 2, 2, [2]int{2, 2}, [2]int{1, 1}, 0, 0, 0, 0},
	{"a wide one: many vectors and a tail", 1, 2, 6, 150, 2, 2, [2]int{2, 2}, [2]int{1, 1}, 0, 0, 0, 0},
	{"odd sides leave a row and a column unread", 2, 3, 7, 9, 2, 2, [2]int{2, 2}, [2]int{1, 1}, 0, 0, 0, 0},
	{"overlapping 2×2", 1, 2, 7, 38, 2, 2, [2]int{1, 1}, [2]int{1, 1}, 0, 0, 0, 0},
	{"overlapping 3×3", 2, 3, 9, 43, 3, 3, [2]int{2, 2}, [2]int{1, 1}, 1, 1, 1, 1},
	{"3×3 side by side", 2, 3, 9, 12, 3, 3, [2]int{3, 3}, [2]int{1, 1}, 0, 0, 0, 0},
	{"2×2 with padding at two sides", 2, 3, 7, 9, 2, 2, [2]int{2, 2}, [2]int{1, 1}, 1, 0, 0, 1},
	{"dilation", 2, 1, 9, 11, 2, 3, [2]int{1, 2}, [2]int{3, 2}, 1, 2, 2, 1},
	{"2×2 with dilation across", 2, 1, 9, 11, 2, 2, [2]int{2, 2}, [2]int{1, 2}, 0, 0, 0, 0},
	{"2×2 with dilation down", 2, 1, 9, 11, 2, 2, [2]int{2, 2}, [2]int{2, 1}, 0, 0, 0, 0},
	{"one window", 2, 3, 5, 6, 5, 6, [2]int{1, 1}, [2]int{1, 1}, 0, 0, 0, 0},
	{"windows of one element", 2, 3, 5, 6, 1, 1, [2]int{1, 1}, [2]int{1, 1}, 0, 0, 0, 0},
	{"a window that is wider than the image", 1, 2, 3, 2, 3, 3, [2]int{1, 1}, [2]int{1, 1}, 1, 1, 1, 1},
	{"stride beyond the window", 1, 2, 9, 14, 2, 2, [2]int{3, 4}, [2]int{1, 1}, 0, 0, 0, 0},
	{"enough for several threads", 5, 9, 40, 62, 2, 2, [2]int{2, 2}, [2]int{1, 1}, 0, 0, 0, 0},
}

// eachPool calls f with those and with random ones.
func eachPool(t *testing.T, f func(t *testing.T, g Pool, r *rand.Rand)) {
	r := rand.New(rand.NewPCG(1, 2))
	for _, c := range pools {
		g, err := NewPool(c.n, c.c, c.h, c.w, c.r, c.s, Spatial{c.stride[0], c.stride[1], c.dilation[0], c.dilation[1], c.top, c.bottom, c.lf, c.rt})
		if err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		t.Run(c.name, func(t *testing.T) { f(t, g, r) })
	}
	for range random(150) {
		sp := Spatial{1 + r.IntN(3), 1 + r.IntN(3), 1 + r.IntN(2), 1 + r.IntN(2), r.IntN(3), r.IntN(3), r.IntN(3), r.IntN(3)}
		g, err := NewPool(1+r.IntN(3), 1+r.IntN(3), 1+r.IntN(12), 1+r.IntN(40), 1+r.IntN(4), 1+r.IntN(4), sp)
		if err == nil {
			t.Run(fmt.Sprintf("%+v", g), func(t *testing.T) { f(t, g, r) })
		}
	}
}

func TestPooling(t *testing.T) {
	everyTier(t, func(t *testing.T) { both(t, testPooling[float32], testPooling[float64]) })
}

func testPooling[T Float](t *testing.T) {
	eachPool(t, func(t *testing.T, g Pool, r *rand.Rand) {
		var d yard[T]
		// Few distinct integers: ties everywhere, and every sum exact.
		x := d.put(integers[T](r, g.XLen(), 3))
		want, got := make([]int32, g.YLen()), make([]int32, g.YLen()+1)
		got[g.YLen()] = -7
		RefMaxWinners(g, want, x)
		MaxWinners(g, got[:g.YLen()], x)
		compareWinners(t, "MaxWinners", got, want)
		clear(got[:g.YLen()])
		y := d.empty(g.YLen())
		MaxForward(g, y, got[:g.YLen()], x)
		compareWinners(t, "MaxForward", got, want)
		values := make([]T, g.YLen())
		for i, k := range want {
			values[i] = x[i/(g.P*g.Q)*(g.H*g.W)+int(k)]
		}
		same(t, "MaxForward", y, values)
		y = d.empty(g.YLen())
		Gather(g, y, x, want)
		same(t, "Gather", y, values)

		dy := d.put(integers[T](r, g.YLen(), 9))
		dx, wantX := d.empty(g.XLen()), make([]T, g.XLen())
		for i, k := range want {
			wantX[i/(g.P*g.Q)*(g.H*g.W)+int(k)] += dy[i]
		}
		Scatter(g, dx, dy, want)
		same(t, "Scatter", dx, wantX)
		// A winner outside its window is legal: the second derivative of another pool's gather, or
		// a test.
		anywhere := make([]int32, g.YLen())
		for i := range anywhere {
			anywhere[i] = int32(r.IntN(g.H * g.W))
		}
		clear(wantX)
		for i, k := range anywhere {
			wantX[i/(g.P*g.Q)*(g.H*g.W)+int(k)] += dy[i]
		}
		dx = d.empty(g.XLen())
		Scatter(g, dx, dy, anywhere)
		same(t, "Scatter to anywhere", dx, wantX)
		for i, k := range anywhere {
			values[i] = x[i/(g.P*g.Q)*(g.H*g.W)+int(k)]
		}
		Gather(g, y, x, anywhere)
		same(t, "Gather from anywhere", y, values)
		// The first of two that are outside the plane is reported, by each tier and from any
		// position.
		for _, wrong := range []int32{-1, int32(g.H * g.W), math.MinInt32} {
			bad := append([]int32(nil), want...)
			first, second := r.IntN(len(bad)), r.IntN(len(bad))
			bad[first], bad[second] = wrong, wrong
			first = min(first, second)
			if at := Gather(g, d.empty(g.YLen()), x, bad); at != first {
				t.Errorf("Gather: winner %d is %d, reported is %d", first, wrong, at)
			}
			if at := Scatter(g, d.empty(g.XLen()), dy, bad); at != first {
				t.Errorf("Scatter: winner %d is %d, reported is %d", first, wrong, at)
			}
		}

		for _, counted := range []bool{false, true} {
			// Multiples of every divisor up to 16 keep the mean an integer.
			const multiple = 720720
			sums, wantY := make([]T, g.YLen()), make([]T, g.YLen())
			RefSumWindows(g, sums, x)
			g.Windows(func(yi, _ int, at []int) { wantY[yi] = sums[yi] / T(g.divisor(len(at), counted)) })
			y := d.empty(g.YLen())
			AvgForward(g, y, x, counted)
			same(t, "AvgForward", y, wantY)

			clear(wantX)
			scaled := d.put(dy)
			for i := range scaled {
				scaled[i] = T(r.IntN(7)-3) * multiple
			}
			g.Windows(func(yi, _ int, at []int) {
				for _, i := range at {
					wantX[i] += scaled[yi] / T(g.divisor(len(at), counted))
				}
			})
			dx := d.empty(g.XLen())
			AvgBackward(g, dx, scaled, counted)
			same(t, "AvgBackward", dx, wantX)
		}

		// The sum of up to 16 squares and its root: relative error of at most (2+16)/2 units of
		// float64 and one of T.
		x = d.put(uniform[T](r, g.XLen()))
		y = d.empty(g.YLen())
		L2Forward(g, y, x)
		norms, bound := make([]float64, g.YLen()), make([]float64, g.YLen())
		g.Windows(func(yi, _ int, at []int) {
			for _, i := range at {
				norms[yi] = math.Hypot(norms[yi], float64(x[i]))
			}
			bound[yi] = norms[yi] * (40*0x1p-53 + unit[T]()) // Hypot adds a unit or two a step
		})
		within(t, "L2Forward", y, norms, bound)
		dy = d.put(uniform[T](r, g.YLen()))
		dx = d.empty(g.XLen())
		L2Backward(g, dx, x, y, dy)
		exact, slack := make([]float64, g.XLen()), make([]float64, g.XLen())
		g.Windows(func(yi, _ int, at []int) {
			for _, i := range at {
				if y[yi] != 0 {
					v := float64(x[i]) / float64(y[yi]) * float64(dy[yi])
					exact[i] += v
					slack[i] += math.Abs(v) * 20 * unit[T]() // division, product, at most 16 sums
				}
			}
		})
		within(t, "L2Backward", dx, exact, slack)
		d.check(t)
	})
}

func compareWinners(t *testing.T, what string, got, want []int32) {
	t.Helper()
	for i := range want {
		if got[i] != want[i] {
			t.Fatalf("%s: winner %d is %d, want %d", what, i, got[i], want[i])
		}
	}
	if len(got) > len(want) && got[len(want)] != -7 {
		t.Fatalf("%s wrote behind the winners", what)
	}
}

func TestPoolingSpecialValues(t *testing.T) {
	everyTier(t, func(t *testing.T) { both(t, testPoolingSpecialValues[float32], testPoolingSpecialValues[float64]) })
}

func testPoolingSpecialValues[T Float](t *testing.T) {
	nan, inf := T(math.NaN()), T(math.Inf(1))
	zero := T(math.Copysign(0, -1))
	values := []T{nan, inf, -inf, 0, zero, 1, -1}
	eachPool(t, func(t *testing.T, g Pool, r *rand.Rand) {
		x := make([]T, g.XLen())
		for _, some := range []struct {
			name   string
			values []T
		}{{"NaN everywhere", values[:1]}, {"−Inf everywhere", values[2:3]}, {"zeros of both signs", values[3:5]}, {"anything", values},
			{"mostly numbers", []T{nan, 1, 2, 3, -1, -2, -3, 4, 5, 6}}} {
			for i := range x {
				x[i] = some.values[r.IntN(len(some.values))]
			}
			want, got, y := make([]int32, g.YLen()), make([]int32, g.YLen()), make([]T, g.YLen())
			RefMaxWinners(g, want, x)
			MaxWinners(g, got, x)
			compareWinners(t, some.name, got, want)
			MaxForward(g, y, got, x)
			compareWinners(t, some.name, got, want)
			clear(got)
			MaxWinners(g, got, x)
			compareWinners(t, some.name, got, want)
			again := make([]T, g.YLen())
			Gather(g, again, x, got)
			same(t, some.name+": Gather", again, y)
			for i, k := range want {
				if v := x[i/(g.P*g.Q)*(g.H*g.W)+int(k)]; math.Float64bits(float64(v)) != math.Float64bits(float64(y[i])) && (v == v || y[i] == y[i]) {
					t.Fatalf("%s: maximum %d is %v, want %v", some.name, i, y[i], v)
				}
			}
		}
	})
}

func TestL2ForwardNeitherOverflowsNorUnderflows(t *testing.T) {
	g, err := NewPool(1, 1, 2, 2, 2, 2, Spatial{2, 2, 1, 1, 0, 0, 0, 0})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name string
		x    [4]float64
		want float64
	}{
		{"large", [4]float64{3e300, 4e300, 0, 0}, 5e300},
		{"small", [4]float64{3e-300, 4e-300, 0, 0}, 5e-300},
		{"subnormal", [4]float64{0x3p-1070, 0x4p-1070, 0, 0}, 0x5p-1070},
		{"zero", [4]float64{}, 0},
		{"infinite", [4]float64{math.Inf(-1), 1, 2, 3}, math.Inf(1)},
		{"NaN", [4]float64{math.NaN(), 1, 2, 3}, math.NaN()},
	} {
		y := make([]float64, 1)
		L2Forward(g, y, c.x[:])
		if !(math.Abs(y[0]-c.want) <= 4*0x1p-53*c.want) && y[0] != c.want && (y[0] == y[0] || c.want == c.want) {
			t.Errorf("%s: %v, want %v", c.name, y[0], c.want)
		}
	}
	y, x := make([]float32, 1), []float32{3e38, 0, 0, 0}
	if L2Forward(g, y, x); y[0] != 3e38 {
		t.Errorf("float32: %v", y[0])
	}
}

func TestPoolingThreads(t *testing.T) {
	g, err := NewPool(7, 11, 40, 62, 3, 3, Spatial{2, 2, 1, 1, 1, 1, 1, 1})
	if err != nil {
		t.Fatal(err)
	}
	r := rand.New(rand.NewPCG(3, 4))
	x, dy := uniform[float32](r, g.XLen()), uniform[float32](r, g.YLen())
	everyThreads(t, "max", func() []float32 {
		y, winner, dx := make([]float32, g.YLen()), make([]int32, g.YLen()), make([]float32, g.XLen())
		MaxForward(g, y, winner, x)
		Scatter(g, dx, dy, winner)
		return append(y, dx...)
	})
	everyThreads(t, "average", func() []float32 {
		y, dx := make([]float32, g.YLen()), make([]float32, g.XLen())
		AvgForward(g, y, x, false)
		AvgBackward(g, dx, dy, false)
		return append(y, dx...)
	})
	everyThreads(t, "L2", func() []float32 {
		y, dx := make([]float32, g.YLen()), make([]float32, g.XLen())
		L2Forward(g, y, x)
		L2Backward(g, dx, x, y, dy)
		return append(y, dx...)
	})
}

// A pooling is refused exactly where some window has no tap on the input, whatever steps over it.
func TestEmptyWindowsAreRefused(t *testing.T) {
	const seed = 91
	r := rand.New(rand.NewPCG(seed, 0))
	refused := 0
	for range random(4000) {
		w, err := newWindow("height", Window{In: 1 + r.IntN(5), Size: 1 + r.IntN(4), Stride: 1 + r.IntN(4), Dilation: 1 + r.IntN(6), Before: r.IntN(12), After: r.IntN(12)})
		if err != nil {
			continue
		}
		empty := false
		for p := range w.Out {
			taps := 0
			for s := range w.Size {
				if w.Inside(p, s) {
					taps++
				}
			}
			empty = empty || taps == 0
		}
		if empty {
			refused++
		}
		if got := w.noneEmpty("height"); (got != nil) != empty {
			t.Fatalf("seed %d, %+v: the error is %v, and that a window is empty %v", seed, w, got, empty)
		}
	}
	if refused == 0 {
		t.Error("no window was empty")
	}
}
