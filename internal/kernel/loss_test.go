package kernel

import (
	"fmt"
	"math"
	"math/big"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/convgrad/convgrad/internal/simd"
)

// refLoss is one row's softmax, −log softmax at the label, in float64, with differences from the
// maximum taken exactly.
func refLoss(row []float64, label int) (soft []float64, loss float64) {
	top := math.Inf(-1)
	for _, v := range row {
		top = max(top, v)
	}
	diff := func(v float64) float64 {
		d, _ := new(big.Float).Sub(big.NewFloat(v), big.NewFloat(top)).Float64()
		return d
	}
	var sum float64
	for _, v := range row {
		sum += math.Exp(diff(v))
	}
	soft = make([]float64, len(row))
	for i, v := range row {
		soft[i] = math.Exp(diff(v)) / sum
	}
	return soft, math.Log(sum) - diff(row[label])
}

// expUnits bounds the relative error of the exponential of a difference d ≤ 0. The vectors of
// float32 round the difference, which counts |d| times, and the exponential is within 4u of its
// argument's, as testActivations says. All others are in float64, and round once at the end;
// differences from the top, up to 745 where the exponential is not 0, are rounded in float64.
func expUnits[T Float](d float64) float64 {
	if unit[T]() == 0x1p-24 && simd.CurrentTier() != simd.Generic {
		return (4 + math.Abs(d)) * unit[T]()
	}
	return unit[T]() + 800*0x1p-53
}

func TestLoss(t *testing.T) {
	everyTier(t, func(t *testing.T) { both(t, testLoss[float32], testLoss[float64]) })
}

func testLoss[T Float](t *testing.T) {
	largest := T(math.MaxFloat32)
	if unit[T]() == 0x1p-53 {
		f := math.MaxFloat64
		largest = T(f)
	}
	r := rand.New(rand.NewPCG(23, 24))
	for _, c := range []struct {
		name string
		m, n int
		make func(i int) T
	}{
		{"ordinary", 7, 10, func(int) T { return T(r.NormFloat64()) }},
		{"one class", 3, 1, func(int) T { return T(r.NormFloat64()) }},
		{"many rows", 3000, 10, func(int) T { return T(10 * r.NormFloat64()) }},
		{"a wide row", 2, 5003, func(int) T { return T(r.NormFloat64()) }},
		{"a row far from the first", 5, 4, func(i int) T { return T(i/4*1000) + T(r.NormFloat64()) }},
		{"far apart", 5, 7, func(int) T { return T(1e30 * r.NormFloat64()) }},
		{"the largest numbers", 5, 6, func(int) T { return [...]T{largest, -largest, largest / 2}[r.IntN(3)] }},
		{"equal", 5, 9, func(int) T { return -largest }},
	} {
		var d yard[T]
		x := make([]T, c.m*c.n)
		for i := range x {
			x[i] = c.make(i)
		}
		x = d.put(x)
		labels := make([]int, c.m)
		soft, softBound := make([]float64, len(x)), make([]float64, len(x))
		var total, lossBound float64
		for i := range c.m {
			labels[i] = r.IntN(c.n)
			row := make([]float64, c.n)
			for j := range row {
				row[j] = float64(x[i*c.n+j])
			}
			s, l := refLoss(row, labels[i])
			total += l
			// The sum errs by its terms' errors, of which that of each counts by its share, and by
			// the rounding of n additions in float64.
			top, sumError := slices.Max(row), float64(c.n)*0x1p-53
			for j, p := range s {
				if p > 0 {
					sumError += p * expUnits[T](row[j]-top)
				}
			}
			lossBound += sumError + (math.Abs(l)+1)*8*0x1p-53
			for j, p := range s {
				k := i*c.n + j
				soft[k] = p
				// To the exponential and the sum, the sum's inverse and the product are added. The
				// smallest subnormal number is the grain below which nothing is known.
				relative := sumError + 2*unit[T]()
				if p > 0 {
					relative += expUnits[T](row[j] - top)
				}
				softBound[k] = p*relative + 2*tiny[T]()
			}
		}
		y := d.empty(len(x))
		Softmax(Along{c.m, c.n, 1}, y, x)
		within(t, c.name+": Softmax", y, soft, softBound)
		got := CrossEntropy(Along{c.m, c.n, 1}, x, labels, -1)
		if !(math.Abs(got-total) <= lossBound+math.Abs(total)*float64(c.m)*0x1p-53) && !(math.IsInf(total, 1) && math.IsInf(got, 1)) {
			t.Errorf("%s: CrossEntropy is %v, want %v", c.name, got, total)
		}
		d.check(t)
	}
}

