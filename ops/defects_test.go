package ops_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"

	G "gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/convgrad/convgrad/internal/kernel"
	"github.com/convgrad/convgrad/ops"
)

// What Gorgonia v0.9.18 gets wrong and this package must get right, one test each. Where it can be
// shown without ending the process, the test shows the built-in's mistake too: should a later
// version mend it, the test says so, and the documentation that tells of it can be mended as well.

// mended fails a test whose subject Gorgonia gets right by now.
func mended(t *testing.T, what string) {
	t.Helper()
	t.Errorf("Gorgonia gets this right now, and what is written of it is out of date: %s", what)
}

// refused calls f, which may panic, and returns whether it returned an error or panicked.
func refused(f func() error) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("panic: %v", r)
		}
	}()
	return f()
}

func differ[T kernel.Float](a, b []T) bool {
	if len(a) != len(b) {
		return true
	}
	for i := range a {
		if !(math.Abs(float64(a[i])-float64(b[i])) <= 1e-6) {
			return true
		}
	}
	return false
}

// reference is a convolution of integers by the article's sums.
type reference struct{ y, dx, dw []float64 }

func referenceOf(t *testing.T, x, w tensor.Shape, p ops.ConvParams, xv, wv, dy []float64) reference {
	t.Helper()
	one := func(v ops.Size) ops.Size {
		if v == (ops.Size{}) {
			return ops.Both(1)
		}
		return v
	}
	s, d := one(p.Stride), one(p.Dilation)
	g, err := kernel.NewConv(x[0], x[1], x[2], x[3], w[0], w[2], w[3], max(p.Groups, 1), kernel.Spatial{
		StrideH: s.H, StrideW: s.W, DilationH: d.H, DilationW: d.W, PadTop: p.Pad.Top, PadBottom: p.Pad.Bottom, PadLeft: p.Pad.Left, PadRight: p.Pad.Right,
	}, p.Flip)
	if err != nil {
		t.Fatal(err)
	}
	r := reference{make([]float64, g.YLen()), make([]float64, g.XLen()), make([]float64, g.WLen())}
	kernel.RefForward(g, r.y, xv, wv)
	if dy != nil {
		kernel.RefBackwardData(g, r.dx, dy, wv)
		kernel.RefBackwardFilter(g, r.dw, dy, xv)
	}
	return r
}

// Two convolutions of one input by one filter that differ only in dilation, and whose outputs have
// one shape, are two.
func TestDilationTellsConvolutionsApart(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 0))
	xs, ws := tensor.Shape{1, 1, 9, 9}, tensor.Shape{1, 1, 3, 3}
	xv, wv, dy1, dy2 := integers[float64](r, 81, 5), integers[float64](r, 9, 5), integers[float64](r, 9, 5), integers[float64](r, 9, 5)
	near := ops.ConvParams{Pad: ops.Around(1), Stride: ops.Both(3)}
	far := near
	far.Dilation = ops.Both(2)
	a, b := referenceOf(t, xs, ws, near, xv, wv, dy1), referenceOf(t, xs, ws, far, xv, wv, dy2)
	for _, machine := range machines {
		for _, which := range []string{"first", "second"} {
			m, g := must(t), G.NewGraph()
			x, w := leaf(g, "x", xs, xv), leaf(g, "w", ws, wv)
			y1, y2 := m(ops.Conv2D(x, w, nil, near)), m(ops.Conv2D(x, w, nil, far))
			if y1 == y2 || !y1.Shape().Eq(y2.Shape()) {
				t.Fatalf("two nodes of one shape are wanted: %v %v, %v %v", y1, y1.Shape(), y2, y2.Shape())
			}
			cost := m(G.Add(m(costOf(y1, dy1)), m(costOf(y2, dy2))))
			y, want := y1, a.y
			if which == "second" {
				y, want = y2, b.y
			}
			value, grads := mustEvaluate[float64](t, machine, cost, y, x, w)
			equal(t, machine+": output of the "+which, value, want)
			equal(t, machine+": dx", grads[0], sum(a.dx, b.dx))
			equal(t, machine+": dw", grads[1], sum(a.dw, b.dw))
		}
	}

	g := G.NewGraph()
	x, w := leaf(g, "x", xs, xv), leaf(g, "w", ws, wv)
	y1 := must(t)(G.Conv2d(x, w, tensor.Shape{3, 3}, []int{1, 1}, []int{3, 3}, []int{1, 1}))
	y2 := must(t)(G.Conv2d(x, w, tensor.Shape{3, 3}, []int{1, 1}, []int{3, 3}, []int{2, 2}))
	if y1 != y2 {
		mended(t, "Conv2d's that differ only in dilation are merged into one node")
	}
}

