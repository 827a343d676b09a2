package model

import (
	"strconv"

	"github.com/pkg/errors"
	G "gorgonia.org/gorgonia"

	"github.com/convgrad/convgrad/ops"
)

// A Layer is a part of a network: it adds its ops to a graph and returns its output for the input
// x, whose first axis is the batch.
//
// Apply is called once by New and once for each graph, with other batch sizes. It must ask for the
// same weights each time, in evaluation and in training, and must not remember anything between the
// calls; what a layer is made with must not change once it is part of a network.
//
// Apply need not check what the builder returns. After an error the nodes are nil, all methods of
// the builder do nothing, and a panic of Apply itself, as of x.Shape() on a nil x, is caught.
type Layer interface {
	Apply(b *Builder, x *G.Node) *G.Node
}

// LayerFunc is a function as a layer.
type LayerFunc func(b *Builder, x *G.Node) *G.Node

// Apply calls the function.
func (f LayerFunc) Apply(b *Builder, x *G.Node) *G.Node { return f(b, x) }

// As gives a layer a name: in a Sequential in place of its number, and elsewhere below the name
// that it is applied by.
func As(name string, l Layer) Layer { return named{name, l} }

type named struct {
	name  string
	layer Layer
}

func (l named) Apply(b *Builder, x *G.Node) *G.Node { return b.Layer(l.name, l.layer, x) }

// Sequential applies its layers one after the other. They are named "0", "1" and so on, by
// position, or as As says.
//
// In a graph that does not keep what its layers give, a ReLU before a max pooling is computed after
// it, on a fraction of the elements. The two commute: ReLU is monotonic and lets NaN pass, and
// where a window's winner differs, among elements of which none is positive, its gradient is 0.
// Outputs and gradients are the same bits.
type Sequential []Layer

// Apply implements Layer.
func (l Sequential) Apply(b *Builder, x *G.Node) *G.Node {
	for i := 0; i < len(l); i++ {
		switch {
		case b.Err() != nil:
			return nil
		case !b.reorders():
			x = l.apply(b, i, l.at(i), x)
		case l.isReLU(i) && l.isMaxPool(i+1):
			x = l.apply(b, i, l.at(i), l.apply(b, i+1, l.at(i+1), x))
			i++
		default:
			x = l.apply(b, i, l.at(i), x)
		}
	}
	return x
}

func (l Sequential) apply(b *Builder, i int, at Layer, x *G.Node) *G.Node {
	name := strconv.Itoa(i)
	if n, ok := l[i].(named); ok {
		name = n.name
	}
	return b.Layer(name, at, x)
}

// at is a layer without the name that As gave it, or nil where there is none.
func (l Sequential) at(i int) Layer {
	if i >= len(l) {
		return nil
	}
	if n, ok := l[i].(named); ok {
		return n.layer
	}
	return l[i]
}

func (l Sequential) isReLU(i int) bool    { _, ok := l.at(i).(ReLU); return ok }
func (l Sequential) isMaxPool(i int) bool { _, ok := l.at(i).(MaxPool2D); return ok }

// Residual is y = Body(x) + Shortcut(x), where a Shortcut of nil is x itself. The two are named
// "body" and "shortcut".
//
// Its derivative adds up what comes back on both ways.
type Residual struct{ Body, Shortcut Layer }

// Apply implements Layer.
func (l Residual) Apply(b *Builder, x *G.Node) *G.Node {
	y := b.Layer("body", l.Body, x)
	if l.Shortcut != nil {
		x = b.Layer("shortcut", l.Shortcut, x)
	}
	if b.Err() == nil && !y.Shape().Eq(x.Shape()) {
		return b.Do(nil, errors.Errorf("the body gives %v and the shortcut %v, want the same shape",
			y.Shape(), x.Shape()))
	}
	return b.Do(ops.Add(y, x))
}
