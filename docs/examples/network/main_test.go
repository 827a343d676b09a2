package main

import (
	"os/exec"
	"regexp"
	"strconv"
	"testing"
)

// The front page's program learns to read digits.
func TestNetwork(t *testing.T) {
	if testing.Short() {
		t.Skip("trains a network")
	}
	out, err := exec.Command("go", "run", ".").CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	says := regexp.MustCompile(`(?m)^(\S+) % of 1000 digits read right$`).FindSubmatch(out)
	if says == nil {
		t.Fatalf("it says\n%s", out)
	}
	if share, err := strconv.ParseFloat(string(says[1]), 64); err != nil || share < 95 {
		t.Errorf("it reads %s %% right, want 95 at least", says[1])
	}
}
