package model

import (
	"github.com/pkg/errors"
	G "gorgonia.org/gorgonia"

	"github.com/convgrad/convgrad/ops"
)

// conv is a convolution without bias, for a batch norm to follow, that keeps height and width but
// for its stride.
func conv(filters, size, stride int, init Init) Conv2D {
	return Conv2D{Filters: filters, Size: ops.Both(size), Stride: ops.Both(stride), Pad: ops.Around(size / 2), NoBias: true, Init: init}
}

// A block is a residual block: its last convolution has the planes times expand filters.
type block struct {
	planes, stride, expand int
	init                   Init // of the convolutions
	zeros                  bool // the shortcut has no weights: option A
}

func basic(planes, stride int) block      { return block{planes, stride, 1, HeNormalOut, false} }
func bottleneck(planes, stride int) block { return block{planes, stride, 4, HeNormalOut, false} }

// Apply implements Layer. Without expansion the body is 3×3, 3×3, the first with the stride; with
// it 1×1, 3×3, 1×1, the second with the stride.
func (l block) Apply(b *Builder, x *G.Node) *G.Node {
	step := func(n string, c Conv2D, y *G.Node) *G.Node {
		return b.Layer("bn"+n, BatchNorm{}, b.Layer("conv"+n, c, y))
	}
	relu := func(y *G.Node) *G.Node { return b.Do(ops.ReLU(y)) }
	var y *G.Node
	if l.expand == 1 {
		y = relu(step("1", conv(l.planes, 3, l.stride, l.init), x))
		y = step("2", conv(l.planes, 3, 1, l.init), y)
	} else {
		y = relu(step("1", conv(l.planes, 1, 1, l.init), x))
		y = relu(step("2", conv(l.planes, 3, l.stride, l.init), y))
		y = step("3", conv(l.planes*l.expand, 1, 1, l.init), y)
	}
	if out := l.planes * l.expand; l.stride != 1 || x.Shape()[1] != out {
		if l.zeros {
			x = b.Layer("shortcut", zeroChannels{out, l.stride}, x)
		} else {
			x = b.Layer("downsample", Sequential{conv(out, 1, l.stride, l.init), BatchNorm{}}, x)
		}
	}
	return relu(b.Do(ops.Add(y, x)))
}

// zeroChannels is the shortcut of option A: the rows and columns that the stride meets, and zeros
// for the channels that x lacks, half of them before and the rest after.
type zeroChannels struct{ channels, stride int }

// Apply implements Layer.
func (l zeroChannels) Apply(b *Builder, x *G.Node) *G.Node {
	// an average of one element
	x = b.Do(ops.AvgPool2D(x, ops.PoolParams{Window: ops.Both(1), Stride: ops.Both(l.stride)}))
	if b.Err() != nil {
		return nil
	}
	s := x.Shape()
	n, c, h, w := s[0], s[1], s[2], s[3]
	if c > l.channels {
		return b.Do(nil, errors.Errorf("x has %d channels, want at most %d", c, l.channels))
	}
	before := (l.channels - c) / 2
	rows := b.Do(ops.Reshape(x, n, 1, c, h*w)) // a channel is a row, and Pad adds rows
	rows = b.Do(ops.Pad(rows, ops.Padding{Top: before, Bottom: l.channels - c - before}, ops.PadZeros))
	return b.Do(ops.Reshape(rows, n, l.channels, h, w))
}

func (l zeroChannels) window() (size, stride ops.Size) { return ops.Both(1), ops.Both(l.stride) }

// stage is so many blocks, the first of which has the stride.
func stage(blocks, stride int, of func(stride int) block) Layer {
	var s Sequential
	for i := range blocks {
		if i > 0 {
			stride = 1
		}
		s = append(s, of(stride))
	}
	return s
}

// resNet is torchvision's ResNet: a 7×7 stem, and four stages of blocks.
func resNet(classes int, of func(planes, stride int) block, depths ...int) Layer {
	s := Sequential{
		As("conv1", conv(64, 7, 2, HeNormalOut)), As("bn1", BatchNorm{}), As("relu", ReLU{}),
		As("maxpool", MaxPool2D{Window: ops.Both(3), Stride: ops.Both(2), Pad: ops.Around(1)}),
	}
	planes, stride := 64, 1
	for i, depth := range depths {
		s = append(s, As("layer"+string(rune('1'+i)), stage(depth, stride, func(stride int) block { return of(planes, stride) })))
		planes, stride = 2*planes, 2
	}
	return append(s, As("avgpool", GlobalAvgPool{}), As("fc", linearOf(planes/2*of(1, 1).expand, classes)))
}

// smallResNet is the ResNet of He et al. for CIFAR: a 3×3 stem, and three stages of n blocks.
func smallResNet(classes, n int) Layer {
	of := func(planes int) func(stride int) block {
		return func(stride int) block { return block{planes, stride, 1, HeNormal, true} }
	}
	last := linearOf(64, classes)
	last.Init = HeNormal
	return Sequential{
		As("conv1", conv(16, 3, 1, HeNormal)), As("bn1", BatchNorm{}), As("relu", ReLU{}),
		As("layer1", stage(n, 1, of(16))), As("layer2", stage(n, 2, of(32))), As("layer3", stage(n, 2, of(64))),
		As("avgpool", GlobalAvgPool{}), As("linear", last),
	}
}

// resNet9 is a network of the kind that wins races on CIFAR: few, wide convolutions, pooled early,
// and two residual blocks.
func resNet9(classes int) Layer {
	unit := func(filters int) Sequential {
		return Sequential{conv(filters, 3, 1, HeNormal), BatchNorm{}, ReLU{}}
	}
	pooled := func(filters int) Sequential { return append(unit(filters), halves) }
	around := func(filters int) Layer {
		return LayerFunc(func(b *Builder, x *G.Node) *G.Node {
			return b.Do(ops.Add(b.Layer("1", unit(filters), b.Layer("0", unit(filters), x)), x))
		})
	}
	return Sequential{
		As("conv1", unit(64)), As("conv2", pooled(128)), As("res1", around(128)),
		As("conv3", pooled(256)), As("conv4", pooled(512)), As("res2", around(512)),
		As("classifier", Sequential{GlobalMaxPool{}, Dropout{P: 0.2}, linearOf(512, classes)}),
	}
}
