// Package draw makes the notebooks' pictures: heat maps with the numbers in their cells, kernels,
// regions, wiring between layers and curves, put beside each other and shown as one PNG. A picture
// is finished pixels from the start, so that everything composes: a Figure is an image and a row of
// figures is a Figure. The same numbers give the same pixels on every machine.
package draw

import (
	"bytes"
	"fmt"
	"image"
	"image/color"
	"image/draw"
	"image/png"
	"math"
	"strings"

	"github.com/janpfeifer/gonb/gonbui"
	"github.com/janpfeifer/gonb/gonbui/protocol"
	"golang.org/x/image/font"
	"golang.org/x/image/font/gofont/gobold"
	"golang.org/x/image/font/gofont/goregular"
	"golang.org/x/image/font/opentype"
	"golang.org/x/image/math/fixed"
	"golang.org/x/image/vector"
)

// A Figure is a finished picture on a white ground, and what it shows in words.
type Figure struct {
	*image.RGBA
	alt string
}

// Colours of marks and lines; they stay apart for colour-blind readers (Okabe and Ito's palette).
var (
	Black  = color.RGBA{0x22, 0x22, 0x22, 0xff}
	Grey   = color.RGBA{0xa0, 0xa0, 0xa0, 0xff}
	Blue   = color.RGBA{0x00, 0x72, 0xb2, 0xff}
	Orange = color.RGBA{0xd5, 0x5e, 0x00, 0xff}
	Green  = color.RGBA{0x00, 0x9e, 0x73, 0xff}
	Purple = color.RGBA{0xaa, 0x44, 0x99, 0xff}
	Gold   = color.RGBA{0xe6, 0x9f, 0x00, 0xff}
	Sky    = color.RGBA{0x56, 0xb4, 0xe9, 0xff}

	white = color.RGBA{0xff, 0xff, 0xff, 0xff}
)

// Palette is the order in which curves and wires take their colours.
var Palette = []color.RGBA{Blue, Orange, Green, Purple, Gold, Sky, Black, Grey}

func newFigure(w, h int) Figure {
	f := Figure{RGBA: image.NewRGBA(image.Rect(0, 0, max(w, 1), max(h, 1)))}
	draw.Draw(f, f.Bounds(), image.NewUniform(white), image.Point{}, draw.Src)
	return f
}

// Show displays the figure as the cell's output, with its words for those who do not see it. It
// returns when the notebook has it.
func (f Figure) Show() { Picture(f.PNG(), f.Alt()) }

// Picture displays a PNG as the cell's output, with words for those who do not see it.
func Picture(png []byte, alt string) {
	gonbui.SendData(&protocol.DisplayData{Data: map[protocol.MIMEType]any{
		protocol.MIMEImagePNG: png, protocol.MIMETextPlain: alt,
	}})
	gonbui.Sync()
}

// Alt says what the figure shows.
func (f Figure) Alt() string {
	const most = 1200 // what more there is, nobody listens to
	words := strings.Join(strings.Fields(f.alt), " ")
	if r := []rune(words); len(r) > most {
		words = string(r[:most]) + " …"
	}
	return words
}

// alts joins what figures show.
func alts(between string, figs []Figure) string {
	var all []string
	for _, f := range figs {
		if f.alt != "" {
			all = append(all, f.alt)
		}
	}
	return strings.Join(all, between)
}

// PNG returns the figure's file.
func (f Figure) PNG() []byte {
	var b bytes.Buffer
	enc := png.Encoder{CompressionLevel: png.BestCompression}
	if err := enc.Encode(&b, f.paletted()); err != nil {
		panic(err) // a bytes.Buffer does not fail and the size is positive
	}
	return b.Bytes()
}

