package reported

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"

	"github.com/pkg/errors"
	G "gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/convgrad/convgrad/ops"
	"github.com/convgrad/convgrad/verify"
)

// A Sound op is right, and has numbers that a checker may stumble over.
type Sound struct {
	What   string
	Inputs []verify.Input
	Build  verify.Build
}

// at draws given numbers, over and over.
func at(name string, values []float64, shape ...int) verify.Input {
	return verify.Input{Name: name, Shape: shape, Draw: func(_ *rand.Rand, v []float64) {
		for i := range v {
			v[i] = values[i%len(values)]
		}
	}}
}

// Hard is right ops with hard numbers.
func Hard() []Sound {
	var all []Sound
	add := func(what string, build verify.Build, in ...verify.Input) {
		all = append(all, Sound{what, in, build})
	}
	one := func(o def) verify.Build {
		return func(in []*G.Node) (*G.Node, error) { return o.Apply(in...) }
	}
	unary := func(f func(x *G.Node) (*G.Node, error)) verify.Build {
		return func(in []*G.Node) (*G.Node, error) { return f(in[0]) }
	}
	normal := func(shape ...int) verify.Input { return verify.Normal("x", shape...) }

	// Functions that overflow, underflow or saturate.
	for _, c := range []struct {
		name string
		f    func(x *G.Node) (*G.Node, error)
	}{
		{"exp", ops.Exp}, {"sigmoid", ops.Sigmoid}, {"softplus", ops.Softplus}, {"tanh", ops.Tanh}, {"SiLU", ops.SiLU}, {"GELU", ops.GELU},
		{"GELU by tanh", ops.GELUTanh}, {"hard sigmoid", ops.HardSigmoid}, {"hard swish", ops.HardSwish}, {"ReLU6", ops.ReLU6}, {"square", ops.Square},
		{"abs", ops.Abs}, {"ReLU", ops.ReLU},
	} {
		add(c.name, unary(c.f), normal(3, 4))
		add(c.name+" of −100 … 100", unary(c.f), verify.Uniform("x", -100, 100, 2, 3))
		add(c.name+" at its joints", unary(c.f), at("x", []float64{0, -3, 3, 1, -1, 6, 0.5}, 2, 4))
	}
	add("exp of −200 … 60", unary(ops.Exp), verify.Uniform("x", -200, 60, 2, 3))
	for what, o := range map[string]def{
		"sigmoid of one's own":  curve("sigmoid", sigmoid, func(x float64) float64 { return sigmoid(x) * sigmoid(-x) }),
		"softplus of one's own": curve("softplus", softplus, sigmoid),
		"exp of one's own":      curve("exp", math.Exp, math.Exp),
		"√ on (0, 1)":           curve("root", math.Sqrt, func(x float64) float64 { return 0.5 / math.Sqrt(x) }),
	} {
		in := normal(2, 3)
		if what == "√ on (0, 1)" {
			in = verify.Uniform("x", 0, 1, 2, 3)
		}
		add(what, one(o), in)
	}
	refuses := curve("root that refuses", math.Sqrt, func(x float64) float64 { return 0.5 / math.Sqrt(x) })
	add("√ on (0, 1), an error outside", func(in []*G.Node) (*G.Node, error) {
		o := refuses
		y := o.Y
		o.Y = func(c *call) []float64 {
			for _, v := range c.X[0] {
				if v < 0 {
					return nil // which is an error
				}
			}
			return y(c)
		}
		return o.Apply(in...)
	}, verify.Uniform("x", 0, 1, 2, 3))
	add("log on (0, 1)", unary(ops.Log), verify.Uniform("x", 0, 1, 2, 3))
	add("√ of ops on (0, 1)", unary(ops.Sqrt), verify.Uniform("x", 0, 1, 2, 3))
	add("√ near 0", unary(ops.Sqrt), at("x", []float64{1e-6, 1, 1e-3}, 3))
	add("1/x near 0", one(curve("inverse", func(x float64) float64 { return 1 / x }, func(x float64) float64 { return -1 / (x * x) })), verify.Uniform("x", 0.01, 1, 2, 3))
	add("x^1.5", one(curve("x^1.5", func(x float64) float64 { return math.Pow(x, 1.5) }, func(x float64) float64 { return 1.5 * math.Sqrt(x) })), verify.Uniform("x", 0, 2, 2, 3))
	add("atan of large numbers", one(curve("atan", math.Atan, func(x float64) float64 { return 1 / (1 + x*x) })), normal(2, 3))
	add("sin(50x)", one(curve("fast sine", func(x float64) float64 { return math.Sin(50 * x) }, func(x float64) float64 { return 50 * math.Cos(50*x) })), normal(2, 3))
	add("log(1 + x²)", one(curve("log", func(x float64) float64 { return math.Log1p(x * x) }, func(x float64) float64 { return 2 * x / (1 + x*x) })), normal(2, 3))

	// Smooth once, not twice.
	for what, o := range map[string]def{
		"squared ReLU": curve("squared ReLU", func(x float64) float64 { m := max(x, 0); return m * m }, func(x float64) float64 { return 2 * max(x, 0) }),
		"x·|x|":        curve("x·|x|", func(x float64) float64 { return x * math.Abs(x) }, func(x float64) float64 { return 2 * math.Abs(x) }),
		"ELU": curve("ELU", elu, func(x float64) float64 {
			if x > 0 {
				return 1
			}
			return math.Exp(x)
		}),
		"SELU": curve("SELU", selu, func(x float64) float64 {
			if x > 0 {
				return 1.05
			}
			return 1.05 * 1.67 * math.Exp(x)
		}),
		"Huber": curve("Huber", func(x float64) float64 {
			if math.Abs(x) <= 1 {
				return x * x / 2
			}
			return math.Abs(x) - 0.5
		}, func(x float64) float64 { return min(max(x, -1), 1) }),
		"a step of nothing": curve("floor", math.Floor, func(float64) float64 { return 0 }),
		"sign":              curve("sign", func(x float64) float64 { return step(x > 0) - step(x < 0) }, func(float64) float64 { return 0 }),
		"a fine quantiser":  curve("quantiser", func(x float64) float64 { return math.Round(x*1024) / 1024 }, func(float64) float64 { return 0 }),
	} {
		add(what, one(o), normal(3, 3))
		add(what+" at its joint", one(o), at("x", []float64{0, 1, -1, 2.5, -0.5}, 5))
	}
	add("ELU of ops at 0", func(in []*G.Node) (*G.Node, error) { return ops.ELU(in[0], 1.5) }, at("x", []float64{0, -2, 2}, 6))
	add("leaky ReLU at 0", func(in []*G.Node) (*G.Node, error) { return ops.LeakyReLU(in[0], 0.1) }, at("x", []float64{0, -2, 2}, 6))
	add("clamp at its borders", func(in []*G.Node) (*G.Node, error) { return ops.Clamp(in[0], -1, 1) }, at("x", []float64{-1, 1, 0, 3}, 8))

	// Kinks with any derivative between the one-sided ones.
	for _, d := range []float64{0, 0.5, 1} {
		add(fmt.Sprintf("ReLU with %v at 0", d), one(curve("ReLU", func(x float64) float64 { return max(x, 0) }, func(x float64) float64 { return step(x > 0) + d*step(x == 0) })), normal(3, 4))
	}
	for _, s := range []float64{0, 0.25, 1} {
		add(fmt.Sprintf("a maximum of two that shares a tie by %v", s), one(pairMax(func(bool) (float64, float64) { return s, 1 - s })(true)),
			verify.Integers("a", 2, 3, 4), verify.Integers("b", 2, 3, 4))
	}
	add("maximum of rows, integers", one(tiedMax(false)), verify.Integers("x", 2, 3, 4))
	add("maximum of ops along an axis, integers", func(in []*G.Node) (*G.Node, error) { return ops.Max(in[0], 1) }, verify.Integers("x", 2, 3, 4))
	add("sort with ties of three", one(sorted()), at("x", []float64{1, 1, 1, 0, 2, 2}, 2, 6))
	add("sort", one(sorted()), normal(2, 5))
	pool := ops.PoolParams{Window: ops.Both(2), Stride: ops.Both(1)}
	add("overlapping max pooling, integers", func(in []*G.Node) (*G.Node, error) { return ops.MaxPool2D(in[0], pool) }, verify.Integers("x", 2, 1, 2, 4, 4))
	add("overlapping max pooling", func(in []*G.Node) (*G.Node, error) { return ops.MaxPool2D(in[0], pool) }, normal(1, 2, 4, 5))
	add("median of three", one(median()), normal(3, 3))
	add("the angle of a point", one(angle()), verify.Normal("a", 2, 3), verify.Normal("b", 2, 3))

	// Softmax and its losses.
	soft := func(in []*G.Node) (*G.Node, error) { return ops.Softmax(in[0], 1) }
	add("softmax", soft, normal(3, 4))
	add("softmax ±500", soft, at("x", []float64{500, -500, 0, 499}, 2, 4))
	add("softmax of equal numbers", soft, at("x", []float64{7}, 2, 4))
	add("softmax of one column", soft, normal(4, 1))
	add("log-softmax of one's own", one(logSoftmax("")(false)), normal(3, 4))
	add("log-softmax ±500", one(logSoftmax("")(false)), at("x", []float64{500, -500, 0, 499}, 2, 4))
	add("log-sum-exp", one(logSumExp(false)), normal(3, 4))
	add("log-sum-exp ±500", one(logSumExp(false)), at("x", []float64{500, -500, 0, 499}, 2, 4))
	entropy := func(in []*G.Node) (*G.Node, error) {
		return ops.CrossEntropy(in[0], in[1], ops.CrossEntropyParams{})
	}
	add("cross-entropy", entropy, normal(3, 4), verify.Labels("labels", 4, 3))
	add("a confident cross-entropy", entropy, at("x", []float64{80, -20, 3, 1}, 3, 4), verify.Labels("labels", 1, 3))
	add("a confidently wrong cross-entropy", entropy, at("x", []float64{-80, 90, 3, 1}, 3, 4), verify.Labels("labels", 1, 3))
	add("cross-entropy of one's own, ignoring", one(crossEntropy("")(false)), normal(5, 4), verify.Labels("labels", 4, 5).Ignoring(-100))

	// Cancellation, and numbers far apart.
	add("(x−1)⁷ expanded", one(curve("(x−1)⁷", func(x float64) float64 {
		return ((((((x-7)*x+21)*x-35)*x+35)*x-21)*x+7)*x - 1
	}, func(x float64) float64 { return 7 * math.Pow(x-1, 6) })), verify.Uniform("x", 0.9, 1.1, 2, 3))
	add("a variance of 10⁴ … 10⁴ + 1", one(variance(nil)(false)), verify.Uniform("x", 1e4, 1e4+1, 3, 4))
	add("batch norm of 10⁴ … 10⁴ + 1", one(batchNorm("")(false)), verify.Uniform("x", 1e4, 1e4+1, 4, 3), verify.Normal("w", 3), verify.Normal("b", 3))
	add("a difference of squares", one(curve("x² − 1", func(x float64) float64 { return x*x - 1 }, func(x float64) float64 { return 2 * x })), verify.Uniform("x", 0.999, 1.001, 2, 3))
	add("10¹² + x", one(curve("shifted", func(x float64) float64 { return x + 1e5 }, func(float64) float64 { return 1 })), normal(2, 3))
	add("10⁻²⁰·x", one(curve("tiny", func(x float64) float64 { return 1e-20 * x }, func(float64) float64 { return 1e-20 })), normal(2, 3))
	add("10²⁰·x", one(curve("vast", func(x float64) float64 { return 1e20 * x }, func(float64) float64 { return 1e20 })), normal(2, 3))
	add("1e−38-sized products", one(product(false)), verify.Uniform("a", 1e-20, 2e-20, 2, 3), verify.Uniform("b", 1e-20, 2e-20, 2, 3))
	add("cumulative product with zeros", one(cumprod(false)(false)), at("x", []float64{2, 0, 3, 0, 1}, 2, 5))
	add("product of rows with a zero", one(rowProduct(false)), at("x", []float64{2, 0, 3}, 2, 3))

	// Norms at 0.
	add("norm of rows", one(lengths()), normal(3, 3))
	add("norm of rows of zeros", one(lengths()), at("x", []float64{0}, 2, 3))
	add("L2 pooling of zeros", func(in []*G.Node) (*G.Node, error) {
		return ops.L2Pool2D(in[0], ops.PoolParams{Window: ops.Both(2)})
	}, at("x", []float64{0, 0, 1, 0, 0, 0, 2, 1}, 1, 1, 4, 4))
	add("unit rows", one(unit(0.5, false)(false)), normal(3, 3))
	add("RMS norm of zeros", one(rmsNorm("")(false)), at("x", []float64{0}, 2, 3), verify.Normal("w", 3))
	add("layer norm of equal numbers", func(in []*G.Node) (*G.Node, error) { return ops.LayerNorm(in[0], in[1], in[2], 1, 1e-5) },
		at("x", []float64{3}, 2, 4), verify.Normal("w", 4), verify.Normal("b", 4))

	// Element types, layouts, missing halves.
	single, double := curve("single", math.Sin, math.Cos), curve("double", math.Sin, math.Cos)
	single.Only, double.Only = tensor.Float32, tensor.Float64
	add("float32 alone", one(single), normal(2, 3))
	add("float64 alone", one(double), normal(2, 3))
	add("a float64 constant inside", func(in []*G.Node) (*G.Node, error) {
		return G.HadamardProd(in[0], G.NewMatrix(in[0].Graph(), G.Float64, G.WithName("two"), G.WithShape(in[0].Shape()...), G.WithInit(G.Ones())))
	}, normal(2, 3))
	bare := curve("no DoDiff", math.Sin, math.Cos)
	bare.Bare = true
	add("an op without DoDiff", one(bare), normal(2, 3))
	add("Gorgonia's product of matrices, transposed", func(in []*G.Node) (*G.Node, error) {
		t, err := G.Transpose(in[1])
		if err != nil {
			return nil, err
		}
		return G.Mul(in[0], t)
	}, normal(2, 3), verify.Normal("w", 4, 3))
	add("Gorgonia's sum of squares", func(in []*G.Node) (*G.Node, error) {
		s, err := G.Square(in[0])
		if err != nil {
			return nil, err
		}
		return G.Sum(s)
	}, normal(2, 3))
	add("an input that is not looked at", one(def{Name: "first", Shape: func(in []tensor.Shape) (tensor.Shape, error) { return in[0].Clone(), nil },
		Y: func(c *call) []float64 { return slices.Clone(c.X[0]) },
		D: func(c *call) [][]float64 { return [][]float64{slices.Clone(c.DY), zeros(len(c.X[1]))} }}), normal(2, 3), verify.Normal("z", 4))
	add("a constant", one(def{Name: "three", Y: func(c *call) []float64 { return each(c.X[0], func(float64) float64 { return 3 }) },
		D: func(c *call) [][]float64 { return [][]float64{zeros(len(c.X[0]))} }}), normal(2, 3))
	add("one element", unary(ops.Tanh), normal(1))
	add("a convolution, one pixel", func(in []*G.Node) (*G.Node, error) { return ops.Conv2D(in[0], in[1], nil, ops.ConvParams{}) }, normal(1, 1, 1, 1), verify.Normal("w", 1, 1, 1, 1))
	add("a convolution by strides that leave rows unread", func(in []*G.Node) (*G.Node, error) {
		return ops.Conv2D(in[0], in[1], nil, ops.ConvParams{Stride: ops.Both(3)})
	}, normal(1, 2, 6, 5), verify.Normal("w", 2, 2, 2, 2))
	return all
}

