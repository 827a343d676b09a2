package scene

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/convgrad/convgrad/internal/kernel"
)

// The matrices of scenes 1, 4, 5 and 6: o is H×W, w is R×S, x and δ are P×Q. No two sides of a
// matrix are alike, so that a swapped index shows.
const (
	sideH, sideW = 4, 6
	sideR, sideS = 2, 3
	sideP, sideQ = sideH - sideR + 1, sideW - sideS + 1
)

const (
	firstO = "1.2.0.1.3.0.0.1.3.2.1.1.2.0.1.1.0.2.1.3.2.0.2.1"
	firstW = "1.2.-1.0.3.1"
	firstD = "2.-1.0.1.1.3.-2.0.0.1.2.-1"
)

func plainConv() kernel.Conv { return geometry(1, sideH, sideW, 1, sideR, sideS, 1, 0, false) }

// Scenes are all scenes in the order of the page.
var Scenes []*Scene

func add(id, title, settles, equation string, draw func(*stage), pairs ...string) {
	sc := &Scene{ID: id, Title: title, Settles: settles, Equation: equation, draw: draw, first: map[string]string{"g": ""}, keys: []string{"g"}}
	for i := 0; i < len(pairs); i += 2 {
		sc.keys = append(sc.keys, pairs[i])
		sc.first[pairs[i]] = pairs[i+1]
	}
	Scenes = append(Scenes, sc)
}

func init() {
	add("1", "i, j choose the output; m, n walk the kernel", "“What is this i and j?”",
		`x_{i,j} = \sum_m \sum_n w_{m,n}\, o_{i+m,j+n}`, indices,
		"i", "1", "j", "2", "o", firstO, "w", firstW)
	add("2", "⊗ or ∗: what the flip is", "“Is ∗ a correlation or a convolution?” “Flipping the kernel is not necessary.”",
		`(I \otimes K)_{i,j} = \sum_{m,n} I_{i+m,j+n}\, K_{m,n} \\ (I \ast K)_{i,j} = \sum_{m,n} I_{i-m,j-n}\, K_{m,n}`, flip,
		"i", "1", "j", "1", "op", "corr", "turn", "no", "w", "1.2.3.4.5.6")
	add("3", "Channels and filters", "“I have different depths.” “Is the filter bank 3- or 4-dimensional?”",
		`x_{d,i,j} = b_d + \sum_{c,m,n} w_{d,c,m,n}\, o_{c,i+m,j+n}`, channels,
		"d", "0", "c", "0", "i", "0", "j", "0", "way", "forward")
	add("4", "One weight moves every output; the step is another matter", "“Are these the new weights?” “Δ4·I1 makes no sense.” From Eq. 10 to Eq. 12.",
		`\frac{\partial E}{\partial w_{m',n'}} = \sum_i \sum_j \delta_{i,j}\, o_{i+m',j+n'} \\ w \leftarrow w - \eta\, \frac{\partial E}{\partial w}`, weight,
		"m", "0", "n", "1", "eta", "1", "pair", "right", "o", firstO, "w", firstW, "d", firstD)
	add("5", "The bias", "“Is ∂E/∂b the sum of the deltas?” “b, or b with i and j?”",
		`\frac{\partial E}{\partial b} = \sum_i \sum_j \delta_{i,j}`, bias,
		"i", "0", "j", "0", "b", "1", "kind", "one", "d", firstD)
	add("6", "One pixel, its region Q, and the flip", "“Why does the kernel flip on the way back?”",
		`\frac{\partial E}{\partial o_{i',j'}} = \sum_m \sum_n \delta_{i'-m,j'-n}\, w_{m,n}`, region,
		"i", "1", "j", "2", "q", "", "o", firstO, "w", firstW, "d", firstD)
	add("7", "Build the formula", "“Eq. 20 or Eq. 22: which is it?” “Does Eq. 14 rotate δ or o?”",
		`\frac{\partial E}{\partial w} = \text{?} \qquad \frac{\partial E}{\partial o} = \text{?}`, build,
		"goal", "dw", "a", "d", "ra", "yes", "op", "conv", "b", "o", "rb", "no", "edge", "printed")
	add("8", "Stride", "“What happens when the stride is greater than 1?”",
		`\frac{\partial E}{\partial o_{i',j'}} = \sum_i \sum_j \delta_{i,j}\, w_{i'-s i,\,j'-s j}`, stride,
		"s", "2", "i", "2", "j", "3", "w", "1.2.0.3.-1.1")
	add("9", "Max pooling and ReLU", "“Is δ multiplied by the activation?” “Where does it go?”",
		`\frac{\partial E}{\partial o_{i,j}} = \delta \text{ if } o_{i,j} \text{ won, else } 0 \\ \frac{\partial E}{\partial x_{i,j}} = \frac{\partial E}{\partial o_{i,j}} \cdot f'(x_{i,j})`, pool,
		"i", "0", "j", "1", "x", "1.3.-2.-1.0.2.-3.-4.2.2.5.1.-1.0.4.6", "d", "5.-2.3.-4")
	add("10", "Deltas all the way down", "“How does the error pass the second convolution?” “What if the layer had eight neurons?”",
		`\delta^l = \frac{\partial E}{\partial x^l}`, deltas,
		"step", "1", "n", "8", "t", "1", "i", "0", "j", "1")
	add("11", "Train it on your own drawings", "All of the above, at once.",
		`w \leftarrow w - \eta\, \frac{\partial E}{\partial w}`, training,
		"steps", "0", "look", "3", "p", firstDrawings, "i", "0", "j", "0")
}

