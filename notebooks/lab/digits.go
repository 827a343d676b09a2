package lab

import (
	"encoding/gob"
	"image"
	"image/color"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"

	"golang.org/x/image/draw"
	"golang.org/x/image/font"
	"golang.org/x/image/font/gofont/gobold"
	"golang.org/x/image/font/gofont/goitalic"
	"golang.org/x/image/font/gofont/gomono"
	"golang.org/x/image/font/gofont/goregular"
	"golang.org/x/image/font/opentype"
	"golang.org/x/image/math/f64"
	"golang.org/x/image/math/fixed"
	"gorgonia.org/tensor"
)

// DigitSide is the side of the images that Digits draws.
const DigitSide = 20

// Digits draws n digits in the Go fonts, turned, scaled, shifted and with noise, in values from 0
// to about 1: images N×1×20×20 and their labels 0 to 9. The same seed draws the same digits.
func Digits(n int, seed uint64) (images *tensor.Dense, labels []int) {
	const side = DigitSide
	r := rand.New(rand.NewPCG(seed, 2))
	glyphs := glyphs()
	data := make([]float64, 0, n*side*side)
	for range n {
		d := r.IntN(10)
		labels = append(labels, d)
		src := glyphs[r.IntN(len(glyphs))][d]
		sin, cos := math.Sincos((r.Float64() - 0.5) * 0.6)
		sx, sy := 0.27+0.1*r.Float64(), 0.27+0.1*r.Float64()
		shear := (r.Float64() - 0.5) * 0.4
		a, b, c, e := sx*cos, -sy*sin+shear*sx, sx*sin, sy*cos
		// The glyph's middle goes to the image's, give or take two pixels.
		mid := float64(glyphSide) / 2
		tx := side/2 + 4*(r.Float64()-0.5) - a*mid - b*mid
		ty := side/2 + 4*(r.Float64()-0.5) - c*mid - e*mid
		dst := image.NewGray(image.Rect(0, 0, side, side))
		draw.BiLinear.Transform(dst, f64.Aff3{a, b, tx, c, e, ty}, src, src.Bounds(), draw.Src, nil)
		for _, v := range dst.Pix {
			data = append(data, float64(v)/255+0.1*r.NormFloat64())
		}
	}
	return Of(data, n, 1, side, side), labels
}

const glyphSide = 64

// glyphs draws the ten digits in each font, white on black.
func glyphs() (out [][10]*image.Gray) {
	for _, ttf := range [][]byte{goregular.TTF, gobold.TTF, goitalic.TTF, gomono.TTF} {
		face := Must(opentype.NewFace(Must(opentype.Parse(ttf)), &opentype.FaceOptions{Size: 60, DPI: 72}))
		var set [10]*image.Gray
		for d := range set {
			m := image.NewGray(image.Rect(0, 0, glyphSide, glyphSide))
			s := string(rune('0' + d))
			w := font.MeasureString(face, s)
			dot := fixed.Point26_6{X: fixed.I(glyphSide)/2 - w/2, Y: fixed.I(glyphSide/2) + face.Metrics().CapHeight/2}
			(&font.Drawer{Dst: m, Src: image.NewUniform(color.White), Face: face, Dot: dot}).DrawString(s)
			set[d] = m
		}
		out = append(out, set)
	}
	return out
}

// Labels returns class indices as a tensor.
func Labels(v []int) *tensor.Dense {
	return tensor.New(tensor.WithShape(len(v)), tensor.WithBacking(v))
}

// Rows returns a copy of the given images of a tensor N×C×H×W.
func Rows(t *tensor.Dense, index []int) *tensor.Dense {
	s := t.Shape().Clone()
	per := s.TotalSize() / s[0]
	v := Floats(t)
	data := make([]float64, 0, len(index)*per)
	for _, i := range index {
		data = append(data, v[i*per:(i+1)*per]...)
	}
	s[0] = len(index)
	return Of(data, s...)
}

type saved struct {
	Shape []int
	Data  []float64
}

// Save keeps tensors for later cells: every cell is a program of its own. Load returns them. They
// live as long as the notebook's session.
func Save(name string, ts ...*tensor.Dense) {
	f := Must(os.Create(stored(name)))
	var all []saved
	for _, t := range ts {
		all = append(all, saved{t.Shape(), Floats(t)})
	}
	Must(0, gob.NewEncoder(f).Encode(all))
	Must(0, f.Close())
}

// Load returns what Save kept under the name.
func Load(name string) (ts []*tensor.Dense) {
	f := Must(os.Open(stored(name)))
	defer f.Close()
	var all []saved
	Must(0, gob.NewDecoder(f).Decode(&all))
	for _, s := range all {
		ts = append(ts, Of(s.Data, s.Shape...))
	}
	return ts
}

// stored is a file in the directory in which the kernel compiles the session's cells, or, outside a
// notebook, a temporary one.
func stored(name string) string {
	dir := os.Getenv("GONB_TMP_DIR")
	if dir == "" {
		dir = os.TempDir()
	}
	return filepath.Join(dir, name+".tensors")
}
