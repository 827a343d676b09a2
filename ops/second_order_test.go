package ops_test

import (
	"fmt"
	"hash"
	"math/rand/v2"
	"testing"

	G "gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/convgrad/convgrad/ops"
)

// children are a node's operands in their order.
func children(n *G.Node) (all G.Nodes) {
	from := n.Graph().From(n.ID())
	for from.Next() {
		all = append(all, from.Node().(*G.Node))
	}
	return all
}

// A mutilated op is one whose derivative by one operand is forgotten.
type mutilated struct {
	G.SDOp
	operand int
}

func (o mutilated) DiffWRT(n int) []bool {
	d := o.SDOp.DiffWRT(n)
	d[o.operand] = false
	return d
}

func (o mutilated) SymDiff(in G.Nodes, out, dy *G.Node) (G.Nodes, error) {
	grads, err := o.SDOp.SymDiff(in, out, dy)
	if err == nil {
		grads[o.operand] = nil
	}
	return grads, err
}

func (o mutilated) WriteHash(h hash.Hash) { fmt.Fprint(h, "mutilated", o.operand); o.SDOp.WriteHash(h) }
func (o mutilated) Hashcode() uint32      { return o.SDOp.Hashcode() + 1 + uint32(o.operand) }

// derive makes the projection of an op's first derivatives dx, under a cotangent dy that is a leaf
// like the op's inputs: what gorgonia.Grad makes of it, once, are the op's second derivatives. If
// of ≥ 0, the op that computes dx of that input forgets one of its own operands.
func (s sample) derive(t *testing.T, values [][]float64, of, operand int) projection {
	t.Helper()
	m, g := must(t), G.NewGraph()
	d := projection{}
	for i, shape := range s.inputs {
		d.leaves = append(d.leaves, leaf(g, string(rune('a'+i)), shape, values[i]))
		d.names = append(d.names, fmt.Sprint("input ", i))
	}
	y := m(s.build(d.leaves))
	r := rand.New(rand.NewPCG(61, 0))
	var dy *G.Node
	if y.IsScalar() {
		dy = G.NewScalar(g, tensor.Float64, G.WithName("dy"), G.WithValue(0.75))
	} else {
		dy = leaf(g, "dy", y.Shape(), uniform[float64](r, y.Shape().TotalSize()))
	}
	operands := children(y)
	grads, err := y.Op().(G.SDOp).SymDiff(operands, y, dy)
	if err != nil {
		t.Fatal(err)
	}
	for i, dx := range grads {
		if dx == nil {
			continue
		}
		if of == i {
			dx = m(G.ApplyOp(mutilated{dx.Op().(G.SDOp), operand}, children(dx)...))
		}
		if !dx.Shape().Eq(operands[i].Shape()) {
			t.Fatalf("dx of operand %d has shape %v, the operand %v", i, dx.Shape(), operands[i].Shape())
		}
		weights := uniform[float64](r, dx.Shape().TotalSize())
		d.t, d.r = append(d.t, dx), append(d.r, weights)
		term := m(G.Sum(m(G.HadamardProd(dx, leaf(g, fmt.Sprint("r", i), dx.Shape(), weights)))))
		if d.s == nil {
			d.s = term
		} else {
			d.s = m(G.Add(d.s, term))
		}
	}
	// LispMachine wants one root and a scalar one: y is added times 0.
	zero := y
	if y.IsScalar() {
		zero = m(G.Mul(y, G.NewScalar(g, tensor.Float64, G.WithName("zero"), G.WithValue(0.0))))
	} else {
		zero = m(costOf(y, make([]float64, y.Shape().TotalSize())))
	}
	d.s = m(G.Add(d.s, zero))
	d.leaves, d.names = append(d.leaves, dy), append(d.names, "dy")
	return d
}

// reached are the leaves from which differentiable steps lead to S; by the others its derivative is
// zero, and gorgonia.Grad refuses to be asked.
func (d projection) reached() map[*G.Node]bool {
	seen := map[*G.Node]bool{}
	var walk func(n *G.Node)
	walk = func(n *G.Node) {
		if seen[n] {
			return
		}
		seen[n] = true
		c := children(n)
		o, ok := n.Op().(G.SDOp)
		if !ok {
			return
		}
		for i, diff := range o.DiffWRT(len(c)) {
			if diff {
				walk(c[i])
			}
		}
	}
	walk(d.s)
	return seen
}

