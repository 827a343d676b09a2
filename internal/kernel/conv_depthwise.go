package kernel

import (
	"math"
	"slices"

	"github.com/convgrad/convgrad/internal/simd"
	"github.com/convgrad/convgrad/internal/workers"
)

// A depthwise convolution has one input channel for each group: a plane by itself, read by K/C
// filters. It is bound by memory, not by arithmetic, so that a matrix product has nothing to gain:
// rows of outputs are sums of shifted rows of inputs.

func (g Conv) depthwise() bool { return g.Groups == g.C && g.Groups > 1 }

// plain3x3 reports whether the filters are 3×3 without stride or dilation, which have kernels of
// their own.
func (g Conv) plain3x3() bool {
	return g.R == 3 && g.S == 3 && g.Rows.Stride == 1 && g.Cols.Stride == 1 && g.Rows.Dilation == 1 && g.Cols.Dilation == 1
}

// depthwiseForward pads a plane and sums its rows under the taps of each filter that reads it.
func depthwiseForward[T Float](g Conv, y, x, w, b []T, relu bool) {
	hp, wp := g.Rows.Read(), g.Cols.Read()
	k := g.K / g.C
	offsets := make([]int, 0, g.R*g.S)
	for r := range g.R {
		for s := range g.S {
			offsets = append(offsets, g.element(r, g.R)*g.Rows.Dilation*wp+g.element(s, g.S)*g.Cols.Dilation)
		}
	}
	if g.plain3x3() {
		if d := simd.NewPlane3[T](g.P, g.Q, g.H, g.W, g.Rows.Before, g.Cols.Before); d != nil {
			depthwise3Planes(g.N, g.C, k, d, y, x, w, b, g.Flip, relu, relu && g.ReLU6)
			return
		}
	}
	workers.Spans(g.N*g.C, max(1, workers.Chunk/(g.H*g.W+k*g.P*g.Q)), func(lo, hi int) {
		s := takeScratch[T](1)
		defer s.free()
		padded := s.slice(0, hp*wp+simd.Slack)
		for plane := lo; plane < hi; plane++ {
			pad(frame{1, g.H, g.W, g.Rows.Before, g.Cols.Before, hp, wp}, padded, x[plane*g.H*g.W:], 0, hp)
			for f := plane % g.C * k; f < (plane%g.C+1)*k; f++ {
				out := y[(plane/g.C*g.K+f)*g.P*g.Q:][:g.P*g.Q]
				weights := w[f*g.R*g.S:][:g.R*g.S]
				simd.SumTaps(g.P, g.Q, out, g.Q, padded, g.Rows.Stride*wp, offsets, weights, g.Cols.Stride, false)
				switch {
				case b != nil:
					simd.AddBias(out, out, b[f], relu)
				case relu:
					simd.AddBias(out, out, 0, true)
				}
				if relu && g.ReLU6 {
					upToSix(out)
				}
			}
		}
	})
}

// depthwise3Planes has k filters read each of c planes of n images; turned says that the filters
// are turned by 180°, six that ReLU6 follows.
func depthwise3Planes[T Float](n, c, k int, d *simd.Plane3, y, x, w, b []T, turned, relu, six bool) {
	floor := T(math.Inf(-1))
	if relu {
		floor = 0
	}
	in, out := d.H*d.W, d.Rows*d.Cols
	workers.Spans(n*c, max(1, workers.Chunk/(in+k*out)), func(lo, hi int) {
		for plane := lo; plane < hi; plane++ {
			for f := plane % c * k; f < (plane%c+1)*k; f++ {
				weights := (*[9]T)(w[f*9:])
				if turned {
					reversed := *weights
					slices.Reverse(reversed[:])
					weights = &reversed
				}
				var bias T
				if b != nil {
					bias = b[f]
				}
				to := y[(plane/c*c*k+f)*out:][:out]
				simd.Apply3(d, to, x[plane*in:][:in], weights, bias, floor)
				if six {
					upToSix(to)
				}
			}
		}
	})
}

