package model

import (
	"math"
	"testing"

	"gorgonia.org/tensor"
)

// The order of the greatest, of equal ones and of NaN, in both types; probabilities are a softmax.
func TestTopK(t *testing.T) {
	nan := math.NaN()
	for _, y := range []*tensor.Dense{
		tensor.New(tensor.WithShape(3, 4), tensor.WithBacking([]float64{1, 3, 2, 3, nan, -1, 0, nan, 1000, 0, 999, 1000})),
		tensor.New(tensor.WithShape(3, 4), tensor.WithBacking([]float32{1, 3, 2, 3, float32(nan), -1, 0, float32(nan), 1000, 0, 999, 1000})),
	} {
		for k, want := range map[int][3][]int{1: {{1}, {2}, {0}}, 3: {{1, 3, 2}, {2, 1, 0}, {0, 3, 2}}, 9: {{1, 3, 2, 0}, {2, 1, 0, 3}, {0, 3, 2, 1}}} {
			got, err := TopK(y, k)
			if err != nil {
				t.Fatal(err)
			}
			for i := range want {
				if len(got[i]) != len(want[i]) {
					t.Fatalf("k %d: %d classes of sample %d, want %d", k, len(got[i]), i, len(want[i]))
				}
				for j, s := range got[i] {
					if s.Class != want[i][j] {
						t.Errorf("k %d: place %d of sample %d has class %d, want %d", k, j, i, s.Class, want[i][j])
					}
				}
			}
		}
		got, err := TopK(y, 4)
		if err != nil {
			t.Fatal(err)
		}
		e := math.E
		for j, want := range []float64{1 / (2 + 1/e), 1 / (2 + 1/e), 1 / (2*e + 1), 0} {
			if p := got[2][j].Probability; !(math.Abs(p-want) <= 4*math.Ldexp(1, -53)) {
				t.Errorf("place %d has the probability %v, want %v", j, p, want)
			}
		}
	}
	y := tensor.New(tensor.WithShape(2, 3), tensor.Of(tensor.Float32))
	for what, f := range map[string]func() ([][]Score, error){
		"nil":      func() ([][]Score, error) { return TopK(nil, 1) },
		"k":        func() ([][]Score, error) { return TopK(y, 0) },
		"integers": func() ([][]Score, error) { return TopK(tensor.New(tensor.WithShape(2, 3), tensor.Of(tensor.Int)), 1) },
		"rank":     func() ([][]Score, error) { return TopK(tensor.New(tensor.WithShape(3), tensor.Of(tensor.Float32)), 1) },
	} {
		if _, err := f(); err == nil {
			t.Errorf("%s: no error", what)
		}
	}
}