// gradients are those of S by its leaves, on a machine.
func (d projection) gradients(t *testing.T, machine string) [][]float64 {
	t.Helper()
	all := make([][]float64, len(d.leaves))
	var asked []*G.Node
	var places []int
	reached := d.reached()
	for i, n := range d.leaves {
		all[i] = make([]float64, len(floatsOf(n)))
		if reached[n] {
			asked, places = append(asked, n), append(places, i)
		}
	}
	_, grads := mustEvaluate[float64](t, machine, d.s, d.s, asked...)
	for i, g := range grads {
		all[places[i]] = g
	}
	return all
}

// The second derivatives of every op, by its inputs and its cotangent, in every machine, are those
// of central differences of the first; and they are no longer when the op of the first derivative
// forgets any one of its operands.
func TestSecondDerivatives(t *testing.T) {
	const seed = 60
	t.Logf("seed %d", seed)
	for _, s := range samples() {
		t.Run(s.name, func(t *testing.T) {
			values := s.values(rand.New(rand.NewPCG(seed, 0)))
			for _, machine := range machines {
				grads := s.derive(t, values, -1, 0).gradients(t, machine)
				if share, where := s.derive(t, values, -1, 0).apart(t, grads); !(share <= 1) {
					t.Errorf("%s: %s", machine, where)
				}
			}
			first := s.derive(t, values, -1, 0)
			for i, dx := range first.t {
				for operand, diff := range dx.Op().(G.SDOp).DiffWRT(len(children(dx))) {
					if !diff {
						continue
					}
					grads := s.derive(t, values, i, operand).gradients(t, tape)
					if share, _ := first.apart(t, grads); share <= 1 {
						t.Errorf("not noticed: the op of dx %d, %v, forgets its derivative by operand %d", i, dx.Op(), operand)
					}
				}
			}
		})
	}
}

// A gradient penalty, the usual reason for a second derivative: d/dw of ½ Σ dx², with dx the
// derivative by the input of ½ Σ y². On integers it equals what the three kernels of the closed
// family say, dw(x, J) + dw(dx, y) with J = dx ⋆ w, exactly.
func TestGradientPenalty(t *testing.T) {
	r := rand.New(rand.NewPCG(63, 0))
	xs, ws := tensor.Shape{2, 3, 5, 6}, tensor.Shape{4, 3, 2, 3}
	p := ops.ConvParams{Stride: ops.Size{H: 2, W: 1}, Pad: ops.Padding{Top: 1, Left: 2}}
	xv, wv := integers[float64](r, xs.TotalSize(), 3), integers[float64](r, ws.TotalSize(), 3)
	forward := referenceOf(t, xs, ws, p, xv, wv, nil)
	first := referenceOf(t, xs, ws, p, xv, wv, forward.y) // dx = BackwardData(y, w)
	// J = Forward(dx, w), and BackwardFilter(dx, y)
	second := referenceOf(t, xs, ws, p, first.dx, wv, forward.y)
	third := referenceOf(t, xs, ws, p, xv, wv, second.y) // BackwardFilter(x, J)
	want := sum(second.dw, third.dw)
	for _, machine := range machines {
		m, g := must(t), G.NewGraph()
		x, w := leaf(g, "x", xs, xv), leaf(g, "w", ws, wv)
		y := m(ops.Conv2D(x, w, nil, p))
		// the derivative of ½ Σ y² by y is y
		grads, err := y.Op().(G.SDOp).SymDiff(G.Nodes{x, w}, y, y)
		if err != nil {
			t.Fatal(err)
		}
		penalty := m(ops.ArticleError(grads[0], leaf(g, "zero", xs, make([]float64, len(xv)))))
		if machine == lisp { // one root: the gradient of w, which is another, counts nothing
			penalty = m(G.Add(penalty, m(costOf(grads[1], make([]float64, len(wv))))))
		}
		_, got := mustEvaluate[float64](t, machine, penalty, penalty, w)
		equal(t, machine+": d/dw of the penalty", got[0], want)
	}
}
