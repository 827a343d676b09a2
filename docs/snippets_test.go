package docs_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// A snippet is a block of Go in a document, and the file that it is a part of.
type snippet struct{ file, code string }

var block = regexp.MustCompile("(?s)(?:<!-- (\\S+\\.go) -->\n)?```go\n(.*?)```")

func snippets(document string) []snippet {
	var all []snippet
	for _, m := range block.FindAllStringSubmatch(document, -1) {
		all = append(all, snippet{m[1], m[2]})
	}
	return all
}

// in reports whether a source has the snippet's lines, one after another, at any indentation.
func (s snippet) in(source string) bool {
	lines := strings.SplitAfter(s.code, "\n")
	for range 5 {
		if strings.Contains("\n"+source, "\n"+strings.Join(lines, "")) {
			return true
		}
		for i, line := range lines {
			if strings.TrimSpace(line) != "" {
				lines[i] = "\t" + line
			}
		}
	}
	return false
}

// documents are the pages of the front door.
func documents(t *testing.T) []string {
	t.Helper()
	pages, err := filepath.Glob("*.md")
	if err != nil {
		t.Fatal(err)
	}
	return append(pages, "../README.md", "../CONTRIBUTING.md")
}

// Every block of Go in a document is part of a file that compiles, and whose tests run.
func TestSnippetsCompile(t *testing.T) {
	found := 0
	for _, page := range documents(t) {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range snippets(string(text)) {
			found++
			if s.file == "" {
				t.Errorf("%s: no comment says which file has this code:\n%s", page, s.code)
				continue
			}
			source, err := os.ReadFile(filepath.Join("..", s.file))
			if err != nil {
				t.Errorf("%s: %v", page, err)
			} else if !s.in(string(source)) {
				t.Errorf("%s: %s does not have this code:\n%s", page, s.file, s.code)
			}
		}
	}
	if found == 0 {
		t.Error("no document has a block of Go")
	}
}

func TestSnippetsAreFound(t *testing.T) {
	s := snippets("a\n<!-- x/y.go -->\n```go\nif a {\n\tb()\n}\n```\n```go\nc\n```\n")
	if len(s) != 2 || s[0].file != "x/y.go" || s[1].file != "" {
		t.Fatalf("the snippets are %q", s)
	}
	for source, want := range map[string]bool{
		"func f() {\n\tif a {\n\t\tb()\n\t}\n}\n": true,
		"if a {\n\tb()\n}\n":                      true,
		"\tif a {\n\tb()\n\t}\n":                  false, // another indentation
		"\tif a {\n\t\tx()\n\t\tb()\n\t}\n":       false,
	} {
		if s[0].in(source) != want {
			t.Errorf("in %q: %v, want %v", source, !want, want)
		}
	}
}

var link = regexp.MustCompile(`\]\(([^)#: ]*)(#[^) ]*)?\)`)

// Every link of a document to a file of the repository, and to a heading of a document, leads
// somewhere.
func TestLinks(t *testing.T) {
	pages := append(documents(t), "../verify/README.md", "../cmd/bench/README.md")
	for _, page := range pages {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range link.FindAllStringSubmatch(string(text), -1) {
			file := page
			if m[1] != "" {
				file = filepath.Join(filepath.Dir(page), m[1])
			}
			target, err := os.ReadFile(file)
			if err != nil {
				if info, err := os.Stat(file); err != nil || !info.IsDir() {
					t.Errorf("%s: %v", page, err)
				}
				continue
			}
			anchor := strings.TrimPrefix(m[2], "#")
			if anchor != "" && filepath.Ext(file) == ".md" && !hasHeading(string(target), anchor) {
				t.Errorf("%s: %s has no heading #%s", page, file, anchor)
			}
		}
	}
}

var unlinked = regexp.MustCompile(`[^\p{L}\p{N} _-]`)

// hasHeading reports whether a heading of the document has this anchor, by GitHub's rule.
func hasHeading(document, anchor string) bool {
	for _, line := range strings.Split(document, "\n") {
		heading := strings.TrimLeft(line, "#")
		if heading == line {
			continue
		}
		heading = unlinked.ReplaceAllString(strings.ToLower(strings.TrimSpace(heading)), "")
		if strings.ReplaceAll(heading, " ", "-") == anchor {
			return true
		}
	}
	return false
}

// The front page stays one page.
func TestReadmeIsShort(t *testing.T) {
	text, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(text), "\n"); n >= 120 {
		t.Errorf("README.md has %d lines, want under 120", n)
	}
}
