package kernel

import (
	"math"
	"unsafe"

	"github.com/convgrad/convgrad/internal/simd"
	"github.com/convgrad/convgrad/internal/workers"
)

// Winograd's algorithm makes a tile of m×m outputs of a 3×3 filter from (m+2)×(m+2) products
// instead of 9·m²: y = Aᵀ[(G·w·Gᵀ) ⊙ (Bᵀ·x·B)]A (Lavin and Gray, 2016). The sum over the
// channels is made between the transformations, as one matrix product for each element of the tile.
// Lanes are channels, then filters.

// WinogradBound returns bounds e of the error of Winograd's algorithm in elements of Forward's y
// and of BackwardData's dx: |error| ≤ e · max|x| · max|w|, plus what |b| adds, and dy for x going
// back. unit is the unit roundoff, 2⁻²⁴ or 2⁻⁵³. Where the algorithm is not used they still hold.
//
// The bounds hold where nothing underflows. The transformed input may be 100·max|x|, and
// intermediate sums may exceed their result; but where one of them could overflow, and where an
// operand is not finite, the direct sum is made instead (see calm).
//
// The bound follows the sums. One axis of the tile of m outputs multiplies magnitudes by at most
// max_i Σ_j |Aᵀ|_ij · Σ|G|_j · Σ|Bᵀ|_j, which is 48 for m = 4 and 9 for m = 2; both axes by its
// square; and the products are summed over the channels. A term is rounded on its way at most 4
// times an axis by G, 3 by Bᵀ and 5 by Aᵀ, which makes 24, once for its product and for each sum
// over the channels, and for the bias: n = channels + blocks + 26 roundings in all, and γ_n =
// n·unit/(1 − n·unit) (Higham, 2002, §3.1).
//
// The third bound is that of BackwardFilter's dw, in max|x| · max|dy|. Its sums go over the tiles
// of all images, and an axis multiplies magnitudes by at most max_i Σ_a |G|_ai · Σ|A|_a · Σ|Bᵀ|_a,
// which is 53⅓ for m = 4 and 6 for m = 2. A term is rounded at most 4 times an axis by A, 3 by Bᵀ
// and 5 by Gᵀ, once for its product and for each sum.
func WinogradBound(g Conv, unit float64) (forward, backwardData, backwardFilter float64) {
	const amplification = 48 * 48
	bound := func(channels int) float64 {
		n := float64(channels+channels/laneDepth+1+26) * unit
		return n / (1 - n) * amplification * float64(channels)
	}
	sum := func(m int, amplification float64) float64 {
		tiles := float64(g.N * ((g.P + m - 1) / m) * ((g.Q + m - 1) / m))
		n := (2*tiles + 26) * unit // as many rounds and slices as tiles, at most
		return n / (1 - n) * amplification * tiles
	}
	return bound(g.C / g.Groups), bound(g.K / g.Groups), max(sum(4, 160*160/9.), sum(2, 6*6))
}

// winogradTile is the side of the tiles, 4 or 2, that Winograd's algorithm would make of this
// correlation, or 0 where it cannot, and whether it pays.
func (p *correlation[T]) winogradTile() (side int, pays bool) {
	s := simd.NewLaneShape[T]()
	if !p.winograd || s.Vectors == 0 || p.planes < s.Lanes || p.m < s.Lanes || len(p.rows) != 3 || len(p.cols) != 3 || p.stepH != 1 || p.stepW != 1 || p.dstCol != 1 || p.dstRow != p.outW {
		return 0, false
	}
	for _, taps := range [][]tap{p.rows, p.cols} {
		step := taps[1].at - taps[0].at
		if step*step != 1 || taps[2].at-taps[1].at != step || min(taps[0].at, taps[2].at) != 0 {
			return 0, false
		}
	}
	// Products for a channel and filter. To fetch and transform an element's weight takes as long
	// as some products more, of which direct sums have one for each tap.
	const weight = 16
	products := func(m int) int {
		down, across := (p.outH+m-1)/m, (p.outW+m-1)/m
		return (m + 2) * (m + 2) * (p.n*down*across + weight)
	}
	best, two, direct := products(4), products(2), 9*(p.n*p.outH*p.outW+weight)
	if side = 4; two < best {
		// Images are small, so that weights are many: they come from farther away.
		side, best = 2, two+2*16*weight
	}
	// the transformations of the images cost something, too
	return side, best*10 <= 8*direct
}

