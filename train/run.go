package train

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"time"

	"github.com/pkg/errors"
	"gorgonia.org/tensor"

	"github.com/convgrad/convgrad/internal/kernel"
	"github.com/convgrad/convgrad/model"
)

// A Config says how to train. It is written to the run directory as it was used.
type Config struct {
	Data      string  `json:"data"`
	Model     string  `json:"model"`
	Loss      string  `json:"loss"` // cross-entropy or mse
	Epochs    int     `json:"epochs"`
	Batch     int     `json:"batch"`
	Optimizer string  `json:"optimizer"`
	Rate      float64 `json:"lr"` // 0 stands for the optimizer's own
	Seed      uint64  `json:"seed"`
}

// An Epoch is what became of a pass over the training images: a line of metrics.jsonl.
type Epoch struct {
	Epoch        int     `json:"epoch"` // from 1
	Loss         float64 `json:"loss"`  // mean over the epoch's training images, as the weights changed
	TestLoss     float64 `json:"test_loss"`
	TestAccuracy float64 `json:"test_accuracy"` // in [0, 1]
	Rate         float64 `json:"lr"`            // at the end
	Seconds      float64 `json:"seconds"`       // of training, evaluation left out
	ImagesPerSec float64 `json:"images_per_second"`
}

// A Progress hears how a run goes on, from the goroutine that trains.
type Progress interface {
	// Step is called after each batch: done of total images of the epoch, and the loss of the last batch.
	Step(epoch, done, total int, loss float64)
	// Epoch is called after each epoch's evaluation.
	Epoch(e Epoch)
}

// A Result is the outcome of a run.
type Result struct {
	Epochs      []Epoch
	Interrupted bool   // the context was cancelled; the weights are those of the last whole step
	Dir         string // the run directory, or "" if none was asked for
}

// Accuracy is the share of test images that the final weights classify as labelled.
func (r *Result) Accuracy() float64 {
	if len(r.Epochs) == 0 {
		return 0
	}
	return r.Epochs[len(r.Epochs)-1].TestAccuracy
}

// check fills in the defaults and returns an error that names what is out of range.
func (c *Config) check(d *Dataset) (Optimizer, model.Loss, error) {
	if c.Epochs < 1 {
		return nil, 0, errors.Errorf("train: %d epochs, want at least 1", c.Epochs)
	}
	if c.Batch < 1 || c.Batch > d.Train.Len() {
		return nil, 0, errors.Errorf("train: the batch size is %d, want 1 to the number of training images, %d", c.Batch, d.Train.Len())
	}
	loss, err := model.ParseLoss(c.Loss)
	if err != nil {
		return nil, 0, err
	}
	o, rate, err := NewOptimizer(c.Optimizer)
	if err != nil {
		return nil, 0, err
	}
	if c.Rate == 0 {
		c.Rate = rate
	}
	if !(c.Rate > 0) || math.IsInf(c.Rate, 0) {
		return nil, 0, errors.Errorf("train: the learning rate is %v, want a positive number", c.Rate)
	}
	return o, loss, nil
}

// Run trains a network of the configuration's name from fresh weights on d. It writes config.json, metrics.jsonl and weights.safetensors to dir, which must not exist or be empty; with an empty dir it
// writes nothing. progress may be nil.
//
// The images are shuffled anew for each epoch; a last batch that is short is left out of an epoch's training, where the next shuffle makes up for it, and never out of an evaluation. The learning
// rate falls to zero along a half cosine over the run. When ctx is cancelled, the step is finished, the weights are saved, and the result says so.
//
// It returns an error that names what was got and wanted for a configuration or dataset that does not hold together, and for a loss that is no longer a finite number; then the weights of the last epoch's end
// stay in dir.
func Run(ctx context.Context, c Config, d *Dataset, dir string, progress Progress) (*Result, error) {
	if err := d.Check(); err != nil {
		return nil, err
	}
	optimizer, loss, err := c.check(d)
	if err != nil {
		return nil, err
	}
	net, err := model.ByName(c.Model, d.Input, len(d.Classes))
	if err != nil {
		return nil, err
	}
	net.Init(c.Seed)
	t := &trainer{Config: c, data: d, net: net, optimizer: optimizer, loss: loss, progress: progress}
	if err := t.prepare(); err != nil {
		return nil, err
	}
	if dir != "" {
		if err := t.open(dir); err != nil {
			return nil, err
		}
		defer t.metrics.Close()
	}
	res := &Result{Dir: dir}
	for epoch := 1; epoch <= c.Epochs && !res.Interrupted; epoch++ {
		e, interrupted, err := t.epoch(ctx, epoch)
		if err != nil {
			return res, err
		}
		res.Interrupted = interrupted
		if e.TestLoss, e.TestAccuracy, err = t.evaluate(d.Test); err != nil {
			return res, err
		}
		res.Epochs = append(res.Epochs, e)
		if progress != nil {
			progress.Epoch(e)
		}
		if err := t.save(dir, e); err != nil {
			return res, err
		}
	}
	return res, nil
}

