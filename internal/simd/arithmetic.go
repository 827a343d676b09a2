package simd

// An Operation is one of arithmetic's four.
type Operation int

// The operations.
const (
	Plus Operation = iota
	Minus
	Times
	Over
)

// of is a∘b.
func of[T Float](op Operation, a, b T) T {
	switch op {
	case Plus:
		return a + b
	case Minus:
		return a - b
	case Times:
		return a * b
	}
	return a / b
}

// Combine is y = a∘b. y may be a or b itself.
func Combine[T Float](op Operation, y, a, b []T) {
	a, b = a[:len(y)], b[:len(y)]
	for i := combineVector(op, y, a, b); i < len(y); i++ {
		y[i] = of(op, a[i], b[i])
	}
}

// CombineNumber is y = a∘s. y may be a itself.
func CombineNumber[T Float](op Operation, y, a []T, s T) {
	a = a[:len(y)]
	for i := combineNumberVector(op, y, a, s); i < len(y); i++ {
		y[i] = of(op, a[i], s)
	}
}

// CombineFrom is y = s∘a. y may be a itself.
func CombineFrom[T Float](op Operation, y, a []T, s T) {
	a = a[:len(y)]
	for i := combineFromVector(op, y, a, s); i < len(y); i++ {
		y[i] = of(op, s, a[i])
	}
}

// WideAffine is y = (x − m)·a + b in float64, rounded after each operation and then to T. y may be
// x itself.
func WideAffine[T Float](y, x []T, m, a, b float64) {
	x = x[:len(y)]
	for i := wideAffineVector(y, x, m, a, b); i < len(y); i++ {
		y[i] = T(float64((float64(x[i])-m)*a) + b)
	}
}

// AddWide is sums += x.
func AddWide[T Float](sums []float64, x []T) {
	sums = sums[:len(x)]
	for i := addWideVector(sums, x); i < len(x); i++ {
		sums[i] += float64(x[i])
	}
}

// AddWideProduct is sums += x·y.
func AddWideProduct[T Float](sums []float64, x, y []T) {
	sums, y = sums[:len(x)], y[:len(x)]
	for i := addWideProductVector(sums, x, y); i < len(x); i++ {
		sums[i] += float64(float64(x[i]) * float64(y[i]))
	}
}

// Squares is Σ(x − y)².
func Squares[T Float](x, y []T) float64 {
	y = y[:len(x)]
	done, sum := squaresVector(x, y)
	for i := done; i < len(x); i++ {
		d := float64(x[i]) - float64(y[i])
		sum += d * d
	}
	return sum
}

// Fill is y = v.
func Fill[T Float](y []T, v T) {
	const block = 1 << 10
	for i := range min(16, len(y)) {
		y[i] = v
	}
	for done := 16; done < len(y); {
		done += copy(y[done:], y[:min(done, block)])
	}
}
