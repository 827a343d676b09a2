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

// A side of an equation is a function of indices in a world.
type side = func(w *world, i, j int) rational

// An area is the rows i0 ≤ i < i1 and columns j0 ≤ j < j1 of a world's indices.
type area = func(w *world) (i0, i1, j0, j1 int)

// A claim says that two sides are equal on an area.
type claim struct {
	on          area
	left, right side
}

// A reading is another way to take an equation, and the claim that it then is.
type reading struct {
	words string
	claim claim
}

// An equation is a statement of the article that can be evaluated.
type equation struct {
	number  string
	says    string // the statement as printed
	letters string // the matrices that it is about
	claim   claim
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
func (e equation) try(c claim, seed uint64, n int) (holds bool, counter string, worlds int) {
	check := func(w *world) bool {
		worlds++
		i0, i1, j0, j1 := c.on(w)
		for i := i0; i < i1; i++ {
			for j := j0; j < j1; j++ {
				if l, r := c.left(w, i, j), c.right(w, i, j); l != r {
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
