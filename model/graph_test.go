package model

import (
	"math"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"

	"github.com/pkg/errors"
	G "gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/convgrad/convgrad/ops"
)

// The loss of a batch is the mean of its samples' losses, by their definitions: −log softmax at the
// label, and the article's ½ Σ (t − y)².
func TestLosses(t *testing.T) {
	const seed, batch = 11, 5
	t.Logf("seed %d", seed)
	n := byName(t, "linear", Options{Float64: true})
	for _, loss := range []Loss{CrossEntropy{}, SquaredError{}} {
		m := graphOf(t, n, batch, BuildOptions{Loss: loss})
		fill(rand.New(rand.NewPCG(seed, 0)), m)
		got := lossAt(t, m, 0)
		y, want := bits(t, m.y.Value()), 0.0
		switch target := m.TargetData().(type) {
		case []int:
			for i, l := range target {
				sum := 0.0
				for _, v := range y[10*i:][:10] {
					sum += math.Exp(v - y[10*i+l])
				}
				want += math.Log(sum) / batch
			}
		case []float64:
			for i, v := range target {
				want += (v - y[i]) * (v - y[i]) / 2 / batch
			}
		}
		// Sums of some 50 terms of the loss's size, with two roundings each and exp and log within
		// an ulp or two.
		if !(math.Abs(got-want) <= 200*0x1p-53*math.Abs(want)) {
			t.Errorf("%v: the loss is %v, want %v", loss, got, want)
		}
	}
	for name, want := range map[string]Loss{"cross-entropy": CrossEntropy{}, "mse": SquaredError{}} {
		if got, err := ParseLoss(name); !reflect.DeepEqual(got, want) || err != nil {
			t.Errorf("%s is %v, %v", name, got, err)
		}
	}
	_, err := ParseLoss("hinge")
	wants(t, "an unknown loss", err, `the loss is "hinge", want cross-entropy or mse`)
}

// Gradients of networks agree with differences, with penalties and without, by the input too.
func TestGradientsOfNetworks(t *testing.T) {
	const seed = 5
	t.Logf("seed %d", seed)
	for _, name := range small {
		if testing.Short() && name == "convnet" {
			continue
		}
		for what, o := range map[string]BuildOptions{
			"cross-entropy":     {Loss: CrossEntropy{}},
			"mse, penalty":      {Loss: SquaredError{}, Penalties: []Penalty{L2(0.1)}},
			"two penalties":     {Loss: CrossEntropy{}, Penalties: []Penalty{L2(0.1), squaredBias}},
			"a loss of its own": {Loss: LossFunc(func(y, t *G.Node) (*G.Node, error) { return ops.MSE(y, t, ops.ReductionMean) })},
		} {
			t.Run(name+", "+what, func(t *testing.T) {
				n := byName(t, name, Options{Float64: true})
				o.Training, o.Seed = true, 1
				m := graphOf(t, n, 2, o)
				r := rand.New(rand.NewPCG(seed, 0))
				fill(r, m)
				checkGradients(t, m, r)
			})
		}
	}
}

// squaredBias is a penalty on the last parameter alone.
func squaredBias(w G.Nodes) (*G.Node, error) { return L2(3)(w[len(w)-1:]) }

// A penalty's gradient is added to the loss's: with L2 exactly what decay adds, λ·w.
func TestPenalties(t *testing.T) {
	const lambda = 0.25
	n := byName(t, "article", Options{Float64: true})
	plain := graphOf(t, n, 3, BuildOptions{Loss: CrossEntropy{}, Training: true})
	with := graphOf(t, n, 3, BuildOptions{Loss: CrossEntropy{}, Training: true, Penalties: []Penalty{L2(lambda)}})
	fill(rand.New(rand.NewPCG(1, 0)), plain)
	copy(with.InputData().([]float64), plain.InputData().([]float64))
	copy(with.TargetData().([]int), plain.TargetData().([]int))
	before, after := lossAt(t, plain, 0), lossAt(t, with, 0)
	squares := 0.0
	for i, p := range with.Params() {
		for j, w := range p.Value.Data().([]float64) {
			squares += w * w
			// one product and one sum are rounded
			got, want := with.dense[i].Data().([]float64)[j], plain.dense[i].Data().([]float64)[j]+lambda*w
			if !(math.Abs(got-want) <= 4*0x1p-53*(math.Abs(want)+math.Abs(lambda*w))) {
				t.Fatalf("%s[%d]: the gradient is %v, want %v", p.Name, j, got, want)
			}
		}
	}
	penalty, err := with.PenaltyValue()
	if err != nil {
		t.Fatal(err)
	}
	want := lambda / 2 * squares // a sum of 20,000 squares: γ_n·Σ, far below 1e-10 of it
	if !(math.Abs(penalty-want) <= 1e-10*want) || !(math.Abs(after-before-want) <= 1e-10*want) {
		t.Errorf("the penalty is %v and adds %v, want %v", penalty, after-before, want)
	}
	if v, err := plain.PenaltyValue(); v != 0 || err != nil {
		t.Errorf("no penalty is %v, %v", v, err)
	}
}