func indices(s *stage) {
	i, j := s.num("i", 0, sideP-1), s.num("j", 0, sideQ-1)
	o, w := s.nums("o", sideH*sideW), s.nums("w", sideR*sideS)
	g := plainConv()
	y := make([]int, g.YLen())
	forward(g, y, o, w)
	pixel := func(a, b int) string { return fmt.Sprintf("o[%d,%d]", a, b) }
	shown := s.ask(fmt.Sprintf("The frame in o computes x[%d,%d]. Which pixel of o does the kernel's last weight, w[1,2], meet?", i, j),
		fmt.Sprintf("the row is i+m = %d+1, the column j+n = %d+2.", i, j),
		pixel(i+1, j+2),
		choice{pixel(i, j), "that is where the frame starts, under w[0,0]."},
		choice{pixel(1, 2), "m and n count inside the frame; the frame itself starts at i, j."},
		choice{pixel(i+2, j+1), "rows come first: m goes with i."})
	s.row()
	s.grid(grid{id: "x", caption: "output x: choose i, j", rows: sideP, cols: sideQ, v: y, hidden: !shown, at: [2]int{i, j},
		set: func(a, b int) string { return s.set("i", a, "j", b) }, class: func(a, b int) string { return framed(a == i && b == j) }})
	s.grid(grid{id: "o", caption: "input o: the frame that is read", rows: sideH, cols: sideW, v: o,
		class: func(a, b int) string { return framed(within(a, b, i, i+sideR, j, j+sideS)) },
		sub: func(a, b int) string {
			if shown && within(a, b, i, i+sideR, j, j+sideS) {
				return fmt.Sprintf("w%d,%d", a-i, b-j)
			}
			return ""
		}})
	s.grid(grid{id: "w", caption: "kernel w: m, n", rows: sideR, cols: sideS, v: w, sub: func(a, b int) string { return fmt.Sprintf("%d,%d", a, b) }})
	s.endRow()
	if !shown {
		return
	}
	var names, numbers []string
	g.Taps(func(yi, xi, wi int) {
		if yi == i*sideQ+j {
			names = append(names, fmt.Sprintf("w[%d,%d]·o[%d,%d]", wi/sideS, wi%sideS, xi/sideW, xi%sideW))
			numbers = append(numbers, product(w[wi], o[xi]))
		}
	})
	s.why("x[%d,%d] = %s = %s = %d. i and j say which output it is. m and n run over the kernel, and after the sum they are gone.",
		i, j, strings.Join(names, " + "), strings.Join(numbers, " + "), y[i*sideQ+j])
}

func framed(b bool) string {
	if b {
		return "f"
	}
	return ""
}

func hatched(b bool) string {
	if b {
		return "q"
	}
	return ""
}

