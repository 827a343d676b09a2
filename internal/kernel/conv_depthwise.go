package kernel

import (
	"math"
	"slices"
)

// A depthwise convolution has one input channel for each group: a plane by itself, read by K/C filters. It is bound by memory, not by arithmetic, so
// that a matrix product has nothing to gain: rows of outputs are sums of shifted rows of inputs.

func (g Conv) depthwise() bool { return g.Groups == g.C && g.Groups > 1 }

// plain3x3 reports whether the filters are 3×3 without stride or dilation, which have kernels of their own.
func (g Conv) plain3x3() bool {
	return g.R == 3 && g.S == 3 && g.Rows.Stride == 1 && g.Cols.Stride == 1 && g.Rows.Dilation == 1 && g.Cols.Dilation == 1
}

// A depthwise3 says how a 3×3 filter slides over planes of h×w with stride 1 and this padding, to planes of rows×cols. There are masks for each vector of columns: of what is not
// padding under each of the filter's three columns, and of what is stored.
type depthwise3 struct {
	rows, cols, h, w, top, left int
	masks                       []uint16
}

// newDepthwise3 returns nil where the tier has no kernel for it. Padding may be negative: what lies before it is left out.
func newDepthwise3[T Float](rows, cols, h, w, top, left int) *depthwise3 {
	if tier != AVX512 {
		return nil
	}
	lanes := tapLanes[T]()
	d := &depthwise3{rows: rows, cols: cols, h: h, w: w, top: top, left: left}
	for q := 0; q < cols; q += lanes {
		var m [4]uint16
		for l := range min(lanes, cols-q) {
			m[3] |= 1 << l
			for s := range 3 {
				if i := q + l + s - left; 0 <= i && i < w {
					m[s] |= 1 << l
				}
			}
		}
		d.masks = append(d.masks, m[:]...)
	}
	return d
}

// depthwiseForward pads a plane and sums its rows under the taps of each filter that reads it.
func depthwiseForward[T Float](g Conv, y, x, w, b []T, relu bool) {
	hp, wp := (g.P-1)*g.Rows.Stride+g.Rows.Extent(), (g.Q-1)*g.Cols.Stride+g.Cols.Extent()
	k := g.K / g.C
	offsets := make([]int, 0, g.R*g.S)
	for r := range g.R {
		for s := range g.S {
			offsets = append(offsets, g.element(r, g.R)*g.Rows.Dilation*wp+g.element(s, g.S)*g.Cols.Dilation)
		}
	}
	if g.plain3x3() {
		if d := newDepthwise3[T](g.P, g.Q, g.H, g.W, g.Rows.Before, g.Cols.Before); d != nil {
			depthwise3Planes(g.N, g.C, k, d, y, x, w, b, g.Flip, relu)
			return
		}
	}
	spans(g.N*g.C, max(1, chunk/(g.H*g.W+k*g.P*g.Q)), func(lo, hi int) {
		s := takeScratch[T](1)
		defer s.free()
		padded := s.slice(0, hp*wp+slack)
		for plane := lo; plane < hi; plane++ {
			pad(frame{1, g.H, g.W, g.Rows.Before, g.Cols.Before, hp, wp}, padded, x[plane*g.H*g.W:], 0, hp)
			for f := plane % g.C * k; f < (plane%g.C+1)*k; f++ {
				out := y[(plane/g.C*g.K+f)*g.P*g.Q:][:g.P*g.Q]
				weights := w[f*g.R*g.S:][:g.R*g.S]
				sumTaps(g.P, g.Q, out, g.Q, padded, g.Rows.Stride*wp, offsets, weights, g.Cols.Stride, false)
				switch {
				case b != nil:
					finishRow(out, out, b[f], relu)
				case relu:
					finishRow(out, out, 0, true)
				}
			}
		}
	})
}

