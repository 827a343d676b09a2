package verify_test

import (
	"encoding/json"
	"fmt"
	"hash"
	"hash/fnv"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/chewxy/hm"
	"github.com/pkg/errors"
	G "gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/convgrad/convgrad/verify"
)

// user is an op such as a user writes: y[i] = f(x₀[i], x₁[i], …), with everything about it to be
// broken.
type user struct {
	name  string
	args  int
	f     func(v []float64) float64
	do    func(in ...G.Value) (G.Value, error)             // in place of f
	wrt   func(n int) []bool                               // if not all true
	rule  func(in G.Nodes, y, dy *G.Node) (G.Nodes, error) // SymDiff
	shape func(in ...G.DimSizer) (tensor.Shape, error)     // if not the first argument's
	types func() hm.Type                                   // if not any float
	// the element type it has, if it has not both
	only  tensor.Dtype
	naive bool // takes memory to be row-major
}

func (o *user) Arity() int { return max(o.args, 1) }
func (o *user) Type() hm.Type {
	if o.types != nil {
		return o.types()
	}
	all := make([]hm.Type, o.Arity()+1)
	for i := range all {
		all[i] = hm.TypeVariable('a')
	}
	return hm.NewFnType(all...)
}
func (o *user) InferShape(in ...G.DimSizer) (tensor.Shape, error) {
	if o.shape != nil {
		return o.shape(in...)
	}
	return in[0].(tensor.Shape).Clone(), nil
}
func (o *user) ReturnsPtr() bool      { return false }
func (o *user) CallsExtern() bool     { return false }
func (o *user) OverwritesInput() int  { return -1 }
func (o *user) String() string        { return o.name }
func (o *user) WriteHash(h hash.Hash) { fmt.Fprintf(h, "verify_test.user|%s", o.name) }
func (o *user) Hashcode() uint32      { h := fnv.New32a(); o.WriteHash(h); return h.Sum32() }
func (o *user) Do(in ...G.Value) (G.Value, error) {
	if o.do != nil {
		return o.do(in...)
	}
	return o.elementwise(in...)
}

func (o *user) elementwise(in ...G.Value) (G.Value, error) {
	first := in[0].(*tensor.Dense)
	of := first.Dtype()
	if o.only != (tensor.Dtype{}) && of != o.only {
		return nil, errors.Errorf("%s: got %v, want %v", o.name, of, o.only)
	}
	y := tensor.New(tensor.Of(of), tensor.WithShape(first.Shape()...))
	v := make([]float64, len(in))
	number := func(x any) float64 {
		if f, ok := x.(float32); ok {
			return float64(f)
		}
		return x.(float64)
	}
	shape := first.Shape()
	for i := range shape.TotalSize() {
		var at []int
		for k, a := i, len(shape)-1; a >= 0; a-- {
			at, k = append([]int{k % shape[a]}, at...), k/shape[a]
		}
		for k, x := range in {
			e, err := x.(*tensor.Dense).At(at...)
			if o.naive {
				e, err = x.(*tensor.Dense).Get(i), nil
			}
			if err != nil {
				return nil, err
			}
			v[k] = number(e)
		}
		var e any = o.f(v)
		if of == tensor.Float32 {
			e = float32(o.f(v))
		}
		if err := y.SetAt(e, at...); err != nil {
			return nil, err
		}
	}
	return y, nil
}

func (o *user) DiffWRT(n int) []bool {
	if o.wrt != nil {
		return o.wrt(n)
	}
	all := make([]bool, n)
	for i := range all {
		all[i] = true
	}
	return all
}
func (o *user) SymDiff(in G.Nodes, y, dy *G.Node) (G.Nodes, error) { return o.rule(in, y, dy) }

func constants(n int) []bool { return make([]bool, n) }

// squares is x² with dx = d(x, dy).
func squares(name string, d func(x, dy float64) float64) *user {
	o := &user{name: name, f: func(v []float64) float64 { return v[0] * v[0] }}
	g := &user{name: name + "'", args: 2, wrt: constants, f: func(v []float64) float64 { return d(v[0], v[1]) }}
	o.rule = func(in G.Nodes, _, dy *G.Node) (G.Nodes, error) {
		dx, err := G.ApplyOp(g, in[0], dy)
		return G.Nodes{dx}, err
	}
	return o
}

func right(x, dy float64) float64 { return 2 * x * dy }

func with(o *user, change func(o *user)) *user { change(o); return o }

