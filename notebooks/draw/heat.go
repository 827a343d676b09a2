package draw

import (
	"fmt"
	"image/color"
	"math"
	"strconv"
	"strings"

	"golang.org/x/image/font"
)

type heat struct {
	cell          int
	lo, hi        float64
	ranged        bool
	grey, numbers bool
	index         bool
	digits        int
	label         func(i, j int) string
	fade          func(i, j int) bool
	marks         []mark
}

type mark struct {
	c              color.RGBA
	r0, c0, r1, c1 int
}

// An Option changes how Heat draws.
type Option func(*heat)

// Cell sets the side of a cell in pixels; cells of less than 26 show no numbers. The default
// depends on the matrix.
func Cell(px int) Option { return func(h *heat) { h.cell = px } }

// Range sets the values of the palette's two ends. The default is symmetric around 0 and reaches
// the largest magnitude.
func Range(lo, hi float64) Option { return func(h *heat) { h.lo, h.hi, h.ranged = lo, hi, true } }

// Gray draws from black (the lowest value) to white, as a photograph.
func Gray() Option { return func(h *heat) { h.grey = true } }

// Digits sets the decimals of the numbers; the default is as many as needed, three at most.
func Digits(n int) Option { return func(h *heat) { h.digits = n } }

// Plain leaves out the numbers.
func Plain() Option { return func(h *heat) { h.numbers = false } }

// Index writes the row and column numbers along the edges.
func Index() Option { return func(h *heat) { h.index = true } }

// Label writes what f returns into cell (i, j) instead of its number.
func Label(f func(i, j int) string) Option { return func(h *heat) { h.label = f } }

// Fade draws the cells for which f is true in pale grey.
func Fade(f func(i, j int) bool) Option { return func(h *heat) { h.fade = f } }

// Mark outlines rows r0 to r1−1 and columns c0 to c1−1.
func Mark(c color.RGBA, r0, c0, r1, c1 int) Option {
	return func(h *heat) { h.marks = append(h.marks, mark{c, r0, c0, r1, c1}) }
}

// Heat draws a matrix: blue below zero, orange above, white at zero, the number in each cell.
func Heat(title string, m [][]float64, opts ...Option) Figure {
	rows, cols := len(m), 0
	for _, r := range m {
		cols = max(cols, len(r))
	}
	h := heat{numbers: true, digits: -1, cell: defaultCell(max(rows, cols))}
	for _, o := range opts {
		o(&h)
	}
	if !h.ranged {
		h.span(m)
	}
	const head = 24
	left, top := 2, head
	if title == "" {
		top = 2
	}
	if h.index {
		left, top = left+18, top+16
	}
	wide, tall := cols*h.cell, rows*h.cell
	f := newFigure(max(left+wide+2, textWidth(title, bold)+4), top+tall+2)
	f.text(title, 2, 15, bold, Black)
	line := color.RGBA{0xc8, 0xc8, 0xc8, 0xff}
	grid := h.cell >= 12
	for i, r := range m {
		for j, v := range r {
			x, y := left+j*h.cell, top+i*h.cell
			bg := h.colour(v)
			fg := ink(bg)
			if h.fade != nil && h.fade(i, j) {
				bg, fg = color.RGBA{0xf4, 0xf4, 0xf4, 0xff}, color.RGBA{0xb4, 0xb4, 0xb4, 0xff}
			}
			f.fill(x, y, h.cell, h.cell, bg)
			if grid {
				f.frame(x, y, h.cell+1, h.cell+1, 1, line)
			}
			if s := h.string(i, j, v); s != "" {
				f.centred(s, x+h.cell/2, y+h.cell/2, fit(s, h.cell-4), fg)
			}
		}
	}
	if !grid {
		f.frame(left-1, top-1, wide+2, tall+2, 1, line)
	}
	if h.index {
		for j := range cols {
			f.centred(strconv.Itoa(j), left+j*h.cell+h.cell/2, top-9, small, Grey)
		}
		for i := range rows {
			f.centred(strconv.Itoa(i), left-10, top+i*h.cell+h.cell/2, small, Grey)
		}
	}
	f.alt = h.words(title, m)
	for _, k := range h.marks {
		f.frame(left+k.c0*h.cell, top+k.r0*h.cell, (k.c1-k.c0)*h.cell+1, (k.r1-k.r0)*h.cell+1, 3, k.c)
	}
	return f
}

