package kernel

import (
	"github.com/convgrad/convgrad/internal/simd"
	"github.com/convgrad/convgrad/internal/workers"
)

// Forward is y = x ⋆ w + b, then max(0, ·) where relu is set, and min(·, 6) with g.ReLU6; b may be
// nil.
func Forward[T Float](g Conv, y, x, w, b []T, relu bool) {
	forward(g, y, x, w, b, relu, nil)
}

// forward is Forward, which tells of where it is at, if asked.
func forward[T Float](g Conv, y, x, w, b []T, relu bool, moments *imageMoments[T]) {
	if runWhole(ToOutput, g, operands[T]{y, x, w, b, relu}) {
		return
	}
	c, k := g.C/g.Groups, g.K/g.Groups
	shape := newForward[T](g)
	shape.held = heldBy(w)
	if g.Groups == 1 {
		shape.moments = moments
	}
	for group := range g.Groups {
		p := shape
		p.src, p.dst, p.weights = x[group*c*g.H*g.W:], y[group*k*g.P*g.Q:], w[group*k*c*g.R*g.S:]
		p.relu, p.six, p.group = relu, relu && g.ReLU6, group
		if b != nil {
			p.bias = b[group*k:][:k]
		}
		p.choose().runPart(&p)
	}
}

// newForward is the correlation of one group, without its operands.
func newForward[T Float](g Conv) correlation[T] {
	c := g.C / g.Groups
	var rows, cols []tap
	for r := range g.R {
		rows = append(rows, tap{g.element(r, g.R), r * g.Rows.Dilation})
	}
	for s := range g.S {
		cols = append(cols, tap{g.element(s, g.S), s * g.Cols.Dilation})
	}
	return correlation[T]{
		n: g.N, planes: c, m: g.K / g.Groups, winograd: g.Winograd,
		srcImage: g.C * g.H * g.W, h: g.H, w: g.W,
		top: g.Rows.Before, left: g.Cols.Before, hp: g.Rows.Read(), wp: g.Cols.Read(),
		outH: g.P, outW: g.Q, stepH: g.Rows.Stride, stepW: g.Cols.Stride,
		dstImage: g.K * g.P * g.Q, dstPlane: g.P * g.Q, dstRow: g.Q, dstCol: 1,
		rows: rows, cols: cols,
		wm: c * g.R * g.S, wPlane: g.R * g.S, wRow: g.S,
		srcLast: g.FromLast, dstLast: g.ToLast,
	}
}

// finish adds the bias and cuts negative values, for the paths that do not as they store.
func finish[T Float](planes, length int, y, b []T, relu bool) {
	if b != nil {
		AddChannels(planes, length, y, y, b)
	}
	if y = y[:planes*length]; relu {
		ReLU(y, y)
	}
}

// finishOutput is finish for the output of a convolution.
func finishOutput[T Float](g Conv, y, b []T, relu bool) {
	finish(g.N*g.K, g.P*g.Q, y, b, relu)
	if relu && g.ReLU6 {
		upToSix(y[:g.YLen()])
	}
}

// upToSix is ReLU6 in place, for outputs that are still in a near cache. A micro-kernel may have
// cut them at 0.
func upToSix[T Float](y []T) {
	if !simd.Activate(simd.ReLU6, y, y, 0, 0) {
		for i, v := range y {
			y[i] = min(max(v, 0), 6)
		}
	}
}

// BackwardData is dx, the derivative of Forward by x applied to dy.
//
// The elements of dx whose positions have the same remainders by the strides are a phase. They meet
// the same taps, and are a correlation of dy with stride 1. So no product is made with the zeros of
// the gaps that a stride leaves.
func BackwardData[T Float](g Conv, dx, dy, w []T) { Transposed(g, dx, dy, w, nil, false) }

