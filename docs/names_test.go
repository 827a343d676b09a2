package docs_test

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

// rooted are the packages that documents speak of, by their names.
var rooted = map[string]string{
	"ops": "ops", "vm": "ops/vm", "blas": "ops/blas", "nnops": "ops/nn", "model": "model", "train": "train",
	"data": "train/data", "verify": "verify", "opset": "internal/opset",
}

var qualified = regexp.MustCompile(`\b(ops|vm|blas|nnops|model|train|data|verify|opset)\.([A-Z]\w*)`)

// exported are the exported names of the package in a directory, methods and fields left out.
func exported(t *testing.T, dir string) map[string]bool {
	t.Helper()
	names := map[string]bool{}
	add := func(name string) {
		if ast.IsExported(name) {
			names[name] = true
		}
	}
	files, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range file.Decls {
			switch d := d.(type) {
			case *ast.FuncDecl:
				if d.Recv == nil {
					add(d.Name.Name)
				}
			case *ast.GenDecl:
				for _, s := range d.Specs {
					switch s := s.(type) {
					case *ast.TypeSpec:
						add(s.Name.Name)
					case *ast.ValueSpec:
						for _, n := range s.Names {
							add(n.Name)
						}
					}
				}
			}
		}
	}
	return names
}

// Every name of a package that a document speaks of is there.
func TestNamesExist(t *testing.T) {
	there := map[string]map[string]bool{}
	for name, dir := range rooted {
		there[name] = exported(t, filepath.Join("..", dir))
	}
	for _, page := range append(documents(t), "../verify/README.md", "../cmd/bench/README.md") {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range qualified.FindAllStringSubmatch(string(text), -1) {
			if !there[m[1]][m[2]] {
				t.Errorf("%s: there is no %s", page, m[0])
			}
		}
	}
}
