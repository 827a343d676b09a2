package main

import (
	"os/exec"
	"regexp"
	"strconv"
	"testing"
)

// Gorgonia's words over our ops learn to read digits, under TapeMachine.
func TestConvnet(t *testing.T) {
	if testing.Short() {
		t.Skip("trains a network")
	}
	out, err := exec.Command("go", "run", ".", "-train", "2000", "-width", "16", "-batchsize", "20").CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	says := regexp.MustCompile(`(?m)^(\S+) % of 1000 digits read right$`).FindSubmatch(out)
	if says == nil {
		t.Fatalf("it says\n%s", out)
	}
	if share, err := strconv.ParseFloat(string(says[1]), 64); err != nil || share < 90 {
		t.Errorf("it reads %s %% right, want 90 at least", says[1])
	}
}
