package train

import (
	"context"
	"math"
	"time"

	"github.com/pkg/errors"

	"github.com/convgrad/convgrad/model"
	"github.com/convgrad/convgrad/train/data"
)

// Stop is what OnStep and OnEpoch return to end a run. The run is saved, and its result says so.
var Stop = errors.New("train: the run was asked to stop")

// A Trainer is what a run needs. Net, Train, Epochs and Batch must be set; the zero of any other
// field is a default. It is not changed by a run, and is for one run at a time.
type Trainer struct {
	Net         *model.Network // trained from the weights that it has
	Train, Test data.Dataset   // Test may be nil: the run then evaluates nothing
	Epochs      int            // passes over Train
	Batch       int            // samples a step
	Seed        uint64         // of the order of the samples, and of dropout

	Optimizer Optimizer       // nil: SGD with momentum 0.9. A run changes what it remembers
	Schedule  Schedule        // nil: Cosine from the rate that is usual for the optimizer
	Loss      model.Loss      // nil: model.CrossEntropy{}
	Penalties []model.Penalty // added to the loss in training, not in evaluation
	// Between is called between the two halves of each step, to clip gradients, say.
	Between func(*Step) error

	Accumulate int            // batches whose gradients one step joins; 0 stands for 1
	Clip       float64        // largest norm of a step's gradients; 0 for any
	Augment    []data.Augment // of the training samples, in that order
	// Mixup blends each sample with another of its batch, targets too, in shares that Beta(Mixup,
	// Mixup) draws for each batch (Zhang et al., 2018). 0 leaves them alone.
	Mixup float64
	// Average is the decay of a moving average of weights and buffers: a ← d·a + (1−d)·w after each
	// step, with d the lesser of Average and (1+step)/(10+step). It is the average that is then
	// evaluated, saved as weights, and left in Net at the end. 0 for none.
	Average float64

	Patience int           // epochs without a better one after which the run ends; 0 for never
	MaxSteps int           // steps after which it ends, for schedules too; 0 for no such limit
	MaxTime  time.Duration // after which it ends, counted from Run or Resume; 0 for never
	Workers  int           // goroutines that read samples ahead of the steps; 0 for one a core

	// Dir is the run directory; it must be new or empty. With an empty name nothing is written.
	Dir       string
	Force     bool          // Run may delete a run that is in Dir
	SaveEvery int           // steps after which to save in the middle of an epoch too; 0 for never
	SaveAfter time.Duration // likewise, as time since the last save
	Keep      int           // checkpoints of earlier epochs to keep, as checkpoint-STEP.safetensors

	// OnStep is called after each step, and OnEpoch after each epoch, once it is saved. Both are
	// called from the goroutine that trains, and end the run with an error of their own, or Stop.
	OnStep  func(Moment) error
	OnEpoch func(Epoch, *model.Network) error

	recipe *Config // that it was made from
}

// A Moment is a step that was made.
type Moment struct {
	Point
	Rate    float64 // of the step
	Loss    float64 // of its batch, penalties included
	Samples int     // of the epoch so far
	Total   int     // samples of the whole epoch
	Seconds float64 // that the epoch has taken so far
	Waited  float64 // the share of them in which the step waited for samples
}

// An Epoch is what became of a pass over the training samples: a line of metrics.jsonl.
type Epoch struct {
	Epoch        int     `json:"epoch"`    // from 1
	Loss         float64 `json:"loss"`     // mean over the epoch's steps, as the weights changed
	Accuracy     float64 `json:"accuracy"` // of the same, in [0, 1]; 0 for sets without classes
	Tested       int     `json:"tested"`   // samples that the next two speak of; 0 for none
	TestLoss     float64 `json:"test_loss"`
	TestAccuracy float64 `json:"test_accuracy"` // in [0, 1]
	Rate         float64 `json:"lr"`            // of the last step
	Seconds      float64 `json:"seconds"`       // of training, evaluation left out
	ImagesPerSec float64 `json:"images_per_second"`
	Waited       float64 `json:"waited"` // the share of Seconds in which a step waited for samples
}

