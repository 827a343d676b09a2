package suite

import (
	"math/rand/v2"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// Every case passes, and every op is put before every oracle but those that do not apply to it.
func TestRun(t *testing.T) {
	const seed = 1
	t.Logf("seed %d", seed)
	rows, err := Run(Options{Cases: 11 * len(Ops()), Seed: seed})
	if err != nil {
		t.Fatal(err)
	}
	had, all := map[[2]string]bool{}, map[string]bool{}
	for _, r := range rows {
		if !r.Passed() {
			t.Errorf("%s %s, %s: %s", r.Op, r.Quantity, r.Oracle, r.Failure)
		}
		if r.Numbers == 0 || r.Cases == 0 {
			t.Errorf("%s %s, %s: nothing was compared", r.Op, r.Quantity, r.Oracle)
		}
		had[[2]string{r.Op, Group(r.Oracle)}], all[Group(r.Oracle)] = true, true
	}
	const other = "another graph"
	without := map[string][]string{
		"Conv2D, flipped or grouped":     {other}, // Gorgonia has none
		"Conv2D with ReLU":               {other, oracleDifference},
		"Conv2D, wide":                   {engineJacobian}, // too large
		"Conv2D, depthwise":              {other, engineJacobian},
		"Conv2D by Winograd's algorithm": {other, oracleExact, oracleAdjoint, engineOthers, engineJacobian, engineSecond}, // its rounding is its own
		"Conv2DBackwardData":             {other, engineBatch, engineJacobian},
		"Conv2DBackwardFilter":           {other, engineBatch},         // a sum over the batch
		"L2Pool2D":                       {oracleExact, oracleAdjoint}, // not rational
		"MSE":                            {oracleDifference, engineBatch},
		"Softmax":                        {oracleExact, oracleAdjoint},
		"CrossEntropy":                   {oracleExact, oracleAdjoint, engineBatch},
		"Dropout":                        {oracleAdjoint, other, engineBatch, engineJacobian, oracleDifference}, // thirds
	}
	for _, op := range Ops() {
		for o := range all {
			if applies := !slices.Contains(without[op], o); applies != had[[2]string{op, o}] {
				t.Errorf("%s, %s: applies %v, was compared %v", op, o, applies, !applies)
			}
		}
	}
	for _, o := range []string{oracleExact, oracleAdjoint, oracleDual, oracleDirection, oracleDifference, other, oracleTwin, oracleMachines, oracleZero, accumulationUnder(tape), accumulationUnder(lisp),
		engineWays, engineMemory, engineRepeats, engineBatch, engineSecond, engineOthers, engineJacobian} {
		if !all[o] {
			t.Errorf("%s: no op was put before it", o)
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
