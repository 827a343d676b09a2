package kernel

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/convgrad/convgrad/internal/kerneltest"
)

// Operands between pages that may not be touched: what only reads beyond an operand, under a mask
// or as a vector's tail, faults too.
func TestNothingBeyondOperandsIsTouched(t *testing.T) {
	defer SetThreads(SetThreads(1)) // a fault is caught on the caller's goroutine only
	everyTier(t, func(t *testing.T) { both(t, testFences[float32], testFences[float64]) })
}

func testFences[T Float](t *testing.T) {
	const seed = 71
	r := rand.New(rand.NewPCG(seed, 0))
	for _, side := range []kerneltest.Side{kerneltest.Begin, kerneltest.End} {
		within := func(what string, f func(put func(n int) []T, ints func(v []int32) []int32)) {
			t.Helper()
			fence := kerneltest.NewFence(side)
			defer fence.Free()
			run := func() {
				f(func(n int) []T { return kerneltest.Put(fence, uniform[T](r, n)) }, func(v []int32) []int32 { return kerneltest.Put(fence, v) })
			}
			if err := kerneltest.Catch(run); err != nil {
				t.Errorf("seed %d, %s, operands at the %v of their pages: %v", seed, what, side, err)
			}
		}
		for _, n := range []int{1, 3, 8, 15, 16, 17, 31, 33, 48, 63, 65, 100} {
			within(fmt.Sprint("elementwise ", n), func(put func(int) []T, _ func([]int32) []int32) {
				x, y, z, v, w := put(n), put(n), put(n), put(n), put(n)
				ReLU(y, x)
				Gate(z, y, x)
				Add(z, x)
				Dropout(y, x, 0.3, 1, 2, 3)
				SGD(w, x, nil, 0.1, 0, 0.1, false)
				SGD(w, x, v, 0.1, 0.9, 0, true)
				clear(z)
				clear(v)
				Adam(w, x, z, v, 1, 0.1, 0.9, 0.99, 1e-8, 0.1, false)
				clear(z)
				RMSProp(w, x, z, 0.1, 0.9, 1e-8, 0.1)
				for _, a := range []Along{{1, n, 1}, {1, 1, n}, {2, n / 2, 1}, {1, 2, n / 2}} {
					size, labels := a.Outer*a.N*a.Inner, make([]int, a.Outer*a.Inner)
					each, two := put(len(labels)), put(a.N)
					Softmax(a, y[:size], x[:size])
					LogSoftmax(a, y[:size], x[:size])
					CrossEntropy(a, x[:size], labels, -1)
					SoftmaxBackward(a, z[:size], y[:size], x[:size])
					LogSoftmaxBackward(a, z[:size], y[:size], x[:size])
					LabelLosses(a, each, x[:size], labels, two, -1, 0.5)
					LabelSlopes(a, y[:size], each, labels, two, -1, 0.5)
				}
				for _, l := range pairLosses {
					Losses(l, y, x, z)
					LossSlopes(l, y, x, z, x)
					LossSlopes(l, y, x[:1], z, x)
					LossSum(l, x, z)
				}
				AddRow(y, put(n), 1)
				SumRows(y, put(3*n), 3)
				for f := range activations {
					Activate(Activation{ActivationFunc(f), 1, 2}, 0, y, x)
					ActivateBackward(Activation{ActivationFunc(f), 1, 2}, z, y, x)
				}
				for op := Plus; op <= Over; op++ {
					Combine(op, Walk{[]int{n}, []int{1}, []int{1}}, y, x, z)
					Combine(op, Walk{[]int{n}, []int{1}, []int{0}}, y, x, put(1))
					Combine(op, Walk{[]int{n}, []int{0}, []int{1}}, y, put(1), x)
				}
				SumOver(Walk{[]int{3, n}, []int{0, 1}, nil}, y, put(3*n))
				Scale(y, x, 0.1)
				MaxOver(Walk{[]int{1, n}, []int{1, 0}, nil}, make([]int, 1), x)
				rows := Rows{3, n, 1, 1}
				RowNormalise(rows, put(3*n), put(3*n), x, z, put(6), 1, true)
				RowBackward(rows, put(2*n), put(3*n), put(3*n), put(3*n), x, put(6), 1)
				PReLU(Along{1, n, 1}, y, x, z)
				PReLU(Along{1, 1, n}, y, x, put(1))
				PReLUBackward(Along{1, 1, n}, y, x, z, put(1))
				PReLUSlopes(Along{1, 1, n}, put(1), y, x)
				g := ChannelNorm(1, 1, n, NormBatch)
				m, sums := put(2), put(2)
				MomentsNormalise(g, m, y, x, Affine[T]{Add: z, Eps: 1, ReLU: true})
				NormSumsBackward(g, sums, z, y, x, nil, m, 1)
			})
			within(fmt.Sprint("bytes ", n), func(put func(int) []T, _ func([]int32) []int32) {
				fence := kerneltest.NewFence(side)
				defer fence.Free()
				NormaliseBatch(put(2*n), kerneltest.Put(fence, make([]uint8, 3*n)), []int{2, 0}, n, 0.5, 2)
			})
		}
		for range random(40) {
			m, n, k := 1+r.IntN(30), 1+r.IntN(120), 1+r.IntN(60)
			for form := range 4 {
				within(fmt.Sprintf("product %d×%d×%d, form %d", m, n, k, form), func(put func(int) []T, _ func([]int32) []int32) {
					MatMul(put(m*n), put(m*k), put(k*n), m, n, k, form&1 != 0, form&2 != 0, r.IntN(2) == 0)
				})
			}
		}
	}
	eachPool(t, func(t *testing.T, g Pool, _ *rand.Rand) {
		for _, side := range []kerneltest.Side{kerneltest.Begin, kerneltest.End} {
			fence := kerneltest.NewFence(side)
			put := func(n int) []T { return kerneltest.Put(fence, uniform[T](r, n)) }
			err := kerneltest.Catch(func() {
				x, y, winner, dx, dy := put(g.XLen()), put(g.YLen()), kerneltest.Put(fence, make([]int32, g.YLen())), put(g.XLen()), put(g.YLen())
				MaxForward(g, y, winner, x)
				MaxWinners(g, winner, x)
				Gather(g, y, x, winner)
				Scatter(g, dx, dy, winner)
				for _, counted := range []bool{false, true} {
					AvgForward(g, y, x, counted)
					AvgBackward(g, dx, dy, counted)
				}
				L2Forward(g, y, x)
				L2Backward(g, dx, x, y, dy)
			})
			fence.Free()
			if err != nil {
				t.Errorf("operands at the %v of their pages: %v", side, err)
			}
		}
	})
}

