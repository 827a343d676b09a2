package docs_test

import (
	"bufio"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"strings"
	"testing"
	"unicode/utf8"
)

// columns is the width that a line with a comment may have. A tab counts as four.
const columns = 100

// wideComments are the lines of a file that are wider than columns and hold a comment. Generated
// files have none, and neither have directives nor lines with an address, which cannot be broken.
func wideComments(name string) ([]int, error) {
	fset := token.NewFileSet()
	file, err := parser.ParseFile(fset, name, nil, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil || ast.IsGenerated(file) {
		return nil, err
	}
	holds := map[int]bool{}
	for _, group := range file.Comments {
		if strings.HasPrefix(group.Text(), "Output:") { // what an example prints has its own width
			continue
		}
		for _, c := range group.List {
			for line := fset.Position(c.Pos()).Line; line <= fset.Position(c.End()).Line; line++ {
				holds[line] = true
			}
		}
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var wide []int
	s := bufio.NewScanner(f)
	s.Buffer(nil, 1<<20)
	for line := 1; s.Scan(); line++ {
		text := strings.ReplaceAll(s.Text(), "\t", "    ")
		breakable := !strings.Contains(text, "//go:") && !strings.Contains(text, "https://")
		if holds[line] && breakable && utf8.RuneCountInString(text) > columns {
			wide = append(wide, line)
		}
	}
	return wide, s.Err()
}

// No line with a comment is wider than a reader's window.
func TestCommentsFit(t *testing.T) {
	wide, order := map[string]int{}, []string{}
	goFiles(t, func(dir, name string) {
		lines, err := wideComments(name)
		if err != nil {
			t.Error(err)
			return
		}
		if len(lines) > 0 && wide[dir] == 0 {
			order = append(order, dir)
		}
		wide[dir] += len(lines)
		if testing.Verbose() {
			for _, line := range lines {
				t.Logf("%s:%d", name, line)
			}
		}
	})
	for _, dir := range order {
		t.Errorf("%s has %d lines with a comment wider than %d columns", dir, wide[dir], columns)
	}
}
