package ops_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	G "gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/convgrad/convgrad/ops"
)

// A sample is an op at work: its differentiable inputs and how its node is made of them.
type sample struct {
	name   string
	inputs []tensor.Shape
	build  func(in []*G.Node) (*G.Node, error)
	// integers says that the inputs must be distinct integers, far from ties and kinks.
	integers bool
}

func labels(g *G.ExprGraph, of ...int) *G.Node {
	return G.NewTensor(g, tensor.Int, 1, G.WithShape(len(of)), G.WithName("labels"), G.WithValue(tensor.New(tensor.WithShape(len(of)), tensor.WithBacking(of))))
}

// samples has a row for every op of the package.
func samples() []sample {
	conv := func(p ops.ConvParams) func(in []*G.Node) (*G.Node, error) {
		return func(in []*G.Node) (*G.Node, error) {
			var b *G.Node
			if len(in) > 2 {
				b = in[2]
			}
			return ops.Conv2D(in[0], in[1], b, p)
		}
	}
	odd := ops.ConvParams{Stride: ops.Size{H: 2, W: 1}, Dilation: ops.Size{H: 1, W: 2}, Pad: ops.Padding{Top: 1, Left: 2, Right: 1}}
	grouped := ops.ConvParams{Groups: 2, Pad: ops.Padding{Bottom: 1, Left: 1}, Flip: true}
	pool := ops.PoolParams{Window: ops.Size{H: 3, W: 2}, Stride: ops.Size{H: 2, W: 1}, Pad: ops.Padding{Top: 1, Right: 1}}
	return []sample{
		{name: "Conv2D", inputs: []tensor.Shape{{2, 3, 7, 6}, {4, 3, 3, 2}, {4}}, build: conv(odd)},
		{name: "Conv2D without bias, groups, flipped", inputs: []tensor.Shape{{2, 4, 5, 6}, {6, 2, 2, 3}}, build: conv(grouped)},
		{name: "Conv2D with ReLU", inputs: []tensor.Shape{{2, 3, 5, 6}, {4, 3, 2, 3}, {4}}, build: func(in []*G.Node) (*G.Node, error) {
			y, err := conv(ops.ConvParams{})(in)
			if err != nil {
				return nil, err
			}
			return ops.ReLU(y)
		}},
		{name: "Conv2DBackwardData", inputs: []tensor.Shape{{2, 4, 3, 7}, {4, 3, 3, 2}}, build: func(in []*G.Node) (*G.Node, error) {
			return ops.Conv2DBackwardData(in[0], in[1], tensor.Shape{2, 3, 7, 6}, odd)
		}},
		{name: "Conv2DBackwardFilter", inputs: []tensor.Shape{{2, 3, 7, 6}, {2, 4, 3, 7}}, build: func(in []*G.Node) (*G.Node, error) {
			return ops.Conv2DBackwardFilter(in[0], in[1], tensor.Shape{4, 3, 3, 2}, odd)
		}},
		{name: "MaxPool2D", integers: true, inputs: []tensor.Shape{{2, 3, 6, 5}}, build: func(in []*G.Node) (*G.Node, error) { return ops.MaxPool2D(in[0], pool) }},
		{name: "AvgPool2D counting padding", inputs: []tensor.Shape{{2, 3, 6, 5}}, build: func(in []*G.Node) (*G.Node, error) { return ops.AvgPool2D(in[0], pool) }},
		{name: "AvgPool2D", inputs: []tensor.Shape{{2, 3, 6, 5}}, build: func(in []*G.Node) (*G.Node, error) { return ops.AvgPool2D(in[0], excluding(pool)) }},
		{name: "L2Pool2D", inputs: []tensor.Shape{{2, 3, 6, 5}}, build: func(in []*G.Node) (*G.Node, error) { return ops.L2Pool2D(in[0], pool) }},
		{name: "ReLU", integers: true, inputs: []tensor.Shape{{2, 3, 4}}, build: func(in []*G.Node) (*G.Node, error) { return ops.ReLU(in[0]) }},
		{name: "Flatten", inputs: []tensor.Shape{{2, 3, 4, 5}}, build: func(in []*G.Node) (*G.Node, error) { return ops.Flatten(in[0]) }},
		{name: "Linear", inputs: []tensor.Shape{{2, 3}, {5, 3}, {5}}, build: func(in []*G.Node) (*G.Node, error) { return ops.Linear(in[0], in[1], in[2]) }},
		{name: "Linear without bias", inputs: []tensor.Shape{{2, 3}, {5, 3}}, build: func(in []*G.Node) (*G.Node, error) { return ops.Linear(in[0], in[1], nil) }},
		{name: "MSE", inputs: []tensor.Shape{{2, 3}, {2, 3}}, build: func(in []*G.Node) (*G.Node, error) { return ops.MSE(in[0], in[1], ops.ReductionMean) }},
		{name: "MSE of the article", inputs: []tensor.Shape{{2, 3}, {2, 3}}, build: func(in []*G.Node) (*G.Node, error) { return ops.ArticleError(in[0], in[1]) }},
		{name: "Softmax", inputs: []tensor.Shape{{3, 4}}, build: func(in []*G.Node) (*G.Node, error) { return ops.Softmax(in[0], -1) }},
		{name: "CrossEntropy", inputs: []tensor.Shape{{3, 4}}, build: func(in []*G.Node) (*G.Node, error) {
			return ops.CrossEntropy(in[0], labels(in[0].Graph(), 3, 0, 1), ops.CrossEntropyParams{})
		}},
		{name: "Dropout", inputs: []tensor.Shape{{3, 4}}, build: func(in []*G.Node) (*G.Node, error) {
			r, err := ops.NewRandom(in[0].Graph(), 5)
			if err != nil {
				return nil, err
			}
			r.SetStep(0)
			return ops.Dropout(in[0], 0.4, r)
		}},
	}
}

