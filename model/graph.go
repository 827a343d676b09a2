package model

import (
	"fmt"
	"slices"

	"github.com/pkg/errors"
	G "gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/convgrad/convgrad/ops"
	"github.com/convgrad/convgrad/ops/vm"
)

// BuildOptions say what a graph is for. The zero value evaluates.
type BuildOptions struct {
	// Loss is added to the output; nil makes a graph that ends with the output.
	Loss Loss
	// Penalties are added to the loss.
	Penalties []Penalty
	// Training asks for the gradients of loss and penalties by all parameters that are not frozen,
	// lets Dropout drop and layers update their buffers.
	Training bool
	// Seed is that of the dropout masks.
	Seed uint64
	// InputGradient asks for the gradient by the input too. It is otherwise not computed.
	InputGradient bool
	// Keep keeps what each layer gives for Feature, at the cost of its memory.
	Keep bool
}

// A Graph is a network for one batch size, ready to run. It is for one goroutine at a time.
//
// Its nodes are its own: loss and penalties are given to Build, which differentiates their sum.
// What they need of gradients themselves, ops.Grad gives; gorgonia.Grad is refused there, since its
// second call in one graph gives wrong numbers without an error.
type Graph struct {
	net     *Network
	options BuildOptions
	batch   int
	step    int // of the next run's dropout masks
	ran     bool

	x, t, y       *G.Node
	loss, penalty *G.Node // the whole sum, and the part of it that is penalties; may be nil
	params        []*Param
	grads         G.Nodes // of params
	dx            *G.Node
	features      map[string]*G.Node
	updates       []update
	random        *ops.Random
	machine       *vm.Machine

	folds []*fold
	views []*Param        // of params, for the caller
	dense []*tensor.Dense // the last run's gradients
}

// An update is a buffer's value after a run.
type update struct {
	param *Param
	value *G.Node
}

// Build makes a graph of the network for a batch size.
//
// It returns an error if the batch size is not positive, gradients are asked for without a loss,
// the loss does not fit the output, a parameter that is trained does not reach it, or a layer does
// not do what it did in New.
func (n *Network) Build(batch int, o BuildOptions) (*Graph, error) {
	if err := n.made(); err != nil {
		return nil, err
	}
	if batch < 1 {
		return nil, errors.Errorf("%s: the batch size is %d, want at least 1", n.title(), batch)
	}
	if err := countable(n.batch(batch)); err != nil {
		return nil, errors.Wrapf(err, "%s: x", n.title())
	}
	if o.Loss == nil && (o.Training || o.InputGradient || len(o.Penalties) > 0) {
		return nil, errors.Errorf("%s: gradients or penalties are asked for without a loss", n.title())
	}
	b := n.builder(o, false)
	b.folds = !o.Training && !o.Keep && !n.handed.Load()
	m := &Graph{net: n, options: o, batch: batch}
	m.x = leaf(b.graph, inputName, tensor.New(tensor.WithShape(n.batch(batch)...), tensor.Of(n.dtype)))
	var err error
	if m.y, err = n.expand(b, m.x); err != nil {
		return nil, err
	}
	m.random, m.folds = b.random, b.folded
	outputs := G.Nodes{m.y}
	if o.Keep {
		m.features = map[string]*G.Node{}
		for _, c := range b.calls {
			m.features[c.path] = c.y
			outputs = append(outputs, c.y)
		}
	}
	for _, p := range b.order {
		if v := b.latest[p]; v != nil && v != b.nodes[p] {
			m.updates = append(m.updates, update{p, v})
			outputs = append(outputs, v)
		}
	}
	if o.Loss == nil {
		return m.plan(b.graph, outputs)
	}
	var by G.Nodes
	for _, p := range b.order {
		if o.Training && !p.Buffer && !n.isFrozen(p.Name) {
			m.params, by = append(m.params, p), append(by, b.nodes[p])
			m.views = append(m.views, n.view(p))
		}
	}
	if err := m.addLoss(o, b, by); err != nil {
		return nil, errors.Wrap(err, n.title())
	}
	outputs = append(outputs, m.loss)
	if m.penalty != nil {
		outputs = append(outputs, m.penalty)
	}
	if o.InputGradient {
		by = append(by, m.x)
	}
	if len(by) == 0 { // everything is frozen
		return m.plan(b.graph, outputs)
	}
	if err := differentiable(m.loss, by); err != nil {
		return nil, errors.Wrap(err, n.title())
	}
	grads, err := ops.Grad(m.loss, nil, by...)
	if err != nil {
		return nil, errors.Wrapf(err, "%s: gradients", n.title())
	}
	outputs = append(outputs, grads...)
	if o.InputGradient {
		m.dx, grads = grads[len(grads)-1], grads[:len(grads)-1]
	}
	m.grads = grads
	return m.plan(b.graph, outputs)
}

