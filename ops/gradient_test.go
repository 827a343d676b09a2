package ops_test

import (
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
	odd := ops.ConvParams{Stride: [2]int{2, 1}, Dilation: [2]int{1, 2}, Pad: [4]int{1, 0, 2, 1}}
	grouped := ops.ConvParams{Groups: 2, Pad: [4]int{0, 1, 1, 0}, Flip: true}
	pool := ops.PoolParams{Window: [2]int{3, 2}, Stride: [2]int{2, 1}, Pad: [4]int{1, 0, 0, 1}}
	return []sample{
		{name: "Conv2D", inputs: []tensor.Shape{{2, 3, 7, 6}, {4, 3, 3, 2}, {4}}, build: conv(odd)},
		{name: "Conv2D without bias, groups, flipped", inputs: []tensor.Shape{{2, 4, 5, 6}, {6, 2, 2, 3}}, build: conv(grouped)},
		{name: "Conv2D with ReLU", inputs: []tensor.Shape{{2, 3, 5, 6}, {4, 3, 2, 3}, {4}}, build: conv(ops.ConvParams{ReLU: true})},
		{name: "Conv2DBackwardData", inputs: []tensor.Shape{{2, 4, 3, 7}, {4, 3, 3, 2}}, build: func(in []*G.Node) (*G.Node, error) {
			return ops.Conv2DBackwardData(in[0], in[1], tensor.Shape{2, 3, 7, 6}, odd)
		}},
		{name: "Conv2DBackwardFilter", inputs: []tensor.Shape{{2, 3, 7, 6}, {2, 4, 3, 7}}, build: func(in []*G.Node) (*G.Node, error) {
			return ops.Conv2DBackwardFilter(in[0], in[1], tensor.Shape{4, 3, 3, 2}, odd)
		}},
		{name: "MaxPool2D", integers: true, inputs: []tensor.Shape{{2, 3, 6, 5}}, build: func(in []*G.Node) (*G.Node, error) { return ops.MaxPool2D(in[0], pool) }},
		{name: "AvgPool2D counting padding", inputs: []tensor.Shape{{2, 3, 6, 5}}, build: func(in []*G.Node) (*G.Node, error) { return ops.AvgPool2D(in[0], pool, true) }},
		{name: "AvgPool2D", inputs: []tensor.Shape{{2, 3, 6, 5}}, build: func(in []*G.Node) (*G.Node, error) { return ops.AvgPool2D(in[0], pool, false) }},
		{name: "L2Pool2D", inputs: []tensor.Shape{{2, 3, 6, 5}}, build: func(in []*G.Node) (*G.Node, error) { return ops.L2Pool2D(in[0], pool) }},
		{name: "ReLU", integers: true, inputs: []tensor.Shape{{2, 3, 4}}, build: func(in []*G.Node) (*G.Node, error) { return ops.ReLU(in[0]) }},
		{name: "Flatten", inputs: []tensor.Shape{{2, 3, 4, 5}}, build: func(in []*G.Node) (*G.Node, error) { return ops.Flatten(in[0]) }},
		{name: "Linear", inputs: []tensor.Shape{{2, 3}, {5, 3}, {5}}, build: func(in []*G.Node) (*G.Node, error) { return ops.Linear(in[0], in[1], in[2]) }},
		{name: "Linear without bias", inputs: []tensor.Shape{{2, 3}, {5, 3}}, build: func(in []*G.Node) (*G.Node, error) { return ops.Linear(in[0], in[1], nil) }},
		{name: "MSE", inputs: []tensor.Shape{{2, 3}, {2, 3}}, build: func(in []*G.Node) (*G.Node, error) { return ops.MSE(in[0], in[1], ops.MSEParams{}) }},
		{name: "MSE of the article", inputs: []tensor.Shape{{2, 3}, {2, 3}}, build: func(in []*G.Node) (*G.Node, error) { return ops.MSE(in[0], in[1], ops.ArticleError) }},
		{name: "Softmax", inputs: []tensor.Shape{{3, 4}}, build: func(in []*G.Node) (*G.Node, error) { return ops.Softmax(in[0]) }},
		{name: "SoftmaxCrossEntropy", inputs: []tensor.Shape{{3, 4}}, build: func(in []*G.Node) (*G.Node, error) {
			return ops.SoftmaxCrossEntropy(in[0], labels(in[0].Graph(), 3, 0, 1), ops.Mean)
		}},
		{name: "Dropout", inputs: []tensor.Shape{{3, 4}}, build: func(in []*G.Node) (*G.Node, error) {
			r, err := ops.NewRandom(in[0].Graph(), 5)
			if err != nil {
				return nil, err
			}
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

// cost builds Σ y ⊙ dy with a fixed random dy, so that the gradients are those of a random cotangent.
func (s sample) cost(t *testing.T, values [][]float64) (cost *G.Node, in []*G.Node) {
	t.Helper()
	g := G.NewGraph()
	for i, shape := range s.inputs {
		v := tensor.New(tensor.WithShape(shape...), tensor.WithBacking(append([]float64(nil), values[i]...)))
		in = append(in, G.NewTensor(g, tensor.Float64, shape.Dims(), G.WithShape(shape...), G.WithName(string(rune('a'+i))), G.WithValue(v)))
	}
	y, err := s.build(in)
	if err != nil {
		t.Fatal(err)
	}
	if y.IsScalar() {
		return y, in
	}
	r := rand.New(rand.NewPCG(99, 1))
	dy := make([]float64, y.Shape().TotalSize())
	for i := range dy {
		dy[i] = r.NormFloat64()
	}
	w := G.NewTensor(g, tensor.Float64, y.Dims(), G.WithShape(y.Shape()...), G.WithName("dy"), G.WithValue(tensor.New(tensor.WithShape(y.Shape()...), tensor.WithBacking(dy))))
	return G.Must(G.Sum(G.Must(G.HadamardProd(y, w)))), in
}

func number(t *testing.T, v G.Value) float64 {
	t.Helper()
	f, ok := v.Data().(float64)
	if !ok {
		t.Fatalf("cost is %T, want float64", v.Data())
	}
	return f
}

// Every op's gradient under both machines is that of central differences. verify checks the same ops far more sharply; this test stands alone.
func TestGradientsBothMachines(t *testing.T) {
	const seed = 11
	t.Logf("seed %d", seed)
	for _, s := range samples() {
		t.Run(s.name, func(t *testing.T) {
			values := s.values(rand.New(rand.NewPCG(seed, 0)))
			cost, in := s.cost(t, values)
			grads, err := G.Grad(cost, in...)
			if err != nil {
				t.Fatal(err)
			}
			tape := G.NewTapeMachine(cost.Graph())
			defer tape.Close()
			if err := tape.RunAll(); err != nil {
				t.Fatal(err)
			}
			lispCost, lispIn := s.cost(t, values)
			lisp := G.NewLispMachine(lispCost.Graph())
			defer lisp.Close()
			if err := lisp.RunAll(); err != nil {
				t.Fatal(err)
			}
			at := func(i, j int, x float64) float64 {
				moved := append([][]float64(nil), values...)
				moved[i] = append([]float64(nil), values[i]...)
				moved[i][j] = x
				c, _ := s.cost(t, moved)
				m := G.NewTapeMachine(c.Graph())
				defer m.Close()
				if err := m.RunAll(); err != nil {
					t.Fatal(err)
				}
				return number(t, c.Value())
			}
			// The truncation error of a central difference is h²/6·|f‴| and its rounding error about u·|f|/h. With h = u^(1/3) both are near 4e-11 for |f|, |f‴| ≈ 1; the
			// functions here, sums of some hundred terms of size 1 to 10, are allowed a thousand times that.
			h, bound := math.Cbrt(0x1p-52), 4e-8
			if s.integers { // piecewise linear, and no kink within 1/2: only rounding is left
				h = 0.5
			}
			for i := range in {
				tg := grads[i].Value().Data().([]float64)
				lv, err := lispIn[i].Grad()
				if err != nil {
					t.Fatal(err)
				}
				lg := lv.Data().([]float64)
				for j, x := range values[i] {
					want := (at(i, j, x+h) - at(i, j, x-h)) / (2 * h)
					if !(math.Abs(tg[j]-want) <= bound*max(1, math.Abs(want))) {
						t.Errorf("TapeMachine: input %d, element %d: got %v, differences say %v", i, j, tg[j], want)
					}
					if lg[j] != tg[j] {
						t.Errorf("input %d, element %d: LispMachine has %v, TapeMachine %v", i, j, lg[j], tg[j])
					}
				}
			}
		})
	}
}
