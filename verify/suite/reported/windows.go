package reported

import (
	"github.com/pkg/errors"
	"gorgonia.org/tensor"

	"github.com/convgrad/convgrad/internal/kernel"
	"github.com/convgrad/convgrad/verify"
)

// windowed are mistakes in convolutions, pools and resizing.
func windowed() []Mistake {
	image := func(n, c, h, w int) verify.Input { return verify.Normal("x", n, c, h, w) }
	plain := kernel.Spatial{StrideH: 1, StrideW: 1, DilationH: 1, DilationW: 1}
	dilated, strided, padded := plain, plain, plain
	dilated.DilationH, strided.StrideH, strided.StrideW = 2, 2, 2
	padded.PadTop, padded.PadLeft = 1, 1
	both := dilated
	both.StrideH, both.StrideW = 2, 1
	x, w := image(1, 2, 5, 4), verify.Normal("w", 3, 2, 2, 2)
	return []Mistake{
		{Kind: "stride and dilation exchanged", Report: "candle#2337", What: "the backward pass takes the dilation for the stride", Inputs: []verify.Input{image(1, 2, 6, 5), w}, Seen: AtOneShape,
			op: convolution(both, 1, func(g *kernel.Conv) {
				g.Rows.Stride, g.Rows.Dilation = g.Rows.Dilation, g.Rows.Stride
				g.Cols.Stride, g.Cols.Dilation = 2, 1
			}, nil)},
		{Kind: "stride and dilation exchanged", Report: "tensorflow#31514", What: "the backward pass has a dilation of 1", Hints: []string{"only at index 1 of axis 2"}, Inputs: []verify.Input{image(1, 2, 6, 5), w}, Seen: AtOneShape,
			op: convolution(dilated, 1, func(g *kernel.Conv) { g.Rows.Dilation = 1 }, nil)},
		{Kind: "a stride of 1", Report: "DepthwiseConvolution#20", What: "the backward pass has a stride of 1", Inputs: []verify.Input{image(1, 2, 5, 5), verify.Normal("w", 2, 1, 2, 2)}, Seen: AtOneShape,
			op: convolution(strided, 2, func(g *kernel.Conv) { g.Rows.Stride, g.Cols.Stride = 1, 1 }, nil)},
		{Kind: "groups mixed", Report: "mlx#3800", What: "dx takes the filters of the first group for every group", Inputs: []verify.Input{image(1, 4, 4, 3), verify.Normal("w", 4, 2, 2, 2)}, Seen: AtOneShape,
			op: convolution(strided, 2, nil, func(g kernel.Conv, c *call, d [][]float64) {
				half := len(c.X[1]) / 2
				w := append(append([]float64(nil), c.X[1][:half]...), c.X[1][:half]...)
				clear(d[0])
				g.Taps(func(yi, xi, wi int) { d[0][xi] += c.DY[yi] * w[wi] })
			})},
		{Kind: "groups mixed", Report: "burn#1891", What: "the filters' gradients are stored a group too far", Hints: []string{"reversed along axis 0"}, Inputs: []verify.Input{image(1, 4, 4, 3), verify.Normal("w", 4, 2, 2, 2)}, Seen: AtOneShape,
			op: convolution(plain, 2, nil, func(g kernel.Conv, c *call, d [][]float64) {
				half := len(d[1]) / 2
				d[1] = append(append([]float64(nil), d[1][half:]...), d[1][:half]...)
			})},
		{Kind: "padding counted", Report: "AMDMIGraphX#5007", What: "the backward pass has the padding on the other side", Inputs: []verify.Input{x, w}, Seen: AtOneShape,
			op: convolution(padded, 1, func(g *kernel.Conv) { g.Rows.Before, g.Cols.Before = 0, 0 }, nil)},
		{Kind: "a bias not summed over space", Report: "nd4j#2424", What: "the bias's gradient is that of the first row and column", Inputs: []verify.Input{image(2, 3, 3, 2), verify.Normal("b", 3)}, Seen: AtOneShape, op: channelBias(func(i, l int) float64 { return step(i%l == 0) })},
		{Kind: "a bias not summed over space", Report: "tfjs-core#398", What: "the bias's gradient is a mean over space", Inputs: []verify.Input{image(2, 3, 3, 2), verify.Normal("b", 3)}, Seen: AtOneShape, Hints: []string{"a constant factor"}, op: channelBias(func(_, l int) float64 { return 1 / float64(l) })},
		{Kind: "windows that overlap", Report: "NNlib.jl#205", What: "max pooling stores where it should add", Inputs: []verify.Input{verify.Permutation("x", 5, 4)}, Seen: AtOneShape, op: maxPool("stored")},
		{Kind: "windows that overlap", Report: "tensorflow#40122", What: "a tie gives dy to the last of the greatest, forwards' indices to the first", Inputs: []verify.Input{verify.Integers("x", 1, 5, 4)}, Seen: Never,
			Why: "any share of a tie is right", op: maxPool("last")},
		{Kind: "padding counted", Report: "burn#5604", What: "the divisor of a window that hangs over is the full window's in the backward pass", Hints: []string{"only at index"}, Inputs: []verify.Input{verify.Normal("x", 2, 5)}, Seen: AtOneShape, op: avgPool(func(n int) float64 { return 2 })},
		{Kind: "padding counted", Report: "pytorch#198119", What: "the same in windows of three, on sides that they cover", Hints: []string{"only at index"}, Inputs: []verify.Input{verify.Normal("x", 2, 6)}, Seen: ByVarying, op: avgPool3},
		{Kind: "a divisor ignored", Report: "executorch#18616", What: "the backward pass divides by the window, not by the divisor given", Inputs: []verify.Input{verify.Normal("x", 2, 6)}, Seen: AtOneShape, Hints: []string{"a constant factor"}, op: divisor},
		{Kind: "a window too small", Report: "FlagGems#5218", What: "linear resizing: the outputs behind three to a side are left out of the gradient", Inputs: []verify.Input{verify.Normal("x", 2, 4)}, Seen: ByVarying, op: resize},
		{Kind: "a wrong map of indices", Report: "pytorch#38985", What: "nearest resizing by ½: the gradient goes to the last pixel, not to the first", Hints: []string{"shifted by +1 along axis 1"}, Inputs: []verify.Input{verify.Normal("x", 2, 6)}, Seen: AtOneShape, op: nearest(func(i, n int) int { return 2*i + 1 })},
		{Kind: "a wrong map of indices", Report: "pytorch#97135", What: "nearest resizing: the map from inputs to outputs rounds otherwise", Inputs: []verify.Input{verify.Normal("x", 2, 6)}, Seen: AtOneShape, op: nearest(func(i, n int) int { return min(2*i+i%2, n-1) })},
	}
}