func flip(s *stage) {
	const h, w = 3, 4
	i, j := s.num("i", 0, h-1), s.num("j", 0, w-1)
	k := s.nums("w", sideR*sideS)
	used := k
	if s.get("turn") == "yes" {
		used = rot180(k)
	}
	conv := s.get("op") == "conv"
	img := make([]int, h*w)
	img[i*w+j] = 1
	g := geometry(1, h, w, 1, sideR, sideS, 1, 1, conv)
	y := make([]int, g.YLen())
	forward(g, y, img, used)
	// The outputs that see the impulse, read as a matrix of the kernel's size.
	i0, i1 := reach(g.Rows, i)
	j0, j1 := reach(g.Cols, j)
	var copied []int
	for a := i0; a < i1; a++ {
		copied = append(copied, y[a*g.Q+j0:a*g.Q+j1]...)
	}
	same := list(copied) == list(k)
	is := map[bool]string{true: "as it is", false: "turned by 180°"}
	name, off := "I ⊗ K", "the index i+m grows with m, so the impulse meets the last weight first"
	if conv {
		name, off = "I ∗ K", "the index i−m falls with m, so the impulse meets the first weight first"
	}
	if s.get("turn") == "yes" {
		name = strings.Replace(name, "K", "rot180(K)", 1)
		off += "; and K was turned before"
	}
	s.options("Operation", "op", "corr", "⊗ cross-correlation (Eq. 1)", "conv", "∗ convolution (Eq. 2)")
	s.options("Turn K first", "turn", "no", "no", "yes", "rot180")
	shown := s.ask(fmt.Sprintf("The image is 0 but for a single 1. How does the kernel appear in %s?", name), off+".",
		is[same], choice{is[!same], "look at the corner weights, 1 and 6."})
	s.row()
	s.grid(grid{id: "img", caption: "image I: move the 1", rows: h, cols: w, v: img, at: [2]int{i, j}, set: func(a, b int) string { return s.set("i", a, "j", b) },
		class: func(a, b int) string { return framed(a == i && b == j) }})
	s.grid(grid{id: "k", caption: "kernel K", rows: sideR, cols: sideS, v: k})
	from := [2]int{1 - sideR, 1 - sideS}
	if conv {
		from = [2]int{}
	}
	s.grid(grid{id: "y", caption: name + ", wherever K touches I", rows: g.P, cols: g.Q, v: y, from: from, hidden: !shown, small: true,
		class: func(a, b int) string { return hatched(shown && within(a, b, i0, i1, j0, j1)) }})
	s.endRow()
	if !shown {
		return
	}
	s.why("In %s the kernel appears %s: its first and last numbers are %d and %d, those of K are %d and %d. Turning K first makes one operation into the other. So a network that learns K needs only one of them.",
		name, is[same], copied[0], copied[len(copied)-1], k[0], k[len(k)-1])
}

func channels(s *stage) {
	const c, h, w, d, r, q = 3, 3, 4, 2, 2, 2
	dd, cc := s.num("d", 0, d-1), s.num("c", 0, c-1)
	g := geometry(c, h, w, d, r, q, 1, 0, false)
	i, j := s.num("i", 0, g.P-1), s.num("j", 0, g.Q-1)
	x, k, dy := make([]int, g.XLen()), make([]int, g.WLen()), make([]int, g.YLen())
	for n := range x {
		x[n] = (n*7+3)%5 - 1
	}
	for n := range k {
		k[n] = (n*5+2)%7 - 3
	}
	for n := range dy {
		dy[n] = (n*3+1)%5 - 2
	}
	y, dx := make([]int, g.YLen()), make([]int, g.XLen())
	forward(g, y, x, k)
	backwardData(g, dx, dy, k)
	big := geometry(3, 32, 32, 6, 5, 5, 1, 0, false) // Diego's
	back := s.get("way") == "back"
	s.options("Direction", "way", "forward", "forward", "back", "back")
	var shown bool
	if back {
		shown = s.ask("Two filters read each channel. How many maps of δ does the gradient of one channel add up?",
			"every filter read the channel, so every filter's δ comes back through its own slice w[d,c].",
			strconv.Itoa(d), choice{"1", "one δ map is not enough: both filters read this channel."}, choice{strconv.Itoa(c), "that is the number of channels; forward, they were added up."})
	} else {
		shown = s.ask(fmt.Sprintf("Another layer, a reader's: its input is 3×32×32, and six filters of 5×5 read it. How many weights has it, without biases?"),
			fmt.Sprintf("each of the %d filters has a slice of its own for each of the %d channels: %d×%d×5×5. The bank has four axes.", big.K, big.C, big.K, big.C),
			strconv.Itoa(big.WLen()),
			choice{strconv.Itoa(big.K * big.R * big.S), "that is a filter shared by all channels; the slices differ."},
			choice{strconv.Itoa(big.C * big.R * big.S), "that is one filter."})
	}
	filters := []string{}
	for n := range d {
		filters = append(filters, strconv.Itoa(n), "filter "+strconv.Itoa(n))
	}
	chans := []string{}
	for n := range c {
		chans = append(chans, strconv.Itoa(n), "channel "+strconv.Itoa(n))
	}
	s.options("Filter d", "d", filters...)
	s.options("Channel c", "c", chans...)
	plane := func(v []int, n, size int) []int { return v[n*size : (n+1)*size] }
	slice := plane(k, dd*c+cc, r*q)
	s.row()
	if back {
		i, j = min(i, g.P-1), min(j, g.Q-1)
		s.grid(grid{id: "d", caption: fmt.Sprintf("δ of filter %d: choose i, j", dd), rows: g.P, cols: g.Q, v: plane(dy, dd, g.P*g.Q), at: [2]int{i, j},
			set: func(a, b int) string { return s.set("i", a, "j", b) }, class: func(a, b int) string { return framed(a == i && b == j) }})
	} else {
		s.grid(grid{id: "x", caption: fmt.Sprintf("output x[%d]: choose i, j", dd), rows: g.P, cols: g.Q, v: plane(y, dd, g.P*g.Q), hidden: !shown, at: [2]int{i, j},
			set: func(a, b int) string { return s.set("i", a, "j", b) }, class: func(a, b int) string { return framed(a == i && b == j) }})
	}
	s.grid(grid{id: "w", caption: fmt.Sprintf("w[%d,%d], one slice of %d", dd, cc, d*c), rows: r, cols: q, v: slice})
	seen := func(a, b int) string { return hatched(within(a, b, i, i+r, j, j+q)) }
	if back {
		s.grid(grid{id: "dx", caption: fmt.Sprintf("∂E/∂o[%d], from both filters", cc), rows: h, cols: w, v: plane(dx, cc, h*w), hidden: !shown, class: seen})
	} else {
		s.grid(grid{id: "o", caption: fmt.Sprintf("input o[%d]", cc), rows: h, cols: w, v: plane(x, cc, h*w), class: seen})
	}
	s.endRow()
	if !shown {
		return
	}
	parts := make([]int, c)
	total := 0
	var terms []string // of the slice in sight
	if back {
		parts = make([]int, d)
		at := (cc*h+i)*w + j
		g.Taps(func(yi, xi, wi int) {
			if xi == at {
				parts[yi/(g.P*g.Q)] += dy[yi] * k[wi]
				if yi/(g.P*g.Q) == dd {
					terms = append(terms, product(dy[yi], k[wi]))
				}
			}
		})
		total = dx[at]
		s.why("∂E/∂o[%d,%d,%d] = %s = %d: one part from each filter. Filter %d, in sight, gives %s = %d. In the reader's layer 6×28×28 deltas and a bank of 6×3×5×5 give back %d×%d×%d: the sum runs over the filters.",
			cc, i, j, plus(parts), total, dd, strings.Join(terms, " + "), parts[dd], big.C, big.H, big.W)
		return
	}
	g.Taps(func(yi, xi, wi int) {
		if yi == (dd*g.P+i)*g.Q+j {
			parts[xi/(h*w)] += x[xi] * k[wi]
			if xi/(h*w) == cc {
				terms = append(terms, product(x[xi], k[wi]))
			}
		}
	})
	total = y[(dd*g.P+i)*g.Q+j]
	s.why("x[%d,%d,%d] = %s = %d: one part from each channel. Channel %d, in sight, gives %s = %d. In the reader's layer %d×%d×%d goes in, %d×%d×%d comes out, through %d weights.",
		dd, i, j, plus(parts), total, cc, strings.Join(terms, " + "), parts[cc], big.C, big.H, big.W, big.K, big.P, big.Q, big.WLen())
}

