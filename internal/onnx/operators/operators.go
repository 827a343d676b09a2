// Package operators gives the operators of ONNX their meaning: each is made of ops. It is the one
// table from operators to ops; the method ONNX of the ops is the way back.
//
// It covers the operators of opsets 7 to 28 that networks for images are made of. Where an
// attribute became an input in a later opset, either is taken. An operator, an attribute or a value
// of one that is not known is an error that names it, never left out.
package operators

import (
	"slices"

	"github.com/pkg/errors"
	G "gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/convgrad/convgrad/internal/onnx"
)

// The versions of ONNX's operators that are known.
const (
	FirstOpset = 7
	LastOpset  = 28
)

// A Value is what a name of a graph stands for: a node, or a constant, which is known when the
// graph is built.
type Value struct {
	Node  *G.Node
	Const *Constant
	// Weight is the initializer that Const comes from, if there is one and nothing was done to it.
	Weight *onnx.Tensor
}

// given reports whether there is a value: an operand may be left out.
func (v Value) given() bool { return v.Node != nil || v.Const != nil || v.Weight != nil }

// shape is the value's shape.
func (v Value) shape() tensor.Shape {
	switch {
	case v.Node != nil:
		return v.Node.Shape()
	case v.Weight != nil:
		return v.Weight.Dims
	}
	return v.Const.Dims
}

// An Env is the graph of nodes that operators are added to.
type Env struct {
	Graph *G.ExprGraph
	Of    tensor.Dtype // of all floats
	Opset int64
	// FixedBatch is the batch that a file was written for, or 0 if it leaves it open. A Reshape to
	// a shape that begins with it means whatever batch there is.
	FixedBatch int

	// Weight makes the node of an initializer. nil makes leaves.
	Weight func(t *onnx.Tensor) (*G.Node, error)
	// BatchNorm makes the node of a batch norm by running statistics. nil evaluates.
	BatchNorm func(x *G.Node, scale, bias, mean, variance Value, eps, momentum float64) (*G.Node, error)
	// Dropout drops. nil evaluates: it drops nothing.
	Dropout func(x *G.Node, p float64) (*G.Node, error)
	// Around is called with each node in the place of apply, which it calls. nil calls apply.
	Around func(n *onnx.Node, in []Value, apply func() ([]Value, error)) ([]Value, error)

	leaves int
}

// CheckOpset returns an error unless the version of the operators is known.
func CheckOpset(version int64) error {
	if version < FirstOpset || version > LastOpset {
		return errors.Errorf("the opset is %d, want %d to %d", version, FirstOpset, LastOpset)
	}
	return nil
}

// Run adds to values what the graph's nodes give, as far as wanted needs it. values has the inputs.
// Initializers and nodes must not give a name that is there already.
func (e *Env) Run(g *onnx.Graph, values map[string]Value, wanted ...string) error {
	if err := CheckOpset(e.Opset); err != nil {
		return err
	}
	for _, t := range g.Initializers {
		if _, twice := values[t.Name]; twice || t.Name == "" {
			return errors.Errorf("the initializer %.200q has no name, or one that is given twice", t.Name)
		}
		values[t.Name] = Value{Weight: t}
	}
	needed := needed(g, wanted)
	for i, n := range g.Nodes {
		if !needed[i] {
			continue
		}
		in := make([]Value, len(n.Inputs))
		for k, name := range n.Inputs {
			v, ok := values[name]
			if !ok && name != "" {
				return errors.Errorf("%v: it takes %.200q, which nothing before it gives", n, name)
			}
			in[k] = v
		}
		apply := func() ([]Value, error) { return e.Apply(n, in) }
		if e.Around != nil {
			inner := apply
			apply = func() ([]Value, error) { return e.Around(n, in, inner) }
		}
		out, err := apply()
		if err != nil {
			return errors.Wrapf(err, "%v", n)
		}
		for k, name := range n.Outputs {
			if name == "" {
				continue
			}
			if _, twice := values[name]; twice {
				return errors.Errorf("%v: it gives %.200q, which is there already", n, name)
			}
			if k < len(out) && out[k].given() {
				values[name] = out[k]
			}
		}
	}
	for _, name := range wanted {
		if !values[name].given() {
			return errors.Errorf("no node gives %.200q", name)
		}
	}
	return nil
}

