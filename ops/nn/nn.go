// Package nnops has the functions of Gorgonia's package of that name, and those of gorgonia that a
// convolutional network is made of, under their names and with their signatures. A program moves to
// the ops of this project by its imports:
//
//	nnops "gorgonia.org/gorgonia/ops/nn"  →  nnops "github.com/convgrad/convgrad/ops/nn"
//	G "gorgonia.org/gorgonia"             →  G "github.com/convgrad/convgrad/ops/nn"
//
// For the second, the package also has the names of gorgonia that stand around the ops of such a
// program: graphs, machines, solvers. They are gorgonia's own. A program that uses others of
// gorgonia's imports both.
//
// Each function says where its results differ from those of Gorgonia, whose op is wrong there; the
// table of verify/README.md measures it. Shapes, equations, derivatives, NaN and ties are those of
// package ops. No function panics; each returns an error that names it. Code that does not come
// from Gorgonia reads better with package ops itself.
package nnops

import (
	"fmt"

	"github.com/pkg/errors"
	G "gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/convgrad/convgrad/ops"
)

// Conv2d returns the cross-correlation of im, N×C×H×W, with filter, K×C×R×S: ops.Conv2D without a
// bias. pad, stride and dilation are pairs, height first; nil stands for no padding, and for 1.
//
// It returns an error if kernelShape is not R×S.
func Conv2d(im, filter *G.Node, kernelShape tensor.Shape, pad, stride, dilation []int) (*G.Node, error) {
	const name = "Conv2d"
	if err := is(name, "im", im, 4); err != nil {
		return nil, err
	}
	if err := is(name, "filter", filter, 4); err != nil {
		return nil, err
	}
	if s := filter.Shape(); !kernelShape.Eq(tensor.Shape{s[2], s[3]}) {
		return nil, errors.Errorf("nnops: %s: the kernel's shape is %v, want (%d, %d) as in filter, %v", name, kernelShape, s[2], s[3], s)
	}
	p, err := padding(name, pad, false)
	if err != nil {
		return nil, err
	}
	by, err := positive(name, "stride", stride)
	if err != nil {
		return nil, err
	}
	apart, err := positive(name, "dilation", dilation)
	if err != nil {
		return nil, err
	}
	return ops.Conv2D(im, filter, nil, ops.ConvParams{Pad: p, Stride: by, Dilation: apart})
}

// Conv1d is Conv2d of one row: in is N×C×1×W and filter K×C×1×S. Sequences N×C×W, which Gorgonia
// has none of, are for ops.Conv1D.
func Conv1d(in, filter *G.Node, kernel, pad, stride, dilation int) (*G.Node, error) {
	return Conv2d(in, filter, tensor.Shape{1, kernel}, []int{0, pad}, []int{1, stride}, []int{1, dilation})
}

// MaxPool2D returns the greatest element of each window of x, N×C×H×W: ops.MaxPool2D. pad is a
// pair, height first, or the rows above and below and the columns on the left and right.
//
// Gorgonia's is wrong where four paddings differ, panics on a window of −∞ or NaN, and gives wrong
// gradients if one op stands at two nodes.
func MaxPool2D(x *G.Node, kernel tensor.Shape, pad, stride []int) (*G.Node, error) {
	return pool("MaxPool2D", ops.MaxPool2D, x, kernel, pad, stride)
}

// MaxPool1D is MaxPool2D of one row: x is N×C×1×W.
func MaxPool1D(x *G.Node, kernel, pad, stride int) (*G.Node, error) {
	return pool("MaxPool1D", ops.MaxPool2D, x, tensor.Shape{1, kernel}, []int{0, pad}, []int{1, stride})
}

