package ops_test

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"slices"
	"sort"
	"strconv"
	"strings"
	"testing"

	G "gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/convgrad/convgrad/internal/kernel"
	"github.com/convgrad/convgrad/ops"
	"github.com/convgrad/convgrad/ops/vm"
)

// torchOps are the ops that testdata/torch_cases.json has cases of, made from PyTorch's arguments.
var torchOps = map[string]func(in []*G.Node, a torchArgs) (*G.Node, error){
	"conv2d": func(in []*G.Node, a torchArgs) (*G.Node, error) {
		return ops.Conv2D(in[0], in[1], third(in), ops.ConvParams{Stride: a.size("stride"), Dilation: a.size("dilation"), Pad: a.around("padding"), Groups: a.int("groups")})
	},
	"conv_transpose2d": func(in []*G.Node, a torchArgs) (*G.Node, error) {
		return ops.ConvTranspose2D(in[0], in[1], third(in), ops.ConvParams{Stride: a.size("stride"), Dilation: a.size("dilation"), Pad: a.around("padding"),
			OutputPad: a.size("output_padding"), Groups: a.int("groups")})
	},
	"pad": func(in []*G.Node, a torchArgs) (*G.Node, error) {
		p := a.ints("pad")
		mode := map[any]ops.PadMode{"constant": ops.PadZeros, "reflect": ops.PadReflect, "replicate": ops.PadReplicate}[a["mode"]]
		return ops.Pad(in[0], ops.Padding{Left: p[0], Right: p[1], Top: p[2], Bottom: p[3]}, mode)
	},
	"upsample_nearest": func(in []*G.Node, a torchArgs) (*G.Node, error) {
		return ops.Upsample(in[0], a.size("size"), ops.Nearest)
	},
	"upsample_bilinear": func(in []*G.Node, a torchArgs) (*G.Node, error) {
		if a["align"].(bool) {
			return ops.Upsample(in[0], a.size("size"), ops.BilinearAligned)
		}
		return ops.Upsample(in[0], a.size("size"), ops.Bilinear)
	},
	"adaptive_avg_pool2d": func(in []*G.Node, a torchArgs) (*G.Node, error) {
		return ops.AdaptiveAvgPool2D(in[0], a.size("output_size"))
	},
	"adaptive_max_pool2d": func(in []*G.Node, a torchArgs) (*G.Node, error) {
		return ops.AdaptiveMaxPool2D(in[0], a.size("output_size"))
	},
	"max_pool2d": func(in []*G.Node, a torchArgs) (*G.Node, error) { return ops.MaxPool2D(in[0], a.pool()) },
	"avg_pool2d": func(in []*G.Node, a torchArgs) (*G.Node, error) { return ops.AvgPool2D(in[0], a.pool()) },
	"lp_pool2d":  func(in []*G.Node, a torchArgs) (*G.Node, error) { return ops.LpPool2D(in[0], a.pool()) },
	"conv1d": func(in []*G.Node, a torchArgs) (*G.Node, error) {
		return ops.Conv1D(in[0], in[1], third(in), a.conv1D())
	},
	"conv_transpose1d": func(in []*G.Node, a torchArgs) (*G.Node, error) {
		p := a.conv1D()
		p.OutputPad.W = a.int("output_padding")
		return ops.ConvTranspose1D(in[0], in[1], third(in), p)
	},
	"max_pool1d": func(in []*G.Node, a torchArgs) (*G.Node, error) { return ops.MaxPool1D(in[0], a.pool1D()) },
	"avg_pool1d": func(in []*G.Node, a torchArgs) (*G.Node, error) { return ops.AvgPool1D(in[0], a.pool1D()) },
	"batch_norm": func(in []*G.Node, a torchArgs) (*G.Node, error) {
		return ops.BatchNorm(in[0], in[1], in[2], a.float("eps"))
	},
	"batch_norm_eval": func(in []*G.Node, a torchArgs) (*G.Node, error) {
		return ops.BatchNormEval(in[0], in[1], in[2], ops.Stats{Mean: in[3], Var: in[4]}, a.float("eps"))
	},
	"layer_norm": func(in []*G.Node, a torchArgs) (*G.Node, error) {
		return ops.LayerNorm(in[0], in[1], in[2], a.int("axes"), a.float("eps"))
	},
	"group_norm": func(in []*G.Node, a torchArgs) (*G.Node, error) {
		return ops.GroupNorm(in[0], in[1], in[2], a.int("groups"), a.float("eps"))
	},
	"matmul": func(in []*G.Node, a torchArgs) (*G.Node, error) { return ops.MatMul(in[0], in[1]) },
	"prelu":  func(in []*G.Node, a torchArgs) (*G.Node, error) { return ops.PReLU(in[0], in[1]) },
	"l1":     func(in []*G.Node, a torchArgs) (*G.Node, error) { return ops.L1(in[0], in[1], a.reduction()) },
	"huber": func(in []*G.Node, a torchArgs) (*G.Node, error) {
		return ops.Huber(in[0], in[1], a.float("delta"), a.reduction())
	},
	"bce_with_logits": func(in []*G.Node, a torchArgs) (*G.Node, error) {
		return ops.BCEWithLogits(in[0], in[1], a.reduction())
	},
	"add":  func(in []*G.Node, a torchArgs) (*G.Node, error) { return ops.Add(in[0], in[1]) },
	"sub":  func(in []*G.Node, a torchArgs) (*G.Node, error) { return ops.Sub(in[0], in[1]) },
	"mul":  func(in []*G.Node, a torchArgs) (*G.Node, error) { return ops.Mul(in[0], in[1]) },
	"div":  func(in []*G.Node, a torchArgs) (*G.Node, error) { return ops.Div(in[0], in[1]) },
	"sum":  func(in []*G.Node, a torchArgs) (*G.Node, error) { return ops.Sum(in[0], a.ints("axes")...) },
	"mean": func(in []*G.Node, a torchArgs) (*G.Node, error) { return ops.Mean(in[0], a.ints("axes")...) },
	"amax": func(in []*G.Node, a torchArgs) (*G.Node, error) { return ops.Max(in[0], a.ints("axes")...) },
	"transpose": func(in []*G.Node, a torchArgs) (*G.Node, error) {
		return ops.Transpose(in[0], a.ints("perm")...)
	},
	"concat": func(in []*G.Node, a torchArgs) (*G.Node, error) { return ops.Concat(a.int("axis"), in...) },
	"slice": func(in []*G.Node, a torchArgs) (*G.Node, error) {
		return ops.Slice(in[0], a.int("axis"), a.int("start"), a.int("end"), a.int("step"))
	},
	"relu":        func(in []*G.Node, a torchArgs) (*G.Node, error) { return ops.ReLU(in[0]) },
	"silu":        func(in []*G.Node, a torchArgs) (*G.Node, error) { return ops.SiLU(in[0]) },
	"gelu":        func(in []*G.Node, a torchArgs) (*G.Node, error) { return ops.GELU(in[0]) },
	"gelu_tanh":   func(in []*G.Node, a torchArgs) (*G.Node, error) { return ops.GELUTanh(in[0]) },
	"sigmoid":     func(in []*G.Node, a torchArgs) (*G.Node, error) { return ops.Sigmoid(in[0]) },
	"tanh":        func(in []*G.Node, a torchArgs) (*G.Node, error) { return ops.Tanh(in[0]) },
	"softplus":    func(in []*G.Node, a torchArgs) (*G.Node, error) { return ops.Softplus(in[0]) },
	"hardswish":   func(in []*G.Node, a torchArgs) (*G.Node, error) { return ops.HardSwish(in[0]) },
	"hardsigmoid": func(in []*G.Node, a torchArgs) (*G.Node, error) { return ops.HardSigmoid(in[0]) },
	"relu6":       func(in []*G.Node, a torchArgs) (*G.Node, error) { return ops.ReLU6(in[0]) },
	"exp":         func(in []*G.Node, a torchArgs) (*G.Node, error) { return ops.Exp(in[0]) },
	"log":         func(in []*G.Node, a torchArgs) (*G.Node, error) { return ops.Log(in[0]) },
	"sqrt":        func(in []*G.Node, a torchArgs) (*G.Node, error) { return ops.Sqrt(in[0]) },
	"square":      func(in []*G.Node, a torchArgs) (*G.Node, error) { return ops.Square(in[0]) },
	"abs":         func(in []*G.Node, a torchArgs) (*G.Node, error) { return ops.Abs(in[0]) },
	"leaky_relu": func(in []*G.Node, a torchArgs) (*G.Node, error) {
		return ops.LeakyReLU(in[0], a.float("negative_slope"))
	},
	"elu": func(in []*G.Node, a torchArgs) (*G.Node, error) { return ops.ELU(in[0], a.float("alpha")) },
	"clamp": func(in []*G.Node, a torchArgs) (*G.Node, error) {
		return ops.Clamp(in[0], a.float("min"), a.float("max"))
	},
	"mse": func(in []*G.Node, a torchArgs) (*G.Node, error) {
		return ops.MSE(in[0], in[1], a.reduction())
	},
	"softmax":     func(in []*G.Node, a torchArgs) (*G.Node, error) { return ops.Softmax(in[0], a.int("axis")) },
	"log_softmax": func(in []*G.Node, a torchArgs) (*G.Node, error) { return ops.LogSoftmax(in[0], a.int("axis")) },
	"linear":      func(in []*G.Node, a torchArgs) (*G.Node, error) { return ops.Linear(in[0], in[1], in[2]) },
	"cross_entropy": func(in []*G.Node, a torchArgs) (*G.Node, error) {
		p := a.crossEntropy(in)
		if ignore := a.int("ignore"); ignore != -100 {
			p.Ignore = &ignore
		}
		return ops.CrossEntropy(in[0], in[1], p)
	},
	"cross_entropy_probabilities": func(in []*G.Node, a torchArgs) (*G.Node, error) {
		return ops.CrossEntropy(in[0], in[1], a.crossEntropy(in))
	},
}

