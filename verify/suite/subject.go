package suite

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"

	G "gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/convgrad/convgrad/internal/kernel"
	"github.com/convgrad/convgrad/internal/opset"
	"github.com/convgrad/convgrad/ops"
	"github.com/convgrad/convgrad/verify"
	"github.com/convgrad/convgrad/verify/internal/graphs"
	"github.com/convgrad/convgrad/verify/internal/reference"
	"github.com/convgrad/convgrad/verify/internal/values"
)

// A subject is one op with random parameters and shapes, and what is known of it.
type subject struct {
	op     string
	params string
	shapes [][]int
	build  verify.Build
	// outputs is in place of build, for ops of several results.
	outputs   func(in []*G.Node) (G.Nodes, error)
	reference verify.Reference
	alone     verify.Reference // the reference of the first output, where there are several
	affine    bool             // the result is affine in each input
	distinct  bool             // inputs are distinct, none 0, so that no kink or tie is near
	away      bool             // inputs are away from 0, where the op has no derivative
	planted   bool             // a mistake stands in place of the op
	rough     bool             // the op has no second derivatives, or they are not to be checked
	// rounding is what an algorithm's own rounding bound adds to the formula's.
	rounding func(x [][]float64, dy []float64, u float64) (y float64, dx []float64)
	// inputs are the inputs' names and draws, if they are not by the flags above.
	inputs []verify.Input
	// others are calls of a registered op with other parameters.
	others func() []verify.Build

	another verify.Build // another graph of the same function, of Gorgonia's ops

	special  []mistake // those that only this op can have
	graph    *graphOf  // the ground that mistakes are planted in
	mistakes []mistake // that are possible in it
}

// A family draws subjects of one op.
type family struct {
	op         string
	draw       func(r *rand.Rand) *subject
	registered bool // mistakes are planted in its own graph
}

// families are the ops that have a reference and planted mistakes here, and then all others that
// are registered.
func families() []family {
	all := []family{
		{op: "Conv2D", draw: func(r *rand.Rand) *subject { return drawConv(r, false, false) }},
		{op: "Conv2D, flipped or grouped", draw: func(r *rand.Rand) *subject { return drawConv(r, true, false) }},
		{op: "Conv2D with ReLU", draw: func(r *rand.Rand) *subject { return drawConv(r, true, true) }},
		{op: "Conv2D, wide", draw: drawWide},
		{op: "Conv2D, depthwise", draw: drawDepthwise},
		{op: "Conv2D by Winograd's algorithm", draw: drawWinograd},
		{op: "Conv2DBackwardData", draw: drawBackwardData},
		{op: "Conv2DBackwardFilter", draw: drawBackwardFilter},
		{op: "MaxPool2D", draw: drawMaxPool},
		{op: "AvgPool2D", draw: drawAvgPool},
		{op: "L2Pool2D", draw: drawL2Pool},
		{op: "ReLU", draw: drawReLU},
		{op: "Linear", draw: drawLinear},
		{op: "Flatten", draw: drawFlatten},
		{op: "MSE", draw: drawMSE},
		{op: "Softmax", draw: drawSoftmax},
		{op: "CrossEntropy", draw: drawCrossEntropy},
		{op: "Dropout", draw: drawDropout},
	}
	for _, e := range opset.All() {
		if !slices.ContainsFunc(all, func(f family) bool { return f.op == e.Name }) {
			all = append(all, family{op: e.Name, draw: func(r *rand.Rand) *subject { return drawRegistered(e, r) }, registered: true})
		}
	}
	return all
}

func between(r *rand.Rand, lo, hi int) int { return lo + r.IntN(hi-lo+1) }

