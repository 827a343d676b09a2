package model

import (
	"math"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/pkg/errors"
	G "gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/convgrad/convgrad/ops"
)

// A Builder is what layers build a graph with. It knows the place of the layer in the network: the
// names of weights and layers are below it.
//
// It keeps the first error, with the path of the layer where it arose. From then on its methods do
// nothing and return nil.
type Builder struct {
	*build
	path   string          // of this scope; "" for the network itself
	taken  map[string]bool // names of this application of the scope
	shared bool            // the scope was applied before in this graph, and has its weights
	depth  int
}

// A build is what the builders of one graph share.
type build struct {
	net      *Network
	graph    *G.ExprGraph
	tracing  bool // the network is being made: weights are new
	training bool
	keep     bool // every layer's output is a node of its own
	seed     uint64
	random   *ops.Random
	err      error

	given   map[*Param]*G.Node // a caller's nodes in the place of parameters, if there are any
	of      tensor.Dtype       // of all floats
	nodes   map[*Param]*G.Node // leaves of the weights that were asked for
	order   []*Param           // the same, in order
	latest  map[*Param]*G.Node // of buffers: the leaf, or what the last Update gave
	buffers map[*G.Node]*Param // which buffer a node is the value of
	calls   []call

	folds  bool // batch norms may be computed in the convolutions before them
	folded []*fold
}

// A call is one application of a layer.
type call struct {
	path     string
	layer    Layer
	x, y     *G.Node
	from, to int // nodes of the graph that it made
	depth    int
	params   []*Param // new with it, those of its inner layers left out
}

// maxDepth is how deep layers may be nested: one that contains itself is an error, not a stack
// overflow, which would end the process.
const maxDepth = 200

// maxName is the length of a path in bytes.
const maxName = 1000

func (b *Builder) dead() bool { return b == nil || b.build == nil || b.err != nil }

// Err is the first error.
func (b *Builder) Err() error {
	if b == nil || b.build == nil {
		return errors.New("model: the builder is empty, want one that New or Build made")
	}
	return b.err
}

// Do returns n, the node that an op gave, and keeps err if it is the first:
//
//	y := b.Do(ops.ReLU(x))
func (b *Builder) Do(n *G.Node, err error) *G.Node {
	switch {
	case b.dead():
		return nil
	case err != nil:
		return b.fail(err)
	case n == nil:
		return b.fail(errors.New("an op gave no node and no error"))
	}
	return n
}

// fail keeps the first error, with the place where it arose.
func (b *Builder) fail(err error) *G.Node {
	if b.err == nil {
		where := b.net.title()
		if b.path != "" {
			where += ": " + b.path
		}
		b.err = errors.Wrap(err, where)
	}
	return nil
}

// Training reports whether the graph is for training, and this part of it is not frozen: Dropout
// drops, batch norm takes the batch's statistics, and Update is permitted.
func (b *Builder) Training() bool {
	return !b.dead() && b.training && !b.net.isFrozen(b.path)
}

// Winograd reports whether the network permits Winograd's algorithm.
func (b *Builder) Winograd() bool { return !b.dead() && b.net.options.Winograd }

// reorders reports whether layers may be computed in another order or together.
func (b *Builder) reorders() bool { return !b.dead() && !b.tracing && !b.keep }

// Random is the graph's source of dropout masks, or nil where Training is false: ops.Dropout takes
// neither for an error.
func (b *Builder) Random() *ops.Random {
	if !b.Training() {
		return nil
	}
	if b.random == nil {
		r, err := ops.NewRandom(b.graph, b.seed)
		if err != nil {
			b.fail(err)
			return nil
		}
		b.random = r
	}
	return b.random
}

// Layer applies l to x under a name: weights of l are below it, "conv1.weight" for "conv1". A name
// may be used once; Reuse shares weights.
func (b *Builder) Layer(name string, l Layer, x *G.Node) *G.Node {
	return b.layer(name, l, x, false)
}

// Reuse is Layer, and may be called several times with one name and a layer that has the same
// weights: they are then shared, and their gradients add up. The first use makes them.
func (b *Builder) Reuse(name string, l Layer, x *G.Node) *G.Node { return b.layer(name, l, x, true) }

func (b *Builder) layer(name string, l Layer, x *G.Node, again bool) *G.Node {
	if b.dead() {
		return nil
	}
	s := b.scope(name, again)
	if s == nil {
		return nil
	}
	return s.apply(l, x)
}

