package model

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strings"

	"github.com/pkg/errors"
	"gorgonia.org/tensor"
)

// Weights are kept as safetensors (https://huggingface.co/docs/safetensors): the length of a header as a little-endian uint64, the header, a JSON object from names to type, shape and place,
// and the numbers, little-endian and row-major, one tensor after the other. Names and layouts are PyTorch's, so the file loads there with load_state_dict.

// maxHeader is the largest header that the format permits.
const maxHeader = 100 << 20

// metadataKey is the name under which a header keeps strings about the file.
const metadataKey = "__metadata__"

type tensorEntry struct {
	Dtype   string  `json:"dtype"`
	Shape   []int   `json:"shape"`
	Offsets []int64 `json:"data_offsets"` // two
}

// Save writes the weights as safetensors. metadata, which may be nil, is kept in the header.
//
// It returns an error, and writes nothing, if a weight is NaN or infinite: such a network is of no use, and its file would replace one that is.
func (n *Network) Save(w io.Writer, metadata map[string]string) error {
	if err := n.made(); err != nil {
		return err
	}
	if w == nil {
		return errors.New("model: saving weights: the writer is nil")
	}
	for _, p := range n.params {
		if err := finite(p.Value.Data()); err != nil {
			return errors.Wrapf(err, "model: saving weights: %s", p.Name)
		}
	}
	header := map[string]any{}
	if len(metadata) > 0 {
		header[metadataKey] = metadata
	}
	var data bytes.Buffer
	for _, p := range n.params {
		from := int64(data.Len())
		kind := "F32"
		if n.dtype == tensor.Float64 {
			kind = "F64"
		}
		if err := binary.Write(&data, binary.LittleEndian, p.Value.Data()); err != nil {
			return errors.Wrapf(err, "model: saving %s", p.Name)
		}
		header[p.Name] = tensorEntry{kind, p.Value.Shape().Clone(), []int64{from, int64(data.Len())}}
	}
	h, err := json.Marshal(header) // sorts its keys: the same weights make the same file
	if err != nil {
		return errors.Wrap(err, "model: saving weights")
	}
	for len(h)%8 != 0 { // the numbers begin at a multiple of 8
		h = append(h, ' ')
	}
	if err := binary.Write(w, binary.LittleEndian, uint64(len(h))); err != nil {
		return errors.Wrap(err, "model: saving weights")
	}
	for _, part := range [][]byte{h, data.Bytes()} {
		if _, err := w.Write(part); err != nil {
			return errors.Wrap(err, "model: saving weights")
		}
	}
	return nil
}

// SaveFile is Save to a file. The file appears whole or not at all: it is written beside the path, synced, and renamed.
func (n *Network) SaveFile(path string, metadata map[string]string) (err error) {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		return errors.Wrap(err, "model: saving weights")
	}
	defer func() {
		if err != nil {
			f.Close()
			os.Remove(f.Name())
		}
	}()
	if err = n.Save(f, metadata); err != nil {
		return err
	}
	if err = f.Chmod(0o644); err != nil {
		return errors.Wrap(err, "model: saving weights")
	}
	if err = f.Sync(); err != nil {
		return errors.Wrap(err, "model: saving weights")
	}
	if err = f.Close(); err != nil {
		return errors.Wrap(err, "model: saving weights")
	}
	if err = os.Rename(f.Name(), path); err != nil {
		return errors.Wrap(err, "model: saving weights")
	}
	// The rename lasts once the directory is synced too. Not every system can do that; the file itself is safe.
	if dir, err := os.Open(filepath.Dir(path)); err == nil {
		_ = dir.Sync()
		_ = dir.Close()
	}
	return nil
}

