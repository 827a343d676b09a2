package verify

import (
	"fmt"
	"math"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/pkg/errors"
	G "gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/convgrad/convgrad/verify/internal/values"
)

// An effort is what a check has cost so far, and when it must end.
type effort struct {
	deadline time.Time
	work     int // elements of all nodes that were computed by hand, and 64 for each node
}

func (e *effort) over() bool { return time.Now().After(e.deadline) }

// A world is the case's graph for one element type.
type world struct {
	c      *Case
	of     tensor.Dtype
	g      *G.ExprGraph
	in     []*G.Node
	y      []*G.Node // the outputs
	shapes [][]int   // theirs
	n      int       // elements of all outputs
	steps  []*G.Node // what the outputs need, arguments first
	known  map[*G.Node][]*G.Node

	spent     *effort
	preallocs int // ops that were run by UsePreallocDo
}

// A flaw is an error that an op must not give, whatever it is asked: a panic, or a result that is
// not what it announced.
type flaw struct{ error }

// guarded turns a panic into an error that says where it was.
func guarded(f func() error) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = flaw{errors.Errorf("panic: %v%s", r, origin())}
		}
	}()
	return f()
}

// origin is the function that panicked, as far as it is neither the runtime's nor this package's.
func origin() string {
	pcs := make([]uintptr, 64)
	frames := runtime.CallersFrames(pcs[:runtime.Callers(3, pcs)])
	panicking := false
	for {
		f, more := frames.Next()
		switch {
		case f.Function == "runtime.gopanic":
			panicking = true
		case panicking && !strings.HasPrefix(f.Function, "runtime."):
			return fmt.Sprintf(" (in %s, line %d)", f.Function[strings.LastIndex(f.Function, "/")+1:], f.Line)
		}
		if !more {
			return ""
		}
	}
}

// world builds the case's graph; worldOf that of other outputs of the same inputs.
func (c *Case) world(of tensor.Dtype, spent *effort) (*world, error) {
	return c.worldOf(c.nodes, of, spent)
}

