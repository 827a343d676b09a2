// Package vm runs a fixed graph again and again without leaving anything of a tensor's size to the
// garbage collector.
//
// Gorgonia's machines allocate every intermediate anew at every run, and keep all of them until the
// next. A Machine plans once: it takes the nodes that the wanted outputs need and no others, in an
// order in which values die early, works out how long each intermediate lives, and gives those that
// never live at the same time the same memory. Ops that can write into memory they are handed (as
// those of package ops) do so; the others run as they do under Gorgonia's machines.
//
// A Machine is a gorgonia.VM. It differs from Gorgonia's in what it promises:
//   - RunAll always runs; Reset does nothing and need not be called.
//   - Only outputs get values. They are valid until the next RunAll, which overwrites them in
//     place; copy what is to be kept.
//   - Nodes are told apart by identity, not by hash, and no value is overwritten while something
//     still needs it.
//   - An op that panics yields an error that names the node.
//
// A Machine may be used by one goroutine at a time; machines of different graphs may run at once.
package vm

import (
	"runtime/debug"

	"github.com/pkg/errors"
	G "gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/convgrad/convgrad/internal/kernel"
)

// preallocated is implemented by ops that can compute into memory they are handed, as all of
// package ops. UsePreallocDo must overwrite all of its first argument, a row-major dense tensor of
// the node's shape with arbitrary contents, and return it.
type preallocated interface {
	G.Op
	G.UsePreallocDoer
	Preallocated()
}

// paired is implemented by an op that can be computed in one pass with another, mostly a consumer,
// while both results are kept. FuseWith returns nil if the pair has no common pass; otherwise a
// function that computes both into dst, of this op, and consumerDst, from this op's inputs followed
// by those that the consumer alone has. Operand k of the consumer is input at[k], or this op's
// result where at[k] is −1.
type paired interface {
	preallocated
	FuseWith(consumer G.Op, at []int) func(dst, consumerDst G.Value, inputs []G.Value) error
}

// fused is implemented by an op that an op which follows it can be computed with in one pass, so
// that its own result is not needed. FuseNext returns the op of both; its operands are this op's,
// followed by next's others. at is the operand of next that is this op's result.
type fused interface {
	preallocated
	FuseNext(next G.Op, at int) (G.Op, bool)
}

// viewer is implemented by an op whose result may be its operand's elements in their order, under
// another shape. View says whether it is.
type viewer interface {
	preallocated
	View() bool
}

// arranged is implemented by an op that can read and write images with their channels last.
// ChannelsLast returns the op that reads the operands so where in is set, and writes its result so
// where out is; false if there is none, or it would be slower.
type arranged interface {
	preallocated
	ChannelsLast(of tensor.Dtype, in []bool, out bool) (G.Op, bool)
}

// inPlace is implemented by an op whose result may be written over one of its operands. InPlace
// returns that operand's index, or a negative number if there is none.
type inPlace interface {
	preallocated
	InPlace() int
}

// A Machine runs the part of a graph that its outputs need.
type Machine struct {
	graph   *G.ExprGraph
	outputs []*G.Node
	wanted  int // how many of the outputs were asked for; the others are gradients of params
	steps   []step
	inputs  []*G.Node // leaves without a fixed value, checked at every run
	params  []param
	peak    int
	total   int
	closed  bool
}

var _ G.VM = (*Machine)(nil)

// A step computes one node.
type step struct {
	node  *G.Node
	op    G.Op
	args  []source
	slot  *slot // memory of the result, nil where the op brings its own
	value G.Value
	// a sum of two tensors of one shape, which Gorgonia's Grad makes for each further consumer
	add bool
	// computes this step and the one at partner
	fused   func(dst, consumerDst G.Value, inputs []G.Value) error
	with    int
	skip    bool // computed by an earlier step, first
	first   int  // the step that writes the value
	output  bool
	view    bool    // the operand's memory under another shape
	operand *G.Node // of a view
	origin  int     // the step whose memory the result is: its own but for a view; −1 for a leaf's
	in      []G.Value
	drop    []int // steps whose values are needed no more, for those that own their memory
}

// A source is where an argument comes from: an earlier step, or a leaf.
type source struct {
	step int // −1 for a leaf
	leaf *G.Node
}

// A param gets its gradient bound as a dual value after each run.
type param struct {
	node  *G.Node
	deriv int
	copy  *tensor.Dense // where the derivative's own memory is not the parameter's alone
}

