package train

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/pkg/errors"

	"github.com/convgrad/convgrad/model"
	"github.com/convgrad/convgrad/ops"
	"github.com/convgrad/convgrad/train/data"
)

// A run is a run under way.
type run struct {
	t         *Trainer
	at        position
	loss      model.Loss
	optimizer Optimizer
	schedule  Schedule
	step      *Step
	eval      map[int]*model.Graph // by batch size
	train     *loader
	test      *loader // nil without a test set
	dir       *runDir // nil for a run that is not kept
	batches   int     // of an epoch
	classes   int
}

// begin checks the trainer and builds what a run needs.
func (t *Trainer) begin(ctx context.Context) (*run, error) {
	if ctx == nil {
		return nil, errors.New("train: the context is nil")
	}
	if err := t.Check(); err != nil {
		return nil, err
	}
	r := &run{t: t, loss: t.Loss, optimizer: t.Optimizer, schedule: t.Schedule, eval: map[int]*model.Graph{}}
	if r.loss == nil {
		r.loss = model.CrossEntropy{}
	}
	if r.optimizer == nil {
		r.optimizer = &SGD{Momentum: 0.9}
	}
	if r.schedule == nil {
		r.schedule = Cosine(usualRate(r.optimizer))
	}
	r.batches, r.classes, r.at.Epoch = t.Train.Len()/t.Batch, len(t.Train.Classes()), 1
	r.train = newLoader(t.Train)
	if t.Test != nil {
		r.test = newLoader(t.Test)
	}
	var err error
	r.step, err = newStep(t.Net, r.loss, r.optimizer, t.Batch, t.Seed, t.Penalties)
	return r, err
}

func (r *run) close() {
	r.step.Close()
	for _, g := range r.eval {
		g.Close()
	}
}

// finish trains to the end, whichever that is, and leaves the directory in order.
func (r *run) finish(ctx context.Context) (*Result, error) {
	res := &Result{Network: r.t.Net, Dir: r.t.Dir}
	err := r.epochs(ctx)
	switch {
	case err == nil:
	case errors.Is(err, Stop):
		res.Stopped, err = true, r.save()
	case ctx.Err() != nil && errors.Is(err, ctx.Err()):
		res.Interrupted, err = true, r.save()
	}
	if err == nil {
		err = r.dir.check()
	}
	res.Steps, res.Epochs, res.Stuck = r.at.Steps, r.at.Finished, r.stuck()
	if err != nil && r.dir != nil {
		if !r.dir.kept {
			r.dir.abandon()
			return res, err
		}
		if r.dir.check() == nil {
			err = errors.Errorf("%v; %s keeps what was saved after step %d", err, r.t.Dir, r.dir.steps)
		}
	}
	r.dir.close()
	return res, err
}

// epochs trains from where the run stands to the end.
func (r *run) epochs(ctx context.Context) error {
	for r.at.Epoch <= r.t.Epochs {
		if err := r.epoch(ctx); err != nil {
			return err
		}
		n := r.batches * r.t.Batch
		e := Epoch{
			Epoch: r.at.Epoch, Loss: r.at.Loss / float64(r.batches), Accuracy: float64(r.at.Right) / float64(n),
			Rate: r.at.Rate, Seconds: r.at.Seconds, ImagesPerSec: float64(n) / max(r.at.Seconds, 1e-9),
		}
		if r.test != nil {
			var err error
			if e.TestLoss, e.TestAccuracy, err = r.evaluate(ctx); err != nil {
				return err
			}
			e.Tested = r.t.Test.Len()
		}
		r.at = position{Steps: r.at.Steps, Epoch: r.at.Epoch + 1, Rate: r.at.Rate, Finished: append(r.at.Finished, e)}
		if err := r.save(); err != nil {
			return err
		}
		if r.t.OnEpoch != nil {
			if err := r.t.OnEpoch(e, r.t.Net); err != nil {
				return err
			}
		}
	}
	return nil
}

