package reported

import (
	"math"

	"github.com/pkg/errors"
	"gorgonia.org/tensor"

	"github.com/convgrad/convgrad/verify"
)

// rowwise are mistakes in ops along rows: normalisations, softmax, losses, products.
func rowwise() []Mistake {
	x := []verify.Input{verify.Normal("x", 3, 4)}
	scaled := []verify.Input{verify.Normal("x", 4, 3), verify.Normal("w", 3), verify.Normal("b", 3)}
	logits := []verify.Input{verify.Normal("x", 3, 4), verify.Labels("labels", 4, 3)}
	ignoring := []verify.Input{verify.Normal("x", 6, 4), verify.Labels("labels", 4, 6).Ignoring(-100)}
	return []Mistake{
		{Kind: "statistics taken as constants", Report: "CrypTen#143", What: "batch norm: mean and variance are taken as constants", Inputs: scaled, Seen: AtOneShape, op: batchNorm("constants")},
		{Kind: "N−1 for N", Report: "pytorch#3122", What: "batch norm: the forward pass divides by N, the backward pass by N − 1", Inputs: scaled, Seen: AtOneShape, op: batchNorm("unbiased")},
		{Kind: "operands exchanged", Report: "oneflow#6149", What: "the gradients of scale and bias are exchanged", Inputs: scaled, Seen: AtOneShape, op: batchNorm("exchanged")},
		{Kind: "statistics taken as constants", Report: "pytorch/xla#913", What: "in evaluation the gradient is that of training", Inputs: []verify.Input{verify.Normal("x", 4, 3)}, Seen: AtOneShape, op: evaluated},
		{Kind: "a forgotten factor", Report: "llm.c#763", What: "RMS norm: the weight is left out of the backward pass", Inputs: []verify.Input{verify.Normal("x", 3, 4), verify.Normal("w", 4)}, Seen: AtOneShape, op: rmsNorm("no weight")},
		{Kind: "a factor too many", Report: "Megatron-LM#6859", What: "RMS norm: the variance's term has the weight twice", Inputs: []verify.Input{verify.Normal("x", 3, 4), verify.Normal("w", 4)}, Seen: AtOneShape, op: rmsNorm("weight twice")},
		{Kind: "ε in or out of the root", Report: "TransformerEngine#364", What: "RMS norm: ε is in the root forwards, outside of it backwards", Inputs: []verify.Input{verify.Normal("x", 3, 4), verify.Normal("w", 4)}, Seen: AtOneShape, op: rmsNorm("epsilon")},
		{Kind: "ε in or out of the root", Report: "chainer#4190", What: "x/(‖x‖ + ε): ε is left out of the backward pass", Inputs: x, Seen: AtOneShape, op: unit(0.5, true)},
		{Kind: "division by zero", Report: "chainer#4765", What: "x/(‖x‖ + ε): 0/0 where a row is 0", Inputs: x, Seen: ByVarying, Hints: []string{"NaN"}, op: unit(0.5, false)},
		{Kind: "division by zero", Report: "pytorch#2421", What: "‖x‖²/‖x‖·x/‖x‖ of the square of a norm: NaN where a row is 0", Inputs: x, Seen: ByVarying, Hints: []string{"NaN"}, op: squaredNorm},
		{Kind: "division by zero", Report: "pytorch#4320", What: "the variance by its root: NaN where all of a row is equal", Inputs: x, Seen: ByVarying, Hints: []string{"NaN"}, op: variance(func(c *call, d, v float64, m int) float64 { return d / math.Sqrt(v) * math.Sqrt(v) * 2 / float64(m) })},
		{Kind: "N−1 for N", Report: "pytorch#77427", What: "the variance's gradient is divided by N − 1", Inputs: x, Seen: AtOneShape, Hints: []string{"a constant factor"}, op: variance(func(c *call, d, v float64, m int) float64 { return 2 * d / float64(m-1) })},
		{Kind: "a group's index", Report: "tt-metal#56202", What: "group norm: the group of channel c is taken to be c mod G", Inputs: []verify.Input{verify.Normal("x", 2, 4, 3)}, Seen: AtOneShape, op: groupNorm("index")},
		{Kind: "a group's size", Report: "mamba#547", What: "group norm: the backward pass takes all channels for one group", Hints: []string{"it should be zero everywhere"}, Inputs: []verify.Input{verify.Normal("x", 2, 4, 3)}, Seen: AtOneShape, op: groupNorm("size")},
		{Kind: "a term left out", Report: "darknet#96", What: "softmax passes dy on as it is", Inputs: x, Seen: AtOneShape, op: softmax("copied")},
		{Kind: "a term left out", Report: "mobula#3", What: "softmax: y·(1 − y)·dy, the diagonal alone", Inputs: x, Seen: AtOneShape, op: softmax("diagonal")},
		{Kind: "a wrong sum", Report: "oneDNN#616", What: "log-softmax: dy − ⟨dy, y⟩ for dy − eʸ·Σ dy", Inputs: x, Seen: AtOneShape, op: logSoftmax("inner")},
		{Kind: "a wrong sum", Report: "mlpack#2360", What: "log-softmax: eʸ is added where it should be taken away", Inputs: x, Seen: AtOneShape, op: logSoftmax("added")},
		{Kind: "a wrong axis", Report: "aprender#2152", What: "softmax: the gradient's sum is over the other axis", Inputs: []verify.Input{verify.Normal("x", 3, 3)}, Seen: AtOneShape, op: softmax("columns")},
		{Kind: "∞ − ∞", Report: "pytorch#31829", What: "log Σ exp(x): exp(x − y) is NaN where all of a row is −∞", Inputs: x, Seen: Never, Why: "no infinite numbers are drawn", op: logSumExp},
		{Kind: "∞/∞", Report: "leanpass#56", What: "log Σ exp(x): exp(x)/Σ exp(x), which overflow", Inputs: x, Seen: ByVarying, Hints: []string{"NaN"}, op: overflowing},
		{Kind: "ignored labels", Report: "sockeye#200", What: "the mask of what is ignored is inverted in the backward pass", Hints: []string{"it should be zero everywhere"}, Inputs: ignoring, Seen: AtOneShape, op: crossEntropy("inverted")},
		{Kind: "ignored labels", Report: "pytorch#73205", What: "with label smoothing, ignored rows get the uniform part's gradient", Hints: []string{"only in item", "only at index"}, Inputs: ignoring, Seen: AtOneShape, op: crossEntropy("smoothed")},
		{Kind: "ignored labels", Report: "tinygrad#3570", What: "the mean is over all rows, the ignored ones, too, in the backward pass", Inputs: ignoring, Seen: AtOneShape, Hints: []string{"a constant factor"}, op: crossEntropy("all rows")},
		{Kind: "a forgotten factor", Report: "Liger-Kernel#198", What: "label smoothing is left out of the gradient", Inputs: logits, Seen: AtOneShape, op: crossEntropy("unsmoothed")},
		{Kind: "a wrong sign", Report: "AiDotNet#1994", What: "the mean bias error: the sign of both gradients", Inputs: []verify.Input{verify.Normal("y", 2, 3), verify.Normal("t", 2, 3)}, Seen: AtOneShape, Hints: []string{"the sign is wrong"}, op: bias},
		{Kind: "a wrong weight", Report: "aprender#2204", What: "the weight of positives scales the whole of the gradient", Inputs: []verify.Input{verify.Normal("x", 2, 3), verify.Uniform("t", 0, 1, 2, 3).AsFixed()}, Seen: AtOneShape, op: weightedBCE},
		{Kind: "a residual's gradient", Report: "quack#53", What: "x + r, scaled: r's gradient has the scale, too", Inputs: []verify.Input{verify.Normal("x", 2, 3), verify.Normal("r", 2, 3)}, Seen: AtOneShape, Hints: []string{"a constant factor"}, op: residual},
		{Kind: "division by a zero factor", Report: "tensorflow#3862", What: "cumulative product: Σ y·dy/x is NaN where a factor is 0", Inputs: []verify.Input{verify.Normal("x", 2, 4)}, Seen: ByVarying, Hints: []string{"NaN"}, op: cumprod(false)},
		{Kind: "division by a zero factor", Report: "tensorflow#119430", What: "the same, with 0 put for what is NaN", Inputs: []verify.Input{verify.Normal("x", 2, 4)}, Seen: ByVarying, op: cumprod(true)},
		{Kind: "division by a zero factor", Report: "tensorflow#2641", What: "product of a row: y·dy/x", Inputs: []verify.Input{verify.Normal("x", 3, 3)}, Seen: ByVarying, Hints: []string{"NaN"}, op: rowProduct},
	}
}

