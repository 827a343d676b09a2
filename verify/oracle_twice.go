package verify

// ByTwice wants the same bits of a second run, in a graph of its own.
const ByTwice Oracle = "running it twice"

var _ = register(oracle{name: ByTwice, rank: 30, judge: (*trial).again,
	says: func(_, got, want string) string { return " is " + want + ", and run again " + got }})

func (t *trial) again() {
	_, _, o, err := t.anew(t.of, t.x, nil)
	t.equal(ByTwice, o, err, func(r *Row) { r.Mismatch.Hint = "" })
}