// drawGeometry draws until the numbers describe a convolution. plain leaves out what Gorgonia's
// Conv2d cannot do.
func drawGeometry(r *rand.Rand, plain bool) (kernel.Conv, ops.ConvParams) {
	for {
		p := ops.ConvParams{
			Stride:   ops.Size{H: between(r, 1, 3), W: between(r, 1, 3)},
			Dilation: ops.Size{H: between(r, 1, 2), W: between(r, 1, 3)},
			Groups:   1,
		}
		groups := 1
		if plain {
			ph, pw := r.IntN(3), r.IntN(3)
			p.Pad = ops.AroundHW(ph, pw)
		} else {
			p.Pad = ops.Padding{Top: r.IntN(3), Bottom: r.IntN(3), Left: r.IntN(3), Right: r.IntN(3)}
			p.Flip = r.IntN(2) == 0
			groups = between(r, 1, 3)
			p.Groups = groups
		}
		n, c, k := between(r, 1, 3), groups*between(r, 1, 3), groups*between(r, 1, 3)
		h, w := between(r, 3, 8), between(r, 3, 9)
		fr, fs := between(r, 1, 4), between(r, 1, 4)
		if h == w || fr == fs && fr > 1 {
			continue
		}
		g, err := kernel.NewConv(n, c, h, w, k, fr, fs, groups, spatial(p), p.Flip)
		if err != nil || g.MACs() > 6000 {
			continue
		}
		return g, p
	}
}

func spatial(p ops.ConvParams) kernel.Spatial {
	return kernel.Spatial{StrideH: p.Stride.H, StrideW: p.Stride.W, DilationH: p.Dilation.H, DilationW: p.Dilation.W,
		PadTop: p.Pad.Top, PadBottom: p.Pad.Bottom, PadLeft: p.Pad.Left, PadRight: p.Pad.Right}
}

// pair is a size as Gorgonia takes it.
func pair(s ops.Size) []int { return []int{s.H, s.W} }

func sidesX(g kernel.Conv) []int { return []int{g.N, g.C, g.H, g.W} }
func sidesW(g kernel.Conv) []int { return []int{g.K, g.C / g.Groups, g.R, g.S} }
func sidesY(g kernel.Conv) []int { return []int{g.N, g.K, g.P, g.Q} }

func describeConv(g kernel.Conv, p ops.ConvParams) string {
	return fmt.Sprintf("x %v, w %v, stride %v, dilation %v, pad %v, groups %d, flip %v", sidesX(g), sidesW(g), p.Stride, p.Dilation, p.Pad, g.Groups, p.Flip)
}

func drawConv(r *rand.Rand, general, relu bool) *subject {
	g, p := drawGeometry(r, !general)
	return convolution2D(r, g, p, general, relu)
}

// drawWide has channels and filters enough for the vector kernels, and their tails.
func drawWide(r *rand.Rand) *subject {
	for {
		g, p := drawGeometry(r, true)
		c, k := between(r, 8, 40), between(r, 8, 72)
		g, err := kernel.NewConv(between(r, 1, 2), c, g.H, g.W, k, g.R, g.S, 1, spatial(p), false)
		if err == nil && g.MACs() <= 15000 {
			return convolution2D(r, g, p, false, false)
		}
	}
}

// drawDepthwise has a group for each channel, of one filter or two.
func drawDepthwise(r *rand.Rand) *subject {
	for {
		g, p := drawGeometry(r, false)
		c := between(r, 2, 20)
		p.Groups = c
		g, err := kernel.NewConv(between(r, 1, 2), c, g.H, g.W, c*between(r, 1, 2), g.R, g.S, c, spatial(p), p.Flip)
		if err == nil && g.MACs() <= 10000 {
			return convolution2D(r, g, p, true, false)
		}
	}
}

