package model

import (
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/pkg/errors"
	G "gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/convgrad/convgrad/internal/onnx"
	"github.com/convgrad/convgrad/internal/onnx/operators"
	"github.com/convgrad/convgrad/ops"
)

// ONNXOptions say what becomes of an ONNX file. The zero value takes the network as it is.
type ONNXOptions struct {
	Options
	// Input is the shape of one sample; nil stands for the file's. It is needed where the file
	// leaves sides open.
	Input tensor.Shape
	// Output is the value of the file that the network ends with; "" stands for the file's output.
	// With Head it cuts the last layers off.
	Output string
	// Head is applied to the output, under the name that As gives it, or "head". It is for another
	// number of classes.
	Head Layer
}

// ReadONNX makes a network of an ONNX file, of opsets 7 to 28, with its weights: one that runs, is
// trained further, and is written again.
//
// Initializers of floats that operators compute with become parameters, under their names; those of
// a running mean and variance become buffers, and the batch norm is one that trains. Constants of
// other kinds stay constants. A layer is an operator of the file. Its name is what its weights'
// names have in common up to a dot, as "layer1.0.conv1", or else the name of the node. The batch is
// open, even where the file states it.
//
// It returns an error, and makes nothing, if the file is cut short or lies about sizes, keeps
// numbers in another file, does not have one input and one output, or has an operator or an
// attribute that is not supported: the error names the node. Weights are checked as Load does.
// Memory is in proportion to what the file holds.
func ReadONNX(r io.Reader, o ONNXOptions) (*Network, error) {
	return readONNX(r, nil, o)
}

// ReadONNXFile is ReadONNX from a file, and from files in its directory, or below it, if it says
// that numbers lie in them, as PyTorch writes large networks. An empty Options.Name becomes the
// file's name without directories and ending.
func ReadONNXFile(path string, o ONNXOptions) (*Network, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, errors.Wrap(err, "model: reading ONNX")
	}
	defer f.Close()
	if o.Name == "" {
		o.Name = strings.TrimSuffix(filepath.Base(path), filepath.Ext(path))
	}
	var others []*os.File
	defer func() {
		for _, f := range others {
			f.Close()
		}
	}()
	n, err := readONNX(f, func(location string) (io.ReaderAt, int64, error) {
		other, size, err := openBeside(path, location)
		if err != nil {
			return nil, 0, err
		}
		others = append(others, other)
		return other, size, nil
	}, o)
	return n, errors.Wrap(err, path)
}

// openBeside opens a file in the directory of another, or below it: no name and no link leads out.
func openBeside(path, location string) (*os.File, int64, error) {
	root, err := os.OpenRoot(filepath.Dir(path))
	if err != nil {
		return nil, 0, err
	}
	defer root.Close()
	info, err := root.Stat(location)
	if err == nil && !info.Mode().IsRegular() { // a pipe would wait for ever
		err = errors.New("it is not a regular file")
	}
	if err != nil {
		return nil, 0, err
	}
	f, err := root.Open(location)
	return f, info.Size(), err
}

func readONNX(r io.Reader, open onnx.Opener, o ONNXOptions) (*Network, error) {
	n, err := decodeONNX(r, open, o)
	name := o.Name
	if name == "" {
		name = "model"
	}
	return n, errors.Wrapf(err, "%s: reading ONNX", name)
}

func decodeONNX(r io.Reader, open onnx.Opener, o ONNXOptions) (*Network, error) {
	if r == nil {
		return nil, errors.New("the reader is nil")
	}
	raw, err := io.ReadAll(r)
	if err != nil {
		return nil, err
	}
	file, err := onnx.Decode(raw, open)
	if err != nil {
		return nil, err
	}
	l, input, err := newONNXLayer(file, o)
	if err != nil {
		return nil, err
	}
	n, err := trace(l, input, o.Options)
	if err != nil {
		return nil, err
	}
	for _, p := range n.params {
		t := l.tensors[p.Name]
		switch v := p.Value.Data().(type) {
		case []float32:
			if t != nil {
				err = onnx.Weights(v, t)
			}
		case []float64:
			if t != nil {
				err = onnx.Weights(v, t)
			}
		}
		if t == nil { // of the head
			err = errors.Wrapf(p.draw(o.Seed), "the initialiser of %s", p.Name)
		}
		if err != nil {
			return nil, err
		}
	}
	n.version++
	for _, t := range l.tensors { // the file's bytes are of no more use
		t.Raw = nil
	}
	l.tensors = nil
	return n, nil
}

