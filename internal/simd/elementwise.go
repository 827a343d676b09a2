package simd

import "math"

// The functions of this file do whole vectors in assembly, where the tier has them, and the rest in
// Go. Both compute the same bits. All slices must be at least as long as the one that is ranged
// over.

// ReLU is y = max(0, x). NaN stays NaN and −0 becomes +0. y may be x itself.
func ReLU[T Float](y, x []T) {
	y = y[:len(x)]
	for i := reluVector(y, x); i < len(x); i++ {
		y[i] = max(x[i], 0)
	}
}

// Gate is dx = dy where x > 0 or x is NaN, and 0 elsewhere. dx may be dy itself.
//
// It moves bits, not floats: the choice is then a conditional move instead of a branch that random
// data mispredicts.
func Gate[T Float](dx, dy, x []T) {
	done := gateVector(dx, dy, x)
	dx, dy, x = dx[done:], dy[done:], x[done:]
	switch x := any(x).(type) {
	case []float32:
		dx, dy := any(dx).([]float32), any(dy).([]float32)
		dx, dy = dx[:len(x)], dy[:len(x)]
		for i, v := range x {
			d := math.Float32bits(dy[i])
			if v <= 0 {
				d = 0
			}
			dx[i] = math.Float32frombits(d)
		}
	case []float64:
		dx, dy := any(dx).([]float64), any(dy).([]float64)
		dx, dy = dx[:len(x)], dy[:len(x)]
		for i, v := range x {
			d := math.Float64bits(dy[i])
			if v <= 0 {
				d = 0
			}
			dx[i] = math.Float64frombits(d)
		}
	}
}

// Add is y += x.
func Add[T Float](y, x []T) {
	y = y[:len(x)]
	for i := addVector(y, x); i < len(x); i++ {
		y[i] += x[i]
	}
}

// Scale is y = w·x. y may be x itself.
func Scale[T Float](y, x []T, w T) {
	y = y[:len(x)]
	for i := scaleVector(y, x, w); i < len(x); i++ {
		y[i] = w * x[i]
	}
}

// AddScaled is y += w·x, rounded after the product.
func AddScaled[T Float](y, x []T, w T) {
	y = y[:len(x)]
	for i := addScaledVector(y, x, w); i < len(x); i++ {
		y[i] += T(w * x[i])
	}
}

// Blend is y = wu·u + wv·v, rounded after each product. y may be u or v itself.
func Blend[T Float](y, u, v []T, wu, wv T) {
	u, v = u[:len(y)], v[:len(y)]
	for i := blendVector(y, u, v, wu, wv); i < len(y); i++ {
		y[i] = T(wu*u[i]) + T(wv*v[i])
	}
}

// AddBias is y = x + b, then max(0, ·) where relu is set. y may be x itself.
func AddBias[T Float](y, x []T, b T, relu bool) {
	y = y[:len(x)]
	i := biasVector(y, x, b, relu)
	if relu {
		for ; i < len(x); i++ {
			y[i] = max(x[i]+b, 0)
		}
		return
	}
	for ; i < len(x); i++ {
		y[i] = x[i] + b
	}
}

// Normalise is y = (x − mean)·scale.
func Normalise[T Float](y []T, x []uint8, mean, scale T) {
	y = y[:len(x)]
	for i := normaliseVector(y, x, mean, scale); i < len(x); i++ {
		y[i] = (T(x[i]) - mean) * scale
	}
}

// Sum adds in eight interleaved sums, each in a register.
func Sum[T Float](x []T) T {
	var s0, s1, s2, s3, s4, s5, s6, s7 T
	for ; len(x) >= 8; x = x[8:] {
		s0 += x[0]
		s1 += x[1]
		s2 += x[2]
		s3 += x[3]
		s4 += x[4]
		s5 += x[5]
		s6 += x[6]
		s7 += x[7]
	}
	s := [8]T{s0, s1, s2, s3, s4, s5, s6, s7}
	for i, v := range x {
		s[i] += v
	}
	return ((s[0] + s[4]) + (s[2] + s[6])) + ((s[1] + s[5]) + (s[3] + s[7]))
}

