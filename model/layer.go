package model

import (
	"fmt"

	"github.com/pkg/errors"
	G "gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/convgrad/convgrad/ops"
)

// A Layer is one step of a network: a description, without weights. Shapes leave the batch out: C×H×W, or a vector's length. NewSequential copies the layers that it is given by
// pointer. Output says whether the layer takes an input; for one that it does not, there are no Weights and no Cost.
type Layer interface {
	// Kind is what the layer is called in summaries, errors and, numbered, in the names of its parameters: "conv" makes "conv1.weight".
	Kind() string
	// Output returns the shape of the layer's output. It returns an error that names what was got and wanted if the layer cannot take the input.
	Output(input tensor.Shape) (tensor.Shape, error)
	// Weights lists the layer's parameters for such an input.
	Weights(input tensor.Shape) []Weight
	// Cost is the number of multiply-adds for one sample.
	Cost(input tensor.Shape) int64
	// Window is how an output pixel sees the input; ok is false for layers without such a window: those that see all of it, and those that only rearrange it.
	Window() (w Window, ok bool)
	// Apply adds the layer to a graph. params are the nodes of Weights, in order.
	Apply(b *Builder, x *G.Node, params []*G.Node) (*G.Node, error)
}

// A Window is how a layer sees its input: size in pixels, dilation included, and stride, down and across.
type Window struct{ Size, Stride ops.Size }

// A Weight is a parameter of a layer: its name within the layer, its shape, and the number of inputs that each output sums, from which it is initialised.
type Weight struct {
	Name  string
	Shape tensor.Shape
	FanIn int
}

// A Builder is what layers may use while a graph is built.
type Builder struct {
	Training bool // the graph has gradients; one without only evaluates
	Winograd bool // permit Winograd's algorithm in convolutions

	first  bool // the layer's input is the network's: data whose gradient nobody wants
	relu   bool // the next layer is a ReLU, to be fused into this one
	graph  *G.ExprGraph
	seed   uint64
	random *ops.Random
}

// Random is the graph's source of dropout masks, made at the first call. It returns an error in a graph that only evaluates: there is nothing to drop.
func (b *Builder) Random() (*ops.Random, error) {
	if b == nil || !b.Training {
		return nil, errors.New("model: a graph that only evaluates has no source of dropout masks")
	}
	var err error
	if b.random == nil {
		b.random, err = ops.NewRandom(b.graph, b.seed)
	}
	return b.random, err
}

func image(kind string, s tensor.Shape) error {
	if len(s) != 3 {
		return errors.Errorf("%s: the input has shape %v, want C×H×W", kind, s)
	}
	return nil
}

// Conv is a convolution of Filters filters of Size, with a bias each unless NoBias is set. Its parameters are "weight", K×(C/Groups)×R×S, and "bias", K.
type Conv struct {
	Filters  int
	Size     ops.Size
	Stride   ops.Size // {0, 0} stands for {1, 1}
	Dilation ops.Size // {0, 0} stands for {1, 1}
	Pad      ops.Padding
	Groups   int  // 0 stands for 1
	Flip     bool // the article's true convolution
	NoBias   bool
}

func (l Conv) Kind() string { return "conv" }

func (l Conv) params(b *Builder) ops.ConvParams {
	p := ops.ConvParams{Stride: l.Stride, Dilation: l.Dilation, Pad: l.Pad, Groups: l.Groups, Flip: l.Flip}
	if b != nil {
		p.Winograd, p.Data, p.ReLU = b.Winograd, b.first, b.relu
	}
	return p
}

func (l Conv) Output(in tensor.Shape) (tensor.Shape, error) {
	if err := image("conv", in); err != nil {
		return nil, err
	}
	if g := max(l.Groups, 1); l.Groups < 0 || in[0]%g != 0 {
		return nil, errors.Errorf("conv: %d groups do not divide the %d channels of the input %v", l.Groups, in[0], in)
	}
	return ops.Conv2DShape(tensor.Shape{1, in[0], in[1], in[2]}, l.weight(in), l.params(nil))
}

func (l Conv) weight(in tensor.Shape) tensor.Shape {
	return tensor.Shape{l.Filters, in[0] / max(l.Groups, 1), l.Size.H, l.Size.W}
}

func (l Conv) Weights(in tensor.Shape) []Weight {
	if _, err := l.Output(in); err != nil {
		return nil
	}
	w := l.weight(in)
	fan := w[1] * w[2] * w[3]
	ws := []Weight{{"weight", w, fan}}
	if !l.NoBias {
		ws = append(ws, Weight{"bias", tensor.Shape{l.Filters}, fan})
	}
	return ws
}