// A winogradPlan is a correlation by Winograd's algorithm.
type winogradPlan[T Float] struct {
	*correlation[T]
	m, side      int // outputs of a tile and elements, m + 2
	shape        simd.LaneShape
	blocks       []laneBlock
	down, across int // tiles of an image
	channels     int // filled up to whole vectors
	// weights: for each element of the tile and block of filters, channels by filters
	transformed    []T
	filled         int
	bias           []T
	at, step       []int // distances of a tile's channels and of neighbouring channels
	rows           int   // rows of tiles in a task
	tiles          int   // in a task
	stripH, stripW int   // padded input of a row of tiles
}

// calm reports whether nothing in Winograd's algorithm can overflow where the direct sum might not:
// no transformed operand and no sum exceeds half the largest float. An operand that is not finite
// is not calm. The largest magnitudes decide, which no number of threads changes.
func (p *correlation[T]) calm() bool {
	largest := math.MaxFloat64 / 2
	if unsafe.Sizeof(T(0)) == 4 {
		largest = math.MaxFloat32 / 2
	}
	s := takeScratch[T](1)
	defer s.free()
	tops := s.slice(0, p.n)
	workers.Spans(p.n, max(1, workers.Chunk/(p.planes*p.h*p.w)), func(lo, hi int) {
		for i := lo; i < hi; i++ {
			tops[i] = simd.MaxAbs(p.src[i*p.srcImage:][:p.planes*p.h*p.w])
		}
	})
	x, w := float64(simd.MaxAbs(tops)), float64(simd.MaxAbs(p.weights[:min(len(p.weights), (p.m-1)*p.wm+(p.planes-1)*p.wPlane+9)]))
	b := 0.0
	if p.bias != nil {
		b = float64(simd.MaxAbs(p.bias))
	}
	const amplification = 48 * 48 // as in WinogradBound: a bound of the sums of magnitudes
	return 100*x <= largest && 4*w <= largest && amplification*float64(p.planes)*x*w+b <= largest
}

// runWinograd is run by Winograd's algorithm with tiles of p.tile×p.tile.
func (p *correlation[T]) runWinograd() {
	if !p.calm() {
		direct := *p
		direct.winograd = false
		direct.choose().runPart(&direct)
		return
	}
	m := p.tile
	// Filters' elements in their natural order; which way the taps run is left to the
	// transformation.
	q := *p
	q.depth = 9 * p.planes
	q.rows, q.cols = ascending(p.rows), ascending(p.cols)
	w := winogradPlan[T]{correlation: &q, m: m, side: m + 2, shape: simd.NewLaneShape[T]()}
	w.blocks = laneBlocks(w.shape, p.m)
	w.down, w.across = (p.outH+m-1)/m, (p.outW+m-1)/m
	w.stripH, w.stripW = m+2, m*w.across+2
	w.channels = (p.planes + w.shape.Lanes - 1) / w.shape.Lanes * w.shape.Lanes
	w.filled = w.blocks[len(w.blocks)-1].first + w.blocks[len(w.blocks)-1].width
	area := w.side * w.side

	s := takeForCall[T](3)
	defer s.free()
	if p.bias != nil {
		w.bias = s.slice(2, w.filled)
		clear(w.bias[copy(w.bias, p.bias):])
	}
	var done func()
	if w.transformed, done = p.find("winograd", s, 1, w.filled*area*p.planes); done != nil {
		q.packed = s.slice(0, w.filled*9*p.planes)
		planes := max(1, (1<<13)/(9*w.shape.Vectors*w.shape.Lanes))
		pieces := (p.planes + planes - 1) / planes
		workers.Each(false, len(w.blocks)*pieces, 1, func(t int) {
			c := t % pieces * planes
			w.weights(w.blocks[t/pieces], c, min(p.planes, c+planes))
		})
		done()
	}

	total := p.n * w.down
	w.rows = w.taskRows(total)
	w.tiles = w.rows * w.across
	table := takeInts(w.tiles + simd.MaxPixels + p.planes)
	defer table.free()
	w.at, w.step = table.ints[:w.tiles+simd.MaxPixels], table.ints[w.tiles+simd.MaxPixels:]
	for i := range w.at {
		w.at[i] = min(i, w.tiles-1) * w.channels
	}
	for i := range w.step {
		w.step[i] = i
	}
	workers.Run((total+w.rows-1)/w.rows, func(t, _ int) { w.task(t*w.rows, min(total, (t+1)*w.rows)) })
}