func plus(v []int) string {
	var f []string
	for _, x := range v {
		if x < 0 {
			f = append(f, fmt.Sprintf("(%d)", x))
		} else {
			f = append(f, strconv.Itoa(x))
		}
	}
	return strings.Join(f, " + ")
}

// tenths writes v/10.
func tenths(v int) string {
	sign := ""
	if v < 0 {
		sign, v = "-", -v
	}
	if v%10 == 0 {
		return sign + strconv.Itoa(v/10)
	}
	return fmt.Sprintf("%s%d.%d", sign, v/10, v%10)
}

func weight(s *stage) {
	m, n := s.num("m", 0, sideR-1), s.num("n", 0, sideS-1)
	eta := s.num("eta", 0, 20) // in tenths
	o, w, d := s.nums("o", sideH*sideW), s.nums("w", sideR*sideS), s.nums("d", sideP*sideQ)
	g := plainConv()
	dw := make([]int, g.WLen())
	backwardFilter(g, dw, d, o)
	got := dw[m*sideS+n]
	old := w[m*sideS+n]
	newer := 10*old - eta*got
	wrong := s.get("pair") == "turned"
	shown := s.ask(fmt.Sprintf("w[%d,%d] is %d. Eq. 13 gives ∂E/∂w[%d,%d] = %d. With η = %s, what is the weight after one step?", m, n, old, m, n, got, tenths(eta)),
		fmt.Sprintf("Eq. 13 gives the slope, not the weight; the step is −η·slope = %s.", tenths(-eta*got)), minus(tenths(newer)),
		choice{minus(got), "that is the gradient, a slope of E."},
		choice{minus(tenths(-eta * got)), "that is the step; it is added to the old weight."},
		choice{minus(tenths(10*old + eta*got)), "that goes up the slope; E would grow."})
	s.options("Learning rate η", "eta", "0", "0", "1", "0.1", "5", "0.5", "10", "1")
	s.options("Pairing", "pair", "right", "δ as it is", "turned", "δ turned by 180°")
	s.row()
	s.grid(grid{id: "w", caption: "kernel w: choose m′, n′", rows: sideR, cols: sideS, v: w, at: [2]int{m, n},
		set: func(a, b int) string { return s.set("m", a, "n", b) }, class: func(a, b int) string { return framed(a == m && b == n) }})
	used := d
	if wrong {
		used = rot180(d)
	}
	s.grid(grid{id: "o", caption: "input o: what the weight met", rows: sideH, cols: sideW, v: o,
		class: func(a, b int) string { return hatched(within(a, b, m, m+sideP, n, n+sideQ)) },
		sub: func(a, b int) string {
			if within(a, b, m, m+sideP, n, n+sideQ) {
				k := (a-m)*sideQ + b - n
				if wrong {
					k = len(d) - 1 - k
				}
				return fmt.Sprintf("δ%d,%d", k/sideQ, k%sideQ)
			}
			return ""
		}})
	s.grid(grid{id: "d", caption: "δ: one for every output", rows: sideP, cols: sideQ, v: used})
	s.grid(grid{id: "dw", caption: "∂E/∂w", rows: sideR, cols: sideS, v: dw, hidden: !shown, class: func(a, b int) string { return framed(a == m && b == n) }})
	s.endRow()
	if !shown {
		return
	}
	var f []string
	total := 0
	for a := range sideP {
		for b := range sideQ {
			f = append(f, product(used[a*sideQ+b], o[(a+m)*sideW+b+n]))
			total += used[a*sideQ+b] * o[(a+m)*sideW+b+n]
		}
	}
	if wrong {
		s.why("Turned, the sum is %s = %d, and the gradient is %d. δ[%d,%d] would meet o[%d,%d], which that output never saw through w[%d,%d].",
			strings.Join(f, " + "), total, got, sideP-1, sideQ-1, m, n, m, n)
		return
	}
	s.why("∂E/∂w[%d,%d] = %s = %d: w[%d,%d] is in all %d outputs, so each output's δ counts. It counts times ∂x[i,j]/∂w[%d,%d], which is the one pixel that the weight met there (Eq. 12). The step makes %d into %s.",
		m, n, strings.Join(f, " + "), got, m, n, len(d), m, n, old, tenths(newer))
}