// A trainer is a run under way.
type trainer struct {
	Config
	data      *Dataset
	net       *model.Network
	loss      model.Loss
	optimizer Optimizer
	progress  Progress

	graph     *model.Graph
	grads     []*tensor.Dense
	eval      map[int]*model.Graph // by batch size
	mean, std float64              // of the training images' bytes
	steps     int                  // made
	total     int                  // of the run
	metrics   *os.File
}

// prepare builds the graph and measures the data.
func (t *trainer) prepare() (err error) {
	var sum, squares float64
	for _, b := range t.data.Train.Images {
		sum += float64(b)
		squares += float64(b) * float64(b)
	}
	n := float64(len(t.data.Train.Images))
	t.mean = sum / n
	t.std = math.Sqrt(max(squares/n-t.mean*t.mean, 1)) // an image of one colour has no contrast to scale
	t.total = t.Epochs * (t.data.Train.Len() / t.Batch)
	t.eval = map[int]*model.Graph{}
	t.graph, err = t.net.Build(t.Batch, model.BuildOptions{Loss: t.loss, Training: true, Seed: t.Seed})
	return err
}

// open makes the run directory and writes the configuration.
func (t *trainer) open(dir string) error {
	if entries, err := os.ReadDir(dir); err == nil && len(entries) > 0 {
		return errors.Errorf("train: the run directory %s is not empty: want a new one, nothing is overwritten", dir)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return errors.Wrap(err, "train: the run directory")
	}
	config, err := json.MarshalIndent(struct {
		Config
		Mean float64 `json:"mean"` // images are (byte − mean)/std
		Std  float64 `json:"std"`
	}{t.Config, t.mean, t.std}, "", "  ")
	if err != nil {
		return errors.Wrap(err, "train: the configuration")
	}
	if err := os.WriteFile(filepath.Join(dir, "config.json"), append(config, '\n'), 0o644); err != nil {
		return errors.Wrap(err, "train: the configuration")
	}
	t.metrics, err = os.OpenFile(filepath.Join(dir, "metrics.jsonl"), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
	return errors.Wrap(err, "train: the metrics")
}

// save adds an epoch to the metrics and keeps the weights.
func (t *trainer) save(dir string, e Epoch) error {
	if dir == "" {
		return nil
	}
	line, err := json.Marshal(e)
	if err != nil {
		return errors.Wrap(err, "train: the metrics")
	}
	if _, err := t.metrics.Write(append(line, '\n')); err != nil {
		return errors.Wrap(err, "train: the metrics")
	}
	return t.net.SaveFile(filepath.Join(dir, "weights.safetensors"), map[string]string{
		"model": t.Model, "data": t.data.Name, "mean": fmt.Sprint(t.mean), "std": fmt.Sprint(t.std), "epoch": fmt.Sprint(e.Epoch),
	})
}

// rate is the learning rate of a step: it falls along a half cosine (Loshchilov and Hutter, 2017).
func (t *trainer) rate() float64 {
	return t.Rate * (1 + math.Cos(math.Pi*float64(t.steps)/float64(max(t.total, 1)))) / 2
}

// epoch trains on the images once, in an order of its own.
func (t *trainer) epoch(ctx context.Context, epoch int) (e Epoch, interrupted bool, err error) {
	start := time.Now()
	order := rand.New(rand.NewPCG(t.Seed, uint64(epoch))).Perm(t.data.Train.Len())
	batches := len(order) / t.Batch
	var sum float64
	done := 0
	for b := range batches {
		if ctx.Err() != nil {
			interrupted = true
			break
		}
		loss, err := t.step(order[b*t.Batch : (b+1)*t.Batch])
		if err != nil {
			return e, false, errors.Wrapf(err, "train: epoch %d, batch %d", epoch, b+1)
		}
		sum += loss
		done++
		if t.progress != nil {
			t.progress.Step(epoch, done*t.Batch, batches*t.Batch, loss)
		}
	}
	seconds := time.Since(start).Seconds()
	return Epoch{Epoch: epoch, Loss: sum / float64(max(done, 1)), Rate: t.rate(), Seconds: seconds, ImagesPerSec: float64(done*t.Batch) / seconds}, interrupted, nil
}

// step trains on one batch.
func (t *trainer) step(indices []int) (float64, error) {
	if err := t.feed(t.graph, t.data.Train, indices); err != nil {
		return 0, err
	}
	if t.graph.Random != nil {
		t.graph.Random.SetStep(t.steps)
	}
	if err := t.graph.Run(); err != nil {
		return 0, err
	}
	loss, err := t.graph.LossValue()
	if err != nil {
		return 0, err
	}
	if math.IsNaN(loss) || math.IsInf(loss, 0) {
		return 0, errors.Errorf("the loss is %v: the training has diverged; a learning rate below %v may help", loss, t.Rate)
	}
	t.grads = t.grads[:0]
	for i, n := range t.graph.Grads {
		g, ok := n.Value().(*tensor.Dense)
		if !ok {
			return 0, errors.Errorf("the gradient of %s is a %T, want a tensor", t.net.Params()[i].Name, n.Value())
		}
		t.grads = append(t.grads, g)
	}
	err = t.optimizer.Step(t.net.Params(), t.grads, t.rate())
	t.steps++
	return loss, err
}

// feed puts images and labels into a graph.
func (t *trainer) feed(m *model.Graph, s Split, indices []int) error {
	x, ok := m.InputData().([]float32)
	if !ok {
		return errors.Errorf("the network's input is %T, want []float32", m.InputData())
	}
	per := t.data.Input.TotalSize()
	kernel.NormaliseBatch(x, s.Images, indices, per, float32(t.mean), float32(1/t.std))
	switch target := m.TargetData().(type) {
	case []int:
		for i, k := range indices {
			target[i] = int(s.Labels[k])
		}
	case []float32: // one-hot
		clear(target)
		for i, k := range indices {
			target[i*len(t.data.Classes)+int(s.Labels[k])] = 1
		}
	default:
		return errors.Errorf("the network's target is %T, want []int or []float32", target)
	}
	return nil
}

// evalBatch is how many images are evaluated at once.
const evalBatch = 250

// evaluate is the mean loss over the images and the share that are classified as labelled.
func (t *trainer) evaluate(s Split) (loss, accuracy float64, err error) {
	right := 0
	for at := 0; at < s.Len(); at += evalBatch {
		n := min(evalBatch, s.Len()-at)
		m, ok := t.eval[n]
		if !ok {
			if m, err = t.net.Build(n, model.BuildOptions{Loss: t.loss}); err != nil {
				return 0, 0, err
			}
			t.eval[n] = m
		}
		indices := make([]int, n)
		for i := range indices {
			indices[i] = at + i
		}
		if err := t.feed(m, s, indices); err != nil {
			return 0, 0, err
		}
		if err := m.Run(); err != nil {
			return 0, 0, err
		}
		l, err := m.LossValue()
		if err != nil {
			return 0, 0, err
		}
		loss += l * float64(n)
		y := m.Output.Value().Data().([]float32)
		classes := len(y) / n
		for i, k := range indices {
			if argmax(y[i*classes:][:classes]) == int(s.Labels[k]) {
				right++
			}
		}
	}
	return loss / float64(s.Len()), float64(right) / float64(s.Len()), nil
}

// argmax is the index of the greatest element, the first of equals; a NaN never wins.
func argmax(v []float32) int {
	best := 0
	for i, x := range v {
		if x > v[best] || v[best] != v[best] {
			best = i
		}
	}
	return best
}
