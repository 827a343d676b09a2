package onnx

import (
	"encoding/binary"
	"math"
	"unicode/utf8"

	"github.com/pkg/errors"
	"google.golang.org/protobuf/encoding/protowire"
)

// Bounds on what a file may hold, far above any network's. They keep work that grows faster than
// the file within reason.
const (
	maxNodes = 1 << 16
	maxRank  = 64
)

// Decode reads a model. Its tensors are slices of b, which must not change afterwards. Numbers of
// initializers that lie in other files are read from those that open opens; nil opens none.
//
// It returns an error that names the place if b is cut short or no protobuf, a field is of another
// type than ONNX says, sizes do not fit, data lies in a file that cannot be opened, or there is no
// graph.
func Decode(b []byte, open Opener) (*Model, error) {
	m := &Model{Opsets: map[string]int64{}, Metadata: map[string]string{}}
	err := fields(b, func(f field) (err error) {
		switch f.number {
		case 1:
			m.IRVersion, err = f.int()
		case 2:
			m.Producer, err = f.text()
		case 7:
			if m.Graph != nil {
				return errors.New("there are two graphs")
			}
			m.Graph, err = decodeGraph(f)
		case 8:
			domain, version, e := decodeOpset(f)
			if _, twice := m.Opsets[domain]; twice && e == nil {
				e = errors.Errorf("the domain %.100q has two versions", domain)
			}
			m.Opsets[domain], err = version, e
		case 14:
			key, value, e := decodeEntry(f)
			m.Metadata[key], err = value, e
		}
		return errors.Wrap(err, label(f, map[protowire.Number]string{1: "ir_version", 2: "producer_name",
			7: "graph", 8: "opset_import", 14: "metadata_props"}))
	})
	switch {
	case err != nil:
		return nil, errors.Wrap(err, "the model")
	case m.Graph == nil:
		return nil, errors.New("the model has no graph: not an ONNX file?")
	}
	return m, errors.Wrap(m.Graph.fetch(open), "the model: graph")
}

// label names a field in an error.
func label(f field, names map[protowire.Number]string) string { return names[f.number] }

// A field is one of a message's: a number, or the bytes that belong to it.
type field struct {
	number protowire.Number
	wire   protowire.Type
	value  uint64
	bytes  []byte
}

// fields calls f for each field of a message, in their order.
func fields(b []byte, f func(field) error) error {
	for at := 0; at < len(b); {
		number, wire, n := protowire.ConsumeTag(b[at:])
		if n < 0 {
			return errors.Wrapf(protowire.ParseError(n), "byte %d", at)
		}
		v, start := field{number: number, wire: wire}, at
		at += n
		switch wire {
		case protowire.VarintType:
			v.value, n = protowire.ConsumeVarint(b[at:])
		case protowire.Fixed32Type:
			var u uint32
			u, n = protowire.ConsumeFixed32(b[at:])
			v.value = uint64(u)
		case protowire.Fixed64Type:
			v.value, n = protowire.ConsumeFixed64(b[at:])
		case protowire.BytesType:
			v.bytes, n = protowire.ConsumeBytes(b[at:])
		default:
			return errors.Errorf("byte %d: field %d is a group, which ONNX has none of", start, number)
		}
		if n < 0 {
			return errors.Wrapf(protowire.ParseError(n), "byte %d, field %d", start, number)
		}
		at += n
		if err := f(v); err != nil {
			return err
		}
	}
	return nil
}

func (f field) is(wire protowire.Type) error {
	if f.wire != wire {
		return errors.Errorf("field %d has the wire type %d, want %d", f.number, f.wire, wire)
	}
	return nil
}

func (f field) int() (int64, error) { return int64(f.value), f.is(protowire.VarintType) }

func (f field) float() (float32, error) {
	return math.Float32frombits(uint32(f.value)), f.is(protowire.Fixed32Type)
}

func (f field) text() (string, error) {
	if err := f.is(protowire.BytesType); err != nil {
		return "", err
	}
	if !utf8.Valid(f.bytes) {
		return "", errors.Errorf("field %d is not UTF-8", f.number)
	}
	return string(f.bytes), nil
}

