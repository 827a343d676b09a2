package report

import (
	"context"
	_ "embed"
	"fmt"
	"html/template"
	"io"
	"maps"
	"math"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"encoding/json"

	"github.com/pkg/errors"

	"github.com/convgrad/convgrad/internal/safetensors"
	"github.com/convgrad/convgrad/model"
	"github.com/convgrad/convgrad/ops"
	"github.com/convgrad/convgrad/train"
	"github.com/convgrad/convgrad/train/data"
)

// File is the name of the page in a run directory.
const File = "report.html"

// An Input is what a page tells of.
type Input struct {
	Run     *train.SavedRun
	Set     data.Set // to test with, of the run's Sets
	Command string   // that repeats the run; may be empty
}

//go:embed report.html
var pageText string

var page = template.Must(template.New("report").Funcs(template.FuncMap{
	"percent": func(v float64) string { return fmt.Sprintf("%.2f %%", 100*v) },
	"whole":   func(v float64) string { return fmt.Sprintf("%.0f %%", 100*v) },
	"number":  func(v float64) string { return fmt.Sprintf("%.4g", v) },
	"seconds": func(v float64) string {
		d := time.Duration(v * float64(time.Second))
		switch {
		case d < time.Second:
			return fmt.Sprintf("%d ms", d.Milliseconds())
		case d < time.Minute:
			return fmt.Sprintf("%.1f s", v)
		}
		return d.Round(time.Second).String()
	},
	"sides": func(s []int) string {
		return strings.ReplaceAll(strings.Trim(fmt.Sprint(s), "[]"), " ", "×")
	},
}).Parse(pageText))

// How much of each kind the page shows.
const (
	maxMistakes = 24
	maxSamples  = 3
	maxTable    = 25 // classes of a confusion matrix with numbers
	maxPairs    = 10
)

// WriteFile writes the page. The file appears whole or not at all.
func WriteFile(ctx context.Context, path string, in Input) error {
	return errors.Wrap(safetensors.WholeFile(path, func(w io.Writer) error { return Write(ctx, w, in) }), "report")
}

// A content is what the template is given.
type content struct {
	Name        string
	Subject     string
	Run         *train.SavedRun
	Summary     model.Summary
	E           *Evaluation
	Best        *train.Epoch
	Charts      []*Chart
	Matrix      []matrixRow
	MatrixURI   template.URL // a picture of it, for more classes than a table has room for
	Pairs       []pair
	Mistakes    []shown
	Filters     *Filters
	FiltersURI  template.URL
	Samples     []sample
	Reliability *Chart
	Bars        []bar
	Config      []setting
	Seconds     float64 // of training
	EvalSeconds float64
	Command     string
	Environment []setting
	When        string
}

type (
	setting   struct{ Name, Value string }
	matrixRow struct {
		Name  string
		Cells []cell
	}
	cell struct {
		Samples int
		Share   float64 // of the row
		Right   bool
		Title   string
	}
	pair  struct{ Label, Taken, Samples string }
	shown struct {
		URI          template.URL
		Label, Taken string
		Sure         float64
	}
	sheetOf struct {
		Maps
		URI template.URL
	}
	sample struct {
		shown
		Gradient template.URL
		Sheets   []sheetOf
	}
	bar struct {
		X, Y, W, H float64
		Samples    int
		Sure       float64
		Right      float64
	}
)

// Write evaluates the run and writes a page that needs nothing from elsewhere.
//
// It returns an error if the set is not of the run, a sample cannot be read, or ctx ends.
func Write(ctx context.Context, w io.Writer, in Input) error {
	start := time.Now()
	e, err := Evaluate(ctx, in.Run, in.Set)
	if err != nil {
		return err
	}
	r := in.Run
	c := &content{
		Name: filepath.Base(r.Dir), Subject: Subject(r), Run: r, E: e, Summary: r.Network.Summary(), Command: in.Command,
		EvalSeconds: time.Since(start).Seconds(), When: time.Now().Format("2 January 2006, 15:04 MST"),
		Filters: firstFilters(r.Network),
	}
	if abs, err := filepath.Abs(r.Dir); err == nil {
		c.Name = filepath.Base(abs)
	}
	c.curves()
	c.calibration()
	if err := c.matrix(); err != nil {
		return err
	}
	if err := c.settings(); err != nil {
		return err
	}
	if err := c.pictures(in.Set); err != nil {
		return err
	}
	return errors.Wrap(page.Execute(w, c), "report")
}

