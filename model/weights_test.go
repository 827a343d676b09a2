package model

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"maps"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	G "gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// withBuffer is a linear layer and a buffer.
var withBuffer = Sequential{As("fc", Linear{Outputs: 2}), As("stats", f2(func(b *Builder, x *G.Node) *G.Node {
	b.Buffer("mean", Constant(7), 2)
	return x
}))}

func TestWeightsRoundTrip(t *testing.T) {
	for _, o := range []Options{{}, {Float64: true}} {
		for name, l := range map[string]Layer{"lenet5": zoo["lenet5"](10), "with a buffer": Sequential{Flatten{}, As("all", withBuffer)}} {
			a, b := newNet(t, l, digit, o), newNet(t, l, digit, Options{Seed: 99, Float64: o.Float64})
			for _, p := range a.Buffers() {
				switch v := p.Value.Data().(type) {
				case []float32:
					v[1] = -3
				case []float64:
					v[1] = -3
				}
			}
			path := filepath.Join(t.TempDir(), "w.safetensors")
			if err := a.SaveFile(path, map[string]string{"network": name}); err != nil {
				t.Fatal(err)
			}
			if err := b.LoadFile(path, LoadOptions{}); err != nil {
				t.Fatal(err)
			}
			for i, p := range a.params {
				sameBits(t, p.Name, bits(t, b.params[i].Value), bits(t, p.Value))
			}
			if left, err := os.ReadDir(filepath.Dir(path)); err != nil || len(left) != 1 {
				t.Errorf("the directory holds %v, want the weights alone", left)
			}
			var again bytes.Buffer
			if err := b.Save(&again, map[string]string{"network": name}); err != nil {
				t.Fatal(err)
			}
			if file, err := os.ReadFile(path); err != nil || !bytes.Equal(file, again.Bytes()) {
				t.Errorf("the same weights make another file (%v)", err)
			}
		}
	}
}

func unchanged(t *testing.T, n *Network) func() {
	var before [][]float64
	for _, p := range n.params {
		before = append(before, bits(t, p.Value))
	}
	return func() {
		t.Helper()
		for i, p := range n.params {
			sameBits(t, p.Name+" after a load that failed", bits(t, p.Value), before[i])
		}
	}
}

func TestLoadRefuses(t *testing.T) {
	n := byName(t, "linear", Options{})
	var good bytes.Buffer
	if err := n.Save(&good, nil); err != nil {
		t.Fatal(err)
	}
	raw := good.Bytes()
	header := func(from, to string) []byte {
		l := binary.LittleEndian.Uint64(raw)
		h := strings.Replace(string(raw[8:8+l]), from, to, 1)
		if h == string(raw[8:8+l]) {
			t.Fatalf("the header has no %s: %s", from, h)
		}
		out := binary.LittleEndian.AppendUint64(nil, uint64(len(h)))
		return append(append(out, h...), raw[8+l:]...)
	}
	check := unchanged(t, n)
	for name, c := range map[string]struct {
		data []byte
		want string
	}{
		"empty":            {nil, "header's length"},
		"short header":     {raw[:20], "header ends after 12 of"},
		"short numbers":    {raw[:len(raw)-1], "the numbers end after"},
		"trailing":         {append(append([]byte{}, raw...), 0), "there is more after"},
		"huge header":      {bytes.Repeat([]byte{255}, 100), "not a safetensors file"},
		"not JSON":         {header("{", "["), "not a JSON object"},
		"wrong type":       {header("F32", "I32"), `has the type "I32", want F64, F32, F16 or BF16`},
		"wrong shape":      {header("[10,784]", "[784,10]"), "fc1.weight has shape (784, 10), want (10, 784)"},
		"unknown name":     {header("fc1.bias", "fc1.bios"), "missing [fc1.bias], unknown [fc1.bios]"},
		"lies about sizes": {header("[10]", "[11]"), "want 44 bytes"},
	} {
		err := n.Load(bytes.NewReader(c.data), LoadOptions{})
		wants(t, name, err, c.want)
		wants(t, name, err, "model: linear: loading weights: ")
		check()
	}
	wants(t, "nil", n.Load(nil, LoadOptions{}), "the reader is nil")
	wants(t, "no file", n.LoadFile(filepath.Join(t.TempDir(), "none"), LoadOptions{}), "loading weights")
	_, err := Metadata(nil)
	wants(t, "metadata of nil", err, "the reader is nil")
}

