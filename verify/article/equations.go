package article

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
)

// A Verdict is what a computation decided about an equation.
type Verdict string

const (
	HoldsAsPrinted    Verdict = "holds as printed"
	HoldsUnderReading Verdict = "holds under the reading"
	DoesNotHold       Verdict = "does not hold"
)

// A claim says that two sides are equal on rows i0 ≤ i < i1 and columns j0 ≤ j < j1.
type claim struct {
	i0, i1, j0, j1 int
	left, right    func(i, j int) rational
}

// on is a claim about the indices from 0 on.
func on(rows, cols int, left, right func(i, j int) rational) claim {
	return claim{0, rows, 0, cols, left, right}
}

// everywhere is a claim about all indices at which anything is not zero, and some more.
func everywhere(w *world, left, right func(i, j int) rational) claim {
	return claim{-w.k1, w.H + w.k1, -w.k2, w.W + w.k2, left, right}
}

// A reading is another way to take an equation, and the claim that it then is.
type reading struct {
	words string
	claim func(w *world) claim
}

// An equation is a statement of the article that can be evaluated.
type equation struct {
	number  string
	says    string // the statement as printed
	letters string // the matrices that it is about
	claim   func(w *world) claim
	// readings are tried where the claim fails, in order; all of them are evaluated and reported.
	readings []reading
	function string // what embodies it
	// embodied runs that function on the world and returns what it got and what the equation says,
	// both exact.
	embodied func(w *world) (got, want []float64, err error)
}

// A ReadingResult says whether a reading of an equation holds.
type ReadingResult struct {
	Reading        string `json:"reading"`
	Holds          bool   `json:"holds"`
	CounterExample string `json:"counterExample,omitempty"`
}

// An Result is the decision about one equation.
type Result struct {
	Equation string  `json:"equation"`
	Says     string  `json:"says"`
	Verdict  Verdict `json:"verdict"`
	// the first under which it holds
	Reading string `json:"reading,omitempty"`
	// the smallest to the equation as printed
	CounterExample string          `json:"counterExample,omitempty"`
	Readings       []ReadingResult `json:"readings,omitempty"`
	Worlds         int             `json:"worlds"` // assignments of numbers that were evaluated
	Function       string          `json:"function"`
	// whether Function computes the equation, bit for bit
	Embodied      bool   `json:"embodied"`
	EmbodiedError string `json:"embodiedError,omitempty"`
	Test          string `json:"test"`
	// the section that shows it, from the repository's root
	Notebook string `json:"notebook"`
}

// Passed reports whether the equation holds in some reading and its function computes it.
func (r Result) Passed() bool { return r.Verdict != DoesNotHold && r.Embodied }

// Section names the notebook and the place in it.
func (r Result) Section() string {
	file, place, _ := strings.Cut(strings.TrimPrefix(r.Notebook, "notebooks/"), ".ipynb#")
	number, _, _ := strings.Cut(file, "-")
	return "notebook " + strings.TrimPrefix(number, "0") + ": " + place
}

// Equations decides every equation of the article in exact arithmetic, over all small worlds and
// then over n random ones drawn from the seed.
func Equations(seed uint64, n int) []Result {
	var all []Result
	for _, e := range equations() {
		all = append(all, e.decide(seed, n))
	}
	return all
}

// test is the name of the test that asserts an equation's row.
func (e equation) test() string { return "TestEquations/" + e.number }

// notebook is the section that shows the equation.
func (e equation) notebook() string {
	number, _, _ := strings.Cut(e.number, ",")
	if n, ok := strings.CutPrefix(number, "Eq. "); ok {
		file := "02-the-backward-pass"
		if k, err := strconv.Atoi(n); err == nil && k <= 8 {
			file = "01-cross-correlation-and-convolution"
		}
		return "notebooks/" + file + ".ipynb#eq-" + n
	}
	return "notebooks/" + map[string]string{
		"max pooling":     "03-pooling-and-activation.ipynb#max-pooling",
		"average pooling": "03-pooling-and-activation.ipynb#average-pooling",
		"L2-norm pooling": "03-pooling-and-activation.ipynb#l2-pooling",
		"ReLU":            "03-pooling-and-activation.ipynb#relu",
		"the update":      "02-the-backward-pass.ipynb#descent",
	}[number]
}

