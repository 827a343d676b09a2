package pickle

import (
	"archive/zip"
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"os"
	"reflect"
	"runtime"
	"strings"
	"testing"
	"time"
)

// opened is a file of testdata, which PyTorch wrote: see testdata/make.py.
func opened(t *testing.T, name string) (*File, error) {
	t.Helper()
	b, err := os.ReadFile("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return Open(bytes.NewReader(b), int64(len(b)))
}

// numbersOf reads all tensors of floats.
func numbersOf(t *testing.T, f *File) map[string][]float64 {
	t.Helper()
	all := map[string][]float64{}
	err := f.Each(f.Tensors, func(x *Tensor, m Memory) error {
		n := 1
		for _, side := range x.Shape {
			n *= side
		}
		v := make([]float64, n)
		if strings.HasPrefix(x.Dtype, "I") {
			return nil
		}
		all[x.Name] = v
		return Floats(v, x, m)
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func TestTensors(t *testing.T) {
	third := func(round func(float64) float64) []float64 {
		v := make([]float64, 6)
		for i := range v {
			v[i] = round(float64(i) / 3)
		}
		return v
	}
	want := map[string][]float64{
		"plain": {0, 1, 2, 3, 4, 5}, "turned": {0, 3, 1, 4, 2, 5}, "part": {7, 9, 11, 13, 15, 17},
		"double":    third(func(v float64) float64 { return v }),
		"parameter": {1, 2, 3, 4, 5, 6}, "scalar": {2.5}, "again": {0, 1, 2, 3, 4, 5},
		// to the nearest of 11 and of 8 bits
		"half":     {0, 0x555p-12, 0x555p-11, 1, 0x555p-10, 0x6abp-10},
		"bfloat16": {0, 0xabp-9, 0xabp-8, 1, 0xabp-7, 0xd5p-7},
	}
	for _, name := range []string{"tensors.pt", "legacy.pt"} {
		f, err := opened(t, name)
		if err != nil {
			t.Fatal(err)
		}
		if got := numbersOf(t, f); !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got %v, want %v", name, got, want)
		}
	}
	f, err := opened(t, "training.pt")
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, x := range f.Tensors {
		names = append(names, fmt.Sprint(x.Name, x.Shape))
	}
	if got := strings.Join(names, " "); got != "0.weight[2 1 3 3] 0.bias[2] 1.weight[2] 1.bias[2] 1.running_mean[2] "+
		"1.running_var[2] 1.num_batches_tracked[] 3.weight[3 8] 3.bias[3]" {
		t.Errorf("the weights in a checkpoint of training are %s", got)
	}
}

// An entry is a name and its contents.
type entry struct{ name, contents string }

// zipped is an archive, with entries stored unless they are to be compressed.
func zipped(t testing.TB, method uint16, entries ...entry) []byte {
	t.Helper()
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for _, e := range entries {
		h := &zip.FileHeader{Name: e.name, Method: method}
		var f interface{ Write([]byte) (int, error) }
		var err error
		if method == zip.Store {
			h.CRC32, h.CompressedSize64, h.UncompressedSize64 = crc32.ChecksumIEEE([]byte(e.contents)), uint64(len(e.contents)), uint64(len(e.contents))
			f, err = w.CreateRaw(h)
		} else {
			f, err = w.CreateHeader(h)
		}
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.Write([]byte(e.contents)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func text(s string) string { return "X" + string([]byte{byte(len(s)), byte(len(s) >> 8), 0, 0}) + s }

// tensorProgram is a pickle of {"w": a tensor}, with these numbers of elements, offset, shape and
// stride.
func tensorProgram(class, key, count, offset, shape, stride string) string {
	return "\x80\x02}" + text("w") + "ctorch._utils\n_rebuild_tensor_v2\n((" + text("storage") + "ctorch\n" + class + "\n" +
		text(key) + text("cpu") + count + "tQ" + offset + "(" + shape + "t(" + stride + "t\x89ccollections\nOrderedDict\n)RtRs."
}

func TestHostile(t *testing.T) {
	data := entry{"a/data/0", strings.Repeat("\x00", 24)}
	good := tensorProgram("FloatStorage", "0", "K\x06", "K\x00", "K\x02K\x03", "K\x03K\x01")
	pickled := func(program string, more ...entry) []byte {
		return zipped(t, zip.Store, append([]entry{{"a/data.pkl", program}}, more...)...)
	}
	if f, err := Open(bytes.NewReader(pickled(good, data)), int64(len(pickled(good, data)))); err != nil || len(f.Tensors) != 1 {
		t.Fatalf("what is right is %v, %v", f, err)
	}
	deep := "\x80\x02" + strings.Repeat("(", 1<<20) + strings.Repeat("t", 1<<20) + "."
	bomb := "\x80\x02]q\x00" + strings.Repeat("0]q\x01(h\x00h\x00h\x00h\x00h\x00h\x00h\x00h\x00eq\x00", 1000) + "."
	ring := "\x80\x02}q\x00" + text("model") + "h\x00s."
	for _, c := range []struct {
		name, want string
		b          []byte
	}{
		{"a call of the system", "the name posix.system is not one of those", pickled("cposix\nsystem\n" + text("ls") + "\x85R.")},
		{"a call by a name on the stack", "the name builtins.eval is not one of those", pickled("\x80\x04" + text("builtins") + text("eval") + "\x93.")},
		{"an object of a class", `instruction 0x81: it is not supported`, pickled("\x80\x02ccollections\nOrderedDict\n)\x81.")},
		{"a name by extension code", `instruction 0x82: it is not supported`, pickled("\x80\x02\x82\x01.")},
		{"an old kind of object", `instruction 'i': it is not supported`, pickled("(iposix\nsystem\n.")},
		{"a call of a dict", "it calls a dict with a tuple", pickled("})R.")},
		{"a length beyond the file", "it wants 2147483647 bytes, and there are 1", pickled("X\xff\xff\xff\x7f.")},
		{"a length of 64 bits", "and there are 1", pickled("\x80\x04\x8d\xff\xff\xff\xff\xff\xff\xff\xff.")},
		{"an integer of 4 billion bytes", `instruction 0x8b: it`, pickled("\x80\x02\x8b\xff\xff\xff\xff.")},
		{"no end", "it wants 1 bytes", pickled("\x80\x02N")},
		{"nothing on the stack", "there is no value to take", pickled("\x80\x02.")},
		{"a mark that is not there", "there is no mark", pickled("\x80\x02t.")},
		{"values left over", "1 values are left over", pickled("NN.")},
		{"what was not kept", "nothing was kept as 5", pickled("h\x05.")},
		{"deep nesting", "is a tuple, want a dict", pickled(deep)},
		{"lists in lists, eight to the power of a thousand", "is a list, want a dict", pickled(bomb)},
		{"a dict that is its own", "dicts in dicts", pickled(ring)},
		{"no pickle", "no data.pkl", zipped(t, zip.Store, data)},
		{"two pickles", "two pickles", zipped(t, zip.Store, entry{"a/data.pkl", "}."}, entry{"b/data.pkl", "}."})},
		{"two entries of a name", "two entries", zipped(t, zip.Store, entry{"a/data.pkl", "}."}, entry{"a/data.pkl", "}."})},
		{"a compressed pickle", "is compressed, want it stored", zipped(t, zip.Deflate, entry{"a/data.pkl", strings.Repeat("0", 1<<20)})},
		{"a program", "TorchScript", zipped(t, zip.Store, entry{"a/data.pkl", "}."}, entry{"a/constants.pkl", "}."})},
		{"a strange order of bytes", "want little or big", pickled(good, data, entry{"a/byteorder", "middle"})},
		{"a storage that is not there", `no storage "0"`, pickled(good)},
		{"a path for a key", `no storage "../../etc/passwd"`, pickled(tensorProgram("FloatStorage", "../../etc/passwd", "K\x06", "K\x00", "K\x06", "K\x01"), data)},
		{"a storage of another size", "has 24 bytes, want 7 elements of 4", pickled(tensorProgram("FloatStorage", "0", "K\x07", "K\x00", "K\x06", "K\x01"), data)},
		{"a negative size", "-1 elements", pickled(tensorProgram("FloatStorage", "0", "J\xff\xff\xff\xff", "K\x00", "K\x06", "K\x01"), data)},
		{"a shape beyond the storage", "it reaches element 6 of a storage of 6", pickled(tensorProgram("FloatStorage", "0", "K\x06", "K\x00", "K\x07", "K\x01"), data)},
		{"strides beyond the storage", "it reaches element", pickled(tensorProgram("FloatStorage", "0", "K\x06", "K\x00", "K\x02K\x03", "K\x09K\x01"), data)},
		{"an offset beyond the storage", "it reaches element 11", pickled(tensorProgram("FloatStorage", "0", "K\x06", "K\x06", "K\x06", "K\x01"), data)},
		{"a negative stride", "want numbers of 0 or more", pickled(tensorProgram("FloatStorage", "0", "K\x06", "K\x05", "K\x06", "J\xff\xff\xff\xff"), data)},
		{"sides that overflow", "more than 2147483647 elements", pickled(tensorProgram("FloatStorage", "0", "K\x06", "K\x00", "J\xff\xff\xff\x7fJ\xff\xff\xff\x7f", "K\x00K\x00"), data)},
		{"a class of storage that is not known", "torch.QInt8Storage is not one of those", pickled(tensorProgram("QInt8Storage", "0", "K\x06", "K\x00", "K\x06", "K\x01"), data)},
		{"no tensors", "has no tensors", pickled("}" + text("epoch") + "K\x01s.")},
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		start := time.Now()
		_, err := Open(bytes.NewReader(c.b), int64(len(c.b)))
		runtime.ReadMemStats(&after)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got the error %v, want one with %q", c.name, err, c.want)
		}
		if took := after.TotalAlloc - before.TotalAlloc; took > 1<<20+200*uint64(len(c.b)) || time.Since(start) > 5*time.Second {
			t.Errorf("%s: %d bytes took %d of memory and %v", c.name, len(c.b), took, time.Since(start))
		}
	}
	if _, err := opened(t, "module.pt"); err == nil || !strings.Contains(err.Error(), "torch.nn.modules.container.Sequential is not one of those") {
		t.Errorf("module.pt: got the error %v", err)
	}
}

// The other order of bytes, which PyTorch notes in the archive.
func TestBigEndian(t *testing.T) {
	b := zipped(t, zip.Store, entry{"a/data.pkl", tensorProgram("FloatStorage", "0", "K\x01", "K\x00", "K\x01", "K\x01")},
		entry{"a/data/0", "\xc0\x20\x00\x00"}, entry{"a/byteorder", "big"})
	f, err := Open(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		t.Fatal(err)
	}
	if got := numbersOf(t, f)["w"]; !reflect.DeepEqual(got, []float64{-2.5}) {
		t.Errorf("got %v, want -2.5", got)
	}
}

// legacyProgram is a checkpoint of before version 1.6: one tensor of two elements, as Python 2
// wrote it before version 0.4, with these parts in it.
func legacyProgram(version, view, keys, count, data string) []byte {
	return []byte("\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02" + version + ".\x80\x02}" + text("little_endian") + "\x88s." +
		"\x80\x02}U\x01wctorch._utils\n_rebuild_tensor\n((U\x07storagectorch\nFloatStorage\nU\x017U\x03cpuK\x02" + view +
		"tQK\x00K\x02\x85K\x01\x85tRs.\x80\x02" + keys + "." + count + data)
}

func TestLegacy(t *testing.T) {
	const version, keys, count, data = "M\xe9\x03", "](U\x017e", "\x02\x00\x00\x00\x00\x00\x00\x00", "\x00\x00\x20\x40\x00\x00\x80\xbf"
	b := legacyProgram(version, "N", keys, count, data)
	f, err := Open(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		t.Fatal(err)
	}
	if got := numbersOf(t, f)["w"]; !reflect.DeepEqual(got, []float64{2.5, -1}) {
		t.Errorf("got %v, want 2.5 and -1", got)
	}
	// A pickle that is longer than what is read at first.
	long := legacyProgram(version, "N", keys+strings.Repeat("N0", 1<<17), count, data)
	if f, err := Open(bytes.NewReader(long), int64(len(long))); err != nil || len(f.Tensors) != 1 {
		t.Errorf("with a long pickle: %v", err)
	}
	for want, b := range map[string][]byte{
		"the version is 1002, want 1001":                               legacyProgram("M\xea\x03", "N", keys, count, data),
		"a storage is a part of another":                               legacyProgram(version, "U\x01vK\x00K\x02\x87", keys, count, data),
		"the storages' keys are None":                                  legacyProgram(version, "N", "N", count, data),
		`no storage "7"`:                                               legacyProgram(version, "N", "]", count, data),
		`the storage the text "8" is one of no tensor`:                 legacyProgram(version, "N", "](U\x018e", count, data),
		"or there twice":                                               legacyProgram(version, "N", "](U\x017U\x017e", count, data),
		`the storage "7" has 3 elements, want 2`:                       legacyProgram(version, "N", keys, "\x03\x00\x00\x00\x00\x00\x00\x00", data),
		`the storage "7" has 2 elements of 4 bytes, and there are 7 b`: b[:len(b)-1],
		`the storage "7": unexpected EOF`:                              b[:len(b)-9],
		"it wants 1 bytes, and there are 0":                            b[:20],
	} {
		if _, err := Open(bytes.NewReader(b), int64(len(b))); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got the error %v, want one with %q", err, want)
		}
	}
}

// A file that is cut or has one byte changed is an error, or the same tensors.
func TestDamaged(t *testing.T) {
	for _, name := range []string{"tensors.pt", "legacy.pt"} {
		damage(t, "testdata/"+name)
	}
}

func damage(t *testing.T, path string) {
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	try := func(b []byte) {
		f, err := Open(bytes.NewReader(b), int64(len(b)))
		if err != nil {
			return
		}
		_ = f.Each(f.Tensors, func(x *Tensor, m Memory) error {
			if x.Dtype[0] == 'I' || x.Dtype[0] == 'U' || x.Dtype == "BOOL" {
				return nil
			}
			n := 1
			for _, side := range x.Shape {
				n *= side
			}
			return Floats(make([]float32, min(n, 1<<16)), x, m)
		})
	}
	for i := 0; i < len(b); i += 7 {
		try(b[:i])
		changed := bytes.Clone(b)
		changed[i] ^= 0x41
		try(changed)
	}
}

func FuzzOpen(f *testing.F) {
	for _, name := range []string{"tensors.pt", "training.pt", "module.pt", "legacy.pt"} {
		b, err := os.ReadFile("testdata/" + name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if f, err := Open(bytes.NewReader(b), int64(len(b))); err == nil {
			_ = f.Each(f.Tensors, func(x *Tensor, m Memory) error { return nil })
		}
	})
}

// FuzzInterpret has no archive around the program, whose checksums would keep most changes out.
func FuzzInterpret(f *testing.F) {
	f.Add([]byte(tensorProgram("FloatStorage", "0", "K\x06", "K\x00", "K\x02K\x03", "K\x03K\x01")))
	f.Add([]byte("\x80\x02]q\x00(K\x01\x8a\x01\xffG\x00\x00\x00\x00\x00\x00\x00\x00e."))
	files := map[string]*zip.File{"a/data/0": {FileHeader: zip.FileHeader{UncompressedSize64: 24}}}
	f.Fuzz(func(t *testing.T, b []byte) {
		known := map[string]*storage{}
		m := machine{b: b, load: func(id tuple) (any, error) { return archived(id, "a", files, known) }}
		v, err := m.next()
		if err != nil {
			return
		}
		tensors, err := tensorsOf(v)
		if err != nil {
			return
		}
		for _, x := range tensors {
			n := 1
			for _, side := range x.Shape {
				n *= side
			}
			if n <= 1<<16 && x.storage.size == 4 && x.Dtype == "F32" {
				_ = Floats(make([]float32, n), x, Memory{make([]byte, 24), binary.LittleEndian})
			}
		}
	})
}
