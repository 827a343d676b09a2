package main

import (
	"fmt"
	"math/rand/v2"
	"time"

	"gonum.org/v1/gonum/blas"
	"gonum.org/v1/gonum/blas/gonum"

	"github.com/convgrad/convgrad/internal/kernel"
)

// A ProductResult is a matrix product of float32, m×k by k×n.
type ProductResult struct {
	M, N, K int
	// 10⁹ operations a second: on one thread by processor time, on all threads by elapsed time.
	One, All float64
	OfPeak   float64 // on one thread
	// Times of a peer over ours; 0 where there is none.
	OverGonum, OverOpenBLAS, OverOpenBLASAll float64
}

// Size is m×n×k.
func (p ProductResult) Size() string { return fmt.Sprintf("%d×%d×%d", p.M, p.N, p.K) }

var productSizes = [][3]int{{256, 256, 256}, {512, 512, 512}, {1024, 1024, 1024}, {2048, 2048, 2048}, {100, 10, 625}, {100, 625, 1152}}

// Products measures matrix products beside OpenBLAS, if there is one, and all but the largest
// beside gonum's BLAS.
func Products(b Budget, quick bool, openblas *peer) ([]ProductResult, error) {
	r := rand.New(rand.NewPCG(Seed, 2))
	var list []ProductResult
	for _, s := range productSizes {
		if quick && s[0] > 512 {
			continue
		}
		m, n, k := s[0], s[1], s[2]
		x, y, z := random[float32](r, m*k), random[float32](r, k*n), make([]float32, m*n)
		flops := 2 * float64(m) * float64(n) * float64(k) / 1e9
		ours := func() { kernel.MatMul(z, x, y, m, n, k, false, false, false) }
		part := b.part()
		var direct share
		fs := []func() (time.Duration, error){direct.one(part, flops*1e9, true, ours), all(part, ours)}
		if openblas != nil {
			ask := func(threads int) func() (time.Duration, error) {
				return func() (time.Duration, error) {
					return openblas.ask(question{Size: s[:], Threads: threads, CPU: threads == 1, Seconds: part.Time.Seconds()})
				}
			}
			fs = append(fs, ask(1), ask(kernel.Threads()))
		}
		t, err := turns(b.Rounds, fs...)
		if err != nil {
			return nil, err
		}
		p := ProductResult{M: m, N: n, K: k, One: flops / median(t[0]).Seconds(), All: flops / median(t[1]).Seconds(), OfPeak: direct.median()}
		if openblas != nil {
			p.OverOpenBLAS, p.OverOpenBLASAll = over(t[2], t[0]), over(t[3], t[1])
		}
		if m <= 512 {
			// gonum uses all cores, so the two are compared by processor time.
			p.OverGonum = float64(CPU(Budget{Reps: 3}, func() { gonum.Implementation{}.Sgemm(blas.NoTrans, blas.NoTrans, m, n, k, 1, x, k, y, n, 0, z, n) })) / float64(median(t[0]))
		}
		list = append(list, p)
	}
	return list, nil
}

// A PartResult is a kernel that moves data: pooling, activation, their gradients.
type PartResult struct {
	Name, Size string
	// 10⁹ bytes read or written a second: on one thread by processor time, on all threads by
	// elapsed time.
	One, All                    float64
	OverLoop                    float64 // a plain Go loop's processor time over ours
	OverPyTorch, OverPyTorchAll float64 // PyTorch's time over ours, on one thread and on all
}

var mapSizes = [][4]int{{64, 6, 28, 28}, {16, 64, 56, 56}}

// Maps measures pooling, ReLU and their gradients on a small and a large feature map, beside a
// plain Go loop. For pooling that loop is the reference.
func Maps(b Budget, torch *peer) ([]PartResult, error) {
	r := rand.New(rand.NewPCG(Seed, 3))
	var list []PartResult
	for _, s := range mapSizes {
		g, err := kernel.NewPool(s[0], s[1], s[2], s[3], 2, 2, kernel.Spatial{StrideH: 2, StrideW: 2, DilationH: 1, DilationW: 1})
		if err != nil {
			return nil, err
		}
		in, out := g.XLen(), g.YLen()
		x, y, dx, dy := random[float32](r, in), make([]float32, in), make([]float32, in), random[float32](r, in)
		py, pdy, winner := make([]float32, out), random[float32](r, out), make([]int32, out)
		kernel.MaxWinners(g, winner, x)
		which := 0
		add := func(name string, bytes int, ours, loop func()) {
			if err != nil {
				return
			}
			part := b.part()
			fs := []func() (time.Duration, error){one(part, ours), all(part, ours)}
			if torch != nil {
				ask := func(which, threads int) func() (time.Duration, error) {
					return func() (time.Duration, error) {
						return torch.ask(question{What: "map", Size: s[:], Which: which, Threads: threads, CPU: threads == 1, Seconds: part.Time.Seconds()})
					}
				}
				fs = append(fs, ask(which, 1), ask(which, kernel.Threads()))
			}
			which++
			var t [][]time.Duration
			if t, err = turns(b.Rounds, fs...); err != nil {
				return
			}
			p := PartResult{Name: name, Size: fmt.Sprint(s), One: float64(bytes) / median(t[0]).Seconds() / 1e9, All: float64(bytes) / median(t[1]).Seconds() / 1e9}
			p.OverLoop = float64(CPU(Budget{Reps: 3}, loop)) / float64(median(t[0]))
			if torch != nil {
				p.OverPyTorch, p.OverPyTorchAll = over(t[2], t[0]), over(t[3], t[1])
			}
			list = append(list, p)
		}
		add("ReLU", 8*in, func() { kernel.ReLU(y, x) }, func() {
			for i, v := range x {
				y[i] = max(v, 0)
			}
		})
		add("ReLU, gradient", 12*in, func() { kernel.Gate(dx, dy, x) }, func() {
			for i, v := range x {
				if v > 0 {
					dx[i] = dy[i]
				} else {
					dx[i] = 0
				}
			}
		})
		add("max pool 2×2 with winners", 4*in+8*out, func() { kernel.MaxForward(g, py, winner, x) }, func() {
			kernel.RefMaxWinners(g, winner, x)
			for i, k := range winner {
				py[i] = x[i/(g.P*g.Q)*g.H*g.W+int(k)]
			}
		})
		add("max pool 2×2, gradient", 4*in+8*out, func() { kernel.Scatter(g, dx, pdy, winner) }, func() {
			clear(dx)
			for i, k := range winner {
				dx[i/(g.P*g.Q)*g.H*g.W+int(k)] += pdy[i]
			}
		})
		add("average pool 2×2", 4*in+4*out, func() { kernel.AvgForward(g, py, x, true) }, func() {
			kernel.RefSumWindows(g, py, x)
			for i := range py {
				py[i] /= 4
			}
		})
		add("average pool 2×2, gradient", 4*in+4*out, func() { kernel.AvgBackward(g, dx, pdy, true) }, func() {
			clear(dx)
			kernel.RefSpreadWindows(g, dx, pdy)
		})
		if err != nil {
			return nil, err
		}
	}
	return list, nil
}
