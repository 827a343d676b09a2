package scene

import (
	"fmt"
	"html"
	"math"
	"regexp"
	"strconv"
	"strings"
	"testing"

	G "gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/convgrad/convgrad/internal/exact"
	"github.com/convgrad/convgrad/internal/kernel"
	"github.com/convgrad/convgrad/notebooks/lab"
	"github.com/convgrad/convgrad/ops"
	"github.com/convgrad/convgrad/verify/article"
)

// The tests read the numbers from the HTML, as a reader does, and compare them with the ops under
// TapeMachine and with nudging. All are integers, so they are equal or wrong.

var cellHTML = regexp.MustCompile(`<td class="([^"]*)" data-id="([a-z0-9]+)-(\d+)-(\d+)"[^>]*><span class="n">([^<]*)</span>`)

type cells struct {
	v     map[[2]int]int
	class map[[2]int]string
}

// read renders a scene in a state and returns its grids.
func read(id, changes string) (map[string]cells, string) {
	st := State{}
	st.Set(id, changes)
	body, _ := Render(id, st)
	out := map[string]cells{}
	for _, m := range cellHTML.FindAllStringSubmatch(body, -1) {
		g, ok := out[m[2]]
		if !ok {
			g = cells{map[[2]int]int{}, map[[2]int]string{}}
			out[m[2]] = g
		}
		i, _ := strconv.Atoi(m[3])
		j, _ := strconv.Atoi(m[4])
		v, err := strconv.Atoi(strings.ReplaceAll(html.UnescapeString(m[5]), "−", "-"))
		if err != nil {
			v = math.MinInt32
		}
		g.v[[2]int{i, j}], g.class[[2]int{i, j}] = v, m[1]
	}
	return out, body
}

func (c cells) flat() []float64 {
	rows, cols := 0, 0
	for k := range c.v {
		rows, cols = max(rows, k[0]+1), max(cols, k[1]+1)
	}
	f := make([]float64, rows*cols)
	for k, v := range c.v {
		f[k[0]*cols+k[1]] = float64(v)
	}
	return f
}

// marked is the cells of a class.
func (c cells) marked(class string) map[[2]int]bool {
	m := map[[2]int]bool{}
	for k, v := range c.class {
		for _, f := range strings.Fields(v) {
			if f == class {
				m[k] = true
			}
		}
	}
	return m
}

func equal(what string, got, want []float64) error {
	if fmt.Sprint(got) != fmt.Sprint(want) {
		return fmt.Errorf("%s: the page shows %v, the ops give %v", what, got, want)
	}
	return nil
}

func floats(t *tensor.Dense) []float64 { return t.Data().([]float64) }

func toFloats(v []int) []float64 {
	f := make([]float64, len(v))
	for i, x := range v {
		f[i] = float64(x)
	}
	return f
}

func of(v []float64, shape ...int) *tensor.Dense {
	return tensor.New(tensor.WithShape(shape...), tensor.WithBacking(append([]float64(nil), v...)))
}

func conv2D(p ops.ConvParams) lab.Build {
	return func(in G.Nodes) (*G.Node, error) {
		if len(in) == 3 {
			return ops.Conv2D(in[0], in[1], in[2], p)
		}
		return ops.Conv2D(in[0], in[1], nil, p)
	}
}

// correlate is Eq. 1 with a stride, written once more, for nudging.
func correlate(o, w []float64, h, wd, r, q, s int) []float64 {
	var y []float64
	for i := 0; i+r <= h; i += s {
		for j := 0; j+q <= wd; j += s {
			t := 0.
			for m := range r {
				for n := range q {
					t += o[(i+m)*wd+j+n] * w[m*q+n]
				}
			}
			y = append(y, t)
		}
	}
	return y
}

// noZero is a kernel in which every weight moves the output.
const noZero = "w=1.2.-1.4.3.5"

// checks are what must hold of each scene. The error says what does not.
var checks = map[string]func() error{
	"1":  checkIndices,
	"2":  checkFlip,
	"3":  checkChannels,
	"4":  checkWeight,
	"5":  checkBias,
	"6":  checkRegion,
	"7":  checkBuild,
	"8":  checkStride,
	"9":  checkPool,
	"10": checkDeltas,
	"11": checkTraining,
}

