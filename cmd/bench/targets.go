package main

import (
	"fmt"
	"math"
	"slices"
)

// A Target is a number that was to be reached, and what this run got.
type Target struct {
	What, Measure string
	Reach, Got    float64
	At            string // where the least was, if Got is a least
	Most          bool   // Got is to be at most Reach
	Percent       bool
	Measured, Met bool
}

func (t Target) sign() string {
	if t.Most {
		return "≤"
	}
	return "≥"
}

func (t Target) format(v float64) string {
	if t.Percent {
		return fmt.Sprintf("%.3g %%", 100*v)
	}
	return fmt.Sprintf("%.2f", v)
}

// A Loss is a peer that was faster.
type Loss struct {
	What, Peer string
	Ratio      float64
}

// values are ratios and where they were measured; those that are 0 were not.
type values struct {
	v  []float64
	at []string
}

func (l *values) add(at string, v ...float64) {
	for _, x := range v {
		if x > 0 {
			l.v, l.at = append(l.v, x), append(l.at, at)
		}
	}
}

func (l *values) least() (float64, string) {
	if len(l.v) == 0 {
		return 0, ""
	}
	i := slices.Index(l.v, slices.Min(l.v))
	return l.v[i], l.at[i]
}

// mean is the geometric mean.
func (l *values) mean() float64 {
	sum := 0.0
	for _, v := range l.v {
		sum += math.Log(v)
	}
	return math.Exp(sum / float64(max(1, len(l.v))))
}

func (r *Report) targets() []Target {
	var all []Target
	put := func(t Target) {
		t.Met = t.Measured && (t.Got >= t.Reach) != t.Most
		all = append(all, t)
	}
	least := func(what, measure string, reach float64, l values, percent bool) {
		got, at := l.least()
		put(Target{What: what, Measure: measure, Reach: reach, Got: got, At: at, Measured: len(l.v) > 0, Percent: percent})
	}
	mean := func(what, measure string, reach float64, l values, percent bool) {
		put(Target{What: what, Measure: measure, Reach: reach, Got: l.mean(), Measured: len(l.v) > 0, Percent: percent})
	}
	var peak, torch, peakAll, torchAll, best, few, winoPeak, winoTorch, depth values
	for _, c := range r.Convs {
		for i, d := range directions {
			at := d + " " + c.Shape
			switch c.Kind {
			case "many":
				peak.add(at, c.OfPeak[i])
				torch.add(at, c.OverPyTorch[i])
				peakAll.add(at, c.OfPeakAll[i])
				torchAll.add(at, c.OverPyTorchAll[i])
				best.add(at, c.OverPyTorchBest[i])
				if i < 2 {
					winoPeak.add(at, c.WinogradOfPeak[i])
					winoTorch.add(at, c.OverPyTorchWinograd[i])
				}
			case "few":
				few.add(at, c.OverPyTorch[i])
			case "depthwise":
				depth.add(at, c.OverPyTorch[i])
			}
		}
	}
	many := "convolution, C and K ≥ 32, one thread"
	least(many, "% of peak, least", 0.88, peak, true)
	mean(many, "% of peak, mean", 0.88, peak, true)
	least(many, "× PyTorch, least", 1.05, torch, false)
	many = "the same, all threads"
	mean(many, "% of peak, mean", 0.85, peakAll, true)
	least(many, "× PyTorch, least", 1, torchAll, false)
	mean(many, "× PyTorch channels last, mean", 0.95, best, false)
	mean("LeNet's layers and C = 1", "× PyTorch, mean", 1.5, few, false)
	least("LeNet's layers and C = 1", "× PyTorch, least", 1, few, false)
	least("3×3 with Winograd", "× peak, least", 1.4, winoPeak, false)
	least("3×3 with Winograd", "× PyTorch, least", 1.7, winoTorch, false)
	least("depthwise 3×3", "× PyTorch, least", 1.2, depth, false)
	var blasOne, blasAll values
	for _, p := range r.Products {
		if p.M >= 256 {
			blasOne.add(p.Size(), p.OverOpenBLAS)
			blasAll.add(p.Size(), p.OverOpenBLASAll)
		}
	}
	least("matrix product 256…2048", "× OpenBLAS, one thread, least", 0.95, blasOne, false)
	least("matrix product 256…2048", "× OpenBLAS, all threads, least", 0.95, blasAll, false)
	var avx2, double values
	for _, t := range r.Tiers {
		for i, d := range directions {
			switch {
			case t.Dtype == "float32":
				avx2.add(d+" "+t.Shape, t.OfPeak[i])
			case t.Tier == r.Tier:
				double.add(d+" "+t.Shape, t.OfPeak[i])
			}
		}
	}
	if r.Tier == "avx512" {
		least("AVX2 tier, C and K ≥ 32", "% of its peak, least", 0.85, avx2, true)
		mean("AVX2 tier, C and K ≥ 32", "% of its peak, mean", 0.85, avx2, true)
	}
	least("float64, C and K ≥ 32", "% of its peak, least", 0.8, double, true)
	mean("float64, C and K ≥ 32", "% of its peak, mean", 0.8, double, true)
	var generic, replaced values
	for _, g := range r.Graphs {
		at := g.Name + " " + g.Size
		generic.add(at, g.GenericForward, g.GenericTraining)
		replaced.add(at+", output", g.Forward)
		replaced.add(at+", with gradients", g.Training)
	}
	plain := "× Gorgonia's Conv2d, least"
	if r.Tier != "generic" {
		plain = "× Gorgonia's Conv2d, whose products are assembly here, least"
	}
	least("generic tier", plain, 2, generic, false)
	var maps, pool values
	for _, p := range r.Parts {
		at := p.Name + " " + p.Size
		maps.add(at, p.OverPyTorch, p.OverPyTorchAll)
		if p.Name == "max pool 2×2 with winners" {
			pool.add(at, p.OverPyTorch)
		}
	}
	least("pooling, ReLU, gradients", "× PyTorch, least", 1, maps, false)
	least("max pool with winners", "× PyTorch, least", 10, pool, false)
	step := "a training step of convnet"
	if len(r.Steps) > 2 {
		ours, theirs := r.Steps[0], r.Steps[2]
		put(Target{What: step, Measure: "× Gorgonia's built-ins", Reach: 15, Got: theirs.TimesOurs, Measured: true})
		var other values
		for _, s := range r.Steps[3:] {
			other.add(s.Name, s.TimesOurs)
		}
		least(step, "× PyTorch, its best layout", 2.5, other, false)
		fast := r.Steps[1]
		for i := range other.v {
			other.v[i] /= fast.TimesOurs
		}
		least(step+", with Winograd", "× PyTorch, its best layout", 2.5, other, false)
		put(Target{What: step, Measure: "bytes allocated, of the built-ins'", Reach: 0.01, Got: ours.Bytes / theirs.Bytes, Most: true, Percent: true, Measured: true})
		put(Target{What: step, Measure: fmt.Sprintf("%d threads against one", r.Threads), Reach: 1.8, Got: ours.Scaling, Measured: r.Threads > 1})
	}
	least("a built-in replaced in a graph", "× built-in, least", 1, replaced, false)
	return all
}

