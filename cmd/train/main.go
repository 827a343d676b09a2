// Command train trains a convolutional network on images and says how well it does on images that
// it has not seen.
//
//	go run ./cmd/train
//	go run ./cmd/train -data mnist -data-dir DIR
//
// Its flags and exit codes are listed by -h.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/convgrad/convgrad/internal/kernel"
	"github.com/convgrad/convgrad/internal/report"
	"github.com/convgrad/convgrad/ops"
	"github.com/convgrad/convgrad/train"
	"github.com/convgrad/convgrad/train/data"
)

const usage = `Train trains a convolutional network on images, and tests it on others.

  go run ./cmd/train                                digits drawn at start, no files needed
  go run ./cmd/train -data mnist -data-dir DIR      MNIST, from its four IDX files; without -data-dir
                                                    from where "train data mnist -fetch" has put them
  go run ./cmd/train -data folder -data-dir DIR     pictures of one's own, a folder for each class
  go run ./cmd/train -model linear -epochs 5        what a network without convolutions makes of them
  go run ./cmd/train resume RUN                     go on where the run in that directory was saved last,
                                                    with the same bits as if it had never stopped, or
                                                    add epochs to one that has ended
  go run ./cmd/train data [NAME [-fetch]]           what data sets there are, and getting one
  go run ./cmd/train VERB RUN …                     what to do with a run that was made; VERB -h says more:
  	train eval RUN                                  how well it does on labelled samples
  	train predict RUN FILE|DIR…                     the most probable classes of pictures
  	train inspect RUN|FILE                          layers, shapes, costs, configuration, metrics
  	train export RUN -o FILE                        the network as a file for others
  	train report RUN                                a page of HTML about it, as the run has written itself
  	train serve RUN                                 predictions over HTTP, and a page to try them

Exit codes:
  0    the whole run was made
  1    it failed: the last line says why
  2    flags, or flags and data, that make no sense: nothing was begun
  3    the whole run was made, and the network has not learned
  130  ended early and saved: an interrupt, SIGTERM, SIGHUP, or a closed pipe on standard output.
       The step under way is finished first; a second signal ends the program at once

Flags:
`

const resumeUsage = `train resume RUN [flags]: go on where a run was saved last

  train resume runs/pets                            to its end, with the same bits as if it had never stopped
  train resume runs/pets -epochs 25                 to that many epochs in all

With more epochs than the run was to have, what follows is on the schedule of the longer run, in which the
learning rate may rise again. What would change the bits of what was trained so far is no flag here.
The exit codes are those of train -h.

Flags:
`

// The exit codes.
const (
	exitFailed   = 1
	exitUsage    = 2
	exitStuck    = 3
	exitSignal   = 130
	keepRunning  = -1
	runsLocation = "runs"
)

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }

func run(args []string, stdout *os.File, stderr io.Writer) int {
	if len(args) > 0 {
		if v, ok := verbs[args[0]]; ok {
			return v.run(args[1:], stdout, stderr)
		}
	}
	ctx, stop := signals()
	defer stop()
	out := &output{w: stdout, broken: stop}
	j, status := parse(args, out, stderr)
	if status != keepRunning {
		return status
	}
	for _, err := range []error{kernel.TierError(), kernel.ThreadsError()} {
		if err != nil {
			fmt.Fprintln(stderr, "train:", err)
		}
	}
	training, test, err := data.Open(j.Data, j.options(stderr))
	if refused := (*data.RefusedError)(nil); errors.As(err, &refused) {
		err = fmt.Errorf("%w; without -refuse-damaged they are left out", err)
	}
	if err != nil {
		return fail(stderr, exitFailed, err)
	}
	j.fewer(training.Len())
	show := j.console(out, stdout)
	if ctx.Err() != nil {
		show.say("interrupted before the first step: nothing was begun\n")
		return exitSignal
	}
	t, err := j.Trainer(training, test)
	if err != nil {
		return fail(stderr, exitUsage, err)
	}
	t.Force, t.SaveEvery, t.SaveAfter, t.Keep = j.force, j.saveEvery.steps, j.saveEvery.after, j.keep
	t.Patience, t.MaxSteps, t.MaxTime, t.Workers = j.patience, j.maxSteps, j.maxTime, j.workers
	t.OnStep, t.OnEpoch = show.step, show.epoch
	show.say("%s: %d training and %d test images %v, %d classes\n\n%v\n%s, %d epochs of batches of %d, %s from a rate of %v, seed %d; %d threads, %s kernels\n\n",
		j.Data, t.Train.Len(), t.Test.Len(), t.Train.Shape(), len(t.Train.Classes()), t.Net.Summary(),
		j.Loss, j.Epochs, j.Batch, j.Optimizer, j.Rate, j.Seed, ops.Threads(), ops.Tier())
	if j.dryRun {
		return j.try(ctx, t, show, stderr)
	}
	return j.train(ctx, t, show, stderr)
}

