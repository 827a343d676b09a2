package verify_test

import (
	"fmt"
	"hash"
	"hash/fnv"
	"math"
	"slices"

	"github.com/chewxy/hm"
	"github.com/pkg/errors"
	G "gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

type real interface{ ~float32 | ~float64 }

// shaped is an array with its shape.
type shaped[T real] struct {
	s tensor.Shape
	v []T
}

// rule is an op of a user's own in one element type: y of the inputs, and the gradient of input i.
type rule[T real] struct {
	f func(in []shaped[T]) []T
	d func(i int, in []shaped[T], y, dy []T) []T
}

// op is an op of a user's own, in both element types. Labels come as floats.
type op struct {
	name  string
	args  int
	out   func(in []tensor.Shape) (tensor.Shape, error) // nil: the first input's
	wide  *rule[float64]
	slim  *rule[float32]
	plain bool // it refuses views
	whole int  // the input that has integers, if not 0
	// second is SymDiff of the gradient op of input 0, of (x, dy); nil offers none.
	second func(x, dy, g *G.Node) (G.Nodes, error)
	wrt    []bool // DiffWRT of that op, of (x, y, dy)
	keeps  bool   // its gradient runs in a buffer that is not cleared
	buffer map[tensor.Dtype]any
	raw    bool // dy's memory is taken to be row-major
}

func both(name string, args int, wide rule[float64], slim rule[float32]) *op {
	return &op{name: name, args: args, wide: &wide, slim: &slim}
}

func (o *op) build(in []*G.Node) (*G.Node, error) { return G.ApplyOp(&applied{o: o, i: -1}, in...) }

// applied is y (i = −1), of the inputs, or the gradient of input i, of the inputs, y and dy.
type applied struct {
	user
	o *op
	i int
}

func (a *applied) Arity() int {
	if a.i >= 0 {
		return a.o.args + 2
	}
	return a.o.args
}
func (a *applied) String() string { return fmt.Sprint(a.o.name, map[bool]string{true: "'"}[a.i >= 0]) }
func (a *applied) Type() hm.Type {
	types := make([]hm.Type, a.Arity()+1)
	for k := range types {
		types[k] = hm.TypeVariable(rune('b' + k))
	}
	types[len(types)-1] = hm.TypeVariable('b')
	return hm.NewFnType(types...)
}
func (a *applied) WriteHash(h hash.Hash) { fmt.Fprintf(h, "kinds|%s|%d", a.o.name, a.i) }
func (a *applied) Hashcode() uint32      { h := fnv.New32a(); a.WriteHash(h); return h.Sum32() }
func (a *applied) InferShape(in ...G.DimSizer) (tensor.Shape, error) {
	s, err := G.DimSizersToShapes(in)
	if err != nil {
		return nil, err
	}
	if a.i >= 0 {
		return s[a.i].Clone(), nil
	}
	if a.o.out != nil {
		return a.o.out(s)
	}
	return s[0].Clone(), nil
}

func read[T real](v G.Value) (s shaped[T], err error) {
	s.s = v.Shape().Clone()
	d, ok := v.(*tensor.Dense)
	if !ok {
		switch x := v.Data().(type) {
		case T:
			s.v = []T{x}
		default:
			return s, errors.Errorf("got %T", x)
		}
		return s, nil
	}
	var at func(k int) T
	switch x := d.Data().(type) {
	case []T:
		at = func(k int) T { return x[k] }
	case []int:
		at = func(k int) T { return T(x[k]) }
	default:
		return s, errors.Errorf("got %T", x)
	}
	it := d.Iterator()
	for k, err := it.Start(); err == nil; k, err = it.Next() {
		s.v = append(s.v, at(k))
	}
	return s, nil
}

func run[T real](a *applied, r *rule[T], of tensor.Dtype, in []G.Value) (G.Value, error) {
	if r == nil {
		return nil, errors.Errorf("%s has no %v", a.o.name, of)
	}
	var all []shaped[T]
	for k, v := range in {
		if d, ok := v.(*tensor.Dense); ok && a.o.plain && (d.RequiresIterator() || d.DataOrder().IsColMajor()) {
			return nil, errors.Errorf("%s: argument %d is a view, want plain memory", a.o.name, k)
		}
		s, err := read[T](v)
		if err != nil {
			return nil, err
		}
		if d, ok := v.(*tensor.Dense); ok && a.o.raw && a.i >= 0 && k == len(in)-1 {
			s.v = d.Data().([]T)[:len(s.v)]
		}
		all = append(all, s)
	}
	var y []T
	var shape tensor.Shape
	if a.i < 0 {
		var s []tensor.Shape
		for _, v := range all {
			s = append(s, v.s)
		}
		if shape = all[0].s; a.o.out != nil {
			var err error
			if shape, err = a.o.out(s); err != nil {
				return nil, err
			}
		}
		if y = r.f(all); y == nil {
			return nil, errors.Errorf("%s: out of its domain", a.o.name)
		}
	} else {
		shape = all[a.i].s
		n := a.o.args
		y = r.d(a.i, all[:n], all[n].v, all[n+1].v)
		if a.o.keeps {
			if a.o.buffer == nil {
				a.o.buffer = map[tensor.Dtype]any{}
			}
			if old, ok := a.o.buffer[of].([]T); ok && len(old) == len(y) {
				for e := range y {
					if y[e] == 0 {
						y[e] = old[e]
					}
				}
			}
			a.o.buffer[of] = slices.Clone(y)
		}
	}
	if len(shape) == 0 {
		if x, ok := any(y[0]).(float32); ok {
			return G.NewF32(x), nil
		}
		return G.NewF64(float64(y[0])), nil
	}
	return tensor.New(tensor.WithShape(shape...), tensor.WithBacking(y)), nil
}

func (a *applied) Do(in ...G.Value) (G.Value, error) {
	k := 0
	if in[0].Dtype() == tensor.Int {
		k = 1
	}
	if in[k].Dtype() == tensor.Float32 {
		return run(a, a.o.slim, tensor.Float32, in)
	}
	return run(a, a.o.wide, tensor.Float64, in)
}

func (a *applied) DiffWRT(n int) []bool {
	all := make([]bool, n)
	if a.i < 0 {
		for k := range all {
			all[k] = k != a.o.whole || k == 0
		}
		return all
	}
	if a.o.wrt != nil {
		return a.o.wrt
	}
	return all
}

func (a *applied) SymDiff(in G.Nodes, y, dy *G.Node) (G.Nodes, error) {
	if a.i >= 0 {
		return a.o.second(in[0], in[2], dy)
	}
	var all G.Nodes
	for i := range in {
		if !a.DiffWRT(len(in))[i] {
			all = append(all, nil)
			continue
		}
		d, err := G.ApplyOp(&applied{o: a.o, i: i}, append(slices.Clone(in), y, dy)...)
		if err != nil {
			return nil, err
		}
		all = append(all, d)
	}
	return all, nil
}

// curve is y = f(x), element by element, with dx = d(x, y)·dy.
func curve[T real](f func(x T) T, d func(x, y T) T) rule[T] {
	return rule[T]{
		f: func(in []shaped[T]) []T {
			y := make([]T, len(in[0].v))
			for e, x := range in[0].v {
				if y[e] = f(x); math.IsInf(float64(y[e]), -1) && math.IsNaN(float64(f(-1))) && x < 0 {
					return nil
				}
			}
			return y
		},
		d: func(_ int, in []shaped[T], y, dy []T) []T {
			dx := make([]T, len(y))
			for e, x := range in[0].v {
				dx[e] = d(x, y[e]) * dy[e]
			}
			return dx
		},
	}
}

func exp[T real](x T) T      { return T(math.Exp(float64(x))) }
func log[T real](x T) T      { return T(math.Log(float64(x))) }
func sqrt[T real](x T) T     { return T(math.Sqrt(float64(x))) }
func tanh[T real](x T) T     { return T(math.Tanh(float64(x))) }
func absolute[T real](x T) T { return max(x, -x) }

func pick[T real](when bool, a, b T) T {
	if when {
		return a
	}
	return b
}
