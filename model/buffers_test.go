package model

import (
	"bytes"
	"math"
	"math/rand/v2"
	"testing"

	G "gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/convgrad/convgrad/ops"
)

// Center takes away the mean of each channel: of the batch in training, and in evaluation the
// running mean of what training saw.
type Center struct{ Momentum float64 }

func (l Center) Apply(b *Builder, x *G.Node) *G.Node {
	mean := b.Buffer("running_mean", Zeros, x.Shape()[1])
	if b.Training() {
		batch := b.Do(ops.Mean(x, 0, 2, 3))
		b.Update(mean, b.Do(ops.Lerp(mean, batch, l.Momentum)))
		mean = batch
	}
	return b.Do(ops.Sub(x, b.Do(ops.Reshape(mean, 1, -1, 1, 1))))
}

// means are the batch's means by channel, by definition.
func means(x []float64, n, c, plane int) []float64 {
	m := make([]float64, c)
	for i, v := range x {
		m[i/plane%c] += v / float64(n*plane)
	}
	return m
}

func close64(t *testing.T, what string, got, want []float64) {
	t.Helper()
	for i := range want {
		// sums of at most 40 terms of size 4: γ_40·160, far below 1e-12
		if len(got) != len(want) || !(math.Abs(got[i]-want[i]) <= 1e-12) {
			t.Errorf("%s: got %v, want %v", what, got, want)
			return
		}
	}
}

// A buffer follows the batches in training, is used in evaluation, saved, loaded, and not trained.
func TestRunningMean(t *testing.T) {
	const seed = 51
	t.Logf("seed %d", seed)
	l := Sequential{As("center", Center{0.25}), Flatten{}, As("fc", Linear{Outputs: 2})}
	n := newNet(t, l, tensor.Shape{3, 2, 4}, Options{Float64: true, Seed: seed})
	if got := paths(n.Buffers()); got != "center.running_mean" || paths(n.Params()) != "fc.weight fc.bias" {
		t.Errorf("the buffers are %s, the parameters %s", got, paths(n.Params()))
	}
	m := graphOf(t, n, 5, BuildOptions{Loss: SquaredError{}, Training: true})
	r := rand.New(rand.NewPCG(seed, 0))
	running := make([]float64, 3)
	for range 3 {
		fill(r, m)
		run(t, m)
		for c, v := range means(m.InputData().([]float64), 5, 3, 8) {
			running[c] += 0.25 * (v - running[c])
		}
		close64(t, "the running mean", bits(t, n.Param("center.running_mean").Value), running)
	}
	if len(m.Params()) != 2 {
		t.Errorf("gradients by %s, want the parameters alone", paths(m.Params()))
	}
	checkGradients(t, m, r)

	before := bits(t, n.Param("center.running_mean").Value)
	eval := graphOf(t, n, 2, BuildOptions{Loss: SquaredError{}, Keep: true})
	fill(r, eval)
	run(t, eval)
	y, err := eval.Feature("center")
	if err != nil {
		t.Fatal(err)
	}
	want := append([]float64(nil), eval.InputData().([]float64)...)
	for i := range want {
		want[i] -= before[i/8%3]
	}
	sameBits(t, "evaluation", bits(t, y), want)
	sameBits(t, "the running mean after evaluation", bits(t, n.Param("center.running_mean").Value), before)

	var file bytes.Buffer
	if err := n.Save(&file, nil); err != nil {
		t.Fatal(err)
	}
	second := newNet(t, l, tensor.Shape{3, 2, 4}, Options{Float64: true, Seed: 99})
	if err := second.Load(&file, LoadOptions{}); err != nil {
		t.Fatal(err)
	}
	x := samples(n, 7, seed)
	a, err := n.Predict(x)
	if err != nil {
		t.Fatal(err)
	}
	b, err := second.Predict(x)
	if err != nil {
		t.Fatal(err)
	}
	sameBits(t, "predictions after loading", bits(t, b), bits(t, a))
}

