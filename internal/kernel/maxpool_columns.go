package kernel

import (
	"math"
	"unsafe"

	"github.com/convgrad/convgrad/internal/simd"
)

// Windows that no kernel takes as a whole, large ones and those far apart, are searched down first,
// for all columns at once, then across.

// columns are the winners of the columns of a row of windows.
type columns[T Float] struct {
	top []T
	win []int32
	// key orders winners of float32: by their value, NaN above all, then by their position from the
	// last to the first. It is nil for float64.
	key []int64
}

// newColumns takes two scratch buffers for so many columns.
func newColumns[T Float](s *scratch[T], n int) columns[T] {
	c := columns[T]{top: s.slice(0, n)}
	ints := s.slice(1, 4*n+2) // in elements of at least 4 bytes
	at := unsafe.Pointer(unsafe.SliceData(ints))
	if unsafe.Sizeof(T(0)) == 4 {
		at = unsafe.Add(at, uintptr(at)&4) // to a multiple of 8
		c.key = unsafe.Slice((*int64)(at), n)
		at = unsafe.Add(at, 8*n)
	}
	c.win = unsafe.Slice((*int32)(at), n)
	return c
}

// search finds the winner of each column among the taps, distances from x[first] for the first
// column.
func (c *columns[T]) search(x []T, taps []int32, first int) {
	if simd.MaxTaps(c.top, c.win, x, taps, first, 1) == 0 {
		c.searchByOne(x, taps, first)
	}
	top, ok := any(c.top).([]float32)
	if !ok {
		return
	}
	win := c.win[:len(top)]
	key := c.key[:len(top)]
	for i, v := range top {
		b := int32(math.Float32bits(v + 0)) // −0 equals +0
		b ^= b >> 31 & math.MaxInt32
		if v != v {
			b = math.MaxInt32
		}
		key[i] = int64(b)<<32 | int64(math.MaxInt32-win[i])
	}
}

func (c *columns[T]) searchByOne(x []T, taps []int32, first int) {
	for i := range c.top {
		best := first + i + int(taps[0])
		for _, t := range taps[1:] {
			k := first + i + int(t)
			if v, b := x[k], x[best]; v > b || v != v && b == b {
				best = k
			}
		}
		c.top[i], c.win[i] = x[best], int32(best)
	}
}

// winner is the winner of n columns from first on, a step apart.
func (c *columns[T]) winner(first, n, step int) int32 {
	if c.key != nil {
		best := c.key[first]
		for k, i := 1, first+step; k < n; k, i = k+1, i+step {
			best = max(best, c.key[i])
		}
		return math.MaxInt32 - int32(best)
	}
	best := first
	for k, i := 1, first+step; k < n; k, i = k+1, i+step {
		v, b := c.top[i], c.top[best]
		if first := c.win[i] < c.win[best]; v > b || v == b && first || v != v && (b == b || first) {
			best = i
		}
	}
	return c.win[best]
}

// columnTaps are the distances of the taps of the longest column of windows, step apart.
func columnTaps(rows []rect, step int) []int32 {
	var taps []int32
	for _, r := range rows {
		for len(taps) < r.taps {
			taps = append(taps, int32(len(taps)*step))
		}
	}
	return taps
}

// shares are the windows that share out an axis as AdaptiveMean does.
func (w Window) shares() []rect {
	list := make([]rect, w.Out)
	for p := range list {
		lo, hi := w.adaptive(p)
		list[p] = rect{lo, hi - lo}
	}
	return list
}

// maxColumns returns maxPool for one plane, by columns.
func maxColumns[T Float](g *Pool) planeWinners[T] {
	return columnsOf[T](g, g.Rows.inside(), g.Cols.inside(), g.Rows.Dilation, g.Cols.Dilation)
}

// columnsOf is maxColumns for windows of these rows and columns, whose taps are dh and dw apart.
func columnsOf[T Float](g *Pool, rows, cols []rect, dh, dw int) planeWinners[T] {
	taps := columnTaps(rows, dh*g.W)
	return func(y []T, winner []int32, x []T) {
		s := takeScratch[T](2)
		defer s.free()
		c := newColumns(s, g.W)
		for p, row := range rows {
			y, win := y[p*g.Q:][:g.Q], winner[p*g.Q:][:g.Q]
			c.search(x, taps[:row.taps], row.first*g.W)
			for q, col := range cols {
				k := c.winner(col.first, col.taps, dw)
				y[q], win[q] = x[k], k
			}
		}
	}
}

// AdaptiveMax notes the winner of each of g.P×g.Q windows that share out each plane of x as
// AdaptiveMean does, by the rule of RefMaxWinners, and its value where y is not nil. Of g it takes
// the sizes.
func AdaptiveMax[T Float](g Pool, y []T, winner []int32, x []T) {
	if g.P == 0 || g.Q == 0 {
		return
	}
	rows, evenRows := g.Rows.even()
	cols, evenCols := g.Cols.even()
	if evenRows && evenCols {
		g.R, g.S, g.Rows, g.Cols = rows.Size, cols.Size, rows, cols
		maxPool(&g, y, winner, x)
		return
	}
	down, across := g.Rows.shares(), g.Cols.shares()
	maxPlanes(&g, columnsOf[T](&g, down, across, 1, 1), y, winner, x)
}

// even are the windows that share out an axis where they are of one size.
func (w Window) even() (Window, bool) {
	size := w.In / w.Out
	return Window{In: w.In, Size: size, Stride: size, Dilation: 1, Out: w.Out}, size*w.Out == w.In
}
