package model

import "github.com/convgrad/convgrad/ops"

// The convolutions of the VGG networks (Simonyan and Zisserman, 2014) by their filters; 0 is a
// pooling.
var (
	vgg11 = []int{64, 0, 128, 0, 256, 256, 0, 512, 512, 0, 512, 512, 0}
	vgg16 = []int{64, 64, 0, 128, 128, 0, 256, 256, 256, 0, 512, 512, 512, 0, 512, 512, 512, 0}
)

// vgg is torchvision's VGG, with a batch norm after each convolution if norm is set.
func vgg(classes int, filters []int, norm bool) Layer {
	var features Sequential
	for _, f := range filters {
		if f == 0 {
			features = append(features, halves)
			continue
		}
		features = append(features, Conv2D{Filters: f, Size: ops.Both(3), Pad: ops.Around(1), Init: HeNormalOut})
		if norm {
			features = append(features, BatchNorm{})
		}
		features = append(features, ReLU{})
	}
	fc := func(outputs int) Layer { return Linear{Outputs: outputs, Init: Normal(0.01)} }
	return Sequential{
		As("features", features), As("avgpool", AdaptiveAvgPool2D{To: ops.Both(7)}), As("flatten", Flatten{}),
		As("classifier", Sequential{
			fc(4096), ReLU{}, Dropout{P: 0.5}, fc(4096), ReLU{}, Dropout{P: 0.5}, fc(classes),
		}),
	}
}
