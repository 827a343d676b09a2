package verify

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"

	"github.com/pkg/errors"
	"gonum.org/v1/gonum/num/dual"
	G "gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// The oracles, as the rows name them.
const (
	ByRunning      = "running it"
	ByDifferences  = "central differences"
	ByStepOne      = "differences with step 1"
	ByAdjoint      = "the adjoint identity"
	ByDual         = "dual numbers"
	ByExact        = "exact arithmetic"
	ByOther        = "another graph"
	ByTape         = "Grad under TapeMachine"
	ByDoDiff       = "DoDiff"
	ByLisp         = "LispMachine"
	ByAccumulation = "a second consumer, TapeMachine"
	ByLispAccumul  = "a second consumer, LispMachine"
	ByZero         = "a zero cotangent"
	ByUnmodified   = "inputs unmodified"
	ByTwice        = "running it twice"
	ByPrealloc     = "UsePreallocDo into dirty memory"
	BySlices       = "sliced inputs"
	ByTransposes   = "transposed inputs"
	ByColumnMajor  = "column-major inputs"
	ByBatch        = "its samples one by one"
	ByTwin         = "its float64 twin"
	BySecond       = "second derivatives"
	ByJacobian     = "the full Jacobian"
	ByInterleaving = "another run between forward and backward"
	ByInPlace      = "a consumer that works in place"
)

// Oracles lists the names of all oracles, in the order of the rows.
func Oracles() []string {
	return []string{ByRunning, ByUnmodified, ByTwice, ByExact, ByDual, ByStepOne, ByAdjoint, ByDifferences, ByJacobian, ByOther, ByZero, ByDoDiff, ByPrealloc, ByTape, ByAccumulation, ByLisp,
		ByLispAccumul, ByInterleaving, ByInPlace, BySlices, ByTransposes, ByColumnMajor, ByBatch, ByTwin, BySecond}
}

// Unit roundoffs.
const (
	u64 = 1.0 / (1 << 53)
	u32 = 1.0 / (1 << 24)
)

const (
	elementwise = 160  // inputs of up to so many elements are differentiated element by element
	directions  = 8    // and larger ones along so many random directions of signs
	slow        = 4096 // where a direction fails, up to so many elements are looked at one by one, to name the element
	whole       = 1024 // Jacobians of up to so many elements are compared whole
)

// errInexact says that a reference has no exact form on these numbers.
var errInexact = errors.New("inexact")

// A checker is one run of all checks.
type checker struct {
	c      *Case
	r      *rand.Rand
	of     tensor.Dtype // float64, or float32 for an op that has no other
	u      float64      // its unit roundoff
	rows   []Row
	x      [][]float64
	dy     []float64
	whole  bool // all inputs and dy are small integers
	n      int  // elements of all inputs
	fwd    *world
	base   outcome // y and the gradients by SymDiff, run by hand in float64
	failed bool
	wrong  []string // what is seen to be wrong with the gradient of an input whatever an oracle says
	only   *Row     // when shrinking: the row to reproduce
}

func (c Case) check(only *Row) *Report {
	k := &checker{c: &c, only: only, of: tensor.Float64, u: u64, r: rand.New(rand.NewPCG(c.Seed, 0x5eed))}
	k.run()
	return &Report{Name: c.Name, Seed: c.Seed, Inputs: c.shapes(), Rows: k.rows}
}

// wants reports whether rows of an oracle are asked for.
func (k *checker) wants(oracle string) bool {
	return (k.only == nil || k.only.Oracle == oracle) && !slices.Contains(k.c.Skip, oracle)
}

func (k *checker) add(r Row) {
	if r.Verdict == Fails {
		k.failed = true
	}
	k.rows = append(k.rows, r)
}

func (k *checker) note(quantity, oracle string, v Verdict, err error) {
	k.add(Row{Quantity: quantity, Oracle: oracle, Verdict: v, Note: err.Error()})
}

func (k *checker) d(i int) string { return "d" + k.c.Inputs[i].Name }

// draw fills the inputs with numbers of 12 bits or, of integers, of 20: float32 represents them and also what differences add to them, so that both element types see the same numbers.
func (k *checker) draw() (x [][]float64, err error) {
	for _, in := range k.c.Inputs {
		v := make([]float64, in.Shape.TotalSize())
		err := guarded(func() error { in.Draw(k.r, v); return nil })
		if err != nil {
			return nil, errors.Wrapf(err, "drawing %s", in.Name)
		}
		for i := range v {
			if v[i] != math.Trunc(v[i]) || math.Abs(v[i]) >= 1<<20 {
				fraction, exponent := math.Frexp(v[i])
				v[i] = math.Ldexp(math.RoundToEven(math.Ldexp(fraction, 12)), exponent-12)
			}
		}
		x = append(x, v)
	}
	return x, nil
}

// nowhere is the first element that is NaN or infinite, and −1 if none is.
func nowhere(v []float64) int {
	return slices.IndexFunc(v, func(x float64) bool { return math.IsNaN(x) || math.IsInf(x, 0) })
}

func (k *checker) drawCotangent(n int) {
	k.dy = make([]float64, n)
	for i := range k.dy {
		if k.dy[i] = float64(float32(k.r.NormFloat64())); k.whole {
			k.dy[i] = float64(k.r.IntN(4)+1) * float64(2*k.r.IntN(2)-1)
		}
	}
}

