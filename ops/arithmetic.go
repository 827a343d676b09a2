package ops

import (
	"fmt"
	G "gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
	"math/rand/v2"

	"github.com/convgrad/convgrad/internal/kernel"

	"github.com/convgrad/convgrad/internal/opset"
)

// The elementwise arithmetic that derivative rules are written in. None of it is on the path of a
// training step but for what the losses do to their logits; it is there so that the rules' own
// derivatives exist.

// combine computes an operation of two operands of one shape. The product, sum or difference of two
// float32 is the same rounded once, as here, or from float64.
func combine(op kernel.Operation, c *Call) error {
	w := kernel.Walk{Sides: []int{volume(c.dst.shape)}, A: []int{1}, B: []int{1}}
	if c.double() {
		kernel.Combine(op, w, slice[float64](c.dst), slice[float64](c.in[0]), slice[float64](c.in[1]))
	} else {
		kernel.Combine(op, w, slice[float32](c.dst), slice[float32](c.in[0]), slice[float32](c.in[1]))
	}
	return nil
}

func twoOf(rank int) []arg { return []arg{{name: "a", rank: rank}, {name: "b", rank: rank}} }

func sameShape(in []tensor.Shape) (tensor.Shape, error) {
	return in[0], want("b", in[1], in[0]...)
}

// product is a·b, element by element.
type product struct{ Rank int }

func (o product) InPlace() int                                  { return 0 }
func (o product) name() string                                  { return "Product" }
func (o product) args() []arg                                   { return twoOf(o.Rank) }
func (o product) result() arg                                   { return arg{name: "y", rank: o.Rank} }
func (o product) infer(in []tensor.Shape) (tensor.Shape, error) { return sameShape(in) }
func (o product) exec(c *Call) error                            { return combine(kernel.Times, c) }
func (o product) rule() []*term {
	return []*term{apply(o, cotangent(), in(1)), apply(o, cotangent(), in(0))}
}

// difference is a − b.
type difference struct{ Rank int }

func (o difference) InPlace() int                                  { return 0 }
func (o difference) name() string                                  { return "Difference" }
func (o difference) args() []arg                                   { return twoOf(o.Rank) }
func (o difference) result() arg                                   { return arg{name: "y", rank: o.Rank} }
func (o difference) infer(in []tensor.Shape) (tensor.Shape, error) { return sameShape(in) }
func (o difference) exec(c *Call) error                            { return combine(kernel.Minus, c) }
func (o difference) rule() []*term {
	return []*term{apply(scale{o.Rank, 1}, cotangent()), apply(scale{o.Rank, -1}, cotangent())}
}

// quotient is a/b, and 0 where b is 0.
type quotient struct{ Rank int }

func (o quotient) InPlace() int                                  { return 0 }
func (o quotient) name() string                                  { return "Quotient" }
func (o quotient) args() []arg                                   { return twoOf(o.Rank) }
func (o quotient) result() arg                                   { return arg{name: "y", rank: o.Rank} }
func (o quotient) infer(in []tensor.Shape) (tensor.Shape, error) { return sameShape(in) }
func (o quotient) exec(c *Call) error {
	if c.double() {
		divided(slice[float64](c.dst), slice[float64](c.in[0]), slice[float64](c.in[1]))
	} else {
		divided(slice[float32](c.dst), slice[float32](c.in[0]), slice[float32](c.in[1]))
	}
	return nil
}

func divided[T kernel.Float](y, a, b []T) {
	for i := range y {
		if y[i] = a[i] / b[i]; b[i] == 0 {
			y[i] = 0
		}
	}
}
func (o quotient) rule() []*term {
	da := apply(o, cotangent(), in(1))
	return []*term{da, apply(scale{o.Rank, -1}, apply(product(o), da, out()))}
}

// scale is x times a constant.
type scale struct {
	Rank   int
	Factor float64
}

func (o scale) InPlace() int                                  { return 0 }
func (o scale) name() string                                  { return "Scale" }
func (o scale) args() []arg                                   { return []arg{{name: "x", rank: o.Rank}} }
func (o scale) result() arg                                   { return arg{name: "y", rank: o.Rank} }
func (o scale) infer(in []tensor.Shape) (tensor.Shape, error) { return in[0], nil }
func (o scale) rule() []*term                                 { return []*term{apply(o, cotangent())} }
func (o scale) exec(c *Call) error {
	if c.double() {
		kernel.Scale(slice[float64](c.dst), slice[float64](c.in[0]), o.Factor)
	} else {
		kernel.Scale(slice[float32](c.dst), slice[float32](c.in[0]), o.Factor)
	}
	return nil
}