// What users' ops are told: the first sentence of the report names what is wrong, whatever it is,
// and nothing panics.
func TestWhatUsersAreTold(t *testing.T) {
	x := verify.Normal("x", 2, 3)
	one := func(o *user) verify.Build {
		return func(in []*G.Node) (*G.Node, error) { return G.ApplyOp(o, in[0]) }
	}
	remembers := func() *user {
		var last []float64
		o := squares("remembers", right)
		square := o.f
		o.f = func(v []float64) float64 { last = append(last, v[0]); return square(v) }
		g := &user{name: "remembered", wrt: constants}
		g.do = func(in ...G.Value) (G.Value, error) {
			k := len(last) - in[0].Shape().TotalSize()
			g.f = func(v []float64) float64 { k++; return 2 * last[k-1] * v[0] }
			return g.elementwise(in...)
		}
		o.rule = func(in G.Nodes, _, dy *G.Node) (G.Nodes, error) {
			dx, err := G.ApplyOp(g, dy)
			return G.Nodes{dx}, err
		}
		return o
	}
	zero := func(d *tensor.Dense) error {
		if d.Dtype() == tensor.Float32 {
			return d.SetAt(float32(0), 0, 0)
		}
		return d.SetAt(0.0, 0, 0)
	}
	writes := func(o *user, arg int) *user {
		o.do = func(in ...G.Value) (G.Value, error) {
			y, err := o.elementwise(in...)
			if err != nil {
				return nil, err
			}
			return y, zero(in[arg].(*tensor.Dense))
		}
		return o
	}
	calls, runs := 0, 0
	for name, c := range map[string]struct {
		build verify.Build
		in    verify.Input
		says  string
	}{
		"right":                       {one(squares("right", right)), x, ""},
		"float32 alone":               {one(with(squares("single", right), func(o *user) { o.only = tensor.Float32 })), x, ""},
		"float32 alone, a wrong rule": {one(with(squares("single", func(x, dy float64) float64 { return 2.01 * x * dy }), func(o *user) { o.only = tensor.Float32 })), x, "by central differences"},
		"a wrong factor":              {one(squares("thrice", func(x, dy float64) float64 { return 3 * x * dy })), x, "a constant factor of 3/2"},
		"dy left out":                 {one(squares("deaf", func(x, _ float64) float64 { return 2 * x })), x, "the rule leaves dy out"},
		"something added":             {one(squares("biased", func(x, dy float64) float64 { return 2*x*dy + 1 })), x, "1 is added to every element"},
		"not linear in dy":            {one(squares("bent", func(x, dy float64) float64 { return 2 * x * dy * math.Abs(dy) })), x, "the rule is not linear in dy"},
		"a gradient of NaN":           {one(squares("nan'", func(_, _ float64) float64 { return math.NaN() })), x, "it is NaN"},
		"a result of NaN":             {one(with(squares("nan", right), func(o *user) { o.f = func([]float64) float64 { return math.NaN() } })), x, "y[0 0] is NaN, and every input is finite"},
		"an infinite result":          {one(with(squares("inf", right), func(o *user) { o.f = func([]float64) float64 { return math.Inf(1) } })), x, "y[0 0] is +Inf"},
		"panics":                      {one(with(squares("boom", right), func(o *user) { o.f = func(v []float64) float64 { return v[7] } })), x, "y: boom: panic: runtime error: index out of range [7] with length 1 (in verify_test.TestWhatUsersAreTold"},
		"its gradient panics":         {one(squares("boom", func(_, _ float64) float64 { panic(errors.New("my own")) })), x, "gradients: boom': panic: my own"},
		"SymDiff panics":              {one(with(squares("s", right), func(o *user) { o.rule = func(in G.Nodes, _, _ *G.Node) (G.Nodes, error) { return in[5:6], nil } })), x, "gradients: panic: runtime error"},
		"SymDiff fails": {one(with(squares("s", right), func(o *user) {
			o.rule = func(G.Nodes, *G.Node, *G.Node) (G.Nodes, error) { return nil, errors.New("later") }
		})), x, "SymDiff of s: later"},
		"SymDiff returns nil": {one(with(squares("s", right), func(o *user) { o.rule = func(G.Nodes, *G.Node, *G.Node) (G.Nodes, error) { return G.Nodes{nil}, nil } })), x, "SymDiff of s returns nil for argument 0"},
		"a gradient's shape": {one(with(squares("s", right), func(o *user) {
			o.rule = func(in G.Nodes, _, dy *G.Node) (G.Nodes, error) { n, err := G.Transpose(dy); return G.Nodes{n}, err }
		})), x, "the gradient of x has shape (3, 2), the input (2, 3)"},
		"SymDiff returns two": {one(with(squares("s", right), func(o *user) {
			o.rule = func(_ G.Nodes, _, dy *G.Node) (G.Nodes, error) { return G.Nodes{dy, dy}, nil }
		})), x, "returns 2 nodes, want one for each of 1"},
		"DiffWRT is short":   {one(with(squares("s", right), func(o *user) { o.wrt = func(int) []bool { return nil } })), x, "DiffWRT(1) has 0 entries, want 1"},
		"DiffWRT is long":    {one(with(squares("s", right), func(o *user) { o.wrt = func(int) []bool { return []bool{true, true} } })), x, "DiffWRT(1) has 2 entries, want 1"},
		"DiffWRT is false":   {one(with(squares("s", right), func(o *user) { o.wrt = constants })), x, "argument 0 of s, whose DiffWRT is [false]: if that is so, say AsFixed"},
		"DiffWRT panics":     {one(with(squares("s", right), func(o *user) { o.wrt = func(int) []bool { panic("who asks") } })), x, "panic: who asks"},
		"no SymDiff":         {func(in []*G.Node) (*G.Node, error) { return G.ApplyOp(struct{ G.Op }{squares("s", right)}, in[0]) }, x, "has no SymDiff"},
		"Do fails":           {one(with(squares("s", right), func(o *user) { o.do = func(...G.Value) (G.Value, error) { return nil, errors.New("disk full") } })), x, "y: s: disk full"},
		"Do returns nothing": {one(with(squares("s", right), func(o *user) { o.do = func(...G.Value) (G.Value, error) { return nil, nil } })), x, "neither a value nor an error"},
		"Do returns another type": {one(with(squares("s", right), func(o *user) {
			o.do = func(...G.Value) (G.Value, error) {
				return tensor.New(tensor.WithShape(2, 3), tensor.Of(tensor.Float32)), nil
			}
		})), x, "Do returns float32, and Type says float64"},
		"Do returns another shape": {one(with(squares("s", right), func(o *user) {
			o.do = func(...G.Value) (G.Value, error) {
				return tensor.New(tensor.WithShape(3, 2), tensor.Of(tensor.Float64)), nil
			}
		})), x, "Do returns a value of shape (3, 2), and InferShape says (2, 3)"},
		"InferShape is wrong": {one(with(squares("s", right), func(o *user) { o.shape = func(...G.DimSizer) (tensor.Shape, error) { return tensor.Shape{3, 3}, nil } })), x, "InferShape says (3, 3)"},
		"InferShape panics":   {one(with(squares("s", right), func(o *user) { o.shape = func(...G.DimSizer) (tensor.Shape, error) { panic("shape") } })), x, "building it: panic: shape"},
		"Type does not fit":   {one(with(squares("s", right), func(o *user) { o.types = func() hm.Type { return hm.NewFnType(tensor.Int, tensor.Int) } })), x, "building it: "},
		"too many arguments":  {func(in []*G.Node) (*G.Node, error) { return G.ApplyOp(squares("s", right), in[0], in[0]) }, x, "building it: "},
		"returns its input":   {one(with(squares("same", func(_, dy float64) float64 { return dy }), func(o *user) { o.do = func(in ...G.Value) (G.Value, error) { return in[0], nil } })), x, "y is the input's own memory"},
		"writes into x":       {one(writes(squares("scribbler", right), 0)), x, "and after it 0"},
		"its gradient writes into dy": {one(with(squares("s", right), func(o *user) {
			g := writes(&user{name: "scribbler'", args: 2, wrt: constants, f: func(v []float64) float64 { return right(v[0], v[1]) }}, 1)
			o.rule = func(in G.Nodes, _, dy *G.Node) (G.Nodes, error) {
				dx, err := G.ApplyOp(g, in[0], dy)
				return G.Nodes{dx}, err
			}
		})), x, "dy[0 0] is "},
		"has state":               {one(remembers()), x, "the op keeps something of another run"},
		"differs from run to run": {one(with(squares("restless", right), func(o *user) { o.f = func(v []float64) float64 { calls++; return v[0]*v[0] + 1e-12*float64(calls) } })), x, "and run again"},
		"its gradient differs":    {one(squares("restless", func(x, dy float64) float64 { runs++; return 2 * x * dy * (1 + 1e-15*float64(runs%7)) })), x, "and run again"},
		"memory is row-major":     {one(with(squares("naive", right), func(o *user) { o.naive = true })), x, "strides are passed over"},
		"not affine":              {one(squares("square", right)), x.AsLinear(), "y is not affine in x, as AsLinear says"},
		"batch is coupled":        {func(in []*G.Node) (*G.Node, error) { return G.SoftMax(in[0], 0) }, x.AsBatch(), "strides are passed over"},
		"a leaf without a value": {func(in []*G.Node) (*G.Node, error) {
			return G.Add(in[0], G.NewMatrix(in[0].Graph(), G.Float64, G.WithShape(2, 3), G.WithName("q")))
		}, x, "q :: Matrix float64 has no value"},
		"a float64 constant": {func(in []*G.Node) (*G.Node, error) { return G.Add(in[0], G.NewConstant(1.0)) }, x, ""},
		"Draw panics":        {one(squares("s", right)), verify.Input{Name: "x", Shape: tensor.Shape{2}, Draw: func(_ *rand.Rand, v []float64) { v[2] = 1 }}, "drawing x: panic"},
	} {
		t.Run(name, func(t *testing.T) {
			told := &listener{}
			verify.Op(told, c.build, c.in)
			if r, err := (verify.Case{Build: c.build, Inputs: []verify.Input{c.in}}).Check(); err == nil {
				for _, row := range r.Rows {
					if !slices.Contains(verify.Oracles(), row.Oracle) {
						t.Errorf("Oracles does not list %q", row.Oracle)
					}
				}
			}
			if c.says == "" {
				if told.failed != "" || !strings.Contains(told.logged, "hold") {
					t.Errorf("told %q and %q", told.failed, told.logged)
				}
				return
			}
			first := strings.Split(told.failed+"\n\n", "\n")[1]
			if !strings.Contains(first, c.says) {
				t.Errorf("not told %q:\n%s", c.says, told.failed)
			}
		})
	}
}

