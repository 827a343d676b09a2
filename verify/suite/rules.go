package suite

import (
	"math"
	"strings"

	"github.com/convgrad/convgrad/internal/kernel"
)

// A rule is an op and its derivative written plainly, in float64: the ground that mistakes are
// planted in. It shares nothing with the formulas but the geometry.
type rule interface {
	forward(in [][]float64) []float64
	backward(in [][]float64, y, dy []float64) [][]float64
	mistakes() []mistake // those that only this op can have
}

// A mistake is a wrong rule. A nil function is the right one.
type mistake struct {
	name     string
	forward  func(in [][]float64) []float64
	backward func(in [][]float64, y, dy []float64) [][]float64

	overwrites bool // the gradient is stored where it should be added
	dirty      bool // the kernel adds to what its destination holds
}

type convRule struct {
	g       kernel.Conv
	relu    bool
	grouped bool // the op's cases have groups
	dense   bool // the op's cases have stride and dilation 1
}

func (c convRule) plain(g kernel.Conv, in [][]float64) []float64 {
	y := make([]float64, g.YLen())
	kernel.RefForward(g, y, in[0], in[1])
	if len(in) > 2 {
		kernel.RefAddBias(g, y, in[2])
	}
	return y
}

func (c convRule) cut(y []float64) []float64 {
	for i, v := range y {
		if c.relu && !(v > 0) {
			y[i] = 0
		}
	}
	return y
}

func (c convRule) forward(in [][]float64) []float64 { return c.cut(c.plain(c.g, in)) }

func (c convRule) gate(y, dy []float64) []float64 {
	dy = append([]float64(nil), dy...)
	for i := range dy {
		if c.relu && !(y[i] > 0) {
			dy[i] = 0
		}
	}
	return dy
}

// data and filter are the two derivatives with geometries that may be wrong; taps that a wrong
// geometry puts outside are left out.
func (c convRule) data(g kernel.Conv, dy, w []float64) []float64 {
	dx := make([]float64, c.g.XLen())
	g.Taps(func(yi, xi, wi int) {
		if xi < len(dx) && yi < len(dy) && wi < len(w) {
			dx[xi] += dy[yi] * w[wi]
		}
	})
	return dx
}

func (c convRule) filter(g kernel.Conv, dy, x []float64) []float64 {
	dw := make([]float64, c.g.WLen())
	g.Taps(func(yi, xi, wi int) {
		if xi < len(x) && yi < len(dy) && wi < len(dw) {
			dw[wi] += dy[yi] * x[xi]
		}
	})
	return dw
}

func (c convRule) backward(in [][]float64, y, dy []float64) [][]float64 {
	return c.backwardWith(c.g, c.g, in, y, dy)
}

func (c convRule) backwardWith(forData, forFilter kernel.Conv, in [][]float64, y, dy []float64) [][]float64 {
	dy = c.gate(y, dy)
	grads := [][]float64{c.data(forData, dy, in[1]), c.filter(forFilter, dy, in[0])}
	if len(in) > 2 {
		db := make([]float64, c.g.K)
		kernel.RefBackwardBias(c.g, db, dy)
		grads = append(grads, db)
	}
	return grads
}

// wrongGeometries are the ways to get a convolution's geometry wrong.
func wrongGeometries(g kernel.Conv) []struct {
	name string
	g    kernel.Conv
} {
	type named = struct {
		name string
		g    kernel.Conv
	}
	flip, pad, padRight, stride, dilation := g, g, g, g, g
	flip.Flip = !g.Flip
	pad.Rows.Before++
	padRight.Cols.Before--
	stride.Rows.Stride, stride.Cols.Stride = g.Cols.Stride, g.Rows.Stride
	dilation.Rows.Dilation, dilation.Cols.Dilation = 1, 1
	return []named{{"the kernel turned by 180°", flip}, {"padding off by one, rows", pad}, {"padding off by one, columns", padRight}, {"stride of the other axis", stride}, {"dilation ignored", dilation}}
}

