package train

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/pkg/errors"

	"github.com/convgrad/convgrad/model"
	"github.com/convgrad/convgrad/ops"
)

// The files of a run directory.
const (
	ConfigFile  = "config.json"
	MetricsFile = "metrics.jsonl"
	WeightsFile = "weights.safetensors"
)

// NewDir makes a directory in parent, which is made as well where it is missing, that no other run has: of that name, or with -2, -3 and so on appended.
func NewDir(parent, name string) (string, error) {
	if err := os.MkdirAll(parent, 0o755); err != nil {
		return "", errors.Wrap(err, "train: the run directory")
	}
	dir := filepath.Join(parent, name)
	for i := 2; ; i++ {
		err := os.Mkdir(dir, 0o755)
		if err == nil || !errors.Is(err, fs.ErrExist) {
			return dir, errors.Wrap(err, "train: the run directory")
		}
		dir = filepath.Join(parent, fmt.Sprintf("%s-%d", name, i))
	}
}

// CheckDir returns an error if a run in dir would overwrite something: dir must not exist, or be an empty directory.
func CheckDir(dir string) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return errors.Wrap(err, "train: the run directory")
	}
	if len(entries) > 0 {
		return errors.Errorf("train: the run directory %s holds %s, want a new or an empty one: nothing is overwritten", dir, entries[0].Name())
	}
	return nil
}

// saved is what config.json holds: the configuration, and what the network's input and output mean.
type saved struct {
	Config
	Normalisation
	Input   []int    `json:"input"` // C, H, W
	Classes []string `json:"classes"`
	Tier    string   `json:"kernels"` // another tier rounds otherwise
}

// A runDir is a run's directory; nil for a run that is not kept.
type runDir struct {
	path     string
	metrics  *os.File
	metadata map[string]string // kept with the weights
}

// openDir makes the directory and writes the configuration.
func openDir(path string, c Config, data *Dataset, n Normalisation) (*runDir, error) {
	if path == "" {
		return nil, nil
	}
	if err := CheckDir(path); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(path, 0o755); err != nil {
		return nil, errors.Wrap(err, "train: the run directory")
	}
	config, err := json.MarshalIndent(saved{c, n, data.Input, data.Classes, ops.Tier()}, "", "  ")
	if err != nil {
		return nil, errors.Wrap(err, "train: the configuration")
	}
	// O_EXCL decides between two runs that found the directory empty at the same time.
	f, err := os.OpenFile(filepath.Join(path, ConfigFile), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, errors.Wrap(err, "train: the configuration")
	}
	_, err = f.Write(append(config, '\n'))
	if e := f.Close(); err == nil {
		err = e
	}
	if err != nil {
		return nil, errors.Wrap(err, "train: the configuration")
	}
	d := &runDir{path: path, metadata: map[string]string{"model": c.Model, "data": c.Data, "mean": fmt.Sprint(n.Mean), "std": fmt.Sprint(n.Std)}}
	d.metrics, err = os.OpenFile(filepath.Join(path, MetricsFile), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
	return d, errors.Wrap(err, "train: the metrics")
}

// note adds an epoch to the metrics.
func (d *runDir) note(e Epoch) error {
	if d == nil {
		return nil
	}
	line, err := json.Marshal(e)
	if err == nil {
		_, err = d.metrics.Write(append(line, '\n'))
	}
	return errors.Wrap(err, "train: the metrics")
}

// save keeps the weights as they are after that many steps, in place of those from before.
func (d *runDir) save(n *model.Network, steps int) error {
	if d == nil {
		return nil
	}
	d.metadata["steps"] = fmt.Sprint(steps)
	return n.SaveFile(filepath.Join(d.path, WeightsFile), d.metadata)
}

func (d *runDir) close() error {
	if d == nil {
		return nil
	}
	return errors.Wrap(d.metrics.Close(), "train: the metrics")
}
