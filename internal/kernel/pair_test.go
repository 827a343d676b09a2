package kernel

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/convgrad/convgrad/internal/workers"
)

var pairLosses = []PairLoss{{Absolute, 0}, {Huber, 0.75}, {BinaryCrossEntropy, 0}}

// refPair is a loss and its derivative by y, and the sums of magnitudes of their terms.
func refPair(l PairLoss, y, t float64) (value, slope, size, slopeSize float64) {
	d := y - t
	both := math.Abs(y) + math.Abs(t)
	switch l.Of {
	case Absolute:
		slope = d // 0 or NaN
		if d != 0 {
			slope = d / math.Abs(d)
		}
		if math.IsInf(d, 0) {
			slope = math.Copysign(1, d)
		}
		return math.Abs(d), slope, math.Abs(d), 1
	case Huber:
		if !(math.Abs(d) > l.A) { // or NaN
			return d * d / 2, d, both, both
		}
		return l.A * (math.Abs(d) - l.A/2), math.Copysign(l.A, d), l.A * both, l.A
	}
	tail := math.Log1p(math.Exp(-math.Abs(y)))
	return max(y, 0) - y*t + tail, 1/(1+math.Exp(-y)) - t, max(y, 0) + math.Abs(y*t) + tail, 1 + math.Abs(t)
}

func TestPairLosses(t *testing.T) {
	everyTier(t, func(t *testing.T) { both(t, testPairLosses[float32], testPairLosses[float64]) })
}

// The loss is within 8u of the sum of its terms' magnitudes: testActivations has 8u for
// log(1+e^−|y|) by itself and for σ, and no loss has more than three roundings of the whole sum.
// The cotangent is one more.
func testPairLosses[T Float](t *testing.T) {
	const seed = 84
	r := rand.New(rand.NewPCG(seed, 0))
	inf, nan := math.Inf(1), math.NaN()
	special := []float64{nan, inf, -inf, 0, math.Copysign(0, -1), 1, 0.75, -0.75, 1e30, -1e30, 100, -100, tiny[T]()}
	var ys, ts []T
	for _, y := range special {
		for _, v := range special {
			ys, ts = append(ys, T(y)), append(ts, T(v))
		}
	}
	for len(ys) < 4099 {
		ys, ts = append(ys, T(20*r.NormFloat64()*r.Float64())), append(ts, T(r.Float64()))
	}
	for _, n := range []int{len(ys), 1, 9, 16, 33} {
		var d yard[T]
		y, target, dE := d.put(ys[len(ys)-n:]), d.put(ts[len(ts)-n:]), d.put(uniform[T](r, n))
		e, slope, one, plain := d.empty(n), d.empty(n), d.empty(n), d.empty(n)
		for _, l := range pairLosses {
			what := fmt.Sprintf("seed %d, %d elements, loss %d", seed, n, l.Of)
			Losses(l, e, y, target)
			LossSlopes(l, slope, dE, y, target)
			LossSlopes(l, one, dE[:1], y, target)
			sum, sumBound, exact := LossSum(l, y, target), 0.0, 0.0
			for i := range e {
				value, derivative, size, slopeSize := refPair(l, float64(y[i]), float64(target[i]))
				near := func(what string, got T, want, size float64) {
					if rounded := float64(T(want)); rounded != rounded || math.IsInf(rounded, 0) {
						if float64(got) != rounded && (got == got || rounded == rounded) {
							t.Fatalf("%s of y %v, t %v: %v, want %v", what, y[i], target[i], got, rounded)
						}
						return
					}
					if bound := 8*unit[T]()*size + tiny[T](); !(math.Abs(float64(got)-want) <= bound) {
						t.Fatalf("%s of y %v, t %v: %v, want %v ± %v", what, y[i], target[i], got, want, bound)
					}
				}
				near(what, e[i], value, size)
				near(what+", derivative", slope[i], derivative*float64(dE[i]), slopeSize*math.Abs(float64(dE[i])))
				near(what+", derivative of the sum", one[i], derivative*float64(dE[0]), slopeSize*math.Abs(float64(dE[0])))
				exact += float64(e[i])
				sumBound += math.Abs(float64(e[i])) * float64(n) * 0x1p-53
			}
			if math.IsNaN(exact) != math.IsNaN(sum) || !(math.Abs(sum-exact) <= sumBound) && exact == exact {
				t.Errorf("%s: the sum is %v, want %v", what, sum, exact)
			}
			copy(plain, y)
			Losses(l, plain, plain, target)
			same(t, what+", in place", plain, e)
			copy(plain, dE)
			LossSlopes(l, plain, plain, y, target)
			same(t, what+", derivative in place", plain, slope)
			i := n / 2
			Losses(l, plain[:1], y[i:i+1], target[i:i+1])
			same(t, what+", alone", plain[:1], e[i:i+1])
			d.check(t)
		}
	}
}

func TestPairLossThreads(t *testing.T) {
	r := rand.New(rand.NewPCG(85, 0))
	y, target := uniform[float32](r, 3*workers.Chunk+5), uniform[float32](r, 3*workers.Chunk+5)
	everyThreads(t, "losses", func() []float32 {
		d := make([]float32, len(y))
		LossSlopes(pairLosses[2], d, []float32{0.5}, y, target)
		return append(d, float32(LossSum(pairLosses[2], y, target)))
	})
}
