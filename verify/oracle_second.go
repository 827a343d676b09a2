package verify

import (
	"fmt"
	"slices"
	"strings"

	"github.com/pkg/errors"
	G "gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/convgrad/convgrad/verify/internal/values"
)

// BySecond checks the derivatives of s = Σ ⟨dx, v⟩ by every input and by dy: the first derivative
// by SymDiff, then one Grad, against differences of the first derivative. (Gorgonia's Grad of a
// Grad is wrong.) A variable is judged if every way from s to it goes by arguments in which the ops
// say that they are differentiable. Where the first derivative has a kink nothing is judged.
const BySecond Oracle = "second derivatives"

var _ = register(oracle{name: BySecond, rank: 250, gradient: true, judge: (*trial).second})

func (t *trial) second() {
	w, err := t.c.world(t.of, t.spent)
	if err != nil {
		return
	}
	d, err := w.derive()
	if err != nil {
		return
	}
	if !slices.ContainsFunc(d.grads, func(n *G.Node) bool { return n != nil }) {
		return
	}
	weights := make([][]float64, len(t.x))
	var cost *G.Node
	err = guarded(func() error {
		for _, i := range w.wrt() {
			weights[i] = t.signs(len(t.x[i]))
			s, err := w.weighted(d.grads[i], "v "+w.c.Inputs[i].Name, weights[i])
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
		t.note("gradients", BySecond, Fails, err)
		return
	}
	var open, shut map[*G.Node]bool
	var closed string
	at := w.leaves(t.x)
	d.seed(at, t.dy)
	if w.evaluate(w.order(cost), at, false) != nil {
		return
	}
	err = guarded(func() error { open, shut, closed = w.differentiable(cost, at); return nil })
	if err != nil { // gorgonia.Grad would ask, too
		t.note("gradients", BySecond, Fails, errors.Wrap(err,
			"DiffWRT of an op of the gradient, which every gorgonia.Grad on this graph calls"))
		return
	}
	// The variables: the inputs, and the cotangents.
	type variable struct {
		n    *G.Node
		name string
		x    []float64
		i    int // input, or −1−output
	}
	var all []variable
	for _, i := range w.wrt() {
		all = append(all, variable{w.in[i], "d²/d" + w.c.Inputs[i].Name, t.x[i], i})
	}
	for o, n := range d.dy {
		if n != nil {
			name := "d²/d(d" + w.name(o) + ")"
			all = append(all, variable{n, name, w.part(o, t.dy), -1 - o})
		}
	}
	var wrt G.Nodes
	var which []variable
	offered := false
	for _, v := range all {
		switch {
		case shut[v.n]:
			t.absent(v.name, BySecond, t.c.Second, errors.New(closed))
		case open[v.n]:
			wrt, which = append(wrt, v.n), append(which, v)
			offered = true
		default: // s does not depend on it
			which = append(which, v)
		}
	}
	if !offered && closed != "" {
		return
	}
	got := map[*G.Node][]float64{}
	for _, v := range which {
		got[v.n] = make([]float64, len(v.x))
	}
	if len(wrt) > 0 {
		err = guarded(func() error {
			grads, err := G.Grad(cost, wrt...)
			if err != nil {
				return errors.Wrap(err, "gorgonia.Grad")
			}
			at := w.leaves(t.x)
			d.seed(at, t.dy)
			if err := w.evaluate(w.order(grads...), at, false); err != nil {
				return err
			}
			for e, n := range grads {
				if got[wrt[e]], err = values.Floats(at[n]); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			if closed != "" {
				t.absent("gradients", BySecond, t.c.Second, errors.Errorf("%s (%v)", closed, err))
				return
			}
			if no := refusal(err); no != nil {
				t.absent("gradients", BySecond, t.c.Second, no)
				return
			}
			t.note("gradients", BySecond, Fails, err)
			return
		}
	}
	// The function that is differenced is the first derivative, with dy for one more input.
	first, err := t.derived()
	if err != nil {
		return
	}
	f := func(x [][]float64) ([]float64, error) {
		o, err := first.at(first.leaves(x[:len(t.x)]), x[len(t.x)], false)
		if err != nil {
			return nil, err
		}
		s := 0.0
		for _, i := range first.wrt() {
			s += dot(o.dx[i], weights[i])
		}
		return []float64{s}, nil
	}
	wider := *t
	wider.rings = nil
	c := *t.c
	c.Inputs = append(slices.Clone(t.c.Inputs), Input{Name: "dy", Shape: tensor.Shape{len(t.dy)}})
	wider.c, wider.x, wider.rows = &c, append(slices.Clone(t.x), t.dy), nil
	here, err := f(wider.x)
	if err != nil {
		return
	}
	size := 0.0
	for _, v := range which {
		for e, g := range got[v.n] {
			size += abs(g * v.x[e])
		}
	}
	noise := wider.measured(f, wider.x, here, size)
	// What rounding cannot do to a sum of these terms is a jump of the first derivative at x.
	terms := 0.0
	for _, dx := range t.base.dx {
		for _, v := range dx {
			terms += abs(v)
		}
	}
	jumps := noise[0] > 1e-3*terms
	for _, v := range which {
		var j judged
		directions, unit := wider.few(len(v.x))
		for k, u := range directions {
			direction := make([][]float64, len(wider.x))
			if v.i >= 0 {
				direction[v.i] = u
			} else {
				direction[len(t.x)] = make([]float64, len(t.dy))
				copy(w.part(-1-v.i, direction[len(t.x)]), u)
			}
			terms := 0.0
			for e, m := range u {
				terms += abs(m * got[v.n][e])
			}
			p := wider.probe(f, here, noise, direction)
			p.sampled = true // at kinks nothing is judged
			g := dot(got[v.n], u)
			found, err := p.judge(g, []float64{1}, 8*t.u*float64(len(u)+64)*terms)
			if err != nil {
				t.note(v.name, BySecond, NotJudged, err)
				return
			}
			found.rough = jumps || found.rough || found.kinked || p.is[0] == oneSided
			if !found.rough && !found.admits(g) {
				// A kink in the first derivative that cancels in the sum: looked for once more.
				q := wider.probe(f, here, noise, direction)
				for {
					more, err := q.refine()
					if err != nil || !more {
						break
					}
				}
				if q.sample() == nil && q.is[0] != smooth {
					found.rough = true
				}
			}
			e := -1
			if unit != nil {
				e = unit[k]
			}
			j.found(g, found, e)
		}
		r := j.row(v.name, BySecond, []int{len(v.x)}, unit == nil)
		if m := r.Mismatch; m != nil {
			if m.Hint = ""; m.Index != nil && v.i >= 0 {
				m.Index = multiIndex(m.Index[0], t.c.Inputs[v.i].Shape)
			} else if m.Index != nil {
				m.Index = multiIndex(m.Index[0], w.shapes[-1-v.i])
			}
		}
		t.add(r)
	}
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
			} else if (c.Dtype() == tensor.Float64 || c.Dtype() == tensor.Float32) && w.depends(n, args, i, at) {
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
