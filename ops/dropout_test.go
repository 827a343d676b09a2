package ops_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	G "gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/convgrad/convgrad/internal/kernel"
	"github.com/convgrad/convgrad/ops"
	"github.com/convgrad/convgrad/ops/vm"
)

// A masked is a run of dropouts of one input: their outputs, and the gradients by the input under a
// cotangent for each.
type masked[T kernel.Float] struct{ y, dx [][]T }

// runDropouts applies dropouts of probabilities p, one by one, to x under a source set up by set.
func runDropouts[T kernel.Float](t *testing.T, machine string, seed uint64, set func(*ops.Random), x, dy []T, p ...float64) masked[T] {
	t.Helper()
	var m masked[T]
	for i := range p {
		g := G.NewGraph()
		r, err := ops.NewRandom(g, seed)
		if err != nil {
			t.Fatal(err)
		}
		set(r)
		in := leaf(g, "x", tensor.Shape{len(x) / 4, 4}, x)
		var y, cost *G.Node
		for j := range i + 1 { // those before it count nothing, but each is the next of its source
			weights := make([]T, len(dy))
			if j == i {
				weights = dy
			}
			y = must(t)(ops.Dropout(in, p[j], r))
			if c := must(t)(costOf(y, weights)); cost == nil {
				cost = c
			} else {
				cost = must(t)(G.Add(cost, c))
			}
		}
		value, grads := mustEvaluate[T](t, machine, cost, y, in)
		m.y, m.dx = append(m.y, value), append(m.dx, grads[0])
	}
	return m
}

// In training each element is 0 or x/(1 − p), and its gradient 0 or dy/(1 − p) alike. No two
// dropouts, steps or seeds share a mask; the same ones give the same bits in every machine.
func TestDropoutMasks(t *testing.T) {
	t.Run("float32", testDropoutMasks[float32])
	t.Run("float64", testDropoutMasks[float64])
}

func testDropoutMasks[T kernel.Float](t *testing.T) {
	const n = 4096
	r := rand.New(rand.NewPCG(81, 0))
	x, dy := make([]T, n), make([]T, n)
	for i := range x {
		x[i], dy[i] = T(1+r.Float64()), T(1+r.Float64()) // never 0: what is 0 was dropped
	}
	p := []float64{0.25, 0.25, 0.75}
	at := func(step int) func(*ops.Random) { return func(r *ops.Random) { r.SetStep(step) } }
	first := runDropouts(t, tape, 5, at(0), x, dy, p...)
	for _, machine := range machines {
		again := runDropouts(t, machine, 5, at(0), x, dy, p...)
		for i := range p {
			equal(t, machine+": y", again.y[i], first.y[i])
			equal(t, machine+": dx", again.dx[i], first.dx[i])
		}
	}
	masks := map[string][]bool{}
	add := func(name string, m masked[T]) {
		for i, y := range m.y {
			mask, dropped := make([]bool, n), 0
			factor := T(1 / (1 - p[i]))
			for j, v := range y {
				if mask[j] = v == 0; mask[j] {
					dropped++
				}
				want, wantX := x[j]*factor, dy[j]*factor
				if mask[j] {
					want, wantX = 0, 0
				}
				if v != want || m.dx[i][j] != wantX {
					t.Fatalf("%s, dropout %d, element %d: y is %v and dx %v, want %v and %v", name, i, j, v, m.dx[i][j], want, wantX)
				}
			}
			// A binomial count: six standard deviations have a chance of 2·10⁻⁹, and the seeds are
			// fixed.
			if d := math.Abs(float64(dropped) - n*p[i]); d > 6*math.Sqrt(n*p[i]*(1-p[i])) {
				t.Errorf("%s, dropout %d: %d of %d dropped, want about %v", name, i, dropped, n, n*p[i])
			}
			masks[fmt.Sprintf("%s, dropout %d", name, i)] = mask
		}
	}
	add("seed 5, step 0", first)
	add("seed 5, step 1", runDropouts(t, tape, 5, at(1), x, dy, p...))
	add("seed 5, the last step", runDropouts(t, tape, 5, at(math.MaxInt), x, dy, p...))
	add("seed 6, step 0", runDropouts(t, tape, 6, at(0), x, dy, p...))
	for a, one := range masks {
		for b, other := range masks {
			if a >= b {
				continue
			}
			same, pa, pb := 0, 0.0, 0.0
			for i := range one {
				if one[i] == other[i] {
					same++
				}
				if one[i] {
					pa += 1.0 / n
				}
				if other[i] {
					pb += 1.0 / n
				}
			}
			agree := pa*pb + (1-pa)*(1-pb) // of independent masks
			if d := math.Abs(float64(same) - n*agree); d > 6*math.Sqrt(n*agree*(1-agree)) {
				t.Errorf("%s and %s agree in %d of %d elements, want about %.0f: their masks are not independent", a, b, same, n, n*agree)
			}
		}
	}
}