// paletted returns the figure with a palette if its colours fit one, which makes a file of a third
// of the size.
func (f Figure) paletted() image.Image {
	index := make(map[color.RGBA]uint8)
	var pal color.Palette
	p := image.NewPaletted(f.Bounds(), nil)
	for i := 0; i < len(f.Pix); i += 4 {
		c := color.RGBA{f.Pix[i], f.Pix[i+1], f.Pix[i+2], f.Pix[i+3]}
		k, ok := index[c]
		if !ok {
			if len(pal) == 256 {
				return f.RGBA
			}
			k = uint8(len(pal))
			index[c], pal = k, append(pal, c)
		}
		p.Pix[i/4] = k
	}
	p.Palette = pal
	return p
}

const gap = 14

// Row puts figures beside each other, centred on one line.
func Row(figs ...Figure) Figure {
	w, h := 0, 0
	for _, f := range figs {
		w += f.Bounds().Dx() + gap
		h = max(h, f.Bounds().Dy())
	}
	out, x := newFigure(w-gap, h), 0
	out.alt = alts(" ", figs)
	for _, f := range figs {
		b := f.Bounds()
		out.paste(f, x, (h-b.Dy())/2)
		x += b.Dx() + gap
	}
	return out
}

// Column puts figures below each other, flush left.
func Column(figs ...Figure) Figure {
	w, h := 0, 0
	for _, f := range figs {
		w = max(w, f.Bounds().Dx())
		h += f.Bounds().Dy() + gap
	}
	out, y := newFigure(w, h-gap), 0
	out.alt = alts(". ", figs)
	for _, f := range figs {
		out.paste(f, 0, y)
		y += f.Bounds().Dy() + gap
	}
	return out
}

// Grid puts figures into rows of the given number of columns.
func Grid(columns int, figs ...Figure) Figure {
	var rows []Figure
	for len(figs) > 0 {
		n := min(columns, len(figs))
		rows = append(rows, Row(figs[:n]...))
		figs = figs[n:]
	}
	return Column(rows...)
}

// Caption puts a line of text above a figure.
func Caption(text string, f Figure) Figure {
	out := newFigure(max(f.Bounds().Dx(), textWidth(text, bold)+2), f.Bounds().Dy()+24)
	out.text(text, 1, 16, bold, Black)
	out.paste(f, 0, 24)
	out.alt = text + ": " + f.alt
	return out
}

// Text is a figure of one line, to stand between two others: "⊗", "=", "+", or words.
func Text(s string) Figure {
	f := newFigure(textWidth(s, large)+4, 30)
	f.text(s, 2, 22, large, Black)
	f.alt = s
	return f
}

func (f Figure) paste(src Figure, x, y int) {
	b := src.Bounds()
	draw.Draw(f, image.Rect(x, y, x+b.Dx(), y+b.Dy()), src, b.Min, draw.Src)
}

func (f Figure) fill(x, y, w, h int, c color.Color) {
	draw.Draw(f, image.Rect(x, y, x+w, y+h), image.NewUniform(c), image.Point{}, draw.Over)
}

// frame draws a rectangle's outline of the given thickness, inside the rectangle.
func (f Figure) frame(x, y, w, h, t int, c color.Color) {
	f.fill(x, y, w, t, c)
	f.fill(x, y+h-t, w, t, c)
	f.fill(x, y, t, h, c)
	f.fill(x+w-t, y, t, h, c)
}

// polygon fills a closed path given as x, y pairs.
func (f Figure) polygon(c color.Color, xy ...float64) {
	b := f.Bounds()
	r := vector.NewRasterizer(b.Dx(), b.Dy())
	r.MoveTo(float32(xy[0]), float32(xy[1]))
	for i := 2; i < len(xy); i += 2 {
		r.LineTo(float32(xy[i]), float32(xy[i+1]))
	}
	r.ClosePath()
	r.Draw(f, b, image.NewUniform(c), image.Point{})
}

func (f Figure) line(x0, y0, x1, y1, width float64, c color.Color) {
	dx, dy := x1-x0, y1-y0
	l := math.Hypot(dx, dy)
	if l == 0 {
		return
	}
	nx, ny := -dy/l*width/2, dx/l*width/2
	f.polygon(c, x0+nx, y0+ny, x1+nx, y1+ny, x1-nx, y1-ny, x0-nx, y0-ny)
}

