package ops_test

import (
	"fmt"
	"math"
	"slices"

	G "gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/convgrad/convgrad/ops"
)

// onnxOps are ONNX's operators in the words of this package. An output that is nil is not compared.
var onnxOps = map[string]func(c *onnxCase) []*G.Node{
	"Abs": unary(ops.Abs), "Exp": unary(ops.Exp), "Log": unary(ops.Log), "Sqrt": unary(ops.Sqrt),
	"Relu": unary(ops.ReLU), "Sigmoid": unary(ops.Sigmoid), "Tanh": unary(ops.Tanh),
	"Softplus": unary(ops.Softplus), "HardSwish": unary(ops.HardSwish), "Neg": unary(negative),
	"GlobalMaxPool": unary(ops.GlobalMaxPool), "GlobalAveragePool": unary(ops.GlobalAvgPool),
	"Identity": func(c *onnxCase) []*G.Node { return []*G.Node{c.Do(ops.Reshape(c.in(0), c.Outputs[0].Shape...))} },

	"Add": binary(ops.Add), "Sub": binary(ops.Sub), "Mul": binary(ops.Mul), "Div": binary(ops.Div),
	"Sum": binary(ops.Add), "MatMul": binary(ops.MatMul),
	"Mean": func(c *onnxCase) []*G.Node {
		return []*G.Node{c.Do(ops.Affine(c.folded(ops.Add), 1/float64(len(c.Inputs)), 0))}
	},

	"ReduceSum": reducing(ops.Sum, nil, nil), "ReduceMean": reducing(ops.Mean, nil, nil),
	"ReduceMax": greatest(nil), "ReduceMin": greatest(negative),
	"ReduceL1": reducing(ops.Sum, ops.Abs, nil), "ReduceL2": reducing(ops.Sum, ops.Square, ops.Sqrt),
	"ReduceSumSquare": reducing(ops.Sum, ops.Square, nil), "ReduceLogSum": reducing(ops.Sum, nil, ops.Log),
	"ReduceLogSumExp": reducing(ops.Sum, ops.Exp, ops.Log),

	"Conv": func(c *onnxCase) []*G.Node {
		p := c.conv()
		return []*G.Node{onAxes(c, c.in(0), p, c.with(ops.Conv1D), c.with(ops.Conv2D))}
	},
	"ConvTranspose": onnxConvTranspose,
	"AveragePool": func(c *onnxCase) []*G.Node {
		p := c.pool()
		p.ExcludePadding = c.attr("count_include_pad", 0) == 0
		return []*G.Node{onAxes(c, c.in(0), p, ops.AvgPool1D, ops.AvgPool2D)}
	},
	"LpPool": func(c *onnxCase) []*G.Node {
		p := c.pool()
		p.Norm = c.attr("p", 2)
		return []*G.Node{onAxes(c, c.in(0), p, ops.LpPool1D, ops.LpPool2D)}
	},
	"MaxPool": onnxMaxPool, "MaxUnpool": onnxMaxUnpool,
	"Pad": onnxPad, "Resize": onnxResize, "Slice": onnxSlice,
	"Upsample": func(c *onnxCase) []*G.Node {
		s := c.Outputs[0].Shape
		return []*G.Node{c.Do(ops.Upsample(c.in(0), ops.Size{H: s[2], W: s[3]}, ops.Nearest))}
	},

	"LeakyRelu": func(c *onnxCase) []*G.Node { return []*G.Node{c.Do(ops.LeakyReLU(c.in(0), c.attr("alpha", 0.01)))} },
	"Elu":       func(c *onnxCase) []*G.Node { return []*G.Node{c.Do(ops.ELU(c.in(0), c.attr("alpha", 1)))} },
	"Gelu": func(c *onnxCase) []*G.Node {
		if c.text("approximate", "none") == "tanh" {
			return []*G.Node{c.Do(ops.GELUTanh(c.in(0)))}
		}
		return []*G.Node{c.Do(ops.GELU(c.in(0)))}
	},
	"Swish": func(c *onnxCase) []*G.Node {
		if a := c.attr("alpha", 1); a != 1 {
			c.Check(listed(fmt.Sprintf("alpha is %v: SiLU has 1", a)))
		}
		return []*G.Node{c.Do(ops.SiLU(c.in(0)))}
	},
	"HardSigmoid": func(c *onnxCase) []*G.Node { // ops.HardSigmoid has PyTorch's slope of 1/6
		return []*G.Node{c.Do(ops.Clamp(c.Do(ops.Affine(c.in(0), c.attr("alpha", 0.2), c.attr("beta", 0.5))), 0, 1))}
	},
	"PRelu": func(c *onnxCase) []*G.Node { // its slopes broadcast: max(0, x) − slope·max(0, −x)
		x := c.in(0)
		low := c.Do(ops.Mul(c.in(1), c.Do(ops.ReLU(c.neg(x)))))
		return []*G.Node{c.Do(ops.Sub(c.Do(ops.ReLU(x)), low))}
	},
	"Clip": func(c *onnxCase) []*G.Node {
		return []*G.Node{c.Do(ops.Clamp(c.in(0), c.number(1, math.Inf(-1)), c.number(2, math.Inf(1))))}
	},
	"Softmax": func(c *onnxCase) []*G.Node {
		return []*G.Node{c.Do(ops.Softmax(c.in(0), int(c.attr("axis", -1))))}
	},
	"LogSoftmax": func(c *onnxCase) []*G.Node {
		return []*G.Node{c.Do(ops.LogSoftmax(c.in(0), int(c.attr("axis", -1))))}
	},

	"BatchNormalization": onnxBatchNorm, "LayerNormalization": onnxLayerNorm,
	"GroupNormalization": func(c *onnxCase) []*G.Node {
		return []*G.Node{c.Do(ops.GroupNorm(c.in(0), c.in(1), c.in(2), int(c.attr("num_groups", 0)), c.attr("epsilon", 1e-5)))}
	},
	"InstanceNormalization": func(c *onnxCase) []*G.Node {
		return []*G.Node{c.Do(ops.GroupNorm(c.in(0), c.in(1), c.in(2), c.Inputs[0].Shape[1], c.attr("epsilon", 1e-5)))}
	},

	"SoftmaxCrossEntropyLoss": func(c *onnxCase) []*G.Node {
		e, logp, err := ops.CrossEntropyLogProbs(c.in(0), c.labels(1), c.entropy())
		return []*G.Node{c.Do(e, err), c.Do(logp, err)}
	},
	"NegativeLogLikelihoodLoss": func(c *onnxCase) []*G.Node {
		return []*G.Node{c.Do(ops.NLL(c.in(0), c.labels(1), c.entropy()))}
	},

	"Concat":    func(c *onnxCase) []*G.Node { return []*G.Node{c.Do(ops.Concat(int(c.attr("axis", 0)), c.all()...))} },
	"Transpose": func(c *onnxCase) []*G.Node { return []*G.Node{c.Do(ops.Transpose(c.in(0), c.list("perm")...))} },
	"Reshape": func(c *onnxCase) []*G.Node {
		to := c.whole(1)
		for i, s := range to {
			if s == 0 && c.attr("allowzero", 0) == 0 {
				to[i] = c.Inputs[0].Shape[i]
			}
		}
		return []*G.Node{c.Do(ops.Reshape(c.in(0), to...))}
	},
	"Flatten": func(c *onnxCase) []*G.Node {
		s := tensor.Shape(c.Inputs[0].Shape)
		axis := int(c.attr("axis", 1))
		if axis < 0 {
			axis += len(s)
		}
		rows := 1
		for _, n := range s[:axis] {
			rows *= n
		}
		return []*G.Node{c.Do(ops.Reshape(c.in(0), rows, s.TotalSize()/rows))}
	},
	"Squeeze": func(c *onnxCase) []*G.Node {
		s := c.Inputs[0].Shape
		var to []int
		for i, n := range s {
			if axes := c.whole(1); !slices.Contains(axes, i) && !slices.Contains(axes, i-len(s)) {
				to = append(to, n)
			}
		}
		return []*G.Node{c.Do(ops.Reshape(c.in(0), to...))}
	},
	"Unsqueeze": func(c *onnxCase) []*G.Node { return []*G.Node{c.Do(ops.Unsqueeze(c.in(0), c.whole(1)...))} },
	"Gemm": func(c *onnxCase) []*G.Node {
		a, b := c.in(0), c.in(1)
		if c.attr("transA", 0) == 1 {
			a = c.Do(ops.Transpose(a))
		}
		if c.attr("transB", 0) == 1 {
			b = c.Do(ops.Transpose(b))
		}
		y := c.Do(ops.Affine(c.Do(ops.MatMul(a, b)), c.attr("alpha", 1), 0))
		if c.has(2) {
			y = c.Do(ops.Add(y, c.Do(ops.Affine(c.in(2), c.attr("beta", 1), 0))))
		}
		return []*G.Node{y}
	},
	"Dropout": func(c *onnxCase) []*G.Node {
		if c.number(2, 0) == 1 && c.number(1, 0.5) != 0 {
			c.Check(listed("masks of another source of random numbers"))
		}
		return []*G.Node{c.Do(ops.Reshape(c.Do(ops.Dropout(c.in(0), 0.5, nil)), c.Outputs[0].Shape...)), nil}
	},
}

