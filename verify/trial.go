package verify

import (
	"fmt"
	"math"
	"math/rand/v2"
	"reflect"
	"slices"

	"github.com/pkg/errors"
	G "gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/convgrad/convgrad/verify/internal/values"
)

// Unit roundoffs.
const (
	u64 = 1.0 / (1 << 53)
	u32 = 1.0 / (1 << 24)
)

// A trial is one run of the oracles, at given shapes and values.
type trial struct {
	c     *Case
	at    string // what was varied, "" at the case's own shapes and values
	mood  mood
	brief bool // few directions: an axis is long
	only  *Row // when shrinking: the row to reproduce
	spent *effort

	r       *rand.Rand
	of      tensor.Dtype // float64, or float32 for an op that has no other
	u       float64      // its unit roundoff
	without error        // why there is no float64
	x       [][]float64
	dy      []float64
	whole   bool // all inputs and dy are small integers
	n       int  // elements of all inputs
	fwd     *world
	base    outcome // y and the gradients by SymDiff, run by hand

	rows    []Row
	wrong   []string // what is seen to be wrong with the gradient of an input, whoever judges it
	noise   []float64
	probes  map[int]map[int]*probe // of each element of an input, if all were looked at
	kinks   [][2]int               // inputs and elements at which y has a kink
	samples int
	refused bool     // a derivative was refused by all ladders of steps: the rule fails anyway
	rings   *[2]ring // points near x
	ringed  *world   // of the function that they are of
	sound   *bool    // whether the ops survive being run by hand in all ways that machines run them
	alone   *outcome
	// unsteady is what a second run in the same graph gave, if that was something else.
	unsteady *outcome
	// multiples are the gradients of multiples of dy.
	multiples [len(multiples)][][]float64
}

// run asks every oracle. It returns an error if the case does not run at varied shapes or values:
// that is no variation of it.
func (c *Case) run(t *trial) error {
	t.c = c
	t.r = rand.New(rand.NewPCG(c.Seed, 0x5eed))
	t.of, t.u = tensor.Float64, u64
	if err := t.start(); err != nil {
		return err
	}
	if t.failed() {
		return nil
	}
	for i := range oracles {
		o := &oracles[i]
		if !t.wants(o.name) || o.gradient && t.base.dx == nil || o.once && t.at != "" && t.only == nil || t.brief && !o.long {
			continue
		}
		if t.spent.over() {
			t.note("", o.name, NotJudged, errOver)
			continue
		}
		if err := guarded(func() error { o.judge(t); return nil }); err != nil {
			t.note("", o.name, Fails, err)
		}
	}
	return nil
}

// wants reports whether rows of an oracle are asked for.
func (t *trial) wants(o Oracle) bool {
	return (t.only == nil || t.only.Oracle == o) && !slices.Contains(t.c.Skip, o) &&
		(len(t.c.Only) == 0 || slices.Contains(t.c.Only, o))
}

func (t *trial) failed() bool {
	return slices.ContainsFunc(t.rows, func(r Row) bool { return r.Verdict == Fails })
}

func (t *trial) add(r Row) {
	r.At = t.at
	t.rows = append(t.rows, r)
}

func (t *trial) note(quantity string, o Oracle, v Verdict, err error) {
	t.add(Row{Quantity: quantity, Oracle: o, Verdict: v, Note: err.Error()})
}

// absent notes what is not offered. It fails where the case is strict.
func (t *trial) absent(quantity string, o Oracle, strict bool, err error) {
	v := Skipped
	if strict || t.c.Strict {
		v = Fails
	}
	t.note(quantity, o, v, err)
}

func (t *trial) d(i int) string { return "d" + t.c.Inputs[i].Name }

// draw fills the inputs.
func (t *trial) draw() (x [][]float64, err error) {
	for i := range t.c.Inputs {
		in := &t.c.Inputs[i]
		v := make([]float64, in.Shape.TotalSize())
		if err := guarded(func() error { in.draw(t.r, v, t.mood); return nil }); err != nil {
			return nil, errors.Wrapf(err, "drawing %s", in.Name)
		}
		if t.of == tensor.Float32 && !in.whole() {
			v = singly(v)
		}
		x = append(x, v)
	}
	return x, nil
}

// singly rounds to float32.
func singly(v []float64) []float64 {
	f := make([]float64, len(v))
	for i, x := range v {
		f[i] = float64(float32(x))
	}
	return f
}

// nowhere is the first element that is NaN or infinite, and −1 if none is.
func nowhere(v []float64) int {
	return slices.IndexFunc(v, func(x float64) bool { return !finite(x) })
}

