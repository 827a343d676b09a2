package docs_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	G "gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/convgrad/convgrad/model"
	"github.com/convgrad/convgrad/ops"
	"github.com/convgrad/convgrad/ops/blas"
	"github.com/convgrad/convgrad/ops/vm"
	"github.com/convgrad/convgrad/train"
	"github.com/convgrad/convgrad/train/data"
)

const (
	batch   = 8
	classes = 10
)

// leaf is an input of a graph with random values.
func leaf(g *G.ExprGraph, seed uint64, name string, shape ...int) *G.Node {
	r := rand.New(rand.NewPCG(seed, 0))
	v := make([]float32, tensor.Shape(shape).TotalSize())
	for i := range v {
		v[i] = (r.Float32()*2 - 1) / 4
	}
	return G.NodeFromAny(g, tensor.New(tensor.WithShape(shape...), tensor.WithBacking(v)),
		G.WithName(name))
}

// digits are the labels of the batch.
func digits() []int {
	labels := make([]int, batch)
	for i := range labels {
		labels[i] = i * 7 % classes
	}
	return labels
}

// before is the program as Gorgonia's users write it.
func before(steps int) (losses []float32, gradient []float32) {
	g := G.NewGraph()
	x := leaf(g, 1, "x", batch, 1, 12, 12)
	w0 := leaf(g, 2, "w0", 8, 1, 3, 3)
	w1 := leaf(g, 3, "w1", 8*6*6, classes)
	hot := make([]float32, batch*classes)
	for i, label := range digits() {
		hot[i*classes+label] = 1
	}
	t := G.NodeFromAny(g, tensor.New(tensor.WithShape(batch, classes), tensor.WithBacking(hot)),
		G.WithName("t"))

	c := G.Must(G.Conv2d(x, w0, tensor.Shape{3, 3}, []int{1, 1}, []int{1, 1}, []int{1, 1}))
	p := G.Must(G.MaxPool2D(G.Must(G.Rectify(c)), tensor.Shape{2, 2}, []int{0, 0}, []int{2, 2}))
	flat := G.Must(G.Reshape(p, tensor.Shape{batch, 8 * 6 * 6}))
	y := G.Must(G.SoftMax(G.Must(G.Mul(flat, w1))))
	cost := G.Must(G.Neg(G.Must(G.Mean(G.Must(G.HadamardProd(G.Must(G.Log(y)), t))))))

	if _, err := G.Grad(cost, w0, w1); err != nil {
		panic(err)
	}
	var loss G.Value
	G.Read(cost, &loss)
	machine := G.NewTapeMachine(g, G.BindDualValues(w0, w1))
	defer machine.Close()
	solver := G.NewVanillaSolver(G.WithLearnRate(1))
	for range steps {
		if err := machine.RunAll(); err != nil {
			panic(err)
		}
		losses = append(losses, loss.Data().(float32))
		gradient = append(gradient, gradOf(w0)...)
		if err := solver.Step(G.NodesToValueGrads(G.Nodes{w0, w1})); err != nil {
			panic(err)
		}
		machine.Reset()
	}
	return losses, gradient
}

func gradOf(w *G.Node) []float32 {
	g, err := w.Grad()
	if err != nil {
		panic(err)
	}
	return g.Data().([]float32)
}

// after is the same program with the ops and the executor of this project.
func after(steps int) (losses []float32, gradient []float32, err error) {
	blas.Use()

	g := G.NewGraph()
	x := leaf(g, 1, "x", batch, 1, 12, 12)
	w0 := leaf(g, 2, "w0", 8, 1, 3, 3)
	w1, err := transposed(g, "w1", 3, 8*6*6, classes)
	if err != nil {
		return nil, nil, err
	}

	c, err := ops.Conv2D(x, w0, nil, ops.ConvParams{Pad: ops.Around(1)})
	if err != nil {
		return nil, nil, err
	}
	a, err := ops.ReLU(c)
	if err != nil {
		return nil, nil, err
	}
	p, err := ops.MaxPool2D(a, ops.PoolParams{Window: ops.Both(2)})
	if err != nil {
		return nil, nil, err
	}
	flat, err := ops.Flatten(p)
	if err != nil {
		return nil, nil, err
	}
	y, err := ops.Linear(flat, w1, nil) // no SoftMax: CrossEntropy takes the logits
	if err != nil {
		return nil, nil, err
	}

	labels := G.NodeFromAny(g, tensor.New(tensor.WithBacking(digits())), G.WithName("labels"))
	cost, err := ops.CrossEntropy(y, labels, ops.CrossEntropyParams{})
	if err != nil {
		return nil, nil, err
	}

	grads, err := G.Grad(cost, w0, w1)
	if err != nil {
		return nil, nil, err
	}
	machine, err := vm.New(g, append(grads, cost)...)
	if err != nil {
		return nil, nil, err
	}
	defer machine.Close()
	if err := machine.BindDualValues(w0, w1); err != nil {
		return nil, nil, err
	}
	solver := G.NewVanillaSolver(G.WithLearnRate(1.0 / classes))
	for range steps {
		if err := machine.RunAll(); err != nil {
			return nil, nil, err
		}
		losses = append(losses, cost.Value().Data().(float32))
		gradient = append(gradient, gradOf(w0)...)
		if err := solver.Step(G.NodesToValueGrads(G.Nodes{w0, w1})); err != nil {
			return nil, nil, err
		}
		machine.Reset()
	}
	return losses, gradient, nil
}