func bias(s *stage) {
	i, j := s.num("i", 0, sideP-1), s.num("j", 0, sideQ-1)
	d := s.nums("d", sideP*sideQ)
	b := s.num("b", -9, 9)
	g := plainConv()
	o, w := s.nums2(firstO), s.nums2(firstW)
	y := make([]int, g.YLen())
	forward(g, y, o, w)
	kernel.RefAddBias(g, y, []int{b})
	db := make([]int, 1)
	kernel.RefBackwardBias(g, db, d)
	each := s.get("kind") == "each"
	s.options("Bias", "kind", "one", "b: one for the filter", "each", "b[i,j]: one for each output")
	largest := 0
	for _, v := range d {
		largest = max(largest, v)
	}
	var shown bool
	if each {
		shown = s.ask(fmt.Sprintf("If every output had a bias of its own, what is ∂E/∂b[%d,%d]?", i, j),
			"b[i,j] moves its own output, and no other.", minus(d[i*sideQ+j]),
			choice{minus(db[0]), "that is the sum: the gradient of a bias that all outputs share."}, choice{"1", "∂x/∂b is 1; the chain rule multiplies it by δ."})
	} else {
		shown = s.ask("What is ∂E/∂b?", "b is added to every output, so every δ counts once.", minus(db[0]),
			choice{minus(largest), "that is one δ, but b moves every output."}, choice{strconv.Itoa(len(d)), "that counts the outputs; each counts with its δ."},
			choice{"1", "∂x/∂b is 1; the chain rule multiplies it by δ."})
	}
	s.f(`<div class="options" role="group" aria-label="The bias b"><span>b = %s</span>`, minus(b))
	s.button("b-", "b − 1", s.set("b", max(-9, b-1)), false)
	s.button("b+", "b + 1", s.set("b", min(9, b+1)), false)
	s.f(`</div>`)
	s.row()
	touched := func(a, c int) string { return hatched(shown && (!each || a == i && c == j)) }
	s.grid(grid{id: "x", caption: "x = w ⊗ o + b", rows: sideP, cols: sideQ, v: y, class: touched})
	s.grid(grid{id: "d", caption: "δ: choose i, j", rows: sideP, cols: sideQ, v: d, at: [2]int{i, j}, set: func(a, c int) string { return s.set("i", a, "j", c) }, class: touched})
	if each {
		s.grid(grid{id: "db", caption: "∂E/∂b[i,j]", rows: sideP, cols: sideQ, v: d, hidden: !shown, class: touched})
	} else {
		s.grid(grid{id: "db", caption: "∂E/∂b", rows: 1, cols: 1, v: db, hidden: !shown})
	}
	s.endRow()
	if !shown {
		return
	}
	if each {
		s.why("∂E/∂b[%d,%d] = δ[%d,%d] = %d: %d biases, each with one δ. The article's Eqs. 6 and 7 print b[i,j]; its Eq. 4 has one b for a filter. Networks use the second.", i, j, i, j, d[i*sideQ+j], len(d))
		return
	}
	s.why("∂E/∂b = %s = %d. With b = %d, x[%d,%d] is %d. If b grows by 1, each of the %d outputs grows by 1, and each sends its own δ back.", plus(d), db[0], b, i, j, y[i*sideQ+j], len(d))
}

