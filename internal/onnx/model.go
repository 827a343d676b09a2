// Package onnx reads and writes files of ONNX (https://onnx.ai), which are messages of protobuf. It
// knows the fields that a network of tensors needs. What operators mean is not its affair: see
// internal/onnx/operators, and the method ONNX of the ops.
//
// Reading is bounded: numbers that a file holds as raw bytes stay where they are, as slices of the
// file, and all else takes memory in proportion to the file's bytes.
package onnx

import "fmt"

// Opset is the version of the operators that this project writes: the first with Gelu. IRVersion is
// the version of the file format that came with it.
const (
	Opset     = 20
	IRVersion = 9
)

// A Model is a file.
type Model struct {
	IRVersion int64
	Producer  string
	Opsets    map[string]int64 // versions of the operators by domain; "" is ONNX's own
	Metadata  map[string]string
	Graph     *Graph
}

// A Graph is a list of nodes, each of which takes values that stand before it by name.
type Graph struct {
	Name         string
	Nodes        []*Node
	Initializers []*Tensor
	Inputs       []Value // may name initializers too
	Outputs      []Value
}

// A Value describes an input or an output of a graph.
type Value struct {
	Name string
	Type DataType
	// Dims is the shape, if Known; nil is then a scalar's.
	Dims  []Dim
	Known bool
}

// A Dim is a side of a shape: a number, or a name for one that is not fixed.
type Dim struct {
	Size  int64 // −1 where it is not fixed
	Param string
}

func (d Dim) String() string {
	if d.Size < 0 {
		if d.Param == "" {
			return "?"
		}
		return d.Param
	}
	return fmt.Sprint(d.Size)
}

// A Node is an operator with its operands.
type Node struct {
	Name    string
	Op      string
	Domain  string // "" for ONNX's own
	Inputs  []string
	Outputs []string // "" for one that is not wanted
	Attrs   []Attribute
}

// String names the node in errors: its operator, and its name or what it gives.
func (n *Node) String() string {
	op := n.Op
	if n.Domain != "" {
		op = n.Domain + "." + op
	}
	switch {
	case n.Name != "":
		return fmt.Sprintf("%.100s %.200q", op, n.Name)
	case len(n.Outputs) > 0:
		return fmt.Sprintf("%.100s that gives %.200q", op, n.Outputs[0])
	}
	return fmt.Sprintf("%.100s", op)
}

// An AttrType says which field of an Attribute counts.
type AttrType int

// The types of attributes, by ONNX's numbers.
const (
	AttrFloat   AttrType = 1
	AttrInt     AttrType = 2
	AttrString  AttrType = 3
	AttrTensor  AttrType = 4
	AttrGraph   AttrType = 5
	AttrFloats  AttrType = 6
	AttrInts    AttrType = 7
	AttrStrings AttrType = 8
	attrLast    AttrType = 14
)

func (t AttrType) String() string {
	switch t {
	case AttrFloat:
		return "a float"
	case AttrInt:
		return "an integer"
	case AttrString:
		return "a string"
	case AttrTensor:
		return "a tensor"
	case AttrGraph:
		return "a graph"
	case AttrFloats:
		return "floats"
	case AttrInts:
		return "integers"
	case AttrStrings:
		return "strings"
	}
	return fmt.Sprintf("type %d", int(t))
}

// An Attribute is a parameter of an operator. Contents of other types than the fields' are left
// out.
type Attribute struct {
	Name    string
	Type    AttrType
	Float   float32
	Int     int64
	String  string
	Tensor  *Tensor
	Floats  []float32
	Ints    []int64
	Strings []string
}

// Attr is the attribute of that name, or nil.
func (n *Node) Attr(name string) *Attribute {
	for i := range n.Attrs {
		if n.Attrs[i].Name == name {
			return &n.Attrs[i]
		}
	}
	return nil
}