// needed marks the nodes that the wanted values depend on.
func needed(g *onnx.Graph, wanted []string) []bool {
	marks, want := make([]bool, len(g.Nodes)), map[string]bool{}
	for _, name := range wanted {
		want[name] = true
	}
	for i, n := range slices.Backward(g.Nodes) {
		if !slices.ContainsFunc(n.Outputs, func(name string) bool { return name != "" && want[name] }) {
			continue
		}
		marks[i] = true
		for _, name := range n.Inputs {
			want[name] = true
		}
	}
	return marks
}

// Apply adds one operator. Its error does not name the node.
func (e *Env) Apply(n *onnx.Node, in []Value) (out []Value, err error) {
	if n.Domain != "" {
		return nil, errors.Errorf("the operators of the domain %.100q are not supported", n.Domain)
	}
	make, ok := table[n.Op]
	if !ok {
		return nil, errors.Errorf("the operator %.100s is not supported", n.Op)
	}
	c := &call{env: e, node: n, in: in, read: map[string]bool{}}
	out, done, err := c.fold()
	if !done {
		out, err = make(c)
	}
	switch {
	case c.err != nil: // of an attribute, and before whatever came of it
		return nil, c.err
	case err != nil:
		return nil, err
	}
	for _, a := range n.Attrs {
		if !c.read[a.Name] {
			return nil, errors.Errorf("the attribute %.100q is not known", a.Name)
		}
	}
	for i, name := range n.Outputs {
		if name != "" && (i >= len(out) || !out[i].given()) {
			return nil, errors.Errorf("its output %d, %.200q, is not supported", i, name)
		}
	}
	return out, nil
}