// Several goroutines, as several graphs would, call kernels at once, with helpers for fewer than
// all of them: each gets the bits that it gets alone.
func TestKernelsAtOnce(t *testing.T) {
	defer SetThreads(SetThreads(3))
	type work struct {
		g       Conv
		p       Pool
		x, w, b []float32
	}
	run := func(u work) (out []float32) {
		y, dx, dw := make([]float32, u.g.YLen()), make([]float32, u.g.XLen()), make([]float32, u.g.WLen())
		Forward(u.g, y, u.x, u.w, nil, true)
		BackwardData(u.g, dx, y, u.w)
		BackwardFilter(u.g, dw, y, u.x)
		top, winner := make([]float32, u.p.YLen()), make([]int32, u.p.YLen())
		MaxForward(u.p, top, winner, u.x)
		c := make([]float32, 40*33)
		MatMul(c, u.x, u.b, 40, 33, 70, false, false, false)
		drop := make([]float32, len(u.x))
		Dropout(drop, u.x, 0.4, 1, 2, 3)
		for _, v := range [][]float32{y, dx, dw, top, c, drop} {
			out = append(out, v...)
		}
		return out
	}
	r := rand.New(rand.NewPCG(72, 0))
	var all []work
	for i := range 4 {
		s := Spatial{1, 1, 1, 1, 1, 1, 1, 1}
		g, err := NewConv(4, 3+i, 18, 20+i, 5*(i+1), 3, 3, 1, s, false)
		if err != nil {
			t.Fatal(err)
		}
		p, err := NewPool(4, 3+i, 18, 20+i, 2, 2, Spatial{2, 2, 1, 1, 0, 0, 0, 0})
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, work{g, p, uniform[float32](r, g.XLen()), uniform[float32](r, g.WLen()), uniform[float32](r, 70*33)})
	}
	var want [][]float32
	for _, u := range all {
		want = append(want, run(u))
	}
	var wg sync.WaitGroup
	for i, u := range all {
		wg.Go(func() {
			for range random(20) {
				got := run(u)
				for j := range got {
					if got[j] != want[i][j] {
						t.Errorf("goroutine %d: element %d is %v, alone %v", i, j, got[j], want[i][j])
						return
					}
				}
			}
		})
	}
	wg.Wait()
}