// An onnxLayer is the graph of an ONNX file as a layer.
type onnxLayer struct {
	graph         *onnx.Graph
	opset         int64
	input, output string
	batch         int // that the file is for, or 0
	head          Layer

	names   map[*onnx.Tensor]weightName
	scopes  map[*onnx.Node]string
	tensors map[string]*onnx.Tensor // of the weights that are used, by path, until they are read
}

// A weightName is where a weight is in the network: below a scope, or, if that is "", by its path.
type weightName struct{ path, scope, name string }

// newONNXLayer checks what a file says of input and output, and names its weights and layers.
func newONNXLayer(file *onnx.Model, o ONNXOptions) (*onnxLayer, tensor.Shape, error) {
	g := file.Graph
	l := &onnxLayer{graph: g, opset: file.Opsets[""], head: o.Head, names: map[*onnx.Tensor]weightName{},
		scopes: map[*onnx.Node]string{}, tensors: map[string]*onnx.Tensor{}}
	if err := operators.CheckOpset(l.opset); err != nil {
		return nil, nil, err
	}
	inputs := slices.DeleteFunc(slices.Clone(g.Inputs), func(v onnx.Value) bool {
		return slices.ContainsFunc(g.Initializers, func(t *onnx.Tensor) bool { return t.Name == v.Name })
	})
	if len(inputs) != 1 {
		return nil, nil, errors.Errorf("the inputs are %v, want one", valueNames(inputs))
	}
	in := inputs[0]
	l.input, l.output = in.Name, o.Output
	if l.output == "" {
		if len(g.Outputs) != 1 {
			return nil, nil, errors.Errorf("the outputs are %v, want one: choose it with Output", valueNames(g.Outputs))
		}
		l.output = g.Outputs[0].Name
	}
	if !in.Type.IsFloat() {
		return nil, nil, errors.Errorf("the input %.200q is of %v, want floats", in.Name, in.Type)
	}
	input, err := l.sample(in, o.Input)
	if err != nil {
		return nil, nil, errors.Wrapf(err, "the input %.200q", in.Name)
	}
	l.unshare()
	l.name()
	return l, input, nil
}

func valueNames(values []onnx.Value) list {
	var names list
	for _, v := range values {
		names.add(v.Name)
	}
	return names
}

// sample is the shape of one sample.
func (l *onnxLayer) sample(v onnx.Value, given tensor.Shape) (tensor.Shape, error) {
	if v.Known && len(v.Dims) > 0 && v.Dims[0].Size > 0 && v.Dims[0].Size < 1<<31 {
		l.batch = int(v.Dims[0].Size)
	}
	if given != nil {
		if v.Known && len(v.Dims) != len(given)+1 {
			return nil, errors.Errorf("the file has shape %v, with the batch, and the options %v, without", v.Dims, given)
		}
		return given, nil
	}
	if !v.Known || len(v.Dims) < 2 {
		return nil, errors.Errorf("the shape is %v, want a batch of samples: say it with Input", v.Dims)
	}
	var s tensor.Shape
	for _, d := range v.Dims[1:] {
		if d.Size < 1 || d.Size >= 1<<31 {
			return nil, errors.Errorf("the shape is %v, which leaves sides open: say them with Input", v.Dims)
		}
		s = append(s, int(d.Size))
	}
	return s, nil
}

// Apply implements Layer.
func (l *onnxLayer) Apply(b *Builder, x *G.Node) *G.Node {
	a := &onnxApply{onnxLayer: l, root: b, at: b, nodes: map[*onnx.Tensor]*G.Node{}}
	env := &operators.Env{Graph: b.graph, Of: b.of, Opset: l.opset, FixedBatch: l.batch, Weight: a.weight,
		BatchNorm: a.batchNorm, Dropout: a.dropout, Around: a.around}
	values := map[string]operators.Value{l.input: {Node: x}}
	if err := env.Run(l.graph, values, l.output); err != nil {
		return b.Do(nil, err)
	}
	y := values[l.output].Node
	if y == nil {
		return b.Do(nil, errors.Errorf("the output %.200q does not depend on the input", l.output))
	}
	switch h := l.head.(type) {
	case nil:
		return y
	case named:
		return h.Apply(b, y)
	default:
		return b.Layer("head", h, y)
	}
}

// An onnxApply is one application.
type onnxApply struct {
	*onnxLayer
	root, at *Builder   // at: of the node that is being applied
	node     *onnx.Node // that is being applied
	nodes    map[*onnx.Tensor]*G.Node
}

