package main

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/pkg/errors"
	G "gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/convgrad/convgrad/internal/kernel"
	"github.com/convgrad/convgrad/internal/opset"
	"github.com/convgrad/convgrad/ops"
	"github.com/convgrad/convgrad/ops/vm"
)

// An OpResult is a registered op on all threads: its result, and its result with all gradients.
type OpResult struct {
	Name, Call, Size  string  // the op, its parameters, the shapes of its operands
	Forward, Training float64 // seconds
	// PyTorch's time over ours; 0 where it was not measured.
	OverPyTorch, OverPyTorchTraining float64
}

// Registered measures the calls that each registered op gives to opset.Timed. A new op needs no
// edit here.
func Registered(b Budget, o Options, torch *peer) ([]OpResult, error) {
	var list []OpResult
	for _, name := range opset.TimedNames() {
		if !o.wantsOne("ops", name) {
			continue
		}
		for i, c := range opset.Calls(name) {
			if o.Quick && (i > 0 || len(list) > 2) {
				break
			}
			r, err := measureCase(b, name, c, torch)
			if err != nil {
				return nil, errors.Wrapf(err, "bench: %s", name)
			}
			list = append(list, r)
		}
	}
	return list, nil
}

func measureCase(b Budget, name string, c opset.Case, torch *peer) (OpResult, error) {
	res := OpResult{Name: name, Call: c.Params}
	q := question{What: "op", Expression: c.PyTorch, Threads: kernel.Threads(), Seconds: b.part().Time.Seconds()}
	for i, in := range c.Inputs {
		if i > 0 {
			res.Size += ", "
		}
		res.Size += fmt.Sprint([]int(in.Shape))
		q.Operands = append(q.Operands, operandOf{in.Name, in.Shape, in.Of.Type != nil})
	}
	forward, err := runs(c, false)
	if err != nil {
		return res, err
	}
	training, err := runs(c, true)
	if err != nil {
		return res, err
	}
	part := b.part()
	fs := []func() (time.Duration, error){all(part, forward), all(part, training)}
	if torch != nil && c.PyTorch != "" {
		for which := range 2 {
			q := q
			q.Which = which
			fs = append(fs, func() (time.Duration, error) { return torch.faster(q, images(c)) })
		}
	}
	t, err := turns(b.Rounds, fs...)
	if err != nil {
		return res, err
	}
	res.Forward, res.Training = median(t[0]).Seconds(), median(t[1]).Seconds()
	if len(t) > 2 {
		res.OverPyTorch, res.OverPyTorchTraining = over(t[2], t[0]), over(t[3], t[1])
	}
	return res, nil
}

// images says whether an operand has rank 4, and so two layouts in PyTorch.
func images(c opset.Case) bool {
	return slices.ContainsFunc(c.Inputs, func(in opset.Input) bool { return len(in.Shape) == 4 })
}

// runs is one run of the case in float32, with the gradients by all float inputs if they are asked
// for. Cotangents are random.
func runs(c opset.Case, gradients bool) (func(), error) {
	g, r := G.NewGraph(), rand.New(rand.NewPCG(Seed, 4))
	leaf := func(name string, shape tensor.Shape, of tensor.Dtype, draw func(*rand.Rand, []float64)) *G.Node {
		v := make([]float64, shape.TotalSize())
		draw(r, v)
		t := tensor.New(tensor.WithShape(shape...), tensor.Of(of))
		for i, x := range v {
			switch d := t.Data().(type) {
			case []float32:
				d[i] = float32(x)
			case []int:
				d[i] = int(x)
			case []int32:
				d[i] = int32(x)
			case []int64:
				d[i] = int64(x)
			}
		}
		return G.NewTensor(g, of, len(shape), G.WithShape(shape...), G.WithName(name), G.WithValue(t))
	}
	var in, floats []*G.Node
	for _, input := range c.Inputs {
		of := tensor.Float32
		if input.Of.Type != nil {
			of = input.Of
		}
		in = append(in, leaf(input.Name, input.Shape, of, input.Draw))
		if of == tensor.Float32 {
			floats = append(floats, in[len(in)-1])
		}
	}
	y, err := c.Build(in)
	if err != nil {
		return nil, err
	}
	outputs := []*G.Node{y}
	if gradients {
		var dy *G.Node
		if !y.IsScalar() {
			dy = leaf("dy", y.Shape(), tensor.Float32, opset.Normal("dy").Draw)
		}
		grads, err := ops.Grad(y, dy, floats...)
		if err != nil {
			return nil, err
		}
		outputs = append(outputs, grads...)
	}
	m, err := vm.New(g, outputs...)
	if err != nil {
		return nil, err
	}
	if err := m.RunAll(); err != nil {
		return nil, err
	}
	return func() {
		if err := m.RunAll(); err != nil {
			panic(err) // it ran a moment ago on the same values
		}
	}, nil
}

// Title names the call in a sentence.
func (r OpResult) Title() string {
	if r.Call == "" {
		return r.Name + " " + r.Size
	}
	return r.Name + " (" + r.Call + ") " + r.Size
}
