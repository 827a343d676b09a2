package ops

import (
	"math"
	"slices"

	"github.com/pkg/errors"
	G "gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/convgrad/convgrad/internal/kernel"
)

// An operand is a value as the kernels take it: row-major, without gaps. It shares the value's
// memory if that has this form already, and is a copy otherwise.
type operand struct {
	shape tensor.Shape
	data  any // []float32, []float64, []int32, []int64 or []int
}

func (o operand) dtype() tensor.Dtype {
	switch o.data.(type) {
	case []float32:
		return tensor.Float32
	case []float64:
		return tensor.Float64
	case []int32:
		return tensor.Int32
	case []int64:
		return tensor.Int64
	}
	return tensor.Int
}

// clear makes the elements 0.
func (o operand) clear() {
	switch d := o.data.(type) {
	case []float32:
		clear(d)
	case []float64:
		clear(d)
	case []int32:
		clear(d)
	case []int64:
		clear(d)
	case []int:
		clear(d)
	}
}

// store puts a rank-0 result into its value.
func (o operand) store(to G.Value) {
	switch s := to.(type) {
	case *G.F32:
		*s = G.F32(slice[float32](o)[0])
	case *G.F64:
		*s = G.F64(slice[float64](o)[0])
	case *G.I:
		*s = G.I(slice[int](o)[0])
	case *G.I32:
		*s = G.I32(slice[int32](o)[0])
	case *G.I64:
		*s = G.I64(slice[int64](o)[0])
	}
}

// element returns a scalar's element in a slice of its own, or nil if v is no scalar that ops know,
// or a nil pointer.
func element(v G.Value) any {
	switch s := v.(type) {
	case *G.F32:
		if s != nil {
			return []float32{float32(*s)}
		}
	case *G.F64:
		if s != nil {
			return []float64{float64(*s)}
		}
	case *G.I:
		if s != nil {
			return []int{int(*s)}
		}
	case *G.I32:
		if s != nil {
			return []int32{int32(*s)}
		}
	case *G.I64:
		if s != nil {
			return []int64{int64(*s)}
		}
	}
	return nil
}

// newScalar is the scalar 0 of a type.
func newScalar(of tensor.Dtype) G.Value {
	switch of {
	case tensor.Float32:
		return G.NewF32(0)
	case tensor.Float64:
		return G.NewF64(0)
	case tensor.Int32:
		return G.NewI32(0)
	case tensor.Int64:
		return G.NewI64(0)
	}
	return G.NewI(0)
}

// plain returns a value as an operand. Strides decide whether it is copied; Gorgonia's flags on a
// tensor do not count. Slices, transposes and column-major tensors are copied.
func plain(v G.Value) (operand, error) {
	if e := element(v); e != nil {
		return operand{tensor.ScalarShape(), e}, nil
	}
	switch s := v.(type) {
	case *tensor.Dense:
		if s != nil {
			return plainDense(s)
		}
	case nil, *G.F32, *G.F64, *G.I, *G.I32, *G.I64: // a nil pointer
	default:
		return operand{}, errors.Errorf("got a value of type %T, want *tensor.Dense", v)
	}
	return operand{}, errors.New("there is no value")
}

// countable returns an error if a side is negative, or a tensor of that shape would have more
// elements than the kernels' 32-bit indices reach. Sides of 0 count as 1 there, so that no part of
// a shape overflows.
func countable(shape tensor.Shape) error {
	n := 1
	for _, side := range shape {
		if side < 0 {
			return errors.Errorf("has shape %v, want no negative sides", shape)
		}
	}
	for _, side := range shape {
		if side > math.MaxInt32/n {
			return errors.Errorf("has shape %v, want at most %d elements", shape, math.MaxInt32)
		}
		n *= max(side, 1)
	}
	return nil
}

func plainDense(d *tensor.Dense) (operand, error) {
	shape := d.Shape() // not a clone: an operand lives for one call
	if err := countable(shape); err != nil {
		return operand{}, err
	}
	switch d.Dtype() { // Dense.Data would make a slice by reflection
	case tensor.Float32:
		data, err := flat(d, d.Float32s())
		return operand{shape, data}, err
	case tensor.Float64:
		data, err := flat(d, d.Float64s())
		return operand{shape, data}, err
	case tensor.Int32:
		data, err := flat(d, d.Int32s())
		return operand{shape, data}, err
	case tensor.Int64:
		data, err := flat(d, d.Int64s())
		return operand{shape, data}, err
	case tensor.Int:
		data, err := flat(d, d.Ints())
		return operand{shape, data}, err
	}
	return operand{}, errors.Errorf("got elements of type %v, want float32, float64 or integers", d.Dtype())
}

// longAxis is the last axis longer than 1, or 0, and how many there are.
func longAxis(shape tensor.Shape) (axis, count int) {
	for a, s := range shape {
		if s > 1 {
			axis, count = a, count+1
		}
	}
	return axis, count
}

// flat is the tensor's elements in row-major order: its own memory if they lie so, a copy
// otherwise.
func flat[T any](d *tensor.Dense, data []T) ([]T, error) {
	shape, strides := d.Shape(), d.Strides()
	n := shape.TotalSize()
	// the tensor package gives a column-major tensor of one element no strides at all
	if (n <= 1 || isPlain(shape, strides)) && len(data) >= n {
		return data[:n:n], nil
	}
	return copied(shape, strides, data)
}

