package model

import (
	"bytes"
	"encoding/binary"
	"maps"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	G "gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/convgrad/convgrad/ops"
	"github.com/convgrad/convgrad/ops/vm"
)

var digit = tensor.Shape{1, 28, 28}

func byName(t testing.TB, name string, o ...Option) *Network {
	t.Helper()
	n, err := ByName(name, digit, 10, o...)
	if err != nil {
		t.Fatal(err)
	}
	n.Init(3)
	return n
}

// fill puts random inputs and targets into a graph.
func fill(r *rand.Rand, m *Graph) {
	for _, d := range []any{m.InputData(), m.TargetData()} {
		switch v := d.(type) {
		case []float32:
			for i := range v {
				v[i] = float32(r.NormFloat64())
			}
		case []float64:
			for i := range v {
				v[i] = r.NormFloat64()
			}
		case []int:
			for i := range v {
				v[i] = r.IntN(10)
			}
		}
	}
}

// LeNet-5's numbers, counted by hand: 156 + 2416 + 48120 + 10164 + 850 parameters, and for one image 28·28·6·25 + 10·10·16·150 + 400·120 + 120·84 + 84·10 multiply-adds.
func TestSummaryOfLeNet(t *testing.T) {
	s := byName(t, "lenet5").Summary()
	if s.Parameters != 61706 {
		t.Errorf("got %d parameters, want 61706", s.Parameters)
	}
	if s.MACs != 117600+240000+48000+10080+840 {
		t.Errorf("got %d multiply-adds, want 416520", s.MACs)
	}
	fields := map[string][2]int{"conv1": {5, 5}, "maxpool1": {6, 6}, "conv2": {14, 14}, "maxpool2": {16, 16}, "fc1": {28, 28}}
	for _, l := range s.Layers {
		if want, ok := fields[l.Name]; ok && l.ReceptiveField != want {
			t.Errorf("%s sees %v, want %v", l.Name, l.ReceptiveField, want)
		}
	}
	if text := s.String(); !strings.Contains(text, "conv2") || !strings.Contains(text, "61706") {
		t.Errorf("the table lacks a layer or the total:\n%s", text)
	}
}

// The networks, counted by hand. article: 16·9+16, 32·16·9+32 and 10·1568+10. convnet: 32·9, 64·32·9, 128·64·9, 625·1152 and 10·625, no biases.
func TestSummaryOfNetworks(t *testing.T) {
	for name, want := range map[string]struct {
		layers     string
		parameters int
		macs       int64
	}{
		"linear": {"flatten fc 10", 7850, 7840},
		"article": {"conv 16 × 3×3, padding 1; relu maxpool 2×2; conv 32 × 3×3, padding 1; relu maxpool 2×2; flatten fc 10",
			160 + 4640 + 15690, 28*28*16*9 + 14*14*32*144 + 15680},
		"lenet5": {"conv 6 × 5×5, padding 2; relu maxpool 2×2; conv 16 × 5×5; relu maxpool 2×2; flatten fc 120; relu fc 84; relu fc 10",
			156 + 2416 + 48120 + 10164 + 850, 28*28*6*25 + 10*10*16*150 + 400*120 + 120*84 + 84*10},
		"convnet": {"conv 32 × 3×3, padding 1, no bias; relu maxpool 2×2; dropout p = 0.2; conv 64 × 3×3, padding 1, no bias; relu maxpool 2×2; dropout p = 0.2; " +
			"conv 128 × 3×3, padding 1, no bias; relu maxpool 2×2; flatten dropout p = 0.2; fc 625, no bias; relu dropout p = 0.55; fc 10, no bias",
			288 + 18432 + 73728 + 720000 + 6250, 28*28*32*9 + 14*14*64*288 + 7*7*128*576 + 720000 + 6250},
	} {
		n := byName(t, name)
		s := n.Summary()
		if s.Parameters != want.parameters || s.MACs != want.macs {
			t.Errorf("%s: got %d parameters and %d multiply-adds, want %d and %d", name, s.Parameters, s.MACs, want.parameters, want.macs)
		}
		var layers string
		for i, l := range s.Layers {
			if layers += n.Layers()[i].Kind() + " "; l.Detail != "" {
				layers += strings.Replace(l.Detail, " outputs", "", 1) + "; "
			}
		}
		if layers = strings.TrimRight(layers, "; "); layers != want.layers {
			t.Errorf("%s is %q, want %q", name, layers, want.layers)
		}
	}
}

// Receptive fields, counted by hand where axes, strides and dilations differ.
func TestReceptiveFields(t *testing.T) {
	n, err := NewSequential("fields", tensor.Shape{4, 40, 50}, []Layer{
		Conv{Filters: 4, Size: ops.Size{H: 3, W: 5}, Stride: ops.Size{H: 2, W: 1}, Dilation: ops.Size{H: 1, W: 2}, Groups: 4}, // 3×9; then a row is 2 and a column 1 pixel on
		Pool{Method: Average, Size: ops.Size{H: 2, W: 3}, Stride: ops.Size{H: 1, W: 2}},                                       // 3+2 × 9+2; 2 and 2
		ReLU{},
		Conv{Filters: 2, Size: ops.Size{H: 1, W: 2}, NoBias: true},            // 5 × 11+2
		Pool{Size: ops.Both(2), Dilation: ops.Size{H: 3, W: 1}, Method: L2},   // 5+3·2 × 13+2; 4 and 4
		Conv{Filters: 1, Size: ops.Size{H: 2, W: 1}, Pad: ops.AroundHW(1, 0)}, // 11+4 × 15
		Flatten{}, Linear{Outputs: 3}, // all
	})
	if err != nil {
		t.Fatal(err)
	}
	want := [][2]int{{3, 9}, {5, 11}, {5, 11}, {5, 13}, {11, 15}, {15, 15}, {15, 15}, {40, 50}}
	s := n.Summary()
	for i, l := range s.Layers {
		if l.ReceptiveField != want[i] {
			t.Errorf("%s (%s) sees %v, want %v", l.Name, l.Detail, l.ReceptiveField, want[i])
		}
	}
	if got := s.Layers[0]; got.Parameters != 4*15+4 || got.MACs != int64(got.Output.TotalSize())*15 {
		t.Errorf("a depthwise convolution: got %d parameters and %d multiply-adds for %v", got.Parameters, got.MACs, got.Output)
	}
	if got, want := n.Params()[2].Name, "conv2.weight"; got != want {
		t.Errorf("the third parameter is %s, want %s", got, want)
	}
	// What it says of shapes is what runs.
	m, err := n.Build(2, BuildOptions{Loss: CrossEntropy, Training: true, Keep: true})
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Run(); err != nil {
		t.Fatal(err)
	}
	for i, y := range m.Each {
		if y != nil && !y.Shape()[1:].Eq(s.Layers[i].Output) {
			t.Errorf("%s gives %v, the summary says %v", s.Layers[i].Name, y.Shape(), s.Layers[i].Output)
		}
	}
}

