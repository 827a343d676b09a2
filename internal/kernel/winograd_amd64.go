//go:build amd64 && !noasm

package kernel

import "unsafe"

// The transformations of one tile of m×m outputs, n vectors of channels of it; see the assembly's comments. Slices are checked to reach as far as the tile does.

func winogradInput[T Float](s laneShape, m, n int, src []T, srcRow, srcCol int, dst []T, dstRow, dstCol int, tmp []T) {
	last := m + 1
	_, _, _ = src[last*(srcRow+srcCol)+n*s.lanes-1], dst[last*(dstRow+dstCol)+n*s.lanes-1], tmp[(m+2)*(m+2)*s.lanes-1]
	if unsafe.Sizeof(T(0)) == 4 {
		f := winogradInput2x32AVX2
		switch {
		case s.tier == AVX512 && m == 4:
			f = winogradInput4x32AVX512
		case s.tier == AVX512:
			f = winogradInput2x32AVX512
		case m == 4:
			f = winogradInput4x32AVX2
		}
		f(n, p32(src), srcRow, srcCol, p32(dst), dstRow, dstCol, p32(tmp))
		return
	}
	f := winogradInput2x64AVX2
	switch {
	case s.tier == AVX512 && m == 4:
		f = winogradInput4x64AVX512
	case s.tier == AVX512:
		f = winogradInput2x64AVX512
	case m == 4:
		f = winogradInput4x64AVX2
	}
	f(n, p64(src), srcRow, srcCol, p64(dst), dstRow, dstCol, p64(tmp))
}

// winogradWeights takes the element (0, 0) at src[origin]; the strides may be negative.
func winogradWeights[T Float](s laneShape, m, n int, src []T, origin, srcRow, srcCol int, dst []T, dstRow, dstCol int, tmp []T) {
	for _, corner := range []int{origin, origin + 2*srcRow, origin + 2*srcCol, origin + 2*srcRow + 2*srcCol} {
		_, _ = src[corner], src[corner+n*s.lanes-1]
	}
	_, _ = dst[(m+1)*(dstRow+dstCol)+n*s.lanes-1], tmp[(m+2)*(m+2)*s.lanes-1]
	src = src[origin:]
	if unsafe.Sizeof(T(0)) == 4 {
		f := winogradWeights2x32AVX2
		switch {
		case s.tier == AVX512 && m == 4:
			f = winogradWeights4x32AVX512
		case s.tier == AVX512:
			f = winogradWeights2x32AVX512
		case m == 4:
			f = winogradWeights4x32AVX2
		}
		f(n, p32(src), srcRow, srcCol, p32(dst), dstRow, dstCol, p32(tmp))
		return
	}
	f := winogradWeights2x64AVX2
	switch {
	case s.tier == AVX512 && m == 4:
		f = winogradWeights4x64AVX512
	case s.tier == AVX512:
		f = winogradWeights2x64AVX512
	case m == 4:
		f = winogradWeights4x64AVX2
	}
	f(n, p64(src), srcRow, srcCol, p64(dst), dstRow, dstCol, p64(tmp))
}

func winogradOutput[T Float](s laneShape, m, n int, src []T, srcRow, srcCol int, dst []T, dstRow, dstCol int, tmp, bias []T, relu bool) {
	_, _ = src[(m+1)*(srcRow+srcCol)+n*s.lanes-1], dst[(m-1)*(dstRow+dstCol)+n*s.lanes-1]
	_ = tmp[((m+2)*(m+2)+1)*s.lanes-1]
	if bias != nil {
		_ = bias[n*s.lanes-1]
	}
	cut := 0
	if relu {
		cut = 1
	}
	if unsafe.Sizeof(T(0)) == 4 {
		f := winogradOutput2x32AVX2
		switch {
		case s.tier == AVX512 && m == 4:
			f = winogradOutput4x32AVX512
		case s.tier == AVX512:
			f = winogradOutput2x32AVX512
		case m == 4:
			f = winogradOutput4x32AVX2
		}
		f(n, p32(src), srcRow, srcCol, p32(dst), dstRow, dstCol, p32(tmp), p32(bias), cut)
		return
	}
	f := winogradOutput2x64AVX2
	switch {
	case s.tier == AVX512 && m == 4:
		f = winogradOutput4x64AVX512
	case s.tier == AVX512:
		f = winogradOutput2x64AVX512
	case m == 4:
		f = winogradOutput4x64AVX2
	}
	f(n, p64(src), srcRow, srcCol, p64(dst), dstRow, dstCol, p64(tmp), p64(bias), cut)
}
