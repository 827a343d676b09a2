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
		terms := 0.0
		for i, dx := range t.base.dx {
			for e, v := range dx {
				terms += abs(v * t.x[i][e])
			}
		}
		own, _ := t.own()
		t.noise = raised(t.measured(t.fwd.forward, t.x, t.base.y, terms/greatest(t.dy)), own)
	}
	return t.noise
}

func (t *trial) differences(i int) {
	all, unit := t.directions(i)
	probes := map[int]*probe{}
	t.along(t.d(i), ByDifferences, i, t.base.dx[i], all, unit, func(k int, v []float64, got float64) (finding, error) {
		p := t.forward(t.moving(i, v))
		if k >= 0 {
			p.scale = greatest(t.base.dx[i])
		}
		f, err := p.judge(got, t.dy, t.more(i, v))
		if unit != nil && k >= 0 {
			probes[unit[k]] = p
			if f.kinked || f.rough {
				t.kinks = append(t.kinks, [2]int{i, unit[k]})
			}
		}
		return f, err
	})
	if len(probes) == len(t.x[i]) {
		if t.probes == nil {
			t.probes = map[int]map[int]*probe{}
		}
		t.probes[i] = probes
	}
}