func TestScenes(t *testing.T) {
	if len(checks) != len(Scenes) {
		t.Fatalf("%d checks for %d scenes", len(checks), len(Scenes))
	}
	for _, sc := range Scenes {
		t.Run(sc.ID, func(t *testing.T) {
			if err := checks[sc.ID](); err != nil {
				t.Error(err)
			}
		})
	}
}

func checkIndices() error {
	for i := range sideP {
		for j := range sideQ {
			g, body := read("1", fmt.Sprintf("g=show&%s&i=%d&j=%d", noZero, i, j))
			o, w := g["o"].flat(), g["w"].flat()
			y := lab.Forward(conv2D(ops.ConvParams{}), of(o, 1, 1, sideH, sideW), of(w, 1, 1, sideR, sideS))
			if err := equal("x", g["x"].flat(), floats(y)); err != nil {
				return err
			}
			seen := map[[2]int]bool{}
			for k := range o {
				o[k]++
				if correlate(o, w, sideH, sideW, sideR, sideS, 1)[i*sideQ+j] != floats(y)[i*sideQ+j] {
					seen[[2]int{k / sideW, k % sideW}] = true
				}
				o[k]--
			}
			if fmt.Sprint(g["o"].marked("f")) != fmt.Sprint(seen) {
				return fmt.Errorf("x[%d,%d]: the frame is %v, nudging says %v", i, j, g["o"].marked("f"), seen)
			}
			if want := minus(fmt.Sprintf("= %v. i and j", floats(y)[i*sideQ+j])); !strings.Contains(body, want) {
				return fmt.Errorf("x[%d,%d]: the sentence lacks %q", i, j, want)
			}
		}
	}
	return nil
}

func checkFlip() error {
	for _, op := range []string{"corr", "conv"} {
		for _, turn := range []string{"no", "yes"} {
			g, body := read("2", fmt.Sprintf("g=show&op=%s&turn=%s", op, turn))
			k := g["k"].flat()
			if turn == "yes" {
				for a, b := 0, len(k)-1; a < b; a, b = a+1, b-1 {
					k[a], k[b] = k[b], k[a]
				}
			}
			p := ops.ConvParams{Flip: op == "conv", Pad: ops.Padding{Top: 1, Bottom: 1, Left: 2, Right: 2}}
			y := lab.Forward(conv2D(p), of(g["img"].flat(), 1, 1, 3, 4), of(k, 1, 1, 2, 3))
			if err := equal(op+" turned "+turn, g["y"].flat(), floats(y)); err != nil {
				return err
			}
			// ⊗ of an impulse shows the kernel turned (index i+m); ∗ shows it as it is.
			want := "appears as it is"
			if (op == "corr") == (turn == "no") {
				want = "appears turned by 180°"
			}
			if !strings.Contains(body, want) {
				return fmt.Errorf("%s turned %s: the sentence does not say %q", op, turn, want)
			}
		}
	}
	return nil
}

// partOf is what scene 3 says of the slice in sight: a sum of products and its value.
var partOf = regexp.MustCompile(`in sight, gives [(−]*\d[^=.]*·[^=.]* = −?\d+\.`)

func checkChannels() error {
	var x, w, dy, y, dx []float64
	for d := range 2 {
		for c := range 3 {
			f, forth := read("3", fmt.Sprintf("g=show&d=%d&c=%d", d, c))
			b, back := read("3", fmt.Sprintf("g=show&way=back&d=%d&c=%d", d, c))
			for _, body := range []string{forth, back} {
				if !partOf.MatchString(body) {
					return fmt.Errorf("filter %d, channel %d: the sentence does not write its part out", d, c)
				}
			}
			w = append(w, f["w"].flat()...)
			if d == 0 {
				x, dx = append(x, f["o"].flat()...), append(dx, b["dx"].flat()...)
			}
			if c == 0 {
				y, dy = append(y, f["x"].flat()...), append(dy, b["d"].flat()...)
			}
		}
	}
	gotY, grads := lab.Backward(conv2D(ops.ConvParams{}), of(dy, 1, 2, 2, 3), of(x, 1, 3, 3, 4), of(w, 2, 3, 2, 2))
	if err := equal("x", y, floats(gotY)); err != nil {
		return err
	}
	if err := equal("∂E/∂o", dx, floats(grads[0])); err != nil {
		return err
	}
	_, body := read("3", "g=show")
	if !strings.Contains(body, "3×32×32 goes in, 6×28×28 comes out, through 450 weights") {
		return fmt.Errorf("the reader's shapes are not 3×32×32, 6×28×28 and 450 weights")
	}
	return nil
}

