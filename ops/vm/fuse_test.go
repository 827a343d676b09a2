package vm_test

import (
	"math/rand/v2"
	"slices"
	"testing"

	G "gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/convgrad/convgrad/ops"
	"github.com/convgrad/convgrad/ops/vm"
)

// copies runs the outputs and returns copies of their values, and the number of steps.
func copies(t *testing.T, outputs ...*G.Node) (values [][]float64, steps int) {
	t.Helper()
	m, err := vm.New(outputs[0].Graph(), outputs...)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	for range 2 { // the second run meets used memory
		if err := m.RunAll(); err != nil {
			t.Fatal(err)
		}
	}
	for _, n := range outputs {
		values = append(values, slices.Clone(n.Value().Data().([]float64)))
	}
	return values, m.Steps()
}

// A ReLU behind a convolution is computed in the convolution's pass, and only where nothing else
// needs the convolution's own values; the results and gradients have the same bits either way.
func TestReLUIsComputedWithItsConvolution(t *testing.T) {
	const seed = 3
	r := rand.New(rand.NewPCG(seed, 0))
	g := G.NewGraph()
	x, w, b := input(g, "x", random(r, 2, 3, 6, 5)), input(g, "w", random(r, 4, 3, 3, 2)), input(g, "b", random(r, 4))
	conv := G.Must(ops.Conv2D(x, w, b, ops.ConvParams{Pad: ops.Around(1)}))
	y := G.Must(ops.ReLU(conv))
	grads, err := ops.Grad(y, input(g, "dy", random(r, y.Shape()...)), x, w, b)
	if err != nil {
		t.Fatal(err)
	}
	together, steps := copies(t, append(G.Nodes{y}, grads...)...)
	apart, more := copies(t, append(G.Nodes{y, conv}, grads...)...)
	if more != steps+1 {
		t.Errorf("%d steps, and %d with the convolution as an output: want one fewer", steps, more)
	}
	apart = slices.Delete(apart, 1, 2)
	for i := range together {
		if !slices.Equal(together[i], apart[i]) {
			t.Errorf("output %d has other bits where the ReLU is computed with the convolution", i)
		}
	}
	twice := G.Must(ops.Add(y, conv)) // another consumer of the convolution
	if _, steps := copies(t, twice); steps != 3 {
		t.Errorf("%d steps, want 3: the convolution has two consumers", steps)
	}
}

// The bias of a transposed convolution and a ReLU behind it are computed in its pass. The results
// and gradients have the same bits as apart.
func TestBiasIsComputedWithItsTransposedConvolution(t *testing.T) {
	const seed = 4
	r := rand.New(rand.NewPCG(seed, 0))
	g := G.NewGraph()
	x, w, b := input(g, "x", random(r, 2, 3, 6, 5)), input(g, "w", random(r, 3, 4, 3, 2)), input(g, "b", random(r, 4))
	y := G.Must(ops.ConvTranspose2D(x, w, b, ops.ConvParams{Stride: ops.Both(2), Pad: ops.Around(1)}))
	cut := G.Must(ops.ReLU(y))
	grads, err := ops.Grad(cut, input(g, "dy", random(r, y.Shape()...)), x, w, b)
	if err != nil {
		t.Fatal(err)
	}
	together, steps := copies(t, append(G.Nodes{cut}, grads...)...)
	apart, more := copies(t, append(G.Nodes{cut, y}, grads...)...)
	if more != steps+1 {
		t.Errorf("%d steps, and %d with the transposed convolution as an output: want one fewer", steps, more)
	}
	apart = slices.Delete(apart, 1, 2)
	for i := range together {
		if !slices.Equal(together[i], apart[i]) {
			t.Errorf("output %d has other bits where all is computed in one pass", i)
		}
	}
	if _, steps := copies(t, cut); steps != 1 {
		t.Errorf("%d steps, want 1", steps)
	}
}

// scaled is k·x, and k·x or its negative plus another operand in one pass: a user's op that fuses.
type scaled struct {
	K    float64
	Then int // 0 nothing, 1 added to the next operand, −1 taken from it
}

