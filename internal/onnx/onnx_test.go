package onnx

import (
	"bytes"
	"io"
	"math"
	"reflect"
	"runtime"
	"strings"
	"testing"

	"github.com/pkg/errors"
	"google.golang.org/protobuf/encoding/protowire"
)

// small is a model with a field of each kind that is written.
func small() *Model {
	return &Model{
		IRVersion: IRVersion, Producer: "test", Opsets: map[string]int64{"": Opset},
		Metadata: map[string]string{"key": "value"},
		Graph: &Graph{
			Name: "g",
			Nodes: []*Node{
				{Name: "conv", Op: "Conv", Inputs: []string{"x", "w", ""}, Outputs: []string{"y", ""}, Attrs: []Attribute{
					{Name: "pads", Type: AttrInts, Ints: []int64{1, -2, 3, math.MaxInt64}},
					{Name: "alpha", Type: AttrFloat, Float: -0.5}, {Name: "group", Type: AttrInt, Int: -1},
					{Name: "auto_pad", Type: AttrString, String: "VALID"},
					{Name: "scales", Type: AttrFloats, Floats: []float32{1, 2.5}},
					{Name: "names", Type: AttrStrings, Strings: []string{"a", ""}},
					{Name: "value", Type: AttrTensor, Tensor: IntTensor("", []int{2}, 7, -8)},
				}},
				{Op: "Other", Domain: "com.example", Outputs: []string{"z"}},
			},
			Initializers: []*Tensor{FloatTensor("w", []int{2, 1}, []float32{1, -2}), IntTensor("n", nil, 3)},
			Inputs:       []Value{{Name: "x", Type: Float, Known: true, Dims: []Dim{{-1, "N"}, {3, ""}}}},
			Outputs:      []Value{{Name: "z", Type: Double}},
		},
	}
}

func encoded(t testing.TB, m *Model, weights ...Initializer) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := Encode(&b, m, weights); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestRoundTrip(t *testing.T) {
	want := small()
	got, err := Decode(encoded(t, want), nil)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v\n%+v, want %+v\n%+v", got, got.Graph, want, want.Graph)
	}
	extra := Initializer{Name: "late", Type: Float, Dims: []int{2}, Data: func() []byte { return make([]byte, 8) }}
	got, err = Decode(encoded(t, want, extra), nil)
	if err != nil {
		t.Fatal(err)
	}
	if last := got.Graph.Initializers[2]; last.Name != "late" || len(last.Raw) != 8 || len(got.Graph.Inputs) != 1 {
		t.Errorf("the last initializer is %+v", last)
	}
	got.Graph.Initializers = got.Graph.Initializers[:2]
	if !reflect.DeepEqual(got, want) {
		t.Errorf("with a weight written apart: got %+v, want %+v", got.Graph, want.Graph)
	}
}

// Numbers may stand in other fields than raw data, packed or one by one.
func TestOtherFieldsOfNumbers(t *testing.T) {
	tensor := func(kind DataType, dims []int, data ...[]byte) *Tensor {
		t.Helper()
		b := appendTensorHead(nil, &Tensor{Name: "w", Type: kind, Dims: dims})
		got, err := decodeTensor(field{number: 5, wire: protowire.BytesType, bytes: append(b, bytes.Join(data, nil)...)})
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	single := protowire.AppendFixed32(protowire.AppendTag(nil, 4, protowire.Fixed32Type), math.Float32bits(1.5))
	packed := appendMessage(nil, 4, protowire.AppendFixed32(nil, math.Float32bits(-2)))
	v, err := Floats[float64](tensor(Float, []int{3}, single, packed, single))
	if err != nil || !reflect.DeepEqual(v, []float64{1.5, -2, 1.5}) {
		t.Errorf("float_data: %v, %v", v, err)
	}
	v, err = Floats[float64](tensor(Float16, []int{2}, appendInt(nil, 5, 0x3c00), appendInt(nil, 5, 0xc000)))
	if err != nil || !reflect.DeepEqual(v, []float64{1, -2}) {
		t.Errorf("float16 in int32_data: %v, %v", v, err)
	}
	v, err = Floats[float64](tensor(Double, nil, appendMessage(nil, 10, protowire.AppendFixed64(nil, math.Float64bits(0.1)))))
	if err != nil || !reflect.DeepEqual(v, []float64{0.1}) {
		t.Errorf("double_data: %v, %v", v, err)
	}
	n, err := tensor(Int64, []int{2}, appendInt(nil, 7, -5), appendMessage(nil, 7, protowire.AppendVarint(nil, 6))).Ints()
	if err != nil || !reflect.DeepEqual(n, []int64{-5, 6}) {
		t.Errorf("int64_data: %v, %v", n, err)
	}
	n, err = tensor(Int8, []int{1}, appendInt(nil, 5, -5)).Ints()
	if err != nil || !reflect.DeepEqual(n, []int64{-5}) {
		t.Errorf("int8 in int32_data: %v, %v", n, err)
	}
}

// Numbers of initializers may lie in other files, and those alone that the caller gives.
func TestOtherFiles(t *testing.T) {
	tensor := func(entries ...string) []byte {
		b := appendTensorHead(nil, &Tensor{Name: "w", Type: Float, Dims: []int{2}})
		for i := 0; i < len(entries); i += 2 {
			b = appendMessage(b, 13, appendText(appendText(nil, 1, entries[i]), 2, entries[i+1]))
		}
		return appendMessage(nil, 5, appendInt(b, 14, 1))
	}
	files := func(location string) (io.ReaderAt, int64, error) {
		if location != "w.data" {
			return nil, 0, errors.New("there is no such file")
		}
		return strings.NewReader("....\x00\x00\x20\x40\x00\x00\x80\xbf"), 12, nil
	}
	whole := tensor("location", "w.data", "offset", "4", "length", "8", "checksum", "0")
	m, err := Decode(appendMessage(nil, 7, whole), files)
	if err != nil {
		t.Fatal(err)
	}
	if v, err := Floats[float64](m.Graph.Initializers[0]); err != nil || !reflect.DeepEqual(v, []float64{2.5, -1}) {
		t.Errorf("got %v, %v", v, err)
	}
	for want, graph := range map[string][]byte{
		`"../w.data": there is no such file`:       tensor("location", "../w.data"),
		`lie in another file, "": there is`:        tensor("offset", "0"),
		"8 bytes from byte 8 on, and the file has": tensor("location", "w.data", "offset", "8"),
		"8 bytes from byte -1 on":                  tensor("location", "w.data", "offset", "-1"),
		"8 bytes from byte 9223372036854775807 on": tensor("location", "w.data", "offset", "9223372036854775807"),
		"it has 4 bytes of numbers, want 8":        tensor("location", "w.data", "length", "4"),
		"external_data: offset":                    tensor("location", "w.data", "offset", "x"),
		"tensors share its bytes":                  append(bytes.Clone(whole), whole...),
		"two ways":                                 appendMessage(nil, 5, appendMessage(appendInt(appendTensorHead(nil, &Tensor{Name: "w", Type: Float}), 14, 1), 9, make([]byte, 4))),
	} {
		if _, err := Decode(appendMessage(nil, 7, graph), files); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got the error %v, want one with %q", err, want)
		}
	}
}

