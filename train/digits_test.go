package train

import (
	"bytes"
	"context"
	"runtime"
	"testing"
)

// TestDrawnDigitsAreAFunctionOfTheSeed holds for any number of cores and of images.
func TestDrawnDigitsAreAFunctionOfTheSeed(t *testing.T) {
	draw := func(n int, seed uint64, cores int) *Dataset {
		defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(cores))
		d, err := DrawDigits(n, 40, seed)
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	a, b, more, other := draw(60, 5, 1), draw(60, 5, 3), draw(90, 5, 2), draw(60, 6, 2)
	if !bytes.Equal(a.Train.Images, b.Train.Images) || !bytes.Equal(a.Test.Images, b.Test.Images) {
		t.Error("one core and three draw different images")
	}
	if !bytes.Equal(a.Train.Images, more.Train.Images[:len(a.Train.Images)]) || !bytes.Equal(a.Test.Images, more.Test.Images) {
		t.Error("an image changes with the number of images")
	}
	if bytes.Equal(a.Train.Images, other.Train.Images) {
		t.Error("two seeds draw the same images")
	}
}

// TestDrawnDigitsDiffer looks for an image that is in the dataset twice, above all in training and test, for blank images, and for classes that are not equally many.
func TestDrawnDigitsDiffer(t *testing.T) {
	d, err := DrawDigits(1000, 500, 1)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, s := range []Split{d.Train, d.Test} {
		var count [10]int
		for i, l := range s.Labels {
			count[l]++
			image := s.Images[i*side*side:][:side*side]
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
		_, err := DrawDigits(n[0], n[1], 1)
		wants(t, err, "train: drawing digits:", "want 1 to")
	}
}

// TestDigitsNeedAConvolution: a linear model must stay well behind the article's network; that network must learn. The whole run, go run ./cmd/train, reaches 99 %, and with -model linear 65 %.
func TestDigitsNeedAConvolution(t *testing.T) {
	if testing.Short() {
		t.Skip("trains two networks")
	}
	d, err := DrawDigits(8000, 2000, 1)
	if err != nil {
		t.Fatal(err)
	}
	accuracy := map[string]float64{}
	for _, name := range []string{"article", "linear"} {
		res, err := Run(context.Background(), Config{Model: name, Loss: "cross-entropy", Epochs: 2, Batch: 32, Optimizer: "adam", Seed: 1}, d, "", nil)
		if err != nil {
			t.Fatal(err)
		}
		accuracy[name] = 100 * res.Accuracy()
		t.Logf("%s: %.2f %%", name, accuracy[name])
	}
	if accuracy["article"] < 93 {
		t.Errorf("the article's network reaches %.2f %%, want 93 %%", accuracy["article"])
	}
	if accuracy["linear"] > 80 {
		t.Errorf("a linear model reaches %.2f %%, want at most 80 %%: the digits are too easy", accuracy["linear"])
	}
}