// drawWinograd has what Winograd's algorithm is used for: filters of 3×3 at stride 1, and a vector
// of channels and of filters, or more. Its results are not those of integers, since its
// transformations divide; they are judged by the bound that the kernel states.
func drawWinograd(r *rand.Rand) *subject {
	for {
		pad := r.IntN(3)
		p := ops.ConvParams{Stride: ops.Both(1), Dilation: ops.Both(1), Pad: ops.Padding{Top: pad, Bottom: pad, Left: r.IntN(3), Right: r.IntN(3)}, Flip: r.IntN(2) == 0, Winograd: true}
		h, w, lanes := between(r, 3, 7), between(r, 3, 8), 8*between(r, 1, 2)
		g, err := kernel.NewConv(between(r, 1, 2), lanes+r.IntN(4), h, w, lanes+r.IntN(4), 3, 3, 1, spatial(p), p.Flip)
		if err != nil || h == w || g.MACs() > 25000 {
			continue
		}
		s := convolution2D(r, g, p, true, false)
		s.params += ", Winograd"
		s.affine = false
		s.rounding = func(x [][]float64, dy []float64, u float64) (float64, []float64) {
			y, dx, dw := kernel.WinogradBound(g, u)
			b := 0.0
			if len(x) > 2 {
				b = greatest(x[2])
			}
			return y * (greatest(x[0])*greatest(x[1]) + b), []float64{dx * greatest(dy) * greatest(x[1]), dw * greatest(dy) * greatest(x[0]), 0}[:len(x)]
		}
		return s
	}
}

// greatest is max|a|.
func greatest(a []float64) float64 {
	m := 0.0
	for _, v := range a {
		m = max(m, math.Abs(v))
	}
	return m
}

func convolution2D(r *rand.Rand, g kernel.Conv, p ops.ConvParams, general, relu bool) *subject {
	s := &subject{
		params: describeConv(g, p), shapes: [][]int{sidesX(g), sidesW(g)},
		affine:    !relu, // else an integer step of 1 could cross the kink
		reference: reference.Conv(g, relu),
		special:   convMistakes(g, relu, general && !p.Winograd, p.Winograd),
	}
	bias := r.IntN(3) > 0
	if bias {
		s.shapes = append(s.shapes, []int{g.K})
		s.params += ", bias"
	}
	s.build = func(in []*G.Node) (*G.Node, error) {
		y, err := ops.Conv2D(in[0], in[1], third(in), p)
		if err != nil || !relu {
			return y, err
		}
		return ops.ReLU(y)
	}
	if !general {
		s.another = func(in []*G.Node) (*G.Node, error) {
			y := theirs(g, in[0], in[1], p.Pad, p.Stride, p.Dilation)
			if !bias {
				return y, nil
			}
			return G.BroadcastAdd(y, G.Must(G.Reshape(in[2], tensor.Shape{1, g.K, 1, 1})), nil, []byte{0, 2, 3})
		}
		if bias && (g.K == 1 || g.N == 1 && g.P == 1 && g.Q == 1) {
			// BroadcastAdd does not take a bias of one element, or nothing to broadcast over
			s.another = nil
		}
	}
	return s
}

// third is the third operand, or nil.
func third(in []*G.Node) *G.Node {
	if len(in) > 2 {
		return in[2]
	}
	return nil
}

func drawBackwardData(r *rand.Rand) *subject {
	g, p := drawGeometry(r, false)
	return &subject{
		params: describeConv(g, p), shapes: [][]int{sidesY(g), sidesW(g)}, affine: true,
		build:     func(in []*G.Node) (*G.Node, error) { return ops.Conv2DBackwardData(in[0], in[1], sidesX(g), p) },
		reference: reference.ConvData(g),
		special:   dataMistakes(g),
	}
}

func drawBackwardFilter(r *rand.Rand) *subject {
	g, p := drawGeometry(r, false)
	return &subject{
		params: describeConv(g, p), shapes: [][]int{sidesX(g), sidesY(g)}, affine: true,
		build:     func(in []*G.Node) (*G.Node, error) { return ops.Conv2DBackwardFilter(in[0], in[1], sidesW(g), p) },
		reference: reference.ConvFilter(g),
		special:   filterMistakes(g),
	}
}

