// Package numbers has the formats of floating point that files of weights hold, and converts them
// to float32 and float64 and back.
package numbers

import (
	"encoding/binary"
	"math"

	"github.com/pkg/errors"
)

// A Format is a way to write a number. The zero value is none.
type Format int

// The formats, under the names that safetensors has for them.
const (
	F64  Format = iota + 1 // IEEE 754's binary64
	F32                    // IEEE 754's binary32
	F16                    // IEEE 754's binary16
	BF16                   // the upper half of a binary32
)

var names = [...]string{"none", "F64", "F32", "F16", "BF16"}

func (f Format) String() string {
	if f < 0 || int(f) >= len(names) {
		f = 0
	}
	return names[f]
}

// Named is the format of that name, or none.
func Named(name string) Format {
	for f := F64; f <= BF16; f++ {
		if names[f] == name {
			return f
		}
	}
	return 0
}

// Size is the number of bytes of an element.
func (f Format) Size() int { return [...]int{0, 8, 4, 2, 2}[f] }

// At is the number at the beginning of raw.
func (f Format) At(raw []byte, order binary.ByteOrder) float64 {
	switch f {
	case F64:
		return math.Float64frombits(order.Uint64(raw))
	case F32:
		return float64(math.Float32frombits(order.Uint32(raw)))
	case BF16:
		return float64(math.Float32frombits(uint32(order.Uint16(raw)) << 16))
	}
	return half(order.Uint16(raw))
}

// half is a number of IEEE 754's binary16.
func half(b uint16) float64 {
	exponent, fraction := int(b>>10&31), float64(b&1023)
	var v float64
	switch exponent {
	case 0:
		v = math.Ldexp(fraction, -24)
	case 31:
		if v = math.Inf(1); fraction != 0 {
			return math.NaN()
		}
	default:
		v = math.Ldexp(1024+fraction, exponent-25)
	}
	if b>>15 == 1 {
		return -v
	}
	return v
}

// Decode reads len(dst) numbers from raw and rounds them to T. NaN and infinities stay, and what is
// beyond T becomes an infinity.
func Decode[T float32 | float64](dst []T, f Format, raw []byte, order binary.ByteOrder) {
	size := f.Size()
	for i := range dst {
		dst[i] = T(f.At(raw[i*size:], order))
	}
}

// Finite is Decode for weights. It returns an error for the first number that is NaN or infinite,
// or beyond T; the first of dst counts as element first.
func Finite[T float32 | float64](dst []T, f Format, raw []byte, order binary.ByteOrder, first int) error {
	size := f.Size()
	for i := range dst {
		v := f.At(raw[i*size:], order)
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return errors.Errorf("element %d is %v, want a finite number", first+i, v)
		}
		if dst[i] = T(v); math.IsInf(float64(dst[i]), 0) {
			return errors.Errorf("element %d is %v, beyond %T", first+i, v, dst[0])
		}
	}
	return nil
}

// Append writes numbers after dst, little-endian, each rounded to the nearest of the format, a tie
// to the even one.
//
// It returns an error for the first number that is NaN or infinite, or beyond the format; the first
// of src counts as element first.
func Append[T float32 | float64](dst []byte, f Format, src []T, first int) ([]byte, error) {
	for i, x := range src {
		v := float64(x)
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return dst, errors.Errorf("element %d is %v, want a finite number", first+i, v)
		}
		from := len(dst)
		switch f {
		case F64:
			dst = binary.LittleEndian.AppendUint64(dst, math.Float64bits(v))
		case F32:
			dst = binary.LittleEndian.AppendUint32(dst, math.Float32bits(float32(v)))
		case F16:
			dst = binary.LittleEndian.AppendUint16(dst, rounded(v, 10, 5))
		case BF16:
			dst = binary.LittleEndian.AppendUint16(dst, rounded(v, 7, 8))
		default:
			return dst, errors.Errorf("the format is %v, want F64, F32, F16 or BF16", f)
		}
		if math.IsInf(f.At(dst[from:], binary.LittleEndian), 0) {
			return dst, errors.Errorf("element %d is %v, beyond %v", first+i, v, f)
		}
	}
	return dst, nil
}

// rounded is the nearest number of 16 bits with so many bits of fraction and of exponent. One
// beyond the format is an infinity.
func rounded(v float64, fraction, exponent int) uint16 {
	sign := uint16(0)
	if math.Signbit(v) {
		sign, v = 1<<15, -v
	}
	if v == 0 {
		return sign
	}
	bias := 1<<(exponent-1) - 1
	_, e := math.Frexp(v) // v is in [2^(e−1), 2^e)
	e = max(e-1, 1-bias)  // below that numbers lie as far apart as at the least exponent
	if e > bias {
		return sign | uint16(1<<exponent-1)<<fraction
	}
	// A fraction that rounds up to the next power of two carries into the exponent.
	steps := uint16(math.RoundToEven(math.Ldexp(v, fraction-e)))
	return sign | (uint16(e+bias-1)<<fraction + steps)
}
