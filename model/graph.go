package model

import (
	"github.com/pkg/errors"
	G "gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/convgrad/convgrad/ops"
	"github.com/convgrad/convgrad/ops/vm"
)

// A Graph is a network for one batch size, ready to run. It is for one goroutine at a time; graphs of one network may run at once as long as nothing changes the weights.
type Graph struct {
	Batch  int
	X      *G.Node   // the input, batch×C×H×W; write to InputData
	Target *G.Node   // labels or targets, or nil without a loss; write to TargetData
	Output *G.Node   // the network's output: logits
	Loss   *G.Node   // a scalar, or nil
	Params []*G.Node // of the network's parameters, in order
	Grads  []*G.Node // the gradients by Params, in training
	DX     *G.Node   // the gradient by X, if it was asked for
	Each   []*G.Node // what each layer gives, or nil where it is computed together with the next. They have values after Run if BuildOptions.Keep was set

	Random *ops.Random // of dropout masks in training, or nil

	machine *vm.Machine
}

// Build makes a graph of the network for a batch size.
//
// It returns an error if the batch size is not positive, the options contradict each other, or the loss does not fit the output.
func (n *Network) Build(batch int, o BuildOptions) (*Graph, error) {
	if err := n.made(); err != nil {
		return nil, err
	}
	if batch < 1 {
		return nil, errors.Errorf("model: %s: the batch size is %d, want at least 1", n.name, batch)
	}
	if err := countable(append(tensor.Shape{batch}, n.input...)); err != nil {
		return nil, errors.Wrapf(err, "model: %s: x", n.name)
	}
	if (o.Training || o.InputGradient) && o.Loss == NoLoss {
		return nil, errors.Errorf("model: %s: gradients are asked for without a loss", n.name)
	}
	g := G.NewGraph()
	leaf := func(name string, v *tensor.Dense) *G.Node {
		return G.NewTensor(g, v.Dtype(), v.Dims(), G.WithShape(v.Shape()...), G.WithName(name), G.WithValue(v))
	}
	m := &Graph{Batch: batch}
	m.X = leaf("x", tensor.New(tensor.WithShape(append(tensor.Shape{batch}, n.input...)...), tensor.Of(n.dtype)))
	for _, p := range n.params {
		m.Params = append(m.Params, leaf(p.Name, p.Value))
	}
	b := &Builder{Training: o.Training, Winograd: n.winograd, graph: g, seed: o.Seed}
	var err error
	if m.Output, m.Each, err = n.nodes(b, m.X, m.Params, o); err != nil {
		return nil, err
	}
	m.Random = b.random
	outputs := G.Nodes{m.Output}
	for _, y := range m.Each {
		if o.Keep && y != nil {
			outputs = append(outputs, y)
		}
	}
	if o.Loss != NoLoss {
		if err := n.loss(m, o.Loss, leaf); err != nil {
			return nil, err
		}
		outputs = append(outputs, m.Loss)
	}
	var by G.Nodes
	if o.Training {
		by = append(by, m.Params...)
	}
	if o.InputGradient {
		by = append(by, m.X)
	}
	if len(by) > 0 {
		grads, err := G.Grad(m.Loss, by...)
		if err != nil {
			return nil, errors.Wrapf(err, "model: %s: gradients", n.name)
		}
		outputs = append(outputs, grads...)
		if o.InputGradient {
			m.DX, grads = grads[len(grads)-1], grads[:len(grads)-1]
		}
		m.Grads = grads
	}
	if m.machine, err = vm.New(g, outputs...); err != nil {
		return nil, errors.Wrapf(err, "model: %s", n.name)
	}
	return m, nil
}

// loss adds the loss to the graph.
func (n *Network) loss(m *Graph, l Loss, leaf func(string, *tensor.Dense) *G.Node) error {
	var err error
	switch out := m.Output.Shape(); l {
	case CrossEntropy:
		if len(out) != 2 {
			return errors.Errorf("model: %s: the output of a batch is %v, want batch×classes for the cross-entropy", n.name, out)
		}
		m.Target = leaf("labels", tensor.New(tensor.WithShape(m.Batch), tensor.Of(tensor.Int)))
		m.Loss, err = ops.CrossEntropy(m.Output, m.Target, ops.CrossEntropyParams{})
	case SquaredError:
		m.Target = leaf("targets", tensor.New(tensor.WithShape(out...), tensor.Of(n.dtype)))
		if m.Loss, err = ops.ArticleError(m.Output, m.Target); err == nil {
			m.Loss, err = ops.Affine(m.Loss, 1/float64(m.Batch), 0)
		}
	default:
		err = errors.Errorf("the loss is %d, want CrossEntropy or SquaredError", int(l))
	}
	return errors.Wrapf(err, "model: %s", n.name)
}

