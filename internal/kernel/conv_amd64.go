//go:build amd64 && !noasm

package kernel

import "unsafe"

// copyRowsVector reports whether it did.
func copyRowsVector[T Float](dst []T, ldd int, src []T, lds, rows, cols int) bool {
	if tier != AVX512 {
		return false
	}
	_, _ = dst[(rows-1)*ldd+cols-1], src[(rows-1)*lds+cols-1]
	if unsafe.Sizeof(T(0)) == 4 {
		copyRows32AVX512(rows, cols, p32(dst), ldd, p32(src), lds)
	} else {
		copyRows64AVX512(rows, cols, p64(dst), ldd, p64(src), lds)
	}
	return true
}

// padVector pads rows of all planes, the first at dst and src, and reports whether it did.
func padVector[T Float](f frame, dst, src []T, rows, right int) bool {
	if tier == Generic {
		return false
	}
	// The last vector reaches behind its row.
	lanes := 64 / int(unsafe.Sizeof(T(0)))
	plane := f.hp * f.wp
	_, _ = dst[(f.planes-1)*plane+(rows-1)*f.wp+(f.wp+lanes-1)/lanes*lanes-1], src[(f.planes-1)*f.h*f.w+(rows-1)*f.w+right-f.left-1]
	switch p, _ := vectorPath[T](1 << 10); p {
	case avx512x32:
		pad32AVX512(f.planes, rows, f.wp, p32(dst), plane, f.wp, p32(src), f.h*f.w, f.w, f.left, right)
	case avx512x64:
		pad64AVX512(f.planes, rows, f.wp, p64(dst), plane, f.wp, p64(src), f.h*f.w, f.w, f.left, right)
	case avx2x32:
		pad32AVX2(f.planes, rows, f.wp, p32(dst), plane, f.wp, p32(src), f.h*f.w, f.w, f.left, right)
	default:
		pad64AVX2(f.planes, rows, f.wp, p64(dst), plane, f.wp, p64(src), f.h*f.w, f.w, f.left, right)
	}
	return true
}

// gatherVector reports whether it did. It reads up to two vectors from a segment's begin and writes one, into the slack of its operands.
func gatherVector[T Float](panel []T, width int, src []T, offsets []int, segs []segment, step int) bool {
	if tier == Generic || step > 2 {
		return false
	}
	s, off := (*int)(unsafe.Pointer(unsafe.SliceData(segs))), unsafe.SliceData(offsets)
	n, count := len(segs), len(offsets)
	switch p, _ := vectorPath[T](1 << 10); {
	case p == avx512x32 && step == 1:
		gather1x32AVX512(count, p32(panel), width, p32(src), off, s, n)
	case p == avx512x32:
		gather2x32AVX512(count, p32(panel), width, p32(src), off, s, n)
	case p == avx512x64 && step == 1:
		gather1x64AVX512(count, p64(panel), width, p64(src), off, s, n)
	case p == avx512x64:
		gather2x64AVX512(count, p64(panel), width, p64(src), off, s, n)
	case p == avx2x32 && step == 1:
		gather1x32AVX2(count, p32(panel), width, p32(src), off, s, n)
	case p == avx2x32:
		gather2x32AVX2(count, p32(panel), width, p32(src), off, s, n)
	case p == avx2x64 && step == 1:
		gather1x64AVX2(count, p64(panel), width, p64(src), off, s, n)
	default:
		gather2x64AVX2(count, p64(panel), width, p64(src), off, s, n)
	}
	return true
}

// finishVector returns how many elements it did.
func finishVector[T Float](y, x []T, b T, relu bool) int {
	p, n := vectorPath[T](len(x))
	switch {
	case p == goPath:
	case p == avx512x32 && relu:
		biasReLU32AVX512(n, p32(y), p32(x), float32(b))
	case p == avx512x32:
		bias32AVX512(n, p32(y), p32(x), float32(b))
	case p == avx512x64 && relu:
		biasReLU64AVX512(n, p64(y), p64(x), float64(b))
	case p == avx512x64:
		bias64AVX512(n, p64(y), p64(x), float64(b))
	case p == avx2x32 && relu:
		biasReLU32AVX2(n, p32(y), p32(x), float32(b))
	case p == avx2x32:
		bias32AVX2(n, p32(y), p32(x), float32(b))
	case relu:
		biasReLU64AVX2(n, p64(y), p64(x), float64(b))
	default:
		bias64AVX2(n, p64(y), p64(x), float64(b))
	}
	return n
}

