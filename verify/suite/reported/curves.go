package reported

import (
	"math"
	"slices"

	"github.com/pkg/errors"
	G "gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/convgrad/convgrad/verify"
)

// curves are mistakes in elementwise functions, at their kinks, and in second order.
func curves() []Mistake {
	x := []verify.Input{verify.Normal("x", 2, 3)}
	two := []verify.Input{verify.Normal("a", 2, 3), verify.Normal("b", 2, 3)}
	one := func(kind, report, what string, sight Sight, f, right, wrong func(x float64) float64, hints ...string) Mistake {
		return Mistake{Kind: kind, Report: report, What: what, Inputs: x, Seen: sight, Hints: hints, op: func(bad bool) def {
			if bad {
				return curve(what, f, wrong)
			}
			return curve(what, f, right)
		}}
	}
	sign := func(x float64) float64 { return math.Copysign(step(x != 0), x) }
	return []Mistake{
		one("a forgotten factor", "Mooncake.jl#1195", "|x|·sign(y): the factor sign(x) is left out", AtOneShape, math.Abs, sign, func(float64) float64 { return 1 }),
		one("a forgotten factor", "micrograd#100", "log(1 + x²): the inner derivative 2x is left out", AtOneShape,
			func(x float64) float64 { return math.Log1p(x * x) }, func(x float64) float64 { return 2 * x / (1 + x*x) }, func(x float64) float64 { return 1 / (1 + x*x) }),
		one("a forgotten factor", "pytorch/tutorials#970", "3(x+2)²: a quarter of the derivative", AtOneShape,
			func(x float64) float64 { return 3 * (x + 2) * (x + 2) }, func(x float64) float64 { return 6 * (x + 2) }, func(x float64) float64 { return 1.5 * (x + 2) }, "a constant factor of 1/4", "a constant factor"),
		one("a wrong sign", "HIPS/autograd#412", "−x²/2: the sign of the derivative", AtOneShape,
			func(x float64) float64 { return -x * x / 2 }, func(x float64) float64 { return -x }, func(x float64) float64 { return x }, "the sign is wrong"),
		one("a wrong argument", "swift-apis#743", "x·relu6(x+3)/6: the mask is that of x, not of x + 3", AtOneShape, hardSwish, hardSwishSlope,
			func(x float64) float64 { return (min(max(x+3, 0), 6) + x*step(x > 0 && x < 6)) / 6 }),
		one("a wrong branch", "backpack#76", "SELU: the branches are exchanged", AtOneShape, selu,
			func(x float64) float64 {
				if x > 0 {
					return 1.05
				}
				return 1.05 * 1.67 * math.Exp(x)
			}, func(x float64) float64 {
				if x < 0 {
					return 1.05
				}
				return 1.05 * 1.67 * math.Exp(x)
			}),
		one("a wrong argument", "DeepCL#46", "ELU: x + 1 for y + 1 where x < 0", AtOneShape, elu,
			func(x float64) float64 {
				if x > 0 {
					return 1
				}
				return math.Exp(x)
			}, func(x float64) float64 {
				if x > 0 {
					return 1
				}
				return x + 1
			}),
		one("∞/∞", "burn#5373", "softplus: eˣ/(1 + eˣ) is NaN where eˣ overflows", ByVarying, softplus, sigmoid,
			func(x float64) float64 { e := math.Exp(x); return e / (1 + e) }, "NaN"),
		one("∞/∞", "snntorch#433", "sigmoid: e⁻ˣ/(1 + e⁻ˣ)² is NaN where e⁻ˣ overflows", ByVarying, sigmoid,
			func(x float64) float64 { return sigmoid(x) * sigmoid(-x) },
			func(x float64) float64 { e := math.Exp(-x); return e / ((1 + e) * (1 + e)) }, "NaN"),
		one("∞/∞", "dynet#1525", "tanh by exponentials of 8x: NaN beyond x = 44", ByVarying, func(x float64) float64 { return math.Tanh(8 * x) },
			func(x float64) float64 { c := 1 / math.Cosh(8*x); return 8 * c * c },
			func(x float64) float64 { a, b := math.Exp(16*x), math.Exp(16*x)+1; return 8 * 4 * a / (b * b) }, "NaN"),
		one("a negative base", "tt-metal#54440", "x³ by 3·exp(2·log x): no number where x < 0", AtOneShape,
			func(x float64) float64 { return x * x * x }, func(x float64) float64 { return 3 * x * x }, func(x float64) float64 { return 3 * math.Exp(2*math.Log(x)) }, "NaN", "only at", "only in"),
		one("division by zero", "MetaPhysicL#49", "x²: 2·x²/x is NaN at 0", ByVarying,
			func(x float64) float64 { return x * x }, func(x float64) float64 { return 2 * x }, func(x float64) float64 { return 2 * (x * x) / x }, "NaN"),
		one("division by zero", "pytorch#53989", "sin(x)/x: 0/0 at 0", ByVarying, sinc, func(x float64) float64 {
			if x == 0 {
				return 0
			}
			return (math.Cos(x) - sinc(x)) / x
		}, func(x float64) float64 { return (math.Cos(x) - sinc(x)) / x }, "NaN"),
		one("a kink", "pytorch#185831", "max(x, 0): the whole of dy at 0, sevenfold", ByVarying,
			func(x float64) float64 { return max(x, 0) }, func(x float64) float64 { return step(x > 0) }, func(x float64) float64 { return step(x > 0) + 7*step(x == 0) }, "a kink"),
		one("a kink", "fsrs-rs#416", "clamp to [−1, 1]: −dy at the borders", ByVarying,
			func(x float64) float64 { return min(max(x, -1), 1) }, func(x float64) float64 { return step(math.Abs(x) <= 1) },
			func(x float64) float64 { return step(math.Abs(x) < 1) - step(math.Abs(x) == 1) }, "a kink"),
		one("a kink", "pytorch#6394", "|x| as √(x²): 0/0 at 0", ByVarying, math.Abs, sign, func(x float64) float64 { return x / math.Sqrt(x*x) }, "NaN"),
		one("a kink", "pytorch#7049", "max(|x|, 1): 5·dy at the borders", ByVarying, func(x float64) float64 { return max(math.Abs(x), 1) },
			func(x float64) float64 { return sign(x) * step(math.Abs(x) >= 1) }, func(x float64) float64 { return sign(x) * (step(math.Abs(x) > 1) + 5*step(math.Abs(x) == 1)) }, "a kink"),
		{Kind: "ties of a maximum", Report: "slang#6411", What: "at a tie both operands of max get all of dy", Inputs: two, Seen: ByVarying, op: pairMax(func(tie bool) (a, b float64) { return 1, 1 })},
		{Kind: "ties of a maximum", Report: "pytorch#76522", What: "at a tie neither operand of max gets anything", Inputs: two, Seen: ByVarying, op: pairMax(func(tie bool) (a, b float64) { return 0, 0 })},
		{Kind: "ties of a maximum", Report: "CrypTen#90", What: "every element that is the maximum of its row gets all of dy", Hints: []string{"a kink"}, Inputs: []verify.Input{verify.Integers("x", 2, 3, 4)}, Seen: AtOneShape, op: tiedMax},
		{Kind: "second order", Report: "pytorch#80926", What: "the derivative of tanh's derivative forgets the factor 2", Inputs: []verify.Input{verify.Normal("x", 2, 2)}, Seen: AtOneShape,
			Hints: []string{"a constant factor"}, op: twice("tanh", math.Tanh, tanhSlope, func(x float64) float64 { return -2 * math.Tanh(x) * tanhSlope(x) }, func(x float64) float64 { return -math.Tanh(x) * tanhSlope(x) }, false)},
		{Kind: "second order", Report: "minpy#155", What: "the derivative of the derivative is 0", Inputs: []verify.Input{verify.Normal("x", 2, 2)}, Seen: AtOneShape,
			Hints: []string{"zero everywhere"}, op: twice("cube", func(x float64) float64 { return x * x * x }, func(x float64) float64 { return 3 * x * x }, func(x float64) float64 { return 6 * x }, func(x float64) float64 { return 0 }, false)},
		{Kind: "second order", Report: "pytorch#59477", What: "the derivative of the gradient by dy is 1, not f′", Inputs: []verify.Input{verify.Normal("x", 2, 2)}, Seen: AtOneShape,
			op: twice("softplus", softplus, sigmoid, func(x float64) float64 { return sigmoid(x) * sigmoid(-x) }, nil, true)},
		{Kind: "second order", Report: "pytorch#33999", What: "the sign of the derivative of the derivative", Inputs: []verify.Input{verify.Normal("x", 1, 1)}, Seen: AtOneShape,
			Hints: []string{"the sign is wrong", "a constant factor"}, op: twice("sine", math.Sin, math.Cos, func(x float64) float64 { return -math.Sin(x) }, math.Sin, false)},
		{Kind: "a negative base", Report: "tfjs#346", What: "aᵇ: the exponent's gradient aᵇ·log a is NaN at a = 0", Inputs: []verify.Input{verify.Uniform("a", 0, 4, 2, 3), verify.Uniform("b", 1, 3, 2, 3)}, Seen: ByVarying,
			Hints: []string{"NaN"}, op: powers},
		one("at zero alone", "tinygrad#17861", "erf as sign(x)·f(|x|): the gradient is 0 at 0", ByVarying, math.Erf,
			func(x float64) float64 { return 2 / math.SqrtPi * math.Exp(-x*x) },
			func(x float64) float64 { return step(x != 0) * 2 / math.SqrtPi * math.Exp(-x*x) }, "zero everywhere"),
		one("∞/∞", "tt-metal#56397", "softplus: eˣ·1/(1 + eˣ) is 0 once eˣ overflows, here from x = 88 on", ByVarying, softplus, sigmoid,
			func(x float64) float64 { return sigmoid(x) * step(x < 88) }, "only at index"),
		{Kind: "dy twice", Report: "nx#1779", What: "clipping: the mask has dy in it, and is multiplied by dy", Inputs: []verify.Input{verify.Normal("x", 2, 3)}, Seen: AtOneShape,
			Hints: []string{"not linear in dy"}, op: func(wrong bool) def {
				o := curve("clip", func(x float64) float64 { return min(max(x, -2), 2) }, func(x float64) float64 { return step(math.Abs(x) < 2) })
				if right := o.D; wrong {
					o.D = func(c *call) [][]float64 {
						d := right(c)
						for i := range d[0] {
							d[0][i] *= c.DY[i]
						}
						return d
					}
				}
				return o
			}},
		{Kind: "a product's operands", Report: "d2l-en#2487", What: "the gradient of a·b by a is a", Inputs: two, Seen: AtOneShape, op: product},
		{Kind: "1/p for 1/(1−p)", Report: "apex#816", What: "what dropout keeps is scaled by 1/p in the backward pass, p = ¼", Inputs: []verify.Input{verify.Normal("x", 3, 4)}, Seen: AtOneShape,
			Hints: []string{"a constant factor", "only at index"}, op: masked(0.25, func(x, m float64) float64 { return m / 0.25 })},
		{Kind: "1/p for 1/(1−p)", Report: "gorgonia#69", What: "the same at p = ½, where the two are equal", Inputs: []verify.Input{verify.Normal("x", 3, 4)}, Seen: Never,
			Why: "the probability is a number inside of the op", op: masked(0.5, func(x, m float64) float64 { return m / 0.5 })},
		{Kind: "a mask read off the values", Report: "kaldi#3890", What: "where x is 0 the mask is taken to be 1", Hints: []string{"it should be zero everywhere"}, Inputs: []verify.Input{verify.Normal("x", 3, 4)}, Seen: ByVarying, op: masked(0.25, func(x, m float64) float64 {
			if x == 0 {
				return 1
			}
			return m / 0.75
		})},
	}
}

