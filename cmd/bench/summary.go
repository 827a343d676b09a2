package main

import (
	"fmt"
	"math"
)

// summary is the table of the project's front page: a few lines, wins and losses alike, each over
// all of its cases.
func (r *Report) summary() string {
	rows := [][]string{{"on all threads, float32", "beside", "times as fast, mean", "least", "slower in"}}
	add := func(what, peer string, v values) {
		if len(v.v) == 0 {
			return
		}
		slower := 0
		for _, x := range v.v {
			if x < lost {
				slower++
			}
		}
		least, _ := v.least()
		rows = append(rows, []string{what, peer, ratio(v.mean()), ratio(least),
			fmt.Sprintf("%d of %d", slower, len(v.v))})
	}
	var torch, last, products, ops, opsTraining, training, winograd, evaluation values
	for _, c := range r.Convs {
		if c.Kind == "many" {
			torch.add("", c.OverPyTorchAll[:]...)
			last.add("", c.OverPyTorchBest[:]...)
		}
	}
	for _, p := range r.Products {
		if p.M >= 256 {
			products.add("", p.OverOpenBLASAll)
		}
	}
	for _, o := range r.Ops {
		ops.add("", o.OverPyTorch)
		opsTraining.add("", o.OverPyTorchTraining)
	}
	for _, n := range r.Networks {
		if n.OverONNX > 0 {
			evaluation.add("", n.OverBest)
			continue
		}
		training.add("", n.OverBest)
		winograd.add("", n.WinogradOverBest)
	}
	conv := "convolutions of 32 channels and more, both gradients too"
	add(conv, "PyTorch", torch)
	add(conv, "PyTorch, channels last", last)
	add("matrix products, 256³ to 2048³", "OpenBLAS", products)
	add("normalisation, activations, losses, pools, arithmetic", "PyTorch, its best layout", ops)
	add("the same with gradients", "PyTorch, its best layout", opsTraining)
	add("training steps of resnet20, resnet18, mobilenet_v2", "PyTorch's best, compiled too", training)
	add("the same with Winograd", "PyTorch's best, compiled too", winograd)
	add("evaluation of resnet18, mobilenet_v2, batches of 1 and 16", "the best of PyTorch and onnxruntime", evaluation)
	best, builtin := values{}, values{}
	for i, s := range r.Steps {
		switch {
		case i == 2:
			builtin.add("", s.TimesOurs)
		case i > 2 && (len(best.v) == 0 || s.TimesOurs < best.v[0]):
			best = values{}
			best.add("", s.TimesOurs)
		}
	}
	add("a training step of Gorgonia's examples/convnet", "PyTorch, its best layout", best)
	add("the same", "Gorgonia's own ops", builtin)
	s := fmt.Sprintf("\n%s, %d threads, %s", r.CPU, r.Threads, r.Tier)
	if r.Torch != "" {
		s += "; PyTorch " + r.Torch
	}
	return table(rows) + s + ". **Bold** where we are slower.\n"
}

// lost is the ratio below which a peer counts as faster.
const lost = 0.995

// ratio prints a ratio, in bold where we lose; a dash where there is none.
func ratio(v float64) string {
	switch {
	case v == 0 || math.IsNaN(v):
		return "–"
	case v < lost:
		return fmt.Sprintf("**%.2f**", v)
	case v < 10:
		return fmt.Sprintf("%.2f", v)
	}
	return fmt.Sprintf("%.0f", v)
}
