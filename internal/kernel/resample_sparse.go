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
	start, index []int32
	weight       []T
	picks        bool // every output is one input
	lo, hi       int  // between these outputs each has two taps
}

func sparseOf[T Float](m *tapMatrix, scale float64) *sparse[T] {
	s := &sparse[T]{start: m.start, index: m.index, weight: make([]T, len(m.weight)), picks: true}
	for k, w := range m.weight {
		s.weight[k] = T(w * scale)
		s.picks = s.picks && s.weight[k] == 1
	}
	out := len(m.start) - 1
	s.picks = s.picks && len(m.index) == out
	two := func(p int) bool { return m.start[p+1]-m.start[p] == 2 }
	for s.lo < out && !two(s.lo) {
		s.lo++
	}
	for s.hi = s.lo; s.hi < out && two(s.hi); s.hi++ {
	}
	for p := range out {
		s.picks = s.picks && m.start[p+1] == m.start[p]+1
	}
	return s
}

// apply is y = the map of x.
func (s *sparse[T]) apply(y, x []T) {
	if s.picks {
		for q, i := range s.index {
			y[q] = x[i]
		}
		return
	}
	s.sums(y, x, 0, s.lo)
	if s.lo < s.hi {
		at := s.start[s.lo]
		index, weight := s.index[at:], s.weight[at:]
		y := y[s.lo:s.hi]
		index, weight = index[:2*len(y)], weight[:2*len(y)]
		for q := range y {
			y[q] = weight[2*q]*x[index[2*q]] + weight[2*q+1]*x[index[2*q+1]]
		}
	}
	s.sums(y, x, s.hi, len(y))
}

func (s *sparse[T]) sums(y, x []T, lo, hi int) {
	for q := lo; q < hi; q++ {
		var sum T
		a, b := s.start[q], s.start[q+1]
		if a < b {
			sum = s.weight[a] * x[s.index[a]]
			for k := a + 1; k < b; k++ {
				sum += s.weight[k] * x[s.index[k]]
			}
		}
		y[q] = sum
	}
}

// applySparse applies down to the columns and across to the rows of each plane, rows×cols of x.
// What is done by vectors, down, is done where the lines are many.
func applySparse[T Float](down, across *sparse[T], rows, cols int, y, x []T, planes int) {
	p, q := len(down.start)-1, len(across.start)-1
	in, out := rows*cols, p*q
	workers.Spans(planes, max(1, workers.Chunk/max(in, out, 1)), func(lo, hi int) {
		s := takeScratch[T](1)
		defer s.free()
		if rows <= p { // across first
			middle := s.slice(0, rows*q)
			for n := lo; n < hi; n++ {
				for i := range rows {
					across.apply(middle[i*q:][:q], x[n*in+i*cols:][:cols])
				}
				for i := range p {
					down.mix(y[n*out+i*q:][:q], middle, i)
				}
			}
			return
		}
		line := s.slice(0, cols)
		for n := lo; n < hi; n++ {
			for i := range p {
				down.mix(line, x[n*in:][:in], i)
				across.apply(y[n*out+i*q:][:q], line)
			}
		}
	})
}

// mix is y = output i of the map of x's lines, each as long as y.
func (s *sparse[T]) mix(y, x []T, i int) {
	n, a, b := len(y), int(s.start[i]), int(s.start[i+1])
	line := func(k int) []T { return x[int(s.index[k])*n:][:n] }
	switch {
	case a == b:
		clear(y)
	case b == a+1 && s.weight[a] == 1:
		copy(y, line(a))
	case b == a+1:
		simd.Scale(y, line(a), s.weight[a])
	default:
		simd.Blend(y, line(a), line(a+1), s.weight[a], s.weight[a+1])
		for k := a + 2; k < b; k++ {
			simd.AddScaled(y, line(k), s.weight[k])
		}
	}
}
