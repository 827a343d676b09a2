package kernel

// Dropout is y = x/(1−p) where an element is kept and 0 where it is dropped, each dropped with probability p. The mask is a function of (seed, stream, step)
// and the element's index only, whatever the number of threads, so that the same call on dy is the derivative. y may be x itself.
//
// Element i is dropped where hash(i) < p·2³²: the hash is counter-based, so that elements need no order. For p ≤ 0 all elements are kept, for p ≥ 1 none.
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
	sweep(len(x), func(lo, hi int) { dropout(y[lo:hi], x[lo:hi], uint32(lo), uint32(key), uint32(key>>32), drop, scale) })
}

// dropout drops the elements of a span whose first has index i.
func dropout[T Float](y, x []T, i, key0, key1, drop uint32, scale T) {
	y = y[:len(x)]
	for j := dropoutVector(y, x, i, key0, key1, drop, scale); j < len(x); j++ {
		// A select by index, not a branch: the mask is as unpredictable as can be.
		choice, k := [2]T{x[j] * scale, 0}, 0
		if hash(i+uint32(j), key0, key1) < drop {
			k = 1
		}
		y[j] = choice[k]
	}
}

// hash is a bijective 32-bit mixer (two rounds of xor-shift and multiply, constants found by Wellons' hash prospector) of a Weyl sequence, with a key before and one
// between the rounds, so that two keys do not give the same sequence shifted.
func hash(i, key0, key1 uint32) uint32 {
	h := i*0x9E3779B1 + key0
	h = (h ^ h>>16) * 0x21F0AAAD
	h += key1
	h = (h ^ h>>15) * 0x735A2D97
	return h ^ h>>15
}

// mix is the finaliser of SplitMix64 (Steele, Lea and Flood, 2014).
func mix(z uint64) uint64 {
	z += 0x9E3779B97F4A7C15
	z = (z ^ z>>30) * 0xBF58476D1CE4E5B9
	z = (z ^ z>>27) * 0x94D049BB133111EB
	return z ^ z>>31
}