// depthwise3Planes has k filters read each of c planes of n images; turned says that the filters are turned by 180°.
func depthwise3Planes[T Float](n, c, k int, d *depthwise3, y, x, w, b []T, turned, relu bool) {
	floor := T(math.Inf(-1))
	if relu {
		floor = 0
	}
	in, out := d.h*d.w, d.rows*d.cols
	spans(n*c, max(1, chunk/(in+k*out)), func(lo, hi int) {
		for plane := lo; plane < hi; plane++ {
			for f := plane % c * k; f < (plane%c+1)*k; f++ {
				weights := [9]T(w[f*9:])
				if turned {
					slices.Reverse(weights[:])
				}
				var bias T
				if b != nil {
					bias = b[f]
				}
				depthwise3Vector(d, y[(plane/c*c*k+f)*out:][:out], x[plane*in:][:in], &weights, bias, floor)
			}
		}
	})
}

// sumTaps is y[r·ldy+q] (+)= Σ_t weights[t]·x[offsets[t] + r·ldx + q·step] for rows of cols. It may read, but not use, up to slack elements behind.
func sumTaps[T Float](rows, cols int, y []T, ldy int, x []T, ldx int, offsets []int, weights []T, step int, accumulate bool) {
	if sumTapsVector(rows, cols, y, ldy, x, ldx, offsets, weights, step, accumulate) {
		return
	}
	for r := range rows {
		row := y[r*ldy:][:cols]
		if !accumulate {
			clear(row)
		}
		for t, off := range offsets {
			v := weights[t]
			from := x[off+r*ldx:]
			if step == 1 {
				for q, u := range from[:cols] {
					row[q] += v * u
				}
				continue
			}
			i := 0
			for q := range row {
				row[q] += v * from[i]
				i += step
			}
		}
	}
}

