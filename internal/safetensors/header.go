// Package safetensors reads and writes files of named tensors
// (https://huggingface.co/docs/safetensors): the length of a header as a little-endian uint64; the
// header, a JSON object from names to type, shape and place; and the numbers, little-endian and
// row-major, one tensor after the other.
//
// Reading is strict: what other readers would take in two ways is an error. Memory grows with what
// a file holds, not with what it claims.
package safetensors

import (
	"encoding/binary"
	"encoding/json"
	"io"
	"math"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/pkg/errors"
)

// maxHeader is the largest header that the format permits, in bytes.
const maxHeader = 100 << 20

// maxEntries is how many tensors and strings a header may have: no network has more, and each takes
// several times its text in memory.
const maxEntries = 1 << 16

// maxRank is the most sides that a shape may have.
const maxRank = 64

// metadataKey is the name under which a header keeps strings about the file.
const metadataKey = "__metadata__"

// sizes are the bytes of an element of each type.
var sizes = map[string]int64{
	"F64": 8, "F32": 4, "F16": 2, "BF16": 2, "F8_E4M3": 1, "F8_E5M2": 1,
	"I64": 8, "I32": 4, "I16": 2, "I8": 1, "U64": 8, "U32": 4, "U16": 2, "U8": 1, "BOOL": 1,
}

// An Entry is what a header says of a tensor.
type Entry struct {
	Name  string
	Dtype string
	Shape []int
	From  int64 // of the bytes after the header
	To    int64
}

// A Header is what stands before the numbers.
type Header struct {
	Entries  []Entry // in the order in which the numbers lie
	Metadata map[string]string
}

// ReadHeader reads the header and no further.
//
// It returns an error if the header is cut short, longer than the format permits, or not UTF-8; if
// a key occurs twice in one object, is unknown or missing; and if the tensors overlap, leave gaps,
// or have sizes that do not fit their shapes.
func ReadHeader(r io.Reader) (*Header, error) {
	if r == nil {
		return nil, errors.New("the reader is nil")
	}
	var length uint64
	if err := binary.Read(r, binary.LittleEndian, &length); err != nil {
		return nil, errors.Wrap(err, "the header's length, 8 bytes")
	}
	if length > maxHeader {
		return nil, errors.Errorf("the header's length is %d bytes, want at most %d: not a safetensors file?", length, maxHeader)
	}
	raw, err := readFull(r, int(length))
	if err != nil {
		return nil, err
	}
	if !utf8.Valid(raw) {
		return nil, errors.New("the header is not UTF-8")
	}
	h := &Header{}
	s := &scanner{b: raw}
	err = s.object("the header", func(name string) error {
		if name == metadataKey {
			h.Metadata = map[string]string{}
			return s.object(metadataKey, func(key string) (err error) {
				h.Metadata[key], err = s.text()
				return errors.Wrapf(err, "%s: %.100q", metadataKey, key)
			})
		}
		e, err := s.entry(name)
		h.Entries = append(h.Entries, e)
		return errors.Wrapf(err, "the entry of %.200s", name)
	})
	if err != nil {
		return nil, err
	}
	if s.space(); s.i < len(s.b) {
		return nil, errors.New("there is more after the header's JSON object")
	}
	return h, h.place()
}

// readFull reads so many bytes, into memory that grows as they arrive.
func readFull(r io.Reader, length int) ([]byte, error) {
	var raw []byte
	for len(raw) < length {
		n := min(max(len(raw), 1<<16), length-len(raw))
		raw = slices.Grow(raw, n)
		got, err := io.ReadFull(r, raw[len(raw):len(raw)+n])
		if raw = raw[:len(raw)+got]; err == io.EOF || err == io.ErrUnexpectedEOF {
			return nil, errors.Errorf("the header ends after %d of %d bytes", len(raw), length)
		} else if err != nil {
			return nil, errors.Wrap(err, "the header")
		}
	}
	return raw, nil
}

// place sorts the entries by where they lie, and checks that they lie end to end.
func (h *Header) place() error {
	slices.SortStableFunc(h.Entries, func(a, b Entry) int {
		switch {
		case a.From != b.From:
			return int(max(-1, min(1, a.From-b.From)))
		case a.To != b.To: // an empty tensor lies before one that begins at the same byte
			return int(max(-1, min(1, a.To-b.To)))
		}
		return strings.Compare(a.Name, b.Name)
	})
	at := int64(0)
	for _, e := range h.Entries {
		if e.From != at {
			return errors.Errorf("%.200s begins at byte %d, want %d: tensors must neither overlap nor leave gaps", e.Name, e.From, at)
		}
		at = e.To
	}
	return nil
}

// A scanner reads the JSON of a header: objects, strings, and lists of whole numbers.
type scanner struct {
	b []byte
	i int
}

func (s *scanner) space() {
	for s.i < len(s.b) && strings.IndexByte(" \t\r\n", s.b[s.i]) >= 0 {
		s.i++
	}
}

// next reports whether c comes next, and reads it.
func (s *scanner) next(c byte) bool {
	if s.space(); s.i < len(s.b) && s.b[s.i] == c {
		s.i++
		return true
	}
	return false
}

