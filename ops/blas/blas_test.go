package blas_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"gonum.org/v1/gonum/blas"
	"gonum.org/v1/gonum/blas/gonum"
	G "gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	ours "github.com/convgrad/convgrad/ops/blas"
)

// Integers make every product exact, so that gonum's result is to be met bit for bit.
func TestGemmEqualsGonum(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	forms := []blas.Transpose{blas.NoTrans, blas.Trans, blas.ConjTrans}
	scales := []float64{0, 1, -1, 2}
	for range 300 {
		m, n, k := r.IntN(40), r.IntN(70), r.IntN(50)
		tA, tB := forms[r.IntN(3)], forms[r.IntN(3)]
		rowsA, lda, rowsB, ldb := m, k, k, n
		if tA != blas.NoTrans {
			rowsA, lda = k, m
		}
		if tB != blas.NoTrans {
			rowsB, ldb = n, k
		}
		lda, ldb = max(1, lda+r.IntN(3)), max(1, ldb+r.IntN(3))
		ldc := max(1, n+r.IntN(3))
		alpha, beta := scales[r.IntN(4)], scales[r.IntN(4)]
		draw := func(size int) ([]float64, []float32) {
			a, b := make([]float64, size), make([]float32, size)
			for i := range a {
				a[i] = float64(r.IntN(19) - 9)
				b[i] = float32(a[i])
			}
			return a, b
		}
		a64, a32 := draw(rowsA * lda)
		b64, b32 := draw(rowsB * ldb)
		c64, c32 := draw(m * ldc)
		want := append([]float64(nil), c64...)
		gonum.Implementation{}.Dgemm(tA, tB, m, n, k, alpha, a64, lda, b64, ldb, beta, want, ldc)
		ours.Implementation{}.Dgemm(tA, tB, m, n, k, alpha, a64, lda, b64, ldb, beta, c64, ldc)
		ours.Implementation{}.Sgemm(tA, tB, m, n, k, float32(alpha), a32, lda, b32, ldb, float32(beta), c32, ldc)
		for i := range want {
			if c64[i] != want[i] || float64(c32[i]) != want[i] {
				t.Fatalf("m %d n %d k %d %c%c α %v β %v: element %d is %v and %v, want %v", m, n, k, tA, tB, alpha, beta, i, c64[i], c32[i], want[i])
			}
		}
	}
}

func TestZeroBetaOverwritesNaN(t *testing.T) {
	c := []float64{math.NaN()}
	ours.Implementation{}.Dgemm(blas.NoTrans, blas.NoTrans, 1, 1, 1, 1, []float64{2}, 1, []float64{3}, 1, 0, c, 1)
	if c[0] != 6 {
		t.Errorf("2·3 is %v", c[0])
	}
	ours.Implementation{}.Dgemm(blas.NoTrans, blas.NoTrans, 1, 1, 1, 1, []float64{0}, 1, []float64{math.NaN()}, 1, 0, c, 1)
	if c[0] == c[0] {
		t.Errorf("0·NaN is %v", c[0])
	}
}

// Bad arguments are answered as gonum answers them.
func TestBadArguments(t *testing.T) {
	type call struct {
		tA, tB           blas.Transpose
		m, n, k          int
		lenA, lenB, lenC int
		lda, ldb, ldc    int
		special          string
	}
	for _, c := range []call{
		{'x', blas.NoTrans, 2, 2, 2, 4, 4, 4, 2, 2, 2, "transpose of A"},
		{blas.NoTrans, 'x', 2, 2, 2, 4, 4, 4, 2, 2, 2, "transpose of B"},
		{blas.NoTrans, blas.NoTrans, -1, 2, 2, 4, 4, 4, 2, 2, 2, "m"},
		{blas.NoTrans, blas.NoTrans, 2, -1, 2, 4, 4, 4, 2, 2, 2, "n"},
		{blas.NoTrans, blas.NoTrans, 2, 2, -1, 4, 4, 4, 2, 2, 2, "k"},
		{blas.NoTrans, blas.NoTrans, 2, 2, 2, 3, 4, 4, 2, 2, 2, "a short A"},
		{blas.NoTrans, blas.NoTrans, 2, 2, 2, 4, 3, 4, 2, 2, 2, "a short B"},
		{blas.NoTrans, blas.NoTrans, 2, 2, 2, 4, 4, 3, 2, 2, 2, "a short C"},
		{blas.NoTrans, blas.NoTrans, 2, 2, 2, 4, 4, 4, 1, 2, 2, "lda"},
		{blas.NoTrans, blas.NoTrans, 2, 2, 2, 4, 4, 4, 2, 1, 2, "ldb"},
		{blas.NoTrans, blas.NoTrans, 2, 2, 2, 4, 4, 4, 2, 2, 1, "ldc"},
	} {
		said := func(f blas.Float64Level3) (what any) {
			defer func() { what = recover() }()
			f.Dgemm(c.tA, c.tB, c.m, c.n, c.k, 1, make([]float64, c.lenA), c.lda, make([]float64, c.lenB), c.ldb, 0, make([]float64, c.lenC), c.ldc)
			return nil
		}
		if got, want := said(ours.Implementation{}), said(gonum.Implementation{}); got != want || want == nil {
			t.Errorf("%s: %v, gonum says %v", c.special, got, want)
		}
	}
}

func TestUse(t *testing.T) {
	was := G.WhichBLAS()
	defer G.Use(was)
	ours.Use()
	if _, ok := G.WhichBLAS().(ours.Implementation); !ok {
		t.Errorf("Gorgonia uses %T", G.WhichBLAS())
	}
	if _, ok := tensor.WhichBLAS().(ours.Implementation); !ok {
		t.Errorf("tensor uses %T", tensor.WhichBLAS())
	}
	g := G.NewGraph()
	a := G.NewMatrix(g, tensor.Float32, G.WithShape(2, 3), G.WithValue(tensor.New(tensor.WithShape(2, 3), tensor.WithBacking([]float32{1, 2, 3, 4, 5, 6}))))
	b := G.NewMatrix(g, tensor.Float32, G.WithShape(3, 2), G.WithValue(tensor.New(tensor.WithShape(3, 2), tensor.WithBacking([]float32{1, 0, 0, 1, 1, 1}))))
	c := G.Must(G.Mul(a, b))
	if _, err := G.Grad(G.Must(G.Sum(c)), a, b); err != nil {
		t.Fatal(err)
	}
	vm := G.NewTapeMachine(g, G.BindDualValues(a, b))
	defer vm.Close()
	if err := vm.RunAll(); err != nil {
		t.Fatal(err)
	}
	da, err := a.Grad()
	if err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(c.Value().Data(), da.Data()); got != "[4 5 10 11] [1 1 2 1 1 2]" {
		t.Errorf("product and gradient are %s", got)
	}
}
