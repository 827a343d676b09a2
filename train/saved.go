package train

import (
	"bytes"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"

	"github.com/pkg/errors"

	"github.com/convgrad/convgrad/model"
	"github.com/convgrad/convgrad/ops"
	"github.com/convgrad/convgrad/train/data"
)

// A SavedRun is a classifier with all that its run directory says of how it came about.
type SavedRun struct {
	*Classifier
	Dir     string
	Weights string  // the file that the network is from: BestFile or WeightsFile
	Config  Config  // as it was used last
	Kernels string  // the tier that it was trained with
	Samples int     // to train on
	Epochs  []Epoch // those that were saved
}

// OpenRun is Open, and reads the run's recipe and metrics too. The network is that of the best
// epoch, where the run has saved one, and otherwise that of the last step.
//
// Beside Open's errors it returns one if a line of metrics.jsonl is no epoch's.
func OpenRun(dir string) (*SavedRun, error) {
	if _, err := os.Stat(filepath.Join(dir, BestFile)); err == nil {
		return OpenRunFrom(dir, BestFile)
	}
	return OpenRunFrom(dir, WeightsFile)
}

// OpenRunFrom is OpenRun with the weights of a file of the run directory.
func OpenRunFrom(dir, file string) (*SavedRun, error) {
	s, err := readSaved(dir)
	if err != nil {
		return nil, err
	}
	c, err := s.open(dir, file, nil)
	if err != nil {
		return nil, err
	}
	r := &SavedRun{Classifier: c, Dir: dir, Weights: file, Config: s.Config, Kernels: s.Tier, Samples: s.Samples}
	if resumed, err := ReadConfig(dir); err == nil { // for more epochs, say
		r.Config = resumed
	}
	path := filepath.Join(dir, MetricsFile)
	b, err := readSmall(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) { // there is none before the first epoch ends
		return nil, err
	}
	for i, line := range bytes.Split(bytes.TrimSpace(b), []byte{'\n'}) {
		if len(line) == 0 {
			continue
		}
		var e Epoch
		if err := unmarshal(line, &e); err != nil {
			return nil, errors.Wrapf(err, "train: %s: line %d", path, i+1)
		}
		r.Epochs = append(r.Epochs, e)
	}
	return r, nil
}

// DataOptions are what the recipe's data set is opened with.
func (c Config) DataOptions() data.Options {
	o := data.Options{Dir: c.DataDir, Seed: c.Seed, Size: ops.Both(c.ImageSize), Usual: ops.Both(32), Fit: c.Fit, Held: c.ValFraction}
	if !c.RefuseDamaged {
		o.Skipped = func(string, error) {}
	}
	return o
}

// Sets opens a data set for the classifier: samples of its input's shape, normalised as it was
// trained. Labels are its own: a class is found by its name, so that a set may lack some.
//
// Beside the errors of the source it returns one that names a shape or a class which the
// classifier does not have.
func (c *Classifier) Sets(name string, o data.Options) (training, test data.Set, err error) {
	if c == nil || len(c.Input) != 3 {
		return nil, nil, errors.New("train: Sets: the classifier takes no pictures, want one of Open")
	}
	source, err := data.Find(name)
	if err != nil {
		return nil, nil, err
	}
	if source.Name == "folder" { // pictures of any size
		o.Size, o.Channels = ops.Size{H: c.Input[1], W: c.Input[2]}, c.Input[0]
	}
	if training, test, err = source.Sets(o); err != nil {
		return nil, nil, err
	}
	for _, s := range []*data.Set{&training, &test} {
		if err := data.Check(*s); err != nil {
			return nil, nil, errors.Wrapf(err, "train: %s", name)
		}
		if *s, err = c.adopt(*s); err != nil {
			return nil, nil, errors.Wrapf(err, "train: %s", name)
		}
	}
	return training, test, nil
}

// adopt is a set with the classifier's classes and normalisation.
func (c *Classifier) adopt(s data.Set) (data.Set, error) {
	if got := s.Shape(); !got.Eq(c.Input) {
		return nil, errors.Errorf("samples are %v, want %v, the network's input", got, c.Input)
	}
	if c.Normalisation != nil && data.NormalisationOf(s) == nil {
		var err error
		if s, err = data.Normalise(s, c.Normalisation); err != nil {
			return nil, err
		}
	}
	own := s.Classes()
	if slices.Equal(own, c.Classes) {
		return s, nil
	}
	to := make([]int, len(own))
	for i, name := range own {
		if to[i] = slices.Index(c.Classes, name); to[i] < 0 {
			return nil, errors.Errorf("the class %q is none of the network's, %q", name, c.Classes)
		}
	}
	return &relabelled{s, c.Classes, to}, nil
}

// relabelled is a set whose classes have other numbers.
type relabelled struct {
	data.Set
	classes []string
	to      []int
}

// Classes implements data.Set.
func (s *relabelled) Classes() []string { return slices.Clone(s.classes) }

// Read implements data.Set.
func (s *relabelled) Read(i int, x []float32) (data.Target, error) {
	t, err := s.Set.Read(i, x)
	if err == nil && t.Values == nil && t.Class >= 0 && t.Class < len(s.to) {
		t.Class = s.to[t.Class]
	}
	return t, err
}

// Probabilities returns how probable each class is, given a row of the network's outputs: their
// softmax. A network that was trained on the squared error gives probabilities itself, up to its
// mistakes: they are cut off at 0 and scaled to the sum 1.
//
// It returns an error if an output is not a finite number.
func (r *SavedRun) Probabilities(outputs []float32) ([]float64, error) {
	if r == nil || len(outputs) == 0 {
		return nil, errors.New("train: Probabilities: there is no run or no output")
	}
	p := make([]float64, len(outputs))
	most, sum := outputs[argmax(outputs)], 0.0
	for i, v := range outputs {
		if v-v != 0 {
			return nil, errors.Errorf("train: Probabilities: output %d is %v, want a finite number", i, v)
		}
		if p[i] = math.Exp(float64(v) - float64(most)); r.squared() {
			p[i] = max(float64(v), 0)
		}
		sum += p[i]
	}
	for i := range p {
		if p[i] /= sum; sum == 0 {
			p[i] = 1 / float64(len(p))
		}
	}
	return p, nil
}

func (r *SavedRun) squared() bool { return r.Config.Loss == model.SquaredError{}.String() }

// LossOf is the loss of a sample of that class, given a row of the network's outputs, penalties and
// smoothing left out: ln Σ exp(y) − y[class], or the article's ½ Σ (t − y)².
func (r *SavedRun) LossOf(outputs []float32, class int) float64 {
	if r == nil || class < 0 || class >= len(outputs) {
		return math.NaN()
	}
	most, sum := float64(outputs[argmax(outputs)]), 0.0
	for i, v := range outputs {
		if !r.squared() {
			sum += math.Exp(float64(v) - most)
			continue
		}
		t := 0.0
		if i == class {
			t = 1
		}
		sum += (t - float64(v)) * (t - float64(v)) / 2
	}
	if r.squared() {
		return sum
	}
	return math.Log(sum) + most - float64(outputs[class])
}
