package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/convgrad/convgrad/train"
)

// TestOutputs: a dry run writes nothing, -quiet says nothing, -json says all in lines of JSON, and
// limits, names and -force do as they are told.
func TestOutputs(t *testing.T) {
	flags := tiny(t)
	t.Chdir(t.TempDir())
	ok := func(args ...string) string {
		t.Helper()
		status, out, errs := execute(t, append(flags, args...)...)
		if status != 0 && status != exitStuck || status == 0 && errs != "" {
			t.Fatalf("%v: status %d, %q", args, status, errs)
		}
		return out
	}
	if out := ok("-dry-run"); !strings.Contains(out, "one step was made, with the loss ") || !strings.Contains(out, "nothing was written") {
		t.Errorf("-dry-run: %q", out)
	}
	if entries, err := os.ReadDir("."); err != nil || len(entries) > 0 {
		t.Errorf("-dry-run wrote %v (%v)", entries, err)
	}
	if out := ok("-quiet", "-name", "first"); out != "" {
		t.Errorf("-quiet: %q", out)
	}
	out := ok("-json", "-name", "second", "-log-every", "2", "-epochs", "2")
	events := map[string]int{}
	for _, line := range strings.Split(strings.TrimSpace(out), "\n") {
		var e struct {
			Event string
			Of    map[string]any
		}
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		events[e.Event]++
		if e.Event == "end" && (e.Of["dir"] != filepath.Join(runsLocation, "second") || e.Of["steps"] != 8.0) {
			t.Errorf("the end is %v", e.Of)
		}
	}
	if events["step"] != 4 || events["epoch"] != 2 || events["end"] != 1 {
		t.Errorf("-json has %v", events)
	}
	if out := ok("-max-steps", "5", "-epochs", "9", "-name", "third"); !strings.Contains(out, "ended early: 5 steps were made") {
		t.Errorf("-max-steps: %q", out)
	}
	if status, _, errs := execute(t, append(flags, "-name", "third")...); status != exitUsage || !strings.Contains(errs, "nothing is overwritten") {
		t.Errorf("a name twice: status %d, %q", status, errs)
	}
	ok("-name", "third", "-force")
	for _, file := range []string{train.MetricsCSV, train.LogFile, train.BestFile} {
		if info, err := os.Stat(filepath.Join(runsLocation, "third", file)); err != nil || info.Size() == 0 {
			t.Errorf("%s: %v", file, err)
		}
	}
}

// TestData: the list, what is known of a set, and what cannot be got.
func TestData(t *testing.T) {
	t.Setenv("CONVGRAD_DATA", t.TempDir())
	status, out, _ := execute(t, "data")
	for _, want := range []string{"mnist ", "train data cifar10 -fetch", "drawn, no files needed", "yours, with -data-dir"} {
		if status != 0 || !strings.Contains(out, want) {
			t.Errorf("data: status %d, %q, want %q", status, out, want)
		}
	}
	status, out, _ = execute(t, "data", "mnist")
	if status != 0 || !strings.Contains(out, "not here: train data mnist -fetch gets it") || !strings.Contains(out, "9912422 bytes, SHA-256 440fcabf") {
		t.Errorf("data mnist: status %d, %q", status, out)
	}
	for want, args := range map[string][]string{
		"has no files that could be got": {"data", "digits", "-fetch"}, "wants the name": {"data", "-fetch"}, "at most one": {"data", "a", "b"},
	} {
		if status, _, errs := execute(t, args...); status != exitUsage || !strings.Contains(errs, want) {
			t.Errorf("%v: status %d, %q", args, status, errs)
		}
	}
	if status, _, errs := execute(t, "-data", "cifar10"); status != exitUsage || !strings.Contains(errs, "train data cifar10 -fetch gets them") {
		t.Errorf("a set that is not here: status %d, %q", status, errs)
	}
}
