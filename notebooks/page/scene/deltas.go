package scene

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/convgrad/convgrad/internal/kernel"
)

// A layer of scene 10: what goes in, and how a δ passes it on the way back.
type layerView struct {
	name, how  string
	rows, cols int
	out, delta []int // the layer's output and ∂E by it
	wins       []bool
	sum        func(k int) string // how element k's delta came about
}

var deltaW1, deltaW2 = []int{1, 0, -1, 0, 1, 0, 1, -1, 0}, []int{1, -1, 0, 1}

// neurons is the weights of scene 10's last layer, n×4.
func neurons(n int) []int {
	fc := make([]int, 4*n)
	for k := range fc {
		fc[k] = (k*5+1+k/4)%4 - 1
	}
	return fc
}

// network runs scene 10's network: convolution 3×3, ReLU, max pooling 2×2, convolution 2×2, ReLU,
// and n neurons whose outputs y are compared with a target.
func network(n, target int) (input []int, layers []layerView) {
	c1 := geometry(1, 8, 8, 1, 3, 3, 1, 0, false)
	input = make([]int, 64)
	for k := range input {
		input[k] = (k*k*3+k)%5%3 - k%2
	}
	w1, w2 := deltaW1, deltaW2
	x1 := make([]int, c1.YLen())
	forward(c1, x1, input, w1)
	relu := func(x []int) []int {
		o := make([]int, len(x))
		for k, v := range x {
			o[k] = max(0, v)
		}
		return o
	}
	mask := func(d, x []int) []int {
		o := make([]int, len(x))
		for k, v := range x {
			if v > 0 {
				o[k] = d[k]
			}
		}
		return o
	}
	o1 := relu(x1)
	pg, err := kernel.NewPool(1, 1, 6, 6, 2, 2, kernel.Spatial{StrideH: 2, StrideW: 2, DilationH: 1, DilationW: 1})
	if err != nil {
		panic(err)
	}
	win := make([]int32, 9)
	winners(pg, win, o1)
	p1 := make([]int, 9)
	won := make([]bool, 36)
	for k, at := range win {
		p1[k], won[at] = o1[at], true
	}
	c2 := geometry(1, 3, 3, 1, 2, 2, 1, 0, false)
	x2 := make([]int, 4)
	forward(c2, x2, p1, w2)
	o2 := relu(x2)
	fc := neurons(n)
	y, dy := make([]int, n), make([]int, n)
	for r := range n {
		for c := range 4 {
			y[r] += fc[r*4+c] * o2[c]
		}
		t := 0
		if r == target {
			t = 1
		}
		dy[r] = y[r] - t
	}
	do2 := make([]int, 4)
	for r := range n {
		for c := range 4 {
			do2[c] += dy[r] * fc[r*4+c]
		}
	}
	dx2 := mask(do2, x2)
	dp1 := make([]int, 9)
	backwardData(c2, dp1, dx2, w2)
	do1 := make([]int, 36)
	for k, at := range win {
		do1[at] += dp1[k]
	}
	dx1 := mask(do1, x1)
	din := make([]int, 64)
	backwardData(c1, din, dx1, w1)
	gate := func(x, d []int, name string) func(k int) string {
		return func(k int) string {
			if x[k] > 0 {
				return fmt.Sprintf("here %s = %d > 0, and %d passes", name, x[k], d[k])
			}
			return fmt.Sprintf("here %s = %d, and %d is stopped", name, x[k], d[k])
		}
	}
	through := func(g kernel.Conv, d, w []int) func(k int) string {
		return func(k int) string {
			var f []string
			g.Taps(func(yi, xi, wi int) {
				if xi == k {
					f = append(f, product(d[yi], w[wi]))
				}
			})
			return "here " + strings.Join(f, " + ")
		}
	}
	return input, []layerView{
		{"y, the neurons", "E = ½Σ(t − y)², so ∂E/∂y = y − t", 1, n, y, dy, nil, func(k int) string {
			return fmt.Sprintf("here %d − %d", y[k], y[k]-dy[k])
		}},
		{"o2, flattened", "each value went into every neuron, so it adds up their δ, each times its weight", 2, 2, o2, do2, nil, func(k int) string {
			var f []string
			for r := range n {
				f = append(f, product(dy[r], fc[r*4+k]))
			}
			return "here " + strings.Join(f, " + ")
		}},
		{"x2, second convolution", "ReLU lets δ pass where x2 > 0", 2, 2, x2, dx2, nil, gate(x2, do2, "x2")},
		{"p1, pooled", "δ passes the second convolution through its turned kernel (Eq. 20)", 3, 3, p1, dp1, nil, through(c2, dx2, w2)},
		{"o1, before the pooling", "each δ goes to the winner of its block, ★", 6, 6, o1, do1, won, func(k int) string {
			if won[k] {
				return "this one won"
			}
			return "this one did not win"
		}},
		{"x1, first convolution", "ReLU lets δ pass where x1 > 0; with the input it gives ∂E/∂w1 (Eq. 13)", 6, 6, x1, dx1, nil, gate(x1, do1, "x1")},
		{"the input", "δ passes the first convolution through its turned kernel, once more", 8, 8, input, din, nil, through(c1, dx1, w1)},
	}
}

