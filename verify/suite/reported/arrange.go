package reported

import (
	"slices"
	"sync"

	"github.com/pkg/errors"
	"gorgonia.org/tensor"

	"github.com/convgrad/convgrad/verify"
)

// arranging are mistakes in ops that move elements: gathers, copies, sums along axes, layouts,
// buffers and races.
func arranging() []Mistake {
	x23 := verify.Normal("x", 2, 3)
	return []Mistake{
		{Kind: "repeated indices", Report: "pytorch#1631", What: "the last of the rows gathered twice overwrites the others' gradient", Hints: []string{"only at index"},
			Inputs: []verify.Input{verify.Normal("x", 4, 2), verify.Labels("rows", 4, 6)}, Seen: AtOneShape, op: gather(func(dx []float64, at int, v float64) { dx[at] = v })},
		{Kind: "repeated indices", Report: "pytorch#1528", What: "only the first of two copies of a row is differentiated", Hints: []string{"not linear in dy"},
			Inputs: []verify.Input{verify.Normal("x", 3, 2), verify.Labels("rows", 3, 5)}, Seen: AtOneShape, op: gather(func(dx []float64, at int, v float64) {
				if dx[at] == 0 {
					dx[at] = v
				}
			})},
		{Kind: "wrong indices", Report: "AiDotNet.Tensors#894", What: "the gradient of a gather is gathered, not scattered",
			Inputs: []verify.Input{verify.Normal("x", 4, 2), verify.Labels("rows", 4, 3)}, Seen: AtOneShape, op: gatheredGradient},
		{Kind: "a buffer that is not cleared", Report: "executorch#21686", What: "the scatter adds to what its destination holds",
			Inputs: []verify.Input{verify.Permutation("x", 2, 4)}, Seen: AtOneShape, op: dirtyMax},
		{Kind: "a buffer that is not cleared", Report: "executorch#21687", What: "the buffer of the gradient lives in the op and is cleared where it is written only", Hints: []string{"keeps something of another run"},
			Inputs: []verify.Input{verify.Normal("x", 4, 1), verify.Labels("rows", 4, 2)}, Seen: AtOneShape, op: keptBuffer},
		{Kind: "the layout of dy", Report: "flash-attention#355", What: "the rule takes dy's memory to be row-major", Hints: []string{"layout"},
			Inputs: []verify.Input{verify.Normal("x", 2, 2)}, Seen: AtOneShape, op: rawSquare},
		{Kind: "the layout of dy", Report: "torch/nn#345", What: "the rule of a mean takes dy's memory to be row-major", Hints: []string{"layout"},
			Inputs: []verify.Input{verify.Normal("x", 3, 2, 4)}, Seen: AtOneShape, op: rawMean},
		{Kind: "the layout of dy", Report: "pytorch#708", What: "the filter's gradient takes dy's memory to be row-major", Hints: []string{"layout"},
			Inputs: []verify.Input{verify.Normal("x", 2, 5), verify.Normal("w", 3)}, Seen: AtOneShape, op: rawConv},
		{Kind: "the layout of operands", Report: "pytorch#69997", What: "the gradient takes x's memory to be row-major", Hints: []string{"layout"},
			Inputs: []verify.Input{verify.Normal("x", 3, 2), verify.Normal("y", 4, 2)}, Seen: AtOneShape, op: rawDistances},
		{Kind: "a wrong axis", Report: "Odyssey#2080", What: "the gradient of what is broadcast is summed over the other axis",
			Inputs: []verify.Input{verify.Normal("x", 3, 3), verify.Normal("b", 3)}, Seen: AtOneShape, op: addRow(func(c *call, i, j int) (int, float64) { return i, 1 })},
		{Kind: "broadcasting not summed", Report: "tvm#2465", What: "what was broadcast gets the gradient of one row, not of their sum",
			Inputs: []verify.Input{x23, verify.Normal("b", 3)}, Seen: AtOneShape, op: addRow(func(c *call, i, j int) (int, float64) {
				if i > 0 {
					return j, 0
				}
				return j, 1
			})},
		{Kind: "a mean for a sum", Report: "tfjs-core#398", What: "what was broadcast gets the mean of the rows' gradients, not their sum",
			Inputs: []verify.Input{x23, verify.Normal("b", 3)}, Seen: AtOneShape, Hints: []string{"constant factor"}, op: addRow(func(c *call, i, j int) (int, float64) { return j, 1 / float64(c.In[0][0]) })},
		{Kind: "broadcasting not summed", Report: "tt-metal#40008", What: "a factor that was broadcast along rows gets the gradient of the first column",
			Inputs: []verify.Input{verify.Normal("x", 3, 4), verify.Normal("m", 3, 1)}, Seen: AtOneShape, op: mulColumn(false)},
		{Kind: "broadcasting not summed", Report: "burn#181", What: "where the other operand is the broadcast one, its gradient is summed and the first's is, too",
			Inputs: []verify.Input{verify.Normal("x", 3, 4), verify.Normal("m", 3, 1)}, Seen: AtOneShape, op: mulColumn(true)},
		{Kind: "state between runs", Report: "pytorch#586", What: "the backward pass uses statistics that the last forward pass left", Hints: []string{"keeps something of another run"},
			Inputs: []verify.Input{verify.Normal("x", 2, 3)}, Seen: AtOneShape, op: keptInput},
		{Kind: "state between runs", Report: "gorgonia#543", What: "the gradient of the run before is added again", Hints: []string{"keeps something of another run"},
			Inputs: []verify.Input{verify.Normal("x", 2, 3)}, Seen: AtOneShape, op: keptGradient},
		{Kind: "a race", Report: "flash-linear-attention#889", What: "goroutines add to one sum without a lock, and some of it is lost", Hints: []string{"is added to every element"},
			Inputs: []verify.Input{verify.Normal("x", 6)}, Seen: AtOneShape, op: race(false)},
		{Kind: "a race", Report: "pytorch#187687", What: "now and then a part is read before it is written: the same dy gives another dx", Hints: []string{"is added to every element", "keeps something of another run"},
			Inputs: []verify.Input{verify.Normal("x", 2, 4)}, Seen: AtOneShape, op: race(true)},
		{Kind: "only the first item", Report: "CNN-from-scratch#1", What: "the loop over windows returns after the first",
			Inputs: []verify.Input{verify.Permutation("x", 2, 6)}, Seen: AtOneShape, op: firstWindow},
		{Kind: "a long axis", Report: "pytorch#192016", What: "above 65536 rows the gradient of the scale is taken from a buffer that is too narrow",
			Inputs: []verify.Input{verify.Normal("x", 3, 2), verify.Normal("w", 2)}, Seen: Never, Why: "no axis is made as long as 65537", op: scaleRows(2, rows(65536))},
		{Kind: "a long axis", Report: "FlagGems#5014", What: "rows from the 129th on are left out of the scale's gradient",
			Inputs: []verify.Input{verify.Normal("x", 3, 2), verify.Normal("w", 2)}, Seen: ByVarying, op: scaleRows(2, rows(128))},
		{Kind: "a block's rest", Report: "1bit-MONSTER#301", What: "rows behind the last whole block of 16 are left out of the scale's gradient",
			Inputs: []verify.Input{verify.Normal("x", 4, 3), verify.Normal("w", 3)}, Seen: ByVarying, op: scaleRows(2, func(in tensor.Shape) int {
				if in[0] < 16 {
					return in[0]
				}
				return in[0] / 16 * 16
			})},
		{Kind: "a long axis", Report: "llm.c#439", What: "rows from the 769th on are left out of the scale's gradient",
			Inputs: []verify.Input{verify.Normal("x", 4, 3), verify.Normal("w", 3)}, Seen: ByVarying, op: scaleRows(2, rows(768))},
		{Kind: "even sides", Report: "composable_kernel#2478", What: "where the number of columns is even, two columns' gradients are exchanged", Hints: []string{"reversed along axis 0"},
			Inputs: []verify.Input{verify.Normal("x", 4, 3), verify.Normal("w", 3)}, Seen: ByVarying, op: evenColumns},
		{Kind: "integer overflow of strides", Report: "pytorch#188467", What: "offsets are 32 bits: rows from the 2³¹st element on lose their gradient",
			Inputs: []verify.Input{verify.Normal("x", 3, 2), verify.Normal("w", 2)}, Seen: Never, Why: "no tensor of 2³¹ elements is made", op: scaleRows(2, rows(1<<31))},
		{Kind: "integer overflow of strides", Report: "mamba#884", What: "offsets are 16 bits here: elements from the 2¹⁰th on of an axis are written where others are",
			Inputs: []verify.Input{verify.Normal("x", 5)}, Seen: ByVarying, op: wrappedOffsets},
		{Kind: "height and width swapped", Report: "pytorch#36820", What: "the loops of the backward pass take the height for the width",
			Inputs: []verify.Input{verify.Permutation("x", 4, 4)}, Seen: ByVarying, op: swappedSides},
		{Kind: "a wrong shape", Report: "FlagGems#4916", What: "the number of rows is taken from the first axis, so a third axis is left out",
			Inputs: []verify.Input{verify.Normal("x", 2, 3, 2), verify.Normal("w", 2)}, Seen: AtOneShape, op: scaleRows(3, func(in tensor.Shape) int { return in[0] })},
		{Kind: "scatter", Report: "pytorch#188843", What: "of a source that is longer than the index, the part behind gets the gradient, too",
			Inputs: []verify.Input{verify.Normal("x", 5), verify.Labels("at", 3, 3)}, Seen: AtOneShape, op: scatterShort},
	}
}

