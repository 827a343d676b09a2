package train

import (
	"fmt"

	"github.com/pkg/errors"
	"gorgonia.org/tensor"
)

// A Dataset is images with labels, some to train on and others to test with.
type Dataset struct {
	Name    string
	Input   tensor.Shape // of an image: C×H×W
	Classes []string     // the names of the classes; a label is an index
	Train   Split
	Test    Split
}

// A Split is a part of a dataset.
type Split struct {
	Images []uint8 // one image after the other, C×H×W each
	Labels []uint8
}

// Len is the number of images.
func (s Split) Len() int { return len(s.Labels) }

// Check returns an error that says what is wrong if the dataset does not hold together.
func (d *Dataset) Check() error {
	if d == nil {
		return errors.New("train: the dataset is nil")
	}
	if len(d.Input) != 3 || min(d.Input[0], d.Input[1], d.Input[2]) < 1 {
		return errors.Errorf("train: %s: images have shape %v, want C×H×W", d.Name, d.Input)
	}
	if len(d.Classes) < 2 || len(d.Classes) > 256 {
		return errors.Errorf("train: %s: %d classes, want 2 to 256", d.Name, len(d.Classes))
	}
	for _, p := range []struct {
		name string
		Split
	}{{"training", d.Train}, {"test", d.Test}} {
		if p.Len() == 0 {
			return errors.Errorf("train: %s: no %s images", d.Name, p.name)
		}
		if len(p.Images) != p.Len()*d.Input.TotalSize() {
			return errors.Errorf("train: %s: %d bytes of %s images, want %d for %d images of %v", d.Name, len(p.Images), p.name, p.Len()*d.Input.TotalSize(), p.Len(), d.Input)
		}
		for i, l := range p.Labels {
			if int(l) >= len(d.Classes) {
				return errors.Errorf("train: %s: %s label %d is %d, want 0 to %d", d.Name, p.name, i, l, len(d.Classes)-1)
			}
		}
	}
	return nil
}

// String describes a dataset in a line.
func (d *Dataset) String() string {
	return fmt.Sprintf("%s: %d training and %d test images %v, %d classes", d.Name, d.Train.Len(), d.Test.Len(), d.Input, len(d.Classes))
}

// digits are the names of the classes of images of digits.
func digits() []string { return []string{"0", "1", "2", "3", "4", "5", "6", "7", "8", "9"} }
