package safetensors

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"strings"
	"testing"

	"gorgonia.org/tensor"
)

// file is a header and so many bytes of numbers.
func file(header string, numbers ...byte) []byte {
	b := binary.LittleEndian.AppendUint64(nil, uint64(len(header)))
	return append(append(b, header...), numbers...)
}

func TestRoundTrip(t *testing.T) {
	in := map[string]*tensor.Dense{
		"b":   tensor.New(tensor.WithShape(2, 3), tensor.WithBacking([]float32{1, -2, 3, 4e-30, 5, math.MaxFloat32})),
		"a.ü": tensor.New(tensor.WithShape(1), tensor.WithBacking([]float64{-1e300})),
		"big": tensor.New(tensor.WithShape(chunk+3), tensor.Of(tensor.Float64)),
	}
	for i := range in["big"].Data().([]float64) {
		in["big"].Data().([]float64)[i] = float64(i)
	}
	meta := map[string]string{"a": "ü\"{}\n", "": "empty"}
	var b bytes.Buffer
	if err := Write(&b, in, meta); err != nil {
		t.Fatal(err)
	}
	first := bytes.Clone(b.Bytes())
	out, got, err := Read(&b)
	if err != nil || !maps.Equal(got, meta) || len(out) != len(in) {
		t.Fatalf("got %d tensors, %v, %v", len(out), got, err)
	}
	for name, v := range in {
		if o := out[name]; o == nil || !o.Shape().Eq(v.Shape()) || fmt.Sprint(o.Data()) != fmt.Sprint(v.Data()) {
			t.Errorf("%s came back as %v", name, o)
		}
	}
	if err := Write(&b, out, meta); err != nil || !bytes.Equal(b.Bytes(), first) {
		t.Errorf("the same tensors make other bytes (%v)", err)
	}
	if from := 8 + binary.LittleEndian.Uint64(first); from%8 != 0 {
		t.Errorf("the numbers begin at byte %d, want a multiple of 8", from)
	}
}

// Half-precision numbers of both kinds, by IEEE 754's definition.
func TestHalves(t *testing.T) {
	for _, c := range []struct {
		dtype string
		bits  uint16
		want  float64
	}{
		{"F16", 0x3c00, 1}, {"F16", 0xc000, -2}, {"F16", 0x7bff, 65504}, {"F16", 0x0001, 0x1p-24}, {"F16", 0x83ff, -1023 * 0x1p-24},
		{"F16", 0x0400, 0x1p-14}, {"F16", 0x3555, 0.333251953125}, {"F16", 0x8000, math.Copysign(0, -1)},
		{"BF16", 0x3f80, 1}, {"BF16", 0xc049, -3.140625}, {"BF16", 0x7f7f, 255 * 0x1p120}, {"BF16", 0x0001, 0x1p-133},
	} {
		var got [1]float64
		if err := Floats(got[:], c.dtype, bytes.NewReader(binary.LittleEndian.AppendUint16(nil, c.bits))); err != nil ||
			math.Float64bits(got[0]) != math.Float64bits(c.want) {
			t.Errorf("%s %04x is %v, %v, want %v", c.dtype, c.bits, got[0], err, c.want)
		}
	}
	for dtype, bits := range map[string][]uint16{"F16": {0x7c00, 0xfc00, 0x7e00, 0x7c01}, "BF16": {0x7f80, 0xff80, 0x7fc0}} {
		for _, b := range bits {
			var got [1]float32
			err := Floats(got[:], dtype, bytes.NewReader(binary.LittleEndian.AppendUint16(nil, b)))
			if err == nil || !strings.Contains(err.Error(), "want a finite number") {
				t.Errorf("%s %04x: got %v", dtype, b, err)
			}
		}
	}
}

