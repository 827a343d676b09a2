package model

import (
	"bytes"
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"gorgonia.org/tensor"

	"github.com/convgrad/convgrad/ops"
)

// normed is a convolution with a batch norm and a ReLU, with weights that are not what they begin
// with.
func normed(t *testing.T, c Conv2D, o Options, r *rand.Rand) *Network {
	t.Helper()
	n := newNet(t, Sequential{c, BatchNorm{Epsilon: 1e-3}, ReLU{}}, tensor.Shape{4, 9, 7}, o)
	for _, p := range n.params {
		p.eachElement(func(float64) float64 { return 1.5 + r.Float64() })
	}
	n.index["0.weight"].eachElement(func(float64) float64 { return 2*r.Float64() - 1 })
	return n
}

// eachElement changes a weight.
func (p *Param) eachElement(f func(float64) float64) {
	switch v := p.Value.Data().(type) {
	case []float32:
		for i := range v {
			v[i] = float32(f(float64(v[i])))
		}
	case []float64:
		for i := range v {
			v[i] = f(v[i])
		}
	}
}

// evaluate is the output for an input of the seed, whether the graph folds or not.
func evaluate(t *testing.T, m *Graph, x []float64) []float64 {
	t.Helper()
	for i, v := range x {
		switch in := m.InputData().(type) {
		case []float32:
			in[i] = float32(v)
		case []float64:
			in[i] = v
		}
	}
	run(t, m)
	y, err := m.Output()
	if err != nil {
		t.Fatal(err)
	}
	return floats(y)
}

func floats(y *tensor.Dense) []float64 {
	wide, _ := y.Data().([]float64)
	narrow, _ := y.Data().([]float32)
	for _, v := range narrow {
		wide = append(wide, float64(v))
	}
	return append([]float64(nil), wide...)
}

// A batch norm in a convolution computes what it computes after it, within rounding. Of
//
//	y = Σᵢ s·wᵢ·xᵢ + s·(b − mean) + β
//
// each term is rounded at most once in its weight, once in its product and n+3 times in sums; the
// batch norm by itself rounds each term no more than n+6 times. So the two differ by at most
// 2(n+6)·u times the sum of the terms' magnitudes, which the same networks give with magnitudes for
// weights and inputs.
func TestFoldedBatchNorm(t *testing.T) {
	const seed, batch = 21, 3
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	for name, c := range map[string]Conv2D{
		"without bias": {Filters: 6, Size: ops.Size{H: 3, W: 2}, NoBias: true},
		"with a bias":  {Filters: 6, Size: ops.Both(3), Pad: ops.Around(1), Stride: ops.Size{H: 2, W: 1}},
		"groups":       {Filters: 6, Size: ops.Both(3), Groups: 2, NoBias: true},
		"depthwise":    {Filters: 4, Size: ops.Both(3), Pad: ops.Around(1), Groups: 4, NoBias: true},
		"flipped":      {Filters: 5, Size: ops.Both(3), Flip: true},
	} {
		for _, o := range []Options{{}, {Float64: true}} {
			n := normed(t, c, o, r)
			x := make([]float64, batch*n.input.TotalSize())
			for i := range x {
				x[i] = 2*r.Float64() - 1
			}
			folds, computes := graphOf(t, n, batch, BuildOptions{}), graphOf(t, n, batch, BuildOptions{Keep: true})
			if folds.machine.Steps() >= computes.machine.Steps() || len(folds.folds) != 1 || len(computes.folds) != 0 {
				t.Fatalf("%s: %d steps with %d folds, %d with %d; want fewer and 1, more and 0", name,
					folds.machine.Steps(), len(folds.folds), computes.machine.Steps(), len(computes.folds))
			}
			got, want := evaluate(t, folds, x), evaluate(t, computes, x)

			for i := range x {
				x[i] = math.Abs(x[i])
			}
			n.index["0.weight"].eachElement(math.Abs)
			n.index["1.running_mean"].eachElement(func(v float64) float64 { return -math.Abs(v) })
			size := evaluate(t, computes, x)
			u, terms := math.Ldexp(1, -24), float64(n.index["0.weight"].Value.Shape()[1:].TotalSize())
			if o.Float64 {
				u = math.Ldexp(1, -53)
			}
			positive := 0
			for i := range got {
				if bound := 2 * (terms + 6) * u * size[i]; !(math.Abs(got[i]-want[i]) <= bound) {
					t.Fatalf("%s, %v: element %d is %v folded and %v computed: %.2g apart, bound %.2g", name, n.Dtype(), i, got[i], want[i], got[i]-want[i], bound)
				}
				if got[i] > 0 {
					positive++
				}
			}
			if positive < len(got)/10 {
				t.Errorf("%s: %d of %d outputs are positive, too few to compare", name, positive, len(got))
			}
		}
	}
}

