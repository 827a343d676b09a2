package train

import "slices"

// A recipe is what is usual for a network, as far as it differs from the next more general one.
type recipe struct {
	epochs, batch int
	optimizer     string
	schedule      string
	decay         float64
	smoothing     float64
	average       float64
}

// The recipes of networks by name. What is not here is trained as deep networks are.
var recipes = map[string]recipe{
	"article": {epochs: 3, batch: 32, optimizer: "adam"},
	"linear":  {epochs: 3, batch: 32, optimizer: "adam"},
	"lenet5":  {epochs: 12, batch: 64, optimizer: "adamw", schedule: "one-cycle", decay: 0.01},
	"convnet": {epochs: 15, batch: 100, optimizer: "adamw", schedule: "one-cycle", decay: 0.01, average: 0.999},
	// With momentum its loss explodes on a few hundred pictures, at rates of 0.1 and 0.01.
	"resnet9": {epochs: 20, batch: 64, optimizer: "adamw", schedule: "one-cycle", decay: 0.01, smoothing: 0.1},
	// Momentum learns little at 0.01, and nothing at 0.04; AdamW at 0.0002 may kill the last ReLU.
	// Without norms many small steps learn more than few large ones.
	"squeezenet1_1": {epochs: 20, batch: 16, optimizer: "adamw", schedule: "one-cycle", decay: 0.01},
}

var deep = recipe{epochs: 20, batch: 64, optimizer: "nesterov", schedule: "one-cycle", decay: 5e-4, smoothing: 0.1}

// rates are learning rates for networks that do not learn, or learn better, than at what is usual
// for the optimizer. The squared error sums over the outputs: its gradients are larger than the
// cross-entropy's.
var rates = map[struct{ model, optimizer, loss string }]float64{
	{"article", "adam", "cross-entropy"}:  0.002,
	{"article", "sgd", "mse"}:             0.0003,
	{"convnet", "sgd", "mse"}:             0.0002,
	{"lenet5", "sgd", "mse"}:              0.005,
	{"linear", "sgd", "mse"}:              0.002,
	{"convnet", "sgd", "cross-entropy"}:   0.01,
	{"linear", "sgd", "cross-entropy"}:    0.01,
	{"lenet5", "adamw", "cross-entropy"}:  0.003,
	{"convnet", "adamw", "cross-entropy"}: 0.002,
	// Torchvision's networks: its rates are for ImageNet's batches of 256, these for 64. On a few
	// hundred pictures the loss explodes at 0.1.
	{"resnet18", "nesterov", "cross-entropy"}:      0.02,
	{"resnet34", "nesterov", "cross-entropy"}:      0.02,
	{"resnet50", "nesterov", "cross-entropy"}:      0.01,
	{"mobilenet_v2", "nesterov", "cross-entropy"}:  0.02,
	{"vgg11", "nesterov", "cross-entropy"}:         0.01,
	{"vgg16", "nesterov", "cross-entropy"}:         0.01,
	{"vgg11_bn", "nesterov", "cross-entropy"}:      0.01,
	{"vgg16_bn", "nesterov", "cross-entropy"}:      0.01,
	{"resnet9", "adamw", "cross-entropy"}:          0.002,
	{"squeezenet1_1", "adamw", "cross-entropy"}:    0.0001,
	{"squeezenet1_1", "nesterov", "cross-entropy"}: 0.01,
}

// shallow are networks too small to gain by pictures that are mirrored and cropped.
var shallow = []string{"article", "linear", "lenet5"}

// drawn are the data sets of characters: they are not mirrored, and shifted by a pixel or two.
var drawn = []string{"mnist", "emnist"}

// Recipe is what is usual for a network, on a data set, with an optimizer and a loss: of these all
// but the network may be "", for the usual ones. Every field of it can be changed before it is
// used. The names need not be known: Check says so.
func Recipe(dataset, network, optimizer, loss string) Config {
	r, known := recipes[network]
	if !known {
		r = deep
	}
	c := Config{
		Data: dataset, Model: network, Loss: loss, Epochs: r.epochs, Batch: r.batch, Optimizer: r.optimizer, Schedule: r.schedule,
		Decay: r.decay, Smoothing: r.smoothing, Average: r.average, Seed: 1,
	}
	if c.Data == "" {
		c.Data = "digits"
	}
	if c.Loss == "" {
		c.Loss = "cross-entropy"
	}
	if optimizer != "" && optimizer != c.Optimizer {
		c.Optimizer = optimizer
		if c.Decay > 1e-3 && optimizer != "adamw" { // decoupled decay is of another size
			c.Decay = 5e-4
		}
	}
	if c.Loss != "cross-entropy" {
		c.Smoothing = 0
	}
	if c.Schedule == "" {
		c.Schedule = "cosine"
	}
	switch {
	case slices.Contains(drawn, c.Data) && network != "linear" && network != "article":
		c.Shift = 2
		if !known { // ResNet-20 reads 99.6 % of MNIST's digits after six epochs
			c.Epochs = 6
		}
	case c.Data == "cifar10" || c.Data == "folder" || c.Data == "fashion-mnist":
		if !slices.Contains(shallow, network) {
			c.Crop, c.Flip = 4, true
		}
	}
	own := !known && c.Optimizer == deep.optimizer
	if o, rate, err := NewOptimizer(c.Optimizer); err == nil {
		if c.Rate = rate; own {
			c.Rate = 0.1
		}
		if r, ok := rates[struct{ model, optimizer, loss string }{c.Model, c.Optimizer, c.Loss}]; ok {
			c.Rate = r
		}
		if sgd, ok := o.(*SGD); ok {
			c.Momentum = &sgd.Momentum
		}
	}
	return c
}
