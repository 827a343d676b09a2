package verify_test

import (
	"encoding/json"
	"fmt"
	"hash"
	"hash/fnv"
	"math"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"

	"github.com/chewxy/hm"
	"github.com/pkg/errors"
	G "gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
	"pgregory.net/rapid"

	"github.com/convgrad/convgrad/verify"
)

// product is y = x·wᵀ of x (N×I) and w (O×I), as an op of a user's own, with a fault of choice.
// backward gives dx or dw, the products of dy with the other argument.
type product struct {
	fault string
	part  string // "": y, "x": dx of (dy, w), "w": dw of (x, dy)
	calls *int
}

func (o product) Arity() int { return 2 }
func (o product) Type() hm.Type {
	m := G.TensorType{Dims: 2, Of: hm.TypeVariable('a')}
	return hm.NewFnType(m, m, m)
}
func (o product) InferShape(in ...G.DimSizer) (tensor.Shape, error) {
	s, err := G.DimSizersToShapes(in)
	if err != nil {
		return nil, err
	}
	switch a, b := s[0], s[1]; {
	case o.part == "" && a[1] == b[1]:
		return tensor.Shape{a[0], b[0]}, nil
	case o.part == "x" && a[1] == b[0]:
		return tensor.Shape{a[0], b[1]}, nil
	case o.part == "w" && a[0] == b[0]:
		return tensor.Shape{b[1], a[1]}, nil
	}
	return nil, errors.Errorf("product %q: shapes %v do not fit", o.part, s)
}
func (o product) ReturnsPtr() bool     { return false }
func (o product) CallsExtern() bool    { return false }
func (o product) OverwritesInput() int { return -1 }
func (o product) String() string       { return "product" + o.part + o.fault }
func (o product) WriteHash(h hash.Hash) {
	fmt.Fprintf(h, "%s|%s|%s", "verify_test.product", o.part, o.fault)
}
func (o product) Hashcode() uint32 { h := fnv.New32a(); o.WriteHash(h); return h.Sum32() }

func (o product) Do(in ...G.Value) (G.Value, error) {
	a, b := in[0].(*tensor.Dense), in[1].(*tensor.Dense)
	shape, err := o.InferShape(a.Shape(), b.Shape())
	if err != nil {
		return nil, err
	}
	return o.into(tensor.New(tensor.Of(a.Dtype()), tensor.WithShape(shape...)), a, b)
}

func (o product) UsePreallocDo(dst G.Value, in ...G.Value) (G.Value, error) {
	y := dst.(*tensor.Dense)
	if o.fault != "adds to dirty memory" {
		y.Zero()
	}
	return o.into(y, in[0].(*tensor.Dense), in[1].(*tensor.Dense))
}

func (o product) into(y, a, b *tensor.Dense) (G.Value, error) {
	*o.calls++
	at := func(t *tensor.Dense, i, j int) float64 {
		if o.fault == "takes memory to be row-major" {
			v := reflect.ValueOf(t.Data()).Index(i*t.Shape()[1] + j)
			return v.Float()
		}
		v, err := t.At(i, j)
		if err != nil {
			panic(err)
		}
		return reflect.ValueOf(v).Float()
	}
	get := func(i, j, k int) (float64, float64) { // the k-th factors of element (i, j)
		switch o.part {
		case "x":
			return at(a, i, k), at(b, k, j)
		case "w":
			return at(b, k, i), at(a, k, j)
		}
		return at(a, i, k), at(b, j, k)
	}
	terms := map[string]int{"": a.Shape()[1], "x": a.Shape()[1], "w": a.Shape()[0]}[o.part]
	rows, cols := y.Shape()[0], y.Shape()[1]
	for i := 0; i < rows; i++ {
		for j := 0; j < cols; j++ {
			s := 0.0
			if o.fault == "adds to dirty memory" {
				v, err := y.At(i, j)
				if err != nil {
					return nil, err
				}
				s = reflect.ValueOf(v).Float()
			}
			for k := 0; k < terms; k++ {
				p, q := get(i, j, k)
				s += p * q
			}
			r, c := i, j
			switch {
			case o.fault == "factor of 2" && o.part == "w":
				s *= 2
			case o.fault == "sign" && o.part == "x":
				s = -s
			case o.fault == "zero" && o.part == "w":
				s = 0
			case o.fault == "transposed" && o.part == "w" && rows == cols:
				r, c = j, i
			case o.fault == "reversed" && o.part == "w":
				c = cols - 1 - j
			case o.fault == "only one item" && o.part == "x" && i == 1:
				s *= 1.5
			case o.fault == "couples the batch" && o.part == "" && i > 0:
				p, _ := get(0, 0, 0)
				s += p
			case o.fault == "differs from run to run" && o.part == "" && i == 0:
				s += float64(*o.calls) * 1e-9
			case o.fault == "float32 only roughly" && y.Dtype() == tensor.Float32:
				s *= 1.001
			case o.fault == "off by 1e-9" && o.part == "w":
				s *= 1 + 1e-9
			}
			var v any = s
			if y.Dtype() == tensor.Float32 {
				v = float32(s)
			}
			if err := y.SetAt(v, r, c); err != nil {
				return nil, err
			}
		}
	}
	if o.fault == "writes into its input" && o.part == "" {
		if err := a.SetAt(reflect.Zero(a.Dtype().Type).Interface(), 0, 0); err != nil {
			return nil, err
		}
	}
	if o.fault == "panics" && o.part == "w" {
		panic("index out of range")
	}
	return y, nil
}

