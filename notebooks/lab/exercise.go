package lab

import (
	"fmt"
	"math"

	"github.com/convgrad/convgrad/ops"
	G "gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// An exercise asks for a number. Its answer is computed by running what it asks about; a wrong
// answer that readers tend to give has a sentence that says what is wrong with it.
type exercise struct {
	id, question string
	answer       func() float64
	because      string
	wrong        []mistake
}

type mistake struct {
	answer float64
	says   string
}

// Exercise asks the question with the id. With a prediction, it says whether that is right, and
// what is wrong with it if not: lab.Exercise("1.1", 42).
func Exercise(id string, prediction ...float64) { fmt.Println(judge(id, prediction...)) }

func judge(id string, prediction ...float64) string {
	for _, e := range exercises {
		if e.id != id {
			continue
		}
		if len(prediction) == 0 {
			return fmt.Sprintf("Exercise %s. %s\nPredict, then run lab.Exercise(%q, your number).", id, e.question, id)
		}
		p, want := prediction[0], e.answer()
		if math.Abs(p-want) <= 1e-9*math.Max(1, math.Abs(want)) {
			return fmt.Sprintf("✓ %v is right: %s", p, e.because)
		}
		for _, w := range e.wrong {
			if math.Abs(p-w.answer) <= 1e-9*math.Max(1, math.Abs(w.answer)) {
				return fmt.Sprintf("✗ Not %v: %s", p, w.says)
			}
		}
		return fmt.Sprintf("✗ Not %v. Write the sum out for one element, then try again.", p)
	}
	return "There is no exercise " + id + "."
}

// conv builds the cross-correlation of its first input with its second.
func conv(p ops.ConvParams) Build {
	return func(in G.Nodes) (*G.Node, error) { return ops.Conv2D(in[0], in[1], nil, p) }
}

func row(v ...float64) *tensor.Dense { return Of(v, 1, 1, 1, len(v)) }

func ones(shape ...int) *tensor.Dense {
	n := 1
	for _, s := range shape {
		n *= s
	}
	v := make([]float64, n)
	for i := range v {
		v[i] = 1
	}
	return Of(v, shape...)
}

func grad(build Build, dy *tensor.Dense, of int, in ...*tensor.Dense) []float64 {
	_, g := Backward(build, dy, in...)
	return Floats(g[of])
}

var exercises = []exercise{
	{"1.1", "A kernel of 3×4 slides over an input of 7×9, without padding. How many outputs are there?",
		func() float64 {
			return float64(len(Floats(Forward(conv(ops.ConvParams{}), ones(1, 1, 7, 9), ones(1, 1, 3, 4)))))
		},
		"(7−3+1)·(9−4+1).",
		[]mistake{{63, "that is the input's size; the kernel must fit inside."},
			{20, "each side has H−k+1 positions; you left the +1 out."},
			{12, "that is the kernel's size: the products in one output."}}},
	{"1.2", "I = [1 2 3] and K = [1 0 −1]. What is (I ⊗ K)[0], with Eq. 1?",
		func() float64 { return Floats(Forward(conv(ops.ConvParams{}), row(1, 2, 3), row(1, 0, -1)))[0] },
		"1·1 + 2·0 + 3·(−1).",
		[]mistake{{2, "that is the convolution: you turned the kernel."},
			{4, "the last weight is −1."},
			{1, "that is the first product; the sum runs over the whole kernel."}}},
	{"1.3", "Eight filters of 5×5 read three channels, and each has a bias. How many parameters are there?",
		func() float64 { return float64(len(Floats(ones(8, 3, 5, 5))) + 8) },
		"8·3·5·5 weights and 8 biases.",
		[]mistake{{600, "you left the biases out."},
			{208, "a filter has a slice of its own for each channel; you shared one."},
			{624, "a filter has one bias, not one for each channel."}}},
	{"2.1", "A kernel of 3×3 slides over an input of 5×5. How many outputs does the pixel in the corner, (0, 0), reach?",
		func() float64 {
			return grad(conv(ops.ConvParams{}), ones(1, 1, 3, 3), 0, ones(1, 1, 5, 5), ones(1, 1, 3, 3))[0]
		},
		"only the frame at (0, 0) covers the corner: Q is cut at the border.",
		[]mistake{{9, "that is Q in the middle; at the corner most of it lies outside the output."},
			{4, "count the frames that cover (0, 0); they cannot start above or left of it."},
			{0, "the first frame starts there."}}},
	{"2.2", "o = [3 4 5], δ = [1 2], and the kernel has two weights. What is ∂E/∂w[1]? (Eq. 13)",
		func() float64 { return grad(conv(ops.ConvParams{}), row(1, 2), 1, row(3, 4, 5), row(0, 0))[1] },
		"δ[0]·o[1] + δ[1]·o[2] = 1·4 + 2·5.",
		[]mistake{{11, "that is ∂E/∂w[0]: shift o by one."},
			{13, "you turned δ; Eq. 13 does not."},
			{9, "each input counts with its δ."}}},
	{"2.3", "w = [3 5] and δ = [1 2], for an input of three. What is ∂E/∂o[1]? (Eq. 20 without f′)",
		func() float64 { return grad(conv(ops.ConvParams{}), row(1, 2), 0, row(0, 0, 0), row(3, 5))[1] },
		"δ[1]·w[0] + δ[0]·w[1] = 2·3 + 1·5: δ's index rises while w's falls.",
		[]mistake{{13, "you did not flip: output 0 saw pixel 1 through w[1], not w[0]."},
			{8, "each weight counts with its δ."},
			{5, "output 1 saw the pixel, too, through w[0]."}}},
	{"3.1", "A block [4 7; 7 1] is max pooled, and δ = 3 arrives. What does the 7 in the lower row get?",
		func() float64 {
			return grad(func(in G.Nodes) (*G.Node, error) {
				return ops.MaxPool2D(in[0], ops.PoolParams{Window: ops.Both(2)})
			}, Of([]float64{3}, 1, 1, 1, 1), 0, Of([]float64{4, 7, 7, 1}, 1, 1, 2, 2))[2]
		},
		"the first of equals wins, and takes all.",
		[]mistake{{3, "there is one winner: the first of equals, in the upper row."},
			{1.5, "a tie is not shared."},
			{21, "δ is not multiplied by the activation; and the first of equals wins."}}},
	{"3.2", "A 2×2 block is averaged, and δ = 8 arrives. What does each element get?",
		func() float64 {
			return grad(func(in G.Nodes) (*G.Node, error) {
				return ops.AvgPool2D(in[0], ops.PoolParams{Window: ops.Both(2)})
			}, Of([]float64{8}, 1, 1, 1, 1), 0, ones(1, 1, 2, 2))[0]
		},
		"8·1/(2·2).",
		[]mistake{{8, "the mean moves by only a quarter of what an element moves."},
			{4, "the divisor is N×N, not N."},
			{0, "that is a loser's share in max pooling; a mean has no losers."}}},
	{"3.3", "Two 3×3 convolutions follow each other. How many pixels wide is the region of the input that one output of the second sees?",
		func() float64 {
			build := func(in G.Nodes) (*G.Node, error) {
				h, err := ops.Conv2D(in[0], in[1], nil, ops.ConvParams{})
				if err != nil {
					return nil, err
				}
				return ops.Conv2D(h, in[1], nil, ops.ConvParams{})
			}
			wide := 0.
			for _, v := range grad(build, ones(1, 1, 1, 1), 0, ones(1, 1, 5, 5), ones(1, 1, 3, 3))[:5] {
				if v != 0 {
					wide++
				}
			}
			return wide
		},
		"3 + (3−1).",
		[]mistake{{3, "that is one layer; the second looks at three outputs of the first."},
			{6, "the three frames overlap."},
			{9, "the frames move by 1, so they overlap; 9 would need a stride of 3."}}},
	{"4.1", "A kernel with three rows moves by 2 over seven rows. How many rows has the output?",
		func() float64 {
			y := Forward(conv(ops.ConvParams{Stride: ops.Size{H: 2, W: 1}}), ones(1, 1, 7, 1), ones(1, 1, 3, 1))
			return float64(len(Floats(y)))
		},
		"⌊(7−3)/2⌋ + 1.",
		[]mistake{{5, "that is stride 1."},
			{4, "the frame at row 6 would end outside."},
			{2, "the frame at row 0 counts, too: + 1."}}},
	{"4.2", "Three images, two filters, outputs of 4×4. How many deltas does ∂E/∂b of one filter add up?",
		func() float64 {
			build := func(in G.Nodes) (*G.Node, error) { return ops.Conv2D(in[0], in[1], in[2], ops.ConvParams{}) }
			return grad(build, ones(3, 2, 4, 4), 2, ones(3, 1, 4, 4), ones(2, 1, 1, 1), ones(2))[0]
		},
		"a filter's bias moves all 3·4·4 of its outputs.",
		[]mistake{{16, "the images share the bias, too."},
			{96, "the other filter has a bias of its own."},
			{1, "b is one number, but it moves every output of its filter."}}},
	{"4.3", "A layer of 4 values feeds 8 neurons. How many deltas do they send back to it?",
		func() float64 {
			build := func(in G.Nodes) (*G.Node, error) { return G.Mul(in[0], in[1]) }
			return float64(len(grad(build, ones(1, 8), 0, ones(1, 4), ones(4, 8))))
		},
		"one for each value; each sums over all eight neurons.",
		[]mistake{{8, "those are the neurons' own deltas."},
			{32, "those are the weights."},
			{1, "E is one number, but it has a derivative for each value."}}},
	{"5.1", "w = 2, ∂E/∂w = 3, η = 0.1. What is w after one step?",
		func() float64 { return 2 - 0.1*3 },
		"w − η·∂E/∂w = 2 − 0.3.",
		[]mistake{{3, "that is the gradient."},
			{-0.3, "that is the step; add it to w."},
			{2.3, "that goes uphill."}}},
	{"5.2", "δ = 5 arrives behind a ReLU whose input was −1. What passes?",
		func() float64 {
			return grad(func(in G.Nodes) (*G.Node, error) { return ops.ReLU(in[0]) }, Of([]float64{5}, 1, 1), 0, Of([]float64{-1}, 1, 1))[0]
		},
		"f′(−1) = 0: the gate is closed.",
		[]mistake{{5, "that is an open gate, x > 0."},
			{-5, "δ is multiplied by f′(x), not by x."},
			{-1, "that is x; δ is multiplied by f′(x)."}}},
	{"5.3", "On the way back each of five layers halves δ. Which fraction of it reaches the first?",
		func() float64 { return math.Pow(0.5, 5) },
		"½ to the fifth: deltas shrink as a product does.",
		[]mistake{{0.1, "the halves multiply; they do not add."},
			{0.5, "that is one layer."},
			{2.5, "a product of halves is below 1."}}},
	{"6.1", "A rule hands back dy with rows and columns exchanged. A check uses dy = 1 everywhere, 3×3. How large is the greatest error that it sees?",
		func() float64 { m := Fill(3, 3, func(i, j int) float64 { return 1 }); return MaxDiff(m, m.Transpose()) },
		"a matrix of ones is its own transpose: such a check is blind, so cotangents are random.",
		[]mistake{{1, "1 − 1 is 0 in every place."},
			{9, "that is the sum of dy."},
			{3, "that is a side of dy; every element agrees."}}},
	{"6.2", "x feeds two ops. One sends the gradient 3 back, the other 4. What is ∂E/∂x?",
		func() float64 {
			build := func(in G.Nodes) (*G.Node, error) {
				a, err := G.Mul(in[0], G.NewConstant(3.0))
				if err != nil {
					return nil, err
				}
				b, err := G.Mul(in[0], G.NewConstant(4.0))
				if err != nil {
					return nil, err
				}
				return G.Add(a, b)
			}
			return grad(build, ones(1, 1), 0, ones(1, 1))[0]
		},
		"every way from x to E counts: 3 + 4.",
		[]mistake{{4, "the second overwrote the first; gradients add up."},
			{3, "the first stayed alone; gradients add up."},
			{12, "gradients multiply along a way, and add up over ways."}}},
	{"6.3", "A central difference has an error near 10⁻⁴ from its formula. h is halved. By which factor does the error fall?",
		func() float64 {
			// of x³ at 1
			e := func(h float64) float64 { return (math.Pow(1+h, 3)-math.Pow(1-h, 3))/(2*h) - 3 }
			return math.Round(e(0.25) / e(0.125))
		},
		"the error goes with h².",
		[]mistake{{2, "that is the one-sided difference, (E(x+h)−E(x))/h."},
			{8, "the term with h³ is divided by h."},
			{1, "h is not yet so small that rounding rules."}}},
	{"7.1", "A transposed convolution with a kernel of 3 and stride 2 reads 4 values. How many does it write?",
		func() float64 {
			return float64(len(Floats(Forward(func(in G.Nodes) (*G.Node, error) {
				return ops.ConvTranspose2D(in[0], in[1], nil, ops.ConvParams{Stride: ops.Size{H: 1, W: 2}})
			}, ones(1, 1, 1, 4), ones(1, 1, 1, 3)))))
		},
		"2·(4−1) + 3: the last kernel starts at 6.",
		[]mistake{{1, "that is the convolution; this one writes along its wires backwards."},
			{12, "neighbouring kernels overlap by one."},
			{8, "that is 2·4; the last kernel is 3 wide."}}},
	{"7.2", "A channel is normalised, and δ = 5 arrives at every one of its values. What is ∂E/∂x of one of them?",
		func() float64 {
			g := grad(func(in G.Nodes) (*G.Node, error) { return ops.BatchNorm(in[0], in[1], in[2], 1e-5) },
				Of([]float64{5, 5, 5, 5}, 1, 1, 2, 2), 0, Of([]float64{-1, 1, -1, 1}, 1, 1, 2, 2), ones(1), ones(1))
			return math.Round(g[0]*1e9) / 1e9
		},
		"a constant δ is its own mean, and Σ x̂ = 0: moving all x together moves nothing.",
		[]mistake{{5, "you took mean and variance for constants."},
			{20, "that is ∂E/∂β, the sum."},
			{1.25, "the mean is taken away, not divided by N."}}},
	{"7.3", "A 2×2 window holds one element and three zeros of padding, which the divisor leaves out. δ = 8 arrives. What does the element get?",
		func() float64 {
			return grad(func(in G.Nodes) (*G.Node, error) {
				return ops.AvgPool2D(in[0], ops.PoolParams{Window: ops.Both(2), Pad: ops.Padding{Top: 1, Left: 1}, ExcludePadding: true})
			}, Of([]float64{8}, 1, 1, 1, 1), 0, ones(1, 1, 1, 1))[0]
		},
		"8/1: the forward pass divided by 1, too.",
		[]mistake{{2, "that divides by the window's area, padding included."},
			{0, "the element is the whole mean."},
			{4, "the divisor is the number of elements that are not padding, 1."}}},
}