// convolution has x and w for operands. geometry makes the backward pass's wrong; after changes its
// gradients.
func convolution(sp kernel.Spatial, groups int, geometry func(g *kernel.Conv), after func(g kernel.Conv, c *call, d [][]float64)) func(wrong bool) def {
	of := func(in []tensor.Shape) (kernel.Conv, error) {
		if err := ranks(4, 4)(in); err != nil {
			return kernel.Conv{}, err
		}
		x, w := in[0], in[1]
		if x[1] != w[1]*groups {
			return kernel.Conv{}, errors.Errorf("x is %v and w %v in %d groups", x, w, groups)
		}
		return kernel.NewConv(x[0], x[1], x[2], x[3], w[0], w[2], w[3], groups, sp, false)
	}
	return func(wrong bool) def {
		return def{
			Name: "convolution",
			Shape: func(in []tensor.Shape) (tensor.Shape, error) {
				g, err := of(in)
				return tensor.Shape{g.N, g.K, g.P, g.Q}, err
			},
			Y: func(c *call) []float64 {
				g, _ := of(c.In)
				y := zeros(g.YLen())
				g.Taps(func(yi, xi, wi int) { y[yi] += c.X[0][xi] * c.X[1][wi] })
				return y
			},
			D: func(c *call) [][]float64 {
				g, _ := of(c.In)
				right := g
				if wrong && geometry != nil {
					geometry(&g)
				}
				d := [][]float64{zeros(len(c.X[0])), zeros(len(c.X[1]))}
				g.Taps(func(yi, xi, wi int) {
					if yi < len(c.DY) && xi < len(d[0]) && wi < len(d[1]) {
						d[0][xi] += c.DY[yi] * c.X[1][wi]
						d[1][wi] += c.DY[yi] * c.X[0][xi]
					}
				})
				if wrong && after != nil {
					after(right, c, d)
				}
				return d
			},
		}
	}
}

// channelBias is x + b for each channel.
func channelBias(weight func(i, l int) float64) func(wrong bool) def {
	return func(wrong bool) def {
		return def{
			Name: "bias of channels",
			Shape: func(in []tensor.Shape) (tensor.Shape, error) {
				if err := ranks(4, 1)(in); err != nil || in[0][1] != in[1][0] {
					return nil, errors.Errorf("operands %v", in)
				}
				return in[0].Clone(), nil
			},
			Y: func(c *call) []float64 {
				l := c.In[0][2] * c.In[0][3]
				y := append([]float64(nil), c.X[0]...)
				for i := range y {
					y[i] += c.X[1][i/l%len(c.X[1])]
				}
				return y
			},
			D: func(c *call) [][]float64 {
				l := c.In[0][2] * c.In[0][3]
				db := zeros(len(c.X[1]))
				for i, v := range c.DY {
					by := 1.0
					if wrong {
						by = weight(i, l)
					}
					db[i/l%len(db)] += by * v
				}
				return [][]float64{append([]float64(nil), c.DY...), db}
			},
		}
	}
}

