package suite

import (
	"fmt"
	"math/rand/v2"
	"slices"

	"github.com/pkg/errors"
	G "gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/convgrad/convgrad/internal/opset"
	"github.com/convgrad/convgrad/verify"
	"github.com/convgrad/convgrad/verify/internal/graphs"
)

// A mistake is a change of one pass of an op: of what it is given, of what computes it, or of what
// it gives. The ground that it is planted in is the op's own graph.
type mistake struct {
	name      string
	y         bool                 // it is in the forward pass, and else in the gradients
	operands  func(in [][]float64) // changes the operands that the pass is given
	cotangent func(dy []float64)   // changes dy
	build     verify.Build         // the pass is that of another graph
	edit      func(o *outcome)     // changes y, or the gradients

	overwrites bool // the gradient is stored where it should be added
	dirty      bool // the kernel adds to what its destination holds

	graph *graphOf // of build
}

// An outcome is what a pass was given and what it gives. Passes share no memory.
type outcome struct {
	in    [][]float64
	y, dy []float64
	grads [][]float64
}

// pass is the forward pass of an op, or with dy the backward pass, with the mistake if it is in
// that one. Where it cannot be computed there are no numbers: the planted op then fails, which the
// checker reports.
func (s *subject) pass(m mistake, in [][]float64, dy []float64) outcome {
	g, o := s.graph, outcome{in: in, dy: dy}
	if m.y != (dy == nil) {
		m = mistake{}
	}
	if m.graph != nil {
		g = m.graph
	}
	if m.operands != nil {
		in = cloned(in)
		m.operands(in)
	}
	if m.cotangent != nil {
		dy = slices.Clone(dy)
		m.cotangent(dy)
	}
	var err error
	if o.y, o.grads, err = g.run(in, dy); err == nil && m.edit != nil {
		m.edit(&o)
	}
	return o
}

func cloned(in [][]float64) (all [][]float64) {
	for _, v := range in {
		all = append(all, slices.Clone(v))
	}
	return all
}

// plant is the subject with the mistake in place of its op: it goes through the same machines and
// the same oracles.
func (s *subject) plant(m mistake) *subject {
	o := graphs.Op{
		Name: "planted " + s.op, Shape: func([]tensor.Shape) (tensor.Shape, error) { return s.graph.y.Shape(), nil },
		MemoryY: true, Stores: m.overwrites,
		Y: func(c *graphs.Call) []float64 {
			y := s.pass(m, c.X, nil).y
			if m.dirty && c.Dst != nil {
				for i := range y {
					y[i] += c.Dst[i]
				}
			}
			return y
		},
		D: func(c *graphs.Call) [][]float64 { return s.pass(m, c.X, c.DY).grads },
	}
	bad := *s
	bad.planted = true
	bad.build, bad.outputs = func(in []*G.Node) (*G.Node, error) { return o.Apply(in...) }, nil
	if s.outputs != nil {
		bad.reference = s.alone
	}
	return &bad
}

// ground makes the graph of a subject, and its mistakes. It is apart from the drawing, since most
// subjects have no mistakes planted in them.
func (s *subject) ground() (err error) {
	if s.graph, err = newGraph(s, s.build); err != nil {
		return errors.Wrapf(err, "suite: %s: %s", s.op, s.params)
	}
	for _, m := range slices.Concat(s.special, s.general(), s.ofOperands()) {
		if m.build != nil { // it may not be possible on these shapes
			if m.graph, err = newGraph(s, m.build); err != nil || !m.graph.y.Shape().Eq(s.graph.y.Shape()) {
				continue
			}
		}
		s.mistakes = append(s.mistakes, m)
	}
	return nil
}

