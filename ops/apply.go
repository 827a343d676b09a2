package ops

import (
	"fmt"
	"hash"
	"reflect"
	"slices"
	"sync"

	"github.com/pkg/errors"
	G "gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// An Op is an op: a comparable value whose fields are its parameters. It holds no state: its result
// depends on its fields and operands alone. Apply makes a node of it, which has derivatives of
// every order, works under every machine, and computes into memory that the executor hands it.
//
// An Op may also implement Namer, Typer, InPlacer, Fuser and Coster.
type Op interface {
	// Infer returns the result's shape for operands of these shapes. Its error says which operand
	// is wrong, what it is and what is wanted. The result may be one of the shapes; it must not
	// change them.
	Infer(in []tensor.Shape) (tensor.Shape, error)
	// Compute computes the whole result, whose memory holds arbitrary numbers, from the operands,
	// which it must not change. Types and shapes have been checked.
	Compute(c *Call) error
	// Rule returns the cotangent of each operand, as nodes made of the operands, the result y and
	// its cotangent dy. A nil stands for no derivative, as of labels; it may not depend on values.
	// Grad takes it for zero: for a derivative that is not written, return an error.
	// Rule must call constructors of graphs only; it is also run on nodes without values.
	Rule(in []*G.Node, y, dy *G.Node) ([]*G.Node, error)
}

// A Namer is an Op that says what it and its operands are called in errors and drawings. Without it
// the name is that of the type.
type Namer interface {
	// Name returns the op's name and those of its n operands.
	Name(n int) (op string, operands []string)
}

// A Typer is an Op that takes other operands than floats of one type, or gives another type.
type Typer interface {
	// Types returns the result's type for operands of these types, or an error.
	Types(in []tensor.Dtype) (tensor.Dtype, error)
}

// An InPlacer is an Op whose result may be written over one of its operands, because each element
// depends on the elements of the same index alone.
type InPlacer interface {
	// InPlace returns the operand's index, or −1.
	InPlace() int
}

// A Fuser is an Op that can compute an op that follows it in the same pass.
type Fuser interface {
	// Fuse returns the op that computes next of the result, which is next's operand at. Its
	// operands are those of the first op, followed by next's others. The executor uses it where
	// nothing else needs the first result.
	Fuse(next Op, at int) (Op, bool)
}

// A Coster is an Op that knows its number of multiply-adds.
type Coster interface {
	MACs(in []tensor.Shape) int64
}

// Float is the types that ops compute in.
type Float interface{ float32 | float64 }

// Apply returns the node of o applied to the operands. Optional operands at the end are left out.
//
// It returns an error that names the op if an operand is nil, of no graph or another graph, or of
// an unknown shape; if the types are not those of Types (without it: floats of one type); if Infer
// returns one; or if a field of O is a pointer, slice, map, channel, function or interface, which
// could hold state and would hash by address.
func Apply[O interface {
	comparable
	Op
}](o O, in ...*G.Node) (*G.Node, error) {
	return applyOp(o, in)
}

// applyOp is Apply for an op whose type is known when it runs.
func applyOp(o Op, in []*G.Node) (_ *G.Node, err error) {
	name, operands := names(o, len(in))
	defer func() { // Infer, Types and Name are the user's
		if r := recover(); r != nil {
			err = errors.Errorf("ops: %s: internal error: %v", name, r)
		}
	}()
	in = slices.Clone(in) // the caller may write to its slice afterwards
	if err := stateless(o); err != nil {
		return nil, errors.Wrapf(err, "ops: %s", name)
	}
	if len(in) == 0 {
		return nil, errors.Errorf("ops: %s: got no operands, want at least one", name)
	}
	s := &signature{name: name}
	var dtypes []tensor.Dtype
	for i, n := range in {
		if err := known(name, operands[i], n, in[0], operands[0]); err != nil {
			return nil, err
		}
		of, err := dtypeOf(n)
		if err != nil {
			return nil, errors.Wrapf(err, "ops: %s: %s", name, operands[i])
		}
		a := arg{name: operands[i], rank: n.Dims()}
		if of != tensor.Float32 && of != tensor.Float64 {
			a.of = of
		} else {
			s.float = of
		}
		s.args = append(s.args, a)
		dtypes = append(dtypes, of)
		s.in = append(s.in, n.Shape().Clone())
	}
	to, err := typesOf(o, operands, dtypes)
	if err != nil {
		return nil, errors.Wrapf(err, "ops: %s", name)
	}
	shape, err := o.Infer(s.in)
	if err != nil {
		return nil, errors.Wrapf(err, "ops: %s", name)
	}
	s.out = shape.Clone()
	s.res = arg{name: "y", rank: len(shape)}
	if to != tensor.Float32 && to != tensor.Float64 {
		s.res.of = to
	} else if s.float.Type == nil {
		s.res.of, s.float = to, to // of integers alone: a type of its own
	}
	return node(applied{o, s}, in...)
}

// names are what the op and its n operands are called.
func names(o Op, n int) (name string, operands []string) {
	if o == nil {
		return "Apply", make([]string, n)
	}
	t := reflect.TypeOf(o)
	name = t.Name()
	if named, ok := o.(Namer); ok {
		name, operands = named.Name(n)
	}
	for i := len(operands); i < n; i++ {
		operands = append(operands, fmt.Sprintf("operand %d", i))
	}
	return name, operands[:n]
}

// typesOf is the type of the result. Without Types, operands are floats of one type.
func typesOf(o Op, operands []string, in []tensor.Dtype) (tensor.Dtype, error) {
	if t, ok := o.(Typer); ok {
		return t.Types(in)
	}
	var float tensor.Dtype
	for i, of := range in {
		var err error
		if float, err = (arg{name: operands[i]}).typed(of, float); err != nil {
			return float, err
		}
	}
	return float, nil
}

// FloatAndIntegers is Types for ops whose operands are floats of one type but those at the indices,
// which are Int, Int32 or Int64. It returns the floats' type.
func floatAndIntegers(operands []string, in []tensor.Dtype, integer ...int) (tensor.Dtype, error) {
	var float tensor.Dtype
	for i, of := range in {
		if slices.Contains(integer, i) {
			if of != tensor.Int && of != tensor.Int32 && of != tensor.Int64 {
				return float, errors.Errorf("%s has elements of type %v, want int, int32 or int64", operands[i], of)
			}
			continue
		}
		var err error
		if float, err = (arg{name: operands[i]}).typed(of, float); err != nil {
			return float, err
		}
	}
	return float, nil
}

// stateless refuses ops with fields that could hold state.
func stateless(o Op) error {
	if o == nil {
		return errors.New("the op is nil")
	}
	t := reflect.TypeOf(o)
	if err, ok := plainTypes.Load(t); ok {
		err, _ := err.(error)
		return err
	}
	err := plainType(t, t.String())
	plainTypes.Store(t, err)
	return err
}

var plainTypes sync.Map // from reflect.Type to error or nil

func plainType(t reflect.Type, path string) error {
	switch t.Kind() {
	case reflect.Struct:
		for i := range t.NumField() {
			if err := plainType(t.Field(i).Type, path+"."+t.Field(i).Name); err != nil {
				return err
			}
		}
	case reflect.Array:
		return plainType(t.Elem(), path+"[]")
	case reflect.Pointer, reflect.Slice, reflect.Map, reflect.Chan, reflect.Func, reflect.Interface, reflect.UnsafePointer:
		return errors.Errorf("%s is a %v: want numbers, strings, flags, arrays and structs of them", path, t.Kind())
	}
	return nil
}

// A signature is what an applied op knows of its operands.
type signature struct {
	name  string
	args  []arg
	res   arg
	float tensor.Dtype // of the operands that are floats
	in    []tensor.Shape
	out   tensor.Shape

	once sync.Once
	rule []*term
	err  error
}

// applied is an Op as a spec, for operands of the shapes that it was applied to.
type applied struct {
	Op
	*signature
}

func (o applied) name() string { return o.signature.name }
func (o applied) args() []arg  { return o.signature.args }
func (o applied) result() arg  { return o.res }

func (o applied) infer(in []tensor.Shape) (tensor.Shape, error) {
	for i, s := range in {
		if err := want(o.signature.args[i].name, s, o.in[i]...); err != nil {
			return nil, err
		}
	}
	return o.out, nil
}

func (o applied) exec(c *Call) error { return o.Compute(c) }

func (o applied) writeHash(h hash.Hash) {
	t := reflect.TypeOf(o.Op)
	fmt.Fprintf(h, "convgrad|%s|%s|%#v|%v|%v|%v|%v", t.PkgPath(), t, o.Op, o.float, o.in, o.signature.args, o.res)
}

func (o applied) rule() []*term {
	rule, _ := o.terms()
	return rule
}

// terms is Rule as terms. They are worked out once, on a graph without values.
func (o applied) terms() ([]*term, error) {
	o.once.Do(func() { o.signature.rule, o.err = o.compile() })
	return o.signature.rule, o.err
}

func (o applied) compile() (rule []*term, err error) {
	rule = make([]*term, len(o.in))
	if o.res.integer() {
		return rule, nil
	}
	defer func() {
		if r := recover(); r != nil {
			rule, err = make([]*term, len(o.in)), errors.Errorf("the rule panicked: %v", r)
		}
	}()
	g := G.NewGraph()
	known := map[*G.Node]*term{}
	leaf := func(name string, a arg, shape tensor.Shape, t *term) *G.Node {
		of := o.float
		if a.integer() {
			of = a.of
		}
		n := newLeaf(g, name, of, shape)
		known[n] = t
		return n
	}
	var nodes []*G.Node
	for i, a := range o.signature.args {
		nodes = append(nodes, leaf(fmt.Sprintf("%d, %s", i, a.name), a, o.in[i], in(i)))
	}
	y := leaf("the result", o.res, o.out, out())
	dy := leaf("the cotangent", o.res, o.out, cotangent())
	grads, err := o.Rule(slices.Clone(nodes), y, dy)
	if err != nil {
		return make([]*term, len(o.in)), errors.Wrap(err, "the rule")
	}
	if len(grads) != len(nodes) {
		return make([]*term, len(o.in)), errors.Errorf("the rule has %d results, want one for each of %d operands", len(grads), len(nodes))
	}
	for i, n := range grads {
		if n == nil || o.signature.args[i].integer() {
			continue
		}
		if n.Graph() != g {
			return make([]*term, len(o.in)), errors.Errorf("the rule's node for %s is of another graph than the operands", o.signature.args[i].name)
		}
		if !slices.Equal(n.Shape(), o.in[i]) {
			return make([]*term, len(o.in)), errors.Errorf("the rule's node for %s has shape %v, want %v like the operand",
				o.signature.args[i].name, n.Shape(), o.in[i])
		}
		if rule[i], err = termOf(g, n, known); err != nil {
			return make([]*term, len(o.in)), err
		}
	}
	return rule, nil
}

// termOf turns a node of a rule into a term.
func termOf(g *G.ExprGraph, n *G.Node, known map[*G.Node]*term) (*term, error) {
	if t, ok := known[n]; ok {
		return t, nil
	}
	t := &term{}
	switch o := n.Op().(type) {
	case nil:
		return nil, errors.Errorf("the rule has a leaf of its own, %q: want constants in its place", n.Name())
	case op:
		t.spec = o.spec
	default:
		if n.Value() != nil && len(childrenOf(n)) == 0 { // a constant
			t.kind, t.value = constantTerm, n.Value()
		}
		t.other = o
	}
	known[n] = t
	for _, c := range childrenOf(n) {
		a, err := termOf(g, c, known)
		if err != nil {
			return nil, err
		}
		t.args = append(t.args, a)
	}
	return t, nil
}

// childrenOf are the operands of a node, in order.
func childrenOf(n *G.Node) []*G.Node {
	it := n.Graph().From(n.ID())
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

// newLeaf is an input node of any rank.
func newLeaf(g *G.ExprGraph, name string, of tensor.Dtype, shape tensor.Shape) *G.Node {
	if len(shape) == 0 {
		return G.NewScalar(g, of, G.WithName(name))
	}
	return G.NewTensor(g, of, len(shape), G.WithShape(shape...), G.WithName(name))
}

// constantNode is a constant of a graph.
func constantNode(g *G.ExprGraph, v G.Value) (*G.Node, error) {
	var n *G.Node
	switch s := v.(type) {
	case *tensor.Dense:
		n = G.NewConstant(s)
	default:
		n = G.NewConstant(v.Data())
	}
	return g.AddNode(n), nil
}

// arrange knows the sum, difference, product and quotient of images of one shape.
func (o applied) arrange(_ tensor.Dtype, in []bool, out bool) (spec, bool) {
	_, ok := o.Op.(binaryOp)
	return o, ok && everywhere(in, out) && slices.Equal(o.in[0], o.in[1])
}

// fuse asks the Op for the op of both.
func (o applied) fuse(next spec, at int) (spec, bool) {
	f, ok := o.Op.(Fuser)
	if !ok {
		return nil, false
	}
	n, ok := next.(applied)
	if !ok || at < 0 || at >= len(n.in) {
		return nil, false
	}
	both, ok := f.Fuse(n.Op, at)
	if !ok {
		return nil, false
	}
	s := &signature{args: slices.Clone(o.signature.args), res: n.res, float: o.float, in: slices.Clone(o.in), out: n.out}
	for i := range n.in {
		if i != at {
			s.args, s.in = append(s.args, n.signature.args[i]), append(s.in, n.in[i])
		}
	}
	s.name, _ = names(both, len(s.in))
	return applied{both, s}, true
}

// In is the elements of operand i, row-major. They must not be changed. It is nil if they are of
// another type than T.
func In[T Float | int32 | int64 | int](c *Call, i int) []T {
	v, _ := c.in[i].data.([]T)
	return v
}

// Out is the memory of the result, row-major, with arbitrary contents. It is nil if its elements
// are of another type than T.
func Out[T Float | int32 | int64 | int](c *Call) []T {
	v, _ := c.dst.data.([]T)
	return v
}

// Operands is the number of operands.
func (c *Call) Operands() int { return len(c.in) }

// Shape is the shape of operand i, which must not be changed.
func (c *Call) Shape(i int) tensor.Shape { return c.in[i].shape }

// Result is the shape of the result, which must not be changed.
func (c *Call) Result() tensor.Shape { return c.dst.shape }

// Ints is the elements of operand i, integers of any type.
func (c *Call) Ints(i int) []int {
	switch v := c.in[i].data.(type) {
	case []int:
		return v
	case []int32:
		return widened(v)
	case []int64:
		return widened(v)
	}
	return nil
}

func widened[T int32 | int64](v []T) []int {
	w := make([]int, len(v))
	for i, x := range v {
		w[i] = int(x)
	}
	return w
}

// ByType calls f32 or f64 by the type of the floats that c computes in.
func ByType[O any](o O, c *Call, f32, f64 func(o O, c *Call) error) error {
	if c.double() {
		return f64(o, c)
	}
	return f32(o, c)
}