func (k *checker) run() {
	var err error
	if k.x, err = k.draw(); err != nil {
		k.note("y", ByRunning, Fails, err)
		return
	}
	k.whole = true
	finite := true
	for _, x := range k.x {
		k.n += len(x)
		finite = finite && nowhere(x) < 0
		for _, v := range x {
			k.whole = k.whole && v == math.Trunc(v) && math.Abs(v) < 1<<20
		}
	}
	start := func(of tensor.Dtype) (err error) {
		if k.fwd, err = k.c.world(of); err != nil {
			return errors.Wrap(err, "building it")
		}
		k.base.y, err = k.fwd.forward(k.x)
		return err
	}
	if err := start(tensor.Float64); err != nil {
		if broken := (flaw{}); errors.As(err, &broken) || start(tensor.Float32) != nil {
			k.note("y", ByRunning, Fails, err)
			return
		}
		k.of, k.u, k.whole = tensor.Float32, u32, false // it has float32 alone
		if k.wants(ByTwin) {
			k.note("y", ByTwin, Skipped, errors.Wrap(err, "not offered: float64"))
		}
	}
	if i := nowhere(k.base.y); i >= 0 && finite {
		k.note("y", ByRunning, Fails, errors.Errorf("y%v is %v, and every input is finite: nothing can be compared there; let the inputs be drawn where the op is defined", multiIndex(i, k.fwd.shape), k.base.y[i]))
		return
	}
	y, err := k.fwd.forward(k.x)
	if err != nil {
		k.note("y", ByTwice, Fails, err)
		return
	}
	if r := compare("y", ByTwice, k.fwd.shape, y, k.base.y, nil); r.Verdict == Fails {
		k.add(r)
		return
	}
	k.drawCotangent(len(k.base.y))
	if len(k.fwd.wrt()) == 0 {
		k.repeats(nil)
		k.values()
		k.unary(nil)
		return
	}
	d, err := k.derived()
	if err == nil {
		leaves := d.leaves(k.x)
		y := k.base.y
		if k.base, err = d.at(leaves, k.dy, false); err == nil && !same(y, k.base.y) {
			err = errors.New("y changes once its gradient is in the graph")
		}
	}
	if err == nil {
		err = k.responds(d)
	}
	if err != nil {
		k.base.dx = nil
		k.note("gradients", ByRunning, Fails, err)
		return
	}
	k.repeats(d)
	k.values()
	k.gradients()
	k.jacobian(d)
	k.ways()
	k.interleaved()
	k.unary(d)
	if k.wants(BySecond) {
		k.second()
	}
}

// responds looks at what the rule makes of other cotangents: it must be linear in them.
func (k *checker) responds(d *derivation) error {
	dy := make([]float64, len(k.dy))
	none, err := d.at(d.leaves(k.x), dy, false)
	if err != nil {
		return err
	}
	for i, v := range k.dy {
		dy[i] = 2 * v
	}
	double, err := d.at(d.leaves(k.x), dy, false)
	if err != nil {
		return err
	}
	k.wrong = make([]string, len(k.x))
	for i, dx := range k.base.dx {
		if dx == nil || nowhere(dx) >= 0 {
			continue
		}
		bound := k.scaled(dx, 8*k.u)
		if r := compare("", "", []int{len(dx)}, double.dx[i], twice(dx), twice(bound)); r.Verdict == Fails {
			k.wrong[i] = "the rule is not linear in dy"
		}
		if r := compare("", "", []int{len(dx)}, none.dx[i], make([]float64, len(dx)), nil); r.Verdict == Fails && same(none.dx[i], dx) {
			k.wrong[i] = ignoresCotangent
		}
	}
	return nil
}

// derived is a new graph with its gradients.
func (k *checker) derived() (*derivation, error) {
	w, err := k.c.world(k.of)
	if err != nil {
		return nil, err
	}
	return w.derive()
}

// outcome runs everything by hand at given values of the inputs: d, or if it is nil, for an op without gradients, the forward pass.
func (k *checker) outcome(w *world, d *derivation, leaves values) (outcome, error) {
	if d != nil {
		return d.at(leaves, k.dy, false)
	}
	if err := w.evaluate(order(w.g, w.y), leaves, false); err != nil {
		return outcome{}, err
	}
	y, err := floats(leaves[w.y])
	return outcome{y: y}, err
}

// anew is outcome in a new graph, of inputs that feed fills.
func (k *checker) anew(gradients bool, feed func(w *world) (values, error)) (w *world, leaves values, o outcome, err error) {
	if w, err = k.c.world(k.of); err != nil {
		return w, nil, o, err
	}
	var d *derivation
	if gradients {
		if d, err = w.derive(); err != nil {
			return w, nil, o, err
		}
	}
	if leaves, err = feed(w); err != nil {
		return w, nil, o, err
	}
	o, err = k.outcome(w, d, leaves)
	if d != nil {
		w.dy = d.dy
	}
	return w, leaves, o, err
}

// equal wants the bits of the first run.
func (k *checker) equal(oracle string, o outcome, err error, say func(r *Row)) {
	if err != nil {
		k.note("y", oracle, Fails, err)
		return
	}
	add := func(quantity string, shape []int, got, want []float64) {
		r := compare(quantity, oracle, shape, got, want, nil)
		if r.Mismatch != nil && say != nil {
			say(&r)
		}
		k.add(r)
	}
	add("y", k.fwd.shape, o.y, k.base.y)
	for i, dx := range o.dx {
		if dx != nil {
			add(k.d(i), k.c.Inputs[i].Shape, dx, k.base.dx[i])
		}
	}
}

// repeats runs it again: the same bits, and inputs and cotangent as they were.
func (k *checker) repeats(d *derivation) {
	w, leaves, o, err := k.anew(d != nil, func(w *world) (values, error) { return w.leaves(k.x), nil })
	if k.wants(ByUnmodified) && err == nil {
		unmodified := func(name string, n *G.Node, shape []int, before []float64) {
			after, err := floats(leaves[n])
			if err != nil {
				k.note(name, ByUnmodified, Fails, err)
				return
			}
			k.add(compare(name, ByUnmodified, shape, after, before, nil))
		}
		for i, n := range w.in {
			unmodified(k.c.Inputs[i].Name, n, k.c.Inputs[i].Shape, k.x[i])
		}
		if w.dy != nil {
			unmodified("dy", w.dy, k.fwd.shape, k.dy)
		}
	}
	if k.wants(ByTwice) {
		k.equal(ByTwice, o, err, nil)
	}
}

// scaled is the bound for results that two computations of the same formula reach on different ways, where no reference bounds them: a sum of n terms errs by 8·√n·u of its terms but with a probability of
// 2n·exp(−8²/2) (Higham and Mary, A New Approach to Probabilistic Rounding Error Analysis, 2019), the largest element stands for the terms, and u has the factor 8 from the callers; and 64 roundings more.
func (k *checker) scaled(v []float64, u float64) []float64 {
	size := 0.0
	for _, x := range v {
		size = max(size, math.Abs(x))
	}
	b := make([]float64, len(v))
	for i := range b {
		b[i] = u * (math.Sqrt(float64(k.n)) + 64) * size
	}
	return b
}

func same(a, b []float64) bool {
	return len(a) == len(b) && compare("", "", []int{len(a)}, a, b, nil).Verdict == Holds
}