// gather picks rows of x: y[i] = x[rows[i]]. store is the wrong way to sum.
func gather(store func(dx []float64, at int, v float64)) func(wrong bool) def {
	return func(wrong bool) def {
		o := gatherRows()
		o.D = func(c *call) [][]float64 {
			m := c.In[0][1]
			dx := zeros(len(c.X[0]))
			for i, r := range c.X[1] {
				for j := range m {
					if at, v := int(r)*m+j, c.DY[i*m+j]; wrong {
						store(dx, at, v)
					} else {
						dx[at] += v
					}
				}
			}
			return [][]float64{dx, nil}
		}
		return o
	}
}

func gatherRows() def {
	return def{
		Name: "gather",
		Shape: func(in []tensor.Shape) (tensor.Shape, error) {
			return tensor.Shape{in[1][0], in[0][1]}, nil
		},
		Y: func(c *call) []float64 {
			m := c.In[0][1]
			var y []float64
			for _, r := range c.X[1] {
				y = append(y, c.X[0][int(r)*m:][:m]...)
			}
			return y
		},
	}
}

func gatheredGradient(wrong bool) def {
	o := gather(nil)(false)
	if right := o.D; wrong {
		o.D = func(c *call) [][]float64 {
			dx, m := right(c)[0], c.In[0][1]
			for d := range c.In[0][0] {
				r := int(c.X[1][d%len(c.X[1])])
				for j := range m {
					dx[d*m+j] = c.DY[r%len(c.X[1])*m+j]
				}
			}
			return [][]float64{dx, nil}
		}
	}
	return o
}

