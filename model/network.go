package model

import (
	"fmt"
	"hash/fnv"
	"math"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/pkg/errors"
	G "gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// Options say how a network is made. The zero value is a network of float32 with weights of seed 0.
type Options struct {
	// Name is for errors and the summary.
	Name string
	// Seed is that of the first weights.
	Seed uint64
	// Float64 makes a network of float64 instead of float32: slower, for checking.
	Float64 bool
	// Winograd permits Winograd's algorithm in convolutions: faster, with a larger rounding error.
	Winograd bool

	// MaxWeights is how many elements all weights together may have, and 0 is no limit. It is for
	// networks whose sizes come from a file that nobody vouches for.
	MaxWeights int

	// PredictBytes is how many bytes all that Predict computes at a time may hold for inputs and
	// intermediates: it takes smaller batches then, and fewer at a time. 0 stands for 64 MiB each
	// for as many batches as there are processors, and 256 MiB for those that wait for the next
	// call. Weights do not count, nor their copies in the order that kernels read them in.
	PredictBytes int
}

// A Param is a weight of a network. Its value is shared by all graphs of the network: what changes
// its elements in place changes them all.
type Param struct {
	// Name is the path: "layer1.0.conv1.weight".
	Name string
	// Value holds the numbers. To change them, change its elements: another tensor put here is not
	// the network's.
	Value *tensor.Dense
	// Buffer says that the weight is saved but not trained.
	Buffer bool
	// Frozen says that it is not trained for now: see Freeze.
	Frozen bool

	init Init
}

// A Network is a layer with weights.
type Network struct {
	options Options
	layer   Layer
	input   tensor.Shape // of one sample
	output  tensor.Shape
	dtype   tensor.Dtype
	params  []*Param // buffers among them, in the order in which layers asked for them
	index   map[string]*Param
	total   int // elements of params
	summary Summary

	mu      sync.RWMutex // the weights: read by runs, written by Load, Init and updates of buffers
	version uint64       // of the weights, counted by what holds mu to write
	handed  atomic.Bool  // a weight was given to somebody who may change its elements
	folds   folds

	frozen []string // paths, under frozenMu
	pool   pool

	frozenMu sync.Mutex
}

// New returns the network of a layer, for inputs of a shape: C×H×W, or whatever the layer takes,
// the batch left out. It applies the layer once, in evaluation, to a batch of one, and draws the
// weights.
//
// It returns an error with the path of the layer where one arises.
func New(l Layer, input tensor.Shape, o Options) (*Network, error) {
	n, err := trace(l, input, o)
	if err != nil {
		return nil, err
	}
	return n, n.Init(o.Seed)
}

// trace is New without values for the weights.
func trace(l Layer, input tensor.Shape, o Options) (*Network, error) {
	n := &Network{options: o, layer: l, input: input.Clone(), dtype: tensor.Float32, index: map[string]*Param{}}
	if o.Float64 {
		n.dtype = tensor.Float64
	}
	if l == nil {
		return nil, errors.Errorf("%s: the layer is nil", n.title())
	}
	if len(input) < 1 || len(input) > maxRank-1 {
		return nil, errors.Errorf("%s: the input has shape %v, want a sample's: C×H×W, or a vector's length", n.title(), input)
	}
	if err := countable(input); err != nil {
		return nil, errors.Wrapf(err, "%s: the input", n.title())
	}
	b := n.builder(BuildOptions{}, true)
	x := G.NewTensor(b.graph, n.dtype, len(input)+1, G.WithShape(n.batch(1)...), G.WithName(inputName))
	y, err := n.expand(b, x)
	if err != nil {
		return nil, err
	}
	n.output = y.Shape()[1:].Clone()
	n.summary = summarise(n, b, x)
	return n, nil
}

// maxRank is the highest rank that ops take.
const maxRank = 8

// Names of a graph's own inputs. They hold blanks, which no weight's name does: Gorgonia merges
// inputs of one name and shape.
const (
	inputName  = "the input"
	targetName = "the targets"
)

// title names the network in errors.
func (n *Network) title() string {
	if n.options.Name == "" {
		return "model"
	}
	return "model: " + n.options.Name
}

// batch is the shape of so many samples.
func (n *Network) batch(size int) tensor.Shape { return append(tensor.Shape{size}, n.input...) }

// builder makes the root builder of a new graph.
func (n *Network) builder(o BuildOptions, tracing bool) *Builder {
	return &Builder{taken: map[string]bool{}, build: &build{
		net: n, graph: G.NewGraph(), of: n.dtype, tracing: tracing, training: o.Training, keep: o.Keep, seed: o.Seed,
		nodes: map[*Param]*G.Node{}, latest: map[*Param]*G.Node{}, buffers: map[*G.Node]*Param{},
	}}
}

// expand applies the network to x and checks what comes out. The builder is of no use afterwards.
func (n *Network) expand(b *Builder, x *G.Node) (*G.Node, error) {
	y := b.apply(n.layer, x)
	if b.err != nil {
		return nil, b.err
	}
	b.err = errors.Errorf("%s: the builder is used after its graph was made", n.title())
	s := y.Shape()
	switch {
	case len(s) < 1 || s[0] != x.Shape()[0] || len(s) != y.Dims():
		return nil, errors.Errorf("%s: the output of %d samples is %v, want the samples along the first axis",
			n.title(), x.Shape()[0], s)
	case !b.tracing && !s[1:].Eq(n.output):
		return nil, errors.Errorf("%s: the output of %d samples is %v, want %v a sample, as when the network was made",
			n.title(), s[0], s, n.output)
	case y.Dtype() != b.of:
		return nil, errors.Errorf("%s: the output is of %v, want %v", n.title(), y.Dtype(), b.of)
	}
	return y, nil
}

// Expand adds the network to a graph of the caller's: to that of x, a node of a batch of samples,
// of float32 or float64. params are nodes of that graph in the place of Params, in their order. It
// returns the output.
//
// Of the options, Training, Seed and Keep count; Loss, Penalties and InputGradient are the caller's
// affair. Buffers are leaves with the values that they have, and updates are left out. Dropout
// masks are those of step 0 in every run, so that the output is a function of x and params.
//
// It returns an error if x or one of params is not such a node, or the network does not take x.
func (n *Network) Expand(x *G.Node, params G.Nodes, o BuildOptions) (*G.Node, error) {
	if err := n.made(); err != nil {
		return nil, err
	}
	if x == nil || x.Graph() == nil || x.Dims() != len(n.input)+1 || len(x.Shape()) != x.Dims() || !x.Shape()[1:].Eq(n.input) {
		return nil, errors.Errorf("%s: Expand: x is %v, want a node of N samples of %v", n.title(), shapeOf(x), n.input)
	}
	of := x.Dtype()
	if of != tensor.Float32 && of != tensor.Float64 {
		return nil, errors.Errorf("%s: Expand: x is of %v, want float32 or float64", n.title(), of)
	}
	if o.Loss != nil || len(o.Penalties) > 0 || o.InputGradient {
		return nil, errors.Errorf("%s: Expand: a loss, penalties or the input's gradient are asked for, want none of them", n.title())
	}
	b := n.builder(o, false)
	n.handed.Store(true) // nodes have the buffers' values
	b.graph, b.of, b.given = x.Graph(), of, map[*Param]*G.Node{}
	for _, p := range n.params {
		if p.Buffer {
			continue
		}
		i := len(b.given)
		if i >= len(params) {
			return nil, errors.Errorf("%s: Expand: %d parameters, want %d", n.title(), len(params), len(n.Params()))
		}
		w := params[i]
		if w == nil || w.Graph() != b.graph || w.Dims() != p.Value.Dims() || !w.Shape().Eq(p.Value.Shape()) || w.Dtype() != of {
			return nil, errors.Errorf("%s: Expand: parameter %d is %v, want a node of x's graph, of %v, in the shape %v of %s",
				n.title(), i, shapeOf(w), of, p.Value.Shape(), p.Name)
		}
		b.given[p] = w
	}
	if len(params) != len(b.given) {
		return nil, errors.Errorf("%s: Expand: %d parameters, want %d", n.title(), len(params), len(b.given))
	}
	y, err := n.expand(b, x)
	b.random.SetStep(0)
	return y, err
}

// shapeOf describes a node in an error.
func shapeOf(n *G.Node) string {
	if n == nil {
		return "nil"
	}
	return fmt.Sprintf("%v", n.Shape())
}

// add makes a weight, zero.
func (n *Network) add(path string, init Init, shape tensor.Shape, buffer bool) *Param {
	if init == nil {
		init = Zeros
	}
	p := &Param{Name: path, Value: tensor.New(tensor.WithShape(shape...), tensor.Of(n.dtype)), Buffer: buffer, init: init}
	n.params, n.index[path] = append(n.params, p), p
	n.total += shape.TotalSize()
	return p
}

// room returns an error if a weight of that shape is more than MaxWeights permits.
func (n *Network) room(shape tensor.Shape) error {
	total := n.total + shape.TotalSize()
	if most := n.options.MaxWeights; most > 0 && total > most {
		return errors.Errorf("its shape is %v, and the weights have %d elements with it, want at most %d in all", shape, total, most)
	}
	return nil
}

// made returns an error for a network that New did not make.
func (n *Network) made() error {
	if n == nil || n.layer == nil || n.output == nil {
		return errors.New("model: the network is empty, want one that New or ByName made")
	}
	return nil
}

// Name is what Options called the network.
func (n *Network) Name() string {
	if n == nil {
		return ""
	}
	return n.options.Name
}

// Input is the shape of one sample.
func (n *Network) Input() tensor.Shape {
	if n == nil {
		return nil
	}
	return n.input.Clone()
}

// Output is the shape of what the network makes of one sample.
func (n *Network) Output() tensor.Shape {
	if n == nil {
		return nil
	}
	return n.output.Clone()
}

// Dtype is the type of the weights and of everything that flows through the network.
func (n *Network) Dtype() tensor.Dtype {
	if n == nil {
		return tensor.Dtype{}
	}
	return n.dtype
}

// Params returns the parameters, those that are frozen included, in the order in which layers asked
// for them. Their values can be changed from then on, so batch norms are no longer folded into the
// convolutions before them where a graph only evaluates, which costs a little speed. A Summary,
// Save and Load do not hand weights out.
func (n *Network) Params() []*Param { return n.list(false) }

// Buffers returns the buffers.
func (n *Network) Buffers() []*Param { return n.list(true) }

func (n *Network) list(buffers bool) []*Param {
	if n == nil {
		return nil
	}
	var list []*Param
	for _, p := range n.params {
		if p.Buffer == buffers {
			list = append(list, n.view(p))
		}
	}
	return list
}

// view is a Param of the same weights, so that what a caller sets in it is not set in the network.
func (n *Network) view(p *Param) *Param {
	n.handed.Store(true)
	v := *p
	v.Frozen = n.isFrozen(p.Name)
	return &v
}

// Param returns the parameter or buffer of that name, or nil.
func (n *Network) Param(name string) *Param {
	if n == nil || n.index[name] == nil {
		return nil
	}
	return n.view(n.index[name])
}

// Freeze holds everything below the paths as it is, in graphs that are built afterwards: parameters
// get no gradients, and layers evaluate, so that Dropout passes its input on and batch norm neither
// takes the batch's statistics nor updates its own. (In PyTorch a layer whose parameters ask for no
// gradients still does.) The path "layer1" covers "layer1.conv.weight", not "layer10".
//
// It returns an error, and freezes nothing, if there is no weight below one of the paths.
func (n *Network) Freeze(paths ...string) error {
	if err := n.made(); err != nil {
		return err
	}
	for _, path := range paths {
		found := false
		for _, p := range n.params {
			found = found || below(p.Name, path)
		}
		if !found {
			return errors.Errorf("%s: Freeze: there is no weight below %q", n.title(), path)
		}
	}
	n.frozenMu.Lock()
	defer n.frozenMu.Unlock()
	n.frozen = append(n.frozen[:len(n.frozen):len(n.frozen)], paths...)
	return nil
}

// Unfreeze takes back every Freeze.
func (n *Network) Unfreeze() {
	if n != nil {
		n.frozenMu.Lock()
		defer n.frozenMu.Unlock()
		n.frozen = nil
	}
}

// isFrozen reports whether a path is below a frozen one.
func (n *Network) isFrozen(path string) bool {
	n.frozenMu.Lock()
	defer n.frozenMu.Unlock()
	for _, f := range n.frozen {
		if below(path, f) {
			return true
		}
	}
	return false
}

// below reports whether a path is prefix or lies below it.
func below(path, prefix string) bool {
	return path == prefix || strings.HasPrefix(path, prefix+".")
}

// Init draws all weights anew, buffers too. The same seed gives the same bits in both types,
// rounded once in float32. A weight's numbers depend on the seed and on its name, not on the other
// weights.
func (n *Network) Init(seed uint64) (err error) {
	if err := n.made(); err != nil {
		return err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.version++
	for _, p := range n.params {
		if err := p.draw(seed); err != nil {
			return errors.Wrapf(err, "%s: the initialiser of %s", n.title(), p.Name)
		}
	}
	return nil
}

// draw gives a weight its first values. It returns an error, and changes nothing, if they are not
// finite in the weight's type or the initialiser, which may be a caller's, panics.
func (p *Param) draw(seed uint64) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = errors.Errorf("panicked: %v", r)
		}
	}()
	name := fnv.New64a()
	name.Write([]byte(p.Name))
	// The two high bits are free for other streams of the seed.
	r := rand.New(rand.NewPCG(seed, name.Sum64()>>2))
	w := make([]float64, p.Value.Shape().TotalSize())
	p.init(r, p.Value.Shape().Clone(), w)
	narrow, _ := p.Value.Data().([]float32)
	for i, v := range w {
		if narrow != nil {
			v = float64(float32(v))
		}
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return errors.Errorf("gives element %d the value %v, want a finite number of %v", i, w[i], p.Value.Dtype())
		}
	}
	for i := range narrow {
		narrow[i] = float32(w[i])
	}
	if wide, ok := p.Value.Data().([]float64); ok {
		copy(wide, w)
	}
	return nil
}