// general are the mistakes that any op can have, in its rule and in its kernel.
func (s *subject) general() []mistake {
	var all []mistake
	rule := func(name string, change func(dx []float64, shape []int) []float64) {
		all = append(all, mistake{name: "gradients: " + name, edit: func(o *outcome) {
			for i := range o.grads {
				o.grads[i] = change(o.grads[i], s.shapes[i])
			}
		}})
	}
	element := func(name string, change func(v float64) float64) {
		rule(name, func(dx []float64, _ []int) []float64 {
			for i := range dx {
				dx[i] = change(dx[i])
			}
			return dx
		})
	}
	kernel := func(name string, change func(y []float64)) {
		all = append(all, mistake{name: "kernel: " + name, y: true, edit: func(o *outcome) { change(o.y) }})
	}
	element("the factor ½", func(v float64) float64 { return v / 2 })
	element("the sign", func(v float64) float64 { return -v })
	element("a constant added", func(v float64) float64 { return v + 1./1024 })
	rule("turned by 180°", func(dx []float64, _ []int) []float64 { slices.Reverse(dx); return dx })
	rule("shifted by one element", func(dx []float64, _ []int) []float64 { return append(dx[1:], dx[0]) })
	rule("transposed", func(dx []float64, shape []int) []float64 {
		if len(shape) == 0 {
			return dx
		}
		cols := shape[len(shape)-1]
		rows := shape[max(len(shape)-2, 0)]
		t := slices.Clone(dx)
		for at := 0; at+rows*cols <= len(dx); at += rows * cols {
			copy(t[at:], turned(dx[at:at+rows*cols], rows, cols))
		}
		return t
	})
	rule("the last element forgotten", func(dx []float64, _ []int) []float64 { dx[len(dx)-1] = 0; return dx })
	rule("one element doubled", func(dx []float64, _ []int) []float64 { dx[len(dx)/2] *= 2; return dx })
	kernel("the last element not written", func(y []float64) { y[len(y)-1] = 0 })
	kernel("one element off by 2⁻¹⁵ of itself", func(y []float64) { y[len(y)/2] *= 1 + 0x1p-15 })
	kernel("neighbours swapped", func(y []float64) { y[0], y[min(1, len(y)-1)] = y[min(1, len(y)-1)], y[0] })
	if s.graph.y.Shape().Dims() > 0 { // there is memory at hand for it
		all = append(all, mistake{name: "kernel: adds to a destination that is dirty", dirty: true})
	}
	return append(all,
		mistake{name: "gradients: dy taken as ones", cotangent: func(dy []float64) { fill(dy, 1) }},
		mistake{name: "gradients: dy reversed", cotangent: func(dy []float64) { slices.Reverse(dy) }},
		mistake{name: "gradients: half of dy does not count", cotangent: func(dy []float64) { clear(dy[len(dy)/2:]) }},
		mistake{name: "gradients: overwritten, not accumulated", overwrites: true})
}

func fill(v []float64, with float64) {
	for i := range v {
		v[i] = with
	}
}

// turned is the transpose of a matrix.
func turned(v []float64, rows, cols int) []float64 {
	t := make([]float64, len(v))
	for k := range v {
		t[k%cols*rows+k/cols] = v[k]
	}
	return t
}

// ofOperands are mistakes in single operands, and the passes of calls with other parameters.
func (s *subject) ofOperands() (all []mistake) {
	for i := range s.shapes {
		if !s.floating(i) {
			continue
		}
		name := s.name(i)
		all = append(all, scaled("d"+name+": forgotten", i, 0),
			mistake{name: "gradients: " + name + " taken as ½", operands: func(in [][]float64) { fill(in[i], 0.5) }},
			mistake{name: "gradients: the neighbour's " + name, operands: func(in [][]float64) { in[i] = append(in[i][1:], in[i][0]) }})
		for j := range i {
			if s.floating(j) && slices.Equal(s.shapes[i], s.shapes[j]) {
				all = append(all, mistake{name: fmt.Sprintf("d%s and d%s swapped", s.name(j), name), edit: func(o *outcome) {
					o.grads[i], o.grads[j] = o.grads[j], o.grads[i]
				}})
			}
		}
	}
	if s.others != nil {
		for _, build := range s.others() {
			all = append(all, mistake{name: "gradients: of other parameters", build: build},
				mistake{name: "y: of other parameters", build: build, y: true})
		}
	}
	return all
}

// drawn is numbers for the operands, and a cotangent.
func (s *subject) drawn(r *rand.Rand) (in [][]float64, dy []float64) {
	for i, shape := range s.shapes {
		draw := away
		switch {
		case s.inputs != nil:
			draw = s.inputs[i].Draw
		case s.distinct:
			draw = opset.Distinct("").Draw
		}
		v := make([]float64, tensor.Shape(shape).TotalSize())
		draw(r, v)
		in = append(in, v)
	}
	dy = make([]float64, s.graph.y.Shape().TotalSize())
	for i := range dy {
		dy[i] = r.NormFloat64()
	}
	return in, dy
}