// curves draws loss, accuracy and rate by epoch.
func (c *content) curves() {
	var loss, testLoss, right, testRight, rate, speed []float64
	for i, e := range c.Run.Epochs {
		loss, right, rate, speed = append(loss, e.Loss), append(right, e.Accuracy), append(rate, e.Rate), append(speed, e.ImagesPerSec)
		c.Seconds += e.Seconds
		if e.Tested > 0 {
			testLoss, testRight = append(testLoss, e.TestLoss), append(testRight, e.TestAccuracy)
			if c.Best == nil || e.TestAccuracy > c.Best.TestAccuracy {
				c.Best = &c.Run.Epochs[i]
			}
		}
	}
	if len(loss) == 0 {
		return
	}
	last := len(loss) - 1
	about := func(what string, train, test []float64) string {
		s := fmt.Sprintf("%s over %d epochs: %.4g in training at last", what, last+1, train[last])
		if len(test) > 0 {
			s += fmt.Sprintf(", %.4g on the test samples", test[len(test)-1])
		}
		return s
	}
	nan := math.NaN()
	lowest := slices.Min(slices.Concat(right, testRight))
	c.Charts = []*Chart{
		newChart("Loss", about("Loss", loss, testLoss), "epoch", 0, nan, false, series{"training", "a", loss}, series{"test", "b", testLoss}),
		newChart("Accuracy", about("Accuracy", right, testRight), "epoch", math.Floor(lowest*10)/10, 1, true, series{"training", "a", right},
			series{"test", "b", testRight}),
		newChart("Learning rate at the end of the epoch", about("The learning rate", rate, nil), "epoch", 0, nan, false, series{"rate", "c", rate}),
		newChart("Images a second, in training", about("Images a second", speed, nil), "epoch", 0, nan, false, series{"images/s", "c", speed}),
	}
}

// matrix is the confusion matrix, a table of numbers for few classes and a picture for many, and
// the pairs that are confused most.
func (c *content) matrix() (err error) {
	names := c.Run.Classes
	for _, p := range c.E.MostConfused(maxPairs) {
		c.Pairs = append(c.Pairs, pair{names[p.Label], names[p.Taken], fmt.Sprint(p.Samples)})
	}
	if k := len(names); k > maxTable && c.E.Confusion != nil {
		c.MatrixURI, err = DataURI(tiles(1, k, k, heat, func(_, row, column int) uint8 {
			return index(share(float64(c.E.Confusion[row][column]), c.E.Classes[row].Samples), 0, 1)
		}))
		return errors.Wrap(err, "report")
	}
	if len(names) > maxTable {
		return nil
	}
	for i, row := range c.E.Confusion {
		m := matrixRow{Name: names[i]}
		for k, n := range row {
			m.Cells = append(m.Cells, cell{n, round(1000*share(float64(n), c.E.Classes[i].Samples)) / 1000, i == k,
				fmt.Sprintf("%d of %d of %s taken for %s", n, c.E.Classes[i].Samples, names[i], names[k])})
		}
		c.Matrix = append(c.Matrix, m)
	}
	return nil
}