// dirtyMax is the maximum of each row.
func dirtyMax(wrong bool) def {
	o := rowMax()
	o.MemoryD = true
	o.D = func(c *call) [][]float64 {
		dx := zeros(len(c.X[0]))
		if wrong && c.Dst != nil {
			copy(dx, c.Dst)
		}
		m := c.In[0][1]
		for i := range c.In[0][0] {
			dx[i*m+greatest(c.X[0][i*m:][:m])] += c.DY[i]
		}
		return [][]float64{dx}
	}
	return o
}

// greatest is the place of the first of the greatest elements.
func greatest(x []float64) int {
	best := 0
	for i, v := range x {
		if v > x[best] {
			best = i
		}
	}
	return best
}

func rowMax() def {
	return def{
		Name:  "max of rows",
		Shape: func(in []tensor.Shape) (tensor.Shape, error) { return tensor.Shape{in[0][0]}, ranks(2)(in) },
		Y: func(c *call) []float64 {
			var y []float64
			m := c.In[0][1]
			for i := range c.In[0][0] {
				y = append(y, slices.Max(c.X[0][i*m:][:m]))
			}
			return y
		},
	}
}

// keptBuffer is a gather whose gradient is scattered into a buffer of the op's.
func keptBuffer(wrong bool) def {
	var buffer []float64
	o := gatherRows()
	o.D = func(c *call) [][]float64 {
		m := c.In[0][1]
		if len(buffer) != len(c.X[0]) || !wrong {
			buffer = zeros(len(c.X[0]))
		}
		for _, r := range c.X[1] {
			clear(buffer[int(r)*m:][:m])
		}
		for i, r := range c.X[1] {
			for j := range m {
				buffer[int(r)*m+j] += c.DY[i*m+j]
			}
		}
		return [][]float64{slices.Clone(buffer), nil}
	}
	return o
}

