package nnops_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	G "gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/convgrad/convgrad/ops"
	nnops "github.com/convgrad/convgrad/ops/nn"
)

// An operand is a shape, and the interval of its elements.
type operand struct {
	shape  tensor.Shape
	lo, hi float64
}

func of(shape ...int) operand { return operand{shape, -1, 1} }

type build func(in []*G.Node) (*G.Node, error)

func one(f func(*G.Node) (*G.Node, error)) build {
	return func(in []*G.Node) (*G.Node, error) { return f(in[0]) }
}

func two(f func(a, b *G.Node) (*G.Node, error)) build {
	return func(in []*G.Node) (*G.Node, error) { return f(in[0], in[1]) }
}

// run is y and the gradients by the operands, of random cotangents, under TapeMachine.
func run(t *testing.T, seed uint64, operands []operand, f build) (y []float64, grads [][]float64) {
	t.Helper()
	r := rand.New(rand.NewPCG(seed, 9))
	g := G.NewGraph()
	draw := func(name string, o operand) *G.Node {
		v := make([]float64, o.shape.TotalSize())
		for i, p := range r.Perm(len(v)) { // distinct, and none at 0: no ties and no kinks
			v[i] = o.lo + (o.hi-o.lo)*(float64(p)+0.5+r.Float64()/8)/float64(len(v)+1)
		}
		return G.NewTensor(g, G.Float64, len(o.shape), G.WithShape(o.shape...), G.WithName(name),
			G.WithValue(tensor.New(tensor.WithShape(o.shape...), tensor.WithBacking(v))))
	}
	var in G.Nodes
	for i, o := range operands {
		in = append(in, draw(fmt.Sprint("operand ", i), o))
	}
	n, err := f(in)
	if err != nil {
		t.Fatal(err)
	}
	cost := n
	if len(n.Shape()) > 0 {
		dy := draw("dy", operand{n.Shape(), -1, 1})
		cost = G.Must(G.Sum(G.Must(G.HadamardProd(n, dy))))
	}
	dx, err := G.Grad(cost, in...)
	if err != nil {
		t.Fatal(err)
	}
	var values []G.Value
	for range in {
		values = append(values, nil)
	}
	var out G.Value
	G.Read(n, &out)
	for i := range dx {
		G.Read(dx[i], &values[i])
	}
	vm := G.NewTapeMachine(g)
	defer vm.Close()
	if err := vm.RunAll(); err != nil {
		t.Fatal(err)
	}
	for _, v := range values {
		grads = append(grads, numbers(v))
	}
	return numbers(out), grads
}

func numbers(v G.Value) []float64 {
	switch d := v.Data().(type) {
	case []float64:
		return d
	case float64:
		return []float64{d}
	}
	return nil
}

// close fails unless two lists are equal within the rounding of sums of terms numbers of size
// about 1.
func near(t *testing.T, what string, got, want []float64, terms int) {
	t.Helper()
	if len(got) != len(want) || len(got) == 0 {
		t.Fatalf("%s: %d elements, want %d", what, len(got), len(want))
	}
	size := 1.0
	for _, w := range want {
		size = max(size, math.Abs(w))
	}
	for i := range got {
		if bound := float64(terms+16) * size * 0x1p-52; !(math.Abs(got[i]-want[i]) <= bound) {
			t.Fatalf("%s: element %d is %v, want %v within %v", what, i, got[i], want[i], bound)
		}
	}
}

var pair = []int{1, 2}

// normalised is the first result of a BatchNorm.
func normalised[T any](y, _, _ *G.Node, _ T, err error) (*G.Node, error) { return y, err }

