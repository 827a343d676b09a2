// Package builtin puts Gorgonia's own ops before the checker.
package builtin

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"

	G "gorgonia.org/gorgonia"
)

// A Result is what the checker found out about one use of one of Gorgonia's own ops.
type Result struct {
	Name   string `json:"name"`   // the op
	Use    string `json:"use"`    // how it is used
	Known  string `json:"-"`      // the defect that the finding is expected to be
	Defect bool   `json:"defect"` // whether the checker found one
	// cases tried, in order of size, up to the first that failed
	Cases   int    `json:"cases"`
	Finding string `json:"finding"`          // the smallest reproduction, or how much passed
	Failed  string `json:"failed,omitempty"` // why the check itself could not be made
}

// Title is op and use.
func (b Result) Title() string { return b.Name + ", " + b.Use }

// Verdict is what the table says.
func (b Result) Verdict() string {
	switch {
	case b.Failed != "":
		return "not checked"
	case b.Defect:
		return "defect"
	}
	return "passes"
}

// builtIn is one use of one op, and cases of it in order of size.
type builtIn struct {
	name, use, known string
	// mortal says that a failing case can panic on a machine's own goroutine, which ends the
	// process, or write to the log: the cases then run in a child.
	mortal bool
	// search hands cases to try, which returns false once one failed. problem says what is wrong,
	// or nothing.
	search search
}

// A try runs one case: what it is, and what says what is wrong with it, or nothing.
type try func(what string, problem func() string) bool

// must and done end a case with an error, which is then what is wrong with it.
func must[T any](v T, err error) T {
	done(err)
	return v
}

func done(err error) {
	if err != nil {
		panic(failure{err})
	}
}

// A failure is an error that ended a case.
type failure struct{ error }

// run runs a graph.
func run(g *G.ExprGraph, options ...G.VMOpt) {
	m := G.NewTapeMachine(g, options...)
	defer m.Close()
	done(m.RunAll())
}

const childVariable = "CONVGRAD_VERIFY_BUILT_IN"

// Child is for the main function of a command, and for a TestMain: it reports whether this process
// is a child that Check started, and if so has done its work.
func Child() bool {
	title := os.Getenv(childVariable)
	if title == "" {
		return false
	}
	for _, b := range builtIns() {
		if b.name+", "+b.use == title {
			r := b.here(os.Stdout)
			if err := json.NewEncoder(os.Stdout).Encode(r); err != nil {
				fmt.Fprintln(os.Stderr, err)
			}
		}
	}
	return true
}

// Check puts Gorgonia's own ops before the checker. The process's main must call Child first: cases
// that can end a process run in children of it.
func Check() []Result {
	var all []Result
	for _, b := range builtIns() {
		if b.mortal {
			all = append(all, b.inChild())
		} else {
			all = append(all, b.here(io.Discard))
		}
	}
	return all
}

// here runs the search in this process. progress gets a line before each case, so that a parent
// knows which one was fatal.
func (b builtIn) here(progress io.Writer) Result {
	r := Result{Name: b.name, Use: b.use, Known: b.known}
	b.search(func(what string, problem func() string) bool {
		if r.Defect {
			return false
		}
		r.Cases++
		fmt.Fprintf(progress, "case %s\n", what)
		if p := guarded(problem); p != "" {
			r.Defect, r.Finding = true, what+": "+p
		}
		return !r.Defect
	})
	if !r.Defect {
		r.Finding = fmt.Sprintf("%d cases", r.Cases)
	}
	return r
}

func guarded(problem func() string) (p string) {
	defer func() {
		switch r := recover().(type) {
		case nil:
		case failure:
			p = r.Error()
		default:
			p = fmt.Sprintf("panics: %v", r)
		}
	}()
	return problem()
}

// inChild runs the search in a child of this process and reads what it says, and on what it died.
func (b builtIn) inChild() Result {
	r := Result{Name: b.name, Use: b.use, Known: b.known}
	self, err := os.Executable()
	if err != nil {
		r.Failed = err.Error()
		return r
	}
	c := exec.Command(self)
	c.Env = append(os.Environ(), childVariable+"="+r.Title())
	var errs strings.Builder
	c.Stderr = &errs
	out, died := c.Output()
	last := ""
	for line := range strings.Lines(string(out)) {
		line = strings.TrimSuffix(line, "\n")
		if what, ok := strings.CutPrefix(line, "case "); ok {
			last = what
			r.Cases++
		} else if json.Unmarshal([]byte(line), &r) == nil && died == nil {
			return r
		}
	}
	if died == nil || last == "" {
		r.Failed = fmt.Sprintf("the child gave no result: %v: %.200s", died, errs.String())
		return r
	}
	reason := died.Error()
	for line := range strings.Lines(errs.String()) {
		if strings.HasPrefix(line, "panic:") || strings.HasPrefix(line, "fatal error:") {
			reason = strings.TrimSpace(line)
			break
		}
	}
	r.Defect, r.Finding = true, last+": the process dies: "+reason
	return r
}

// builtIns are the uses that are checked. What is expected is written beside each, and decides
// nothing.
func builtIns() []builtIn { return slices.Concat(convolving(), pooling(), others(), viewing()) }
