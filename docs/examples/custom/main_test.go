package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/convgrad/convgrad/train"
)

// TestCustom runs the example as a user would: two processes, of which the second reads what the
// first has saved. Both say the same, and the network has learned.
func TestCustom(t *testing.T) {
	if testing.Short() {
		t.Skip("builds and runs a program")
	}
	program := filepath.Join(t.TempDir(), "custom")
	if out, err := exec.Command("go", "build", "-o", program, ".").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	in := t.TempDir()
	c := exec.Command(program)
	c.Dir = in
	out, err := c.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	says := regexp.MustCompile(`^trained: (\d+\.\d) % of 500 test images are right\n` +
		`served: (\d+\.\d) % of 500 test images are right\n$`).FindStringSubmatch(string(out))
	if says == nil {
		t.Fatalf("it says %q", out)
	}
	if says[1] != says[2] || says[1] < "80.0" {
		t.Errorf("trained, %s %% are right, and served %s %%; want the same, and at least 80", says[1], says[2])
	}
	net, err := network()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := train.OpenWith(filepath.Join(in, "runs", "custom"), net); err != nil {
		t.Fatal(err)
	}
	mean := net.Buffers()
	if len(mean) != 1 || mean[0].Name != "center.running_mean" || slices.Contains(mean[0].Value.Data().([]float32), 0) {
		t.Errorf("the buffers are %v, want one of means that are not 0", mean)
	}
}

// TestLength: the example keeps to what it is to show.
func TestLength(t *testing.T) {
	b, err := os.ReadFile("main.go")
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(b), "\n"); n >= 120 {
		t.Errorf("the example has %d lines, want less than 120", n)
	}
}