// values compares y with the references and the other graph.
func (k *checker) values() {
	ref := k.c.Reference
	bound := k.scaled(k.base.y, 8*k.u)
	if ref.Bound != nil {
		if b := k.boundsOfY(k.u); b != nil {
			bound = b
		}
	}
	if ref.Dual != nil && k.wants(ByDual) {
		err := guarded(func() error {
			y := ref.Dual(dualField{}, k.shapes(), lift(k.x, -1, nil, func(v, e float64) dual.Number { return dual.Number{Real: v, Emag: e} }))
			want := make([]float64, len(y))
			for i := range y {
				want[i] = y[i].Real
			}
			k.add(compare("y", ByDual, k.fwd.shape, k.base.y, want, bound))
			return nil
		})
		if err != nil {
			k.note("y", ByDual, Fails, errors.Wrap(err, "the reference"))
		}
	}
	if ref.Exact != nil && k.whole && k.wants(ByExact) {
		y, err := k.exact(-1, nil)
		switch {
		case err == errInexact:
		case err != nil:
			k.note("y", ByExact, Fails, errors.Wrap(err, "the reference"))
		default:
			want, all := make([]float64, len(y)), true
			for i := range y {
				exact := false
				want[i], exact = y[i].V.Float64()
				all = all && exact
			}
			if all { // a quotient such as ⅓ is no float64, and equality with it no demand
				k.add(compare("y", ByExact, k.fwd.shape, k.base.y, want, nil))
			}
		}
	}
	if k.c.Other != nil && k.wants(ByOther) {
		w, err := k.c.worldOf(k.c.Other, k.of)
		var y []float64
		if err == nil {
			y, err = w.forward(k.x)
		}
		if err != nil {
			k.note("y", ByOther, Fails, errors.Wrap(err, "the other graph"))
			return
		}
		k.add(compare("y", ByOther, k.fwd.shape, k.base.y, y, twice(bound)))
	}
}

func twice(b []float64) []float64 {
	t := make([]float64, len(b))
	for i, v := range b {
		t[i] = 2 * v
	}
	return t
}

func (k *checker) shapes() [][]int {
	var all [][]int
	for _, in := range k.c.Inputs {
		all = append(all, append([]int(nil), in.Shape...))
	}
	return all
}

// lift makes dual numbers of the inputs, with the derivative along direction v of input i.
func lift[T any](x [][]float64, i int, v []float64, of func(v, e float64) T) [][]T {
	all := make([][]T, len(x))
	for n := range x {
		all[n] = make([]T, len(x[n]))
		for e := range x[n] {
			d := 0.0
			if n == i && v != nil {
				d = v[e]
			}
			all[n][e] = of(x[n][e], d)
		}
	}
	return all
}

func (k *checker) exact(i int, v []float64) (y []ExactDual, err error) {
	inexact := false
	f := rationals{&inexact}
	err = guarded(func() error {
		y = k.c.Reference.Exact(over[rational]{f}, k.shapes(), lift(k.x, i, v, func(v, e float64) ExactDual { return ExactDual{f.Number(v), f.Number(e)} }))
		return nil
	})
	if err == nil && inexact {
		err = errInexact
	}
	return y, err
}

func (k *checker) bounds(u float64, i int, v []float64) (y []BoundDual, err error) {
	f := bounds{u}
	err = guarded(func() error {
		y = k.c.Reference.Bound(over[Bound]{f}, k.shapes(), lift(k.x, i, v, func(v, e float64) BoundDual { return BoundDual{f.Number(v), f.Number(e)} }))
		return nil
	})
	return y, err
}

// boundsOfY is the running-error bound of each element of y, or nil where the reference has none. The factor 4 is for an op that computes the same formula in another way of that length.
func (k *checker) boundsOfY(u float64) []float64 {
	y, err := k.bounds(u, -1, nil)
	if err != nil || len(y) != len(k.base.y) {
		return nil
	}
	b := make([]float64, len(y))
	for i := range y {
		if b[i] = 4 * (bounds{u}).errorOf(y[i].V); math.IsInf(b[i], 0) || math.IsNaN(b[i]) {
			return nil
		}
	}
	return b
}

// boundAlong is the running-error bound of ⟨dy, y'⟩ along v, or NaN.
func (k *checker) boundAlong(u float64, i int, v []float64) float64 {
	if k.c.Reference.Bound == nil {
		return math.NaN()
	}
	y, err := k.bounds(u, i, v)
	if err != nil || len(y) != len(k.dy) {
		return math.NaN()
	}
	f := bounds{u}
	s := f.Number(0)
	for e := range y {
		s = f.Add(s, f.Mul(f.Number(k.dy[e]), y[e].D))
	}
	if b := 4 * f.errorOf(s); !math.IsInf(b, 0) {
		return b
	}
	return math.NaN()
}

// An oracle gives the derivative of Σ y ⊙ dy along a direction of an input, with a bound on the difference that rounding, here and in the op, can make.
type oracle struct {
	name  string
	along func(i int, v []float64) (d, bound float64, err error) // the error is errKink where the function has no derivative that differences could find
}

const ignoresCotangent = "the rule leaves dy out"

// errKink says that the function is not smooth within the smallest differences.
var errKink = errors.New("not differentiable there")

// judge compares the gradient of input i with an oracle: element by element, or along random directions of signs. A direction that fails is followed by the elements, so that the report can name one.
func (k *checker) judge(o oracle, i int, all [][]float64) {
	got, shape := all[i], []int(k.c.Inputs[i].Shape)
	if !k.wants(o.name) {
		return
	}
	n := len(got)
	if n > elementwise {
		r, err := k.along(o, i, got, directions, nil, func(int) []float64 { return signs(k.r, n) })
		if err == errInexact {
			return
		}
		if err != nil {
			k.note(k.d(i), o.name, Fails, err)
			return
		}
		if r.Verdict != Fails || n > slow {
			k.add(r)
			return
		}
	}
	r, err := k.along(o, i, got, n, shape, func(e int) []float64 { v := make([]float64, n); v[e] = 1; return v })
	switch {
	case err == errInexact:
	case err != nil:
		k.note(k.d(i), o.name, Fails, err)
	default:
		k.add(r)
	}
}

func signs(r *rand.Rand, n int) []float64 {
	v := make([]float64, n)
	for i := range v {
		v[i] = float64(2*r.IntN(2) - 1)
	}
	return v
}

// along compares ⟨gradient, v⟩ with an oracle, for a number of directions.
func (k *checker) along(o oracle, i int, gradient []float64, count int, shape []int, direction func(int) []float64) (Row, error) {
	got, want, bound := make([]float64, count), make([]float64, count), make([]float64, count)
	kinks := 0
	for e := range got {
		v := direction(e)
		size := 0.0
		for n, x := range gradient {
			if v[n] != 0 {
				got[e] += x * v[n]
				size += math.Abs(x)
			}
		}
		var err error
		want[e], bound[e], err = o.along(i, v)
		switch {
		case err == errKink:
			kinks++
			want[e] = got[e]
		case err != nil:
			return Row{}, err
		case shape == nil:
			bound[e] += 2 * k.u * float64(len(v)) * size
		}
	}
	r := compare(k.d(i), o.name, shape, got, want, bound)
	r.Kinks = kinks
	if r.Compared -= kinks; r.Compared == 0 {
		r.Verdict, r.Note = Skipped, "nowhere differentiable, as far as differences can see"
	}
	if m := r.Mismatch; m != nil && i < len(k.wrong) && (m.Hint == "" || k.wrong[i] == ignoresCotangent) {
		m.Hint = k.wrong[i]
	}
	return r, nil
}

