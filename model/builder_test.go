package model

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/pkg/errors"
	G "gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/convgrad/convgrad/ops"
)

func conv3(filters int) Conv2D {
	return Conv2D{Filters: filters, Size: ops.Both(3), Pad: ops.Around(1)}
}

func paths(ps []*Param) string {
	var s []string
	for _, p := range ps {
		s = append(s, p.Name)
	}
	return strings.Join(s, " ")
}

// Layers that are made of layers work in any position, the first above all, and their gradients are
// those of differences.
func TestLayersOfLayers(t *testing.T) {
	const seed = 31
	t.Logf("seed %d", seed)
	block := Residual{Body: Sequential{conv3(2), ReLU{}, conv3(2)}}
	branch := LayerFunc(func(b *Builder, x *G.Node) *G.Node {
		p, q := b.Layer("left", conv3(2), x), b.In("scope").Layer("right", block, x)
		return b.Do(G.Add(p, q))
	})
	for name, l := range map[string]Layer{
		"first":           Sequential{block, Flatten{}, Linear{Outputs: 3}},
		"in the middle":   Sequential{conv3(2), block, ReLU{}, Flatten{}, Linear{Outputs: 3}},
		"last":            Sequential{conv3(2), ReLU{}, block, Flatten{}},
		"alone":           LayerFunc(func(b *Builder, x *G.Node) *G.Node { return b.Do(ops.Flatten(b.Layer("b", block, x))) }),
		"in each other":   Sequential{Sequential{Sequential{block}, block}, Flatten{}},
		"branches, first": Sequential{branch, Flatten{}, Linear{Outputs: 3}},
		"shared": Sequential{conv3(2), LayerFunc(func(b *Builder, x *G.Node) *G.Node {
			return b.Reuse("tower", block, b.Reuse("tower", block, x))
		}), Flatten{}},
	} {
		t.Run(name, func(t *testing.T) {
			n := newNet(t, l, tensor.Shape{2, 4, 5}, Options{Float64: true, Seed: seed})
			m := graphOf(t, n, 2, BuildOptions{Loss: SquaredError{}, Training: true})
			r := rand.New(rand.NewPCG(seed, 0))
			fill(r, m)
			if len(m.params) != len(n.Params()) || len(m.params) < 4 {
				t.Errorf("the graph has gradients by %d parameters, the network has %d", len(m.params), len(n.Params()))
			}
			checkGradients(t, m, r)
		})
	}
}

func TestPaths(t *testing.T) {
	inner := Sequential{As("conv", conv3(2)), ReLU{}, conv3(2)}
	for _, c := range []struct {
		layer Layer
		want  string
	}{
		{conv3(1), "weight bias"},
		{Sequential{conv3(1), As("last", conv3(1))}, "0.weight 0.bias last.weight last.bias"},
		{Sequential{As("layer1", Sequential{inner, inner})},
			"layer1.0.conv.weight layer1.0.conv.bias layer1.0.2.weight layer1.0.2.bias " +
				"layer1.1.conv.weight layer1.1.conv.bias layer1.1.2.weight layer1.1.2.bias"},
		{Residual{Body: conv3(2), Shortcut: Conv2D{Filters: 2, Size: ops.Both(1), NoBias: true}},
			"body.weight body.bias shortcut.weight"},
		{As("net", conv3(1)), "net.weight net.bias"},
		{LayerFunc(func(b *Builder, x *G.Node) *G.Node {
			x = b.Reuse("tower", conv3(2), x)
			x = b.Reuse("tower", conv3(2), x)
			return b.In("up").In("a").Layer("b.c", As("d", conv3(2)), x)
		}), "tower.weight tower.bias up.a.b.c.d.weight up.a.b.c.d.bias"},
		{Sequential{As("größe", conv3(1))}, "größe.weight größe.bias"},
	} {
		n := newNet(t, c.layer, tensor.Shape{2, 4, 4}, Options{})
		if got := paths(n.Params()); got != c.want {
			t.Errorf("got the names %q, want %q", got, c.want)
		}
	}
}

