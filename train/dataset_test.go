package train

import (
	"strings"
	"testing"

	"gorgonia.org/tensor"
)

// wants fails unless err holds all the parts.
func wants(t *testing.T, err error, parts ...string) {
	t.Helper()
	if err == nil {
		t.Fatalf("no error, want one with %q", parts)
	}
	for _, p := range parts {
		if !strings.Contains(err.Error(), p) {
			t.Errorf("the error is %q, want it to say %q", err, p)
		}
	}
}

func TestDatasetCheck(t *testing.T) {
	valid := func() *Dataset {
		s := Split{Images: make([]uint8, 2*6), Labels: []uint8{0, 1}}
		return &Dataset{Name: "set", Input: tensor.Shape{1, 2, 3}, Classes: []string{"a", "b"}, Train: s, Test: s}
	}
	if err := valid().Check(); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name  string
		spoil func(d *Dataset)
		want  string
	}{
		{"rank of the images", func(d *Dataset) { d.Input = tensor.Shape{2, 3} }, "want C×H×W"},
		{"a side of zero", func(d *Dataset) { d.Input = tensor.Shape{1, 0, 3} }, "want C×H×W"},
		{"two negative sides", func(d *Dataset) { d.Input = tensor.Shape{1, -2, -3} }, "want C×H×W"},
		{"one class", func(d *Dataset) { d.Classes = d.Classes[:1] }, "1 classes, want 2 to 256"},
		{"no test images", func(d *Dataset) { d.Test = Split{} }, "no test images"},
		{"bytes missing", func(d *Dataset) { d.Train.Images = d.Train.Images[:11] }, "11 bytes of training images, want 12"},
		{"a label too high", func(d *Dataset) { d.Test.Labels = []uint8{0, 2} }, "test label 1 is 2, want 0 to 1"},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := valid()
			c.spoil(d)
			wants(t, d.Check(), "train: set:", c.want)
		})
	}
	wants(t, (*Dataset)(nil).Check(), "nil")
}
