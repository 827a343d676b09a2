package kernel

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/convgrad/convgrad/internal/kerneltest"
)

// Matrices of any taps, applied to integers at the ends of their pages, equal plain loops. A NaN
// comes out only where it has a weight.
func TestSparsePair(t *testing.T) {
	defer SetThreads(SetThreads(1)) // a fault is caught on the caller's goroutine only
	everyTier(t, func(t *testing.T) { both(t, testSparsePair[float32], testSparsePair[float64]) })
}

func testSparsePair[T Float](t *testing.T) {
	seed := rand.Uint64()
	r := rand.New(rand.NewPCG(seed, 8))
	for k := range random(150) {
		rows, cols := 1+r.IntN(12), 1+r.IntN(90)
		down, across := randomTaps(r, rows, 1+r.IntN(12)), randomTaps(r, cols, 1+r.IntN(90))
		if k%5 == 0 {
			down = AxisMap{Kind: PadReplicate, Window: Window{In: rows, Out: rows}}.matrix()
		}
		pair := newSparsePair(sparseOf[T](down, rows, 1), sparseOf[T](across, cols, 1), rows, cols)
		for _, side := range []kerneltest.Side{kerneltest.Begin, kerneltest.End} {
			fence := kerneltest.NewFence(side)
			const planes = 2
			x := kerneltest.Put(fence, integers[T](r, planes*pair.in(), 8))
			y := kerneltest.Put(fence, make([]T, planes*pair.out()))
			x[r.IntN(len(x))] = T(math.NaN())
			err := kerneltest.Catch(func() { pair.apply(y, x, planes) })
			got := append([]T(nil), y...)
			want := applyTaps(x, down, across, rows, cols)
			fence.Free()
			what := fmt.Sprintf("seed %d, %d×%d at the %v of a page, taps %v and %v", seed, rows, cols, side, down, across)
			if err != nil {
				t.Fatalf("%s: %v", what, err)
			}
			for i := range got {
				if got[i] != want[i] && (got[i] == got[i] || want[i] == want[i]) {
					t.Fatalf("%s: element %d is %v, want %v", what, i, got[i], want[i])
				}
			}
		}
	}
}

// randomTaps is a matrix of out rows, near a diagonal as a rule, with weights that are integers.
func randomTaps(r *rand.Rand, in, out int) *tapMatrix {
	t := &tapMatrix{start: []int32{0}}
	wide, most := 1+r.IntN(1+in/2), r.IntN(5)
	for p := range out {
		for range r.IntN(most + 1) {
			i := min(p*in/out+r.IntN(wide), in-1)
			t.index, t.weight = append(t.index, int32(i)), append(t.weight, float64(r.IntN(7)-3))
		}
		t.start = append(t.start, int32(len(t.index)))
	}
	return t
}

func applyTaps[T Float](x []T, down, across *tapMatrix, rows, cols int) (y []T) {
	for ; len(x) > 0; x = x[rows*cols:] {
		for p := range len(down.start) - 1 {
			for q := range len(across.start) - 1 {
				var sum T
				for i := down.start[p]; i < down.start[p+1]; i++ {
					for k := across.start[q]; k < across.start[q+1]; k++ {
						sum += T(down.weight[i]*across.weight[k]) * x[int(down.index[i])*cols+int(across.index[k])]
					}
				}
				y = append(y, sum)
			}
		}
	}
	return y
}
