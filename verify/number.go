package verify

import (
	"math"
	"math/big"

	"gonum.org/v1/gonum/num/dual"
)

// A Field is the arithmetic of a kind of number. A reference written against it runs in dual numbers, in exact rationals and in numbers that carry their own error bound.
type Field[T any] interface {
	Number(v float64) T
	Add(a, b T) T
	Sub(a, b T) T
	Mul(a, b T) T
	Div(a, b T) T
	Sqrt(a T) T
	Exp(a T) T
	Log(a T) T
	// Less compares values; where it decides between operands, as in a maximum, the chosen one keeps its derivative.
	Less(a, b T) bool
}

// A Function is a reference: the elements of the result from the elements of the inputs, row-major, in whatever numbers f computes with. shapes are those of the inputs.
type Function[T any] func(f Field[T], shapes [][]int, in [][]T) []T

// A Reference is one generic function at the number types that oracles need:
//
//	verify.Reference{Dual: ref[dual.Number], Exact: ref[verify.ExactDual], Bound: ref[verify.BoundDual]}
//
// Any of them may be nil; the oracle is then left out. A function that divides or takes roots, exponentials or logarithms of numbers has no exact form unless the results happen to be rational.
type Reference struct {
	Dual  Function[dual.Number]
	Exact Function[ExactDual]
	Bound Function[BoundDual]
}

// dualField is gonum's dual numbers: derivatives to rounding.
type dualField struct{}

func (dualField) Number(v float64) dual.Number     { return dual.Number{Real: v} }
func (dualField) Add(a, b dual.Number) dual.Number { return dual.Add(a, b) }
func (dualField) Sub(a, b dual.Number) dual.Number { return dual.Sub(a, b) }
func (dualField) Mul(a, b dual.Number) dual.Number { return dual.Mul(a, b) }
func (dualField) Div(a, b dual.Number) dual.Number { return dual.Mul(a, dual.Inv(b)) }
func (dualField) Sqrt(a dual.Number) dual.Number   { return dual.Sqrt(a) }
func (dualField) Exp(a dual.Number) dual.Number    { return dual.Exp(a) }
func (dualField) Log(a dual.Number) dual.Number    { return dual.Log(a) }
func (dualField) Less(a, b dual.Number) bool       { return a.Real < b.Real }

// A Dual is a dual number over any field: V + D·ε with ε² = 0.
type Dual[T any] struct{ V, D T }

// ExactDual is a dual number of rationals; BoundDual one of numbers with error bounds.
type (
	ExactDual = Dual[*big.Rat]
	BoundDual = Dual[Bound]
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

type rational = *big.Rat

// rationals is exact arithmetic. What has no rational result sets inexact.
type rationals struct{ inexact *bool }

func (r rationals) Number(v float64) *big.Rat {
	q := new(big.Rat)
	if q.SetFloat64(v) == nil {
		*r.inexact = true
		return new(big.Rat)
	}
	return q
}
func (r rationals) Add(a, b *big.Rat) *big.Rat { return new(big.Rat).Add(a, b) }
func (r rationals) Sub(a, b *big.Rat) *big.Rat { return new(big.Rat).Sub(a, b) }
func (r rationals) Mul(a, b *big.Rat) *big.Rat { return new(big.Rat).Mul(a, b) }
func (r rationals) Less(a, b *big.Rat) bool    { return a.Cmp(b) < 0 }
func (r rationals) Exp(*big.Rat) *big.Rat      { *r.inexact = true; return new(big.Rat) }
func (r rationals) Log(*big.Rat) *big.Rat      { *r.inexact = true; return new(big.Rat) }
func (r rationals) Div(a, b *big.Rat) *big.Rat {
	if b.Sign() == 0 {
		*r.inexact = true
		return new(big.Rat)
	}
	return new(big.Rat).Quo(a, b)
}
func (r rationals) Sqrt(a *big.Rat) *big.Rat {
	if a.Sign() >= 0 {
		n, d := new(big.Int).Sqrt(a.Num()), new(big.Int).Sqrt(a.Denom())
		if q := new(big.Rat).SetFrac(n, d); new(big.Rat).Mul(q, q).Cmp(a) == 0 {
			return q
		}
	}
	*r.inexact = true
	return new(big.Rat)
}

// A Bound is a number with a bound on the error that a computation in floating point, of unit roundoff u, can have made in it, whatever the order in which it added. A sum remembers its terms: k of them of
// absolute sum a, which any order adds up with an error of at most (k−1)·u/(1−(k−1)·u)·a (Higham, Accuracy and Stability of Numerical Algorithms, 2002, section 4.2).
type Bound struct {
	v float64 // the value
	e float64 // the error of the terms
	a float64 // Σ |terms|
	k float64 // their number
}

// bounds is arithmetic with error bounds for the unit roundoff u.
type bounds struct{ u float64 }

// errorOf is the whole error of a number: its terms' and that of adding them. One roundoff more covers the reference's own arithmetic.
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
func (b bounds) Less(x, y Bound) bool { return x.v < y.v }
func (b bounds) Mul(x, y Bound) Bound {
	ex, ey := b.errorOf(x), b.errorOf(y)
	if x.k == 0 && x.v == 0 || y.k == 0 && y.v == 0 { // a product with the constant 0 is no term at all
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
