package kernel

import (
	"os"

	"github.com/pkg/errors"
)

// A Tier is a code path. Generic is plain Go and runs everywhere.
type Tier int

const (
	Generic Tier = iota
	AVX2         // AVX2 and FMA
	AVX512       // AVX-512 F, DQ, BW, VL
)

var tierNames = [...]string{"generic", "avx2", "avx512"}

func (t Tier) String() string {
	if t < 0 || int(t) >= len(tierNames) {
		return "unknown"
	}
	return tierNames[t]
}

// tier is the tier in use; tiers the ones that this machine and this build can run, best last.
var (
	tiers   = []Tier{Generic}
	tier    = Generic
	tierErr error
)

// CurrentTier is the tier in use: the best that the machine can run, unless CONVGRAD_TIER names another.
func CurrentTier() Tier { return tier }

// Tiers lists the tiers that this machine and this build can run, best last.
func Tiers() []Tier { return append([]Tier(nil), tiers...) }

// SetTier changes the tier, for tests; no kernel may run meanwhile.
func SetTier(t Tier) error {
	for _, have := range tiers {
		if have == t {
			tier = t
			return nil
		}
	}
	return errors.Errorf("kernel: this machine or build cannot run the tier %v, only %v", t, tiers)
}

// TierError says what was wrong with the environment variable CONVGRAD_TIER, or is nil: a name that is none of generic, avx2 and avx512, or a tier that this machine
// or build cannot run. Such a value is otherwise ignored, and the best tier used; commands report it.
func TierError() error { return tierErr }

func init() {
	tiers = detect()
	tier, tierErr = chooseTier(os.Getenv("CONVGRAD_TIER"), tiers)
}

// chooseTier is the tier of that name if have holds it, and the last of have, with an error unless name is empty, if not.
func chooseTier(name string, have []Tier) (Tier, error) {
	best := have[len(have)-1]
	if name == "" {
		return best, nil
	}
	for _, t := range have {
		if t.String() == name {
			return t, nil
		}
	}
	for _, known := range tierNames {
		if known == name {
			return best, errors.Errorf("kernel: CONVGRAD_TIER is %q, which this machine or build cannot run, only %v: using %v", name, have, best)
		}
	}
	return best, errors.Errorf("kernel: CONVGRAD_TIER is %q, want one of %v: using %v", name, tierNames, best)
}