func (f field) message(each func(field) error) error {
	if err := f.is(protowire.BytesType); err != nil {
		return err
	}
	return fields(f.bytes, each)
}

// varints reads a repeated integer, packed or one at a time.
func (f field) varints(to []int64) ([]int64, error) {
	if f.wire == protowire.VarintType {
		return append(to, int64(f.value)), nil
	}
	if err := f.is(protowire.BytesType); err != nil {
		return to, err
	}
	for b := f.bytes; len(b) > 0; {
		v, n := protowire.ConsumeVarint(b)
		if n < 0 {
			return to, errors.Wrapf(protowire.ParseError(n), "field %d", f.number)
		}
		to, b = append(to, int64(v)), b[n:]
	}
	return to, nil
}

// fixed reads a repeated number of so many bytes, packed or one at a time, as raw bytes. One packed
// run stays where it is.
func (f field) fixed(to []byte, size int) ([]byte, error) {
	wire := map[int]protowire.Type{4: protowire.Fixed32Type, 8: protowire.Fixed64Type}[size]
	switch {
	case f.wire == wire && size == 4:
		return binary.LittleEndian.AppendUint32(to, uint32(f.value)), nil
	case f.wire == wire:
		return binary.LittleEndian.AppendUint64(to, f.value), nil
	case f.wire != protowire.BytesType:
		return to, f.is(wire)
	case len(f.bytes)%size != 0:
		return to, errors.Errorf("field %d has %d bytes, want numbers of %d", f.number, len(f.bytes), size)
	case len(to) == 0:
		return f.bytes[:len(f.bytes):len(f.bytes)], nil
	}
	return append(to, f.bytes...), nil
}

func decodeOpset(f field) (domain string, version int64, err error) {
	err = f.message(func(f field) (err error) {
		switch f.number {
		case 1:
			domain, err = f.text()
		case 2:
			version, err = f.int()
		}
		return err
	})
	return canonical(domain), version, err
}

// canonical is a domain's name; ONNX's own has two.
func canonical(domain string) string {
	if domain == "ai.onnx" {
		return ""
	}
	return domain
}

func decodeEntry(f field) (key, value string, err error) {
	err = f.message(func(f field) (err error) {
		switch f.number {
		case 1:
			key, err = f.text()
		case 2:
			value, err = f.text()
		}
		return err
	})
	return key, value, err
}

func decodeGraph(f field) (*Graph, error) {
	g := &Graph{}
	err := f.message(func(f field) (err error) {
		switch f.number {
		case 1:
			var n *Node
			n, err = decodeNode(f)
			g.Nodes = append(g.Nodes, n)
			err = errors.Wrapf(err, "node %d", len(g.Nodes)-1)
		case 2:
			g.Name, err = f.text()
		case 5:
			var t *Tensor
			t, err = decodeTensor(f)
			g.Initializers = append(g.Initializers, t)
			err = errors.Wrapf(err, "initializer %d", len(g.Initializers)-1)
		case 11, 12:
			var v Value
			v, err = decodeValue(f)
			if f.number == 11 {
				g.Inputs = append(g.Inputs, v)
			} else {
				g.Outputs = append(g.Outputs, v)
			}
		case 15:
			return errors.New("there are sparse initializers, which are not supported")
		}
		if len(g.Nodes) > maxNodes || len(g.Initializers) > maxNodes {
			return errors.Errorf("there are more than %d nodes or initializers", maxNodes)
		}
		return err
	})
	return g, err
}

func decodeNode(f field) (*Node, error) {
	n := &Node{}
	err := f.message(func(f field) (err error) {
		var s string
		switch f.number {
		case 1:
			s, err = f.text()
			n.Inputs = append(n.Inputs, s)
		case 2:
			s, err = f.text()
			n.Outputs = append(n.Outputs, s)
		case 3:
			n.Name, err = f.text()
		case 4:
			n.Op, err = f.text()
		case 5:
			var a Attribute
			a, err = decodeAttribute(f)
			if n.Attr(a.Name) != nil && err == nil {
				err = errors.Errorf("the attribute %.100q occurs twice", a.Name)
			}
			n.Attrs = append(n.Attrs, a)
		case 7:
			n.Domain, err = f.text()
			n.Domain = canonical(n.Domain)
		}
		if len(n.Attrs) > maxRank || len(n.Inputs) > maxNodes || len(n.Outputs) > maxNodes {
			return errors.New("there are more operands or attributes than any operator has")
		}
		return err
	})
	return n, errors.Wrapf(err, "%v", n)
}

