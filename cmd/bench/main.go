// Command bench says how fast the kernels and a training step are on this machine, as ratios to peers measured in the same run.
//
//	go run ./cmd/bench [-quick] [-json] [-markdown file]... [-pytorch] [-threads n]
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"

	"github.com/convgrad/convgrad/internal/bench"
	"github.com/convgrad/convgrad/internal/kernel"
	"github.com/convgrad/convgrad/ops"
)

func main() {
	var o bench.Options
	flag.BoolVar(&o.Quick, "quick", false, "a few shapes, briefly: to see that it works")
	flag.BoolVar(&o.PyTorch, "pytorch", false, "beside PyTorch and OpenBLAS, where python3 has them, told to do their best")
	asJSON := flag.Bool("json", false, "write JSON instead of tables")
	var documents []string
	flag.Func("markdown", "also fill the tables between the markers <!-- bench:NAME --> of this `document`, in place; may be given more than once", func(name string) error {
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
	r, err := bench.Run(o, os.Stderr)
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

func fill(r *bench.Report, name string) error {
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
