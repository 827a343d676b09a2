package kernel

import (
	"runtime"
	"testing"
)

// allocated is the number of bytes that f asks for.
func allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// Padding that is out of proportion to the image asks for no memory of its size.
func TestMemoryOfHostilePadding(t *testing.T) {
	const limit = 64 << 20
	g, err := NewConv(1, 16, 8, 8, 8, 3, 3, 1, Spatial{1, 65536, 1, 1, 0, 0, 0, 1 << 20}, false)
	if err != nil {
		t.Fatal(err)
	}
	x, w, y := make([]float32, g.XLen()), make([]float32, g.WLen()), make([]float32, g.YLen())
	for name, f := range map[string]func(){
		"Forward":        func() { Forward(g, y, x, w, nil, false) },
		"BackwardData":   func() { BackwardData(g, x, y, w) },
		"BackwardFilter": func() { BackwardFilter(g, w, y, x) },
	} {
		if n := allocated(f); n > limit {
			t.Errorf("%s of %+v allocates %d bytes, want at most %d", name, g, n, limit)
		}
	}
	// The padded image is one element more than the window, so that there are 2×2 windows.
	p, err := NewPool(1, 1, 1, 1, 20000, 20000, Spatial{1, 1, 1, 1, 10000, 10000, 10000, 10000})
	if err != nil {
		t.Fatal(err)
	}
	win, v := make([]int32, p.YLen()), make([]float32, p.YLen())
	if n := allocated(func() { MaxForward(p, v, win, []float32{3}) }); n > limit {
		t.Errorf("MaxForward of %+v allocates %d bytes, want at most %d", p, n, limit)
	}
	for _, got := range v {
		if got != 3 {
			t.Errorf("MaxForward of a 3 gives %v", v)
		}
	}
}

// Windows and maps of every kind ask for memory in proportion to what they read and write.
func TestMemoryOfWindows(t *testing.T) {
	for _, sp := range []struct {
		h, w, r, s int
		Spatial
	}{
		{1, 1, 20000, 20000, Spatial{1, 1, 1, 1, 10000, 10000, 10000, 10000}},
		{1, 1, 1000, 1000, Spatial{1, 1, 1, 1, 999, 999, 999, 999}},
		{3, 500, 2, 400, Spatial{1, 7, 1, 1, 1, 1, 399, 399}},
		{2, 3, 2, 2, Spatial{1 << 20, 1 << 20, 1, 2, 1, 1 << 20, 2, 1 << 20}},
	} {
		g, err := NewPool(2, 1, sp.h, sp.w, sp.r, sp.s, sp.Spatial)
		if err != nil {
			t.Log(err) // a window without an element is refused
			continue
		}
		limit := uint64(200*(g.XLen()+g.YLen()) + 1<<20)
		x, y, win := make([]float64, g.XLen()), make([]float64, g.YLen()), make([]int32, g.YLen())
		rows := AxisMap{Kind: WindowMean, Window: g.Rows}
		cols := AxisMap{Kind: WindowMean, Window: g.Cols}
		for name, f := range map[string]func(){
			"MaxForward":       func() { MaxForward(g, y, win, x) },
			"Scatter":          func() { Scatter(g, x, y, win) },
			"AvgForward":       func() { AvgForward(g, y, x, true) },
			"AvgBackward":      func() { AvgBackward(g, x, y, false) },
			"L2Forward":        func() { L2Forward(g, y, x) },
			"L2Backward":       func() { L2Backward(g, x, x, y, y) },
			"LpForward":        func() { LpForward(g, 3, y, x) },
			"LpBackward":       func() { LpBackward(g, 3, x, x, y, y) },
			"Resample":         func() { Resample(rows, cols, y, x, 2, 1) },
			"ResampleBackward": func() { ResampleBackward(rows, cols, x, y, 2, 1) },
		} {
			if n := allocated(f); n > limit {
				t.Errorf("%s of %+v allocates %d bytes, want at most %d", name, g, n, limit)
			}
		}
	}
}
