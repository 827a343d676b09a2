package verify

import (
	"math"
	"slices"

	"github.com/pkg/errors"
	G "gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// ByTwin runs the case in float32 and compares it with float64 at the same numbers, the inputs
// rounded to float32. What float32 cannot hold is not compared.
const ByTwin Oracle = "its float64 twin"

var _ = register(oracle{name: ByTwin, rank: 240, judge: (*trial).twin, long: true,
	says: func(_, got, want string) string {
		return " is " + got + " in float32, and by " + string(ByTwin) + " " + want
	}})

func (t *trial) twin() {
	if t.of == tensor.Float32 {
		t.absent("y", ByTwin, false, errors.Wrap(t.without, "not offered: float64"))
		return
	}
	x, single := make([][]float64, len(t.x)), *t // the trial at the numbers of float32
	single.of, single.u, single.dy = tensor.Float32, u32, singly(t.dy)
	changed := !same(single.dy, t.dy)
	most := 1.0
	for i := range x {
		if x[i] = t.x[i]; t.c.Inputs[i].whole() {
			continue
		}
		if x[i] = singly(t.x[i]); nowhere(x[i]) >= 0 {
			return
		}
		changed = changed || !same(x[i], t.x[i])
		most = max(most, greatest(x[i]))
	}
	want := t.base
	if changed {
		var err error
		if want, err = single.once(tensor.Float64, x); err != nil {
			t.note("y", ByTwin, NotJudged, errors.Wrap(err, "float64, at inputs rounded to float32"))
			return
		}
	}
	var o outcome
	d, at, err := single.anew(tensor.Float32, x)
	if err == nil {
		o, err = d.at(at, single.dy, false)
	}
	if err != nil {
		if broken := (flaw{}); errors.As(err, &broken) {
			t.note("y", ByTwin, Fails, errors.Wrap(err, "float32"))
			return
		}
		t.absent("y", ByTwin, false, errors.Wrap(err, "not offered: float32"))
		return
	}
	if slices.ContainsFunc(d.y, func(n *G.Node) bool { return n.Dtype() == tensor.Float64 }) {
		t.absent("y", ByTwin, false, errors.New("not offered: of float32 inputs it makes float64"))
		return
	}
	// float32 rounds each intermediate, and the inputs' size stands for those that are not seen.
	floor := 8 * 64 * u32 * most
	ordinary := most <= 16
	own, owns := single.own()
	bound := raised(single.rounding(want.y), floor+own)
	if !changed {
		bound = single.boundsOfY(bound)
	}
	lost := false
	for i, v := range want.y {
		// What overflows in float32 is compared with nothing; nor, away from ordinary numbers, is
		// what an intermediate's overflow has made infinite.
		if math.Abs(v) > math.MaxFloat32/16 || !finite(o.y[i]) && !ordinary {
			o.y[i] = v
			lost = true
		}
	}
	t.outputs(ByTwin, o.y, want.y, bound, nil)
	if lost && !ordinary {
		return
	}
	t.gradients(ByTwin, o.dx, want.dx, func(i int) []float64 {
		bound := raised(single.rounding(want.dx[i]), floor*max(1, greatest(t.dy))+owns[i])
		n := len(bound)
		for e, v := range want.dx[i] {
			if math.Abs(v) > math.MaxFloat32/16 || !finite(v) {
				o.dx[i][e] = v
			}
			if t.c.Reference == nil || changed || n > 160 || t.c.Sample > 0 && e >= t.c.Sample {
				continue
			}
			if d, f, err := single.evaluateAlong(false, i, unit(n, e)); err == nil && !f.close && finite(f.bounded(d)) {
				bound[e] = f.bounded(d) + owns[i]
			}
		}
		return bound
	}, nil)
}
