package ops_test

import (
	"fmt"
	"testing"

	G "gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/convgrad/convgrad/ops"
)

// highest is a user's op that gives a whole number: the index of the largest element.
type highest[T int | int32 | int64] struct{}

func (highest[T]) Infer([]tensor.Shape) (tensor.Shape, error) { return tensor.Shape{}, nil }

func (highest[T]) Types([]tensor.Dtype) (tensor.Dtype, error) { return of[T](), nil }

func (highest[T]) Compute(c *ops.Call) error {
	best, x := 0, ops.In[float64](c, 0)
	for i, v := range x {
		if v > x[best] {
			best = i
		}
	}
	ops.Out[T](c)[0] = T(best)
	return nil
}

func (highest[T]) Rule([]*G.Node, *G.Node, *G.Node) ([]*G.Node, error) { return []*G.Node{nil}, nil }

// repeated takes a whole number, and multiplies by one more than it.
type repeated struct{}

func (repeated) Infer(in []tensor.Shape) (tensor.Shape, error) { return in[0], nil }

func (repeated) Types(in []tensor.Dtype) (tensor.Dtype, error) { return in[0], nil }

func (repeated) Compute(c *ops.Call) error {
	n := c.Ints(1)[0] + 1
	for i, v := range ops.In[float64](c, 0) {
		ops.Out[float64](c)[i] = v * float64(n)
	}
	return nil
}

func (repeated) Rule(in []*G.Node, _, dy *G.Node) ([]*G.Node, error) {
	dx, err := ops.Apply(repeated{}, dy, in[1])
	return []*G.Node{dx, nil}, err
}

func of[T int | int32 | int64]() tensor.Dtype {
	switch any(T(0)).(type) {
	case int32:
		return tensor.Int32
	case int64:
		return tensor.Int64
	}
	return tensor.Int
}

// A user's op may give a whole number, and another take it, in every machine and type.
func TestIntegerScalars(t *testing.T) {
	t.Run("int", integerScalars[int])
	t.Run("int32", integerScalars[int32])
	t.Run("int64", integerScalars[int64])
}

func integerScalars[T int | int32 | int64](t *testing.T) {
	for _, machine := range machines {
		g := G.NewGraph()
		x := leaf(g, "x", tensor.Shape{3}, []float64{1, 5, 3})
		at := must(t)(ops.Apply(highest[T]{}, x))
		y := must(t)(ops.Apply(repeated{}, x, at))
		got, grads := mustEvaluate[float64](t, machine, must(t)(costOf(y, []float64{1, 2, 3})), y, x)
		equal(t, machine+": twice x", got, []float64{2, 10, 6})
		equal(t, machine+": twice the cotangent", grads[0], []float64{2, 4, 6})
		if v := at.Value(); v != nil && fmt.Sprint(v.Data()) != "1" {
			t.Errorf("%s: the index is %v, want 1", machine, v)
		}
	}
}
