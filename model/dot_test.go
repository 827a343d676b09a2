package model

import (
	"regexp"
	"strings"
	"testing"

	"gorgonia.org/tensor"
)

// A residual block is drawn as it computes: two ways from its input meet in one sum, and each
// convolution is a box with its name, inside the frames of its block and stage.
func TestDot(t *testing.T) {
	n, err := ByName("resnet20", tensor.Shape{3, 8, 8}, 10, Options{})
	if err != nil {
		t.Fatal(err)
	}
	text, err := n.Dot()
	if err != nil {
		t.Fatal(err)
	}
	id := func(label string) string {
		t.Helper()
		m := regexp.MustCompile(`(?m)^\s*(\w+) \[label="` + regexp.QuoteMeta(label)).FindStringSubmatch(text)
		if m == nil {
			t.Fatalf("no box of %q in\n%s", label, text)
		}
		return m[1]
	}
	from, to := map[string][]string{}, map[string][]string{}
	for _, m := range regexp.MustCompile(`(?m)^\t(\w+) -> (\w+)$`).FindAllStringSubmatch(text, -1) {
		from[m[2]], to[m[1]] = append(from[m[2]], m[1]), append(to[m[1]], m[2])
	}
	if got := to["input"]; len(got) != 1 || got[0] != id("conv1\\nConv2D 16 × 3×3, padding 1, no bias\\n16×8×8") {
		t.Errorf("the input goes to %v, want conv1", got)
	}
	shortcut, bn2 := id("layer2.0.shortcut\\n"), id("layer2.0.bn2\\n")
	if len(to[bn2]) != 1 || len(to[shortcut]) != 1 || to[bn2][0] != to[shortcut][0] {
		t.Errorf("bn2 goes to %v and the shortcut to %v, want one and the same sum", to[bn2], to[shortcut])
	}
	if a, b := from[shortcut], from[id("layer2.0.conv1\\n")]; len(a) != 1 || len(b) != 1 || a[0] != b[0] {
		t.Errorf("the shortcut is of %v and conv1 of %v, want one and the same", a, b)
	}
	if a := to[id("layer1.0.bn2\\n")][0]; len(from[a]) != 2 {
		t.Errorf("the sum of the first block is of %v, want two", from[a])
	}
	if opened, closed := strings.Count(text, "{"), strings.Count(text, "}"); opened != closed || strings.Count(text, "subgraph") != 3+9 {
		t.Errorf("%d braces open and %d close, %d frames, want 12", opened, closed, strings.Count(text, "subgraph"))
	}
	for box := range from {
		if !strings.Contains(text, box+" [label=") {
			t.Errorf("an arrow leads to %s, which is not drawn", box)
		}
	}
	if _, err := (*Network)(nil).Dot(); err == nil {
		t.Error("a nil network is drawn")
	}
}
