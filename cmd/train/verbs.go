package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"

	"github.com/convgrad/convgrad/train"
)

// A verb is what the first argument asks for, where that is no training.
type verb struct {
	// usage says what the verb does, first of all in a line that has its arguments.
	usage string
	// setup defines flags, and returns what is called with the arguments that are not flags.
	setup func(f *flag.FlagSet) func(c *call) error
}

// A call is a verb under way.
type call struct {
	args   []string
	stdout *os.File
	stderr io.Writer
}

// verbs are found by name. Each is in a file of its own.
var verbs = map[string]verb{}

// errUsage marks an error of flags and arguments.
type errUsage struct{ error }

func usagef(format string, args ...any) error { return errUsage{fmt.Errorf(format, args...)} }

// verbCodes are the exit codes of all verbs that do not train.
const verbCodes = `
Exit codes: 0, it was done; 1, it failed, and the last line says why; 2, flags or arguments that make no sense.
`

// run parses the flags, which may stand before and after the other arguments, and runs the verb.
func (v verb) run(args []string, stdout *os.File, stderr io.Writer) int {
	f := flag.NewFlagSet("train", flag.ContinueOnError)
	f.SetOutput(io.Discard) // its errors come with the whole usage
	do := v.setup(f)
	c := &call{stdout: stdout, stderr: stderr}
	for len(args) > 0 {
		switch err := f.Parse(args); {
		case errors.Is(err, flag.ErrHelp):
			fmt.Fprint(stdout, v.usage)
			f.SetOutput(stdout)
			some := false
			f.VisitAll(func(*flag.Flag) { some = true })
			if some {
				fmt.Fprint(stdout, "\nFlags:\n")
				f.PrintDefaults()
			}
			fmt.Fprint(stdout, verbCodes)
			return 0
		case err != nil:
			return fail(stderr, exitUsage, fmt.Errorf("%v; -h lists the flags", err))
		}
		rest := f.Args()
		if read := len(args) - len(rest); read > 0 && args[read-1] == "--" {
			c.args, rest = append(c.args, rest...), nil
		}
		if len(rest) == 0 {
			break
		}
		c.args, args = append(c.args, rest[0]), rest[1:]
	}
	err := do(c)
	var usage errUsage
	switch {
	case errors.As(err, &usage):
		return fail(stderr, exitUsage, err)
	case err != nil:
		return fail(stderr, exitFailed, err)
	}
	return 0
}

// runFlag defines -last, and returns what opens a run as it says.
func runFlag(f *flag.FlagSet) func(dir string) (*train.SavedRun, error) {
	last := f.Bool("last", false, "take the weights of the last step in the place of the best epoch's")
	return func(dir string) (*train.SavedRun, error) {
		if *last {
			return train.OpenRunFrom(dir, train.WeightsFile)
		}
		return train.OpenRun(dir)
	}
}
