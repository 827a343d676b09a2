package pickle

import (
	"archive/zip"
	"encoding/binary"
	"io"
	"math"
	"slices"
	"strings"

	"github.com/pkg/errors"

	"github.com/convgrad/convgrad/internal/numbers"
)

// storages are the types of elements, by the name of PyTorch's class of storages: the name that
// safetensors has for them, and the bytes of an element.
var storages = map[global]struct {
	dtype string
	size  int
}{
	"torch.DoubleStorage": {"F64", 8}, "torch.FloatStorage": {"F32", 4}, "torch.HalfStorage": {"F16", 2},
	"torch.BFloat16Storage": {"BF16", 2}, "torch.LongStorage": {"I64", 8}, "torch.IntStorage": {"I32", 4},
	"torch.ShortStorage": {"I16", 2}, "torch.CharStorage": {"I8", 1}, "torch.ByteStorage": {"U8", 1},
	"torch.BoolStorage": {"BOOL", 1},
}

const (
	orderedDict      = "collections.OrderedDict"
	rebuildTensor    = "torch._utils._rebuild_tensor_v2"
	rebuildTensorV1  = "torch._utils._rebuild_tensor" // of before version 0.4
	rebuildParameter = "torch._utils._rebuild_parameter"
	torchSize        = "torch.Size"
)

// permitted reports whether a name is one of those that checkpoints of plain tensors have.
func permitted(name global) bool {
	_, ok := storages[name]
	return ok || slices.Contains([]global{orderedDict, rebuildTensor, rebuildTensorV1, rebuildParameter, torchSize}, name)
}

// A storage is the memory of one or more tensors.
type storage struct {
	key      string
	dtype    string
	size     int // of an element
	count    int64
	contents func() ([]byte, error)
}

// A Tensor is a view of a storage.
type Tensor struct {
	Name    string
	Dtype   string // as safetensors calls it
	Shape   []int
	strides []int
	offset  int
	storage *storage
}

// maxRank is the most sides that a shape may have.
const maxRank = 64

// call makes what a name makes.
func call(f global, args tuple) (any, error) {
	switch f {
	case orderedDict:
		if len(args) == 0 {
			return &dict{}, nil
		}
		if len(args) == 1 { // a list of pairs
			if l, ok := args[0].(*list); ok {
				d := &dict{}
				for _, item := range l.items {
					pair, ok := asTuple(item)
					if !ok || len(pair) != 2 {
						return nil, errors.Errorf("an item is %s, want a pair", describe(item))
					}
					d.set(pair[0], pair[1])
				}
				return d, nil
			}
		}
		return nil, errors.Errorf("it has %d arguments, want none or a list of pairs", len(args))
	case rebuildParameter:
		if len(args) < 1 {
			return nil, errors.New("it has no arguments")
		}
		t, ok := args[0].(*Tensor)
		if !ok {
			return nil, errors.Errorf("its data is %s, want a tensor", describe(args[0]))
		}
		return t, nil
	case torchSize:
		return args, nil
	case rebuildTensor: // it has two or three more arguments, which do not count here
		if len(args) < 6 || len(args) > 7 {
			return nil, errors.Errorf("it has %d arguments, want 6 or 7", len(args))
		}
		return tensorOf(args[:4])
	case rebuildTensorV1:
		if len(args) != 4 {
			return nil, errors.Errorf("it has %d arguments, want 4", len(args))
		}
		return tensorOf(args)
	}
	return nil, errors.New("it cannot be called")
}

func asTuple(v any) (tuple, bool) {
	switch v := v.(type) {
	case tuple:
		return v, true
	case *list:
		return v.items, true
	}
	return nil, false
}

// tensorOf checks that a tensor lies in its storage. Arguments: storage, offset, shape, strides.
func tensorOf(args tuple) (*Tensor, error) {
	s, ok := args[0].(*storage)
	if !ok {
		return nil, errors.Errorf("its storage is %s", describe(args[0]))
	}
	offset, okOffset := args[1].(int64)
	shape, okShape := args[2].(tuple)
	strides, okStrides := args[3].(tuple)
	if !okOffset || !okShape || !okStrides || len(shape) != len(strides) || len(shape) > maxRank || offset < 0 {
		return nil, errors.Errorf("its offset is %s, its shape %s and its strides %s of %d and %d numbers",
			describe(args[1]), describe(args[2]), describe(args[3]), len(shape), len(strides))
	}
	t := &Tensor{Dtype: s.dtype, storage: s, Shape: []int{}}
	last, total, empty := offset, int64(1), false
	for i := range shape {
		n, okSide := shape[i].(int64)
		step, okStep := strides[i].(int64)
		if !okSide || !okStep || n < 0 || step < 0 || n > math.MaxInt32 || step > math.MaxInt64/(1<<33) {
			return nil, errors.Errorf("side %d is %s at the stride %s, want numbers of 0 or more", i, describe(shape[i]), describe(strides[i]))
		}
		if n > 0 && total > math.MaxInt32/n {
			return nil, errors.Errorf("the shape has more than %d elements", math.MaxInt32)
		}
		total, empty = total*max(n, 1), empty || n == 0
		if n > 0 {
			last += (n - 1) * step
		}
		if last > math.MaxInt64/4 || last < 0 {
			return nil, errors.New("its shape and strides reach beyond any storage")
		}
		t.Shape, t.strides = append(t.Shape, int(n)), append(t.strides, int(step))
	}
	if !empty && last >= s.count {
		return nil, errors.Errorf("it reaches element %d of a storage of %d", last, s.count)
	}
	t.offset = int(min(offset, s.count))
	return t, nil
}

