package verify_test

import (
	"fmt"
	"strings"
	"testing"

	G "gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/convgrad/convgrad/verify"
)

// chained makes a graph of several ops: errors end it.
func chained(in *G.Node, ops ...func(*G.Node) (*G.Node, error)) (n *G.Node, err error) {
	n = in
	for _, op := range ops {
		if n, err = op(n); err != nil {
			return nil, err
		}
	}
	return n, nil
}

func apply(o *op) func(*G.Node) (*G.Node, error) {
	return func(x *G.Node) (*G.Node, error) { return o.build([]*G.Node{x}) }
}

func sum(x *G.Node) (*G.Node, error) { return G.Sum(x) }

// Where kinks of several ops meet, right rules give what lies between no one-sided derivatives of
// the whole, and nothing is judged; where one is alone it is.
func TestKinksThatMeet(t *testing.T) {
	difference := func(o *op) verify.Build { // relu(x) − relu(−x) = x
		return func(in []*G.Node) (*G.Node, error) {
			a, err := chained(in[0], apply(o))
			if err != nil {
				return nil, err
			}
			b, err := chained(in[0], G.Neg, apply(o))
			if err != nil {
				return nil, err
			}
			return G.Sub(a, b)
		}
	}
	alone := func(o *op) verify.Build {
		return func(in []*G.Node) (*G.Node, error) { return chained(in[0], apply(o), sum) }
	}
	for name, c := range map[string]struct {
		build verify.Build
		fails bool
	}{
		"relu 0, difference": {difference(relu(0)), false},
		"relu ½, difference": {difference(relu(0.5)), false},
		"relu 1, difference": {difference(relu(1)), false},
		"relu 1, sum":        {alone(relu(1)), false},
		"relu 7, sum":        {alone(relu(7)), true},
		"relu −1, sum":       {alone(relu(-1)), true},
		"relu 0 within relu 0": {func(in []*G.Node) (*G.Node, error) {
			return chained(in[0], apply(relu(1)), G.Neg, apply(relu(1)), sum)
		}, false},
	} {
		for seed := range uint64(3) {
			r, err := verify.Case{Name: name, Build: c.build, Inputs: []verify.Input{verify.Normal("x", 2, 3)}, Seed: seed}.Check()
			if err != nil {
				t.Fatal(err)
			}
			if r.Passed() == c.fails {
				t.Errorf("seed %d, want a failure: %v, got\n%s", seed, c.fails, r)
			}
		}
	}
}

// A kink far smaller than the bend beside it is seen where a rule depends on it: 1e-7·relu(x) + eˣ.
func TestFaintKinks(t *testing.T) {
	for share, fails := range map[float64]bool{0: false, 0.5: false, 1: false, 7: true} {
		o := simple(fmt.Sprint("faint ", share),
			func(x float64) float64 { return exp(x) + 1e-7*max(x, 0) },
			func(x, _ float64) float64 {
				switch {
				case x > 0:
					return exp(x) + 1e-7
				case x < 0:
					return exp(x)
				}
				return 1 + share*1e-7
			})
		r, err := verify.Case{Build: o.build, Inputs: []verify.Input{fixed(0, 1, -1)}, Seed: 1}.Check()
		if err != nil {
			t.Fatal(err)
		}
		if r.Failed() != fails {
			t.Errorf("%v of the kink at 0: want a failure: %v, got\n%s", share, fails, r)
		}
		if f := r.First(); f != nil && f.Mismatch != nil && strings.Contains(f.Mismatch.Hint, "kink") {
			t.Errorf("the hint is %q, want none of a kink that noise could be", f.Mismatch.Hint)
		}
	}
}

// Where a varied shape leaves the result without elements, that is no variation; at the case's own
// shape the report says it.
func TestEmptyResults(t *testing.T) {
	half := simple("every other", func(x float64) float64 { return x }, func(float64, float64) float64 { return 1 })
	half.out = func(in []tensor.Shape) (tensor.Shape, error) { return tensor.Shape{in[0][0], in[0][1] / 2}, nil }
	half.wide.f = func(in []shaped[float64]) []float64 { return every(in[0].v, in[0].s[1]) }
	half.wide.d = func(_ int, in []shaped[float64], _, dy []float64) []float64 {
		dx := make([]float64, len(in[0].v))
		for k, v := range dy {
			w := in[0].s[1]
			dx[k/(w/2)*w+2*(k%(w/2))] = v
		}
		return dx
	}
	half.slim = nil
	for side, want := range map[int]string{4: "", 1: "nothing to compare"} {
		r, err := verify.Case{Build: half.build, Inputs: []verify.Input{verify.Normal("x", 2, side)}, Seed: 1}.Check()
		if err != nil {
			t.Fatal(err)
		}
		if r.Passed() != (want == "") || !strings.Contains(r.String(), want) {
			t.Errorf("side %d: want %q, got\n%s", side, want, r)
		}
	}
}

func every(x []float64, w int) (y []float64) {
	for i, v := range x {
		if i%w%2 == 0 && i%w < w/2*2 {
			y = append(y, v)
		}
	}
	return y
}

// The same seed gives the same report.
func TestSameSeedSameReport(t *testing.T) {
	for _, o := range []*op{relu(0), relu(7)} {
		var reports [2]string
		for k := range reports {
			r, err := verify.Case{Build: o.build, Inputs: []verify.Input{verify.Normal("x", 2, 3)}, Seed: 5}.Check()
			if err != nil {
				t.Fatal(err)
			}
			reports[k] = r.String()
		}
		if reports[0] != reports[1] {
			t.Errorf("the second report of one seed differs:\n%s\nfrom the first:\n%s", reports[1], reports[0])
		}
	}
}
