package pickle

import (
	"encoding/binary"
	"io"

	"github.com/pkg/errors"
)

// legacyVersion is the only one of the form that PyTorch wrote before version 1.6.
const legacyVersion = 1001

// openLegacy looks into a checkpoint of that form: a pickle each of a magic number, the version,
// what machine wrote it, the value, and the storages' keys; then each storage in the order of the
// keys, as the number of its elements in eight bytes, and these.
func openLegacy(r io.ReaderAt, size int64) (*File, error) {
	// Nothing says how long the pickles are: they are at the beginning of a file that may be large.
	for n := int64(1 << 16); ; n *= 4 {
		b, err := io.ReadAll(io.NewSectionReader(r, 0, min(n, size)))
		if err != nil {
			return nil, err
		}
		l := &legacyFile{r: r, size: size, machine: machine{b: b}, known: map[string]*storage{}}
		l.load = l.storage
		f, err := l.read()
		if err == nil || !l.short || n >= size {
			return f, err
		}
	}
}

// A legacyFile is one that is being looked into.
type legacyFile struct {
	machine
	r     io.ReaderAt
	size  int64
	known map[string]*storage
}

func (l *legacyFile) read() (*File, error) {
	if _, err := l.next(); err != nil { // the magic number, which the caller has seen
		return nil, err
	}
	version, err := l.next()
	if err != nil {
		return nil, err
	}
	if version != int64(legacyVersion) {
		return nil, errors.Errorf("the version is %s, want %d", describe(version), legacyVersion)
	}
	c := &File{order: binary.LittleEndian}
	machine, err := l.next()
	if err != nil {
		return nil, err
	}
	if d, ok := machine.(*dict); ok {
		if i, there := d.at["little_endian"]; there && d.values[i] == false {
			c.order = binary.BigEndian
		}
	}
	v, err := l.next()
	if err != nil {
		return nil, err
	}
	if c.Tensors, err = tensorsOf(v); err != nil {
		return nil, err
	}
	return c, l.place(c.order)
}

// storage is one that place finds later: its name has a sixth part, None where it is a whole one.
func (l *legacyFile) storage(id tuple) (any, error) {
	if len(id) != 6 || id[5] != nil {
		return nil, errors.New("a storage is a part of another, want whole ones")
	}
	return storageOf(id, l.known)
}

// place finds out where in the file the storages are.
func (l *legacyFile) place(order binary.ByteOrder) error {
	v, err := l.next()
	if err != nil {
		return err
	}
	keys, ok := v.(*list)
	if !ok {
		return errors.Errorf("the storages' keys are %s, want a list", describe(v))
	}
	at := int64(l.i)
	for _, k := range keys.items {
		key, _ := k.(string)
		s := l.known[key]
		if s == nil || s.contents != nil {
			return errors.Errorf("the storage %s is one of no tensor, or there twice", describe(k))
		}
		var head [8]byte
		if _, err := io.ReadFull(io.NewSectionReader(l.r, at, 8), head[:]); err != nil {
			return errors.Wrapf(err, "the storage %.100q", key)
		}
		if n := order.Uint64(head[:]); n != uint64(s.count) {
			return errors.Errorf("the storage %.100q has %d elements, want %d", key, n, s.count)
		}
		at += 8
		if s.count > (l.size-at)/int64(s.size) {
			return errors.Errorf("the storage %.100q has %d elements of %d bytes, and there are %d bytes", key, s.count, s.size, l.size-at)
		}
		from, n := at, s.count*int64(s.size)
		s.contents = func() ([]byte, error) {
			b := make([]byte, n)
			_, err := io.ReadFull(io.NewSectionReader(l.r, from, n), b)
			return b, errors.Wrapf(err, "the storage %.100q", key)
		}
		at += n
	}
	for key, s := range l.known {
		if s.contents == nil {
			return errors.Errorf("the file has no storage %.100q", key)
		}
	}
	return nil
}
