package verify_test

import (
	"testing"

	G "gorgonia.org/gorgonia"

	"github.com/convgrad/convgrad/verify"
)

// FuzzCheck gives the checker correct and wrong ops of random shapes: it must never panic, must say
// nothing about the correct one, and must find the fault wherever the shapes let it show.
func FuzzCheck(f *testing.F) {
	f.Add(uint64(1), byte(3), byte(4), byte(2), byte(0))
	f.Add(uint64(2), byte(1), byte(1), byte(1), byte(1))
	f.Fuzz(func(t *testing.T, seed uint64, n, i, o, fault byte) {
		// small: the fuzzer takes ten seconds on a busy machine for a deadlock
		in := inputs(int(n%4)+1, int(i%4)+1, int(o%4)+1)
		faults := []string{"", "factor of 2", "sign", "zero", "writes into its input", "panics", "DoDiff forgets w", "overwrites the gradient", "adds to dirty memory"}
		name := faults[int(fault)%len(faults)]
		r, err := verify.Case{Build: multiply(name), Inputs: in, Seed: seed, Reference: reference}.Check()
		if err != nil {
			t.Fatal(err)
		}
		if r.Failed() != (name != "") {
			t.Fatalf("fault %q, and the report says\n%s", name, r)
		}
	})
}

// FuzzBuild gives the checker builds that do not fit their inputs: every failure is a row.
func FuzzBuild(f *testing.F) {
	f.Add(byte(2), byte(3), byte(0))
	f.Fuzz(func(t *testing.T, a, b, which byte) {
		builds := []verify.Build{
			func(in []*G.Node) (*G.Node, error) { return G.Mul(in[0], in[1]) },
			func(in []*G.Node) (*G.Node, error) { return G.HadamardProd(in[0], in[1]) },
			func(in []*G.Node) (*G.Node, error) { return in[0], nil },
			func(in []*G.Node) (*G.Node, error) { return G.NewConstant(1.0), nil },
			func(in []*G.Node) (*G.Node, error) { return G.NewScalar(G.NewGraph(), G.Float64), nil },
		}
		x := verify.Normal("x", int(a%4)+1, int(b%4)+1)
		w := verify.Normal("w", int(b%4)+1, int(a%3)+1)
		if _, err := (verify.Case{Build: builds[int(which)%len(builds)], Inputs: []verify.Input{x, w}}).Check(); err != nil {
			t.Fatal(err)
		}
	})
}
