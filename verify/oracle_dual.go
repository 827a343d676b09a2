package verify

import (
	"math"

	"github.com/pkg/errors"
)

// ByDual is the reference in dual numbers, which give derivatives to rounding, with a bound on the
// rounding of each element for itself.
const ByDual Oracle = "dual numbers"

var _ = register(oracle{name: ByDual, rank: 50, independent: true, judge: (*trial).dual})

// evaluate computes the reference with the derivative along v of input i.
func (t *trial) evaluate(rational bool, i int, v []float64) (y []Number, f *Field, err error) {
	f = &Field{u: t.u, rational: rational}
	err = guarded(func() error {
		in := make([][]Number, len(t.x))
		for n, x := range t.x {
			in[n] = make([]Number, len(x))
			for e := range x {
				if in[n][e] = f.Number(x[e]); n == i {
					in[n][e].d = f.number(v[e])
				}
			}
		}
		y = t.c.Reference(f, t.shapes(), in)
		if len(y) != t.fwd.n {
			return errors.Errorf("the reference returns %d elements, want %d", len(y), t.fwd.n)
		}
		return nil
	})
	return y, f, err
}

// evaluateAlong is ⟨dy, y′⟩ along v of input i.
func (t *trial) evaluateAlong(rational bool, i int, v []float64) (s scalar, f *Field, err error) {
	y, f, err := t.evaluate(rational, i, v)
	if err != nil {
		return s, f, flaw{errors.Wrap(err, "the reference")}
	}
	s = f.number(0)
	for e := range y {
		if t.dy[e] != 0 {
			s = f.add(s, f.mul(f.number(t.dy[e]), y[e].d))
		}
	}
	return s, f, nil
}

// bounded is the error bound of an op that computes the same formula in another way of that length.
func (f *Field) bounded(x scalar) float64 { return 4*f.errorOf(x) + 64*smallest(f.u) }

// boundsOfY is the running-error bound of each element of y, or another where the reference has
// none.
func (t *trial) boundsOfY(otherwise []float64) []float64 {
	if t.c.Reference == nil {
		return otherwise
	}
	y, f, err := t.evaluate(false, -1, nil)
	own, _ := t.own()
	b := make([]float64, len(y))
	for i := range y {
		b[i] = f.bounded(y[i].v) + own
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

func (t *trial) dual() {
	if t.c.Reference == nil {
		return
	}
	y, _, err := t.evaluate(false, -1, nil)
	if err != nil {
		t.note("y", ByDual, Fails, errors.Wrap(err, "the reference"))
	} else {
		want := make([]float64, len(y))
		for i := range y {
			want[i] = y[i].v.v
		}
		t.outputs(ByDual, t.base.y, want, t.boundsOfY(t.rounding(t.base.y)), nil)
	}
	if t.base.dx == nil {
		return
	}
	for _, i := range t.fwd.wrt() {
		all, unit := t.directions(i)
		t.along(t.d(i), ByDual, i, t.base.dx[i], all, unit, func(k int, v []float64, _ float64) (finding, error) {
			d, f, err := t.evaluateAlong(false, i, v)
			if err != nil {
				return finding{}, err
			}
			bound := f.bounded(d)
			if !finite(bound) {
				bound = t.rounding([]float64{d.v}, t.base.dx[i]...)[0]
			}
			more := t.more(i, v)
			if unit != nil && k >= 0 { // nothing is summed
				more = math.Max(0, more-2*t.u*float64(len(v))*math.Abs(t.base.dx[i][unit[k]]))
			}
			return finding{lo: d.v, hi: d.v, bound: bound + more, chosen: f.close}, nil
		})
	}
}
