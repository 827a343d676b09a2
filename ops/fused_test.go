package ops

import (
	"math"
	"math/rand/v2"
	"reflect"
	"testing"

	G "gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/convgrad/convgrad/internal/kernel"
)

// Winners and their values in one pass are those of the two ops, in dirty memory and of any layout
// of x; what does not fit is an error.
func TestFusedMaxPool(t *testing.T) {
	g, err := kernel.NewPool(2, 3, 6, 5, 3, 2, kernel.Spatial{StrideH: 2, StrideW: 1, DilationH: 1, DilationW: 1, PadTop: 1, PadRight: 1})
	if err != nil {
		t.Fatal(err)
	}
	first, second := op{maxWinners{g}}, op{gather{Geometry: g}}
	other := g
	other.Rows.Before = 0
	for _, c := range []struct {
		name     string
		op       op
		consumer G.Op
		fused    bool
	}{
		{"winners and their values", first, second, true},
		{"winners and values of another geometry", first, op{gather{Geometry: other}}, false},
		{"winners and a scatter", first, op{scatter{g}}, false},
		{"values and winners", second, first, false},
		{"an op and nothing", first, nil, false},
		{"ReLU and values", op{relu{4}}, second, false},
	} {
		if got := c.op.FuseWith(c.consumer, []int{0, -1}) != nil; got != c.fused {
			t.Errorf("%s: fused %v, want %v", c.name, got, c.fused)
		}
	}

	if first.FuseWith(second, []int{1, -1}) != nil {
		t.Error("fused with values of another tensor")
	}
	run := first.FuseWith(second, []int{0, -1})
	r := rand.New(rand.NewPCG(1, 1))
	for _, of := range floats {
		x := subject{spec: maxWinners{g}}.values(of, []tensor.Shape{inSides(g)}, r)[0].(*tensor.Dense)
		winners, err := first.Do(x)
		if err != nil {
			t.Fatal(err)
		}
		y, err := second.Do(x, winners)
		if err != nil {
			t.Fatal(err)
		}
		for _, l := range append(layouts(x), layout{"plain", x, nil}) {
			gotW, gotY := dirty(outSides(g), tensor.Int32), dirty(outSides(g), of)
			if err := run(gotW, gotY, []G.Value{l.value}); err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(bits(gotW), bits(winners)) || !reflect.DeepEqual(bits(gotY), bits(y)) {
				t.Errorf("%v, x is %s: other winners or values than of two ops", of, l.name)
			}
		}
		w, v := dirty(outSides(g), tensor.Int32), dirty(outSides(g), of)
		for name, call := range map[string][3]G.Value{
			"no x":                    {w, v, nil},
			"a nil x":                 {w, v, (*tensor.Dense)(nil)},
			"x of another shape":      {w, v, dirty(tensor.Shape{2, 3, 5, 6}, of)},
			"x of integers":           {w, v, dirty(inSides(g), tensor.Int)},
			"winners as floats":       {v, v, x},
			"values as integers":      {w, w, x},
			"no winners":              {nil, v, x},
			"no values":               {w, nil, x},
			"values of another shape": {w, dirty(inSides(g), of), x},
		} {
			if _, err := quietly(func() (G.Value, error) { return nil, run(call[0], call[1], []G.Value{call[2]}) }); err == nil || len(err.Error()) > 5 && err.Error()[:5] == "panic" {
				t.Errorf("%v, %s: error %v, want one", of, name, err)
			}
		}
	}
}

// A quotient by 0 is 0, which is what the derivative of a norm of zeros is made of, and its
// derivative is finite there.
func TestQuotientByZero(t *testing.T) {
	for _, of := range floats {
		a, b := floatsValue(tensor.Shape{4}, of, []float64{1, 0, math.Inf(1), 6}), floatsValue(tensor.Shape{4}, of, []float64{0, 0, 0, -3})
		v, err := op{quotient{1}}.Do(a, b)
		if err != nil {
			t.Fatal(err)
		}
		if got := floatsIn(v); !reflect.DeepEqual(got, []float64{0, 0, 0, -2}) {
			t.Errorf("%v: %v, want 0 0 0 -2", of, got)
		}
	}
}

// InPlace names an operand only where UsePreallocDo into that operand's memory is right, which
// TestInPlace shows for each; of the others none claims it.
func TestInPlaceIsClaimedByElementwiseOpsOnly(t *testing.T) {
	for _, s := range subjects() {
		o := op{s.spec}
		i := o.InPlace()
		if i < 0 {
			continue
		}
		for _, of := range floats {
			want := breaches{}
			in := s.values(of, s.shapes, rand.New(rand.NewPCG(2, 2)))
			y := want.run(o, in)
			if y == nil || len(s.shapes[i]) == 0 {
				continue
			}
			if y.Dtype() != in[i].Dtype() || y.Shape().TotalSize() != in[i].Shape().TotalSize() {
				t.Errorf("%s would write its result over operand %d, which is %v %v, but the result is %v %v", s, i, in[i].Dtype(), in[i].Shape(), y.Dtype(), y.Shape())
				continue
			}
			// The executor hands it the operand's memory in the result's shape.
			d := in[i].(*tensor.Dense)
			dst := valueOf(y.Shape(), d.Data())
			got, err := o.UsePreallocDo(dst, in...)
			if err != nil || !reflect.DeepEqual(bits(got), bits(y)) {
				t.Errorf("%s over operand %d: %v, %v, want %v", s, i, got, err, y)
			}
		}
	}
}
