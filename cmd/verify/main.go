// Command verify proves the library: its ops against independent oracles, the article's equations
// in exact arithmetic, and Gorgonia's own ops by the same checker. With -self-test it plants
// mistakes and wants each of them caught.
//
// The exit status is 0 if everything that is this library's passed, 1 if not, and 2 for wrong
// usage.
package main

import (
	"flag"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/convgrad/convgrad/verify/article"
	"github.com/convgrad/convgrad/verify/builtin"
	"github.com/convgrad/convgrad/verify/suite"
	"github.com/convgrad/convgrad/verify/suite/reported"
)

func main() {
	if builtin.Child() {
		return
	}
	os.Exit(run(os.Args[1:], os.Stdout, os.Stderr))
}

func run(args []string, out, errs io.Writer) int {
	f := flag.NewFlagSet("verify", flag.ContinueOnError)
	f.SetOutput(errs)
	var o suite.Options
	f.IntVar(&o.Cases, "cases", 1500, "random cases, shared among the ops")
	f.Uint64Var(&o.Seed, "seed", 1, "seed of the random cases")
	f.StringVar(&o.Op, "op", "", "check only ops whose name contains this, and nothing else")
	f.DurationVar(&o.Time, "time", 0, "go on for so long, for example 10m")
	jsonFile := f.String("json", "", "write the report to this file as JSON")
	htmlFile := f.String("html", "", "write the report to this file as one HTML page")
	var documents []string
	f.Func("markdown", "run every section, or with -self-test that of registered ops, and fill the tables between the markers <!-- verify:NAME --> of this `document`, in place; can be repeated", func(name string) error {
		documents = append(documents, name)
		return nil
	})
	selfTest := f.Bool("self-test", false, "plant mistakes and want each of them caught")
	all := f.Bool("v", false, "print a line for each quantity, too")
	if err := f.Parse(args); err != nil {
		if err == flag.ErrHelp {
			return 0
		}
		return 2
	}
	if f.NArg() > 0 || o.Cases < 1 || o.Time < 0 {
		fmt.Fprintf(errs, "verify: got %q, -cases %d, -time %v: want flags only, at least one case, and no negative time\n", f.Args(), o.Cases, o.Time)
		return 2
	}
	if len(documents) > 0 && o.Op != "" {
		fmt.Fprintln(errs, "verify: got -markdown with -op: want a document's tables whole")
		return 2
	}
	// before the work, and without harm to a file that is there
	for _, name := range []string{*jsonFile, *htmlFile} {
		if err := writable(name); err != nil {
			fmt.Fprintln(errs, "verify:", err)
			return 1
		}
	}
	r := newReport(o)
	began := time.Now()
	if err := fill(r, o, *selfTest, len(documents) > 0 && !*selfTest); err != nil {
		fmt.Fprintln(errs, "verify:", err)
		return 2
	}
	r.Seconds = time.Since(began).Seconds()
	if err := write(r, out, *all, *jsonFile, *htmlFile, documents); err != nil {
		fmt.Fprintln(errs, "verify:", err)
		return 1
	}
	if !r.Passed() {
		return 1
	}
	return 0
}

// writable reports whether a file of that name can be written; what it holds stays.
func writable(name string) error {
	if name == "" {
		return nil
	}
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE, 0o666)
	if err != nil {
		return err
	}
	return f.Close()
}

// fill runs the sections that were asked for: planted mistakes alone with -self-test, the ops alone
// with -op, all of them for a document but the mistakes in registered ops, which take longest.
func fill(r *Report, o suite.Options, selfTest, everything bool) (err error) {
	if !selfTest || everything {
		if r.Rows, err = suite.Run(o); err != nil {
			return err
		}
		if o.Op == "" {
			r.Equations = article.Equations(o.Seed, 200)
			r.BuiltIns = builtin.Check()
		}
	}
	if selfTest || everything {
		if r.Kills, err = suite.SelfTest(o.Seed, o.Op, selfTest); err == nil && o.Op == "" {
			var found []reported.Finding
			if found, err = reported.Check(o.Seed); err == nil {
				r.Reported = reported.Kinds(found)
			}
		}
	}
	return err
}

func write(r *Report, out io.Writer, all bool, jsonFile, htmlFile string, documents []string) error {
	if err := r.Text(out, all); err != nil {
		return err
	}
	for name, to := range map[string]func(io.Writer) error{jsonFile: r.JSON, htmlFile: r.HTML} {
		if name == "" {
			continue
		}
		f, err := os.Create(name)
		if err != nil {
			return err
		}
		if err := to(f); err != nil {
			f.Close()
			return err
		}
		if err := f.Close(); err != nil {
			return err
		}
	}
	for _, name := range documents {
		document, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		filled, err := r.Fill(string(document))
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		if err := os.WriteFile(name, []byte(filled), 0o666); err != nil {
			return err
		}
	}
	return nil
}
