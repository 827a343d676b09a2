package graphs

import (
	"fmt"
	"hash"
	"hash/fnv"
	"slices"
	"sync/atomic"

	"github.com/chewxy/hm"
	"github.com/pkg/errors"
	G "gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/convgrad/convgrad/verify/internal/values"
)

// An Op is made of plain functions: what it computes, and how its rule differentiates it. They are
// written in float64; results are rounded to the element type of the operands. It is the ground in
// which mistakes are planted.
type Op struct {
	Name  string
	Shape func(in []tensor.Shape) (tensor.Shape, error) // nil: that of the first operand
	Y     func(c *Call) []float64
	D     func(c *Call) [][]float64 // a gradient for each operand; nil where it has none
	// Rule is SymDiff of an op whose gradient is other ops. It is used in place of D.
	Rule func(in G.Nodes, y, dy *G.Node) (G.Nodes, error)
	// MemoryY and MemoryD say that the op, or its gradient ops, compute into memory at hand: Dst
	// holds what was there.
	MemoryY, MemoryD bool
	// RawY and RawD say that the op, or its gradient ops, take memory to be row-major.
	RawY, RawD bool
	// Only is the element type that the op has, if it has not both.
	Only tensor.Dtype
	// Bare says that there is no DoDiff, Stores that it stores gradients where it should add.
	Bare, Stores bool
}

// A Call is one run of an op, or of its gradient by operand Arg.
type Call struct {
	In    []tensor.Shape
	Out   tensor.Shape
	X     [][]float64
	Y, DY []float64
	Dst   []float64
	Arg   int
	Of    tensor.Dtype
}

var applications atomic.Uint64

// Apply makes the op's node.
func (o Op) Apply(in ...*G.Node) (*G.Node, error) {
	a := &applied{Op: o, key: applications.Add(1)}
	for _, n := range in {
		a.in = append(a.in, n.Shape().Clone())
		a.kinds = append(a.kinds, n.Dtype())
		if values.Float(n.Dtype()) && o.Only.Type != nil && n.Dtype() != o.Only {
			return nil, errors.Errorf("%s: operands are %v, want %v", o.Name, n.Dtype(), o.Only)
		}
	}
	var err error
	if o.Shape == nil {
		a.out = a.in[0]
	} else if a.out, err = o.Shape(a.in); err != nil {
		return nil, errors.Wrap(err, o.Name)
	}
	var op G.Op = a
	switch {
	case o.Bare || o.D == nil && o.Rule != nil:
		op = struct{ symbolic }{a}
	case o.MemoryY:
		op = &prealloc{a}
	}
	return G.ApplyOp(op, in...)
}

// applied is an op at the shapes of its operands.
type applied struct {
	Op
	key   uint64 // each is an op of its own to Gorgonia, which tells ops apart by hash
	in    []tensor.Shape
	kinds []tensor.Dtype
	out   tensor.Shape
}

// symbolic is all of an op but DoDiff.
type symbolic interface {
	G.Op
	DiffWRT(n int) []bool
	SymDiff(in G.Nodes, y, dy *G.Node) (G.Nodes, error)
}

// prealloc is an op that computes into memory at hand.
type prealloc struct{ *applied }

func (p *prealloc) UsePreallocDo(dst G.Value, in ...G.Value) (G.Value, error) {
	return p.compute(dst, in)
}

func signature(in []tensor.Shape, kinds []tensor.Dtype, out tensor.Shape) hm.Type {
	typeOf := func(s tensor.Shape, of hm.Type) hm.Type {
		if len(s) == 0 {
			return of
		}
		return G.TensorType{Dims: len(s), Of: of}
	}
	var t []hm.Type
	for i, s := range in {
		of := hm.Type(hm.TypeVariable('a'))
		if !values.Float(kinds[i]) {
			of = kinds[i]
		}
		t = append(t, typeOf(s, of))
	}
	return hm.NewFnType(append(t, typeOf(out, hm.TypeVariable('a')))...)
}

func hashOf(o interface{ WriteHash(hash.Hash) }) uint32 {
	h := fnv.New32a()
	o.WriteHash(h)
	return h.Sum32()
}

func (a *applied) Arity() int                                     { return len(a.in) }
func (a *applied) Type() hm.Type                                  { return signature(a.in, a.kinds, a.out) }
func (a *applied) InferShape(...G.DimSizer) (tensor.Shape, error) { return a.out.Clone(), nil }
func (a *applied) ReturnsPtr() bool                               { return false }
func (a *applied) CallsExtern() bool                              { return false }
func (a *applied) OverwritesInput() int                           { return -1 }
func (a *applied) WriteHash(h hash.Hash)                          { fmt.Fprintf(h, "plain|%s|%d", a.Name, a.key) }
func (a *applied) Hashcode() uint32                               { return hashOf(a) }
func (a *applied) String() string                                 { return a.Name }
func (a *applied) Do(in ...G.Value) (G.Value, error)              { return a.compute(nil, in) }

func (a *applied) DiffWRT(n int) []bool {
	all := make([]bool, n)
	for i := range all {
		all[i] = values.Float(a.kinds[i]) && (a.D != nil || a.Rule != nil)
	}
	return all
}

