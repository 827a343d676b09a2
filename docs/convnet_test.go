package docs_test

import (
	"encoding/binary"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/convgrad/convgrad/train/data"
)

// Gorgonia's own program examples/convnet, with the lines changed that migrating.md says, trains on
// drawn digits under TapeMachine. It needs a module that this one does not require, and so the
// network, and runs where it is asked for.
func TestConvnetOfGorgonia(t *testing.T) {
	if os.Getenv("CONVGRAD_GORGONIA") == "" {
		t.Skip("set CONVGRAD_GORGONIA to train Gorgonia's program: it needs the network")
	}
	where, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "gorgonia.org/gorgonia").Output()
	if err != nil {
		t.Fatal(err)
	}
	source, err := os.ReadFile(filepath.Join(strings.TrimSpace(string(where)), "examples/convnet/main.go"))
	if err != nil {
		t.Fatal(err)
	}
	program := changed(t, string(source))

	repository, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	mod, err := os.ReadFile("../go.mod")
	if err != nil {
		t.Fatal(err)
	}
	sum, err := os.ReadFile("../go.sum")
	if err != nil {
		t.Fatal(err)
	}
	header := "module convnet\nrequire " + module + " v0.0.0\nreplace " + module + " => " + repository + "\n"
	dir := t.TempDir()
	write := func(name string, content []byte) {
		t.Helper()
		name = filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, content, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	write("convnet/main.go", []byte(program))
	write("convnet/go.mod", []byte(strings.Replace(string(mod), "module "+module+"\n", header, 1)))
	write("convnet/go.sum", sum)
	images, labels := idx(t, 2000)
	write("testdata/mnist/train-images-idx3-ubyte", images)
	write("testdata/mnist/train-labels-idx1-ubyte", labels)

	run := exec.Command("go", "run", ".", "-epochs", "4", "-batchsize", "25", "-dtype", "float32")
	run.Dir = filepath.Join(dir, "convnet")
	run.Env = append(os.Environ(), "GOFLAGS=-mod=mod")
	said, err := run.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, said)
	}
	// The program's targets are 0.9 and nine times 0.1. Guesses cost 1.8·log(10)/10 = 0.414, and
	// the best that there is, p = (½, 1/18, …), costs 0.9·(log(2) + log(18))/10 = 0.323.
	last := regexp.MustCompile(`Epoch 3 \| cost (\S+)`).FindSubmatch(said)
	if last == nil {
		t.Fatalf("it says %s", said)
	}
	cost, err := strconv.ParseFloat(string(last[1]), 64)
	if t.Logf("its last cost is %v", cost); err != nil || !(cost < 0.35) {
		t.Errorf("its last cost is %s, want under 0.35", last[1])
	}
}

// changed is the program with the lines of migrating.md's diff changed, each of which must be there
// once.
func changed(t *testing.T, program string) string {
	t.Helper()
	page, err := os.ReadFile("migrating.md")
	if err != nil {
		t.Fatal(err)
	}
	block := regexp.MustCompile("(?s)```diff\n(.*?)```").FindSubmatch(page)
	if block == nil {
		t.Fatal("migrating.md has no diff")
	}
	var old string
	for _, line := range strings.SplitAfter(string(block[1]), "\n") {
		switch {
		case strings.HasPrefix(line, "-"):
			old = line[1:]
		case strings.HasPrefix(line, "+"):
			if n := strings.Count(program, "\n"+old); n != 1 {
				t.Fatalf("Gorgonia's program has the line %q %d times", old, n)
			}
			program = strings.Replace(program, "\n"+old, "\n"+line[1:], 1)
		}
	}
	return program
}

// idx is drawn digits in MNIST's format.
func idx(t *testing.T, n int) (images, labels []byte) {
	t.Helper()
	digits, _, err := data.Digits(n, 1, 1)
	if err != nil {
		t.Fatal(err)
	}
	images = binary.BigEndian.AppendUint32(nil, 0x803)
	for _, side := range []int{n, 28, 28} {
		images = binary.BigEndian.AppendUint32(images, uint32(side))
	}
	labels = binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(nil, 0x801), uint32(n))
	x := make([]float32, 28*28)
	for i := range n {
		pixels, err := digits.Pixels(i)
		if err != nil {
			t.Fatal(err)
		}
		target, err := digits.Read(i, x)
		if err != nil {
			t.Fatal(err)
		}
		images, labels = append(images, pixels...), append(labels, byte(target.Class))
	}
	return images, labels
}
