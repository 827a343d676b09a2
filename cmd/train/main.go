// Command train trains a convolutional network on images of digits and says how well it does on images that it has not seen.
//
//	go run ./cmd/train
//	go run ./cmd/train -data mnist -data-dir DIR
//
// Its exit status is 0 after a whole run, 1 after a failure, 2 for flags that make no sense, and 130 when a signal ended the run early: the first interrupt finishes the step and saves, a second one ends
// the program at once.
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
	"strings"
	"syscall"
	"time"

	"golang.org/x/term"

	"github.com/convgrad/convgrad/internal/kernel"
	"github.com/convgrad/convgrad/model"
	"github.com/convgrad/convgrad/ops"
	"github.com/convgrad/convgrad/train"
)

const usage = `Train trains a convolutional network on images of digits, and tests it on others.

  go run ./cmd/train                                digits drawn at start, no files needed
  go run ./cmd/train -data mnist -data-dir DIR      MNIST, from its four IDX files
  go run ./cmd/train -model linear -epochs 5        what a network without convolutions makes of them

Flags:
`

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }

func run(args []string, stdout *os.File, stderr io.Writer) int {
	c, dataDir, out, status := parse(args, stderr)
	if status >= 0 {
		return status
	}
	for _, err := range []error{kernel.TierError(), kernel.ThreadsError()} {
		if err != nil {
			fmt.Fprintln(stderr, "train:", err)
		}
	}
	data, err := load(c, dataDir)
	if err != nil {
		return fail(stderr, 1, err)
	}
	net, err := model.ByName(c.Model, data.Input, len(data.Classes), model.Options{})
	if err != nil {
		return fail(stderr, 2, err)
	}
	own := out == ""
	if own {
		if out, err = train.NewDir("runs", time.Now().Format("20060102-150405")+"-"+c.Data+"-"+c.Model); err != nil {
			return fail(stderr, 1, err)
		}
	}
	fmt.Fprintf(stdout, "%v\n\n%v\n%s, %d epochs of batches of %d, %s from a rate of %v, seed %d; %d threads, %s kernels\n\n",
		data, net.Summary(), c.Loss, c.Epochs, c.Batch, c.Optimizer, c.Rate, c.Seed, ops.Threads(), ops.Tier())

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // gives a second signal its usual effect back
	res, err := train.Run(ctx, c, data, out, &console{w: stdout, terminal: term.IsTerminal(int(stdout.Fd()))})
	if err != nil {
		if own {
			os.Remove(out) // which leaves a directory that holds something
		}
		return fail(stderr, 1, err)
	}
	if res.Interrupted {
		fmt.Fprintf(stdout, "\ninterrupted after %d steps\nweights of the last step in %s\n", res.Steps, filepath.Join(out, train.WeightsFile))
		return 130
	}
	fmt.Fprintf(stdout, "\ntest accuracy %.2f %%\nweights and metrics in %s\n", 100*res.Accuracy(), out)
	return 0
}

// parse reads the flags. A status of 0 or more ends the program.
func parse(args []string, stderr io.Writer) (c train.Config, dataDir, out string, status int) {
	f := flag.NewFlagSet("train", flag.ContinueOnError)
	f.SetOutput(stderr)
	f.Usage = func() { fmt.Fprint(stderr, usage); f.PrintDefaults() }
	f.StringVar(&c.Data, "data", "digits", "the `dataset`: digits, drawn at start, or mnist, from -data-dir")
	f.StringVar(&dataDir, "data-dir", "", "the `directory` of MNIST's four IDX files, plain or gzipped")
	f.StringVar(&c.Model, "model", "article", "the `network`: "+strings.Join(model.Names(), ", "))
	f.StringVar(&c.Loss, "loss", "cross-entropy", "the `loss`: cross-entropy, or mse for the article's ½ Σ (t − y)² of an image, the mean over the batch")
	f.IntVar(&c.Epochs, "epochs", 3, "passes over the training images")
	f.IntVar(&c.Batch, "batch", 32, "images a step")
	f.Float64Var(&c.Rate, "lr", 0, "the learning `rate` at the first step, from where it falls to 0; 0 for the optimizer's own")
	f.StringVar(&c.Optimizer, "optimizer", "adam", "the `optimizer`: adam, rmsprop, or sgd with momentum")
	f.Uint64Var(&c.Seed, "seed", 1, "everything random comes from it: the same seed gives the same weights")
	f.StringVar(&out, "out", "", "the run `directory`, which must be new or empty; by default a new one in runs")
	threads := f.Int("threads", 0, "threads to compute on, 0 for one a core; the weights do not depend on it")
	switch err := f.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		return c, "", "", 0
	case err != nil:
		return c, "", "", 2
	}
	wrong := c.Check()
	switch {
	case f.NArg() > 0:
		wrong = fmt.Errorf("got the argument %q, want flags only", f.Arg(0))
	case c.Data != "digits" && c.Data != "mnist":
		wrong = fmt.Errorf("-data is %q, want digits or mnist", c.Data)
	case c.Data == "mnist" && dataDir == "":
		wrong = errors.New("-data mnist without -data-dir, want the directory of its IDX files")
	case c.Data == "digits" && dataDir != "":
		wrong = fmt.Errorf("-data-dir is %q, want none for digits, which are drawn", dataDir)
	case *threads < 0:
		wrong = fmt.Errorf("-threads is %d, want at least 0", *threads)
	case wrong == nil && out != "":
		wrong = train.CheckDir(out)
	}
	if wrong != nil {
		return c, "", "", fail(stderr, 2, wrong)
	}
	if *threads > 0 {
		ops.SetThreads(*threads)
	}
	return c, dataDir, out, -1
}

// The embedded dataset's size: enough for 97 % in less than a minute.
const drawnTraining, drawnTest = 20000, 4000

// load makes or reads the dataset.
func load(c train.Config, dir string) (*train.Dataset, error) {
	if c.Data == "mnist" {
		return train.LoadMNIST(dir)
	}
	return train.DrawDigits(drawnTraining, drawnTest, c.Seed)
}

func fail(stderr io.Writer, status int, err error) int {
	fmt.Fprintln(stderr, "train:", strings.TrimPrefix(err.Error(), "train: "))
	return status
}

// A console shows progress: a line that is written over on a terminal, a line now and then elsewhere.
type console struct {
	w        io.Writer
	terminal bool
	last     time.Time
}

// Step implements train.Progress.
func (c *console) Step(epoch, done, total int, loss float64) {
	wait := 5 * time.Second
	if c.terminal {
		wait = 100 * time.Millisecond
	}
	if c.last.IsZero() {
		c.last = time.Now()
	}
	if time.Since(c.last) < wait {
		return
	}
	c.last = time.Now()
	if c.terminal {
		fmt.Fprintf(c.w, "\r\x1b[Kepoch %d: %d of %d images, loss %.4f", epoch, done, total, loss)
	} else {
		fmt.Fprintf(c.w, "epoch %d: %d of %d images, loss %.4f\n", epoch, done, total, loss)
	}
}

// Epoch implements train.Progress.
func (c *console) Epoch(e train.Epoch) {
	if c.terminal {
		fmt.Fprint(c.w, "\r\x1b[K")
	}
	fmt.Fprintf(c.w, "epoch %d: loss %.4f, accuracy %.2f %%; test loss %.4f, test accuracy %.2f %%; %.1f s, %.0f images/s\n",
		e.Epoch, e.Loss, 100*e.Accuracy, e.TestLoss, 100*e.TestAccuracy, e.Seconds, e.ImagesPerSec)
}
