package ops_test

import (
	"math/rand/v2"
	"testing"

	G "gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/convgrad/convgrad/ops"
	"github.com/convgrad/convgrad/ops/vm"
)

// A twoLayer network is conv, ReLU, pool, conv, flatten, linear, cross-entropy.
type twoLayer struct {
	x, cost *G.Node
	params  G.Nodes
}

func newTwoLayer(t *testing.T) twoLayer {
	m, g, r := must(t), G.NewGraph(), rand.New(rand.NewPCG(71, 0))
	param := func(name string, shape ...int) *G.Node {
		return leaf(g, name, shape, uniform[float64](r, tensor.Shape(shape).TotalSize()))
	}
	n := twoLayer{x: param("x", 2, 3, 9, 8), params: G.Nodes{
		param("w1", 4, 3, 3, 2), param("b1", 4), param("w2", 5, 4, 2, 2), param("b2", 5), param("w3", 6, 5*2*2), param("b3", 6),
	}}
	p := n.params
	y := m(ops.ReLU(m(ops.Conv2D(n.x, p[0], p[1], ops.ConvParams{}))))
	y = m(ops.MaxPool2D(y, ops.PoolParams{Window: ops.Both(2)}))
	y = m(ops.Flatten(m(ops.Conv2D(y, p[2], p[3], ops.ConvParams{}))))
	n.cost = m(ops.CrossEntropy(m(ops.Linear(y, p[4], p[5])), labels(g, 5, 0), ops.CrossEntropyParams{}))
	return n
}

// The gradient by a network's input is not computed by ops/vm where nobody asks for it, although a
// rule makes nodes for it.
func TestUnaskedGradientIsNotComputed(t *testing.T) {
	steps := func(asked func(n twoLayer) G.Nodes) int {
		n := newTwoLayer(t)
		grads, err := ops.Grad(n.cost, nil, asked(n)...)
		if err != nil {
			t.Fatal(err)
		}
		m, err := vm.New(n.cost.Graph(), append(grads, n.cost)...)
		if err != nil {
			t.Fatal(err)
		}
		defer m.Close()
		return m.Steps()
	}
	some := steps(func(n twoLayer) G.Nodes { return n.params })
	all := steps(func(n twoLayer) G.Nodes { return append(n.params, n.x) })
	if all != some+1 {
		t.Errorf("%d steps, and %d with the gradient by x, want one more", some, all)
	}
}
