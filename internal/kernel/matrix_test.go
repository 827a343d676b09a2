package kernel

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
)

// refMatMul is the plain sum with the matrices as they are stored, and Σ|a·b| beside it.
func refMatMul[T Float](c, a, b []T, m, n, k int, transA, transB, accumulate bool) (sum, size []float64) {
	sum, size = make([]float64, m*n), make([]float64, m*n)
	for i := range m {
		for j := range n {
			var s, z float64
			if accumulate {
				s = float64(c[i*n+j])
				z = math.Abs(s)
			}
			for l := range k {
				ai, bi := i*k+l, l*n+j
				if transA {
					ai = l*m + i
				}
				if transB {
					bi = j*k + l
				}
				v := float64(a[ai]) * float64(b[bi])
				s += v
				z += math.Abs(v)
			}
			sum[i*n+j], size[i*n+j] = s, z
		}
	}
	return sum, size
}

var products = []struct {
	name    string
	m, n, k int
}{
	{"one element", 1, 1, 1},
	{"a row and a column", 1, 1, 700},
	{"outer product", 37, 51, 1},
	{"one row", 1, 97, 33},
	{"one column", 97, 1, 33},
	{"whole tiles", 16, 96, 8},
	{"a tile and a bit", 9, 49, 7},
	{"short of a tile", 7, 47, 5},
	{"a linear layer", 100, 10, 625},
	{"two blocks of k and a bit", 19, 53, 2*blockK + 3},
	{"several tasks", 250, 300, 64},
	{"few rows of long sums", 13, 29, dotTerms + 5},
	{"one row of long sums", 1, 7, dotSlice + dotTerms},
}

func TestMatMul(t *testing.T) {
	everyTier(t, func(t *testing.T) { both(t, testMatMul[float32], testMatMul[float64]) })
}

func testMatMul[T Float](t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	cases := products
	for range random(40) {
		cases = append(cases, struct {
			name    string
			m, n, k int
		}{"random", 1 + r.IntN(70), 1 + r.IntN(120), 1 + r.IntN(90)})
	}
	for i, c := range cases {
		for form := range 8 {
			if (i > len(products) || testing.Short() && c.m*c.n*c.k > 1<<16) && r.IntN(8) > 0 {
				continue
			}
			transA, transB, accumulate := form&1 != 0, form&2 != 0, form&4 != 0
			t.Run(fmt.Sprintf("%s %d×%d×%d/form=%d", c.name, c.m, c.n, c.k, form), func(t *testing.T) {
				var d yard[T]
				// Every product and partial sum is an integer below 2²⁴.
				a, b, out := d.put(integers[T](r, c.m*c.k, 9)), d.put(integers[T](r, c.k*c.n, 9)), d.put(integers[T](r, c.m*c.n, 9))
				if !accumulate {
					out = d.empty(c.m * c.n)
				}
				sum, _ := refMatMul(out, a, b, c.m, c.n, c.k, transA, transB, accumulate)
				MatMul(out, a, b, c.m, c.n, c.k, transA, transB, accumulate)
				within(t, "integers", out, sum, make([]float64, c.m*c.n))
				// A sum of k products in any order: at most k+1 roundings on the way of each
				// (Higham, 2002, §3.1); the reference adds its own in float64.
				a, b, out = d.put(uniform[T](r, c.m*c.k)), d.put(uniform[T](r, c.k*c.n)), d.put(uniform[T](r, c.m*c.n))
				sum, size := refMatMul(out, a, b, c.m, c.n, c.k, transA, transB, accumulate)
				for i := range size {
					size[i] *= float64(c.k+2) * (unit[T]() + 0x1p-53) * 1.01
				}
				MatMul(out, a, b, c.m, c.n, c.k, transA, transB, accumulate)
				within(t, "reals", out, sum, size)
				d.check(t)
			})
		}
	}
}

// Products of a batch have the bits of products by themselves, at any number of threads.
func TestMatMuls(t *testing.T) {
	everyTier(t, func(t *testing.T) { both(t, testMatMuls[float32], testMatMuls[float64]) })
}

func testMatMuls[T Float](t *testing.T) {
	r := rand.New(rand.NewPCG(9, 10))
	for _, s := range [][4]int{{1, 5, 6, 7}, {9, 3, 4, 5}, {16, 30, 70, 40}, {15, 70, 9, 33}, {14, 11, 12, 300}} {
		for form := range 4 {
			count, m, n, k := s[0], s[1], s[2], s[3]
			a, b := uniform[T](r, count*m*k), uniform[T](r, count*k*n)
			want := make([]T, count*m*n)
			for i := range count {
				MatMul(want[i*m*n:][:m*n], a[i*m*k:][:m*k], b[i*k*n:][:k*n], m, n, k, form&1 != 0, form&2 != 0, false)
			}
			what := fmt.Sprintf("%d×%d×%d×%d, form %d", count, m, n, k, form)
			everyThreads(t, what, func() []T {
				c := make([]T, len(want))
				MatMuls(count, func(i int) (_, _, _ []T) { return c[i*m*n:][:m*n], a[i*m*k:][:m*k], b[i*k*n:][:k*n] }, m, n, k, form&1 != 0, form&2 != 0)
				same(t, what, c, want)
				return c
			})
		}
	}
}