func checkWeight() error {
	for m := range sideR {
		for n := range sideS {
			g, body := read("4", fmt.Sprintf("g=show&m=%d&n=%d&eta=5", m, n))
			o, w, d := g["o"].flat(), g["w"].flat(), g["d"].flat()
			_, grads := lab.Backward(conv2D(ops.ConvParams{}), of(d, 1, 1, sideP, sideQ), of(o, 1, 1, sideH, sideW), of(w, 1, 1, sideR, sideS))
			if err := equal("∂E/∂w", g["dw"].flat(), floats(grads[1])); err != nil {
				return err
			}
			// E = Σ δ·x is linear in w: one more of a weight changes it by the gradient exactly.
			e := func() (t float64) {
				for k, x := range correlate(o, w, sideH, sideW, sideR, sideS, 1) {
					t += d[k] * x
				}
				return
			}
			before := e()
			w[m*sideS+n]++
			if got, want := float64(g["dw"].v[[2]int{m, n}]), e()-before; got != want {
				return fmt.Errorf("∂E/∂w[%d,%d] is %v, nudging says %v", m, n, got, want)
			}
			w[m*sideS+n]--
			next := w[m*sideS+n] - 0.5*float64(g["dw"].v[[2]int{m, n}])
			if want := minus(fmt.Sprintf("into %v.", next)); !strings.Contains(body, want) {
				return fmt.Errorf("w[%d,%d]: the sentence lacks %q", m, n, want)
			}
		}
	}
	return nil
}

func checkBias() error {
	g, _ := read("5", "g=show&b=-3")
	o := toFloats((*stage)(nil).nums2(firstO))
	w := toFloats((*stage)(nil).nums2(firstW))
	y, grads := lab.Backward(conv2D(ops.ConvParams{}), of(g["d"].flat(), 1, 1, sideP, sideQ), of(o, 1, 1, sideH, sideW), of(w, 1, 1, sideR, sideS), of([]float64{-3}, 1))
	if err := equal("x", g["x"].flat(), floats(y)); err != nil {
		return err
	}
	return equal("∂E/∂b", g["db"].flat(), floats(grads[2]))
}

// nudged is the outputs that change with element k of o.
func nudged(o, w []float64, h, wd, r, q, s, k int) map[[2]int]bool {
	before := correlate(o, w, h, wd, r, q, s)
	o[k]++
	after := correlate(o, w, h, wd, r, q, s)
	o[k]--
	cols := (wd-q)/s + 1
	m := map[[2]int]bool{}
	for n := range before {
		if before[n] != after[n] {
			m[[2]int{n / cols, n % cols}] = true
		}
	}
	return m
}

func checkRegion() error {
	for i := range sideH {
		for j := range sideW {
			state := fmt.Sprintf("g=show&%s&i=%d&j=%d", noZero, i, j)
			g, body := read("6", state)
			o, w, d := g["o"].flat(), g["w"].flat(), g["d"].flat()
			_, grads := lab.Backward(conv2D(ops.ConvParams{}), of(d, 1, 1, sideP, sideQ), of(o, 1, 1, sideH, sideW), of(w, 1, 1, sideR, sideS))
			if err := equal("∂E/∂o", g["dx"].flat(), floats(grads[0])); err != nil {
				return err
			}
			want := nudged(o, w, sideH, sideW, sideR, sideS, 1, i*sideW+j)
			if got := g["d"].marked("q"); fmt.Sprint(got) != fmt.Sprint(want) {
				return fmt.Errorf("o[%d,%d]: Q is %v, nudging says %v", i, j, got, want)
			}
			if want := minus(fmt.Sprintf("= %v. Read Q", floats(grads[0])[i*sideW+j])); !strings.Contains(body, want) {
				return fmt.Errorf("o[%d,%d]: the sentence lacks %q", i, j, want)
			}
			// The right marks pass; without one of them, or with one more, they do not.
			var marks []string
			for a := range sideP {
				for b := range sideQ {
					if want[[2]int{a, b}] {
						marks = append(marks, fmt.Sprintf("%d-%d", a, b))
					}
				}
			}
			at := fmt.Sprintf("g=check&i=%d&j=%d&q=", i, j)
			if _, body := read("6", at+strings.Join(marks, ".")); !strings.Contains(body, "✓ That is Q") {
				return fmt.Errorf("o[%d,%d]: the right marks are refused", i, j)
			}
			if _, body := read("6", at+strings.Join(marks[1:], ".")); !strings.Contains(body, "Missing: ") {
				return fmt.Errorf("o[%d,%d]: a missing mark passes", i, j)
			}
		}
	}
	return nil
}