func sum(a, b []float64) []float64 {
	s := make([]float64, len(a))
	for i := range s {
		s[i] = a[i] + b[i]
	}
	return s
}

// consumers are uses of one input, x of shape 2×2×4×6.
func consumers[T kernel.Float]() map[string]func(x *G.Node) (*G.Node, error) {
	r := rand.New(rand.NewPCG(2, 0))
	w3, w1 := integers[T](r, 3*2*9, 4), integers[T](r, 5*2, 4)
	dense, target := integers[T](r, 3*48, 4), integers[T](r, 96, 4)
	pool := ops.PoolParams{Window: ops.Size{H: 2, W: 3}, Stride: ops.Size{H: 1, W: 2}, Pad: ops.Padding{Top: 1, Right: 1}}
	return map[string]func(x *G.Node) (*G.Node, error){
		"Conv2D 3×3": func(x *G.Node) (*G.Node, error) {
			return ops.Conv2D(x, leaf(x.Graph(), "w3", tensor.Shape{3, 2, 3, 3}, w3), nil, ops.ConvParams{Pad: ops.Around(1)})
		},
		"Conv2D 1×1": func(x *G.Node) (*G.Node, error) {
			return ops.Conv2D(x, leaf(x.Graph(), "w1", tensor.Shape{5, 2, 1, 1}, w1), nil, ops.ConvParams{})
		},
		"MaxPool2D": func(x *G.Node) (*G.Node, error) { return ops.MaxPool2D(x, pool) },
		"AvgPool2D": func(x *G.Node) (*G.Node, error) { return ops.AvgPool2D(x, excluding(pool)) },
		"L2Pool2D":  func(x *G.Node) (*G.Node, error) { return ops.L2Pool2D(x, pool) },
		"ReLU":      ops.ReLU,
		"Flatten":   ops.Flatten,
		"Flatten and Linear": func(x *G.Node) (*G.Node, error) {
			f, err := ops.Flatten(x)
			if err != nil {
				return nil, err
			}
			return ops.Linear(f, leaf(x.Graph(), "dense", tensor.Shape{3, 48}, dense), nil)
		},
		"Flatten and Softmax": func(x *G.Node) (*G.Node, error) {
			f, err := ops.Flatten(x)
			if err != nil {
				return nil, err
			}
			return ops.Softmax(f, -1)
		},
		"Flatten and CrossEntropy": func(x *G.Node) (*G.Node, error) {
			f, err := ops.Flatten(x)
			if err != nil {
				return nil, err
			}
			return ops.CrossEntropy(f, labels(x.Graph(), 41, 7), ops.CrossEntropyParams{})
		},
		"MSE": func(x *G.Node) (*G.Node, error) {
			return ops.ArticleError(x, leaf(x.Graph(), "target", x.Shape(), target))
		},
		"Dropout": func(x *G.Node) (*G.Node, error) {
			random, err := ops.NewRandom(x.Graph(), 3)
			if err != nil {
				return nil, err
			}
			return ops.Dropout(x, 0.5, random)
		},
		"Gorgonia's Square": G.Square,
	}
}