// greatest is a reduction to the greatest elements, or, of negated ones, the smallest.
func greatest(negated func(*G.Node) (*G.Node, error)) func(c *onnxCase) []*G.Node {
	return func(c *onnxCase) []*G.Node {
		if tensor.Shape(c.Inputs[0].Shape).TotalSize() == 0 {
			c.Check(listed("the greatest of nothing, which is an error here and in PyTorch"))
		}
		return reducing(ops.Max, negated, negated)(c)
	}
}

// with is a convolution with its filters and bias.
func (c *onnxCase) with(op func(x, w, b *G.Node, p ops.ConvParams) (*G.Node, error)) func(*G.Node, ops.ConvParams) (*G.Node, error) {
	return func(x *G.Node, p ops.ConvParams) (*G.Node, error) { return op(x, c.in(1), c.in(2), p) }
}

func (c *onnxCase) entropy() ops.CrossEntropyParams {
	p := ops.CrossEntropyParams{Reduction: c.reduction(), Weights: c.in(2)}
	if v, ok := c.Attributes["ignore_index"].(float64); ok {
		ignore := int(v)
		p.Ignore = &ignore
	}
	return p
}

// onnxConvTranspose works the paddings out where the output's size is given.
func onnxConvTranspose(c *onnxCase) []*G.Node {
	p := c.conv()
	p.OutputPad = c.pair("output_padding")
	if to := c.list("output_shape"); len(to) == 2 && c.Err() == nil {
		s, w := c.Inputs[0].Shape, c.Inputs[1].Shape
		across := func(axis, stride, out int) (begin, end, more int) {
			total := (s[axis]-1)*stride + w[axis] - out
			if total < 0 {
				return 0, 0, -total
			}
			return total / 2, total - total/2, 0 // the larger part at the end
		}
		var begin, end ops.Size
		begin.H, end.H, p.OutputPad.H = across(2, p.Stride.H, to[0])
		begin.W, end.W, p.OutputPad.W = across(3, p.Stride.W, to[1])
		p.Pad = ops.BeginEnd(begin, end)
	}
	return []*G.Node{onAxes(c, c.in(0), p, c.with(ops.ConvTranspose1D), c.with(ops.ConvTranspose2D))}
}

