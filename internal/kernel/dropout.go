package kernel

// Dropout is y = x/(1−p) where an element is kept and 0 where it is dropped, each dropped with probability p. The mask is a function of (seed, stream, step)
// and the element's index only, whatever the number of threads, so that the same call on dy is the derivative. y may be x itself.
func Dropout[T Float](y, x []T, p float64, seed, stream, step uint64) {
	scale := T(1 / (1 - p))
	if p >= 1 {
		clear(y)
		return
	}
	for i, v := range x {
		u := mix(mix(mix(seed)^stream)^step) + uint64(i)*0x9E3779B97F4A7C15
		if float64(mix(u)>>11)/(1<<53) < p {
			y[i] = 0
		} else {
			y[i] = v * scale
		}
	}
}

// mix is the finaliser of SplitMix64 (Steele, Lea and Flood, 2014).
func mix(z uint64) uint64 {
	z += 0x9E3779B97F4A7C15
	z = (z ^ z>>30) * 0xBF58476D1CE4E5B9
	z = (z ^ z>>27) * 0x94D049BB133111EB
	return z ^ z>>31
}