func (s sample) values(r *rand.Rand) [][]float64 {
	var all [][]float64
	for _, shape := range s.inputs {
		v := make([]float64, shape.TotalSize())
		if s.integers {
			for i, p := range r.Perm(len(v)) {
				v[i] = float64(2*p - len(v) + 1 - len(v)%2) // odd, so never at ReLU's kink
			}
		} else {
			for i := range v {
				v[i] = r.NormFloat64()
			}
		}
		all = append(all, v)
	}
	return all
}

// cost builds Σ y ⊙ dy with a fixed random dy, so that the gradients are those of a random
// cotangent.
func (s sample) cost(t *testing.T, values [][]float64) projection {
	t.Helper()
	g := G.NewGraph()
	d := projection{}
	for i, shape := range s.inputs {
		d.leaves = append(d.leaves, leaf(g, string(rune('a'+i)), shape, values[i]))
		d.names = append(d.names, fmt.Sprint("input ", i))
	}
	y := must(t)(s.build(d.leaves))
	dy := []float64{1}
	if !y.IsScalar() {
		dy = uniform[float64](rand.New(rand.NewPCG(99, 1)), y.Shape().TotalSize())
	}
	d.s, d.t, d.r = must(t)(costOf(y, dy)), []*G.Node{y}, [][]float64{dy}
	return d
}

func number(t *testing.T, v G.Value) float64 {
	t.Helper()
	f, ok := v.Data().(float64)
	if !ok {
		t.Fatalf("cost is %T, want float64", v.Data())
	}
	return f
}

// Every op's gradient in every machine is that of central differences, and the machines agree in
// every bit. verify checks the same ops far more sharply; this test stands alone.
func TestGradients(t *testing.T) {
	const seed = 11
	t.Logf("seed %d", seed)
	for _, s := range samples() {
		t.Run(s.name, func(t *testing.T) {
			values := s.values(rand.New(rand.NewPCG(seed, 0)))
			var first [][]float64
			for _, machine := range machines {
				d := s.cost(t, values)
				_, grads := mustEvaluate[float64](t, machine, d.s, d.t[0], d.leaves...)
				if first == nil {
					first = grads
				}
				for i := range grads {
					equal(t, fmt.Sprintf("input %d: %s and %s", i, machine, machines[0]), grads[i], first[i])
				}
			}
			d := s.cost(t, values)
			if share, where := d.apart(t, first); !(share <= 1) {
				t.Error(where)
			}
			for i := range first { // the largest element, off by a ten-millionth
				wrong := append([][]float64(nil), first...)
				wrong[i] = append([]float64(nil), first[i]...)
				at := 0
				for j, v := range wrong[i] {
					if math.Abs(v) > math.Abs(wrong[i][at]) {
						at = j
					}
				}
				wrong[i][at] *= 1 + 1e-7
				if share, _ := d.apart(t, wrong); share <= 1 {
					t.Errorf("not noticed: input %d, element %d, off by a ten-millionth", i, at)
				}
			}
		})
	}
}
