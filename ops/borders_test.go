package ops_test

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"slices"
	"strings"
	"testing"

	G "gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/convgrad/convgrad/internal/kernel"
	"github.com/convgrad/convgrad/ops"
	"github.com/convgrad/convgrad/ops/vm"
)

// A borderCase is what PyTorch makes of numbers at the borders: see testdata/torch_borders.py.
type borderCase struct {
	Op, About, Type string
	Args            torchArgs
	In              []struct {
		Shape  []int
		Data   []onnxNumber
		Labels bool
	}
	Y struct {
		Shape []int
		Data  []onnxNumber
	}
	D [][]onnxNumber
}

// A difference is a number that is not PyTorch's.
type difference struct{ op, about, of, ours, theirs string }

// bordersApart says why we differ, by op and, where it matters, by what the difference is about.
// Each difference needs a reason here, and each reason a difference.
var bordersApart = []struct{ op, about, of, reason string }{
	{"relu", "", "", "max(0, −0) is +0"},
	{"relu6", "", "y of −0", "max(0, −0) is +0"},
	{"relu6", "", "d0 of NaN", "dy passes, as in ReLU; PyTorch's ReLU and ReLU6 differ"},
	{"silu", "", "∞", "the limit; PyTorch forms ∞·0"},
	{"silu", "", "huge", "the sign of a zero"},
	{"gelu", "", "", "the limit; PyTorch forms ∞·0, or x·2 before the half"},
	{"gelu_tanh", "", "", "the limit; PyTorch forms ∞·0"},
	{"hardswish", "", "y of huge", "PyTorch multiplies before it divides by 6"},
	{"hardswish", "", "NaN", "NaN stays NaN"},
	{"hardsigmoid", "", "", "PyTorch's 1/6 is rounded to float32, in float64 too"},
	{"abs", "", "NaN", "NaN stays NaN"},
	{"abs", "", "−0", "the sign of a zero"},
	{"elu", "", "", "NaN stays NaN"},
	{"prelu", "", "y", "a sum of two terms, of which one is +0"},
	{"prelu", "", "d0", "a NaN counts as positive"},
	{"amax", "", "", "the first NaN wins; PyTorch divides among the equal, of which NaN has none"},
	{"upsample_bilinear", "zeros", "", "the sign of a zero"},
	{"upsample_bilinear", "", "", "a weight of 0 is no part of the sum; PyTorch forms 0·∞"},
	{"lp_pool2d", "zeros", "", "the sign of a zero"},
	{"lp_pool2d", "huge", "", "x/y is 0 where y is ∞; PyTorch's y² overflows first"},
	{"lp_pool2d", "denormal", "", "x/y, though squares underflow"},
	{"matmul", "zeros", "", "the sign of a zero"},
	{"batch_norm", "huge", "", "squares overflow in both, not in the same place"},
	{"layer_norm", "huge", "", "squares are summed in float64"},
	{"sum", "huge", "", "the order of a sum: the 1 is lost beside the huge numbers"},
	{"mean", "huge", "", "the order of a sum: the 1 is lost beside the huge numbers"},
	{"mse", "", "", "the sign of a zero"},
	{"huber", "", "", "the sign of a zero"},
	{"l1", "", "", "the derivative of |NaN| is NaN; PyTorch's is 0"},
	{"bce_with_logits", "", "", "the terms are max(x, 0) − t·x here and (1 − t)·x in PyTorch: 0·∞ is NaN in one or the other"},
}

