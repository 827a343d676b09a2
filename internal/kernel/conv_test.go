package kernel

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
)

type convCase struct {
	name                   string
	n, c, h, w, k, r, s, g int
	sp                     Spatial
	flip                   bool
}

// convs are the geometries that random ones seldom meet; no two sides are equal.
var convs = []convCase{
	{"the article's: one channel, no padding", 2, 1, 9, 8, 1, 2, 3, 1, Spatial{1, 1, 1, 1, 0, 0, 0, 0}, true},
	{"rows of whole vectors, where they lie", 3, 2, 5, 32, 3, 1, 1, 1, Spatial{1, 1, 1, 1, 0, 0, 0, 0}, false},
	{"rows of whole vectors that overlap", 2, 2, 6, 34, 8, 3, 3, 1, Spatial{1, 1, 1, 1, 0, 0, 0, 0}, false},
	{"a LeNet layer", 3, 6, 14, 13, 16, 5, 4, 1, Spatial{1, 1, 1, 1, 0, 0, 0, 0}, false},
	{"same padding", 2, 3, 11, 10, 9, 3, 3, 1, Spatial{1, 1, 1, 1, 1, 1, 1, 1}, false},
	{"padding of four kinds", 2, 3, 7, 8, 4, 3, 2, 1, Spatial{1, 1, 1, 1, 0, 1, 2, 3}, true},
	{"padding wider than the filter", 2, 2, 3, 4, 3, 2, 1, 1, Spatial{1, 1, 1, 1, 4, 3, 2, 5}, false},
	{"stride leaves a row unread", 2, 3, 8, 10, 4, 3, 3, 1, Spatial{2, 2, 1, 1, 0, 0, 0, 0}, false},
	{"strides differ", 2, 3, 12, 11, 4, 3, 4, 1, Spatial{2, 3, 1, 1, 1, 0, 2, 1}, true},
	{"stride wider than the filter", 2, 3, 11, 12, 5, 2, 1, 1, Spatial{3, 4, 1, 1, 0, 1, 1, 0}, false},
	{"stride beyond the image", 2, 3, 2, 3, 5, 1, 2, 1, Spatial{5, 7, 1, 1, 1, 4, 1, 6}, false},
	{"dilation", 2, 3, 12, 11, 4, 3, 2, 1, Spatial{1, 1, 2, 3, 2, 1, 0, 2}, true},
	{"dilation and stride share a divisor", 2, 3, 13, 12, 4, 3, 3, 1, Spatial{2, 2, 2, 2, 1, 2, 0, 1}, false},
	{"1×1", 3, 20, 7, 9, 33, 1, 1, 1, Spatial{1, 1, 1, 1, 0, 0, 0, 0}, false},
	{"1×1 with stride", 3, 5, 7, 9, 8, 1, 1, 1, Spatial{2, 2, 1, 1, 0, 0, 0, 0}, false},
	{"one output", 2, 3, 4, 5, 6, 4, 5, 1, Spatial{1, 1, 1, 1, 0, 0, 0, 0}, true},
	{"many small images", 9, 4, 3, 4, 5, 2, 2, 1, Spatial{1, 1, 1, 1, 0, 0, 0, 0}, false},
	{"fewer rows in the last block of images than parts", 33, 1, 4, 6, 3, 4, 1, 1, Spatial{2, 1, 1, 1, 0, 1, 0, 0}, false},
	{"fewer rows in the last block of deltas than parts", 27, 2, 1, 7, 3, 3, 5, 1, Spatial{1, 1, 1, 1, 1, 1, 0, 1}, false},
	{"groups", 2, 6, 7, 8, 9, 3, 2, 3, Spatial{2, 1, 1, 2, 1, 0, 1, 1}, true},
	{"depthwise", 2, 5, 9, 10, 5, 3, 3, 5, Spatial{1, 1, 1, 1, 1, 1, 1, 1}, false},
	{"depthwise 3×3 with more padding than the filter", 2, 3, 7, 18, 3, 3, 3, 3, Spatial{1, 1, 1, 1, 3, 2, 4, 0}, true},
	{"depthwise 3×3, one row", 2, 3, 3, 19, 3, 3, 3, 3, Spatial{1, 1, 1, 1, 0, 0, 0, 0}, false},
	{"depthwise 3×3, two rows and two filters a channel", 2, 3, 4, 35, 6, 3, 3, 3, Spatial{1, 1, 1, 1, 0, 0, 1, 1}, false},
	{"depthwise, wide", 2, 3, 5, 70, 3, 3, 2, 3, Spatial{1, 1, 1, 1, 1, 0, 1, 1}, true},
	{"depthwise with stride and two filters a channel", 2, 3, 9, 38, 6, 3, 2, 3, Spatial{2, 2, 1, 1, 1, 0, 0, 1}, false},
	{"depthwise, stride 3 and dilation", 2, 3, 11, 19, 3, 2, 3, 3, Spatial{3, 3, 2, 1, 1, 2, 0, 1}, false},
	{"more products than a block of depth", 2, 61, 6, 7, 10, 3, 2, 1, Spatial{1, 1, 1, 1, 1, 1, 1, 0}, false},
	{"more filters than a panel", 3, 7, 9, 6, 53, 3, 3, 1, Spatial{1, 1, 1, 1, 1, 1, 1, 1}, false},
	{"rows longer than a vector", 1, 3, 5, 121, 9, 3, 3, 1, Spatial{1, 1, 1, 1, 1, 1, 1, 1}, false},
	{"a first layer with stride", 2, 3, 29, 30, 10, 7, 7, 1, Spatial{2, 2, 1, 1, 3, 3, 3, 3}, false},
	{"outlandish padding", 1, 1, 2, 3, 1, 1, 2, 1, Spatial{1 << 23, 1 << 23, 1, 1, 1 << 24, 1 << 24, 0, 1 << 23}, false},
}