// calibration is the reliability diagram: for each bin a bar as high as its share of right answers.
func (c *content) calibration() {
	r := newChart("Reliability", fmt.Sprintf("Share of right answers by confidence; the calibration error is %.2f %%", 100*c.E.ECE), "confidence",
		0, 1, true, series{})
	r.Lines = []Line{{Name: "perfectly calibrated", Class: "d", Points: fmt.Sprintf("%d,%d %d,%d", r.Left, r.Bottom, r.Right, r.Top)}}
	wide, high := float64(r.Right-r.Left), float64(r.Bottom-r.Top)
	r.XTicks = nil
	for i := 0; i <= 10; i += 2 {
		r.XTicks = append(r.XTicks, Tick{float64(r.Left) + wide*float64(i)/10, fmt.Sprintf("%d %%", 10*i)})
	}
	for _, b := range c.E.Bins {
		if b.Samples > 0 {
			c.Bars = append(c.Bars, bar{round(float64(r.Left)+wide*b.From) + 1, round(float64(r.Bottom) - high*b.Right), round(wide*(b.To-b.From)) - 2,
				round(high * b.Right), b.Samples, b.Sure, b.Right})
		}
	}
	c.Reliability = r
}

// settings are the recipe and the environment.
func (c *content) settings() error {
	b, err := json.Marshal(c.Run.Config)
	if err != nil {
		return errors.Wrap(err, "report")
	}
	all := map[string]any{}
	if err := json.Unmarshal(b, &all); err != nil {
		return errors.Wrap(err, "report")
	}
	for _, k := range slices.Sorted(maps.Keys(all)) {
		c.Config = append(c.Config, setting{k, fmt.Sprint(all[k])})
	}
	if n := c.Run.Normalisation; n != nil {
		c.Config = append(c.Config, setting{"normalisation", fmt.Sprintf("mean %.4g, deviation %.4g", n.Mean, n.Std)})
	}
	c.Config = append(c.Config, setting{"training samples", fmt.Sprint(c.Run.Samples)})
	c.Environment = []setting{
		{"kernels in training", c.Run.Kernels},
		{"kernels of this page", ops.Tier()},
		{"system", runtime.GOOS + "/" + runtime.GOARCH},
		{"threads", fmt.Sprintf("%d of %d processors", ops.Threads(), runtime.NumCPU())},
		{"Go", runtime.Version()},
	}
	return nil
}

// pictures are the mistakes, the filters, and what the layers make of samples.
func (c *content) pictures(set data.Set) (err error) {
	if c.Filters != nil {
		if c.FiltersURI, err = DataURI(c.Filters.Sheet); err != nil {
			return errors.Wrap(err, "report")
		}
	}
	shape := c.Run.Input
	if len(shape) != 3 || shape[0] != 1 && shape[0] != 3 {
		return nil // the samples are no pictures
	}
	x := make([]float32, shape.TotalSize())
	show := func(j Judged) (s shown, err error) {
		if _, err = set.Read(j.Index, x); err != nil {
			return s, errors.Wrapf(err, "report: sample %d", j.Index)
		}
		s = shown{Label: c.Run.Classes[j.Label], Taken: c.Run.Classes[j.Taken], Sure: j.Sure}
		s.URI, err = DataURI(picture(x, shape, c.Run.Normalisation))
		return s, err
	}
	for _, j := range c.E.Mistakes(maxMistakes) {
		s, err := show(j)
		if err != nil {
			return err
		}
		c.Mistakes = append(c.Mistakes, s)
	}
	v, err := NewView(c.Run)
	if err != nil {
		return err
	}
	defer v.Close()
	seen := map[int]bool{}
	for _, j := range c.E.Judged {
		if seen[j.Label] || j.Label != j.Taken || len(c.Samples) == maxSamples {
			continue
		}
		seen[j.Label] = true
		one := sample{}
		if one.shown, err = show(j); err != nil {
			return err
		}
		sight, err := v.Look(x, j.Taken)
		if err != nil {
			return err
		}
		if one.Gradient, err = DataURI(sight.Gradient); err != nil {
			return err
		}
		for _, m := range sight.Maps {
			uri, err := DataURI(m.Sheet)
			if err != nil {
				return err
			}
			one.Sheets = append(one.Sheets, sheetOf{m, uri})
		}
		c.Samples = append(c.Samples, one)
	}
	return nil
}
