// Package blas makes Gorgonia's matrix products run on convgrad's kernels:
//
//	blas.Use()
//
// After that, every product of float32 or float64 matrices that Gorgonia and its tensors make (Mul,
// BatchedMatMul, tensordot, and the im2col convolution) is made by the vector code of this module,
// on its worker pool, with the same bits at any number of threads.
package blas

import (
	"gonum.org/v1/gonum/blas"
	"gonum.org/v1/gonum/blas/gonum"
	G "gorgonia.org/gorgonia"

	"github.com/convgrad/convgrad/internal/kernel"
)

// Implementation is gonum's BLAS with Sgemm and Dgemm replaced. All else, and what is said about
// arguments (they panic with gonum's messages), is gonum's.
//
// Sgemm and Dgemm are C = α·op(A)·op(B) + β·C. As in the reference BLAS, β = 0 overwrites whatever
// C holds and α = 0 does not read A and B. Unlike gonum's, a product with an element of A that is 0
// is not left out: 0·NaN and 0·Inf are NaN.
type Implementation struct{ gonum.Implementation }

var (
	_ G.BLAS       = Implementation{}
	_ blas.Float32 = Implementation{}
	_ blas.Float64 = Implementation{}
)

// Use installs the Implementation in Gorgonia and in its tensors. Call it before a graph runs:
// Gorgonia does not guard the change against one that does.
func Use() { G.Use(Implementation{}) }

// Sgemm is C = α·op(A)·op(B) + β·C in float32.
func (i Implementation) Sgemm(tA, tB blas.Transpose, m, n, k int, alpha float32, a []float32, lda int, b []float32, ldb int, beta float32, c []float32, ldc int) {
	if !fits(tA, tB, m, n, k, len(a), lda, len(b), ldb, len(c), ldc) || alpha == 0 {
		i.Implementation.Sgemm(tA, tB, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc)
		return
	}
	gemm(tA != blas.NoTrans, tB != blas.NoTrans, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc)
}

// Dgemm is C = α·op(A)·op(B) + β·C in float64.
func (i Implementation) Dgemm(tA, tB blas.Transpose, m, n, k int, alpha float64, a []float64, lda int, b []float64, ldb int, beta float64, c []float64, ldc int) {
	if !fits(tA, tB, m, n, k, len(a), lda, len(b), ldb, len(c), ldc) || alpha == 0 {
		i.Implementation.Dgemm(tA, tB, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc)
		return
	}
	gemm(tA != blas.NoTrans, tB != blas.NoTrans, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc)
}

func gemm[T kernel.Float](transA, transB bool, m, n, k int, alpha T, a []T, lda int, b []T, ldb int, beta T, c []T, ldc int) {
	if beta != 0 && beta != 1 {
		for i := range m {
			row := c[i*ldc:][:n]
			for j := range row {
				row[j] *= beta
			}
		}
	}
	kernel.Gemm(c, a, b, m, n, k, lda, ldb, ldc, transA, transB, alpha, beta != 0)
}

// fits reports whether the arguments describe a product that is not empty; gonum knows what to do,
// or say, if they do not.
func fits(tA, tB blas.Transpose, m, n, k, lenA, lda, lenB, ldb, lenC, ldc int) bool {
	rowsA, colsA, rowsB, colsB := m, k, k, n
	switch tA {
	case blas.NoTrans:
	case blas.Trans, blas.ConjTrans:
		rowsA, colsA = colsA, rowsA
	default:
		return false
	}
	switch tB {
	case blas.NoTrans:
	case blas.Trans, blas.ConjTrans:
		rowsB, colsB = colsB, rowsB
	default:
		return false
	}
	if m < 1 || n < 1 || k < 1 || lda < colsA || ldb < colsB || ldc < n {
		return false
	}
	return lenA >= (rowsA-1)*lda+colsA && lenB >= (rowsB-1)*ldb+colsB && lenC >= (m-1)*ldc+n
}
