package kernel

import (
	"slices"

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

// like says that outputs p and o have the same taps.
func (s *sparse[T]) like(p, o int) bool {
	a, b := s.start[p], s.start[o]
	n := s.start[p+1] - a
	return s.start[o+1]-b == n && slices.Equal(s.index[a:a+n], s.index[b:b+n]) && slices.Equal(s.weight[a:a+n], s.weight[b:b+n])
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
func applySparse[T Float](down, across *sparse[T], rows, cols int, y, x []T, planes int) {
	p, q := len(down.start)-1, len(across.start)-1
	in, out := rows*cols, p*q
	workers.Spans(planes, max(1, workers.Chunk/max(in, out, 1)), func(lo, hi int) {
		s := takeScratch[T](1)
		defer s.free()
		sum := s.slice(0, cols)
		for n := lo; n < hi; n++ {
			x, y := x[n*in:][:in], y[n*out:][:out]
			for i := range p {
				to := y[i*q:][:q]
				a, b := down.start[i], down.start[i+1]
				if a == b {
					clear(to)
					continue
				}
				if i > 0 && down.like(i, i-1) {
					copy(to, y[(i-1)*q:])
					continue
				}
				row := x[int(down.index[a])*cols:][:cols]
				if b-a > 1 || down.weight[a] != 1 {
					weigh(sum, row, down.weight[a])
					for k := a + 1; k < b; k++ {
						addWeighed(sum, x[int(down.index[k])*cols:][:cols], down.weight[k])
					}
					row = sum
				}
				across.apply(to, row)
			}
		}
	})
}
