package ops

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"

	"github.com/pkg/errors"
	G "gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/convgrad/convgrad/internal/kernel"
	"github.com/convgrad/convgrad/internal/opset"
)

// Reshape returns the node y of x's elements, in row-major order, under another shape. One side may
// be −1, which stands for what is left. No sides make a scalar of one element. y is a copy: nothing
// that is done to y in place can reach x.
//
// Derivative: dx is dy in x's shape.
//
// Reshape returns an error if x is not a float node or the shape does not have as many elements.
func Reshape(x *G.Node, shape ...int) (*G.Node, error) {
	if err := check("Reshape", float("x", -1, x)); err != nil {
		return nil, err
	}
	from, to := x.Shape(), slices.Clone(tensor.Shape(shape))
	rest, n := -1, 1
	for i, s := range to {
		switch {
		case s == -1 && rest < 0:
			rest = i
		case s < 0:
			return nil, errors.Errorf("ops: Reshape: the shape is %v, want the %d elements of x, %v, and -1 at most once", to, from.TotalSize(), from)
		case s > math.MaxInt32/max(n, 1):
			return nil, errors.Errorf("ops: Reshape: the shape is %v, want the %d elements of x, %v", to, from.TotalSize(), from)
		default:
			n *= s
		}
	}
	if rest >= 0 && n > 0 {
		to[rest] = from.TotalSize() / n
		n *= to[rest]
	}
	if len(to) > maxRank || n != from.TotalSize() || rest >= 0 && to[rest] < 0 {
		return nil, errors.Errorf("ops: Reshape: the shape is %v, want the %d elements of x, %v, in at most %d axes", tensor.Shape(shape), from.TotalSize(), from, maxRank)
	}
	if slices.Equal(from, to) {
		return x, nil
	}
	return node(reshape{From: sizeOf(from), To: sizeOf(to)}, x)
}

// Unsqueeze returns x with axes of one element put in, at these places of the result. A negative
// axis counts from the result's end.
//
// Derivative: dx is dy in x's shape. Unsqueeze returns an error if x is not a float node, or an
// axis is not the result's or occurs twice.
func Unsqueeze(x *G.Node, axes ...int) (*G.Node, error) {
	if err := check("Unsqueeze", float("x", -1, x)); err != nil {
		return nil, err
	}
	rank := x.Dims() + len(axes)
	if rank > maxRank {
		return nil, errors.Errorf("ops: Unsqueeze: the result has rank %d, want at most %d", rank, maxRank)
	}
	to := make(tensor.Shape, rank)
	for _, a := range axes {
		axis, err := axisOf("Unsqueeze", a, rank)
		if err != nil {
			return nil, err
		}
		if to[axis] == 1 {
			return nil, errors.Errorf("ops: Unsqueeze: the axis %d occurs twice in %v", axis, axes)
		}
		to[axis] = 1
	}
	from, k := x.Shape(), 0
	put := make([]bool, rank)
	for i := range to {
		put[i] = to[i] == 1
	}
	for i := range to {
		if !put[i] {
			to[i], k = from[k], k+1
		}
	}
	return Reshape(x, to...)
}

// Transpose returns the node y of x with its axes in another order: axis i of y is axis axes[i] of
// x. Without axes the order is turned around. y is a copy.
//
// Derivative: dx is dy with the axes put back.
//
// Transpose returns an error if x is not a float node or axes is not an order of x's axes.
func Transpose(x *G.Node, axes ...int) (*G.Node, error) {
	if err := check("Transpose", float("x", -1, x)); err != nil {
		return nil, err
	}
	rank := x.Dims()
	o := permute{Rank: rank}
	if len(axes) == 0 {
		for i := range rank {
			o.Axes[i] = rank - 1 - i
		}
		return Apply(o, x)
	}
	seen := [maxRank]bool{}
	for i, a := range axes {
		axis, err := axisOf("Transpose", a, rank)
		if err != nil {
			return nil, err
		}
		if len(axes) != rank || seen[axis] {
			return nil, errors.Errorf("ops: Transpose: the axes are %v, want each of the %d axes of x once", axes, rank)
		}
		o.Axes[i], seen[axis] = axis, true
	}
	return Apply(o, x)
}

type permute struct {
	Rank int
	Axes [maxRank]int
}