// permuteChannels reverses the channels of an image, or of each filter.
func permuteChannels(v []float64, outer, channels, plane int) []float64 {
	r := make([]float64, len(v))
	for o := range outer {
		for c := range channels {
			copy(r[(o*channels+channels-1-c)*plane:][:plane], v[(o*channels+c)*plane:][:plane])
		}
	}
	return r
}

func (c convRule) mistakes() []mistake {
	g := c.g
	var all []mistake
	for _, wrong := range wrongGeometries(g) {
		if c.dense && (strings.HasPrefix(wrong.name, "stride") || strings.HasPrefix(wrong.name, "dilation")) {
			continue
		}
		all = append(all,
			mistake{name: "dx: " + wrong.name, backward: func(in [][]float64, y, dy []float64) [][]float64 { return c.backwardWith(wrong.g, g, in, y, dy) }},
			mistake{name: "dw: " + wrong.name, backward: func(in [][]float64, y, dy []float64) [][]float64 { return c.backwardWith(g, wrong.g, in, y, dy) }},
			mistake{name: "y: " + wrong.name, forward: func(in [][]float64) []float64 { return c.cut(c.plain(wrong.g, in)) }})
	}
	edit := func(name string, change func(grads [][]float64, in [][]float64, y, dy []float64)) {
		all = append(all, mistake{name: name, backward: func(in [][]float64, y, dy []float64) [][]float64 {
			grads := c.backward(in, y, dy)
			change(grads, in, y, dy)
			return grads
		}})
	}
	edit("dw: channels swapped", func(grads, _ [][]float64, _, _ []float64) {
		if g.C == g.Groups { // depthwise: a filter has one channel, so filters are swapped
			grads[1] = permuteChannels(grads[1], 1, g.K, g.R*g.S)
		} else {
			grads[1] = permuteChannels(grads[1], g.K, g.C/g.Groups, g.R*g.S)
		}
	})
	edit("dx: channels swapped", func(grads, _ [][]float64, _, _ []float64) { grads[0] = permuteChannels(grads[0], g.N, g.C, g.H*g.W) })
	if c.grouped {
		edit("dx: groups offset by one", func(grads, in [][]float64, y, dy []float64) {
			shift := g.C / g.Groups * g.H * g.W % len(grads[0])
			grads[0] = append(append([]float64(nil), grads[0][shift:]...), grads[0][:shift]...)
		})
	}
	edit("dw: the last image of the batch forgotten", func(grads, in [][]float64, y, dy []float64) {
		x := append([]float64(nil), in[0]...)
		clear(x[len(x)-g.C*g.H*g.W:])
		grads[1] = c.filter(g, c.gate(y, dy), x)
	})
	edit("db: the bias forgotten", func(grads, _ [][]float64, _, _ []float64) {
		if len(grads) > 2 {
			clear(grads[2])
		}
	})
	edit("db: a mean in place of a sum", func(grads, _ [][]float64, _, _ []float64) {
		if len(grads) > 2 {
			for i := range grads[2] {
				grads[2][i] /= float64(g.N * g.P * g.Q)
			}
		}
	})
	all = append(all, mistake{name: "y: the bias forgotten", forward: func(in [][]float64) []float64 { return c.cut(c.plain(g, in[:2])) }})
	if c.relu {
		all = append(all, mistake{name: "dx, dw, db: ReLU's mask forgotten", backward: func(in [][]float64, y, dy []float64) [][]float64 {
			return convRule{g: g}.backward(in, y, dy)
		}})
	}
	return all
}

// dataRule and filterRule are the two backward ops as ops of their own, whose derivatives are the
// family's other members.
type dataRule struct{ convRule }

