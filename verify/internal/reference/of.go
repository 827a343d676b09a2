package reference

import (
	"slices"

	"github.com/convgrad/convgrad/internal/kernel"
	"github.com/convgrad/convgrad/verify"
)

// The formulas in the numbers that the checker needs.

// OfConv is the reference of a convolution, with a bias if there is a third operand, and ReLU.
func OfConv(g kernel.Conv, relu bool) verify.Reference {
	return both(func(f verify.Field[verify.Rounded], in [][]verify.Rounded) []verify.Rounded {
		return Conv(f, g, in, relu)
	}, func(f verify.Field[verify.Exact], in [][]verify.Exact) []verify.Exact {
		return Conv(f, g, in, relu)
	})
}

// OfConvData is the reference of the gradient by the input.
func OfConvData(g kernel.Conv) verify.Reference {
	return both(func(f verify.Field[verify.Rounded], in [][]verify.Rounded) []verify.Rounded {
		return ConvData(f, g, in)
	}, func(f verify.Field[verify.Exact], in [][]verify.Exact) []verify.Exact {
		return ConvData(f, g, in)
	})
}

// OfConvFilter is the reference of the gradient by the filter.
func OfConvFilter(g kernel.Conv) verify.Reference {
	return both(func(f verify.Field[verify.Rounded], in [][]verify.Rounded) []verify.Rounded {
		return ConvFilter(f, g, in)
	}, func(f verify.Field[verify.Exact], in [][]verify.Exact) []verify.Exact {
		return ConvFilter(f, g, in)
	})
}

// OfMaxPool is the reference of max pooling.
func OfMaxPool(g kernel.Pool) verify.Reference {
	return both(func(f verify.Field[verify.Rounded], in [][]verify.Rounded) []verify.Rounded {
		return MaxPool(f, g, in[0])
	}, func(f verify.Field[verify.Exact], in [][]verify.Exact) []verify.Exact {
		return MaxPool(f, g, in[0])
	})
}

// OfWinners is the reference of max pooling with its winners.
func OfWinners(g kernel.Pool) verify.Reference {
	return both(func(f verify.Field[verify.Rounded], in [][]verify.Rounded) []verify.Rounded {
		return Winners(f, g, in[0])
	}, func(f verify.Field[verify.Exact], in [][]verify.Exact) []verify.Exact {
		return Winners(f, g, in[0])
	})
}

// OfAvgPool is the reference of average pooling.
func OfAvgPool(g kernel.Pool, countPadding bool) verify.Reference {
	return both(func(f verify.Field[verify.Rounded], in [][]verify.Rounded) []verify.Rounded {
		return AvgPool(f, g, in[0], countPadding)
	}, func(f verify.Field[verify.Exact], in [][]verify.Exact) []verify.Exact {
		return AvgPool(f, g, in[0], countPadding)
	})
}

// OfL2Pool is the reference of L2 pooling.
func OfL2Pool(g kernel.Pool) verify.Reference {
	return both(func(f verify.Field[verify.Rounded], in [][]verify.Rounded) []verify.Rounded {
		return L2Pool(f, g, in[0])
	}, nil)
}

// OfReLU is the reference of max(x, 0).
func OfReLU() verify.Reference {
	return both(func(f verify.Field[verify.Rounded], in [][]verify.Rounded) []verify.Rounded {
		return PositivePart(f, slices.Clone(in[0]))
	}, func(f verify.Field[verify.Exact], in [][]verify.Exact) []verify.Exact {
		return PositivePart(f, slices.Clone(in[0]))
	})
}

// OfLinear is the reference of x·wᵀ + b.
func OfLinear(n, i, o int) verify.Reference {
	return both(func(f verify.Field[verify.Rounded], in [][]verify.Rounded) []verify.Rounded {
		return Linear(f, n, i, o, in)
	}, func(f verify.Field[verify.Exact], in [][]verify.Exact) []verify.Exact {
		return Linear(f, n, i, o, in)
	})
}

