package ops

import (
	"gorgonia.org/tensor"

	"github.com/convgrad/convgrad/internal/kernel"
)

// normSums is the matrix of Σdy and Σ dy·x̂: the derivatives by bias and scale.
type normSums normalise

func (o normSums) name() string { return "NormaliseSums" }
func (o normSums) args() []arg {
	rank := o.Of.rank
	return withMoments(normalise(o).plain(), []arg{{name: "dy", rank: rank}, {name: "x", rank: rank}}, arg{}, arg{name: "moments", rank: 2})
}
func (o normSums) result() arg { return arg{name: "sums", rank: 2} }
func (o normSums) infer(in []tensor.Shape) (tensor.Shape, error) {
	return tensor.Shape{2, o.Norm.Groups}, normalise(o).sides(o.args(), in)
}

// rule: with V the cotangent, dy gets V₀ + V₁·x̂, and x gets what NormBackward makes of dy with the
// scale V₁.
func (o normSums) rule() []*term {
	n := normalise(o)
	n.Affine = true
	dy, x, m := in(0), in(1), in(len(o.args())-1)
	part := func(i int) *term { return apply(momentRow{o.Norm.Groups, i}, cotangent()) }
	return []*term{
		apply(n, withMoments(n, []*term{x}, part(1), m, part(0))...),
		apply(normBackward(n), withMoments(n, []*term{dy, x}, part(1), m, out())...),
		nil,
	}
}

func (o normSums) exec(c *Call) error {
	if c.double() {
		sumsOf[float64](o, c)
	} else {
		sumsOf[float32](o, c)
	}
	return nil
}

func sumsOf[T kernel.Float](o normSums, c *Call) {
	a := o.args()
	kernel.NormSums(o.Norm, slice[T](c.dst), byName[T](c, a, "dy"), byName[T](c, a, "x"), byName[T](c, a, "moments"), o.Eps)
}

// together computes the sums and the derivative by x, group by group.
func (o normSums) together(consumer any, at []int) pass {
	n, ok := consumer.(normBackward)
	if !ok || n.Of != o.Of || n.Norm != o.Norm || n.Eps != o.Eps {
		return nil
	}
	args := n.args()
	for i, a := range args {
		want, there := map[string]int{"dy": 0, "x": 1, "moments": 2, "sums": -1}[a.name]
		if there && at[i] != want {
			return nil
		}
	}
	return normalise(n).pass(args, at, sumsBackward[float32], sumsBackward[float64])
}

func sumsBackward[T kernel.Float](o normalise, c *Call, sums operand) {
	a := normBackward(o).args()
	kernel.NormSumsBackward(o.Norm, slice[T](sums), slice[T](c.dst), byName[T](c, a, "dy"), byName[T](c, a, "x"), byName[T](c, a, "scale"), byName[T](c, a, "moments"), o.Eps)
}

// normBackward is dx; sums are those of dy.
type normBackward normalise

func (o normBackward) InPlace() int { return 0 }

func (o normBackward) name() string { return "NormaliseBackward" }
func (o normBackward) args() []arg {
	rank := o.Of.rank
	return withMoments(normalise(o), []arg{{name: "dy", rank: rank}, {name: "x", rank: rank}}, arg{name: "scale", rank: 1}, arg{name: "moments", rank: 2},
		arg{name: "sums", rank: 2})
}
func (o normBackward) result() arg { return arg{name: "dx", rank: o.Of.rank} }
func (o normBackward) infer(in []tensor.Shape) (tensor.Shape, error) {
	return o.Of.shape(), normalise(o).sides(o.args(), in)
}

// rule: the op is linear in dy and its own adjoint, sums being those of dy.
func (o normBackward) rule() []*term {
	n, v, dy, x := normalise(o), cotangent(), in(0), in(1)
	var scaled *term
	sumsAt := 2
	if o.Affine {
		scaled, sumsAt = in(2), 3
	}
	sums, m := in(sumsAt), in(len(o.args())-1)
	sumsV := apply(normSums(n), withMoments(n.plain(), []*term{v, x}, nil, m)...)
	rule := []*term{apply(o, withMoments(n, []*term{v, x}, scaled, m, sumsV)...), nil}
	if o.Norm.Mode == kernel.NormBatch {
		rule[1] = apply(normSecond(o), withMoments(n, []*term{v, dy, x}, scaled, m, sums, sumsV)...)
	}
	if o.Affine {
		rule = append(rule, apply(normScaleSecond(o), withMoments(n.plain(), []*term{v, dy}, nil, m, sums, sumsV)...))
	}
	return append(rule, nil, nil)
}

func (o normBackward) exec(c *Call) error {
	if c.double() {
		normBackwardOf[float64](o, c)
	} else {
		normBackwardOf[float32](o, c)
	}
	return nil
}

func normBackwardOf[T kernel.Float](o normBackward, c *Call) {
	a := o.args()
	kernel.NormBackward(o.Norm, slice[T](c.dst), byName[T](c, a, "dy"), byName[T](c, a, "x"), byName[T](c, a, "scale"), byName[T](c, a, "moments"), byName[T](c, a, "sums"), o.Eps)
}

// normSecond is the derivative of ⟨v, dx⟩ by x, normScaleSecond that by scale. Neither has a
// derivative: third ones are not offered.
type normSecond normalise

