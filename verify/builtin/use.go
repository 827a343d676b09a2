package builtin

import (
	"fmt"
	"math"
	"math/rand/v2"
	"sort"

	G "gorgonia.org/gorgonia"

	"github.com/convgrad/convgrad/verify"
	"github.com/convgrad/convgrad/verify/internal/graphs"
	"github.com/convgrad/convgrad/verify/internal/values"
	"github.com/convgrad/convgrad/verify/suite"
)

// A use is a case of one of Gorgonia's ops: its inputs' shapes, its node, and what it should be.
type use struct {
	shapes    [][]int
	distinct  bool // inputs without ties and zeros
	build     verify.Build
	reference verify.Reference
}

// underTape is what concerns everything but LispMachine, underLisp that alone.
var (
	underTape = []verify.Oracle{verify.ByExact, verify.ByDual, verify.ByDifferences, verify.ByTape,
		verify.ByAccumulation, verify.ByMultiples, verify.ByTwin}
	underLisp = []verify.Oracle{verify.ByDoDiff, verify.ByLisp, verify.ByLispAccumul}
)

// blamed is the first complaint of the checker about a use, by some of its oracles.
func blamed(u use, by ...verify.Oracle) string {
	c := verify.Case{Build: u.build, Reference: u.reference}
	for i, shape := range u.shapes {
		name := []string{"x", "w", "b"}[i]
		if u.distinct {
			c.Inputs = append(c.Inputs, verify.Permutation(name, shape...))
		} else {
			c.Inputs = append(c.Inputs, verify.Integers(name, 4, shape...))
		}
	}
	return blamedFor(c, by...)
}

// at runs a node on given values and compares with what it should be, to the bit but for NaN, which
// equals NaN, and −0, which does not equal 0.
func at(build graphs.Build, in []graphs.Array, dy graphs.Array, y, dx []float64) string {
	got, gradients, err := graphs.Run(build, in, dy)
	if err != nil {
		return err.Error()
	}
	if p := differs("y", got.Data, y); p != "" || dx == nil {
		return p
	}
	return differs("dx", gradients[0].Data, dx)
}

func differs(what string, got, want []float64) string {
	for i := range want {
		if len(got) != len(want) || math.Float64bits(got[i]) != math.Float64bits(want[i]) && !(math.IsNaN(got[i]) && math.IsNaN(want[i])) {
			return fmt.Sprintf("%s is %v, want %v", what, got, want)
		}
	}
	return ""
}

func image2(rows, cols int, v ...float64) graphs.Array { return graphs.Of([]int{1, 1, rows, cols}, v) }

func ones(n int) []float64 {
	v := make([]float64, n)
	for i := range v {
		v[i] = 1
	}
	return v
}

// shapesOf are all shapes of a rank with sides up to most, in order of size.
func shapesOf(rank, most int) [][]int {
	all := [][]int{nil}
	for range rank {
		var longer [][]int
		for _, s := range all {
			for side := 1; side <= most; side++ {
				longer = append(longer, append(append([]int(nil), s...), side))
			}
		}
		all = longer
	}
	sort.SliceStable(all, func(i, j int) bool { return len(graphs.Zeros(all[i]...).Data) < len(graphs.Zeros(all[j]...).Data) })
	return all
}

// leftAlone runs f(x) + 1 twice: x must be what it was.
func leftAlone(f func(x *G.Node) (*G.Node, error), options ...G.VMOpt) func(try try) {
	return func(try try) {
		try("x [0 0]", func() string {
			g, in := graphs.Leaves(graphs.Zeros(2))
			y := must(f(in[0]))
			must(G.Add(y, G.NewConstant(1.0)))
			run(g, options...)
			got := must(values.Floats(in[0].Value()))
			return differs("x after the run", got, []float64{0, 0})
		})
	}
}

// blamedFor is what the checker has against a case, by some oracles. It is strict: Gorgonia's own
// ops are not excused.
func blamedFor(c verify.Case, by ...verify.Oracle) string {
	c.Fixed, c.Strict, c.NoShrink, c.Only, c.Seed = true, true, true, by, 1
	report := must(c.Check())
	for _, row := range report.Rows {
		if row.Verdict == verify.Fails {
			return row.String()
		}
	}
	return ""
}

// mulOf checks products of matrices in order of size, by one oracle.
func mulOf(oracle verify.Oracle) func(try try) {
	return func(try try) {
		for _, s := range shapesOf(3, 3) {
			try(fmt.Sprintf("[%d %d] × [%d %d]", s[0], s[1], s[1], s[2]), func() string {
				return blamedFor(verify.Case{
					Build:  func(in []*G.Node) (*G.Node, error) { return G.Mul(in[0], in[1]) },
					Inputs: []verify.Input{verify.Integers("x", 4, s[0], s[1]), verify.Integers("w", 4, s[1], s[2])},
				}, oracle)
			})
		}
	}
}

// gradTwice differentiates f(x), and then something in the same graph that has nothing to do with
// it.
func gradTwice(f func(x *G.Node) (*G.Node, error)) func(try try) {
	return func(try try) {
		try("Grad of Σ f(x) by x, and then of Σ w² by w", func() string {
			_, in := graphs.Leaves(graphs.Zeros(1, 1, 1, 2), graphs.Zeros(2))
			y := must(f(in[0]))
			must(G.Grad(G.Must(G.Sum(y)), in[0]))
			must(G.Grad(G.Must(G.Sum(G.Must(G.Square(in[1])))), in[1]))
			return ""
		})
	}
}

// overFamily takes the graph of Gorgonia's ops that an op of ours is compared with.
func overFamily(op string) func(try try) {
	return func(try try) {
		r := rand.New(rand.NewPCG(1, 7))
		for range 20 {
			if params, c := suite.Theirs(op, r); c.Build != nil {
				try(params, func() string { return blamedFor(c, underTape...) })
			}
		}
	}
}
