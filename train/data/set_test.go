package data

import (
	"fmt"
	"math"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/pkg/errors"
	"gorgonia.org/tensor"
)

// wants fails unless err holds all the parts.
func wants(t *testing.T, err error, parts ...string) {
	t.Helper()
	if err == nil {
		t.Fatalf("no error, want one with %q", parts)
	}
	for _, p := range parts {
		if !strings.Contains(err.Error(), p) {
			t.Errorf("the error is %q, want it to say %q", err, p)
		}
	}
}

// claims is a set that says of itself whatever it likes.
type claims struct {
	n       int
	shape   tensor.Shape
	classes []string
}

func (s claims) Len() int            { return s.n }
func (s claims) Shape() tensor.Shape { return s.shape }
func (s claims) Classes() []string   { return s.classes }
func (s claims) Read(i int, x []float32) (Target, error) {
	if i == 13 {
		return Target{}, errors.New("unlucky")
	}
	for j := range x {
		x[j] = float32(i + j)
	}
	return Target{Class: i % 2}, nil
}

func TestCheck(t *testing.T) {
	if err := Check(claims{3, tensor.Shape{2, 3}, []string{"a", "b"}}); err != nil {
		t.Fatal(err)
	}
	if err := Check(claims{3, tensor.Shape{7}, nil}); err != nil {
		t.Fatal(err)
	}
	ab := []string{"a", "b"}
	for _, c := range []struct {
		name string
		set  Set
		want string
	}{
		{"no set", nil, "the set is nil"},
		{"no samples", claims{0, tensor.Shape{2}, ab}, "0 samples, want at least 1"},
		{"a negative number of samples", claims{-3, tensor.Shape{2}, ab}, "-3 samples"},
		{"no sides", claims{3, nil, ab}, "want at least one side"},
		{"a side of zero", claims{3, tensor.Shape{1, 0, 3}, ab}, "want positive sides"},
		{"two negative sides", claims{3, tensor.Shape{1, -2, -3}, ab}, "want positive sides"},
		{"sides whose product overflows to 0", claims{3, tensor.Shape{1 << 32, 1 << 32, 1}, ab}, "want positive sides and at most 268435456 elements"},
		{"sides whose product overflows to 2", claims{3, tensor.Shape{1 << 33, 1<<31 + 1, 1 << 31}, ab}, "at most 268435456 elements"},
		{"one class", claims{3, tensor.Shape{2}, ab[:1]}, "1 classes, want 2 to 65536"},
		{"a class twice", claims{3, tensor.Shape{2}, []string{"a", "b", "a"}}, `classes 0 and 2 are both named "a"`},
	} {
		t.Run(c.name, func(t *testing.T) { wants(t, Check(c.set), "data: ", c.want) })
	}
}

func TestNewImagesErrors(t *testing.T) {
	ab := []string{"a", "b"}
	for _, c := range []struct {
		name   string
		shape  tensor.Shape
		pixels int
		labels []int
		want   string
	}{
		{"bytes missing", tensor.Shape{1, 2, 3}, 11, []int{0, 1}, "11 bytes of pixels for 2 images"},
		{"too many labels", tensor.Shape{1, 2, 3}, 12, []int{0, 1, 0}, "12 bytes of pixels for 3 images"},
		{"no images", tensor.Shape{1, 2, 3}, 0, nil, "0 samples"},
		{"a label too high", tensor.Shape{1, 2, 3}, 12, []int{0, 2}, "label of sample 1 is 2, want 0 to 1"},
		{"a negative label", tensor.Shape{1, 2, 3}, 12, []int{-1, 1}, "label of sample 0 is -1"},
		{"rank", tensor.Shape{2, 3}, 12, []int{0, 1}, "want C×H×W"},
		{"a product that overflows to 0", tensor.Shape{1 << 32, 1 << 32, 1}, 0, []int{0}, "at most 268435456 elements"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := NewImages(c.shape, ab, make([]uint8, c.pixels), c.labels)
			wants(t, err, "data: ", c.want)
		})
	}
	_, err := NewSamples(tensor.Shape{2}, nil, make([]float32, 4), []Target{{Values: []float32{1}}, {Class: 0}})
	wants(t, err, "target of sample 1 is class 0")
	_, err = NewSamples(tensor.Shape{2}, nil, make([]float32, 5), make([]Target, 2))
	wants(t, err, "5 numbers for 2 samples")
}

// TestNilSets: a nil set gives errors, and no panic.
func TestNilSets(t *testing.T) {
	var s *Images
	_, err := s.Read(0, nil)
	wants(t, err, "nil")
	_, err = s.Pixels(0)
	wants(t, err, "picture 0")
	wants(t, Check(s), "0 samples")
	_, err = Measure(nil)
	wants(t, err, "nil")
	_, err = Normalise(nil, nil)
	wants(t, err, "nil")
	_, err = Subset(nil, nil)
	wants(t, err, "nil")
	_, _, err = Split(nil, 0.5, 1)
	wants(t, err, "nil")
	wants(t, (*Normalisation)(nil).Apply(tensor.Shape{1}, nil), "nil")
}

