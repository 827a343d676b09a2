package model

import (
	"bufio"
	"encoding/binary"
	"io"
	"maps"
	"math"
	"reflect"
	"slices"
	"unicode/utf8"

	"github.com/pkg/errors"
	G "gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/convgrad/convgrad/internal/onnx"
	"github.com/convgrad/convgrad/internal/safetensors"
)

// SaveONNX writes the network as it evaluates, in ONNX's format: opset 20, with an open batch "N",
// one input "input" and one output "output". Weights are initializers under their names, nodes are
// called for their layers. Batch norms stay nodes of their own, so that what reads the file can
// train it further: ReadONNX, for one. metadata, which may be nil, is kept in the file.
//
// It returns an error, and writes nothing, if a layer uses an op that ONNX has no operator for,
// does something else for another batch, or a weight is NaN or infinite.
func (n *Network) SaveONNX(w io.Writer, metadata map[string]string) error {
	if err := n.made(); err != nil {
		return err
	}
	if w == nil {
		return errors.Errorf("%s: writing ONNX: the writer is nil", n.title())
	}
	return errors.Wrapf(n.saveONNX(w, metadata), "%s: writing ONNX", n.title())
}

// SaveONNXFile is SaveONNX to a file, which appears whole or not at all, as with SaveFile.
func (n *Network) SaveONNXFile(path string, metadata map[string]string) error {
	if err := n.made(); err != nil {
		return err
	}
	return errors.Wrapf(safetensors.WholeFile(path, func(w io.Writer) error { return n.saveONNX(w, metadata) }),
		"%s: writing ONNX", n.title())
}

func (n *Network) saveONNX(w io.Writer, metadata map[string]string) error {
	for key, v := range metadata {
		if !utf8.ValidString(key) || !utf8.ValidString(v) {
			return errors.Errorf("the metadata %.100q, %.100q, are not UTF-8", key, v)
		}
	}
	graph, err := n.onnxGraph()
	if err != nil {
		return err
	}
	n.mu.RLock()
	defer n.mu.RUnlock()
	used := map[string]bool{}
	for _, node := range graph.Nodes {
		for _, name := range node.Inputs {
			used[name] = true
		}
	}
	var weights []onnx.Initializer
	for _, p := range n.params {
		if err := finiteWeight(p); err != nil {
			return err
		}
		if used[p.Name] {
			weights = append(weights, onnx.Initializer{Name: p.Name, Type: onnxType(n.dtype), Dims: p.Value.Shape(),
				Data: func() []byte { return littleEndian(p.Value.Data()) }})
		}
	}
	file := &onnx.Model{IRVersion: onnx.IRVersion, Producer: "convgrad", Opsets: map[string]int64{"": onnx.Opset},
		Metadata: maps.Clone(metadata), Graph: graph}
	buffered := bufio.NewWriter(w)
	if err := onnx.Encode(buffered, file, weights); err != nil {
		return err
	}
	return buffered.Flush()
}

func onnxType(of tensor.Dtype) onnx.DataType {
	if of == tensor.Float64 {
		return onnx.Double
	}
	return onnx.Float
}

func littleEndian(data any) []byte {
	var b []byte
	switch v := data.(type) {
	case []float32:
		b = make([]byte, 0, 4*len(v))
		for _, x := range v {
			b = binary.LittleEndian.AppendUint32(b, math.Float32bits(x))
		}
	case []float64:
		b = make([]byte, 0, 8*len(v))
		for _, x := range v {
			b = binary.LittleEndian.AppendUint64(b, math.Float64bits(x))
		}
	}
	return b
}

// finiteWeight returns an error for the first element that is NaN or infinite.
func finiteWeight(p *Param) error {
	check := func(i int, v float64) error {
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return errors.Errorf("%s: element %d is %v, want a finite number", p.Name, i, v)
		}
		return nil
	}
	switch v := p.Value.Data().(type) {
	case []float32:
		for i, x := range v {
			if err := check(i, float64(x)); err != nil {
				return err
			}
		}
	case []float64:
		for i, x := range v {
			if err := check(i, x); err != nil {
				return err
			}
		}
	}
	return nil
}

// onnxGraph writes the graphs for a batch of 2 and one of 3. Where they differ is the batch: in one
// side of a Reshape, which is left open, and nowhere else.
func (n *Network) onnxGraph() (*onnx.Graph, error) {
	g, err := n.onnxGraphOf(2)
	if err != nil {
		return nil, err
	}
	other, err := n.onnxGraphOf(3)
	if err != nil {
		return nil, err
	}
	if len(g.Nodes) != len(other.Nodes) || len(g.Initializers) != len(other.Initializers) {
		return nil, errors.Errorf("there are %d nodes for a batch of 2 and %d for one of 3, want the same", len(g.Nodes), len(other.Nodes))
	}
	shapes := map[string]bool{}
	for i, node := range g.Nodes {
		if !reflect.DeepEqual(node, other.Nodes[i]) {
			return nil, errors.Errorf("%v depends on the size of the batch, want the same for each sample", node)
		}
		if node.Op == "Reshape" {
			shapes[node.Inputs[1]] = true
		}
	}
	for i, t := range g.Initializers {
		if err := openBatch(t, other.Initializers[i], shapes[t.Name]); err != nil {
			return nil, err
		}
	}
	return g, nil
}

