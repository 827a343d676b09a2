//go:build amd64 && !noasm

package kernel

import "unsafe"

// The functions here run the tier's assembly over as many elements as fill whole vectors and return how many those are; the caller does the rest, or all where
// the tier is Generic, in Go. Both compute the same bits.

// A path is a tier and an element type.
type path int

const (
	goPath path = iota
	avx2x32
	avx2x64
	avx512x32
	avx512x64
)

// vectorPath is the path for T, and how many of n elements it does: a multiple of the lanes.
func vectorPath[T Float](n int) (p path, done int) {
	single := unsafe.Sizeof(T(0)) == 4
	switch {
	case tier == AVX512 && single:
		p, done = avx512x32, n&^15
	case tier == AVX512:
		p, done = avx512x64, n&^7
	case tier == AVX2 && single:
		p, done = avx2x32, n&^7
	case tier == AVX2:
		p, done = avx2x64, n&^3
	}
	if done == 0 {
		return goPath, 0
	}
	return p, done
}

func p32[T Float](s []T) *float32 { return (*float32)(unsafe.Pointer(unsafe.SliceData(s))) }
func p64[T Float](s []T) *float64 { return (*float64)(unsafe.Pointer(unsafe.SliceData(s))) }

func reluVector[T Float](y, x []T) int {
	p, n := vectorPath[T](len(x))
	switch p {
	case avx512x32:
		relu32AVX512(n, p32(y), p32(x))
	case avx512x64:
		relu64AVX512(n, p64(y), p64(x))
	case avx2x32:
		relu32AVX2(n, p32(y), p32(x))
	case avx2x64:
		relu64AVX2(n, p64(y), p64(x))
	}
	return n
}

func gateVector[T Float](dx, dy, x []T) int {
	p, n := vectorPath[T](len(x))
	switch p {
	case avx512x32:
		gate32AVX512(n, p32(dx), p32(dy), p32(x))
	case avx512x64:
		gate64AVX512(n, p64(dx), p64(dy), p64(x))
	case avx2x32:
		gate32AVX2(n, p32(dx), p32(dy), p32(x))
	case avx2x64:
		gate64AVX2(n, p64(dx), p64(dy), p64(x))
	}
	return n
}

func addVector[T Float](y, x []T) int {
	p, n := vectorPath[T](len(x))
	switch p {
	case avx512x32:
		add32AVX512(n, p32(y), p32(x))
	case avx512x64:
		add64AVX512(n, p64(y), p64(x))
	case avx2x32:
		add32AVX2(n, p32(y), p32(x))
	case avx2x64:
		add64AVX2(n, p64(y), p64(x))
	}
	return n
}

func sgdVector[T Float](w, g []T, rate, decay T) int {
	p, n := vectorPath[T](len(w))
	switch p {
	case avx512x32:
		sgd32AVX512(n, p32(w), p32(g), float32(rate), float32(decay))
	case avx512x64:
		sgd64AVX512(n, p64(w), p64(g), float64(rate), float64(decay))
	case avx2x32:
		sgd32AVX2(n, p32(w), p32(g), float32(rate), float32(decay))
	case avx2x64:
		sgd64AVX2(n, p64(w), p64(g), float64(rate), float64(decay))
	}
	return n
}

func momentumVector[T Float](w, g, v []T, rate, momentum, decay T, nesterov bool) int {
	p, n := vectorPath[T](len(w))
	if nesterov {
		switch p {
		case avx512x32:
			nesterov32AVX512(n, p32(w), p32(g), p32(v), float32(rate), float32(momentum), float32(decay))
		case avx512x64:
			nesterov64AVX512(n, p64(w), p64(g), p64(v), float64(rate), float64(momentum), float64(decay))
		case avx2x32:
			nesterov32AVX2(n, p32(w), p32(g), p32(v), float32(rate), float32(momentum), float32(decay))
		case avx2x64:
			nesterov64AVX2(n, p64(w), p64(g), p64(v), float64(rate), float64(momentum), float64(decay))
		}
		return n
	}
	switch p {
	case avx512x32:
		momentum32AVX512(n, p32(w), p32(g), p32(v), float32(rate), float32(momentum), float32(decay))
	case avx512x64:
		momentum64AVX512(n, p64(w), p64(g), p64(v), float64(rate), float64(momentum), float64(decay))
	case avx2x32:
		momentum32AVX2(n, p32(w), p32(g), p32(v), float32(rate), float32(momentum), float32(decay))
	case avx2x64:
		momentum64AVX2(n, p64(w), p64(g), p64(v), float64(rate), float64(momentum), float64(decay))
	}
	return n
}