func (l Conv) Cost(in tensor.Shape) int64 {
	out, err := l.Output(in)
	if err != nil {
		return 0
	}
	return int64(out.TotalSize()) * int64(l.Weights(in)[0].FanIn)
}

func (l Conv) Window() (Window, bool) {
	w := Window{Size: dilated(l.Size, l.Dilation), Stride: l.Stride}
	if w.Stride == (ops.Size{}) {
		w.Stride = ops.Both(1)
	}
	return w, true
}

// dilated is how many pixels a window spans.
func dilated(size, dilation ops.Size) ops.Size {
	return ops.Size{H: (size.H-1)*max(dilation.H, 1) + 1, W: (size.W-1)*max(dilation.W, 1) + 1}
}

func (l Conv) Apply(b *Builder, x *G.Node, params []*G.Node) (*G.Node, error) {
	weight, bias, err := weightAndBias("conv", params, l.NoBias)
	if err != nil {
		return nil, err
	}
	return ops.Conv2D(x, weight, bias, l.params(b))
}

// weightAndBias takes a layer's parameters apart; the bias is nil where there is none.
func weightAndBias(kind string, params []*G.Node, noBias bool) (weight, bias *G.Node, err error) {
	switch {
	case noBias && len(params) == 1:
		return params[0], nil, nil
	case !noBias && len(params) == 2:
		return params[0], params[1], nil
	case noBias:
		return nil, nil, errors.Errorf("%s: got %d parameters, want a weight", kind, len(params))
	}
	return nil, nil, errors.Errorf("%s: got %d parameters, want a weight and a bias", kind, len(params))
}

func (l Conv) String() string {
	s := fmt.Sprintf("%d × %d×%d", l.Filters, l.Size.H, l.Size.W)
	if l.Groups > 1 {
		s += fmt.Sprintf(", %d groups", l.Groups)
	}
	if l.Stride != ops.Both(1) {
		s += pair("stride", l.Stride)
	}
	if l.Dilation != ops.Both(1) {
		s += pair("dilation", l.Dilation)
	}
	s += padding(l.Pad)
	if l.Flip {
		s += ", flipped"
	}
	if l.NoBias {
		s += ", no bias"
	}
	return s
}

// pair and padding describe a layer's parameters where they are not the default.
func pair(name string, v ops.Size) string {
	if v == (ops.Size{}) {
		return ""
	}
	return fmt.Sprintf(", %s %v", name, v)
}

func padding(p ops.Padding) string {
	if p == (ops.Padding{}) {
		return ""
	}
	return fmt.Sprintf(", padding %v", p)
}

// Linear is a fully connected layer to Outputs values, with a bias each unless NoBias is set. Its parameters are "weight", O×I, and "bias", O.
type Linear struct {
	Outputs int
	NoBias  bool
}

func (l Linear) Kind() string { return "fc" }

func (l Linear) Output(in tensor.Shape) (tensor.Shape, error) {
	if len(in) != 1 {
		return nil, errors.Errorf("linear: the input has shape %v, want a vector: put a Flatten before it", in)
	}
	if l.Outputs < 1 {
		return nil, errors.Errorf("linear: %d outputs, want at least 1", l.Outputs)
	}
	return tensor.Shape{l.Outputs}, nil
}

func (l Linear) Weights(in tensor.Shape) []Weight {
	if _, err := l.Output(in); err != nil {
		return nil
	}
	ws := []Weight{{"weight", tensor.Shape{l.Outputs, in[0]}, in[0]}}
	if !l.NoBias {
		ws = append(ws, Weight{"bias", tensor.Shape{l.Outputs}, in[0]})
	}
	return ws
}

func (l Linear) Cost(in tensor.Shape) int64 {
	if _, err := l.Output(in); err != nil {
		return 0
	}
	return int64(l.Outputs) * int64(in[0])
}
func (l Linear) Window() (Window, bool) { return Window{}, false }
func (l Linear) String() string {
	if l.NoBias {
		return fmt.Sprintf("%d outputs, no bias", l.Outputs)
	}
	return fmt.Sprintf("%d outputs", l.Outputs)
}

func (l Linear) Apply(_ *Builder, x *G.Node, params []*G.Node) (*G.Node, error) {
	weight, bias, err := weightAndBias("linear", params, l.NoBias)
	if err != nil {
		return nil, err
	}
	return ops.Linear(x, weight, bias)
}

// plain is what layers without parameters share; they see one pixel through one pixel.
type plain struct{}