// Names that could not be keys of a file, or that are given twice, are refused when the network is
// made.
func TestNames(t *testing.T) {
	for name, want := range map[string]string{
		"":                        "is empty",
		"a\xffb":                  "want UTF-8",
		"a b":                     "without blanks",
		"a\x00":                   "printed characters",
		"a\u202eb":                "printed characters",
		".a":                      "no empty part",
		"a.":                      "no empty part",
		"a..b":                    "no empty part",
		"__metadata__":            "begins with __",
		strings.Repeat("x", 1001): "want at most 1000",
	} {
		for what, l := range map[string]Layer{
			"a layer":     As(name, conv3(1)),
			"an inner":    Sequential{As(name, Sequential{conv3(1)})},
			"a scope":     LayerFunc(func(b *Builder, x *G.Node) *G.Node { b.In(name); return x }),
			"a reuse":     LayerFunc(func(b *Builder, x *G.Node) *G.Node { return b.Reuse(name, conv3(1), x) }),
			"a parameter": LayerFunc(func(b *Builder, x *G.Node) *G.Node { b.Param(name, nil, 1); return x }),
			"a buffer":    LayerFunc(func(b *Builder, x *G.Node) *G.Node { b.Buffer(name, nil, 1); return x }),
		} {
			_, err := New(l, tensor.Shape{1, 4, 4}, Options{})
			wants(t, fmt.Sprintf("%s called %.20q", what, name), err, want)
		}
	}
	twice := func(f func(b *Builder, x *G.Node)) Layer {
		return LayerFunc(func(b *Builder, x *G.Node) *G.Node { f(b, x); return x })
	}
	for what, l := range map[string]Layer{
		"layers":     Sequential{As("a", conv3(1)), As("a", conv3(1))},
		"a number":   Sequential{As("1", conv3(1)), conv3(1)},
		"stateless":  Sequential{As("a", ReLU{}), As("a", ReLU{})},
		"scopes":     twice(func(b *Builder, x *G.Node) { b.In("a"); b.In("a") }),
		"parameters": twice(func(b *Builder, x *G.Node) { b.Param("w", nil, 1); b.Param("w", nil, 1) }),
		"both kinds": twice(func(b *Builder, x *G.Node) { b.Param("w", nil, 1); b.Buffer("w", nil, 1) }),
		"paths":      twice(func(b *Builder, x *G.Node) { b.Param("a.w", nil, 1); b.In("a").Param("w", nil, 1) }),
	} {
		_, err := New(l, tensor.Shape{1, 4, 4}, Options{})
		if err == nil || !strings.Contains(err.Error(), "twice") && !strings.Contains(err.Error(), "two weights") {
			t.Errorf("%s of one name: got %v, want an error that says so", what, err)
		}
	}
}

// After the first error everything is a no-op, and the error says where it arose.
func TestFirstErrorIsKept(t *testing.T) {
	var after, builders int
	l := Sequential{As("outer", LayerFunc(func(b *Builder, _ *G.Node) *G.Node {
		x := b.Do(ops.ReLU(b.Do(nil, errors.New("the first"))))
		if x != nil || b.Param("w", nil, 1) != nil || b.Buffer("v", nil, 1) != nil || b.Random() != nil || b.Training() ||
			b.Layer("c", conv3(1), x) != nil || b.Reuse("c", conv3(1), x) != nil || b.Do(nil, errors.New("the second")) != nil {
			t.Error("a method of a builder that has failed returned something")
		}
		b.Update(nil, nil)
		builders++
		b.In("s").Layer("c", conv3(1), x)
		n := x.Shape()[1] // a panic that the builder covers
		after++
		return b.Param("x", nil, n)
	}))}
	_, err := New(l, tensor.Shape{1, 4, 4}, Options{Name: "net"})
	wants(t, "an error of a layer", err, "model: net: outer: the first")
	if err != nil && (strings.Contains(err.Error(), "second") || strings.Contains(err.Error(), "panic")) {
		t.Errorf("got %v, want the first error alone", err)
	}
	if after != 0 || builders != 1 {
		t.Errorf("went on %d times after a panic, %d times before it", after, builders)
	}
	_, err = New(Sequential{As("mine", LayerFunc(func(b *Builder, x *G.Node) *G.Node { panic("at once") }))}, digit, Options{})
	wants(t, "a layer that panics", err, "model: mine: Apply of model.LayerFunc panicked: at once")
}