// onnxMaxPool compares winners too: here they are indices into a plane, in ONNX into the tensor.
func onnxMaxPool(c *onnxCase) []*G.Node {
	p := c.pool()
	x := c.in(0)
	if c.rank() == 3 || c.Err() != nil {
		return []*G.Node{onAxes(c, x, p, ops.MaxPool1D, ops.MaxPool2D)}
	}
	y, winner, err := ops.MaxPool2DIndices(x, p)
	y, winner = c.Do(y, err), c.Do(winner, err)
	if len(c.Outputs) < 2 {
		return []*G.Node{y}
	}
	h, w := c.Inputs[0].Shape[2], c.Inputs[0].Shape[3]
	c.adjust[1] = func(index []float64) {
		plane := y.Shape()[2] * y.Shape()[3]
		for i := range index {
			at := int(index[i])
			if c.attr("storage_order", 0) == 1 {
				at = at%w*h + at/w
			}
			index[i] = float64(i/plane*h*w + at)
		}
	}
	return []*G.Node{y, winner}
}

func onnxMaxUnpool(c *onnxCase) []*G.Node {
	s, p := c.Inputs[0].Shape, c.pool()
	if s[0]*s[1] != 1 {
		c.Check(listed("more than one plane"))
	}
	to := ops.Size{H: (s[2]-1)*p.Stride.H + p.Window.H, W: (s[3]-1)*p.Stride.W + p.Window.W}
	winner := leaf(c.graph, "winner", s, converted[int32](c.numbers(1)))
	y := c.Do(ops.MaxUnpool2D(c.in(0), winner, to))
	if out := c.whole(2); out != nil {
		y = c.Do(ops.Pad(y, ops.Padding{Bottom: out[2] - to.H, Right: out[3] - to.W}, ops.PadZeros))
	}
	return []*G.Node{y}
}