// What has changed the weights is seen: Init, Load, and somebody who holds them; the memory of the
// input stays where it is.
func TestFoldsFollowWeights(t *testing.T) {
	const batch = 2
	r := rand.New(rand.NewPCG(22, 0))
	c := Conv2D{Filters: 3, Size: ops.Both(3)}
	n := normed(t, c, Options{}, r)
	x := make([]float64, batch*n.input.TotalSize())
	for i := range x {
		x[i] = r.Float64()
	}
	m, ahead := graphOf(t, n, batch, BuildOptions{}), graphOf(t, n, batch, BuildOptions{})
	evaluate(t, ahead, x)
	same := func(what string) {
		t.Helper()
		got, want := evaluate(t, m, x), evaluate(t, graphOf(t, n, batch, BuildOptions{Keep: true}), x)
		for i := range got {
			// a stale weight is off by 1
			if !(math.Abs(got[i]-want[i]) <= 1e-4*(1+math.Abs(want[i]))) {
				t.Fatalf("%s: element %d is %v, want %v", what, i, got[i], want[i])
			}
		}
	}
	same("as made")
	if err := n.Init(9); err != nil {
		t.Fatal(err)
	}
	same("after Init")
	var file bytes.Buffer
	if err := normed(t, c, Options{}, r).Save(&file, nil); err != nil {
		t.Fatal(err)
	}
	if err := n.Load(&file, LoadOptions{}); err != nil {
		t.Fatal(err)
	}
	same("after Load")
	if len(m.folds) == 0 {
		t.Fatal("nothing is folded, though nobody holds a weight")
	}
	in := &m.InputData().([]float32)[0]
	n.Param("0.weight").eachElement(func(v float64) float64 { return v + 1 })
	same("after a change by a holder")
	n.Param("1.running_mean").eachElement(func(v float64) float64 { return v - 3 })
	same("after another")
	if len(m.folds) > 0 || &m.InputData().([]float32)[0] != in {
		t.Error("the graph folds still, or has another input")
	}
	if ahead.folds == nil || len(graphOf(t, n, batch, BuildOptions{}).folds) != 0 {
		t.Error("a new graph folds, though somebody holds weights")
	}
}

// Goroutines that predict while weights are loaded get the outputs of one file or of the other.
func TestFoldsAndGoroutines(t *testing.T) {
	r := rand.New(rand.NewPCG(23, 0))
	c := Conv2D{Filters: 3, Size: ops.Both(3), Groups: 1}
	n := normed(t, c, Options{}, r)
	var files [2][]byte
	var want [2][]float64
	x := tensor.New(tensor.WithShape(n.batch(1)...), tensor.Of(n.dtype))
	for i := range x.Data().([]float32) {
		x.Data().([]float32)[i] = r.Float32()
	}
	for i := range files {
		var file bytes.Buffer
		if err := normed(t, c, Options{}, r).Save(&file, nil); err != nil {
			t.Fatal(err)
		}
		files[i] = bytes.Clone(file.Bytes())
		if err := n.Load(&file, LoadOptions{}); err != nil {
			t.Fatal(err)
		}
		y, err := n.Predict(x)
		if err != nil {
			t.Fatal(err)
		}
		want[i] = floats(y)
	}
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Go(func() {
			for range 50 {
				if g == 0 {
					for _, f := range [][]byte{files[0], files[1]} {
						if err := n.Load(bytes.NewReader(f), LoadOptions{}); err != nil {
							t.Error(err)
						}
					}
				}
				y, err := n.Predict(x)
				if err != nil {
					t.Error(err)
					return
				}
				got := floats(y)
				if !slices.Equal(got, want[0]) && !slices.Equal(got, want[1]) {
					t.Errorf("the output is of neither file")
					return
				}
			}
		})
	}
	wg.Wait()
}