// scaleBy is x times a scalar node and a constant; dot, the inner product of two tensors times a
// constant, is its derivative by the scalar.
type scaleBy struct {
	Rank   int
	Factor float64
}

func (o scaleBy) InPlace() int                                  { return 0 }
func (o scaleBy) name() string                                  { return "ScaleBy" }
func (o scaleBy) args() []arg                                   { return []arg{{name: "x", rank: o.Rank}, {name: "s", rank: 0}} }
func (o scaleBy) result() arg                                   { return arg{name: "y", rank: o.Rank} }
func (o scaleBy) infer(in []tensor.Shape) (tensor.Shape, error) { return in[0], nil }
func (o scaleBy) rule() []*term {
	return []*term{apply(o, cotangent(), in(1)), apply(dot(o), cotangent(), in(0))}
}
func (o scaleBy) exec(c *Call) error {
	if c.double() {
		kernel.Scale(slice[float64](c.dst), slice[float64](c.in[0]), o.Factor*slice[float64](c.in[1])[0])
	} else {
		kernel.Scale(slice[float32](c.dst), slice[float32](c.in[0]), o.Factor*float64(slice[float32](c.in[1])[0]))
	}
	return nil
}

type dot struct {
	Rank   int
	Factor float64
}

func (o dot) name() string { return "Dot" }
func (o dot) args() []arg  { return twoOf(o.Rank) }
func (o dot) result() arg  { return arg{name: "y", rank: 0} }
func (o dot) infer(in []tensor.Shape) (tensor.Shape, error) {
	return tensor.ScalarShape(), want("b", in[1], in[0]...)
}
func (o dot) rule() []*term {
	return []*term{apply(scaleBy(o), in(1), cotangent()), apply(scaleBy(o), in(0), cotangent())}
}
func (o dot) exec(c *Call) error {
	if c.double() {
		slice[float64](c.dst)[0] = o.Factor * inner(slice[float64](c.in[0]), slice[float64](c.in[1]))
	} else {
		slice[float32](c.dst)[0] = float32(o.Factor * inner(slice[float32](c.in[0]), slice[float32](c.in[1])))
	}
	return nil
}

// inner is Σ a·b in float64.
func inner[T kernel.Float](a, b []T) float64 { return kernel.Dot(a, b) }

// Affine returns the node y = scale·x + shift, for x of any rank. NaN and infinities are as in that
// expression of float64, rounded once.
//
// Derivative: dx = scale·dy.
//
// Affine returns an error if x is not a float node.
func Affine(x *G.Node, by, shift float64) (*G.Node, error) {
	if err := check("Affine", float("x", -1, x)); err != nil {
		return nil, err
	}
	if shift == 0 { // −0 stays −0
		return node(scale{x.Dims(), by}, x)
	}
	return node(affineOf{x.Dims(), by, shift}, x)
}

type affineOf struct {
	Rank         int
	Scale, Shift float64
}

func (o affineOf) InPlace() int                                  { return 0 }
func (o affineOf) name() string                                  { return "Affine" }
func (o affineOf) args() []arg                                   { return []arg{{name: "x", rank: o.Rank}} }
func (o affineOf) result() arg                                   { return arg{name: "y", rank: o.Rank} }
func (o affineOf) infer(in []tensor.Shape) (tensor.Shape, error) { return in[0], nil }
func (o affineOf) rule() []*term                                 { return []*term{apply(scale{o.Rank, o.Scale}, cotangent())} }
func (o affineOf) exec(c *Call) error {
	if c.double() {
		kernel.Map(slice[float64](c.dst), slice[float64](c.in[0]), 0, o.Scale, o.Shift)
	} else {
		kernel.Map(slice[float32](c.dst), slice[float32](c.in[0]), 0, o.Scale, o.Shift)
	}
	return nil
}

func init() {
	opset.Register(opset.Entry{Name: "Affine", Draw: func(r *rand.Rand) opset.Case {
		by, shift := float64(r.IntN(5)-2)/2, float64(r.IntN(3)-1)/4
		return opset.Case{
			Params: fmt.Sprint(by, shift), Inputs: []opset.Input{opset.Normal("x", 3, 4)},
			Build: func(in []*G.Node) (*G.Node, error) { return Affine(in[0], by, shift) },
			Want: func(in [][]float64) []float64 {
				y := make([]float64, len(in[0]))
				for i, x := range in[0] {
					y[i] = by*x + shift
				}
				return y
			},
			Terms: 2,
		}
	}})
}
