package verify

import (
	"math"
	"slices"
)

// ByMultiples gives the rule the cotangent times 0, 1024 and 1/1024. A rule is linear in dy, and so
// the gradient is the same multiple, but where the derivative itself is infinite: a rule that clips
// dy, or that holds small ones for nothing, looks right at cotangents of about 1. It gives it ones,
// too, for which many rules have a way of their own, and dy + 1: the gradients must add up.
const ByMultiples Oracle = "multiples of the cotangent"

var _ = register(oracle{name: ByMultiples, rank: 110, gradient: true, judge: (*trial).proportional,
	says: func(_, got, want string) string { return " is " + got + " of a multiple of dy, want " + want }})

// multiples are the cotangents of·dy + plus, and what is said of the rule where it fails at one.
var multiples = [...]struct {
	of, plus float64
	says     string
}{
	ones: {0, 1, ""}, // the measure of those that have a plus
	1:    {0, 0, "the cotangent is zero"},
	2:    {1024, 0, "the cotangent is 1024 times as large"},
	3:    {1. / 1024, 0, "the cotangent is 1024 times as small"},
	4:    {1, 1, "the gradients of dy and of ones do not add up to that of dy + 1"},
}

const ones = 0

func (t *trial) proportional() {
	for m, by := range multiples {
		if m == ones || t.multiples[m] == nil {
			continue
		}
		for _, i := range t.fwd.wrt() {
			got, want, bound := t.multiple(m, i)
			r := compare(t.d(i), ByMultiples, t.c.Inputs[i].Shape, got, want, bound)
			if r.Mismatch != nil {
				if r.Mismatch.Hint = by.says; t.wrong[i] != "" {
					r.Mismatch.Hint = t.wrong[i]
				}
			}
			t.add(r)
		}
	}
}

// multiple is what the rule makes of a multiple of dy, what it should be, and the bound. Where a
// gradient is infinite nothing is compared.
func (t *trial) multiple(m, i int) (got, want, bound []float64) {
	by, dx, of1 := multiples[m], t.base.dx[i], t.multiples[ones][i]
	got = append(got, t.multiples[m][i]...)
	bound = t.rounding(dx, scale(by.plus, of1)...)
	floor := by.of * t.floor() * (1 + by.plus)
	if by.plus != 0 {
		floor += t.cancelled(m)
	}
	for e, v := range dx {
		w := by.of * v
		if by.plus != 0 {
			w += by.plus * of1[e]
		}
		if bound[e] *= by.of; by.of > 0 {
			bound[e] += floor + tiny(t.of)
		}
		if overflows := math.IsInf(got[e], 0) && by.of > 1; overflows || !finite(v) || !finite(w) {
			got[e], w = 0, 0
		}
		want = append(want, w)
	}
	return got, want, bound
}

// cancelled is how far a sum's gradient may be off where large terms cancel, as in the gradient of
// a bias in front of a batch norm. Factors that are powers of 2 round such terms alike; a sum does
// not. The terms are taken to be as large as any number that the rule takes or gives.
func (t *trial) cancelled(m int) float64 {
	most := greatest(slices.Concat([][]float64{t.dy}, t.base.dx, t.multiples[ones], t.multiples[m])...)
	return t.rounding([]float64{most})[0]
}

// responds looks at what the rule makes of the same cotangent again, and of multiples of it.
func (t *trial) responds(d *derivation) error {
	for range 3 {
		again, err := d.at(d.leaves(t.x), t.dy, false)
		if err != nil {
			return err
		}
		if !slices.EqualFunc(again.dx, t.base.dx, same) {
			t.unsteady = &again
			return nil // of what differs from run to run nothing can be said
		}
	}
	for m, by := range multiples {
		dy := scale(by.of, t.dy)
		for o := range t.fwd.y {
			if t.fwd.real(o) {
				raised(t.fwd.part(o, dy), by.plus)
			}
		}
		o, err := d.at(d.leaves(t.x), dy, false)
		if err != nil {
			return err
		}
		t.multiples[m] = o.dx
	}
	for _, i := range t.fwd.wrt() {
		if nowhere(t.base.dx[i]) >= 0 {
			continue
		}
		for m := range multiples {
			if got, want, bound := t.multiple(m, i); m != ones && differ(got, want, bound) {
				t.wrong[i] = "the rule is not linear in dy"
			}
		}
		zeros := make([]float64, len(t.x[i]))
		if same(t.multiples[1][i], t.base.dx[i]) && same(t.multiples[2][i], t.base.dx[i]) && !same(t.base.dx[i], zeros) {
			t.wrong[i] = ignoresCotangent
		}
	}
	return nil
}

const ignoresCotangent = "the rule leaves dy out"

// scale is by·v.
func scale(by float64, v []float64) []float64 {
	s := make([]float64, len(v))
	for i, x := range v {
		s[i] = by * x
	}
	return s
}
