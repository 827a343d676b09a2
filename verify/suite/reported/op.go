package reported

import (
	"fmt"
	"hash"
	"hash/fnv"
	"sync/atomic"

	"github.com/chewxy/hm"
	"github.com/pkg/errors"
	G "gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/convgrad/convgrad/verify/internal/graphs"
)

// A def is a small op of this corpus: what it computes, and how its rule differentiates it. It is
// written in float64; results are rounded to the element type of the operands.
type def struct {
	name  string
	shape func(in []tensor.Shape) (tensor.Shape, error) // nil: that of the first operand
	y     func(c *call) []float64
	d     func(c *call) [][]float64 // a gradient for each operand; nil where it has none
	// rule is SymDiff of an op whose gradient is other ops. It is used in place of d.
	rule func(in G.Nodes, y, dy *G.Node) (G.Nodes, error)
	// memory is for gradient ops that compute into memory at hand: dst holds what was there.
	memory bool
	// rawY and rawD say that the op, or its gradient ops, take memory to be row-major.
	rawY, rawD bool
	// only is the element type that the op has, if it has not both.
	only tensor.Dtype
	// bare says that there is no DoDiff.
	bare bool
}

// A call is one run of an op, or of its gradient by operand arg.
type call struct {
	in    []tensor.Shape
	out   tensor.Shape
	x     [][]float64
	y, dy []float64
	dst   []float64
	arg   int
	of    tensor.Dtype
}

var applications atomic.Uint64

// apply makes the op's node.
func (o def) apply(in ...*G.Node) (*G.Node, error) {
	a := &applied{def: o, key: applications.Add(1)}
	for _, n := range in {
		a.in = append(a.in, n.Shape().Clone())
		a.kinds = append(a.kinds, n.Dtype())
	}
	var err error
	if o.shape == nil {
		a.out = a.in[0]
	} else if a.out, err = o.shape(a.in); err != nil {
		return nil, errors.Wrap(err, o.name)
	}
	for _, k := range a.kinds {
		if o.only.Type != nil && isFloat(k) && k != o.only {
			return nil, errors.Errorf("%s: operands are %v, want %v", o.name, k, o.only)
		}
	}
	return G.ApplyOp(a.asOp(), in...)
}

func isFloat(t tensor.Dtype) bool { return t == tensor.Float64 || t == tensor.Float32 }

// applied is an op at the shapes of its operands.
type applied struct {
	def
	key   uint64
	in    []tensor.Shape
	kinds []tensor.Dtype
	out   tensor.Shape
}

func (a *applied) asOp() G.Op {
	if a.bare || a.d == nil && a.rule != nil {
		return struct{ symbolic }{a}
	}
	return a
}

// symbolic is all of an op but DoDiff.
type symbolic interface {
	G.Op
	DiffWRT(n int) []bool
	SymDiff(in G.Nodes, y, dy *G.Node) (G.Nodes, error)
}

func typeOf(s tensor.Shape, of hm.Type) hm.Type {
	if len(s) == 0 {
		return of
	}
	return G.TensorType{Dims: len(s), Of: of}
}

func signature(in []tensor.Shape, kinds []tensor.Dtype, out tensor.Shape) hm.Type {
	var t []hm.Type
	for i, s := range in {
		of := hm.Type(hm.TypeVariable('a'))
		if !isFloat(kinds[i]) {
			of = kinds[i]
		}
		t = append(t, typeOf(s, of))
	}
	return hm.NewFnType(append(t, typeOf(out, hm.TypeVariable('a')))...)
}

func (a *applied) Arity() int                                     { return len(a.in) }
func (a *applied) Type() hm.Type                                  { return signature(a.in, a.kinds, a.out) }
func (a *applied) InferShape(...G.DimSizer) (tensor.Shape, error) { return a.out.Clone(), nil }
func (a *applied) ReturnsPtr() bool                               { return false }
func (a *applied) CallsExtern() bool                              { return false }
func (a *applied) OverwritesInput() int                           { return -1 }
func (a *applied) WriteHash(h hash.Hash)                          { fmt.Fprintf(h, "reported|%s|%d", a.name, a.key) }
func (a *applied) Hashcode() uint32                               { return hashOf(a) }
func (a *applied) String() string                                 { return a.name }

