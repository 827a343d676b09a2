package model_test

import (
	"bytes"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	G "gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/convgrad/convgrad/internal/onnx"
	"github.com/convgrad/convgrad/model"
	"github.com/convgrad/convgrad/ops"
)

// everyOp is a layer of all ops that ONNX has an operator for and the other layers do not use.
var everyOp = model.LayerFunc(func(b *model.Builder, x *G.Node) *G.Node {
	for _, f := range []func(*G.Node) (*G.Node, error){
		ops.SiLU, ops.GELU, ops.GELUTanh, ops.HardSwish, ops.HardSigmoid, ops.ReLU6, ops.Softplus, ops.Tanh, ops.Sigmoid,
		ops.Exp, ops.Log, ops.Abs, ops.Sqrt, ops.Square,
		func(x *G.Node) (*G.Node, error) { return ops.Affine(x, -1.5, 0.25) },
		func(x *G.Node) (*G.Node, error) { return ops.LeakyReLU(x, 0.125) },
		func(x *G.Node) (*G.Node, error) { return ops.ELU(x, 1.5) },
		func(x *G.Node) (*G.Node, error) { return ops.Clamp(x, -0.9, 2) },
		func(x *G.Node) (*G.Node, error) { return ops.Pad(x, ops.Padding{Top: 1, Left: 2}, ops.PadReflect) },
		func(x *G.Node) (*G.Node, error) { return ops.Pad(x, ops.Around(1), ops.PadReplicate) },
		func(x *G.Node) (*G.Node, error) { return ops.Upsample(x, ops.Size{H: 10, W: 14}, ops.Nearest) },
		func(x *G.Node) (*G.Node, error) { return ops.Upsample(x, ops.Size{H: 13, W: 9}, ops.Bilinear) },
		func(x *G.Node) (*G.Node, error) { return ops.Upsample(x, ops.Size{H: 11, W: 12}, ops.BilinearAligned) },
		func(x *G.Node) (*G.Node, error) { return ops.AdaptiveAvgPool2D(x, ops.Size{H: 7, W: 6}) },
		func(x *G.Node) (*G.Node, error) { return ops.Slice(x, 3, 1, 6, 2) },
		func(x *G.Node) (*G.Node, error) { return ops.Transpose(x, 0, 2, 3, 1) },
		func(x *G.Node) (*G.Node, error) { return ops.LayerNorm(x, nil, nil, 2, 0.5) },
		func(x *G.Node) (*G.Node, error) { return ops.Softmax(x, 1) },
		func(x *G.Node) (*G.Node, error) { return ops.Affine(x, 3, 0) },
		func(x *G.Node) (*G.Node, error) { return ops.LogSoftmax(x, 3) },
		func(x *G.Node) (*G.Node, error) { return ops.GroupNorm(x, nil, nil, 7, 0.5) },
	} {
		x = b.Do(f(x))
	}
	w := b.Param("w", model.HeNormal, 8, 4)
	y := b.Do(ops.MatMul(x, w)) // N×7×3×4
	y = b.Do(ops.LayerNorm(y, b.Param("scale", model.Ones, 4), b.Param("shift", model.Zeros, 4), 1, 0.5))
	y = b.Do(ops.GroupNorm(y, b.Param("by", model.Ones, 7), b.Param("to", model.Zeros, 7), 1, 0.5))
	y = b.Do(ops.PReLU(y, b.Param("slopes", model.Constant(0.3), 7)))
	y = b.Do(ops.Linear(y, b.Param("v", model.HeNormal, 6, 4), nil))
	most, mean := b.Do(ops.Max(y, 2, 3)), b.Do(ops.Mean(y, -1))
	y = b.Do(ops.Sub(y, b.Do(ops.Reshape(most, -1, 7, 1, 1))))
	y = b.Do(ops.Lerp(y, b.Do(ops.Mul(y, b.Do(ops.Unsqueeze(mean, 3)))), 0.25))
	z := b.Do(ops.ConvTranspose2D(y, b.Param("filters", model.HeNormal, 7, 2, 3, 2), b.Param("bias", model.Ones, 2),
		ops.ConvParams{Stride: ops.Both(2), OutputPad: ops.Size{W: 1}, Pad: ops.Around(1)}))
	z = b.Do(ops.Slice(z, 3, 0, 1, 1))
	return b.Do(ops.Concat(2, z, b.Do(ops.GlobalMaxPool(z))))
})

