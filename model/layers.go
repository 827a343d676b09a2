package model

import (
	"fmt"

	"github.com/pkg/errors"
	G "gorgonia.org/gorgonia"

	"github.com/convgrad/convgrad/ops"
)

// Conv2D is ops.Conv2D with Filters filters of Size, and a bias each unless NoBias is set. Its
// parameters are "weight", K×(C/Groups)×R×S, and "bias", K.
type Conv2D struct {
	Filters  int
	Size     ops.Size
	Stride   ops.Size // {0, 0} stands for {1, 1}
	Dilation ops.Size // {0, 0} stands for {1, 1}
	Pad      ops.Padding
	Groups   int  // 0 stands for 1
	Flip     bool // the article's true convolution
	NoBias   bool
	Init     Init // of the weight; nil stands for HeNormal
	BiasInit Init // nil stands for Zeros
}

// Apply implements Layer.
func (l Conv2D) Apply(b *Builder, x *G.Node) *G.Node {
	if b.Err() != nil || x == nil {
		return b.Do(nil, errors.New("Conv2D: x is nil"))
	}
	s, groups := x.Shape(), l.Groups
	if groups == 0 {
		groups = 1
	}
	switch {
	case len(s) != 4:
		return b.Do(nil, errors.Errorf("Conv2D: x is %v, want N×C×H×W", s))
	case groups < 1 || s[1]%groups != 0:
		return b.Do(nil, errors.Errorf("Conv2D: %d groups do not divide the %d channels of x, %v", groups, s[1], s))
	case l.Filters < 1 || l.Size.H < 1 || l.Size.W < 1:
		return b.Do(nil, errors.Errorf("Conv2D: %d filters of %v, want positive numbers", l.Filters, l.Size))
	}
	init := l.Init
	if init == nil {
		init = HeNormal
	}
	w := b.Param("weight", init, l.Filters, s[1]/groups, l.Size.H, l.Size.W)
	var bias *G.Node
	if !l.NoBias {
		bias = b.Param("bias", l.BiasInit, l.Filters)
	}
	if b.Err() != nil {
		return nil
	}
	return b.Do(ops.Conv2D(x, w, bias, ops.ConvParams{
		Stride: l.Stride, Dilation: l.Dilation, Pad: l.Pad, Groups: l.Groups, Flip: l.Flip,
		Winograd: b.Winograd(),
	}))
}

func (l Conv2D) String() string {
	s := fmt.Sprintf("%d × %v", l.Filters, l.Size)
	if l.Groups > 1 {
		s += fmt.Sprintf(", %d groups", l.Groups)
	}
	s += spacing(l.Stride, ops.Both(1), l.Dilation, l.Pad)
	if l.Flip {
		s += ", flipped"
	}
	if l.NoBias {
		s += ", no bias"
	}
	return s
}

// spacing describes how windows lie, where that is not the default.
func spacing(stride, usual, dilation ops.Size, pad ops.Padding) string {
	var s string
	if stride != usual && stride != (ops.Size{}) {
		s += fmt.Sprintf(", stride %v", stride)
	}
	if dilation != ops.Both(1) && dilation != (ops.Size{}) {
		s += fmt.Sprintf(", dilation %v", dilation)
	}
	if pad != (ops.Padding{}) {
		s += fmt.Sprintf(", padding %v", pad)
	}
	return s
}

// Linear is ops.Linear to Outputs values, with a bias each unless NoBias is set. Its parameters are
// "weight", O×I, and "bias", O.
type Linear struct {
	Outputs  int
	NoBias   bool
	Init     Init // of the weight; nil stands for HeNormal
	BiasInit Init // nil stands for Zeros
}

