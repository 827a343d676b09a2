package train

import (
	"bytes"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/pkg/errors"
	"gorgonia.org/tensor"

	"github.com/convgrad/convgrad/model"
	"github.com/convgrad/convgrad/train/data"
)

// A Classifier is the network of a run, with what its input and output mean. Several goroutines may
// classify at once.
type Classifier struct {
	Network       *model.Network
	Input         tensor.Shape // of a sample
	Classes       []string
	Normalisation *data.Normalisation // of the samples, or nil
}

// maxConfig bounds what config.json may hold.
const maxConfig = 16 << 20

// unmarshal is json.Unmarshal, which takes the last of a key's values and keys in any case. It
// returns an error for a key that occurs twice in one object, and for one that is not written as we
// write ours.
func unmarshal(b []byte, v any) error {
	if err := json.Unmarshal(b, v); err != nil {
		return err
	}
	return unique(json.NewDecoder(bytes.NewReader(b)))
}

// unique reads one value, whose syntax was checked.
func unique(d *json.Decoder) error {
	open, err := d.Token()
	if err != nil || open != json.Delim('{') && open != json.Delim('[') {
		return err
	}
	seen := map[string]bool{}
	for d.More() {
		if open == json.Delim('{') {
			t, err := d.Token()
			if err != nil {
				return err
			}
			key, _ := t.(string)
			if seen[key] {
				return errors.Errorf("an object names %.100q twice", key)
			}
			if strings.ContainsFunc(key, func(r rune) bool { return r != '_' && (r < 'a' || r > 'z') }) {
				return errors.Errorf("got the key %.100q, want keys in lower case", key)
			}
			seen[key] = true
		}
		if err := unique(d); err != nil {
			return err
		}
	}
	_, err = d.Token()
	return err
}

// Open reads the network of a run directory back, with the weights that the run saved last. The
// run is one of a recipe: for another, see OpenWith.
//
// It returns an error that names the file, what was got and what was wanted if config.json or the
// weights are missing, corrupt, or do not fit each other.
func Open(dir string) (*Classifier, error) { return open(dir, nil) }

// OpenWith is Open for a network of one's own: net is built as it was for the run, and gets the
// weights that the run saved last.
func OpenWith(dir string, net *model.Network) (*Classifier, error) {
	if net == nil {
		return nil, errors.New("train: OpenWith: the network is nil")
	}
	return open(dir, net)
}

func open(dir string, net *model.Network) (*Classifier, error) {
	s, err := readSaved(dir)
	if err != nil {
		return nil, err
	}
	return s.open(dir, WeightsFile, net)
}

// readSmall reads a file of the run directory that cannot be large.
func readSmall(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, errors.Wrap(err, "train: the run")
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxConfig+1))
	if err != nil {
		return nil, errors.Wrap(err, "train: the run")
	}
	if len(b) > maxConfig {
		return nil, errors.Errorf("train: %s has more than %d bytes", path, maxConfig)
	}
	return b, nil
}

// readSaved reads config.json.
func readSaved(dir string) (s saved, err error) {
	path := filepath.Join(dir, ConfigFile)
	b, err := readSmall(path)
	if err != nil {
		return s, err
	}
	return s, errors.Wrapf(unmarshal(b, &s), "train: %s", path)
}