func (d dataRule) forward(in [][]float64) []float64 { return d.data(d.g, in[0], in[1]) }
func (d dataRule) backward(in [][]float64, _, ddx []float64) [][]float64 {
	return d.with(d.g, d.g, in, ddx)
}
func (d dataRule) with(forward, filter kernel.Conv, in [][]float64, ddx []float64) [][]float64 {
	return [][]float64{d.plain(forward, [][]float64{ddx, in[1]}), d.filter(filter, in[0], ddx)}
}
func (d dataRule) mistakes() []mistake {
	var all []mistake
	for _, wrong := range wrongGeometries(d.g) {
		all = append(all,
			mistake{name: "ddy: " + wrong.name, backward: func(in [][]float64, _, ddx []float64) [][]float64 { return d.with(wrong.g, d.g, in, ddx) }},
			mistake{name: "dw: " + wrong.name, backward: func(in [][]float64, _, ddx []float64) [][]float64 { return d.with(d.g, wrong.g, in, ddx) }},
			mistake{name: "dx: " + wrong.name, forward: func(in [][]float64) []float64 { return d.data(wrong.g, in[0], in[1]) }})
	}
	return all
}

type filterRule struct{ convRule }

func (f filterRule) forward(in [][]float64) []float64 { return f.filter(f.g, in[1], in[0]) }
func (f filterRule) backward(in [][]float64, _, ddw []float64) [][]float64 {
	return f.with(f.g, f.g, in, ddw)
}
func (f filterRule) with(data, forward kernel.Conv, in [][]float64, ddw []float64) [][]float64 {
	return [][]float64{f.data(data, in[1], ddw), f.plain(forward, [][]float64{in[0], ddw})}
}
func (f filterRule) mistakes() []mistake {
	var all []mistake
	for _, wrong := range wrongGeometries(f.g) {
		all = append(all,
			mistake{name: "dx: " + wrong.name, backward: func(in [][]float64, _, ddw []float64) [][]float64 { return f.with(wrong.g, f.g, in, ddw) }},
			mistake{name: "ddy: " + wrong.name, backward: func(in [][]float64, _, ddw []float64) [][]float64 { return f.with(f.g, wrong.g, in, ddw) }},
			mistake{name: "dw: " + wrong.name, forward: func(in [][]float64) []float64 { return f.filter(wrong.g, in[1], in[0]) }})
	}
	return all
}

type poolRule struct {
	g     kernel.Pool
	kind  string
	count bool
}

func (p poolRule) divisor(at []int) float64 {
	if p.count {
		return float64(p.g.R * p.g.S)
	}
	return float64(len(at))
}

func (p poolRule) forward(in [][]float64) []float64 { return p.forwardBy(in, p.divisor) }

func (p poolRule) forwardBy(in [][]float64, divisor func(at []int) float64) []float64 {
	x, y := in[0], make([]float64, p.g.YLen())
	p.g.Windows(func(yi, _ int, at []int) {
		switch p.kind {
		case "max":
			y[yi] = x[winnerOf(x, at)]
		case "average":
			for _, i := range at {
				y[yi] += x[i]
			}
			y[yi] /= divisor(at)
		default:
			for _, i := range at {
				y[yi] += x[i] * x[i]
			}
			y[yi] = math.Sqrt(y[yi])
		}
	})
	return y
}

func winnerOf(x []float64, at []int) int {
	best := at[0]
	for _, i := range at {
		if x[i] > x[best] {
			best = i
		}
	}
	return best
}

func (p poolRule) backward(in [][]float64, y, dy []float64) [][]float64 {
	return p.backwardBy(p.g, in, y, dy, p.divisor, winnerOf, func(to *float64, v float64) { *to += v })
}

func (p poolRule) backwardBy(g kernel.Pool, in [][]float64, y, dy []float64, divisor func(at []int) float64, winner func(x []float64, at []int) int, add func(to *float64, v float64)) [][]float64 {
	x, dx := in[0], make([]float64, p.g.XLen())
	g.Windows(func(yi, _ int, at []int) {
		if len(at) == 0 || at[len(at)-1] >= len(dx) {
			return
		}
		switch p.kind {
		case "max":
			if i := winner(x, at); i < len(dx) {
				add(&dx[i], dy[yi])
			}
		case "average":
			for _, i := range at {
				add(&dx[i], dy[yi]/divisor(at))
			}
		default:
			for _, i := range at {
				add(&dx[i], dy[yi]*x[i]/y[yi])
			}
		}
	})
	return [][]float64{dx}
}

