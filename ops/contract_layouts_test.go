package ops

import (
	"fmt"
	"math"
	"slices"

	G "gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// A layout is a tensor's elements in some order in memory, and that memory.
type layout struct {
	name  string
	value *tensor.Dense
	whole []G.Value
}

// layouts are the ways in which Gorgonia's users come by tensors: slices, lazy and materialised
// transposes, column-major tensors, and slices and transposes of these.
func layouts(d *tensor.Dense) []layout {
	if slices.Contains(d.Shape(), 1) {
		return nil // tensor drops sides of 1 when it slices
	}
	switch data := d.Data().(type) {
	case []float32:
		return layoutsOf(d.Shape(), data, float32(math.NaN()))
	case []float64:
		return layoutsOf(d.Shape(), data, math.NaN())
	case []int32:
		return layoutsOf(d.Shape(), data, -7)
	case []int:
		return layoutsOf(d.Shape(), data, -7)
	}
	panic("no layouts")
}

func layoutsOf[T comparable](shape tensor.Shape, data []T, outside T) []layout {
	rank := len(shape)
	must := func(t tensor.Tensor, err error) *tensor.Dense {
		if err != nil {
			panic(err)
		}
		return t.(*tensor.Dense)
	}
	// embed lays the elements into a larger array, with margins before and after and a step on each
	// axis, and slices them out.
	embed := func(name string, columnMajor bool, before, after, step []int) layout {
		big := make(tensor.Shape, rank)
		cut := make([]tensor.Slice, rank)
		for i, side := range shape {
			big[i] = before[i] + side*step[i] + after[i]
			cut[i] = G.S(before[i], before[i]+side*step[i], step[i])
		}
		all := fill(big.TotalSize(), func() T { return outside })
		for i, v := range data {
			at, rest, stride := 0, i, 1
			for k := rank - 1; k >= 0; k-- {
				at += (before[k] + rest%shape[k]*step[k]) * stride
				rest /= shape[k]
				stride *= big[k]
			}
			all[at] = v
		}
		var whole *tensor.Dense
		if columnMajor {
			whole = tensor.New(tensor.WithShape(big...), tensor.AsFortran(all))
		} else {
			whole = tensor.New(tensor.WithShape(big...), tensor.WithBacking(all))
		}
		return layout{name, must(whole.Slice(cut...)), []G.Value{whole}}
	}
	// permuted has its axes in another order in memory; order[i] is the axis of memory that becomes
	// axis i.
	permuted := func(order []int) *tensor.Dense {
		stored := make(tensor.Shape, rank)
		for i, axis := range order {
			stored[axis] = shape[i]
		}
		strides := make([]int, rank)
		for k, stride := rank-1, 1; k >= 0; k-- {
			strides[k] = stride
			stride *= stored[k]
		}
		all := make([]T, len(data))
		for i, v := range data {
			at, rest := 0, i
			for k := rank - 1; k >= 0; k-- {
				at += rest % shape[k] * strides[order[k]]
				rest /= shape[k]
			}
			all[at] = v
		}
		d := tensor.New(tensor.WithShape(stored...), tensor.WithBacking(all))
		if err := d.T(order...); err != nil {
			panic(err)
		}
		return d
	}
	ones, zeros := make([]int, rank), make([]int, rank)
	for i := range ones {
		ones[i] = 1
	}
	only := func(axis int) []int { v := make([]int, rank); v[axis] = 1; return v }
	twice := append([]int(nil), ones...)
	twice[rank-1] = 2
	all := []layout{
		embed("slice of all axes", false, ones, ones, ones),
		embed("slice of the first axis", false, only(0), only(0), ones),
		embed("slice of the last axis", false, only(rank-1), only(rank-1), ones),
		embed("slice that reaches the end", false, only(rank-1), zeros, ones),
		embed("every second of the last axis", false, zeros, zeros, twice),
	}
	if rank > 1 {
		reversed, rotated := make([]int, rank), make([]int, rank)
		for i := range rank {
			reversed[i], rotated[i] = rank-1-i, (i+1)%rank
		}
		moved := permuted(reversed)
		if err := moved.Transpose(); err != nil {
			panic(err)
		}
		lazy, turned := permuted(reversed), permuted(rotated)
		fortran := tensor.New(tensor.WithShape(shape...), tensor.AsFortran(append([]T(nil), data...)))
		all = append(all,
			layout{"lazy transpose", lazy, []G.Value{lazy}},
			layout{"rotated axes", turned, []G.Value{turned}},
			layout{"transpose that was carried out", moved, []G.Value{moved}},
			layout{"column-major", fortran, []G.Value{fortran}},
			embed("slice of a column-major tensor", true, ones, ones, ones),
		)
	}
	for _, l := range all { // the tensor library's own view of what was made here
		if !l.value.Shape().Eq(shape) {
			panic(fmt.Sprintf("%s has shape %v, want %v", l.name, l.value.Shape(), shape))
		}
		for i, want := range data {
			at := make([]int, rank)
			for k, rest := rank-1, i; k >= 0; k-- {
				at[k] = rest % shape[k]
				rest /= shape[k]
			}
			// a NaN is as good as another
			if got, err := l.value.At(at...); err != nil || got != any(want) && want == want {
				panic(fmt.Sprintf("%s of %v at %v: %v, %v, want %v", l.name, shape, at, got, err, want))
			}
		}
	}
	return all
}
