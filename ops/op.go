package ops

import (
	"fmt"
	"hash"
	"hash/fnv"
	"slices"

	"github.com/chewxy/hm"
	"github.com/pkg/errors"
	G "gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/convgrad/convgrad/internal/kernel"
)

// A spec is an op as the machinery below sees it: a comparable value without state. Its result
// depends on its fields and its operands alone.
type spec interface {
	// name is what errors and drawings call the op.
	name() string
	// args describes the operands and result the result.
	args() []arg
	result() arg
	// infer checks the operands' shapes, whose ranks are right already, and returns the result's,
	// which may be one of them. Its error says argument, got and wanted.
	infer(in []tensor.Shape) (tensor.Shape, error)
	// exec computes the whole of c.dst, whose contents are arbitrary, from c.in. Types and shapes
	// have been checked.
	exec(c *Call) error
	// rule is the derivative: for each operand the cotangent that it gets, as an expression, or nil
	// where there is none. A spec may be asked for its rule only when all its fields are final; the
	// expressions are made anew at each call.
	rule() []*term
}

// An arg describes an operand or a result.
type arg struct {
	name string
	rank int
	// of integers; the zero Dtype stands for float32 or float64, the same for all operands
	of tensor.Dtype
}

func (a arg) integer() bool { return a.of.Type != nil }

// hmType is rebuilt at every call: hm keeps types in a pool, and one that is cached corrupts it.
func (a arg) hmType() hm.Type {
	of := hm.Type(hm.TypeVariable('a'))
	if a.integer() {
		of = a.of
	}
	if a.rank == 0 {
		return of
	}
	return G.TensorType{Dims: a.rank, Of: of}
}

// A term is an expression of a derivative rule. SymDiff turns it into nodes and DoDiff into values,
// so the two cannot disagree.
type term struct {
	kind  termKind
	i     int // of an input
	spec  spec
	other G.Op    // in the place of spec: an op of Gorgonia's
	value G.Value // of a constant
	args  []*term
}

// node is the term as a node.
func (t *term) node(children []*G.Node) (*G.Node, error) {
	if t.other != nil {
		return G.ApplyOp(t.other, children...)
	}
	return node(t.spec, children...)
}

// do is the term as a value.
func (t *term) do(vs []G.Value) (G.Value, error) {
	if t.other != nil {
		return t.other.Do(vs...)
	}
	return op{t.spec}.Do(vs...)
}

// terms is the op's rule.
func (o op) terms() ([]*term, error) {
	if a, ok := o.spec.(applied); ok {
		return a.terms()
	}
	return o.rule(), nil
}

// inner is the spec, or the op of the public interface in it.
func (o op) inner() any {
	if a, ok := o.spec.(applied); ok {
		return a.Op
	}
	return o.spec
}

type termKind int

const (
	appliedTerm termKind = iota
	inputTerm
	outputTerm
	cotangentTerm
	constantTerm
)

func in(i int) *term                    { return &term{kind: inputTerm, i: i} }
func out() *term                        { return &term{kind: outputTerm} }
func cotangent() *term                  { return &term{kind: cotangentTerm} }
func apply(s spec, args ...*term) *term { return &term{spec: s, args: args} }

// An op makes a Gorgonia op of a spec. Both machines call Do; the executor of ops/vm calls
// UsePreallocDo.
type op struct{ spec }

var (
	_ G.SDOp            = op{}
	_ G.ADOp            = op{}
	_ G.UsePreallocDoer = op{}
)

// node applies a spec to nodes. Shapes are checked here, since Gorgonia wraps that error in one of
// its own.
func node(s spec, children ...*G.Node) (*G.Node, error) {
	shapes := make([]tensor.Shape, len(children))
	for i, c := range children {
		shapes[i] = c.Shape()
	}
	if _, err := (op{s}).shape(s.args(), shapes); err != nil {
		return nil, errors.Wrapf(err, "ops: %s", s.name())
	}
	n, err := G.ApplyOp(op{s}, children...)
	if err != nil {
		return nil, errors.Wrapf(err, "ops: %s", s.name())
	}
	return n, nil
}