func decodeAttribute(f field) (Attribute, error) {
	var a Attribute
	filled := AttrType(0) // where an old file does not state the type
	err := f.message(func(f field) (err error) {
		switch f.number {
		case 1:
			a.Name, err = f.text()
		case 2:
			a.Float, err = f.float()
			filled = AttrFloat
		case 3:
			a.Int, err = f.int()
			filled = AttrInt
		case 4:
			if err = f.is(protowire.BytesType); err == nil {
				a.String = string(f.bytes)
			}
			filled = AttrString
		case 5:
			if a.Tensor, err = decodeTensor(f); err == nil && a.Tensor.other != nil {
				err = errors.New("its numbers lie in another file: want them in this one")
			}
			filled = AttrTensor
		case 6:
			filled = AttrGraph
		case 7:
			var raw []byte
			raw, err = f.fixed(nil, 4)
			for ; len(raw) >= 4; raw = raw[4:] {
				a.Floats = append(a.Floats, math.Float32frombits(binary.LittleEndian.Uint32(raw)))
			}
			filled = AttrFloats
		case 8:
			a.Ints, err = f.varints(a.Ints)
			filled = AttrInts
		case 9:
			if err = f.is(protowire.BytesType); err == nil {
				a.Strings = append(a.Strings, string(f.bytes))
			}
			filled = AttrStrings
		case 20:
			var t int64
			t, err = f.int()
			a.Type = AttrType(t)
			if t < 1 || t > int64(attrLast) {
				return errors.Errorf("the type of the attribute %.100q is %d, which is none of ONNX's", a.Name, t)
			}
		case 21:
			return errors.Errorf("the attribute %.100q refers to a function's, and there are no functions", a.Name)
		}
		return err
	})
	if a.Type == 0 {
		a.Type = filled
	}
	if err == nil && a.Type == AttrTensor && a.Tensor == nil {
		err = errors.New("there is no tensor")
	}
	return a, errors.Wrapf(err, "attribute %.100q", a.Name)
}

func decodeValue(f field) (Value, error) {
	var v Value
	kind := func(f field) (err error) { // TypeProto.Tensor
		switch f.number {
		case 1:
			var t int64
			t, err = f.int()
			v.Type = DataType(t)
		case 2:
			v.Known = true
			err = f.message(func(f field) error {
				if f.number != 1 {
					return nil
				}
				d, err := decodeDim(f)
				v.Dims = append(v.Dims, d)
				if len(v.Dims) > maxRank {
					return errors.Errorf("the shape has more than %d sides", maxRank)
				}
				return err
			})
		}
		return err
	}
	err := f.message(func(f field) (err error) {
		switch f.number {
		case 1:
			v.Name, err = f.text()
		case 2:
			err = f.message(func(f field) error {
				if f.number == 1 {
					return f.message(kind)
				}
				return nil
			})
		}
		return err
	})
	return v, errors.Wrapf(err, "the value %.200q", v.Name)
}

func decodeDim(f field) (Dim, error) {
	d := Dim{Size: -1}
	err := f.message(func(f field) (err error) {
		switch f.number {
		case 1:
			d.Size, err = f.int()
			if d.Size < 0 {
				d.Size = -1
			}
		case 2:
			d.Param, err = f.text()
		}
		return err
	})
	return d, err
}