func rawSquare(wrong bool) def {
	o := curve("square", func(x float64) float64 { return x * x }, func(x float64) float64 { return 2 * x })
	o.Name = "cotangent in memory's order"
	if wrong {
		o = def{Name: o.Name, Y: o.Y, RawD: true, D: o.D}
	}
	return o
}

func rawMean(wrong bool) def {
	return def{
		Name: "mean of the last axis",
		Shape: func(in []tensor.Shape) (tensor.Shape, error) {
			return in[0][:2].Clone(), ranks(3)(in)
		},
		RawD: wrong,
		Y: func(c *call) []float64 {
			m := c.In[0][2]
			y := zeros(c.In[0][0] * c.In[0][1])
			for i, v := range c.X[0] {
				y[i/m] += v / float64(m)
			}
			return y
		},
		D: func(c *call) [][]float64 {
			m := c.In[0][2]
			dx := zeros(len(c.X[0]))
			for i := range dx {
				dx[i] = c.DY[i/m] / float64(m)
			}
			return [][]float64{dx}
		},
	}
}

// rawConv correlates each row with a short filter.
func rawConv(wrong bool) def {
	o := correlation(func(c *call) [][]float64 { return correlated(c) })
	o.RawD = wrong
	return o
}

func correlation(d func(c *call) [][]float64) def {
	return def{
		Name: "correlation of rows",
		Shape: func(in []tensor.Shape) (tensor.Shape, error) {
			if err := ranks(2, 1)(in); err != nil {
				return nil, err
			}
			if in[1][0] > in[0][1] {
				return nil, errors.Errorf("a filter of %d on rows of %d", in[1][0], in[0][1])
			}
			return tensor.Shape{in[0][0], in[0][1] - in[1][0] + 1}, nil
		},
		Y: func(c *call) []float64 {
			n, m, r := c.In[0][0], c.In[0][1], c.In[1][0]
			q := m - r + 1
			y := zeros(n * q)
			for i := range y {
				for k, w := range c.X[1] {
					y[i] += w * c.X[0][i/q*m+i%q+k]
				}
			}
			return y
		},
		D: d,
	}
}

func correlated(c *call) [][]float64 {
	m, r := c.In[0][1], c.In[1][0]
	q := m - r + 1
	dx, dw := zeros(len(c.X[0])), zeros(r)
	for i, v := range c.DY {
		for k, w := range c.X[1] {
			dx[i/q*m+i%q+k] += v * w
			dw[k] += v * c.X[0][i/q*m+i%q+k]
		}
	}
	return [][]float64{dx, dw}
}