func (o op) Arity() int { return len(o.args()) }

func (o op) Type() hm.Type {
	args := o.args()
	ts := make([]hm.Type, 0, len(args)+1)
	for _, a := range args {
		ts = append(ts, a.hmType())
	}
	return hm.NewFnType(append(ts, o.result().hmType())...)
}

// The flags under which TapeMachine calls Do, gives no memory of its own, and overwrites no
// operand.
func (o op) ReturnsPtr() bool     { return false }
func (o op) CallsExtern() bool    { return false }
func (o op) OverwritesInput() int { return -1 }

// Preallocated marks the op as one that computes into memory it is handed: see ops/vm.
func (o op) Preallocated() {}

// InPlace tells ops/vm which operand's memory the result may be written over, if there is one.
func (o op) InPlace() int {
	if p, ok := o.inner().(InPlacer); ok {
		return p.InPlace()
	}
	return -1
}

// View tells ops/vm that the result is the operand's elements under another shape.
func (o op) View() bool {
	_, ok := o.spec.(reshape)
	return ok
}

// A pairer is a spec that can be computed in one pass with a consumer, or with another op of the
// same operands. together returns nil if the two have no common pass. Operand k of the consumer is
// the spec's result where at[k] is −1, and inputs[at[k]] elsewhere: inputs are the spec's operands,
// then what the consumer alone reads.
type pairer interface {
	together(consumer any, at []int) pass
}

// A pass computes an op and its consumer.
type pass = func(dst, consumerDst G.Value, inputs []G.Value) error

// FuseWith lets the executor compute the op and a consumer in one pass that gives both values. at
// says where the consumer's operands are found; see pairer.
func (o op) FuseWith(consumer G.Op, at []int) func(dst, consumerDst G.Value, inputs []G.Value) error {
	p, ok := o.inner().(pairer)
	c, ours := consumer.(op)
	if !ok || !ours {
		return nil
	}
	return p.together(c.inner(), at)
}

// A fuser is a spec with a successor: fuse returns the spec that computes next of o's result, which
// is next's operand at, from o's operands followed by next's other operands.
type fuser interface {
	fuse(next spec, at int) (spec, bool)
}

// FuseNext lets the executor replace the op and its only consumer by one op, which computes the
// consumer from the op's operands followed by the consumer's others.
func (o op) FuseNext(next G.Op, at int) (G.Op, bool) {
	n, ours := next.(op)
	if !ours {
		return nil, false
	}
	f, ok := o.spec.(fuser)
	if !ok {
		return nil, false
	}
	s, ok := f.fuse(n.spec, at)
	return op{s}, ok
}

// An arranger is a spec that can read and write images with their channels last. arrange returns
// the one that reads the operands so where in is set, and writes the result so where out is.
type arranger interface {
	arrange(of tensor.Dtype, in []bool, out bool) (spec, bool)
}

// ChannelsLast lets the executor keep images, tensors of rank 4, with their channels last: see
// ops/vm. It returns the op for such operands and result, or false where there is none, or none
// that gains by it.
func (o op) ChannelsLast(of tensor.Dtype, in []bool, out bool) (G.Op, bool) {
	a, ok := o.spec.(arranger)
	if !ok {
		return nil, false
	}
	s, ok := a.arrange(of, in, out)
	return op{s}, ok
}

// everywhere reports whether all of the images of an elementwise op have their channels last.
func everywhere(in []bool, out bool) bool { return out && !slices.Contains(in, false) }

// String is the op's name, which is what a drawing of the graph has room for.
func (o op) String() string { return o.name() }

