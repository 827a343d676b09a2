package operators

import (
	"math"

	"github.com/pkg/errors"
	G "gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/convgrad/convgrad/internal/onnx"
	"github.com/convgrad/convgrad/ops"
)

// unary is an operator of one operand without attributes.
func unary(f func(x *G.Node) (*G.Node, error)) operator {
	return func(c *call) ([]Value, error) {
		if err := c.operands(1, 1); err != nil {
			return nil, err
		}
		x, err := c.x(0)
		if err != nil {
			return nil, err
		}
		return one(f(x))
	}
}

// elementwise are the operators that go by elements, or by elements that are repeated.
var elementwise = map[string]operator{
	"Relu": unary(ops.ReLU), "Sigmoid": unary(ops.Sigmoid), "Tanh": unary(ops.Tanh),
	"Softplus": unary(ops.Softplus), "HardSwish": unary(ops.HardSwish), "Exp": unary(ops.Exp),
	"Log": unary(ops.Log), "Sqrt": unary(ops.Sqrt), "Abs": unary(ops.Abs),
	"Neg": unary(func(x *G.Node) (*G.Node, error) { return ops.Affine(x, -1, 0) }),
	"Mish": unary(func(x *G.Node) (*G.Node, error) {
		var t ops.Try
		y := t.Do(ops.Mul(x, t.Do(ops.Tanh(t.Do(ops.Softplus(x))))))
		return y, t.Err()
	}),
	"Softsign": unary(func(x *G.Node) (*G.Node, error) {
		var t ops.Try
		y := t.Do(ops.Div(x, t.Do(ops.Affine(t.Do(ops.Abs(x)), 1, 1))))
		return y, t.Err()
	}),
	"Reciprocal": func(c *call) ([]Value, error) {
		return c.unaryWith(func(x *G.Node) (*G.Node, error) {
			one, err := c.env.leaf(&Constant{Floats: []float64{1}})
			if err != nil {
				return nil, err
			}
			return ops.Div(one, x)
		})
	},
	"LeakyRelu": func(c *call) ([]Value, error) {
		return c.unaryWith(func(x *G.Node) (*G.Node, error) { return ops.LeakyReLU(x, c.float("alpha", 0.01)) })
	},
	"Elu": func(c *call) ([]Value, error) {
		return c.unaryWith(func(x *G.Node) (*G.Node, error) { return ops.ELU(x, c.float("alpha", 1)) })
	},
	"Celu": func(c *call) ([]Value, error) { // α·elu(x/α)
		alpha := c.float("alpha", 1)
		return c.unaryWith(func(x *G.Node) (*G.Node, error) {
			var t ops.Try
			y := t.Do(ops.Affine(t.Do(ops.ELU(t.Do(ops.Affine(x, 1/alpha, 0)), 1)), alpha, 0))
			return y, t.Err()
		})
	},
	"Selu": func(c *call) ([]Value, error) {
		alpha, gamma := c.float("alpha", 1.67326319217681884765625), c.float("gamma", 1.05070102214813232421875)
		return c.unaryWith(func(x *G.Node) (*G.Node, error) {
			var t ops.Try
			y := t.Do(ops.Affine(t.Do(ops.ELU(x, alpha)), gamma, 0))
			return y, t.Err()
		})
	},
	"HardSigmoid": func(c *call) ([]Value, error) {
		alpha, beta := c.float("alpha", 0.2), c.float("beta", 0.5)
		return c.unaryWith(func(x *G.Node) (*G.Node, error) {
			if math.Abs(alpha-1.0/6) < 1e-7 && beta == 0.5 {
				return ops.HardSigmoid(x)
			}
			var t ops.Try
			y := t.Do(ops.Clamp(t.Do(ops.Affine(x, alpha, beta)), 0, 1))
			return y, t.Err()
		})
	},
	"Gelu": func(c *call) ([]Value, error) {
		how := c.text("approximate", "none")
		return c.unaryWith(func(x *G.Node) (*G.Node, error) {
			switch how {
			case "none":
				return ops.GELU(x)
			case "tanh":
				return ops.GELUTanh(x)
			}
			return nil, errors.Errorf("the attribute approximate is %.100q, want none or tanh", how)
		})
	},
	"PRelu": func(c *call) ([]Value, error) {
		x, slopes, err := c.two()
		if err != nil {
			return nil, err
		}
		return one(prelu(x, slopes))
	},
	"Clip": func(c *call) ([]Value, error) {
		lo, hi := math.Inf(-1), math.Inf(1)
		if c.env.Opset < 11 {
			lo, hi = c.float("min", lo), c.float("max", hi)
		}
		for i, limit := range []*float64{&lo, &hi} {
			if c.has(i + 1) {
				k, err := c.constant(i+1, "a limit")
				if err != nil {
					return nil, err
				}
				if *limit, err = k.number(); err != nil {
					return nil, errors.Wrap(err, "a limit")
				}
			}
		}
		if err := c.operands(1, 3); err != nil {
			return nil, err
		}
		x, err := c.x(0)
		if err != nil {
			return nil, err
		}
		if lo == 0 && hi == 6 {
			return one(ops.ReLU6(x))
		}
		if lo > hi { // everything is the upper limit
			lo = hi
		}
		return one(ops.Clamp(x, lo, hi))
	},
	"Pow": func(c *call) ([]Value, error) {
		k, err := c.constant(1, "the exponent")
		if err != nil {
			return nil, err
		}
		p, err := k.number()
		if err != nil {
			return nil, errors.Wrap(err, "the exponent")
		}
		x, err := c.x(0)
		if err != nil {
			return nil, err
		}
		switch p {
		case 1:
			return one(x, nil)
		case 2:
			return one(ops.Square(x))
		case 0.5:
			return one(ops.Sqrt(x))
		}
		return nil, errors.Errorf("the exponent is %v, want 0.5, 1 or 2: others are not supported", p)
	},
	"Add": binary(ops.Add), "Sub": binary(ops.Sub), "Mul": binary(ops.Mul), "Div": binary(ops.Div),
	"Sum": func(c *call) ([]Value, error) { return one(c.sum()) },
	"Mean": func(c *call) ([]Value, error) {
		y, err := c.sum()
		if err != nil {
			return nil, err
		}
		return one(ops.Affine(y, 1/float64(len(c.in)), 0))
	},
	"Max": func(c *call) ([]Value, error) {
		return c.limited(func(x *G.Node, v float64) (*G.Node, error) { return ops.Clamp(x, v, math.Inf(1)) })
	},
	"Min": func(c *call) ([]Value, error) {
		return c.limited(func(x *G.Node, v float64) (*G.Node, error) { return ops.Clamp(x, math.Inf(-1), v) })
	},
	"Identity": func(c *call) ([]Value, error) {
		if err := c.operands(1, 1); err != nil {
			return nil, err
		}
		return c.in[:1], nil
	},
	"Cast": func(c *call) ([]Value, error) {
		to := onnx.DataType(c.integer("to", 0))
		c.castAttributes()
		if err := c.operands(1, 1); err != nil {
			return nil, err
		}
		if to != onnx.Float && to != onnx.Double {
			return nil, errors.Errorf("it casts what depends on the network's input to %v, want float or double", to)
		}
		return c.in[:1], nil
	},
	"Dropout": func(c *call) ([]Value, error) {
		p := c.float("ratio", 0.5)
		c.integer("seed", 0)
		if err := c.operands(1, 3); err != nil {
			return nil, err
		}
		if c.has(1) {
			k, err := c.constant(1, "the ratio")
			if err != nil {
				return nil, err
			}
			if p, err = k.number(); err != nil {
				return nil, errors.Wrap(err, "the ratio")
			}
			p = decimal(float32(p))
		}
		x, err := c.x(0)
		if err != nil || c.env.Dropout == nil {
			return []Value{{Node: x}}, err
		}
		return one(c.env.Dropout(x, p))
	},
}