func step(yes bool) float64 {
	if yes {
		return 1
	}
	return 0
}

func sinc(x float64) float64 {
	if x == 0 {
		return 1
	}
	return math.Sin(x) / x
}

func sigmoid(x float64) float64 {
	if x < 0 {
		e := math.Exp(x)
		return e / (1 + e)
	}
	return 1 / (1 + math.Exp(-x))
}

func softplus(x float64) float64 { return max(x, 0) + math.Log1p(math.Exp(-math.Abs(x))) }

func tanhSlope(x float64) float64 { c := 1 / math.Cosh(x); return c * c }

func hardSwish(x float64) float64 { return x * min(max(x+3, 0), 6) / 6 }
func hardSwishSlope(x float64) float64 {
	return (min(max(x+3, 0), 6) + x*step(x > -3 && x < 3)) / 6
}

func elu(x float64) float64 {
	if x > 0 {
		return x
	}
	return math.Expm1(x)
}

func selu(x float64) float64 {
	if x > 0 {
		return 1.05 * x
	}
	return 1.05 * 1.67 * math.Expm1(x)
}

func alike(in []tensor.Shape) (tensor.Shape, error) {
	for _, s := range in[1:] {
		if !s.Eq(in[0]) {
			return nil, errors.Errorf("operands %v", in)
		}
	}
	return in[0].Clone(), nil
}

