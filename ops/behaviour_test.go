package ops_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	G "gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/convgrad/convgrad/internal/kernel"
	"github.com/convgrad/convgrad/ops"
)

// What the doc comments promise beyond sums and gradients.

// Same padding gives ⌈H/stride⌉ windows at any window and dilation; the larger part goes where the
// name says. The image's pixels are all 1 and the window's are powers of two, so that y[0] tells
// which taps lie outside.
func TestSame(t *testing.T) {
	for _, window := range []int{1, 2, 3, 4, 5} {
		for _, stride := range []int{1, 2, 3} {
			for _, dilation := range []int{1, 2, 3} {
				const n = 7
				out := (n + stride - 1) / stride
				total := max(0, (out-1)*stride+(window-1)*dilation+1-n)
				for _, lower := range []bool{false, true} {
					pad, before := ops.SameUpper(), total/2
					if lower {
						pad, before = ops.SameLower(), total-total/2
					}
					p := ops.ConvParams{Stride: ops.Size{H: 1, W: stride}, Dilation: ops.Size{H: 1, W: dilation}, Pad: pad}
					g := G.NewGraph()
					x, w := leaf(g, "x", tensor.Shape{1, 1, 1, n}, make([]float64, n)), leaf(g, "w", tensor.Shape{1, 1, 1, window}, make([]float64, window))
					for i := range n {
						x.Value().Data().([]float64)[i] = 1
					}
					want := 0.0
					for s := range window {
						tap := math.Ldexp(1, s)
						w.Value().Data().([]float64)[s] = tap
						if at := s*dilation - before; at >= 0 && at < n {
							want += tap
						}
					}
					y := must(t)(ops.Conv2D(x, w, nil, p))
					if !slices.Equal(y.Shape(), tensor.Shape{1, 1, 1, out}) {
						t.Fatalf("window %d, stride %d, dilation %d: y is %v, want width %d", window, stride, dilation, y.Shape(), out)
					}
					value, _ := mustEvaluate[float64](t, ours, must(t)(costOf(y, make([]float64, out))), y, x, w)
					if value[0] != want {
						t.Errorf("window %d, stride %d, dilation %d, %v: y[0] is %v, want %v", window, stride, dilation, pad, value[0], want)
					}
				}
			}
		}
	}
}

// The constructors of paddings put their numbers where they say.
func TestPaddings(t *testing.T) {
	for _, c := range []struct{ got, want ops.Padding }{
		{ops.Around(2), ops.Padding{Top: 2, Bottom: 2, Left: 2, Right: 2}},
		{ops.AroundHW(1, 2), ops.Padding{Top: 1, Bottom: 1, Left: 2, Right: 2}},
		{ops.BeginEnd(ops.Size{H: 1, W: 2}, ops.Size{H: 3, W: 4}), ops.Padding{Top: 1, Left: 2, Bottom: 3, Right: 4}},
	} {
		if c.got != c.want {
			t.Errorf("got %v, want %v", c.got, c.want)
		}
	}
}

