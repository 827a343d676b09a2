package reported

import (
	"github.com/pkg/errors"
	"gorgonia.org/tensor"

	"github.com/convgrad/convgrad/verify/internal/graphs"
)

// A def is a small op of this corpus, and a call one run of it.
type (
	def  = graphs.Op
	call = graphs.Call
)

// ranks refuses operands of other ranks.
func ranks(want ...int) func(in []tensor.Shape) error {
	return func(in []tensor.Shape) error {
		if len(in) != len(want) {
			return errors.Errorf("%d operands, want %d", len(in), len(want))
		}
		for i, s := range in {
			if len(s) != want[i] {
				return errors.Errorf("operand %d has shape %v, want %d axes", i, s, want[i])
			}
		}
		return nil
	}
}

func zeros(n int) []float64 { return make([]float64, n) }

// each maps elements.
func each(x []float64, f func(x float64) float64) []float64 {
	y := zeros(len(x))
	for i, v := range x {
		y[i] = f(v)
	}
	return y
}

// curve is an elementwise op: f, and the rule dx = dy·slope(x).
func curve(name string, f, slope func(x float64) float64) def {
	return def{
		Name: name,
		Y:    func(c *call) []float64 { return each(c.X[0], f) },
		D: func(c *call) [][]float64 {
			dx := each(c.X[0], slope)
			for i := range dx {
				dx[i] *= c.DY[i]
			}
			return [][]float64{dx}
		},
	}
}