func (e equation) decide(seed uint64, n int) Result {
	res := Result{Equation: e.number, Says: e.says, Function: e.function, Test: e.test(), Notebook: e.notebook()}
	holds, counter, worlds := e.try(e.claim, seed, n)
	res.CounterExample, res.Worlds = counter, worlds
	if holds {
		res.Verdict = HoldsAsPrinted
	} else {
		res.Verdict = DoesNotHold
	}
	for _, r := range e.readings {
		ok, counter, worlds := e.try(r.claim, seed, n)
		res.Worlds += worlds
		res.Readings = append(res.Readings, ReadingResult{r.words, ok, counter})
		if ok && res.Verdict == DoesNotHold {
			res.Verdict, res.Reading = HoldsUnderReading, r.words
		}
	}
	res.Embodied = true
	r := rand.New(rand.NewPCG(seed, 2))
	for range 4 {
		w := randomWorld(r)
		got, want, err := e.embodied(w)
		if err == nil {
			err = same(got, want)
		}
		if err != nil {
			res.Embodied, res.EmbodiedError = false, fmt.Sprintf("%s: %v", w.sides(), err)
			break
		}
	}
	return res
}

func same(got, want []float64) error {
	if len(got) != len(want) {
		return fmt.Errorf("%d elements, want %d", len(got), len(want))
	}
	for i := range got {
		if got[i] != want[i] {
			return fmt.Errorf("element %d is %v, want %v", i, got[i], want[i])
		}
	}
	return nil
}

// try evaluates a claim in all small worlds and n random ones. The counter-example is the first
// found, so the smallest.
func (e equation) try(of func(w *world) claim, seed uint64, n int) (holds bool, counter string, worlds int) {
	check := func(w *world) bool {
		worlds++
		c := of(w)
		for i := c.i0; i < c.i1; i++ {
			for j := c.j0; j < c.j1; j++ {
				if l, r := c.left(i, j), c.right(i, j); l != r {
					counter = fmt.Sprintf("%s: at (%d, %d) the left side is %v, the right %v", w.describe(e.letters), i, j, l, r)
					return false
				}
			}
		}
		return true
	}
	small(e.letters, check)
	r := rand.New(rand.NewPCG(seed, 1))
	for i := 0; i < n && counter == ""; i++ {
		check(randomWorld(r))
	}
	return counter == "", counter, worlds
}

// The article's functions of a world, in dual numbers.

// forward7 is Eq. 7, x[i,j] = Σ_m Σ_n w[m,n] o[i+m, j+n] + b, with the element (a, c) of w (by w)
// or of o given an ε.
func (w *world) forward7(i, j int, o func(i, j int) dual, k func(m, n int) dual) dual {
	s := dual{v: integer(w.b)}
	for m := range w.k1 {
		for n := range w.k2 {
			s = s.Plus(k(m, n).Times(o(i+m, j+n)))
		}
	}
	return s
}

func plainOf(m matrix) func(i, j int) dual {
	return func(i, j int) dual { return dual{v: m.At(i, j)} }
}

// variable is a matrix whose element (a, c) is the variable of a derivative.
func variable(m matrix, a, c int) func(i, j int) dual {
	return func(i, j int) dual {
		d := dual{v: m.At(i, j)}
		if i == a && j == c {
			d.e = integer(1)
		}
		return d
	}
}

// activated is f(x) = x², a function whose derivative 2x is no constant.
func activated(x func(i, j int) dual) func(i, j int) dual {
	return func(i, j int) dual { d := x(i, j); return d.Times(d) }
}

// fPrime is f′(x[i,j]).
func (w *world) fPrime(i, j int) rational { return integer(2).Times(w.x.At(i, j)) }

// outputs is o = f(x) as a matrix.
func (w *world) outputs() matrix {
	o := newMatrix(w.H, w.W)
	for i, v := range w.x.V {
		o.V[i] = v * v
	}
	return o
}

// E is Eq. 9 over the outputs of Eq. 7. The targets are such that the deltas are δ: t = x − δ.
func (w *world) E(values matrix, o, k func(i, j int) dual) dual {
	var e dual
	for i := range w.P() {
		for j := range w.Q() {
			y := w.forward7(i, j, o, k)
			t := w.forward7(i, j, plainOf(values), plainOf(w.w)).v.Minus(w.delta.At(i, j))
			d := dual{v: t}.Minus(y)
			e = e.Plus(d.Times(d))
		}
	}
	half := dual{v: ratio(1, 2)}
	return half.Times(e)
}

// dEdw is ∂E/∂w[m′,n′], and dEdx is ∂E/∂x[i′,j′] through o = f(x). Both are made by dual numbers,
// from Eqs. 7, 8 and 9 alone.
func (w *world) dEdw(m, n int) rational {
	return w.E(w.o, plainOf(w.o), variable(w.w, m, n)).e
}
func (w *world) dEdx(i, j int) rational {
	return w.E(w.outputs(), activated(variable(w.x, i, j)), plainOf(w.w)).e
}

// eq13 and eq20 are what the article derives for them.
func (w *world) eq13(m, n int) rational {
	return sum(0, w.H-w.k1, 0, w.W-w.k2, func(i, j int) rational { return w.delta.At(i, j).Times(w.o.At(i+m, j+n)) })
}
func (w *world) eq20(i, j int) rational {
	return sum(0, w.k1-1, 0, w.k2-1, func(m, n int) rational {
		return w.delta.At(i-m, j-n).Times(w.w.At(m, n)).Times(w.fPrime(i, j))
	})
}

