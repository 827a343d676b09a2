package kernel

import (
	"math/rand/v2"
	"testing"

	"github.com/convgrad/convgrad/internal/simd"
)

// wideConvs have more filters, or channels for backward-data, than a vector has lanes: every width
// of a block of filters and its tails, chunks that end inside an image and ones that span several,
// sums longer than a block of depth.
var wideConvs = []convCase{
	{"17 filters", 2, 5, 9, 8, 17, 3, 3, 1, Spatial{1, 1, 1, 1, 1, 1, 1, 1}, false},
	{"33 filters, flipped", 3, 18, 7, 11, 33, 3, 2, 1, Spatial{1, 1, 1, 1, 0, 1, 2, 0}, true},
	{"48 filters", 1, 18, 11, 10, 48, 3, 3, 1, Spatial{1, 1, 1, 1, 1, 1, 1, 1}, false},
	{"64 filters", 2, 20, 7, 8, 64, 3, 3, 1, Spatial{1, 1, 1, 1, 1, 1, 1, 1}, false},
	{"65 filters", 2, 19, 6, 5, 65, 2, 3, 1, Spatial{1, 1, 1, 1, 1, 1, 1, 1}, false},
	{"130 filters, 1×1", 3, 37, 7, 6, 130, 1, 1, 1, Spatial{1, 1, 1, 1, 0, 0, 0, 0}, false},
	{"images smaller than a chunk, the last group not full", 19, 33, 3, 2, 20, 2, 2, 1, Spatial{1, 1, 1, 1, 1, 0, 0, 1}, false},
	{"stride 2: phases back", 2, 24, 15, 14, 40, 3, 3, 1, Spatial{2, 2, 1, 1, 1, 1, 1, 1}, false},
	{"strides and dilations of 2 and 3", 2, 24, 19, 20, 36, 3, 2, 1, Spatial{2, 3, 3, 2, 1, 3, 2, 1}, true},
	{"two groups", 1, 36, 6, 7, 42, 3, 3, 2, Spatial{1, 1, 1, 1, 1, 1, 1, 1}, false},
	{"a large image and a long filter", 1, 17, 20, 21, 18, 5, 4, 1, Spatial{1, 1, 1, 1, 2, 2, 1, 2}, false},
}

func init() { convs = append(convs, wideConvs...) }

func TestPeak(t *testing.T) {
	for _, tier := range Tiers() {
		for _, single := range []bool{true, false} {
			if p := Peak(tier, single); !(p > 0.01 && p < 1e5) {
				t.Errorf("%v, single %v: %v GFLOP/s", tier, single, p)
			} else {
				t.Logf("%v, single %v: %.1f GFLOP/s", tier, single, p)
			}
		}
	}
}

// The transposition of every small size.
func TestTranspose(t *testing.T) {
	everyTier(t, func(t *testing.T) { both(t, testTranspose[float32], testTranspose[float64]) })
}

func testTranspose[T Float](t *testing.T) {
	r := rand.New(rand.NewPCG(41, 42))
	for lines := 1; lines < 22; lines++ {
		for cols := 1; cols < 22; cols++ {
			var d yard[T]
			lds, ldd := cols+r.IntN(3), lines+r.IntN(3)
			src := d.put(integers[T](r, (lines-1)*lds+cols, 100))
			dst := d.empty((cols-1)*ldd + lines)
			simd.Transpose(dst, ldd, src, lds, lines, cols)
			for i := range lines {
				for l := range cols {
					if dst[l*ldd+i] != src[i*lds+l] {
						t.Fatalf("%d×%d: [%d,%d] is %v, want %v", lines, cols, l, i, dst[l*ldd+i], src[i*lds+l])
					}
				}
			}
			d.check(t)
		}
	}
}

// dotConvs have few filters and taps: every micro-kernel of sums along rows, with whole vectors,
// tails, and rows shorter than a vector.
var dotConvs = []convCase{
	{"1 filter, rows of 33", 3, 1, 9, 33, 1, 3, 2, 1, Spatial{1, 1, 1, 1, 0, 0, 0, 1}, false},
	{"2 filters, rows of 16", 2, 1, 5, 16, 2, 2, 3, 1, Spatial{1, 1, 1, 1, 1, 0, 1, 1}, true},
	{"6 filters, 25 taps, rows of 31", 3, 1, 30, 31, 6, 5, 5, 1, Spatial{1, 1, 1, 1, 2, 2, 2, 2}, false},
	{"8 filters, 9 taps, stride 2 down", 17, 1, 12, 15, 8, 3, 3, 1, Spatial{2, 1, 1, 1, 1, 1, 1, 1}, false},
	{"a row longer than a call", 1, 1, 3, 9001, 3, 1, 2, 1, Spatial{1, 1, 1, 1, 0, 0, 1, 0}, false},
	{"dilated, in groups", 2, 4, 13, 22, 10, 3, 2, 2, Spatial{1, 1, 2, 3, 1, 1, 2, 1}, false},
}

func init() { convs = append(convs, dotConvs...) }
