package train

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
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
	average   *average             // nil without
	eval      map[int]*model.Graph // by batch size
	train     *loader
	test      *loader // nil without a test set
	dir       *runDir // nil for a run that is not kept
	batches   int     // of an epoch, each the samples of a step
	size      int     // samples of a step
	classes   int
	labels    []int // of a step's samples, −1 for those with values
	begun     time.Time
	saved     time.Time
	limit     string // that ended the run
}

// errLimit ends a run at one of its limits.
var errLimit = errors.New("train: a limit was reached")

// begin checks the trainer and builds what a run needs.
func (t *Trainer) begin(ctx context.Context) (*run, error) {
	if ctx == nil {
		return nil, errors.New("train: the context is nil")
	}
	if err := t.Check(); err != nil {
		return nil, err
	}
	now := time.Now()
	r := &run{
		t: t, loss: t.Loss, optimizer: t.Optimizer, schedule: t.Schedule, eval: map[int]*model.Graph{},
		begun: now, saved: now, size: t.Batch * t.joined(),
	}
	if r.loss == nil {
		r.loss = model.CrossEntropy{}
	}
	if r.optimizer == nil {
		r.optimizer = &SGD{Momentum: 0.9}
	}
	if r.schedule == nil {
		r.schedule = Cosine(usualRate(r.optimizer))
	}
	r.batches, r.classes, r.at.Epoch = t.Train.Len()/r.size, len(t.Train.Classes()), 1
	r.train = newLoader(t.Train, t.Workers)
	r.train.augment, r.train.seed = t.Augment, t.Seed
	if t.Test != nil {
		r.test = newLoader(t.Test, t.Workers)
	}
	loss := r.loss
	if t.Mixup > 0 {
		loss = blended(loss)
	}
	var err error
	if r.step, err = NewStep(t.Net, loss, r.optimizer, t.Batch, StepOptions{t.Seed, t.Penalties}); err != nil {
		return nil, err
	}
	if t.Average > 0 {
		r.average = newAverage(t.Net, t.Average)
	}
	return r, nil
}

func (r *run) close() {
	r.step.Close()
	for _, g := range r.eval {
		g.Close()
	}
}

// steps is how many the whole run has.
func (r *run) steps() int {
	n := r.batches * r.t.Epochs
	if most := r.t.MaxSteps; most > 0 {
		n = min(n, most)
	}
	return n
}