// AveragePool2D returns the mean of each window of x, N×C×H×W: ops.AvgPool2D. Padding counts as
// zeros, and pad is as for MaxPool2D.
//
// Gorgonia's divides by the width of x in the place of the window's area.
func AveragePool2D(x *G.Node, kernel tensor.Shape, pad, stride []int) (*G.Node, error) {
	return pool("AveragePool2D", ops.AvgPool2D, x, kernel, pad, stride)
}

// AveragePool1D is AveragePool2D of one row: x is N×C×1×W. Gorgonia's returns the maximum.
func AveragePool1D(x *G.Node, kernel, pad, stride int) (*G.Node, error) {
	return pool("AveragePool1D", ops.AvgPool2D, x, tensor.Shape{1, kernel}, []int{0, pad}, []int{1, stride})
}

// GlobalAveragePool2D returns the mean of each plane of x, N×C×H×W, as N×C×1×1: ops.GlobalAvgPool.
// Gorgonia's has no derivative.
func GlobalAveragePool2D(x *G.Node) (*G.Node, error) {
	if err := is("GlobalAveragePool2D", "x", x, 4); err != nil {
		return nil, err
	}
	return ops.GlobalAvgPool(x)
}

// Rectify returns max(0, x): ops.ReLU. Its derivative at 0 is 0; Gorgonia's is 1.
func Rectify(x *G.Node) (*G.Node, error) { return ops.ReLU(x) }

// LeakyRelu returns x where it is 0 or more and alpha·x elsewhere: ops.LeakyReLU.
func LeakyRelu(x *G.Node, alpha float64) (*G.Node, error) { return ops.LeakyReLU(x, alpha) }

// SoftMax returns the softmax of x along an axis, the last if none is given: ops.Softmax. Axes
// after the first are an error; Gorgonia does not look at them.
func SoftMax(x *G.Node, axes ...int) (*G.Node, error) {
	return alongOne("SoftMax", ops.Softmax, x, axes)
}

// LogSoftMax returns the logarithm of SoftMax without forming it: ops.LogSoftmax.
func LogSoftMax(x *G.Node, axes ...int) (*G.Node, error) {
	return alongOne("LogSoftMax", ops.LogSoftmax, x, axes)
}

func alongOne(name string, op func(*G.Node, int) (*G.Node, error), x *G.Node, axes []int) (*G.Node, error) {
	switch len(axes) {
	case 0:
		return op(x, -1)
	case 1:
		return op(x, axes[0])
	}
	return nil, errors.Errorf("nnops: %s: the axes are %v, want one", name, axes)
}

// Dropout returns x with each element dropped with probability prob, and the others divided by 1 −
// prob: ops.Dropout with a source of its own. Each run draws a new mask. The masks are those of the
// graph's nodes so far, so a program that is run again draws them again. Under G.EvalMode() nothing
// is dropped.
//
// Gorgonia's divides the gradient by prob, and draws from the time of day.
func Dropout(x *G.Node, prob float64) (*G.Node, error) {
	if err := is("Dropout", "x", x, -1); err != nil {
		return nil, err
	}
	r, err := source(x.Graph())
	if err != nil {
		return nil, err
	}
	return ops.Dropout(x, prob, r)
}

// source is a source for the graph that no other source of it has the seed of.
func source(g *G.ExprGraph) (*ops.Random, error) {
	return ops.NewRandom(g, uint64(len(g.AllNodes())))
}

// GroupNorm returns x with its channels normalised in groups: ops.GroupNorm. scale and bias have
// one number for each channel: C elements in any shape, such as (1, C, 1, 1).
//
// It returns an error if channels is not x's number of them.
func GroupNorm(x, scale, bias *G.Node, groups, channels int, epsilon float64) (*G.Node, error) {
	const name = "GroupNorm"
	if err := is(name, "x", x, -1); err != nil {
		return nil, err
	}
	if s := x.Shape(); len(s) < 2 || s[1] != channels {
		return nil, errors.Errorf("nnops: %s: channels are %d, want those of x, %v", name, channels, s)
	}
	var t ops.Try
	flat := func(operand string, n *G.Node) *G.Node {
		t.Check(is(name, operand, n, -1))
		if t.Err() != nil {
			return nil
		}
		return t.Do(ops.Reshape(n, channels))
	}
	scale, bias = flat("scale", scale), flat("bias", bias)
	if err := t.Err(); err != nil {
		return nil, err
	}
	return ops.GroupNorm(x, scale, bias, groups, epsilon)
}

