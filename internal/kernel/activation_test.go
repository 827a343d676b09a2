package kernel

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/convgrad/convgrad/internal/simd"
	"github.com/convgrad/convgrad/internal/workers"
)

func TestActivations(t *testing.T) {
	everyTier(t, func(t *testing.T) { both(t, testActivations[float32], testActivations[float64]) })
}

// activationTerms is the magnitude of the sum that the last rounding of f⁽ᵒʳᵈᵉʳ⁾(x) is part of:
// |f| itself but where terms of either sign are added. An error in GELUTanh's u, of 4 roundings, is
// one of 2u times that in its exponential.
func activationTerms(f ActivationFunc, order int, x, y float64) float64 {
	x = max(-100, min(x, 100)) // beyond that all terms but x are 0 or 1
	switch u, du, _ := cubic(x); {
	case f == GELUTanh && order == 0:
		return math.Abs(y) * (1 + 2*math.Abs(u))
	case f == GELUTanh:
		return (sigmoid(2*u) + math.Abs(times(2*x*du, sigmoid1(2*u)))) * (1 + 2*math.Abs(u))
	case f == SiLU && order == 1:
		return sigmoid(x) + math.Abs(times(x, sigmoid1(x)))
	case f == GELU && order == 1:
		return normal(x) + math.Abs(times(x, density(x)))
	case f == HardSwish && order == 1 && math.Abs(x) < 3:
		return math.Abs(x)/3 + 0.5
	}
	return math.Abs(y)
}

// Each tier is within four units in the last place, 8u, of those terms: the exponential errs by 2u
// to 3u (its argument, its polynomial), and no function has more than five roundings around it.
// GELU is a product of that with a quotient of polynomials whose terms are all positive: each step
// of a polynomial, and all its coefficients together, round by u at the most. In float32 these are
// 5u and 6u, and with 3u of the exponential and 4u of the quotient, the products and the difference
// from 1, 18u. In float64 the polynomials have twelve steps more; no more than 20u is let pass. A
// logarithm is within 3u. By fdlibm's method, with k, f and s of its comment, the error of f²/2 −
// s·(f²/2 + R) is below 0.3u, as its parts are below 0.09 and |s| is below 0.18; taking f from that
// rounds by |log(1+f)|·u ≤ 0.35u, and adding k·ln 2 by u of the result, which is 0.34 or more where
// k is not 0. Without k, only the first two count. With the table, log(1+r) errs by 2u of r ≤ 0.06,
// k·ln 2 − log c by u of itself, which is at most 0.06 from the result, and that by u: where k is
// not 0 the result is 0.28 or more, and the sum 2.7u. Where k is 0, k·ln 2 − log c is exact but for
// 2⁻³⁴. A tail that is subnormal errs by one of its units, which SiLU and GELU multiply by x,
// GELUTanh's derivative by 0.2·x³, x being below 15 where the tail is not 0.
func testActivations[T Float](t *testing.T) {
	const seed = 83
	r := rand.New(rand.NewPCG(seed, 0))
	inf := math.Inf(1)
	values := []T{
		T(math.NaN()), T(inf), T(-inf), 0, T(math.Copysign(0, -1)), 1, -1, 3, -3, 6, 1.5, -1.5, 1e30, -1e30, 1e-30, -1e-30,
		T(tiny[T]()), T(-tiny[T]()), T(tiny[T]() / 2), T(-tiny[T]() / 2), 88.7, -87.4, -88, -103.9, 709, -708, -745, 14.9, -14.9, 15.1, -15.1, 39, -39, 41, -41,
	}
	for i := len(values); i < 5000; i++ {
		v := 2*r.Float64() - 1
		switch i % 4 {
		case 1:
			v *= 15
		case 2:
			v *= 100
		case 3:
			v *= math.Exp(-60 * r.Float64())
		}
		values = append(values, T(v))
	}
	for _, n := range []int{len(values), 1, 9, 16, 33} {
		var d yard[T]
		x, dy, y := d.put(values[len(values)-n:]), d.put(uniform[T](r, n)), d.empty(n)
		for f := range activations {
			for _, b := range []float64{2, inf} {
				a := Activation{ActivationFunc(f), -1.25, b}
				curves := []func(x, a, b float64) float64{activations[f].f, activations[f].df}
				for order, c := range curves {
					what := fmt.Sprintf("seed %d, %d elements, %v, order %d", seed, n, a, order)
					if Activate(a, 0, y, x); order == 1 {
						ActivateBackward(a, y, dy, x)
					}
					for i, got := range y {
						v, by := float64(x[i]), 1.0
						if order == 1 {
							by = float64(dy[i])
						}
						f := c(v, a.A, a.B)
						if order == 1 && math.IsInf(float64(T(f)), 0) && !math.IsInf(f, 0) {
							continue // the plain tier's product may be finite again
						}
						units, reach := 8.0, 100.0
						switch {
						case a.Func == GELU && unit[T]() > 1e-10:
							units = 18
						case a.Func == GELU:
							units = 20
						case a.Func == Log && order == 0:
							units = 3
						}
						if math.Abs(v) < reach {
							reach = math.Abs(v)
						}
						want, bound := f*by, units*unit[T]()*activationTerms(a.Func, order, v, f)*math.Abs(by)+(1+reach+0.2*reach*reach*reach)*tiny[T]()
						if rounded := float64(T(want)); math.IsInf(rounded, 0) || rounded == 0 && v == 0 || rounded != rounded {
							if float64(got) != rounded && (got == got || rounded == rounded) || math.Signbit(float64(got)) != math.Signbit(rounded) && rounded == rounded {
								t.Fatalf("%s: %v of %v, want %v", what, got, x[i], rounded)
							}
							continue
						}
						if !(math.Abs(float64(got)-want) <= bound) {
							t.Fatalf("%s: %v of %v, want %v ± %v", what, got, x[i], want, bound)
						}
					}
					d.check(t)
					whole := d.empty(n)
					copy(whole, x)
					if Activate(a, 0, whole, whole); order == 1 {
						copy(whole, dy)
						ActivateBackward(a, whole, whole, x)
					}
					same(t, what+", in place", whole, y)
					// One element by itself has the bits that it has among others.
					if i := n / 2; order == 0 {
						Activate(a, 0, whole[:1], x[i:i+1])
						same(t, what+", alone", whole[:1], y[i:i+1])
					}
				}
			}
		}
	}
}

func TestActivationThreads(t *testing.T) {
	x := uniform[float32](rand.New(rand.NewPCG(1, 1)), 3*workers.Chunk+5)
	everyThreads(t, "GELU", func() []float32 {
		y := make([]float32, len(x))
		Activate(Activation{Func: GELU}, 0, y, x)
		ActivateBackward(Activation{Func: GELU}, y, y, x)
		return y
	})
}

// Vectors of float32 have a square root of their own, which rounds as the processor's does. All
// mantissas and both parities of the exponent are between 1 and 4.
func TestSqrtRounds(t *testing.T) {
	everyTier(t, func(t *testing.T) {
		x, y := make([]float32, 1<<12), make([]float32, 1<<12)
		for first := math.Float32bits(1); first < math.Float32bits(4); first += uint32(len(x)) {
			for i := range x {
				x[i] = math.Float32frombits(first + uint32(i))
			}
			simd.Activate(simd.Sqrt, y, x, 0, 0)
			for i, v := range x {
				if want := float32(math.Sqrt(float64(v))); simd.CurrentTier() != simd.Generic && y[i] != want {
					t.Fatalf("√%v is %v, want %v", v, y[i], want)
				}
			}
		}
	})
}