// saved is a network as an ONNX file.
func saved(t testing.TB, n *model.Network) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := n.SaveONNX(&b, nil); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// gradients are those of a batch in training, and the buffers afterwards, by name.
func gradients(t *testing.T, n *model.Network, x *tensor.Dense) map[string][]float32 {
	t.Helper()
	g, err := n.Build(x.Shape()[0], model.BuildOptions{Loss: model.SquaredError{}, Training: true, Seed: 5})
	if err != nil {
		t.Fatal(err)
	}
	defer g.Close()
	copy(g.InputData().([]float32), x.Data().([]float32))
	if err := g.Run(); err != nil {
		t.Fatal(err)
	}
	grads, err := g.Grads()
	if err != nil {
		t.Fatal(err)
	}
	all := map[string][]float32{}
	for i, p := range g.Params() {
		all[p.Name] = slices.Clone(grads[i].Data().([]float32))
	}
	for _, p := range n.Buffers() {
		all[p.Name] = slices.Clone(p.Value.Data().([]float32))
	}
	return all
}

// What is written and read again is the same network: names, outputs, gradients, running
// statistics.
func TestONNXRoundTrip(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for name, c := range map[string]struct {
		layer model.Layer
		shape tensor.Shape
	}{
		"layers": {layerByLayer, tensor.Shape{4, 17, 20}},
		"residual": {model.Sequential{
			model.Conv2D{Filters: 6, Size: ops.Both(3), Pad: ops.Around(1), NoBias: true}, model.BatchNorm{Momentum: 0.25}, model.ReLU{},
			model.Residual{Body: model.Sequential{model.Conv2D{Filters: 6, Size: ops.Both(1)}, model.BatchNorm{Epsilon: 1e-3}}},
			model.GlobalAvgPool{}, model.As("fc", model.Linear{Outputs: 3}),
		}, tensor.Shape{2, 7, 5}},
	} {
		n, err := model.New(c.layer, c.shape, model.Options{Seed: 7, Name: name})
		if err != nil {
			t.Fatal(err)
		}
		lively(n, r)
		file := saved(t, n)
		back, err := model.ReadONNX(bytes.NewReader(file), model.ONNXOptions{Options: model.Options{Name: name}})
		if err != nil {
			t.Fatal(err)
		}
		for i, p := range append(n.Params(), n.Buffers()...) {
			q := back.Param(p.Name)
			if q == nil || q.Buffer != p.Buffer || !q.Value.Shape().Eq(p.Value.Shape()) || !slices.Equal(q.Value.Data().([]float32), p.Value.Data().([]float32)) {
				t.Errorf("%s: weight %d, %s, is %+v", name, i, p.Name, q)
			}
		}
		if got, want := len(back.Params())+len(back.Buffers()), len(n.Params())+len(n.Buffers()); got != want {
			t.Errorf("%s: %d weights, want %d", name, got, want)
		}
		x := samples(r, 3, c.shape)
		agree(t, name, predicted(t, back, x), predicted(t, n, x))
		want, got := gradients(t, n, x), gradients(t, back, x)
		for weight, v := range want {
			if name == "residual" { // layers has a Dropout, which evaluation leaves out of the file
				agree(t, name+": "+weight, got[weight], v)
			}
		}
		again, err := model.ReadONNX(bytes.NewReader(saved(t, back)), model.ONNXOptions{})
		if err != nil {
			t.Fatal(err)
		}
		agree(t, name+", written again", predicted(t, again, x), predicted(t, back, x))
	}
}

