package ops

import (
	"math/rand/v2"
	"testing"

	G "gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// Ops that say they may write over an operand give the same bits when they do, at every length
// around a vector and its tail.
func TestInPlace(t *testing.T) {
	const seed = 4
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	random := func(of tensor.Dtype, n, m int) *tensor.Dense {
		d := tensor.New(tensor.WithShape(n, m), tensor.Of(of))
		for i := range n * m {
			if of == tensor.Float32 {
				d.Data().([]float32)[i] = float32(r.NormFloat64())
			} else {
				d.Data().([]float64)[i] = r.NormFloat64()
			}
		}
		return d
	}
	for _, of := range []tensor.Dtype{tensor.Float32, tensor.Float64} {
		for m := 1; m <= 70; m++ {
			var s G.Value = G.NewF64(0.7)
			if of == tensor.Float32 {
				s = G.NewF32(0.7)
			}
			x := sizeOf(tensor.Shape{2, m})
			for _, c := range []struct {
				spec spec
				rest []G.Value
			}{
				{relu{2}, nil},
				{gate{2}, []G.Value{random(of, 2, m)}},
				{reshape{x, x}, nil},
				{scale{2, -1.5}, nil},
				{scaleBy{2, 3}, []G.Value{s}},
				{product{2}, []G.Value{random(of, 2, m)}},
				{difference{2}, []G.Value{random(of, 2, m)}},
				{quotient{2}, []G.Value{random(of, 2, m)}},
			} {
				o := op{c.spec}
				if o.InPlace() != 0 {
					t.Fatalf("%s is not in place", o.name())
				}
				x := random(of, 2, m)
				want, err := o.Do(append([]G.Value{x}, c.rest...)...)
				if err != nil {
					t.Fatal(err)
				}
				got, err := o.UsePreallocDo(x, append([]G.Value{x}, c.rest...)...)
				if err != nil {
					t.Fatal(err)
				}
				if !got.(*tensor.Dense).Eq(want) {
					t.Errorf("%s of %v, 2×%d: in place %v, want %v", o.name(), of, m, got.Data(), want.Data())
				}
			}
		}
	}
}
