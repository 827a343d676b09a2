package verify

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/pkg/errors"
	G "gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// A Build makes the node under test from its inputs. It may be called many times, on inputs of
// other shapes and types; it should return an error where they do not fit.
type Build func(in []*G.Node) (*G.Node, error)

// A Machine is a further machine that runs graphs. New is called once; the machine runs twice.
type Machine struct {
	Name string
	New  func(g *G.ExprGraph, outputs ...*G.Node) (G.VM, error)
}

// A Case is an op to check. Inputs and one of Build and Outputs are needed; everything else
// sharpens the check, or says how much to check.
type Case struct {
	Name    string
	Build   Build
	Outputs func(in []*G.Node) (G.Nodes, error) // in place of Build, for several outputs
	Inputs  []Input
	Seed    uint64 // of values, cotangents and directions

	Reference Reference // the same function, in arithmetic of the checker
	Other     Build     // the same function as another graph
	Machines  []Machine // further machines that must give the same

	// Rounding is what an algorithm may be off beyond the formula's rounding bound, as an absolute
	// error of each element of y and of each gradient. u is the unit roundoff of the element type.
	Rounding func(x [][]float64, dy []float64, u float64) (y float64, dx []float64)
	// Tolerance is added to every bound for results of an element type, relative to the largest
	// element of the quantity.
	Tolerance map[tensor.Dtype]float64

	Seeds    int           // draws of the values at the given shapes; 0 is 1
	Fixed    bool          // neither shapes nor values are varied
	Sample   int           // if not 0: look at so many random elements and directions of an input
	NoShrink bool          // report a failure as it was found
	SameBits bool          // every machine must give the bits of the ops run by hand
	Budget   time.Duration // what is left over after it is not judged; 0 is ten seconds
	Second   bool          // second derivatives must be offered
	Strict   bool          // what is not offered or not judged fails, Gorgonia's own part, too

	// Only names the oracles that are asked, Skip those that are not.
	Only, Skip []Oracle
}

// TB is what Op and Test need of a *testing.T.
type TB interface {
	Helper()
	Logf(format string, args ...any)
	Errorf(format string, args ...any)
}

// Op checks the op that build makes of the inputs, and fails the test with the report if a row
// fails, or if nothing could be judged.
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
	if !r.Passed() {
		t.Errorf("%s", r)
		return
	}
	t.Logf("%s: %s, worst error %.2g of its bound; seed %d", r.Name, r.counts(), r.Worst(), c.Seed)
}

// Check runs every check that applies and returns the report. An op that fails is in the report.
// The error is for a case that cannot be run at all. Check does not panic.
func (c Case) Check() (r *Report, err error) {
	if err := c.valid(); err != nil {
		return nil, err
	}
	if c.Name == "" {
		c.Name = "op"
	}
	c.Inputs = slices.Clone(c.Inputs)
	budget := c.Budget
	if budget == 0 {
		budget = 10 * time.Second
	}
	clock := &effort{deadline: time.Now().Add(budget)}
	if panicked := guarded(func() error { r = c.check(clock); return nil }); panicked != nil {
		return nil, errors.Wrap(panicked, "verify: the check itself failed")
	}
	return r, nil
}

// valid says what is wrong with a case that cannot be run.
func (c *Case) valid() error {
	switch {
	case c.Build == nil && c.Outputs == nil:
		return errors.New("verify: the case has no Build")
	case c.Build != nil && c.Outputs != nil:
		return errors.New("verify: the case has Build and Outputs, want one of them")
	case len(c.Inputs) == 0:
		return errors.New("verify: the case has no inputs")
	case c.Seeds < 0 || c.Sample < 0 || c.Budget < 0:
		return errors.Errorf("verify: got Seeds %d, Sample %d, Budget %v, want none below 0",
			c.Seeds, c.Sample, c.Budget)
	}
	for _, o := range append(slices.Clone(c.Skip), c.Only...) {
		if !slices.Contains(Oracles(), o) {
			return errors.Errorf("verify: no oracle is called %q, want one of %q", o, Oracles())
		}
	}
	for _, m := range c.Machines {
		if m.New == nil || m.Name == "" {
			return errors.Errorf("verify: machine %q has no New, or no name", m.Name)
		}
	}
	names := map[string]bool{}
	batch, side := "", 0
	for i, in := range c.Inputs {
		switch {
		case in.err != nil:
			return in.err
		case in.Name == "":
			return errors.Errorf("verify: input %d has no name: "+
				"Gorgonia merges nameless inputs of one shape", i)
		case names[in.Name]:
			return errors.Errorf("verify: two inputs are called %q: Gorgonia would merge them",
				in.Name)
		case in.Draw == nil && in.kind == drawn:
			return errors.Errorf("verify: %s has no Draw", in.Name)
		case !in.known():
			return errors.Errorf("verify: %s has type %v, want a float type's zero, "+
				"Int, Int32, Int64 or Bool", in.Name, in.Type)
		}
		names[in.Name] = true
		if in.Batch {
			if len(in.Shape) == 0 || batch != "" && in.Shape[0] != side {
				return errors.Errorf("verify: %s is a batch by AsBatch and has shape %v, want a "+
					"first axis, and of one length in all batches%s", in.Name, in.Shape, batch)
			}
			batch = fmt.Sprintf(": that of %s is %d", in.Name, in.Shape[0])
			side = in.Shape[0]
		}
		elements := 1
		for _, s := range in.Shape {
			if s < 1 {
				return errors.Errorf("verify: %s has shape %v, want positive sides",
					in.Name, in.Shape)
			}
			if elements *= s; elements > 1<<26 || s > 1<<26 {
				return errors.Errorf("verify: %s has shape %v, want at most %d elements",
					in.Name, in.Shape, 1<<26)
			}
		}
	}
	return nil
}

