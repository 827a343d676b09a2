package onnx

import (
	"encoding/binary"
	"fmt"
	"math"

	"github.com/pkg/errors"

	"github.com/convgrad/convgrad/internal/numbers"
)

// A DataType is the type of a tensor's elements, by ONNX's numbers.
type DataType int32

// The types that this project can read.
const (
	Float    DataType = 1
	Uint8    DataType = 2
	Int8     DataType = 3
	Uint16   DataType = 4
	Int16    DataType = 5
	Int32    DataType = 6
	Int64    DataType = 7
	String   DataType = 8
	Bool     DataType = 9
	Float16  DataType = 10
	Double   DataType = 11
	Uint32   DataType = 12
	Uint64   DataType = 13
	BFloat16 DataType = 16
)

// typeNames are those of every type of the format, known here or not.
var typeNames = map[DataType]string{
	0: "undefined", Float: "float", Uint8: "uint8", Int8: "int8", Uint16: "uint16", Int16: "int16",
	Int32: "int32", Int64: "int64", String: "string", Bool: "bool", Float16: "float16", Double: "double",
	Uint32: "uint32", Uint64: "uint64", 14: "complex64", 15: "complex128", BFloat16: "bfloat16",
	17: "float8e4m3fn", 18: "float8e4m3fnuz", 19: "float8e5m2", 20: "float8e5m2fnuz", 21: "uint4",
	22: "int4", 23: "float4e2m1", 24: "float8e8m0", 25: "uint2", 26: "int2",
}

func (t DataType) String() string {
	if n, ok := typeNames[t]; ok {
		return n
	}
	return fmt.Sprintf("type %d", int32(t))
}

// size is the bytes of an element as raw data, or 0 for types that are not read.
func (t DataType) size() int {
	switch t {
	case Uint8, Int8, Bool:
		return 1
	case Uint16, Int16, Float16, BFloat16:
		return 2
	case Float, Int32, Uint32:
		return 4
	case Double, Int64, Uint64:
		return 8
	}
	return 0
}

// format is that of floats, or none.
func (t DataType) format() numbers.Format {
	return map[DataType]numbers.Format{
		Float: numbers.F32, Double: numbers.F64, Float16: numbers.F16, BFloat16: numbers.BF16,
	}[t]
}

// IsFloat reports whether elements are floating point of a format that is read.
func (t DataType) IsFloat() bool { return t.format() != 0 }

// IsInteger reports whether elements are whole numbers or flags.
func (t DataType) IsInteger() bool { return t.size() > 0 && !t.IsFloat() }

// A Tensor is a constant. Its elements are raw bytes, little-endian and row-major, whichever of the
// format's ways the file has them in.
type Tensor struct {
	Name string
	Type DataType
	Dims []int
	Raw  []byte

	other *external // where Raw is to be read from, or nil
}

// Len is the number of elements.
func (t *Tensor) Len() int {
	n := 1
	for _, d := range t.Dims {
		n *= d
	}
	return n
}

// Ints are the elements of integers or flags.
func (t *Tensor) Ints() ([]int64, error) {
	if !t.Type.IsInteger() {
		return nil, errors.Errorf("%.200q is of %v, want integers", t.Name, t.Type)
	}
	v, size := make([]int64, t.Len()), t.Type.size()
	for i := range v {
		raw := t.Raw[i*size:]
		switch t.Type {
		case Uint8, Bool:
			v[i] = int64(raw[0])
		case Int8:
			v[i] = int64(int8(raw[0]))
		case Uint16:
			v[i] = int64(binary.LittleEndian.Uint16(raw))
		case Int16:
			v[i] = int64(int16(binary.LittleEndian.Uint16(raw)))
		case Int32:
			v[i] = int64(int32(binary.LittleEndian.Uint32(raw)))
		case Uint32:
			v[i] = int64(binary.LittleEndian.Uint32(raw))
		case Int64:
			v[i] = int64(binary.LittleEndian.Uint64(raw))
		case Uint64:
			u := binary.LittleEndian.Uint64(raw)
			if u > math.MaxInt64 {
				return nil, errors.Errorf("%.200q: element %d is %d, beyond int64", t.Name, i, u)
			}
			v[i] = int64(u)
		}
	}
	return v, nil
}

// Floats reads the elements of a tensor of floats, NaN and infinities too.
func Floats[T float32 | float64](t *Tensor) ([]T, error) {
	if !t.Type.IsFloat() {
		return nil, errors.Errorf("%.200q is of %v, want floats", t.Name, t.Type)
	}
	v := make([]T, t.Len())
	numbers.Decode(v, t.Type.format(), t.Raw, binary.LittleEndian)
	return v, nil
}

// Weights reads the elements into dst. It returns an error for one that is not finite, or beyond T.
func Weights[T float32 | float64](dst []T, t *Tensor) error {
	if !t.Type.IsFloat() || len(dst) != t.Len() {
		return errors.Errorf("%.200q is of %v and has %d elements, want %d floats", t.Name, t.Type, t.Len(), len(dst))
	}
	return errors.Wrapf(numbers.Finite(dst, t.Type.format(), t.Raw, binary.LittleEndian, 0), "%.200q", t.Name)
}

// FloatTensor is a constant of float32 or float64.
func FloatTensor[T float32 | float64](name string, dims []int, v []T) *Tensor {
	t := &Tensor{Name: name, Type: Float, Dims: dims}
	for _, x := range v {
		switch x := any(x).(type) {
		case float32:
			t.Raw = binary.LittleEndian.AppendUint32(t.Raw, math.Float32bits(x))
		case float64:
			t.Type = Double
			t.Raw = binary.LittleEndian.AppendUint64(t.Raw, math.Float64bits(x))
		}
	}
	return t
}

// IntTensor is a constant of int64. dims of nil make a scalar of one element.
func IntTensor(name string, dims []int, v ...int64) *Tensor {
	t := &Tensor{Name: name, Type: Int64, Dims: dims}
	for _, x := range v {
		t.Raw = binary.LittleEndian.AppendUint64(t.Raw, uint64(x))
	}
	return t
}