// castAttributes reads those that concern types which are not supported.
func (c *call) castAttributes() {
	c.flag("saturate", true)
	c.text("round_mode", "up")
}

// unaryWith is unary for a function of the call's attributes.
func (c *call) unaryWith(f func(x *G.Node) (*G.Node, error)) ([]Value, error) { return unary(f)(c) }

// binary is arithmetic. A number that is no weight is a number of the op's, not a node.
func binary(f func(a, b *G.Node) (*G.Node, error)) operator {
	return func(c *call) ([]Value, error) {
		if err := c.operands(2, 2); err != nil {
			return nil, err
		}
		for i := range 2 {
			v, x := c.in[i], c.in[1-i]
			k := v.Const
			if k == nil && v.Weight != nil && len(v.Weight.Dims) == 0 && v.Node == nil {
				k, _ = constantOf(v.Weight)
			}
			if k == nil || k.whole() || volume(k.Dims) != 1 || x.Node == nil || len(k.Dims) > x.Node.Dims() {
				continue
			}
			number := k.Floats[0]
			switch {
			case c.node.Op == "Add":
				return one(ops.Affine(x.Node, 1, number))
			case c.node.Op == "Mul":
				return one(ops.Affine(x.Node, number, 0))
			case c.node.Op == "Sub" && i == 1:
				return one(ops.Affine(x.Node, 1, -number))
			case c.node.Op == "Sub":
				return one(ops.Affine(x.Node, -1, number))
			}
		}
		a, err := c.x(0)
		if err != nil {
			return nil, err
		}
		b, err := c.x(1)
		if err != nil {
			return nil, err
		}
		return one(f(a, b))
	}
}