// A layer that is used twice updates its buffer twice, and the second update sees the first.
func TestSharedBuffer(t *testing.T) {
	n := newNet(t, f2(func(b *Builder, x *G.Node) *G.Node {
		x = b.Reuse("c", Center{0.5}, x)
		return b.Reuse("c", Center{0.5}, b.Do(ops.Affine(x, 1, 8))) // its batches have a mean of 8
	}), tensor.Shape{1, 1, 2}, Options{Float64: true})
	m := graphOf(t, n, 1, BuildOptions{Loss: SquaredError{}, Training: true})
	copy(m.InputData().([]float64), []float64{2, 6}) // a mean of 4
	want := 0.0
	for range 3 {
		run(t, m)
		want = (want + 4) / 2
		want = (want + 8) / 2
		sameBits(t, "the mean", bits(t, n.Param("c.running_mean").Value), []float64{want})
	}
}

// Frozen parts evaluate and update nothing.
func TestFrozenBuffer(t *testing.T) {
	n := newNet(t, Sequential{As("a", Center{0.5}), As("b", Sequential{As("c", Center{0.5})})}, tensor.Shape{2, 3, 3}, Options{})
	if err := n.Freeze("a"); err != nil {
		t.Fatal(err)
	}
	m := graphOf(t, n, 2, BuildOptions{Loss: SquaredError{}, Training: true})
	fill(rand.New(rand.NewPCG(1, 0)), m)
	run(t, m)
	sameBits(t, "the frozen mean", bits(t, n.Param("a.running_mean").Value), []float64{0, 0})
	if v := bits(t, n.Param("b.c.running_mean").Value); v[0] == 0 || v[1] == 0 {
		t.Errorf("the other mean is %v, want the batch's", v)
	}
}

// A run that fails updates no buffer, and leaves no results behind that could be taken for its own.
func TestFailedRunUpdatesNothing(t *testing.T) {
	n := newNet(t, Sequential{As("c", Center{0.5}), Flatten{}, Linear{Outputs: 2}}, tensor.Shape{1, 2, 2}, Options{})
	m := graphOf(t, n, 2, BuildOptions{Loss: CrossEntropy{}, Training: true})
	fill(rand.New(rand.NewPCG(1, 0)), m)
	run(t, m)
	before := bits(t, n.Param("c.running_mean").Value)
	m.TargetData().([]int)[1] = 7
	wants(t, "a label that is no class", m.Run(), "labels: element 1 is 7")
	sameBits(t, "the mean", bits(t, n.Param("c.running_mean").Value), before)
	_, err := m.LossValue()
	wants(t, "the loss of a failed run", err, "its last run failed")
	_, err = m.Grads()
	wants(t, "the gradients of a failed run", err, "its last run failed")
}

// Build's gradients are right where a loss itself holds gradients: ½·‖dL/dx‖² of the output's
// square error by the input, differentiated by the weights.
func TestGradientPenalty(t *testing.T) {
	const seed = 61
	t.Logf("seed %d", seed)
	n := newNet(t, Sequential{As("fc", Linear{Outputs: 3}), f2(func(b *Builder, x *G.Node) *G.Node { return b.Do(ops.Tanh(x)) })},
		tensor.Shape{4}, Options{Float64: true, Seed: seed})
	norm := LossFunc(func(y, target *G.Node) (*G.Node, error) {
		var try ops.Try
		e := try.Do(ops.ArticleError(y, target))
		dx, err := ops.Grad(e, nil, y.Graph().ByName(inputName)...)
		if err != nil {
			return nil, err
		}
		loss := try.Do(ops.Add(e, try.Do(ops.Sum(try.Do(ops.Square(dx[0]))))))
		return loss, try.Err()
	})
	m := graphOf(t, n, 2, BuildOptions{Loss: norm, Training: true, Penalties: []Penalty{L2(0.1)}})
	r := rand.New(rand.NewPCG(seed, 0))
	fill(r, m)
	checkGradients(t, m, r)
}