// What is handed to Build and is wrong is an error; above all a graph that has been differentiated
// already, whose second gradients would be wrong numbers.
func TestBuildErrors(t *testing.T) {
	scalar := func(g *G.ExprGraph, of tensor.Dtype) *G.Node { return G.NewScalar(g, of, G.WithName("s")) }
	fromLoss := func(f func(y, t *G.Node) (*G.Node, error)) BuildOptions {
		return BuildOptions{Loss: LossFunc(f), Training: true}
	}
	fromPenalty := func(f Penalty) BuildOptions {
		return BuildOptions{Loss: CrossEntropy{}, Training: true, Penalties: []Penalty{f}}
	}
	n := byName(t, "linear", Options{})
	for name, c := range map[string]struct {
		o    BuildOptions
		want string
	}{
		"training without a loss":   {BuildOptions{Training: true}, "without a loss"},
		"gradients without a loss":  {BuildOptions{InputGradient: true}, "without a loss"},
		"a penalty without a loss":  {BuildOptions{Penalties: []Penalty{L2(1)}}, "without a loss"},
		"a nil function":            {BuildOptions{Loss: LossFunc(nil)}, "the loss function is nil"},
		"a nil pointer":             {BuildOptions{Loss: (*CrossEntropy)(nil)}, "the loss panicked"},
		"a loss's error":            {fromLoss(func(y, t *G.Node) (*G.Node, error) { return nil, errors.New("no") }), "no"},
		"a loss that panics":        {fromLoss(func(y, t *G.Node) (*G.Node, error) { panic("oh") }), "the loss panicked: oh"},
		"no loss":                   {fromLoss(func(y, t *G.Node) (*G.Node, error) { return nil, nil }), "the loss is nil"},
		"a loss that is no scalar":  {fromLoss(func(y, t *G.Node) (*G.Node, error) { return y, nil }), "the loss has shape (2, 10), want a scalar"},
		"a loss of another graph":   {fromLoss(func(y, t *G.Node) (*G.Node, error) { return scalar(G.NewGraph(), G.Float32), nil }), "the loss is a node of another graph"},
		"a loss of another type":    {fromLoss(func(y, t *G.Node) (*G.Node, error) { return scalar(y.Graph(), G.Float64), nil }), "the loss is of float64, want float32"},
		"a loss of nothing":         {fromLoss(func(y, t *G.Node) (*G.Node, error) { return scalar(y.Graph(), G.Float32), nil }), "the loss does not depend on fc1.weight"},
		"a nil penalty":             {fromPenalty(nil), "penalty 0 is nil"},
		"a penalty that panics":     {fromPenalty(func(w G.Nodes) (*G.Node, error) { panic("oh") }), "penalty 0 panicked: oh"},
		"a penalty's error":         {fromPenalty(func(w G.Nodes) (*G.Node, error) { return nil, errors.New("no") }), "penalty 0: no"},
		"a penalty of a shape":      {fromPenalty(func(w G.Nodes) (*G.Node, error) { return w[0], nil }), "penalty 0 has shape (10, 784), want a scalar"},
		"a penalty of another type": {fromPenalty(func(w G.Nodes) (*G.Node, error) { return scalar(w[0].Graph(), G.Float64), nil }), "penalty 0 is of float64"},
		"Grad in a loss": {fromLoss(func(y, t *G.Node) (*G.Node, error) {
			e, err := ops.MSE(y, t, ops.ReductionMean)
			if err == nil {
				_, err = G.Grad(e, y.Graph().ByName("fc1.weight")...)
			}
			return e, err
		}), "gorgonia.Grad, of which a second call"},
		"Grad in a penalty": {fromPenalty(func(w G.Nodes) (*G.Node, error) {
			e, err := L2(1)(w)
			if err == nil {
				_, err = G.Grad(e, w...)
			}
			return e, err
		}), "gorgonia.Grad, of which a second call"},
		"targets of a type":  {BuildOptions{Loss: oddTarget{tensor.Shape{2}, tensor.Bool}}, "the targets are of bool"},
		"targets of a shape": {BuildOptions{Loss: oddTarget{tensor.Shape{2, 0}, tensor.Int}}, "the targets: has shape (2, 0)"},
		"huge targets":       {BuildOptions{Loss: oddTarget{tensor.Shape{1 << 40}, tensor.Int}}, "the targets: has shape"},
	} {
		_, err := n.Build(2, c.o)
		wants(t, name, err, c.want)
	}
	_, err := n.Build(0, BuildOptions{})
	wants(t, "no batch", err, "batch size is 0")
	_, err = n.Build(1<<40, BuildOptions{})
	wants(t, "a huge batch", err, "at most 2147483647 elements")
	images := newNet(t, ReLU{}, digit, Options{})
	_, err = images.Build(1, BuildOptions{Loss: CrossEntropy{}})
	wants(t, "classes of an image", err, "the output of a batch is (1, 1, 28, 28), want batch×classes")
	unused := newNet(t, f2(func(b *Builder, x *G.Node) *G.Node { b.Param("idle", nil, 2); return x }), digit, Options{})
	_, err = unused.Build(1, BuildOptions{Loss: SquaredError{}, Training: true})
	wants(t, "a parameter without use", err, "the loss does not depend on idle")
	inside := newNet(t, f2(func(b *Builder, x *G.Node) *G.Node {
		w := b.Param("w", Ones, 2, 3)
		if b.Training() {
			s := b.Do(ops.ArticleError(w, w))
			if _, err := G.Grad(s, w); err != nil {
				return b.Do(nil, err)
			}
		}
		return b.Do(ops.Linear(x, w, nil))
	}), tensor.Shape{3}, Options{})
	_, err = inside.Build(1, BuildOptions{Loss: SquaredError{}, Training: true})
	wants(t, "Grad in a layer", err, "gorgonia.Grad, of which a second call")
}

