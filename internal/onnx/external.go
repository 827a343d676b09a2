package onnx

import (
	"io"
	"strconv"

	"github.com/pkg/errors"
)

// An external says where in another file a tensor's numbers lie.
type external struct {
	location       string // relative to the model's directory
	offset, length int64  // length: −1 for as many as the shape has
}

// set takes an entry of external_data. ONNX has more of them, such as a checksum, which change
// nothing.
func (e *external) set(key, value string) (err error) {
	switch key {
	case "location":
		e.location = value
	case "offset":
		e.offset, err = strconv.ParseInt(value, 10, 64)
	case "length":
		e.length, err = strconv.ParseInt(value, 10, 64)
	}
	return errors.Wrapf(err, "external_data: %s", key)
}

// An Opener opens a file that a model names, and says its size in bytes.
type Opener func(location string) (io.ReaderAt, int64, error)

// fetch reads the numbers of initializers that lie in other files. No two may share a byte, so that
// memory stays in proportion to the files.
func (g *Graph) fetch(open Opener) error {
	files := map[string]*otherFile{}
	for i, t := range g.Initializers {
		if t.other == nil {
			continue
		}
		err := t.fetch(open, files)
		if err != nil {
			return errors.Wrapf(err, "initializer %d: the tensor %.200q: its numbers lie in another file, %.200q", i, t.Name, t.other.location)
		}
	}
	return nil
}

// An otherFile is one that numbers are read from.
type otherFile struct {
	io.ReaderAt
	size, left int64 // left: bytes that no tensor has yet taken
}

func (t *Tensor) fetch(open Opener, files map[string]*otherFile) error {
	e := t.other
	f := files[e.location]
	if f == nil {
		if open == nil {
			return errors.New("want them in this one")
		}
		r, size, err := open(e.location)
		if err != nil {
			return err
		}
		f = &otherFile{r, size, size}
		files[e.location] = f
	}
	size := int64(t.Type.size())
	n := int64(t.Len()) * size
	switch {
	case size == 0:
		return errors.Errorf("they are of %v, which is not read", t.Type)
	case e.length != -1 && e.length != n:
		return errors.Errorf("it has %d bytes of numbers, want %d for the shape %v of %v", e.length, n, t.Dims, t.Type)
	case e.offset < 0 || e.offset > f.size || n > f.size-e.offset:
		return errors.Errorf("%d bytes from byte %d on, and the file has %d", n, e.offset, f.size)
	case n > f.left:
		return errors.New("tensors share its bytes, want each to have its own")
	}
	f.left -= n
	t.Raw = make([]byte, n)
	_, err := io.ReadFull(io.NewSectionReader(f, e.offset, n), t.Raw)
	return err
}