// drawPool draws until the numbers describe a pooling. plain leaves out what Gorgonia's MaxPool2D
// cannot do.
func drawPool(r *rand.Rand, plain bool) (kernel.Pool, ops.PoolParams) {
	for {
		p := ops.PoolParams{
			Window:   ops.Size{H: between(r, 1, 4), W: between(r, 1, 4)},
			Stride:   ops.Size{H: between(r, 1, 3), W: between(r, 1, 3)},
			Dilation: ops.Size{H: between(r, 1, 2), W: between(r, 1, 2)},
			Pad:      ops.Padding{Top: r.IntN(3), Bottom: r.IntN(3), Left: r.IntN(3), Right: r.IntN(3)},
		}
		if plain {
			p.Dilation, p.Pad = ops.Both(1), ops.AroundHW(p.Pad.Top, p.Pad.Left)
		}
		h, w := between(r, 3, 8), between(r, 3, 9)
		if h == w || p.Window.H == p.Window.W && p.Window.H > 2 {
			continue
		}
		sp := spatial(ops.ConvParams{Stride: p.Stride, Dilation: p.Dilation, Pad: p.Pad})
		g, err := kernel.NewPool(between(r, 1, 3), between(r, 1, 3), h, w, p.Window.H, p.Window.W, sp)
		if err == nil {
			return g, p
		}
	}
}

func describePool(g kernel.Pool, p ops.PoolParams) string {
	return fmt.Sprintf("x [%d %d %d %d], window %v, stride %v, dilation %v, pad %v", g.N, g.C, g.H, g.W, p.Window, p.Stride, p.Dilation, p.Pad)
}

func poolSubject(g kernel.Pool, p ops.PoolParams) *subject {
	return &subject{params: describePool(g, p), shapes: [][]int{{g.N, g.C, g.H, g.W}}}
}

func drawMaxPool(r *rand.Rand) *subject {
	plain := r.IntN(2) == 0
	g, p := drawPool(r, plain)
	s := poolSubject(g, p)
	s.distinct = true
	s.build = func(in []*G.Node) (*G.Node, error) { return ops.MaxPool2D(in[0], p) }
	s.reference = reference.MaxPool(g, false)
	s.special = maxMistakes(g)
	if r.IntN(2) == 0 { // with the winners beside it
		s.alone, s.reference = s.reference, reference.MaxPool(g, true)
		s.outputs = func(in []*G.Node) (G.Nodes, error) {
			y, winner, err := ops.MaxPool2DIndices(in[0], p)
			return G.Nodes{y, winner}, err
		}
	}
	if plain {
		s.another = func(in []*G.Node) (*G.Node, error) {
			return G.MaxPool2D(in[0], tensor.Shape(pair(p.Window)), []int{p.Pad.Top, p.Pad.Left}, pair(p.Stride))
		}
	}
	return s
}

// theirs is Gorgonia's Conv2d. Graphs of its ops panic where it refuses one, as G.Must does, and
// the checker says so.
func theirs(g kernel.Conv, x, w *G.Node, pad ops.Padding, stride, dilation ops.Size) *G.Node {
	return G.Must(G.Conv2d(x, w, tensor.Shape{g.R, g.S}, []int{pad.Top, pad.Left}, pair(stride), pair(dilation)))
}

// planesOf makes the N·C planes of x images of one channel, so that a convolution with one filter
// pools each by itself.
func planesOf(g kernel.Pool, x *G.Node, filter float64, p ops.PoolParams) (*G.Node, error) {
	w := given(x, "filter", graphs.Zeros(1, 1, g.R, g.S), func(int) float64 { return filter })
	planes := G.Must(G.Reshape(x, tensor.Shape{g.N * g.C, 1, g.H, g.W}))
	y := theirs(kernel.Conv{R: g.R, S: g.S}, planes, w, p.Pad, p.Stride, p.Dilation)
	return G.Reshape(y, tensor.Shape{g.N, g.C, g.P, g.Q})
}

// given is a node of numbers, of the element type of another.
func given(like *G.Node, name string, a graphs.Array, of func(i int) float64) *G.Node {
	for i := range a.Data {
		a.Data[i] = of(i)
	}
	n := values.Leaf(like.Graph(), name, like.Dtype(), a.Shape)
	G.WithValue(a.Value(like.Dtype()))(n)
	return n
}