// epoch makes the steps that are left of an epoch. When ctx is cancelled it ends after the step.
func (r *run) epoch(ctx context.Context) error {
	if r.at.Batch == r.batches {
		return ctx.Err() // only the evaluation is left
	}
	order := data.Shuffle(r.t.Train.Len(), r.t.Seed, r.at.Epoch)
	order = order[r.at.Batch*r.t.Batch : r.batches*r.t.Batch]
	start, before := time.Now(), r.at.Seconds
	return r.train.each(ctx, order, r.t.Batch, func(b *batch) error {
		m := Moment{Point: Point{r.at.Steps, r.batches * r.t.Epochs, r.at.Epoch, r.at.Batch, r.batches}, Total: r.batches * r.t.Batch}
		m.Rate = r.schedule(m.Point)
		right, err := r.one(&m, b)
		if err != nil {
			return errors.Wrapf(err, "train: epoch %d, batch %d", r.at.Epoch, r.at.Batch+1)
		}
		r.at.Steps++
		r.at.Batch++
		r.at.Loss += m.Loss
		r.at.Right += right
		r.at.Rate = m.Rate
		r.at.Seconds = before + time.Since(start).Seconds()
		m.Samples = r.at.Batch * r.t.Batch
		if n := r.t.SaveEvery; n > 0 && r.at.Steps%n == 0 && r.at.Batch < r.batches {
			if err := r.save(); err != nil {
				return err
			}
		}
		if r.t.OnStep != nil {
			return r.t.OnStep(m)
		}
		return nil
	})
}

// one makes a step, and counts the samples that were classified as labelled before it.
func (r *run) one(m *Moment, b *batch) (right int, err error) {
	r.step.runs = r.at.Steps // the number of the dropout masks
	if m.Loss, err = r.step.Gradients(b.x, b.targets); err != nil {
		if math.IsNaN(m.Loss) || math.IsInf(m.Loss, 0) {
			return 0, errors.Errorf("%v; a learning rate below %v may help", err, m.Rate)
		}
		return 0, err
	}
	if right, err = r.right(r.step.graph, b); err != nil {
		return 0, err
	}
	if r.t.Between != nil {
		if err := r.t.Between(r.step); err != nil {
			return 0, err
		}
	}
	return right, r.step.Update(m.Rate)
}

// right counts the samples of a batch whose largest output is that of their class. There is
// nothing to count for a set without classes, or a network whose outputs are something else.
func (r *run) right(g *model.Graph, b *batch) (int, error) {
	if r.classes == 0 {
		return 0, nil
	}
	y, err := g.Output()
	if err != nil {
		return 0, err
	}
	if s := y.Shape(); len(s) != 2 || s[1] != r.classes {
		return 0, nil
	}
	switch y := y.Data().(type) {
	case []float32:
		return count(y, b.targets, r.classes), nil
	case []float64:
		return count(y, b.targets, r.classes), nil
	}
	return 0, nil
}

func count[T float32 | float64](y []T, targets []data.Target, classes int) (right int) {
	for i, t := range targets {
		if t.Values == nil && argmax(y[i*classes:][:classes]) == t.Class {
			right++
		}
	}
	return right
}

// argmax is the index of the greatest element, the first of equals. NaN wins over nothing but NaN.
func argmax[T float32 | float64](v []T) int {
	best := 0
	for i, x := range v {
		if x > v[best] || v[best] != v[best] {
			best = i
		}
	}
	return best
}

// An evaluation takes evalBatch samples at once, fewer of large ones: evalElements bounds their
// size.
const (
	evalBatch    = 250
	evalElements = 1 << 22
)

// evaluate is the mean loss over the test samples, without penalties, and the share of them that
// are classified as labelled. The last batch is as short as what is left.
func (r *run) evaluate(ctx context.Context) (loss, accuracy float64, err error) {
	n := r.t.Test.Len()
	order := make([]int, n)
	for i := range order {
		order[i] = i
	}
	right := 0
	size := min(evalBatch, max(1, evalElements/r.test.size))
	err = r.test.each(ctx, order, size, func(b *batch) error {
		g, err := r.graph(len(b.targets))
		if err != nil {
			return err
		}
		if err := fill(g, b.x, b.targets); err != nil {
			return err
		}
		if err := g.Run(); err != nil {
			return err
		}
		l, err := g.LossValue()
		if err != nil {
			return err
		}
		if math.IsNaN(l) || math.IsInf(l, 0) {
			return errors.Errorf("the loss is %v, want a finite number: the training has diverged", l)
		}
		k, err := r.right(g, b)
		loss += l * float64(len(b.targets))
		right += k
		return err
	})
	return loss / float64(n), float64(right) / float64(n), errors.Wrapf(err, "train: evaluation after epoch %d", r.at.Epoch)
}