// gradients compares the gradients by SymDiff with every oracle that applies.
func (k *checker) gradients() {
	for _, i := range k.fwd.wrt() {
		ref := k.c.Reference
		fallback := func(v []float64, terms float64) float64 {
			size := 0.0
			for _, x := range k.base.dx[i] {
				size = max(size, math.Abs(x))
			}
			return 8 * k.u * float64(k.n+16) * (terms + size)
		}
		if ref.Exact != nil && k.whole {
			k.judge(oracle{name: ByExact, along: func(i int, v []float64) (float64, float64, error) {
				y, err := k.exact(i, v)
				if err == nil && len(y) != len(k.dy) {
					err = errors.Errorf("the reference returns %d elements, want %d", len(y), len(k.dy))
				}
				if err != nil {
					return 0, 0, err
				}
				s := rationals{new(bool)}.Number(0)
				for e := range y {
					s = rationals{}.Add(s, rationals{}.Mul(rationals{new(bool)}.Number(k.dy[e]), y[e].D))
				}
				d, exact := s.Float64()
				if !exact {
					return 0, 0, errInexact
				}
				return d, 0, nil
			}}, i, k.base.dx)
		}
		if ref.Dual != nil {
			k.judge(oracle{name: ByDual, along: func(i int, v []float64) (d, b float64, err error) {
				err = guarded(func() error {
					y := ref.Dual(dualField{}, k.shapes(), lift(k.x, i, v, func(v, e float64) dual.Number { return dual.Number{Real: v, Emag: e} }))
					if len(y) != len(k.dy) {
						return errors.Errorf("the reference returns %d elements, want %d", len(y), len(k.dy))
					}
					terms := 0.0
					for e := range y {
						d += k.dy[e] * y[e].Emag
						terms += math.Abs(k.dy[e] * y[e].Emag)
					}
					if b = k.boundAlong(k.u, i, v); math.IsNaN(b) {
						b = fallback(v, terms)
					}
					return nil
				})
				return d, b, err
			}}, i, k.base.dx)
		}
		if k.c.Inputs[i].Linear {
			k.judge(k.stepOne(k.dy), i, k.base.dx)
			k.adjoint(i)
		} else {
			k.judge(k.differences(ByDifferences, k.fwd.forward, k.dy), i, k.base.dx)
		}
	}
}

// moved are the inputs with t·v added to input i.
func (k *checker) moved(i int, v []float64, t float64) [][]float64 {
	x := append([][]float64(nil), k.x...)
	x[i] = make([]float64, len(v))
	for e := range v {
		x[i][e] = k.x[i][e] + t*v[e]
	}
	return x
}

// change is Σ weights ⊙ (f(x + b·v) − f(x + a·v)), and the size of its terms.
func (k *checker) change(f func([][]float64) ([]float64, error), weights []float64, i int, v []float64, a, b float64) (d, size float64, err error) {
	ya, err := f(k.moved(i, v, a))
	if err != nil {
		return 0, 0, err
	}
	yb, err := f(k.moved(i, v, b))
	if err != nil {
		return 0, 0, err
	}
	for e, w := range weights {
		d += w * (yb[e] - ya[e])
		size += math.Abs(w) * (math.Abs(ya[e]) + math.Abs(yb[e]))
	}
	return d, size, nil
}

// stepOne is the difference of an op that is affine in the input: exact but for rounding. Terms may cancel inside the op, where they are not seen: n terms of random sign by √n, which the bound allows for.
// The step back must give the same, or the op is not affine.
func (k *checker) stepOne(weights []float64) oracle {
	return oracle{name: ByStepOne, along: func(i int, v []float64) (float64, float64, error) {
		d, size, err := k.change(k.fwd.forward, weights, i, v, 0, 1)
		if err != nil {
			return 0, 0, err
		}
		back, behind, err := k.change(k.fwd.forward, weights, i, v, -1, 0)
		n := float64(k.n + 16)
		rounding := 2 * k.u * n * math.Sqrt(n)
		if err == nil && !(math.Abs(d-back) <= rounding*(size+behind)) {
			err = errors.Errorf("y is not affine in %s, as AsLinear says: a step of 1 changes ⟨dy, y⟩ by %.6g, and the step before it by %.6g", k.c.Inputs[i].Name, d, back)
		}
		return d, rounding * size, err
	}}
}

// adjoint compares ⟨dy, Jv⟩ with ⟨Jᵀdy, v⟩ along random real directions, for an input in which the op is affine: Jv = f(x+v) − f(x).
func (k *checker) adjoint(i int) {
	if !k.wants(ByAdjoint) {
		return
	}
	o := k.stepOne(k.dy)
	o.name = ByAdjoint
	r, err := k.along(o, i, k.base.dx[i], directions, nil, func(int) []float64 {
		v := make([]float64, len(k.x[i]))
		for e := range v {
			v[e] = k.r.NormFloat64()
		}
		return v
	})
	if err != nil {
		k.note(k.d(i), ByAdjoint, Fails, err)
		return
	}
	k.add(r)
}

// steps are the sizes of h for each element type. What is left of the truncation is of order h⁶ and the noise of order u/h: they are equal where h is near the seventh root of u, 2^−7.6 for float64
// and 2^−3.4 for float32, with smaller sizes for functions that bend more, and for kinks that are near.
var steps = map[tensor.Dtype][]float64{tensor.Float64: {0x1p-14, 0x1p-10, 0x1p-6}, tensor.Float32: {0x1p-8, 0x1p-5, 0x1p-2}}

