package ops_test

import (
	"math"
	"slices"
	"testing"

	G "gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/convgrad/convgrad/ops"
	"github.com/convgrad/convgrad/ops/vm"
)

// An empty batch has an empty output of the right shape, an empty dx, and parameter gradients of
// zeros, under every machine.
func TestEmptyBatch(t *testing.T) {
	pool := ops.PoolParams{Window: ops.Both(2)}
	weights := func(x *G.Node, name string, shape ...int) *G.Node {
		v := make([]float64, tensor.Shape(shape).TotalSize())
		for i := range v {
			v[i] = float64(i + 1)
		}
		return leaf(x.Graph(), name, shape, v)
	}
	for name, c := range map[string]struct {
		x, y  tensor.Shape
		build func(x *G.Node) (y *G.Node, w []*G.Node, err error)
	}{
		"Conv2D": {tensor.Shape{0, 2, 5, 6}, tensor.Shape{0, 3, 5, 6}, func(x *G.Node) (*G.Node, []*G.Node, error) {
			w, b := weights(x, "w", 3, 2, 3, 3), weights(x, "b", 3)
			y, err := ops.Conv2D(x, w, b, ops.ConvParams{Pad: ops.SameUpper()})
			return y, []*G.Node{w, b}, err
		}},
		"Conv2D, depthwise": {tensor.Shape{0, 2, 5, 6}, tensor.Shape{0, 2, 3, 4}, func(x *G.Node) (*G.Node, []*G.Node, error) {
			w := weights(x, "w", 2, 1, 3, 3)
			y, err := ops.Conv2D(x, w, nil, ops.ConvParams{Groups: 2})
			return y, []*G.Node{w}, err
		}},
		"Linear": {tensor.Shape{0, 4}, tensor.Shape{0, 3}, func(x *G.Node) (*G.Node, []*G.Node, error) {
			w, b := weights(x, "w", 3, 4), weights(x, "b", 3)
			y, err := ops.Linear(x, w, b)
			return y, []*G.Node{w, b}, err
		}},
		"MaxPool2D": {tensor.Shape{0, 2, 4, 6}, tensor.Shape{0, 2, 2, 3}, func(x *G.Node) (*G.Node, []*G.Node, error) {
			y, err := ops.MaxPool2D(x, pool)
			return y, nil, err
		}},
		"AvgPool2D": {tensor.Shape{0, 2, 4, 6}, tensor.Shape{0, 2, 2, 3}, func(x *G.Node) (*G.Node, []*G.Node, error) {
			y, err := ops.AvgPool2D(x, pool)
			return y, nil, err
		}},
		"L2Pool2D": {tensor.Shape{0, 2, 4, 6}, tensor.Shape{0, 2, 2, 3}, func(x *G.Node) (*G.Node, []*G.Node, error) {
			y, err := ops.L2Pool2D(x, pool)
			return y, nil, err
		}},
		"a network": {tensor.Shape{0, 2, 4, 6}, tensor.Shape{0, 5}, func(x *G.Node) (*G.Node, []*G.Node, error) {
			var try ops.Try
			w, v, s := weights(x, "w", 3, 2, 3, 3), weights(x, "v", 5, 12), weights(x, "s", 3, 1, 1)
			y := try.Do(ops.ReLU(try.Do(ops.Conv2D(x, w, nil, ops.ConvParams{}))))
			y = try.Do(ops.Mul(try.Do(ops.Concat(0, y, y)), s))
			y = try.Do(ops.Linear(try.Do(ops.Flatten(try.Do(ops.MaxPool2D(y, ops.PoolParams{Window: ops.Size{H: 1, W: 2}})))), v, nil))
			y = try.Do(ops.Softmax(try.Do(ops.Transpose(try.Do(ops.Transpose(y)))), -1))
			return y, []*G.Node{w, v, s}, try.Err()
		}},
	} {
		for _, machine := range machines {
			g := G.NewGraph()
			x := valued(g, "x", tensor.New(tensor.WithShape(c.x...), tensor.Of(tensor.Float64)))
			y, params, err := c.build(x)
			if err != nil {
				t.Errorf("%s: %v", name, err)
				break
			}
			if !slices.Equal(y.Shape(), c.y) {
				t.Errorf("%s: y has shape %v, want %v", name, y.Shape(), c.y)
			}
			cost := must(t)(ops.Sum(y))
			wrt := append([]*G.Node{x}, params...)
			var grads G.Nodes
			if machine != lisp {
				if grads, err = ops.Grad(cost, nil, wrt...); err != nil {
					t.Fatalf("%s: %v", name, err)
				}
			}
			switch machine {
			case tape:
				m := G.NewTapeMachine(g)
				err = m.RunAll()
				m.Close()
			case lisp:
				t.Chdir(t.TempDir()) // it writes a drawing of a graph that fails
				m := G.NewLispMachine(g)
				err = m.RunAll()
				m.Close()
			default:
				var m *vm.Machine
				if m, err = vm.New(g, append(grads, cost, y)...); err == nil {
					err = m.RunAll()
				}
			}
			if err != nil {
				t.Errorf("%s: %s: %v", name, machine, err)
				continue
			}
			for i, w := range wrt {
				var v G.Value
				if machine == lisp {
					v, err = w.Grad()
				} else {
					v = grads[i].Value()
				}
				if err != nil || !slices.Equal(v.Shape(), w.Shape()) {
					t.Errorf("%s: %s: the gradient of %s: %v, want shape %v", name, machine, w.Name(), err, w.Shape())
					continue
				}
				for _, d := range v.(*tensor.Dense).Float64s() {
					if d != 0 {
						t.Errorf("%s: %s: the gradient of %s is %v, want zeros", name, machine, w.Name(), v)
						break
					}
				}
			}
		}
	}
}