// listener is what Op tells its test.
type listener struct{ failed, logged string }

func (l *listener) Helper()                   {}
func (l *listener) Logf(f string, a ...any)   { l.logged += fmt.Sprintf(f, a...) }
func (l *listener) Errorf(f string, a ...any) { l.failed += fmt.Sprintf(f, a...) }

// A random cotangent can weigh two elements of y alike, and then a rule that exchanges them looks
// right; the unit cotangents of the full Jacobian see it.
func TestJacobianSeesWhatOneCotangentHides(t *testing.T) {
	o := squares("exchanged", right)
	g := &user{name: "exchanged'", args: 2, wrt: constants}
	g.do = func(in ...G.Value) (G.Value, error) {
		dy := in[1].(*tensor.Dense).Clone().(*tensor.Dense)
		a, b := dy.Get(0), dy.Get(1)
		dy.Set(0, b)
		dy.Set(1, a)
		g.f = func(v []float64) float64 { return right(v[0], v[1]) }
		return g.elementwise(in[0], dy)
	}
	o.rule = func(in G.Nodes, _, dy *G.Node) (G.Nodes, error) {
		dx, err := G.ApplyOp(g, in[0], dy)
		return G.Nodes{dx}, err
	}
	hidden := 0
	for seed := range uint64(40) {
		r, err := verify.Case{Build: func(in []*G.Node) (*G.Node, error) { return G.ApplyOp(o, in[0]) }, Inputs: []verify.Input{verify.Integers("x", 9, 1, 2)}, Seed: seed, Reference: square, Fixed: true}.Check()
		if err != nil {
			t.Fatal(err)
		}
		seen := map[verify.Oracle]bool{}
		for _, row := range r.Rows {
			seen[row.Oracle] = seen[row.Oracle] || row.Verdict == verify.Fails
		}
		if !seen[verify.ByDifferences] {
			hidden++
		}
		if !seen[verify.ByJacobian] {
			t.Errorf("seed %d: not seen in the Jacobian:\n%s", seed, r)
		}
	}
	if hidden == 0 || hidden > 20 {
		t.Errorf("%d of 40 cotangents hide it, want some, and not most: they are random", hidden)
	}
}

