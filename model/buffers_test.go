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

// Batch norm by its definition, three steps of training and then evaluation; and its gradients.
func TestBatchNorm(t *testing.T) {
	const seed, n, c, plane = 71, 3, 2, 6
	t.Logf("seed %d", seed)
	noisy := func(r *rand.Rand, p *Param) {
		for i := range p.Value.Data().([]float64) {
			p.Value.Data().([]float64)[i] += 0.3 * r.NormFloat64()
		}
	}
	r := rand.New(rand.NewPCG(seed, 0))
	net := newNet(t, Sequential{As("bn", BatchNorm{})}, tensor.Shape{c, 2, 3}, Options{Float64: true})
	sameBits(t, "γ at first", bits(t, net.Param("bn.weight").Value), []float64{1, 1})
	sameBits(t, "the variance at first", bits(t, net.Param("bn.running_var").Value), []float64{1, 1})
	for _, p := range net.Params() {
		noisy(r, p)
	}
	scale, bias := bits(t, net.Param("bn.weight").Value), bits(t, net.Param("bn.bias").Value)
	m := graphOf(t, net, n, BuildOptions{Loss: SquaredError{}, Training: true})
	mean, variance := []float64{0, 0}, []float64{1, 1}
	for range 3 {
		fill(r, m)
		run(t, m)
		x := m.InputData().([]float64)
		batch, squares := means(x, n, c, plane), make([]float64, c)
		for i, v := range x {
			k := i / plane % c
			squares[k] += (v - batch[k]) * (v - batch[k])
		}
		want := make([]float64, len(x))
		for i, v := range x {
			k := i / plane % c
			want[i] = scale[k]*(v-batch[k])/math.Sqrt(squares[k]/(n*plane)+1e-5) + bias[k]
		}
		close64(t, "training", bits(t, m.y.Value()), want)
		for k := range c {
			mean[k] += 0.1 * (batch[k] - mean[k])
			variance[k] += 0.1 * (squares[k]/(n*plane-1) - variance[k])
		}
		close64(t, "the running mean", bits(t, net.Param("bn.running_mean").Value), mean)
		close64(t, "the running variance", bits(t, net.Param("bn.running_var").Value), variance)
	}
	checkGradients(t, m, r)
	x := samples(net, 2, seed)
	got, err := net.Predict(x)
	if err != nil {
		t.Fatal(err)
	}
	mean, variance = bits(t, net.Param("bn.running_mean").Value), bits(t, net.Param("bn.running_var").Value)
	want := bits(t, x)
	for i, v := range want {
		k := i / plane % c
		want[i] = scale[k]*(v-mean[k])/math.Sqrt(variance[k]+1e-5) + bias[k]
	}
	close64(t, "evaluation", bits(t, got), want)
	for name, l := range map[string]BatchNorm{"ε": {Epsilon: -1}, "NaN": {Epsilon: math.NaN()}, "momentum": {Momentum: 1.5}} {
		_, err := New(l, tensor.Shape{1, 2, 2}, Options{})
		wants(t, name, err, "BatchNorm: epsilon is")
	}
	_, err = New(BatchNorm{}, tensor.Shape{1, 2, 2, 2}, Options{})
	wants(t, "rank 5", err, "BatchNorm: x is (1, 1, 2, 2, 2)")
}

// A residual network of the form of ResNet's, with PyTorch's names, trains, saves and predicts.
func TestResidualNetwork(t *testing.T) {
	n := newNet(t, Sequential{
		As("conv1", Conv2D{Filters: 4, Size: ops.Both(3), Pad: ops.Around(1), NoBias: true}), As("bn1", BatchNorm{}), ReLU{},
		As("layer1", Sequential{basicBlock{4, 1}, basicBlock{8, 2}}), GlobalAvgPool{}, As("fc", Linear{Outputs: 3}),
	}, tensor.Shape{2, 6, 7}, Options{Float64: true, Seed: 1})
	want := "conv1.weight bn1.weight bn1.bias " +
		"layer1.0.conv1.weight layer1.0.bn1.weight layer1.0.bn1.bias layer1.0.conv2.weight layer1.0.bn2.weight layer1.0.bn2.bias " +
		"layer1.1.conv1.weight layer1.1.bn1.weight layer1.1.bn1.bias layer1.1.conv2.weight layer1.1.bn2.weight layer1.1.bn2.bias " +
		"layer1.1.downsample.0.weight layer1.1.downsample.1.weight layer1.1.downsample.1.bias fc.weight fc.bias"
	if got := paths(n.Params()); got != want {
		t.Errorf("the parameters are\n%s, want\n%s", got, want)
	}
	if len(n.Buffers()) != 12 || n.Buffers()[11].Name != "layer1.1.downsample.1.running_var" {
		t.Errorf("the buffers are %s", paths(n.Buffers()))
	}
	m := graphOf(t, n, 3, BuildOptions{Loss: CrossEntropy{}, Training: true, Penalties: []Penalty{L2(0.01)}})
	r := rand.New(rand.NewPCG(1, 0))
	fill(r, m)
	checkGradients(t, m, r)
	var file bytes.Buffer
	if err := n.Save(&file, nil); err != nil {
		t.Fatal(err)
	}
	before, err := n.Predict(samples(n, 3, 1))
	if err != nil {
		t.Fatal(err)
	}
	if err := n.Init(2); err != nil {
		t.Fatal(err)
	}
	if err := n.Load(&file, LoadOptions{}); err != nil {
		t.Fatal(err)
	}
	after, err := n.Predict(samples(n, 3, 1))
	if err != nil {
		t.Fatal(err)
	}
	sameBits(t, "predictions after saving and loading", bits(t, after), bits(t, before))
}

type basicBlock struct{ planes, stride int }

func (l basicBlock) Apply(b *Builder, x *G.Node) *G.Node {
	conv := func(k, s int) Layer {
		return Conv2D{Filters: l.planes, Size: ops.Both(k), Stride: ops.Both(s), Pad: ops.Around(k / 2), NoBias: true}
	}
	y := b.Layer("conv1", conv(3, l.stride), x)
	y = b.Do(ops.ReLU(b.Layer("bn1", BatchNorm{}, y)))
	y = b.Layer("bn2", BatchNorm{}, b.Layer("conv2", conv(3, 1), y))
	if l.stride != 1 || x.Shape()[1] != l.planes {
		x = b.Layer("downsample", Sequential{conv(1, l.stride), BatchNorm{}}, x)
	}
	return b.Do(ops.ReLU(b.Do(ops.Add(y, x))))
}
