package data

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"image"
	"image/color"
	"image/jpeg"
	"image/png"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"gorgonia.org/tensor"

	"github.com/convgrad/convgrad/ops"
)

// exif is a JPEG file whose EXIF data names an orientation, in either byte order.
func exif(t testing.TB, img image.Image, turn uint16, big bool) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := jpeg.Encode(&b, img, &jpeg.Options{Quality: 100}); err != nil {
		t.Fatal(err)
	}
	segment := append([]byte("Exif\x00\x00"), tiff(turn, big)...)
	head := binary.BigEndian.AppendUint16([]byte{0xff, 0xd8, 0xff, 0xe1}, uint16(len(segment)+2))
	return slices.Concat(head, segment, b.Bytes()[2:])
}

// tiff is EXIF data: a directory of a width and an orientation.
func tiff(turn uint16, big bool) []byte {
	var order binary.AppendByteOrder = binary.LittleEndian
	b := []byte("II")
	if big {
		order, b = binary.BigEndian, []byte("MM")
	}
	b = order.AppendUint32(order.AppendUint16(b, 42), 8)
	b = order.AppendUint16(b, 2)
	for _, e := range [][2]uint16{{0x0100, 7}, {0x0112, turn}} {
		b = order.AppendUint32(order.AppendUint16(order.AppendUint16(b, e[0]), 3), 1)
		b = order.AppendUint16(order.AppendUint16(b, e[1]), 0)
	}
	return order.AppendUint32(b, 0)
}

// exifPNG is a PNG file with an eXIf chunk after its header.
func exifPNG(t testing.TB, img image.Image, tiff []byte) []byte {
	t.Helper()
	const header = 8 + 12 + 13
	file := filePNG(t, img)
	chunk := append([]byte("eXIf"), tiff...)
	sum := crc32.ChecksumIEEE(chunk)
	chunk = append(binary.BigEndian.AppendUint32(nil, uint32(len(tiff))), chunk...)
	return slices.Concat(file[:header], binary.BigEndian.AppendUint32(chunk, sum), file[header:])
}

// exifWebP is quarters as a WebP file with an EXIF chunk: cwebp's lossless one between two chunks
// of the extended format.
func exifWebP(tiff []byte) []byte {
	const lossless = "VP8L\x1f\x00\x00\x00\x2f\x07\xc0\x03\x00\x1f\x30\x50\x03\x35\x50\xf3" +
		"\x1f\x78\x77\x20\xcc\x36\x9a\xe4\x24\x4f\xf2\x9e\x53\x88\xe8\x7f\x60\xed\x05\x00"
	// EXIF is there; 8×16 pixels.
	const extended = "VP8X\x0a\x00\x00\x00\x08\x00\x00\x00\x07\x00\x00\x0f\x00\x00"
	body := []byte("WEBP" + extended + lossless + "EXIF")
	body = append(binary.LittleEndian.AppendUint32(body, uint32(len(tiff))), tiff...)
	return append(binary.LittleEndian.AppendUint32([]byte("RIFF"), uint32(len(body))), body...)
}

// quarters is a picture 16 high and 8 wide whose quarters have the greys 0, 80, 160 and 240.
func quarters() *image.Gray {
	img := image.NewGray(image.Rect(0, 0, 8, 16))
	for y := range 16 {
		for x := range 8 {
			img.SetGray(x, y, color.Gray{Y: uint8(80*(x/4) + 160*(y/8))})
		}
	}
	return img
}

// TestOrientation: pictures stand as EXIF says. The list is from its standard: where the first row
// and the first column of the file are shown.
func TestOrientation(t *testing.T) {
	for turn, want := range map[uint16][4]uint8{ // top left, top right, bottom left, bottom right
		0: {0, 80, 160, 240}, 1: {0, 80, 160, 240}, 2: {80, 0, 240, 160}, 3: {240, 160, 80, 0}, 4: {160, 240, 0, 80},
		5: {0, 160, 80, 240}, 6: {160, 0, 240, 80}, 7: {240, 80, 160, 0}, 8: {80, 240, 0, 160}, 9: {0, 80, 160, 240},
	} {
		for _, big := range []bool{false, true} {
			h, w := 16, 8
			if turn >= 5 && turn <= 8 {
				h, w = 8, 16
			}
			got, err := ReadPicture(bytes.NewReader(exif(t, quarters(), turn, big)), tensor.Shape{1, h, w}, "", 0)
			if err != nil {
				t.Fatal(err)
			}
			for k, at := range [4]int{0, w - 1, (h - 1) * w, h*w - 1} {
				if d := int(got[at]) - int(want[k]); d < -3 || d > 3 { // JPEG's rounding
					t.Errorf("orientation %d, big-endian %v: corner %d is %d, want %d", turn, big, k, got[at], want[k])
				}
			}
		}
	}
	for kind, file := range map[string][]byte{"png": exifPNG(t, quarters(), tiff(6, true)), "webp": exifWebP(tiff(6, false))} {
		got, err := ReadPicture(bytes.NewReader(file), tensor.Shape{1, 8, 16}, "", 0)
		if err != nil {
			t.Fatal(err)
		}
		if at := [4]uint8{got[0], got[15], got[7*16], got[127]}; at != [4]uint8{160, 0, 240, 80} {
			t.Errorf("%s, orientation 6: the corners are %v", kind, at)
		}
		for n := range file {
			_ = readOrientation(bytes.NewReader(file[:n]), kind)
		}
	}
	whole := exif(t, quarters(), 6, true)
	for n := range whole { // nothing panics, whatever is cut
		_ = readOrientation(bytes.NewReader(whole[:n]), "jpeg")
	}
}

