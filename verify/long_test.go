package verify_test

import (
	"fmt"
	"math"
	"testing"

	"gorgonia.org/tensor"

	"github.com/convgrad/convgrad/verify"
)

// joint is a function with a kink, or with a jump of its second derivative, and its derivative.
type joint struct {
	name string
	f    func(x float64) float64
	d    func(x, y float64) float64
}

func joints() []joint {
	branch := func(yes bool, a, b float64) float64 {
		if yes {
			return a
		}
		return b
	}
	return []joint{
		{"abs", math.Abs, func(x, _ float64) float64 {
			return branch(x == 0, 0, math.Copysign(1, x))
		}},
		{"ReLU", func(x float64) float64 { return max(x, 0) },
			func(x, _ float64) float64 { return branch(x > 0, 1, 0) }},
		{"PReLU", func(x float64) float64 { return branch(x > 0, x, x/4) },
			func(x, _ float64) float64 { return branch(x > 0, 1, 0.25) }},
		{"Huber", func(x float64) float64 {
			return branch(math.Abs(x) <= 1, x*x/2, math.Abs(x)-0.5)
		}, func(x, _ float64) float64 { return min(max(x, -1), 1) }},
		{"ELU", func(x float64) float64 { return branch(x > 0, x, math.Expm1(x)) },
			func(x, _ float64) float64 { return branch(x > 0, 1, math.Exp(x)) }},
		{"hard-swish", func(x float64) float64 { return x * min(max(x/6+0.5, 0), 1) },
			func(x, _ float64) float64 {
				return branch(math.Abs(x) <= 3, x/3+0.5, branch(x > 3, 1, 0))
			}},
		{"x·|x|", func(x float64) float64 { return x * math.Abs(x) },
			func(x, _ float64) float64 { return 2 * math.Abs(x) }},
	}
}

// total is the sum or the mean of a function of all elements, as one op.
func (j joint) total(mean bool) *op {
	o := both("Σ "+j.name, 1, sumRule[float64](j, mean), sumRule[float32](j, mean))
	o.out = func([]tensor.Shape) (tensor.Shape, error) { return tensor.Shape{1, 1, 1}, nil }
	return o
}

func sumRule[T real](j joint, mean bool) rule[T] {
	weight := func(n int) float64 {
		if mean {
			return 1 / float64(n)
		}
		return 1
	}
	return rule[T]{
		f: func(in []shaped[T]) []T {
			s := 0.0
			for _, x := range in[0].v {
				s += j.f(float64(x))
			}
			return []T{T(s * weight(len(in[0].v)))}
		},
		d: func(_ int, in []shaped[T], _, dy []T) []T {
			dx := make([]T, len(in[0].v))
			for i, x := range in[0].v {
				dx[i] = T(float64(dy[0]) * weight(len(dx)) * j.d(float64(x), 0))
			}
			return dx
		},
	}
}

// Along directions of thousands of elements every step crosses kinks or joints of some of them.
func TestLongDirectionsOfJoints(t *testing.T) {
	seeds := 2
	if testing.Short() {
		seeds = 1
	}
	for _, j := range joints() {
		for _, mean := range []bool{false, true} {
			for seed := range uint64(seeds) {
				verify.Case{Name: fmt.Sprintf("%s, mean %v, seed %d", j.name, mean, seed), Build: j.total(mean).build,
					Seed: seed, Inputs: []verify.Input{verify.Normal("x", 2, 1100, 2)},
					Only: []verify.Oracle{verify.ByDifferences, verify.ByKinks}}.Test(t)
			}
		}
	}
	// One share in a thousand more is a mistake all the same.
	for _, j := range joints() {
		wrong := j
		wrong.d = func(x, y float64) float64 { return 1.001 * j.d(x, y) }
		r, err := verify.Case{Seed: 1, NoShrink: true, Fixed: true, Inputs: []verify.Input{verify.Normal("x", 2, 1100, 2)},
			Build: wrong.total(true).build,
			Only:  []verify.Oracle{verify.ByDifferences}}.Check()
		if err != nil || !r.Failed() {
			t.Errorf("%s with a thousandth too much: %v\n%s", j.name, err, r)
		}
	}
}