func TestSameSeedSameWeights(t *testing.T) {
	a, b := byName(t, "article"), byName(t, "article")
	for i, p := range a.Params() {
		x, y := p.Value.Data().([]float32), b.Params()[i].Value.Data().([]float32)
		for j := range x {
			if math.Float32bits(x[j]) != math.Float32bits(y[j]) {
				t.Fatalf("%s[%d]: %v and %v from one seed", p.Name, j, x[j], y[j])
			}
		}
	}
	b.Init(4)
	if a.Params()[0].Value.Data().([]float32)[0] == b.Params()[0].Value.Data().([]float32)[0] {
		t.Error("two seeds gave one weight")
	}
	// The variance of n normal draws is within 5·√(2/n) of its expectation but once in a million. The last layer begins a tenth as wide, biases at 0.
	for name, want := range map[string]float64{"conv2.weight": 2.0 / 144, "fc1.weight": 2.0 / 1568 / 100, "conv2.bias": 0} {
		w := a.Param(name).Value.Data().([]float32)
		var v float64
		for _, x := range w {
			v += float64(x) * float64(x)
		}
		if got := v / float64(len(w)); !(math.Abs(got-want) <= want*5*math.Sqrt(2/float64(len(w)))) {
			t.Errorf("the variance of %s is %v, want about %v", name, got, want)
		}
	}
}

// The loss of a batch is the mean of its samples' losses, by their definitions: −log softmax at the label, and the article's ½ Σ (t − y)².
func TestLosses(t *testing.T) {
	const seed, batch = 11, 5
	t.Logf("seed %d", seed)
	n := byName(t, "linear", Float64)
	for _, loss := range []Loss{CrossEntropy, SquaredError} {
		m, err := n.Build(batch, BuildOptions{Loss: loss})
		if err != nil {
			t.Fatal(err)
		}
		fill(rand.New(rand.NewPCG(seed, 0)), m)
		if err := m.Run(); err != nil {
			t.Fatal(err)
		}
		y, want := m.Output.Value().Data().([]float64), 0.0
		switch target := m.TargetData().(type) {
		case []int:
			for i, l := range target {
				sum := 0.0
				for _, v := range y[10*i:][:10] {
					sum += math.Exp(v - y[10*i+l])
				}
				want += math.Log(sum) / batch
			}
		case []float64:
			for i, v := range target {
				want += (v - y[i]) * (v - y[i]) / 2 / batch
			}
		}
		// Sums of some 50 terms of the loss's size, with two roundings each and exp and log within an ulp or two.
		if got, err := m.LossValue(); err != nil || !(math.Abs(got-want) <= 200*0x1p-53*math.Abs(want)) {
			t.Errorf("%v: the loss is %v, want %v (%v)", loss, got, want, err)
		}
	}
}

// The gradient of every parameter, along a random direction, is that of central differences of the loss. The network is smooth but for kinks, which a small step in float64 avoids.
func TestGradientsOfNetworks(t *testing.T) {
	const seed = 5
	t.Logf("seed %d", seed)
	for _, name := range Names() {
		for _, loss := range []Loss{CrossEntropy, SquaredError} {
			if testing.Short() && name == "convnet" {
				continue
			}
			t.Run(name+" "+loss.String(), func(t *testing.T) {
				n := byName(t, name, Float64)
				m, err := n.Build(2, BuildOptions{Loss: loss, Training: true, Seed: 1, InputGradient: true})
				if err != nil {
					t.Fatal(err)
				}
				r := rand.New(rand.NewPCG(seed, 0))
				fill(r, m)
				run := func() float64 {
					if err := m.Run(); err != nil {
						t.Fatal(err)
					}
					l, err := m.LossValue()
					if err != nil {
						t.Fatal(err)
					}
					return l
				}
				run()
				leaves, grads := append(append([]*G.Node{}, m.Params...), m.X), append(append([]*G.Node{}, m.Grads...), m.DX)
				for i, p := range leaves {
					// one copy of each before the next Run overwrites it
					run()
					grad := append([]float64(nil), grads[i].Value().Data().([]float64)...)
					w := p.Value().Data().([]float64)
					was := append([]float64(nil), w...)
					d, slope, norm := make([]float64, len(w)), 0.0, 0.0
					for j := range d {
						d[j] = r.NormFloat64()
						norm += d[j] * d[j]
					}
					for j := range d {
						d[j] /= math.Sqrt(norm)
						slope += d[j] * grad[j]
					}
					at := func(h float64) float64 {
						for j := range w {
							w[j] = was[j] + h*d[j]
						}
						l := run()
						copy(w, was)
						return l
					}
					// Along a unit direction the third derivative of these losses is of the size of the loss, so truncation is near h²·loss and rounding, over some thousand sums,
					// near 1e3·u·loss/h: with h = 1e-5 both are below 1e-8 of the loss. The bound allows ten times that.
					h := 1e-5
					plus, minus := at(h), at(-h)
					if got := (plus - minus) / (2 * h); !(math.Abs(got-slope) <= 1e-7*max(1, math.Abs(plus))) {
						t.Errorf("%s: the gradient says %v, differences %v", p.Name(), slope, got)
					}
				}
			})
		}
	}
}

