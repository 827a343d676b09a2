package verify

import (
	"math"

	"github.com/pkg/errors"
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
	single.dy = singly(t.dy)
	changed := !same(single.dy, t.dy)
	most := 1.0
	for i := range x {
		if x[i] = t.x[i]; t.c.Inputs[i].whole() {
			continue
		}
		x[i] = singly(t.x[i])
		changed = changed || !same(x[i], t.x[i])
		for _, v := range x[i] {
			if !finite(v) {
				return
			}
			most = max(most, math.Abs(v))
		}
	}
	want := t.base
	if changed {
		var err error
		if _, _, want, err = single.anew(tensor.Float64, x, nil); err != nil {
			t.note("y", ByTwin, NotJudged, errors.Wrap(err, "float64, at inputs rounded to float32"))
			return
		}
	}
	w, _, o, err := single.anew(tensor.Float32, x, nil)
	if err != nil {
		if broken := (flaw{}); errors.As(err, &broken) {
			t.note("y", ByTwin, Fails, errors.Wrap(err, "float32"))
			return
		}
		t.absent("y", ByTwin, false, errors.Wrap(err, "not offered: float32"))
		return
	}
	for k := range w.y {
		if w.y[k].Dtype() == tensor.Float64 {
			t.absent("y", ByTwin, false, errors.New("not offered: of float32 inputs it makes float64"))
			return
		}
	}
	// float32 rounds each intermediate, and the inputs' size stands for those that are not seen.
	floor := 8 * 64 * u32 * most
	ordinary := most <= 16
	own, owns := t.own(u32)
	bound := t.rounding(want.y, 8*u32, tensor.Float32)
	if b := t.boundsOfY(u32); b != nil && !changed {
		bound = b
	} else {
		for i := range bound {
			bound[i] += floor + own
		}
	}
	got := append([]float64(nil), o.y...)
	lost := false
	for i, v := range want.y {
		// What overflows in float32 is compared with nothing; nor, away from ordinary numbers, is
		// what an intermediate's overflow has made infinite.
		if math.Abs(v) > math.MaxFloat32/16 || !finite(got[i]) && !ordinary {
			got[i] = v
			lost = true
		}
	}
	t.outputs(ByTwin, got, want.y, bound, nil)
	if o.dx == nil || lost && !ordinary {
		return
	}
	dy := 1.0
	for _, v := range t.dy {
		dy = max(dy, math.Abs(v))
	}
	for _, i := range t.fwd.wrt() {
		got := append([]float64(nil), o.dx[i]...)
		bound := t.rounding(want.dx[i], 8*u32, tensor.Float32)
		for e, v := range want.dx[i] {
			bound[e] += floor*dy + owns[i]
			if math.Abs(v) > math.MaxFloat32/16 || !finite(v) {
				got[e] = v
			}
		}
		if t.c.Reference.Rounded != nil && !changed && len(got) <= 160 {
			for e := range got {
				if t.c.Sample > 0 && e >= t.c.Sample {
					break
				}
				v := make([]float64, len(got))
				v[e] = 1
				if _, b, close, err := t.alongDual(u32, i, v); err == nil && !close && finite(b) {
					bound[e] = b + owns[i]
				}
			}
		}
		t.add(compare(t.d(i), ByTwin, t.c.Inputs[i].Shape, got, want.dx[i], bound))
	}
}