// heavy reports whether the weights are too many for the second-level cache.
func (w *winogradPlan[T]) heavy() bool { return w.side*w.side*w.filled*w.planes > 1<<20 }

// taskRows is how many rows of tiles a task takes, of so many. No tile's sums depend on it.
func (w *winogradPlan[T]) taskRows(total int) int {
	area := w.side * w.side
	tasks := 1
	if n := workers.Threads(); n > 1 {
		tasks = 4 * n
	}
	// A task's transformed input stays in the second-level cache.
	tiles := max(12, min(48, (1<<17)/(area*w.channels)))
	if w.heavy() {
		// Each task reads all weights, from farther away than that: it should make more of them.
		tiles, tasks = 64, (tasks+1)/2
	}
	most := max(1, min(tiles/w.across, (total+tasks-1)/tasks))
	// Of the upper half, what fills the micro-kernel's tiles best.
	best := most
	mr := w.shape.Pixels(w.blocks[0].width)
	waste := func(rows int) float64 {
		n := rows * w.across
		return float64((n+mr-1)/mr*mr) / float64(n)
	}
	for rows := best - 1; rows > most/2; rows-- {
		if waste(rows) < waste(best) {
			best = rows
		}
	}
	return best
}

// ascending is the taps of a 3-tap axis in the order of the filter's elements.
func ascending(taps []tap) []tap {
	if taps[0].element == 0 {
		return taps
	}
	return []tap{taps[2], taps[1], taps[0]}
}

// weights transforms the weights of planes c0 to c1−1 for a block of filters.
func (w *winogradPlan[T]) weights(b laneBlock, c0, c1 int) {
	w.packLanes(b, c0, c1)
	s := takeScratch[T](1)
	defer s.free()
	tmp := s.slice(0, (w.side*w.side+1)*w.shape.Lanes)
	// Position (0, 0) of the correlation is the filter's first element or its last, on each axis.
	origin, row, col := 0, 3*b.width, b.width
	if w.correlation.rows[0].at != 0 {
		origin, row = origin+2*row, -row
	}
	if w.cols[0].at != 0 {
		origin, col = origin+2*col, -col
	}
	step := w.filled * w.planes
	for c := c0; c < c1; c++ {
		src, dst := w.packed[b.first*9*w.planes+c*9*b.width:][:9*b.width], w.transformed[b.first*w.planes+c*b.width:]
		simd.WinogradWeights(w.m, b.width/w.shape.Lanes, src, origin, row, col, dst, w.side*step, step, tmp)
	}
}

