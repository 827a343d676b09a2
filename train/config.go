package train

import (
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/pkg/errors"

	"github.com/convgrad/convgrad/model"
	"github.com/convgrad/convgrad/train/data"
)

// A Config is a named recipe: a Trainer said in words and numbers, as flags have them. It is
// written to the run directory as it was used. Its zero values leave things out, but for those that
// stand for what is usual.
type Config struct {
	// How the sets are opened: see DataOptions.
	Data    string `json:"data"`
	DataDir string `json:"data_dir,omitempty"` // of its files
	// ImageSize is the height and width of samples of pictures. 0 stands for the pictures' own, if
	// all have one size of up to 256 a side, and for 32 otherwise.
	ImageSize   int     `json:"image_size,omitempty"`
	Fit         string  `json:"fit,omitempty"`          // how they get it: one of data.Fits
	ValFraction float64 `json:"val_fraction,omitempty"` // to hold back; 0 for 0.2
	// RefuseDamaged makes it an error that a file cannot be read, or a class has no pictures: else
	// they are left out.
	RefuseDamaged bool `json:"refuse_damaged,omitempty"`

	// The network, and what it begins from.
	Model  string `json:"model"`
	Init   string `json:"init,omitempty"`   // a file of weights, taken as far as they fit
	Freeze string `json:"freeze,omitempty"` // layers that are not trained, with commas

	Loss      string   `json:"loss"` // cross-entropy or mse
	Epochs    int      `json:"epochs"`
	Batch     int      `json:"batch"`
	Optimizer string   `json:"optimizer"`           // one of Optimizers
	Rate      float64  `json:"lr"`                  // the largest; 0 for what is usual
	Momentum  *float64 `json:"momentum,omitempty"`  // of sgd and nesterov; nil for 0.9
	Decay     float64  `json:"weight_decay"`        // not of biases and norms
	DecayAll  bool     `json:"decay_all,omitempty"` // of them too
	Schedule  string   `json:"schedule"`            // one of Schedules; "" for cosine
	WarmUp    float64  `json:"warmup_epochs"`       // over which the rate rises
	MinRate   float64  `json:"min_lr,omitempty"`    // the schedule falls no lower
	Seed      uint64   `json:"seed"`                // of everything that is random

	Accumulate int     `json:"accumulate,omitempty"` // batches that a step joins; 0 for 1
	Clip       float64 `json:"clip_grad,omitempty"`  // largest norm of a step's gradients
	Average    float64 `json:"ema,omitempty"`        // decay of the weights' moving average
	Smoothing  float64 `json:"smoothing,omitempty"`  // of the cross-entropy's labels
	// ClassWeights are numbers with commas between them, one for each class in their order; or
	// "balanced": n/(classes·n[class]) for n samples, so that rare classes weigh more.
	ClassWeights string `json:"class_weights,omitempty"`

	Flip   bool    `json:"hflip,omitempty"`  // mirror left to right
	Crop   int     `json:"crop,omitempty"`   // out of a border of so many pixels
	Shift  float64 `json:"shift,omitempty"`  // by up to so many pixels
	Rotate float64 `json:"rotate,omitempty"` // by up to so many degrees
	Mixup  float64 `json:"mixup,omitempty"`  // the α of Beta(α, α)

	Fraction       float64 `json:"fraction,omitempty"`        // of the training samples; 0 for all
	OverfitBatches int     `json:"overfit_batches,omitempty"` // to train and test on, alone
}

// schedules are those that a Config can name.
var schedules = []struct {
	name string
	make func(c *Config) Schedule
}{
	{"constant", func(c *Config) Schedule { return Constant(c.Rate) }},
	{"step", func(c *Config) Schedule { return StepDecay(c.Rate, 0.1, (c.Epochs+2)/3) }},
	{"cosine", func(c *Config) Schedule {
		s := Cosine(c.Rate - min(c.MinRate, c.Rate))
		return func(p Point) float64 { return c.MinRate + s(p) }
	}},
	{"one-cycle", func(c *Config) Schedule { return OneCycle(c.Rate) }},
	{"plateau", func(c *Config) Schedule { return Plateau(c.Rate, 0.1, plateauPatience) }},
}

// plateauPatience is the number of epochs after which the schedule plateau lowers the rate.
const plateauPatience = 3

// Schedules lists the names of schedules: constant; step, a tenth after each third of the epochs;
// cosine; one-cycle; plateau, a tenth when three epochs have not lowered the loss.
func Schedules() []string {
	var names []string
	for _, s := range schedules {
		names = append(names, s.name)
	}
	return names
}

