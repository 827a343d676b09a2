package report

import (
	"image"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/pkg/errors"
	G "gorgonia.org/gorgonia"

	"github.com/convgrad/convgrad/model"
	"github.com/convgrad/convgrad/ops"
	"github.com/convgrad/convgrad/train"
)

// A View looks into a run's network: what its layers make of a picture, and which pixels the answer
// depends on. Several goroutines may look; one at a time does.
type View struct {
	run    *train.SavedRun
	mu     sync.Mutex
	graph  *model.Graph
	layers []model.LayerSummary // whose outputs are maps
}

// A Sight is what a View sees.
type Sight struct {
	Class         int       // the most probable, or that which was asked for
	Probabilities []float64 // by class
	Maps          []Maps    // from the input on
	// Gradient is the largest |∂y[Class]/∂x| of a pixel's channels: bright where a small change of
	// the pixel changes that output most.
	Gradient image.Image
}

// Maps are the first few channels of a layer's output.
type Maps struct {
	Layer    string
	Kind     string
	Channels int // in all
	Height   int
	Width    int
	Sheet    image.Image // of those that are shown, side by side
}

// maxLayers is how many layers a View shows, and maxMaps how many maps of each.
const (
	maxLayers = 6
	maxMaps   = 16
)

// logit is the loss whose derivative is that of the output of a class.
var logit = model.LossFunc(func(y, t *G.Node) (*G.Node, error) {
	var try ops.Try
	sum := try.Do(ops.Sum(try.Do(ops.Mul(y, t))))
	return sum, try.Err()
})

// NewView prepares to look into the run's network. Its weights must not be trained meanwhile.
func NewView(r *train.SavedRun) (*View, error) {
	if r == nil || r.Classifier == nil || r.Network == nil || len(r.Input) != 3 {
		return nil, errors.New("report: NewView: the run has no network, or one that takes no pictures")
	}
	v := &View{run: r}
	var maps []model.LayerSummary
	for _, l := range r.Network.Summary().Layers {
		if len(l.Output) == 3 && l.Output[1]*l.Output[2] > 1 {
			maps = append(maps, l)
		}
	}
	if len(maps) > 2*maxLayers { // of many, the convolutions tell most
		convolutions := slices.DeleteFunc(slices.Clone(maps), func(l model.LayerSummary) bool { return !strings.HasPrefix(l.Kind, "Conv") })
		if len(convolutions) > 1 {
			maps = convolutions
		}
	}
	n := min(len(maps), maxLayers)
	for i := range n { // the first, the last, and what is between at equal distances
		v.layers = append(v.layers, maps[i*(len(maps)-1)/max(n-1, 1)])
	}
	var err error
	v.graph, err = r.Network.Build(1, model.BuildOptions{Loss: logit, InputGradient: true, Keep: true})
	return v, errors.Wrap(err, "report")
}

// Close gives the view's memory up.
func (v *View) Close() error {
	if v == nil {
		return nil
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.graph.Close()
}

// Look looks at a sample, normalised as the network's input is. The gradient is that of a class, or
// of the most probable one if class is negative.
//
// It returns an error if the sample has another size, or an output is not a finite number.
func (v *View) Look(x []float32, class int) (*Sight, error) {
	if v == nil {
		return nil, errors.New("report: Look: the view is nil")
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	in, ok := v.graph.InputData().([]float32)
	if !ok || len(in) != len(x) || class >= len(v.run.Classes) {
		return nil, errors.Errorf("report: Look: %d numbers and class %d, want %d and below %d", len(x), class, len(in), len(v.run.Classes))
	}
	copy(in, x)
	s := &Sight{Class: class}
	if err := v.see(s, max(class, 0)); err != nil {
		return nil, err
	}
	if class < 0 {
		s.Class = slices.Index(s.Probabilities, slices.Max(s.Probabilities))
	}
	if s.Class != max(class, 0) { // the gradient is that of another class
		if err := v.see(s, s.Class); err != nil {
			return nil, err
		}
	}
	for _, l := range v.layers {
		f, err := v.graph.Feature(l.Name)
		if err != nil {
			return nil, err
		}
		values, _ := f.Data().([]float32)
		s.Maps = append(s.Maps, Maps{Layer: l.Name, Kind: l.Kind, Channels: l.Output[0], Height: l.Output[1], Width: l.Output[2],
			Sheet: sheet(values, l.Output[0], l.Output[1], l.Output[2])})
	}
	dx, err := v.graph.InputGradient()
	if err != nil {
		return nil, err
	}
	g, _ := dx.Data().([]float32)
	s.Gradient = gradientMap(g, v.run.Input)
	return s, nil
}

// see runs the graph for the gradient of a class.
func (v *View) see(s *Sight, class int) error {
	if err := v.graph.SetLabels([]int{class}); err != nil {
		return err
	}
	if err := v.graph.Run(); err != nil {
		return err
	}
	y, err := v.graph.Output()
	if err != nil {
		return err
	}
	row, _ := y.Data().([]float32)
	if len(row) != len(v.run.Classes) {
		return errors.Errorf("report: the network's output is %v, want %d classes", y.Shape(), len(v.run.Classes))
	}
	s.Probabilities, err = v.run.Probabilities(row)
	return err
}

// Subject says what a run was trained on: the data set's name, or that of the folder.
func Subject(r *train.SavedRun) string {
	if r.Config.Data == "folder" && r.Config.DataDir != "" {
		return filepath.Base(r.Config.DataDir)
	}
	return r.Config.Data
}
