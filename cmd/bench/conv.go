package main

import (
	"math/rand/v2"
	"slices"
	"time"

	"github.com/convgrad/convgrad/internal/kernel"
)

// Seed is the seed of all operands. Speed does not depend on ordinary numbers.
const Seed = 1

// Rates are those of forward, backward-data and backward-filter, in 10⁹ operations a second. The
// multiply-adds of the direct sum count, two operations each.
type Rates [3]float64

var directions = [3]string{"forward", "backward-data", "backward-filter"}

// A ConvResult is one row of the convolution table.
type ConvResult struct {
	Name  string
	Shape string
	// Kind is the group that a target is for: "many" (C and K ≥ 32), "few" (C = 1, or LeNet's),
	// "depthwise", or "".
	Kind string `json:",omitempty"`

	One, All Rates // one thread by processor time; all threads by elapsed time
	// OfPeak and OfPeakAll are shares of the peak: of one core, and of as many cores as threads.
	// The peak is measured in turns with the convolution.
	OfPeak, OfPeakAll Rates
	// Winograd is the rate of forward and backward-data on one thread, where the shape permits
	// Winograd. WinogradOfPeak is its share of the peak.
	Winograd, WinogradOfPeak [2]float64

	// PyTorch's time over ours, if PyTorch is measured: on one thread, on all threads, and on all
	// threads with PyTorch in its best layout, channels last.
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

// one measures on one thread by processor time, in turns with others.
func one(b Budget, f func()) func() (time.Duration, error) {
	return func() (time.Duration, error) { return oneThread(b, f), nil }
}

// all measures on all threads by elapsed time, in turns with others.
func all(b Budget, f func()) func() (time.Duration, error) {
	return func() (time.Duration, error) { return Wall(b, f), nil }
}

// A share measures on one thread and keeps each round's share of the peak.
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
					size := []int{s.N, s.C, s.H, s.W, s.K, s.R, s.Pad, s.Stride, s.Groups}
					return torch.ask(question{What: "convolution", Size: size, Which: i, ChannelsLast: last, Threads: threads, CPU: threads == 1, Seconds: b.Time.Seconds()})
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
			res.OverPyTorch[i] = over(t[2], t[0])
			res.OverPyTorchAll[i], res.OverPyTorchBest[i] = over(t[3], t[1]), over(t[4], t[1])
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

// A TierResult is a convolution in a tier or element type that is not the machine's default.
type TierResult struct {
	Tier, Dtype, Shape string
	One, OfPeak        Rates
}

// Tiers measures convolutions of many channels in float64, and in the tiers below the default one.
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