// Check returns an error that names what is out of range. It fills in what is left to the recipe:
// the learning rate, the momentum and the schedule.
func (c *Config) Check() error {
	if c == nil {
		return errors.New("train: the configuration is nil")
	}
	_, err := c.resolve()
	return err
}

// resolve is Check, and gives what the names stand for: all of a trainer but network and data.
func (c *Config) resolve() (*Trainer, error) {
	if c.Epochs < 1 || c.Epochs > maxEpochs {
		return nil, errors.Errorf("train: %d epochs, want 1 to %d", c.Epochs, maxEpochs)
	}
	if c.Batch < 1 {
		return nil, errors.Errorf("train: the batch size is %d, want at least 1", c.Batch)
	}
	if names := model.Names(); !slices.Contains(names, c.Model) {
		return nil, errors.Errorf("train: the network is %q, want one of %s", c.Model, strings.Join(names, ", "))
	}
	loss, err := c.loss(nil)
	if err != nil {
		return nil, err
	}
	o, err := c.optimizer()
	if err != nil {
		return nil, err
	}
	for _, n := range []struct {
		name    string
		v, most float64
	}{
		{"the weight decay", c.Decay, math.MaxFloat64}, {"the least learning rate", c.MinRate, c.Rate}, {"the label smoothing", c.Smoothing, 1},
		{"the share of validation samples", c.ValFraction, 1},
		{"the share of training samples", c.Fraction, 1}, {"the shift", c.Shift, 1e4}, {"the rotation", c.Rotate, 180},
		{"the crop's border", float64(c.Crop), 1e4}, {"the number of batches to overfit", float64(c.OverfitBatches), 1e9},
		{"the image size", float64(c.ImageSize), 1 << 14},
	} {
		if !(n.v >= 0 && n.v <= n.most) {
			return nil, errors.Errorf("train: %s is %v, want 0 to %v", n.name, n.v, n.most)
		}
	}
	if !(c.WarmUp >= 0 && c.WarmUp <= float64(c.Epochs)) {
		return nil, errors.Errorf("train: the warm-up is %v epochs, want 0 to %d", c.WarmUp, c.Epochs)
	}
	if c.Fit != "" && !slices.Contains(data.Fits(), c.Fit) {
		return nil, errors.Errorf("train: pictures are fitted by %q, want one of %s", c.Fit, strings.Join(data.Fits(), ", "))
	}
	if c.Schedule == "" {
		c.Schedule = "cosine"
	}
	t := &Trainer{
		Loss: loss, Optimizer: o, Epochs: c.Epochs, Batch: c.Batch, Seed: c.Seed,
		Accumulate: c.Accumulate, Clip: c.Clip, Mixup: c.Mixup, Average: c.Average,
	}
	if err := t.checkNumbers(); err != nil {
		return nil, err
	}
	for _, s := range schedules {
		if s.name == c.Schedule {
			t.Schedule = s.make(c)
		}
	}
	if t.Schedule == nil {
		return nil, errors.Errorf("train: the schedule is %q, want one of %s", c.Schedule, strings.Join(Schedules(), ", "))
	}
	if c.MinRate > 0 {
		t.Schedule = Floor(c.MinRate, t.Schedule)
	}
	if c.WarmUp > 0 {
		t.Schedule = WarmUp(c.WarmUp, t.Schedule)
	}
	return t, nil
}

// optimizer is the one that the recipe names, with its settings. It fills in rate and momentum.
func (c *Config) optimizer() (Optimizer, error) {
	o, _, err := NewOptimizer(c.Optimizer)
	if err != nil {
		return nil, err
	}
	if c.Rate == 0 {
		c.Rate = Recipe(c.Data, c.Model, c.Optimizer, c.Loss).Rate
	}
	if !(c.Rate > 0) || math.IsInf(c.Rate, 0) {
		return nil, errors.Errorf("train: the learning rate is %v, want a positive number", c.Rate)
	}
	sgd, isSGD := o.(*SGD)
	if c.Momentum != nil && !isSGD {
		return nil, errors.Errorf("train: %s takes no momentum", c.Optimizer)
	}
	if isSGD {
		if c.Momentum == nil {
			c.Momentum = new(sgd.Momentum)
		}
		if err := checkSettings(c.Optimizer, setting{"momentum", *c.Momentum, 1}); err != nil {
			return nil, err
		}
	}
	exempt := c.Decay != 0 && !c.DecayAll
	switch o := o.(type) {
	case *SGD:
		o.Momentum, o.Decay, o.Exempt = *c.Momentum, c.Decay, exempt
	case *Adam:
		o.Decay, o.Exempt = c.Decay, exempt
	case *RMSProp:
		o.Decay, o.Exempt = c.Decay, exempt
	}
	return o, nil
}