// words says what a matrix looks like: its numbers if they are few, or else their range.
func (h *heat) words(title string, m [][]float64) string {
	rows, cols := len(m), 0
	for _, r := range m {
		cols = max(cols, len(r))
	}
	s := strings.TrimSpace(fmt.Sprintf("%s %d×%d", title, rows, cols))
	const few = 64
	if rows*cols > few {
		lo, hi := math.Inf(1), math.Inf(-1)
		for _, r := range m {
			for _, v := range r {
				lo, hi = min(lo, v), max(hi, v)
			}
		}
		s += fmt.Sprintf(", from %s to %s", Number(lo, -1), Number(hi, -1))
	} else {
		var lines []string
		for i, r := range m {
			var cells []string
			for j, v := range r {
				c := Number(v, h.digits)
				if h.label != nil {
					c = h.label(i, j)
				}
				if c == "" {
					c = "–"
				}
				cells = append(cells, c)
			}
			lines = append(lines, strings.Join(cells, " "))
		}
		s += " [" + strings.Join(lines, " / ") + "]"
	}
	const some = 8
	for k, mark := range h.marks {
		if k == some {
			s += fmt.Sprintf(" and %d more frames", len(h.marks)-some)
			break
		}
		s += fmt.Sprintf(" (framed: rows %d to %d, columns %d to %d)", mark.r0, mark.r1-1, mark.c0, mark.c1-1)
	}
	return s
}

func defaultCell(n int) int {
	switch {
	case n <= 9:
		return 42
	case n <= 16:
		return 32
	case n <= 40:
		return 6
	}
	return 3
}

// span sets the palette's range from the finite values.
func (h *heat) span(m [][]float64) {
	lo, hi := math.Inf(1), math.Inf(-1)
	for _, r := range m {
		for _, v := range r {
			if !math.IsNaN(v) && !math.IsInf(v, 0) {
				lo, hi = min(lo, v), max(hi, v)
			}
		}
	}
	if lo > hi {
		lo, hi = 0, 1
	}
	if !h.grey {
		hi = max(hi, -lo)
		lo = -hi
	}
	h.lo, h.hi = lo, hi
}

func (h *heat) colour(v float64) color.RGBA {
	if math.IsNaN(v) {
		return color.RGBA{0xdd, 0xcc, 0xee, 0xff}
	}
	t := 0.5
	if h.hi > h.lo {
		t = min(max((v-h.lo)/(h.hi-h.lo), 0), 1)
	}
	if h.grey {
		g := uint8(math.Round(255 * t))
		return color.RGBA{g, g, g, 0xff}
	}
	if t < 0.5 {
		return mix(white, color.RGBA{0x4a, 0x90, 0xc8, 0xff}, 1-2*t)
	}
	return mix(white, color.RGBA{0xec, 0x8a, 0x3c, 0xff}, 2*t-1)
}

func mix(a, b color.RGBA, t float64) color.RGBA {
	// 48 steps of a palette tell as much as 256, and keep the files small.
	t = math.Round(t*48) / 48
	f := func(p, q uint8) uint8 { return uint8(math.Round(float64(p) + (float64(q)-float64(p))*t)) }
	return color.RGBA{f(a.R, b.R), f(a.G, b.G), f(a.B, b.B), 0xff}
}

// ink is black or white, whichever can be read on bg.
func ink(bg color.RGBA) color.RGBA {
	if 299*int(bg.R)+587*int(bg.G)+114*int(bg.B) < 110_000 {
		return white
	}
	return Black
}

func (h *heat) string(i, j int, v float64) string {
	switch {
	case h.label != nil:
		return h.label(i, j)
	case !h.numbers || h.cell < 26:
		return ""
	}
	return Number(v, h.digits)
}

// Number formats v as the cells do: digits decimals, or as many as needed up to three if digits is
// negative.
func Number(v float64, digits int) string {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return strconv.FormatFloat(v, 'g', -1, 64)
	}
	s := strconv.FormatFloat(v, 'f', max(digits, 3*btoi(digits < 0)), 64)
	if digits < 0 && strings.Contains(s, ".") {
		s = strings.TrimRight(strings.TrimRight(s, "0"), ".")
	}
	if strings.Trim(s, "-0.") == "" { // no negative zero
		s = strings.TrimPrefix(s, "-")
	}
	return strings.Replace(s, "-", "−", 1)
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

// fit returns the larger face in which s is at most w wide.
func fit(s string, w int) font.Face {
	if textWidth(s, regular) <= w {
		return regular
	}
	return small
}