func (p poolRule) mistakes() []mistake {
	right := func(to *float64, v float64) { *to += v }
	with := func(name string, g kernel.Pool, divisor func(at []int) float64, winner func(x []float64, at []int) int, add func(to *float64, v float64)) mistake {
		return mistake{name: name, backward: func(in [][]float64, y, dy []float64) [][]float64 {
			return p.backwardBy(g, in, y, dy, divisor, winner, add)
		}}
	}
	pad, stride, dilation := p.g, p.g, p.g
	pad.Rows.Before++
	stride.Rows.Stride, stride.Cols.Stride = p.g.Cols.Stride, p.g.Rows.Stride
	dilation.Rows.Dilation, dilation.Cols.Dilation = 1, 1
	all := []mistake{
		with("dx: padding off by one", pad, p.divisor, winnerOf, right),
		with("dx: stride of the other axis", stride, p.divisor, winnerOf, right),
		with("dx: dilation ignored", dilation, p.divisor, winnerOf, right),
		with("dx: stored, not added, where windows overlap", p.g, p.divisor, winnerOf, func(to *float64, v float64) { *to = v }),
	}
	switch p.kind {
	case "max":
		all = append(all,
			with("dx: the winner off by one", p.g, p.divisor, func(x []float64, at []int) int { return winnerOf(x, at) + 1 }, right),
			with("dx: the least wins", p.g, p.divisor, func(x []float64, at []int) int {
				best := at[0]
				for _, i := range at {
					if x[i] < x[best] {
						best = i
					}
				}
				return best
			}, right),
			with("dx: the window's first element wins", p.g, p.divisor, func(_ []float64, at []int) int { return at[0] }, right),
			mistake{name: "y: padding counts as 0", forward: func(in [][]float64) []float64 {
				y := p.forward(in)
				p.g.Windows(func(yi, _ int, at []int) {
					if len(at) < p.g.R*p.g.S {
						y[yi] = max(y[yi], 0)
					}
				})
				return y
			}},
		)
	case "average":
		other := func(at []int) float64 {
			if p.count {
				return float64(len(at))
			}
			return float64(p.g.R * p.g.S)
		}
		width := func([]int) float64 { return float64(p.g.W) }
		side := func([]int) float64 { return float64(p.g.R) }
		all = append(all,
			with("dx: the other divisor", p.g, other, winnerOf, right),
			with("dx: divided by the input's width, as Gorgonia does", p.g, width, winnerOf, right),
			with("dx: divided by N, not N×N", p.g, side, winnerOf, right),
			mistake{name: "y: the other divisor", forward: func(in [][]float64) []float64 { return p.forwardBy(in, other) }},
			mistake{name: "y: divided by the input's width, as Gorgonia does", forward: func(in [][]float64) []float64 { return p.forwardBy(in, width) }},
		)
	default:
		scale := func(name string, f func(v, y float64) float64) mistake {
			return mistake{name: name, backward: func(in [][]float64, y, dy []float64) [][]float64 {
				scaled := append([]float64(nil), dy...)
				for i := range scaled {
					scaled[i] = f(dy[i], y[i])
				}
				return p.backward(in, y, scaled)
			}}
		}
		all = append(all,
			scale("dx: x, not x/y", func(v, y float64) float64 { return v * y }),
			scale("dx: x/y²", func(v, y float64) float64 { return v / y }),
			scale("dx: 2x/y, the square's factor left in", func(v, y float64) float64 { return 2 * v }),
			mistake{name: "y: the root forgotten", forward: func(in [][]float64) []float64 {
				y := p.forward(in)
				for i, v := range y {
					y[i] = v * v
				}
				return y
			}})
	}
	return all
}

// simple is a rule made of two functions, for ops of one input.
type simple struct {
	f        func(in [][]float64) []float64
	b        func(in [][]float64, y, dy []float64) [][]float64
	specific []mistake
}

