package ops_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	G "gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/convgrad/convgrad/internal/kernel"
	"github.com/convgrad/convgrad/ops"
)

// maxPoolReference is max pooling and its derivative by the index walk.
func maxPoolReference(g kernel.Pool, y, dx, x, dy []float64) {
	winner := make([]int32, g.YLen())
	kernel.RefMaxWinners(g, winner, x)
	for i, w := range winner {
		at := i/(g.P*g.Q)*g.H*g.W + int(w)
		y[i] = x[at]
		dx[at] += dy[i]
	}
}

// A NaN wins its window, the first of several; −Inf and the least finite number win where there is
// nothing above them. The gradient goes to the winner.
func TestMaxPoolSpecialValues(t *testing.T) {
	nan, low := math.NaN(), math.Inf(-1)
	for _, c := range []struct {
		name   string
		window [4]float64 // of the upper left corner of x, 4×4, whose other elements are 1
		winner int
	}{
		{"a NaN at the start", [4]float64{nan, 5, 6, 7}, 0},
		{"a NaN among numbers", [4]float64{5, 6, nan, 7}, 2},
		{"a NaN at the end", [4]float64{5, 6, 7, nan}, 3},
		{"two NaNs", [4]float64{5, nan, 7, nan}, 1},
		{"a NaN and +Inf", [4]float64{math.Inf(1), 6, 7, nan}, 3},
		{"all NaN", [4]float64{nan, nan, nan, nan}, 0},
		{"all −Inf", [4]float64{low, low, low, low}, 0},
		{"−Inf and a number", [4]float64{low, low, -9, low}, 2},
		{"all the least number", [4]float64{-math.MaxFloat64, -math.MaxFloat64, -math.MaxFloat64, -math.MaxFloat64}, 0},
		{"−Inf and the least number", [4]float64{low, -math.MaxFloat64, low, low}, 1},
		{"NaN and −Inf", [4]float64{low, low, low, nan}, 3},
		{"ties", [4]float64{3, 4, 4, 3}, 1},
		{"zeros of both signs", [4]float64{math.Copysign(0, -1), 0, 0, 0}, 0},
	} {
		at := [4]int{0, 1, 4, 5}
		xv := make([]float64, 16)
		for i := range xv {
			xv[i] = 1
		}
		for i, v := range c.window {
			xv[at[i]] = v
		}
		for _, machine := range machines {
			m, g := must(t), G.NewGraph()
			x := leaf(g, "x", tensor.Shape{1, 1, 4, 4}, xv)
			y := m(ops.MaxPool2D(x, ops.PoolParams{Window: ops.Both(2)}))
			value, grads := mustEvaluate[float64](t, machine, m(costOf(y, []float64{3, 0, 0, 0})), y, x)
			if want := c.window[c.winner]; math.Float64bits(value[0]) != math.Float64bits(want) && !(value[0] != value[0] && want != want) {
				t.Errorf("%s: %s: y is %v, want %v", machine, c.name, value[0], want)
			}
			for i, v := range grads[0] {
				want := 0.0
				if i == at[c.winner] {
					want = 3
				}
				if v != want {
					t.Errorf("%s: %s: dx %d is %v, want %v", machine, c.name, i, v, want)
				}
			}
		}
	}

	// Gorgonia's op, called outside a machine, where its panic does not end the process.
	g := G.NewGraph()
	x := leaf(g, "x", tensor.Shape{1, 1, 2, 2}, []float64{0, 0, 0, 0})
	pool := must(t)(G.MaxPool2D(x, tensor.Shape{2, 2}, []int{0, 0}, []int{2, 2}))
	grads, err := G.Grad(must(t)(G.Sum(pool)), x)
	if err != nil {
		t.Fatal(err)
	}
	apply := func(window ...float64) (y, dx G.Value, err error) {
		x := tensor.New(tensor.WithShape(1, 1, 2, 2), tensor.WithBacking(window))
		err = refused(func() error {
			var err error
			if y, err = pool.Op().Do(x); err != nil {
				return err
			}
			dx, err = grads[0].Op().Do(x, y, tensor.New(tensor.WithShape(1, 1, 1, 1), tensor.WithBacking([]float64{1})))
			return err
		})
		return y, dx, err
	}
	if y, dx, err := apply(5, 7, 3, 4); err != nil || y.Data().([]float64)[0] != 7 || fmt.Sprint(dx.Data()) != "[0 1 0 0]" {
		t.Fatalf("Gorgonia's op on plain numbers: %v, %v, %v", y, dx, err)
	}
	for _, window := range [][]float64{{nan, nan, nan, nan}, {low, low, low, low}} {
		if _, _, err := apply(window...); err == nil {
			mended(t, fmt.Sprintf("MaxPool2D's derivative panics on a window of %v", window))
		}
	}
	if y, _, err := apply(5, nan, 3, 4); err == nil && math.IsNaN(y.Data().([]float64)[0]) {
		mended(t, fmt.Sprintf("MaxPool2D drops a NaN: it gives %v", y.Data()))
	}
}

// The mean of a window is divided by the window's size, not by anything of the image's, at stride 2
// and elsewhere.
func TestAvgPoolStride2(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 0))
	xs := tensor.Shape{2, 3, 6, 8}
	xv := integers[float64](r, xs.TotalSize(), 50)
	pg, err := kernel.NewPool(2, 3, 6, 8, 2, 2, kernel.Spatial{StrideH: 2, StrideW: 2, DilationH: 1, DilationW: 1})
	if err != nil {
		t.Fatal(err)
	}
	dy := integers[float64](r, pg.YLen(), 50)
	wantY, wantX := make([]float64, pg.YLen()), make([]float64, pg.XLen())
	kernel.RefSumWindows(pg, wantY, xv)
	kernel.RefSpreadWindows(pg, wantX, dy)
	for i := range wantY {
		wantY[i] /= 4
	}
	for i := range wantX {
		wantX[i] /= 4
	}
	for _, machine := range machines {
		for _, count := range []bool{true, false} {
			m, g := must(t), G.NewGraph()
			x := leaf(g, "x", xs, xv)
			y := m(ops.AvgPool2D(x, ops.PoolParams{Window: ops.Both(2), Stride: ops.Both(2), ExcludePadding: !count}))
			value, grads := mustEvaluate[float64](t, machine, m(costOf(y, dy)), y, x)
			equal(t, machine+": y", value, wantY)
			equal(t, machine+": dx", grads[0], wantX)
		}
	}

	g := G.NewGraph()
	x := leaf(g, "x", xs, xv)
	y := must(t)(G.AveragePool2D(x, tensor.Shape{2, 2}, []int{0, 0}, []int{2, 2}))
	if value, _ := mustEvaluate[float64](t, tape, must(t)(costOf(y, dy)), y, x); !differ(value, wantY) {
		mended(t, "AveragePool2D divides by the input's width")
	}
}