// Upsample2D returns x, N×C×H×W, with each pixel repeated scale times down and across:
// ops.Upsample.
func Upsample2D(x *G.Node, scale int) (*G.Node, error) {
	const name = "Upsample2D"
	if err := is(name, "x", x, 4); err != nil {
		return nil, err
	}
	s := x.Shape()
	if scale < 1 || s[2] > 1<<30/scale || s[3] > 1<<30/scale {
		return nil, errors.Errorf("nnops: %s: the scale is %d of %v, want 1 or more, and sides under 2³⁰", name, scale, s)
	}
	return ops.Upsample(x, ops.Size{H: s[2] * scale, W: s[3] * scale}, ops.Nearest)
}

// Sum returns the sums of x along the axes, or of all elements: ops.Sum.
func Sum(x *G.Node, axes ...int) (*G.Node, error) { return ops.Sum(x, axes...) }

// Mean returns the means of x along the axes, or of all elements: ops.Mean.
func Mean(x *G.Node, axes ...int) (*G.Node, error) { return ops.Mean(x, axes...) }

// Max returns the greatest elements of x along the axes, or of all: ops.Max. Of equal ones the
// first gets the gradient.
func Max(x *G.Node, axes ...int) (*G.Node, error) { return ops.Max(x, axes...) }

// Transpose returns x with its axes in this order, or reversed if none are given: ops.Transpose.
func Transpose(x *G.Node, axes ...int) (*G.Node, error) { return ops.Transpose(x, axes...) }

// Concat joins nodes along an axis: ops.Concat.
func Concat(axis int, xs ...*G.Node) (*G.Node, error) { return ops.Concat(axis, xs...) }

// Reshape returns x's elements in another shape: ops.Reshape. One negative side is worked out. to
// is not changed; Gorgonia's writes into it.
func Reshape(x *G.Node, to tensor.Shape) (*G.Node, error) {
	sides := to.Clone()
	for i, s := range sides {
		if s < 0 {
			sides[i] = -1
		}
	}
	return ops.Reshape(x, sides...)
}

// Mul returns the product of matrices and vectors, M×K and K×N, K and K×N, M×K and K, or K and K:
// ops.MatMul. If one of the two is a scalar, it is HadamardProd.
func Mul(a, b *G.Node) (*G.Node, error) {
	const name = "Mul"
	if err := is(name, "a", a, -1); err != nil {
		return nil, err
	}
	if err := is(name, "b", b, -1); err != nil {
		return nil, err
	}
	from, by := a.Shape(), b.Shape()
	if len(from) == 0 || len(by) == 0 {
		return ops.Mul(a, b)
	}
	if len(from) > 2 || len(by) > 2 {
		return nil, errors.Errorf("nnops: %s: a is %v and b %v, want matrices, vectors or scalars", name, from, by)
	}
	return ops.MatMul(a, b)
}

// HadamardProd returns the product element by element: ops.Mul. It broadcasts; Gorgonia's does not.
func HadamardProd(a, b *G.Node) (*G.Node, error) { return ops.Mul(a, b) }

// Log returns the natural logarithm of x: ops.Log.
func Log(x *G.Node) (*G.Node, error) { return ops.Log(x) }

// Neg returns −x.
func Neg(x *G.Node) (*G.Node, error) { return ops.Affine(x, -1, 0) }

