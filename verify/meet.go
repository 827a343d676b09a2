package verify

import (
	"math"

	G "gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/convgrad/convgrad/verify/internal/values"
)

// meets reports whether kinks of inner ops meet along a direction, where the case is a graph of
// several ops. Each op may then take any of its own one-sided derivatives, and what the chain rule
// makes of them need not lie between the one-sided derivatives of the whole: relu(x) − relu(−x) is
// x, and right rules give 0, 1 or 2 at 0. Nothing can be said of such a gradient at a single point
// (Bolte and Pauwels, Conservative set valued fields, 2021).
//
// Each op is looked at by itself, its arguments moving on straight lines: the tangents of their
// own curves to either side. An element of its result that has a kink there, or jumps, counts.
func (t *trial) meets(v [][]float64) bool {
	if !t.fwd.composed() {
		return false
	}
	h := 0x1p-20
	if t.of == tensor.Float32 {
		h = 0x1p-8
	}
	nodes := t.fwd.steps
	kinks := map[*G.Node]map[int]bool{}
	err := guarded(func() error {
		var at [3]assignment
		for _, side := range []float64{h, -h} {
			for s, by := range []float64{0, side, side / 4} {
				at[s] = t.fwd.leaves(moved(t.x, v, by))
				if err := t.fwd.evaluate(nodes, at[s], false); err != nil {
					return err
				}
			}
			if err := t.bends(nodes, at, h, kinks); err != nil {
				return err
			}
		}
		return nil
	})
	count := 0
	for _, elements := range kinks {
		count += len(elements)
	}
	return err == nil && count > 1
}

// bends adds the elements of results that have kinks of their own along the tangents to one side.
// at has all values at x, and at the steps h and h/4 from it.
func (t *trial) bends(nodes []*G.Node, at [3]assignment, h float64, kinks map[*G.Node]map[int]bool) error {
	jumps := map[*G.Node][]bool{}
	for _, n := range nodes {
		args := t.fwd.args(n)
		if len(args) == 0 {
			continue
		}
		var y [3][]float64
		for s := range y {
			var err error
			if y[s], err = values.Floats(at[s][n]); err != nil {
				return err
			}
		}
		jumps[n] = make([]bool, len(y[0]))
		found := func(e int) {
			if kinks[n] == nil {
				kinks[n] = map[int]bool{}
			}
			kinks[n][e] = true
		}
		// What an argument's jump does is not the op's: a jump is held.
		moving, held := false, false
		var plus, minus [3][]float64
		for s := 1; s < 3; s++ {
			var there, back []G.Value
			for _, a := range args {
				from, err := values.Floats(at[0][a])
				if err != nil {
					return err
				}
				to, err := values.Floats(at[s][a])
				if err != nil {
					return err
				}
				opposite := make([]float64, len(to))
				for e, x := range from {
					if a.Dtype() != t.of || jumps[a] != nil && jumps[a][e] {
						held = held || to[e] != x
						to[e] = x
					}
					moving = moving || to[e] != x
					opposite[e] = 2*x - to[e]
				}
				there = append(there, values.Of(a.Dtype(), a.Shape(), to))
				back = append(back, values.Of(a.Dtype(), a.Shape(), opposite))
			}
			if !moving {
				break
			}
			for _, side := range []struct {
				y  *[]float64
				in []G.Value
			}{{&plus[s], there}, {&minus[s], back}} {
				v, err := n.Op().Do(side.in...)
				if err != nil {
					return err
				}
				if *side.y, err = values.Floats(v); err != nil {
					return err
				}
			}
		}
		for e, here := range y[0] {
			far, near := math.Abs(y[1][e]-here), math.Abs(y[2][e]-here)
			noise := 64 * t.u * (math.Abs(here) + math.Abs(y[1][e]))
			if n.Dtype() != t.of && far+near > 0 || near > 0.6*far+noise {
				if jumps[n][e] = true; !held {
					found(e)
				}
				continue
			}
			if moving {
				bend := func(s int) float64 { return (plus[s][e] + minus[s][e] - 2*here) / h }
				slopes := (math.Abs(plus[1][e]-here) + math.Abs(minus[1][e]-here)) / h
				if kink := (16*bend(2) - bend(1)) / 3; !(math.Abs(kink) <= 1e-3*slopes+noise/h*16) {
					found(e)
				}
			}
		}
	}
	return nil
}