// One input that feeds two consumers gets the sum of the gradients that each would give it alone,
// whichever two of the ops they are. Both gradients reach one addition to zero or to each other, so
// the sum is the same in every bit.
func TestOneInputTwoConsumers(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 0))
	xs := tensor.Shape{2, 2, 4, 6}
	xv := integers[float64](r, 96, 50)
	all := consumers[float64]()
	cotangent := func(y *G.Node, name string) []float64 {
		return integers[float64](rand.New(rand.NewPCG(uint64(len(name)), 4)), y.Shape().TotalSize(), 4)
	}
	alone := func(machine, name string) []float64 {
		g := G.NewGraph()
		x := leaf(g, "x", xs, xv)
		y := must(t)(all[name](x))
		_, grads := mustEvaluate[float64](t, machine, must(t)(costOf(y, cotangent(y, name))), y, x)
		return grads[0]
	}
	for _, machine := range machines {
		single := map[string][]float64{}
		for name := range all {
			single[name] = alone(machine, name)
		}
		for first := range all {
			for second := range all {
				if first >= second {
					continue
				}
				m, g := must(t), G.NewGraph()
				x := leaf(g, "x", xs, xv)
				y1, y2 := m(all[first](x)), m(all[second](x))
				cost := m(G.Add(m(costOf(y1, cotangent(y1, first))), m(costOf(y2, cotangent(y2, second)))))
				_, grads := mustEvaluate[float64](t, machine, cost, y1, x)
				equal(t, fmt.Sprintf("%s: dx of %s and %s", machine, first, second), grads[0], sum(single[first], single[second]))
			}
		}
	}

	// Gorgonia's im2col replaces under LispMachine what another consumer has given.
	ws := tensor.Shape{2, 2, 3, 3}
	wv, vv := integers[float64](r, 36, 3), integers[float64](r, 4, 3)
	dy := integers[float64](r, 96, 3)
	a := referenceOf(t, xs, ws, ops.ConvParams{Pad: ops.Around(1)}, xv, wv, dy)
	b := referenceOf(t, xs, tensor.Shape{2, 2, 1, 1}, ops.ConvParams{}, xv, vv, dy)
	m, g := must(t), G.NewGraph()
	x := leaf(g, "x", xs, xv)
	y1 := m(G.Conv2d(x, leaf(g, "w", ws, wv), tensor.Shape{3, 3}, []int{1, 1}, []int{1, 1}, nil))
	y2 := m(G.Conv2d(x, leaf(g, "v", tensor.Shape{2, 2, 1, 1}, vv), tensor.Shape{1, 1}, []int{0, 0}, []int{1, 1}, nil))
	cost := m(costOf(m(G.Add(y1, y2)), dy))
	if _, grads := mustEvaluate[float64](t, lisp, cost, y1, x); !differ(grads[0], sum(a.dx, b.dx)) {
		mended(t, "Conv2d overwrites the gradient of an input that it shares under LispMachine")
	}
}