// What LoadOptions take, leave and refuse.
func TestLoadOptions(t *testing.T) {
	source := newNet(t, Sequential{As("a", Linear{Outputs: 4}), As("fc", Linear{Outputs: 3})}, tensor.Shape{5}, Options{Seed: 1})
	var file bytes.Buffer
	if err := source.Save(&file, nil); err != nil {
		t.Fatal(err)
	}
	same, other := Sequential{As("a", Linear{Outputs: 4}), As("fc", Linear{Outputs: 3})}, Sequential{As("a", Linear{Outputs: 4}), As("fc", Linear{Outputs: 2})}
	moved := Sequential{As("net", same), As("more", Linear{Outputs: 1})}
	prefixed := func(name string) string { return "net." + name }
	without := func(names ...string) func(string) string {
		return func(name string) string {
			for _, n := range names {
				if n == name {
					return ""
				}
			}
			return name
		}
	}
	for name, c := range map[string]struct {
		layer  Layer
		o      LoadOptions
		loaded string // names of weights that must be the file's
		want   string // or the error
	}{
		"all":                    {same, LoadOptions{}, "a.weight a.bias fc.weight fc.bias", ""},
		"another last layer":     {other, LoadOptions{}, "", "fc.bias has shape (3), want (2)"},
		"skipped":                {other, LoadOptions{Skip: []string{"fc"}}, "a.weight a.bias", ""},
		"partial, another shape": {other, LoadOptions{Partial: true}, "", "fc.bias has shape (3), want (2)"},
		"renamed, one missing":   {moved, LoadOptions{Rename: prefixed}, "", "missing [more.weight more.bias], unknown []"},
		"renamed, partial":       {moved, LoadOptions{Rename: prefixed, Partial: true}, "net.a.weight net.a.bias net.fc.weight net.fc.bias", ""},
		"renamed, skipped":       {moved, LoadOptions{Rename: prefixed, Skip: []string{"more"}}, "net.a.weight net.a.bias net.fc.weight net.fc.bias", ""},
		"partial, none fits":     {Sequential{As("b", Linear{Outputs: 4})}, LoadOptions{Partial: true}, "", "missing [b.weight b.bias], unknown [a.bias a.weight fc.bias fc.weight]"},
		"one left out":           {same, LoadOptions{Rename: without("fc.bias")}, "", "missing [fc.bias], unknown []"},
		"left out and skipped":   {same, LoadOptions{Rename: without("fc.bias"), Skip: []string{"fc.bias"}}, "a.weight a.bias fc.weight", ""},
		"two of one name":        {same, LoadOptions{Rename: func(string) string { return "a.bias" }}, "", "both"},
	} {
		n := newNet(t, c.layer, tensor.Shape{5}, Options{Seed: 2})
		check := unchanged(t, n)
		err := n.Load(bytes.NewReader(file.Bytes()), c.o)
		if c.want != "" {
			wants(t, name, err, c.want)
			check()
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		fresh := newNet(t, c.layer, tensor.Shape{5}, Options{Seed: 2})
		for _, p := range n.params {
			want := fresh.Param(p.Name)
			for _, l := range strings.Fields(c.loaded) {
				if l == p.Name {
					want = source.Param(strings.TrimPrefix(p.Name, "net."))
				}
			}
			sameBits(t, name+": "+p.Name, bits(t, p.Value), bits(t, want.Value))
		}
	}
}

func TestMetadata(t *testing.T) {
	var b bytes.Buffer
	want := map[string]string{"network": "linear", "note": "ü\"{}"}
	if err := byName(t, "linear", Options{}).Save(&b, want); err != nil {
		t.Fatal(err)
	}
	got, err := Metadata(&b)
	if err != nil || !maps.Equal(got, want) {
		t.Errorf("got %v, %v, want %v", got, err, want)
	}
}

// The weights of a float64 network load into one of float32, rounded once.
func TestWeightsConvert(t *testing.T) {
	wide, narrow := byName(t, "linear", Options{Float64: true}), byName(t, "linear", Options{})
	var b bytes.Buffer
	if err := wide.Save(&b, nil); err != nil {
		t.Fatal(err)
	}
	if err := narrow.Init(8); err != nil {
		t.Fatal(err)
	}
	if err := narrow.Load(&b, LoadOptions{}); err != nil {
		t.Fatal(err)
	}
	for i, x := range wide.Params()[0].Value.Data().([]float64) {
		if got := narrow.Params()[0].Value.Data().([]float32)[i]; got != float32(x) {
			t.Fatalf("element %d: got %v, want %v rounded", i, got, x)
		}
	}
}

func TestSaveFileErrors(t *testing.T) {
	n := byName(t, "linear", Options{})
	dir := t.TempDir()
	wants(t, "no directory", n.SaveFile(filepath.Join(dir, "no", "such"), nil), "saving weights")
	wants(t, "no writer", n.Save(nil, nil), "the writer is nil")
	if err := os.Mkdir(filepath.Join(dir, "taken"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := n.SaveFile(filepath.Join(dir, "taken"), nil); err == nil {
		t.Error("a directory of that name: got no error")
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 1 {
		t.Errorf("the directory holds %v after errors, want nothing new", left)
	}
}

// Weights that are not finite are neither saved, over those of before least of all, nor loaded; a
// number that is merely too large for the network's type is called that.
func TestWeightsAreFinite(t *testing.T) {
	path := filepath.Join(t.TempDir(), "w.safetensors")
	for _, o := range []Options{{}, {Float64: true}} {
		n := newNet(t, withBuffer, tensor.Shape{3}, o)
		if err := n.SaveFile(path, nil); err != nil {
			t.Fatal(err)
		}
		good, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, v := range []float64{math.NaN(), math.Inf(1), math.Inf(-1)} {
			spoilt := bytes.Clone(good)
			switch d := n.Param("stats.mean").Value.Data().(type) { // the last by name
			case []float32:
				d[1] = float32(v)
				binary.LittleEndian.PutUint32(spoilt[len(spoilt)-4:], math.Float32bits(float32(v)))
			case []float64:
				d[1] = v
				binary.LittleEndian.PutUint64(spoilt[len(spoilt)-8:], math.Float64bits(v))
			}
			wants(t, fmt.Sprint("saving ", v), n.SaveFile(path, nil), "saving weights: stats.mean: element 1 is")
			if after, err := os.ReadFile(path); err != nil || !bytes.Equal(after, good) {
				t.Errorf("saving %v: the file of before has changed (%v)", v, err)
			}
			if err := n.LoadFile(path, LoadOptions{}); err != nil {
				t.Fatal(err)
			}
			check := unchanged(t, n)
			wants(t, fmt.Sprint("loading ", v), n.Load(bytes.NewReader(spoilt), LoadOptions{}), "loading weights: stats.mean: element 1 is")
			check()
		}
	}
	wide := byName(t, "linear", Options{Float64: true})
	wide.Param("fc1.weight").Value.Data().([]float64)[7] = -1e300
	var b bytes.Buffer
	if err := wide.Save(&b, nil); err != nil {
		t.Fatal(err)
	}
	wants(t, "a number beyond float32", byName(t, "linear", Options{}).Load(&b, LoadOptions{}), "fc1.weight: element 7 is -1e+300, beyond float32")
}

// A file of many unknown names gives a short error, and takes memory in proportion to the
// file.
func TestLoadOfManyNames(t *testing.T) {
	n := byName(t, "linear", Options{})
	var h strings.Builder
	h.WriteString("{")
	const names = 60000 // a header has 65536 at most
	for i := range names {
		fmt.Fprintf(&h, `"unknown%06d":{"dtype":"F32","shape":[0],"data_offsets":[0,0]},`, i)
	}
	header := h.String()[:h.Len()-1] + "}"
	file := append(binary.LittleEndian.AppendUint64(nil, uint64(len(header))), header...)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	err := n.Load(bytes.NewReader(file), LoadOptions{})
	runtime.ReadMemStats(&after)
	wants(t, "many names", err, fmt.Sprintf("missing [fc1.weight fc1.bias], unknown [unknown000000 unknown000001 unknown000002 unknown000003 unknown000004 and %d more]", names-few))
	if err != nil && len(err.Error()) > 500 {
		t.Errorf("the error has %d characters", len(err.Error()))
	}
	// An entry of 65 bytes takes its text, 80 bytes in a list that grows by doubling, and some 50
	// in a set of names that does; all garbage is counted.
	if took := after.TotalAlloc - before.TotalAlloc; took > 20*uint64(len(file)) {
		t.Errorf("a file of %d bytes took %d", len(file), took)
	}
	long := fmt.Sprintf(`{"%s":{"dtype":"F32","shape":[0],"data_offsets":[0,0]}}`, strings.Repeat("x", 1<<20))
	err = n.Load(strings.NewReader(string(binary.LittleEndian.AppendUint64(nil, uint64(len(long))))+long), LoadOptions{})
	if err == nil || len(err.Error()) > 500 {
		t.Errorf("a name of a megabyte gives an error of %d characters", len(fmt.Sprint(err)))
	}
}

func FuzzLoad(f *testing.F) {
	n := newNet(f, withBuffer, tensor.Shape{3}, Options{})
	var good bytes.Buffer
	if err := n.Save(&good, map[string]string{"a": "b"}); err != nil {
		f.Fatal(err)
	}
	f.Add(good.Bytes(), false)
	f.Add(good.Bytes()[:100], true)
	f.Fuzz(func(t *testing.T, data []byte, partial bool) {
		if err := n.Load(bytes.NewReader(data), LoadOptions{Partial: partial}); err != nil {
			return
		}
		var again bytes.Buffer // what was taken can be saved, and read again
		if err := n.Save(&again, nil); err != nil {
			t.Fatal(err)
		}
		if err := n.Load(&again, LoadOptions{}); err != nil {
			t.Fatal(err)
		}
	})
}

// A file may name another in its directory, and no name or link leads out of that.
func TestOpenBeside(t *testing.T) {
	dir := t.TempDir()
	for _, path := range []string{"secret", "in/w.data"} {
		path = filepath.Join(dir, path)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte("12345"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("../secret", filepath.Join(dir, "in", "link")); err != nil {
		t.Fatal(err)
	}
	for location, want := range map[string]string{
		"w.data": "", "../secret": "escapes", "link": "escapes", filepath.Join(dir, "secret"): "escapes", "none": "no such file", ".": "not a regular file",
	} {
		f, size, err := openBeside(filepath.Join(dir, "in", "m.onnx"), location)
		if want == "" && err == nil && size == 5 {
			f.Close()
		} else if want == "" || err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %d bytes and the error %v, want one with %q", location, size, err, want)
		}
	}
}
