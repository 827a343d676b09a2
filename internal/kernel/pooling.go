package kernel

import (
	"sync/atomic"

	"github.com/convgrad/convgrad/internal/simd"
	"github.com/convgrad/convgrad/internal/workers"
)

// A rect is the part of a window that is not padding, in one axis: taps elements of the image from
// first on, Dilation apart.
type rect struct{ first, taps int }

// inside lists the part of each window of the axis that is not padding.
func (w Window) inside() []rect {
	in := make([]rect, w.Out)
	for p := range in {
		lo := 0
		if at := w.At(p, 0); at < 0 {
			lo = (-at + w.Dilation - 1) / w.Dilation
		}
		hi := w.Size
		if last := w.At(p, w.Size-1); last >= w.In {
			hi -= (last - w.In + w.Dilation) / w.Dilation
		}
		in[p] = rect{w.At(p, lo), hi - lo}
	}
	return in
}

// full returns the windows [lo, hi) none of whose taps is padding.
func (w Window) full() (lo, hi int) {
	lo = (w.Before + w.Stride - 1) / w.Stride
	hi = 0
	if room := w.In + w.Before - w.Extent(); room >= 0 {
		hi = min(w.Out, room/w.Stride+1)
	}
	return min(lo, hi), hi
}

// planes calls f for each of the N·C planes, in parallel where there is work for it; perPlane is
// the number of elements that f touches.
func (g *Pool) planes(f func(plane int)) {
	n := g.N * g.C
	each := max(1, workers.Chunk/(g.H*g.W))
	workers.Spans(n, each, func(lo, hi int) {
		for plane := lo; plane < hi; plane++ {
			f(plane)
		}
	})
}

// MaxWinners notes each window's winner as its index h·W+w in the plane, by the rule of
// RefMaxWinners: the first of equals, the first NaN before every number.
func MaxWinners[T Float](g Pool, winner []int32, x []T) { maxPool(&g, nil, winner, x) }

// MaxForward is MaxWinners and Gather in one pass.
func MaxForward[T Float](g Pool, y []T, winner []int32, x []T) { maxPool(&g, y, winner, x) }

// planeWinners finds the winners of one plane, at the begin of x, and their values. It may read,
// but not use, what x holds behind the plane.
type planeWinners[T Float] func(y []T, winner []int32, x []T)

// maxPool finds the winners, and their values where y is not nil.
func maxPool[T Float](g *Pool, y []T, winner []int32, x []T) {
	if g.tiled() {
		maxPlanes(g, func(y []T, winner []int32, x []T) { maxTiles(g, y, winner, x) }, y, winner, x)
		return
	}
	maxPlanes(g, maxWindows[T](g), y, winner, x)
}

// maxPlanes is maxPool by a function for one plane.
func maxPlanes[T Float](g *Pool, one planeWinners[T], y []T, winner []int32, x []T) {
	in, out := g.H*g.W, g.P*g.Q
	g.planes(func(plane int) {
		x, winner := x[plane*in:], winner[plane*out:][:out]
		if y != nil {
			one(y[plane*out:][:out], winner, x)
			return
		}
		s := takeScratch[T](1) // the assembly makes values along with winners, asked for or not
		one(s.slice(0, out), winner, x)
		s.free()
	})
}

// maxWindows returns maxPool for one plane of any windows.
func maxWindows[T Float](g *Pool) planeWinners[T] {
	if g.Cols.Stride > 2 || g.R*g.S > 9 && g.Cols.Stride*g.S > 9 {
		if one := maxGroups[T](g); one != nil {
			return one
		}
		return maxColumns[T](g)
	}
	rows, cols := g.Rows.inside(), g.Cols.inside()
	lo, hi := g.Cols.full()
	dh, dw := g.Rows.Dilation*g.W, g.Cols.Dilation
	var taps []int32
	if lo < hi { // then S ≤ W, and the list is in proportion to the image
		most := 0
		for _, r := range rows {
			most = max(most, r.taps)
		}
		taps = g.taps(most)
	}
	return func(y []T, winner []int32, x []T) {
		for p, row := range rows {
			y, win := y[p*g.Q:][:g.Q], winner[p*g.Q:][:g.Q]
			from, to, done := lo, hi, 0
			if lo < hi {
				first := row.first*g.W + lo*g.Cols.Stride - g.Cols.Before
				done = simd.MaxTaps(y[lo:hi], win[lo:hi], x, taps[:row.taps*g.S], first, g.Cols.Stride)
				switch {
				case done == hi-lo:
				case row.taps == 2 && g.S == 2 && dh == g.W && dw == 1:
					maxRow2x2(win[lo:hi], x, first, g.Cols.Stride, g.W)
				case row.taps == 3 && g.S == 3 && dh == g.W && dw == 1:
					maxRow3x3(win[lo:hi], x, first, g.Cols.Stride, g.W)
				default:
					from, to = 0, 0
				}
			}
			for q := 0; q < from; q++ {
				win[q] = maxWindow(x, row, cols[q], dh, dw, g.W)
			}
			for q := max(from, to); q < g.Q; q++ {
				win[q] = maxWindow(x, row, cols[q], dh, dw, g.W)
			}
			for q := 0; q < lo; q++ {
				y[q] = x[win[q]]
			}
			for q := lo + done; q < g.Q; q++ {
				y[q] = x[win[q]]
			}
		}
	}
}

