package main

import (
	"path/filepath"
	"strings"
	"testing"
)

const source = "# Title\n\nText with $x^2$.\n\n## Part\n\n```text\n# no heading\n```\n\n```go varies other\nx := 1\n\n// y\n```\n```go\n%%\n```\nlast\n"

func TestParse(t *testing.T) {
	n := parse(source)
	var got []string
	for _, c := range n.Cells {
		got = append(got, c.Type+":"+string(c.Source)+":"+strings.Join(c.Metadata.Tags, ","))
	}
	want := []string{"markdown:# Title\n\nText with $x^2$.:", "markdown:## Part\n\n```text\n# no heading\n```:", "code:x := 1\n\n// y:varies,other", "code:%%:", "markdown:last:"}
	if strings.Join(got, "|") != strings.Join(want, "|") {
		t.Errorf("got\n%q\nwant\n%q", got, want)
	}
}

func TestWriteRead(t *testing.T) {
	n, path := executed(), filepath.Join(t.TempDir(), "a.ipynb")
	n.normalise()
	if err := n.write(path); err != nil {
		t.Fatal(err)
	}
	m, err := read(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := compare(n, m); err != nil {
		t.Error(err)
	}
}

// executed is the source's notebook with outputs in the second code cell.
func executed() *notebook {
	n := parse(source)
	*n.Cells[3].Outputs = []output{
		{Type: "display_data", Data: map[string]lines{"text/html": "<b>"}},
		{Type: "stream", Name: "stdout", Text: "a\nb"}, {Type: "stream", Name: "stdout", Text: "c\n"},
	}
	return n
}

func TestNormalise(t *testing.T) {
	n := executed()
	n.normalise()
	o := *n.Cells[3].Outputs
	if len(o) != 2 || o[0].Text != "a\nbc\n" || o[1].Type != "display_data" {
		t.Errorf("outputs are %+v, want the joined text first", o)
	}
	if *n.Cells[2].Count != 1 || *n.Cells[3].Count != 2 {
		t.Error("cells are not counted from 1")
	}
}

func TestFailures(t *testing.T) {
	for name, o := range map[string]output{
		"the program failed":  {Type: "error", ErrValue: "exit status 2"},
		"a shell line failed": {Type: "stream", Name: "stderr", Text: "no such file"},
	} {
		n := executed()
		if err := n.failures(); err != nil {
			t.Errorf("%s: before: %v", name, err)
		}
		*n.Cells[3].Outputs = append(*n.Cells[3].Outputs, o)
		if n.failures() == nil {
			t.Errorf("%s: not noticed", name)
		}
	}
}

func TestCompare(t *testing.T) {
	for name, change := range map[string]func(n *notebook){
		"a text":          func(n *notebook) { (*n.Cells[3].Outputs)[1].Text = "x" },
		"a display":       func(n *notebook) { (*n.Cells[3].Outputs)[0].Data["text/html"] = "<i>" },
		"a lost output":   func(n *notebook) { *n.Cells[3].Outputs = (*n.Cells[3].Outputs)[:1] },
		"a cell's code":   func(n *notebook) { n.Cells[2].Source = "x := 2" },
		"a lost cell":     func(n *notebook) { n.Cells = n.Cells[:4] },
		"a changed prose": func(n *notebook) { n.Cells[0].Source = "# T" },
	} {
		n := executed()
		change(n)
		if compare(executed(), n) == nil {
			t.Errorf("%s: not noticed", name)
		}
	}
	n := executed()
	*n.Cells[2].Outputs = []output{{Type: "stream", Name: "stdout", Text: "random"}}
	if err := compare(executed(), n); err != nil {
		t.Errorf("a cell tagged varies: %v", err)
	}
}
