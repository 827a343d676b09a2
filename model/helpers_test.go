package model

import (
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	G "gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/convgrad/convgrad/ops"
)

var digit = tensor.Shape{1, 28, 28}

// small are the networks that tests can run whole on a digit, whatever they ask of them.
var small = []string{"article", "convnet", "lenet5", "linear"}

func byName(t testing.TB, name string, o Options) *Network {
	t.Helper()
	o.Seed = 3
	n, err := ByName(name, digit, 10, o)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func newNet(t testing.TB, l Layer, input tensor.Shape, o Options) *Network {
	t.Helper()
	n, err := New(l, input, o)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func graphOf(t testing.TB, n *Network, batch int, o BuildOptions) *Graph {
	t.Helper()
	m, err := n.Build(batch, o)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func run(t testing.TB, m *Graph) {
	t.Helper()
	if err := m.Run(); err != nil {
		t.Fatal(err)
	}
}

// loss runs a graph at a step and returns its loss.
func lossAt(t testing.TB, m *Graph, step int) float64 {
	t.Helper()
	m.SetStep(step)
	run(t, m)
	l, err := m.LossValue()
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// fill puts random inputs and targets into a graph.
func fill(r *rand.Rand, m *Graph) {
	for _, d := range []any{m.InputData(), m.TargetData()} {
		switch v := d.(type) {
		case []float32:
			for i := range v {
				v[i] = float32(r.NormFloat64())
			}
		case []float64:
			for i := range v {
				v[i] = r.NormFloat64()
			}
		case []int:
			for i := range v {
				v[i] = r.IntN(m.y.Shape()[1])
			}
		}
	}
}

// wants fails unless the error holds the text.
func wants(t testing.TB, what string, err error, want string) {
	t.Helper()
	if err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("%s: got error %v, want one with %q", what, err, want)
	}
}

// bits copies a value's elements out as float64, which keeps float32 exactly.
func bits(t testing.TB, v G.Value) []float64 {
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

func sameBits(t testing.TB, what string, got, want []float64) {
	t.Helper()
	if len(got) != len(want) {
		t.Errorf("%s: got %d elements, want %d", what, len(got), len(want))
		return
	}
	for i := range got {
		if got[i] != want[i] && (got[i] == got[i] || want[i] == want[i]) {
			t.Errorf("%s: element %d of %d: got %v, want %v", what, i, len(got), got[i], want[i])
			return
		}
	}
}

// result is what a run at step 0 gives: output, loss, and gradients if there are any.
func result(t testing.TB, m *Graph) [][]float64 {
	t.Helper()
	m.SetStep(0)
	run(t, m)
	all := [][]float64{bits(t, m.y.Value()), bits(t, m.loss.Value())}
	for _, g := range m.dense {
		all = append(all, bits(t, g))
	}
	return all
}

func names(m *Graph) []string {
	n := []string{"output", "loss"}
	for _, p := range m.params {
		n = append(n, "gradient of "+p.Name)
	}
	return n
}

var half2 = MaxPool2D{Window: ops.Both(2)}

// checkGradients compares the gradient of every parameter, along a random direction, with central
// differences of the loss, in float64.
func checkGradients(t *testing.T, m *Graph, r *rand.Rand) {
	t.Helper()
	const h = 1e-5
	for i, p := range m.params {
		lossAt(t, m, 0)
		grad, w := bits(t, m.dense[i]), p.Value.Data().([]float64)
		was := append([]float64(nil), w...)
		d, slope, norm := make([]float64, len(w)), 0.0, 0.0
		for j := range d {
			d[j] = r.NormFloat64()
			norm += d[j] * d[j]
		}
		for j := range d {
			d[j] *= 1 / math.Sqrt(norm)
			slope += d[j] * grad[j]
		}
		at := func(h float64) float64 {
			for j := range w {
				w[j] = was[j] + h*d[j]
			}
			l := lossAt(t, m, 0)
			copy(w, was)
			return l
		}
		// Along a unit direction the third derivative of these losses is of the size of the loss,
		// so truncation is near h²·loss and rounding, over some thousand sums, near 1e3·u·loss/h:
		// both are below 1e-8 of the loss. The bound allows ten times that.
		plus, minus := at(h), at(-h)
		if got := (plus - minus) / (2 * h); !(math.Abs(got-slope) <= 1e-7*max(1, math.Abs(plus))) {
			t.Errorf("%s: the gradient says %v, differences %v", p.Name, slope, got)
		}
	}
}