// Transposed is BackwardData plus b[c] for each channel c, then max(0, ·) where relu is set; b may
// be nil.
func Transposed[T Float](g Conv, dx, dy, w, b []T, relu bool) {
	if runWhole(ToData, g, operands[T]{dst: dx, a: dy, b: w}) {
		finish(g.N*g.C, g.H*g.W, dx, b, relu)
		return
	}
	c, k := g.C/g.Groups, g.K/g.Groups
	if (b != nil || relu) && !endsInLanes[T](g) {
		BackwardData(g, dx, dy, w)
		finish(g.N*g.C, g.H*g.W, dx, b, relu)
		return
	}
	if g.gaps(g.Rows, g.H, g.R) || g.gaps(g.Cols, g.W, g.S) {
		clear(dx[:g.XLen()])
		finish(g.N*g.C, g.H*g.W, dx, b, relu)
	}
	for ph := range min(g.Rows.Stride, g.H) {
		rows := g.rowPhase(ph)
		for group := range g.Groups {
			var last *correlation[T] // a phase that may run with the next
			var chosen *candidate[T]
			for pw := range min(g.Cols.Stride, g.W) {
				cols := g.colPhase(pw)
				if len(rows.taps) == 0 || len(cols.taps) == 0 {
					continue
				}
				p := newBackward[T](g, rows, cols)
				p.src, p.weights = dy[group*k*g.P*g.Q:], w[group*k*c*g.R*g.S:]
				p.dst = dx[group*c*g.H*g.W+ph*g.W+pw:]
				if p.relu = relu; b != nil {
					p.bias = b[group*c:][:c]
				}
				choice := p.choose()
				if last != nil && chosen == choice && choice.runPair != nil && p.dstCol == 2 {
					choice.runPair(last, p)
					last = nil
					continue
				}
				if last != nil {
					chosen.runPart(last)
				}
				last, chosen = p, choice
			}
			if last != nil {
				chosen.runPart(last)
			}
		}
	}
}

// endsInLanes reports whether all phases of BackwardData take the algorithm that adds a bias to
// whole sums, as a second pass would: fused or not, a bias must give the same bits.
func endsInLanes[T Float](g Conv) bool {
	for ph := range min(g.Rows.Stride, g.H) {
		rows := g.rowPhase(ph)
		for pw := range min(g.Cols.Stride, g.W) {
			cols := g.colPhase(pw)
			if len(rows.taps) > 0 && len(cols.taps) > 0 && newBackward[T](g, rows, cols).choose().name != "lanes" {
				return false
			}
		}
	}
	return true
}

// newBackward is the correlation of one group and phase, without its operands.
func newBackward[T Float](g Conv, rows, cols phase) *correlation[T] {
	c := g.C / g.Groups
	return &correlation[T]{
		n: g.N, planes: g.K / g.Groups, m: c, winograd: g.Winograd,
		srcImage: g.K * g.P * g.Q, h: g.P, w: g.Q,
		top: rows.margin, left: cols.margin, hp: rows.padded, wp: cols.padded,
		outH: rows.outputs, outW: cols.outputs, stepH: 1, stepW: 1,
		dstImage: g.C * g.H * g.W, dstPlane: g.H * g.W,
		dstRow: g.Rows.Stride * g.W, dstCol: g.Cols.Stride,
		rows: rows.taps, cols: cols.taps,
		wm: g.R * g.S, wPlane: c * g.R * g.S, wRow: g.S,
	}
}

// A phase is one axis of a phase of BackwardData: its taps, the padding before the delta, the
// delta's length with padding, and how many elements of dx there are.
type phase struct {
	taps                    []tap
	margin, padded, outputs int
}

// behind is how far the phase reads, counted from the first element of the delta.
func (p phase) behind() int { return p.padded - p.margin }

func (g Conv) rowPhase(i int) phase {
	taps, margin, padded := g.phase(g.Rows, i, g.H, g.R)
	return phase{taps, margin, padded, (g.H-i-1)/g.Rows.Stride + 1}
}

func (g Conv) colPhase(i int) phase {
	taps, margin, padded := g.phase(g.Cols, i, g.W, g.S)
	return phase{taps, margin, padded, (g.W-i-1)/g.Cols.Stride + 1}
}

// gaps reports whether some phase of an axis of n elements meets no tap.
func (g Conv) gaps(w Window, n, size int) bool {
	for ph := range min(w.Stride, n) {
		if taps, _, _ := g.phase(w, ph, n, size); len(taps) == 0 {
			return true
		}
	}
	return false
}

// phase lists the taps that the elements ph, ph+Stride, … of an axis of n elements meet, with the
// position in the padded delta of the first element's; margin is the padding before the delta and
// padded its length.
func (g Conv) phase(w Window, ph, n, size int) (taps []tap, margin, padded int) {
	last := (n - ph - 1) / w.Stride
	for r := range size {
		if d := ph + w.Before - r*w.Dilation; d%w.Stride == 0 {
			d /= w.Stride
			// Taps that no element of the phase meets are left out: they could ask for any padding.
			if d+last < 0 || d >= w.Out {
				continue
			}
			taps = append(taps, tap{g.element(r, size), d})
		}
	}
	for _, t := range taps {
		margin = max(margin, -t.at)
	}
	for i := range taps {
		taps[i].at += margin
		padded = max(padded, taps[i].at+last+1)
	}
	return taps, margin, padded
}