// Dropout is y[j] = 0 where Hash(i+j, key0, key1) < drop and x[j]·scale elsewhere. y may be x
// itself.
func Dropout[T Float](y, x []T, i, key0, key1, drop uint32, scale T) {
	y = y[:len(x)]
	for j := dropoutVector(y, x, i, key0, key1, drop, scale); j < len(x); j++ {
		// A select by index, not a branch: the mask is as unpredictable as can be.
		choice, k := [2]T{x[j] * scale, 0}, 0
		if Hash(i+uint32(j), key0, key1) < drop {
			k = 1
		}
		y[j] = choice[k]
	}
}

// Hash is a bijective 32-bit mixer of a Weyl sequence: two rounds of xor-shift and multiply, with
// constants found by Wellons' Hash prospector. One key is added before the rounds and one between
// them, so that two keys do not give the same sequence shifted.
func Hash(i, key0, key1 uint32) uint32 {
	h := i*0x9E3779B1 + key0
	h = (h ^ h>>16) * 0x21F0AAAD
	h += key1
	h = (h ^ h>>15) * 0x735A2D97
	return h ^ h>>15
}

// Max is the maximum of x, NaN if x holds NaN, and −Inf if x is empty.
func Max[T Float](x []T) T {
	if lanes := Lanes[T](); lanes > 0 && len(x) >= lanes {
		var top [1]T
		maxVector(x, &top)
		return top[0]
	}
	top := T(math.Inf(-1))
	for _, v := range x {
		top = max(top, v)
	}
	return top
}

// Find is the least i with x[i] = v, or −1. A NaN is found where x holds one.
func Find[T Float](x []T, v T) int {
	done := 0
	if v == v {
		var at int
		if done, at = findVector(x, v); at < done {
			return at
		}
	}
	for i, w := range x[done:] {
		if w == v || w != w && v != v {
			return done + i
		}
	}
	return -1
}

// MaxAbs is the greatest magnitude of x, NaN if x holds NaN, and 0 if x is empty.
func MaxAbs[T Float](x []T) (top T) {
	if lanes := Lanes[T](); lanes > 0 && len(x) >= lanes {
		var top [1]T
		maxAbsVector(x, &top)
		return top[0]
	}
	for _, v := range x {
		top = max(top, v, -v)
	}
	return top
}

// Raise is y = x where x > y.
func Raise[T Float](y, x []T) {
	y = y[:len(x)]
	for i := raiseVector(y, x); i < len(x); i++ {
		if x[i] > y[i] {
			y[i] = x[i]
		}
	}
}

// ExpSum is y = exp(x − top), and returns the sum of y in float64, for x ≤ top. Vectors compute in
// T: a difference of d units rounds by d/2 units in the last place, and one that overflows to −Inf
// gives 0 as it should. y may be x itself.
func ExpSum[T Float](y, x []T, top T) float64 {
	y = y[:len(x)]
	done, sum := inVectors[T](len(x)), 0.0
	if done > 0 {
		sum = expVector(done, y, x, top)
	}
	// Several are a vector of their own, filled up. Fewer are faster by themselves.
	if rest := x[done:]; tier != Generic && len(rest) > 2 {
		from, to := filled(rest, T(math.Inf(-1))), [16]T{}
		sum += expVector(len(to), to[:], from[:], top)
		copy(y[done:], to[:])
		return sum
	}
	for j := done; j < len(x); j++ {
		e := math.Exp(float64(x[j]) - float64(top))
		y[j] = T(e)
		sum += e
	}
	return sum
}

// filled is 16 numbers, the first of which are x.
func filled[T Float](x []T, rest T) (all [16]T) {
	for i := copy(all[:], x); i < len(all); i++ {
		all[i] = rest
	}
	return all
}

// ExpAdd is y = exp(x − top) and sums += y, element by element, for x ≤ top. Vectors compute in the
// elements' type.
func ExpAdd[T Float](y, x, top []T, sums []float64) {
	y, top, sums = y[:len(x)], top[:len(x)], sums[:len(x)]
	done := inVectors[T](len(x))
	if done > 0 {
		expAddVector(done, y, x, top, sums)
	}
	if tier != Generic && done < len(x) {
		from, by, to, more := filled(x[done:], 0), filled(top[done:], 0), [16]T{}, [16]float64{}
		expAddVector(len(to), to[:], from[:], by[:], more[:])
		for i := copy(y[done:], to[:]) - 1; i >= 0; i-- {
			sums[done+i] += more[i]
		}
		return
	}
	for j := done; j < len(x); j++ {
		e := math.Exp(float64(x[j]) - float64(top[j]))
		y[j] = T(e)
		sums[j] += float64(y[j])
	}
}