// watched is the loss that tells one epoch from a better one.
func (e Epoch) watched() float64 {
	if e.Tested > 0 {
		return e.TestLoss
	}
	return e.Loss
}

// better reports whether an epoch did better than another: by what is right, then by the loss.
func (e Epoch) better(than Epoch) bool {
	if a, b := e.TestAccuracy, than.TestAccuracy; e.Tested > 0 && a != b {
		return a > b
	}
	return e.watched() < than.watched()
}

// A Result is the outcome of a run.
type Result struct {
	Network     *model.Network // with the weights as the last step left them
	Epochs      []Epoch        // those that were finished, before a Resume too
	Steps       int            // made in all
	Interrupted bool           // the context was cancelled before the end
	Stopped     bool           // OnStep or OnEpoch returned Stop, or a limit was reached
	Limit       string         // the limit: Patience, MaxSteps or MaxTime
	Best        int            // the epoch that did best, from 1; 0 if none was finished
	Partial     *Epoch         // of the epoch under way where a limit ended it: its evaluation
	Dir         string         // the run directory, or "" if none was asked for
	Stuck       string         // says so if the run did not move: no more right than by guessing
}

// Accuracy is the share of test samples that the network classified as labelled when it was last
// evaluated, or 0 if it never was.
func (r *Result) Accuracy() float64 {
	if r != nil && r.Partial != nil {
		return r.Partial.TestAccuracy
	}
	if r == nil || len(r.Epochs) == 0 {
		return 0
	}
	return r.Epochs[len(r.Epochs)-1].TestAccuracy
}

// maxEpochs keeps the number of steps far from overflow.
const maxEpochs = 1 << 20

// Check returns an error that names the field, what was got and what was wanted if a run could not
// begin.
func (t *Trainer) Check() error {
	switch {
	case t == nil:
		return errors.New("train: the trainer is nil")
	case t.Net == nil:
		return errors.New("train: the trainer has no network")
	case t.Epochs < 1 || t.Epochs > maxEpochs:
		return errors.Errorf("train: %d epochs, want 1 to %d", t.Epochs, maxEpochs)
	case t.Batch < 1:
		return errors.Errorf("train: the batch size is %d, want at least 1", t.Batch)
	}
	if err := t.checkNumbers(); err != nil {
		return err
	}
	for _, s := range []data.Dataset{t.Train, t.Test} {
		if s == nil && t.Train != nil {
			continue
		}
		if err := data.Check(s); err != nil {
			return errors.Wrap(err, "train")
		}
		if got, want := s.Shape(), t.Net.Input(); !got.Eq(want) {
			return errors.Errorf("train: samples are %v, want %v, the input of %s", got, want, t.Net.Name())
		}
	}
	if t.Test != nil {
		if err := data.CheckPair(t.Train, t.Test); err != nil {
			return errors.Wrap(err, "train")
		}
	}
	if n := t.Train.Len(); t.Batch > n {
		return errors.Errorf("train: the batch size is %d, want at most the number of training images, %d", t.Batch, n)
	}
	if n := t.Train.Len(); t.joined() > n/t.Batch {
		return errors.Errorf("train: %d batches of %d a step, want at most the number of training images, %d", t.joined(), t.Batch, n)
	}
	if steps := t.Train.Len() / t.Batch; steps > math.MaxInt/maxEpochs {
		return errors.Errorf("train: %d steps an epoch, want at most %d", steps, math.MaxInt/maxEpochs)
	}
	return nil
}

