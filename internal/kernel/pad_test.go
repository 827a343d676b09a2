package kernel

import (
	"math/rand/v2"
	"testing"

	"github.com/convgrad/convgrad/internal/simd"
)

// Rows of padded planes are the image's where it lies and zeros around it, whatever the buffer
// held; rows that were not asked for may hold anything.
func TestPad(t *testing.T) {
	everyTier(t, func(t *testing.T) { both(t, testPad[float32], testPad[float64]) })
}

func testPad[T Float](t *testing.T) {
	const seed = 81
	r := rand.New(rand.NewPCG(seed, 0))
	for range random(400) {
		f := frame{planes: 1 + r.IntN(4), h: 1 + r.IntN(6), w: 1 + r.IntN(40), top: r.IntN(4), left: r.IntN(20)}
		// The frame may end before the image does, even before it begins.
		f.hp, f.wp = 1+r.IntN(f.top+f.h+3), 1+r.IntN(f.left+f.w+20)
		lo := r.IntN(f.hp)
		hi := lo + 1 + r.IntN(f.hp-lo)
		var d yard[T]
		src := d.put(integers[T](r, f.planes*f.h*f.w, 100))
		dst := d.put(integers[T](r, f.size()+simd.Slack, 100))
		pad(f, dst, src, lo, hi)
		for c := range f.planes {
			for i := lo; i < hi; i++ {
				for j := range f.wp {
					var want T
					if y, x := i-f.top, j-f.left; 0 <= y && y < f.h && 0 <= x && x < f.w {
						want = src[(c*f.h+y)*f.w+x]
					}
					if got := dst[(c*f.hp+i)*f.wp+j]; got != want {
						t.Fatalf("seed %d, %+v, rows %d to %d: plane %d, row %d, column %d is %v, want %v", seed, f, lo, hi, c, i, j, got, want)
					}
				}
			}
		}
		d.check(t)
	}
}