type oddTarget struct {
	shape tensor.Shape
	of    tensor.Dtype
}

func (o oddTarget) Target(*G.Node) (tensor.Shape, tensor.Dtype, error) { return o.shape, o.of, nil }
func (o oddTarget) Loss(y, t *G.Node) (*G.Node, error)                 { return y, nil }

// Dropout drops in training; a mask is a function of the step, and each run goes one on by itself.
func TestDropoutIsForTraining(t *testing.T) {
	n := byName(t, "convnet", Options{})
	train := graphOf(t, n, 2, BuildOptions{Loss: CrossEntropy{}, Training: true, Seed: 1})
	eval := graphOf(t, n, 2, BuildOptions{Loss: CrossEntropy{}})
	fill(rand.New(rand.NewPCG(1, 1)), train)
	copy(eval.InputData().([]float32), train.InputData().([]float32))
	copy(eval.TargetData().([]int), train.TargetData().([]int))
	first := lossAt(t, train, 0)
	run(t, train)
	second, err := train.LossValue()
	if err != nil {
		t.Fatal(err)
	}
	if first == second {
		t.Error("the next run has the same masks")
	}
	if lossAt(t, train, 0) != first || lossAt(t, train, 1) != second {
		t.Error("a step that is run again has other masks")
	}
	train.random.SetTraining(false)
	if got, want := lossAt(t, train, 0), lossAt(t, eval, 0); got != want {
		t.Errorf("the training graph evaluates to %v, the evaluation graph to %v", got, want)
	}
}

