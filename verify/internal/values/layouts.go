package values

import (
	"math"
	"slices"

	"github.com/pkg/errors"
	G "gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// Sliced is a slice of a larger tensor whose other elements are NaN, in some axes or in all.
func Sliced(of tensor.Dtype, shape tensor.Shape, v []float64, axes ...int) (G.Value, error) {
	large := shape.Clone()
	var at []tensor.Slice
	for a, s := range shape {
		// the tensor package drops an axis that is sliced to one element
		if s == 1 || len(axes) > 0 && !slices.Contains(axes, a) {
			at = append(at, nil)
			continue
		}
		large[a] = s + 2
		at = append(at, G.S(1, s+1))
	}
	f := make([]float64, large.TotalSize())
	for i := range f {
		f[i] = math.NaN()
	}
	for i, x := range v {
		k := 0
		for a, e := range Index(i, shape) {
			if at[a] != nil {
				e++
			}
			k = k*large[a] + e
		}
		f[k] = x
	}
	t, err := Of(of, large, f).(*tensor.Dense).Slice(at...)
	if err != nil {
		return nil, err
	}
	if !t.Shape().Eq(shape) {
		return nil, errors.Errorf("the tensor package slices %v to %v", shape, t.Shape())
	}
	return t.(G.Value), nil
}

// Transposed lies in memory with its axes in reverse.
func Transposed(of tensor.Dtype, shape tensor.Shape, v []float64, _ ...int) (G.Value, error) {
	if len(shape) < 2 {
		return Of(of, shape, v), nil
	}
	reversed := shape.Clone()
	slices.Reverse(reversed)
	t := Of(of, reversed, Columns(shape, v)).(*tensor.Dense)
	return t, t.T() // without axes, all are reversed
}

// ColumnMajor lies in memory with its first axis fastest.
func ColumnMajor(of tensor.Dtype, shape tensor.Shape, v []float64, _ ...int) (G.Value, error) {
	if len(shape) < 2 {
		return Of(of, shape, v), nil
	}
	// AsFortran takes row-major numbers and reorders them.
	return tensor.New(tensor.WithShape(shape...), tensor.AsFortran(Backing(of, v))), nil
}

// Columns is v in column-major order.
func Columns(shape tensor.Shape, v []float64) []float64 {
	c := make([]float64, len(v))
	for i, x := range v {
		k := 0
		index := Index(i, shape)
		for a := len(shape) - 1; a >= 0; a-- {
			k = k*shape[a] + index[a]
		}
		c[k] = x
	}
	return c
}

// Index is the multi-index of an element, nil in a scalar.
func Index(at int, shape []int) []int {
	if len(shape) == 0 {
		return nil
	}
	index := make([]int, len(shape))
	for k := len(shape) - 1; k >= 0; k-- {
		index[k] = at % shape[k]
		at /= shape[k]
	}
	return index
}
