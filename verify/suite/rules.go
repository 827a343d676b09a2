package suite

import (
	"cmp"
	"math"
	"slices"

	"github.com/convgrad/convgrad/internal/kernel"
)

// result stands for y where others count the gradients.
const result = -1

// replaced puts other numbers in the place of gradient i, if there is one, or of the result.
func replaced(name string, i int, f func(o *outcome) []float64) mistake {
	return mistake{name: name, y: i == result, edit: func(o *outcome) {
		switch {
		case i == result:
			o.y = f(o)
		case i < len(o.grads):
			o.grads[i] = f(o)
		}
	}}
}

// mapped puts a number in the place of each element k, which is v.
func mapped(name string, i int, f func(o *outcome, k int, v float64) float64) mistake {
	return replaced(name, i, func(o *outcome) []float64 {
		v := o.y
		if i != result {
			v = o.grads[i]
		}
		to := make([]float64, len(v))
		for k := range v {
			to[k] = f(o, k, v[k])
		}
		return to
	})
}

func scaled(name string, i int, by float64) mistake {
	return mapped(name, i, func(_ *outcome, _ int, v float64) float64 { return by * v })
}

// sloped has another derivative of an elementwise op, and valued another value.
func sloped(name string, f func(x, y float64) float64) mistake {
	return mapped(name, 0, func(o *outcome, k int, _ float64) float64 { return o.dy[k] * f(o.in[0][k], o.y[k]) })
}

func valued(name string, f func(x float64) float64) mistake {
	return mapped(name, result, func(o *outcome, k int, _ float64) float64 { return f(o.in[0][k]) })
}

// A bilinear map of a convolution's family, or its derivative by an operand, at a geometry.
type bilinear = func(g kernel.Conv, o *outcome) []float64

// geometric are wrong geometries in the gradients and in the result, which have the three names.
// dense says that stride and dilation are 1.
func geometric(g kernel.Conv, dense bool, names [3]string, first, second, y bilinear) (all []mistake) {
	flip, pad, padRight, stride, dilation := g, g, g, g, g
	flip.Flip = !g.Flip
	pad.Rows.Before++
	padRight.Cols.Before--
	stride.Rows.Stride, stride.Cols.Stride = g.Cols.Stride, g.Rows.Stride
	dilation.Rows.Dilation, dilation.Cols.Dilation = 1, 1
	wrong := []struct {
		name string
		g    kernel.Conv
	}{
		{"the kernel turned by 180°", flip}, {"padding off by one, rows", pad}, {"padding off by one, columns", padRight},
		{"stride of the other axis", stride}, {"dilation ignored", dilation},
	}
	if dense {
		wrong = wrong[:3]
	}
	for _, w := range wrong {
		for k, of := range []bilinear{first, second, y} {
			all = append(all, replaced(names[k]+": "+w.name, []int{0, 1, result}[k], func(o *outcome) []float64 { return of(w.g, o) }))
		}
	}
	return all
}

// forwardOf, dataOf and filterOf are the family's members, by the reference kernels.
func forwardOf(g kernel.Conv, x, w []float64) []float64 {
	y := make([]float64, g.YLen())
	kernel.RefForward(g, y, x, w)
	return y
}

func dataOf(g kernel.Conv, dy, w []float64) []float64 {
	dx := make([]float64, g.XLen())
	kernel.RefBackwardData(g, dx, dy, w)
	return dx
}