// rawDistances are the squared distances of points.
func rawDistances(wrong bool) def {
	return def{
		Name: "squared distances",
		Shape: func(in []tensor.Shape) (tensor.Shape, error) {
			if err := ranks(2, 2)(in); err != nil || in[0][1] != in[1][1] {
				return nil, errors.Errorf("points %v and %v", in[0], in[1])
			}
			return tensor.Shape{in[0][0], in[1][0]}, nil
		},
		RawD: wrong,
		Y: func(c *call) []float64 {
			n, k, m := c.In[0][0], c.In[1][0], c.In[0][1]
			y := zeros(n * k)
			for i := range y {
				for j := range m {
					d := c.X[0][i/k*m+j] - c.X[1][i%k*m+j]
					y[i] += d * d
				}
			}
			return y
		},
		D: func(c *call) [][]float64 {
			k, m := c.In[1][0], c.In[0][1]
			a, b := zeros(len(c.X[0])), zeros(len(c.X[1]))
			for i, v := range c.DY {
				for j := range m {
					d := 2 * v * (c.X[0][i/k*m+j] - c.X[1][i%k*m+j])
					a[i/k*m+j] += d
					b[i%k*m+j] -= d
				}
			}
			return [][]float64{a, b}
		},
	}
}

// addRow is x + b for every row of x. where says to which element of b the wrong rule adds dy[i,j],
// and how much of it.
func addRow(where func(c *call, i, j int) (int, float64)) func(wrong bool) def {
	return func(wrong bool) def {
		return def{
			Name: "add to rows",
			Shape: func(in []tensor.Shape) (tensor.Shape, error) {
				if err := ranks(2, 1)(in); err != nil || in[0][1] != in[1][0] {
					return nil, errors.Errorf("operands %v", in)
				}
				return in[0].Clone(), nil
			},
			Y: func(c *call) []float64 {
				y := slices.Clone(c.X[0])
				for i := range y {
					y[i] += c.X[1][i%len(c.X[1])]
				}
				return y
			},
			D: func(c *call) [][]float64 {
				m := len(c.X[1])
				db := zeros(m)
				for i, v := range c.DY {
					at, by := i%m, 1.0
					if wrong {
						at, by = where(c, i/m, i%m)
					}
					if at < m {
						db[at] += by * v
					}
				}
				return [][]float64{slices.Clone(c.DY), db}
			},
		}
	}
}

// mulColumn is x ⊙ m, m being a column.
func mulColumn(both bool) func(wrong bool) def {
	return func(wrong bool) def {
		return def{
			Name: "times a column",
			Shape: func(in []tensor.Shape) (tensor.Shape, error) {
				if err := ranks(2, 2)(in); err != nil || in[0][0] != in[1][0] || in[1][1] != 1 {
					return nil, errors.Errorf("operands %v", in)
				}
				return in[0].Clone(), nil
			},
			Y: func(c *call) []float64 {
				y := slices.Clone(c.X[0])
				for i := range y {
					y[i] *= c.X[1][i/c.In[0][1]]
				}
				return y
			},
			D: func(c *call) [][]float64 {
				w := c.In[0][1]
				dx, dm := zeros(len(c.X[0])), zeros(len(c.X[1]))
				for i, v := range c.DY {
					dx[i] = v * c.X[1][i/w]
					if !wrong || both || i%w == 0 {
						dm[i/w] += v * c.X[0][i]
					}
				}
				if wrong && both {
					for i := range dx {
						sum := 0.0
						for _, v := range c.DY[i/w*w:][:w] {
							sum += v * c.X[1][i/w]
						}
						dx[i] = sum
					}
				}
				return [][]float64{dx, dm}
			},
		}
	}
}

