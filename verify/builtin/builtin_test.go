package builtin

import (
	"os"
	"testing"
)

func TestMain(m *testing.M) {
	if Child() {
		return
	}
	os.Exit(m.Run())
}

// The checker finds every defect that is known, and blames nothing else.
func TestBuiltIns(t *testing.T) {
	if testing.Short() {
		t.Skip("starts children, which are slow under the race detector")
	}
	for _, b := range Check() {
		t.Logf("%s: %s: %s", b.Title(), b.Verdict(), b.Finding)
		if b.Failed != "" {
			t.Errorf("%s was not checked: %s", b.Title(), b.Failed)
		}
		if known := b.Known != ""; known != b.Defect {
			t.Errorf("%s: defect found: %v, known: %q: %s", b.Title(), b.Defect, b.Known, b.Finding)
		}
	}
}