// TestFits: a wide picture, white with a black right third, in a square.
func TestFits(t *testing.T) {
	img := image.NewGray(image.Rect(0, 0, 30, 10))
	for i := range img.Pix {
		if img.Pix[i] = 255; i%30 >= 20 {
			img.Pix[i] = 0
		}
	}
	var b bytes.Buffer
	if err := png.Encode(&b, img); err != nil {
		t.Fatal(err)
	}
	// The middles of the left and right edges, and of the top.
	for fit, want := range map[string][3]uint8{
		"": {255, 255, 255}, "crop": {255, 255, 255}, "pad": {255, 0, 0}, "resize": {255, 0, 255},
	} {
		got, err := ReadPicture(bytes.NewReader(b.Bytes()), tensor.Shape{1, 10, 10}, fit, 0)
		if err != nil {
			t.Fatal(err)
		}
		if at := [3]uint8{got[50], got[59], got[5]}; at != want {
			t.Errorf("%q: got %v, want %v", fit, at, want)
		}
	}
	if _, err := ReadPicture(bytes.NewReader(b.Bytes()), tensor.Shape{1, 10, 10}, "zoom", 0); err == nil {
		t.Error("an unknown fit was taken")
	}
}

// TestFolderKeeps: what is kept in memory and what is decoded late are the same samples, also where
// EXIF turns a picture and the size is the pictures' own.
func TestFolderKeeps(t *testing.T) {
	dir := t.TempDir()
	for class, turn := range map[string]uint16{"a": 6, "b": 1} {
		if err := os.Mkdir(filepath.Join(dir, class), 0o755); err != nil {
			t.Fatal(err)
		}
		img := image.Image(quarters())
		if turn == 1 { // of the size that the other one is shown in
			img = image.NewGray(image.Rect(0, 0, 16, 8))
		}
		for _, name := range []string{"1.jpg", "2.jpg"} {
			if err := os.WriteFile(filepath.Join(dir, class, name), exif(t, img, turn, false), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	training, _, err := Folder(dir, FolderOptions{Held: 0.5})
	if err != nil || !slices.Equal(training.Shape(), []int{1, 8, 16}) {
		t.Fatalf("got %v, %v", training.Shape(), err)
	}
	r := &folderReader{FolderOptions: FolderOptions{Size: ops.Size{H: 8, W: 16}, Channels: 1}}
	for _, room := range []int64{0, 1 << 20} {
		r.room.Store(room)
		r.classes = nil
		list, err := r.list(dir, 1)
		if err != nil {
			t.Fatal(err)
		}
		if kept := list[0].kept != nil; kept != (room > 0) {
			t.Errorf("with room for %d bytes, a sample is kept: %v", room, kept)
		}
		s := &folder{list, r.classes, r.shape(), ""}
		x, y := make([]float32, 8*16), make([]float32, 8*16)
		if _, err := s.Read(0, x); err != nil {
			t.Fatal(err)
		}
		if _, err := training.Read(0, y); err != nil || !slices.Equal(x, y) {
			t.Errorf("with room for %d bytes, the sample is %v, want %v (%v)", room, x[:4], y[:4], err)
		}
	}
	counts, err := Counts(training)
	if err != nil || !slices.Equal(counts, []int{1, 1}) {
		t.Errorf("the classes have %v samples (%v)", counts, err)
	}
}

// FuzzReadPicture: no file makes the decoders panic, or take memory out of proportion to the pixels
// that it may have.
func FuzzReadPicture(f *testing.F) {
	f.Add(exif(f, quarters(), 5, false))
	f.Add(exifPNG(f, quarters(), tiff(6, true)))
	f.Add(exifWebP(tiff(6, false)))
	f.Add(hugePNG())
	f.Fuzz(func(t *testing.T, b []byte) {
		if p, err := ReadPicture(bytes.NewReader(b), tensor.Shape{3, 5, 4}, "pad", 1<<16); err == nil && len(p) != 60 {
			t.Fatalf("%d bytes", len(p))
		}
	})
}
