package ops

import (
	"math"
	"math/rand/v2"

	"github.com/pkg/errors"
	G "gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/convgrad/convgrad/internal/kernel"
	"github.com/convgrad/convgrad/internal/opset"
)

// The activations below are applied to each element of x by itself. For all of them:
//
//   - x has any rank and float elements, and y has its shape;
//   - dx = dy·f′(x), and derivatives of second order exist wherever f″ does;
//   - values come from forms that neither overflow nor cancel, and are within four units in the
//     last place, of GELU ten; where terms of either sign are added, as in the derivatives of SiLU
//     and GELU, of the larger term; of GELUTanh times 1 + 2|u|, u being the argument of its tanh;
//   - NaN stays NaN; at ±∞ f and f′ are their limits, but SiLU and GELU of −∞ are NaN, as in
//     PyTorch;
//   - the error says that x is not a float node, or which parameter is wrong.

// Sigmoid returns the node σ(x) = 1/(1 + e⁻ˣ). Derivative: σ′ = σ·(1 − σ).
func Sigmoid(x *G.Node) (*G.Node, error) { return activate(kernel.Activation{Func: kernel.Sigmoid}, x) }

// Tanh returns the node tanh x. Derivative: 1 − tanh²x.
func Tanh(x *G.Node) (*G.Node, error) { return activate(kernel.Activation{Func: kernel.Tanh}, x) }

// Softplus returns the node log(1 + eˣ), which is x where eˣ overflows. Derivative: σ(x).
func Softplus(x *G.Node) (*G.Node, error) {
	return activate(kernel.Activation{Func: kernel.Softplus}, x)
}

// SiLU returns the node x·σ(x), also called Swish. Derivative: σ(x) + x·σ′(x).
func SiLU(x *G.Node) (*G.Node, error) { return activate(kernel.Activation{Func: kernel.SiLU}, x) }

// GELU returns the node x·Φ(x), Φ being the distribution function of the standard normal
// distribution: PyTorch's and ONNX's default form. Derivative: Φ(x) + x·φ(x).
func GELU(x *G.Node) (*G.Node, error) { return activate(kernel.Activation{Func: kernel.GELU}, x) }

// GELUTanh returns the node x·(1 + tanh(√(2/π)·(x + 0.044715·x³)))/2, an approximation of GELU that
// some networks are trained with. The derivative is that of this very function.
func GELUTanh(x *G.Node) (*G.Node, error) {
	return activate(kernel.Activation{Func: kernel.GELUTanh}, x)
}

// HardSigmoid returns the node min(max(x + 3, 0), 6)/6. Derivative: ⅙ for −3 < x < 3, elsewhere 0.
func HardSigmoid(x *G.Node) (*G.Node, error) {
	return activate(kernel.Activation{Func: kernel.HardSigmoid}, x)
}

// HardSwish returns the node x·min(max(x + 3, 0), 6)/6. Derivative: x/3 + ½ for −3 < x < 3; below
// that 0 and above it 1, at −3 and 3 too.
func HardSwish(x *G.Node) (*G.Node, error) {
	return activate(kernel.Activation{Func: kernel.HardSwish}, x)
}

// ReLU6 returns the node min(max(x, 0), 6). Derivative: 1 for 0 < x < 6, elsewhere 0; dy where x is
// NaN.
func ReLU6(x *G.Node) (*G.Node, error) { return activate(kernel.Activation{Func: kernel.ReLU6}, x) }

// Exp returns the node eˣ. Derivative: eˣ.
func Exp(x *G.Node) (*G.Node, error) { return activate(kernel.Activation{Func: kernel.Exp}, x) }

// Log returns the node log x: NaN below 0 and −∞ at 0. Derivative: 1/x.
func Log(x *G.Node) (*G.Node, error) { return activate(kernel.Activation{Func: kernel.Log}, x) }

// Sqrt returns the node √x: NaN below 0. Derivative: 1/(2√x), which is +∞ at 0.
func Sqrt(x *G.Node) (*G.Node, error) { return activate(kernel.Activation{Func: kernel.Sqrt}, x) }

// Square returns the node x². Derivative: 2x.
func Square(x *G.Node) (*G.Node, error) { return activate(kernel.Activation{Func: kernel.Square}, x) }

// Abs returns the node |x|. Derivative: −1 below 0, 1 above, and 0 at 0, where |x| has none.
func Abs(x *G.Node) (*G.Node, error) { return activate(kernel.Activation{Func: kernel.Abs}, x) }