func (plain) Weights(tensor.Shape) []Weight { return nil }
func (plain) Cost(tensor.Shape) int64       { return 0 }
func (plain) Window() (Window, bool) {
	return Window{Size: ops.Both(1), Stride: ops.Both(1)}, true
}
func (plain) Output(in tensor.Shape) (tensor.Shape, error) { return in.Clone(), nil }
func (plain) String() string                               { return "" }

// ReLU is max(0, x). After a Conv it is computed in the same pass.
type ReLU struct{ plain }

func (ReLU) Kind() string                                              { return "relu" }
func (ReLU) Apply(_ *Builder, x *G.Node, _ []*G.Node) (*G.Node, error) { return ops.ReLU(x) }

// Flatten makes a vector of an image.
type Flatten struct{ plain }

func (Flatten) Kind() string                                              { return "flatten" }
func (Flatten) Window() (Window, bool)                                    { return Window{}, false }
func (Flatten) Apply(_ *Builder, x *G.Node, _ []*G.Node) (*G.Node, error) { return ops.Flatten(x) }
func (Flatten) Output(in tensor.Shape) (tensor.Shape, error) {
	return tensor.Shape{in.TotalSize()}, nil
}

// Dropout drops each value with probability P in training.
type Dropout struct {
	plain
	P float64
}

func (Dropout) Kind() string     { return "dropout" }
func (l Dropout) String() string { return fmt.Sprintf("p = %g", l.P) }

func (l Dropout) Output(in tensor.Shape) (tensor.Shape, error) {
	if !(l.P >= 0 && l.P < 1) {
		return nil, errors.Errorf("dropout: p is %v, want a probability in [0, 1)", l.P)
	}
	return in.Clone(), nil
}

func (l Dropout) Apply(b *Builder, x *G.Node, _ []*G.Node) (*G.Node, error) {
	if b == nil || !b.Training { // nothing to drop, and nothing to copy
		return x, nil
	}
	r, err := b.Random()
	if err != nil {
		return nil, err
	}
	return ops.Dropout(x, l.P, r)
}

// Pool is a pooling layer.
type Pool struct {
	plain
	Method       PoolMethod
	Size         ops.Size
	Stride       ops.Size // {0, 0} stands for Size
	Dilation     ops.Size // {0, 0} stands for {1, 1}
	Pad          ops.Padding
	CountPadding bool // of Average: padding counts in the divisor
}

// A PoolMethod is how a window becomes one value.
type PoolMethod int

const (
	Max PoolMethod = iota
	Average
	L2
)

// MaxPool is a max pooling with windows of size×size that touch.
func MaxPool(size int) Pool { return Pool{Method: Max, Size: ops.Both(size)} }

func (l Pool) Kind() string {
	switch l.Method {
	case Average:
		return "avgpool"
	case L2:
		return "l2pool"
	}
	return "maxpool"
}

func (l Pool) params() ops.PoolParams {
	p := ops.PoolParams{Window: l.Size, Stride: l.Stride, Dilation: l.Dilation, Pad: l.Pad}
	p.ExcludePadding = l.Method == Average && !l.CountPadding
	return p
}

func (l Pool) Output(in tensor.Shape) (tensor.Shape, error) {
	if err := image(l.Kind(), in); err != nil {
		return nil, err
	}
	if l.Method < Max || l.Method > L2 {
		return nil, errors.Errorf("pool: the method is %d, want Max, Average or L2", int(l.Method))
	}
	return ops.Pool2DShape(tensor.Shape{1, in[0], in[1], in[2]}, l.params())
}

func (l Pool) Window() (Window, bool) {
	w := Window{Size: dilated(l.Size, l.Dilation), Stride: l.Stride}
	if w.Stride == (ops.Size{}) {
		w.Stride = l.Size
	}
	return w, true
}

func (l Pool) Apply(_ *Builder, x *G.Node, _ []*G.Node) (*G.Node, error) {
	switch l.Method {
	case Average:
		return ops.AvgPool2D(x, l.params())
	case L2:
		return ops.L2Pool2D(x, l.params())
	}
	return ops.MaxPool2D(x, l.params())
}

func (l Pool) String() string {
	s := fmt.Sprintf("%d×%d", l.Size.H, l.Size.W)
	if l.Stride != l.Size {
		s += pair("stride", l.Stride)
	}
	if l.Dilation != ops.Both(1) {
		s += pair("dilation", l.Dilation)
	}
	s += padding(l.Pad)
	if l.CountPadding && l.Method == Average && l.Pad != (ops.Padding{}) {
		s += ", padding counts"
	}
	return s
}
