package train

import (
	"context"
	"math"
	"os"
	"path/filepath"
	"testing"
)

// TestOpen: the network that a run left behind classifies the test images, one by one and all at once, as often right as the run says.
func TestOpen(t *testing.T) {
	d, dir := small(t), filepath.Join(t.TempDir(), "run")
	res, err := Run(context.Background(), config(), d, dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	c, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	all, _, err := c.Classify(d.Test.Images)
	if err != nil {
		t.Fatal(err)
	}
	right := 0
	for i, class := range all {
		one, _, err := c.Classify(d.Test.Images[i*side*side:][:side*side])
		if err != nil {
			t.Fatal(err)
		}
		if one[0] != class {
			t.Errorf("image %d is a %d alone and a %d among the others", i, one[0], class)
		}
		if class == int(d.Test.Labels[i]) {
			right++
		}
	}
	if got := float64(right) / float64(len(all)); got != res.Accuracy() {
		t.Errorf("%v of the test images are classified as labelled, the run says %v", got, res.Accuracy())
	}
	bias := c.Network.Param("fc1.bias").Value.Data().([]float32)
	kept := bias[3]
	bias[3] = float32(math.NaN())
	_, _, err = c.Classify(d.Test.Images[:side*side])
	wants(t, err, "train: Classify: the network's output for image 0 is [", "NaN", "want numbers")
	bias[3] = kept
	_, _, err = new(Classifier).Classify(d.Test.Images)
	wants(t, err, "train: Classify: the input is ()")
	for _, n := range []int{0, 1, side*side + 1} {
		_, _, err := c.Classify(make([]uint8, n))
		wants(t, err, "train: Classify", "want a positive multiple of 784")
	}
	for file, spoilt := range map[string]string{
		ConfigFile:  `{"model": "article"}`,
		WeightsFile: "not weights",
	} {
		path := filepath.Join(dir, file)
		kept, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(spoilt), 0o644); err != nil {
			t.Fatal(err)
		}
		_, err = Open(dir)
		wants(t, err, file)
		if err := os.WriteFile(path, kept, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	_, err = Open(filepath.Join(dir, "nowhere"))
	wants(t, err, "train: the run", "nowhere")
}