// depthwiseBackwardData sums, for each input plane, its filters' deltas: for stride 1 as a correlation of the padded delta, otherwise by spreading rows.
func depthwiseBackwardData[T Float](g Conv, dx, dy, w []T) {
	k := g.K / g.C
	type part struct {
		offsets    []int
		rows, cols []tap
		ph, pw     int
		top, left  int
		hp, wp     int
	}
	if g.plain3x3() && k == 1 {
		// The correlation of the delta with the filter turned, the padding being what completes the filter's side.
		if d := newDepthwise3[T](g.H, g.W, g.P, g.Q, 2-g.Rows.Before, 2-g.Cols.Before); d != nil {
			depthwise3Planes(g.N, g.C, 1, d, dx, dy, w, nil, !g.Flip, false)
			return
		}
	}
	var phases []part
	size := 0
	for ph := range min(g.Rows.Stride, g.H) {
		rows, top, hp := g.phase(g.Rows, ph, g.H, g.R)
		for pw := range min(g.Cols.Stride, g.W) {
			cols, left, wp := g.phase(g.Cols, pw, g.W, g.S)
			if len(rows) == 0 || len(cols) == 0 {
				continue
			}
			p := part{rows: rows, cols: cols, ph: ph, pw: pw, top: top, left: left, hp: hp, wp: wp}
			for _, r := range rows {
				for _, s := range cols {
					p.offsets = append(p.offsets, r.at*wp+s.at)
				}
			}
			phases = append(phases, p)
			size = max(size, hp*wp)
		}
	}
	spans(g.N*g.C, max(1, chunk/(g.H*g.W+k*g.P*g.Q)), func(lo, hi int) {
		s := takeScratch[T](3)
		defer s.free()
		padded := s.slice(0, size+slack)
		phase := s.slice(1, g.H*g.W)
		weights := s.slice(2, g.R*g.S)
		for plane := lo; plane < hi; plane++ {
			out := dx[plane*g.H*g.W:][:g.H*g.W]
			clear(out)
			for f := plane % g.C * k; f < (plane%g.C+1)*k; f++ {
				delta := dy[(plane/g.C*g.K+f)*g.P*g.Q:][:g.P*g.Q]
				for _, p := range phases {
					pad(frame{1, g.P, g.Q, p.top, p.left, p.hp, p.wp}, padded, delta, 0, p.hp)
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
						sumTaps(count, cols, out[first:], g.Rows.Stride*g.W, padded, p.wp, p.offsets, weights[:t], 1, true)
						continue
					}
					sumTaps(count, cols, phase, cols, padded, p.wp, p.offsets, weights[:t], 1, false)
					for i := range count {
						at := first + i*g.Rows.Stride*g.W
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

// depthwiseBackwardFilter makes each tap's sum over a plane as dot products of rows, and joins the batch in order.
func depthwiseBackwardFilter[T Float](g Conv, dw, dy, x []T) {
	hp, wp := (g.P-1)*g.Rows.Stride+g.Rows.Extent(), (g.Q-1)*g.Cols.Stride+g.Cols.Extent()
	k := g.K / g.C
	area := g.R * g.S
	var plain *depthwise3
	if g.plain3x3() {
		plain = newDepthwise3[T](g.P, g.Q, g.H, g.W, g.Rows.Before, g.Cols.Before)
	}
	spans(g.C, max(1, chunk/(g.N*(g.H*g.W+k*g.P*g.Q))), func(lo, hi int) {
		const lanes = 16 // of a vector, at most
		s := takeScratch[T](2)
		defer s.free()
		padded := s.slice(0, hp*wp+slack)
		parts := s.slice(1, k*area*lanes)
		for c := lo; c < hi; c++ {
			clear(parts)
			for n := range g.N {
				plane := x[(n*g.C+c)*g.H*g.W:][:g.H*g.W]
				if plain == nil {
					pad(frame{1, g.H, g.W, g.Rows.Before, g.Cols.Before, hp, wp}, padded, plane, 0, hp)
				}
				for f := range k {
					delta, parts := dy[(n*g.K+c*k+f)*g.P*g.Q:][:g.P*g.Q], parts[f*area*lanes:][:area*lanes]
					if plain != nil {
						depthwiseFilter3Vector(plain, delta, plane, parts)
						continue
					}
					for t := range area {
						at := g.element(t/g.S, g.R)*g.Rows.Dilation*wp + g.element(t%g.S, g.S)*g.Cols.Dilation
						sums, from := parts[t*lanes:][:lanes], padded[at:]
						if g.Cols.Stride == 1 && dotRowsVector(g.P, g.Q, delta, from, g.Rows.Stride*wp, sums) > 0 {
							continue
						}
						for p := range g.P {
							sums[0] += dotStep(delta[p*g.Q:][:g.Q], from[p*g.Rows.Stride*wp:], g.Cols.Stride)
						}
					}
				}
			}
			width := lanes
			if plain != nil {
				width = tapLanes[T]()
			}
			for t := range k * area {
				f, tap := t/area, t%area
				if plain != nil && g.Flip {
					tap = area - 1 - tap
				}
				dw[c*k*area+t] = sum(parts[f*area*lanes+tap*width:][:width])
			}
		}
	})
}

// dotStep is Σ_q d[q]·x[q·step], in four interleaved sums.
func dotStep[T Float](d, x []T, step int) T {
	var s0, s1, s2, s3 T
	if step == 1 {
		x = x[:len(d)]
		for len(d) >= 4 && len(x) >= 4 {
			s0 += d[0] * x[0]
			s1 += d[1] * x[1]
			s2 += d[2] * x[2]
			s3 += d[3] * x[3]
			d, x = d[4:], x[4:]
		}
	}
	i := 0
	for _, v := range d {
		s0 += v * x[i]
		i += step
	}
	return (s0 + s2) + (s1 + s3)
}

// tapLanes is the distance of the sums of two taps that depthwiseFilter3Vector makes: a vector's lanes.
func tapLanes[T Float]() int {
	if _, single := any(T(0)).(float32); single || tier != AVX512 {
		return 16
	}
	return 8
}