// LeakyReLU returns the node that is x where x > 0 and slope·x elsewhere. Derivative: 1 where x > 0
// and slope elsewhere, at 0 too. slope must be finite.
func LeakyReLU(x *G.Node, slope float64) (*G.Node, error) {
	if !finite(slope) {
		return nil, errors.Errorf("ops: LeakyReLU: slope is %v, want a finite number", slope)
	}
	return activate(kernel.Activation{Func: kernel.LeakyReLU, A: slope}, x)
}

// ELU returns the node that is x where x > 0 and alpha·(eˣ − 1) elsewhere. Derivative: 1 where
// x > 0 and alpha·eˣ elsewhere, at 0 too. alpha must be finite.
func ELU(x *G.Node, alpha float64) (*G.Node, error) {
	if !finite(alpha) {
		return nil, errors.Errorf("ops: ELU: alpha is %v, want a finite number", alpha)
	}
	return activate(kernel.Activation{Func: kernel.ELU, A: alpha}, x)
}

// Clamp returns the node that is lo where x < lo, hi where x > hi, and x elsewhere. Derivative: 1
// for lo < x < hi, elsewhere 0, at lo and at hi too, as in PyTorch 2.15 (older ones have 1 there).
// lo and hi may be infinite, but not NaN. Where lo is greater than hi, y is hi and the derivative
// 0.
func Clamp(x *G.Node, lo, hi float64) (*G.Node, error) {
	if math.IsNaN(lo) || math.IsNaN(hi) {
		return nil, errors.Errorf("ops: Clamp: the limits are %v and %v, want numbers", lo, hi)
	}
	return activate(kernel.Activation{Func: kernel.Clamp, A: lo, B: hi}, x)
}

func finite(v float64) bool { return !math.IsNaN(v) && !math.IsInf(v, 0) }

func activate(of kernel.Activation, x *G.Node) (*G.Node, error) {
	if err := check(of.Func.String(), float("x", -1, x)); err != nil {
		return nil, err
	}
	return node(activation{Rank: x.Dims(), Of: of}, x)
}

// activation is y = f⁽ᵒʳᵈᵉʳ⁾(x), the function of order 0 or its second derivative, of order 2.
type activation struct {
	Rank, Order int
	Of          kernel.Activation
}

func (o activation) InPlace() int { return 0 }
func (o activation) name() string {
	return o.Of.Func.String() + map[int]string{0: "", 2: "Second"}[o.Order]
}
func (o activation) args() []arg                                   { return []arg{{name: "x", rank: o.Rank}} }
func (o activation) result() arg                                   { return arg{name: "y", rank: o.Rank} }
func (o activation) infer(in []tensor.Shape) (tensor.Shape, error) { return in[0], nil }

func (o activation) arrange(_ tensor.Dtype, in []bool, out bool) (spec, bool) {
	return o, everywhere(in, out)
}

// rule is dx = dy·f′(x). Third derivatives are not offered. ReLU6 has the same derivative at y as
// at x, and x need not be kept.
func (o activation) rule() []*term {
	if o.Order > 0 {
		return []*term{nil}
	}
	if o.Of.Func == kernel.ReLU6 {
		return []*term{apply(activationBackward{o.Rank, o.Of}, cotangent(), out())}
	}
	return []*term{apply(activationBackward{o.Rank, o.Of}, cotangent(), in(0))}
}

func (o activation) exec(c *Call) error {
	if c.double() {
		kernel.Activate(o.Of, o.Order, slice[float64](c.dst), slice[float64](c.in[0]))
	} else {
		kernel.Activate(o.Of, o.Order, slice[float32](c.dst), slice[float32](c.in[0]))
	}
	return nil
}

// activationBackward is dx = dy·f′(x).
type activationBackward struct {
	Rank int
	Of   kernel.Activation
}

func (o activationBackward) InPlace() int { return 0 }
func (o activationBackward) name() string { return o.Of.Func.String() + "Backward" }
func (o activationBackward) args() []arg {
	return []arg{{name: "dy", rank: o.Rank}, {name: "x", rank: o.Rank}}
}
func (o activationBackward) result() arg { return arg{name: "dx", rank: o.Rank} }
func (o activationBackward) infer(in []tensor.Shape) (tensor.Shape, error) {
	return in[1], want("dy", in[0], in[1]...)
}

// rule: the op is linear in dy; its derivative by x is dy·f″(x), and there is none where f is
// linear piece by piece.
func (o activationBackward) rule() []*term {
	byCotangent := apply(o, cotangent(), in(1))
	if o.Of.Func.PiecewiseLinear() {
		return []*term{byCotangent, nil}
	}
	times := product{o.Rank}
	return []*term{byCotangent, apply(times, cotangent(), apply(times, in(0), apply(activation{o.Rank, 2, o.Of}, in(1))))}
}