// In evaluation Dropout passes its input and its gradient on, as a copy; with p = 0 it does so in
// training.
func TestDropoutInEvaluation(t *testing.T) {
	x, dy := []float64{1, -2, 3e300, 0, 5, 6, 7, 8}, []float64{8, 7, 6, 5, 4, 3, 2, 1}
	for _, machine := range machines {
		m := runDropouts(t, machine, 5, func(r *ops.Random) {
			if !r.Training() {
				t.Error("a new source is not in training")
			}
			r.SetTraining(false)
			if r.Training() {
				t.Error("in training after SetTraining(false)")
			}
		}, x, dy, 0.5)
		equal(t, machine+": y", m.y[0], x)
		equal(t, machine+": dx", m.dx[0], dy)
		m = runDropouts(t, machine, 5, func(r *ops.Random) { r.SetTraining(false); r.SetTraining(true) }, x, dy, 0)
		equal(t, machine+": y with p = 0", m.y[0], x)
		equal(t, machine+": dx with p = 0", m.dx[0], dy)
	}
}

// Training and evaluation may take turns on one machine, and a step that is set again gives its
// mask again.
func TestDropoutTakesTurns(t *testing.T) {
	g := G.NewGraph()
	r, err := ops.NewRandom(g, 9)
	if err != nil {
		t.Fatal(err)
	}
	x := leaf(g, "x", tensor.Shape{64}, slices.Repeat([]float64{1}, 64))
	y := must(t)(ops.Dropout(x, 0.5, r))
	var read G.Value
	G.Read(y, &read)
	m := G.NewTapeMachine(g)
	defer m.Close()
	run := func(step int, training bool) []float64 {
		r.SetStep(step)
		r.SetTraining(training)
		m.Reset()
		if err := m.RunAll(); err != nil {
			t.Fatal(err)
		}
		v, err := elements[float64](read)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	a, plain, b, again := run(3, true), run(3, false), run(4, true), run(3, true)
	equal(t, "step 3, again", again, a)
	equal(t, "evaluation", plain, slices.Repeat([]float64{1}, 64))
	if slices.Equal(a, b) || slices.Equal(a, plain) {
		t.Error("steps 3 and 4, or training and evaluation, have one mask")
	}
}

// A source that is nil or empty takes no notice: a graph without dropout has none.
func TestNoRandom(t *testing.T) {
	for _, r := range []*ops.Random{nil, new(ops.Random)} {
		r.SetStep(3)
		r.SetTraining(true)
		if r.Training() {
			t.Error("a source that is no source is in training")
		}
	}
}

// O11: a source that never hears SetStep draws new masks at each run, the gradient's the output's;
// from SetStep on the caller counts. Without a source, and in evaluation, nothing is dropped.
func TestDropoutAdvances(t *testing.T) {
	ones := make([]float64, 64)
	for i := range ones {
		ones[i] = 1
	}
	for _, machine := range []string{tape, ours} {
		g := G.NewGraph()
		r, err := ops.NewRandom(g, 7)
		if err != nil {
			t.Fatal(err)
		}
		x := leaf(g, "x", tensor.Shape{64}, ones)
		y := must(t)(ops.Dropout(x, 0.5, r))
		dx, err := ops.Grad(must(t)(ops.Sum(y)), nil, x)
		if err != nil {
			t.Fatal(err)
		}
		var m G.VM
		if machine == tape {
			m = G.NewTapeMachine(g)
		} else if m, err = vm.New(g, y, dx[0]); err != nil {
			t.Fatal(err)
		}
		run := func() []float64 {
			if err := m.RunAll(); err != nil {
				t.Fatal(err)
			}
			mask, err := elements[float64](y.Value())
			if err != nil {
				t.Fatal(err)
			}
			back, err := elements[float64](dx[0].Value())
			if err != nil {
				t.Fatal(err)
			}
			equal(t, machine+": the gradient's mask", back, mask)
			m.Reset()
			return mask
		}
		first, second := run(), run()
		if slices.Equal(first, second) {
			t.Errorf("%s: two runs have one mask", machine)
		}
		r.SetStep(0)
		equal(t, machine+": step 0", run(), first)
		equal(t, machine+": step 0 again", run(), first)
		r.SetTraining(false)
		equal(t, machine+": evaluation", run(), ones)
		m.Close()
	}
	g := G.NewGraph()
	x := leaf(g, "x", tensor.Shape{64}, ones)
	if y, err := ops.Dropout(x, 0.5, nil); err != nil || y != x {
		t.Errorf("without a source: %v, %v, want x", y, err)
	}
}
