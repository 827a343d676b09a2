package ops

import (
	"github.com/pkg/errors"
	G "gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
	"math/rand/v2"

	"github.com/convgrad/convgrad/internal/opset"
)

// Flatten returns the node y of shape N×M with the elements of x, N×…, in their order: what stands
// between the last feature maps and a Linear layer. y is a copy: it never shares memory with x, so
// nothing that is done to y in place can reach x.
//
// Derivative: dx is dy in x's shape. NaN and infinities are copied like any number.
//
// Flatten returns an error if x is not a float node of rank 1 or more.
func Flatten(x *G.Node) (*G.Node, error) {
	if err := check("Flatten", float("x", -1, x)); err != nil {
		return nil, err
	}
	s := x.Shape()
	if len(s) == 0 {
		return nil, errors.New("ops: Flatten: x is a scalar, want rank 1 or more")
	}
	return node(reshape{From: sizeOf(s), To: sizeOf(tensor.Shape{s[0], volume(s[1:])})}, x)
}

type reshape struct{ From, To size }

func (o reshape) InPlace() int  { return 0 }
func (o reshape) name() string  { return "Flatten" }
func (o reshape) args() []arg   { return []arg{{name: "x", rank: o.From.rank}} }
func (o reshape) result() arg   { return arg{name: "y", rank: o.To.rank} }
func (o reshape) rule() []*term { return []*term{apply(reshape{From: o.To, To: o.From}, cotangent())} }
func (o reshape) infer(in []tensor.Shape) (tensor.Shape, error) {
	return o.To.shape(), want("x", in[0], o.From.shape()...)
}

func (o reshape) exec(c *Call) error {
	if c.double() {
		copy(slice[float64](c.dst), slice[float64](c.in[0]))
	} else {
		copy(slice[float32](c.dst), slice[float32](c.in[0]))
	}
	return nil
}

func init() {
	opset.Register(opset.Entry{Name: "Flatten", Draw: func(r *rand.Rand) opset.Case {
		shape := [][]int{{3, 4}, {2, 3, 4}, {2, 3, 2, 2}, {5}}[r.IntN(4)]
		return opset.Case{
			Inputs: []opset.Input{opset.Normal("x", shape...)},
			Build:  func(in []*G.Node) (*G.Node, error) { return Flatten(in[0]) },
			Want:   func(in [][]float64) []float64 { return in[0] },
		}
	}})
}