// Load reads weights that Save, or PyTorch, wrote. Numbers of the other float type are converted.
//
// It returns an error that says what was got and wanted, and leaves the weights as they were, if the file is cut short, is not safetensors, lies about sizes, does not hold exactly the network's
// parameters in their shapes, or holds NaN, an infinity, or a number beyond the network's type.
func (n *Network) Load(r io.Reader) error {
	if err := n.made(); err != nil {
		return err
	}
	header, err := readHeader(r)
	if err != nil {
		return err
	}
	if _, err := metadata(header); err != nil {
		return err
	}
	delete(header, metadataKey)
	entries, total, err := n.entries(header)
	if err != nil {
		return err
	}
	data, err := io.ReadAll(io.LimitReader(r, total+1))
	if err != nil {
		return errors.Wrap(err, "model: loading weights")
	}
	if int64(len(data)) < total {
		return errors.Errorf("model: loading weights: the numbers end after %d of %d bytes", len(data), total)
	}
	if int64(len(data)) > total {
		return errors.Errorf("model: loading weights: there is more after the %d bytes of numbers that the header names", total)
	}
	weights := make([]any, len(n.params))
	for i, p := range n.params {
		e := entries[i]
		weights[i] = decode(n.dtype, data[e.Offsets[0]:e.Offsets[1]], e.Dtype == "F64")
		if err := finite(weights[i]); err != nil {
			return errors.Wrapf(err, "model: loading weights: %s", p.Name)
		}
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	for i, p := range n.params { // everything has been checked: from here on nothing fails
		copyData(p.Value.Data(), weights[i], 0, 0, p.Value.Shape().TotalSize())
	}
	return nil
}

// finite returns an error that names the first element that is NaN or infinite.
func finite(weights any) error {
	switch w := weights.(type) {
	case []float32:
		return allFinite(w)
	case []float64:
		return allFinite(w)
	}
	return nil
}

func allFinite[T float32 | float64](w []T) error {
	for i, v := range w {
		if math.IsNaN(float64(v)) || math.IsInf(float64(v), 0) {
			return errors.Errorf("element %d is %v, want a finite number", i, v)
		}
	}
	return nil
}

// Metadata returns the strings that Save kept in the header, and reads no further than that.
//
// It returns an error if r does not begin with a safetensors header.
func Metadata(r io.Reader) (map[string]string, error) {
	header, err := readHeader(r)
	if err != nil {
		return nil, err
	}
	return metadata(header)
}

func metadata(header map[string]json.RawMessage) (map[string]string, error) {
	raw, ok := header[metadataKey]
	if !ok {
		return nil, nil
	}
	var m map[string]string
	return m, errors.Wrapf(json.Unmarshal(raw, &m), "model: loading weights: the header's %s", metadataKey)
}

// readHeader reads the header's length and the header, and no further. A name that occurs twice is an error: JSON would quietly take the last.
func readHeader(r io.Reader) (map[string]json.RawMessage, error) {
	if r == nil {
		return nil, errors.New("model: loading weights: the reader is nil")
	}
	var length uint64
	if err := binary.Read(r, binary.LittleEndian, &length); err != nil {
		return nil, errors.Wrap(err, "model: loading weights: the header's length, 8 bytes")
	}
	if length > maxHeader {
		return nil, errors.Errorf("model: loading weights: the header's length is %d bytes, want at most %d: not a safetensors file?", length, maxHeader)
	}
	raw, err := io.ReadAll(io.LimitReader(r, int64(length))) // grows with what is there, not with what is claimed
	if err != nil {
		return nil, errors.Wrap(err, "model: loading weights: the header")
	}
	if uint64(len(raw)) != length {
		return nil, errors.Errorf("model: loading weights: the header ends after %d of %d bytes", len(raw), length)
	}
	dec := json.NewDecoder(bytes.NewReader(raw))
	if open, err := dec.Token(); err != nil || open != json.Delim('{') {
		return nil, errors.New("model: loading weights: the header is not a JSON object")
	}
	header := map[string]json.RawMessage{}
	for dec.More() {
		key, err := dec.Token()
		if err != nil {
			return nil, errors.Wrap(err, "model: loading weights: the header")
		}
		name, _ := key.(string) // in an object it is one
		if _, twice := header[name]; twice {
			return nil, errors.Errorf("model: loading weights: the header names %q twice", name)
		}
		var v json.RawMessage
		if err := dec.Decode(&v); err != nil {
			return nil, errors.Wrapf(err, "model: loading weights: the header's entry of %q", name)
		}
		header[name] = v
	}
	if _, err := dec.Token(); err != nil { // the closing brace
		return nil, errors.Wrap(err, "model: loading weights: the header")
	}
	if _, err := dec.Token(); err != io.EOF {
		return nil, errors.New("model: loading weights: there is more after the header's JSON object")
	}
	return header, nil
}

// entries checks a header against the parameters and returns their entries, in order, and the number of bytes that they take together.
func (n *Network) entries(header map[string]json.RawMessage) ([]tensorEntry, int64, error) {
	var missing []string
	entries := make([]tensorEntry, len(n.params))
	var total int64
	type span struct {
		from, to int64
		name     string
	}
	var spans []span
	for i, p := range n.params {
		raw, ok := header[p.Name]
		if !ok {
			missing = append(missing, p.Name)
			continue
		}
		delete(header, p.Name)
		e := &entries[i]
		if err := json.Unmarshal(raw, e); err != nil {
			return nil, 0, errors.Wrapf(err, "model: loading weights: the header's entry of %s", p.Name)
		}
		size := int64(4)
		switch e.Dtype {
		case "F32":
		case "F64":
			size = 8
		default:
			return nil, 0, errors.Errorf("model: loading weights: %s has the type %q, want F32 or F64", p.Name, e.Dtype)
		}
		if !slices.Equal(e.Shape, []int(p.Value.Shape())) {
			return nil, 0, errors.Errorf("model: loading weights: %s has shape %v, want %v", p.Name, e.Shape, p.Value.Shape())
		}
		if len(e.Offsets) != 2 {
			return nil, 0, errors.Errorf("model: loading weights: %s has %d data_offsets, want 2", p.Name, len(e.Offsets))
		}
		from, to := e.Offsets[0], e.Offsets[1]
		if want := size * int64(p.Value.Shape().TotalSize()); from < 0 || to < from || to-from != want {
			return nil, 0, errors.Errorf("model: loading weights: %s lies at bytes %d to %d, want %d bytes", p.Name, from, to, want)
		}
		spans = append(spans, span{from, to, p.Name})
		total += to - from
	}
	if len(missing) > 0 || len(header) > 0 {
		var extra []string
		for name := range header {
			extra = append(extra, name)
		}
		sort.Strings(extra)
		return nil, 0, errors.Errorf("model: loading weights: not the parameters of %s: missing [%s], unknown [%s]", n.name, strings.Join(missing, " "), strings.Join(extra, " "))
	}
	sort.Slice(spans, func(i, j int) bool { return spans[i].from < spans[j].from })
	at := int64(0)
	for _, s := range spans {
		if s.from != at {
			return nil, 0, errors.Errorf("model: loading weights: %s begins at byte %d, want %d: tensors must neither overlap nor leave gaps", s.name, s.from, at)
		}
		at = s.to
	}
	return entries, total, nil
}

// decode reads little-endian floats, of 8 bytes where double is set, as a slice of either type.
func decode(as tensor.Dtype, data []byte, double bool) any {
	size, at := 4, func(b []byte) float64 { return float64(math.Float32frombits(binary.LittleEndian.Uint32(b))) }
	if double {
		size, at = 8, func(b []byte) float64 { return math.Float64frombits(binary.LittleEndian.Uint64(b)) }
	}
	if as == tensor.Float64 {
		return decoded[float64](data, size, at)
	}
	return decoded[float32](data, size, at)
}

func decoded[T float32 | float64](data []byte, size int, at func([]byte) float64) []T {
	d := make([]T, len(data)/size)
	for i := range d {
		d[i] = T(at(data[i*size:]))
	}
	return d
}

// LoadFile is Load from a file.
func (n *Network) LoadFile(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return errors.Wrap(err, "model: loading weights")
	}
	defer f.Close()
	return errors.Wrap(n.Load(f), path)
}