// Padding may differ on each of the four sides.
func TestAsymmetricPadding(t *testing.T) {
	r := rand.New(rand.NewPCG(4, 0))
	xs, ws := tensor.Shape{2, 3, 5, 6}, tensor.Shape{4, 3, 3, 2}
	xv, wv := integers[float64](r, 180, 9), integers[float64](r, 72, 9)
	for _, pad := range []ops.Padding{{Top: 1}, {Bottom: 1}, {Left: 1}, {Right: 1}, {Top: 1, Left: 2, Right: 3}, {Bottom: 2, Left: 1}} {
		conv := ops.ConvParams{Pad: pad, Stride: ops.Size{H: 2, W: 1}}
		pool := ops.PoolParams{Window: ops.Size{H: 3, W: 4}, Stride: ops.Size{H: 2, W: 1}, Pad: pad}
		pg, err := kernel.NewPool(2, 3, 5, 6, 3, 4, kernel.Spatial{StrideH: 2, StrideW: 1, DilationH: 1, DilationW: 1, PadTop: pad.Top, PadBottom: pad.Bottom, PadLeft: pad.Left, PadRight: pad.Right})
		if err != nil {
			t.Fatal(err)
		}
		for _, machine := range machines {
			m, g := must(t), G.NewGraph()
			x, w := leaf(g, "x", xs, xv), leaf(g, "w", ws, wv)
			y := m(ops.Conv2D(x, w, nil, conv))
			dy := integers[float64](r, y.Shape().TotalSize(), 9)
			want := referenceOf(t, xs, ws, conv, xv, wv, dy)
			value, grads := mustEvaluate[float64](t, machine, m(costOf(y, dy)), y, x, w)
			what := fmt.Sprintf("%s: Conv2D, padding %v: ", machine, pad)
			equal(t, what+"y", value, want.y)
			equal(t, what+"dx", grads[0], want.dx)
			equal(t, what+"dw", grads[1], want.dw)

			g = G.NewGraph()
			x = leaf(g, "x", xs, xv)
			y = m(ops.MaxPool2D(x, pool))
			dy = integers[float64](r, y.Shape().TotalSize(), 9)
			wantY, wantX := make([]float64, pg.YLen()), make([]float64, pg.XLen())
			maxPoolReference(pg, wantY, wantX, xv, dy)
			value, grads = mustEvaluate[float64](t, machine, m(costOf(y, dy)), y, x)
			what = fmt.Sprintf("%s: MaxPool2D, padding %v: ", machine, pad)
			equal(t, what+"y", value, wantY)
			equal(t, what+"dx", grads[0], wantX)

			g = G.NewGraph()
			x = leaf(g, "x", xs, xv)
			y = m(ops.AvgPool2D(x, pool)) // the window's area is 12: a product with 1/12 may round
			clear(wantX)
			kernel.RefSumWindows(pg, wantY, xv)
			kernel.RefSpreadWindows(pg, wantX, dy)
			value, grads = mustEvaluate[float64](t, machine, m(costOf(y, dy)), y, x)
			for i, v := range value {
				// a factor and a product, or a quotient, on either side
				if !(math.Abs(v-wantY[i]/12) <= 4*0x1p-53*math.Abs(v)) {
					t.Fatalf("%s: AvgPool2D, padding %v: element %d is %v, want %v", machine, pad, i, v, wantY[i]/12)
				}
			}
			// at most 12 windows, each share rounded and added: γ_13 of at most 12·9/12
			for i, v := range grads[0] {
				if !(math.Abs(v-wantX[i]/12) <= 14*0x1p-53*9) {
					t.Fatalf("%s: AvgPool2D, padding %v: dx %d is %v, want %v", machine, pad, i, v, wantX[i]/12)
				}
			}
		}
	}

	g := G.NewGraph()
	x := leaf(g, "x", xs, xv)
	if err := refused(func() error {
		_, err := G.Conv2d(x, leaf(g, "w", ws, wv), tensor.Shape{3, 2}, []int{1, 0, 2, 3}, []int{1, 1}, nil)
		return err
	}); err == nil {
		mended(t, "Conv2d takes no padding of four sides")
	}
	// Gorgonia's MaxPool2D takes the padding below and to the right for the offset of its first
	// window.
	y := must(t)(G.MaxPool2D(x, tensor.Shape{2, 2}, []int{0, 1, 0, 1}, []int{2, 2}))
	pg, err := kernel.NewPool(2, 3, 5, 6, 2, 2, kernel.Spatial{StrideH: 2, StrideW: 2, DilationH: 1, DilationW: 1, PadBottom: 1, PadRight: 1})
	if err != nil {
		t.Fatal(err)
	}
	wantY, wantX := make([]float64, pg.YLen()), make([]float64, pg.XLen())
	dy := integers[float64](r, pg.YLen(), 9)
	maxPoolReference(pg, wantY, wantX, xv, dy)
	if value, _ := mustEvaluate[float64](t, tape, must(t)(costOf(y, dy)), y, x); !differ(value, wantY) {
		mended(t, "MaxPool2D starts its windows at the padding below and to the right")
	}
}

// Each row of logits is taken relative to its own greatest element, however far from the other rows
// it is.
func TestLogitsFarApart(t *testing.T) {
	t.Run("float32", func(t *testing.T) { testLogitsFarApart[float32](t, 0x1p-24) })
	t.Run("float64", func(t *testing.T) { testLogitsFarApart[float64](t, 0x1p-53) })

	g := G.NewGraph()
	x := leaf(g, "x", tensor.Shape{2, 3}, []float64{1000, 999, 998, 1, 2, 3})
	y := must(t)(G.SoftMax(x))
	if value, _ := mustEvaluate[float64](t, tape, must(t)(G.Sum(y)), y, x); !strings.Contains(fmt.Sprint(value), "NaN") {
		mended(t, "SoftMax takes every row relative to the first element of all")
	}
}