// pairMax is the elementwise maximum. At a tie the right rule halves dy.
func pairMax(tie func(bool) (a, b float64)) func(wrong bool) def {
	return func(wrong bool) def {
		return def{
			Name: "max of two", Shape: alike,
			Y: func(c *call) []float64 {
				y := zeros(len(c.X[0]))
				for i, v := range c.X[0] {
					y[i] = max(v, c.X[1][i])
				}
				return y
			},
			D: func(c *call) [][]float64 {
				a, b := zeros(len(c.DY)), zeros(len(c.DY))
				for i, v := range c.DY {
					sa, sb := step(c.X[0][i] > c.X[1][i]), step(c.X[0][i] < c.X[1][i])
					if sa == sb {
						if sa, sb = 0.5, 0.5; wrong {
							sa, sb = tie(true)
						}
					}
					a[i], b[i] = sa*v, sb*v
				}
				return [][]float64{a, b}
			},
		}
	}
}

func tiedMax(wrong bool) def {
	o := rowMax()
	o.D = func(c *call) [][]float64 {
		m := c.In[0][1]
		dx := zeros(len(c.X[0]))
		for i, v := range c.DY {
			row := c.X[0][i*m:][:m]
			for j := range row {
				if row[j] == slices.Max(row) {
					if dx[i*m+j] = v; !wrong {
						break
					}
				}
			}
		}
		return [][]float64{dx}
	}
	return o
}