// nums2 reads a list of the source.
func (s *stage) nums2(text string) []int {
	var v []int
	for _, f := range strings.Split(text, ".") {
		k, _ := strconv.Atoi(f)
		v = append(v, k)
	}
	return v
}

func region(s *stage) {
	i, j := s.num("i", 0, sideH-1), s.num("j", 0, sideW-1)
	o, w, d := s.nums("o", sideH*sideW), s.nums("w", sideR*sideS), s.nums("d", sideP*sideQ)
	g := plainConv()
	i0, i1 := reach(g.Rows, i)
	j0, j1 := reach(g.Cols, j)
	inQ := func(a, b int) bool { return within(a, b, i0, i1, j0, j1) }
	dx := make([]int, g.XLen())
	backwardData(g, dx, d, w)

	marks := map[string]bool{}
	for _, f := range strings.Split(s.get("q"), ".") {
		if f != "" {
			marks[f] = true
		}
	}
	key := func(a, b int) string { return fmt.Sprintf("%d-%d", a, b) }
	toggle := func(a, b int) string {
		var out []string
		for p := range sideP {
			for q := range sideQ {
				if marks[key(p, q)] != (p == a && q == b) {
					out = append(out, key(p, q))
				}
			}
		}
		return "q=" + strings.Join(out, ".") + "&g="
	}
	shown := s.shown()
	s.f(`<div class="ask" role="group" aria-label="Prediction"><p><b>Predict.</b> Which outputs does pixel o[%d,%d] reach? Mark them in δ: they are its region Q. Then check.</p>`, i, j)
	s.button("check", "Check my marks", "g=check", false)
	if shown {
		s.button("again", "Predict again", "g=&q=", false)
	} else {
		s.button("show", "Just show me", "g=show", false)
	}
	if s.get("g") == "check" {
		missing, extra := []string{}, []string{}
		for a := range sideP {
			for b := range sideQ {
				switch {
				case inQ(a, b) && !marks[key(a, b)]:
					missing = append(missing, fmt.Sprintf("[%d,%d]", a, b))
				case !inQ(a, b) && marks[key(a, b)]:
					extra = append(extra, fmt.Sprintf("[%d,%d]", a, b))
				}
			}
		}
		var t string
		if len(missing)+len(extra) == 0 {
			t = fmt.Sprintf("✓ That is Q: rows %d to %d, columns %d to %d.", i0, i1-1, j0, j1-1)
		} else {
			t = "✗ Not yet."
			if len(missing) > 0 {
				t += " Missing: " + strings.Join(missing, " ") + ", whose frames cover the pixel."
			}
			if len(extra) > 0 {
				t += " Too many: " + strings.Join(extra, " ") + ", whose frames do not touch it."
			}
		}
		s.f(`<p class="verdict">%s</p>`, t)
		s.say = t
	}
	s.f(`</div>`)
	s.row()
	s.grid(grid{id: "o", caption: "input o: choose i′, j′", rows: sideH, cols: sideW, v: o, at: [2]int{i, j},
		set:   func(a, b int) string { return "q=&" + s.set("i", a, "j", b) },
		class: func(a, b int) string { return framed(a == i && b == j) }})
	caption := "δ at the outputs: mark Q"
	s.grid(grid{id: "d", caption: caption, rows: sideP, cols: sideQ, v: d, toggles: true, set: toggle,
		pressed: func(a, b int) bool { return marks[key(a, b)] },
		class: func(a, b int) string {
			c := hatched(shown && inQ(a, b) || !shown && marks[key(a, b)])
			if marks[key(a, b)] {
				c += " mark"
			}
			return c
		},
		sub: func(a, b int) string {
			if shown && inQ(a, b) {
				return fmt.Sprintf("w%d,%d", i-a, j-b)
			}
			return ""
		}})
	s.grid(grid{id: "w", caption: "kernel w", rows: sideR, cols: sideS, v: w, sub: func(a, b int) string { return fmt.Sprintf("%d,%d", a, b) }})
	s.grid(grid{id: "dx", caption: "∂E/∂o", rows: sideH, cols: sideW, v: dx, hidden: !shown, small: true, class: func(a, b int) string { return framed(a == i && b == j) }})
	s.endRow()
	if !shown {
		return
	}
	var names, numbers []string
	g.Taps(func(yi, xi, wi int) {
		if xi == i*sideW+j {
			names = append(names, fmt.Sprintf("δ[%d,%d]·w[%d,%d]", yi/sideQ, yi%sideQ, wi/sideS, wi%sideS))
			numbers = append(numbers, product(d[yi], w[wi]))
		}
	})
	s.why("∂E/∂o[%d,%d] = %s = %s = %d. Read Q row by row: the indices of δ rise while those of w fall. So the kernel lies on δ turned by 180°. That is the whole flip.",
		i, j, strings.Join(names, " + "), strings.Join(numbers, " + "), dx[i*sideW+j])
}

