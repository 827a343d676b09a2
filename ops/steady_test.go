package ops_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"reflect"
	"runtime"
	"slices"
	"testing"

	G "gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/convgrad/convgrad/internal/kernel"
	"github.com/convgrad/convgrad/internal/opset"
	"github.com/convgrad/convgrad/internal/workers"
	"github.com/convgrad/convgrad/ops"
	"github.com/convgrad/convgrad/ops/vm"
)

// large is a call of an op with a batch so long that kernels hand parts of it to other threads: a
// side of the drawn case, the same in some of its operands, is made longer until the largest
// operand has more than a chunk of elements. It reports whether the op takes such operands.
func large(c opset.Case) (opset.Case, bool) {
	for from := range c.Inputs {
		side := 0
		if len(c.Inputs[from].Shape) > 0 {
			side = c.Inputs[from].Shape[0]
		}
		most := c.Inputs[from].Shape.TotalSize()
		if side == 0 || most == 0 {
			continue
		}
		long := side * (workers.Chunk*9/8/most + 1)
		for mask := 1<<len(c.Inputs) - 1; mask > 0; mask-- { // which operands have the batch
			if mask&(1<<from) == 0 {
				continue
			}
			grown := c
			grown.Inputs = slices.Clone(c.Inputs)
			for i, in := range c.Inputs {
				if mask&(1<<i) != 0 && len(in.Shape) > 0 && in.Shape[0] == side {
					grown.Inputs[i].Shape = in.Shape.Clone()
					grown.Inputs[i].Shape[0] = long
				}
			}
			_, outputs, err := outputsOf(grown, nil)
			small := func(n *G.Node) bool { return n.Shape().TotalSize() <= 8*workers.Chunk }
			if err == nil && !slices.ContainsFunc(outputs, func(n *G.Node) bool { return !small(n) }) {
				return grown, true
			}
		}
	}
	return c, false
}

// outputsOf is a case's graph in float32: its result, and the gradients by its operands under a
// cotangent. Operands and the cotangent have the values that are given, if there are any.
func outputsOf(c opset.Case, values []any) (g *G.ExprGraph, outputs G.Nodes, err error) {
	g = G.NewGraph()
	node := func(name string, of tensor.Dtype, shape tensor.Shape, i int) *G.Node {
		var n *G.Node
		if len(shape) == 0 {
			n = G.NewScalar(g, of, G.WithName(name))
			if values != nil {
				err = G.Let(n, values[i].([]float32)[0])
			}
			return n
		}
		n = G.NewTensor(g, of, len(shape), G.WithShape(shape...), G.WithName(name))
		if values != nil {
			err = G.Let(n, tensor.New(tensor.WithShape(shape...), tensor.WithBacking(values[i])))
		}
		return n
	}
	var in, floats []*G.Node
	for i, input := range c.Inputs {
		of := input.Of
		if of.Type == nil {
			of = tensor.Float32
		}
		in = append(in, node(input.Name, of, input.Shape, i))
		if of == tensor.Float32 {
			floats = append(floats, in[i])
		}
	}
	y, buildErr := c.Build(in)
	if buildErr != nil || y.Dtype() != tensor.Float32 {
		return g, G.Nodes{y}, buildErr
	}
	dy := node("dy", tensor.Float32, y.Shape(), len(in))
	grads, gradErr := ops.Grad(y, dy, floats...)
	if gradErr != nil {
		return nil, nil, gradErr
	}
	return g, append(G.Nodes{y}, grads...), err
}

// drawnValues are the elements of a case's operands, and of a cotangent of n elements.
func drawnValues(c opset.Case, n int, seed uint64) (values []any) {
	r := rand.New(rand.NewPCG(seed, 9))
	for _, input := range c.Inputs {
		v := make([]float64, input.Shape.TotalSize())
		input.Draw(r, v)
		switch {
		case input.Of.Type == nil:
			values = append(values, inType[float32](v))
		case input.Of == tensor.Int32:
			values = append(values, inType[int32](v))
		case input.Of == tensor.Int64:
			values = append(values, inType[int64](v))
		default:
			values = append(values, inType[int](v))
		}
	}
	v := make([]float32, n)
	for i := range v {
		v[i] = float32(r.NormFloat64())
	}
	return append(values, v)
}

func inType[T float32 | int | int32 | int64](v []float64) []T {
	w := make([]T, len(v))
	for i, x := range v {
		w[i] = T(x)
	}
	return w
}

// unlike is the first element whose bits differ, or −1.
func unlike(a, b any) int {
	switch a := a.(type) {
	case []float32:
		for i, v := range b.([]float32) {
			if math.Float32bits(a[i]) != math.Float32bits(v) {
				return i
			}
		}
		return -1
	case float32:
		return unlike([]float32{a}, []float32{b.(float32)})
	}
	if !reflect.DeepEqual(a, b) {
		return 0
	}
	return -1
}

