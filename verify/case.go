package verify

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"

	"github.com/pkg/errors"
	G "gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// A Build makes the node under test from its inputs. It may be called many times, on inputs of other shapes and types; it should return an error where they do not fit.
type Build func(in []*G.Node) (*G.Node, error)

// An Input describes an argument: its name, its shape, and how its values are drawn. The constructors are Normal, Uniform, Integers, Permutation and Labels.
type Input struct {
	Name  string
	Shape tensor.Shape
	// Draw fills v, row-major.
	Draw func(r *rand.Rand, v []float64)
	// Whole makes it a tensor of Ints without a derivative, such as class labels.
	Whole bool
	// Linear declares that the op is linear, or affine, in this input while the others are held.
	Linear bool
	// Fixed declares that nothing is to be differentiated by this input.
	Fixed bool
	// Batch declares that the first axis is a batch: the op treats its items independently.
	Batch bool

	err error // what is wrong with the arguments of the constructor
}

// Normal draws standard normal numbers.
func Normal(name string, shape ...int) Input {
	return Input{Name: name, Shape: shape, Draw: func(r *rand.Rand, v []float64) {
		for i := range v {
			v[i] = r.NormFloat64()
		}
	}}
}

// Uniform draws numbers of [lo, hi).
func Uniform(name string, lo, hi float64, shape ...int) Input {
	if !(lo < hi) || math.IsInf(hi-lo, 0) {
		return Input{Name: name, err: errors.Errorf("verify: %s: got numbers of [%v, %v), want lo < hi, both finite", name, lo, hi)}
	}
	return Input{Name: name, Shape: shape, Draw: func(r *rand.Rand, v []float64) {
		for i := range v {
			v[i] = lo + (hi-lo)*r.Float64()
		}
	}}
}

// Integers draws integers of −limit … limit, on which sums and products are exact.
func Integers(name string, limit int, shape ...int) Input {
	if limit < 1 || limit > 1<<20 {
		return Input{Name: name, err: errors.Errorf("verify: %s: got integers up to %d, want a positive limit of at most 1048576", name, limit)}
	}
	return Input{Name: name, Shape: shape, Draw: func(r *rand.Rand, v []float64) {
		for i := range v {
			v[i] = float64(r.IntN(2*limit+1) - limit)
		}
	}}
}

// Permutation draws distinct odd integers around 0: no ties, no zeros, and every two at least 2 apart, for ops with kinks such as maxima.
func Permutation(name string, shape ...int) Input {
	return Input{Name: name, Shape: shape, Draw: func(r *rand.Rand, v []float64) {
		for i, p := range r.Perm(len(v)) {
			v[i] = float64(2*p - len(v) + 1 - len(v)%2)
		}
	}}
}

// Labels draws n class labels of [0, classes): Ints, without a derivative.
func Labels(name string, classes, n int) Input {
	if classes < 1 {
		return Input{Name: name, err: errors.Errorf("verify: %s: got %d classes, want at least one class", name, classes)}
	}
	return Input{Name: name, Shape: tensor.Shape{n}, Whole: true, Fixed: true, Draw: func(r *rand.Rand, v []float64) {
		for i := range v {
			v[i] = float64(r.IntN(classes))
		}
	}}
}

// AsLinear, AsFixed and AsBatch return the input with that said of it.
func (in Input) AsLinear() Input { in.Linear = true; return in }
func (in Input) AsFixed() Input  { in.Fixed = true; return in }
func (in Input) AsBatch() Input  { in.Batch = true; return in }

// A Case is an op to check. Build and Inputs are needed; everything else sharpens the check.
type Case struct {
	Name   string
	Build  Build
	Inputs []Input
	Seed   uint64 // of values, cotangents and directions

	Reference Reference // the same function, generic in its numbers
	Other     Build     // the same function as another graph

	// Skip leaves out oracles, by the names that the rows have: the constants By….
	Skip []string
}

// TB is what Op and Test need of a *testing.T.
type TB interface {
	Helper()
	Logf(format string, args ...any)
	Errorf(format string, args ...any)
}

// Op checks the op that build makes of the inputs, and fails the test with the report if a row fails.
func Op(t TB, build Build, inputs ...Input) {
	t.Helper()
	Case{Build: build, Inputs: inputs, Seed: 1}.Test(t)
}

// Test is Check for a test.
func (c Case) Test(t TB) {
	t.Helper()
	r, err := c.Check()
	if err != nil {
		t.Errorf("%v", err)
		return
	}
	if r.Failed() {
		t.Errorf("%s", r)
		return
	}
	t.Logf("%s: %s, worst error %.2g of its bound; seed %d", r.Name, r.counts(), r.Worst(), c.Seed)
}

