package data

import (
	"bufio"
	"context"
	"image"
	"image/color"
	_ "image/gif"
	_ "image/jpeg"
	_ "image/png"
	"io"
	"slices"
	"strings"

	"github.com/pkg/errors"
	_ "golang.org/x/image/bmp"
	"golang.org/x/image/draw"
	_ "golang.org/x/image/webp"
	"golang.org/x/sync/semaphore"
	"gorgonia.org/tensor"

	"github.com/convgrad/convgrad/ops"
)

// maxPixels bounds a picture before it is decoded: 64 megapixels.
const maxPixels = 64 << 20

// fits are the ways in which a picture is brought to a sample's size, by name.
var fits = []struct {
	name string
	of   func(b image.Rectangle, w, h int) (from, to image.Rectangle)
}{
	{"crop", func(b image.Rectangle, w, h int) (from, to image.Rectangle) {
		return inner(b, w, h), image.Rect(0, 0, w, h)
	}},
	{"pad", func(b image.Rectangle, w, h int) (from, to image.Rectangle) {
		return b, inner(image.Rect(0, 0, w, h), b.Dx(), b.Dy())
	}},
	{"resize", func(b image.Rectangle, w, h int) (from, to image.Rectangle) { return b, image.Rect(0, 0, w, h) }},
}

// Fits lists the ways in which a picture is brought to a sample's size: crop scales it so that it
// covers the sample, and takes its middle; pad scales it so that it lies inside, with black around;
// resize changes its proportions.
func Fits() []string {
	var names []string
	for _, f := range fits {
		names = append(names, f.name)
	}
	return names
}

// ReadPicture decodes a picture, PNG, JPEG, GIF, WebP or BMP, turns it as its EXIF data says, and
// brings it to the shape of a sample, 1×H×W or 3×H×W, as Folder does; the fit is one of Fits, or ""
// for the first. It returns the sample's bytes.
//
// It returns an error if there is no such picture, or one of more than most pixels; 0 stands for
// 2²⁶. The size is looked at before the picture is decoded.
func ReadPicture(r io.ReadSeeker, shape tensor.Shape, fit string, most int) ([]uint8, error) {
	size, err := sampleSize(shape)
	if err != nil {
		return nil, err
	}
	if len(shape) != 3 || shape[0] != 1 && shape[0] != 3 {
		return nil, errors.Errorf("data: ReadPicture: samples are %v, want 1×H×W or 3×H×W", shape)
	}
	if fit != "" && !slices.Contains(Fits(), fit) {
		return nil, errors.Errorf("data: ReadPicture: the fit is %q, want one of %s", fit, strings.Join(Fits(), ", "))
	}
	if most <= 0 {
		most = maxPixels
	}
	d, release, err := decodeFrom(r, most)
	if err != nil {
		return nil, err
	}
	defer release()
	to := make([]uint8, size)
	d.sample(shape, fit, to)
	return to, nil
}

// A decoded picture is one that is not turned yet.
type decoded struct {
	image.Image
	turn orientation
}

// size is that of the picture as it is shown.
func (d decoded) size() ops.Size {
	b := d.Bounds()
	if d.turn.sideways() {
		return ops.Size{H: b.Dx(), W: b.Dy()}
	}
	return ops.Size{H: b.Dy(), W: b.Dx()}
}

// decodeFrom reads a picture whose size it has looked at first. release says that it is not used
// any more.
func decodeFrom(r io.ReadSeeker, most int) (d decoded, release func(), err error) {
	release = func() {}
	defer func() { // a decoder's fault is the file's
		if r := recover(); r != nil {
			err = errors.Errorf("the decoder panicked: %v", r)
		}
		if err != nil {
			release()
		}
	}()
	c, format, err := image.DecodeConfig(bufio.NewReader(r))
	if err != nil {
		return d, release, err
	}
	if c.Width < 1 || c.Height < 1 || c.Width > most/c.Height {
		return d, release, errors.Errorf("the picture has %d×%d pixels, want at most %d in all", c.Height, c.Width, most)
	}
	if _, err := r.Seek(0, io.SeekStart); err != nil {
		return d, release, err
	}
	d.turn = readOrientation(r, format)
	if _, err := r.Seek(0, io.SeekStart); err != nil {
		return d, release, err
	}
	n := int64(min(c.Width*c.Height, maxPixels))
	if err := underway.Acquire(context.Background(), n); err != nil {
		return d, release, err
	}
	release = func() { underway.Release(n) }
	d.Image, _, err = image.Decode(bufio.NewReader(r))
	return d, release, err
}

// underway are the pixels of pictures that are decoded and not yet brought to size. There are no
// more than maxPixels at a time: a decoder takes up to some twenty bytes a pixel.
var underway = semaphore.NewWeighted(maxPixels)

// sample turns the picture, brings it to a sample's height and width, and writes it as bytes C×H×W.
// What is transparent is white.
func (d decoded) sample(shape tensor.Shape, fit string, to []uint8) {
	h, w := shape[1], shape[2]
	ch, cw := h, w // the small picture is turned, and not the large one
	if d.turn.sideways() {
		ch, cw = w, h
	}
	canvas := image.NewRGBA(image.Rect(0, 0, cw, ch))
	from, at := fits[0].of(d.Bounds(), cw, ch)
	for _, f := range fits {
		if f.name == fit {
			from, at = f.of(d.Bounds(), cw, ch)
		}
	}
	draw.Draw(canvas, canvas.Bounds(), image.Black, image.Point{}, draw.Src)
	draw.Draw(canvas, at, image.White, image.Point{}, draw.Src)
	if from.Size() == at.Size() {
		draw.Draw(canvas, at, d.Image, from.Min, draw.Over)
	} else {
		img, part := shrink(d.Image, from, at.Dx(), at.Dy())
		draw.BiLinear.Scale(canvas, at, img, part, draw.Over, nil)
	}
	for i := range h {
		for j := range w {
			y, x := d.turn.source(i, j, ch, cw)
			c := canvas.Pix[y*canvas.Stride+4*x:][:3]
			if k := i*w + j; shape[0] == 1 {
				to[k] = grey(c[0], c[1], c[2])
			} else {
				to[k], to[h*w+k], to[2*h*w+k] = c[0], c[1], c[2]
			}
		}
	}
}

// grey is the brightness of a colour.
func grey(r, g, b uint8) uint8 {
	return color.GrayModel.Convert(color.RGBA{r, g, b, 255}).(color.Gray).Y
}

// inner is the largest part of b, around its middle, with sides in the proportion of w to h.
func inner(b image.Rectangle, w, h int) image.Rectangle {
	cw, ch := b.Dx(), b.Dy()
	if cw*h > ch*w {
		cw = max(1, ch*w/h)
	} else {
		ch = max(1, cw*h/w)
	}
	at := b.Min.Add(image.Pt((b.Dx()-cw)/2, (b.Dy()-ch)/2))
	return image.Rectangle{at, at.Add(image.Pt(cw, ch))}
}
