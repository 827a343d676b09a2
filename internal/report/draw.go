package report

import (
	"bytes"
	"encoding/base64"
	"html/template"
	"image"
	"image/color"
	"image/png"
	"math"
	"slices"

	"gorgonia.org/tensor"

	"github.com/convgrad/convgrad/model"
	"github.com/convgrad/convgrad/train/data"
)

// blank is the index of the colour that is none, in both palettes.
const blank = 255

// heat goes from nearly black over red to light yellow: what is brighter is larger, in grey too.
var heat = palette([]color.RGBA{{8, 6, 20, 255}, {87, 16, 110, 255}, {188, 55, 84, 255}, {249, 142, 9, 255}, {252, 255, 200, 255}})

// signs goes from blue for negative over white for 0 to red for positive.
var signs = palette([]color.RGBA{{22, 64, 140, 255}, {110, 160, 220, 255}, {248, 248, 248, 255}, {236, 140, 110, 255}, {150, 20, 30, 255}})

// palette runs through the stops in 255 colours. The last colour is transparent.
func palette(stops []color.RGBA) color.Palette {
	p := make(color.Palette, 256)
	for i := range blank {
		at := float64(i) / (blank - 1) * float64(len(stops)-1)
		k := min(int(at), len(stops)-2)
		mix := func(a, b uint8) uint8 { return uint8(float64(a) + (at-float64(k))*(float64(b)-float64(a)) + 0.5) }
		a, b := stops[k], stops[k+1]
		p[i] = color.RGBA{mix(a.R, b.R), mix(a.G, b.G), mix(a.B, b.B), 255}
	}
	p[blank] = color.RGBA{}
	return p
}

// index is the colour of v between lo and hi. What is no number has none.
func index(v, lo, hi float64) uint8 {
	if v != v {
		return blank
	}
	if v = (v - lo) / (hi - lo); v != v {
		return 0 // there is but one value
	}
	return uint8(min(max(v, 0), 1)*(blank-1) + 0.5)
}

// maxSide is the largest side of a map that is drawn: larger ones are reduced by means.
const maxSide = 64

// sheet draws the first channels of a layer side by side, from their least value to their greatest.
func sheet(values []float32, channels, h, w int) image.Image {
	if len(values) != channels*h*w {
		return image.NewPaletted(image.Rect(0, 0, 1, 1), heat)
	}
	by := (max(h, w) + maxSide - 1) / maxSide
	n, ph, pw := min(channels, maxMaps), (h+by-1)/by, (w+by-1)/by
	means := make([]float64, n*ph*pw)
	for c := range n {
		for y := range ph {
			for x := range pw {
				sum, count := 0.0, 0
				for i := y * by; i < min((y+1)*by, h); i++ {
					for k := x * by; k < min((x+1)*by, w); k++ {
						sum += float64(values[(c*h+i)*w+k])
						count++
					}
				}
				means[(c*ph+y)*pw+x] = sum / float64(count)
			}
		}
	}
	lo, hi := math.Inf(1), math.Inf(-1)
	for _, v := range means {
		if v-v == 0 {
			lo, hi = min(lo, v), max(hi, v)
		}
	}
	return tiles(n, ph, pw, heat, func(c, y, x int) uint8 { return index(means[(c*ph+y)*pw+x], lo, hi) })
}

// tiles puts n pictures side by side, eight a row, with a gap of a pixel.
func tiles(n, h, w int, p color.Palette, at func(i, y, x int) uint8) image.Image {
	const row = 8
	columns := min(n, row)
	rows := (n + columns - 1) / columns
	img := image.NewPaletted(image.Rect(0, 0, columns*(w+1)-1, rows*(h+1)-1), p)
	for i := range img.Pix {
		img.Pix[i] = blank
	}
	for i := range n {
		for y := range h {
			for x := range w {
				img.SetColorIndex(i%columns*(w+1)+x, i/columns*(h+1)+y, at(i, y, x))
			}
		}
	}
	return img
}