// arrow draws a line with a head at its end.
func (f Figure) arrow(x0, y0, x1, y1, width float64, c color.Color) {
	l := math.Hypot(x1-x0, y1-y0)
	if l == 0 {
		return
	}
	ux, uy := (x1-x0)/l, (y1-y0)/l
	const head, half = 9, 4.5
	bx, by := x1-ux*head, y1-uy*head
	f.line(x0, y0, bx, by, width, c)
	f.polygon(c, x1, y1, bx-uy*half, by+ux*half, bx+uy*half, by-ux*half)
}

// disc fills a circle; circle draws its outline.
func (f Figure) disc(x, y, r float64, c color.Color) { f.polygon(c, ring(x, y, r)...) }

func (f Figure) circle(x, y, r, width float64, c color.Color) {
	p := ring(x, y, r)
	for i := 0; i < len(p); i += 2 {
		j := (i + 2) % len(p)
		f.line(p[i], p[i+1], p[j], p[j+1], width, c)
	}
}

func ring(x, y, r float64) []float64 {
	const n = 36
	p := make([]float64, 0, 2*n)
	for k := range n {
		s, c := math.Sincos(2 * math.Pi * float64(k) / n)
		p = append(p, x+r*c, y+r*s)
	}
	return p
}

// Fonts, at the sizes that are used.
var (
	small   = face(goregular.TTF, 11)
	regular = face(goregular.TTF, 14)
	bold    = face(gobold.TTF, 13)
	large   = face(goregular.TTF, 22)
)

var plain = parse(goregular.TTF)

func parse(ttf []byte) *opentype.Font {
	f, err := opentype.Parse(ttf)
	if err != nil {
		panic(err) // the fonts are compiled in
	}
	return f
}

func face(ttf []byte, size float64) font.Face {
	out, err := opentype.NewFace(parse(ttf), &opentype.FaceOptions{Size: size, DPI: 72, Hinting: font.HintingFull})
	if err != nil {
		panic(err)
	}
	return out
}

// cross is the sign of cross-correlation. The Go fonts do not have it, so it is drawn.
const cross = "⊗"

func textWidth(s string, f font.Face) int {
	w := 0
	for i, part := range strings.Split(s, cross) {
		if i > 0 {
			w += crossWidth(f)
		}
		w += font.MeasureString(f, part).Ceil()
	}
	return w
}

func crossWidth(f font.Face) int { return f.Metrics().Ascent.Ceil() }

// text writes s with its baseline's left end at (x, y). It panics if the font lacks one of the
// characters, so that no box is printed for it.
func (f Figure) text(s string, x, y int, face font.Face, c color.Color) {
	for i, part := range strings.Split(s, cross) {
		if i > 0 {
			w := float64(crossWidth(face))
			r, mx, my := w*0.42, float64(x)+w/2, float64(y)-float64(face.Metrics().CapHeight.Ceil())/2
			d, width := r*math.Sqrt2/2, math.Max(1, w/14)
			f.circle(mx, my, r, width, c)
			f.line(mx-d, my-d, mx+d, my+d, width, c)
			f.line(mx-d, my+d, mx+d, my-d, width, c)
			x += crossWidth(face)
		}
		for _, r := range part {
			if i, err := plain.GlyphIndex(nil, r); err != nil || i == 0 {
				panic(fmt.Sprintf("draw: the font has no %q, in %q", r, s))
			}
		}
		d := font.Drawer{Dst: f, Src: image.NewUniform(c), Face: face, Dot: fixed.P(x, y)}
		d.DrawString(part)
		x += font.MeasureString(face, part).Ceil()
	}
}

// centred writes s with its middle at (x, y).
func (f Figure) centred(s string, x, y int, face font.Face, c color.Color) {
	h := face.Metrics().CapHeight.Ceil()
	f.text(s, x-textWidth(s, face)/2, y+h/2, face, c)
}
