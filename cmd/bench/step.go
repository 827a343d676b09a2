package main

import (
	"math/rand/v2"
	"time"

	"github.com/pkg/errors"
	G "gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/convgrad/convgrad/internal/kernel"
	"github.com/convgrad/convgrad/model"
	"github.com/convgrad/convgrad/train"
)

// stepBatch is the batch of examples/convnet.
const stepBatch = 100

// A stepper makes steps of training.
type stepper struct {
	name string
	step func()
	err  func() error // the first error of a step
	loss func() (float64, error)
	peak int

	calls int // to measure memory over
}

// A workload is what a network does again and again.
type workload struct {
	network   string
	batch     int
	input     tensor.Shape
	classes   int
	optimizer train.Optimizer // of training steps; nil for evaluation
	rate      float64
}

// stepper makes the workload's steps with our model and machine, on random images and labels.
func (w workload) stepper(name string, o model.Options) (*stepper, error) {
	o.Seed = Seed
	n, err := model.ByName(w.network, w.input, w.classes, o)
	if err != nil {
		return nil, err
	}
	build := model.BuildOptions{}
	if w.optimizer != nil {
		build = model.BuildOptions{Loss: model.CrossEntropy{}, Training: true, Seed: Seed}
	}
	m, err := n.Build(w.batch, build)
	if err != nil {
		return nil, err
	}
	x, ok := m.InputData().([]float32)
	if !ok {
		return nil, errors.Errorf("bench: %s takes %T, want float32", w.network, m.InputData())
	}
	r := rand.New(rand.NewPCG(Seed, 1))
	copy(x, random[float32](r, len(x)))
	if labels, ok := m.TargetData().([]int); ok {
		for i := range labels {
			labels[i] = r.IntN(w.classes)
		}
	}
	var failed error
	step := func() {
		e := m.Run()
		if e == nil && w.optimizer != nil {
			var grads []*tensor.Dense
			if grads, e = m.Grads(); e == nil {
				e = w.optimizer.Step(m.Params(), grads, w.rate)
			}
		}
		if failed == nil {
			failed = e
		}
	}
	return &stepper{name, step, func() error { return errors.Wrapf(failed, "bench: a step of %s", w.network) }, m.LossValue, m.PeakBytes(), 20}, nil
}

// A StepResult is a training step: forward, backward and RMSProp on a batch.
type StepResult struct {
	Name                string
	Seconds, SecondsOne float64 // elapsed: on all threads, and on one
	TimesOurs           float64 // how many times as long as ours, by turns, on all threads
	Scaling             float64 // one thread's time over all threads', by turns
	Bytes, Objects      float64 // allocated by a step
	PeakBytes           int     // memory held for intermediates, where the machine says
	Loss                float64 // of the last step, to show that it computed something
}

// Steps measures in turns a step of ours, of ours with Winograd, of the built-ins and, if there is
// one, of PyTorch.
func Steps(batch int, b Budget, torch *peer) ([]StepResult, error) {
	convnet := func() workload {
		return workload{"convnet", batch, tensor.Shape{1, 28, 28}, 10, &train.RMSProp{}, 1e-4}
	}
	plain, err := convnet().stepper("convgrad", model.Options{})
	if err != nil {
		return nil, err
	}
	fast, err := convnet().stepper("convgrad, Winograd", model.Options{Winograd: true})
	if err != nil {
		return nil, err
	}
	builtin, done, err := builtins(batch)
	if err != nil {
		return nil, err
	}
	defer done()
	part := b.part()
	oneThread := func(f func()) func() (time.Duration, error) {
		return func() (time.Duration, error) {
			defer kernel.SetThreads(kernel.SetThreads(1))
			return Wall(part, f), nil
		}
	}
	fs := []func() (time.Duration, error){all(part, plain.step), oneThread(plain.step), all(part, fast.step), oneThread(fast.step), all(Budget{Reps: 2}, builtin.step)}
	if torch != nil {
		ask := func(threads int, last bool) func() (time.Duration, error) {
			return func() (time.Duration, error) {
				return torch.ask(question{What: "step", Size: []int{batch}, ChannelsLast: last, Threads: threads, Seconds: part.Time.Seconds()})
			}
		}
		fs = append(fs, ask(kernel.Threads(), false), ask(1, false), ask(kernel.Threads(), true), ask(1, true))
	}
	t, err := turns(b.Rounds, fs...)
	if err != nil {
		return nil, err
	}
	var list []StepResult
	for i, s := range []*stepper{plain, fast, builtin} {
		res := StepResult{Name: s.name, PeakBytes: s.peak, TimesOurs: over(t[2*i], t[0]), Seconds: median(t[2*i]).Seconds()}
		if 2*i+1 < 4 {
			res.SecondsOne, res.Scaling = median(t[2*i+1]).Seconds(), over(t[2*i+1], t[2*i])
		}
		res.Bytes, res.Objects = Memory(s.calls, s.step)
		if err := s.err(); err != nil {
			return nil, err
		}
		if res.Loss, err = s.loss(); err != nil {
			return nil, errors.Wrap(err, "bench: a step's loss")
		}
		list = append(list, res)
	}
	for i := 5; i < len(t); i += 2 {
		list = append(list, StepResult{Name: []string{"PyTorch", "PyTorch, channels last"}[(i-5)/2], Seconds: median(t[i]).Seconds(), SecondsOne: median(t[i+1]).Seconds(),
			TimesOurs: over(t[i], t[0]), Scaling: over(t[i+1], t[i])})
	}
	return list, nil
}

