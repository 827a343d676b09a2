package kernel

import (
	"sync"

	"github.com/convgrad/convgrad/internal/simd"
	"github.com/convgrad/convgrad/internal/workers"
)

// Where a convolution has many filters, its micro-kernels have filters in their lanes: the weights
// are packed filter by filter beside each other, and each output's inputs are broadcast from the
// padded image, through a table of the taps' distances. No panel of inputs is ever put together. A
// tile of outputs comes out with its filters side by side and is transposed into place.

// placeStep is how many outputs are worth placing at a time.
const placeStep = 48

// laneBatch is how many tiles a call makes: some microseconds of work.
func laneBatch(kc int) int { return max(1, 2304/kc) }

const (
	// About so many outputs go through all filters while their tile, and the inputs that they read,
	// are in the second-level cache: the weights come to the first outputs of a chunk from farther
	// away. Where there are more than laneHeavy of these, from so far that chunks are twice as
	// long.
	laneChunk = 192
	laneHeavy = 1 << 18
	// laneDepth is how many products of a sum are made at a time, so that the filters' weights
	// stream from the second-level cache for the whole chunk.
	laneDepth = 576
)

// A laneBlock is a run of filters that one micro-kernel makes.
type laneBlock struct{ first, have, width int }

// laneBlocks cuts m filters into blocks of nearly equal widths.
func laneBlocks(s simd.LaneShape, m int) []laneBlock {
	vectors := (m + s.Lanes - 1) / s.Lanes
	blocks := (vectors + s.Vectors - 1) / s.Vectors
	list := make([]laneBlock, blocks)
	for i := range list {
		lo, hi := vectors*i/blocks*s.Lanes, vectors*(i+1)/blocks*s.Lanes
		list[i] = laneBlock{lo, min(hi, m) - lo, hi - lo}
	}
	return list
}

// runLanesPair runs p and q, the two column phases of a backward pass with stride 2, together.
// Their outputs alternate in dst. The tiles of both are interleaved line by line, so that the
// transposition stores whole rows, and the padded deltas are made once.
func runLanesPair[T Float](p, q *correlation[T]) {
	// One padding for both, wide enough for q to have as many columns as p, which may have one
	// more; what it computes there is not stored.
	left := max(p.left, q.left)
	wp := 0
	for _, c := range []*correlation[T]{p, q} {
		moved := make([]tap, len(c.cols))
		for i, t := range c.cols {
			moved[i] = tap{t.element, t.at + left - c.left}
			wp = max(wp, moved[i].at+p.outW)
		}
		c.cols, c.left = moved, left
	}
	p.wp, q.wp = wp, wp
	runWide(p, q)
}

