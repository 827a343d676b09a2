package train

import (
	"context"
	"math"
	"math/rand/v2"
	"time"

	"github.com/pkg/errors"

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
	Rate      float64 `json:"lr"` // at the first step; 0 stands for the optimizer's own
	Seed      uint64  `json:"seed"`
}

// maxEpochs keeps the number of steps far from overflow.
const maxEpochs = 1 << 20

// Check returns an error that names what is out of range. It fills in the learning rate where it is 0.
func (c *Config) Check() error {
	_, _, err := c.resolve()
	return err
}

// resolve is Check, and gives what the names stand for.
func (c *Config) resolve() (Optimizer, model.Loss, error) {
	if c.Epochs < 1 || c.Epochs > maxEpochs {
		return nil, nil, errors.Errorf("train: %d epochs, want 1 to %d", c.Epochs, maxEpochs)
	}
	if c.Batch < 1 {
		return nil, nil, errors.Errorf("train: the batch size is %d, want at least 1", c.Batch)
	}
	loss, err := model.ParseLoss(c.Loss)
	if err != nil {
		return nil, nil, err
	}
	o, rate, err := NewOptimizer(c.Optimizer)
	if err != nil {
		return nil, nil, err
	}
	if c.Rate == 0 {
		c.Rate = rate
	}
	if !(c.Rate > 0) || math.IsInf(c.Rate, 0) {
		return nil, nil, errors.Errorf("train: the learning rate is %v, want a positive number", c.Rate)
	}
	return o, loss, nil
}

// An Epoch is what became of a pass over the training images: a line of metrics.jsonl.
type Epoch struct {
	Epoch        int     `json:"epoch"`    // from 1
	Loss         float64 `json:"loss"`     // mean over the epoch's training images, as the weights changed
	Accuracy     float64 `json:"accuracy"` // of the same, in [0, 1]
	TestLoss     float64 `json:"test_loss"`
	TestAccuracy float64 `json:"test_accuracy"` // in [0, 1]
	Rate         float64 `json:"lr"`            // after the last step
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
	Network     *model.Network // with the weights as the last step left them
	Epochs      []Epoch        // those that were evaluated
	Steps       int            // made in all
	Interrupted bool           // the context was cancelled before the end
	Dir         string         // the run directory, or "" if none was asked for
}

// Accuracy is the share of test images that the network classified as labelled after the last whole epoch, or 0 if there was none.
func (r *Result) Accuracy() float64 {
	if len(r.Epochs) == 0 {
		return 0
	}
	return r.Epochs[len(r.Epochs)-1].TestAccuracy
}

// shuffles keeps the random numbers of the epochs' orders apart from those of Init, which are streams of the same seed.
const shuffles = 1 << 62

