package draw

import (
	"fmt"
	"image/color"
	"math"
	"slices"
	"strconv"
)

// A Curve is one line of a plot. X defaults to 0, 1, 2, …
type Curve struct {
	Name   string
	X, Y   []float64
	Points bool // markers instead of a line
}

// A Plot is a pair of axes with curves.
type Plot struct {
	Title, X, Y string
	LogX, LogY  bool
	Curves      []Curve
	W, H        int // size in pixels; 520×300 if zero
}

// Figure draws the plot.
func (p Plot) Figure() Figure {
	w, h := p.W, p.H
	if w == 0 {
		w = 520
	}
	if h == 0 {
		h = 300
	}
	const left, right, top, bottom = 66, 16, 30, 46
	f := newFigure(w, h)
	f.text(p.Title, left, 17, bold, Black)

	xlo, xhi, ylo, yhi := math.Inf(1), math.Inf(-1), math.Inf(1), math.Inf(-1)
	for k := range p.Curves {
		c := &p.Curves[k]
		if c.X == nil {
			for i := range c.Y {
				c.X = append(c.X, float64(i))
			}
		}
		for i, y := range c.Y {
			tx, ty := scale(c.X[i], p.LogX), scale(y, p.LogY)
			if finite(tx) && finite(ty) {
				xlo, xhi, ylo, yhi = min(xlo, tx), max(xhi, tx), min(ylo, ty), max(yhi, ty)
			}
		}
	}
	xlo, xhi = widen(xlo, xhi)
	ylo, yhi = widen(ylo, yhi)
	yt := ticks(ylo, yhi, p.LogY)
	if !p.LogY && len(yt) > 1 { // the axis ends on a tick
		step := yt[1] - yt[0]
		ylo, yhi = math.Floor(ylo/step+1e-9)*step, math.Ceil(yhi/step-1e-9)*step
		yt = ticks(ylo, yhi, false)
	}
	px := func(v float64) float64 { return left + (v-xlo)/(xhi-xlo)*float64(w-left-right) }
	py := func(v float64) float64 { return float64(h-bottom) - (v-ylo)/(yhi-ylo)*float64(h-top-bottom) }

	pale := color.RGBA{0xe4, 0xe4, 0xe4, 0xff}
	for _, t := range yt {
		y := math.Round(py(t))
		f.fill(left, int(y), w-left-right, 1, pale)
		s := tickLabel(t, p.LogY)
		f.text(s, left-6-textWidth(s, small), int(y)+4, small, Black)
	}
	for _, t := range ticks(xlo, xhi, p.LogX) {
		x := int(math.Round(px(t)))
		f.fill(x, top, 1, h-top-bottom, pale)
		f.centred(tickLabel(t, p.LogX), x, h-bottom+12, small, Black)
	}
	f.fill(left, top, 1, h-top-bottom, Black)
	f.fill(left, h-bottom, w-left-right, 1, Black)
	f.centred(p.X, left+(w-left-right)/2, h-10, small, Black)
	f.text(p.Y, 4, 17, small, Black)

	for k, c := range p.Curves {
		col := Palette[k%len(Palette)]
		lastX, lastY, ok := 0.0, 0.0, false
		for i, y := range c.Y {
			tx, ty := scale(c.X[i], p.LogX), scale(y, p.LogY)
			if !finite(tx) || !finite(ty) {
				ok = false
				continue
			}
			x, y := px(tx), py(ty)
			if c.Points || len(c.Y) <= 24 {
				f.disc(x, y, 3.2, col)
			}
			if ok && !c.Points {
				f.line(lastX, lastY, x, y, 1.8, col)
			}
			lastX, lastY, ok = x, y, true
		}
	}
	f.alt = p.words()
	return Row(f, p.legend())
}

// words says where each curve begins and ends.
func (p Plot) words() string {
	s := fmt.Sprintf("Plot: %s; across: %s", p.Title, p.X)
	if p.Y != "" {
		s += "; up: " + p.Y
	}
	for _, c := range p.Curves {
		if n := len(c.Y); n > 0 {
			s += fmt.Sprintf("; %s from %.3g to %.3g, between %.3g and %.3g", c.Name, c.Y[0], c.Y[n-1], slices.Min(c.Y), slices.Max(c.Y))
		}
	}
	return s
}

func (p Plot) legend() Figure {
	w := 0
	for _, c := range p.Curves {
		w = max(w, textWidth(c.Name, small))
	}
	if w == 0 {
		return newFigure(1, 1)
	}
	f := newFigure(w+26, 18*len(p.Curves)+4)
	for k, c := range p.Curves {
		y := 12 + 18*k
		f.line(0, float64(y), 18, float64(y), 3, Palette[k%len(Palette)])
		f.text(c.Name, 24, y+4, small, Black)
	}
	return f
}

// Bars draws one horizontal bar per value, with its name before and its number behind. With log,
// lengths are logarithms, for values that are decades apart.
func Bars(title string, names []string, values []float64, log bool) Figure {
	left, hi := 0, 0.0
	for i, n := range names {
		left = max(left, textWidth(n, small))
		hi = max(hi, barLength(values[i], log))
	}
	const room, full, step = 110, 320, 24
	f := newFigure(max(left+10+full+room, textWidth(title, bold)+4), 26+step*len(names))
	f.text(title, 2, 15, bold, Black)
	f.alt = "Bars: " + title
	for i, n := range names {
		f.alt += fmt.Sprintf("; %s %.6g", n, values[i])
		y := 26 + step*i
		f.text(n, left-textWidth(n, small)+2, y+13, small, Black)
		l := 0
		if hi > 0 {
			l = int(math.Round(barLength(values[i], log) / hi * full))
		}
		f.fill(left+8, y+2, max(l, 1), step-8, Palette[i%len(Palette)])
		f.text(strconv.FormatFloat(values[i], 'g', 6, 64), left+14+l, y+13, small, Black)
	}
	return f
}

func barLength(v float64, log bool) float64 {
	if log {
		return max(math.Log10(v)+0.15, 0)
	}
	return max(v, 0)
}

func scale(v float64, log bool) float64 {
	if log {
		return math.Log10(v)
	}
	return v
}

func finite(v float64) bool { return !math.IsNaN(v) && !math.IsInf(v, 0) }

func widen(lo, hi float64) (float64, float64) {
	if !(lo <= hi) {
		return 0, 1
	}
	if lo == hi {
		return lo - 0.5, hi + 0.5
	}
	return lo, hi
}

// ticks returns about five round numbers in [lo, hi]; on a logarithmic axis, whole powers of ten.
func ticks(lo, hi float64, log bool) []float64 {
	step := math.Pow(10, math.Floor(math.Log10((hi-lo)/4)))
	for _, m := range []float64{5, 2} {
		if (hi-lo)/(step*m) >= 3 {
			step *= m
			break
		}
	}
	if log {
		step = max(1, math.Ceil((hi-lo)/8))
	}
	var out []float64
	for k := math.Ceil(lo/step - 1e-9); k*step <= hi+1e-9*step; k++ {
		out = append(out, k*step)
	}
	return out
}

func tickLabel(v float64, log bool) string {
	if log {
		return "1e" + strconv.FormatFloat(v, 'f', 0, 64)
	}
	return Number(v, -1)
}
