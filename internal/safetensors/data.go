package safetensors

import (
	"cmp"
	"encoding/binary"
	"encoding/json"
	"io"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"unicode/utf8"

	"github.com/pkg/errors"
	"gorgonia.org/tensor"

	"github.com/convgrad/convgrad/internal/numbers"
)

// chunk is how many bytes are converted at a time.
const chunk = 1 << 16

// Each calls f for every tensor, in the order in which the numbers lie; f may read them from data,
// or leave them. r is what ReadHeader read from.
//
// It returns the first error of f, and one if the numbers end too early or go on.
func (h *Header) Each(r io.Reader, f func(e Entry, data io.Reader) error) error {
	for _, e := range h.Entries {
		data := &io.LimitedReader{R: r, N: e.To - e.From}
		if err := f(e, data); err != nil {
			return err
		}
		if _, err := io.Copy(io.Discard, data); err != nil {
			return errors.Wrapf(err, "the numbers of %.200s", e.Name)
		}
		if data.N > 0 {
			return errors.Errorf("the numbers end after %d of %d bytes", e.To-data.N, h.Entries[len(h.Entries)-1].To)
		}
	}
	var more [1]byte
	switch _, err := io.ReadFull(r, more[:]); err {
	case io.EOF:
		return nil
	case nil:
		return errors.New("there is more after the numbers that the header names")
	default:
		return errors.Wrap(err, "the end of the numbers")
	}
}

// Floats reads len(dst) numbers of a type, F64, F32, F16 or BF16, and rounds them to T.
//
// It returns an error if the numbers end too early, if one is NaN or infinite, or beyond T.
func Floats[T float32 | float64](dst []T, dtype string, r io.Reader) error {
	format := numbers.Named(dtype)
	if format == 0 {
		return errors.Errorf("has the type %q, want F64, F32, F16 or BF16", dtype)
	}
	size := format.Size()
	buf := make([]byte, min(chunk, len(dst)*size))
	for done := 0; done < len(dst); {
		n := min(len(buf)/size, len(dst)-done)
		if got, err := io.ReadFull(r, buf[:n*size]); err != nil {
			if err == io.EOF || err == io.ErrUnexpectedEOF {
				return errors.Errorf("the numbers end after %d of %d bytes of the tensor", done*size+got, len(dst)*size)
			}
			return err
		}
		if err := numbers.Finite(dst[done:done+n], format, buf, binary.LittleEndian, done); err != nil {
			return err
		}
		done += n
	}
	return nil
}

// Read reads all tensors, as float64 where they are F64 and as float32 where they are F32, F16 or
// BF16, and the metadata, which is nil if there is none.
func Read(r io.Reader) (map[string]*tensor.Dense, map[string]string, error) {
	h, err := ReadHeader(r)
	if err != nil {
		return nil, nil, err
	}
	all := make(map[string]*tensor.Dense, len(h.Entries))
	err = h.Each(r, func(e Entry, data io.Reader) (err error) {
		if len(e.Shape) == 0 || e.To == e.From {
			return errors.Errorf("%.200s has shape %v, want at least one side and one element", e.Name, e.Shape)
		}
		if e.Dtype == "F64" {
			all[e.Name], err = read[float64](e, data)
		} else {
			all[e.Name], err = read[float32](e, data)
		}
		return errors.Wrapf(err, "%.200s", e.Name)
	})
	if err != nil {
		return nil, nil, err
	}
	return all, h.Metadata, nil
}

// read takes memory as the numbers arrive: the shape may be a lie.
func read[T float32 | float64](e Entry, data io.Reader) (*tensor.Dense, error) {
	var v []T
	total := int((e.To - e.From) / max(sizes[e.Dtype], 1))
	for len(v) < total {
		n := min(max(len(v), chunk), total-len(v))
		v = slices.Grow(v, n)[:len(v)+n]
		if err := Floats(v[len(v)-n:], e.Dtype, data); err != nil {
			return nil, err
		}
	}
	return tensor.New(tensor.WithShape(e.Shape...), tensor.WithBacking(v)), nil
}

// Write writes tensors of float32 or float64, and metadata, which may be nil. The same tensors make
// the same bytes.
//
// It returns an error, and writes nothing, if a tensor is not plain, a number is NaN or infinite,
// or a name is not UTF-8 or the format's own.
func Write(w io.Writer, tensors map[string]*tensor.Dense, metadata map[string]string) error {
	return WriteAs(w, tensors, metadata, 0)
}

