package main

import (
	"strings"
	"testing"
	"time"

	G "gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/convgrad/convgrad/internal/opset"
	"github.com/convgrad/convgrad/ops"
)

var brief = Budget{time.Millisecond, 1, 1}

func report(t *testing.T) *Report {
	t.Helper()
	r := &Report{Tier: "avx512", Threads: 2, Peak: 100}
	for _, s := range []Shape{{"a", 1, 32, 5, 5, 32, 3, 1, 1, 1}, {"b", 2, 1, 6, 6, 3, 3, 1, 1, 1}, {"c", 1, 4, 6, 6, 4, 3, 1, 1, 4}} {
		c, err := Conv(s, brief, nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Convs = append(r.Convs, c)
	}
	r.Steps = []StepResult{
		{Name: "convgrad", TimesOurs: 1, Scaling: 1.9, Bytes: 1}, {Name: "convgrad, Winograd", TimesOurs: 1},
		{Name: "Gorgonia's built-ins", TimesOurs: 20, Bytes: 50}, {Name: "PyTorch", TimesOurs: 3},
	}
	r.Graphs = []GraphResult{{Name: "ReLU", Size: "3", Forward: 0.5, Training: 2}}
	r.Targets, r.Losses = r.targets(), r.losses()
	return r
}

func TestConvolutionsAreMeasured(t *testing.T) {
	for _, c := range report(t).Convs {
		for i := range 3 {
			if c.One[i] <= 0 || c.All[i] <= 0 {
				t.Errorf("%s %s: rates %v and %v, want positive ones", c.Name, directions[i], c.One[i], c.All[i])
			}
		}
		if (c.Winograd[0] > 0) != (c.Kind == "many") {
			t.Errorf("%s: Winograd's rate is %v", c.Name, c.Winograd[0])
		}
	}
}

func TestTargets(t *testing.T) {
	r := report(t)
	got := map[string]Target{}
	for _, x := range r.Targets {
		got[x.What+": "+x.Measure] = x
	}
	for name, want := range map[string]struct {
		got           float64
		measured, met bool
	}{
		"a training step of convnet: × Gorgonia's built-ins":             {20, true, true},
		"a training step of convnet: × PyTorch, its best layout":         {3, true, true},
		"a training step of convnet: bytes allocated, of the built-ins'": {0.02, true, false},
		"a training step of convnet: 2 threads against one":              {1.9, true, true},
		"a built-in replaced in a graph: × built-in, least":              {0.5, true, false},
		"depthwise 3×3: × PyTorch, least":                                {0, false, false},
	} {
		x, ok := got[name]
		if !ok || x.Got != want.got || x.Measured != want.measured || x.Met != want.met {
			t.Errorf("%s: got %+v (there: %v), want %+v", name, x, ok, want)
		}
	}
	if len(r.Losses) != 1 || r.Losses[0].Ratio != 0.5 {
		t.Errorf("losses are %v, want the graph's alone", r.Losses)
	}
}

func TestFill(t *testing.T) {
	r := report(t)
	got, err := r.Fill("before\n<!-- bench:losses -->\nold\n<!-- /bench:losses -->\nafter\n")
	if err != nil {
		t.Fatal(err)
	}
	want := "before\n<!-- bench:losses -->\n" + r.Section("losses") + "<!-- /bench:losses -->\nafter\n"
	if got != want || !strings.Contains(got, "**0.50**") {
		t.Errorf("filled document is\n%s\nwant\n%s", got, want)
	}
	if _, err := r.Fill("<!-- bench:losses -->"); err == nil {
		t.Error("a marker that is not closed is no error")
	}
	for _, s := range Sections() {
		rows := strings.Split(strings.TrimSpace(r.Section(s)), "\n")
		for _, row := range rows {
			if strings.HasPrefix(row, "|") && strings.Count(row, "|") != strings.Count(rows[0], "|") {
				t.Errorf("section %s: rows differ in their number of cells:\n%s\n%s", s, rows[0], row)
			}
		}
	}
}

// The front page's table has a row only for what was measured, and counts losses.
func TestSummary(t *testing.T) {
	r := report(t)
	if got := r.Section("summary"); strings.Contains(got, "channels last") {
		t.Errorf("a row for a peer that was not measured:\n%s", got)
	}
	r.Convs[0].OverPyTorchBest = Rates{0.5, 2, 1}
	got := strings.Join(strings.Fields(r.Section("summary")), " ")
	for _, want := range []string{"channels last | 1.00 | **0.50** | 1 of 3 |",
		"best layout | 3.00 | 3.00 | 0 of 1 |", "Gorgonia's own ops | 20 | 20 | 0 of 1 |"} {
		if !strings.Contains(got, want) {
			t.Errorf("the summary does not say %q:\n%s", want, got)
		}
	}
}

func TestGraphs(t *testing.T) {
	for _, r := range []replacement{conv(1, 2, 6, 6, 2, 3, 0, 1, true)} {
		res := GraphResult{}
		if err := r.genericTier(brief, &res); err != nil {
			t.Fatal(err)
		}
		if res.GenericForward <= 0 || res.GenericTraining <= 0 {
			t.Errorf("%s: ratios %v and %v, want positive ones", r.name, res.GenericForward, res.GenericTraining)
		}
	}
}

func TestRegistered(t *testing.T) {
	list, err := Registered(brief, Options{Quick: true, Only: []string{"ops:BCEWithLogits", "ops:Softmax"}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if len(list) != 2 {
		t.Errorf("%d calls are measured, want one of each op that was asked for", len(list))
	}
	for _, r := range list {
		if r.Forward <= 0 || r.Training <= 0 || r.Size == "" {
			t.Errorf("%+v: want positive times and a size", r)
		}
	}
}

// The calls that the benchmark finds by the ops' registrations can be built and have gradients.
func TestCalls(t *testing.T) {
	calls := 0
	have := map[string]bool{}
	for _, e := range opset.All() {
		have[e.Name] = true
	}
	for _, name := range opset.TimedNames() {
		if !have[name] {
			t.Errorf("%s is timed, but no op is registered under that name", name)
		}
		for _, c := range opset.Calls(name) {
			calls++
			g := G.NewGraph()
			var in, floats []*G.Node
			for _, input := range c.Inputs {
				of := tensor.Float32
				if input.Of.Type != nil {
					of = input.Of
				}
				in = append(in, G.NewTensor(g, of, len(input.Shape), G.WithShape(input.Shape...), G.WithName(input.Name)))
				if of == tensor.Float32 {
					floats = append(floats, in[len(in)-1])
				}
			}
			y, err := c.Build(in)
			if err != nil {
				t.Errorf("%s (%s): %v", name, c.Params, err)
				continue
			}
			var dy *G.Node
			if !y.IsScalar() {
				dy = G.NewTensor(g, tensor.Float32, y.Dims(), G.WithShape(y.Shape()...), G.WithName("dy"))
			}
			if _, err := ops.Grad(y, dy, floats...); err != nil {
				t.Errorf("%s (%s): gradients: %v", name, c.Params, err)
			}
			if c.PyTorch == "" {
				t.Errorf("%s (%s) has no peer", name, c.Params)
			}
		}
	}
	if calls < 60 {
		t.Errorf("%d calls are timed, want 60 or more", calls)
	}
}