// sumTapsVector reports whether it did. It reads whole vectors, into the slack of x.
func sumTapsVector[T Float](rows, cols int, y []T, ldy int, x []T, ldx int, offsets []int, weights []T, step int, accumulate bool) bool {
	if tier != AVX512 || step > 2 {
		return false
	}
	_ = y[(rows-1)*ldy+cols-1]
	off, n := unsafe.SliceData(offsets), len(offsets)
	acc := 0
	if accumulate {
		acc = 1
	}
	switch {
	case unsafe.Sizeof(T(0)) == 4 && step == 1:
		sumTaps1x32AVX512(rows, cols, p32(y), ldy, p32(x), ldx, off, p32(weights), n, acc)
	case unsafe.Sizeof(T(0)) == 4:
		sumTaps2x32AVX512(rows, cols, p32(y), ldy, p32(x), ldx, off, p32(weights), n, acc)
	case step == 1:
		sumTaps1x64AVX512(rows, cols, p64(y), ldy, p64(x), ldx, off, p64(weights), n, acc)
	default:
		sumTaps2x64AVX512(rows, cols, p64(y), ldy, p64(x), ldx, off, p64(weights), n, acc)
	}
	return true
}

// directVector runs the direct kernel for m filters over as many segments as it takes, directVectors(m); floor is 0 for a ReLU and −Inf for none.
func directVector[T Float](m, step, spread, depth int, a, src []T, offsets, segments []int, dst []T, ldd int, bias []T, floor T) {
	off, seg := unsafe.SliceData(offsets), unsafe.SliceData(segments)
	kind := step - 1 + 2*(spread-1)
	_, _, _ = a[m*depth-1], bias[m-1], segments[3*directVectors(m)-1]
	if unsafe.Sizeof(T(0)) == 4 {
		a, src, dst, bias, floor := p32(a), p32(src), p32(dst), p32(bias), (*float32)(unsafe.Pointer(&floor))
		switch 3*m + kind {
		case 3 * 1:
			direct1x8x1to1x32AVX512(depth, a, src, off, seg, dst, ldd, bias, floor)
		case 3*1 + 2:
			direct1x8x1to2x32AVX512(depth, a, src, off, seg, dst, ldd, bias, floor)
		case 3*1 + 1:
			direct1x8x2to1x32AVX512(depth, a, src, off, seg, dst, ldd, bias, floor)
		case 3 * 2:
			direct2x8x1to1x32AVX512(depth, a, src, off, seg, dst, ldd, bias, floor)
		case 3*2 + 2:
			direct2x8x1to2x32AVX512(depth, a, src, off, seg, dst, ldd, bias, floor)
		case 3*2 + 1:
			direct2x8x2to1x32AVX512(depth, a, src, off, seg, dst, ldd, bias, floor)
		case 3 * 3:
			direct3x6x1to1x32AVX512(depth, a, src, off, seg, dst, ldd, bias, floor)
		case 3*3 + 2:
			direct3x6x1to2x32AVX512(depth, a, src, off, seg, dst, ldd, bias, floor)
		case 3*3 + 1:
			direct3x6x2to1x32AVX512(depth, a, src, off, seg, dst, ldd, bias, floor)
		case 3 * 4:
			direct4x5x1to1x32AVX512(depth, a, src, off, seg, dst, ldd, bias, floor)
		case 3*4 + 2:
			direct4x5x1to2x32AVX512(depth, a, src, off, seg, dst, ldd, bias, floor)
		case 3*4 + 1:
			direct4x5x2to1x32AVX512(depth, a, src, off, seg, dst, ldd, bias, floor)
		case 3 * 6:
			direct6x4x1to1x32AVX512(depth, a, src, off, seg, dst, ldd, bias, floor)
		case 3*6 + 2:
			direct6x4x1to2x32AVX512(depth, a, src, off, seg, dst, ldd, bias, floor)
		case 3*6 + 1:
			direct6x4x2to1x32AVX512(depth, a, src, off, seg, dst, ldd, bias, floor)
		case 3 * 8:
			direct8x3x1to1x32AVX512(depth, a, src, off, seg, dst, ldd, bias, floor)
		case 3*8 + 2:
			direct8x3x1to2x32AVX512(depth, a, src, off, seg, dst, ldd, bias, floor)
		case 3*8 + 1:
			direct8x3x2to1x32AVX512(depth, a, src, off, seg, dst, ldd, bias, floor)
		}
		return
	}
	{
		a, src, dst, bias, floor := p64(a), p64(src), p64(dst), p64(bias), (*float64)(unsafe.Pointer(&floor))
		switch 3*m + kind {
		case 3 * 1:
			direct1x8x1to1x64AVX512(depth, a, src, off, seg, dst, ldd, bias, floor)
		case 3*1 + 2:
			direct1x8x1to2x64AVX512(depth, a, src, off, seg, dst, ldd, bias, floor)
		case 3*1 + 1:
			direct1x8x2to1x64AVX512(depth, a, src, off, seg, dst, ldd, bias, floor)
		case 3 * 2:
			direct2x8x1to1x64AVX512(depth, a, src, off, seg, dst, ldd, bias, floor)
		case 3*2 + 2:
			direct2x8x1to2x64AVX512(depth, a, src, off, seg, dst, ldd, bias, floor)
		case 3*2 + 1:
			direct2x8x2to1x64AVX512(depth, a, src, off, seg, dst, ldd, bias, floor)
		case 3 * 3:
			direct3x6x1to1x64AVX512(depth, a, src, off, seg, dst, ldd, bias, floor)
		case 3*3 + 2:
			direct3x6x1to2x64AVX512(depth, a, src, off, seg, dst, ldd, bias, floor)
		case 3*3 + 1:
			direct3x6x2to1x64AVX512(depth, a, src, off, seg, dst, ldd, bias, floor)
		case 3 * 4:
			direct4x5x1to1x64AVX512(depth, a, src, off, seg, dst, ldd, bias, floor)
		case 3*4 + 2:
			direct4x5x1to2x64AVX512(depth, a, src, off, seg, dst, ldd, bias, floor)
		case 3*4 + 1:
			direct4x5x2to1x64AVX512(depth, a, src, off, seg, dst, ldd, bias, floor)
		case 3 * 6:
			direct6x4x1to1x64AVX512(depth, a, src, off, seg, dst, ldd, bias, floor)
		case 3*6 + 2:
			direct6x4x1to2x64AVX512(depth, a, src, off, seg, dst, ldd, bias, floor)
		case 3*6 + 1:
			direct6x4x2to1x64AVX512(depth, a, src, off, seg, dst, ldd, bias, floor)
		case 3 * 8:
			direct8x3x1to1x64AVX512(depth, a, src, off, seg, dst, ldd, bias, floor)
		case 3*8 + 2:
			direct8x3x1to2x64AVX512(depth, a, src, off, seg, dst, ldd, bias, floor)
		case 3*8 + 1:
			direct8x3x2to1x64AVX512(depth, a, src, off, seg, dst, ldd, bias, floor)
		}
	}
}

