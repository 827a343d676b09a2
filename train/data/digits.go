package data

import (
	"image"
	"math"
	"math/rand/v2"
	"runtime"
	"sync"

	"github.com/pkg/errors"
	"golang.org/x/image/font/gofont/gobold"
	"golang.org/x/image/font/gofont/gobolditalic"
	"golang.org/x/image/font/gofont/goitalic"
	"golang.org/x/image/font/gofont/gomedium"
	"golang.org/x/image/font/gofont/gomediumitalic"
	"golang.org/x/image/font/gofont/gomono"
	"golang.org/x/image/font/gofont/gomonobold"
	"golang.org/x/image/font/gofont/gomonobolditalic"
	"golang.org/x/image/font/gofont/gomonoitalic"
	"golang.org/x/image/font/gofont/goregular"
	"golang.org/x/image/font/sfnt"
	"golang.org/x/image/math/fixed"
	"golang.org/x/image/vector"
	"gorgonia.org/tensor"
)

// side is the height and width of a drawn digit, MNIST's.
const side = 28

// The random streams of a split begin here: apart from each other's and, since seeds are shared,
// from those of the weights, which are the first few.
const (
	trainingDigits = 1 << 32
	testDigits     = 2 << 32
)

// maxDrawn bounds the images of a split, so that no number of them exhausts memory by a slip.
const maxDrawn = 1 << 20

// The usual numbers: enough for 99 % in less than a minute.
const drawnTraining, drawnTest = 20000, 4000

var _ = Register(Source{
	Name: "digits", About: "digits drawn at start from the Go fonts, no files needed",
	Open: func(o Options) (Set, Set, error) {
		training, test := o.Train, o.Test
		if training == 0 {
			training = drawnTraining
		}
		if test == 0 {
			test = drawnTest
		}
		return pair(Digits(training, test, o.Seed))
	},
})

// pair makes plain sets of two sets of images.
func pair(training, test *Images, err error) (Set, Set, error) {
	if err != nil {
		return nil, nil, err
	}
	return training, test, nil
}

// Digits draws digits 28×28 from the Go fonts, so that training needs no files. Each has a random
// face, an affine distortion (rotation, shear, scale, shift), a wave through its outline, a stroke
// widened by a random amount, contrast and noise; some have a stray line. The two sets are drawn
// from random numbers of their own, and a tenth of the test images in a face that no training
// image has. An image is a function of the seed and its number alone: neither the number of images
// nor that of the cores changes it.
//
// It returns an error if a set has fewer than one image, or more than 2²⁰.
func Digits(training, test int, seed uint64) (train, held *Images, err error) {
	if training < 1 || test < 1 || training > maxDrawn || test > maxDrawn {
		return nil, nil, errors.Errorf("data: digits: %d training and %d test images, want 1 to %d of each", training, test, maxDrawn)
	}
	outlines, err := loadOutlines()
	if err != nil {
		return nil, nil, err
	}
	if train, err = drawSplit(outlines, len(outlines[0])-1, training, seed, trainingDigits); err != nil {
		return nil, nil, err
	}
	held, err = drawSplit(outlines, len(outlines[0]), test, seed, testDigits)
	return train, held, err
}

// An outline is a glyph as segments in units of its height. The middle of its box is the origin; y
// points down.
type outline []segment

type segment struct {
	op   sfnt.SegmentOp
	args [3]point
}

type point struct{ x, y float64 }

// loadOutlines takes the ten digits out of each face. The last face is for test images only.
func loadOutlines() (all [10][]outline, err error) {
	const ppem = 64
	var buf sfnt.Buffer
	for _, ttf := range [][]byte{
		goregular.TTF, goitalic.TTF, gomedium.TTF, gomediumitalic.TTF, gobold.TTF,
		gobolditalic.TTF, gomono.TTF, gomonobold.TTF, gomonoitalic.TTF, gomonobolditalic.TTF,
	} {
		f, err := sfnt.Parse(ttf)
		if err != nil {
			return all, errors.Wrap(err, "data: digits: a Go font")
		}
		for digit := range all {
			g, err := f.GlyphIndex(&buf, rune('0'+digit))
			if err != nil {
				return all, errors.Wrapf(err, "data: digits: the glyph of %d", digit)
			}
			segments, err := f.LoadGlyph(&buf, g, fixed.I(ppem), nil)
			if err != nil {
				return all, errors.Wrapf(err, "data: digits: the outline of %d", digit)
			}
			all[digit] = append(all[digit], normalise(segments))
		}
	}
	return all, nil
}

// normalise moves the middle of a glyph's box to the origin and scales its height to 1.
func normalise(segments sfnt.Segments) outline {
	b := segments.Bounds()
	of := func(v fixed.Int26_6) float64 { return float64(v) / 64 }
	cx, cy, h := of(b.Min.X+b.Max.X)/2, of(b.Min.Y+b.Max.Y)/2, of(b.Max.Y-b.Min.Y)
	o := make(outline, len(segments))
	for i, s := range segments {
		o[i].op = s.Op
		for j, a := range s.Args {
			o[i].args[j] = point{(of(a.X) - cx) / h, (of(a.Y) - cy) / h}
		}
	}
	return o
}

