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
func (t *trial) rounded(i int, v []float64) (y []Rounded, close bool, err error) {
	f := over[Bound]{bounds{t.u, &close}}
	err = guarded(func() error {
		y = t.c.Reference.Rounded(f, t.shapes(), lift(f, t.x, i, v))
		if len(y) != t.fwd.n {
			return errors.Errorf("the reference returns %d elements, want %d", len(y), t.fwd.n)
		}
		return nil
	})
	return y, close, err
}

// boundsOfY is the running-error bound of each element of y, or another where the reference has
// none. The factor 4 is for an op that computes the same formula in another way of that length.
func (t *trial) boundsOfY(otherwise []float64) []float64 {
	if t.c.Reference.Rounded == nil {
		return otherwise
	}
	y, _, err := t.rounded(-1, nil)
	own, _ := t.own()
	b := make([]float64, len(y))
	for i := range y {
		b[i] = 4*(bounds{u: t.u}).errorOf(y[i].V) + 64*smallest(t.u) + own
	}
	if err != nil || nowhere(b) >= 0 {
		return otherwise
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
func (t *trial) alongDual(i int, v []float64) (d, bound float64, close bool, err error) {
	y, close, err := t.rounded(i, v)
	if err != nil {
		return 0, 0, close, err
	}
	f := bounds{u: t.u}
	s := f.Number(0)
	for e := range y {
		if t.dy[e] != 0 {
			s = f.Add(s, f.Mul(f.Number(t.dy[e]), y[e].D))
		}
	}
	bound = 4*f.errorOf(s) + 64*smallest(t.u)
	return s.v, bound, close, nil
}

func (t *trial) dual() {
	if t.c.Reference.Rounded == nil {
		return
	}
	y, _, err := t.rounded(-1, nil)
	if err != nil {
		t.note("y", ByDual, Fails, errors.Wrap(err, "the reference"))
	} else {
		want := make([]float64, len(y))
		for i := range y {
			want[i] = y[i].V.v
		}
		t.outputs(ByDual, t.base.y, want, t.boundsOfY(t.rounding(t.base.y)), nil)
	}
	if t.base.dx == nil {
		return
	}
	for _, i := range t.fwd.wrt() {
		all, unit := t.directions(i)
		t.along(t.d(i), ByDual, i, t.base.dx[i], all, unit, func(k int, v []float64, _ float64) (finding, error) {
			d, bound, close, err := t.alongDual(i, v)
			if err != nil {
				return finding{}, flaw{errors.Wrap(err, "the reference")}
			}
			if !finite(bound) {
				bound = t.rounding([]float64{d}, t.base.dx[i]...)[0]
			}
			more := t.more(i, v)
			if unit != nil && k >= 0 { // nothing is summed
				more = math.Max(0, more-2*t.u*float64(len(v))*math.Abs(t.base.dx[i][unit[k]]))
			}
			return finding{lo: d, hi: d, bound: bound + more, chosen: close}, nil
		})
	}
}