// Each function is the op that it is said to be, bit for bit, and, where the built-in is right,
// agrees with Gorgonia's.
func TestFunctions(t *testing.T) {
	positive := operand{tensor.Shape{3, 4}, 0.1, 0.9}
	image, kernel := of(2, 3, 6, 8), tensor.Shape{2, 3}
	pooled := ops.PoolParams{Window: ops.Size{H: 2, W: 3}, Pad: ops.AroundHW(1, 0), Stride: ops.Size{H: 2, W: 1}}
	for _, c := range []struct {
		name     string
		in       []operand
		ours     build
		op       build
		gorgonia build // nil where it is wrong, or cannot be asked
		terms    int
	}{
		{"Conv2d", []operand{image, of(4, 3, 2, 3)},
			func(in []*G.Node) (*G.Node, error) {
				return nnops.Conv2d(in[0], in[1], kernel, pair, []int{2, 1}, []int{1, 2})
			},
			func(in []*G.Node) (*G.Node, error) {
				return ops.Conv2D(in[0], in[1], nil, ops.ConvParams{Pad: ops.AroundHW(1, 2), Stride: ops.Size{H: 2, W: 1}, Dilation: ops.Size{H: 1, W: 2}})
			},
			func(in []*G.Node) (*G.Node, error) {
				return G.Conv2d(in[0], in[1], kernel, pair, []int{2, 1}, []int{1, 2})
			}, 100},
		{"Conv1d", []operand{of(2, 3, 1, 8), of(4, 3, 1, 3)},
			func(in []*G.Node) (*G.Node, error) { return nnops.Conv1d(in[0], in[1], 3, 1, 2, 1) },
			func(in []*G.Node) (*G.Node, error) {
				return ops.Conv2D(in[0], in[1], nil, ops.ConvParams{Pad: ops.AroundHW(0, 1), Stride: ops.Size{H: 1, W: 2}})
			},
			func(in []*G.Node) (*G.Node, error) { return G.Conv1d(in[0], in[1], 3, 1, 2, 1) }, 100},
		{"MaxPool2D", []operand{image},
			one(func(x *G.Node) (*G.Node, error) { return nnops.MaxPool2D(x, kernel, []int{1, 0}, []int{2, 1}) }),
			one(func(x *G.Node) (*G.Node, error) { return ops.MaxPool2D(x, pooled) }),
			one(func(x *G.Node) (*G.Node, error) { return G.MaxPool2D(x, kernel, []int{1, 0}, []int{2, 1}) }), 8},
		{"MaxPool2D of windows that touch", []operand{{tensor.Shape{2, 3, 6, 8}, 0.1, 1}},
			one(func(x *G.Node) (*G.Node, error) {
				return nnops.MaxPool2D(x, tensor.Shape{2, 2}, []int{0, 0}, []int{2, 2})
			}),
			one(func(x *G.Node) (*G.Node, error) { return ops.MaxPool2D(x, ops.PoolParams{Window: ops.Both(2)}) }),
			one(func(x *G.Node) (*G.Node, error) { return G.MaxPool2D(x, tensor.Shape{2, 2}, []int{0, 0}, []int{2, 2}) }), 8},
		{"MaxPool2D with four paddings", []operand{image},
			one(func(x *G.Node) (*G.Node, error) { return nnops.MaxPool2D(x, kernel, []int{1, 0, 0, 1}, []int{2, 1}) }),
			one(func(x *G.Node) (*G.Node, error) {
				p := pooled
				p.Pad = ops.Padding{Top: 1, Right: 1}
				return ops.MaxPool2D(x, p)
			}), nil, 8},
		{"MaxPool1D", []operand{of(2, 3, 1, 8)},
			one(func(x *G.Node) (*G.Node, error) { return nnops.MaxPool1D(x, 3, 1, 2) }),
			one(func(x *G.Node) (*G.Node, error) {
				return ops.MaxPool2D(x, ops.PoolParams{Window: ops.Size{H: 1, W: 3}, Pad: ops.AroundHW(0, 1), Stride: ops.Size{H: 1, W: 2}})
			}),
			one(func(x *G.Node) (*G.Node, error) { return G.MaxPool1D(x, 3, 1, 2) }), 8},
		{"AveragePool2D", []operand{image},
			one(func(x *G.Node) (*G.Node, error) { return nnops.AveragePool2D(x, kernel, []int{1, 0}, []int{2, 1}) }),
			one(func(x *G.Node) (*G.Node, error) { return ops.AvgPool2D(x, pooled) }), nil, 8},
		{"AveragePool1D", []operand{of(2, 3, 1, 8)},
			one(func(x *G.Node) (*G.Node, error) { return nnops.AveragePool1D(x, 3, 1, 2) }),
			one(func(x *G.Node) (*G.Node, error) {
				return ops.AvgPool2D(x, ops.PoolParams{Window: ops.Size{H: 1, W: 3}, Pad: ops.AroundHW(0, 1), Stride: ops.Size{H: 1, W: 2}})
			}), nil, 8},
		{"GlobalAveragePool2D", []operand{image}, one(nnops.GlobalAveragePool2D), one(ops.GlobalAvgPool), nil, 48},
		{"Rectify", []operand{of(3, 5)}, one(nnops.Rectify), one(ops.ReLU), one(G.Rectify), 8},
		{"LeakyRelu", []operand{of(3, 5)},
			one(func(x *G.Node) (*G.Node, error) { return nnops.LeakyRelu(x, 0.25) }),
			one(func(x *G.Node) (*G.Node, error) { return ops.LeakyReLU(x, 0.25) }),
			one(func(x *G.Node) (*G.Node, error) { return G.LeakyRelu(x, 0.25) }), 8},
		{"SoftMax", []operand{of(3, 5)}, one(func(x *G.Node) (*G.Node, error) { return nnops.SoftMax(x) }),
			one(func(x *G.Node) (*G.Node, error) { return ops.Softmax(x, 1) }),
			one(func(x *G.Node) (*G.Node, error) { return G.SoftMax(x) }), 8},
		{"SoftMax along the first axis", []operand{of(3, 5)}, one(func(x *G.Node) (*G.Node, error) { return nnops.SoftMax(x, 0) }),
			one(func(x *G.Node) (*G.Node, error) { return ops.Softmax(x, 0) }),
			one(func(x *G.Node) (*G.Node, error) { return G.SoftMax(x, 0) }), 8},
		{"LogSoftMax", []operand{of(3, 5)}, one(func(x *G.Node) (*G.Node, error) { return nnops.LogSoftMax(x) }),
			one(func(x *G.Node) (*G.Node, error) { return ops.LogSoftmax(x, 1) }),
			one(func(x *G.Node) (*G.Node, error) { return G.LogSoftMax(x) }), 8},
		{"GroupNorm", []operand{of(2, 6, 3, 2), of(1, 6, 1, 1), of(1, 6, 1, 1)},
			func(in []*G.Node) (*G.Node, error) { return nnops.GroupNorm(in[0], in[1], in[2], 3, 6, 1e-3) },
			func(in []*G.Node) (*G.Node, error) {
				var t ops.Try
				y := t.Do(ops.GroupNorm(in[0], t.Do(ops.Reshape(in[1], 6)), t.Do(ops.Reshape(in[2], 6)), 3, 1e-3))
				return y, t.Err()
			},
			func(in []*G.Node) (*G.Node, error) { return G.GroupNorm(in[0], in[1], in[2], 3, 6, 1e-3) }, 48},
		{"BatchNorm", []operand{of(4, 3, 2, 2), of(1, 3, 1, 1), of(1, 3, 1, 1)},
			func(in []*G.Node) (*G.Node, error) {
				return normalised(nnops.BatchNorm(in[0], in[1], in[2], 0.1, 1e-3))
			},
			func(in []*G.Node) (*G.Node, error) {
				var t ops.Try
				y := t.Do(ops.BatchNorm(in[0], t.Do(ops.Reshape(in[1], 3)), t.Do(ops.Reshape(in[2], 3)), 1e-3))
				return y, t.Err()
			},
			func(in []*G.Node) (*G.Node, error) { return normalised(G.BatchNorm(in[0], in[1], in[2], 0.1, 1e-3)) }, 48},
		{"Upsample2D", []operand{image}, one(func(x *G.Node) (*G.Node, error) { return nnops.Upsample2D(x, 3) }),
			one(func(x *G.Node) (*G.Node, error) { return ops.Upsample(x, ops.Size{H: 18, W: 24}, ops.Nearest) }),
			one(func(x *G.Node) (*G.Node, error) { return G.Upsample2D(x, 3) }), 9},
		{"Sum", []operand{of(3, 5)}, one(func(x *G.Node) (*G.Node, error) { return nnops.Sum(x, 1) }),
			one(func(x *G.Node) (*G.Node, error) { return ops.Sum(x, 1) }),
			one(func(x *G.Node) (*G.Node, error) { return G.Sum(x, 1) }), 8},
		{"Mean of all", []operand{of(3, 5)}, one(func(x *G.Node) (*G.Node, error) { return nnops.Mean(x) }),
			one(func(x *G.Node) (*G.Node, error) { return ops.Mean(x) }),
			one(func(x *G.Node) (*G.Node, error) { return G.Mean(x) }), 15},
		{"Max", []operand{of(3, 5)}, one(func(x *G.Node) (*G.Node, error) { return nnops.Max(x, 1) }),
			one(func(x *G.Node) (*G.Node, error) { return ops.Max(x, 1) }),
			one(func(x *G.Node) (*G.Node, error) { return G.Max(x, 1) }), 8},
		{"Transpose", []operand{of(3, 5, 2)}, one(func(x *G.Node) (*G.Node, error) { return nnops.Transpose(x, 1, 2, 0) }),
			one(func(x *G.Node) (*G.Node, error) { return ops.Transpose(x, 1, 2, 0) }),
			one(func(x *G.Node) (*G.Node, error) { return G.Transpose(x, 1, 2, 0) }), 8},
		{"Transpose of a matrix", []operand{of(3, 5)}, one(func(x *G.Node) (*G.Node, error) { return nnops.Transpose(x) }),
			one(func(x *G.Node) (*G.Node, error) { return ops.Transpose(x) }),
			one(func(x *G.Node) (*G.Node, error) { return G.Transpose(x) }), 8},
		{"Concat", []operand{of(3, 5), of(3, 2)}, func(in []*G.Node) (*G.Node, error) { return nnops.Concat(1, in...) },
			func(in []*G.Node) (*G.Node, error) { return ops.Concat(1, in...) },
			func(in []*G.Node) (*G.Node, error) { return G.Concat(1, in...) }, 8},
		{"Reshape", []operand{of(3, 4)}, one(func(x *G.Node) (*G.Node, error) { return nnops.Reshape(x, tensor.Shape{2, -1}) }),
			one(func(x *G.Node) (*G.Node, error) { return ops.Reshape(x, 2, 6) }),
			one(func(x *G.Node) (*G.Node, error) { return G.Reshape(x, tensor.Shape{2, -1}) }), 8},
		{"Mul", []operand{of(3, 5), of(5, 4)}, two(nnops.Mul), two(ops.MatMul), two(G.Mul), 8},
		{"Mul of a matrix and a vector", []operand{of(3, 5), of(5)}, two(nnops.Mul),
			two(func(a, b *G.Node) (*G.Node, error) { return ops.Sum(G.Must(ops.Mul(a, b)), 1) }), two(G.Mul), 8},
		{"Mul of a vector and a matrix", []operand{of(5), of(5, 3)}, two(nnops.Mul),
			two(func(a, b *G.Node) (*G.Node, error) { return ops.Sum(G.Must(ops.Mul(G.Must(ops.Transpose(b)), a)), 1) }), nil, 8},
		{"Mul of vectors", []operand{of(5), of(5)}, two(nnops.Mul),
			two(func(a, b *G.Node) (*G.Node, error) { return ops.Sum(G.Must(ops.Mul(a, b))) }), two(G.Mul), 8},
		{"HadamardProd", []operand{of(3, 5), of(3, 5)}, two(nnops.HadamardProd), two(ops.Mul), two(G.HadamardProd), 8},
		{"Log", []operand{positive}, one(nnops.Log), one(ops.Log), one(G.Log), 8},
		{"Neg", []operand{positive}, one(nnops.Neg), one(func(x *G.Node) (*G.Node, error) { return ops.Affine(x, -1, 0) }), one(G.Neg), 8},
		{"BinaryXent", []operand{positive, positive}, two(nnops.BinaryXent), two(func(y, t *G.Node) (*G.Node, error) {
			logit := G.Must(ops.Log(G.Must(ops.Div(y, G.Must(ops.Affine(y, -1, 1))))))
			return ops.BCEWithLogits(logit, t, ops.ReductionNone)
		}), two(G.BinaryXent), 32},
	} {
		t.Run(c.name, func(t *testing.T) {
			y, dx := run(t, 1, c.in, c.ours)
			for _, peer := range []struct {
				name string
				f    build
			}{{"ops", c.op}, {"gorgonia", c.gorgonia}} {
				if peer.f == nil {
					continue
				}
				wantY, wantDX := run(t, 1, c.in, peer.f)
				near(t, peer.name+": y", y, wantY, c.terms)
				for i := range dx {
					near(t, fmt.Sprintf("%s: gradient of operand %d", peer.name, i), dx[i], wantDX[i], c.terms)
				}
			}
		})
	}
}

