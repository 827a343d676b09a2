package data

import (
	"bytes"
	"runtime"
	"slices"
	"testing"
)

// TestDrawnDigitsAreAFunctionOfTheSeed holds for any number of cores and of images.
func TestDrawnDigitsAreAFunctionOfTheSeed(t *testing.T) {
	draw := func(n int, seed uint64, cores int) [2][]byte {
		defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(cores))
		training, test, err := Digits(n, 40, seed)
		if err != nil {
			t.Fatal(err)
		}
		return [2][]byte{slices.Concat(training.pictures...), slices.Concat(test.pictures...)}
	}
	a, b, more, other := draw(60, 5, 1), draw(60, 5, 3), draw(90, 5, 2), draw(60, 6, 2)
	if !bytes.Equal(a[0], b[0]) || !bytes.Equal(a[1], b[1]) {
		t.Error("one core and three draw different images")
	}
	if !bytes.Equal(a[0], more[0][:len(a[0])]) || !bytes.Equal(a[1], more[1]) {
		t.Error("an image changes with the number of images")
	}
	if bytes.Equal(a[0], other[0]) {
		t.Error("two seeds draw the same images")
	}
}

// TestDrawnDigitsDiffer looks for an image that is in the dataset twice, above all in training and
// test, for blank images, and for classes that are not equally many.
func TestDrawnDigitsDiffer(t *testing.T) {
	training, test, err := Digits(1000, 500, 1)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, s := range []*Images{training, test} {
		var count [10]int
		for i, l := range s.labels {
			count[l]++
			image := s.pictures[i]
			if seen[string(image)] {
				t.Errorf("image %d of %d is there twice", i, s.Len())
			}
			seen[string(image)] = true
			var lo, hi uint8 = 255, 0
			for _, v := range image {
				lo, hi = min(lo, v), max(hi, v)
			}
			if hi-lo < 64 {
				t.Errorf("image %d of %d, a %d, has bytes from %d to %d: no digit can be seen", i, s.Len(), l, lo, hi)
			}
		}
		for digit, c := range count {
			if c != s.Len()/10 {
				t.Errorf("%d images of a %d among %d, want a tenth", c, digit, s.Len())
			}
		}
	}
}

func TestDrawDigitsErrors(t *testing.T) {
	for _, n := range [][2]int{{0, 1}, {1, 0}, {-1, 1}, {1, -5}, {maxDrawn + 1, 1}, {1, 1 << 40}} {
		_, _, err := Digits(n[0], n[1], 1)
		wants(t, err, "data: digits:", "want 1 to")
	}
}
