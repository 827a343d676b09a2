// Package reference has the functions of ops as formulas, walked by the geometry's taps and
// windows.
package reference

import (
	"slices"

	"github.com/convgrad/convgrad/internal/kernel"
	"github.com/convgrad/convgrad/verify"
)

type (
	field   = verify.Field
	numbers = []verify.Number
)

func zeros(f *field, n int) numbers {
	z := make(numbers, n)
	for i := range z {
		z[i] = f.Number(0)
	}
	return z
}

// Conv is x ⋆ w, plus b if there is a third operand, and ReLU of it.
func Conv(g kernel.Conv, withReLU bool) verify.Reference {
	return func(f *field, shapes [][]int, in []numbers) numbers {
		y := zeros(f, g.YLen())
		g.Taps(func(yi, xi, wi int) { y[yi] = f.Add(y[yi], f.Mul(in[0][xi], in[1][wi])) })
		if len(in) > 2 {
			for i := range y {
				y[i] = f.Add(y[i], in[2][i/(g.P*g.Q)%g.K])
			}
		}
		if withReLU {
			return relu(f, shapes, []numbers{y})
		}
		return y
	}
}

// ConvData is the adjoint of Conv by its input, of dy and w.
func ConvData(g kernel.Conv) verify.Reference {
	return func(f *field, _ [][]int, in []numbers) numbers {
		dx := zeros(f, g.XLen())
		g.Taps(func(yi, xi, wi int) { dx[xi] = f.Add(dx[xi], f.Mul(in[0][yi], in[1][wi])) })
		return dx
	}
}

// ConvFilter is its adjoint by the filter, of x and dy.
func ConvFilter(g kernel.Conv) verify.Reference {
	return func(f *field, _ [][]int, in []numbers) numbers {
		dw := zeros(f, g.WLen())
		g.Taps(func(yi, xi, wi int) { dw[wi] = f.Add(dw[wi], f.Mul(in[0][xi], in[1][yi])) })
		return dw
	}
}

// MaxPool is the maximum of each window, and after all of them, if winners is set, the places of
// the winners in their planes.
func MaxPool(g kernel.Pool, winners bool) verify.Reference {
	return func(f *field, _ [][]int, in []numbers) numbers {
		x, y, at := in[0], zeros(f, g.YLen()), zeros(f, g.YLen())
		g.Windows(func(yi, _ int, window []int) {
			best := window[0]
			for _, i := range window[1:] {
				if f.Less(x[best], x[i]) {
					best = i
				}
			}
			y[yi], at[yi] = x[best], f.Number(float64(best%(g.H*g.W)))
		})
		if winners {
			return append(y, at...)
		}
		return y
	}
}

// AvgPool is the mean of each window.
func AvgPool(g kernel.Pool, countPadding bool) verify.Reference {
	return func(f *field, _ [][]int, in []numbers) numbers {
		y := zeros(f, g.YLen())
		g.Windows(func(yi, _ int, at []int) {
			n := len(at)
			if countPadding {
				n = g.R * g.S
			}
			for _, i := range at {
				y[yi] = f.Add(y[yi], in[0][i])
			}
			y[yi] = f.Div(y[yi], f.Number(float64(n)))
		})
		return y
	}
}

// L2Pool is the norm of each window.
func L2Pool(g kernel.Pool) verify.Reference {
	return func(f *field, _ [][]int, in []numbers) numbers {
		y := zeros(f, g.YLen())
		g.Windows(func(yi, _ int, at []int) {
			for _, i := range at {
				y[yi] = f.Add(y[yi], f.Mul(in[0][i], in[0][i]))
			}
			y[yi] = f.Sqrt(y[yi])
		})
		return y
	}
}

// ReLU is max(x, 0).
func ReLU() verify.Reference { return relu }

func relu(f *field, _ [][]int, in []numbers) numbers {
	y := slices.Clone(in[0])
	for i, v := range y {
		if !f.Less(f.Number(0), v) {
			y[i] = f.Number(0)
		}
	}
	return y
}

