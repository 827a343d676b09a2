package verify

import (
	"fmt"
	"math"
	"strconv"

	"github.com/pkg/errors"
	"gorgonia.org/tensor"

	"github.com/convgrad/convgrad/verify/internal/values"
)

// A derivative is what an oracle says of ⟨dy, y⟩ along a direction v of an input, the kth of
// those that are looked at. got is what the rule says. An error that is a flaw fails; errInexact
// says that the oracle does not apply.
type derivative func(k int, v []float64, got float64) (finding, error)

// along compares a gradient of input i with an oracle along directions, which are unit vectors of
// the elements unit or, if that is nil, others. It adds the row. Where another direction fails, it
// is halved until an element is named.
func (t *trial) along(quantity string, by Oracle, i int, dx []float64, all [][]float64, unit []int, of derivative) {
	var j judged
	for k, v := range all {
		got := dot(dx, v)
		f, err := of(k, v, got)
		if err == errInexact {
			return
		}
		if err != nil {
			verdict := NotJudged
			if broken := (flaw{}); errors.As(err, &broken) {
				verdict = Fails
			}
			t.note(quantity, by, verdict, err)
			return
		}
		e := -1
		if unit != nil {
			e = unit[k]
		}
		j.found(got, f, e)
	}
	r := j.row(quantity, by, t.c.Inputs[i].Shape, unit == nil)
	if r.Verdict == Fails && unit == nil && by != BySecond { // which is dear
		if m := t.find(i, dx, all, of); m != nil {
			r.Mismatch = m
		}
	}
	t.explain(&r, i)
	t.add(r)
}

// find names an element of a large input along which the gradient is wrong: it halves a direction
// that fails until one element is left.
func (t *trial) find(i int, dx []float64, all [][]float64, of derivative) *Mismatch {
	fails := func(v []float64) (*Mismatch, bool) {
		got := dot(dx, v)
		f, err := of(-1, v, got)
		d := min(max(got, f.lo), f.hi)
		e := math.Abs(got - d)
		return &Mismatch{Got: Float(got), Want: Float(d), Error: Float(e), Bound: Float(f.bound)},
			err == nil && !f.rough && !f.open && !f.chosen && !(e <= f.bound)
	}
	for _, v := range all {
		if _, bad := fails(v); !bad {
			continue
		}
		lo, hi := 0, len(v)
		for hi-lo > 1 {
			if t.spent.over() {
				return nil
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
				return nil // the halves are within their bounds
			}
			lo = mid
		}
		if m, bad := fails(unit(len(v), lo)); bad {
			m.Index = values.Index(lo, t.c.Inputs[i].Shape)
			return m
		}
	}
	return nil
}

// moving is the direction of all inputs that has v for input i.
func (t *trial) moving(i int, v []float64) [][]float64 {
	all := make([][]float64, len(t.x))
	all[i] = v
	return all
}

// own is what the case's algorithm may be off by itself: of y, and of the gradient of input i.
func (t *trial) own() (y float64, dx []float64) {
	dx = make([]float64, len(t.x))
	if t.c.Rounding == nil {
		return 0, dx
	}
	y, more := t.c.Rounding(t.x, t.dy, t.u)
	copy(dx, more)
	return y, dx
}

// directions are the directions along which the gradient of an input is judged: the unit vectors of
// its elements, or some of them, or random signs.
func (t *trial) directions(i int) (all [][]float64, which []int) {
	n := len(t.x[i])
	elements, random := t.elementwise()
	if s := t.c.Sample; s > 0 && s < n {
		which = t.r.Perm(n)[:s]
	} else if n <= elements {
		which = sequence(n)
	}
	for _, e := range which {
		all = append(all, unit(n, e))
	}
	if which != nil {
		return all, which
	}
	for range random {
		all = append(all, t.signs(n))
	}
	return all, nil
}

func sequence(n int) []int {
	all := make([]int, n)
	for i := range all {
		all[i] = i
	}
	return all
}

func (t *trial) signs(n int) []float64 {
	v := make([]float64, n)
	for i := range v {
		v[i] = float64(2*t.r.IntN(2) - 1)
	}
	return v
}

