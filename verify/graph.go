package verify

import (
	"fmt"
	"math"
	"runtime"
	"strings"

	"github.com/pkg/errors"
	G "gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// A world is the case's graph for one element type.
type world struct {
	c     *Case
	of    tensor.Dtype
	g     *G.ExprGraph
	in    []*G.Node
	y     *G.Node
	shape []int // of y

	dy        *G.Node // if it was derived
	preallocs int     // ops that were run by UsePreallocDo
}

// A flaw is an error that an op must not give, whatever it is asked: a panic, or a result that is not what it announced.
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

func (c *Case) world(of tensor.Dtype) (*world, error) { return c.worldOf(c.Build, of) }

func (c *Case) worldOf(build Build, of tensor.Dtype) (*world, error) {
	w := &world{c: c, of: of, g: G.NewGraph()}
	err := guarded(func() (err error) {
		for _, in := range c.Inputs {
			t := of
			if in.Whole {
				t = tensor.Int
			}
			if len(in.Shape) == 0 {
				w.in = append(w.in, G.NewScalar(w.g, t, G.WithName(in.Name)))
			} else {
				w.in = append(w.in, G.NewTensor(w.g, t, len(in.Shape), G.WithShape(in.Shape...), G.WithName(in.Name)))
			}
		}
		if w.y, err = build(append([]*G.Node(nil), w.in...)); err != nil {
			return err
		}
		if w.y == nil {
			return errors.New("build returned neither a node nor an error")
		}
		w.shape = append([]int(nil), w.y.Shape()...)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return w, nil
}

// value is the numbers as a value of a node of the shape and type.
func value(of tensor.Dtype, shape tensor.Shape, v []float64) G.Value {
	switch {
	case len(shape) == 0 && of == tensor.Float64:
		return G.NewF64(v[0])
	case len(shape) == 0 && of == tensor.Float32:
		return G.NewF32(float32(v[0]))
	case len(shape) == 0:
		return G.NewI(int(v[0]))
	}
	return tensor.New(tensor.WithShape(shape...), tensor.WithBacking(backing(of, v)))
}

func backing(of tensor.Dtype, v []float64) any {
	switch of {
	case tensor.Float32:
		f := make([]float32, len(v))
		for i, x := range v {
			f[i] = float32(x)
		}
		return f
	case tensor.Int:
		return integers[int](v)
	case tensor.Int32:
		return integers[int32](v)
	case tensor.Int64:
		return integers[int64](v)
	}
	return append([]float64(nil), v...)
}

func integers[T int | int32 | int64](v []float64) []T {
	f := make([]T, len(v))
	for i, x := range v {
		f[i] = T(x)
	}
	return f
}

// floats reads a value's elements in row-major order, whatever its strides.
func floats(v G.Value) ([]float64, error) {
	if v == nil {
		return nil, errors.New("there is no value")
	}
	var at func(i int) float64
	n := 1
	switch d := v.Data().(type) {
	case float64:
		return []float64{d}, nil
	case float32:
		return []float64{float64(d)}, nil
	case int:
		return []float64{float64(d)}, nil
	case []float64:
		at, n = func(i int) float64 { return d[i] }, len(d)
	case []float32:
		at, n = func(i int) float64 { return float64(d[i]) }, len(d)
	case []int:
		at, n = func(i int) float64 { return float64(d[i]) }, len(d)
	case []int32:
		at, n = func(i int) float64 { return float64(d[i]) }, len(d)
	case []int64:
		at, n = func(i int) float64 { return float64(d[i]) }, len(d)
	default:
		return nil, errors.Errorf("a value of type %T, want floats or integers", v.Data())
	}
	t, ok := v.(tensor.Tensor)
	if !ok {
		return nil, errors.Errorf("a value of type %T", v)
	}
	shape, strides := t.Shape(), t.Strides()
	if len(strides) != len(shape) { // the tensor package gives scalars none, and a column-major (1, n) or (n, 1) only one
		step := 1
		if len(strides) == 1 {
			step = strides[0]
		}
		strides = shape.CalcStrides()
		for a := range strides {
			strides[a] *= step
		}
	}
	f := make([]float64, shape.TotalSize())
	for i := range f {
		k := 0
		for a, x := range multiIndex(i, shape) {
			k += x * strides[a]
		}
		if k < 0 || k >= n {
			return nil, errors.Errorf("a tensor of shape %v and strides %v over %d elements", shape, strides, n)
		}
		f[i] = at(k)
	}
	return f, nil
}

// children are a node's arguments, in order.
func children(g *G.ExprGraph, n *G.Node) []*G.Node {
	it := g.From(n.ID())
	if it == nil {
		return nil
	}
	var c []*G.Node
	for it.Next() {
		if m, ok := it.Node().(*G.Node); ok {
			c = append(c, m)
		}
	}
	return c
}

// order lists what the nodes need, arguments first.
func order(g *G.ExprGraph, roots ...*G.Node) []*G.Node {
	var all []*G.Node
	seen := map[*G.Node]bool{}
	var visit func(n *G.Node)
	visit = func(n *G.Node) {
		if seen[n] {
			return
		}
		seen[n] = true
		for _, c := range children(g, n) {
			visit(c)
		}
		all = append(all, n)
	}
	for _, n := range roots {
		visit(n)
	}
	return all
}

// A values maps nodes to their values in one run by hand.
type values map[*G.Node]G.Value

// evaluate runs the ops of the nodes by hand, on this goroutine: a panic that would end the process under Gorgonia's machines is an error here. dirty computes into memory full of NaN where an op offers UsePreallocDo.
func (w *world) evaluate(nodes []*G.Node, at values, dirty bool) error {
	for _, n := range nodes {
		if _, ok := at[n]; ok {
			continue
		}
		op := n.Op()
		if op == nil || op.Arity() == 0 && n.Value() != nil {
			if n.Value() == nil {
				return errors.Errorf("the node %v has no value: the case feeds only its own inputs", n)
			}
			at[n] = n.Value()
			continue
		}
		var in []G.Value
		for _, c := range children(w.g, n) {
			in = append(in, at[c])
		}
		err := guarded(func() (err error) {
			if p, ok := op.(G.UsePreallocDoer); dirty && ok && n.Shape().Dims() > 0 {
				full := make([]float64, n.Shape().TotalSize())
				for i := range full {
					full[i] = math.NaN()
				}
				if n.Dtype() != tensor.Float64 && n.Dtype() != tensor.Float32 {
					for i := range full {
						full[i] = -7
					}
				}
				w.preallocs++
				if at[n], err = p.UsePreallocDo(value(n.Dtype(), n.Shape(), full), in...); err != nil {
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

// fits wants of a value what the node's type and shape say. A tensor of one element stands for a scalar, and a scalar for one.
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
func (w *world) leaves(x [][]float64) values {
	at := values{}
	for i, n := range w.in {
		t := w.of
		if w.c.Inputs[i].Whole {
			t = tensor.Int
		}
		at[n] = value(t, w.c.Inputs[i].Shape, x[i])
	}
	return at
}

// forward is y of x, by hand.
func (w *world) forward(x [][]float64) ([]float64, error) {
	at := w.leaves(x)
	if err := w.evaluate(order(w.g, w.y), at, false); err != nil {
		return nil, err
	}
	return floats(at[w.y])
}

// cotangent adds the node dy of y's shape.
func (w *world) cotangent() *G.Node {
	if len(w.shape) == 0 {
		return G.NewScalar(w.g, w.of, G.WithName("verify: dy"))
	}
	return G.NewTensor(w.g, w.of, len(w.shape), G.WithShape(w.shape...), G.WithName("verify: dy"))
}

// wrt are the inputs that have gradients.
func (w *world) wrt() []int {
	var all []int
	for i, in := range w.c.Inputs {
		if !in.Fixed && !in.Whole {
			all = append(all, i)
		}
	}
	return all
}

// active are the nodes that an input with a gradient reaches through arguments in which ops say that they are differentiable. closed says where ops say the contrary.
func (w *world) active(nodes []*G.Node) (on map[*G.Node]bool, closed string) {
	on = map[*G.Node]bool{}
	for _, i := range w.wrt() {
		on[w.in[i]] = true
	}
	for _, n := range nodes {
		args := children(w.g, n)
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

// symbolic differentiates by SymDiff, node by node, and returns dy and the gradients' nodes; nil for an input without one.
func (w *world) symbolic() (dy *G.Node, grads []*G.Node, err error) {
	err = guarded(func() error {
		nodes := order(w.g, w.y)
		on, closed := w.active(nodes)
		dy = w.cotangent()
		terms := map[*G.Node][]*G.Node{w.y: {dy}}
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
			args := children(w.g, n)
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
			d, err := op.SymDiff(args, n, g)
			if err != nil {
				return errors.Wrapf(err, "SymDiff of %v", op)
			}
			if len(d) != len(args) {
				return errors.Errorf("SymDiff of %v returns %d nodes, want one for each of %d arguments", op, len(d), len(args))
			}
			for k, c := range args {
				if on[c] && wrt[k] {
					if d[k] == nil {
						return errors.Errorf("SymDiff of %v returns nil for argument %d, in which DiffWRT says it is differentiable", op, k)
					}
					terms[c] = append(terms[c], d[k])
				}
			}
		}
		grads = make([]*G.Node, len(w.in))
		for _, i := range w.wrt() {
			if grads[i], err = sum(w.in[i]); err != nil {
				return err
			}
			if grads[i] == nil {
				return errors.Errorf("y has no derivative by %s%s: if that is so, say AsFixed", w.c.Inputs[i].Name, closed)
			}
			if !grads[i].Shape().Eq(w.in[i].Shape()) {
				return errors.Errorf("the gradient of %s has shape %v, the input %v", w.c.Inputs[i].Name, grads[i].Shape(), w.in[i].Shape())
			}
		}
		return nil
	})
	return dy, grads, err
}

// A derivation is the graph with its gradients, ready to be evaluated by hand.
type derivation struct {
	*world
	dy    *G.Node
	grads []*G.Node
	nodes []*G.Node
}

func (w *world) derive() (*derivation, error) {
	dy, grads, err := w.symbolic()
	if err != nil {
		return nil, err
	}
	roots := []*G.Node{w.y}
	for _, n := range grads {
		if n != nil {
			roots = append(roots, n)
		}
	}
	return &derivation{w, dy, grads, order(w.g, roots...)}, nil
}

// at evaluates y and the gradients at given values of the inputs.
func (d *derivation) at(leaves values, dy []float64, dirty bool) (o outcome, err error) {
	leaves[d.dy] = value(d.of, d.shape, dy)
	if err := d.evaluate(d.nodes, leaves, dirty); err != nil {
		return o, err
	}
	if o.y, err = floats(leaves[d.y]); err != nil {
		return o, err
	}
	o.dx = make([][]float64, len(d.in))
	for i, n := range d.grads {
		if n != nil {
			if o.dx[i], err = floats(leaves[n]); err != nil {
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

// accumulating runs DoDiff by hand, as LispMachine does: every node bound to its value and a gradient of zeros, y's being dy.
func (w *world) accumulating(x [][]float64, dy []float64) (o outcome, err error) {
	err = guarded(func() error {
		nodes := order(w.g, w.y)
		on, _ := w.active(nodes)
		at := w.leaves(x)
		if err := w.evaluate(nodes, at, false); err != nil {
			return err
		}
		if o.y, err = floats(at[w.y]); err != nil {
			return err
		}
		for _, n := range nodes {
			zero := make([]float64, n.Shape().TotalSize())
			if n == w.y {
				zero = dy
			}
			G.WithValue(at[n])(n)
			G.WithGrad(value(n.Dtype(), n.Shape(), zero))(n)
		}
		for i := len(nodes) - 1; i >= 0; i-- {
			n := nodes[i]
			args := children(w.g, n)
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
			if o.dx[i], err = floats(g); err != nil {
				return err
			}
		}
		return nil
	})
	return o, err
}

// notAD is the error for an op that LispMachine cannot differentiate.
type notAD struct{ error }

// machine runs the case under one of Gorgonia's machines. The cost is Σ y ⊙ dy + Σ second ⊙ x, so that the gradients are dx + second: with second, every input has a second consumer.
func (w *world) machine(lisp bool, x [][]float64, dy []float64, second [][]float64) (o outcome, err error) {
	err = guarded(func() error {
		for i, v := range w.leaves(x) {
			if err := G.Let(i, v); err != nil {
				return err
			}
		}
		cost, err := w.weighted(w.y, "dy", dy)
		if err != nil {
			return err
		}
		var wrt G.Nodes
		for _, i := range w.wrt() {
			wrt = append(wrt, w.in[i])
			if second == nil {
				continue
			}
			more, err := w.weighted(w.in[i], fmt.Sprint("second ", i), second[i])
			if err != nil {
				return err
			}
			if cost, err = G.Add(cost, more); err != nil {
				return err
			}
		}
		var grads G.Nodes
		var m G.VM
		if lisp {
			m = G.NewLispMachine(w.g)
		} else {
			if grads, err = G.Grad(cost, wrt...); err != nil {
				return errors.Wrap(err, "gorgonia.Grad")
			}
			m = G.NewTapeMachine(w.g, G.BindDualValues(wrt...))
		}
		defer m.Close()
		if err := m.RunAll(); err != nil {
			return err
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
			if o.dx[i], err = floats(g); err != nil {
				return errors.Wrapf(err, "the gradient of %s", w.c.Inputs[i].Name)
			}
		}
		return nil
	})
	return o, err
}

// weighted is Σ n ⊙ weights.
func (w *world) weighted(n *G.Node, name string, weights []float64) (*G.Node, error) {
	name = "verify: " + name
	if n.IsScalar() {
		return G.Mul(n, G.NewScalar(w.g, w.of, G.WithName(name), G.WithValue(value(w.of, nil, weights))))
	}
	shape := n.Shape()
	p, err := G.HadamardProd(n, G.NewTensor(w.g, w.of, shape.Dims(), G.WithShape(shape...), G.WithName(name), G.WithValue(value(w.of, shape, weights))))
	if err != nil {
		return nil, err
	}
	return G.Sum(p)
}