// around applies a node as a layer of its own.
func (a *onnxApply) around(n *onnx.Node, in []operators.Value, apply func() ([]operators.Value, error)) ([]operators.Value, error) {
	s := a.root.scope(a.scopes[n], false)
	if s == nil {
		return nil, a.root.err
	}
	a.at, a.node = s, n
	defer func() { a.at = a.root }()
	var out []operators.Value
	var err error
	constant := true // nothing of it is a node: no layer
	for _, v := range in {
		constant = constant && v.Node == nil
	}
	if constant {
		return apply()
	}
	s.apply(onnxOperator{n, func(b *Builder) *G.Node {
		if out, err = apply(); err != nil {
			return b.Do(nil, errors.Wrapf(err, "%v", n))
		}
		for _, v := range out {
			if v.Node != nil {
				return v.Node
			}
		}
		for _, v := range in {
			if v.Node != nil {
				return v.Node
			}
		}
		return nil
	}}, nil)
	return out, err
}

// An onnxOperator is a node of a file as a layer.
type onnxOperator struct {
	node *onnx.Node
	add  func(b *Builder) *G.Node
}

// Apply implements Layer.
func (l onnxOperator) Apply(b *Builder, _ *G.Node) *G.Node { return l.add(b) }

// momentum is a batch norm's.
func (l onnxOperator) momentum() float64 {
	if a := l.node.Attr("momentum"); a != nil {
		return 1 - float64(a.Float)
	}
	return 0.1
}

// weight is the node of an initializer.
func (a *onnxApply) weight(t *onnx.Tensor) (*G.Node, error) {
	init := Init(nil)
	switch op := a.node.Op; {
	case op == "PRelu":
		init = Constant(0.25)
	case strings.HasSuffix(op, "Normalization"):
		if len(a.node.Inputs) > 1 && a.node.Inputs[1] == t.Name {
			init = Ones
		}
	case len(t.Dims) > 1:
		init = HeNormal
	}
	return a.stored(t, init, false)
}

// stored is the node of a weight; what has no sides is a constant.
func (a *onnxApply) stored(t *onnx.Tensor, init Init, buffer bool) (*G.Node, error) {
	if n := a.nodes[t]; n != nil {
		return n, nil
	}
	name, ok := a.names[t]
	if !ok {
		return nil, errors.Errorf("the initializer %.200q is of %v in shape %v, want floats with at least one side", t.Name, t.Type, t.Dims)
	}
	b, as := a.root, name.path
	if name.scope != "" && name.scope == a.scopes[a.node] {
		b, as = a.at, name.name
	}
	n := b.weight(as, init, slices.Clone(tensor.Shape(t.Dims)), buffer)
	if n == nil {
		return nil, a.root.err
	}
	a.nodes[t] = n
	if a.root.tracing {
		a.tensors[name.path] = t
	}
	return n, nil
}

// batchNorm is one that trains, if all its operands are weights.
func (a *onnxApply) batchNorm(x *G.Node, scale, bias, mean, variance operators.Value, eps, momentum float64) (*G.Node, error) {
	var nodes [4]*G.Node
	trains, frozen := x.Dims() <= 4, false
	for i, v := range []operators.Value{scale, bias, mean, variance} {
		if v.Weight == nil || len(v.Weight.Dims) != 1 {
			return nil, errors.Errorf("operand %d is no initializer of one side, want one", i+1)
		}
		init, buffer := []Init{Ones, Zeros, Zeros, Ones}[i], i >= 2
		n, err := a.stored(v.Weight, init, buffer)
		if err != nil {
			return nil, err
		}
		if p := a.root.buffers[n]; buffer && p == nil {
			return nil, errors.Errorf("the running statistics, %.200q, are a weight of another node too", v.Weight.Name)
		} else if buffer {
			n, frozen = a.root.latest[p], frozen || a.root.net.isFrozen(p.Name)
		}
		nodes[i] = n
	}
	running := ops.Stats{Mean: nodes[2], Var: nodes[3]}
	if !trains || frozen || !(momentum > 0 && momentum <= 1) {
		return operators.BatchNormEval(x, nodes[0], nodes[1], running, eps)
	}
	y := batchNorm(a.at, x, nodes[0], nodes[1], running, eps, momentum)
	return y, a.root.err
}

func (a *onnxApply) dropout(x *G.Node, p float64) (*G.Node, error) {
	if !a.at.Training() || p == 0 {
		return x, nil
	}
	return ops.Dropout(x, p, a.at.Random())
}