// along applies f to each row: it gets the row of x and of dy and adds to dx.
func along(c *call, f func(x, y, dy, dx []float64)) []float64 {
	m := c.In[0][len(c.In[0])-1]
	dx := zeros(len(c.X[0]))
	for at := 0; at < len(dx); at += m {
		f(c.X[0][at:][:m], c.Y[at:][:m], c.DY[at:][:m], dx[at:][:m])
	}
	return dx
}

// mapped is y of an op that maps each row to one of the same length.
func mapped(f func(x, y []float64)) func(c *call) []float64 {
	return func(c *call) []float64 {
		m := c.In[0][len(c.In[0])-1]
		y := zeros(len(c.X[0]))
		for at := 0; at < len(y); at += m {
			f(c.X[0][at:][:m], y[at:][:m])
		}
		return y
	}
}

// reduced is an op that makes one number of each row, and its gradient slope times dy.
func reduced(name string, f func(x []float64) float64, slope func(x []float64, i int) float64) def {
	return def{
		Name:  name,
		Shape: func(in []tensor.Shape) (tensor.Shape, error) { return tensor.Shape{in[0][0]}, ranks(2)(in) },
		Y: func(c *call) []float64 {
			m := c.In[0][1]
			var y []float64
			for i := range c.In[0][0] {
				y = append(y, f(c.X[0][i*m:][:m]))
			}
			return y
		},
		D: func(c *call) [][]float64 {
			m := c.In[0][1]
			dx := zeros(len(c.X[0]))
			for i := range dx {
				dx[i] = c.DY[i/m] * slope(c.X[0][i/m*m:][:m], i%m)
			}
			return [][]float64{dx}
		},
	}
}

