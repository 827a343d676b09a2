package vm

import (
	"fmt"
	"slices"

	"github.com/pkg/errors"
	G "gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// A slot is memory for one node's value. Slots whose values never live at the same time lie over
// each other.
type slot struct {
	dtype       tensor.Dtype
	length      int
	first, last int // the steps that write it first and read it last
	offset      int
	output      bool
	over        *slot // the operand's slot that the value lies over where it is computed in place
	backing     any   // a slice of length elements
	header      *tensor.Dense
}

// root is the slot whose place this one takes: its own unless it is computed in place.
func (s *slot) root() *slot {
	for s.over != nil {
		s = s.over
	}
	return s
}

// tensor is the slot's memory as a dense tensor. The header is kept, except where somebody else may
// have given it back to the tensor package's pool, as ExprGraph.UnbindAll does with bound values.
func (s *slot) tensor(n *G.Node) *tensor.Dense {
	if s.header == nil || s.output && n.Value() != G.Value(s.header) {
		s.header = tensor.New(tensor.WithShape(n.Shape()...), tensor.WithBacking(s.backing))
	}
	return s.header
}

// plan works out which nodes are computed, in which order, and where their values lie.
func (m *Machine) plan(g *G.ExprGraph) (err error) {
	defer func() { // Gorgonia's nodes panic where a type or shape is not known
		if r := recover(); r != nil {
			err = errors.Errorf("vm: planning: %v", r)
		}
	}()
	order, err := schedule(g, m.outputs)
	if err != nil {
		return err
	}
	m.steps, m.inputs, m.params = make([]step, 0, len(order)), nil, nil
	at := make(map[*G.Node]int, len(order))
	for _, n := range order {
		op := n.Op()
		if op == nil {
			m.inputs = append(m.inputs, n)
			continue
		}
		if isConstant(op) {
			continue
		}
		// as Gorgonia's machines do; evaluation is the graph's own affair here
		if o, ok := op.(interface{ SetTraining(bool) error }); ok {
			if err := o.SetTraining(true); err != nil {
				return errors.Wrapf(err, "vm: New: node %v", n)
			}
		}
		s := step{node: n, op: op, first: len(m.steps)}
		for _, c := range children(g, n) {
			src := source{step: -1, leaf: c}
			if i, ok := at[c]; ok {
				src = source{step: i}
			}
			s.args = append(s.args, src)
		}
		s.in = make([]G.Value, len(s.args))
		s.add = isSum(s)
		at[n] = len(m.steps)
		m.steps = append(m.steps, s)
	}
	m.absorb()
	m.views()
	m.arrange()
	last := m.lifetimes()
	m.fuse(last)
	return m.place(last)
}

// schedule orders what the outputs need so that a node comes after its arguments and otherwise in
// the order of creation: Grad makes a layer's gradients together, so that what they read dies
// together.
func schedule(g *G.ExprGraph, outputs []*G.Node) ([]*G.Node, error) {
	born := make(map[*G.Node]int, len(g.AllNodes()))
	for i, n := range g.AllNodes() {
		born[n] = i
	}
	const (
		unseen = iota
		open
		done
	)
	state := map[*G.Node]int{}
	var order []*G.Node
	// A stack of our own: a graph may be deeper than is good for recursion.
	stack := append([]*G.Node(nil), outputs...)
	needed := map[*G.Node]bool{}
	for len(stack) > 0 {
		n := stack[len(stack)-1]
		stack = stack[:len(stack)-1]
		if needed[n] {
			continue
		}
		needed[n] = true
		stack = append(stack, children(g, n)...)
	}
	all := make([]*G.Node, 0, len(needed))
	for n := range needed {
		if _, ok := born[n]; !ok {
			return nil, errors.Errorf("vm: New: node %v is needed but no longer in the graph", n)
		}
		all = append(all, n)
	}
	slices.SortFunc(all, func(a, b *G.Node) int { return born[a] - born[b] })
	for _, root := range all { // already an order unless the graph was edited; then this repairs it
		stack = append(stack[:0], root)
		for len(stack) > 0 {
			n := stack[len(stack)-1]
			if state[n] == done {
				stack = stack[:len(stack)-1]
				continue
			}
			ready := true
			for _, c := range children(g, n) {
				switch state[c] {
				case unseen:
					stack = append(stack, c)
					ready = false
				case open:
					return nil, errors.Errorf("vm: New: node %v depends on itself", n)
				}
			}
			if ready {
				state[n] = done
				order = append(order, n)
				stack = stack[:len(stack)-1]
			}
		}
	}
	return order, nil
}

// children are the arguments of a node, in order.
func children(g *G.ExprGraph, n *G.Node) []*G.Node {
	it := g.From(n.ID())
	if it == nil {
		return nil
	}
	var c []*G.Node
	for it.Next() {
		if m, ok := it.Node().(*G.Node); ok {
			c = append(c, m)
		}
	}
	return c
}

// isConstant recognises Gorgonia's constants, whose value is bound when they are made. The types
// are not exported.
func isConstant(op G.Op) bool {
	switch fmt.Sprintf("%T", op) {
	case "gorgonia.constantScalar", "gorgonia.constantTensor":
		return true
	}
	return false
}

// isStatement recognises the nodes of gorgonia.Read and Let, which have no value. Their ops have no
// type.
func isStatement(n *G.Node) bool { return n.Op() != nil && !isConstant(n.Op()) && n.Op().Type() == nil }

// planned reports whether the machine owns the memory of the step's result.
func (s *step) planned() bool {
	_, ours := s.op.(preallocated)
	return (ours || s.add) && s.node.Dims() > 0 && plannable(s.node.Dtype())
}

// isSum recognises the addition of two float tensors of one shape. Gorgonia does not export its
// elementwise ops, so the op is known by what it prints.
func isSum(s step) bool {
	if len(s.args) != 2 || fmt.Sprint(s.op) != "+ false" || s.node.Dims() == 0 {
		return false
	}
	return s.node.Dtype() == tensor.Float32 || s.node.Dtype() == tensor.Float64
}

// views marks outputs, and the steps whose result is their operand under another shape: they need
// no memory and no time. An output shares memory neither with a leaf nor with another output, since
// whoever reads it may write it.
func (m *Machine) views() {
	for i := range m.steps {
		m.steps[i].output = slices.Contains(m.outputs, m.steps[i].node)
	}
	taken := make([]bool, len(m.steps)) // the step's memory is an output's
	for i := range m.steps {
		s := &m.steps[i]
		v, ok := s.op.(viewer)
		if s.origin = i; !ok || !v.View() || s.node.Dims() == 0 {
			continue
		}
		origin := -1
		if a := s.args[0].step; a >= 0 {
			origin = m.steps[a].origin
		}
		if s.output {
			if origin < 0 || !m.steps[origin].planned() || m.steps[origin].output || taken[origin] {
				continue
			}
			taken[origin] = true
		}
		s.view, s.origin, s.operand = true, origin, children(m.graph, s.node)[0]
	}
}

// lifetimes returns the last step that reads each step's memory; an output's is beyond the end. A
// view's operand lives as long as the view. So do the operands of an op of which nothing is known:
// it may return a view, as Gorgonia's Reshape does.
func (m *Machine) lifetimes() []int {
	last := make([]int, len(m.steps))
	// consumers come later, so last[i] is final when step i is reached
	for i := len(m.steps) - 1; i >= 0; i-- {
		s := &m.steps[i]
		if s.output {
			last[i] = len(m.steps)
		}
		last[i] = max(last[i], i)
		reads := i
		if s.view || !s.planned() && s.node.Dims() > 0 {
			reads = last[i]
		}
		for _, a := range s.args {
			if a.step >= 0 {
				last[a.step] = max(last[a.step], reads)
			}
		}
	}
	return last
}

// absorb replaces a step and its only consumer by one step where the ops have a common pass, so
// that the first result is never stored.
func (m *Machine) absorb() {
	readers := make([][]int, len(m.steps)) // a step that reads twice is there twice
	for i := range m.steps {
		for _, a := range m.steps[i].args {
			if a.step >= 0 {
				readers[a.step] = append(readers[a.step], i)
			}
		}
	}
	gone := make([]bool, len(m.steps))
	for i := range m.steps {
		s := &m.steps[i]
		f, ok := s.op.(fused)
		if !ok || len(readers[i]) != 1 || slices.Contains(m.outputs, s.node) {
			continue
		}
		c := &m.steps[readers[i][0]]
		at := slices.IndexFunc(c.args, func(a source) bool { return a.step == i })
		both, ok := f.FuseNext(c.op, at)
		if !ok {
			continue
		}
		args := slices.Clone(s.args)
		for j, a := range c.args {
			if j != at {
				args = append(args, a)
			}
		}
		for _, a := range s.args { // the consumer reads in the step's place
			if a.step >= 0 {
				k := slices.Index(readers[a.step], i)
				readers[a.step][k] = readers[i][0]
			}
		}
		c.op, c.args, c.in, gone[i] = both, args, make([]G.Value, len(args)), true
	}
	kept, to := m.steps[:0], make([]int, len(m.steps))
	for i, s := range m.steps {
		if gone[i] {
			continue
		}
		for j, a := range s.args {
			if a.step >= 0 {
				s.args[j].step = to[a.step]
			}
		}
		to[i], s.first = len(kept), len(kept)
		kept = append(kept, s)
	}
	m.steps = kept
}

// fuse lets a step compute a later one too, its consumer or one of the same operands, where the
// pair has a common kernel: both then live from the earlier of the two on.
func (m *Machine) fuse(last []int) {
	for i := range m.steps {
		s := &m.steps[i]
		f, ok := s.op.(paired)
		if !ok || s.skip || !s.planned() {
			continue
		}
		for j := i + 1; j < len(m.steps); j++ {
			c := &m.steps[j]
			if _, ours := c.op.(preallocated); !ours || !c.planned() || c.skip {
				continue
			}
			at, inputs := operandsAt(s, c, i)
			if at == nil {
				continue
			}
			if run := f.FuseWith(c.op, at); run != nil {
				s.fused, s.with, c.skip, c.first = run, j, true, i
				s.args, s.in = inputs, make([]G.Value, len(inputs))
				break
			}
		}
	}
}

// operandsAt says where the operands of c are found when step i, s, runs: −1 for its result, else
// an index into inputs, which are those of s followed by others of c. It returns nil if c needs
// what is computed after it.
func operandsAt(s, c *step, i int) (at []int, inputs []source) {
	inputs = slices.Clone(s.args)
	for _, a := range c.args {
		k := slices.Index(inputs, a)
		switch {
		case a.step == i:
			k = -1
		case a.step > i:
			return nil, nil
		case k < 0:
			k = len(inputs)
			inputs = append(inputs, a)
		}
		at = append(at, k)
	}
	return at, inputs
}

// place gives every value its memory: by falling size, each at the lowest offset where nothing lies
// that lives at the same time (the greedy-by-size plan of Pisarchyk and Lee, 2020).
func (m *Machine) place(last []int) error {
	byType := map[tensor.Dtype][]*slot{}
	for i := range m.steps {
		s := &m.steps[i]
		if !s.planned() || s.view && (s.origin < 0 || m.steps[s.origin].slot == nil) {
			if last[i] < len(m.steps) {
				m.steps[last[i]].drop = append(m.steps[last[i]].drop, i)
			}
			continue
		}
		s.slot = &slot{dtype: s.node.Dtype(), length: s.node.Shape().TotalSize(), first: s.first, last: last[i], output: s.output}
		if s.slot.over = m.inPlace(i, last); s.slot.over != nil {
			root := s.slot.root()
			root.last = max(root.last, last[i])
		}
		byType[s.slot.dtype] = append(byType[s.slot.dtype], s.slot)
	}
	m.peak, m.total = 0, 0
	for dtype, slots := range byType {
		slices.SortStableFunc(slots, func(a, b *slot) int { return b.length - a.length })
		size := 0
		for i, s := range slots {
			m.total += s.length * int(dtype.Size())
			if s.over != nil {
				continue
			}
			s.offset = lowest(s, slots[:i])
			size = max(size, s.offset+s.length)
		}
		m.peak += size * int(dtype.Size())
		if err := back(dtype, size, slots); err != nil {
			return err
		}
	}
	return nil
}

// inPlace returns the slot of an operand of step i over which the result may be written: one of its
// length, read by nothing after the step. It returns nil if there is none or the op cannot. A view
// has the slot of what it is a view of.
func (m *Machine) inPlace(i int, last []int) *slot {
	s := &m.steps[i]
	if s.view {
		return m.steps[s.origin].slot
	}
	if s.first != i || s.fused != nil {
		return nil
	}
	var operands []int
	if p, ok := s.op.(inPlace); ok {
		if k := p.InPlace(); k >= 0 && k < len(s.args) {
			operands = []int{k}
		}
	} else if s.add {
		operands = []int{0, 1}
	}
	for _, k := range operands {
		a := s.args[k].step
		if a < 0 || m.steps[a].slot == nil || last[m.steps[a].origin] != i {
			continue
		}
		if over := m.steps[a].slot; over.dtype == s.node.Dtype() && over.length == s.node.Shape().TotalSize() {
			return over
		}
	}
	return nil
}

// offsets are whole cache lines of the smallest element, so that tensors do not share lines
const lineElements = 16

// lowest is the smallest offset at which s overlaps none of the placed slots that live while it
// does.
func lowest(s *slot, placed []*slot) int {
	var busy [][2]int
	for _, p := range placed {
		if p.over == nil && p.first <= s.last && s.first <= p.last {
			busy = append(busy, [2]int{p.offset, p.offset + p.length})
		}
	}
	slices.SortFunc(busy, func(a, b [2]int) int { return a[0] - b[0] })
	at := 0
	for _, b := range busy {
		if at+s.length <= b[0] {
			break
		}
		at = max(at, (b[1]+lineElements-1)/lineElements*lineElements)
	}
	return at
}

func plannable(t tensor.Dtype) bool {
	return t == tensor.Float32 || t == tensor.Float64 || t == tensor.Int32 || t == tensor.Int64 || t == tensor.Int
}

// back allocates the memory of one type and hands each slot its part.
func back(dtype tensor.Dtype, size int, slots []*slot) error {
	switch dtype {
	case tensor.Float32:
		carve[float32](size, slots)
	case tensor.Float64:
		carve[float64](size, slots)
	case tensor.Int32:
		carve[int32](size, slots)
	case tensor.Int64:
		carve[int64](size, slots)
	case tensor.Int:
		carve[int](size, slots)
	default:
		return errors.Errorf("vm: New: no memory for elements of type %v", dtype)
	}
	return nil
}

func carve[T any](size int, slots []*slot) {
	all := make([]T, size)
	advise(all)
	for _, s := range slots {
		at := s.root().offset
		s.backing = all[at : at+s.length : at+s.length]
		s.header = nil
	}
}