func adamVector[T Float](w, g, m, v []T, c adamConstants[T]) int {
	p, n := vectorPath[T](len(w))
	switch p {
	case avx512x32:
		adam32AVX512(n, p32(w), p32(g), p32(m), p32(v), float32(c.beta1), float32(c.rest1), float32(c.beta2), float32(c.rest2),
			float32(c.rate), float32(c.unbias2), float32(c.epsilon), float32(c.decay))
	case avx512x64:
		adam64AVX512(n, p64(w), p64(g), p64(m), p64(v), float64(c.beta1), float64(c.rest1), float64(c.beta2), float64(c.rest2),
			float64(c.rate), float64(c.unbias2), float64(c.epsilon), float64(c.decay))
	case avx2x32:
		adam32AVX2(n, p32(w), p32(g), p32(m), p32(v), float32(c.beta1), float32(c.rest1), float32(c.beta2), float32(c.rest2),
			float32(c.rate), float32(c.unbias2), float32(c.epsilon), float32(c.decay))
	case avx2x64:
		adam64AVX2(n, p64(w), p64(g), p64(m), p64(v), float64(c.beta1), float64(c.rest1), float64(c.beta2), float64(c.rest2),
			float64(c.rate), float64(c.unbias2), float64(c.epsilon), float64(c.decay))
	}
	return n
}

func rmsPropVector[T Float](w, g, s []T, rate, rho, epsilon T) int {
	p, n := vectorPath[T](len(w))
	switch p {
	case avx512x32:
		rmsProp32AVX512(n, p32(w), p32(g), p32(s), float32(rho), float32(1-rho), float32(rate), float32(epsilon))
	case avx512x64:
		rmsProp64AVX512(n, p64(w), p64(g), p64(s), float64(rho), float64(1-rho), float64(rate), float64(epsilon))
	case avx2x32:
		rmsProp32AVX2(n, p32(w), p32(g), p32(s), float32(rho), float32(1-rho), float32(rate), float32(epsilon))
	case avx2x64:
		rmsProp64AVX2(n, p64(w), p64(g), p64(s), float64(rho), float64(1-rho), float64(rate), float64(epsilon))
	}
	return n
}

func dropoutVector[T Float](y, x []T, i, key0, key1, drop uint32, scale T) int {
	p, n := vectorPath[T](len(x))
	switch p {
	case avx512x32:
		dropout32AVX512(n, p32(y), p32(x), i, key0, key1, drop, float32(scale))
	case avx512x64:
		dropout64AVX512(n, p64(y), p64(x), i, key0, key1, drop, float64(scale))
	case avx2x32:
		dropout32AVX2(n, p32(y), p32(x), i, key0, key1, drop, float32(scale))
	case avx2x64:
		dropout64AVX2(n, p64(y), p64(x), i, key0, key1, drop, float64(scale))
	}
	return n
}

func normaliseVector[T Float](y []T, x []uint8, mean, scale T) int {
	p, n := vectorPath[T](len(x))
	switch p {
	case avx512x32:
		normalise32AVX512(n, p32(y), unsafe.SliceData(x), float32(mean), float32(scale))
	case avx512x64:
		normalise64AVX512(n, p64(y), unsafe.SliceData(x), float64(mean), float64(scale))
	case avx2x32:
		normalise32AVX2(n, p32(y), unsafe.SliceData(x), float32(mean), float32(scale))
	case avx2x64:
		normalise64AVX2(n, p64(y), unsafe.SliceData(x), float64(mean), float64(scale))
	}
	return n
}

// expVector is y = exp(x − top) for the first elements, as many as it returns, and their sum.
func expVector[T Float](y, x []T, top float64) (n int, sum float64) {
	switch p, _ := vectorPath[T](1 << 10); {
	case p == avx512x32 && len(x) >= 8:
		n = len(x) &^ 7
		sum = expSum32AVX512(n, p32(y), p32(x), top)
	case p == avx512x64 && len(x) >= 8:
		n = len(x) &^ 7
		sum = expSum64AVX512(n, p64(y), p64(x), top)
	case p == avx2x32 && len(x) >= 4:
		n = len(x) &^ 3
		sum = expSum32AVX2(n, p32(y), p32(x), top)
	case p == avx2x64 && len(x) >= 4:
		n = len(x) &^ 3
		sum = expSum64AVX2(n, p64(y), p64(x), top)
	}
	return n, sum
}

