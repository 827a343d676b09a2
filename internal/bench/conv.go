package bench

import (
	"math/rand/v2"
	"time"

	"github.com/pkg/errors"
	G "gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/convgrad/convgrad/internal/kernel"
	"github.com/convgrad/convgrad/ops"
)

// Seed is where all operands come from; speed does not depend on them as long as they are ordinary numbers.
const Seed = 1

// A ConvResult is one row of the convolution table. Rates are useful multiply-adds of the direct sum, two operations each, in 10⁹ a second.
type ConvResult struct {
	Name  string `json:"name"`
	Shape string `json:"shape"`

	// One thread, by processor time.
	Forward, BackwardData, BackwardFilter float64
	// Winograd forward, where the shape permits it.
	Winograd float64 `json:",omitempty"`
	// All threads, by elapsed time.
	ForwardAll, BackwardDataAll, BackwardFilterAll float64

	// Times of Gorgonia's built-in Conv2d over those of ops.Conv2D, in a user's graph under TapeMachine on all threads: the output alone, and with both
	// gradients. 0 where the built-in has no such convolution.
	OverBuiltinForward, OverBuiltinTraining float64

	// Times of PyTorch over ours, if PyTorch was asked for: forward, backward-data, backward-filter on one thread, then on all.
	OverPyTorch    [3]float64
	OverPyTorchAll [3]float64
}

func random(r *rand.Rand, n int) []float32 {
	v := make([]float32, n)
	for i := range v {
		v[i] = r.Float32()*2 - 1
	}
	return v
}

// Conv measures one shape.
func Conv(s Shape, b Budget, builtin bool) (ConvResult, error) {
	res := ConvResult{Name: s.Name, Shape: s.String()}
	g, err := s.Geometry()
	if err != nil {
		return res, err
	}
	r := rand.New(rand.NewPCG(Seed, 0))
	x, w, dy := random(r, g.XLen()), random(r, g.WLen()), random(r, g.YLen())
	y, dx, dw := make([]float32, g.YLen()), make([]float32, g.XLen()), make([]float32, g.WLen())
	rate := func(d time.Duration) float64 { return float64(2*g.MACs()) / d.Seconds() / 1e9 }
	calls := []func(){
		func() { kernel.Forward(g, y, x, w, nil, false) },
		func() { kernel.BackwardData(g, dx, dy, w) },
		func() { kernel.BackwardFilter(g, dw, dy, x) },
	}
	one := []*float64{&res.Forward, &res.BackwardData, &res.BackwardFilter}
	all := []*float64{&res.ForwardAll, &res.BackwardDataAll, &res.BackwardFilterAll}
	for i, call := range calls {
		threads := kernel.SetThreads(1)
		*one[i] = rate(CPU(b, call))
		kernel.SetThreads(threads)
		*all[i] = rate(Wall(b, call))
	}
	if s.R == 3 && s.Stride == 1 && s.Groups == 1 && s.C >= 16 {
		wg := g
		wg.Winograd = true
		threads := kernel.SetThreads(1)
		res.Winograd = rate(CPU(b, func() { kernel.Forward(wg, y, x, w, nil, false) }))
		kernel.SetThreads(threads)
	}
	if !builtin || s.Groups != 1 {
		return res, nil
	}
	ours := func(x, w *G.Node) (*G.Node, error) {
		return ops.Conv2D(x, w, nil, ops.ConvParams{Stride: [2]int{s.Stride, s.Stride}, Pad: [4]int{s.Pad, s.Pad, s.Pad, s.Pad}})
	}
	theirs := func(x, w *G.Node) (*G.Node, error) {
		return G.Conv2d(x, w, tensor.Shape{s.R, s.R}, []int{s.Pad, s.Pad}, []int{s.Stride, s.Stride}, []int{1, 1})
	}
	for _, training := range []bool{false, true} {
		o, err := graphTime(s, g, b, training, ours)
		if err != nil {
			return res, err
		}
		t, err := graphTime(s, g, b, training, theirs)
		if err != nil {
			return res, err
		}
		if training {
			res.OverBuiltinTraining = float64(t) / float64(o)
		} else {
			res.OverBuiltinForward = float64(t) / float64(o)
		}
	}
	return res, nil
}

// graphTime is the elapsed time of a run of the convolution in a graph of its own under TapeMachine.
func graphTime(s Shape, geom kernel.Conv, b Budget, training bool, conv func(x, w *G.Node) (*G.Node, error)) (time.Duration, error) {
	r := rand.New(rand.NewPCG(Seed, 0))
	g := G.NewGraph()
	leaf := func(name string, shape ...int) *G.Node {
		v := tensor.New(tensor.WithShape(shape...), tensor.WithBacking(random(r, tensor.Shape(shape).TotalSize())))
		return G.NewTensor(g, tensor.Float32, len(shape), G.WithShape(shape...), G.WithName(name), G.WithValue(v))
	}
	x, w := leaf("x", s.N, s.C, s.H, s.W), leaf("w", s.K, s.C/s.Groups, s.R, s.R)
	y, err := conv(x, w)
	if err != nil {
		return 0, err
	}
	if training {
		dy := leaf("dy", geom.N, geom.K, geom.P, geom.Q)
		weighted, err := G.HadamardProd(y, dy)
		if err != nil {
			return 0, err
		}
		cost, err := G.Sum(weighted)
		if err != nil {
			return 0, err
		}
		if _, err := G.Grad(cost, x, w); err != nil {
			return 0, err
		}
	}
	m := G.NewTapeMachine(g)
	defer m.Close()
	var failed error
	d := Wall(b, func() {
		if err := m.RunAll(); err != nil && failed == nil {
			failed = err
		}
		m.Reset()
	})
	return d, errors.Wrap(failed, "bench: a run under TapeMachine")
}
