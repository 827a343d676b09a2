package verify

import (
	"math"
	"math/big"
)

// A Field is the arithmetic of a kind of number. A reference written against it runs in exact
// rationals and in numbers that carry their own error bound, both with derivatives.
type Field[T any] interface {
	Number(v float64) T
	Add(a, b T) T
	Sub(a, b T) T
	Mul(a, b T) T
	Div(a, b T) T
	Sqrt(a T) T
	Exp(a T) T
	Log(a T) T
	// Less compares values. Where it decides between operands, as in a maximum, the chosen one
	// keeps its derivative. At a tie derivatives are not judged by the reference.
	Less(a, b T) bool
}

// A Function is a reference: the elements of the result from the elements of the inputs, row-major,
// in whatever numbers f computes with. shapes are those of the inputs. The elements of several
// outputs follow one another.
type Function[T any] func(f Field[T], shapes [][]int, in [][]T) []T

// A Reference is one generic function at the number types that oracles need:
//
//	verify.Reference{Rounded: ref[verify.Rounded], Exact: ref[verify.Exact]}
//
// Either may be nil; its oracle is then left out. A function that divides, or takes roots,
// exponentials or logarithms of numbers, has no exact form unless the results are rational.
type Reference struct {
	Rounded Function[Rounded]
	Exact   Function[Exact]
}

// A Dual is a dual number over any field: V + D·ε with ε² = 0.
type Dual[T any] struct{ V, D T }

// Exact is a rational with its derivative. Rounded is a number with its derivative, each with a
// bound on its rounding error.
type (
	Exact   = Dual[Rational]
	Rounded = Dual[Bound]
)

// over is the arithmetic of dual numbers over a field.
type over[T any] struct{ f Field[T] }

func (o over[T]) Number(v float64) Dual[T] { return Dual[T]{o.f.Number(v), o.f.Number(0)} }
func (o over[T]) Add(a, b Dual[T]) Dual[T] { return Dual[T]{o.f.Add(a.V, b.V), o.f.Add(a.D, b.D)} }
func (o over[T]) Sub(a, b Dual[T]) Dual[T] { return Dual[T]{o.f.Sub(a.V, b.V), o.f.Sub(a.D, b.D)} }
func (o over[T]) Mul(a, b Dual[T]) Dual[T] {
	return Dual[T]{o.f.Mul(a.V, b.V), o.f.Add(o.f.Mul(a.D, b.V), o.f.Mul(a.V, b.D))}
}
func (o over[T]) Div(a, b Dual[T]) Dual[T] {
	q := o.f.Div(a.V, b.V)
	return Dual[T]{q, o.f.Div(o.f.Sub(a.D, o.f.Mul(q, b.D)), b.V)}
}
func (o over[T]) Sqrt(a Dual[T]) Dual[T] {
	r := o.f.Sqrt(a.V)
	return Dual[T]{r, o.f.Div(a.D, o.f.Add(r, r))}
}
func (o over[T]) Exp(a Dual[T]) Dual[T]  { e := o.f.Exp(a.V); return Dual[T]{e, o.f.Mul(e, a.D)} }
func (o over[T]) Log(a Dual[T]) Dual[T]  { return Dual[T]{o.f.Log(a.V), o.f.Div(a.D, a.V)} }
func (o over[T]) Less(a, b Dual[T]) bool { return o.f.Less(a.V, b.V) }

// rationals is exact arithmetic. What has no rational result sets inexact; a choice between equal
// numbers sets tie.
type rationals struct{ inexact, tie *bool }

func (r rationals) no() Rational { *r.inexact = true; return Rational{} }

func (r rationals) Number(v float64) Rational {
	if v == math.Trunc(v) && math.Abs(v) < 1<<53 {
		return NewRational(int64(v), 1)
	}
	q := new(big.Rat)
	if q.SetFloat64(v) == nil {
		return r.no()
	}
	return fromBig(q)
}
func (r rationals) Add(a, b Rational) Rational { return a.Add(b) }
func (r rationals) Sub(a, b Rational) Rational { return a.Sub(b) }
func (r rationals) Mul(a, b Rational) Rational { return a.Mul(b) }
func (r rationals) Less(a, b Rational) bool {
	c := a.Cmp(b)
	if c == 0 && r.tie != nil {
		*r.tie = true
	}
	return c < 0
}
func (r rationals) Exp(Rational) Rational { return r.no() }
func (r rationals) Log(Rational) Rational { return r.no() }
func (r rationals) Div(a, b Rational) Rational {
	if b.Sign() == 0 {
		return r.no()
	}
	return a.Div(b)
}
func (r rationals) Sqrt(a Rational) Rational {
	if q, ok := a.Sqrt(); ok {
		return q
	}
	return r.no()
}

