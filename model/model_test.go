package model

import (
	"bytes"
	"encoding/binary"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	G "gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
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
	// The variance of n normal draws is within 5·√(2/n) of its expectation but once in a million.
	w := a.Param("conv2.weight").Value.Data().([]float32)
	var v float64
	for _, x := range w {
		v += float64(x) * float64(x)
	}
	if got, want := v/float64(len(w)), 2.0/144; math.Abs(got-want) > want*5*math.Sqrt(2/float64(len(w))) {
		t.Errorf("the variance of conv2.weight is %v, want about %v", got, want)
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
		"conv on a vector":   {image, []Layer{Flatten{}, Conv{Filters: 1, Size: [2]int{1, 1}}}, "layer 2: conv: the input has shape (216), want C×H×W"},
		"too large a filter": {image, []Layer{Conv{Filters: 1, Size: [2]int{9, 1}}}, "spans 9, want at most the padded input, 8"},
		"groups":             {image, []Layer{Conv{Filters: 2, Size: [2]int{1, 1}, Groups: 2}}, "2 groups do not divide the 3 channels"},
		"no filters":         {image, []Layer{Conv{Size: [2]int{1, 1}}}, "want positive sides"},
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