type torchCase struct {
	Op   string
	Args torchArgs
	In   []struct {
		Shape []int
		Kind  string
		Seed  uint64
	}
	Out map[string]*digest
}

// A digest is what the file stores of a tensor: see testdata/torch_cases.py.
type digest struct {
	Shape []int
	Dots  [3]float64
	Size  float64
}

type torchArgs map[string]any

func (a torchArgs) float(name string) float64 { return a[name].(float64) }
func (a torchArgs) int(name string) int       { return int(a.float(name)) }
func (a torchArgs) ints(name string) (v []int) {
	for _, x := range a[name].([]any) {
		v = append(v, int(x.(float64)))
	}
	return v
}
func (a torchArgs) size(name string) ops.Size {
	v := a.ints(name)
	return ops.Size{H: v[0], W: v[1]}
}
func (a torchArgs) around(name string) ops.Padding {
	v := a.ints(name)
	return ops.AroundHW(v[0], v[1])
}
func (a torchArgs) pool() ops.PoolParams {
	p := ops.PoolParams{Window: a.size("kernel_size"), Stride: a.size("stride"), Ceil: a["ceil_mode"].(bool)}
	if a["padding"] != nil {
		p.Pad = a.around("padding")
	}
	if a["dilation"] != nil {
		p.Dilation = a.size("dilation")
	}
	if a["norm_type"] != nil {
		p.Norm = a.float("norm_type")
	}
	if a["divisor_override"] != nil {
		p.Divisor = a.int("divisor_override")
	}
	if counted, ok := a["count_include_pad"].(bool); ok {
		p.ExcludePadding = !counted
	}
	return p
}
func (a torchArgs) conv1D() ops.ConvParams {
	return ops.ConvParams{Stride: ops.Size{W: a.int("stride")}, Dilation: ops.Size{W: a.int("dilation")}, Groups: a.int("groups"),
		Pad: ops.AroundHW(0, a.int("padding"))}
}
func (a torchArgs) pool1D() ops.PoolParams {
	p := ops.PoolParams{Window: ops.Size{W: a.int("kernel_size")}, Stride: ops.Size{W: a.int("stride")}, Pad: ops.AroundHW(0, a.int("padding")), Ceil: a["ceil_mode"].(bool)}
	if a["dilation"] != nil {
		p.Dilation.W = a.int("dilation")
	}
	if counted, ok := a["count_include_pad"].(bool); ok {
		p.ExcludePadding = !counted
	}
	return p
}
func (a torchArgs) reduction() ops.Reduction {
	return map[any]ops.Reduction{"mean": ops.ReductionMean, "sum": ops.ReductionSum, "none": ops.ReductionNone}[a["reduction"]]
}