// runWide is run for filters in lanes, of one correlation or of a pair.
func runWide[T Float](all ...*correlation[T]) {
	p := all[0]
	shape := simd.NewLaneShape[T]()
	blocks := laneBlocks(shape, p.m)
	filled := blocks[len(blocks)-1].first + blocks[len(blocks)-1].width
	s := takeForCall[T](4)
	defer s.free()
	weights := 0
	var cut []T
	if p.relu {
		limits := cutOf[T](true, p.six)
		cut = s.slice(3, len(limits))
		copy(cut, limits[:])
	}
	for _, c := range all {
		defer c.measure(true).free()
		weights += filled * c.depth
	}
	var bias []T
	if p.bias != nil {
		bias = s.slice(2, filled)
		clear(bias[copy(bias, p.bias):])
	}
	small := p.small()
	// Weights are packed in pieces, of some planes of a block of filters.
	for i, c := range all {
		var done func()
		if c.packed, done = c.find("lanes", s, i, filled*c.depth); done == nil {
			continue
		}
		area := len(c.rows) * len(c.cols)
		planes := max(1, (1<<13)/(area*shape.Vectors*shape.Lanes))
		pieces := (c.planes + planes - 1) / planes
		workers.Each(small, len(blocks)*pieces, 1, func(t int) {
			first := t % pieces * planes
			c.packLanes(blocks[t/pieces], first, min(c.planes, first+planes))
		})
		done()
	}

	// Tasks are some images, or parts of one. An output's sum does not depend on the task that
	// makes it, so that their number may follow the threads'.
	w := wideRun[T]{all: all, shape: shape, blocks: blocks, bias: bias, cut: cut, chunk: laneChunk / len(all)}
	if weights > laneHeavy {
		w.heavy = true
		w.chunk *= 2
	}
	pixels := p.outH * p.outW
	tasks := 1
	if n := workers.Threads(); n > 1 {
		tasks = 4 * n
	}
	together := max(1, min((w.chunk+pixels/2)/pixels, (p.n+tasks-1)/tasks))
	groups := (p.n + together - 1) / together
	parts := max(1, min((tasks+groups-1)/groups, together*pixels/(4*simd.LaneStep)))
	table := takeInts(together * pixels)
	defer table.free()
	w.at = table.ints[:0]
	for n := range together {
		for i := range p.outH {
			for j := range p.outW {
				w.at = append(w.at, n*p.image+i*p.stepH*p.pitch+j*p.stepW*p.pixel)
			}
		}
	}
	// Where there are too few outputs for all threads, filters are shared out too, unless somebody
	// counts the outputs that have all of theirs.
	shares := 1
	if n := workers.Threads(); groups*parts < n && p.moments == nil {
		shares = min(len(blocks), 2*n)
	}
	workers.Each(small, groups*parts*shares, 1, func(t int) {
		share := t % shares
		t /= shares
		first := t / parts * together
		total := min(together, p.n-first) * pixels
		part := t % parts
		lo, hi := total*part/parts/simd.LaneStep*simd.LaneStep, total
		if part+1 < parts {
			hi = total * (part + 1) / parts / simd.LaneStep * simd.LaneStep
		}
		if lo < hi {
			w.run(first, lo, hi, blocks[len(blocks)*share/shares:len(blocks)*(share+1)/shares])
		}
	})
}

// packLanes packs the weights of planes c0 to c1−1 for one block of filters: the filters of a tap
// beside each other, tap after tap.
func (p *correlation[T]) packLanes(b laneBlock, c0, c1 int) {
	area := len(p.rows) * len(p.cols)
	dst := p.packed[b.first*p.depth:][:b.width*p.depth]
	natural := len(p.cols) == p.wRow && area == len(p.rows)*p.wRow
	for k, q := range p.cols {
		natural = natural && q.element == k
	}
	for k, r := range p.rows {
		natural = natural && r.element == k
	}
	if natural && area == p.wPlane {
		packPanel(dst[c0*area*b.width:], p.weights, p.wm, b.first, b.have, b.width, c0*area, (c1-c0)*area, true, 1)
		return
	}
	if area == 1 && p.wm == 1 { // the transposed matrix of a 1×1 filter going back
		packPanel(dst[c0*b.width:], p.weights[p.rows[0].element*p.wRow+p.cols[0].element:], p.wPlane, b.first, b.have, b.width, c0, c1-c0, false, 1)
		return
	}
	if natural {
		for c := c0; c < c1; c++ {
			packPanel(dst[c*area*b.width:][:area*b.width], p.weights[c*p.wPlane:], p.wm, b.first, b.have, b.width, 0, area, true, 1)
		}
		return
	}
	// Some of the taps, or in another order: from a panel of all.
	rows := 0
	for _, r := range p.rows {
		rows = max(rows, r.element+1)
	}
	s := takeScratch[T](1)
	defer s.free()
	panel := s.slice(0, rows*p.wRow*b.width)
	for c := c0; c < c1; c++ {
		packPanel(panel, p.weights[c*p.wPlane:], p.wm, b.first, b.have, b.width, 0, rows*p.wRow, true, 1)
		to := dst[c*area*b.width:][:area*b.width]
		for _, r := range p.rows {
			for _, q := range p.cols {
				copy(to[:b.width], panel[(r.element*p.wRow+q.element)*b.width:])
				to = to[b.width:]
			}
		}
	}
}

