package verify

import (
	"math"
	"math/big"
	"math/bits"
)

// A Rational is an exact fraction. Its zero value is 0. Numerator and denominator are int64 as long
// as they fit, and big integers beyond that.
type Rational struct {
	n, d int64    // lowest terms, d > 0; d = 0 stands for d = 1
	big  *big.Rat // if it is not nil, it is the value
}

// NewRational returns n/d. It is 0 for d = 0, which is no number.
func NewRational(n, d int64) Rational {
	if d == 0 {
		return Rational{}
	}
	if d < 0 || n == math.MinInt64 {
		return fromBig(big.NewRat(n, d))
	}
	if g := gcd(n, d); g > 1 {
		n, d = n/g, d/g
	}
	return Rational{n: n, d: d}
}

func gcd(a, b int64) int64 {
	if a < 0 {
		a = -a
	}
	for b != 0 {
		a, b = b, a%b
	}
	return a
}

func fromBig(q *big.Rat) Rational {
	if q.Num().IsInt64() && q.Denom().IsInt64() && q.Num().Int64() != math.MinInt64 {
		return Rational{n: q.Num().Int64(), d: q.Denom().Int64()}
	}
	return Rational{big: q}
}

func (a Rational) rat() *big.Rat {
	if a.big != nil {
		return a.big
	}
	return big.NewRat(a.n, a.den())
}

func (a Rational) den() int64 { return max(a.d, 1) }

// times is a·b, and whether it is in (−2⁶³, 2⁶³).
func times(a, b int64) (int64, bool) {
	p := a * b
	hi, _ := bits.Mul64(uint64(max(a, -a)), uint64(max(b, -b)))
	return p, hi == 0 && (p < 0) == ((a < 0) != (b < 0) && p != 0) && p != math.MinInt64
}

func plus(a, b int64) (int64, bool) {
	s := a + b
	return s, (s > a) == (b > 0) && s != math.MinInt64
}

// Add returns a + b.
func (a Rational) Add(b Rational) Rational {
	if a.big == nil && b.big == nil {
		if a.den() == 1 && b.den() == 1 {
			if s, ok := plus(a.n, b.n); ok {
				return Rational{n: s, d: 1}
			}
		}
		x, ok1 := times(a.n, b.den())
		y, ok2 := times(b.n, a.den())
		d, ok3 := times(a.den(), b.den())
		if s, ok := plus(x, y); ok && ok1 && ok2 && ok3 {
			return NewRational(s, d)
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

// Sub returns a − b.
func (a Rational) Sub(b Rational) Rational { return a.Add(b.Neg()) }

// Mul returns a·b.
func (a Rational) Mul(b Rational) Rational {
	if a.big == nil && b.big == nil {
		n, ok1 := times(a.n, b.n)
		d, ok2 := times(a.den(), b.den())
		if ok1 && ok2 {
			return NewRational(n, d)
		}
	}
	return fromBig(new(big.Rat).Mul(a.rat(), b.rat()))
}

// Div returns a/b. It is 0 for b = 0, which is no number.
func (a Rational) Div(b Rational) Rational {
	if b.Sign() == 0 {
		return Rational{}
	}
	if b.big == nil {
		n, d := b.den(), b.n
		if d < 0 {
			n, d = -n, -d
		}
		return a.Mul(Rational{n: n, d: d})
	}
	return fromBig(new(big.Rat).Quo(a.rat(), b.rat()))
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
	switch {
	case a.big != nil:
		return a.big.Sign()
	case a.n > 0:
		return 1
	case a.n < 0:
		return -1
	}
	return 0
}

// Cmp returns −1 for a < b, 0 for a = b and 1 for a > b.
func (a Rational) Cmp(b Rational) int { return a.Sub(b).Sign() }

// Float64 returns the nearest float64, and whether it is the number itself.
func (a Rational) Float64() (float64, bool) {
	if a.big == nil && a.den() == 1 && max(a.n, -a.n) < 1<<53 {
		return float64(a.n), true
	}
	return a.rat().Float64()
}

// String writes n or n/d.
func (a Rational) String() string { return a.rat().RatString() }
