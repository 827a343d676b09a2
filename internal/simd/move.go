package simd

// A Segment is a run of elements of Gather: Src is where it begins in the source, Dst its column.
type Segment struct{ Src, Dst int }

// Gather is panel[l·width + segment.Dst + i] = src[offsets[l] + segment.Src + i·step] for each
// segment and 0 ≤ i, up to the next segment's Dst or cols. What a panel holds beyond cols is any
// number. It may read and write up to Slack elements behind.
func Gather[T Float](panel []T, width, cols int, src []T, offsets []int, segs []Segment, step int) {
	if gatherVector(panel, width, src, offsets, segs, step) {
		return
	}
	for l, off := range offsets {
		row, from := panel[l*width:][:width], src[off:]
		for k, s := range segs {
			end := cols
			if k+1 < len(segs) {
				end = segs[k+1].Dst
			}
			i := s.Src
			for d := s.Dst; d < end; d++ {
				row[d] = from[i]
				i += step
			}
		}
		clear(row[cols:])
	}
}

// TransposeBlocks is dst[l·ldd+i] = src[i·lds+l] for the first lines i and columns l, as many as it
// returns: whole blocks. The caller does the others. Columns that do not fill a block go with some
// before them once more.
func TransposeBlocks[T Float](dst []T, ldd int, src []T, lds, lines, cols int) (doneLines, doneCols int) {
	doneLines, doneCols, step := transposeBlocks(dst, ldd, src, lds, lines, cols)
	if doneLines == 0 || doneCols == cols {
		return doneLines, doneCols
	}
	from := cols - step
	transposeBlocks(dst[from*ldd:], ldd, src[from:], lds, doneLines, step)
	return doneLines, cols
}

// Transpose is dst[l·ldd+i] = src[i·lds+l] for so many lines i and columns l.
func Transpose[T Float](dst []T, ldd int, src []T, lds, lines, cols int) {
	doneLines := 0
	for doneLines < lines {
		n, c := TransposeBlocks(dst[doneLines:], ldd, src[doneLines*lds:], lds, lines-doneLines, cols)
		if n == 0 {
			break
		}
		doneLines += n
		for l := c; l < cols; l++ {
			to := dst[l*ldd+doneLines-n:][:n]
			for i := range to {
				to[i] = src[(doneLines-n+i)*lds+l]
			}
		}
	}
	for l := range cols {
		to := dst[l*ldd:]
		for i := doneLines; i < lines; i++ {
			to[i] = src[i*lds+l]
		}
	}
}