// builtins is a step of examples/convnet with Gorgonia's own ops, solver and TapeMachine.
func builtins(batch int) (_ *stepper, done func() error, _ error) {
	r := rand.New(rand.NewPCG(Seed, 1))
	g := G.NewGraph()
	leaf := func(name string, scale float32, shape ...int) *G.Node {
		v := random[float32](r, tensor.Shape(shape).TotalSize())
		for i := range v {
			v[i] *= scale
		}
		return G.NewTensor(g, tensor.Float32, len(shape), G.WithShape(shape...), G.WithName(name),
			G.WithValue(tensor.New(tensor.WithShape(shape...), tensor.WithBacking(v))))
	}
	var err error
	// must keeps the first error: the others follow from it.
	must := func(n *G.Node, e error) *G.Node {
		if err == nil {
			err = e
		}
		return n
	}
	x := leaf("x", 1, batch, 1, 28, 28)
	labels := make([]float32, batch*10)
	for i := range batch {
		labels[i*10+r.IntN(10)] = 1
	}
	t := G.NewMatrix(g, tensor.Float32, G.WithShape(batch, 10), G.WithName("t"),
		G.WithValue(tensor.New(tensor.WithShape(batch, 10), tensor.WithBacking(labels))))
	w0, w1, w2 := leaf("w0", 0.3, 32, 1, 3, 3), leaf("w1", 0.06, 64, 32, 3, 3), leaf("w2", 0.04, 128, 64, 3, 3)
	w3, w4 := leaf("w3", 0.03, 128*3*3, 625), leaf("w4", 0.04, 625, 10)
	params := G.Nodes{w0, w1, w2, w3, w4}
	h := x
	for _, w := range params[:3] {
		h = must(G.Conv2d(h, w, tensor.Shape{3, 3}, []int{1, 1}, []int{1, 1}, []int{1, 1}))
		h = must(G.MaxPool2D(must(G.Rectify(h)), tensor.Shape{2, 2}, []int{0, 0}, []int{2, 2}))
		if err != nil {
			return nil, nil, err
		}
		if w != w2 {
			h = must(G.Dropout(h, 0.2))
		}
	}
	h = must(G.Dropout(must(G.Reshape(h, tensor.Shape{batch, 128 * 3 * 3})), 0.2))
	h = must(G.Dropout(must(G.Rectify(must(G.Mul(h, w3)))), 0.55))
	p := must(G.SoftMax(must(G.Mul(h, w4))))
	cost := must(G.Neg(must(G.Mean(must(G.HadamardProd(must(G.Log(p)), t))))))
	if err != nil {
		return nil, nil, errors.Wrap(err, "bench: the built-in convnet")
	}
	if _, err = G.Grad(cost, params...); err != nil {
		return nil, nil, errors.Wrap(err, "bench: the built-in convnet")
	}
	m := G.NewTapeMachine(g, G.BindDualValues(params...))
	solver := G.NewRMSPropSolver(G.WithBatchSize(float64(batch)))
	var failed error
	step := func() {
		e := m.RunAll()
		if e == nil {
			e = solver.Step(G.NodesToValueGrads(params))
		}
		if failed == nil {
			failed = e
		}
		m.Reset()
	}
	loss := func() (float64, error) {
		v, ok := cost.Value().Data().(float32)
		if !ok {
			return 0, errors.Errorf("the cost is a %T", cost.Value().Data())
		}
		return float64(v), nil
	}
	return &stepper{"Gorgonia's built-ins", step, func() error { return errors.Wrap(failed, "bench: a step of the built-in convnet") }, loss, 0, 3}, m.Close, nil
}
