package kernel

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
)

// A yard holds operands between guard zones, so that a write beside one shows, and so that a value
// read beside one is NaN.
type yard[T Float] struct {
	slices [][]T
	whole  [][]T
}

const guard = 64

// put copies v between guard zones, at an address that is odd on purpose.
func (y *yard[T]) put(v []T) []T {
	buf := make([]T, len(v)+2*guard+1)
	for i := range buf {
		buf[i] = T(math.NaN())
	}
	s := buf[guard+1:][:len(v):len(v)]
	copy(s, v)
	y.slices, y.whole = append(y.slices, s), append(y.whole, buf)
	return s
}

// empty is put for a destination of n elements that hold NaN.
func (y *yard[T]) empty(n int) []T {
	s := make([]T, n)
	for i := range s {
		s[i] = T(math.NaN())
	}
	return y.put(s)
}

func (y *yard[T]) check(t testing.TB) {
	t.Helper()
	for k, buf := range y.whole {
		for i, v := range buf {
			if (i < guard+1 || i >= guard+1+len(y.slices[k])) && v == v {
				t.Fatalf("operand %d: element %d was written, outside [0, %d)", k, i-guard-1, len(y.slices[k]))
			}
		}
	}
}

func integers[T Float](r *rand.Rand, n, limit int) []T {
	s := make([]T, n)
	for i := range s {
		s[i] = T(r.IntN(2*limit+1) - limit)
	}
	return s
}

func uniform[T Float](r *rand.Rand, n int) []T {
	s := make([]T, n)
	for i := range s {
		s[i] = T(2*r.Float64() - 1)
	}
	return s
}

// same compares bits, any NaN being equal to any other.
func same[T Float](t testing.TB, what string, got, want []T) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%s: %d elements, want %d", what, len(got), len(want))
	}
	for i := range got {
		g, w := float64(got[i]), float64(want[i])
		if math.Float64bits(g) != math.Float64bits(w) && (g == g || w == w) {
			t.Fatalf("%s: element %d is %v, want %v", what, i, g, w)
		}
	}
}

// within compares to bounds element by element.
func within[T Float](t testing.TB, what string, got []T, want, bound []float64) {
	t.Helper()
	for i := range got {
		if !(math.Abs(float64(got[i])-want[i]) <= bound[i]) {
			t.Fatalf("%s: element %d is %v, want %v ± %v", what, i, got[i], want[i], bound[i])
		}
	}
}

// unit is the unit roundoff of T.
func unit[T Float]() float64 {
	if T(1)+T(0x1p-30) == 1 {
		return 0x1p-24
	}
	return 0x1p-53
}

// both runs f in both dtypes.
func both(t *testing.T, f32 func(*testing.T), f64 func(*testing.T)) {
	t.Run("float32", f32)
	t.Run("float64", f64)
}

// everyTier runs f in every tier that the machine can run, or, with -short, in the first and the
// last.
func everyTier(t *testing.T, f func(*testing.T)) {
	was := CurrentTier()
	defer SetTier(was)
	tiers := Tiers()
	if n := len(tiers); testing.Short() && n > 2 {
		tiers = []Tier{tiers[0], tiers[n-1]}
	}
	for _, tier := range tiers {
		if err := SetTier(tier); err != nil {
			t.Fatal(err)
		}
		t.Run(tier.String(), f)
	}
}

// everyThreads runs f, which returns the bits of its result, with several numbers of threads and
// wants the same bits.
func everyThreads[T Float](t *testing.T, what string, f func() []T) {
	t.Helper()
	was := SetThreads(1)
	defer SetThreads(was)
	want := f()
	for _, n := range []int{2, 3, 7} {
		SetThreads(n)
		same(t, fmt.Sprintf("%s with %d threads", what, n), f(), want)
	}
}

// random is how many random cases a test draws of n: fewer with -short, which is what the race
// detector is run with.
func random(n int) int {
	if testing.Short() {
		return (n + 4) / 5
	}
	return n
}