func (c *call) sum() (*G.Node, error) {
	y, err := c.x(0)
	for i := 1; i < len(c.in) && err == nil; i++ {
		var x *G.Node
		if x, err = c.x(i); err == nil {
			y, err = ops.Add(y, x)
		}
	}
	return y, err
}

// limited is Max or Min of a node and numbers.
func (c *call) limited(f func(x *G.Node, v float64) (*G.Node, error)) ([]Value, error) {
	var x *G.Node
	var limits []float64
	for i, v := range c.in {
		if v.Node != nil && x == nil {
			x = v.Node
			continue
		}
		k, err := c.constant(i, "a limit")
		if err != nil {
			return nil, errors.Wrap(err, "of several tensors it is not supported")
		}
		limit, err := k.number()
		if err != nil {
			return nil, errors.Wrap(err, "of several tensors it is not supported")
		}
		limits = append(limits, limit)
	}
	if x == nil {
		return nil, errors.New("no operand depends on the network's input")
	}
	for _, v := range limits {
		var err error
		if x, err = f(x, v); err != nil {
			return nil, err
		}
	}
	return one(x, nil)
}

// prelu takes slopes that are repeated along x as Add repeats, where ops.PReLU takes one a channel.
func prelu(x, slopes *G.Node) (*G.Node, error) {
	s, w := x.Shape(), slopes.Shape()
	if n := volume(w); len(s) >= 2 && len(w) <= len(s) && (n == 1 || n == s[1] && (len(w) == len(s)-1 && w[0] == n || len(w) == len(s) && w[1] == n)) {
		flat, err := ops.Reshape(slopes, n)
		if err != nil {
			return nil, err
		}
		return ops.PReLU(x, flat)
	}
	var t ops.Try
	y := t.Do(ops.Add(t.Do(ops.ReLU(x)), t.Do(ops.Mul(t.Do(ops.Clamp(x, math.Inf(-1), 0)), slopes))))
	return y, t.Err()
}

// products are the operators that multiply matrices.
var products = map[string]operator{
	"MatMul": func(c *call) ([]Value, error) {
		a, b, err := c.two()
		if err != nil {
			return nil, err
		}
		return one(matMul(a, b))
	},
	"Gemm": func(c *call) ([]Value, error) {
		if err := c.operands(2, 3); err != nil {
			return nil, err
		}
		alpha, beta := c.float("alpha", 1), c.float("beta", 1)
		transA, transB := c.flag("transA", false), c.flag("transB", false)
		a, err := c.x(0)
		if err != nil {
			return nil, err
		}
		b, err := c.x(1)
		if err != nil {
			return nil, err
		}
		bias, err := c.optional(2)
		if err != nil {
			return nil, err
		}
		return one(gemm(a, b, bias, alpha, beta, transA, transB))
	},
}

// matMul is numpy's: a vector on the left is a row, one on the right a column.
func matMul(a, b *G.Node) (*G.Node, error) {
	var t ops.Try
	row, column := a.Dims() == 1, b.Dims() == 1
	if row {
		a = t.Do(ops.Unsqueeze(a, 0))
	}
	if column {
		b = t.Do(ops.Unsqueeze(b, -1))
	}
	if t.Err() != nil {
		return nil, t.Err()
	}
	y, err := ops.MatMul(a, b)
	if err != nil || !row && !column {
		return y, err
	}
	s := y.Shape()
	to := append(tensor.Shape{}, s[:len(s)-2]...)
	if !row {
		to = append(to, s[len(s)-2])
	}
	if !column {
		to = append(to, s[len(s)-1])
	}
	return ops.Reshape(y, to...)
}

// gemm is y = α·A·B + β·C.
func gemm(a, b, bias *G.Node, alpha, beta float64, transA, transB bool) (*G.Node, error) {
	var t ops.Try
	if transA {
		a = t.Do(ops.Transpose(a))
	}
	if alpha == 1 && beta == 1 && (bias == nil || bias.Dims() == 1 && b.Dims() == 2 && bias.Shape()[0] == b.Shape()[outputs(transB)]) {
		if !transB {
			b = t.Do(ops.Transpose(b))
		}
		y := t.Do(ops.Linear(a, b, bias))
		return y, t.Err()
	}
	if transB {
		b = t.Do(ops.Transpose(b))
	}
	y := t.Do(ops.MatMul(a, b))
	if alpha != 1 {
		y = t.Do(ops.Affine(y, alpha, 0))
	}
	if bias != nil && beta != 0 {
		if beta != 1 {
			bias = t.Do(ops.Affine(bias, beta, 0))
		}
		y = t.Do(ops.Add(y, bias))
	}
	return y, t.Err()
}

// outputs is the axis of Gemm's second operand that has an element for each output.
func outputs(transB bool) int {
	if transB {
		return 0
	}
	return 1
}