// differences are central differences D(h) = (f(x+hv) − f(x−hv))/2h with two steps of Richardson's extrapolation, which removes the errors of order h² and h⁴. The bound is twice what the last step changed, and
// the rounding noise of f over h. Of three sizes of h the one with the least bound counts, of those that are smooth.
//
// The gap between the two one-sided differences, (f(x+hv) − 2f(x) + f(x−hv))/h, halves with h where f is smooth. It stays where f has a kink closer to x than h, and falls to nothing as h gets smaller than the way
// to the kink: neither is halving, and the extrapolation, which can agree with itself there by chance, is then not believed. A kink within a small h is one within every larger h, so the sizes are tried
// from the smallest, and where that one is not smooth the function has a kink at x, as far as differences can see.
func (k *checker) differences(name string, f func([][]float64) ([]float64, error), weights []float64) oracle {
	noise := func(size, h float64) float64 { return 4 * k.u * (math.Sqrt(float64(k.n)) + 16) * size / h }
	var here []float64 // f(x)
	sides := func(i int, v []float64, step float64) (left, right, size float64, err error) {
		if here == nil {
			if here, err = f(k.x); err != nil {
				return 0, 0, 0, err
			}
		}
		before, err := f(k.moved(i, v, -step))
		if err != nil {
			return 0, 0, 0, err
		}
		after, err := f(k.moved(i, v, step))
		if err != nil {
			return 0, 0, 0, err
		}
		for e, w := range weights {
			left += w * (here[e] - before[e])
			right += w * (after[e] - here[e])
			size += math.Abs(w) * (math.Abs(before[e]) + math.Abs(after[e]))
		}
		return left, right, size, nil
	}
	return oracle{name: name, along: func(i int, v []float64) (best, bound float64, err error) {
		bound = math.Inf(1)
		for _, h := range steps[k.of] {
			var d, gap, rounding [3]float64
			for s := range d {
				step := h / float64(int(1)<<s)
				left, right, size, err := sides(i, v, step)
				if err != nil {
					return 0, 0, err
				}
				d[s], gap[s], rounding[s] = (right+left)/(2*step), (right-left)/step, noise(size, step)
			}
			smooth := true
			for s := range 2 {
				a, b := gap[s], 2*gap[s+1]
				smooth = smooth && math.Abs(a-b) <= 0.3*max(math.Abs(a), math.Abs(b))+16*rounding[s+1]
			}
			if !smooth {
				break
			}
			r1, r2 := (4*d[1]-d[0])/3, (4*d[2]-d[1])/3
			e := (16*r2 - r1) / 15
			if b := 2*math.Abs(e-r2) + 8*rounding[0] + 64*k.u*math.Abs(e); b < bound {
				best, bound = e, b
			}
		}
		if math.IsInf(bound, 1) {
			return 0, 0, errKink
		}
		return best, bound, nil
	}}
}

// jacobian compares whole Jacobians, where inputs and result are small: the rule at the unit cotangents, one row each, against differences of each element of y; and the gradient at dy with the sum of the rows
// by dy, for a rule is linear in it. A random cotangent can weigh two elements of y alike; these cannot.
func (k *checker) jacobian(d *derivation) {
	ny := len(k.base.y)
	if !k.wants(ByJacobian) {
		return
	}
	for _, i := range k.fwd.wrt() {
		n := len(k.x[i])
		if n*ny > whole {
			continue
		}
		at := map[[2]float64][]float64{} // y by what was moved, and where to
		forward := func(x [][]float64) (y []float64, err error) {
			e := 0
			for e = range x[i] {
				if x[i][e] != k.x[i][e] {
					break
				}
			}
			key := [2]float64{float64(e), x[i][e]}
			if y = at[key]; y == nil {
				y, err = k.fwd.forward(x)
				at[key] = y
			}
			return y, err
		}
		var got, want, bound []float64
		kinks := 0
		sum := make([]float64, n)
		size := 0.0
		err := guarded(func() error {
			for o := range ny {
				unit := make([]float64, ny)
				unit[o] = 1
				out, err := d.at(d.leaves(k.x), unit, false)
				if err != nil {
					return err
				}
				by := k.differences(ByJacobian, forward, unit)
				if k.c.Inputs[i].Linear {
					by = k.stepOne(unit)
				}
				for e := range n {
					v := make([]float64, n)
					v[e] = 1
					w, b, err := by.along(i, v)
					if err != nil && err != errKink {
						return err
					}
					if err == errKink {
						kinks++
						w = out.dx[i][e]
					}
					got, want, bound = append(got, out.dx[i][e]), append(want, w), append(bound, b)
					sum[e] += k.dy[o] * out.dx[i][e]
					size = max(size, math.Abs(k.dy[o]*out.dx[i][e]))
				}
			}
			return nil
		})
		quantity := "∂y/∂" + k.c.Inputs[i].Name
		if err != nil {
			k.note(quantity, ByJacobian, Fails, err)
			continue
		}
		r := compare(quantity, ByJacobian, []int{ny, n}, got, want, bound)
		r.Kinks = kinks
		if r.Compared -= kinks; r.Compared == 0 {
			r.Verdict, r.Note = Skipped, "nowhere differentiable, as far as differences can see"
		}
		if m := r.Mismatch; m != nil {
			m.Of, m.Index, m.Hint = multiIndex(m.Index[0], k.fwd.shape), multiIndex(m.Index[1], k.c.Inputs[i].Shape), k.wrong[i]
		}
		k.add(r)
		bound = make([]float64, n)
		for e := range bound {
			bound[e] = 8 * k.u * float64(k.n+ny+64) * size * float64(ny)
		}
		r = compare(k.d(i), ByJacobian, k.c.Inputs[i].Shape, k.base.dx[i], sum, bound)
		if r.Mismatch != nil {
			r.Mismatch.Hint = "the rule is not linear in dy"
		}
		k.add(r)
	}
}