// pictures is a random set of pictures of three channels that differ in brightness and contrast.
func pictures(t *testing.T, n int) *Images {
	t.Helper()
	t.Log("seed 7")
	r := rand.New(rand.NewPCG(7, 0))
	pixels, labels := make([]uint8, n*3*4*5), make([]int, n)
	for i := range pixels {
		c := i / 20 % 3
		pixels[i] = uint8(60*c + r.IntN(20*(c+1)))
	}
	for i := range labels {
		labels[i] = r.IntN(2)
	}
	s, err := NewImages(tensor.Shape{3, 4, 5}, []string{"a", "b"}, pixels, labels)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestNormalisationIsPerChannel: after it each channel has mean 0 and deviation 1, whichever way
// the set is kept, at any number of cores.
func TestNormalisationIsPerChannel(t *testing.T) {
	images := pictures(t, 200)
	x := make([]float32, 200*60)
	targets := make([]Target, 200)
	for i := range targets {
		var err error
		if targets[i], err = images.Read(i, x[i*60:][:60]); err != nil {
			t.Fatal(err)
		}
	}
	kept, err := NewSamples(tensor.Shape{3, 4, 5}, images.Classes(), x, targets)
	if err != nil {
		t.Fatal(err)
	}
	first, err := Measure(images)
	if err != nil {
		t.Fatal(err)
	}
	for name, s := range map[string]Set{"bytes": images, "numbers": kept} {
		n, err := Measure(s)
		if err != nil {
			t.Fatal(err)
		}
		for c := range 3 {
			// Bytes are rounded to float32 where they are read as numbers: an error of 2⁻²⁵ each.
			if math.Abs(n.Mean[c]-first.Mean[c]) > 0x1p-24 || math.Abs(n.Std[c]-first.Std[c]) > 0x1p-22 {
				t.Errorf("%s: channel %d has mean %v and deviation %v, want %v and %v", name, c, n.Mean[c], n.Std[c], first.Mean[c], first.Std[c])
			}
		}
		if n.Mean[1] < n.Mean[0]+0.2 || n.Std[2] < 2*n.Std[0] {
			t.Errorf("%s: the channels' means are %v and deviations %v, want them apart", name, n.Mean, n.Std)
		}
		func() {
			defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(5))
			again, err := Measure(s)
			if err != nil || !slices.Equal(again.Mean, n.Mean) || !slices.Equal(again.Std, n.Std) {
				t.Errorf("%s: five cores measure %v (%v), want %v", name, again, err, n)
			}
		}()
		normal, err := Normalise(s, nil)
		if err != nil {
			t.Fatal(err)
		}
		got, err := Measure(normal)
		if err != nil {
			t.Fatal(err)
		}
		for c := range 3 {
			// Elements are of magnitude 2 and rounded to 2⁻²³ of themselves, three times.
			if math.Abs(got.Mean[c]) > 0x1p-20 || math.Abs(got.Std[c]-1) > 0x1p-20 {
				t.Errorf("%s: channel %d has mean %v and deviation %v afterwards, want 0 and 1", name, c, got.Mean[c], got.Std[c])
			}
		}
		if NormalisationOf(s) != nil || NormalisationOf(normal) == nil {
			t.Errorf("%s: got %v and %v, want none and one", name, NormalisationOf(s), NormalisationOf(normal))
		}
		_, err = Normalise(normal, nil)
		wants(t, err, "normalised already")
		half, err := Subset(normal, []int{4, 2})
		if err != nil || NormalisationOf(half) == nil {
			t.Errorf("%s: a part of it has %v (%v), want the normalisation of the whole", name, NormalisationOf(half), err)
		}
	}
}

func TestNormaliseErrors(t *testing.T) {
	s := pictures(t, 3)
	for want, n := range map[string]*Normalisation{
		"2 means and 3 deviations": {[]float64{0, 0}, []float64{1, 1, 1}},
		"deviation 0":              {[]float64{0, 0, 0}, []float64{1, 0, 1}},
		"deviation NaN":            {[]float64{0, 0, 0}, []float64{1, math.NaN(), 1}},
		"mean +Inf":                {[]float64{0, math.Inf(1), 0}, []float64{1, 1, 1}},
	} {
		_, err := Normalise(s, n)
		wants(t, err, "data: ", want)
	}
	_, err := Measure(claims{20, tensor.Shape{2}, nil})
	wants(t, err, "sample 13", "unlucky")
	// A channel that does not vary is not divided by 0.
	flat, err := NewImages(tensor.Shape{1, 2, 2}, []string{"a", "b"}, []uint8{9, 9, 9, 9, 9, 9, 9, 9}, []int{0, 1})
	if err != nil {
		t.Fatal(err)
	}
	n, err := Measure(flat)
	if err != nil || n.Std[0] != 1 {
		t.Errorf("got %v, %v, want a deviation of 1", n, err)
	}
}