func (o product) DiffWRT(n int) []bool { return []bool{true, true} }

func (o product) SymDiff(in G.Nodes, y, dy *G.Node) (G.Nodes, error) {
	other := func(part string) product { p := o; p.part = part; return p }
	apply := func(p product, a, b *G.Node) *G.Node { return G.Must(G.ApplyOp(p, a, b)) }
	a, b := in[0], in[1]
	switch o.part {
	case "x": // dx = dy·w: by dy, g·wᵀ; by w, dyᵀ·g
		return G.Nodes{apply(other(""), dy, b), apply(other("w"), dy, a)}, nil
	case "w":
		return G.Nodes{apply(other("x"), b, dy), apply(other(""), a, dy)}, nil
	}
	if o.fault == "ignores dy" {
		return G.Nodes{apply(other("x"), G.Must(G.HadamardProd(y, y)), b), apply(other("w"), a, dy)}, nil
	}
	return G.Nodes{apply(other("x"), dy, b), apply(other("w"), a, dy)}, nil
}

func (o product) DoDiff(_ G.ExecutionContext, in G.Nodes, y *G.Node) error {
	dy, err := y.Grad()
	if err != nil {
		return err
	}
	for i, n := range in {
		p := o
		var v G.Value
		if p.part = "x"; i == 1 {
			p.part = "w"
			v, err = p.Do(in[0].Value(), dy)
		} else {
			v, err = p.Do(dy, in[1].Value())
		}
		if err != nil {
			return err
		}
		g, err := n.Grad()
		if err != nil {
			return err
		}
		d := g.(*tensor.Dense)
		if o.fault == "overwrites the gradient" {
			d.Zero()
		}
		if o.fault == "DoDiff forgets w" && i == 1 {
			continue
		}
		if _, err := d.Add(v.(*tensor.Dense), tensor.UseUnsafe()); err != nil {
			return err
		}
	}
	return nil
}

func multiply(fault string) verify.Build {
	calls := 0
	return func(in []*G.Node) (*G.Node, error) { return G.ApplyOp(product{fault, "", &calls}, in[0], in[1]) }
}

// reference is the product in any arithmetic.
func reference(f *verify.Field, shapes [][]int, in [][]verify.Number) []verify.Number {
	n, m, l := shapes[0][0], shapes[0][1], shapes[1][0]
	y := make([]verify.Number, n*l)
	for i := range n {
		for j := range l {
			s := f.Number(0)
			for k := range m {
				s = f.Add(s, f.Mul(in[0][i*m+k], in[1][j*m+k]))
			}
			y[i*l+j] = s
		}
	}
	return y
}

func inputs(n, i, o int) []verify.Input {
	return []verify.Input{verify.Normal("x", n, i).AsBatch().AsLinear(), verify.Normal("w", o, i).AsLinear()}
}

func other(in []*G.Node) (*G.Node, error) {
	t, err := G.Transpose(in[1])
	if err != nil {
		return nil, err
	}
	return G.Mul(in[0], t)
}

