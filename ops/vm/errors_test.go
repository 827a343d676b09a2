package vm_test

import (
	"fmt"
	"hash"
	"hash/fnv"
	"math"
	"math/rand/v2"
	"runtime"
	"runtime/debug"
	"strings"
	"testing"

	"github.com/chewxy/hm"
	"github.com/pkg/errors"
	G "gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/convgrad/convgrad/ops"
	"github.com/convgrad/convgrad/ops/vm"
)

// bad is an op that goes wrong in the way that it is called.
type bad string

func (o bad) Arity() int { return 1 }
func (o bad) Type() hm.Type {
	t := G.TensorType{Dims: 1, Of: hm.TypeVariable('a')}
	return hm.NewFnType(t, t)
}
func (o bad) InferShape(ds ...G.DimSizer) (tensor.Shape, error) { return ds[0].(tensor.Shape), nil }
func (o bad) Do(vs ...G.Value) (G.Value, error) {
	switch o {
	case "panics":
		return vs[len(vs)], nil
	case "returns nothing":
		return nil, nil
	}
	return nil, errors.New("it failed")
}
func (o bad) ReturnsPtr() bool      { return false }
func (o bad) CallsExtern() bool     { return false }
func (o bad) OverwritesInput() int  { return -1 }
func (o bad) WriteHash(h hash.Hash) { fmt.Fprint(h, string(o)) }
func (o bad) String() string        { return string(o) }
func (o bad) Hashcode() uint32 {
	h := fnv.New32a()
	o.WriteHash(h)
	return h.Sum32()
}

// A run that goes wrong says where, and the machine runs again when the cause is gone.
func TestRunErrors(t *testing.T) {
	r := rand.New(rand.NewPCG(4, 0))
	for name, want := range map[string]string{"panics": "the op panics panicked: runtime error: index out of range [1]", "fails": "it failed", "returns nothing": "returned no value"} {
		g := G.NewGraph()
		x := input(g, "x", random(r, 3))
		y := G.Must(ops.ReLU(G.Must(G.ApplyOp(bad(name), x))))
		m, err := vm.New(g, y)
		if err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if err := m.RunAll(); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: got error %v, want one with %q", name, err, want)
			}
		}
	}
	g := G.NewGraph()
	x := input(g, "x", random(r, 2, 3, 4, 5))
	y := G.Must(G.Add(G.Must(ops.MaxPool2D(x, ops.PoolParams{Window: ops.Both(2)})), input(g, "z", random(r, 2, 3, 2, 2))))
	m, err := vm.New(g, y)
	if err != nil {
		t.Fatal(err)
	}
	x.Value().(*tensor.Dense).Zero()
	if err := x.Value().(*tensor.Dense).Reshape(2, 3, 20); err != nil {
		t.Fatal(err)
	}
	if err := m.RunAll(); err == nil || !strings.Contains(err.Error(), "x has shape (2, 3, 20), want (2, 3, 4, 5)") {
		t.Errorf("a leaf of another shape: got %v", err)
	}
	if err := x.Value().(*tensor.Dense).Reshape(2, 3, 4, 5); err != nil {
		t.Fatal(err)
	}
	if err := m.RunAll(); err != nil {
		t.Errorf("the leaf's shape restored: got %v", err)
	}
}

func TestStatementsAreRefused(t *testing.T) {
	g := G.NewGraph()
	x := input(g, "x", random(rand.New(rand.NewPCG(5, 0)), 3))
	var v G.Value
	read := G.Read(G.Must(G.Square(x)), &v)
	for name, outputs := range map[string][]*G.Node{"named": {read}, "a root": nil} {
		if _, err := vm.New(g, outputs...); err == nil || !strings.Contains(err.Error(), "is a statement") {
			t.Errorf("%s: got error %v", name, err)
		}
	}
}