// judged checks an op of one input and returns the rows of an oracle.
func judged(t *testing.T, o *user, oracle verify.Oracle, c verify.Case) []verify.Row {
	t.Helper()
	c.Build = func(in []*G.Node) (*G.Node, error) { return G.ApplyOp(o, in[0]) }
	for _, skip := range verify.Oracles() {
		if skip != oracle {
			c.Skip = append(c.Skip, skip)
		}
	}
	r, err := c.Check()
	if err != nil {
		t.Fatal(err)
	}
	var rows []verify.Row
	for _, row := range r.Rows {
		if row.Oracle == oracle {
			rows = append(rows, row)
		}
	}
	if len(rows) == 0 {
		t.Fatalf("%s has no row:\n%s", oracle, r)
	}
	return rows
}

// elements makes a rule of a function of all elements at once.
func elements(name string, d func(x, dy []float64) []float64) *user {
	o := squares(name, right)
	g := &user{name: name + "'", args: 2, wrt: constants}
	g.do = func(in ...G.Value) (G.Value, error) {
		x, dy := in[0].(*tensor.Dense), in[1].(*tensor.Dense)
		if x.Dtype() != tensor.Float64 {
			g.f = func(v []float64) float64 { return right(v[0], v[1]) }
			return g.elementwise(in...)
		}
		return tensor.New(tensor.WithShape(x.Shape()...), tensor.WithBacking(d(x.Data().([]float64), dy.Data().([]float64)))), nil
	}
	o.rule = func(in G.Nodes, _, dy *G.Node) (G.Nodes, error) {
		dx, err := G.ApplyOp(g, in[0], dy)
		return G.Nodes{dx}, err
	}
	return o
}

