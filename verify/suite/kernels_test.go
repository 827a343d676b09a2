package suite

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// Mistakes planted in the library's real kernels, one at a time: the command is built from a source
// with one expression changed, and must fail and name the op. It builds the command again and
// again, so it waits to be asked for, as .ci/run does.
func TestMistakesInKernels(t *testing.T) {
	if os.Getenv("CONVGRAD_MUTANTS") == "" {
		t.Skip("set CONVGRAD_MUTANTS to build the command with each mistake")
	}
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range []struct{ mistake, op, file, right, wrong string }{
		{"the last elements cut at 1, not 0", "ReLU", "simd/elementwise.go", "y[i] = max(x[i], 0)", "y[i] = max(x[i], 1)"},
		{"the bias's gradient overwritten by each image", "Conv2D", "kernel/conv.go", "total += simd.Sum(", "total = simd.Sum("},
		{"dilation ignored in dx", "Conv2D", "kernel/conv.go", "ph + w.Before - r*w.Dilation", "ph + w.Before - r"},
		{"the kernel not flipped", "Conv2D, flipped or grouped", "kernel/conv.go", "return size - 1 - r", "return r"},
		{"dilation of the other axis in dw", "Conv2D", "kernel/conv_filter.go", "g.element(s, g.S)*g.Cols.Dilation)", "g.element(s, g.S)*g.Rows.Dilation)"},
		{"a winner of two windows gets the last one's", "MaxPool2D", "kernel/pooling.go", "dx[k] += dy[i]", "dx[k] = dy[i]"},
		{"the divisor is the image's size", "AvgPool2D", "kernel/avgpool.go", "return g.R * g.S", "return g.H * g.W"},
		{"kept elements over p, not 1 − p", "Dropout", "kernel/dropout.go", "scale := T(1 / (1 - p))", "scale := T(1 / p)"},
		{"the maximum not put back", "CrossEntropy", "kernel/softmax.go", "- (float64(row[labels[i]]) - float64(top))", "- float64(row[labels[i]])"},
	} {
		t.Run(m.mistake, func(t *testing.T) {
			dir := t.TempDir()
			file := filepath.Join(root, "internal", filepath.FromSlash(m.file))
			source, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if n := strings.Count(string(source), m.right); n != 1 {
				t.Fatalf("%s has %q %d times, want once: choose another expression", m.file, m.right, n)
			}
			wrong, overlay, command := filepath.Join(dir, "wrong.go"), filepath.Join(dir, "overlay.json"), filepath.Join(dir, "verify")
			replace, err := json.Marshal(map[string]map[string]string{"Replace": {file: wrong}})
			if err != nil {
				t.Fatal(err)
			}
			for name, content := range map[string]string{wrong: strings.Replace(string(source), m.right, m.wrong, 1), overlay: string(replace)} {
				if err := os.WriteFile(name, []byte(content), 0o666); err != nil {
					t.Fatal(err)
				}
			}
			build := exec.Command("go", "build", "-overlay", overlay, "-o", command, "./cmd/verify")
			build.Dir = root
			if out, err := build.CombinedOutput(); err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			run := exec.Command(command, "-cases", "60", "-op", m.op)
			out, err := run.CombinedOutput()
			if run.ProcessState.ExitCode() != 1 || !strings.Contains(string(out), "FAILED: "+m.op) {
				t.Errorf("not caught: %v\n%s", err, out)
			}
		})
	}
}