// Region is the smallest ranges of the output that hold all a pixel reaches, found by moving the
// pixel; at stride 1 without padding it is the article's Q.
func TestRegion(t *testing.T) {
	x, w := tensor.Shape{1, 1, 6, 7}, tensor.Shape{1, 1, 3, 2}
	for _, p := range []ops.ConvParams{
		{},
		{Flip: true},
		{Pad: ops.Padding{Top: 2, Left: 1, Right: 3}},
		{Stride: ops.Size{H: 2, W: 1}, Pad: ops.AroundHW(1, 0)},
		{Stride: ops.Size{H: 4, W: 3}},
		{Dilation: ops.Size{H: 2, W: 3}, Pad: ops.Padding{Top: 1, Bottom: 2, Right: 2}},
		{Stride: ops.Size{H: 2, W: 3}, Dilation: ops.Size{H: 2, W: 1}, Pad: ops.Padding{Top: 3, Bottom: 1, Left: 1, Right: 1}},
	} {
		shape, err := ops.Conv2DShape(x, w, p)
		if err != nil {
			t.Fatal(err)
		}
		ones := []float64{1, 1, 1, 1, 1, 1}
		for i := range x[2] {
			for j := range x[3] {
				image := make([]float64, 42)
				image[i*7+j] = 1
				y := referenceOf(t, x, w, p, image, ones, nil).y
				rows, cols := [2]int{math.MaxInt, 0}, [2]int{math.MaxInt, 0}
				for at, v := range y {
					if v != 0 {
						r, c := at/shape[2], at%shape[2]
						rows, cols = [2]int{min(rows[0], r), max(rows[1], r+1)}, [2]int{min(cols[0], c), max(cols[1], c+1)}
					}
				}
				gotRows, gotCols, err := ops.Region(x, w, p, i, j)
				if err != nil {
					t.Fatal(err)
				}
				// no output sees the pixel: one of the ranges is empty, or a dilation or stride
				// steps over it
				if rows[1] == 0 {
					if p.Dilation == (ops.Size{}) && gotRows[0] < gotRows[1] && gotCols[0] < gotCols[1] {
						t.Errorf("%+v: pixel (%d, %d) reaches nothing, Region says %v %v", p, i, j, gotRows, gotCols)
					}
					continue
				}
				tight := gotRows == rows && gotCols == cols
				// what a dilation steps over may be at the ranges' ends
				if p.Dilation != (ops.Size{}) {
					tight = gotRows[0] <= rows[0] && gotRows[1] >= rows[1] && gotCols[0] <= cols[0] && gotCols[1] >= cols[1]
				}
				if !tight {
					t.Errorf("%+v: pixel (%d, %d): Region says %v %v, outputs are reached in %v %v", p, i, j, gotRows, gotCols, rows, cols)
				}
				if p == (ops.ConvParams{}) {
					if q := [2]int{max(0, i-2), min(i+1, shape[1])}; gotRows != q {
						t.Errorf("rows of Q at %d are %v, want %v", i, gotRows, q)
					}
				}
			}
		}
	}
}

// Flip is the article's convolution: cross-correlation with each filter turned by 180°.
func TestFlip(t *testing.T) {
	r := rand.New(rand.NewPCG(91, 0))
	xs, ws := tensor.Shape{2, 2, 5, 6}, tensor.Shape{3, 2, 3, 2}
	xv, wv := integers[float64](r, 120, 5), integers[float64](r, 36, 5)
	turned := make([]float64, 36)
	for i, v := range wv {
		turned[i/6*6+5-i%6] = v
	}
	for _, machine := range machines {
		run := func(w []float64, p ops.ConvParams) []float64 {
			g := G.NewGraph()
			x := leaf(g, "x", xs, xv)
			y := must(t)(ops.Conv2D(x, leaf(g, "w", ws, w), nil, p))
			value, _ := mustEvaluate[float64](t, machine, must(t)(G.Sum(y)), y, x)
			return value
		}
		equal(t, machine, run(wv, ops.ConvParams{Flip: true}), run(turned, ops.ConvParams{}))
	}
}

// A ReLU or ReLU6 after Conv2D, which ops/vm computes in the same pass where no gradient needs the
// sums, is the same in all machines, with the same gradients.
func TestFusedReLU(t *testing.T) {
	r := rand.New(rand.NewPCG(92, 0))
	xs, ws := tensor.Shape{2, 3, 6, 5}, tensor.Shape{4, 3, 3, 2}
	xv, wv, bv, dy := integers[float64](r, 180, 5), integers[float64](r, 72, 5), integers[float64](r, 4, 5), integers[float64](r, 2*4*4*4, 5)
	for name, after := range map[string]func(*G.Node) (*G.Node, error){"ReLU": ops.ReLU, "ReLU6": ops.ReLU6} {
		run := func(machine string, gradients bool) ([]float64, [][]float64) {
			m, g := must(t), G.NewGraph()
			x, w, b := leaf(g, "x", xs, xv), leaf(g, "w", ws, wv), leaf(g, "b", tensor.Shape{4}, bv)
			y := m(after(m(ops.Conv2D(x, w, b, ops.ConvParams{}))))
			if !gradients {
				other := leaf(g, "another", tensor.Shape{1}, bv[:1])
				return mustEvaluate[float64](t, machine, m(ops.Sum(other)), y, other)
			}
			return mustEvaluate[float64](t, machine, m(costOf(y, dy)), y, x, w, b)
		}
		want, gradients := run(machines[0], true)
		for _, machine := range machines {
			y, d := run(machine, true)
			equal(t, machine+": "+name, y, want)
			for i := range d {
				equal(t, fmt.Sprint(machine, ": ", name, ": gradient ", i), d[i], gradients[i])
			}
		}
		y, _ := run(ours, false)
		equal(t, name+" without gradients", y, want)
	}
}

// ReLU at 0, at −0, at infinities and at NaN, and its derivative there.
func TestReLUSpecialValues(t *testing.T) {
	t.Run("float32", testReLUSpecialValues[float32])
	t.Run("float64", testReLUSpecialValues[float64])
}

