package kernel

import (
	"math"
	"math/rand/v2"
	"testing"
)

func init() {
	convs = append(convs,
		convCase{"few filters over rows of whole vectors", 3, 17, 5, 32, 16, 3, 3, 1, Spatial{1, 1, 1, 1, 1, 1, 1, 1}, false},
		convCase{"planes of more than a piece", 2, 2, 67, 64, 17, 3, 3, 1, Spatial{1, 1, 1, 1, 1, 1, 1, 1}, false},
	)
}

// ForwardMoments has the bits of Forward and of Moments, by every algorithm and on any number of
// threads. What y held before is NaN: whoever adds up an image too early has NaN.
func TestForwardMoments(t *testing.T) {
	everyTier(t, func(t *testing.T) { both(t, testForwardMoments[float32], testForwardMoments[float64]) })
}

func testForwardMoments[T Float](t *testing.T) {
	eachConv(t, 5, func(t *testing.T, g Conv, r *rand.Rand) {
		x, w, b := uniform[T](r, g.XLen()), uniform[T](r, g.WLen()), uniform[T](r, g.K)
		for _, g.Winograd = range []bool{false, true} {
			want, wanted := make([]T, g.YLen()), make([]T, 2*g.K)
			Forward(g, want, x, w, b, true)
			Moments(ChannelNorm(g.N, g.K, g.P*g.Q, NormBatch), wanted, want)
			for _, threads := range []int{1, 3} {
				func() {
					defer SetThreads(SetThreads(threads))
					var d yard[T]
					y, moments := d.empty(g.YLen()), d.empty(2*g.K)
					for i := range y {
						y[i] = T(math.NaN())
					}
					ForwardMoments(g, y, moments, x, w, b, true)
					same(t, "y", y, want)
					same(t, "the moments", moments, wanted)
				}()
			}
		}
	})
}
