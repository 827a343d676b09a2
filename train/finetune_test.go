package train_test

import (
	"context"
	"encoding/binary"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"gorgonia.org/tensor"

	"github.com/convgrad/convgrad/model"
	"github.com/convgrad/convgrad/ops"
	"github.com/convgrad/convgrad/train"
	"github.com/convgrad/convgrad/train/data"
)

// frozen is all of ResNet-20 but its last block and last layer.
var frozen = []string{"conv1", "bn1", "layer1", "layer2", "layer3.0", "layer3.1"}

// TestFineTuning takes a network from PyTorch over by an ONNX file, and trains it on 200 pictures
// of two classes that it has never seen, frozen up to its last block. With five seeds, each of
// which has 200 pictures of its own, the mean accuracy has to be within two points of what
// PyTorch's same recipe reaches on the same pictures.
//
// The network is a ResNet-20 that PyTorch trains on the other eight classes. CONVGRAD_FINETUNE asks
// for the test: python3 has to have torch, torchvision and onnx. It names the directory of
// pictures, with train and test in it.
func TestFineTuning(t *testing.T) {
	pictures := os.Getenv("CONVGRAD_FINETUNE")
	if pictures == "" {
		t.Skip("CONVGRAD_FINETUNE names no directory of pictures")
	}
	dir := t.TempDir()
	training, test, err := data.Folder(pictures, data.FolderOptions{Size: ops.Both(32), Channels: 3})
	if err != nil {
		t.Fatal(err)
	}
	seen := len(training.Classes()) - 2
	if seen < 2 {
		t.Fatalf("there are the classes %q, want four or more", training.Classes())
	}
	norm, err := data.Measure(training)
	if err != nil {
		t.Fatal(err)
	}
	base, unseen := split(t, training, norm, seen)
	_, tests := split(t, test, norm, seen)
	base.write(t, filepath.Join(dir, "base"))
	python(t, "base", dir)
	features, err := os.ReadFile(filepath.Join(dir, "features"))
	if err != nil {
		t.Fatal(err)
	}

	const seeds, each = 5, 100
	byClass := [2]samples{unseen.of(0), unseen.of(1)}
	var few [seeds]samples
	args := []string{"tune", dir}
	for i := range few {
		r := rand.New(rand.NewPCG(uint64(i), 20160905))
		for class, s := range byClass {
			if len(s.labels) < each {
				t.Fatalf("there are %d pictures of class %d, want %d", len(s.labels), class, each)
			}
			for _, j := range r.Perm(len(s.labels))[:each] {
				few[i].add(s.x[j], s.labels[j])
			}
		}
		few[i].write(t, filepath.Join(dir, strconv.Itoa(i)))
		args = append(args, strconv.Itoa(i))
	}
	tests.write(t, filepath.Join(dir, "test"))
	peers := strings.Fields(python(t, args...))
	if len(peers) != seeds {
		t.Fatalf("PyTorch printed %q, want %d numbers", peers, seeds)
	}

	var ours, theirs float64
	for i := range few {
		n, err := model.ReadONNXFile(filepath.Join(dir, "base.onnx"), model.ONNXOptions{
			Input: tensor.Shape{3, 32, 32}, Output: string(features),
			Head: model.As("linear", model.Linear{Outputs: 2}), Options: model.Options{Seed: uint64(i)},
		})
		if err != nil {
			t.Fatal(err)
		}
		if err := n.Freeze(frozen...); err != nil {
			t.Fatal(err)
		}
		got, err := (&train.Trainer{
			Net: n, Train: few[i].set(t), Test: tests.set(t), Epochs: 20, Batch: 20, Seed: uint64(i),
			Optimizer: &train.SGD{Momentum: 0.9, Nesterov: true, Decay: 5e-4, Exempt: true},
			Schedule:  train.Cosine(0.01),
		}).Run(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		right, err := strconv.Atoi(peers[i])
		if err != nil {
			t.Fatal(err)
		}
		his := float64(right) / float64(len(tests.labels))
		t.Logf("seed %d: %.2f %% of %d pictures, PyTorch %.2f %%", i, 100*got.Accuracy(), len(tests.labels), 100*his)
		ours, theirs = ours+100*got.Accuracy()/seeds, theirs+100*his/seeds
	}
	t.Logf("mean of %d seeds: %.2f %%, PyTorch %.2f %%", seeds, ours, theirs)
	if math.Abs(ours-theirs) > 2 || theirs < 60 {
		t.Errorf("the mean accuracy is %.2f %%, PyTorch's %.2f %%: want it within two points, and more than by chance", ours, theirs)
	}
}

// python runs testdata/finetune.py, and returns what it prints.
func python(t *testing.T, args ...string) string {
	t.Helper()
	cmd := exec.Command("python3", append([]string{"testdata/finetune.py"}, args...)...)
	// The C library keeps freed memory: PyTorch spends most of its time on page faults otherwise.
	cmd.Env = append(os.Environ(), "MALLOC_MMAP_THRESHOLD_=4294967296", "MALLOC_TRIM_THRESHOLD_=4294967296")
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %s", err, stderr.String())
	}
	return string(out)
}

// samples are normalised pictures, with their labels.
type samples struct {
	x      [][]float32
	labels []int
}

func (s *samples) add(x []float32, label int) {
	s.x, s.labels = append(s.x, x), append(s.labels, label)
}

// of are the samples with a label.
func (s *samples) of(label int) (some samples) {
	for i, l := range s.labels {
		if l == label {
			some.add(s.x[i], l)
		}
	}
	return some
}

// split returns the samples of the first classes, and those of the others with labels from 0.
func split(t *testing.T, set data.Set, norm *data.Normalisation, classes int) (first, others samples) {
	t.Helper()
	for i := range set.Len() {
		x := make([]float32, set.Shape().TotalSize())
		target, err := set.Read(i, x)
		if err == nil {
			err = norm.Apply(set.Shape(), x)
		}
		if err != nil {
			t.Fatal(err)
		}
		if target.Class < classes {
			first.add(x, target.Class)
		} else {
			others.add(x, target.Class-classes)
		}
	}
	return first, others
}

// set is the samples as what a Trainer takes.
func (s *samples) set(t *testing.T) data.Set {
	t.Helper()
	var x []float32
	var targets []data.Target
	for i, v := range s.x {
		x, targets = append(x, v...), append(targets, data.Target{Class: s.labels[i]})
	}
	set, err := data.NewSamples(tensor.Shape{3, 32, 32}, []string{"one", "other"}, x, targets)
	if err != nil {
		t.Fatal(err)
	}
	return set
}

// write writes the samples as finetune.py reads them.
func (s *samples) write(t *testing.T, name string) {
	t.Helper()
	var x, labels []byte
	for i, v := range s.x {
		for _, f := range v {
			x = binary.LittleEndian.AppendUint32(x, math.Float32bits(f))
		}
		labels = append(labels, byte(s.labels[i]))
	}
	for ending, content := range map[string][]byte{".x": x, ".labels": labels} {
		if err := os.WriteFile(name+ending, content, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}
