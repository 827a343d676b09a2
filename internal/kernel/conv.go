package kernel

import (
	"github.com/convgrad/convgrad/internal/simd"
	"github.com/convgrad/convgrad/internal/workers"
)

// Forward is y = x ⋆ w + b, then max(0, ·) where relu is set, and min(·, 6) with g.ReLU6; b may be
// nil.
func Forward[T Float](g Conv, y, x, w, b []T, relu bool) {
	forward(g, y, x, w, b, relu, nil)
}

// forward is Forward, which tells of where it is at, if asked.
func forward[T Float](g Conv, y, x, w, b []T, relu bool, moments *imageMoments[T]) {
	if runWhole(ToOutput, g, operands[T]{y, x, w, b, relu}) {
		return
	}
	c, k := g.C/g.Groups, g.K/g.Groups
	shape := newForward[T](g)
	shape.held = heldBy(w)
	if g.Groups == 1 {
		shape.moments = moments
	}
	for group := range g.Groups {
		p := shape
		p.src, p.dst, p.weights = x[group*c*g.H*g.W:], y[group*k*g.P*g.Q:], w[group*k*c*g.R*g.S:]
		p.relu, p.six, p.group = relu, relu && g.ReLU6, group
		if b != nil {
			p.bias = b[group*k:][:k]
		}
		p.choose().runPart(&p)
	}
}

// newForward is the correlation of one group, without its operands.
func newForward[T Float](g Conv) correlation[T] {
	c := g.C / g.Groups
	var rows, cols []tap
	for r := range g.R {
		rows = append(rows, tap{g.element(r, g.R), r * g.Rows.Dilation})
	}
	for s := range g.S {
		cols = append(cols, tap{g.element(s, g.S), s * g.Cols.Dilation})
	}
	return correlation[T]{
		n: g.N, planes: c, m: g.K / g.Groups, winograd: g.Winograd,
		srcImage: g.C * g.H * g.W, h: g.H, w: g.W,
		top: g.Rows.Before, left: g.Cols.Before, hp: g.Rows.Read(), wp: g.Cols.Read(),
		outH: g.P, outW: g.Q, stepH: g.Rows.Stride, stepW: g.Cols.Stride,
		dstImage: g.K * g.P * g.Q, dstPlane: g.P * g.Q, dstRow: g.Q, dstCol: 1,
		rows: rows, cols: cols,
		wm: c * g.R * g.S, wPlane: g.R * g.S, wRow: g.S,
		srcLast: g.FromLast, dstLast: g.ToLast,
	}
}

// finish adds the bias and cuts negative values, for the paths that do not as they store.
func finish[T Float](planes, length int, y, b []T, relu bool) {
	if b != nil {
		AddChannels(planes, length, y, y, b)
	}
	if y = y[:planes*length]; relu {
		ReLU(y, y)
	}
}

// finishOutput is finish for the output of a convolution.
func finishOutput[T Float](g Conv, y, b []T, relu bool) {
	finish(g.N*g.K, g.P*g.Q, y, b, relu)
	if relu && g.ReLU6 {
		upToSix(y[:g.YLen()])
	}
}

// upToSix is ReLU6 in place, for outputs that are still in a near cache. A micro-kernel may have
// cut them at 0.
func upToSix[T Float](y []T) {
	if !simd.Activate(simd.ReLU6, y, y, 0, 0) {
		for i, v := range y {
			y[i] = min(max(v, 0), 6)
		}
	}
}

// BackwardData is dx, the derivative of Forward by x applied to dy.
//
// The elements of dx whose positions have the same remainders by the strides are a phase. They meet
// the same taps, and are a correlation of dy with stride 1. So no product is made with the zeros of
// the gaps that a stride leaves.
func BackwardData[T Float](g Conv, dx, dy, w []T) { Transposed(g, dx, dy, w, nil, false) }

// Transposed is BackwardData plus b[c] for each channel c, then max(0, ·) where relu is set; b may
// be nil.
func Transposed[T Float](g Conv, dx, dy, w, b []T, relu bool) {
	if runWhole(ToData, g, operands[T]{dst: dx, a: dy, b: w}) {
		finish(g.N*g.C, g.H*g.W, dx, b, relu)
		return
	}
	c, k := g.C/g.Groups, g.K/g.Groups
	if (b != nil || relu) && !endsInLanes[T](g) {
		BackwardData(g, dx, dy, w)
		finish(g.N*g.C, g.H*g.W, dx, b, relu)
		return
	}
	if g.gaps(g.Rows, g.H, g.R) || g.gaps(g.Cols, g.W, g.S) {
		clear(dx[:g.XLen()])
		finish(g.N*g.C, g.H*g.W, dx, b, relu)
	}
	for ph := range min(g.Rows.Stride, g.H) {
		rows := g.rowPhase(ph)
		for group := range g.Groups {
			var last *correlation[T] // a phase that may run with the next
			var chosen *candidate[T]
			for pw := range min(g.Cols.Stride, g.W) {
				cols := g.colPhase(pw)
				if len(rows.taps) == 0 || len(cols.taps) == 0 {
					continue
				}
				p := newBackward[T](g, rows, cols)
				p.src, p.weights = dy[group*k*g.P*g.Q:], w[group*k*c*g.R*g.S:]
				p.dst = dx[group*c*g.H*g.W+ph*g.W+pw:]
				if p.relu = relu; b != nil {
					p.bias = b[group*c:][:c]
				}
				choice := p.choose()
				if last != nil && chosen == choice && choice.runPair != nil && p.dstCol == 2 {
					choice.runPair(last, p)
					last = nil
					continue
				}
				if last != nil {
					chosen.runPart(last)
				}
				last, chosen = p, choice
			}
			if last != nil {
				chosen.runPart(last)
			}
		}
	}
}