// plan makes the machine.
func (m *Graph) plan(g *G.ExprGraph, outputs G.Nodes) (*Graph, error) {
	var err error
	if m.machine, err = vm.New(g, outputs...); err != nil {
		return nil, errors.Wrap(err, m.net.title())
	}
	return m, nil
}

// addLoss adds targets, loss and penalties. They may be a caller's: a panic is an error.
func (m *Graph) addLoss(o BuildOptions, b *Builder, params G.Nodes) (err error) {
	what := "the loss"
	defer func() {
		if r := recover(); r != nil {
			err = errors.Errorf("%s panicked: %v", what, r)
		}
	}()
	shape, of, err := o.Loss.Target(m.y)
	if err != nil {
		return err
	}
	if err := countable(shape); err != nil {
		return errors.Wrap(err, "the targets")
	}
	if of != tensor.Int && of != tensor.Float32 && of != tensor.Float64 {
		return errors.Errorf("the targets are of %v, want Int, Float32 or Float64", of)
	}
	m.t = leaf(b.graph, targetName, tensor.New(tensor.WithShape(shape...), tensor.Of(of)))
	if m.loss, err = o.Loss.Loss(m.y, m.t); err != nil {
		return err
	}
	if err := m.scalar(what, m.loss); err != nil {
		return err
	}
	if params == nil { // in evaluation penalties are those of training
		for _, p := range b.order {
			if !p.Buffer && !m.net.isFrozen(p.Name) {
				params = append(params, b.nodes[p])
			}
		}
	}
	for i, p := range o.Penalties {
		if what = fmt.Sprintf("penalty %d", i); p == nil {
			return errors.Errorf("%s is nil", what)
		}
		term, err := p(slices.Clone(params))
		if err != nil {
			return errors.Wrap(err, what)
		}
		if err := m.scalar(what, term); err != nil {
			return err
		}
		if m.penalty == nil {
			m.penalty = term
		} else if m.penalty, err = ops.Add(m.penalty, term); err != nil {
			return errors.Wrap(err, what)
		}
	}
	if m.penalty != nil {
		if m.loss, err = ops.Add(m.loss, m.penalty); err != nil {
			return errors.Wrap(err, "the sum of loss and penalties")
		}
	}
	for _, n := range b.graph.AllNodes() {
		if n.Deriv() != nil {
			return errors.Errorf("a layer, the loss or a penalty called gorgonia.Grad, of which a second call "+
				"in one graph gives wrong numbers: %v has a gradient already, want ops.Grad", n)
		}
	}
	return nil
}

// scalar returns an error unless a term of the loss is a scalar of the network's type in its graph.
func (m *Graph) scalar(what string, n *G.Node) error {
	switch {
	case n == nil:
		return errors.Errorf("%s is nil, want a scalar node", what)
	case n.Graph() != m.x.Graph():
		return errors.Errorf("%s is a node of another graph", what)
	case n.Dims() != 0:
		return errors.Errorf("%s has shape %v, want a scalar", what, n.Shape())
	case n.Dtype() != m.net.dtype:
		return errors.Errorf("%s is of %v, want %v", what, n.Dtype(), m.net.dtype)
	}
	return nil
}

// differentiable returns an error that names the first leaf that the loss does not depend on.
func differentiable(loss *G.Node, by G.Nodes) error {
	reached := reachedFrom(loss)
	for _, n := range by {
		if !reached[n] {
			return errors.Errorf("the loss does not depend on %s: want it used, or frozen", n.Name())
		}
	}
	return nil
}

// reachedFrom are the nodes that y depends on, and y.
func reachedFrom(y *G.Node) map[*G.Node]bool {
	reached := map[*G.Node]bool{}
	for stack := []*G.Node{y}; len(stack) > 0; {
		n := stack[len(stack)-1]
		stack = stack[:len(stack)-1]
		if reached[n] {
			continue
		}
		reached[n] = true
		stack = append(stack, operandsOf(n)...)
	}
	return reached
}

// made returns an error for a graph that Build did not make.
func (m *Graph) made(what string) error {
	if m == nil || m.machine == nil {
		return errors.Errorf("model: %s: the graph is empty or closed, want one of Build", what)
	}
	return nil
}

// Batch is the number of samples.
func (m *Graph) Batch() int {
	if m == nil {
		return 0
	}
	return m.batch
}

// InputData is the memory of the input, batch×C×H×W, as []float32 or []float64 by the network's
// type. Fill it before Run.
func (m *Graph) InputData() any {
	if m == nil {
		return nil
	}
	return memory(m.x)
}

