package main

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/convgrad/convgrad/notebooks/page/scene"
)

// Each link to a scene, in README and documents, is an address as the page writes it. Together the
// documents lead to every scene, from every equation.
func TestLinks(t *testing.T) {
	link := regexp.MustCompile("(?:localhost:8080/|`)#([0-9]+[^)` ]*)")
	led, equations := map[string]bool{}, map[int]bool{}
	for _, name := range []string{"../../README.md", "../README.md", "../../docs/equations.md"} {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(text)) {
			for _, m := range link.FindAllStringSubmatch(line, -1) {
				id, _, _ := strings.Cut(m[1], "?")
				if got := scene.Parse(m[1]).Address(id); got != m[1] || scene.ByID(id) == nil {
					t.Errorf("%s: the page would write #%s as #%s", name, m[1], got)
				}
				led[id] = true
				for _, n := range regexp.MustCompile(`\d+`).FindAllString(strings.Split(line, "|")[min(1, strings.Count(line, "|"))], -1) {
					if k, err := strconv.Atoi(n); err == nil {
						equations[k] = true
					}
				}
			}
		}
	}
	for _, s := range scene.Scenes {
		if !led[s.ID] {
			t.Errorf("no document links scene %s", s.ID)
		}
	}
	for k := 1; k <= 22; k++ {
		if !equations[k] {
			t.Errorf("no link for Eq. %d", k)
		}
	}
}

// What the documents say of the page and of its formulas.
func TestClaims(t *testing.T) {
	words := strings.Join(strings.Fields(read(t, "../README.md")), " ")
	for _, claim := range []string{
		fmt.Sprintf("%s scenes and a small network that learns the reader's own drawings", map[int]string{10: "ten"}[len(scene.Scenes)-1]),
		"The project's Go computes every number in the browser",
		"The files are static, and work in any folder of any host",
		"`#6?g=show&i=0&j=5` is scene 6 at the pixel (0, 5) with its results in sight",
	} {
		if !strings.Contains(words, claim) {
			t.Errorf("notebooks/README.md does not say %q", claim)
		}
	}
	body, _ := scene.Render("6", scene.Parse("6?g=show&i=0&j=5"))
	if !strings.Contains(body, "∂E/∂o[0,5] = ") {
		t.Error("that address does not show the pixel (0, 5)")
	}
	// docs/equations.md calls these two links a formula with its counter-example.
	for address, formula := range map[string]string{
		"7?g=show":                          "rot180(δ) ∗ o",
		"7?g=show&goal=do&ra=no&b=w&rb=yes": "δ ∗ rot180(w)",
	} {
		body, _ := scene.Render("7", scene.Parse(address))
		if !strings.Contains(body, formula+" does not hold: the smallest case in which they differ") {
			t.Errorf("#%s does not refute %s", address, formula)
		}
		if !strings.Contains(read(t, "../../docs/equations.md"), formula+", with its counter-example](http://localhost:8080/#"+address+")") {
			t.Errorf("docs/equations.md does not link #%s", address)
		}
	}
	// The page is static files that name no host.
	dir := t.TempDir()
	if _, err := write(dir); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"index.html", "page.js"} {
		text := read(t, filepath.Join(dir, name))
		if at := regexp.MustCompile(`(?:src|href)="(/|https?:)|fetch\('(/|http)`).FindString(text); at != "" {
			t.Errorf("%s asks elsewhere: %s", name, at)
		}
	}
	if files, err := os.ReadDir(dir); err != nil || len(files) != 4 {
		t.Errorf("%d files, want 4: %v", len(files), err)
	}
}

func read(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