func drawAvgPool(r *rand.Rand) *subject {
	count := r.IntN(2) == 0
	g, p := drawPool(r, count)
	s := poolSubject(g, p)
	p.ExcludePadding = !count
	s.params += fmt.Sprintf(", ExcludePadding %v", !count)
	s.affine = true
	s.build = func(in []*G.Node) (*G.Node, error) { return ops.AvgPool2D(in[0], p) }
	s.reference = reference.AvgPool(g, count)
	s.special = averageMistakes(g, count)
	if count {
		s.another = func(in []*G.Node) (*G.Node, error) { return planesOf(g, in[0], 1/float64(g.R*g.S), p) }
	}
	return s
}

func drawL2Pool(r *rand.Rand) *subject {
	plain := r.IntN(2) == 0
	g, p := drawPool(r, plain)
	s := poolSubject(g, p)
	s.away = true
	s.build = func(in []*G.Node) (*G.Node, error) { return ops.L2Pool2D(in[0], p) }
	s.reference = reference.L2Pool(g)
	s.special = normMistakes(g)
	if plain {
		s.another = func(in []*G.Node) (*G.Node, error) {
			return G.Sqrt(G.Must(planesOf(g, G.Must(G.Square(in[0])), 1, p)))
		}
	}
	return s
}

func drawReLU(r *rand.Rand) *subject {
	shape := []int{between(r, 1, 3), between(r, 2, 4), between(r, 1, 5), between(r, 2, 7)}[:between(r, 1, 4)]
	return &subject{
		params: fmt.Sprintf("x %v", shape), shapes: [][]int{shape}, distinct: true,
		build:     func(in []*G.Node) (*G.Node, error) { return ops.ReLU(in[0]) },
		reference: reference.ReLU(),
		special:   reluMistakes(),
		another:   func(in []*G.Node) (*G.Node, error) { return G.Rectify(in[0]) },
	}
}

func drawLinear(r *rand.Rand) *subject {
	n, i, o := between(r, 2, 5), between(r, 2, 9), between(r, 2, 7)
	s := &subject{
		params: fmt.Sprintf("x [%d %d], w [%d %d]", n, i, o, i), shapes: [][]int{{n, i}, {o, i}}, affine: true,
		reference: reference.Linear(n, i, o),
		special:   linearMistakes(n, i, o),
	}
	bias := r.IntN(3) > 0
	if bias {
		s.shapes, s.params = append(s.shapes, []int{o}), s.params+", bias"
	}
	s.build = func(in []*G.Node) (*G.Node, error) {
		return ops.Linear(in[0], in[1], third(in))
	}
	s.another = func(in []*G.Node) (*G.Node, error) {
		y := G.Must(G.Mul(in[0], G.Must(G.Transpose(in[1]))))
		if !bias {
			return y, nil
		}
		return G.BroadcastAdd(y, in[2], nil, []byte{0})
	}
	return s
}

func drawFlatten(r *rand.Rand) *subject {
	shape := []int{between(r, 2, 3), between(r, 2, 4), between(r, 1, 5), between(r, 2, 6)}[:between(r, 2, 4)]
	n := tensor.Shape(shape[1:]).TotalSize()
	return &subject{
		params: fmt.Sprintf("x %v", shape), shapes: [][]int{shape}, affine: true,
		build:     func(in []*G.Node) (*G.Node, error) { return ops.Flatten(in[0]) },
		reference: reference.Copy(),
		special:   copyMistakes(),
		another:   func(in []*G.Node) (*G.Node, error) { return G.Reshape(in[0], tensor.Shape{shape[0], n}) },
	}
}

