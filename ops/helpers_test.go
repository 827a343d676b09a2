package ops_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	G "gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/convgrad/convgrad/internal/kernel"
	"github.com/convgrad/convgrad/ops"
	"github.com/convgrad/convgrad/ops/vm"
)

// The machines that every op must be right under.
const (
	tape = "TapeMachine"
	lisp = "LispMachine"
	ours = "ops/vm"
)

var machines = []string{tape, lisp, ours}

// leaf is an input node with a copy of data as its value.
func leaf[T any](g *G.ExprGraph, name string, shape tensor.Shape, data []T) *G.Node {
	return valued(g, name, tensor.New(tensor.WithShape(shape...), tensor.WithBacking(append([]T(nil), data...))))
}

// valued is an input node with that very tensor as its value.
func valued(g *G.ExprGraph, name string, v *tensor.Dense) *G.Node {
	return G.NewTensor(g, v.Dtype(), v.Dims(), G.WithShape(v.Shape()...), G.WithName(name), G.WithValue(v))
}

// costOf is Σ y ⊙ dy, or y itself if that is a scalar: the gradients of the cost are those of y
// under the cotangent dy.
func costOf[T any](y *G.Node, dy []T) (*G.Node, error) {
	if y.IsScalar() {
		return y, nil
	}
	product, err := G.HadamardProd(y, leaf(y.Graph(), "cotangent of "+fmt.Sprint(y.ID()), y.Shape(), dy))
	if err != nil {
		return nil, err
	}
	return G.Sum(product)
}

// evaluate runs the graph of cost on a machine and returns copies of the values of y and of cost's
// gradients.
func evaluate[T kernel.Float](machine string, cost, y *G.Node, in ...*G.Node) (value []T, grads [][]T, err error) {
	g := cost.Graph()
	var read G.Value
	var nodes G.Nodes
	if machine != ours {
		G.Read(y, &read) // consumers may overwrite y itself
	}
	if machine != lisp {
		if nodes, err = G.Grad(cost, in...); err != nil {
			return nil, nil, err
		}
	}
	switch machine {
	case tape:
		m := G.NewTapeMachine(g)
		defer m.Close()
		err = m.RunAll()
	case lisp:
		m := G.NewLispMachine(g)
		defer m.Close()
		err = m.RunAll()
	case ours:
		var m *vm.Machine
		if m, err = vm.New(g, append(G.Nodes{y}, nodes...)...); err == nil {
			defer m.Close()
			err = m.RunAll()
			read = y.Value()
		}
	}
	if err != nil {
		return nil, nil, err
	}
	if value, err = elements[T](read); err != nil {
		return nil, nil, err
	}
	for i, n := range in {
		v, err := n.Grad()
		if machine != lisp {
			v, err = nodes[i].Value(), nil
		}
		if err != nil {
			return nil, nil, err
		}
		e, err := elements[T](v)
		if err != nil {
			return nil, nil, err
		}
		grads = append(grads, e)
	}
	return value, grads, nil
}

// mustEvaluate is evaluate for a graph that must run.
func mustEvaluate[T kernel.Float](t *testing.T, machine string, cost, y *G.Node, in ...*G.Node) (value []T, grads [][]T) {
	t.Helper()
	value, grads, err := evaluate[T](machine, cost, y, in...)
	if err != nil {
		t.Fatalf("%s: %v", machine, err)
	}
	return value, grads
}

// elements is a copy of a value's elements, in row-major order whatever its strides.
func elements[T kernel.Float](v G.Value) ([]T, error) {
	switch d := v.Data().(type) {
	case T:
		return []T{d}, nil
	case []T:
		t, ok := v.(*tensor.Dense)
		if !ok {
			return nil, fmt.Errorf("a %T", v)
		}
		shape, strides := t.Shape(), t.Strides()
		all := make([]T, shape.TotalSize())
		if len(strides) < len(shape) { // tensor's column-major vectors
			if copy(all, d); max(1, slices.Max(shape)) != len(all) {
				return nil, fmt.Errorf("a tensor of shape %v has strides %v", shape, strides)
			}
			return all, nil
		}
		for i := range all {
			at, rest := 0, i
			for k := len(shape) - 1; k >= 0; k-- {
				at += rest % shape[k] * strides[k]
				rest /= shape[k]
			}
			all[i] = d[at]
		}
		return all, nil
	}
	return nil, fmt.Errorf("a %T of %T", v, v.Data())
}

// uniform are n numbers between −1 and 1; integers are n integers from −limit to limit.
func uniform[T kernel.Float](r *rand.Rand, n int) []T {
	v := make([]T, n)
	for i := range v {
		v[i] = T(2*r.Float64() - 1)
	}
	return v
}

func integers[T kernel.Float](r *rand.Rand, n, limit int) []T {
	v := make([]T, n)
	for i := range v {
		v[i] = T(r.IntN(2*limit+1) - limit)
	}
	return v
}

// equal compares as numbers: NaN with nothing, and zeros of either sign with each other.
func equal[T kernel.Float](t *testing.T, what string, got, want []T) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%s: %d elements, want %d", what, len(got), len(want))
	}
	for i := range got {
		if got[i] != want[i] {
			t.Fatalf("%s: element %d is %v, want %v", what, i, got[i], want[i])
		}
	}
}

// must is G.Must with a test to fail instead of a panic.
func must(t *testing.T) func(n *G.Node, err error) *G.Node {
	return func(n *G.Node, err error) *G.Node {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
}

// excluding is the pooling whose divisor leaves padding out.
func excluding(p ops.PoolParams) ops.PoolParams {
	p.ExcludePadding = true
	return p
}
