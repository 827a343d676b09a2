// Package lab holds what the notebooks' cells need over and over: matrices that can be printed,
// their way into tensors and back, and a Gorgonia graph run in one line. A cell has nobody to hand
// an error to, so what fails here panics, and the cell fails.
package lab

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"text/tabwriter"

	"gorgonia.org/tensor"
)

// A Mat is a matrix of rows. It prints as a table.
type Mat [][]float64

// Zeros returns a matrix of zeros.
func Zeros(rows, cols int) Mat {
	m := make(Mat, rows)
	for i := range m {
		m[i] = make([]float64, cols)
	}
	return m
}

// Fill returns the matrix with f(i, j) at (i, j).
func Fill(rows, cols int, f func(i, j int) float64) Mat {
	m := Zeros(rows, cols)
	for i := range m {
		for j := range m[i] {
			m[i][j] = f(i, j)
		}
	}
	return m
}

// Ints returns a matrix of integers from −4 to 4, the same ones for the same seed: sums of products
// of such are exact in float64.
func Ints(rows, cols int, seed uint64) Mat {
	r := rand.New(rand.NewPCG(seed, 0))
	return Fill(rows, cols, func(int, int) float64 { return float64(r.IntN(9) - 4) })
}

// Normal returns a matrix of normally distributed numbers, the same ones for the same seed.
func Normal(rows, cols int, seed uint64) Mat {
	r := rand.New(rand.NewPCG(seed, 1))
	return Fill(rows, cols, func(int, int) float64 { return r.NormFloat64() })
}

// Size returns the number of rows and columns.
func (m Mat) Size() (rows, cols int) {
	if len(m) == 0 {
		return 0, 0
	}
	return len(m), len(m[0])
}

// At returns m[i][j], and 0 outside the matrix: the zero border that the article's sums take for
// granted.
func (m Mat) At(i, j int) float64 {
	if i < 0 || i >= len(m) || j < 0 || j >= len(m[i]) {
		return 0
	}
	return m[i][j]
}

// Rot180 returns the matrix turned by 180°: flipped vertically and horizontally.
func (m Mat) Rot180() Mat {
	r, c := m.Size()
	return Fill(r, c, func(i, j int) float64 { return m[r-1-i][c-1-j] })
}

// Map returns the matrix of f(m[i][j]).
func (m Mat) Map(f func(v float64) float64) Mat {
	r, c := m.Size()
	return Fill(r, c, func(i, j int) float64 { return f(m[i][j]) })
}

// Plus, Minus and Times work element by element.
func (m Mat) Plus(o Mat) Mat  { return m.with(o, func(a, b float64) float64 { return a + b }) }
func (m Mat) Minus(o Mat) Mat { return m.with(o, func(a, b float64) float64 { return a - b }) }
func (m Mat) Times(o Mat) Mat { return m.with(o, func(a, b float64) float64 { return a * b }) }

func (m Mat) with(o Mat, f func(a, b float64) float64) Mat {
	r, c := m.Size()
	if r2, c2 := o.Size(); r != r2 || c != c2 {
		panic(fmt.Sprintf("lab: matrices are %d×%d and %d×%d, want the same size", r, c, r2, c2))
	}
	return Fill(r, c, func(i, j int) float64 { return f(m[i][j], o[i][j]) })
}

// Sum returns the sum of all elements.
func (m Mat) Sum() float64 {
	s := 0.0
	for _, r := range m {
		for _, v := range r {
			s += v
		}
	}
	return s
}

// Pad returns the matrix with n rows and columns of zeros on each side.
func (m Mat) Pad(n int) Mat {
	r, c := m.Size()
	return Fill(r+2*n, c+2*n, func(i, j int) float64 { return m.At(i-n, j-n) })
}

// Transpose returns the matrix with rows and columns exchanged.
func (m Mat) Transpose() Mat {
	r, c := m.Size()
	return Fill(c, r, func(i, j int) float64 { return m[j][i] })
}

