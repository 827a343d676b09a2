package kernel

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"gonum.org/v1/gonum/blas"
	"gonum.org/v1/gonum/blas/gonum"
)

// Benchmarks are named shape=…/dtype=…/impl=… and measure one thread; -threads of the command cmd/bench measures more. GFLOP/s count a multiply-add as two.

func oneThread(b *testing.B) {
	was := SetThreads(1)
	b.Cleanup(func() { SetThreads(was) })
}

func gflops(b *testing.B, flops float64) {
	b.ReportMetric(flops*float64(b.N)/b.Elapsed().Seconds()/1e9, "GFLOP/s")
}

func BenchmarkMatMul(b *testing.B) {
	oneThread(b)
	r := rand.New(rand.NewPCG(1, 1))
	for _, s := range [][3]int{{256, 256, 256}, {512, 512, 512}, {1024, 1024, 1024}, {2048, 2048, 2048}, {100, 10, 625}, {100, 625, 1152}} {
		m, n, k := s[0], s[1], s[2]
		benchMatMul[float32](b, r, m, n, k, func(c, x, y []float32) {
			gonum.Implementation{}.Sgemm(blas.NoTrans, blas.NoTrans, m, n, k, 1, x, k, y, n, 0, c, n)
		})
		benchMatMul[float64](b, r, m, n, k, func(c, x, y []float64) {
			gonum.Implementation{}.Dgemm(blas.NoTrans, blas.NoTrans, m, n, k, 1, x, k, y, n, 0, c, n)
		})
	}
}

func benchMatMul[T Float](b *testing.B, r *rand.Rand, m, n, k int, other func(c, x, y []T)) {
	x, y, c := uniform[T](r, m*k), uniform[T](r, k*n), make([]T, m*n)
	name := fmt.Sprintf("shape=%dx%dx%d/dtype=%T/impl=", m, n, k, T(0))
	flops := 2 * float64(m) * float64(n) * float64(k)
	b.Run(name+"convgrad", func(b *testing.B) {
		for b.Loop() {
			MatMul(c, x, y, m, n, k, false, false, false)
		}
		gflops(b, flops)
	})
	b.Run(name+"gonum", func(b *testing.B) {
		for b.Loop() {
			other(c, x, y)
		}
		gflops(b, flops)
	})
}
