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
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/term"

	"github.com/convgrad/convgrad/internal/kernel"
	"github.com/convgrad/convgrad/internal/report"
	"github.com/convgrad/convgrad/model"
	"github.com/convgrad/convgrad/ops"
	"github.com/convgrad/convgrad/train"
	"github.com/convgrad/convgrad/train/data"
)

const usage = `Train trains a convolutional network on images, and tests it on others.

  go run ./cmd/train                                digits drawn at start, no files needed
  go run ./cmd/train -data mnist -data-dir DIR      MNIST, from its four IDX files
  go run ./cmd/train -data folder -data-dir DIR     pictures of one's own, a folder for each class
  go run ./cmd/train -model linear -epochs 5        what a network without convolutions makes of them
  go run ./cmd/train resume RUN                     go on where the run in that directory was saved last,
                                                    with the same bits as if it had never stopped. Takes
                                                    -epochs, -data-dir, -threads and -save-every
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

// A job is what the flags ask for.
type job struct {
	train.Config
	out       string
	resume    bool
	saveEvery int
	threads   int
}

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
	if err != nil {
		return fail(stderr, exitFailed, err)
	}
	if ctx.Err() != nil {
		fmt.Fprintln(out, "interrupted before the first step: nothing was begun")
		return exitSignal
	}
	t, err := j.Trainer(training, test)
	if err != nil {
		return fail(stderr, exitUsage, err)
	}
	own, begin := j.out == "", t.Run
	if j.resume {
		begin = t.Resume
	}
	if own {
		name := time.Now().Format("20060102-150405") + "-" + j.Data + "-" + j.Model
		if j.out, err = train.NewDir(runsLocation, name); err != nil {
			return fail(stderr, exitFailed, err)
		}
	}
	fmt.Fprintf(out, "%s: %d training and %d test images %v, %d classes\n\n%v\n%s, %d epochs of batches of %d, %s from a rate of %v, seed %d; %d threads, %s kernels\n\n",
		j.Data, training.Len(), test.Len(), training.Shape(), len(training.Classes()), t.Net.Summary(),
		j.Loss, j.Epochs, j.Batch, j.Optimizer, j.Rate, j.Seed, ops.Threads(), ops.Tier())

	show := &console{w: out, terminal: term.IsTerminal(int(stdout.Fd()))}
	t.Dir, t.SaveEvery, t.OnStep, t.OnEpoch = j.out, j.saveEvery, show.step, show.epoch
	res, err := begin(ctx)
	if err != nil {
		if own {
			_ = os.Remove(j.out) // which leaves a directory that holds something
		}
		return fail(stderr, exitFailed, err)
	}
	if res.Interrupted {
		fmt.Fprintf(out, "\ninterrupted after %d steps\nweights of the last step in %s\n", res.Steps, filepath.Join(j.out, train.WeightsFile))
		return exitSignal
	}
	if err := j.report(test); err != nil {
		fmt.Fprintln(stderr, "train: there is no report:", err)
	}
	fmt.Fprintf(out, "\ntest accuracy %.2f %%\nweights, metrics and report.html in %s\n", 100*res.Accuracy(), j.out)
	switch {
	case errors.Is(out.err, syscall.EPIPE):
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
	if j.SkipDamaged {
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

// parse reads the flags. A status other than keepRunning ends the program.
func parse(args []string, stdout, stderr io.Writer) (j job, status int) {
	f := j.flags()
	if len(args) > 0 && args[0] == "resume" {
		j.resume, args = true, args[1:]
		if len(args) > 0 && !strings.HasPrefix(args[0], "-") {
			j.out, args = args[0], args[1:]
		}
	}
	switch err := f.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		fmt.Fprint(stdout, usage)
		f.SetOutput(stdout)
		f.PrintDefaults()
		return j, 0
	case err != nil:
		return j, fail(stderr, exitUsage, fmt.Errorf("%v; -h lists the flags", err))
	}
	if j.resume && j.out == "" && f.NArg() > 0 { // the flags came first
		j.out = f.Arg(0)
		if err := f.Parse(f.Args()[1:]); err != nil {
			return j, fail(stderr, exitUsage, fmt.Errorf("%v; -h lists the flags", err))
		}
	}
	if j.resume {
		if err := j.load(f); err != nil {
			return j, fail(stderr, exitUsage, err)
		}
	}
	if err := j.check(f); err != nil {
		return j, fail(stderr, exitUsage, err)
	}
	if j.threads > 0 {
		ops.SetThreads(j.threads)
	}
	return j, keepRunning
}

// flags are those of training. They are the job's fields: what is in these is what they say.
func (j *job) flags() *flag.FlagSet {
	f := flag.NewFlagSet("train", flag.ContinueOnError)
	f.SetOutput(io.Discard) // its errors come with the whole usage
	var names, files []string
	for _, s := range data.Sources() {
		names = append(names, s.Name+", "+s.About)
		if s.Files != "" {
			files = append(files, s.Name)
		}
	}
	f.StringVar(&j.Data, "data", "digits", "the `dataset`: "+strings.Join(names, "; "))
	f.StringVar(&j.DataDir, "data-dir", "", "the `directory` with the dataset's files, for "+strings.Join(files, ", "))
	f.IntVar(&j.ImageSize, "image-size", 0, "height and width of a sample, for folder, in `pixels`; "+
		"0 for the pictures' own, if all have one size")
	f.BoolVar(&j.SkipDamaged, "skip-damaged", false, "leave out what is no picture or damaged, and say so; it is an error otherwise")
	f.StringVar(&j.Model, "model", "article", "the `network`: "+strings.Join(model.Names(), ", "))
	f.StringVar(&j.Loss, "loss", "cross-entropy", "the `loss`: cross-entropy, or mse for the article's ½ Σ (t − y)² of an image, the mean over the batch")
	f.IntVar(&j.Epochs, "epochs", 3, "passes over the training images")
	f.IntVar(&j.Batch, "batch", 32, "images a step")
	f.Float64Var(&j.Rate, "lr", 0, "the largest learning `rate`; 0 for what is usual for the network and the optimizer")
	f.StringVar(&j.Optimizer, "optimizer", "adam", "the `optimizer`: adam, rmsprop, or sgd")
	f.Var(optional{&j.Momentum}, "momentum", "of sgd (default 0.9)")
	f.Float64Var(&j.Decay, "weight-decay", 0, "of sgd and adam, each step and unit of the rate")
	f.StringVar(&j.Schedule, "schedule", "cosine", "how the learning rate changes: "+strings.Join(train.Schedules(), ", "))
	f.Float64Var(&j.WarmUp, "warmup-epochs", 0, "`epochs` over which the learning rate rises to that of the schedule")
	f.Uint64Var(&j.Seed, "seed", 1, "everything random comes from it: the same seed gives the same weights")
	f.StringVar(&j.out, "out", "", "the run `directory`, which must be new or empty; by default a new one in runs")
	f.IntVar(&j.saveEvery, "save-every", 0, "`steps` after which to save in the middle of an epoch too; 0 for never")
	f.IntVar(&j.threads, "threads", 0, "threads to compute on, 0 for one a core; the weights do not depend on it")
	return f
}

// An optional is a flag that may be left out.
type optional struct{ to **float64 }

// Set implements flag.Value.
func (o optional) Set(s string) error {
	v, err := strconv.ParseFloat(s, 64)
	*o.to = &v
	return err
}

// String implements flag.Value.
func (o optional) String() string {
	if o.to == nil || *o.to == nil {
		return ""
	}
	return strconv.FormatFloat(**o.to, 'g', -1, 64)
}

// repeat is the command that repeats a run: the flags that are not as they are without being given.
func repeat(c train.Config) string {
	j := &job{}
	f := j.flags()
	j.Config = c
	words := []string{"go run ./cmd/train"}
	f.VisitAll(func(g *flag.Flag) {
		v := g.Value.String()
		if v == g.DefValue {
			return
		}
		if strings.ContainsFunc(v, func(r rune) bool { return !strings.ContainsRune(plainRunes, r) }) {
			v = "'" + strings.ReplaceAll(v, "'", `'\''`) + "'"
		}
		words = append(words, "-"+g.Name+"="+v)
	})
	return strings.Join(words, " ")
}

// plainRunes need no quotes in a shell.
const plainRunes = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-+=./:,%@"

// load takes the recipe of the run that goes on. What it takes of the flags changes no bits.
func (j *job) load(f *flag.FlagSet) error {
	if j.out == "" {
		return errors.New("resume: there is no run directory, want: train resume RUN")
	}
	c, err := train.ReadConfig(j.out)
	if err != nil {
		return err
	}
	f.Visit(func(given *flag.Flag) {
		switch given.Name {
		case "epochs":
			c.Epochs = j.Epochs
		case "data-dir":
			c.DataDir = j.DataDir
		case "skip-damaged":
			c.SkipDamaged = j.SkipDamaged
		case "threads", "save-every":
		default:
			if err == nil {
				err = fmt.Errorf("resume: -%s would change the bits of the run in %s, want it left out", given.Name, j.out)
			}
		}
	})
	j.Config = c
	return err
}

// check returns an error for flags that make no sense whatever the data.
func (j *job) check(f *flag.FlagSet) error {
	if f.NArg() > 0 {
		return fmt.Errorf("got the argument %q, want flags only", f.Arg(0))
	}
	if j.threads < 0 {
		return fmt.Errorf("-threads is %d, want at least 0", j.threads)
	}
	if j.ImageSize < 0 {
		return fmt.Errorf("-image-size is %d, want at least 0", j.ImageSize)
	}
	if j.saveEvery < 0 {
		return fmt.Errorf("-save-every is %d, want at least 0", j.saveEvery)
	}
	source, err := data.Find(j.Data)
	if err != nil {
		return err
	}
	if err := source.CheckOptions(data.Options{Dir: j.DataDir}); err != nil {
		return err
	}
	if j.DataDir != "" { // to be found from elsewhere, when the run is resumed
		if j.DataDir, err = filepath.Abs(j.DataDir); err != nil {
			return err
		}
	}
	if j.out != "" && !j.resume {
		if err := train.CheckDir(j.out); err != nil {
			return err
		}
	}
	return j.Config.Check()
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

// A console shows progress: a line that is written over on a terminal, a line now and then
// elsewhere.
type console struct {
	w        io.Writer
	terminal bool
	last     time.Time
}

// step is the trainer's OnStep.
func (c *console) step(m train.Moment) error {
	wait := 5 * time.Second
	if c.terminal {
		wait = 100 * time.Millisecond
	}
	if c.last.IsZero() {
		c.last = time.Now()
	}
	if time.Since(c.last) < wait {
		return nil
	}
	c.last = time.Now()
	if c.terminal {
		fmt.Fprintf(c.w, "\r\x1b[Kepoch %d: %d of %d images, loss %.4f", m.Epoch, m.Samples, m.Total, m.Loss)
	} else {
		fmt.Fprintf(c.w, "epoch %d: %d of %d images, loss %.4f\n", m.Epoch, m.Samples, m.Total, m.Loss)
	}
	return nil
}

// epoch is the trainer's OnEpoch.
func (c *console) epoch(e train.Epoch, _ *model.Network) error {
	if c.terminal {
		fmt.Fprint(c.w, "\r\x1b[K")
	}
	fmt.Fprintf(c.w, "epoch %d: loss %.4f, accuracy %.2f %%; test loss %.4f, test accuracy %.2f %%; %.1f s, %.0f images/s\n",
		e.Epoch, e.Loss, 100*e.Accuracy, e.TestLoss, 100*e.TestAccuracy, e.Seconds, e.ImagesPerSec)
	return nil
}