// New plans a machine that computes the outputs, nodes of g. Without outputs it computes the roots
// of g.
//
// It returns an error if an output is nil or of another graph.
func New(g *G.ExprGraph, outputs ...*G.Node) (*Machine, error) {
	if g == nil {
		return nil, errors.New("vm: New: the graph is nil")
	}
	if len(outputs) == 0 {
		outputs = g.Roots()
	}
	for i, n := range outputs {
		if n == nil {
			return nil, errors.Errorf("vm: New: output %d is nil", i)
		}
		if n.Graph() != g {
			return nil, errors.Errorf("vm: New: output %d, %v, is of another graph", i, n)
		}
		if isStatement(n) {
			return nil, errors.Errorf("vm: New: output %d, %v, is a statement, as gorgonia.Read makes: want the node whose value is wanted, which has it after RunAll", i, n)
		}
	}
	m := &Machine{graph: g, outputs: append([]*G.Node(nil), outputs...), wanted: len(outputs)}
	if err := m.plan(g); err != nil {
		return nil, err
	}
	return m, nil
}

// BindDualValues makes the gradients of params, as worked out by gorgonia.Grad, outputs too, and
// binds each to its parameter after every run, so that gorgonia.NodesToValueGrads and a Solver see
// them. Unlike Gorgonia's option of that name, the gradients are those of the last run, not a sum
// over runs, and no two parameters share one tensor. The parameters of a second call replace those
// of the first.
//
// It returns an error, and changes nothing, if a parameter has no gradient.
func (m *Machine) BindDualValues(params ...*G.Node) error {
	if m == nil || m.graph == nil {
		return errors.New("vm: BindDualValues: the machine is nil or empty, want one of New")
	}
	if m.closed {
		return errors.New("vm: BindDualValues: the machine is closed")
	}
	outputs := m.outputs[:m.wanted:m.wanted]
	for i, p := range params {
		if p == nil {
			return errors.Errorf("vm: BindDualValues: parameter %d is nil", i)
		}
		if p.Graph() != m.graph {
			return errors.Errorf("vm: BindDualValues: parameter %q is of another graph", p.Name())
		}
		if p.Deriv() == nil {
			return errors.Errorf("vm: BindDualValues: parameter %q has no gradient: want gorgonia.Grad called with it before", p.Name())
		}
		outputs = append(outputs, p.Deriv())
	}
	next := &Machine{graph: m.graph, outputs: outputs, wanted: m.wanted}
	if err := next.plan(m.graph); err != nil {
		return err
	}
	*m = *next
	at := make(map[*G.Node]int, len(m.steps))
	for i, s := range m.steps {
		at[s.node] = i
	}
	taken := map[*G.Node]bool{}
	m.params = m.params[:0]
	for _, p := range params {
		d := p.Deriv()
		i, computed := at[d]
		q := param{node: p, deriv: i}
		if !computed {
			q.deriv = -1
		}
		if !computed || taken[d] {
			q.copy = tensor.New(tensor.WithShape(p.Shape()...), tensor.Of(p.Dtype()))
		}
		taken[d] = true
		m.params = append(m.params, q)
	}
	return nil
}

// PeakBytes is the memory that the machine holds for intermediates and outputs. It does not grow
// while the machine runs.
func (m *Machine) PeakBytes() int {
	if m == nil {
		return 0
	}
	return m.peak
}

// UnsharedBytes is what the same intermediates and outputs would take if each had memory of its
// own.
func (m *Machine) UnsharedBytes() int {
	if m == nil {
		return 0
	}
	return m.total
}

// Steps is the number of nodes that a run computes.
func (m *Machine) Steps() int {
	if m == nil {
		return 0
	}
	return len(m.steps)
}

// Reset does nothing: a Machine starts each run afresh. It is there for gorgonia.VM.
func (m *Machine) Reset() {}

// Close gives the machine's memory up. Values of outputs obtained before stay as they are.
func (m *Machine) Close() error {
	if m == nil {
		return nil
	}
	m.steps, m.params, m.closed = nil, nil, true
	return nil
}

// RunAll computes the outputs from the values that the leaves have now.
//
// It returns an error that names the node if a leaf has no value or an op fails or panics; outputs
// then hold no meaningful values.
func (m *Machine) RunAll() error {
	if m == nil || m.graph == nil {
		return errors.New("vm: RunAll: the machine is nil or empty, want one of New")
	}
	if m.closed {
		return errors.New("vm: RunAll: the machine is closed")
	}
	for _, n := range m.inputs {
		if n.Value() == nil {
			return errors.Errorf("vm: RunAll: the input %q has no value: bind one with gorgonia.Let", n.Name())
		}
	}
	for i := range m.steps {
		if err := m.run(i); err != nil {
			return err
		}
	}
	return m.publish()
}

