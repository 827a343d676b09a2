package verify

// ByKinks judges gradients together where y has kinks. Every element by itself may have any share
// of a tie; along a direction in which the tied ones move together the function is smooth, and the
// shares must sum to its derivative. The directions are ones, and pairs of the elements with kinks.
const ByKinks Oracle = "directions through kinks"

var _ = register(oracle{name: ByKinks, rank: 85, gradient: true, independent: true, judge: (*trial).through,
	says: func(_, got, want string) string {
		return " moved together change ⟨dy, y⟩ by " + got + ", and by central differences by " + want
	}})

func (t *trial) through() {
	if len(t.kinks) == 0 {
		return
	}
	var all [][][]float64
	empty := func() [][]float64 {
		v := make([][]float64, len(t.x))
		for _, i := range t.fwd.wrt() {
			v[i] = make([]float64, len(t.x[i]))
		}
		return v
	}
	ones, each := empty(), 0
	for _, i := range t.fwd.wrt() {
		for e := range ones[i] {
			ones[i][e] = 1
		}
		each++
	}
	all = append(all, ones)
	if each > 1 {
		for _, i := range t.fwd.wrt() {
			v := empty()
			copy(v[i], ones[i])
			all = append(all, v)
		}
	}
	const most = 24
pairs:
	for a, k := range t.kinks {
		for _, l := range t.kinks[a+1:] {
			for _, sign := range []float64{1, -1} {
				if len(all) >= most {
					break pairs
				}
				v := empty()
				v[k[0]][k[1]], v[l[0]][l[1]] = 1, sign
				all = append(all, v)
			}
		}
	}
	var j judged
	for _, v := range all {
		got, more := 0.0, 0.0
		for _, i := range t.fwd.wrt() {
			got += dot(t.base.dx[i], v[i])
			more += t.more(i, v[i])
		}
		if !finite(got) { // judged element by element
			j.kinks++
			continue
		}
		f, err := t.forward(v).judge(got, t.dy, more)
		if err != nil {
			t.note("gradients", ByKinks, NotJudged, err)
			return
		}
		j.found(got, f, -1)
	}
	t.add(j.row("gradients", ByKinks, nil, true))
}