func (c *Case) worldOf(build func([]*G.Node) (G.Nodes, error), of tensor.Dtype, spent *effort) (*world, error) {
	w := &world{c: c, of: of, g: G.NewGraph(), spent: spent, known: map[*G.Node][]*G.Node{}}
	err := guarded(func() error {
		for _, in := range c.Inputs {
			w.in = append(w.in, values.Leaf(w.g, in.Name, in.dtype(of), in.Shape))
		}
		y, err := build(append([]*G.Node(nil), w.in...))
		if err != nil {
			return err
		}
		if len(y) == 0 || slices.Contains(y, nil) {
			return errors.New("build returned neither a node nor an error")
		}
		for _, n := range y {
			w.y = append(w.y, n)
			w.shapes = append(w.shapes, append([]int(nil), n.Shape()...))
			w.n += n.Shape().TotalSize()
		}
		w.steps = w.order(w.y...)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return w, nil
}

// real reports whether an output has a float type, and so a cotangent.
func (w *world) real(o int) bool { return values.Float(w.y[o].Dtype()) }

// part is the share of an output in an array of all outputs.
func (w *world) part(o int, all []float64) []float64 {
	from := 0
	for k := range o {
		from += tensor.Shape(w.shapes[k]).TotalSize()
	}
	return all[from : from+tensor.Shape(w.shapes[o]).TotalSize()]
}

// index names an element of the array of all outputs: the output and the index in it.
func (w *world) index(at int) (o int, index []int) {
	for o, s := range w.shapes {
		n := tensor.Shape(s).TotalSize()
		if at < n {
			return o, values.Index(at, s)
		}
		at -= n
	}
	return 0, nil
}

// name is what the rows call an output.
func (w *world) name(o int) string {
	if len(w.y) == 1 {
		return "y"
	}
	return fmt.Sprint("y", o)
}

// args are a node's arguments, in order.
func (w *world) args(n *G.Node) []*G.Node {
	if all, ok := w.known[n]; ok {
		return all
	}
	var all []*G.Node
	if it := w.g.From(n.ID()); it != nil {
		for it.Next() {
			if m, ok := it.Node().(*G.Node); ok {
				all = append(all, m)
			}
		}
	}
	w.known[n] = all
	return all
}

// order lists what the nodes need, arguments first.
func (w *world) order(roots ...*G.Node) []*G.Node {
	var all []*G.Node
	seen := map[*G.Node]bool{}
	var visit func(n *G.Node)
	visit = func(n *G.Node) {
		if seen[n] {
			return
		}
		seen[n] = true
		for _, c := range w.args(n) {
			visit(c)
		}
		all = append(all, n)
	}
	for _, n := range roots {
		visit(n)
	}
	return all
}

// An assignment maps nodes to their values in one run by hand.
type assignment map[*G.Node]G.Value

// evaluate runs the ops of the nodes by hand, on this goroutine: a panic that would end the process
// under Gorgonia's machines is an error here. dirty computes into memory full of NaN where an op
// offers UsePreallocDo.
func (w *world) evaluate(nodes []*G.Node, at assignment, dirty bool) error {
	for _, n := range nodes {
		if _, ok := at[n]; ok {
			continue
		}
		w.spent.work += 64 + n.Shape().TotalSize()
		op := n.Op()
		if op == nil || op.Arity() == 0 && n.Value() != nil {
			if n.Value() == nil {
				return errors.Errorf("the node %v has no value: the case feeds only its own inputs", n)
			}
			at[n] = n.Value()
			continue
		}
		args := w.args(n)
		in := make([]G.Value, len(args))
		for i, c := range args {
			in[i] = at[c]
		}
		for i, v := range in {
			if v == nil {
				return errors.Errorf("argument %d of %v has no value", i, op)
			}
		}
		err := guarded(func() (err error) {
			if p, ok := op.(G.UsePreallocDoer); dirty && ok && n.Shape().Dims() > 0 {
				with := math.NaN()
				if !values.Float(n.Dtype()) {
					with = -7
				}
				w.preallocs++
				full := values.Of(n.Dtype(), n.Shape(), filled(n.Shape().TotalSize(), with))
				if at[n], err = p.UsePreallocDo(full, in...); err != nil {
					return err
				}
				return fits(n, at[n], "UsePreallocDo")
			}
			if at[n], err = op.Do(in...); err != nil {
				return err
			}
			return fits(n, at[n], "Do")
		})
		if err != nil {
			return errors.Wrapf(err, "%v", op)
		}
	}
	return nil
}

// fits wants of a value what the node's type and shape say. A tensor of one element stands for a
// scalar, and a scalar for one.
func fits(n *G.Node, v G.Value, by string) error {
	switch {
	case v == nil:
		return flaw{errors.Errorf("%s returns neither a value nor an error", by)}
	case v.Dtype() != n.Dtype():
		return flaw{errors.Errorf("%s returns %v, and Type says %v", by, v.Dtype(), n.Dtype())}
	case !v.Shape().Eq(n.Shape()) && !(v.Shape().TotalSize() == 1 && n.Shape().TotalSize() == 1):
		return flaw{errors.Errorf("%s returns a value of shape %v, and InferShape says %v", by, v.Shape(), n.Shape())}
	}
	return nil
}

// leaves are the inputs' values.
func (w *world) leaves(x [][]float64) assignment {
	at := assignment{}
	for i, n := range w.in {
		in := &w.c.Inputs[i]
		at[n] = values.Of(in.dtype(w.of), in.Shape, x[i])
	}
	return at
}

// read is the array of all outputs.
func (w *world) read(at assignment) ([]float64, error) {
	y := make([]float64, 0, w.n)
	for _, n := range w.y {
		v, err := values.Floats(at[n])
		if err != nil {
			return nil, err
		}
		y = append(y, v...)
	}
	return y, nil
}

// forward is y of x, by hand.
func (w *world) forward(x [][]float64) ([]float64, error) {
	at := w.leaves(x)
	if err := w.evaluate(w.steps, at, false); err != nil {
		return nil, err
	}
	return w.read(at)
}

// cotangents adds a node dy for each output of floats.
func (w *world) cotangents() []*G.Node {
	dy := make([]*G.Node, len(w.y))
	for o, s := range w.shapes {
		if w.real(o) {
			dy[o] = values.Leaf(w.g, "verify: d"+w.name(o), w.y[o].Dtype(), s)
		}
	}
	return dy
}

// wrt are the inputs that have gradients.
func (w *world) wrt() []int {
	var all []int
	for i := range w.c.Inputs {
		if w.c.Inputs[i].active() {
			all = append(all, i)
		}
	}
	return all
}

// active are the nodes that an input with a gradient reaches through arguments in which ops say
// that they are differentiable. closed says where ops say the contrary.
func (w *world) active(nodes []*G.Node) (on map[*G.Node]bool, closed string) {
	on = map[*G.Node]bool{}
	for _, i := range w.wrt() {
		on[w.in[i]] = true
	}
	for _, n := range nodes {
		args := w.args(n)
		var wrt []bool
		if op, ok := n.Op().(G.SDOp); ok && len(args) > 0 {
			wrt = op.DiffWRT(len(args))
		}
		for i, c := range args {
			switch {
			case !on[c]:
			case i >= len(wrt) || wrt[i]: // without SymDiff, symbolic says so
				on[n] = true
			default:
				closed = fmt.Sprintf(", or none that goes by way of argument %d of %v, whose DiffWRT is %v", i, n.Op(), wrt)
			}
		}
	}
	return on, closed
}

// derive differentiates by SymDiff, node by node.
func (w *world) derive() (*derivation, error) {
	d := &derivation{world: w, dy: w.cotangents(), grads: make([]*G.Node, len(w.in))}
	err := guarded(func() error {
		nodes := w.steps
		on, closed := w.active(nodes)
		terms := map[*G.Node][]*G.Node{}
		for o, n := range w.y {
			if d.dy[o] != nil {
				terms[n] = append(terms[n], d.dy[o])
			}
		}
		sum := func(n *G.Node) (s *G.Node, err error) {
			for _, t := range terms[n] {
				if s == nil {
					s = t
				} else if s, err = G.Add(s, t); err != nil {
					return nil, err
				}
			}
			return s, nil
		}
		for i := len(nodes) - 1; i >= 0; i-- {
			n := nodes[i]
			args := w.args(n)
			if !on[n] || len(args) == 0 || len(terms[n]) == 0 {
				continue
			}
			op, ok := n.Op().(G.SDOp)
			if !ok {
				return errors.Errorf("%v has no SymDiff (type %T)", n.Op(), n.Op())
			}
			wrt := op.DiffWRT(len(args))
			if len(wrt) != len(args) {
				return errors.Errorf("%v: DiffWRT(%d) has %d entries, want %d", op, len(args), len(wrt), len(args))
			}
			g, err := sum(n)
			if err != nil {
				return err
			}
			made, err := op.SymDiff(args, n, g)
			if err != nil {
				return errors.Wrapf(err, "SymDiff of %v", op)
			}
			if len(made) != len(args) {
				return errors.Errorf("SymDiff of %v returns %d nodes, want one for each of %d arguments", op, len(made), len(args))
			}
			for k, c := range args {
				if on[c] && wrt[k] {
					if made[k] == nil {
						return errors.Errorf("SymDiff of %v returns nil for argument %d, in which DiffWRT says it is differentiable", op, k)
					}
					terms[c] = append(terms[c], made[k])
				}
			}
		}
		roots := slices.Clone(w.y)
		for _, i := range w.wrt() {
			n, err := sum(w.in[i])
			switch {
			case err != nil:
				return err
			case n == nil:
				return errors.Errorf("y has no derivative by %s%s: if that is so, say AsFixed", w.c.Inputs[i].Name, closed)
			case !n.Shape().Eq(w.in[i].Shape()):
				return errors.Errorf("the gradient of %s has shape %v, the input %v", w.c.Inputs[i].Name, n.Shape(), w.in[i].Shape())
			}
			d.grads[i], roots = n, append(roots, n)
		}
		d.nodes = w.order(roots...)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return d, nil
}

// A derivation is the graph with its gradients, ready to be evaluated by hand.
type derivation struct {
	*world
	dy    []*G.Node // nil for an output of integers
	grads []*G.Node // nil for an input without a derivative
	nodes []*G.Node
}

// seed adds the values of the cotangents, unless they are there.
func (d *derivation) seed(leaves assignment, dy []float64) {
	for o, n := range d.dy {
		if n != nil && leaves[n] == nil {
			leaves[n] = values.Of(n.Dtype(), d.shapes[o], d.part(o, dy))
		}
	}
}

// at evaluates y and the gradients at given values of the inputs.
func (d *derivation) at(leaves assignment, dy []float64, dirty bool) (o outcome, err error) {
	d.seed(leaves, dy)
	if err := d.evaluate(d.nodes, leaves, dirty); err != nil {
		return o, err
	}
	if o.y, err = d.read(leaves); err != nil {
		return o, err
	}
	for i, n := range d.grads {
		if o.dx == nil {
			o.dx = make([][]float64, len(d.in))
		}
		if n != nil {
			if o.dx[i], err = values.Floats(leaves[n]); err != nil {
				return o, err
			}
		}
	}
	return o, nil
}

// An outcome is what one way of running the case gave.
type outcome struct {
	y  []float64
	dx [][]float64 // nil for an input without a gradient
}

// accumulating runs DoDiff by hand, as LispMachine does: every node bound to its value and a
// gradient of zeros, y's being dy.
func (w *world) accumulating(x [][]float64, dy []float64) (o outcome, err error) {
	err = guarded(func() error {
		nodes := w.steps
		on, _ := w.active(nodes)
		at := w.leaves(x)
		if err := w.evaluate(nodes, at, false); err != nil {
			return err
		}
		if o.y, err = w.read(at); err != nil {
			return err
		}
		for _, n := range nodes {
			zero := make([]float64, n.Shape().TotalSize())
			for k, y := range w.y {
				if n == y && w.real(k) {
					for e, v := range w.part(k, dy) {
						zero[e] += v
					}
				}
			}
			G.WithValue(at[n])(n)
			G.WithGrad(values.Of(n.Dtype(), n.Shape(), zero))(n)
		}
		for i := len(nodes) - 1; i >= 0; i-- {
			n := nodes[i]
			args := w.args(n)
			if !on[n] || len(args) == 0 {
				continue
			}
			op, ok := n.Op().(G.ADOp)
			if !ok {
				return notAD{errors.Errorf("%v has no DoDiff (type %T): LispMachine would pass it over in silence", n.Op(), n.Op())}
			}
			if err := op.DoDiff(G.ExecutionContext{}, args, n); err != nil {
				return errors.Wrapf(err, "DoDiff of %v", op)
			}
		}
		o.dx = make([][]float64, len(w.in))
		for _, i := range w.wrt() {
			g, err := w.in[i].Grad()
			if err != nil {
				return err
			}
			if o.dx[i], err = values.Floats(g); err != nil {
				return err
			}
		}
		return nil
	})
	return o, err
}

// notAD is the error for an op that LispMachine cannot differentiate.
type notAD struct{ error }

// Gorgonia's own machines.
var (
	tapeMachine = Machine{"TapeMachine", func(g *G.ExprGraph, _ ...*G.Node) (G.VM, error) {
		return G.NewTapeMachine(g), nil
	}}
	lispMachine = Machine{"LispMachine", func(g *G.ExprGraph, _ ...*G.Node) (G.VM, error) {
		return G.NewLispMachine(g), nil
	}}
)

// machine runs the case on a machine. The cost is Σ y ⊙ dy + Σ second ⊙ x, so that the gradients
// are dx + second: with second, every input has a second consumer.
func (w *world) machine(on Machine, runs int, x [][]float64, dy []float64, second [][]float64) (o outcome, err error) {
	err = guarded(func() error {
		for i, v := range w.leaves(x) {
			if err := G.Let(i, v); err != nil {
				return err
			}
		}
		var cost *G.Node
		for k, n := range w.y {
			if w.real(k) {
				cost = w.plus(cost, n, "d"+w.name(k), w.part(k, dy))
			}
		}
		var wrt G.Nodes
		for _, i := range w.wrt() {
			if wrt = append(wrt, w.in[i]); second != nil {
				cost = w.plus(cost, w.in[i], fmt.Sprint("second ", i), second[i])
			}
		}
		lisp := on.Name == lispMachine.Name
		var grads G.Nodes
		if !lisp {
			if grads, err = G.Grad(cost, wrt...); err != nil {
				return errors.Wrap(err, "gorgonia.Grad")
			}
		}
		m, err := on.New(w.g, append(append(append(G.Nodes(nil), w.y...), cost), grads...)...)
		if err != nil {
			return err
		}
		defer m.Close()
		for range runs {
			if err := m.RunAll(); err != nil {
				return err
			}
		}
		if runs > 1 { // a further machine, which keeps its outputs
			at := assignment{}
			for _, n := range w.y {
				at[n] = n.Value()
			}
			if o.y, err = w.read(at); err != nil {
				return err
			}
		}
		o.dx = make([][]float64, len(w.in))
		for k, i := range w.wrt() {
			var g G.Value
			if lisp {
				if g, err = w.in[i].Grad(); err != nil {
					return err
				}
			} else {
				g = grads[k].Value()
			}
			if o.dx[i], err = values.Floats(g); err != nil {
				return errors.Wrapf(err, "the gradient of %s", w.c.Inputs[i].Name)
			}
		}
		return nil
	})
	return o, err
}

// plus is cost + Σ n ⊙ weights. It panics where Gorgonia refuses that.
func (w *world) plus(cost, n *G.Node, name string, weights []float64) *G.Node {
	s := G.Must(values.Weighted(n, "verify: "+name, weights))
	if cost != nil {
		s = G.Must(G.Add(cost, s))
	}
	return s
}