func eachConv(t *testing.T, draws int, f func(t *testing.T, g Conv, r *rand.Rand)) {
	const seed = 31
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 32))
	for _, c := range convs {
		g, err := NewConv(c.n, c.c, c.h, c.w, c.k, c.r, c.s, c.g, c.sp, c.flip)
		if err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		t.Run(c.name, func(t *testing.T) { f(t, g, r) })
	}
	for range draws {
		groups := 1 + r.IntN(3)
		per, filters := 1+r.IntN(5), 1+r.IntN(12)
		if r.IntN(4) == 0 {
			per = 1
		}
		sp := Spatial{1 + r.IntN(3), 1 + r.IntN(3), 1 + r.IntN(3), 1 + r.IntN(3), r.IntN(4), r.IntN(4), r.IntN(4), r.IntN(4)}
		g, err := NewConv(1+r.IntN(4), groups*per, 1+r.IntN(14), 1+r.IntN(40), groups*filters, 1+r.IntN(4), 1+r.IntN(4), groups, sp, r.IntN(2) == 0)
		if err == nil {
			t.Run(fmt.Sprintf("%+v", g), func(t *testing.T) { f(t, g, r) })
		}
	}
}

func TestConvolution(t *testing.T) {
	everyTier(t, func(t *testing.T) { both(t, testConvolution[float32], testConvolution[float64]) })
}

func testConvolution[T Float](t *testing.T) {
	eachConv(t, random(30), func(t *testing.T, g Conv, r *rand.Rand) {
		var d yard[T]
		// Integers below 2²⁴ in every partial sum: equality.
		x, w, dy, b := d.put(integers[T](r, g.XLen(), 4)), d.put(integers[T](r, g.WLen(), 4)), d.put(integers[T](r, g.YLen(), 4)), d.put(integers[T](r, g.K, 9))
		want := make([]T, g.YLen())
		RefForward(g, want, x, w)
		y := d.empty(g.YLen())
		Forward(g, y, x, w, nil, false)
		same(t, "Forward", positive0(y), positive0(want))
		RefAddBias(g, want, b)
		Forward(g, y, x, w, b, false)
		same(t, "Forward with bias", positive0(y), positive0(want))
		for i, v := range want {
			want[i] = max(v, 0)
		}
		Forward(g, y, x, w, b, true)
		same(t, "Forward with bias and ReLU", positive0(y), positive0(want))

		dx, wantX := d.empty(g.XLen()), make([]T, g.XLen())
		RefBackwardData(g, wantX, dy, w)
		BackwardData(g, dx, dy, w)
		same(t, "BackwardData", positive0(dx), positive0(wantX))
		bx := d.put(integers[T](r, g.C, 9))
		for i := range wantX {
			wantX[i] += bx[i/(g.H*g.W)%g.C]
		}
		Transposed(g, dx, dy, w, bx, false)
		same(t, "Transposed with bias", positive0(dx), positive0(wantX))
		for i, v := range wantX {
			wantX[i] = max(v, 0)
		}
		dx = d.empty(g.XLen())
		Transposed(g, dx, dy, w, bx, true)
		same(t, "Transposed with bias and ReLU", positive0(dx), positive0(wantX))

		dw, wantW := d.empty(g.WLen()), make([]T, g.WLen())
		RefBackwardFilter(g, wantW, dy, x)
		BackwardFilter(g, dw, dy, x)
		same(t, "BackwardFilter", positive0(dw), positive0(wantW))

		db, wantB := d.empty(g.K), make([]T, g.K)
		RefBackwardBias(g, wantB, dy)
		BackwardBias(g, db, dy)
		same(t, "BackwardBias", positive0(db), positive0(wantB))
		d.check(t)
	})
}