// ways runs the rule in the other ways in which Gorgonia runs it.
func (k *checker) ways() {
	against := func(oracle string, want [][]float64, o outcome, err error) {
		if err != nil {
			v := Fails
			if _, ok := err.(notAD); ok {
				v = Skipped
			}
			k.note("gradients", oracle, v, err)
			return
		}
		for _, i := range k.fwd.wrt() {
			k.add(compare(k.d(i), oracle, k.c.Inputs[i].Shape, o.dx[i], want[i], k.scaled(want[i], 8*k.u)))
		}
	}
	fresh := func(f func(w *world) (outcome, error)) (outcome, error) {
		w, err := k.c.world(k.of)
		if err != nil {
			return outcome{}, err
		}
		return f(w)
	}
	if k.c.Other != nil && k.wants(ByOther) {
		w, err := k.c.worldOf(k.c.Other, k.of)
		var o outcome
		if err == nil {
			var d *derivation
			if d, err = w.derive(); err == nil {
				o, err = d.at(d.leaves(k.x), k.dy, false)
			}
		}
		if err != nil {
			k.note("gradients", ByOther, Fails, errors.Wrap(err, "the other graph"))
		} else {
			against(ByOther, o.dx, k.base, nil)
		}
	}
	if k.wants(ByZero) {
		o, err := fresh(func(w *world) (outcome, error) {
			d, err := w.derive()
			if err != nil {
				return outcome{}, err
			}
			return d.at(d.leaves(k.x), make([]float64, len(k.dy)), false)
		})
		if err != nil {
			k.note("gradients", ByZero, Fails, err)
		} else {
			for _, i := range k.fwd.wrt() {
				r := compare(k.d(i), ByZero, k.c.Inputs[i].Shape, o.dx[i], make([]float64, len(o.dx[i])), nil)
				if r.Mismatch != nil {
					r.Mismatch.Hint = k.wrong[i]
				}
				k.add(r)
			}
		}
	}
	o, err := fresh(func(w *world) (outcome, error) { return w.accumulating(k.x, k.dy) })
	lisp := err == nil
	if k.wants(ByDoDiff) {
		against(ByDoDiff, k.base.dx, o, err)
	}
	if k.dirty() != nil { // a panic would end the process under a machine
		return
	}
	second := make([][]float64, len(k.x))
	plus := make([][]float64, len(k.x))
	for _, i := range k.fwd.wrt() {
		second[i], plus[i] = make([]float64, len(k.x[i])), make([]float64, len(k.x[i]))
		for e := range second[i] {
			second[i][e] = float64(k.r.IntN(9) - 4)
			plus[i][e] = k.base.dx[i][e] + second[i][e]
		}
	}
	for _, m := range []struct {
		name   string
		lisp   bool
		second [][]float64
		want   [][]float64
	}{{ByTape, false, nil, k.base.dx}, {ByAccumulation, false, second, plus}, {ByLisp, true, nil, k.base.dx}, {ByLispAccumul, true, second, plus}} {
		if !k.wants(m.name) {
			continue
		}
		if m.lisp && !lisp {
			k.note("gradients", m.name, Skipped, errors.New("DoDiff, run by hand, did not go well"))
			continue
		}
		o, err := fresh(func(w *world) (outcome, error) { return w.machine(m.lisp, k.x, k.dy, m.second) })
		against(m.name, m.want, o, err)
	}
}

// dirty runs forward pass and gradients through UsePreallocDo into memory full of NaN, and returns an error if that fails.
func (k *checker) dirty() error {
	w, err := k.c.world(k.of)
	var d *derivation
	var o outcome
	if err == nil {
		if d, err = w.derive(); err == nil {
			o, err = d.at(d.leaves(k.x), k.dy, true)
		}
	}
	if !k.wants(ByPrealloc) {
		return err
	}
	if err != nil {
		k.note("y", ByPrealloc, Fails, err)
		return err
	}
	if w.preallocs == 0 {
		k.note("y", ByPrealloc, Skipped, errors.New("no op offers UsePreallocDo"))
		return nil
	}
	k.add(compare("y", ByPrealloc, k.fwd.shape, o.y, k.base.y, nil))
	for _, i := range k.fwd.wrt() {
		k.add(compare(k.d(i), ByPrealloc, k.c.Inputs[i].Shape, o.dx[i], k.base.dx[i], nil))
	}
	return nil
}

// unary are the checks of an op by itself: what it does to its inputs, whether it repeats itself, and other forms of the same inputs. d is nil if no input has a gradient.
func (k *checker) unary(d *derivation) {
	for _, f := range []struct {
		oracle string
		axes   int // longer than 1, that an input must have for the form to differ
		form   func(of tensor.Dtype, shape tensor.Shape, v []float64) (G.Value, error)
	}{{BySlices, 1, sliced}, {ByTransposes, 2, transposed}, {ByColumnMajor, 2, columnMajor}} {
		if !k.wants(f.oracle) {
			continue
		}
		applies := false
		for _, in := range k.c.Inputs {
			long := 0
			for _, s := range in.Shape {
				long += min(s-1, 1)
			}
			applies = applies || long >= f.axes && !in.Whole
		}
		if !applies {
			k.note("y", f.oracle, Skipped, errors.Errorf("no input has %d axes longer than 1", f.axes))
			continue
		}
		var impossible error
		_, _, o, err := k.anew(d != nil, func(w *world) (at values, err error) {
			at = w.leaves(k.x)
			for i, n := range w.in {
				if in := k.c.Inputs[i]; len(in.Shape) > 0 && !in.Whole {
					if at[n], impossible = f.form(k.of, in.Shape, k.x[i]); impossible != nil {
						return nil, impossible
					}
				}
			}
			return at, nil
		})
		if impossible != nil {
			k.note("y", f.oracle, Skipped, impossible)
			continue
		}
		k.equal(f.oracle, o, err, func(r *Row) {
			switch {
			case f.oracle == BySlices && math.IsNaN(float64(r.Mismatch.Got)):
				r.Mismatch.Hint = "it reads memory outside of the slice: the input's strides are passed over"
			case f.oracle != BySlices && k.rowMajor(d != nil, o):
				r.Mismatch.Hint = "it takes the input's memory to be row-major: the strides are passed over"
			}
		})
	}
	k.inPlace()
	k.batch()
	k.twin(d != nil)
}

// rowMajor reports whether the outcome is what comes of inputs that have the column-major memory for their row-major one.
func (k *checker) rowMajor(gradients bool, o outcome) bool {
	_, _, raw, err := k.anew(gradients, func(w *world) (values, error) {
		x := slices.Clone(k.x)
		for i, in := range k.c.Inputs {
			if !in.Whole {
				x[i] = columns(in.Shape, x[i])
			}
		}
		return w.leaves(x), nil
	})
	return err == nil && same(raw.y, o.y)
}

// inPlace gives y a consumer under TapeMachine that may write its result into y's memory: y + 1. If y is an input's memory, because the op returns its input or a view of it, the input changes.
func (k *checker) inPlace() {
	if !k.wants(ByInPlace) {
		return
	}
	w, err := k.c.world(k.of)
	if err != nil || w.y.Op() == nil || w.y.IsScalar() || w.y.Dtype() != k.of {
		return
	}
	err = guarded(func() error {
		leaves := w.leaves(k.x)
		for n, v := range leaves {
			if err := G.Let(n, v); err != nil {
				return err
			}
		}
		one := G.NewConstant(1.0)
		if k.of == tensor.Float32 {
			one = G.NewConstant(float32(1))
		}
		if _, err := G.Add(w.y, one); err != nil {
			return err
		}
		m := G.NewTapeMachine(w.g)
		defer m.Close()
		if err := m.RunAll(); err != nil {
			return err
		}
		for i, n := range w.in {
			after, err := floats(leaves[n])
			if err != nil {
				return err
			}
			r := compare(k.c.Inputs[i].Name, ByInPlace, k.c.Inputs[i].Shape, after, k.x[i], nil)
			if r.Mismatch != nil {
				r.Mismatch.Hint = "y is the input's own memory"
			}
			k.add(r)
		}
		return nil
	})
	if err != nil {
		k.note("y", ByInPlace, Fails, err)
	}
}

