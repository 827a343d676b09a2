package train

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/pkg/errors"
	"gorgonia.org/tensor"

	"github.com/convgrad/convgrad/model"
	"github.com/convgrad/convgrad/ops"
	"github.com/convgrad/convgrad/train/data"
)

// wants fails unless err holds all the parts.
func wants(t *testing.T, err error, parts ...string) {
	t.Helper()
	if err == nil {
		t.Fatalf("no error, want one with %q", parts)
	}
	for _, p := range parts {
		if !strings.Contains(err.Error(), p) {
			t.Errorf("the error is %q, want it to say %q", err, p)
		}
	}
}

func digits(t *testing.T, training, test int) (data.Set, data.Set) {
	t.Helper()
	a, b, err := openDigits(training, test)
	if err != nil {
		t.Fatal(err)
	}
	return a, b
}

func openDigits(training, test int) (data.Set, data.Set, error) {
	return data.Open("digits", data.Options{Train: training, Test: test, Seed: 1})
}

func config() Config {
	return Config{Data: "digits", Model: "article", Loss: "cross-entropy", Epochs: 2, Batch: 16, Optimizer: "adam", Seed: 1}
}

// trainer is that of a recipe on a few digits, into a directory that is not there yet.
func trainer(t *testing.T, c Config) *Trainer {
	t.Helper()
	tr, err := c.Trainer(digits(t, 240, 60))
	if err != nil {
		t.Fatal(err)
	}
	tr.Dir = filepath.Join(t.TempDir(), "run")
	return tr
}