// tiny is twice the smallest subnormal number of T.
func tiny[T Float]() float64 {
	if unit[T]() == 0x1p-24 {
		return 2 * math.SmallestNonzeroFloat32
	}
	return 2 * math.SmallestNonzeroFloat64
}

func TestLines(t *testing.T) {
	everyTier(t, func(t *testing.T) { both(t, testLines[float32], testLines[float64]) })
}

// Lines along an inner axis give what the same lines give as rows. Strips take differences, sums
// and logarithms in another order or type: each result is within 16u of the terms that it is made
// of, and of (|d| + 4)u more for each exponential of a difference d, which is 6 or less here.
func testLines[T Float](t *testing.T) {
	const seed = 87
	r := rand.New(rand.NewPCG(seed, 0))
	const bound = 16 + 10
	for _, a := range []Along{{1, 3, 2}, {2, 5, 7}, {3, 1, 17}, {2, 4, 256}, {1, 21, 300}, {3, 2, 523}} {
		rows := Along{a.Outer * a.Inner, a.N, 1}
		size, lines := a.Outer*a.N*a.Inner, a.Outer*a.Inner
		// turned has line after line; back undoes it.
		turned := func(x []T) []T {
			y := make([]T, size)
			for i := range lines {
				for j := range a.N {
					y[i*a.N+j] = x[a.At(i, j)]
				}
			}
			return y
		}
		x, dy := uniform[T](r, size), uniform[T](r, size)
		for i := range x {
			x[i] *= 3
		}
		labels, w := make([]int, lines), uniform[T](r, a.N)
		for i := range labels {
			labels[i] = r.IntN(a.N)
		}
		ignored := labels[0]
		near := func(what string, got, want []T, terms float64) {
			t.Helper()
			for i, v := range want {
				if b := bound * terms * unit[T](); !(math.Abs(float64(got[i])-float64(v)) <= b) {
					t.Fatalf("seed %d, %v: %s: element %d is %v, by rows %v ± %v", seed, a, what, i, got[i], v, b)
				}
			}
		}
		y, want := make([]T, size), make([]T, size)
		Softmax(a, y, x)
		Softmax(rows, want, turned(x))
		near("Softmax", turned(y), want, 1)
		p := slices.Clone(y)
		SoftmaxBackward(a, y, p, dy)
		SoftmaxBackward(rows, want, turned(p), turned(dy))
		near("SoftmaxBackward", turned(y), want, 2)
		LogSoftmax(a, y, x)
		LogSoftmax(rows, want, turned(x))
		near("LogSoftmax", turned(y), want, 10)
		p = slices.Clone(y)
		LogSoftmaxBackward(a, y, p, dy)
		LogSoftmaxBackward(rows, want, turned(p), turned(dy))
		near("LogSoftmaxBackward", turned(y), want, 1+float64(a.N))
		got, by := CrossEntropy(a, x, labels, ignored), CrossEntropy(rows, turned(x), labels, ignored)
		near("CrossEntropy", []T{T(got)}, []T{T(by)}, 10*float64(lines))
		for _, weights := range [][]T{nil, w} {
			for _, s := range []float64{0, 0.25} {
				e, plain := make([]T, lines), make([]T, lines)
				LabelLosses(a, e, p, labels, weights, ignored, s)
				LabelLosses(rows, plain, turned(p), labels, weights, ignored, s)
				near("LabelLosses", e, plain, 10)
				LabelSlopes(a, y, dy[:lines], labels, weights, ignored, s)
				LabelSlopes(rows, want, dy[:lines], labels, weights, ignored, s)
				near("LabelSlopes", turned(y), want, 1)
			}
		}
	}
}

