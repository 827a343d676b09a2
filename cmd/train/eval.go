package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"text/tabwriter"

	"github.com/convgrad/convgrad/internal/report"
	"github.com/convgrad/convgrad/ops"
	"github.com/convgrad/convgrad/train/data"
)

func init() {
	verbs["eval"] = verb{`train eval RUN [flags]: how well the network of a run does on labelled samples

  train eval runs/pets                                        on those that the run held back
  train eval runs/pets -data folder -data-dir DIR             on other pictures, a folder for each class

A folder may lack some of the classes. It prints accuracy, loss, calibration error, and precision, recall and F1 of each class.
`, setupEval}
}

func setupEval(f *flag.FlagSet) func(*call) error {
	name := f.String("data", "", "another `dataset` than the run's")
	dir := f.String("data-dir", "", "the `directory` with its files")
	split := f.String("split", "", "which `samples`: test, train or all (default test; all of a folder that has no train in it)")
	refuse := f.Bool("refuse-damaged", false, refuseUsage)
	asJSON := f.Bool("json", false, "print JSON, with the confusion matrix and the calibration")
	open, threads := runFlag(f), threadsFlag(f)
	return func(c *call) error {
		if len(c.args) != 1 {
			return usagef("eval: got %d arguments, want one: train eval RUN", len(c.args))
		}
		if *split != "" && *split != "test" && *split != "train" && *split != "all" {
			return usagef("eval: -split is %q, want test, train or all", *split)
		}
		if err := setThreads(*threads); err != nil {
			return err
		}
		r, err := open(c.args[0])
		if err != nil {
			return err
		}
		o := r.Config.DataOptions()
		if *dir != "" {
			o.Dir = *dir
		}
		if *name == "" {
			*name = r.Config.Data
		} else if *name != r.Config.Data && *dir == "" {
			o.Dir = ""
		}
		if o.Skipped = nil; !*refuse {
			o.Skipped = func(path string, err error) { fmt.Fprintf(c.stderr, "train: left out: %s: %v\n", path, err) }
		}
		if *split == "" {
			*split = "test"
			if _, err := os.Stat(filepath.Join(o.Dir, "train")); *dir != "" && *name == "folder" && err != nil {
				*split = "all"
			}
		}
		training, test, err := r.Sets(*name, o)
		if err != nil {
			return err
		}
		sets := map[string][]data.Set{"test": {test}, "train": {training}, "all": {training, test}}[*split]
		e, err := report.Evaluate(context.Background(), r, sets...)
		if err != nil {
			return err
		}
		if *asJSON {
			return encode(c.stdout, e)
		}
		fmt.Fprintf(c.stdout, "%s with %s on %d samples of %s (%s)\naccuracy %.2f %%, ", r.Dir, r.Weights, e.Samples, *name, *split, 100*e.Accuracy)
		if len(e.Classes) > 9 {
			fmt.Fprintf(c.stdout, "top-5 %.2f %%, ", 100*e.Top5)
		}
		fmt.Fprintf(c.stdout, "loss %.4f, calibration error %.2f %%\n\n", e.Loss, 100*e.ECE)
		w := tabwriter.NewWriter(c.stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
		fmt.Fprintln(w, "samples\tprecision\trecall\tF1\t  class")
		for _, k := range e.Classes {
			fmt.Fprintf(w, "%d\t%.2f %%\t%.2f %%\t%.2f %%\t  %s\n", k.Samples, 100*k.Precision, 100*k.Recall, 100*k.F1, k.Name)
		}
		return w.Flush()
	}
}

// threadsFlag defines -threads.
func threadsFlag(f *flag.FlagSet) *int {
	return f.Int("threads", 0, "threads to compute on, 0 for one a core")
}

func setThreads(n int) error {
	if n < 0 {
		return usagef("-threads is %d, want at least 0", n)
	}
	if n > 0 {
		ops.SetThreads(n)
	}
	return nil
}

// encode prints a value as indented JSON.
func encode(to *os.File, v any) error {
	enc := json.NewEncoder(to)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
}
