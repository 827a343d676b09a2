package verify_test

import (
	"fmt"
	"strings"
	"testing"

	G "gorgonia.org/gorgonia"

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