// try makes one step and keeps nothing.
func (j *job) try(ctx context.Context, t *train.Trainer, show *console, stderr io.Writer) int {
	t.OnStep = func(m train.Moment) error {
		show.say("a dry run: one step was made, with the loss %.4f; nothing was written\n", m.Loss)
		return train.Stop
	}
	if _, err := t.Run(ctx); err != nil {
		return fail(stderr, exitFailed, err)
	}
	return 0
}

// train runs the trainer and says how it went.
func (j *job) train(ctx context.Context, t *train.Trainer, show *console, stderr io.Writer) int {
	own, begin := j.out == "", t.Run
	if j.resume {
		begin = t.Resume
	}
	if own {
		name := time.Now().Format("20060102-150405") + "-" + j.Data + "-" + j.Model
		var err error
		if j.out, err = train.NewDir(runsLocation, name); err != nil {
			return fail(stderr, exitFailed, err)
		}
	}
	t.Dir = j.out
	res, err := begin(ctx)
	show.clear()
	if err != nil {
		if own {
			_ = os.Remove(j.out) // which leaves a directory that holds something
		}
		return fail(stderr, exitFailed, err)
	}
	if !res.Interrupted {
		test, _ := t.Test.(data.Set) // as it was opened
		if err := j.report(test); err != nil {
			fmt.Fprintln(stderr, "train: there is no report:", err)
		}
	}
	show.result(res)
	switch out := show.out; {
	case res.Interrupted || errors.Is(out.err, syscall.EPIPE):
		return exitSignal
	case out.err != nil:
		return fail(stderr, exitFailed, fmt.Errorf("the output could not be written: %v; weights and metrics are in %s", out.err, j.out))
	case res.Stuck != "":
		return fail(stderr, exitStuck, errors.New(res.Stuck))
	}
	return 0
}

// report writes the page of a run that has ended.
func (j *job) report(test data.Set) error {
	r, err := train.OpenRun(j.out)
	if err != nil {
		return err
	}
	return writeReport(r, test, filepath.Join(j.out, report.File))
}

// options are what the dataset is opened with.
func (j *job) options(stderr io.Writer) data.Options {
	o := j.DataOptions()
	if !j.RefuseDamaged {
		o.Skipped = func(path string, err error) { fmt.Fprintf(stderr, "train: left out: %s: %v\n", path, err) }
	}
	return o
}

// signals returns a context that the first signal cancels. A second one has its usual effect.
// Writing to a closed pipe becomes an error, where it would end the program without a word.
func signals() (context.Context, func()) {
	signal.Ignore(syscall.SIGPIPE)
	which := []os.Signal{os.Interrupt, syscall.SIGTERM}
	if !signal.Ignored(syscall.SIGHUP) { // by nohup
		which = append(which, syscall.SIGHUP)
	}
	ctx, stop := signal.NotifyContext(context.Background(), which...)
	context.AfterFunc(ctx, stop)
	return ctx, stop
}

// An output is standard output, which the run survives: after the first error, which it keeps, it
// takes everything and writes nothing. A closed pipe ends the run as a signal does; a full disk
// does not.
type output struct {
	w      io.Writer
	err    error
	broken func()
}

// Write implements io.Writer.
func (o *output) Write(b []byte) (int, error) {
	if o.err == nil {
		if _, o.err = o.w.Write(b); errors.Is(o.err, syscall.EPIPE) {
			o.broken()
		}
	}
	return len(b), nil
}

// fail prints the one line that says why, and returns the status.
func fail(stderr io.Writer, status int, err error) int {
	s := err.Error()
	for _, prefix := range []string{"train: ", "data: "} {
		s = strings.TrimPrefix(s, prefix)
	}
	fmt.Fprintln(stderr, "train:", s)
	return status
}