// task makes the rows lo to hi−1 of tiles, counted through all images.
func (w *winogradPlan[T]) task(lo, hi int) {
	area, lanes := w.side*w.side, w.shape.Lanes
	s := takeScratch[T](6)
	defer s.free()
	strip := s.slice(0, w.stripH*w.w*w.channels)
	turned := s.slice(1, w.stripH*w.stripW*w.channels)
	element := oddLines[T](w.tiles * w.channels)
	input := s.slice(2, area*element)
	tmp := s.slice(3, (area+1)*lanes)
	for g := lo; g < hi; g++ {
		w.strip(turned, strip, g)
		for j := range w.across {
			simd.WinogradInput(w.m, w.channels/lanes, turned[w.m*j*w.channels:], w.stripW*w.channels, w.channels,
				input[((g-lo)*w.across+j)*w.channels:], w.side*element, element, tmp)
		}
	}
	tiles := (hi - lo) * w.across
	wide := w.shape.Vectors * lanes
	// of which whole micro-kernel's tiles are used
	products := s.slice(4, area*oddLines[T]((w.tiles+simd.MaxPixels)*wide))
	out := s.slice(5, ((w.m-1)*w.outW+w.m*w.across)*wide)
	for k, b := range w.blocks {
		mr := w.shape.Pixels(b.width)
		all := (tiles + mr - 1) / mr // micro-kernel's tiles
		step := oddLines[T](all * mr * b.width)
		// While they compute, the micro-kernels ask for what comes next: the element's weights
		// after these, or the lines of the images that are read and written next.
		ahead := w.ahead(lo, hi, k)
		for e := range area {
			from := input[e*element:][:w.tiles*w.channels]
			weights := w.transformed[(e*w.filled+b.first)*w.planes:]
			for k0 := 0; k0 < w.planes; k0 += laneDepth {
				kb := min(laneDepth, w.planes-k0)
				batch := laneBatch(kb)
				for i := 0; i < all; i += batch {
					n := min(batch, all-i)
					end := ahead.next(weights[k0*b.width:], i, n, kb)
					simd.LaneTile(w.shape, b.width, n, from, w.at[i*mr:], w.step[k0:][:kb], weights[k0*b.width:][:kb*b.width], products[e*step+i*mr*b.width:], b.width, k0 > 0, &end)
				}
			}
		}
		var bias []T
		if w.bias != nil {
			bias = w.bias[b.first:][:b.width]
		}
		line := w.outW * b.width
		for g := lo; g < hi; g++ {
			// From the last tile to the first: what one writes behind its row's end, the first of
			// the next row writes over.
			for j := w.across - 1; j >= 0; j-- {
				simd.WinogradOutput(w.m, b.width/lanes, products[((g-lo)*w.across+j)*b.width:], w.side*step, step,
					out[j*w.m*b.width:], line, b.width, tmp, bias, w.relu)
			}
			n, row := g/w.down, g%w.down*w.m
			rows := min(w.m, w.outH-row)
			if w.six {
				upToSix(out[:rows*line])
			}
			if w.dstLast {
				for i := range rows * w.outW {
					copy(w.dst[w.lastPlace(n, b.first, row*w.outW+i):][:b.have], out[i*b.width:])
				}
				continue
			}
			simd.Transpose(w.dst[n*w.dstImage+b.first*w.dstPlane+row*w.outW:], w.dstPlane, out, b.width, rows*w.outW, b.have)
		}
	}
	for g := lo; g < hi; g++ {
		w.moments.wrote(g/w.down, min(w.m, w.outH-g%w.down*w.m)*w.outW)
	}
}

// oddLines is n elements or a few more, an odd number of cache lines: what lies so far apart is
// spread over all sets of a cache.
func oddLines[T Float](n int) int {
	l := simd.Line[T]()
	return ((n+l-1)/l | 1) * l
}

// strip makes the input of row g of tiles, with its padding, channels beside each other: rows that
// follow each other are transposed together, then put into the padding.
func (w *winogradPlan[T]) strip(dst, tmp []T, g int) {
	n, first := g/w.down, g%w.down*w.m-w.top // first is the image's row at the strip's
	lo, hi := max(0, first), min(w.h, first+w.stripH)
	cols := min(w.w, w.stripW-w.left)
	line := w.stripW * w.channels
	if lo >= hi || cols <= 0 {
		clear(dst)
		return
	}
	clear(dst[:(lo-first)*line])
	clear(dst[(hi-first)*line:])
	if !w.srcLast {
		simd.Transpose(tmp, w.channels, w.src[n*w.srcImage+lo*w.w:], w.h*w.w, w.planes, (hi-lo)*w.w)
	}
	for r := range hi - lo {
		row := dst[(lo+r-first)*line:][:line]
		clear(row[:w.left*w.channels])
		w.stripRow(row[w.left*w.channels:], tmp[r*w.w*w.channels:], n*w.srcImage+(lo+r)*w.w*w.planes, cols)
		clear(row[(w.left+cols)*w.channels:])
	}
}

