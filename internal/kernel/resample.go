package kernel

import (
	"github.com/convgrad/convgrad/internal/simd"
	"github.com/convgrad/convgrad/internal/workers"
)

// An AxisMap says how the elements of an output axis are weighted sums of an input axis: padding,
// interpolation and averaging windows are such maps, one for each axis of an image. It is
// comparable.
type AxisMap struct {
	Kind   MapKind
	Window // In and Out always; the rest where the kind says so
}

// A MapKind is a way to make an output axis.
type MapKind int

// The kinds of AxisMap.
const (
	PadZeros MapKind = iota // In elements, Before zeros before them; negative Before cuts
	// elements beyond the ends mirrored at the ends: Before and after below In
	PadReflect
	PadReplicate // elements beyond the ends are the ends
	Nearest      // element ⌊p·In/Out⌋
	// between the two elements next to (p+½)·In/Out − ½, cut to the axis
	Linear
	LinearAligned // between the two elements next to p·(In−1)/(Out−1)
	AdaptiveMean  // the mean of elements ⌊p·In/Out⌋ … ⌈(p+1)·In/Out⌉−1
	WindowSum     // the sum of window p
	// the mean of window p, its padding counted, what reaches beyond it not
	WindowMean
	InsideMean // the mean of window p's elements that are not padding
)

// A tapRun is what one output element is made of: count input elements from first on, a step apart,
// the first weighted by w0 and the others by w.
type tapRun struct {
	first, count int
	w0, w        float64
}

// runs lists the tap runs of the output axis, and the step between the taps of each.
func (m AxisMap) runs() (runs []tapRun, step int) {
	step = 1
	if m.Kind >= WindowSum {
		step = m.Dilation
	}
	inside := m.windows()
	runs = make([]tapRun, m.Out)
	for p := range runs {
		i := p - m.Before
		switch m.Kind {
		case PadZeros:
			if 0 <= i && i < m.In {
				runs[p] = tapRun{i, 1, 1, 1}
			}
		case PadReflect:
			if i < 0 {
				i = -i
			} else if i >= m.In {
				i = 2*(m.In-1) - i
			}
			runs[p] = tapRun{i, 1, 1, 1}
		case PadReplicate:
			runs[p] = tapRun{max(0, min(i, m.In-1)), 1, 1, 1}
		case Nearest:
			runs[p] = tapRun{int(int64(p) * int64(m.In) / int64(m.Out)), 1, 1, 1}
		case Linear:
			runs[p] = m.between(max(0, (float64(p)+0.5)*float64(m.In)/float64(m.Out)-0.5))
		case LinearAligned:
			runs[p] = m.between(float64(p) * float64(m.In-1) / float64(max(m.Out-1, 1)))
		case AdaptiveMean:
			lo, hi := m.adaptive(p)
			runs[p] = tapRun{lo, hi - lo, 1 / float64(hi-lo), 1 / float64(hi-lo)}
		default:
			w := 1.0
			switch m.Kind {
			case WindowMean:
				taps := (m.In + m.After - m.At(p, 0) + m.Dilation - 1) / m.Dilation
				w = 1 / float64(min(m.Size, taps))
			case InsideMean:
				w = 1 / float64(inside[p].taps)
			}
			runs[p] = tapRun{inside[p].first, inside[p].taps, w, w}
		}
	}
	return runs, step
}

// windows is the part of each window that is not padding, for the kinds that have windows.
func (m AxisMap) windows() []rect {
	if m.Kind < WindowSum {
		return nil
	}
	return m.Window.inside()
}

// adaptive is the range of input elements that output element p of an adaptive pooling is made of.
func (w Window) adaptive(p int) (lo, hi int) {
	in, out, at := int64(w.In), int64(w.Out), int64(p)
	return int(at * in / out), int(((at+1)*in + out - 1) / out)
}

// between is the interpolation at a coordinate of [0, In−1].
func (m AxisMap) between(at float64) tapRun {
	i := min(int(at), m.In-1)
	part := at - float64(i)
	if i+1 >= m.In || part <= 0 {
		return tapRun{i, 1, 1, 1}
	}
	return tapRun{i, 2, 1 - part, part}
}

// Resample applies a map to each axis of x, planes images of rows.In×cols.In, and multiplies the
// result by scale:
//
//	y[n,p,q] = scale · Σ_i Σ_j rows[p,i]·cols[q,j]·x[n,i,j]
//
// Elements outside of a run do not touch its output, so that NaN and infinities stay where they
// are.
func Resample[T Float](rows, cols AxisMap, y, x []T, planes int, scale float64) {
	down, okRows := rows.padRuns()
	across, okCols := cols.padRuns()
	switch {
	case okRows && okCols && scale == 1:
		padPlanes(rows, cols, down, across, y, x, planes)
	case rows.whole() && cols.whole():
		w := scale / float64(rows.In) / float64(cols.In)
		n := rows.In * cols.In
		workers.Spans(planes, max(1, workers.Chunk/n), func(lo, hi int) {
			for i := lo; i < hi; i++ {
				y[i] = T(w * simd.Sum64(x[i*n:][:n]))
			}
		})
	default:
		if a, b := rows.matrix(), cols.matrix(); a != nil && b != nil {
			newSparsePair(sparseOf[T](a, rows.In, scale), sparseOf[T](b, cols.In, 1), rows.In, cols.In).apply(y, x, planes)
			return
		}
		resampleRuns(rows, cols, y, x, planes, scale)
	}
}

