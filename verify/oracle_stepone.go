package verify

import (
	"math"

	"github.com/pkg/errors"
)

// ByStepOne is the difference of an op that is affine in an input, with step 1: there is no
// truncation error. ByAdjoint is ⟨dy, Jv⟩ = ⟨Jᵀdy, v⟩ along real directions, with Jv = f(x+v) −
// f(x).
const (
	ByStepOne Oracle = "differences with step 1"
	ByAdjoint Oracle = "the adjoint identity"
)

var _ = register(oracle{name: ByStepOne, rank: 60, gradient: true, independent: true, long: true,
	judge: func(t *trial) {
		for _, i := range t.fwd.wrt() {
			if t.c.Inputs[i].Linear {
				all, unit := t.directions(i)
				t.along(t.d(i), ByStepOne, i, t.base.dx[i], all, unit, t.step(i))
			}
		}
	}})

var _ = register(oracle{name: ByAdjoint, rank: 70, gradient: true, independent: true, long: true,
	judge: func(t *trial) {
		for _, i := range t.fwd.wrt() {
			if !t.c.Inputs[i].Linear {
				continue
			}
			_, random := t.elementwise()
			if t.c.Sample > 0 {
				random = 1
			}
			var all [][]float64
			for range random {
				v := make([]float64, len(t.x[i]))
				for e := range v {
					v[e] = t.r.NormFloat64()
				}
				all = append(all, v)
			}
			t.along(t.d(i), ByAdjoint, i, t.base.dx[i], all, nil, t.step(i))
		}
	}})

// step is the derivative by a difference of step 1. Terms may cancel inside the op, where they are
// not seen: n terms of random sign by √n, which the bound allows for. The step back must give the
// same, or the op is not affine.
func (t *trial) step(i int) derivative {
	n := float64(t.n + 16)
	rounding := 2 * t.u * n * math.Sqrt(n)
	own, _ := t.own()
	sum := 0.0
	for _, w := range t.dy {
		sum += math.Abs(w)
	}
	return func(_ int, v []float64, _ float64) (finding, error) {
		p := &probe{t: t, f: t.fwd.forward, here: t.base.y, v: t.moving(i, v)}
		after, before := p.at(t.x, 1), p.at(t.x, -1)
		if after == nil || before == nil {
			return finding{}, errors.New("the op does not run a step of 1 away")
		}
		d, back, size := 0.0, 0.0, 0.0
		for o, w := range t.dy {
			if w == 0 {
				continue
			}
			d, back = d+w*(after[o]-t.base.y[o]), back+w*(t.base.y[o]-before[o])
			size += math.Abs(w) * (math.Abs(after[o]) + math.Abs(before[o]) + 2*math.Abs(t.base.y[o]))
		}
		bound := rounding*size + 4*own*sum
		if !(math.Abs(d-back) <= 2*bound) {
			return finding{}, flaw{errors.Errorf("y is not affine in %s, as AsLinear says: a step of 1 "+
				"changes ⟨dy, y⟩ by %.6g, and the step before it by %.6g", t.c.Inputs[i].Name, d, back)}
		}
		return finding{lo: d, hi: d, bound: bound + t.more(i, v)}, nil
	}
}
