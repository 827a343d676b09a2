package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/convgrad/convgrad/verify/suite"
)

func TestMain(m *testing.M) {
	if suite.Child() {
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
	var report struct {
		Seed uint64
		Rows []struct{ Op, Oracle string }
	}
	if err := json.Unmarshal(data, &report); err != nil || report.Seed != 3 || len(report.Rows) == 0 {
		t.Errorf("JSON: %v, %+v", err, report)
	}
	page, err := os.ReadFile(h)
	if err != nil {
		t.Fatal(err)
	}
	for _, bad := range []string{"<script", "http://", "https://", "ZgotmplZ"} {
		if bytes.Contains(page, []byte(bad)) {
			t.Errorf("the page contains %q", bad)
		}
	}
}

func TestWrongUsage(t *testing.T) {
	for _, args := range [][]string{{"-op", "no such op"}, {"-cases", "0"}, {"stray"}, {"-nonsense"}, {"-time", "-1s"}} {
		var out, errs bytes.Buffer
		if code := run(args, &out, &errs); code != 2 {
			t.Errorf("%v: exit status %d, want 2", args, code)
		}
		if errs.Len() == 0 {
			t.Errorf("%v: nothing says what is wrong", args)
		}
	}
}

func TestMarkdown(t *testing.T) {
	if testing.Short() {
		t.Skip("runs every section")
	}
	name := filepath.Join(t.TempDir(), "d.md")
	if err := os.WriteFile(name, []byte("before\n<!-- verify:equations -->\nstale\n<!-- /verify:equations -->\nafter\n"), 0o666); err != nil {
		t.Fatal(err)
	}
	var out, errs bytes.Buffer
	if code := run([]string{"-cases", "30", "-markdown", name}, &out, &errs); code != 0 {
		t.Fatalf("exit status %d\n%s%s", code, &out, &errs)
	}
	got, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if s := string(got); !strings.HasPrefix(s, "before\n<!-- verify:equations -->\n| equation ") || !strings.HasSuffix(s, "|\n<!-- /verify:equations -->\nafter\n") || strings.Contains(s, "stale") {
		t.Errorf("got:\n%s", s)
	}
}

// TestDocuments: the tables in the documents are those that the command writes.
func TestDocuments(t *testing.T) {
	if testing.Short() {
		t.Skip("runs everything")
	}
	r := suite.NewReport(suite.Options{Cases: 1, Seed: 1})
	if err := fill(r, suite.Options{Cases: 1, Seed: 1}, true, true); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"../../README.md", "../../verify/README.md"} {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(string(b), "<!-- verify:") {
			t.Errorf("%s has no table of this command's", name)
		}
		filled, err := r.Fill(string(b))
		if err != nil {
			t.Fatal(err)
		}
		if filled != string(b) {
			t.Errorf("%s is not what go run ./cmd/verify -markdown writes", name)
		}
	}
}
