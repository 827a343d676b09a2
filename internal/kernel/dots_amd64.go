//go:build amd64 && !noasm

package kernel

import "unsafe"

// A dotShape is a micro-kernel of sums along rows: filters × taps vectors of so many lanes; no lanes where there is none.
type dotShape struct {
	tier                 Tier
	filters, taps, lanes int
}

// dotKernels lists the micro-kernels of the tier.
func dotKernels[T Float]() []dotShape {
	size := int(unsafe.Sizeof(T(0)))
	switch tier {
	case AVX512:
		return []dotShape{{AVX512, 8, 3, 64 / size}, {AVX512, 6, 4, 64 / size}, {AVX512, 2, 8, 64 / size}}
	case AVX2:
		return []dotShape{{AVX2, 4, 2, 32 / size}, {AVX2, 2, 4, 32 / size}}
	}
	return nil
}

// runDots is sums[i, j, q mod lanes] += Σ_r Σ_q dy[from[i]+r·dyRow+q]·x[off[j]+r·xRow+q] over rows of n outputs; from and off hold the shape's filters and taps.
func runDots[T Float](s dotShape, rows, n int, dy []T, from []int, dyRow int, x []T, off []int, xRow int, sums []T) {
	for _, o := range from[:s.filters] {
		_ = dy[o : o+(rows-1)*dyRow+n]
	}
	for _, o := range off[:s.taps] {
		_ = x[o : o+(rows-1)*xRow+n]
	}
	_ = sums[s.filters*s.taps*s.lanes-1]
	vectors, rest := n/s.lanes, n%s.lanes
	if unsafe.Sizeof(T(0)) == 4 {
		f := dots2x4x32AVX2
		switch {
		case s.filters == 8:
			f = dots8x3x32AVX512
		case s.filters == 6:
			f = dots6x4x32AVX512
		case s.tier == AVX512:
			f = dots2x8x32AVX512
		case s.filters == 4:
			f = dots4x2x32AVX2
		}
		f(rows, vectors, rest, p32(dy), &from[0], dyRow, p32(x), &off[0], xRow, p32(sums))
		return
	}
	f := dots2x4x64AVX2
	switch {
	case s.filters == 8:
		f = dots8x3x64AVX512
	case s.filters == 6:
		f = dots6x4x64AVX512
	case s.tier == AVX512:
		f = dots2x8x64AVX512
	case s.filters == 4:
		f = dots4x2x64AVX2
	}
	f(rows, vectors, rest, p64(dy), &from[0], dyRow, p64(x), &off[0], xRow, p64(sums))
}
