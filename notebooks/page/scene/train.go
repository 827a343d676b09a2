package scene

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strconv"
	"strings"

	"github.com/convgrad/convgrad/internal/kernel"
)

// Six drawings of 6×6 pixels, 36 bits in nine hexadecimal digits: three of one kind, three of
// another. Six cells of 44 pixels fit on the narrowest screen.
const firstDrawings = "208208208.410410410.082082082.000fc0000.03f000000.000000fc0"

const (
	drawings = 6
	side     = 6
	filters  = 3
	maps     = side - 2 // the side of x
	pooled   = maps / 2
	area     = maps * maps
	cells2   = pooled * pooled
)

// A tiny network: convolution of three 3×3 filters, ReLU, max pooling 2×2, one linear output y;
// E = ½(t−y)², t = +1 for the first three drawings and −1 for the others.
type tiny struct {
	conv          kernel.Conv
	pool          kernel.Pool
	w1, b1, w2    []float64
	b2            float64
	x1, o1, p1    []float64
	dx1, do1, dp1 []float64
	win           []int32
	y, dy         float64
	dw1, db1, dw2 []float64
}

func newTiny() *tiny {
	t := &tiny{conv: geometry(1, side, side, filters, 3, 3, 1, 0, false)}
	var err error
	t.pool, err = kernel.NewPool(1, filters, maps, maps, 2, 2, kernel.Spatial{StrideH: 2, StrideW: 2, DilationH: 1, DilationW: 1})
	if err != nil {
		panic(err)
	}
	v := func(n int) []float64 { return make([]float64, n) }
	t.w1, t.b1, t.w2 = v(9*filters), v(filters), v(cells2*filters)
	t.dw1, t.db1, t.dw2 = v(9*filters), v(filters), v(cells2*filters)
	t.x1, t.o1, t.dx1, t.do1 = v(area*filters), v(area*filters), v(area*filters), v(area*filters)
	t.p1, t.dp1, t.win = v(cells2*filters), v(cells2*filters), make([]int32, cells2*filters)
	r := rand.New(rand.NewPCG(3, 5))
	for k := range t.w1 {
		t.w1[k] = r.NormFloat64() * math.Sqrt(2./9)
	}
	for k := range t.w2 {
		t.w2[k] = r.NormFloat64() * math.Sqrt(1./(cells2*filters))
	}
	return t
}

// gradients runs one drawing forward and back.
func (t *tiny) gradients(x []float64, target float64) (e float64) {
	kernel.RefForward(t.conv, t.x1, x, t.w1)
	kernel.RefAddBias(t.conv, t.x1, t.b1)
	for k, v := range t.x1 {
		t.o1[k] = max(0, v)
	}
	kernel.RefMaxWinners(t.pool, t.win, t.o1)
	t.y = t.b2
	clear(t.do1)
	for k, at := range t.win {
		t.p1[k] = t.o1[k/cells2*area+int(at)]
		t.y += t.p1[k] * t.w2[k]
	}
	t.dy = t.y - target
	for k, at := range t.win {
		t.dw2[k] = t.dy * t.p1[k]
		t.dp1[k] = t.dy * t.w2[k]
		t.do1[k/cells2*area+int(at)] += t.dp1[k]
	}
	for k, v := range t.x1 {
		t.dx1[k] = 0
		if v > 0 {
			t.dx1[k] = t.do1[k]
		}
	}
	kernel.RefBackwardFilter(t.conv, t.dw1, t.dx1, x)
	kernel.RefBackwardBias(t.conv, t.db1, t.dx1)
	return (target - t.y) * (target - t.y) / 2
}

// step is gradient descent on one drawing.
func (t *tiny) step(x []float64, target, eta float64) {
	t.gradients(x, target)
	for _, p := range [][2][]float64{{t.w1, t.dw1}, {t.b1, t.db1}, {t.w2, t.dw2}} {
		for k := range p[0] {
			p[0][k] -= eta * p[1][k]
		}
	}
	t.b2 -= eta * t.dy
}

func pixels(text string) (all [][]float64, codes []string) {
	codes = strings.Split(text, ".")
	if len(codes) != drawings {
		codes = strings.Split(firstDrawings, ".")
	}
	for k, c := range codes {
		v, err := strconv.ParseUint(c, 16, 64)
		if err != nil || v >= 1<<(side*side) {
			v = 0
		}
		codes[k] = fmt.Sprintf("%09x", v)
		x := make([]float64, side*side)
		for n := range x {
			x[n] = float64(v >> (side*side - 1 - n) & 1)
		}
		all = append(all, x)
	}
	return all, codes
}

func target(k int) float64 {
	if k < drawings/2 {
		return 1
	}
	return -1
}

