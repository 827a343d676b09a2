package train

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/pkg/errors"
	"gorgonia.org/tensor"

	"github.com/convgrad/convgrad/model"
)

func sameParams(t *testing.T, a, b *model.Network) {
	t.Helper()
	bs := slices.Concat(b.Params(), b.Buffers())
	for i, p := range slices.Concat(a.Params(), a.Buffers()) {
		if !slices.Equal(p.Value.Data().([]float32), bs[i].Value.Data().([]float32)) {
			t.Errorf("%s differs", p.Name)
		}
	}
}

// TestResumedRunHasTheSameBits: a run that stops in the middle of an epoch, between epochs, before
// its first step or in an evaluation, and goes on in a trainer made anew, ends with the weights,
// moments and metrics of one that never stopped.
func TestResumedRunHasTheSameBits(t *testing.T) {
	for _, c := range []struct {
		model, optimizer string
		stops            []int // steps after which to stop
	}{
		{"article", "adam", []int{7, 15, 22}},
		{"convnet", "sgd", []int{0, 16}},
		{"linear", "rmsprop", []int{1, 2, 29}},
	} {
		recipe := config()
		recipe.Model, recipe.Optimizer, recipe.WarmUp = c.model, c.optimizer, 0.5
		whole := trainer(t, recipe)
		want := ran(t, whole)
		dir, first := filepath.Join(t.TempDir(), "run"), true
		for i := 0; ; i++ {
			tr := trainer(t, recipe)
			tr.Dir = dir
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			if i < len(c.stops) {
				if c.stops[i] == 0 {
					cancel()
				}
				tr.OnStep = func(m Moment) error {
					if m.Step+1 == c.stops[i] {
						cancel()
					}
					return nil
				}
			}
			run := tr.Resume
			if first {
				run, first = tr.Run, false
			}
			res, err := run(ctx)
			if err != nil {
				t.Fatal(err)
			}
			if i < len(c.stops) {
				if !res.Interrupted || res.Steps != c.stops[i] {
					t.Fatalf("%s: got %+v, want it interrupted after %d steps", c.model, res, c.stops[i])
				}
				continue
			}
			if res.Interrupted || res.Steps != want.Steps || len(res.Epochs) != len(want.Epochs) {
				t.Fatalf("%s: got %+v, want %+v", c.model, res, want)
			}
			for k, e := range res.Epochs {
				e.Seconds, e.ImagesPerSec, e.Waited = want.Epochs[k].Seconds, want.Epochs[k].ImagesPerSec, want.Epochs[k].Waited
				if e != want.Epochs[k] {
					t.Errorf("%s: epoch %d is %+v, want %+v", c.model, k+1, e, want.Epochs[k])
				}
			}
			break
		}
		if !bytes.Equal(file(t, dir, WeightsFile), file(t, whole.Dir, WeightsFile)) {
			t.Errorf("%s: the weights of the resumed run differ", c.model)
		}
		if a, b := remembered(t, dir, recipe), remembered(t, whole.Dir, recipe); !slices.Equal(a, b) {
			t.Errorf("%s: the moments of the resumed run differ", c.model)
		}
	}
}

// remembered lists what the optimizer of a saved run remembers, in words.
func remembered(t *testing.T, dir string, c Config) (all []string) {
	t.Helper()
	tr := trainer(t, c)
	tr.Dir = dir
	if _, err := tr.Resume(context.Background()); err != nil { // nothing is left to do
		t.Fatal(err)
	}
	for name, v := range tr.Optimizer.State() {
		all = append(all, fmt.Sprint(name, v.Data()))
	}
	slices.Sort(all)
	return all
}

