package bench

import (
	"fmt"
	"math/rand/v2"
	"time"

	"gonum.org/v1/gonum/blas"
	"gonum.org/v1/gonum/blas/gonum"

	"github.com/convgrad/convgrad/internal/kernel"
)

// A PartResult is a kernel other than a convolution, beside a peer.
type PartResult struct {
	Name, Size                  string
	Rate                        float64 // one thread, in Unit
	RateAll                     float64 // all threads
	Unit                        string  // "GFLOP/s" or "GB/s", bytes read and written once
	Peer                        string
	OverPeer                    float64 // the peer's time over ours, one thread each, by processor time
	OverPyTorch, OverPyTorchAll float64
}

// Products measures square matrix products beside gonum's BLAS.
func Products(sizes []int, b Budget) []PartResult {
	r := rand.New(rand.NewPCG(Seed, 2))
	var all []PartResult
	for _, n := range sizes {
		x, y, z := random(r, n*n), random(r, n*n), make([]float32, n*n)
		ours := func() { kernel.MatMul(z, x, y, n, n, n, false, false, false) }
		theirs := func() { gonum.Implementation{}.Sgemm(blas.NoTrans, blas.NoTrans, n, n, n, 1, x, n, y, n, 0, z, n) }
		rate := func(d time.Duration) float64 { return 2 * float64(n) * float64(n) * float64(n) / d.Seconds() / 1e9 }
		p := pair(b, ours, theirs, rate)
		p.Name, p.Size, p.Unit, p.Peer = "matrix product", fmt.Sprint(n), "GFLOP/s", "gonum"
		all = append(all, p)
	}
	return all
}

// pair measures ours and a peer's. The peer may use all threads, so the two are compared by processor time.
func pair(b Budget, ours, theirs func(), rate func(time.Duration) float64) PartResult {
	threads := kernel.SetThreads(1)
	one := CPU(b, ours)
	kernel.SetThreads(threads)
	p := PartResult{Rate: rate(one), RateAll: rate(Wall(b, ours))}
	if theirs != nil {
		p.OverPeer = float64(CPU(b, theirs)) / float64(one)
	}
	return p
}

// Maps measures pooling, ReLU and their gradients on a small and a large feature map, beside a plain Go loop or, for pooling, the reference.
func Maps(b Budget) ([]PartResult, error) {
	r := rand.New(rand.NewPCG(Seed, 3))
	var all []PartResult
	for _, s := range [][4]int{{64, 6, 28, 28}, {16, 64, 56, 56}} {
		g, err := kernel.NewPool(s[0], s[1], s[2], s[3], 2, 2, kernel.Spatial{StrideH: 2, StrideW: 2, DilationH: 1, DilationW: 1})
		if err != nil {
			return nil, err
		}
		in, out := g.XLen(), g.YLen()
		x, y, dx, dy := random(r, in), make([]float32, in), make([]float32, in), random(r, in)
		py, pdy, winner := make([]float32, out), random(r, out), make([]int32, out)
		kernel.MaxWinners(g, winner, x)
		add := func(name string, bytes int, ours, theirs func()) {
			p := pair(b, ours, theirs, func(d time.Duration) float64 { return float64(bytes) / d.Seconds() / 1e9 })
			p.Name, p.Size, p.Unit, p.Peer = name, fmt.Sprint(s), "GB/s", "plain Go loop"
			all = append(all, p)
		}
		add("ReLU", 8*in, func() { kernel.ReLU(y, x) }, func() {
			for i, v := range x {
				y[i] = max(v, 0)
			}
		})
		add("ReLU backward", 12*in, func() { kernel.Gate(dx, dy, x) }, func() {
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
		add("max pool 2×2 backward", 4*in+8*out, func() { kernel.Scatter(g, dx, pdy, winner) }, func() {
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
	}
	return all, nil
}
