package suite

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"

	"github.com/pkg/errors"
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
		same := other.Params != c.Params && len(other.Inputs) == len(c.Inputs)
		for i := range other.Inputs {
			same = same && slices.Equal(other.Inputs[i].Shape, c.Inputs[i].Shape) && other.Inputs[i].Of == c.Inputs[i].Of
		}
		if same {
			if all = append(all, other.Build); len(all) == 3 {
				break
			}
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
	o, g := &graphOf{}, G.NewGraph()
	leaf := func(name string, of tensor.Dtype, shape []int) *G.Node {
		if len(shape) == 0 {
			return G.NewScalar(g, of, G.WithName(name))
		}
		return G.NewTensor(g, of, len(shape), G.WithShape(shape...), G.WithName(name))
	}
	var floats []*G.Node
	for i, shape := range s.shapes {
		of := tensor.Float64
		if !s.floating(i) {
			of = s.inputs[i].Type
		}
		n := leaf(fmt.Sprint("operand ", i), of, shape)
		o.leaves = append(o.leaves, n)
		if s.floating(i) {
			floats = append(floats, n)
		}
	}
	var err error
	if o.y, err = build(slices.Clone(o.leaves)); err != nil {
		return nil, err
	}
	dy := leaf("dy", tensor.Float64, o.y.Shape())
	o.leaves = append(o.leaves, dy)
	grads, err := ops.Grad(o.y, dy, floats...)
	if err != nil {
		return nil, err
	}
	outputs := []*G.Node{o.y}
	for i := range s.shapes {
		if !s.floating(i) {
			o.grads = append(o.grads, nil)
			continue
		}
		o.grads = append(o.grads, grads[0])
		outputs, grads = append(outputs, grads[0]), grads[1:]
	}
	o.machine, err = vm.New(g, outputs...)
	return o, err
}

// run computes y and the gradients. Without dy it is zeros.
func (o *graphOf) run(s *subject, in [][]float64, dy []float64) (y []float64, grads [][]float64, err error) {
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
		if n == nil {
			grads = append(grads, make([]float64, len(in[i])))
			continue
		}
		d, err := values.Floats(n.Value())
		if err != nil {
			return nil, nil, err
		}
		grads = append(grads, d)
	}
	return y, grads, nil
}

// ground gives a registered subject its rule. It is apart from the drawing, since most subjects
// have no mistakes planted in them.
func (s *subject) ground() error {
	if s.rule.forward != nil {
		return nil
	}
	right, err := newGraph(s, s.build)
	if err != nil {
		return errors.Wrapf(err, "suite: %s: %s", s.op, s.params)
	}
	s.y, s.rule = right.y.Shape(), s.graphRule(right)
	return nil
}

// forward and backward are the graph's passes. Where it cannot be computed there are no numbers:
// the planted op then fails, which the checker reports.
func (o *graphOf) forward(s *subject) forward {
	return func(in [][]float64) []float64 {
		y, _, _ := o.run(s, in, nil)
		return y
	}
}

func (o *graphOf) backward(s *subject) backward {
	return func(in [][]float64, _, dy []float64) [][]float64 {
		_, grads, _ := o.run(s, in, dy)
		return grads
	}
}

// graphRule is a registered op as ground for mistakes: it computes the op's own graph, and Grad of
// it, in float64. Mistakes are changes of its numbers, of its operands, or of its parameters.
func (s *subject) graphRule(right *graphOf) rule {
	r := rule{right.forward(s), right.backward(s), nil}
	edit := func(name string, change func(grads [][]float64)) {
		r.mistakes = append(r.mistakes, mistake{name: name, backward: edited(r.backward, change)})
	}
	changed := func(name string, change func(in [][]float64)) {
		r.mistakes = append(r.mistakes, mistake{name: name, backward: func(in [][]float64, y, dy []float64) [][]float64 {
			wrong := make([][]float64, len(in))
			for i := range in {
				wrong[i] = slices.Clone(in[i])
			}
			change(wrong)
			return r.backward(wrong, y, dy)
		}})
	}
	for i, input := range s.inputs {
		if !s.floating(i) {
			continue
		}
		edit("d"+input.Name+": forgotten", func(grads [][]float64) { clear(grads[i]) })
		changed("gradients: "+input.Name+" taken as ½", func(in [][]float64) {
			for k := range in[i] {
				in[i][k] = 0.5
			}
		})
		changed("gradients: the neighbour's "+input.Name, func(in [][]float64) {
			if n := len(in[i]); n > 1 {
				in[i] = append(in[i][1:], in[i][0])
			}
		})
		for j := range i {
			if s.floating(j) && slices.Equal(s.shapes[i], s.shapes[j]) {
				edit(fmt.Sprintf("d%s and d%s swapped", s.inputs[j].Name, input.Name), func(grads [][]float64) {
					grads[i], grads[j] = grads[j], grads[i]
				})
			}
		}
	}
	r.mistakes = append(r.mistakes, mistake{name: "gradients: half of dy does not count", backward: func(in [][]float64, y, dy []float64) [][]float64 {
		dy = slices.Clone(dy)
		clear(dy[len(dy)/2:])
		return r.backward(in, y, dy)
	}})
	for _, build := range s.others() { // of another call, in one of the passes
		if other, err := newGraph(s, build); err == nil && slices.Equal(other.y.Shape(), right.y.Shape()) {
			r.mistakes = append(r.mistakes,
				mistake{name: "gradients: of other parameters", backward: other.backward(s)},
				mistake{name: "y: of other parameters", forward: other.forward(s)})
			break
		}
	}
	return r
}

