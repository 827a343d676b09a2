package train

import (
	"bytes"
	"context"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"gorgonia.org/tensor"

	"github.com/convgrad/convgrad/internal/safetensors"
	"github.com/convgrad/convgrad/model"
	"github.com/convgrad/convgrad/train/data"
)

// full is a recipe with all that a recipe can have.
func full() Config {
	c := config()
	c.Model, c.Accumulate, c.Average, c.Mixup, c.Clip, c.Smoothing = "lenet5", 2, 0.9, 0.4, 5, 0.1
	c.Batch, c.Flip, c.Crop, c.Shift, c.Rotate, c.ClassWeights, c.Decay = 8, true, 2, 1.5, 10, "balanced", 0.01
	return c
}

// TestWorkers: the number of goroutines that read and augment changes no bit.
func TestWorkers(t *testing.T) {
	var want []byte
	for _, workers := range []int{1, 2, 5} {
		tr := trainer(t, full())
		tr.Workers = workers
		ran(t, tr)
		got := file(t, tr.Dir, WeightsFile)
		if want == nil {
			want = got
		}
		if !bytes.Equal(got, want) {
			t.Errorf("%d workers give other weights than one", workers)
		}
	}
}

// TestMethodMatters: each part of the recipe changes the weights, and is refused by name where a
// run goes on with another.
func TestMethodMatters(t *testing.T) {
	base := config()
	base.Model, base.Epochs = "linear", 1
	tr := trainer(t, base)
	ran(t, tr)
	want := file(t, tr.Dir, WeightsFile)
	for what, change := range map[string]func(c *Config){
		"joined": func(c *Config) { c.Accumulate = 3 }, "average": func(c *Config) { c.Average = 0.5 },
		"mixup": func(c *Config) { c.Mixup = 1 }, "clip": func(c *Config) { c.Clip = 1e-3 },
		"smoothing": func(c *Config) { c.Smoothing = 0.1 }, "class weights": func(c *Config) { c.ClassWeights = "1,2,3,4,5,6,7,8,9,10" },
		"flip": func(c *Config) { c.Flip = true }, "crop": func(c *Config) { c.Crop = 1 }, "shift": func(c *Config) { c.Shift = 1 },
		"rotate": func(c *Config) { c.Rotate = 9 }, "decay": func(c *Config) { c.Decay = 1 }, "fraction": func(c *Config) { c.Fraction = 0.5 },
	} {
		c := base
		change(&c)
		other := trainer(t, c)
		ran(t, other)
		if bytes.Equal(file(t, other.Dir, WeightsFile), want) {
			t.Errorf("%s changes nothing", what)
		}
		other.Dir, other.Epochs = tr.Dir, 2
		if _, err := other.Resume(context.Background()); err == nil || !strings.Contains(err.Error(), "as in the run that was saved") {
			t.Errorf("%s: a run with another one goes on: %v", what, err)
		}
	}
	for schedule, floor := range map[string]float64{"cosine": 1e-4, "one-cycle": 1e-4, "plateau": 1e-4, "step": 0.9e-3, "constant": 0} {
		c := base
		c.Schedule, c.MinRate, c.Epochs = schedule, floor, 3
		other := trainer(t, c)
		least, most := math.Inf(1), 0.0
		other.OnStep = func(m Moment) error { least, most = min(least, m.Rate), max(most, m.Rate); return nil }
		ran(t, other)
		if most > 1e-3*(1+1e-12) || least < floor {
			t.Errorf("%s has rates from %v to %v, want %v to 0.001", schedule, least, most, floor)
		}
	}
}

// TestPlateau: the rate falls after three epochs that are no better, and again after three more.
func TestPlateau(t *testing.T) {
	s := Plateau(1, 0.1, 2)
	var past []Epoch
	for i, c := range []struct{ loss, want float64 }{{5, 1}, {4, 1}, {4, 1}, {4, 1}, {4, 0.1}, {3.9999, 0.1}, {3, 0.1}, {3, 0.1}, {3, 0.1}, {3, 0.01}} {
		past = append(past, Epoch{Loss: c.loss})
		if got := s(Point{Past: past}); math.Abs(got-c.want) > 1e-12 {
			t.Errorf("after %d epochs the rate is %v, want %v", i+1, got, c.want)
		}
	}
	past[4].Tested, past[4].TestLoss = 1, 2 // what is tested counts
	if got := s(Point{Past: past[:5]}); got != 1 {
		t.Errorf("the test loss fell, and the rate is %v", got)
	}
}