// checkBuild compares the verdicts with those of the executable article.
func checkBuild() error {
	verdicts := map[string]article.Result{}
	for _, r := range article.Equations(1, 20) {
		verdicts[r.Equation] = r
	}
	for number, f := range map[string]Formula{
		"Eq. 13": {Goal: "dw", A: "o", B: "d", Edge: "printed"},
		"Eq. 14": {Goal: "dw", A: "d", TurnA: true, Conv: true, B: "o", Edge: "printed"},
		"Eq. 22": {Goal: "do", A: "d", Conv: true, B: "w", TurnB: true, Edge: "printed"},
	} {
		r, ok := verdicts[number]
		if !ok && number == "Eq. 13" {
			for n, v := range verdicts {
				if strings.Contains(n, "13") {
					r, ok = v, true
				}
			}
		}
		if !ok {
			return fmt.Errorf("the article's code knows no %s", number)
		}
		v := f.Decide()
		if v.Holds != (r.Verdict == article.HoldsAsPrinted) {
			return fmt.Errorf("%s: the page says %t (%s), the article's code %q", number, v.Holds, v.Counter, r.Verdict)
		}
	}
	// What the readers settle on: ⊗ with the turned kernel and ∗ with the plain one are Eq. 20.
	for _, c := range []struct {
		f     Formula
		holds bool
	}{
		{Formula{Goal: "do", A: "d", Conv: true, B: "w", Edge: "printed"}, true},
		{Formula{Goal: "do", A: "d", Conv: true, B: "w", Edge: "full"}, true},
		{Formula{Goal: "do", A: "d", B: "w", TurnB: true, Edge: "full"}, true},
		{Formula{Goal: "do", A: "d", B: "w", Edge: "full"}, false},
		{Formula{Goal: "dw", A: "d", TurnA: true, Conv: true, B: "o", Edge: "valid"}, true},
		{Formula{Goal: "dw", A: "d", Conv: true, B: "o", TurnB: true, Edge: "valid"}, false},
		{Formula{Goal: "dw", A: "d", B: "o", Edge: "valid"}, false},
	} {
		if v := c.f.Decide(); v.Holds != c.holds {
			return fmt.Errorf("%v (%s): the page says %t, want %t: %s", c.f, c.f.Edge, v.Holds, c.holds, v.Counter)
		}
	}
	return nil
}

// labelled is a number of scene 8's spread δ with the weight that lies on it.
var labelled = regexp.MustCompile(`data-id="z-\d+-\d+"><span class="n">([^<]*)</span> <small>w(\d),(\d)</small>`)

