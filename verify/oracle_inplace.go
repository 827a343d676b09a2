package verify

import (
	G "gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/convgrad/convgrad/verify/internal/values"
)

// ByInPlace gives y a consumer under TapeMachine that may write its result into y's memory: y + 1.
// If y is an input's memory, because the op returns its input or a view of it, the input changes.
const ByInPlace Oracle = "a consumer that works in place"

var _ = register(oracle{name: ByInPlace, rank: 190, judge: (*trial).inPlace,
	says: func(_, got, want string) string {
		return " is " + want + ", and " + got + " after y + 1, " + string(ByInPlace)
	}})

func (t *trial) inPlace() {
	if t.base.dx != nil && !t.survives() {
		return
	}
	w, err := t.c.world(t.of, t.spent)
	if err != nil || w.y[0].Op() == nil || w.y[0].IsScalar() || w.y[0].Dtype() != t.of {
		return
	}
	err = guarded(func() error {
		leaves := w.leaves(t.x)
		for n, v := range leaves {
			if err := G.Let(n, v); err != nil {
				return err
			}
		}
		one := G.NewConstant(1.0)
		if t.of == tensor.Float32 {
			one = G.NewConstant(float32(1))
		}
		if _, err := G.Add(w.y[0], one); err != nil {
			return err
		}
		m := G.NewTapeMachine(w.g)
		defer m.Close()
		if err := m.RunAll(); err != nil {
			return err
		}
		for i, n := range w.in {
			after, err := values.Floats(leaves[n])
			if err != nil {
				return err
			}
			r := compare(t.c.Inputs[i].Name, ByInPlace, t.c.Inputs[i].Shape, after, t.x[i], nil)
			if r.Mismatch != nil {
				if r.Mismatch.Hint = ""; !t.failed() { // else it may be the op that writes
					r.Mismatch.Hint = "y is the input's own memory"
				}
			}
			t.add(r)
		}
		return nil
	})
	if err != nil {
		t.note("y", ByInPlace, Fails, err)
	}
}
