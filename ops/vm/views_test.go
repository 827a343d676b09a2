package vm_test

import (
	"math/rand/v2"
	"slices"
	"testing"

	G "gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/convgrad/convgrad/ops"
	"github.com/convgrad/convgrad/ops/vm"
)

// A built-in op may return a view of its operand, as Reshape does: the operand's memory is in use
// for as long as the view is, though nothing reads the operand itself any more.
func TestViewsKeepTheirMemory(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 0))
	for _, name := range []string{"read later", "output"} {
		t.Run(name, func(t *testing.T) {
			g := G.NewGraph()
			x, z := input(g, "x", random(r, 4, 6)), input(g, "z", random(r, 4, 6))
			view := G.Must(G.Reshape(G.Must(ops.ReLU(x)), tensor.Shape{24}))
			// Tensors of the same size, any of which would fit where the view's operand lies.
			y := z
			for range 3 {
				y = G.Must(ops.ReLU(G.Must(G.Add(y, z))))
			}
			outputs := G.Nodes{y, view}
			if name == "read later" {
				outputs = G.Nodes{G.Must(G.HadamardProd(view, G.Must(G.Reshape(y, tensor.Shape{24}))))}
			}
			m, err := vm.New(g, outputs...)
			if err != nil {
				t.Fatal(err)
			}
			var got [][]float64
			for range 2 {
				got = nil
				if err := m.RunAll(); err != nil {
					t.Fatal(err)
				}
				for _, o := range outputs {
					got = append(got, floats(t, o.Value()))
				}
			}
			var reads []*G.Value
			for _, o := range outputs {
				reads = append(reads, new(G.Value))
				G.Read(o, reads[len(reads)-1])
			}
			tape := G.NewTapeMachine(g)
			defer tape.Close()
			if err := tape.RunAll(); err != nil {
				t.Fatal(err)
			}
			for i := range outputs {
				if want := floats(t, *reads[i]); !equal(got[i], want) {
					t.Errorf("output %d: got %v, want %v", i, got[i], want)
				}
			}
		})
	}
}

// Reshape takes no memory and no time, and still whoever writes an output changes no leaf and no
// other output.
func TestReshapedOutputsAreTheirOwn(t *testing.T) {
	r := rand.New(rand.NewPCG(4, 0))
	g := G.NewGraph()
	x := input(g, "x", random(r, 4, 6))
	y := G.Must(ops.ReLU(x))
	hidden := G.Must(ops.Square(x))
	outputs := G.Nodes{
		G.Must(ops.Reshape(x, 24)),                              // of a leaf
		G.Must(ops.Reshape(G.Must(ops.Reshape(x, 8, 3)), 3, 8)), // of a view of a leaf
		y, G.Must(ops.Reshape(y, 24)), // of an output
		G.Must(ops.Reshape(hidden, 24)), G.Must(ops.Reshape(hidden, 12, 2)), // of one intermediate
		G.Must(ops.ReLU(G.Must(ops.Reshape(x, 2, 12)))), // over the view of a leaf
	}
	m, err := vm.New(g, outputs...)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := m.RunAll(); err != nil {
			t.Fatal(err)
		}
		all := append(G.Nodes{x}, outputs...)
		var want [][]float64
		for _, n := range all {
			want = append(want, slices.Clone(floats(t, n.Value())))
		}
		for i, n := range all {
			v := n.Value().Data().([]float64)
			for k := range v {
				v[k] = -7
			}
			for j, o := range all {
				if j != i && !equal(floats(t, o.Value()), want[j]) {
					t.Errorf("who writes value %d changes value %d", i, j)
				}
			}
			copy(v, want[i])
		}
	}
	// The values of y, of the square and of the leaf's copies: 24 elements each, and no more.
	if want := 7 * 24 * 8; m.PeakBytes() > want+7*16*8 {
		t.Errorf("the plan takes %d bytes, want about %d", m.PeakBytes(), want)
	}
}

// A view of a leaf follows the leaf, whatever is bound to it and however that lies in memory.
func TestViewOfALeafFollowsIt(t *testing.T) {
	g := G.NewGraph()
	x := G.NewMatrix(g, tensor.Float64, G.WithShape(2, 3), G.WithName("x"))
	y := G.Must(ops.ReLU(G.Must(ops.Reshape(x, 3, 2))))
	m, err := vm.New(g, y)
	if err != nil {
		t.Fatal(err)
	}
	turned := tensor.New(tensor.WithShape(3, 2), tensor.WithBacking([]float64{1, 4, 2, 5, 3, 6}))
	if err := turned.T(); err != nil {
		t.Fatal(err)
	}
	wide := tensor.New(tensor.WithShape(2, 4), tensor.WithBacking([]float64{1, 2, 3, 0, 4, 5, 6, 0}))
	part, err := wide.Slice(nil, G.S(0, 3))
	if err != nil {
		t.Fatal(err)
	}
	for name, v := range map[string]G.Value{
		"plain":        tensor.New(tensor.WithShape(2, 3), tensor.WithBacking([]float64{1, 2, 3, 4, 5, 6})),
		"transposed":   turned,
		"a part":       part,
		"column-major": tensor.New(tensor.WithShape(2, 3), tensor.AsFortran([]float64{1, 2, 3, 4, 5, 6})),
	} {
		if err := G.Let(x, v); err != nil {
			t.Fatal(err)
		}
		if err := m.RunAll(); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if got := floats(t, y.Value()); !slices.Equal(got, []float64{1, 2, 3, 4, 5, 6}) {
			t.Errorf("%s: got %v", name, got)
		}
	}
	if err := G.Let(x, tensor.New(tensor.WithShape(3, 2), tensor.Of(tensor.Float64))); err != nil {
		return // refused by the graph
	}
	if err := m.RunAll(); err == nil {
		t.Error("a leaf of another shape: got no error")
	}
}