// open makes the classifier that config.json describes, with the weights of a file.
func (s saved) open(dir, file string, net *model.Network) (*Classifier, error) {
	path, weights := filepath.Join(dir, ConfigFile), filepath.Join(dir, file)
	c := &Classifier{Network: net, Input: s.Input, Classes: s.Classes, Normalisation: s.Normalisation}
	if err := c.check(); err != nil {
		return nil, errors.Wrapf(err, "train: %s", path)
	}
	if net == nil {
		if s.Model == "" {
			return nil, errors.Errorf("train: %s names no model: the network is one of the caller's own, for OpenWith", path)
		}
		if len(s.Classes) < 2 {
			return nil, errors.Errorf("train: %s: %d classes, want at least 2", path, len(s.Classes))
		}
		// A configuration that lies about sizes costs no more memory than the weights that are
		// there.
		info, err := os.Stat(weights)
		if err != nil {
			return nil, errors.Wrap(err, "train: the run")
		}
		most := model.Options{MaxWeights: int(info.Size()/4) + 1}
		if c.Network, err = model.ByName(s.Model, c.Input, len(c.Classes), most); err != nil {
			return nil, errors.Wrapf(err, "train: %s and %s", path, weights)
		}
	} else if !net.Input().Eq(c.Input) {
		return nil, errors.Errorf("train: %s: samples are %v, want %v, the input of %s", path, c.Input, net.Input(), net.Name())
	}
	return c, c.Network.LoadFile(weights, model.LoadOptions{})
}

// check returns an error unless input, classes and normalisation hold together.
func (c *Classifier) check() error {
	if err := data.Check(nothing{c}); err != nil {
		return err
	}
	if c.Normalisation != nil {
		return c.Normalisation.Check(c.Input)
	}
	return nil
}

// nothing is a set of one sample that cannot be read, with a classifier's shape and classes.
type nothing struct{ c *Classifier }

func (nothing) Len() int              { return 1 }
func (s nothing) Shape() tensor.Shape { return s.c.Input }
func (s nothing) Classes() []string   { return s.c.Classes }
func (nothing) Read(int, []float32) (data.Target, error) {
	return data.Target{}, errors.New("train: there is no sample")
}

// Classify returns for each picture the index of its class in Classes, and the network's outputs,
// one row a picture. images holds the bytes of the pictures, C×H×W each, one after the other.
//
// It returns an error if that is not a whole number of pictures, or none, or if an output is NaN,
// which is no class.
func (c *Classifier) Classify(images []uint8) (classes []int, outputs *tensor.Dense, err error) {
	if c == nil || c.Network == nil || len(c.Classes) < 2 || len(c.Input) != 3 {
		return nil, nil, errors.New("train: Classify: the classifier has no network, no classes or no pictures as input, want one of Open")
	}
	if err := c.check(); err != nil {
		return nil, nil, errors.Wrap(err, "train: Classify")
	}
	size := c.Input.TotalSize()
	n := len(images) / size
	if n == 0 || len(images)%size != 0 {
		return nil, nil, errors.Errorf("train: Classify: %d bytes, want a positive multiple of %d, a picture of %v", len(images), size, c.Input)
	}
	pictures, err := data.NewImages(c.Input, c.Classes, images, make([]int, n))
	if err != nil {
		return nil, nil, errors.Wrap(err, "train: Classify")
	}
	var set data.Set = pictures
	if c.Normalisation != nil {
		if set, err = data.Normalise(pictures, c.Normalisation); err != nil {
			return nil, nil, errors.Wrap(err, "train: Classify")
		}
	}
	x := make([]float32, len(images))
	for i := range n {
		if _, err := set.Read(i, x[i*size:][:size]); err != nil {
			return nil, nil, errors.Wrap(err, "train: Classify")
		}
	}
	in := tensor.New(tensor.WithShape(n, c.Input[0], c.Input[1], c.Input[2]), tensor.WithBacking(x))
	if outputs, err = c.Network.Predict(in); err != nil {
		return nil, nil, err
	}
	y, ok := outputs.Data().([]float32)
	if !ok || len(y) != n*len(c.Classes) {
		return nil, nil, errors.Errorf("train: Classify: the network's output is %v of %v, want %d×%d of float32",
			outputs.Shape(), outputs.Dtype(), n, len(c.Classes))
	}
	for i := range n {
		row := y[i*len(c.Classes):][:len(c.Classes)]
		if slices.ContainsFunc(row, func(v float32) bool { return v != v }) {
			return nil, nil, errors.Errorf("train: Classify: the network's output for picture %d is %v, want numbers", i, row)
		}
		classes = append(classes, argmax(row))
	}
	return classes, outputs, nil
}