func testLogitsFarApart[T kernel.Float](t *testing.T, unit float64) {
	const largest = 3e38
	for _, rows := range [][][]float64{
		{{1000, 999, 998}, {1, 2, 3}},
		{{1, 2, 3}, {1e4, 1e4 - 1, 1e4 + 2}, {-1e4, -1e4 + 3, -1e4 - 2}},
		{{0, 0, 0}, {1e6, 1e6 + 5, 0}, {-1e6, 7, -1e6}},
		{{largest, -largest, 0}, {-largest, -largest, -largest}, {3, 1, 2}},
		{{-1e30, -1e30, -1e30}, {88, 89, 90}, {-104, -103, -105}},
	} {
		m := len(rows[0])
		var xv []T
		var classes []int
		for i, row := range rows {
			classes = append(classes, i%m)
			for _, v := range row {
				xv = append(xv, T(v))
			}
		}
		// In float64, from the rounded logits: differences from the greatest are integers here, or
		// so large that the exponential is 0, so they are exact.
		wantP, wantE, magnitude := make([]float64, len(xv)), 0.0, 0.0
		for i := range rows {
			row := xv[i*m:][:m]
			top, total := float64(row[0]), 0.0
			for _, v := range row {
				top = max(top, float64(v))
			}
			for _, v := range row {
				total += math.Exp(float64(v) - top)
			}
			for j, v := range row {
				wantP[i*m+j] = math.Exp(float64(v)-top) / total
			}
			loss := math.Log(total) + (top - float64(row[classes[i]]))
			wantE += loss
			magnitude += math.Abs(loss)
		}
		shape := tensor.Shape{len(rows), m}
		for _, machine := range machines {
			g := G.NewGraph()
			x := leaf(g, "x", shape, xv)
			y := must(t)(ops.Softmax(x, -1))
			p, grads := mustEvaluate[T](t, machine, must(t)(G.Sum(y)), y, x)
			for i, v := range p {
				// An exponential within 2 units of its last place, m of them added and one
				// quotient: (2 + m + 1) roundings, as many again for what is compared with. Below
				// the least normal number of float32 a result may be 0.
				if limit := (float64(2*m+6)*unit*wantP[i] + 0x1p-126); !(math.Abs(float64(v)-wantP[i]) <= limit) {
					t.Errorf("%s: softmax of %v: element %d is %v, want %v ± %.2g", machine, rows, i, v, wantP[i], limit)
				}
			}
			// rows add up to 1, whatever the logits: m roundings of numbers below 1, and the
			// products with them
			for i, v := range grads[0] {
				if !(math.Abs(float64(v)) <= float64(4*m)*unit) {
					t.Errorf("%s: softmax of %v: the gradient of the sum is %v at %d, want 0", machine, rows, v, i)
				}
			}
			g = G.NewGraph()
			x = leaf(g, "x", shape, xv)
			y = must(t)(ops.CrossEntropy(x, labels(g, classes...), ops.CrossEntropyParams{Reduction: ops.ReductionSum}))
			e, grads := mustEvaluate[T](t, machine, y, y, x)
			// A logarithm of m exponentials, each within 2 units, a difference and a sum: m + 6
			// roundings of magnitudes up to 1 + |loss| a row.
			limit := float64(m+6+len(rows)) * unit * 2 * (float64(len(rows)) + magnitude)
			if !(math.Abs(float64(e[0])-wantE) <= limit) && !(math.IsInf(float64(T(wantE)), 1) && math.IsInf(float64(e[0]), 1)) {
				t.Errorf("%s: cross-entropy of %v is %v, want %v ± %.2g", machine, rows, e[0], wantE, limit)
			}
			for i, v := range grads[0] {
				want := wantP[i]
				if i%m == classes[i/m] {
					want--
				}
				if !(math.Abs(float64(v)-want) <= float64(2*m+8)*unit) {
					t.Errorf("%s: cross-entropy of %v: dx %d is %v, want %v", machine, rows, i, v, want)
				}
			}
		}
	}
}