func (t *trial) drawCotangent() []float64 {
	dy := make([]float64, t.fwd.n)
	for o := range t.fwd.y {
		if !t.fwd.real(o) {
			continue
		}
		part := t.fwd.part(o, dy)
		for i := range part {
			part[i] = t.r.NormFloat64()
			if t.whole && t.c.Reference != nil {
				part[i] = float64(t.r.IntN(4)+1) * float64(2*t.r.IntN(2)-1)
			}
		}
		if t.fwd.y[o].Dtype() == tensor.Float32 {
			copy(part, singly(part))
		}
	}
	return dy
}

// start draws, builds and runs the case for the first time.
func (t *trial) start() error {
	reject := func(quantity string, err error) error {
		if t.at != "" {
			return err
		}
		t.note(quantity, ByRunning, Fails, err)
		return nil
	}
	var err error
	if t.x, err = t.draw(); err != nil {
		return reject("y", err)
	}
	forward := func() (err error) {
		if t.fwd, err = t.c.world(t.of, t.spent); err != nil {
			return errors.Wrap(err, "building it")
		}
		for o, s := range t.fwd.shapes {
			if tensor.Shape(s).TotalSize() == 0 {
				return errors.Errorf("%s has shape %v: there is nothing to compare", t.fwd.name(o), s)
			}
		}
		if most := 1 << 15; t.at != "" && t.fwd.n > most {
			return errors.Errorf("y has %d elements, more than a variation may", t.fwd.n)
		}
		t.base.y, err = t.fwd.forward(t.x)
		return err
	}
	if err := forward(); err != nil {
		first := err
		if broken := (flaw{}); errors.As(err, &broken) {
			return reject("y", err)
		}
		// It may have float32 alone.
		t.of, t.u, t.whole, t.without = tensor.Float32, u32, false, first
		for i := range t.x {
			if !t.c.Inputs[i].whole() {
				t.x[i] = singly(t.x[i])
			}
		}
		if forward() != nil {
			return reject("y", first)
		}
	}
	t.whole = t.of == tensor.Float64
	allFinite := true
	for _, x := range t.x {
		t.n += len(x)
		allFinite = allFinite && nowhere(x) < 0
		for _, v := range x {
			t.whole = t.whole && v == math.Trunc(v) && math.Abs(v) < 1<<20
		}
	}
	if i := nowhere(t.base.y); i >= 0 && allFinite {
		o, index := t.fwd.index(i)
		return reject("y", errors.Errorf("%s%v is %v, and every input is finite: nothing can be compared "+
			"there; let the inputs be drawn where the op is defined", t.fwd.name(o), index, t.base.y[i]))
	}
	y, err := t.fwd.forward(t.x)
	if err != nil {
		t.note("y", ByTwice, Fails, err)
		return nil
	}
	if t.outputs(ByTwice, y, t.base.y, nil, nil); t.failed() {
		return nil
	}
	t.rows, t.wrong = nil, make([]string, len(t.x))
	t.dy = t.drawCotangent()
	if len(t.fwd.wrt()) == 0 || !slices.ContainsFunc(t.dy, func(v float64) bool { return v != 0 }) {
		return nil
	}
	d, err := t.derived()
	if err == nil {
		leaves := d.leaves(t.x)
		t.base, err = d.at(leaves, t.dy, false)
		if err == nil && !same(y, t.base.y) {
			err = errors.New("y changes once its gradient is in the graph")
		}
	}
	if err == nil && !t.brief { // a run with a long axis can take seconds
		err = t.responds(d)
	}
	if err != nil {
		t.base.dx = nil
		t.note("gradients", ByRunning, Fails, err)
	}
	return nil
}

// derived is a new graph with its gradients.
func (t *trial) derived() (*derivation, error) {
	w, err := t.c.world(t.of, t.spent)
	if err != nil {
		return nil, err
	}
	return w.derive()
}

// anew is a new graph of an element type, with gradients if the op has them, and the values of its
// leaves, the cotangents among them.
func (t *trial) anew(of tensor.Dtype, x [][]float64) (d *derivation, at assignment, err error) {
	w, err := t.c.world(of, t.spent)
	if err != nil {
		return nil, nil, err
	}
	d = &derivation{world: w, nodes: w.steps}
	if t.base.dx != nil {
		if d, err = w.derive(); err != nil {
			return nil, nil, err
		}
	}
	at = d.leaves(x)
	d.seed(at, t.dy)
	return d, at, nil
}

// once runs everything by hand in a new graph.
func (t *trial) once(of tensor.Dtype, x [][]float64) (o outcome, err error) {
	d, at, err := t.anew(of, x)
	if err != nil {
		return o, err
	}
	return d.at(at, t.dy, false)
}

