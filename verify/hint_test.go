package verify

import (
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/convgrad/convgrad/verify/internal/values"
)

// A gradient that is wrong in a known way is called that, whatever its numbers.
func TestHints(t *testing.T) {
	const seed = 11
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	// moved is want with its elements taken from elsewhere; from returns false for an element that
	// is to be made up.
	moved := func(from func(x, shape []int) bool) func(want []float64, shape []int) []float64 {
		return func(want []float64, shape []int) []float64 {
			got := make([]float64, len(want))
			for i := range got {
				x := values.Index(i, shape)
				if got[i] = 7; from(x, shape) {
					k := 0
					for a, s := range shape {
						k = k*s + x[a]
					}
					got[i] = want[k]
				}
			}
			return got
		}
	}
	each := func(f func(x []int, shape []int, v float64) float64) func(want []float64, shape []int) []float64 {
		return func(want []float64, shape []int) []float64 {
			got := make([]float64, len(want))
			for i, v := range want {
				got[i] = f(values.Index(i, shape), shape, v)
			}
			return got
		}
	}
	for _, c := range []struct {
		says  string
		shape []int
		make  func(want []float64, shape []int) []float64
	}{
		{"a constant factor of 1/2", []int{2, 3}, each(func(_, _ []int, v float64) float64 { return v / 2 })},
		{"a constant factor of 1/12", []int{2, 3}, each(func(_, _ []int, v float64) float64 { return v / 12 })},
		{"a constant factor of 3.14159", []int{2, 3}, each(func(_, _ []int, v float64) float64 { return v * 3.14159 })},
		{"the sign is wrong", []int{5}, each(func(_, _ []int, v float64) float64 { return -v })},
		{"it is zero everywhere", []int{5}, each(func(_, _ []int, v float64) float64 { return 0 })},
		{"0.25 is added to every element", []int{2, 3}, each(func(_, _ []int, v float64) float64 { return v + 0.25 })},
		{"transposed: axes 0 and 1", []int{4, 4}, moved(func(x, _ []int) bool { x[0], x[1] = x[1], x[0]; return true })},
		{"transposed: axes 2 and 3", []int{2, 3, 4, 4}, moved(func(x, _ []int) bool { x[2], x[3] = x[3], x[2]; return true })},
		{"transposed: axes 0 and 2", []int{4, 3, 4}, moved(func(x, _ []int) bool { x[0], x[2] = x[2], x[0]; return true })},
		{"flipped by 180° in the last two axes", []int{2, 1, 3, 4}, moved(func(x, s []int) bool { x[2], x[3] = s[2]-1-x[2], s[3]-1-x[3]; return true })},
		{"reversed along axis 1", []int{2, 3, 4}, moved(func(x, s []int) bool { x[1] = s[1] - 1 - x[1]; return true })},
		{"reversed along axis 0", []int{6}, moved(func(x, s []int) bool { x[0] = s[0] - 1 - x[0]; return true })},
		{"shifted by +1 along axis 1", []int{2, 5}, moved(func(x, s []int) bool { x[1]--; return x[1] >= 0 })},
		{"shifted by -1 along axis 2", []int{2, 2, 5}, moved(func(x, s []int) bool { x[2]++; return x[2] < s[2] })},
		{"only on the border of the last two axes", []int{2, 5, 6}, each(func(x, s []int, v float64) float64 {
			if x[1] == 0 || x[1] == s[1]-1 || x[2] == 0 || x[2] == s[2]-1 {
				return 3*v + 1
			}
			return v
		})},
		{"only at index 1 of axis 0", []int{3, 4}, each(func(x, _ []int, v float64) float64 {
			if x[0] == 1 {
				return 3*v + 1
			}
			return v
		})},
		{"only at index 2 of axis 1", []int{2, 3, 4, 4}, each(func(x, _ []int, v float64) float64 {
			if x[1] == 2 {
				return 3*v + 1
			}
			return v
		})},
		{"only at index 3 of axis 2", []int{2, 3, 4}, each(func(x, _ []int, v float64) float64 {
			if x[2] == 3 {
				return 3*v + 1
			}
			return v
		})},
		{"", []int{3, 5}, each(func(_, _ []int, v float64) float64 { return r.NormFloat64() })},
		// too little to be called a factor
		{"", []int{3, 5}, each(func(_, _ []int, v float64) float64 { return v * (1 + 1e-9) })},
	} {
		n := 1
		for _, s := range c.shape {
			n *= s
		}
		want, bad := make([]float64, n), make([]bool, n)
		for i := range want {
			want[i] = r.NormFloat64()
		}
		got := c.make(want, c.shape)
		for i := range bad {
			bad[i] = got[i] != want[i]
		}
		if h := hint(c.shape, got, want, bad); !strings.HasPrefix(h, c.says) || c.says == "" && h != "" {
			t.Errorf("%v: got %q, want %q", c.shape, h, c.says)
		}
	}
}
