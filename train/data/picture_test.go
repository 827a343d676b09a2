package data

import (
	"bytes"
	"context"
	"image"
	"image/color"
	"image/png"
	"strings"
	"testing"
	"time"

	"gorgonia.org/tensor"
)

func filePNG(t testing.TB, img image.Image) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := png.Encode(&b, img); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// TestReadPicture: one of the sample's size is not touched, in grey and in colour.
func TestReadPicture(t *testing.T) {
	img := image.NewRGBA(image.Rect(0, 0, 3, 2))
	for i := range 6 {
		img.Set(i%3, i/3, color.RGBA{uint8(10 * i), uint8(20 * i), uint8(30 * i), 255})
	}
	b := filePNG(t, img)
	got, err := ReadPicture(bytes.NewReader(b), tensor.Shape{3, 2, 3}, "", 0)
	if err != nil || len(got) != 18 || got[5] != 50 || got[6+5] != 100 || got[12+5] != 150 {
		t.Errorf("got %v, %v", got, err)
	}
	if got, err := ReadPicture(bytes.NewReader(b), tensor.Shape{1, 2, 3}, "", 6); err != nil || len(got) != 6 || got[5] != color.GrayModel.Convert(img.At(2, 1)).(color.Gray).Y {
		t.Errorf("got %v, %v", got, err)
	}
	for _, c := range []struct {
		shape tensor.Shape
		most  int
		want  string
	}{
		{tensor.Shape{1, 2, 3}, 5, "2×3 pixels, want at most 5"}, {tensor.Shape{2, 2, 3}, 0, "want 1×H×W or 3×H×W"},
		{tensor.Shape{1, 6}, 0, "want 1×H×W"}, {tensor.Shape{1, 1 << 40, 1 << 40}, 0, "positive sides"},
	} {
		if _, err := ReadPicture(bytes.NewReader(b), c.shape, "", c.most); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v, at most %d: %v, want %q", c.shape, c.most, err, c.want)
		}
	}
}

// TestPixelsAreBounded: a picture waits until there is room for its pixels, and gives it back,
// after an error too.
func TestPixelsAreBounded(t *testing.T) {
	b := filePNG(t, image.NewGray(image.Rect(0, 0, 40, 50)))
	read := func(b []byte) chan error {
		done := make(chan error)
		go func() {
			_, err := ReadPicture(bytes.NewReader(b), tensor.Shape{1, 8, 8}, "", 0)
			done <- err
		}()
		return done
	}
	if err := underway.Acquire(context.Background(), maxPixels-1999); err != nil {
		t.Fatal(err)
	}
	done := read(b)
	select {
	case <-done:
		t.Error("2000 pixels were decoded where there was room for 1999")
	case <-time.After(50 * time.Millisecond):
		underway.Release(maxPixels - 1999)
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	if err := <-read(b[:len(b)-20]); err == nil {
		t.Error("a file cut short is a picture")
	}
	if !underway.TryAcquire(maxPixels) {
		t.Fatal("not all pixels were given back")
	}
	underway.Release(maxPixels)
}