// What layers do wrong is an error of New or Build that names it.
func TestLayersThatAreWrong(t *testing.T) {
	image := tensor.Shape{3, 8, 9}
	type f = func(b *Builder, x *G.Node) *G.Node
	var kept *Builder
	var itself LayerFunc
	itself = func(b *Builder, x *G.Node) *G.Node { return b.Layer("x", itself, x) }
	count := 0
	for name, c := range map[string]struct {
		layer Layer
		want  string
	}{
		"nil":             {nil, "the layer is nil"},
		"nil inside":      {Sequential{nil}, "0: the layer is nil"},
		"a nil pointer":   {Sequential{(*Conv2D)(nil)}, "0: Apply of *model.Conv2D panicked"},
		"no body":         {Residual{}, "body: the layer is nil"},
		"a nil function":  {LayerFunc(nil), "panicked"},
		"contains itself": {itself, "nested more than 200 deep"},
		"returns nil":     {f2(func(b *Builder, x *G.Node) *G.Node { return nil }), "returned nil, want a node"},
		"no node":         {f2(func(b *Builder, x *G.Node) *G.Node { return b.Do(nil, nil) }), "an op gave no node and no error"},
		"another graph": {f2(func(b *Builder, x *G.Node) *G.Node {
			return G.NewVector(G.NewGraph(), G.Float32, G.WithShape(1), G.WithName("x"))
		}), "a node of another graph"},
		"linear on an image":     {Sequential{Linear{Outputs: 2}}, "0: Linear: x is (1, 3, 8, 9), want a vector a sample"},
		"conv on a vector":       {Sequential{Flatten{}, Conv2D{Filters: 1, Size: ops.Both(1)}}, "1: Conv2D: x is (1, 216), want N×C×H×W"},
		"too large a filter":     {Conv2D{Filters: 1, Size: ops.Size{H: 9, W: 1}}, "spans 9, want at most the padded input, 8"},
		"groups":                 {Conv2D{Filters: 2, Size: ops.Both(1), Groups: 2}, "2 groups do not divide the 3 channels"},
		"negative groups":        {Conv2D{Filters: 2, Size: ops.Both(1), Groups: -1}, "-1 groups do not divide"},
		"no filters":             {Conv2D{Size: ops.Both(1)}, "0 filters of 1×1, want positive numbers"},
		"no outputs":             {Sequential{Flatten{}, Linear{}}, "0 outputs, want at least 1"},
		"probability":            {Dropout{P: 1}, "p is 1, want a probability in [0, 1)"},
		"NaN":                    {Dropout{P: math.NaN()}, "p is NaN, want a probability in [0, 1)"},
		"window":                 {MaxPool2D{Window: ops.Both(10)}, "spans 10, want at most the padded input, 8"},
		"a shortcut":             {Residual{Body: Conv2D{Filters: 2, Size: ops.Both(1)}}, "the body gives (1, 2, 8, 9) and the shortcut (1, 3, 8, 9)"},
		"a scalar weight":        {f2(func(b *Builder, x *G.Node) *G.Node { b.Param("w", nil); return x }), "w has no shape"},
		"a weight without sides": {f2(func(b *Builder, x *G.Node) *G.Node { b.Param("w", nil, 2, 0); return x }), "w: has shape (2, 0), want positive sides"},
		"a weight too large":     {f2(func(b *Builder, x *G.Node) *G.Node { b.Param("w", nil, 1<<20, 1<<20); return x }), "at most 2147483647 elements"},
		"an initialiser of NaN":  {f2(func(b *Builder, x *G.Node) *G.Node { b.Param("w", Constant(math.NaN()), 2); return x }), "the initialiser of w: gives element 0 the value NaN"},
		"beyond float32":         {f2(func(b *Builder, x *G.Node) *G.Node { b.Param("w", Constant(1e300), 2); return x }), "the initialiser of w: gives element 0 the value 1e+300, want a finite number of float32"},
		"an initialiser fails": {f2(func(b *Builder, x *G.Node) *G.Node {
			b.Param("w", func(*rand.Rand, tensor.Shape, []float64) { panic("no") }, 2)
			return x
		}), "the initialiser of w: panicked: no"},
		"an update in evaluation": {f2(func(b *Builder, x *G.Node) *G.Node { v := b.Buffer("v", nil, 2); b.Update(v, v); return x }),
			"Update: v: this part of the graph only evaluates"},
		"an update of a parameter": {f2(func(b *Builder, x *G.Node) *G.Node { v := b.Param("v", nil, 2); b.Update(v, v); return x }),
			"Update: the node is no buffer's"},
		"an update of nil": {f2(func(b *Builder, x *G.Node) *G.Node { b.Update(nil, x); return x }), "Update: the node is no buffer's"},
		"the batch is lost": {f2(func(b *Builder, x *G.Node) *G.Node { return b.Param("w", nil, 2, 3) }),
			"the output of 1 samples is (2, 3), want the samples along the first axis"},
		"the op's error": {Sequential{As("s", LayerFunc(func(b *Builder, x *G.Node) *G.Node { return b.Do(ops.Softmax(nil, 1)) }))},
			"model: s: ops: Softmax: x is nil"},
	} {
		_, err := New(c.layer, image, Options{})
		wants(t, name, err, c.want)
	}
	for name, c := range map[string]struct {
		layer f
		want  string
	}{
		"a weight in training alone": {func(b *Builder, x *G.Node) *G.Node {
			if b.Training() {
				b.Param("w", nil, 2)
			}
			return x
		}, "the weight w was not asked for when the network was made"},
		"a weight that follows the batch": {func(b *Builder, x *G.Node) *G.Node { b.Param("w", nil, x.Shape()[0]); return x },
			"w is a parameter of shape (2), want a parameter of shape (1) as before"},
		"a weight that changes its role": {func(b *Builder, x *G.Node) *G.Node {
			if b.Training() {
				b.Param("w", nil, 2)
			} else {
				b.Buffer("w", nil, 2)
			}
			return x
		}, "w is a parameter of shape (2), want a buffer of shape (2) as before"},
		"another output": {func(b *Builder, x *G.Node) *G.Node {
			if b.Training() {
				return b.Do(ops.Flatten(x))
			}
			return x
		}, "the output of 2 samples is (2, 216), want (3, 8, 9) a sample, as when the network was made"},
		"an update of another shape": {func(b *Builder, x *G.Node) *G.Node {
			if v := b.Buffer("v", nil, 2); b.Training() {
				b.Update(v, x)
			}
			return x
		}, "Update: v: the value has shape (2, 3, 8, 9), want (2)"},
		"two updates of one node": {func(b *Builder, x *G.Node) *G.Node {
			if v := b.Buffer("v", nil, 2); b.Training() {
				w := b.Do(ops.ReLU(v))
				b.Update(v, w)
				b.Update(v, w)
			}
			return x
		}, "Update: v was updated after this node of it was taken"},
		"it changes by the call": {func(b *Builder, x *G.Node) *G.Node { count++; b.Param(fmt.Sprint("w", count), nil, 1); return x },
			"was not asked for when the network was made"},
	} {
		n := newNet(t, LayerFunc(c.layer), image, Options{})
		_, err := n.Build(2, BuildOptions{Loss: SquaredError{}, Training: true})
		wants(t, name, err, c.want)
	}
	newNet(t, f2(func(b *Builder, x *G.Node) *G.Node { kept = b; return x }), image, Options{})
	if kept.Do(nil, nil) != nil || kept.Param("w", nil, 1) != nil || kept.Err() == nil {
		t.Error("a builder that is kept still works after its graph was made")
	}
	for name, input := range map[string]tensor.Shape{"none": nil, "zero": {3, 0, 2}, "negative": {-1}, "huge": {1 << 20, 1 << 20},
		"of rank 8": {1, 1, 1, 1, 1, 1, 1, 1}} {
		if _, err := New(ReLU{}, input, Options{}); err == nil {
			t.Errorf("an input that is %s: got no error", name)
		}
	}
}

