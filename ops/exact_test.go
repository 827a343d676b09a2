package ops

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"

	G "gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/convgrad/convgrad/internal/kernel"
)

// Most ops are affine in each operand by itself. Then the step from ⟨dy, f(x)⟩ to ⟨dy, f(x + e_j)⟩
// is element j of the derivative. It has no error of truncation, and on small integers none of
// rounding: the rule must give that very number.

// affine are the subjects of which this is true, and more geometries and flags of them. ReLU is one
// on odd integers, where a step of 1 crosses no kink.
func affine(t *testing.T) []subject {
	t.Helper()
	var all []subject
	for _, s := range subjects() {
		switch o := s.spec.(type) {
		case squaredError, quotient, l2Pool, l2PoolBackward, maxWinners, advance, avgPool, avgPoolBackward, activation, activationBackward, adaptiveWinners,
			lpPool, lpPoolBackward, power, moments, normalise, normSums, normBackward, normSecond, normScaleSecond, stack:
			continue
		case conv2D:
			o.ReLU = false
			s.spec = o
		case biasedTransposed:
			o.ReLU = false
			s.spec = o
		}
		all = append(all, s)
	}
	for i := range 3 {
		a, b := tensor.Shape{3, 5}, tensor.Shape{5, 4}
		o := matMul{M: 3, N: 4, K: 5, TransA: i == 2, TransB: i > 0} // the fourth is in the table
		if o.TransA {
			a = tensor.Shape{5, 3}
		}
		if o.TransB {
			b = tensor.Shape{4, 5}
		}
		all = append(all, subject{spec: o, shapes: []tensor.Shape{a, b}})
	}
	// Windows of 2 and 4 elements, by which a quotient of small integers is exact.
	pool, err := kernel.NewPool(2, 3, 4, 6, 2, 2, kernel.Spatial{StrideH: 2, StrideW: 1, DilationH: 1, DilationW: 2, PadRight: 2})
	if err != nil {
		t.Fatal(err)
	}
	for _, count := range []bool{true, false} {
		all = append(all, subject{spec: avgPool{pool, count}, shapes: []tensor.Shape{inSides(pool)}}, subject{spec: avgPoolBackward{pool, count}, shapes: []tensor.Shape{outSides(pool)}})
	}
	for _, c := range []struct {
		groups int
		flip   bool
		sp     kernel.Spatial
	}{
		{1, false, kernel.Spatial{StrideH: 1, StrideW: 1, DilationH: 1, DilationW: 1}},
		{2, false, kernel.Spatial{StrideH: 2, StrideW: 3, DilationH: 2, DilationW: 1, PadTop: 2, PadBottom: 1, PadRight: 3}},
		{4, true, kernel.Spatial{StrideH: 1, StrideW: 2, DilationH: 1, DilationW: 2, PadLeft: 3}},
	} {
		g, err := kernel.NewConv(2, 4, 5, 6, 8, 3, 2, c.groups, c.sp, c.flip)
		if err != nil {
			t.Fatal(err)
		}
		x, w, y := xSides(g), wSides(g), ySides(g)
		all = append(all,
			subject{spec: conv2D{Geometry: g, Bias: true}, shapes: []tensor.Shape{x, w, {8}}},
			subject{spec: conv2DBackwardData{g}, shapes: []tensor.Shape{y, w}},
			subject{spec: conv2DBackwardFilter{g}, shapes: []tensor.Shape{x, y}})
	}
	return all
}

// odd is a value of the subject's operand i, of odd integers from −5 to 5 if it is of floats.
func (s subject) odd(of tensor.Dtype, r *rand.Rand) []G.Value {
	vs := s.values(of, s.shapes, r)
	for i, v := range vs {
		if s.spec.args()[i].integer() {
			continue
		}
		if n := int(len(bits(v))); len(s.shapes[i]) > 0 {
			vs[i] = floatsValue(s.shapes[i], of, fill(n, func() float64 { return float64(2*r.IntN(6) - 5) }))
		} else {
			vs[i] = floatsValue(nil, of, []float64{3})
		}
	}
	return vs
}

// floatsValue is a value of one of the float types.
func floatsValue(shape tensor.Shape, of tensor.Dtype, v []float64) G.Value {
	if of == tensor.Float64 {
		return valueOf(shape, append([]float64(nil), v...))
	}
	single := make([]float32, len(v))
	for i := range v {
		single[i] = float32(v[i])
	}
	return valueOf(shape, single)
}

