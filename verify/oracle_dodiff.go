package verify

// ByDoDiff runs DoDiff by hand, as LispMachine does.
const ByDoDiff Oracle = "DoDiff"

var _ = register(oracle{name: ByDoDiff, rank: 120, gradient: true, says: another(ByDoDiff),
	judge: func(t *trial) {
		o, err := t.byHand()
		from := len(t.rows)
		t.against(ByDoDiff, o, err)
		t.excused(ByDoDiff, from)
	}})
