//go:build unix

package kernel

import (
	"fmt"
	"math/rand/v2"
	"syscall"
	"testing"
	"time"

	"gonum.org/v1/gonum/blas"
	"gonum.org/v1/gonum/blas/gonum"
)

// Benchmarks are named shape=…/dtype=…/impl=… and measure one thread. Beside the time on the clock they report rates of the processor time, which other
// programs on the machine disturb less: a multiply-add counts as two operations, a byte is one that the kernel must read or write.

func processorTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// measure runs f with one thread and reports amount/10⁹ per second of processor time.
func measure(b *testing.B, name, unit string, amount float64, f func()) {
	b.Run(name, func(b *testing.B) {
		was := SetThreads(1)
		defer SetThreads(was)
		f()
		start, loops := processorTime(), 0
		for b.Loop() {
			f()
			loops++
		}
		b.ReportMetric(amount*float64(loops)/(processorTime()-start).Seconds()/1e9, unit)
	})
}

func BenchmarkMatMul(b *testing.B) {
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
	measure(b, name+"convgrad", "GFLOP/s", flops, func() { MatMul(c, x, y, m, n, k, false, false, false) })
	measure(b, name+"gonum", "GFLOP/s", flops, func() { other(c, x, y) })
}
