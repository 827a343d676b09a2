package kernel

import (
	"github.com/convgrad/convgrad/internal/simd"
	"github.com/convgrad/convgrad/internal/workers"
)

// Dropout is y = x/(1−p) where an element is kept and 0 where it is dropped, each dropped with
// probability p. The mask is a function of (seed, stream, step) and the element's index only,
// whatever the number of threads, so that the same call on dy is the derivative. y may be x itself.
//
// Element i is dropped where hash(i) < p·2³²: the hash is counter-based, so that elements need no
// order. For p ≤ 0 all elements are kept, for p ≥ 1 none.
func Dropout[T Float](y, x []T, p float64, seed, stream, step uint64) {
	y = y[:len(x)]
	if p >= 1 {
		clear(y)
		return
	}
	p = max(p, 0)
	drop := uint32(min(p*(1<<32)+0.5, 1<<32-1))
	key := mix(mix(mix(seed)^stream) ^ step)
	scale := T(1 / (1 - p))
	workers.Sweep(len(x), func(lo, hi int) {
		simd.Dropout(y[lo:hi], x[lo:hi], uint32(lo), uint32(key), uint32(key>>32), drop, scale)
	})
}

// mix is the finaliser of SplitMix64 (Steele, Lea and Flood, 2014).
func mix(z uint64) uint64 {
	z += 0x9E3779B97F4A7C15
	z = (z ^ z>>30) * 0xBF58476D1CE4E5B9
	z = (z ^ z>>27) * 0x94D049BB133111EB
	return z ^ z>>31
}