// Copy moves nothing.
func Copy() verify.Reference {
	return func(_ *field, _ [][]int, in []numbers) numbers { return in[0] }
}

// Linear is x·wᵀ, plus b if there is a third operand.
func Linear(n, i, o int) verify.Reference {
	return func(f *field, _ [][]int, in []numbers) numbers {
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
}

// SquaredError is factor·Σ (t − y)², or the mean.
func SquaredError(factor float64, mean bool) verify.Reference {
	return func(f *field, _ [][]int, in []numbers) numbers {
		e := f.Number(0)
		for i, y := range in[0] {
			d := f.Sub(in[1][i], y)
			e = f.Add(e, f.Mul(d, d))
		}
		e = f.Mul(e, f.Number(factor))
		if mean {
			e = f.Div(e, f.Number(float64(len(in[0]))))
		}
		return numbers{e}
	}
}

// exponentials are exp(x) of a row and their sum. The numbers are near 0, so nothing overflows.
func exponentials(f *field, row numbers) (e numbers, s verify.Number) {
	s = f.Number(0)
	for _, v := range row {
		x := f.Exp(v)
		e, s = append(e, x), f.Add(s, x)
	}
	return e, s
}

// Softmax is softmax of each row.
func Softmax(rows int) verify.Reference {
	return func(f *field, _ [][]int, in []numbers) (y numbers) {
		for row := range slices.Chunk(in[0], len(in[0])/rows) {
			e, s := exponentials(f, row)
			for _, v := range e {
				y = append(y, f.Div(v, s))
			}
		}
		return y
	}
}

// CrossEntropy is Σ log Σ eˣ − x of the label, or the mean.
func CrossEntropy(labels []int, mean bool) verify.Reference {
	return func(f *field, _ [][]int, in []numbers) numbers {
		m := len(in[0]) / len(labels)
		e := f.Number(0)
		for r, l := range labels {
			row := in[0][r*m:][:m]
			_, s := exponentials(f, row)
			e = f.Add(e, f.Sub(f.Log(s), row[l]))
		}
		if mean {
			e = f.Div(e, f.Number(float64(len(labels))))
		}
		return numbers{e}
	}
}

// Masked is x/keep where the mask is not 0.
func Masked(mask []float64, keep float64) verify.Reference {
	return func(f *field, _ [][]int, in []numbers) numbers {
		y := zeros(f, len(mask))
		for i, v := range in[0] {
			if mask[i] != 0 {
				y[i] = f.Div(v, f.Number(keep))
			}
		}
		return y
	}
}

// Mean is the mean along axes, in ascending order.
func Mean(axes ...int) verify.Reference {
	return func(f *field, shapes [][]int, in []numbers) numbers {
		x, shape := in[0], slices.Clone(shapes[0])
		for _, axis := range slices.Backward(axes) {
			inner, n := 1, shape[axis]
			for _, s := range shape[axis+1:] {
				inner *= s
			}
			y := zeros(f, len(x)/n)
			for i, v := range x {
				k := i/(inner*n)*inner + i%inner
				y[k] = f.Add(y[k], v)
			}
			for i := range y {
				y[i] = f.Div(y[i], f.Number(float64(n)))
			}
			x, shape = y, slices.Delete(shape, axis, axis+1)
		}
		return x
	}
}

// Sum is the reference of the sum of two functions of the same operands.
func Sum(a, b verify.Reference) verify.Reference {
	return func(f *field, shapes [][]int, in []numbers) numbers {
		y := slices.Clone(a(f, shapes, in))
		for i, v := range b(f, shapes, in) {
			y[i] = f.Add(y[i], v)
		}
		return y
	}
}

// Of is a reference of the operand k alone.
func Of(r verify.Reference, k int) verify.Reference {
	return func(f *field, shapes [][]int, in []numbers) numbers {
		return r(f, shapes[k:k+1], in[k:k+1])
	}
}
