package verify

// ByTwice wants the same bits of further runs, in the same graph and in one of its own.
const ByTwice Oracle = "running it twice"

var _ = register(oracle{name: ByTwice, rank: 30, judge: (*trial).again,
	says: func(_, got, want string) string { return " is " + want + ", and run again " + got }})

func (t *trial) again() {
	o, err := t.once(t.of, t.x)
	if err == nil && t.unsteady != nil {
		o = *t.unsteady
	}
	t.equal(ByTwice, o, err, func(r *Row) { r.Mismatch.Hint = "" })
}
