package main

import (
	"bytes"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/convgrad/convgrad/ops"
	"github.com/convgrad/convgrad/train"
)

// execute runs the command and returns its status and what it printed.
func execute(t *testing.T, args ...string) (status int, stdout, stderr string) {
	t.Helper()
	out, err := os.Create(filepath.Join(t.TempDir(), "stdout"))
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	var errs bytes.Buffer
	status = run(args, out, &errs)
	b, err := os.ReadFile(out.Name())
	if err != nil {
		t.Fatal(err)
	}
	return status, string(b), errs.String()
}

// tiny are the flags of a run on a set of 64 pictures 8×8, whose brightest row is their class.
func tiny(t *testing.T) []string {
	t.Helper()
	dir := t.TempDir()
	const n = 64
	images := []byte{0, 0, 8, 3, 0, 0, 0, n, 0, 0, 0, 8, 0, 0, 0, 8}
	labels := []byte{0, 0, 8, 1, 0, 0, 0, n}
	for i := range n {
		picture := make([]byte, 64)
		for k := range picture {
			picture[k] = byte(37 * (i + k) % 50)
		}
		for k := range 8 {
			picture[i%8*8+k] = byte(200 + i%50)
		}
		images, labels = append(images, picture...), append(labels, byte(i%8))
	}
	for _, prefix := range []string{"train", "t10k"} {
		for name, b := range map[string][]byte{"-images-idx3-ubyte": images, "-labels-idx1-ubyte": labels} {
			if err := os.WriteFile(filepath.Join(dir, prefix+name), b, 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	return []string{"-data", "mnist", "-data-dir", dir, "-model", "linear", "-batch", "16"}
}

func TestWrongUsage(t *testing.T) {
	full := t.TempDir()
	if err := os.WriteFile(filepath.Join(full, "something"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		args string
		want string
	}{
		{"-data faces", `the dataset is "faces", want one of cifar10, digits, emnist, fashion-mnist, folder, mnist`},
		{"-data mnist", "there is no directory, want one with MNIST's four IDX files"},
		{"-data-dir x", "want none: it reads no files"},
		{"-model resnet", `"resnet"`},
		{"-loss hinge", `"hinge"`},
		{"-optimizer lion", `"lion", want one of sgd, nesterov, rmsprop, adam, adamw`},
		{"-epochs 0", "0 epochs"},
		{"-batch -3", "batch size is -3"},
		{"-lr NaN", "NaN"},
		{"-lr -1", "-1, want a positive number"},
		{"-threads -1", "-threads is -1"},
		{"-seed x", "invalid value"},
		{"-speed 9", "not defined"},
		{"-momentum 1 -optimizer sgd", "momentum is 1"},
		{"-momentum x", "invalid value"},
		{"-momentum 0.9", "adam takes no momentum"},
		{"-schedule zigzag", `"zigzag", want one of constant`},
		{"-save-every -1", "-save-every: want at least 0"},
		{"-save-every often", "want steps, as 500, or a duration, as 10m"},
		{"-name a/b", "a name without directories"},
		{"-workers -1", "-workers is -1"},
		{"-mixup -1", "mixup is -1"},
		{"-image-size -1", "-image-size is -1"},
		{"resume", "want: train resume RUN"},
		{"resume -epochs 5", "want: train resume RUN"},
		{"resume " + full, full + " holds no checkpoint"},
		{"resume -epochs 5 " + full, full + " holds no checkpoint"},
		{"resume -epochs 5 " + full + " -speed 9", "not defined"},
		{"resume " + full + " -speed 9", "not defined"},
		{"now", `got the argument "now"`},
		{"-out " + full, full},
	} {
		status, out, errs := execute(t, strings.Fields(c.args)...)
		if status != 2 || !strings.Contains(errs, c.want) || out != "" {
			t.Errorf("%s: status %d, %q, %q; want 2 and an error with %q", c.args, status, out, errs, c.want)
		}
		if strings.Count(errs, "\n") != 1 || !strings.HasPrefix(errs, "train: ") {
			t.Errorf("%s: the error is %q, want one line", c.args, errs)
		}
	}
	if status, _, errs := execute(t, "-data", "mnist", "-data-dir", filepath.Join(full, "nowhere")); status != 1 || !strings.Contains(errs, "nowhere") {
		t.Errorf("a directory that is not there: status %d, %q", status, errs)
	}
	status, out, errs := execute(t, "-h")
	for _, want := range []string{"go run ./cmd/train", "Exit codes:", "  130  ", "-momentum", "EMNIST"} {
		if status != 0 || errs != "" || !strings.Contains(out, want) {
			t.Errorf("-h: status %d, %q, %q, want it to say %q", status, out, errs, want)
		}
	}
}

// TestFlags: what is asked for is what is trained.
func TestFlags(t *testing.T) {
	defer ops.SetThreads(ops.Threads())
	here, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	args := "-data mnist -data-dir D -model lenet5 -loss mse -epochs 7 -batch 9 -lr 0.5 -optimizer sgd -momentum 0.5 -weight-decay 0.25 " +
		"-schedule one-cycle -warmup-epochs 1.5 -seed 11 -out new -threads 3 -save-every 8 -fit pad -val-fraction 0.3 -refuse-damaged " +
		"-fraction 0.5 -overfit-batches 2 -hflip -shift 1.5 -crop 4 -rotate 9 -mixup 0.2 -image-size 12 -init W -freeze a,b -accumulate 3 " +
		"-decay-all -clip-grad 1 -ema 0.99 -min-lr 0.001 -force -keep 4 -patience 5 -max-steps 6 -max-time 1h -workers 7 -log-every 9 -quiet -json"
	j, status := parse(strings.Fields(args), io.Discard, io.Discard)
	want := train.Config{
		Data: "mnist", DataDir: filepath.Join(here, "D"), Model: "lenet5", Loss: "mse", Epochs: 7, Batch: 9, Rate: 0.5, Optimizer: "sgd", Momentum: new(0.5), Decay: 0.25,
		Schedule: "one-cycle", WarmUp: 1.5, Seed: 11, Fit: "pad", ValFraction: 0.3, RefuseDamaged: true, Fraction: 0.5, OverfitBatches: 2,
		Flip: true, Shift: 1.5, Crop: 4, Rotate: 9, Mixup: 0.2, ImageSize: 12, Init: filepath.Join(here, "W"), Freeze: "a,b", Accumulate: 3,
		DecayAll: true, Clip: 1, Average: 0.99, MinRate: 0.001,
	}
	all := job{
		Config: want, out: "new", force: true, batchGiven: true, saveEvery: interval{steps: 8}, keep: 4, patience: 5, maxSteps: 6, maxTime: time.Hour,
		threads: 3, workers: 7, logEvery: 9, quiet: true, asLines: true,
	}
	if status >= 0 || !reflect.DeepEqual(j, all) || ops.Threads() != 3 {
		t.Errorf("got %+v on %d threads, status %d, want %+v", j, ops.Threads(), status, want)
	}
	line := repeat(j.Config)
	if again, status := parse(strings.Fields(line)[3:], io.Discard, io.Discard); status >= 0 || !reflect.DeepEqual(again.Config, want) {
		t.Errorf("%s gives %+v, want %+v", line, again.Config, want)
	}
	if got := repeat(train.Recipe("digits", "lenet5", "", "")); got != "go run ./cmd/train -model=lenet5" {
		t.Errorf("what is usual for a network is repeated by %s", got)
	}
	if got := repeat(train.Config{DataDir: "it's mine"}); !strings.Contains(got, ` -data-dir='it'\''s mine' `) {
		t.Errorf("a path with a blank and a quote: %s", got)
	}
	want = train.Config{
		Data: "digits", Model: "article", Loss: "cross-entropy", Epochs: 3, Batch: 32, Rate: 0.002, Optimizer: "adam", Schedule: "cosine", Seed: 1,
	}
	if j, status := parse(nil, io.Discard, io.Discard); status >= 0 || !reflect.DeepEqual(j, job{Config: want}) {
		t.Errorf("without flags: got %+v, status %d, want %+v", j, status, want)
	}
}

// TestFailureLeavesNothing: a run that fails before it has begun leaves no directory of its own.
func TestFailureLeavesNothing(t *testing.T) {
	flags := tiny(t)
	t.Chdir(t.TempDir())
	if status, out, errs := execute(t, append(flags, "-batch", "65")...); status != 2 || !strings.Contains(errs, "batch size is 65, want at most") || out != "" {
		t.Errorf("a batch of more images than there are: status %d, %q, %q", status, out, errs)
	}
	if status, _, errs := execute(t, append(flags, "-model", "article", "-optimizer", "sgd", "-lr", "1e30")...); status != 1 || !strings.Contains(errs, "diverged") {
		t.Errorf("a run that diverges: status %d, %q", status, errs)
	}
	if left, err := filepath.Glob("runs/*"); err != nil || len(left) > 0 {
		t.Errorf("it left %v (%v)", left, err)
	}
}

// TestTrain is a whole run of one epoch by a model that takes a second.
func TestTrain(t *testing.T) {
	if testing.Short() {
		t.Skip("draws 24,000 digits")
	}
	dir := filepath.Join(t.TempDir(), "run")
	status, out, errs := execute(t, "-model", "linear", "-epochs", "1", "-out", dir)
	if status != 0 || errs != "" {
		t.Fatalf("status %d, %q", status, errs)
	}
	lines := strings.Split(strings.TrimSpace(out), "\n")
	if n := len(lines); n < 2 || !regexp.MustCompile(`^test accuracy \d+\.\d\d %$`).MatchString(lines[n-2]) || lines[n-1] != "weights, metrics and report.html in "+dir {
		t.Errorf("the last lines are %q, want the test accuracy in per cent and where the run is", lines[max(0, len(lines)-2):])
	}
	for _, f := range []string{"config.json", "metrics.jsonl", "weights.safetensors", "checkpoint.safetensors", "report.html"} {
		if s, err := os.Stat(filepath.Join(dir, f)); err != nil || s.Size() == 0 {
			t.Errorf("%s: %v", f, err)
		}
	}
	before, err := os.ReadFile(filepath.Join(dir, "weights.safetensors"))
	if err != nil {
		t.Fatal(err)
	}
	if status, _, errs := execute(t, "resume", dir, "-lr", "0.5"); status != 2 || !strings.Contains(errs, "-lr would change the bits") {
		t.Errorf("resume with another rate: status %d, %q", status, errs)
	}
	if status, _, _ := execute(t, "-model", "linear", "-epochs", "1", "-out", dir); status != 2 {
		t.Errorf("a second run into the directory: status %d, want 2", status)
	}
	if after, err := os.ReadFile(filepath.Join(dir, "weights.safetensors")); err != nil || !bytes.Equal(before, after) {
		t.Errorf("the second run changed the weights (%v)", err)
	}
	if status, out, errs := execute(t, "resume", "-epochs", "2", dir); status != 0 || !strings.Contains(out, "epoch 2: loss") || strings.Contains(out, "epoch 1: loss") {
		t.Errorf("resume for another epoch: status %d, %q, %q", status, out, errs)
	}
	if lines := strings.Count(readFile(t, filepath.Join(dir, "metrics.jsonl")), "\n"); lines != 2 {
		t.Errorf("the metrics tell of %d epochs, want 2", lines)
	}
}

func readFile(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// TestStuck: a run that does not move says so in its last line, and by its exit code.
func TestStuck(t *testing.T) {
	flags := append(tiny(t), "-lr", "1e-12", "-epochs", "1")
	for seed := range 20 { // some of which guess better than others
		dir := filepath.Join(t.TempDir(), "run")
		status, out, errs := execute(t, append(flags, "-seed", fmt.Sprint(seed), "-out", dir)...)
		if status == exitStuck && strings.Contains(errs, "train: the network has not learned") && strings.Count(errs, "\n") == 1 &&
			strings.Contains(out, "weights, metrics and report.html in "+dir) {
			return
		}
		if status != 0 || errs != "" {
			t.Fatalf("seed %d: status %d, %q, %q", seed, status, out, errs)
		}
	}
	t.Error("at a rate of nearly 0, no seed of 20 was said not to learn")
}

// TestFolder: pictures of one's own, with a file among them that is none.
func TestFolder(t *testing.T) {
	dir := t.TempDir()
	for class, c := range map[string]color.NRGBA{"rot": {200, 0, 0, 255}, "grün": {0, 180, 0, 255}, "hell blau": {90, 90, 255, 255}} {
		if err := os.Mkdir(filepath.Join(dir, class), 0o755); err != nil {
			t.Fatal(err)
		}
		for i := range 10 {
			img := image.NewNRGBA(image.Rect(0, 0, 8+i, 12))
			for k := range img.Pix {
				img.Pix[k] = [4]uint8{c.R, c.G, c.B, c.A}[k%4]
			}
			var b bytes.Buffer
			if err := png.Encode(&b, img); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(dir, class, fmt.Sprint("Bild ", i, ".png")), b.Bytes(), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "rot", "notes.txt"), []byte("none"), 0o644); err != nil {
		t.Fatal(err)
	}
	run := filepath.Join(t.TempDir(), "run")
	args := []string{"-data", "folder", "-data-dir", dir, "-image-size", "8", "-model", "linear", "-batch", "6", "-epochs", "15", "-out", run}
	if status, _, errs := execute(t, append(args, "-refuse-damaged")...); status != 1 ||
		!strings.Contains(errs, "notes.txt: image: unknown format; without -refuse-damaged they are left out") {
		t.Errorf("with a text file: status %d, %q", status, errs)
	}
	status, out, errs := execute(t, args...)
	if status != 0 || !strings.Contains(errs, "left out: ") || !strings.Contains(out, "24 training and 6 test images (3, 8, 8), 3 classes") ||
		!strings.Contains(out, "test accuracy 100.00 %") {
		t.Errorf("status %d, %q, %q", status, out, errs)
	}
	if status, _, errs := execute(t, "resume", run, "-epochs", "16"); status != 0 {
		t.Errorf("resume: status %d, %q", status, errs)
	}
	c, err := train.Open(run)
	if err != nil {
		t.Fatal(err)
	}
	classes, _, err := c.Classify(make([]uint8, 3*8*8))
	if err != nil || len(classes) != 1 || len(c.Normalisation.Mean) != 3 {
		t.Errorf("got %v of %v, %v", classes, c.Normalisation, err)
	}
}

// TestFewer takes the recipe's batch where it makes four steps an epoch, and less where it does
// not.
func TestFewer(t *testing.T) {
	for _, c := range []struct {
		of         job
		n, batches int
	}{
		{job{Config: train.Config{Batch: 64}}, 256, 64},
		{job{Config: train.Config{Batch: 64}}, 255, 32},
		{job{Config: train.Config{Batch: 64}}, 3, 1},
		{job{Config: train.Config{Batch: 64, Fraction: 0.25}}, 256, 16},
		{job{Config: train.Config{Batch: 64, Accumulate: 2}}, 256, 32},
		{job{Config: train.Config{Batch: 64}, batchGiven: true}, 3, 64},
		{job{Config: train.Config{Batch: 64}, resume: true}, 3, 64},
	} {
		j := c.of
		if j.fewer(c.n); j.Batch != c.batches {
			t.Errorf("%d of %+v: a batch of %d, want %d", c.n, c.of.Config, j.Batch, c.batches)
		}
	}
}
