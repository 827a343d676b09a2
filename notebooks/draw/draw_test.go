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
		if f.Alt() == "" {
			t.Errorf("%s: no words", name)
		}
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

// The words of a composed figure are those of its parts, in order.
func TestAlt(t *testing.T) {
	m := [][]float64{{1, -2}, {0.5, 3}}
	got := Column(Line("o", m, Mark(Green, 0, 0, 1, 2), "⊗", "w", [][]float64{{4}}), Text("end")).Alt()
	want := "o 2×2 [1 −2 / 0.5 3] (framed: rows 0 to 0, columns 0 to 1) ⊗ w 1×1 [4]. end"
	if got != want {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	large := make([][]float64, 9)
	for i := range large {
		large[i] = make([]float64, 9)
		large[i][i] = float64(i)
	}
	if got := Heat("big", large).Alt(); got != "big 9×9, from 0 to 8" {
		t.Errorf("got %q", got)
	}
}

// Same and Differ refuse claims that do not hold.
func TestSame(t *testing.T) {
	a, b := [][]float64{{1, 2}}, [][]float64{{1, 2.1}}
	for name, c := range map[string]struct {
		f    func()
		fine bool
	}{
		"equal":              {func() { Same("a", a, "b", [][]float64{{1, 2 + 1e-9}}) }, true},
		"not equal":          {func() { Same("a", a, "b", b) }, false},
		"NaN":                {func() { Same("a", a, "b", [][]float64{{1, math.NaN()}}) }, false},
		"other sizes":        {func() { Same("a", a, "b", [][]float64{{1}}) }, false},
		"different":          {func() { Differ("a", a, "b", b) }, true},
		"different, wrongly": {func() { Differ("a", a, "b", a) }, false},
	} {
		func() {
			defer func() {
				if r := recover(); (r == nil) != c.fine {
					t.Errorf("%s: %v", name, r)
				}
			}()
			c.f()
		}()
	}
}
