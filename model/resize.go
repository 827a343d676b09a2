package model

import (
	"fmt"

	"github.com/pkg/errors"
	G "gorgonia.org/gorgonia"

	"github.com/convgrad/convgrad/ops"
)

// ConvTranspose2D is ops.ConvTranspose2D with Filters filters of Size, and a bias each unless
// NoBias is set. Its parameters are "weight", C×(K/Groups)×R×S, and "bias", K.
type ConvTranspose2D struct {
	Filters   int
	Size      ops.Size
	Stride    ops.Size // {0, 0} stands for {1, 1}
	Dilation  ops.Size // {0, 0} stands for {1, 1}
	Pad       ops.Padding
	OutputPad ops.Size
	Groups    int // 0 stands for 1
	NoBias    bool
	Init      Init // of the weight; nil stands for HeNormal
	BiasInit  Init // nil stands for Zeros
}

// Apply implements Layer.
func (l ConvTranspose2D) Apply(b *Builder, x *G.Node) *G.Node {
	if b.Err() != nil || x == nil {
		return b.Do(nil, errors.New("ConvTranspose2D: x is nil"))
	}
	s, groups := x.Shape(), l.Groups
	if groups == 0 {
		groups = 1
	}
	switch {
	case len(s) != 4:
		return b.Do(nil, errors.Errorf("ConvTranspose2D: x is %v, want N×C×H×W", s))
	case l.Filters < 1 || l.Size.H < 1 || l.Size.W < 1:
		return b.Do(nil, errors.Errorf("ConvTranspose2D: %d filters of %v, want positive numbers", l.Filters, l.Size))
	case groups < 1 || l.Filters%groups != 0:
		return b.Do(nil, errors.Errorf("ConvTranspose2D: %d groups do not divide the %d filters", groups, l.Filters))
	}
	init := l.Init
	if init == nil {
		init = HeNormal
	}
	w := b.Param("weight", init, s[1], l.Filters/groups, l.Size.H, l.Size.W)
	var bias *G.Node
	if !l.NoBias {
		bias = b.Param("bias", l.BiasInit, l.Filters)
	}
	if b.Err() != nil {
		return nil
	}
	return b.Do(ops.ConvTranspose2D(x, w, bias, ops.ConvParams{
		Stride: l.Stride, Dilation: l.Dilation, Pad: l.Pad, OutputPad: l.OutputPad, Groups: l.Groups,
	}))
}

func (l ConvTranspose2D) String() string {
	s := Conv2D{Filters: l.Filters, Size: l.Size, Stride: l.Stride, Dilation: l.Dilation, Pad: l.Pad, Groups: l.Groups, NoBias: l.NoBias}.String()
	if l.OutputPad != (ops.Size{}) {
		s += fmt.Sprintf(", output padding %v", l.OutputPad)
	}
	return s
}

// Upsample is ops.Upsample to Scale times the height and width, or to the size To if Scale is 0.
type Upsample struct {
	Scale int
	To    ops.Size
	Mode  ops.ResampleMode // 0 is ops.Nearest
}

// Apply implements Layer.
func (l Upsample) Apply(b *Builder, x *G.Node) *G.Node {
	if b.Err() != nil || x == nil {
		return b.Do(nil, errors.New("Upsample: x is nil"))
	}
	const most = 1 << 20
	to := l.To
	switch s := x.Shape(); {
	case len(s) != 4:
		return b.Do(nil, errors.Errorf("Upsample: x is %v, want N×C×H×W", s))
	case l.Scale < 0 || l.Scale > most || l.Scale > 0 && to != (ops.Size{}):
		return b.Do(nil, errors.Errorf("Upsample: the scale is %d and the size %v, want one of them and the other 0", l.Scale, to))
	case l.Scale > 0:
		to = ops.Size{H: s[2] * l.Scale, W: s[3] * l.Scale}
	}
	return b.Do(ops.Upsample(x, to, l.Mode))
}

func (l Upsample) String() string {
	s := fmt.Sprintf("to %v", l.To)
	if l.Scale > 0 {
		s = fmt.Sprintf("× %d", l.Scale)
	}
	switch l.Mode {
	case ops.Bilinear:
		s += ", bilinear"
	case ops.BilinearAligned:
		s += ", bilinear, corners aligned"
	}
	return s
}

// AdaptiveAvgPool2D is ops.AdaptiveAvgPool2D: means of windows that make an image of the size To of
// any image.
type AdaptiveAvgPool2D struct{ To ops.Size }

// Apply implements Layer.
func (l AdaptiveAvgPool2D) Apply(b *Builder, x *G.Node) *G.Node {
	return b.Do(ops.AdaptiveAvgPool2D(x, l.To))
}

func (l AdaptiveAvgPool2D) String() string { return "to " + l.To.String() }

// GlobalAvgPool is ops.GlobalAvgPool, flattened: the mean of each channel of each sample, N×C.
type GlobalAvgPool struct{}

// Apply implements Layer.
func (GlobalAvgPool) Apply(b *Builder, x *G.Node) *G.Node {
	return b.Do(ops.Flatten(b.Do(ops.GlobalAvgPool(x))))
}

// GlobalMaxPool is ops.GlobalMaxPool, flattened: the greatest value of each channel of each sample,
// N×C.
type GlobalMaxPool struct{}

// Apply implements Layer.
func (GlobalMaxPool) Apply(b *Builder, x *G.Node) *G.Node {
	return b.Do(ops.Flatten(b.Do(ops.GlobalMaxPool(x))))
}

// Concat applies its layers to one input and joins what they give along the channels, axis 1. They
// are named as those of a Sequential.
type Concat []Layer

// Apply implements Layer.
func (l Concat) Apply(b *Builder, x *G.Node) *G.Node {
	var ys []*G.Node
	for i := range l {
		ys = append(ys, Sequential(l).apply(b, i, Sequential(l).at(i), x))
	}
	if b.Err() != nil {
		return nil
	}
	return b.Do(ops.Concat(1, ys...))
}