// positive0 makes +0 of −0: an empty sum and one that cancels are 0 of no particular sign.
func positive0[T Float](s []T) []T {
	c := make([]T, len(s))
	for i, v := range s {
		c[i] = v + 0
	}
	return c
}

// Sums in any order, fused or not, of k products differ from the exact one by at most
// (k+1)·u·Σ|products| (Higham, 2002, §3.1), and the bias is one more term.
func TestConvolutionWithinBounds(t *testing.T) {
	everyTier(t, func(t *testing.T) {
		both(t, testConvolutionWithinBounds[float32], testConvolutionWithinBounds[float64])
	})
}

func testConvolutionWithinBounds[T Float](t *testing.T) {
	eachConv(t, random(10), func(t *testing.T, g Conv, r *rand.Rand) {
		if testing.Short() && g.MACs() > 1<<18 {
			t.Skip("large")
		}
		x, w, dy, b := uniform[T](r, g.XLen()), uniform[T](r, g.WLen()), uniform[T](r, g.YLen()), uniform[T](r, g.K)
		y, dx, dw, db := make([]T, g.YLen()), make([]T, g.XLen()), make([]T, g.WLen()), make([]T, g.K)
		type sums struct{ exact, bound []float64 }
		zero := func(n int) sums { return sums{make([]float64, n), make([]float64, n)} }
		sy, sx, sw, sb := zero(len(y)), zero(len(dx)), zero(len(dw)), zero(len(db))
		terms := map[string][]int{"y": make([]int, len(y)), "x": make([]int, len(dx)), "w": make([]int, len(dw))}
		term := func(s sums, n []int, i int, v float64) {
			s.exact[i] += v
			s.bound[i] += math.Abs(v)
			n[i]++
		}
		g.Taps(func(yi, xi, wi int) {
			term(sy, terms["y"], yi, float64(x[xi])*float64(w[wi]))
			term(sx, terms["x"], xi, float64(dy[yi])*float64(w[wi]))
			term(sw, terms["w"], wi, float64(dy[yi])*float64(x[xi]))
		})
		per := g.P * g.Q
		for i, v := range dy {
			k := i / per % g.K
			sb.exact[k] += float64(v)
			sb.bound[k] += math.Abs(float64(v))
		}
		for i := range y {
			k := i / per % g.K
			sy.exact[i] += float64(b[k])
			sy.bound[i] += math.Abs(float64(b[k]))
		}
		scale := func(s sums, n func(i int) int) {
			for i := range s.bound {
				s.bound[i] *= float64(n(i)+3) * (unit[T]() + 0x1p-53) * 1.01
			}
		}
		scale(sy, func(i int) int { return terms["y"][i] })
		scale(sx, func(i int) int { return terms["x"][i] })
		scale(sw, func(i int) int { return terms["w"][i] })
		scale(sb, func(int) int { return g.N * per })
		Forward(g, y, x, w, b, false)
		within(t, "Forward", y, sy.exact, sy.bound)
		BackwardData(g, dx, dy, w)
		within(t, "BackwardData", dx, sx.exact, sx.bound)
		BackwardFilter(g, dw, dy, x)
		within(t, "BackwardFilter", dw, sw.exact, sw.bound)
		BackwardBias(g, db, dy)
		within(t, "BackwardBias", db, sb.exact, sb.bound)
	})
}

// A NaN or Inf of an operand reaches what it is a factor of, and nothing else. Padding is zeros,
// and 0·NaN is NaN: so a filter's tap that meets padding under such a delta may be either.
func TestConvolutionSpecialValues(t *testing.T) {
	everyTier(t, func(t *testing.T) {
		eachConv(t, random(20), func(t *testing.T, g Conv, r *rand.Rand) {
			for _, v := range []float32{float32(math.NaN()), float32(math.Inf(1))} {
				x, w, dy := uniform[float32](r, g.XLen()), uniform[float32](r, g.WLen()), uniform[float32](r, g.YLen())
				xi, yi := r.IntN(len(x)), r.IntN(len(dy))
				x[xi], dy[yi] = v, v
				y, dx, dw := make([]float32, g.YLen()), make([]float32, g.XLen()), make([]float32, g.WLen())
				hitY, hitX, hitW := make([]bool, len(y)), make([]bool, len(dx)), make([]bool, len(dw))
				g.Taps(func(a, b, c int) {
					hitY[a] = hitY[a] || b == xi
					hitX[b] = hitX[b] || a == yi
					hitW[c] = hitW[c] || b == xi || a == yi
				})
				Forward(g, y, x, w, nil, false)
				BackwardData(g, dx, dy, w)
				BackwardFilter(g, dw, dy, x)
				check := func(what string, s []float32, hit []bool) {
					t.Helper()
					for i, u := range s {
						if finite := u-u == 0; finite && hit[i] || !finite && !hit[i] && (what != "BackwardFilter" || g.Rows.Before+g.Rows.After+g.Cols.Before+g.Cols.After == 0) {
							t.Fatalf("%s: element %d is %v; %v is a factor of it: %v", what, i, u, v, hit[i])
						}
					}
				}
				check("Forward", y, hitY)
				check("BackwardData", dx, hitX)
				check("BackwardFilter", dw, hitW)
			}
		})
	})
}