// A filter that two convolutions share, or a convolution and a penalty, gets the sum of their
// gradients.
func TestSharedFilter(t *testing.T) {
	r := rand.New(rand.NewPCG(6, 0))
	as, bs, ws := tensor.Shape{2, 3, 6, 5}, tensor.Shape{1, 3, 7, 8}, tensor.Shape{4, 3, 2, 3}
	av, bv, wv := integers[float64](r, as.TotalSize(), 5), integers[float64](r, bs.TotalSize(), 5), integers[float64](r, ws.TotalSize(), 5)
	near, far := ops.ConvParams{Pad: ops.Padding{Top: 1, Left: 1, Right: 1}}, ops.ConvParams{Stride: ops.Size{H: 2, W: 1}, Flip: true}
	for _, machine := range machines {
		m, g := must(t), G.NewGraph()
		a, b, w := leaf(g, "a", as, av), leaf(g, "b", bs, bv), leaf(g, "w", ws, wv)
		y1, y2 := m(ops.Conv2D(a, w, nil, near)), m(ops.Conv2D(b, w, nil, far))
		dy1, dy2 := integers[float64](r, y1.Shape().TotalSize(), 5), integers[float64](r, y2.Shape().TotalSize(), 5)
		// ½ Σ w², whose gradient is w
		penalty := m(ops.ArticleError(w, leaf(g, "zero", ws, make([]float64, len(wv)))))
		cost := m(G.Add(m(G.Add(m(costOf(y1, dy1)), m(costOf(y2, dy2)))), penalty))
		_, grads := mustEvaluate[float64](t, machine, cost, y1, a, b, w)
		want1, want2 := referenceOf(t, as, ws, near, av, wv, dy1), referenceOf(t, bs, ws, far, bv, wv, dy2)
		equal(t, machine+": da", grads[0], want1.dx)
		equal(t, machine+": db", grads[1], want2.dx)
		equal(t, machine+": dw", grads[2], sum(sum(want1.dw, want2.dw), wv))
	}

	// Gorgonia's Reshape, inside its Conv2d, replaces under LispMachine what the penalty has given.
	m, g := must(t), G.NewGraph()
	a, w := leaf(g, "a", as, av), leaf(g, "w", ws, wv)
	y := m(G.Conv2d(a, w, tensor.Shape{2, 3}, []int{0, 0}, []int{1, 1}, nil))
	dy := integers[float64](r, y.Shape().TotalSize(), 5)
	cost := m(G.Add(m(costOf(y, dy)), m(G.Sum(m(G.Square(w))))))
	want := referenceOf(t, as, ws, ops.ConvParams{}, av, wv, dy)
	if _, grads := mustEvaluate[float64](t, lisp, cost, y, a, w); !differ(grads[1], sum(want.dw, sum(wv, wv))) {
		mended(t, "the gradient of a penalty on Conv2d's filter is lost under LispMachine")
	}
}