// wrong says what is there instead of what is wanted.
func (s *scanner) wrong(want string) error {
	if s.i >= len(s.b) {
		return errors.Errorf("got the end, want %s", want)
	}
	return errors.Errorf("got %.20q at byte %d, want %s", s.b[s.i:min(len(s.b), s.i+20)], s.i, want)
}

// object reads an object: value is called after each key, to read what belongs to it. A key that
// occurs twice is an error.
func (s *scanner) object(what string, value func(key string) error) error {
	if !s.next('{') {
		return errors.Wrapf(s.wrong("{"), "%s is not a JSON object", what)
	}
	if s.next('}') {
		return nil
	}
	var seen keys
	for {
		key, err := s.text()
		if err != nil {
			return errors.Wrap(err, what)
		}
		if !seen.add(key) {
			return errors.Errorf("%s names %.200q twice", what, key)
		}
		if !s.next(':') {
			return errors.Wrap(s.wrong("a colon"), what)
		}
		if err := value(key); err != nil {
			return err
		}
		if seen.n > maxEntries {
			return errors.Errorf("%s has more than %d keys", what, maxEntries)
		}
		if s.next('}') {
			return nil
		}
		if !s.next(',') {
			return errors.Wrap(s.wrong("a comma or }"), what)
		}
	}
}

// keys is a set of strings; most have a few only, and take no memory of their own.
type keys struct {
	few  [8]string
	n    int
	many map[string]struct{}
}

// add reports whether the key is new.
func (k *keys) add(key string) bool {
	if slices.Contains(k.few[:min(k.n, len(k.few))], key) {
		return false
	}
	if k.n++; k.n <= len(k.few) {
		k.few[k.n-1] = key
		return true
	}
	if k.many == nil {
		k.many = map[string]struct{}{}
	}
	before := len(k.many)
	k.many[key] = struct{}{}
	return len(k.many) > before
}

// text reads a string.
func (s *scanner) text() (string, error) {
	if !s.next('"') {
		return "", s.wrong("a string")
	}
	from, escaped := s.i, false
	for ; s.i < len(s.b) && s.b[s.i] != '"'; s.i++ {
		switch c := s.b[s.i]; {
		case c < ' ':
			return "", s.wrong("no control characters in a string")
		case c == '\\':
			escaped = true
			s.i++
		}
	}
	if s.i >= len(s.b) {
		return "", s.wrong("the end of a string")
	}
	s.i++
	if !escaped {
		return string(s.b[from : s.i-1]), nil
	}
	var v string
	err := json.Unmarshal(s.b[from-1:s.i], &v)
	return v, err
}

// number reads a whole number of at least 0.
func (s *scanner) number() (int64, error) {
	s.space()
	from, v := s.i, int64(0)
	for ; s.i < len(s.b) && '0' <= s.b[s.i] && s.b[s.i] <= '9'; s.i++ {
		d := int64(s.b[s.i] - '0')
		if v > (math.MaxInt64-d)/10 {
			return 0, errors.Errorf("a number is beyond %d", int64(math.MaxInt64))
		}
		v = v*10 + d
	}
	if s.i == from || s.b[from] == '0' && s.i > from+1 {
		s.i = from
		return 0, s.wrong("a whole number of at least 0")
	}
	return v, nil
}

// numbers reads a list.
func (s *scanner) numbers() ([]int64, error) {
	if !s.next('[') {
		return nil, s.wrong("a list of numbers")
	}
	var list []int64
	if s.next(']') {
		return list, nil
	}
	for {
		v, err := s.number()
		if err != nil {
			return nil, err
		}
		list = append(list, v)
		if s.next(']') {
			return list, nil
		}
		if !s.next(',') {
			return nil, s.wrong("a comma or ]")
		}
	}
}

// entry reads what a header says of a tensor and checks that it fits together.
func (s *scanner) entry(name string) (Entry, error) {
	e := Entry{Name: name}
	var shape, offsets []int64
	err := s.object("the object", func(key string) (err error) {
		switch key {
		case "dtype":
			e.Dtype, err = s.text()
		case "shape":
			if shape, err = s.numbers(); shape == nil {
				shape = []int64{} // a scalar's
			}
		case "data_offsets":
			offsets, err = s.numbers()
		default:
			return errors.Errorf("got the key %.100q, want dtype, shape and data_offsets", key)
		}
		return errors.Wrap(err, key)
	})
	if err != nil {
		return e, err
	}
	size, known := sizes[e.Dtype]
	switch {
	case !known:
		return e, errors.Errorf("the type is %.100q, which is none of the format's", e.Dtype)
	case shape == nil:
		return e, errors.New("there is no shape")
	case len(shape) > maxRank:
		return e, errors.Errorf("the shape has %d sides, want at most %d", len(shape), maxRank)
	case len(offsets) != 2:
		return e, errors.Errorf("got %d data_offsets, want 2", len(offsets))
	}
	want := size
	for _, side := range shape {
		if side > math.MaxInt || side != 0 && want > math.MaxInt64/side {
			return e, errors.Errorf("the shape %v has more elements than can be addressed", shape)
		}
		want *= side
		e.Shape = append(e.Shape, int(side))
	}
	if e.From, e.To = offsets[0], offsets[1]; e.To < e.From || e.To-e.From != want {
		return e, errors.Errorf("lies at bytes %d to %d, want %d bytes", e.From, e.To, want)
	}
	return e, nil
}