// WriteHash writes the spec's type and every one of its fields, so that two ops that differ are
// never merged.
func (o op) WriteHash(h hash.Hash) {
	if a, ok := o.spec.(applied); ok {
		a.writeHash(h)
		return
	}
	fmt.Fprintf(h, "convgrad|%T|%#v", o.spec, o.spec) // %#v calls no String
}

func (o op) Hashcode() uint32 {
	h := fnv.New32a()
	o.WriteHash(h)
	return h.Sum32()
}

// InferShape is the result's shape for operands of these shapes.
func (o op) InferShape(ds ...G.DimSizer) (tensor.Shape, error) {
	shapes, err := G.DimSizersToShapes(ds)
	if err != nil {
		return nil, errors.Wrapf(err, "ops: %s", o.name())
	}
	s, err := o.shape(o.args(), shapes)
	return slices.Clone(s), errors.Wrapf(err, "ops: %s", o.name())
}

// shape checks the operands' number, ranks and sizes and asks the spec.
func (o op) shape(args []arg, in []tensor.Shape) (tensor.Shape, error) {
	if len(in) != len(args) {
		return nil, errors.Errorf("got %d arguments, want %d", len(in), len(args))
	}
	for i, s := range in {
		if err := args[i].sized(s); err != nil {
			return nil, err
		}
	}
	s, err := o.infer(in)
	if err == nil && countable(s) != nil {
		err = o.result().sized(s)
	}
	return s, err
}

// sized returns an error if a shape is not of the rank that is wanted, or too large.
func (a arg) sized(s tensor.Shape) error {
	if s.Dims() != a.rank {
		return errors.Errorf("%s has shape %v, of rank %d, want rank %d", a.name, s, s.Dims(), a.rank)
	}
	if err := countable(s); err != nil {
		return errors.Errorf("%s %v", a.name, err)
	}
	return nil
}

// Do computes the op into new memory.
func (o op) Do(vs ...G.Value) (G.Value, error) { return o.do(newValue, vs) }

// UsePreallocDo computes the op into dst and returns it: a plain dense tensor of the result's shape
// and type with arbitrary contents, or, for a result of rank 0, a *gorgonia.F32 or F64.
func (o op) UsePreallocDo(dst G.Value, vs ...G.Value) (G.Value, error) {
	return o.do(func(shape tensor.Shape, of tensor.Dtype) (operand, G.Value, error) {
		to, err := destination(dst, shape, of)
		return to, dst, err
	}, vs)
}

// A placer gives the memory for a result of some shape and type.
type placer func(tensor.Shape, tensor.Dtype) (operand, G.Value, error)

// do computes the op and names it in errors.
func (o op) do(place placer, vs []G.Value) (res G.Value, err error) {
	// a panic in an op kills the process: both machines run ops on goroutines of their own
	defer func() {
		if r := recover(); r != nil {
			res, err = nil, errors.Errorf("ops: %s: internal error: %v", o.name(), r)
		}
	}()
	c, res, err := o.prepare(place, vs)
	if err == nil {
		err = o.compute(c)
	}
	if err != nil {
		return nil, errors.Wrapf(err, "ops: %s", o.name())
	}
	if len(c.dst.shape) == 0 {
		c.dst.store(res)
	}
	return res, nil
}

// compute runs the spec but where there is nothing to compute: kernels know no empty tensors. An
// empty result is there already, and a sum over nothing is zeros; the specs that sum are linear
// maps.
func (o op) compute(c *Call) error {
	if volume(c.dst.shape) == 0 {
		return nil
	}
	if _, own := o.spec.(applied); !own && slices.ContainsFunc(c.in, func(x operand) bool { return volume(x.shape) == 0 }) {
		c.dst.clear()
		return nil
	}
	return o.exec(c)
}