func dot(a, b []float64) float64 {
	s := 0.0
	for i := range a {
		s += a[i] * b[i]
	}
	return s
}

func total(a []float64) float64 {
	s := 0.0
	for _, v := range a {
		s += v
	}
	return s
}

const epsilon = 0.125

// batchNorm is w·(x − mean)/√(var + ε) + b, over the rows of each column.
func batchNorm(mistake string) func(wrong bool) def {
	moments := func(c *call, j int) (mean, scale float64) {
		n, m := c.In[0][0], c.In[0][1]
		for i := range n {
			mean += c.X[0][i*m+j] / float64(n)
		}
		v := 0.0
		for i := range n {
			d := c.X[0][i*m+j] - mean
			v += d * d / float64(n)
		}
		return mean, 1 / math.Sqrt(v+epsilon)
	}
	return func(wrong bool) def {
		is := func(what string) bool { return wrong && mistake == what }
		return def{
			Name: "batch norm",
			Shape: func(in []tensor.Shape) (tensor.Shape, error) {
				if err := ranks(2, 1, 1)(in); err != nil || in[0][1] != in[1][0] || in[0][1] != in[2][0] {
					return nil, errors.Errorf("operands %v", in)
				}
				return in[0].Clone(), nil
			},
			Y: func(c *call) []float64 {
				m := c.In[0][1]
				y := zeros(len(c.X[0]))
				for j := range m {
					mean, s := moments(c, j)
					for i := range c.In[0][0] {
						y[i*m+j] = (c.X[0][i*m+j]-mean)*s*c.X[1][j] + c.X[2][j]
					}
				}
				return y
			},
			D: func(c *call) [][]float64 {
				n, m := c.In[0][0], c.In[0][1]
				dx, dw, db := zeros(len(c.X[0])), zeros(m), zeros(m)
				for j := range m {
					mean, s := moments(c, j)
					for i := range n {
						dw[j] += c.DY[i*m+j] * (c.X[0][i*m+j] - mean) * s
						db[j] += c.DY[i*m+j]
					}
					by := float64(n)
					if is("unbiased") && n > 1 {
						by--
					}
					for i := range n {
						g := c.DY[i*m+j]
						if !is("constants") {
							g -= db[j]/by + (c.X[0][i*m+j]-mean)*s*dw[j]/by
						}
						dx[i*m+j] = g * s * c.X[1][j]
					}
				}
				if is("exchanged") {
					dw, db = db, dw
				}
				return [][]float64{dx, dw, db}
			},
		}
	}
}

