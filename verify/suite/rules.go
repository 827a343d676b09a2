package suite

import (
	"cmp"
	"math"
	"slices"
	"strings"

	"github.com/convgrad/convgrad/internal/kernel"
)

// A forward is an op in float64, of its operands. A backward is its derivative: a gradient for each
// operand, of the operands, the result and its cotangent.
type (
	forward  = func(in [][]float64) []float64
	backward = func(in [][]float64, y, dy []float64) [][]float64
)

// A rule is an op and its derivative written plainly: the ground that mistakes are planted in. It
// shares nothing with the formulas but the geometry. mistakes are those that only this op can have.
type rule struct {
	forward  forward
	backward backward
	mistakes []mistake
}

// A mistake is a wrong rule. A nil function is the right one.
type mistake struct {
	name     string
	forward  forward
	backward backward

	overwrites bool // the gradient is stored where it should be added
	dirty      bool // the kernel adds to what its destination holds
}

// edited are the gradients with a change made to them.
func edited(right backward, change func(grads [][]float64)) backward {
	return func(in [][]float64, y, dy []float64) [][]float64 {
		grads := right(in, y, dy)
		change(grads)
		return grads
	}
}

// gathered is Σ a·b over a convolution's taps: at says where a product goes, and of which elements
// it is. Taps that a wrong geometry puts outside are left out.
func gathered(n int, g kernel.Conv, a, b []float64, at func(yi, xi, wi int) (to, i, k int)) []float64 {
	sum := make([]float64, n)
	g.Taps(func(yi, xi, wi int) {
		if to, i, k := at(yi, xi, wi); to < n && i < len(a) && k < len(b) {
			sum[to] += a[i] * b[k]
		}
	})
	return sum
}

func convolved(n int, g kernel.Conv, x, w []float64) []float64 {
	return gathered(n, g, x, w, func(yi, xi, wi int) (to, i, k int) { return yi, xi, wi })
}

func dataOf(n int, g kernel.Conv, dy, w []float64) []float64 {
	return gathered(n, g, dy, w, func(yi, xi, wi int) (to, i, k int) { return xi, yi, wi })
}

func filterOf(n int, g kernel.Conv, x, dy []float64) []float64 {
	return gathered(n, g, x, dy, func(yi, xi, wi int) (to, i, k int) { return wi, xi, yi })
}