// Another batch size, and Predict, give the same logits for the same sample.
func TestBatchSizes(t *testing.T) {
	n := byName(t, "article")
	r := rand.New(rand.NewPCG(8, 0))
	x := tensor.New(tensor.WithShape(predictBatch+3, 1, 28, 28), tensor.Of(tensor.Float32))
	xs := x.Data().([]float32)
	for i := range xs {
		xs[i] = float32(r.NormFloat64())
	}
	all, err := n.Predict(x)
	if err != nil {
		t.Fatal(err)
	}
	one, err := n.Build(1, BuildOptions{})
	if err != nil {
		t.Fatal(err)
	}
	got := all.Data().([]float32)
	for _, i := range []int{0, 5, predictBatch - 1, predictBatch, predictBatch + 2} {
		copy(one.InputData().([]float32), xs[i*784:][:784])
		if err := one.Run(); err != nil {
			t.Fatal(err)
		}
		// Blocks may differ with the batch, so sums of some 300 terms may round differently: γ_300 of the largest sum of absolute values, about 300·6e-8·50.
		for j, want := range one.Output.Value().Data().([]float32) {
			if d := math.Abs(float64(got[i*10+j] - want)); !(d <= 1e-3) {
				t.Errorf("sample %d, class %d: %v in a batch, %v alone", i, j, got[i*10+j], want)
			}
		}
	}
}

func TestDropoutIsForTraining(t *testing.T) {
	n := byName(t, "convnet")
	train, err := n.Build(2, BuildOptions{Loss: CrossEntropy, Training: true, Seed: 1})
	if err != nil {
		t.Fatal(err)
	}
	eval, err := n.Build(2, BuildOptions{Loss: CrossEntropy})
	if err != nil {
		t.Fatal(err)
	}
	fill(rand.New(rand.NewPCG(1, 1)), train)
	copy(eval.InputData().([]float32), train.InputData().([]float32))
	copy(eval.TargetData().([]int), train.TargetData().([]int))
	loss := func(m *Graph) float64 {
		if err := m.Run(); err != nil {
			t.Fatal(err)
		}
		l, _ := m.LossValue()
		return l
	}
	first, again := loss(train), loss(train)
	if first != again {
		t.Errorf("one step, two losses: %v and %v", first, again)
	}
	train.Random.SetStep(1)
	if loss(train) == first {
		t.Error("the next step has the same masks")
	}
	train.Random.SetTraining(false)
	if got, want := loss(train), loss(eval); got != want {
		t.Errorf("the training graph evaluates to %v, the evaluation graph to %v", got, want)
	}
}

func TestWeightsRoundTrip(t *testing.T) {
	a, b := byName(t, "lenet5"), byName(t, "lenet5")
	b.Init(99)
	path := filepath.Join(t.TempDir(), "w.safetensors")
	if err := a.SaveFile(path, map[string]string{"network": "lenet5"}); err != nil {
		t.Fatal(err)
	}
	if err := b.LoadFile(path); err != nil {
		t.Fatal(err)
	}
	for i, p := range a.Params() {
		x, y := p.Value.Data().([]float32), b.Params()[i].Value.Data().([]float32)
		for j := range x {
			if math.Float32bits(x[j]) != math.Float32bits(y[j]) {
				t.Fatalf("%s[%d]: saved %v, loaded %v", p.Name, j, x[j], y[j])
			}
		}
	}
	if left, err := os.ReadDir(filepath.Dir(path)); err != nil || len(left) != 1 {
		t.Errorf("the directory holds %v, want the weights alone", left)
	}
}

func TestLoadRefuses(t *testing.T) {
	n := byName(t, "linear")
	var good bytes.Buffer
	if err := n.Save(&good, nil); err != nil {
		t.Fatal(err)
	}
	raw := good.Bytes()
	header := func(from, to string) []byte {
		l := binary.LittleEndian.Uint64(raw)
		h := strings.Replace(string(raw[8:8+l]), from, to, 1)
		out := binary.LittleEndian.AppendUint64(nil, uint64(len(h)))
		return append(append(out, h...), raw[8+l:]...)
	}
	for name, c := range map[string]struct {
		data []byte
		want string
	}{
		"empty":            {nil, "header's length"},
		"short header":     {raw[:20], "header ends after 12 of"},
		"short numbers":    {raw[:len(raw)-1], "numbers end after"},
		"trailing":         {append(append([]byte{}, raw...), 0), "there is more after"},
		"huge header":      {bytes.Repeat([]byte{255}, 100), "not a safetensors file"},
		"not JSON":         {header("{", "["), "not a JSON object"},
		"wrong type":       {header("F32", "I32"), `has the type "I32", want F32 or F64`},
		"wrong shape":      {header("[10,784]", "[784,10]"), "fc1.weight has shape [784 10], want (10, 784)"},
		"unknown name":     {header("fc1.bias", "fc1.bios"), "missing [fc1.bias], unknown [fc1.bios]"},
		"lies about sizes": {header("31360", "31364"), "want 40 bytes"},
	} {
		before := append([]float32(nil), n.Params()[0].Value.Data().([]float32)...)
		err := n.Load(bytes.NewReader(c.data))
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got error %v, want one with %q", name, err, c.want)
		}
		for i, v := range n.Params()[0].Value.Data().([]float32) {
			if v != before[i] {
				t.Fatalf("%s: a weight changed", name)
			}
		}
	}
}

