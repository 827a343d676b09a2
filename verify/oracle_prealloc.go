package verify

import (
	"slices"

	"github.com/pkg/errors"
)

// ByPrealloc computes everything by UsePreallocDo into memory that is full of NaN: at the trial's
// cotangent, at zeros, and at a cotangent half of zeros, where a rule may leave memory as it was.
const ByPrealloc Oracle = "UsePreallocDo into dirty memory"

var _ = register(oracle{name: ByPrealloc, rank: 130, says: another(ByPrealloc), judge: (*trial).dirty})

func (t *trial) dirty() {
	half := slices.Clone(t.dy)
	for e := 0; e < len(half); e += 2 {
		half[e] = 0
	}
	d, _, err := t.anew(t.of, t.x)
	for _, c := range []struct {
		dy []float64
		of string
	}{{t.dy, ""}, {make([]float64, len(t.dy)), "the cotangent is zero"}, {half, "half of the cotangent is zero"}} {
		var clean, o outcome
		if err == nil {
			clean, err = d.at(d.leaves(t.x), c.dy, false)
		}
		if err == nil {
			d.preallocs = 0
			o, err = d.at(d.leaves(t.x), c.dy, true)
		}
		switch {
		case err != nil:
			t.note("y", ByPrealloc, Fails, err)
			return
		case d.preallocs == 0:
			t.note("y", ByPrealloc, Skipped, errors.New("no op offers UsePreallocDo"))
			return
		}
		say := func(r *Row) { r.Mismatch.Hint = c.of }
		if t.base.dx == nil {
			say = nil
		}
		t.outputs(ByPrealloc, o.y, clean.y, nil, say)
		if t.gradients(ByPrealloc, o.dx, clean.dx, nil, say); t.failed() || t.base.dx == nil {
			return
		}
	}
}