// eq7 is Eq. 7 of a matrix o.
func (w *world) eq7(i, j int) rational { return w.forward7(i, j, plainOf(w.o), plainOf(w.w)).v }

// dxdx is ∂x^{l+1}[p,q]/∂x^l[i,j]; an output that does not exist does not change.
func (w *world) dxdx(p, q, i, j int) rational {
	if !w.delta.Inside(p, q) {
		return rational{}
	}
	return w.forward7(p, q, activated(variable(w.x, i, j)), plainOf(w.w)).e
}

// rowsOf evaluates a function on an area, row by row.
func rowsOf(rows, cols int, f func(i, j int) rational) []float64 {
	var v []float64
	for i := range rows {
		for j := range cols {
			v = append(v, f(i, j).Float())
		}
	}
	return v
}

// equations are the article's, in its order.
func equations() []equation {
	plus := func(f func(i, j int) rational, b int64) func(i, j int) rational {
		return func(i, j int) rational { return f(i, j).Plus(integer(b)) }
	}
	return []equation{
		{
			number: "Eq. 1", says: "(I ⊗ K)[i,j] = Σ I[i+m, j+n] K[m,n]: each pixel of I meets the kernel's element at its distance from (i, j)", letters: "I K",
			claim: func(w *world) claim {
				I, K := w.I[0], w.K[0][0]
				return everywhere(w, func(i, j int) rational { return crossCorrelation(I, K, i, j) }, func(i, j int) rational {
					return sum(0, w.H-1, 0, w.W-1, func(a, c int) rational { return I.At(a, c).Times(K.At(a-i, c-j)) })
				})
			},
			function: "ops.Conv2D", embodied: embodiedCorrelation,
		},
		{
			number: "Eq. 2", says: "(I * K)[i,j] = Σ I[i−m, j−n] K[m,n], and so I * K = K * I", letters: "I K",
			claim: func(w *world) claim {
				I, K := w.I[0], w.K[0][0]
				return everywhere(w, func(i, j int) rational { return convolution(I, K, i, j) }, func(i, j int) rational { return convolution(K, I, i, j) })
			},
			function: "ops.Conv2D with Flip", embodied: embodiedConvolution,
		},
		{
			number: "Eq. 3", says: "Eq. 2 = Σ_{m=0}^{k₁−1} Σ_{n=0}^{k₂−1} I[i+m, j+n] K[−m,−n]", letters: "I K",
			claim: func(w *world) claim {
				I, K := w.I[0], w.K[0][0]
				return everywhere(w, func(i, j int) rational { return convolution(I, K, i, j) }, func(i, j int) rational {
					return sum(0, w.k1-1, 0, w.k2-1, func(m, n int) rational { return I.At(i+m, j+n).Times(K.At(-m, -n)) })
				})
			},
			readings: []reading{{"m runs from −(k₁−1) to 0 and n from −(k₂−1) to 0", func(w *world) claim {
				I, K := w.I[0], w.K[0][0]
				return everywhere(w, func(i, j int) rational { return convolution(I, K, i, j) }, func(i, j int) rational {
					return sum(-(w.k1 - 1), 0, -(w.k2 - 1), 0, func(m, n int) rational { return I.At(i+m, j+n).Times(K.At(-m, -n)) })
				})
			}}},
			function: "ops.Conv2D with Flip", embodied: embodiedConvolution,
		},
		{
			number: "Eq. 3, the sentence", says: "convolution is cross-correlation with a flipped kernel: I * K = I ⊗ rot180(K)", letters: "I K",
			claim: func(w *world) claim {
				I, K := w.I[0], w.K[0][0]
				return everywhere(w, func(i, j int) rational { return convolution(I, K, i, j) }, func(i, j int) rational { return crossCorrelation(I, rot180(K), i, j) })
			},
			readings: []reading{{"(I * K)[i+k₁−1, j+k₂−1] = (I ⊗ rot180(K))[i, j]; no symmetry of K is needed", func(w *world) claim {
				I, K := w.I[0], w.K[0][0]
				return everywhere(w, func(i, j int) rational { return convolution(I, K, i+w.k1-1, j+w.k2-1) }, func(i, j int) rational { return crossCorrelation(I, rot180(K), i, j) })
			}}},
			function: "ops.Conv2D with Flip", embodied: embodiedConvolution,
		},
		{
			number: "Eq. 4", says: "(I * K)[i,j] = Σ_m Σ_n Σ_c K[m,n,c] I[i+m, j+n, c] + b, one b for each filter", letters: "I K",
			claim: func(w *world) claim { return w.channels(convolution) },
			readings: []reading{
				{"* is the cross-correlation of Eq. 1", func(w *world) claim { return w.channels(crossCorrelation) }},
				{"* is Eq. 2 with rot180(K), counted from (k₁−1, k₂−1)", func(w *world) claim {
					return w.channels(func(I, K matrix, i, j int) rational { return convolution(I, rot180(K), i+w.k1-1, j+w.k2-1) })
				}},
			},
			function: "ops.Conv2D", embodied: embodiedChannels,
		},
		{
			number: "Eq. 5", says: "Eq. 4 for one channel: (I * K)[i,j] = Σ_m Σ_n K[m,n] I[i+m, j+n] + b", letters: "I K",
			claim: func(w *world) claim { return w.grey(convolution) },
			readings: []reading{
				{"* is the cross-correlation of Eq. 1", func(w *world) claim { return w.grey(crossCorrelation) }},
				{"* is Eq. 2 with rot180(K), counted from (k₁−1, k₂−1)", func(w *world) claim {
					return w.grey(func(I, K matrix, i, j int) rational { return convolution(I, rot180(K), i+w.k1-1, j+w.k2-1) })
				}},
			},
			function: "ops.Conv2D", embodied: embodiedCorrelation,
		},
		{
			number: "Eq. 6", says: "x[i,j] = (rot180(w) * o)[i,j] + b, said to be Eq. 7", letters: "o w",
			claim: func(w *world) claim {
				return on(w.P(), w.Q(), plus(func(i, j int) rational { return convolution(rot180(w.w), w.o, i, j) }, w.b), w.eq7)
			},
			readings: []reading{
				{"read at [i+k₁−1, j+k₂−1]: the \"valid\" part of the convolution, counted from 0; with zeros around o it is then true at every index", func(w *world) claim {
					return everywhere(w, plus(func(i, j int) rational { return convolution(rot180(w.w), w.o, i+w.k1-1, j+w.k2-1) }, w.b), w.eq7)
				}},
				{"* is the cross-correlation of Eq. 1", func(w *world) claim {
					return on(w.P(), w.Q(), plus(func(i, j int) rational { return crossCorrelation(w.o, rot180(w.w), i, j) }, w.b), w.eq7)
				}},
			},
			function: "ops.Conv2D with Flip and w turned", embodied: embodiedTurnedTwice,
		},
		{
			number: "Eq. 7", says: "x[i,j] = Σ_m Σ_n w[m,n] o[i+m, j+n] + b, and so x = o ⊗ w + b", letters: "o w",
			claim: func(w *world) claim {
				return everywhere(w, w.eq7, plus(func(i, j int) rational { return crossCorrelation(w.o, w.w, i, j) }, w.b))
			},
			function: "ops.Conv2D", embodied: embodiedForward,
		},
		{
			number: "Eq. 8", says: "o = f(x), with f(x) = max(0, x) = (x + |x|)/2", letters: "o",
			claim: func(w *world) claim {
				return on(w.H, w.W, func(i, j int) rational { return relu(w.o.At(i, j)) }, func(i, j int) rational {
					v := w.o.At(i, j)
					return v.Plus(rational{N: max(v.N, -v.N), D: v.D}).Times(ratio(1, 2))
				})
			},
			function: "ops.ReLU", embodied: embodiedReLU,
		},
		{
			number: "Eq. 9", says: "E = ½ Σ (t − y)² = ½ Σ t² − Σ ty + ½ Σ y²", letters: "o x",
			claim: func(w *world) claim {
				t, y := w.o, w.x
				return on(1, 1, func(int, int) rational {
					return ratio(1, 2).Times(sum(0, w.H-1, 0, w.W-1, func(i, j int) rational { d := t.At(i, j).Minus(y.At(i, j)); return d.Times(d) }))
				}, func(int, int) rational {
					dot := func(a, b matrix) rational {
						return sum(0, w.H-1, 0, w.W-1, func(i, j int) rational { return a.At(i, j).Times(b.At(i, j)) })
					}
					return ratio(1, 2).Times(dot(t, t)).Minus(dot(t, y)).Plus(ratio(1, 2).Times(dot(y, y)))
				})
			},
			function: "ops.MSE with ArticleError", embodied: embodiedError,
		},
		{
			number: "Eq. 10", says: "∂E/∂w[m′,n′] = Σ_i Σ_j δ[i,j] ∂x[i,j]/∂w[m′,n′]", letters: "o w δ",
			claim: func(w *world) claim {
				return on(w.k1, w.k2, w.dEdw, func(m, n int) rational {
					return sum(0, w.H-w.k1, 0, w.W-w.k2, func(i, j int) rational {
						return w.delta.At(i, j).Times(w.forward7(i, j, plainOf(w.o), variable(w.w, m, n)).e)
					})
				})
			},
			function: "ops.Conv2DBackwardFilter", embodied: embodiedFilter,
		},
		{
			number: "Eq. 11", says: "∂x[i,j]/∂w[m′,n′] = ∂/∂w[m′,n′] (Σ_m Σ_n w[m,n] o[i+m, j+n] + b)", letters: "o w",
			claim: func(w *world) claim {
				return w.outputsByWeights(func(i, j, m, n int) rational { return w.forward7(i, j, plainOf(w.o), variable(w.w, m, n)).e }, func(i, j, m, n int) rational {
					// the parentheses are affine in w: a difference of step 1 is the derivative
					moved := matrix{Rows: w.k1, Cols: w.k2, V: append([]int64(nil), w.w.V...)}
					moved.V[m*w.k2+n]++
					return w.forward7(i, j, plainOf(w.o), plainOf(moved)).v.Minus(w.eq7(i, j))
				})
			},
			function: "ops.Conv2DBackwardFilter", embodied: embodiedFilter,
		},
		{
			number: "Eq. 12", says: "∂x[i,j]/∂w[m′,n′] = o[i+m′, j+n′]", letters: "o w",
			claim: func(w *world) claim {
				return w.outputsByWeights(func(i, j, m, n int) rational { return w.forward7(i, j, plainOf(w.o), variable(w.w, m, n)).e },
					func(i, j, m, n int) rational { return w.o.At(i+m, j+n) })
			},
			function: "ops.Conv2DBackwardFilter", embodied: embodiedFilter,
		},
		{
			number: "Eq. 13", says: "∂E/∂w[m′,n′] = Σ_i Σ_j δ[i,j] o[i+m′, j+n′]", letters: "o w δ",
			claim:    func(w *world) claim { return on(w.k1, w.k2, w.dEdw, w.eq13) },
			function: "ops.Conv2DBackwardFilter", embodied: embodiedFilter,
		},
		{
			number: "Eq. 14", says: "Eq. 13 = (rot180(δ) * o)[m′,n′]", letters: "o δ",
			claim: func(w *world) claim {
				return on(w.k1, w.k2, w.eq13, func(m, n int) rational { return convolution(rot180(w.delta), w.o, m, n) })
			},
			readings: []reading{
				{"read at [m′+H−k₁, n′+W−k₂]: the \"valid\" part of the convolution, counted from 0", func(w *world) claim {
					return on(w.k1, w.k2, w.eq13, func(m, n int) rational { return convolution(rot180(w.delta), w.o, m+w.H-w.k1, n+w.W-w.k2) })
				}},
				{"* is the cross-correlation of Eq. 1", func(w *world) claim {
					return on(w.k1, w.k2, w.eq13, func(m, n int) rational { return crossCorrelation(w.o, rot180(w.delta), m, n) })
				}},
				{"no rotation and * is the cross-correlation of Eq. 1: o ⊗ δ", func(w *world) claim {
					return on(w.k1, w.k2, w.eq13, func(m, n int) rational { return crossCorrelation(w.o, w.delta, m, n) })
				}},
				{"o is rotated in place of δ, with the same shift", func(w *world) claim {
					return on(w.k1, w.k2, w.eq13, func(m, n int) rational { return convolution(w.delta, rot180(w.o), m+w.H-w.k1, n+w.W-w.k2) })
				}},
			},
			function: "ops.Conv2DBackwardFilter", embodied: embodiedFilter,
		},
		{
			number: "Eq. 15", says: "δ[i,j] = ∂E/∂x[i,j], x being the pre-activation: for the output layer, x − t", letters: "x δ",
			claim: func(w *world) claim {
				return on(w.P(), w.Q(), func(i, j int) rational {
					d := variable(w.x, i, j)
					var e dual // t = x − δ
					for a := range w.P() {
						for c := range w.Q() {
							diff := dual{v: w.x.At(a, c).Minus(w.delta.At(a, c))}.Minus(d(a, c))
							e = e.Plus(diff.Times(diff))
						}
					}
					return e.e.Times(ratio(1, 2))
				}, w.delta.At)
			},
			function: "ops.Conv2D: its cotangent", embodied: embodiedDelta,
		},
		{
			number: "Eq. 16", says: "∂E/∂x[i′,j′] = Σ_{(i,j) ∈ Q} δ[i,j] ∂x[i,j]/∂x[i′,j′], Q being rows i′−k₁+1 … i′ and columns j′−k₂+1 … j′ of the output", letters: "δ w x",
			claim: func(w *world) claim {
				return on(w.H, w.W, w.dEdx, func(i, j int) rational {
					return sum(max(0, i-w.k1+1), min(i, w.P()-1), max(0, j-w.k2+1), min(j, w.Q()-1), func(p, q int) rational { return w.delta.At(p, q).Times(w.dxdx(p, q, i, j)) })
				})
			},
			function: "ops.Region", embodied: embodiedRegion,
		},
		{
			number: "Eq. 17", says: "∂E/∂x[i′,j′] = Σ_m Σ_n δ[i′−m, j′−n] ∂x[i′−m, j′−n]/∂x[i′,j′], δ being 0 outside its borders", letters: "δ w x",
			claim: func(w *world) claim {
				return on(w.H, w.W, w.dEdx, func(i, j int) rational {
					return sum(0, w.k1-1, 0, w.k2-1, func(m, n int) rational { return w.delta.At(i-m, j-n).Times(w.dxdx(i-m, j-n, i, j)) })
				})
			},
			function: "ops.Conv2DBackwardData", embodied: embodiedData,
		},
		{
			number: "Eq. 18", says: "∂x[i′−m, j′−n]/∂x[i′,j′] = ∂/∂x[i′,j′] (Σ_m′ Σ_n′ w[m′,n′] f(x[i′−m+m′, j′−n+n′]) + b)", letters: "w x",
			claim: func(w *world) claim {
				return w.inputsByTaps(func(i, j, m, n int) rational { return w.dxdx(i-m, j-n, i, j) }, func(i, j, m, n int) rational {
					// f is a square: a central difference of step 1 is the derivative
					value := func(by int64) rational {
						moved := matrix{Rows: w.H, Cols: w.W, V: append([]int64(nil), w.x.V...)}
						moved.V[i*w.W+j] += by
						return w.forward7(i-m, j-n, activated(plainOf(moved)), plainOf(w.w)).v
					}
					return value(1).Minus(value(-1)).Times(ratio(1, 2))
				})
			},
			function: "ops.Conv2DBackwardData", embodied: embodiedData,
		},
		{
			number: "Eq. 19", says: "∂x[i′−m, j′−n]/∂x[i′,j′] = w[m,n] f′(x[i′,j′])", letters: "w x",
			claim: func(w *world) claim {
				return w.inputsByTaps(func(i, j, m, n int) rational { return w.dxdx(i-m, j-n, i, j) },
					func(i, j, m, n int) rational { return w.w.At(m, n).Times(w.fPrime(i, j)) })
			},
			function: "ops.Conv2DBackwardData", embodied: embodiedData,
		},
		{
			number: "Eq. 20", says: "∂E/∂x[i′,j′] = Σ_m Σ_n δ[i′−m, j′−n] w[m,n] f′(x[i′,j′]), δ being 0 outside its borders", letters: "δ w x",
			claim:    func(w *world) claim { return on(w.H, w.W, w.dEdx, w.eq20) },
			function: "ops.Conv2DBackwardData", embodied: embodiedData,
		},
		{
			number: "Eq. 21", says: "Eq. 20 = rot180{Σ_m Σ_n δ[i′+m, j′+n] w[m,n]} f′(x[i′,j′])", letters: "δ w x",
			claim: func(w *world) claim {
				// the sum as an H×W matrix, turned
				return on(w.H, w.W, w.eq20, func(i, j int) rational {
					return crossCorrelation(w.delta, w.w, w.H-1-i, w.W-1-j).Times(w.fPrime(i, j))
				})
			},
			readings: []reading{
				{"rot180 turns w alone, and the sum starts at δ[i′−k₁+1, j′−k₂+1]: Σ δ[i′−k₁+1+m, j′−k₂+1+n] rot180(w)[m,n] f′", func(w *world) claim {
					return on(w.H, w.W, w.eq20, func(i, j int) rational {
						return crossCorrelation(w.delta, rot180(w.w), i-w.k1+1, j-w.k2+1).Times(w.fPrime(i, j))
					})
				}},
				{"rot180 turns the whole sum over a turned δ: rot180{Σ rot180(δ)[i′−k₁+1+m, j′−k₂+1+n] w[m,n]} f′", func(w *world) claim {
					return on(w.H, w.W, w.eq20, func(i, j int) rational {
						return crossCorrelation(rot180(w.delta), w.w, w.H-1-i-w.k1+1, w.W-1-j-w.k2+1).Times(w.fPrime(i, j))
					})
				}},
				{"rot180 turns the whole sum, which starts at δ[i′−k₁+1, j′−k₂+1]", func(w *world) claim {
					return on(w.H, w.W, w.eq20, func(i, j int) rational {
						return crossCorrelation(w.delta, w.w, w.H-1-i-w.k1+1, w.W-1-j-w.k2+1).Times(w.fPrime(i, j))
					})
				}},
				{"rot180 turns w alone, the sum as printed", func(w *world) claim {
					return on(w.H, w.W, w.eq20, func(i, j int) rational { return crossCorrelation(w.delta, rot180(w.w), i, j).Times(w.fPrime(i, j)) })
				}},
			},
			function: "ops.Conv2DBackwardData", embodied: embodiedData,
		},
		{
			number: "Eq. 22", says: "Eq. 20 = (δ * rot180(w))[i′,j′] f′(x[i′,j′])", letters: "δ w x",
			claim: func(w *world) claim {
				return on(w.H, w.W, w.eq20, func(i, j int) rational { return convolution(w.delta, rot180(w.w), i, j).Times(w.fPrime(i, j)) })
			},
			readings: []reading{
				{"* is the cross-correlation of Eq. 1 over δ with k−1 zeros around it (\"full\"): (δ ⊗ rot180(w))[i′−k₁+1, j′−k₂+1] f′", func(w *world) claim {
					return on(w.H, w.W, w.eq20, func(i, j int) rational {
						return crossCorrelation(w.delta, rot180(w.w), i-w.k1+1, j-w.k2+1).Times(w.fPrime(i, j))
					})
				}},
				{"* is Eq. 2 and w is not turned: (δ * w)[i′, j′] f′", func(w *world) claim {
					return on(w.H, w.W, w.eq20, func(i, j int) rational { return convolution(w.delta, w.w, i, j).Times(w.fPrime(i, j)) })
				}},
				{"* is Eq. 2, read at [i′+k₁−1, j′+k₂−1]", func(w *world) claim {
					return on(w.H, w.W, w.eq20, func(i, j int) rational {
						return convolution(w.delta, rot180(w.w), i+w.k1-1, j+w.k2-1).Times(w.fPrime(i, j))
					})
				}},
				{"* is the cross-correlation of Eq. 1, at [i′, j′]", func(w *world) claim {
					return on(w.H, w.W, w.eq20, func(i, j int) rational { return crossCorrelation(w.delta, rot180(w.w), i, j).Times(w.fPrime(i, j)) })
				}},
			},
			function: "ops.Conv2DBackwardData", embodied: embodiedData,
		},
		{
			number: "max pooling", says: "the error is assigned to the winning unit, all others get 0 (N = 2, y[p,q] = max of a block)", letters: "δ X",
			claim: func(w *world) claim {
				return on(2*w.P(), 2*w.Q(), func(i, j int) rational {
					return w.pooled(variable(w.blocks, i, j), func(block []dual) dual {
						best := block[0]
						for _, d := range block[1:] {
							if best.v.Less(d.v) {
								best = d
							}
						}
						return best
					})
				}, w.routed)
			},
			function: "ops.MaxPool2D", embodied: embodiedMaxPool,
		},
		{
			number: "average pooling", says: "the error is multiplied by 1/(N×N) and assigned to the whole block (N = 2)", letters: "δ X",
			claim: func(w *world) claim {
				return on(2*w.P(), 2*w.Q(), func(i, j int) rational {
					return w.pooled(variable(w.blocks, i, j), func(block []dual) dual {
						var s dual
						for _, d := range block {
							s = s.Plus(d)
						}
						return s.Times(dual{v: ratio(1, int64(len(block)))})
					})
				}, func(i, j int) rational { return w.delta.At(i/2, j/2).Times(ratio(1, 2*2)) })
			},
			function: "ops.AvgPool2D", embodied: embodiedAvgPool,
		},
		{
			number: "L2-norm pooling", says: "y = √ Σ x², named without a derivative: ∂y/∂x = x/y (N = 2)", letters: "δ",
			claim: func(w *world) claim {
				return on(2*w.P(), 2*w.Q(), func(i, j int) rational {
					return w.pooled(variable(w.norms, i, j), norm)
				}, func(i, j int) rational {
					y := norm(blockOf(plainOf(w.norms), i/2, j/2)).v
					return w.delta.At(i/2, j/2).Times(w.norms.At(i, j)).Over(y)
				})
			},
			function: "ops.L2Pool2D", embodied: embodiedL2Pool,
		},
		{
			number: "ReLU", says: "f(x) = max(0, x): f′(x) = 1 where x > 0, and 0 elsewhere (at 0, where f has no derivative, by convention)", letters: "o",
			claim: func(w *world) claim {
				return on(w.H, w.W, func(i, j int) rational {
					x := w.o.At(i, j)
					if x.N == 0 {
						return rational{}
					}
					// no kink within ½ of an integer but 0
					return relu(x.Plus(ratio(1, 2))).Minus(relu(x.Minus(ratio(1, 2))))
				}, func(i, j int) rational {
					if (rational{}).Less(w.o.At(i, j)) {
						return integer(1)
					}
					return rational{}
				})
			},
			function: "ops.ReLU", embodied: embodiedReLUGradient,
		},
		{
			number: "the update", says: "w changed by −η ∂E/∂w lowers E wherever ∂E/∂w ≠ 0, for η small enough (1/(1 + Σ o²), summed over the windows)", letters: "o w δ",
			claim: func(w *world) claim {
				return on(1, 1, func(int, int) rational { return w.lowered() }, func(int, int) rational { return integer(1) })
			},
			function: "train.SGD by kernel.SGD", embodied: embodiedUpdate,
		},
	}
}

