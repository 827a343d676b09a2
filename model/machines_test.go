package model

import (
	"math/rand/v2"
	"testing"

	G "gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/convgrad/convgrad/ops"
)

// Every network gives the same bits under our machine as under both of Gorgonia's, loss and all
// gradients, in both types.
func TestMachinesAgree(t *testing.T) {
	for _, name := range small {
		for _, o := range []Options{{}, {Float64: true}} {
			if testing.Short() && name == "convnet" {
				continue
			}
			for _, loss := range []Loss{CrossEntropy{}, SquaredError{}} {
				n := byName(t, name, o)
				t.Run(name+" "+n.Dtype().String()+" "+loss.(interface{ String() string }).String(), func(t *testing.T) {
					const seed = 11
					r := rand.New(rand.NewPCG(seed, 0))
					m := graphOf(t, n, 3, BuildOptions{Loss: loss, Training: true, Seed: seed})
					fill(r, m)
					got := result(t, m)

					g := m.x.Graph()
					// a tape lets later ops overwrite what Value returns
					reads := make([]G.Value, len(got))
					for i, node := range append(G.Nodes{m.y, m.loss}, m.grads...) {
						G.Read(node, &reads[i])
					}
					tape := G.NewTapeMachine(g)
					defer tape.Close()
					if err := tape.RunAll(); err != nil {
						t.Fatal(err)
					}
					for i, what := range names(m) {
						sameBits(t, "TapeMachine: "+what, bits(t, reads[i]), got[i])
					}

					// LispMachine works the gradients out as it goes, so its graph has none; the
					// dropout masks that a graph without gradients lacks are off in the other.
					if m.random != nil {
						m.random.SetTraining(false)
						got = result(t, m)
					}
					e := graphOf(t, n, 3, BuildOptions{Loss: loss})
					for _, pair := range [][2]*G.Node{{e.x, m.x}, {e.t, m.t}} {
						if err := tensor.Copy(pair[0].Value().(*tensor.Dense), pair[1].Value().(*tensor.Dense)); err != nil {
							t.Fatal(err)
						}
					}
					lisp := G.NewLispMachine(e.x.Graph())
					defer lisp.Close()
					if err := lisp.RunAll(); err != nil {
						t.Fatal(err)
					}
					sameBits(t, "LispMachine: loss", bits(t, e.loss.Value()), got[1])
					for i, p := range m.params {
						d, err := e.x.Graph().ByName(p.Name)[0].Grad()
						if err != nil {
							t.Fatal(err)
						}
						sameBits(t, "LispMachine: "+names(m)[i+2], bits(t, d), got[i+2])
					}
				})
			}
		}
	}
}

// A step is the same bits at any number of threads, at every repetition, and in a graph built anew.
func TestSameBitsAtAnyThreads(t *testing.T) {
	defer ops.SetThreads(ops.SetThreads(1))
	for _, name := range []string{"article", "convnet"} {
		n := byName(t, name, Options{})
		var want [][]float64
		for _, threads := range []int{1, 2, 3, 7, 2} {
			ops.SetThreads(threads)
			m := graphOf(t, n, 5, BuildOptions{Loss: CrossEntropy{}, Training: true, Seed: 1})
			fill(rand.New(rand.NewPCG(21, 0)), m)
			for range 2 {
				got := result(t, m)
				if want == nil {
					want = got
				}
				for i, what := range names(m) {
					sameBits(t, what, got[i], want[i])
				}
			}
		}
	}
}
