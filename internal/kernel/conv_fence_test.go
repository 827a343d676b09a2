package kernel

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/convgrad/convgrad/internal/kerneltest"
)

// No kernel touches a byte beyond an operand, on either side: operands lie between protected pages,
// first at the begin of theirs, then at the end.
func TestConvolutionBetweenProtectedPages(t *testing.T) {
	if !kerneltest.Fenced {
		t.Skip("no protected pages on this system")
	}
	was := SetThreads(1) // a fault is caught on its own goroutine only
	defer SetThreads(was)
	everyTier(t, func(t *testing.T) {
		both(t, testConvolutionBetweenPages[float32], testConvolutionBetweenPages[float64])
	})
}

func testConvolutionBetweenPages[T Float](t *testing.T) {
	defer anyWinograd[T]()()
	const seed = 61
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 62))
	try := func(g Conv) {
		for _, side := range []kerneltest.Side{kerneltest.Begin, kerneltest.End} {
			f := kerneltest.NewFence(side)
			x, w, y, b := kerneltest.Put(f, make([]T, g.XLen())), kerneltest.Put(f, make([]T, g.WLen())), kerneltest.Put(f, make([]T, g.YLen())), kerneltest.Put(f, make([]T, g.K))
			bx := kerneltest.Put(f, make([]T, g.C))
			for name, run := range map[string]func(){
				"Forward":           func() { Forward(g, y, x, w, nil, false) },
				"Forward with bias": func() { Forward(g, y, x, w, b, true) },
				"BackwardData":      func() { BackwardData(g, x, y, w) },
				"Transposed":        func() { Transposed(g, x, y, w, bx, true) },
				"BackwardFilter":    func() { BackwardFilter(g, w, y, x) },
				"BackwardBias":      func() { BackwardBias(g, b, y) },
			} {
				if err := kerneltest.Catch(run); err != nil {
					t.Fatalf("%s, operands at the %v of their pages, %+v: %v", name, side, g, err)
				}
			}
			f.Free()
		}
	}
	for _, c := range append(convs, winogradConvs...) {
		g, err := NewConv(c.n, c.c, c.h, c.w, c.k, c.r, c.s, c.g, c.sp, c.flip)
		if err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		try(g)
		g.Winograd = true
		try(g)
	}
	for range random(60) {
		try(randomConv(r))
	}
}

// randomConv draws a geometry with up to 40 filters of up to 40 channels: every tail of every width
// of a tile.
func randomConv(r *rand.Rand) Conv {
	for {
		groups := 1
		if r.IntN(4) == 0 {
			groups = 1 + r.IntN(5)
		}
		c, k := groups*(1+r.IntN(40/groups)), groups*(1+r.IntN(40/groups))
		if r.IntN(6) == 0 {
			c, k = groups, groups*(1+r.IntN(2)) // depthwise
		}
		sp := Spatial{1 + r.IntN(2), 1 + r.IntN(3), 1 + r.IntN(2), 1 + r.IntN(2), r.IntN(3), r.IntN(3), r.IntN(3), r.IntN(3)}
		g, err := NewConv(1+r.IntN(4), c, 1+r.IntN(12), 1+r.IntN(40), k, 1+r.IntN(4), 1+r.IntN(4), groups, sp, r.IntN(2) == 0)
		if err == nil && g.MACs() < 1<<21 {
			g.Winograd = r.IntN(2) == 0
			return g
		}
	}
}

// Kernels of different geometries that run at the same time do not disturb each other: the same
// bits as alone.
func TestConvolutionConcurrently(t *testing.T) {
	was := SetThreads(3)
	defer SetThreads(was)
	defer anyWinograd[float32]()()
	everyTier(t, func(t *testing.T) {
		const seed, callers = 63, 8
		t.Logf("seed %d", seed)
		r := rand.New(rand.NewPCG(seed, 64))
		var waiting sync.WaitGroup
		start := make(chan struct{})
		for i := range callers {
			g := randomConv(r)
			x, w, dy, b := uniform[float32](r, g.XLen()), uniform[float32](r, g.WLen()), uniform[float32](r, g.YLen()), uniform[float32](r, g.K)
			run := func() []float32 { return allKernels(g, x, w, dy, b) }
			want := run()
			waiting.Add(1)
			go func() {
				defer waiting.Done()
				<-start
				for range random(10) {
					if err := differs(run(), want); err != nil {
						t.Errorf("caller %d, %+v: %v", i, g, err)
						return
					}
				}
			}()
		}
		close(start)
		waiting.Wait()
	})
}

// allKernels is what the forward pass and all gradients make, one after the other.
func allKernels[T Float](g Conv, x, w, dy, b []T) []T {
	y, dx, dw, db := make([]T, g.YLen()), make([]T, g.XLen()), make([]T, g.WLen()), make([]T, g.K)
	Forward(g, y, x, w, b, true)
	BackwardData(g, dx, dy, w)
	BackwardFilter(g, dw, dy, x)
	BackwardBias(g, db, dy)
	return append(append(append(y, dx...), dw...), db...)
}

func differs[T Float](got, want []T) error {
	for i, v := range want {
		if got[i] != v {
			return fmt.Errorf("element %d is %v, alone %v", i, got[i], v)
		}
	}
	return nil
}
