package lab

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestExercises gives the right answer and each of the typical wrong ones.
func TestExercises(t *testing.T) {
	solutions, err := os.ReadFile("../solutions.md")
	if err != nil {
		t.Fatal(err)
	}
	count := map[byte]int{}
	for _, e := range exercises {
		count[e.id[0]]++
		if got := judge(e.id, e.answer()...); !strings.HasPrefix(got, "✓") || !strings.Contains(got, e.because) {
			t.Errorf("%s: the right answer, %v, gets %q", e.id, e.answer(), got)
		}
		if len(e.wrong) < 3 {
			t.Errorf("%s: %d typical mistakes, want 3", e.id, len(e.wrong))
		}
		for _, w := range e.wrong {
			if got := judge(e.id, w.answer...); !strings.HasPrefix(got, "✗") || !strings.Contains(got, w.says) {
				t.Errorf("%s: %v gets %q, want %q", e.id, w.answer, got, w.says)
			}
		}
		nonsense := e.answer()
		nonsense[len(nonsense)-1] = 12345.5
		if got := judge(e.id, nonsense...); !strings.HasPrefix(got, "✗") || len(nonsense) > 1 && !strings.Contains(got, fmt.Sprintf("number %d,", len(nonsense))) {
			t.Errorf("%s: nonsense gets %q", e.id, got)
		}
		if got := judge(e.id, append(e.answer(), 0)...); !strings.Contains(got, "the question asks for") {
			t.Errorf("%s: one number too many gets %q", e.id, got)
		}
		if line := fmt.Sprintf("| %s | %s | %s |", e.id, list(e.answer()), e.because); !strings.Contains(string(solutions), line) {
			t.Errorf("solutions.md lacks the line\n%s", line)
		}
		files, err := filepath.Glob("../src/0" + e.id[:1] + "-*.md")
		if err != nil || len(files) != 1 {
			t.Fatalf("%s: %v, %v", e.id, files, err)
		}
		source, err := os.ReadFile(files[0])
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(string(source), fmt.Sprintf("lab.Exercise(%q)", e.id)) {
			t.Errorf("%s is not in %s", e.id, files[0])
		}
	}
	for n := byte('1'); n <= '7'; n++ {
		if count[n] < 3 || count[n] > 5 {
			t.Errorf("notebook %c has %d exercises, want 3 to 5", n, count[n])
		}
	}
}