// matrix is a leaf of 4×3 distinct numbers.
func matrix(g *G.ExprGraph) *G.Node {
	return G.NewMatrix(g, G.Float64, G.WithShape(4, 3), G.WithName("x"), G.WithValue(
		tensor.New(tensor.WithShape(4, 3), tensor.WithBacking([]float64{1, 2, -3, 5, 2.5, 0, -1, 4, 7, 3, -2, 6}))))
}

// In training BatchNorm is ops.BatchNorm, and moves the running statistics; in evaluation it is
// ops.BatchNormEval of them, and leaves them alone. The derivative follows the mode.
func TestBatchNorm(t *testing.T) {
	const momentum, eps = 0.25, 1e-3
	g := G.NewGraph()
	x := matrix(g)
	y, γ, β, op, err := nnops.BatchNorm(x, nil, nil, momentum, eps)
	if err != nil {
		t.Fatal(err)
	}
	weights := G.NewMatrix(g, G.Float64, G.WithShape(4, 3), G.WithName("dy"), G.WithInit(G.Gaussian(0, 1)))
	cost := G.Must(ops.Sum(G.Must(ops.Mul(y, weights))))
	dx, err := G.Grad(cost, x, γ, β)
	if err != nil {
		t.Fatal(err)
	}
	trained, err := ops.BatchNorm(x, nil, nil, eps)
	if err != nil {
		t.Fatal(err)
	}
	mean := G.NewVector(g, G.Float64, G.WithShape(3), G.WithName("mean"), G.WithInit(G.Zeroes()))
	variance := G.NewVector(g, G.Float64, G.WithShape(3), G.WithName("variance"), G.WithInit(G.Ones()))
	fixed, err := ops.BatchNormEval(x, nil, nil, ops.Stats{Mean: mean, Var: variance}, eps)
	if err != nil {
		t.Fatal(err)
	}
	var wants [2]*G.Node
	for i, n := range []*G.Node{trained, fixed} {
		d, err := ops.Grad(n, weights, x)
		if err != nil {
			t.Fatal(err)
		}
		wants[i] = d[0]
	}
	var got, gotDX, first, firstDX, second, secondDX G.Value
	for to, n := range map[*G.Value]*G.Node{&got: y, &gotDX: dx[0], &first: trained, &firstDX: wants[0], &second: fixed, &secondDX: wants[1]} {
		G.Read(n, to)
	}
	vm := G.NewTapeMachine(g)
	defer vm.Close()
	step := func() {
		t.Helper()
		if err := vm.RunAll(); err != nil {
			t.Fatal(err)
		}
		vm.Reset()
	}
	step()
	near(t, "y in training", numbers(got), numbers(first), 8)
	near(t, "dx in training", numbers(gotDX), numbers(firstDX), 8)
	m, v := op.Stats()
	near(t, "running means", numbers(m), []float64{2 * momentum, 6.5 / 4 * momentum, 10.0 / 4 * momentum}, 8)
	near(t, "running variances", numbers(v)[:1], []float64{momentum*20/3 + 1 - momentum}, 8)

	if err := op.SetTraining(false); err != nil {
		t.Fatal(err)
	}
	if err := G.Let(mean, m); err != nil {
		t.Fatal(err)
	}
	if err := G.Let(variance, v); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		step()
		near(t, "y in evaluation", numbers(got), numbers(second), 8)
		near(t, "dx in evaluation", numbers(gotDX), numbers(secondDX), 8)
		again, _ := op.Stats()
		near(t, "running means after it", numbers(again), numbers(m), 0)
	}
	if err := op.SetTraining(true); err != nil {
		t.Fatal(err)
	}
	m, _ = op.Stats()
	near(t, "means after Reset", numbers(m), []float64{0, 0, 0}, 0)
	if err := op.SetStats(tensor.New(tensor.WithBacking([]float64{1, 2, 3})), tensor.New(tensor.WithBacking([]float64{4, 5, 6}))); err != nil {
		t.Fatal(err)
	}
	_, v = op.Stats()
	near(t, "variances after SetStats", numbers(v), []float64{4, 5, 6}, 0)
	if err := op.SetStats(m, tensor.New(tensor.WithBacking([]float64{4, 5}))); err == nil {
		t.Error("two variances of three channels are no error")
	}
}

