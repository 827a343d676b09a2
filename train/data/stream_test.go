package data

import (
	"iter"
	"slices"
	"testing"

	"github.com/pkg/errors"
	"gorgonia.org/tensor"
)

// counting is a stream of 1000·epoch + 0, 1, 2 … in memory that it uses again.
type counting struct{ n, fails int }

func (s counting) Len() int          { return s.n }
func (counting) Shape() tensor.Shape { return tensor.Shape{1, 1, 2} }
func (counting) Classes() []string   { return []string{"even", "odd"} }
func (s counting) Epoch(n int) iter.Seq2[Sample, error] {
	return func(yield func(Sample, error) bool) {
		x := make([]float32, 2)
		for i := range s.n {
			if s.fails > 0 && i == s.fails {
				yield(Sample{}, errors.New("the line is dead"))
				return
			}
			x[0], x[1] = float32(1000*n+i), -x[0]
			if !yield(Sample{x, Target{Class: i % 2}}, nil) {
				return
			}
		}
	}
}

// firsts are the first elements of an epoch's samples.
func firsts(t *testing.T, s Stream, epoch, most int) (all []int) {
	t.Helper()
	for x, err := range s.Epoch(epoch) {
		if err != nil {
			t.Fatal(err)
		}
		if int(x.X[0])%2 != x.Class {
			t.Fatalf("%v is of class %d", x.X, x.Class)
		}
		if all = append(all, int(x.X[0])); len(all) == most {
			break
		}
	}
	return all
}

// TestShuffleStream: each sample comes once, in an order that seed and epoch decide, and none much
// before its turn.
func TestShuffleStream(t *testing.T) {
	const n = 61
	for _, buffer := range []int{1, 7, n, 3 * n} {
		s, err := ShuffleStream(counting{n: n}, buffer, 5)
		if err != nil {
			t.Fatal(err)
		}
		first, again, other := firsts(t, s, 2, 0), firsts(t, s, 2, 0), firsts(t, s, 3, 0)
		if !slices.Equal(first, again) {
			t.Errorf("a buffer of %d gives %v, then %v", buffer, first, again)
		}
		for i, v := range first {
			if v-2000-i > buffer {
				t.Errorf("a buffer of %d: %d comes at %d", buffer, v, i)
			}
		}
		for i := range other {
			other[i] -= 1000
		}
		if same := slices.Equal(first, other); same != (buffer == 1) {
			t.Errorf("a buffer of %d: epochs 2 and 3 in one order: %v", buffer, same)
		}
		if part := firsts(t, s, 2, 9); !slices.Equal(part, first[:9]) {
			t.Errorf("a buffer of %d begins with %v, want %v", buffer, part, first[:9])
		}
		if slices.Sort(first); first[0] != 2000 || first[n-1] != 2000+n-1 || len(slices.Compact(first)) != n {
			t.Errorf("a buffer of %d gives %v", buffer, first)
		}
	}
}

func TestStreamErrors(t *testing.T) {
	_, err := ShuffleStream(nil, 3, 1)
	wants(t, err, "nil")
	_, err = ShuffleStream(counting{}, 3, 1)
	wants(t, err, "0 samples")
	_, err = ShuffleStream(counting{n: 3}, 0, 1)
	wants(t, err, "ShuffleStream: the buffer is of 0 samples, want 1 to")
	half := &Normalisation{Mean: []float64{0.5}, Std: []float64{0.5}}
	_, err = NormaliseStream(counting{n: 3}, nil)
	wants(t, err, "nil")
	_, err = NormaliseStream(counting{n: 3}, &Normalisation{Mean: []float64{0, 0}, Std: []float64{1, 1}})
	wants(t, err, "2")
	s, err := NormaliseStream(counting{n: 3, fails: 2}, half)
	if err != nil {
		t.Fatal(err)
	}
	if s, err = ShuffleStream(s, 2, 1); err != nil {
		t.Fatal(err)
	}
	_, err = NormaliseStream(s, half)
	wants(t, err, "normalised already")
	for _, err = range s.Epoch(1) {
		if err != nil {
			break
		}
	}
	wants(t, err, "the line is dead")
	var neither struct{ Dataset }
	wants(t, Check(neither), "want a Set, which has Read, or a Stream, which has Epoch")
}

// TestNormaliseStream: a stream's samples are those of a set with the same numbers.
func TestNormaliseStream(t *testing.T) {
	n := &Normalisation{Mean: []float64{3}, Std: []float64{4}}
	s, err := NormaliseStream(counting{n: 5}, n)
	if err != nil {
		t.Fatal(err)
	}
	i := 0
	for x, err := range s.Epoch(0) {
		if want := float32((float64(i) - 3) / 4); err != nil || x.X[0] != want {
			t.Errorf("sample %d is %v, %v, want %v", i, x.X, err, want)
		}
		i++
	}
	if got := NormalisationOf(s); got == nil || got.Mean[0] != 3 {
		t.Errorf("the normalisation is %v", got)
	}
}