// maxVector is the maximum by lanes of the first elements, as many as it returns.
func maxVector[T Float](lanes *[16]T, x []T) int {
	p, n := vectorPath[T](len(x))
	switch p {
	case avx512x32:
		rowMax32AVX512(n, p32(x), p32(lanes[:]))
	case avx512x64:
		rowMax64AVX512(n, p64(x), p64(lanes[:]))
	case avx2x32:
		rowMax32AVX2(n, p32(x), p32(lanes[:]))
	case avx2x64:
		rowMax64AVX2(n, p64(x), p64(lanes[:]))
	}
	return n
}

// rowPath is vectorPath for a row of outputs of a pool: the wide kernels mask, so they do all of it.
func rowPath[T Float](n int) (p path, done int) {
	if tier == AVX512 && n > 0 {
		if unsafe.Sizeof(T(0)) == 4 {
			return avx512x32, n
		}
		return avx512x64, n
	}
	return vectorPath[T](n)
}

// movesInVectors reports whether Gather and Scatter of tiles are faster in vectors, with q outputs to a row, than one output at a time.
func movesInVectors[T Float](q int) bool {
	_, done := rowPath[T](q)
	return done > 0 && q >= 6
}

// The functions below take the tiles of 2×2 of rows pairs of rows of a plane, width wide, which begins with them. Each pair has q outputs; they do all of them or, if q is less than a
// vector, none.

// tiles calls do for the first n outputs of each row, and, where vectors have no masks and some outputs are left, for the last vector of them, some of which are done already.
func tiles[T Float](q int, do func(p path, at, n int)) (done int) {
	p, n := rowPath[T](q)
	if n == 0 {
		return 0
	}
	do(p, 0, n)
	if n < q {
		lanes := 32 / int(unsafe.Sizeof(T(0)))
		do(p, q-lanes, lanes)
	}
	return q
}

func maxPoolVector[T Float](rows int, y []T, winner []int32, x []T, width int) int {
	q := len(y) / rows
	return tiles[T](q, func(p path, at, n int) {
		y, w, x0, x1, first := y[at:], &winner[at], x[2*at:], x[2*at+width:], uint32(2*at)
		switch p {
		case avx512x32:
			maxPool2x2x32AVX512(rows, n, q, p32(y), w, p32(x0), p32(x1), first, uint32(width))
		case avx512x64:
			maxPool2x2x64AVX512(rows, n, q, p64(y), w, p64(x0), p64(x1), first, uint32(width))
		case avx2x32:
			maxPool2x2x32AVX2(rows, n, q, p32(y), w, p32(x0), p32(x1), first, uint32(width))
		case avx2x64:
			maxPool2x2x64AVX2(rows, n, q, p64(y), w, p64(x0), p64(x1), first, uint32(width))
		}
	})
}

// maxScatterVector is not ok where a winner lies outside its window.
func maxScatterVector[T Float](rows int, dx, dy []T, winner []int32, width int) (n int, ok bool) {
	q := len(dy) / rows
	done := uint32(1)
	n = tiles[T](q, func(p path, at, n int) {
		x0, x1, dy, w, first := dx[2*at:], dx[2*at+width:], dy[at:], &winner[at], uint32(2*at)
		switch p {
		case avx512x32:
			done &= maxScatter2x2x32AVX512(rows, n, q, p32(x0), p32(x1), p32(dy), w, first, uint32(width))
		case avx512x64:
			done &= maxScatter2x2x64AVX512(rows, n, q, p64(x0), p64(x1), p64(dy), w, first, uint32(width))
		case avx2x32:
			done &= maxScatter2x2x32AVX2(rows, n, q, p32(x0), p32(x1), p32(dy), w, first, uint32(width))
		case avx2x64:
			done &= maxScatter2x2x64AVX2(rows, n, q, p64(x0), p64(x1), p64(dy), w, first, uint32(width))
		}
	})
	return n, done == 1
}

