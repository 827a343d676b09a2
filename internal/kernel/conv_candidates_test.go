package kernel

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/convgrad/convgrad/internal/simd"
)

// spy replaces what the candidates run by what notes their names first, until restore is called.
func spy[T Float](note func(name string)) (restore func()) {
	list := candidates[T]()
	saved := slices.Clone(list)
	for i, c := range saved {
		if c.runConv != nil {
			list[i].runConv = func(d Direction, g Conv, o operands[T]) { note(c.name); c.runConv(d, g, o) }
		}
		if c.runPart != nil {
			list[i].runPart = func(p *correlation[T]) { note(c.name); c.runPart(p) }
		}
		if c.runPair != nil {
			list[i].runPair = func(p, q *correlation[T]) { note(c.name); c.runPair(p, q) }
		}
		if c.runGradient != nil {
			list[i].runGradient = func(f *filterGradient[T]) { note(c.name); c.runGradient(f) }
		}
	}
	return func() { copy(list, saved) }
}

// Explain names what runs, in every tier and direction, and every candidate runs somewhere.
func TestExplain(t *testing.T) {
	ever := map[string]bool{}
	everyTier(t, func(t *testing.T) {
		both(t, func(t *testing.T) { testExplain[float32](t, ever) }, func(t *testing.T) { testExplain[float64](t, ever) })
	})
	vectors := slices.ContainsFunc(Tiers(), func(t Tier) bool { return t != Tiers()[0] })
	for _, c := range candidates[float32]() {
		if !ever[c.name] && vectors && (c.name != "channels" || slices.Contains(Tiers(), simd.AVX512)) {
			t.Errorf("no geometry takes %s", c.name)
		}
	}
}

func testExplain[T Float](t *testing.T, ever map[string]bool) {
	var ran map[string]bool
	defer spy[T](func(name string) { ran[name] = true })()
	check := func(t *testing.T, g Conv, _ *rand.Rand) {
		x, w, y := make([]T, g.XLen()), make([]T, g.WLen()), make([]T, g.YLen())
		for dir, run := range []func(){
			func() { Forward(g, y, x, w, nil, false) },
			func() { BackwardData(g, x, y, w) },
			func() { BackwardFilter(g, w, y, x) },
		} {
			ran = map[string]bool{}
			run()
			if ran["turned"] { // what else ran is not this convolution
				ran = map[string]bool{"turned": true}
			}
			said := map[string]bool{}
			for _, c := range Explain[T](g, Direction(dir)) {
				if c.WhyNot == "" {
					said[c.Name] = true
				}
			}
			if fmt.Sprint(ran) != fmt.Sprint(said) {
				t.Errorf("direction %d of %+v: %v ran, Explain says %v", dir, g, ran, said)
			}
			for name := range ran {
				ever[name] = true
			}
		}
	}
	eachConv(t, random(60), check)
	eachConv(t, 0, func(t *testing.T, g Conv, r *rand.Rand) { g.Winograd = true; check(t, g, r) })
	g, err := NewConv(1, 32, 16, 20, 33, 3, 3, 1, Spatial{1, 1, 1, 1, 1, 1, 1, 1}, false)
	if err != nil {
		t.Fatal(err)
	}
	g.Winograd = true
	check(t, g, nil)
	eachConv(t, 0, func(t *testing.T, g Conv, r *rand.Rand) { g.FromLast, g.ToLast = true, true; check(t, g, r) })
}