// checkNumbers checks those that zero leaves out.
func (t *Trainer) checkNumbers() error {
	for _, n := range []struct {
		name string
		v    int
	}{
		{"SaveEvery", t.SaveEvery}, {"Keep", t.Keep}, {"Accumulate", t.Accumulate}, {"Patience", t.Patience},
		{"MaxSteps", t.MaxSteps}, {"Workers", t.Workers}, {"MaxTime", int(t.MaxTime)}, {"SaveAfter", int(t.SaveAfter)},
	} {
		if n.v < 0 {
			return errors.Errorf("train: %s is %d, want at least 0", n.name, n.v)
		}
	}
	switch {
	case !(t.Clip >= 0):
		return errors.Errorf("train: the largest norm of gradients is %v, want a positive number, or 0 for any", t.Clip)
	case !(t.Mixup >= 0 && t.Mixup <= maxMixup):
		return errors.Errorf("train: mixup is %v, want 0 to %v", t.Mixup, maxMixup)
	case !(t.Average >= 0 && t.Average < 1):
		return errors.Errorf("train: the average's decay is %v, want at least 0 and below 1", t.Average)
	}
	if t.Mixup > 0 && t.Batch < 2 {
		return errors.Errorf("train: mixup of batches of %d, want at least 2 samples", t.Batch)
	}
	return nil
}

// maxMixup is where Beta(α, α) is a half and nothing else, for all that a float32 sees.
const maxMixup = 1e6

// joined is the number of batches that make a step.
func (t *Trainer) joined() int { return max(t.Accumulate, 1) }

// Run trains the network from the weights that it has.
//
// The samples of a Set are shuffled anew for each epoch; those of a Stream are taken as they come,
// and [data.ShuffleStream] makes another stream of it. A last batch that is short is left out of an
// epoch's training, where the next shuffle makes up for it, and never out of an evaluation. After
// each epoch the run is saved to Dir, then the epoch is noted in metrics.jsonl, then OnEpoch is
// called. When ctx is cancelled, the step is finished, the run is saved, and the result says so.
//
// The same trainer, network and kernel tier give the same weights, bit for bit, at any number of
// threads.
//
// It returns an error that names what was got and wanted for a trainer that does not hold
// together, a sample that cannot be read, a loss that is no longer a finite number, a directory
// that cannot be written or is replaced during the run. The result is nil if nothing was trained;
// otherwise it tells how far the run came, and Dir keeps what was saved last. A run that fails
// before it has saved anything leaves no files.
func (t *Trainer) Run(ctx context.Context) (*Result, error) {
	var kept []string
	if t != nil && t.Net != nil && t.recipe != nil && t.recipe.Init != "" {
		var err error
		if kept, err = initial(t.Net, t.recipe.Init); err != nil {
			return nil, err
		}
	}
	r, err := t.begin(ctx)
	if err != nil {
		return nil, err
	}
	defer r.close()
	if r.dir, err = createDir(t.Dir, r.config(), t.Force); err != nil {
		return nil, err
	}
	if len(kept) > 0 {
		r.dir.note("weights that the file does not have keep their own", "names", kept)
	}
	return r.finish(ctx)
}

// Resume goes on with the run in Dir from where it was saved last, in the middle of an epoch too.
// The weights and metrics that it ends with have the bits of a run that never stopped, times
// apart, if the trainer has the same settings, Between the same effect, and the kernels the same
// tier. Epochs may have grown.
//
// It returns an error that names the setting if one that was saved is another now, and if the
// checkpoint is missing, corrupt, or of another network or optimizer. Otherwise it is as Run.
func (t *Trainer) Resume(ctx context.Context) (*Result, error) {
	r, err := t.begin(ctx)
	if err != nil {
		return nil, err
	}
	defer r.close()
	if t.Dir == "" {
		return nil, errors.New("train: Resume: the trainer has no directory")
	}
	if r.dir, err = reopenDir(t.Dir); err != nil {
		return nil, err
	}
	r.dir.openLog()
	err = r.load()
	if err == nil {
		// A process that dies while it saves leaves weights or metrics behind the checkpoint.
		err = r.save()
		r.dir.note("goes on", "step", r.at.Steps)
	}
	if err != nil {
		r.dir.close()
		return nil, err
	}
	return r.finish(ctx)
}
