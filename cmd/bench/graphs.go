package main

import (
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/pkg/errors"
	"gonum.org/v1/gonum/blas/gonum"
	G "gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/convgrad/convgrad/internal/kernel"
	"github.com/convgrad/convgrad/ops"
	"github.com/convgrad/convgrad/ops/blas"
)

// A GraphResult compares an op of ours with the built-in that it replaces, in a user's graph under
// Gorgonia's TapeMachine on all threads. Forward and Training are the built-in's time over ours,
// for the output alone and with all gradients.
type GraphResult struct {
	Name, Size        string
	Forward, Training float64
	// The same with the generic tier's kernels, where that was measured.
	GenericForward, GenericTraining float64
}

// A replacement is a function of some inputs, as our ops make it and as the built-ins do.
type replacement struct {
	name, size   string
	inputs       []tensor.Shape
	ours, theirs func(in []*G.Node) (*G.Node, error)
	generic      bool
	install      bool // ours is the built-in with our BLAS
}

func conv(n, c, h, w, k, r, pad, stride int, generic bool) replacement {
	return replacement{
		name: "Conv2D", size: fmt.Sprintf("%d,%d,%d,%d,%d,%d,%d,%d", n, c, h, w, k, r, pad, stride), generic: generic,
		inputs: []tensor.Shape{{n, c, h, w}, {k, c, r, r}},
		ours: func(in []*G.Node) (*G.Node, error) {
			return ops.Conv2D(in[0], in[1], nil, ops.ConvParams{Stride: ops.Both(stride), Pad: ops.Around(pad)})
		},
		theirs: func(in []*G.Node) (*G.Node, error) {
			return G.Conv2d(in[0], in[1], tensor.Shape{r, r}, []int{pad, pad}, []int{stride, stride}, []int{1, 1})
		},
	}
}

func replacements(quick bool) []replacement {
	all := []replacement{
		conv(1, 1, 6, 6, 2, 3, 0, 1, false),
		conv(2, 3, 10, 10, 4, 3, 1, 1, false),
		conv(64, 1, 28, 28, 6, 5, 2, 1, true),
		conv(64, 6, 14, 14, 16, 5, 0, 1, true),
		conv(32, 32, 14, 14, 64, 3, 1, 1, true),
	}
	if !quick {
		all = append(all,
			conv(32, 1, 28, 28, 32, 3, 1, 1, true),
			conv(8, 128, 28, 28, 128, 3, 1, 1, false),
			conv(8, 256, 14, 14, 512, 1, 0, 1, false),
			conv(8, 64, 56, 56, 128, 3, 1, 2, false),
			conv(1, 3, 224, 224, 64, 7, 3, 2, false),
		)
	}
	maps := []tensor.Shape{{2, 3, 10, 10}, {64, 6, 28, 28}, {16, 64, 56, 56}}
	if quick {
		maps = maps[:2]
	}
	for _, s := range maps {
		all = append(all, replacement{
			name: "MaxPool2D", size: fmt.Sprint(s), inputs: []tensor.Shape{s},
			ours: func(in []*G.Node) (*G.Node, error) { return ops.MaxPool2D(in[0], ops.PoolParams{Window: ops.Both(2)}) },
			theirs: func(in []*G.Node) (*G.Node, error) {
				return G.MaxPool2D(in[0], tensor.Shape{2, 2}, []int{0, 0}, []int{2, 2})
			},
		}, replacement{
			name: "ReLU", size: fmt.Sprint(s), inputs: []tensor.Shape{s},
			ours:   func(in []*G.Node) (*G.Node, error) { return ops.ReLU(in[0]) },
			theirs: func(in []*G.Node) (*G.Node, error) { return G.Rectify(in[0]) },
		})
	}
	for _, s := range [][3]int{{4, 10, 12}, {100, 625, 10}, {100, 1152, 625}} {
		size := fmt.Sprintf("%d×%d by %d×%d", s[0], s[1], s[1], s[2])
		product := func(in []*G.Node) (*G.Node, error) { return G.Mul(in[0], in[1]) }
		all = append(all, replacement{
			name: "Linear", size: size, inputs: []tensor.Shape{{s[0], s[1]}, {s[2], s[1]}},
			ours: func(in []*G.Node) (*G.Node, error) { return ops.Linear(in[0], in[1], nil) },
			theirs: func(in []*G.Node) (*G.Node, error) {
				w, err := G.Transpose(in[1])
				if err != nil {
					return nil, err
				}
				return G.Mul(in[0], w)
			},
		}, replacement{name: "Mul on blas.Use", size: size, inputs: []tensor.Shape{{s[0], s[1]}, {s[1], s[2]}}, ours: product, theirs: product, install: true})
	}
	return all
}

