package kernel

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/convgrad/convgrad/internal/workers"
)

func TestBroadcast(t *testing.T) {
	everyTier(t, func(t *testing.T) { both(t, testBroadcast[float32], testBroadcast[float64]) })
}

// walks repeat one operand or both, or, as sums, drop the axes of step 0.
var walks = []Walk{
	{[]int{1}, []int{0}, []int{0}},
	{[]int{67}, []int{1}, []int{0}},
	{[]int{67}, []int{0}, []int{1}},
	{[]int{workers.Chunk + 19}, []int{1}, []int{1}},
	{[]int{2*workers.Chunk + 5}, []int{0}, []int{1}},
	{[]int{3, 5, 129}, []int{0, 1, 0}, []int{645, 129, 1}},
	{[]int{5, 67}, []int{0, 1}, []int{67, 1}},
	{[]int{2, 3, 4, 35}, []int{35, 0, 0, 1}, []int{420, 140, 35, 1}},
	{[]int{3, 2, 4, 5}, []int{0, 4, 1, 0}, []int{40, 20, 5, 1}},
	{[]int{2, 3, 1030}, []int{1, 0, 0}, []int{0, 1, 0}},
	{[]int{600, 700}, []int{0, 1}, []int{1, 0}},
}

// testBroadcast holds small integers, on which everything but the quotient is exact, against loops.
func testBroadcast[T Float](t *testing.T) {
	const seed = 85
	r := rand.New(rand.NewPCG(seed, 0))
	for _, w := range walks {
		total, places := 1, [2][]int{{0}, {0}}
		for k, side := range w.Sides {
			total *= side
			for o, steps := range [2][]int{w.A, w.B} {
				var next []int
				for _, at := range places[o] {
					for i := range side {
						next = append(next, at+i*steps[k])
					}
				}
				places[o] = next
			}
		}
		operand := func(d *yard[T], places []int) []T {
			v := make([]T, slices.Max(places)+1)
			for i := range v {
				v[i] = T(1 + r.IntN(16))
			}
			return d.put(v)
		}
		var d yard[T]
		a, b := operand(&d, places[0]), operand(&d, places[1])
		y, want := d.empty(total), make([]T, total)
		what := fmt.Sprintf("seed %d, %+v", seed, w)
		for op, f := range []func(a, b T) T{
			func(a, b T) T { return a + b }, func(a, b T) T { return a - b }, func(a, b T) T { return a * b }, func(a, b T) T { return a / b },
		} {
			for i := range want {
				want[i] = f(a[places[0][i]], b[places[1][i]])
			}
			Combine(Operation(op), w, y, a, b)
			same(t, fmt.Sprint(what, ", operation ", op), y, want)
			if len(a) == total {
				copy(y, a)
				Combine(Operation(op), w, y, y, b)
				same(t, fmt.Sprint(what, ", in place, operation ", op), y, want)
			}
		}
		for i := range want {
			want[i] = a[places[0][i]]
		}
		Repeat(w, y, a)
		same(t, what+", repeated", y, want)
		sums, exact := d.empty(len(a)), make([]T, len(a))
		for i, v := range y {
			exact[places[0][i]] += v
		}
		SumOver(w, sums, y)
		same(t, what+", summed", sums, exact)
		winners, first := make([]int, len(a)), make([]int, len(a))
		for round := range 2 { // the second has a NaN here and there
			for i := range first {
				first[i] = -1
			}
			for i, v := range y {
				if v = T(r.IntN(9)); round == 1 && r.IntN(5) == 0 {
					v = T(math.NaN())
				}
				y[i] = v
				if won := &first[places[0][i]]; *won < 0 || v > y[*won] || v != v && y[*won] == y[*won] {
					*won = i
				}
			}
			MaxOver(w, winners, y)
			if !slices.Equal(winners, first) {
				t.Errorf("%s, round %d: the winners are %v, want %v", what, round, winners, first)
			}
			values, all := make([]T, len(a)), make([]T, len(a))
			for _, k := range first {
				if y[k] == 4 { // of zeros the first, whatever its sign
					y[k] = T(math.Copysign(0, float64(k%2)-0.5))
				}
			}
			MaxOver(w, winners, y)
			for i, k := range winners {
				values[i] = y[k]
			}
			MaxValues(w, all, y)
			same(t, fmt.Sprintf("%s, round %d: the values", what, round), all, values)
		}
		Repeat(w, y, a)
		for i, v := range y {
			want[i] = T((float64(v)-3)*1.1 + 0.3)
		}
		Map(y, y, 3, 1.1, 0.3)
		same(t, what+", mapped", y, want)
		var dot float64
		for i := range y {
			y[i] = T(r.IntN(16))
			want[i] = T(r.IntN(16))
			dot += float64(y[i] * want[i])
		}
		if got := Dot(y, want); got != dot {
			t.Errorf("%s: the inner product is %v, want %v", what, got, dot)
		}
		d.check(t)
	}
	x := []T{T(math.Copysign(0, -1)), T(math.Inf(1)), T(math.NaN())}
	Scale(x, x, 2)
	if !math.Signbit(float64(x[0])) || !math.IsInf(float64(x[1]), 1) || x[2] == x[2] {
		t.Errorf("twice −0, +Inf and NaN is %v", x)
	}
}

func TestSumThreads(t *testing.T) {
	for _, w := range walks {
		n := 1
		for _, s := range w.Sides {
			n *= s
		}
		x := uniform[float32](rand.New(rand.NewPCG(1, 1)), n)
		everyThreads(t, fmt.Sprintf("the sum over %+v", w), func() []float32 {
			outputs := 1
			for k, s := range w.Sides {
				if w.A[k] != 0 {
					outputs *= s
				}
			}
			y := make([]float32, outputs)
			SumOver(w, y, x)
			return append(y, float32(Dot(x, x)))
		})
	}
}
