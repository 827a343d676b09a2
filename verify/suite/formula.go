package suite

import (
	"math"

	"github.com/convgrad/convgrad/internal/kernel"
)

// The references: each op as the formula of its doc comment, walked by the geometry's Taps and Windows, in any arithmetic.

// A formula is one reference in both arithmetics. exact is nil where the op is not rational.
type formula struct {
	round func(in [][]number) []number
	exact func(in [][]dual) []dual
}

func zeros[T any](a arithmetic[T], n int) []T {
	z := make([]T, n)
	for i := range z {
		z[i] = a.from(0)
	}
	return z
}

func positivePart[T any](a arithmetic[T], y []T) []T {
	for i, v := range y {
		if !(a.value(v) > 0) {
			y[i] = a.from(0)
		}
	}
	return y
}

// conv is x ⋆ w + b, and its two adjoints the same walk the other ways.
func conv[T any](a arithmetic[T], g kernel.Conv, in [][]T, relu bool) []T {
	y := zeros(a, g.YLen())
	g.Taps(func(yi, xi, wi int) { y[yi] = a.add(y[yi], a.mul(in[0][xi], in[1][wi])) })
	if len(in) > 2 {
		for i := range y {
			y[i] = a.add(y[i], in[2][i/(g.P*g.Q)%g.K])
		}
	}
	if relu {
		positivePart(a, y)
	}
	return y
}

func convData[T any](a arithmetic[T], g kernel.Conv, in [][]T) []T {
	dx := zeros(a, g.XLen())
	g.Taps(func(yi, xi, wi int) { dx[xi] = a.add(dx[xi], a.mul(in[0][yi], in[1][wi])) })
	return dx
}

func convFilter[T any](a arithmetic[T], g kernel.Conv, in [][]T) []T {
	dw := zeros(a, g.WLen())
	g.Taps(func(yi, xi, wi int) { dw[wi] = a.add(dw[wi], a.mul(in[0][xi], in[1][yi])) })
	return dw
}

func maxPool[T any](a arithmetic[T], g kernel.Pool, x []T) []T {
	y := zeros(a, g.YLen())
	g.Windows(func(yi, _ int, at []int) {
		best := at[0]
		for _, i := range at[1:] {
			if a.value(x[i]) > a.value(x[best]) {
				best = i
			}
		}
		y[yi] = x[best]
	})
	return y
}

func avgPool[T any](a arithmetic[T], g kernel.Pool, x []T, countPadding bool) []T {
	y := zeros(a, g.YLen())
	g.Windows(func(yi, _ int, at []int) {
		n := len(at)
		if countPadding {
			n = g.R * g.S
		}
		for _, i := range at {
			y[yi] = a.add(y[yi], x[i])
		}
		y[yi] = a.div(y[yi], a.from(float64(n)))
	})
	return y
}

func l2Pool[T any](a arithmetic[T], g kernel.Pool, x []T) []T {
	y := zeros(a, g.YLen())
	g.Windows(func(yi, _ int, at []int) {
		for _, i := range at {
			y[yi] = a.add(y[yi], a.mul(x[i], x[i]))
		}
		y[yi] = a.sqrt(y[yi])
	})
	return y
}

func linear[T any](a arithmetic[T], n, i, o int, in [][]T) []T {
	y := zeros(a, n*o)
	for r := range n {
		for c := range o {
			for k := range i {
				y[r*o+c] = a.add(y[r*o+c], a.mul(in[0][r*i+k], in[1][c*i+k]))
			}
			if len(in) > 2 {
				y[r*o+c] = a.add(y[r*o+c], in[2][c])
			}
		}
	}
	return y
}

func squaredError[T any](a arithmetic[T], in [][]T, factor float64, mean bool) []T {
	e := a.from(0)
	for i, y := range in[0] {
		d := a.add(in[1][i], a.mul(a.from(-1), y))
		e = a.add(e, a.mul(d, d))
	}
	e = a.mul(e, a.from(factor))
	if mean {
		e = a.div(e, a.from(float64(len(in[0]))))
	}
	return []T{e}
}

// exponentials are exp(x − max) of a row and their sum. The maximum is taken as a constant: it cancels.
func exponentials[T any](a arithmetic[T], row []T) (e []T, s, top T) {
	most := math.Inf(-1)
	for _, v := range row {
		most = max(most, a.value(v))
	}
	top, s = a.from(-most), a.from(0)
	for _, v := range row {
		x := a.exp(a.add(v, top))
		e, s = append(e, x), a.add(s, x)
	}
	return e, s, a.from(most)
}

func softmax[T any](a arithmetic[T], x []T, rows int) []T {
	var y []T
	m := len(x) / rows
	for r := range rows {
		e, s, _ := exponentials(a, x[r*m:][:m])
		for _, v := range e {
			y = append(y, a.div(v, s))
		}
	}
	return y
}

func crossEntropy[T any](a arithmetic[T], x []T, labels []int, mean bool) []T {
	m := len(x) / len(labels)
	e := a.from(0)
	for r, l := range labels {
		row := x[r*m:][:m]
		_, s, top := exponentials(a, row)
		e = a.add(e, a.add(a.add(a.log(s), top), a.mul(a.from(-1), row[l])))
	}
	if mean {
		e = a.div(e, a.from(float64(len(labels))))
	}
	return []T{e}
}

func masked[T any](a arithmetic[T], x []T, mask []float64, keep float64) []T {
	y := zeros(a, len(x))
	for i, v := range x {
		if mask[i] != 0 {
			y[i] = a.div(v, a.from(keep))
		}
	}
	return y
}