// f2 is a LayerFunc.
func f2(f func(b *Builder, x *G.Node) *G.Node) Layer { return LayerFunc(f) }

// A builder that New did not make does nothing.
func TestEmptyBuilder(t *testing.T) {
	for _, b := range []*Builder{nil, {}} {
		if b.Do(nil, nil) != nil || b.Param("a", nil, 1) != nil || b.Buffer("a", nil, 1) != nil || b.Training() || b.Winograd() ||
			b.Random() != nil || b.Layer("a", ReLU{}, nil) != nil || b.Reuse("a", ReLU{}, nil) != nil || b.Err() == nil || b.In("a") != b {
			t.Error("an empty builder returned something")
		}
		b.Update(nil, nil)
		for _, l := range []Layer{conv3(1), Linear{Outputs: 1}, ReLU{}, Flatten{}, Dropout{P: 0.5}, half2, AvgPool2D{}, LpPool2D{},
			Sequential{}, Sequential{ReLU{}, nil}, Residual{}, As("a", ReLU{})} {
			if y := l.Apply(b, nil); y != nil {
				t.Errorf("%T of nothing gave a node", l)
			}
		}
	}
}

// Every pooling and convolution reaches its op with what the layer was made with, bit for bit.
func TestLayersAreTheirOps(t *testing.T) {
	const seed = 23
	t.Logf("seed %d", seed)
	window := ops.PoolParams{Window: ops.Size{H: 3, W: 2}, Stride: ops.Size{H: 1, W: 2}, Dilation: ops.Size{H: 2, W: 1},
		Pad: ops.Padding{Top: 1, Right: 1}}
	excluding := window
	excluding.ExcludePadding = true
	strided := ops.ConvParams{Stride: ops.Size{H: 2, W: 1}, Dilation: ops.Size{H: 1, W: 2},
		Pad: ops.Padding{Top: 1, Left: 2, Right: 1}, Groups: 2, Flip: true}
	for _, c := range []struct {
		name  string
		layer Layer
		o     Options
		op    func(x *G.Node, p []*G.Node) (*G.Node, error)
	}{
		{"convolution", Conv2D{Filters: 6, Size: ops.Size{H: 3, W: 2}, Stride: strided.Stride, Dilation: strided.Dilation,
			Pad: strided.Pad, Groups: 2, Flip: true, BiasInit: Normal(1)}, Options{},
			func(x *G.Node, p []*G.Node) (*G.Node, error) { return ops.Conv2D(x, p[0], p[1], strided) }},
		{"convolution without bias", Conv2D{Filters: 48, Size: ops.Both(3), NoBias: true}, Options{},
			func(x *G.Node, p []*G.Node) (*G.Node, error) { return ops.Conv2D(x, p[0], nil, ops.ConvParams{}) }},
		{"convolution by Winograd", Conv2D{Filters: 48, Size: ops.Both(3), NoBias: true}, Options{Winograd: true},
			func(x *G.Node, p []*G.Node) (*G.Node, error) {
				return ops.Conv2D(x, p[0], nil, ops.ConvParams{Winograd: true})
			}},
		{"max pooling", MaxPool2D(window), Options{},
			func(x *G.Node, _ []*G.Node) (*G.Node, error) { return ops.MaxPool2D(x, window) }},
		{"average pooling", AvgPool2D(window), Options{},
			func(x *G.Node, _ []*G.Node) (*G.Node, error) { return ops.AvgPool2D(x, window) }},
		{"average pooling without padding", AvgPool2D(excluding), Options{},
			func(x *G.Node, _ []*G.Node) (*G.Node, error) { return ops.AvgPool2D(x, excluding) }},
		{"Lp pooling", LpPool2D(window), Options{},
			func(x *G.Node, _ []*G.Node) (*G.Node, error) { return ops.LpPool2D(x, window) }},
	} {
		c.o.Seed = seed
		n := newNet(t, c.layer, tensor.Shape{32, 10, 11}, c.o)
		m := graphOf(t, n, 2, BuildOptions{})
		fill(rand.New(rand.NewPCG(seed, 0)), m)
		run(t, m)
		got := bits(t, m.y.Value())
		var params []*G.Node
		for _, p := range n.Params() {
			params = append(params, m.x.Graph().ByName(p.Name)[0])
		}
		y, err := c.op(m.x, params)
		if err != nil {
			t.Fatal(err)
		}
		machine := G.NewTapeMachine(m.x.Graph())
		var v G.Value
		G.Read(y, &v)
		machine.Close()
		machine = G.NewTapeMachine(m.x.Graph())
		if err := machine.RunAll(); err != nil {
			t.Fatal(err)
		}
		sameBits(t, c.name, got, bits(t, v))
		machine.Close()
	}
}

