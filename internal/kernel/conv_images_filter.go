package kernel

import (
	"github.com/convgrad/convgrad/internal/simd"
	"github.com/convgrad/convgrad/internal/workers"
)

// The filter's gradient of many images of a few pixels: the lanes are filters, and a sum goes over
// the images and the outputs whose tap meets the image. The sums of a micro-kernel's channels and
// of all taps stay in the nearest cache until they go to their places.

func acceptsImagesGradient[T Float](f *filterGradient[T]) string {
	g := f.g
	switch {
	case f.shape.Vectors == 0:
		return "no vectors in this tier"
	case g.P*g.Q > 64:
		return "more than 64 outputs an image"
	case f.c < f.shape.Lanes || f.k < f.shape.Lanes:
		return "fewer channels or filters than lanes"
	case g.N < 8:
		return "few images"
	}
	pairs := 0
	for r := range g.R {
		for s := range g.S {
			lo, hi := meets(g.Rows, r, g.H)
			left, right := meets(g.Cols, s, g.W)
			pairs += max(0, hi-lo) * max(0, right-left)
		}
	}
	if 10*pairs > 7*g.P*g.Q*g.R*g.S {
		return "few taps meet padding"
	}
	return ""
}

// meets is the run of outputs of an axis whose tap lies in the image, of n elements.
func meets(w Window, tap, n int) (lo, hi int) {
	at := tap*w.Dilation - w.Before
	for hi = w.Out; hi > 0 && (hi-1)*w.Stride+at >= n; hi-- {
	}
	for lo < hi && lo*w.Stride+at < 0 {
		lo++
	}
	return lo, hi
}

// An imagesGradient is the gradient of a group's filters with images in the sums.
type imagesGradient[T Float] struct {
	*filterGradient[T]
	turned   []T   // the deltas: for each block of filters and output, images by filters
	at, step []int // distances of channels, and of a row's outputs and images
}

// runImages is run with images in the sums.
func (f *filterGradient[T]) runImages() {
	g := f.g
	w := imagesGradient[T]{filterGradient: f}
	last := f.blocks[len(f.blocks)-1]
	s := takeForCall[T](1)
	defer s.free()
	w.turned = s.slice(0, g.P*g.Q*g.N*(last.first+last.width))
	table := takeInts(f.c + simd.MaxPixels + g.Q*g.N)
	defer table.free()
	w.at, w.step = table.ints[:f.c+simd.MaxPixels], table.ints[f.c+simd.MaxPixels:]
	for i := range w.at {
		w.at[i] = min(i, f.c-1) * g.H * g.W
	}
	for i := range w.step {
		w.step[i] = i/g.N*g.Cols.Stride + i%g.N*g.C*g.H*g.W
	}
	small := g.MACs()/int64(g.Groups) < 1<<16
	workers.Each(small, len(f.blocks)*g.N, 8, func(t int) { w.turn(f.blocks[t/g.N], t%g.N) })
	mr := f.tile(f.blocks[0])
	tiles := (f.c + mr - 1) / mr
	workers.Each(small, len(f.blocks)*tiles, 4, func(t int) {
		c := t % tiles * mr
		w.channels(f.blocks[t/tiles], c, min(f.c, c+mr))
	})
}

// turn puts the deltas of an image into their places.
func (w *imagesGradient[T]) turn(b laneBlock, n int) {
	outputs := w.g.P * w.g.Q
	to := w.turned[b.first*outputs*w.g.N:]
	simd.Transpose(to[n*b.width:], w.g.N*b.width, w.dy[(n*w.g.K+b.first)*outputs:], outputs, b.have, outputs)
	for i := range outputs {
		clear(to[(i*w.g.N+n)*b.width:][b.have:b.width])
	}
}

// channels makes the gradient of a block of filters for the channels c0 to c1−1.
func (w *imagesGradient[T]) channels(b laneBlock, c0, c1 int) {
	g, mr := w.g, w.tile(b)
	area := g.R * g.S
	s := takeScratch[T](1)
	defer s.free()
	sums := s.slice(0, (c1-c0+mr)*area*b.width) // channels, taps, filters
	deltas := w.turned[b.first*g.P*g.Q*g.N:]
	var end simd.LaneEnd[T]
	for r := range g.R {
		lo, hi := meets(g.Rows, r, g.H)
		for q := range g.S {
			left, right := meets(g.Cols, q, g.W)
			tap := g.element(r, g.R)*g.S + g.element(q, g.S)
			for c := c0; c < c1; c += mr {
				to := sums[((c-c0)*area+tap)*b.width:]
				if lo >= hi || left >= right {
					for i := range mr {
						clear(to[i*area*b.width:][:b.width])
					}
					continue
				}
				n := (right - left) * g.N
				for i := lo; i < hi; i++ {
					x := (i*g.Rows.Stride+r*g.Rows.Dilation-g.Rows.Before)*g.W + left*g.Cols.Stride + q*g.Cols.Dilation - g.Cols.Before
					simd.LaneTile(w.shape, b.width, 1, w.x[x:], w.at[c:], w.step[:n], deltas[(i*g.Q+left)*g.N*b.width:][:n*b.width], to, area*b.width, i > lo, &end)
				}
			}
		}
	}
	simd.Transpose(w.dw[b.first*w.taps+c0*area:], w.taps, sums, b.width, (c1-c0)*area, b.have)
}