func stride(s *stage) {
	const h, w, r, q = 5, 6, 2, 3
	st := s.num("s", 1, 3)
	i, j := s.num("i", 0, h-1), s.num("j", 0, w-1)
	k := s.nums("w", r*q)
	g := geometry(1, h, w, 1, r, q, st, 0, false)
	d := make([]int, g.YLen())
	for n := range d {
		d[n] = (n*3+2)%7 - 3
		if d[n] == 0 {
			d[n] = 4
		}
	}
	dx := make([]int, g.XLen())
	backwardData(g, dx, d, k)
	i0, i1 := reach(g.Rows, i)
	j0, j1 := reach(g.Cols, j)
	count := max(0, i1-i0) * max(0, j1-j0)
	s.options("Stride s", "s", "1", "1", "2", "2", "3", "3")
	shown := s.ask(fmt.Sprintf("The kernel is %d×%d and moves by %d. How many outputs see pixel o[%d,%d]?", r, q, st, i, j),
		fmt.Sprintf("frames start at rows and columns 0, %d, %d, …; those of output rows %s and columns %s cover the pixel.", st, 2*st, span(i0, i1), span(j0, j1)),
		strconv.Itoa(count), choice{strconv.Itoa(r * q), "that is stride 1, far from the border."},
		choice{"0", "some frame does cover it."}, choice{"1", "count the frames that start at multiples of s."}, choice{"2", "count the frames that start at multiples of s."})
	s.row()
	s.grid(grid{id: "o", caption: "∂E/∂o: choose i′, j′", rows: h, cols: w, v: dx, hidden: !shown, at: [2]int{i, j},
		set: func(a, b int) string { return s.set("i", a, "j", b) }, class: func(a, b int) string { return framed(a == i && b == j) }})
	s.grid(grid{id: "d", caption: fmt.Sprintf("δ, %d×%d", g.P, g.Q), rows: g.P, cols: g.Q, v: d, small: true,
		class: func(a, b int) string { return hatched(shown && within(a, b, i0, i1, j0, j1)) }})
	zr, zc := (g.P-1)*st+1, (g.Q-1)*st+1 // the spread δ, without its border
	under := func(a, b int) bool { return shown && within(a, b, i, i+r, j, j+q) }
	s.grid(grid{id: "z", caption: "δ spread, and the turned kernel on it", rows: zr + 2*(r-1), cols: zc + 2*(q-1), small: true, from: [2]int{1 - r, 1 - q},
		cell: func(a, b int) string {
			a, b = a-r+1, b-q+1
			if within(a, b, 0, zr, 0, zc) && a%st == 0 && b%st == 0 {
				return minus(d[a/st*g.Q+b/st])
			}
			return "·"
		},
		class: func(a, b int) string { return hatched(under(a, b)) },
		sub: func(a, b int) string {
			if under(a, b) {
				return fmt.Sprintf("w%d,%d", r-1-(a-i), q-1-(b-j))
			}
			return ""
		}})
	s.grid(grid{id: "w", caption: "kernel w", rows: r, cols: q, v: k, small: true, sub: func(a, b int) string { return fmt.Sprintf("%d,%d", a, b) }})
	s.endRow()
	if !shown {
		return
	}
	var f []string
	g.Taps(func(yi, xi, wi int) {
		if xi == i*w+j {
			f = append(f, product(d[yi], k[wi]))
		}
	})
	if len(f) == 0 {
		s.why("No frame covers o[%d,%d] when the stride is %d, so ∂E/∂o[%d,%d] = %d: the pixel was stepped over, and nothing comes back to it.", i, j, st, i, j, dx[i*w+j])
		return
	}
	s.why("∂E/∂o[%d,%d] = %s = %d. Put %s between neighbours in δ (that is s − 1) and zeros around it, written as dots. Then δ goes back as if the stride were 1: the kernel lies on it turned by 180°.", i, j, strings.Join(f, " + "), dx[i*w+j], zeros(st-1))
}

