package draw

import (
	"bytes"
	"image/png"
	"math"
	"testing"
)

// Every kind of figure is drawn, twice with the same bytes, whatever the numbers.
func TestFigures(t *testing.T) {
	nan, inf := math.NaN(), math.Inf(1)
	all := func() map[string]Figure {
		return map[string]Figure{
			"heat":   Heat("title", [][]float64{{1, -2.5, nan}, {inf, -inf, 0}}, Index(), Mark(Green, 0, 0, 2, 2), Fade(func(i, j int) bool { return i == j })),
			"empty":  Heat("", nil),
			"ragged": Heat("x", [][]float64{{1}, {}, {1, 2}}, Gray(), Cell(8)),
			"plot":   Plot{Title: "t", LogY: true, Curves: []Curve{{Name: "a", Y: []float64{1, 0, nan, 1e-9}}, {Y: []float64{2}}, {}}}.Figure(),
			"flat":   Plot{Curves: []Curve{{Y: []float64{3, 3, 3}}}}.Figure(),
			"bars":   Bars("b", []string{"x", "y"}, []float64{0, 1e6}, true),
			"wiring": Wiring("w", []string{"1", "2"}, []string{"1"}, []Wire{{0, 0, 0}, {1, 0, -1}}),
			"flow":   Flow([]string{"a", "b"}, []string{"c"}),
			"grid":   Grid(2, Text("⊗"), Text("="), Caption("c", Text("x"))),
		}
	}
	again := all()
	for name, f := range all() {
		p := f.PNG()
		if _, err := png.Decode(bytes.NewReader(p)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if !bytes.Equal(p, again[name].PNG()) {
			t.Errorf("%s: drawn twice, two pictures", name)
		}
	}
}

// A heat map's cells have the colours of their values: zero white, a sign its own hue, the mark
// outside.
func TestHeatColours(t *testing.T) {
	h := heat{}
	h.span([][]float64{{-4, 2}})
	if h.lo != -4 || h.hi != 4 {
		t.Errorf("range is %v to %v, want it symmetric around 0", h.lo, h.hi)
	}
	if c := h.colour(0); c != white {
		t.Errorf("zero is %v, want white", c)
	}
	if lo, hi := h.colour(-3), h.colour(3); lo.B <= lo.R || hi.R <= hi.B {
		t.Errorf("−3 is %v and 3 is %v, want blue and orange", lo, hi)
	}
}

func TestNumber(t *testing.T) {
	for _, c := range []struct {
		v      float64
		digits int
		want   string
	}{{3, -1, "3"}, {-3, -1, "−3"}, {0.25, -1, "0.25"}, {math.Copysign(0, -1), -1, "0"}, {-0.0001, 2, "0.00"}, {100, -1, "100"}, {1.5, 2, "1.50"}, {math.NaN(), -1, "NaN"}} {
		if got := Number(c.v, c.digits); got != c.want {
			t.Errorf("Number(%v, %d) is %q, want %q", c.v, c.digits, got, c.want)
		}
	}
}

func TestTicks(t *testing.T) {
	for _, r := range [][2]float64{{0, 1}, {-3, 7}, {0.001, 0.0013}, {0, 1e6}} {
		for _, log := range []bool{false, true} {
			n := len(ticks(r[0], r[1], log))
			if n > 12 || !log && n < 3 {
				t.Errorf("%d ticks from %v to %v, log %v", n, r[0], r[1], log)
			}
		}
	}
}