func TestConvolutionThreads(t *testing.T) {
	everyTier(t, func(t *testing.T) { both(t, testConvolutionThreads[float32], testConvolutionThreads[float64]) })
}

func testConvolutionThreads[T Float](t *testing.T) {
	r := rand.New(rand.NewPCG(33, 34))
	for _, c := range []convCase{
		{"few filters", 11, 5, 14, 15, 13, 3, 3, 1, Spatial{1, 1, 1, 1, 1, 1, 1, 1}, false},
		{"stride 2, one image", 1, 20, 30, 31, 60, 3, 3, 1, Spatial{2, 2, 1, 1, 1, 1, 1, 1}, false},
		{"stride 2 and an even width", 3, 33, 12, 14, 18, 3, 3, 1, Spatial{2, 2, 1, 1, 1, 1, 1, 1}, false},
		{"depthwise", 5, 12, 30, 31, 12, 3, 3, 12, Spatial{1, 1, 1, 1, 1, 1, 1, 1}, false},
		{"1×1", 5, 40, 9, 7, 70, 1, 1, 1, Spatial{1, 1, 1, 1, 0, 0, 0, 0}, false},
		{"one channel", 19, 1, 20, 21, 6, 5, 5, 1, Spatial{1, 1, 1, 1, 2, 2, 2, 2}, false},
		{"two groups", 3, 36, 9, 11, 42, 3, 3, 2, Spatial{1, 1, 1, 1, 1, 1, 1, 1}, true},
	} {
		g, err := NewConv(c.n, c.c, c.h, c.w, c.k, c.r, c.s, c.g, c.sp, c.flip)
		if err != nil {
			t.Fatal(err)
		}
		x, w, dy, b := uniform[T](r, g.XLen()), uniform[T](r, g.WLen()), uniform[T](r, g.YLen()), uniform[T](r, g.K)
		everyThreads(t, c.name, func() []T { return allKernels(g, x, w, dy, b) })
	}
}

// ReLU6 in the convolution's pass has the bits of ReLU6 after it, in every algorithm.
func TestConvolutionReLU6(t *testing.T) {
	everyTier(t, func(t *testing.T) { both(t, testConvolutionReLU6[float32], testConvolutionReLU6[float64]) })
}

func testConvolutionReLU6[T Float](t *testing.T) {
	defer anyWinograd[T]()()
	cut := 0
	eachConv(t, 20, func(t *testing.T, g Conv, r *rand.Rand) {
		x, w, b := uniform[T](r, g.XLen()), uniform[T](r, g.WLen()), uniform[T](r, g.K)
		for i := range x {
			x[i] *= 9
		}
		for _, g.Winograd = range []bool{false, true} {
			y, want := make([]T, g.YLen()), make([]T, g.YLen())
			g.ReLU6 = false
			Forward(g, want, x, w, b, false)
			for i, v := range want {
				if want[i] = min(max(v, 0), 6); v > 6 {
					cut++
				}
			}
			g.ReLU6 = true
			Forward(g, y, x, w, b, true)
			if err := differs(y, want); err != nil {
				t.Fatalf("Winograd %v: %v", g.Winograd, err)
			}
		}
	})
	if cut == 0 {
		t.Error("nothing was above 6")
	}
}

// A bias and a ReLU in the pass of a transposed convolution have the bits of passes of their own.
func TestTransposedBits(t *testing.T) {
	everyTier(t, func(t *testing.T) { both(t, testTransposedBits[float32], testTransposedBits[float64]) })
}

func testTransposedBits[T Float](t *testing.T) {
	eachConv(t, random(20), func(t *testing.T, g Conv, r *rand.Rand) {
		dy, w, b := uniform[T](r, g.YLen()), uniform[T](r, g.WLen()), uniform[T](r, g.C)
		want, got := make([]T, g.XLen()), make([]T, g.XLen())
		BackwardData(g, want, dy, w)
		AddChannels(g.N*g.C, g.H*g.W, want, want, b)
		Transposed(g, got, dy, w, b, false)
		same(t, "with bias", positive0(got), positive0(want))
		ReLU(want, want)
		Transposed(g, got, dy, w, b, true)
		same(t, "with bias and ReLU", positive0(got), positive0(want))
	})
}
