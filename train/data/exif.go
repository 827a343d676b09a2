package data

import (
	"bytes"
	"encoding/binary"
	"io"
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

// readOrientation finds the orientation in a JPEG file: tag 0x0112 of the first directory of the
// TIFF structure in its APP1 segment. A file that says nothing, or nothing that can be read, is not
// turned.
func readOrientation(r io.Reader) orientation {
	var head [4]byte
	if _, err := io.ReadFull(r, head[:2]); err != nil || head[0] != 0xff || head[1] != 0xd8 {
		return 0
	}
	for range 64 { // segments before the picture
		if _, err := io.ReadFull(r, head[:]); err != nil || head[0] != 0xff || head[1] == 0xda || head[1] == 0xd9 {
			return 0
		}
		size := int64(binary.BigEndian.Uint16(head[2:])) - 2
		if size < 0 {
			return 0
		}
		if head[1] != 0xe1 {
			if _, err := io.CopyN(io.Discard, r, size); err != nil {
				return 0
			}
			continue
		}
		segment := make([]byte, size)
		if _, err := io.ReadFull(r, segment); err != nil {
			return 0
		}
		if tiff, ok := bytes.CutPrefix(segment, []byte("Exif\x00\x00")); ok {
			return tiffOrientation(tiff)
		}
	}
	return 0
}

func tiffOrientation(b []byte) orientation {
	if len(b) < 8 {
		return 0
	}
	var order binary.ByteOrder = binary.LittleEndian
	if b[0] == 'M' {
		order = binary.BigEndian
	}
	at := uint64(order.Uint32(b[4:]))
	if at+2 > uint64(len(b)) {
		return 0
	}
	entries := uint64(order.Uint16(b[at:]))
	for k := range entries {
		e := at + 2 + 12*k
		if e+12 > uint64(len(b)) {
			return 0
		}
		const tag, short = 0x0112, 3
		if order.Uint16(b[e:]) == tag && order.Uint16(b[e+2:]) == short {
			if v := order.Uint16(b[e+8:]); v <= 8 {
				return orientation(v)
			}
			return 0
		}
	}
	return 0
}