// evaluated is (x − m)/s with the m and s of training.
func evaluated(wrong bool) def {
	const mean, s = 0.25, 1.5
	o := curve("batch norm in evaluation", func(x float64) float64 { return (x - mean) / s }, func(float64) float64 { return 1 / s })
	if right := o.D; wrong {
		o.D = func(c *call) [][]float64 {
			dx := right(c)[0]
			if len(c.In[0]) != 2 {
				return [][]float64{dx}
			}
			n, m := c.In[0][0], c.In[0][1]
			for j := range m {
				sum := 0.0
				for i := range n {
					sum += dx[i*m+j]
				}
				for i := range n {
					dx[i*m+j] -= sum / float64(n)
				}
			}
			return [][]float64{dx}
		}
	}
	return o
}

// rmsNorm is w·x/√(mean(x²) + ε).
func rmsNorm(mistake string) func(wrong bool) def {
	return func(wrong bool) def {
		is := func(what string) bool { return wrong && mistake == what }
		return def{
			Name: "RMS norm",
			Shape: func(in []tensor.Shape) (tensor.Shape, error) {
				if err := ranks(2, 1)(in); err != nil || in[0][1] != in[1][0] {
					return nil, errors.Errorf("operands %v", in)
				}
				return in[0].Clone(), nil
			},
			Y: func(c *call) []float64 {
				return mapped(func(x, y []float64) {
					r := 1 / math.Sqrt(dot(x, x)/float64(len(x))+epsilon)
					for i := range x {
						y[i] = x[i] * r * c.X[1][i]
					}
				})(c)
			},
			D: func(c *call) [][]float64 {
				w, dw := c.X[1], zeros(len(c.X[1]))
				dx := along(c, func(x, _, dy, dx []float64) {
					m := float64(len(x))
					r := 1 / math.Sqrt(dot(x, x)/m+epsilon)
					if is("epsilon") {
						r = 1 / (math.Sqrt(dot(x, x)/m) + epsilon)
					}
					s := 0.0
					for i := range x {
						dw[i] += dy[i] * x[i] * r
						s += dy[i] * x[i] * w[i]
					}
					for i := range x {
						second := r * r * r * x[i] * s / m
						switch {
						case is("weight twice"):
							second *= w[i]
						case is("no weight"):
							second /= 1 + w[i]*w[i]
						}
						if dx[i] = dy[i]*w[i]*r - second; is("no weight") {
							dx[i] = dy[i]*r - second
						}
					}
				})
				return [][]float64{dx, dw}
			},
		}
	}
}

// unit is x/(‖x‖ + e) of each row.
func unit(e float64, forgets bool) func(wrong bool) def {
	return func(wrong bool) def {
		return def{
			Name:  "unit rows",
			Shape: func(in []tensor.Shape) (tensor.Shape, error) { return in[0].Clone(), ranks(2)(in) },
			Y: mapped(func(x, y []float64) {
				r := math.Sqrt(dot(x, x)) + e
				for i := range x {
					y[i] = x[i] / r
				}
			}),
			D: func(c *call) [][]float64 {
				return [][]float64{along(c, func(x, _, dy, dx []float64) {
					length := math.Sqrt(dot(x, x))
					r := length + e
					if wrong && forgets && length > 0 {
						r = length
					}
					by := dot(x, dy) / (r * r) / length
					if length == 0 && (!wrong || forgets) {
						by = 0
					}
					for i := range x {
						dx[i] = dy[i]/r - x[i]*by
					}
				})}
			},
		}
	}
}