// threaded says what differs among runs of a large case at several numbers of threads, and how many
// bytes a run allocates for each of its steps once memory has been laid out.
func threaded(c opset.Case, seed uint64) (breach string, bytes uint64, err error) {
	was := ops.SetThreads(0)
	defer ops.SetThreads(was)
	_, outputs, err := outputsOf(c, nil)
	if err != nil {
		return "", 0, err
	}
	values := drawnValues(c, outputs[0].Shape().TotalSize(), seed)
	var first G.Nodes
	for _, threads := range []int{1, 2, 3, 7} {
		ops.SetThreads(threads)
		g, outputs, err := outputsOf(c, values)
		if err != nil {
			return "", 0, err
		}
		m, err := vm.New(g, outputs...)
		if err != nil {
			return "", 0, err
		}
		defer m.Close() // the first one's results are compared with all others'
		if err := m.RunAll(); err != nil {
			return "", 0, err
		}
		if first == nil {
			first = outputs
		}
		for i, n := range outputs {
			if at := unlike(first[i].Value().Data(), n.Value().Data()); at >= 0 && breach == "" {
				breach = fmt.Sprintf("%d threads: output %d, element %d is not what one thread gives", threads, i, at)
			}
		}
		if threads == 2 {
			if bytes, err = steady(m); err != nil {
				return "", 0, err
			}
			bytes /= uint64(m.Steps())
		}
	}
	return breach, bytes, nil
}

// steady is the least that a run of a machine allocates. A collection of garbage empties the lists
// of free scratch memory, so that a run after it allocates once more.
func steady(m *vm.Machine) (least uint64, err error) {
	least = math.MaxUint64
	for range 4 {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		if err := m.RunAll(); err != nil {
			return 0, err
		}
		runtime.ReadMemStats(&after)
		least = min(least, after.TotalAlloc-before.TotalAlloc)
	}
	return least, nil
}

// most is how many bytes a step may allocate.
const most = 4 << 10

// Every registered op and its gradients have the same bits at 1, 2, 3 and 7 threads where the work
// is split, and once warm a run allocates at most 4 kB for each of its steps, which is what
// describes operands and parts of the work; tensors have 100 kB and more here. No op makes a
// tensor, or a buffer that grows with one, in every run.
func TestThreadsAndSteadyMemory(t *testing.T) {
	const seed = 12
	for _, e := range opset.All() {
		tried := false
		for draw := uint64(0); draw < 12 && !tried; draw++ {
			c, ok := large(e.Draw(rand.New(rand.NewPCG(draw, 0))))
			if !ok {
				continue
			}
			tried = true
			breach, bytes, err := threaded(c, seed)
			switch {
			case err != nil:
				t.Errorf("%s, %s: %v", e.Name, c.Params, err)
			case breach != "":
				t.Errorf("%s, %s: seed %d: %s", e.Name, c.Params, seed, breach)
			case bytes > most && !raceDetector:
				t.Errorf("%s, %s: a run allocates %d bytes a step, want at most %d", e.Name, c.Params, bytes, most)
			}
		}
		// The image is a parameter, batch and all; as the gradient of Conv2D the op is tried above.
		if !tried && e.Name != "Conv2DBackwardData" {
			t.Errorf("%s: no drawn case takes a long batch", e.Name)
		}
	}
}

// A split is an op that breaks both rules: it adds as many parts as there are threads, and makes a
// slice of its operand's size.
type split struct{}

func (split) Infer(in []tensor.Shape) (tensor.Shape, error) { return tensor.ScalarShape(), nil }
func (split) Rule(in []*G.Node, _, _ *G.Node) ([]*G.Node, error) {
	dx, err := ops.Affine(in[0], 1, 0)
	return []*G.Node{dx}, err
}
func (split) Compute(c *ops.Call) error {
	x, parts := ops.In[float32](c, 0), make([]float32, len(ops.In[float32](c, 0)))
	n := kernel.Threads()
	for i, v := range x {
		parts[i*n/len(x)] += v
	}
	sum := float32(0)
	for _, v := range parts[:n] {
		sum += v
	}
	ops.Out[float32](c)[0] = sum
	return nil
}

func TestThreadsAndSteadyMemoryCaught(t *testing.T) {
	c := opset.Case{Inputs: []opset.Input{opset.Normal("x", 1000, 50)}, Build: func(in []*G.Node) (*G.Node, error) { return ops.Apply(split{}, in...) }}
	breach, bytes, err := threaded(c, 1)
	if err != nil {
		t.Fatal(err)
	}
	if breach == "" {
		t.Error("an op that adds as many parts as there are threads has the same bits at all numbers of them")
	}
	if bytes <= most {
		t.Errorf("an op that makes a slice of 200000 bytes allocates %d a step", bytes)
	}
}