// maxPool has windows of 2×2 at stride 1.
func maxPool(mistake string) func(wrong bool) def {
	return func(wrong bool) def {
		o := swappedSides(false)
		winner := func(c *call, i, j int) int {
			w := c.In[0][1]
			best := i*w + j
			for _, k := range []int{i*w + j + 1, (i+1)*w + j, (i+1)*w + j + 1} {
				if c.X[0][k] > c.X[0][best] || wrong && mistake == "last" && c.X[0][k] == c.X[0][best] {
					best = k
				}
			}
			return best
		}
		o.D = func(c *call) [][]float64 {
			dx := zeros(len(c.X[0]))
			for i := range c.Out[0] {
				for j := range c.Out[1] {
					at, v := winner(c, i, j), c.DY[i*c.Out[1]+j]
					if dx[at] += v; wrong && mistake == "stored" {
						dx[at] = v
					}
				}
			}
			return [][]float64{dx}
		}
		return o
	}
}

// pooled are means of windows of a row, side by side; the last hangs over.
func pooled(window int, by func(n int) float64, backward func(n int) float64) def {
	count := func(c *call, i int) int { return min(window, c.In[0][1]-i*window) }
	return def{
		Name: "average pooling",
		Shape: func(in []tensor.Shape) (tensor.Shape, error) {
			if err := ranks(2)(in); err != nil {
				return nil, err
			}
			return tensor.Shape{in[0][0], (in[0][1] + window - 1) / window}, nil
		},
		Y: func(c *call) []float64 {
			y := zeros(c.Out[0] * c.Out[1])
			for i, v := range c.X[0] {
				r, k := i/c.In[0][1], i%c.In[0][1]/window
				y[r*c.Out[1]+k] += v / by(count(c, k))
			}
			return y
		},
		D: func(c *call) [][]float64 {
			dx := zeros(len(c.X[0]))
			for i := range dx {
				r, k := i/c.In[0][1], i%c.In[0][1]/window
				dx[i] = c.DY[r*c.Out[1]+k] / backward(count(c, k))
			}
			return [][]float64{dx}
		},
	}
}

func counted(n int) float64 { return float64(n) }

func avgPool(bad func(n int) float64) func(wrong bool) def {
	return func(wrong bool) def {
		if wrong {
			return pooled(2, counted, bad)
		}
		return pooled(2, counted, counted)
	}
}

func avgPool3(wrong bool) def {
	if wrong {
		return pooled(3, counted, func(int) float64 { return 3 })
	}
	return pooled(3, counted, counted)
}

func divisor(wrong bool) def {
	five := func(int) float64 { return 5 }
	if wrong {
		return pooled(2, five, func(int) float64 { return 2 })
	}
	return pooled(2, five, five)
}

// resize interpolates each row to seven numbers, first and last at the borders.
func resize(wrong bool) def {
	const to = 7
	at := func(o, n int) (int, float64) {
		p := float64(o) * float64(n-1) / (to - 1)
		k := min(int(p), max(n-2, 0))
		return k, p - float64(k)
	}
	return def{
		Name: "linear resizing",
		Shape: func(in []tensor.Shape) (tensor.Shape, error) {
			if err := ranks(2)(in); err != nil || in[0][1] < 2 {
				return nil, errors.Errorf("x is %v, want two columns or more", in[0])
			}
			return tensor.Shape{in[0][0], to}, nil
		},
		Y: func(c *call) []float64 {
			n := c.In[0][1]
			y := zeros(c.In[0][0] * to)
			for i := range y {
				k, t := at(i%to, n)
				row := c.X[0][i/to*n:]
				y[i] = (1-t)*row[k] + t*row[k+1]
			}
			return y
		},
		D: func(c *call) [][]float64 {
			n := c.In[0][1]
			dx := zeros(len(c.X[0]))
			for i, v := range c.DY {
				k, t := at(i%to, n)
				for s, share := range []float64{1 - t, t} {
					centre := float64(k+s) * (to - 1) / float64(n-1)
					if d := float64(i%to) - centre; wrong && (d > 3 || d < -3) {
						continue
					}
					dx[i/to*n+k+s] += share * v
				}
			}
			return [][]float64{dx}
		},
	}
}

// nearest keeps every second number of each row.
func nearest(bad func(i, n int) int) func(wrong bool) def {
	return func(wrong bool) def {
		return def{
			Name: "nearest resizing",
			Shape: func(in []tensor.Shape) (tensor.Shape, error) {
				if err := ranks(2)(in); err != nil || in[0][1] < 2 {
					return nil, errors.Errorf("x is %v, want two columns or more", in[0])
				}
				return tensor.Shape{in[0][0], in[0][1] / 2}, nil
			},
			Y: func(c *call) []float64 {
				n, m := c.In[0][1], c.Out[1]
				y := zeros(c.Out[0] * m)
				for i := range y {
					y[i] = c.X[0][i/m*n+2*(i%m)]
				}
				return y
			},
			D: func(c *call) [][]float64 {
				n, m := c.In[0][1], c.Out[1]
				dx := zeros(len(c.X[0]))
				for i, v := range c.DY {
					at := 2 * (i % m)
					if wrong {
						at = min(bad(i%m, n), n-1)
					}
					dx[i/m*n+at] += v
				}
				return [][]float64{dx}
			},
		}
	}
}