// Graphs measures all replacements.
func Graphs(b Budget, quick bool) ([]GraphResult, error) {
	var all []GraphResult
	for _, r := range replacements(quick) {
		res := GraphResult{Name: r.name, Size: r.size}
		for i, to := range []*float64{&res.Forward, &res.Training} {
			ratio, _, err := r.race(b, i == 1)
			if err != nil {
				return nil, err
			}
			*to = ratio
		}
		if r.generic {
			if err := r.genericTier(b, &res); err != nil {
				return nil, err
			}
		}
		all = append(all, res)
	}
	return all, nil
}

func (r replacement) genericTier(b Budget, res *GraphResult) (err error) {
	was := kernel.CurrentTier()
	defer kernel.SetTier(was)
	if err = kernel.SetTier(kernel.Generic); err != nil {
		return err
	}
	if res.GenericForward, _, err = r.race(b, false); err != nil {
		return err
	}
	res.GenericTraining, _, err = r.race(b, true)
	return err
}

// race runs both graphs by turns and returns the built-in's time over ours, and ours.
func (r replacement) race(b Budget, training bool) (float64, time.Duration, error) {
	ours, err := r.graph(r.ours, training)
	if err != nil {
		return 0, 0, errors.Wrap(err, "bench: "+r.name)
	}
	defer ours.Close()
	theirs, err := r.graph(r.theirs, training)
	if err != nil {
		return 0, 0, errors.Wrap(err, "bench: the built-in for "+r.name)
	}
	defer theirs.Close()
	var failed error
	run := func(m G.VM) func() {
		return func() {
			if err := m.RunAll(); err != nil && failed == nil {
				failed = err
			}
			m.Reset()
		}
	}
	first, second := run(ours), run(theirs)
	if r.install {
		plain := first
		first = func() { blas.Use(); plain() }
		last := second
		second = func() { G.Use(gonum.Implementation{}); last() }
		defer G.Use(gonum.Implementation{})
	}
	t := race(b, first, second)
	return float64(t[1]) / float64(t[0]), t[0], errors.Wrapf(failed, "bench: a run of %s under TapeMachine", r.name)
}

// graph is a machine for the op's output and, for training, for the gradients of ⟨output, weights⟩.
func (r replacement) graph(op func([]*G.Node) (*G.Node, error), training bool) (G.VM, error) {
	random32 := rand.New(rand.NewPCG(Seed, 0))
	g := G.NewGraph()
	leaf := func(name string, shape tensor.Shape) *G.Node {
		v := tensor.New(tensor.WithShape(shape...), tensor.WithBacking(random[float32](random32, shape.TotalSize())))
		return G.NewTensor(g, tensor.Float32, len(shape), G.WithShape(shape...), G.WithName(name), G.WithValue(v))
	}
	var in []*G.Node
	for i, s := range r.inputs {
		in = append(in, leaf(fmt.Sprint("input", i), s))
	}
	y, err := op(in)
	if err != nil {
		return nil, err
	}
	if training {
		weighted, err := G.HadamardProd(y, leaf("weights", y.Shape()))
		if err != nil {
			return nil, err
		}
		cost, err := G.Sum(weighted)
		if err != nil {
			return nil, err
		}
		if _, err := G.Grad(cost, in...); err != nil {
			return nil, err
		}
	}
	return G.NewTapeMachine(g), nil
}
