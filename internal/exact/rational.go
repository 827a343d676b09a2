package exact

import (
	"cmp"
	"math"
	"math/big"
	"math/bits"
)

// A Rational is an exact fraction. Its zero value is 0, and equal numbers are == as long as
// numerator and denominator fit into int64; beyond that they are big integers.
type Rational struct {
	n, d int64    // n/(d+1) in lowest terms
	big  *big.Rat // if it is not nil, it is the value
}

// Integer is the rational n.
func Integer(n int64) Rational { return Ratio(n, 1) }

// Ratio is n/d; d is not 0.
func Ratio(n, d int64) Rational {
	if d < 0 || n == math.MinInt64 {
		return fromBig(big.NewRat(n, d))
	}
	if d > 1 {
		a, b := max(n, -n), d
		for b != 0 {
			a, b = b, a%b
		}
		n, d = n/a, d/a
	}
	return Rational{n: n, d: d - 1}
}

// Of is the number, and whether it is one.
func Of(v float64) (Rational, bool) {
	if v == math.Trunc(v) && math.Abs(v) < 1<<53 {
		return Integer(int64(v)), true
	}
	q := new(big.Rat).SetFloat64(v)
	if q == nil {
		return Rational{}, false
	}
	return fromBig(q), true
}

func fromBig(q *big.Rat) Rational {
	if q.Num().IsInt64() && q.Denom().IsInt64() && q.Num().Int64() != math.MinInt64 {
		return Rational{n: q.Num().Int64(), d: q.Denom().Int64() - 1}
	}
	return Rational{big: q}
}

func (a Rational) rat() *big.Rat {
	if a.big != nil {
		return a.big
	}
	return big.NewRat(a.n, a.d+1)
}

// times is a·b, and whether it is in (−2⁶³, 2⁶³).
func times(a, b int64) (int64, bool) {
	p := a * b
	hi, _ := bits.Mul64(uint64(max(a, -a)), uint64(max(b, -b)))
	return p, hi == 0 && (p < 0) == ((a < 0) != (b < 0) && p != 0) && p != math.MinInt64
}

// Plus returns a + b.
func (a Rational) Plus(b Rational) Rational {
	if a.big == nil && b.big == nil {
		x, ok1 := times(a.n, b.d+1)
		y, ok2 := times(b.n, a.d+1)
		d, ok3 := times(a.d+1, b.d+1)
		if s := x + y; ok1 && ok2 && ok3 && (s > x) == (y > 0) && s != math.MinInt64 {
			return Ratio(s, d)
		}
	}
	return fromBig(new(big.Rat).Add(a.rat(), b.rat()))
}

// Neg returns −a.
func (a Rational) Neg() Rational {
	if a.big != nil {
		return fromBig(new(big.Rat).Neg(a.big))
	}
	return Rational{n: -a.n, d: a.d}
}

// Minus returns a − b.
func (a Rational) Minus(b Rational) Rational { return a.Plus(b.Neg()) }

// Times returns a·b.
func (a Rational) Times(b Rational) Rational {
	if a.big == nil && b.big == nil {
		n, ok1 := times(a.n, b.n)
		d, ok2 := times(a.d+1, b.d+1)
		if ok1 && ok2 {
			return Ratio(n, d)
		}
	}
	return fromBig(new(big.Rat).Mul(a.rat(), b.rat()))
}

// Over returns a/b; b is not 0.
func (a Rational) Over(b Rational) Rational {
	if b.big == nil {
		inverse := Rational{n: b.d + 1, d: b.n - 1}
		if b.n < 0 {
			inverse = Rational{n: -b.d - 1, d: -b.n - 1}
		}
		return a.Times(inverse)
	}
	return a.Times(fromBig(new(big.Rat).Inv(b.big)))
}

// Sqrt returns √a and true, or false if √a is not rational.
func (a Rational) Sqrt() (Rational, bool) {
	if a.Sign() < 0 {
		return Rational{}, false
	}
	q := a.rat()
	n, d := new(big.Int).Sqrt(q.Num()), new(big.Int).Sqrt(q.Denom())
	r := new(big.Rat).SetFrac(n, d)
	return fromBig(r), new(big.Rat).Mul(r, r).Cmp(q) == 0
}

// Sign returns −1, 0 or 1.
func (a Rational) Sign() int {
	if a.big != nil {
		return a.big.Sign()
	}
	return cmp.Compare(a.n, 0)
}

// Less reports whether a < b.
func (a Rational) Less(b Rational) bool { return a.Minus(b).Sign() < 0 }

// Float64 returns the nearest float64, and whether it is the number itself.
func (a Rational) Float64() (float64, bool) {
	if a.big == nil && a.d == 0 && max(a.n, -a.n) < 1<<53 {
		return float64(a.n), true
	}
	return a.rat().Float64()
}

// Float is the nearest float64.
func (a Rational) Float() float64 { v, _ := a.Float64(); return v }

// String writes n or n/d.
func (a Rational) String() string { return a.rat().RatString() }
