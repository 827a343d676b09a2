package suite

import (
	"fmt"
	"hash"
	"hash/fnv"
	"math/rand/v2"
	"slices"
	"sync/atomic"

	"github.com/chewxy/hm"
	"github.com/pkg/errors"
	G "gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/convgrad/convgrad/verify"
	"github.com/convgrad/convgrad/verify/internal/graphs"
)

// planted is an op made of a rule and a mistake in it. It stands in a graph where the library's op
// would, so that a mistake goes through the same machines and the same oracles.
type planted struct {
	key      uint64 // each is an op of its own to Gorgonia, which tells ops apart by hash
	s        *subject
	forward  func(in [][]float64) []float64
	backward func(in [][]float64, y, dy []float64) [][]float64

	overwrites, dirty bool
}

var plantedOps atomic.Uint64

// plant is the subject with the mistake in place of its op.
func (s *subject) plant(m mistake) *subject {
	p := s.planting(m)
	bad := *s
	bad.planted = true
	bad.build, bad.outputs = func(in []*G.Node) (*G.Node, error) { return G.ApplyOp(p, in...) }, nil
	if s.outputs != nil {
		bad.reference = s.alone
	}
	return &bad
}

func (s *subject) planting(m mistake) *planted {
	p := &planted{key: plantedOps.Add(1), s: s, forward: m.forward, backward: m.backward, overwrites: m.overwrites, dirty: m.dirty}
	if p.forward == nil {
		p.forward = s.rule.forward
	}
	if p.backward == nil {
		right := s.rule.backward
		if m.forward != nil { // the backward pass of a right op sees the output of a right one
			p.backward = func(in [][]float64, _, dy []float64) [][]float64 { return right(in, s.rule.forward(in), dy) }
		} else {
			p.backward = right
		}
	}
	return p
}

func typeOf(shape []int) hm.Type {
	if len(shape) == 0 {
		return hm.TypeVariable('a')
	}
	return G.TensorType{Dims: len(shape), Of: hm.TypeVariable('a')}
}

// signature is the type of a function of the subject's operands and of more tensors.
func (s *subject) signature(more ...[]int) hm.Type {
	var t []hm.Type
	for i, shape := range s.shapes {
		switch {
		case s.floating(i):
			t = append(t, typeOf(shape))
		case len(shape) == 0:
			t = append(t, s.inputs[i].Type)
		default:
			t = append(t, G.TensorType{Dims: len(shape), Of: s.inputs[i].Type})
		}
	}
	for _, shape := range more {
		t = append(t, typeOf(shape))
	}
	return hm.NewFnType(t...)
}

// dtype is the type of the operands that are floats.
func (s *subject) dtype(in []G.Value) tensor.Dtype {
	for i := range s.shapes {
		if s.floating(i) {
			return in[i].Dtype()
		}
	}
	return tensor.Float64
}

func (p *planted) Arity() int                                     { return len(p.s.shapes) }
func (p *planted) Type() hm.Type                                  { return p.s.signature(p.s.y) }
func (p *planted) InferShape(...G.DimSizer) (tensor.Shape, error) { return shapeOf(p.s.y), nil }
func (p *planted) ReturnsPtr() bool                               { return false }
func (p *planted) CallsExtern() bool                              { return false }
func (p *planted) OverwritesInput() int                           { return -1 }
func (p *planted) WriteHash(h hash.Hash)                          { fmt.Fprintf(h, "suite.planted|%d", p.key) }
func (p *planted) Hashcode() uint32                               { return hashOf(p) }
func (p *planted) String() string                                 { return "planted " + p.s.op }
func (p *planted) Preallocated()                                  {}
func (p *planted) Do(in ...G.Value) (G.Value, error)              { return p.compute(nil, in) }
func (p *planted) UsePreallocDo(dst G.Value, in ...G.Value) (G.Value, error) {
	return p.compute(dst, in)
}