func filterOf(g kernel.Conv, dy, x []float64) []float64 {
	dw := make([]float64, g.WLen())
	kernel.RefBackwardFilter(g, dw, dy, x)
	return dw
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

// convMistakes are a convolution's. grouped says that the op's cases have groups, dense that they
// have stride and dilation 1.
func convMistakes(g kernel.Conv, relu, grouped, dense bool) []mistake {
	gated := func(o *outcome) []float64 {
		dy := slices.Clone(o.dy)
		for i := range dy {
			if relu && !(o.y[i] > 0) {
				dy[i] = 0
			}
		}
		return dy
	}
	all := geometric(g, dense, [3]string{"dx", "dw", "y"},
		func(g kernel.Conv, o *outcome) []float64 { return dataOf(g, gated(o), o.in[1]) },
		func(g kernel.Conv, o *outcome) []float64 { return filterOf(g, gated(o), o.in[0]) },
		func(g kernel.Conv, o *outcome) []float64 {
			y := forwardOf(g, o.in[0], o.in[1])
			if len(o.in) > 2 {
				kernel.RefAddBias(g, y, o.in[2])
			}
			for i := range y {
				if relu {
					y[i] = max(y[i], 0)
				}
			}
			return y
		})
	all = append(all,
		replaced("dw: channels swapped", 1, func(o *outcome) []float64 {
			if g.C == g.Groups { // depthwise: a filter has one channel, so filters are swapped
				return permuteChannels(o.grads[1], 1, g.K, g.R*g.S)
			}
			return permuteChannels(o.grads[1], g.K, g.C/g.Groups, g.R*g.S)
		}),
		replaced("dx: channels swapped", 0, func(o *outcome) []float64 { return permuteChannels(o.grads[0], g.N, g.C, g.H*g.W) }),
		scaled("db: the bias forgotten", 2, 0),
		scaled("db: a mean in place of a sum", 2, 1/float64(g.N*g.P*g.Q)),
		replaced("dw: the last image of the batch forgotten", 1, func(o *outcome) []float64 {
			x := slices.Clone(o.in[0])
			clear(x[len(x)-g.C*g.H*g.W:])
			return filterOf(g, gated(o), x)
		}),
		biasForgotten)
	if grouped {
		all = append(all, replaced("dx: groups offset by one", 0, func(o *outcome) []float64 {
			shift := g.C / g.Groups * g.H * g.W % len(o.grads[0])
			return slices.Concat(o.grads[0][shift:], o.grads[0][:shift])
		}))
	}
	if relu {
		all = append(all, mistake{name: "dx, dw, db: ReLU's mask forgotten", edit: func(o *outcome) {
			o.grads[0], o.grads[1] = dataOf(g, o.dy, o.in[1]), filterOf(g, o.dy, o.in[0])
			if len(o.grads) > 2 {
				kernel.RefBackwardBias(g, o.grads[2], o.dy)
			}
		}})
	}
	return all
}

var biasForgotten = mistake{name: "y: the bias forgotten", y: true, operands: func(in [][]float64) {
	if len(in) > 2 {
		clear(in[2])
	}
}}

// dataMistakes and filterMistakes are of the two backward ops as ops of their own, whose
// derivatives are the family's other members.
func dataMistakes(g kernel.Conv) []mistake {
	return geometric(g, false, [3]string{"ddy", "dw", "dx"},
		func(g kernel.Conv, o *outcome) []float64 { return forwardOf(g, o.dy, o.in[1]) },
		func(g kernel.Conv, o *outcome) []float64 { return filterOf(g, o.in[0], o.dy) },
		func(g kernel.Conv, o *outcome) []float64 { return dataOf(g, o.in[0], o.in[1]) })
}

func filterMistakes(g kernel.Conv) []mistake {
	return geometric(g, false, [3]string{"dx", "ddy", "dw"},
		func(g kernel.Conv, o *outcome) []float64 { return dataOf(g, o.in[1], o.dy) },
		func(g kernel.Conv, o *outcome) []float64 { return forwardOf(g, o.in[0], o.dy) },
		func(g kernel.Conv, o *outcome) []float64 { return filterOf(g, o.in[1], o.in[0]) })
}

// A share gives each element of a window its part of the derivative of y[yi].
type share = func(o *outcome, at []int, yi int, to func(i int, d float64))

// routed is a gradient of a pooling by its windows and shares. It stores in place of adding, or
// not.
func routed(name string, g kernel.Pool, stores bool, shares share) mistake {
	return replaced("dx: "+name, 0, func(o *outcome) []float64 {
		dx := make([]float64, len(o.in[0]))
		g.Windows(func(yi, _ int, at []int) {
			if len(at) == 0 {
				return
			}
			shares(o, at, yi, func(i int, d float64) {
				if stores {
					dx[i] = 0
				}
				dx[min(i, len(dx)-1)] += o.dy[yi] * d
			})
		})
		return dx
	})
}

// poolMistakes are those of any pooling.
func poolMistakes(g kernel.Pool, shares share) []mistake {
	pad, stride, dilation := g, g, g
	pad.Rows.Before++
	stride.Rows.Stride, stride.Cols.Stride = g.Cols.Stride, g.Rows.Stride
	dilation.Rows.Dilation, dilation.Cols.Dilation = 1, 1
	return []mistake{
		routed("padding off by one", pad, false, shares),
		routed("stride of the other axis", stride, false, shares),
		routed("dilation ignored", dilation, false, shares),
		routed("stored, not added, where windows overlap", g, true, shares),
	}
}

// windowed is another result of each window, which should be y.
func windowed(name string, g kernel.Pool, f func(at []int, y float64) float64) mistake {
	return replaced("y: "+name, result, func(o *outcome) []float64 {
		g.Windows(func(yi, _ int, at []int) { o.y[yi] = f(at, o.y[yi]) })
		return o.y
	})
}

func maxMistakes(g kernel.Pool) []mistake {
	wins := func(winner func(x []float64, at []int) int) share {
		return func(o *outcome, at []int, _ int, to func(i int, d float64)) { to(winner(o.in[0], at), 1) }
	}
	greatest := func(x []float64, at []int) int {
		return slices.MaxFunc(at, func(i, k int) int { return cmp.Compare(x[i], x[k]) })
	}
	return append(poolMistakes(g, wins(greatest)),
		routed("the winner off by one", g, false, wins(func(x []float64, at []int) int { return greatest(x, at) + 1 })),
		routed("the window's first element wins", g, false, wins(func(_ []float64, at []int) int { return at[0] })),
		routed("the least wins", g, false, wins(func(x []float64, at []int) int {
			return slices.MinFunc(at, func(i, k int) int { return cmp.Compare(x[i], x[k]) })
		})),
		windowed("padding counts as 0", g, func(at []int, y float64) float64 {
			if len(at) < g.R*g.S {
				return max(y, 0)
			}
			return y
		}))
}

func averageMistakes(g kernel.Pool, countPadding bool) []mistake {
	type divisor = func(n int) float64
	shares := func(by divisor) share {
		return func(_ *outcome, at []int, _ int, to func(i int, d float64)) {
			for _, i := range at {
				to(i, 1/by(len(at)))
			}
		}
	}
	right, other := func(n int) float64 { return float64(n) }, func(int) float64 { return float64(g.R * g.S) }
	if countPadding {
		right, other = other, right
	}
	width, side := func(int) float64 { return float64(g.W) }, func(int) float64 { return float64(g.R) }
	divided := func(by divisor) func(at []int, y float64) float64 {
		return func(at []int, y float64) float64 { return y * right(len(at)) / by(len(at)) }
	}
	return append(poolMistakes(g, shares(right)),
		routed("the other divisor", g, false, shares(other)),
		routed("divided by the input's width, as Gorgonia does", g, false, shares(width)),
		routed("divided by N, not N×N", g, false, shares(side)),
		windowed("the other divisor", g, divided(other)),
		windowed("divided by the input's width, as Gorgonia does", g, divided(width)))
}

func normMistakes(g kernel.Pool) []mistake {
	slope := func(d func(x, y float64) float64) share {
		return func(o *outcome, at []int, yi int, to func(i int, d float64)) {
			for _, i := range at {
				to(i, d(o.in[0][i], o.y[yi]))
			}
		}
	}
	return append(poolMistakes(g, slope(func(x, y float64) float64 { return x / y })),
		routed("x, not x/y", g, false, slope(func(x, _ float64) float64 { return x })),
		routed("x/y²", g, false, slope(func(x, y float64) float64 { return x / y / y })),
		scaled("dx: 2x/y, the square's factor left in", 0, 2),
		windowed("the root forgotten", g, func(_ []int, y float64) float64 { return y * y }))
}

func reluMistakes() []mistake {
	return []mistake{
		sloped("dx: the mask forgotten", func(_, _ float64) float64 { return 1 }),
		sloped("dx: the mask of x < 0", func(x, _ float64) float64 { return truth(x < 0) }),
		sloped("dx: multiplied by the activation", func(_, y float64) float64 { return y }),
		sloped("dx: leaky", func(x, _ float64) float64 { return max(truth(x > 0), 0.01) }),
		valued("y: |x|", math.Abs),
		valued("y: leaky", func(x float64) float64 { return max(x, 0.01*x) }),
		valued("y: min(0, x)", func(x float64) float64 { return min(x, 0) }),
		valued("y: cut at 6", func(x float64) float64 { return min(max(x, 0), 6) }),
	}
}

func copyMistakes() []mistake {
	// the even elements, then the odd ones: what a column-major copy makes of pairs
	columnMajor := func(v []float64) (r []float64) {
		for first := range 2 {
			for i := first; i < len(v); i += 2 {
				r = append(r, v[i])
			}
		}
		return r
	}
	return []mistake{
		replaced("y: column-major", result, func(o *outcome) []float64 { return columnMajor(o.y) }),
		replaced("dx: column-major", 0, func(o *outcome) []float64 { return columnMajor(o.grads[0]) }),
	}
}

func maskMistakes(mask []float64) (all []mistake) {
	for name, f := range map[string]func(m float64) float64{
		"not scaled by 1/(1−p)": func(m float64) float64 { return truth(m != 0) },
		"scaled twice":          func(m float64) float64 { return m * m },
		"the mask forgotten":    func(float64) float64 { return 1 },
		"divided by p, not 1 − p, as Gorgonia's gradient is": func(m float64) float64 {
			if m == 0 {
				return 0
			}
			return 1 / (1 - 1/m)
		},
	} {
		all = append(all,
			mapped("y: "+name, result, func(o *outcome, k int, _ float64) float64 { return o.in[0][k] * f(mask[k]) }),
			mapped("dx: "+name, 0, func(o *outcome, k int, _ float64) float64 { return o.dy[k] * f(mask[k]) }))
	}
	slices.SortFunc(all, func(a, b mistake) int { return cmp.Compare(a.name, b.name) })
	return all
}

func linearMistakes(n, i, o int) []mistake {
	untransposed := func(in [][]float64) { in[1] = turned(in[1], o, i) }
	return []mistake{
		replaced("dw: transposed", 1, func(c *outcome) []float64 { return turned(c.grads[1], o, i) }),
		replaced("dx: transposed", 0, func(c *outcome) []float64 { return turned(c.grads[0], n, i) }),
		scaled("dw: divided by the batch", 1, 1/float64(n)),
		scaled("db: the bias forgotten", 2, 0),
		biasForgotten,
		{name: "y: w not transposed", y: true, operands: untransposed},
		{name: "dx: of w not transposed", operands: untransposed},
	}
}

func errorMistakes() []mistake {
	return []mistake{
		scaled("E: the factor ½ forgotten", result, 2),
		scaled("dy: the factor ½ forgotten", 0, 2),
		scaled("dy: the factor 2 forgotten", 0, 0.5),
		scaled("dy: the sign, t − y", 0, -1),
		scaled("dt: the sign, the same as dy", 1, -1),
		mapped("E: the root of it", result, func(_ *outcome, _ int, v float64) float64 { return math.Sqrt(v) }),
	}
}

func softmaxMistakes(columns int) []mistake {
	total := func(v []float64, f func(k int) float64) (s float64) {
		for k := range v {
			s += f(k)
		}
		return s
	}
	return []mistake{
		sloped("dx: the sum over the row forgotten", func(_, y float64) float64 { return y }),
		sloped("dx: y·(1 − y)·dy, the diagonal alone", func(_, y float64) float64 { return y * (1 - y) }),
		mapped("dx: the factor y forgotten", 0, func(o *outcome, k int, v float64) float64 { return v / o.y[k] }),
		mapped("dx: the sum over all rows", 0, func(o *outcome, k int, _ float64) float64 {
			return o.y[k] * (o.dy[k] - total(o.y, func(i int) float64 { return o.y[i] * o.dy[i] }))
		}),
		mapped("y: normalised over all rows", result, func(o *outcome, k int, _ float64) float64 {
			return math.Exp(o.in[0][k]) / total(o.in[0], func(i int) float64 { return math.Exp(o.in[0][i]) })
		}),
		valued("y: not normalised", math.Exp),
	}
}

func entropyMistakes(labels []int, classes int, mean bool) []mistake {
	n := float64(len(labels))
	factor := 1.0
	if mean {
		factor = 1 / n
	}
	// with adds a multiple of the labels' ones, less those of other labels
	with := func(name string, by float64, other func(row int) int) mistake {
		return mapped("dx: "+name, 0, func(o *outcome, k int, v float64) float64 {
			row, class := k/classes, k%classes
			return v + by*factor*o.dy[0]*(truth(class == labels[row])-truth(class == other(row)))
		})
	}
	none := func(int) int { return -1 }
	return []mistake{
		with("the labels of the next row", 1, func(row int) int { return labels[(row+1)%len(labels)] }),
		with("every label taken as 0", 1, func(int) int { return 0 }),
		with("the label's 1 added, not taken away", 2, none),
		mapped("dx: the softmax forgotten", 0, func(o *outcome, k int, _ float64) float64 {
			return -factor * o.dy[0] * truth(k%classes == labels[k/classes])
		}),
		scaled("dx: divided by the batch once more", 0, 1/n),
		scaled("E: the sign", result, -1),
		scaled("E: divided by the batch once more", result, 1/n),
	}
}
