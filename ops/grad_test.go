package ops_test

import (
	"math"
	"math/rand/v2"
	"testing"

	G "gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/convgrad/convgrad/ops"
	"github.com/convgrad/convgrad/ops/vm"
)

// run computes nodes and returns copies of their values.
func runNodes(t *testing.T, nodes ...*G.Node) [][]float64 {
	t.Helper()
	m, err := vm.New(nodes[0].Graph(), nodes...)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	if err := m.RunAll(); err != nil {
		t.Fatal(err)
	}
	var all [][]float64
	for _, n := range nodes {
		v, err := elements[float64](n.Value())
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, v)
	}
	return all
}

// M1: several calls in one graph give right numbers, where Gorgonia's second gives wrong ones.
// Integers make them exact: y = Σ x², z = Σ x³ and their sum.
func TestGradTwiceInOneGraph(t *testing.T) {
	g := G.NewGraph()
	m := must(t)
	x := leaf(g, "x", tensor.Shape{2}, []float64{2, 3})
	square := m(ops.Mul(x, x))
	y, z := m(ops.Sum(square)), m(ops.Sum(m(ops.Mul(square, x))))
	grad := func(y *G.Node) *G.Node {
		d, err := ops.Grad(y, nil, x)
		if err != nil {
			t.Fatal(err)
		}
		return d[0]
	}
	dy, dz := grad(y), grad(z)
	both := grad(m(ops.Add(y, z)))
	again := grad(y)
	got := runNodes(t, dy, dz, both, again)
	equal(t, "d Σx²", got[0], []float64{4, 6})
	equal(t, "d Σx³", got[1], []float64{12, 27})
	equal(t, "d of both", got[2], []float64{16, 33})
	equal(t, "d Σx² once more", got[3], []float64{4, 6})
	if x.Deriv() != nil {
		t.Error("Grad has left a derivative at a node")
	}
	if _, err := G.Grad(y, x); err != nil { // Gorgonia's own still works in the same graph
		t.Error(err)
	}
	equal(t, "Gorgonia's", runNodes(t, x.Deriv())[0], []float64{4, 6})
}

// A derivative by what y does not depend on is zeros; one by a result, and by what it is made of,
// are both right; so is one by y itself. Gorgonia's ops lie on the way.
func TestGradOfAnyNode(t *testing.T) {
	g := G.NewGraph()
	m := must(t)
	x := leaf(g, "x", tensor.Shape{2, 2}, []float64{1, 2, 3, 4})
	apart := leaf(g, "apart", tensor.Shape{3}, []float64{1, 2, 3})
	h := m(G.Square(x))
	y := m(ops.Sum(m(G.HadamardProd(h, m(G.Add(h, x)))))) // x⁴ + x³
	grads, err := ops.Grad(y, nil, x, apart, h, y)
	if err != nil {
		t.Fatal(err)
	}
	got := runNodes(t, grads...)
	equal(t, "dx", got[0], []float64{7, 44, 135, 304}) // 4x³ + 3x²
	equal(t, "what y does not depend on", got[1], []float64{0, 0, 0})
	equal(t, "dh", got[2], []float64{3, 10, 21, 36}) // 2h + x
	equal(t, "dy", got[3], []float64{1})
}

// network is a small network with every kind of layer: Σ of a function of its output.
func network(t *testing.T, x, w, v *G.Node) *G.Node {
	m := must(t)
	y := m(ops.Conv2D(x, w, nil, ops.ConvParams{Pad: ops.Around(1), Stride: ops.Size{H: 1, W: 2}}))
	y = m(ops.Mul(y, m(G.Sigmoid(y))))
	y = m(ops.AvgPool2D(y, ops.PoolParams{Window: ops.Both(2), Stride: ops.Both(1), ExcludePadding: true, Pad: ops.Padding{Left: 1}}))
	y = m(ops.L2Pool2D(y, ops.PoolParams{Window: ops.Size{H: 1, W: 2}}))
	y = m(ops.Linear(m(ops.Flatten(y)), v, nil))
	return m(ops.Sum(m(ops.Mul(m(ops.Softmax(y, -1)), y))))
}

