package ops_test

import (
	"math/rand/v2"
	"slices"
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

func newTwoLayer(t *testing.T, data bool) twoLayer {
	m, g, r := must(t), G.NewGraph(), rand.New(rand.NewPCG(71, 0))
	param := func(name string, shape ...int) *G.Node {
		return leaf(g, name, shape, uniform[float64](r, tensor.Shape(shape).TotalSize()))
	}
	n := twoLayer{x: param("x", 2, 3, 9, 8), params: G.Nodes{
		param("w1", 4, 3, 3, 2), param("b1", 4), param("w2", 5, 4, 2, 2), param("b2", 5), param("w3", 6, 5*2*2), param("b3", 6),
	}}
	p := n.params
	y := m(ops.Conv2D(n.x, p[0], p[1], ops.ConvParams{ReLU: true, Data: data}))
	y = m(ops.MaxPool2D(y, ops.PoolParams{Window: ops.Both(2)}))
	y = m(ops.Flatten(m(ops.Conv2D(y, p[2], p[3], ops.ConvParams{}))))
	n.cost = m(ops.CrossEntropy(m(ops.Linear(y, p[4], p[5])), labels(g, 5, 0), ops.CrossEntropyParams{}))
	return n
}

// count is how many nodes of a graph apply an op of that name.
func count(g *G.ExprGraph, name string) (n int) {
	for _, node := range g.AllNodes() {
		if node.Op() != nil && node.Op().String() == name {
			n++
		}
	}
	return n
}

// The gradient by a network's input, which nobody asks for, is not computed: with Data there is no
// op for it in the graph at all, in any machine; without, ops/vm leaves it out.
func TestUnaskedGradientIsNotComputed(t *testing.T) {
	grads := map[bool]map[string][][]float64{true: {}, false: {}}
	for _, data := range []bool{true, false} {
		for _, machine := range machines {
			n := newTwoLayer(t, data)
			_, grads[data][machine] = mustEvaluate[float64](t, machine, n.cost, n.cost, n.params...)
			g := n.cost.Graph()
			if machine == lisp {
				if v, err := n.x.Grad(); err == nil && data {
					x, err := elements[float64](v)
					if err != nil {
						t.Fatal(err)
					}
					if slices.ContainsFunc(x, func(v float64) bool { return v != 0 }) {
						t.Errorf("%s: the gradient by x was computed in spite of Data", machine)
					}
				}
				continue // it makes no nodes
			}
			want := 2
			if data {
				want = 1 // the second convolution's
			}
			if got := count(g, "Conv2DBackwardData"); got != want {
				t.Errorf("%s, Data %v: %d Conv2DBackwardData in the graph, want %d", machine, data, got, want)
			}
			if got := count(g, "Conv2DBackwardFilter"); got != 2 {
				t.Errorf("%s, Data %v: %d Conv2DBackwardFilter in the graph, want 2", machine, data, got)
			}
		}
	}
	for i := range grads[true][tape] {
		for _, machine := range machines {
			equal(t, machine+": gradient with and without Data", grads[true][machine][i], grads[false][machine][i])
		}
	}

	steps := func(data, x bool) int {
		n := newTwoLayer(t, data)
		asked := n.params
		if x {
			asked = append(asked, n.x)
		}
		nodes, err := G.Grad(n.cost, asked...)
		if err != nil {
			t.Fatal(err)
		}
		m, err := vm.New(n.cost.Graph(), append(nodes, n.cost)...)
		if err != nil {
			t.Fatal(err)
		}
		defer m.Close()
		return m.Steps()
	}
	if with, without, all := steps(true, false), steps(false, false), steps(false, true); with != without || all != without+1 {
		t.Errorf("ops/vm takes %d steps with Data, %d without and %d if x's gradient is wanted: want the same and one more", with, without, all)
	}

	n := newTwoLayer(t, true)
	if err := refused(func() error { _, err := G.Grad(n.cost, n.x); return err }); err == nil {
		t.Error("no error, although x was said to be data and its gradient was asked for")
	}
}