// prepare checks the operands and places the result. It is apart from do so that its frame is gone
// when the op runs: TapeMachine runs a graph on a new goroutine, whose stack has to grow, and be
// copied, for what is deep.
func (o op) prepare(place placer, vs []G.Value) (*Call, G.Value, error) {
	args := o.args()
	c, shapes, of, err := operands(args, vs)
	if err != nil {
		return nil, nil, err
	}
	shape, err := o.shape(args, shapes)
	if err != nil {
		return nil, nil, err
	}
	if r := o.result(); r.integer() {
		of = r.of
	}
	var res G.Value
	c.dst, res, err = place(shape, of)
	return c, res, err
}

// operands takes values apart and checks their number and types. float is the type of those that
// are not integers.
func operands(args []arg, vs []G.Value) (c *Call, shapes []tensor.Shape, float tensor.Dtype, err error) {
	if len(vs) != len(args) {
		return nil, nil, float, errors.Errorf("got %d values, want %d", len(vs), len(args))
	}
	c, shapes = &Call{in: make([]operand, len(vs))}, make([]tensor.Shape, len(vs))
	for i, v := range vs {
		if c.in[i], err = plain(v); err != nil {
			return nil, nil, float, errors.Wrap(err, args[i].name)
		}
		if float, err = args[i].typed(c.in[i].dtype(), float); err != nil {
			return nil, nil, float, err
		}
		shapes[i] = c.in[i].shape
	}
	return c, shapes, float, nil
}

// typed returns an error if elements are not of the type that is wanted: for floats that of the
// operands before, if there is one. It returns what is wanted of floats from then on.
func (a arg) typed(got, float tensor.Dtype) (tensor.Dtype, error) {
	switch {
	case a.integer():
		if got != a.of {
			return float, errors.Errorf("%s has elements of type %v, want %v", a.name, got, a.of)
		}
		return float, nil
	case got != tensor.Float32 && got != tensor.Float64:
		return float, errors.Errorf("%s has elements of type %v, want float32 or float64", a.name, got)
	case float.Type != nil && got != float:
		return float, errors.Errorf("%s has elements of type %v, want %v like the others", a.name, got, float)
	}
	return got, nil
}

// DiffWRT says which operands have a derivative.
func (o op) DiffWRT(n int) []bool {
	diff := make([]bool, max(n, 0))
	rule, err := o.terms()
	if err != nil { // SymDiff and DoDiff, which come next, say so
		for i := range diff {
			diff[i] = true
		}
		return diff
	}
	for i, t := range rule {
		if i < n {
			diff[i] = t != nil
		}
	}
	return diff
}

// checkNodes checks what a derivative is to be made of.
func (o op) checkNodes(inputs G.Nodes, output *G.Node) error {
	args := o.args()
	if len(inputs) != len(args) {
		return errors.Errorf("got %d inputs, want %d", len(inputs), len(args))
	}
	for i, n := range inputs {
		if n == nil {
			return errors.Errorf("%s is nil, want a node", args[i].name)
		}
	}
	if output == nil {
		return errors.New("the output is nil, want a node")
	}
	return nil
}

