// Command picture draws the picture of the front page: a network that learns to read digits.
//
//	cd notebooks && go run ./cmd/picture ../docs/learning.png
//
// It trains a small network for three epochs, and draws the loss of each step, the filters of the
// first layer before and after, and what the trained filters make of a digit.
package main

import (
	"context"
	"fmt"
	"math"
	"os"
	"slices"

	"gorgonia.org/tensor"

	"github.com/convgrad/convgrad/model"
	"github.com/convgrad/convgrad/notebooks/draw"
	"github.com/convgrad/convgrad/ops"
	"github.com/convgrad/convgrad/train"
	"github.com/convgrad/convgrad/train/data"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "picture: want the name of the file to write")
		os.Exit(2)
	}
	png, err := picture()
	if err == nil {
		err = os.WriteFile(os.Args[1], png, 0o666)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "picture:", err)
		os.Exit(1)
	}
}

const filters = 8

// picture trains the network and returns the PNG.
func picture() ([]byte, error) {
	digits, held, err := data.Open("digits", data.Options{Train: 20000, Test: 1000, Seed: 1})
	if err != nil {
		return nil, err
	}
	net, err := model.New(model.Sequential{
		model.Conv2D{Filters: filters, Size: ops.Both(7), Pad: ops.Around(3)}, model.ReLU{},
		model.MaxPool2D{Window: ops.Both(2)},
		model.Conv2D{Filters: 16, Size: ops.Both(3)}, model.ReLU{}, model.MaxPool2D{Window: ops.Both(2)},
		model.Flatten{}, model.Linear{Outputs: len(digits.Classes())},
	}, digits.Shape(), model.Options{Seed: 1})
	if err != nil {
		return nil, err
	}
	before, err := kernels(net)
	if err != nil {
		return nil, err
	}
	var losses []float64
	t := train.Trainer{
		Net: net, Train: digits, Test: held, Epochs: 3, Batch: 32,
		Optimizer: &train.Adam{}, Schedule: train.OneCycle(0.01),
		OnStep: func(m train.Moment) error { losses = append(losses, m.Loss); return nil },
	}
	res, err := t.Run(context.Background())
	if err != nil {
		return nil, err
	}
	after, err := kernels(net)
	if err != nil {
		return nil, err
	}
	maps, err := features(net, held)
	if err != nil {
		return nil, err
	}
	curve := draw.Plot{
		Title: fmt.Sprintf("mean of 50 steps; then %.1f %% of unseen digits right", 100*res.Accuracy()),
		X:     "step", Y: "loss", LogY: true, W: 440, H: 280,
		Curves: []draw.Curve{{Y: smooth(losses, 50)}},
	}.Figure()
	return draw.Row(curve, draw.Column(
		draw.Caption("filters before training", draw.Row(before...)),
		draw.Caption("and after", draw.Row(after...)),
		draw.Caption("what they make of a digit", draw.Row(maps...)),
	)).PNG(), nil
}

// kernels draws the filters of the first layer.
func kernels(net *model.Network) ([]draw.Figure, error) {
	w := net.Params()[0].Value
	v, ok := w.Data().([]float32)
	if !ok {
		return nil, fmt.Errorf("the filters are %v, want float32", w.Dtype())
	}
	s := w.Shape()
	return planes(v, filters, s[2], s[3], draw.Cell(9), draw.Plain()), nil
}

// features draws a digit that the network has not seen and the feature maps behind the first ReLU.
func features(net *model.Network, set data.Set) ([]draw.Figure, error) {
	g, err := net.Build(1, model.BuildOptions{Keep: true})
	if err != nil {
		return nil, err
	}
	defer g.Close()
	x, ok := g.InputData().([]float32)
	if !ok {
		return nil, fmt.Errorf("the network takes %T, want float32", g.InputData())
	}
	if _, err := set.Read(3, x); err != nil {
		return nil, err
	}
	if err := g.Run(); err != nil {
		return nil, err
	}
	y, err := g.Feature("1")
	if err != nil {
		return nil, err
	}
	shape := set.Shape()
	h, w := shape[1], shape[2]
	v, ok := y.Data().([]float32)
	if !ok || !slices.Equal(y.Shape(), tensor.Shape{1, filters, h, w}) {
		return nil, fmt.Errorf("the feature maps are %v of %v", y.Shape(), y.Dtype())
	}
	digit := planes(x, 1, h, w, draw.Cell(2), draw.Gray())
	return append(digit, planes(v, filters, h, w, draw.Cell(2), draw.Plain())...), nil
}

// planes draws n planes of h by w numbers, all with one palette.
func planes(v []float32, n, h, w int, o ...draw.Option) []draw.Figure {
	most := 0.0
	for _, x := range v[:n*h*w] {
		most = max(most, math.Abs(float64(x)))
	}
	if n > 1 {
		o = append(o, draw.Range(-most, most))
	}
	var figs []draw.Figure
	for k := range n {
		m := make([][]float64, h)
		for i := range m {
			for _, x := range v[(k*h+i)*w : (k*h+i+1)*w] {
				m[i] = append(m[i], float64(x))
			}
		}
		figs = append(figs, draw.Heat("", m, o...))
	}
	return figs
}

// smooth is the mean of each element and those up to n−1 before it.
func smooth(v []float64, n int) []float64 {
	s, sum := make([]float64, len(v)), 0.0
	for i, x := range v {
		sum += x
		if i >= n {
			sum -= v[i-n]
		}
		s[i] = sum / float64(min(i+1, n))
	}
	return s
}