func (a torchArgs) crossEntropy(in []*G.Node) ops.CrossEntropyParams {
	return ops.CrossEntropyParams{Reduction: a.reduction(), Weights: third(in), Smoothing: a.float("smoothing")}
}

func third(in []*G.Node) *G.Node {
	if len(in) > 2 {
		return in[2]
	}
	return nil
}

// uniformAt is number i of a stream in (−1, 1), as testdata/torch_cases.py makes it.
func uniformAt(seed uint64, i int) float64 {
	z := seed*0x9E3779B97F4A7C15 + uint64(i+1)*0xBF58476D1CE4E5B9
	z = (z ^ z>>30) * 0xBF58476D1CE4E5B9
	z = (z ^ z>>27) * 0x94D049BB133111EB
	z ^= z >> 31
	return (float64(z>>40)+0.5)/(1<<23) - 1
}

func stream(n int, seed uint64, kind string) []float64 {
	v := make([]float64, n)
	for i := range v {
		v[i] = uniformAt(seed, i)
	}
	switch {
	case kind == "wide":
		for i := range v {
			v[i] *= 4
		}
	case kind == "positive":
		for i := range v {
			v[i] += 1.25
		}
	case kind == "probabilities":
		for i := range v {
			v[i] = (1.1 + v[i]) / 4
		}
	case kind == "distinct":
		order := make([]int, n)
		for i := range order {
			order[i] = i
		}
		sort.SliceStable(order, func(i, j int) bool { return v[order[i]] < v[order[j]] })
		for rank, i := range order {
			v[i] = (float64(rank) - float64(n)/2 + 0.25) / 8
		}
	case strings.HasPrefix(kind, "labels"):
		c, err := strconv.Atoi(kind[6:])
		if err != nil {
			panic(err)
		}
		for i := range v {
			v[i] = math.Trunc((v[i] + 1) / 2 * float64(c))
		}
	}
	return v
}