func relu(x rational) rational { return rational{N: max(x.N, 0), D: x.D}.Plus(rational{}) }

// channels is Eq. 4 with the operation that stands for *.
func (w *world) channels(star func(I, K matrix, i, j int) rational) claim {
	d := w.D - 1
	return on(w.P(), w.Q(), func(i, j int) rational {
		s := integer(w.bias[d])
		for c := range w.C {
			s = s.Plus(star(w.I[c], w.K[d][c], i, j))
		}
		return s
	}, func(i, j int) rational { return w.eq4(d, i, j) })
}

// eq4 is the right side of Eq. 4 for filter d.
func (w *world) eq4(d, i, j int) rational {
	return sum(0, w.k1-1, 0, w.k2-1, func(m, n int) rational {
		var s rational
		for c := range w.C {
			s = s.Plus(w.K[d][c].At(m, n).Times(w.I[c].At(i+m, j+n)))
		}
		return s
	}).Plus(integer(w.bias[d]))
}

func (w *world) grey(star func(I, K matrix, i, j int) rational) claim {
	I, K := w.I[0], w.K[0][0]
	b := integer(w.b)
	return on(w.P(), w.Q(), func(i, j int) rational { return star(I, K, i, j).Plus(b) }, func(i, j int) rational {
		return sum(0, w.k1-1, 0, w.k2-1, func(m, n int) rational { return K.At(m, n).Times(I.At(i+m, j+n)) }).Plus(b)
	})
}

