package ops_test

import (
	"fmt"
	"math"
	"testing"

	G "gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/convgrad/convgrad/ops"
	"github.com/convgrad/convgrad/ops/vm"
	"github.com/convgrad/convgrad/verify"
)

// Swish returns the node x·σ(x): an op of a user's own.
func Swish(x *G.Node) (*G.Node, error) { return ops.Apply(swish{}, x) }

type swish struct{} // fields are parameters, and hashed

func (swish) Infer(in []tensor.Shape) (tensor.Shape, error) { return in[0], nil }

func (o swish) Compute(c *ops.Call) error {
	return ops.ByType(o, c, swishForward[float32], swishForward[float64])
}

func swishForward[T ops.Float](_ swish, c *ops.Call) error {
	y := ops.Out[T](c)
	for i, x := range ops.In[T](c, 0) {
		y[i] = T(float64(x) / (1 + math.Exp(-float64(x))))
	}
	return nil
}

// dx = dy·(y + s − s·y), s = σ(x)
func (swish) Rule(in []*G.Node, y, dy *G.Node) ([]*G.Node, error) {
	var t ops.Try
	s := t.Do(ops.Sigmoid(in[0]))
	d := t.Do(ops.Add(y, t.Do(ops.Sub(s, t.Do(ops.Mul(s, y))))))
	return []*G.Node{t.Do(ops.Mul(dy, d))}, t.Err()
}

// An op of one's own: a value with three methods. One call checks it.
func ExampleApply() {
	g := G.NewGraph()
	x := G.NewVector(g, tensor.Float64, G.WithShape(3), G.WithName("x"),
		G.WithValue(tensor.New(tensor.WithBacking([]float64{-1, 0, 1}))))
	y, err := Swish(x)
	if err != nil {
		fmt.Println(err)
		return
	}
	var t ops.Try
	dx, err := ops.Grad(t.Do(ops.Sum(y)), nil, x)
	if err != nil {
		fmt.Println(err)
		return
	}
	m, err := vm.New(g, y, dx[0])
	if err != nil {
		fmt.Println(err)
		return
	}
	if err := m.RunAll(); err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("%.4f\n%.4f\n", y.Value().Data(), dx[0].Value().Data())
	// Output:
	// [-0.2689 0.0000 0.7311]
	// [0.0723 0.5000 0.9277]
}

func TestSwish(t *testing.T) {
	verify.Op(t, func(in []*G.Node) (*G.Node, error) { return Swish(in[0]) }, verify.Normal("x", 3, 4))
}

type held struct{ Table *[3]float64 }

func (held) Infer(in []tensor.Shape) (tensor.Shape, error)       { return in[0], nil }
func (held) Compute(*ops.Call) error                             { return nil }
func (held) Rule([]*G.Node, *G.Node, *G.Node) ([]*G.Node, error) { return nil, nil }

// rules is an op whose rule is wrong in some way.
type rules struct{ Wrong int }

func (rules) Infer(in []tensor.Shape) (tensor.Shape, error) { return in[0], nil }
func (o rules) Compute(c *ops.Call) error                   { return ops.ByType(o, c, copied[float32], copied[float64]) }
func copied[T ops.Float](_ rules, c *ops.Call) error {
	copy(ops.Out[T](c), ops.In[T](c, 0))
	return nil
}
func (o rules) Rule(in []*G.Node, y, dy *G.Node) ([]*G.Node, error) {
	switch o.Wrong {
	case 1:
		return nil, fmt.Errorf("no rule today")
	case 2:
		panic("on purpose")
	case 3:
		return []*G.Node{dy, dy}, nil
	case 4:
		s, err := ops.Sum(dy)
		return []*G.Node{s}, err
	case 5:
		return []*G.Node{G.NewVector(G.NewGraph(), tensor.Float64, G.WithShape(3), G.WithName("other"))}, nil
	case 6:
		n := G.NewVector(dy.Graph(), tensor.Float64, G.WithShape(3), G.WithName("leaf"))
		m, err := ops.Mul(dy, n)
		return []*G.Node{m}, err
	case 7: // a constant is fine
		m, err := ops.Mul(dy, dy.Graph().AddNode(G.NewConstant(3.0)))
		return []*G.Node{m}, err
	}
	return []*G.Node{nil}, nil
}

