package vm_test

import (
	"math/rand/v2"
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
