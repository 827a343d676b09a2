package ops

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strings"

	"github.com/pkg/errors"
	G "gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/convgrad/convgrad/internal/kernel"
	"github.com/convgrad/convgrad/internal/opset"
)

// Sum returns the node of the sums of x over the axes, which y lacks; without axes, the scalar sum
// of all elements. A negative axis counts from the end. The sums are formed in float64.
//
// Derivative: dx is dy repeated along the axes. A NaN or infinity reaches the sum that it is in.
//
// Sum returns an error if x is not a float node, or an axis is not x's or occurs twice.
func Sum(x *G.Node, axes ...int) (*G.Node, error) {
	kept, dropped, err := reduction("Sum", x, axes)
	if err != nil {
		return nil, err
	}
	return reduced(x, sumTo{sizeOf(kept)}, dropped)
}

// Mean returns the node of the means of x over the axes, which y lacks; without axes, the scalar
// mean of all elements. The mean of nothing is NaN. Errors are Sum's.
//
// Derivative: dx is dy divided by the number of elements and repeated along the axes.
func Mean(x *G.Node, axes ...int) (*G.Node, error) {
	kept, dropped, err := reduction("Mean", x, axes)
	if err != nil {
		return nil, err
	}
	y, err := reduced(x, sumTo{sizeOf(kept)}, dropped)
	if err != nil {
		return nil, err
	}
	n := 1.0
	for i, s := range x.Shape() {
		if kept[i] != s {
			n *= float64(s)
		}
	}
	return Affine(y, 1/n, 0)
}

// Max returns the node of the greatest elements of x over the axes, which y lacks; without axes,
// the greatest of all. Of equal elements the first in row-major order wins; the first NaN wins over
// every number.
//
// Derivative: the winner gets dy, all others 0.
//
// Errors are Sum's; also, the axes must not be empty.
func Max(x *G.Node, axes ...int) (*G.Node, error) {
	kept, dropped, err := reduction("Max", x, axes)
	if err != nil {
		return nil, err
	}
	if x.Shape().TotalSize() == 0 {
		return nil, errors.Errorf("ops: Max: x has shape %v, want positive sides: there is no greatest of nothing", x.Shape())
	}
	if len(kept) == 0 {
		return Reshape(x) // a scalar is its own maximum
	}
	winner, err := Apply(maxIndex{To: sizeOf(kept)}, x)
	if err != nil {
		return nil, err
	}
	y, err := Apply(take{}, x, winner)
	if err != nil {
		return nil, err
	}
	return Reshape(y, dropped...)
}

// reduction is x's shape with sides of 1 in the place of the axes, and without them.
func reduction(name string, x *G.Node, axes []int) (kept, dropped tensor.Shape, err error) {
	if err := check(name, float("x", -1, x)); err != nil {
		return nil, nil, err
	}
	kept = x.Shape().Clone()
	gone := make([]bool, len(kept))
	for _, a := range axes {
		axis, err := axisOf(name, a, len(kept))
		if err != nil {
			return nil, nil, err
		}
		if gone[axis] {
			return nil, nil, errors.Errorf("ops: %s: the axis %d occurs twice in %v", name, axis, axes)
		}
		gone[axis], kept[axis] = true, 1
	}
	dropped = tensor.Shape{}
	for i := range kept {
		if len(axes) == 0 {
			kept[i], gone[i] = 1, true
		}
		if !gone[i] {
			dropped = append(dropped, kept[i])
		}
	}
	return kept, dropped, nil
}

// axisOf is an axis counted from the front.
func axisOf(name string, axis, rank int) (int, error) {
	if axis < -rank || axis >= rank {
		return 0, errors.Errorf("ops: %s: the axis is %d, want %d to %d", name, axis, -rank, rank-1)
	}
	return (axis + rank) % rank, nil
}

func reduced(x *G.Node, o sumTo, dropped tensor.Shape) (*G.Node, error) {
	y, err := Apply(o, x)
	if err != nil {
		return nil, err
	}
	return Reshape(y, dropped...)
}

// maxIndex notes where the greatest element is, as an index into x, of each part that To has one
// element for.
type maxIndex struct {
	To    size
	Value bool // the elements of a second operand, mostly x too, rather than their indices
}

func (o maxIndex) Name(int) (string, []string) { return "MaxIndex", []string{"x", "values"} }
func (o maxIndex) Types(in []tensor.Dtype) (tensor.Dtype, error) {
	_, err := floatAndIntegers([]string{"x"}, in)
	return tensor.Int, err
}
func (o maxIndex) Infer(in []tensor.Shape) (tensor.Shape, error) {
	to := o.To.shape()
	return to, repeats(to, in[0])
}
func (o maxIndex) Compute(c *Call) error {
	if o.Value {
		return ByType(o, c, greatest[float32], greatest[float64])
	}
	return ByType(o, c, indexed[float32], indexed[float64])
}
func (o maxIndex) Rule([]*G.Node, *G.Node, *G.Node) ([]*G.Node, error) {
	return []*G.Node{nil}, nil
}

// Fuse leaves the index out where nothing but the maximum is wanted. The result is an executor's,
// which has no use for a rule.
func (o maxIndex) Fuse(next Op, at int) (Op, bool) {
	return maxIndex{o.To, true}, next == Op(take{}) && at == 1
}

