package model

import (
	"fmt"
	"slices"
	"strings"

	"github.com/pkg/errors"
	"gorgonia.org/tensor"

	"github.com/convgrad/convgrad/ops"
)

// lastInit is what the layers after the last ReLU begin with: a tenth of HeNormal's deviation, so
// that first outputs are near 0. Otherwise the squared error spends its first epochs undoing them.
var lastInit = Scaled(0.1, HeNormal)

// The networks by name.
var zoo = map[string]func(classes int) Layer{
	// The article's: conv, ReLU, max pool, conv, ReLU, max pool, flatten, linear.
	"article": func(classes int) Layer {
		return numbered(
			Conv2D{Filters: 16, Size: ops.Both(3), Pad: ops.Around(1)}, ReLU{}, halves,
			Conv2D{Filters: 32, Size: ops.Both(3), Pad: ops.Around(1)}, ReLU{}, halves,
			Flatten{}, Linear{Outputs: classes, Init: lastInit},
		)
	},
	// LeNet-5 (LeCun, Bottou, Bengio and Haffner, 1998) as it is taught today: ReLU and max pooling
	// for the sigmoids and trainable averages, and every map of the second convolution sees every
	// map of the first.
	"lenet5": func(classes int) Layer {
		return numbered(
			Conv2D{Filters: 6, Size: ops.Both(5), Pad: ops.Around(2)}, ReLU{}, halves,
			Conv2D{Filters: 16, Size: ops.Both(5)}, ReLU{}, halves,
			Flatten{}, Linear{Outputs: 120}, ReLU{}, Linear{Outputs: 84}, ReLU{},
			Linear{Outputs: classes, Init: lastInit},
		)
	},
	// Gorgonia's examples/convnet: no biases, dropout after each stage.
	"convnet": func(classes int) Layer {
		conv := func(filters int) Layer {
			return Conv2D{Filters: filters, Size: ops.Both(3), Pad: ops.Around(1), NoBias: true}
		}
		return numbered(
			conv(32), ReLU{}, halves, Dropout{P: 0.2},
			conv(64), ReLU{}, halves, Dropout{P: 0.2},
			conv(128), ReLU{}, halves, Flatten{}, Dropout{P: 0.2},
			Linear{Outputs: 625, NoBias: true}, ReLU{}, Dropout{P: 0.55},
			Linear{Outputs: classes, NoBias: true, Init: lastInit},
		)
	},
	// One linear layer: what a CNN has to beat.
	"linear": func(classes int) Layer {
		return numbered(Flatten{}, Linear{Outputs: classes, Init: lastInit})
	},
}

var halves = MaxPool2D{Window: ops.Both(2)}

// numbered is a Sequential whose layers are named for what they are, and numbered from 1: "conv2".
func numbered(layers ...Layer) Sequential {
	count := map[string]int{}
	for i, l := range layers {
		kind := "layer"
		switch l.(type) {
		case Conv2D:
			kind = "conv"
		case Linear:
			kind = "fc"
		case ReLU:
			kind = "relu"
		case MaxPool2D:
			kind = "maxpool"
		case Dropout:
			kind = "dropout"
		case Flatten:
			kind = "flatten"
		}
		count[kind]++
		layers[i] = As(fmt.Sprintf("%s%d", kind, count[kind]), l)
	}
	return layers
}

// Names lists the networks that ByName knows.
func Names() []string {
	var names []string
	for n := range zoo {
		names = append(names, n)
	}
	slices.Sort(names)
	return names
}

// ByName returns a network for inputs C×H×W and a number of classes: "article", "lenet5", "convnet"
// or "linear". An empty Options.Name becomes that name.
//
// It returns an error if there is no network of that name, or it cannot take such inputs.
func ByName(name string, input tensor.Shape, classes int, o Options) (*Network, error) {
	layers, ok := zoo[name]
	if !ok {
		return nil, errors.Errorf("model: there is no network %q, want one of %s", name, strings.Join(Names(), ", "))
	}
	if classes < 1 {
		return nil, errors.Errorf("model: %s: %d classes, want at least 1", name, classes)
	}
	if o.Name == "" {
		o.Name = name
	}
	return New(layers(classes), input, o)
}
