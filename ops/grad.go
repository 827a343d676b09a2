package ops

import (
	"slices"

	"github.com/pkg/errors"
	G "gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/convgrad/convgrad/internal/kernel"
)

// Grad returns the derivatives of y by each node of wrt, as nodes: Σ dy·∂y/∂w, of w's shape. dy is
// a node of y's shape; nil stands for 1, for a scalar y.
//
// Grad walks the graph from y back and calls the rule of every op on the way, ours and Gorgonia's.
// It writes nothing to the nodes, so it may be called many times in one graph, on its own results
// too: Grad(dw, v, w), with dw = Grad(y, nil, w), is the Hessian times v. (gorgonia.Grad keeps a
// derivative at each node; its second call in a graph gives wrong numbers.) The nodes of wrt may be
// leaves or results of ops; a derivative by a result does not look behind it, except for other
// nodes of wrt.
//
// A derivative by a node that y does not depend on is zeros. Integer operands have no derivative
// and count as constants.
//
// Grad returns an error if a node is nil or of another graph, dy's shape or type is not y's, y is
// not a scalar where dy is nil, or an op on the way has no derivative, or not all of those that its
// DiffWRT promises.
func Grad(y, dy *G.Node, wrt ...*G.Node) (G.Nodes, error) {
	const name = "Grad"
	if err := check(name, float("y", -1, y)); err != nil {
		return nil, err
	}
	for i, w := range wrt {
		if w == nil {
			return nil, errors.Errorf("ops: Grad: node %d is nil, want a node of y's graph", i)
		}
		if err := check(name, float("y", -1, y), float(w.Name(), -1, w)); err != nil {
			return nil, err
		}
	}
	if dy == nil {
		if y.Dims() != 0 {
			return nil, errors.Errorf("ops: Grad: y has shape %v and dy is nil, want a scalar y or a dy of that shape", y.Shape())
		}
		var err error
		if dy, err = Apply(filling{Value: 1}, y); err != nil {
			return nil, err
		}
	}
	if err := alike(name, "y", y, "dy", dy); err != nil {
		return nil, err
	}

	// order has the nodes between wrt and y, operands first; those that depend on wrt are needed.
	needed := map[*G.Node]bool{}
	order := dependents(y, wrt, needed)
	cotangents := map[*G.Node]*G.Node{y: dy}
	for _, n := range slices.Backward(order) {
		d := cotangents[n]
		if d == nil || n.Op() == nil {
			continue
		}
		in := childrenOf(n)
		if !slices.ContainsFunc(in, func(c *G.Node) bool { return needed[c] }) {
			continue
		}
		if err := pull(n, d, in, needed, cotangents); err != nil {
			return nil, err
		}
	}
	grads := make(G.Nodes, len(wrt))
	for i, w := range wrt {
		if grads[i] = cotangents[w]; grads[i] == nil {
			var err error
			if grads[i], err = Apply(filling{}, w); err != nil {
				return nil, err
			}
		}
	}
	return grads, nil
}

// dependents lists the nodes that y is made of, operands before results, and notes those that are
// in wrt or depend on it.
func dependents(y *G.Node, wrt []*G.Node, needed map[*G.Node]bool) []*G.Node {
	for _, w := range wrt {
		needed[w] = true
	}
	var order []*G.Node
	seen, done := map[*G.Node]bool{}, map[*G.Node]bool{}
	stack := []*G.Node{y} // not recursion: graphs may be deep
	for len(stack) > 0 {
		n := stack[len(stack)-1]
		if !seen[n] {
			seen[n] = true
			for _, c := range childrenOf(n) {
				if !seen[c] {
					stack = append(stack, c)
				}
			}
			continue
		}
		stack = stack[:len(stack)-1]
		if done[n] {
			continue
		}
		done[n] = true
		for _, c := range childrenOf(n) {
			needed[n] = needed[n] || needed[c]
		}
		order = append(order, n)
	}
	return order
}

// pull hands the cotangent of n on to its operands.
func pull(n, d *G.Node, in []*G.Node, needed map[*G.Node]bool, cotangents map[*G.Node]*G.Node) (err error) {
	defer func() { // rules of Gorgonia's panic where they meet what they do not know
		if r := recover(); r != nil {
			err = errors.Errorf("ops: Grad: the rule of %v panicked: %v", n.Op(), r)
		}
	}()
	o, ok := n.Op().(G.SDOp)
	if !ok {
		return errors.Errorf("ops: Grad: the op %v has no symbolic derivative", n.Op())
	}
	diff := o.DiffWRT(len(in))
	asked := false
	for i, c := range in {
		asked = asked || i < len(diff) && diff[i] && needed[c]
	}
	if !asked {
		return nil
	}
	grads, err := o.SymDiff(in, n, d)
	if err != nil {
		return errors.Wrapf(err, "ops: Grad: %v", n.Op())
	}
	for i, c := range in {
		if i >= len(diff) || !diff[i] || !needed[c] {
			continue
		}
		if i >= len(grads) || grads[i] == nil {
			return errors.Errorf("ops: Grad: the rule of %v has no derivative for operand %d, want one: DiffWRT says that there is", n.Op(), i)
		}
		g := grads[i]
		if !slices.Equal(g.Shape(), c.Shape()) {
			if g.Shape().TotalSize() != c.Shape().TotalSize() {
				return errors.Errorf("ops: Grad: the rule of %v gives operand %d a derivative of shape %v, want %v", n.Op(), i, g.Shape(), c.Shape())
			}
			if g, err = Reshape(g, c.Shape()...); err != nil {
				return err
			}
		}
		if before := cotangents[c]; before != nil {
			if g, err = Add(before, g); err != nil {
				return err
			}
		}
		cotangents[c] = g
	}
	return nil
}

// JVP returns ∂y/∂x·v, the derivative of y along v, a node of x's shape. It is of y's shape, and
// made by differentiating the transposed product twice: Σ u·∂y/∂x is linear in u, and its
// derivative by u applied to v is ∂y/∂x·v.
//
// Errors are Grad's.
func JVP(y, x, v *G.Node) (*G.Node, error) {
	const name = "JVP"
	if err := check(name, float("y", -1, y), float("x", -1, x)); err != nil {
		return nil, err
	}
	if err := alike(name, "x", x, "v", v); err != nil {
		return nil, err
	}
	u, err := Apply(filling{Tag: 1}, y)
	if err != nil {
		return nil, err
	}
	dx, err := Grad(y, u, x)
	if err != nil {
		return nil, err
	}
	dy, err := Grad(dx[0], v, u)
	if err != nil {
		return nil, err
	}
	return dy[0], nil
}

// filling is a constant of its operand's shape; the operand's values do not matter.
type filling struct {
	Value float64
	Tag   int // keeps JVP's variable apart from constants of the same value
}

func (o filling) Name(int) (string, []string)                   { return "Fill", []string{"x"} }
func (o filling) Infer(in []tensor.Shape) (tensor.Shape, error) { return in[0], nil }
func (o filling) InPlace() int                                  { return 0 }
func (o filling) Compute(c *Call) error                         { return ByType(o, c, filled[float32], filled[float64]) }
func (o filling) Rule([]*G.Node, *G.Node, *G.Node) ([]*G.Node, error) {
	return []*G.Node{nil}, nil
}

func filled[T kernel.Float](o filling, c *Call) error {
	y := Out[T](c)
	for i := range y {
		y[i] = T(o.Value)
	}
	return nil
}
