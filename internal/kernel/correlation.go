package kernel

import (
	"github.com/convgrad/convgrad/internal/simd"
	"github.com/convgrad/convgrad/internal/workers"
)

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
