package ops

import (
	"slices"

	"github.com/pkg/errors"
	G "gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/convgrad/convgrad/internal/kernel"
	"github.com/convgrad/convgrad/internal/onnx"
)

// The ops of LayerNorm and GroupNorm with scale and bias. Operands are named as those of normalise;
// moments are those of x's rows, and the derivatives by x contain what goes through them.

// rowNormalise is y = scale·x̂ + bias.
type rowNormalise struct {
	Of   size
	Rows kernel.Rows
	Eps  float64
}

func (o rowNormalise) Name(int) (string, []string) {
	return "RowNormalise", []string{"x", "scale", "bias", "moments"}
}

func (o rowNormalise) Infer(in []tensor.Shape) (tensor.Shape, error) {
	_, names := o.Name(4)
	return o.sides(names, in)
}

// sides checks the shapes of operands by their names, and returns that of x.
func (o rowNormalise) sides(names []string, in []tensor.Shape) (tensor.Shape, error) {
	for i, name := range names {
		wanted := o.Of.shape()
		switch name {
		case "scale", "bias":
			wanted = tensor.Shape{o.Rows.Scales()}
		case "moments":
			wanted = tensor.Shape{2, o.Rows.M}
		}
		if err := want(name, in[i], wanted...); err != nil {
			return nil, err
		}
	}
	return o.Of.shape(), nil
}

func (o rowNormalise) Compute(c *Call) error {
	return ByType(o, c, rowNormalised[float32], rowNormalised[float64])
}

func rowNormalised[T kernel.Float](o rowNormalise, c *Call) error {
	kernel.RowNormalise(o.Rows, Out[T](c), In[T](c, 0), In[T](c, 1), In[T](c, 2), In[T](c, 3), o.Eps, false)
	return nil
}

func (o rowNormalise) Rule(in []*G.Node, _, dy *G.Node) ([]*G.Node, error) {
	var t Try
	x, scale, m := in[0], in[1], in[3]
	dx := t.Do(Apply(rowBackward(o), dy, x, scale, m))
	sums := t.Do(Apply(rowSums(o), dy, x, m))
	return []*G.Node{dx, o.row(&t, sums, 1), o.row(&t, sums, 0), nil}, t.Err()
}

// row is row i of a matrix of two sums for each scale.
func (o rowNormalise) row(t *Try, sums *G.Node, i int) *G.Node {
	if t.Err() != nil {
		return nil
	}
	return t.Do(node(momentRow{o.Rows.Scales(), i}, sums))
}

// onnx writes rows as so many instances of one channel.
func (o rowNormalise) onnx(c onnxCall) (onnx.Operand, error) {
	if m := c.in[3]; m.Kind != "moments" || m.Of[0].Name != c.in[0].Name {
		return onnx.Operand{}, errors.New("it normalises by statistics of another tensor")
	}
	s, g := o.Of.shape(), o.Rows
	y := c.Add("Reshape", nil, c.in[0].Name, c.Ints(g.M, 1, g.Len()))
	y = c.Add("InstanceNormalization", onnx.With("epsilon", o.Eps), y, c.Floats([]float64{1}, 1), c.Floats([]float64{0}, 1))
	y = c.Add("Reshape", nil, y, c.Ints(s...))
	to := slices.Clone(s[1:]) // of channels
	for i := range to {
		if i > 0 {
			to[i] = 1
		}
	}
	if g.Plane == 1 && g.Period == 1 { // of the last axes
		for to = nil; volume(to) < g.PerRow; {
			to = append(tensor.Shape{s[len(s)-1-len(to)]}, to...)
		}
	}
	shape := c.Ints(to...)
	y = c.Add("Mul", nil, y, c.Add("Reshape", nil, c.in[1].Name, shape))
	return onnx.Operand{Name: c.Add("Add", nil, y, c.Add("Reshape", nil, c.in[2].Name, shape))}, nil
}

// rowBackward is dx.
type rowBackward rowNormalise

func (o rowBackward) Name(int) (string, []string) {
	return "RowNormaliseBackward", []string{"dy", "x", "scale", "moments"}
}

func (o rowBackward) Infer(in []tensor.Shape) (tensor.Shape, error) {
	_, names := o.Name(4)
	return rowNormalise(o).sides(names, in)
}

func (o rowBackward) Compute(c *Call) error {
	return ByType(o, c, rowSloped[float32], rowSloped[float64])
}

func rowSloped[T kernel.Float](o rowBackward, c *Call) error {
	kernel.RowBackward(o.Rows, nil, Out[T](c), In[T](c, 0), In[T](c, 1), In[T](c, 2), In[T](c, 3), o.Eps)
	return nil
}

