package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/convgrad/convgrad/model"
	"github.com/convgrad/convgrad/ops"
	"github.com/convgrad/convgrad/train"
	"github.com/convgrad/convgrad/train/data"
)

// A job is what the flags ask for.
type job struct {
	train.Config
	out, name      string
	force, resume  bool
	batchGiven     bool
	saveEvery      interval
	keep, patience int
	maxSteps       int
	maxTime        time.Duration
	threads        int
	workers        int
	logEvery       int
	dryRun         bool
	quiet, asLines bool
}

// An interval is a number of steps, or a duration.
type interval struct {
	steps int
	after time.Duration
}

// Set implements flag.Value.
func (i *interval) Set(s string) (err error) {
	*i = interval{}
	if i.steps, err = strconv.Atoi(s); err == nil {
		if i.steps < 0 {
			return errors.New("want at least 0")
		}
		return nil
	}
	if i.after, err = time.ParseDuration(s); err != nil || i.after < 0 {
		return errors.New("want steps, as 500, or a duration, as 10m")
	}
	return nil
}

// String implements flag.Value.
func (i *interval) String() string {
	if i == nil || i.after == 0 {
		if i == nil || i.steps == 0 {
			return "0"
		}
		return strconv.Itoa(i.steps)
	}
	return i.after.String()
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

// flags are those of training. They are the job's fields: what is in these is what they say.
func (j *job) flags() *flag.FlagSet {
	f := flag.NewFlagSet("train", flag.ContinueOnError)
	f.SetOutput(io.Discard) // its errors come with the whole usage
	j.dataFlags(f)
	j.methodFlags(f)
	j.runFlags(f)
	return f
}

const refuseUsage = "fail if a file is no picture or damaged, or a class has none; they are named and left out otherwise"

// dataFlags say what is trained on.
func (j *job) dataFlags(f *flag.FlagSet) {
	var names, files []string
	for _, s := range data.Sources() {
		names = append(names, s.Name+", "+s.About)
		if s.Files != "" {
			files = append(files, s.Name)
		}
	}
	f.StringVar(&j.Data, "data", "digits", "the `dataset`: "+strings.Join(names, "; "))
	f.StringVar(&j.DataDir, "data-dir", "", "the `directory` with the dataset's files, for "+strings.Join(files, ", ")+
		"; those that train data -fetch has got need none")
	f.IntVar(&j.ImageSize, "image-size", 0, "height and width of a sample, for folder, in `pixels`; "+
		"0 for the pictures' own, if all have one size of up to 256 a side, and 32 otherwise")
	f.StringVar(&j.Fit, "fit", "", "how a picture gets that size: "+strings.Join(data.Fits(), ", ")+" (default "+data.Fits()[0]+")")
	f.Float64Var(&j.ValFraction, "val-fraction", 0, "the `share` that is held back to test with, for a folder without train and val (default 0.2)")
	f.BoolVar(&j.RefuseDamaged, "refuse-damaged", false, refuseUsage)
	f.Float64Var(&j.Fraction, "fraction", 0, "the `share` of the training samples to train on (default all)")
	f.IntVar(&j.OverfitBatches, "overfit-batches", 0, "train and test on so many `batches` and nothing else: the loss must go to 0")
	f.BoolVar(&j.Flip, "hflip", false, "mirror every second sample left to right")
	f.Float64Var(&j.Shift, "shift", 0, "shift samples by up to so many `pixels`")
	f.IntVar(&j.Crop, "crop", 0, "put so many `pixels` around samples, and crop them to their size")
	f.Float64Var(&j.Rotate, "rotate", 0, "turn samples by up to so many `degrees`")
	f.Float64Var(&j.Mixup, "mixup", 0, "blend pairs of samples, in shares from Beta(`α`, α)")
	f.StringVar(&j.ClassWeights, "class-weights", "", "in the loss, as `numbers` with commas, or balanced: rare classes weigh more")
}

// methodFlags say how it is trained.
func (j *job) methodFlags(f *flag.FlagSet) {
	f.StringVar(&j.Model, "model", "article", "the `network`: "+strings.Join(model.Names(), ", "))
	f.StringVar(&j.Init, "init", "", "a `file` of weights to begin from, safetensors or a checkpoint of PyTorch's, as far as names and shapes agree")
	f.StringVar(&j.Freeze, "freeze", "", "`layers` that are not trained, by name, with commas")
	f.StringVar(&j.Loss, "loss", "cross-entropy", "the `loss`: cross-entropy, or mse for the article's ½ Σ (t − y)² of an image, the mean over the batch")
	f.Float64Var(&j.Smoothing, "smoothing", 0, "the `part` of a label's probability that is spread over all classes")
	f.IntVar(&j.Epochs, "epochs", 0, "passes over the training images")
	f.IntVar(&j.Batch, "batch", 0, "images a batch; by default the network's, or fewer where the training images are few")
	f.IntVar(&j.Accumulate, "accumulate", 0, "`batches` that a step joins (default 1)")
	f.StringVar(&j.Optimizer, "optimizer", "", "the `optimizer`: "+strings.Join(train.Optimizers(), ", "))
	f.Float64Var(&j.Rate, "lr", 0, "the largest learning `rate`")
	f.Var(optional{&j.Momentum}, "momentum", "of sgd and nesterov (default 0.9)")
	f.Float64Var(&j.Decay, "weight-decay", 0, "each step and unit of the rate, of all but biases and norms")
	f.BoolVar(&j.DecayAll, "decay-all", false, "biases and norms decay too")
	f.Float64Var(&j.Clip, "clip-grad", 0, "the largest `norm` of a step's gradients (default any)")
	f.Float64Var(&j.Average, "ema", 0, "the `decay` of a moving average of the weights, which is then tested and saved")
	f.StringVar(&j.Schedule, "schedule", "", "how the learning rate changes: "+strings.Join(train.Schedules(), ", "))
	f.Float64Var(&j.WarmUp, "warmup-epochs", 0, "`epochs` over which the learning rate rises to that of the schedule")
	f.Float64Var(&j.MinRate, "min-lr", 0, "the `rate` below which the schedule does not fall")
	f.Uint64Var(&j.Seed, "seed", 1, "everything random comes from it: the same seed gives the same weights")
}

// runFlags change no bits of what is trained, and resume takes them all but the first four.
func (j *job) runFlags(f *flag.FlagSet) {
	f.StringVar(&j.out, "out", "", "the run `directory`, which must be new or empty; by default a new one in runs")
	f.StringVar(&j.name, "name", "", "the run's name, for a directory runs/`NAME`")
	f.BoolVar(&j.force, "force", false, "delete the run that is in the directory")
	f.BoolVar(&j.dryRun, "dry-run", false, "say what would be trained, make one step, and write nothing")
	f.Var(&j.saveEvery, "save-every", "`steps`, or a duration such as 10m, after which to save in the middle of an epoch too; 0 for never")
	f.IntVar(&j.keep, "keep", 0, "checkpoints of earlier `epochs` to keep")
	f.IntVar(&j.patience, "patience", 0, "end after so many `epochs` that were no better; 0 for never")
	f.IntVar(&j.maxSteps, "max-steps", 0, "end after so many `steps`; 0 for no limit")
	f.DurationVar(&j.maxTime, "max-time", 0, "end after that `time`, such as 30m; 0 for no limit")
	f.IntVar(&j.threads, "threads", 0, "threads to compute on, 0 for one a core; the weights do not depend on it")
	f.IntVar(&j.workers, "workers", 0, "goroutines that read samples, 0 for one a core; the weights do not depend on it")
	f.IntVar(&j.logEvery, "log-every", 0, "`steps` after which to print a line; 0 for one each five seconds")
	f.BoolVar(&j.quiet, "quiet", false, "print errors only")
	f.BoolVar(&j.asLines, "json", false, "print lines of JSON: one for each epoch, and one for the result")
}

// resumable are the flags that resume takes: they change no bits of what was trained so far.
var resumable = map[string]bool{
	"epochs": true, "data-dir": true, "refuse-damaged": true, "save-every": true, "keep": true, "patience": true, "max-steps": true,
	"max-time": true, "threads": true, "workers": true, "log-every": true, "quiet": true, "json": true,
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
	case errors.Is(err, flag.ErrHelp) && j.resume:
		fmt.Fprint(stdout, resumeUsage)
		f.VisitAll(func(g *flag.Flag) {
			if resumable[g.Name] {
				name, text := flag.UnquoteUsage(g)
				fmt.Fprintf(stdout, "  -%s %s\n    \t%s\n", g.Name, name, text)
			}
		})
		return j, 0
	case errors.Is(err, flag.ErrHelp):
		fmt.Fprint(stdout, usage)
		f.SetOutput(stdout)
		f.PrintDefaults()
		fmt.Fprint(stdout, recipesHelp())
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
	var err error
	if j.resume {
		err = j.load(f)
	} else {
		err = j.complete(f)
	}
	if err == nil {
		err = j.check(f)
	}
	if err != nil {
		return j, fail(stderr, exitUsage, err)
	}
	if j.threads > 0 {
		ops.SetThreads(j.threads)
	}
	return j, keepRunning
}

// complete takes what is usual for the network and the data where no flag says otherwise.
func (j *job) complete(f *flag.FlagSet) error {
	given := map[string]string{}
	f.Visit(func(g *flag.Flag) { given[g.Name] = g.Value.String() })
	_, j.batchGiven = given["batch"]
	j.Config = train.Recipe(j.Data, j.Model, j.Optimizer, j.Loss)
	if _, ok := given["momentum"]; !ok && j.Momentum != nil {
		j.Momentum = new(*j.Momentum)
	}
	for name, v := range given {
		if err := f.Set(name, v); err != nil {
			return err
		}
	}
	return nil
}

// fewer halves a batch that no flag asks for, until n training samples make four steps an epoch:
// the recipes are for more than somebody's first folder of pictures.
func (j *job) fewer(n int) {
	if j.batchGiven || j.resume || j.OverfitBatches > 0 {
		return
	}
	if j.Fraction > 0 {
		n = int(j.Fraction * float64(n))
	}
	for j.Batch > 1 && n/j.Batch < 4*max(j.Accumulate, 1) {
		j.Batch /= 2
	}
}

// recipesHelp lists what is usual for each network.
func recipesHelp() string {
	var b strings.Builder
	b.WriteString("\nWithout the flags that say otherwise:\n")
	for _, name := range model.Names() {
		c := train.Recipe("", name, "", "")
		fmt.Fprintf(&b, "  %-20s -epochs %d -batch %d -optimizer %s -lr %v -schedule %s -weight-decay %v -smoothing %v -ema %v\n",
			name, c.Epochs, c.Batch, c.Optimizer, c.Rate, c.Schedule, c.Decay, c.Smoothing, c.Average)
	}
	b.WriteString("MNIST's digits are shifted by up to 2 pixels, and pictures mirrored and cropped, for the networks that gain by it.\n")
	return b.String()
}

// repeat is the command that repeats a run: the flags that are not as they are without being given.
func repeat(c train.Config) string {
	usual := &job{Config: train.Recipe(c.Data, c.Model, c.Optimizer, c.Loss)}
	without := usual.flags()
	usual.Config = train.Recipe(c.Data, c.Model, c.Optimizer, c.Loss)
	usual.Data, usual.Model, usual.Loss = "digits", "article", "cross-entropy"
	usual.Optimizer = train.Recipe(c.Data, c.Model, "", c.Loss).Optimizer
	j := &job{}
	f := j.flags()
	j.Config = c
	words := []string{"go run ./cmd/train"}
	f.VisitAll(func(g *flag.Flag) {
		v := g.Value.String()
		if v == without.Lookup(g.Name).Value.String() {
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
		case "refuse-damaged":
			c.RefuseDamaged = j.RefuseDamaged
		}
		if err == nil && !resumable[given.Name] {
			err = fmt.Errorf("resume: -%s would change the bits of the run in %s, want it left out", given.Name, j.out)
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
	for _, n := range []struct {
		name string
		v    int
	}{
		{"threads", j.threads}, {"workers", j.workers}, {"keep", j.keep}, {"patience", j.patience}, {"max-steps", j.maxSteps},
		{"max-time", int(j.maxTime)}, {"log-every", j.logEvery}, {"image-size", j.ImageSize},
	} {
		if n.v < 0 {
			return fmt.Errorf("-%s is %d, want at least 0", n.name, n.v)
		}
	}
	if j.name != "" && (j.out != "" || j.name != filepath.Base(j.name) || j.name == "." || j.name == "..") {
		return fmt.Errorf("-name is %q and -out %q, want one of them, and a name without directories", j.name, j.out)
	}
	source, err := data.Find(j.Data)
	if err != nil {
		return err
	}
	if err := source.CheckOptions(data.Options{Dir: j.DataDir}); err != nil {
		return err
	}
	// They are to be found from elsewhere, when the run is resumed.
	for _, path := range []*string{&j.DataDir, &j.Init} {
		if *path == "" {
			continue
		}
		if *path, err = filepath.Abs(*path); err != nil {
			return err
		}
	}
	if j.name != "" {
		j.out = filepath.Join(runsLocation, j.name)
	}
	if j.out != "" && !j.resume && !j.force && !j.dryRun {
		if err := train.CheckDir(j.out); err != nil {
			return err
		}
	}
	return j.Config.Check()
}
