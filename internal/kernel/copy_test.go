package kernel

import (
	"math/rand/v2"
	"slices"
	"testing"
)

// Permute against its definition, on random orders of axes of random sides.
func TestPermute(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 1))
	for range 300 {
		rank := 1 + r.IntN(4)
		from, strides := make([]int, rank), make([]int, rank)
		total := 1
		for i := range from {
			from[i] = []int{1, 2, 3, 7, 65, 130}[r.IntN(6)]
			if total*from[i] > 1<<17 {
				from[i] = 2
			}
			total *= from[i]
		}
		step := 1
		for i := rank - 1; i >= 0; i-- {
			strides[i] = step
			step *= from[i]
		}
		order := r.Perm(rank)
		sides, d := make([]int, rank), make([]int, rank)
		for i, a := range order {
			sides[i], d[i] = from[a], strides[a]
		}
		checkPermute[float32](t, r, total, sides, d)
		checkPermute[float64](t, r, total, sides, d)
	}
}

func checkPermute[T Float](t *testing.T, r *rand.Rand, total int, sides, d []int) {
	t.Helper()
	x, y := make([]T, total), make([]T, total+1)
	for i := range x {
		x[i] = T(i)
	}
	y[total] = -1
	Permute(y[:total], x, sides, d)
	for i, v := range y[:total] {
		at, k := 0, i
		for a := len(sides) - 1; a >= 0; a-- {
			at, k = at+k%sides[a]*d[a], k/sides[a]
		}
		if v != x[at] {
			t.Fatalf("sides %v, strides %v: element %d is %v, want %v", sides, d, i, v, x[at])
		}
	}
	if y[total] != -1 {
		t.Fatalf("sides %v, strides %v: wrote beyond the end", sides, d)
	}
}

func TestBlocks(t *testing.T) {
	for _, c := range [][4]int{{3, 5, 7, 5}, {1, 100000, 100000, 100000}, {2, 70001, 70010, 80000}, {4000, 30, 31, 30}, {3, 0, 1, 1}} {
		count, n, ds, ss := c[0], c[1], c[2], c[3]
		src, dst := make([]float32, count*ss), make([]float32, count*ds)
		for i := range src {
			src[i] = float32(i + 1)
		}
		want := slices.Clone(dst)
		for i := range count {
			copy(want[i*ds:][:n], src[i*ss:][:n])
		}
		CopyBlocks(count, n, dst, ds, src, ss)
		if !slices.Equal(dst, want) {
			t.Errorf("%v: not the blocks of src", c)
		}
		ClearBlocks(count, n, dst, ds)
		if slices.ContainsFunc(dst, func(v float32) bool { return v != 0 }) {
			t.Errorf("%v: not cleared", c)
		}
	}
}