// TestBordersPyTorch compares NaN, infinities, zeros of both signs, ties, single elements, empty
// batches, and huge and denormal numbers with PyTorch's, in both float types, value and gradient.
// docs/borders.md has the table of where we differ, which this test writes if CONVGRAD_BORDERS is
// set and compares otherwise.
func TestBordersPyTorch(t *testing.T) {
	raw, err := os.ReadFile("testdata/torch_borders.json")
	if err != nil {
		t.Fatal(err)
	}
	var cases []borderCase
	if err := json.Unmarshal(raw, &cases); err != nil {
		t.Fatal(err)
	}
	var table borderTable
	for _, c := range cases {
		t.Run(c.Op+", "+c.About+", "+c.Type, func(t *testing.T) {
			var found []difference
			compared := 0
			if c.Type == "float32" {
				found, compared = runBorder[float32](t, c)
			} else {
				found, compared = runBorder[float64](t, c)
			}
			table.add(c, found, compared)
		})
	}
	table.compare(t)
}

func runBorder[T kernel.Float](t *testing.T, c borderCase) (found []difference, compared int) {
	g := G.NewGraph()
	var in, floats []*G.Node
	for k, x := range c.In {
		name, v := fmt.Sprint("input ", k), make([]float64, len(x.Data))
		for i, n := range x.Data {
			v[i] = float64(n)
		}
		if x.Labels {
			in = append(in, leaf(g, name, x.Shape, converted[int](v)))
			continue
		}
		in = append(in, leaf(g, name, x.Shape, converted[T](v)))
		floats = append(floats, in[k])
	}
	build := torchOps[c.Op]
	if c.Op == "nll" { // it has a definition to be compared with, in its registration
		build = func(in []*G.Node, a torchArgs) (*G.Node, error) {
			return ops.NLL(in[0], in[1], ops.CrossEntropyParams{Reduction: a.reduction()})
		}
	}
	y, err := build(in, c.Args)
	if err != nil {
		return []difference{{c.Op, c.About, "y", err.Error(), "numbers"}}, 1
	}
	dy := make([]T, tensor.Shape(y.Shape()).TotalSize())
	for i := range dy {
		dy[i] = T(1 + i%3)
	}
	cotangent := G.NewScalar(g, y.Dtype(), G.WithName("dy"))
	if len(y.Shape()) > 0 {
		cotangent = leaf(g, "dy", y.Shape(), dy)
	} else if err := G.Let(cotangent, dy[0]); err != nil {
		t.Fatal(err)
	}
	grads, err := ops.Grad(y, cotangent, floats...)
	if err != nil {
		t.Fatal(err)
	}
	machine, err := vm.New(g, append(G.Nodes{y}, grads...)...)
	if err != nil {
		t.Fatal(err)
	}
	defer machine.Close()
	if err := machine.RunAll(); err != nil {
		return []difference{{c.Op, c.About, "y", err.Error(), "numbers"}}, 1
	}
	if !slices.Equal([]int(y.Shape()), c.Y.Shape) {
		t.Errorf("y has shape %v, want %v", y.Shape(), c.Y.Shape)
	}
	tolerance := 1e-12
	if c.Type == "float32" {
		tolerance = 1e-5
	}
	compare := func(of string, n *G.Node, want []onnxNumber) {
		got, err := float64Elements(n.Value())
		if err != nil {
			t.Fatal(err)
		}
		if len(got) != len(want) {
			t.Fatalf("%s has %d elements, want %d", of, len(got), len(want))
		}
		compared += len(got)
		for i, g := range got {
			if w := float64(want[i]); !sameBorder(g, w, tolerance) {
				at := make([]string, len(c.In))
				for k, x := range c.In {
					if at[k] = "…"; len(x.Data) == len(got) {
						at[k] = show(float64(x.Data[i]), c.Type)
					}
				}
				where := fmt.Sprintf("%s of %s", of, strings.Join(at, ", "))
				if len(got) == 1 || strings.Contains(where, "…") {
					where = fmt.Sprintf("%s, element %d", of, i)
				}
				found = append(found, difference{c.Op, c.About, where, show(g, c.Type), show(w, c.Type)})
			}
		}
	}
	compare("y", y, c.Y.Data)
	for k, d := range grads {
		if c.D[k] != nil {
			compare(fmt.Sprint("d", k), d, c.D[k])
		}
	}
	return found, compared
}

