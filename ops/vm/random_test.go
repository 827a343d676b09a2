package vm_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	G "gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/convgrad/convgrad/ops"
	"github.com/convgrad/convgrad/ops/vm"
)

// grow makes a graph of our ops and Gorgonia's, at random: every node has one shape, so any may
// feed any other, and most memory could be shared wrongly. It returns the leaves that have
// gradients, all nodes made, and a cost that depends on many of them. With views it uses Gorgonia's
// Reshape, whose results share memory with its operand.
func grow(r *rand.Rand, size int, views bool) (leaves, made G.Nodes, cost *G.Node) {
	g := G.NewGraph()
	shape := tensor.Shape{2, 3, 5, 4}
	for i := range 2 {
		leaves = append(leaves, input(g, fmt.Sprintf("x%d", i), random(r, shape...)))
	}
	w, b := input(g, "w", random(r, 3, 3, 3, 3)), input(g, "b", random(r, 3))
	leaves = append(leaves, w, b)
	drop, err := ops.NewRandom(g, r.Uint64())
	if err != nil {
		panic(err)
	}
	drop.SetStep(0) // the same masks at every run
	pool := G.Nodes{leaves[0], leaves[1]}
	// later nodes more often: depth
	pick := func() *G.Node { return pool[max(r.IntN(len(pool)), r.IntN(len(pool)))] }
	reshape := func(x *G.Node, s ...int) *G.Node { return G.Must(G.Reshape(x, tensor.Shape(s))) }
	for range size {
		var y *G.Node
		kinds := 11
		if views {
			kinds = 13
		}
		switch x := pick(); r.IntN(kinds) {
		case 0:
			y = G.Must(ops.ReLU(x))
		case 1:
			if y = G.Must(ops.Conv2D(x, w, b, ops.ConvParams{Pad: ops.SameUpper()})); r.IntN(2) == 0 {
				y = G.Must(ops.ReLU(y))
			}
		case 2:
			y = G.Must(ops.MaxPool2D(x, ops.PoolParams{Window: ops.Both(3), Stride: ops.Both(1), Pad: ops.SameUpper()}))
		case 3:
			y = G.Must(ops.Dropout(x, 0.3, drop))
		case 4:
			y = G.Must(G.Add(x, pick()))
		case 5:
			y = G.Must(G.Add(x, x))
		case 6:
			y = G.Must(G.HadamardProd(x, pick()))
		case 7:
			y = G.Must(G.Tanh(x))
		case 9:
			y = G.Must(ops.Reshape(G.Must(ops.Flatten(x)), shape...))
		case 10:
			y = G.Must(ops.Reshape(G.Must(ops.ReLU(G.Must(ops.Reshape(x, 6, 20)))), shape...))
		case 11:
			y = reshape(G.Must(ops.ReLU(reshape(x, 6, 20))), shape...)
		case 12:
			y = reshape(G.Must(ops.Flatten(x)), shape...)
		default:
			y = G.Must(ops.AvgPool2D(x, ops.PoolParams{Window: ops.Size{H: 3, W: 1}, Stride: ops.Both(1), Pad: ops.SameUpper()}))
		}
		pool = append(pool, y)
	}
	sum := pick()
	for range 3 {
		sum = G.Must(G.Add(sum, pick()))
	}
	cost = G.Must(ops.ArticleError(G.Must(G.Tanh(sum)), G.Must(ops.ReLU(pool[len(pool)-1]))))
	return leaves, pool[2:], cost
}

// each evaluates a graph in the plainest way: every node by Do, every result in memory of its own.
func each(t *testing.T, outputs G.Nodes) [][]float64 {
	t.Helper()
	values := map[*G.Node]G.Value{}
	var eval func(n *G.Node) G.Value
	eval = func(n *G.Node) G.Value {
		if v, ok := values[n]; ok {
			return v
		}
		var in []G.Value
		for it := n.Graph().From(n.ID()); it.Next(); {
			in = append(in, eval(it.Node().(*G.Node)))
		}
		v := n.Value()
		if len(in) > 0 {
			var err error
			if v, err = n.Op().Do(in...); err != nil {
				t.Fatal(err)
			}
			if v, err = G.CloneValue(v); err != nil {
				t.Fatal(err)
			}
		}
		values[n] = v
		return v
	}
	var got [][]float64
	for _, n := range outputs {
		got = append(got, floats(t, eval(n)))
	}
	return got
}

