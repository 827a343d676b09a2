package data

import (
	"bufio"
	"bytes"
	"io"

	"github.com/bep/imagemeta"
	"golang.org/x/image/riff"
)

// An orientation is how a picture's file says that it is to be turned, as EXIF counts: 1 is not at
// all, 3 by half, 6 and 8 by a quarter; 2, 4, 5 and 7 are mirrored. 0 says nothing.
type orientation uint8

// sideways reports whether height and width change places.
func (o orientation) sideways() bool { return o >= 5 && o <= 8 }

// source is the pixel of the file's picture, h×w, that is shown at i, j.
func (o orientation) source(i, j, h, w int) (y, x int) {
	switch o {
	case 2:
		return i, w - 1 - j
	case 3:
		return h - 1 - i, w - 1 - j
	case 4:
		return h - 1 - i, j
	case 5:
		return j, i
	case 6:
		return h - 1 - j, i
	case 7:
		return h - 1 - j, w - 1 - i
	case 8:
		return j, w - 1 - i
	}
	return i, j
}

// turnable are the formats whose files can hold EXIF data, by their names in package image.
var turnable = map[string]imagemeta.ImageFormat{"jpeg": imagemeta.JPEG, "png": imagemeta.PNG, "webp": imagemeta.TIFF}

// readOrientation finds the orientation in a file's EXIF data. A file that says nothing, or nothing
// that can be read, is not turned.
func readOrientation(r io.ReadSeeker, format string) (o orientation) {
	f, ok := turnable[format]
	if !ok {
		return 0
	}
	if format == "webp" {
		if r = chunkWebP(r); r == nil {
			return 0
		}
	}
	tag := func(t imagemeta.TagInfo) bool { return t.Namespace == "IFD0" && t.Tag == "Orientation" }
	_, _ = imagemeta.Decode(imagemeta.Options{
		R: r, ImageFormat: f, Sources: imagemeta.EXIF, LimitTagSize: 64, ShouldHandleTag: tag,
		HandleTag: func(t imagemeta.TagInfo) error {
			if v, ok := t.Value.(uint16); ok && v <= 8 {
				o = orientation(v)
			}
			return imagemeta.ErrStopWalking
		},
	})
	return o
}

// chunkWebP is what the EXIF chunk of a WebP file holds, or nil. imagemeta's own reader loses its
// place after a chunk of an odd number of bytes.
func chunkWebP(r io.Reader) io.ReadSeeker {
	_, chunks, err := riff.NewReader(bufio.NewReader(r))
	for err == nil {
		var id riff.FourCC
		var chunk io.Reader
		if id, _, chunk, err = chunks.Next(); err == nil && id == (riff.FourCC{'E', 'X', 'I', 'F'}) {
			const most = 1 << 20
			b, err := io.ReadAll(io.LimitReader(chunk, most))
			if err != nil {
				return nil
			}
			// Some writers begin it as in a JPEG file.
			return bytes.NewReader(bytes.TrimPrefix(b, []byte("Exif\x00\x00")))
		}
	}
	return nil
}