// taps is the distance of each tap in the first rows of a window to the first tap.
func (g *Pool) taps(rows int) []int32 {
	taps := make([]int32, 0, rows*g.S)
	for r := range rows {
		for s := range g.S {
			taps = append(taps, int32(r*g.Rows.Dilation*g.W+s*g.Cols.Dilation))
		}
	}
	return taps
}

// maxTiles is maxPool for one plane of tiles.
func maxTiles[T Float](g *Pool, y []T, winner []int32, x []T) {
	if done := simd.MaxPool(g.P, y, winner, x, g.W); done < g.Q {
		maxTilesFrom(g, done, y, winner, x)
	}
}

// maxTilesFrom does the tiles from the given one of each row on.
func maxTilesFrom[T Float](g *Pool, done int, y []T, winner []int32, x []T) {
	for p := range g.P {
		first := 2 * (p*g.W + done)
		y, win := y[p*g.Q+done:(p+1)*g.Q], winner[p*g.Q+done:(p+1)*g.Q]
		maxRow2x2(win, x, first, 2, g.W)
		for q, k := range win {
			y[q] = x[k]
		}
	}
}

// The rows below look for the maximum first and then, from the last tap to the first, for an
// element that equals it: conditional moves instead of branches that random data mispredicts.

// maxRow2x2 notes the winners of windows of 2×2, the first of which begins at x[at].
func maxRow2x2[T Float](win []int32, x []T, at, stride, w int) {
	n := (len(win)-1)*stride + 2
	r0, r1 := x[at:][:n], x[at+w:][:n]
	i := 0
	for q := range win {
		a, b, c, d := r0[i], r0[i+1], r1[i], r1[i+1]
		top := max(a, b, c, d)
		k := w + 1
		if c == top {
			k = w
		}
		if b == top {
			k = 1
		}
		if a == top {
			k = 0
		}
		if top != top {
			k = firstNaN(x[at+i:], 2, 2, w, 1)
		}
		win[q] = int32(at + i + k)
		i += stride
	}
}

// maxRow3x3 is maxRow2x2 for windows of 3×3.
func maxRow3x3[T Float](win []int32, x []T, at, stride, w int) {
	n := (len(win)-1)*stride + 3
	r0, r1, r2 := x[at:][:n], x[at+w:][:n], x[at+2*w:][:n]
	i := 0
	for q := range win {
		a0, a1, a2 := r0[i], r0[i+1], r0[i+2]
		b0, b1, b2 := r1[i], r1[i+1], r1[i+2]
		c0, c1, c2 := r2[i], r2[i+1], r2[i+2]
		top := max(a0, a1, a2, b0, b1, b2, c0, c1, c2)
		k := 2*w + 2
		if c1 == top {
			k = 2*w + 1
		}
		if c0 == top {
			k = 2 * w
		}
		if b2 == top {
			k = w + 2
		}
		if b1 == top {
			k = w + 1
		}
		if b0 == top {
			k = w
		}
		if a2 == top {
			k = 2
		}
		if a1 == top {
			k = 1
		}
		if a0 == top {
			k = 0
		}
		if top != top {
			k = firstNaN(x[at+i:], 3, 3, w, 1)
		}
		win[q] = int32(at + i + k)
		i += stride
	}
}

// maxWindow is the winner of one window, of which row and col are inside the image; dh and dw are
// the distances of its taps in the plane x.
func maxWindow[T Float](x []T, row, col rect, dh, dw, w int) int32 {
	at := row.first*w + col.first
	top := x[at]
	for r, i := 0, at; r < row.taps; r, i = r+1, i+dh {
		for s, i := 0, i; s < col.taps; s, i = s+1, i+dw {
			top = max(top, x[i])
		}
	}
	if top != top {
		return int32(at + firstNaN(x[at:], row.taps, col.taps, dh, dw))
	}
	k := at
	for r, i := row.taps-1, at+(row.taps-1)*dh; r >= 0; r, i = r-1, i-dh {
		for s, i := col.taps-1, i+(col.taps-1)*dw; s >= 0; s, i = s-1, i-dw {
			if x[i] == top {
				k = i
			}
		}
	}
	return int32(k)
}

// firstNaN is the position of the first NaN of a window that begins at x[0] and holds one.
func firstNaN[T Float](x []T, taps, across, dh, dw int) int {
	for r := range taps {
		for s := range across {
			if v := x[r*dh+s*dw]; v != v {
				return r*dh + s*dw
			}
		}
	}
	return 0
}

