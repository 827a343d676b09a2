package model

import (
	"slices"
	"strings"

	"github.com/pkg/errors"
	"gorgonia.org/tensor"

	"github.com/convgrad/convgrad/ops"
)

// The networks by name.
var zoo = map[string]func(classes int) []Layer{
	// The article's: conv, ReLU, max pool, conv, ReLU, max pool, flatten, linear.
	"article": func(classes int) []Layer {
		return []Layer{
			Conv{Filters: 16, Size: ops.Both(3), Pad: ops.Around(1)}, ReLU{}, MaxPool(2),
			Conv{Filters: 32, Size: ops.Both(3), Pad: ops.Around(1)}, ReLU{}, MaxPool(2),
			Flatten{}, Linear{Outputs: classes},
		}
	},
	// LeNet-5 (LeCun, Bottou, Bengio and Haffner, 1998) as it is taught today: ReLU and max pooling for the sigmoids and trainable averages, and every map of the second convolution sees
	// every map of the first.
	"lenet5": func(classes int) []Layer {
		return []Layer{
			Conv{Filters: 6, Size: ops.Both(5), Pad: ops.Around(2)}, ReLU{}, MaxPool(2),
			Conv{Filters: 16, Size: ops.Both(5)}, ReLU{}, MaxPool(2),
			Flatten{}, Linear{Outputs: 120}, ReLU{}, Linear{Outputs: 84}, ReLU{}, Linear{Outputs: classes},
		}
	},
	// Gorgonia's examples/convnet: no biases, dropout after each stage.
	"convnet": func(classes int) []Layer {
		conv := func(k int) Conv {
			return Conv{Filters: k, Size: ops.Both(3), Pad: ops.Around(1), NoBias: true}
		}
		return []Layer{
			conv(32), ReLU{}, MaxPool(2), Dropout{P: 0.2},
			conv(64), ReLU{}, MaxPool(2), Dropout{P: 0.2},
			conv(128), ReLU{}, MaxPool(2), Flatten{}, Dropout{P: 0.2},
			Linear{Outputs: 625, NoBias: true}, ReLU{}, Dropout{P: 0.55},
			Linear{Outputs: classes, NoBias: true},
		}
	},
	// One linear layer: what a CNN has to beat.
	"linear": func(classes int) []Layer { return []Layer{Flatten{}, Linear{Outputs: classes}} },
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

// ByName returns a network for inputs C×H×W and a number of classes: "article", "lenet5", "convnet" or "linear".
//
// It returns an error if there is no network of that name, or it cannot take such inputs.
func ByName(name string, input tensor.Shape, classes int, options ...Option) (*Network, error) {
	layers, ok := zoo[name]
	if !ok {
		return nil, errors.Errorf("model: there is no network %q, want one of %s", name, strings.Join(Names(), ", "))
	}
	if classes < 1 {
		return nil, errors.Errorf("model: %s: %d classes, want at least 1", name, classes)
	}
	return NewSequential(name, input, layers(classes), options...)
}
