//go:build amd64 && !noasm

package kernel

import "unsafe"

// laneKernels are the micro-kernels whose lanes are filters: the most vectors of a tile and their lanes; no vectors where there are none.
func laneKernels[T Float]() laneShape {
	size := int(unsafe.Sizeof(T(0)))
	switch tier {
	case AVX512:
		return laneShape{AVX512, 4, 64 / size}
	case AVX2:
		return laneShape{AVX2, 2, 32 / size}
	}
	return laneShape{}
}

// pixels is how many outputs the micro-kernel for so many filters makes at a time.
func (s laneShape) pixels(width int) int {
	switch vectors := width / s.lanes; {
	case vectors == s.vectors:
		return 6
	case vectors == 3:
		return 8
	}
	return 12
}

// runLanes makes c[i·ldc+j] (+)= Σ_k x[at[i]+off[k]]·w[k·width+j] for pixels(width) outputs i, and finishes with bias, of width elements, and relu. Of x it reads these elements
// alone.
func runLanes[T Float](s laneShape, width int, x []T, at, off []int, w, c []T, ldc int, accumulate bool, bias []T, relu bool) {
	kc, pixels := len(off), s.pixels(width)
	_, _, _ = at[pixels-1], w[kc*width-1], c[(pixels-1)*ldc+width-1]
	if bias != nil {
		_ = bias[width-1]
	}
	acc, cut := 0, 0
	if accumulate {
		acc = 1
	}
	if relu {
		cut = 1
	}
	if unsafe.Sizeof(T(0)) == 4 {
		f := lanes12x8x32AVX2
		switch {
		case s.tier == AVX2 && width == 16:
			f = lanes6x16x32AVX2
		case width == 16:
			f = lanes12x16x32AVX512
		case width == 32:
			f = lanes12x32x32AVX512
		case width == 48:
			f = lanes8x48x32AVX512
		case width == 64:
			f = lanes6x64x32AVX512
		}
		f(kc, p32(x), &at[0], &off[0], p32(w), p32(c), ldc, acc, p32(bias), cut)
		return
	}
	f := lanes12x4x64AVX2
	switch {
	case s.tier == AVX2 && width == 8:
		f = lanes6x8x64AVX2
	case width == 8:
		f = lanes12x8x64AVX512
	case width == 16:
		f = lanes12x16x64AVX512
	case width == 24:
		f = lanes8x24x64AVX512
	case width == 32:
		f = lanes6x32x64AVX512
	}
	f(kc, p64(x), &at[0], &off[0], p64(w), p64(c), ldc, acc, p64(bias), cut)
}

// peakRounds runs n rounds of the independent multiply-adds of a tier and returns the floating-point operations of one.
func peakRounds(t Tier, single bool, n int) int {
	switch {
	case t == AVX512 && single:
		peak32AVX512(n)
		return 2 * 12 * 16
	case t == AVX512:
		peak64AVX512(n)
		return 2 * 12 * 8
	case t == AVX2 && single:
		peak32AVX2(n)
		return 2 * 12 * 8
	case t == AVX2:
		peak64AVX2(n)
		return 2 * 12 * 4
	}
	return peakRoundsGo(n)
}