// Gather is y[i] = x[winner[i]] in each plane. It returns the position of the first winner outside
// [0, H·W), in which case y is void, or −1.
func Gather[T Float](g Pool, y, x []T, winner []int32) (bad int) {
	in, out := g.H*g.W, g.P*g.Q
	tiled := g.tiled() && simd.PoolsInVectors[T](g.Q)
	least := firstOf{}
	g.planes(func(plane int) {
		x, y, winner := x[plane*in:][:in], y[plane*out:][:out], winner[plane*out:][:out]
		if tiled && gatherTiles(&g, y, x, winner) {
			return
		}
		if i := outside(winner, in); i >= 0 {
			least.note(plane*out + i)
			return
		}
		for i, k := range winner {
			y[i] = x[k]
		}
	})
	return least.position()
}

// Scatter is the adjoint of Gather: dx[winner[i]] += dy[i] in each plane, all else 0. It returns
// the position of the first winner outside [0, H·W), in which case dx is void, or −1.
func Scatter[T Float](g Pool, dx, dy []T, winner []int32) (bad int) {
	in, out := g.H*g.W, g.P*g.Q
	tiled := g.tiled() && simd.PoolsInVectors[T](g.Q)
	least := firstOf{}
	g.planes(func(plane int) {
		dx, dy, winner := dx[plane*in:][:in], dy[plane*out:][:out], winner[plane*out:][:out]
		if tiled && scatterTiles(&g, dx, dy, winner) {
			return
		}
		if i := outside(winner, in); i >= 0 {
			least.note(plane*out + i)
			return
		}
		clear(dx)
		for i, k := range winner {
			dx[k] += dy[i]
		}
	})
	return least.position()
}

// outside is the position of the first winner outside [0, limit), or −1.
func outside(winner []int32, limit int) int {
	for i, k := range winner {
		if uint32(k) >= uint32(limit) {
			return i
		}
	}
	return -1
}

// A firstOf keeps the least of the positions that tasks note.
type firstOf struct{ above atomic.Int64 } // 1 more than the position; 0 if there is none

func (f *firstOf) note(position int) {
	for {
		have := f.above.Load()
		if have != 0 && have <= int64(position)+1 || f.above.CompareAndSwap(have, int64(position)+1) {
			return
		}
	}
}

func (f *firstOf) position() int { return int(f.above.Load()) - 1 }

// tiled reports whether the windows are tiles of 2×2 none of which reaches into padding; what is
// left of the plane is below and to the right of them.
func (g *Pool) tiled() bool {
	if g.Rows.Stride != 2 || g.Cols.Stride != 2 || g.Rows.Before != 0 || g.Cols.Before != 0 {
		return false
	}
	_, rows := g.Rows.full()
	_, cols := g.Cols.full()
	return g.R == 2 && g.S == 2 && g.Rows.Dilation == 1 && g.Cols.Dilation == 1 && rows == g.P && cols == g.Q
}

// clearRest clears what tiles do not cover: the last column where the width is odd, and what is
// below.
func clearRest[T Float](g *Pool, dx []T) {
	end := 2 * g.P * g.W
	if 2*g.Q < g.W {
		for i := g.W - 1; i < end; i += g.W {
			dx[i] = 0
		}
	}
	clear(dx[end:])
}

// gatherTiles is Gather for one plane of tiles; false, and y void, where a winner is outside its
// tile.
func gatherTiles[T Float](g *Pool, y, x []T, winner []int32) bool {
	done, ok := simd.MaxGather(g.P, y, x, winner, g.W)
	if !ok {
		return false
	}
	for p := range g.P {
		for i := p*g.Q + done; i < (p+1)*g.Q; i++ {
			k := winner[i]
			if uint32(k) >= uint32(len(x)) {
				return false
			}
			y[i] = x[k]
		}
	}
	return true
}

// scatterTiles is Scatter for one plane of tiles; false, and dx void, where a winner is outside its
// tile.
func scatterTiles[T Float](g *Pool, dx, dy []T, winner []int32) bool {
	clearRest(g, dx)
	done, ok := simd.MaxScatter(g.P, dx, dy, winner, g.W)
	if !ok {
		return false
	}
	for p := range g.P {
		for q := done; q < g.Q; q++ {
			first := 2 * (p*g.W + q)
			row0, row1 := dx[first:][:2], dx[first+g.W:][:2]
			row0[0], row0[1], row1[0], row1[1] = 0, 0, 0, 0
			// Which of the four it is, random data do not let a branch foresee; that it is one of
			// them, they do.
			k := int(winner[p*g.Q+q]) - first
			upper, lower := 0, 0
			if uint(k) < 2 {
				upper = 1
			}
			if uint(k-g.W) < 2 {
				lower = 1
			}
			if upper|lower == 0 {
				return false
			}
			dx[first+k] = 0 + dy[p*g.Q+q]
		}
	}
	return true
}