func shapeOf(s []int) tensor.Shape {
	if len(s) == 0 {
		return tensor.ScalarShape()
	}
	return append(tensor.Shape{}, s...)
}

func hashOf(o G.Op) uint32 {
	h := fnv.New32a()
	o.WriteHash(h)
	return h.Sum32()
}

func elements(in []G.Value) ([][]float64, error) {
	var all [][]float64
	for _, v := range in {
		f, err := graphs.Floats(v)
		if err != nil {
			return nil, err
		}
		all = append(all, f)
	}
	return all, nil
}

func (p *planted) compute(dst G.Value, in []G.Value) (G.Value, error) {
	v, err := elements(in)
	if err != nil {
		return nil, err
	}
	y := p.forward(v)
	if p.dirty && dst != nil {
		held, err := graphs.Floats(dst)
		if err != nil {
			return nil, err
		}
		for i := range y {
			y[i] += held[i]
		}
	}
	return result(y, p.s.y, p.s.dtype(in), dst)
}

// result puts elements into a value, or into the memory at hand.
func result(data []float64, shape []int, of tensor.Dtype, dst G.Value) (G.Value, error) {
	switch {
	case len(shape) == 0 && of == tensor.Float32:
		return G.NewF32(float32(data[0])), nil
	case len(shape) == 0:
		return G.NewF64(data[0]), nil
	}
	v := graphs.Of(shape, data).Value(of)
	if d, ok := dst.(*tensor.Dense); ok {
		return d, tensor.Copy(d, v)
	}
	return v, nil
}

func (p *planted) DiffWRT(n int) []bool {
	all := make([]bool, n)
	for i := range all {
		all[i] = p.s.floating(i)
	}
	return all
}

func (p *planted) SymDiff(in G.Nodes, out, grad *G.Node) (G.Nodes, error) {
	var all G.Nodes
	for i := range in {
		if !p.s.floating(i) {
			all = append(all, nil)
			continue
		}
		n, err := G.ApplyOp(&plantedGradient{p, i}, append(append(G.Nodes{}, in...), out, grad)...)
		if err != nil {
			return nil, err
		}
		all = append(all, n)
	}
	return all, nil
}

func (p *planted) DoDiff(_ G.ExecutionContext, in G.Nodes, out *G.Node) error {
	dy, err := out.Grad()
	if err != nil {
		return err
	}
	var values []G.Value
	for _, n := range in {
		values = append(values, n.Value())
	}
	v, err := elements(append(values, out.Value(), dy))
	if err != nil {
		return err
	}
	grads := p.backward(v[:len(in)], v[len(in)], v[len(in)+1])
	for i, n := range in {
		if !p.s.floating(i) {
			continue
		}
		g, err := n.Grad()
		if err != nil {
			return err
		}
		if p.addScalar(g, grads[i]) {
			continue
		}
		d, ok := g.(*tensor.Dense)
		if !ok {
			return errors.Errorf("suite: the gradient of input %d is a %T", i, g)
		}
		held, err := graphs.Floats(d)
		if err != nil {
			return err
		}
		for k := range held {
			if p.overwrites {
				held[k] = 0
			}
			held[k] += grads[i][k]
		}
		if err := tensor.Copy(d, graphs.Of(p.s.shapes[i], held).Value(d.Dtype())); err != nil {
			return err
		}
	}
	return nil
}

// addScalar adds to a gradient that is a scalar.
func (p *planted) addScalar(g G.Value, dx []float64) bool {
	switch d := g.(type) {
	case *G.F64:
		if p.overwrites {
			*d = 0
		}
		*d += G.F64(dx[0])
	case *G.F32:
		if p.overwrites {
			*d = 0
		}
		*d += G.F32(dx[0])
	default:
		return false
	}
	return true
}

// plantedGradient is the gradient of input i as an op of x…, y and dy.
type plantedGradient struct {
	p *planted
	i int
}

