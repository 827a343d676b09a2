// Command bench measures the kernels and a training step on this machine.
//
//	go run ./cmd/bench [-quick] [-pytorch] [-json] [-only parts] [-markdown file]... [-threads n]
//
// An absolute time says as much about the machine and its other tenants as about the code.
// So each figure has its peer measured beside it, in turns, and is given as a ratio.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/convgrad/convgrad/internal/kernel"
	"github.com/convgrad/convgrad/ops"
)

func main() {
	var o Options
	flag.BoolVar(&o.Quick, "quick", false, "a few shapes, briefly: to see that it works")
	flag.BoolVar(&o.PyTorch, "pytorch", false,
		"beside PyTorch and OpenBLAS, where the first python3 of PATH has them")
	flag.Func("only", "measure only these `parts`: "+strings.Join(Measured(), ", ")+
		", or ops:NAME; may be given more than once", func(list string) error {
		for _, s := range strings.Split(list, ",") {
			if part, _, _ := strings.Cut(s, ":"); !slices.Contains(Measured(), part) {
				return fmt.Errorf("got %q, want one of %v", s, Measured())
			}
			o.Only = append(o.Only, s)
		}
		return nil
	})
	asJSON := flag.Bool("json", false, "write JSON instead of tables")
	var documents []string
	flag.Func("markdown", "also fill the tables between the markers <!-- bench:NAME --> of this "+
		"`document`, in place; may be given more than once", func(name string) error {
		documents = append(documents, name)
		_, err := os.Stat(name) // before the run, not after it
		return err
	})
	threads := flag.Int("threads", 0, "threads; 0 for CONVGRAD_THREADS or one a core")
	flag.Parse()
	if flag.NArg() > 0 {
		fmt.Fprintf(os.Stderr, "bench: got the argument %q, want flags only\n", flag.Arg(0))
		os.Exit(2)
	}
	if *threads > 0 {
		ops.SetThreads(*threads)
	}
	for _, err := range []error{kernel.TierError(), kernel.ThreadsError()} {
		if err != nil {
			fmt.Fprintln(os.Stderr, "bench:", err)
		}
	}
	r, err := Run(o, os.Stderr)
	if err == nil && *asJSON {
		e := json.NewEncoder(os.Stdout)
		e.SetIndent("", "  ")
		err = e.Encode(r)
	} else if err == nil {
		_, err = r.WriteTo(os.Stdout)
	}
	for _, name := range documents {
		if err == nil {
			err = fill(r, name)
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// fill replaces the tables of a document by those of this run.
func fill(r *Report, name string) error {
	document, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	filled, err := r.Fill(string(document))
	if err != nil {
		return err
	}
	return os.WriteFile(name, []byte(filled), 0o666)
}