// TargetData is the memory of the targets: []int labels for CrossEntropy, floats for SquaredError,
// nil without a loss.
func (m *Graph) TargetData() any {
	if m == nil {
		return nil
	}
	return memory(m.t)
}

func memory(n *G.Node) any {
	if n == nil || n.Value() == nil {
		return nil
	}
	return n.Value().Data()
}

// SetLabels writes a batch's classes to the targets: as they are where those are labels, one-hot
// where they are floats of the output's shape.
//
// It returns an error, and writes nothing, if the graph has no loss, there are not as many labels
// as samples, or one is not a class.
func (m *Graph) SetLabels(labels []int) error {
	if err := m.made("SetLabels"); err != nil {
		return err
	}
	if m.t == nil {
		return errors.New("model: SetLabels: the graph has no loss")
	}
	out, target := m.y.Shape(), m.t.Shape()
	whole := m.t.Dtype() == tensor.Int
	if len(out) != 2 || whole && len(target) != 1 || !whole && !target.Eq(out) {
		return errors.Errorf("model: SetLabels: the output is %v and the targets are %v, want batch×classes, "+
			"and targets of that shape or one label a sample", out, target)
	}
	if len(labels) != m.batch {
		return errors.Errorf("model: SetLabels: got %d labels for a batch of %d", len(labels), m.batch)
	}
	for i, l := range labels {
		if l < 0 || l >= out[1] {
			return errors.Errorf("model: SetLabels: label %d is %d, want 0 to %d", i, l, out[1]-1)
		}
	}
	switch target := m.TargetData().(type) {
	case []int:
		copy(target, labels)
	case []float32:
		oneHot(target, labels)
	case []float64:
		oneHot(target, labels)
	}
	return nil
}

// oneHot writes rows that are 1 at their label and 0 elsewhere.
func oneHot[T float32 | float64](rows []T, labels []int) {
	clear(rows)
	for i, l := range labels {
		rows[i*(len(rows)/len(labels))+l] = 1
	}
}

// SetStep says which step of training the next Run is. Dropout masks are a function of the seed and
// the step. Each Run of a graph for training goes one step on by itself.
func (m *Graph) SetStep(step int) {
	if m != nil {
		m.step = step
	}
}

// Run computes the output, and the loss and gradients if the graph has them; buffers get their
// updates once all of that has succeeded. Results are valid until the next Run.
func (m *Graph) Run() error {
	if err := m.made("Run"); err != nil {
		return err
	}
	m.ran = false
	if err := m.unfold(); err != nil {
		return err
	}
	m.random.SetStep(m.step)
	m.net.mu.RLock()
	m.net.folds.refresh(m.folds, m.net.version)
	err := m.machine.RunAll()
	m.net.mu.RUnlock()
	if err != nil {
		return errors.Wrap(err, m.net.title())
	}
	for i, g := range m.grads {
		if m.dense == nil {
			m.dense = make([]*tensor.Dense, len(m.grads))
		}
		if m.dense[i], err = m.value(g, "the gradient of "+m.params[i].Name); err != nil {
			return err
		}
	}
	if err := m.updateBuffers(); err != nil {
		return err
	}
	m.ran = true
	m.step++
	return nil
}

// updateBuffers gives buffers the values that layers worked out for them: all, or none.
func (m *Graph) updateBuffers() error {
	if len(m.updates) == 0 {
		return nil
	}
	for _, u := range m.updates {
		if _, err := m.value(u.value, "the update of "+u.param.Name); err != nil {
			return err
		}
	}
	m.net.mu.Lock()
	defer m.net.mu.Unlock()
	m.net.version++
	for _, u := range m.updates {
		copyData(u.param.Value.Data(), u.value.Value().Data(), 0, 0, u.param.Value.Shape().TotalSize())
	}
	return nil
}

// value is what a run gave a node, a plain tensor.
func (m *Graph) value(n *G.Node, what string) (*tensor.Dense, error) {
	d, ok := n.Value().(*tensor.Dense)
	if !ok {
		return nil, errors.Errorf("%s: %s is a %T, want a tensor", m.net.title(), what, n.Value())
	}
	if err := plain(d, n.Shape(), n.Dtype()); err != nil {
		return nil, errors.Wrapf(err, "%s: %s", m.net.title(), what)
	}
	return d, nil
}

