package train

import (
	"bytes"
	"encoding/binary"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"testing"

	"gorgonia.org/tensor"

	"github.com/convgrad/convgrad/model"
	"github.com/convgrad/convgrad/train/data"
)

// TestOpen: the network that a run left behind classifies the test images, one by one and all at
// once, as often right as the run says.
func TestOpen(t *testing.T) {
	tr := trainer(t, config())
	res := ran(t, tr)
	_, pictures, err := data.Digits(1, 60, 1)
	if err != nil {
		t.Fatal(err)
	}
	var images []uint8
	for i := range pictures.Len() {
		p, err := pictures.Pixels(i)
		if err != nil {
			t.Fatal(err)
		}
		images = append(images, p...)
	}
	const size = 28 * 28
	c, err := Open(tr.Dir)
	if err != nil {
		t.Fatal(err)
	}
	all, _, err := c.Classify(images)
	if err != nil {
		t.Fatal(err)
	}
	right := 0
	for i, class := range all {
		one, _, err := c.Classify(images[i*size:][:size])
		if err != nil {
			t.Fatal(err)
		}
		if one[0] != class {
			t.Errorf("image %d is a %d alone and a %d among the others", i, one[0], class)
		}
		if class == i%10 {
			right++
		}
	}
	if got := float64(right) / float64(len(all)); got != res.Accuracy() {
		t.Errorf("%v of the test images are classified as labelled, the run says %v", got, res.Accuracy())
	}
	params := c.Network.Params()
	bias := params[len(params)-1].Value.Data().([]float32)
	kept := bias[3]
	bias[3] = float32(math.NaN())
	_, _, err = c.Classify(images[:size])
	wants(t, err, "train: Classify: the network's output for picture 0 is [", "NaN", "want numbers")
	bias[3] = kept
	for _, n := range []int{0, 1, size + 1} {
		_, _, err := c.Classify(make([]uint8, n))
		wants(t, err, "train: Classify", "want a positive multiple of 784")
	}
	for name, spoil := range map[string]func(c Classifier) *Classifier{
		"nil":                         func(Classifier) *Classifier { return nil },
		"empty":                       func(Classifier) *Classifier { return &Classifier{} },
		"a shape that overflows to 0": func(c Classifier) *Classifier { c.Input = tensor.Shape{1 << 32, 1 << 32, 1}; return &c },
		"a negative shape":            func(c Classifier) *Classifier { c.Input = tensor.Shape{-1, -28, 28}; return &c },
		"one class":                   func(c Classifier) *Classifier { c.Classes = c.Classes[:1]; return &c },
		"no deviation": func(c Classifier) *Classifier {
			c.Normalisation = &data.Normalisation{Mean: []float64{0}, Std: []float64{0}}
			return &c
		},
	} {
		t.Log(name)
		_, _, err := spoil(*c).Classify(images)
		wants(t, err, "train: Classify")
	}
	whole := string(file(t, tr.Dir, ConfigFile))
	for name, spoilt := range map[string][]string{
		ConfigFile: {
			`{"model": "article"}`, ``, `[]`, `{"model": "article", "input": [1, 28, 28], "classes": ["a"]}`,
			`{"model": "article", "input": [4294967296, 4294967296, 1], "classes": ["a", "b"]}`,
			`{"model": "article", "input": [1, 4096, 4096], "classes": ["a", "b"]}`,
			`{"input": [1, 28, 28], "classes": ["a", "b"]}`,
			`{"model": "article", "input": [1, 28, 28], "classes": ["a", "b"], "normalisation": {"mean": [0], "std": [0]}}`,
			whole[:len(whole)/2],
			strings.Replace(whole, "{", `{"model": "article",`, 1), strings.Replace(whole, `"model"`, `"Model"`, 1),
			strings.Replace(whole, `"mean"`, `"mean": [0], "mean"`, 1), strings.Replace(whole, `"std"`, `"\u017ftd"`, 1),
		},
		WeightsFile: {"not weights", ""},
	} {
		path := filepath.Join(tr.Dir, name)
		kept := file(t, path)
		for _, text := range spoilt {
			if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			_, err = Open(tr.Dir)
			runtime.ReadMemStats(&after)
			wants(t, err, name)
			if got := after.TotalAlloc - before.TotalAlloc; got > 16<<20 {
				t.Errorf("%s of %q: %d bytes were allocated", name, text, got)
			}
		}
		if err := os.WriteFile(path, kept, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	_, err = Open(filepath.Join(tr.Dir, "nowhere"))
	wants(t, err, "train: the run", "nowhere")
	_, err = OpenWith(tr.Dir, nil)
	wants(t, err, "train: OpenWith: the network is nil")
	other, err := model.ByName("linear", tensor.Shape{1, 5, 5}, 10, model.Options{})
	if err != nil {
		t.Fatal(err)
	}
	_, err = OpenWith(tr.Dir, other)
	wants(t, err, "samples are (1, 28, 28), want (1, 5, 5)")
}

// FuzzOpen: no configuration or weights make Open panic, or take memory out of proportion to them.
func FuzzOpen(f *testing.F) {
	net, err := model.ByName("linear", tensor.Shape{1, 2, 3}, 2, model.Options{Seed: 1})
	if err != nil {
		f.Fatal(err)
	}
	var weights bytes.Buffer
	if err := net.Save(&weights, nil); err != nil {
		f.Fatal(err)
	}
	good := `{"model": "linear", "input": [1, 2, 3], "classes": ["a", "b"], "normalisation": {"mean": [0], "std": [1]}}`
	f.Add([]byte(good), weights.Bytes())
	f.Add([]byte(`{"model": "article", "input": [1, 16384, 16384], "classes": ["a", "b"]}`), weights.Bytes())
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, config, weights []byte) {
		for name, b := range map[string][]byte{ConfigFile: config, WeightsFile: weights} {
			if err := os.WriteFile(filepath.Join(dir, name), b, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		c, err := Open(dir)
		runtime.ReadMemStats(&after)
		if got := after.TotalAlloc - before.TotalAlloc; got > uint64(64<<20+1000*(len(config)+len(weights))) {
			t.Fatalf("%d bytes were allocated for %d and %d", got, len(config), len(weights))
		}
		if err == nil {
			if _, _, err := c.Classify(make([]uint8, c.Input.TotalSize())); err == nil && len(c.Classes) < 2 {
				t.Fatal("a picture has a class, and there are none")
			}
		}
	})
}

// FuzzResume: whatever a run directory holds as its checkpoint, what Resume makes of it does not
// panic or take memory out of proportion to it. One that is refused stays as it is, and one that is
// taken can be saved and taken again. It stops before the steps, whose goroutines would make the
// coverage vary.
func FuzzResume(f *testing.F) {
	set, err := data.NewSamples(tensor.Shape{1, 1, 2}, []string{"a", "b"}, make([]float32, 8), make([]data.Target, 4))
	if err != nil {
		f.Fatal(err)
	}
	c := Config{Data: "folder", Model: "linear", Loss: "cross-entropy", Epochs: 2, Batch: 2, Optimizer: "adam", Average: 0.9, Seed: 1}
	first, err := c.Trainer(set, set)
	if err != nil {
		f.Fatal(err)
	}
	first.Dir, first.MaxSteps = filepath.Join(f.TempDir(), "run"), 3 // in the middle of an epoch
	if _, err := first.Run(f.Context()); err != nil {
		f.Fatal(err)
	}
	path := filepath.Join(first.Dir, CheckpointFile)
	whole, err := os.ReadFile(path)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(whole)
	f.Add(whole[:len(whole)-1])
	for old, replaced := range map[string]string{
		`\"steps\":3`: `\"steps\":9`, `\"batch\":1`: `\"batch\":2`, `\"epoch\":2`: `\"epoch\":3`, `\"best\":1`: `\"best\":2`, `"F32"`: `"F64"`,
	} {
		b := bytes.Replace(whole, []byte(old), []byte(replaced), 1)
		if bytes.Equal(b, whole) {
			f.Fatalf("the checkpoint does not hold %s", old)
		}
		f.Add(b)
	}
	f.Add([]byte("\x20\x00\x00\x00\x00\x00\x00\x00{\"a\":{\"dtype\":\"F32\",\"shape\":[1"))
	f.Add([]byte("\xff\xff\xff\xff\xff\xff\xff\x7f{}"))
	begun, err := first.begin(f.Context())
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(begun.close)
	if begun.dir, err = reopenDir(first.Dir); err != nil {
		f.Fatal(err)
	}
	f.Cleanup(begun.dir.close)
	f.Fuzz(func(t *testing.T, b []byte) {
		if err := os.WriteFile(path, b, 0o644); err != nil {
			t.Fatal(err)
		}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		err := begun.load()
		runtime.ReadMemStats(&after)
		if got := after.TotalAlloc - before.TotalAlloc; got > uint64(16<<20+1000*len(b)) {
			t.Fatalf("%d bytes were allocated for %d", got, len(b))
		}
		at, saved := begun.at, error(nil)
		if err == nil {
			saved = begun.save()
		}
		if err != nil || saved != nil { // numbers that are not finite
			if !bytes.Equal(file(t, path), b) {
				t.Fatalf("the checkpoint has changed after %v, %v", err, saved)
			}
			return
		}
		if err := begun.load(); err != nil || !reflect.DeepEqual(begun.at, at) {
			t.Fatalf("what was saved of it is %+v, want %+v (%v)", begun.at, at, err)
		}
	})
}

// TestDamagedCheckpoints: no damage to a checkpoint's header makes Resume panic, or leaves the
// network with half of one.
func TestDamagedCheckpoints(t *testing.T) {
	c := config()
	c.Model, c.Epochs = "linear", 1
	tr := trainer(t, c)
	ran(t, tr)
	path := filepath.Join(tr.Dir, CheckpointFile)
	whole := file(t, path)
	length := int(binary.LittleEndian.Uint64(whole))
	begun, err := tr.begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer begun.close()
	if begun.dir, err = reopenDir(tr.Dir); err != nil {
		t.Fatal(err)
	}
	defer begun.dir.close()
	w := tr.Net.Params()[0].Value.Data().([]float32)
	for i := range w { // what a restored network does not have
		w[i] = 9
	}
	t.Log("seed 6")
	r, refused := rand.New(rand.NewPCG(6, 0)), 0
	for range 400 {
		damaged := slices.Clone(whole)
		for range 1 + r.IntN(3) {
			damaged[8+r.IntN(length)] = byte(' ' + r.IntN(95))
		}
		if r.IntN(8) == 0 {
			damaged = damaged[:r.IntN(len(damaged))]
		}
		if err := os.WriteFile(path, damaged, 0o644); err != nil {
			t.Fatal(err)
		}
		if err := begun.load(); err != nil {
			if refused++; slices.ContainsFunc(w, func(v float32) bool { return v != 9 }) {
				t.Fatalf("the weights changed with the error %v", err)
			}
			continue
		}
		for i := range w {
			w[i] = 9
		}
	}
	// Damage to a metric or a name in the configuration harms nothing.
	if t.Logf("%d of 400 were refused", refused); refused < 200 {
		t.Errorf("%d of 400 damaged checkpoints were refused, want most", refused)
	}
}
