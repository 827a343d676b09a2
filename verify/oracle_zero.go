package verify

// ByZero gives the rule a cotangent of zeros. The gradient is then zero, except where the
// derivative itself is infinite.
const ByZero Oracle = "a zero cotangent"

var _ = register(oracle{name: ByZero, rank: 110, gradient: true, says: another(ByZero),
	judge: func(t *trial) {
		d, err := t.derived()
		var o outcome
		if err == nil {
			o, err = d.at(d.leaves(t.x), make([]float64, len(t.dy)), false)
		}
		if err != nil {
			t.note("gradients", ByZero, Fails, err)
			return
		}
		for _, i := range t.fwd.wrt() {
			for e, v := range t.base.dx[i] {
				if !finite(v) {
					o.dx[i][e] = 0
				}
			}
			r := compare(t.d(i), ByZero, t.c.Inputs[i].Shape, o.dx[i], make([]float64, len(o.dx[i])), nil)
			if r.Mismatch != nil {
				r.Mismatch.Hint = t.wrong[i]
			}
			t.add(r)
		}
	}})