// floatsIn are a plain value's elements.
func floatsIn(v G.Value) []float64 {
	switch d := v.Data().(type) {
	case float64:
		return []float64{d}
	case float32:
		return []float64{float64(d)}
	case []float64:
		return d
	case []float32:
		all := make([]float64, len(d))
		for i := range d {
			all[i] = float64(d[i])
		}
		return all
	}
	panic(fmt.Sprintf("%T has no floats", v.Data()))
}

// checkRule compares the rule, as DoDiff applies it to gradients that hold something already, with
// the differences.
func checkRule(o op, s subject, of tensor.Dtype, r *rand.Rand) (b breaches) {
	in := s.odd(of, r)
	y := b.run(o, in)
	if y == nil {
		return b
	}
	g := G.NewGraph()
	var inputs G.Nodes
	const held = 7
	for i, v := range in {
		name, kind := G.WithName(fmt.Sprint("input ", i)), v.Dtype()
		var n *G.Node
		if shape := s.shapes[i]; len(shape) == 0 {
			n = G.NewScalar(g, kind, name)
		} else {
			n = G.NewTensor(g, kind, len(shape), G.WithShape(shape...), name)
		}
		if err := G.Let(n, v); err != nil {
			b.add("%v", err)
			return b
		}
		if !s.spec.args()[i].integer() {
			full := fill(len(floatsIn(v)), func() float64 { return held })
			G.WithGrad(floatsValue(s.shapes[i], of, full))(n)
		}
		inputs = append(inputs, n)
	}
	out, err := G.ApplyOp(o, inputs...)
	if err != nil {
		b.add("%v", err)
		return b
	}
	dy := floatsValue(y.Shape(), of, fill(len(floatsIn(y)), func() float64 { return float64(1+r.IntN(5)) * float64(1-2*r.IntN(2)) }))
	G.WithValue(y)(out)
	G.WithGrad(dy)(out)
	if err := o.DoDiff(G.ExecutionContext{}, inputs, out); err != nil {
		b.add("DoDiff: %v", err)
		return b
	}
	weights := floatsIn(dy)
	project := func(v G.Value) (sum float64) {
		for i, x := range floatsIn(v) {
			sum += x * weights[i]
		}
		return sum
	}
	base := project(y)
	for i, differentiable := range o.DiffWRT(len(in)) {
		if s.spec.args()[i].integer() {
			continue
		}
		v, err := inputs[i].Grad()
		if err != nil {
			b.add("%v", err)
			continue
		}
		got, x := floatsIn(v), floatsIn(in[i])
		if _, isGate := s.spec.(gate); isGate && i == 1 {
			// it is constant almost everywhere in y, but a step of 1 need not be small
			differentiable = false
			x = nil
		}
		for j := range x {
			moved := append([]float64(nil), x...)
			moved[j]++
			vs := append([]G.Value(nil), in...)
			vs[i] = floatsValue(s.shapes[i], of, moved)
			stepped := b.run(o, vs)
			if stepped == nil {
				return b
			}
			if want := project(stepped) - base; got[j]-held != want {
				b.add("%v: derivative by %s, element %d: got %v, want %v", of, s.spec.args()[i].name, j, got[j]-held, want)
				break
			}
		}
		for j := range got {
			if !differentiable && got[j] != held {
				b.add("%v: %s has no derivative, but its gradient has become %v", of, s.spec.args()[i].name, got[j])
				break
			}
		}
	}
	return b
}

func TestRulesAreExact(t *testing.T) {
	const seed = 51
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	for _, s := range affine(t) {
		for _, of := range floats {
			for _, breach := range checkRule(op{s.spec}, s, of, r) {
				t.Errorf("%T %+v: %s", s.spec, s.spec, breach)
			}
		}
	}
}

// Rules that are wrong in one place each are noticed.

type wrongRule struct {
	spec
	spoil func(rule []*term) []*term
}

func (o wrongRule) rule() []*term { return o.spoil(o.spec.rule()) }

