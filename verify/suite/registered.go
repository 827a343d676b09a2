package suite

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"

	G "gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/convgrad/convgrad/internal/opset"
	"github.com/convgrad/convgrad/ops"
	"github.com/convgrad/convgrad/ops/vm"
	"github.com/convgrad/convgrad/verify"
	"github.com/convgrad/convgrad/verify/internal/values"
)

// drawRegistered takes a case of the list of ops. It has no reference: the checker's own oracles
// judge.
func drawRegistered(e opset.Entry, r *rand.Rand) *subject {
	c := e.Draw(r)
	s := &subject{params: c.Params, build: c.Build, rough: c.Rough}
	for _, in := range c.Inputs {
		s.shapes = append(s.shapes, in.Shape)
		s.inputs = append(s.inputs, verify.Input{Name: in.Name, Shape: in.Shape, Draw: in.Draw, Type: in.Of, Fixed: in.Of.Type != nil})
	}
	s.others = func() []verify.Build { return others(e, c) }
	return s
}

// others are calls of the same constructor on the same shapes with other parameters.
func others(e opset.Entry, c opset.Case) []verify.Build {
	var all []verify.Build
	for seed := range uint64(40) {
		other := e.Draw(rand.New(rand.NewPCG(seed, 77)))
		same := other.Params != c.Params && slices.EqualFunc(other.Inputs, c.Inputs, func(a, b opset.Input) bool {
			return slices.Equal(a.Shape, b.Shape) && a.Of == b.Of
		})
		if same && len(all) < 3 {
			all = append(all, other.Build)
		}
	}
	return all
}

// graphOf is a graph that is made once and run often.
type graphOf struct {
	sync.Mutex
	machine *vm.Machine
	leaves  []*G.Node // the operands and dy
	y       *G.Node
	grads   G.Nodes // nil for operands without derivative
}

// floating reports whether operand i has a derivative.
func (s *subject) floating(i int) bool { return s.inputs == nil || s.inputs[i].Type.Type == nil }

// newGraph is the graph of a build of the subject's operands.
func newGraph(s *subject, build verify.Build) (*graphOf, error) {
	o, g := &graphOf{grads: make(G.Nodes, len(s.shapes))}, G.NewGraph()
	leaf := func(name string, of tensor.Dtype, shape []int) *G.Node {
		n := values.Leaf(g, name, of, shape)
		o.leaves = append(o.leaves, n)
		return n
	}
	var floats []*G.Node
	for i, shape := range s.shapes {
		if s.floating(i) {
			floats = append(floats, leaf(fmt.Sprint("operand ", i), tensor.Float64, shape))
		} else {
			leaf(fmt.Sprint("operand ", i), s.inputs[i].Type, shape)
		}
	}
	var err error
	if o.y, err = build(slices.Clone(o.leaves)); err != nil {
		return nil, err
	}
	grads, err := ops.Grad(o.y, leaf("dy", tensor.Float64, o.y.Shape()), floats...)
	if err != nil {
		return nil, err
	}
	o.machine, err = vm.New(g, append([]*G.Node{o.y}, grads...)...)
	for i := range o.grads {
		if s.floating(i) {
			o.grads[i], grads = grads[0], grads[1:]
		}
	}
	return o, err
}

// run computes y and the gradients. Without dy it is zeros.
func (o *graphOf) run(in [][]float64, dy []float64) (y []float64, grads [][]float64, err error) {
	o.Lock()
	defer o.Unlock()
	if dy == nil {
		dy = make([]float64, o.y.Shape().TotalSize())
	}
	for i, n := range o.leaves {
		v := dy
		if i < len(in) {
			v = in[i]
		}
		if err := G.Let(n, values.Of(n.Dtype(), n.Shape(), v)); err != nil {
			return nil, nil, err
		}
	}
	if err := o.machine.RunAll(); err != nil {
		return nil, nil, err
	}
	o.machine.Reset()
	if y, err = values.Floats(o.y.Value()); err != nil {
		return nil, nil, err
	}
	for i, n := range o.grads {
		d := make([]float64, len(in[i]))
		if n != nil {
			if d, err = values.Floats(n.Value()); err != nil {
				return nil, nil, err
			}
		}
		grads = append(grads, d)
	}
	return y, grads, nil
}