func TestACorrectOpHoldsByEveryOracle(t *testing.T) {
	for _, in := range [][]verify.Input{inputs(3, 4, 3), {verify.Integers("x", 5, 3, 4).AsBatch(), verify.Integers("w", 5, 2, 4)}, inputs(20, 30, 2)} {
		r, err := verify.Case{Name: "product", Build: multiply(""), Inputs: in, Seed: 3, Reference: reference, Other: other, Fixed: true}.Check()
		if err != nil {
			t.Fatal(err)
		}
		if r.Failed() {
			t.Fatal(r)
		}
		t.Log(r)
		seen := map[string]int{}
		for _, row := range r.Rows {
			if row.Verdict == verify.Holds && row.Compared > 0 {
				seen[string(row.Oracle)]++
				seen[row.Quantity+" "+string(row.Oracle)]++
			}
		}
		for _, o := range []verify.Oracle{verify.ByDual, verify.ByOther, verify.ByTape, verify.ByDoDiff, verify.ByLisp, verify.ByAccumulation, verify.ByLispAccumul, verify.ByMultiples, verify.ByUnmodified,
			verify.ByTwice, verify.ByPrealloc, verify.BySlices, verify.ByTransposes, verify.ByColumnMajor, verify.ByBatch, verify.ByTwin, verify.BySecond, verify.ByJacobian, verify.ByInterleaving,
			verify.ByInPlace, verify.ByExact, verify.ByStepOne, verify.ByAdjoint, verify.ByDifferences} {
			applies := true
			switch linear, small := in[0].Linear, in[0].Shape.TotalSize() < 100; o {
			case verify.ByExact:
				applies = in[0].Name == "x" && !linear // integers
			case verify.ByStepOne, verify.ByAdjoint:
				applies = linear
			case verify.ByDifferences:
				applies = !linear
			case verify.ByJacobian:
				applies = small
			}
			if applies != (seen[string(o)] > 0) {
				t.Errorf("%s: applies %v, rows that compare something: %d", o, applies, seen[string(o)])
			}
			if o == verify.ByExact || o == verify.ByDual || o == verify.ByOther || o == verify.ByBatch {
				for _, q := range []string{"y ", "dx ", "dw "} {
					if applies != (seen[q+string(o)] > 0) {
						t.Errorf("%s%s: applies %v, rows that compare something: %d", q, o, applies, seen[q+string(o)])
					}
				}
			}
		}
	}
}

func TestEveryFaultIsFound(t *testing.T) {
	for _, f := range []struct {
		fault  string
		oracle verify.Oracle
		says   string
	}{
		{"factor of 2", verify.ByDual, "a constant factor of 2"},
		{"sign", verify.ByDual, "the sign is wrong"},
		{"zero", verify.ByDual, "zero everywhere"},
		{"transposed", verify.ByDual, "transposed"},
		{"reversed", verify.ByDual, "reversed along axis 1"},
		{"only one item", verify.ByDual, "only at index 1 of axis 0"},
		{"ignores dy", verify.ByDual, ""},
		{"off by 1e-9", verify.ByDual, ""},
		{"off by 1e-9", verify.ByStepOne, ""},
		{"factor of 2", verify.ByStepOne, "a constant factor of 2"},
		{"factor of 2", verify.ByAdjoint, ""},
		{"factor of 2", verify.ByOther, "a constant factor of 2"},
		{"couples the batch", verify.ByBatch, ""},
		{"couples the batch", verify.ByDual, ""},
		{"differs from run to run", verify.ByTwice, ""},
		{"float32 only roughly", verify.ByTwin, ""},
		{"writes into its input", verify.ByUnmodified, ""},
		{"takes memory to be row-major", verify.ByTransposes, ""},
		{"takes memory to be row-major", verify.ByColumnMajor, ""},
		{"takes memory to be row-major", verify.BySlices, ""},
		{"adds to dirty memory", verify.ByPrealloc, ""},
		{"overwrites the gradient", verify.ByLispAccumul, ""},
		{"DoDiff forgets w", verify.ByDoDiff, "zero everywhere"},
		{"DoDiff forgets w", verify.ByLisp, ""},
		{"panics", verify.ByRunning, "panic: index out of range"},
		{"factor of 2", verify.ByExact, "a constant factor of 2"},
		{"factor of 2", verify.ByDifferences, "a constant factor of 2"},
		{"factor of 2", verify.ByJacobian, ""},
		{"factor of 2", verify.BySecond, ""},
	} {
		t.Run(f.fault+" by "+string(f.oracle), func(t *testing.T) {
			in := inputs(4, 4, 4)
			switch f.oracle {
			case verify.ByExact:
				in = []verify.Input{verify.Integers("x", 5, 4, 4), verify.Integers("w", 5, 4, 4)}
			case verify.ByDifferences:
				in = []verify.Input{verify.Normal("x", 4, 4), verify.Normal("w", 4, 4)}
			}
			r, err := verify.Case{Name: "product", Build: multiply(f.fault), Inputs: in, Seed: 5, Reference: reference, Other: other}.Check()
			if err != nil {
				t.Fatal(err)
			}
			for _, row := range r.Rows {
				if row.Oracle == f.oracle && row.Verdict == verify.Fails {
					s := row.Note
					if row.Mismatch != nil {
						s = row.Mismatch.Hint
					}
					if strings.Contains(s, f.says) {
						return
					}
				}
			}
			t.Errorf("not found, or not called %q:\n%s", f.says, r)
		})
	}
}

