package kernel

import (
	"slices"

	"github.com/convgrad/convgrad/internal/simd"
	"github.com/convgrad/convgrad/internal/workers"
)

// A tapMatrix is a map of an axis by its weights that are not 0: output p is the sum of weight[k]
// times input index[k] for k from start[p] to start[p+1]−1.
type tapMatrix struct {
	start, index []int32
	weight       []float64
}

// matrix lists the map's taps, or returns nil if they are many times as many as the elements.
func (m AxisMap) matrix() *tapMatrix {
	runs, step := m.runs()
	taps := 0
	for _, r := range runs {
		if taps += r.count; taps > 8*(m.In+m.Out) {
			return nil
		}
	}
	t := &tapMatrix{make([]int32, 1, m.Out+1), make([]int32, 0, taps), make([]float64, 0, taps)}
	for _, r := range runs {
		for k := range r.count {
			w := r.w
			if k == 0 {
				w = r.w0
			}
			t.index, t.weight = append(t.index, int32(r.first+k*step)), append(t.weight, w)
		}
		t.start = append(t.start, int32(len(t.index)))
	}
	return t
}

// adjoint is the transposed matrix, for an axis of in input elements.
func (t *tapMatrix) adjoint(in int) *tapMatrix {
	a := &tapMatrix{make([]int32, in+1), make([]int32, len(t.index)), make([]float64, len(t.index))}
	for _, i := range t.index {
		a.start[i+1]++
	}
	for i := range in {
		a.start[i+1] += a.start[i]
	}
	next := slices.Clone(a.start)
	for p := range len(t.start) - 1 {
		for k := t.start[p]; k < t.start[p+1]; k++ {
			i := t.index[k]
			a.index[next[i]], a.weight[next[i]] = int32(p), t.weight[k]
			next[i]++
		}
	}
	return a
}

// A sparse is a tapMatrix ready to be applied.
type sparse[T Float] struct {
	simd.Taps[T]
	same bool // every output is the input of the same number
}

// sparseOf is the matrix times scale, for an axis of in input elements.
func sparseOf[T Float](m *tapMatrix, in int, scale float64) *sparse[T] {
	s := &sparse[T]{Taps: simd.Taps[T]{Start: m.start, Index: m.index, Weight: make([]T, len(m.weight))}}
	s.same = s.Outputs() == in && len(m.index) == in
	for k, w := range m.weight {
		s.Weight[k] = T(w * scale)
		s.same = s.same && s.Weight[k] == 1 && m.index[k] == int32(k) && m.start[k] == int32(k)
	}
	return s
}

// A sparsePair is a map of the columns and one of the rows of planes, rows×cols.
type sparsePair[T Float] struct {
	down, across *sparse[T]
	rows, cols   int
	ready        *simd.Across[T] // across
}

func newSparsePair[T Float](down, across *sparse[T], rows, cols int) *sparsePair[T] {
	return &sparsePair[T]{down, across, rows, cols, simd.NewAcross(&across.Taps)}
}

// in and out are the numbers of elements of a plane.
func (s *sparsePair[T]) in() int  { return s.rows * s.cols }
func (s *sparsePair[T]) out() int { return s.down.Outputs() * s.across.Outputs() }

// planes maps n planes at the begin of x. What comes first is what leaves less to the other.
// Vectors may read, but not use, what x holds behind the planes. It uses the scratch buffer of that
// number.
func (s *sparsePair[T]) planes(n int, y, x []T, t *scratch[T], buffer int) {
	p, q := s.down.Outputs(), s.across.Outputs()
	rows := func(y, x []T, columns int) {
		for i := range n {
			simd.MixRows(y[i*p*columns:], columns, x[i*s.rows*columns:], columns, columns, &s.down.Taps)
		}
	}
	switch {
	case s.in() == 0 || s.out() == 0:
		clear(y)
	case s.down.same:
		simd.MixAcross(n*p, y, q, x, s.cols, s.ready)
	case s.across.same:
		rows(y, x, q)
	case s.rows <= p:
		middle := t.slice(buffer, n*s.rows*q)
		simd.MixAcross(n*s.rows, middle, q, x, s.cols, s.ready)
		rows(y, middle, q)
	default:
		middle := t.slice(buffer, n*p*s.cols+simd.Slack)
		rows(middle, x, s.cols)
		simd.MixAcross(n*p, y, q, middle, s.cols, s.ready)
	}
}

// plane is planes for one.
func (s *sparsePair[T]) plane(y, x []T, t *scratch[T], buffer int) { s.planes(1, y, x, t, buffer) }

// nearElements is what planes that are mapped together have between the axes: it stays in the
// nearest cache.
const nearElements = 1 << 11

// apply maps so many planes.
func (s *sparsePair[T]) apply(y, x []T, planes int) {
	in, out := s.in(), s.out()
	together := max(1, nearElements/max(1, min(s.rows, s.down.Outputs())*max(s.cols, s.across.Outputs())))
	workers.Spans(planes, max(1, workers.Chunk/max(in, out, 1)), func(lo, hi int) {
		t := takeScratch[T](1)
		defer t.free()
		for n := lo; n < hi; n += together {
			k := min(together, hi-n)
			s.planes(k, y[n*out:][:k*out], x[n*in:], t, 0)
		}
	})
}