func TestGemmWithGapsAndAlpha(t *testing.T) {
	everyTier(t, func(t *testing.T) { both(t, testGemm[float32], testGemm[float64]) })
}

func testGemm[T Float](t *testing.T) {
	r := rand.New(rand.NewPCG(7, 8))
	for range 60 {
		m, n, k := 1+r.IntN(40), 1+r.IntN(110), r.IntN(60)
		transA, transB, accumulate := r.IntN(2) == 0, r.IntN(2) == 0, r.IntN(2) == 0
		lda, ldb, ldc := k, n, n+r.IntN(5)
		if transA {
			lda = m
		}
		if transB {
			ldb = k
		}
		lda, ldb = lda+r.IntN(5), ldb+r.IntN(5)
		rowsA, rowsB := m, k
		if transA {
			rowsA = k
		}
		if transB {
			rowsB = n
		}
		var d yard[T]
		a, b, c := d.put(integers[T](r, rowsA*lda, 9)), d.put(integers[T](r, rowsB*ldb, 9)), d.put(integers[T](r, m*ldc, 9))
		want := append([]T(nil), c...)
		for i := range m {
			for j := range n {
				if !accumulate {
					want[i*ldc+j] = 0
				}
				for l := range k {
					var av, bv T
					if transA {
						av = a[l*lda+i]
					} else {
						av = a[i*lda+l]
					}
					if transB {
						bv = b[j*ldb+l]
					} else {
						bv = b[l*ldb+j]
					}
					want[i*ldc+j] += -2 * av * bv
				}
			}
		}
		Gemm(c, a, b, m, n, k, lda, ldb, ldc, transA, transB, -2, accumulate)
		for i := range c {
			c[i], want[i] = c[i]+0, want[i]+0 // a sum of zeros may have either sign
		}
		same(t, fmt.Sprint(m, n, k, lda, ldb, ldc, transA, transB, accumulate), c, want)
		d.check(t)
	}
}

// A NaN or Inf reaches the elements that it is a factor of, and no other.
func TestMatMulSpecialValues(t *testing.T) {
	everyTier(t, func(t *testing.T) {
		const m, n, k = 13, 57, 21
		r := rand.New(rand.NewPCG(9, 10))
		for _, v := range []float32{float32(math.NaN()), float32(math.Inf(1)), float32(math.Inf(-1))} {
			a, b, c := uniform[float32](r, m*k), uniform[float32](r, k*n), make([]float32, m*n)
			a[3*k+4] = v
			b[5*n+6] = v
			MatMul(c, a, b, m, n, k, false, false, false)
			for i := range c {
				finite := !math.IsNaN(float64(c[i])) && !math.IsInf(float64(c[i]), 0)
				if touched := i/n == 3 || i%n == 6; finite == touched {
					t.Fatalf("%v: element %d,%d is %v", v, i/n, i%n, c[i])
				}
			}
		}
	})
}

func TestMatMulThreads(t *testing.T) {
	everyTier(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(11, 12))
		m, n, k := 211, 307, 1100
		if testing.Short() {
			k = 530
		}
		a, b := uniform[float32](r, m*k), uniform[float32](r, k*n)
		everyThreads(t, "MatMul", func() []float32 {
			c := make([]float32, m*n)
			MatMul(c, a, b, m, n, k, false, false, false)
			return c
		})
		everyThreads(t, "SumRows", func() []float32 {
			s := make([]float32, 10)
			SumRows(s, a[:m*k/10*10], m*k/10)
			return s
		})
	})
}

func TestRows(t *testing.T) {
	everyTier(t, func(t *testing.T) { both(t, testRows[float32], testRows[float64]) })
}

func testRows[T Float](t *testing.T) {
	r := rand.New(rand.NewPCG(13, 14))
	for _, s := range [][2]int{{1, 1}, {3, 17}, {100, 10}, {9, 64}, {5, 65}, {2, 40000}, {40000, 3}, {300, 625}} {
		m, n := s[0], s[1]
		var d yard[T]
		y, b := d.put(integers[T](r, m*n, 9)), d.put(integers[T](r, n, 9))
		want, sums := append([]T(nil), y...), make([]T, n)
		for i := range want {
			want[i] += b[i%n]
			sums[i%n] += want[i]
		}
		AddRow(y, b, m)
		same(t, fmt.Sprint("AddRow ", s), y, want)
		out := d.empty(n)
		SumRows(out, y, m)
		same(t, fmt.Sprint("SumRows ", s), out, sums)
		d.check(t)
	}
}
