package data

import (
	"math"
	"math/rand/v2"
	"slices"
	"sync"

	"gorgonia.org/tensor"
)

// An Augment changes a sample that is trained on, in place, as the random numbers say. A sample
// that is no picture C×H×W stays as it is.
//
// The numbers follow from the seed, the epoch and the sample's index alone, so that an epoch has
// the same samples at any number of goroutines.
type Augment interface {
	Augment(r *rand.Rand, x []float32, shape tensor.Shape)
}

// augments keeps the random numbers of augmentation apart from other uses of the same seed.
const augments = 1 << 63

// An Augmenter applies a list of augmentations. It is for one goroutine.
type Augmenter struct {
	list  []Augment
	shape tensor.Shape
	seed  uint64
	pcg   rand.PCG
	rand  *rand.Rand
}

// NewAugmenter returns one for samples of that shape. The list may be empty.
func NewAugmenter(list []Augment, shape tensor.Shape, seed uint64) *Augmenter {
	a := &Augmenter{list: slices.Clone(list), shape: shape.Clone(), seed: seed}
	a.rand = rand.New(&a.pcg)
	return a
}

// Apply changes sample i of an epoch, which is counted from 1.
func (a *Augmenter) Apply(epoch, i int, x []float32) {
	if a == nil || len(a.list) == 0 {
		return
	}
	a.pcg.Seed(a.seed, augments|uint64(epoch)<<40|uint64(i))
	for _, f := range a.list {
		f.Augment(a.rand, x, a.shape)
	}
}

// planes is C, H and W of a picture; ok says whether x is one.
func planes(x []float32, shape tensor.Shape) (c, h, w int, ok bool) {
	if len(shape) != 3 || shape[0] < 1 || shape[1] < 1 || shape[2] < 1 || shape.TotalSize() != len(x) {
		return 0, 0, 0, false
	}
	return shape[0], shape[1], shape[2], true
}

// Flip mirrors a picture left to right, every second time.
type Flip struct{}

// Augment implements Augment.
func (Flip) Augment(r *rand.Rand, x []float32, shape tensor.Shape) {
	c, h, w, ok := planes(x, shape)
	if !ok || r.IntN(2) == 0 {
		return
	}
	for row := range c * h {
		slices.Reverse(x[row*w:][:w])
	}
}

// Crop puts Pad pixels around a picture and takes a part of its old size from it, each with the
// same probability.
type Crop struct {
	Pad  int
	Fill []float32 // of the border, by channel; nil for 0. See Normalisation.Black
}

// Augment implements Augment.
func (a Crop) Augment(r *rand.Rand, x []float32, shape tensor.Shape) {
	c, h, w, ok := planes(x, shape)
	if !ok || a.Pad < 1 {
		return
	}
	pad := min(a.Pad, max(h, w))
	dy, dx := r.IntN(2*pad+1)-pad, r.IntN(2*pad+1)-pad
	old := borrow(x)
	defer old.giveBack()
	for ch := range c {
		fill := fillOf(a.Fill, ch)
		for i := range h {
			row, y := x[(ch*h+i)*w:][:w], i+dy
			lo, hi := max(0, -dx), min(w, w-dx) // where j+dx is inside
			if y < 0 || y >= h || lo >= hi {
				lo, hi = w, w
			} else {
				copy(row[lo:hi], old.x[(ch*h+y)*w+lo+dx:])
			}
			for j := range row[:lo] {
				row[j] = fill
			}
			for j := hi; j < w; j++ {
				row[j] = fill
			}
		}
	}
}

// Affine turns, shifts and scales a picture around its middle, each evenly at random: by up to so
// many degrees either way, so many pixels along each axis, and by a factor from 1/(1+Scale) to
// 1+Scale. Pixels are interpolated linearly.
type Affine struct {
	Degrees, Shift, Scale float64
	Fill                  []float32 // of what comes in from outside, by channel; nil for 0
}

// Augment implements Augment.
func (a Affine) Augment(r *rand.Rand, x []float32, shape tensor.Shape) {
	c, h, w, ok := planes(x, shape)
	if !ok {
		return
	}
	draw := func(most float64) float64 { return most * (2*r.Float64() - 1) }
	angle, ty, tx := draw(a.Degrees)*math.Pi/180, draw(a.Shift), draw(a.Shift)
	scale := math.Pow(1+max(a.Scale, 0), draw(1))
	if !(math.Abs(angle)+math.Abs(ty)+math.Abs(tx) < 1e6) || scale == 1 && angle == 0 && ty == 0 && tx == 0 {
		return
	}
	sin, cos := math.Sincos(angle)
	sin, cos = sin/scale, cos/scale
	old := borrow(x)
	defer old.giveBack()
	my, mx := float64(h-1)/2, float64(w-1)/2
	for i := range h {
		for j := range w {
			v, u := float64(i)-my-ty, float64(j)-mx-tx
			y, xx := cos*v-sin*u+my, sin*v+cos*u+mx
			y0, x0 := math.Floor(y), math.Floor(xx)
			fy, fx := float32(y-y0), float32(xx-x0)
			yi, xi := int(y0), int(x0)
			for ch := range c {
				plane, fill := old.x[ch*h*w:][:h*w], fillOf(a.Fill, ch)
				at := func(y, x int) float32 {
					if y < 0 || y >= h || x < 0 || x >= w {
						return fill
					}
					return plane[y*w+x]
				}
				top := float32(at(yi, xi)*(1-fx)) + float32(at(yi, xi+1)*fx)
				bottom := float32(at(yi+1, xi)*(1-fx)) + float32(at(yi+1, xi+1)*fx)
				x[(ch*h+i)*w+j] = float32(top*(1-fy)) + float32(bottom*fy)
			}
		}
	}
}

func fillOf(fill []float32, channel int) float32 {
	if channel < len(fill) {
		return fill[channel]
	}
	return 0
}

// scratch is a copy of a sample, in memory that is used again.
type scratch struct{ x []float32 }

var scratches = sync.Pool{New: func() any { return &scratch{} }}

func borrow(x []float32) *scratch {
	s := scratches.Get().(*scratch)
	s.x = append(s.x[:0], x...)
	return s
}

func (s *scratch) giveBack() { scratches.Put(s) }

// Black is what a pixel of value 0 becomes, by channel: what Crop and Affine fill borders with.
func (n *Normalisation) Black() []float32 {
	if n == nil {
		return nil
	}
	black := make([]float32, min(len(n.Mean), len(n.Std)))
	for c := range black {
		mean, std := n.at(c)
		black[c] = float32((0 - mean) / std)
	}
	return black
}
