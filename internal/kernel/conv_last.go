package kernel

import (
	"math"

	"github.com/convgrad/convgrad/internal/simd"
	"github.com/convgrad/convgrad/internal/workers"
)

// Where a graph evaluates, images between its convolutions may have their channels last, N×H×W×C.
// The micro-kernels with filters in lanes store their tiles as they are, and read any order. A
// depthwise filter then has channels in its lanes at any stride, side and size of plane. Nothing is
// transposed.

// last reports whether an image has its channels last.
func (g Conv) last() bool { return g.FromLast || g.ToLast }

// TakesLast reports whether Forward has an algorithm for images with their channels last, as g says
// it, in the tier in use. Elsewhere it transposes.
func TakesLast[T Float](g Conv) bool {
	lanes := simd.NewLaneShape[T]()
	switch {
	case !simd.TakesTaps() || lanes.Vectors == 0 || g.outlandish():
		return false
	case g.depthwise():
		return g.K == g.C && g.FromLast && g.ToLast
	}
	return g.Groups == 1 && g.K >= lanes.Lanes
}

// GainsByLast reports whether a convolution is faster so, in the tier in use: its filters would be
// in lanes in any case, or it is bound by memory.
func GainsByLast[T Float](g Conv) bool {
	const few = 32
	if !TakesLast[T](g) {
		return false
	}
	if g.depthwise() || g.R*g.S == 1 || !g.FromLast && g.K >= few {
		return true
	}
	g.FromLast, g.ToLast = false, false
	p := newForward[T](g)
	name := p.choose().name
	return name == "lanes" || name == "winograd"
}

// Turn transposes n matrices of rows×cols.
func Turn[T Float](n, rows, cols int, dst, src []T) {
	const strip = 64
	strips := (cols + strip - 1) / strip
	workers.Spans(n*strips, max(1, workers.Chunk/(strip*rows)), func(lo, hi int) {
		for t := lo; t < hi; t++ {
			at, first := t/strips*rows*cols, t%strips*strip
			simd.Transpose(dst[at+first*rows:], rows, src[at+first:], cols, rows, min(strip, cols-first))
		}
	})
}

// ToLast has f make n images of c channels and pixels in scratch memory, and puts them into y with
// their channels last.
func ToLast[T Float](n, c, pixels int, y []T, f func(y []T)) {
	s := takeForCall[T](1)
	defer s.free()
	tmp := s.slice(0, n*c*pixels)
	f(tmp)
	Turn(n, c, pixels, y, tmp)
}

// FromLast calls f with the images x, which have their channels last, in the usual order.
func FromLast[T Float](n, c, pixels int, x []T, f func(x []T)) {
	s := takeForCall[T](1)
	defer s.free()
	tmp := s.slice(0, n*c*pixels)
	Turn(n, pixels, c, tmp, x)
	f(tmp)
}

func acceptsTurned[T Float](dir Direction, g Conv) string {
	if dir != ToOutput || !g.last() || TakesLast[T](g) {
		return "nothing to transpose"
	}
	return ""
}

// runTurned is the convolution in the usual order between transpositions.
func runTurned[T Float](_ Direction, g Conv, o operands[T]) {
	switch {
	case g.FromLast:
		FromLast(g.N, g.C, g.H*g.W, o.a, func(x []T) {
			g.FromLast = false
			Forward(g, o.dst, x, o.b, o.bias, o.relu)
		})
	case g.ToLast:
		ToLast(g.N, g.K, g.P*g.Q, o.dst, func(y []T) {
			g.ToLast = false
			Forward(g, y, o.a, o.b, o.bias, o.relu)
		})
	}
}

func acceptsChannels(dir Direction, g Conv) string {
	if dir != ToOutput || !g.last() || !g.depthwise() {
		return "not one input channel a group, or channels not last"
	}
	return ""
}

// cutOf is what results are cut to.
func cutOf[T Float](relu, six bool) [2]T {
	cut := [2]T{T(math.Inf(-1)), T(math.Inf(1))}
	if relu {
		cut[0] = 0
	}
	if relu && six {
		cut[1] = 6
	}
	return cut
}

// runChannels is a depthwise convolution of images with their channels last. The outputs of a row
// that meet the same columns of taps are made together: all but those near the sides.
func runChannels[T Float](_ Direction, g Conv, o operands[T]) {
	s := takeForCall[T](2)
	defer s.free()
	w, done := heldBy(o.b).find(packing{algorithm: "channels", tier: simd.CurrentTier(), m: g.C, rows: g.R, cols: g.S, flip: g.Flip}, s, 0, g.WLen())
	if done != nil {
		for r := range g.R {
			for q := range g.S {
				e := g.element(r, g.R)*g.S + g.element(q, g.S)
				for c := range g.C {
					w[(r*g.S+q)*g.C+c] = o.b[c*g.R*g.S+e]
				}
			}
		}
		done()
	}
	end := s.slice(1, g.C+2)
	bias, cut := end[:g.C], end[g.C:]
	if clear(bias); o.bias != nil {
		copy(bias, o.bias)
	}
	limits := cutOf[T](o.relu, g.ReLU6)
	copy(cut, limits[:])
	// The outputs from lo to hi−1 meet no padding at the sides.
	lo, hi := 0, g.Q
	for lo < hi && !g.Cols.Inside(lo, 0) {
		lo++
	}
	for lo < hi && !g.Cols.Inside(hi-1, g.S-1) {
		hi--
	}
	workers.Spans(g.N*g.P, max(1, workers.Chunk/(g.Q*g.C)), func(from, to int) {
		table := takeInts(2 * g.R * g.S)
		defer table.free()
		for t := from; t < to; t++ {
			n, p := t/g.P, t%g.P
			x, y := o.a[n*g.C*g.H*g.W:][:g.C*g.H*g.W], o.dst[t*g.Q*g.C:][:g.Q*g.C]
			for q, run := 0, 0; q < g.Q; q += run {
				run = 1
				if q == lo && lo < hi {
					run = hi - lo
				}
				taps := g.insideTaps(table.ints[:0], p, q)
				if len(taps) == 0 {
					run = 1
					simd.TapChannelsNone(y[q*g.C:][:g.C], bias, cut)
					continue
				}
				simd.TapChannels(run, g.C, y[q*g.C:], g.C, x, g.Cols.Stride*g.C, taps, w, bias, cut)
			}
		}
	})
}

// insideTaps lists the taps of output (p, q) that meet the image: the distance of what each meets,
// and of its weights.
func (g Conv) insideTaps(taps []int, p, q int) []int {
	for r := range g.R {
		if !g.Rows.Inside(p, r) {
			continue
		}
		for s := range g.S {
			if g.Cols.Inside(q, s) {
				taps = append(taps, (g.Rows.At(p, r)*g.W+g.Cols.At(q, s))*g.C, (r*g.S+s)*g.C)
			}
		}
	}
	return taps
}