// TestPyTorch compares values and derivatives of first and second order with PyTorch's, in both
// float types. The bound of an inner product is that of its terms' rounding, for the few hundred
// operations of an element.
func TestPyTorch(t *testing.T) {
	raw, err := os.ReadFile("testdata/torch_cases.json")
	if err != nil {
		t.Fatal(err)
	}
	var cases []torchCase
	if err := json.Unmarshal(raw, &cases); err != nil {
		t.Fatal(err)
	}
	compared := map[string]int{}
	for i, c := range cases {
		build, here := torchOps[c.Op]
		if !here {
			t.Fatalf("%s has no constructor", c.Op)
		}
		t.Run(fmt.Sprintf("%s/%d", c.Op, i), func(t *testing.T) {
			double := 1e-11
			if c.Op == "hardsigmoid" {
				double = 1e-8 // PyTorch's derivative is ⅙ rounded to float32, in float64 too
			}
			torchCompare[float64](t, c, build, double)
			torchCompare[float32](t, c, build, 2e-4)
		})
		compared[c.Op]++
	}
	if len(compared) != len(torchOps) {
		t.Errorf("%d ops have cases, want %d", len(compared), len(torchOps))
	}
}

func torchCompare[T kernel.Float](t *testing.T, c torchCase, build func([]*G.Node, torchArgs) (*G.Node, error), tolerance float64) {
	t.Helper()
	g := G.NewGraph()
	var in, floats []*G.Node
	for k, input := range c.In {
		v := stream(tensor.Shape(input.Shape).TotalSize(), input.Seed, input.Kind)
		name := fmt.Sprint("input ", k)
		if strings.HasPrefix(input.Kind, "labels") {
			in = append(in, leaf(g, name, input.Shape, converted[int](v)))
			continue
		}
		in = append(in, leaf(g, name, input.Shape, converted[T](v)))
		floats = append(floats, in[k])
	}
	var m ops.Try
	y := m.Do(build(in, c.Args))
	if m.Err() != nil {
		t.Fatal(m.Err())
	}
	dy := leaf(g, "dy", y.Shape(), converted[T](stream(y.Shape().TotalSize(), 700, "")))
	outputs, names := []*G.Node{y}, []string{"y"}
	want := func(name string, n *G.Node) {
		if c.Out[name] != nil {
			outputs, names = append(outputs, n), append(names, name)
		}
	}
	grads, err := ops.Grad(y, dy, floats...)
	if err != nil {
		t.Fatal(err)
	}
	var second *G.Node // Σ ⟨d, v⟩
	for k, d := range grads {
		want(fmt.Sprint("d", k), d)
		if c.Out[fmt.Sprint("d", k)] == nil {
			continue
		}
		v := leaf(g, fmt.Sprint("v", k), d.Shape(), converted[T](stream(d.Shape().TotalSize(), uint64(800+k), "")))
		part := m.Do(ops.Sum(m.Do(ops.Mul(d, v))))
		if second == nil {
			second = part
		} else {
			second = m.Do(ops.Add(second, part))
		}
	}
	if m.Err() != nil {
		t.Fatal(m.Err())
	}
	if second != nil {
		seconds, err := ops.Grad(second, nil, append(floats, dy)...)
		if err != nil {
			t.Fatal(err)
		}
		for k, s := range seconds[:len(floats)] {
			want(fmt.Sprint("s", k), s)
		}
		want("sdy", seconds[len(floats)])
	}
	machine, err := vm.New(g, outputs...)
	if err != nil {
		t.Fatal(err)
	}
	defer machine.Close()
	if err := machine.RunAll(); err != nil {
		t.Fatal(err)
	}
	for k, n := range outputs {
		same(t, names[k], c.Out[names[k]], n.Shape(), numbers[T](n.Value()), tolerance)
	}
}

// numbers are the elements of a value, in their order.
func numbers[T kernel.Float](v G.Value) []T {
	switch d := v.Data().(type) {
	case []T:
		return d
	case T:
		return []T{d}
	}
	panic(fmt.Sprintf("a value of %T", v.Data()))
}

// same fails the test unless a tensor has the digest.
func same[T kernel.Float](t *testing.T, name string, want *digest, shape tensor.Shape, got []T, tolerance float64) {
	t.Helper()
	if !slices.Equal([]int(shape), want.Shape) {
		t.Fatalf("%s has shape %v, want %v", name, shape, want.Shape)
	}
	for k, dot := range want.Dots {
		sum := 0.0
		for i, w := range stream(len(got), uint64(900+k), "") {
			sum += w * float64(got[i])
		}
		if bound := tolerance * (want.Size + 1); !(math.Abs(sum-dot) <= bound) {
			t.Errorf("%s of %T: inner product %d is %v, want %v: the bound is %v", name, got, k, sum, dot, bound)
		}
	}
}

func converted[T kernel.Float | int | int32](v []float64) []T {
	out := make([]T, len(v))
	for i, x := range v {
		out[i] = T(x)
	}
	return out
}
