package verify

import (
	"math"

	"github.com/pkg/errors"
	"gorgonia.org/tensor"
)

// ByExact is the reference in exact arithmetic: equality, on inputs and cotangents of integers, in
// float64, and in float32 as long as no sum there exceeds 2²⁴.
const ByExact Oracle = "exact arithmetic"

var _ = register(oracle{name: ByExact, rank: 40, independent: true, judge: (*trial).exactly})

// errInexact says that a reference has no exact form on these numbers.
var errInexact = errors.New("inexact")

func (t *trial) exactly() {
	if t.c.Reference == nil || !t.whole {
		return
	}
	y, _, err := t.evaluate(true, -1, nil)
	if err != nil {
		t.note("y", ByExact, Fails, errors.Wrap(err, "the reference"))
	} else {
		want := make([]float64, len(y))
		for i := range y {
			exact := false
			if want[i], exact = y[i].v.q.Float64(); y[i].v.off || !exact {
				return // a quotient such as ⅓ is no float64, and equality with it no demand
			}
		}
		t.outputs(ByExact, t.base.y, want, nil, nil)
		if o := t.singles(); o != nil && t.small32(-1, nil) {
			for k := range t.fwd.y {
				t.add(compare(t.fwd.name(k)+" (float32)", ByExact, t.fwd.shapes[k], t.fwd.part(k, o.y),
					t.fwd.part(k, want), nil))
			}
		}
	}
	if t.base.dx == nil {
		return
	}
	for _, i := range t.fwd.wrt() {
		all, unit := t.directions(i)
		var found []finding
		t.along(t.d(i), ByExact, i, t.base.dx[i], all, unit, func(k int, v []float64, _ float64) (finding, error) {
			f, err := t.alongExact(i, v)
			if k >= 0 && err == nil {
				found = append(found, f)
			}
			return f, err
		})
		o := t.singles()
		if o == nil || len(found) < len(all) {
			continue
		}
		var small [][]float64 // along which float32 is exact
		var at []int
		var want []finding
		for k, v := range all {
			if !t.small32(i, v) {
				continue
			}
			if small, want = append(small, v), append(want, found[k]); unit != nil {
				at = append(at, unit[k])
			}
		}
		if len(small) > 0 {
			t.along(t.d(i)+" (float32)", ByExact, i, o.dx[i], small, at, func(k int, v []float64, _ float64) (finding, error) {
				if k >= 0 {
					return want[k], nil
				}
				return t.alongExact(i, v)
			})
		}
	}
}

// alongExact is ⟨dy, y′⟩ along v of input i.
func (t *trial) alongExact(i int, v []float64) (finding, error) {
	d, f, err := t.evaluateAlong(true, i, v)
	if err != nil {
		return finding{}, err
	}
	want, exact := d.q.Float64()
	if !f.tie && (d.off || !exact) {
		return finding{}, errInexact
	}
	return finding{lo: want, hi: want, chosen: f.tie}, nil
}

// singles is the float32 outcome at inputs that float32 has, or nil if there is none.
func (t *trial) singles() *outcome {
	if t.of == tensor.Float32 {
		return nil
	}
	if t.alone == nil {
		t.alone = &outcome{}
		w, err := t.c.world(tensor.Float32, t.spent)
		if err == nil && w.y[0].Dtype() == tensor.Float64 {
			err = errInexact
		}
		if err == nil {
			*t.alone, err = t.once(tensor.Float32, t.x)
		}
		if err != nil {
			*t.alone = outcome{}
		}
	}
	if t.alone.y == nil {
		return nil
	}
	return t.alone
}

// small32 reports whether all sums of the reference stay below 2²⁴, so that float32 is exact, too.
func (t *trial) small32(i int, v []float64) bool {
	single := *t
	single.u = u32
	y, _, err := single.evaluate(false, i, v)
	if err != nil {
		return false
	}
	size := 0.0
	for e := range y {
		if v == nil {
			size = max(size, y[e].v.a)
		} else {
			size += y[e].d.a * math.Abs(t.dy[e])
		}
	}
	return size < 1<<24
}