// run computes step i.
func (m *Machine) run(i int) (err error) {
	s := &m.steps[i]
	defer func() {
		if r := recover(); r != nil {
			err = errors.Errorf("vm: RunAll: node %v: the op %v panicked: %v\n%s", s.node.ID(), s.op, r, debug.Stack())
		}
	}()
	if s.skip {
		return nil
	}
	for j, a := range s.args {
		if a.step < 0 {
			s.in[j] = a.leaf.Value()
		} else {
			s.in[j] = m.steps[a.step].value
		}
	}
	switch {
	case s.fused != nil:
		c := &m.steps[s.with]
		s.value, c.value = s.slot.tensor(s.node), c.slot.tensor(c.node)
		err = s.fused(s.value, c.value, s.in)
	case s.view:
		s.value, err = s.look()
	case s.add && sum(s):
	case s.slot != nil && !s.add:
		s.value, err = s.op.(preallocated).UsePreallocDo(s.slot.tensor(s.node), s.in...)
	default:
		s.value, err = s.op.Do(s.in...)
	}
	if err != nil {
		return errors.Wrapf(err, "vm: RunAll: node %v, %v", s.node.ID(), s.op)
	}
	if s.value == nil {
		return errors.Errorf("vm: RunAll: node %v: the op %v returned no value", s.node.ID(), s.op)
	}
	clear(s.in) // leaves are not kept alive from run to run
	for _, d := range s.drop {
		m.steps[d].value = nil
	}
	return nil
}

// look is the value of a view: the operand's memory under the node's shape, or a copy where the
// operand is not a plain tensor.
func (s *step) look() (G.Value, error) {
	if s.slot != nil {
		return s.slot.tensor(s.node), nil
	}
	x, of := s.in[0], s.operand
	d, ok := x.(*tensor.Dense)
	if !ok || d.RequiresIterator() || d.DataOrder().IsColMajor() || d.Dtype() != of.Dtype() ||
		!d.Shape().Eq(of.Shape()) || d.DataSize() != d.Shape().TotalSize() {
		return s.op.Do(x)
	}
	return tensor.New(tensor.WithShape(s.node.Shape()...), tensor.WithBacking(d.Data())), nil
}

// sum computes a step that adds two tensors into its slot, and reports whether it could: Gorgonia's
// own op handles what is not plain.
func sum(s *step) bool {
	a, ok := s.in[0].(*tensor.Dense)
	b, ok2 := s.in[1].(*tensor.Dense)
	if !ok || !ok2 || a.RequiresIterator() || b.RequiresIterator() || a.DataOrder().IsColMajor() || b.DataOrder().IsColMajor() {
		return false
	}
	dst := s.slot.tensor(s.node)
	switch y := dst.Data().(type) {
	case []float32:
		return addTo(s, dst, y, a, b)
	case []float64:
		return addTo(s, dst, y, a, b)
	}
	return false
}

func addTo[T kernel.Float](s *step, dst *tensor.Dense, y []T, a, b *tensor.Dense) bool {
	av, ok := a.Data().([]T)
	bv, ok2 := b.Data().([]T)
	if !ok || !ok2 || len(av) != len(y) || len(bv) != len(y) {
		return false
	}
	if len(y) > 0 && &y[0] == &bv[0] {
		bv = av
	} else if len(y) > 0 && &y[0] != &av[0] {
		copy(y, av)
	}
	kernel.Add(y, bv)
	s.value = dst
	return true
}

// publish binds the outputs' values to their nodes and the gradients to their parameters.
func (m *Machine) publish() (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = errors.Errorf("vm: RunAll: binding the results: %v", r)
		}
	}()
	for i := range m.steps {
		s := &m.steps[i]
		if s.output && s.node.Value() != s.value {
			G.WithValue(s.value)(s.node)
		}
	}
	for _, p := range m.params {
		var d G.Value
		if p.deriv >= 0 {
			d = m.steps[p.deriv].value
		} else {
			d = p.node.Deriv().Value()
		}
		if p.copy != nil {
			if _, err := G.Copy(p.copy, d); err != nil {
				return errors.Wrapf(err, "vm: RunAll: the gradient of %q", p.node.Name())
			}
			d = p.copy
		}
		if have, err := p.node.Grad(); err != nil || have != d {
			G.WithGrad(d)(p.node)
		}
	}
	return nil
}
