package vm_test

import (
	"math/rand/v2"
	"runtime"
	"strings"
	"testing"

	G "gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/convgrad/convgrad/ops/vm"
)

// random returns a dense tensor of standard normal numbers.
func random(r *rand.Rand, shape ...int) *tensor.Dense {
	data := make([]float64, tensor.Shape(shape).TotalSize())
	for i := range data {
		data[i] = r.NormFloat64()
	}
	return tensor.New(tensor.WithShape(shape...), tensor.WithBacking(data))
}

func input(g *G.ExprGraph, name string, v *tensor.Dense) *G.Node {
	return G.NewTensor(g, v.Dtype(), v.Dims(), G.WithShape(v.Shape()...), G.WithName(name), G.WithValue(v))
}

func floats(t *testing.T, v G.Value) []float64 {
	t.Helper()
	switch d := v.Data().(type) {
	case []float64:
		return append([]float64(nil), d...)
	case float64:
		return []float64{d}
	}
	t.Fatalf("value is %T, want float64", v)
	return nil
}

func equal(a, b []float64) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return true
}

// builtins is a graph of Gorgonia's own ops only, with several consumers of one value, so that Grad
// makes sums.
func builtins(r *rand.Rand) (g *G.ExprGraph, x, w, cost *G.Node) {
	g = G.NewGraph()
	x, w = input(g, "x", random(r, 5, 3)), input(g, "w", random(r, 3, 4))
	h := G.Must(G.Tanh(G.Must(G.Mul(x, w))))
	a, b := G.Must(G.Square(h)), G.Must(G.Sigmoid(h))
	cost = G.Must(G.Sum(G.Must(G.HadamardProd(G.Must(G.Add(a, b)), h))))
	return g, x, w, cost
}

func TestBuiltinsAgreeWithTapeMachine(t *testing.T) {
	const seed = 7
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	g, x, w, cost := builtins(r)
	grads, err := G.Grad(cost, x, w)
	if err != nil {
		t.Fatal(err)
	}
	m, err := vm.New(g, cost, grads[0], grads[1])
	if err != nil {
		t.Fatal(err)
	}
	for run := range 3 {
		if err := m.RunAll(); err != nil {
			t.Fatal(err)
		}
		got := [][]float64{floats(t, cost.Value()), floats(t, grads[0].Value()), floats(t, grads[1].Value())}
		tape := G.NewTapeMachine(g)
		if err := tape.RunAll(); err != nil {
			t.Fatal(err)
		}
		want := [][]float64{floats(t, cost.Value()), floats(t, grads[0].Value()), floats(t, grads[1].Value())}
		for i := range got {
			if !equal(got[i], want[i]) {
				t.Errorf("run %d, output %d: got %v, want %v", run, i, got[i], want[i])
			}
		}
		if err := G.Let(x, random(r, 5, 3)); err != nil {
			t.Fatal(err)
		}
	}
}

func TestOnlyWhatIsNeededRuns(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 0))
	g, x, w, cost := builtins(r)
	grads, err := G.Grad(cost, x, w)
	if err != nil {
		t.Fatal(err)
	}
	both, err := vm.New(g, cost, grads[0], grads[1])
	if err != nil {
		t.Fatal(err)
	}
	one, err := vm.New(g, cost, grads[1])
	if err != nil {
		t.Fatal(err)
	}
	if one.Steps() >= both.Steps() {
		t.Errorf("without the input's gradient %d steps run, with it %d: want fewer", one.Steps(), both.Steps())
	}
}

// An addition is done in the machine's own memory, over an operand that nothing else reads.
func TestSumsShareMemory(t *testing.T) {
	r := rand.New(rand.NewPCG(2, 0))
	g := G.NewGraph()
	const n = 1 << 16
	x := input(g, "x", random(r, n))
	y := x
	for range 10 {
		y = G.Must(G.Add(y, x))
	}
	m, err := vm.New(g, y)
	if err != nil {
		t.Fatal(err)
	}
	if err := m.RunAll(); err != nil {
		t.Fatal(err)
	}
	in := floats(t, x.Value())
	want := make([]float64, len(in))
	copy(want, in)
	for range 10 {
		for i := range want {
			want[i] += in[i]
		}
	}
	if got := floats(t, y.Value()); !equal(got, want) {
		t.Errorf("got %v, want %v", got[:3], want[:3])
	}
	if m.UnsharedBytes() != 10*n*8 {
		t.Errorf("ten sums take %d bytes unshared, want %d", m.UnsharedBytes(), 10*n*8)
	}
	if m.PeakBytes() != n*8 {
		t.Errorf("ten sums in a chain take %d bytes, want one tensor, %d, that each is added to in place", m.PeakBytes(), n*8)
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for range 10 {
		if err := m.RunAll(); err != nil {
			t.Fatal(err)
		}
	}
	runtime.ReadMemStats(&after)
	if got := after.TotalAlloc - before.TotalAlloc; got > n*8/4 {
		t.Errorf("ten runs allocate %d bytes, want less than a quarter of one tensor, %d", got, n*8/4)
	}
}

func TestDualValuesServeASolver(t *testing.T) {
	g := G.NewGraph()
	one := func() *tensor.Dense { return tensor.New(tensor.WithShape(2), tensor.WithBacking([]float64{1, 2})) }
	a, b := input(g, "a", one()), input(g, "b", one())
	cost := G.Must(G.Sum(G.Must(G.Add(a, b)))) // both gradients are one node
	if _, err := G.Grad(cost, a, b); err != nil {
		t.Fatal(err)
	}
	m, err := vm.New(g, cost)
	if err != nil {
		t.Fatal(err)
	}
	if err := m.BindDualValues(a, b); err != nil {
		t.Fatal(err)
	}
	solver := G.NewVanillaSolver(G.WithLearnRate(0.25))
	for range 2 {
		if err := m.RunAll(); err != nil {
			t.Fatal(err)
		}
		if err := solver.Step(G.NodesToValueGrads(G.Nodes{a, b})); err != nil {
			t.Fatal(err)
		}
	}
	for _, n := range []*G.Node{a, b} {
		if got, want := floats(t, n.Value()), []float64{0.5, 1.5}; !equal(got, want) {
			t.Errorf("%s after two steps: got %v, want %v", n.Name(), got, want)
		}
	}
}

func TestErrors(t *testing.T) {
	g, other := G.NewGraph(), G.NewGraph()
	x := G.NewVector(g, G.Float64, G.WithShape(2), G.WithName("x"))
	y := G.Must(G.Square(x))
	z := G.NewVector(other, G.Float64, G.WithShape(2), G.WithName("z"))
	check := func(name string, err error, want string) {
		t.Helper()
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got error %v, want one with %q", name, err, want)
		}
	}
	_, err := vm.New(nil)
	check("nil graph", err, "graph is nil")
	_, err = vm.New(g, nil)
	check("nil output", err, "output 0 is nil")
	_, err = vm.New(g, z)
	check("foreign output", err, "of another graph")
	m, err := vm.New(g, y)
	if err != nil {
		t.Fatal(err)
	}
	check("no value", m.RunAll(), `input "x" has no value`)
	check("no gradient", m.BindDualValues(x), `parameter "x" has no gradient`)
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
	check("closed", m.RunAll(), "closed")
}
