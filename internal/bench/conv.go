package bench

import (
	"math/rand/v2"
	"time"

	"github.com/convgrad/convgrad/internal/kernel"
)

// Seed is where all operands come from; speed does not depend on them as long as they are ordinary numbers.
const Seed = 1

// Rates are those of the three directions, forward, backward-data, backward-filter: useful multiply-adds of the direct sum, two operations each, in 10⁹ a second.
type Rates [3]float64

var directions = [3]string{"forward", "backward-data", "backward-filter"}

// A ConvResult is one row of the convolution table.
type ConvResult struct {
	Name  string
	Shape string
	// Kind is what targets speak of: "many" (C and K ≥ 32), "few" (C = 1, or LeNet's), "depthwise", or "".
	Kind string `json:",omitempty"`

	One, All Rates // one thread by processor time; all threads by elapsed time
	// Winograd is that of forward and backward-data on one thread, where the shape permits it.
	Winograd [2]float64

	// PyTorch's time over ours, if PyTorch was asked for: on one thread, on all, and on all with PyTorch in its best layout, channels last.
	OverPyTorch, OverPyTorchAll, OverPyTorchBest Rates
	OverPyTorchWinograd                          [2]float64
}

func random[T kernel.Float](r *rand.Rand, n int) []T {
	v := make([]T, n)
	for i := range v {
		v[i] = T(r.Float32()*2 - 1)
	}
	return v
}

// convolution is the three directions as functions, with operands of their own.
func convolution[T kernel.Float](g kernel.Conv) [3]func() {
	r := rand.New(rand.NewPCG(Seed, 0))
	x, w, dy := random[T](r, g.XLen()), random[T](r, g.WLen()), random[T](r, g.YLen())
	y, dx, dw := make([]T, g.YLen()), make([]T, g.XLen()), make([]T, g.WLen())
	return [3]func(){
		func() { kernel.Forward(g, y, x, w, nil, false) },
		func() { kernel.BackwardData(g, dx, dy, w) },
		func() { kernel.BackwardFilter(g, dw, dy, x) },
	}
}

func rate(g kernel.Conv, d time.Duration) float64 { return float64(2*g.MACs()) / d.Seconds() / 1e9 }

// oneThread is CPU with one thread.
func oneThread(b Budget, f func()) time.Duration {
	defer kernel.SetThreads(kernel.SetThreads(1))
	return CPU(b, f)
}

// Conv measures one shape.
func Conv(s Shape, b Budget) (ConvResult, error) {
	res := ConvResult{Name: s.Name, Shape: s.String(), Kind: s.Kind()}
	g, err := s.Geometry()
	if err != nil {
		return res, err
	}
	for i, f := range convolution[float32](g) {
		res.One[i], res.All[i] = rate(g, oneThread(b, f)), rate(g, Wall(b, f))
	}
	if s.R == 3 && s.Stride == 1 && s.Kind() == "many" {
		wg := g
		wg.Winograd = true
		fs := convolution[float32](wg)
		for i := range res.Winograd {
			res.Winograd[i] = rate(g, oneThread(b, fs[i]))
		}
	}
	return res, nil
}

// A TierResult is a convolution in a tier and element type that the machine does not use by default.
type TierResult struct {
	Tier, Dtype, Shape string
	Peak               float64 // of one core
	One                Rates
}

// Tiers measures convolutions of many channels in the AVX2 tier and, in each tier with vectors, in float64.
func Tiers(b Budget, quick bool) ([]TierResult, error) {
	was := kernel.CurrentTier()
	defer kernel.SetTier(was)
	var all []TierResult
	for _, tier := range kernel.Tiers() {
		if tier == kernel.Generic {
			continue
		}
		if err := kernel.SetTier(tier); err != nil {
			return nil, err
		}
		for _, single := range []bool{true, false} {
			if tier == was && single {
				continue // that is the table of convolutions
			}
			peak := kernel.Peak(tier, single)
			for i, s := range Shapes {
				if s.Kind() != "many" || quick && i > 0 {
					continue
				}
				g, err := s.Geometry()
				if err != nil {
					return nil, err
				}
				res := TierResult{Tier: tier.String(), Dtype: "float32", Shape: s.String(), Peak: peak}
				fs := convolution[float32](g)
				if !single {
					res.Dtype, fs = "float64", convolution[float64](g)
				}
				for i, f := range fs {
					res.One[i] = rate(g, oneThread(b, f))
				}
				all = append(all, res)
			}
		}
	}
	return all, nil
}
