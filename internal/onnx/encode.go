package onnx

import (
	"encoding/binary"
	"io"
	"maps"
	"math"
	"slices"

	"github.com/pkg/errors"
	"google.golang.org/protobuf/encoding/protowire"
)

// maxMessage is the largest message that readers of protobuf take.
const maxMessage = math.MaxInt32

// An Initializer is a weight that Encode asks for when it is its turn, so that no more than one is
// in memory a second time.
type Initializer struct {
	Name string
	Type DataType
	Dims []int
	Data func() []byte // little-endian
}

// Encode writes a model, with more initializers than its graph's own. The same model makes the same
// bytes.
//
// It returns an error, before it writes anything, if the file would be larger than readers of
// protobuf take: 2 GB.
func Encode(w io.Writer, m *Model, weights []Initializer) error {
	var head, tail []byte // of the graph, around the weights
	for _, n := range m.Graph.Nodes {
		head = appendMessage(head, 1, appendNode(nil, n))
	}
	head = appendText(head, 2, m.Graph.Name)
	for _, t := range m.Graph.Initializers {
		head = appendMessage(head, 5, appendTensor(nil, t))
	}
	for _, v := range m.Graph.Inputs {
		tail = appendMessage(tail, 11, appendValue(nil, v))
	}
	for _, v := range m.Graph.Outputs {
		tail = appendMessage(tail, 12, appendValue(nil, v))
	}
	graph := len(head) + len(tail)
	fronts := make([][]byte, len(weights)) // what stands before the numbers of each
	for i, v := range weights {
		t := &Tensor{Name: v.Name, Type: v.Type, Dims: v.Dims}
		front, size := appendTensorHead(nil, t), t.Len()*t.Type.size()
		front = protowire.AppendTag(front, 9, protowire.BytesType)
		front = protowire.AppendVarint(front, uint64(size))
		whole := protowire.AppendTag(nil, 5, protowire.BytesType)
		whole = protowire.AppendVarint(whole, uint64(len(front)+size))
		fronts[i] = append(whole, front...)
		if graph += len(fronts[i]) + size; graph > maxMessage {
			return errors.Errorf("the file would be larger than %d bytes, which protobuf does not take", maxMessage)
		}
	}
	var b []byte
	b = appendInt(b, 1, m.IRVersion)
	b = appendText(b, 2, m.Producer)
	b = protowire.AppendTag(b, 7, protowire.BytesType)
	b = protowire.AppendVarint(b, uint64(graph))
	for _, part := range [][]byte{b, head} {
		if _, err := w.Write(part); err != nil {
			return err
		}
	}
	for i, v := range weights {
		if _, err := w.Write(fronts[i]); err != nil {
			return err
		}
		if _, err := w.Write(v.Data()); err != nil {
			return err
		}
	}
	for _, domain := range slices.Sorted(maps.Keys(m.Opsets)) {
		tail = appendMessage(tail, 8, appendInt(appendText(nil, 1, domain), 2, m.Opsets[domain]))
	}
	for _, key := range slices.Sorted(maps.Keys(m.Metadata)) {
		tail = appendMessage(tail, 14, appendText(appendText(nil, 1, key), 2, m.Metadata[key]))
	}
	_, err := w.Write(tail)
	return err
}

func appendMessage(b []byte, n protowire.Number, message []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(b, n, protowire.BytesType), message)
}

func appendText(b []byte, n protowire.Number, s string) []byte {
	if s == "" {
		return b
	}
	return protowire.AppendString(protowire.AppendTag(b, n, protowire.BytesType), s)
}

func appendInt(b []byte, n protowire.Number, v int64) []byte {
	return protowire.AppendVarint(protowire.AppendTag(b, n, protowire.VarintType), uint64(v))
}

func appendNode(b []byte, n *Node) []byte {
	for _, s := range n.Inputs { // "" is an operand that is left out
		b = protowire.AppendString(protowire.AppendTag(b, 1, protowire.BytesType), s)
	}
	for _, s := range n.Outputs {
		b = protowire.AppendString(protowire.AppendTag(b, 2, protowire.BytesType), s)
	}
	b = appendText(b, 3, n.Name)
	b = appendText(b, 4, n.Op)
	for _, a := range n.Attrs {
		b = appendMessage(b, 5, appendAttribute(nil, a))
	}
	return appendText(b, 7, n.Domain)
}

func appendAttribute(b []byte, a Attribute) []byte {
	b = appendText(b, 1, a.Name)
	switch a.Type {
	case AttrFloat:
		b = protowire.AppendFixed32(protowire.AppendTag(b, 2, protowire.Fixed32Type), math.Float32bits(a.Float))
	case AttrInt:
		b = appendInt(b, 3, a.Int)
	case AttrString:
		b = appendMessage(b, 4, []byte(a.String))
	case AttrTensor:
		b = appendMessage(b, 5, appendTensor(nil, a.Tensor))
	case AttrFloats:
		var packed []byte
		for _, v := range a.Floats {
			packed = binary.LittleEndian.AppendUint32(packed, math.Float32bits(v))
		}
		b = appendMessage(b, 7, packed)
	case AttrInts:
		for _, v := range a.Ints {
			b = appendInt(b, 8, v)
		}
	case AttrStrings:
		for _, s := range a.Strings {
			b = appendMessage(b, 9, []byte(s))
		}
	}
	return appendInt(b, 20, int64(a.Type))
}

func appendTensorHead(b []byte, t *Tensor) []byte {
	for _, d := range t.Dims {
		b = appendInt(b, 1, int64(d))
	}
	b = appendInt(b, 2, int64(t.Type))
	return appendText(b, 8, t.Name)
}

func appendTensor(b []byte, t *Tensor) []byte { return appendMessage(appendTensorHead(b, t), 9, t.Raw) }

func appendValue(b []byte, v Value) []byte {
	b = appendText(b, 1, v.Name)
	kind := appendInt(nil, 1, int64(v.Type))
	if v.Known {
		var shape []byte
		for _, d := range v.Dims {
			var dim []byte
			if d.Size >= 0 {
				dim = appendInt(nil, 1, d.Size)
			} else {
				dim = appendText(nil, 2, d.Param)
			}
			shape = appendMessage(shape, 1, dim)
		}
		kind = appendMessage(kind, 2, shape)
	}
	return appendMessage(b, 2, appendMessage(nil, 1, kind))
}