func TestLossSpecialValues(t *testing.T) {
	everyTier(t, func(t *testing.T) {
		inf, nan := math.Inf(1), math.NaN()
		for _, c := range []struct {
			name string
			x    []float64
			soft []float64
			loss float64 // at label 0
		}{
			{"NaN", []float64{1, nan, 2}, []float64{nan, nan, nan}, nan},
			{"+Inf", []float64{1, inf, 2}, []float64{0, nan, 0}, nan},
			{"−Inf at another class", []float64{1, -inf, 1}, []float64{0.5, 0, 0.5}, math.Log(2)},
			{"−Inf at the label", []float64{-inf, 1, 1}, []float64{0, 0.5, 0.5}, inf},
			{"nothing but −Inf", []float64{-inf, -inf, -inf}, []float64{nan, nan, nan}, nan},
		} {
			y := make([]float64, 3)
			Softmax(Along{1, 3, 1}, y, c.x)
			for i := range y {
				if c.name == "+Inf" && y[i] != y[i] {
					continue // PyTorch's row is NaN at least where x is +Inf; so is ours
				}
				if y[i] != c.soft[i] && (y[i] == y[i] || c.soft[i] == c.soft[i]) {
					t.Errorf("%s: softmax is %v, want %v", c.name, y, c.soft)
				}
			}
			// The same in the first of two lines side by side.
			beside, two := make([]float64, 6), make([]float64, 6)
			for i, v := range c.x {
				two[2*i] = v
			}
			Softmax(Along{1, 3, 2}, beside, two)
			for i := range y {
				if v := beside[2*i]; !(math.Abs(v-y[i]) <= 0x1p-51) && (v == v || y[i] == y[i] && c.name != "+Inf") {
					t.Errorf("%s: softmax of a strip is %v, want %v", c.name, beside, y)
				}
			}
			if got, want := CrossEntropy(Along{1, 3, 2}, two, []int{0, 2}, 2), CrossEntropy(Along{1, 3, 1}, c.x, []int{0}, -1); got != want && !(math.Abs(got-want) <= 0x1p-50) && (got == got || want == want) {
				t.Errorf("%s: the loss of a strip is %v, want %v", c.name, got, want)
			}
			if got := CrossEntropy(Along{1, 3, 1}, c.x, []int{0}, -1); !(math.Abs(got-c.loss) <= 0x1p-52) && got != c.loss && (got == got || c.loss == c.loss) {
				t.Errorf("%s: loss is %v, want %v", c.name, got, c.loss)
			}
		}
	})
}

func TestLossThreads(t *testing.T) {
	r := rand.New(rand.NewPCG(25, 26))
	const m, n = 5000, 10
	x, labels := uniform[float64](r, m*n), make([]int, m)
	for i := range labels {
		labels[i] = r.IntN(n)
	}
	everyThreads(t, "loss", func() []float64 {
		y := make([]float64, m*n)
		Softmax(Along{m, n, 1}, y, x)
		return append(y, CrossEntropy(Along{m, n, 1}, x, labels, -1))
	})
}

func TestOptimisers(t *testing.T) {
	everyTier(t, func(t *testing.T) { both(t, testOptimisers[float32], testOptimisers[float64]) })
}

