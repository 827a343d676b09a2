package kernel

import (
	"github.com/convgrad/convgrad/internal/simd"
	"github.com/convgrad/convgrad/internal/workers"
)

// Winograd's algorithm for the filter's gradient is the adjoint of that of the forward pass: with
// the matrices of that one, dw = Gᵀ[Σ (A·dy·Aᵀ) ⊙ (Bᵀ·x·B)]G. The sum goes over the tiles of
// all images. Each element of the tile is one product of matrices, of filters by channels. Lanes
// are channels, then filters.

const (
	// cutChannels is what a cut of the channels is a multiple of: of whole vectors and of whole
	// micro-kernels.
	cutChannels = 2 * simd.LaneStep
	// winogradSums is how many sums all slices of the batch may have, winogradRound how many
	// transformed elements are made before they are multiplied: they stay in the second-level
	// cache.
	winogradSums  = 1 << 20
	winogradRound = 1 << 18
)

// A winogradGradient is the gradient of a group's filters by Winograd's algorithm.
type winogradGradient[T Float] struct {
	*filterGradient[T]
	m, side      int // outputs of a tile and elements, m + 2
	down, across int // tiles of an image
	channels     int // filled up to whole micro-kernels
	filters      int // filled up to whole vectors
	slices       int // of the batch
	size         int // of the sums of a slice: for each block and element, channels by filters
	sums         []T
}

// winogradSide is the side of the tiles, 4 or 2, that Winograd's algorithm would make of this
// gradient, or 0 where it cannot, and whether it pays.
func (f *filterGradient[T]) winogradSide() (side int, pays bool) {
	g, lanes := f.g, f.shape.Lanes
	if !g.Winograd || f.shape.Vectors == 0 || f.c < lanes || f.k < lanes || g.R != 3 || g.S != 3 ||
		g.Rows.Stride != 1 || g.Cols.Stride != 1 || g.Rows.Dilation != 1 || g.Cols.Dilation != 1 {
		return 0, false
	}
	products := func(m int) int {
		down, across := (g.P+m-1)/m, (g.Q+m-1)/m
		return (m + 2) * (m + 2) * g.N * down * across
	}
	four, two, direct := products(4), products(2), 9*g.N*g.P*g.Q
	if side = 4; two < four {
		side = 2
	}
	// The transformations cost as much as the products with some channels and filters, and the sums
	// are fetched and transformed once.
	return side, f.c >= 2*lanes && f.k >= 2*lanes && 2*(min(four, two)+winogradWeight*(side+2)*(side+2)) <= direct
}

// winogradWeight is how many products it takes as long as to fetch and transform a sum.
const winogradWeight = 16

// runWinograd is run by Winograd's algorithm. Whatever is not finite on the way, an operand or a
// sum that overflows, reaches an element of the result, as no transformation drops a term. Then the
// direct sums decide.
func (f *filterGradient[T]) runWinograd() {
	w := winogradGradient[T]{filterGradient: f}
	w.m, _ = f.winogradSide()
	w.run()
	if top := simd.MaxAbs(f.dw); !(top-top == 0) {
		direct := *f
		direct.g.Winograd = false
		direct.choose().runGradient(&direct)
	}
}

func (w *winogradGradient[T]) run() {
	g := w.g
	w.side = w.m + 2
	w.down, w.across = (g.P+w.m-1)/w.m, (g.Q+w.m-1)/w.m
	w.channels = (w.c + simd.LaneStep - 1) / simd.LaneStep * simd.LaneStep
	last := w.blocks[len(w.blocks)-1]
	w.filters = last.first + last.width
	w.size = w.side * w.side * w.channels * w.filters
	for w.slices = 1; 2*w.slices <= min(g.N, 8, winogradSums/w.size); w.slices *= 2 {
	}
	s := takeForCall[T](1)
	defer s.free()
	w.sums = s.slice(0, w.slices*w.size)
	// No sum depends on the cuts of the channels.
	cuts := 1
	if n := workers.Threads(); n > 1 {
		cuts = (2*n + w.slices - 1) / w.slices
	}
	cuts = max(1, min(cuts, w.c/cutChannels))
	rows := g.N * w.down
	workers.Run(w.slices*cuts, func(t, _ int) {
		slice, cut := t/cuts, t%cuts
		from, to := w.c*cut/cuts/cutChannels*cutChannels, w.c
		if cut+1 < cuts {
			to = w.c * (cut + 1) / cuts / cutChannels * cutChannels
		}
		w.slice(w.sums[slice*w.size:][:w.size], rows*slice/w.slices, rows*(slice+1)/w.slices, from, to)
	})
	const each = 8 // channels
	ranges := (w.c + each - 1) / each
	workers.Run(len(w.blocks)*ranges, func(t, _ int) {
		c := t % ranges * each
		w.join(w.blocks[t/ranges], c, min(w.c, c+each))
	})
}

// round is how many rows of tiles are transformed at a time, whatever the cuts are: the order of a
// sum depends on it.
func (w *winogradGradient[T]) round() int {
	tile := w.side * w.side * (min(w.channels, 2*cutChannels) + w.blocks[0].width)
	return max(1, min(winogradRound/tile/w.across, w.g.N*w.down))
}

