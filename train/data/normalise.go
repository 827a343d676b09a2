package data

import (
	"math"
	"runtime"
	"slices"
	"sync"

	"github.com/pkg/errors"
	"gorgonia.org/tensor"
)

// A Normalisation turns a sample into the network's input: (x − Mean[c])/Std[c] in channel c, the
// first axis of a sample. Pictures count from 0 for black to 1 for white.
type Normalisation struct {
	Mean []float64 `json:"mean"`
	Std  []float64 `json:"std"`
}

// Check returns an error unless there is a finite mean and a positive, finite standard deviation
// for each channel of a sample of that shape.
func (n *Normalisation) Check(shape tensor.Shape) error {
	if n == nil {
		return errors.New("data: the normalisation is nil")
	}
	if len(shape) == 0 || len(n.Mean) != shape[0] || len(n.Std) != shape[0] {
		return errors.Errorf("data: the normalisation has %d means and %d deviations, want one for each channel of %v", len(n.Mean), len(n.Std), shape)
	}
	for c, mean := range n.Mean {
		// 1/(255·std) in float32 must be neither 0 nor infinite.
		if std := n.Std[c]; math.IsNaN(mean) || math.Abs(mean) > 1e30 || !(std >= 1e-30 && std <= 1e30) {
			return errors.Errorf("data: channel %d has mean %v and deviation %v, want finite numbers, the second positive", c, mean, std)
		}
	}
	return nil
}

// at is the mean and deviation of a channel.
func (n *Normalisation) at(c int) (mean, std float64) { return n.Mean[c], n.Std[c] }

// Apply normalises a sample of that shape in place.
//
// It returns an error if the normalisation, the shape and x do not fit each other.
func (n *Normalisation) Apply(shape tensor.Shape, x []float32) error {
	if err := n.Check(shape); err != nil {
		return err
	}
	if size, err := sampleSize(shape); err != nil || size != len(x) {
		return errors.Errorf("data: Apply: %d elements, want those of %v", len(x), shape)
	}
	n.apply(shape[0], x)
	return nil
}

func (n *Normalisation) apply(channels int, x []float32) {
	plane := len(x) / channels
	for c := range channels {
		mean, std := n.at(c)
		m, scale := float32(mean), float32(1/std)
		for i, v := range x[c*plane : (c+1)*plane] {
			x[c*plane+i] = (v - m) * scale
		}
	}
}

// Measure returns the mean and standard deviation of each channel over all samples of a set. A
// channel that does not vary has deviation 1. The result does not depend on the number of cores.
//
// It returns an error if the set does not hold together, a sample cannot be read, or one holds NaN
// or an infinity.
func Measure(s Set) (*Normalisation, error) {
	if err := Check(s); err != nil {
		return nil, err
	}
	if images, ok := s.(*Images); ok && images.norm == nil {
		return images.measure(), nil
	}
	const block = 64
	shape, blocks := s.Shape(), (s.Len()+block-1)/block
	channels, size := shape[0], shape.TotalSize()
	// Each block has sums of its own, joined in order below.
	sums, squares := make([]float64, blocks*channels), make([]float64, blocks*channels)
	failed := make([]error, blocks)
	var wg sync.WaitGroup
	workers := min(runtime.GOMAXPROCS(0), blocks)
	for w := range workers {
		wg.Go(func() {
			x := make([]float32, size)
			for b := w; b < blocks; b += workers {
				for i := b * block; i < min((b+1)*block, s.Len()) && failed[b] == nil; i++ {
					if _, err := s.Read(i, x); err != nil {
						failed[b] = errors.Wrapf(err, "data: sample %d", i)
						break
					}
					for j, v := range x {
						k := b*channels + j/(size/channels)
						sums[k] += float64(v)
						squares[k] += float64(v) * float64(v)
					}
				}
			}
		})
	}
	wg.Wait()
	n := &Normalisation{Mean: make([]float64, channels), Std: make([]float64, channels)}
	for _, err := range failed {
		if err != nil {
			return nil, err
		}
	}
	count := float64(s.Len()) * float64(size/channels)
	for c := range channels {
		var sum, square float64
		for b := range blocks {
			sum += sums[b*channels+c]
			square += squares[b*channels+c]
		}
		n.set(c, sum/count, square/count)
	}
	return n, n.Check(shape)
}

// measure is Measure for bytes: the sums are exact.
func (s *Images) measure() *Normalisation {
	channels, plane := s.shape[0], s.shape[1]*s.shape[2]
	n := &Normalisation{Mean: make([]float64, channels), Std: make([]float64, channels)}
	for c := range channels {
		var sum, squares uint64 // 255² times 2⁴⁸ bytes fit
		for _, p := range s.pictures {
			for _, b := range p[c*plane:][:plane] {
				sum += uint64(b)
				squares += uint64(b) * uint64(b)
			}
		}
		count := float64(len(s.labels)) * float64(plane)
		n.set(c, float64(sum)/count/255, float64(squares)/count/(255*255))
	}
	return n
}

// set works a channel out from the means of x and x². A variance that rounding alone may have left
// counts as none.
func (n *Normalisation) set(c int, mean, square float64) {
	n.Mean[c], n.Std[c] = mean, 1
	if v := square - mean*mean; v > 1e-12*square || math.IsNaN(v) {
		n.Std[c] = math.Sqrt(v)
	}
}

// normalised is a set whose samples are normalised as they are read.
type normalised struct {
	Set
	norm     *Normalisation
	channels int
}

// Normalise returns the set with its samples normalised. A nil n stands for what [Measure] says of
// s itself; a test set takes that of the training set, from [NormalisationOf].
//
// It returns an error if the set does not hold together, it is normalised already, or n does not
// fit.
func Normalise(s Set, n *Normalisation) (Set, error) {
	if err := Check(s); err != nil {
		return nil, err
	}
	if NormalisationOf(s) != nil {
		return nil, errors.New("data: Normalise: the set is normalised already")
	}
	if n == nil {
		var err error
		if n, err = Measure(s); err != nil {
			return nil, err
		}
	}
	if err := n.Check(s.Shape()); err != nil {
		return nil, err
	}
	n = &Normalisation{slices.Clone(n.Mean), slices.Clone(n.Std)}
	if images, ok := s.(*Images); ok {
		copied := *images
		copied.setNorm(n)
		return &copied, nil
	}
	return &normalised{s, n, s.Shape()[0]}, nil
}

// NormalisationOf returns what Normalise or NormaliseStream did to a dataset, or nil if it has not
// been normalised.
func NormalisationOf(s Dataset) *Normalisation {
	if n, ok := s.(interface{ normalisation() *Normalisation }); ok {
		return n.normalisation()
	}
	return nil
}

func (s *normalised) normalisation() *Normalisation { return s.norm }

// Read implements Set.
func (s *normalised) Read(i int, x []float32) (Target, error) {
	t, err := s.Set.Read(i, x)
	if err == nil {
		s.norm.apply(s.channels, x)
	}
	return t, err
}
