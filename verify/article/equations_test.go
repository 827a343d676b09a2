package article

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

const equationSeed = 7

// expected are the verdicts. They are computed; this table only makes a change of one show.
var expected = map[string]Verdict{
	"Eq. 1": HoldsAsPrinted, "Eq. 2": HoldsAsPrinted, "Eq. 3": HoldsUnderReading, "Eq. 3, the sentence": HoldsUnderReading,
	"Eq. 4": HoldsUnderReading, "Eq. 5": HoldsUnderReading, "Eq. 6": HoldsUnderReading, "Eq. 7": HoldsAsPrinted, "Eq. 8": HoldsAsPrinted,
	"Eq. 9": HoldsAsPrinted, "Eq. 10": HoldsAsPrinted, "Eq. 11": HoldsAsPrinted, "Eq. 12": HoldsAsPrinted, "Eq. 13": HoldsAsPrinted,
	"Eq. 14": HoldsUnderReading, "Eq. 15": HoldsAsPrinted, "Eq. 16": HoldsAsPrinted, "Eq. 17": HoldsAsPrinted, "Eq. 18": HoldsAsPrinted,
	"Eq. 19": HoldsAsPrinted, "Eq. 20": HoldsAsPrinted, "Eq. 21": HoldsUnderReading, "Eq. 22": HoldsUnderReading,
	"max pooling": HoldsAsPrinted, "average pooling": HoldsAsPrinted, "L2-norm pooling": HoldsAsPrinted, "ReLU": HoldsAsPrinted, "the update": HoldsAsPrinted,
}

func TestEquations(t *testing.T) {
	t.Logf("seed %d", equationSeed)
	seen := map[string]bool{}
	for _, e := range equations() {
		seen[e.number] = true
		t.Run(e.number, func(t *testing.T) {
			r := e.decide(equationSeed, 40)
			t.Logf("%s; reading: %s; counter-example: %s", r.Verdict, r.Reading, r.CounterExample)
			if want := expected[e.number]; r.Verdict != want {
				t.Errorf("verdict %q, want %q: %s", r.Verdict, want, r.CounterExample)
			}
			if !r.Embodied {
				t.Errorf("%s does not compute it: %s", r.Function, r.EmbodiedError)
			}
			if (r.Verdict == HoldsAsPrinted) != (r.CounterExample == "") || (r.Verdict == HoldsUnderReading) != (r.Reading != "") {
				t.Errorf("verdict %q with the counter-example %q and the reading %q", r.Verdict, r.CounterExample, r.Reading)
			}
			if r.Says == "" || r.Function == "" || !strings.HasPrefix(t.Name(), "TestEquations/") || !sameName(r.Test, t.Name()) {
				t.Errorf("row %+v has an empty cell, or its test is not %s", r, t.Name())
			}
		})
	}
	for number := range expected {
		if !seen[number] {
			t.Errorf("%s has no row", number)
		}
	}
}

// TestEquationsLeadSomewhere: the functions that the table names are declared, and the sections
// that it links exist.
func TestEquationsLeadSomewhere(t *testing.T) {
	declared := map[string]bool{}
	for pkg, dir := range map[string]string{"ops": "../../ops", "kernel": "../../internal/kernel", "train": "../../train"} {
		files, err := filepath.Glob(filepath.Join(dir, "*.go"))
		if err != nil || len(files) == 0 {
			t.Fatalf("%s: %d files, %v", dir, len(files), err)
		}
		for _, f := range files {
			parsed, err := parser.ParseFile(token.NewFileSet(), f, nil, parser.SkipObjectResolution)
			if err != nil {
				t.Fatal(err)
			}
			for _, d := range parsed.Decls {
				switch d := d.(type) {
				case *ast.FuncDecl:
					if d.Recv == nil {
						declared[pkg+"."+d.Name.Name] = true
					}
				case *ast.GenDecl:
					for _, s := range d.Specs {
						if s, ok := s.(*ast.TypeSpec); ok {
							declared[pkg+"."+s.Name.Name] = true
						}
					}
				}
			}
		}
	}
	named := regexp.MustCompile(`\b(ops|kernel|train)\.[A-Z][A-Za-z0-9]*`)
	for _, e := range equations() {
		functions := named.FindAllString(e.function, -1)
		if len(functions) == 0 {
			t.Errorf("%s: no function in %q", e.number, e.function)
		}
		for _, f := range functions {
			if !declared[f] {
				t.Errorf("%s: %s is not declared", e.number, f)
			}
		}
		file, anchor, ok := strings.Cut(e.notebook(), "#")
		b, err := os.ReadFile(filepath.Join("../..", file))
		if err != nil || !ok || !strings.Contains(string(b), `id=\"`+anchor+`\"`) {
			t.Errorf("%s: %s is not a section (%v)", e.number, e.notebook(), err)
		}
	}
}

// sameName compares a test's name with what go test makes of it.
func sameName(name, run string) bool { return strings.ReplaceAll(name, " ", "_") == run }

// tampered changes one side of a claim.
func tampered(e equation, change func(c claim) claim) equation {
	e.claim = change(e.claim)
	readings := append([]reading(nil), e.readings...)
	for i, r := range readings {
		readings[i].claim = change(r.claim)
	}
	e.readings = readings
	return e
}

// An equation that is tampered with changes its verdict: verdicts are computed.
func TestTamperedEquations(t *testing.T) {
	tampering := map[string]func(c claim) claim{
		"transposed": func(c claim) claim {
			left := c.left
			c.left = func(w *world, i, j int) rational { return left(w, j, i) }
			return c
		},
		"shifted by a row": func(c claim) claim {
			left := c.left
			c.left = func(w *world, i, j int) rational { return left(w, i-1, j) }
			return c
		},
		"doubled": func(c claim) claim {
			left := c.left
			c.left = func(w *world, i, j int) rational { return left(w, i, j).Times(integer(2)) }
			return c
		},
		"sign": func(c claim) claim {
			left := c.left
			c.left = func(w *world, i, j int) rational { return left(w, i, j).Times(integer(-1)) }
			return c
		},
	}
	for _, e := range equations() {
		for name, change := range tampering {
			switch {
			case e.number == "Eq. 9" && name != "doubled" && name != "sign", e.number == "the update" && name != "doubled" && name != "sign":
				continue // a single number has no rows to move
			}
			if r := tampered(e, change).decide(equationSeed, 40); r.Verdict != DoesNotHold {
				t.Errorf("%s %s: verdict %q, want %q", e.number, name, r.Verdict, DoesNotHold)
			}
		}
	}
}

// What does not hold as printed does once it is mended, so a verdict is no property of the row's
// name.
func TestMendedEquations(t *testing.T) {
	for _, e := range equations() {
		for _, r := range e.readings {
			mended := e
			mended.claim, mended.readings = r.claim, nil
			holds, _, _ := e.try(r.claim, equationSeed, 40)
			want := DoesNotHold
			if holds {
				want = HoldsAsPrinted
			}
			if got := mended.decide(equationSeed, 40); got.Verdict != want {
				t.Errorf("%s with %q: verdict %q, want %q", e.number, r.words, got.Verdict, want)
			}
		}
	}
}

// A function that computes something else is found out.
func TestEmbodiedIsChecked(t *testing.T) {
	for _, e := range equations() {
		of := e.embodied
		e.embodied = func(w *world) (got, want []float64, err error) {
			got, want, err = of(w)
			got[len(got)-1]++
			return got, want, err
		}
		if r := e.decide(equationSeed, 1); r.Embodied {
			t.Errorf("%s: a wrong last element passed", e.number)
		}
	}
}