func (s simple) forward(in [][]float64) []float64                     { return s.f(in) }
func (s simple) backward(in [][]float64, y, dy []float64) [][]float64 { return s.b(in, y, dy) }
func (s simple) mistakes() []mistake                                  { return s.specific }

// by makes a backward pass of an elementwise derivative.
func by(slope func(x, y float64) float64) func(in [][]float64, y, dy []float64) [][]float64 {
	return func(in [][]float64, y, dy []float64) [][]float64 {
		dx := make([]float64, len(in[0]))
		for i := range dx {
			dx[i] = dy[i] * slope(in[0][i], y[i])
		}
		return [][]float64{dx}
	}
}

func each(f func(x float64) float64) func(in [][]float64) []float64 {
	return func(in [][]float64) []float64 {
		y := make([]float64, len(in[0]))
		for i, x := range in[0] {
			y[i] = f(x)
		}
		return y
	}
}

func step(yes bool) float64 {
	if yes {
		return 1
	}
	return 0
}

func newReLURule() rule {
	return simple{
		each(func(x float64) float64 { return max(x, 0) }), by(func(x, _ float64) float64 { return step(x > 0) }),
		[]mistake{
			{name: "dx: the mask forgotten", backward: by(func(_, _ float64) float64 { return 1 })},
			{name: "dx: the mask of x < 0", backward: by(func(x, _ float64) float64 { return step(x < 0) })},
			{name: "dx: multiplied by the activation", backward: by(func(_, y float64) float64 { return y })},
			{name: "dx: leaky", backward: by(func(x, _ float64) float64 { return max(step(x > 0), 0.01) })},
			{name: "y: |x|", forward: each(math.Abs)},
			{name: "y: leaky", forward: each(func(x float64) float64 { return max(x, 0.01*x) })},
			{name: "y: min(0, x)", forward: each(func(x float64) float64 { return min(x, 0) })},
			{name: "y: cut at 6", forward: each(func(x float64) float64 { return min(max(x, 0), 6) })},
		},
	}
}

func newCopyRule() rule {
	identity := each(func(x float64) float64 { return x })
	// the even elements, then the odd ones: what a column-major copy makes of pairs
	columnMajor := func(v []float64) []float64 {
		var r []float64
		for first := range 2 {
			for i := first; i < len(v); i += 2 {
				r = append(r, v[i])
			}
		}
		return r
	}
	return simple{identity, by(func(_, _ float64) float64 { return 1 }), []mistake{
		{name: "y: column-major", forward: func(in [][]float64) []float64 { return columnMajor(in[0]) }},
		{name: "dx: column-major", backward: func(_ [][]float64, _, dy []float64) [][]float64 { return [][]float64{columnMajor(dy)} }},
	}}
}

func newMaskRule(mask []float64) rule {
	apply := func(v []float64, f func(m float64) float64) []float64 {
		y := make([]float64, len(v))
		for i := range v {
			y[i] = v[i] * f(mask[i])
		}
		return y
	}
	same := func(m float64) float64 { return m }
	wrong := func(name string, f func(m float64) float64) []mistake {
		return []mistake{
			{name: "y: " + name, forward: func(in [][]float64) []float64 { return apply(in[0], f) }},
			{name: "dx: " + name, backward: func(_ [][]float64, _, dy []float64) [][]float64 { return [][]float64{apply(dy, f)} }},
		}
	}
	var all []mistake
	all = append(all, wrong("not scaled by 1/(1−p)", func(m float64) float64 { return step(m != 0) })...)
	all = append(all, wrong("scaled twice", func(m float64) float64 { return m * m })...)
	all = append(all, wrong("the mask forgotten", func(float64) float64 { return 1 })...)
	all = append(all, wrong("divided by p, not 1 − p, as Gorgonia's gradient is", func(m float64) float64 {
		if m == 0 {
			return 0
		}
		return 1 / (1 - 1/m)
	})...)
	return simple{
		func(in [][]float64) []float64 { return apply(in[0], same) },
		func(_ [][]float64, _, dy []float64) [][]float64 { return [][]float64{apply(dy, same)} },
		all,
	}
}

