package data

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"image"
	"image/color"
	"image/gif"
	"image/jpeg"
	"image/png"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"gorgonia.org/tensor"

	"github.com/convgrad/convgrad/ops"
)

// paint is a picture of one colour with a corner of another.
func paint(h, w int, c color.Color) *image.NRGBA {
	img := image.NewNRGBA(image.Rect(0, 0, w, h))
	for y := range h {
		for x := range w {
			img.Set(x, y, c)
		}
	}
	img.Set(0, 0, color.Black)
	return img
}

// encoded is a picture as a file.
func encoded(t *testing.T, kind string, img image.Image) []byte {
	t.Helper()
	var b bytes.Buffer
	var err error
	switch kind {
	case "png":
		err = png.Encode(&b, img)
	case "jpg":
		err = jpeg.Encode(&b, img, &jpeg.Options{Quality: 100})
	case "gif":
		err = gif.Encode(&b, img, nil)
	}
	if err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// write writes files below a directory.
func write(t *testing.T, files map[string][]byte) string {
	t.Helper()
	dir := t.TempDir()
	for name, b := range files {
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if b == nil { // a folder without files
			err := os.MkdirAll(path, 0o755)
			if err != nil {
				t.Fatal(err)
			}
			continue
		}
		if err := os.WriteFile(path, b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// hugePNG is the header of a picture of 30,000 pixels a side, with a body that is no use.
func hugePNG() []byte {
	b := []byte("\x89PNG\r\n\x1a\n")
	chunk := append([]byte("IHDR"), 0, 0, 0x75, 0x30, 0, 0, 0x75, 0x30, 8, 2, 0, 0, 0)
	b = binary.BigEndian.AppendUint32(b, 13)
	b = append(b, chunk...)
	return binary.BigEndian.AppendUint32(b, crc32.ChecksumIEEE(chunk))
}

var (
	red  = color.NRGBA{255, 0, 0, 255}
	blue = color.NRGBA{0, 0, 255, 255}
)

// TestFolder: mixed formats and sizes, odd names, pictures of a class in folders of its own.
func TestFolder(t *testing.T) {
	dir := write(t, map[string][]byte{
		"Äpfel und mehr/a b.png":  encoded(t, "png", paint(20, 30, red)),
		"Äpfel und mehr/2.JPG":    encoded(t, "jpg", paint(31, 17, red)),
		"Äpfel und mehr/in/3.gif": encoded(t, "gif", paint(8, 8, red)),
		"Äpfel und mehr/4.png":    encoded(t, "png", paint(5, 40, red)),
		"blue/1.png":              encoded(t, "png", paint(16, 16, blue)),
		"blue/2.png":              encoded(t, "png", paint(9, 9, blue)),
		"blue/.DS_Store":          []byte("not a picture"),
		".hidden/1.png":           []byte("not a picture"),
		"README.txt":              []byte("beside the folders: no class"),
	})
	training, test, err := Folder(dir, FolderOptions{Size: ops.Size{H: 6, W: 8}, Seed: 3})
	if err != nil {
		t.Fatal(err)
	}
	if training.Len() != 4 || test.Len() != 2 || !training.Shape().Eq(tensor.Shape{3, 6, 8}) {
		t.Fatalf("got %d and %d of %v, want 4 and 2 of (3, 6, 8)", training.Len(), test.Len(), training.Shape())
	}
	if c := test.Classes(); !slices.Equal(c, []string{"blue", "Äpfel und mehr"}) {
		t.Errorf("the classes are %q", c)
	}
	x := make([]float32, 3*48)
	for _, s := range []Set{training, test} {
		for i := range s.Len() {
			target, err := s.Read(i, x)
			if err != nil {
				t.Fatal(err)
			}
			middle := 3*8 + 4 // far from the corner that is black
			want := [][3]float32{{0, 0, 1}, {1, 0, 0}}[target.Class]
			for c, v := range want {
				if got := x[48*c+middle]; math.Abs(float64(got-v)) > 0.02 { // JPEG's
					t.Errorf("picture %d of class %d: channel %d is %v, want %v", i, target.Class, c, got, v)
				}
			}
		}
	}
	again, _, err := Folder(dir, FolderOptions{Size: ops.Size{H: 6, W: 8}, Seed: 3})
	if err != nil || !slices.EqualFunc(again.(*Images).pictures, training.(*Images).pictures, slices.Equal) {
		t.Errorf("the same seed splits otherwise (%v)", err)
	}
}

// TestFolderSplits: train and test, or val, are the two sets. Pictures of the wanted size are not
// touched, and grey ones have one channel.
func TestFolderSplits(t *testing.T) {
	grey := image.NewGray(image.Rect(0, 0, 3, 2))
	copy(grey.Pix, []byte{0, 50, 100, 150, 200, 255})
	b := encoded(t, "png", grey)
	for _, name := range []string{"test", "val"} {
		dir := write(t, map[string][]byte{"train/a/1.png": b, "train/b/1.png": b, "train/b/2.png": b, name + "/b/9.png": b})
		training, test, err := Folder(dir, FolderOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if training.Len() != 3 || test.Len() != 1 || !test.Shape().Eq(tensor.Shape{1, 2, 3}) {
			t.Fatalf("got %d and %d of %v", training.Len(), test.Len(), test.Shape())
		}
		pixels, err := test.(*Images).Pixels(0)
		if err != nil || !bytes.Equal(pixels, grey.Pix) {
			t.Errorf("the pixels are %v (%v), want %v", pixels, err, grey.Pix)
		}
		x := make([]float32, 6)
		if target, err := test.Read(0, x); err != nil || target.Class != 1 {
			t.Errorf("got class %d (%v), want 1", target.Class, err)
		}
		// The set that decodes at each Read has the same samples.
		s := &folder{[]*picture{{path: filepath.Join(dir, "train", "a", "1.png")}}, training.Classes(), training.Shape(), ""}
		y := make([]float32, 6)
		if _, err := s.Read(0, y); err != nil || !slices.Equal(x, y) {
			t.Errorf("decoded late, the sample is %v (%v), want %v", y, err, x)
		}
	}
}

// TestFolderTransparency: what is transparent is white.
func TestFolderTransparency(t *testing.T) {
	clear := encoded(t, "png", image.NewNRGBA(image.Rect(0, 0, 2, 2)))
	dir := write(t, map[string][]byte{"a/1.png": clear, "a/2.png": clear, "b/1.png": clear, "b/2.png": clear})
	training, _, err := Folder(dir, FolderOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if pixels, err := training.(*Images).Pixels(0); err != nil || slices.Min(pixels) != 255 {
		t.Errorf("the pixels are %v (%v), want 255", pixels, err)
	}
}

// TestFolderErrors: each is an error that names the file, or is left out where the caller says so.
func TestFolderErrors(t *testing.T) {
	good := encoded(t, "png", paint(4, 4, red))
	other := encoded(t, "png", paint(4, 5, red))
	photo := encoded(t, "jpg", paint(40, 40, blue))
	whole := func(change map[string][]byte) map[string][]byte {
		files := map[string][]byte{"a/1.png": good, "a/2.png": good, "b/1.png": good, "b/2.png": good}
		for name, b := range change {
			files[name] = b
		}
		return files
	}
	for _, c := range []struct {
		name  string
		files map[string][]byte
		want  string
		skips bool // left out where the caller says so
	}{
		{"a text file", whole(map[string][]byte{"a/notes.txt": []byte("hello")}), "notes.txt: image: unknown format", true},
		{"an empty file", whole(map[string][]byte{"a/3.png": {}}), "3.png", true},
		{"a file cut short", whole(map[string][]byte{"b/3.jpg": photo[:len(photo)/2]}), "3.jpg: ", true},
		{"a huge picture", whole(map[string][]byte{"b/big.png": hugePNG()}), "big.png: the picture has 30000×30000 pixels, want at most", true},
		{"an empty class", whole(map[string][]byte{"c": nil}), "c: the class has no pictures", true},
		{"five bad files", whole(map[string][]byte{"a/3": {}, "a/4": {}, "a/5": {}, "a/6": {}, "b/3": {}}), "and 2 more", true},
		{"one class", map[string][]byte{"a/1.png": good, "a/2.png": good}, "holds 1 folders with pictures", false},
		{"one picture of a class", whole(map[string][]byte{"c/1.png": good}), "c: the class has one picture", true},
		{"nothing", map[string][]byte{"readme": good}, "holds 0 folders", false},
		{"two sizes", whole(map[string][]byte{"b/3.png": other}), "want a size for all samples to be given", false},
		{"a class to test with alone", map[string][]byte{"train/a/1.png": good, "train/b/1.png": good, "test/c/1.png": good}, "is no class of those to train on", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := write(t, c.files)
			_, _, err := Folder(dir, FolderOptions{})
			wants(t, err, "data: Folder: ", c.want)
			var left []string
			training, test, err := Folder(dir, FolderOptions{Skipped: func(path string, err error) { left = append(left, path+": "+err.Error()) }})
			if !c.skips {
				wants(t, err, c.want)
				return
			}
			if err != nil || training.Len() != 2 || test.Len() != 2 || len(training.Classes()) != 2 {
				t.Fatalf("got %v, want 2 and 2 pictures of 2 classes", err)
			}
			if len(left) == 0 || !strings.Contains(c.want, "more") && !strings.Contains(left[0], c.want) {
				t.Errorf("left out were %q, want %q", left, c.want)
			}
		})
	}
	for name, other := range map[string][]byte{"two sizes": other, "a large one": encoded(t, "png", paint(4, 300, red))} {
		files := whole(map[string][]byte{"a/2.png": other})
		if name == "a large one" {
			for path := range files {
				files[path] = other
			}
		}
		training, test, err := Folder(write(t, files), FolderOptions{Usual: ops.Size{H: 3, W: 5}})
		if err != nil || !training.Shape().Eq(tensor.Shape{3, 3, 5}) {
			t.Fatalf("%s, and a usual size: got %v, want samples of 3×5", name, err)
		}
		for _, s := range []Set{training, test} {
			x := make([]float32, 45)
			if _, err := s.Read(0, x); err != nil || x[7] < 0.9 || x[22] > 0.1 {
				t.Errorf("%s, and a usual size: got %v, %v, want a red picture", name, x, err)
			}
		}
	}
	_, _, err := Folder(filepath.Join(t.TempDir(), "nowhere"), FolderOptions{})
	wants(t, err, "data: Folder", "nowhere")
	for want, o := range map[string]FolderOptions{
		"the size is 3×-1": {Size: ops.Size{H: 3, W: -1}}, "the size is 0×3": {Size: ops.Size{W: 3}}, "the usual size is 0×3": {Usual: ops.Size{W: 3}}, "2 channels": {Channels: 2}, "1 is held back": {Held: 1},
	} {
		_, _, err := Folder(".", o)
		wants(t, err, "data: Folder: ", want)
	}
}

// FuzzPicture: no file panics, or is decoded to more pixels than are permitted.
func FuzzPicture(f *testing.F) {
	var b bytes.Buffer
	if err := png.Encode(&b, image.NewGray(image.Rect(0, 0, 3, 2))); err != nil {
		f.Fatal(err)
	}
	f.Add(b.Bytes())
	f.Add(hugePNG())
	path := filepath.Join(f.TempDir(), "picture")
	f.Fuzz(func(t *testing.T, file []byte) {
		if err := os.WriteFile(path, file, 0o644); err != nil {
			t.Fatal(err)
		}
		_ = decode(path, func(d decoded) {
			if s := d.Bounds().Size(); s.X*s.Y > maxPixels {
				t.Fatalf("%d×%d pixels", s.X, s.Y)
			}
		})
	})
}
