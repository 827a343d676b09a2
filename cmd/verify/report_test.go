package main

import (
	"bytes"
	"math"
	"strings"
	"testing"

	"github.com/convgrad/convgrad/verify/article"
	"github.com/convgrad/convgrad/verify/builtin"
	"github.com/convgrad/convgrad/verify/suite"
)

// Whatever fails makes the report fail, and is in its text, its page and its JSON.
func TestReportFails(t *testing.T) {
	for name, r := range map[string]*Report{
		"a row":       {Rows: []suite.Row{{Op: "Conv2D", Quantity: "dx", Oracle: "exact arithmetic", Cases: 3, Numbers: 9, Worst: math.Inf(1), Failed: 1, Failure: "the culprit"}}},
		"NaN":         {Rows: []suite.Row{{Op: "Conv2D", Quantity: "dx", Oracle: "exact arithmetic", Cases: 3, Numbers: 9, Worst: math.NaN(), Failed: 1, Failure: "the culprit"}}},
		"an equation": {Equations: []article.Result{{Equation: "Eq. 0", Verdict: article.DoesNotHold, Embodied: true, CounterExample: "the culprit", EmbodiedError: "the culprit"}}},
		"a function":  {Equations: []article.Result{{Equation: "Eq. 0", Verdict: article.HoldsAsPrinted, EmbodiedError: "the culprit"}}},
		"a built-in":  {BuiltIns: []builtin.Result{{Name: "Conv2d", Use: "somehow", Failed: "the culprit"}}},
		"a survivor":  {Kills: []suite.Kill{{Op: "Conv2D", Mistake: "the culprit", Cases: 60}}},
	} {
		if r.Passed() {
			t.Errorf("%s: passed", name)
		}
		for format, write := range map[string]func(*bytes.Buffer) error{
			"text": func(b *bytes.Buffer) error { return r.Text(b, true) }, "JSON": func(b *bytes.Buffer) error { return r.JSON(b) }, "HTML": func(b *bytes.Buffer) error { return r.HTML(b) },
		} {
			var b bytes.Buffer
			if err := write(&b); err != nil || !strings.Contains(b.String(), "the culprit") {
				t.Errorf("%s as %s: %v\n%s", name, format, err, &b)
			}
		}
	}
	fine := &Report{BuiltIns: []builtin.Result{{Name: "Conv2d", Use: "somehow", Defect: true, Finding: "wrong"}}}
	if !fine.Passed() {
		t.Error("a defect of Gorgonia's fails the run")
	}
}

// Fill leaves all else as it is, refuses a marker that is not closed, and writes the same bytes
// again.
func TestFill(t *testing.T) {
	r := &Report{Equations: []article.Result{{Equation: "Eq. 1", Says: "a | b", Verdict: article.HoldsAsPrinted, Function: "ops.Conv2D", Test: "T", Notebook: "notebooks/01-a.ipynb#eq-1"}}}
	const document = "before\n<!-- verify:equations -->\nstale\n<!-- /verify:equations -->\nafter\n"
	got, err := r.Fill(document)
	if err != nil {
		t.Fatal(err)
	}
	want := "before\n<!-- verify:equations -->\n| equation | what it says | verdict | function | test, in verify/article | shown in |\n" + strings.Repeat("| --- ", 6) + "|\n" +
		"| Eq. 1 | a \\| b | **holds as printed** | `ops.Conv2D` | `T` | [notebook 1: eq-1](../notebooks/01-a.ipynb#eq-1) |\n<!-- /verify:equations -->\nafter\n"
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if again, err := r.Fill(got); err != nil || again != got {
		t.Errorf("%v: filling twice changes the document:\n%s", err, again)
	}
	if _, err := r.Fill("<!-- verify:equations -->\n"); err == nil {
		t.Error("a marker that is not closed: no error")
	}
	for _, s := range Sections() {
		if _, err := r.Markdown(s); err != nil {
			t.Error(err)
		}
	}
	if _, err := r.Markdown("no such"); err == nil {
		t.Error("no such section: no error")
	}
}
