package simd

// The sums of this file are formed in float64, in as many parts as the tier's vectors have lanes.

// Sum64 is Σx.
func Sum64[T Float](x []T) float64 {
	done, sum := sumVector(x)
	var a, b float64
	for x = x[done:]; len(x) >= 2; x = x[2:] {
		a, b = a+float64(x[0]), b+float64(x[1])
	}
	for _, v := range x {
		a += float64(v)
	}
	return sum + (a + b)
}

// Deviation is Σ(x − mean)².
func Deviation[T Float](x []T, mean float64) float64 {
	done, sum := deviationVector(x, mean)
	var a, b float64
	for x = x[done:]; len(x) >= 2; x = x[2:] {
		p, q := float64(x[0])-mean, float64(x[1])-mean
		a, b = a+p*p, b+q*q
	}
	for _, v := range x {
		a += (float64(v) - mean) * (float64(v) - mean)
	}
	return sum + (a + b)
}

// SumDot is Σdy and Σ dy·(x − mean).
func SumDot[T Float](dy, x []T, mean float64) (sum, dot float64) {
	dy = dy[:len(x)]
	done, sum, dot := sumDotVector(dy, x, mean)
	for i := done; i < len(x); i++ {
		sum, dot = sum+float64(dy[i]), dot+float64(dy[i])*(float64(x[i])-mean)
	}
	return sum, dot
}

// Standard is y = (x − m)·a + b, + r where r is not nil, then max(0, ·) where relu is set. y may be
// x or r itself.
func Standard[T Float](y, x, r []T, m, a, b T, relu bool) {
	y = y[:len(x)]
	if r != nil {
		r = r[:len(x)]
	}
	for i := standardVector(y, x, r, m, a, b, relu); i < len(x); i++ {
		v := T((x[i]-m)*a) + b
		if r != nil {
			v += r[i]
		}
		if relu {
			v = max(v, 0)
		}
		y[i] = v
	}
}

// StandardBackward is dx = a·dy − c·(x − m) − b. dx may be dy or x itself.
func StandardBackward[T Float](dx, dy, x []T, m, a, b, c T) {
	dx, dy = dx[:len(x)], dy[:len(x)]
	for i := standardBackwardVector(dx, dy, x, m, a, b, c); i < len(x); i++ {
		dx[i] = T(a*dy[i]) - T(c*(x[i]-m)) - b
	}
}

// StandardEach is y = (x − m)·inv·a + b, rounded after each step, with an a and a b for each
// element. y may be x itself.
func StandardEach[T Float](y, x, a, b []T, m, inv T) {
	y, a, b = y[:len(x)], a[:len(x)], b[:len(x)]
	for i := standardEachVector(y, x, a, b, m, inv); i < len(x); i++ {
		y[i] = T((x[i]-m)*inv*a[i]) + b[i]
	}
}

// StandardBackwardEach is dx = a·(w·dy) − c·(x − m) − b, with a w for each element. dx may be dy or
// x itself.
func StandardBackwardEach[T Float](dx, dy, x, w []T, m, a, b, c T) {
	dx, dy, w = dx[:len(x)], dy[:len(x)], w[:len(x)]
	for i := standardBackwardEachVector(dx, dy, x, w, m, a, b, c); i < len(x); i++ {
		dx[i] = T(a*(w[i]*dy[i])) - T(c*(x[i]-m)) - b
	}
}

// SumDotEach is sums += dy and dots += dy·(x − mean)·inv, element by element, and returns Σ w·dy
// and Σ w·dy·(x − mean).
func SumDotEach[T Float](sums, dots []float64, dy, x, w []T, mean, inv float64) (sum, dot float64) {
	sums, dots, dy, w = sums[:len(x)], dots[:len(x)], dy[:len(x)], w[:len(x)]
	done, sum, dot := sumDotEachVector(sums, dots, dy, x, w, mean, inv)
	for i := done; i < len(x); i++ {
		d, by := float64(dy[i]), float64(w[i])
		p := d * (float64(x[i]) - mean)
		sums[i] += d
		dots[i] += float64(p * inv)
		sum += float64(d * by)
		dot += float64(p * by)
	}
	return sum, dot
}