func (g *plantedGradient) Arity() int { return len(g.p.s.shapes) + 2 }
func (g *plantedGradient) Type() hm.Type {
	return g.p.s.signature(g.p.s.y, g.p.s.y, g.p.s.shapes[g.i])
}
func (g *plantedGradient) InferShape(...G.DimSizer) (tensor.Shape, error) {
	return shapeOf(g.p.s.shapes[g.i]), nil
}
func (g *plantedGradient) ReturnsPtr() bool     { return false }
func (g *plantedGradient) CallsExtern() bool    { return false }
func (g *plantedGradient) OverwritesInput() int { return -1 }
func (g *plantedGradient) WriteHash(h hash.Hash) {
	fmt.Fprintf(h, "suite.plantedGradient|%d|%d", g.p.key, g.i)
}
func (g *plantedGradient) Hashcode() uint32 { return hashOf(g) }
func (g *plantedGradient) String() string {
	return fmt.Sprintf("planted %s, gradient %d", g.p.s.op, g.i)
}
func (g *plantedGradient) Do(in ...G.Value) (G.Value, error) {
	v, err := elements(in)
	if err != nil {
		return nil, err
	}
	n := len(g.p.s.shapes)
	return result(g.p.backward(v[:n], v[n], v[n+1])[g.i], g.p.s.shapes[g.i], g.p.s.dtype(in), nil)
}

// general are the mistakes that any op can have, in its rule and in its kernel.
func (s *subject) general() []mistake {
	var all []mistake
	rule := func(name string, change func(dx []float64, shape []int) []float64) {
		all = append(all, mistake{name: "gradients: " + name, backward: func(in [][]float64, y, dy []float64) [][]float64 {
			grads := s.rule.backward(in, y, dy)
			for i := range grads {
				grads[i] = change(append([]float64(nil), grads[i]...), s.shapes[i])
			}
			return grads
		}})
	}
	cotangent := func(name string, change func(dy []float64)) {
		all = append(all, mistake{name: "gradients: " + name, backward: func(in [][]float64, y, dy []float64) [][]float64 {
			dy = append([]float64(nil), dy...)
			change(dy)
			return s.rule.backward(in, y, dy)
		}})
	}
	kernel := func(name string, change func(y []float64)) {
		all = append(all, mistake{name: "kernel: " + name, forward: func(in [][]float64) []float64 {
			y := append([]float64(nil), s.rule.forward(in)...)
			change(y)
			return y
		}})
	}
	scaled := func(by float64) func(dx []float64, _ []int) []float64 {
		return func(dx []float64, _ []int) []float64 {
			for i := range dx {
				dx[i] *= by
			}
			return dx
		}
	}
	rule("the factor ½", scaled(0.5))
	rule("the sign", scaled(-1))
	rule("turned by 180°", func(dx []float64, _ []int) []float64 {
		for i, j := 0, len(dx)-1; i < j; i, j = i+1, j-1 {
			dx[i], dx[j] = dx[j], dx[i]
		}
		return dx
	})
	rule("shifted by one element", func(dx []float64, _ []int) []float64 { return append(dx[1:], dx[0]) })
	rule("transposed", func(dx []float64, shape []int) []float64 {
		if len(shape) == 0 {
			return dx
		}
		rows := shape[0]
		if len(shape) > 1 {
			rows = shape[len(shape)-2]
		}
		cols := shape[len(shape)-1]
		t := append([]float64(nil), dx...)
		for at := 0; at+rows*cols <= len(dx); at += rows * cols {
			for k := range rows * cols {
				t[at+k%cols*rows+k/cols] = dx[at+k]
			}
		}
		return t
	})
	rule("the last element forgotten", func(dx []float64, _ []int) []float64 { dx[len(dx)-1] = 0; return dx })
	rule("one element doubled", func(dx []float64, _ []int) []float64 { dx[len(dx)/2] *= 2; return dx })
	rule("a constant added", func(dx []float64, _ []int) []float64 {
		for i := range dx {
			dx[i] += 1. / 1024
		}
		return dx
	})
	cotangent("dy taken as ones", func(dy []float64) {
		for i := range dy {
			dy[i] = 1
		}
	})
	if len(s.y) > 0 && !s.identity { // of an identity the gradient is dy
		cotangent("dy reversed", func(dy []float64) {
			for i, j := 0, len(dy)-1; i < j; i, j = i+1, j-1 {
				dy[i], dy[j] = dy[j], dy[i]
			}
		})
	}
	kernel("the last element not written", func(y []float64) { y[len(y)-1] = 0 })
	kernel("one element off by 2⁻¹⁵ of itself", func(y []float64) { y[len(y)/2] *= 1 + 0x1p-15 })
	if len(s.y) > 0 {
		kernel("neighbours swapped", func(y []float64) {
			if len(y) > 1 {
				y[0], y[1] = y[1], y[0]
			}
		})
		all = append(all, mistake{name: "kernel: adds to a destination that is dirty", dirty: true})
	}
	return append(all, mistake{name: "gradients: overwritten, not accumulated", overwrites: true})
}