// graph is the one that evaluates batches of that size.
func (r *run) graph(size int) (*model.Graph, error) {
	g, ok := r.eval[size]
	if !ok {
		var err error
		if g, err = r.t.Net.Build(size, model.BuildOptions{Loss: r.loss}); err != nil {
			return nil, err
		}
		r.eval[size] = g
	}
	return g, nil
}

// stuck says so if the last epoch did no better than guessing: a share of samples right, among
// those to test with if there are any, of less than 1.2/K for K classes.
func (r *run) stuck() string {
	if len(r.at.Finished) == 0 || r.classes < 2 {
		return ""
	}
	e, guess := r.at.Finished[len(r.at.Finished)-1], 1/float64(r.classes)
	share, loss := e.Accuracy, e.Loss
	if e.Tested > 0 {
		share, loss = e.TestAccuracy, e.TestLoss
	}
	if share >= 1.2*guess {
		return ""
	}
	s := fmt.Sprintf("the network has not learned: %.1f %% are right, guessing has %.1f %%", 100*share, 100*guess)
	if _, ok := r.loss.(model.CrossEntropy); ok {
		s += fmt.Sprintf("; the loss is %.3f, that of guessing %.3f", loss, -math.Log(guess))
	}
	return s + "; another learning rate may help"
}

// saved is what config.json holds: the configuration, and what the network's input and output mean.
type saved struct {
	Config
	Network       string              `json:"network"`
	Input         []int               `json:"input"`
	Classes       []string            `json:"classes"`
	Normalisation *data.Normalisation `json:"normalisation"`
	Samples       int                 `json:"samples"` // to train on
	Settings      string              `json:"optimizer_settings"`
	Tier          string              `json:"kernels"` // another tier rounds otherwise
}

// config describes the run.
func (r *run) config() saved {
	s := saved{
		Network: r.t.Net.Name(), Input: r.t.Train.Shape(), Classes: r.t.Train.Classes(), Normalisation: data.NormalisationOf(r.t.Train),
		Samples: r.t.Train.Len(), Settings: settings(r.optimizer), Tier: ops.Tier(),
	}
	if r.t.recipe != nil {
		s.Config = *r.t.recipe
	}
	s.Config.Epochs, s.Config.Batch, s.Config.Seed, s.Config.Optimizer = r.t.Epochs, r.t.Batch, r.t.Seed, r.optimizer.Name()
	return s
}

// settings describes an optimizer's settings: its exported fields, where they can be written down.
func settings(o Optimizer) string {
	b, err := json.Marshal(o)
	if err != nil {
		return o.Name()
	}
	return o.Name() + " " + string(b)
}

// differs names the first setting that decides the bits and is another in two descriptions.
func (s saved) differs(now saved) error {
	for _, f := range []struct {
		name     string
		was, now any
	}{
		{"the batch size", s.Batch, now.Batch}, {"the seed", s.Seed, now.Seed}, {"the number of samples", s.Samples, now.Samples},
		{"the optimizer", s.Settings, now.Settings}, {"the network", s.Network, now.Network}, {"the samples' shape", s.Input, now.Input},
		{"the classes", strings.Join(s.Classes, " "), strings.Join(now.Classes, " ")}, {"the normalisation", text(s.Normalisation), text(now.Normalisation)},
	} {
		if fmt.Sprint(f.was) != fmt.Sprint(f.now) {
			return errors.Errorf("train: Resume: %s is %v, want %v as in the run that was saved", f.name, f.now, f.was)
		}
	}
	return nil
}

// text is a normalisation as it is written to config.json.
func text(n *data.Normalisation) string {
	b, err := json.Marshal(n)
	if err != nil {
		return err.Error()
	}
	return string(b)
}