// element is the filter's row or column, of size, that lies over tap r.
func (g Conv) element(r, size int) int {
	if g.Flip {
		return size - 1 - r
	}
	return r
}

// outlandish reports whether an image of all channels with its padding is too large to be copied,
// in proportion to the image. At that size the reference is as good as any.
func (g Conv) outlandish() bool {
	const much = 1 << 24
	hp, wp := g.Rows.Read(), g.Cols.Read()
	return hp > much || wp > much || hp*wp > much/g.C && hp*wp > 8*g.H*g.W
}

// A tap is a row or column of the filters and the position in the padded image of what the first
// output's meets.
type tap struct{ element, at int }

// A correlation is dst[n,m,i,j] = Σ_c Σ_r Σ_s weights[m,c,r,s]·src[n, c, i·stepH + row_r, j·stepW +
// col_s], src being zero outside its borders: what forward passes and the phases of backward passes
// are.
//
// It is a product of matrices, weights of m rows by a matrix that is never made: its columns, one
// for each output, are gathered panel by panel out of an image with its padding, where the elements
// of a column lie at fixed distances from the first.
type correlation[T Float] struct {
	n, planes, m   int
	src            []T
	srcImage, h, w int // distance of images; sides of a plane
	top, left      int // padding before; hp and wp are the sides with padding, of what is read
	hp, wp         int
	outH, outW     int
	stepH, stepW   int
	dst            []T
	dstImage       int
	dstPlane       int
	dstRow, dstCol int
	rows, cols     []tap
	weights        []T // weights[m·wm + c·wPlane + row·wRow + col]
	wm             int
	wPlane, wRow   int
	bias           []T
	relu, six      bool
	winograd       bool // permitted
	// The source or dst has its channels last. Distances above are those of planes all the same.
	srcLast, dstLast bool
	held             *Held[T]
	group            int // whose filters these are

	moments *imageMoments[T] // what is told of outputs that are in their places, or nil

	tile    int // of Winograd's algorithm
	kern    simd.TileShape
	depth   int   // products of a sum: planes·rows·cols
	offsets []int // of each in an image as it is read
	direct  bool  // rows' taps come first in offsets and packed, then planes
	packed  []T

	// What is read are pixels, pixel apart, of rows pitch apart of planes plane apart of images
	// image apart: the padded copy's or, where asIs is set, the source's own.
	asIs                       bool
	pixel, pitch, plane, image int
}

// depthBlock is how many products of a sum are made at a time: a panel of so many stays in the
// second-level cache.
const depthBlock = 256

// small reports whether the products are some microseconds of work.
func (p *correlation[T]) small() bool { return p.n*p.m*p.outH*p.outW*p.depth < 1<<16 }

// runTiles makes tiles of outputs of panels that are gathered or, where direct is set, of rows that
// are read where they lie.
func (p *correlation[T]) runTiles() {
	p.kern = simd.NewTileShape[T]()
	// Where vectors fill rows, none of them reaches beyond the source.
	defer p.measure(p.direct && p.stepW == 1 && p.outW%p.kern.Vector == 0).free()
	mr, nr := p.kern.MR, p.kern.NR
	mPanels := (p.m + mr - 1) / mr
	s := takeForCall[T](1)
	defer s.free()
	small := p.small()
	if p.direct {
		p.packDirect(s)
	} else if packed, done := p.find("panels", s, 0, mPanels*mr*p.depth); done != nil {
		p.packed = packed
		workers.Each(small, mPanels, 1, p.packWeights)
		done()
	} else {
		p.packed = packed
	}

	// Several small images make one block of columns; a large one is cut into parts, at multiples
	// of whole panels.
	pixels := p.outH * p.outW
	together := min(p.n, max(1, 4*nr/pixels))
	if p.direct {
		together = max(together, min(1024/pixels, (p.n+15)/16))
	}
	blocks := (p.n + together - 1) / together
	parts := 1
	if blocks < 16 {
		parts = min((16+blocks-1)/blocks, max(1, (together*pixels+2*nr-1)/(2*nr)), together*p.outH)
	}
	workers.Each(small, blocks*parts, 1, func(t int) {
		first := t / parts * together
		if p.direct {
			p.directBlock(first, min(together, p.n-first), t%parts, parts)
			return
		}
		p.block(first, min(together, p.n-first), t%parts, parts)
	})
}

