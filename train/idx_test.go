package train

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/binary"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"testing"

	"github.com/pkg/errors"
)

// idx writes the format: a header of any magic number and sides, and any data.
func idx(magic uint32, sides []uint32, data []byte) []byte {
	b := binary.BigEndian.AppendUint32(nil, magic)
	for _, s := range sides {
		b = binary.BigEndian.AppendUint32(b, s)
	}
	return append(b, data...)
}

func zip(t testing.TB, b []byte) []byte {
	t.Helper()
	var buf bytes.Buffer
	z := gzip.NewWriter(&buf)
	if _, err := z.Write(b); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

func TestReadIDX(t *testing.T) {
	want := []byte{1, 2, 3, 4, 5, 6}
	plain := idx(0x803, []uint32{1, 2, 3}, want)
	for name, file := range map[string][]byte{"plain": plain, "gzipped": zip(t, plain)} {
		got, sides, err := ReadIDX(bytes.NewReader(file), 3)
		if err != nil || !bytes.Equal(got, want) || !slices.Equal(sides, []int{1, 2, 3}) {
			t.Errorf("%s: got %v of %v, %v; want %v of [1 2 3]", name, got, sides, err, want)
		}
	}
}

func TestReadIDXErrors(t *testing.T) {
	good := idx(0x803, []uint32{2, 2, 3}, make([]byte, 12))
	noise := make([]byte, 4096) // does not compress, so that cutting the stream cuts the data
	r := rand.New(rand.NewPCG(1, 1))
	for i := range noise {
		noise[i] = byte(r.Uint32())
	}
	zipped := zip(t, idx(0x801, []uint32{4096}, noise))
	flipped := bytes.Clone(zipped)
	flipped[len(flipped)-6] ^= 1 // the checksum's
	for _, c := range []struct {
		name string
		file []byte
		rank int
		want []string
	}{
		{"empty", nil, 3, []string{"ends after 0 bytes, want 16"}},
		{"header cut short", good[:15], 3, []string{"header ends after 15 bytes, want 16"}},
		{"data cut short", good[:27], 3, []string{"data ends after 11 bytes, want 12"}},
		{"trailing byte", append(bytes.Clone(good), 0), 3, []string{"more after the 12 bytes"}},
		{"labels for images", idx(0x801, []uint32{16}, make([]byte, 16)), 3, []string{"0x00000801", "want 0x00000803"}},
		{"floats", idx(0xd03, []uint32{2, 2, 3}, make([]byte, 48)), 3, []string{"0x00000d03", "want 0x00000803"}},
		{"no image", idx(0x803, []uint32{0, 2, 3}, nil), 3, []string{"side 1 of 3 is 0"}},
		{"sides that overflow", idx(0x803, []uint32{1 << 31, 1 << 31, 1 << 31}, nil), 3, []string{"side 1 of 3 is 2147483648"}},
		{"product that overflows", idx(0x803, []uint32{1 << 22, 1 << 21, 1 << 21}, nil), 3, []string{"side 2 of 3 is 2097152"}},
		{"a billion claimed", idx(0x801, []uint32{1 << 30}, make([]byte, 100)), 1, []string{"ends after 100 bytes, want 1073741824"}},
		{"gzip cut short", zipped[:len(zipped)/2], 1, []string{"of 4096 bytes", "unexpected EOF"}},
		{"gzip's end cut off", zipped[:len(zipped)-4], 1, []string{"unexpected EOF"}},
		{"gzip's checksum", flipped, 1, []string{"checksum"}},
		{"gzip's header", []byte{0x1f, 0x8b, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9}, 1, []string{"gzip"}},
		{"garbage after gzip", append(bytes.Clone(zipped), "xyz"...), 1, []string{"after 4096 of 4096"}},
		{"a second gzip member", append(bytes.Clone(zipped), zip(t, []byte("x"))...), 1, []string{"more after the 4096 bytes"}},
		{"rank 0", good, 0, []string{"rank is 0"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, _, err := ReadIDX(bytes.NewReader(c.file), c.rank)
			wants(t, err, c.want...)
		})
	}
	_, _, err := ReadIDX(nil, 1)
	wants(t, err, "the reader is nil")
	_, _, err = ReadIDX(failing{}, 1)
	wants(t, err, "the disk is on fire")
}

type failing struct{}

func (failing) Read([]byte) (int, error) { return 0, errors.New("the disk is on fire") }

// TestIDXDoesNotTrustSizes: a gigabyte that is claimed and not there costs no memory.
func TestIDXDoesNotTrustSizes(t *testing.T) {
	file := idx(0x801, []uint32{1 << 30}, make([]byte, 100))
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	_, _, err := ReadIDX(bytes.NewReader(file), 1)
	runtime.ReadMemStats(&after)
	if got := after.TotalAlloc - before.TotalAlloc; err == nil || got > 1<<20 {
		t.Errorf("%d bytes were allocated for a file of %d, error %v; want less than 1 MiB and an error", got, len(file), err)
	}
}

// FuzzIDX: no file panics; what is read has the size that its sides say, is what the file ends with, and is written back as it was.
func FuzzIDX(f *testing.F) {
	f.Add(idx(0x803, []uint32{1, 2, 3}, []byte{1, 2, 3, 4, 5, 6}), 3)
	f.Add(idx(0x801, []uint32{4}, []byte{1, 2, 3, 4}), 1)
	f.Add(idx(0x803, []uint32{1 << 31, 1 << 31, 1 << 31}, nil), 3)
	f.Add(zip(f, idx(0x801, []uint32{4}, []byte{1, 2, 3, 4})), 1)
	f.Add([]byte{0x1f, 0x8b}, 1)
	f.Fuzz(func(t *testing.T, file []byte, rank int) {
		data, sides, err := ReadIDX(bytes.NewReader(file), rank)
		if err != nil {
			return
		}
		size, header := 1, []uint32{}
		for _, s := range sides {
			size *= s
			header = append(header, uint32(s))
		}
		if len(sides) != rank || len(data) != size {
			t.Fatalf("%d bytes of sides %v, want rank %d", len(data), sides, rank)
		}
		if gzipped := file[0] == 0x1f; !gzipped && !bytes.Equal(file, idx(uint32(0x800|rank), header, data)) {
			t.Fatal("the file is not what was read")
		}
	})
}

// mnist writes a small dataset of images 2×3 and returns its directory.
func mnist(t *testing.T, change map[string][]byte) string {
	t.Helper()
	files := map[string][]byte{
		"train-images-idx3-ubyte":    idx(0x803, []uint32{3, 2, 3}, []byte("abcdefghijklmnopqr")),
		"train-labels-idx1-ubyte.gz": zip(t, idx(0x801, []uint32{3}, []byte{7, 0, 9})),
		"t10k-images-idx3-ubyte.gz":  zip(t, idx(0x803, []uint32{2, 2, 3}, make([]byte, 12))),
		"t10k-labels-idx1-ubyte":     idx(0x801, []uint32{2}, []byte{1, 2}),
	}
	dir := t.TempDir()
	for name, b := range change {
		files[name] = b
	}
	for name, b := range files {
		if b == nil {
			continue
		}
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestLoadMNIST(t *testing.T) {
	d, err := LoadMNIST(mnist(t, nil))
	if err != nil {
		t.Fatal(err)
	}
	if got := string(d.Train.Images); got != "abcdefghijklmnopqr" || !slices.Equal(d.Train.Labels, []uint8{7, 0, 9}) || d.Test.Len() != 2 || d.Input[1] != 2 || d.Input[2] != 3 {
		t.Errorf("got %v, training images %q and labels %v", d, got, d.Train.Labels)
	}
}

func TestLoadMNISTErrors(t *testing.T) {
	for _, c := range []struct {
		name   string
		change map[string][]byte
		want   []string
	}{
		{"a file is missing", map[string][]byte{"t10k-labels-idx1-ubyte": nil}, []string{"neither t10k-labels-idx1-ubyte nor t10k-labels-idx1-ubyte.gz"}},
		{"fewer labels", map[string][]byte{"t10k-labels-idx1-ubyte": idx(0x801, []uint32{1}, []byte{1})}, []string{"t10k-labels-idx1-ubyte holds 1 labels, want 2", "t10k-images-idx3-ubyte.gz"}},
		{"a label of 10", map[string][]byte{"t10k-labels-idx1-ubyte": idx(0x801, []uint32{2}, []byte{1, 10})}, []string{"t10k-labels-idx1-ubyte", "label 1 is 10, want 0 to 9"}},
		{"images and labels swapped", map[string][]byte{"train-images-idx3-ubyte": idx(0x801, []uint32{30}, make([]byte, 30))}, []string{"train-images-idx3-ubyte", "0x00000801"}},
		{"test images of another size", map[string][]byte{"t10k-images-idx3-ubyte.gz": zip(t, idx(0x803, []uint32{2, 3, 2}, make([]byte, 12)))}, []string{"t10k-images-idx3-ubyte.gz", "3×2, want 2×3"}},
		{"a short file", map[string][]byte{"train-images-idx3-ubyte": idx(0x803, []uint32{3, 2, 3}, make([]byte, 17))}, []string{"train-images-idx3-ubyte", "after 17 bytes, want 18"}},
		{"corrupt gzip", map[string][]byte{"train-labels-idx1-ubyte.gz": {0x1f, 0x8b, 8}}, []string{"train-labels-idx1-ubyte.gz", "gzip"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := LoadMNIST(mnist(t, c.change))
			wants(t, err, append(c.want, "train: ")...)
		})
	}
	_, err := LoadMNIST(filepath.Join(t.TempDir(), "nowhere"))
	wants(t, err, "nowhere", "neither")
	dir := mnist(t, map[string][]byte{"train-images-idx3-ubyte": nil})
	if err := os.Mkdir(filepath.Join(dir, "train-images-idx3-ubyte"), 0o755); err != nil {
		t.Fatal(err)
	}
	_, err = LoadMNIST(dir)
	wants(t, err, "train-images-idx3-ubyte")
}

// realMNIST is the real dataset, if it is at hand beside the repository.
func realMNIST(t *testing.T) *Dataset {
	t.Helper()
	dir := filepath.Join("..", "..", "shared", "data", "mnist")
	if _, err := os.Stat(dir); err != nil {
		t.Skip("MNIST is not at hand")
	}
	d, err := LoadMNIST(dir)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// TestRealMNIST checks what is known of the dataset, and that a twelfth of an epoch goes a long way, with both losses.
func TestRealMNIST(t *testing.T) {
	d := realMNIST(t)
	if d.Train.Len() != 60000 || d.Test.Len() != 10000 || !d.Input.Eq([]int{1, 28, 28}) || !slices.Equal(d.Train.Labels[:5], []uint8{5, 0, 4, 1, 9}) || !slices.Equal(d.Test.Labels[:5], []uint8{7, 2, 1, 0, 4}) {
		t.Errorf("got %v, labels %v… and %v…", d, d.Train.Labels[:5], d.Test.Labels[:5])
	}
	if testing.Short() {
		return
	}
	few := *d
	few.Train = Split{d.Train.Images[:5000*28*28], d.Train.Labels[:5000]}
	few.Test = Split{d.Test.Images[:2000*28*28], d.Test.Labels[:2000]}
	for loss, want := range map[string]float64{"cross-entropy": 0.85, "mse": 0.75} {
		res, err := Run(context.Background(), Config{Model: "article", Loss: loss, Epochs: 1, Batch: 32, Optimizer: "adam", Seed: 1}, &few, "", nil)
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("%s: %.2f %%", loss, 100*res.Accuracy())
		if res.Accuracy() < want {
			t.Errorf("%s: %.2f %% after 5000 images, want %.0f %%", loss, 100*res.Accuracy(), 100*want)
		}
	}
}