// Headers that are safetensors in form, but not of this network or not honest.
func TestLoadRefusesHeaders(t *testing.T) {
	n := byName(t, "linear")
	const weight, bias = `"fc1.weight":{"dtype":"F32","shape":[10,784],"data_offsets":[0,31360]}`, `"fc1.bias":{"dtype":"F32","shape":[10],"data_offsets":[31360,31400]}`
	file := func(header string) []byte {
		return append(append(binary.LittleEndian.AppendUint64(nil, uint64(len(header))), header...), make([]byte, 31400)...)
	}
	if err := n.Load(bytes.NewReader(file("{" + bias + "," + weight + "}  "))); err != nil {
		t.Fatalf("names in another order, blanks after: %v", err)
	}
	for name, c := range map[string]struct{ header, want string }{
		"null":               {"null", "not a JSON object"},
		"a name twice":       {"{" + weight + "," + bias + "," + weight + "}", `names "fc1.weight" twice`},
		"more after":         {"{" + weight + "," + bias + "}{}", "more after the header's JSON object"},
		"cut":                {"{" + weight + "," + bias, "the header"},
		"missing":            {"{" + weight + "}", "missing [fc1.bias], unknown []"},
		"extra":              {"{" + weight + "," + bias + `,"x":{}}`, "missing [], unknown [x]"},
		"one offset":         {"{" + weight + "," + strings.Replace(bias, "31360,31400", "31360", 1) + "}", "1 data_offsets, want 2"},
		"three offsets":      {"{" + weight + "," + strings.Replace(bias, "31400]", "31400,9]", 1) + "}", "3 data_offsets, want 2"},
		"negative offset":    {"{" + strings.Replace(weight, "[0,", "[-4,", 1) + "," + bias + "}", "want 31360 bytes"},
		"huge offset":        {"{" + weight + "," + strings.Replace(bias, "31400]", "99999999999999999999]", 1) + "}", "fc1.bias"},
		"overlap":            {"{" + weight + "," + strings.Replace(bias, "31360,31400", "31356,31396", 1) + "}", "fc1.bias begins at byte 31356, want 31360"},
		"gap":                {"{" + weight + "," + strings.Replace(bias, "31360,31400", "31364,31404", 1) + "}", "fc1.bias begins at byte 31364, want 31360"},
		"an entry of string": {"{" + weight + `,"fc1.bias":"none"}`, "the header's entry of fc1.bias"},
		"half precision":     {"{" + weight + "," + strings.Replace(bias, "F32", "F16", 1) + "}", `type "F16", want F32 or F64`},
		"metadata":           {"{" + weight + "," + bias + `,"__metadata__":{"a":1}}`, "__metadata__"},
	} {
		if err := n.Load(bytes.NewReader(file(c.header))); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got error %v, want one with %q", name, err, c.want)
		}
	}
}

func TestMetadata(t *testing.T) {
	var b bytes.Buffer
	want := map[string]string{"network": "linear", "note": "ü\"{}"}
	if err := byName(t, "linear").Save(&b, want); err != nil {
		t.Fatal(err)
	}
	got, err := Metadata(&b)
	if err != nil || !maps.Equal(got, want) {
		t.Errorf("got %v, %v, want %v", got, err, want)
	}
	if _, err := Metadata(strings.NewReader("")); err == nil {
		t.Error("no header: got no error")
	}
}

// The weights of a float64 network load into one of float32, rounded once, and back exactly.
func TestWeightsConvert(t *testing.T) {
	wide, narrow := byName(t, "linear", Float64), byName(t, "linear")
	narrow.Init(8)
	var b bytes.Buffer
	if err := wide.Save(&b, nil); err != nil {
		t.Fatal(err)
	}
	if err := narrow.Load(&b); err != nil {
		t.Fatal(err)
	}
	for i, x := range wide.Params()[0].Value.Data().([]float64) {
		if got := narrow.Params()[0].Value.Data().([]float32)[i]; got != float32(x) {
			t.Fatalf("element %d: got %v, want %v rounded", i, got, x)
		}
	}
}

