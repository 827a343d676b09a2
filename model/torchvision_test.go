package model

import (
	"encoding/json"
	"hash/fnv"
	"math"
	"os"
	"slices"
	"strings"
	"testing"

	G "gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/convgrad/convgrad/ops"
	"github.com/convgrad/convgrad/ops/vm"
)

// A golden is what PyTorch makes of a network: see testdata/torchvision_cases.py.
type golden struct {
	HW          [2]int
	Batch       int
	Eval, Train goldenMode
}

type goldenMode struct {
	Y              float64
	Losses         []float64
	Grads, Buffers map[string]float64
}

// closeness is how far a result may be from PyTorch's, relative to the length of the tensor that it
// is a digest of. Both compute in float64, in which a network of d layers that sum n terms each
// errs by some d·√n·2⁻⁵³ of its values, times what later layers amplify: for 50 layers of 4608
// terms 4e-13. A thousand times that is left to amplification, by batch norms of few elements
// above all; wrong terms show at 1e-3 and more.
const closeness = 1e-9

// heavy are the networks that only the gate named torchvision compares: they take seconds each.
func heavy(name string) bool {
	return strings.HasPrefix(name, "vgg") || slices.Contains([]string{"resnet18", "resnet34", "resnet50", "resnet56"}, name)
}

