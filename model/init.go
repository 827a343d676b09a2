package model

import (
	"math"
	"math/rand/v2"

	"gorgonia.org/tensor"
)

// An Init gives a weight its first values: it fills w, row-major, for a weight of the shape.
// Numbers are drawn in float64 whatever the network's type, so that both types begin with the same
// numbers.
//
// The fan-in of a shape is the product of all sides but the first: what each output of a
// convolution or a linear layer sums.
type Init func(r *rand.Rand, shape tensor.Shape, w []float64)

// Zeros begins with zeros.
func Zeros(_ *rand.Rand, _ tensor.Shape, w []float64) { clear(w) }

// Ones begins with ones.
func Ones(_ *rand.Rand, _ tensor.Shape, w []float64) { fillWith(w, 1) }

// Constant begins with v everywhere.
func Constant(v float64) Init {
	return func(_ *rand.Rand, _ tensor.Shape, w []float64) { fillWith(w, v) }
}

func fillWith(w []float64, v float64) {
	for i := range w {
		w[i] = v
	}
}

// Normal draws from the normal distribution of mean 0 and the given standard deviation.
func Normal(deviation float64) Init {
	return func(r *rand.Rand, _ tensor.Shape, w []float64) { normal(r, deviation, w) }
}

// Uniform draws evenly from [−limit, limit).
func Uniform(limit float64) Init {
	return func(r *rand.Rand, _ tensor.Shape, w []float64) { uniform(r, limit, w) }
}

// HeNormal draws from the normal distribution of variance 2/fan-in, which keeps the size of a
// signal through a ReLU (He, Zhang, Ren and Sun, 2015). It is what Conv2D and Linear begin with.
func HeNormal(r *rand.Rand, shape tensor.Shape, w []float64) {
	in, _ := fans(shape)
	normal(r, math.Sqrt(2/in), w)
}

// HeNormalOut is HeNormal by the fan-out, the first side times all sides from the third on: it
// keeps the size of a gradient. Torchvision's convolutions begin with it.
func HeNormalOut(r *rand.Rand, shape tensor.Shape, w []float64) {
	_, out := fans(shape)
	normal(r, math.Sqrt(2/out), w)
}

// HeUniform draws evenly, with the variance of HeNormal.
func HeUniform(r *rand.Rand, shape tensor.Shape, w []float64) {
	in, _ := fans(shape)
	uniform(r, math.Sqrt(6/in), w)
}

// GlorotNormal draws from the normal distribution of variance 2/(fan-in + fan-out), for layers
// without a ReLU (Glorot and Bengio, 2010). The fan-out is the first side times all sides from the
// third on.
func GlorotNormal(r *rand.Rand, shape tensor.Shape, w []float64) {
	in, out := fans(shape)
	normal(r, math.Sqrt(2/(in+out)), w)
}

// GlorotUniform draws evenly, with the variance of GlorotNormal.
func GlorotUniform(r *rand.Rand, shape tensor.Shape, w []float64) {
	in, out := fans(shape)
	uniform(r, math.Sqrt(6/(in+out)), w)
}

// Scaled is what init draws, times a factor: Scaled(0.1, HeNormal) begins a classifier's last layer
// near 0, so that the squared error need not spend its first epochs undoing large outputs.
func Scaled(factor float64, init Init) Init {
	if init == nil {
		init = Zeros
	}
	return func(r *rand.Rand, shape tensor.Shape, w []float64) {
		init(r, shape, w)
		for i := range w {
			w[i] *= factor
		}
	}
}

// fans are the fan-in and the fan-out of a weight.
func fans(s tensor.Shape) (in, out float64) {
	if len(s) == 0 {
		return 1, 1
	}
	in, out = 1, float64(s[0])
	for i, side := range s[1:] {
		in *= float64(side)
		if i > 0 {
			out *= float64(side)
		}
	}
	return max(in, 1), max(out, 1)
}

func normal(r *rand.Rand, deviation float64, w []float64) {
	for i := range w {
		w[i] = deviation * r.NormFloat64()
	}
}

func uniform(r *rand.Rand, limit float64, w []float64) {
	for i := range w {
		w[i] = limit * (2*r.Float64() - 1)
	}
}