func (o permute) Name(int) (string, []string) { return "Transpose", []string{"x"} }
func (o permute) Infer(in []tensor.Shape) (tensor.Shape, error) {
	y := make(tensor.Shape, o.Rank)
	for i := range y {
		y[i] = in[0][o.Axes[i]]
	}
	return y, nil
}
func (o permute) Compute(c *Call) error { return ByType(o, c, permuted[float32], permuted[float64]) }
func (o permute) Rule(_ []*G.Node, _, dy *G.Node) ([]*G.Node, error) {
	back := permute{Rank: o.Rank}
	for i := range o.Rank {
		back.Axes[o.Axes[i]] = i
	}
	dx, err := Apply(back, dy)
	return []*G.Node{dx}, err
}

func permuted[T kernel.Float](o permute, c *Call) error {
	y, x := Out[T](c), In[T](c, 0)
	from, steps := strides(c.Shape(0), o.Rank), make([]int, o.Rank)
	for i := range steps {
		steps[i] = from[o.Axes[i]]
	}
	kernel.Permute(y, x, c.Result(), steps)
	return nil
}

// Concat returns the node y of the xs one after another along an axis. A negative axis counts from
// the end.
//
// Shapes: alike but for that axis, along which y's side is the sum of theirs. Derivatives: each x
// gets its part of dy.
//
// Concat returns an error if there is no x, one is not a float node of the others' graph and type,
// or the shapes do not match.
func Concat(axis int, xs ...*G.Node) (*G.Node, error) {
	if len(xs) == 0 {
		return nil, errors.New("ops: Concat: there is nothing to put together, want at least one node")
	}
	if err := check("Concat", float("operand 0", -1, xs[0])); err != nil {
		return nil, err
	}
	axis, err := axisOf("Concat", axis, xs[0].Dims())
	if err != nil {
		return nil, err
	}
	return Apply(concat{axis}, xs...)
}

type concat struct{ Axis int }

func (o concat) Name(n int) (string, []string) { return "Concat", nil }
func (o concat) Infer(in []tensor.Shape) (tensor.Shape, error) {
	y := in[0].Clone()
	for i, s := range in[1:] {
		same := len(s) == len(y)
		for k := range y {
			same = same && (k == o.Axis || s[k] == y[k])
		}
		if !same {
			return nil, errors.Errorf("operand %d has shape %v, want that of operand 0, %v, but for axis %d", i+1, s, in[0], o.Axis)
		}
		y[o.Axis] += s[o.Axis]
	}
	return y, countable(y)
}
func (o concat) Compute(c *Call) error { return ByType(o, c, joined[float32], joined[float64]) }
func (o concat) Rule(in []*G.Node, _, dy *G.Node) ([]*G.Node, error) {
	var t Try
	grads, from := make([]*G.Node, len(in)), 0
	for i, x := range in {
		to := from + x.Shape()[o.Axis]
		grads[i] = t.Do(Slice(dy, o.Axis, from, to, 1))
		from = to
	}
	return grads, t.Err()
}

func joined[T kernel.Float](o concat, c *Call) error {
	y := Out[T](c)
	row := volume(c.Result()[o.Axis:])
	at := 0
	for i := range c.Operands() {
		x := In[T](c, i)
		n := volume(c.Shape(i)[o.Axis:])
		if len(x) > 0 {
			kernel.CopyBlocks(len(x)/n, n, y[at:], row, x, n)
		}
		at += n
	}
	return nil
}

// volume is the number of elements of a shape.
func volume(s tensor.Shape) int {
	n := 1
	for _, v := range s {
		n *= v
	}
	return n
}

// Slice returns the node y of x's elements from, from+step, … before to, along an axis. A negative
// axis counts from the end.
//
// Derivative: dx is dy at those elements and 0 elsewhere.
//
// Slice returns an error if x is not a float node, the axis is not x's, step is not positive, or
// from and to are not 0 ≤ from ≤ to ≤ the axis' side.
func Slice(x *G.Node, axis, from, to, step int) (*G.Node, error) {
	if err := check("Slice", float("x", -1, x)); err != nil {
		return nil, err
	}
	axis, err := axisOf("Slice", axis, x.Dims())
	if err != nil {
		return nil, err
	}
	if n := x.Shape()[axis]; from < 0 || to > n || from > to || step < 1 {
		return nil, errors.Errorf("ops: Slice: got elements %d to %d by %d of axis %d, want 0 ≤ from ≤ to ≤ %d and a positive step: x is %v",
			from, to, step, axis, n, x.Shape())
	}
	return Apply(cut{axis, x.Shape()[axis], from, to, step}, x)
}