// balanced is the word for weights that make up for rare classes.
const balanced = "balanced"

// loss is the loss that the recipe names, with its settings. Without a set, weights that depend on
// one are left out.
func (c *Config) loss(set data.Set) (model.Loss, error) {
	loss, err := model.ParseLoss(c.Loss)
	if err != nil {
		return nil, err
	}
	entropy, ok := loss.(model.CrossEntropy)
	if !ok {
		if c.Smoothing != 0 || c.ClassWeights != "" {
			return nil, errors.Errorf("train: %s takes neither label smoothing nor class weights", c.Loss)
		}
		return loss, nil
	}
	entropy.Smoothing = c.Smoothing
	switch {
	case c.ClassWeights == "":
	case c.ClassWeights != balanced:
		for _, s := range strings.Split(c.ClassWeights, ",") {
			w, err := strconv.ParseFloat(strings.TrimSpace(s), 64)
			if err != nil || !(w >= 0) || math.IsInf(w, 0) {
				return nil, errors.Errorf("train: a class weight is %q, want numbers of at least 0 with commas between them, or %s", s, balanced)
			}
			entropy.Weights = append(entropy.Weights, w)
		}
		if set != nil && len(entropy.Weights) != len(set.Classes()) {
			return nil, errors.Errorf("train: %d class weights, want one for each of %d classes", len(entropy.Weights), len(set.Classes()))
		}
	case set != nil:
		if entropy.Weights, err = balance(set); err != nil {
			return nil, err
		}
	}
	return entropy, nil
}

// balance is a weight for each class: n/(classes·n[class]), of n samples.
func balance(set data.Set) ([]float64, error) {
	counts, err := data.Counts(set)
	if err != nil {
		return nil, err
	}
	weights := make([]float64, len(counts))
	for class, n := range counts {
		if n == 0 {
			return nil, errors.Errorf("train: the class %s has no sample to train on, want one for balanced weights", set.Classes()[class])
		}
		weights[class] = float64(set.Len()) / (float64(len(counts)) * float64(n))
	}
	return weights, nil
}

// augment is the recipe's augmentation of samples that are normalised so.
func (c *Config) augment(n *data.Normalisation) (list []data.Augment) {
	black := n.Black()
	if c.Crop > 0 {
		list = append(list, data.Crop{Pad: c.Crop, Fill: black})
	}
	if c.Shift > 0 || c.Rotate > 0 {
		list = append(list, data.Affine{Degrees: c.Rotate, Shift: c.Shift, Fill: black})
	}
	if c.Flip {
		list = append(list, data.Flip{})
	}
	return list
}

// Trainer returns the trainer that the recipe describes, with a network of its name that begins
// from its seed, or from the weights of Init. test may be nil. What the recipe leaves open is
// filled in in the run's config.json.
//
// It returns an error that names what was got and wanted for a recipe that does not hold together,
// or does not fit the sets.
func (c Config) Trainer(training, test data.Set) (*Trainer, error) {
	t, err := c.resolve()
	if err != nil {
		return nil, err
	}
	if err := data.Check(training); err != nil {
		return nil, errors.Wrap(err, "train")
	}
	if t.Net, err = model.ByName(c.Model, training.Shape(), len(training.Classes()), model.Options{Seed: c.Seed}); err != nil {
		return nil, err
	}
	if c.Freeze != "" {
		if err := t.Net.Freeze(strings.Split(c.Freeze, ",")...); err != nil {
			return nil, err
		}
	}
	t.Augment = c.augment(data.NormalisationOf(training))
	if training, test, err = c.share(training, test); err != nil {
		return nil, err
	}
	if c.OverfitBatches > 0 {
		t.Augment = nil
	}
	if t.Loss, err = c.loss(training); err != nil {
		return nil, err
	}
	t.Train, t.recipe = training, &c
	if test != nil {
		t.Test = test
	}
	return t, t.Check()
}

// share is the part of the sets that the recipe asks for.
func (c *Config) share(training, test data.Set) (data.Set, data.Set, error) {
	if c.Fraction > 0 && c.Fraction < 1 {
		_, part, err := data.Split(training, c.Fraction, c.Seed)
		if err != nil {
			return nil, nil, err
		}
		training = part
	}
	if n := c.OverfitBatches * max(c.Accumulate, 1); n > 0 {
		few := data.Shuffle(training.Len(), c.Seed, 0)
		few = few[:min(len(few), n*c.Batch)]
		part, err := data.Subset(training, few)
		if err != nil {
			return nil, nil, err
		}
		training, test = part, part
	}
	return training, test, nil
}
