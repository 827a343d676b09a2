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
	return Array{shape, make([]float64, tensor.Shape(shape).TotalSize())}
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
		nodes = append(nodes, values.Leaf(g, fmt.Sprint("in", i), tensor.Float64, a.Shape))
		G.WithValue(a.Value(tensor.Float64))(nodes[i])
	}
	return g, nodes
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
		c, err := values.Weighted(n, "dy", dy.Data)
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
