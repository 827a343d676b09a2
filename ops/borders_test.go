package ops_test

import (
	"slices"
	"strings"
	"testing"

	G "gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/convgrad/convgrad/ops"
	"github.com/convgrad/convgrad/ops/vm"
)

// A side of 0 divides nothing: normalisations and losses of empty tensors are empty, and what has
// no elements to take statistics of is an error.
func TestSidesOfZero(t *testing.T) {
	type call = func(x *G.Node) (*G.Node, error)
	stats := func(x *G.Node) ops.Stats {
		c := x.Shape()[1]
		of := func(name string) *G.Node {
			return valued(x.Graph(), name, tensor.New(tensor.WithShape(c), tensor.Of(tensor.Float64)))
		}
		return ops.Stats{Mean: of("mean"), Var: of("var")}
	}
	for _, c := range []struct {
		name  string
		shape tensor.Shape
		build call
		fails string // or ""
	}{
		{"BatchNorm, no image", tensor.Shape{0, 2, 3, 4}, func(x *G.Node) (*G.Node, error) { return ops.BatchNorm(x, nil, nil, 1) }, "of 0 elements a channel"},
		{"BatchNorm, no row", tensor.Shape{2, 3, 0, 4}, func(x *G.Node) (*G.Node, error) { return ops.BatchNorm(x, nil, nil, 1) }, "of 0 elements a channel"},
		{"BatchNorm, no channel", tensor.Shape{5, 0, 3}, func(x *G.Node) (*G.Node, error) { return ops.BatchNorm(x, nil, nil, 1) }, ""},
		{"BatchNormEval, no image", tensor.Shape{0, 2, 3}, func(x *G.Node) (*G.Node, error) { return ops.BatchNormEval(x, nil, nil, stats(x), 1) }, ""},
		{"BatchNormEval, no channel", tensor.Shape{2, 0}, func(x *G.Node) (*G.Node, error) { return ops.BatchNormEval(x, nil, nil, stats(x), 1) }, ""},
		{"GroupNorm, no image", tensor.Shape{0, 6, 3}, func(x *G.Node) (*G.Node, error) { return ops.GroupNorm(x, nil, nil, 2, 1) }, ""},
		{"GroupNorm, no channel", tensor.Shape{2, 0, 3}, func(x *G.Node) (*G.Node, error) { return ops.GroupNorm(x, nil, nil, 2, 1) }, ""},
		{"LayerNorm, no item", tensor.Shape{0, 3}, func(x *G.Node) (*G.Node, error) { return ops.LayerNorm(x, nil, nil, 1, 1) }, ""},
		{"LayerNorm, no element", tensor.Shape{3, 0}, func(x *G.Node) (*G.Node, error) { return ops.LayerNorm(x, nil, nil, 1, 1) }, ""},
	} {
		x := valued(G.NewGraph(), "x", tensor.New(tensor.WithShape(c.shape...), tensor.Of(tensor.Float64)))
		y, err := c.build(x)
		if c.fails != "" {
			if err == nil || !strings.Contains(err.Error(), c.fails) {
				t.Errorf("%s: got %v, want an error with %q", c.name, err, c.fails)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		dx := must(t)(first(ops.Grad(must(t)(ops.Sum(y)), nil, x)))
		m, err := vm.New(x.Graph(), y, dx)
		if err != nil {
			t.Fatal(err)
		}
		if err := m.RunAll(); err != nil {
			t.Errorf("%s: %v", c.name, err)
		} else if !slices.Equal(y.Value().Shape(), c.shape) || !slices.Equal(dx.Value().Shape(), c.shape) {
			t.Errorf("%s: y has shape %v and dx %v, want %v", c.name, y.Value().Shape(), dx.Value().Shape(), c.shape)
		}
		m.Close()
	}
	// Of no classes no label is one, which the run says; the constructor must not panic.
	x := G.NewTensor(G.NewGraph(), tensor.Float64, 3, G.WithShape(2, 0, 3), G.WithName("x"))
	target := G.NewTensor(x.Graph(), tensor.Int, 2, G.WithShape(2, 3), G.WithName("t"))
	if y, err := ops.CrossEntropy(x, target, ops.CrossEntropyParams{}); (y == nil) == (err == nil) {
		t.Errorf("no classes give %v and %v, want a node or an error", y, err)
	}
}

func first(n G.Nodes, err error) (*G.Node, error) {
	if err != nil {
		return nil, err
	}
	return n[0], nil
}

// The maximum of a scalar is that scalar, and its derivative 1, in every machine.
func TestMaxOfScalar(t *testing.T) {
	for _, machine := range machines {
		x := G.NewScalar(G.NewGraph(), tensor.Float64, G.WithName("x"), G.WithValue(1.5))
		y := must(t)(ops.Max(x))
		cost := must(t)(ops.Square(y))
		value, grads, err := evaluate[float64](machine, cost, cost, x)
		if err != nil || value[0] != 2.25 || grads[0][0] != 3 {
			t.Errorf("%s: its square is %v and has the gradient %v, %v, want 2.25 and 3", machine, value, grads, err)
		}
	}
}

// A node that is no op's and of no graph is an error of each constructor that looks at ranks.
func TestZeroNode(t *testing.T) {
	zero := new(G.Node)
	x := G.NewMatrix(G.NewGraph(), tensor.Float64, G.WithShape(2, 3), G.WithName("x"))
	for name, err := range map[string]error{
		"Linear": second(ops.Linear(zero, x, nil)), "MatMul": second(ops.MatMul(zero, x)), "Concat": second(ops.Concat(0, zero)),
		"Slice": second(ops.Slice(zero, 0, 0, 1, 1)), "Unsqueeze": second(ops.Unsqueeze(zero, 0)), "Transpose": second(ops.Transpose(zero)),
	} {
		if err == nil || !strings.Contains(err.Error(), "in no graph") {
			t.Errorf("%s: got %v, want an error with \"in no graph\"", name, err)
		}
	}
}

func second(_ *G.Node, err error) error { return err }