func testReLUSpecialValues[T kernel.Float](t *testing.T) {
	inf, nan := math.Inf(1), math.NaN()
	x := []float64{0, math.Copysign(0, -1), 1, -1, inf, -inf, nan, 1e-30, -1e-30}
	y := []float64{0, 0, 1, 0, inf, 0, nan, 1e-30, 0}
	dx := []float64{0, 0, 3, 0, 3, 0, 3, 3, 0}
	for lead := range 40 { // places in a vector, and in its tail
		xv, dy := make([]T, lead+len(x)), make([]T, lead+len(x))
		for i := range dy {
			dy[i] = 3
		}
		for i, v := range x {
			xv[lead+i] = T(v)
		}
		for _, machine := range machines {
			in := leaf(G.NewGraph(), "x", tensor.Shape{len(xv)}, xv)
			out := must(t)(ops.ReLU(in))
			value, grads := mustEvaluate[T](t, machine, must(t)(costOf(out, dy)), out, in)
			for i := range x {
				got, want := float64(value[lead+i]), float64(T(y[i]))
				if math.Float64bits(got) != math.Float64bits(want) && (got == got || want == want) {
					t.Fatalf("%s: ReLU(%v) is %v, want %v", machine, x[i], got, want)
				}
				if float64(grads[0][lead+i]) != dx[i] {
					t.Fatalf("%s: derivative at %v is %v, want %v", machine, x[i], grads[0][lead+i], dx[i])
				}
			}
		}
	}
}

// The winners are indices into the planes of x, of the first of equals.
func TestMaxPool2DIndices(t *testing.T) {
	r := rand.New(rand.NewPCG(93, 0))
	g := G.NewGraph()
	p := ops.PoolParams{Window: ops.Size{H: 2, W: 3}, Stride: ops.Size{H: 1, W: 2}, Pad: ops.Padding{Top: 1, Right: 1}}
	geometry, err := kernel.NewPool(2, 3, 5, 6, 2, 3, kernel.Spatial{StrideH: 1, StrideW: 2, DilationH: 1, DilationW: 1, PadTop: 1, PadRight: 1})
	if err != nil {
		t.Fatal(err)
	}
	xv := integers[float64](r, 180, 2) // ties are many
	x := leaf(g, "x", tensor.Shape{2, 3, 5, 6}, xv)
	y, winner, err := ops.MaxPool2DIndices(x, p)
	if err != nil {
		t.Fatal(err)
	}
	var yv, wv G.Value
	G.Read(y, &yv)
	G.Read(winner, &wv)
	m := G.NewTapeMachine(g)
	defer m.Close()
	if err := m.RunAll(); err != nil {
		t.Fatal(err)
	}
	want := make([]int32, geometry.YLen())
	kernel.RefMaxWinners(geometry, want, xv)
	got, ok := wv.Data().([]int32)
	if !ok || !wv.Shape().Eq(yv.Shape()) {
		t.Fatalf("winners are %T of shape %v, want []int32 of shape %v", wv.Data(), wv.Shape(), yv.Shape())
	}
	for i := range want {
		if got[i] != want[i] {
			t.Fatalf("winner %d is %d, want %d", i, got[i], want[i])
		}
		if v := yv.Data().([]float64)[i]; v != xv[i/(geometry.P*geometry.Q)*30+int(got[i])] {
			t.Fatalf("y %d is %v, not the winner's", i, v)
		}
	}
}

// L2Pool2D's derivative is 0 in a window of zeros, where the norm has none, and its norms neither
// overflow nor underflow.
func TestL2PoolExtremes(t *testing.T) {
	for _, c := range []struct {
		x       [4]float64
		y       float64
		dx      [4]float64
		largest float64 // relative error
	}{
		{[4]float64{0, 0, 0, 0}, 0, [4]float64{0, 0, 0, 0}, 0},
		{[4]float64{3, 0, 0, 4}, 5, [4]float64{0.6, 0, 0, 0.8}, 4 * 0x1p-53},
		{[4]float64{3e200, 0, -4e200, 0}, 5e200, [4]float64{0.6, 0, -0.8, 0}, 8 * 0x1p-53},
		{[4]float64{3e-200, 4e-200, 0, 0}, 5e-200, [4]float64{0.6, 0.8, 0, 0}, 8 * 0x1p-53},
	} {
		for _, machine := range machines {
			x := leaf(G.NewGraph(), "x", tensor.Shape{1, 1, 2, 2}, c.x[:])
			y := must(t)(ops.L2Pool2D(x, ops.PoolParams{Window: ops.Both(2)}))
			value, grads := mustEvaluate[float64](t, machine, must(t)(costOf(y, []float64{1})), y, x)
			if !(math.Abs(value[0]-c.y) <= c.largest*c.y) {
				t.Errorf("%s: the norm of %v is %v, want %v", machine, c.x, value[0], c.y)
			}
			for i, v := range grads[0] {
				if !(math.Abs(v-c.dx[i]) <= c.largest*math.Abs(c.dx[i])) {
					t.Errorf("%s: dx %d of %v is %v, want %v", machine, i, c.x, v, c.dx[i])
				}
			}
		}
	}
}