func TestDecodeErrors(t *testing.T) {
	tensor := func(parts ...[]byte) []byte {
		return appendMessage(nil, 7, appendMessage(nil, 5, bytes.Join(parts, nil)))
	}
	huge := appendInt(appendInt(appendInt(appendInt(nil, 1, 1<<20), 1, 1<<20), 1, 1<<40), 2, int64(Float))
	entry := appendText(appendText(nil, 1, "location"), 2, "../weights.bin")
	for _, c := range []struct {
		name, want string
		b          []byte
	}{
		{"nothing", "no graph", nil},
		{"text", "the model: ", []byte("hello, this is no protobuf")},
		{"a field longer than the file", "unexpected EOF", protowire.AppendVarint(protowire.AppendTag(nil, 7, protowire.BytesType), 1<<40)},
		{"a varint that does not end", "variable length integer overflow", bytes.Repeat([]byte{0xff}, 20)},
		{"a group", "is a group", protowire.AppendTag(nil, 7, protowire.StartGroupType)},
		{"a number in the place of the graph", "wire type 0, want 2", appendInt(nil, 7, 1)},
		{"two graphs", "two graphs", appendMessage(appendMessage(nil, 7, nil), 7, nil)},
		{"a name that is no UTF-8", "not UTF-8", appendMessage(nil, 7, appendMessage(nil, 2, []byte{0xff}))},
		{"sides that overflow", "want sides of 0 or more", tensor(huge)},
		{"a negative side", "want sides of 0 or more", tensor(appendInt(appendInt(nil, 1, -1), 2, 1))},
		{"numbers of too few bytes", "it has 4 bytes of numbers, want 8", tensor(appendInt(appendInt(nil, 1, 2), 2, 1), appendMessage(nil, 9, make([]byte, 4)))},
		{"no numbers at all", "it has 0 bytes of numbers, want 4294967296", tensor(appendInt(appendInt(nil, 1, 1<<30), 2, 1))},
		{"numbers in two ways", "two ways", tensor(appendInt(nil, 2, 1), appendMessage(nil, 9, make([]byte, 4)), appendMessage(nil, 4, make([]byte, 4)))},
		{"the field of another type", "not in the field for float", tensor(appendInt(nil, 2, 1), appendInt(nil, 7, 1))},
		{"an integer beyond its type", "element 0 is 300, want -128 to 127 for int8", tensor(appendInt(nil, 2, 3), appendInt(nil, 5, 300))},
		{"no type", "has no type", tensor(appendMessage(nil, 9, make([]byte, 4)))},
		{"another file", `in another file, "../weights.bin"`, tensor(appendInt(nil, 2, 1), appendMessage(nil, 13, entry), appendInt(nil, 14, 1))},
		{"an attribute of no type", "none of ONNX's", appendMessage(nil, 7, appendMessage(nil, 1, appendMessage(nil, 5, appendInt(nil, 20, 99))))},
		{"an attribute twice", "occurs twice", appendMessage(nil, 7, appendMessage(nil, 1, appendMessage(appendMessage(nil, 5, appendText(nil, 1, "a")), 5, appendText(nil, 1, "a"))))},
	} {
		_, err := Decode(c.b, nil)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got the error %v, want one with %q", c.name, err, c.want)
		}
	}
}

// A file that is cut anywhere is an error, or the file without its last fields.
func TestCut(t *testing.T) {
	b := encoded(t, small())
	for i := range b {
		if m, err := Decode(b[:i], nil); err == nil && m.Graph == nil {
			t.Errorf("cut after %d bytes: no graph and no error", i)
		}
	}
}

func FuzzDecode(f *testing.F) {
	f.Add(encoded(f, small()))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		m, err := Decode(b, nil)
		runtime.ReadMemStats(&after)
		// A field takes two bytes of the file and at most a few hundred of memory.
		if took := after.TotalAlloc - before.TotalAlloc; took > 1<<20+1024*uint64(len(b)) {
			t.Errorf("%d bytes took %d of memory", len(b), took)
		}
		if err != nil {
			return
		}
		for _, t := range m.Graph.Initializers {
			if t.Type.IsFloat() {
				_, _ = Floats[float32](t)
			}
			_, _ = t.Ints()
		}
	})
}