// plain returns an error that names the rule that a tensor breaks: shape and type, row-major, and
// its own memory without gaps.
func plain(d *tensor.Dense, shape tensor.Shape, of tensor.Dtype) error {
	switch s := d.Shape(); {
	case len(s) != len(shape) || !s.Eq(shape):
		return errors.Errorf("has shape %v, want %v", s, shape)
	case d.Dtype() != of:
		return errors.Errorf("is of %v, want %v", d.Dtype(), of)
	case d.DataOrder().IsColMajor():
		return errors.Errorf("is in column-major order, want rows one after the other")
	case d.RequiresIterator() || d.DataOrder().IsTransposed() || length(d.Data()) != s.TotalSize():
		return errors.Errorf("is a transposed or sliced view, with the strides %v, want one with memory "+
			"of its own: Materialize makes it", d.Strides())
	}
	return nil
}

func length(data any) int {
	switch v := data.(type) {
	case []float32:
		return len(v)
	case []float64:
		return len(v)
	case []int:
		return len(v)
	}
	return -1
}

// results returns an error unless the last Run succeeded and n is a node.
func (m *Graph) results(what string, n *G.Node, lacks string) error {
	if err := m.made(what); err != nil {
		return err
	}
	if n == nil {
		return errors.Errorf("%s: %s: the graph has no %s", m.net.title(), what, lacks)
	}
	if !m.ran {
		return errors.Errorf("%s: %s: the graph has not run, or its last run failed", m.net.title(), what)
	}
	return nil
}

// Output is the network's output of the last Run.
func (m *Graph) Output() (*tensor.Dense, error) {
	if m == nil {
		return nil, m.made("Output")
	}
	if err := m.results("Output", m.y, "output"); err != nil {
		return nil, err
	}
	return m.value(m.y, "the output")
}

// LossValue is the loss of the last Run with all penalties: what is differentiated.
func (m *Graph) LossValue() (float64, error) {
	if m == nil {
		return 0, m.made("LossValue")
	}
	if err := m.results("LossValue", m.loss, "loss"); err != nil {
		return 0, err
	}
	return number(m.loss)
}

// PenaltyValue is the part of the last Run's loss that is penalties: 0 without any.
func (m *Graph) PenaltyValue() (float64, error) {
	if m == nil {
		return 0, m.made("PenaltyValue")
	}
	if err := m.results("PenaltyValue", m.loss, "loss"); err != nil || m.penalty == nil {
		return 0, err
	}
	return number(m.penalty)
}

func number(n *G.Node) (float64, error) {
	switch v := n.Value().Data().(type) {
	case float32:
		return float64(v), nil
	case float64:
		return v, nil
	}
	return 0, errors.Errorf("model: the loss is a %T, want a float", n.Value().Data())
}

// Params are the parameters that have gradients in this graph, in the network's order.
func (m *Graph) Params() []*Param {
	if m == nil {
		return nil
	}
	return m.views
}

// Grads are the last Run's gradients by Params, in that order. Slice and tensors are overwritten by
// the next Run.
func (m *Graph) Grads() ([]*tensor.Dense, error) {
	if m == nil {
		return nil, m.made("Grads")
	}
	if err := m.results("Grads", m.loss, "gradients"); err != nil {
		return nil, err
	}
	return m.dense, nil
}

// InputGradient is the last Run's gradient by the input, if BuildOptions asked for it.
func (m *Graph) InputGradient() (*tensor.Dense, error) {
	if m == nil {
		return nil, m.made("InputGradient")
	}
	if err := m.results("InputGradient", m.dx, "gradient by the input: ask for it in BuildOptions"); err != nil {
		return nil, err
	}
	return m.value(m.dx, "the gradient by the input")
}

// Feature is what a layer gave in the last Run, by its path; "" is the whole network. Of a layer
// that is used several times it is the last. It is kept if BuildOptions say so.
func (m *Graph) Feature(path string) (*tensor.Dense, error) {
	if m == nil {
		return nil, m.made("Feature")
	}
	if err := m.results("Feature", m.features[path], fmt.Sprintf("layer %q that is kept", path)); err != nil {
		return nil, err
	}
	return m.value(m.features[path], "the output of "+path)
}

// PeakBytes is the memory that the graph holds for intermediates, outputs and gradients.
func (m *Graph) PeakBytes() int {
	if m == nil || m.machine == nil {
		return 0
	}
	return m.machine.PeakBytes()
}

// Close gives the graph's memory up. A graph that is closed does not run.
func (m *Graph) Close() error {
	if m == nil || m.machine == nil {
		return nil
	}
	err := m.machine.Close()
	*m = Graph{net: m.net}
	return err
}

// copyData copies n elements between two slices of one type.
func copyData(dst, src any, to, from, n int) {
	switch d := dst.(type) {
	case []float32:
		copy(d[to:to+n], src.([]float32)[from:from+n])
	case []float64:
		copy(d[to:to+n], src.([]float64)[from:from+n])
	}
}
