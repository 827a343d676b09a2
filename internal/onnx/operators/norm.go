package operators

import (
	"github.com/pkg/errors"
	G "gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/convgrad/convgrad/ops"
)

// normalisations are the operators that bring numbers to one scale.
var normalisations = map[string]operator{
	"BatchNormalization": batchNorm,
	"InstanceNormalization": func(c *call) ([]Value, error) {
		x, scale, bias, err := c.affine()
		if err != nil {
			return nil, err
		}
		if x.Dims() < 3 {
			return nil, errors.Errorf("x is %v, want N×C×…", x.Shape())
		}
		return one(ops.GroupNorm(x, scale, bias, x.Shape()[1], c.float("epsilon", 1e-5)))
	},
	"GroupNormalization": func(c *call) ([]Value, error) {
		x, scale, bias, err := c.affine()
		if err != nil {
			return nil, err
		}
		groups, eps := int(min(max(c.integer("num_groups", 0), 0), far)), c.float("epsilon", 1e-5)
		c.integer("stash_type", 1)
		if c.env.Opset < 21 { // a scale and a bias for each group
			s := x.Shape()
			if len(s) < 2 || groups < 1 || s[1]%groups != 0 {
				return nil, errors.Errorf("%d groups do not divide the channels of x, %v", groups, s)
			}
			if scale, err = c.repeated(scale, s[1]/groups); err != nil {
				return nil, err
			}
			if bias, err = c.repeated(bias, s[1]/groups); err != nil {
				return nil, err
			}
		}
		return one(ops.GroupNorm(x, scale, bias, groups, eps))
	},
	"LayerNormalization": func(c *call) ([]Value, error) {
		if err := c.operands(2, 3); err != nil {
			return nil, err
		}
		x, err := c.x(0)
		if err != nil {
			return nil, err
		}
		scale, err := c.x(1)
		if err != nil {
			return nil, err
		}
		bias, err := c.optional(2)
		if err != nil {
			return nil, err
		}
		axis, err := c.axis(c.integer("axis", -1), x.Dims())
		if err != nil {
			return nil, err
		}
		c.integer("stash_type", 1)
		if bias == nil {
			if bias, err = ops.Affine(scale, 0, 0); err != nil {
				return nil, err
			}
		}
		return one(ops.LayerNorm(x, scale, bias, x.Dims()-axis, c.float("epsilon", 1e-5)))
	},
	"Softmax":    func(c *call) ([]Value, error) { return c.softmax(ops.Softmax) },
	"LogSoftmax": func(c *call) ([]Value, error) { return c.softmax(ops.LogSoftmax) },
}

// affine are the operands x, scale and bias.
func (c *call) affine() (x, scale, bias *G.Node, err error) {
	if err := c.operands(3, 3); err != nil {
		return nil, nil, nil, err
	}
	for i, n := range []**G.Node{&x, &scale, &bias} {
		if *n, err = c.x(i); err != nil {
			return nil, nil, nil, err
		}
	}
	return x, scale, bias, nil
}

// repeated is a vector with each element n times.
func (c *call) repeated(v *G.Node, n int) (*G.Node, error) {
	if v.Dims() != 1 || n > maxConstant {
		return nil, errors.Errorf("the scale or bias is %v, want a number for each group", v.Shape())
	}
	ones := &Constant{Dims: tensor.Shape{1, n}, Floats: make([]float64, n)}
	for i := range ones.Floats {
		ones.Floats[i] = 1
	}
	leaf, err := c.env.leaf(ones)
	if err != nil {
		return nil, err
	}
	var t ops.Try
	y := t.Do(ops.Reshape(t.Do(ops.Mul(t.Do(ops.Unsqueeze(v, 1)), leaf)), v.Shape()[0]*n))
	return y, t.Err()
}

func batchNorm(c *call) ([]Value, error) {
	if err := c.operands(5, 5); err != nil {
		return nil, err
	}
	// ONNX's momentum is what remains of the running statistics, PyTorch's what the batch has in
	// them.
	eps, momentum := c.float("epsilon", 1e-5), 1-c.float("momentum", 0.9)
	training := c.flag("training_mode", false)
	if c.integer("spatial", 1) != 1 {
		return nil, errors.New("the attribute spatial is 0, want 1: statistics of each element are not supported")
	}
	x, err := c.x(0)
	if err != nil {
		return nil, err
	}
	if c.env.BatchNorm != nil {
		return one(c.env.BatchNorm(x, c.in[1], c.in[2], c.in[3], c.in[4], eps, momentum))
	}
	var operands [4]*G.Node
	for i := range operands {
		if operands[i], err = c.x(i + 1); err != nil {
			return nil, err
		}
	}
	if !training {
		return one(BatchNormEval(x, operands[0], operands[1], ops.Stats{Mean: operands[2], Var: operands[3]}, eps))
	}
	y, batch, err := ops.BatchNormStats(x, operands[0], operands[1], eps)
	if err != nil {
		return nil, err
	}
	mean, err := ops.Lerp(operands[2], batch.Mean, momentum)
	if err != nil {
		return nil, err
	}
	variance, err := ops.Lerp(operands[3], batch.Var, momentum) // ONNX's is the biased one
	return []Value{{Node: y}, {Node: mean}, {Node: variance}}, err
}

// BatchNormEval is ops.BatchNormEval for any number of axes: those of more than images are taken as
// one long axis.
func BatchNormEval(x, scale, bias *G.Node, running ops.Stats, eps float64) (*G.Node, error) {
	s := x.Shape()
	if len(s) <= 4 {
		return ops.BatchNormEval(x, scale, bias, running, eps)
	}
	var t ops.Try
	x = t.Do(ops.Reshape(x, s[0], s[1], volume(s[2:])))
	y := t.Do(ops.Reshape(t.Do(ops.BatchNormEval(x, scale, bias, running, eps)), s...))
	return y, t.Err()
}

// softmax is that of one axis, or before opset 13 of all axes from one on as if they were one.
func (c *call) softmax(f func(x *G.Node, axis int) (*G.Node, error)) ([]Value, error) {
	if err := c.operands(1, 1); err != nil {
		return nil, err
	}
	x, err := c.x(0)
	if err != nil {
		return nil, err
	}
	s, usual := x.Shape(), int64(-1)
	if c.env.Opset < 13 {
		usual = 1
	}
	axis, err := c.axis(c.integer("axis", usual), len(s))
	if err != nil {
		return nil, err
	}
	if c.env.Opset >= 13 || axis == len(s)-1 {
		return one(f(x, axis))
	}
	var t ops.Try
	y := t.Do(ops.Reshape(t.Do(f(t.Do(ops.Reshape(x, volume(s[:axis]), volume(s[axis:]))), 1)), s...))
	return one(y, t.Err())
}