// frame is the padding of the source.
func (p *correlation[T]) frame() frame {
	if p.srcLast { // rows of pixels are rows of one plane
		return frame{1, p.h, p.w * p.planes, p.top, p.left * p.planes, p.hp, p.wp * p.planes}
	}
	return frame{p.planes, p.h, p.w, p.top, p.left, p.hp, p.wp}
}

// measure works out the distances of what a sum meets, in a table that the caller frees. asIs
// permits that the source is read where it lies, if no tap meets padding.
func (p *correlation[T]) measure(asIs bool) *intTable {
	p.asIs = asIs && p.top == 0 && p.left == 0 && p.hp <= p.h && p.wp <= p.w
	if p.pitch, p.plane, p.image = p.wp, p.hp*p.wp, p.frame().size(); p.asIs {
		p.pitch, p.plane, p.image = p.w, p.h*p.w, p.srcImage
	}
	if p.pixel = 1; p.srcLast {
		p.pixel, p.pitch, p.plane = p.planes, p.pitch*p.planes, 1
	}
	table := takeInts(p.depth)
	p.offsets = table.ints[:0]
	add := func(c int, r tap) {
		for _, q := range p.cols {
			p.offsets = append(p.offsets, c*p.plane+r.at*p.pitch+q.at*p.pixel)
		}
	}
	if p.direct {
		for _, r := range p.rows {
			for c := range p.planes {
				add(c, r)
			}
		}
		return table
	}
	for c := range p.planes {
		for _, r := range p.rows {
			add(c, r)
		}
	}
	return table
}

// reach is how many padded rows the taps of a row of outputs span.
func (p *correlation[T]) reach() int {
	n := 0
	for _, r := range p.rows {
		n = max(n, r.at+1)
	}
	return n
}

// input is the images from first on as they are read for the outputs lo to hi−1, counted through
// them: where they lie, or padded in buffer i.
func (p *correlation[T]) input(s *scratch[T], i, first, lo, hi int) []T {
	x := p.src[first*p.srcImage:]
	if p.asIs {
		return x
	}
	pixels := p.outH * p.outW
	images := (hi-1)/pixels + 1
	padded := s.slice(i, images*p.image+simd.Slack)
	for n := lo / pixels; n < images; n++ {
		// The rows that the outputs meet.
		from, to := max(lo-n*pixels, 0)/p.outW, (min(hi-n*pixels, pixels)-1)/p.outW
		pad(p.frame(), padded[n*p.image:], x[n*p.srcImage:], from*p.stepH, to*p.stepH+p.reach())
	}
	return padded
}

// packWeights packs panel i, in blocks of depth.
func (p *correlation[T]) packWeights(i int) {
	mr := p.kern.MR
	mPanels := (p.m + mr - 1) / mr
	plain := len(p.cols) == p.wRow && len(p.rows)*len(p.cols) == p.wPlane
	for k, q := range p.cols {
		plain = plain && q.element == k
	}
	for k, r := range p.rows {
		plain = plain && r.element == k
	}
	for k0 := 0; k0 < p.depth; k0 += depthBlock {
		kb := min(depthBlock, p.depth-k0)
		dst := p.packed[k0*mPanels*mr+i*mr*kb:][:mr*kb]
		if plain { // rows of a matrix
			packPanel(dst, p.weights, p.wm, i*mr, min(mr, p.m-i*mr), mr, k0, kb, true, 1)
			continue
		}
		area := len(p.rows) * len(p.cols)
		for j := range mr {
			if i*mr+j >= p.m {
				for l := j; l < len(dst); l += mr {
					dst[l] = 0
				}
				continue
			}
			w := p.weights[(i*mr+j)*p.wm:]
			c, r, q := k0/area, k0%area/len(p.cols), k0%len(p.cols)
			for l := j; l < len(dst); l += mr {
				dst[l] = w[c*p.wPlane+p.rows[r].element*p.wRow+p.cols[q].element]
				if q++; q == len(p.cols) {
					q = 0
					if r++; r == len(p.rows) {
						r, c = 0, c+1
					}
				}
			}
		}
	}
}

