package docs_test

import (
	"go/ast"
	"go/doc"
	"go/parser"
	"go/token"
	"strings"
	"testing"
)

// Each package that others may import has a package comment, and an example that go test runs.
func TestPackagesHaveExamples(t *testing.T) {
	examples, comment := map[string]int{}, map[string]bool{}
	goFiles(t, func(dir, name string) {
		for _, hidden := range []string{"internal", "cmd", "notebooks", "docs", "verify/suite", "verify/internal",
			"verify/article", "verify/builtin"} {
			if dir == hidden || strings.HasPrefix(dir, hidden+"/") {
				return
			}
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil,
			parser.ParseComments|parser.SkipObjectResolution)
		if err != nil || file.Name.Name == "main" {
			return
		}
		examples[dir] += 0
		if !strings.HasSuffix(name, "_test.go") {
			comment[dir] = comment[dir] || file.Doc != nil
			return
		}
		for _, e := range doc.Examples([]*ast.File{file}...) {
			if e.Output != "" {
				examples[dir]++
			}
		}
	})
	for dir, n := range examples {
		if n == 0 {
			t.Errorf("package %s has no example with an output", dir)
		}
		if !comment[dir] {
			t.Errorf("package %s has no package comment", dir)
		}
	}
	if len(examples) < 5 {
		t.Errorf("the packages are %v, want all public ones", examples)
	}
}