// Supported lists the operators that are known.
func Supported() []string {
	var names []string
	for name := range table {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// An operator makes the values of a call.
type operator func(c *call) ([]Value, error)

var table map[string]operator

func init() {
	table = map[string]operator{}
	for _, part := range []map[string]operator{elementwise, products, windows, normalisations, shapes, constants} {
		for name, f := range part {
			table[name] = f
		}
	}
}

// one wraps what most operators make.
func one(y *G.Node, err error) ([]Value, error) {
	if err != nil {
		return nil, err
	}
	return []Value{{Node: y}}, nil
}

// A call is a node with its operands. It keeps the first error of its attributes.
type call struct {
	env  *Env
	node *onnx.Node
	in   []Value
	read map[string]bool
	err  error
}

func (c *call) fail(err error) {
	if c.err == nil {
		c.err = err
	}
}

// has reports whether operand i is there.
func (c *call) has(i int) bool { return i < len(c.in) && c.in[i].given() }

// operands returns an error unless there are so many operands.
func (c *call) operands(least, most int) error {
	if len(c.in) < least || len(c.in) > most {
		return errors.Errorf("it has %d operands, want %d to %d", len(c.in), least, most)
	}
	for i := range least {
		if !c.has(i) {
			return errors.Errorf("operand %d is left out", i)
		}
	}
	return nil
}

// x is operand i as a node.
func (c *call) x(i int) (*G.Node, error) {
	if !c.has(i) {
		return nil, errors.Errorf("operand %d is left out", i)
	}
	n, err := c.env.Value(c.in[i])
	return n, errors.Wrapf(err, "operand %d", i)
}

// two is the operands of an operator of exactly two, as nodes.
func (c *call) two() (a, b *G.Node, err error) {
	if err := c.operands(2, 2); err != nil {
		return nil, nil, err
	}
	if a, err = c.x(0); err != nil {
		return nil, nil, err
	}
	b, err = c.x(1)
	return a, b, err
}

// optional is operand i as a node, or nil.
func (c *call) optional(i int) (*G.Node, error) {
	if !c.has(i) {
		return nil, nil
	}
	return c.x(i)
}

// Value is a value as a node: that of a weight, or a leaf for any other constant.
func (e *Env) Value(v Value) (*G.Node, error) {
	switch {
	case v.Node != nil:
		return v.Node, nil
	case v.Weight != nil && e.Weight != nil:
		return e.Weight(v.Weight)
	}
	k, err := v.constant()
	if err != nil {
		return nil, err
	}
	return e.leaf(k)
}

// constant is operand i, which has to be known when the graph is built.
func (c *call) constant(i int, what string) (*Constant, error) {
	if !c.has(i) {
		return nil, errors.Errorf("%s, operand %d, is left out", what, i)
	}
	k, err := c.in[i].constant()
	return k, errors.Wrapf(err, "%s, operand %d", what, i)
}

func (v Value) constant() (*Constant, error) {
	switch {
	case v.Const != nil:
		return v.Const, nil
	case v.Weight != nil:
		return constantOf(v.Weight)
	}
	return nil, errors.New("it depends on the network's input, want a constant")
}

// attr is the attribute of that name if it is there, and of that type.
func (c *call) attr(name string, of onnx.AttrType) *onnx.Attribute {
	a := c.node.Attr(name)
	c.read[name] = true
	if a != nil && a.Type != of {
		c.fail(errors.Errorf("the attribute %s is %v, want %v", name, a.Type, of))
		return nil
	}
	return a
}

func (c *call) integer(name string, fallback int64) int64 {
	if a := c.attr(name, onnx.AttrInt); a != nil {
		return a.Int
	}
	return fallback
}

// flag is an integer that is 0 or 1.
func (c *call) flag(name string, fallback bool) bool {
	a := c.attr(name, onnx.AttrInt)
	if a == nil {
		return fallback
	}
	if a.Int != 0 && a.Int != 1 {
		c.fail(errors.Errorf("the attribute %s is %d, want 0 or 1", name, a.Int))
	}
	return a.Int == 1
}

func (c *call) float(name string, fallback float64) float64 {
	if a := c.attr(name, onnx.AttrFloat); a != nil {
		return decimal(a.Float)
	}
	return fallback
}

func (c *call) text(name, fallback string) string {
	if a := c.attr(name, onnx.AttrString); a != nil {
		return a.String
	}
	return fallback
}

// integers is a list, or nil if it is not there.
func (c *call) integers(name string) []int {
	a := c.attr(name, onnx.AttrInts)
	if a == nil {
		return nil
	}
	return c.small(name, a.Ints)
}

// far bounds sizes and places on axes.
const far = 1 << 31

// small is a list of numbers that are small enough for sizes. What is larger, as the end of a Slice
// may be, is cut.
func (c *call) small(what string, v []int64) []int {
	list := make([]int, len(v))
	for i, n := range v {
		list[i] = int(min(max(n, -far), far))
	}
	return list
}

// list is a list of numbers that is an attribute in old opsets and operand i in new ones, or nil if
// it is not there.
func (c *call) list(name string, i int) []int {
	if a := c.integers(name); a != nil || c.err != nil {
		return a
	}
	if !c.has(i) {
		return nil
	}
	k, err := c.constant(i, name)
	if err != nil {
		c.fail(err)
		return nil
	}
	v, err := k.integers()
	if err != nil {
		c.fail(errors.Wrap(err, name))
		return nil
	}
	if len(k.Dims) > 1 {
		c.fail(errors.Errorf("%s has shape %v, want a list", name, k.Dims))
		return nil
	}
	list := c.small(name, v)
	if list == nil {
		list = []int{}
	}
	return list
}

// axis counts from the front.
func (c *call) axis(axis int64, rank int) (int, error) {
	if axis < -int64(rank) || axis >= int64(rank) {
		return 0, errors.Errorf("the axis is %d, want %d to %d", axis, -rank, rank-1)
	}
	return int((axis + int64(rank)) % int64(max(rank, 1))), nil
}

// axes are different axes, counted from the front.
func (c *call) axes(list []int, rank int) ([]int, error) {
	seen, to := map[int]bool{}, make([]int, len(list))
	for i, a := range list {
		axis, err := c.axis(int64(a), rank)
		if err != nil {
			return nil, err
		}
		if seen[axis] {
			return nil, errors.Errorf("the axis %d occurs twice in %v", axis, list)
		}
		to[i], seen[axis] = axis, true
	}
	return to, nil
}
