package article

import (
	"fmt"
	"math/rand/v2"
	"strings"

	"github.com/convgrad/convgrad/internal/exact"
)

// A world is one assignment of numbers to the article's letters: two layers, the lower of which has
// the pre-activations x and the outputs o = f(x), the upper the kernel w, the bias b, and the
// deltas δ that reach it.
type world struct {
	H, W, k1, k2 int // o is H×W, w is k₁×k₂
	C, D         int // channels and filters of Eq. 4

	o, w, delta matrix
	// pre-activations of the lower layer in Eqs. 15 to 22, where o = f(x) with f(x) = x²
	x    matrix
	b    int64
	I    []matrix   // channels of Eq. 4
	K    [][]matrix // its filters
	bias []int64

	blocks matrix // 2P×2Q distinct numbers, for max pooling with N = 2
	norms  matrix // 2P×2Q, blocks whose norms are integers
}

// P and Q are the sides of the output, H−k₁+1 and W−k₂+1.
func (w *world) P() int { return w.H - w.k1 + 1 }
func (w *world) Q() int { return w.W - w.k2 + 1 }

func newWorld(h, wd, k1, k2, c, d int) *world {
	w := &world{H: h, W: wd, k1: k1, k2: k2, C: c, D: d}
	w.o, w.w, w.x = newMatrix(h, wd), newMatrix(k1, k2), newMatrix(h, wd)
	w.delta = newMatrix(w.P(), w.Q())
	w.blocks, w.norms = newMatrix(2*w.P(), 2*w.Q()), newMatrix(2*w.P(), 2*w.Q())
	for range c {
		w.I = append(w.I, newMatrix(h, wd))
	}
	for range d {
		var f []matrix
		for range c {
			f = append(f, newMatrix(k1, k2))
		}
		w.K = append(w.K, f)
	}
	w.bias = make([]int64, d)
	return w
}

// randomWorld has no two sides alike.
func randomWorld(r *rand.Rand) *world {
	for {
		h, wd, k1, k2 := 2+r.IntN(6), 2+r.IntN(6), 1+r.IntN(4), 1+r.IntN(4)
		if k1 >= h || k2 >= wd || h == wd || k1 == k2 || h-k1 == wd-k2 {
			continue
		}
		w := newWorld(h, wd, k1, k2, 3, 2)
		for _, m := range append([]matrix{w.o, w.w, w.delta, w.x}, w.I...) {
			fill(r, m)
		}
		for d, f := range w.K {
			for _, m := range f {
				fill(r, m)
			}
			w.bias[d] = r.Int64N(9) - 4
		}
		w.b = r.Int64N(9) - 4
		for i, p := range r.Perm(len(w.blocks.V)) {
			w.blocks.V[i] = int64(2 * p)
		}
		for i := range w.norms.V { // a block of ±s has the norm 2s
			row, col := i/w.norms.Cols/2, i%w.norms.Cols/2
			w.norms.V[i] = int64(1<<((row+col)%3)) * int64(1-2*r.IntN(2))
		}
		return w
	}
}

func fill(r *rand.Rand, m matrix) {
	for i := range m.V {
		m.V[i] = r.Int64N(11) - 5
	}
}

// letter is the matrix that the article calls so; I and K are the grey-scale image and kernel.
func (w *world) letter(name string) matrix {
	return map[string]matrix{"o": w.o, "w": w.w, "δ": w.delta, "x": w.x, "I": w.I[0], "K": w.K[0][0], "X": w.blocks}[name]
}

// describe writes the letters out.
func (w *world) describe(letters string) string {
	var s []string
	for _, l := range strings.Fields(letters) {
		s = append(s, l+" = "+w.letter(l).String())
	}
	return strings.Join(s, ", ")
}

// small visits worlds in order of size, each with few ones and otherwise zeros in the letters (x is
// all ones, distinct blocks as they come), until visit returns false. For a claim that is linear in
// each of its letters, one one in each letter decides a size: so the first counter-example is the
// smallest.
func small(letters string, visit func(w *world) bool) {
	names := strings.Fields(letters)
	exact.Small(func(h, wd, k1, k2 int) bool { return smallValues(h, wd, k1, k2, names, visit) })
}

func smallValues(h, wd, k1, k2 int, names []string, visit func(w *world) bool) bool {
	w := newWorld(h, wd, k1, k2, 1, 1)
	for i := range w.x.V {
		w.x.V[i] = 1
	}
	for i := range w.norms.V {
		w.norms.V[i] = 1
	}
	for i := range w.blocks.V {
		w.blocks.V[i] = int64(i)
	}
	var place func(k int) bool
	place = func(k int) bool {
		if k == len(names) {
			return visit(w)
		}
		m := w.letter(names[k])
		if names[k] == "x" || names[k] == "X" {
			return place(k + 1)
		}
		for i := range m.V {
			m.V[i] = 1
			if !place(k + 1) {
				return false
			}
			m.V[i] = 0
		}
		return true
	}
	return place(0)
}

func (w *world) sides() string {
	return fmt.Sprintf("%d×%d, kernel %d×%d", w.H, w.W, w.k1, w.k2)
}
