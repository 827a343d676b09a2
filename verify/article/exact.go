package article

import "fmt"

// Exact arithmetic for the article's equations: rational numbers, and dual numbers over them, which
// differentiate without an error. The equations' matrices are small integers, so numerators and
// denominators of 64 bits are far from overflowing.

// A rational is n/(d+1) in lowest terms, so its zero value is 0 and equal numbers are ==.
type rational struct{ n, d int64 }

func integer(n int64) rational { return rational{n: n} }

func ratio(n, d int64) rational {
	a, b := max(n, -n), max(d, -d)
	for b != 0 {
		a, b = b, a%b
	}
	if d < 0 {
		a = -a
	}
	return rational{n / a, d/a - 1}
}

func (a rational) plus(b rational) rational {
	return ratio(a.n*(b.d+1)+b.n*(a.d+1), (a.d+1)*(b.d+1))
}
func (a rational) times(b rational) rational { return ratio(a.n*b.n, (a.d+1)*(b.d+1)) }
func (a rational) minus(b rational) rational { return a.plus(rational{-b.n, b.d}) }
func (a rational) over(b rational) rational  { return ratio(a.n*(b.d+1), (a.d+1)*b.n) }
func (a rational) less(b rational) bool      { return a.minus(b).n < 0 }
func (a rational) float() float64            { return float64(a.n) / float64(a.d+1) }

func (a rational) String() string {
	if a.d == 0 {
		return fmt.Sprint(a.n)
	}
	return fmt.Sprintf("%d/%d", a.n, a.d+1)
}

// A dual is v + e·ε with ε² = 0: e carries the derivative by whatever variable was given e = 1.
type dual struct{ v, e rational }

func (a dual) plus(b dual) dual  { return dual{a.v.plus(b.v), a.e.plus(b.e)} }
func (a dual) minus(b dual) dual { return dual{a.v.minus(b.v), a.e.minus(b.e)} }
func (a dual) times(b dual) dual {
	return dual{a.v.times(b.v), a.v.times(b.e).plus(a.e.times(b.v))}
}

// sqrt is exact where v is the square of an integer, which is what it is called with.
func (a dual) sqrt() dual {
	r := int64(0)
	for r*r < a.v.n {
		r++
	}
	return dual{integer(r), a.e.over(integer(2 * r))}
}

// A matrix is the article's: rows × columns of integers, indexed from 0, and 0 outside its borders.
type matrix struct {
	rows, cols int
	v          []int64
}

func newMatrix(rows, cols int) matrix { return matrix{rows, cols, make([]int64, rows*cols)} }

func (m matrix) inside(i, j int) bool { return 0 <= i && i < m.rows && 0 <= j && j < m.cols }

func (m matrix) at(i, j int) rational {
	if !m.inside(i, j) {
		return rational{}
	}
	return integer(m.v[i*m.cols+j])
}

func (m matrix) String() string {
	s := "["
	for i := range m.rows {
		if i > 0 {
			s += "; "
		}
		for j := range m.cols {
			if j > 0 {
				s += " "
			}
			s += fmt.Sprint(m.v[i*m.cols+j])
		}
	}
	return s + "]"
}

func (m matrix) floats() []float64 {
	f := make([]float64, len(m.v))
	for i, v := range m.v {
		f[i] = float64(v)
	}
	return f
}

// rot180 turns a matrix by 180°.
func rot180(m matrix) matrix {
	r := newMatrix(m.rows, m.cols)
	for i, v := range m.v {
		r.v[len(r.v)-1-i] = v
	}
	return r
}

// sum is Σ over m in [m0, m1] and n in [n0, n1], both ends included, as the article writes its
// sums.
func sum(m0, m1, n0, n1 int, term func(m, n int) rational) rational {
	var s rational
	for m := m0; m <= m1; m++ {
		for n := n0; n <= n1; n++ {
			s = s.plus(term(m, n))
		}
	}
	return s
}

// crossCorrelation is Eq. 1 at (i, j), and convolution Eq. 2.
func crossCorrelation(I, K matrix, i, j int) rational {
	return sum(0, K.rows-1, 0, K.cols-1, func(m, n int) rational { return I.at(i+m, j+n).times(K.at(m, n)) })
}

func convolution(I, K matrix, i, j int) rational {
	return sum(0, K.rows-1, 0, K.cols-1, func(m, n int) rational { return I.at(i-m, j-n).times(K.at(m, n)) })
}