// openBatch compares a constant with its twin of another batch. In a shape the one side that
// differs becomes −1: whatever there is.
func openBatch(t, twin *onnx.Tensor, shape bool) error {
	if t.Name != twin.Name || !slices.Equal(t.Dims, twin.Dims) {
		return errors.Errorf("the constant %s depends on the size of the batch", t.Name)
	}
	if slices.Equal(t.Raw, twin.Raw) {
		return nil
	}
	a, errA := t.Ints()
	b, errB := twin.Ints()
	if !shape || errA != nil || errB != nil {
		return errors.Errorf("the constant %s depends on the size of the batch", t.Name)
	}
	open := 0
	for i := range a {
		if a[i] != b[i] {
			a[i] = -1
			open++
		}
	}
	if open != 1 {
		return errors.Errorf("%d sides of the shape %s depend on the size of the batch, want one", open, t.Name)
	}
	t.Raw = onnx.IntTensor("", t.Dims, a...).Raw
	return nil
}

// Names of a file's input and output.
const (
	onnxInput  = "input"
	onnxOutput = "output"
)

// onnxGraphOf writes the graph for a batch.
func (n *Network) onnxGraphOf(batch int) (*onnx.Graph, error) {
	b := n.builder(BuildOptions{Keep: true}, false) // Keep: layers in their order
	x := G.NewTensor(b.graph, n.dtype, len(n.input)+1, G.WithShape(n.batch(batch)...), G.WithName(inputName))
	y, err := n.expand(b, x)
	if err != nil {
		return nil, err
	}
	nodes := b.graph.AllNodes()
	scope, layers := make([]string, len(nodes)), make([]Layer, len(nodes))
	for _, c := range b.calls {
		for k := c.from; k < c.to; k++ {
			scope[k], layers[k] = c.path, c.layer
		}
	}
	names := []string{onnxInput, onnxOutput}
	for _, p := range n.params {
		names = append(names, p.Name)
		if p.Name == onnxInput || p.Name == onnxOutput {
			return nil, errors.Errorf("a weight is called %s, as the network's own value in the file", p.Name)
		}
	}
	w := onnx.NewBuilder(onnxType(n.dtype), names...)
	operands := map[*G.Node]onnx.Operand{}
	for _, p := range b.order {
		operands[b.nodes[p]] = onnx.Operand{Name: p.Name, Shape: p.Value.Shape()}
	}
	operands[x] = onnx.Operand{Name: onnxInput, Shape: x.Shape()}
	needed := reachedFrom(y)
	for k, node := range nodes {
		if _, there := operands[node]; there || !needed[node] {
			continue
		}
		w.Scope = scope[k]
		if operands[node], err = onnxOperand(w, node, operands); err != nil {
			return nil, errors.Wrap(err, scope[k])
		}
		if norm := w.Producer(operands[node].Name); norm != nil && norm.Op == "BatchNormalization" {
			// For what trains the file further.
			if l, ok := layers[k].(interface{ momentum() float64 }); ok {
				norm.Attrs = append(norm.Attrs, onnx.With("momentum", 1-l.momentum())...)
			}
		}
	}
	w.Scope = ""
	out := operands[y].Name
	if w.Producer(out) == nil { // the input, or a weight
		out = w.Add("Identity", nil, out)
	}
	if err := w.Rename(out, onnxOutput); err != nil {
		return nil, err
	}
	w.Graph.Name = n.options.Name
	if w.Graph.Name == "" {
		w.Graph.Name = "network"
	}
	w.Graph.Inputs = []onnx.Value{onnxValue(onnxInput, w.Of, n.input)}
	w.Graph.Outputs = []onnx.Value{onnxValue(onnxOutput, w.Of, n.output)}
	return w.Graph, nil
}

func onnxValue(name string, of onnx.DataType, sample tensor.Shape) onnx.Value {
	v := onnx.Value{Name: name, Type: of, Known: true, Dims: []onnx.Dim{{Size: -1, Param: "N"}}}
	for _, side := range sample {
		v.Dims = append(v.Dims, onnx.Dim{Size: int64(side)})
	}
	return v
}

// onnxOperand writes a node: an op of this project's, or a constant.
func onnxOperand(w *onnx.Builder, n *G.Node, operands map[*G.Node]onnx.Operand) (onnx.Operand, error) {
	children := operandsOf(n)
	if op, ok := n.Op().(interface {
		ONNX(b *onnx.Builder, in []onnx.Operand) (onnx.Operand, error)
	}); ok {
		in := make([]onnx.Operand, len(children))
		for i, c := range children {
			in[i] = operands[c]
		}
		y, err := op.ONNX(w, in)
		y.Shape = n.Shape()
		return y, err
	}
	if len(children) > 0 {
		return onnx.Operand{}, errors.Errorf("the op %v is not one of this project's, and has no counterpart in ONNX", n.Op())
	}
	name := ""
	if n.Value() != nil {
		switch v := n.Value().Data().(type) {
		case []float32:
			wide := make([]float64, len(v))
			for i, x := range v {
				wide[i] = float64(x)
			}
			name = w.Floats(wide, n.Shape()...)
		case []float64:
			name = w.Floats(v, n.Shape()...)
		case float32:
			name = w.Number(float64(v))
		case float64:
			name = w.Number(v)
		}
	}
	if name == "" {
		return onnx.Operand{}, errors.Errorf("the leaf %v has no value of floats, and is no weight", n)
	}
	return onnx.Operand{Name: name, Shape: n.Shape()}, nil
}