// NaN and infinities reach the averages and norms of the windows that they are in, and no others; a
// norm of a window with NaN is NaN, whatever else is in it. Dropout drops them like any number.
func TestNaNAndInfinitiesSpread(t *testing.T) {
	inf, nan := math.Inf(1), math.NaN()
	p := ops.PoolParams{Window: ops.Size{H: 2, W: 3}, Stride: ops.Size{H: 1, W: 2}, Pad: ops.Padding{Top: 1, Right: 1}}
	geometry, err := kernel.NewPool(1, 2, 5, 40, 2, 3, kernel.Spatial{StrideH: 1, StrideW: 2, DilationH: 1, DilationW: 1, PadTop: 1, PadRight: 1})
	if err != nil {
		t.Fatal(err)
	}
	xv, squares, sums := integers[float64](rand.New(rand.NewPCG(95, 0)), geometry.XLen(), 9), make([]float64, geometry.XLen()), make([]float64, geometry.YLen())
	xv[3], xv[90], xv[91], xv[170], xv[250], xv[251], xv[399] = nan, inf, -inf, -inf, nan, inf, inf
	for i, v := range xv {
		squares[i] = v * v
	}
	for _, machine := range machines {
		for name, pool := range map[string]func(x *G.Node) (*G.Node, error){
			"AvgPool2D": func(x *G.Node) (*G.Node, error) { return ops.AvgPool2D(x, p) },
			"L2Pool2D":  func(x *G.Node) (*G.Node, error) { return ops.L2Pool2D(x, p) },
		} {
			x := leaf(G.NewGraph(), "x", tensor.Shape{1, 2, 5, 40}, xv)
			y := must(t)(pool(x))
			value, _ := mustEvaluate[float64](t, machine, must(t)(costOf(y, make([]float64, geometry.YLen()))), y, x)
			from, of := xv, func(sum float64) float64 { return sum / 6 }
			if name == "L2Pool2D" {
				from, of = squares, math.Sqrt
			}
			kernel.RefSumWindows(geometry, sums, from)
			for i, v := range value {
				want := of(sums[i])
				// The sums of integers are exact. A mean by a reciprocal has two roundings, a norm
				// of numbers scaled by their greatest fewer than eight.
				if !(math.Abs(v-want) <= 8*0x1p-53*math.Abs(want)) && v != want && (v == v || want == want) {
					t.Errorf("%s: %s: element %d is %v, want %v", machine, name, i, v, want)
				}
			}
		}
		m := runDropouts(t, machine, 5, func(*ops.Random) {}, slices.Repeat([]float64{nan, inf}, 32), make([]float64, 64), 0.5)
		for i, v := range m.y[0] {
			if v != 0 && (i%2 == 0) != (v != v) {
				t.Errorf("%s: Dropout of %v is %v", machine, []float64{nan, inf}[i%2], v)
			}
		}
	}
}

// Winograd's algorithm is used only if it is permitted: without it the sums of integers are exact
// where it would round.
func TestWinogradIsOnRequest(t *testing.T) {
	r := rand.New(rand.NewPCG(96, 0))
	x, w, xv, wv := tensor.Shape{4, 32, 10, 12}, tensor.Shape{48, 32, 3, 3}, integers[float64](r, 4*32*120, 9), integers[float64](r, 48*32*9, 9)
	want := referenceOf(t, x, w, ops.ConvParams{}, xv, wv, nil).y
	run := func(p ops.ConvParams) []float64 {
		g := G.NewGraph()
		in := leaf(g, "x", x, rounded(xv))
		y := must(t)(ops.Conv2D(in, leaf(g, "w", w, rounded(wv)), nil, p))
		value, _ := mustEvaluate[float32](t, ours, must(t)(costOf(y, make([]float32, len(want)))), y, in)
		wide := make([]float64, len(value))
		for i, v := range value {
			wide[i] = float64(v)
		}
		return wide
	}
	equal(t, "y", run(ops.ConvParams{}), want)
	if ops.Tier() != "generic" && slices.Equal(run(ops.ConvParams{Winograd: true}), want) {
		t.Error("Winograd's algorithm is permitted and not used")
	}
}

