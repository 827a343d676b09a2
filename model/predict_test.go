package model

import (
	"bytes"
	"fmt"
	"hash"
	"hash/fnv"
	"math"
	"math/rand/v2"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/chewxy/hm"
	"github.com/pkg/errors"
	G "gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/convgrad/convgrad/ops"
)

func samples(n *Network, count int, seed uint64) *tensor.Dense {
	r := rand.New(rand.NewPCG(seed, 0))
	x := tensor.New(tensor.WithShape(n.batch(count)...), tensor.Of(n.dtype))
	switch v := x.Data().(type) {
	case []float32:
		for i := range v {
			v[i] = float32(r.NormFloat64())
		}
	case []float64:
		for i := range v {
			v[i] = r.NormFloat64()
		}
	}
	return x
}

// Another batch size, and Predict, give the same logits for the same sample.
func TestBatchSizes(t *testing.T) {
	n := byName(t, "article", Options{})
	x := samples(n, maxPredictBatch+3, 8)
	all, err := n.Predict(x)
	if err != nil {
		t.Fatal(err)
	}
	one := graphOf(t, n, 1, BuildOptions{})
	got := bits(t, all)
	for _, i := range []int{0, 5, maxPredictBatch - 1, maxPredictBatch, maxPredictBatch + 2} {
		copy(one.InputData().([]float32), x.Data().([]float32)[i*784:][:784])
		run(t, one)
		// Blocks may differ with the batch, so sums of some 300 terms may round differently: γ_300
		// of the largest sum of absolute values, about 300·6e-8·50.
		for j, want := range bits(t, one.y.Value()) {
			if d := math.Abs(got[i*10+j] - want); !(d <= 1e-3) {
				t.Errorf("sample %d, class %d: %v in a batch, %v alone", i, j, got[i*10+j], want)
			}
		}
	}
}

// The rule that was broken is named.
func TestPredictErrors(t *testing.T) {
	n := byName(t, "linear", Options{})
	of := func(s ...int) *tensor.Dense { return tensor.New(tensor.WithShape(s...), tensor.Of(tensor.Float32)) }
	transposed := of(2, 1, 28, 28)
	if err := transposed.T(0, 1, 3, 2); err != nil {
		t.Fatal(err)
	}
	batch, err := of(28, 2, 1, 28).SafeT(1, 2, 0, 3)
	if err != nil {
		t.Fatal(err)
	}
	view, err := of(2, 3, 28, 28).Slice(nil, G.S(0, 1))
	if err != nil {
		t.Fatal(err)
	}
	wide, err := of(2, 1, 28, 56).Slice(nil, nil, nil, G.S(0, 28))
	if err != nil {
		t.Fatal(err)
	}
	empty := of(1, 1, 28, 28)
	for name, c := range map[string]struct {
		x    *tensor.Dense
		want string
	}{
		"nil":           {nil, "x is no tensor, want N×(1, 28, 28) of float32"},
		"empty":         {new(tensor.Dense), "x is no tensor"},
		"rank":          {of(2, 784), "x has shape (2, 784), want N samples of (1, 28, 28)"},
		"sides":         {of(2, 1, 28, 29), "x has shape (2, 1, 28, 29), want N samples of (1, 28, 28)"},
		"type":          {tensor.New(tensor.WithShape(2, 1, 28, 28), tensor.Of(tensor.Float64)), "x: is of float64, want float32"},
		"transposed":    {transposed, "is a transposed or sliced view"},
		"a transpose":   {batch, "is a transposed or sliced view"},
		"sliced":        {wide.(*tensor.Dense), "is a transposed or sliced view"},
		"column-major":  {tensor.New(tensor.WithShape(2, 1, 28, 28), tensor.Of(tensor.Float32), tensor.AsFortran(nil)), "is in column-major order"},
		"a lower rank":  {view.(*tensor.Dense), "want N samples of"},
		"of no samples": {emptied(empty), "x has 0 samples, want at least one"},
	} {
		_, err := n.Predict(c.x)
		wants(t, name, err, c.want)
	}
}

// emptied makes a tensor one of no samples, which constructors refuse.
func emptied(x *tensor.Dense) *tensor.Dense {
	x.Shape()[0] = 0
	return x
}

// A layer that gives what Predict cannot hand on is an error that says so.
func TestOutputsThatAreViews(t *testing.T) {
	transposed := f2(func(b *Builder, x *G.Node) *G.Node { return b.Do(G.Transpose(x, 0, 2, 1)) })
	n, err := New(Sequential{transposed}, tensor.Shape{3, 3}, Options{})
	if err == nil {
		_, err = n.Predict(tensor.New(tensor.WithShape(2, 3, 3), tensor.Of(tensor.Float32)))
	}
	wants(t, "a lazily transposed output", err, "the output: is a transposed or sliced view")
	integers := f2(func(b *Builder, x *G.Node) *G.Node {
		v := tensor.New(tensor.WithShape(x.Shape()...), tensor.Of(tensor.Int))
		return leaf(b.graph, "integers", v)
	})
	_, err = New(integers, tensor.Shape{3}, Options{})
	wants(t, "integers", err, "the output is of int, want float32")
}

// A meeting is an op that waits until so many of its runs are under way at once.
type meeting struct {
	want int
	mu   *sync.Mutex
	here *int
	all  chan struct{}
}