// sameBorder compares two numbers: NaN with NaN, infinities and zeros with their signs, and others
// to the rounding of a few operations on numbers of about 1.
func sameBorder(got, want, tolerance float64) bool {
	switch {
	case math.IsNaN(got) || math.IsNaN(want):
		return math.IsNaN(got) && math.IsNaN(want)
	case math.IsInf(got, 0) || math.IsInf(want, 0) || got == 0 && want == 0:
		return got == want && math.Signbit(got) == math.Signbit(want)
	}
	return math.Abs(got-want) <= tolerance*(math.Abs(want)+1)
}

// show writes a number for the table.
func show(v float64, of string) string {
	huge, tiny := math.MaxFloat64, math.SmallestNonzeroFloat64
	if of == "float32" {
		huge, tiny = math.MaxFloat32, math.SmallestNonzeroFloat32
	}
	sign := ""
	if math.Signbit(v) {
		sign = "−"
	}
	switch a := math.Abs(v); {
	case math.IsNaN(v):
		return "NaN"
	case math.IsInf(v, 0):
		return sign + "∞"
	case a == huge:
		return sign + "huge"
	case a == tiny:
		return sign + "denormal"
	default:
		return sign + fmt.Sprintf("%.4g", a)
	}
}

// A borderTable is the differences, with how many numbers of each op were compared.
type borderTable struct {
	order    []string
	cases    map[string]int
	compared map[string]int
	rows     []difference
}

func (b *borderTable) add(c borderCase, found []difference, compared int) {
	if b.cases == nil {
		b.cases, b.compared = map[string]int{}, map[string]int{}
	}
	if !slices.Contains(b.order, c.Op) {
		b.order = append(b.order, c.Op)
	}
	b.cases[c.Op]++
	b.compared[c.Op] += compared
	for _, d := range found {
		if !slices.Contains(b.rows, d) {
			b.rows = append(b.rows, d)
		}
	}
}

func (b *borderTable) compare(t *testing.T) {
	used := make([]bool, len(bordersApart))
	rows, reasonless := map[string]string{}, 0
	count := map[string]int{}
	for _, d := range b.rows {
		reason := ""
		for i, r := range bordersApart {
			if r.op == d.op && strings.Contains(d.about, r.about) && strings.Contains(d.of, r.of) {
				used[i], reason = true, r.reason
				break
			}
		}
		if reason == "" {
			reasonless++
			t.Errorf("%s, %s: %s is %s, and %s in PyTorch, without a reason", d.op, d.about, d.of, d.ours, d.theirs)
		}
		count[d.op]++
		rows[d.op] += fmt.Sprintf("| %s | %s | %s | %s | %s | %s |\n", d.op, d.about, d.of, d.ours, d.theirs, reason)
	}
	for i, r := range bordersApart {
		if !used[i] {
			t.Errorf("nothing of %s, %s, %s differs: the reason %q is stale", r.op, r.about, r.of, r.reason)
		}
	}
	cases, numbers := 0, 0
	summary, details := "", ""
	slices.Sort(b.order)
	for _, op := range b.order {
		cases, numbers = cases+b.cases[op], numbers+b.compared[op]
		summary += fmt.Sprintf("| %s | %d | %d | %d |\n", op, b.cases[op], b.compared[op], count[op])
		details += rows[op]
	}
	table := fmt.Sprintf("%d cases of %d ops, %d numbers; %d differ.\n\n| op | cases | numbers | differ |\n| --- | --- | --- | --- |\n%s\n| op | border | number | here | PyTorch | why |\n| --- | --- | --- | --- | --- | --- |\n%s",
		cases, len(b.order), numbers, len(b.rows), summary, details)
	t.Log(strings.SplitN(table, "\n", 2)[0])
	writeTable(t, "../docs/borders.md", "CONVGRAD_BORDERS", table)
}
