package simd

import (
	"math"
	"time"
)

// Peak measures what one core can do in the tier, in 10⁹ floating-point operations per second. It
// runs independent multiply-adds in registers, in loops of some microseconds. The fastest loop
// counts, so that neither interrupts nor other programs lower the result. In the generic tier the
// multiply-adds are scalar. It takes about 20 ms.
func Peak(t Tier, single bool) float64 {
	const rounds = 4096
	best := math.Inf(1)
	ops := 0
	for start := time.Now(); time.Since(start) < 20*time.Millisecond; {
		begin := time.Now()
		ops = peakRounds(t, single, rounds)
		best = min(best, time.Since(begin).Seconds())
	}
	return float64(ops) * rounds / best / 1e9
}

// PeakBurst does some 10⁷ floating-point operations at the peak of one core in the tier in use, and
// returns how many. Between runs of a kernel it tells what the processor could do at the frequency
// that the kernel leaves it.
func PeakBurst(single bool) int {
	rounds := 1 << 15
	if tier == Generic {
		rounds = 1 << 19
	}
	return peakRounds(tier, single, rounds) * rounds
}

var peakSink float64

// peakRounds is peak for single or double precision.
func peakRounds(t Tier, single bool, n int) int {
	if single {
		return peak[float32](t, n)
	}
	return peak[float64](t, n)
}

// peakGo is peak in plain Go: eight sums.
func peakGo(n int) int {
	var s [8]float64
	s0, s1, s2, s3, s4, s5, s6, s7 := s[0], s[1], s[2], s[3], s[4], s[5], s[6], s[7]
	a := peakSink
	for range n {
		s0 += a * s0
		s1 += a * s1
		s2 += a * s2
		s3 += a * s3
		s4 += a * s4
		s5 += a * s5
		s6 += a * s6
		s7 += a * s7
	}
	peakSink = (s0 + s1) + (s2 + s3) + (s4 + s5) + (s6 + s7)
	return 16
}
