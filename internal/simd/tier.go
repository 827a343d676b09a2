package simd

import (
	"os"
	"unsafe"

	"github.com/pkg/errors"
)

// Float is what the fast kernels compute in.
type Float interface{ float32 | float64 }

// A Tier is a code path. Generic is plain Go and runs everywhere.
type Tier int

const (
	Generic Tier = iota
	AVX2         // AVX2 and FMA
	AVX512       // AVX-512 F, DQ, BW, VL
)

// A trait says what a tier's kernels look like. Everything that depends on a tier and is not an
// instruction stands in traits.
type trait struct {
	name  string
	bytes int // of a vector; 0 without vectors
	// masks: the pooling kernels mask the end of a row instead of leaving it.
	masks bool
	// planes: there are kernels of taps over rows and planes (Direct, NewPlane3).
	planes bool
	// tileRows is the height of Tile's tiles, three vectors wide.
	tileRows int
	// laneVectors is the most vectors of a Lanes tile.
	laneVectors int
	// dots are the shapes of Dots: filters and taps.
	dots []DotShape
}

var traits = [...]trait{
	Generic: {name: "generic", tileRows: 2},
	AVX2: {name: "avx2", bytes: 32, tileRows: 4, laneVectors: 2,
		dots: []DotShape{{4, 2}, {2, 4}}},
	AVX512: {name: "avx512", bytes: 64, masks: true, planes: true, tileRows: 8, laneVectors: 4,
		dots: []DotShape{{8, 3}, {6, 4}, {2, 8}}},
}

// String is the tier's name, as CONVGRAD_TIER takes it.
func (t Tier) String() string {
	if t < 0 || int(t) >= len(traits) {
		return "unknown"
	}
	return traits[t].name
}

var (
	tiers   = []Tier{Generic} // what this machine and this build can run, best last
	tier    = Generic         // the tier in use
	tierErr error
)

// CurrentTier is the tier in use: the best that the machine can run, unless CONVGRAD_TIER names
// another.
func CurrentTier() Tier { return tier }

// Tiers lists the tiers that this machine and this build can run, best last.
func Tiers() []Tier { return append([]Tier(nil), tiers...) }

// SetTier changes the tier, for tests. No kernel may run meanwhile.
func SetTier(t Tier) error {
	for _, have := range tiers {
		if have == t {
			tier = t
			return nil
		}
	}
	return errors.Errorf("simd: this machine or build cannot run the tier %v, only %v", t, tiers)
}

// TierError says what was wrong with the environment variable CONVGRAD_TIER: it names no tier, or
// one that this machine or build cannot run. Such a value is ignored and the best tier used;
// commands report the error. TierError is nil if nothing was wrong.
func TierError() error { return tierErr }

func init() {
	tiers = detect()
	tier, tierErr = chooseTier(os.Getenv("CONVGRAD_TIER"), tiers)
}

// chooseTier returns the tier of that name if have holds it. Otherwise it returns the last of have,
// with an error unless name is empty.
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
	var known []string
	for _, t := range traits {
		if t.name == name {
			return best, errors.Errorf("simd: CONVGRAD_TIER is %q, which this machine or build "+
				"cannot run, only %v: using %v", name, have, best)
		}
		known = append(known, t.name)
	}
	return best, errors.Errorf("simd: CONVGRAD_TIER is %q, want one of %v: using %v",
		name, known, best)
}

// Lanes is the number of elements of a vector of the tier; 0 without vectors.
func Lanes[T Float]() int { return traits[tier].bytes / int(unsafe.Sizeof(T(0))) }

// Line is the number of elements of a cache line.
func Line[T Float]() int { return 64 / int(unsafe.Sizeof(T(0))) }

// Slack is how many elements a kernel that reads or writes whole vectors may reach behind what it
// needs. The functions that do so say it; their operands need so much room.
const Slack = 64
