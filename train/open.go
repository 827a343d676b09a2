package train

import (
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"slices"

	"github.com/pkg/errors"
	"gorgonia.org/tensor"

	"github.com/convgrad/convgrad/internal/kernel"
	"github.com/convgrad/convgrad/model"
)

// A Classifier is the network of a run, with what its input and output mean. Several goroutines may classify at once.
type Classifier struct {
	Network       *model.Network
	Input         tensor.Shape // of an image: C×H×W
	Classes       []string
	Normalisation Normalisation
}

// Open reads the network of a run directory back, with the weights that the run saved last.
//
// It returns an error that names the file, what was got and what was wanted if config.json or the weights are missing, corrupt, or do not fit each other.
func Open(dir string) (*Classifier, error) {
	path := filepath.Join(dir, ConfigFile)
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, errors.Wrap(err, "train: the run")
	}
	var s saved
	if err := json.Unmarshal(b, &s); err != nil {
		return nil, errors.Wrapf(err, "train: %s", path)
	}
	if len(s.Input) != 3 || min(s.Input[0], s.Input[1], s.Input[2]) < 1 || len(s.Classes) < 2 {
		return nil, errors.Errorf("train: %s: input %v and %d classes, want C×H×W and at least 2", path, s.Input, len(s.Classes))
	}
	if !(s.Std > 0) || math.IsInf(s.Std, 0) || math.IsNaN(s.Mean) || math.IsInf(s.Mean, 0) {
		return nil, errors.Errorf("train: %s: mean %v and standard deviation %v, want finite numbers, the second positive", path, s.Mean, s.Std)
	}
	c := &Classifier{Input: s.Input, Classes: s.Classes, Normalisation: s.Normalisation}
	if c.Network, err = model.ByName(s.Model, c.Input, len(c.Classes), model.Options{}); err != nil {
		return nil, errors.Wrapf(err, "train: %s", path)
	}
	if err := c.Network.LoadFile(filepath.Join(dir, WeightsFile), model.LoadOptions{}); err != nil {
		return nil, err
	}
	return c, nil
}

// Classify returns for each image the index of its class in Classes, and the network's outputs, one row an image. images holds the bytes of the images, C×H×W each, one after the other.
//
// It returns an error if that is not a whole number of images, or none, or if an output is NaN, which is no class.
func (c *Classifier) Classify(images []uint8) (classes []int, outputs *tensor.Dense, err error) {
	if c.Network == nil || len(c.Input) != 3 || min(c.Input[0], c.Input[1], c.Input[2]) < 1 {
		return nil, nil, errors.Errorf("train: Classify: the input is %v, want C×H×W and a network: one of Open", c.Input)
	}
	size := c.Input.TotalSize()
	n := len(images) / size
	if n == 0 || len(images)%size != 0 {
		return nil, nil, errors.Errorf("train: Classify: %d bytes, want a positive multiple of %d, an image of %v", len(images), size, c.Input)
	}
	x := make([]float32, len(images))
	indices := make([]int, n)
	for i := range indices {
		indices[i] = i
	}
	kernel.NormaliseBatch(x, images, indices, size, float32(c.Normalisation.Mean), float32(1/c.Normalisation.Std))
	if outputs, err = c.Network.Predict(tensor.New(tensor.WithShape(n, c.Input[0], c.Input[1], c.Input[2]), tensor.WithBacking(x))); err != nil {
		return nil, nil, err
	}
	y, ok := outputs.Data().([]float32)
	if !ok || len(y) != n*len(c.Classes) {
		return nil, nil, errors.Errorf("train: Classify: the network's output is %v of %v, want %d×%d of float32", outputs.Shape(), outputs.Dtype(), n, len(c.Classes))
	}
	for i := range n {
		row := y[i*len(c.Classes):][:len(c.Classes)]
		if slices.ContainsFunc(row, func(v float32) bool { return v != v }) {
			return nil, nil, errors.Errorf("train: Classify: the network's output for image %d is %v, want numbers", i, row)
		}
		classes = append(classes, argmax(row))
	}
	return classes, outputs, nil
}