// elementwise is up to how many elements an input is differentiated by each of them, and random
// along how many directions otherwise.
func (t *trial) elementwise() (elements, random int) {
	switch {
	case t.brief:
		return 4, 2
	case t.at != "":
		return 40, 4
	}
	return 160, 8
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
	_, own := t.own()
	return 2*t.u*float64(len(v))*terms + (own[i]+t.c.Tolerance[t.of]*greatest(t.base.dx[i]))*length
}

func dot(a, b []float64) float64 {
	s := 0.0
	for i, x := range a {
		if b[i] != 0 {
			s += x * b[i]
		}
	}
	return s
}

// judged is a row of numbers that an oracle found one by one.
type judged struct {
	got, want, bound []float64
	at               []int // elements of the quantity, nil for directions
	kinks            int
	chosen           bool            // a reference chooses between equal numbers
	lo, hi           map[int]float64 // what is admitted at kinks, by place in got
}

func (j *judged) add(got, want, bound float64, e int) {
	j.got, j.want, j.bound = append(j.got, got), append(j.want, want), append(j.bound, bound)
	j.at = append(j.at, e)
}

// found adds what a probe found: the nearest number that it admits is the one that is wanted.
func (j *judged) found(got float64, f finding, e int) {
	if f.chosen {
		j.kinks++
		j.chosen = true
		return
	}
	if f.kinked {
		j.kinks++
	}
	if f.rough || f.open {
		j.kinks++
		return
	}
	want := min(max(got, f.lo), f.hi)
	if math.IsNaN(got) {
		want = (f.lo + f.hi) / 2
	}
	if f.kinked {
		if j.lo == nil {
			j.lo, j.hi = map[int]float64{}, map[int]float64{}
		}
		j.lo[len(j.got)], j.hi[len(j.got)] = f.lo, f.hi
	}
	j.add(got, want, f.bound, e)
}

// row makes the row. n is the number of elements of the quantity, of the shape.
func (j *judged) row(quantity string, by Oracle, shape []int, directions bool) Row {
	var r Row
	if n := tensor.Shape(shape).TotalSize(); !directions && len(j.got) > 0 {
		got, want, bound := make([]float64, n), make([]float64, n), make([]float64, n)
		for k, e := range j.at {
			got[e], want[e], bound[e] = j.got[k], j.want[k], j.bound[k]
		}
		r = compare(quantity, by, shape, got, want, bound)
		if r.Compared = len(j.got); r.Compared < n && r.Mismatch != nil && r.Compared < len(got) {
			r.Mismatch.Hint = "" // a pattern of a part is none of the whole
		}
	} else {
		r = compare(quantity, by, nil, j.got, j.want, j.bound)
		if r.Mismatch != nil {
			r.Mismatch.Hint = ""
		}
	}
	if m := r.Mismatch; m != nil {
		for k, lo := range j.lo {
			if j.got[k] == float64(m.Got) && j.want[k] == float64(m.Want) {
				m.Hint = "a kink, where anything from " + between(lo, j.hi[k], " to ") + " would do"
			}
		}
	}
	r.Kinks = j.kinks
	if len(j.got) == 0 {
		r.Verdict, r.Note = NotJudged, "nowhere differentiable, as far as differences can see"
		if j.chosen {
			r.Note = "the reference chooses between numbers that are equal, but for rounding"
		}
	}
	return r
}

// between prints two numbers with as many digits as it takes to tell them apart.
func between(a, b float64, and string) string {
	for _, digits := range []int{6, 10} {
		x, y := strconv.FormatFloat(a, 'g', digits, 64), strconv.FormatFloat(b, 'g', digits, 64)
		if x != y {
			return x + and + y
		}
	}
	return fmt.Sprintf("%.17g%s%.17g", a, and, b)
}

// explain replaces the hint by what is known of the rule.
func (t *trial) explain(r *Row, i int) {
	if m := r.Mismatch; m != nil && i < len(t.wrong) && t.wrong[i] != "" && r.Kinks == 0 &&
		(m.Hint == "" || t.wrong[i] == ignoresCotangent) {
		m.Hint = t.wrong[i]
	}
}