func zeros(n int) string {
	if n == 1 {
		return "1 zero"
	}
	return fmt.Sprintf("%d zeros", n)
}

func span(lo, hi int) string {
	switch {
	case hi <= lo:
		return "(none)"
	case hi == lo+1:
		return strconv.Itoa(lo)
	}
	return fmt.Sprintf("%d to %d", lo, hi-1)
}

func pool(s *stage) {
	const n = 4
	i, j := s.num("i", 0, n-1), s.num("j", 0, n-1)
	x, d := s.nums("x", n*n), s.nums("d", 4)
	o := make([]int, n*n)
	for k, v := range x {
		o[k] = max(0, v)
	}
	g, err := kernel.NewPool(1, 1, n, n, 2, 2, kernel.Spatial{StrideH: 2, StrideW: 2, DilationH: 1, DilationW: 1})
	if err != nil {
		panic(err)
	}
	win := make([]int32, 4)
	winners(g, win, o)
	y, do, dx := make([]int, 4), make([]int, n*n), make([]int, n*n)
	for k, at := range win {
		y[k] = o[at]
		do[at] = d[k]
	}
	for k := range dx {
		if x[k] > 0 {
			dx[k] = do[k]
		}
	}
	block := i/2*2 + j/2
	at := int(win[block])
	place := func(k int) string { return fmt.Sprintf("o[%d,%d]", k/n, k%n) }
	var others []choice
	best := o[at]
	for a := range 2 {
		for b := range 2 {
			k := (i/2*2+a)*n + j/2*2 + b
			if k == at {
				continue
			}
			why := fmt.Sprintf("it is %d, and %d is larger.", o[k], best)
			if o[k] == best {
				why = "it is as large, but the first of equals wins."
			}
			others = append(others, choice{place(k), why})
		}
	}
	shown := s.ask(fmt.Sprintf("δ = %d arrives at the block of o[%d,%d]. Which element of o gets it?", d[block], i, j),
		fmt.Sprintf("its value, %d, won the block in the forward pass.", best), place(at), others...)
	s.f(`<div class="options" role="group" aria-label="The chosen x"><span>x[%d,%d] = %s</span>`, i, j, minus(x[i*n+j]))
	change := func(by int) string {
		v := append([]int(nil), x...)
		v[i*n+j] = max(-9, min(9, v[i*n+j]+by))
		return s.set("x", list(v))
	}
	s.button("x-", "x − 1", change(-1), false)
	s.button("x+", "x + 1", change(1), false)
	tie := append([]int(nil), x...)
	tie[i*n+j] = best
	s.button("tie", "make a tie", s.set("x", list(tie)), false)
	s.f(`</div>`)
	won := func(a, b int) bool { return int(win[a/2*2+b/2]) == a*n+b }
	star := func(a, b int) string {
		c := framed(a/2 == i/2 && b/2 == j/2)
		if shown && won(a, b) {
			c += " win"
		}
		return c
	}
	s.row()
	s.grid(grid{id: "x", caption: "x: choose, then change", rows: n, cols: n, v: x, at: [2]int{i, j}, set: func(a, b int) string { return s.set("i", a, "j", b) },
		class: func(a, b int) string { return framed(a/2 == i/2 && b/2 == j/2) }})
	s.grid(grid{id: "o", caption: "o = max(0, x); ★ wins", rows: n, cols: n, v: o, class: star})
	s.grid(grid{id: "y", caption: "pooled", rows: 2, cols: 2, v: y, small: true})
	s.grid(grid{id: "d", caption: "δ that arrives", rows: 2, cols: 2, v: d, small: true, class: func(a, b int) string { return framed(a == i/2 && b == j/2) }})
	s.grid(grid{id: "do", caption: "∂E/∂o", rows: n, cols: n, v: do, hidden: !shown, class: star})
	s.grid(grid{id: "dx", caption: "∂E/∂x = ∂E/∂o · f′(x)", rows: n, cols: n, v: dx, hidden: !shown, class: star})
	s.endRow()
	if !shown {
		return
	}
	slope := 0
	if x[at] > 0 {
		slope = 1
	}
	s.why("%s = %d wins. The pooled value is a copy of it, so its slope is 1 and it gets δ = %d as it is. δ is not multiplied by o, which would make %d. ReLU then multiplies by f′(%d) = %d, so ∂E/∂x[%d,%d] = %d.",
		place(at), best, d[block], d[block]*best, x[at], slope, at/n, at%n, dx[at])
}