// shapes is the shapes of the inputs, for a person.
func (c *Case) shapes() string {
	var s []string
	for _, in := range c.Inputs {
		s = append(s, fmt.Sprintf("%s %v", in.Name, in.Shape))
	}
	return strings.Join(s, ", ")
}

// nodes calls Build or Outputs.
func (c *Case) nodes(in []*G.Node) (G.Nodes, error) {
	if c.Outputs != nil {
		return c.Outputs(in)
	}
	y, err := c.Build(in)
	return G.Nodes{y}, err
}

// An Input describes an argument: its name, its shape, and how its values are drawn. The
// constructors are Normal, Uniform, Integers, Permutation, Labels and Bools.
type Input struct {
	Name  string
	Shape tensor.Shape
	// Draw fills v, row-major. A nil Draw is that of the constructor.
	Draw func(r *rand.Rand, v []float64)
	// Type is Int, Int32, Int64 or Bool for an input without a derivative, such as class labels.
	// The zero Type stands for the float types.
	Type tensor.Dtype
	// Linear declares that the op is linear, or affine, in this input while the others are held.
	Linear bool
	// Fixed declares that nothing is to be differentiated by this input.
	Fixed bool
	// Batch declares that the first axis is a batch: the op treats its items independently.
	Batch bool

	kind    kind
	lo, hi  float64 // of uniform numbers and integers
	classes int     // of labels
	ignored *int    // a label beside the classes
	err     error   // what is wrong with the arguments of the constructor
}

// A kind says how values are drawn if there is no Draw.
type kind int

const (
	drawn       kind = iota // by Draw
	normal                  // any real numbers
	uniform                 // of [lo, hi)
	integral                // of [lo, hi]
	permutation             // distinct odd integers
	labels                  // of [0, classes), or ignored
)

// Normal draws standard normal numbers. They stand for all real numbers: unless the case is fixed,
// the op is also checked at zeros, at integers with ties and at large numbers.
func Normal(name string, shape ...int) Input {
	return Input{Name: name, Shape: shape, kind: normal}
}

// Uniform draws numbers of [lo, hi).
func Uniform(name string, lo, hi float64, shape ...int) Input {
	if !(lo < hi) || math.IsInf(hi-lo, 0) {
		return Input{Name: name, err: errors.Errorf(
			"verify: %s: got numbers of [%v, %v), want lo < hi, both finite", name, lo, hi)}
	}
	return Input{Name: name, Shape: shape, kind: uniform, lo: lo, hi: hi}
}

// Integers draws integers of −limit … limit, on which sums and products are exact.
func Integers(name string, limit int, shape ...int) Input {
	if limit < 1 || limit > 1<<20 {
		return Input{Name: name, err: errors.Errorf("verify: %s: got integers up to %d, "+
			"want a positive limit of at most 1048576", name, limit)}
	}
	l := float64(limit)
	return Input{Name: name, Shape: shape, kind: integral, lo: -l, hi: l}
}

// Permutation draws distinct odd integers around 0: no ties, no zeros, and every two at least 2
// apart, for ops with kinks such as maxima.
func Permutation(name string, shape ...int) Input {
	return Input{Name: name, Shape: shape, kind: permutation}
}

// Labels draws n class labels of [0, classes): Ints, without a derivative.
func Labels(name string, classes, n int) Input {
	if classes < 1 {
		return Input{Name: name, err: errors.Errorf(
			"verify: %s: got %d classes, want at least one class", name, classes)}
	}
	return Input{Name: name, Shape: tensor.Shape{n}, Type: tensor.Int, Fixed: true,
		kind: labels, classes: classes}
}