// stripRow copies a row of so many pixels, from tmp or, where the source has its channels last,
// from there.
func (w *winogradPlan[T]) stripRow(dst, tmp []T, at, cols int) {
	switch {
	case !w.srcLast:
		copy(dst, tmp[:(cols-1)*w.channels+w.planes])
	case w.planes == w.channels:
		copy(dst, w.src[at:][:cols*w.planes])
	default:
		for j := range cols {
			copy(dst[j*w.channels:], w.src[at+j*w.planes:][:w.planes])
		}
	}
}

// A winogradAhead is what the micro-kernels of a task and a block of filters ask the caches for
// while they compute. Where the weights do not stay in the caches, it is the weights of the tile's
// next element. Otherwise each call takes a plane's lines or a part of them, first of the rows that
// the next task reads, then of those that this one writes.
type winogradAhead[T Float] struct {
	in, out           []T // the first line of the first plane
	inPlane, outPlane int
	inLines, outLines int // of a plane
	planes, filters   int
	plane, done       int // how far it is
	weights           int // distance of the next element's
	each              int // how many of their lines a call asks for; 0 for the images'
	most              int // of these
}

// ahead looks ahead from the task of rows lo to hi−1 at its k-th block of filters.
func (w *winogradPlan[T]) ahead(lo, hi, k int) (a winogradAhead[T]) {
	b, l := w.blocks[k], simd.Line[T]()
	calls := ((hi-lo)*w.across + w.shape.Pixels(b.width) - 1) / w.shape.Pixels(b.width)
	if w.heavy() {
		a.weights, a.each = w.filled*w.planes, (min(w.planes, laneDepth)*b.width/l+calls-1)/calls
		return a
	}
	if k == 0 && hi < w.n*w.down && !w.srcLast {
		n, row := hi/w.down, max(0, hi%w.down*w.m-w.top)
		a.in, a.inPlane, a.planes = w.src[n*w.srcImage+row*w.w:], w.h*w.w, w.planes
		a.inLines = (min(w.h-row, (hi-lo)*w.m)*w.w + l - 1) / l
	}
	if w.dstLast {
		return a
	}
	n, row := lo/w.down, lo%w.down*w.m
	a.out, a.outPlane, a.filters = w.dst[n*w.dstImage+b.first*w.dstPlane+row*w.outW:], w.dstPlane, b.have
	a.outLines = (min(w.outH-row, (hi-lo)*w.m)*w.outW + l - 1) / l
	a.most = (a.planes*a.inLines+a.filters*a.outLines)*5/(4*calls*w.side*w.side) + 1
	return a
}

// next is what a call for n micro-tiles from the i-th on, of these weights and sums of kb products,
// asks for.
func (a *winogradAhead[T]) next(weights []T, i, n, kb int) simd.LaneEnd[T] {
	end := simd.LaneEnd[T]{Step: simd.Line[T]()}
	if a.each > 0 {
		end.Touches, end.Next = a.each, a.each*end.Step
		end.Touch = weights[min(a.weights+i*end.Next, len(weights)):]
		return end
	}
	p, from, plane, lines := a.plane, a.in, a.inPlane, a.inLines
	if p >= a.planes {
		p, from, plane, lines = p-a.planes, a.out, a.outPlane, a.outLines
		if p >= a.filters {
			return end
		}
	}
	end.Touch = from[min(p*plane+a.done*end.Step, len(from)):]
	end.Touches = min(a.most, kb, (lines-a.done+n-1)/n)
	end.Next = end.Touches * end.Step
	if a.done += end.Touches * n; a.done >= lines {
		a.plane, a.done = a.plane+1, 0
	}
	return end
}
