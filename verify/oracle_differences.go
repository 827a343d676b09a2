package verify

// ByDifferences are central differences of the forward pass. Small inputs are differentiated
// element by element, large ones along random directions of signs; where such a direction fails, it
// is halved until an element is named. At a kink the rule may give any number between the
// derivatives on its sides.
const ByDifferences Oracle = "central differences"

var _ = register(oracle{name: ByDifferences, rank: 80, gradient: true, independent: true, long: true,
	judge: func(t *trial) {
		for _, i := range t.fwd.wrt() {
			if !t.c.Inputs[i].Linear {
				t.differences(i)
			}
		}
	}})

// noises is the noise of each element of y.
func (t *trial) noises() []float64 {
	if t.noise == nil {
		terms, most := 0.0, 0.0
		for i, dx := range t.base.dx {
			for e, v := range dx {
				terms += abs(v * t.x[i][e])
			}
		}
		for _, v := range t.dy {
			most = max(most, abs(v))
		}
		t.noise = t.measured(t.fwd.forward, t.x, t.base.y, terms/most)
		own, _ := t.own(t.u)
		for o := range t.noise {
			t.noise[o] += own
		}
	}
	return t.noise
}

func (t *trial) differences(i int) {
	elements, random := t.elementwise()
	all, unit := t.directions(i, elements, random)
	var j judged
	var probes []*probe
	for k, v := range all {
		direction := make([][]float64, len(t.x))
		direction[i] = v
		p := t.along(direction)
		p.scale = greatest(t.base.dx[i])
		got := dot(t.base.dx[i], v)
		f, err := p.judge(got, t.dy, t.more(i, v))
		if err != nil {
			t.note(t.d(i), ByDifferences, NotJudged, err)
			return
		}
		e := -1
		if unit != nil {
			if e = unit[k]; f.kinked || f.rough {
				t.kinks = append(t.kinks, [2]int{i, e})
			}
			probes = append(probes, p)
		}
		j.found(got, f, e)
	}
	if unit != nil && len(unit) == len(t.x[i]) {
		if t.probes == nil {
			t.probes = map[int][]*probe{}
		}
		t.probes[i] = probes
	}
	r := j.row(t.d(i), ByDifferences, t.c.Inputs[i].Shape, unit == nil)
	if r.Verdict == Fails && unit == nil {
		_, m, err := t.find(i, all, func(v []float64) (float64, float64, bool) {
			direction := make([][]float64, len(t.x))
			direction[i] = v
			got := dot(t.base.dx[i], v)
			f, err := t.along(direction).judge(got, t.dy, t.more(i, v))
			return min(max(got, f.lo), f.hi), f.bound, err == nil && !f.rough && !f.open
		})
		if err == nil && m != nil {
			r.Mismatch = m
		}
	}
	t.explain(&r, i)
	t.add(r)
}

// greatest is the largest absolute value of the finite ones.
func greatest(v []float64) float64 {
	m := 0.0
	for _, x := range v {
		if finite(x) {
			m = max(m, abs(x))
		}
	}
	return m
}