// keptInput squares, and its rule reads x from what the last forward pass left in the op.
func keptInput(wrong bool) def {
	var last []float64
	return def{
		Name: "square with a memory",
		Y: func(c *call) []float64 {
			last = slices.Clone(c.X[0])
			return each(c.X[0], func(x float64) float64 { return x * x })
		},
		D: func(c *call) [][]float64 {
			x := c.X[0]
			if wrong && len(last) == len(x) {
				x = last
			}
			dx := zeros(len(x))
			for i := range dx {
				dx[i] = 2 * x[i] * c.DY[i]
			}
			return [][]float64{dx}
		},
	}
}

func keptGradient(wrong bool) def {
	var before []float64
	o := curve("square, accumulating", func(x float64) float64 { return x * x }, func(x float64) float64 { return 2 * x })
	right := o.D
	o.D = func(c *call) [][]float64 {
		dx := right(c)[0]
		if wrong && len(before) == len(dx) {
			for i := range dx {
				dx[i] += before[i]
			}
		}
		before = slices.Clone(dx)
		return [][]float64{dx}
	}
	return o
}

// race is a product with the sum of all elements, whose backward pass sums in goroutines.
func race(late bool) func(wrong bool) def {
	var mu sync.Mutex
	calls := 0
	return func(wrong bool) def {
		return def{
			Name: "sum of all, times x",
			Y: func(c *call) []float64 {
				s := 0.0
				for _, v := range c.X[0] {
					s += v
				}
				return each(c.X[0], func(x float64) float64 { return s * x })
			},
			D: func(c *call) [][]float64 {
				mu.Lock()
				calls++
				lost := wrong && calls%3 == 0 // a race that can be repeated
				mu.Unlock()
				s, p := 0.0, 0.0
				for i, v := range c.X[0] {
					s += v
					if !lost || i != len(c.X[0])/2 {
						p += v * c.DY[i]
					}
				}
				if lost && late {
					p = 0
				}
				dx := zeros(len(c.X[0]))
				for i := range dx {
					dx[i] = c.DY[i]*s + p
				}
				return [][]float64{dx}
			},
		}
	}
}

// firstWindow is the maximum of each pair of a row.
func firstWindow(wrong bool) def {
	return def{
		Name: "max of pairs",
		Shape: func(in []tensor.Shape) (tensor.Shape, error) {
			if err := ranks(2)(in); err != nil || in[0][1] < 2 {
				return nil, errors.Errorf("x is %v", in[0])
			}
			return tensor.Shape{in[0][0], in[0][1] / 2}, nil
		},
		Y: func(c *call) []float64 {
			h := c.In[0][1] / 2
			y := zeros(c.In[0][0] * h)
			for i := range y {
				at := i/h*c.In[0][1] + 2*(i%h)
				y[i] = max(c.X[0][at], c.X[0][at+1])
			}
			return y
		},
		D: func(c *call) [][]float64 {
			h := c.In[0][1] / 2
			dx := zeros(len(c.X[0]))
			for i, v := range c.DY {
				at := i/h*c.In[0][1] + 2*(i%h)
				dx[at+greatest(c.X[0][at:][:2])] += v
				if wrong {
					break
				}
			}
			return [][]float64{dx}
		},
	}
}

// rows is a limit that does not depend on the shape.
func rows(n int) func(x tensor.Shape) int { return func(tensor.Shape) int { return n } }

// scaleRows is x ⊙ w for every row of x. The wrong rule leaves rows from the limit on out of dw.
func scaleRows(rank int, limit func(x tensor.Shape) int) func(wrong bool) def {
	return func(wrong bool) def {
		return def{
			Name: "scale of rows",
			Shape: func(in []tensor.Shape) (tensor.Shape, error) {
				if err := ranks(rank, 1)(in); err != nil || in[0][rank-1] != in[1][0] {
					return nil, errors.Errorf("operands %v", in)
				}
				return in[0].Clone(), nil
			},
			Y: func(c *call) []float64 {
				y := slices.Clone(c.X[0])
				for i := range y {
					y[i] *= c.X[1][i%len(c.X[1])]
				}
				return y
			},
			D: func(c *call) [][]float64 {
				m := len(c.X[1])
				dx, dw := zeros(len(c.X[0])), zeros(m)
				for i, v := range c.DY {
					dx[i] = v * c.X[1][i%m]
					if !wrong || i/m < limit(c.In[0]) {
						dw[i%m] += v * c.X[0][i]
					}
				}
				return [][]float64{dx, dw}
			},
		}
	}
}