func newLinearRule(n, i, o int) rule {
	f := func(in [][]float64) []float64 {
		y := make([]float64, n*o)
		for r := range n {
			for c := range o {
				for k := range i {
					y[r*o+c] += in[0][r*i+k] * in[1][c*i+k]
				}
				if len(in) > 2 {
					y[r*o+c] += in[2][c]
				}
			}
		}
		return y
	}
	b := func(in [][]float64, _, dy []float64) [][]float64 {
		dx, dw, db := make([]float64, n*i), make([]float64, o*i), make([]float64, o)
		for r := range n {
			for c := range o {
				for k := range i {
					dx[r*i+k] += dy[r*o+c] * in[1][c*i+k]
					dw[c*i+k] += dy[r*o+c] * in[0][r*i+k]
				}
				db[c] += dy[r*o+c]
			}
		}
		return [][]float64{dx, dw, db}[:len(in)]
	}
	turn := func(v []float64, rows, cols int) []float64 {
		t := make([]float64, len(v))
		for k := range v {
			t[k%cols*rows+k/cols] = v[k]
		}
		return t
	}
	edit := func(name string, change func(grads [][]float64)) mistake {
		return mistake{name: name, backward: func(in [][]float64, y, dy []float64) [][]float64 {
			grads := b(in, y, dy)
			change(grads)
			return grads
		}}
	}
	return simple{f, b, []mistake{
		edit("dw: transposed", func(grads [][]float64) { grads[1] = turn(grads[1], o, i) }),
		edit("dx: transposed", func(grads [][]float64) { grads[0] = turn(grads[0], n, i) }),
		edit("dw: divided by the batch", func(grads [][]float64) {
			for k := range grads[1] {
				grads[1][k] /= float64(n)
			}
		}),
		edit("db: the bias forgotten", func(grads [][]float64) {
			if len(grads) > 2 {
				clear(grads[2])
			}
		}),
		{name: "y: w not transposed", forward: func(in [][]float64) []float64 {
			return f(append([][]float64{in[0], turn(in[1], o, i)}, in[2:]...))
		}},
		{name: "y: the bias forgotten", forward: func(in [][]float64) []float64 { return f(in[:2]) }},
		{name: "dx: of w not transposed", backward: func(in [][]float64, y, dy []float64) [][]float64 {
			grads := b(in, y, dy)
			grads[0] = b(append([][]float64{in[0], turn(in[1], o, i)}, in[2:]...), y, dy)[0]
			return grads
		}},
	}}
}

func newMSERule(by float64, mean bool) rule {
	factor := func(n int) float64 {
		if mean {
			return by / float64(n)
		}
		return by
	}
	f := func(in [][]float64) []float64 {
		s := 0.0
		for i := range in[0] {
			d := in[1][i] - in[0][i]
			s += d * d
		}
		return []float64{s * factor(len(in[0]))}
	}
	scaled := func(y, t float64) func(in [][]float64, y, dy []float64) [][]float64 {
		return func(in [][]float64, _, dy []float64) [][]float64 {
			a, b := make([]float64, len(in[0])), make([]float64, len(in[0]))
			for i := range a {
				d := 2 * factor(len(a)) * dy[0] * (in[0][i] - in[1][i])
				a[i], b[i] = y*d, -t*d
			}
			return [][]float64{a, b}
		}
	}
	times := func(v float64) func(in [][]float64) []float64 {
		return func(in [][]float64) []float64 { return []float64{f(in)[0] * v} }
	}
	return simple{f, scaled(1, 1), []mistake{
		{name: "E: the factor ½ forgotten", forward: times(2)},
		{name: "dy: the factor ½ forgotten", backward: scaled(2, 1)},
		{name: "dy: the factor 2 forgotten", backward: scaled(0.5, 1)},
		{name: "dy: the sign, t − y", backward: scaled(-1, 1)},
		{name: "dt: the sign, the same as dy", backward: scaled(1, -1)},
		{name: "dt: forgotten", backward: scaled(1, 0)},
		{name: "E: the root of it", forward: func(in [][]float64) []float64 { return []float64{math.Sqrt(f(in)[0])} }},
	}}
}

