package reported

import (
	"slices"
	"testing"
	"time"

	"github.com/convgrad/convgrad/verify"
)

// Of right ops with hard numbers at most three in a hundred are refused.
func TestHard(t *testing.T) {
	const seed = 1
	refused := 0
	all := Hard()
	var took []time.Duration
	for _, s := range all {
		began := time.Now()
		r, err := verify.Case{Name: s.What, Build: s.Build, Inputs: s.Inputs, Seed: seed}.Check()
		took = append(took, time.Since(began))
		if err != nil {
			t.Errorf("%s: %v", s.What, err)
		} else if r.Failed() {
			refused++
			t.Logf("refused: %s: %s", s.What, r.First())
		}
	}
	slices.Sort(took)
	t.Logf("%d of %d refused; a check takes %v, the longest %v", refused, len(all), took[len(took)/2], took[len(took)-1])
	if len(all) < 100 || refused > mostHard {
		t.Errorf("%d of %d right ops are refused, want %d at most", refused, len(all), mostHard)
	}
}

const mostHard = 3