// TestShuffle: each order holds every number once, and depends on seed and epoch.
func TestShuffle(t *testing.T) {
	const n = 100
	sorted := make([]int, n)
	for i := range sorted {
		sorted[i] = i
	}
	seen := map[string]bool{fmt.Sprint(sorted): true}
	for _, seed := range []uint64{1, 2} {
		for epoch := 1; epoch <= 3; epoch++ {
			order := Shuffle(n, seed, epoch)
			if again := Shuffle(n, seed, epoch); !slices.Equal(again, order) {
				t.Errorf("seed %d, epoch %d: another order the second time", seed, epoch)
			}
			if name := fmt.Sprint(order); seen[name] {
				t.Errorf("seed %d, epoch %d: the order is that of another, or sorted", seed, epoch)
			} else {
				seen[name] = true
			}
			if slices.Sort(order); !slices.Equal(order, sorted) {
				t.Errorf("seed %d, epoch %d: the order does not hold every number once", seed, epoch)
			}
		}
	}
	if Shuffle(-1, 1, 1) != nil {
		t.Error("got an order of −1 numbers")
	}
}

// TestSplit: the parts hold every sample once, by the seed.
func TestSplit(t *testing.T) {
	s := claims{40, tensor.Shape{1}, nil}
	read := func(s Set) (all []int) {
		x := make([]float32, 1)
		for i := range s.Len() {
			if _, err := s.Read(i, x); err != nil {
				t.Fatal(err)
			}
			all = append(all, int(x[0]))
		}
		return all
	}
	s.n = 13 // sample 13 cannot be read
	rest, held, err := Split(s, 0.25, 5)
	if err != nil || rest.Len() != 10 || held.Len() != 3 {
		t.Fatalf("got %v and %v, %v, want 10 and 3 samples", rest, held, err)
	}
	all := append(read(rest), read(held)...)
	if slices.Sort(all); !slices.Equal(all, []int{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12}) {
		t.Errorf("the parts hold %v, want every sample once", all)
	}
	_, other, err := Split(s, 0.25, 6)
	if err != nil || slices.Equal(read(other), read(held)) {
		t.Errorf("another seed holds %v back as well (%v)", read(held), err)
	}
	for _, f := range []float64{0, 1, -1, math.NaN(), 0.01, 0.999} {
		_, _, err := Split(s, f, 1)
		wants(t, err, "data: Split")
	}
	_, err = Subset(s, []int{3, 13})
	wants(t, err, "index 1 is 13, want 0 to 12")
	_, err = held.Read(3, make([]float32, 1))
	wants(t, err, "sample 3, want 0 to 2")
}

// TestReadErrors: an index or a destination that does not fit is an error, whatever the set.
func TestReadErrors(t *testing.T) {
	images := pictures(t, 2)
	kept, err := NewSamples(tensor.Shape{60}, []string{"a", "b"}, make([]float32, 120), make([]Target, 2))
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range []Set{images, kept} {
		_, err := s.Read(2, make([]float32, 60))
		wants(t, err, "sample 2, want 0 to 1")
		_, err = s.Read(-1, make([]float32, 60))
		wants(t, err, "sample -1, want 0 to 1")
		_, err = s.Read(0, make([]float32, 59))
		wants(t, err, "x has 59 elements, want 60")
	}
}

func TestSources(t *testing.T) {
	for _, s := range Sources() {
		if s.About == "" {
			t.Errorf("%s says nothing about itself", s.Name)
		}
	}
	_, _, err := Open("faces", Options{})
	wants(t, err, `the dataset is "faces", want one of cifar10, digits, `, "mnist")
	_, _, err = Open("mnist", Options{})
	wants(t, err, "mnist: there is no directory", "four IDX files")
	_, _, err = Open("digits", Options{Dir: "x"})
	wants(t, err, `digits: the directory is "x", want none`)
	training, test, err := Open("digits", Options{Train: 30, Test: 20, Seed: 3})
	if err != nil || training.Len() != 30 || test.Len() != 20 || NormalisationOf(test) == nil {
		t.Errorf("got %v and %v, %v", training, test, err)
	}
	wants(t, Register(Source{Name: "x"}), "no Open")
	bad := Source{Name: "test-mismatch", About: "a test's", Open: func(Options) (Set, Set, error) {
		return claims{3, tensor.Shape{2}, nil}, claims{3, tensor.Shape{3}, nil}, nil
	}}
	if err := Register(bad); err != nil {
		t.Fatal(err)
	}
	_, _, err = Open("test-mismatch", Options{})
	wants(t, err, "test-mismatch", "test samples are (3), want (2)")
	wants(t, Register(bad), `two sources named "test-mismatch"`)
	_, _, err = Open("test-mismatch", Options{})
	wants(t, err, `two sources named "test-mismatch"`)
}