// OfCopy is the reference of what moves nothing.
func OfCopy() verify.Reference {
	return both(func(f verify.Field[verify.Rounded], in [][]verify.Rounded) []verify.Rounded {
		return in[0]
	}, func(f verify.Field[verify.Exact], in [][]verify.Exact) []verify.Exact {
		return in[0]
	})
}

// OfSquaredError is the reference of a squared error.
func OfSquaredError(factor float64, mean bool) verify.Reference {
	return both(func(f verify.Field[verify.Rounded], in [][]verify.Rounded) []verify.Rounded {
		return SquaredError(f, in, factor, mean)
	}, func(f verify.Field[verify.Exact], in [][]verify.Exact) []verify.Exact {
		return SquaredError(f, in, factor, mean)
	})
}

// OfSoftmax is the reference of softmax of rows.
func OfSoftmax(rows int) verify.Reference {
	return both(func(f verify.Field[verify.Rounded], in [][]verify.Rounded) []verify.Rounded {
		return Softmax(f, in[0], rows)
	}, nil)
}

// OfCrossEntropy is the reference of cross-entropy with labels.
func OfCrossEntropy(labels []int, mean bool) verify.Reference {
	return both(func(f verify.Field[verify.Rounded], in [][]verify.Rounded) []verify.Rounded {
		return CrossEntropy(f, in[0], labels, mean)
	}, nil)
}

// OfMasked is the reference of dropout with a known mask.
func OfMasked(mask []float64, keep float64) verify.Reference {
	return both(func(f verify.Field[verify.Rounded], in [][]verify.Rounded) []verify.Rounded {
		return Masked(f, in[0], mask, keep)
	}, func(f verify.Field[verify.Exact], in [][]verify.Exact) []verify.Exact {
		return Masked(f, in[0], mask, keep)
	})
}

// OfMean is the reference of the mean along axes.
func OfMean(shape, axes []int) verify.Reference {
	return both(func(f verify.Field[verify.Rounded], in [][]verify.Rounded) []verify.Rounded {
		return Mean(f, in[0], shape, axes)
	}, func(f verify.Field[verify.Exact], in [][]verify.Exact) []verify.Exact {
		return Mean(f, in[0], shape, axes)
	})
}

// Sum is the reference of the sum of two functions of the same operands.
func Sum(a, b verify.Reference) verify.Reference {
	r := verify.Reference{Rounded: added(a.Rounded, b.Rounded)}
	if a.Exact != nil && b.Exact != nil {
		r.Exact = added(a.Exact, b.Exact)
	}
	return r
}

func added[T any](a, b verify.Function[T]) verify.Function[T] {
	return func(f verify.Field[T], shapes [][]int, in [][]T) []T {
		y := slices.Clone(a(f, shapes, in))
		for i, v := range b(f, shapes, in) {
			y[i] = f.Add(y[i], v)
		}
		return y
	}
}

// Of is a reference of the operand k alone.
func Of(r verify.Reference, k int) verify.Reference {
	pick := verify.Reference{Rounded: picked(r.Rounded, k)}
	if r.Exact != nil {
		pick.Exact = picked(r.Exact, k)
	}
	return pick
}

func picked[T any](a verify.Function[T], k int) verify.Function[T] {
	return func(f verify.Field[T], shapes [][]int, in [][]T) []T {
		return a(f, shapes[k:k+1], in[k:k+1])
	}
}

func both(r func(verify.Field[verify.Rounded], [][]verify.Rounded) []verify.Rounded,
	e func(verify.Field[verify.Exact], [][]verify.Exact) []verify.Exact) verify.Reference {
	all := verify.Reference{Rounded: shapeless(r)}
	if e != nil {
		all.Exact = shapeless(e)
	}
	return all
}

// shapeless is a function that has its shapes from elsewhere.
func shapeless[T any](a func(verify.Field[T], [][]T) []T) verify.Function[T] {
	return func(f verify.Field[T], _ [][]int, in [][]T) []T { return a(f, in) }
}