// gradientMap draws the greatest |g| of the channels, up to its 99th percentile.
func gradientMap(g []float32, shape tensor.Shape) image.Image {
	c, h, w := shape[0], shape[1], shape[2]
	img := image.NewPaletted(image.Rect(0, 0, w, h), heat)
	if len(g) != c*h*w {
		return img
	}
	most := make([]float64, h*w)
	for i, v := range g {
		most[i%(h*w)] = max(most[i%(h*w)], math.Abs(float64(v)))
	}
	sorted := slices.Sorted(slices.Values(most))
	hi := sorted[len(sorted)*99/100]
	for i, v := range most {
		img.Pix[i] = index(v, 0, hi)
	}
	return img
}

// picture draws a sample, 1×H×W or 3×H×W, as it was before it was normalised.
func picture(x []float32, shape tensor.Shape, n *data.Normalisation) image.Image {
	c, h, w := shape[0], shape[1], shape[2]
	img := image.NewRGBA(image.Rect(0, 0, w, h))
	for i := range h * w {
		var rgb [3]uint8
		for k := range rgb {
			channel := min(k, c-1)
			v := float64(x[channel*h*w+i])
			if n != nil {
				v = v*n.Std[channel] + n.Mean[channel]
			}
			rgb[k] = uint8(min(max(v, 0), 1)*255 + 0.5)
		}
		img.SetRGBA(i%w, i/w, color.RGBA{rgb[0], rgb[1], rgb[2], 255})
	}
	return img
}

// Filters are the weights of a network's first convolution.
type Filters struct {
	Name            string
	K, C, R, S      int
	Shown           int
	Most            float64 // the greatest absolute value
	Sheet           image.Image
	Colours, Summed bool
}

// maxFilters is how many are drawn.
const maxFilters = 64

// firstFilters draws them: in colours if they take three channels, else the mean of their channels.
// It returns nil for a network without convolutions.
func firstFilters(n *model.Network) *Filters {
	var f *Filters
	var w []float32
	for _, p := range n.Params() {
		if s := p.Value.Shape(); len(s) == 4 && s[2]*s[3] > 1 {
			f = &Filters{Name: p.Name, K: s[0], C: s[1], R: s[2], S: s[3]}
			w, _ = p.Value.Data().([]float32)
			break
		}
	}
	if f == nil || len(w) != f.K*f.C*f.R*f.S {
		return nil
	}
	for _, v := range w {
		f.Most = max(f.Most, math.Abs(float64(v)))
	}
	f.Shown, f.Colours, f.Summed = min(f.K, maxFilters), f.C == 3, f.C != 1 && f.C != 3
	at := func(k, c, r, s int) float64 { return float64(w[((k*f.C+c)*f.R+r)*f.S+s]) }
	if !f.Colours {
		f.Sheet = tiles(f.Shown, f.R, f.S, signs, func(k, r, s int) uint8 {
			sum := 0.0
			for c := range f.C {
				sum += at(k, c, r, s)
			}
			return index(sum/float64(f.C), -f.Most, f.Most)
		})
		return f
	}
	grey := tiles(f.Shown, f.R, f.S, signs, func(int, int, int) uint8 { return 0 })
	img := image.NewRGBA(grey.Bounds())
	for k := range f.Shown {
		for r := range f.R {
			for s := range f.S {
				v := func(c int) uint8 { return uint8((at(k, c, r, s)/f.Most + 1) / 2 * 255) }
				img.SetRGBA(k%8*(f.S+1)+s, k/8*(f.R+1)+r, color.RGBA{v(0), v(1), v(2), 255})
			}
		}
	}
	f.Sheet = img
	return f
}

// DataURI is a picture as the address of an img element.
func DataURI(img image.Image) (template.URL, error) {
	var b bytes.Buffer
	if err := png.Encode(&b, img); err != nil {
		return "", err
	}
	return template.URL("data:image/png;base64," + base64.StdEncoding.EncodeToString(b.Bytes())), nil
}