// outputs adds a row for each output.
func (t *trial) outputs(by Oracle, got, want, bound []float64, say func(r *Row)) {
	if len(got) != len(want) {
		t.note("y", by, Fails, errors.Errorf("it has %d elements, and %d by the oracle", len(got), len(want)))
		return
	}
	for o := range t.fwd.y {
		var b []float64
		if bound != nil {
			b = t.fwd.part(o, bound)
		}
		r := compare(t.fwd.name(o), by, t.fwd.shapes[o], t.fwd.part(o, got), t.fwd.part(o, want), b)
		if r.Mismatch != nil && say != nil {
			say(&r)
		}
		t.add(r)
	}
}

// gradients adds a row for each gradient. Without a bound they must be equal.
func (t *trial) gradients(by Oracle, got, want [][]float64, bound func(i int) []float64, say func(r *Row)) {
	for i, dx := range got {
		if dx == nil {
			continue
		}
		var b []float64
		if bound != nil {
			b = bound(i)
		}
		r := compare(t.d(i), by, t.c.Inputs[i].Shape, dx, want[i], b)
		if r.Mismatch != nil && say != nil {
			say(&r)
		}
		t.add(r)
	}
}

// equal wants the bits of the first run.
func (t *trial) equal(by Oracle, o outcome, err error, say func(r *Row)) {
	if err != nil {
		t.note("y", by, Fails, err)
		return
	}
	t.outputs(by, o.y, t.base.y, nil, say)
	t.gradients(by, o.dx, t.base.dx, nil, say)
}

// alike wants the numbers of the first run, but for rounding.
func (t *trial) alike(by Oracle, o outcome, say func(r *Row)) {
	if t.c.SameBits {
		t.equal(by, o, nil, say)
		return
	}
	t.outputs(by, o.y, t.base.y, t.rounding(t.base.y), say)
	t.gradients(by, o.dx, t.base.dx, func(i int) []float64 { return t.rounding(t.base.dx[i]) }, say)
}

// against compares the gradients of another way of running the op with the first run's.
func (t *trial) against(by Oracle, o outcome, err error) {
	switch {
	case err != nil:
		t.broken("gradients", by, err)
	case t.c.SameBits:
		t.gradients(by, o.dx, t.base.dx, nil, nil)
	default:
		t.gradients(by, o.dx, t.base.dx, func(i int) []float64 { return t.rounding(t.base.dx[i]) }, nil)
	}
}

// broken notes what stopped a way of running the op, which may be that it is not offered.
func (t *trial) broken(quantity string, by Oracle, err error) {
	if _, ok := err.(notAD); ok {
		t.absent(quantity, by, false, err)
	} else {
		t.note(quantity, by, Fails, err)
	}
}

// rounding is the bound for results that two computations of the same formula reach on different
// ways, where no reference bounds them. The rounding error of a sum of n terms is at most
// 8·√n·u·Σ|terms| but with a probability of 2n·exp(−8²/2) (Higham and Mary, A New Approach to
// Probabilistic Rounding Error Analysis, 2019). The largest element stands for the terms, and
// others beside v that are summed with it. Here, u has the factor 8 once more, and 64 roundings
// more are for short ways.
func (t *trial) rounding(v []float64, beside ...float64) []float64 {
	size := greatest(v, beside)
	return filled(len(v), 8*t.u*(math.Sqrt(float64(t.n))+64)*size+t.c.Tolerance[t.of]*size+tiny(t.of))
}

// raised adds a number to each element.
func raised(v []float64, by float64) []float64 {
	for i := range v {
		v[i] += by
	}
	return v
}

// filled is n elements of a value, and unit n of which one is 1 and the others 0.
func filled(n int, v float64) []float64 { return raised(make([]float64, n), v) }

func unit(n, e int) []float64 {
	v := make([]float64, n)
	v[e] = 1
	return v
}

// greatest is the largest absolute value of the finite ones.
func greatest(all ...[]float64) float64 {
	m := 0.0
	for _, v := range all {
		for _, x := range v {
			if finite(x) {
				m = max(m, math.Abs(x))
			}
		}
	}
	return m
}

// tiny is what is lost to underflow, in a few hundred steps.
func tiny(of tensor.Dtype) float64 {
	if of == tensor.Float32 {
		return 0x1p-118
	}
	return 0x1p-1014
}

// floor is what a gradient may be off by what cancels in it, where nothing of that is left to see.
func (t *trial) floor() float64 { return 64 * t.u * greatest(t.dy) * greatest(t.base.y) }

func same(a, b []float64) bool { return len(a) == len(b) && !differ(a, b, nil) }

// is reports whether two runs gave the same.
func (o outcome) is(other outcome) bool {
	return same(o.y, other.y) && slices.EqualFunc(o.dx, other.dx, same)
}

// differ reports whether a and b differ by more than the bound.
func differ(a, b, bound []float64) bool {
	return compare("", "", []int{len(a)}, a, b, bound).Verdict == Fails
}

