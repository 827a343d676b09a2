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

// Benchmarks are named shape=…/dtype=…/impl=… and measure one thread. Beside the time on the clock
// they report rates of the processor time, which other programs on the machine disturb less: a
// multiply-add counts as two operations, a byte is one that the kernel must read or write.

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

// images are a LeNet layer's and a large network's.
var images = [][4]int{{64, 6, 28, 28}, {16, 64, 56, 56}}

func BenchmarkPooling(b *testing.B) {
	r := rand.New(rand.NewPCG(2, 2))
	for _, s := range images {
		benchPooling[float32](b, r, s, 2, 2, 0)
		benchPooling[float64](b, r, s, 2, 2, 0)
		benchPooling[float32](b, r, s, 3, 2, 1)
	}
}

func benchPooling[T Float](b *testing.B, r *rand.Rand, s [4]int, window, stride, pad int) {
	g, err := NewPool(s[0], s[1], s[2], s[3], window, window, Spatial{stride, stride, 1, 1, pad, pad, pad, pad})
	if err != nil {
		b.Fatal(err)
	}
	x, y, winner := uniform[T](r, g.XLen()), make([]T, g.YLen()), make([]int32, g.YLen())
	dx, dy := make([]T, g.XLen()), uniform[T](r, g.YLen())
	size := map[bool]float64{true: 4, false: 8}[unit[T]() == 0x1p-24]
	in, out := size*float64(g.XLen()), size*float64(g.YLen())
	marks := 4 * float64(g.YLen())
	for _, k := range []struct {
		op    string
		bytes float64
		f     func()
	}{
		{"max", in + out + marks, func() { MaxForward(g, y, winner, x) }},
		{"winners", in + marks, func() { MaxWinners(g, winner, x) }},
		{"gather", in + out + marks, func() { Gather(g, y, x, winner) }},
		{"scatter", in + out + marks, func() { Scatter(g, dx, dy, winner) }},
		{"avg", in + out, func() { AvgForward(g, y, x, true) }},
		{"avg-backward", in + out, func() { AvgBackward(g, dx, dy, true) }},
		{"l2", in + out, func() { L2Forward(g, y, x) }},
		{"l2-backward", 2*in + 2*out, func() { L2Backward(g, dx, x, y, dy) }},
	} {
		measure(b, fmt.Sprintf("shape=%dx%dx%dx%d-%dx%d-%d/op=%s/dtype=%T/impl=convgrad", s[0], s[1], s[2], s[3], window, window, stride, k.op, T(0)), "GB/s", k.bytes, k.f)
	}
}

func BenchmarkElementwise(b *testing.B) {
	r := rand.New(rand.NewPCG(3, 3))
	for _, s := range images {
		benchElementwise[float32](b, r, s)
		benchElementwise[float64](b, r, s)
	}
}

func benchElementwise[T Float](b *testing.B, r *rand.Rand, s [4]int) {
	n := s[0] * s[1] * s[2] * s[3]
	x, y, z, v := uniform[T](r, n), uniform[T](r, n), uniform[T](r, n), make([]T, n)
	bytes := make([]uint8, n)
	indices := r.Perm(s[0])
	size := map[bool]float64{true: 4, false: 8}[unit[T]() == 0x1p-24] * float64(n)
	for _, k := range []struct {
		op    string
		bytes float64
		f     func()
	}{
		{"relu", 2 * size, func() { ReLU(y, x) }},
		{"gate", 3 * size, func() { Gate(z, y, x) }},
		{"add", 3 * size, func() { Add(z, x) }},
		{"dropout", 2 * size, func() { Dropout(z, x, 0.5, 1, 2, 3) }},
		{"sgd", 3 * size, func() { SGD(z, x, nil, 1e-3, 0, 0, false) }},
		{"momentum", 5 * size, func() { SGD(z, x, y, 1e-3, 0.9, 0, false) }},
		{"adam", 7 * size, func() { Adam(z, x, y, v, 9, 1e-3, 0.9, 0.999, 1e-8, 0, true) }},
		{"rmsprop", 5 * size, func() { RMSProp(z, x, v, 1e-3, 0.9, 1e-8, 0) }},
		{"normalise", size + float64(n), func() { NormaliseBatch(z, bytes, indices, n/s[0], 0.5, 2) }},
		{"sumrows", size, func() { SumRows(y[:s[3]], x, n/s[3]) }},
		{"addrow", 2 * size, func() { AddRow(z, y[:s[3]], n/s[3]) }},
	} {
		measure(b, fmt.Sprintf("shape=%dx%dx%dx%d/op=%s/dtype=%T/impl=convgrad", s[0], s[1], s[2], s[3], k.op, T(0)), "GB/s", k.bytes, k.f)
	}
}

func BenchmarkLoss(b *testing.B) {
	r := rand.New(rand.NewPCG(4, 4))
	for _, s := range [][2]int{{100, 10}, {256, 1000}} {
		m, n := s[0], s[1]
		x, labels := uniform[float32](r, m*n), make([]int, m)
		name := fmt.Sprintf("shape=%dx%d/op=", m, n)
		measure(b, name+"crossentropy/dtype=float32/impl=convgrad", "Gexp/s", float64(m*n), func() { CrossEntropy(Along{m, n, 1}, x, labels, -1) })
	}
}
