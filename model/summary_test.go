package model

import (
	"strings"
	"testing"

	G "gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/convgrad/convgrad/ops"
)

// LeNet-5's numbers, counted by hand: 156 + 2416 + 48120 + 10164 + 850 parameters, and for one
// image 28·28·6·25 + 10·10·16·150 + 400·120 + 120·84 + 84·10 multiply-adds.
func TestSummaryOfLeNet(t *testing.T) {
	s := byName(t, "lenet5", Options{}).Summary()
	if s.Parameters != 61706 {
		t.Errorf("got %d parameters, want 61706", s.Parameters)
	}
	if s.MACs != 117600+240000+48000+10080+840 {
		t.Errorf("got %d multiply-adds, want 416520", s.MACs)
	}
	fields := map[string]ops.Size{"conv1": ops.Both(5), "maxpool1": ops.Both(6), "conv2": ops.Both(14),
		"maxpool2": ops.Both(16), "fc1": ops.Both(28)}
	for _, l := range s.Layers {
		if want, ok := fields[l.Name]; ok && l.ReceptiveField != want {
			t.Errorf("%s sees %v, want %v", l.Name, l.ReceptiveField, want)
		}
	}
	if text := s.String(); !strings.Contains(text, "conv2") || !strings.Contains(text, "61706") {
		t.Errorf("the table lacks a layer or the total:\n%s", text)
	}
}

// The networks, counted by hand. article: 16·9+16, 32·16·9+32 and 10·1568+10. convnet: 32·9,
// 64·32·9, 128·64·9, 625·1152 and 10·625, no biases.
func TestSummaryOfNetworks(t *testing.T) {
	for name, want := range map[string]struct {
		layers     string
		parameters int
		macs       int64
	}{
		"linear": {"flatten1 fc1 10", 7850, 7840},
		"article": {"conv1 16 × 3×3, padding 1; relu1 maxpool1 2×2; conv2 32 × 3×3, padding 1; relu2 maxpool2 2×2; flatten1 fc1 10",
			160 + 4640 + 15690, 28*28*16*9 + 14*14*32*144 + 15680},
		"lenet5": {"conv1 6 × 5×5, padding 2; relu1 maxpool1 2×2; conv2 16 × 5×5; relu2 maxpool2 2×2; flatten1 fc1 120; relu3 fc2 84; relu4 fc3 10",
			156 + 2416 + 48120 + 10164 + 850, 28*28*6*25 + 10*10*16*150 + 400*120 + 120*84 + 84*10},
		"convnet": {"conv1 32 × 3×3, padding 1, no bias; relu1 maxpool1 2×2; dropout1 p = 0.2; conv2 64 × 3×3, padding 1, no bias; relu2 maxpool2 2×2; dropout2 p = 0.2; " +
			"conv3 128 × 3×3, padding 1, no bias; relu3 maxpool3 2×2; flatten1 dropout3 p = 0.2; fc1 625, no bias; relu4 dropout4 p = 0.55; fc2 10, no bias",
			288 + 18432 + 73728 + 720000 + 6250, 28*28*32*9 + 14*14*64*288 + 7*7*128*576 + 720000 + 6250},
	} {
		s := byName(t, name, Options{}).Summary()
		if s.Parameters != want.parameters || s.MACs != want.macs {
			t.Errorf("%s: got %d parameters and %d multiply-adds, want %d and %d", name, s.Parameters, s.MACs, want.parameters, want.macs)
		}
		var layers string
		for _, l := range s.Layers {
			if layers += l.Name + " "; l.Detail != "" {
				layers += strings.Replace(l.Detail, " outputs", "", 1) + "; "
			}
		}
		if layers = strings.TrimRight(layers, "; "); layers != want.layers {
			t.Errorf("%s is %q, want %q", name, layers, want.layers)
		}
	}
}