// The numbers of each initialiser: the variance of n draws is within 5·√(2/n) of what is wanted but
// once in a million (normal; evenly drawn numbers scatter less).
func TestInit(t *testing.T) {
	const seed = 41
	t.Logf("seed %d", seed)
	shape := tensor.Shape{24, 5, 3, 4} // fan-in 60, fan-out 288
	for name, c := range map[string]struct {
		init     Init
		variance float64
		limit    float64
	}{
		"zeros":          {Zeros, 0, 0},
		"nil":            {nil, 0, 0},
		"ones":           {Ones, 1, 1},
		"a constant":     {Constant(-3), 9, 3},
		"normal":         {Normal(0.5), 0.25, math.Inf(1)},
		"uniform":        {Uniform(0.3), 0.03, 0.3},
		"He, normal":     {HeNormal, 2.0 / 60, math.Inf(1)},
		"He, uniform":    {HeUniform, 2.0 / 60, math.Sqrt(6.0 / 60)},
		"Glorot, normal": {GlorotNormal, 2.0 / 348, math.Inf(1)},
		"Glorot":         {GlorotUniform, 2.0 / 348, math.Sqrt(6.0 / 348)},
		"scaled":         {Scaled(0.1, HeNormal), 0.02 / 60, math.Inf(1)},
		"scaled nil":     {Scaled(2, nil), 0, 0},
	} {
		n := newNet(t, f2(func(b *Builder, x *G.Node) *G.Node { b.Param("w", c.init, shape...); return x }), tensor.Shape{1},
			Options{Seed: seed, Float64: true})
		w := n.Param("w").Value.Data().([]float64)
		var sum, squares float64
		for _, v := range w {
			if math.Abs(v) > c.limit {
				t.Fatalf("%s: got %v, want at most %v", name, v, c.limit)
			}
			sum += v
			squares += v * v
		}
		count := float64(len(w))
		if got := squares / count; !(math.Abs(got-c.variance) <= c.variance*5*math.Sqrt(2/count)) {
			t.Errorf("%s: the mean square is %v, want about %v", name, got, c.variance)
		}
		if random := !slices.Contains([]string{"ones", "a constant"}, name); random &&
			!(math.Abs(sum/count) <= 5*math.Sqrt(c.variance/count)) {
			t.Errorf("%s: the mean is %v, want about 0", name, sum/count)
		}
	}
}