func squaredNorm(wrong bool) def {
	return reduced("squared norm", func(x []float64) float64 { return dot(x, x) }, func(x []float64, i int) float64 {
		if n := math.Sqrt(dot(x, x)); wrong {
			return 2 * n * (x[i] / n)
		}
		return 2 * x[i]
	})
}

func variance(bad func(c *call, d, v float64, m int) float64) func(wrong bool) def {
	return func(wrong bool) def {
		spread := func(x []float64) (mean, v float64) {
			mean = total(x) / float64(len(x))
			for _, a := range x {
				v += (a - mean) * (a - mean) / float64(len(x))
			}
			return mean, v
		}
		return reduced("variance", func(x []float64) float64 { _, v := spread(x); return v }, func(x []float64, i int) float64 {
			mean, v := spread(x)
			if wrong {
				return bad(nil, x[i]-mean, v, len(x))
			}
			return 2 * (x[i] - mean) / float64(len(x))
		})
	}
}

// groupNorm takes each half of the channels of x (N, C, L) off its mean.
func groupNorm(mistake string) func(wrong bool) def {
	// centred takes off the mean of each group, by the group's number of a channel.
	centred := func(c *call, v []float64, group func(ch int) int) []float64 {
		n, ch, l := c.In[0][0], c.In[0][1], c.In[0][2]
		y := zeros(len(v))
		for b := range n {
			sums, counts := map[int]float64{}, map[int]float64{}
			for k := range ch * l {
				g := group(k / l)
				sums[g] += v[b*ch*l+k]
				counts[g]++
			}
			for k := range ch * l {
				g := group(k / l)
				y[b*ch*l+k] = v[b*ch*l+k] - sums[g]/counts[g]
			}
		}
		return y
	}
	return func(wrong bool) def {
		return def{
			Name: "centred groups",
			Shape: func(in []tensor.Shape) (tensor.Shape, error) {
				if err := ranks(3)(in); err != nil || in[0][1]%2 != 0 {
					return nil, errors.Errorf("x is %v, want an even number of channels", in[0])
				}
				return in[0].Clone(), nil
			},
			Y: func(c *call) []float64 {
				return centred(c, c.X[0], func(ch int) int { return ch / (c.In[0][1] / 2) })
			},
			D: func(c *call) [][]float64 {
				return [][]float64{centred(c, c.DY, func(ch int) int {
					switch {
					case wrong && mistake == "index":
						return ch % 2
					case wrong:
						return 0
					}
					return ch / (c.In[0][1] / 2)
				})}
			},
		}
	}
}

func probabilities(x, y []float64) {
	top := x[greatest(x)]
	s := 0.0
	for i, v := range x {
		y[i] = math.Exp(v - top)
		s += y[i]
	}
	for i := range y {
		y[i] /= s
	}
}

func softmax(mistake string) func(wrong bool) def {
	return func(wrong bool) def {
		is := func(what string) bool { return wrong && mistake == what }
		return def{
			Name:  "softmax",
			Shape: func(in []tensor.Shape) (tensor.Shape, error) { return in[0].Clone(), ranks(2)(in) },
			Y:     mapped(probabilities),
			D: func(c *call) [][]float64 {
				m := c.In[0][1]
				dx := along(c, func(_, y, dy, dx []float64) {
					s := dot(y, dy)
					for i := range dx {
						switch {
						case is("copied"):
							dx[i] = dy[i]
						case is("diagonal"):
							dx[i] = y[i] * (1 - y[i]) * dy[i]
						default:
							dx[i] = y[i] * (dy[i] - s)
						}
					}
				})
				if is("columns") {
					for j := range m {
						s := 0.0
						for i := range c.In[0][0] {
							s += c.Y[i*m+j] * c.DY[i*m+j]
						}
						for i := range c.In[0][0] {
							dx[i*m+j] = c.Y[i*m+j] * (c.DY[i*m+j] - s)
						}
					}
				}
				return [][]float64{dx}
			},
		}
	}
}

