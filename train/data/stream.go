package data

import (
	"iter"
	"math/rand/v2"
	"slices"

	"github.com/pkg/errors"
	"gorgonia.org/tensor"
)

// A Dataset is samples to train or test on: a [Set], which has them at hand, or a [Stream]. A type
// that is both counts as a Set.
type Dataset interface {
	// Len is the number of samples; of a stream, that of one epoch.
	Len() int
	// Shape is the shape of one sample: C×H×W for images.
	Shape() tensor.Shape
	// Classes are the names of the classes; a class is an index into them. A dataset whose targets
	// are values has none.
	Classes() []string
}

// A Stream is samples that come one after the other, as from a connection, a compressed file or a
// simulation.
//
//	type noise struct{}
//
//	func (noise) Len() int            { return 1000 }
//	func (noise) Shape() tensor.Shape { return tensor.Shape{2} }
//	func (noise) Classes() []string   { return []string{"left", "right"} }
//	func (noise) Epoch(n int) iter.Seq2[data.Sample, error] {
//		return func(yield func(data.Sample, error) bool) {
//			r := rand.New(rand.NewPCG(7, uint64(n)))
//			for range 1000 {
//				x := []float32{r.Float32() - 0.5, r.Float32()}
//				if !yield(data.Sample{X: x, Target: data.Target{Class: int(x[0] + 1)}}, nil) {
//					return
//				}
//			}
//		}
//	}
type Stream interface {
	Dataset
	// Epoch gives the samples of an epoch, which is counted from 1; a test reads epoch 0. The same
	// number gives the same samples in the same order each time: a resumed run goes through those
	// that it has trained on, and leaves them. An epoch takes Len samples, and then ends the
	// iteration. The reader is one goroutine, ahead of the training; it does not keep X.
	Epoch(n int) iter.Seq2[Sample, error]
}

// A Sample is one of a Stream. X has Shape().TotalSize() elements.
type Sample struct {
	X []float32
	Target
}

// maxBuffer bounds the samples of a shuffle's buffer.
const maxBuffer = 1 << 24

// ShuffleStream returns s in another order, which follows from the seed and the epoch alone. A
// buffer of so many samples is kept full. Each sample that is given is drawn from it, each with the
// same probability, and the next of s takes its place. A buffer of Len or more samples gives every
// order with the same probability; from a smaller one no sample comes much before its turn.
//
// It returns an error if s does not hold together, or the buffer is not of 1 to 2²⁴ samples.
func ShuffleStream(s Stream, buffer int, seed uint64) (Stream, error) {
	if err := Check(s); err != nil {
		return nil, err
	}
	if buffer < 1 || buffer > maxBuffer {
		return nil, errors.Errorf("data: ShuffleStream: the buffer is of %d samples, want 1 to %d", buffer, maxBuffer)
	}
	return &shuffled{s, buffer, seed}, nil
}

// shuffled is a stream in another order.
type shuffled struct {
	Stream
	buffer int
	seed   uint64
}

func (s *shuffled) normalisation() *Normalisation { return NormalisationOf(s.Stream) }

// Epoch implements Stream.
func (s *shuffled) Epoch(n int) iter.Seq2[Sample, error] {
	return func(yield func(Sample, error) bool) {
		r := rand.New(rand.NewPCG(s.seed, shuffles|uint64(n)))
		var held []Sample
		var out Sample // in memory of its own, since the yielded sample's place is taken at once
		for in, err := range s.Stream.Epoch(n) {
			if err != nil {
				yield(Sample{}, err)
				return
			}
			if len(held) < s.buffer {
				in.X = slices.Clone(in.X)
				held = append(held, in)
				continue
			}
			k := r.IntN(len(held))
			out, held[k] = held[k], Sample{append(out.X[:0], in.X...), in.Target}
			if !yield(out, nil) {
				return
			}
		}
		for len(held) > 0 {
			k, last := r.IntN(len(held)), len(held)-1
			out, held[k] = held[k], held[last]
			if held = held[:last]; !yield(out, nil) {
				return
			}
		}
	}
}

// NormaliseStream returns s with its samples normalised by n, such as the training set's
// [NormalisationOf] or what [Measure] says of some samples.
//
// It returns an error if s does not hold together, it is normalised already, or n does not fit.
func NormaliseStream(s Stream, n *Normalisation) (Stream, error) {
	if err := Check(s); err != nil {
		return nil, err
	}
	if NormalisationOf(s) != nil {
		return nil, errors.New("data: NormaliseStream: the stream is normalised already")
	}
	if n == nil {
		return nil, errors.New("data: NormaliseStream: the normalisation is nil")
	}
	if err := n.Check(s.Shape()); err != nil {
		return nil, err
	}
	return &normalisedStream{s, &Normalisation{slices.Clone(n.Mean), slices.Clone(n.Std)}}, nil
}

// normalisedStream is a stream whose samples are normalised as they come.
type normalisedStream struct {
	Stream
	norm *Normalisation
}

func (s *normalisedStream) normalisation() *Normalisation { return s.norm }

// Epoch implements Stream.
func (s *normalisedStream) Epoch(n int) iter.Seq2[Sample, error] {
	return func(yield func(Sample, error) bool) {
		shape := s.Shape()
		var x []float32
		for in, err := range s.Stream.Epoch(n) {
			if err == nil && len(in.X) != shape.TotalSize() {
				err = errors.Errorf("data: a sample has %d elements, want %d", len(in.X), shape.TotalSize())
			}
			if err == nil {
				x = append(x[:0], in.X...) // the stream's own may be read again
				s.norm.apply(shape[0], x)
				in.X = x
			}
			if !yield(in, err) || err != nil {
				return
			}
		}
	}
}