// Apply implements Layer.
func (l Linear) Apply(b *Builder, x *G.Node) *G.Node {
	if b.Err() != nil || x == nil {
		return b.Do(nil, errors.New("Linear: x is nil"))
	}
	s := x.Shape()
	switch {
	case len(s) != 2:
		return b.Do(nil, errors.Errorf("Linear: x is %v, want a vector a sample: put a Flatten before it", s))
	case l.Outputs < 1:
		return b.Do(nil, errors.Errorf("Linear: %d outputs, want at least 1", l.Outputs))
	}
	init := l.Init
	if init == nil {
		init = HeNormal
	}
	w := b.Param("weight", init, l.Outputs, s[1])
	var bias *G.Node
	if !l.NoBias {
		bias = b.Param("bias", l.BiasInit, l.Outputs)
	}
	if b.Err() != nil {
		return nil
	}
	return b.Do(ops.Linear(x, w, bias))
}

func (l Linear) String() string {
	if l.NoBias {
		return fmt.Sprintf("%d outputs, no bias", l.Outputs)
	}
	return fmt.Sprintf("%d outputs", l.Outputs)
}

// ReLU is ops.ReLU.
type ReLU struct{}

// Apply implements Layer.
func (ReLU) Apply(b *Builder, x *G.Node) *G.Node { return b.Do(ops.ReLU(x)) }

// ReLU6 is ops.ReLU6.
type ReLU6 struct{}

// Apply implements Layer.
func (ReLU6) Apply(b *Builder, x *G.Node) *G.Node { return b.Do(ops.ReLU6(x)) }

// Flatten is ops.Flatten: a vector of each sample's elements.
type Flatten struct{}

// Apply implements Layer.
func (Flatten) Apply(b *Builder, x *G.Node) *G.Node { return b.Do(ops.Flatten(x)) }

// Dropout is ops.Dropout: it drops each value with probability P in training, and passes its input
// on in evaluation.
type Dropout struct{ P float64 }

// Apply implements Layer.
func (l Dropout) Apply(b *Builder, x *G.Node) *G.Node {
	switch {
	case !(l.P >= 0 && l.P < 1):
		return b.Do(nil, errors.Errorf("Dropout: p is %v, want a probability in [0, 1)", l.P))
	case !b.Training(): // nothing to drop, and nothing to copy
		return x
	}
	return b.Do(ops.Dropout(x, l.P, b.Random()))
}

func (l Dropout) String() string { return fmt.Sprintf("p = %g", l.P) }

// MaxPool2D is ops.MaxPool2D with these parameters: model.MaxPool2D{Window: ops.Both(2)}.
type MaxPool2D ops.PoolParams

// Apply implements Layer.
func (l MaxPool2D) Apply(b *Builder, x *G.Node) *G.Node {
	return b.Do(ops.MaxPool2D(x, ops.PoolParams(l)))
}

func (l MaxPool2D) String() string { return pooling(ops.PoolParams(l)) }

// AvgPool2D is ops.AvgPool2D with these parameters.
type AvgPool2D ops.PoolParams

// Apply implements Layer.
func (l AvgPool2D) Apply(b *Builder, x *G.Node) *G.Node {
	return b.Do(ops.AvgPool2D(x, ops.PoolParams(l)))
}

func (l AvgPool2D) String() string { return pooling(ops.PoolParams(l)) }

// LpPool2D is ops.LpPool2D with these parameters; with a Norm of 2, or 0, it is the article's L2
// pooling.
type LpPool2D ops.PoolParams

// Apply implements Layer.
func (l LpPool2D) Apply(b *Builder, x *G.Node) *G.Node {
	return b.Do(ops.LpPool2D(x, ops.PoolParams(l)))
}

func (l LpPool2D) String() string { return pooling(ops.PoolParams(l)) }

func pooling(p ops.PoolParams) string {
	s := p.Window.String() + spacing(p.Stride, p.Window, p.Dilation, p.Pad)
	if p.Ceil {
		s += ", ceil"
	}
	if p.ExcludePadding {
		s += ", padding left out"
	}
	if p.Divisor != 0 {
		s += fmt.Sprintf(", divisor %d", p.Divisor)
	}
	if p.Norm != 0 {
		s += fmt.Sprintf(", norm %g", p.Norm)
	}
	return s
}