// A call of BindDualValues that fails leaves the machine as it was; one that succeeds replaces the
// one before.
func TestBindDualValuesAgain(t *testing.T) {
	r := rand.New(rand.NewPCG(6, 0))
	g, x, w, cost := builtins(r)
	if _, err := G.Grad(cost, x, w); err != nil {
		t.Fatal(err)
	}
	m, err := vm.New(g, cost)
	if err != nil {
		t.Fatal(err)
	}
	other := input(g, "other", random(r, 2))
	steps := m.Steps()
	if err := m.BindDualValues(w, other); err == nil {
		t.Error("no gradient: got no error")
	}
	if m.Steps() != steps {
		t.Errorf("after the error %d steps run, before %d", m.Steps(), steps)
	}
	foreign := input(G.NewGraph(), "foreign", random(r, 2))
	if err := m.BindDualValues(foreign); err == nil || !strings.Contains(err.Error(), "of another graph") {
		t.Errorf("another graph: got %v", err)
	}
	if err := m.BindDualValues(x, w); err != nil {
		t.Fatal(err)
	}
	both := m.Steps()
	if err := m.BindDualValues(w); err != nil {
		t.Fatal(err)
	}
	if m.Steps() >= both {
		t.Errorf("with one gradient %d steps run, with two %d: want fewer", m.Steps(), both)
	}
	if err := m.RunAll(); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Grad(); err != nil {
		t.Errorf("w has no gradient: %v", err)
	}
}

// A step of a small network of ours allocates next to nothing: no intermediate, gradient or scratch
// buffer is made anew.
func TestSteadyStepAllocatesNothing(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector makes sync.Pool forget at random")
	}
	r := rand.New(rand.NewPCG(7, 0))
	g := G.NewGraph()
	x, w, b := input(g, "x", random(r, 8, 4, 20, 20)), input(g, "w", random(r, 8, 4, 3, 3)), input(g, "b", random(r, 8))
	v := input(g, "v", random(r, 10, 8*10*10))
	labels := G.NewTensor(g, tensor.Int, 1, G.WithShape(8), G.WithName("labels"), G.WithValue(tensor.New(tensor.WithShape(8), tensor.WithBacking(make([]int, 8)))))
	drop, err := ops.NewRandom(g, 1)
	if err != nil {
		t.Fatal(err)
	}
	drop.SetStep(0) // the same masks at every run
	y := G.Must(ops.ReLU(G.Must(ops.Conv2D(x, w, b, ops.ConvParams{Pad: ops.SameUpper()}))))
	y = G.Must(ops.Dropout(G.Must(ops.MaxPool2D(y, ops.PoolParams{Window: ops.Both(2)})), 0.2, drop))
	cost := G.Must(ops.CrossEntropy(G.Must(ops.Linear(G.Must(ops.Flatten(y)), v, nil)), labels, ops.CrossEntropyParams{}))
	grads, err := G.Grad(cost, w, b, v)
	if err != nil {
		t.Fatal(err)
	}
	m, err := vm.New(g, append(G.Nodes{cost}, grads...)...)
	if err != nil {
		t.Fatal(err)
	}
	run := func() {
		if err := m.RunAll(); err != nil {
			t.Fatal(err)
		}
	}
	// The kernels' scratch lives in pools that a collection empties, and a pool may hold one buffer
	// too few for the threads that happen to run: the least of some rounds counts.
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	least := uint64(math.MaxUint64)
	for range 10 {
		run()
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		run()
		run()
		runtime.ReadMemStats(&after)
		least = min(least, (after.TotalAlloc-before.TotalAlloc)/2)
	}
	// The smallest tensor worth planning here is the output of the pooling, 8·8·10·10 float64.
	if least > 8*8*10*10*8/3 {
		t.Errorf("a step allocates %d bytes, want less than a third of the smallest image, %d", least, 8*8*10*10*8/3)
	}
	if m.PeakBytes() >= m.UnsharedBytes() {
		t.Errorf("the plan takes %d bytes, each value on its own %d: want less", m.PeakBytes(), m.UnsharedBytes())
	}
}

// O12: a nil or empty machine gives errors, and nothing panics.
func TestNilMachine(t *testing.T) {
	for _, m := range []*vm.Machine{nil, new(vm.Machine)} {
		if m.RunAll() == nil || m.BindDualValues() == nil {
			t.Error("a machine without a graph runs")
		}
		if m.PeakBytes() != 0 || m.UnsharedBytes() != 0 || m.Steps() != 0 || m.Close() != nil {
			t.Error("a machine without a graph holds something")
		}
		m.Reset()
	}
}
