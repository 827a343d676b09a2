package data

import (
	"math"
	"math/rand/v2"
	"slices"

	"github.com/pkg/errors"
	"gorgonia.org/tensor"
)

// A Set is a number of samples. Its length, shape and classes do not change.
//
//	type xor struct{}
//
//	func (xor) Len() int            { return 4 }
//	func (xor) Shape() tensor.Shape { return tensor.Shape{2} }
//	func (xor) Classes() []string   { return []string{"equal", "different"} }
//	func (xor) Read(i int, x []float32) (data.Target, error) {
//		x[0], x[1] = float32(i&1), float32(i>>1)
//		return data.Target{Class: i&1 ^ i>>1}, nil
//	}
type Set interface {
	Dataset
	// Read writes sample i to all of x, which has Shape().TotalSize() elements, and returns its
	// target. It gives the same sample for the same i each time. Several goroutines may call it.
	Read(i int, x []float32) (Target, error)
}

// A Target is what a network should make of a sample: a class, or values for a loss that compares
// the output with a tensor. A target with values is not a class.
type Target struct {
	Class  int
	Values []float32
}

// maxSample bounds the elements of a sample, and maxSamples those of a set: beyond them sizes are
// slips or attacks, and products of them could overflow.
const (
	maxSample  = 1 << 28
	maxSamples = 1 << 40
	maxClasses = 1 << 16
)

// Check returns an error that says what is wrong if a dataset does not hold together: it is neither
// a Set nor a Stream, has no samples, a shape without positive sides or of more than 2²⁸ elements,
// one class, more than 2¹⁶, or a name that two classes share.
func Check(s Dataset) error {
	switch s.(type) {
	case nil:
		return errors.New("data: the set is nil")
	case Set, Stream:
	default:
		return errors.Errorf("data: the dataset is %T, want a Set, which has Read, or a Stream, which has Epoch", s)
	}
	if n := s.Len(); n < 1 || n > maxSamples {
		return errors.Errorf("data: the set has %d samples, want at least 1", n)
	}
	if _, err := sampleSize(s.Shape()); err != nil {
		return err
	}
	return checkClasses(s.Classes())
}

func checkClasses(classes []string) error {
	if len(classes) == 1 || len(classes) > maxClasses {
		return errors.Errorf("data: the set has %d classes, want 2 to %d, or none", len(classes), maxClasses)
	}
	seen := make(map[string]int, len(classes))
	for i, name := range classes {
		if first, twice := seen[name]; twice {
			return errors.Errorf("data: classes %d and %d are both named %q", first, i, name)
		}
		seen[name] = i
	}
	return nil
}

// sampleSize is the number of elements of a sample. It does not overflow.
func sampleSize(s tensor.Shape) (int, error) {
	size := 1
	for _, side := range s {
		if side < 1 || side > maxSample/size {
			return 0, errors.Errorf("data: samples have shape %v, want positive sides and at most %d elements", s, maxSample)
		}
		size *= side
	}
	if len(s) == 0 {
		return 0, errors.Errorf("data: samples have shape %v, want at least one side", s)
	}
	return size, nil
}

// checkRead returns an error for an index or a destination that does not fit.
func checkRead(i, n int, x []float32, size int) error {
	if i < 0 || i >= n {
		return errors.Errorf("data: Read: sample %d, want 0 to %d", i, n-1)
	}
	if len(x) != size {
		return errors.Errorf("data: Read: x has %d elements, want %d", len(x), size)
	}
	return nil
}

// shuffles keeps the random numbers of orders apart from other uses of the same seed.
const shuffles = 1 << 62

// Shuffle returns the numbers 0 to n−1 in the order of that epoch: a function of the arguments.
// It returns nil for a negative n.
func Shuffle(n int, seed uint64, epoch int) []int {
	if n < 0 {
		return nil
	}
	return rand.New(rand.NewPCG(seed, shuffles|uint64(epoch))).Perm(n)
}

// subset is some samples of a set, in an order of its own.
type subset struct {
	Set
	indices []int
}

// Subset returns the samples of s that indices names, in that order. An index may occur twice.
//
// It returns an error if s is nil, or an index is not of a sample.
func Subset(s Set, indices []int) (Set, error) {
	if s == nil {
		return nil, errors.New("data: Subset: the set is nil")
	}
	for at, i := range indices {
		if i < 0 || i >= s.Len() {
			return nil, errors.Errorf("data: Subset: index %d is %d, want 0 to %d", at, i, s.Len()-1)
		}
	}
	return &subset{s, slices.Clone(indices)}, nil
}

// Split divides a set at random: held takes the share of fraction, rest the others, both in the
// order of s. The seed alone decides.
//
// It returns an error if s is nil, or either part would be empty.
func Split(s Set, fraction float64, seed uint64) (rest, held Set, err error) {
	if s == nil {
		return nil, nil, errors.New("data: Split: the set is nil")
	}
	n := s.Len()
	if !(fraction > 0 && fraction < 1) {
		return nil, nil, errors.Errorf("data: Split: the fraction is %v, want between 0 and 1", fraction)
	}
	count := int(math.Round(fraction * float64(n)))
	if count < 1 || count >= n {
		return nil, nil, errors.Errorf("data: Split: %v of %d samples is %d, want at least one in each part", fraction, n, count)
	}
	order := Shuffle(n, seed, -1)
	out, in := order[:count], order[count:]
	slices.Sort(out)
	slices.Sort(in)
	return &subset{s, in}, &subset{s, out}, nil
}

// Len implements Set.
func (s *subset) Len() int { return len(s.indices) }

// Read implements Set.
func (s *subset) Read(i int, x []float32) (Target, error) {
	if i < 0 || i >= len(s.indices) {
		return Target{}, errors.Errorf("data: Read: sample %d, want 0 to %d", i, len(s.indices)-1)
	}
	return s.Set.Read(s.indices[i], x)
}

// normalisation is the set's.
func (s *subset) normalisation() *Normalisation { return NormalisationOf(s.Set) }