// An input may be a slice, a transpose or column-major: its strides are followed, not its flags.
func TestOddInputs(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 0))
	xs, ws := tensor.Shape{2, 3, 5, 6}, tensor.Shape{4, 3, 3, 2}
	xv, wv := integers[float64](r, 180, 5), integers[float64](r, 72, 5)
	odd := map[string]func() *tensor.Dense{
		"a slice of channels": func() *tensor.Dense {
			big := make([]float64, 2*5*5*6)
			for n := range 2 {
				copy(big[(n*5+1)*30:], xv[n*90:][:90])
			}
			return slice(t, tensor.New(tensor.WithShape(2, 5, 5, 6), tensor.WithBacking(big)), nil, G.S(1, 4))
		},
		"a slice of columns": func() *tensor.Dense {
			big := make([]float64, 2*3*5*9)
			for i := range 30 {
				copy(big[i*9+2:], xv[i*6:][:6])
			}
			return slice(t, tensor.New(tensor.WithShape(2, 3, 5, 9), tensor.WithBacking(big)), nil, nil, nil, G.S(2, 8))
		},
		"N×H×W×C, transposed": func() *tensor.Dense {
			last := make([]float64, 180)
			for i, v := range xv {
				n, c, hw := i/90, i/30%3, i%30
				last[(n*30+hw)*3+c] = v
			}
			d := tensor.New(tensor.WithShape(2, 5, 6, 3), tensor.WithBacking(last))
			if err := d.T(0, 3, 1, 2); err != nil {
				t.Fatal(err)
			}
			return d
		},
		"column-major": func() *tensor.Dense {
			return tensor.New(tensor.WithShape(xs...), tensor.AsFortran(append([]float64(nil), xv...)))
		},
	}
	p := ops.ConvParams{Pad: ops.Padding{Top: 1, Right: 1}}
	for name, make := range odd {
		for _, machine := range machines {
			m, g := must(t), G.NewGraph()
			x, w := valued(g, "x", make()), leaf(g, "w", ws, wv)
			y := m(ops.Conv2D(x, w, nil, p))
			dy := integers[float64](r, y.Shape().TotalSize(), 5)
			want := referenceOf(t, xs, ws, p, xv, wv, dy)
			value, grads := mustEvaluate[float64](t, machine, m(costOf(y, dy)), y, x, w)
			what := fmt.Sprintf("%s: x is %s: ", machine, name)
			equal(t, what+"y", value, want.y)
			equal(t, what+"dx", grads[0], want.dx)
			equal(t, what+"dw", grads[1], want.dw)

			pooled := func(x *G.Node) ([]float64, []float64) {
				y := m(ops.MaxPool2D(x, ops.PoolParams{Window: ops.Size{H: 2, W: 3}}))
				v, d := mustEvaluate[float64](t, machine, m(costOf(y, dy[:24])), y, x)
				return v, d[0]
			}
			y1, dx1 := pooled(valued(G.NewGraph(), "x", make()))
			y2, dx2 := pooled(leaf(G.NewGraph(), "x", xs, xv))
			equal(t, what+"MaxPool2D", y1, y2)
			equal(t, what+"dx of MaxPool2D", dx1, dx2)
		}
	}

	g := G.NewGraph()
	x := valued(g, "x", odd["N×H×W×C, transposed"]())
	y := must(t)(G.Conv2d(x, leaf(g, "w", ws, wv), tensor.Shape{3, 2}, []int{0, 0}, []int{1, 1}, nil))
	want := referenceOf(t, xs, ws, ops.ConvParams{}, xv, wv, nil)
	var value []float64
	err := refused(func() error {
		var err error
		value, _, err = evaluate[float64](tape, must(t)(G.Sum(y)), y, x)
		return err
	})
	if err == nil && !differ(value, want.y) {
		mended(t, "Conv2d does not follow the strides of a transposed input")
	}
}

func slice(t *testing.T, d *tensor.Dense, by ...tensor.Slice) *tensor.Dense {
	t.Helper()
	s, err := d.Slice(by...)
	if err != nil {
		t.Fatal(err)
	}
	return s.(*tensor.Dense)
}

// One node may be two operands of one op; its gradient is the sum of both.
func TestOneNodeTwoOperands(t *testing.T) {
	r := rand.New(rand.NewPCG(8, 0))
	xs := tensor.Shape{2, 3, 4, 5}
	xv := integers[float64](r, 120, 5)
	p := ops.ConvParams{Pad: ops.Padding{Top: 1, Right: 2}}
	for _, machine := range machines {
		m, g := must(t), G.NewGraph()
		x := leaf(g, "x", xs, xv)
		y := m(ops.Conv2D(x, x, nil, p))
		dy := integers[float64](r, y.Shape().TotalSize(), 5)
		want := referenceOf(t, xs, xs, p, xv, xv, dy)
		value, grads := mustEvaluate[float64](t, machine, m(costOf(y, dy)), y, x)
		equal(t, machine+": Conv2D(x, x): y", value, want.y)
		equal(t, machine+": Conv2D(x, x): dx", grads[0], sum(want.dx, want.dw))

		x = leaf(G.NewGraph(), "x", xs, xv)
		e := m(ops.ArticleError(x, x))
		value, grads = mustEvaluate[float64](t, machine, e, e, x)
		equal(t, machine+": MSE(x, x)", value, []float64{0})
		equal(t, machine+": MSE(x, x): dx", grads[0], make([]float64, 120))
	}
}

