package main

import (
	"fmt"
	"slices"
	"time"

	"github.com/pkg/errors"
	"gorgonia.org/tensor"

	"github.com/convgrad/convgrad/internal/kernel"
	"github.com/convgrad/convgrad/model"
	"github.com/convgrad/convgrad/train"
)

// A NetworkResult is a training step of a network, or its evaluation of a batch.
type NetworkResult struct {
	Name                     string
	Seconds, WinogradSeconds float64
	Bytes                    float64 // allocated by a step in a steady state

	// The peers' times over ours; 0 where one was not measured. PyTorch's are eager in its default
	// layout, eager with channels last, and compiled by torch.compile with channels last.
	OverEager, OverLast, OverCompiled, OverONNX float64

	// OverBest is the least of these; the same with Winograd.
	OverBest, WinogradOverBest float64
}

// networks are those that the benchmark measures, with their batches and the side of their images.
var networks = []struct {
	name              string
	batch, side       int
	classes           int
	training, runtime bool // a training step; onnxruntime as a peer too
}{
	{"resnet20", 128, 32, 10, true, false},
	{"resnet18", 32, 64, 10, true, false},
	{"mobilenet_v2", 32, 96, 10, true, false},
	{"resnet18", 1, 224, 1000, false, true},
	{"resnet18", 16, 224, 1000, false, true},
	{"mobilenet_v2", 1, 224, 1000, false, true},
	{"mobilenet_v2", 16, 224, 1000, false, true},
}

// Networks measures each network beside PyTorch and, in evaluation, onnxruntime. What a peer lacks
// packages or a compiler for is told to say, and left out.
func Networks(b Budget, o Options, torch *peer, say func(format string, a ...any)) ([]NetworkResult, error) {
	var list []NetworkResult
	for i, n := range networks {
		if o.Quick && i > 0 {
			break // to compile one takes a minute
		}
		if !o.wantsOne("networks", n.name) || !slices.Contains(model.Names(), n.name) {
			continue
		}
		what := "evaluation"
		if n.training {
			what = "training"
		}
		res := NetworkResult{Name: fmt.Sprintf("%s, %s of %d×3×%d×%d", n.name, what, n.batch, n.side, n.side)}
		var fs []func() (time.Duration, error)
		var first *stepper
		for _, winograd := range []bool{false, true} {
			w := workload{network: n.name, batch: n.batch, input: tensor.Shape{3, n.side, n.side}, classes: n.classes, rate: 0.01}
			if n.training {
				w.optimizer = &train.SGD{Momentum: 0.9, Decay: 1e-4}
			}
			s, err := w.stepper(n.name, model.Options{Winograd: winograd})
			if err != nil {
				return nil, err
			}
			if first == nil {
				first = s
			}
			fs = append(fs, all(b.part(), s.step))
		}
		peers := []string{"eager", "last"}
		if n.training && !o.Quick {
			peers = append(peers, "compiled")
		}
		if n.runtime && !o.Quick {
			peers = append(peers, "onnxruntime")
		}
		if torch == nil {
			peers = nil
		}
		var asked []string
		for _, p := range peers {
			q := question{What: "network", Expression: n.name + " " + what + " " + p, Size: []int{n.batch, n.side, n.classes},
				Threads: kernel.Threads(), Seconds: b.part().Time.Seconds()}
			var missing missingError
			if _, err := torch.ask(q); errors.As(err, &missing) {
				say("%s, %s: not measured: %v", n.name, p, missing)
				continue
			} else if err != nil {
				return nil, errors.Wrapf(err, "bench: %s, %s", n.name, p)
			}
			asked = append(asked, p)
			fs = append(fs, func() (time.Duration, error) { return torch.ask(q) })
		}
		t, err := turns(b.Rounds, fs...)
		if err != nil {
			return nil, errors.Wrapf(err, "bench: %s", n.name)
		}
		res.Seconds, res.WinogradSeconds = median(t[0]).Seconds(), median(t[1]).Seconds()
		res.Bytes, _ = Memory(3, first.step)
		if err := first.err(); err != nil {
			return nil, err
		}
		into := map[string]*float64{"eager": &res.OverEager, "last": &res.OverLast, "compiled": &res.OverCompiled, "onnxruntime": &res.OverONNX}
		for i, p := range asked {
			ratio := over(t[2+i], t[0])
			*into[p] = ratio
			if w := over(t[2+i], t[1]); i == 0 || w < res.WinogradOverBest {
				res.WinogradOverBest = w
			}
			if i == 0 || ratio < res.OverBest {
				res.OverBest = ratio
			}
		}
		list = append(list, res)
	}
	return list, nil
}
