package train

import (
	"math"
	"slices"
	"strings"

	"github.com/pkg/errors"

	"github.com/convgrad/convgrad/model"
	"github.com/convgrad/convgrad/train/data"
)

// A Config is a named recipe: a Trainer said in words and numbers, as flags have them. It is
// written to the run directory as it was used.
type Config struct {
	Data    string `json:"data"`
	DataDir string `json:"data_dir,omitempty"` // of its files; for those who open the sets
	// Of samples that are brought to one size, height and width; likewise.
	ImageSize int `json:"image_size,omitempty"`
	// Pictures that cannot be read are left out; likewise.
	SkipDamaged bool `json:"skip_damaged,omitempty"`

	Model     string   `json:"model"`
	Loss      string   `json:"loss"` // cross-entropy or mse
	Epochs    int      `json:"epochs"`
	Batch     int      `json:"batch"`
	Optimizer string   `json:"optimizer"`          // sgd, adam or rmsprop
	Rate      float64  `json:"lr"`                 // the largest; 0 for what is usual
	Momentum  *float64 `json:"momentum,omitempty"` // of sgd; nil stands for 0.9
	Decay     float64  `json:"weight_decay"`       // of sgd and adam
	Nesterov  bool     `json:"nesterov,omitempty"` // of sgd
	Schedule  string   `json:"schedule"`           // one of Schedules; "" for cosine
	WarmUp    float64  `json:"warmup_epochs"`      // over which the rate rises
	Seed      uint64   `json:"seed"`               // of everything that is random
}

// schedules are those that a Config can name.
var schedules = []struct {
	name string
	make func(rate float64, epochs int) Schedule
}{
	{"constant", func(rate float64, _ int) Schedule { return Constant(rate) }},
	{"step", func(rate float64, epochs int) Schedule { return StepDecay(rate, 0.1, (epochs+2)/3) }},
	{"cosine", func(rate float64, _ int) Schedule { return Cosine(rate) }},
	{"one-cycle", func(rate float64, _ int) Schedule { return OneCycle(rate) }},
}

// Schedules lists the names of schedules: constant; step, a tenth after each third of the epochs;
// cosine; one-cycle.
func Schedules() []string {
	var names []string
	for _, s := range schedules {
		names = append(names, s.name)
	}
	return names
}

// rates are learning rates for networks that do not learn, or learn better, than at what is usual
// for the optimizer. The squared error sums over the outputs: its gradients are larger than the
// cross-entropy's.
var rates = map[struct{ model, optimizer, loss string }]float64{
	{"article", "adam", "cross-entropy"}: 0.002,
	{"article", "sgd", "mse"}:            0.0003,
	{"convnet", "sgd", "mse"}:            0.0002,
	{"lenet5", "sgd", "mse"}:             0.005,
	{"linear", "sgd", "mse"}:             0.002,
	{"convnet", "sgd", "cross-entropy"}:  0.01,
	{"linear", "sgd", "cross-entropy"}:   0.01,
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
	loss, err := model.ParseLoss(c.Loss)
	if err != nil {
		return nil, err
	}
	o, rate, err := NewOptimizer(c.Optimizer)
	if err != nil {
		return nil, err
	}
	if r, ok := rates[struct{ model, optimizer, loss string }{c.Model, c.Optimizer, c.Loss}]; ok {
		rate = r
	}
	if c.Rate == 0 {
		c.Rate = rate
	}
	if !(c.Rate > 0) || math.IsInf(c.Rate, 0) {
		return nil, errors.Errorf("train: the learning rate is %v, want a positive number", c.Rate)
	}
	if !(c.Decay >= 0) || math.IsInf(c.Decay, 0) {
		return nil, errors.Errorf("train: the weight decay is %v, want at least 0", c.Decay)
	}
	if !(c.WarmUp >= 0 && c.WarmUp <= float64(c.Epochs)) {
		return nil, errors.Errorf("train: %v epochs of warm-up, want 0 to %d", c.WarmUp, c.Epochs)
	}
	switch o := o.(type) {
	case *SGD:
		if c.Momentum == nil {
			c.Momentum = &o.Momentum
		}
		o.Momentum, o.Decay, o.Nesterov = *c.Momentum, c.Decay, c.Nesterov
		if err := checkSettings("sgd", setting{"momentum", o.Momentum, 1}); err != nil {
			return nil, err
		}
		c.Momentum = new(o.Momentum) // not the optimizer's own
	case *Adam:
		o.Decay = c.Decay
	}
	if sgd := c.Optimizer == "sgd"; !sgd && (c.Momentum != nil || c.Nesterov) || c.Optimizer == "rmsprop" && c.Decay != 0 {
		return nil, errors.Errorf("train: %s takes no momentum, and rmsprop no weight decay", c.Optimizer)
	}
	if c.Schedule == "" {
		c.Schedule = "cosine"
	}
	t := &Trainer{Loss: loss, Optimizer: o, Epochs: c.Epochs, Batch: c.Batch, Seed: c.Seed}
	for _, s := range schedules {
		if s.name == c.Schedule {
			t.Schedule = s.make(c.Rate, c.Epochs)
		}
	}
	if t.Schedule == nil {
		return nil, errors.Errorf("train: the schedule is %q, want one of %s", c.Schedule, strings.Join(Schedules(), ", "))
	}
	if c.WarmUp > 0 {
		t.Schedule = WarmUp(c.WarmUp, t.Schedule)
	}
	return t, nil
}

// Trainer returns the trainer that the recipe describes, with a network of its name that begins
// from its seed. test may be nil. What the recipe leaves open is filled in in the run's
// config.json.
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
	t.Train, t.Test, t.recipe = training, test, &c
	return t, t.Check()
}