// A File is a checkpoint that was looked into: names and shapes are known, numbers are still in it.
type File struct {
	Tensors []*Tensor
	order   binary.ByteOrder
}

// Is reports whether a file that begins so is one of PyTorch's, of today's form or of the one
// before version 1.6.
func Is(head []byte) bool {
	return strings.HasPrefix(string(head), "PK\x03\x04") || legacy(head)
}

// legacy reports whether a file begins with PyTorch's old magic number, as a pickle.
func legacy(head []byte) bool {
	return strings.HasPrefix(string(head), "\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.")
}

// Head is how many bytes Is has to see.
const Head = 16

// Open looks into a checkpoint of size bytes.
//
// It returns an error if it is neither a ZIP archive as PyTorch writes it, with stored entries, nor
// a row of pickles and storages, as it wrote before version 1.6; if a pickle in it holds anything
// but plain values and tensors; or if a tensor does not lie in its storage, or a storage not in the
// file.
func Open(r io.ReaderAt, size int64) (*File, error) {
	head := make([]byte, Head)
	if n, err := r.ReadAt(head, 0); err != nil && err != io.EOF {
		return nil, err
	} else if legacy(head[:n]) {
		return openLegacy(r, size)
	}
	archive, err := zip.NewReader(r, size)
	if err != nil {
		return nil, errors.Wrap(err, "the archive")
	}
	files := map[string]*zip.File{}
	root := ""
	for _, f := range archive.File {
		if files[f.Name] != nil {
			return nil, errors.Errorf("the archive has two entries %.200q", f.Name)
		}
		files[f.Name] = f
		if dir, ok := strings.CutSuffix(f.Name, "/data.pkl"); ok {
			if root != "" {
				return nil, errors.New("the archive has two pickles data.pkl")
			}
			root = dir
		}
	}
	switch {
	case root == "":
		return nil, errors.New("the archive has no data.pkl: not a checkpoint of PyTorch's")
	case files[root+"/constants.pkl"] != nil:
		return nil, errors.New("it is a program of TorchScript's, want a checkpoint of tensors: torch.save of a state_dict")
	}
	c := &File{order: binary.LittleEndian}
	if f := files[root+"/byteorder"]; f != nil {
		order, err := contents(f)
		if err != nil {
			return nil, err
		}
		switch string(order) {
		case "little":
		case "big":
			c.order = binary.BigEndian
		default:
			return nil, errors.Errorf("the order of bytes is %.20q, want little or big", order)
		}
	}
	program, err := contents(files[root+"/data.pkl"])
	if err != nil {
		return nil, err
	}
	known := map[string]*storage{}
	m := machine{b: program, load: func(id tuple) (any, error) { return archived(id, root, files, known) }}
	v, err := m.next()
	if err != nil {
		return nil, errors.Wrap(err, "data.pkl")
	}
	c.Tensors, err = tensorsOf(v)
	return c, err
}

// contents is an entry's. It is as long as the archive says, which is no more than the archive is,
// since it is not compressed.
func contents(f *zip.File) ([]byte, error) {
	if f.Method != zip.Store {
		return nil, errors.Errorf("the entry %.200q is compressed, want it stored, as PyTorch does", f.Name)
	}
	if f.UncompressedSize64 != f.CompressedSize64 {
		return nil, errors.Errorf("the entry %.200q is stored, and has two sizes", f.Name)
	}
	r, err := f.Open()
	if err != nil {
		return nil, errors.Wrapf(err, "the entry %.200q", f.Name)
	}
	defer r.Close()
	b, err := io.ReadAll(r) // grows with what is there
	return b, errors.Wrapf(err, "the entry %.200q", f.Name)
}

// storageOf is the storage of a name: ("storage", class, key, device, elements), and more that the
// caller knows. Storages of one key are one.
func storageOf(id tuple, known map[string]*storage) (*storage, error) {
	if len(id) < 5 || id[0] != "storage" {
		return nil, errors.Errorf("the name of a storage has %d parts, want 5", len(id))
	}
	class, okClass := id[1].(global)
	key, okKey := id[2].(string)
	count, okCount := id[4].(int64)
	kind, okKind := storages[class]
	if !okClass || !okKey || !okCount || !okKind || count < 0 || count > math.MaxInt64/8 {
		return nil, errors.Errorf("a storage is of %s with the key %s and %s elements", describe(id[1]), describe(id[2]), describe(id[4]))
	}
	s := &storage{key: key, dtype: kind.dtype, size: kind.size, count: count}
	if was := known[key]; was != nil {
		if was.dtype != s.dtype || was.count != s.count {
			return nil, errors.Errorf("the storage %.100q is of %s and of %s", key, was.dtype, s.dtype)
		}
		return was, nil
	}
	known[key] = s
	return s, nil
}

