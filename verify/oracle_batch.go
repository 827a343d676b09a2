package verify

import (
	"slices"

	"github.com/pkg/errors"
)

// ByBatch compares a batch with its samples one by one, where inputs say that they have a batch
// axis: y and the gradients of such inputs sample by sample, and the others' gradients with the
// sums over the samples.
const ByBatch Oracle = "its samples one by one"

var _ = register(oracle{name: ByBatch, rank: 230, judge: (*trial).batch,
	says: func(_, got, want string) string { return " is " + got + ", and by its samples one by one " + want }})

func (t *trial) batch() {
	n := 0
	for _, in := range t.c.Inputs {
		if in.Batch {
			n = in.Shape[0]
		}
	}
	if n < 2 {
		return
	}
	if len(t.fwd.y) != 1 || len(t.fwd.shapes[0]) == 0 || t.fwd.shapes[0][0] != n {
		t.note("y", ByBatch, Skipped, errors.Errorf("y has shape %v and no batch axis of %d", t.fwd.shapes[0], n))
		return
	}
	c := *t.c
	c.Inputs = slices.Clone(t.c.Inputs)
	for i := range c.Inputs {
		if c.Inputs[i].Batch {
			c.Inputs[i].Shape = c.Inputs[i].Shape.Clone()
			c.Inputs[i].Shape[0] = 1
		}
	}
	sample := func(v []float64, s int) []float64 { m := len(v) / n; return v[s*m : (s+1)*m] }
	samples := func(s int) [][]float64 {
		x := slices.Clone(t.x)
		for i, in := range c.Inputs {
			if in.Batch {
				x[i] = sample(x[i], s)
			}
		}
		return x
	}
	one := *t
	one.c, one.dy = &c, sample(t.dy, 0)
	d, _, err := one.anew(t.of, samples(0))
	var y []float64
	dx, size := make([][]float64, len(t.x)), make([]float64, len(t.x))
	for s := range n {
		var o outcome
		if err == nil {
			o, err = d.at(d.leaves(samples(s)), sample(t.dy, s), false)
		}
		if err != nil {
			t.note("y", ByBatch, Fails, err)
			return
		}
		y = append(y, o.y...)
		for i, v := range o.dx {
			switch most := greatest(v); {
			case c.Inputs[i].Batch:
				dx[i], size[i] = append(dx[i], v...), max(size[i], most)
			case dx[i] == nil:
				dx[i], size[i] = v, most
			default:
				for e := range v {
					dx[i][e] += v[e]
				}
				size[i] += most
			}
		}
	}
	own, owns := t.own()
	t.outputs(ByBatch, t.base.y, y, raised(t.rounding(t.base.y), 2*own), nil)
	t.gradients(ByBatch, t.base.dx, dx, func(i int) []float64 {
		return raised(t.rounding(t.base.dx[i], size[i]), float64(n+1)*owns[i])
	}, nil)
}