// effect is what a planted rule computes, in one list: y, the gradients, and whether it accumulates
// and clears.
func (s *subject) effect(m mistake, in [][]float64, dy []float64) []float64 {
	all := append([]float64{truth(m.overwrites), truth(m.dirty)}, s.pass(m, in, nil).y...)
	return append(all, slices.Concat(s.pass(m, in, dy).grads...)...)
}

func truth(yes bool) float64 {
	if yes {
		return 1
	}
	return 0
}

func alike(a, b []float64) bool {
	return slices.EqualFunc(a, b, func(x, y float64) bool {
		d := x - y
		return !(max(d, -d) > 1e-9*max(x, -x))
	})
}

// shown are the mistakes of an op that are mistakes: each changes the numbers of some case, and of
// each two some case tells one from the other. A sum, say, has no neighbours to swap. They are the
// cases, by number, in which each was first seen.
func (f family) shown(seed uint64) (names []string, first map[string]uint64, err error) {
	const cases = 40
	first = map[string]uint64{}
	apart := map[[2]string]bool{}
	for n := range uint64(cases) {
		r := rand.New(rand.NewPCG(seed, 1000+n))
		s := f.subject(r)
		if err := s.ground(); err != nil {
			return nil, nil, err
		}
		in, dy := s.drawn(r)
		right := s.effect(mistake{}, in, dy)
		effects := map[string][]float64{}
		for _, m := range s.mistakes {
			e := s.effect(m, in, dy)
			if effects[m.name] != nil || alike(right, e) {
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
	var all []string
	for _, name := range names {
		if !slices.ContainsFunc(all, func(other string) bool { return !apart[[2]string{other, name}] }) {
			all = append(all, name)
		}
	}
	return all, first, nil
}

// A Kill is a mistake and how it was found out.
type Kill struct {
	Op      string `json:"op"`
	Mistake string `json:"mistake"`
	Caught  bool   `json:"caught"`
	// Registered: the op has no reference and no mistakes of its own here.
	Registered bool `json:"registered,omitempty"`
	// all that caught it in the first case in which any did
	Oracles []string `json:"oracles,omitempty"`
	Cases   int      `json:"cases"` // cases until it was caught
	Says    string   `json:"says,omitempty"`
}

// kill plants a mistake in cases in which it changes something, from one on, until it is caught.
func (f family) kill(name string, from, seed uint64) (Kill, error) {
	const most = 60
	k := Kill{Op: f.op, Mistake: name, Registered: f.registered}
	for n := from; !k.Caught && k.Cases < most && n < from+4*most; n++ {
		r := rand.New(rand.NewPCG(seed, 1000+n))
		s := f.subject(r)
		if err := s.ground(); err != nil {
			return k, err
		}
		in, dy := s.drawn(r)
		i := slices.IndexFunc(s.mistakes, func(m mistake) bool {
			return m.name == name && !alike(s.effect(mistake{}, in, dy), s.effect(m, in, dy))
		})
		if i < 0 {
			continue
		}
		k.Cases++
		rows, bad := s.plant(s.mistakes[i]).judged(seed+n, n%2 == 1)
		if bad == nil {
			continue
		}
		k.Caught, k.Says = true, bad.Error()
		for _, row := range rows {
			if row.Verdict == verify.Fails && !slices.Contains(k.Oracles, string(row.Oracle)) {
				k.Oracles = append(k.Oracles, string(row.Oracle))
			}
		}
	}
	return k, nil
}

// SelfTest plants every mistake of every op whose name contains only, and reports which oracle of
// the checker caught it. It also puts each op's graph without a mistake before the checker and
// returns an error if one is blamed, or if no op has such a name. Ops that are registered count
// only if they are asked for.
func SelfTest(seed uint64, only string, registered bool) ([]Kill, error) {
	chosen, err := chosen(only)
	if err != nil {
		return nil, err
	}
	var all []Kill
	for _, f := range chosen {
		if f.registered && !registered {
			continue
		}
		for n := range uint64(3) {
			s := f.subject(rand.New(rand.NewPCG(seed, n)))
			if err := s.ground(); err != nil {
				return nil, err
			}
			if _, bad := s.plant(mistake{}).judged(seed+n, n%2 == 0); bad != nil {
				return nil, errors.Errorf("suite: %s without a mistake is blamed: %s: %v", f.op, s.params, bad)
			}
		}
		names, first, err := f.shown(seed)
		if err != nil {
			return nil, err
		}
		for _, name := range names {
			k, err := f.kill(name, first[name], seed)
			if err != nil {
				return nil, err
			}
			all = append(all, k)
		}
	}
	return all, nil
}