// depthwiseBackwardData sums, for each input plane, its filters' deltas: for stride 1 as a
// correlation of the padded delta, otherwise by spreading rows.
func depthwiseBackwardData[T Float](g Conv, dx, dy, w []T) {
	k := g.K / g.C
	type part struct {
		offsets    []int
		rows, cols []tap
		ph, pw     int
	}
	if g.plain3x3() && k == 1 {
		// The correlation of the delta with the filter turned, the padding being what completes the
		// filter's side.
		if d := simd.NewPlane3[T](g.H, g.W, g.P, g.Q, 2-g.Rows.Before, 2-g.Cols.Before); d != nil {
			depthwise3Planes(g.N, g.C, 1, d, dx, dy, w, nil, !g.Flip, false, false)
			return
		}
	}
	// One padding of a delta serves all phases.
	var top, left, hp, wp int
	for ph := range min(g.Rows.Stride, g.H) {
		top, hp = max(top, g.rowPhase(ph).margin), max(hp, g.rowPhase(ph).behind())
	}
	for pw := range min(g.Cols.Stride, g.W) {
		left, wp = max(left, g.colPhase(pw).margin), max(wp, g.colPhase(pw).behind())
	}
	hp, wp = top+hp, left+wp
	var phases []part
	for ph := range min(g.Rows.Stride, g.H) {
		rows := g.rowPhase(ph)
		for pw := range min(g.Cols.Stride, g.W) {
			cols := g.colPhase(pw)
			if len(rows.taps) == 0 || len(cols.taps) == 0 {
				continue
			}
			p := part{rows: rows.taps, cols: cols.taps, ph: ph, pw: pw}
			for _, r := range p.rows {
				for _, s := range p.cols {
					p.offsets = append(p.offsets, (r.at+top-rows.margin)*wp+s.at+left-cols.margin)
				}
			}
			phases = append(phases, p)
		}
	}
	workers.Spans(g.N*g.C, max(1, workers.Chunk/(g.H*g.W+k*g.P*g.Q)), func(lo, hi int) {
		s := takeScratch[T](3)
		defer s.free()
		padded := s.slice(0, hp*wp+simd.Slack)
		phase := s.slice(1, g.H*g.W)
		weights := s.slice(2, g.R*g.S)
		for plane := lo; plane < hi; plane++ {
			out := dx[plane*g.H*g.W:][:g.H*g.W]
			clear(out)
			for f := plane % g.C * k; f < (plane%g.C+1)*k; f++ {
				delta := dy[(plane/g.C*g.K+f)*g.P*g.Q:][:g.P*g.Q]
				pad(frame{1, g.P, g.Q, top, left, hp, wp}, padded, delta, 0, hp)
				for _, p := range phases {
					t := 0
					for _, r := range p.rows {
						for _, q := range p.cols {
							weights[t] = w[f*g.R*g.S+r.element*g.S+q.element]
							t++
						}
					}
					count, cols := (g.H-p.ph-1)/g.Rows.Stride+1, (g.W-p.pw-1)/g.Cols.Stride+1
					first := p.ph*g.W + p.pw
					if g.Cols.Stride == 1 {
						simd.SumTaps(count, cols, out[first:], g.Rows.Stride*g.W, padded, wp, p.offsets, weights[:t], 1, true)
						continue
					}
					simd.SumTaps(count, cols, phase, cols, padded, wp, p.offsets, weights[:t], 1, false)
					for i := range count {
						at := first + i*g.Rows.Stride*g.W
						if k == 1 && g.Cols.Stride == 2 && simd.Spread2(out[at:], phase[i*cols:][:cols]) {
							continue
						}
						for _, v := range phase[i*cols:][:cols] {
							out[at] += v
							at += g.Cols.Stride
						}
					}
				}
			}
		}
	})
}

// padSplit pads a plane to hp rows of two halves: the even columns, then the odd ones. A stride of
// 2 then steps by 1 in each.
func padSplit[T Float](g Conv, dst, plane []T, hp, half int) {
	clear(dst[:hp*2*half])
	for h := range min(g.H, hp-g.Rows.Before) {
		row, src := dst[(h+g.Rows.Before)*2*half:][:2*half], plane[h*g.W:][:g.W]
		for p := range 2 {
			first := (p + g.Cols.Before) % 2 // element of src
			to := row[p*half+(first+g.Cols.Before)/2 : (p+1)*half]
			for i := range to {
				if first >= len(src) {
					break
				}
				to[i] = src[first]
				first += 2
			}
		}
	}
}

// depthwiseBackwardFilter makes each tap's sum over a plane as dot products of rows, and joins the
// batch in order.
func depthwiseBackwardFilter[T Float](g Conv, dw, dy, x []T) {
	hp, wp := g.Rows.Read(), g.Cols.Read()
	half := 0 // columns of one parity
	if g.Cols.Stride == 2 {
		half = (wp + 1) / 2
		wp = 2 * half
	}
	k := g.K / g.C
	area := g.R * g.S
	var plain *simd.Plane3
	if g.plain3x3() {
		plain = simd.NewPlane3[T](g.P, g.Q, g.H, g.W, g.Rows.Before, g.Cols.Before)
	}
	workers.Spans(g.C, max(1, workers.Chunk/(g.N*(g.H*g.W+k*g.P*g.Q))), func(lo, hi int) {
		const lanes = 16 // of a vector, at most
		s := takeScratch[T](2)
		defer s.free()
		padded := s.slice(0, hp*wp+simd.Slack)
		parts := s.slice(1, k*area*lanes)
		for c := lo; c < hi; c++ {
			clear(parts)
			for n := range g.N {
				plane := x[(n*g.C+c)*g.H*g.W:][:g.H*g.W]
				switch {
				case plain == nil && half > 0:
					padSplit(g, padded, plane, hp, half)
				case plain == nil:
					pad(frame{1, g.H, g.W, g.Rows.Before, g.Cols.Before, hp, wp}, padded, plane, 0, hp)
				}
				for f := range k {
					delta, parts := dy[(n*g.K+c*k+f)*g.P*g.Q:][:g.P*g.Q], parts[f*area*lanes:][:area*lanes]
					if plain != nil {
						simd.Gradient3(plain, delta, plane, parts)
						continue
					}
					for t := range area {
						row, col, step := g.element(t/g.S, g.R)*g.Rows.Dilation*wp, g.element(t%g.S, g.S)*g.Cols.Dilation, g.Cols.Stride
						if half > 0 {
							col, step = col%2*half+col/2, 1
						}
						sums, from := parts[t*lanes:][:lanes], padded[row+col:]
						if step == 1 && simd.DotRows(g.P, g.Q, delta, from, g.Rows.Stride*wp, sums) {
							continue
						}
						for p := range g.P {
							sums[0] += simd.Dot(delta[p*g.Q:][:g.Q], from[p*g.Rows.Stride*wp:], step)
						}
					}
				}
			}
			width := lanes
			if plain != nil {
				width = plain.Lanes
			}
			for t := range k * area {
				f, tap := t/area, t%area
				if plain != nil && g.Flip {
					tap = area - 1 - tap
				}
				dw[c*k*area+t] = simd.Sum(parts[f*area*lanes+tap*width:][:width])
			}
		}
	})
}