// Large inputs are differentiated along few directions, of random signs, and where one fails the
// element is named.
func TestLargeInputs(t *testing.T) {
	large := []verify.Input{verify.Normal("x", 20, 30)}
	if row := judged(t, squares("right", right), verify.ByDifferences, verify.Case{Inputs: large, Fixed: true})[0]; row.Verdict != verify.Holds || row.Compared == 0 || row.Compared > 20 {
		t.Errorf("%+v, want a few directions that hold", row)
	}
	at := func(change func(dx []float64)) *user {
		return elements("large", func(x, dy []float64) []float64 {
			dx := make([]float64, len(x))
			for i := range x {
				dx[i] = right(x[i], dy[i])
			}
			change(dx)
			return dx
		})
	}
	row := judged(t, at(func(dx []float64) { dx[min(77, len(dx)-1)] += 0.125 }), verify.ByDifferences, verify.Case{Inputs: large})[0]
	if row.Mismatch == nil || fmt.Sprint(row.Mismatch.Index) != "[2 17]" {
		t.Errorf("%v, want the element [2 17]", row)
	}
	// Along a direction of ones two errors that cancel would not show (torch#59584).
	row = judged(t, at(func(dx []float64) { dx[0], dx[len(dx)-1] = dx[0]+0.5, dx[len(dx)-1]-0.5 }), verify.ByDifferences, verify.Case{Inputs: large})[0]
	if row.Verdict != verify.Fails {
		t.Errorf("errors that cancel: %v", row)
	}
}

// What float32 may be off does not grow with an input's size as fast as the size: a thousandth is
// too much for ten thousand elements, too.
func TestTwinsOfLargeInputs(t *testing.T) {
	rough := func(factor float32) *user {
		o := squares("rough", right)
		o.do = func(in ...G.Value) (G.Value, error) {
			y, err := o.elementwise(in...)
			if err != nil || in[0].Dtype() != tensor.Float32 {
				return y, err
			}
			return tensor.Mul(y, factor)
		}
		return o
	}
	for factor, want := range map[float32]verify.Verdict{1: verify.Holds, 1.001: verify.Fails} {
		if row := judged(t, rough(factor), verify.ByTwin, verify.Case{Inputs: []verify.Input{verify.Normal("x", 100, 100)}})[0]; row.Verdict != want {
			t.Errorf("float32 is off by a factor of %v: %v", factor, row)
		}
	}
}

// Differences are extrapolated: a rule that is off by 10⁻⁹ of itself shows in a function that
// bends.
func TestDifferencesArePrecise(t *testing.T) {
	exp := func(off float64) *user {
		o := squares("exp", func(x, dy float64) float64 { return math.Exp(x) * dy * (1 + off) })
		o.f = func(v []float64) float64 { return math.Exp(v[0]) }
		return o
	}
	in := []verify.Input{verify.Uniform("x", 1, 2, 2, 3)}
	if row := judged(t, exp(0), verify.ByDifferences, verify.Case{Inputs: in})[0]; row.Verdict != verify.Holds {
		t.Error(row)
	}
	if row := judged(t, exp(1e-9), verify.ByDifferences, verify.Case{Inputs: in})[0]; row.Verdict != verify.Fails {
		t.Errorf("%+v, want an error of 1e-9 to show", row)
	}
}