// An op may stand at several nodes and in a clone of its graph, which share it, and be run from
// both at once: it has no state. Gorgonia's MaxPool2D keeps its winners in the op.
func TestSharedOps(t *testing.T) {
	r := rand.New(rand.NewPCG(9, 0))
	xs := tensor.Shape{2, 3, 4, 6}
	av, bv := integers[float64](r, 144, 50), integers[float64](r, 144, 50)
	pool := ops.PoolParams{Window: ops.Size{H: 2, W: 3}}
	dy := integers[float64](r, 2*3*2*2, 5)
	alone := func(v []float64) []float64 {
		x := leaf(G.NewGraph(), "x", xs, v)
		y := must(t)(ops.MaxPool2D(x, pool))
		_, grads := mustEvaluate[float64](t, tape, must(t)(costOf(y, dy)), y, x)
		return grads[0]
	}
	for _, machine := range machines {
		m, g := must(t), G.NewGraph()
		a, b := leaf(g, "a", xs, av), leaf(g, "b", xs, bv)
		y1, winner, err := ops.MaxPool2DIndices(a, pool)
		if err != nil {
			t.Fatal(err)
		}
		y2 := m(G.ApplyOp(y1.Op(), b, m(G.ApplyOp(winner.Op(), b))))
		_, grads := mustEvaluate[float64](t, machine, m(G.Add(m(costOf(y1, dy)), m(costOf(y2, dy)))), y1, a, b)
		equal(t, machine+": da", grads[0], alone(av))
		equal(t, machine+": db", grads[1], alone(bv))
	}

	g := G.NewGraph()
	x := leaf(g, "x", xs, av)
	y := must(t)(ops.MaxPool2D(x, pool))
	if _, err := G.Grad(must(t)(costOf(y, dy)), x); err != nil {
		t.Fatal(err)
	}
	clone, ok := g.Clone().(*G.ExprGraph)
	if !ok {
		t.Fatalf("the clone of a graph is a %T", g.Clone())
	}
	var wait sync.WaitGroup
	for _, g := range []*G.ExprGraph{g, clone} {
		wait.Go(func() {
			m := G.NewTapeMachine(g)
			defer m.Close()
			for range 10 {
				if err := m.RunAll(); err != nil {
					t.Error(err)
				}
				m.Reset()
			}
		})
	}
	wait.Wait()
	if drawing := g.ToDot(); !strings.Contains(drawing, "MaxPool2DBackward") {
		t.Error("a drawing of the graph does not name MaxPool2DBackward")
	}
}

// The tensor package gives a column-major tensor of one element no strides; it is a filter like any
// other.
func TestColumnMajorOfOneElement(t *testing.T) {
	g := G.NewGraph()
	x := G.NodeFromAny(g, tensor.New(tensor.WithShape(1, 1, 1, 3), tensor.WithBacking([]float64{1, 2, 3})), G.WithName("x"))
	filter := tensor.New(tensor.WithShape(1, 1, 1, 1), tensor.Of(tensor.Float64), tensor.AsFortran(nil))
	if err := filter.SetAt(5.0, 0, 0, 0, 0); err != nil {
		t.Fatal(err)
	}
	w := G.NewTensor(g, tensor.Float64, 4, G.WithShape(1, 1, 1, 1), G.WithName("w"))
	y, err := ops.Conv2D(x, w, nil, ops.ConvParams{})
	if err != nil {
		t.Fatal(err)
	}
	if err := G.Let(w, filter); err != nil {
		t.Fatal(err)
	}
	m := G.NewTapeMachine(g)
	defer m.Close()
	if err := m.RunAll(); err != nil {
		t.Fatal(err)
	}
	if got, want := y.Value().Data().([]float64), []float64{5, 10, 15}; fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("y is %v, want %v", got, want)
	}
}
