package train

import (
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/pkg/errors"
	"gorgonia.org/tensor"

	"github.com/convgrad/convgrad/internal/safetensors"
)

// A checkpoint is one safetensors file: the network's parameters and buffers under modelPrefix,
// the optimizer's state under optimizerPrefix, and in its metadata the position and the
// configuration. All that outlives a step is in it; random numbers follow from the seed and the
// position.
const (
	modelPrefix     = "model."
	optimizerPrefix = "optimizer."
	positionKey     = "position"
	configKey       = "config"
)

// A position is where a run stands, with all that its metrics add up.
type position struct {
	Steps    int     `json:"steps"`   // made in all
	Epoch    int     `json:"epoch"`   // under way, from 1
	Batch    int     `json:"batch"`   // steps made in this epoch
	Loss     float64 `json:"loss"`    // sum over these steps
	Right    int     `json:"right"`   // samples of these steps that were classified as labelled
	Rate     float64 `json:"lr"`      // of the last step
	Seconds  float64 `json:"seconds"` // of training in this epoch
	Waited   float64 `json:"waited"`  // of these, for samples
	Best     int     `json:"best"`    // the finished epoch that did best, from 1; 0 for none
	Finished []Epoch `json:"finished"`
}

// state is all tensors that outlive a step, by their names in a checkpoint.
func (r *run) state() map[string]*tensor.Dense {
	all := map[string]*tensor.Dense{}
	for _, p := range slices.Concat(r.t.Net.Params(), r.t.Net.Buffers()) {
		all[modelPrefix+p.Name] = p.Value
	}
	for name, v := range r.optimizer.State() {
		all[optimizerPrefix+name] = v
	}
	if r.average != nil {
		for i, p := range r.average.of {
			all[averagePrefix+p.Name] = r.average.means[i]
		}
	}
	return all
}

// save writes the best weights if these are, the checkpoint, then the weights, then the metrics. A
// process may die between any two of them: metrics never tell of an epoch that the checkpoint does
// not hold, and a best epoch that the checkpoint does not know yet is made again, with the same
// bits.
func (r *run) save() error {
	if r.dir == nil {
		return nil
	}
	all := r.state()
	for _, name := range slices.Sorted(maps.Keys(all)) {
		if v := firstNotFinite(all[name].Data()); v != 0 {
			return errors.Errorf("train: %s holds %v after step %d, want finite numbers: the training has diverged", name, v, r.at.Steps)
		}
	}
	at, err := json.Marshal(r.at)
	if err != nil {
		return errors.Wrap(err, "train: the checkpoint's position")
	}
	config, err := json.Marshal(r.config())
	if err != nil {
		return errors.Wrap(err, "train: the checkpoint's configuration")
	}
	// The directory is looked at first too: what was replaced must not be written over.
	if err := r.dir.check(); err != nil {
		return err
	}
	r.saved = time.Now()
	if r.at.Batch == 0 && r.at.Best > 0 && r.at.Best == len(r.at.Finished) {
		if err := r.weights(BestFile); err != nil {
			return err
		}
	}
	if err := r.dir.write(CheckpointFile, func(w io.Writer) error {
		return safetensors.Write(w, all, map[string]string{positionKey: string(at), configKey: string(config)})
	}); err != nil {
		return err
	}
	r.dir.kept, r.dir.steps = true, r.at.Steps
	if err := r.weights(WeightsFile); err != nil {
		return err
	}
	if err := r.dir.metrics(r.at.Finished); err != nil {
		return err
	}
	if r.at.Batch == 0 && r.t.Keep > 0 {
		if err := r.dir.keep(fmt.Sprintf(keptName, r.at.Steps), r.t.Keep); err != nil {
			return err
		}
	}
	return r.dir.check()
}

// weights writes a file with what is evaluated: the weights, or their average.
func (r *run) weights(name string) error {
	r.average.swap()
	defer r.average.swap()
	return r.dir.write(name, func(w io.Writer) error { return r.t.Net.Save(w, r.metadata()) })
}

// metadata is what the weights' file says of itself.
func (r *run) metadata() map[string]string {
	m := map[string]string{"network": r.t.Net.Name(), "steps": fmt.Sprint(r.at.Steps)}
	if c := r.t.recipe; c != nil {
		m["model"], m["data"] = c.Model, c.Data
	}
	return m
}

// firstNotFinite is the first element that is NaN or infinite, or 0 if there is none.
func firstNotFinite(v any) float64 {
	switch v := v.(type) {
	case []float32:
		for _, x := range v {
			if x-x != 0 {
				return float64(x)
			}
		}
	case []float64:
		for _, x := range v {
			if x-x != 0 {
				return x
			}
		}
	}
	return 0
}

// keptName is the name of the checkpoint of a number of steps. Its names sort by that number.
const keptName = "checkpoint-%010d.safetensors"