// In is a builder for a scope, in which names are below the given one. It is for functions that
// take several inputs, where a Layer takes one:
//
//	y := up(b.In("up1"), x, skip)
func (b *Builder) In(scope string) *Builder {
	if b.dead() {
		return b
	}
	if s := b.scope(scope, false); s != nil {
		return s
	}
	return b // which has failed, and does nothing more
}

// scope enters a name, or fails.
func (b *Builder) scope(name string, again bool) *Builder {
	was := b.taken[name]
	if !b.take("layer", name, again) {
		return nil
	}
	if b.depth >= maxDepth {
		b.fail(errors.Errorf("layers are nested more than %d deep: does one contain itself?", maxDepth))
		return nil
	}
	return &Builder{build: b.build, path: b.join(name), taken: map[string]bool{},
		shared: b.shared || again && was, depth: b.depth + 1}
}

// take checks a name and marks it as used.
func (b *Builder) take(what, name string, again bool) bool {
	if err := checkName(name); err != nil {
		b.fail(errors.Wrapf(err, "the %s's name", what))
		return false
	}
	if len(b.join(name)) > maxName {
		b.fail(errors.Errorf("the path of the %s %q has %d bytes, want at most %d", what, name,
			len(b.join(name)), maxName))
		return false
	}
	if b.taken[name] && !again {
		b.fail(errors.Errorf("the name %q is given twice, want each once: Reuse shares weights", name))
		return false
	}
	b.taken[name] = true
	return true
}

func (b *Builder) join(name string) string {
	if b.path == "" {
		return name
	}
	return b.path + "." + name
}

// checkName returns an error unless a name can be a part of a key of a weight file: UTF-8 that is
// printed, without blanks, which the graph's own inputs have in their names.
func checkName(name string) error {
	switch {
	case name == "":
		return errors.New("is empty, want at least one character")
	case !utf8.ValidString(name):
		return errors.Errorf("is %q, want UTF-8", name)
	case strings.HasPrefix(name, "."), strings.HasSuffix(name, "."), strings.Contains(name, ".."):
		return errors.Errorf("is %q, want no empty part between dots", name)
	case strings.HasPrefix(name, "__"):
		return errors.Errorf("is %q, want none that begins with __: weight files keep those", name)
	}
	for _, r := range name {
		if !unicode.IsPrint(r) || unicode.IsSpace(r) || r == utf8.RuneError {
			return errors.Errorf("is %q, want printed characters without blanks", name)
		}
	}
	return nil
}

// apply applies a layer in this scope.
func (b *Builder) apply(l Layer, x *G.Node) (y *G.Node) {
	i := len(b.calls)
	b.calls = append(b.calls, call{path: b.path, layer: l, x: x, depth: b.depth, from: len(b.graph.AllNodes())})
	defer func() {
		if r := recover(); r != nil { // after an error: a consequence of it, which fail leaves out
			y = b.fail(errors.Errorf("Apply of %T panicked: %v", l, r))
		}
		b.calls[i].y, b.calls[i].to = y, len(b.graph.AllNodes())
	}()
	if l == nil {
		return b.fail(errors.New("the layer is nil"))
	}
	y = l.Apply(b, x)
	switch {
	case b.err != nil:
		return nil
	case y == nil:
		return b.fail(errors.Errorf("Apply of %T returned nil, want a node", l))
	case y.Graph() != b.graph:
		return b.fail(errors.Errorf("Apply of %T returned a node of another graph", l))
	}
	return y
}

// Param is the node of a parameter: a weight that is trained. init gives its first value; nil
// stands for Zeros. The shape has at least one side and must not depend on the batch.
func (b *Builder) Param(name string, init Init, shape ...int) *G.Node {
	return b.weight(name, init, shape, false)
}

// Buffer is the node of a buffer: a weight that is saved but not trained. Update changes it.
func (b *Builder) Buffer(name string, init Init, shape ...int) *G.Node {
	return b.weight(name, init, shape, true)
}

