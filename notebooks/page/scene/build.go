package scene

import (
	"fmt"
	"math/rand/v2"
	"strings"

	"github.com/convgrad/convgrad/internal/exact"
)

// The letters of one trial of a formula: o is H×W, w k₁×k₂, and δ has the size of the output.
type letters struct{ o, w, d exact.Matrix }

// A Formula is rot180?(A) ⊗|∗ rot180?(B) with a choice of borders, and what it is claimed to be.
type Formula struct {
	Goal         string // dw or do
	A, B         string // d, o or w
	TurnA, TurnB bool
	Conv         bool   // ∗ (Eq. 2) instead of ⊗ (Eq. 1)
	Edge         string // printed: indices from 0; valid: full overlap; full: any overlap
}

func (f Formula) String() string {
	side := func(name string, turn bool) string {
		name = strings.Replace(name, "d", "δ", 1)
		if turn {
			return "rot180(" + name + ")"
		}
		return name
	}
	op := " ⊗ "
	if f.Conv {
		op = " ∗ "
	}
	return side(f.A, f.TurnA) + op + side(f.B, f.TurnB)
}

// value computes the formula with the article's Eq. 1 or Eq. 2, from the index that the borders
// say. The result has the size that the borders give; "printed" gives rows × cols.
func (f Formula) value(l letters, rows, cols int) exact.Matrix {
	pick := func(name string, turn bool) exact.Matrix {
		m := map[string]exact.Matrix{"o": l.o, "w": l.w, "d": l.d}[name]
		if turn {
			m = turned(m)
		}
		return m
	}
	a, b := pick(f.A, f.TurnA), pick(f.B, f.TurnB)
	axis := func(na, nb, want int) (from, n int) {
		switch f.Edge {
		case "valid":
			n = max(na, nb) - min(na, nb) + 1
			switch {
			case f.Conv:
				from = min(na, nb) - 1
			case na < nb:
				from = na - nb
			}
		case "full":
			n = na + nb - 1
			if !f.Conv {
				from = 1 - nb
			}
		default:
			n = want
		}
		return
	}
	i0, h := axis(a.Rows, b.Rows, rows)
	j0, w := axis(a.Cols, b.Cols, cols)
	eq := correlation
	if f.Conv {
		eq = convolution
	}
	m := exact.NewMatrix(h, w)
	for k := range m.V {
		m.V[k] = int64(eq(a, b, i0+k/w, j0+k%w).Float())
	}
	return m
}

// gradient is what the formula should be, from the kernel's reference loops.
func (f Formula) gradient(l letters) exact.Matrix {
	g := geometry(1, l.o.Rows, l.o.Cols, 1, l.w.Rows, l.w.Cols, 1, 0, false)
	ints := func(m exact.Matrix) []int {
		v := make([]int, len(m.V))
		for k, x := range m.V {
			v[k] = int(x)
		}
		return v
	}
	m, v := l.o, make([]int, g.XLen())
	if f.Goal == "dw" {
		m, v = l.w, make([]int, g.WLen())
		backwardFilter(g, v, ints(l.d), ints(l.o))
	} else {
		backwardData(g, v, ints(l.d), ints(l.w))
	}
	m = exact.NewMatrix(m.Rows, m.Cols)
	for k, x := range v {
		m.V[k] = int64(x)
	}
	return m
}

// A Verdict says whether a formula is the gradient, or shows the smallest case in which it is not.
type Verdict struct {
	Holds   bool
	Trials  int
	Counter string
}