// The same seed gives the same weights, in both types but for the rounding; a weight's numbers do
// not depend on the other weights; a γ that begins at 1 does.
func TestSameSeedSameWeights(t *testing.T) {
	a, b, wide := byName(t, "article", Options{}), byName(t, "article", Options{}), byName(t, "article", Options{Float64: true})
	for i, p := range a.Params() {
		sameBits(t, p.Name, bits(t, p.Value), bits(t, b.Params()[i].Value))
		for j, v := range wide.Params()[i].Value.Data().([]float64) {
			if p.Value.Data().([]float32)[j] != float32(v) {
				t.Fatalf("%s[%d] is %v in float32 and %v in float64", p.Name, j, p.Value.Data().([]float32)[j], v)
			}
		}
	}
	if err := b.Init(4); err != nil {
		t.Fatal(err)
	}
	if a.Params()[0].Value.Data().([]float32)[0] == b.Params()[0].Value.Data().([]float32)[0] {
		t.Error("two seeds gave one weight")
	}
	short := newNet(t, Sequential{As("conv2", Conv2D{Filters: 32, Size: ops.Both(3)})}, tensor.Shape{16, 5, 5}, Options{Seed: 3})
	sameBits(t, "conv2.weight of another network", bits(t, short.Param("conv2.weight").Value), bits(t, a.Param("conv2.weight").Value))
	gamma := newNet(t, f2(func(b *Builder, x *G.Node) *G.Node { b.Param("gamma", Ones, 3); return x }), digit, Options{Seed: 9})
	sameBits(t, "gamma", bits(t, gamma.Param("gamma").Value), []float64{1, 1, 1})
}

