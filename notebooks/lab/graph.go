package lab

import (
	"fmt"

	G "gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// A Build makes a node from its inputs.
type Build func(in G.Nodes) (*G.Node, error)

// Forward runs build's graph on the inputs and returns its value.
func Forward(build Build, in ...*tensor.Dense) *tensor.Dense {
	y, _ := run(build, nil, false, in)
	return y
}

// Backward runs build's graph on the inputs and returns its value and, for each input, the gradient
// of E = Σ dy·y by the derivative rules of the ops: what backpropagation hands to the input when dy
// arrives at the output. dy nil means that y is a scalar, E itself. The gradient of an input of
// integers is nil.
func Backward(build Build, dy *tensor.Dense, in ...*tensor.Dense) (y *tensor.Dense, grads []*tensor.Dense) {
	return run(build, dy, true, in)
}

func run(build Build, dy *tensor.Dense, backward bool, in []*tensor.Dense) (*tensor.Dense, []*tensor.Dense) {
	g := G.NewGraph()
	nodes, wrt, at := make(G.Nodes, len(in)), G.Nodes(nil), []int(nil)
	for i, t := range in {
		nodes[i] = Input(g, fmt.Sprintf("in%d", i), t)
		if t.Dtype() == tensor.Float64 || t.Dtype() == tensor.Float32 {
			wrt, at = append(wrt, nodes[i]), append(at, i)
		}
	}
	y := Must(build(nodes))
	var value G.Value
	G.Read(y, &value)
	grads := make([]*tensor.Dense, len(in))
	if backward {
		e := y
		if dy != nil {
			e = Must(G.Sum(Must(G.HadamardProd(y, Input(g, "dy", dy)))))
		}
		Must(G.Grad(e, wrt...))
	}
	vm := G.NewTapeMachine(g, G.BindDualValues(wrt...))
	defer vm.Close()
	if err := vm.RunAll(); err != nil {
		panic(err)
	}
	if backward {
		for k, n := range wrt {
			grads[at[k]] = dense(Must(n.Grad()))
		}
	}
	return dense(value), grads
}

// Input adds a tensor to a graph.
func Input(g *G.ExprGraph, name string, t *tensor.Dense) *G.Node {
	return G.NewTensor(g, t.Dtype(), t.Dims(), G.WithShape(t.Shape().Clone()...), G.WithName(name), G.WithValue(t))
}

// dense returns a value as a tensor of its own memory.
func dense(v G.Value) *tensor.Dense {
	switch v := v.(type) {
	case *tensor.Dense:
		return v.Clone().(*tensor.Dense)
	case *G.F64:
		return Of([]float64{float64(*v)}, 1)
	case *G.F32:
		return Of([]float64{float64(*v)}, 1)
	}
	panic(fmt.Sprintf("lab: a value of type %T", v))
}

// Must returns v, or panics with the error.
func Must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}
