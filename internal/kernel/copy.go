package kernel

import (
	"github.com/convgrad/convgrad/internal/simd"
	"github.com/convgrad/convgrad/internal/workers"
)

// CopyBlocks copies count blocks of n elements. A block begins dstStep elements of dst and srcStep
// of src after the one before it.
func CopyBlocks[T Float](count, n int, dst []T, dstStep int, src []T, srcStep int) {
	pieces(count, n, func(i, lo, hi int) {
		copy(dst[i*dstStep+lo:i*dstStep+hi], src[i*srcStep+lo:i*srcStep+hi])
	})
}

// ClearBlocks sets count blocks of n elements to 0, which begin step elements of x apart.
func ClearBlocks[T Float](count, n int, x []T, step int) {
	pieces(count, n, func(i, lo, hi int) { clear(x[i*step+lo : i*step+hi]) })
}

// pieces calls f for elements lo to hi−1 of block i, for all of count blocks of n elements, in
// parallel where they are many.
func pieces(count, n int, f func(i, lo, hi int)) {
	if n == 0 {
		return
	}
	if n > workers.Chunk {
		parts := (n + workers.Chunk - 1) / workers.Chunk
		size := (n + parts - 1) / parts
		workers.Run(count*parts, func(t, _ int) {
			f(t/parts, t%parts*size, min(n, (t%parts+1)*size))
		})
		return
	}
	workers.Spans(count, workers.Chunk/n, func(from, to int) {
		for i := from; i < to; i++ {
			f(i, 0, n)
		}
	})
}

// Permute is y[i,j,…] = x[i·strides[0] + j·strides[1] + …] for y of the given sides, row-major.
func Permute[T Float](y, x []T, sides, strides []int) {
	if len(y) == 0 {
		return
	}
	var n, d []int // axes that lie in x as they do in y count as one
	for i, side := range sides {
		if k := len(n) - 1; side == 1 {
			continue
		} else if k >= 0 && d[k] == side*strides[i] {
			n[k], d[k] = n[k]*side, strides[i]
			continue
		}
		n, d = append(n, side), append(d, strides[i])
	}
	last, unit := len(n)-1, -1
	if last < 0 {
		y[0] = x[0]
		return
	}
	steps := make([]int, len(n)) // of y
	step := 1
	for i := last; i >= 0; i-- {
		steps[i] = step
		step *= n[i]
		if d[i] == 1 {
			unit = i
		}
	}
	// at is where block t of those along the axes other than skip and the last begins.
	at := func(t, skip int) (iy, ix int) {
		for i := last - 1; i >= 0; i-- {
			if i != skip {
				iy, ix, t = iy+t%n[i]*steps[i], ix+t%n[i]*d[i], t/n[i]
			}
		}
		return iy, ix
	}
	if unit == last || unit < 0 {
		rows := len(y) / n[last]
		workers.Spans(rows, max(1, workers.Chunk/n[last]), func(lo, hi int) {
			for t := lo; t < hi; t++ {
				iy, ix := at(t, -1)
				row := y[iy:][:n[last]]
				if unit == last {
					copy(row, x[ix:])
					continue
				}
				for k := range row {
					row[k] = x[ix+k*d[last]]
				}
			}
		})
		return
	}
	// A matrix for each block: lines of x along the unit axis, of y along the last. Tiles of it
	// stay in the nearest cache.
	const line, column = 64, 128
	across := (n[unit] + column - 1) / column
	blocks := len(y) / (n[last] * n[unit])
	size := min(n[unit], column) * n[last]
	workers.Spans(blocks*across, max(1, workers.Chunk/size), func(lo, hi int) {
		for t := lo; t < hi; t++ {
			iy, ix := at(t/across, unit)
			c := t % across * column
			for l := 0; l < n[last]; l += line {
				simd.Transpose(y[iy+c*steps[unit]+l:], steps[unit], x[ix+l*d[last]+c:], d[last],
					min(line, n[last]-l), min(column, n[unit]-c))
			}
		}
	})
}