func TestAFailureShrinksAndSaysAll(t *testing.T) {
	r, err := verify.Case{Name: "product", Build: multiply("factor of 2"), Inputs: inputs(6, 9, 5), Seed: 5}.Check()
	if err != nil {
		t.Fatal(err)
	}
	if r.Shrunk == nil || r.Shrunk.Inputs != "x (1, 1), w (1, 1)" && r.Shrunk.Inputs != "x (1, 2), w (1, 2)" {
		t.Errorf("shrunk to %+v, want one element", r.Shrunk)
	}
	for _, want := range []string{"dw[", "the error is", "the bound", "seed 5", "smallest:", "a constant factor of 2"} {
		if !strings.Contains(r.String(), want) {
			t.Errorf("the report does not contain %q:\n%s", want, r)
		}
	}
	b, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	var back verify.Report
	if err := json.Unmarshal(b, &back); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(*r, back) {
		t.Errorf("JSON gives back %+v, want %+v", back, *r)
	}
}

func TestKinksAreReportedAsSuch(t *testing.T) {
	abs := func(in []*G.Node) (*G.Node, error) { return G.Abs(in[0]) }
	r, err := verify.Case{Name: "abs", Build: abs, Inputs: []verify.Input{verify.Integers("x", 1, 2, 3)}, Seed: 2}.Check()
	if err != nil {
		t.Fatal(err)
	}
	kinks := 0
	for _, row := range r.Rows {
		if row.Oracle == verify.ByDifferences {
			kinks += row.Kinks
			if row.Verdict != verify.Holds {
				t.Errorf("%+v", row)
			}
		}
	}
	if kinks == 0 {
		t.Errorf("no element is reported as not differentiable, though |x| is drawn at 0:\n%s", r)
	}
}

func TestGorgoniasOwnOps(t *testing.T) {
	one := func(f func(*G.Node) (*G.Node, error)) verify.Build {
		return func(in []*G.Node) (*G.Node, error) { return f(in[0]) }
	}
	for name, c := range map[string]verify.Case{
		"Tanh":   {Build: one(G.Tanh), Inputs: []verify.Input{verify.Normal("x", 2, 3)}},
		"Exp":    {Build: one(G.Exp), Inputs: []verify.Input{verify.Normal("x", 4)}},
		"Log":    {Build: one(G.Log), Inputs: []verify.Input{verify.Uniform("x", 1, 3, 2, 2)}},
		"Square": {Build: one(G.Square), Inputs: []verify.Input{verify.Normal("x", 2, 3)}},
		"Mul":    {Build: func(in []*G.Node) (*G.Node, error) { return G.Mul(in[0], in[1]) }, Inputs: []verify.Input{verify.Normal("x", 2, 3).AsLinear(), verify.Normal("w", 3, 4).AsLinear()}},
	} {
		c.Name, c.Seed = name, 7
		r, err := c.Check()
		if err != nil {
			t.Fatal(err)
		}
		// Mul reads past the rows of a slice, and hands column-major matrices to BLAS as they are
		for _, row := range r.Rows {
			if known := name == "Mul" && (row.Oracle == verify.BySlices || row.Oracle == verify.ByColumnMajor); known != (row.Verdict == verify.Fails) {
				t.Errorf("%s: %v", name, row)
			}
		}
	}
}

