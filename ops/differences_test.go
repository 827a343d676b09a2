package ops_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	G "gorgonia.org/gorgonia"

	"github.com/convgrad/convgrad/ops/vm"
)

// A projection is a number S = Σ_i ⟨r_i, t_i⟩ made of tensors t_i of a graph, whose gradients by
// the leaves are to be compared with differences.
type projection struct {
	s      *G.Node
	leaves []*G.Node
	names  []string // of the leaves
	t      []*G.Node
	r      [][]float64
}

// floatsOf is the memory of a leaf's elements, or its one number.
func floatsOf(n *G.Node) []float64 {
	if s, ok := n.Value().(*G.F64); ok {
		return []float64{float64(*s)}
	}
	return n.Value().Data().([]float64)
}

// elementsOf are the places of n elements, among them the one of the greatest magnitude.
func elementsOf(v []float64, n int) []int {
	r := rand.New(rand.NewPCG(62, 0))
	at := r.Perm(len(v))
	for i, j := range at {
		if math.Abs(v[j]) > math.Abs(v[at[0]]) {
			at[0], at[i] = at[i], at[0]
		}
	}
	return at[:min(n, len(at))]
}

// apart compares gradients with central differences of S, at some elements of each leaf, and
// returns the largest difference in proportion to its bound, and where it is.
//
// With D(h) = (S(x+h) − S(x−h))/2h and E(h) = (4·D(h/2) − D(h))/3, whose error is of order h⁴, R =
// (16·E(h/2) − E(h))/15 is Richardson's extrapolation, with an error of order h⁶; |R − E(h/2)|, of
// order h⁴, is the estimate of it. If S is computed to within e, D(h) is to within e/h, and R to
// within (16·(4·4 + 2)/3 + (4·2 + 1)/3)/15 < 7 times that. S sums n products ⟨r, t⟩, and t itself
// is made by some tens of roundings in these small samples: e is taken as (n + 100)·u·Σ|r·t|,
// twice, since the terms of t are larger than it where they cancel.
func (d projection) apart(test *testing.T, grads [][]float64) (worst float64, where string) {
	test.Helper()
	m, err := vm.New(d.s.Graph(), append(G.Nodes{d.s}, d.t...)...)
	if err != nil {
		test.Fatal(err)
	}
	defer m.Close()
	evaluate := func() float64 {
		if err := m.RunAll(); err != nil {
			test.Fatal(err)
		}
		return number(test, d.s.Value())
	}
	evaluate()
	checked := 25
	if testing.Short() {
		checked = 10
	}
	magnitude, n := 0.0, 0
	for i, made := range d.t {
		for j, v := range floatsOf(made) {
			magnitude += math.Abs(v * d.r[i][j])
			n++
		}
	}
	const h = 0x1p-7
	noise := 2 * float64(n+100) * 0x1p-53 * magnitude * 7 / h
	for i, leaf := range d.leaves {
		for _, j := range elementsOf(grads[i], checked) {
			set := func(v float64) {
				if s, ok := leaf.Value().(*G.F64); ok {
					*s = G.F64(v)
				} else {
					floatsOf(leaf)[j] = v
				}
			}
			x := floatsOf(leaf)[j]
			central := func(h float64) float64 {
				set(x + h)
				up := evaluate()
				set(x - h)
				down := evaluate()
				set(x)
				return (up - down) / (2 * h)
			}
			whole, half, quarter := central(h), central(h/2), central(h/4)
			first, second := (4*half-whole)/3, (4*quarter-half)/3
			want := (16*second - first) / 15
			limit := math.Abs(want-second) + noise
			share := math.Abs(grads[i][j]-want) / limit
			if !(share <= worst) {
				worst, where = share, fmt.Sprintf("by %s, element %d: %v, differences say %v ± %.2g", d.names[i], j, grads[i][j], want, limit)
			}
		}
	}
	return worst, where
}
