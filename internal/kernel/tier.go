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

func (t Tier) String() string { return [...]string{"generic", "avx2", "avx512"}[t] }

// tier is the tier in use; tiers the ones that this machine and this build can run, best last.
var (
	tiers = []Tier{Generic}
	tier  = Generic
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

func init() {
	tiers = detect()
	tier = tiers[len(tiers)-1]
	if name := os.Getenv("CONVGRAD_TIER"); name != "" {
		for _, t := range tiers {
			if t.String() == name {
				tier = t
			}
		}
	}
}