// A Hessian times a vector, and the gradient of a gradient penalty, through convolution, pooling,
// softmax and linear layers, are the central differences of first derivatives. The bound is the
// differences' own error: rounding of about 1e-16·|dw|/h, and h² of the third derivative, both far
// below 1e-6 of these numbers at h = 1e-4.
func TestHessianVectorProduct(t *testing.T) {
	const seed, h = 11, 1e-4
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	normal := func(n int) []float64 {
		v := make([]float64, n)
		for i := range v {
			v[i] = r.NormFloat64()
		}
		return v
	}
	xs, ws, vs := tensor.Shape{2, 2, 4, 5}, tensor.Shape{3, 2, 3, 2}, tensor.Shape{4, 9}
	xv, wv, dir := normal(xs.TotalSize()), normal(ws.TotalSize()), normal(ws.TotalSize())
	vv := normal(vs.TotalSize())
	build := func(wv []float64) (x, w, y *G.Node) {
		g := G.NewGraph()
		x, w = leaf(g, "x", xs, xv), leaf(g, "w", ws, wv)
		probe := must(t)(ops.Conv2D(x, w, nil, ops.ConvParams{Pad: ops.Around(1), Stride: ops.Size{H: 1, W: 2}}))
		_ = probe
		return x, w, network(t, x, w, leaf(g, "v", vs, vv))
	}
	grad := func(y *G.Node, dy *G.Node, wrt *G.Node) *G.Node {
		d, err := ops.Grad(y, dy, wrt)
		if err != nil {
			t.Fatal(err)
		}
		return d[0]
	}
	at := func(sign float64) (dw []float64, penalty float64) {
		moved := make([]float64, len(wv))
		for i := range moved {
			moved[i] = wv[i] + sign*h*dir[i]
		}
		x, w, y := build(moved)
		dx := grad(y, nil, x)
		got := runNodes(t, grad(y, nil, w), must(t)(ops.Sum(must(t)(ops.Mul(dx, dx)))))
		return got[0], got[1][0]
	}
	plus, penaltyPlus := at(1)
	minus, penaltyMinus := at(-1)

	x, w, y := build(wv)
	d := leaf(w.Graph(), "direction", ws, dir)
	dw := grad(y, nil, w)
	hv := grad(dw, d, w)
	dx := grad(y, nil, x)
	penalty := must(t)(ops.Sum(must(t)(ops.Mul(dx, dx))))
	slope := must(t)(ops.Sum(must(t)(ops.Mul(grad(penalty, nil, w), d))))
	along, err := ops.JVP(dw, w, d) // the Hessian is symmetric
	if err != nil {
		t.Fatal(err)
	}
	tangent, err := ops.JVP(y, w, d)
	if err != nil {
		t.Fatal(err)
	}
	got := runNodes(t, hv, along, slope, tangent, must(t)(ops.Sum(must(t)(ops.Mul(dw, d)))))
	size := 0.0
	for i := range plus {
		size = max(size, math.Abs(got[0][i]))
	}
	if size < 1e-3 {
		t.Fatalf("the Hessian times the vector is %v: too small to tell", got[0])
	}
	for i := range plus {
		want := (plus[i] - minus[i]) / (2 * h)
		if !(math.Abs(got[0][i]-want) <= 1e-6*size) || !(math.Abs(got[1][i]-want) <= 1e-6*size) {
			t.Errorf("H·v[%d] is %v and by JVP %v, differences give %v", i, got[0][i], got[1][i], want)
		}
	}
	if want := (penaltyPlus - penaltyMinus) / (2 * h); !(math.Abs(got[2][0]-want) <= 1e-6*math.Abs(want)) {
		t.Errorf("the penalty's slope is %v, differences give %v", got[2][0], want)
	}
	if !(math.Abs(got[3][0]-got[4][0]) <= 1e-12*math.Abs(got[4][0])) {
		t.Errorf("JVP of a scalar is %v, its gradient along the vector %v", got[3][0], got[4][0])
	}
}

func TestGradErrors(t *testing.T) {
	g := G.NewGraph()
	x, other := leaf(g, "x", tensor.Shape{2}, []float64{1, 2}), leaf(G.NewGraph(), "other", tensor.Shape{2}, []float64{1, 2})
	wide := leaf(g, "wide", tensor.Shape{3}, []float64{1, 2, 3})
	y := must(t)(ops.Mul(x, x))
	for want, f := range map[string]func() error{
		"ops: Grad: y is nil, want a node":                                                func() error { _, err := ops.Grad(nil, nil, x); return err },
		"ops: Grad: node 0 is nil, want a node of y's graph":                              func() error { _, err := ops.Grad(y, x, nil); return err },
		"ops: Grad: other is in another graph than y":                                     func() error { _, err := ops.Grad(y, x, other); return err },
		"ops: Grad: y has shape (2) and dy is nil, want a scalar y or a dy of that shape": func() error { _, err := ops.Grad(y, nil, x); return err },
		"ops: Grad: y has shape (2) and dy (3), want the same":                            func() error { _, err := ops.Grad(y, wide, x); return err },
		"ops: JVP: x has shape (2) and v (3), want the same":                              func() error { _, err := ops.JVP(y, x, wide); return err },
	} {
		wantError(t, want, f)
	}
}

// silent is an op of Gorgonia's kind that promises a derivative and has none.
type silent struct{ G.Op }

func (silent) DiffWRT(int) []bool                                 { return []bool{true} }
func (silent) SymDiff(G.Nodes, *G.Node, *G.Node) (G.Nodes, error) { return G.Nodes{nil}, nil }

// A derivative that is promised and not there is an error, not zero.
func TestGradOfSilentRule(t *testing.T) {
	g := G.NewGraph()
	x := leaf(g, "x", tensor.Shape{2}, []float64{1, 2})
	like := must(t)(ops.ReLU(leaf(G.NewGraph(), "x", tensor.Shape{2}, []float64{1, 2})))
	y, err := G.ApplyOp(silent{like.Op()}, x)
	if err != nil {
		t.Fatal(err)
	}
	wantError(t, "ops: Grad: the rule of ReLU has no derivative for operand 0, want one: DiffWRT says that there is", func() error {
		_, err := ops.Grad(must(t)(ops.Sum(y)), nil, x)
		return err
	})
}
