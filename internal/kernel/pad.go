package kernel

import "github.com/convgrad/convgrad/internal/simd"

// A frame is how an image's planes, h×w each, lie in planes of hp×wp with zeros around them. What
// does not fit behind the last row or column is left out.
type frame struct {
	planes, h, w, top, left, hp, wp int
}

// size is the number of elements of a padded image. A buffer needs simd.Slack behind it.
func (f frame) size() int { return f.planes * f.hp * f.wp }

// pad copies rows lo to hi−1, counted with the padding, of each plane, with their zeros.
func pad[T Float](f frame, dst, src []T, lo, hi int) {
	plane := f.hp * f.wp
	first, last := max(lo, f.top), min(hi, f.top+f.h)
	right := min(f.left+f.w, f.wp)
	if first >= last || f.left >= right {
		for c := range f.planes {
			clear(dst[c*plane+lo*f.wp : c*plane+hi*f.wp])
		}
		return
	}
	from := (first - f.top) * f.w
	if !simd.PadRows(f.planes, last-first, f.wp, dst[first*f.wp:], plane, f.wp, src[from:], f.h*f.w, f.w, f.left, right) {
		for c := range f.planes {
			for r := range last - first {
				row := dst[c*plane+(first+r)*f.wp:][:f.wp]
				clear(row[:f.left])
				copy(row[f.left:right], src[c*f.h*f.w+from+r*f.w:])
				clear(row[right:])
			}
		}
	}
	// Last, over what vectors left behind their rows.
	if lo < first || last < hi {
		for c := range f.planes {
			clear(dst[c*plane+lo*f.wp : c*plane+first*f.wp])
			clear(dst[c*plane+last*f.wp : c*plane+hi*f.wp])
		}
	}
}