// slice sums the rows lo to hi−1 of tiles, counted through all images, for the channels from to
// to−1.
func (w *winogradGradient[T]) slice(sums []T, lo, hi, from, to int) {
	g, area, lanes := w.g, w.side*w.side, w.shape.Lanes
	most := w.round()
	channels := (to - from + lanes - 1) / lanes * lanes
	s := takeScratch[T](5)
	defer s.free()
	// What is read: a row of tiles with its margin, and one of deltas.
	input := winogradPlan[T]{m: w.m, down: w.down, across: w.across, channels: channels, stripH: w.m + 2, stripW: w.m*w.across + 2,
		correlation: &correlation[T]{planes: to - from, src: w.x[from*g.H*g.W:], srcImage: g.C * g.H * g.W, h: g.H, w: g.W, top: g.Rows.Before, left: g.Cols.Before}}
	tile := oddLines[T](most * w.across * channels)
	x := s.slice(0, area*tile)
	widest := 0
	for _, b := range w.blocks {
		widest = max(widest, b.width)
	}
	wide := max(channels, widest)
	delta := s.slice(1, area*oddLines[T](most*w.across*widest))
	strip := s.slice(2, input.stripH*max(g.W, g.Q)*wide)
	turned := s.slice(3, input.stripH*input.stripW*wide)
	tmp := s.slice(4, (area+1)*lanes)
	at, step := takeInts(w.channels), takeInts(most*w.across)
	defer at.free()
	defer step.free()
	for i := range at.ints {
		at.ints[i] = min(i, channels-1)
	}
	for i := range step.ints {
		step.ints[i] = i * channels
	}
	for row := lo; row < hi; row += most {
		rows := min(most, hi-row)
		for r := range rows {
			input.strip(turned[:input.stripH*input.stripW*channels], strip, row+r)
			for j := range w.across {
				simd.WinogradInput(w.m, channels/lanes, turned[w.m*j*channels:], input.stripW*channels, channels,
					x[(r*w.across+j)*channels:], w.side*tile, tile, tmp)
			}
		}
		for _, b := range w.blocks {
			dy := winogradPlan[T]{m: w.m, down: w.down, across: w.across, channels: b.width, stripH: w.m, stripW: w.m * w.across,
				correlation: &correlation[T]{planes: b.have, src: w.dy[b.first*g.P*g.Q:], srcImage: g.K * g.P * g.Q, h: g.P, w: g.Q}}
			element := oddLines[T](rows * w.across * b.width)
			for r := range rows {
				dy.strip(turned[:dy.stripH*dy.stripW*b.width], strip, row+r)
				for j := range w.across {
					simd.WinogradDelta(w.m, b.width/lanes, turned[w.m*j*b.width:], dy.stripW*b.width, b.width,
						delta[(r*w.across+j)*b.width:], w.side*element, element, tmp)
				}
			}
			w.multiply(sums, b, from, to, x, tile, delta, element, at.ints, step.ints[:rows*w.across], row > lo)
		}
	}
}

// multiply adds a round's products to the sums of a block of filters and the channels from to to−1.
func (w *winogradGradient[T]) multiply(sums []T, b laneBlock, from, to int, x []T, tile int, delta []T, element int, at, step []int, accumulate bool) {
	area, mr := w.side*w.side, w.shape.Pixels(b.width)
	all := (to - from + mr - 1) / mr
	batch := laneBatch(len(step))
	// the sums come from farther away than what is summed
	next := simd.LaneEnd[T]{Step: simd.Line[T]()}
	next.Touches, next.Next = mr*b.width/next.Step, mr*b.width
	for e := range area {
		c := sums[b.first*area*w.channels+(e*w.channels+from)*b.width:]
		for i := 0; i < all; i += batch {
			next.Touch = c[i*mr*b.width:]
			simd.LaneTile(w.shape, b.width, min(batch, all-i), x[e*tile:], at[i*mr:], step, delta[e*element:][:len(step)*b.width], next.Touch, b.width, accumulate, &next)
		}
	}
}

// join adds the slices' sums for a block of filters and the channels from to to−1, and transforms
// them into their places.
func (w *winogradGradient[T]) join(b laneBlock, from, to int) {
	area, line := w.side*w.side, w.channels*b.width
	base := b.first * area * w.channels
	s := takeScratch[T](2)
	defer s.free()
	taps, tmp := s.slice(0, 9*(to-from)*b.width), s.slice(1, (area+1)*w.shape.Lanes)
	for e := range area {
		total := w.sums[base+e*line+from*b.width:][:(to-from)*b.width]
		for i := 1; i < w.slices; i++ {
			simd.Add(total, w.sums[i*w.size+base+e*line+from*b.width:][:len(total)])
		}
	}
	for i := from; i < to; i++ {
		simd.WinogradGradient(w.m, b.width/w.shape.Lanes, w.sums[base+i*b.width:], w.side*line, line, taps[(i-from)*9*b.width:], 3*b.width, b.width, tmp)
	}
	if w.g.Flip { // the taps run backwards
		for i := range to - from {
			turn(taps[i*9*b.width:][:9*b.width], b.width)
		}
	}
	simd.Transpose(w.dw[b.first*w.taps+from*9:], w.taps, taps, b.width, (to-from)*9, b.have)
}

// turn reverses the order of lines of n elements.
func turn[T Float](a []T, n int) {
	for i, j := 0, len(a)-n; i < j; i, j = i+n, j-n {
		for k := range n {
			a[i+k], a[j+k] = a[j+k], a[i+k]
		}
	}
}
