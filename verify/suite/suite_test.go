package suite

import (
	"math/rand/v2"

	"testing"

	"pgregory.net/rapid"
)

func TestRun(t *testing.T) {
	const seed = 1
	t.Logf("seed %d", seed)
	rows, err := Run(Options{Cases: 120, Seed: seed})
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range rows {
		if !r.Passed() {
			t.Errorf("%s %s, %s: %s", r.Op, r.Quantity, r.Oracle, r.Failure)
		}
	}
}

// Every planted mistake is caught, and no rule without one is blamed.
func TestSelfTest(t *testing.T) {
	const seed = 1
	t.Logf("seed %d", seed)
	kills, err := SelfTest(seed, "")
	if err != nil {
		t.Fatal(err)
	}
	of := map[string]int{}
	for _, k := range kills {
		of[k.Op]++
		if !k.Caught {
			t.Errorf("%s: %s survived %d cases", k.Op, k.Mistake, k.Cases)
		}
	}
	for _, op := range Ops() {
		if of[op] < 8 {
			t.Errorf("%s: %d planted mistakes, want at least 8", op, of[op])
		}
	}
	t.Logf("%d planted mistakes", len(kills))
}

// Planted mistakes are real and distinct: each differs from the right rule in some case, and each two of an op from one another, by more than rounding.
func TestMistakesAreDistinct(t *testing.T) {
	const seed, most = 1, 40
	t.Logf("seed %d", seed)
	for _, f := range families() {
		r := rand.New(rand.NewPCG(seed, 17))
		var names []string
		var pending map[[2]int]bool // not yet seen to differ; −1 is the right rule
		for n := 0; n < most && (n == 0 || len(pending) > 0); n++ {
			s := f.subject(r)
			in, dy := s.values(r, n%2 == 1), s.cotangent(r, false)
			all := s.allMistakes()
			outcomes := make([][]float64, len(all))
			for m := range all {
				outcomes[m] = s.effect(all[m], in, dy)
			}
			right := s.effect(mistake{}, in, dy)
			if n == 0 {
				pending = map[[2]int]bool{}
				for m := range all {
					names = append(names, all[m].name)
					for k := -1; k < m; k++ {
						pending[[2]int{k, m}] = true
					}
				}
			}
			for p := range pending {
				other := right
				if p[0] >= 0 {
					other = outcomes[p[0]]
				}
				if !alike(other, outcomes[p[1]]) {
					delete(pending, p)
				}
			}
		}
		for p := range pending {
			other := "the right rule"
			if p[0] >= 0 {
				other = names[p[0]]
			}
			t.Errorf("%s: %q is %q in %d cases", f.op, names[p[1]], other, most)
		}
	}
}

// effect is what a planted rule computes, in one list: y, the gradients, and whether it accumulates and clears.
func (s *subject) effect(m mistake, in []array, dy array) []float64 {
	p := s.planting(m)
	var x [][]float64
	for _, a := range in {
		x = append(x, a.clone().data)
	}
	y := p.forward(x)
	all := append([]float64{step(m.overwrites), step(m.dirty)}, y...)
	for _, dx := range p.backward(x, s.rule.forward(x), dy.data) {
		all = append(all, dx...)
	}
	return all
}

func alike(a, b []float64) bool {
	for i := range a {
		if d := a[i] - b[i]; d > 1e-9*max(a[i], -a[i]) || -d > 1e-9*max(a[i], -a[i]) {
			return false
		}
	}
	return true
}

// Any case of any op passes: what rapid draws is the case's number, so that a failure shrinks to the first op and the smallest number that fail.
func TestAnyCase(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		all := families()
		f := all[rapid.IntRange(0, len(all)-1).Draw(t, "op")]
		seed := rapid.Uint64().Draw(t, "seed")
		s, j := one(f, seed, rapid.Uint64Range(0, 1<<20).Draw(t, "number"), false)
		if c, bad := j.failed(); bad {
			t.Fatalf("%s: %s, %v: %s", f.op, s.params, j.of, c.failure)
		}
	})
}

func FuzzCase(f *testing.F) {
	for op := range families() {
		f.Add(op, uint64(1), uint64(op))
	}
	f.Fuzz(func(t *testing.T, op int, seed, number uint64) {
		all := families()
		s, j := one(all[(op%len(all)+len(all))%len(all)], seed, number, number%16 == 0)
		if c, bad := j.failed(); bad {
			t.Fatalf("%s: %s, %v: %s", s.op, s.params, j.of, c.failure)
		}
	})
}