// finish trains to the end, whichever that is, and leaves the directory in order.
func (r *run) finish(ctx context.Context) (*Result, error) {
	res := &Result{Network: r.t.Net, Dir: r.t.Dir}
	r.dir.note("begins", "network", r.t.Net.Name(), "samples", r.t.Train.Len(), "epochs", r.t.Epochs, "steps", r.steps(),
		"batch", r.size, "optimizer", settings(r.optimizer), "seed", r.t.Seed, "threads", ops.Threads(), "kernels", ops.Tier())
	err := r.epochs(ctx)
	switch {
	case err == nil:
	case errors.Is(err, errLimit):
		res.Stopped, res.Limit = true, r.limit
		if err = r.save(); err == nil {
			res.Partial, err = r.partial(ctx)
		}
	case errors.Is(err, Stop):
		res.Stopped, err = true, r.save()
	case ctx.Err() != nil && errors.Is(err, ctx.Err()):
		res.Interrupted, err = true, r.save()
	}
	if err == nil {
		err = r.dir.check()
	}
	r.average.swap() // for good
	res.Steps, res.Epochs, res.Best, res.Stuck = r.at.Steps, r.at.Finished, r.at.Best, r.stuck()
	if err != nil {
		r.dir.note("fails", "step", r.at.Steps, "error", err)
	} else {
		r.dir.note("ends", "step", r.at.Steps, "interrupted", res.Interrupted, "limit", res.Limit, "accuracy", res.Accuracy(), "stuck", res.Stuck)
	}
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

// reached ends the run if it is at a limit.
func (r *run) reached() error {
	switch t := r.t; {
	case t.MaxSteps > 0 && r.at.Steps >= t.MaxSteps:
		r.limit = fmt.Sprintf("%d steps were made, the most that there may be", r.at.Steps)
	case t.MaxTime > 0 && time.Since(r.begun) >= t.MaxTime:
		r.limit = fmt.Sprintf("%v have passed, the most that there may be", t.MaxTime)
	default:
		return nil
	}
	return errLimit
}

// exhausted ends the run if it has become no better for too long.
func (r *run) exhausted() error {
	if n := len(r.at.Finished) - r.at.Best; r.t.Patience > 0 && n >= r.t.Patience {
		r.limit = fmt.Sprintf("%d epochs were no better than epoch %d", n, r.at.Best)
		return errLimit
	}
	return nil
}

// epochs trains from where the run stands to the end.
func (r *run) epochs(ctx context.Context) error {
	for r.at.Epoch <= r.t.Epochs {
		if err := r.exhausted(); err != nil {
			return err
		}
		if err := r.epoch(ctx); err != nil {
			return err
		}
		e, err := r.evaluated(ctx)
		if err != nil {
			return err
		}
		best := r.at.Best
		if best == 0 || e.better(r.at.Finished[best-1]) {
			best = e.Epoch
		}
		r.at = position{Steps: r.at.Steps, Epoch: r.at.Epoch + 1, Rate: r.at.Rate, Best: best, Finished: append(r.at.Finished, e)}
		if err := r.save(); err != nil {
			return err
		}
		r.dir.note("epoch", "epoch", e.Epoch, "step", r.at.Steps, "loss", e.Loss, "accuracy", e.Accuracy, "test_loss", e.TestLoss,
			"test_accuracy", e.TestAccuracy, "lr", e.Rate, "images_per_second", e.ImagesPerSec, "waited", e.Waited)
		if r.t.OnEpoch != nil {
			r.average.swap()
			err := r.t.OnEpoch(e, r.t.Net)
			r.average.swap()
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// evaluated sums up the epoch under way, with what the network makes of the test set now.
func (r *run) evaluated(ctx context.Context) (Epoch, error) {
	n := r.at.Batch * r.size
	e := Epoch{
		Epoch: r.at.Epoch, Loss: r.at.Loss / float64(max(r.at.Batch, 1)), Accuracy: float64(r.at.Right) / float64(max(n, 1)), Rate: r.at.Rate,
		Seconds: r.at.Seconds, ImagesPerSec: float64(n) / max(r.at.Seconds, 1e-9), Waited: r.at.Waited / max(r.at.Seconds, 1e-9),
	}
	if r.test == nil {
		return e, nil
	}
	r.average.swap()
	defer r.average.swap()
	var err error
	if e.TestLoss, e.TestAccuracy, err = r.evaluate(ctx); err == nil {
		e.Tested = r.t.Test.Len()
	}
	return e, err
}

// partial is what evaluated says in the middle of an epoch, or nil.
func (r *run) partial(ctx context.Context) (*Epoch, error) {
	if r.at.Batch == 0 {
		return nil, nil
	}
	e, err := r.evaluated(ctx)
	return &e, err
}

// epoch makes the steps that are left of an epoch. When ctx is cancelled it ends after the step.
func (r *run) epoch(ctx context.Context) error {
	if r.at.Batch == r.batches {
		return ctx.Err() // only the evaluation is left
	}
	if err := r.reached(); err != nil {
		return err
	}
	w := reading{epoch: r.at.Epoch, from: r.at.Batch * r.size, to: r.batches * r.size, batch: r.size}
	if _, ok := r.t.Train.(data.Set); ok {
		w.order = data.Shuffle(r.t.Train.Len(), r.t.Seed, r.at.Epoch)
	}
	start, before, waited := time.Now(), r.at.Seconds, r.at.Waited
	r.train.waited = 0
	return r.train.each(ctx, w, func(b *batch) error {
		m := Moment{Point: Point{r.at.Steps, r.steps(), r.at.Epoch, r.at.Batch, r.batches, r.at.Finished}, Total: r.batches * r.size}
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
		r.at.Waited = waited + r.train.waited.Seconds()
		m.Samples, m.Seconds = r.at.Batch*r.size, r.at.Seconds
		m.Waited = r.at.Waited / max(r.at.Seconds, 1e-9)
		n, after := r.t.SaveEvery, r.t.SaveAfter
		if r.at.Batch < r.batches && (n > 0 && r.at.Steps%n == 0 || after > 0 && time.Since(r.saved) >= after) {
			if err := r.save(); err != nil {
				return err
			}
		}
		if r.t.OnStep != nil {
			if err := r.t.OnStep(m); err != nil {
				return err
			}
		}
		if r.at.Batch == r.batches {
			return nil // the epoch is evaluated first
		}
		return r.reached()
	})
}

// one makes a step, and counts the samples that were classified as labelled before it.
func (r *run) one(m *Moment, b *batch) (right int, err error) {
	r.labels = r.labels[:0]
	for _, t := range b.targets {
		if r.labels = append(r.labels, t.Class); t.Values != nil {
			r.labels[len(r.labels)-1] = -1
		}
	}
	if r.t.Mixup > 0 {
		mix(b, r.t.Batch, r.classes, r.t.Mixup, r.t.Seed, r.at.Steps)
	}
	n, joined := r.t.Batch, r.t.joined()
	for k := range joined {
		r.step.runs = r.at.Steps*joined + k // the number of the dropout masks
		loss, err := r.step.Gradients(b.x[k*n*r.train.size:][:n*r.train.size], b.targets[k*n:][:n])
		if err != nil {
			if math.IsNaN(loss) || math.IsInf(loss, 0) {
				most := min(m.Rate/10, usualRate(r.optimizer))
				return 0, errors.Errorf("%v at a learning rate of %.3g; try one of %.2g or less, or a warm-up", err, m.Rate, most)
			}
			return 0, err
		}
		m.Loss += loss / float64(joined)
		more, err := r.right(r.step.graph, r.labels[k*n:][:n])
		if err != nil {
			return 0, err
		}
		right += more
	}
	if r.t.Clip > 0 {
		if _, err := r.step.Clip(r.t.Clip); err != nil {
			return 0, err
		}
	}
	if r.t.Between != nil {
		if err := r.t.Between(r.step); err != nil {
			return 0, err
		}
	}
	if err := r.step.Update(m.Rate); err != nil {
		return 0, err
	}
	r.average.add(r.at.Steps)
	return right, nil
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
	rate := 0.0 // the last epoch's is near 0 in many schedules
	for _, e := range r.at.Finished {
		rate = max(rate, e.Rate)
	}
	if r.t.recipe != nil {
		rate = r.t.recipe.Rate
	}
	return s + fmt.Sprintf("; try another learning rate, say %.2g or %.2g, a warm-up, or adam", rate*10, rate/10)
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
	LossSettings  string              `json:"loss_settings"`
	Method        string              `json:"method"`  // what else decides the bits
	Tier          string              `json:"kernels"` // another tier rounds otherwise
}

// config describes the run.
func (r *run) config() saved {
	s := saved{
		Network: r.t.Net.Name(), Input: r.t.Train.Shape(), Classes: r.t.Train.Classes(), Normalisation: data.NormalisationOf(r.t.Train),
		Samples: r.t.Train.Len(), Settings: settings(r.optimizer), LossSettings: described(r.loss), Method: r.method(), Tier: ops.Tier(),
	}
	if r.t.recipe != nil {
		s.Config = *r.t.recipe
	}
	s.Config.Epochs, s.Config.Batch, s.Config.Seed, s.Config.Optimizer = r.t.Epochs, r.t.Batch, r.t.Seed, r.optimizer.Name()
	return s
}

// method describes what decides the bits and is nowhere else in the configuration.
func (r *run) method() string {
	s := fmt.Sprintf("%d batches a step, clip %v, mixup %v, average %v", r.t.joined(), r.t.Clip, r.t.Mixup, r.t.Average)
	for _, a := range r.t.Augment {
		s += fmt.Sprintf(", %T %+v", a, a)
	}
	return s
}

// described is a loss with its settings, where they can be written down.
func described(l model.Loss) string {
	b, err := json.Marshal(l)
	if err != nil {
		return fmt.Sprintf("%T", l)
	}
	return fmt.Sprintf("%T %s", l, b)
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
		{"the optimizer", s.Settings, now.Settings}, {"the loss", s.LossSettings, now.LossSettings}, {"the method", s.Method, now.Method},
		{"the network", s.Network, now.Network}, {"the samples' shape", s.Input, now.Input},
		{"the classes", text(s.Classes), text(now.Classes)}, {"the normalisation", text(s.Normalisation), text(now.Normalisation)},
	} {
		if fmt.Sprint(f.was) != fmt.Sprint(f.now) {
			return errors.Errorf("train: Resume: %s is %v, want %v as in the run that was saved", f.name, f.now, f.was)
		}
	}
	return nil
}

// text is a value as it is written to config.json.
func text(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		return err.Error()
	}
	return string(b)
}
