package kernel

import "github.com/convgrad/convgrad/internal/simd"

// Windows of some distance, side by side say, have their taps in no vector. Each row of the image
// is first put into an order in which they are: the first taps of all windows, then the second
// ones.

// groups are the rows of a plane in that order.
type groups[T Float] struct {
	lo, n  int // the windows [lo, lo+n) of a row, none of which reaches into padding
	row    int // the elements of a row in that order
	across *simd.Across[T]
	taps   []int32 // of a window, from its begin, in that order
	from   []int32 // where an element was, from the row of a window's begin on
}

// mostGrouped bounds the elements of a plane that is put in another order.
const mostGrouped = 1 << 15

// newGroups returns nil where vectors would gain nothing.
func newGroups[T Float](g *Pool) *groups[T] {
	lo, hi := g.Cols.full()
	s := groups[T]{lo: lo, n: hi - lo, row: g.S * (hi - lo)}
	if !simd.PoolsInVectors[T](s.n) || s.row > 2*g.W || g.H*s.row > mostGrouped {
		return nil
	}
	m := simd.Taps[T]{Start: make([]int32, s.row+1), Index: make([]int32, s.row), Weight: make([]T, s.row)}
	for t := range g.S {
		for q := range s.n {
			k := t*s.n + q
			m.Start[k+1], m.Index[k], m.Weight[k] = int32(k+1), int32(g.Cols.At(lo+q, t)), 1
		}
	}
	if s.across = simd.NewAcross(&m); !s.across.InVectors() {
		return nil
	}
	for r := range g.R {
		for t := range g.S {
			s.taps = append(s.taps, int32(r*g.Rows.Dilation*s.row+t*s.n))
		}
	}
	for r := range min((g.R-1)*g.Rows.Dilation+1, g.H) {
		for _, i := range m.Index {
			s.from = append(s.from, int32(r*g.W)+i)
		}
	}
	return &s
}

// maxGroups returns maxPool for one plane, or nil where vectors would gain nothing.
func maxGroups[T Float](g *Pool) planeWinners[T] {
	o := newGroups[T](g)
	if o == nil {
		return nil
	}
	rows, cols := g.Rows.inside(), g.Cols.inside()
	dh, dw := g.Rows.Dilation*g.W, g.Cols.Dilation
	lo, hi := o.lo, o.lo+o.n
	return func(y []T, winner []int32, x []T) {
		s := takeScratch[T](1)
		defer s.free()
		grouped := s.slice(0, g.H*o.row)
		simd.MixAcross(g.H, grouped, o.row, x, g.W, o.across)
		for p, row := range rows {
			y, win := y[p*g.Q:][:g.Q], winner[p*g.Q:][:g.Q]
			simd.MaxTaps(y[lo:hi], win[lo:hi], grouped[row.first*o.row:], o.taps[:row.taps*g.S], 0, 1)
			first, full := int32(row.first*g.W), win[lo:hi]
			for i, k := range full {
				full[i] = first + o.from[k]
			}
			for q := range g.Q {
				if q < lo || q >= hi {
					win[q] = maxWindow(x, row, cols[q], dh, dw, g.W)
					y[q] = x[win[q]]
				}
			}
		}
	}
}
