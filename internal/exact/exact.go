// Package exact holds the exact arithmetic in which the article's equations are decided. It knows
// neither Gorgonia nor the ops. The interactive page decides its readers' formulas with it too.
package exact

import "fmt"

// A Matrix is the article's: rows × columns of integers, indexed from 0, and 0 outside its borders.
type Matrix struct {
	Rows, Cols int
	V          []int64
}

// NewMatrix is a matrix of zeros.
func NewMatrix(rows, cols int) Matrix { return Matrix{rows, cols, make([]int64, rows*cols)} }

// Inside reports whether the matrix has an element (i, j).
func (m Matrix) Inside(i, j int) bool { return 0 <= i && i < m.Rows && 0 <= j && j < m.Cols }

// At is the element (i, j), and 0 outside the borders.
func (m Matrix) At(i, j int) Rational {
	if !m.Inside(i, j) {
		return Rational{}
	}
	return Integer(m.V[i*m.Cols+j])
}

func (m Matrix) String() string {
	s := "["
	for i := range m.Rows {
		if i > 0 {
			s += "; "
		}
		for j := range m.Cols {
			if j > 0 {
				s += " "
			}
			s += fmt.Sprint(m.V[i*m.Cols+j])
		}
	}
	return s + "]"
}

func (m Matrix) Floats() []float64 {
	f := make([]float64, len(m.V))
	for i, v := range m.V {
		f[i] = float64(v)
	}
	return f
}

// Rot180 turns a matrix by 180°.
func Rot180(m Matrix) Matrix {
	r := NewMatrix(m.Rows, m.Cols)
	for i, v := range m.V {
		r.V[len(r.V)-1-i] = v
	}
	return r
}

// Sum is Σ over m in [m0, m1] and n in [n0, n1], both ends included, as the article writes its
// sums.
func Sum(m0, m1, n0, n1 int, term func(m, n int) Rational) Rational {
	var s Rational
	for m := m0; m <= m1; m++ {
		for n := n0; n <= n1; n++ {
			s = s.Plus(term(m, n))
		}
	}
	return s
}

// CrossCorrelation is Eq. 1 at (i, j), and Convolution Eq. 2.
func CrossCorrelation(I, K Matrix, i, j int) Rational {
	return Sum(0, K.Rows-1, 0, K.Cols-1, func(m, n int) Rational { return I.At(i+m, j+n).Times(K.At(m, n)) })
}

func Convolution(I, K Matrix, i, j int) Rational {
	return Sum(0, K.Rows-1, 0, K.Cols-1, func(m, n int) Rational { return I.At(i-m, j-n).Times(K.At(m, n)) })
}

// Small calls visit with the sides of an H×W input and a k₁×k₂ kernel that fits into it, in order
// of the number of their elements, until visit returns false. No side is longer than 3.
func Small(visit func(h, w, k1, k2 int) bool) {
	const most = 3
	for cells := 2; cells <= 2*most*most; cells++ {
		for h := 1; h <= most; h++ {
			for w := 1; w <= most; w++ {
				for k1 := 1; k1 <= h; k1++ {
					for k2 := 1; k2 <= w; k2++ {
						if h*w+k1*k2 == cells && !visit(h, w, k1, k2) {
							return
						}
					}
				}
			}
		}
	}
}