// Run trains a network of the configuration's name from fresh weights on d. It writes config.json, metrics.jsonl and weights.safetensors to dir, which must not exist or be empty; with an empty name it
// writes nothing. progress may be nil.
//
// The images are shuffled anew for each epoch; a last batch that is short is left out of an epoch's training, where the next shuffle makes up for it, and never out of an evaluation. The learning
// rate falls to zero along a half cosine over the run (Loshchilov and Hutter, 2017). When ctx is cancelled, the step is finished, the weights are saved, and the result says so.
//
// The same configuration, dataset, seed and kernel tier give the same weights, bit for bit, at any number of threads.
//
// It returns an error that names what was got and wanted for a configuration or dataset that does not hold together, and for a loss that is no longer a finite number. The result is nil if nothing was
// trained; otherwise it tells how far the run came, and dir keeps the weights of the last whole epoch.
func Run(ctx context.Context, c Config, d *Dataset, dir string, progress Progress) (res *Result, err error) {
	if ctx == nil {
		return nil, errors.New("train: the context is nil")
	}
	if err := d.Check(); err != nil {
		return nil, err
	}
	optimizer, loss, err := c.resolve()
	if err != nil {
		return nil, err
	}
	if c.Batch > d.Train.Len() {
		return nil, errors.Errorf("train: the batch size is %d, want at most the number of training images, %d", c.Batch, d.Train.Len())
	}
	net, err := model.ByName(c.Model, d.Input, len(d.Classes), model.Options{Seed: c.Seed})
	if err != nil {
		return nil, err
	}
	t := &trainer{Config: c, data: d, net: net, optimizer: optimizer, loss: loss, progress: progress, eval: map[int]*model.Graph{}}
	defer t.close()
	t.norm = measure(d.Train.Images)
	t.total = c.Epochs * (d.Train.Len() / c.Batch)
	if t.graph, err = net.Build(c.Batch, model.BuildOptions{Loss: loss, Training: true, Seed: c.Seed}); err != nil {
		return nil, err
	}
	if t.dir, err = openDir(dir, c, d, t.norm); err != nil {
		return nil, err
	}
	defer func() {
		if e := t.dir.close(); err == nil {
			err = e
		}
	}()
	res = &Result{Network: net, Dir: dir}
	for epoch := 1; epoch <= c.Epochs; epoch++ {
		e, err := t.epoch(ctx, epoch)
		res.Steps = t.steps
		if stop := ctx.Err(); stop != nil && errors.Is(err, stop) {
			res.Interrupted = true
			return res, t.dir.save(net, t.steps)
		}
		if err != nil {
			return res, err
		}
		res.Epochs = append(res.Epochs, e)
		if progress != nil {
			progress.Epoch(e)
		}
		if err := t.dir.note(e); err != nil {
			return res, err
		}
		if err := t.dir.save(net, t.steps); err != nil {
			return res, err
		}
	}
	return res, nil
}

// Normalisation is what turns an image's bytes into the network's input: (byte − Mean)/Std, the mean and standard deviation of the training images' bytes.
type Normalisation struct {
	Mean float64 `json:"mean"`
	Std  float64 `json:"std"`
}

// measure takes the mean and the standard deviation, at least 1: an image of one colour has no contrast to scale.
func measure(images []uint8) Normalisation {
	var sum, squares uint64 // exact: 255² times 2⁴⁸ bytes fit
	for _, b := range images {
		sum += uint64(b)
		squares += uint64(b) * uint64(b)
	}
	n := float64(len(images))
	mean := float64(sum) / n
	return Normalisation{mean, math.Sqrt(max(float64(squares)/n-mean*mean, 1))}
}

// A trainer is a run under way.
type trainer struct {
	Config
	data      *Dataset
	norm      Normalisation
	net       *model.Network
	loss      model.Loss
	optimizer Optimizer
	progress  Progress
	dir       *runDir

	graph  *model.Graph
	eval   map[int]*model.Graph // by batch size
	labels []int                // of the batch
	steps  int                  // made
	total  int                  // of the run
}

// close gives the graphs' memory up.
func (t *trainer) close() {
	if t.graph != nil {
		t.graph.Close()
	}
	for _, g := range t.eval {
		g.Close()
	}
}

// rate is the learning rate of the next step.
func (t *trainer) rate() float64 {
	return t.Rate * (1 + math.Cos(math.Pi*float64(t.steps)/float64(t.total))) / 2
}

// order is that of an epoch's images, drawn from the seed.
func (t *trainer) order(epoch int) []int {
	return rand.New(rand.NewPCG(t.Seed, shuffles|uint64(epoch))).Perm(t.data.Train.Len())
}

// epoch trains on the images once, in an order of its own, and evaluates. When the context is cancelled it ends after the step, with an error.
func (t *trainer) epoch(ctx context.Context, epoch int) (e Epoch, err error) {
	start := time.Now()
	order := t.order(epoch)
	batches := len(order) / t.Batch
	trained := batches * t.Batch
	right := 0
	for b := range batches {
		if ctx.Err() != nil {
			return e, ctx.Err()
		}
		loss, correct, err := t.step(order[b*t.Batch : (b+1)*t.Batch])
		if err != nil {
			return e, errors.Wrapf(err, "train: epoch %d, batch %d", epoch, b+1)
		}
		e.Loss += loss / float64(batches)
		right += correct
		if t.progress != nil {
			t.progress.Step(epoch, (b+1)*t.Batch, trained, loss)
		}
	}
	seconds := time.Since(start).Seconds()
	e.Epoch, e.Accuracy, e.Rate, e.Seconds, e.ImagesPerSec = epoch, float64(right)/float64(trained), t.rate(), seconds, float64(trained)/seconds
	if e.TestLoss, e.TestAccuracy, err = t.evaluate(ctx, t.data.Test); err != nil {
		return e, errors.Wrapf(err, "train: evaluation after epoch %d", epoch)
	}
	return e, nil
}

