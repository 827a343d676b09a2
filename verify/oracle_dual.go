package verify

import (
	"math"

	"github.com/pkg/errors"
)

// ByDual is the reference in dual numbers, which give derivatives to rounding, with a bound on the
// rounding of each element for itself.
const ByDual Oracle = "dual numbers"

var _ = register(oracle{name: ByDual, rank: 50, independent: true, judge: (*trial).dual})

// rounded evaluates the reference with the derivative along v of input i. close says that rounding
// could turn one of its choices.
func (t *trial) rounded(u float64, i int, v []float64) (y []Rounded, close bool, err error) {
	f := over[Bound]{bounds{u, &close}}
	err = guarded(func() error {
		y = t.c.Reference.Rounded(f, t.shapes(), lift(f, t.x, i, v))
		if len(y) != t.fwd.n {
			return errors.Errorf("the reference returns %d elements, want %d", len(y), t.fwd.n)
		}
		return nil
	})
	return y, close, err
}

// boundsOfY is the running-error bound of each element of y, or nil where the reference has none.
// The factor 4 is for an op that computes the same formula in another way of that length.
func (t *trial) boundsOfY(u float64) []float64 {
	if t.c.Reference.Rounded == nil {
		return nil
	}
	y, _, err := t.rounded(u, -1, nil)
	if err != nil {
		return nil
	}
	own, _ := t.own(u)
	b := make([]float64, len(y))
	for i := range y {
		b[i] = 4*(bounds{u: u}).errorOf(y[i].V) + 64*smallest(u) + own
		if !finite(b[i]) {
			return nil
		}
	}
	return b
}

// smallest is the smallest positive number of the element type of a unit roundoff.
func smallest(u float64) float64 {
	if u == u32 {
		return 0x1p-149
	}
	return 0x1p-1074
}

// alongDual is ⟨dy, y′⟩ along v, and its running-error bound.
func (t *trial) alongDual(u float64, i int, v []float64) (d, bound float64, close bool, err error) {
	y, close, err := t.rounded(u, i, v)
	if err != nil {
		return 0, 0, close, err
	}
	f := bounds{u: u}
	s := f.Number(0)
	for e := range y {
		if t.dy[e] != 0 {
			s = f.Add(s, f.Mul(f.Number(t.dy[e]), y[e].D))
		}
	}
	bound = 4*f.errorOf(s) + 64*smallest(u)
	return s.v, bound, close, nil
}

func (t *trial) dual() {
	if t.c.Reference.Rounded == nil {
		return
	}
	y, _, err := t.rounded(t.u, -1, nil)
	if err != nil {
		t.note("y", ByDual, Fails, errors.Wrap(err, "the reference"))
	} else {
		want := make([]float64, len(y))
		for i := range y {
			want[i] = y[i].V.v
		}
		bound := t.boundsOfY(t.u)
		if bound == nil {
			bound = t.rounding(t.base.y, 8*t.u, t.of)
		}
		t.outputs(ByDual, t.base.y, want, bound, nil)
	}
	if t.base.dx == nil {
		return
	}
	for _, i := range t.fwd.wrt() {
		elements, random := t.elementwise()
		all, unit := t.directions(i, elements, random)
		var j judged
		ties := 0
		for k, v := range all {
			d, bound, close, err := t.alongDual(t.u, i, v)
			if err != nil {
				t.note(t.d(i), ByDual, Fails, errors.Wrap(err, "the reference"))
				return
			}
			if close {
				ties++
				continue
			}
			if !finite(bound) {
				bound = t.rounding(append([]float64{d}, t.base.dx[i]...), 8*t.u, t.of)[0]
			}
			e := -1
			if unit != nil {
				e = unit[k]
			}
			more := t.more(i, v)
			if unit != nil { // nothing is summed
				more = math.Max(0, more-2*t.u*float64(len(v))*math.Abs(t.base.dx[i][e]))
			}
			j.add(dot(t.base.dx[i], v), d, bound+more, e)
		}
		r := j.row(t.d(i), ByDual, t.c.Inputs[i].Shape, unit == nil)
		if r.Kinks = ties; len(j.got) == 0 {
			r.Note = "the reference chooses between numbers that are equal to rounding"
		}
		t.explain(&r, i)
		t.add(r)
	}
}