// Receptive fields, counted by hand where axes, strides and dilations differ.
func TestReceptiveFields(t *testing.T) {
	n := newNet(t, Sequential{
		// 3×9; then a row is 2 and a column 1 pixel on
		Conv2D{Filters: 4, Size: ops.Size{H: 3, W: 5}, Stride: ops.Size{H: 2, W: 1},
			Dilation: ops.Size{H: 1, W: 2}, Groups: 4},
		// 3+2 × 9+2; 2 and 2
		AvgPool2D{Window: ops.Size{H: 2, W: 3}, Stride: ops.Size{H: 1, W: 2}},
		ReLU{},
		// 5 × 11+2
		Conv2D{Filters: 2, Size: ops.Size{H: 1, W: 2}, NoBias: true},
		// 5+3·2 × 13+2; 4 and 4
		LpPool2D{Window: ops.Both(2), Dilation: ops.Size{H: 3, W: 1}},
		// 11+4 × 15
		Conv2D{Filters: 1, Size: ops.Size{H: 2, W: 1}, Pad: ops.Padding{Top: 1, Bottom: 1}},
		// all
		Flatten{}, Linear{Outputs: 3},
	}, tensor.Shape{4, 40, 50}, Options{})
	want := []ops.Size{{H: 3, W: 9}, {H: 5, W: 11}, {H: 5, W: 11}, {H: 5, W: 13}, {H: 11, W: 15},
		{H: 15, W: 15}, {H: 15, W: 15}, {H: 40, W: 50}}
	s := n.Summary()
	for i, l := range s.Layers {
		if l.ReceptiveField != want[i] {
			t.Errorf("%s (%s) sees %v, want %v", l.Name, l.Detail, l.ReceptiveField, want[i])
		}
	}
	if got := s.Layers[0]; got.Parameters != 4*15+4 || got.MACs != int64(got.Output.TotalSize())*15 {
		t.Errorf("a depthwise convolution: got %d parameters and %d multiply-adds for %v", got.Parameters, got.MACs, got.Output)
	}
	if got, want := n.Params()[2].Name, "3.weight"; got != want {
		t.Errorf("the third parameter is %s, want %s", got, want)
	}
	// What it says of shapes is what runs.
	m := graphOf(t, n, 2, BuildOptions{Loss: LossFunc(SquaredError{}.Loss), Training: true, Keep: true})
	run(t, m)
	for _, l := range s.Layers {
		y, err := m.Feature(l.Name)
		if err != nil {
			t.Fatal(err)
		}
		if !y.Shape()[1:].Eq(l.Output) {
			t.Errorf("%s gives %v, the summary says %v", l.Name, y.Shape(), l.Output)
		}
	}
}

// Two ways that join see the larger field, and what a layer adds beside its inner layers has a row.
func TestSummaryOfBranches(t *testing.T) {
	conv := func(k int) Layer {
		return Conv2D{Filters: 3, Size: ops.Both(k), Pad: ops.Around(k / 2), NoBias: true}
	}
	n := newNet(t, Sequential{
		Residual{Body: Sequential{conv(3), ReLU{}, conv(3)}, Shortcut: conv(1)},
		As("twice", LayerFunc(func(b *Builder, x *G.Node) *G.Node {
			return b.Reuse("c", conv(3), b.Reuse("c", conv(3), x))
		})),
	}, tensor.Shape{3, 9, 8}, Options{})
	s := n.Summary()
	var got []string
	for _, l := range s.Layers {
		got = append(got, l.Name)
	}
	if want := "0.body.0 0.body.1 0.body.2 0.shortcut twice.c twice.c"; strings.Join(got, " ") != want {
		t.Errorf("got the layers %v, want %s", got, want)
	}
	// 2·81 + 9 of the block and 81, shared, of the other; the same for each of 72 pixels, the last
	// twice.
	if s.Parameters != 2*81+9+81 || s.MACs != 72*(2*81+9+2*81) {
		t.Errorf("got %d parameters and %d multiply-adds, want %d and %d", s.Parameters, s.MACs, 2*81+9+81, 72*(2*81+9+2*81))
	}
	if last := s.Layers[len(s.Layers)-1]; last.ReceptiveField != ops.Both(9) || last.Parameters != 0 {
		t.Errorf("the last layer sees %v and has %d parameters of its own, want 9×9 and 0: they are shared",
			last.ReceptiveField, last.Parameters)
	}
}
