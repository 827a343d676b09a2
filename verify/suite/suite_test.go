package suite

import "testing"

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