// What is frozen has no gradients and evaluates; the rest is trained as before.
func TestFreeze(t *testing.T) {
	n := newNet(t, Sequential{
		As("layer1", Sequential{conv3(2), ReLU{}, Dropout{P: 0.5}}), As("layer10", Sequential{conv3(2), ReLU{}}),
		Flatten{}, As("fc", Linear{Outputs: 3}),
	}, tensor.Shape{1, 4, 5}, Options{Float64: true})
	if err := n.Freeze("layer1", "fc.bias"); err != nil {
		t.Fatal(err)
	}
	m := graphOf(t, n, 2, BuildOptions{Loss: CrossEntropy{}, Training: true, Penalties: []Penalty{L2(0.5)}})
	if got := paths(m.Params()); got != "layer10.0.weight layer10.0.bias fc.weight" {
		t.Errorf("the gradients are by %s", got)
	}
	r := rand.New(rand.NewPCG(3, 0))
	fill(r, m)
	checkGradients(t, m, r)
	if lossAt(t, m, 0) != lossAt(t, m, 1) {
		t.Error("a frozen Dropout drops")
	}
	for _, p := range n.Params() {
		if want := below(p.Name, "layer1") || p.Name == "fc.bias"; p.Frozen != want {
			t.Errorf("%s: frozen is %v, want %v", p.Name, p.Frozen, want)
		}
	}
	wants(t, "an unknown path", n.Freeze("fc", "layer2"), `there is no weight below "layer2"`)
	if n.Param("fc.weight").Frozen {
		t.Error("a Freeze that failed froze something")
	}
	if err := n.Freeze("layer10", "fc"); err != nil {
		t.Fatal(err)
	}
	all := graphOf(t, n, 2, BuildOptions{Loss: CrossEntropy{}, Training: true})
	fill(r, all)
	run(t, all)
	if g, err := all.Grads(); len(g) != 0 || err != nil {
		t.Errorf("everything is frozen: got %d gradients, %v", len(g), err)
	}
	n.Unfreeze()
	m = graphOf(t, n, 2, BuildOptions{Loss: CrossEntropy{}, Training: true})
	if len(m.Params()) != len(n.Params()) {
		t.Errorf("gradients by %s after Unfreeze", paths(m.Params()))
	}
	fill(r, m)
	if lossAt(t, m, 0) == lossAt(t, m, 1) {
		t.Error("Dropout does not drop after Unfreeze")
	}
}

func TestSetLabels(t *testing.T) {
	n := byName(t, "linear", Options{})
	for _, loss := range []Loss{CrossEntropy{}, SquaredError{}} {
		m := graphOf(t, n, 2, BuildOptions{Loss: loss})
		for _, labels := range [][]int{{9, 9}, {3, 0}} {
			if err := m.SetLabels(labels); err != nil {
				t.Fatal(err)
			}
		}
		switch d := m.TargetData().(type) {
		case []int:
			if d[0] != 3 || d[1] != 0 {
				t.Errorf("%v: got %v, want 3 and 0", loss, d)
			}
		case []float32:
			for i, v := range d {
				if want := i == 3 || i == 10; (v == 1) != want || (v == 0) == want {
					t.Errorf("%v: got %v, want ones at 3 and 10", loss, d)
				}
			}
		}
		for name, labels := range map[string][]int{"too few": {1}, "too great": {0, 10}, "negative": {-1, 0}} {
			wants(t, name, m.SetLabels(labels), "model: SetLabels")
		}
	}
	wants(t, "without a loss", graphOf(t, n, 1, BuildOptions{}).SetLabels([]int{1}), "no loss")
	images := graphOf(t, newNet(t, ReLU{}, digit, Options{}), 1, BuildOptions{Loss: SquaredError{}})
	wants(t, "an image", images.SetLabels([]int{1}), "want batch×classes")
}

// The smallest of everything: Gorgonia's tensors of one element are easily taken for scalars.
func TestOneElement(t *testing.T) {
	for _, input := range []tensor.Shape{{1, 1, 1}, {1}} {
		for _, o := range []Options{{}, {Float64: true}} {
			layers := Sequential{Flatten{}, Linear{Outputs: 1}}
			if len(input) == 3 {
				layers = append(Sequential{Conv2D{Filters: 1, Size: ops.Both(1)}, ReLU{}, MaxPool2D{Window: ops.Both(1)}, Dropout{P: 0.1}}, layers...)
			}
			n := newNet(t, layers, input, o)
			for _, loss := range []Loss{CrossEntropy{}, SquaredError{}} {
				m := graphOf(t, n, 1, BuildOptions{Loss: loss, Training: true, InputGradient: true, Keep: true, Penalties: []Penalty{L2(1)}})
				if err := m.SetLabels([]int{0}); err != nil {
					t.Fatal(err)
				}
				lossAt(t, m, 0)
				if _, err := m.InputGradient(); err != nil {
					t.Error(err)
				}
			}
			if _, err := n.Predict(tensor.New(tensor.WithShape(n.batch(1)...), tensor.Of(n.Dtype()))); err != nil {
				t.Error(err)
			}
		}
	}
}

