package data

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
)

// record is a picture in CIFAR-10's format whose bytes are all v.
func record(label, v byte) []byte {
	return append([]byte{label}, bytes.Repeat([]byte{v}, cifarRecord-1)...)
}

// cifar writes the six files, two pictures each.
func cifar() map[string][]byte {
	files := map[string][]byte{}
	for i, name := range cifarFiles {
		files[name] = append(record(byte(i), byte(10*i)), record(byte(i+4), byte(10*i+1))...)
	}
	return files
}

func archive(t testing.TB, files map[string][]byte) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for name, content := range files {
		if err := w.WriteHeader(&tar.Header{Name: "cifar-10-batches-bin/" + name, Size: int64(len(content)), Mode: 0o644}); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(content); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return gzipped(t, b.Bytes())
}

// TestCIFAR10: the files, the directory that their archive unpacks to, and the archive itself give
// the same sets.
func TestCIFAR10(t *testing.T) {
	files := cifar()
	for _, where := range []string{"", "cifar-10-batches-bin", "archive"} {
		dir := t.TempDir()
		write := func(name string, b []byte) {
			t.Helper()
			if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(dir, name), b, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if where == "archive" {
			write(cifarArchive, archive(t, files))
		} else {
			for name, b := range files {
				write(filepath.Join(where, name), b)
			}
		}
		training, test, err := CIFAR10(dir)
		if err != nil {
			t.Fatalf("%q: %v", where, err)
		}
		if training.Len() != 10 || test.Len() != 2 || !slices.Equal(training.Shape(), []int{3, 32, 32}) || training.Classes()[9] != "truck" {
			t.Errorf("%q: %d and %d samples %v", where, training.Len(), test.Len(), training.Shape())
		}
		p, err := training.Pixels(3)
		if err != nil || slices.Min(p) != 11 || slices.Max(p) != 11 || training.labels[3] != 5 {
			t.Errorf("%q: picture 3 is of class %d, %v, %v", where, training.labels[3], slices.Max(p), err)
		}
		bad := filepath.Join(where, cifarFiles[2])
		if where == "archive" {
			bad = cifarArchive
		}
		for _, b := range [][]byte{nil, record(3, 1)[:100], record(10, 1), {1, 2, 3}} {
			write(bad, b)
			if _, _, err := CIFAR10(dir); err == nil || !strings.Contains(err.Error(), filepath.Base(bad)) {
				t.Errorf("%q: %d bytes for %s: %v", where, len(b), bad, err)
			}
		}
	}
	if _, _, err := CIFAR10(t.TempDir()); err == nil || !strings.Contains(err.Error(), "neither data_batch_1.bin nor the archive") {
		t.Errorf("an empty directory: %v", err)
	}
}

// FuzzCIFAR10: no archive makes the reader panic, or take memory out of proportion to what it
// unpacks to.
func FuzzCIFAR10(f *testing.F) {
	f.Add(archive(f, cifar()))
	f.Add(archive(f, map[string][]byte{"test_batch.bin": {1}}))
	f.Add([]byte{0x1f, 0x8b})
	f.Fuzz(func(t *testing.T, b []byte) {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		files, err := cifarEntries(bytes.NewReader(b))
		total := 0
		for _, content := range files {
			total += len(content)
			_, _, _ = cifarRecords(content, nil, nil)
		}
		runtime.ReadMemStats(&after)
		// A byte of gzip is at most 1032 bytes of its content, which is read in growing pieces.
		if got := after.TotalAlloc - before.TotalAlloc; got > uint64(8<<20+10*1032*len(b)+10*total) {
			t.Fatalf("%d bytes were allocated for %d (%v)", got, len(b), err)
		}
	})
}

// TestEMNIST: pictures stand upright and classes have their characters, from files and from the
// archive.
func TestEMNIST(t *testing.T) {
	images := idx(0x803, []uint32{2, 2, 2}, []byte{1, 2, 3, 4, 5, 6, 7, 8})
	pictures, labels := gzipped(t, images), gzipped(t, idx(0x801, []uint32{2}, []byte{0, 1}))
	files := map[string][]byte{
		"emnist-balanced-mapping.txt":                []byte("0 48\n1 65 97\n"),
		"emnist-balanced-train-images-idx3-ubyte.gz": pictures, "emnist-balanced-train-labels-idx1-ubyte.gz": labels,
		"emnist-balanced-test-images-idx3-ubyte.gz": pictures, "emnist-balanced-test-labels-idx1-ubyte.gz": labels,
		"emnist-letters-train-images-idx3-ubyte.gz": pictures,
	}
	for _, packed := range []bool{false, true} {
		dir := t.TempDir()
		var b bytes.Buffer
		z := zip.NewWriter(&b)
		for name, content := range files {
			w, err := z.Create("gzip/" + name)
			if err == nil {
				_, err = w.Write(content)
			}
			if err == nil && !packed {
				err = os.WriteFile(filepath.Join(dir, name), content, 0o644)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		if err := z.Close(); err != nil {
			t.Fatal(err)
		}
		if packed {
			if err := os.WriteFile(filepath.Join(dir, emnistArchive), b.Bytes(), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		training, _, err := EMNIST(dir, "balanced")
		if err != nil {
			t.Fatal(err)
		}
		p, err := training.Pixels(1)
		if err != nil || !slices.Equal(p, []byte{5, 7, 6, 8}) || !slices.Equal(training.Classes(), []string{"0", "A"}) {
			t.Errorf("packed %v: got %v of %q, %v", packed, p, training.Classes(), err)
		}
		if packed {
			if err := os.WriteFile(filepath.Join(dir, emnistArchive), b.Bytes()[:b.Len()/2], 0o644); err != nil {
				t.Fatal(err)
			}
			if _, _, err := EMNIST(dir, "balanced"); err == nil || !strings.Contains(err.Error(), emnistArchive) {
				t.Errorf("half an archive: %v", err)
			}
		}
	}
}