// drawSplit draws n images in the first faces, in parallel. Each image has a random stream of its
// own, counted from the split's.
func drawSplit(outlines [10][]outline, faces, n int, seed, stream uint64) (*Images, error) {
	pixels, labels := make([]uint8, n*side*side), make([]int, n)
	workers := runtime.GOMAXPROCS(0)
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			p := newPen()
			for i := w; i < n; i += workers {
				r := rand.New(rand.NewPCG(seed, stream|uint64(i)))
				labels[i] = i % 10
				p.draw(pixels[i*side*side:][:side*side], outlines[i%10][r.IntN(faces)], r)
			}
		})
	}
	wg.Wait()
	return NewImages(tensor.Shape{1, side, side}, decimals(0, 9), pixels, labels)
}

// A pen draws images; it keeps its buffers.
type pen struct {
	raster *vector.Rasterizer
	mask   *image.Alpha
	ink    [side * side]float64
}

func newPen() *pen {
	return &pen{raster: vector.NewRasterizer(side, side), mask: image.NewAlpha(image.Rect(0, 0, side, side))}
}

// draw draws one digit into dst.
func (p *pen) draw(dst []uint8, o outline, r *rand.Rand) {
	between := func(lo, hi float64) float64 { return lo + (hi-lo)*r.Float64() }
	angle, shear := between(-0.35, 0.35), between(-0.3, 0.3)
	high, wide := between(14, 21), between(0.75, 1.25)
	dx, dy := side/2+between(-3, 3), side/2+between(-3, 3)
	bend, length, phase := between(0, 0.05), between(0.7, 1.6), between(0, 2*math.Pi)
	sin, cos := math.Sincos(angle)
	place := func(q point) (float32, float32) {
		x := q.x + bend*math.Sin(2*math.Pi*q.y/length+phase)
		y := q.y + bend*math.Sin(2*math.Pi*q.x/length+phase)
		x, y = (x+shear*y)*wide*high, y*high
		return float32(cos*x - sin*y + dx), float32(sin*x + cos*y + dy)
	}
	clear(p.ink[:])
	// A stroke is widened by drawing it again a little aside.
	for width, a := between(0, 0.7), 0; a < 4; a++ {
		ox, oy := width*float64(a&1), width*float64(a>>1)
		p.fill(o, place, float32(ox), float32(oy))
	}
	if r.Float64() < 0.3 {
		p.line(r)
	}
	paper, ink, noise := between(0, 0.2), between(0.62, 1), between(0.02, 0.16)
	for i, v := range p.ink {
		v = paper + (ink-paper)*v + noise*r.NormFloat64()
		dst[i] = uint8(255*min(1, max(0, v)) + 0.5)
	}
}

// fill adds a glyph to the ink: a pixel is as dark as the darkest that touches it.
func (p *pen) fill(o outline, place func(point) (float32, float32), ox, oy float32) {
	p.raster.Reset(side, side)
	at := func(q point) (float32, float32) { x, y := place(q); return x + ox, y + oy }
	for _, s := range o {
		x, y := at(s.args[0])
		switch s.op {
		case sfnt.SegmentOpMoveTo:
			p.raster.ClosePath()
			p.raster.MoveTo(x, y)
		case sfnt.SegmentOpLineTo:
			p.raster.LineTo(x, y)
		case sfnt.SegmentOpQuadTo:
			x1, y1 := at(s.args[1])
			p.raster.QuadTo(x, y, x1, y1)
		case sfnt.SegmentOpCubeTo:
			x1, y1 := at(s.args[1])
			x2, y2 := at(s.args[2])
			p.raster.CubeTo(x, y, x1, y1, x2, y2)
		}
	}
	p.raster.ClosePath()
	p.add()
}

// line adds a thin stray line across the image.
func (p *pen) line(r *rand.Rand) {
	x0, y0, x1, y1 := r.Float64()*side, r.Float64()*side, r.Float64()*side, r.Float64()*side
	l := math.Hypot(x1-x0, y1-y0)
	if l < 4 {
		return
	}
	nx, ny := -(y1-y0)/l*0.4, (x1-x0)/l*0.4
	p.raster.Reset(side, side)
	p.raster.MoveTo(float32(x0+nx), float32(y0+ny))
	p.raster.LineTo(float32(x1+nx), float32(y1+ny))
	p.raster.LineTo(float32(x1-nx), float32(y1-ny))
	p.raster.LineTo(float32(x0-nx), float32(y0-ny))
	p.raster.ClosePath()
	p.add()
}

// add takes what is in the rasteriser into the ink.
func (p *pen) add() {
	clear(p.mask.Pix)
	p.raster.Draw(p.mask, p.mask.Bounds(), image.Opaque, image.Point{})
	for i, a := range p.mask.Pix {
		p.ink[i] = max(p.ink[i], float64(a)/255)
	}
}
