package reported

import (
	"testing"

	"github.com/convgrad/convgrad/verify"
)

// Of right ops with hard numbers at most three in a hundred are refused.
func TestHard(t *testing.T) {
	const seed = 1
	refused := 0
	all := Hard()
	for _, s := range all {
		r, err := verify.Case{Name: s.What, Build: s.Build, Inputs: s.Inputs, Seed: seed}.Check()
		if err != nil {
			t.Errorf("%s: %v", s.What, err)
		} else if r.Failed() {
			refused++
			t.Logf("refused: %s: %s", s.What, r.First())
		}
	}
	t.Logf("%d of %d refused", refused, len(all))
	if len(all) < 100 || refused > mostHard {
		t.Errorf("%d of %d right ops are refused, want %d at most", refused, len(all), mostHard)
	}
}

const mostHard = 3