// Every network by name gives PyTorch's outputs, losses and gradients, in evaluation and in
// training, and buffers after three steps. The networks of torchvision's list are compared with
// torchvision's own.
func TestTorchvision(t *testing.T) {
	path, all := os.Getenv("CONVGRAD_TORCHVISION"), true
	if path == "" {
		path, all = "testdata/torchvision_cases.json", false
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var cases map[string][]golden
	if err := json.Unmarshal(text, &cases); err != nil {
		t.Fatal(err)
	}
	for _, name := range Names() {
		if name == "linear" { // the last layer of "article"
			continue
		}
		if !all && (heavy(name) || testing.Short() && name != "resnet20" && name != "lenet5") {
			continue
		}
		// made of some
		if len(cases[name]) == 0 && (heavy(name) || all && len(cases) < len(Names())/2) {
			t.Logf("%s is not compared: there are no cases of it here", name)
			continue
		}
		if len(cases[name]) < 2 {
			t.Errorf("%s: %d cases, want at least 2", name, len(cases[name]))
		}
		t.Run(name, func(t *testing.T) {
			g := &judge{t: t}
			for _, c := range cases[name] {
				n, err := ByName(name, tensor.Shape{3, c.HW[0], c.HW[1]}, 10, Options{Float64: true})
				if err != nil {
					t.Fatal(err)
				}
				for _, l := range n.summary.Layers { // as there
					if l.Kind == "Dropout" {
						n.frozen = append(n.frozen, l.Name)
					}
				}
				for _, p := range n.params {
					setByFormula(p)
				}
				g.evaluates(n, c)
				g.trains(n, c)
			}
			t.Logf("%d numbers agree, the worst to %.1g", g.count, g.worst)
			if g.count == 0 {
				t.Error("nothing was compared")
			}
		})
	}
}

// A judge compares numbers and notes the largest difference.
type judge struct {
	t     *testing.T
	count int
	worst float64
}

func (g *judge) number(what string, got, want, size float64) {
	g.t.Helper()
	d := math.Abs(got-want) / size
	g.count, g.worst = g.count+1, max(g.worst, d)
	if !(d <= closeness) {
		g.t.Errorf("%s: got %.13g, want %.13g: %.2g of its length %.3g", what, got, want, d, size)
	}
}

// digest compares a tensor by its inner product with a vector. The tensor's length counts, and that
// of what its rounding errors come from too.
func (g *judge) digest(what string, got []float64, want float64, from ...float64) {
	g.t.Helper()
	sum, size := 0.0, norm(got)
	formula("digest", len(got), func(i int, u float64) { sum += got[i] * u })
	for _, f := range from {
		size += f
	}
	g.number(what, sum, want, size)
}

func norm(v []float64) float64 {
	sum := 0.0
	for _, x := range v {
		sum += x * x
	}
	return math.Sqrt(sum)
}

func (g *judge) digests(what string, got map[string][]float64, want map[string]float64) {
	g.t.Helper()
	if len(got) != len(want) {
		g.t.Errorf("%d %s, want %d", len(got), what, len(want))
	}
	for name, v := range got {
		if _, ok := want[name]; !ok {
			g.t.Errorf("%s: %s is unknown to PyTorch", what, name)
			continue
		}
		// The gradient of a bias before a batch norm is 0, and what is computed is the rounding
		// error of a sum. It is of the size of the weight's gradient times that.
		layer, bias := strings.CutSuffix(name, ".bias")
		if w := got[layer+".weight"]; bias && w != nil {
			g.digest(what+" "+name, v, want[name], norm(w))
		} else {
			g.digest(what+" "+name, v, want[name])
		}
	}
}

// task is a loss, and the targets of the formula.
func task(n *Network, batch int) (loss Loss, labels []int, floats []float64) {
	if len(n.output) == 3 {
		floats = make([]float64, batch*n.output.TotalSize())
		formula("target", len(floats), func(i int, u float64) { floats[i] = u })
		return LossFunc(func(y, t *G.Node) (*G.Node, error) { return ops.MSE(y, t, ops.ReductionMean) }), nil, floats
	}
	labels = make([]int, batch)
	formula("target", batch, func(i int, u float64) { labels[i] = int((u + 1) / 2 * float64(n.output[0])) })
	return CrossEntropy{}, labels, nil
}

// evaluates compares the gradients of a network that evaluates, which only a graph of one's own
// has.
func (g *judge) evaluates(n *Network, c golden) {
	loss, labels, floats := task(n, c.Batch)
	graph := G.NewGraph()
	in := make([]float64, c.Batch*n.input.TotalSize())
	formula("input", len(in), func(i int, u float64) { in[i] = u })
	x := leaf(graph, inputName, tensor.New(tensor.WithShape(n.batch(c.Batch)...), tensor.WithBacking(in)))
	var params G.Nodes
	for _, p := range n.Params() {
		params = append(params, leaf(graph, p.Name, p.Value))
	}
	y, err := n.Expand(x, params, BuildOptions{})
	if err != nil {
		g.t.Fatal(err)
	}
	target := tensor.New(tensor.WithShape(len(labels)), tensor.WithBacking(labels))
	if floats != nil {
		target = tensor.New(tensor.WithShape(y.Shape()...), tensor.WithBacking(floats))
	}
	e, err := loss.Loss(y, leaf(graph, targetName, target))
	if err != nil {
		g.t.Fatal(err)
	}
	grads, err := ops.Grad(e, nil, params...)
	if err != nil {
		g.t.Fatal(err)
	}
	m, err := vm.New(graph, append(G.Nodes{y, e}, grads...)...)
	if err != nil {
		g.t.Fatal(err)
	}
	defer m.Close()
	if err := m.RunAll(); err != nil {
		g.t.Fatal(err)
	}
	got := map[string][]float64{}
	for i, p := range n.Params() {
		got[p.Name] = grads[i].Value().Data().([]float64)
	}
	g.digest("evaluation: y", y.Value().Data().([]float64), c.Eval.Y)
	g.number("evaluation: loss", e.Value().Data().(float64), c.Eval.Losses[0], c.Eval.Losses[0])
	g.digests("evaluation: gradients", got, c.Eval.Grads)

	// A graph that only evaluates may compute otherwise.
	only := graphOf(g.t, n, c.Batch, BuildOptions{})
	defer only.Close()
	copy(only.InputData().([]float64), in)
	run(g.t, only)
	out, err := only.Output()
	if err != nil {
		g.t.Fatal(err)
	}
	g.digest("evaluation alone: y", out.Data().([]float64), c.Eval.Y)
}

// trains compares three steps of gradient descent.
func (g *judge) trains(n *Network, c golden) {
	const rate = 0.01
	loss, labels, floats := task(n, c.Batch)
	m := graphOf(g.t, n, c.Batch, BuildOptions{Loss: loss, Training: true})
	defer m.Close()
	formula("input", c.Batch*n.input.TotalSize(), func(i int, u float64) { m.InputData().([]float64)[i] = u })
	if floats != nil {
		copy(m.TargetData().([]float64), floats)
	} else if err := m.SetLabels(labels); err != nil {
		g.t.Fatal(err)
	}
	for step := range c.Train.Losses {
		e := lossAt(g.t, m, step)
		g.number("training: loss", e, c.Train.Losses[step], c.Train.Losses[step])
		grads, err := m.Grads()
		if err != nil {
			g.t.Fatal(err)
		}
		if step == 0 {
			out, err := m.Output()
			if err != nil {
				g.t.Fatal(err)
			}
			g.digest("training: y", out.Data().([]float64), c.Train.Y)
			got := map[string][]float64{}
			for i, p := range m.Params() {
				got[p.Name] = grads[i].Data().([]float64)
			}
			g.digests("training: gradients", got, c.Train.Grads)
		}
		for i, p := range m.Params() {
			w := p.Value.Data().([]float64)
			for k, d := range grads[i].Data().([]float64) {
				w[k] -= rate * d
			}
		}
	}
	got := map[string][]float64{}
	for _, p := range n.Buffers() {
		got[p.Name] = p.Value.Data().([]float64)
	}
	g.digests("training: buffers", got, c.Train.Buffers)
}

// setByFormula gives a weight of float64 the numbers of the formula.
func setByFormula(p *Param) {
	w, s := p.Value.Data().([]float64), p.Value.Shape()
	kind := p.Name[strings.LastIndexByte(p.Name, '.')+1:]
	scale, shift := 0.1, 0.0
	switch {
	case kind == "running_var":
		scale, shift = 0.3, 1
	case len(s) > 1:
		in, _ := fans(s)
		scale = math.Sqrt(6 / in)
	case kind == "weight":
		scale, shift = 0.2, 0.8
	}
	formula(p.Name, len(w), func(i int, u float64) { w[i] = u*scale + shift })
}

// formula calls f with n numbers in (−1, 1) that a name stands for: uniform in the script.
func formula(name string, n int, f func(i int, u float64)) {
	h := fnv.New64a()
	h.Write([]byte(name))
	seed := h.Sum64()
	for i := range n {
		z := seed + uint64(i+1)*0xBF58476D1CE4E5B9
		z = (z ^ z>>30) * 0xBF58476D1CE4E5B9
		z = (z ^ z>>27) * 0x94D049BB133111EB
		z ^= z >> 31
		f(i, (float64(z>>40)+0.5)/(1<<23)-1)
	}
}
