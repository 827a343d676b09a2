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
	p := plain{name: o.Name, key: applications.Add(1)}
	for _, n := range in {
		p.in = append(p.in, n.Shape().Clone())
		p.kinds = append(p.kinds, n.Dtype())
		if values.Float(n.Dtype()) && o.Only.Type != nil && n.Dtype() != o.Only {
			return nil, errors.Errorf("%s: operands are %v, want %v", o.Name, n.Dtype(), o.Only)
		}
	}
	var err error
	if o.Shape == nil {
		p.out = p.in[0]
	} else if p.out, err = o.Shape(p.in); err != nil {
		return nil, errors.Wrap(err, o.Name)
	}
	a := &applied{p, o}
	a.run = func(dst G.Value, in []G.Value) (G.Value, error) {
		c, err := a.call(in, o.RawY, dst)
		if err != nil {
			return nil, err
		}
		return a.result(o.Y(c), c.Of, dst)
	}
	switch {
	case o.Bare || o.D == nil && o.Rule != nil:
		return G.ApplyOp(struct{ symbolic }{a}, in...)
	case o.MemoryY:
		return G.ApplyOp(struct {
			*applied
			memory
		}{a, a.run}, in...)
	}
	return G.ApplyOp(a, in...)
}

// plain is an op at the shapes of its operands, without a derivative.
type plain struct {
	name  string
	key   uint64 // each is an op of its own to Gorgonia, which tells ops apart by hash
	in    []tensor.Shape
	kinds []tensor.Dtype
	out   tensor.Shape
	run   memory
}

// A memory computes into dst, or if that is nil into new memory.
type memory func(dst G.Value, in []G.Value) (G.Value, error)

func (m memory) UsePreallocDo(dst G.Value, in ...G.Value) (G.Value, error) { return m(dst, in) }

func (p *plain) Arity() int                                     { return len(p.in) }
func (p *plain) InferShape(...G.DimSizer) (tensor.Shape, error) { return p.out.Clone(), nil }
func (p *plain) ReturnsPtr() bool                               { return false }
func (p *plain) CallsExtern() bool                              { return false }
func (p *plain) OverwritesInput() int                           { return -1 }
func (p *plain) WriteHash(h hash.Hash)                          { fmt.Fprintf(h, "plain|%s|%d", p.name, p.key) }
func (p *plain) Hashcode() uint32                               { h := fnv.New32a(); p.WriteHash(h); return h.Sum32() }
func (p *plain) String() string                                 { return p.name }
func (p *plain) Do(in ...G.Value) (G.Value, error)              { return p.run(nil, in) }

func (p *plain) Type() hm.Type {
	typeOf := func(s tensor.Shape, of hm.Type) hm.Type {
		if len(s) == 0 {
			return of
		}
		return G.TensorType{Dims: len(s), Of: of}
	}
	var t []hm.Type
	for i, s := range p.in {
		of := hm.Type(hm.TypeVariable('a'))
		if !values.Float(p.kinds[i]) {
			of = p.kinds[i]
		}
		t = append(t, typeOf(s, of))
	}
	return hm.NewFnType(append(t, typeOf(p.out, hm.TypeVariable('a')))...)
}

// call reads the operands.
func (p *plain) call(in []G.Value, raw bool, dst G.Value) (c *Call, err error) {
	c = &Call{In: p.in, Out: p.out, Of: tensor.Float64}
	read := values.Floats
	if raw {
		read = values.Memory
	}
	for i, v := range in {
		if values.Float(v.Dtype()) && !slices.ContainsFunc(in[:i], func(v G.Value) bool { return values.Float(v.Dtype()) }) {
			c.Of = v.Dtype()
		}
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

// result is numbers as a value, in the memory at hand if there is some.
func (p *plain) result(v []float64, of tensor.Dtype, dst G.Value) (G.Value, error) {
	if len(v) != p.out.TotalSize() {
		return nil, errors.Errorf("%s: %d elements for the shape %v", p.name, len(v), p.out)
	}
	if dst != nil {
		return dst, values.Set(dst, v)
	}
	return values.Of(of, p.out, v), nil
}

// applied is an op with its derivative.
type applied struct {
	plain
	Op
}

// symbolic is all of an op but DoDiff.
type symbolic interface {
	G.Op
	DiffWRT(n int) []bool
	SymDiff(in G.Nodes, y, dy *G.Node) (G.Nodes, error)
}

func (a *applied) DiffWRT(n int) []bool {
	all := make([]bool, n)
	for i := range all {
		all[i] = values.Float(a.kinds[i]) && (a.D != nil || a.Rule != nil)
	}
	return all
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
		p := a.gradient(i)
		var op G.Op = p
		if a.MemoryD {
			op = struct {
				*plain
				memory
			}{p, p.run}
		}
		var err error
		if all[i], err = G.ApplyOp(op, append(slices.Clone(in), y, dy)...); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// gradient is the gradient of operand i as an op of the operands, y and dy.
func (a *applied) gradient(i int) *plain {
	p := &plain{
		name: fmt.Sprintf("%s, gradient %d", a.Name, i), key: a.key, out: a.in[i],
		in:    append(slices.Clone(a.in), a.out, a.out),
		kinds: append(slices.Clone(a.kinds), tensor.Float64, tensor.Float64),
	}
	p.run = func(dst G.Value, in []G.Value) (G.Value, error) {
		c, err := p.call(in, a.RawD, dst)
		if err != nil {
			return nil, err
		}
		n := len(a.in)
		c.In, c.Out, c.X, c.Y, c.DY, c.Arg = a.in, a.out, c.X[:n], c.X[n], c.X[n+1], i
		return p.result(a.D(c)[i], c.Of, dst)
	}
	return p
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
		made, err := a.gradient(i).Do(append(slices.Clone(operands), y.Value(), dy)...)
		if err != nil {
			return err
		}
		d, err := values.Floats(made)
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
			held[k] += d[k]
		}
		if err := values.Set(to, held); err != nil {
			return err
		}
	}
	return nil
}
