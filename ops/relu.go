package ops

import (
	"math/rand/v2"

	G "gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/convgrad/convgrad/internal/kernel"
	"github.com/convgrad/convgrad/internal/opset"
)

// ReLU returns the node y = max(0, x), the article's activation f, for x of any rank. NaN stays
// NaN, and −0 becomes 0.
//
// Derivative: dx = dy where x > 0 and 0 elsewhere; at x = 0, where ReLU has none, it is taken as 0.
// Where x is NaN, dx is dy.
//
// ReLU returns an error if x is not a float node.
func ReLU(x *G.Node) (*G.Node, error) {
	if err := check("ReLU", float("x", -1, x)); err != nil {
		return nil, err
	}
	return node(relu{x.Dims()}, x)
}

type relu struct{ Rank int }

func (o relu) InPlace() int                                  { return 0 }
func (o relu) name() string                                  { return "ReLU" }
func (o relu) args() []arg                                   { return []arg{{name: "x", rank: o.Rank}} }
func (o relu) result() arg                                   { return arg{name: "y", rank: o.Rank} }
func (o relu) infer(in []tensor.Shape) (tensor.Shape, error) { return in[0], nil }
func (o relu) rule() []*term                                 { return []*term{apply(gate(o), cotangent(), out())} }

func (o relu) arrange(_ tensor.Dtype, in []bool, out bool) (spec, bool) {
	return o, everywhere(in, out)
}

func (o relu) exec(c *Call) error {
	if c.double() {
		kernel.ReLU(slice[float64](c.dst), slice[float64](c.in[0]))
	} else {
		kernel.ReLU(slice[float32](c.dst), slice[float32](c.in[0]))
	}
	return nil
}

// cutOff says whether a spec is a ReLU or a ReLU6, and whether it is the latter.
func cutOff(s spec) (cuts, six bool) {
	switch o := s.(type) {
	case relu:
		return true, false
	case activation:
		six = o.Order == 0 && o.Of.Func == kernel.ReLU6
	}
	return six, six
}

// gate is dx = dy where y > 0 and 0 elsewhere. It is linear in dy and constant in y almost
// everywhere.
type gate struct{ Rank int }

func (o gate) InPlace() int { return 0 }
func (o gate) name() string { return "ReLUBackward" }
func (o gate) args() []arg {
	return []arg{{name: "dy", rank: o.Rank}, {name: "y", rank: o.Rank}}
}
func (o gate) result() arg { return arg{name: "dx", rank: o.Rank} }
func (o gate) infer(in []tensor.Shape) (tensor.Shape, error) {
	return in[1], want("dy", in[0], in[1]...)
}
func (o gate) rule() []*term { return []*term{apply(o, cotangent(), in(1)), nil} }

func (o gate) exec(c *Call) error {
	if c.double() {
		kernel.Gate(slice[float64](c.dst), slice[float64](c.in[0]), slice[float64](c.in[1]))
	} else {
		kernel.Gate(slice[float32](c.dst), slice[float32](c.in[0]), slice[float32](c.in[1]))
	}
	return nil
}

func init() {
	opset.Register(opset.Entry{Name: "ReLU", Draw: func(r *rand.Rand) opset.Case {
		return opset.Case{
			Inputs: []opset.Input{opset.Distinct("x", 2+r.IntN(3), 5)}, PyTorch: "F.relu(x)",
			Build: func(in []*G.Node) (*G.Node, error) { return ReLU(in[0]) },
			Want: func(in [][]float64) []float64 {
				y := make([]float64, len(in[0]))
				for i, x := range in[0] {
					y[i] = max(x, 0)
				}
				return y
			},
		}
	}})
}

func init() {
	opset.Timed("ReLU", func() []opset.Case {
		var all []opset.Case
		for _, shape := range [][]int{{64, 6, 28, 28}, {16, 64, 56, 56}} {
			all = append(all, opset.Call("", "F.relu(x)", func(in []*G.Node) (*G.Node, error) {
				return ReLU(in[0])
			}, opset.Normal("x", shape...)))
		}
		return all
	})
}
