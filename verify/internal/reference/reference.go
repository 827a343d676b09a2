// Package reference has the functions of ops as formulas that are generic in their numbers, walked
// by the geometry's taps and windows; and graphs of Gorgonia's own ops that compute the same.
package reference

import (
	"slices"

	"github.com/convgrad/convgrad/internal/kernel"
	"github.com/convgrad/convgrad/verify"
)

func zeros[T any](f verify.Field[T], n int) []T {
	z := make([]T, n)
	for i := range z {
		z[i] = f.Number(0)
	}
	return z
}

// PositivePart is max(y, 0), in place.
func PositivePart[T any](f verify.Field[T], y []T) []T {
	for i, v := range y {
		if !f.Less(f.Number(0), v) {
			y[i] = f.Number(0)
		}
	}
	return y
}

// Conv is x ⋆ w + b, and its two adjoints the same walk the other ways.
func Conv[T any](f verify.Field[T], g kernel.Conv, in [][]T, relu bool) []T {
	y := zeros(f, g.YLen())
	g.Taps(func(yi, xi, wi int) { y[yi] = f.Add(y[yi], f.Mul(in[0][xi], in[1][wi])) })
	if len(in) > 2 {
		for i := range y {
			y[i] = f.Add(y[i], in[2][i/(g.P*g.Q)%g.K])
		}
	}
	if relu {
		PositivePart(f, y)
	}
	return y
}

// ConvData is the adjoint of Conv by its input.
func ConvData[T any](f verify.Field[T], g kernel.Conv, in [][]T) []T {
	dx := zeros(f, g.XLen())
	g.Taps(func(yi, xi, wi int) { dx[xi] = f.Add(dx[xi], f.Mul(in[0][yi], in[1][wi])) })
	return dx
}

// ConvFilter is its adjoint by the filter.
func ConvFilter[T any](f verify.Field[T], g kernel.Conv, in [][]T) []T {
	dw := zeros(f, g.WLen())
	g.Taps(func(yi, xi, wi int) { dw[wi] = f.Add(dw[wi], f.Mul(in[0][xi], in[1][yi])) })
	return dw
}

// MaxPool is the maximum of each window.
func MaxPool[T any](f verify.Field[T], g kernel.Pool, x []T) []T {
	y := zeros(f, g.YLen())
	g.Windows(func(yi, _ int, at []int) {
		best := at[0]
		for _, i := range at[1:] {
			if f.Less(x[best], x[i]) {
				best = i
			}
		}
		y[yi] = x[best]
	})
	return y
}

// AvgPool is the mean of each window.
func AvgPool[T any](f verify.Field[T], g kernel.Pool, x []T, countPadding bool) []T {
	y := zeros(f, g.YLen())
	g.Windows(func(yi, _ int, at []int) {
		n := len(at)
		if countPadding {
			n = g.R * g.S
		}
		for _, i := range at {
			y[yi] = f.Add(y[yi], x[i])
		}
		y[yi] = f.Div(y[yi], f.Number(float64(n)))
	})
	return y
}

// L2Pool is the norm of each window.
func L2Pool[T any](f verify.Field[T], g kernel.Pool, x []T) []T {
	y := zeros(f, g.YLen())
	g.Windows(func(yi, _ int, at []int) {
		for _, i := range at {
			y[yi] = f.Add(y[yi], f.Mul(x[i], x[i]))
		}
		y[yi] = f.Sqrt(y[yi])
	})
	return y
}

// Linear is x·wᵀ + b.
func Linear[T any](f verify.Field[T], n, i, o int, in [][]T) []T {
	y := zeros(f, n*o)
	for r := range n {
		for c := range o {
			for k := range i {
				y[r*o+c] = f.Add(y[r*o+c], f.Mul(in[0][r*i+k], in[1][c*i+k]))
			}
			if len(in) > 2 {
				y[r*o+c] = f.Add(y[r*o+c], in[2][c])
			}
		}
	}
	return y
}

// SquaredError is factor·Σ (t − y)², or the mean.
func SquaredError[T any](f verify.Field[T], in [][]T, factor float64, mean bool) []T {
	e := f.Number(0)
	for i, y := range in[0] {
		d := f.Add(in[1][i], f.Mul(f.Number(-1), y))
		e = f.Add(e, f.Mul(d, d))
	}
	e = f.Mul(e, f.Number(factor))
	if mean {
		e = f.Div(e, f.Number(float64(len(in[0]))))
	}
	return []T{e}
}

// exponentials are exp(x) of a row and their sum. The numbers are near 0, so nothing overflows.
func exponentials[T any](f verify.Field[T], row []T) (e []T, s T) {
	s = f.Number(0)
	for _, v := range row {
		x := f.Exp(v)
		e, s = append(e, x), f.Add(s, x)
	}
	return e, s
}

// Softmax is softmax of each row.
func Softmax[T any](f verify.Field[T], x []T, rows int) []T {
	var y []T
	m := len(x) / rows
	for r := range rows {
		e, s := exponentials(f, x[r*m:][:m])
		for _, v := range e {
			y = append(y, f.Div(v, s))
		}
	}
	return y
}

// CrossEntropy is Σ log Σ eˣ − x of the label, or the mean.
func CrossEntropy[T any](f verify.Field[T], x []T, labels []int, mean bool) []T {
	m := len(x) / len(labels)
	e := f.Number(0)
	for r, l := range labels {
		row := x[r*m:][:m]
		_, s := exponentials(f, row)
		e = f.Add(e, f.Sub(f.Log(s), row[l]))
	}
	if mean {
		e = f.Div(e, f.Number(float64(len(labels))))
	}
	return []T{e}
}

// Masked is x/keep where the mask is not 0.
func Masked[T any](f verify.Field[T], x []T, mask []float64, keep float64) []T {
	y := zeros(f, len(x))
	for i, v := range x {
		if mask[i] != 0 {
			y[i] = f.Div(v, f.Number(keep))
		}
	}
	return y
}

// Winners is the result of MaxPool, and after it the places of the winners in their planes.
func Winners[T any](f verify.Field[T], g kernel.Pool, x []T) []T {
	y := append(MaxPool(f, g, x), zeros(f, g.YLen())...)
	g.Windows(func(yi, _ int, at []int) {
		best := at[0]
		for _, i := range at[1:] {
			if f.Less(x[best], x[i]) {
				best = i
			}
		}
		y[g.YLen()+yi] = f.Number(float64(best % (g.H * g.W)))
	})
	return y
}

// Mean is the mean along axes, in ascending order.
func Mean[T any](f verify.Field[T], x []T, shape, axes []int) []T {
	for i := len(axes) - 1; i >= 0; i-- {
		x = meanAlong(f, x, shape, axes[i])
		shape = slices.Delete(slices.Clone(shape), axes[i], axes[i]+1)
	}
	return x
}

func meanAlong[T any](f verify.Field[T], x []T, shape []int, axis int) []T {
	inner := 1
	for _, s := range shape[axis+1:] {
		inner *= s
	}
	y := zeros(f, len(x)/shape[axis])
	for i, v := range x {
		k := i/(inner*shape[axis])*inner + i%inner
		y[k] = f.Add(y[k], v)
	}
	for i := range y {
		y[i] = f.Div(y[i], f.Number(float64(shape[axis])))
	}
	return y
}