// Check runs every check that applies and returns the report. An op that fails is in the report; the error is for a case that cannot be run at all.
func (c Case) Check() (*Report, error) {
	if c.Build == nil {
		return nil, errors.New("verify: the case has no Build")
	}
	if len(c.Inputs) == 0 {
		return nil, errors.New("verify: the case has no inputs")
	}
	names := map[string]bool{}
	batch, side := "", 0
	for _, o := range c.Skip {
		if !slices.Contains(Oracles(), o) {
			return nil, errors.Errorf("verify: no oracle is called %q, want one of %q", o, Oracles())
		}
	}
	for i, in := range c.Inputs {
		if in.err != nil {
			return nil, in.err
		}
		if in.Name == "" {
			return nil, errors.Errorf("verify: input %d has no name: Gorgonia merges nameless inputs of one shape", i)
		}
		if names[in.Name] {
			return nil, errors.Errorf("verify: two inputs are called %q: Gorgonia would merge them", in.Name)
		}
		names[in.Name] = true
		if in.Draw == nil {
			return nil, errors.Errorf("verify: %s has no Draw", in.Name)
		}
		if in.Batch {
			if len(in.Shape) == 0 || batch != "" && in.Shape[0] != side {
				return nil, errors.Errorf("verify: %s is a batch by AsBatch and has shape %v, want a first axis, and of one length in all batches%s", in.Name, in.Shape, batch)
			}
			batch, side = fmt.Sprintf(": that of %s is %d", in.Name, in.Shape[0]), in.Shape[0]
		}
		for _, s := range in.Shape {
			if s < 1 {
				return nil, errors.Errorf("verify: %s has shape %v, want positive sides", in.Name, in.Shape)
			}
		}
	}
	if c.Name == "" {
		c.Name = "op"
	}
	c.Inputs = slices.Clone(c.Inputs)
	r := c.check(nil)
	if r.Failed() {
		r.Shrunk = c.shrink(*r.first())
	}
	return r, nil
}

// shrink makes the shapes smaller as long as a row fails, and returns the report of the smallest case, or nil if no smaller one fails.
func (c Case) shrink(row Row) *Report {
	var found *Report
	for budget, smaller := 80, true; smaller; {
		smaller = false
		for _, t := range c.candidates() {
			if budget--; budget < 0 {
				return found
			}
			r := t.check(&row)
			if f := r.first(); f != nil && f.Oracle == row.Oracle && f.Quantity == row.Quantity && (f.Mismatch == nil) == (row.Mismatch == nil) {
				c, found, smaller = t, r, true
				break
			}
		}
	}
	return found
}

// candidates are the case with one side smaller, or all sides of one length smaller together, which keeps most ops' shapes consistent: by half, or else by one.
func (c Case) candidates() []Case {
	var all []Case
	with := func(change func(input, axis, side int) int) {
		t := c
		t.Inputs = append([]Input(nil), c.Inputs...)
		changed := false
		for i := range t.Inputs {
			s := t.Inputs[i].Shape.Clone()
			for a := range s {
				if n := change(i, a, s[a]); n != s[a] && n >= 1 {
					s[a], changed = n, true
				}
			}
			t.Inputs[i].Shape = s
		}
		if changed {
			all = append(all, t)
		}
	}
	sides := map[int]bool{}
	for _, in := range c.Inputs {
		for _, s := range in.Shape {
			sides[s] = true
		}
	}
	var lengths []int
	for s := range sides {
		if s > 1 {
			lengths = append(lengths, s)
		}
	}
	slices.Sort(lengths)
	slices.Reverse(lengths)
	for _, less := range []func(int) int{func(s int) int { return (s + 1) / 2 }, func(s int) int { return s - 1 }} {
		for _, l := range lengths {
			with(func(_, _, s int) int {
				if s == l {
					return less(s)
				}
				return s
			})
		}
		for i, in := range c.Inputs {
			for a := range in.Shape {
				with(func(ii, aa, s int) int {
					if ii == i && aa == a && s > 1 {
						return less(s)
					}
					return s
				})
			}
		}
	}
	return all
}

// shapes is the shapes of the inputs, for a person.
func (c Case) shapes() string {
	s := ""
	for i, in := range c.Inputs {
		if i > 0 {
			s += ", "
		}
		s += fmt.Sprintf("%s %v", in.Name, in.Shape)
	}
	return s
}