func TestWrongCases(t *testing.T) {
	ok := multiply("")
	for what, c := range map[string]verify.Case{
		"no Build":                {Inputs: inputs(1, 1, 1)},
		"no inputs":               {Build: ok},
		"has no name":             {Build: ok, Inputs: []verify.Input{verify.Normal("", 1)}},
		"two inputs":              {Build: ok, Inputs: []verify.Input{verify.Normal("x", 1), verify.Normal("x", 1)}},
		"has no Draw":             {Build: ok, Inputs: []verify.Input{{Name: "x", Shape: tensor.Shape{1}}}},
		"want positive":           {Build: ok, Inputs: []verify.Input{verify.Normal("x", 0)}},
		"no oracle is called":     {Build: ok, Inputs: inputs(1, 1, 1), Skip: []verify.Oracle{"nothing"}},
		"want a first axis":       {Build: ok, Inputs: []verify.Input{verify.Normal("x").AsBatch()}},
		": that of x is 2":        {Build: ok, Inputs: []verify.Input{verify.Normal("x", 2, 3).AsBatch(), verify.Normal("w", 3, 2).AsBatch()}},
		"want lo < hi":            {Build: ok, Inputs: []verify.Input{verify.Uniform("x", 2, 1, 3)}},
		"want a positive limit":   {Build: ok, Inputs: []verify.Input{verify.Integers("x", 0, 3)}},
		"want at least one class": {Build: ok, Inputs: []verify.Input{verify.Labels("t", 0, 3)}},
	} {
		if _, err := c.Check(); err == nil || !strings.Contains(err.Error(), what) {
			t.Errorf("got %v, want an error with %q", err, what)
		}
	}
	for what, b := range map[string]verify.Build{
		"neither a node nor an error": func([]*G.Node) (*G.Node, error) { return nil, nil },
		"panic: out":                  func([]*G.Node) (*G.Node, error) { panic("out") },
		"not today":                   func([]*G.Node) (*G.Node, error) { return nil, errors.New("not today") },
	} {
		r, err := verify.Case{Build: b, Inputs: inputs(1, 1, 1)}.Check()
		if err != nil || !r.Failed() || !strings.Contains(r.String(), what) {
			t.Errorf("%v: got %v, want a row with %q", err, r, what)
		}
	}
}

func TestAnyShapeHolds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		side := rapid.IntRange(1, 5)
		in := inputs(side.Draw(t, "n"), side.Draw(t, "i"), side.Draw(t, "o"))
		r, err := verify.Case{Build: multiply(""), Inputs: in, Seed: rapid.Uint64().Draw(t, "seed"), Reference: reference, Other: other, Fixed: true}.Check()
		if err != nil {
			t.Fatal(err)
		}
		if r.Failed() {
			t.Fatal(r)
		}
	})
}

// A kink nearer to x than a step of the differences, but not at it: the difference of the two
// one-sided slopes is either seen or reported, never taken for the derivative.
func TestKinksNearby(t *testing.T) {
	const seed = 5
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	relu := func(in []*G.Node) (*G.Node, error) { return G.Rectify(in[0]) }
	compared, kinks := 0, 0
	for range 300 {
		far := math.Ldexp(1+r.Float64(), -5-r.IntN(16)) // from 2⁻⁴ to 2⁻²⁰
		near := verify.Input{Name: "x", Shape: []int{2, 3}, Draw: func(r *rand.Rand, v []float64) {
			for i := range v {
				v[i] = far * float64(2*r.IntN(2)-1)
			}
		}}
		rep, err := verify.Case{Name: "relu", Build: relu, Inputs: []verify.Input{near}, Seed: r.Uint64(), Fixed: true, Only: []verify.Oracle{verify.ByDifferences}}.Check()
		if err != nil {
			t.Fatal(err)
		}
		for _, row := range rep.Rows {
			if row.Oracle == verify.ByDifferences {
				compared, kinks = compared+row.Compared, kinks+row.Kinks
				if row.Verdict == verify.Fails {
					t.Fatalf("kinks at a distance of %v: %v", far, row)
				}
			}
		}
	}
	if compared+kinks != 300*6 || kinks > compared {
		t.Errorf("%d elements compared, %d kinks: want 1800 in all", compared, kinks)
	}
}
