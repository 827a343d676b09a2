// Package values makes Gorgonia's values of numbers, and reads and writes their elements in the
// order of their indices, whatever the memory's layout.
package values

import (
	"slices"

	"github.com/pkg/errors"
	G "gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// Float reports whether elements of the type have derivatives.
func Float(t tensor.Dtype) bool { return t == tensor.Float64 || t == tensor.Float32 }

// Leaf is a node without a value, of a shape and type.
func Leaf(g *G.ExprGraph, name string, t tensor.Dtype, shape []int) *G.Node {
	if len(shape) == 0 {
		return G.NewScalar(g, t, G.WithName(name))
	}
	return G.NewTensor(g, t, len(shape), G.WithShape(shape...), G.WithName(name))
}

// Weighted is Σ n ⊙ weights.
func Weighted(n *G.Node, name string, weights []float64) (*G.Node, error) {
	w := Leaf(n.Graph(), name, n.Dtype(), n.Shape())
	G.WithValue(Of(n.Dtype(), n.Shape(), weights))(w)
	if n.IsScalar() {
		return G.Mul(n, w)
	}
	p, err := G.HadamardProd(n, w)
	if err != nil {
		return nil, err
	}
	return G.Sum(p)
}

// Of is the numbers as a value of a shape and type.
func Of(t tensor.Dtype, shape tensor.Shape, v []float64) G.Value {
	if len(shape) > 0 {
		return tensor.New(tensor.WithShape(shape...), tensor.WithBacking(Backing(t, v)))
	}
	switch t {
	case tensor.Float64:
		return G.NewF64(v[0])
	case tensor.Float32:
		return G.NewF32(float32(v[0]))
	case tensor.Int32:
		return G.NewI32(int32(v[0]))
	case tensor.Int64:
		return G.NewI64(int64(v[0]))
	case tensor.Bool:
		return G.NewB(v[0] != 0)
	}
	return G.NewI(int(v[0]))
}

// Backing is the numbers as a new slice of a type.
func Backing(t tensor.Dtype, v []float64) any {
	switch t {
	case tensor.Float32:
		return converted[float32](v)
	case tensor.Int:
		return converted[int](v)
	case tensor.Int32:
		return converted[int32](v)
	case tensor.Int64:
		return converted[int64](v)
	case tensor.Bool:
		b := make([]bool, len(v))
		for i, x := range v {
			b[i] = x != 0
		}
		return b
	}
	return slices.Clone(v)
}

type number interface {
	int | int32 | int64 | float32 | float64
}

func converted[T number](v []float64) []T {
	f := make([]T, len(v))
	for i, x := range v {
		f[i] = T(x)
	}
	return f
}

func floats[T number](v []T) []float64 {
	f := make([]float64, len(v))
	for i, x := range v {
		f[i] = float64(x)
	}
	return f
}

func truths(v []bool) []float64 {
	f := make([]float64, len(v))
	for i, b := range v {
		if b {
			f[i] = 1
		}
	}
	return f
}

// Memory is a value's elements in the order of the memory.
func Memory(v G.Value) ([]float64, error) {
	if v == nil {
		return nil, errors.New("there is no value")
	}
	switch d := v.Data().(type) {
	case float64:
		return []float64{d}, nil
	case float32:
		return []float64{float64(d)}, nil
	case int:
		return []float64{float64(d)}, nil
	case int32:
		return []float64{float64(d)}, nil
	case int64:
		return []float64{float64(d)}, nil
	case bool:
		return truths([]bool{d}), nil
	case []float64:
		return slices.Clone(d), nil
	case []float32:
		return floats(d), nil
	case []int:
		return floats(d), nil
	case []int32:
		return floats(d), nil
	case []int64:
		return floats(d), nil
	case []bool:
		return truths(d), nil
	}
	return nil, errors.Errorf("a value of type %T, want floats or integers", v.Data())
}

// Floats is a value's elements in the order of their indices.
func Floats(v G.Value) ([]float64, error) {
	memory, err := Memory(v)
	t, ok := v.(tensor.Tensor)
	if err != nil || !ok {
		return memory, err
	}
	n := t.Shape().TotalSize()
	if n == len(memory) && slices.Equal(t.Strides(), t.Shape().CalcStrides()) {
		return memory, nil
	}
	f := make([]float64, n)
	return f, walk(t, len(memory), func(i, at int) { f[i] = memory[at] })
}

// Set gives a value of floats other elements.
func Set(v G.Value, to []float64) error {
	switch d := v.(type) {
	case *G.F64:
		*d = G.F64(to[0])
		return nil
	case *G.F32:
		*d = G.F32(to[0])
		return nil
	case *tensor.Dense:
		switch memory := d.Data().(type) {
		case []float64:
			return walk(d, len(memory), func(i, at int) { memory[at] = to[i] })
		case []float32:
			return walk(d, len(memory), func(i, at int) { memory[at] = float32(to[i]) })
		}
	}
	return errors.Errorf("a value is a %T, want floats", v)
}

// walk visits the places in memory of a tensor's elements, in the order of their indices.
func walk(t tensor.Tensor, n int, visit func(i, at int)) error {
	shape, strides := t.Shape(), t.Strides()
	// the tensor package gives scalars none, and a column-major (1, n) or (n, 1) only one
	if len(strides) != len(shape) {
		step := 1
		if len(strides) == 1 {
			step = strides[0]
		}
		strides = shape.CalcStrides()
		for a := range strides {
			strides[a] *= step
		}
	}
	index, at := make([]int, len(shape)), 0
	for i := range shape.TotalSize() {
		if at < 0 || at >= n {
			return errors.Errorf("a tensor of shape %v and strides %v over %d elements", shape, strides, n)
		}
		visit(i, at)
		for a := len(index) - 1; a >= 0; a-- {
			index[a]++
			if at += strides[a]; index[a] < shape[a] {
				break
			}
			at -= strides[a] * shape[a]
			index[a] = 0
		}
	}
	return nil
}
