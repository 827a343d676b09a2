package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/convgrad/convgrad/verify/builtin"
	"github.com/convgrad/convgrad/verify/suite"
)

func TestMain(m *testing.M) {
	if builtin.Child() {
		return
	}
	os.Exit(m.Run())
}

func TestRun(t *testing.T) {
	dir := t.TempDir()
	j, h := filepath.Join(dir, "r.json"), filepath.Join(dir, "r.html")
	var out, errs bytes.Buffer
	if code := run([]string{"-cases", "10", "-op", "linear", "-seed", "3", "-json", j, "-html", h}, &out, &errs); code != 0 {
		t.Fatalf("exit status %d\n%s%s", code, &out, &errs)
	}
	for _, want := range []string{"Linear", "exact arithmetic", "seed 3"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the table does not say %q:\n%s", want, &out)
		}
	}
	data, err := os.ReadFile(j)
	if err != nil {
		t.Fatal(err)
	}
	// The fields are what readers of the file rely on: none is unknown to this struct, and none of
	// it stays empty.
	var report struct {
		Seed, Cases       *uint64
		Tier, Go, Machine string
		Op                string
		Seconds           float64
		Rows              []struct {
			Op, Quantity, Oracle   string
			Cases, Numbers, Failed *int
			Worst                  *float64
			Equality               *bool
		}
	}
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(&report); err != nil {
		t.Fatalf("JSON: %v", err)
	}
	if report.Seed == nil || *report.Seed != 3 || report.Cases == nil || *report.Cases != 10 || report.Op != "linear" || report.Tier == "" || report.Go == "" || report.Machine == "" || report.Seconds <= 0 || len(report.Rows) == 0 {
		t.Errorf("JSON: %s", data)
	}
	for _, row := range report.Rows {
		if row.Op != "Linear" || row.Quantity == "" || row.Oracle == "" || row.Cases == nil || row.Numbers == nil || *row.Numbers == 0 || row.Failed == nil || row.Worst == nil || *row.Worst > 1 || row.Equality == nil {
			t.Errorf("JSON has the row %+v", row)
		}
	}
	page, err := os.ReadFile(h)
	if err != nil {
		t.Fatal(err)
	}
	if repeat := "-seed 3 -cases 10 -op &#34;linear&#34;"; !bytes.Contains(page, []byte(repeat)) {
		t.Errorf("the page does not say %s", repeat)
	}
	for _, bad := range []string{"<script", "http://", "https://", "ZgotmplZ"} {
		if bytes.Contains(page, []byte(bad)) {
			t.Errorf("the page contains %q", bad)
		}
	}
}

func TestWrongUsage(t *testing.T) {
	for _, args := range [][]string{{"-op", "no such op"}, {"-self-test", "-op", "no such op"}, {"-cases", "0"}, {"stray"}, {"-nonsense"}, {"-op", "flatten", "-markdown", "d.md"}, {"-time", "-1s"}} {
		var out, errs bytes.Buffer
		if code := run(args, &out, &errs); code != 2 {
			t.Errorf("%v: exit status %d, want 2", args, code)
		}
		if errs.Len() == 0 {
			t.Errorf("%v: nothing says what is wrong", args)
		}
	}
}

// A file that cannot be written, or a document whose markers are not closed, is exit status 1 and
// says why.
func TestCannotWrite(t *testing.T) {
	open := filepath.Join(t.TempDir(), "open.md")
	if err := os.WriteFile(open, []byte("<!-- verify:equations -->\n"), 0o666); err != nil {
		t.Fatal(err)
	}
	nowhere := filepath.Join(t.TempDir(), "no", "such", "directory")
	r := newReport(suite.Options{})
	for name, err := range map[string]error{
		"JSON": write(r, io.Discard, false, nowhere, "", nil), "HTML": write(r, io.Discard, false, "", nowhere, nil), "a missing document": write(r, io.Discard, false, "", "", []string{nowhere}),
		"a marker that is not closed": write(r, io.Discard, false, "", "", []string{open}),
	} {
		if err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	for _, flag := range []string{"-json", "-html"} {
		var out, errs bytes.Buffer
		if code := run([]string{"-cases", "1", "-op", "flatten", flag, nowhere}, &out, &errs); code != 1 || errs.Len() == 0 || out.Len() > 0 {
			t.Errorf("%s: exit status %d, want 1 before anything is run, and it says %q and %q", flag, code, &errs, &out)
		}
	}
}

func TestFor(t *testing.T) {
	var out, errs bytes.Buffer
	began := time.Now()
	if code := run([]string{"-cases", "1", "-op", "flatten", "-time", "200ms"}, &out, &errs); code != 0 || time.Since(began) < 200*time.Millisecond {
		t.Errorf("exit status %d after %v, want 0 after 200 ms or more\n%s", code, time.Since(began), &errs)
	}
}

// TestDocuments: the tables in the documents are those that the command writes. That runs
// everything and plants all mistakes, so it is a part of the gate self-test.
func TestDocuments(t *testing.T) {
	if os.Getenv("CONVGRAD_LONG") == "" {
		t.Skip("CONVGRAD_LONG is not set")
	}
	args := []string{"-cases", "1"}
	tables := regexp.MustCompile(`<!-- verify:\S+ -->\n`)
	var committed, copies []string
	for i, name := range []string{"../../docs/equations.md", "../../verify/README.md"} {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		// this command's: another writes others
		stale := tables.ReplaceAllString(string(b), "${0}stale\n")
		if stale == string(b) {
			t.Errorf("%s has no table of this command's", name)
		}
		copied := filepath.Join(t.TempDir(), fmt.Sprint(i))
		if err := os.WriteFile(copied, []byte(stale), 0o666); err != nil {
			t.Fatal(err)
		}
		committed, copies, args = append(committed, string(b)), append(copies, copied), append(args, "-markdown", copied)
	}
	var out, errs bytes.Buffer
	if code := run(args, &out, &errs); code != 0 {
		t.Fatalf("exit status %d\n%s%s", code, &out, &errs)
	}
	for i, name := range copies {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if string(b) != committed[i] {
			t.Errorf("document %d is not what go run ./cmd/verify -markdown docs/equations.md -markdown verify/README.md writes", i+1)
		}
	}
}

// Every op has mistakes in one of the two tables, at least eight, and all of them caught.
func TestMistakesAreListed(t *testing.T) {
	var tables string
	for _, name := range []string{"../../verify/README.md", "../../verify/mistakes.md"} {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		tables += string(b)
	}
	for _, op := range suite.Ops() {
		rows := regexp.MustCompile(`(?m)^\| `+regexp.QuoteMeta(op)+` \|(?: (\d+) \| (\d+) \|)?`).FindAllStringSubmatch(tables, -1)
		switch {
		case len(rows) >= 8: // a row each
		case len(rows) == 1 && rows[0][1] == rows[0][2] && (len(rows[0][1]) > 1 || rows[0][1] >= "8"):
		default:
			t.Errorf("%s has %d rows: %v", op, len(rows), rows)
		}
	}
}
