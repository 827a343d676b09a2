package kernel

import (
	"math"
	"unsafe"

	"github.com/convgrad/convgrad/internal/simd"
	"github.com/convgrad/convgrad/internal/workers"
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
func maxColumns[T Float](g *Pool) func(g *Pool, y []T, winner []int32, x []T) {
	rows, cols := g.Rows.inside(), g.Cols.inside()
	taps := columnTaps(rows, g.Rows.Dilation*g.W)
	return func(g *Pool, y []T, winner []int32, x []T) {
		s := takeScratch[T](2)
		defer s.free()
		c := newColumns(s, g.W)
		for p, row := range rows {
			y, win := y[p*g.Q:][:g.Q], winner[p*g.Q:][:g.Q]
			c.search(x, taps[:row.taps], row.first*g.W)
			for q, col := range cols {
				k := c.winner(col.first, col.taps, g.Cols.Dilation)
				y[q], win[q] = x[k], k
			}
		}
	}
}

// AdaptiveWinners notes the winner of each of rows.Out×cols.Out windows that share out each plane
// of x as AdaptiveMean does, by the rule of RefMaxWinners.
func AdaptiveWinners[T Float](rows, cols Window, winner []int32, x []T, planes int) {
	in, out := rows.In*cols.In, rows.Out*cols.Out
	if out == 0 {
		return
	}
	down, across := rows.shares(), cols.shares()
	taps := columnTaps(down, cols.In)
	workers.Spans(planes, max(1, workers.Chunk/max(in, out, 1)), func(lo, hi int) {
		s := takeScratch[T](2)
		defer s.free()
		c := newColumns(s, cols.In)
		for n := lo; n < hi; n++ {
			x, winner := x[n*in:][:in], winner[n*out:][:out]
			for p, row := range down {
				c.search(x, taps[:row.taps], row.first*cols.In)
				winner := winner[p*cols.Out:][:cols.Out]
				for q, col := range across {
					winner[q] = c.winner(col.first, col.taps, 1)
				}
			}
		}
	})
}
