package model

import (
	G "gorgonia.org/gorgonia"

	"github.com/convgrad/convgrad/ops"
)

// mobileNetV2 is torchvision's MobileNetV2 (Sandler et al., 2018) of width 1.
func mobileNetV2(classes int) Layer {
	features := Sequential{Sequential{conv(32, 3, 2, HeNormalOut), BatchNorm{}, ReLU6{}}}
	for _, r := range []struct{ expand, channels, blocks, stride int }{
		{1, 16, 1, 1}, {6, 24, 2, 2}, {6, 32, 3, 2}, {6, 64, 4, 2}, {6, 96, 3, 1}, {6, 160, 3, 2}, {6, 320, 1, 1},
	} {
		for i := range r.blocks {
			stride := r.stride
			if i > 0 {
				stride = 1
			}
			features = append(features, inverted{r.expand, r.channels, stride})
		}
	}
	features = append(features, Sequential{conv(1280, 1, 1, HeNormalOut), BatchNorm{}, ReLU6{}})
	return Sequential{
		As("features", features), As("avgpool", GlobalAvgPool{}),
		As("classifier", Sequential{Dropout{P: 0.2}, Linear{Outputs: classes, Init: Normal(0.01)}}),
	}
}

// inverted is an inverted residual block: it widens, convolves each channel for itself, and narrows
// without a ReLU.
type inverted struct{ expand, channels, stride int }

// Apply implements Layer.
func (l inverted) Apply(b *Builder, x *G.Node) *G.Node {
	in := x.Shape()[1]
	wide := in * l.expand
	depthwise := conv(wide, 3, l.stride, HeNormalOut)
	depthwise.Groups = wide
	body := Sequential{
		Sequential{depthwise, BatchNorm{}, ReLU6{}},
		conv(l.channels, 1, 1, HeNormalOut), BatchNorm{},
	}
	if l.expand != 1 {
		body = append(Sequential{Sequential{conv(wide, 1, 1, HeNormalOut), BatchNorm{}, ReLU6{}}}, body...)
	}
	y := b.Layer("conv", body, x)
	if l.stride == 1 && in == l.channels {
		y = b.Do(ops.Add(x, y))
	}
	return y
}

// squeezeNet is torchvision's SqueezeNet 1.1 (Iandola et al., 2016).
func squeezeNet(classes int) Layer {
	pool := MaxPool2D{Window: ops.Both(3), Stride: ops.Both(2), Ceil: true}
	return Sequential{
		As("features", Sequential{
			Conv2D{Filters: 64, Size: ops.Both(3), Stride: ops.Both(2), Init: HeUniform}, ReLU{}, pool,
			fire(16, 64), fire(16, 64), pool, fire(32, 128), fire(32, 128), pool,
			fire(48, 192), fire(48, 192), fire(64, 256), fire(64, 256),
		}),
		As("classifier", Sequential{
			Dropout{P: 0.5}, Conv2D{Filters: classes, Size: ops.Both(1), Init: Normal(0.01)}, ReLU{}, GlobalAvgPool{},
		}),
	}
}

// fire narrows to so many channels by a 1×1 convolution, and concatenates what a 1×1 and a 3×3
// convolution make of them.
func fire(narrow, wide int) Layer {
	conv := func(filters, size int) Layer {
		return Conv2D{Filters: filters, Size: ops.Both(size), Pad: ops.Around(size / 2), Init: HeUniform}
	}
	return LayerFunc(func(b *Builder, x *G.Node) *G.Node {
		relu := func(y *G.Node) *G.Node { return b.Do(ops.ReLU(y)) }
		x = relu(b.Layer("squeeze", conv(narrow, 1), x))
		one := relu(b.Layer("expand1x1", conv(wide, 1), x))
		three := relu(b.Layer("expand3x3", conv(wide, 3), x))
		return b.Do(ops.Concat(1, one, three))
	})
}