func (b *Builder) weight(name string, init Init, shape tensor.Shape, buffer bool) *G.Node {
	if b.dead() || !b.take("weight", name, false) {
		return nil
	}
	path := b.join(name)
	p := b.net.index[path]
	switch {
	case p != nil && b.nodes[p] != nil && !b.shared:
		return b.fail(errors.Errorf("there are two weights of the name %s, want each once", path))
	case p == nil && !b.tracing:
		return b.fail(errors.Errorf("the weight %s was not asked for when the network was made, in "+
			"evaluation: want the same weights in every graph", name))
	case p == nil:
		if len(shape) == 0 {
			return b.fail(errors.Errorf("%s has no shape, want at least one side", name))
		}
		if err := countable(shape); err != nil {
			return b.fail(errors.Wrap(err, name))
		}
		if err := b.net.room(shape); err != nil {
			return b.fail(errors.Wrap(err, name))
		}
		p = b.net.add(path, init, shape.Clone(), buffer)
		b.calls[b.innermost()].params = append(b.calls[b.innermost()].params, p)
	case !p.Value.Shape().Eq(shape) || len(p.Value.Shape()) != len(shape) || p.Buffer != buffer:
		return b.fail(errors.Errorf("%s is a %s of shape %v, want a %s of shape %v as before", name,
			kind(buffer), shape, kind(p.Buffer), p.Value.Shape()))
	}
	if b.latest[p] != nil {
		return b.latest[p]
	}
	if n := b.nodes[p]; n != nil {
		return n
	}
	n := b.given[p]
	if n == nil {
		n = leaf(b.graph, path, converted(p.Value, b.of))
	}
	b.nodes[p], b.order = n, append(b.order, p)
	if buffer {
		b.latest[p], b.buffers[n] = n, p
	}
	return n
}

// innermost is the call that is under way: the last that has not ended.
func (b *Builder) innermost() int {
	for i := len(b.calls) - 1; i > 0; i-- {
		if b.calls[i].to == 0 {
			return i
		}
	}
	return 0
}

func kind(buffer bool) string {
	if buffer {
		return "buffer"
	}
	return "parameter"
}

// Update gives a buffer the value of a node, of the same shape, once a run of a graph for training
// has ended. Within the graph, the next Buffer of that name, where a layer is used again, returns
// that node: the second update sees the first. No gradient flows into a buffer.
//
// It is an error where Training is false.
func (b *Builder) Update(buffer, value *G.Node) {
	if b.dead() {
		return
	}
	p := b.buffers[buffer]
	switch {
	case buffer == nil || p == nil:
		b.fail(errors.New("Update: the node is no buffer's, want one that Buffer returned"))
	case b.latest[p] != buffer:
		b.fail(errors.Errorf("Update: %s was updated after this node of it was taken", p.Name))
	case !b.Training():
		b.fail(errors.Errorf("Update: %s: this part of the graph only evaluates: ask Training", p.Name))
	case value == nil || value.Graph() != b.graph:
		b.fail(errors.Errorf("Update: %s: the value is no node of the graph", p.Name))
	case !value.Shape().Eq(p.Value.Shape()) || value.Dims() != p.Value.Dims():
		b.fail(errors.Errorf("Update: %s: the value has shape %v, want %v", p.Name, value.Shape(), p.Value.Shape()))
	case value.Dtype() != b.of:
		b.fail(errors.Errorf("Update: %s: the value is of %v, want %v", p.Name, value.Dtype(), b.of))
	default:
		b.latest[p], b.buffers[value] = value, p
	}
}

// converted is a tensor in the other float type, or the tensor itself if it has the type.
func converted(v *tensor.Dense, of tensor.Dtype) *tensor.Dense {
	if v.Dtype() == of {
		return v
	}
	to := tensor.New(tensor.WithShape(v.Shape()...), tensor.Of(of))
	switch w := to.Data().(type) {
	case []float32:
		for i, x := range v.Data().([]float64) {
			w[i] = float32(x)
		}
	case []float64:
		for i, x := range v.Data().([]float32) {
			w[i] = float64(x)
		}
	}
	return to
}

// leaf is an input node with a value.
func leaf(g *G.ExprGraph, name string, v *tensor.Dense) *G.Node {
	return G.NewTensor(g, v.Dtype(), v.Dims(), G.WithShape(v.Shape()...), G.WithName(name), G.WithValue(v))
}

// countable returns an error unless a shape's sides are positive and its elements few enough for
// the kernels' 32-bit indices.
func countable(s tensor.Shape) error {
	total := 1
	for _, side := range s {
		if side < 1 || side > math.MaxInt32/total {
			return errors.Errorf("has shape %v, want positive sides and at most %d elements", s, math.MaxInt32)
		}
		total *= side
	}
	return nil
}