// canDirect reports whether the tier has direct kernels for these distances of neighbouring outputs in the source and in the destination.
func canDirect(step, spread int) bool {
	return tier == AVX512 && (spread == 1 && step <= 2 || spread == 2 && step == 1)
}

// spreadVector is dst[2i] = src[i]; it reports whether it did.
func spreadVector[T Float](dst, src []T) bool {
	if tier != AVX512 || len(src) == 0 {
		return false
	}
	_ = dst[2*(len(src)-1)]
	if unsafe.Sizeof(T(0)) == 4 {
		spread2x32AVX512(len(src), p32(dst), p32(src))
	} else {
		spread2x64AVX512(len(src), p64(dst), p64(src))
	}
	return true
}

// depthwise3Vector is y = max(floor, bias + the 3×3 correlation, with stride 1, of a plane x of h×w); d says how it slides.
func depthwise3Vector[T Float](d *depthwise3, y, x []T, weights *[9]T, bias, floor T) {
	_, _ = y[d.rows*d.cols-1], x[d.h*d.w-1]
	blocks := len(d.masks) / 4
	if unsafe.Sizeof(T(0)) == 4 {
		depthwise3x3x32AVX512(d.rows, blocks, p32(y), d.cols, p32(x), d.w, d.h, d.top, d.left, &d.masks[0], p32(weights[:]), (*float32)(unsafe.Pointer(&bias)), (*float32)(unsafe.Pointer(&floor)))
		return
	}
	depthwise3x3x64AVX512(d.rows, blocks, p64(y), d.cols, p64(x), d.w, d.h, d.top, d.left, &d.masks[0], p64(weights[:]), (*float64)(unsafe.Pointer(&bias)), (*float64)(unsafe.Pointer(&floor)))
}

// depthwiseFilter3Vector adds the products of the deltas with a plane x under each tap of a 3×3 filter that slides as d says to the sums of the tap, one for each lane.
func depthwiseFilter3Vector[T Float](d *depthwise3, delta, x, sums []T) {
	_, _, _ = delta[d.rows*d.cols-1], x[d.h*d.w-1], sums[9*tapLanes[T]()-1]
	blocks := len(d.masks) / 4
	if unsafe.Sizeof(T(0)) == 4 {
		depthwiseFilter3x3x32AVX512(d.rows, blocks, p32(delta), d.cols, p32(x), d.w, d.h, d.top, d.left, &d.masks[0], p32(sums))
		return
	}
	depthwiseFilter3x3x64AVX512(d.rows, blocks, p64(delta), d.cols, p64(x), d.w, d.h, d.top, d.left, &d.masks[0], p64(sums))
}

// dotRowsVector adds the products of rows to lanes sums.
func dotRowsVector[T Float](rows, cols int, d []T, x []T, ldx int, sums []T) (lanes int) {
	if tier != AVX512 {
		return 0
	}
	_, _, _ = d[rows*cols-1], x[(rows-1)*ldx+cols-1], sums[64/unsafe.Sizeof(T(0))-1]
	if unsafe.Sizeof(T(0)) == 4 {
		dotRows32AVX512(rows, cols, p32(d), cols, p32(x), ldx, p32(sums))
		return 16
	}
	dotRows64AVX512(rows, cols, p64(d), cols, p64(x), ldx, p64(sums))
	return 8
}