// cut is Slice; spread, its adjoint, puts dy among zeros.
type cut struct{ Axis, Side, From, To, Step int }

func (o cut) count() int { return (o.To - o.From + o.Step - 1) / o.Step }

func (o cut) Name(int) (string, []string) { return "Slice", []string{"x"} }
func (o cut) Infer(in []tensor.Shape) (tensor.Shape, error) {
	y := in[0].Clone()
	y[o.Axis] = o.count()
	return y, nil
}
func (o cut) Compute(c *Call) error { return ByType(o, c, cutOut[float32], cutOut[float64]) }
func (o cut) Rule(_ []*G.Node, _, dy *G.Node) ([]*G.Node, error) {
	dx, err := Apply(spread(o), dy)
	return []*G.Node{dx}, err
}

type spread cut

func (o spread) Name(int) (string, []string) { return "SliceBackward", []string{"dy"} }
func (o spread) Infer(in []tensor.Shape) (tensor.Shape, error) {
	x := in[0].Clone()
	if x[o.Axis] != cut(o).count() {
		return nil, errors.Errorf("dy has %d elements on axis %d, want %d", x[o.Axis], o.Axis, cut(o).count())
	}
	x[o.Axis] = o.Side
	return x, countable(x)
}
func (o spread) Compute(c *Call) error { return ByType(o, c, spreadOut[float32], spreadOut[float64]) }
func (o spread) Rule(_ []*G.Node, _, dy *G.Node) ([]*G.Node, error) {
	d, err := Apply(cut(o), dy)
	return []*G.Node{d}, err
}

// blocks calls f for runs of blocks that lie in both the whole and the part: count blocks of n
// elements, which begin where in each, and the distances between them.
func (o cut) blocks(whole tensor.Shape, f func(count, n, wholeAt, wholeStep, partAt, partStep int)) {
	n, outer, count := volume(whole[o.Axis+1:]), volume(whole[:o.Axis]), o.count()
	if n*outer*count == 0 {
		return
	}
	if o.Step == 1 {
		f(outer, count*n, o.From*n, o.Side*n, 0, count*n)
		return
	}
	for i := range outer {
		f(count, n, (i*o.Side+o.From)*n, o.Step*n, i*count*n, n)
	}
}

func cutOut[T kernel.Float](o cut, c *Call) error {
	y, x := Out[T](c), In[T](c, 0)
	o.blocks(c.Shape(0), func(count, n, from, fromStep, to, toStep int) {
		kernel.CopyBlocks(count, n, y[to:], toStep, x[from:], fromStep)
	})
	return nil
}

func spreadOut[T kernel.Float](o spread, c *Call) error {
	x, y := Out[T](c), In[T](c, 0)
	whole := c.Result()
	n := volume(whole[o.Axis+1:])
	if o.Step == 1 { // what is before the part of each block, and behind it
		outer, side := volume(whole[:o.Axis]), o.Side*n
		if before := o.From * n; before > 0 && len(x) > 0 {
			kernel.ClearBlocks(outer, before, x, side)
		}
		if behind := (o.Side - o.To) * n; behind > 0 && len(x) > 0 {
			kernel.ClearBlocks(outer, behind, x[o.To*n:], side)
		}
	} else {
		kernel.ClearBlocks(1, len(x), x, 0)
	}
	cut(o).blocks(whole, func(count, n, to, toStep, from, fromStep int) {
		kernel.CopyBlocks(count, n, x[to:], toStep, y[from:], fromStep)
	})
	return nil
}