func greatest[T kernel.Float](o maxIndex, c *Call) error {
	w, y, x, from := newWalk(c.Shape(0), c.Result(), c.Shape(0)).kernels(), Out[T](c), In[T](c, 0), In[T](c, 1)
	if &x[0] == &from[0] {
		kernel.MaxValues(w, y, x)
		return nil
	}
	index := make([]int, len(y)) // a derivative takes what lies at the maxima of another tensor
	kernel.MaxOver(w, index, x)
	for i, k := range index {
		y[i] = from[k]
	}
	return nil
}

func indexed[T kernel.Float](o maxIndex, c *Call) error {
	y, x := Out[int](c), In[T](c, 0)
	kernel.MaxOver(newWalk(c.Shape(0), c.Result(), c.Shape(0)).kernels(), y, x)
	return nil
}

// take is y[i] = x[index[i]]; put, its adjoint, adds dy[i] to element index[i] of zeros.
type take struct{}

func (o take) Name(int) (string, []string) { return "Take", []string{"x", "index"} }
func (o take) Types(in []tensor.Dtype) (tensor.Dtype, error) {
	return floatAndIntegers([]string{"x", "index"}, in, 1)
}
func (o take) Infer(in []tensor.Shape) (tensor.Shape, error) { return in[1], nil }
func (o take) Compute(c *Call) error                         { return ByType(o, c, taken[float32], taken[float64]) }
func (o take) Rule(in []*G.Node, _, dy *G.Node) ([]*G.Node, error) {
	dx, err := Apply(put{sizeOf(in[0].Shape())}, dy, in[1])
	return []*G.Node{dx, nil}, err
}

func taken[T kernel.Float](o take, c *Call) error {
	y, x := Out[T](c), In[T](c, 0)
	for i, k := range c.Ints(1) {
		if k < 0 || k >= len(x) {
			return errors.Errorf("index: element %d is %d, want 0 to %d", i, k, len(x)-1)
		}
		y[i] = x[k]
	}
	return nil
}

type put struct{ To size }

func (o put) Name(int) (string, []string) { return "Put", []string{"dy", "index"} }
func (o put) Types(in []tensor.Dtype) (tensor.Dtype, error) {
	return floatAndIntegers([]string{"dy", "index"}, in, 1)
}
func (o put) Infer(in []tensor.Shape) (tensor.Shape, error) {
	return o.To.shape(), want("index", in[1], in[0]...)
}
func (o put) Compute(c *Call) error { return ByType(o, c, scattered[float32], scattered[float64]) }
func (o put) Rule(in []*G.Node, _, dy *G.Node) ([]*G.Node, error) {
	d, err := Apply(take{}, dy, in[1])
	return []*G.Node{d, nil}, err
}

func scattered[T kernel.Float](o put, c *Call) error {
	dx, dy := Out[T](c), In[T](c, 0)
	clear(dx)
	for i, k := range c.Ints(1) {
		if k < 0 || k >= len(dx) {
			return errors.Errorf("index: element %d is %d, want 0 to %d", i, k, len(dx)-1)
		}
		dx[k] += dy[i]
	}
	return nil
}

func init() {
	type build = func(x *G.Node, axes ...int) (*G.Node, error)
	for name, op := range map[string]build{"Sum": Sum, "Mean": Mean, "Max": Max} {
		opset.Register(opset.Entry{Name: name, Draw: func(r *rand.Rand) opset.Case {
			shape := tensor.Shape{2, 3, 4, 5}
			axes := [][]int{nil, {0}, {-1}, {1, 3}, {0, 2, 3}, {0, 1}}[r.IntN(6)]
			kept := shape.Clone()
			for i := range kept {
				if len(axes) == 0 {
					kept[i] = 1
				}
			}
			for _, a := range axes {
				kept[(a+4)%4] = 1
			}
			n := shape.TotalSize() / kept.TotalSize()
			c := opset.Case{
				Params: fmt.Sprint("axes ", axes), Inputs: []opset.Input{opset.Distinct("x", shape...)},
				Build: func(in []*G.Node) (*G.Node, error) { return op(in[0], axes...) },
				Want: func(in [][]float64) []float64 {
					y := make([]float64, kept.TotalSize())
					if name == "Max" {
						for i := range y {
							y[i] = math.Inf(-1)
						}
					}
					for i, x := range in[0] {
						k := at(i, shape, kept)
						switch name {
						case "Sum":
							y[k] += x
						case "Mean":
							y[k] += x / float64(n)
						default:
							y[k] = max(y[k], x)
						}
					}
					return y
				},
				Terms: n,
			}
			return c
		}})
	}
}

func init() {
	for name, torch := range map[string]string{"Sum": "sum", "Mean": "mean", "Max": "amax"} {
		op := map[string]func(x *G.Node, axes ...int) (*G.Node, error){"Sum": Sum, "Mean": Mean, "Max": Max}[name]
		call := func(axes, shape []int) opset.Case {
			text := strings.ReplaceAll(fmt.Sprint(axes), " ", ", ")
			return opset.Call("over "+text, "torch."+torch+"(x, "+text+")", func(in []*G.Node) (*G.Node, error) {
				return op(in[0], axes...)
			}, opset.Normal("x", shape...))
		}
		opset.Timed(name, func() []opset.Case {
			return []opset.Case{call([]int{2, 3}, []int{16, 64, 56, 56}), call([]int{0, 2, 3}, []int{16, 64, 56, 56}),
				call([]int{1}, []int{128, 1000})}
		})
	}
}
