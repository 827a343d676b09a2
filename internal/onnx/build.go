package onnx

import (
	"fmt"

	"github.com/pkg/errors"
)

// A Builder makes a graph, operator by operator.
type Builder struct {
	Graph *Graph
	Of    DataType // of floats
	// Scope stands before the names of nodes and of what they give.
	Scope string

	taken     map[string]bool
	producers map[string]*Node
}

// NewBuilder begins a graph whose values must not be called like one of the reserved names.
func NewBuilder(of DataType, reserved ...string) *Builder {
	b := &Builder{Graph: &Graph{}, Of: of, taken: map[string]bool{}, producers: map[string]*Node{}}
	for _, name := range reserved {
		b.taken[name] = true
	}
	return b
}

// An Operand is the value of a node of another graph, while that graph is written as one of ONNX.
type Operand struct {
	Name  string
	Shape []int
	// Kind and Of describe a value that has no name, since ONNX has no tensor for it: what it is,
	// and what it is made of.
	Kind string
	Of   []Operand
}

// unique is a name that no other value has.
func (b *Builder) unique(name string) string {
	if b.Scope != "" {
		name = b.Scope + "/" + name
	}
	to := name
	for i := 2; b.taken[to]; i++ {
		to = fmt.Sprintf("%s_%d", name, i)
	}
	b.taken[to] = true
	return to
}

// Add adds an operator with one result, and returns the name of that. "" is an operand that is left
// out.
func (b *Builder) Add(op string, attrs []Attribute, in ...string) string {
	name := b.unique(op)
	n := &Node{Name: name, Op: op, Inputs: in, Outputs: []string{name}, Attrs: attrs}
	b.Graph.Nodes = append(b.Graph.Nodes, n)
	b.producers[name] = n
	return name
}

// Producer is the node that gives a value, or nil.
func (b *Builder) Producer(name string) *Node { return b.producers[name] }

// Rename gives a value another name.
func (b *Builder) Rename(from, to string) error {
	n := b.producers[from]
	if n == nil || b.producers[to] != nil {
		return errors.Errorf("no node gives %q, or one gives %q already", from, to)
	}
	n.Outputs[0] = to
	delete(b.producers, from)
	b.producers[to] = n
	for _, n := range b.Graph.Nodes {
		for i, in := range n.Inputs {
			if in == from {
				n.Inputs[i] = to
			}
		}
	}
	return nil
}

// constant adds an initializer.
func (b *Builder) constant(t *Tensor) string {
	t.Name = b.unique("constant")
	b.Graph.Initializers = append(b.Graph.Initializers, t)
	return t.Name
}

// Ints adds a list of integers, such as a shape.
func (b *Builder) Ints(v ...int) string {
	long := make([]int64, len(v))
	for i, n := range v {
		long[i] = int64(n)
	}
	return b.constant(IntTensor("", []int{len(v)}, long...))
}

// Floats adds a tensor of floats; no dims make a scalar. A tensor is what a node Constant gives,
// since an initializer would be taken for a weight.
func (b *Builder) Floats(v []float64, dims ...int) string {
	t := FloatTensor("", dims, v)
	if b.Of != Double {
		single := make([]float32, len(v))
		for i, x := range v {
			single[i] = float32(x)
		}
		t = FloatTensor("", dims, single)
	}
	if len(dims) == 0 {
		return b.constant(t)
	}
	return b.Add("Constant", []Attribute{{Name: "value", Type: AttrTensor, Tensor: t}})
}

// Number adds a scalar.
func (b *Builder) Number(v float64) string { return b.Floats([]float64{v}) }

// With makes attributes of names and values, in turns: an int, a float64, a string or a list of
// ints.
func With(pairs ...any) []Attribute {
	var attrs []Attribute
	for i := 0; i+1 < len(pairs); i += 2 {
		a := Attribute{Name: pairs[i].(string)}
		switch v := pairs[i+1].(type) {
		case int:
			a.Type, a.Int = AttrInt, int64(v)
		case float64:
			a.Type, a.Float = AttrFloat, float32(v)
		case string:
			a.Type, a.String = AttrString, v
		case []int:
			a.Type = AttrInts
			for _, n := range v {
				a.Ints = append(a.Ints, int64(n))
			}
		}
		attrs = append(attrs, a)
	}
	return attrs
}
