package article

import "github.com/convgrad/convgrad/internal/exact"

// The arithmetic of package exact under short names: the equations are full of it.
type (
	rational = exact.Rational
	matrix   = exact.Matrix
)

var (
	integer          = exact.Integer
	ratio            = exact.Ratio
	newMatrix        = exact.NewMatrix
	rot180           = exact.Rot180
	sum              = exact.Sum
	crossCorrelation = exact.CrossCorrelation
	convolution      = exact.Convolution
)

// A dual is v + e·ε with ε² = 0: e carries the derivative by whatever variable was given e = 1.
type dual struct{ v, e rational }

func (a dual) Plus(b dual) dual  { return dual{a.v.Plus(b.v), a.e.Plus(b.e)} }
func (a dual) Minus(b dual) dual { return dual{a.v.Minus(b.v), a.e.Minus(b.e)} }
func (a dual) Times(b dual) dual {
	return dual{a.v.Times(b.v), a.v.Times(b.e).Plus(a.e.Times(b.v))}
}

// sqrt is exact where v is the square of an integer, which is what it is called with.
func (a dual) sqrt() dual {
	r, _ := a.v.Sqrt()
	return dual{r, a.e.Over(r.Plus(r))}
}