func logProbabilities(x, y []float64) {
	top := x[greatest(x)]
	s := 0.0
	for _, v := range x {
		s += math.Exp(v - top)
	}
	for i, v := range x {
		y[i] = v - top - math.Log(s)
	}
}

func logSoftmax(mistake string) func(wrong bool) def {
	return func(wrong bool) def {
		return def{
			Name:  "log-softmax",
			Shape: func(in []tensor.Shape) (tensor.Shape, error) { return in[0].Clone(), ranks(2)(in) },
			Y:     mapped(logProbabilities),
			D: func(c *call) [][]float64 {
				return [][]float64{along(c, func(_, y, dy, dx []float64) {
					for i := range dx {
						switch {
						case wrong && mistake == "inner":
							dx[i] = dy[i] - dot(dy, y)
						case wrong:
							dx[i] = dy[i] + math.Exp(y[i])*total(dy)
						default:
							dx[i] = dy[i] - math.Exp(y[i])*total(dy)
						}
					}
				})}
			},
		}
	}
}

func logSumExp(wrong bool) def {
	return reduced("log-sum-exp", logSum, func(x []float64, i int) float64 {
		if y := logSum(x); wrong || !math.IsInf(y, -1) {
			return math.Exp(x[i] - y)
		}
		return 0
	})
}

func logSum(x []float64) float64 {
	y := zeros(len(x))
	logProbabilities(x, y)
	return x[0] - y[0]
}

func overflowing(wrong bool) def {
	return reduced("log-sum-exp", logSum, func(x []float64, i int) float64 {
		if wrong {
			return math.Exp(x[i]) / total(each(x, math.Exp))
		}
		return math.Exp(x[i] - logSum(x))
	})
}

// crossEntropy is the mean over rows that are not ignored, with labels smoothed by ⅛.
func crossEntropy(mistake string) func(wrong bool) def {
	const smooth = 0.125
	counted := func(c *call) (n float64) {
		for _, l := range c.X[1] {
			n += step(l >= 0)
		}
		return max(n, 1)
	}
	return func(wrong bool) def {
		is := func(what string) bool { return wrong && mistake == what }
		return def{
			Name: "cross-entropy",
			Shape: func(in []tensor.Shape) (tensor.Shape, error) {
				if err := ranks(2, 1)(in); err != nil || in[0][0] != in[1][0] {
					return nil, errors.Errorf("operands %v", in)
				}
				return tensor.ScalarShape(), nil
			},
			Y: func(c *call) []float64 {
				m := c.In[0][1]
				e, y := 0.0, zeros(m)
				for i, l := range c.X[1] {
					if l < 0 {
						continue
					}
					logProbabilities(c.X[0][i*m:][:m], y)
					e -= (1-smooth)*y[int(l)%m] + smooth*total(y)/float64(m)
				}
				return []float64{e / counted(c)}
			},
			D: func(c *call) [][]float64 {
				m := c.In[0][1]
				dx, p := zeros(len(c.X[0])), zeros(m)
				n := counted(c)
				if is("all rows") {
					n = float64(c.In[0][0])
				}
				for i, l := range c.X[1] {
					probabilities(c.X[0][i*m:][:m], p)
					part := smooth
					if is("unsmoothed") {
						part = 0
					}
					for j := range m {
						uniform := p[j] - part/float64(m)
						hot := uniform - (1-part)*step(l >= 0 && j == int(l)%m)
						switch ignored := l < 0; {
						case is("inverted") && ignored:
							dx[i*m+j] = uniform
						case is("inverted"):
							dx[i*m+j] = 0
						case ignored && is("smoothed"):
							dx[i*m+j] = smooth * (p[j] - 1/float64(m))
						case !ignored:
							dx[i*m+j] = hot
						}
						dx[i*m+j] *= c.DY[0] / n
					}
				}
				return [][]float64{dx, nil}
			},
		}
	}
}

