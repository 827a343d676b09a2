package model

import (
	"math"
	"slices"
	"strings"

	"github.com/pkg/errors"
	"gorgonia.org/tensor"
)

// The networks by name, from the files zoo_*.go. classes is how many values a sample gets, or how
// many channels of a picture, where the network makes one.
var zoo = map[string]func(classes int) Layer{
	"article": article,
	"lenet5":  leNet5,
	"convnet": convnet,
	"linear":  linear,

	"resnet18": func(classes int) Layer { return resNet(classes, basic, 2, 2, 2, 2) },
	"resnet34": func(classes int) Layer { return resNet(classes, basic, 3, 4, 6, 3) },
	"resnet50": func(classes int) Layer { return resNet(classes, bottleneck, 3, 4, 6, 3) },
	"resnet20": func(classes int) Layer { return smallResNet(classes, 3) },
	"resnet56": func(classes int) Layer { return smallResNet(classes, 9) },
	"resnet9":  resNet9,

	"mobilenet_v2":  mobileNetV2,
	"squeezenet1_1": squeezeNet,
	"vgg11":         func(classes int) Layer { return vgg(classes, vgg11, false) },
	"vgg11_bn":      func(classes int) Layer { return vgg(classes, vgg11, true) },
	"vgg16":         func(classes int) Layer { return vgg(classes, vgg16, false) },
	"vgg16_bn":      func(classes int) Layer { return vgg(classes, vgg16, true) },

	"autoencoder": autoencoder,
	"unet":        uNet,
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

// ByName returns a network for inputs C×H×W, of any size that its layers can take, and a number of
// classes. An empty Options.Name becomes that name.
//
// These have the layers, the parameters' names and the first weights of torchvision's networks of
// those names, so that their weights load as they are: "resnet18", "resnet34", "resnet50",
// "mobilenet_v2", "vgg11", "vgg11_bn", "vgg16", "vgg16_bn" and "squeezenet1_1".
//
// For small images there are:
//   - "resnet20" and "resnet56" of He, Zhang, Ren and Sun (2015, section 4.2) with their shortcuts
//     of option A, which have no weights: every other row and column, and zeros for the new
//     channels, half before and half after. The names are those of the implementation that is in
//     most use, whose last layer is "linear".
//   - "resnet9", eight convolutions that train fast.
//   - "article", conv, ReLU, max pool, twice, and a linear layer.
//   - "lenet5" as it is taught today, with ReLU and max pooling.
//   - "convnet", Gorgonia's examples/convnet.
//   - "linear", one linear layer: what a convolutional network has to beat.
//
// Two give pictures of their input's height and width, which must be multiples of 4, with as many
// channels as there are classes: "autoencoder", which narrows and widens by strided and transposed
// convolutions, and "unet", whose ways past the narrow part are concatenated.
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

// linearOf is a linear layer that begins as PyTorch's do: weights and biases evenly from ±1/√in.
func linearOf(in, out int) Linear {
	from := Uniform(1 / math.Sqrt(float64(in)))
	return Linear{Outputs: out, Init: from, BiasInit: from}
}
