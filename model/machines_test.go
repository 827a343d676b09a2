package model

import (
	"math/rand/v2"
	"testing"

	G "gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/convgrad/convgrad/ops"
)

// bits copies a value's elements out as float64, which keeps float32 exactly.
func bits(t *testing.T, v G.Value) []float64 {
	t.Helper()
	switch d := v.Data().(type) {
	case []float32:
		out := make([]float64, len(d))
		for i, x := range d {
			out[i] = float64(x)
		}
		return out
	case []float64:
		return append([]float64(nil), d...)
	case float32:
		return []float64{float64(d)}
	case float64:
		return []float64{d}
	}
	t.Fatalf("got a value of %T, want floats", v.Data())
	return nil
}

func sameBits(t *testing.T, what string, got, want []float64) {
	t.Helper()
	if len(got) != len(want) {
		t.Errorf("%s: got %d elements, want %d", what, len(got), len(want))
		return
	}
	for i := range got {
		if got[i] != want[i] {
			t.Errorf("%s: element %d of %d: got %v, want %v", what, i, len(got), got[i], want[i])
			return
		}
	}
}

// result is what a graph gave: output, loss, and gradients if it has them.
func result(t *testing.T, m *Graph) [][]float64 {
	t.Helper()
	if err := m.Run(); err != nil {
		t.Fatal(err)
	}
	all := [][]float64{bits(t, m.Output.Value()), bits(t, m.Loss.Value())}
	for _, g := range m.Grads {
		all = append(all, bits(t, g.Value()))
	}
	return all
}

func names(m *Graph) []string {
	n := []string{"output", "loss"}
	for _, p := range m.Params {
		n = append(n, "gradient of "+p.Name())
	}
	return n
}

// Every network gives the same bits under our machine as under both of Gorgonia's, loss and all gradients, in both types.
func TestMachinesAgree(t *testing.T) {
	for _, name := range Names() {
		for _, o := range [][]Option{nil, {Float64}} {
			if testing.Short() && name == "convnet" {
				continue
			}
			for _, loss := range []Loss{CrossEntropy, SquaredError} {
				n := byName(t, name, o...)
				t.Run(name+" "+n.Dtype().String()+" "+loss.String(), func(t *testing.T) {
					const seed = 11
					r := rand.New(rand.NewPCG(seed, 0))
					m, err := n.Build(3, BuildOptions{Loss: loss, Training: true, Seed: seed})
					if err != nil {
						t.Fatal(err)
					}
					fill(r, m)
					got := result(t, m)

					g := m.X.Graph()
					reads := make([]G.Value, len(got)) // a tape lets later ops overwrite what Value returns
					for i, node := range append(G.Nodes{m.Output, m.Loss}, m.Grads...) {
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

					// LispMachine works the gradients out as it goes, so its graph has none; the dropout masks that a graph without gradients lacks are off in the other.
					if m.Random != nil {
						m.Random.SetTraining(false)
						got = result(t, m)
					}
					e, err := n.Build(3, BuildOptions{Loss: loss})
					if err != nil {
						t.Fatal(err)
					}
					if err := tensor.Copy(e.X.Value().(*tensor.Dense), m.X.Value().(*tensor.Dense)); err != nil {
						t.Fatal(err)
					}
					if err := tensor.Copy(e.Target.Value().(*tensor.Dense), m.Target.Value().(*tensor.Dense)); err != nil {
						t.Fatal(err)
					}
					lisp := G.NewLispMachine(e.X.Graph())
					defer lisp.Close()
					if err := lisp.RunAll(); err != nil {
						t.Fatal(err)
					}
					sameBits(t, "LispMachine: loss", bits(t, e.Loss.Value()), got[1])
					for i, p := range e.Params {
						d, err := p.Grad()
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
		n := byName(t, name)
		var want [][]float64
		for _, threads := range []int{1, 2, 3, 7, 2} {
			ops.SetThreads(threads)
			m, err := n.Build(5, BuildOptions{Loss: CrossEntropy, Training: true, Seed: 1})
			if err != nil {
				t.Fatal(err)
			}
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
