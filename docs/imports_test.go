package docs_test

import (
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/convgrad/convgrad"

// A room is a directory with all that lies under it, up to a room of its own.
type room struct {
	path string
	may  []string // rooms of this module that its code may import, beside itself
	not  []string // packages of others that its code must not know
}

var (
	gorgonia = []string{"gorgonia.org/gorgonia", "gorgonia.org/tensor"}
	shell    = []string{"flag", "net/http", "github.com/mmcloughlin/avo"}
	files    = []string{"encoding/json", "io/fs", "path/filepath"}
)

// rooms is the import graph of docs/design.md. Everything points down, nothing points up.
var rooms = []room{
	{"internal/simd/_asm", nil, gorgonia}, // the only user of avo
	{"internal/workers", nil, slices.Concat(gorgonia, shell, files)},
	{"internal/simd", []string{"internal/workers"}, slices.Concat(gorgonia, shell, files)},
	{"internal/kernel", []string{"internal/simd", "internal/workers"},
		slices.Concat(gorgonia, shell, files)},
	{"internal/kerneltest", nil, shell},
	{"internal/exact", nil, slices.Concat(gorgonia, shell, files)},
	{"internal/numbers", nil, slices.Concat(gorgonia, shell, files)},
	{"internal/safetensors", []string{"internal/numbers"}, shell},
	{"internal/pickle", []string{"internal/numbers"}, slices.Concat(gorgonia, shell, files)},
	{"internal/onnx", []string{"internal/numbers"}, slices.Concat(gorgonia, shell, files)},
	{"internal/onnx/operators", []string{"internal/onnx", "ops"}, slices.Concat(shell, files)},
	{"internal/opset", nil, slices.Concat(shell, files)},
	{"ops", []string{"internal/kernel", "internal/opset", "internal/onnx"}, slices.Concat(shell, files)},
	{"ops/vm", []string{"ops", "internal/kernel"}, slices.Concat(shell, files)},
	{"ops/blas", []string{"internal/kernel"}, slices.Concat(shell, files)},
	{"ops/nn", []string{"ops"}, slices.Concat(shell, files)},
	{"model", []string{"ops", "ops/vm", "internal/kernel", "internal/safetensors", "internal/pickle", "internal/numbers",
		"internal/onnx", "internal/onnx/operators"}, shell},
	{"model/zoo", []string{"model", "ops"}, shell},
	{"model/modeltest", []string{"model", "ops", "verify"}, shell},
	{"train", []string{"train/data", "model", "model/zoo", "ops", "internal/kernel",
		"internal/safetensors", "internal/pickle"}, shell},
	{"train/data", []string{"ops"}, []string{"flag"}},
	{"internal/report", []string{"train", "train/data", "model", "ops", "internal/safetensors"}, shell},
	{"internal/serve", []string{"internal/report", "train", "train/data", "model", "ops"}, []string{"flag"}},
	{"verify", []string{"verify/internal/values", "internal/exact"}, shell},
	{"verify/internal/values", nil, shell},
	{"verify/internal", []string{"verify", "verify/internal/values", "internal/kernel"}, shell},
	{"verify/suite", []string{"verify", "verify/internal", "verify/internal/values", "model", "ops", "ops/vm", "internal/kernel", "internal/opset"}, shell},
	{"verify/article", []string{"verify", "verify/internal", "ops", "ops/vm", "internal/kernel", "internal/exact"}, shell},
	{"verify/builtin", []string{"verify", "verify/suite", "verify/internal", "verify/internal/values", "ops", "ops/vm", "internal/kernel"}, shell},
	{"cmd/train", []string{"train", "train/data", "internal/report", "internal/serve", "model", "model/zoo", "ops",
		"internal/kernel", "internal/safetensors", "internal/pickle"}, nil},
	{"cmd/verify", []string{"verify", "verify/suite", "verify/article", "verify/builtin"}, nil},
	{"cmd/bench", []string{"train", "train/data", "model", "model/zoo", "ops", "ops/vm", "ops/blas", "internal/opset",
		"internal/kernel"}, nil},
	{"notebooks", []string{"train", "train/data", "internal/report", "internal/serve", "model", "ops", "ops/vm", "verify",
		"verify/suite", "verify/article", "verify/builtin", "internal/kernel", "internal/exact"}, nil},
	{"docs", nil, nil},
	{"docs/examples", []string{"train", "train/data", "model", "ops", "ops/nn"}, nil},
}

// roomOf is the room of a directory: the one with the longest path that contains it.
func roomOf(dir string) (room, bool) {
	best, found := room{}, false
	for _, r := range rooms {
		inside := dir == r.path || strings.HasPrefix(dir, r.path+"/")
		if inside && len(r.path) >= len(best.path) {
			best, found = r, true
		}
	}
	return best, found
}

// refusal says why code in the directory dir must not import a package, or nothing if it may.
func refusal(dir, imported string) string {
	from, ok := roomOf(dir)
	if !ok {
		return dir + " is in no room: give it one in docs/imports_test.go and docs/design.md"
	}
	for _, not := range from.not {
		if imported == not || strings.HasPrefix(imported, not+"/") {
			return "the room " + from.path + " must not know " + imported
		}
	}
	target, ours := strings.CutPrefix(imported, module+"/")
	if !ours {
		return ""
	}
	to, ok := roomOf(target)
	switch {
	case !ok:
		return imported + " is in no room"
	case to.path == from.path || slices.Contains(from.may, to.path):
		return ""
	}
	return "the room " + from.path + " must not import the room " + to.path
}

// goFiles calls f with each Go file of the repository, whatever its build tags, and its directory.
func goFiles(t *testing.T, f func(dir, name string)) {
	t.Helper()
	err := filepath.WalkDir("..", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		base := d.Name()
		if d.IsDir() && name != ".." && (base[0] == '.' || base == "testdata") {
			return filepath.SkipDir
		}
		if !d.IsDir() && path.Ext(base) == ".go" {
			relative, err := filepath.Rel("..", name)
			if err != nil {
				return err
			}
			f(path.Dir(filepath.ToSlash(relative)), name)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// Every import of every file that is not a test agrees with the rooms. Tests may import what they
// like: Go itself keeps their imports out of programs.
func TestImportsPointDown(t *testing.T) {
	files := 0
	goFiles(t, func(dir, name string) {
		if strings.HasSuffix(name, "_test.go") {
			return
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ImportsOnly)
		if err != nil {
			t.Error(err)
			return
		}
		files++
		for _, spec := range file.Imports {
			imported, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				t.Errorf("%s: %v", name, err)
				continue
			}
			if why := refusal(dir, imported); why != "" {
				t.Errorf("%s imports %s: %s", name, imported, why)
			}
		}
	})
	if files < 50 {
		t.Errorf("%d files were read, want the whole repository", files)
	}
}

// The rooms themselves point down: each room imports only rooms that come before it in some order.
func TestRoomsHaveNoCycle(t *testing.T) {
	below := map[string][]string{}
	for _, r := range rooms {
		below[r.path] = r.may
	}
	for len(below) > 0 {
		removed := false
		for path, may := range below {
			if !slices.ContainsFunc(may, func(m string) bool { _, there := below[m]; return there }) {
				delete(below, path)
				removed = true
			}
		}
		if !removed {
			t.Fatalf("these rooms import each other in a circle: %v", below)
		}
	}
}

// What would break the graph is refused.
func TestForbiddenImportsAreRefused(t *testing.T) {
	for _, c := range []struct{ dir, imported string }{
		{"ops", module + "/train"},
		{"ops", module + "/ops/vm"},
		{"internal/kernel", module + "/ops"},
		{"internal/kernel/deeper", "gorgonia.org/tensor"},
		{"internal/simd", module + "/internal/kernel"},
		{"model", module + "/train"},
		{"train", "flag"},
		{"verify", module + "/ops"},
		{"verify/suite", module + "/train"},
		{"newroom", "fmt"},
		{"ops", module + "/newroom"},
	} {
		if refusal(c.dir, c.imported) == "" {
			t.Errorf("%s may import %s", c.dir, c.imported)
		}
	}
	if why := refusal("train", module+"/model"); why != "" {
		t.Errorf("train may not import model: %s", why)
	}
}

// Each module that go.mod requires directly has its reason in docs/design.md.
func TestDependenciesHaveReasons(t *testing.T) {
	mod, err := os.ReadFile("../go.mod")
	if err != nil {
		t.Fatal(err)
	}
	design, err := os.ReadFile("design.md")
	if err != nil {
		t.Fatal(err)
	}
	direct := 0
	for _, line := range strings.Split(string(mod), "\n") {
		fields := strings.Fields(line)
		if !strings.HasPrefix(line, "\t") || strings.Contains(line, "// indirect") || len(fields) < 2 {
			continue
		}
		direct++
		if !strings.Contains(string(design), "`"+fields[0]+"`") {
			t.Errorf("docs/design.md does not say why go.mod requires %s", fields[0])
		}
	}
	if direct == 0 {
		t.Error("go.mod requires nothing")
	}
}
