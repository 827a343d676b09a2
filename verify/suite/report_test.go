package suite

import (
	"bytes"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
)

// A failing case is described by its parameters, element, both values, error and bound, how to repeat it, and is the smallest found.
func TestFailureIsDescribed(t *testing.T) {
	const seed = 2
	t.Logf("seed %d", seed)
	f := family{"Linear", func(r *rand.Rand) *subject {
		s := drawLinear(r)
		return s.plant(s.allMistakes()[0]) // dw: transposed
	}}
	tab := table{at: map[[3]string]int{}}
	for i := range uint64(4) {
		tab.add(f, seed, i, false)
	}
	failed := 0
	for _, r := range tab.rows {
		if r.Passed() {
			continue
		}
		failed++
		if r.Quantity != "dw" && r.Quantity != "⟨dw, v⟩" {
			t.Errorf("%s is blamed for a mistake in dw: %s", r.Quantity, r.Failure)
		}
		for _, want := range []string{"x [", "seed 2", "case "} {
			if !strings.Contains(r.Failure, want) {
				t.Errorf("%s, %s: %q does not say %q", r.Quantity, r.Oracle, r.Failure, want)
			}
		}
		if r.Oracle == oracleExact && (!strings.Contains(r.Failure, "x [2 2], w [2 2]") || !strings.Contains(r.Failure, "got ") || !strings.Contains(r.Failure, "bound 0")) {
			t.Errorf("not the smallest, or without the numbers: %s", r.Failure)
		}
	}
	if failed == 0 {
		t.Fatal("a transposed dw passed")
	}
	out := &bytes.Buffer{}
	if err := (&Report{Rows: tab.rows}).Text(out, false); err != nil || !strings.Contains(out.String(), "FAILED") || !strings.Contains(out.String(), "dw[") {
		t.Errorf("%v\n%s", err, out)
	}
}

// Whatever fails makes the report fail, and is in its text, its page and its JSON.
func TestReportFails(t *testing.T) {
	for name, r := range map[string]*Report{
		"a row":       {Rows: []Row{{Op: "Conv2D", Quantity: "dx", Oracle: oracleExact, Cases: 3, Numbers: 9, Worst: math.Inf(1), Failed: 1, Failure: "the culprit"}}},
		"NaN":         {Rows: []Row{{Op: "Conv2D", Quantity: "dx", Oracle: oracleExact, Cases: 3, Numbers: 9, Worst: math.NaN(), Failed: 1, Failure: "the culprit"}}},
		"an equation": {Equations: []EquationResult{{Equation: "Eq. 0", Verdict: DoesNotHold, Embodied: true, CounterExample: "the culprit", EmbodiedError: "the culprit"}}},
		"a function":  {Equations: []EquationResult{{Equation: "Eq. 0", Verdict: HoldsAsPrinted, EmbodiedError: "the culprit"}}},
		"a built-in":  {BuiltIns: []BuiltIn{{Name: "Conv2d", Use: "somehow", Failed: "the culprit"}}},
		"a survivor":  {Kills: []Kill{{Op: "Conv2D", Mistake: "the culprit", Cases: 60}}},
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
	fine := &Report{BuiltIns: []BuiltIn{{Name: "Conv2d", Use: "somehow", Defect: true, Finding: "wrong"}}}
	if !fine.Passed() {
		t.Error("a defect of Gorgonia's fails the run")
	}
}

// Fill leaves all else as it is, refuses a marker that is not closed, and writes the same bytes again.
func TestFill(t *testing.T) {
	r := &Report{Equations: []EquationResult{{Equation: "Eq. 1", Says: "a | b", Verdict: HoldsAsPrinted, Function: "ops.Conv2D", Test: "T", Notebook: "notebooks/01-a.ipynb#eq-1"}}}
	const document = "before\n<!-- verify:equations -->\nstale\n<!-- /verify:equations -->\nafter\n"
	got, err := r.Fill(document)
	if err != nil {
		t.Fatal(err)
	}
	want := "before\n<!-- verify:equations -->\n| equation | what it says | verdict | function | test, in verify/suite | shown in |\n" + strings.Repeat("| --- ", 6) + "|\n" +
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
