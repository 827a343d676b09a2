package builtin

import (
	"cmp"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"

	G "gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/convgrad/convgrad/verify"
	"github.com/convgrad/convgrad/verify/internal/graphs"
	"github.com/convgrad/convgrad/verify/internal/values"
	"github.com/convgrad/convgrad/verify/suite"
)

// A search hands cases to try, in order of size.
type search = func(try try)

// one is a search of one case.
func one(what string, problem func() string) search {
	return func(try try) { try(what, problem) }
}

// over is a search of several cases, each of which a format names.
func over[T any](all []T, format string, problem func(T) string) search {
	return func(try try) {
		for _, c := range all {
			if !try(fmt.Sprintf(format, c), func() string { return problem(c) }) {
				return
			}
		}
	}
}

// grid is all tuples of numbers from 1 to the most of each place, in order of size.
func grid(size func(s []int) int, most ...int) [][]int {
	all := [][]int{nil}
	for _, m := range most {
		var longer [][]int
		for _, s := range all {
			for side := 1; side <= m; side++ {
				longer = append(longer, append(slices.Clone(s), side))
			}
		}
		all = longer
	}
	slices.SortStableFunc(all, func(a, b []int) int { return cmp.Compare(size(a), size(b)) })
	return all
}

// shapes are all shapes with sides up to the most of each axis, in order of size.
func shapes(most ...int) [][]int {
	return grid(func(s []int) int { return tensor.Shape(s).TotalSize() }, most...)
}

// of makes a node of the first input.
func of(f func(x *G.Node) (*G.Node, error)) verify.Build {
	return func(in []*G.Node) (*G.Node, error) { return f(in[0]) }
}

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

// blamedFor is what the checker has against a case, by some oracles. It is strict: Gorgonia's own
// ops are not excused.
func blamedFor(c verify.Case, by ...verify.Oracle) string {
	c.Fixed, c.Strict, c.NoShrink, c.Only, c.Seed = true, true, true, by, 1
	if row := must(c.Check()).First(); row != nil {
		return row.String()
	}
	return ""
}

// at runs a node on given values and compares with what it should be, to the bit but for NaN, which
// equals NaN, and −0, which does not equal 0.
func at(build verify.Build, in, dy graphs.Array, y, dx []float64) string {
	got, gradients, err := graphs.Run(build, []graphs.Array{in}, dy)
	if err != nil {
		return err.Error()
	}
	if p := differs("y", got.Data, y); p != "" || dx == nil {
		return p
	}
	return differs("dx", gradients[0].Data, dx)
}

func differs(what string, got, want []float64) string {
	same := slices.EqualFunc(got, want, func(a, b float64) bool {
		return math.Float64bits(a) == math.Float64bits(b) || a != a && b != b
	})
	if same {
		return ""
	}
	return fmt.Sprintf("%s is %v, want %v", what, got, want)
}

// read runs a graph and compares a node's value with what it should be.
func read(what string, g *G.ExprGraph, n *G.Node, want ...float64) string {
	var v G.Value
	G.Read(n, &v)
	run(g)
	return differs(what, must(values.Floats(v)), want)
}

func image(rows, cols int, v ...float64) graphs.Array { return graphs.Of([]int{1, 1, rows, cols}, v) }

// row is one axis.
func row(v ...float64) graphs.Array { return graphs.Of([]int{len(v)}, v) }

// leftAlone runs f(x) + 1 twice: x must be what it was.
func leftAlone(f func(x *G.Node) (*G.Node, error), options ...G.VMOpt) search {
	return one("x [0 0]", func() string {
		g, in := graphs.Leaves(graphs.Zeros(2))
		must(G.Add(must(f(in[0])), G.NewConstant(1.0)))
		run(g, options...)
		return differs("x after the run", must(values.Floats(in[0].Value())), []float64{0, 0})
	})
}

// merged wants two calls to be two nodes.
func merged(what string, a, b func(x *G.Node) (*G.Node, error)) search {
	return one(what, func() string {
		_, in := graphs.Leaves(graphs.Zeros(1, 2))
		if must(a(in[0])) == must(b(in[0])) {
			return "the two are one node"
		}
		return ""
	})
}

// mulOf checks products of matrices in order of size, by one oracle.
func mulOf(oracle verify.Oracle) search {
	return over(shapes(3, 3, 3), "[n m] × [m k] of %v", func(s []int) string {
		return blamedFor(verify.Case{
			Build:  func(in []*G.Node) (*G.Node, error) { return G.Mul(in[0], in[1]) },
			Inputs: []verify.Input{verify.Integers("x", 4, s[0], s[1]), verify.Integers("w", 4, s[1], s[2])},
		}, oracle)
	})
}

// gradTwice differentiates f(x), and then something in the same graph that has nothing to do with
// it.
func gradTwice(f func(x *G.Node) (*G.Node, error)) search {
	return one("Grad of Σ f(x) by x, and then of Σ w² by w", func() string {
		_, in := graphs.Leaves(graphs.Zeros(1, 1, 1, 2), graphs.Zeros(2))
		must(G.Grad(must(G.Sum(must(f(in[0])))), in[0]))
		must(G.Grad(must(G.Sum(must(G.Square(in[1])))), in[1]))
		return ""
	})
}

// overFamily takes the graph of Gorgonia's ops that an op of ours is compared with.
func overFamily(op string) search {
	return func(try try) {
		r := rand.New(rand.NewPCG(1, 7))
		for range 20 {
			if params, c := suite.Theirs(op, r); c.Build != nil {
				try(params, func() string { return blamedFor(c, underTape...) })
			}
		}
	}
}