// A loss of nothing is an error.
func TestEmptyLosses(t *testing.T) {
	g := G.NewGraph()
	x := G.NewMatrix(g, tensor.Float64, G.WithShape(0, 3), G.WithName("x"))
	l := G.NewVector(g, tensor.Int, G.WithShape(0), G.WithName("l"))
	wantError(t, "ops: MSE: y has shape (0, 3), want at least one element", func() error { return only(ops.MSE(x, x, ops.ReductionMean)) })
	wantError(t, "ops: ArticleError: y has shape (0, 3), want at least one element", func() error { return only(ops.ArticleError(x, x)) })
	wantError(t, "ops: CrossEntropy: logits has shape (0, 3), want at least one element", func() error {
		return only(ops.CrossEntropy(x, l, ops.CrossEntropyParams{}))
	})
	wantError(t, "ops: Max: x has shape (0, 3), want positive sides: there is no greatest of nothing", func() error { return only(ops.Max(x)) })
}

// O1: a column-major operand of at most one long axis, whose strides tensor leaves out, gets its
// gradient under every machine.
func TestColumnMajorVectors(t *testing.T) {
	for _, shape := range []tensor.Shape{{1, 3}, {3, 1}, {1, 1}} {
		for _, machine := range machines {
			g := G.NewGraph()
			w := valued(g, "w", tensor.New(tensor.WithShape(shape...), tensor.AsFortran(make([]float64, shape.TotalSize()))))
			b := valued(g, "b", tensor.New(tensor.WithShape(shape[0]), tensor.AsFortran(make([]float64, shape[0]))))
			xv := make([]float64, 2*shape[1])
			for i := range xv {
				xv[i] = float64(i + 1)
			}
			x := leaf(g, "x", tensor.Shape{2, shape[1]}, xv)
			y := must(t)(ops.Linear(x, w, b))
			dy := make([]float64, y.Shape().TotalSize())
			for i := range dy {
				dy[i] = float64(2*i - 1)
			}
			_, grads := mustEvaluate[float64](t, machine, must(t)(costOf(y, dy)), y, w, b)
			want, sums := make([]float64, len(grads[0])), make([]float64, shape[0])
			for n := range 2 {
				for o := range shape[0] {
					sums[o] += dy[n*shape[0]+o]
					for i := range shape[1] {
						want[o*shape[1]+i] += dy[n*shape[0]+o] * xv[n*shape[1]+i]
					}
				}
			}
			equal(t, machine+": dw", grads[0], want)
			equal(t, machine+": db", grads[1], sums)
		}
	}
}