// What is wrong with a user's op is an error that names it, before and while it runs.
func TestApplyErrors(t *testing.T) {
	t.Chdir(t.TempDir()) // LispMachine writes a drawing of a graph that fails
	vector := func(g *G.ExprGraph, name string) *G.Node { return leaf(g, name, tensor.Shape{3}, []float64{1, 2, 3}) }
	wantError(t, "ops: held: ops_test.held.Table is a ptr: want numbers, strings, flags, arrays and structs of them", func() error {
		_, err := ops.Apply(held{}, vector(G.NewGraph(), "x"))
		return err
	})
	wantError(t, "ops: swish: operand 0 is nil, want a node", func() error {
		_, err := ops.Apply(swish{}, nil)
		return err
	})
	wantError(t, "ops: swish: got no operands, want at least one", func() error {
		_, err := ops.Apply(swish{})
		return err
	})
	wantError(t, "ops: swish: operand 0 has elements of type int, want float32 or float64", func() error {
		_, err := ops.Apply(swish{}, labels(G.NewGraph(), 1, 2))
		return err
	})
	for wrong, want := range map[int]string{
		1: "the rule: no rule today",
		2: "the rule panicked: on purpose",
		3: "the rule has 2 results, want one for each of 1 operands",
		4: "the rule's node for operand 0 has shape (), want (3) like the operand",
		5: "the rule's node for operand 0 is of another graph than the operands",
		6: `the rule has a leaf of its own, "leaf": want constants in its place`,
	} {
		g := G.NewGraph()
		x := vector(g, "x")
		y := must(t)(ops.Apply(rules{wrong}, x))
		_, err := ops.Grad(must(t)(ops.Sum(y)), nil, x)
		if err == nil || err.Error() != "ops: Grad: rules: ops: rules: SymDiff: "+want {
			t.Errorf("rule %d: error %v, want %q", wrong, err, want)
		}
		cost := must(t)(costOf(y, []float64{1, 2, 3}))
		m := G.NewLispMachine(g)
		if err := m.RunAll(); err == nil {
			t.Errorf("rule %d: LispMachine runs, want an error", wrong)
		}
		m.Close()
		_ = cost
	}
	for _, machine := range machines {
		g := G.NewGraph()
		x := vector(g, "x")
		y := must(t)(ops.Apply(rules{7}, x))
		_, grads := mustEvaluate[float64](t, machine, must(t)(costOf(y, []float64{1, 2, 3})), y, x)
		equal(t, machine+": three times the cotangent", grads[0], []float64{3, 6, 9})
	}
}

func wantError(t *testing.T, want string, f func() error) {
	t.Helper()
	if err := f(); err == nil || err.Error() != want {
		t.Errorf("got the error %v, want %q", err, want)
	}
}

// After an error a Try hands out stand-ins: nothing panics, and the first error stays.
func TestTry(t *testing.T) {
	g := G.NewGraph()
	x := leaf(g, "x", tensor.Shape{2}, []float64{1, 2})
	var try ops.Try
	if y := try.Do(ops.ReLU(x)); try.Err() != nil || y.Graph() != g {
		t.Fatalf("a node is not handed through: %v", try.Err())
	}
	y := try.Do(ops.ReLU(nil))
	first := try.Err()
	if first == nil || y.Shape()[3] != 1 {
		t.Fatalf("error %v, shape %v", first, y.Shape())
	}
	y = try.Do(ops.Add(try.Do(ops.Reshape(y, y.Shape()[0], -1)), x))
	try.Do(ops.Conv2D(y, y, nil, ops.ConvParams{}))
	if y = try.Do(ops.ReLU(x)); y.Graph() == g {
		t.Error("a node is handed out after an error")
	}
	if try.Err() != first {
		t.Errorf("the error is %v, want the first, %v", try.Err(), first)
	}
	var none ops.Try
	if none.Do(nil, nil).Dims(); none.Err() == nil {
		t.Error("neither node nor error is no error")
	}
}
