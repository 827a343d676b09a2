//go:build amd64 && !noasm

package kernel

import "unsafe"

// microKernel is the micro-kernel of the tier for T.
func microKernel[T Float]() microKernelShape {
	single := unsafe.Sizeof(T(0)) == 4
	switch {
	case tier == AVX512 && single:
		return microKernelShape{AVX512, 8, 48, 16}
	case tier == AVX512:
		return microKernelShape{AVX512, 8, 24, 8}
	case tier == AVX2 && single:
		return microKernelShape{AVX2, 4, 24, 8}
	case tier == AVX2:
		return microKernelShape{AVX2, 4, 12, 4}
	}
	return microKernelShape{Generic, 2, 4, 4}
}

// runTile makes c (+)= Σ_k a[k·mr+i]·b[k·width+j] for one whole tile of mr×width, c's rows being ld apart; width is nr or, for the last columns, less.
func runTile[T Float](s microKernelShape, kc, width int, a, b, c []T, ld int, accumulate bool) {
	if s.tier == Generic {
		tileGo2x4(kc, a, b, c, ld, accumulate)
		return
	}
	_, _, _ = a[kc*s.mr-1], b[kc*width-1], c[(s.mr-1)*ld+width-1]
	acc := 0
	if accumulate {
		acc = 1
	}
	if unsafe.Sizeof(T(0)) == 4 {
		a, b, c := (*float32)(unsafe.Pointer(&a[0])), (*float32)(unsafe.Pointer(&b[0])), (*float32)(unsafe.Pointer(&c[0]))
		switch {
		case width == 48:
			tile8x48x32AVX512(kc, a, b, c, ld, acc)
		case width == 32:
			tile8x32x32AVX512(kc, a, b, c, ld, acc)
		case width == 16 && s.tier == AVX512:
			tile8x16x32AVX512(kc, a, b, c, ld, acc)
		case width == 24:
			tile4x24x32AVX2(kc, a, b, c, ld, acc)
		case width == 16:
			tile4x16x32AVX2(kc, a, b, c, ld, acc)
		default:
			tile4x8x32AVX2(kc, a, b, c, ld, acc)
		}
		return
	}
	{
		a, b, c := (*float64)(unsafe.Pointer(&a[0])), (*float64)(unsafe.Pointer(&b[0])), (*float64)(unsafe.Pointer(&c[0]))
		switch {
		case width == 24:
			tile8x24x64AVX512(kc, a, b, c, ld, acc)
		case width == 16:
			tile8x16x64AVX512(kc, a, b, c, ld, acc)
		case width == 8 && s.tier == AVX512:
			tile8x8x64AVX512(kc, a, b, c, ld, acc)
		case width == 12:
			tile4x12x64AVX2(kc, a, b, c, ld, acc)
		case width == 8:
			tile4x8x64AVX2(kc, a, b, c, ld, acc)
		default:
			tile4x4x64AVX2(kc, a, b, c, ld, acc)
		}
	}
}

// transposeBlocks is dst[l·ldd+i] = src[i·lds+l] for the first lines, a multiple of the returned number of them, and columns, of cols; the caller does the others.
func transposeBlocks[T Float](dst []T, ldd int, src []T, lds, lines, cols int) (doneLines, doneCols int) {
	if tier == Generic || lines < 4 {
		return 0, 0
	}
	single := unsafe.Sizeof(T(0)) == 4
	side, step := 4, 4 // of a block
	switch lanes := 64 / int(unsafe.Sizeof(T(0))); {
	case tier == AVX512 && lines >= lanes:
		side, step = lanes, lanes/4
	case single && lines >= 8:
		side, step = 8, 8
	}
	n := cols / step
	if n == 0 {
		return 0, 0
	}
	doneLines, doneCols = lines/side*side, n*step
	_, _ = src[(doneLines-1)*lds+doneCols-1], dst[(doneCols-1)*ldd+doneLines-1]
	for i := 0; i < doneLines; i += side {
		d, s := unsafe.Pointer(&dst[i]), unsafe.Pointer(&src[i*lds])
		switch {
		case side == 16:
			transpose16x32AVX512(n, (*float32)(d), ldd, (*float32)(s), lds)
		case side == 8 && single:
			transpose8x32(n, (*float32)(d), ldd, (*float32)(s), lds)
		case side == 8:
			transpose8x64AVX512(n, (*float64)(d), ldd, (*float64)(s), lds)
		case single:
			transpose4x32(n, (*float32)(d), ldd, (*float32)(s), lds)
		default:
			transpose4x64(n, (*float64)(d), ldd, (*float64)(s), lds)
		}
	}
	return doneLines, doneCols
}