// block does part of the columns of a block of images.
func (p *correlation[T]) block(first, count, part, parts int) {
	mr, nr := p.kern.MR, p.kern.NR
	mPanels := (p.m + mr - 1) / mr
	pixels := p.outH * p.outW
	total := count * pixels
	panels := (total + nr - 1) / nr
	s := takeScratch[T](3)
	defer s.free()
	image := p.planes * p.hp * p.wp
	panel := s.slice(1, depthBlock*nr+simd.Slack)
	edge := s.slice(2, mPanels*mr*nr)
	if panels*part/parts == panels*(part+1)/parts {
		return
	}
	padded := p.input(s, 0, first, panels*part/parts*nr, min(total, panels*(part+1)/parts*nr))
	contiguous := p.dstCol == 1 && p.dstRow == p.outW
	var buf [2 * simd.MaxColumns]simd.Segment
	for j := panels * part / parts; j < panels*(part+1)/parts; j++ {
		col := j * nr
		cols := min(nr, total-col)
		width := p.kern.Width(cols)
		segs := p.segments(buf[:0], col, cols, image)
		direct := contiguous && cols == width && col/pixels == (col+cols-1)/pixels
		at := (first+col/pixels)*p.dstImage + col%pixels
		for k0 := 0; k0 < p.depth; k0 += depthBlock {
			kb := min(depthBlock, p.depth-k0)
			simd.Gather(panel, width, cols, padded, p.offsets[k0:][:kb], segs, p.stepW)
			for i := range mPanels {
				a := p.packed[k0*mPanels*mr+i*mr*kb:][:mr*kb]
				if direct && (i+1)*mr <= p.m {
					simd.Tile(p.kern, kb, width, a, panel, p.dst[at+i*mr*p.dstPlane:], p.dstPlane, k0 > 0)
				} else {
					simd.Tile(p.kern, kb, width, a, panel, edge[i*mr*nr:], width, k0 > 0)
				}
			}
		}
		done := 0 // rows that are in place
		if direct {
			done = p.m / mr * mr
			if p.bias != nil || p.relu {
				for m := range done {
					row := p.dst[at+m*p.dstPlane:][:cols]
					p.addBias(row, m)
				}
			}
		}
		for m := done; m < p.m; m++ {
			row := edge[m/mr*mr*nr+m%mr*width:][:cols]
			if p.bias != nil || p.relu {
				p.addBias(row, m)
			}
			p.scatter(row, first, col, m)
		}
	}
}

// addBias ends a row of sums of filter m.
func (p *correlation[T]) addBias(row []T, m int) {
	var b T
	if p.bias != nil {
		b = p.bias[m]
	}
	simd.AddBias(row, row, b, p.relu)
	if p.six {
		upToSix(row)
	}
}

// scatter stores the columns col, col+1, … of row m where they belong.
func (p *correlation[T]) scatter(row []T, first, col, m int) {
	pixels := p.outH * p.outW
	for len(row) > 0 {
		n, at := col/pixels, col%pixels
		i, j := at/p.outW, at%p.outW
		run := min(len(row), p.outW-j)
		dst := p.dst[(first+n)*p.dstImage+m*p.dstPlane+i*p.dstRow+j*p.dstCol:]
		switch {
		case p.dstCol == 1:
			copy(dst[:run], row)
		case p.dstCol == 2 && simd.Spread2(dst, row[:run]):
		default:
			d := 0
			for _, v := range row[:run] {
				dst[d] = v
				d += p.dstCol
			}
		}
		row, col = row[run:], col+run
	}
}

// segments lists the runs of the columns col to col+cols−1 of a block of images, each cut to a
// vector where the tier has them.
func (p *correlation[T]) segments(segs []simd.Segment, col, cols, image int) []simd.Segment {
	pixels := p.outH * p.outW
	for c := 0; c < cols; {
		n, at := (col+c)/pixels, (col+c)%pixels
		i, j := at/p.outW, at%p.outW
		run := min(cols-c, p.outW-j)
		src := n*image + i*p.stepH*p.wp + j*p.stepW
		for d := 0; d < run; d += p.kern.Vector {
			segs = append(segs, simd.Segment{Src: src + d*p.stepW, Dst: c + d})
		}
		c += run
	}
	return segs
}

// BackwardBias is db[k] = Σ_n Σ_p Σ_q dy[n,k,p,q]: planes are summed alone, then over the batch in
// order.
func BackwardBias[T Float](g Conv, db, dy []T) {
	plane := g.P * g.Q
	workers.Spans(g.K, max(1, workers.Chunk/(g.N*plane)), func(lo, hi int) {
		for k := lo; k < hi; k++ {
			var total T
			for n := range g.N {
				total += simd.Sum(dy[(n*g.K+k)*plane:][:plane])
			}
			db[k] = total
		}
	})
}