// InputData is the memory of X, []float32 or []float64 by the network's type; fill it before Run.
func (m *Graph) InputData() any { return memory(m.X) }

// TargetData is the memory of Target: []int labels for the cross-entropy, floats for the squared error, nil without a loss.
func (m *Graph) TargetData() any { return memory(m.Target) }

func memory(n *G.Node) any {
	if n == nil || n.Value() == nil {
		return nil
	}
	return n.Value().Data()
}

// SetLabels writes a batch's classes to Target: as they are for the cross-entropy, one-hot for the squared error.
//
// It returns an error, and writes nothing, if the graph has no loss, there are not as many labels as samples, or one is not a class.
func (m *Graph) SetLabels(labels []int) error {
	if m.Target == nil {
		return errors.New("model: SetLabels: the graph has no loss")
	}
	out := m.Output.Shape()
	if len(labels) != m.Batch || len(out) != 2 {
		return errors.Errorf("model: SetLabels: got %d labels for an output of %v, want one for each of %d rows", len(labels), out, m.Batch)
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

// Run computes the output, and the loss and gradients if the graph has them. Their values are valid until the next Run.
func (m *Graph) Run() error {
	if m.machine == nil {
		return errors.New("model: Run: the graph is empty, want one of Build")
	}
	return m.machine.RunAll()
}

// LossValue is the loss of the last Run.
func (m *Graph) LossValue() (float64, error) {
	if m.Loss == nil || m.Loss.Value() == nil {
		return 0, errors.New("model: the graph has no loss, or has not run")
	}
	switch v := m.Loss.Value().Data().(type) {
	case float32:
		return float64(v), nil
	case float64:
		return v, nil
	}
	return 0, errors.Errorf("model: the loss is a %T, want a float", m.Loss.Value().Data())
}

// PeakBytes is the memory that the graph holds for intermediates, outputs and gradients.
func (m *Graph) PeakBytes() int {
	if m.machine == nil {
		return 0
	}
	return m.machine.PeakBytes()
}

// Close gives the graph's memory up. A graph that is closed does not run.
func (m *Graph) Close() error {
	if m.machine == nil {
		return nil
	}
	return m.machine.Close()
}

// predictBatch is how many samples Predict puts through the network at once.
const predictBatch = 128

// Predict returns the network's output for x, any number of samples N×C×H×W, as a new tensor. It may be called from several goroutines.
//
// It returns an error if x is not a plain tensor of the network's type and input shape.
func (n *Network) Predict(x *tensor.Dense) (*tensor.Dense, error) {
	if err := n.made(); err != nil {
		return nil, err
	}
	if x == nil || x.Dtype().Type == nil {
		return nil, errors.Errorf("model: %s: Predict: x is no tensor, want N×%v of %v", n.name, n.input, n.dtype)
	}
	s := x.Shape()
	if len(s) != len(n.input)+1 || !s[1:].Eq(n.input) || s[0] < 1 || x.Dtype() != n.dtype || x.RequiresIterator() || x.DataOrder().IsColMajor() {
		return nil, errors.Errorf("model: %s: Predict: x is %v of %v, want plain N×%v of %v", n.name, s, x.Dtype(), n.input, n.dtype)
	}
	out := tensor.New(tensor.WithShape(append(tensor.Shape{s[0]}, n.Output()...)...), tensor.Of(n.dtype))
	in, to := n.input.TotalSize(), n.Output().TotalSize()
	n.mu.Lock()
	defer n.mu.Unlock()
	for at := 0; at < s[0]; at += predictBatch {
		batch := min(predictBatch, s[0]-at)
		g, ok := n.predict[batch]
		if !ok {
			var err error
			if g, err = n.Build(batch, BuildOptions{}); err != nil {
				return nil, err
			}
			if batch == predictBatch || len(n.predict) < 4 { // a few sizes recur; others are not worth their memory
				n.predict[batch] = g
			}
		}
		copyData(g.InputData(), x.Data(), 0, at*in, batch*in)
		if err := g.Run(); err != nil {
			return nil, errors.Wrapf(err, "model: %s: Predict", n.name)
		}
		y := g.Output.Value()
		if y.Dtype() != n.dtype {
			return nil, errors.Errorf("model: %s: Predict: the output is of %v, want %v", n.name, y.Dtype(), n.dtype)
		}
		copyData(out.Data(), y.Data(), at*to, 0, batch*to)
	}
	return out, nil
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
