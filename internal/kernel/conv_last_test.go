package kernel

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
)

// lastConvs fill vectors and leave tails, in depthwise filters and in filters in lanes.
var lastConvs = []convCase{
	{"depthwise 3×3, 35 channels", 2, 35, 9, 14, 35, 3, 3, 35, Spatial{1, 1, 1, 1, 1, 1, 1, 1}, false},
	{"depthwise 3×3, stride 2, 32 channels", 2, 32, 14, 15, 32, 3, 3, 32, Spatial{2, 2, 1, 1, 1, 1, 1, 1}, true},
	{"depthwise, 17 channels, more padding than filter", 2, 17, 3, 2, 17, 2, 3, 17, Spatial{1, 1, 1, 1, 3, 2, 4, 5}, false},
	{"32 filters of 1×1", 3, 19, 7, 7, 32, 1, 1, 1, Spatial{1, 1, 1, 1, 0, 0, 0, 0}, false},
	{"24 filters, stride 2", 2, 16, 9, 8, 24, 3, 3, 1, Spatial{2, 2, 1, 1, 1, 1, 1, 1}, false},
	{"64 filters, sums longer than a block", 2, 70, 13, 7, 64, 3, 3, 1, Spatial{1, 1, 1, 1, 1, 1, 1, 1}, false},
}

// A convolution of images with their channels last is the same convolution: the numbers are equal
// where no sum is rounded, and Winograd's algorithm has the same bits.
func TestChannelsLast(t *testing.T) {
	everyTier(t, func(t *testing.T) { both(t, testChannelsLast[float32], testChannelsLast[float64]) })
}

func testChannelsLast[T Float](t *testing.T) {
	defer anyWinograd[T]()()
	defer func(c []convCase) { convs = c }(convs)
	convs = append(slices.Clone(convs), lastConvs...)
	eachConv(t, 20, func(t *testing.T, g Conv, r *rand.Rand) {
		for _, g.Winograd = range []bool{false, true} {
			var d yard[T]
			make := func(n int) []T { return integers[T](r, n, 4) }
			p := newForward[T](g)
			if side, _ := p.winogradTile(); side > 0 {
				if p.choose().name != "winograd" {
					continue // planes take an algorithm of other roundings
				}
				make = func(n int) []T { return uniform[T](r, n) }
			}
			x, w, b := make(g.XLen()), d.put(make(g.WLen())), d.put(make(g.K))
			h := Hold(w)
			defer h.Release()
			turned, want := d.empty(g.XLen()), d.empty(g.YLen())
			Turn(g.N, g.C, g.H*g.W, turned, x)
			g.ReLU6 = r.IntN(2) == 0
			for _, relu := range []bool{false, true} {
				Forward(g, want, x, w, b, relu)
				wantLast := slices.Clone(want)
				Turn(g.N, g.K, g.P*g.Q, wantLast, want)
				for _, from := range []bool{false, true} {
					for _, to := range []bool{false, true} {
						q, in, out := g, x, want
						if q.FromLast, q.ToLast = from, to; from {
							in = turned
						}
						if to {
							out = wantLast
						}
						y := d.empty(g.YLen())
						Forward(q, y, in, w, b, relu)
						same(t, fmt.Sprintf("from last %v, to last %v, ReLU %v, Winograd %v", from, to, relu, g.Winograd), positive0(y), positive0(out))
					}
				}
			}
			d.check(t)
		}
	})
}

// The algorithms that need no transposition are taken.
func TestTakesLast(t *testing.T) {
	if CurrentTier().String() != "avx512" {
		t.Skip("other tiers transpose")
	}
	for _, c := range lastConvs {
		g, err := NewConv(c.n, c.c, c.h, c.w, c.k, c.r, c.s, c.g, c.sp, c.flip)
		if err != nil {
			t.Fatal(err)
		}
		g.FromLast, g.ToLast = true, true
		if !TakesLast[float32](g) {
			t.Errorf("%s: is transposed", c.name)
		}
	}
}