// BinaryXent returns −target·log(output) − (1 − target)·log(1 − output) for each element. A
// probability of 0 or 1 gives infinities and NaN, as in Gorgonia; ops.BCEWithLogits takes logits
// and does not.
func BinaryXent(output, target *G.Node) (*G.Node, error) {
	var t ops.Try
	other := func(n *G.Node) *G.Node { return t.Do(ops.Affine(n, -1, 1)) }
	log := func(n *G.Node) *G.Node { return t.Do(ops.Log(n)) }
	of := t.Do(ops.Mul(target, log(output)))
	not := t.Do(ops.Mul(other(target), log(other(output))))
	y := t.Do(Neg(t.Do(ops.Add(of, not))))
	return y, t.Err()
}

// CheckConvolutionParams returns an error if a stride or dilation is not positive or a padding is
// negative.
func CheckConvolutionParams(pad, stride, dilation []int) error {
	for _, of := range []struct {
		name string
		v    []int
		min  int
	}{{"stride", stride, 1}, {"padding", pad, 0}, {"dilation", dilation, 1}} {
		for _, v := range of.v {
			if v < of.min {
				return errors.Errorf("nnops: the %s is %v, want numbers of %d or more", of.name, of.v, of.min)
			}
		}
	}
	return nil
}

func pool(name string, op func(*G.Node, ops.PoolParams) (*G.Node, error), x *G.Node, kernel tensor.Shape, pad, stride []int) (*G.Node, error) {
	if err := is(name, "x", x, 4); err != nil {
		return nil, err
	}
	window, err := positive(name, "kernel", kernel)
	if err != nil {
		return nil, err
	}
	if kernel == nil {
		return nil, errors.Errorf("nnops: %s: the kernel is nil, want its height and width", name)
	}
	p, err := padding(name, pad, true)
	if err != nil {
		return nil, err
	}
	by, err := positive(name, "stride", stride)
	if err != nil {
		return nil, err
	}
	return op(x, ops.PoolParams{Window: window, Pad: p, Stride: by})
}

// is returns an error unless n is a node of a graph, of known shape and of the rank; −1 is any.
func is(name, operand string, n *G.Node, rank int) error {
	switch {
	case n == nil:
		return fmt.Errorf("nnops: %s: %s is nil, want a node", name, operand)
	case n.Graph() == nil:
		return fmt.Errorf("nnops: %s: %s is in no graph", name, operand)
	case n.Type() == nil || n.Dims() != len(n.Shape()):
		return fmt.Errorf("nnops: %s: %s has no known shape, want one", name, operand)
	case rank >= 0 && n.Dims() != rank:
		return fmt.Errorf("nnops: %s: %s has shape %v, of rank %d, want rank %d", name, operand, n.Shape(), n.Dims(), rank)
	}
	return nil
}

// positive is a pair of positive numbers; nil is {1, 1}.
func positive(name, of string, v []int) (ops.Size, error) {
	switch {
	case v == nil:
		return ops.Both(1), nil
	case len(v) != 2 || v[0] < 1 || v[1] < 1:
		return ops.Size{}, errors.Errorf("nnops: %s: the %s is %v, want two positive numbers", name, of, v)
	}
	return ops.Size{H: v[0], W: v[1]}, nil
}

// padding is a pair, or, where there may be, four numbers: above, below, left, right. nil is none.
func padding(name string, v []int, four bool) (ops.Padding, error) {
	for _, n := range v {
		if n < 0 {
			return ops.Padding{}, errors.Errorf("nnops: %s: the padding is %v, want no negative numbers", name, v)
		}
	}
	switch {
	case v == nil:
		return ops.Padding{}, nil
	case len(v) == 2:
		return ops.AroundHW(v[0], v[1]), nil
	case len(v) == 4 && four:
		return ops.Padding{Top: v[0], Bottom: v[1], Left: v[2], Right: v[3]}, nil
	}
	return ops.Padding{}, errors.Errorf("nnops: %s: the padding is %v, want two numbers", name, v)
}
