package draw

import (
	"fmt"
	"image/color"
	"strings"
)

// A Wire joins unit From of the left layer to unit To of the right one. Wires of one Colour share
// one weight; a negative Colour is pale.
type Wire struct{ From, To, Colour int }

// Wiring draws two layers of units, one above the other, and the weights between them.
func Wiring(title string, lower, upper []string, wires []Wire) Figure {
	const step, r, h = 54, 17, 190
	n := max(len(lower), len(upper))
	const left = 58 // for the words before the rows
	f := newFigure(left+max(step*n+8, textWidth(title, bold)+4), h)
	f.text(title, left+2, 15, bold, Black)
	f.alt = title + "; wires:"
	for _, w := range wires {
		f.alt += fmt.Sprintf(" %s–%s", lower[w.From], upper[w.To])
	}
	at := func(k, of int) float64 { return left + 4 + float64(step)*(float64(k)+0.5+float64(n-of)/2) }
	const yUp, yLow = 50, h - 24
	for _, w := range wires {
		c, width := color.RGBA{0xb0, 0xb0, 0xb0, 0xff}, 1.0
		if w.Colour >= 0 {
			c, width = Palette[w.Colour%len(Palette)], 2.2
		}
		f.line(at(w.From, len(lower)), yLow-r, at(w.To, len(upper)), yUp+r, width, c)
	}
	row := func(names []string, y int) {
		for k, s := range names {
			x := at(k, len(names))
			f.disc(x, float64(y), r, color.RGBA{0xf2, 0xf2, 0xf2, 0xff})
			f.circle(x, float64(y), r, 1.3, Black)
			f.centred(s, int(x), y, small, Black)
		}
	}
	f.text("outputs", 2, yUp+4, small, Black)
	f.text("inputs", 2, yLow+4, small, Black)
	row(upper, yUp)
	row(lower, yLow)
	return f
}

// Flow draws boxes from left to right with arrows between them, each box of the lines of text
// given: the stations of a network.
func Flow(boxes ...[]string) Figure {
	const pad, lineH, between = 8, 16, 34
	w, h := 0, 0
	wide := make([]int, len(boxes))
	for i, b := range boxes {
		for _, s := range b {
			wide[i] = max(wide[i], textWidth(s, small))
		}
		wide[i] += 2 * pad
		w += wide[i] + between
		h = max(h, len(b)*lineH+2*pad)
	}
	f := newFigure(w-between+2, h+2)
	var stations []string
	for _, b := range boxes {
		stations = append(stations, strings.Join(b, " "))
	}
	f.alt = strings.Join(stations, " → ")
	x := 1
	for i, b := range boxes {
		f.fill(x, 1, wide[i], h, color.RGBA{0xf4, 0xf7, 0xfb, 0xff})
		f.frame(x, 1, wide[i], h, 1, Black)
		for k, s := range b {
			f.text(s, x+pad, 1+pad+12+lineH*k, small, Black)
		}
		x += wide[i]
		if i+1 < len(boxes) {
			f.arrow(float64(x+4), float64(h/2), float64(x+between-4), float64(h/2), 1.6, Black)
			x += between
		}
	}
	return f
}
