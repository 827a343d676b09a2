package kernel

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

func TestNorm(t *testing.T) {
	everyTier(t, func(t *testing.T) { both(t, testNorm[float32], testNorm[float64]) })
}

// norms are around a vector, its unrolled loop, the switch to pieces, a piece and their tails.
var norms = []Norm{
	ChannelNorm(3, 2, 1, NormBatch), ChannelNorm(5, 300, 3, NormBatch), ChannelNorm(2, 3, 31, NormBatch), ChannelNorm(2, 3, 32, NormBatch),
	ChannelNorm(3, 5, 49, NormBatch), ChannelNorm(2, 7, 129, NormBatch), RowNorm(2, piece+35, NormBatch), RowNorm(3, 2*piece+1, NormBatch),
}

// testNorm holds every kernel against its definition in float64. Each result is a few roundings
// from it: a sum in float64 of n terms errs by n·2⁻⁵³ of its terms' magnitudes, an elementwise
// result by 6 roundings of its terms' magnitudes.
func testNorm[T Float](t *testing.T) {
	const seed = 81
	r := rand.New(rand.NewPCG(seed, 0))
	for _, g := range norms {
		for _, mean := range []float64{0, 1e3} {
			what := fmt.Sprintf("seed %d, %+v, mean %v", seed, g, mean)
			n, k, eps := g.Len(), g.Groups, 0.01
			var d yard[T]
			x, dy, more := d.put(uniform[T](r, n)), d.put(uniform[T](r, n)), d.put(uniform[T](r, n))
			for i := range x {
				x[i] += T(mean)
			}
			scale, bias := d.put(uniform[T](r, k)), d.put(uniform[T](r, k))
			m, y, sums, dx := d.empty(2*k), d.empty(n), d.empty(2*k), d.empty(n)
			unit := 0x1p-53
			if any(T(0)) == any(float32(0)) {
				unit = 0x1p-24
			}
			wide := float64(g.Count()) * 0x1p-53
			check := func(name string, i int, got T, want, bound float64) {
				t.Helper()
				if !(math.Abs(float64(got)-want) <= bound) {
					t.Fatalf("%s: %s, element %d is %v, want %v ± %v", what, name, i, got, want, bound)
				}
			}
			Moments(g, m, x)
			NormSums(g, sums, dy, x, m, eps)
			Normalise(g, y, x, m, Affine[T]{Scale: scale, Bias: bias, Add: more, Eps: eps, ReLU: true})
			NormBackward(g, dx, dy, x, scale, m, sums, eps)
			group := func(i int, f func(at int)) { g.runs(i, i+1, func(_, at int) { each(at, g.Run, f) }) }
			for i := range k {
				var sum, magnitude, squares, sumDy, dot, absDot float64
				group(i, func(at int) { sum += float64(x[at]); magnitude += math.Abs(float64(x[at])) })
				own := sum / float64(g.Count())
				group(i, func(at int) { squares += (float64(x[at]) - own) * (float64(x[at]) - own) })
				check("mean", i, m[i], own, unit*math.Abs(own)+2*wide*magnitude/float64(g.Count()))
				// An error of wide·|mean| in a piece's mean changes the distance of two means, at
				// most a few deviations, whose square counts.
				variance := squares / float64(g.Count())
				check("variance", k+i, m[k+i], variance, (unit+4*wide)*variance+4*wide*mean*math.Sqrt(variance))
				mu, inv := float64(m[i]), 1/math.Sqrt(float64(m[k+i])+eps)
				group(i, func(at int) {
					p := float64(dy[at]) * (float64(x[at]) - mu) * inv
					sumDy, dot, absDot = sumDy+float64(dy[at]), dot+p, absDot+math.Abs(p)
				})
				check("sum", i, sums[i], sumDy, unit*math.Abs(sumDy)+2*wide*float64(g.Count()))
				check("dot", k+i, sums[k+i], dot, unit*math.Abs(dot)+4*wide*absDot)
				s0, s1 := float64(sums[i])/float64(g.Count()), float64(sums[k+i])/float64(g.Count())
				group(i, func(at int) {
					a := inv * float64(scale[i])
					normal := (float64(x[at]) - mu) * a
					check("y", at, y[at], max(0, normal+float64(bias[i])+float64(more[at])), 6*unit*(math.Abs(normal)+2))
					tail := a * s1 * (float64(x[at]) - mu) * inv
					check("dx", at, dx[at], a*(float64(dy[at])-s0)-tail, 6*unit*(math.Abs(a)*(1+math.Abs(s0))+math.Abs(tail)))
				})
			}
			// One pass has the bits of two.
			m2, y2, sums2, dx2 := d.empty(2*k), d.empty(n), d.empty(2*k), d.empty(n)
			MomentsNormalise(g, m2, y2, x, Affine[T]{Scale: scale, Bias: bias, Add: more, Eps: eps, ReLU: true})
			NormSumsBackward(g, sums2, dx2, dy, x, scale, m, eps)
			same(t, what+", moments in one pass", m2, m)
			same(t, what+", y in one pass", y2, y)
			same(t, what+", sums in one pass", sums2, sums)
			same(t, what+", dx in one pass", dx2, dx)
			// In place, and each tail of the pass by itself.
			copy(y2, x)
			Normalise(g, y2, y2, m, Affine[T]{Scale: scale, Bias: bias, Add: more, Eps: eps, ReLU: true})
			same(t, what+", in place", y2, y)
			Normalise(g, y2, x, m, Affine[T]{Scale: scale, Bias: bias, Add: more, Eps: eps, ReLU: true, ReLU6: true})
			for i, v := range y {
				dx2[i] = min(v, 6)
			}
			same(t, what+", a ReLU6", y2, dx2)
			Normalise(g, y2, x, m, Affine[T]{Scale: scale, Bias: bias, Add: more, Eps: eps})
			for i, v := range y2 {
				y2[i] = max(v, 0)
			}
			same(t, what+", a ReLU of its own", y2, y)
			Normalise(g, dx2, x, m, Affine[T]{Scale: scale, Bias: bias, Eps: eps})
			for i, v := range dx2 {
				y2[i] = max(v+more[i], 0)
			}
			same(t, what+", a sum of its own", y2, y)
			Normalise(g, y2, x, m, Affine[T]{Scale: scale, Bias: bias, Eps: eps, ReLU: true})
			for i, v := range dx2 {
				dx2[i] = max(v, 0)
			}
			same(t, what+", a ReLU without a sum", y2, dx2)
			d.check(t)
		}
	}
}