// keep gives the checkpoint a second name, and removes the oldest beyond so many.
func (d *runDir) keep(name string, most int) error {
	_ = d.root.Remove(name)
	if err := d.root.Link(CheckpointFile, name); err != nil {
		// Not every system has links: a copy then.
		from, err := d.root.Open(CheckpointFile)
		if err != nil {
			return errors.Wrap(err, "train: keeping a checkpoint")
		}
		defer from.Close()
		if err := d.write(name, func(w io.Writer) error { _, err := io.Copy(w, from); return err }); err != nil {
			return err
		}
	}
	kept, err := fs.Glob(d.root.FS(), "checkpoint-*.safetensors")
	if err != nil {
		return errors.Wrap(err, "train: keeping a checkpoint")
	}
	slices.Sort(kept)
	for _, old := range kept[:max(0, len(kept)-most)] {
		_ = d.root.Remove(old)
	}
	return nil
}

// load puts the run where its checkpoint is. Everything is checked before anything is changed.
func (r *run) load() error {
	f, err := r.dir.root.Open(CheckpointFile)
	if errors.Is(err, fs.ErrNotExist) {
		return errors.Errorf("train: Resume: %s holds no checkpoint: the run ended before it had saved anything", r.t.Dir)
	}
	if err != nil {
		return errors.Wrapf(err, "train: Resume: %s", r.t.Dir)
	}
	defer f.Close()
	all, meta, err := safetensors.Read(f)
	if err != nil {
		return errors.Wrapf(err, "train: Resume: %s", f.Name())
	}
	return errors.Wrap(r.restore(all, meta), f.Name())
}

// ReadConfig returns the recipe of the run in a directory, as the run was saved last.
//
// It returns an error if the run has saved nothing, its checkpoint is damaged, or it was not made
// from a recipe.
func ReadConfig(dir string) (c Config, err error) {
	path := filepath.Join(dir, CheckpointFile)
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return c, errors.Errorf("train: %s holds no checkpoint: it is no run, or ended before it had saved anything", dir)
	}
	if err != nil {
		return c, errors.Wrap(err, "train")
	}
	defer f.Close()
	h, err := safetensors.ReadHeader(f)
	if err != nil {
		return c, errors.Wrapf(err, "train: %s", path)
	}
	var s saved
	if err := unmarshal([]byte(h.Metadata[configKey]), &s); err != nil {
		return c, errors.Wrapf(err, "train: %s: the configuration", path)
	}
	if s.Model == "" {
		return c, errors.Errorf("train: %s names no model: its trainer was not made from a recipe", path)
	}
	return s.Config, nil
}

func (r *run) restore(all map[string]*tensor.Dense, meta map[string]string) error {
	var was saved
	if err := unmarshal([]byte(meta[configKey]), &was); err != nil {
		return errors.Wrap(err, "train: Resume: the configuration")
	}
	if err := was.differs(r.config()); err != nil {
		return err
	}
	var at position
	if err := unmarshal([]byte(meta[positionKey]), &at); err != nil {
		return errors.Wrap(err, "train: Resume: the position")
	}
	if at.Steps < 0 || at.Epoch < 1 || at.Batch < 0 || at.Batch > r.batches || len(at.Finished) != at.Epoch-1 ||
		at.Epoch > maxEpochs+1 || at.Steps != (at.Epoch-1)*r.batches+at.Batch || at.Right < 0 || at.Best < 0 || at.Best > len(at.Finished) || !(math.Abs(at.Loss) <= math.MaxFloat64) {
		return errors.Errorf("train: Resume: the position is %s, want one of %d steps an epoch", meta[positionKey], r.batches)
	}
	state := map[string]*tensor.Dense{}
	rest := maps.Clone(all)
	for name, v := range all {
		if s, ok := strings.CutPrefix(name, optimizerPrefix); ok {
			state[s] = v
			delete(rest, name)
		}
	}
	params := slices.Concat(r.t.Net.Params(), r.t.Net.Buffers())
	prefixes := []string{modelPrefix}
	if r.average != nil {
		prefixes = append(prefixes, averagePrefix)
	}
	for _, prefix := range prefixes {
		for _, p := range params {
			v := rest[prefix+p.Name]
			if v == nil || !v.Shape().Eq(p.Value.Shape()) || v.Dtype() != p.Value.Dtype() {
				return errors.Errorf("train: Resume: %s is %v, want %v of %v", prefix+p.Name, describe(v), p.Value.Shape(), p.Value.Dtype())
			}
			delete(rest, prefix+p.Name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(rest)) {
		return errors.Errorf("train: Resume: there is %s, which the network does not have", name)
	}
	if err := r.optimizer.Restore(state); err != nil {
		return err
	}
	for i, p := range params {
		copyFloats(p.Value.Data(), all[modelPrefix+p.Name].Data())
		if r.average != nil {
			copyFloats(r.average.means[i].Data(), all[averagePrefix+p.Name].Data())
		}
	}
	r.at = at
	r.dir.steps = at.Steps
	return nil
}

// describe is a tensor's shape and type.
func describe(v *tensor.Dense) string {
	if v == nil {
		return "missing"
	}
	return fmt.Sprintf("%v of %v", v.Shape(), v.Dtype())
}