// Rule: dx is what NormaliseBackward, which is its own adjoint, makes of scale·dy.
func (o rowBackward) Rule(in []*G.Node, _, v *G.Node) ([]*G.Node, error) {
	var t Try
	dy, x, scale, m := in[0], in[1], in[2], in[3]
	g := o.Rows
	wide := func(n *G.Node) *G.Node { return t.Do(Reshape(n, g.M/g.Period, g.Scales(), g.Plane)) }
	narrow := t.Do(Reshape(scale, 1, g.Scales(), 1))
	times := func(n *G.Node) *G.Node { return t.Do(Reshape(t.Do(Mul(wide(n), narrow)), o.Of.shape()...)) }
	plain := normalise{Of: o.Of, Norm: g.Norm(), Eps: o.Eps}
	do := func(s spec, in ...*G.Node) *G.Node {
		if t.Err() != nil {
			return nil
		}
		return t.Do(node(s, in...))
	}
	scaled := times(dy)
	sums, sumsV := do(normSums(plain), scaled, x, m), do(normSums(plain), v, x, m)
	back := do(normBackward(plain), v, x, sumsV, m)
	byScale := t.Do(Reshape(t.Do(sumLike(t.Do(Mul(wide(dy), wide(back))), tensor.Shape{1, g.Scales(), 1})), g.Scales()))
	return []*G.Node{times(back), do(normSecond(plain), v, scaled, x, sums, sumsV, m), byScale, nil}, t.Err()
}

// rowSums is the matrix of Σdy and Σ dy·x̂ for each scale: the derivatives by bias and scale.
type rowSums rowNormalise

func (o rowSums) Name(int) (string, []string) {
	return "RowNormaliseSums", []string{"dy", "x", "moments"}
}

func (o rowSums) Infer(in []tensor.Shape) (tensor.Shape, error) {
	_, names := o.Name(3)
	_, err := rowNormalise(o).sides(names, in)
	return tensor.Shape{2, o.Rows.Scales()}, err
}

func (o rowSums) Compute(c *Call) error { return ByType(o, c, rowSummed[float32], rowSummed[float64]) }

func rowSummed[T kernel.Float](o rowSums, c *Call) error {
	kernel.RowBackward(o.Rows, Out[T](c), nil, In[T](c, 0), In[T](c, 1), nil, In[T](c, 2), o.Eps)
	return nil
}

// Rule: with V the cotangent, dy gets V₀ + V₁·x̂, and x gets dx for the scale V₁.
func (o rowSums) Rule(in []*G.Node, _, v *G.Node) ([]*G.Node, error) {
	var t Try
	n := rowNormalise(o)
	scale, bias := n.row(&t, v, 1), n.row(&t, v, 0)
	return []*G.Node{
		t.Do(Apply(n, in[1], scale, bias, in[2])),
		t.Do(Apply(rowBackward(o), in[0], in[1], scale, in[2])),
		nil,
	}, t.Err()
}

// together computes dx and the sums in one pass over the rows.
func (o rowBackward) together(sibling any, at []int) pass {
	if sibling != any(rowSums(o)) || !slices.Equal(at, []int{0, 1, 3}) {
		return nil
	}
	rank := o.Of.rank
	args := []arg{{name: "dy", rank: rank}, {name: "x", rank: rank}, {name: "scale", rank: 1}, {name: "moments", rank: 2}}
	return onePass(args, []int{0, 1, 2, 3}, func(in []tensor.Shape) (first, second tensor.Shape, err error) {
		first, err = o.Infer(in)
		return first, tensor.Shape{2, o.Rows.Scales()}, err
	}, func(c *Call, dx operand) {
		if c.double() {
			rowsTogether[float64](o, c, dx)
		} else {
			rowsTogether[float32](o, c, dx)
		}
	})
}

func rowsTogether[T kernel.Float](o rowBackward, c *Call, dx operand) {
	kernel.RowBackward(o.Rows, Out[T](c), slice[T](dx), In[T](c, 0), In[T](c, 1), In[T](c, 2), In[T](c, 3), o.Eps)
}

// momentsTogether computes the moments of rows and what they normalise, row by row.
func (o rowNormalise) momentsTogether(at []int) pass {
	if at[0] != 0 || at[1] < 0 || at[2] < 0 || at[3] != -1 {
		return nil
	}
	args := []arg{{name: "x", rank: o.Of.rank}, {name: "scale", rank: 1}, {name: "bias", rank: 1}, {name: "moments", rank: 2}}
	return onePass(args, at, func(in []tensor.Shape) (first, second tensor.Shape, err error) {
		second, err = o.Infer(in)
		return tensor.Shape{2, o.Rows.M}, second, err
	}, func(c *Call, moments operand) {
		if c.double() {
			rowsMeasured[float64](o, c, moments)
		} else {
			rowsMeasured[float32](o, c, moments)
		}
	})
}

func rowsMeasured[T kernel.Float](o rowNormalise, c *Call, moments operand) {
	kernel.RowNormalise(o.Rows, Out[T](c), In[T](c, 0), In[T](c, 1), In[T](c, 2), slice[T](moments), o.Eps, true)
}