// Keep makes what each layer gives readable, and changes no output.
func TestKeep(t *testing.T) {
	odd := newNet(t, Sequential{ReLU{}, half2, Conv2D{Filters: 3, Size: ops.Both(2)}, ReLU{}, ReLU{}, half2, Flatten{}, Linear{Outputs: 2}, ReLU{}},
		tensor.Shape{2, 6, 8}, Options{Seed: 3})
	for _, n := range []*Network{byName(t, "article", Options{}), odd} {
		m, plain := graphOf(t, n, 2, BuildOptions{Keep: true}), graphOf(t, n, 2, BuildOptions{})
		fill(rand.New(rand.NewPCG(2, 0)), m)
		copy(plain.InputData().([]float32), m.InputData().([]float32))
		run(t, m)
		run(t, plain)
		sameBits(t, "output", bits(t, m.y.Value()), bits(t, plain.y.Value()))
		for _, l := range n.Summary().Layers {
			y, err := m.Feature(l.Name)
			if err != nil {
				t.Error(err)
				continue
			}
			if want := append(tensor.Shape{2}, l.Output...); !y.Shape().Eq(want) {
				t.Errorf("%s gives %v, the summary says %v", l.Name, y.Shape(), want)
			}
			if l.Kind == "ReLU" {
				for _, v := range y.Data().([]float32) {
					if v < 0 {
						t.Fatalf("%s gives %v", l.Name, v)
					}
				}
			}
		}
		_, err := m.Feature("none")
		wants(t, "an unknown layer", err, `the graph has no layer "none" that is kept`)
		_, err = plain.Feature(n.Summary().Layers[0].Name)
		wants(t, "a layer that is not kept", err, "that is kept")
	}
}

// A ReLU that is computed after the max pooling behind it, as it is where nothing is kept, changes
// no bit of loss or gradients: windows of negative numbers, ties, NaN and infinities included.
func TestReLUCommutesWithMaxPool(t *testing.T) {
	const seed = 17
	t.Logf("seed %d", seed)
	for _, pool := range []MaxPool2D{half2, {Window: ops.Size{H: 3, W: 2}, Stride: ops.Size{H: 1, W: 2}, Pad: ops.Padding{Top: 1, Right: 1}}} {
		for k := range 4 {
			special := k >= 2 // with NaN in the loss, every gradient is NaN: apart
			layers := Sequential{ReLU{}, pool, Flatten{}, Linear{Outputs: 3}}
			if k%2 == 0 {
				layers = append(Sequential{Conv2D{Filters: 4, Size: ops.Both(1)}}, layers...)
			}
			n := newNet(t, layers, tensor.Shape{2, 7, 6}, Options{Seed: seed})
			var got [2][][]float64
			for i, keep := range []bool{false, true} {
				m := graphOf(t, n, 3, BuildOptions{Loss: SquaredError{}, Training: true, InputGradient: true, Keep: keep})
				r := rand.New(rand.NewPCG(seed, 0))
				x := m.InputData().([]float32)
				// small integers: ties, zeros and windows without a positive number
				for j := range x {
					x[j] = float32(r.IntN(7) - 4)
				}
				x[170] = float32(math.Copysign(0, -1))
				if special {
					x[5], x[90], x[130] = float32(math.Inf(1)), float32(math.Inf(-1)), float32(math.NaN())
				}
				if err := m.SetLabels([]int{0, 1, 2}); err != nil {
					t.Fatal(err)
				}
				got[i] = append(result(t, m), bits(t, m.dx.Value()))
			}
			for i := range got[0] {
				sameBits(t, pool.String(), got[0][i], got[1][i])
			}
		}
	}
}

// A first layer's gradient by the input is not computed unless it is asked for.
func TestInputGradientOnRequest(t *testing.T) {
	for _, name := range small {
		n := byName(t, name, Options{})
		steps := func(input bool) int {
			return graphOf(t, n, 1, BuildOptions{Loss: CrossEntropy{}, Training: true, InputGradient: input}).machine.Steps()
		}
		if without, with := steps(false), steps(true); without >= with {
			t.Errorf("%s: %d steps without the input's gradient, %d with it", name, without, with)
		}
	}
}