// call reads the operands.
func (a *applied) call(in []G.Value, raw bool, dst G.Value) (c *Call, err error) {
	c = &Call{In: a.in, Out: a.out, Of: tensor.Float64}
	for i := len(in) - 1; i >= 0; i-- {
		if values.Float(in[i].Dtype()) {
			c.Of = in[i].Dtype()
		}
	}
	read := values.Floats
	if raw {
		read = values.Memory
	}
	for _, v := range in {
		x, err := read(v)
		if err != nil {
			return nil, err
		}
		c.X = append(c.X, x[:min(len(x), v.Shape().TotalSize())])
	}
	if dst != nil {
		c.Dst, err = values.Floats(dst)
	}
	return c, err
}

func (a *applied) compute(dst G.Value, in []G.Value) (G.Value, error) {
	c, err := a.call(in, a.RawY, dst)
	if err != nil {
		return nil, err
	}
	return a.result(a.Y(c), a.out, c.Of, dst)
}

// result is numbers as a value, in the memory at hand if there is some.
func (a *applied) result(v []float64, shape tensor.Shape, of tensor.Dtype, dst G.Value) (G.Value, error) {
	if len(v) != shape.TotalSize() {
		return nil, errors.Errorf("%s: %d elements for the shape %v", a.Name, len(v), shape)
	}
	if dst != nil {
		return dst, values.Set(dst, v)
	}
	return values.Of(of, shape, v), nil
}

func (a *applied) SymDiff(in G.Nodes, y, dy *G.Node) (G.Nodes, error) {
	if a.Rule != nil {
		return a.Rule(in, y, dy)
	}
	all := make(G.Nodes, len(in))
	for i := range in {
		if !values.Float(a.kinds[i]) {
			continue
		}
		var g G.Op = &gradient{a, i}
		if a.MemoryD {
			g = &gradientInPlace{gradient{a, i}}
		}
		n, err := G.ApplyOp(g, append(append(G.Nodes{}, in...), y, dy)...)
		if err != nil {
			return nil, err
		}
		all[i] = n
	}
	return all, nil
}

// gradients are all gradients, of operands, y and dy.
func (a *applied) gradients(in []G.Value, arg int, dst G.Value) (*Call, [][]float64, error) {
	c, err := a.call(in, a.RawD, dst)
	if err != nil {
		return nil, nil, err
	}
	n := len(a.in)
	c.X, c.Y, c.DY, c.Arg = c.X[:n], c.X[n], c.X[n+1], arg
	return c, a.D(c), nil
}

func (a *applied) DoDiff(_ G.ExecutionContext, in G.Nodes, y *G.Node) error {
	dy, err := y.Grad()
	if err != nil {
		return err
	}
	var operands []G.Value
	for _, n := range in {
		operands = append(operands, n.Value())
	}
	for i, n := range in {
		if !values.Float(a.kinds[i]) {
			continue
		}
		_, d, err := a.gradients(append(slices.Clone(operands), y.Value(), dy), i, nil)
		if err != nil {
			return err
		}
		to, err := n.Grad()
		if err != nil {
			return err
		}
		held, err := values.Floats(to)
		if err != nil {
			return err
		}
		for k := range held {
			if a.Stores {
				held[k] = 0
			}
			held[k] += d[i][k]
		}
		if err := values.Set(to, held); err != nil {
			return err
		}
	}
	return nil
}

// gradient is the gradient of operand i as an op of the operands, y and dy.
type gradient struct {
	of *applied
	i  int
}

func (g *gradient) Arity() int { return len(g.of.in) + 2 }
func (g *gradient) Type() hm.Type {
	in := append(slices.Clone(g.of.in), g.of.out, g.of.out)
	kinds := append(slices.Clone(g.of.kinds), tensor.Float64, tensor.Float64)
	return signature(in, kinds, g.of.in[g.i])
}
func (g *gradient) InferShape(...G.DimSizer) (tensor.Shape, error) { return g.of.in[g.i].Clone(), nil }
func (g *gradient) ReturnsPtr() bool                               { return false }
func (g *gradient) CallsExtern() bool                              { return false }
func (g *gradient) OverwritesInput() int                           { return -1 }
func (g *gradient) WriteHash(h hash.Hash) {
	fmt.Fprintf(h, "plain'|%s|%d|%d", g.of.Name, g.of.key, g.i)
}
func (g *gradient) Hashcode() uint32                  { return hashOf(g) }
func (g *gradient) String() string                    { return fmt.Sprintf("%s, gradient %d", g.of.Name, g.i) }
func (g *gradient) Do(in ...G.Value) (G.Value, error) { return g.compute(nil, in) }
func (g *gradient) compute(dst G.Value, in []G.Value) (G.Value, error) {
	c, d, err := g.of.gradients(in, g.i, dst)
	if err != nil {
		return nil, err
	}
	return g.of.result(d[g.i], g.of.in[g.i], c.Of, dst)
}

type gradientInPlace struct{ gradient }

func (g *gradientInPlace) UsePreallocDo(dst G.Value, in ...G.Value) (G.Value, error) {
	return g.compute(dst, in)
}