func onnxPad(c *onnxCase) []*G.Node {
	mode, ok := map[string]ops.PadMode{"constant": ops.PadZeros, "reflect": ops.PadReflect, "edge": ops.PadReplicate}[c.text("mode", "constant")]
	if !ok {
		c.Check(listed("the mode is " + c.text("mode", "")))
	}
	rank, pads := c.rank(), c.whole(1)
	begin, end := make([]int, rank), make([]int, rank)
	axes := c.whole(3)
	for i := range len(pads) / 2 {
		axis := i
		if axes != nil {
			axis = (axes[i] + rank) % rank
		}
		begin[axis], end[axis] = pads[i], pads[len(pads)/2+i]
	}
	for axis, n := range begin {
		if (axis < rank-2 || rank < 4) && (n != 0 || end[axis] != 0) {
			c.Check(listed("axes that are not an image's"))
		}
	}
	x, value := c.in(0), c.number(2, 0)
	if c.Err() != nil {
		return nil
	}
	x = c.Do(ops.Affine(x, 1, -value)) // what is put around is 0
	y := c.Do(ops.Pad(x, ops.BeginEnd(ops.Size{H: begin[2], W: begin[3]}, ops.Size{H: end[2], W: end[3]}), mode))
	return []*G.Node{c.Do(ops.Affine(y, 1, value))}
}

func onnxSlice(c *onnxCase) []*G.Node {
	x := c.in(0)
	axes, steps := c.whole(3), c.whole(4)
	for i, from := range c.whole(1) {
		axis, step, to := i, 1, c.whole(2)[i]
		if axes != nil {
			axis = (axes[i] + c.rank()) % c.rank()
		}
		if steps != nil {
			step = steps[i]
		}
		n := c.Inputs[0].Shape[axis]
		within := func(v int) int {
			if v < 0 {
				v += n
			}
			return min(max(v, 0), n)
		}
		if step < 0 {
			c.Check(listed("a negative step, which PyTorch has not either"))
			continue
		}
		x = c.Do(ops.Slice(x, axis, within(from), within(to), step))
	}
	return []*G.Node{x}
}

func onnxBatchNorm(c *onnxCase) []*G.Node {
	x, scale, bias, eps := c.in(0), c.in(1), c.in(2), c.attr("epsilon", 1e-5)
	running := ops.Stats{Mean: c.in(3), Var: c.in(4)}
	if c.attr("training_mode", 0) == 0 {
		return []*G.Node{c.Do(ops.BatchNormEval(x, scale, bias, running, eps))}
	}
	y, batch, err := ops.BatchNormStats(x, scale, bias, eps)
	if err != nil {
		c.Check(err)
		return nil
	}
	momentum := c.attr("momentum", 0.9)
	return []*G.Node{y, c.Do(ops.Lerp(batch.Mean, running.Mean, momentum)), c.Do(ops.Lerp(batch.Var, running.Var, momentum))}
}

func onnxLayerNorm(c *onnxCase) []*G.Node {
	x, eps := c.in(0), c.attr("epsilon", 1e-5)
	axis := int(c.attr("axis", -1))
	if axis < 0 {
		axis += c.rank()
	}
	last := c.rank() - axis
	y := c.Do(ops.LayerNorm(x, c.in(1), c.in(2), last, eps))
	if len(c.Outputs) == 1 || c.Err() != nil {
		return []*G.Node{y}
	}
	var axes []int
	for i := range last {
		axes = append(axes, axis+i)
	}
	kept := c.Outputs[1].Shape
	mean := c.Do(ops.Reshape(c.Do(ops.Mean(x, axes...)), kept...))
	variance := c.Do(ops.Mean(c.Do(ops.Square(c.Do(ops.Sub(x, mean)))), axes...))
	inverse := c.Do(ops.Exp(c.Do(ops.Affine(c.Do(ops.Log(c.Do(ops.Affine(variance, 1, eps)))), -0.5, 0))))
	return []*G.Node{y, mean, c.Do(ops.Reshape(inverse, kept...))}
}