// The network is cut at a value, and gets another last layer; what is frozen stays as it is.
func TestONNXHead(t *testing.T) {
	n, err := model.New(model.Sequential{
		model.As("conv", model.Conv2D{Filters: 4, Size: ops.Both(3)}), model.As("bn", model.BatchNorm{}), model.ReLU{},
		model.GlobalAvgPool{}, model.As("fc", model.Linear{Outputs: 10}),
	}, tensor.Shape{3, 8, 8}, model.Options{})
	if err != nil {
		t.Fatal(err)
	}
	file := saved(t, n)
	o := model.ONNXOptions{Output: "3/Flatten", Head: model.As("fc", model.Linear{Outputs: 2})}
	back, err := model.ReadONNX(bytes.NewReader(file), o)
	if err != nil {
		t.Fatal(err)
	}
	if s := back.Output(); !s.Eq(tensor.Shape{2}) || back.Param("fc.weight").Value.Shape()[0] != 2 {
		t.Errorf("the output is %v, want 2 classes", s)
	}
	if err := back.Freeze("conv", "bn"); err != nil {
		t.Fatal(err)
	}
	before := slices.Clone(back.Param("bn.running_mean").Value.Data().([]float32))
	got := gradients(t, back, samples(rand.New(rand.NewPCG(1, 1)), 4, tensor.Shape{3, 8, 8}))
	if got["conv.weight"] != nil || got["bn.bias"] != nil || got["fc.weight"] == nil {
		t.Errorf("there are gradients of %v, want those of fc", got)
	}
	if !slices.Equal(before, got["bn.running_mean"]) {
		t.Error("the running mean of a frozen batch norm has changed")
	}
	if o.Input = (tensor.Shape{3, 11, 9}); err == nil {
		if _, err = model.ReadONNX(bytes.NewReader(file), o); err != nil {
			t.Errorf("another size of input: %v", err)
		}
	}
}

