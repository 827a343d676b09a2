// Command train trains a convolutional network on images of digits and says how well it does on images that it has not seen.
//
//	go run ./cmd/train
//	go run ./cmd/train -data mnist -data-dir DIR
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/term"

	"github.com/convgrad/convgrad/model"
	"github.com/convgrad/convgrad/ops"
	"github.com/convgrad/convgrad/train"
)

func main() { os.Exit(run()) }

func run() int {
	c := train.Config{}
	flag.StringVar(&c.Data, "data", "digits", "the data set: digits (drawn at start, needs no files) or mnist (from -data-dir)")
	dataDir := flag.String("data-dir", "", "the directory of MNIST's four IDX files, plain or gzipped")
	flag.StringVar(&c.Model, "model", "article", "the network: "+strings.Join(model.Names(), ", "))
	flag.StringVar(&c.Loss, "loss", "cross-entropy", "cross-entropy, or mse: the article's ½ Σ (t − y)²")
	flag.IntVar(&c.Epochs, "epochs", 3, "passes over the training images")
	flag.IntVar(&c.Batch, "batch", 50, "images a step")
	flag.Float64Var(&c.Rate, "lr", 0, "the learning rate at the start; 0 for the optimizer's own")
	flag.StringVar(&c.Optimizer, "optimizer", "adam", "sgd, adam or rmsprop")
	flag.Uint64Var(&c.Seed, "seed", 1, "everything random comes from it")
	out := flag.String("out", "", "the run directory, which must not hold anything; by default a new one in runs")
	threads := flag.Int("threads", 0, "threads to compute on; 0 for one a core. The result does not depend on it")
	flag.Parse()
	if flag.NArg() > 0 {
		return fail(2, fmt.Errorf("got the argument %q, want flags only", flag.Arg(0)))
	}
	ops.SetThreads(*threads)
	data, err := load(&c, *dataDir)
	if err != nil {
		return fail(2, err)
	}
	dir := *out
	if dir == "" {
		dir = filepath.Join("runs", time.Now().Format("20060102-150405.000")+"-"+c.Data+"-"+c.Model)
	}
	net, err := model.ByName(c.Model, data.Input, len(data.Classes))
	if err != nil {
		return fail(2, err)
	}
	fmt.Printf("%v\n\n%v\n%s, %d epochs of batches of %d, %s; seed %d; %d threads, %s kernels\n\n", data, net.Summary(), c.Loss, c.Epochs, c.Batch, c.Optimizer, c.Seed, ops.Threads(), ops.Tier())

	// The first signal finishes the step and saves; after it the default is back, and a second one ends the program.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop)
	res, err := train.Run(ctx, c, data, dir, &console{terminal: term.IsTerminal(int(os.Stdout.Fd()))})
	if err != nil {
		return fail(1, err)
	}
	fmt.Printf("\ntest accuracy %.2f %%\nrun in %s\n", 100*res.Accuracy(), res.Dir)
	if res.Interrupted {
		fmt.Println("interrupted: the weights are those of the last step")
		return 130
	}
	return 0
}

// load makes or reads the data set.
func load(c *train.Config, dir string) (*train.Dataset, error) {
	switch c.Data {
	case "digits":
		if dir != "" {
			return nil, fmt.Errorf("-data-dir is %q, want none with -data digits, which are drawn", dir)
		}
		return train.DrawDigits(12000, 2000, c.Seed)
	case "mnist":
		if dir == "" {
			return nil, fmt.Errorf("-data mnist without -data-dir: want the directory of its IDX files")
		}
		return train.LoadMNIST(dir)
	}
	return nil, fmt.Errorf("-data is %q, want digits or mnist", c.Data)
}

func fail(status int, err error) int {
	fmt.Fprintln(os.Stderr, "train:", strings.TrimPrefix(err.Error(), "train: "))
	return status
}

// A console shows progress: a line that is written over on a terminal, a line now and then elsewhere.
type console struct {
	terminal bool
	last     time.Time
}

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
	line := fmt.Sprintf("epoch %d: %d of %d images, loss %.4f", epoch, done, total, loss)
	if c.terminal {
		fmt.Printf("\r\x1b[K%s", line)
	} else {
		fmt.Println(line)
	}
}

func (c *console) Epoch(e train.Epoch) {
	if c.terminal {
		fmt.Print("\r\x1b[K")
	}
	fmt.Printf("epoch %d: loss %.4f, test loss %.4f, test accuracy %.2f %%; %.1f s, %.0f images/s\n", e.Epoch, e.Loss, e.TestLoss, 100*e.TestAccuracy, e.Seconds, e.ImagesPerSec)
}
