package train

import (
	"math"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"gorgonia.org/tensor"

	"github.com/convgrad/convgrad/train/data"
)

// TestOpenRun: recipe and metrics are those of the run, and its sets are those that it was trained
// on.
func TestOpenRun(t *testing.T) {
	tr := trainer(t, config())
	res := ran(t, tr)
	r, err := OpenRun(tr.Dir)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(r.Epochs, res.Epochs) || r.Config.Model != config().Model || r.Samples != tr.Train.Len() || r.Kernels == "" {
		t.Errorf("%+v, want the epochs %+v", r, res.Epochs)
	}
	_, test, err := r.Sets("digits", data.Options{Train: 20, Test: 60, Seed: 1})
	if err != nil {
		t.Fatal(err)
	}
	if n := data.NormalisationOf(test); n == nil || !slices.Equal(n.Mean, r.Normalisation.Mean) {
		t.Errorf("the set is normalised by %v, want the run's %v", n, r.Normalisation)
	}
	for _, name := range []string{"nothing", "folder"} {
		if _, _, err := r.Sets(name, data.Options{}); err == nil {
			t.Errorf("the set %q opens without a directory", name)
		}
	}
	if _, _, err := (*Classifier)(nil).Sets("digits", data.Options{}); err == nil {
		t.Error("a nil classifier has sets")
	}
	if err := os.WriteFile(filepath.Join(tr.Dir, MetricsFile), []byte("{\"epoch\":1,\"Epoch\":2}\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	_, err = OpenRun(tr.Dir)
	wants(t, err, MetricsFile, "line 1", `"Epoch"`)
}

// TestAdopt: labels of another set become the classifier's by their names.
func TestAdopt(t *testing.T) {
	c := &Classifier{Input: tensor.Shape{1, 1, 1}, Classes: []string{"a", "b", "c"}}
	set := func(names ...string) data.Set {
		s, err := data.NewImages(c.Input, names, []uint8{10, 20}, []int{0, 1})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	s, err := c.adopt(set("c", "a"))
	if err != nil {
		t.Fatal(err)
	}
	x := make([]float32, 1)
	for i, want := range []int{2, 0} {
		if got, err := s.Read(i, x); err != nil || got.Class != want || !slices.Equal(s.Classes(), c.Classes) {
			t.Errorf("sample %d is of class %v, %v, want %d", i, got, err, want)
		}
	}
	_, err = c.adopt(set("a", "d"))
	wants(t, err, `"d" is none of the network's`)
	c.Input = tensor.Shape{1, 2, 1}
	s, _ = data.NewImages(tensor.Shape{1, 1, 1}, c.Classes, []uint8{1}, []int{0})
	_, err = c.adopt(s)
	wants(t, err, "samples are (1, 1, 1), want (1, 2, 1)")
}

// TestProbabilities: softmax where outputs are logits, however large; the outputs themselves where
// they were trained to be one-hot. The loss is that of its definition.
func TestProbabilities(t *testing.T) {
	near := func(got, want float64) bool { return math.Abs(got-want) <= 1e-15*math.Max(1, math.Abs(want)) }
	logits := &SavedRun{Config: Config{Loss: "cross-entropy"}}
	// Outputs are exact in float32. ln 3 is not: its probability is that of its float32.
	third := float64(float32(math.Log(3)))
	p, err := logits.Probabilities([]float32{1000, 1000 - 1024, 1000})
	if err != nil || !near(p[0], 0.5) || p[1] != 0 || !near(p[2], 0.5) {
		t.Errorf("got %v, %v", p, err)
	}
	p, err = logits.Probabilities([]float32{float32(math.Log(3)), 0})
	if err != nil || !near(p[1], 1/(1+math.Exp(third))) || !near(logits.LossOf([]float32{float32(math.Log(3)), 0}, 1), -math.Log(p[1])) {
		t.Errorf("got %v, %v", p, err)
	}
	ones := &SavedRun{Config: Config{Loss: "mse"}}
	p, err = ones.Probabilities([]float32{-0.5, 1.5, 0.5})
	if err != nil || p[0] != 0 || p[1] != 0.75 || p[2] != 0.25 {
		t.Errorf("got %v, %v", p, err)
	}
	if got := ones.LossOf([]float32{-0.5, 1.5, 0.5}, 2); got != 0.5*(0.25+2.25+0.25) {
		t.Errorf("the squared error is %v", got)
	}
	p, err = ones.Probabilities([]float32{-1, -2})
	if err != nil || p[0] != 0.5 || p[1] != 0.5 {
		t.Errorf("got %v, %v, want even ones where no output is positive", p, err)
	}
	for _, bad := range []float32{float32(math.NaN()), float32(math.Inf(1)), float32(math.Inf(-1))} {
		for _, r := range []*SavedRun{logits, ones} {
			_, err := r.Probabilities([]float32{0, bad})
			wants(t, err, "want a finite number")
		}
	}
	if _, err := (*SavedRun)(nil).Probabilities([]float32{1}); err == nil || !math.IsNaN(logits.LossOf([]float32{1}, 1)) {
		t.Error("no run, or no such class, gives numbers")
	}
}