// A Kill is a mistake and how it was found out.
type Kill struct {
	Op      string `json:"op"`
	Mistake string `json:"mistake"`
	Caught  bool   `json:"caught"`
	// Registered: the op has no rule here, and mistakes are planted in its own graph.
	Registered bool `json:"registered,omitempty"`
	// all that caught it in the first case in which any did
	Oracles []string `json:"oracles,omitempty"`
	Cases   int      `json:"cases"` // cases until it was caught
	Says    string   `json:"says,omitempty"`
}

// SelfTest plants every mistake of every op whose name contains only, and reports which oracle of
// the checker caught it. It also puts each rule without a mistake before the checker and returns an
// error if one is blamed, or if no op has such a name. Ops that are registered count only if they
// are asked for.
func SelfTest(seed uint64, only string, registered bool) ([]Kill, error) {
	chosen, err := chosen(only)
	if err != nil {
		return nil, err
	}
	var all []Kill
	for _, f := range chosen {
		if f.registered && !registered {
			continue
		}
		if f.registered {
			kills, err := selfTestRegistered(f, seed)
			if err != nil {
				return nil, err
			}
			all = append(all, kills...)
			continue
		}
		for n := range uint64(6) {
			r := rand.New(rand.NewPCG(seed, n))
			sound := f.subject(r)
			if _, bad := sound.plant(mistake{}).judged(seed+n, n%2 == 0); bad != nil {
				return nil, errors.Errorf("suite: %s without a mistake is blamed: %s: %v", f.op, sound.params, bad)
			}
		}
		// The same mistakes exist in every subject of an op, in the same order; some of them change
		// nothing in some geometries.
		names := f.subject(rand.New(rand.NewPCG(seed, 0))).allMistakes()
		for m := range names {
			all = append(all, kill(f, m, names[m].name, seed))
		}
	}
	return all, nil
}

func (s *subject) allMistakes() []mistake { return append(s.rule.mistakes(), s.general()...) }

func kill(f family, m int, name string, seed uint64) Kill {
	const most = 60
	k := Kill{Op: f.op, Mistake: name}
	r := rand.New(rand.NewPCG(seed, uint64(m)+100))
	for k.Cases < most {
		k.Cases++
		s := f.subject(r)
		if k.judge(s.plant(s.allMistakes()[m]), seed+uint64(k.Cases), k.Cases%2 == 1) {
			break
		}
	}
	return k
}

// judge puts a subject with a mistake before the checker and notes who caught it.
func (k *Kill) judge(s *subject, seed uint64, whole bool) bool {
	rows, bad := s.judged(seed, whole)
	if bad == nil {
		return false
	}
	k.Caught, k.Says = true, bad.Error()
	for _, row := range rows {
		if row.Verdict == verify.Fails && !slices.Contains(k.Oracles, string(row.Oracle)) {
			k.Oracles = append(k.Oracles, string(row.Oracle))
		}
	}
	return true
}