// step trains on one batch and returns its loss, and how many of its images were classified as labelled before the step.
func (t *trainer) step(indices []int) (loss float64, right int, err error) {
	t.graph.SetStep(t.steps)
	if loss, right, err = t.run(t.graph, t.data.Train, indices); err != nil {
		return 0, 0, err
	}
	grads, err := t.graph.Grads()
	if err != nil {
		return 0, 0, err
	}
	err = t.optimizer.Step(t.graph.Params(), grads, t.rate())
	t.steps++
	return loss, right, err
}

// run puts images through a graph and returns the mean loss and how many were classified as labelled.
func (t *trainer) run(m *model.Graph, s Split, indices []int) (loss float64, right int, err error) {
	if err := t.feed(m, s, indices); err != nil {
		return 0, 0, err
	}
	if err := m.Run(); err != nil {
		return 0, 0, err
	}
	if loss, err = m.LossValue(); err != nil {
		return 0, 0, err
	}
	if math.IsNaN(loss) || math.IsInf(loss, 0) {
		return 0, 0, errors.Errorf("the loss is %v, want a finite number: the training has diverged; a learning rate below %v may help", loss, t.Rate)
	}
	out, err := m.Output()
	if err != nil {
		return 0, 0, err
	}
	y, ok := out.Data().([]float32)
	if classes := len(t.data.Classes); !ok || len(y) != len(indices)*classes {
		return 0, 0, errors.Errorf("the network's output is %v of %v, want %d×%d of float32", out.Shape(), out.Dtype(), len(indices), classes)
	}
	for i, k := range indices {
		if argmax(y[i*len(t.data.Classes):][:len(t.data.Classes)]) == int(s.Labels[k]) {
			right++
		}
	}
	return loss, right, nil
}

// feed puts images and labels into a graph.
func (t *trainer) feed(m *model.Graph, s Split, indices []int) error {
	x, ok := m.InputData().([]float32)
	if !ok {
		return errors.Errorf("the network's input is %T, want []float32", m.InputData())
	}
	kernel.NormaliseBatch(x, s.Images, indices, t.data.Input.TotalSize(), float32(t.norm.Mean), float32(1/t.norm.Std))
	t.labels = t.labels[:0]
	for _, k := range indices {
		t.labels = append(t.labels, int(s.Labels[k]))
	}
	return m.SetLabels(t.labels)
}

// evalBatch is how many images are evaluated at once.
const evalBatch = 250

// evaluate is the mean loss over the images and the share that are classified as labelled. The last batch is as short as what is left.
func (t *trainer) evaluate(ctx context.Context, s Split) (loss, accuracy float64, err error) {
	right := 0
	indices := make([]int, 0, evalBatch)
	for at := 0; at < s.Len(); at += evalBatch {
		if ctx.Err() != nil {
			return 0, 0, ctx.Err()
		}
		indices = indices[:0]
		for i := at; i < min(at+evalBatch, s.Len()); i++ {
			indices = append(indices, i)
		}
		m, ok := t.eval[len(indices)]
		if !ok {
			if m, err = t.net.Build(len(indices), model.BuildOptions{Loss: t.loss}); err != nil {
				return 0, 0, err
			}
			t.eval[len(indices)] = m
		}
		l, r, err := t.run(m, s, indices)
		if err != nil {
			return 0, 0, err
		}
		loss += l * float64(len(indices))
		right += r
	}
	return loss / float64(s.Len()), float64(right) / float64(s.Len()), nil
}

// argmax is the index of the greatest element, the first of equals; a NaN wins over nothing but NaN.
func argmax(v []float32) int {
	best := 0
	for i, x := range v {
		if x > v[best] || v[best] != v[best] {
			best = i
		}
	}
	return best
}