// evenColumns is x ⊙ w for every row of x.
func evenColumns(wrong bool) def {
	o := scaleRows(2, rows(0))(false)
	if right := o.D; wrong {
		o.D = func(c *call) [][]float64 {
			d := right(c)
			if w := d[1]; len(w)%2 == 0 {
				w[0], w[1] = w[1], w[0]
			}
			return d
		}
	}
	return o
}

// wrappedOffsets is x².
func wrappedOffsets(wrong bool) def {
	o := curve("square", func(x float64) float64 { return x * x }, func(x float64) float64 { return 2 * x })
	if right := o.D; wrong {
		o.D = func(c *call) [][]float64 {
			dx := right(c)[0]
			for i := 1 << 10; i < len(dx); i++ {
				dx[i%(1<<10)] += dx[i]
				dx[i] = 0
			}
			return [][]float64{dx}
		}
	}
	return o
}

// swappedSides is the maximum of windows of 2×2, at stride 1, of one image.
func swappedSides(wrong bool) def {
	window := func(c *call, i, j int) []int {
		w := c.In[0][1]
		return []int{i*w + j, i*w + j + 1, (i+1)*w + j, (i+1)*w + j + 1}
	}
	winner := func(c *call, i, j int) int {
		at := window(c, i, j)
		best := at[0]
		for _, k := range at {
			if c.X[0][k] > c.X[0][best] {
				best = k
			}
		}
		return best
	}
	return def{
		Name: "max of 2×2",
		Shape: func(in []tensor.Shape) (tensor.Shape, error) {
			if err := ranks(2)(in); err != nil || in[0][0] < 2 || in[0][1] < 2 {
				return nil, errors.Errorf("x is %v", in[0])
			}
			return tensor.Shape{in[0][0] - 1, in[0][1] - 1}, nil
		},
		Y: func(c *call) []float64 {
			var y []float64
			for i := range c.Out[0] {
				for j := range c.Out[1] {
					y = append(y, c.X[0][winner(c, i, j)])
				}
			}
			return y
		},
		D: func(c *call) [][]float64 {
			dx := zeros(len(c.X[0]))
			h, w := c.Out[0], c.Out[1]
			if wrong {
				h, w = w, h
			}
			for i := range min(h, c.Out[0]) {
				for j := range min(w, c.Out[1]) {
					dx[winner(c, i, j)] += c.DY[i*c.Out[1]+j]
				}
			}
			return [][]float64{dx}
		},
	}
}

// scatterShort adds the first elements of x at given places of three.
func scatterShort(wrong bool) def {
	return def{
		Name: "scatter",
		Shape: func(in []tensor.Shape) (tensor.Shape, error) {
			if err := ranks(1, 1)(in); err != nil || in[1][0] > in[0][0] {
				return nil, errors.Errorf("operands %v", in)
			}
			return tensor.Shape{3}, nil
		},
		Y: func(c *call) []float64 {
			y := zeros(3)
			for i, at := range c.X[1] {
				y[int(at)%3] += c.X[0][i]
			}
			return y
		},
		D: func(c *call) [][]float64 {
			dx := zeros(len(c.X[0]))
			for i := range dx {
				if i < len(c.X[1]) {
					dx[i] = c.DY[int(c.X[1][i])%3]
				} else if wrong {
					dx[i] = c.DY[0]
				}
			}
			return [][]float64{dx, nil}
		},
	}
}