func (o activationBackward) exec(c *Call) error {
	if c.double() {
		kernel.ActivateBackward(o.Of, slice[float64](c.dst), slice[float64](c.in[0]), slice[float64](c.in[1]))
	} else {
		kernel.ActivateBackward(o.Of, slice[float32](c.dst), slice[float32](c.in[0]), slice[float32](c.in[1]))
	}
	return nil
}

func init() {
	type call struct {
		name, torch string
		lo          float64 // of x
		op          func(x *G.Node) (*G.Node, error)
		f           func(x float64) float64
	}
	with := func(op func(*G.Node, float64) (*G.Node, error), v float64) func(*G.Node) (*G.Node, error) {
		return func(x *G.Node) (*G.Node, error) { return op(x, v) }
	}
	for _, c := range []call{
		{"Sigmoid", "torch.sigmoid(x)", -4, Sigmoid, func(x float64) float64 { return 1 / (1 + math.Exp(-x)) }},
		{"Tanh", "torch.tanh(x)", -4, Tanh, math.Tanh},
		{"Softplus", "F.softplus(x)", -4, Softplus, func(x float64) float64 { return math.Log(1 + math.Exp(x)) }},
		{"SiLU", "F.silu(x)", -4, SiLU, func(x float64) float64 { return x / (1 + math.Exp(-x)) }},
		{"GELU", "F.gelu(x)", -4, GELU, func(x float64) float64 { return x * (1 + math.Erf(x/math.Sqrt2)) / 2 }},
		{"GELUTanh", "F.gelu(x, approximate='tanh')", -4, GELUTanh, func(x float64) float64 {
			return x * (1 + math.Tanh(math.Sqrt(2/math.Pi)*(x+0.044715*x*x*x))) / 2
		}},
		{"HardSigmoid", "F.hardsigmoid(x)", -4, HardSigmoid, func(x float64) float64 { return min(max(x+3, 0), 6) / 6 }},
		{"HardSwish", "F.hardswish(x)", -4, HardSwish, func(x float64) float64 { return x * min(max(x+3, 0), 6) / 6 }},
		{"ReLU6", "F.relu6(x)", -8, ReLU6, func(x float64) float64 { return min(max(x, 0), 6) }},
		{"Exp", "torch.exp(x)", -4, Exp, math.Exp},
		{"Log", "torch.log(x)", 0.25, Log, math.Log},
		{"Sqrt", "torch.sqrt(x)", 0.25, Sqrt, math.Sqrt},
		{"Square", "torch.square(x)", -4, Square, func(x float64) float64 { return x * x }},
		{"Abs", "torch.abs(x)", -4, Abs, math.Abs},
		{"LeakyReLU", "F.leaky_relu(x, 0.125)", -4, with(LeakyReLU, 0.125), func(x float64) float64 { return max(x, x/8) }},
		{"ELU", "F.elu(x, 1.5)", -4, with(ELU, 1.5), func(x float64) float64 {
			if x > 0 {
				return x
			}
			return 1.5 * (math.Exp(x) - 1)
		}},
		{"Clamp", "torch.clamp(x, -1, 2)", -4, func(x *G.Node) (*G.Node, error) { return Clamp(x, -1, 2) },
			func(x float64) float64 { return min(max(x, -1), 2) }},
	} {
		at := func(shape ...int) opset.Case {
			return opset.Case{
				// Halfway between odd thirty-seconds: no element lies on a kink.
				Inputs: []opset.Input{{Name: "x", Shape: shape, Draw: func(r *rand.Rand, v []float64) {
					for i := range v {
						v[i] = c.lo + math.Floor(r.Float64()*(-2*c.lo+4)*16)/16 + 1.0/32
					}
				}}},
				Build: func(in []*G.Node) (*G.Node, error) { return c.op(in[0]) },
				Want: func(in [][]float64) []float64 {
					y := make([]float64, len(in[0]))
					for i, x := range in[0] {
						y[i] = c.f(x)
					}
					return y
				},
				Terms:   16, // steps of an exponential's argument and of the sums around it
				PyTorch: c.torch,
			}
		}
		opset.Register(opset.Entry{
			Name: c.name,
			Draw: func(r *rand.Rand) opset.Case { return at([][]int{{7}, {2, 5}, {2, 3, 2, 2}}[r.IntN(3)]...) },
		})
		opset.Timed(c.name, func() []opset.Case {
			return []opset.Case{at(64, 6, 28, 28), at(16, 64, 56, 56)}
		})
	}
}