func checkStride() error {
	for s := 1; s <= 3; s++ {
		for i := range 5 {
			for j := range 6 {
				g, body := read("8", fmt.Sprintf("g=show&w=1.2.4.3.-1.1&s=%d&i=%d&j=%d", s, i, j))
				w, d := g["w"].flat(), g["d"].flat()
				p, q := (5-2)/s+1, (6-3)/s+1
				o := make([]float64, 30)
				_, grads := lab.Backward(conv2D(ops.ConvParams{Stride: ops.Both(s)}), of(d, 1, 1, p, q), of(o, 1, 1, 5, 6), of(w, 1, 1, 2, 3))
				if err := equal(fmt.Sprintf("stride %d", s), g["o"].flat(), floats(grads[0])); err != nil {
					return err
				}
				want := nudged(o, w, 5, 6, 2, 3, s, i*6+j)
				// The turned kernel on the spread δ: weight times δ, over the hatched cells.
				total := 0.
				for _, m := range labelled.FindAllStringSubmatch(body, -1) {
					a, _ := strconv.Atoi(m[2])
					b, _ := strconv.Atoi(m[3])
					if v, err := strconv.Atoi(strings.ReplaceAll(m[1], "−", "-")); err == nil {
						total += float64(v) * w[a*3+b]
					}
				}
				if got := floats(grads[0])[i*6+j]; total != got {
					return fmt.Errorf("stride %d, o[%d,%d]: the labels add up to %v, the gradient is %v", s, i, j, total, got)
				}
				if got := g["d"].marked("q"); fmt.Sprint(got) != fmt.Sprint(want) {
					return fmt.Errorf("stride %d, o[%d,%d]: the region is %v, nudging says %v", s, i, j, got, want)
				}
			}
		}
	}
	return nil
}

func checkPool() error {
	first := ByID("9").first["x"]
	// the second is all ties
	for _, x := range []string{first, "2.2.1.1.2.2.1.1.-1.-2.0.0.-3.-4.0.0"} {
		g, body := read("9", "g=show&x="+x)
		build := func(in G.Nodes) (*G.Node, error) {
			o, err := ops.ReLU(in[0])
			if err != nil {
				return nil, err
			}
			return ops.MaxPool2D(o, ops.PoolParams{Window: ops.Both(2)})
		}
		only := func(in G.Nodes) (*G.Node, error) {
			return ops.MaxPool2D(in[0], ops.PoolParams{Window: ops.Both(2)})
		}
		d := of(g["d"].flat(), 1, 1, 2, 2)
		y, dx := lab.Backward(build, d, of(g["x"].flat(), 1, 1, 4, 4))
		_, do := lab.Backward(only, d, of(g["o"].flat(), 1, 1, 4, 4))
		for _, err := range []error{equal("pooled", g["y"].flat(), floats(y)), equal("∂E/∂x", g["dx"].flat(), floats(dx[0])), equal("∂E/∂o", g["do"].flat(), floats(do[0]))} {
			if err != nil {
				return err
			}
		}
		for at := range g["o"].marked("win") {
			if float64(g["do"].v[at]) != g["d"].flat()[at[0]/2*2+at[1]/2] {
				return fmt.Errorf("the winner %v does not get its δ", at)
			}
		}
		if n := len(g["o"].marked("win")); n != 4 {
			return fmt.Errorf("%d winners, want 4", n)
		}
		_ = body
	}
	return nil
}

