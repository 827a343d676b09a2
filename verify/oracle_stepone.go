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
				elements, random := t.elementwise()
				all, unit := t.directions(i, elements, random)
				t.step(ByStepOne, i, all, unit)
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
			t.step(ByAdjoint, i, all, nil)
		}
	}})

// step compares the gradient of an input with differences of step 1. Terms may cancel inside the
// op, where they are not seen: n terms of random sign by √n, which the bound allows for. The step
// back must give the same, or the op is not affine.
func (t *trial) step(by Oracle, i int, all [][]float64, unit []int) {
	var j judged
	n := float64(t.n + 16)
	rounding := 2 * t.u * n * math.Sqrt(n)
	own, _ := t.own(t.u)
	sum := 0.0
	for _, w := range t.dy {
		sum += math.Abs(w)
	}
	for k, v := range all {
		direction := make([][]float64, len(t.x))
		direction[i] = v
		p := &probe{t: t, f: t.fwd.forward, here: t.base.y, v: direction}
		after, before := p.at(t.x, 1), p.at(t.x, -1)
		if after == nil || before == nil {
			t.note(t.d(i), by, NotJudged, errors.New("the op does not run a step of 1 away"))
			return
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
			t.note(t.d(i), by, Fails, errors.Errorf("y is not affine in %s, as AsLinear says: a step of 1 "+
				"changes ⟨dy, y⟩ by %.6g, and the step before it by %.6g", t.c.Inputs[i].Name, d, back))
			return
		}
		e := -1
		if unit != nil {
			e = unit[k]
		}
		j.add(dot(t.base.dx[i], v), d, bound+t.more(i, v), e)
	}
	r := j.row(t.d(i), by, t.c.Inputs[i].Shape, unit == nil)
	if by == ByStepOne && r.Verdict == Fails && unit == nil {
		if e, f, err := t.find(i, all, func(v []float64) (float64, float64, bool) {
			direction := make([][]float64, len(t.x))
			direction[i] = v
			after := (&probe{t: t, f: t.fwd.forward, here: t.base.y, v: direction}).at(t.x, 1)
			if after == nil {
				return 0, 0, false
			}
			d, size := 0.0, 0.0
			for o, w := range t.dy {
				if w != 0 {
					d += w * (after[o] - t.base.y[o])
					size += math.Abs(w) * (math.Abs(after[o]) + math.Abs(t.base.y[o]))
				}
			}
			return d, rounding*size + 2*own*sum + t.more(i, v), true
		}); err == nil && e >= 0 {
			r.Mismatch = f
		}
	}
	t.explain(&r, i)
	t.add(r)
}

// more is what the sum ⟨dx, v⟩ may be off beside the oracle's own error.
func (t *trial) more(i int, v []float64) float64 {
	terms, length := 0.0, 0.0
	for e, m := range v {
		if m != 0 && finite(t.base.dx[i][e]) {
			terms += math.Abs(m * t.base.dx[i][e])
			length += math.Abs(m)
		}
	}
	most := 0.0
	for _, x := range t.base.dx[i] {
		if finite(x) {
			most = max(most, math.Abs(x))
		}
	}
	_, own := t.own(t.u)
	return 2*t.u*float64(len(v))*terms + (own[i]+t.c.Tolerance[t.of]*most)*length
}

// find names an element of a large input along which the gradient is wrong: it halves a direction
// that fails until one element is left. derivative is what the oracle says along a direction.
func (t *trial) find(i int, all [][]float64, derivative func(v []float64) (d, bound float64, ok bool)) (int, *Mismatch, error) {
	fails := func(v []float64) (*Mismatch, bool) {
		d, bound, ok := derivative(v)
		got := dot(t.base.dx[i], v)
		e := math.Abs(got - d)
		return &Mismatch{Got: Float(got), Want: Float(d), Error: Float(e), Bound: Float(bound)}, ok && !(e <= bound)
	}
	for _, v := range all {
		if _, bad := fails(v); !bad {
			continue
		}
		lo, hi := 0, len(v)
		for hi-lo > 1 {
			if t.spent.over() {
				return -1, nil, errOver
			}
			mid := (lo + hi) / 2
			half := make([]float64, len(v))
			copy(half[lo:mid], v[lo:mid])
			if _, bad := fails(half); bad {
				hi = mid
				continue
			}
			clear(half)
			copy(half[mid:hi], v[mid:hi])
			if _, bad := fails(half); !bad {
				return -1, nil, nil // the halves are within their bounds
			}
			lo = mid
		}
		unit := make([]float64, len(v))
		unit[lo] = 1
		if m, bad := fails(unit); bad {
			m.Index = multiIndex(lo, t.c.Inputs[i].Shape)
			return lo, m, nil
		}
	}
	return -1, nil, nil
}