// twice is an elementwise op whose gradient is an op with a derivative of its own.
func twice(name string, f, slope, bend, badBend func(x float64) float64, badDy bool) func(wrong bool) def {
	return func(wrong bool) def {
		first := def{
			Name: name + "'", Shape: alike,
			Y: func(c *call) []float64 {
				y := each(c.X[0], slope)
				for i := range y {
					y[i] *= c.X[1][i]
				}
				return y
			},
			D: func(c *call) [][]float64 {
				bend := bend
				if wrong && badBend != nil {
					bend = badBend
				}
				a, b := each(c.X[0], bend), each(c.X[0], slope)
				for i, v := range c.DY {
					a[i] *= v * c.X[1][i]
					if wrong && badDy {
						b[i] = 1
					}
					b[i] *= v
				}
				return [][]float64{a, b}
			},
		}
		o := curve(name, f, slope)
		o.Rule = func(in G.Nodes, _, dy *G.Node) (G.Nodes, error) {
			n, err := first.Apply(in[0], dy)
			return G.Nodes{n}, err
		}
		return o
	}
}

func powers(wrong bool) def {
	return def{
		Name: "power", Shape: alike,
		Y: func(c *call) []float64 {
			y := zeros(len(c.X[0]))
			for i, a := range c.X[0] {
				y[i] = math.Pow(a, c.X[1][i])
			}
			return y
		},
		D: func(c *call) [][]float64 {
			da, db := zeros(len(c.DY)), zeros(len(c.DY))
			for i, v := range c.DY {
				a, b := c.X[0][i], c.X[1][i]
				da[i] = v * b * math.Pow(a, b-1)
				if db[i] = v * math.Pow(a, b) * math.Log(a); a == 0 && !wrong {
					db[i] = 0
				}
			}
			return [][]float64{da, db}
		},
	}
}

func product(wrong bool) def {
	return def{
		Name: "product", Shape: alike,
		Y: func(c *call) []float64 {
			y := slices.Clone(c.X[0])
			for i := range y {
				y[i] *= c.X[1][i]
			}
			return y
		},
		D: func(c *call) [][]float64 {
			a, b := zeros(len(c.DY)), zeros(len(c.DY))
			for i, v := range c.DY {
				a[i], b[i] = v*c.X[1][i], v*c.X[0][i]
				if wrong {
					a[i] = v * c.X[0][i]
				}
			}
			return [][]float64{a, b}
		},
	}
}

// masked is dropout with a mask that depends on the place alone.
func masked(p float64, bad func(x, m float64) float64) func(wrong bool) def {
	keep := func(i int) float64 { return step(i*7%5 != 0 && i%3 != 1) }
	return func(wrong bool) def {
		return def{
			Name: "dropout",
			Y: func(c *call) []float64 {
				y := slices.Clone(c.X[0])
				for i := range y {
					y[i] *= keep(i) / (1 - p)
				}
				return y
			},
			D: func(c *call) [][]float64 {
				dx := slices.Clone(c.DY)
				for i := range dx {
					if wrong {
						dx[i] *= bad(c.X[0][i], keep(i))
					} else {
						dx[i] *= keep(i) / (1 - p)
					}
				}
				return [][]float64{dx}
			},
		}
	}
}