// sorted sorts each row.
func sorted() def {
	order := func(x []float64) []int {
		at := make([]int, len(x))
		for i := range at {
			at[i] = i
		}
		slices.SortStableFunc(at, func(a, b int) int {
			switch {
			case x[a] < x[b]:
				return -1
			case x[a] > x[b]:
				return 1
			}
			return 0
		})
		return at
	}
	return def{
		Name:  "sort",
		Shape: func(in []tensor.Shape) (tensor.Shape, error) { return in[0].Clone(), ranks(2)(in) },
		Y: mapped(func(x, y []float64) {
			for i, k := range order(x) {
				y[i] = x[k]
			}
		}),
		D: func(c *call) [][]float64 {
			return [][]float64{along(c, func(x, _, dy, dx []float64) {
				for i, k := range order(x) {
					dx[k] = dy[i]
				}
			})}
		},
	}
}

func median() def {
	o := sorted()
	sort, back := o.Y, o.D
	o.Name = "median of three"
	o.Shape = func(in []tensor.Shape) (tensor.Shape, error) {
		if err := ranks(2)(in); err != nil || in[0][1] != 3 {
			return nil, errors.Errorf("x is %v", in[0])
		}
		return tensor.Shape{in[0][0]}, nil
	}
	o.Y = func(c *call) []float64 {
		var y []float64
		for i, v := range sort(c) {
			if i%3 == 1 {
				y = append(y, v)
			}
		}
		return y
	}
	o.D = func(c *call) [][]float64 {
		wide := *c
		wide.DY, wide.Y = zeros(len(c.X[0])), c.X[0]
		for i, v := range c.DY {
			wide.DY[3*i+1] = v
		}
		return back(&wide)
	}
	return o
}