// onnxResize is Upsample where it takes the same elements, or means of the same ones.
func onnxResize(c *onnxCase) []*G.Node {
	mode, coordinates := c.text("mode", "nearest"), c.text("coordinate_transformation_mode", "half_pixel")
	s, out := c.Inputs[0].Shape, c.Outputs[0].Shape
	switch {
	case mode == "cubic":
		c.Check(listed("the mode is cubic"))
	case c.attr("antialias", 0) == 1:
		c.Check(listed("antialias is set"))
	case coordinates == "tf_crop_and_resize" || coordinates == "half_pixel_symmetric":
		c.Check(listed("coordinates are " + coordinates))
	case c.rank() != 4 || s[0] != out[0] || s[1] != out[1]:
		c.Check(listed("axes that are not an image's"))
	}
	x := c.in(0)
	if c.Err() != nil {
		return nil
	}
	to, how := ops.Size{H: out[2], W: out[3]}, ops.Nearest
	scales := c.scales()
	switch {
	case mode == "nearest":
		for axis := 2; axis < 4; axis++ {
			for p := range out[axis] {
				if nearest(c, coordinates, p, s[axis], out[axis], scales[axis]) != p*s[axis]/out[axis] {
					c.Check(listed("nearest elements other than ⌊p·H/P⌋"))
				}
			}
		}
	case coordinates == "align_corners":
		how = ops.BilinearAligned
	case coordinates == "half_pixel" || coordinates == "pytorch_half_pixel":
		how = ops.Bilinear
	default:
		c.Check(listed("coordinates are " + coordinates))
	}
	for axis := 2; axis < 4 && mode == "linear"; axis++ {
		if scale := float64(out[axis]) / float64(s[axis]); math.Abs(scales[axis]-scale) > 1e-7*scale {
			c.Check(listed("a scale that is not the sizes' quotient"))
		}
		if coordinates == "pytorch_half_pixel" && out[axis] == 1 {
			c.Check(listed("pytorch_half_pixel of one row or column"))
		}
	}
	return []*G.Node{c.Do(ops.Upsample(x, to, how))}
}

// scales are the factors of the axes: given, or made of the sizes.
func (c *onnxCase) scales() []float64 {
	s, out := c.Inputs[0].Shape, c.Outputs[0].Shape
	all := make([]float64, len(s))
	for i := range all {
		all[i] = float64(out[i]) / float64(s[i])
	}
	axes := c.list("axes")
	if axes == nil {
		axes = []int{0, 1, 2, 3}
	}
	if given := c.numbers(2); len(given) > 0 {
		for i, v := range given {
			all[axes[i]] = v
		}
	} else if policy := c.text("keep_aspect_ratio_policy", "stretch"); policy != "stretch" {
		factor := 0.0
		for i, v := range c.whole(3) {
			f := float64(v) / float64(s[axes[i]])
			if i == 0 || (f < factor) == (policy == "not_larger") {
				factor = f
			}
		}
		for _, axis := range axes {
			all[axis] = factor
		}
	}
	return all
}

// nearest is the element of an axis that ONNX takes for output p.
func nearest(c *onnxCase, coordinates string, p, in, out int, scale float64) int {
	var at float64
	switch coordinates {
	case "asymmetric":
		at = float64(p) / scale
	case "align_corners":
		if out > 1 {
			at = float64(p) * float64(in-1) / float64(out-1)
		}
	default:
		at = (float64(p)+0.5)/scale - 0.5
	}
	var i float64
	switch c.text("nearest_mode", "round_prefer_floor") {
	case "floor":
		i = math.Floor(at)
	case "ceil":
		i = math.Ceil(at)
	case "round_prefer_ceil":
		i = math.Floor(at + 0.5)
	default:
		i = math.Ceil(at - 0.5)
	}
	return min(max(int(i), 0), in-1)
}