// Bools draws truth values, without a derivative.
func Bools(name string, shape ...int) Input {
	return Input{Name: name, Shape: shape, Type: tensor.Bool, Fixed: true, kind: labels, classes: 2}
}

// AsLinear, AsFixed and AsBatch return the input with that said of it.
func (in Input) AsLinear() Input { in.Linear = true; return in }
func (in Input) AsFixed() Input  { in.Fixed = true; return in }
func (in Input) AsBatch() Input  { in.Batch = true; return in }

// AsType returns the input with Int, Int32, Int64 or Bool for elements, and no derivative.
func (in Input) AsType(t tensor.Dtype) Input { in.Type, in.Fixed = t, true; return in }

// Ignoring returns labels of which about one in four is the given one, such as −100.
func (in Input) Ignoring(label int) Input { in.ignored = &label; return in }

// whole reports whether the input has no float type.
func (in *Input) whole() bool { return in.Type != tensor.Dtype{} }

// active reports whether the op is differentiated by the input.
func (in *Input) active() bool { return !in.Fixed && !in.whole() }

func (in *Input) known() bool {
	switch in.Type {
	case tensor.Dtype{}, tensor.Int, tensor.Int32, tensor.Int64, tensor.Bool:
		return true
	}
	return false
}

// dtype is the element type of the input in a graph of floats of a type.
func (in *Input) dtype(of tensor.Dtype) tensor.Dtype {
	if in.whole() {
		return in.Type
	}
	return of
}

// wide reports whether the input stands for numbers of any size.
func (in *Input) wide() bool {
	return in.Draw == nil && (in.kind == normal || in.kind == uniform && in.lo == -in.hi)
}

// A mood is a way of drawing that is not the input's own.
type mood int

const (
	asIs   mood = iota
	ties        // few different numbers, small integers and zeros among them
	large       // a hundred times as large
	huge        // of 10³ to 10⁵
	zeroed      // zeros of both signs, or many at the lower end of the range
	spread      // numbers of all sizes from ⅛ to 16
)

func (m mood) String() string {
	return [...]string{"other values", "values with ties", "values × 100", "values up to 10⁵", "zeros and ends",
		"values of all sizes"}[m]
}

// changes reports whether the mood draws the input otherwise.
func (m mood) changes(in *Input) bool {
	switch m {
	case asIs:
		return false
	case ties:
		return in.Draw == nil && (in.kind == normal || in.kind == uniform || in.kind == integral)
	case zeroed:
		return in.active() && (in.wide() || in.Draw == nil && in.kind == uniform)
	}
	return in.wide() && in.active()
}

// draw fills v.
func (in *Input) draw(r *rand.Rand, v []float64, m mood) {
	if in.Draw != nil {
		in.Draw(r, v)
		return
	}
	if !m.changes(in) {
		m = asIs
	}
	of := func() float64 { return in.lo + (in.hi-in.lo)*r.Float64() } // uniform
	switch {
	case m == ties && in.kind == integral:
		most := min(in.hi, 2)
		of = func() float64 { return float64(r.IntN(2*int(most)+1)) - most }
	case m == ties && !in.wide(): // one of the quarters of the range
		of = func() float64 { return in.lo + (in.hi-in.lo)*(0.125+0.25*float64(r.IntN(4))) }
	case m == ties:
		of = func() float64 { return signed(r, float64(r.IntN(5)-2)) }
	case m == zeroed && !in.wide():
		of = func() float64 { return in.lo + (in.hi-in.lo)*r.Float64()*float64(r.IntN(2)) }
	case m == zeroed:
		of = func() float64 { return signed(r, 0) }
	case m == large:
		of = func() float64 { return 100 * r.NormFloat64() }
	case m == huge:
		of = func() float64 { return math.Copysign(math.Pow(10, 3+2*r.Float64()), r.NormFloat64()) }
	case m == spread:
		of = func() float64 { return math.Copysign(math.Exp2(7*r.Float64()-3), r.NormFloat64()) }
	case in.kind == normal:
		of = r.NormFloat64
	case in.kind == integral:
		of = func() float64 { return float64(r.IntN(int(in.hi-in.lo)+1)) + in.lo }
	case in.kind == permutation:
		next, all := 0, r.Perm(len(v))
		of = func() float64 { next++; return float64(2*all[next-1] - len(v) + 1 - len(v)%2) }
	case in.kind == labels:
		of = func() float64 {
			if l := float64(r.IntN(in.classes)); in.ignored == nil || r.IntN(4) > 0 {
				return l
			}
			return float64(*in.ignored)
		}
	}
	for i := range v {
		v[i] = of()
	}
}

// signed gives a zero either sign.
func signed(r *rand.Rand, v float64) float64 {
	if v == 0 {
		return math.Copysign(0, r.NormFloat64())
	}
	return v
}
