package suite

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/convgrad/convgrad/verify"
)

// Every case passes, nothing is listed that was not compared, and each op is put before an oracle
// that knows the derivative by other means, before every machine, and twice.
func TestRun(t *testing.T) {
	const seed = 1
	t.Logf("seed %d", seed)
	rows, err := Run(Options{Cases: 6 * len(Ops()), Seed: seed})
	if err != nil {
		t.Fatal(err)
	}
	had := map[[2]string]bool{}
	for _, r := range rows {
		if !r.Passed() {
			t.Errorf("%s %s, %s: %s", r.Op, r.Quantity, r.Oracle, r.Failure)
		}
		if r.Numbers == 0 || r.Cases == 0 {
			t.Errorf("%s %s, %s: nothing was compared", r.Op, r.Quantity, r.Oracle)
		}
		had[[2]string{r.Op, r.Oracle}] = true
	}
	for _, f := range families() {
		independent := had[[2]string{f.op, string(verify.ByDifferences)}] || had[[2]string{f.op, string(verify.ByStepOne)}]
		if !independent {
			t.Errorf("%s: no differences were taken", f.op)
		}
		want := []verify.Oracle{verify.ByTwice, verify.ByUnmodified, verify.ByTape, verify.ByLisp, verify.ByMachine, verify.ByTwin}
		if !f.registered {
			want = append(want, verify.ByDual)
		}
		for _, o := range want {
			if !had[[2]string{f.op, string(o)}] {
				t.Errorf("%s: was not put before %q", f.op, o)
			}
		}
	}
}

// Each op has eight mistakes or more, and one of each op is caught; all of them are planted by
// go run ./cmd/verify -self-test, which is a gate.
func TestSelfTest(t *testing.T) {
	const seed = 1
	t.Logf("seed %d", seed)
	n := 0
	for _, f := range families() {
		names, first, err := f.shown(seed)
		if err != nil {
			t.Error(err)
			continue
		}
		if n += len(names); len(names) < 8 {
			t.Errorf("%s: %d planted mistakes, want at least 8", f.op, len(names))
			continue
		}
		name := names[len(names)/2]
		if k, err := f.kill(name, first[name], seed); err != nil || !k.Caught {
			t.Errorf("%s: %s survived %d cases: %v", k.Op, k.Mistake, k.Cases, err)
		}
		// those that only this op can have are real, and differ from all others
		for _, m := range f.subject(rand.New(rand.NewPCG(seed, 0))).special {
			if !slices.Contains(names, m.name) {
				t.Errorf("%s: %q is the right rule, or another mistake", f.op, m.name)
			}
		}
	}
	if t.Logf("%d planted mistakes", n); n < 1650 {
		t.Errorf("%d planted mistakes, want 1650 or more", n)
	}
}

// A failing case is described by its parameters, element, both values, error and bound, and how to
// repeat it.
func TestFailureIsDescribed(t *testing.T) {
	const seed = 2
	t.Logf("seed %d", seed)
	f := family{op: "Linear", draw: func(r *rand.Rand) *subject {
		s := drawLinear(r)
		s.op = "Linear"
		if err := s.ground(); err != nil {
			t.Fatal(err)
		}
		return s.plant(s.special[0]) // dw: transposed
	}}
	tab := table{at: map[[3]string]int{}}
	for i := range uint64(4) {
		tab.add(f, seed, i)
	}
	failed := 0
	for _, r := range tab.rows {
		if r.Passed() {
			continue
		}
		failed++
		if !strings.Contains(r.Quantity, "dw") {
			t.Errorf("%s is blamed for a mistake in dw: %s", r.Quantity, r.Failure)
		}
		for _, want := range []string{"x [", "seed 2", "case ", "dw"} {
			if !strings.Contains(r.Failure, want) {
				t.Errorf("%s, %s: %q does not say %q", r.Quantity, r.Oracle, r.Failure, want)
			}
		}
	}
	if failed == 0 {
		t.Fatal("a transposed dw passed")
	}
}

// Any case of any op passes: what rapid draws is the case's number, so that a failure shrinks to
// the first op and the smallest number that fail.
func TestAnyCase(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		all := families()
		f := all[rapid.IntRange(0, len(all)-1).Draw(t, "op")]
		seed := rapid.Uint64().Draw(t, "seed")
		if s, _, err := one(f, seed, rapid.Uint64Range(0, 1<<20).Draw(t, "number")); err != nil {
			t.Fatalf("%s: %s: %v", f.op, s.params, err)
		}
	})
}

func FuzzCase(f *testing.F) {
	for op := range families() {
		f.Add(op, uint64(1), uint64(op))
	}
	f.Fuzz(func(t *testing.T, op int, seed, number uint64) {
		all := families()
		s, _, err := one(all[(op%len(all)+len(all))%len(all)], seed, number)
		if err != nil {
			t.Fatalf("%s: %s: %v", s.op, s.params, err)
		}
	})
}