func hashOf(o interface{ WriteHash(hash.Hash) }) uint32 {
	h := fnv.New32a()
	o.WriteHash(h)
	return h.Sum32()
}

func (a *applied) DiffWRT(n int) []bool {
	all := make([]bool, n)
	for i := range all {
		all[i] = isFloat(a.kinds[i]) && (a.d != nil || a.rule != nil)
	}
	return all
}

func (a *applied) call(of tensor.Dtype) *call { return &call{in: a.in, out: a.out, of: of} }

func (a *applied) Do(in ...G.Value) (G.Value, error) {
	x, err := numbers(in, a.rawY)
	if err != nil {
		return nil, err
	}
	c := a.call(floatOf(in))
	c.x = x
	return result(a.def.y(c), a.out, c.of)
}

func (a *applied) SymDiff(in G.Nodes, y, dy *G.Node) (G.Nodes, error) {
	if a.rule != nil {
		return a.rule(in, y, dy)
	}
	all := make(G.Nodes, len(in))
	for i := range in {
		if !isFloat(a.kinds[i]) {
			continue
		}
		var g G.Op = &gradient{a, i}
		if a.memory {
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

func (a *applied) DoDiff(_ G.ExecutionContext, in G.Nodes, y *G.Node) error {
	dy, err := y.Grad()
	if err != nil {
		return err
	}
	var values []G.Value
	for _, n := range in {
		values = append(values, n.Value())
	}
	for i, n := range in {
		if !isFloat(a.kinds[i]) {
			continue
		}
		d, err := (&gradient{a, i}).compute(nil, append(values[:len(in):len(in)], y.Value(), dy))
		if err != nil {
			return err
		}
		g, err := n.Grad()
		if err != nil {
			return err
		}
		if err := accumulate(g, d); err != nil {
			return err
		}
	}
	return nil
}

func accumulate(to, by G.Value) error {
	held, err := numbers([]G.Value{to, by}, false)
	if err != nil {
		return err
	}
	for k := range held[0] {
		held[0][k] += held[1][k]
	}
	switch t := to.(type) {
	case *G.F64:
		*t = G.F64(held[0][0])
		return nil
	case *G.F32:
		*t = G.F32(held[0][0])
		return nil
	case *tensor.Dense:
		for k, v := range held[0] {
			if t.Dtype() == tensor.Float32 {
				t.Set(graphs.Place(t, k), float32(v))
			} else {
				t.Set(graphs.Place(t, k), v)
			}
		}
		return nil
	}
	return errors.Errorf("reported: a gradient is a %T", to)
}

// gradient is the gradient of operand i as an op of the operands, y and dy.
type gradient struct {
	of *applied
	i  int
}

func (g *gradient) Arity() int { return len(g.of.in) + 2 }
func (g *gradient) Type() hm.Type {
	in := append(append([]tensor.Shape(nil), g.of.in...), g.of.out, g.of.out)
	kinds := append(append([]tensor.Dtype(nil), g.of.kinds...), tensor.Float64, tensor.Float64)
	return signature(in, kinds, g.of.in[g.i])
}
func (g *gradient) InferShape(...G.DimSizer) (tensor.Shape, error) { return g.of.in[g.i].Clone(), nil }
func (g *gradient) ReturnsPtr() bool                               { return false }
func (g *gradient) CallsExtern() bool                              { return false }
func (g *gradient) OverwritesInput() int                           { return -1 }
func (g *gradient) WriteHash(h hash.Hash) {
	fmt.Fprintf(h, "reported'|%s|%d|%d", g.of.name, g.of.key, g.i)
}
func (g *gradient) Hashcode() uint32                  { return hashOf(g) }
func (g *gradient) String() string                    { return g.of.name + "'" }
func (g *gradient) Do(in ...G.Value) (G.Value, error) { return g.compute(nil, in) }
func (g *gradient) compute(dst G.Value, in []G.Value) (G.Value, error) {
	x, err := numbers(in, g.of.rawD)
	if err != nil {
		return nil, err
	}
	n := len(g.of.in)
	c := g.of.call(floatOf(in))
	c.x, c.y, c.dy, c.arg = x[:n], x[n], x[n+1], g.i
	if dst != nil {
		held, err := numbers([]G.Value{dst}, false)
		if err != nil {
			return nil, err
		}
		c.dst = held[0]
	}
	d, err := result(g.of.def.d(c)[g.i], g.of.in[g.i], c.of)
	if t, ok := dst.(*tensor.Dense); ok && err == nil {
		return t, tensor.Copy(t, d.(*tensor.Dense))
	}
	return d, err
}

type gradientInPlace struct{ gradient }

func (g *gradientInPlace) UsePreallocDo(dst G.Value, in ...G.Value) (G.Value, error) {
	return g.compute(dst, in)
}

func floatOf(in []G.Value) tensor.Dtype {
	for _, v := range in {
		if isFloat(v.Dtype()) {
			return v.Dtype()
		}
	}
	return tensor.Float64
}

// numbers reads values: in the order of their indices, or raw, in that of memory.
func numbers(in []G.Value, raw bool) ([][]float64, error) {
	var all [][]float64
	for _, v := range in {
		d, ok := v.(*tensor.Dense)
		if !ok || d.IsScalar() {
			x, err := graphs.Number(v.Data())
			if err != nil {
				return nil, err
			}
			all = append(all, []float64{x})
			continue
		}
		n := d.Shape().TotalSize()
		f := make([]float64, 0, n)
		for k := range n {
			at := k
			if !raw {
				at = graphs.Place(d, k)
			}
			x, err := graphs.Number(d.Get(at))
			if err != nil {
				return nil, err
			}
			f = append(f, x)
		}
		all = append(all, f)
	}
	return all, nil
}

// result is numbers as a value of an element type.
func result(v []float64, shape tensor.Shape, of tensor.Dtype) (G.Value, error) {
	n := 1
	for _, s := range shape {
		n *= s
	}
	if len(v) != n {
		return nil, errors.Errorf("reported: %d elements for the shape %v", len(v), shape)
	}
	if of == tensor.Float32 {
		f := make([]float32, n)
		for i, x := range v {
			f[i] = float32(x)
		}
		if len(shape) == 0 {
			return G.NewF32(f[0]), nil
		}
		return tensor.New(tensor.WithShape(shape...), tensor.WithBacking(f)), nil
	}
	if len(shape) == 0 {
		return G.NewF64(v[0]), nil
	}
	return tensor.New(tensor.WithShape(shape...), tensor.WithBacking(append([]float64(nil), v...))), nil
}

// ranks refuses operands of other ranks.
func ranks(want ...int) func(in []tensor.Shape) error {
	return func(in []tensor.Shape) error {
		if len(in) != len(want) {
			return errors.Errorf("%d operands, want %d", len(in), len(want))
		}
		for i, s := range in {
			if len(s) != want[i] {
				return errors.Errorf("operand %d has shape %v, want %d axes", i, s, want[i])
			}
		}
		return nil
	}
}

func zeros(n int) []float64 { return make([]float64, n) }

// each maps elements.
func each(x []float64, f func(x float64) float64) []float64 {
	y := zeros(len(x))
	for i, v := range x {
		y[i] = f(v)
	}
	return y
}

// curve is an elementwise op: f, and the rule dx = dy·slope(x).
func curve(name string, f, slope func(x float64) float64) def {
	return def{
		name: name,
		y:    func(c *call) []float64 { return each(c.x[0], f) },
		d: func(c *call) [][]float64 {
			dx := each(c.x[0], slope)
			for i := range dx {
				dx[i] *= c.dy[i]
			}
			return [][]float64{dx}
		},
	}
}
