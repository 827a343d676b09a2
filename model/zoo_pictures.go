package model

import (
	"github.com/pkg/errors"
	G "gorgonia.org/gorgonia"

	"github.com/convgrad/convgrad/ops"
)

// autoencoder narrows a picture to a quarter of its height and width, and widens that again.
func autoencoder(channels int) Layer {
	down := func(filters int) Layer {
		return Conv2D{Filters: filters, Size: ops.Both(3), Stride: ops.Both(2), Pad: ops.Around(1)}
	}
	up := func(filters int) Layer {
		return ConvTranspose2D{Filters: filters, Size: ops.Both(3), Stride: ops.Both(2), Pad: ops.Around(1), OutputPad: ops.Both(1)}
	}
	return quartered{Sequential{
		As("encoder", Sequential{down(16), ReLU{}, down(32), ReLU{}}),
		As("decoder", Sequential{up(16), ReLU{}, up(channels)}),
	}}
}

// quartered is a layer for images whose sides are multiples of 4.
type quartered struct{ Layer }

// Apply implements Layer.
func (l quartered) Apply(b *Builder, x *G.Node) *G.Node {
	if s := x.Shape(); len(s) != 4 || s[2]%4 != 0 || s[3]%4 != 0 {
		return b.Do(nil, errors.Errorf("x is %v, want N×C×H×W with multiples of 4 for H and W", s))
	}
	return l.Layer.Apply(b, x)
}

// uNet is a U-Net (Ronneberger, Fischer and Brox, 2015) of two levels, whose convolutions are
// padded: on the way up the picture of each level is concatenated with the one on the way down.
// The lower level is widened by a transposed convolution, the upper one by Upsample.
func uNet(classes int) Layer {
	double := func(filters int) Layer {
		return Sequential{
			conv(filters, 3, 1, HeNormal), BatchNorm{}, ReLU{},
			conv(filters, 3, 1, HeNormal), BatchNorm{}, ReLU{},
		}
	}
	return quartered{LayerFunc(func(b *Builder, x *G.Node) *G.Node {
		pool := func(x *G.Node) *G.Node {
			return b.Do(ops.MaxPool2D(x, ops.PoolParams{Window: ops.Both(2)}))
		}
		join := func(name string, filters int, up, skip *G.Node) *G.Node {
			return b.Layer(name, double(filters), b.Do(ops.Concat(1, skip, up)))
		}
		first := b.Layer("down1", double(16), x)
		second := b.Layer("down2", double(32), pool(first))
		y := b.Layer("bottom", double(64), pool(second))
		y = b.Layer("up2", ConvTranspose2D{Filters: 32, Size: ops.Both(2), Stride: ops.Both(2)}, y)
		y = join("join2", 32, y, second)
		y = b.Layer("up1", Upsample{Scale: 2, Mode: ops.Bilinear}, y)
		y = join("join1", 16, y, first)
		return b.Layer("last", Conv2D{Filters: classes, Size: ops.Both(1)}, y)
	})}
}