// ResampleBackward is the adjoint of Resample: dx[n,i,j] = scale · Σ_p Σ_q
// rows[p,i]·cols[q,j]·dy[n,p,q].
func ResampleBackward[T Float](rows, cols AxisMap, dx, dy []T, planes int, scale float64) {
	down, okRows := rows.padRuns()
	across, okCols := cols.padRuns()
	switch {
	case rows.Kind == PadZeros && cols.Kind == PadZeros && scale == 1:
		Resample(rows.cut(), cols.cut(), dx, dy, planes, 1)
	case okRows && okCols && scale == 1:
		padPlanesBackward(rows, cols, down, across, dx, dy, planes)
	case rows.whole() && cols.whole():
		w := T(scale / float64(rows.In) / float64(cols.In))
		n := rows.In * cols.In
		workers.Spans(planes, max(1, workers.Chunk/n), func(lo, hi int) {
			for i := lo; i < hi; i++ {
				simd.Fill(dx[i*n:][:n], w*dy[i])
			}
		})
	default:
		if a, b := rows.matrix(), cols.matrix(); a != nil && b != nil {
			newSparsePair(sparseOf[T](a.adjoint(rows.In), rows.Out, scale),
				sparseOf[T](b.adjoint(cols.In), cols.Out, 1), rows.Out, cols.Out).apply(dx, dy, planes)
			return
		}
		resampleRunsBackward(rows, cols, dx, dy, planes, scale)
	}
}

// whole says that the map is the mean of the whole axis.
func (m AxisMap) whole() bool { return m.Kind == AdaptiveMean && m.Out == 1 && m.In > 0 }

// resampleRuns is Resample for maps of many taps, whose lists would be long.
func resampleRuns[T Float](rows, cols AxisMap, y, x []T, planes int, scale float64) {
	down, downStep := rows.runs()
	across, acrossStep := cols.runs()
	in, out := rows.In*cols.In, rows.Out*cols.Out
	workers.Spans(planes, max(1, workers.Chunk/max(in, out, 1)), func(lo, hi int) {
		s := takeScratch[T](1)
		defer s.free()
		sum := s.slice(0, cols.In)
		for n := lo; n < hi; n++ {
			x, y := x[n*in:][:in], y[n*out:][:out]
			for p, r := range down {
				y := y[p*cols.Out:][:cols.Out]
				if r.count == 0 {
					clear(y)
					continue
				}
				row := x[r.first*cols.In:][:cols.In]
				if r.count > 1 || r.w0*scale != 1 {
					simd.Scale(sum, row, T(r.w0*scale))
					for k := 1; k < r.count; k++ {
						simd.AddScaled(sum, x[(r.first+k*downStep)*cols.In:][:cols.In], T(r.w*scale))
					}
					row = sum
				}
				mix1(y, row, across, acrossStep)
			}
		}
	})
}

// resampleRunsBackward is the adjoint of resampleRuns.
func resampleRunsBackward[T Float](rows, cols AxisMap, dx, dy []T, planes int, scale float64) {
	down, downStep := rows.runs()
	across, acrossStep := cols.runs()
	in, out := rows.In*cols.In, rows.Out*cols.Out
	workers.Spans(planes, max(1, workers.Chunk/max(in, out, 1)), func(lo, hi int) {
		s := takeScratch[T](1)
		defer s.free()
		row := s.slice(0, cols.In)
		for n := lo; n < hi; n++ {
			dx, dy := dx[n*in:][:in], dy[n*out:][:out]
			clear(dx)
			for p, r := range down {
				if r.count == 0 {
					continue
				}
				clear(row)
				spread(row, dy[p*cols.Out:][:cols.Out], across, acrossStep)
				simd.AddScaled(dx[r.first*cols.In:][:cols.In], row, T(r.w0*scale))
				for k := 1; k < r.count; k++ {
					simd.AddScaled(dx[(r.first+k*downStep)*cols.In:][:cols.In], row, T(r.w*scale))
				}
			}
		}
	})
}

// mix1 is y = the weighted sums of x.
func mix1[T Float](y, x []T, runs []tapRun, step int) {
	for q, r := range runs {
		if r.count == 0 {
			y[q] = 0
			continue
		}
		sum := T(r.w0) * x[r.first]
		w := T(r.w)
		for k, i := 1, r.first+step; k < r.count; k, i = k+1, i+step {
			sum += w * x[i]
		}
		y[q] = sum
	}
}

// spread is the adjoint of mix1, added to x.
func spread[T Float](x, y []T, runs []tapRun, step int) {
	for q, r := range runs {
		if r.count == 0 {
			continue
		}
		x[r.first] += T(r.w0) * y[q]
		v := T(r.w) * y[q]
		for k, i := 1, r.first+step; k < r.count; k, i = k+1, i+step {
			x[i] += v
		}
	}
}

// AddChannels is y = x + b[plane mod len(b)] for each of the planes of the given length. y may be x
// itself.
func AddChannels[T Float](planes, length int, y, x, b []T) {
	workers.Spans(planes, max(1, workers.Chunk/max(length, 1)), func(lo, hi int) {
		for n := lo; n < hi; n++ {
			v, y, x := b[n%len(b)], y[n*length:][:length], x[n*length:][:length]
			simd.AddBias(y, x, v, false)
		}
	})
}
