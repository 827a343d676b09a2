package verify

// ByInterleaving runs forward pass and gradients on other values, by the same ops, between the
// forward pass and the gradients, and once more before a second run, as it happens where a graph is
// cloned or one op stands at two nodes. An op that keeps something to itself gives it away there.
const ByInterleaving Oracle = "another run in between"

var _ = register(oracle{name: ByInterleaving, rank: 180, gradient: true, says: another(ByInterleaving),
	judge: (*trial).interleaved})

func (t *trial) interleaved() {
	d, err := t.derived()
	if err != nil {
		t.note("y", ByInterleaving, Fails, err)
		return
	}
	steady := true
	for range 2 {
		o, err := d.at(d.leaves(t.x), t.dy, false)
		steady = steady && err == nil && o.is(t.base)
	}
	say := func(r *Row) {
		if r.Mismatch.Hint = ""; steady {
			r.Mismatch.Hint = "the op keeps something of another run"
		}
	}
	for range 3 {
		other, err := t.draw()
		if err != nil {
			return
		}
		dy := t.drawCotangent()
		between := func() bool { // what the ops make of other values is not judged here
			_, err := d.at(d.leaves(other), dy, false)
			return err == nil
		}
		at := d.leaves(t.x)
		if err := d.evaluate(d.steps, at, false); err != nil {
			t.equal(ByInterleaving, outcome{}, err, nil)
			return
		}
		if !between() {
			continue
		}
		o, err := d.at(at, t.dy, false)
		t.equal(ByInterleaving, o, err, say)
		if t.failed() || !between() {
			return
		}
		o, err = d.at(d.leaves(t.x), t.dy, false)
		t.equal(ByInterleaving, o, err, say)
		if t.failed() {
			return
		}
	}
}
