package verify

import (
	"fmt"
	"slices"
	"strings"

	"github.com/pkg/errors"
	G "gorgonia.org/gorgonia"

	"github.com/convgrad/convgrad/verify/internal/values"
)

// BySecond checks the derivatives of s = Σ ⟨dx, v⟩ by every input and by dy: the first derivative
// by SymDiff, then one Grad, against differences of the first derivative. (Gorgonia's Grad of a
// Grad is wrong.) A variable is judged if every way from s to it goes by arguments in which the ops
// say that they are differentiable. Where the first derivative has a kink nothing is judged.
const BySecond Oracle = "second derivatives"

var _ = register(oracle{name: BySecond, rank: 250, gradient: true, judge: (*trial).second})

func (t *trial) second() {
	d, at, err := t.anew(t.of, t.x)
	if err != nil || !slices.ContainsFunc(d.grads, func(n *G.Node) bool { return n != nil }) {
		return
	}
	weights := make([][]float64, len(t.x))
	var cost *G.Node
	err = guarded(func() error {
		for _, i := range d.wrt() {
			weights[i] = t.signs(len(t.x[i]))
			cost = d.plus(cost, d.grads[i], "v "+t.c.Inputs[i].Name, weights[i])
		}
		return nil
	})
	if err != nil {
		t.note("gradients", BySecond, Fails, err)
		return
	}
	if d.evaluate(d.order(cost), at, false) != nil {
		return
	}
	var open, shut map[*G.Node]bool
	var closed string
	err = guarded(func() error { open, shut, closed = d.differentiable(cost, at); return nil })
	if err != nil { // gorgonia.Grad would ask, too
		t.note("gradients", BySecond, Fails, errors.Wrap(err,
			"DiffWRT of an op of the gradient, which every gorgonia.Grad on this graph calls"))
		return
	}
	// What is differenced is the first derivative, whose inputs are also the cotangents.
	wider, c := *t, *t.c
	wider.c, wider.x, wider.rings, wider.rows, wider.wrong = &c, slices.Clone(t.x), nil, nil, nil
	c.Inputs = slices.Clone(t.c.Inputs)
	variables := map[int]*G.Node{} // by input
	for _, i := range d.wrt() {
		variables[i] = d.in[i]
	}
	for o, n := range d.dy {
		i := len(c.Inputs)
		c.Inputs = append(c.Inputs, Input{Name: "(d" + d.name(o) + ")", Shape: d.shapes[o], Fixed: n == nil})
		if wider.x = append(wider.x, d.part(o, t.dy)); n != nil {
			variables[i] = n
		}
	}
	// what Grad gives, zeros where s does not depend on it
	wider.base.dx = make([][]float64, len(c.Inputs))
	var wrt G.Nodes
	var judging, of []int
	for i := range c.Inputs {
		switch n := variables[i]; {
		case n == nil:
			continue
		case shut[n]:
			t.absent("d²/d"+c.Inputs[i].Name, BySecond, t.c.Second, errors.New(closed))
			continue
		case open[n]:
			wrt, of = append(wrt, n), append(of, i)
		}
		judging = append(judging, i)
		wider.base.dx[i] = make([]float64, len(wider.x[i]))
	}
	if len(wrt) == 0 && closed != "" {
		return
	}
	if err := d.grad(cost, wrt, of, t, wider.base.dx); err != nil {
		switch no := refusal(err); {
		case closed != "":
			t.absent("gradients", BySecond, t.c.Second, errors.Errorf("%s (%v)", closed, err))
		case no != nil:
			t.absent("gradients", BySecond, t.c.Second, no)
		default:
			t.note("gradients", BySecond, Fails, err)
		}
		return
	}
	first, err := t.derived()
	if err != nil {
		return
	}
	f := func(x [][]float64) ([]float64, error) {
		o, err := first.at(first.leaves(x[:len(t.x)]), slices.Concat(x[len(t.x):]...), false)
		s := 0.0
		for i, dx := range o.dx {
			s += dot(dx, weights[i])
		}
		return []float64{s}, err
	}
	here, err := f(wider.x)
	if err != nil {
		return
	}
	size, terms := 0.0, 0.0
	for _, i := range judging {
		for e, g := range wider.base.dx[i] {
			size += abs(g * wider.x[i][e])
		}
	}
	for _, v := range slices.Concat(t.base.dx...) {
		terms += abs(v)
	}
	noise := wider.measured(f, wider.x, here, size)
	// What rounding cannot do to a sum of these terms is a jump of the first derivative at x.
	jumps := noise[0] > 1e-3*terms
	for _, i := range judging {
		got := wider.base.dx[i]
		directions, which := wider.few(len(got))
		wider.along("d²/d"+c.Inputs[i].Name, BySecond, i, got, directions, which, func(_ int, u []float64, g float64) (finding, error) {
			terms := 0.0
			for e, m := range u {
				terms += abs(m * got[e])
			}
			p := wider.probe(f, here, noise, wider.moving(i, u))
			p.sampled = true // at kinks nothing is judged
			found, err := p.judge(g, []float64{1}, 8*t.u*float64(len(u)+64)*terms)
			found.rough = jumps || found.rough || found.kinked || p.is[0] == oneSided
			if err != nil || found.rough || found.admits(g) {
				return found, err
			}
			// A kink in the first derivative that cancels in the sum: looked for once more.
			q := wider.probe(f, here, noise, wider.moving(i, u))
			for more := true; more && err == nil; {
				more, err = q.refine()
			}
			found.rough = q.sample() == nil && q.is[0] != smooth
			return found, nil
		})
	}
	for _, r := range wider.rows {
		if r.Mismatch != nil {
			r.Mismatch.Hint = ""
		}
		t.add(r)
	}
}