// A network in a caller's graph is the network; what does not fit is an error.
func TestExpand(t *testing.T) {
	n := byName(t, "article", Options{})
	m := graphOf(t, n, 2, BuildOptions{})
	fill(rand.New(rand.NewPCG(1, 0)), m)
	run(t, m)
	g := G.NewGraph()
	x := leaf(g, "x", m.x.Value().(*tensor.Dense))
	var params G.Nodes
	for _, p := range n.Params() {
		params = append(params, leaf(g, "my "+p.Name, p.Value))
	}
	y, err := n.Expand(x, params, BuildOptions{})
	if err != nil {
		t.Fatal(err)
	}
	tape := G.NewTapeMachine(g)
	defer tape.Close()
	if err := tape.RunAll(); err != nil {
		t.Fatal(err)
	}
	sameBits(t, "the output", bits(t, y.Value()), bits(t, m.y.Value()))
	for name, c := range map[string]struct {
		x      *G.Node
		params G.Nodes
		o      BuildOptions
		want   string
	}{
		"no x":            {nil, params, BuildOptions{}, "x is nil, want a node of N samples of (1, 28, 28)"},
		"another x":       {params[0], params, BuildOptions{}, "want a node of N samples of"},
		"too few":         {x, params[1:], BuildOptions{}, "parameter 0 is (16)"},
		"none":            {x, nil, BuildOptions{}, "0 parameters, want 6"},
		"too many":        {x, append(params[:6:6], x), BuildOptions{}, "7 parameters, want 6"},
		"a nil":           {x, append(G.Nodes{nil}, params[1:]...), BuildOptions{}, "parameter 0 is nil"},
		"another graph":   {leaf(G.NewGraph(), "x", x.Value().(*tensor.Dense)), params, BuildOptions{}, "want a node of x's graph"},
		"with a loss":     {x, params, BuildOptions{Loss: CrossEntropy{}}, "want none of them"},
		"of another type": {G.NewTensor(g, G.Float64, 4, G.WithShape(2, 1, 28, 28), G.WithName("x")), params, BuildOptions{}, "of float64"},
	} {
		_, err := n.Expand(c.x, c.params, c.o)
		wants(t, name, err, c.want)
	}
}