// A reference that bounds its rounding allows each element its own error: a small one beside a
// large one must be precise, too.
func TestBoundsAreForEachElement(t *testing.T) {
	wide := []verify.Input{{Name: "x", Shape: tensor.Shape{1, 2}, Draw: func(_ *rand.Rand, v []float64) {
		for i := range v {
			v[i] = []float64{1.5, 1 << 30}[i%2]
		}
	}}}
	off := func(v float64) float64 {
		if math.Abs(v) < 10 {
			v *= 1 + 1e-10
		}
		return v
	}
	c := verify.Case{Inputs: wide, Reference: square}
	for name, o := range map[string]*user{
		"y":  with(squares("off", right), func(o *user) { o.f = func(v []float64) float64 { return off(v[0] * v[0]) } }),
		"dx": squares("off", func(x, dy float64) float64 { return off(right(x, dy)) }),
	} {
		failed := ""
		for _, row := range judged(t, o, verify.ByDual, c) {
			if row.Verdict == verify.Fails {
				failed += row.Quantity
			}
		}
		if failed != name {
			t.Errorf("%q fails, want %q alone", failed, name)
		}
	}
}

func square(f *verify.Field, _ [][]int, in [][]verify.Number) []verify.Number {
	var y []verify.Number
	for _, x := range in[0] {
		y = append(y, f.Mul(x, x))
	}
	return y
}

// A reference that is itself wrong is a row, whatever is wrong with it.
func TestWrongReferences(t *testing.T) {
	for name, c := range map[string]struct {
		change func(y int) int
		says   string
	}{
		"too many elements": {func(n int) int { return n + 1 }, "7"},
		"too few":           {func(n int) int { return n - 1 }, "5"},
		"a panic":           {func(n int) int { return -1 }, "panic"},
	} {
		t.Run(name, func(t *testing.T) {
			sized := func(n int) int { return c.change(n) }
			r, err := verify.Case{
				Build:     func(in []*G.Node) (*G.Node, error) { return G.ApplyOp(squares("right", right), in[0]) },
				Inputs:    []verify.Input{verify.Integers("x", 4, 2, 3)},
				Reference: resized(sized),
			}.Check()
			if err != nil {
				t.Fatal(err)
			}
			said := map[string]bool{}
			for _, row := range r.Rows {
				if row.Verdict == verify.Fails && strings.Contains(row.String(), c.says) {
					said[row.Quantity+" "+string(row.Oracle)] = true
				} else if row.Verdict == verify.Fails {
					t.Errorf("%v", row)
				}
			}
			for _, want := range []string{"y " + string(verify.ByDual), "y " + string(verify.ByExact), "dx " + string(verify.ByDual), "dx " + string(verify.ByExact)} {
				if !said[want] {
					t.Errorf("%s does not say %q:\n%s", want, c.says, r)
				}
			}
		})
	}
}

func resized(size func(int) int) verify.Reference {
	return func(f *verify.Field, shapes [][]int, in [][]verify.Number) []verify.Number {
		y := square(f, shapes, in)
		return append(y, f.Number(0))[:size(len(y))]
	}
}

// JSON has no number for NaN and infinities: they are strings, and come back.
func TestReportsWithNaN(t *testing.T) {
	r, err := verify.Case{
		Build: func(in []*G.Node) (*G.Node, error) {
			return G.ApplyOp(squares("nan'", func(_, _ float64) float64 { return math.NaN() }), in[0])
		},
		Inputs: []verify.Input{verify.Normal("x", 2, 3)},
	}.Check()
	if err != nil {
		t.Fatal(err)
	}
	b, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	var back verify.Report
	if err := json.Unmarshal(b, &back); err != nil {
		t.Fatal(err)
	}
	found := false
	for i, row := range back.Rows {
		if m := row.Mismatch; m != nil && row.Oracle == verify.ByDifferences {
			found = math.IsNaN(float64(m.Got)) && math.IsInf(float64(row.Worst), 1) && m.Want == r.Rows[i].Mismatch.Want
		}
	}
	if !found {
		t.Errorf("NaN and +Inf do not come back:\n%s", b)
	}
}