func softmaxRows(x []float64, rows int) []float64 {
	y := make([]float64, len(x))
	m := len(x) / rows
	for r := range rows {
		top, s := math.Inf(-1), 0.0
		for _, v := range x[r*m:][:m] {
			top = max(top, v)
		}
		for k := r * m; k < (r+1)*m; k++ {
			y[k] = math.Exp(x[k] - top)
			s += y[k]
		}
		for k := r * m; k < (r+1)*m; k++ {
			y[k] /= s
		}
	}
	return y
}

func newSoftmaxRule(rows int) rule {
	f := func(in [][]float64) []float64 { return softmaxRows(in[0], rows) }
	back := func(rows int, centre float64, first bool) func(in [][]float64, y, dy []float64) [][]float64 {
		return func(_ [][]float64, y, dy []float64) [][]float64 {
			dx := make([]float64, len(y))
			m := len(y) / rows
			for r := range rows {
				s := 0.0
				for k := r * m; k < (r+1)*m; k++ {
					s += y[k] * dy[k]
				}
				for k := r * m; k < (r+1)*m; k++ {
					dx[k] = dy[k] - centre*s
					if first {
						dx[k] *= y[k]
					}
				}
			}
			return [][]float64{dx}
		}
	}
	return simple{f, back(rows, 1, true), []mistake{
		{name: "dx: the sum over the row forgotten", backward: back(rows, 0, true)},
		{name: "dx: y·(1 − y)·dy, the diagonal alone", backward: by(func(_, y float64) float64 { return y * (1 - y) })},
		{name: "dx: the factor y forgotten", backward: back(rows, 1, false)},
		{name: "dx: the sum over all rows", backward: back(1, 1, true)},
		{name: "y: normalised over all rows", forward: func(in [][]float64) []float64 { return softmaxRows(in[0], 1) }},
		{name: "y: not normalised", forward: each(math.Exp)},
	}}
}

func newEntropyRule(labels []int, mean bool) rule {
	n := len(labels)
	factor := 1.0
	if mean {
		factor = 1 / float64(n)
	}
	f := func(in [][]float64) []float64 {
		p, s := softmaxRows(in[0], n), 0.0
		for r, l := range labels {
			s -= math.Log(p[r*len(p)/n+l])
		}
		return []float64{s * factor}
	}
	back := func(labels []int, factor, p float64) func(in [][]float64, y, dy []float64) [][]float64 {
		return func(in [][]float64, _, dy []float64) [][]float64 {
			dx := softmaxRows(in[0], n)
			for i := range dx {
				dx[i] *= p
			}
			for r, l := range labels {
				dx[r*len(dx)/n+l]--
			}
			for i := range dx {
				dx[i] *= factor * dy[0]
			}
			return [][]float64{dx}
		}
	}
	shifted := append(append([]int(nil), labels[1:]...), labels[0])
	first := make([]int, n)
	return simple{f, back(labels, factor, 1), []mistake{
		{name: "dx: the labels of the next row", backward: back(shifted, factor, 1)},
		{name: "dx: every label taken as 0", backward: back(first, factor, 1)},
		{name: "dx: the softmax forgotten", backward: back(labels, factor, 0)},
		{name: "dx: the label's 1 added, not taken away", backward: func(in [][]float64, y, dy []float64) [][]float64 {
			dx, without := back(labels, factor, 1)(in, y, dy)[0], softmaxRows(in[0], n)
			for i := range dx {
				dx[i] = 2*factor*dy[0]*without[i] - dx[i]
			}
			return [][]float64{dx}
		}},
		{name: "dx: divided by the batch once more", backward: back(labels, factor/float64(n), 1)},
		{name: "E: the sign", forward: func(in [][]float64) []float64 { return []float64{-f(in)[0]} }},
		{name: "E: divided by the batch once more", forward: func(in [][]float64) []float64 { return []float64{f(in)[0] / float64(n)} }},
	}}
}