func checkDeltas() error {
	for _, n := range []int{4, 8} {
		at := func(step int) map[string]cells {
			g, _ := read("10", fmt.Sprintf("g=show&n=%d&step=%d", n, step))
			return g
		}
		w1, w2, fc := of(toFloats(deltaW1), 1, 1, 3, 3), of(toFloats(deltaW2), 1, 1, 2, 2), of(toFloats(neurons(n)), n, 4)
		last := func(x *G.Node, fc *G.Node) (*G.Node, error) {
			flat, err := G.Reshape(x, tensor.Shape{4, 1})
			if err != nil {
				return nil, err
			}
			return G.Mul(fc, flat)
		}
		var try ops.Try
		from := []func(in G.Nodes) (*G.Node, error){ // each from its layer to the neurons
			nil,
			func(in G.Nodes) (*G.Node, error) { return last(in[0], in[1]) },
			func(in G.Nodes) (*G.Node, error) { return last(try.Do(ops.ReLU(in[0])), in[1]) },
			func(in G.Nodes) (*G.Node, error) {
				return last(try.Do(ops.ReLU(try.Do(ops.Conv2D(in[0], in[2], nil, ops.ConvParams{})))), in[1])
			},
		}
		pool := ops.PoolParams{Window: ops.Both(2)}
		from = append(from, func(in G.Nodes) (*G.Node, error) {
			return from[3](append(G.Nodes{try.Do(ops.MaxPool2D(in[0], pool))}, in[1:]...))
		})
		from = append(from, func(in G.Nodes) (*G.Node, error) {
			return from[4](append(G.Nodes{try.Do(ops.ReLU(in[0]))}, in[1:]...))
		})
		from = append(from, func(in G.Nodes) (*G.Node, error) {
			return from[5](append(G.Nodes{try.Do(ops.Conv2D(in[0], in[3], nil, ops.ConvParams{}))}, in[1:]...))
		})
		dy := at(0)["delta"].flat()
		y := at(0)["out"].flat()
		for k := range y {
			t := 0.
			if k == 1 {
				t = 1
			}
			if dy[k] != y[k]-t {
				return fmt.Errorf("δ of neuron %d is %v, y − t is %v", k, dy[k], y[k]-t)
			}
		}
		for step := 1; step < 7; step++ {
			g := at(step)
			r := int(math.Sqrt(float64(len(g["out"].v))))
			got, grads := lab.Backward(from[step], of(dy, n, 1), append([]*tensor.Dense{of(g["out"].flat(), 1, 1, r, r)}, []*tensor.Dense{fc, w2, w1}[:[]int{1, 1, 1, 2, 2, 2, 3}[step]]...)...)
			if try.Err() != nil {
				return try.Err()
			}
			if err := equal("y", y, floats(got)); err != nil {
				return err
			}
			if err := equal(fmt.Sprintf("%d neurons, step %d", n, step), g["delta"].flat(), floats(grads[0])); err != nil {
				return err
			}
			// The sentence about each cell ends in its delta.
			for k, v := range floats(grads[0]) {
				_, body := read("10", fmt.Sprintf("g=show&n=%d&step=%d&i=%d&j=%d", n, step, k/r, k%r))
				if want := minus(fmt.Sprintf("so δ[%d,%d] = %v.", k/r, k%r, v)); !strings.Contains(body, want) {
					return fmt.Errorf("%d neurons, step %d: the sentence lacks %q", n, step, want)
				}
			}
		}
	}
	return nil
}

func checkTraining() error {
	x, _ := pixels(firstDrawings)
	t := newTiny()
	build := func(in G.Nodes) (*G.Node, error) {
		var try ops.Try
		p := try.Do(ops.MaxPool2D(try.Do(ops.ReLU(try.Do(ops.Conv2D(in[0], in[1], in[2], ops.ConvParams{})))), ops.PoolParams{Window: ops.Both(2)}))
		return G.Mul(try.Do(G.Reshape(p, tensor.Shape{1, cells2 * filters})), in[3])
	}
	for k := range x {
		t.gradients(x[k], target(k))
		y, grads := lab.Backward(build, of([]float64{t.dy}, 1, 1), of(x[k], 1, 1, side, side), of(t.w1, filters, 1, 3, 3), of(t.b1, filters), of(t.w2, cells2*filters, 1))
		// The sums have at most 16 terms near 1: their order changes them by less than 16·36·2⁻⁵³.
		const tol = 36 * 36 * 0x1p-53
		near := func(what string, got, want []float64) error {
			for i := range got {
				if !(math.Abs(got[i]-want[i]) <= tol) {
					return fmt.Errorf("drawing %d: %s[%d] is %v, the ops give %v", k, what, i, got[i], want[i])
				}
			}
			return nil
		}
		for _, err := range []error{near("y", []float64{t.y}, floats(y)), near("dw1", t.dw1, floats(grads[1])), near("db1", t.db1, floats(grads[2])), near("dw2", t.dw2, floats(grads[3]))} {
			if err != nil {
				return err
			}
		}
	}
	_, body := read("11", "g=show&steps=150")
	if !strings.Contains(body, "For 6 of 6 drawings y has the right sign") {
		return fmt.Errorf("150 rounds do not tell the first drawings apart")
	}
	return nil
}

