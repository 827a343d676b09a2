package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"

	"github.com/convgrad/convgrad/internal/report"
	"github.com/convgrad/convgrad/train"
	"github.com/convgrad/convgrad/train/data"
)

func init() {
	verbs["report"] = verb{`train report RUN [-o FILE]: a page of HTML about a run

Curves, what is taken for what, the surest mistakes, filters and feature maps, calibration, times, and the command
that repeats the run. The page needs nothing from elsewhere. A run writes one itself when it ends.
`, setupReport}
}

func setupReport(f *flag.FlagSet) func(*call) error {
	to := f.String("o", "", "the `file`, by default report.html in the run directory, which is replaced")
	force := f.Bool("force", false, "write over another file that is there")
	open, threads := runFlag(f), threadsFlag(f)
	return func(c *call) error {
		if len(c.args) != 1 {
			return usagef("report: got %d arguments, want one: train report RUN", len(c.args))
		}
		if err := setThreads(*threads); err != nil {
			return err
		}
		r, err := open(c.args[0])
		if err != nil {
			return err
		}
		_, test, err := r.Sets(r.Config.Data, r.Config.DataOptions())
		if err != nil {
			return err
		}
		own := filepath.Join(r.Dir, report.File)
		if *to == "" {
			*to = own
		}
		err = reserve(*to, *force || *to == own, func() error { return writeReport(r, test, *to) })
		if err != nil {
			return err
		}
		info, err := os.Stat(*to)
		if err != nil {
			return err
		}
		fmt.Fprintf(c.stdout, "%s: %d kB\n", *to, (info.Size()+999)/1000)
		return nil
	}
}

// writeReport writes the page of a run.
func writeReport(r *train.SavedRun, test data.Set, to string) error {
	return report.WriteFile(context.Background(), to, report.Input{Run: r, Set: test, Command: repeat(r.Config)})
}
