package verify

import (
	"math"
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
	w, err := c.world(t.of, t.spent)
	var d *derivation
	if err == nil && t.base.dx != nil {
		d, err = w.derive()
	}
	sample := func(v []float64, s int) []float64 { m := len(v) / n; return v[s*m : (s+1)*m] }
	var y []float64
	dx, size := make([][]float64, len(t.x)), make([]float64, len(t.x))
	for s := 0; s < n && err == nil; s++ {
		x := slices.Clone(t.x)
		for i, in := range c.Inputs {
			if in.Batch {
				x[i] = sample(x[i], s)
			}
		}
		var one outcome
		if d == nil {
			one.y, err = w.forward(x)
		} else {
			one, err = d.at(d.leaves(x), sample(t.dy, s), false)
		}
		y = append(y, one.y...)
		for i, v := range one.dx {
			switch {
			case c.Inputs[i].Batch:
				dx[i] = append(dx[i], v...)
			case dx[i] == nil:
				dx[i] = v
			default:
				dx[i] = slices.Clone(dx[i])
				for e := range v {
					dx[i][e] += v[e]
				}
			}
			most := 0.0
			for _, g := range v {
				most = max(most, math.Abs(g))
			}
			if c.Inputs[i].Batch {
				size[i] = max(size[i], most)
			} else {
				size[i] += most
			}
		}
	}
	if err != nil {
		t.note("y", ByBatch, Fails, err)
		return
	}
	own, owns := t.own(t.u)
	bound := t.rounding(t.base.y, 8*t.u, t.of)
	for i := range bound {
		bound[i] += 2 * own
	}
	t.outputs(ByBatch, t.base.y, y, bound, nil)
	for i, v := range t.base.dx {
		if v == nil {
			continue
		}
		bound := t.rounding(append([]float64{size[i]}, v...), 8*t.u, t.of)[1:]
		for e := range bound {
			bound[e] += float64(n+1) * owns[i]
		}
		t.add(compare(t.d(i), ByBatch, t.c.Inputs[i].Shape, v, dx[i], bound))
	}
}