// A machine with EvalMode evaluates, and one without trains again.
func TestEvalMode(t *testing.T) {
	g := G.NewGraph()
	x := matrix(g)
	d, err := nnops.Dropout(x, 0.5)
	if err != nil {
		t.Fatal(err)
	}
	other, err := nnops.Dropout(x, 0.5)
	if err != nil {
		t.Fatal(err)
	}
	b, _, _, op, err := nnops.BatchNorm(x, nil, nil, 0.5, 1e-3)
	if err != nil {
		t.Fatal(err)
	}
	var dropped, others, normal G.Value
	G.Read(d, &dropped)
	G.Read(other, &others)
	G.Read(b, &normal)
	for _, c := range []struct {
		mode     string
		options  []G.VMOpt
		training bool
	}{{"training", nil, true}, {"evaluation", []G.VMOpt{G.EvalMode()}, false}, {"training again", nil, true}} {
		before, _ := op.Stats()
		vm := G.NewTapeMachine(g, c.options...)
		if err := vm.RunAll(); err != nil {
			t.Fatal(err)
		}
		if err := vm.Close(); err != nil {
			t.Fatal(err)
		}
		zeros := 0
		for i, v := range numbers(dropped) {
			if v == 0 && numbers(x.Value())[i] != 0 {
				zeros++
			}
		}
		after, _ := op.Stats()
		if moved := fmt.Sprint(before.Data()) != fmt.Sprint(after.Data()); (zeros > 0) != c.training || moved != c.training {
			t.Errorf("%s: %d elements were dropped, and it is %v that the running statistics moved", c.mode, zeros, moved)
		}
		if c.training && fmt.Sprint(dropped) == fmt.Sprint(others) {
			t.Error("two dropouts have one mask")
		}
	}
}

