package train

import (
	"bytes"
	"context"
	"iter"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pkg/errors"
	"gorgonia.org/tensor"

	"github.com/convgrad/convgrad/model"
	"github.com/convgrad/convgrad/train/data"
)

// streamed is a set as a stream, each epoch in the set's order.
type streamed struct {
	data.Dataset // the set's, without Read
	set          data.Set
	ends         int // samples after which an epoch is over, if not 0
	fault        func(i int) error
}

func stream(s data.Set) streamed { return streamed{Dataset: struct{ data.Dataset }{s}, set: s} }

// Epoch implements data.Stream.
func (s streamed) Epoch(int) iter.Seq2[data.Sample, error] {
	return func(yield func(data.Sample, error) bool) {
		x := make([]float32, s.set.Shape().TotalSize())
		for i := range s.Len() {
			if s.ends > 0 && i == s.ends {
				return
			}
			t, err := s.set.Read(i, x)
			if s.fault != nil && err == nil {
				err = s.fault(i)
			}
			if !yield(data.Sample{X: x, Target: t}, err) {
				return
			}
		}
	}
}

// streamTrainer is one on shuffled streams, with augmentation, dropout and an average.
func streamTrainer(t *testing.T, dir string) *Trainer {
	t.Helper()
	c := config()
	c.Model, c.Average, c.Shift = "convnet", 0.9, 1.5
	tr, err := c.Trainer(digits(t, 48, 20))
	if err != nil {
		t.Fatal(err)
	}
	training, err := data.ShuffleStream(stream(tr.Train.(data.Set)), 20, 3)
	if err != nil {
		t.Fatal(err)
	}
	tr.Train, tr.Test, tr.Dir, tr.Batch = training, stream(tr.Test.(data.Set)), dir, 8
	return tr
}

// TestStreamResumes: a run on a stream that was ended in the middle of an epoch, and goes on, has
// the bits of one that was left alone; so has one with another number of workers.
func TestStreamResumes(t *testing.T) {
	dir := t.TempDir()
	whole := streamTrainer(t, filepath.Join(dir, "whole"))
	ran(t, whole)
	again := streamTrainer(t, filepath.Join(dir, "again"))
	again.Workers = 3
	again.OnStep = func(m Moment) error {
		if m.Step == 8 { // the third of six of epoch 2, counted from 0
			return Stop
		}
		return nil
	}
	if res := ran(t, again); !res.Stopped || len(res.Epochs) != 1 {
		t.Fatalf("the run was not ended in epoch 2: %+v", res)
	}
	again = streamTrainer(t, again.Dir)
	res, err := again.Resume(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{WeightsFile, BestFile} {
		if !bytes.Equal(file(t, whole.Dir, name), file(t, again.Dir, name)) {
			t.Errorf("%s differs", name)
		}
	}
	if !bytes.Equal(tensors(t, whole.Dir), tensors(t, again.Dir)) || res.Steps != 12 {
		t.Errorf("the checkpoints differ, after %d steps, want 12", res.Steps)
	}
}

// TestStreamTestsAsSet: the test samples give the same figures whether they are a set or a stream.
func TestStreamTestsAsSet(t *testing.T) {
	tr := trainer(t, config())
	want := ran(t, tr)
	other := trainer(t, config())
	other.Test = stream(other.Test.(data.Set))
	got := ran(t, other)
	if a, b := want.Epochs[1], got.Epochs[1]; a.TestLoss != b.TestLoss || a.TestAccuracy != b.TestAccuracy || b.Tested != 60 {
		t.Errorf("a stream gives %+v, want %+v", b, a)
	}
}

// TestStreamFaults: a stream that ends early, fails, panics or gives something else is an error
// that says so, and the goroutines end.
func TestStreamFaults(t *testing.T) {
	for what, change := range map[string]func(s *streamed){
		"ended, want 240 samples an epoch": func(s *streamed) { s.ends = 230 },
		"the line is dead":                 func(s *streamed) { s.fault = func(i int) error { return errors.New("the line is dead") } },
		"panicked: oh":                     func(s *streamed) { s.fault = func(i int) error { panic("oh") } },
		// its X is a digit's
		"gives 784 elements, want 9": func(s *streamed) { s.Dataset = shaped{s.Dataset} },
	} {
		tr := trainer(t, config())
		s := stream(tr.Train.(data.Set))
		change(&s)
		tr.Train, tr.Dir = s, ""
		if what[0] == 'g' {
			tr.Test = nil
			var err error
			if tr.Net, err = model.New(model.Sequential{model.Linear{Outputs: 10}}, s.Shape(), model.Options{}); err != nil {
				t.Fatal(err)
			}
		}
		_, err := tr.Run(context.Background())
		wants(t, err, "train: ", what)
	}
}

// shaped says that samples are of nine elements.
type shaped struct{ data.Dataset }

func (shaped) Shape() tensor.Shape { return tensor.Shape{9} }

// counted is a set that counts what was read of it.
type counted struct {
	data.Set
	reads *atomic.Int64
}

func (s counted) Read(i int, x []float32) (data.Target, error) {
	defer s.reads.Add(1)
	return s.Set.Read(i, x)
}

// TestReadsAhead: while a step is under way the next two batches are read. A step that takes longer
// than reading does then finds its samples there. The order is the caller's, or the stream's.
func TestReadsAhead(t *testing.T) {
	training, _ := digits(t, 120, 30)
	const size = 10
	order := data.Shuffle(120, 1, 1)
	for _, streams := range []bool{false, true} {
		var reads atomic.Int64
		set := counted{training, &reads}
		l, w := newLoader(set, 2), reading{epoch: 1, to: 120, batch: size, order: order}
		if streams {
			l, w.order = newLoader(stream(set), 2), nil
		}
		var got []int
		err := l.each(context.Background(), w, func(b *batch) error {
			got = append(got, b.indices...)
			want := int64(min(120, len(got)+ahead*size))
			for limit := time.Now().Add(20 * time.Second); reads.Load() < want; time.Sleep(time.Millisecond) {
				if time.Now().After(limit) {
					return errors.Errorf("%d samples were read during step %d, want %d", reads.Load(), len(got)/size, want)
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		for i, k := range got {
			if want := i; streams && k != want || !streams && k != order[i] {
				t.Fatalf("stream %v: sample %d of the epoch is %d", streams, i, k)
			}
		}
	}
}