func (t *trial) shapes() [][]int {
	var all [][]int
	for _, in := range t.c.Inputs {
		all = append(all, append([]int(nil), in.Shape...))
	}
	return all
}

// survives reports whether the ops can be run as machines run them. A panic under a machine would
// end the process, so everything is first run by hand.
func (t *trial) survives() bool {
	if t.sound == nil {
		d, err := t.derived()
		if err == nil {
			_, err = d.at(d.leaves(t.x), t.dy, true)
		}
		ok := err == nil
		t.sound = &ok
	}
	return *t.sound
}

// byHand is DoDiff run by hand as LispMachine does.
func (t *trial) byHand() (outcome, error) {
	w, err := t.c.world(t.of, t.spent)
	if err != nil {
		return outcome{}, err
	}
	return w.accumulating(t.x, t.dy)
}

// onMachine runs the case on a machine.
func (t *trial) onMachine(m Machine, runs int, second [][]float64) (outcome, error) {
	w, err := t.c.world(t.of, t.spent)
	if err != nil {
		return outcome{}, err
	}
	return w.machine(m, runs, t.x, t.dy, second)
}

// seconds are cotangents of second consumers, and what the gradients then are.
func (t *trial) seconds() (second, sum [][]float64) {
	second, sum = make([][]float64, len(t.x)), make([][]float64, len(t.x))
	for _, i := range t.fwd.wrt() {
		second[i], sum[i] = t.signs(len(t.x[i])), make([]float64, len(t.x[i]))
		for e := range second[i] {
			sum[i][e] = t.base.dx[i][e] + second[i][e]
		}
	}
	return second, sum
}

// packageOf is the import path of an op's type.
func packageOf(op G.Op) string {
	t := reflect.TypeOf(op)
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	return t.PkgPath()
}

// native reports whether an op is one of Gorgonia's own.
func native(op G.Op) bool { return op != nil && packageOf(op) == "gorgonia.org/gorgonia" }

// composed reports whether the graph has ops beside a single one.
func (w *world) composed() bool {
	ops := 0
	for _, n := range w.steps {
		if n.Op() != nil && n.Op().Arity() > 0 {
			ops++
		}
	}
	return ops > 1
}

// steady reports whether several runs on plain memory give the numbers of the first: if they do
// not, nothing can be said of what another run shows.
func (t *trial) steady() bool {
	for range 6 {
		if o, err := t.once(t.of, t.x); err != nil || !o.is(t.base) {
			return false
		}
	}
	return true
}

// others is not empty if the DoDiff of one of Gorgonia's own ops in the graph is wrong by itself,
// at the values that it has there: what a machine that calls it gives is then not the case's
// mistake.
func (t *trial) others() string {
	w, err := t.c.world(t.of, t.spent)
	if err != nil || !t.blameless(w) {
		return ""
	}
	at := w.leaves(t.x)
	nodes := w.steps
	if w.evaluate(nodes, at, false) != nil {
		return ""
	}
	for _, n := range nodes {
		args := w.args(n)
		if !native(n.Op()) || len(args) == 0 {
			continue
		}
		c := Case{Name: "one op", Build: func(in []*G.Node) (*G.Node, error) { return G.ApplyOp(n.Op(), in...) },
			Seed: t.c.Seed, Fixed: true, NoShrink: true, Strict: true, Only: []Oracle{ByDoDiff, ByLisp, ByLispAccumul}}
		for k, a := range args {
			v, err := values.Floats(at[a])
			if err != nil {
				return ""
			}
			in := Input{Name: fmt.Sprint("a", k), Shape: a.Shape().Clone(),
				Draw: func(_ *rand.Rand, x []float64) { copy(x, v) }}
			if a.Dtype() != tensor.Float64 && a.Dtype() != tensor.Float32 {
				in.Type = a.Dtype()
			}
			c.Inputs = append(c.Inputs, in)
		}
		if op, ok := n.Op().(G.SDOp); ok {
			for k, yes := range op.DiffWRT(len(args)) {
				if k < len(c.Inputs) && !yes {
					c.Inputs[k].Fixed = true
				}
			}
		}
		alone := &trial{spent: t.spent}
		if c.valid() == nil && c.run(alone) == nil && alone.failed() {
			return fmt.Sprintf("Gorgonia's own %v differentiates wrongly by DoDiff: not the op's mistake", n.Op())
		}
	}
	return ""
}

// excused replaces failing rows of an oracle that calls DoDiff, from a row on, by a note, where one
// of Gorgonia's own ops is to blame.
func (t *trial) excused(by Oracle, from int) {
	if !slices.ContainsFunc(t.rows[from:], func(r Row) bool { return r.Verdict == Fails }) {
		return
	}
	if why := t.others(); why != "" {
		t.rows = t.rows[:from]
		t.absent("gradients", by, false, errors.New(why))
	}
}
