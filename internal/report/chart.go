package report

import (
	"fmt"
	"math"
	"strings"
)

// A Chart is lines over an axis, in the units of an SVG's viewBox.
type Chart struct {
	Title, About   string // About is what a reader hears who does not see
	W, H           int
	Left, Right    int // of the plot
	Top, Bottom    int
	Lines          []Line
	XTicks, YTicks []Tick
	XName          string
}

// A Line is a series of a chart.
type Line struct {
	Name   string
	Class  string // of its colour and pattern
	Points string
	Dots   []Point // each of few points
}

// A Point is a place in a chart.
type Point struct{ X, Y float64 }

// A Tick is a mark on an axis.
type Tick struct {
	At   float64
	Text string
}

// A series is what a line shows.
type series struct {
	name, class string
	y           []float64
}

// newChart draws series over 1, 2, … The axis of y begins at lo, where that is a number.
func newChart(title, about, xName string, lo, hi float64, percent bool, all ...series) *Chart {
	c := &Chart{Title: title, About: about, W: 360, H: 220, Left: 58, Right: 342, Top: 12, Bottom: 184, XName: xName}
	n := 1
	least, greatest := math.Inf(1), math.Inf(-1)
	for _, s := range all {
		n = max(n, len(s.y))
		for _, v := range s.y {
			if v-v == 0 {
				least, greatest = min(least, v), max(greatest, v)
			}
		}
	}
	if !math.IsNaN(lo) {
		least = lo
	}
	if !math.IsNaN(hi) {
		greatest = hi
	}
	if least > greatest { // there is nothing to draw
		least, greatest = 0, 1
	}
	step := niceStep((greatest - least) / 4)
	least, greatest = math.Floor(least/step)*step, math.Ceil(greatest/step-1e-9)*step
	if !(greatest > least) {
		greatest = least + step
	}
	x := func(i int) float64 {
		if n == 1 {
			return float64(c.Left+c.Right) / 2
		}
		return round(float64(c.Left) + float64(i)/float64(n-1)*float64(c.Right-c.Left))
	}
	y := func(v float64) float64 {
		return round(float64(c.Bottom) - (v-least)/(greatest-least)*float64(c.Bottom-c.Top))
	}
	for i := 0; least+float64(i)*step <= greatest+step/2; i++ {
		v := least + float64(i)*step
		text := fmt.Sprintf("%.4g", v+0) // +0: no minus before a zero
		if step >= 1 {
			text = fmt.Sprintf("%.0f", v)
		}
		if percent {
			text = fmt.Sprintf("%.4g %%", 100*v)
		}
		c.YTicks = append(c.YTicks, Tick{y(v), text})
	}
	every := max(1, int(math.Ceil(niceStep(float64(n)/6))))
	for i := every - 1; i < n; i += every {
		c.XTicks = append(c.XTicks, Tick{x(i), fmt.Sprint(i + 1)})
	}
	for _, s := range all {
		l := Line{Name: s.name, Class: s.class}
		var points []string
		for i, v := range s.y {
			if v-v != 0 {
				continue
			}
			points = append(points, fmt.Sprintf("%g,%g", x(i), y(v)))
			if n <= 40 {
				l.Dots = append(l.Dots, Point{x(i), y(v)})
			}
		}
		l.Points = strings.Join(points, " ")
		c.Lines = append(c.Lines, l)
	}
	return c
}

func round(v float64) float64 { return math.Round(v*10) / 10 }

// niceStep is the least of 1, 2, 2.5 and 5 times a power of ten that is not below v.
func niceStep(v float64) float64 {
	if !(v > 1e-300) || math.IsInf(v, 0) {
		return 1
	}
	power := math.Pow(10, math.Floor(math.Log10(v)))
	for _, m := range []float64{1, 2, 2.5, 5} {
		if m*power >= v*(1-1e-9) {
			return m * power
		}
	}
	return 10 * power
}
