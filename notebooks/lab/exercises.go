package lab

import (
	"math"

	"github.com/convgrad/convgrad/ops"
	G "gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

func row(v ...float64) *tensor.Dense { return Of(v, 1, 1, 1, len(v)) }

func ones(shape ...int) *tensor.Dense {
	v := make([]float64, tensor.Shape(shape).TotalSize())
	for i := range v {
		v[i] = 1
	}
	return Of(v, shape...)
}

// grad is the gradient by input number of when dy arrives.
func grad(build Build, dy *tensor.Dense, of int, in ...*tensor.Dense) []float64 {
	_, g := Backward(build, dy, in...)
	return Floats(g[of])
}

var (
	plain   = Conv2D(ops.ConvParams{})
	byTwo   = ops.Size{H: 1, W: 2} // a stride of 2 along a row
	blocks2 = ops.PoolParams{Window: ops.Both(2)}
)

var exercises = []exercise{
	{"1.1", "I is 3×3, all 0 but for a 1 in its middle; K = [1 2; 3 4]. Which four numbers has I ⊗ K (Eq. 1)?",
		func() []float64 {
			return Floats(Forward(plain, Of(num(0, 0, 0, 0, 1, 0, 0, 0, 0), 1, 1, 3, 3), Of(num(1, 2, 3, 4), 1, 1, 2, 2)))
		},
		"the frame at (0, 0) has the 1 under its last weight, the frame at (1, 1) under its first: K appears turned.",
		[]mistake{{num(1, 2, 3, 4), "that is the convolution, Eq. 2: it copies K as it is."},
			{num(1, 3, 2, 4), "no row of K becomes a column; look which weight lies on the 1."},
			{num(1, 0, 0, 0), "the 1 lies under all four frames, each time under another weight."}}},
	{"1.2", "I = [1 2 3] and K = [1 0 −1]. What is (I ⊗ K)[0], with Eq. 1?",
		func() []float64 { return Floats(Forward(plain, row(1, 2, 3), row(1, 0, -1))) },
		"1·1 + 2·0 + 3·(−1).",
		[]mistake{{num(2), "that is the convolution: you turned the kernel."},
			{num(4), "the last weight is −1."},
			{num(1), "that is the first product; the sum runs over the whole kernel."}}},
	{"1.3", "Two filters of 2×2 read three channels of 4×4; their two maps have 3×3 numbers each. One weight of filter 0, in its slice for channel 1, grows. How many of the 18 numbers can change?",
		func() []float64 {
			x, w := ones(1, 3, 4, 4), ones(2, 3, 2, 2)
			before := Floats(Forward(plain, x, w))
			Floats(w)[4]++ // filter 0, channel 1
			changed := 0.
			for i, v := range Floats(Forward(plain, x, w)) {
				if v != before[i] {
					changed++
				}
			}
			return num(changed)
		},
		"all of filter 0's map: the weight is used at every position. Filter 1 has weights of its own.",
		[]mistake{{num(18), "filter 1 does not have this weight: each filter has a slice of its own for each channel."},
			{num(1), "the weight slides with its filter, so it is used at every position."},
			{num(3), "a filter's three channels are added into one map; the map has 9 numbers."}}},
	{"2.1", "A kernel of 3×3 slides over an input of 5×5. How many outputs does the pixel in the corner, (0, 0), reach?",
		func() []float64 { return num(grad(plain, ones(1, 1, 3, 3), 0, ones(1, 1, 5, 5), ones(1, 1, 3, 3))[0]) },
		"only the frame at (0, 0) covers the corner: Q is cut at the border.",
		[]mistake{{num(9), "that is Q in the middle; at the corner most of it lies outside the output."},
			{num(4), "count the frames that cover (0, 0); they cannot start above or left of it."},
			{num(0), "the first frame starts there."}}},
	{"2.2", "o = [3 4 5] and δ = [1 2]; the kernel has two weights. What is ∂E/∂w? Two numbers (Eq. 13).",
		func() []float64 { return grad(plain, row(1, 2), 1, row(3, 4, 5), row(0, 0)) },
		"1·3 + 2·4 and 1·4 + 2·5: o moves on under δ, and nothing is turned.",
		[]mistake{{num(10, 13), "you turned δ; Eq. 13 does not."},
			{num(14, 11), "you turned o: these are the right sums at the wrong weights."},
			{num(7, 9), "each input counts times its δ."}}},
	{"2.3", "w = [3 5] and δ = [1 2], for an input of three. What is ∂E/∂o? Three numbers (Eq. 20 without f′).",
		func() []float64 { return grad(plain, row(1, 2), 0, row(0, 0, 0), row(3, 5)) },
		"1·3, then 1·5 + 2·3, then 2·5: the index of δ rises while that of w falls.",
		[]mistake{{num(5, 13, 6), "you did not flip: output 0 saw pixel 0 through w[0]."},
			{num(3, 8, 5), "each weight counts times its δ."},
			{num(3, 10, 0), "a pixel in the middle is seen by two outputs; add both up."}}},
	{"3.1", "A block [4 7; 7 1] is max pooled, and δ = 3 arrives. What does each of the four get?",
		func() []float64 {
			return grad(MaxPool(blocks2), Of(num(3), 1, 1, 1, 1), 0, Of(num(4, 7, 7, 1), 1, 1, 2, 2))
		},
		"the first of equals wins, and takes all, unchanged.",
		[]mistake{{num(0, 3, 3, 0), "there is one winner, or δ would be counted twice."},
			{num(0, 1.5, 1.5, 0), "a tie is not shared: the first of equals takes all."},
			{num(0, 21, 0, 0), "δ is not multiplied by the activation."}}},
	{"3.2", "A 2×2 block is averaged, and δ = 8 arrives. What does each of its four elements get?",
		func() []float64 { return grad(AvgPool(blocks2), Of(num(8), 1, 1, 1, 1), 0, ones(1, 1, 2, 2)) },
		"8·1/(2·2) for each.",
		[]mistake{{num(8, 8, 8, 8), "the mean moves by only a quarter of what an element moves."},
			{num(4, 4, 4, 4), "the divisor is N×N, not N."},
			{num(8, 0, 0, 0), "that is max pooling; a mean has no winner."}}},
	{"3.3", "Two 3×3 convolutions follow each other. How many pixels wide is the region of the input that one output of the second sees?",
		func() []float64 {
			build := func(in G.Nodes) (*G.Node, error) {
				return ops.Conv2D(Must(ops.Conv2D(in[0], in[1], nil, ops.ConvParams{})), in[1], nil, ops.ConvParams{})
			}
			wide := 0.
			for _, v := range grad(build, ones(1, 1, 1, 1), 0, ones(1, 1, 5, 5), ones(1, 1, 3, 3))[:5] {
				if v != 0 {
					wide++
				}
			}
			return num(wide)
		},
		"3 + (3−1): the three frames overlap in two pixels.",
		[]mistake{{num(3), "that is one layer; the second looks at three outputs of the first."},
			{num(6), "the three frames overlap."},
			{num(9), "the frames move by 1, so they overlap; 9 would need a stride of 3."}}},
	{"4.1", "w = [1 2] moves by 2 over five pixels, and δ = [3 4] arrives. What is ∂E/∂o? Five numbers.",
		func() []float64 {
			return grad(Conv2D(ops.ConvParams{Stride: byTwo}), row(3, 4), 0, row(0, 0, 0, 0, 0), row(1, 2))
		},
		"3·1 and 3·2, then 4·1 and 4·2; no window reaches the last pixel.",
		[]mistake{{num(3, 10, 8, 0, 0), "that is stride 1: with stride 2 the windows do not overlap."},
			{num(6, 3, 8, 4, 0), "each pixel gets its δ times the weight that lay on it; do not turn w."},
			{num(3, 0, 4, 0, 0), "a window has two pixels, and each was multiplied by a weight."}}},
	{"4.2", "Three images, two filters, outputs of 4×4. How many deltas does ∂E/∂b of one filter add up?",
		func() []float64 {
			return grad(plain, ones(3, 2, 4, 4), 2, ones(3, 1, 4, 4), ones(2, 1, 1, 1), ones(2))[:1]
		},
		"a filter's bias moves all 3·4·4 of its outputs.",
		[]mistake{{num(16), "the images share the bias, too."},
			{num(96), "the other filter has a bias of its own."},
			{num(1), "b is one number, but it moves every output of its filter."}}},
	{"4.3", "Two values feed three neurons, with weights [1 2; 0 1; 3 0], a row for each neuron. δ = [1 1 2] arrives at the neurons. Which deltas reach the two values?",
		func() []float64 {
			linear := func(in G.Nodes) (*G.Node, error) { return ops.Linear(in[0], in[1], nil) }
			return grad(linear, Of(num(1, 1, 2), 1, 3), 0, ones(1, 2), Of(num(1, 2, 0, 1, 3, 0), 3, 2))
		},
		"1·1 + 1·0 + 2·3 and 1·2 + 1·1 + 2·0: down a column, over all three neurons.",
		[]mistake{{num(4, 3), "each weight counts times its neuron's δ."},
			{num(3, 1), "that is along the rows of the first two neurons; go down the columns."},
			{num(1, 2), "the other two neurons send something back, too."}}},
	{"5.1", "E = ½(w − 3)², and w = 0. Where is w after each of two steps with η = 1.5? Two numbers.",
		func() []float64 {
			w, all := ones(1, 1), []float64(nil)
			Floats(w)[0] = 0
			half := func(in G.Nodes) (*G.Node, error) { return ops.ArticleError(in[0], in[1]) }
			for range 2 {
				_, g := Backward(half, nil, w, Of(num(3), 1, 1))
				Floats(w)[0] -= 1.5 * Floats(g[0])[0]
				all = append(all, Floats(w)[0])
			}
			return all
		},
		"0 − 1.5·(0−3) = 4.5, then 4.5 − 1.5·(4.5−3) = 2.25: each step is too long and lands on the other side, but nearer.",
		[]mistake{{num(-4.5, -15.75), "that goes uphill: subtract the gradient."},
			{num(3, 3), "that would be η = 1, which is just right here."},
			{num(-3, -6), "a gradient is no new weight; w − η·∂E/∂w is."}}},
	{"5.2", "δ = [5 5 −5] arrives at a ReLU whose input was [−1 2 3]. What passes?",
		func() []float64 { return grad(Unary(ops.ReLU), Of(num(5, 5, -5), 1, 3), 0, Of(num(-1, 2, 3), 1, 3)) },
		"the gate looks at x, not at δ: it is closed at −1 and open at 2 and 3.",
		[]mistake{{num(5, 5, 0), "the gate looks at the sign of x, not of δ."},
			{num(-5, 10, -15), "δ is multiplied by f′(x), not by x."},
			{num(5, 5, -5), "where x < 0 the gate is closed."}}},
	{"5.3", "On the way back each of five layers halves δ. Which fraction of it reaches the first?",
		func() []float64 {
			build := func(in G.Nodes) (*G.Node, error) {
				y := in[0]
				for range 5 {
					y = Must(G.Mul(y, G.NewConstant(0.5)))
				}
				return y, nil
			}
			return grad(build, ones(1, 1), 0, ones(1, 1))
		},
		"½ to the fifth: deltas shrink as a product does.",
		[]mistake{{num(0.1), "the halves multiply; they do not add."},
			{num(0.5), "that is one layer."},
			{num(2.5), "a product of halves is below 1."}}},
	{"6.1", "A rule hands back dy with rows and columns exchanged. A check uses dy = 1 everywhere, 3×3. How large is the greatest error that it sees?",
		func() []float64 {
			m := Fill(3, 3, func(int, int) float64 { return 1 })
			return num(MaxDiff(m, m.Transpose()))
		},
		"a matrix of ones is its own transpose: such a check is blind, so cotangents are random.",
		[]mistake{{num(1), "1 − 1 is 0 in every place."},
			{num(9), "that is the sum of dy."},
			{num(3), "that is a side of dy; every element agrees."}}},
	{"6.2", "x feeds two ops. One sends the gradient 3 back, the other 4. What is ∂E/∂x?",
		func() []float64 {
			build := func(in G.Nodes) (*G.Node, error) {
				return G.Add(Must(G.Mul(in[0], G.NewConstant(3.0))), Must(G.Mul(in[0], G.NewConstant(4.0))))
			}
			return grad(build, ones(1, 1), 0, ones(1, 1))
		},
		"every way from x to E counts: 3 + 4.",
		[]mistake{{num(4), "the second overwrote the first; gradients add up."},
			{num(3), "the first stayed alone; gradients add up."},
			{num(12), "gradients multiply along a way, and add up over ways."}}},
	{"6.3", "y[t] = x[t] + ½·x[t−1], with silence before the beginning. δ = [2 0 4] arrives. What is ∂E/∂x?",
		func() []float64 {
			// The echo is a convolution: x with a zero before it, ⊗ [½ 1].
			return grad(Conv2D(ops.ConvParams{Pad: ops.Padding{Left: 1}}), row(2, 0, 4), 0, row(0, 0, 0), row(0.5, 1))
		},
		"∂E/∂x[t] = δ[t] + ½·δ[t+1]: the echo comes from what is later.",
		[]mistake{{num(2, 1, 4), "that is the echo of δ itself: x[t] is heard at t and later, so look ahead."},
			{num(2, 0, 4), "x[t] is also heard in y[t+1]."},
			{num(3, 3, 6), "each δ counts once, and the next one half."}}},
	{"7.1", "A transposed convolution with w = [1 1 1] and stride 2 reads o = [1 2]. Which five numbers does it write?",
		func() []float64 {
			return Floats(Forward(func(in G.Nodes) (*G.Node, error) {
				return ops.ConvTranspose2D(in[0], in[1], nil, ops.ConvParams{Stride: byTwo})
			}, row(1, 2), row(1, 1, 1)))
		},
		"1 1 1 from the first, 2 2 2 from the second, two further on; where they meet they add up.",
		[]mistake{{num(1, 1, 2, 2, 2), "where two kernels meet they add up; the second does not overwrite the first."},
			{num(1, 1, 1, 2, 2), "where two kernels meet they add up; the first does not win."},
			{num(1, 3, 3, 2, 0), "that is stride 1: the second kernel starts two further on."}}},
	{"7.2", "Batch normalisation, γ = 1, and the same δ = 2 arrives at all values. What is ∂E/∂x of each, to three decimals?",
		func() []float64 {
			g := grad(func(in G.Nodes) (*G.Node, error) { return ops.BatchNorm(in[0], in[1], in[2], 1e-5) },
				Of(num(2, 2, 2, 2), 1, 1, 2, 2), 0, Of(num(1, 4, 0, 3), 1, 1, 2, 2), Vector(1), Vector(0))
			return num(math.Abs(math.Round(g[0]*1e3) / 1e3))
		},
		"a constant δ is its own mean, and Σ x̂ = 0: moving all x together moves nothing.",
		[]mistake{{num(2), "the mean moves along with x, and takes this away."},
			{num(1.265), "that is γ·δ/σ, the first term alone; the mean moves along with x."},
			{num(0.5), "δ is not shared out; its mean is taken away."}}},
	{"7.3", "Average pooling of 2×2 with one zero row above and one zero column left, and the padding is left out of the divisor. δ = 8 arrives at the window in the corner. What does the corner's element get?",
		func() []float64 {
			p := ops.PoolParams{Window: ops.Both(2), Pad: ops.Padding{Top: 1, Left: 1}, ExcludePadding: true}
			return grad(AvgPool(p), Of(num(8, 0, 0, 0), 1, 1, 2, 2), 0, ones(1, 1, 3, 3))[:1]
		},
		"8/1: that window has one element, so the forward pass divided by 1, too.",
		[]mistake{{num(2), "that is the divisor with the padding."},
			{num(4), "one element of this window is no padding, not two."},
			{num(0), "the element is in the window."}}},
}
