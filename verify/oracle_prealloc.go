package verify

import "github.com/pkg/errors"

// ByPrealloc computes everything by UsePreallocDo into memory that is full of NaN: at the trial's
// cotangent, at zeros, and at a cotangent half of zeros, where a rule may leave memory as it was.
const ByPrealloc Oracle = "UsePreallocDo into dirty memory"

var _ = register(oracle{name: ByPrealloc, rank: 130, says: another(ByPrealloc), judge: (*trial).dirty})

func (t *trial) dirty() {
	if t.base.dx == nil {
		w, err := t.c.world(t.of, t.spent)
		if err != nil {
			t.note("y", ByPrealloc, Fails, err)
			return
		}
		at := w.leaves(t.x)
		var y []float64
		if err = w.evaluate(w.steps, at, true); err == nil {
			y, err = w.read(at)
		}
		switch {
		case w.preallocs == 0 && err == nil:
			t.note("y", ByPrealloc, Skipped, errors.New("no op offers UsePreallocDo"))
		case err != nil:
			t.note("y", ByPrealloc, Fails, err)
		default:
			t.outputs(ByPrealloc, y, t.base.y, nil, nil)
		}
		return
	}
	half := append([]float64(nil), t.dy...)
	for e := range half {
		if e%2 == 0 {
			half[e] = 0
		}
	}
	d, err := t.derived()
	for _, c := range []struct {
		dy []float64
		of string
	}{{t.dy, ""}, {make([]float64, len(t.dy)), "the cotangent is zero"}, {half, "half of the cotangent is zero"}} {
		var clean, o outcome
		if err == nil {
			if clean, err = d.at(d.leaves(t.x), c.dy, false); err == nil {
				d.preallocs = 0
				o, err = d.at(d.leaves(t.x), c.dy, true)
			}
		}
		if err != nil {
			t.note("y", ByPrealloc, Fails, err)
			return
		}
		if d.preallocs == 0 {
			t.note("y", ByPrealloc, Skipped, errors.New("no op offers UsePreallocDo"))
			return
		}
		say := func(r *Row) {
			if r.Mismatch != nil {
				r.Mismatch.Hint = c.of
			}
		}
		t.outputs(ByPrealloc, o.y, clean.y, nil, say)
		for _, i := range t.fwd.wrt() {
			r := compare(t.d(i), ByPrealloc, t.c.Inputs[i].Shape, o.dx[i], clean.dx[i], nil)
			say(&r)
			t.add(r)
		}
		if t.failed() {
			return
		}
	}
}
