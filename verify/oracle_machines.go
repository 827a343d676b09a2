package verify

import "github.com/pkg/errors"

// The machines: Gorgonia's two, each also with a second consumer of every input, so that gradients
// add up, and the case's own.
const (
	ByTape         Oracle = "Grad under TapeMachine"
	ByAccumulation Oracle = "a second consumer, TapeMachine"
	ByLisp         Oracle = "LispMachine"
	ByLispAccumul  Oracle = "a second consumer, LispMachine"
	ByMachine      Oracle = "a further machine"
)

var (
	_ = register(oracle{name: ByTape, rank: 140, gradient: true, says: another(ByTape),
		judge: func(t *trial) { t.under(ByTape, tapeMachine, false) }})
	_ = register(oracle{name: ByAccumulation, rank: 150, gradient: true, once: true, says: another(ByAccumulation),
		judge: func(t *trial) { t.under(ByAccumulation, tapeMachine, true) }})
	_ = register(oracle{name: ByLisp, rank: 160, gradient: true, once: true, says: another(ByLisp),
		judge: func(t *trial) { t.lisp(ByLisp, false) }})
	_ = register(oracle{name: ByLispAccumul, rank: 170, gradient: true, says: another(ByLispAccumul),
		judge: func(t *trial) { t.lisp(ByLispAccumul, true) }})
	_ = register(oracle{name: ByMachine, rank: 175, gradient: true, judge: (*trial).further,
		says: func(_, got, want string) string { return " is " + got + " on a further machine, want " + want }})
)

func (t *trial) lisp(by Oracle, consumers bool) {
	from := len(t.rows)
	t.under(by, lispMachine, consumers)
	t.excused(by, from)
}

func (t *trial) under(by Oracle, m Machine, consumers bool) {
	if !t.survives() {
		t.note("gradients", by, NotJudged, errors.New("run by hand, the ops did not go well"))
		return
	}
	if m.Name == lispMachine.Name {
		if _, err := t.byHand(); err != nil {
			t.note("gradients", by, Skipped, errors.New("DoDiff, run by hand, did not go well"))
			return
		}
	}
	var second, sum [][]float64
	if consumers {
		second, sum = t.seconds()
	}
	o, err := t.onMachine(m, 1, second)
	switch {
	case err != nil || !consumers:
		t.against(by, o, err)
	case t.c.SameBits:
		// The sum is rounded, and the gradient before it, unless an op adds what it has not
		// rounded.
		t.gradients(by, o.dx, sum, func(i int) []float64 {
			bound := make([]float64, len(sum[i]))
			for e := range bound {
				bound[e] = 1.001 * t.u * (abs(t.base.dx[i][e]) + abs(sum[i][e]))
			}
			return bound
		}, nil)
	default: // the second consumers may be larger than the gradient
		t.gradients(by, o.dx, sum, func(i int) []float64 {
			return t.rounding(sum[i], append([]float64{1}, t.base.dx[i]...)...)
		}, nil)
	}
}

func abs(x float64) float64 { return max(x, -x) }

func (t *trial) further() {
	for _, m := range t.c.Machines {
		if !t.survives() {
			t.note("gradients", ByMachine, NotJudged, errors.New("run by hand, the ops did not go well"))
			return
		}
		o, err := t.onMachine(m, 2, nil)
		if err != nil {
			t.note("gradients", ByMachine, Fails, errors.Wrap(err, m.Name))
			continue
		}
		t.alike(ByMachine, o, nil)
	}
}
