package main

import (
	"math/rand/v2"
	"slices"
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
	// OfPeak and OfPeakAll are the same as shares of the peak, of one core and of as many as there are threads, measured by turns.
	OfPeak, OfPeakAll Rates
	// Winograd is that of forward and backward-data on one thread, where the shape permits it, and WinogradOfPeak its share of the peak.
	Winograd, WinogradOfPeak [2]float64

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

// one and all are measurements to take turns with others: on one thread by processor time, and on all by elapsed time.
func one(b Budget, f func()) func() (time.Duration, error) {
	return func() (time.Duration, error) { return oneThread(b, f), nil }
}

func all(b Budget, f func()) func() (time.Duration, error) {
	return func() (time.Duration, error) { return Wall(b, f), nil }
}

// A share measures on one thread, and keeps the share of the peak of each round.
type share struct{ of []float64 }

func (s *share) one(b Budget, flops float64, single bool, f func()) func() (time.Duration, error) {
	return func() (time.Duration, error) {
		t, of := besidePeak(b, flops, single, f)
		s.of = append(s.of, of)
		return t, nil
	}
}

// median of the rounds.
func (s *share) median() float64 {
	of := slices.Clone(s.of)
	slices.Sort(of)
	return of[len(of)/2]
}

// Conv measures one shape, beside PyTorch if there is one.
func Conv(s Shape, b Budget, torch *peer) (ConvResult, error) {
	res := ConvResult{Name: s.Name, Shape: s.String(), Kind: s.Kind()}
	g, err := s.Geometry()
	if err != nil {
		return res, err
	}
	wg := g
	wg.Winograd = true
	plain, fast := convolution[float32](g), convolution[float32](wg)
	flops := float64(2 * g.MACs())
	threads := kernel.Threads()
	rounds := b.Rounds
	b = b.part()
	for i, f := range plain {
		var direct, winograd share
		fs := []func() (time.Duration, error){direct.one(b, flops, true, f), all(b, f)}
		if torch != nil {
			ask := func(threads int, last bool) func() (time.Duration, error) {
				return func() (time.Duration, error) {
					return torch.ask(question{"convolution", []int{s.N, s.C, s.H, s.W, s.K, s.R, s.Pad, s.Stride, s.Groups}, i, last, threads, threads == 1, b.Time.Seconds()})
				}
			}
			fs = append(fs, ask(1, false), ask(threads, false), ask(threads, true))
		}
		permitted := s.R == 3 && s.Stride == 1 && s.Kind() == "many" && i < 2
		if permitted {
			fs = append(fs, winograd.one(b, flops, true, fast[i]))
		}
		t, err := turns(rounds, fs...)
		if err != nil {
			return res, err
		}
		res.One[i], res.All[i] = rate(g, median(t[0])), rate(g, median(t[1]))
		// All threads' share is of the peak at which one core was while it ran the same alone.
		res.OfPeak[i] = direct.median()
		res.OfPeakAll[i] = res.OfPeak[i] * over(t[0], t[1]) / float64(threads)
		if torch != nil {
			res.OverPyTorch[i], res.OverPyTorchAll[i], res.OverPyTorchBest[i] = over(t[2], t[0]), over(t[3], t[1]), over(t[4], t[1])
		}
		if permitted {
			w := t[len(t)-1]
			res.Winograd[i], res.WinogradOfPeak[i] = rate(g, median(w)), winograd.median()
			if torch != nil {
				res.OverPyTorchWinograd[i] = over(t[2], w)
			}
		}
	}
	return res, nil
}

// A TierResult is a convolution in a tier and element type that the machine does not use by default.
type TierResult struct {
	Tier, Dtype, Shape string
	One, OfPeak        Rates
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
			for i, s := range Shapes {
				if s.Kind() != "many" || quick && i > 0 {
					continue
				}
				g, err := s.Geometry()
				if err != nil {
					return nil, err
				}
				res := TierResult{Tier: tier.String(), Dtype: "float32", Shape: s.String()}
				fs := convolution[float32](g)
				if !single {
					res.Dtype, fs = "float64", convolution[float64](g)
				}
				for i, f := range fs {
					t, of := besidePeak(b, float64(2*g.MACs()), single, f)
					res.One[i], res.OfPeak[i] = rate(g, t), of
				}
				all = append(all, res)
			}
		}
	}
	return all, nil
}
