package model_test

import (
	"strings"
	"testing"

	"gorgonia.org/tensor"

	"github.com/convgrad/convgrad/model"
)

// Each convolution says which kernel it takes, and no other layer does.
func TestKernels(t *testing.T) {
	n, err := model.ByName("convnet", tensor.Shape{1, 28, 28}, 10, model.Options{Seed: 1})
	if err != nil {
		t.Fatal(err)
	}
	convolutions := 0
	for _, l := range n.Summary().Layers {
		if is := l.Kind == "Conv2D"; is != (l.Kernel != "") {
			t.Errorf("%s is a %s and takes the kernel %q", l.Name, l.Kind, l.Kernel)
		} else if is {
			convolutions++
		}
		for _, p := range l.Passed {
			if name, why, ok := strings.Cut(p, ": "); !ok || name == "" || why == "" {
				t.Errorf("%s passes %q, want a name and a reason", l.Name, p)
			}
		}
	}
	got := n.Summary().Kernels()
	if convolutions < 2 || strings.Count(got, "\n") != convolutions || !strings.Contains(got, " takes ") {
		t.Errorf("%d convolutions, in lines %q", convolutions, got)
	}
	t.Log("\n" + got)
}
