package data

import (
	"slices"

	"github.com/pkg/errors"
	"gorgonia.org/tensor"
)

// Images is a set of pictures in memory, a byte for each pixel of each channel. Read gives a byte
// as byte/255, and normalised after [Normalise].
type Images struct {
	shape    tensor.Shape
	classes  []string
	pictures [][]uint8 // C×H×W each
	labels   []int
	norm     *Normalisation
	values   [][256]float32 // by channel: what Read makes of each byte
}

// NewImages returns the set of the pictures in pixels, one after the other, each of shape C×H×W.
// labels[i] is the class of picture i. The set keeps pixels and does not change them.
//
// It returns an error that says what was got and wanted if the numbers do not fit each other.
func NewImages(shape tensor.Shape, classes []string, pixels []uint8, labels []int) (*Images, error) {
	size, err := sampleSize(shape)
	if err != nil {
		return nil, err
	}
	if len(shape) != 3 {
		return nil, errors.Errorf("data: images have shape %v, want C×H×W", shape)
	}
	// A division, since the product of size and the number of labels may overflow.
	if len(pixels)%size != 0 || len(pixels)/size != len(labels) {
		return nil, errors.Errorf("data: %d bytes of pixels for %d images of %v, want %d each", len(pixels), len(labels), shape, size)
	}
	return newImages(shape, classes, slices.Collect(slices.Chunk(pixels, size)), slices.Clone(labels))
}

// newImages is NewImages for pictures that lie anywhere.
func newImages(shape tensor.Shape, classes []string, pictures [][]uint8, labels []int) (*Images, error) {
	s := &Images{shape: shape.Clone(), classes: slices.Clone(classes), pictures: pictures, labels: labels}
	if err := checkLabels(s.classes, s.labels); err != nil {
		return nil, err
	}
	s.setNorm(nil)
	return s, Check(s)
}

func checkLabels(classes []string, labels []int) error {
	for i, l := range labels {
		if l < 0 || l >= len(classes) {
			return errors.Errorf("data: the label of sample %d is %d, want 0 to %d", i, l, len(classes)-1)
		}
	}
	return nil
}

// setNorm works out what Read makes of a byte.
func (s *Images) setNorm(n *Normalisation) {
	s.norm = n
	s.values = make([][256]float32, s.shape[0])
	for c := range s.values {
		mean, std := 0.0, 1.0
		if n != nil {
			mean, std = n.at(c)
		}
		for b := range s.values[c] {
			s.values[c][b] = float32((float64(b)/255 - mean) / std)
		}
	}
}

func (s *Images) normalisation() *Normalisation { return s.norm }

// Len implements Set.
func (s *Images) Len() int {
	if s == nil {
		return 0
	}
	return len(s.labels)
}

// Shape implements Set.
func (s *Images) Shape() tensor.Shape {
	if s == nil {
		return nil
	}
	return s.shape.Clone()
}

// Classes implements Set.
func (s *Images) Classes() []string {
	if s == nil {
		return nil
	}
	return slices.Clone(s.classes)
}

// Read implements Set.
func (s *Images) Read(i int, x []float32) (Target, error) {
	if s == nil {
		return Target{}, errors.New("data: Read: the set is nil")
	}
	size := s.shape.TotalSize()
	if err := checkRead(i, len(s.labels), x, size); err != nil {
		return Target{}, err
	}
	plane := s.shape[1] * s.shape[2]
	pixels := s.pictures[i]
	for c := range s.values {
		values, out := &s.values[c], x[c*plane:][:plane]
		for k, b := range pixels[c*plane:][:plane] {
			out[k] = values[b]
		}
	}
	return Target{Class: s.labels[i]}, nil
}

// Pixels are the bytes of picture i, C×H×W. They are the set's own.
//
// It returns an error if there is no such picture.
func (s *Images) Pixels(i int) ([]uint8, error) {
	if s == nil || i < 0 || i >= len(s.labels) {
		return nil, errors.Errorf("data: Pixels: picture %d, want 0 to %d", i, s.Len()-1)
	}
	return s.pictures[i], nil
}

// samples is a set of numbers in memory.
type samples struct {
	shape   tensor.Shape
	classes []string
	x       []float32
	targets []Target
	size    int
}

// NewSamples returns the set of the samples in x, one after the other, each of that shape, with
// their targets. classes may be nil if all targets are values. The set keeps x and does not change
// it.
//
// It returns an error that says what was got and wanted if the numbers do not fit each other.
func NewSamples(shape tensor.Shape, classes []string, x []float32, targets []Target) (Set, error) {
	size, err := sampleSize(shape)
	if err != nil {
		return nil, err
	}
	if len(x)%size != 0 || len(x)/size != len(targets) {
		return nil, errors.Errorf("data: %d numbers for %d samples of %v, want %d each", len(x), len(targets), shape, size)
	}
	for i, t := range targets {
		if t.Values == nil && (t.Class < 0 || t.Class >= len(classes)) {
			return nil, errors.Errorf("data: the target of sample %d is class %d, want 0 to %d, or values", i, t.Class, len(classes)-1)
		}
	}
	s := &samples{shape.Clone(), slices.Clone(classes), x, slices.Clone(targets), size}
	return s, Check(s)
}

// Len implements Set.
func (s *samples) Len() int { return len(s.targets) }

// Shape implements Set.
func (s *samples) Shape() tensor.Shape { return s.shape.Clone() }

// Classes implements Set.
func (s *samples) Classes() []string { return slices.Clone(s.classes) }

// Read implements Set.
func (s *samples) Read(i int, x []float32) (Target, error) {
	if err := checkRead(i, len(s.targets), x, s.size); err != nil {
		return Target{}, err
	}
	copy(x, s.x[i*s.size:])
	return s.targets[i], nil
}
