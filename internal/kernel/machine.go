package kernel

import (
	"github.com/convgrad/convgrad/internal/simd"
	"github.com/convgrad/convgrad/internal/workers"
)

// This file is what packages above may ask of the machine; see packages simd and workers.

// Float is what the fast kernels compute in.
type Float = simd.Float

// A Tier is a code path.
type Tier = simd.Tier

// The tiers.
const (
	Generic = simd.Generic
	AVX2    = simd.AVX2
	AVX512  = simd.AVX512
)

// CurrentTier is the tier in use: the best that the machine can run, unless CONVGRAD_TIER names
// another.
func CurrentTier() Tier { return simd.CurrentTier() }

// Tiers lists the tiers that this machine and this build can run, best last.
func Tiers() []Tier { return simd.Tiers() }

// SetTier changes the tier, for tests. No kernel may run meanwhile.
func SetTier(t Tier) error { return simd.SetTier(t) }

// TierError says what was wrong with the environment variable CONVGRAD_TIER, or is nil.
func TierError() error { return simd.TierError() }

// Peak measures what one core can do in the tier, in 10⁹ floating-point operations per second.
func Peak(t Tier, single bool) float64 { return simd.Peak(t, single) }

// PeakBurst does some 10⁷ floating-point operations at the peak of one core in the tier in use, and
// returns how many.
func PeakBurst(single bool) int { return simd.PeakBurst(single) }

// Threads is the number of threads that kernels use: one per core, unless CONVGRAD_THREADS or
// SetThreads names another.
func Threads() int { return workers.Threads() }

// SetThreads sets the number of threads and returns what it was; n < 1 asks for one per core.
// Results are the same bits at any number.
func SetThreads(n int) int { return workers.SetThreads(n) }

// ThreadsError says what was wrong with the environment variable CONVGRAD_THREADS, or is nil.
func ThreadsError() error { return workers.ThreadsError() }