// spelled is the strides of a tensor, one for each axis. The tensor package gives a column-major
// tensor of one element none, and a row or column, (1, n) or (n, 1), one.
func spelled(shape tensor.Shape, strides []int) []int {
	if len(strides) == len(shape) {
		return strides
	}
	axis, long := longAxis(shape)
	switch {
	case long == 0:
		return make([]int, len(shape))
	case long == 1 && len(strides) == 1:
		full := make([]int, len(shape))
		full[axis] = strides[0]
		return full
	}
	return strides
}

// copied is a copy of elements of any strides in row-major order.
func copied[T any](shape tensor.Shape, strides []int, data []T) ([]T, error) {
	strides = spelled(shape, strides)
	if len(strides) != shape.Dims() {
		return nil, errors.Errorf("a tensor of shape %v has strides %v", shape, strides)
	}
	flat := make([]T, shape.TotalSize())
	at := make([]int, len(shape))
	for i := range flat {
		o := 0
		for k, a := range at {
			o += a * strides[k]
		}
		if o >= len(data) {
			return nil, errors.Errorf("a tensor of shape %v and strides %v reaches element %d of %d", shape, strides, o, len(data))
		}
		flat[i] = data[o]
		for k := len(at) - 1; k >= 0; k-- {
			if at[k]++; at[k] < shape[k] {
				break
			}
			at[k] = 0
		}
	}
	return flat, nil
}

// isPlain reports whether the strides are those of a row-major tensor without gaps. The stride of
// an axis of one element does not matter.
func isPlain(shape tensor.Shape, strides []int) bool {
	if len(strides) != len(shape) {
		return len(shape) == 0
	}
	want := 1
	for i := len(shape) - 1; i >= 0; i-- {
		if shape[i] != 1 && strides[i] != want {
			return false
		}
		want *= shape[i]
	}
	return true
}

// destination takes memory apart that a result is to be written into. It must be plain: a copy
// would be lost.
func destination(v G.Value, shape tensor.Shape, of tensor.Dtype) (operand, error) {
	if shape.Dims() == 0 {
		if o := (operand{shape, element(v)}); o.data != nil && o.dtype() == of {
			return o, nil
		}
		return operand{}, errors.Errorf("destination is a %T, want a gorgonia scalar that holds a %v and is not nil", v, of)
	}
	d, ok := v.(*tensor.Dense)
	if !ok || d == nil {
		return operand{}, errors.Errorf("destination is a %T, want a *tensor.Dense that is not nil", v)
	}
	if !slices.Equal(d.Shape(), shape) || d.Dtype() != of || !isPlain(d.Shape(), d.Strides()) {
		return operand{}, errors.Errorf("destination is %v %v with strides %v, want row-major %v %v", d.Dtype(), d.Shape(), d.Strides(), of, shape)
	}
	o, err := plainDense(d)
	o.shape = shape
	return o, err
}

// newValue makes memory for a result.
func newValue(shape tensor.Shape, of tensor.Dtype) (operand, G.Value, error) {
	o := operand{shape: shape}
	n := shape.TotalSize()
	switch of {
	case tensor.Float32:
		o.data = make([]float32, n)
	case tensor.Float64:
		o.data = make([]float64, n)
	case tensor.Int32:
		o.data = make([]int32, n)
	case tensor.Int64:
		o.data = make([]int64, n)
	default:
		o.data = make([]int, n)
	}
	if shape.Dims() == 0 {
		return o, newScalar(of), nil
	}
	return o, tensor.New(tensor.WithShape(shape...), tensor.WithBacking(o.data)), nil
}

// accumulate adds v to the gradient of n in place: it may hold what other consumers gave, and
// others may hold it.
func accumulate(n *G.Node, v G.Value) error {
	g, err := n.Grad()
	if err != nil {
		return err
	}
	from, err := plain(v)
	if err != nil {
		return err
	}
	switch to := g.(type) {
	case *G.F32:
		if d, ok := from.data.([]float32); ok && len(d) == 1 {
			*to += G.F32(d[0])
			return nil
		}
	case *G.F64:
		if d, ok := from.data.([]float64); ok && len(d) == 1 {
			*to += G.F64(d[0])
			return nil
		}
	case *tensor.Dense:
		switch to.Dtype() { // Data panics where there are no elements
		case tensor.Float32:
			return addInto(to, to.Float32s(), from)
		case tensor.Float64:
			return addInto(to, to.Float64s(), from)
		}
	}
	return errors.Errorf("it is a %T of shape %v, want one like the value, %v %v", g, g.Shape(), from.dtype(), from.shape)
}

// addInto adds from to the elements of a tensor of any strides.
func addInto[T kernel.Float](to *tensor.Dense, data []T, from operand) error {
	v, ok := from.data.([]T)
	shape, strides := to.Shape(), to.Strides()
	if !ok || len(v) != shape.TotalSize() {
		return errors.Errorf("it has %v elements of shape %v, want %v of shape %v", to.Dtype(), shape, from.dtype(), from.shape)
	}
	if len(v) == 0 {
		return nil
	}
	if strides = spelled(shape, strides); len(strides) != len(shape) {
		return errors.Errorf("a tensor of shape %v has strides %v", shape, strides)
	}
	if isPlain(shape, strides) {
		kernel.Add(data[:len(v)], v)
		return nil
	}
	at := make([]int, len(shape))
	for _, x := range v {
		o := 0
		for k, a := range at {
			o += a * strides[k]
		}
		data[o] += x
		for k := len(at) - 1; k >= 0; k-- {
			if at[k]++; at[k] < shape[k] {
				break
			}
			at[k] = 0
		}
	}
	return nil
}
