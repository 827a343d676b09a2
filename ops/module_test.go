package ops_test

import (
	"os"
	"os/exec"
	"regexp"
	"runtime/debug"
	"strings"
	"testing"
)

// Gorgonia and its tensors import go4.org/unsafe/assume-no-moving-gc, which panics as a program
// starts if it does not know the version of Go. Before 2023-11-21 it knew versions by a list, since
// then it asks the runtime. The tensors alone would bring a version of 2022-06-17: with that, every
// program ends in "Something in this program imports go4.org/unsafe/assume-no-moving-gc […] but
// your version […] hasn't been updated to assert that it's safe against the go1.26 runtime"
// (gorgonia#523, #531). So go.mod must ask for a later one, which also reaches everyone who imports
// this module, and a package of the module must import it, or go mod tidy could let it go.
const (
	noMovingGC = "go4.org/unsafe/assume-no-moving-gc"
	cured      = "v0.0.0-20231121" // versions without a tag are ordered by their time
)

func requirement(t *testing.T, mod string) string {
	t.Helper()
	text, err := os.ReadFile(mod)
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile(`(?m)^\s*(?:require\s+)?` + regexp.QuoteMeta(noMovingGC) + `\s+(\S+)`).FindSubmatch(text)
	if m == nil {
		t.Fatalf("%s does not require %s", mod, noMovingGC)
	}
	return string(m[1])
}

func TestModuleStartsOnThisGo(t *testing.T) {
	if v := requirement(t, "../go.mod"); v < cured {
		t.Errorf("go.mod requires %s %s, want %s or later: Gorgonia would panic at start", noMovingGC, v, cured)
	}
	source, err := os.ReadFile("doc.go")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(source), `import (`+"\n\t_ \""+noMovingGC+`"`) {
		t.Errorf("doc.go does not import %s", noMovingGC)
	}
	// What this very program was linked with, where the toolchain notes it.
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, dep := range info.Deps {
			if dep.Replace != nil {
				dep = dep.Replace
			}
			if dep.Path == noMovingGC && dep.Version < cured {
				t.Errorf("linked with %s %s", dep.Path, dep.Version)
			}
		}
	}
}

// The requirement is needed: what the tensors ask for by themselves is too old. Once it is not, the
// requirement can go.
func TestModuleRequirementIsNeeded(t *testing.T) {
	mod, err := exec.Command("go", "list", "-m", "-f", "{{.GoMod}}", "gorgonia.org/tensor").Output()
	if err != nil {
		t.Skipf("no go command to ask: %v", err)
	}
	if v := requirement(t, strings.TrimSpace(string(mod))); v >= cured {
		t.Errorf("gorgonia.org/tensor requires %s by itself, and go.mod need not", v)
	}
}