func decodeTensor(f field) (*Tensor, error) {
	t := &Tensor{}
	var dims, ints []int64
	var kind, place int64
	var data [3][]byte // raw, of float_data, of double_data
	other, ways := &external{length: -1}, map[protowire.Number]bool{}
	err := f.message(func(f field) (err error) {
		switch f.number {
		case 1:
			dims, err = f.varints(dims)
			if len(dims) > maxRank {
				return errors.Errorf("the shape has more than %d sides", maxRank)
			}
		case 2:
			kind, err = f.int()
		case 3:
			return errors.New("the tensor is in segments, which are not supported")
		case 4:
			data[1], err = f.fixed(data[1], 4)
			ways[f.number] = true
		case 5, 7, 11:
			ints, err = f.varints(ints)
			ways[f.number] = true
		case 6:
			ways[f.number] = true
		case 8:
			t.Name, err = f.text()
		case 9:
			data[0], err = f.bytes, f.is(protowire.BytesType)
			ways[f.number] = true
		case 10:
			data[2], err = f.fixed(data[2], 8)
			ways[f.number] = true
		case 13:
			key, value, e := decodeEntry(f)
			if err = e; err == nil {
				err = other.set(key, value)
			}
		case 14:
			place, err = f.int()
		}
		return err
	})
	t.Type = DataType(kind)
	switch {
	case err != nil:
	case len(ways) > 1, len(ways) == 1 && place != 0:
		err = errors.New("its numbers are there in two ways, want one")
	case t.Type == 0:
		err = errors.New("it has no type")
	case place != 0:
		t.other = other
		_, err = t.shape(dims)
	default:
		err = t.fill(dims, ints, data, ways)
	}
	return t, errors.Wrapf(err, "the tensor %.200q", t.Name)
}

// shape checks the sides, and gives the number of elements.
func (t *Tensor) shape(dims []int64) (int64, error) {
	count := int64(1)
	for _, d := range dims {
		if d < 0 || d > math.MaxInt32 || d > 0 && count > math.MaxInt32/d {
			return 0, errors.Errorf("its shape is %v, want sides of 0 or more and at most %d elements", dims, math.MaxInt32)
		}
		count *= d
		t.Dims = append(t.Dims, int(d))
	}
	return count, nil
}

// fill brings a tensor's numbers into one form and checks that there are as many as the shape says.
func (t *Tensor) fill(dims, ints []int64, data [3][]byte, ways map[protowire.Number]bool) error {
	count, err := t.shape(dims)
	if err != nil {
		return err
	}
	size := t.Type.size()
	if size == 0 { // text, and types that nothing here computes with: only whoever uses it objects
		return nil
	}
	switch {
	case ways[9]:
		t.Raw = data[0]
	case ways[4] && t.Type == Float:
		t.Raw = data[1]
	case ways[10] && t.Type == Double:
		t.Raw = data[2]
	case ways[7] && t.Type == Int64, ways[11] && (t.Type == Uint64 || t.Type == Uint32),
		ways[5] && t.Type != Int64 && t.Type != Uint64 && t.Type != Uint32 && t.Type != Float && t.Type != Double:
		if t.Raw, err = narrowed(ints, t.Type); err != nil {
			return err
		}
	case len(ways) > 0:
		return errors.Errorf("its numbers are not in the field for %v", t.Type)
	}
	if int64(len(t.Raw)) != count*int64(size) {
		return errors.Errorf("it has %d bytes of numbers, want %d for the shape %v of %v", len(t.Raw), count*int64(size), dims, t.Type)
	}
	return nil
}

// narrowed are integers as raw bytes of their type. Half floats are stored by their bits.
func narrowed(ints []int64, of DataType) ([]byte, error) {
	lo, hi := int64(math.MinInt64), int64(math.MaxInt64)
	switch of {
	case Int8:
		lo, hi = math.MinInt8, math.MaxInt8
	case Int16:
		lo, hi = math.MinInt16, math.MaxInt16
	case Int32:
		lo, hi = math.MinInt32, math.MaxInt32
	case Uint8:
		lo, hi = 0, math.MaxUint8
	case Uint16, Float16, BFloat16:
		lo, hi = 0, math.MaxUint16
	case Uint32:
		lo, hi = 0, math.MaxUint32
	case Bool:
		lo, hi = 0, 1
	}
	var raw []byte
	for i, v := range ints {
		if v < lo || v > hi {
			return nil, errors.Errorf("element %d is %d, want %d to %d for %v", i, v, lo, hi, of)
		}
		switch of.size() {
		case 1:
			raw = append(raw, byte(v))
		case 2:
			raw = binary.LittleEndian.AppendUint16(raw, uint16(v))
		case 4:
			raw = binary.LittleEndian.AppendUint32(raw, uint32(v))
		default:
			raw = binary.LittleEndian.AppendUint64(raw, uint64(v))
		}
	}
	return raw, nil
}