func drawMSE(r *rand.Rand) *subject {
	shape := []int{between(r, 2, 4), between(r, 2, 6)}
	name, factor, mean := "the article's", 0.5, false
	build := func(in []*G.Node) (*G.Node, error) { return ops.ArticleError(in[0], in[1]) }
	if r.IntN(3) > 0 {
		reduction := []ops.Reduction{ops.ReductionMean, ops.ReductionSum}[r.IntN(2)]
		name, factor, mean = reduction.String(), 1, reduction == ops.ReductionMean
		build = func(in []*G.Node) (*G.Node, error) { return ops.MSE(in[0], in[1], reduction) }
	}
	return &subject{
		params: fmt.Sprintf("y and t %v, %s", shape, name), shapes: [][]int{shape, shape},
		build:     build,
		reference: reference.SquaredError(factor, mean),
		special:   errorMistakes(),
		another: func(in []*G.Node) (*G.Node, error) {
			d := G.Must(G.Square(G.Must(G.Sub(in[0], in[1]))))
			if mean {
				return G.Mean(d)
			}
			return G.Mul(G.Must(G.Sum(d)), given(in[0], "factor", graphs.Zeros(), func(int) float64 { return factor }))
		},
	}
}

func drawSoftmax(r *rand.Rand) *subject {
	shape := []int{between(r, 2, 4), between(r, 2, 6)}
	return &subject{
		params: fmt.Sprintf("x %v", shape), shapes: [][]int{shape},
		build:     func(in []*G.Node) (*G.Node, error) { return ops.Softmax(in[0], 1) },
		reference: reference.Softmax(shape[0]),
		special:   softmaxMistakes(shape[1]),
		another:   func(in []*G.Node) (*G.Node, error) { return G.SoftMax(in[0]) },
	}
}

func drawCrossEntropy(r *rand.Rand) *subject {
	n, m := between(r, 2, 4), between(r, 2, 6)
	labels := make([]int, n)
	for i := range labels {
		labels[i] = r.IntN(m)
	}
	reduction, mean := ops.ReductionSum, r.IntN(2) == 0
	if mean {
		reduction = ops.ReductionMean
	}
	return &subject{
		params: fmt.Sprintf("logits [%d %d], labels %v, %v", n, m, labels, reduction), shapes: [][]int{{n, m}},
		build: func(in []*G.Node) (*G.Node, error) {
			l := G.NewTensor(in[0].Graph(), tensor.Int, 1, G.WithShape(n), G.WithName("labels"), G.WithValue(tensor.New(tensor.WithShape(n), tensor.WithBacking(append([]int(nil), labels...)))))
			return ops.CrossEntropy(in[0], l, ops.CrossEntropyParams{Reduction: reduction})
		},
		reference: reference.CrossEntropy(labels, mean),
		special:   entropyMistakes(labels, m, mean),
		another: func(in []*G.Node) (*G.Node, error) {
			t := given(in[0], "targets", graphs.Zeros(n, m), func(i int) float64 {
				hot := truth(i%m == labels[i/m])
				if mean {
					hot /= float64(n)
				}
				return -hot
			})
			return G.Sum(G.Must(G.HadamardProd(G.Must(G.Log(G.Must(G.SoftMax(in[0])))), t)))
		},
	}
}

func drawDropout(r *rand.Rand) *subject {
	shape := []int{between(r, 2, 4), between(r, 3, 40)}
	seed, p := r.Uint64(), []float64{0.25, 0.5, 0.75}[r.IntN(3)]
	build := func(in []*G.Node) (*G.Node, error) {
		source, err := ops.NewRandom(in[0].Graph(), seed)
		if err != nil {
			return nil, err
		}
		source.SetStep(0) // the same mask at every run
		return ops.Dropout(in[0], p, source)
	}
	// Which elements fall is the op's own choice; that it is a choice of 0 or 1/(1−p), and the same
	// for the gradient, is what is checked.
	m, err := graphs.Forward(build, graphs.Ones(shape...))
	if err != nil {
		return &subject{params: err.Error(), build: build, shapes: [][]int{shape}}
	}
	return &subject{
		params: fmt.Sprintf("x %v, p %v", shape, p), shapes: [][]int{shape}, affine: true,
		build:     build,
		reference: reference.Masked(m.Data, 1-p),
		special:   maskMistakes(m.Data),
	}
}