// WriteAs is Write with all numbers in one format, rounded to its nearest: 0 keeps each tensor's
// own. A number beyond the format is an error too.
func WriteAs(w io.Writer, tensors map[string]*tensor.Dense, metadata map[string]string, format numbers.Format) error {
	if w == nil {
		return errors.New("the writer is nil")
	}
	type entry struct {
		Dtype   string  `json:"dtype"`
		Shape   []int   `json:"shape"`
		Offsets []int64 `json:"data_offsets"`
	}
	header := map[string]any{}
	names := slices.Sorted(maps.Keys(tensors))
	at := int64(0)
	for _, name := range names {
		if !utf8.ValidString(name) || name == metadataKey {
			return errors.Errorf("the name %.200q is not UTF-8, or the format's own", name)
		}
		dtype, err := check(tensors[name])
		if err == nil && format != 0 { // and find what is beyond it
			dtype, err = format.String(), write(io.Discard, tensors[name], format)
		}
		if err != nil {
			return errors.Wrapf(err, "%.200s", name)
		}
		size := sizes[dtype] * int64(tensors[name].Shape().TotalSize())
		header[name] = entry{dtype, slices.Clone([]int(tensors[name].Shape())), []int64{at, at + size}}
		at += size
	}
	for key, v := range metadata {
		if !utf8.ValidString(key) || !utf8.ValidString(v) {
			return errors.Errorf("the metadata %.100q, %.100q, are not UTF-8", key, v)
		}
	}
	if len(metadata) > 0 {
		header[metadataKey] = metadata
	}
	h, err := json.Marshal(header) // sorts its keys
	if err != nil {
		return err
	}
	for len(h)%8 != 0 { // the numbers begin at a multiple of 8
		h = append(h, ' ')
	}
	if len(h) > maxHeader {
		return errors.Errorf("the header takes %d bytes, want at most %d", len(h), maxHeader)
	}
	if _, err := w.Write(append(binary.LittleEndian.AppendUint64(nil, uint64(len(h))), h...)); err != nil {
		return err
	}
	for _, name := range names {
		if err := write(w, tensors[name], format); err != nil {
			return errors.Wrapf(err, "%.200s", name)
		}
	}
	return nil
}

// write writes the numbers of a tensor.
func write(w io.Writer, t *tensor.Dense, format numbers.Format) error {
	switch v := t.Data().(type) {
	case []float32:
		return writeNumbers(w, v, cmp.Or(format, numbers.F32))
	case []float64:
		return writeNumbers(w, v, cmp.Or(format, numbers.F64))
	}
	return nil
}

func writeNumbers[T float32 | float64](w io.Writer, v []T, format numbers.Format) (err error) {
	buf := make([]byte, 0, chunk)
	for done := 0; done < len(v); {
		n := min(len(v)-done, chunk/8)
		if buf, err = numbers.Append(buf[:0], format, v[done:done+n], done); err != nil {
			return err
		}
		if _, err := w.Write(buf); err != nil {
			return err
		}
		done += n
	}
	return nil
}

// check returns the type of a tensor, or an error unless it is plain and finite.
func check(t *tensor.Dense) (string, error) {
	if t == nil || t.Dtype().Type == nil {
		return "", errors.New("is no tensor")
	}
	if len(t.Shape()) == 0 || t.DataOrder().IsColMajor() || t.RequiresIterator() {
		return "", errors.Errorf("is a scalar, a view or column-major, with shape %v: want a plain tensor", t.Shape())
	}
	switch v := t.Data().(type) {
	case []float32:
		return "F32", finite(v, t.Shape().TotalSize())
	case []float64:
		return "F64", finite(v, t.Shape().TotalSize())
	}
	return "", errors.Errorf("is of %v, want float32 or float64", t.Dtype())
}

func finite[T float32 | float64](v []T, n int) error {
	if len(v) != n {
		return errors.Errorf("has %d numbers in memory, want %d", len(v), n)
	}
	for i, x := range v {
		if math.IsNaN(float64(x)) || math.IsInf(float64(x), 0) {
			return errors.Errorf("element %d is %v, want a finite number", i, x)
		}
	}
	return nil
}

// WriteFile is Write to a file, which appears whole or not at all.
func WriteFile(path string, tensors map[string]*tensor.Dense, metadata map[string]string) error {
	return WholeFile(path, func(w io.Writer) error { return Write(w, tensors, metadata) })
}

// WholeFile writes a file that appears whole or not at all: it is written beside the path, as
// ".NAME.*", synced, and renamed. Only a file is replaced: what else is there, such as a device or
// a named pipe, would be lost by the rename, and is an error.
func WholeFile(path string, write func(w io.Writer) error) (err error) {
	if path == "" {
		return errors.New("the path is empty, want a file's")
	}
	if info, err := os.Stat(path); err == nil && !info.Mode().IsRegular() {
		return errors.Errorf("%s is no file (%v), want one, or nothing there", path, info.Mode())
	}
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			f.Close()
			os.Remove(f.Name())
		}
	}()
	if err = write(f); err != nil {
		return err
	}
	if err = f.Chmod(0o644); err != nil {
		return err
	}
	if err = f.Sync(); err != nil {
		return err
	}
	if err = f.Close(); err != nil {
		return err
	}
	if err = os.Rename(f.Name(), path); err != nil {
		return err
	}
	// The rename lasts once the directory is synced too. Not every system can do that; the file
	// itself is safe.
	if dir, err := os.Open(filepath.Dir(path)); err == nil {
		_ = dir.Sync()
		_ = dir.Close()
	}
	return nil
}