// outputsByWeights is a claim about every pair of an output and a weight, laid out in blocks of
// k₁×k₂.
func (w *world) outputsByWeights(left, right func(i, j, m, n int) rational) claim {
	split := func(f func(i, j, m, n int) rational) func(a, c int) rational {
		return func(a, c int) rational { return f(a/w.k1, c/w.k2, a%w.k1, c%w.k2) }
	}
	return on(w.P()*w.k1, w.Q()*w.k2, split(left), split(right))
}

// inputsByTaps is a claim about every pair of an input pixel and a tap whose output exists.
func (w *world) inputsByTaps(left, right func(i, j, m, n int) rational) claim {
	split := func(f func(i, j, m, n int) rational) func(a, c int) rational {
		return func(a, c int) rational {
			i, j, m, n := a/w.k1, c/w.k2, a%w.k1, c%w.k2
			if !w.delta.Inside(i-m, j-n) {
				return rational{}
			}
			return f(i, j, m, n)
		}
	}
	return on(w.H*w.k1, w.W*w.k2, split(left), split(right))
}

func blockOf(x func(i, j int) dual, p, q int) []dual {
	return []dual{x(2*p, 2*q), x(2*p, 2*q+1), x(2*p+1, 2*q), x(2*p+1, 2*q+1)}
}

