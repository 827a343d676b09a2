package tex

import (
	"encoding/xml"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestMathML(t *testing.T) {
	for _, c := range []struct {
		tex     string
		display bool
		want    string
	}{
		{"w_{m',n}", false, "<msub><mi>w</mi><mrow><mrow><mi>m</mi><mo lspace=\"0\" rspace=\"0\">′</mo></mrow><mo>,</mo><mi>n</mi></mrow></msub>"},
		{`\frac{\partial E}{\partial b}`, false, "<mfrac><mrow><mi>∂</mi><mi>E</mi></mrow><mrow><mi>∂</mi><mi>b</mi></mrow></mfrac>"},
		{`\frac1N`, false, "<mfrac><mn>1</mn><mi>N</mi></mfrac>"},
		{`\sum_{m=0}^2 a`, true, "<munderover><mo>∑</mo><mrow><mi>m</mi><mo>=</mo><mn>0</mn></mrow><mn>2</mn></munderover><mi>a</mi>"},
		{`\sum_m a`, false, "<msub><mo>∑</mo><mi>m</mi></msub><mi>a</mi>"},
		{"x^l_{i,j}", false, "<msubsup><mi>x</mi><mrow><mi>i</mi><mo>,</mo><mi>j</mi></mrow><mi>l</mi></msubsup>"},
		{`\delta - 0.5`, false, "<mi>δ</mi><mo>−</mo><mn>0.5</mn>"},
	} {
		got, err := MathML(c.tex, c.display)
		if err != nil {
			t.Error(err)
		}
		if !strings.Contains(got, "<mrow>"+c.want+"</mrow></math>") {
			t.Errorf("%s is\n%s\nwant\n%s", c.tex, got, c.want)
		}
	}
	for _, bad := range []string{`\frac{a}`, `{a`, `a}`, `\unknown`, `x_`, `\mathrm x`, `\Big`} {
		if got, err := MathML(bad, false); err == nil {
			t.Errorf("%s gives %s, want an error", bad, got)
		}
	}
}

// Every formula of the notebooks becomes XML that is well formed.
func TestNotebooks(t *testing.T) {
	files, err := filepath.Glob("../src/*.md")
	if err != nil || len(files) == 0 {
		t.Fatalf("no sources: %v", err)
	}
	n := 0
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		var prose []string // without the cells
		for k, part := range strings.Split(string(text), "```") {
			if k%2 == 0 {
				prose = append(prose, part)
			}
		}
		done, err := Markdown(strings.Join(prose, "\n"))
		if err != nil {
			t.Errorf("%s: %v", f, err)
			continue
		}
		if strings.ContainsAny(done, `$\`) {
			t.Errorf("%s: a formula is left: %.200s", f, done[strings.IndexAny(done, `$\`):])
		}
		for _, m := range strings.SplitAfter(done, "</math>") {
			at := strings.Index(m, "<math")
			if at < 0 {
				continue
			}
			n++
			d := xml.NewDecoder(strings.NewReader(m[at:]))
			for err == nil {
				_, err = d.Token()
			}
			if !errors.Is(err, io.EOF) {
				t.Errorf("%s: %v in %s", f, err, m[at:])
			}
			err = nil
		}
	}
	if n < 200 {
		t.Errorf("%d formulas, want some hundred", n)
	}
}