// A wideRun is what the tasks of runWide share.
type wideRun[T Float] struct {
	all    []*correlation[T]
	shape  simd.LaneShape
	blocks []laneBlock
	bias   []T
	cut    []T // the least and the greatest output, or nil
	chunk  int
	heavy  bool  // the weights do not stay in the second-level cache
	at     []int // distances of a task's outputs in its images
}

// A wideTask is one task's part of a wideRun: the outputs of the images from first on.
type wideTask[T Float] struct {
	*wideRun[T]
	first int
	x     []T       // the images, as they are read
	tile  []T       // of a chunk of outputs, whose phases alternate, by a block's filters
	rows  []T       // the tile transposed, where it cannot be straight into its place
	chunk int       // outputs of a chunk
	last  *intTable // what a micro-kernel reads when a chunk has fewer outputs left than it makes
}

// run makes the outputs lo to hi−1, counted through the images from first on, of some blocks of
// filters.
func (w *wideRun[T]) run(first, lo, hi int, blocks []laneBlock) {
	p, phases := w.all[0], len(w.all)
	chunks := max(1, (hi-lo+w.chunk/2)/w.chunk)
	s := takeScratch[T](3)
	defer s.free()
	t := wideTask[T]{wideRun: w, first: first, x: p.input(s, 0, first, lo, hi), last: takeInts(simd.MaxPixels)}
	defer t.last.free()
	t.chunk = ((hi-lo+chunks-1)/chunks + simd.LaneStep - 1) / simd.LaneStep * simd.LaneStep
	widest := w.shape.Vectors * w.shape.Lanes
	t.tile = s.slice(1, phases*(t.chunk+simd.MaxPixels)*widest)
	if p.dstCol != 1 || p.dstRow != p.outW {
		t.rows = s.slice(2, t.chunk*widest)
	}
	for col := lo; col < hi; col += t.chunk {
		cols := min(t.chunk, hi-col)
		for _, b := range blocks {
			// Where outputs are too few for the last micro-kernel, the last one stands for the
			// others.
			whole := cols / w.shape.Pixels(b.width) * w.shape.Pixels(b.width)
			for i := range t.last.ints {
				t.last.ints[i] = w.at[min(col+whole+i, col+cols-1)]
			}
			for phase, c := range w.all {
				for k0 := 0; k0 < c.depth; k0 += laneDepth {
					t.sum(b, phase, k0, col, cols)
				}
			}
		}
	}
	for pixels := p.outH * p.outW; p.moments != nil && lo < hi; {
		n := lo / pixels
		next := min(hi, (n+1)*pixels)
		p.moments.wrote(first+n, next-lo)
		lo = next
	}
}