// A Bound is a number with a bound on the error that a computation in floating point, of unit
// roundoff u, can have made in it, whatever the order in which it added. A sum remembers its terms:
// k of them of absolute sum a, which any order adds up with an error of at most
// (k−1)·u/(1−(k−1)·u)·a (Higham, Accuracy and Stability of Numerical Algorithms, 2002, section
// 4.2).
type Bound struct {
	v float64 // the value
	e float64 // the error of the terms
	a float64 // Σ |terms|
	k float64 // their number
}

// bounds is arithmetic with error bounds for the unit roundoff u.
type bounds struct {
	u   float64
	tie *bool // set where rounding could turn a choice
}

// errorOf is the whole error of a number: its terms' and that of adding them. One roundoff more
// covers the reference's own arithmetic.
func (b bounds) errorOf(x Bound) float64 {
	n := (x.k + 1) * b.u
	if n >= 0.5 {
		return math.Inf(1)
	}
	return x.e + n/(1-n)*x.a
}

func (b bounds) term(v, e float64) Bound { return Bound{v, e, math.Abs(v) + e, 1} }
func (b bounds) Number(v float64) Bound  { return Bound{v, 0, math.Abs(v), 0} }
func (b bounds) Add(x, y Bound) Bound {
	return Bound{x.v + y.v, x.e + y.e, x.a + y.a, max(x.k, 1) + max(y.k, 1)}
}
func (b bounds) Sub(x, y Bound) Bound {
	return Bound{x.v - y.v, x.e + y.e, x.a + y.a, max(x.k, 1) + max(y.k, 1)}
}
func (b bounds) Less(x, y Bound) bool {
	if b.tie != nil && !(math.Abs(x.v-y.v) > 4*(b.errorOf(x)+b.errorOf(y))) {
		*b.tie = true
	}
	return x.v < y.v
}
func (b bounds) Mul(x, y Bound) Bound {
	ex, ey := b.errorOf(x), b.errorOf(y)
	// a product with the constant 0 is no term at all
	if x.k == 0 && x.v == 0 || y.k == 0 && y.v == 0 {
		return Bound{}
	}
	v := x.v * y.v
	e := math.Abs(x.v)*ey + math.Abs(y.v)*ex + ex*ey
	return b.term(v, e+b.u*(math.Abs(v)+e))
}
func (b bounds) Div(x, y Bound) Bound {
	ex, ey := b.errorOf(x), b.errorOf(y)
	if x.k == 0 && x.v == 0 {
		return Bound{}
	}
	v := x.v / y.v
	low := math.Abs(y.v) - ey
	if !(low > 0) {
		return b.term(v, math.Inf(1))
	}
	e := (ex + math.Abs(v)*ey) / low
	return b.term(v, e+2*b.u*(math.Abs(v)+e))
}
func (b bounds) Sqrt(x Bound) Bound {
	ex, v := b.errorOf(x), math.Sqrt(x.v)
	e := math.Sqrt(ex) // √(x+e) − √x ≤ √e, and less where x is large
	if v > 0 {
		e = min(e, ex/v)
	}
	return b.term(v, e+b.u*(v+e))
}

// libm's exponential and logarithm are taken to be good to four units.
func (b bounds) Exp(x Bound) Bound {
	v := math.Exp(x.v)
	e := v * math.Expm1(b.errorOf(x))
	return b.term(v, e+4*b.u*(v+e))
}
func (b bounds) Log(x Bound) Bound {
	ex, v := b.errorOf(x), math.Log(x.v)
	if !(x.v > ex) {
		return b.term(v, math.Inf(1))
	}
	e := -math.Log1p(-ex / x.v)
	return b.term(v, e+4*b.u*(math.Abs(v)+e))
}