func file(t *testing.T, parts ...string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(parts...))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func ran(t *testing.T, tr *Trainer) *Result {
	t.Helper()
	res, err := tr.Run(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	return res
}

// firstError is the first of some errors.
func firstError(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// names lists a directory.
func names(t *testing.T, dir string) (all []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	for _, e := range entries {
		all = append(all, e.Name())
	}
	return all
}

// TestSameSeedSameBits: the weights' file is the same, byte for byte, at any number of threads and
// from run to run. Another seed, loss, optimizer or rate gives another. The convnet has dropout.
func TestSameSeedSameBits(t *testing.T) {
	weights := func(c Config, threads int) []byte {
		defer ops.SetThreads(ops.SetThreads(threads))
		tr := trainer(t, c)
		ran(t, tr)
		return file(t, tr.Dir, WeightsFile)
	}
	models := []string{"article", "convnet"}
	if testing.Short() {
		models = models[:1]
	}
	for _, name := range models {
		c := config()
		c.Model, c.Epochs = name, 1
		want := weights(c, 1)
		for _, threads := range []int{1, 2, 7} {
			if !bytes.Equal(weights(c, threads), want) {
				t.Errorf("%s: %d threads give other weights than one", name, threads)
			}
		}
	}
	want := weights(config(), 2)
	for what, change := range map[string]func(c *Config){
		"seed":      func(c *Config) { c.Seed = 2 },
		"loss":      func(c *Config) { c.Loss = "mse" },
		"optimizer": func(c *Config) { c.Optimizer = "sgd" },
		"rate":      func(c *Config) { c.Rate = 0.003 },
		"schedule":  func(c *Config) { c.Schedule = "one-cycle" },
		"decay":     func(c *Config) { c.Decay = 0.1 },
	} {
		c := config()
		change(&c)
		if bytes.Equal(weights(c, 2), want) {
			t.Errorf("another %s gives the same weights", what)
		}
	}
}

func TestRunDirectory(t *testing.T) {
	tr := trainer(t, config())
	steps, heard := 0, []Epoch{}
	tr.OnStep = func(m Moment) error {
		if m.Step != steps || m.Steps != 30 || m.Of != 15 || m.Samples != (m.Batch+1)*16 || m.Total != 240 {
			t.Errorf("step %d: got %+v", steps, m)
		}
		steps++
		return nil
	}
	tr.OnEpoch = func(e Epoch, n *model.Network) error {
		heard = append(heard, e)
		// The epoch is saved and noted by now, and the network is the one that was saved.
		if lines := bytes.Count(file(t, tr.Dir, MetricsFile), []byte("\n")); lines != e.Epoch {
			t.Errorf("epoch %d: %d lines of metrics", e.Epoch, lines)
		}
		c, err := Open(tr.Dir)
		if err != nil {
			return err
		}
		sameParams(t, c.Network, n)
		return nil
	}
	res := ran(t, tr)
	if len(res.Epochs) != 2 || res.Steps != 30 || res.Interrupted || res.Stopped || res.Dir != tr.Dir || steps != 30 || !slices.Equal(heard, res.Epochs) {
		t.Errorf("got %+v; heard of %d steps and %v", res, steps, heard)
	}
	config := file(t, tr.Dir, ConfigFile)
	var written struct{ Config }
	if err := json.Unmarshal(config, &written); err != nil {
		t.Fatal(err)
	}
	if c := written.Config; c.Rate != 0.002 || c.Schedule != "cosine" || c.Model != "article" || c.Data != "digits" || c.Seed != 1 || c.Epochs != 2 {
		t.Errorf("config.json holds %+v", c)
	}
	var epochs []Epoch
	for s := bufio.NewScanner(bytes.NewReader(file(t, tr.Dir, MetricsFile))); s.Scan(); {
		var e Epoch
		if err := json.Unmarshal(s.Bytes(), &e); err != nil {
			t.Fatal(err)
		}
		epochs = append(epochs, e)
	}
	if !slices.Equal(epochs, res.Epochs) {
		t.Errorf("the metrics are %+v, want %+v", epochs, res.Epochs)
	}
	if got, want := names(t, tr.Dir), []string{BestFile, CheckpointFile, ConfigFile, LogFile, MetricsCSV, MetricsFile, WeightsFile}; !slices.Equal(got, want) {
		t.Errorf("the directory holds %v, want %v", got, want)
	}
	_, err := tr.Run(context.Background())
	wants(t, err, tr.Dir, "nothing is overwritten")
	if !bytes.Equal(file(t, tr.Dir, ConfigFile), config) {
		t.Error("the second run touched config.json")
	}
}

// TestBeginsFromTheNetwork: a run that is cancelled before its first step keeps the weights that it
// began with, those of the seed.
func TestBeginsFromTheNetwork(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	for _, seed := range []uint64{1, 2} {
		c := config()
		c.Seed = seed
		tr := trainer(t, c)
		res, err := tr.Run(ctx)
		if err != nil || !res.Interrupted || res.Steps != 0 {
			t.Fatalf("got %+v, %v, want an interrupted run of no steps", res, err)
		}
		run, err := Open(res.Dir)
		if err != nil {
			t.Fatal(err)
		}
		want, err := model.ByName("article", run.Input, len(run.Classes), model.Options{Seed: seed})
		if err != nil {
			t.Fatal(err)
		}
		sameParams(t, run.Network, want)
	}
}

// TestEvaluationTakesEverySample: the last, short batch too, and all weigh alike.
func TestEvaluationTakesEverySample(t *testing.T) {
	training, _ := digits(t, 240, 60)
	_, pictures, err := data.Digits(1, evalBatch+17, 1)
	if err != nil {
		t.Fatal(err)
	}
	test, err := data.Normalise(pictures, data.NormalisationOf(training))
	if err != nil {
		t.Fatal(err)
	}
	tr, err := config().Trainer(training, test)
	if err != nil {
		t.Fatal(err)
	}
	tr.Dir = filepath.Join(t.TempDir(), "run")
	res := ran(t, tr)
	run, err := Open(tr.Dir)
	if err != nil {
		t.Fatal(err)
	}
	right, loss := 0, 0.0
	for i := range pictures.Len() {
		pixels, err := pictures.Pixels(i)
		if err != nil {
			t.Fatal(err)
		}
		classes, outputs, err := run.Classify(pixels)
		if err != nil {
			t.Fatal(err)
		}
		sum, row := 0.0, outputs.Data().([]float32)
		for _, v := range row {
			sum += math.Exp(float64(v))
		}
		loss += math.Log(sum) - float64(row[i%10])
		if classes[0] == i%10 {
			right++
		}
	}
	e := res.Epochs[len(res.Epochs)-1]
	if got := e.TestAccuracy * float64(test.Len()); math.Round(got) != float64(right) || e.Tested != test.Len() {
		t.Errorf("%v of %d are classified as labelled, one by one %d", got, e.Tested, right)
	}
	// Rounding is of a millionth; a batch left out, or one of 17 weighed like one of 250, of
	// hundredths.
	if want := loss / float64(test.Len()); !(math.Abs(e.TestLoss-want) <= 1e-3*want) {
		t.Errorf("the loss is %v, one by one %v", e.TestLoss, want)
	}
}

// TestDivergence: a run that diverges says so. It leaves nothing if it had saved nothing, and what
// it had saved otherwise.
func TestDivergence(t *testing.T) {
	c := config()
	c.Optimizer, c.Rate = "sgd", 1e30
	tr := trainer(t, c)
	_, err := tr.Run(context.Background())
	wants(t, err, "epoch 1", "want a finite number", "diverged at a learning rate of 9.97e+29; try one of 0.05 or less")
	if _, err := os.Stat(tr.Dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the directory holds %v (%v), want none", names(t, tr.Dir), err)
	}
	tr = trainer(t, c)
	if err := os.Mkdir(tr.Dir, 0o755); err != nil { // the caller's stays
		t.Fatal(err)
	}
	_, err = tr.Run(context.Background())
	wants(t, err, "diverged")
	if s, err := os.Stat(tr.Dir); err != nil || !s.IsDir() || len(names(t, tr.Dir)) > 0 {
		t.Errorf("the caller's directory holds %v (%v), want it empty", names(t, tr.Dir), err)
	}
	tr = trainer(t, config())
	tr.Schedule = func(p Point) float64 {
		if p.Epoch == 2 {
			return 1e30
		}
		return 0.001
	}
	res, err := tr.Run(context.Background())
	wants(t, err, "epoch 2", "diverged", "keeps what was saved after step 15")
	if len(res.Epochs) != 1 || bytes.Count(file(t, tr.Dir, MetricsFile), []byte("\n")) != 1 {
		t.Errorf("got %+v, want one epoch and a line of metrics", res)
	}
	if _, err := Open(tr.Dir); err != nil {
		t.Error(err)
	}
}

func TestTrainerErrors(t *testing.T) {
	training, test := digits(t, 240, 60)
	flat, err := data.NewSamples(tensor.Shape{28 * 28}, training.Classes(), make([]float32, 20*28*28), make([]data.Target, 20))
	if err != nil {
		t.Fatal(err)
	}
	for want, change := range map[string]func(tr *Trainer){
		"no network":                       func(tr *Trainer) { tr.Net = nil },
		"the set is nil":                   func(tr *Trainer) { tr.Train = nil },
		"0 epochs, want 1 to 1048576":      func(tr *Trainer) { tr.Epochs = 0 },
		"9223372036854775807 epochs, want": func(tr *Trainer) { tr.Epochs = math.MaxInt },
		"batch size is -1":                 func(tr *Trainer) { tr.Batch = -1 },
		"batch size is 241, want at most":  func(tr *Trainer) { tr.Batch = 241 },
		"samples are (784), want":          func(tr *Trainer) { tr.Train = flat },
		"Keep is -1":                       func(tr *Trainer) { tr.Keep = -1 },
	} {
		tr, err := config().Trainer(training, test)
		if err != nil {
			t.Fatal(err)
		}
		tr.Dir = filepath.Join(t.TempDir(), "run")
		change(tr)
		for _, run := range []func(context.Context) (*Result, error){tr.Run, tr.Resume} {
			_, err = run(context.Background())
			wants(t, err, "train: ", want)
		}
		if _, err := os.Stat(tr.Dir); err == nil {
			t.Errorf("%s: the run directory was made all the same", want)
		}
	}
	var none *Trainer
	_, err = none.Run(context.Background())
	wants(t, err, "train: the trainer is nil")
	_, err = none.Resume(context.Background())
	wants(t, err, "train: the trainer is nil")
	var nowhere context.Context
	_, err = (&Trainer{}).Run(nowhere)
	wants(t, err, "train: the context is nil")
	if (*Result)(nil).Accuracy() != 0 {
		t.Error("a nil result has an accuracy")
	}
}

func TestConfigErrors(t *testing.T) {
	training, test := digits(t, 240, 60)
	for want, change := range map[string]func(c *Config){
		"0 epochs, want 1 to 1048576":        func(c *Config) { c.Epochs = 0 },
		"batch size is -1":                   func(c *Config) { c.Batch = -1 },
		"batch size is 241, want at most":    func(c *Config) { c.Batch = 241 },
		"learning rate is NaN":               func(c *Config) { c.Rate = math.NaN() },
		"learning rate is -1":                func(c *Config) { c.Rate = -1 },
		"learning rate is +Inf":              func(c *Config) { c.Rate = math.Inf(1) },
		`"lion", want one of sgd,`:           func(c *Config) { c.Optimizer = "lion" },
		`"hinge"`:                            func(c *Config) { c.Loss = "hinge" },
		`"resnet"`:                           func(c *Config) { c.Model = "resnet" },
		`the schedule is "zigzag", want one`: func(c *Config) { c.Schedule = "zigzag" },
		"weight decay is -1":                 func(c *Config) { c.Decay = -1 },
		"adam takes no momentum":             func(c *Config) { c.Momentum = new(0.5) },
		"momentum is 1":                      func(c *Config) { c.Optimizer, c.Momentum = "sgd", new(1.0) },
		"the warm-up is 3 epochs, want":      func(c *Config) { c.WarmUp = 3 },
		"the warm-up is NaN epochs, want":    func(c *Config) { c.WarmUp = math.NaN() },
		"the label smoothing is 1.5":         func(c *Config) { c.Smoothing = 1.5 },
		"mse takes neither label smoothing":  func(c *Config) { c.Loss, c.Smoothing = "mse", 0.1 },
		"a class weight is \"x\"":            func(c *Config) { c.ClassWeights = "1,x" },
		"2 class weights, want one for each": func(c *Config) { c.ClassWeights = "1,2" },
		"the average's decay is 1, want":     func(c *Config) { c.Average = 1 },
		"mixup is -1":                        func(c *Config) { c.Mixup = -1 },
		"Accumulate is -1":                   func(c *Config) { c.Accumulate = -1 },
		"16 batches of 16 a step":            func(c *Config) { c.Accumulate = 16 },
		"largest norm of gradients is NaN":   func(c *Config) { c.Clip = math.NaN() },
		"the crop's border is -1":            func(c *Config) { c.Crop = -1 },
		"the shift is NaN":                   func(c *Config) { c.Shift = math.NaN() },
		"share of training samples is 2":     func(c *Config) { c.Fraction = 2 },
		`fitted by "zoom", want one of crop`: func(c *Config) { c.Fit = "zoom" },
		"least learning rate is 9, want":     func(c *Config) { c.MinRate = 9 },
		"nowhere":                            func(c *Config) { c.Freeze = "nowhere" },
	} {
		c := config()
		change(&c)
		_, err := c.Trainer(training, test)
		wants(t, err, want)
	}
	_, err := config().Trainer(nil, nil)
	wants(t, err, "train: data: the set is nil")
	wants(t, (*Config)(nil).Check(), "nil")
}

// TestRecipe: what a recipe says is what the optimizer is told.
func TestRecipe(t *testing.T) {
	c := config()
	c.Optimizer, c.Momentum, c.Decay = "nesterov", new(0.0), 0.25
	tr, err := c.Trainer(digits(t, 240, 60))
	if err != nil {
		t.Fatal(err)
	}
	if o, ok := tr.Optimizer.(*SGD); !ok || o.Momentum != 0 || o.Decay != 0.25 || !o.Nesterov || !o.Exempt {
		t.Errorf("got %+v", tr.Optimizer)
	}
	c.Momentum = nil
	if tr, err = c.Trainer(digits(t, 240, 60)); err != nil || tr.Optimizer.(*SGD).Momentum != 0.9 {
		t.Errorf("got %+v, %v, want a momentum of 0.9", tr.Optimizer, err)
	}
	if c.Momentum != nil {
		t.Error("the caller's configuration changed")
	}
}

// spoilt is a set some of whose samples cannot be read.
type spoilt struct {
	data.Set
	read func(i int) (data.Target, error)
}

func (s spoilt) Read(i int, x []float32) (data.Target, error) {
	if _, err := s.Set.Read(i, x); err != nil {
		return data.Target{}, err
	}
	return s.read(i)
}

// TestSamplesThatCannotBeRead end the run with an error that names them, even where the set panics.
func TestSamplesThatCannotBeRead(t *testing.T) {
	training, test := digits(t, 240, 60)
	for want, read := range map[string]func(i int) (data.Target, error){
		"sample 100: the disk is on fire":                                 func(int) (data.Target, error) { return data.Target{}, errors.New("the disk is on fire") },
		"sample 100 is of class 10, want 0 to 9":                          func(int) (data.Target, error) { return data.Target{Class: 10}, nil },
		"sample 100 is of class -1, want 0 to 9":                          func(int) (data.Target, error) { return data.Target{Class: -1}, nil },
		"sample 100: the set or an augmentation panicked: no such sample": func(int) (data.Target, error) { panic("no such sample") },
		"1 of 16 targets are values, want all or none":                    func(int) (data.Target, error) { return data.Target{Values: []float32{1}}, nil },
	} {
		tr, err := config().Trainer(spoilt{training, func(i int) (data.Target, error) {
			if i == 100 {
				return read(i)
			}
			return data.Target{Class: i % 10}, nil
		}}, test)
		if err != nil {
			t.Fatal(err)
		}
		_, err = tr.Run(context.Background())
		wants(t, err, "train: ", want)
	}
}

// TestStuck: a run that does not move says so, and one that does says nothing.
func TestStuck(t *testing.T) {
	for loss, want := range map[string]string{"cross-entropy": "that of guessing 2.303", "mse": "guessing has 10.0 %"} {
		c := config()
		c.Loss, c.Rate, c.Model = loss, 1e-12, "convnet"
		tr := trainer(t, c)
		tr.Test = tr.Train                      // 240 samples: 10 % by guessing, give or take 2
		for _, p := range tr.Net.Params()[4:] { // the last layer: its outputs are all alike
			p.Value.Zero()
		}
		if res := ran(t, tr); !strings.Contains(res.Stuck, "has not learned") || !strings.Contains(res.Stuck, want) {
			t.Errorf("%s at a rate of nearly 0: got %q, want it to say %q", loss, res.Stuck, want)
		}
		c.Rate, c.Model, c.Epochs = 0, "article", 4
		tr = trainer(t, c)
		if res := ran(t, tr); res.Stuck != "" {
			t.Errorf("%s: got %q after %.1f %% right", loss, res.Stuck, 100*res.Accuracy())
		}
	}
}

// TestRecipesLearn: every network for digits learns with every optimizer and loss at the rates that
// a recipe fills in.
func TestRecipesLearn(t *testing.T) {
	if testing.Short() {
		t.Skip("trains sixteen networks")
	}
	training, test := digits(t, 4000, 300)
	for _, name := range []string{"article", "convnet", "lenet5", "linear"} {
		for _, by := range [][2]string{{"sgd", "cross-entropy"}, {"adam", "cross-entropy"}, {"rmsprop", "cross-entropy"}, {"sgd", "mse"}} {
			c := config()
			c.Model, c.Optimizer, c.Loss, c.Batch, c.Epochs = name, by[0], by[1], 32, 1
			tr, err := c.Trainer(training, test)
			if err != nil {
				t.Fatal(err)
			}
			if tr.Net.Summary().MACs > 10e6 {
				t.Logf("%s is too large to be trained here", name)
				break
			}
			res := ran(t, tr)
			t.Logf("%s, %v: %.1f %%", name, by, 100*res.Accuracy())
			// Guessing gives 10 % ± 1.7; the worst of them has more than twice that.
			if res.Stuck != "" || res.Accuracy() < 0.2 {
				t.Errorf("%s, %v: %.1f %% after an epoch, want 20; %s", name, by, 100*res.Accuracy(), res.Stuck)
			}
		}
	}
}

// TestDigitsNeedAConvolution: a linear model stays well behind the article's network, which
// learns. The whole run, go run ./cmd/train, reaches 99 %, and with -model linear 65 %.
func TestDigitsNeedAConvolution(t *testing.T) {
	if testing.Short() {
		t.Skip("trains two networks")
	}
	training, test := digits(t, 8000, 2000)
	accuracy := map[string]float64{}
	for _, name := range []string{"article", "linear"} {
		c := config()
		c.Model, c.Batch = name, 32
		tr, err := c.Trainer(training, test)
		if err != nil {
			t.Fatal(err)
		}
		accuracy[name] = 100 * ran(t, tr).Accuracy()
		t.Logf("%s: %.2f %%", name, accuracy[name])
	}
	if accuracy["article"] < 93 || accuracy["linear"] > 80 {
		t.Errorf("got %v %%, want at least 93 for the article's network and at most 80 for the linear one", accuracy)
	}
}

// TestRealMNIST: a twelfth of an epoch goes a long way, with both losses.
func TestRealMNIST(t *testing.T) {
	dir := filepath.Join("..", "..", "shared", "data", "mnist")
	if _, err := os.Stat(dir); err != nil || testing.Short() {
		t.Skip("MNIST is not at hand")
	}
	training, test, err := data.Open("mnist", data.Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	few := func(s data.Set, n int) data.Set {
		some, err := data.Subset(s, data.Shuffle(n, 0, 0))
		if err != nil {
			t.Fatal(err)
		}
		return some
	}
	for loss, want := range map[string]float64{"cross-entropy": 0.85, "mse": 0.75} {
		c := config()
		c.Loss, c.Epochs, c.Batch = loss, 1, 32
		tr, err := c.Trainer(few(training, 5000), few(test, 2000))
		if err != nil {
			t.Fatal(err)
		}
		res := ran(t, tr)
		t.Logf("%s: %.2f %%", loss, 100*res.Accuracy())
		if res.Accuracy() < want {
			t.Errorf("%s: %.2f %% after 5000 images, want %.0f %%", loss, 100*res.Accuracy(), 100*want)
		}
	}
}
