package suite

import (
	"math"

	dualnum "gonum.org/v1/gonum/num/dual"
	"gorgonia.org/tensor"
)

// arithmetic is what a reference formula is written in; exactly and roundly are its two instances.
type arithmetic[T any] interface {
	from(v float64) T
	value(a T) float64 // for choices: the greater of two, the sign
	add(a, b T) T
	mul(a, b T) T
	div(a, b T) T
	sqrt(a T) T
	exp(a T) T
	log(a T) T
}

// exactly computes in dual numbers over rationals, without any error. It has no exponentials.
type exactly struct{}

func (exactly) from(v float64) dual  { return dual{v: fraction(v)} }
func (exactly) value(a dual) float64 { return a.v.float() }
func (exactly) add(a, b dual) dual   { return a.plus(b) }
func (exactly) mul(a, b dual) dual   { return a.times(b) }
func (exactly) sqrt(a dual) dual     { return a.sqrt() }
func (exactly) exp(dual) dual        { panic("suite: exp is not rational") }
func (exactly) log(dual) dual        { panic("suite: log is not rational") }
func (exactly) div(a, b dual) dual {
	inverse := integer(1).over(b.v)
	return a.times(dual{inverse, rational{}.minus(b.e.times(inverse).times(inverse))})
}

// fraction is v as a rational; the constants of the formulas are integers and quarters, and 1/n for their divisors is made by div.
func fraction(v float64) rational { return ratio(int64(v*4), 4) }

// A number is a value and its derivative along one direction, as gonum's dual numbers compute them, and with both a magnitude and a count from which follows how far any
// evaluation in floating point may be off, whatever the order of its sums: by γ(n)·m, where γ(n) = nu/(1−nu) and u is the unit roundoff (Higham, Accuracy and Stability of
// Numerical Algorithms, section 3.1: the bound Σ|aᵢbᵢ|·γ(n) of an inner product holds for every order of summation). m is the same formula over absolute values, so
// it bounds each intermediate, and n counts the roundings on the longest way to the result.
type number struct {
	d  dualnum.Number
	m  dualnum.Number
	n  int // roundings of the value
	ne int // of the derivative
}

type roundly struct{}

func (roundly) from(v float64) number {
	return number{d: dualnum.Number{Real: v}, m: dualnum.Number{Real: math.Abs(v)}}
}
func (roundly) value(a number) float64 { return a.d.Real }

func (roundly) add(a, b number) number {
	c := number{d: dualnum.Add(a.d, b.d), m: dualnum.Add(a.m, b.m), n: a.n + b.n + 1}
	switch { // a term that is exactly 0 is not rounded
	case b.m.Emag == 0:
		c.ne = a.ne
	case a.m.Emag == 0:
		c.ne = b.ne
	default:
		c.ne = a.ne + b.ne + 1
	}
	if b.m.Real == 0 {
		c.n = a.n
	} else if a.m.Real == 0 {
		c.n = b.n
	}
	return c
}

func (roundly) mul(a, b number) number {
	c := number{d: dualnum.Mul(a.d, b.d), m: dualnum.Mul(a.m, b.m), n: a.n + b.n + 1}
	if a.m.Emag != 0 {
		c.ne = a.ne + b.n + 1
	}
	if b.m.Emag != 0 {
		if c.ne != 0 {
			c.ne++
		}
		c.ne += b.ne + a.n + 1
	}
	return c
}

// inverse: a relative error ρ = γ·m/|b| of b is one of 1/b, so 1/|b| has the magnitude m/b²; its derivative −e/b² has ρ twice and that of e.
func (r roundly) div(a, b number) number {
	v := b.d.Real
	rho := b.m.Real / math.Abs(v)
	inverse := number{d: dualnum.Inv(b.d), m: dualnum.Number{Real: rho / math.Abs(v), Emag: rho * rho * b.m.Emag / (v * v)}, n: b.n + 1, ne: 2*b.n + b.ne + 2}
	return r.mul(a, inverse)
}

// sqrt: half the relative error of a, and one rounding; the derivative e/(2√a) has that and the error of e.
func (roundly) sqrt(a number) number {
	root := math.Sqrt(a.d.Real)
	rho := a.m.Real / a.d.Real
	return number{d: dualnum.Sqrt(a.d), m: dualnum.Number{Real: rho * root, Emag: rho * a.m.Emag / (2 * root)}, n: a.n + 1, ne: a.n + a.ne + 2}
}

// exp: the absolute error of a becomes a relative one; library exponentials are within an ulp, two roundings are allowed.
func (roundly) exp(a number) number {
	e := math.Exp(a.d.Real)
	return number{d: dualnum.Exp(a.d), m: dualnum.Number{Real: e * (1 + a.m.Real), Emag: e * (1 + a.m.Real) * a.m.Emag}, n: a.n + 2, ne: a.n + a.ne + 3}
}

// log: the relative error of a becomes an absolute one.
func (roundly) log(a number) number {
	v := a.d.Real
	rho := a.m.Real / v
	return number{d: dualnum.Log(a.d), m: dualnum.Number{Real: math.Abs(math.Log(v)) + rho, Emag: rho * a.m.Emag / v}, n: a.n + 2, ne: a.n + a.ne + 2}
}

// slack is the number of roundings that an implementation may have beyond the formula's: a result stored in the element type, a divisor or a scale applied as a product with its
// rounded inverse, sums joined from parts that start at 0, and a cotangent multiplied in twice.
const slack = 8

// unit is the unit roundoff of an element type.
func unit(of tensor.Dtype) float64 {
	if of == tensor.Float32 {
		return 0x1p-24
	}
	return 0x1p-53
}

// gamma is γ(n)·m, and what a result may lose to underflow in n steps.
func gamma(n int, m float64, of tensor.Dtype) float64 {
	u := unit(of) * float64(n+slack)
	tiny := 0x1p-1074
	if of == tensor.Float32 {
		tiny = 0x1p-149
	}
	return u/(1-u)*m + float64(n+slack)*tiny
}

// valueBound and derivativeBound are how far a floating-point result may be from the number's.
func (a number) valueBound(of tensor.Dtype) float64      { return gamma(a.n, a.m.Real, of) }
func (a number) derivativeBound(of tensor.Dtype) float64 { return gamma(a.ne, a.m.Emag, of) }