// SymDiff writes the rule as nodes.
func (o op) SymDiff(inputs G.Nodes, output, grad *G.Node) (G.Nodes, error) {
	if err := o.checkNodes(inputs, output); err != nil {
		return nil, errors.Wrapf(err, "ops: %s: SymDiff", o.name())
	}
	rule, err := o.terms()
	if err != nil {
		return nil, errors.Wrapf(err, "ops: %s: SymDiff", o.name())
	}
	// A rule that uses the cotangent alone would take one of any graph, shape and type.
	if grad == nil {
		return nil, errors.Errorf("ops: %s: SymDiff: the cotangent is nil, want a node", o.name())
	}
	if grad.Graph() != output.Graph() {
		return nil, errors.Errorf("ops: %s: SymDiff: the cotangent is in another graph than the output", o.name())
	}
	if !slices.Equal(grad.Shape(), output.Shape()) {
		return nil, errors.Errorf("ops: %s: SymDiff: the cotangent has shape %v, want %v like the output", o.name(), grad.Shape(), output.Shape())
	}
	got, err := dtypeOf(grad)
	if err != nil {
		return nil, errors.Wrapf(err, "ops: %s: SymDiff: the cotangent", o.name())
	}
	if of, err := dtypeOf(output); err != nil || got != of {
		return nil, errors.Errorf("ops: %s: SymDiff: the cotangent has elements of type %v, want %v like the output", o.name(), got, of)
	}
	made := map[*term]*G.Node{}
	var build func(t *term) (*G.Node, error)
	build = func(t *term) (*G.Node, error) {
		switch t.kind {
		case inputTerm:
			return inputs[t.i], nil
		case outputTerm:
			return output, nil
		case cotangentTerm:
			return grad, nil
		case constantTerm:
			return constantNode(output.Graph(), t.value)
		}
		if n, ok := made[t]; ok {
			return n, nil
		}
		children := make([]*G.Node, len(t.args))
		for i, a := range t.args {
			var err error
			if children[i], err = build(a); err != nil {
				return nil, err
			}
		}
		n, err := t.node(children)
		made[t] = n
		return n, err
	}
	grads := make(G.Nodes, len(rule))
	for i, t := range rule {
		if t == nil {
			continue
		}
		var err error
		if grads[i], err = build(t); err != nil {
			return nil, errors.Wrapf(err, "ops: %s: derivative by %s", o.name(), o.args()[i].name)
		}
	}
	return grads, nil
}

// DoDiff computes the rule on values and adds each result to the gradient that its operand has
// already: an operand may have other consumers.
func (o op) DoDiff(_ G.ExecutionContext, inputs G.Nodes, output *G.Node) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = errors.Errorf("ops: %s: DoDiff: internal error: %v", o.name(), r)
		}
	}()
	if err := o.checkNodes(inputs, output); err != nil {
		return errors.Wrapf(err, "ops: %s: DoDiff", o.name())
	}
	rule, err := o.terms()
	if err != nil {
		return errors.Wrapf(err, "ops: %s: DoDiff", o.name())
	}
	dy, err := output.Grad()
	if err != nil {
		return errors.Wrapf(err, "ops: %s: DoDiff", o.name())
	}
	made := map[*term]G.Value{}
	var eval func(t *term) (G.Value, error)
	eval = func(t *term) (G.Value, error) {
		switch t.kind {
		case inputTerm:
			return inputs[t.i].Value(), nil
		case outputTerm:
			return output.Value(), nil
		case cotangentTerm:
			return dy, nil
		case constantTerm:
			return t.value, nil
		}
		if v, ok := made[t]; ok {
			return v, nil
		}
		vs := make([]G.Value, len(t.args))
		for i, a := range t.args {
			var err error
			if vs[i], err = eval(a); err != nil {
				return nil, err
			}
		}
		v, err := t.do(vs)
		made[t] = v
		return v, err
	}
	// All values are computed before the first is added, so that an error leaves no half of a sum.
	values := make([]G.Value, len(rule))
	for i, t := range rule {
		if t == nil {
			continue
		}
		if values[i], err = eval(t); err != nil {
			return errors.Wrapf(err, "ops: %s: derivative by %s", o.name(), o.args()[i].name)
		}
	}
	for i, v := range values {
		if v == nil {
			continue
		}
		if err := accumulate(inputs[i], v); err != nil {
			return errors.Wrapf(err, "ops: %s: gradient of %s", o.name(), o.args()[i].name)
		}
	}
	return nil
}

// A Call is one computation of an op: its operands and the memory of its result, row-major.
type Call struct {
	dst operand
	in  []operand
}

// double reports whether the computation is in float64 rather than float32.
func (c *Call) double() bool {
	if _, ok := c.dst.data.([]float64); ok {
		return true
	}
	for _, o := range c.in {
		if _, ok := o.data.([]float64); ok {
			return true
		}
	}
	return false
}

// slice is the operand's data as the kernels take it.
func slice[T kernel.Float | int32 | int64 | int](o operand) []T { return o.data.([]T) }
