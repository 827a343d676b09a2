package kernel

import (
	"github.com/convgrad/convgrad/internal/simd"
	"github.com/convgrad/convgrad/internal/workers"
)

// The last layers of deep networks have images of a few pixels and millions of weights. To pack
// these takes as long as a third of the products, and about half of the products are with padding:
// of nine taps, an output of a 2×2 image meets four. Here the lanes are images. Weights are
// broadcast from where they lie, and each output has the products of the taps that meet the image.

// imageWeights is how many weights a micro-kernel goes through for all outputs: they stay in the
// nearest cache.
const imageWeights = 6 << 10

// acceptsImages wants many images of which a good part of the taps meets padding.
func acceptsImages[T Float](p *correlation[T]) string {
	s := simd.NewLaneShape[T]()
	switch {
	case s.Vectors == 0:
		return "no vectors in this tier"
	case p.srcLast || p.dstLast:
		return "channels are last"
	case p.outH*p.outW > 64:
		return "more than 64 outputs an image"
	case p.dstCol != 1 || p.dstRow != p.outW:
		return "outputs do not lie together"
	case 4*p.n < 3*((p.n+s.Lanes-1)/s.Lanes*s.Lanes):
		return "fewer images than lanes"
	case p.m < s.Lanes || p.planes < s.Lanes:
		return "fewer channels or filters than lanes"
	}
	met := func(taps []tap, outputs, step, before, side int) (n int) {
		for i := range outputs {
			for _, t := range taps {
				if at := i*step + t.at - before; at >= 0 && at < side {
					n++
				}
			}
		}
		return n
	}
	pairs := met(p.rows, p.outH, p.stepH, p.top, p.h) * met(p.cols, p.outW, p.stepW, p.left, p.w)
	if 10*pairs > 7*p.outH*p.outW*len(p.rows)*len(p.cols) {
		return "few taps meet padding"
	}
	return ""
}

// An imagesRun is a correlation with images in lanes.
type imagesRun[T Float] struct {
	*correlation[T]
	shape  simd.LaneShape
	blocks []laneBlock // of images
	filled int         // images, filled up to whole vectors
	// the source: for each block of images and pixel, planes by images
	turned []T
	at     []int // distances of filters
	step   []int // and of planes in the weights
}

// runImages is run with images in lanes.
func (p *correlation[T]) runImages() {
	w := imagesRun[T]{correlation: p, shape: simd.NewLaneShape[T]()}
	w.blocks = laneBlocks(w.shape, p.n)
	last := w.blocks[len(w.blocks)-1]
	w.filled = last.first + last.width
	pixels := p.h * p.w
	s := takeForCall[T](1)
	defer s.free()
	w.turned = s.slice(0, pixels*p.planes*w.filled)
	small := p.small()
	const each = 16 // planes
	ranges := (p.planes + each - 1) / each
	workers.Each(small, len(w.blocks)*ranges, 1, func(t int) {
		c := t % ranges * each
		w.turn(w.blocks[t/ranges], c, min(p.planes, c+each))
	})
	mr := w.shape.Pixels(w.blocks[0].width)
	tiles := (p.m + mr - 1) / mr
	table := takeInts(p.m + simd.MaxPixels + p.planes)
	defer table.free()
	w.at, w.step = table.ints[:p.m+simd.MaxPixels], table.ints[p.m+simd.MaxPixels:]
	for i := range w.at {
		w.at[i] = min(i, p.m-1) * p.wm
	}
	for i := range w.step {
		w.step[i] = i * p.wPlane
	}
	// No sum depends on the cuts.
	tasks := 1
	if n := workers.Threads(); n > 1 {
		tasks = min(tiles, 4*n)
	}
	workers.Each(small, tasks, 1, func(t int) { w.task(tiles*t/tasks*mr, min(p.m, tiles*(t+1)/tasks*mr)) })
}

// turn puts the planes c0 to c1−1 of a block of images into their places.
func (w *imagesRun[T]) turn(b laneBlock, c0, c1 int) {
	pixels := w.h * w.w
	s := takeScratch[T](1)
	defer s.free()
	planes := s.slice(0, (c1-c0)*pixels*b.width)
	simd.Transpose(planes, b.width, w.src[b.first*w.srcImage+c0*pixels:], w.srcImage, b.have, (c1-c0)*pixels)
	to := w.turned[b.first*pixels*w.planes:]
	for c := range c1 - c0 {
		for i := range pixels {
			line := planes[(c*pixels+i)*b.width:][:b.width]
			clear(line[b.have:])
			copy(to[(i*w.planes+c0+c)*b.width:], line)
		}
	}
}

// task makes the outputs of the filters from lo to hi−1.
func (w *imagesRun[T]) task(lo, hi int) {
	outputs, taps := w.outH*w.outW, len(w.rows)*len(w.cols)
	s := takeScratch[T](1)
	defer s.free()
	for _, b := range w.blocks {
		mr := w.shape.Pixels(b.width)
		sums := s.slice(0, (hi-lo+simd.MaxPixels)*outputs*b.width) // filters, outputs, images
		clear(sums)
		depth := max(16, imageWeights/(mr*taps))
		from := w.turned[b.first*w.h*w.w*w.planes:]
		for m := lo; m < hi; m += mr {
			tile := sums[(m-lo)*outputs*b.width:]
			for c0 := 0; c0 < w.planes; c0 += depth {
				w.outputs(b, m, c0, min(depth, w.planes-c0), from, tile)
			}
		}
		w.finish(b, lo, hi, sums)
	}
}

// outputs adds the products of planes c0 to c0+kb−1 to all outputs of a micro-kernel's filters from
// m on.
func (w *imagesRun[T]) outputs(b laneBlock, m, c0, kb int, from, tile []T) {
	var end simd.LaneEnd[T]
	line := w.outH * w.outW * b.width
	for i := range w.outH {
		for _, r := range w.rows {
			y := i*w.stepH + r.at - w.top
			if y < 0 || y >= w.h {
				continue
			}
			for j := range w.outW {
				for _, q := range w.cols {
					x := j*w.stepW + q.at - w.left
					if x < 0 || x >= w.w {
						continue
					}
					weights := w.weights[c0*w.wPlane+r.element*w.wRow+q.element:]
					images := from[((y*w.w+x)*w.planes+c0)*b.width:][:kb*b.width]
					simd.LaneTile(w.shape, b.width, 1, weights, w.at[m:], w.step[:kb], images, tile[(i*w.outW+j)*b.width:], line, true, &end)
				}
			}
		}
	}
}

// finish puts the outputs of the filters lo to hi−1 into their places.
func (w *imagesRun[T]) finish(b laneBlock, lo, hi int, sums []T) {
	outputs := w.outH * w.outW
	line := outputs * b.width
	for m := lo; m < hi; m++ {
		y := sums[(m-lo)*line:][:line]
		if w.bias != nil {
			simd.AddBias(y, y, w.bias[m], w.relu)
		} else if w.relu {
			simd.ReLU(y, y)
		}
		if w.six {
			upToSix(y)
		}
		if w.dstPlane != outputs {
			simd.Transpose(w.dst[b.first*w.dstImage+m*w.dstPlane:], w.dstImage, y, b.width, outputs, b.have)
		}
	}
	if w.dstPlane == outputs {
		simd.Transpose(w.dst[b.first*w.dstImage+lo*outputs:], w.dstImage, sums, b.width, (hi-lo)*outputs, b.have)
	}
}