func (r *Report) losses() []Loss {
	var all []Loss
	add := func(what, peer string, ratio float64) {
		if ratio > 0 && ratio < lost {
			all = append(all, Loss{what, peer, ratio})
		}
	}
	for _, c := range r.Convs {
		for i, d := range directions {
			what := "convolution " + d + ", " + c.Name + " (" + c.Shape + ")"
			add(what, "PyTorch, one thread", c.OverPyTorch[i])
			add(what, "PyTorch, all threads", c.OverPyTorchAll[i])
			add(what, "PyTorch channels last, all threads", c.OverPyTorchBest[i])
		}
	}
	for _, p := range r.Products {
		add("matrix product "+p.Size(), "OpenBLAS, one thread", p.OverOpenBLAS)
		add("matrix product "+p.Size(), "OpenBLAS, all threads", p.OverOpenBLASAll)
		add("matrix product "+p.Size(), "gonum", p.OverGonum)
	}
	for _, p := range r.Parts {
		add(p.Name+" "+p.Size, "plain Go", p.OverLoop)
		add(p.Name+" "+p.Size, "PyTorch, one thread", p.OverPyTorch)
		add(p.Name+" "+p.Size, "PyTorch, all threads", p.OverPyTorchAll)
	}
	for _, o := range r.Ops {
		add(o.Title(), "PyTorch, all threads", o.OverPyTorch)
		add(o.Title()+" with gradients", "PyTorch, all threads", o.OverPyTorchTraining)
	}
	for _, g := range r.Graphs {
		add(g.Name+" "+g.Size, "the built-in, output", g.Forward)
		add(g.Name+" "+g.Size, "the built-in, with gradients", g.Training)
		add(g.Name+" "+g.Size+", generic tier", "the built-in, output", g.GenericForward)
		add(g.Name+" "+g.Size+", generic tier", "the built-in, with gradients", g.GenericTraining)
	}
	for _, s := range r.Steps[min(2, len(r.Steps)):] {
		add("a training step of convnet", s.Name, s.TimesOurs)
	}
	slices.SortStableFunc(all, func(a, b Loss) int {
		if a.Ratio < b.Ratio {
			return -1
		}
		return 1
	})
	return all
}