func TestWrongRulesAreNoticed(t *testing.T) {
	r := rand.New(rand.NewPCG(52, 0))
	for _, s := range affine(t) {
		rule := s.spec.rule()
		for i, by := range rule {
			if by == nil {
				continue
			}
			for name, spoil := range map[string]func(rule []*term) []*term{
				"forgotten":     func(rule []*term) []*term { rule[i] = nil; return rule },
				"doubled":       func(rule []*term) []*term { rule[i] = apply(scale{s.spec.args()[i].rank, 2}, rule[i]); return rule },
				"of other sign": func(rule []*term) []*term { rule[i] = apply(scale{s.spec.args()[i].rank, -1}, rule[i]); return rule },
			} {
				found := checkRule(op{wrongRule{s.spec, spoil}}, s, tensor.Float64, r)
				if all := strings.Join(found, "\n"); !strings.Contains(all, "derivative by "+s.spec.args()[i].name) {
					t.Errorf("%T %+v: derivative by operand %d %s: found %q", s.spec, s.spec, i, name, all)
				}
			}
		}
	}
	// One wrong parameter in the geometry of a derivative.
	for _, s := range affine(t) {
		c, ok := s.spec.(conv2D)
		if !ok {
			continue
		}
		for name, change := range map[string]func(g *kernel.Conv){
			"flip":    func(g *kernel.Conv) { g.Flip = !g.Flip },
			"padding": func(g *kernel.Conv) { g.Rows.Before++; g.Rows.After-- },
		} {
			if name == "padding" && c.Geometry.Rows.After == 0 {
				continue
			}
			found := checkRule(op{wrongRule{c, func(rule []*term) []*term {
				g := c.Geometry
				change(&g)
				return append([]*term{apply(conv2DBackwardData{g}, cotangent(), in(1)), apply(conv2DBackwardFilter{g}, in(0), cotangent())}, rule[2:]...)
			}}}, s, tensor.Float64, r)
			if len(found) < 2 {
				t.Errorf("%+v: %s: found %q, want both derivatives to be noticed", s.spec, name, found)
			}
		}
	}
}

// A gradient is added to in whatever layout it is, and an error leaves it as it was.
func TestAccumulate(t *testing.T) {
	for _, of := range floats {
		more := tensor.New(tensor.WithShape(2, 3, 4), tensor.Of(of))
		for i := range 24 {
			if of == tensor.Float32 {
				more.Data().([]float32)[i] = float32(i)
			} else {
				more.Data().([]float64)[i] = float64(i)
			}
		}
		for _, l := range append(layouts(more), layout{"plain", more.Clone().(*tensor.Dense), nil}) {
			g := G.NewGraph()
			n := G.NewTensor(g, of, 3, G.WithShape(2, 3, 4), G.WithName("x"))
			if err := G.Let(n, more); err != nil {
				t.Fatal(err)
			}
			G.WithGrad(l.value)(n)
			if err := accumulate(n, more); err != nil {
				t.Fatalf("%v, %s: %v", of, l.name, err)
			}
			to, err := n.Grad()
			if err != nil {
				t.Fatal(err)
			}
			got, err := plain(to)
			if err != nil {
				t.Fatal(err)
			}
			for i := range 24 {
				if v := reflect.ValueOf(got.data).Index(i).Float(); v != 2*float64(i) {
					t.Fatalf("%v, %s: element %d is %v, want %v", of, l.name, i, v, 2*i)
				}
			}
			before := bitsOf(l.whole)
			for name, wrong := range map[string]G.Value{
				"nil": nil, "a scalar": G.NewF64(1), "another shape": dirty(tensor.Shape{2, 3, 5}, of), "integers": dirty(tensor.Shape{2, 3, 4}, tensor.Int),
				"the other type": dirty(tensor.Shape{2, 3, 4}, map[tensor.Dtype]tensor.Dtype{tensor.Float32: tensor.Float64, tensor.Float64: tensor.Float32}[of]),
			} {
				if err := accumulate(n, wrong); err == nil {
					t.Errorf("%v, %s: no error when %s is added", of, l.name, name)
				}
			}
			if !reflect.DeepEqual(bitsOf(l.whole), before) {
				t.Errorf("%v, %s: an error has left something in the gradient", of, l.name)
			}
		}
	}
	if err := accumulate(G.NewTensor(G.NewGraph(), tensor.Float64, 1, G.WithShape(2), G.WithName("x")), G.NewF64(1)); err == nil {
		t.Error("no error from a node without a gradient")
	}
}