// What no constructor made, and what has not run, are errors and not panics.
func TestZeroValues(t *testing.T) {
	x := tensor.New(tensor.WithShape(1, 2), tensor.Of(tensor.Float32))
	fresh := graphOf(t, byName(t, "linear", Options{}), 1, BuildOptions{Loss: CrossEntropy{}, Training: true, InputGradient: true, Keep: true})
	closed := graphOf(t, byName(t, "linear", Options{}), 1, BuildOptions{Loss: CrossEntropy{}})
	run(t, closed)
	if err := closed.Close(); err != nil {
		t.Fatal(err)
	}
	for _, n := range []*Network{nil, {}} {
		for name, f := range map[string]func() error{
			"Build":    func() error { _, err := n.Build(1, BuildOptions{}); return err },
			"Predict":  func() error { _, err := n.Predict(x); return err },
			"Save":     func() error { return n.Save(nil, nil) },
			"SaveFile": func() error { return n.SaveFile("x", nil) },
			"Load":     func() error { return n.Load(nil, LoadOptions{}) },
			"LoadFile": func() error { return n.LoadFile("x", LoadOptions{}) },
			"Freeze":   func() error { return n.Freeze("x") },
			"Init":     func() error { return n.Init(1) },
		} {
			wants(t, name, f(), "model: ")
		}
		n.Unfreeze()
		if len(n.Input()) != 0 || len(n.Output()) != 0 || n.Name() != "" || n.Dtype().Type != nil || n.Params() != nil || n.Buffers() != nil || n.Param("x") != nil {
			t.Error("an empty network has something")
		}
		if s := n.Summary(); len(s.Layers) != 0 || s.String() == "" {
			t.Errorf("the summary of an empty network is %v", s)
		}
	}
	for _, m := range []*Graph{nil, {}, fresh, closed} {
		for name, f := range map[string]func() error{
			"SetLabels":     func() error { return m.SetLabels(nil) },
			"Output":        func() error { _, err := m.Output(); return err },
			"LossValue":     func() error { _, err := m.LossValue(); return err },
			"PenaltyValue":  func() error { _, err := m.PenaltyValue(); return err },
			"Grads":         func() error { _, err := m.Grads(); return err },
			"InputGradient": func() error { _, err := m.InputGradient(); return err },
			"Feature":       func() error { _, err := m.Feature(""); return err },
		} {
			wants(t, name, f(), "model: ")
		}
		if m != fresh {
			wants(t, "Run", m.Run(), "model: Run")
			m.SetStep(1)
			if m.InputData() != nil || m.TargetData() != nil || m.PeakBytes() != 0 || m.Close() != nil || m.Params() != nil || m.Batch() != 0 {
				t.Error("an empty graph has something")
			}
		}
	}
}

// What a caller sets in a Param is not set in the network; its weights are the network's.
func TestParamsAreViews(t *testing.T) {
	n := byName(t, "linear", Options{})
	m := graphOf(t, n, 1, BuildOptions{Loss: CrossEntropy{}, Training: true})
	for _, p := range append(append(n.Params(), n.Param("fc1.bias")), m.Params()...) {
		p.Value.Data().([]float32)[0] = 5
		p.Name, p.Value, p.Buffer, p.Frozen = "", nil, true, true
	}
	run(t, m)
	graphOf(t, n, 1, BuildOptions{Loss: CrossEntropy{}, Training: true})
	for _, p := range n.Params() {
		if p.Value.Data().([]float32)[0] != 5 {
			t.Errorf("%s: a weight that was set is %v, want 5", p.Name, p.Value.Data().([]float32)[0])
		}
	}
}

// A λ that is no weight of a penalty is an error of Build, not a loss of NaN.
func TestL2Lambda(t *testing.T) {
	n, err := New(Linear{Outputs: 2}, tensor.Shape{3}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	for _, lambda := range []float64{math.NaN(), -1, math.Inf(1)} {
		_, err := n.Build(1, BuildOptions{Loss: CrossEntropy{}, Penalties: []Penalty{L2(lambda)}, Training: true})
		if err == nil || !strings.Contains(err.Error(), "λ") {
			t.Errorf("λ %v: got %v, want an error that names it", lambda, err)
		}
	}
}
