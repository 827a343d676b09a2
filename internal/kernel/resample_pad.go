package kernel

import (
	"slices"

	"github.com/convgrad/convgrad/internal/simd"
	"github.com/convgrad/convgrad/internal/workers"
)

// A padRun is n elements of a padded axis, from element to on, that are the elements from,
// from+step, … of the axis; zeros where from is negative.
type padRun struct{ to, n, from, step int }

// padRuns are the runs of a map that pads, in order.
func (m AxisMap) padRuns() (list []padRun, ok bool) {
	if m.Kind > PadReplicate {
		return nil, false
	}
	add := func(lo, hi, from, step int) {
		if lo, hi = max(lo, 0), min(hi, m.Out); lo < hi {
			list = append(list, padRun{lo, hi - lo, from, step})
		}
	}
	end := m.Before + m.In
	first, last, step := -1, -1, 0
	switch m.Kind {
	case PadReflect:
		first, last, step = m.Before, m.In-2, -1
	case PadReplicate:
		first, last = 0, m.In-1
	}
	add(0, m.Before, first, step)
	add(m.Before, end, max(-m.Before, 0), 1)
	add(end, m.Out, last, step)
	return list, true
}

// cut is the adjoint of a map that pads with zeros: it cuts what the other puts on.
func (m AxisMap) cut() AxisMap {
	return AxisMap{Kind: PadZeros, Window: Window{In: m.Out, Before: -m.Before, Out: m.In}}
}

// shortRow is the longest row that vectors pad as a map of its elements. Longer ones are copied,
// and so are those that nothing is put on.
const shortRow = 128

// padPlanes pads each of x's planes.
func padPlanes[T Float](rows, cols AxisMap, down, across []padRun, y, x []T, planes int) {
	in, out := rows.In*cols.In, rows.Out*cols.Out
	var short *simd.Across[T]
	if cols.In > 0 && len(across) > 1 && cols.Out <= shortRow {
		a := simd.NewAcross(&sparseOf[T](cols.matrix(), cols.In, 1).Taps)
		if a.InVectors() {
			short = a
		}
	}
	workers.Spans(planes, max(1, workers.Chunk/max(in, out, 1)), func(lo, hi int) {
		for n := lo; n < hi; n++ {
			x, y := x[n*in:], y[n*out:][:out]
			for _, r := range down {
				if r.from < 0 {
					clear(y[r.to*cols.Out : (r.to+r.n)*cols.Out])
					continue
				}
				if r.step == 1 && short != nil {
					simd.MixAcross(r.n, y[r.to*cols.Out:], cols.Out, x[r.from*cols.In:], cols.In, short)
					continue
				}
				for i := range r.n {
					padRow(y[(r.to+i)*cols.Out:][:cols.Out], x[(r.from+i*r.step)*cols.In:][:cols.In], across)
				}
			}
		}
	})
}

func padRow[T Float](y, x []T, across []padRun) {
	for _, c := range across {
		to := y[c.to:][:c.n]
		switch {
		case c.from < 0:
			clear(to)
		case c.step == 1:
			copy(to, x[c.from:])
		default:
			for k := range to {
				to[k] = x[c.from+k*c.step]
			}
		}
	}
}

// wholeFirst puts the run that is the whole axis of n elements first, and says whether there is
// one.
func wholeFirst(runs []padRun, n int) ([]padRun, bool) {
	k := slices.IndexFunc(runs, func(r padRun) bool { return r.step == 1 && r.from == 0 && r.n == n })
	if k < 0 {
		return runs, false
	}
	return slices.Concat(runs[k:k+1], runs[:k], runs[k+1:]), true
}

// padPlanesBackward is the adjoint of padPlanes. The image itself comes first, which needs no zeros
// to be added to.
func padPlanesBackward[T Float](rows, cols AxisMap, down, across []padRun, dx, dy []T, planes int) {
	in, out := rows.In*cols.In, rows.Out*cols.Out
	down, wholeRows := wholeFirst(down, rows.In)
	across, wholeCols := wholeFirst(across, cols.In)
	whole := wholeRows && wholeCols
	workers.Spans(planes, max(1, workers.Chunk/max(in, out, 1)), func(lo, hi int) {
		for n := lo; n < hi; n++ {
			dx, dy := dx[n*in:][:in], dy[n*out:][:out]
			if !whole {
				clear(dx)
			}
			for k, r := range down {
				for i := 0; r.from >= 0 && i < r.n; i++ {
					row, to := dy[(r.to+i)*cols.Out:][:cols.Out], dx[(r.from+i*r.step)*cols.In:][:cols.In]
					padRowBackward(to, row, across, whole && k == 0)
				}
			}
		}
	})
}

// padRowBackward adds a row of dy to dx; where first is set, dx holds nothing yet.
func padRowBackward[T Float](dx, dy []T, across []padRun, first bool) {
	for k, c := range across {
		switch d := dy[c.to:][:c.n]; {
		case c.from < 0:
		case first && k == 0:
			copy(dx, d)
		case c.step == 1 && c.n > 1:
			simd.Add(dx[c.from:][:c.n], d)
		default:
			for k, v := range d {
				dx[c.from+k*c.step] += v
			}
		}
	}
}
