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

	"github.com/pkg/errors"
	_ "golang.org/x/image/bmp"
	"golang.org/x/image/draw"
	_ "golang.org/x/image/webp"
	"golang.org/x/sync/semaphore"
	"gorgonia.org/tensor"
)

// maxPixels bounds a picture before it is decoded: 64 megapixels.
const maxPixels = 64 << 20

// ReadPicture decodes a picture, PNG, JPEG, GIF, WebP or BMP, and brings it to the shape of a
// sample, 1×H×W or 3×H×W, as Folder does. It returns the sample's bytes.
//
// It returns an error if there is no such picture, or one of more than most pixels; 0 stands for
// 2²⁶. The size is looked at before the picture is decoded.
func ReadPicture(r io.ReadSeeker, shape tensor.Shape, most int) ([]uint8, error) {
	size, err := sampleSize(shape)
	if err != nil {
		return nil, err
	}
	if len(shape) != 3 || shape[0] != 1 && shape[0] != 3 {
		return nil, errors.Errorf("data: ReadPicture: samples are %v, want 1×H×W or 3×H×W", shape)
	}
	if most <= 0 {
		most = maxPixels
	}
	img, release, err := decodeFrom(r, most)
	if err != nil {
		return nil, err
	}
	defer release()
	to := make([]uint8, size)
	fit(img, shape, to)
	return to, nil
}

// decodeFrom reads a picture whose size it has looked at first. release says that it is not used
// any more.
func decodeFrom(r io.ReadSeeker, most int) (img image.Image, release func(), err error) {
	release = func() {}
	defer func() { // a decoder's fault is the file's
		if r := recover(); r != nil {
			err = errors.Errorf("the decoder panicked: %v", r)
		}
		if err != nil {
			release()
		}
	}()
	c, _, err := image.DecodeConfig(bufio.NewReader(r))
	if err != nil {
		return nil, release, err
	}
	if c.Width < 1 || c.Height < 1 || c.Width > most/c.Height {
		return nil, release, errors.Errorf("the picture has %d×%d pixels, want at most %d in all", c.Height, c.Width, most)
	}
	if _, err := r.Seek(0, io.SeekStart); err != nil {
		return nil, release, err
	}
	n := int64(min(c.Width*c.Height, maxPixels))
	if err := underway.Acquire(context.Background(), n); err != nil {
		return nil, release, err
	}
	release = func() { underway.Release(n) }
	img, _, err = image.Decode(bufio.NewReader(r))
	return img, release, err
}

// underway are the pixels of pictures that are decoded and not yet brought to size. There are no
// more than maxPixels at a time: a decoder takes up to some twenty bytes a pixel.
var underway = semaphore.NewWeighted(maxPixels)

// fit scales a picture so that it covers a sample's height and width, and writes its middle, as
// bytes C×H×W. What is transparent is white.
func fit(img image.Image, shape tensor.Shape, to []uint8) {
	h, w := shape[1], shape[2]
	canvas := image.NewRGBA(image.Rect(0, 0, w, h))
	draw.Draw(canvas, canvas.Bounds(), image.White, image.Point{}, draw.Src)
	if from := cover(img.Bounds(), w, h); from.Dx() == w && from.Dy() == h {
		draw.Draw(canvas, canvas.Bounds(), img, from.Min, draw.Over)
	} else {
		draw.CatmullRom.Scale(canvas, canvas.Bounds(), img, from, draw.Over, nil)
	}
	for k := range h * w {
		c := canvas.Pix[4*k:][:3]
		if shape[0] == 1 {
			to[k] = color.GrayModel.Convert(color.RGBA{c[0], c[1], c[2], 255}).(color.Gray).Y
			continue
		}
		for channel, v := range c {
			to[channel*h*w+k] = v
		}
	}
}

// cover is the largest part of b, around its middle, with sides in the proportion of w to h.
func cover(b image.Rectangle, w, h int) image.Rectangle {
	cw, ch := b.Dx(), b.Dy()
	if cw*h > ch*w {
		cw = max(1, ch*w/h)
	} else {
		ch = max(1, cw*h/w)
	}
	at := b.Min.Add(image.Pt((b.Dx()-cw)/2, (b.Dy()-ch)/2))
	return image.Rectangle{at, at.Add(image.Pt(cw, ch))}
}