// Clone returns a copy.
func (m Mat) Clone() Mat { return m.Map(func(v float64) float64 { return v }) }

// Equal reports whether the matrices have the same size and exactly the same elements.
func (m Mat) Equal(o Mat) bool {
	r, c := m.Size()
	if r2, c2 := o.Size(); r != r2 || c != c2 {
		return false
	}
	return r == 0 || MaxDiff(m, o) == 0
}

// MaxDiff returns the largest |a − b|, NaN if there is one.
func MaxDiff(a, b Mat) float64 {
	worst := 0.0
	for _, r := range a.Minus(b) {
		for _, v := range r {
			worst = math.Max(worst, math.Abs(v))
		}
	}
	return worst
}

// String returns the matrix as a table of numbers of at most six digits.
func (m Mat) String() string {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', tabwriter.AlignRight)
	for _, r := range m {
		for _, v := range r {
			fmt.Fprintf(w, "%s\t", format(v))
		}
		fmt.Fprintln(w)
	}
	w.Flush()
	return b.String()
}

func format(v float64) string {
	if v == 0 {
		return "0" // no negative zero
	}
	return fmt.Sprintf("%.6g", v)
}

// Table prints rows of cells under a head, in columns.
func Table(head []string, rows ...[]any) {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 3, ' ', 0)
	fmt.Fprintln(w, strings.Join(head, "\t"))
	line := make([]string, len(head))
	for i, h := range head {
		line[i] = strings.Repeat("─", len([]rune(h)))
	}
	fmt.Fprintln(w, strings.Join(line, "\t"))
	for _, r := range rows {
		for i, c := range r {
			if i > 0 {
				fmt.Fprint(w, "\t")
			}
			if v, ok := c.(float64); ok {
				c = format(v)
			}
			fmt.Fprint(w, c)
		}
		fmt.Fprintln(w)
	}
	w.Flush()
	for line := range strings.Lines(b.String()) {
		fmt.Println(strings.TrimRight(line, " \n"))
	}
}

// Tensor returns a float64 tensor of shape n×c×H×W from its n·c planes.
func Tensor(n, c int, planes ...Mat) *tensor.Dense {
	h, w := planes[0].Size()
	data := make([]float64, 0, n*c*h*w)
	for _, p := range planes {
		for _, r := range p {
			data = append(data, r...)
		}
	}
	return Of(data, n, c, h, w)
}

// Of returns a tensor of the given shape.
func Of(data []float64, shape ...int) *tensor.Dense {
	return tensor.New(tensor.WithShape(shape...), tensor.WithBacking(data))
}

// Vector returns a tensor of rank 1.
func Vector(v ...float64) *tensor.Dense { return Of(v, len(v)) }

// Plane returns one image of a rank-4 tensor of any element type, or a rank-2 tensor itself.
func Plane(t tensor.Tensor, nc ...int) Mat {
	s := t.Shape()
	h, w := s[len(s)-2], s[len(s)-1]
	at := 0
	for k, i := range nc {
		at = at*s[k] + i
	}
	v := Floats(t)[at*h*w:]
	return Fill(h, w, func(i, j int) float64 { return v[i*w+j] })
}

// Floats returns a tensor's elements in row-major order.
func Floats(t tensor.Tensor) []float64 {
	switch d := t.Data().(type) {
	case []float64:
		return d
	case []float32:
		return convert(d)
	case []int32:
		return convert(d)
	case []int:
		return convert(d)
	case float64:
		return []float64{d}
	case float32:
		return []float64{float64(d)}
	}
	panic(fmt.Sprintf("lab: a tensor of %v", t.Dtype()))
}

func convert[T float32 | int32 | int](in []T) []float64 {
	out := make([]float64, len(in))
	for i, v := range in {
		out[i] = float64(v)
	}
	return out
}