// archived finds a storage in the archive.
func archived(id tuple, root string, files map[string]*zip.File, known map[string]*storage) (*storage, error) {
	if len(id) != 5 {
		return nil, errors.Errorf("the name of a storage has %d parts, want 5", len(id))
	}
	s, err := storageOf(id, known)
	if err != nil || s.contents != nil {
		return s, err
	}
	f := files[root+"/data/"+s.key]
	if f == nil {
		return nil, errors.Errorf("the archive has no storage %.100q", s.key)
	}
	if f.UncompressedSize64 != uint64(s.count)*uint64(s.size) {
		return nil, errors.Errorf("the storage %.100q has %d bytes, want %d elements of %d", s.key, f.UncompressedSize64, s.count, s.size)
	}
	s.contents = func() ([]byte, error) { return contents(f) }
	return s, nil
}

// nests are the keys under which training scripts keep a network's weights beside other things.
var nests = []string{"state_dict", "model_state_dict", "model", "net", "module"}

// tensorsOf are the tensors of a state_dict: the value itself, or what it has under the first of
// the usual keys.
func tensorsOf(v any) ([]*Tensor, error) {
	for range 4 {
		d, ok := v.(*dict)
		if !ok {
			return nil, errors.Errorf("the checkpoint is %s, want a dict of tensors", describe(v))
		}
		var tensors []*Tensor
		for i, key := range d.keys {
			t, ok := d.values[i].(*Tensor)
			name, isText := key.(string)
			if !ok || !isText {
				continue
			}
			named := *t // tensors may be one: tied weights
			named.Name = name
			tensors = append(tensors, &named)
		}
		if len(tensors) > 0 {
			return tensors, nil
		}
		v = nil
		for _, key := range nests {
			if i, there := d.at[key]; there && v == nil {
				v = d.values[i]
			}
		}
		if v == nil {
			var names []string
			for _, key := range d.keys[:min(len(d.keys), 5)] {
				names = append(names, describe(key))
			}
			return nil, errors.Errorf("the checkpoint has no tensors, nor a dict of them under %v: it has %v", nests, names)
		}
	}
	return nil, errors.New("the checkpoint has dicts in dicts in dicts, want a dict of tensors")
}

// Each calls f for tensors, storage by storage, with the bytes of their storage. No more than one
// storage is in memory.
func (c *File) Each(tensors []*Tensor, f func(t *Tensor, memory Memory) error) error {
	sorted := slices.Clone(tensors)
	slices.SortStableFunc(sorted, func(a, b *Tensor) int { return strings.Compare(a.storage.key, b.storage.key) })
	var memory Memory
	var of *storage
	for _, t := range sorted {
		if t.storage != of {
			memory, of = Memory{}, nil // before the next is read
			b, err := t.storage.contents()
			if err != nil {
				return err
			}
			memory, of = Memory{b, c.order}, t.storage
		}
		if err := f(t, memory); err != nil {
			return err
		}
	}
	return nil
}

// Memory is that of a storage.
type Memory struct {
	bytes []byte
	order binary.ByteOrder
}

// Floats reads the elements of a tensor of floats in row-major order.
//
// It returns an error if there are not as many, or one is NaN or infinite, or beyond T.
func Floats[T float32 | float64](dst []T, t *Tensor, m Memory) error {
	format := numbers.Named(t.Dtype)
	count := 1
	for _, n := range t.Shape {
		count *= n
	}
	if format == 0 || count != len(dst) {
		return errors.Errorf("has %d elements of %s, want %d floats", count, t.Dtype, len(dst))
	}
	if count == 0 {
		return nil
	}
	row, step := 1, 1 // the last axis, or one element of a scalar
	rank := len(t.Shape)
	if rank > 0 {
		row, step = t.Shape[rank-1], t.strides[rank-1]
	}
	at := make([]int, max(rank-1, 0))
	for done, from := 0, t.offset; done < len(dst); done += row {
		if step == 1 {
			if err := numbers.Finite(dst[done:done+row], format, m.bytes[from*format.Size():], m.order, done); err != nil {
				return err
			}
		} else {
			for i := range row {
				if err := numbers.Finite(dst[done+i:done+i+1], format, m.bytes[(from+i*step)*format.Size():], m.order, done+i); err != nil {
					return err
				}
			}
		}
		for k := rank - 2; k >= 0; k-- {
			from += t.strides[k]
			if at[k]++; at[k] < t.Shape[k] {
				break
			}
			from, at[k] = from-t.strides[k]*t.Shape[k], 0
		}
	}
	return nil
}