// interleaved runs the forward pass on other values, by the same ops, between the forward pass and the gradients, as it happens where a graph is cloned or one op stands at two nodes. An op that keeps
// something of its forward pass to itself gives it away there.
func (k *checker) interleaved() {
	if !k.wants(ByInterleaving) {
		return
	}
	var o outcome
	d, err := k.derived()
	if err == nil {
		var other [][]float64
		if other, err = k.draw(); err == nil {
			forward := order(d.g, d.y)
			at := d.leaves(k.x)
			err = d.evaluate(forward, at, false)
			if err == nil && d.evaluate(forward, d.leaves(other), false) == nil { // what it makes of other values is not judged here
				o, err = d.at(at, k.dy, false)
			} else if err == nil {
				return
			}
		}
	}
	k.equal(ByInterleaving, o, err, func(r *Row) { r.Mismatch.Hint = "the op keeps something of its forward pass" })
}

// sliced is a slice of a larger tensor whose other elements are NaN.
func sliced(of tensor.Dtype, shape tensor.Shape, v []float64) (G.Value, error) {
	large := shape.Clone()
	var at []tensor.Slice
	for a, s := range shape {
		if s == 1 { // the tensor package drops an axis that is sliced to one element
			at = append(at, nil)
			continue
		}
		large[a] = s + 2
		at = append(at, G.S(1, s+1))
	}
	f := make([]float64, large.TotalSize())
	for i := range f {
		f[i] = math.NaN()
	}
	for i, x := range v {
		k := 0
		for a, e := range multiIndex(i, shape) {
			if shape[a] > 1 {
				e++
			}
			k = k*large[a] + e
		}
		f[k] = x
	}
	t, err := value(of, large, f).(*tensor.Dense).Slice(at...)
	if err != nil {
		return nil, err
	}
	if !t.Shape().Eq(shape) {
		return nil, errors.Errorf("the tensor package slices %v to %v", shape, t.Shape())
	}
	return t.(G.Value), nil
}

// transposed lies in memory with its axes in reverse.
func transposed(of tensor.Dtype, shape tensor.Shape, v []float64) (G.Value, error) {
	if len(shape) < 2 {
		return value(of, shape, v), nil
	}
	t := value(of, reversed(shape), columns(shape, v)).(*tensor.Dense)
	axes := make([]int, len(shape))
	for a := range axes {
		axes[a] = len(axes) - 1 - a
	}
	if err := t.T(axes...); err != nil {
		return nil, err
	}
	return t, nil
}

// columnMajor lies in memory with its first axis fastest.
func columnMajor(of tensor.Dtype, shape tensor.Shape, v []float64) (G.Value, error) {
	if len(shape) < 2 {
		return value(of, shape, v), nil
	}
	// AsFortran takes row-major numbers and reorders them.
	return tensor.New(tensor.WithShape(shape...), tensor.AsFortran(backing(of, v))), nil
}

func reversed(shape tensor.Shape) tensor.Shape {
	r := shape.Clone()
	slices.Reverse(r)
	return r
}

// columns is v in column-major order.
func columns(shape tensor.Shape, v []float64) []float64 {
	c := make([]float64, len(v))
	for i, x := range v {
		k := 0
		index := multiIndex(i, shape)
		for a := len(shape) - 1; a >= 0; a-- {
			k = k*shape[a] + index[a]
		}
		c[k] = x
	}
	return c
}

// batch compares a batch with its samples one by one, where inputs say that they have a batch axis: y and the gradients of such inputs sample by sample, and the others' gradients with the sums over the samples.
func (k *checker) batch() {
	n := 0
	for _, in := range k.c.Inputs {
		if in.Batch {
			if n != 0 && n != in.Shape[0] { // shrunk apart
				return
			}
			n = in.Shape[0]
		}
	}
	if n < 2 || !k.wants(ByBatch) {
		return
	}
	if len(k.fwd.shape) == 0 || k.fwd.shape[0] != n {
		k.note("y", ByBatch, Skipped, errors.Errorf("y has shape %v and no batch axis of %d", k.fwd.shape, n))
		return
	}
	t := *k.c
	t.Inputs = slices.Clone(k.c.Inputs)
	for i := range t.Inputs {
		if t.Inputs[i].Batch {
			t.Inputs[i].Shape = t.Inputs[i].Shape.Clone()
			t.Inputs[i].Shape[0] = 1
		}
	}
	w, err := t.world(k.of)
	var d *derivation
	if err == nil && k.base.dx != nil {
		d, err = w.derive()
	}
	sample := func(v []float64, s int) []float64 { m := len(v) / n; return v[s*m : (s+1)*m] }
	var y []float64
	dx, size := make([][]float64, len(k.x)), make([]float64, len(k.x))
	for s := 0; s < n && err == nil; s++ {
		x := slices.Clone(k.x)
		for i, in := range k.c.Inputs {
			if in.Batch {
				x[i] = sample(x[i], s)
			}
		}
		var one outcome
		if d == nil {
			one.y, err = w.forward(x)
		} else {
			one, err = d.at(d.leaves(x), sample(k.dy, s), false)
		}
		y = append(y, one.y...)
		for i, v := range one.dx {
			switch {
			case k.c.Inputs[i].Batch:
				dx[i] = append(dx[i], v...)
			case dx[i] == nil:
				dx[i] = v
			default:
				dx[i] = slices.Clone(dx[i])
				for e := range v {
					dx[i][e] += v[e]
				}
			}
			most := 0.0
			for _, g := range v {
				most = max(most, math.Abs(g))
			}
			if k.c.Inputs[i].Batch {
				size[i] = max(size[i], most)
			} else {
				size[i] += most
			}
		}
	}
	if err != nil {
		k.note("y", ByBatch, Fails, err)
		return
	}
	k.add(compare("y", ByBatch, k.fwd.shape, k.base.y, y, k.scaled(y, 8*k.u)))
	for i, v := range k.base.dx {
		if v != nil {
			k.add(compare(k.d(i), ByBatch, k.c.Inputs[i].Shape, v, dx[i], k.scaled(append([]float64{size[i]}, v...), 8*k.u)[1:]))
		}
	}
}

