package model

import (
	"fmt"

	"github.com/convgrad/convgrad/ops"
)

// lastInit is what the layers after the last ReLU begin with: a tenth of HeNormal's deviation, so
// that first outputs are near 0. Otherwise the squared error spends its first epochs undoing them.
var lastInit = Scaled(0.1, HeNormal)

// halves is the pooling that halves rows and columns.
var halves = MaxPool2D{Window: ops.Both(2)}

// article is the article's network.
func article(classes int) Layer {
	return numbered(
		Conv2D{Filters: 16, Size: ops.Both(3), Pad: ops.Around(1)}, ReLU{}, halves,
		Conv2D{Filters: 32, Size: ops.Both(3), Pad: ops.Around(1)}, ReLU{}, halves,
		Flatten{}, Linear{Outputs: classes, Init: lastInit},
	)
}

// leNet5 is LeNet-5 (LeCun, Bottou, Bengio and Haffner, 1998) as it is taught today: ReLU and max
// pooling for the sigmoids and trainable averages, and every map of the second convolution sees
// every map of the first.
func leNet5(classes int) Layer {
	return numbered(
		Conv2D{Filters: 6, Size: ops.Both(5), Pad: ops.Around(2)}, ReLU{}, halves,
		Conv2D{Filters: 16, Size: ops.Both(5)}, ReLU{}, halves,
		Flatten{}, Linear{Outputs: 120}, ReLU{}, Linear{Outputs: 84}, ReLU{},
		Linear{Outputs: classes, Init: lastInit},
	)
}

// convnet is Gorgonia's examples/convnet: no biases, dropout after each stage.
func convnet(classes int) Layer {
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
}

// linear is one linear layer.
func linear(classes int) Layer {
	return numbered(Flatten{}, Linear{Outputs: classes, Init: lastInit})
}

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
