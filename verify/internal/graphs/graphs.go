// Package graphs runs a Gorgonia graph on numbers and reads what it gives: for the rooms beside the
// checker, which judges by itself.
package graphs

import (
	"fmt"

	"github.com/pkg/errors"
	G "gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/convgrad/convgrad/verify"
	"github.com/convgrad/convgrad/verify/internal/values"
)

// An Array is a tensor in row-major order, whatever the element type of the graph that it is for.
type Array struct {
	Shape []int
	Data  []float64
}

// Zeros is an array of zeros.
func Zeros(shape ...int) Array {
	n := 1
	for _, s := range shape {
		n *= s
	}
	return Array{shape, make([]float64, n)}
}

// Ones is an array of ones.
func Ones(shape ...int) Array {
	a := Zeros(shape...)
	for i := range a.Data {
		a.Data[i] = 1
	}
	return a
}

// Clone shares no elements with the array.
func (a Array) Clone() Array { return Array{a.Shape, append([]float64(nil), a.Data...)} }

// Value is the array as a value of an element type.
func (a Array) Value(of tensor.Dtype) G.Value { return values.Of(of, a.Shape, a.Data) }

// Leaves are nodes of a new graph that hold the arrays, in float64.
func Leaves(in ...Array) (*G.ExprGraph, []*G.Node) {
	g := G.NewGraph()
	var nodes []*G.Node
	for i, a := range in {
		nodes = append(nodes, G.NewTensor(g, tensor.Float64, len(a.Shape), G.WithShape(a.Shape...),
			G.WithName(fmt.Sprintf("in%d", i)), G.WithValue(a.Value(tensor.Float64))))
	}
	return g, nodes
}

// Cost is Σ y ⊙ dy, whose gradients are those under the cotangent dy.
func Cost(y *G.Node, dy Array) (*G.Node, error) {
	if y.IsScalar() {
		return G.Mul(y, G.NewConstant(dy.Data[0], G.WithName("dy")))
	}
	d := G.NewTensor(y.Graph(), tensor.Float64, len(dy.Shape), G.WithShape(dy.Shape...),
		G.WithName("dy"), G.WithValue(dy.Value(tensor.Float64)))
	p, err := G.HadamardProd(y, d)
	if err != nil {
		return nil, err
	}
	return G.Sum(p)
}

// Run computes the node and, unless dy has no data, the gradients of its inputs under the cotangent
// dy, by TapeMachine in float64. A panic on this goroutine is an error.
func Run(build verify.Build, in []Array, dy Array) (y Array, dx []Array, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = errors.Errorf("panic: %v", r)
		}
	}()
	g, nodes := Leaves(in...)
	n, err := build(nodes)
	if err != nil {
		return y, nil, err
	}
	var read G.Value
	G.Read(n, &read)
	var grads G.Nodes
	if dy.Data != nil {
		c, err := Cost(n, dy)
		if err != nil {
			return y, nil, err
		}
		if grads, err = G.Grad(c, nodes...); err != nil {
			return y, nil, err
		}
	}
	m := G.NewTapeMachine(g)
	defer m.Close()
	if err := m.RunAll(); err != nil {
		return y, nil, err
	}
	y.Shape = append([]int(nil), n.Shape()...)
	if y.Data, err = values.Floats(read); err != nil {
		return y, nil, err
	}
	for i, d := range grads {
		f, err := values.Floats(d.Value())
		if err != nil {
			return y, nil, errors.Wrapf(err, "the gradient of input %d", i)
		}
		dx = append(dx, Array{in[i].Shape, f})
	}
	return y, dx, nil
}

// Forward computes the node alone.
func Forward(build verify.Build, in ...Array) (Array, error) {
	y, _, err := Run(build, in, Array{})
	return y, err
}

// Of is an array of a shape and its elements, which it keeps.
func Of(shape []int, data []float64) Array { return Array{shape, data} }
