package kernel

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/convgrad/convgrad/internal/simd"
	"github.com/convgrad/convgrad/internal/workers"
)

// lengths are those around a vector, an unrolled loop, a span and their tails.
var lengths = []int{0, 1, 2, 3, 7, 8, 9, 15, 16, 17, 31, 32, 33, 63, 64, 65, 127, 128, 129, 200, workers.Chunk - 1, workers.Chunk, workers.Chunk + 1, 2*workers.Chunk + 77}

// special returns n values of every kind, most of them ordinary.
func special[T Float](r *rand.Rand, n int) []T {
	odd := []T{T(math.NaN()), T(math.Inf(1)), T(math.Inf(-1)), 0, T(math.Copysign(0, -1)), 1e-30, -1e-30}
	s := uniform[T](r, n)
	for i := range s {
		if r.IntN(3) == 0 {
			s[i] = odd[r.IntN(len(odd))]
		}
	}
	return s
}

func TestElementwise(t *testing.T) {
	everyTier(t, func(t *testing.T) { both(t, testElementwise[float32], testElementwise[float64]) })
}

func testElementwise[T Float](t *testing.T) {
	r := rand.New(rand.NewPCG(15, 16))
	for _, n := range lengths {
		var d yard[T]
		x, dy := d.put(special[T](r, n)), d.put(special[T](r, n))
		y := d.empty(n)
		want := make([]T, n)
		for i, v := range x {
			want[i] = max(v, 0)
		}
		ReLU(y, x)
		same(t, fmt.Sprint("ReLU ", n), y, want)
		copy(y, x)
		ReLU(y, y)
		same(t, fmt.Sprint("ReLU in place ", n), y, want)

		for i, v := range x {
			want[i] = dy[i]
			if v <= 0 {
				want[i] = 0
			}
		}
		Gate(y, dy, x)
		same(t, fmt.Sprint("Gate ", n), y, want)
		copy(y, dy)
		Gate(y, y, x)
		same(t, fmt.Sprint("Gate in place ", n), y, want)

		for i, v := range x {
			want[i] = dy[i] + v
		}
		copy(y, dy)
		Add(y, x)
		same(t, fmt.Sprint("Add ", n), y, want)
		d.check(t)
	}
}

func TestNormaliseBatch(t *testing.T) {
	everyTier(t, func(t *testing.T) { both(t, testNormaliseBatch[float32], testNormaliseBatch[float64]) })
}

func testNormaliseBatch[T Float](t *testing.T) {
	r := rand.New(rand.NewPCG(17, 18))
	for _, per := range []int{1, 15, 16, 17, 63, 64, 65, 784, 3072} {
		const images = 41
		src := make([]uint8, images*per)
		for i := range src {
			src[i] = uint8(r.Uint32())
		}
		indices := []int{0, images - 1, 3, 3}
		for range 60 {
			indices = append(indices, r.IntN(images))
		}
		var d yard[T]
		got, want := d.empty(len(indices)*per), make([]T, len(indices)*per)
		for i := range want {
			want[i] = (T(src[indices[i/per]*per+i%per]) - 33.25) * 0.0078125
		}
		NormaliseBatch(got, src, indices, per, 33.25, 0.0078125)
		same(t, fmt.Sprint("per ", per), got, want)
		d.check(t)
	}
}

func TestDropout(t *testing.T) {
	everyTier(t, func(t *testing.T) { both(t, testDropout[float32], testDropout[float64]) })
}

func testDropout[T Float](t *testing.T) {
	r := rand.New(rand.NewPCG(19, 20))
	for _, n := range lengths {
		var d yard[T]
		x := d.put(special[T](r, n))
		y := d.empty(n)
		Dropout(y, x, 0.25, 1, 2, 3)
		key := mix(mix(mix(1)^2) ^ 3)
		want := make([]T, n)
		scale := T(1 / (1 - 0.25)) // outside the loop: rounded to T first
		for i, v := range x {
			if simd.Hash(uint32(i), uint32(key), uint32(key>>32)) >= 1<<30 {
				want[i] = v * scale
			}
		}
		same(t, fmt.Sprint("Dropout ", n), y, want)
		copy(y, x)
		Dropout(y, y, 0.25, 1, 2, 3)
		same(t, fmt.Sprint("Dropout in place ", n), y, want)
		Dropout(y, x, 0, 1, 2, 3)
		same(t, "p = 0", y, x)
		Dropout(y, x, 1, 1, 2, 3)
		same(t, "p = 1", y, make([]T, n))
		d.check(t)
	}
}

// The mask looks random in itself, against that of the next step, stream and seed, and against
// itself shifted. Each count is binomial; six standard deviations have a chance of 2·10⁻⁹, and the
// seeds are fixed.
func TestDropoutMasksAreIndependent(t *testing.T) {
	const n = 1 << 18
	ones := make([]float32, n)
	for i := range ones {
		ones[i] = 1
	}
	mask := func(p float64, seed, stream, step uint64) []bool {
		y, m := make([]float32, n), make([]bool, n)
		Dropout(y, ones, p, seed, stream, step)
		for i, v := range y {
			m[i] = v != 0
		}
		return m
	}
	binomial := func(what string, got, trials int, p float64) {
		t.Helper()
		if mean, sd := p*float64(trials), math.Sqrt(float64(trials)*p*(1-p)); !(math.Abs(float64(got)-mean) <= 6*sd) {
			t.Errorf("%s: %d of %d, want %.0f ± %.0f", what, got, trials, mean, 6*sd)
		}
	}
	for _, p := range []float64{0.1, 0.5, 0.9} {
		kept := func(a, b []bool) (both int) {
			for i := range min(len(a), len(b)) {
				if a[i] && b[i] {
					both++
				}
			}
			return both
		}
		m := mask(p, 1, 0, 0)
		q := 1 - p
		binomial("kept", kept(m, m), n, q)
		for _, shift := range []int{1, 2, 3, 4, 7, 8, 16, 28, 64, 784, 4096, 1 << 16} {
			binomial(fmt.Sprintf("p %v, and kept %d on", p, shift), kept(m, m[shift:]), n-shift, q*q)
		}
		for _, other := range [][3]uint64{{2, 0, 0}, {1, 1, 0}, {1, 0, 1}, {1, 0, 2}, {1, 0, 1 << 32}, {1, 1, 1}, {0, 1, 0}} {
			o := mask(p, other[0], other[1], other[2])
			binomial(fmt.Sprintf("p %v, and kept by %v", p, other), kept(m, o), n, q*q)
			binomial(fmt.Sprintf("p %v, and kept by %v shifted", p, other), kept(m, o[1:]), n-1, q*q)
		}
	}
}

func TestElementwiseThreads(t *testing.T) {
	r := rand.New(rand.NewPCG(21, 22))
	x := uniform[float32](r, 5*workers.Chunk+3)
	everyThreads(t, "Dropout", func() []float32 {
		y := make([]float32, len(x))
		Dropout(y, x, 0.5, 1, 2, 3)
		return y
	})
}