// edited is a small network's file, after a change.
func edited(t testing.TB, change func(m *onnx.Model)) []byte {
	t.Helper()
	n, err := model.New(model.Sequential{
		model.As("conv", model.Conv2D{Filters: 2, Size: ops.Both(3)}), model.As("bn", model.BatchNorm{}),
		model.Flatten{}, model.As("fc", model.Linear{Outputs: 3}),
	}, tensor.Shape{1, 4, 4}, model.Options{})
	if err != nil {
		t.Fatal(err)
	}
	m, err := onnx.Decode(saved(t, n), nil)
	if err != nil {
		t.Fatal(err)
	}
	change(m)
	var b bytes.Buffer
	if err := onnx.Encode(&b, m, nil); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// Exporters write equal initializers once: here the running mean of zeros is the bias of zeros.
func TestONNXSharedStatistics(t *testing.T) {
	file := edited(t, func(m *onnx.Model) {
		for _, n := range m.Graph.Nodes {
			if n.Op == "BatchNormalization" {
				n.Inputs[3] = n.Inputs[2]
			}
		}
	})
	n, err := model.ReadONNX(bytes.NewReader(file), model.ONNXOptions{})
	if err != nil {
		t.Fatal(err)
	}
	var buffers []string
	for _, b := range n.Buffers() {
		buffers = append(buffers, b.Name)
	}
	if got := strings.Join(buffers, " "); !strings.Contains(got, "bn.running_mean") || !strings.Contains(got, "bn.running_var") {
		t.Errorf("the buffers are %s, want running statistics that no weight is", got)
	}
}

// The scales of a Resize are an initializer too, though no weight: they are needed at each use.
func TestONNXConstantInitializer(t *testing.T) {
	n, err := model.ReadONNX(bytes.NewReader(edited(t, func(m *onnx.Model) {
		m.Graph.Initializers = append(m.Graph.Initializers, onnx.FloatTensor("scales", []int{4}, []float32{1, 1, 2, 2}))
		conv := m.Graph.Nodes[0]
		m.Graph.Nodes = append([]*onnx.Node{{
			Op: "Resize", Inputs: []string{conv.Inputs[0], "", "scales"}, Outputs: []string{"larger"},
		}}, m.Graph.Nodes...)
		conv.Inputs[0] = "larger"
		in := &m.Graph.Inputs[0]
		in.Dims[2].Size, in.Dims[3].Size = 2, 2
	})), model.ONNXOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if _, err := n.Predict(samples(rand.New(rand.NewPCG(1, 2)), 3, tensor.Shape{1, 2, 2})); err != nil {
			t.Error(err)
		}
	}
}

// What PyTorch's exporter writes for a padding, unless it is told to compute constants: the list of
// pads is put in order by reshaping, turning back to front and transposing it.
func TestONNXComputedPads(t *testing.T) {
	whole, err := model.ReadONNX(bytes.NewReader(edited(t, func(*onnx.Model) {})), model.ONNXOptions{})
	if err != nil {
		t.Fatal(err)
	}
	padded, err := model.ReadONNX(bytes.NewReader(edited(t, func(m *onnx.Model) {
		list := func(name string, v ...int64) {
			m.Graph.Initializers = append(m.Graph.Initializers, onnx.IntTensor(name, []int{len(v)}, v...))
		}
		list("pytorch's", 1, 1, 1, 0, 0, 0, 0, 0) // of the last axis first: before, after
		list("pairs", -1, 2)
		list("-1", -1)
		list("far", -1<<62)
		list("0", 0)
		node := func(op string, out string, attrs []onnx.Attribute, in ...string) *onnx.Node {
			return &onnx.Node{Op: op, Inputs: in, Outputs: []string{out}, Attrs: attrs}
		}
		conv := m.Graph.Nodes[0]
		nodes := []*onnx.Node{
			node("Reshape", "p1", nil, "pytorch's", "pairs"),
			node("Slice", "p2", nil, "p1", "-1", "far", "0", "-1"),
			node("Transpose", "p3", onnx.With("perm", []int{1, 0}), "p2"),
			node("Reshape", "p4", nil, "p3", "-1"),
			node("Pad", "larger", nil, conv.Inputs[0], "p4"),
		}
		conv.Inputs[0] = "larger"
		m.Graph.Nodes = append(nodes, m.Graph.Nodes...)
		in := &m.Graph.Inputs[0]
		in.Dims[2].Size, in.Dims[3].Size = 3, 2
	})), model.ONNXOptions{})
	if err != nil {
		t.Fatal(err)
	}
	x := samples(rand.New(rand.NewPCG(1, 2)), 2, tensor.Shape{1, 3, 2})
	around := tensor.New(tensor.WithShape(2, 1, 4, 4), tensor.Of(tensor.Float32))
	for i, v := range x.Data().([]float32) {
		around.Data().([]float32)[i/6*16+(i%6/2+1)*4+i%2+1] = v
	}
	if got, want := predicted(t, padded, x), predicted(t, whole, around); !slices.Equal(got, want) {
		t.Errorf("padded by a list that is computed: %v, want %v", got, want)
	}
}

func TestReadONNXErrors(t *testing.T) {
	conv := func(m *onnx.Model) *onnx.Node { return m.Graph.Nodes[0] }
	for _, c := range []struct {
		name, want string
		change     func(m *onnx.Model)
		o          model.ONNXOptions
	}{
		{name: "an operator that is not supported", want: `conv: LRN "conv/Conv": the operator LRN is not supported`,
			change: func(m *onnx.Model) { conv(m).Op = "LRN" }},
		{name: "another domain", want: "the operators of the domain \"com.example\" are not supported",
			change: func(m *onnx.Model) { conv(m).Domain = "com.example" }},
		{name: "an attribute that is not known", want: `the attribute "dilution" is not known`,
			change: func(m *onnx.Model) { conv(m).Attrs = append(conv(m).Attrs, onnx.With("dilution", 2)...) }},
		{name: "an attribute of another type", want: "the attribute group is a string, want an integer",
			change: func(m *onnx.Model) { conv(m).Attr("group").Type = onnx.AttrString }},
		{name: "an opset from before", want: "the opset is 6, want 7 to", change: func(m *onnx.Model) { m.Opsets[""] = 6 }},
		{name: "an opset to come", want: "the opset is 99, want 7 to", change: func(m *onnx.Model) { m.Opsets[""] = 99 }},
		{name: "two inputs", want: "the inputs are [input more], want one",
			change: func(m *onnx.Model) { m.Graph.Inputs = append(m.Graph.Inputs, onnx.Value{Name: "more"}) }},
		{name: "two outputs", want: "choose it with Output",
			change: func(m *onnx.Model) { m.Graph.Outputs = append(m.Graph.Outputs, onnx.Value{Name: "more"}) }},
		{name: "an output that is not there", want: `no node gives "nothing"`, o: model.ONNXOptions{Output: "nothing"}},
		{name: "an operand that is not there", want: `it takes "nothing", which nothing before it gives`,
			change: func(m *onnx.Model) { conv(m).Inputs[0] = "nothing" }},
		{name: "a circle", want: "which nothing before it gives",
			change: func(m *onnx.Model) { conv(m).Inputs[0] = conv(m).Outputs[0] }},
		{name: "a value that is given twice", want: "which is there already",
			change: func(m *onnx.Model) {
				m.Graph.Nodes[1].Outputs[0], m.Graph.Nodes[2].Inputs[0] = conv(m).Outputs[0], conv(m).Outputs[0]
			}},
		{name: "weights of another shape", want: "ops: Linear: x has 8 columns and w 7",
			change: func(m *onnx.Model) {
				for i, t := range m.Graph.Initializers {
					if t.Name == "fc.weight" {
						m.Graph.Initializers[i] = onnx.FloatTensor(t.Name, []int{3, 7}, make([]float32, 21))
					}
				}
			}},
		{name: "a side that is left open", want: "say them with Input",
			change: func(m *onnx.Model) { m.Graph.Inputs[0].Dims[2] = onnx.Dim{Size: -1, Param: "H"} }},
		{name: "an input of integers", want: "is of int64, want floats", change: func(m *onnx.Model) { m.Graph.Inputs[0].Type = onnx.Int64 }},
		{name: "a weight that is NaN", want: "element 2 is NaN, want a finite number",
			change: func(m *onnx.Model) { copy(m.Graph.Initializers[0].Raw[8:], []byte{0, 0, 0xc0, 0x7f}) }},
		{name: "too many weights", want: "want at most 20 in all", o: model.ONNXOptions{Options: model.Options{MaxWeights: 20}}},
	} {
		if c.change == nil {
			c.change = func(*onnx.Model) {}
		}
		_, err := model.ReadONNX(bytes.NewReader(edited(t, c.change)), c.o)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got the error %v, want one with %q", c.name, err, c.want)
		}
	}
	if _, err := model.ReadONNX(nil, model.ONNXOptions{}); err == nil {
		t.Error("a nil reader is no error")
	}
	if err := (*model.Network)(nil).SaveONNX(nil, nil); err == nil {
		t.Error("a nil network is no error")
	}
}

