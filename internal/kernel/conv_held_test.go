package kernel

import (
	"math/rand/v2"
	"slices"
	"testing"
)

// A forward pass has the same bits whether its filters are held or not, at the first pass and at
// those that find the filters packed; and after a change, those of the filters as they are now.
func TestHeldFilters(t *testing.T) {
	everyTier(t, func(t *testing.T) { both(t, testHeldFilters[float32], testHeldFilters[float64]) })
}

func testHeldFilters[T Float](t *testing.T) {
	defer anyWinograd[T]()()
	eachConv(t, 20, func(t *testing.T, g Conv, r *rand.Rand) {
		x, w, y, want := uniform[T](r, g.XLen()), uniform[T](r, g.WLen()), make([]T, g.YLen()), make([]T, g.YLen())
		held := slices.Clone(w)
		h := Hold(held)
		defer h.Release()
		for range 2 {
			for range 2 {
				for _, g.Winograd = range []bool{false, true} {
					Forward(g, want, x, w, nil, false)
					Forward(g, y, x, held, nil, false)
					if !slices.Equal(y, want) {
						t.Fatalf("held filters give other bits, Winograd %v", g.Winograd)
					}
				}
			}
			copy(held, uniform[T](r, len(w)))
			copy(w, held)
			h.Changed()
		}
	})
}

// What is held is looked for no longer once it is released.
func TestReleasedFilters(t *testing.T) {
	w := make([]float32, 4)
	h := Hold(w)
	if heldBy(w) != h || heldBy(w[1:]) != nil {
		t.Error("held filters are not found, or others are")
	}
	if h.Release(); heldBy(w) != nil {
		t.Error("released filters are held")
	}
}