func testOptimisers[T Float](t *testing.T) {
	r := rand.New(rand.NewPCG(27, 28))
	for _, n := range lengths {
		var d yard[T]
		w0, g := uniform[T](r, n), d.put(uniform[T](r, n))
		m0, v0 := uniform[T](r, n), uniform[T](r, n)
		for i := range v0 {
			v0[i] = v0[i] * v0[i]
		}
		w, m, v := d.empty(n), d.empty(n), d.empty(n)
		reset := func() { copy(w, w0); copy(m, m0); copy(v, v0) }
		want, wantM, wantV := make([]float64, n), make([]float64, n), make([]float64, n)
		bound := make([]float64, n)
		check := func(what string, got []T, want []float64) {
			t.Helper()
			within(t, fmt.Sprint(what, " ", n), got, want, bound)
		}
		// Every step is at most a dozen operations on numbers below 2 (Adam's and RMSProp's
		// quotients below the number at hand).
		u := 16 * unit[T]()

		for _, nesterov := range []bool{false, true} {
			reset()
			for i := range want {
				d := float64(g[i]) + 0.01*float64(w0[i])
				wantM[i] = 0.9*float64(m0[i]) + d
				step := wantM[i]
				if nesterov {
					step = d + 0.9*wantM[i]
				}
				want[i] = float64(w0[i]) - 0.1*step
				bound[i] = 4 * u
			}
			SGD(w, g, m, 0.1, 0.9, 0.01, nesterov)
			check("SGD", w, want)
			check("SGD's momentum", m, wantM)
		}
		reset()
		for i := range want {
			want[i] = float64(w0[i]) - 0.1*(float64(g[i])+0.01*float64(w0[i]))
		}
		SGD(w, g, nil, 0.1, 0, 0.01, false)
		check("SGD without momentum", w, want)

		reset()
		rate, beta1, beta2, epsilon, decay := T(0.01), T(0.9), T(0.999), T(1e-4), T(0.02)
		c1, c2 := 1-math.Pow(float64(beta1), 3), 1-math.Pow(float64(beta2), 3)
		for i := range want {
			wantM[i] = float64(beta1)*float64(m0[i]) + (1-float64(beta1))*float64(g[i])
			wantV[i] = float64(beta2)*float64(v0[i]) + (1-float64(beta2))*float64(g[i])*float64(g[i])
			step := float64(rate) * (wantM[i] / c1) / (math.Sqrt(wantV[i]/c2) + float64(epsilon))
			want[i] = float64(w0[i]) - step - float64(rate)*float64(decay)*float64(w0[i])
			// m may cancel: its error is that of numbers below 1, and 1−β₂ = 0.001 is known to 1000
			// units; both through the quotient.
			bound[i] = u + float64(rate)/c1*u/(math.Sqrt(wantV[i]/c2)+float64(epsilon))*(1+1000*(math.Abs(wantM[i])))
		}
		Adam(w, g, m, v, 3, rate, beta1, beta2, epsilon, decay, true)
		check("Adam", w, want)
		for i := range bound {
			bound[i] = u
		}
		check("Adam's m", m, wantM)
		check("Adam's v", v, wantV)

		reset()
		for i := range want {
			wantV[i] = float64(beta1)*float64(v0[i]) + (1-float64(beta1))*float64(g[i])*float64(g[i])
			step := float64(rate) * float64(g[i]) / (math.Sqrt(wantV[i]) + float64(epsilon))
			want[i] = float64(w0[i]) - step
			bound[i] = u + math.Abs(step)*16*u
		}
		RMSProp(w, g, v, rate, beta1, epsilon, 0)
		check("RMSProp", w, want)
		for i := range bound {
			bound[i] = u
		}
		check("RMSProp's s", v, wantV)
		d.check(t)
	}
}

// Vectors and the loops in Go that do the rest compute the same bits, so that a result does not
// depend on where a span begins.
func TestOptimisersTiersAgree(t *testing.T) {
	t.Run("float32", testOptimisersTiersAgree[float32])
	t.Run("float64", testOptimisersTiersAgree[float64])
}