func (o normSecond) name() string { return "NormaliseSecond" }
func (o normSecond) args() []arg {
	rank := o.Of.rank
	return withMoments(normalise(o), []arg{{name: "v", rank: rank}, {name: "dy", rank: rank}, {name: "x", rank: rank}}, arg{name: "scale", rank: 1},
		arg{name: "moments", rank: 2}, arg{name: "sums", rank: 2}, arg{name: "sums of v", rank: 2})
}
func (o normSecond) result() arg   { return arg{name: "dx", rank: o.Of.rank} }
func (o normSecond) rule() []*term { return make([]*term, len(o.args())) }
func (o normSecond) infer(in []tensor.Shape) (tensor.Shape, error) {
	return o.Of.shape(), normalise(o).sides(o.args(), in)
}

func (o normSecond) exec(c *Call) error {
	if c.double() {
		secondOf[float64](o, c)
	} else {
		secondOf[float32](o, c)
	}
	return nil
}

func secondOf[T kernel.Float](o normSecond, c *Call) {
	a := o.args()
	kernel.NormSecond(o.Norm, slice[T](c.dst), byName[T](c, a, "v"), byName[T](c, a, "dy"), byName[T](c, a, "x"), byName[T](c, a, "scale"), byName[T](c, a, "moments"),
		byName[T](c, a, "sums"), byName[T](c, a, "sums of v"), o.Eps)
}

type normScaleSecond normalise

func (o normScaleSecond) name() string { return "NormaliseScaleSecond" }
func (o normScaleSecond) args() []arg {
	rank := o.Of.rank
	return withMoments(normalise(o).plain(), []arg{{name: "v", rank: rank}, {name: "dy", rank: rank}}, arg{}, arg{name: "moments", rank: 2},
		arg{name: "sums", rank: 2}, arg{name: "sums of v", rank: 2})
}
func (o normScaleSecond) result() arg   { return arg{name: "dscale", rank: 1} }
func (o normScaleSecond) rule() []*term { return make([]*term, len(o.args())) }
func (o normScaleSecond) infer(in []tensor.Shape) (tensor.Shape, error) {
	return tensor.Shape{o.Norm.Groups}, normalise(o).sides(o.args(), in)
}

func (o normScaleSecond) exec(c *Call) error {
	if c.double() {
		scaleSecondOf[float64](o, c)
	} else {
		scaleSecondOf[float32](o, c)
	}
	return nil
}

func scaleSecondOf[T kernel.Float](o normScaleSecond, c *Call) {
	a := o.args()
	kernel.NormScaleSecond(o.Norm, slice[T](c.dst), byName[T](c, a, "v"), byName[T](c, a, "dy"), byName[T](c, a, "moments"), byName[T](c, a, "sums"), byName[T](c, a, "sums of v"), o.Eps)
}

// momentRow is row I of a matrix of two rows; fromRow, its adjoint, the matrix with that row and
// zeros.
type momentRow struct{ Length, I int }

func (o momentRow) name() string  { return "Row" }
func (o momentRow) args() []arg   { return []arg{{name: "x", rank: 2}} }
func (o momentRow) result() arg   { return arg{name: "y", rank: 1} }
func (o momentRow) rule() []*term { return []*term{apply(fromRow(o), cotangent())} }
func (o momentRow) infer(in []tensor.Shape) (tensor.Shape, error) {
	return tensor.Shape{o.Length}, want("x", in[0], 2, o.Length)
}

func (o momentRow) exec(c *Call) error {
	if c.double() {
		copy(slice[float64](c.dst), slice[float64](c.in[0])[o.I*o.Length:])
	} else {
		copy(slice[float32](c.dst), slice[float32](c.in[0])[o.I*o.Length:])
	}
	return nil
}

type fromRow struct{ Length, I int }

func (o fromRow) name() string  { return "FromRow" }
func (o fromRow) args() []arg   { return []arg{{name: "x", rank: 1}} }
func (o fromRow) result() arg   { return arg{name: "y", rank: 2} }
func (o fromRow) rule() []*term { return []*term{apply(momentRow(o), cotangent())} }
func (o fromRow) infer(in []tensor.Shape) (tensor.Shape, error) {
	return tensor.Shape{2, o.Length}, want("x", in[0], o.Length)
}

func (o fromRow) exec(c *Call) error {
	if c.double() {
		putRow(o, slice[float64](c.dst), slice[float64](c.in[0]))
	} else {
		putRow(o, slice[float32](c.dst), slice[float32](c.in[0]))
	}
	return nil
}

func putRow[T kernel.Float](o fromRow, y, x []T) {
	clear(y)
	copy(y[o.I*o.Length:], x)
}

// stack is the matrix of two rows that are constants.
type stack struct{ Length int }

func (o stack) name() string { return "Stack" }
func (o stack) args() []arg {
	return []arg{{name: "mean", rank: 1}, {name: "variance", rank: 1}}
}
func (o stack) result() arg   { return arg{name: "moments", rank: 2} }
func (o stack) rule() []*term { return []*term{nil, nil} }
func (o stack) infer(in []tensor.Shape) (tensor.Shape, error) {
	if err := want("mean", in[0], o.Length); err != nil {
		return nil, err
	}
	return tensor.Shape{2, o.Length}, want("variance", in[1], o.Length)
}

func (o stack) exec(c *Call) error {
	if c.double() {
		stacked[float64](c)
	} else {
		stacked[float32](c)
	}
	return nil
}

func stacked[T kernel.Float](c *Call) {
	y, mean := slice[T](c.dst), slice[T](c.in[0])
	copy(y, mean)
	copy(y[len(mean):], slice[T](c.in[1]))
}