// The losses' parameters: the sum, the mean, every term by itself, and the article's ½.
func TestLossParameters(t *testing.T) {
	yv, tv := []float64{1, 2, 3, 4, 5, 6}, []float64{2, 2, 1, 8, 5, 4} // squares 1, 0, 4, 16, 0, 4
	by := func(r ops.Reduction) func(y, t *G.Node) (*G.Node, error) {
		return func(y, t *G.Node) (*G.Node, error) { return ops.MSE(y, t, r) }
	}
	for _, c := range []struct {
		name  string
		build func(y, t *G.Node) (*G.Node, error)
		e     []float64
		// the derivative of the sum of e by the first element of y, whose difference is −1
		d0 float64
	}{
		{"sum", by(ops.ReductionSum), []float64{25}, -2},
		{"mean", by(ops.ReductionMean), []float64{25.0 / 6}, -2.0 / 6},
		{"none", by(ops.ReductionNone), []float64{1, 0, 4, 16, 0, 4}, -2},
		{"the article's", ops.ArticleError, []float64{12.5}, -1},
	} {
		for _, machine := range machines {
			g := G.NewGraph()
			y, target := leaf(g, "y", tensor.Shape{2, 3}, yv), leaf(g, "t", tensor.Shape{2, 3}, tv)
			e := must(t)(c.build(y, target))
			cost := e
			if len(c.e) > 1 {
				cost = must(t)(G.Sum(e))
			}
			value, grads := mustEvaluate[float64](t, machine, cost, e, y, target)
			if !slices.EqualFunc(value, c.e, within) || !within(grads[0][0], c.d0) || !within(grads[1][0], -c.d0) {
				t.Errorf("%s: %s: E is %v, want %v; its derivative by y is %v, want %v; by t %v", machine, c.name, value, c.e, grads[0][0], c.d0, grads[1][0])
			}
		}
	}
	for r, want := range map[ops.Reduction]string{ops.ReductionMean: "mean", ops.ReductionSum: "sum", ops.ReductionNone: "none", 9: "unknown reduction"} {
		if r.String() != want {
			t.Errorf("reduction %d is called %q, want %q", int(r), r, want)
		}
	}
	// A sum over the batch is N times the mean, for powers of 2 exactly.
	x := []float64{1, 2, 0, -1, 3, 1, 0, 0, 5, 2, 2, 2}
	run := func(r ops.Reduction) (float64, []float64) {
		in := leaf(G.NewGraph(), "x", tensor.Shape{4, 3}, x)
		e := must(t)(ops.CrossEntropy(in, labels(in.Graph(), 0, 1, 2, 0), ops.CrossEntropyParams{Reduction: r}))
		value, grads := mustEvaluate[float64](t, tape, e, e, in)
		return value[0], grads[0]
	}
	mean, dMean := run(ops.ReductionMean)
	total, dTotal := run(ops.ReductionSum)
	if total != 4*mean {
		t.Errorf("the sum is %v, 4 times the mean %v", total, 4*mean)
	}
	for i := range dMean {
		if dTotal[i] != 4*dMean[i] {
			t.Errorf("element %d of the sum's gradient is %v, 4 times the mean's %v", i, dTotal[i], 4*dMean[i])
		}
	}
}

// In float32 the ops that only add and multiply give, on small integers, the numbers that they give
// in float64.
func TestFloat32OnIntegers(t *testing.T) {
	const seed = 94
	t.Logf("seed %d", seed)
	for name, build := range consumers[float64]() {
		switch name {
		case "L2Pool2D", "AvgPool2D", "Flatten and Softmax", "Flatten and CrossEntropy":
			continue // roots, sixths, exponentials
		}
		r := rand.New(rand.NewPCG(seed, 0))
		xv := integers[float64](r, 96, 9)
		double := leaf(G.NewGraph(), "x", tensor.Shape{2, 2, 4, 6}, xv)
		y := must(t)(build(double))
		dy := integers[float64](r, y.Shape().TotalSize(), 9)
		want, wantX := mustEvaluate[float64](t, tape, must(t)(costOf(y, dy)), y, double)
		for _, machine := range machines {
			single := leaf(G.NewGraph(), "x", tensor.Shape{2, 2, 4, 6}, rounded(xv))
			y, err := consumers[float32]()[name](single)
			if err != nil {
				t.Fatal(err)
			}
			got, gotX := mustEvaluate[float32](t, machine, must(t)(costOf(y, rounded(dy))), y, single)
			equal(t, fmt.Sprint(machine, ": ", name), got, rounded(want))
			equal(t, fmt.Sprint(machine, ": dx of ", name), gotX[0], rounded(wantX[0]))
		}
	}
}

