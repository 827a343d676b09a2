package ops_test

import (
	"math"
	"testing"

	G "gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/convgrad/convgrad/ops"
)

// TestIgnoredLabels compares a batch with ignored rows with the batch without them, on the fused
// path and on the other; a mean over nothing is NaN and its derivative 0, as in PyTorch.
func TestIgnoredLabels(t *testing.T) {
	x := []float64{1, 2, 0, -1, 3, 1, 0, 0, 5, 2, 2, 2}
	run := func(x []float64, p ops.CrossEntropyParams, l ...int) (float64, []float64) {
		g := G.NewGraph()
		in := leaf(g, "x", tensor.Shape{len(x) / 3, 3}, x)
		e := must(t)(ops.CrossEntropy(in, labels(g, l...), p))
		d, err := ops.Grad(e, nil, in)
		if err != nil {
			t.Fatal(err)
		}
		got := runNodes(t, e, d[0])
		return got[0][0], got[1]
	}
	two := 2
	for name, c := range map[string]struct {
		p      ops.CrossEntropyParams
		ignore int
	}{
		"fused":        {ops.CrossEntropyParams{}, -100},
		"fused, label": {ops.CrossEntropyParams{Ignore: &two}, 2},
		"fused, sum":   {ops.CrossEntropyParams{Reduction: ops.ReductionSum}, -100},
		"smoothed":     {ops.CrossEntropyParams{Smoothing: 0.25}, -100},
	} {
		e, d := run(x, c.p, 0, c.ignore, 1, c.ignore)
		want, dWant := run([]float64{1, 2, 0, 0, 0, 5}, c.p, 0, 1)
		// a dozen roundings of numbers up to 6
		if !(math.Abs(e-want) <= 12*6*0x1p-53) {
			t.Errorf("%s: E is %v, without the ignored rows %v", name, e, want)
		}
		for i := range 3 {
			if d[3+i] != 0 || d[9+i] != 0 {
				t.Errorf("%s: the derivative of ignored rows is %v and %v, want 0", name, d[3:6], d[9:])
			}
			for row, at := range []int{0, 6} {
				if !(math.Abs(d[at+i]-dWant[3*row+i]) <= 12*0x1p-53) {
					t.Errorf("%s: dx[%d] is %v, want %v", name, at+i, d[at+i], dWant[3*row+i])
				}
			}
		}
		e, d = run(x[:6], c.p, c.ignore, c.ignore)
		if none := c.p.Reduction == ops.ReductionSum; none && e != 0 || !none && !math.IsNaN(e) {
			t.Errorf("%s: E of nothing is %v", name, e)
		}
		for i, v := range d {
			if v != 0 {
				t.Errorf("%s: dx[%d] is %v where all is ignored, want 0", name, i, v)
			}
		}
	}
}
