package kernel

import (
	"sync/atomic"

	"github.com/convgrad/convgrad/internal/simd"
	"github.com/convgrad/convgrad/internal/workers"
)

// A batch norm that follows a convolution asks for the mean and variance of each channel. The
// convolution's tasks add up an image as soon as it is complete, while it is in a near cache: a
// pass over the output, from a farther cache or from memory, is saved.

// ForwardMoments is Forward, and then Moments of the channels of y, to the same bits.
func ForwardMoments[T Float](g Conv, y, moments, x, w, b []T, relu bool) {
	of := ChannelNorm(g.N, g.K, g.P*g.Q, NormBatch)
	if of.Run < shortRun {
		Forward(g, y, x, w, b, relu)
		Moments(of, moments, y)
		return
	}
	m := newImageMoments(of, y)
	defer m.free()
	forward(g, y, x, w, b, relu, m)
	m.finish(moments)
}

// imageMoments gathers means and squares of the pieces of an output's planes while a convolution
// makes it.
type imageMoments[T Float] struct {
	of     Norm
	y      []T
	pieces int // of a plane
	// for each image and channel, a mean and a sum of squared differences from it of each piece
	sums    []float64
	scratch *scratch[float64]
	missing []atomic.Int64 // of each image, the outputs of a plane that are not written yet
}

func newImageMoments[T Float](of Norm, y []T) *imageMoments[T] {
	m := &imageMoments[T]{of: of, y: y, pieces: (of.Run + piece - 1) / piece, missing: make([]atomic.Int64, of.Parts)}
	m.scratch = takeForCall[float64](1)
	m.sums = m.scratch.slice(0, 2*of.Parts*of.Groups*m.pieces)
	for i := range m.missing {
		m.missing[i].Store(int64(of.Run))
	}
	return m
}

func (m *imageMoments[T]) free() { m.scratch.free() }

// wrote notes that so many more outputs of each plane of an image are in their places. Who writes
// the last of them adds up the image.
func (m *imageMoments[T]) wrote(image, outputs int) {
	if m != nil && m.missing[image].Add(-int64(outputs)) == 0 {
		m.add(image)
	}
}

// add adds up an image.
func (m *imageMoments[T]) add(image int) {
	to := m.sums[2*image*m.of.Groups*m.pieces:]
	for c := range m.of.Groups {
		plane := m.y[c*m.of.GroupStep+image*m.of.PartStep:][:m.of.Run]
		for len(plane) > 0 {
			part := plane[:min(piece, len(plane))]
			plane = plane[len(part):]
			to[0], to[1] = pieceMoments(part)
			to = to[2:]
		}
	}
}

// finish adds up the images of which nobody has told, and makes the moments of all.
func (m *imageMoments[T]) finish(moments []T) {
	workers.Spans(m.of.Parts, max(1, workers.Chunk/(m.of.Groups*m.of.Run)), func(lo, hi int) {
		for i := lo; i < hi; i++ {
			if m.missing[i].Load() > 0 {
				m.add(i)
			}
		}
	})
	width := 2 * m.pieces
	workers.Spans(m.of.Groups, max(1, workers.Chunk/(8*m.of.Parts*m.pieces)), func(lo, hi int) {
		for c := lo; c < hi; c++ {
			var all running
			for n := range m.of.Parts {
				from := m.sums[(n*m.of.Groups+c)*width:][:width]
				for i := range m.pieces {
					all.add(float64(min(piece, m.of.Run-i*piece)), from[2*i], from[2*i+1])
				}
			}
			moments[c], moments[m.of.Groups+c] = T(all.mean), T(all.squares/float64(m.of.Count()))
		}
	})
}

// pieceMoments is the mean of a piece and its sum of squared differences from it.
func pieceMoments[T Float](part []T) (mean, squares float64) {
	mean = simd.Sum64(part) / float64(len(part))
	return mean, simd.Deviation(part, mean)
}

// running is the mean of n elements and their sum of squared differences from it.
type running struct{ n, mean, squares float64 }

// add adds m elements with a mean and a sum of squares of their own.
func (r *running) add(m, mean, squares float64) {
	delta := mean - r.mean
	r.squares += squares + delta*delta*(r.n*m/(r.n+m))
	r.mean += delta * (m / (r.n + m))
	r.n += m
}