func testOptimisersTiersAgree[T Float](t *testing.T) {
	r := rand.New(rand.NewPCG(29, 30))
	const n = 173
	state := [4][]T{uniform[T](r, n), uniform[T](r, n), uniform[T](r, n), uniform[T](r, n)}
	for i, v := range state[3] {
		state[3][i] = v * v
	}
	state[1][5], state[0][7], state[2][90] = T(math.NaN()), T(math.Inf(1)), T(math.Inf(-1))
	was := CurrentTier()
	defer SetTier(was)
	for name, step := range map[string]func(w, g, m, v []T){
		"SGD":                func(w, g, _, _ []T) { SGD(w, g, nil, 0.1, 0, 0.01, false) },
		"SGD with momentum":  func(w, g, m, _ []T) { SGD(w, g, m, 0.1, 0.9, 0.01, false) },
		"SGD after Nesterov": func(w, g, m, _ []T) { SGD(w, g, m, 0.1, 0.9, 0.01, true) },
		"Adam":               func(w, g, m, v []T) { Adam(w, g, m, v, 7, 0.01, 0.9, 0.999, 1e-8, 0.1, false) },
		"AdamW":              func(w, g, m, v []T) { Adam(w, g, m, v, 7, 0.01, 0.9, 0.999, 1e-8, 0.1, true) },
		"RMSProp":            func(w, g, _, v []T) { RMSProp(w, g, v, 0.01, 0.9, 1e-8, 0.1) },
		"Dropout":            func(w, g, _, _ []T) { Dropout(w, g, 0.3, 1, 2, 3) },
	} {
		var want [4][]T
		for _, tier := range Tiers() {
			if err := SetTier(tier); err != nil {
				t.Fatal(err)
			}
			var got [4][]T
			for i := range got {
				got[i] = append([]T(nil), state[i]...)
			}
			step(got[0], got[1], got[2], got[3])
			for i := range got {
				if tier == Generic {
					want[i] = got[i]
				} else {
					same(t, fmt.Sprint(name, " in ", tier), got[i], want[i])
				}
			}
		}
	}
}

// The vectors' exponential in float64 is within four units of its last place of math's, which is
// within one of the exact value; see expUnits.
func TestExpRow(t *testing.T) {
	everyTier(t, func(t *testing.T) { both(t, testExpRow[float32], testExpRow[float64]) })
}

func testExpRow[T Float](t *testing.T) {
	r := rand.New(rand.NewPCG(35, 36))
	for _, n := range []int{1, 3, 4, 7, 8, 9, 100, 3001} {
		var d yard[T]
		x := make([]T, n)
		for i := range x {
			switch r.IntN(4) {
			case 0:
				x[i] = T(-r.Float64())
			case 1:
				x[i] = T(-100 * r.Float64())
			case 2:
				x[i] = T(-760 * r.Float64())
			default:
				x[i] = T(-r.ExpFloat64())
			}
		}
		x[0], x[n/2], x[n-1] = 0, T(math.Inf(-1)), -709
		x = d.put(x)
		y := d.empty(n)
		total := simd.ExpSum(y, x, 0)
		want, bound := make([]float64, n), make([]float64, n)
		var exact, sumBound float64
		for i, v := range x {
			want[i] = math.Exp(float64(v))
			bound[i] = want[i]*(5*0x1p-53+expUnits[T](0)) + tiny[T]()
			exact += want[i]
			sumBound += bound[i]
		}
		within(t, fmt.Sprint("exp ", n), y, want, bound)
		if !(math.Abs(total-exact) <= sumBound+exact*float64(n+5)*0x1p-52) {
			t.Errorf("%d: the sum is %v, want %v", n, total, exact)
		}
		x[n-1] = T(math.NaN())
		if total = simd.ExpSum(y, x, 0); total == total || y[n-1] == y[n-1] {
			t.Errorf("%d: the sum with a NaN is %v, its exponential %v", n, total, y[n-1])
		}
		d.check(t)
		for i := range x {
			x[i] = T(-r.Float64())
		}
		for i := range x {
			was := x[i]
			x[i] = T(math.NaN())
			if top := simd.Max(x); top == top {
				t.Fatalf("%d: a NaN at %d, and the maximum is %v", n, i, top)
			}
			x[i] = 7
			if top := simd.Max(x); top != 7 {
				t.Fatalf("%d: 7 at %d, and the maximum is %v", n, i, top)
			}
			if x[i] = was; n > 100 && i == 40 {
				break
			}
		}
	}
}