func deltas(s *stage) {
	n := 4
	if s.get("n") == "8" {
		n = 8
	}
	_, layers := network(n, s.num("t", 0, n-1))
	step := s.num("step", 0, len(layers)-1)
	l := layers[step]
	s.options("Neurons of the last layer", "n", "4", "4", "8", "8")
	shown := s.ask(fmt.Sprintf("The last layer has %d neurons, and 4 values feed them. How many deltas do the neurons send down to those values, together?", n),
		fmt.Sprintf("each of the 4 values has one δ, which sums over all %d neurons.", n),
		"4", choice{strconv.Itoa(n), "the neurons have so many deltas of their own."}, choice{strconv.Itoa(4 * n), "that is the number of weights between them."}, choice{"1", "E is one number, but it has a derivative by each value."})
	s.f(`<div class="options" role="group" aria-label="Layer"><span>Layer %d of %d, from the end: %s</span>`, step+1, len(layers), l.name)
	s.button("back", "◀ step back", s.set("step", min(step+1, len(layers)-1)), false)
	s.button("fore", "step forward ▶", s.set("step", max(step-1, 0)), false)
	s.f(`</div><ol class="road" aria-label="The network, from the error back">`)
	for k, v := range layers {
		if k == step {
			s.f(`<li aria-current="step">● %s</li>`, v.name)
		} else {
			s.f(`<li>%s</li>`, v.name)
		}
	}
	s.f(`</ol>`)
	s.row()
	class := func(a, b int) string {
		if l.wins != nil && l.wins[a*l.cols+b] {
			return "win"
		}
		return ""
	}
	small := l.cols > 6
	i, j := s.num("i", 0, l.rows-1), s.num("j", 0, l.cols-1)
	s.grid(grid{id: "out", caption: "value: " + l.name, rows: l.rows, cols: l.cols, v: l.out, class: class, small: small})
	delta := grid{id: "delta", caption: "δ = ∂E/∂ this value", rows: l.rows, cols: l.cols, v: l.delta, hidden: !shown, small: small, at: [2]int{i, j},
		class: func(a, b int) string { return strings.TrimSpace(class(a, b) + " " + framed(a == i && b == j)) }}
	if !small { // cells of a wide layer are too narrow for a finger
		delta.caption += ": choose one"
		delta.set = func(a, b int) string { return s.set("i", a, "j", b) }
	}
	s.grid(delta)
	s.endRow()
	if !shown {
		return
	}
	k := i*l.cols + j
	s.why("%s: %s; %s, so δ[%d,%d] = %d.", l.name, l.how, l.sum(k), i, j, l.delta[k])
}