// drawn is numbers for the operands of a registered subject, and a cotangent.
func (s *subject) drawn(r *rand.Rand) (in [][]float64, dy []float64) {
	for _, input := range s.inputs {
		v := make([]float64, tensor.Shape(input.Shape).TotalSize())
		input.Draw(r, v)
		in = append(in, v)
	}
	dy = make([]float64, tensor.Shape(s.y).TotalSize())
	for i := range dy {
		dy[i] = r.NormFloat64()
	}
	return in, dy
}

// effect is what a planted rule computes, in one list: y, the gradients, and whether it accumulates
// and clears.
func (s *subject) effect(m mistake, in [][]float64, dy []float64) []float64 {
	p := s.complete(m)
	clone := func() (x [][]float64) {
		for _, v := range in {
			x = append(x, slices.Clone(v))
		}
		return x
	}
	all := append([]float64{step(m.overwrites), step(m.dirty)}, p.forward(clone())...)
	for _, dx := range p.backward(clone(), s.rule.forward(clone()), dy) {
		all = append(all, dx...)
	}
	return all
}

func alike(a, b []float64) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if d := a[i] - b[i]; d > 1e-9*max(a[i], -a[i]) || -d > 1e-9*max(a[i], -a[i]) {
			return false
		}
	}
	return true
}

// A registeredMistake is one that some case of the op shows, by its name.
type registeredMistake struct {
	name string
	seed uint64 // of a case in which it changes something
}

// shown are the mistakes of a registered op that are mistakes: each changes the numbers of some
// case, and of each two some case tells one from the other. A sum, say, has no neighbours to swap.
func (f family) shown(seed uint64) ([]registeredMistake, error) {
	const cases = 12
	var names []string
	first := map[string]uint64{}
	apart := map[[2]string]bool{}
	for n := range uint64(cases) {
		r := rand.New(rand.NewPCG(seed, 1000+n))
		s := f.subject(r)
		if err := s.ground(); err != nil {
			return nil, err
		}
		in, dy := s.drawn(r)
		right := s.effect(mistake{}, in, dy)
		effects := map[string][]float64{}
		for _, m := range s.allMistakes() {
			e := s.effect(m, in, dy)
			if alike(right, e) {
				continue
			}
			if _, ok := first[m.name]; !ok {
				first[m.name] = n
				names = append(names, m.name)
			}
			effects[m.name] = e
		}
		for a, e := range effects {
			for _, b := range names {
				if other, ok := effects[b]; !ok || !alike(e, other) {
					apart[[2]string{a, b}], apart[[2]string{b, a}] = true, true
				}
			}
		}
	}
	var all []registeredMistake
	for _, name := range names {
		double := slices.ContainsFunc(all, func(m registeredMistake) bool { return !apart[[2]string{m.name, name}] })
		if !double {
			all = append(all, registeredMistake{name, first[name]})
		}
	}
	return all, nil
}

// killRegistered plants a mistake in cases of a registered op in which it changes something.
func killRegistered(f family, m registeredMistake, seed uint64) (Kill, error) {
	const most = 60
	k := Kill{Op: f.op, Mistake: m.name, Registered: true}
	for n := m.seed; k.Cases < most && n < 4*most; n++ {
		r := rand.New(rand.NewPCG(seed, 1000+n))
		s := f.subject(r)
		if err := s.ground(); err != nil {
			return k, err
		}
		all := s.allMistakes()
		i := slices.IndexFunc(all, func(x mistake) bool { return x.name == m.name })
		if i < 0 {
			continue
		}
		in, dy := s.drawn(r)
		if alike(s.effect(mistake{}, in, dy), s.effect(all[i], in, dy)) {
			continue
		}
		k.Cases++
		if k.judge(s.plant(all[i]), seed+n, n%2 == 1) {
			break
		}
	}
	return k, nil
}

// selfTestRegistered is SelfTest of an op that is registered.
func selfTestRegistered(f family, seed uint64) ([]Kill, error) {
	for n := range uint64(3) {
		s := f.subject(rand.New(rand.NewPCG(seed, n)))
		if err := s.ground(); err != nil {
			return nil, err
		}
		if _, bad := s.plant(mistake{}).judged(seed+n, n%2 == 0); bad != nil {
			return nil, errors.Errorf("suite: %s without a mistake is blamed: %s: %v", f.op, s.params, bad)
		}
	}
	mistakes, err := f.shown(seed)
	if err != nil {
		return nil, err
	}
	var all []Kill
	for _, m := range mistakes {
		k, err := killRegistered(f, m, seed)
		if err != nil {
			return nil, err
		}
		all = append(all, k)
	}
	return all, nil
}
