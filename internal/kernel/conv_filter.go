package kernel

// BackwardFilter is dw, the derivative of Forward by w applied to dy.
//
// It is the sum over all outputs of outer products: of the deltas of all filters at the output, a vector, with the inputs under the filter's taps. A micro-kernel keeps
// the sums for mr taps and nr filters in registers over a stretch of outputs. The batch is cut into slices, by the geometry alone, and their sums joined in order.
func BackwardFilter[T Float](g Conv, dw, dy, x []T) {
	if g.outlandish() {
		RefBackwardFilter(g, dw, dy, x)
		return
	}
	if g.depthwise() {
		depthwiseBackwardFilter(g, dw, dy, x)
		return
	}
	for group := range g.Groups {
		f := newFilterGradient(g, dw, dy, x, group)
		if shape, ok := f.dotKernel(); ok {
			f.runDots(shape)
		} else {
			f.run()
		}
	}
}

type filterGradient[T Float] struct {
	g         Conv
	c, k      int // of the group
	dw, dy, x []T // of the group: images lie as in the whole
	hp, wp    int
	kern      microKernelShape
	offsets   []int // of the taps (c, r, s) in the padded image
	taps      int   // their number, and with it filled up to a multiple of mr
	filled    int
	panels    int // of filters
	slices    int // of the batch
	cuts      int // of the panels, where the slices are too few to share
	sums      []T // for each slice, panel and tap the sums for the panel's filters
}

func newFilterGradient[T Float](g Conv, dw, dy, x []T, group int) *filterGradient[T] {
	c, k := g.C/g.Groups, g.K/g.Groups
	f := &filterGradient[T]{
		g: g, c: c, k: k,
		dw: dw[group*k*c*g.R*g.S:][:k*c*g.R*g.S], dy: dy[group*k*g.P*g.Q:], x: x[group*c*g.H*g.W:],
		hp: (g.P-1)*g.Rows.Stride + g.Rows.Extent(), wp: (g.Q-1)*g.Cols.Stride + g.Cols.Extent(),
		kern: microKernel[T](), taps: c * g.R * g.S,
	}
	mr := f.kern.mr
	f.filled = (f.taps + mr - 1) / mr * mr
	f.panels = (k + f.kern.nr - 1) / f.kern.nr
	for cc := range c {
		for r := range g.R {
			for s := range g.S {
				f.offsets = append(f.offsets, (cc*f.hp+g.element(r, g.R)*g.Rows.Dilation)*f.wp+g.element(s, g.S)*g.Cols.Dilation)
			}
		}
	}
	for len(f.offsets) < f.filled {
		f.offsets = append(f.offsets, f.offsets[0]) // any element of the image; the sum is not used
	}
	// Slices cost memory and their joining; a few megabytes are worth it.
	f.slices = max(1, min(g.N, 16, 1<<21/(f.filled*f.panels*f.kern.nr)))
	f.cuts = min(f.panels, (8+f.slices-1)/f.slices)
	return f
}

// stretch is the number of outputs that the micro-kernel goes through at a time, whole rows of them where a row is not longer.
const stretch = 256

func (f *filterGradient[T]) run() {
	nr := f.kern.nr
	s := takeScratch[T](1)
	defer s.free()
	size := f.filled * f.panels * nr
	f.sums = s.slice(0, f.slices*size)
	small := f.g.MACs()/int64(f.g.Groups) < 1<<16
	each(small, f.slices*f.cuts, 1, func(t int) {
		slice, cut := t/f.cuts, t%f.cuts
		f.slice(f.sums[slice*size:][:size], f.g.N*slice/f.slices, f.g.N*(slice+1)/f.slices, f.panels*cut/f.cuts, f.panels*(cut+1)/f.cuts)
	})
	each(small, f.panels, 1, func(p int) {
		k0 := p * nr
		have := min(nr, f.k-k0)
		width := f.kern.width(have)
		total := f.sums[p*f.filled*nr:][:f.filled*width]
		for i := 1; i < f.slices; i++ {
			add(total, f.sums[i*size+p*f.filled*nr:][:f.filled*width])
		}
		dst := f.dw[k0*f.taps:]
		lines, cols := transposeBlocks(dst, f.taps, total, width, f.taps, have)
		for i := range f.taps {
			from := 0
			if i < lines {
				from = cols
			}
			for j := from; j < have; j++ {
				dst[j*f.taps+i] = total[i*width+j]
			}
		}
	})
}

// slice sums images lo to hi−1 for panels p0 to p1−1.
func (f *filterGradient[T]) slice(sums []T, lo, hi, p0, p1 int) {
	g, mr, nr := f.g, f.kern.mr, f.kern.nr
	rows := max(1, min(g.P, stretch/g.Q))
	s := takeScratch[T](2)
	defer s.free()
	padded := s.slice(0, f.c*f.hp*f.wp+slack)
	panel := s.slice(1, rows*g.Q*nr)
	for n := lo; n < hi; n++ {
		pad(padded, f.x[n*g.C*g.H*g.W:], 1, 0, f.c, g.H, g.W, g.Rows.Before, g.Cols.Before, f.hp, f.wp, n > lo)
		for p := p0; p < p1; p++ {
			have := min(nr, f.k-p*nr)
			width := f.kern.width(have)
			for row := 0; row < g.P; row += rows {
				count := min(rows, g.P-row)
				packPanel(panel[:count*g.Q*width], f.dy[n*g.K*g.P*g.Q:], g.P*g.Q, p*nr, have, width, row*g.Q, count*g.Q, true, 1)
				for i := 0; i < f.filled; i += mr {
					runOuter(f.kern, count, g.Q, width, padded[row*g.Rows.Stride*f.wp:], f.offsets[i:][:mr], g.Cols.Stride, g.Rows.Stride*f.wp, panel,
						sums[(p*nr*f.filled + i*width):][:mr*width], n > lo || row > 0)
				}
			}
		}
	}
}

// outerGo2x4 is the micro-kernel of the filter's gradient in plain Go: c[i·4+j] (+)= Σ_r Σ_q x[offsets[i] + r·xRow + q·xStep]·d[(r·n+q)·4 + j] for 2 taps and 4 filters.
func outerGo2x4[T Float](rows, n int, x []T, offsets []int, xStep, xRow int, d, c []T, accumulate bool) {
	var c00, c01, c02, c03, c10, c11, c12, c13 T
	x0, x1 := x[offsets[0]:], x[offsets[1]:]
	for r := range rows {
		at := r * xRow
		for q := range n {
			b := d[(r*n+q)*4:][:4]
			b0, b1, b2, b3 := b[0], b[1], b[2], b[3]
			a0, a1 := x0[at], x1[at]
			c00 += a0 * b0
			c01 += a0 * b1
			c02 += a0 * b2
			c03 += a0 * b3
			c10 += a1 * b0
			c11 += a1 * b1
			c12 += a1 * b2
			c13 += a1 * b3
			at += xStep
		}
	}
	c = c[:8]
	if accumulate {
		c00, c01, c02, c03 = c00+c[0], c01+c[1], c02+c[2], c03+c[3]
		c10, c11, c12, c13 = c10+c[4], c11+c[5], c12+c[6], c13+c[7]
	}
	c[0], c[1], c[2], c[3] = c00, c01, c02, c03
	c[4], c[5], c[6], c[7] = c10, c11, c12, c13
}
