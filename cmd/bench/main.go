// Command bench says how fast the kernels and a training step are on this machine, as ratios to peers measured in the same run.
//
//	go run ./cmd/bench [-quick] [-json] [-pytorch] [-threads n]
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"

	"github.com/convgrad/convgrad/internal/bench"
	"github.com/convgrad/convgrad/ops"
)

func main() {
	var o bench.Options
	flag.BoolVar(&o.Quick, "quick", false, "a few shapes, briefly: to see that it works")
	flag.BoolVar(&o.PyTorch, "pytorch", false, "beside PyTorch, if python3 has it, with its allocator tuned")
	asJSON := flag.Bool("json", false, "write JSON instead of tables")
	threads := flag.Int("threads", 0, "threads; 0 for one a core")
	flag.Parse()
	if flag.NArg() > 0 {
		fmt.Fprintf(os.Stderr, "bench: got the argument %q, want flags only\n", flag.Arg(0))
		os.Exit(2)
	}
	ops.SetThreads(*threads)
	r, err := bench.Run(o, os.Stderr)
	if err == nil && *asJSON {
		e := json.NewEncoder(os.Stdout)
		e.SetIndent("", "  ")
		err = e.Encode(r)
	} else if err == nil {
		_, err = r.WriteTo(os.Stdout)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}