func init() {
	same := func(in [][]float64) []float64 { return in[0] }
	opset.Register(opset.Entry{Name: "Reshape", Draw: func(r *rand.Rand) opset.Case {
		to := [][]int{{6, 4}, {2, -1}, {-1}, {2, 3, 2, 2}}[r.IntN(4)]
		return opset.Case{
			Params: fmt.Sprint(to), Inputs: []opset.Input{opset.Normal("x", 2, 3, 4)}, Want: same,
			Build: func(in []*G.Node) (*G.Node, error) { return Reshape(in[0], to...) },
		}
	}})
	opset.Register(opset.Entry{Name: "Unsqueeze", Draw: func(r *rand.Rand) opset.Case {
		axes := [][]int{{0}, {-1}, {1, 3}}[r.IntN(3)]
		return opset.Case{
			Params: fmt.Sprint(axes), Inputs: []opset.Input{opset.Normal("x", 2, 3)}, Want: same,
			Build: func(in []*G.Node) (*G.Node, error) { return Unsqueeze(in[0], axes...) },
		}
	}})
	opset.Register(opset.Entry{Name: "Transpose", Draw: func(r *rand.Rand) opset.Case {
		axes := [][]int{{1, 0, 2}, {2, 0, 1}, {0, 2, 1}, {-1, 1, 0}}[r.IntN(4)]
		x := tensor.Shape{2, 3, 4}
		return opset.Case{
			Params: fmt.Sprint(axes), Inputs: []opset.Input{opset.Normal("x", x...)},
			Build: func(in []*G.Node) (*G.Node, error) { return Transpose(in[0], axes...) },
			Want: func(in [][]float64) []float64 {
				var y []float64
				p := [3]int{(axes[0] + 3) % 3, (axes[1] + 3) % 3, (axes[2] + 3) % 3}
				for i := range x[p[0]] {
					for j := range x[p[1]] {
						for k := range x[p[2]] {
							var at [3]int
							at[p[0]], at[p[1]], at[p[2]] = i, j, k
							y = append(y, in[0][(at[0]*3+at[1])*4+at[2]])
						}
					}
				}
				return y
			},
		}
	}})
	opset.Register(opset.Entry{Name: "Concat", Draw: func(r *rand.Rand) opset.Case {
		axis := r.IntN(2)
		shapes := [][2]int{{2, 3}, {2, 3}, {2, 3}}
		for i := range shapes {
			shapes[i][axis] += i
		}
		return opset.Case{
			Params: fmt.Sprint("axis ", axis, " of ", shapes),
			Inputs: []opset.Input{opset.Normal("p", shapes[0][:]...), opset.Normal("q", shapes[1][:]...), opset.Normal("r", shapes[2][:]...)},
			Build:  func(in []*G.Node) (*G.Node, error) { return Concat(axis, in...) },
			Want: func(in [][]float64) []float64 {
				if axis == 0 {
					return slices.Concat(in...)
				}
				var y []float64
				for n := range 2 {
					for i, x := range in {
						y = append(y, x[n*shapes[i][1]:][:shapes[i][1]]...)
					}
				}
				return y
			},
		}
	}})
	opset.Register(opset.Entry{Name: "Slice", Draw: func(r *rand.Rand) opset.Case {
		axis, from, step := r.IntN(3), r.IntN(2), 1+r.IntN(2)
		x := tensor.Shape{4, 5, 6}
		to := x[axis] - r.IntN(2)
		return opset.Case{
			Params: fmt.Sprintf("axis %d, %d to %d by %d", axis, from, to, step), Inputs: []opset.Input{opset.Normal("x", x...)},
			Build: func(in []*G.Node) (*G.Node, error) { return Slice(in[0], axis, from, to, step) },
			Want: func(in [][]float64) []float64 {
				var y []float64
				for i, v := range in[0] {
					c := [3]int{i / 30, i / 6 % 5, i % 6}[axis]
					if c >= from && c < to && (c-from)%step == 0 {
						y = append(y, v)
					}
				}
				return y
			},
		}
	}})
}

func init() {
	opset.Timed("Transpose", func() []opset.Case {
		return []opset.Case{opset.Call("0 2 1", "x.permute(0, 2, 1).contiguous()", func(in []*G.Node) (*G.Node, error) {
			return Transpose(in[0], 0, 2, 1)
		}, opset.Normal("x", 16, 64, 56*56))}
	})
	opset.Timed("Concat", func() []opset.Case {
		return []opset.Case{opset.Call("axis 1", "torch.cat([a, b], 1)", func(in []*G.Node) (*G.Node, error) {
			return Concat(1, in...)
		}, opset.Normal("a", 16, 64, 56, 56), opset.Normal("b", 16, 64, 56, 56))}
	})
	opset.Timed("Slice", func() []opset.Case {
		return []opset.Case{opset.Call("half of axis 1", "x[:, :32].contiguous()", func(in []*G.Node) (*G.Node, error) {
			return Slice(in[0], 1, 0, 32, 1)
		}, opset.Normal("x", 16, 64, 56, 56))}
	})
}