func TestErrors(t *testing.T) {
	g := G.NewGraph()
	x := G.NewTensor(g, G.Float64, 4, G.WithShape(2, 3, 6, 8), G.WithName("x"))
	w := G.NewTensor(g, G.Float64, 4, G.WithShape(4, 3, 2, 3), G.WithName("w"))
	m := matrix(g)
	for want, f := range map[string]func() error{
		"nnops: Conv2d: the kernel's shape is (3, 3), want (2, 3) as in filter, (4, 3, 2, 3)": func() error {
			_, err := nnops.Conv2d(x, w, tensor.Shape{3, 3}, nil, nil, nil)
			return err
		},
		"nnops: Conv2d: im is nil, want a node":                          func() error { _, err := nnops.Conv2d(nil, w, nil, nil, nil, nil); return err },
		"nnops: Conv2d: filter has shape (4, 3), of rank 2, want rank 4": func() error { _, err := nnops.Conv2d(x, m, nil, nil, nil, nil); return err },
		"nnops: Conv2d: the stride is [0 1], want two positive numbers": func() error {
			_, err := nnops.Conv2d(x, w, tensor.Shape{2, 3}, nil, []int{0, 1}, nil)
			return err
		},
		"nnops: MaxPool2D: the padding is [1 2 3], want two numbers": func() error {
			_, err := nnops.MaxPool2D(x, tensor.Shape{2, 3}, []int{1, 2, 3}, pair)
			return err
		},
		"nnops: MaxPool2D: the padding is [-1 0], want no negative numbers": func() error {
			_, err := nnops.MaxPool2D(x, tensor.Shape{2, 3}, []int{-1, 0}, pair)
			return err
		},
		"nnops: AveragePool2D: the kernel is nil, want its height and width": func() error { _, err := nnops.AveragePool2D(x, nil, nil, pair); return err },
		"nnops: SoftMax: the axes are [0 1], want one":                       func() error { _, err := nnops.SoftMax(x, 0, 1); return err },
		"nnops: Upsample2D: the scale is 0 of (2, 3, 6, 8), want 1 or more":  func() error { _, err := nnops.Upsample2D(x, 0); return err },
		"nnops: Mul: a is (2, 3, 6, 8) and b (4, 3), want matrices":          func() error { _, err := nnops.Mul(x, m); return err },
		"nnops: GroupNorm: channels are 4, want those of x, (2, 3, 6, 8)":    func() error { _, err := nnops.GroupNorm(x, m, m, 2, 4, 1e-3); return err },
		"nnops: BatchNorm: x is nil, want a node":                            func() error { _, _, _, _, err := nnops.BatchNorm(nil, nil, nil, 0.1, 1e-3); return err },
		"nnops: BatchNorm: the momentum is 2, want a number of [0, 1]":       func() error { _, _, _, _, err := nnops.BatchNorm(m, nil, nil, 2, 1e-3); return err },
		"nnops: BatchNormOp: it is of no graph":                              func() error { return new(nnops.BatchNormOp).Reset() },
		"nnops: the stride is [1 0], want numbers of 1 or more":              func() error { return nnops.CheckConvolutionParams(pair, []int{1, 0}, pair) },
		"nnops: the padding is [-1], want numbers of 0 or more":              func() error { return nnops.CheckConvolutionParams([]int{-1}, pair, pair) },
		"ops: Dropout: p is 1, want a probability in [0, 1)":                 func() error { _, err := nnops.Dropout(x, 1); return err },
		"nnops: Dropout: x is nil, want a node":                              func() error { _, err := nnops.Dropout(nil, 0.5); return err },
		"ops: ReLU: x is nil, want a node":                                   func() error { _, err := nnops.Rectify(nil); return err },
	} {
		if err := f(); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("the error is %v, want %s", err, want)
		}
	}
	if err := nnops.CheckConvolutionParams(pair, pair, pair); err != nil {
		t.Error(err)
	}
}

func ExampleConv2d() {
	g := G.NewGraph()
	x := G.NewTensor(g, G.Float64, 4, G.WithShape(1, 1, 2, 3), G.WithName("x"), G.WithInit(G.RangedFrom(1)))
	w := G.NewTensor(g, G.Float64, 4, G.WithShape(1, 1, 1, 2), G.WithName("w"), G.WithInit(G.Ones()))
	y, err := nnops.Conv2d(x, w, tensor.Shape{1, 2}, []int{0, 0}, []int{1, 1}, []int{1, 1})
	if err != nil {
		panic(err)
	}
	vm := G.NewTapeMachine(g)
	defer vm.Close()
	if err := vm.RunAll(); err != nil {
		panic(err)
	}
	fmt.Println(y.Value().Data())
	// Output: [3 5 9 11]
}
