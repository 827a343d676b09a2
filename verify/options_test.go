package verify_test

import (
	"math"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pkg/errors"
	G "gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/convgrad/convgrad/verify"
)

func check(t *testing.T, c verify.Case) *verify.Report {
	t.Helper()
	r, err := c.Check()
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func verdicts(r *verify.Report, by verify.Oracle) map[verify.Verdict]int {
	all := map[verify.Verdict]int{}
	for _, row := range r.Rows {
		if row.Oracle == by {
			all[row.Verdict]++
		}
	}
	return all
}

// What is not offered is skipped, and fails where it is required.
func TestStrictAndSecond(t *testing.T) {
	c := verify.Case{Build: tanhOf.build, Inputs: []verify.Input{verify.Normal("x", 2, 3)}, Seed: 1, Fixed: true}
	if r := check(t, c); !r.Passed() || verdicts(r, verify.BySecond)[verify.Skipped] == 0 {
		t.Errorf("second derivatives that are not offered: %v", r)
	}
	c.Second = true
	if r := check(t, c); verdicts(r, verify.BySecond)[verify.Fails] == 0 {
		t.Errorf("second derivatives are required, and are not offered: %v", r)
	}
	c.Second, c.Strict = false, true
	if r := check(t, c); verdicts(r, verify.ByDoDiff)[verify.Fails] == 0 {
		t.Errorf("strict, and there is no DoDiff: %v", r)
	}
}

// A gradient op that answers the second derivative with an error does not offer it. That hides
// nothing of the first.
func TestSecondRefusedWithAnError(t *testing.T) {
	refuses := func(d func(x, dy float64) float64) verify.Build {
		o := squares("s", d)
		g := &user{name: "s'", args: 2, f: func(v []float64) float64 { return d(v[0], v[1]) }}
		g.rule = func(G.Nodes, *G.Node, *G.Node) (G.Nodes, error) { return nil, errors.New("not written yet") }
		o.rule = func(in G.Nodes, _, dy *G.Node) (G.Nodes, error) {
			dx, err := G.ApplyOp(g, in[0], dy)
			return G.Nodes{dx}, err
		}
		return func(in []*G.Node) (*G.Node, error) { return G.ApplyOp(o, in[0]) }
	}
	c := verify.Case{Build: refuses(right), Inputs: []verify.Input{verify.Normal("x", 2, 3)}, Seed: 1}
	if r := check(t, c); !r.Passed() || !strings.Contains(r.String(), "not offered: SymDiff of s': not written yet") {
		t.Errorf("a right rule: %v", r)
	}
	c.Second = true
	if r := check(t, c); r.Passed() {
		t.Errorf("second derivatives are required, and refused: %v", r)
	}
	c.Second = false
	// Wrong beyond the draws at the case's own values.
	c.Build = refuses(func(x, dy float64) float64 {
		if math.Abs(x) > 50 {
			return 0
		}
		return right(x, dy)
	})
	if r := check(t, c); r.Passed() {
		t.Errorf("a wrong rule: %v", r)
	}
}

// A caller who passes over Check's error has a nil report, which has not passed.
func TestNilReport(t *testing.T) {
	r, err := verify.Case{}.Check()
	if err == nil || r.Passed() || r.Failed() || r.First() != nil || r.Compared() != 0 || r.Worst() != 0 || r.String() != "no report" {
		t.Errorf("a case without a Build: %v, %v", r, err)
	}
}

// Where sides of one input have the same length, each is made long by itself.
func TestLongAxesOfSquares(t *testing.T) {
	o := squares("s", right)
	o.rule = func(in G.Nodes, _, dy *G.Node) (G.Nodes, error) {
		g := &user{name: "s'", args: 2, wrt: constants, f: func(v []float64) float64 { return right(v[0], v[1]) }}
		g.do = func(in ...G.Value) (G.Value, error) {
			dx, err := g.elementwise(in...)
			if err == nil && in[0].Shape()[1] > 64 {
				dx.(*tensor.Dense).Zero()
			}
			return dx, err
		}
		dx, err := G.ApplyOp(g, in[0], dy)
		return G.Nodes{dx}, err
	}
	r := check(t, verify.Case{Seed: 1, Inputs: []verify.Input{verify.Normal("x", 3, 3)},
		Build: func(in []*G.Node) (*G.Node, error) { return G.ApplyOp(o, in[0]) }})
	if f := r.First(); f == nil || f.At != "x (3, 1103)" {
		t.Errorf("a mistake beyond 64 columns: %v", r)
	}
	r = check(t, verify.Case{Seed: 1, Inputs: []verify.Input{verify.Normal("x", 3, 3), verify.Normal("w", 3, 3)},
		Build: func(in []*G.Node) (*G.Node, error) { return G.HadamardProd(in[0], in[1]) }})
	if !strings.Contains(r.Varied, "a long axis") {
		t.Errorf("a product of two squares: %v", r)
	}
}

// A tolerance is relative, by element type, and the smallest that is needed suffices.
func TestTolerance(t *testing.T) {
	off := simple("off", math.Tanh, func(_, y float64) float64 { return (1 - y*y) * (1 + 1e-5) })
	c := verify.Case{Build: off.build, Inputs: []verify.Input{verify.Normal("x", 2, 3)}, Seed: 1, Fixed: true}
	for tolerance, passes := range map[float64]bool{0: false, 1e-6: false, 2e-5: true} {
		c.Tolerance = map[tensor.Dtype]float64{tensor.Float64: tolerance}
		if r := check(t, c); r.Passed() != passes {
			t.Errorf("a gradient off by 1e-5 with a tolerance of %v: %v", tolerance, r)
		}
	}
}

func TestOnlyAndSkip(t *testing.T) {
	c := verify.Case{Build: tanhOf.build, Inputs: []verify.Input{verify.Normal("x", 2, 3)}, Seed: 1}
	c.Only = []verify.Oracle{verify.ByMultiples}
	for _, row := range check(t, c).Rows {
		if row.Oracle != verify.ByMultiples {
			t.Errorf("only %s was asked for: %v", verify.ByMultiples, row)
		}
	}
	c.Only, c.Skip = nil, []verify.Oracle{verify.ByMultiples}
	r := check(t, c)
	if len(verdicts(r, verify.ByMultiples)) > 0 || !r.Passed() {
		t.Errorf("%s was to be skipped: %v", verify.ByMultiples, r)
	}
}

// Seeds are draws at the case's shapes, and a mistake at one of them is found.
func TestSeeds(t *testing.T) {
	rare := simple("rare", math.Tanh, func(x, y float64) float64 { return pick(x > 2, 5, 1-y*y) })
	c := verify.Case{Build: rare.build, Inputs: []verify.Input{verify.Normal("x", 2)}, Seed: 1, Fixed: true}
	if r := check(t, c); !r.Passed() {
		t.Errorf("the first draw does not show it: %v", r)
	}
	c.Seeds = 200
	if r := check(t, c); !r.Failed() || !strings.HasPrefix(r.First().At, "seed ") {
		t.Errorf("200 draws of 2 numbers, and none above 2 was judged: %v", r)
	}
}

// Several outputs are judged together, each in rows of its own; outputs of integers have no
// cotangent.
func TestOutputs(t *testing.T) {
	for factor, passes := range map[float64]bool{1: true, 2: false} {
		second := simple("second output", math.Sin, func(x, _ float64) float64 { return factor * math.Cos(x) })
		c := verify.Case{Inputs: []verify.Input{verify.Normal("x", 2, 3)}, Seed: 1,
			Outputs: func(in []*G.Node) (G.Nodes, error) {
				a, err := tanhOf.build(in)
				if err != nil {
					return nil, err
				}
				b, err := second.build(in)
				return G.Nodes{a, b}, err
			}}
		r := check(t, c)
		if r.Passed() != passes {
			t.Errorf("two outputs, one with a factor of %v: %v", factor, r)
		}
		if !passes && !strings.Contains(r.String(), "∂y1/∂x") {
			t.Errorf("the second output is not named: %v", r)
		}
	}
}

// Labels of every integer type, and one that is ignored.
func TestIntegerInputs(t *testing.T) {
	g := gather("gather", -1)
	for _, typ := range []tensor.Dtype{tensor.Int, tensor.Int32, tensor.Int64} {
		seen := tensor.Dtype{}
		c := verify.Case{Seed: 1, Fixed: true, Inputs: []verify.Input{verify.Normal("x", 3, 2), verify.Labels("l", 3, 4).AsType(typ)},
			Build: func(in []*G.Node) (*G.Node, error) {
				seen = in[1].Dtype()
				if typ != tensor.Int {
					return tanhOf.build(in[:1])
				}
				return g.build(in)
			}}
		if r := check(t, c); seen != typ || !r.Passed() {
			t.Errorf("labels of %v came as %v: %v", typ, seen, r)
		}
	}
	c := verify.Case{Seed: 1, Fixed: true, Build: func(in []*G.Node) (*G.Node, error) { return tanhOf.build(in[:1]) },
		Inputs: []verify.Input{verify.Normal("x", 2), verify.Bools("b", 3), verify.Labels("l", 3, 40).Ignoring(-100)}}
	c.Outputs, c.Build = func(in []*G.Node) (G.Nodes, error) {
		y, err := tanhOf.build(in[:1])
		return G.Nodes{y, in[2]}, err
	}, nil
	if r := check(t, c); !r.Passed() {
		t.Error(r)
	}
}

// A time budget ends a check, and what was left out says so. Runs are counted, since a busy machine
// stretches time.
func TestBudget(t *testing.T) {
	var runs atomic.Int64
	nap := time.Duration(0)
	op := simple("slow", func(x float64) float64 { runs.Add(1); time.Sleep(nap); return x }, func(_, _ float64) float64 { return 1 })
	c := verify.Case{Build: op.build, Inputs: []verify.Input{verify.Normal("x", 10)}, Seed: 1, Budget: time.Hour}
	check(t, c)
	all := runs.Swap(0)
	nap, c.Budget = time.Millisecond, 100*time.Millisecond
	r := check(t, c)
	if n := runs.Load(); n > all/2 {
		t.Errorf("%d elements were computed within the budget, and %d without one: want half as many or fewer", n, all)
	}
	left := 0
	for _, row := range r.Rows {
		if row.Verdict == verify.NotJudged {
			left++
		}
	}
	if left == 0 || r.Failed() {
		t.Errorf("nothing was left out: %v", r)
	}
}

// A check in which no gradient was judged is no pass: here every value is at a jump.
func TestNothingJudged(t *testing.T) {
	root := simple("cube root's", func(x float64) float64 { return math.Cbrt(x) }, func(x, _ float64) float64 { return math.Inf(1) })
	c := verify.Case{Build: root.build, Inputs: []verify.Input{fixed(0)}, Seed: 1, Fixed: true}
	r := check(t, c)
	told := &listener{}
	c.Test(told)
	if r.Passed() || r.Failed() || !strings.Contains(told.failed, "no gradient could be judged") {
		t.Errorf("passed %v, failed %v, and Test was told %q", r.Passed(), r.Failed(), told.failed)
	}
}

// The numbers of a failing case are Go text.
func TestValuesAsGoText(t *testing.T) {
	wrong := simple("wrong", math.Tanh, func(_, y float64) float64 { return 1 - y })
	r := check(t, verify.Case{Build: wrong.build, Inputs: []verify.Input{verify.Normal("x.1", 2, 3)}, Seed: 1})
	if !strings.HasPrefix(r.Values, "x_1 := []float64{") || !strings.Contains(r.Values, "dy := []float64{") {
		t.Errorf("%q", r.Values)
	}
}

// Another graph whose shape is not the case's is a row, not a panic.
func TestOtherOfAnotherShape(t *testing.T) {
	r := check(t, verify.Case{Build: tanhOf.build, Inputs: []verify.Input{verify.Normal("x", 2, 3)}, Seed: 1,
		Other: func(in []*G.Node) (*G.Node, error) { return G.Sum(in[0]) }})
	if !r.Failed() || r.First().Oracle != verify.ByOther || !strings.Contains(r.First().Note, "its y has shape") {
		t.Error(r)
	}
}

// A norm at 0 has no derivative: no row judges it, whatever the rule says.
func TestNormAtZero(t *testing.T) {
	c := rightOps()["length"]
	r := check(t, verify.Case{Build: c.build, Seed: 1, Fixed: true,
		Inputs: []verify.Input{{Name: "x", Shape: tensor.Shape{1, 3}, Draw: fixed(0).Draw}}})
	for _, by := range []verify.Oracle{verify.ByDifferences, verify.ByJacobian, verify.BySecond} {
		v := verdicts(r, by)
		if v[verify.Fails] > 0 || by == verify.ByDifferences && v[verify.NotJudged] != 1 {
			t.Errorf("%s: %v\n%v", by, v, r)
		}
	}
}
