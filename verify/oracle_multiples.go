package verify

import "math"

// ByMultiples gives the rule the cotangent times 0, 1024 and 1/1024. A rule is linear in dy, and so
// the gradient is the same multiple, but where the derivative itself is infinite: a rule that clips
// dy, or that holds small ones for nothing, looks right at cotangents of about 1.
const ByMultiples Oracle = "multiples of the cotangent"

var _ = register(oracle{name: ByMultiples, rank: 110, gradient: true, judge: (*trial).proportional,
	says: func(_, got, want string) string { return " is " + got + " of a multiple of dy, want " + want }})

// multiples are the factors, and what is said of the rule where it fails at one.
var multiples = [...]struct {
	of   float64
	says string
}{{0, "the cotangent is zero"}, {1024, "the cotangent is 1024 times as large"},
	{1. / 1024, "the cotangent is 1024 times as small"}}

func (t *trial) proportional() {
	for m, by := range multiples {
		if t.multiples[m] == nil {
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

// multiple is what the rule makes of a multiple of dy, what it should be, and the bound. Where
// either is infinite nothing is compared.
func (t *trial) multiple(m, i int) (got, want, bound []float64) {
	by := multiples[m].of
	got, want = append(got, t.multiples[m][i]...), scale(by, t.base.dx[i])
	bound = scale(by, t.rounding(t.base.dx[i], 8*t.u, t.of))
	for e := range got {
		if by > 0 {
			bound[e] += by*t.floor() + tiny(t.of)
		}
		if overflows := math.IsInf(got[e], 0) && by > 1; overflows || !finite(t.base.dx[i][e]) {
			got[e], want[e] = 0, 0
		}
	}
	return got, want, bound
}

// responds looks at what the rule makes of the same cotangent again, and of multiples of it.
func (t *trial) responds(d *derivation) error {
	for range 3 {
		again, err := d.at(d.leaves(t.x), t.dy, false)
		if err != nil {
			return err
		}
		for i, dx := range t.base.dx {
			if !same(again.dx[i], dx) {
				t.unsteady = &again
				return nil // of what differs from run to run nothing can be said
			}
		}
	}
	for m, by := range multiples {
		o, err := d.at(d.leaves(t.x), scale(by.of, t.dy), false)
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
			if got, want, bound := t.multiple(m, i); differ(got, want, bound) {
				t.wrong[i] = "the rule is not linear in dy"
			}
		}
		zeros := make([]float64, len(t.x[i]))
		if same(t.multiples[0][i], t.base.dx[i]) && same(t.multiples[1][i], t.base.dx[i]) && !same(t.base.dx[i], zeros) {
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