// asNetwork is the same program with a network and a step of training in the place of the graph.
func asNetwork(steps int) (losses []float32, gradient []float32, err error) {
	net, err := model.New(model.Sequential{
		model.Conv2D{Filters: 8, Size: ops.Both(3), Pad: ops.Around(1), NoBias: true}, model.ReLU{},
		model.MaxPool2D{Window: ops.Both(2)}, model.Flatten{},
		model.Linear{Outputs: classes, NoBias: true},
	}, tensor.Shape{1, 12, 12}, model.Options{})
	if err != nil {
		return nil, nil, err
	}

	scratch := G.NewGraph()
	w1, err := transposed(scratch, "w1", 3, 8*6*6, classes)
	if err != nil {
		return nil, nil, err
	}
	for i, w := range []*G.Node{leaf(scratch, 2, "w0", 8, 1, 3, 3), w1} {
		copy(net.Params()[i].Value.Data().([]float32), w.Value().Data().([]float32))
	}
	x := leaf(scratch, 1, "x", batch, 1, 12, 12).Value().Data().([]float32)

	step, err := train.NewStep(net, model.CrossEntropy{}, &train.SGD{}, batch, train.StepOptions{})
	if err != nil {
		return nil, nil, err
	}
	defer step.Close()
	var targets []data.Target
	for _, label := range digits() {
		targets = append(targets, data.Target{Class: label})
	}
	for range steps {
		loss, err := step.Gradients(x, targets)
		if err != nil {
			return nil, nil, err
		}
		losses = append(losses, float32(loss))
		grads, err := step.Grads()
		if err != nil {
			return nil, nil, err
		}
		gradient = append(gradient, grads[0].Data().([]float32)...)
		if err := step.Update(1.0 / classes); err != nil {
			return nil, nil, err
		}
	}
	return losses, gradient, nil
}

// transposed is leaf's matrix of the given shape, transposed: ops.Linear has a row per output.
func transposed(g *G.ExprGraph, name string, seed uint64, rows, cols int) (*G.Node, error) {
	w := leaf(G.NewGraph(), seed, name, rows, cols).Value().(*tensor.Dense)
	if err := w.T(); err != nil {
		return nil, err
	}
	if err := w.Transpose(); err != nil {
		return nil, err
	}
	return G.NodeFromAny(g, w, G.WithName(name)), nil
}

// All programs compute the same losses and gradients. Gorgonia's mean is over images times classes,
// ours over images, so ours are ten times as large.
func TestMigrated(t *testing.T) {
	const steps = 5
	losses, gradient := before(steps)
	if losses[steps-1] >= losses[0] {
		t.Errorf("the losses are %v, want them to fall", losses)
	}
	greatest := 0.0
	for _, v := range gradient {
		greatest = math.Max(greatest, classes*math.Abs(float64(v)))
	}
	for name, program := range map[string]func(int) ([]float32, []float32, error){
		"graph": after, "network": asNetwork,
	} {
		t.Run(name, func(t *testing.T) {
			ours, grads, err := program(steps)
			if err != nil {
				t.Fatal(err)
			}
			for i := range losses {
				near(t, fmt.Sprint("loss ", i), float64(ours[i]), classes*float64(losses[i]), 1)
			}
			for i := range gradient {
				want := classes * float64(gradient[i])
				near(t, fmt.Sprint("dw ", i), float64(grads[i]), want, greatest)
			}
		})
	}
}

// near allows the error of float32 sums of at most 8·12·12 terms, on a scale, in each of two
// programs and five steps.
func near(t *testing.T, what string, got, want, scale float64) {
	t.Helper()
	if bound := 10 * 1152 * scale * 0x1p-24; !(math.Abs(got-want) <= bound) {
		t.Errorf("%s is %v, want %v within %.1e", what, got, want, bound)
	}
}