func rounded(v []float64) []float32 {
	s := make([]float32, len(v))
	for i := range v {
		s[i] = float32(v[i])
	}
	return s
}

// The number of threads can be set and told, and the tier has a name.
func TestThreadsAndTier(t *testing.T) {
	was := ops.SetThreads(3)
	defer ops.SetThreads(was)
	if ops.Threads() != 3 {
		t.Errorf("%d threads, want 3", ops.Threads())
	}
	if was := ops.SetThreads(0); was != 3 || ops.Threads() < 1 {
		t.Errorf("SetThreads says that it was %d, want 3; now %d", was, ops.Threads())
	}
	switch ops.Tier() {
	case "avx512", "avx2", "generic":
	default:
		t.Errorf("tier %q", ops.Tier())
	}
}

// Graphs may be built and run at once, and results are the same bits at any number of threads.
func TestGraphsAtOnceAndThreads(t *testing.T) {
	r := rand.New(rand.NewPCG(95, 0))
	xs, ws := tensor.Shape{8, 3, 20, 21}, tensor.Shape{10, 3, 3, 3}
	xv, wv, bv := uniform[float32](r, xs.TotalSize()), uniform[float32](r, ws.TotalSize()), uniform[float32](r, 10)
	dense := uniform[float32](r, 5*10*10*10)
	run := func(machine string) ([]float32, [][]float32, error) {
		g := G.NewGraph()
		x, w, b, d := leaf(g, "x", xs, xv), leaf(g, "w", ws, wv), leaf(g, "b", tensor.Shape{10}, bv), leaf(g, "d", tensor.Shape{5, 1000}, dense)
		y, err := ops.Conv2D(x, w, b, ops.ConvParams{Pad: ops.SameUpper()})
		if err != nil {
			return nil, nil, err
		}
		if y, err = ops.ReLU(y); err != nil {
			return nil, nil, err
		}
		if y, err = ops.MaxPool2D(y, ops.PoolParams{Window: ops.Both(2)}); err != nil {
			return nil, nil, err
		}
		if y, err = ops.Flatten(y); err != nil {
			return nil, nil, err
		}
		if y, err = ops.Linear(y, d, nil); err != nil {
			return nil, nil, err
		}
		cost, err := ops.CrossEntropy(y, labels(g, 0, 1, 2, 3, 4, 3, 2, 1), ops.CrossEntropyParams{})
		if err != nil {
			return nil, nil, err
		}
		return evaluate[float32](machine, cost, cost, x, w, b, d)
	}
	want, wantGrads, err := run(tape)
	if err != nil {
		t.Fatal(err)
	}
	compare := func(what string, e []float32, grads [][]float32, err error) {
		if err != nil {
			t.Errorf("%s: %v", what, err)
			return
		}
		for i, g := range append(grads, e) {
			w := append(wantGrads[:len(wantGrads):len(wantGrads)], want)[i]
			for j := range g {
				if math.Float32bits(g[j]) != math.Float32bits(w[j]) {
					t.Errorf("%s: part %d, element %d is %v, want %v", what, i, j, g[j], w[j])
					break
				}
			}
		}
	}
	was := ops.SetThreads(0)
	for _, n := range []int{1, 2, 3, 7} {
		ops.SetThreads(n)
		e, grads, err := run(tape)
		compare(fmt.Sprint(n, " threads"), e, grads, err)
	}
	ops.SetThreads(was)
	var wait sync.WaitGroup
	for i := range 6 {
		wait.Go(func() {
			machine := machines[i%3]
			e, grads, err := run(machine)
			compare(fmt.Sprintf("graph %d under %s among others", i, machine), e, grads, err)
		})
	}
	wait.Wait()
}

// within allows the rounding of a quotient by 6: three roundings of half a unit in the last place.
func within(got, want float64) bool { return math.Abs(got-want) <= 3*0x1p-53*math.Abs(want) }
