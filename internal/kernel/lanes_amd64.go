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

// runLanes makes c[i·ldc+j] (+)= Σ_k x[at[i]+off[k]]·w[k·width+j] for so many tiles of pixels(width) outputs i, and finishes as end says. Of x it reads these elements alone.
func runLanes[T Float](s laneShape, width, tiles int, x []T, at, off []int, w, c []T, ldc int, accumulate bool, end *laneEnd[T]) {
	kc, pixels := len(off), tiles*s.pixels(width)
	_, _, _ = at[pixels-1], w[kc*width-1], c[(pixels-1)*ldc+width-1]
	if end.bias != nil {
		_ = end.bias[width-1]
	}
	acc, cut := 0, 0
	if accumulate {
		acc = 1
	}
	if end.relu {
		cut = 1
	}
	if unsafe.Sizeof(T(0)) == 4 {
		x, w, c, bias, touch, step, touches, next := p32(x), p32(w), p32(c), p32(end.bias), p32(end.touch), end.step, end.touches, end.next
		switch {
		case s.tier == AVX2 && width == 8:
			lanes12x8x32AVX2(tiles, kc, x, &at[0], &off[0], w, c, ldc, acc, bias, cut)
		case s.tier == AVX2:
			lanes6x16x32AVX2(tiles, kc, x, &at[0], &off[0], w, c, ldc, acc, bias, cut, touch, step, touches, next)
		case width == 16:
			lanes12x16x32AVX512(tiles, kc, x, &at[0], &off[0], w, c, ldc, acc, bias, cut)
		case width == 32:
			lanes12x32x32AVX512(tiles, kc, x, &at[0], &off[0], w, c, ldc, acc, bias, cut)
		case width == 48:
			lanes8x48x32AVX512(tiles, kc, x, &at[0], &off[0], w, c, ldc, acc, bias, cut, touch, step, touches, next)
		default:
			lanes6x64x32AVX512(tiles, kc, x, &at[0], &off[0], w, c, ldc, acc, bias, cut, touch, step, touches, next)
		}
		return
	}
	{
		x, w, c, bias, touch, step, touches, next := p64(x), p64(w), p64(c), p64(end.bias), p64(end.touch), end.step, end.touches, end.next
		switch {
		case s.tier == AVX2 && width == 4:
			lanes12x4x64AVX2(tiles, kc, x, &at[0], &off[0], w, c, ldc, acc, bias, cut)
		case s.tier == AVX2:
			lanes6x8x64AVX2(tiles, kc, x, &at[0], &off[0], w, c, ldc, acc, bias, cut, touch, step, touches, next)
		case width == 8:
			lanes12x8x64AVX512(tiles, kc, x, &at[0], &off[0], w, c, ldc, acc, bias, cut)
		case width == 16:
			lanes12x16x64AVX512(tiles, kc, x, &at[0], &off[0], w, c, ldc, acc, bias, cut)
		case width == 24:
			lanes8x24x64AVX512(tiles, kc, x, &at[0], &off[0], w, c, ldc, acc, bias, cut, touch, step, touches, next)
		default:
			lanes6x32x64AVX512(tiles, kc, x, &at[0], &off[0], w, c, ldc, acc, bias, cut, touch, step, touches, next)
		}
	}
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
