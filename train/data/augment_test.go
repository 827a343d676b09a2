package data

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"gorgonia.org/tensor"
)

// numbered is a picture whose elements are their own indices, from 1.
func numbered(shape tensor.Shape) []float32 {
	x := make([]float32, shape.TotalSize())
	for i := range x {
		x[i] = float32(i + 1)
	}
	return x
}

// TestFlip: about half of the pictures are mirrored, and the others are as they were.
func TestFlip(t *testing.T) {
	shape := tensor.Shape{2, 2, 3}
	mirrored := []float32{3, 2, 1, 6, 5, 4, 9, 8, 7, 12, 11, 10}
	a := NewAugmenter([]Augment{Flip{}}, shape, 3)
	flips := 0
	for i := range 400 {
		x := numbered(shape)
		a.Apply(1, i, x)
		switch {
		case slices.Equal(x, mirrored):
			flips++
		case !slices.Equal(x, numbered(shape)):
			t.Fatalf("got %v", x)
		}
	}
	if flips < 150 || flips > 250 { // five deviations from 200
		t.Errorf("%d of 400 were mirrored", flips)
	}
}

// TestCrop: each picture is the old one, moved by whole pixels, with the fill of its channel around
// it. All moves occur.
func TestCrop(t *testing.T) {
	const c, h, w, pad = 2, 4, 5, 2
	shape := tensor.Shape{c, h, w}
	old, fill := numbered(shape), []float32{-1, -2}
	a := NewAugmenter([]Augment{Crop{Pad: pad, Fill: fill}}, shape, 3)
	seen := map[[2]int]bool{}
	for i := range 600 {
		x := numbered(shape)
		a.Apply(1, i, x)
		found := false
		for dy := -pad; dy <= pad; dy++ {
			for dx := -pad; dx <= pad; dx++ {
				same := true
				for k := range x {
					ch, y, xx := k/(h*w), k/w%h+dy, k%w+dx
					want := fill[ch]
					if y >= 0 && y < h && xx >= 0 && xx < w {
						want = old[ch*h*w+y*w+xx]
					}
					same = same && x[k] == want
				}
				if same {
					found, seen[[2]int{dy, dx}] = true, true
				}
			}
		}
		if !found {
			t.Fatalf("got %v, which is no move", x)
		}
	}
	if len(seen) != (2*pad+1)*(2*pad+1) {
		t.Errorf("%d moves occurred, want 25", len(seen))
	}
}

// TestAffine: a plane that is linear stays linear inside, with the slopes that turning, moving and
// scaling give it; and it is not the old one.
func TestAffine(t *testing.T) {
	const side = 33
	shape := tensor.Shape{1, side, side}
	a := NewAugmenter([]Augment{Affine{Degrees: 30, Shift: 3, Scale: 0.2}}, shape, 4)
	for i := range 50 {
		x := make([]float32, side*side)
		for k := range x {
			x[k] = float32(k%side) + 100 // grows by 1 to the right
		}
		a.Apply(2, i, x)
		at := func(y, xx int) float64 { return float64(x[y*side+xx]) }
		const m = side / 2
		right, down := at(m, m+1)-at(m, m), at(m+1, m)-at(m, m)
		angle, scale := math.Atan2(down, right)*180/math.Pi, 1/math.Hypot(right, down)
		// The slope is of float32s near 120, each with an error of 2⁻¹⁸ after three roundings.
		if !(math.Abs(angle) <= 30+0.01) || !(scale >= 1/1.2-0.001 && scale <= 1.2+0.001) {
			t.Fatalf("sample %d is turned by %v degrees and scaled by %v", i, angle, scale)
		}
		if moved := at(m, m) - 100 - m; !(math.Abs(moved) <= 3*math.Sqrt2*1.2+0.01) {
			t.Fatalf("sample %d is moved by %v pixels", i, moved)
		}
		if right == 1 && down == 0 && at(m, m) == 100+m {
			t.Errorf("sample %d was left alone", i)
		}
	}
	x := numbered(shape)
	if (Affine{}).Augment(rand.New(rand.NewPCG(1, 1)), x, shape); !slices.Equal(x, numbered(shape)) {
		t.Error("an Affine that does nothing changed the picture")
	}
}

// TestAugmentSeed: the numbers follow from seed, epoch and index, and nothing else.
func TestAugmentSeed(t *testing.T) {
	shape := tensor.Shape{1, 8, 9}
	apply := func(seed uint64, epoch, i int) []float32 {
		x := numbered(shape)
		a := NewAugmenter([]Augment{Affine{Shift: 2}}, shape, seed)
		a.Apply(epoch, i+1, slices.Clone(x)) // others in between change nothing
		a.Apply(epoch, i, x)
		return x
	}
	want := apply(1, 2, 3)
	if !slices.Equal(apply(1, 2, 3), want) {
		t.Error("the same sample differs")
	}
	for _, other := range [][]float32{apply(2, 2, 3), apply(1, 3, 3), apply(1, 2, 4)} {
		if slices.Equal(other, want) {
			t.Error("another seed, epoch or index gives the same sample")
		}
	}
	for _, f := range []Augment{Flip{}, Crop{Pad: 1 << 40}, Crop{Pad: -1}, Affine{Shift: math.Inf(1)}, Affine{Degrees: math.NaN()}, Affine{Scale: -3}} {
		for _, shape := range []tensor.Shape{{3}, {1, 1, 1}, {2, 3, 2}, {}} { // none of them panics
			f.Augment(rand.New(rand.NewPCG(1, 1)), numbered(shape), shape)
		}
	}
}

// TestBlack: borders are what black pixels become.
func TestBlack(t *testing.T) {
	n := &Normalisation{Mean: []float64{0.5, 0.25}, Std: []float64{0.25, 0.5}}
	if got := n.Black(); !slices.Equal(got, []float32{-2, -0.5}) {
		t.Errorf("got %v, want [-2 -0.5]", got)
	}
	if (*Normalisation)(nil).Black() != nil {
		t.Error("there is a black without a normalisation")
	}
}