// TestAverage: the average is what its formula says, and what is saved and left in the network.
func TestAverage(t *testing.T) {
	c := config()
	c.Model, c.Epochs, c.Average = "linear", 1, 0.8
	tr := trainer(t, c)
	w := tr.Net.Params()[0].Value.Data().([]float32)
	mean, step := slices.Clone(w), 0
	tr.OnStep = func(Moment) error {
		d := min(0.8, float64(1+step)/float64(10+step))
		for i, v := range w {
			mean[i] += float32(1-d) * (v - mean[i])
		}
		step++
		return nil
	}
	ran(t, tr)
	saved, err := Open(tr.Dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, got := range [][]float32{w, saved.Network.Params()[0].Value.Data().([]float32)} {
		if !slices.Equal(got, mean) {
			t.Errorf("the weights begin with %v, want the average %v", got[:3], mean[:3])
		}
	}
}

// TestMix: pairs are blended by one share of at least a half, targets as samples, and a loss of
// such targets is the blend of their losses.
func TestMix(t *testing.T) {
	const n, classes = 5, 3
	b := &batch{x: []float32{1, 2, 4, 8, 16}}
	for i := range n {
		b.targets = append(b.targets, data.Target{Class: i % classes})
	}
	old := slices.Clone(b.x)
	mix(b, n, classes, 0.7, 9, 4)
	λ := float64(b.targets[0].Values[0])
	if !(λ >= 0.5 && λ < 1) {
		t.Fatalf("the share is %v", λ)
	}
	for i := range n {
		j := n - 1 - i
		want := λ*float64(old[i]) + (1-λ)*float64(old[j])
		if math.Abs(float64(b.x[i])-want) > 4*0x1p-24*16 {
			t.Errorf("sample %d is %v, want %v", i, b.x[i], want)
		}
		sum := float32(0)
		for class, v := range b.targets[i].Values {
			sum += v
			want := 0.0
			if i%classes == class {
				want += λ
			}
			if j%classes == class {
				want += 1 - λ
			}
			if math.Abs(float64(v)-want) > 4*0x1p-24 {
				t.Errorf("target %d of class %d is %v, want %v", i, class, v, want)
			}
		}
		if math.Abs(float64(sum)-1) > 4*0x1p-24 {
			t.Errorf("target %d sums to %v", i, sum)
		}
	}
	again := &batch{x: slices.Clone(old), targets: make([]data.Target, n)}
	mix(again, n, classes, 0.7, 9, 4)
	if !slices.Equal(again.x, b.x) {
		t.Error("the same seed and step give another blend")
	}
	mix(again, n, classes, 1e-300, 9, 5) // Beta is at its ends, or 0/0
	for _, v := range again.x {
		if v != v {
			t.Error("a small α gives NaN")
		}
	}
}

// TestLimits: patience, steps and time end a run, which is saved, evaluated where it stands, and
// can go on.
func TestLimits(t *testing.T) {
	c := config()
	c.Model, c.Epochs, c.Schedule = "linear", 4, "constant"
	whole := trainer(t, c)
	want := ran(t, whole)
	for name, limit := range map[string]func(tr *Trainer){
		"20 steps were made": func(tr *Trainer) { tr.MaxSteps = 20 }, // 15 an epoch
		"1ns have passed":    func(tr *Trainer) { tr.MaxTime = 1 },
	} {
		tr := trainer(t, c)
		limit(tr)
		res := ran(t, tr)
		if !res.Stopped || !strings.Contains(res.Limit, name) {
			t.Errorf("%s: got %+v", name, res)
		}
		if tr.MaxSteps > 0 && (res.Steps != 20 || res.Partial == nil || res.Partial.Tested != 60 || res.Accuracy() != res.Partial.TestAccuracy) {
			t.Errorf("%s: got %+v", name, res)
		}
		again, err := c.Trainer(tr.Train.(data.Set), tr.Test.(data.Set))
		if err != nil {
			t.Fatal(err)
		}
		again.Dir = tr.Dir
		res, err = again.Resume(context.Background())
		if err != nil || res.Steps != want.Steps || !bytes.Equal(file(t, tr.Dir, WeightsFile), file(t, whole.Dir, WeightsFile)) {
			t.Errorf("%s: it goes on to %+v, %v", name, res, err)
		}
	}
	c.Rate, c.Epochs = 1e-30, 9
	tr := trainer(t, c)
	tr.Patience = 2
	if res := ran(t, tr); res.Limit != "2 epochs were no better than epoch 1" || len(res.Epochs) != 3 || res.Best != 1 {
		t.Errorf("got %+v", res)
	}
}

// TestBest: best.safetensors holds the weights of the epoch that did best.
func TestBest(t *testing.T) {
	c := config()
	c.Model, c.Epochs, c.Rate, c.Schedule = "linear", 6, 0.05, "constant"
	tr := trainer(t, c)
	var weights [][]float32
	tr.OnEpoch = func(_ Epoch, net *model.Network) error {
		weights = append(weights, slices.Clone(net.Params()[0].Value.Data().([]float32)))
		return nil
	}
	res := ran(t, tr)
	best := slices.MaxFunc(res.Epochs, func(a, b Epoch) int {
		switch {
		case a.better(b):
			return 1
		case b.better(a):
			return -1
		}
		return 0
	}).Epoch
	if res.Best != best {
		t.Fatalf("the best epoch is %d, want %d", res.Best, best)
	}
	if err := tr.Net.LoadFile(filepath.Join(tr.Dir, BestFile), model.LoadOptions{}); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(tr.Net.Params()[0].Value.Data().([]float32), weights[best-1]) {
		t.Errorf("the weights are not those of epoch %d of %d", best, len(res.Epochs))
	}
}

// TestForce: a run is deleted where that is asked for, and nothing that is no run; what a run left
// that was killed before it had saved is no hindrance.
func TestForce(t *testing.T) {
	c := config()
	c.Model, c.Epochs = "linear", 1
	tr := trainer(t, c)
	tr.Keep = 1
	ran(t, tr)
	mine := filepath.Join(tr.Dir, "notes.txt")
	if err := os.WriteFile(mine, []byte("mine"), 0o644); err != nil {
		t.Fatal(err)
	}
	again := trainer(t, c)
	again.Dir, again.Force = tr.Dir, true
	_, err := again.Run(context.Background())
	wants(t, err, "holds notes.txt, which is no file of a run: nothing is deleted")
	if _, err := Open(tr.Dir); err != nil {
		t.Error(err)
	}
	if err := os.Remove(mine); err != nil {
		t.Fatal(err)
	}
	ran(t, again)
	ran(t, again)
	other := t.TempDir()
	if err := os.WriteFile(filepath.Join(other, ConfigFile), []byte("{}}"), 0o644); err != nil {
		t.Fatal(err)
	}
	again.Dir = other
	_, err = again.Run(context.Background())
	wants(t, err, "holds no run: nothing is deleted")

	dead := trainer(t, c)
	r, err := dead.begin(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	if r.dir, err = createDir(dead.Dir, r.config(), false); err != nil {
		t.Fatal(err)
	}
	if _, err := dead.Run(context.Background()); err == nil || !strings.Contains(err.Error(), "another process trains") {
		t.Errorf("a run that is under way was taken for dead: %v", err)
	}
	r.dir.close()
	if err := os.WriteFile(filepath.Join(dead.Dir, "."+CheckpointFile+".tmp"), []byte("half"), 0o644); err != nil {
		t.Fatal(err)
	}
	ran(t, dead)
}

// TestInit: weights are taken from a file as far as they fit, and a run that goes on needs it no
// more.
func TestInit(t *testing.T) {
	c := config()
	c.Model, c.Epochs = "lenet5", 1
	first := trainer(t, c)
	ran(t, first)
	from := filepath.Join(first.Dir, WeightsFile)
	head := first.Net.Params()[len(first.Net.Params())-2].Name

	three, err := data.NewSamples(tensor.Shape{1, 28, 28}, []string{"a", "b", "c"}, make([]float32, 6*28*28),
		[]data.Target{{Class: 0}, {Class: 1}, {Class: 2}, {Class: 0}, {Class: 1}, {Class: 2}})
	if err != nil {
		t.Fatal(err)
	}
	c.Init, c.Batch, c.Freeze = from, 3, "conv1,conv2"
	tr, err := c.Trainer(three, three)
	if err != nil {
		t.Fatal(err)
	}
	tr.Dir = filepath.Join(t.TempDir(), "run")
	own := slices.Clone(tr.Net.Param(head).Value.Data().([]float32))
	ran(t, tr)
	for _, p := range tr.Net.Params() {
		same := bytes.Equal(bytesOf(p), bytesOf(first.Net.Param(p.Name)))
		if strings.HasPrefix(p.Name, "conv") != same {
			t.Errorf("%s is as in the file: %v", p.Name, same)
		}
	}
	if slices.Equal(tr.Net.Param(head).Value.Data().([]float32), own) {
		t.Errorf("%s, which is of another shape, was not trained", head)
	}
	if !strings.Contains(string(file(t, tr.Dir, LogFile)), head) {
		t.Errorf("the log does not say that %s keeps its own weights", head)
	}
	if err := os.Remove(from); err != nil {
		t.Fatal(err)
	}
	tr.Epochs = 2
	if _, err := tr.Resume(context.Background()); err != nil {
		t.Error(err)
	}
	c.Model, c.Init, c.Freeze = "linear", filepath.Join(tr.Dir, WeightsFile), ""
	tr, err = c.Trainer(three, nil)
	if err != nil {
		t.Fatal(err)
	}
	_, err = tr.Run(context.Background())
	wants(t, err, "train: none of the weights in", "has the name and shape")
	_, err = initial(tr.Net, "net.ONNX")
	wants(t, err, "net.ONNX is an ONNX file, want .safetensors, .pt or .pth")
}

// TestInitOfDataParallel: names as PyTorch's DataParallel writes them are the network's.
func TestInitOfDataParallel(t *testing.T) {
	net, err := model.ByName("linear", tensor.Shape{1, 2, 2}, 2, model.Options{})
	if err != nil {
		t.Fatal(err)
	}
	p := net.Params()[0]
	given := tensor.New(tensor.WithShape(p.Value.Shape()...), tensor.WithBacking([]float32{1, 2, 3, 4, 5, 6, 7, 8}))
	path := filepath.Join(t.TempDir(), "w.safetensors")
	if err := safetensors.WriteFile(path, map[string]*tensor.Dense{"module." + p.Name: given, "module.other": given}, nil); err != nil {
		t.Fatal(err)
	}
	kept, err := initial(net, path)
	if err != nil || len(kept) != len(net.Params())-1 || !slices.Equal(p.Value.Data().([]float32), given.Data().([]float32)) {
		t.Errorf("kept %v, %v; %s is %v", kept, err, p.Name, p.Value.Data())
	}
}

func bytesOf(p *model.Param) []byte {
	var b []byte
	for _, v := range p.Value.Data().([]float32) {
		u := math.Float32bits(v)
		b = append(b, byte(u), byte(u>>8), byte(u>>16), byte(u>>24))
	}
	return b
}

// TestOverfit: a few batches, trained on and tested on alone, are learned by heart.
func TestOverfit(t *testing.T) {
	c := config()
	c.Model, c.Epochs, c.OverfitBatches, c.Flip = "linear", 100, 1, true
	tr := trainer(t, c)
	tr.Dir = ""
	res := ran(t, tr)
	if tr.Train.Len() != 16 || tr.Test.Len() != 16 || tr.Augment != nil || res.Accuracy() != 1 {
		t.Errorf("%d and %d samples, %v right", tr.Train.Len(), tr.Test.Len(), res.Accuracy())
	}
}

// TestSaveAfter: time saves too.
func TestSaveAfter(t *testing.T) {
	c := config()
	c.Model, c.Epochs = "linear", 1
	tr := trainer(t, c)
	tr.SaveAfter = time.Nanosecond
	saves := 0
	tr.OnStep = func(m Moment) error {
		if b, err := os.ReadFile(filepath.Join(tr.Dir, CheckpointFile)); err == nil && len(b) > 0 {
			saves++
		}
		return nil
	}
	ran(t, tr)
	if saves != 15 {
		t.Errorf("a checkpoint was there after %d steps, want 15", saves)
	}
	lines := strings.Split(strings.TrimSpace(string(file(t, tr.Dir, MetricsCSV))), "\n")
	if len(lines) != 2 || !strings.HasPrefix(lines[0], "epoch,loss,accuracy,tested,test_loss") || strings.Count(lines[0], ",") != strings.Count(lines[1], ",") {
		t.Errorf("the table is %q", lines)
	}
}