// What does something else for another batch, or has no operator, is not written.
func TestSaveONNXErrors(t *testing.T) {
	for _, c := range []struct {
		want  string
		apply model.LayerFunc
	}{
		{"depends on the size of the batch", func(b *model.Builder, x *G.Node) *G.Node {
			return b.Do(ops.Affine(x, 1/float64(x.Shape()[0]), 0))
		}},
		{"is not one of this project's", func(b *model.Builder, x *G.Node) *G.Node { return b.Do(G.Square(x)) }},
		{"by statistics of the batch", func(b *model.Builder, x *G.Node) *G.Node { return b.Do(ops.BatchNorm(x, nil, nil, 1e-5)) }},
	} {
		n, err := model.New(c.apply, tensor.Shape{2, 3, 3}, model.Options{})
		if err != nil {
			t.Fatal(err)
		}
		var b bytes.Buffer
		if err := n.SaveONNX(&b, nil); err == nil || !strings.Contains(err.Error(), c.want) || b.Len() > 0 {
			t.Errorf("got the error %v and %d bytes, want one with %q", err, b.Len(), c.want)
		}
	}
}

// Whatever a file says, reading it gives a network or an error.
func FuzzReadONNX(f *testing.F) {
	f.Add(edited(f, func(*onnx.Model) {}))
	n, err := model.New(layerByLayer, tensor.Shape{4, 17, 20}, model.Options{})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(saved(f, n))
	f.Fuzz(func(t *testing.T, b []byte) {
		n, err := model.ReadONNX(bytes.NewReader(b), model.ONNXOptions{Options: model.Options{MaxWeights: 1 << 16}})
		if (n == nil) == (err == nil) {
			t.Errorf("got the network %v and the error %v", n, err)
		}
	})
}