func each(at, n int, f func(at int)) {
	for i := at; i < at+n; i++ {
		f(i)
	}
}

// A NaN or an infinity makes NaN of its group and of no other; a large mean leaves the variance as
// right as that of the same numbers around 0.
func TestNormSpecialValues(t *testing.T) {
	everyTier(t, func(t *testing.T) {
		g := ChannelNorm(2, 3, 67, NormBatch)
		for _, odd := range []float64{math.NaN(), math.Inf(1), math.Inf(-1)} {
			for _, at := range []int{67, 67 + 66, 3*67 + 67 + 5} { // all of channel 1
				x, y, m := uniform[float32](rand.New(rand.NewPCG(1, 1)), g.Len()), make([]float32, g.Len()), make([]float32, 6)
				x[at] = float32(odd)
				MomentsNormalise(g, m, y, x, Affine[float32]{Eps: 1e-5})
				for i, v := range y {
					if channel := i / 67 % 3; (v != v) != (channel == 1) {
						t.Errorf("%v at %d: element %d, of channel %d, is %v", odd, at, i, channel, v)
					}
				}
			}
		}
		near, far, m, want := make([]float32, g.Len()), make([]float32, g.Len()), make([]float32, 6), make([]float32, 6)
		r := rand.New(rand.NewPCG(2, 2))
		for i := range near {
			near[i] = float32(r.IntN(64))
			far[i] = near[i] + 1e6 // exact
		}
		Moments(g, want, near)
		Moments(g, m, far)
		for i := range 3 {
			if a, b := float64(m[3+i]), float64(want[3+i]); !(math.Abs(a-b) <= 2*0x1p-23*b) {
				t.Errorf("the variance around a million is %v, around 0 %v", a, b)
			}
		}
	})
}

func TestNormThreads(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 3))
	g := ChannelNorm(7, 13, 529, NormBatch)
	x, dy, scale, bias := uniform[float32](r, g.Len()), uniform[float32](r, g.Len()), uniform[float32](r, 13), uniform[float32](r, 13)
	everyThreads(t, "normalisation", func() []float32 {
		m, y, sums, dx := make([]float32, 26), make([]float32, g.Len()), make([]float32, 26), make([]float32, g.Len())
		MomentsNormalise(g, m, y, x, Affine[float32]{Scale: scale, Bias: bias, Eps: 1e-5, ReLU: true})
		NormSumsBackward(g, sums, dx, dy, x, scale, m, 1e-5)
		return slices.Concat(m, y, sums, dx)
	})
}
