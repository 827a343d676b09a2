package verify

import (
	"math"

	"gorgonia.org/tensor"

	"github.com/convgrad/convgrad/verify/internal/values"
)

// ByJacobian compares whole Jacobians, where inputs and result are small: the rule at the unit
// cotangents against differences of each element of y. A rule is linear in dy, so the gradient must
// be the sum of those rows by dy. A random cotangent can weigh two elements of y alike; these
// cannot.
const ByJacobian Oracle = "the full Jacobian"

const whole = 1024 // Jacobians of up to so many elements are compared

var _ = register(oracle{name: ByJacobian, rank: 90, gradient: true, independent: true,
	judge: func(t *trial) {
		if t.c.Sample > 0 {
			return
		}
		most := whole
		if t.at != "" {
			most = 100
		}
		for _, i := range t.fwd.wrt() {
			if len(t.x[i])*t.fwd.n <= most {
				t.jacobian(i)
			}
		}
	},
	says: func(quantity, got, want string) string {
		if []rune(quantity)[0] == '∂' {
			return " is " + got + " by the rule, and by differences " + want
		}
		return " is " + got + ", and by the same rule at unit cotangents " + want
	}})

func (t *trial) jacobian(i int) {
	d, err := t.derived()
	if err != nil {
		t.note(t.d(i), ByJacobian, Fails, err)
		return
	}
	n, ny := len(t.x[i]), t.fwd.n
	probes := t.probes[i]
	if probes == nil {
		probes = map[int]*probe{}
		for e := range n {
			probes[e] = t.forward(t.moving(i, unit(n, e)))
		}
	}
	sum, size := make([]float64, n), 0.0
	rows := make([]judged, len(t.fwd.y))
	at := 0
	for o := range t.fwd.y {
		for range tensor.Shape(t.fwd.shapes[o]).TotalSize() {
			dy := unit(ny, at)
			at++
			if !t.fwd.real(o) {
				continue
			}
			out, err := d.at(d.leaves(t.x), dy, false)
			if err != nil {
				t.note(t.d(i), ByJacobian, Fails, err)
				return
			}
			for e := range n {
				got := out.dx[i][e]
				_, own := t.own()
				f, err := probes[e].judge(got, dy, own[i]+t.c.Tolerance[t.of]*math.Abs(got))
				if err != nil {
					t.note(t.d(i), ByJacobian, NotJudged, err)
					return
				}
				if !finite(t.base.dx[i][e]) && (probes[e].broken() || probes[e].jumps(t.dy)) {
					f.rough = true // 0·∞, of another element of y
				}
				rows[o].found(got, f, (at-1)*n+e)
				sum[e] += t.dy[at-1] * got
				if finite(got) {
					size = max(size, math.Abs(t.dy[at-1]*got))
				}
			}
		}
	}
	first := 0
	for o := range t.fwd.y {
		share := tensor.Shape(t.fwd.shapes[o]).TotalSize()
		if !t.fwd.real(o) {
			first += share
			continue
		}
		for k := range rows[o].at {
			rows[o].at[k] -= first * n
		}
		first += share
		r := rows[o].row("∂"+t.fwd.name(o)+"/∂"+t.c.Inputs[i].Name, ByJacobian, []int{share, n}, false)
		if m := r.Mismatch; m != nil {
			m.Of = values.Index(m.Index[0], t.fwd.shapes[o])
			m.Index, m.Hint = values.Index(m.Index[1], t.c.Inputs[i].Shape), t.wrong[i]
		}
		t.add(r)
	}
	bound := filled(n, 8*t.u*float64(t.n+ny+64)*size*float64(ny)+t.c.Tolerance[t.of]*size+tiny(t.of)+t.floor())
	for e, v := range t.base.dx[i] {
		if !finite(v) || !finite(sum[e]) && probes[e].broken() {
			sum[e] = v
		}
	}
	r := compare(t.d(i), ByJacobian, t.c.Inputs[i].Shape, t.base.dx[i], sum, bound)
	if r.Mismatch != nil {
		r.Mismatch.Hint = t.wrong[i]
	}
	r.same = true
	t.add(r)
}
