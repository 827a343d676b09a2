package scene

import (
	"fmt"
	"math/rand/v2"
	"strings"
)

// The letters of one trial of a formula: o is H×W, w k₁×k₂, and δ has the size of the output.
type letters struct{ o, w, d matrix }

// A matrix is zero outside its borders. Its first element may have another index than 0, 0.
type matrix struct {
	rows, cols int
	v          []int
}

func (m matrix) at(i, j int) int {
	if i < 0 || j < 0 || i >= m.rows || j >= m.cols {
		return 0
	}
	return m.v[i*m.cols+j]
}

func (m matrix) String() string {
	var rows []string
	for i := range m.rows {
		rows = append(rows, strings.Trim(fmt.Sprint(m.v[i*m.cols:(i+1)*m.cols]), "[]"))
	}
	return "[" + strings.Join(rows, "; ") + "]"
}

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

// value computes the formula for rows × cols results: Eq. 1 or Eq. 2, from the index that the
// borders say. ok is false where the borders give another size.
func (f Formula) value(l letters, rows, cols int) (m matrix, size [2]int) {
	pick := func(name string, turn bool) matrix {
		m := map[string]matrix{"o": l.o, "w": l.w, "d": l.d}[name]
		if turn {
			m = matrix{m.rows, m.cols, rot180(m.v)}
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
	i0, h := axis(a.rows, b.rows, rows)
	j0, w := axis(a.cols, b.cols, cols)
	m = matrix{h, w, make([]int, h*w)}
	sign := 1
	if f.Conv {
		sign = -1
	}
	for i := range h {
		for j := range w {
			for p := range b.rows {
				for q := range b.cols {
					m.v[i*w+j] += a.at(i0+i+sign*p, j0+j+sign*q) * b.at(p, q)
				}
			}
		}
	}
	return m, [2]int{h, w}
}

// gradient is what the formula should be, from the kernel's reference loops.
func (f Formula) gradient(l letters) matrix {
	g := geometry(1, l.o.rows, l.o.cols, 1, l.w.rows, l.w.cols, 1, 0, false)
	if f.Goal == "dw" {
		m := matrix{l.w.rows, l.w.cols, make([]int, g.WLen())}
		backwardFilter(g, m.v, l.d.v, l.o.v)
		return m
	}
	m := matrix{l.o.rows, l.o.cols, make([]int, g.XLen())}
	backwardData(g, m.v, l.d.v, l.w.v)
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
		got, size := f.value(l, want.rows, want.cols)
		if size != [2]int{want.rows, want.cols} {
			v.Counter = fmt.Sprintf("o is %d×%d and w %d×%d: the formula gives %d×%d numbers, the gradient has %d×%d",
				l.o.rows, l.o.cols, l.w.rows, l.w.cols, size[0], size[1], want.rows, want.cols)
			return false
		}
		for k := range want.v {
			if got.v[k] != want.v[k] {
				v.Counter = fmt.Sprintf("o = %v, w = %v, δ = %v: at [%d,%d] the formula gives %d, the gradient is %d",
					l.o, l.w, l.d, k/want.cols, k%want.cols, got.v[k], want.v[k])
				return false
			}
		}
		return true
	}
	make3 := func(h, w, r, q int) letters {
		p, s := h-r+1, w-q+1
		return letters{matrix{h, w, make([]int, h*w)}, matrix{r, q, make([]int, r*q)}, matrix{p, s, make([]int, p*s)}}
	}
	const most = 3
	for cells := 2; cells <= 2*most*most; cells++ {
		for h := 1; h <= most; h++ {
			for w := 1; w <= most; w++ {
				for r := 1; r <= h; r++ {
					for q := 1; q <= w; q++ {
						if h*w+r*q != cells {
							continue
						}
						l := make3(h, w, r, q)
						for a := range l.o.v {
							for b := range l.w.v {
								for c := range l.d.v {
									l.o.v[a], l.w.v[b], l.d.v[c] = 1, 1, 1
									if !try(l) {
										return v
									}
									l.o.v[a], l.w.v[b], l.d.v[c] = 0, 0, 0
								}
							}
						}
					}
				}
			}
		}
	}
	rnd := rand.New(rand.NewPCG(7, 7))
	for range 60 {
		r, q := 1+rnd.IntN(3), 1+rnd.IntN(4)
		l := make3(r+rnd.IntN(4), q+rnd.IntN(4), r, q)
		for _, m := range []matrix{l.o, l.w, l.d} {
			for k := range m.v {
				m.v[k] = rnd.IntN(11) - 5
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
	s.options("Gradient", "goal", "dw", "∂E/∂w", "do", "∂E/∂o (without f′)")
	s.options("Left", "a", "d", "δ", "o", "o", "w", "w")
	s.options("Turn left", "ra", "no", "as it is", "yes", "rot180")
	s.options("Operation", "op", "corr", "⊗ (Eq. 1)", "conv", "∗ (Eq. 2)")
	s.options("Right", "b", "d", "δ", "o", "o", "w", "w")
	s.options("Turn right", "rb", "no", "as it is", "yes", "rot180")
	s.options("Borders", "edge", "printed", "as printed: indices from 0", "valid", "valid: full overlap", "full", "full: any overlap")
	s.f(`<div class="options" role="group" aria-label="From the article"><span>From the article</span>`)
	s.button("eq13", "Eq. 13", s.set("goal", "dw", "a", "o", "ra", "no", "op", "corr", "b", "d", "rb", "no", "edge", "printed"), false)
	s.button("eq14", "Eq. 14", s.set("goal", "dw", "a", "d", "ra", "yes", "op", "conv", "b", "o", "rb", "no", "edge", "printed"), false)
	s.button("eq20", "Eq. 20", s.set("goal", "do", "a", "d", "ra", "no", "op", "conv", "b", "w", "rb", "no", "edge", "printed"), false)
	s.button("eq22", "Eq. 22", s.set("goal", "do", "a", "d", "ra", "no", "op", "conv", "b", "w", "rb", "yes", "edge", "printed"), false)
	s.button("eq22x", "Eq. 22, ∗ read as ⊗", s.set("goal", "do", "a", "d", "ra", "no", "op", "corr", "b", "w", "rb", "yes", "edge", "full"), false)
	s.f(`</div>`)
	shown := s.ask(fmt.Sprintf("Is %s = %v?", name, f), because, answer[v.Holds], choice{answer[!v.Holds], ""})
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