// Decide tries the formula on all small cases, in order of size, with a single 1 in each letter,
// and then on 60 random ones with unequal sides. A formula that is linear in each of its letters
// is decided for a size by the cases with single ones.
func (f Formula) Decide() Verdict {
	var v Verdict
	try := func(l letters) bool {
		v.Trials++
		want := f.gradient(l)
		got := f.value(l, want.Rows, want.Cols)
		if got.Rows != want.Rows || got.Cols != want.Cols {
			v.Counter = fmt.Sprintf("o is %d×%d and w %d×%d: the formula gives %d×%d numbers, the gradient has %d×%d",
				l.o.Rows, l.o.Cols, l.w.Rows, l.w.Cols, got.Rows, got.Cols, want.Rows, want.Cols)
			return false
		}
		for k := range want.V {
			if got.V[k] != want.V[k] {
				v.Counter = fmt.Sprintf("o = %v, w = %v, δ = %v: at [%d,%d] the formula gives %d, the gradient is %d",
					l.o, l.w, l.d, k/want.Cols, k%want.Cols, got.V[k], want.V[k])
				return false
			}
		}
		return true
	}
	sides := func(h, w, r, q int) letters {
		return letters{exact.NewMatrix(h, w), exact.NewMatrix(r, q), exact.NewMatrix(h-r+1, w-q+1)}
	}
	// The one moves through the letters that either side has. In another it may stay where it is.
	ones := func(letter string, m exact.Matrix) []int64 {
		if f.A == letter || f.B == letter || letter == "d" || letter == "o" && f.Goal == "dw" || letter == "w" && f.Goal == "do" {
			return m.V
		}
		return m.V[:1]
	}
	exact.Small(func(h, w, r, q int) bool {
		l := sides(h, w, r, q)
		o, k, d := ones("o", l.o), ones("w", l.w), ones("d", l.d)
		for a := range o {
			for b := range k {
				for c := range d {
					o[a], k[b], d[c] = 1, 1, 1
					if !try(l) {
						return false
					}
					o[a], k[b], d[c] = 0, 0, 0
				}
			}
		}
		return true
	})
	if v.Counter != "" {
		return v
	}
	rnd := rand.New(rand.NewPCG(7, 7))
	for range 60 {
		r, q := 1+rnd.IntN(3), 1+rnd.IntN(4)
		l := sides(r+rnd.IntN(4), q+rnd.IntN(4), r, q)
		for _, m := range []exact.Matrix{l.o, l.w, l.d} {
			for k := range m.V {
				m.V[k] = rnd.Int64N(11) - 5
			}
		}
		if !try(l) {
			return v
		}
	}
	v.Holds = true
	return v
}

func build(s *stage) {
	tile := func(key string) string {
		if v := s.get(key); v == "o" || v == "w" {
			return v
		}
		return "d"
	}
	f := Formula{A: tile("a"), B: tile("b"), TurnA: s.get("ra") == "yes", TurnB: s.get("rb") == "yes", Conv: s.get("op") == "conv", Edge: s.get("edge"), Goal: s.get("goal")}
	if f.Goal != "do" {
		f.Goal = "dw"
	}
	name := map[string]string{"dw": "∂E/∂w", "do": "∂E/∂o"}[f.Goal]
	v := f.Decide()
	answer := map[bool]string{true: "yes, always", false: "no"}
	because := fmt.Sprintf("it agreed in all %d cases.", v.Trials)
	if !v.Holds {
		because = "the smallest case in which they differ is " + v.Counter + "."
	}
	s.f(`<div class="panel">`)
	s.options("Gradient", "goal", "dw", "∂E/∂w", "do", "∂E/∂o (without f′)")
	s.options("Left", "a", "d", "δ", "o", "o", "w", "w")
	s.options("Turn left", "ra", "no", "as it is", "yes", "rot180")
	s.options("Operation", "op", "corr", "⊗ (Eq. 1)", "conv", "∗ (Eq. 2)")
	s.options("Right", "b", "d", "δ", "o", "o", "w", "w")
	s.options("Turn right", "rb", "no", "as it is", "yes", "rot180")
	s.options("Borders", "edge", "printed", "as printed: indices from 0", "valid", "valid: full overlap", "full", "full: any overlap")
	s.f(`</div><div class="options" role="group" aria-label="From the article"><span>From the article</span>`)
	s.button("eq13", "Eq. 13", s.set("goal", "dw", "a", "o", "ra", "no", "op", "corr", "b", "d", "rb", "no", "edge", "printed"), false)
	s.button("eq14", "Eq. 14", s.set("goal", "dw", "a", "d", "ra", "yes", "op", "conv", "b", "o", "rb", "no", "edge", "printed"), false)
	s.button("eq20", "Eq. 20", s.set("goal", "do", "a", "d", "ra", "no", "op", "conv", "b", "w", "rb", "no", "edge", "printed"), false)
	s.button("eq22", "Eq. 22", s.set("goal", "do", "a", "d", "ra", "no", "op", "conv", "b", "w", "rb", "yes", "edge", "printed"), false)
	s.button("eq22x", "Eq. 22, ∗ read as ⊗", s.set("goal", "do", "a", "d", "ra", "no", "op", "corr", "b", "w", "rb", "yes", "edge", "full"), false)
	s.f(`</div>`)
	shown := s.ask(fmt.Sprintf("Is %s = %v for all numbers and sizes?", name, f), because, answer[v.Holds], choice{answer[!v.Holds], ""})
	if !shown {
		return
	}
	glyph, word := "✓", "holds"
	if !v.Holds {
		glyph, word = "✗", "does not hold"
	}
	s.f(`<p class="formula" data-id="verdict">%s %s = %v %s</p>`, glyph, name, f, word)
	s.why("%s = %v %s: %s", name, f, word, because)
}