func (o meeting) Arity() int                                        { return 1 }
func (o meeting) Type() hm.Type                                     { return hm.NewFnType(hm.TypeVariable('a'), hm.TypeVariable('a')) }
func (o meeting) InferShape(in ...G.DimSizer) (tensor.Shape, error) { return in[0].(tensor.Shape), nil }
func (o meeting) ReturnsPtr() bool                                  { return false }
func (o meeting) CallsExtern() bool                                 { return false }
func (o meeting) OverwritesInput() int                              { return -1 }
func (o meeting) WriteHash(h hash.Hash)                             { fmt.Fprint(h, "meeting") }
func (o meeting) String() string                                    { return "meeting" }
func (o meeting) Hashcode() uint32                                  { h := fnv.New32a(); o.WriteHash(h); return h.Sum32() }
func (o meeting) Do(in ...G.Value) (G.Value, error) {
	o.mu.Lock()
	if *o.here++; *o.here == o.want {
		close(o.all)
	}
	o.mu.Unlock()
	select {
	case <-o.all:
		return G.CloneValue(in[0])
	case <-time.After(30 * time.Second):
		return nil, errors.Errorf("waited for %d runs at once", o.want)
	}
}

// Predict holds no lock while it computes: as many calls as there are processors are under way at
// once.
func TestPredictsAreConcurrent(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(4))
	op := meeting{4, new(sync.Mutex), new(int), make(chan struct{})}
	n := newNet(t, f2(func(b *Builder, x *G.Node) *G.Node { return b.Do(G.ApplyOp(op, x)) }), tensor.Shape{3}, Options{})
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			if _, err := n.Predict(samples(n, 1, 1)); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
}

// Many goroutines predict, build, save and load at once; every answer is that of one goroutine
// alone, and what is kept for the next is bounded.
func TestPredictAtOnce(t *testing.T) {
	n := byName(t, "article", Options{})
	var want [][]float64
	for i := range 9 {
		y, err := n.Predict(samples(n, i+1, uint64(i)))
		if err != nil {
			t.Fatal(err)
		}
		want = append(want, bits(t, y))
	}
	var file bytes.Buffer
	if err := n.Save(&file, nil); err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for k := range 8 {
		wg.Go(func() {
			for i := range 9 {
				i = (i + k) % 9
				y, err := n.Predict(samples(n, i+1, uint64(i)))
				if err != nil {
					t.Error(err)
					return
				}
				sameBits(t, "output", bits(t, y), want[i])
			}
			if err := n.Load(bytes.NewReader(file.Bytes()), LoadOptions{}); err != nil {
				t.Error(err)
			}
			if err := n.Save(new(bytes.Buffer), nil); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	held := 0
	for _, g := range n.pool.idle {
		held += g.bytes()
	}
	if len(n.pool.idle) > idleGraphs+2*cap(n.pool.turns) || held != n.pool.bytes || held > idleBytes || n.pool.busy != 0 {
		t.Errorf("%d graphs of %d bytes are kept, counted as %d, and %d at work", len(n.pool.idle), held, n.pool.bytes, n.pool.busy)
	}
}

// The batch of a network with large intermediates is small: memory does not grow with the samples.
func TestPredictIsBounded(t *testing.T) {
	n := newNet(t, Sequential{Conv2D{Filters: 16, Size: ops.Both(3), Pad: ops.Around(1)}, ReLU{},
		Conv2D{Filters: 1, Size: ops.Both(1)}, MaxPool2D{Window: ops.Both(512)}}, tensor.Shape{1, 512, 512}, Options{})
	size, err := n.pool.size(n)
	if err != nil {
		t.Fatal(err)
	}
	// one sample's intermediates are at least 16·2¹⁸ floats: 16 MB
	if size < 1 || size > predictBytes>>24 {
		t.Errorf("the batch is %d, of 16 MB a sample, want at most %d bytes", size, predictBytes)
	}
}

// A bound on the bytes holds whatever sizes goroutines ask for, and does not change a bit of what
// they get; one that a sample exceeds is an error.
func TestPredictBytes(t *testing.T) {
	free := byName(t, "article", Options{})
	if _, err := free.pool.size(free); err != nil {
		t.Fatal(err)
	}
	most := 5*free.pool.sample + 3
	n := byName(t, "article", Options{PredictBytes: most})
	x := samples(n, 11, 5)
	want, err := free.Predict(x)
	if err != nil {
		t.Fatal(err)
	}
	over := make(chan int, 1)
	done := make(chan struct{})
	go func() {
		worst := 0
		for {
			select {
			case <-done:
				over <- worst
				return
			default:
				n.pool.mu.Lock()
				worst = max(worst, n.pool.bytes+n.pool.busy)
				n.pool.mu.Unlock()
			}
		}
	}()
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 3 {
				y, err := n.Predict(x)
				if err != nil {
					t.Error(err)
					return
				}
				sameBits(t, "output", bits(t, y), bits(t, want))
			}
		})
	}
	wg.Wait()
	close(done)
	worst := <-over
	if worst > most || worst < free.pool.sample {
		t.Errorf("%d bytes at the most, want %d to %d", worst, free.pool.sample, most)
	}
	for batch := range 4 { // what the count stands for
		g := graphOf(t, n, batch+1, BuildOptions{})
		if g.bytes() > (batch+1)*free.pool.sample {
			t.Errorf("a graph of %d samples holds %d bytes, counted as %d", batch+1, g.bytes(), (batch+1)*free.pool.sample)
		}
	}
	tight := byName(t, "article", Options{PredictBytes: free.pool.sample - 1})
	_, err = tight.Predict(samples(tight, 1, 1))
	wants(t, "a bound below a sample", err, "one sample takes")
}