func (o scaled) Infer(in []tensor.Shape) (tensor.Shape, error) { return in[0], nil }
func (o scaled) Rule(in []*G.Node, _, dy *G.Node) ([]*G.Node, error) {
	dx, err := ops.Affine(dy, o.K, 0)
	return []*G.Node{dx}, err
}

func (o scaled) Compute(c *ops.Call) error {
	y, x := ops.Out[float64](c), ops.In[float64](c, 0)
	for i := range y {
		y[i] = o.K * x[i]
		if o.Then != 0 {
			y[i] = ops.In[float64](c, 1)[i] + float64(o.Then)*y[i]
		}
	}
	return nil
}

func (o scaled) Fuse(next ops.Op, at int) (ops.Op, bool) {
	if _, ok := next.(less); !ok || at != 1 || o.Then != 0 {
		return nil, false
	}
	o.Then = -1
	return o, true
}

// less is a − b.
type less struct{}

func (less) Infer(in []tensor.Shape) (tensor.Shape, error) { return in[0], nil }
func (less) Rule(_ []*G.Node, _, dy *G.Node) ([]*G.Node, error) {
	minus, err := ops.Affine(dy, -1, 0)
	return []*G.Node{dy, minus}, err
}
func (less) Compute(c *ops.Call) error {
	y, a, b := ops.Out[float64](c), ops.In[float64](c, 0), ops.In[float64](c, 1)
	for i := range y {
		y[i] = a[i] - b[i]
	}
	return nil
}

// A user's op is fused on the side that it says, and its operands come first.
func TestUsersOpIsFused(t *testing.T) {
	g := G.NewGraph()
	x := input(g, "x", tensor.New(tensor.WithBacking([]float64{1, 2, 3})))
	z := input(g, "z", tensor.New(tensor.WithBacking([]float64{10, 20, 40})))
	s := G.Must(ops.Apply(scaled{K: 2}, x))
	right, left := G.Must(ops.Apply(less{}, z, s)), G.Must(ops.Apply(less{}, s, z))
	for _, c := range []struct {
		y     *G.Node
		want  []float64
		steps int
	}{{right, []float64{8, 16, 34}, 1}, {left, []float64{-8, -16, -34}, 2}} {
		got, steps := copies(t, c.y)
		if !slices.Equal(got[0], c.want) || steps != c.steps {
			t.Errorf("%v in %d steps, want %v in %d", got[0], steps, c.want, c.steps)
		}
	}
	both, steps := copies(t, right, s)
	if !slices.Equal(both[0], []float64{8, 16, 34}) || !slices.Equal(both[1], []float64{2, 4, 6}) || steps != 2 {
		t.Errorf("%v in %d steps: an output is computed by itself", both, steps)
	}
}

// What follows a normalisation, a sum with another tensor and a ReLU, is computed in its pass, and
// statistics and sums in one pass with what uses them. Results and gradients have the same bits
// either way.
func TestNormalisationIsComputedWithWhatFollows(t *testing.T) {
	const seed = 5
	r := rand.New(rand.NewPCG(seed, 0))
	for _, c := range []struct {
		name  string
		fewer int // steps than with the normalisation as an output
		rest  func(norm, more *G.Node) (*G.Node, error)
	}{
		{"ReLU", 1, func(norm, _ *G.Node) (*G.Node, error) { return ops.ReLU(norm) }},
		{"ReLU6", 1, func(norm, _ *G.Node) (*G.Node, error) { return ops.ReLU6(norm) }},
		{"sum", 1, func(norm, more *G.Node) (*G.Node, error) { return ops.Add(more, norm) }},
		{"sum and ReLU", 2, func(norm, more *G.Node) (*G.Node, error) { return ops.ReLU(G.Must(ops.Add(norm, more))) }},
		{"ReLU and sum", 1, func(norm, more *G.Node) (*G.Node, error) { return ops.Add(G.Must(ops.ReLU(norm)), more) }},
		{"doubled", 0, func(norm, _ *G.Node) (*G.Node, error) { return ops.Add(norm, norm) }},
		{"another shape", 0, func(norm, _ *G.Node) (*G.Node, error) {
			return ops.Add(norm, input(norm.Graph(), "row", random(r, 7)))
		}},
	} {
		g := G.NewGraph()
		x, more := input(g, "x", random(r, 2, 3, 6, 7)), input(g, "more", random(r, 2, 3, 6, 7))
		scale, bias := input(g, "scale", random(r, 3)), input(g, "bias", random(r, 3))
		scale.Value().Data().([]float64)[1] = 20 // beyond where ReLU6 cuts
		norm := G.Must(ops.BatchNorm(x, scale, bias, 1e-5))
		y := G.Must(c.rest(norm, more))
		grads, err := ops.Grad(y, input(g, "dy", random(r, y.Shape()...)), x, scale, bias)
		if err != nil {
			t.Fatal(err)
		}
		together, steps := copies(t, append(G.Nodes{y}, grads...)...)
		apart, all := copies(t, append(G.Nodes{y, norm}, grads...)...)
		if all != steps+c.fewer {
			t.Errorf("%s: %d steps, and %d with the normalisation as an output, want %d", c.name, steps, all, steps+c.fewer)
		}
		apart = slices.Delete(apart, 1, 2)
		for i := range together {
			if !slices.Equal(together[i], apart[i]) {
				t.Errorf("%s: output %d has other bits where it is computed with the normalisation", c.name, i)
			}
		}
	}
}