// geometric is the rule of an op with a convolution's geometry: its forward pass, and a backward
// pass of which either gradient can have a geometry of its own. Its mistakes are wrong geometries
// in the gradients and in the result, which have the three names.
func geometric(g kernel.Conv, dense bool, names [3]string, f func(g kernel.Conv, in [][]float64) []float64,
	b func(first, second kernel.Conv, in [][]float64, y, dy []float64) [][]float64) rule {
	flip, pad, padRight, stride, dilation := g, g, g, g, g
	flip.Flip = !g.Flip
	pad.Rows.Before++
	padRight.Cols.Before--
	stride.Rows.Stride, stride.Cols.Stride = g.Cols.Stride, g.Rows.Stride
	dilation.Rows.Dilation, dilation.Cols.Dilation = 1, 1
	with := func(first, second kernel.Conv) backward {
		return func(in [][]float64, y, dy []float64) [][]float64 { return b(first, second, in, y, dy) }
	}
	r := rule{forward: func(in [][]float64) []float64 { return f(g, in) }, backward: with(g, g)}
	for _, wrong := range []struct {
		name string
		g    kernel.Conv
	}{
		{"the kernel turned by 180°", flip}, {"padding off by one, rows", pad},
		{"padding off by one, columns", padRight}, {"stride of the other axis", stride}, {"dilation ignored", dilation},
	} {
		if dense && (strings.HasPrefix(wrong.name, "stride") || strings.HasPrefix(wrong.name, "dilation")) {
			continue
		}
		r.mistakes = append(r.mistakes,
			mistake{name: names[0] + ": " + wrong.name, backward: with(wrong.g, g)},
			mistake{name: names[1] + ": " + wrong.name, backward: with(g, wrong.g)},
			mistake{name: names[2] + ": " + wrong.name, forward: func(in [][]float64) []float64 { return f(wrong.g, in) }})
	}
	return r
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

// convRule is a convolution's. grouped says that the op's cases have groups, dense that they have
// stride and dilation 1.
func convRule(g kernel.Conv, relu, grouped, dense bool) rule {
	gate := func(y, dy []float64) []float64 {
		dy = slices.Clone(dy)
		for i := range dy {
			if relu && !(y[i] > 0) {
				dy[i] = 0
			}
		}
		return dy
	}
	f := func(g kernel.Conv, in [][]float64) []float64 {
		y := convolved(g.YLen(), g, in[0], in[1])
		if len(in) > 2 {
			kernel.RefAddBias(g, y, in[2])
		}
		return gate(y, y)
	}
	b := func(first, second kernel.Conv, in [][]float64, y, dy []float64) [][]float64 {
		dy = gate(y, dy)
		grads := [][]float64{dataOf(g.XLen(), first, dy, in[1]), filterOf(g.WLen(), second, in[0], dy)}
		if len(in) > 2 {
			db := make([]float64, g.K)
			kernel.RefBackwardBias(g, db, dy)
			grads = append(grads, db)
		}
		return grads
	}
	r := geometric(g, dense, [3]string{"dx", "dw", "y"}, f, b)
	edit := func(name string, change func(grads [][]float64)) {
		r.mistakes = append(r.mistakes, mistake{name: name, backward: edited(r.backward, change)})
	}
	edit("dw: channels swapped", func(grads [][]float64) {
		if g.C == g.Groups { // depthwise: a filter has one channel, so filters are swapped
			grads[1] = permuteChannels(grads[1], 1, g.K, g.R*g.S)
		} else {
			grads[1] = permuteChannels(grads[1], g.K, g.C/g.Groups, g.R*g.S)
		}
	})
	edit("dx: channels swapped", func(grads [][]float64) { grads[0] = permuteChannels(grads[0], g.N, g.C, g.H*g.W) })
	if grouped {
		edit("dx: groups offset by one", func(grads [][]float64) {
			shift := g.C / g.Groups * g.H * g.W % len(grads[0])
			grads[0] = slices.Concat(grads[0][shift:], grads[0][:shift])
		})
	}
	edit("db: the bias forgotten", func(grads [][]float64) {
		if len(grads) > 2 {
			clear(grads[2])
		}
	})
	edit("db: a mean in place of a sum", func(grads [][]float64) {
		if len(grads) > 2 {
			for i := range grads[2] {
				grads[2][i] /= float64(g.N * g.P * g.Q)
			}
		}
	})
	r.mistakes = append(r.mistakes,
		mistake{name: "dw: the last image of the batch forgotten", backward: func(in [][]float64, y, dy []float64) [][]float64 {
			grads, x := r.backward(in, y, dy), slices.Clone(in[0])
			clear(x[len(x)-g.C*g.H*g.W:])
			grads[1] = filterOf(g.WLen(), g, x, gate(y, dy))
			return grads
		}},
		mistake{name: "y: the bias forgotten", forward: func(in [][]float64) []float64 { return f(g, in[:2]) }})
	if relu {
		r.mistakes = append(r.mistakes, mistake{name: "dx, dw, db: ReLU's mask forgotten", backward: convRule(g, false, false, true).backward})
	}
	return r
}

// dataRule and filterRule are of the two backward ops as ops of their own, whose derivatives are
// the family's other members.
func dataRule(g kernel.Conv) rule {
	return geometric(g, false, [3]string{"ddy", "dw", "dx"},
		func(g kernel.Conv, in [][]float64) []float64 { return dataOf(g.XLen(), g, in[0], in[1]) },
		func(first, second kernel.Conv, in [][]float64, _, ddx []float64) [][]float64 {
			return [][]float64{convolved(g.YLen(), first, ddx, in[1]), filterOf(g.WLen(), second, ddx, in[0])}
		})
}

func filterRule(g kernel.Conv) rule {
	return geometric(g, false, [3]string{"dx", "ddy", "dw"},
		func(g kernel.Conv, in [][]float64) []float64 { return filterOf(g.WLen(), g, in[0], in[1]) },
		func(first, second kernel.Conv, in [][]float64, _, ddw []float64) [][]float64 {
			return [][]float64{dataOf(g.XLen(), first, in[1], ddw), convolved(g.YLen(), second, in[0], ddw)}
		})
}

// A window is what a pooling makes of the elements of x at some places. A share gives each of them
// its part of the derivative of y.
type (
	window = func(x []float64, at []int) float64
	share  = func(x []float64, at []int, y float64, to func(i int, d float64))
)

func winnerOf(x []float64, at []int) int {
	return slices.MaxFunc(at, func(i, k int) int { return cmp.Compare(x[i], x[k]) })
}

// poolRule is the rule of a pooling, with the mistakes of any.
func poolRule(g kernel.Pool, of window, shares share) rule {
	pad, stride, dilation := g, g, g
	pad.Rows.Before++
	stride.Rows.Stride, stride.Cols.Stride = g.Cols.Stride, g.Rows.Stride
	dilation.Rows.Dilation, dilation.Cols.Dilation = 1, 1
	return rule{pooled(g, of), routed(g, false, shares), []mistake{
		{name: "dx: padding off by one", backward: routed(pad, false, shares)},
		{name: "dx: stride of the other axis", backward: routed(stride, false, shares)},
		{name: "dx: dilation ignored", backward: routed(dilation, false, shares)},
		{name: "dx: stored, not added, where windows overlap", backward: routed(g, true, shares)},
	}}
}

func pooled(g kernel.Pool, of window) forward {
	return func(in [][]float64) []float64 {
		y := make([]float64, g.YLen())
		g.Windows(func(yi, _ int, at []int) { y[yi] = of(in[0], at) })
		return y
	}
}

func routed(g kernel.Pool, stores bool, shares share) backward {
	return func(in [][]float64, y, dy []float64) [][]float64 {
		dx := make([]float64, len(in[0]))
		g.Windows(func(yi, _ int, at []int) {
			if len(at) == 0 || at[len(at)-1] >= len(dx) {
				return
			}
			shares(in[0], at, y[yi], func(i int, d float64) {
				switch {
				case i >= len(dx):
				case stores:
					dx[i] = dy[yi] * d
				default:
					dx[i] += dy[yi] * d
				}
			})
		})
		return [][]float64{dx}
	}
}

func maxRule(g kernel.Pool) rule {
	wins := func(winner func(x []float64, at []int) int) share {
		return func(x []float64, at []int, _ float64, to func(i int, d float64)) { to(winner(x, at), 1) }
	}
	greatest := func(x []float64, at []int) float64 { return x[winnerOf(x, at)] }
	wrong := func(name string, winner func(x []float64, at []int) int) mistake {
		return mistake{name: "dx: " + name, backward: routed(g, false, wins(winner))}
	}
	r := poolRule(g, greatest, wins(winnerOf))
	r.mistakes = append(r.mistakes,
		wrong("the winner off by one", func(x []float64, at []int) int { return winnerOf(x, at) + 1 }),
		wrong("the window's first element wins", func(_ []float64, at []int) int { return at[0] }),
		wrong("the least wins", func(x []float64, at []int) int {
			return slices.MinFunc(at, func(i, k int) int { return cmp.Compare(x[i], x[k]) })
		}),
		mistake{name: "y: padding counts as 0", forward: pooled(g, func(x []float64, at []int) float64 {
			if len(at) < g.R*g.S {
				return max(greatest(x, at), 0)
			}
			return greatest(x, at)
		})})
	return r
}

func averageRule(g kernel.Pool, countPadding bool) rule {
	mean := func(divisor func(n int) int) window {
		return func(x []float64, at []int) (s float64) {
			for _, i := range at {
				s += x[i]
			}
			return s / float64(divisor(len(at)))
		}
	}
	equal := func(divisor func(n int) int) share {
		return func(_ []float64, at []int, _ float64, to func(i int, d float64)) {
			for _, i := range at {
				to(i, 1/float64(divisor(len(at))))
			}
		}
	}
	right, other := func(n int) int { return n }, func(int) int { return g.R * g.S }
	if countPadding {
		right, other = other, right
	}
	width, side := func(int) int { return g.W }, func(int) int { return g.R }
	r := poolRule(g, mean(right), equal(right))
	r.mistakes = append(r.mistakes,
		mistake{name: "dx: the other divisor", backward: routed(g, false, equal(other))},
		mistake{name: "dx: divided by the input's width, as Gorgonia does", backward: routed(g, false, equal(width))},
		mistake{name: "dx: divided by N, not N×N", backward: routed(g, false, equal(side))},
		mistake{name: "y: the other divisor", forward: pooled(g, mean(other))},
		mistake{name: "y: divided by the input's width, as Gorgonia does", forward: pooled(g, mean(width))})
	return r
}

func normRule(g kernel.Pool) rule {
	square := func(x []float64, at []int) (s float64) {
		for _, i := range at {
			s += x[i] * x[i]
		}
		return s
	}
	slope := func(d func(x, y float64) float64) share {
		return func(x []float64, at []int, y float64, to func(i int, d float64)) {
			for _, i := range at {
				to(i, d(x[i], y))
			}
		}
	}
	r := poolRule(g, func(x []float64, at []int) float64 { return math.Sqrt(square(x, at)) },
		slope(func(x, y float64) float64 { return x / y }))
	wrong := func(name string, d func(x, y float64) float64) mistake {
		return mistake{name: "dx: " + name, backward: routed(g, false, slope(d))}
	}
	r.mistakes = append(r.mistakes,
		wrong("x, not x/y", func(x, _ float64) float64 { return x }),
		wrong("x/y²", func(x, y float64) float64 { return x / y / y }),
		wrong("2x/y, the square's factor left in", func(x, y float64) float64 { return 2 * x / y }),
		mistake{name: "y: the root forgotten", forward: pooled(g, square)})
	return r
}

// by makes a backward pass of an elementwise derivative.
func by(slope func(x, y float64) float64) backward {
	return func(in [][]float64, y, dy []float64) [][]float64 {
		dx := make([]float64, len(in[0]))
		for i := range dx {
			dx[i] = dy[i] * slope(in[0][i], y[i])
		}
		return [][]float64{dx}
	}
}

func each(f func(x float64) float64) forward {
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
	return rule{
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
	return rule{identity, by(func(_, _ float64) float64 { return 1 }), []mistake{
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
	return rule{
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
		return mistake{name: name, backward: edited(b, change)}
	}
	return rule{f, b, []mistake{
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
	scaled := func(y, t float64) backward {
		return func(in [][]float64, _, dy []float64) [][]float64 {
			a, b := make([]float64, len(in[0])), make([]float64, len(in[0]))
			for i := range a {
				d := 2 * factor(len(a)) * dy[0] * (in[0][i] - in[1][i])
				a[i], b[i] = y*d, -t*d
			}
			return [][]float64{a, b}
		}
	}
	times := func(v float64) forward {
		return func(in [][]float64) []float64 { return []float64{f(in)[0] * v} }
	}
	return rule{f, scaled(1, 1), []mistake{
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
	back := func(rows int, centre float64, first bool) backward {
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
	return rule{f, back(rows, 1, true), []mistake{
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
	back := func(labels []int, factor, p float64) backward {
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
	return rule{f, back(labels, factor, 1), []mistake{
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