// TestResumeFromSaveEvery: what is lost by a process that dies is at most SaveEvery steps, and the
// bits are the same.
func TestResumeFromSaveEvery(t *testing.T) {
	whole := trainer(t, config())
	ran(t, whole)
	tr := trainer(t, config())
	tr.SaveEvery = 4
	dead := errors.New("the power went")
	tr.OnStep = func(m Moment) error {
		if m.Step == 21 {
			return dead
		}
		return nil
	}
	_, err := tr.Run(context.Background())
	wants(t, err, "the power went", tr.Dir+" keeps what was saved after step 20")
	// What a killed process leaves.
	for _, name := range []string{".checkpoint.safetensors.tmp", ".weights.safetensors.12345", ".report.html.678"} {
		if err := os.WriteFile(filepath.Join(tr.Dir, name), []byte("half a fi"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	again := trainer(t, config())
	again.Dir = tr.Dir
	if _, err := again.Resume(context.Background()); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(file(t, tr.Dir, WeightsFile), file(t, whole.Dir, WeightsFile)) {
		t.Error("the weights of the resumed run differ")
	}
	if got, want := names(t, tr.Dir), []string{BestFile, CheckpointFile, ConfigFile, LogFile, MetricsCSV, MetricsFile, WeightsFile}; !slices.Equal(got, want) {
		t.Errorf("the directory holds %v, want %v", got, want)
	}
}

// TestResumeRefuses: a setting that would change the bits is named; what is damaged too.
func TestResumeRefuses(t *testing.T) {
	tr := trainer(t, config())
	ran(t, tr)
	for want, change := range map[string]func(c *Config, o *Trainer){
		"the seed is 2, want 1":        func(c *Config, _ *Trainer) { c.Seed = 2 },
		"the batch size is 8, want 16": func(c *Config, _ *Trainer) { c.Batch = 8 },
		"the optimizer is sgd":         func(c *Config, _ *Trainer) { c.Optimizer = "sgd" },
		`"Decay":0.5`:                  func(c *Config, _ *Trainer) { c.Decay = 0.5 },
		"the network is lenet5":        func(c *Config, _ *Trainer) { c.Model = "lenet5" },
		"has no directory":             func(_ *Config, o *Trainer) { o.Dir = "" },
		"the run directory":            func(_ *Config, o *Trainer) { o.Dir += "/nowhere" },
	} {
		c := config()
		other := &Trainer{Dir: tr.Dir}
		change(&c, other)
		next := trainer(t, c)
		next.Dir = other.Dir
		_, err := next.Resume(context.Background())
		wants(t, err, "train: ", want)
	}
	// More epochs are taken.
	c := config()
	c.Epochs = 3
	more := trainer(t, c)
	more.Dir = tr.Dir
	res, err := more.Resume(context.Background())
	if err != nil || len(res.Epochs) != 3 || res.Steps != 45 {
		t.Fatalf("got %+v, %v, want three epochs", res, err)
	}
	path := filepath.Join(tr.Dir, CheckpointFile)
	whole := file(t, path)
	for _, damaged := range [][]byte{whole[:len(whole)/2], {}, []byte("not a checkpoint"), bytes.Replace(whole, []byte(`\"epoch\":4`), []byte(`\"epoch\":9`), 1)} {
		if err := os.WriteFile(path, damaged, 0o644); err != nil {
			t.Fatal(err)
		}
		before := more.Net.Params()[0].Value.Clone().(*tensor.Dense)
		_, err := more.Resume(context.Background())
		wants(t, err, "Resume")
		if !slices.Equal(before.Data().([]float32), more.Net.Params()[0].Value.Data().([]float32)) {
			t.Error("the weights changed")
		}
	}
}

// TestResumeRepairs: a process that died between the files of a save leaves weights and metrics
// that are behind the checkpoint. They are made good, even where nothing is left to train.
func TestResumeRepairs(t *testing.T) {
	tr := trainer(t, config())
	ran(t, tr)
	weights, metrics := file(t, tr.Dir, WeightsFile), file(t, tr.Dir, MetricsFile)
	lines := bytes.SplitAfter(metrics, []byte("\n"))
	if err := firstError(os.WriteFile(filepath.Join(tr.Dir, MetricsFile), lines[0], 0o644), os.Remove(filepath.Join(tr.Dir, WeightsFile))); err != nil {
		t.Fatal(err)
	}
	again := trainer(t, config())
	again.Dir = tr.Dir
	if res, err := again.Resume(context.Background()); err != nil || res.Steps != 30 {
		t.Fatalf("got %+v, %v", res, err)
	}
	if !bytes.Equal(file(t, tr.Dir, WeightsFile), weights) || !bytes.Equal(file(t, tr.Dir, MetricsFile), metrics) {
		t.Error("the weights or the metrics are not those of the checkpoint")
	}
}

func TestKeep(t *testing.T) {
	c := config()
	c.Model, c.Epochs = "linear", 5
	tr := trainer(t, c)
	tr.Keep = 2
	ran(t, tr)
	want := []string{BestFile, "checkpoint-0000000060.safetensors", "checkpoint-0000000075.safetensors", CheckpointFile, ConfigFile, LogFile,
		MetricsCSV, MetricsFile, WeightsFile}
	if got := names(t, tr.Dir); !slices.Equal(got, want) {
		t.Errorf("the directory holds %v, want %v", got, want)
	}
	if !bytes.Equal(file(t, tr.Dir, CheckpointFile), file(t, tr.Dir, want[2])) {
		t.Error("the last checkpoint that was kept is not the last")
	}
}

// TestStop: OnEpoch and OnStep end a run, which is saved.
func TestStop(t *testing.T) {
	tr := trainer(t, config())
	tr.OnEpoch = func(Epoch, *model.Network) error { return Stop }
	if res := ran(t, tr); !res.Stopped || res.Interrupted || res.Steps != 15 {
		t.Errorf("got %+v, want it stopped after 15 steps", res)
	}
	tr = trainer(t, config())
	tr.OnStep = func(m Moment) error {
		if m.Step == 16 {
			return errors.Wrap(Stop, "enough")
		}
		return nil
	}
	if res := ran(t, tr); !res.Stopped || res.Steps != 17 {
		t.Errorf("got %+v, want it stopped after 17 steps", res)
	}
	f, err := os.Open(filepath.Join(tr.Dir, WeightsFile))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if meta, err := model.Metadata(f); err != nil || meta["steps"] != "17" {
		t.Errorf("the weights are of step %q (%v), want 17", meta["steps"], err)
	}
}

// TestDirectoryIsReplaced: whatever becomes of the directory during a run, the run says so.
func TestDirectoryIsReplaced(t *testing.T) {
	for name, spoil := range map[string]func(dir string) error{
		"moved, and an empty one in its place": func(dir string) error { return firstError(os.Rename(dir, dir+"-old"), os.Mkdir(dir, 0o755)) },
		"moved":                                func(dir string) error { return os.Rename(dir, dir+"-old") },
		"removed":                              os.RemoveAll,
		"removed, and an empty one in its place": func(dir string) error {
			return firstError(os.RemoveAll(dir), os.Mkdir(dir, 0o755))
		},
		"emptied": func(dir string) error { return os.Remove(filepath.Join(dir, ConfigFile)) },
		"of another run's config": func(dir string) error {
			return os.Rename(filepath.Join(dir, MetricsFile), filepath.Join(dir, ConfigFile))
		},
		"replaced by a file": func(dir string) error { return firstError(os.RemoveAll(dir), os.WriteFile(dir, nil, 0o644)) },
		"of weights that are a dir": func(dir string) error {
			return firstError(os.Remove(filepath.Join(dir, WeightsFile)), os.MkdirAll(filepath.Join(dir, WeightsFile, "x"), 0o755))
		},
	} {
		for _, when := range []int{3, 20} {
			if when == 3 && strings.Contains(name, "weights") {
				continue
			}
			tr := trainer(t, config())
			tr.OnStep = func(m Moment) error {
				if m.Step == when {
					return spoil(tr.Dir)
				}
				return nil
			}
			_, err := tr.Run(context.Background())
			wants(t, err, "train: ", tr.Dir)
			if _, e := Open(tr.Dir); e == nil && !strings.Contains(name, "weights") {
				t.Errorf("%s: the run can be opened, and said %v", name, err)
			}
		}
	}
}

// TestFailedSaveIsNotNoted: a save that fails leaves metrics that tell of no more than what was
// saved.
func TestFailedSaveIsNotNoted(t *testing.T) {
	for _, name := range []string{WeightsFile, CheckpointFile} {
		tr := trainer(t, config())
		tr.OnEpoch = func(Epoch, *model.Network) error {
			path := filepath.Join(tr.Dir, name)
			if err := os.Remove(path); err != nil {
				return err
			}
			return os.MkdirAll(filepath.Join(path, "in the way"), 0o755)
		}
		_, err := tr.Run(context.Background())
		wants(t, err, "train: saving in", tr.Dir)
		if lines := bytes.Count(file(t, tr.Dir, MetricsFile), []byte("\n")); lines != 1 {
			t.Errorf("%s: the metrics tell of %d epochs, want the one that was saved", name, lines)
		}
		for _, n := range names(t, tr.Dir) {
			if isTemporary(n) {
				t.Errorf("%s: it left %s", name, n)
			}
		}
	}
}

// TestTwoProcesses: a run that is under way cannot be resumed, nor its temporary files be removed.
func TestTwoProcesses(t *testing.T) {
	tr := trainer(t, config())
	tr.OnEpoch = func(Epoch, *model.Network) error {
		temp := filepath.Join(tr.Dir, temporary(WeightsFile))
		if err := os.WriteFile(temp, nil, 0o644); err != nil {
			return err
		}
		other := trainer(t, config())
		other.Dir = tr.Dir
		_, err := other.Resume(context.Background())
		wants(t, err, "another process trains in "+tr.Dir)
		if _, err := NewDir(filepath.Dir(tr.Dir), "other"); err != nil {
			return err
		}
		_, err = os.Stat(temp)
		return err
	}
	ran(t, tr)
	temp := filepath.Join(tr.Dir, ".weights.safetensors.99")
	if err := os.WriteFile(temp, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := NewDir(filepath.Dir(tr.Dir), "next"); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(temp); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the temporary file of a run that is over: %v, want it removed", err)
	}
}

func TestDirs(t *testing.T) {
	parent := t.TempDir()
	seen := map[string]bool{}
	for range 4 {
		dir, err := NewDir(parent, "a")
		if err != nil || seen[dir] {
			t.Fatalf("got %q (%v), want a directory that is new", dir, err)
		}
		seen[dir] = true
	}
	wants(t, CheckDir(parent), "nothing is overwritten")
	plain := filepath.Join(parent, "file")
	if err := os.WriteFile(plain, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	_, err := NewDir(plain, "a")
	wants(t, err, "train: the run directory")
	link := filepath.Join(parent, "link")
	if err := os.Symlink(filepath.Join(parent, "gone"), link); err != nil {
		t.Skip(err)
	}
	for _, dir := range []string{link, filepath.Join(link, "run")} {
		wants(t, CheckDir(dir), "train: the run directory: "+link+" is a link to", "gone", "does not exist")
	}
	_, err = NewDir(link, "a")
	wants(t, err, link+" is a link to")
	tr := trainer(t, config())
	tr.Dir = link
	_, err = tr.Run(context.Background())
	wants(t, err, link+" is a link to")
}
