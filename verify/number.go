package verify

import (
	"math"

	"github.com/convgrad/convgrad/internal/exact"
)

// A Reference is the function that an op should compute, written against the arithmetic of f: the
// elements of the result from those of the inputs, row-major. shapes are those of the inputs. The
// elements of several outputs follow one another.
//
// On integers, results that are rational must be equal to the op's; an op that takes another way
// there, such as a product with 1/n for a quotient, says Skip: ByExact. All others must be within a
// bound on the rounding error of each element.
type Reference func(f *Field, shapes [][]int, in [][]Number) []Number

// A Number is a number of a reference, with its derivative along the direction that is asked for.
type Number struct{ v, d scalar }

// A scalar is a number with a bound on the error that a computation in floating point, of unit
// roundoff u, can have made in it, whatever the order in which it added. A sum remembers its terms:
// k of them of absolute sum a, which any order adds up with an error of at most
// (k−1)·u/(1−(k−1)·u)·a (Higham, Accuracy and Stability of Numerical Algorithms, 2002, section
// 4.2).
type scalar struct {
	v   float64        // the value
	e   float64        // the error of the terms
	a   float64        // Σ |terms|
	k   float64        // their number
	q   exact.Rational // the value, exactly
	off bool           // it is not rational, or that is not asked for
}

// A Field is the arithmetic of a reference.
type Field struct {
	u        float64 // the unit roundoff of the bounds
	rational bool    // it is asked for exact results
	close    bool    // rounding could turn a choice
	tie      bool    // there was a choice between equal numbers
}

// Number is the constant v. Add to Log are the operations.
func (f *Field) Number(v float64) Number { return Number{f.number(v), f.number(0)} }
func (f *Field) Add(a, b Number) Number  { return Number{f.add(a.v, b.v), f.add(a.d, b.d)} }
func (f *Field) Sub(a, b Number) Number  { return Number{f.add(a.v, b.v.neg()), f.add(a.d, b.d.neg())} }
func (f *Field) Mul(a, b Number) Number {
	return Number{f.mul(a.v, b.v), f.add(f.mul(a.d, b.v), f.mul(a.v, b.d))}
}
func (f *Field) Div(a, b Number) Number {
	q := f.div(a.v, b.v)
	return Number{q, f.div(f.add(a.d, f.mul(q, b.d).neg()), b.v)}
}
func (f *Field) Sqrt(a Number) Number { r := f.sqrt(a.v); return Number{r, f.div(a.d, f.add(r, r))} }
func (f *Field) Exp(a Number) Number  { e := f.exp(a.v); return Number{e, f.mul(e, a.d)} }
func (f *Field) Log(a Number) Number  { return Number{f.log(a.v), f.div(a.d, a.v)} }

// Less compares values. Where it decides between operands, as in a maximum, the chosen one keeps
// its derivative. At a tie derivatives are not judged by the reference.
func (f *Field) Less(a, b Number) bool {
	x, y := a.v, b.v
	f.close = f.close || !(math.Abs(x.v-y.v) > 4*(f.errorOf(x)+f.errorOf(y)))
	if x.off || y.off {
		return x.v < y.v
	}
	c := x.q.Minus(y.q).Sign()
	f.tie = f.tie || c == 0
	return c < 0
}

// errorOf is the whole error of a number: its terms' and that of adding them. One roundoff more
// covers the reference's own arithmetic.
func (f *Field) errorOf(x scalar) float64 {
	n := (x.k + 1) * f.u
	if n >= 0.5 {
		return math.Inf(1)
	}
	return x.e + n/(1-n)*x.a
}

// zero reports whether a number is the constant 0: no product with it is a term.
func (x scalar) zero() bool { return x.k == 0 && x.v == 0 }

func (x scalar) neg() scalar { x.v, x.q = -x.v, x.q.Neg(); return x }

// term is a number with the error e, and rational if the operands are.
func term(v, e float64, of ...scalar) scalar {
	s := scalar{v: v, e: e, a: math.Abs(v) + e, k: 1}
	for _, x := range of {
		s.off = s.off || x.off
	}
	return s
}

func (f *Field) number(v float64) scalar {
	s := scalar{v: v, a: math.Abs(v), off: true}
	if f.rational {
		q, ok := exact.Of(v)
		s.q, s.off = q, !ok
	}
	return s
}

func (f *Field) add(x, y scalar) scalar {
	s := scalar{v: x.v + y.v, e: x.e + y.e, a: x.a + y.a, k: max(x.k, 1) + max(y.k, 1), off: x.off || y.off}
	if !s.off {
		s.q = x.q.Plus(y.q)
	}
	return s
}

func (f *Field) mul(x, y scalar) scalar {
	if x.zero() || y.zero() {
		return scalar{}
	}
	ex, ey, v := f.errorOf(x), f.errorOf(y), x.v*y.v
	e := math.Abs(x.v)*ey + math.Abs(y.v)*ex + ex*ey
	s := term(v, e+f.u*(math.Abs(v)+e), x, y)
	if !s.off {
		s.q = x.q.Times(y.q)
	}
	return s
}

func (f *Field) div(x, y scalar) scalar {
	v, ex, ey := x.v/y.v, f.errorOf(x), f.errorOf(y)
	e := math.Inf(1)
	if low := math.Abs(y.v) - ey; low > 0 {
		e = (ex + math.Abs(v)*ey) / low
		e += 2 * f.u * (math.Abs(v) + e)
	}
	s := term(v, e, x, y)
	if x.zero() {
		s = scalar{off: s.off}
	}
	if s.off = s.off || y.q.Sign() == 0; !s.off {
		s.q = x.q.Over(y.q)
	}
	return s
}

func (f *Field) sqrt(x scalar) scalar {
	ex, v := f.errorOf(x), math.Sqrt(x.v)
	e := math.Sqrt(ex) // √(x+e) − √x ≤ √e, and less where x is large
	if v > 0 {
		e = min(e, ex/v)
	}
	s := term(v, e+f.u*(v+e), x)
	if !s.off {
		q, ok := x.q.Sqrt()
		s.q, s.off = q, !ok
	}
	return s
}

// libm's exponential and logarithm are taken to be good to four units.
func (f *Field) exp(x scalar) scalar {
	v := math.Exp(x.v)
	e := v * math.Expm1(f.errorOf(x))
	return term(v, e+4*f.u*(v+e), scalar{off: true})
}

func (f *Field) log(x scalar) scalar {
	v, e := math.Log(x.v), math.Inf(1)
	if ex := f.errorOf(x); x.v > ex {
		e = -math.Log1p(-ex / x.v)
	}
	return term(v, e+4*f.u*(math.Abs(v)+e), scalar{off: true})
}