func TestSaveFileErrors(t *testing.T) {
	n := byName(t, "linear")
	dir := t.TempDir()
	if err := n.SaveFile(filepath.Join(dir, "no", "such"), nil); err == nil || !strings.Contains(err.Error(), "model: saving weights") {
		t.Errorf("no directory: got %v", err)
	}
	if err := os.Mkdir(filepath.Join(dir, "taken"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := n.SaveFile(filepath.Join(dir, "taken"), nil); err == nil {
		t.Error("a directory of that name: got no error")
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 1 {
		t.Errorf("the directory holds %v after errors, want nothing new", left)
	}
	if err := n.LoadFile(filepath.Join(dir, "none")); err == nil || !strings.Contains(err.Error(), "model: loading weights") {
		t.Errorf("no file: got %v", err)
	}
}

// Weights that are not finite are neither saved, over those of before least of all, nor loaded.
func TestWeightsAreFinite(t *testing.T) {
	path := filepath.Join(t.TempDir(), "w.safetensors")
	for _, o := range [][]Option{nil, {Float64}} {
		n := byName(t, "linear", o...)
		if err := n.SaveFile(path, nil); err != nil {
			t.Fatal(err)
		}
		good, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, v := range []float64{math.NaN(), math.Inf(1), math.Inf(-1)} {
			spoilt := bytes.Clone(good)
			switch d := n.Param("fc1.bias").Value.Data().(type) { // the bias lies last
			case []float32:
				d[9] = float32(v)
				binary.LittleEndian.PutUint32(spoilt[len(spoilt)-4:], math.Float32bits(float32(v)))
			case []float64:
				d[9] = v
				binary.LittleEndian.PutUint64(spoilt[len(spoilt)-8:], math.Float64bits(v))
			}
			if err := n.SaveFile(path, nil); err == nil || !strings.Contains(err.Error(), "saving weights: fc1.bias: element 9 is") {
				t.Errorf("saving %v: got %v", v, err)
			}
			if after, err := os.ReadFile(path); err != nil || !bytes.Equal(after, good) {
				t.Errorf("saving %v: the file of before has changed (%v)", v, err)
			}
			if err := n.LoadFile(path); err != nil {
				t.Fatal(err)
			}
			before := bits(t, n.Param("fc1.weight").Value)
			if err := n.Load(bytes.NewReader(spoilt)); err == nil || !strings.Contains(err.Error(), "loading weights: fc1.bias: element 9 is") {
				t.Errorf("loading %v: got %v", v, err)
			}
			sameBits(t, "weights after a load that failed", bits(t, n.Param("fc1.weight").Value), before)
		}
	}
	wide := byName(t, "linear", Float64)
	wide.Param("fc1.weight").Value.Data().([]float64)[7] = -1e300
	var b bytes.Buffer
	if err := wide.Save(&b, nil); err != nil {
		t.Fatal(err)
	}
	if err := byName(t, "linear").Load(&b); err == nil || !strings.Contains(err.Error(), "fc1.weight: element 7 is -Inf, want a finite number") {
		t.Errorf("a number beyond float32: got %v", err)
	}
}

// What no constructor made, and readers and writers that are nil, are errors.
func TestZeroValues(t *testing.T) {
	x := tensor.New(tensor.WithShape(1, 2), tensor.Of(tensor.Float32))
	for name, f := range map[string]func() error{
		"Build":          func() error { _, err := new(Network).Build(1, BuildOptions{}); return err },
		"Build of nil":   func() error { _, err := (*Network)(nil).Build(1, BuildOptions{}); return err },
		"Predict":        func() error { _, err := new(Network).Predict(x); return err },
		"Predict of nil": func() error { _, err := byName(t, "linear").Predict(nil); return err },
		"Predict of an empty tensor": func() error {
			_, err := byName(t, "linear").Predict(new(tensor.Dense))
			return err
		},
		"Save":                 func() error { return new(Network).Save(new(bytes.Buffer), nil) },
		"Save to nil":          func() error { return byName(t, "linear").Save(nil, nil) },
		"Load":                 func() error { return new(Network).Load(new(bytes.Buffer)) },
		"Load from nil":        func() error { return byName(t, "linear").Load(nil) },
		"Metadata of nil":      func() error { _, err := Metadata(nil); return err },
		"Run of a graph":       func() error { return new(Graph).Run() },
		"SetLabels of a graph": func() error { return new(Graph).SetLabels(nil) },
		"LossValue of a graph": func() error { _, err := new(Graph).LossValue(); return err },
	} {
		if err := f(); err == nil || !strings.Contains(err.Error(), "model: ") {
			t.Errorf("%s: got %v, want an error", name, err)
		}
	}
	if out, g := new(Network).Output(), new(Graph); out != nil || g.InputData() != nil || g.TargetData() != nil || g.PeakBytes() != 0 || g.Close() != nil {
		t.Errorf("an empty network has the output %v, an empty graph %v", out, g)
	}
	if s := new(Network).Summary(); len(s.Layers) != 0 || s.String() == "" {
		t.Errorf("the summary of an empty network is %v", s)
	}
}

// What a caller sets in a Param is not set in the network; its weights are the network's.
func TestParamsAreViews(t *testing.T) {
	n := byName(t, "linear")
	for _, p := range append(n.Params(), n.Param("fc1.bias")) {
		p.Value.Data().([]float32)[0] = 5
		p.Name, p.Value, p.FanIn = "", nil, 0
	}
	if _, err := n.Build(1, BuildOptions{}); err != nil {
		t.Error(err)
	}
	for _, p := range n.Params() {
		if p.Value.Data().([]float32)[0] != 5 {
			t.Errorf("%s: a weight that was set is %v, want 5", p.Name, p.Value.Data().([]float32)[0])
		}
	}
}

// What a layer is made with reaches its op, bit for bit; Winograd's algorithm is permitted where the network's option does.
func TestLayersAreTheirOps(t *testing.T) {
	const seed = 23
	t.Logf("seed %d", seed)
	window := ops.PoolParams{Window: ops.Size{H: 3, W: 2}, Stride: ops.Size{H: 1, W: 2}, Dilation: ops.Size{H: 2, W: 1}, Pad: ops.Padding{Top: 1, Right: 1}}
	pool := func(m PoolMethod, count bool) Pool {
		return Pool{Method: m, Size: window.Window, Stride: window.Stride, Dilation: window.Dilation, Pad: window.Pad, CountPadding: count}
	}
	strided := ops.ConvParams{Stride: ops.Size{H: 2, W: 1}, Dilation: ops.Size{H: 1, W: 2}, Pad: ops.Padding{Top: 1, Left: 2, Right: 1}, Groups: 2, Flip: true}
	winograd := ops.ConvParams{Winograd: true}
	for _, c := range []struct {
		name    string
		layer   Layer
		options []Option
		op      func(x *G.Node, params []*G.Node) (*G.Node, error)
	}{
		{"convolution", Conv{Filters: 6, Size: ops.Size{H: 3, W: 2}, Stride: strided.Stride, Dilation: strided.Dilation, Pad: strided.Pad, Groups: 2, Flip: true}, nil,
			func(x *G.Node, p []*G.Node) (*G.Node, error) { return ops.Conv2D(x, p[0], p[1], strided) }},
		{"convolution without bias", Conv{Filters: 48, Size: ops.Both(3), NoBias: true}, nil,
			func(x *G.Node, p []*G.Node) (*G.Node, error) { return ops.Conv2D(x, p[0], nil, ops.ConvParams{}) }},
		{"convolution by Winograd", Conv{Filters: 48, Size: ops.Both(3), NoBias: true}, []Option{Winograd},
			func(x *G.Node, p []*G.Node) (*G.Node, error) { return ops.Conv2D(x, p[0], nil, winograd) }},
		{"max pooling", pool(Max, false), nil, func(x *G.Node, _ []*G.Node) (*G.Node, error) { return ops.MaxPool2D(x, window) }},
		{"average pooling", pool(Average, false), nil, func(x *G.Node, _ []*G.Node) (*G.Node, error) {
			excluding := window
			excluding.ExcludePadding = true
			return ops.AvgPool2D(x, excluding)
		}},
		{"average pooling that counts padding", pool(Average, true), nil, func(x *G.Node, _ []*G.Node) (*G.Node, error) { return ops.AvgPool2D(x, window) }},
		{"L2 pooling", pool(L2, false), nil, func(x *G.Node, _ []*G.Node) (*G.Node, error) { return ops.L2Pool2D(x, window) }},
	} {
		n, err := NewSequential("test", tensor.Shape{32, 10, 11}, []Layer{c.layer}, c.options...)
		if err != nil {
			t.Fatal(err)
		}
		n.Init(seed)
		m, err := n.Build(2, BuildOptions{})
		if err != nil {
			t.Fatal(err)
		}
		fill(rand.New(rand.NewPCG(seed, 0)), m)
		if err := m.Run(); err != nil {
			t.Fatal(err)
		}
		got := bits(t, m.Output.Value())
		y, err := c.op(m.X, m.Params)
		if err != nil {
			t.Fatal(err)
		}
		direct, err := vm.New(m.X.Graph(), y)
		if err != nil {
			t.Fatal(err)
		}
		if err := direct.RunAll(); err != nil {
			t.Fatal(err)
		}
		sameBits(t, c.name, got, bits(t, y.Value()))
	}
}

// A layer's methods take whatever a caller hands them.
func TestLayersOnNothing(t *testing.T) {
	for _, l := range []Layer{Conv{Filters: 2, Size: ops.Both(3)}, Conv{}, Linear{Outputs: 2}, ReLU{}, Flatten{}, Dropout{P: 0.5}, MaxPool(2), Pool{Method: Average}, Pool{Method: 7}} {
		for _, in := range []tensor.Shape{nil, {}, {0}, {-1}, {1, 1, 1}, {2, 3}, {1, 0, -5}} {
			out, err := l.Output(in)
			if ws, cost := l.Weights(in), l.Cost(in); err != nil && (out != nil || ws != nil || cost != 0) {
				t.Errorf("%T of %v: output %v, weights %v and cost %d beside the error %v", l, in, out, ws, cost, err)
			}
		}
		if y, err := l.Apply(nil, nil, nil); y != nil || err == nil && l != (Dropout{P: 0.5}) { // which passes its input on in evaluation
			t.Errorf("%T of nothing: got %v, %v, want an error", l, y, err)
		}
	}
	if _, err := (*Builder)(nil).Random(); err == nil {
		t.Error("no builder: got a source of masks")
	}
}

// An ownLayer is a caller's.
type ownLayer struct {
	plain
	apply func(x *G.Node) (*G.Node, error)
}

func (ownLayer) Kind() string                                                { return "own" }
func (l ownLayer) Apply(_ *Builder, x *G.Node, _ []*G.Node) (*G.Node, error) { return l.apply(x) }

// A caller's layer that does not give what it said is an error that says so.
func TestOwnLayers(t *testing.T) {
	for _, c := range []struct {
		name  string
		apply func(x *G.Node) (*G.Node, error)
		want  string
	}{
		{"its input", func(x *G.Node) (*G.Node, error) { return x, nil }, ""},
		{"nothing", func(x *G.Node) (*G.Node, error) { return nil, nil }, "model: test: layer 2, own1, gives no node of the graph, want shape (2, 5)"},
		{"a node of another graph", func(x *G.Node) (*G.Node, error) {
			return G.NewMatrix(G.NewGraph(), tensor.Float32, G.WithShape(2, 5), G.WithName("x")), nil
		}, "layer 2, own1, gives no node of the graph"},
		{"another shape", func(x *G.Node) (*G.Node, error) { return G.Transpose(x) }, "layer 2, own1, gives a node of shape (5, 2), want shape (2, 5) as its Output says"},
		{"integers", func(x *G.Node) (*G.Node, error) {
			v := tensor.New(tensor.WithShape(2, 5), tensor.Of(tensor.Int))
			return G.NewMatrix(x.Graph(), tensor.Int, G.WithShape(2, 5), G.WithName("i"), G.WithValue(v)), nil
		}, "Predict: the output is of int, want float32"},
		{"an error", func(x *G.Node) (*G.Node, error) { return ops.Softmax(nil, -1) }, "layer 2, own1: ops: Softmax: x is nil"},
	} {
		n, err := NewSequential("test", tensor.Shape{3}, []Layer{Linear{Outputs: 5}, ownLayer{apply: c.apply}})
		if err != nil {
			t.Fatal(err)
		}
		_, err = n.Predict(tensor.New(tensor.WithShape(2, 3), tensor.Of(tensor.Float32)))
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("a layer that gives %s: got %v, want %q", c.name, err, c.want)
		}
	}
}

func FuzzLoad(f *testing.F) {
	n := byName(f, "linear")
	var good bytes.Buffer
	if err := n.Save(&good, nil); err != nil {
		f.Fatal(err)
	}
	f.Add(good.Bytes())
	f.Add(good.Bytes()[:100])
	f.Fuzz(func(t *testing.T, data []byte) {
		_ = n.Load(bytes.NewReader(data)) // must not panic
	})
}

func TestErrors(t *testing.T) {
	image := tensor.Shape{3, 8, 9}
	for name, c := range map[string]struct {
		input  tensor.Shape
		layers []Layer
		want   string
	}{
		"none":               {image, nil, "no layers"},
		"nil":                {image, []Layer{nil}, "layer 1 is nil"},
		"rank":               {tensor.Shape{3, 8}, []Layer{ReLU{}}, "want C×H×W or a vector's length"},
		"linear on an image": {image, []Layer{Linear{Outputs: 2}}, "layer 1: linear: the input has shape (3, 8, 9), want a vector"},
		"conv on a vector":   {image, []Layer{Flatten{}, Conv{Filters: 1, Size: ops.Both(1)}}, "layer 2: conv: the input has shape (216), want C×H×W"},
		"too large a filter": {image, []Layer{Conv{Filters: 1, Size: ops.Size{H: 9, W: 1}}}, "spans 9, want at most the padded input, 8"},
		"groups":             {image, []Layer{Conv{Filters: 2, Size: ops.Both(1), Groups: 2}}, "2 groups do not divide the 3 channels"},
		"no filters":         {image, []Layer{Conv{Size: ops.Both(1)}}, "want positive sides"},
		"probability":        {image, []Layer{Dropout{P: 1}}, "p is 1, want a probability in [0, 1)"},
		"window":             {image, []Layer{MaxPool(10)}, "spans 10, want at most the padded input, 8"},
	} {
		_, err := NewSequential("test", c.input, c.layers)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got error %v, want one with %q", name, err, c.want)
		}
	}
	if _, err := ByName("resnet", digit, 10); err == nil || !strings.Contains(err.Error(), "want one of article, convnet, lenet5, linear") {
		t.Errorf("unknown name: got %v", err)
	}
	n := byName(t, "linear")
	if _, err := n.Build(0, BuildOptions{}); err == nil || !strings.Contains(err.Error(), "batch size is 0") {
		t.Errorf("no batch: got %v", err)
	}
	if _, err := n.Build(1, BuildOptions{Training: true}); err == nil || !strings.Contains(err.Error(), "without a loss") {
		t.Errorf("no loss: got %v", err)
	}
	if _, err := n.Predict(tensor.New(tensor.WithShape(2, 3), tensor.Of(tensor.Float32))); err == nil || !strings.Contains(err.Error(), "Predict: x is (2, 3)") {
		t.Errorf("wrong shape: got %v", err)
	}
}

func TestSetLabels(t *testing.T) {
	n := byName(t, "linear")
	for _, loss := range []Loss{CrossEntropy, SquaredError} {
		m, err := n.Build(2, BuildOptions{Loss: loss})
		if err != nil {
			t.Fatal(err)
		}
		if err := m.SetLabels([]int{9, 9}); err != nil {
			t.Fatal(err)
		}
		if err := m.SetLabels([]int{3, 0}); err != nil {
			t.Fatal(err)
		}
		switch d := m.TargetData().(type) {
		case []int:
			if d[0] != 3 || d[1] != 0 {
				t.Errorf("%v: got %v, want 3 and 0", loss, d)
			}
		case []float32:
			for i, v := range d {
				if want := i == 3 || i == 10; (v == 1) != want || (v == 0) == want {
					t.Errorf("%v: got %v, want ones at 3 and 10", loss, d)
				}
			}
		}
		for name, labels := range map[string][]int{"too few": {1}, "too great": {0, 10}, "negative": {-1, 0}} {
			if err := m.SetLabels(labels); err == nil || !strings.Contains(err.Error(), "model: SetLabels") {
				t.Errorf("%s: got %v", name, err)
			}
		}
	}
	m, err := n.Build(1, BuildOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if err := m.SetLabels([]int{1}); err == nil || !strings.Contains(err.Error(), "no loss") {
		t.Errorf("without a loss: got %v", err)
	}
}

// Layers given by pointer are copied: they fuse, drop and stay as they were like any other.
func TestLayersByPointer(t *testing.T) {
	drop := &Dropout{P: 0.5}
	n, err := NewSequential("test", tensor.Shape{2, 5, 4}, []Layer{&Conv{Filters: 3, Size: ops.Size{H: 3, W: 2}}, &ReLU{}, drop, &Flatten{}, &Linear{Outputs: 2}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	drop.P = 7
	m, err := n.Build(2, BuildOptions{Loss: CrossEntropy, Training: true})
	if err != nil {
		t.Fatal(err)
	}
	if m.Random == nil {
		t.Error("the graph drops nothing")
	}
	if m.Each[0] != nil {
		t.Error("the ReLU is not computed with the convolution")
	}
}

// The smallest of everything: Gorgonia's tensors of one element are easily taken for scalars.
func TestOneElement(t *testing.T) {
	for _, input := range []tensor.Shape{{1, 1, 1}, {1}} {
		for _, o := range [][]Option{nil, {Float64}} {
			layers := []Layer{Flatten{}, Linear{Outputs: 1}}
			if len(input) == 3 {
				layers = append([]Layer{Conv{Filters: 1, Size: ops.Both(1)}, ReLU{}, MaxPool(1), Dropout{P: 0.1}}, layers...)
			}
			n, err := NewSequential("one", input, layers, o...)
			if err != nil {
				t.Fatal(err)
			}
			n.Init(1)
			for _, loss := range []Loss{CrossEntropy, SquaredError} {
				m, err := n.Build(1, BuildOptions{Loss: loss, Training: true, InputGradient: true, Keep: true})
				if err != nil {
					t.Fatal(err)
				}
				if err := m.SetLabels([]int{0}); err != nil {
					t.Fatal(err)
				}
				if err := m.Run(); err != nil {
					t.Fatal(err)
				}
				if _, err := m.LossValue(); err != nil {
					t.Fatal(err)
				}
			}
			if _, err := n.Predict(tensor.New(tensor.WithShape(append(tensor.Shape{1}, input...)...), tensor.Of(n.Dtype()))); err != nil {
				t.Error(err)
			}
			var b bytes.Buffer
			if err := n.Save(&b, nil); err != nil {
				t.Fatal(err)
			}
			if err := n.Load(&b); err != nil {
				t.Error(err)
			}
		}
	}
}

// Keep makes what each layer gives readable, but for a convolution that is one pass with its ReLU, and changes no output.
func TestKeep(t *testing.T) {
	reluFirst, err := NewSequential("test", tensor.Shape{2, 6, 8}, []Layer{ReLU{}, MaxPool(2), Conv{Filters: 3, Size: ops.Both(2)}, ReLU{}, ReLU{}, MaxPool(2), Flatten{}, Linear{Outputs: 2}, ReLU{}})
	if err != nil {
		t.Fatal(err)
	}
	reluFirst.Init(3)
	for _, n := range []*Network{byName(t, "article"), reluFirst} {
		m, err := n.Build(2, BuildOptions{Keep: true})
		if err != nil {
			t.Fatal(err)
		}
		fill(rand.New(rand.NewPCG(2, 0)), m)
		if err := m.Run(); err != nil {
			t.Fatal(err)
		}
		plain, err := n.Build(2, BuildOptions{})
		if err != nil {
			t.Fatal(err)
		}
		copy(plain.InputData().([]float32), m.InputData().([]float32))
		if err := plain.Run(); err != nil {
			t.Fatal(err)
		}
		sameBits(t, "output", bits(t, m.Output.Value()), bits(t, plain.Output.Value()))
		for i, y := range m.Each {
			if _, conv := n.layers[i].(Conv); y == nil && conv && n.isReLU(i+1) {
				continue
			}
			if y == nil || y.Value() == nil {
				t.Errorf("%s: layer %d has no value", n.name, i+1)
				continue
			}
			want := tensor.Shape(append(tensor.Shape{2}, n.shapes[i]...))
			if got := y.Value().Shape(); !got.Eq(want) {
				t.Errorf("%s: layer %d gives %v, the summary says %v", n.name, i+1, got, want)
			}
		}
	}
}

// A ReLU that is computed after the max pooling behind it, as it is where nothing is kept, changes no bit of loss or gradients: windows of negative numbers, ties, NaN and infinities included.
func TestReLUCommutesWithMaxPool(t *testing.T) {
	const seed = 17
	t.Logf("seed %d", seed)
	for _, pool := range []Pool{MaxPool(2), {Size: ops.Size{H: 3, W: 2}, Stride: ops.Size{H: 1, W: 2}, Pad: ops.Padding{Top: 1, Right: 1}}} {
		for k := range 4 {
			first, special := []Layer{Conv{Filters: 4, Size: ops.Both(1)}, nil}[k%2], k >= 2 // with NaN in the loss, every gradient is NaN: apart
			layers := []Layer{ReLU{}, pool, Flatten{}, Linear{Outputs: 3}}
			if first != nil {
				layers = append([]Layer{first}, layers...)
			}
			n, err := NewSequential("test", tensor.Shape{2, 7, 6}, layers)
			if err != nil {
				t.Fatal(err)
			}
			n.Init(seed)
			var got [2][][]float64
			for i, keep := range []bool{false, true} {
				m, err := n.Build(3, BuildOptions{Loss: SquaredError, Training: true, InputGradient: true, Keep: keep})
				if err != nil {
					t.Fatal(err)
				}
				r := rand.New(rand.NewPCG(seed, 0))
				x := m.InputData().([]float32)
				for j := range x { // small integers: ties, zeros and windows without a positive number
					x[j] = float32(r.IntN(7) - 4)
				}
				x[170] = float32(math.Copysign(0, -1))
				if special {
					x[5], x[90], x[130] = float32(math.Inf(1)), float32(math.Inf(-1)), float32(math.NaN())
				}
				if err := m.SetLabels([]int{0, 1, 2}); err != nil {
					t.Fatal(err)
				}
				got[i] = append(result(t, m), bits(t, m.DX.Value()))
			}
			for i := range got[0] {
				for j, v := range got[0][i] {
					if want := got[1][i][j]; math.Float64bits(v) != math.Float64bits(want) && !(math.IsNaN(v) && math.IsNaN(want)) {
						t.Fatalf("%v: result %d, element %d: got %v, want %v", pool, i, j, v, want)
					}
				}
			}
		}
	}
}

// A first layer's gradient by the input is not computed unless it is asked for.
func TestInputGradientOnRequest(t *testing.T) {
	for _, name := range Names() {
		n := byName(t, name)
		steps := func(input bool) int {
			m, err := n.Build(1, BuildOptions{Loss: CrossEntropy, Training: true, InputGradient: input})
			if err != nil {
				t.Fatal(err)
			}
			return m.machine.Steps()
		}
		if without, with := steps(false), steps(true); without >= with {
			t.Errorf("%s: %d steps without the input's gradient, %d with it", name, without, with)
		}
	}
}

// Predict may be called at once with itself.
func TestPredictAtOnce(t *testing.T) {
	n := byName(t, "article")
	x := tensor.New(tensor.WithShape(3, 1, 28, 28), tensor.Of(tensor.Float32))
	want, err := n.Predict(x)
	if err != nil {
		t.Fatal(err)
	}
	type answer struct {
		y   *tensor.Dense
		err error
	}
	answers := make(chan answer)
	for range 4 {
		go func() {
			y, err := n.Predict(x)
			answers <- answer{y, err}
		}()
	}
	for range 4 {
		if a := <-answers; a.err != nil {
			t.Error(a.err)
		} else {
			sameBits(t, "output", bits(t, a.y), bits(t, want))
		}
	}
}
