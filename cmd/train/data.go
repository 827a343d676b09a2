package main

import (
	"flag"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"golang.org/x/term"

	"github.com/convgrad/convgrad/train/data"
)

func init() {
	verbs["data"] = verb{`train data [NAME] [-fetch]: the data sets that -data names

  train data                                        all of them, and which are here
  train data mnist -fetch                           get the files of one, and check them by their SHA-256

Files go to the user's cache directory, or to the one that CONVGRAD_DATA names. A transfer that was cut
is gone on with. Nothing is ever fetched unless -fetch asks for it.
`, setupData}
}

func setupData(f *flag.FlagSet) func(*call) error {
	fetch := f.Bool("fetch", false, "get the files")
	return func(c *call) error {
		switch {
		case len(c.args) > 1:
			return usagef("data: got %d arguments, want at most one: train data [NAME] [-fetch]", len(c.args))
		case len(c.args) == 0 && *fetch:
			return usagef("data: -fetch wants the name of a data set: train data NAME -fetch")
		case len(c.args) == 0:
			return listData(c.stdout)
		}
		source, err := data.Find(c.args[0])
		if err != nil {
			return errUsage{err}
		}
		dir, err := data.CacheDir(source.Name)
		if err != nil {
			return err
		}
		if !*fetch {
			return describeData(c.stdout, source, dir)
		}
		if len(source.Fetch) == 0 {
			return usagef("data: %s has no files that could be got", source.Name)
		}
		ctx, stop := signals()
		defer stop()
		show := &transfers{w: c.stdout, terminal: term.IsTerminal(int(c.stdout.Fd()))}
		if err := (data.Fetcher{Progress: show.progress}).Get(ctx, dir, source.Fetch); err != nil {
			return err
		}
		if _, err := fmt.Fprintf(c.stdout, "%s is in %s: train -data %s\n", source.Name, dir, source.Name); err != nil {
			return err
		}
		return nil
	}
}

// listData is a table of all sources.
func listData(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	for _, s := range data.Sources() {
		state := "drawn, no files needed"
		switch {
		case s.Fetched():
			state = "here"
		case len(s.Fetch) > 0:
			state = fmt.Sprintf("%.0f MB, train data %s -fetch", float64(bytesOf(s))/1e6, s.Name)
		case s.Files != "":
			state = "yours, with -data-dir"
		}
		fmt.Fprintf(t, "%s\t%s\t%s\n", s.Name, s.About, state)
	}
	return t.Flush()
}

func bytesOf(s data.Source) (n int64) {
	for _, r := range s.Fetch {
		n += r.Size
	}
	return n
}

// describeData says what is known of one source.
func describeData(w io.Writer, s data.Source, dir string) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %s\n", s.Name, s.About)
	if s.Files != "" {
		fmt.Fprintf(&b, "-data-dir is a directory with %s\n", s.Files)
	}
	if len(s.Fetch) > 0 {
		state := "not here: train data " + s.Name + " -fetch gets it"
		if s.Fetched() {
			state = "here"
		}
		fmt.Fprintf(&b, "%s, in %s\n", state, dir)
	}
	for _, r := range s.Fetch {
		fmt.Fprintf(&b, "  %s, %d bytes, SHA-256 %s\n    from %s\n", r.Name, r.Size, r.SHA256, strings.Join(r.URLs, "\n    or   "))
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// transfers shows how far files are.
type transfers struct {
	w        *os.File
	terminal bool
	last     time.Time
}

func (t *transfers) progress(r data.Remote, n int64) {
	done := n == r.Size
	wait := 5 * time.Second
	if t.terminal {
		wait = 200 * time.Millisecond
	}
	if !done && time.Since(t.last) < wait {
		return
	}
	t.last = time.Now()
	begin, end := "", "\n"
	if t.terminal {
		begin = "\r\x1b[K"
		if !done {
			end = ""
		}
	}
	fmt.Fprintf(t.w, "%s%s: %.1f of %.1f MB%s", begin, r.Name, float64(n)/1e6, float64(r.Size)/1e6, end)
}