// twin runs the case in float32 and compares it with float64, on the same numbers.
func (k *checker) twin(gradients bool) {
	if !k.wants(ByTwin) || k.of == tensor.Float32 {
		return
	}
	w, err := k.c.world(tensor.Float32)
	var o outcome
	if err == nil {
		if gradients {
			var d *derivation
			if d, err = w.derive(); err == nil {
				o, err = d.at(d.leaves(k.x), k.dy, false)
			}
		} else {
			o.y, err = w.forward(k.x)
		}
	}
	if err != nil {
		k.note("y", ByTwin, Fails, errors.Wrap(err, "float32"))
		return
	}
	if w.y.Dtype() != tensor.Float32 {
		k.note("y", ByTwin, Skipped, errors.Errorf("of float32 inputs it makes %v", w.y.Dtype()))
		return
	}
	bound := k.scaled(k.base.y, 8*u32)
	if k.c.Reference.Bound != nil {
		if b := k.boundsOfY(u32); b != nil {
			bound = b
		}
	}
	k.add(compare("y", ByTwin, k.fwd.shape, o.y, k.base.y, bound))
	for i, dx := range o.dx {
		if dx == nil {
			continue
		}
		bound := k.scaled(k.base.dx[i], 8*u32)
		if k.c.Reference.Bound != nil && len(dx) <= elementwise {
			for e := range dx {
				v := make([]float64, len(dx))
				v[e] = 1
				if b := k.boundAlong(u32, i, v); !math.IsNaN(b) {
					bound[e] = b
				}
			}
		}
		k.add(compare(k.d(i), ByTwin, k.c.Inputs[i].Shape, dx, k.base.dx[i], bound))
	}
}

// second checks the derivatives of s = Σ ⟨dx, v⟩ in every input and in dy: the first derivative by SymDiff, then one Grad, against differences of the first derivative.
func (k *checker) second() {
	w, err := k.c.world(k.of)
	if err != nil {
		return
	}
	d, err := w.derive()
	if err != nil {
		return
	}
	var weights []float64
	var cost *G.Node
	err = guarded(func() error {
		for _, i := range w.wrt() {
			v := signs(k.r, len(k.x[i]))
			weights = append(weights, v...)
			s, err := w.weighted(d.grads[i], "v "+w.c.Inputs[i].Name, v)
			if err != nil {
				return err
			}
			if cost == nil {
				cost = s
			} else if cost, err = G.Add(cost, s); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		k.note("gradients", BySecond, Fails, err)
		return
	}
	var open map[*G.Node]bool
	var closed string
	err = guarded(func() error { open, closed = differentiable(w.g, cost); return nil })
	if err != nil { // gorgonia.Grad would ask, too
		k.note("gradients", BySecond, Fails, errors.Wrap(err, "DiffWRT of an op of the gradient, which every gorgonia.Grad on this graph calls"))
		return
	}
	var wrt G.Nodes
	var which []int
	for i, n := range append(slices.Clone(w.in), d.dy) {
		if i < len(w.in) && (w.c.Inputs[i].Fixed || w.c.Inputs[i].Whole) {
			continue
		}
		if open[n] {
			wrt, which = append(wrt, n), append(which, i)
		}
	}
	got := make([][]float64, len(w.in)+1)
	for i := range w.in {
		got[i] = make([]float64, len(k.x[i]))
	}
	got[len(w.in)] = make([]float64, len(k.dy))
	if len(wrt) > 0 {
		err = guarded(func() error {
			grads, err := G.Grad(cost, wrt...)
			if err != nil {
				return errors.Wrap(err, "gorgonia.Grad")
			}
			at := w.leaves(k.x)
			at[d.dy] = value(k.of, w.shape, k.dy)
			if err := w.evaluate(order(w.g, grads...), at, false); err != nil {
				return err
			}
			for e, n := range grads {
				if got[which[e]], err = floats(at[n]); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			v := Fails
			if closed != "" {
				v = Skipped
				err = errors.Errorf("%s (%v)", closed, err)
			}
			k.note("gradients", BySecond, v, err)
			return
		}
	}
	// The function that is differenced has dy as one more input.
	f, err := k.c.world(k.of)
	if err != nil {
		return
	}
	first, err := f.derive()
	if err != nil {
		return
	}
	wider := *k
	wider.x = append(slices.Clone(k.x), k.dy)
	inner := *k.c
	inner.Inputs = append(slices.Clone(k.c.Inputs), Input{Name: "dy", Shape: w.shape})
	wider.c, wider.rows = &inner, nil
	o := wider.differences(BySecond, func(x [][]float64) ([]float64, error) {
		out, err := first.at(first.leaves(x[:len(x)-1]), x[len(x)-1], false)
		var all []float64
		for _, i := range first.wrt() {
			if err == nil {
				all = append(all, out.dx[i]...)
			}
		}
		return all, err
	}, weights)
	for i := range wider.x {
		if i == len(k.x) || !(k.c.Inputs[i].Fixed || k.c.Inputs[i].Whole) {
			wider.judge(o, i, got)
		}
	}
	for _, r := range wider.rows {
		r.Quantity = "d" + r.Quantity
		if i := len(w.in); r.Quantity == "dddy" || i == 0 {
			r.Quantity = "d²/d(dy)"
		} else {
			r.Quantity = "d²/d" + r.Quantity[2:]
		}
		if r.Verdict == Fails && closed != "" {
			r.Verdict, r.Note, r.Mismatch = Skipped, closed, nil
		}
		k.add(r)
	}
}

// differentiable are the nodes that the cost reaches through arguments in which ops say that they are differentiable, and what stopped the walk elsewhere, if something did.
func differentiable(g *G.ExprGraph, cost *G.Node) (open map[*G.Node]bool, closed string) {
	open = map[*G.Node]bool{}
	var visit func(n *G.Node)
	visit = func(n *G.Node) {
		if open[n] {
			return
		}
		open[n] = true
		args := children(g, n)
		if len(args) == 0 {
			return
		}
		op, ok := n.Op().(G.SDOp)
		if !ok {
			closed = fmt.Sprintf("not offered: %v has no SymDiff", n.Op())
			return
		}
		wrt := op.DiffWRT(len(args))
		for i, c := range args {
			if i < len(wrt) && wrt[i] {
				visit(c)
			} else if c.Dtype() == tensor.Float64 || c.Dtype() == tensor.Float32 {
				closed = fmt.Sprintf("not offered: %v says that it is not differentiable in argument %d", op, i)
			}
		}
	}
	visit(cost)
	return open, closed
}