// endsInLanes reports whether all phases of BackwardData take the algorithm that adds a bias to
// whole sums, as a second pass would: fused or not, a bias must give the same bits.
func endsInLanes[T Float](g Conv) bool {
	for ph := range min(g.Rows.Stride, g.H) {
		rows := g.rowPhase(ph)
		for pw := range min(g.Cols.Stride, g.W) {
			cols := g.colPhase(pw)
			if len(rows.taps) > 0 && len(cols.taps) > 0 && newBackward[T](g, rows, cols).choose().name != "lanes" {
				return false
			}
		}
	}
	return true
}

// newBackward is the correlation of one group and phase, without its operands.
func newBackward[T Float](g Conv, rows, cols phase) *correlation[T] {
	c := g.C / g.Groups
	return &correlation[T]{
		n: g.N, planes: g.K / g.Groups, m: c, winograd: g.Winograd,
		srcImage: g.K * g.P * g.Q, h: g.P, w: g.Q,
		top: rows.margin, left: cols.margin, hp: rows.padded, wp: cols.padded,
		outH: rows.outputs, outW: cols.outputs, stepH: 1, stepW: 1,
		dstImage: g.C * g.H * g.W, dstPlane: g.H * g.W,
		dstRow: g.Rows.Stride * g.W, dstCol: g.Cols.Stride,
		rows: rows.taps, cols: cols.taps,
		wm: g.R * g.S, wPlane: c * g.R * g.S, wRow: g.S,
	}
}

// A phase is one axis of a phase of BackwardData: its taps, the padding before the delta, the
// delta's length with padding, and how many elements of dx there are.
type phase struct {
	taps                    []tap
	margin, padded, outputs int
}

// behind is how far the phase reads, counted from the first element of the delta.
func (p phase) behind() int { return p.padded - p.margin }

func (g Conv) rowPhase(i int) phase {
	taps, margin, padded := g.phase(g.Rows, i, g.H, g.R)
	return phase{taps, margin, padded, (g.H-i-1)/g.Rows.Stride + 1}
}

func (g Conv) colPhase(i int) phase {
	taps, margin, padded := g.phase(g.Cols, i, g.W, g.S)
	return phase{taps, margin, padded, (g.W-i-1)/g.Cols.Stride + 1}
}

// gaps reports whether some phase of an axis of n elements meets no tap.
func (g Conv) gaps(w Window, n, size int) bool {
	for ph := range min(w.Stride, n) {
		if taps, _, _ := g.phase(w, ph, n, size); len(taps) == 0 {
			return true
		}
	}
	return false
}

// phase lists the taps that the elements ph, ph+Stride, … of an axis of n elements meet, with the
// position in the padded delta of the first element's; margin is the padding before the delta and
// padded its length.
func (g Conv) phase(w Window, ph, n, size int) (taps []tap, margin, padded int) {
	last := (n - ph - 1) / w.Stride
	for r := range size {
		if d := ph + w.Before - r*w.Dilation; d%w.Stride == 0 {
			d /= w.Stride
			// Taps that no element of the phase meets are left out: they could ask for any padding.
			if d+last < 0 || d >= w.Out {
				continue
			}
			taps = append(taps, tap{g.element(r, size), d})
		}
	}
	for _, t := range taps {
		margin = max(margin, -t.at)
	}
	for i := range taps {
		taps[i].at += margin
		padded = max(padded, taps[i].at+last+1)
	}
	return taps, margin, padded
}

// element is the filter's row or column, of size, that lies over tap r.
func (g Conv) element(r, size int) int {
	if g.Flip {
		return size - 1 - r
	}
	return r
}

// outlandish reports whether an image of all channels with its padding is too large to be copied,
// in proportion to the image. At that size the reference is as good as any.
func (g Conv) outlandish() bool {
	const much = 1 << 24
	hp, wp := g.Rows.Read(), g.Cols.Read()
	return hp > much || wp > much || hp*wp > much/g.C && hp*wp > 8*g.H*g.W
}

// A tap is a row or column of the filters and the position in the padded image of what the first
// output's meets.
type tap struct{ element, at int }

// BackwardBias is db[k] = Σ_n Σ_p Σ_q dy[n,k,p,q]: planes are summed alone, then over the batch in
// order.
func BackwardBias[T Float](g Conv, db, dy []T) {
	plane := g.P * g.Q
	workers.Spans(g.K, max(1, workers.Chunk/(g.N*plane)), func(lo, hi int) {
		for k := lo; k < hi; k++ {
			var total T
			for n := range g.N {
				total += simd.Sum(dy[(n*g.K+k)*plane:][:plane])
			}
			db[k] = total
		}
	})
}