// grad is what gorgonia.Grad gives for nodes, at the trial's values.
func (d *derivation) grad(cost *G.Node, wrt G.Nodes, of []int, t *trial, to [][]float64) error {
	if len(wrt) == 0 {
		return nil
	}
	return guarded(func() error {
		grads, err := G.Grad(cost, wrt...)
		if err != nil {
			return errors.Wrap(err, "gorgonia.Grad")
		}
		at := d.leaves(t.x)
		d.seed(at, t.dy)
		if err := d.evaluate(d.order(grads...), at, false); err != nil {
			return err
		}
		for k, n := range grads {
			if to[of[k]], err = values.Floats(at[n]); err != nil {
				return err
			}
		}
		return nil
	})
}

// refusal is what an op's own SymDiff says in place of a derivative, or nil if err, of
// gorgonia.Grad, is another.
func refusal(err error) error {
	const says = ".SymDiff() failed: "
	var of G.SymDiffError
	if !errors.As(err, &of) || of.Node() == nil || !strings.HasPrefix(of.Error(), says) {
		return nil
	}
	return errors.Errorf("not offered: SymDiff of %v: %s", of.Node().Op(), strings.TrimPrefix(of.Error(), says))
}

// few are the directions of second derivatives, which are dearer than the first ones.
func (t *trial) few(n int) (all [][]float64, which []int) {
	most := 24
	if t.at != "" {
		most = 6
	}
	if n <= most && t.c.Sample == 0 {
		for e := range n {
			all, which = append(all, unit(n, e)), append(which, e)
		}
		return all, which
	}
	for range 2 {
		all = append(all, t.signs(n))
	}
	return all, nil
}

// differentiable are the nodes that the cost reaches through arguments in which ops say that they
// are differentiable; those that it reaches through others, too; and what stopped the walk there.
// An op may rightly say so of an argument that does not change its result: that stops nothing.
func (w *world) differentiable(cost *G.Node, at assignment) (open, shut map[*G.Node]bool, closed string) {
	open, shut = map[*G.Node]bool{}, map[*G.Node]bool{}
	var refuse func(n *G.Node)
	refuse = func(n *G.Node) {
		if shut[n] {
			return
		}
		shut[n] = true
		for _, c := range w.args(n) {
			refuse(c)
		}
	}
	var visit func(n *G.Node)
	visit = func(n *G.Node) {
		if open[n] {
			return
		}
		open[n] = true
		args := w.args(n)
		if len(args) == 0 {
			return
		}
		op, ok := n.Op().(G.SDOp)
		if !ok {
			closed = fmt.Sprintf("not offered: %v has no SymDiff", n.Op())
			for _, c := range args {
				refuse(c)
			}
			return
		}
		wrt := op.DiffWRT(len(args))
		for i, c := range args {
			if i < len(wrt) && wrt[i] {
				visit(c)
			} else if values.Float(c.Dtype()) && w.depends(n, args, i, at) {
				closed = fmt.Sprintf("not offered: %v says that it is not differentiable in argument %d", op, i)
				refuse(c)
			}
		}
	}
	visit(cost)
	return open, shut, closed
}

// depends reports whether the result of a node changes with one of its arguments, near its value.
func (w *world) depends(n *G.Node, args []*G.Node, i int, at assignment) bool {
	before, err := values.Floats(at[n])
	if err != nil {
		return true
	}
	for _, by := range []float64{0x1p-5, -0x1p-4} {
		v, err := values.Floats(at[args[i]])
		if err != nil {
			return true
		}
		for e := range v {
			v[e] += by * max(abs(v[e]), 0x1p-2) * float64(1+e%3)
		}
		var in []G.Value
		for k, c := range args {
			if in = append(in, at[c]); k == i {
				in[k] = values.Of(c.Dtype(), c.Shape(), v)
			}
		}
		var after []float64
		err = guarded(func() error {
			y, err := n.Op().Do(in...)
			if err == nil {
				after, err = values.Floats(y)
			}
			return err
		})
		if err != nil || !same(before, after) {
			return true
		}
	}
	return false
}