// pooled is the derivative of Σ δ·y, y being the pooled blocks of x.
func (w *world) pooled(x func(i, j int) dual, pool func(block []dual) dual) rational {
	var s dual
	for p := range w.P() {
		for q := range w.Q() {
			s = s.Plus(dual{v: w.delta.At(p, q)}.Times(pool(blockOf(x, p, q))))
		}
	}
	return s.e
}

func norm(block []dual) dual {
	var s dual
	for _, d := range block {
		s = s.Plus(d.Times(d))
	}
	return s.sqrt()
}

// routed gives δ to each block's winner, as the index noted in the forward pass says.
func (w *world) routed(i, j int) rational {
	p, q := i/2, j/2
	winner, at := 0, [][2]int{{2 * p, 2 * q}, {2 * p, 2*q + 1}, {2*p + 1, 2 * q}, {2*p + 1, 2*q + 1}}
	for k, a := range at {
		if w.blocks.At(at[winner][0], at[winner][1]).Less(w.blocks.At(a[0], a[1])) {
			winner = k
		}
	}
	if at[winner] != [2]int{i, j} {
		return rational{}
	}
	return w.delta.At(p, q)
}

// lowered is 1 if the update step lowers E, or leaves w where the gradient is 0.
func (w *world) lowered() rational {
	trace := sum(0, w.P()-1, 0, w.Q()-1, func(i, j int) rational {
		return sum(i, i+w.k1-1, j, j+w.k2-1, func(a, c int) rational { return w.o.At(a, c).Times(w.o.At(a, c)) })
	})
	rate := integer(1).Over(integer(1).Plus(trace))
	flat := true
	step := func(m, n int) dual {
		g := w.eq13(m, n)
		flat = flat && g.N == 0
		return dual{v: w.w.At(m, n).Minus(rate.Times(g))}
	}
	after, before := w.E(w.o, plainOf(w.o), step).v, w.E(w.o, plainOf(w.o), plainOf(w.w)).v
	if after.Less(before) || flat && after == before {
		return integer(1)
	}
	return rational{}
}
