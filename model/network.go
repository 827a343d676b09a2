package model

import (
	"fmt"
	"math"
	"math/rand/v2"
	"reflect"
	"slices"
	"sync"

	"github.com/pkg/errors"
	G "gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// A Param is a parameter of a network. Its value is shared by all graphs of the network: what changes it in place changes them all.
type Param struct {
	Name  string        // the layer's kind and number, and the weight's name: "conv1.weight"
	Value *tensor.Dense // the weights: to change them, change its elements. Another tensor put here is not the network's
	FanIn int           // inputs that each output sums
}

// A Network is a sequence of layers with weights.
type Network struct {
	name     string
	input    tensor.Shape // C×H×W, or a vector's length
	layers   []Layer
	names    []string       // of the layers: kind and number
	shapes   []tensor.Shape // of each layer's output
	params   []*Param
	owned    [][]int // the indices into params of each layer
	dtype    tensor.Dtype
	winograd bool

	mu      sync.Mutex // guards the weights against Predict, and predict, which keeps its graphs
	predict map[int]*Graph
}

// An Option changes what NewSequential makes.
type Option func(*Network)

// Float64 makes a network of float64 instead of float32: slower, for checking.
func Float64(n *Network) { n.dtype = tensor.Float64 }

// Winograd permits Winograd's algorithm in all convolutions: faster, with a larger rounding error.
func Winograd(n *Network) { n.winograd = true }

// NewSequential returns a network of the layers, one after the other, for inputs of the shape C×H×W (or, for layers that take vectors, of rank 1). Its weights are zero
// until Init or Load.
//
// It returns an error that names the layer if one cannot take what the one before it gives.
func NewSequential(name string, input tensor.Shape, layers []Layer, options ...Option) (*Network, error) {
	n := &Network{name: name, input: input.Clone(), layers: append([]Layer(nil), layers...), dtype: tensor.Float32, predict: map[int]*Graph{}}
	for _, o := range options {
		if o != nil {
			o(n)
		}
	}
	if len(layers) == 0 {
		return nil, errors.Errorf("model: %s: no layers, want at least one", name)
	}
	if len(input) != 1 && len(input) != 3 {
		return nil, errors.Errorf("model: %s: the input has shape %v, want C×H×W or a vector's length", name, input)
	}
	if err := countable(input); err != nil {
		return nil, errors.Wrapf(err, "model: %s: the input", name)
	}
	count := map[string]int{}
	at := n.input
	for i, l := range n.layers {
		if l = byValue(l); l == nil {
			return nil, errors.Errorf("model: %s: layer %d is nil", name, i+1)
		}
		n.layers[i] = l
		out, err := l.Output(at)
		if err != nil {
			return nil, errors.Wrapf(err, "model: %s: layer %d", name, i+1)
		}
		if err := countable(out); err != nil {
			return nil, errors.Wrapf(err, "model: %s: layer %d, %s: the output", name, i+1, l.Kind())
		}
		count[l.Kind()]++
		n.names = append(n.names, fmt.Sprintf("%s%d", l.Kind(), count[l.Kind()]))
		var own []int
		for _, w := range l.Weights(at) {
			p, err := n.param(n.names[i], w)
			if err != nil {
				return nil, errors.Wrapf(err, "model: %s: layer %d", name, i+1)
			}
			own = append(own, len(n.params))
			n.params = append(n.params, p)
		}
		n.owned, n.shapes, at = append(n.owned, own), append(n.shapes, out), out
	}
	return n, nil
}

// byValue is what a pointer to a layer points to, and nil for a nil pointer: what a network is made of must not change later.
func byValue(l Layer) Layer {
	if v := reflect.ValueOf(l); v.Kind() == reflect.Pointer {
		if v.IsNil() {
			return nil
		}
		if e, ok := v.Elem().Interface().(Layer); ok {
			return e
		}
	}
	return l
}

// param makes a layer's parameter, zero.
func (n *Network) param(layer string, w Weight) (*Param, error) {
	p := &Param{Name: layer + "." + w.Name, FanIn: w.FanIn}
	if n.Param(p.Name) != nil {
		return nil, errors.Errorf("%s: there is a parameter of that name already", p.Name)
	}
	if len(w.Shape) == 0 || w.FanIn < 1 {
		return nil, errors.Errorf("%s has shape %v and fan-in %d, want sides and a positive fan-in", p.Name, w.Shape, w.FanIn)
	}
	if err := countable(w.Shape); err != nil {
		return nil, errors.Wrap(err, p.Name)
	}
	p.Value = tensor.New(tensor.WithShape(w.Shape...), tensor.Of(n.dtype))
	return p, nil
}

// countable returns an error unless a shape's sides are positive and its elements few enough for the kernels' 32-bit indices.
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

// Name is what the network was called when it was made.
func (n *Network) Name() string { return n.name }

// Input is the shape of one sample, C×H×W.
func (n *Network) Input() tensor.Shape { return n.input.Clone() }

// Output is the shape of what the network makes of one sample.
func (n *Network) Output() tensor.Shape {
	if n.made() != nil {
		return nil
	}
	return n.shapes[len(n.shapes)-1].Clone()
}

// Dtype is the type of the weights and of everything that flows through the network.
func (n *Network) Dtype() tensor.Dtype { return n.dtype }

// Layers returns the layers, in order.
func (n *Network) Layers() []Layer { return append([]Layer(nil), n.layers...) }

// Params returns the parameters, in the order of the layers.
func (n *Network) Params() []*Param {
	all := make([]*Param, len(n.params))
	for i, p := range n.params {
		all[i] = p.view()
	}
	return all
}

// view is a Param of the same weights, so that what a caller sets in it is not set in the network.
func (p *Param) view() *Param { v := *p; return &v }

// Param returns the parameter of that name, or nil.
func (n *Network) Param(name string) *Param {
	for _, p := range n.params {
		if p.Name == name {
			return p.view()
		}
	}
	return nil
}

// made returns an error for a network that no constructor made.
func (n *Network) made() error {
	if n == nil || len(n.layers) == 0 {
		return errors.New("model: the network has no layers, want one of NewSequential or ByName")
	}
	return nil
}

// Init draws the weights: those of rank 2 and more from a normal distribution of variance 2/fan-in, which keeps the size of the signal through a ReLU (He, Zhang, Ren and Sun, 2015); biases
// are 0. What no ReLU follows, as a classifier's last layer, begins a tenth as wide: the output then starts near 0, without which the squared error spends its first epochs on forgetting it. The same seed gives the same bits, whatever the type: they are drawn in float64 and rounded.
func (n *Network) Init(seed uint64) {
	n.mu.Lock()
	defer n.mu.Unlock()
	last := len(n.layers) // the first layer after the last ReLU
	for last > 0 && n.layers[last-1].Kind() != (ReLU{}).Kind() {
		last--
	}
	for i, p := range n.params {
		r := rand.New(rand.NewPCG(seed, uint64(i)))
		sigma := math.Sqrt(2 / float64(p.FanIn))
		for _, own := range n.owned[last:] {
			if slices.Contains(own, i) {
				sigma /= 10
			}
		}
		if p.Value.Dims() < 2 {
			sigma = 0
		}
		switch w := p.Value.Data().(type) {
		case []float32:
			for j := range w {
				w[j] = float32(sigma * r.NormFloat64())
			}
		case []float64:
			for j := range w {
				w[j] = sigma * r.NormFloat64()
			}
		}
	}
}

// A Loss is what a network is trained on.
type Loss int

const (
	// NoLoss makes a graph that ends with the network's output.
	NoLoss Loss = iota
	// CrossEntropy is the softmax cross-entropy of the output against Int labels, the mean over the batch.
	CrossEntropy
	// SquaredError is the article's E = ½ Σ (t − y)² (Eq. 9) of a sample, the mean over the batch; targets are of the output's shape.
	SquaredError
)

func (l Loss) String() string {
	switch l {
	case NoLoss:
		return "none"
	case CrossEntropy:
		return "cross-entropy"
	case SquaredError:
		return "mse"
	}
	return "unknown loss"
}

// ParseLoss returns the loss of that name: "cross-entropy" or "mse".
func ParseLoss(name string) (Loss, error) {
	for _, l := range []Loss{CrossEntropy, SquaredError} {
		if l.String() == name {
			return l, nil
		}
	}
	return NoLoss, errors.Errorf("model: the loss is %q, want cross-entropy or mse", name)
}

// BuildOptions say what a graph is for.
type BuildOptions struct {
	Loss Loss
	// Training asks for the gradients of the loss by all parameters, and lets Dropout drop.
	Training bool
	// Seed is that of the dropout masks.
	Seed uint64
	// InputGradient asks for the gradient by the input too. It is otherwise not computed.
	InputGradient bool
	// Keep keeps what each layer gives for reading after Run, at the cost of its memory.
	Keep bool
}

// nodes adds the network to a graph: the output for the input x, and what each layer gives (nil where no node holds that).
//
// A ReLU is computed with the convolution before it. One before a max pooling is computed after it instead, on a fraction of the elements, unless the graph keeps what each layer gives: the two commute, since
// ReLU is monotonic and lets NaN pass; and where a window's winner differs, among elements of which none is positive, its gradient is 0. Outputs and gradients are the same bits.
func (n *Network) nodes(b *Builder, x *G.Node, params []*G.Node, o BuildOptions) (y *G.Node, each []*G.Node, err error) {
	each = make([]*G.Node, len(n.layers))
	y = x
	apply := func(i int) error {
		own := make([]*G.Node, len(n.owned[i]))
		for j, k := range n.owned[i] {
			own[j] = params[k]
		}
		b.first = y == x && !o.InputGradient
		if y, err = n.layers[i].Apply(b, y, own); err != nil {
			return errors.Wrapf(err, "model: %s: layer %d, %s", n.name, i+1, n.names[i])
		}
		return nil
	}
	// given returns an error unless y is what layer i said that its output would be: layers may be a caller's.
	given := func(i int) error {
		want := append(tensor.Shape{x.Shape()[0]}, n.shapes[i]...)
		if y == nil || y.Graph() != b.graph || !slices.Equal(y.Shape(), want) {
			got := "no node of the graph"
			if y != nil && y.Graph() == b.graph {
				got = fmt.Sprintf("a node of shape %v", y.Shape())
			}
			return errors.Errorf("model: %s: layer %d, %s, gives %s, want shape %v as its Output says", n.name, i+1, n.names[i], got, want)
		}
		return nil
	}
	for i := 0; i < len(n.layers); i++ {
		late := n.isReLU(i) && n.isMaxPool(i+1) && !o.Keep
		_, conv := n.layers[i].(Conv)
		b.relu = conv && n.isReLU(i+1) && (o.Keep || !n.isMaxPool(i+2))
		order := []int{i}
		if late {
			order = []int{i + 1, i}
		}
		for _, k := range order {
			if err := apply(k); err != nil {
				return nil, nil, err
			}
		}
		if late || b.relu {
			i++
		}
		if err := given(i); err != nil {
			return nil, nil, err
		}
		each[i] = y
	}
	return y, each, nil
}

func (n *Network) isReLU(i int) bool {
	if i >= len(n.layers) {
		return false
	}
	_, ok := n.layers[i].(ReLU)
	return ok
}

func (n *Network) isMaxPool(i int) bool {
	if i >= len(n.layers) {
		return false
	}
	p, ok := n.layers[i].(Pool)
	return ok && p.Method == Max
}
