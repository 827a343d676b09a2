package data

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"io"
	"math"
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

func gzipped(t testing.TB, b []byte) []byte {
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
	for name, file := range map[string][]byte{"plain": plain, "gzipped": gzipped(t, plain)} {
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
	zipped := gzipped(t, idx(0x801, []uint32{4096}, noise))
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
		{"a second gzip member", append(bytes.Clone(zipped), gzipped(t, []byte("x"))...), 1, []string{"more after the 4096 bytes"}},
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

// FuzzIDX: no file panics; what is read has the size that its sides say, is what the file ends
// with, and is written back as it was.
func FuzzIDX(f *testing.F) {
	f.Add(idx(0x803, []uint32{1, 2, 3}, []byte{1, 2, 3, 4, 5, 6}), 3)
	f.Add(idx(0x801, []uint32{4}, []byte{1, 2, 3, 4}), 1)
	f.Add(idx(0x803, []uint32{1 << 31, 1 << 31, 1 << 31}, nil), 3)
	f.Add(gzipped(f, idx(0x801, []uint32{4}, []byte{1, 2, 3, 4})), 1)
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
		"train-labels-idx1-ubyte.gz": gzipped(t, idx(0x801, []uint32{3}, []byte{7, 0, 9})),
		"t10k-images-idx3-ubyte.gz":  gzipped(t, idx(0x803, []uint32{2, 2, 3}, make([]byte, 12))),
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

func TestMNIST(t *testing.T) {
	training, test, err := MNIST(mnist(t, nil))
	if err != nil {
		t.Fatal(err)
	}
	if got := string(slices.Concat(training.pictures...)); got != "abcdefghijklmnopqr" || !slices.Equal(training.labels, []int{7, 0, 9}) ||
		test.Len() != 2 || !training.Shape().Eq([]int{1, 2, 3}) || len(training.Classes()) != 10 {
		t.Errorf("got %v %v, training images %q and labels %v", training.Shape(), training.Classes(), got, training.labels)
	}
}

// TestMNISTClasses: the labels say which classes there are. EMNIST's letters count from 1 to 26,
// and its files have names of their own.
func TestMNISTClasses(t *testing.T) {
	letters := t.TempDir()
	for name, b := range map[string][]byte{
		"emnist-letters-train-images-idx3-ubyte": idx(0x803, []uint32{3, 2, 3}, make([]byte, 18)),
		"emnist-letters-train-labels-idx1-ubyte": idx(0x801, []uint32{3}, []byte{1, 26, 13}),
		"emnist-letters-test-images-idx3-ubyte":  idx(0x803, []uint32{1, 2, 3}, make([]byte, 6)),
		"emnist-letters-test-labels-idx1-ubyte":  idx(0x801, []uint32{1}, []byte{2}),
	} {
		if err := os.WriteFile(filepath.Join(letters, name), b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	training, test, err := MNIST(letters)
	if err != nil {
		t.Fatal(err)
	}
	if c := training.Classes(); len(c) != 26 || c[0] != "1" || c[25] != "26" || !slices.Equal(training.labels, []int{0, 25, 12}) || !slices.Equal(test.labels, []int{1}) {
		t.Errorf("got classes %v and labels %v and %v, want 1 to 26, [0 25 12] and [1]", c, training.labels, test.labels)
	}
	// A class that only the test set has counts too: 0 to 46, as EMNIST's balanced set.
	training, _, err = MNIST(mnist(t, map[string][]byte{"t10k-labels-idx1-ubyte": idx(0x801, []uint32{2}, []byte{1, 46})}))
	if err != nil || len(training.Classes()) != 47 {
		t.Errorf("got %v, %v, want 47 classes", training, err)
	}
	// Two sets in one directory.
	for _, part := range []string{"images-idx3", "labels-idx1"} {
		b, err := os.ReadFile(filepath.Join(letters, "emnist-letters-train-"+part+"-ubyte"))
		if err == nil {
			err = os.WriteFile(filepath.Join(letters, "emnist-digits-train-"+part+"-ubyte"), b, 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	_, _, err = MNIST(letters)
	wants(t, err, "holds 2 files *train-labels-idx1-ubyte, want one")
	_, _, err = MNIST(mnist(t, map[string][]byte{
		"t10k-labels-idx1-ubyte":     idx(0x801, []uint32{2}, []byte{1, 1}),
		"train-labels-idx1-ubyte.gz": gzipped(t, idx(0x801, []uint32{3}, []byte{1, 1, 1})),
	}))
	wants(t, err, "all labels are 1, want at least two classes")
}

// TestGzipOfZeros: a small file that unpacks to a gigabyte costs what its header says, and no more
// than a third beyond; one whose header says less is refused once that is there.
func TestGzipOfZeros(t *testing.T) {
	var file bytes.Buffer
	z, err := gzip.NewWriterLevel(&file, gzip.BestSpeed)
	if err != nil {
		t.Fatal(err)
	}
	const claimed, there = 1 << 26, 1 << 28
	for _, b := range [][]byte{idx(0x801, []uint32{claimed}, nil), make([]byte, there)} {
		if _, err := z.Write(b); err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	allocated := func(r io.Reader) (got uint64, err error) {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, _, err = ReadIDX(r, 1)
		runtime.ReadMemStats(&after)
		return after.TotalAlloc - before.TotalAlloc, err
	}
	got, err := allocated(&file)
	wants(t, err, "there is more after the 67108864 bytes")
	if got > claimed*4/3+1<<20 {
		t.Errorf("%d bytes were allocated where the header says %d, want at most 4/3 of that", got, claimed)
	}
	// What is there, and not what is claimed, is what counts.
	got, err = allocated(bytes.NewReader(idx(0x801, []uint32{1 << 30}, make([]byte, 3<<20))))
	wants(t, err, "the data ends after 3145728 bytes, want 1073741824")
	if got > 4*(3<<20)+2<<20 {
		t.Errorf("%d bytes were allocated for 3 MiB, want at most four times that, and a little to begin with", got)
	}
}

func TestMNISTErrors(t *testing.T) {
	for _, c := range []struct {
		name   string
		change map[string][]byte
		want   []string
	}{
		{"a file is missing", map[string][]byte{"t10k-labels-idx1-ubyte": nil}, []string{"neither t10k-labels-idx1-ubyte nor t10k-labels-idx1-ubyte.gz"}},
		{"fewer labels", map[string][]byte{"t10k-labels-idx1-ubyte": idx(0x801, []uint32{1}, []byte{1})}, []string{"t10k-labels-idx1-ubyte holds 1 labels, want 2", "t10k-images-idx3-ubyte.gz"}},
		{"images and labels swapped", map[string][]byte{"train-images-idx3-ubyte": idx(0x801, []uint32{30}, make([]byte, 30))}, []string{"train-images-idx3-ubyte", "0x00000801"}},
		{"test images of another size", map[string][]byte{"t10k-images-idx3-ubyte.gz": gzipped(t, idx(0x803, []uint32{2, 3, 2}, make([]byte, 12)))}, []string{"t10k-images-idx3-ubyte.gz", "3×2, want 2×3"}},
		{"a short file", map[string][]byte{"train-images-idx3-ubyte": idx(0x803, []uint32{3, 2, 3}, make([]byte, 17))}, []string{"train-images-idx3-ubyte", "after 17 bytes, want 18"}},
		{"corrupt gzip", map[string][]byte{"train-labels-idx1-ubyte.gz": {0x1f, 0x8b, 8}}, []string{"train-labels-idx1-ubyte.gz", "gzip"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, _, err := MNIST(mnist(t, c.change))
			wants(t, err, append(c.want, "data: ")...)
		})
	}
	_, _, err := MNIST(filepath.Join(t.TempDir(), "nowhere"))
	wants(t, err, "nowhere", "neither")
	dir := mnist(t, map[string][]byte{"train-images-idx3-ubyte": nil})
	if err := os.Mkdir(filepath.Join(dir, "train-images-idx3-ubyte"), 0o755); err != nil {
		t.Fatal(err)
	}
	_, _, err = MNIST(dir)
	wants(t, err, "train-images-idx3-ubyte")
}

// TestRealMNIST checks what is known of the dataset, if it is at hand beside the repository.
func TestRealMNIST(t *testing.T) {
	dir := filepath.Join("..", "..", "..", "shared", "data", "mnist")
	if _, err := os.Stat(dir); err != nil {
		t.Skip("MNIST is not at hand")
	}
	training, test, err := MNIST(dir)
	if err != nil {
		t.Fatal(err)
	}
	if training.Len() != 60000 || test.Len() != 10000 || !training.Shape().Eq([]int{1, 28, 28}) || len(training.Classes()) != 10 ||
		!slices.Equal(training.labels[:5], []int{5, 0, 4, 1, 9}) || !slices.Equal(test.labels[:5], []int{7, 2, 1, 0, 4}) {
		t.Errorf("got %d and %d images %v, labels %v… and %v…", training.Len(), test.Len(), training.Shape(), training.labels[:5], test.labels[:5])
	}
	n, err := Measure(training)
	if err != nil {
		t.Fatal(err)
	}
	// The mean and deviation that everybody uses, to four digits.
	if math.Round(n.Mean[0]*1e4) != 1307 || math.Round(n.Std[0]*1e4) != 3081 {
		t.Errorf("got mean %v and deviation %v, want 0.1307 and 0.3081", n.Mean, n.Std)
	}
}