// maxGatherVector is not ok where a winner lies outside its window.
func maxGatherVector[T Float](rows int, y, x []T, winner []int32, width int) (n int, ok bool) {
	q := len(y) / rows
	done := uint32(1)
	n = tiles[T](q, func(p path, at, n int) {
		y, x0, x1, w, first := y[at:], x[2*at:], x[2*at+width:], &winner[at], uint32(2*at)
		switch p {
		case avx512x32:
			done &= maxGather2x2x32AVX512(rows, n, q, p32(y), p32(x0), p32(x1), w, first, uint32(width))
		case avx512x64:
			done &= maxGather2x2x64AVX512(rows, n, q, p64(y), p64(x0), p64(x1), w, first, uint32(width))
		case avx2x32:
			done &= maxGather2x2x32AVX2(rows, n, q, p32(y), p32(x0), p32(x1), w, first, uint32(width))
		case avx2x64:
			done &= maxGather2x2x64AVX2(rows, n, q, p64(y), p64(x0), p64(x1), w, first, uint32(width))
		}
	})
	return n, done == 1
}

func avgPoolVector[T Float](rows int, y, x []T, width int) int {
	q := len(y) / rows
	return tiles[T](q, func(p path, at, n int) {
		y, x0, x1 := y[at:], x[2*at:], x[2*at+width:]
		switch p {
		case avx512x32:
			avgPool2x2x32AVX512(rows, n, q, p32(y), p32(x0), p32(x1), uint32(width), 0.25)
		case avx512x64:
			avgPool2x2x64AVX512(rows, n, q, p64(y), p64(x0), p64(x1), uint32(width), 0.25)
		case avx2x32:
			avgPool2x2x32AVX2(rows, n, q, p32(y), p32(x0), p32(x1), uint32(width), 0.25)
		case avx2x64:
			avgPool2x2x64AVX2(rows, n, q, p64(y), p64(x0), p64(x1), uint32(width), 0.25)
		}
	})
}

func avgSpreadVector[T Float](rows int, dx, dy []T, width int) int {
	q := len(dy) / rows
	return tiles[T](q, func(p path, at, n int) {
		x0, x1, dy := dx[2*at:], dx[2*at+width:], dy[at:]
		switch p {
		case avx512x32:
			avgSpread2x2x32AVX512(rows, n, q, p32(x0), p32(x1), p32(dy), uint32(width), 0.25)
		case avx512x64:
			avgSpread2x2x64AVX512(rows, n, q, p64(x0), p64(x1), p64(dy), uint32(width), 0.25)
		case avx2x32:
			avgSpread2x2x32AVX2(rows, n, q, p32(x0), p32(x1), p32(dy), uint32(width), 0.25)
		case avx2x64:
			avgSpread2x2x64AVX2(rows, n, q, p64(x0), p64(x1), p64(dy), uint32(width), 0.25)
		}
	})
}

// maxTapsVector is the row of windows, stride apart, of the taps from the window's begin, the first of which is at x[first]. It does all of them or none.
func maxTapsVector[T Float](y []T, winner []int32, x []T, taps []int32, first, stride int) int {
	n := len(y)
	p, whole := rowPath[T](n)
	if whole == 0 || stride > 2 {
		return 0
	}
	_, _ = x[first+(n-1)*stride+int(taps[len(taps)-1])], winner[n-1]
	do := func(q, n int) {
		at := first + q*stride
		y, w, x, t, count := y[q:], &winner[q], x[at:], &taps[0], len(taps)
		switch {
		case p == avx512x32 && stride == 1:
			maxTaps1x32AVX512(n, p32(y), w, p32(x), t, count, uint32(at))
		case p == avx512x32:
			maxTaps2x32AVX512(n, p32(y), w, p32(x), t, count, uint32(at))
		case p == avx512x64 && stride == 1:
			maxTaps1x64AVX512(n, p64(y), w, p64(x), t, count, uint32(at))
		case p == avx512x64:
			maxTaps2x64AVX512(n, p64(y), w, p64(x), t, count, uint32(at))
		case p == avx2x32 && stride == 1:
			maxTaps1x32AVX2(n, p32(y), w, p32(x), t, count, uint32(at))
		case p == avx2x32:
			maxTaps2x32AVX2(n, p32(y), w, p32(x), t, count, uint32(at))
		case p == avx2x64 && stride == 1:
			maxTaps1x64AVX2(n, p64(y), w, p64(x), t, count, uint32(at))
		default:
			maxTaps2x64AVX2(n, p64(y), w, p64(x), t, count, uint32(at))
		}
	}
	do(0, whole)
	if whole < n { // without masks, the last vector begins among the windows that are done
		lanes := 32 / int(unsafe.Sizeof(T(0)))
		do(n-lanes, lanes)
	}
	return n
}