// Headers that another reader would take in another way, or that lie. A key that occurs twice is
// refused at every level.
func TestHeaderRefuses(t *testing.T) {
	const a, b = `"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}`, `"b":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}`
	entry := func(s string) string { return `{"a":{` + s + `}}` }
	for name, c := range map[string]struct{ header, want string }{
		"empty":                     {"", "not a JSON object: got the end"},
		"null":                      {"null", "not a JSON object"},
		"a list":                    {"[]", "not a JSON object"},
		"cut":                       {"{" + a, "want a comma or }"},
		"a comma too many":          {"{" + a + ",}", "want a string"},
		"no comma":                  {"{" + a + " " + b + "}", "want a comma or }"},
		"no colon":                  {`{"a"{}}`, "want a colon"},
		"more after":                {"{" + a + "," + b + "}{}", "more after the header's JSON object"},
		"a name twice":              {"{" + a + "," + b + "," + a + "}", `the header names "a" twice`},
		"a name twice, escaped":     {"{" + a + "," + strings.Replace(a, `"a"`, `"\u0061"`, 1) + "}", `the header names "a" twice`},
		"metadata twice":            {`{"__metadata__":{},"__metadata__":{}}`, "names \"__metadata__\" twice"},
		"a metadata key twice":      {`{"__metadata__":{"k":"1","k":"2"}}`, `__metadata__ names "k" twice`},
		"metadata of numbers":       {`{"__metadata__":{"k":1}}`, "want a string"},
		"metadata of a list":        {`{"__metadata__":[]}`, "__metadata__ is not a JSON object"},
		"dtype twice":               {entry(`"dtype":"F32","dtype":"F64","shape":[1],"data_offsets":[0,8]`), `names "dtype" twice`},
		"shape twice":               {entry(`"dtype":"F32","shape":[1],"shape":[2],"data_offsets":[0,8]`), `names "shape" twice`},
		"offsets twice":             {entry(`"dtype":"F32","shape":[1],"data_offsets":[0,8],"data_offsets":[0,4]`), `names "data_offsets" twice`},
		"other case":                {entry(`"Dtype":"F32","shape":[1],"data_offsets":[0,4]`), `got the key "Dtype"`},
		"other case beside":         {entry(`"dtype":"F32","DTYPE":"F64","shape":[1],"data_offsets":[0,4]`), `got the key "DTYPE"`},
		"an unknown key":            {entry(`"dtype":"F32","shape":[1],"data_offsets":[0,4],"x":1`), `got the key "x"`},
		"an entry that is a string": {`{"a":"none"}`, "the entry of a: the object is not a JSON object"},
		"no dtype":                  {entry(`"shape":[1],"data_offsets":[0,4]`), `the type is ""`},
		"no shape":                  {entry(`"dtype":"F32","data_offsets":[0,4]`), "there is no shape"},
		"no offsets":                {entry(`"dtype":"F32","shape":[1]`), "got 0 data_offsets, want 2"},
		"one offset":                {entry(`"dtype":"F32","shape":[1],"data_offsets":[4]`), "got 1 data_offsets, want 2"},
		"three offsets":             {entry(`"dtype":"F32","shape":[1],"data_offsets":[0,4,9]`), "got 3 data_offsets, want 2"},
		"an unknown type":           {entry(`"dtype":"F31","shape":[1],"data_offsets":[0,4]`), `the type is "F31"`},
		"a negative offset":         {entry(`"dtype":"F32","shape":[1],"data_offsets":[-4,0]`), "want a whole number of at least 0"},
		"a fraction":                {entry(`"dtype":"F32","shape":[1.0],"data_offsets":[0,4]`), "want a comma or ]"},
		"an exponent":               {entry(`"dtype":"F32","shape":[1e0],"data_offsets":[0,4]`), "want a comma or ]"},
		"a leading zero":            {entry(`"dtype":"F32","shape":[01],"data_offsets":[0,4]`), "want a whole number"},
		"a huge offset":             {entry(`"dtype":"F32","shape":[1],"data_offsets":[0,99999999999999999999]`), "a number is beyond"},
		"sides beyond an address":   {entry(`"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,4]`), "more elements than can be addressed"},
		"a shape of many sides":     {entry(`"dtype":"F32","shape":[1` + strings.Repeat(",1", 64) + `],"data_offsets":[0,4]`), "the shape has 65 sides"},
		"backwards":                 {entry(`"dtype":"F32","shape":[1],"data_offsets":[4,0]`), "lies at bytes 4 to 0, want 4 bytes"},
		"a size that does not fit":  {entry(`"dtype":"F32","shape":[2],"data_offsets":[0,4]`), "lies at bytes 0 to 4, want 8 bytes"},
		"overlap":                   {"{" + a + "," + strings.Replace(b, "4,8", "2,6", 1) + "}", "b begins at byte 2, want 4"},
		"gap":                       {"{" + a + "," + strings.Replace(b, "4,8", "8,12", 1) + "}", "b begins at byte 8, want 4"},
		"a gap at the start":        {"{" + b + "}", "b begins at byte 4, want 0"},
		"not UTF-8":                 {"{\"\xff\":1}", "not UTF-8"},
		"a control character":       {"{\"a\n\":1}", "no control characters"},
		"a string without an end":   {`{"a`, "the end of a string"},
		"an escape without an end":  {`{"a\`, "the end of a string"},
		"an escape that is none":    {`{"\x":1}`, "invalid character"},
		"a list without an end":     {`{"a":{"shape":[1`, "want a comma or ]"},
		"deep":                      {strings.Repeat(`{"a":`, 1000), `got the key "a"`},
	} {
		_, err := ReadHeader(bytes.NewReader(file(c.header)))
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want an error with %q", name, err, c.want)
		}
	}
	h, err := ReadHeader(bytes.NewReader(file("{ " + b + " ,\t" + a + ",\"s\":{\"shape\":[],\"data_offsets\":[8,9],\"dtype\":\"U8\"}}\n  ")))
	if err != nil || len(h.Entries) != 3 || h.Entries[0].Name != "a" || h.Entries[2].Name != "s" || len(h.Entries[2].Shape) != 0 {
		t.Errorf("names in another order, blanks, a scalar: got %+v, %v", h, err)
	}
}

// Numbers that are cut, go on, or are not there at all; a reader that fails.
func TestNumbersRefused(t *testing.T) {
	const a = `{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}`
	for name, c := range map[string]struct {
		data []byte
		want string
	}{
		"none":     {file(a), "end after 0 of 8 bytes"},
		"cut":      {file(a, 0, 0, 0, 0, 0), "end after 5 of 8 bytes"},
		"go on":    {file(a, make([]byte, 9)...), "there is more after the numbers"},
		"a lie":    {file(strings.NewReplacer("[2]", "[99999999999]", ",8]", ",399999999996]").Replace(a), 1, 2, 3), "end after 3 of"},
		"integers": {file(strings.Replace(a, "F32", "I32", 1), make([]byte, 8)...), `has the type "I32"`},
		"NaN":      {file(a, 0, 0, 0, 0, 0, 0, 0xc0, 0x7f), "element 1 is NaN"},
		"a scalar": {file(`{"a":{"dtype":"F32","shape":[],"data_offsets":[0,4]}}`, 0, 0, 0, 0), "want at least one side"},
		"nothing":  {file(`{"a":{"dtype":"F32","shape":[0],"data_offsets":[0,0]}}`), "one element"},
	} {
		if _, _, err := Read(bytes.NewReader(c.data)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want an error with %q", name, err, c.want)
		}
	}
	broken := errors.New("broken")
	for at := range file(a) {
		r := io.MultiReader(bytes.NewReader(file(a, make([]byte, 8)...)[:at]), failing{broken})
		if _, _, err := Read(r); !errors.Is(err, broken) {
			t.Fatalf("a reader that fails at byte %d: got %v", at, err)
		}
	}
	var narrow [1]float32
	if err := Floats(narrow[:], "F64", bytes.NewReader(binary.LittleEndian.AppendUint64(nil, math.Float64bits(1e39)))); err == nil ||
		!strings.Contains(err.Error(), "element 0 is 1e+39, beyond float32") {
		t.Errorf("a number beyond float32: got %v", err)
	}
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

func TestWriteRefuses(t *testing.T) {
	good := tensor.New(tensor.WithShape(2, 2), tensor.WithBacking([]float32{1, 2, 3, 4}))
	turned := good.Clone().(*tensor.Dense)
	if err := turned.T(); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		t    map[string]*tensor.Dense
		meta map[string]string
		want string
	}{
		"nil":           {map[string]*tensor.Dense{"a": nil}, nil, "a: is no tensor"},
		"empty":         {map[string]*tensor.Dense{"a": {}}, nil, "a: is no tensor"},
		"integers":      {map[string]*tensor.Dense{"a": tensor.New(tensor.WithShape(1), tensor.Of(tensor.Int))}, nil, "a: is of int"},
		"a view":        {map[string]*tensor.Dense{"a": turned}, nil, "want a plain tensor"},
		"column-major":  {map[string]*tensor.Dense{"a": tensor.New(tensor.WithShape(2, 2), tensor.Of(tensor.Float32), tensor.AsFortran(nil))}, nil, "want a plain tensor"},
		"NaN":           {map[string]*tensor.Dense{"a": tensor.New(tensor.WithShape(1), tensor.WithBacking([]float64{math.NaN()}))}, nil, "element 0 is NaN"},
		"a name":        {map[string]*tensor.Dense{"\xff": good}, nil, "not UTF-8"},
		"the metadata":  {map[string]*tensor.Dense{"__metadata__": good}, nil, "the format's own"},
		"metadata text": {map[string]*tensor.Dense{"a": good}, map[string]string{"k": "\xff"}, "are not UTF-8"},
	} {
		var b bytes.Buffer
		if err := Write(&b, c.t, c.meta); err == nil || !strings.Contains(err.Error(), c.want) || b.Len() > 0 {
			t.Errorf("%s: got %v and %d bytes, want an error with %q and none", name, err, b.Len(), c.want)
		}
	}
}

func FuzzRead(f *testing.F) {
	var b bytes.Buffer
	if err := Write(&b, map[string]*tensor.Dense{"a": tensor.New(tensor.WithShape(2), tensor.WithBacking([]float32{1, 2}))},
		map[string]string{"k": "v"}); err != nil {
		f.Fatal(err)
	}
	f.Add(b.Bytes())
	f.Add(file(`{"a":{"dtype":"BF16","shape":[1,2],"data_offsets":[0,4]}}`, 1, 2, 3, 4))
	f.Fuzz(func(t *testing.T, data []byte) {
		out, meta, err := Read(bytes.NewReader(data))
		if err != nil {
			return
		}
		var again bytes.Buffer // what was taken can be written, and read again
		if err := Write(&again, out, meta); err != nil {
			t.Fatal(err)
		}
		if back, _, err := Read(&again); err != nil || len(back) != len(out) {
			t.Fatalf("read %d tensors again of %d: %v", len(back), len(out), err)
		}
	})
}