// Linear takes leading axes of any number, as a matrix of all of them.
func TestLinearOfHigherRank(t *testing.T) {
	g := G.NewGraph()
	xv := make([]float64, 24)
	for i := range xv {
		xv[i] = float64(i%7 - 3)
	}
	w, b := leaf(g, "w", tensor.Shape{2, 4}, []float64{1, 2, 3, 4, -1, 0, 1, 2}), leaf(g, "b", tensor.Shape{2}, []float64{1, -2})
	cube, matrix := leaf(g, "x", tensor.Shape{2, 3, 4}, xv), leaf(g, "m", tensor.Shape{6, 4}, xv)
	y, z := must(t)(ops.Linear(cube, w, b)), must(t)(ops.Linear(matrix, w, b))
	if !slices.Equal(y.Shape(), tensor.Shape{2, 3, 2}) {
		t.Fatalf("y has shape %v, want (2, 3, 2)", y.Shape())
	}
	got := runNodes(t, y, z)
	equal(t, "y", got[0], got[1])
	if _, err := ops.Linear(leaf(g, "v", tensor.Shape{4}, xv[:4]), w, b); err == nil {
		t.Error("a vector is accepted")
	}
}

// O8: labels of any integer type, and logits with axes behind the classes, are the sum over their
// rows; -1 is out of range at a run.
func TestLabels(t *testing.T) {
	xv := []float64{1, 4, 2, -1, 0, 3, 2, 2, 5, 1, -2, 0} // 2×3×2: classes on axis 1
	for name, labels := range map[string]*tensor.Dense{
		"int":   tensor.New(tensor.WithShape(2, 2), tensor.WithBacking([]int{0, 2, 1, 0})),
		"int32": tensor.New(tensor.WithShape(2, 2), tensor.WithBacking([]int32{0, 2, 1, 0})),
		"int64": tensor.New(tensor.WithShape(2, 2), tensor.WithBacking([]int64{0, 2, 1, 0})),
	} {
		g := G.NewGraph()
		x, l := leaf(g, "x", tensor.Shape{2, 3, 2}, xv), valued(g, "l", labels)
		e := must(t)(ops.CrossEntropy(x, l, ops.CrossEntropyParams{}))
		dx, err := ops.Grad(e, nil, x)
		if err != nil {
			t.Fatal(err)
		}
		got := runNodes(t, e, dx[0])
		want, grad := 0.0, make([]float64, len(xv))
		for n, row := range [][]int{{0, 2, 1, 0}} {
			for i, label := range row {
				at := func(j int) int { return n + i/2*6 + j*2 + i%2 }
				sum := 0.0
				for j := range 3 {
					sum += math.Exp(xv[at(j)])
				}
				want += (math.Log(sum) - xv[at(label)]) / 4
				for j := range 3 {
					grad[at(j)] = math.Exp(xv[at(j)]) / sum / 4
				}
				grad[at(label)] -= 0.25
			}
		}
		// a dozen roundings of numbers up to 5
		if !(math.Abs(got[0][0]-want) <= 12*5*0x1p-53) {
			t.Errorf("%s: E is %v, want %v", name, got[0][0], want)
		}
		for i := range grad {
			if !(math.Abs(got[1][i]-grad[i]) <= 12*0x1p-53) {
				t.Errorf("%s: dx[%d] is %v, want %v", name, i, got[1][i], grad[i])
			}
		}
	}
}