// last is the network that trained returned last, so that a click trains only the rounds it adds.
// The page draws one scene at a time.
var last struct {
	code  string
	steps int
	net   *tiny
}

// trained is the network after so many rounds over the drawings x, which code stands for.
func trained(code string, x [][]float64, steps int) *tiny {
	if last.net == nil || last.code != code || last.steps > steps {
		last.code, last.steps, last.net = code, 0, newTiny()
	}
	for ; last.steps < steps; last.steps++ {
		for k := range x {
			last.net.step(x[k], target(k), 0.02)
		}
	}
	return last.net
}

func training(s *stage) {
	x, codes := pixels(s.get("p"))
	steps := s.num("steps", 0, 300)
	look := s.num("look", 0, drawings-1)
	i, j := s.num("i", 0, side-1), s.num("j", 0, side-1)
	t := newTiny()
	total := func() (e float64, right int) {
		for k := range x {
			e += t.gradients(x[k], target(k))
			if t.y*target(k) > 0 {
				right++
			}
		}
		return
	}
	before, _ := total()
	t = trained(s.get("p"), x, steps)
	after, right := total()
	t.gradients(x[look], target(look))

	shown := s.ask("Six drawings: three of kind A, for which y should be 1, and three of kind B, for which it should be −1. The weights are random. After 100 rounds of w ← w − η ∂E/∂w, is E smaller?",
		"each step goes down the slope of E that the scenes above computed.", "smaller", choice{"larger", "the step has a minus."}, choice{"the same", "the weights move, so E moves."})
	var tabs []string
	for k := range drawings {
		tabs = append(tabs, strconv.Itoa(k), fmt.Sprintf("%s %d", map[bool]string{true: "A", false: "B"}[target(k) > 0], k%3+1))
	}
	s.options("Drawing", "look", tabs...)
	s.f(`<div class="options" role="group" aria-label="Training"><span>%d rounds</span>`, steps)
	s.button("run", "Train 20 rounds", s.set("steps", min(300, steps+20), "g", "show"), false)
	s.button("one", "one round", s.set("steps", min(300, steps+1), "g", "show"), false)
	s.button("reset", "start again", s.set("steps", 0), false)
	with := func(k int, v uint64) string {
		c := append([]string(nil), codes...)
		c[k] = fmt.Sprintf("%09x", v)
		return strings.Join(c, ".")
	}
	s.button("clear", "clear the drawing", s.set("p", with(look, 0), "steps", 0), false)
	s.f(`</div>`)
	code, _ := strconv.ParseUint(codes[look], 16, 64)
	s.row()
	s.grid(grid{id: "p", caption: "your drawing: click to draw", rows: side, cols: side, at: [2]int{i, j}, toggles: true,
		cell: func(a, b int) string { return map[bool]string{true: "■", false: ""}[x[look][a*side+b] > 0] },
		set: func(a, b int) string {
			return s.set("i", a, "j", b, "p", with(look, code^1<<(side*side-1-(a*side+b))), "steps", 0)
		},
		pressed: func(a, b int) bool { return x[look][a*side+b] > 0 },
		class: func(a, b int) string {
			return map[bool]string{true: "on", false: ""}[x[look][a*side+b] > 0]
		}})
	show := func(id, caption string, rows, cols int, v []float64, win func(a, b int) bool) {
		s.grid(grid{id: id, caption: caption, rows: rows, cols: cols, small: true, hidden: !shown,
			cell: func(a, b int) string { return minus(short(v[a*cols+b])) },
			class: func(a, b int) string {
				if shown && win != nil && win(a, b) {
					return "win"
				}
				return ""
			}})
	}
	s.endRow()
	for f := range filters {
		s.row()
		show(fmt.Sprint("w", f), fmt.Sprintf("filter %d", f), 3, 3, t.w1[f*9:f*9+9], nil)
		show(fmt.Sprint("dp", f), "δ, pooled", pooled, pooled, t.dp1[f*cells2:(f+1)*cells2], nil)
		show(fmt.Sprint("dx", f), "δ at x; ★ won", maps, maps, t.dx1[f*area:(f+1)*area],
			func(a, b int) bool { return int(t.win[f*cells2+a/2*pooled+b/2]) == a*maps+b })
		s.endRow()
	}
	if !shown {
		return
	}
	s.why("After %d rounds E is %.3f. It began at %.3f. For %d of %d drawings y has the right sign. For the drawing in sight y = %.2f and the target is %.0f, so δ = y − t = %.2f. All the deltas in sight come from this one.",
		steps, after, before, right, drawings, t.y, target(look), t.dy)
}

// short writes a number in the width of a small cell.
func short(v float64) string {
	if t := fmt.Sprintf("%.1f", v); t != "0.0" && t != "-0.0" {
		return t
	}
	return "0"
}
