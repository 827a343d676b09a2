package train

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/convgrad/convgrad/model"
	"github.com/convgrad/convgrad/ops"
)

func small(t *testing.T) *Dataset {
	t.Helper()
	d, err := DrawDigits(240, 60, 1)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func config() Config {
	return Config{Data: "digits", Model: "article", Loss: "cross-entropy", Epochs: 2, Batch: 16, Optimizer: "adam", Seed: 1}
}

// weights trains and returns the bytes of the weights file.
func weights(t *testing.T, c Config, d *Dataset, threads int) []byte {
	t.Helper()
	defer ops.SetThreads(ops.SetThreads(threads))
	dir := filepath.Join(t.TempDir(), "run")
	if _, err := Run(context.Background(), c, d, dir, nil); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(filepath.Join(dir, WeightsFile))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestSameSeedSameBits: the weights file is the same, byte for byte, at any number of threads and from run to run; another seed, loss or optimizer gives another. The convnet has dropout.
func TestSameSeedSameBits(t *testing.T) {
	d := small(t)
	models := []string{"article", "convnet"}
	if testing.Short() {
		models = models[:1]
	}
	for _, name := range models {
		c := config()
		c.Model, c.Epochs = name, 1
		want := weights(t, c, d, 1)
		for _, threads := range []int{1, 2, 3, 7} {
			if !bytes.Equal(weights(t, c, d, threads), want) {
				t.Errorf("%s: %d threads give other weights than one", name, threads)
			}
		}
	}
	want := weights(t, config(), d, 2)
	for what, change := range map[string]func(c *Config){
		"seed":      func(c *Config) { c.Seed = 2 },
		"loss":      func(c *Config) { c.Loss = "mse" },
		"optimizer": func(c *Config) { c.Optimizer = "sgd" },
		"rate":      func(c *Config) { c.Rate = 0.002 },
	} {
		c := config()
		change(&c)
		if bytes.Equal(weights(t, c, d, 2), want) {
			t.Errorf("another %s gives the same weights", what)
		}
	}
}

// recorder cancels after some steps, and keeps what it hears.
type recorder struct {
	cancel context.CancelFunc
	after  int
	steps  int
	epochs []Epoch
}

func (r *recorder) Step(epoch, done, total int, loss float64) {
	if r.steps++; r.steps == r.after {
		r.cancel()
	}
}
func (r *recorder) Epoch(e Epoch) { r.epochs = append(r.epochs, e) }

func TestRunDirectory(t *testing.T) {
	d, dir := small(t), filepath.Join(t.TempDir(), "run")
	r := &recorder{}
	res, err := Run(context.Background(), config(), d, dir, r)
	if err != nil {
		t.Fatal(err)
	}
	if len(res.Epochs) != 2 || res.Steps != 30 || res.Interrupted || res.Dir != dir || r.steps != 30 || len(r.epochs) != 2 {
		t.Errorf("got %d epochs, %d steps, interrupted %v, %q; heard of %d steps and %d epochs", len(res.Epochs), res.Steps, res.Interrupted, res.Dir, r.steps, len(r.epochs))
	}
	b, err := os.ReadFile(filepath.Join(dir, ConfigFile))
	if err != nil {
		t.Fatal(err)
	}
	var written struct{ Config }
	if err := json.Unmarshal(b, &written); err != nil {
		t.Fatal(err)
	}
	want := config()
	if err := want.Check(); err != nil { // fills the rate in
		t.Fatal(err)
	}
	if written.Config != want {
		t.Errorf("config.json holds %+v, want %+v", written.Config, want)
	}
	f, err := os.Open(filepath.Join(dir, MetricsFile))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	lines := 0
	for s, i := bufio.NewScanner(f), 0; s.Scan(); i++ {
		lines++
		var e Epoch
		if err := json.Unmarshal(s.Bytes(), &e); err != nil {
			t.Fatal(err)
		}
		if i >= len(res.Epochs) || e != res.Epochs[i] {
			t.Errorf("line %d of the metrics is %+v, want %+v", i+1, e, res.Epochs)
		}
	}
	if lines != len(res.Epochs) {
		t.Errorf("the metrics have %d lines, want %d", lines, len(res.Epochs))
	}
	net, err := model.ByName("article", d.Input, len(d.Classes), model.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := net.LoadFile(filepath.Join(dir, WeightsFile), model.LoadOptions{}); err != nil {
		t.Fatal(err)
	}
	for i, p := range net.Params() {
		a, b := p.Value.Data().([]float32), res.Network.Params()[i].Value.Data().([]float32)
		for k := range a {
			if a[k] != b[k] {
				t.Fatalf("%s: the file's weights are not the network's", p.Name)
			}
		}
	}
	if _, err := Run(context.Background(), config(), d, dir, nil); err == nil || !strings.Contains(err.Error(), dir) {
		t.Errorf("a second run into the same directory: %v, want an error that names it", err)
	}
	after, err := os.ReadFile(filepath.Join(dir, ConfigFile))
	if err != nil || !bytes.Equal(after, b) {
		t.Errorf("the second run touched config.json (%v)", err)
	}
}

// An evaluation takes every test image once, the last, short batch too, and weighs them alike.
func TestEvaluationTakesEveryImage(t *testing.T) {
	d, err := DrawDigits(240, evalBatch+17, 1)
	if err != nil {
		t.Fatal(err)
	}
	c, dir := config(), filepath.Join(t.TempDir(), "run")
	res, err := Run(context.Background(), c, d, dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	run, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	classes, outputs, err := run.Classify(d.Test.Images)
	if err != nil {
		t.Fatal(err)
	}
	right, loss := 0, 0.0
	for i, class := range classes {
		sum, row := 0.0, outputs.Data().([]float32)[10*i:][:10]
		for _, v := range row {
			sum += math.Exp(float64(v))
		}
		label := int(d.Test.Labels[i])
		loss += math.Log(sum) - float64(row[label])
		if class == label {
			right++
		}
	}
	e := res.Epochs[len(res.Epochs)-1]
	if got := e.TestAccuracy * float64(d.Test.Len()); math.Round(got) != float64(right) {
		t.Errorf("%v images were classified as labelled, one pass over them all says %d", got, right)
	}
	// Rounding is of a millionth; a batch left out, or one of 17 weighed like one of 250, is of some hundredths.
	if want := loss / float64(d.Test.Len()); !(math.Abs(e.TestLoss-want) <= 1e-3*want) {
		t.Errorf("the loss is %v, one pass over all images says %v", e.TestLoss, want)
	}
}

func TestInterruptedRunSaves(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	dir := filepath.Join(t.TempDir(), "run")
	r := &recorder{cancel: cancel, after: 17} // in the second epoch
	res, err := Run(ctx, config(), small(t), dir, r)
	if err != nil {
		t.Fatal(err)
	}
	if !res.Interrupted || res.Steps != 17 || len(res.Epochs) != 1 {
		t.Errorf("got interrupted %v after %d steps and %d epochs, want true, 17 and 1", res.Interrupted, res.Steps, len(res.Epochs))
	}
	f, err := os.Open(filepath.Join(dir, WeightsFile))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	meta, err := model.Metadata(f)
	if err != nil || meta["steps"] != "17" {
		t.Errorf("the weights are of step %q (%v), want 17", meta["steps"], err)
	}
}

// TestBeginsFromTheSeed: a run that is cancelled before its first step keeps the weights that it began with, Init's of the seed.
func TestBeginsFromTheSeed(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	for _, seed := range []uint64{1, 2} {
		c := config()
		c.Seed = seed
		res, err := Run(ctx, c, small(t), filepath.Join(t.TempDir(), "run"), nil)
		if err != nil || !res.Interrupted || res.Steps != 0 {
			t.Fatalf("got %+v, %v, want an interrupted run of no steps", res, err)
		}
		run, err := Open(res.Dir)
		if err != nil {
			t.Fatal(err)
		}
		want, err := model.ByName("article", run.Input, len(run.Classes), model.Options{})
		if err != nil {
			t.Fatal(err)
		}
		if err := want.Init(seed); err != nil {
			t.Fatal(err)
		}
		for i, p := range want.Params() {
			if !slices.Equal(p.Value.Data().([]float32), run.Network.Params()[i].Value.Data().([]float32)) {
				t.Errorf("seed %d: %s is not as Init has it", seed, p.Name)
			}
		}
	}
}

// TestMasksGoByTheStep: at a rate of 0 two steps on the same images differ by what is dropped alone, and a step that is made again is the same.
func TestMasksGoByTheStep(t *testing.T) {
	d := small(t)
	net, err := model.New(model.Sequential{model.Flatten{}, model.Dropout{P: 0.5}, model.Linear{Outputs: 10}}, d.Input, model.Options{})
	if err != nil {
		t.Fatal(err)
	}
	tr := &trainer{data: d, net: net, optimizer: &SGD{}, norm: measure(d.Train.Images), total: 4}
	if tr.graph, err = net.Build(8, model.BuildOptions{Loss: model.SquaredError{}, Training: true, Seed: 1}); err != nil {
		t.Fatal(err)
	}
	defer tr.close()
	step := func(number int) float64 {
		tr.steps = number
		loss, _, err := tr.step([]int{0, 1, 2, 3, 4, 5, 6, 7})
		if err != nil {
			t.Fatal(err)
		}
		return loss
	}
	if a, b, again := step(0), step(1), step(0); a == b || a != again {
		t.Errorf("the losses of steps 0, 1 and 0 are %v, %v and %v, want the first and last alike", a, b, again)
	}
}

func TestDivergenceIsAnError(t *testing.T) {
	c := config()
	c.Optimizer, c.Rate = "sgd", 1e30
	dir := filepath.Join(t.TempDir(), "run")
	_, err := Run(context.Background(), c, small(t), dir, nil)
	wants(t, err, "epoch 1", "want a finite number", "diverged")
}

func TestConfigErrors(t *testing.T) {
	d := small(t)
	for want, change := range map[string]func(c *Config){
		"0 epochs, want 1 to 1048576":       func(c *Config) { c.Epochs = 0 },
		"9223372036854775807 epochs, want":  func(c *Config) { c.Epochs = math.MaxInt },
		"batch size is -1":                  func(c *Config) { c.Batch = -1 },
		"batch size is 241, want at most":   func(c *Config) { c.Batch = 241 },
		"learning rate is NaN":              func(c *Config) { c.Rate = math.NaN() },
		"learning rate is -1":               func(c *Config) { c.Rate = -1 },
		"learning rate is +Inf":             func(c *Config) { c.Rate = math.Inf(1) },
		`"lion", want sgd, adam or rmsprop`: func(c *Config) { c.Optimizer = "lion" },
		`"hinge"`:                           func(c *Config) { c.Loss = "hinge" },
		`"resnet"`:                          func(c *Config) { c.Model = "resnet" },
	} {
		c := config()
		change(&c)
		dir := filepath.Join(t.TempDir(), "run")
		_, err := Run(context.Background(), c, d, dir, nil)
		wants(t, err, want)
		if _, err := os.Stat(dir); err == nil {
			t.Errorf("%s: the run directory was made all the same", want)
		}
	}
	_, err := Run(context.Background(), config(), nil, "", nil)
	wants(t, err, "train: the dataset is nil")
	var none context.Context
	_, err = Run(none, config(), d, "", nil)
	wants(t, err, "train: the context is nil")
}

func TestNewDirNeverReuses(t *testing.T) {
	parent := t.TempDir()
	seen := map[string]bool{}
	for range 4 {
		dir, err := NewDir(parent, "a")
		if err != nil || seen[dir] {
			t.Fatalf("got %q (%v), want a directory that is new", dir, err)
		}
		seen[dir] = true
	}
	file := filepath.Join(parent, "file")
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := NewDir(file, "a"); err == nil {
		t.Error("no error for a parent that is a file")
	}
	if err := CheckDir(parent); err == nil {
		t.Error("no error for a directory that is not empty")
	}
}

// TestEpochsAreShuffled: each takes every image, in an order of its own and of the seed's.
func TestEpochsAreShuffled(t *testing.T) {
	d := small(t)
	sorted := make([]int, d.Train.Len())
	for i := range sorted {
		sorted[i] = i
	}
	seen := map[string]bool{fmt.Sprint(sorted): true}
	for _, seed := range []uint64{1, 2} {
		for epoch := 1; epoch <= 3; epoch++ {
			order := (&trainer{Config: Config{Seed: seed}, data: d}).order(epoch)
			if name := fmt.Sprint(order); seen[name] {
				t.Errorf("seed %d, epoch %d: the order is that of another, or of the dataset", seed, epoch)
			} else {
				seen[name] = true
			}
			if slices.Sort(order); !slices.Equal(order, sorted) {
				t.Errorf("seed %d, epoch %d: the order does not hold every image once", seed, epoch)
			}
		}
	}
}

// TestRateFallsToZero: a half cosine from the configured rate to 0, whatever the number of steps.
func TestRateFallsToZero(t *testing.T) {
	tr := &trainer{Config: Config{Rate: 0.5}, total: 40}
	last := math.Inf(1)
	for tr.steps = 0; tr.steps <= 40; tr.steps++ {
		want := 0.25 + 0.25*math.Cos(math.Pi*float64(tr.steps)/40)
		if r := tr.rate(); r >= last || math.Abs(r-want) > 1e-15 {
			t.Fatalf("step %d: the rate is %v, want %v and less than %v", tr.steps, r, want, last)
		} else {
			last = r
		}
	}
	if last > 1e-15 {
		t.Errorf("the last rate is %v, want 0", last)
	}
}
