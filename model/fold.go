package model

import (
	"math"
	"runtime"
	"sync"

	G "gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/convgrad/convgrad/internal/kernel"
	"github.com/convgrad/convgrad/ops"
)

// A batch norm that evaluates is a scale and a shift of each channel. After a convolution, which
// sums products with its weights, both can be part of it:
//
//	s = γ/√(variance + ε)    w′ = s·w    b′ = β + s·(b − mean)
//
// A graph that only evaluates computes that convolution alone. Its w′ and b′ are worked out once,
// and again when Load or Init has changed what they are made of. What somebody who holds a weight
// changes is not seen, as the elements of Param.Value or by an optimizer. So nothing is folded once
// a weight was handed out.

// ingredients are what a fold is made of.
type ingredients struct {
	weight, bias                 *Param // of the convolution; bias may be nil
	scale, shift, mean, variance *Param
	eps                          float64
}

// A fold is a convolution's weights with a batch norm in them.
type fold struct {
	from ingredients
	w, b *tensor.Dense
	at   uint64 // the version of the weights that it was made of
	held held
}

// held is w, which convolutions need not pack at every run.
type held interface {
	Changed()
	Release()
}

// folds are a network's, by what they are made of. All graphs share them.
type folds struct {
	mu sync.Mutex
	of map[ingredients]*fold
}

// fold returns the convolution y with a batch norm in it, or nil if there is no such thing: y is no
// convolution's by a weight, or the graph must compute what it says.
func (b *Builder) fold(y, scale, shift *G.Node, running ops.Stats, eps float64) *G.Node {
	if b.dead() || !b.folds || y == nil {
		return nil
	}
	conv, ok := y.Op().(interface {
		WithBias(x, w, b *G.Node) (*G.Node, error)
	})
	if !ok {
		return nil
	}
	in := operandsOf(y)
	if len(in) < 2 || y.Dims() != 4 {
		return nil
	}
	from := ingredients{weight: b.paramOf(in[1]), scale: b.paramOf(scale), shift: b.paramOf(shift),
		mean: b.paramOf(running.Mean), variance: b.paramOf(running.Var), eps: eps}
	if len(in) > 2 {
		from.bias = b.paramOf(in[2])
	}
	if from.weight == nil || len(in) > 2 && from.bias == nil || from.scale == nil || from.shift == nil ||
		from.mean == nil || from.variance == nil {
		return nil
	}
	f := b.net.folds.get(from)
	name := b.join("folded into ") + from.weight.Name // no weight's name has blanks
	n, err := conv.WithBias(in[0], leaf(b.graph, name, f.w), leaf(b.graph, name+": bias", f.b))
	if err == nil && n == nil { // it is no convolution
		return nil
	}
	b.folded = append(b.folded, f)
	return b.Do(n, err)
}

// paramOf is the weight whose leaf a node is, or nil.
func (b *Builder) paramOf(n *G.Node) *Param {
	if p := b.net.index[n.Name()]; p != nil && b.nodes[p] == n {
		return p
	}
	return nil
}

// get finds or makes a fold, without its numbers.
func (s *folds) get(from ingredients) *fold {
	s.mu.Lock()
	defer s.mu.Unlock()
	f := s.of[from]
	if f == nil {
		like := func(p *Param) *tensor.Dense {
			return tensor.New(tensor.WithShape(p.Value.Shape()...), tensor.Of(p.Value.Dtype()))
		}
		f = &fold{from: from, w: like(from.weight), b: like(from.shift), at: math.MaxUint64}
		switch w := f.w.Data().(type) {
		case []float32:
			f.held = kernel.Hold(w)
		case []float64:
			f.held = kernel.Hold(w)
		}
		runtime.AddCleanup(f, held.Release, f.held)
		if s.of == nil {
			s.of = map[ingredients]*fold{}
		}
		s.of[from] = f
	}
	return f
}

// refresh works out those folds that are of an older version of the weights. The caller holds the
// network's mu for reading, and so does every run that reads a fold. So a version changes only
// while nothing runs, and only the first run after that writes here.
func (s *folds) refresh(list []*fold, version uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, f := range list {
		if f.at == version {
			continue
		}
		f.at = version
		if w, ok := f.w.Data().([]float32); ok {
			refold(f, w)
		} else if w, ok := f.w.Data().([]float64); ok {
			refold(f, w)
		}
		f.held.Changed()
	}
}

func refold[T float32 | float64](f *fold, w []T) {
	of := func(p *Param) []T {
		if p == nil {
			return nil
		}
		return p.Value.Data().([]T)
	}
	from, bias := of(f.from.weight), of(f.from.bias)
	scale, shift, mean, variance := of(f.from.scale), of(f.from.shift), of(f.from.mean), of(f.from.variance)
	b := f.b.Data().([]T)
	row := len(w) / len(b)
	for k := range b {
		s := float64(scale[k]) / math.Sqrt(float64(variance[k])+f.from.eps)
		at := -float64(mean[k])
		if bias != nil {
			at += float64(bias[k])
		}
		b[k] = T(float64(shift[k]) + s*at)
		for i, v := range from[k*row : (k+1)*row] {
			w[k*row+i] = T(s * float64(v))
		}
	}
}

// unfold makes the graph anew, with batch norms computed, where weights were handed out since it
// was made. The memory of input and targets stays.
func (m *Graph) unfold() error {
	if len(m.folds) == 0 || !m.net.handed.Load() {
		return nil
	}
	fresh, err := m.net.Build(m.batch, m.options)
	if err != nil {
		return err
	}
	for _, pair := range [][2]*G.Node{{fresh.x, m.x}, {fresh.t, m.t}} {
		if pair[0] != nil {
			if err := G.Let(pair[0], pair[1].Value()); err != nil {
				return err
			}
		}
	}
	fresh.step = m.step
	*m = *fresh
	return nil
}