// sum adds the products from k0 on to the sums of the outputs col to col+cols−1 of a phase and a
// block of filters; after the last products of the last phase the outputs go to their places.
func (t *wideTask[T]) sum(b laneBlock, phase, k0, col, cols int) {
	p, c := t.all[0], t.all[phase] // whose outputs are counted as the first's
	ldc, mr := len(t.all)*b.width, t.shape.Pixels(b.width)
	kb := min(laneDepth, c.depth-k0)
	weights := c.packed[b.first*c.depth+k0*b.width:]
	var end simd.LaneEnd[T]
	final, placed := k0+kb == c.depth, 0
	switch {
	case final:
		end = simd.LaneEnd[T]{Cut: t.cut, Step: c.dstPlane, Touches: b.have, Next: mr * c.dstCol}
		if p.dstLast {
			end.Touches = 0
		}
		if t.bias != nil {
			end.Bias = t.bias[b.first:]
		}
	case t.heavy: // the next weights, shared out among the tiles
		l := simd.Line[T]()
		end = simd.LaneEnd[T]{Step: l, Touches: (laneDepth*b.width/l + cols/mr) / (cols/mr + 1)}
		end.Next = end.Step * end.Touches
	}
	for i, tiles := 0, 0; i < cols; i += tiles * mr {
		at := t.last.ints
		if tiles = min((cols-i)/mr, laneBatch(kb)); tiles > 0 {
			at = t.at[col+i:]
		} else {
			tiles = 1
		}
		if final && !p.dstLast {
			end.Touch = p.dst[p.place(t.first, b.first, col+i):]
		} else if !final {
			end.Touch = weights[min(kb*b.width+i/mr*end.Next, len(weights)):]
		}
		to, ld := t.tile[i*ldc+phase*b.width:], ldc
		inPlace := p.dstLast && b.have == b.width && i+tiles*mr <= cols
		if inPlace {
			to, ld = p.dst[p.lastPlace(t.first, b.first, col+i):], p.m
		}
		simd.LaneTile(t.shape, b.width, tiles, t.x, at, c.offsets[k0:][:kb], weights[:kb*b.width], to, ld, k0 > 0, &end)
		if inPlace {
			placed = i + tiles*mr
			continue
		}
		// They go while they are in the nearest cache.
		if done := min(i+tiles*mr, cols); final && phase+1 == len(t.all) && (done-placed >= placeStep || done == cols) {
			t.put(t.tile[placed*ldc:], b, col+placed, done-placed)
			placed = done
		}
	}
}

// place is where the output at, counted through the images from first on, of filter m goes.
func (p *correlation[T]) place(first, m, at int) int {
	pixels := p.outH * p.outW
	n, o := at/pixels, at%pixels
	return (first+n)*p.dstImage + m*p.dstPlane + o/p.outW*p.dstRow + o%p.outW*p.dstCol
}

// lastPlace is place where dst has its channels last.
func (p *correlation[T]) lastPlace(first, m, at int) int { return (first*p.outH*p.outW+at)*p.m + m }

// put transposes the outputs col to col+cols−1 of a block of filters into their places: by way of
// rows where neighbours lie apart there, in which a second phase would alternate with the first.
func (t *wideTask[T]) put(tile []T, b laneBlock, col, cols int) {
	p := t.all[0]
	if p.dstLast {
		for i := range cols {
			copy(p.dst[p.lastPlace(t.first, b.first, col+i):][:b.have], tile[i*b.width:])
		}
		return
	}
	if len(t.all) == 1 && t.rows != nil {
		simd.Transpose(t.rows, t.chunk, tile, b.width, cols, b.have)
		for m := range b.have {
			p.scatter(t.rows[m*t.chunk:][:cols], t.first, col, b.first+m)
		}
		return
	}
	side := p.outH * p.outW // what lies together there: an image, or a row of two phases
	if len(t.all) == 2 {
		side = p.outW
	}
	for i := 0; i < cols; {
		from := (col + i) % side
		run := min(cols-i, side-from)
		lines := run
		if len(t.all) == 2 { // the second phase may be narrower
			lines = min(2*run, side+t.all[1].outW-2*from)
		}
		simd.Transpose(p.dst[p.place(t.first, b.first, col+i):], p.dstPlane, tile[len(t.all)*i*b.width:], b.width, lines, b.have)
		i += run
	}
}

// An intTable is a table of distances, reused from call to call.
type intTable struct{ ints []int }

var intTables = sync.Pool{New: func() any { return new(intTable) }}

// takeInts takes a table of n integers.
func takeInts(n int) *intTable {
	t := intTables.Get().(*intTable)
	if cap(t.ints) < n {
		t.ints = make([]int, n)
	}
	t.ints = t.ints[:n]
	return t
}

func (t *intTable) free() { intTables.Put(t) }