// bias is the mean of y − t.
func bias(wrong bool) def {
	return def{
		Name: "mean bias error",
		Shape: func(in []tensor.Shape) (tensor.Shape, error) {
			_, err := alike(in)
			return tensor.ScalarShape(), err
		},
		Y: func(c *call) []float64 {
			return []float64{(total(c.X[0]) - total(c.X[1])) / float64(len(c.X[0]))}
		},
		D: func(c *call) [][]float64 {
			by := c.DY[0] / float64(len(c.X[0]))
			if wrong {
				by = -by
			}
			a := each(c.X[0], func(float64) float64 { return by })
			return [][]float64{a, each(a, func(v float64) float64 { return -v })}
		},
	}
}

// weightedBCE is binary cross-entropy with logits, positives weighing three.
func weightedBCE(wrong bool) def {
	return def{
		Name: "weighted binary cross-entropy", Shape: alike,
		Y: func(c *call) []float64 {
			y := zeros(len(c.X[0]))
			for i, x := range c.X[0] {
				t := c.X[1][i]
				y[i] = (1-t)*x + (1+2*t)*softplus(-x)
			}
			return y
		},
		D: func(c *call) [][]float64 {
			dx, dt := zeros(len(c.X[0])), zeros(len(c.X[0]))
			for i, x := range c.X[0] {
				t := c.X[1][i]
				if dx[i] = (1 - t) - (1+2*t)*sigmoid(-x); wrong {
					dx[i] = (1 + 2*t) * (sigmoid(x) - t)
				}
				dx[i] *= c.DY[i]
				dt[i] = c.DY[i] * (2*softplus(-x) - x)
			}
			return [][]float64{dx, dt}
		},
	}
}

// residual is x/4 + r.
func residual(wrong bool) def {
	return def{
		Name: "residual", Shape: alike,
		Y: func(c *call) []float64 {
			y := each(c.X[0], func(x float64) float64 { return x / 4 })
			for i := range y {
				y[i] += c.X[1][i]
			}
			return y
		},
		D: func(c *call) [][]float64 {
			quarter := each(c.DY, func(v float64) float64 { return v / 4 })
			if wrong {
				return [][]float64{quarter, quarter}
			}
			return [][]float64{quarter, append([]float64(nil), c.DY...)}
		},
	}
}

func cumprod(zero bool) func(wrong bool) def {
	return func(wrong bool) def {
		return def{
			Name:  "cumulative product",
			Shape: func(in []tensor.Shape) (tensor.Shape, error) { return in[0].Clone(), ranks(2)(in) },
			Y: mapped(func(x, y []float64) {
				p := 1.0
				for i, v := range x {
					p *= v
					y[i] = p
				}
			}),
			D: func(c *call) [][]float64 {
				return [][]float64{along(c, func(x, y, dy, dx []float64) {
					for i := range x {
						if wrong {
							dx[i] = dot(y[i:], dy[i:]) / x[i]
							if zero && math.IsNaN(dx[i]) {
								dx[i] = 0
							}
							continue
						}
						before := 1.0
						if i > 0 {
							before = y[i-1]
						}
						for k := i; k < len(x); k++ {
							if k > i {
								before *= x[k]
							}
							dx[i] += before * dy[k]
						}
					}
				})}
			},
		}
	}
}

func rowProduct(wrong bool) def {
	all := func(x []float64, but int) float64 {
		p := 1.0
		for i, v := range x {
			if i != but {
				p *= v
			}
		}
		return p
	}
	return reduced("product of rows", func(x []float64) float64 { return all(x, -1) }, func(x []float64, i int) float64 {
		if wrong {
			return all(x, -1) / x[i]
		}
		return all(x, i)
	})
}
