package report

import (
	"context"
	"math"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/convgrad/convgrad/train"
	"github.com/convgrad/convgrad/train/data"
)

// digits is a small run on digits, which tests share, and the set that it was tested on.
var digits = sync.OnceValues(func() (dir string, test data.Set) {
	dir, err := os.MkdirTemp("", "report")
	if err != nil {
		panic(err)
	}
	made = dir
	training, test, err := data.Open("digits", data.Options{Train: 1500, Test: 300, Seed: 3})
	if err != nil {
		panic(err)
	}
	c := train.Config{Data: "digits", Model: "lenet5", Loss: "cross-entropy", Epochs: 2, Batch: 25, Optimizer: "adam", Seed: 3}
	tr, err := c.Trainer(training, test)
	if err != nil {
		panic(err)
	}
	tr.Dir = filepath.Join(dir, "run")
	if _, err := tr.Run(context.Background()); err != nil {
		panic(err)
	}
	return tr.Dir, test
})

// made is the directory that digits made.
var made string

func TestMain(m *testing.M) {
	code := m.Run()
	if made != "" {
		_ = os.RemoveAll(made)
	}
	os.Exit(code)
}

// trained opens the run.
func trained(t *testing.T) (*train.SavedRun, data.Set) {
	t.Helper()
	dir, test := digits()
	r, err := train.OpenRunFrom(dir, train.WeightsFile)
	if err != nil {
		t.Fatal(err)
	}
	return r, test
}

// TestEvaluate: loss and accuracy are those that the run noted after its last epoch, and all other
// figures agree with the confusion matrix and the samples.
func TestEvaluate(t *testing.T) {
	r, test := trained(t)
	e, err := Evaluate(context.Background(), r, test)
	if err != nil {
		t.Fatal(err)
	}
	last := r.Epochs[len(r.Epochs)-1]
	// The trainer sums 250 terms in float32, with a relative error of at most 250·2⁻²⁴. Each term
	// is ln Σ exp(y) − y[class] over 10 outputs below 40: at most 16 roundings of that size.
	bound := (250*last.TestLoss + 16*40) * math.Pow(2, -24)
	if e.Samples != 300 || e.Accuracy != last.TestAccuracy || !(math.Abs(e.Loss-last.TestLoss) <= bound) {
		t.Errorf("%d samples, accuracy %v, loss %v; the run noted %v and %v", e.Samples, e.Accuracy, e.Loss, last.TestAccuracy, last.TestLoss)
	}
	right, all, sure := 0, 0, 0
	for c, row := range e.Confusion {
		right += row[c]
		for _, n := range row {
			all += n
		}
	}
	for _, b := range e.Bins {
		sure += b.Samples
		if b.Samples > 0 && !(b.Sure >= b.From && b.Sure <= b.To) {
			t.Errorf("the bin %v–%v has a mean of %v", b.From, b.To, b.Sure)
		}
	}
	if all != 300 || sure != 300 || float64(right)/300 != e.Accuracy || e.Top5 < e.Accuracy || !(e.ECE >= 0 && e.ECE < 0.5) {
		t.Errorf("%d samples in the matrix, %d in the bins, %d right: %+v", all, sure, right, e)
	}
	wrong := e.Mistakes(1000)
	if len(wrong) != 300-right {
		t.Errorf("%d mistakes, want %d", len(wrong), 300-right)
	}
	for i, j := range wrong {
		if i > 0 && j.Sure > wrong[i-1].Sure || j.Label == j.Taken || j.Label != j.Index%10 {
			t.Errorf("mistake %d is %+v", i, j)
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := Evaluate(ctx, r, test); err == nil {
		t.Error("an evaluation went on after its context ended")
	}
	for _, set := range []data.Set{nil, lying{test}} {
		if _, err := Evaluate(context.Background(), r, set); err == nil || !strings.Contains(err.Error(), "report: ") {
			t.Errorf("%T: %v", set, err)
		}
	}
	if _, err := Evaluate(context.Background(), nil, test); err == nil {
		t.Error("a nil run is evaluated")
	}
}

// lying is a set whose labels are no classes, and which panics at the end.
type lying struct{ data.Set }

func (s lying) Read(i int, x []float32) (data.Target, error) {
	if i == 200 {
		panic("no more")
	}
	t, err := s.Set.Read(i, x)
	t.Class += i / 100 * 10
	return t, err
}

// TestOpenRunRefuses: a line of metrics that is none is named.
func TestOpenRunRefuses(t *testing.T) {
	r, _ := trained(t)
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(r.Dir)); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, train.MetricsFile), []byte("{\"epoch\":1}\n{\"epoch\":\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := train.OpenRun(dir); err == nil || !strings.Contains(err.Error(), "line 2") {
		t.Errorf("got %v, want an error that names line 2", err)
	}
}