// tape evaluates a graph by Gorgonia's machine.
func tape(t *testing.T, outputs G.Nodes) [][]float64 {
	t.Helper()
	reads := make([]G.Value, len(outputs)) // the tape lets later ops overwrite what Value returns
	for i, o := range outputs {
		G.Read(o, &reads[i])
	}
	m := G.NewTapeMachine(outputs[0].Graph())
	defer m.Close()
	if err := m.RunAll(); err != nil {
		t.Fatal(err)
	}
	var got [][]float64
	for _, v := range reads {
		got = append(got, floats(t, v))
	}
	return got
}

// Whatever the graph and whichever nodes are asked for, the machine gives the bits that every op
// gives on its own, at every run; and so TapeMachine's, but where that lets an op overwrite what a
// view still shows (it does so after Reshape).
func TestRandomGraphs(t *testing.T) {
	const graphs = 120
	for seed := range uint64(graphs) {
		r := rand.New(rand.NewPCG(seed, 1))
		views := seed%2 == 0
		leaves, made, cost := grow(r, 4+r.IntN(20), views)
		var by G.Nodes // gorgonia.Grad takes only what the cost depends on
		for _, l := range leaves {
			if depends(cost, l) {
				by = append(by, l)
			}
		}
		outputs := G.Nodes{cost}
		if len(by) > 0 {
			grads, err := G.Grad(cost, by...)
			if err != nil {
				t.Fatalf("seed %d: %v", seed, err)
			}
			outputs = append(outputs, grads...)
		}
		for range r.IntN(3) {
			outputs = append(outputs, made[r.IntN(len(made))])
		}
		m, err := vm.New(cost.Graph(), outputs...)
		if err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		want := each(t, outputs)
		for run := range 2 { // the second meets the memory as the first left it
			if err := m.RunAll(); err != nil {
				t.Fatalf("seed %d: %v", seed, err)
			}
			for i, o := range outputs {
				if got := floats(t, o.Value()); !equal(got, want[i]) {
					t.Fatalf("seed %d, run %d: output %d, %v, differs: got %v, want %v", seed, run, i, o, got, want[i])
				}
			}
		}
		if views {
			continue
		}
		for i, got := range tape(t, outputs) {
			if !equal(got, want[i]) {
				t.Fatalf("seed %d: output %d, %v: TapeMachine has %v, each op on its own %v", seed, i, outputs[i], got, want[i])
			}
		}
	}
}

// depends reports whether n is computed from leaf.
func depends(n, leaf *G.Node) bool {
	seen := map[*G.Node]bool{}
	stack := G.Nodes{n}
	for len(stack) > 0 {
		n, stack = stack[len(stack)-1], stack[:len(stack)-1]
		if n == leaf {
			return true
		}
		if seen[n] {
			continue
		}
		seen[n] = true
		for it := n.Graph().From(n.ID()); it.Next(); {
			stack = append(stack, it.Node().(*G.Node))
		}
	}
	return false
}

// Machines of different graphs run at once.
func TestMachinesAtOnce(t *testing.T) {
	type job struct {
		m    *vm.Machine
		cost *G.Node
		want []float64
	}
	var jobs []job
	for seed := range uint64(4) {
		_, _, cost := grow(rand.New(rand.NewPCG(seed, 2)), 12, true)
		m, err := vm.New(cost.Graph(), cost)
		if err != nil {
			t.Fatal(err)
		}
		if err := m.RunAll(); err != nil {
			t.Fatal(err)
		}
		jobs = append(jobs, job{m, cost, floats(t, cost.Value())})
	}
	failed := make([]error, len(jobs))
	done := make(chan struct{})
	for i, j := range jobs {
		go func() {
			defer func() { done <- struct{}{} }()
			for range 20 {
				if failed[i] = j.m.RunAll(); failed[i] != nil {
					return
				}
			}
		}()
	}
	for range jobs {
		<-done
	}
	for i, j := range jobs {
		if failed[i] != nil {
			t.Errorf("machine %d: %v", i, failed[i])
		} else if got := floats(t, j.cost.Value()); !slices.Equal(got, j.want) {
			t.Errorf("machine %d: got %v, want %v as alone", i, got, j.want)
		}
	}
}