// The mean and variance of a convolution's channels, which are computed with it, have the bits of
// those of its result alone.
func TestMomentsAreComputedWithTheirConvolution(t *testing.T) {
	const seed = 5
	r := rand.New(rand.NewPCG(seed, 0))
	g := G.NewGraph()
	x, w := input(g, "x", random(r, 3, 4, 9, 8)), input(g, "w", random(r, 16, 4, 3, 3))
	scale, bias := input(g, "scale", random(r, 16)), input(g, "bias", random(r, 16))
	conv := G.Must(ops.Conv2D(x, w, nil, ops.ConvParams{Pad: ops.Around(1)}))
	y, stats, err := ops.BatchNormStats(conv, scale, bias, 1e-5)
	if err != nil {
		t.Fatal(err)
	}
	together, _ := copies(t, y, conv, stats.Mean, stats.Var)
	alone := input(g, "conv", tensor.New(tensor.WithShape(conv.Shape()...), tensor.WithBacking(together[1])))
	want, stats, err := ops.BatchNormStats(alone, scale, bias, 1e-5)
	if err != nil {
		t.Fatal(err)
	}
	apart, _ := copies(t, want, stats.Mean, stats.Var)
	for i, name := range []string{"y", "the means", "the variances"} {
		if !slices.Equal(apart[i], together[[]int{0, 2, 3}[i]]) {
			t.Errorf("seed %d: %s have other bits than those of a norm without its convolution", seed, name)
		}
	}
}

// A maximum alone needs no index; with its derivative it does, and both have the same bits. The
// derivative of the derivative takes elements of another tensor at the same places.
func TestMaximumWithoutIndex(t *testing.T) {
	g := G.NewGraph()
	leaf := func(name string, shape ...int) *G.Node {
		return G.NewTensor(g, tensor.Float64, len(shape), G.WithShape(shape...), G.WithName(name), G.WithInit(G.Gaussian(0, 1)))
	}
	x, dy, v := leaf("x", 3, 4, 35), leaf("dy", 4), leaf("v", 3, 4, 35)
	y, err := ops.Max(x, 0, 2)
	if err != nil {
		t.Fatal(err)
	}
	d, err := ops.Grad(y, dy, x)
	if err != nil {
		t.Fatal(err)
	}
	second, err := ops.Grad(d[0], v, dy)
	if err != nil {
		t.Fatal(err)
	}
	both, _ := copies(t, y, d[0], second[0])
	if alone, _ := copies(t, y); !slices.Equal(alone[0], both[0]) {
		t.Errorf("the maximum alone is %v, want %v", alone[0], both[0])
	}
	if alone, _ := copies(t, second[0]); !slices.Equal(alone[0], both[2]) {
		t.Errorf("the second derivative alone is %v, want %v", alone[0], both[2])
	}
}
