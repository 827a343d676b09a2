package verify

import (
	G "gorgonia.org/gorgonia"

	"github.com/convgrad/convgrad/verify/internal/values"
)

// ByUnmodified wants inputs and cotangents as they were.
const ByUnmodified Oracle = "inputs unmodified"

var _ = register(oracle{name: ByUnmodified, rank: 20, judge: (*trial).unmodified,
	says: func(_, got, want string) string {
		return " is " + want + " before the run, and after it " + got
	}})

func (t *trial) unmodified() {
	d, at, err := t.anew(t.of, t.x)
	if err == nil {
		_, err = d.at(at, t.dy, false)
	}
	if err != nil {
		t.note("y", ByUnmodified, Fails, err)
		return
	}
	is := func(name string, n *G.Node, shape []int, before []float64) {
		after, err := values.Floats(at[n])
		if err != nil {
			t.note(name, ByUnmodified, Fails, err)
			return
		}
		r := compare(name, ByUnmodified, shape, after, before, nil)
		if r.Mismatch != nil {
			r.Mismatch.Hint = ""
		}
		t.add(r)
	}
	for i, n := range d.in {
		is(t.c.Inputs[i].Name, n, t.c.Inputs[i].Shape, t.x[i])
	}
	for o, n := range d.dy {
		if n != nil {
			is("d"+d.name(o), n, d.shapes[o], d.part(o, t.dy))
		}
	}
}
