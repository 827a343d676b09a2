package data

import (
	"image"
	"math"
	"math/rand/v2"
	"testing"
)

// TestShrink: the means are those of the pixels that the picture says it has, in every kind of
// picture, wherever the part begins.
func TestShrink(t *testing.T) {
	t.Log("seed 4")
	r := rand.New(rand.NewPCG(4, 0))
	noise := func(p []uint8) {
		for i := range p {
			p[i] = uint8(r.IntN(256))
		}
	}
	whole := image.Rect(0, 0, 61, 47)
	grey := image.NewGray(whole)
	noise(grey.Pix)
	all := map[string]image.Image{"grey": grey}
	for ratio := image.YCbCrSubsampleRatio444; ratio <= image.YCbCrSubsampleRatio410; ratio++ {
		p := image.NewYCbCr(whole, ratio)
		for _, plane := range [][]uint8{p.Y, p.Cb, p.Cr} {
			noise(plane)
		}
		all[ratio.String()] = p
	}
	for name, img := range all {
		for _, from := range []image.Rectangle{whole, image.Rect(5, 3, 54, 45), image.Rect(3, 1, 61, 47)} {
			for k := 2; k <= 5; k++ {
				small, at := shrink(img, from, from.Dx()/k, from.Dy()/k)
				if small.Bounds() != at || at.Dx() < from.Dx()/k || at.Dy() < from.Dy()/k {
					t.Fatalf("%s: %v by %d is %v of %v", name, from, k, at, small.Bounds())
				}
				x0, y0 := from.Min.X, from.Min.Y
				if c, ok := img.(*image.YCbCr); ok {
					sx, sy := subsampling(c.SubsampleRatio)
					x0, y0 = x0-x0%sx, y0-y0%sy
				}
				for i := range at.Dy() {
					for j := range at.Dx() {
						sum := 0.0
						for dy := range k {
							for dx := range k {
								sum += luma(img, x0+j*k+dx, y0+i*k+dy)
							}
						}
						if got, want := luma(small, j, i), sum/float64(k*k); !(math.Abs(got-want) <= 0.5) {
							t.Fatalf("%s: %v by %d: luma at %d, %d is %v, want %v", name, from, k, i, j, got, want)
						}
						c, ok := img.(*image.YCbCr)
						if !ok {
							continue
						}
						// A pixel's chroma is the mean over its block of chroma pixels, as far as
						// there are such.
						sx, sy := subsampling(c.SubsampleRatio)
						sum, n := 0.0, 0
						for dy := 0; dy < k*sy; dy += sy {
							for dx := 0; dx < k*sx; dx += sx {
								if p := image.Pt(x0+j/sx*sx*k+dx, y0+i/sy*sy*k+dy); p.In(whole) {
									sum += float64(c.Cr[c.COffset(p.X, p.Y)])
									n++
								}
							}
						}
						s := small.(*image.YCbCr)
						if got, want := float64(s.Cr[s.COffset(j, i)]), sum/float64(n); !(math.Abs(got-want) <= 0.5) {
							t.Fatalf("%s: %v by %d: chroma at %d, %d is %v, want %v", name, from, k, i, j, got, want)
						}
					}
				}
			}
		}
	}
	moved := image.NewGray(whole.Add(image.Pt(1, 0)))
	if same, _ := shrink(moved, moved.Rect, 4, 4); same != image.Image(moved) {
		t.Error("a picture that begins elsewhere than at 0, 0 has changed")
	}
	if same, at := shrink(grey, whole, 40, 40); same != image.Image(grey) || at != whole {
		t.Errorf("a picture that is scaled by less than 2 became one of %v", at)
	}
}

func luma(img image.Image, x, y int) float64 {
	if c, ok := img.(*image.YCbCr); ok {
		return float64(c.Y[c.YOffset(x, y)])
	}
	g := img.(*image.Gray)
	return float64(g.Pix[g.PixOffset(x, y)])
}