// lengths are the norms of rows, with 0 for the derivative where a row is 0.
func lengths() def {
	return reduced("norm of rows", func(x []float64) float64 { return math.Sqrt(dot(x, x)) }, func(x []float64, i int) float64 {
		if n := math.Sqrt(dot(x, x)); n > 0 {
			return x[i] / n
		}
		return 0
	})
}

// angle is that of (b, a), which has no derivative, and jumps, where both are 0: there 0/0 is NaN.
func angle() def {
	return def{
		Name: "angle",
		Shape: func(in []tensor.Shape) (tensor.Shape, error) {
			if !in[0].Eq(in[1]) {
				return nil, errors.Errorf("a is %v, b %v", in[0], in[1])
			}
			return in[0], nil
		},
		Y: func(c *call) []float64 {
			y := zeros(len(c.X[0]))
			for i, a := range c.X[0] {
				y[i] = math.Atan2(a, c.X[1][i])
			}
			return y
		},
		D: func(c *call) [][]float64 {
			da, db := zeros(len(c.DY)), zeros(len(c.DY))
			for i, dy := range c.DY {
				a, b := c.X[0][i], c.X[1][i]
				da[i], db[i] = dy*b/(a*a+b*b), -dy*a/(a*a+b*b)
			}
			return [][]float64{da, db}
		},
	}
}