// TestMistakes plants mistakes in what the scenes compute with. The checks must notice each.
func TestMistakes(t *testing.T) {

	for _, m := range []struct {
		name, scenes string
		plant        func()
	}{
		{"the backward pass does not flip", "3 6 8 10", func() {
			backwardData = func(g kernel.Conv, dx, dy, w []int) { kernel.RefBackwardData(g, dx, dy, rot180(w)) }
		}},
		{"the forward pass flips", "1 2 3 5 10", func() {
			forward = func(g kernel.Conv, y, x, w []int) { kernel.RefForward(g, y, x, rot180(w)) }
		}},
		{"the weight gradient turns δ", "4", func() {
			backwardFilter = func(g kernel.Conv, dw, dy, x []int) { kernel.RefBackwardFilter(g, dw, rot180(dy), x) }
		}},
		{"Q begins one early", "6 8", func() {
			reach = func(w kernel.Window, i int) (int, int) { lo, hi := w.Reach(i); return max(0, lo-1), hi }
		}},
		{"Q ends one early", "6 8", func() {
			reach = func(w kernel.Window, i int) (int, int) { lo, hi := w.Reach(i); return lo, hi - 1 }
		}},
		{"the last of equals wins", "9", func() {
			winners = func(g kernel.Pool, win []int32, x []int) {
				g.Windows(func(y, _ int, at []int) {
					best := at[0]
					for _, k := range at {
						if x[k] >= x[best] {
							best = k
						}
					}
					win[y] = int32(best)
				})
			}
		}},
		{"the smallest wins", "9 10", func() {
			winners = func(g kernel.Pool, win []int32, x []int) {
				g.Windows(func(y, _ int, at []int) {
					best := at[0]
					for _, k := range at {
						if x[k] < x[best] {
							best = k
						}
					}
					win[y] = int32(best)
				})
			}
		}},
		{"rot180 turns nothing", "7", func() { turned = func(m exact.Matrix) exact.Matrix { return m } }},
		{"∗ does not flip", "7", func() { convolution = exact.CrossCorrelation }},
		{"⊗ flips", "7", func() { correlation = exact.Convolution }},
		{"the gradient of formulas is unflipped", "7", func() {
			backwardData = func(g kernel.Conv, dx, dy, w []int) { kernel.RefBackwardData(g, dx, dy, rot180(w)) }
		}},
	} {
		t.Run(m.name, func(t *testing.T) {
			f, d, w, r, win, eq1, eq2, turn := forward, backwardData, backwardFilter, reach, winners, correlation, convolution, turned
			defer func() {
				forward, backwardData, backwardFilter, reach, winners = f, d, w, r, win
				correlation, convolution, turned = eq1, eq2, turn
			}()
			m.plant()
			for _, id := range strings.Fields(m.scenes) {
				var err error
				func() {
					defer func() {
						if r := recover(); r != nil {
							err = fmt.Errorf("%v", r)
						}
					}()
					err = checks[id]()
				}()
				if err == nil {
					t.Errorf("scene %s: nothing notices", id)
				}
			}
		})
	}
}

// TestPredictions answers each question rightly and wrongly, by the order of its buttons.
func TestPredictions(t *testing.T) {
	option := regexp.MustCompile(`data-set="g=(\d)"`)
	for _, sc := range Scenes {
		body, _ := Render(sc.ID, nil)
		if sc.ID == "6" {
			continue // its prediction is the marks, in checkRegion
		}
		n := len(option.FindAllString(body, -1))
		right := 0
		for k := range n {
			_, answered := read(sc.ID, fmt.Sprintf("g=%d", k))
			switch {
			case strings.Contains(answered, `class="verdict">✓`):
				right++
			case !strings.Contains(answered, `class="verdict">✗ Not `):
				t.Errorf("scene %s: answer %d has no verdict", sc.ID, k)
			}
		}
		if n < 2 || right != 1 {
			t.Errorf("scene %s: %d of %d answers are right", sc.ID, right, n)
		}
	}
}

func FuzzState(f *testing.F) {
	f.Add("6?i=99&q=1-1.x/7?a=w&edge=valid/9?x=1.2/11?p=zz&steps=3")
	f.Fuzz(func(t *testing.T, address string) {
		st := Parse(address)
		for _, sc := range Scenes {
			Render(sc.ID, st)
		}
		if again := Parse(st.Address("")); again.Address("") != st.Address("") {
			t.Errorf("%q does not survive: %q, then %q", address, st.Address(""), again.Address(""))
		}
	})
}
