package train

import (
	"math"
	"testing"
)

// at is the point of a step in a run of epochs of `of` steps.
func at(step, of, epochs int) Point {
	return Point{Step: step, Steps: of * epochs, Epoch: step/of + 1, Batch: step % of, Of: of}
}

// TestSchedules compares with numbers worked out by hand; those of one-cycle are what PyTorch's
// OneCycleLR(max_lr=0.1, total_steps=100) gives.
func TestSchedules(t *testing.T) {
	for _, c := range []struct {
		name string
		s    Schedule
		p    Point
		want float64
	}{
		{"constant", Constant(0.3), at(17, 10, 5), 0.3},
		{"step, before", StepDecay(0.8, 0.5, 2), at(19, 10, 5), 0.8},
		{"step, after two epochs", StepDecay(0.8, 0.5, 2), at(20, 10, 5), 0.4},
		{"step, after four epochs", StepDecay(0.8, 0.5, 2), at(40, 10, 5), 0.2},
		{"step, never", StepDecay(0.8, 0.5, 0), at(40, 10, 5), 0.8},
		{"cosine, first", Cosine(0.5), at(0, 10, 4), 0.5},
		{"cosine, a third", Cosine(0.5), at(10, 10, 3), 0.375},
		{"cosine, half", Cosine(0.5), at(20, 10, 4), 0.25},
		{"cosine, after the last", Cosine(0.5), Point{Step: 40, Steps: 40, Epoch: 5, Of: 10}, 0},
		{"one-cycle, first", OneCycle(0.1), at(0, 10, 10), 0.004},
		{"one-cycle, going up", OneCycle(0.1), at(10, 10, 10), 0.029516394846410082},
		{"one-cycle, top", OneCycle(0.1), at(29, 20, 5), 0.1},
		{"one-cycle, next", OneCycle(0.1), at(30, 20, 5), 0.09994965352845243},
		{"one-cycle, going down", OneCycle(0.1), at(60, 10, 10), 0.05892800902855288},
		{"one-cycle, last", OneCycle(0.1), at(99, 10, 10), 4e-7},
		{"warm-up, first", WarmUp(2, Constant(0.4)), at(0, 10, 5), 0.02},
		{"warm-up, half", WarmUp(2, Constant(0.4)), at(9, 10, 5), 0.2},
		{"warm-up, last", WarmUp(2, Constant(0.4)), at(19, 10, 5), 0.4},
		{"warm-up, after", WarmUp(2, Constant(0.4)), at(35, 10, 5), 0.4},
		{"warm-up of nothing", WarmUp(0, Constant(0.4)), at(0, 10, 5), 0.4},
	} {
		// A handful of roundings, each of 2⁻⁵³ of the largest rate.
		if got := c.s(c.p); !(math.Abs(got-c.want) <= 0x1p-50) {
			t.Errorf("%s: got %v, want %v", c.name, got, c.want)
		}
	}
}

// TestSchedulesAreFinite: no point of a run gives a rate below 0, NaN or infinite, runs of one step
// included.
func TestSchedulesAreFinite(t *testing.T) {
	for name, s := range map[string]Schedule{
		"constant": Constant(0.1), "step": StepDecay(0.1, 0.1, 1), "cosine": Cosine(0.1), "one-cycle": OneCycle(0.1), "warm-up": WarmUp(1, OneCycle(0.1)),
	} {
		for _, epochs := range []int{1, 2, 3, 7} {
			for _, of := range []int{1, 2, 3, 10} {
				for step := range of * epochs {
					if r := s(at(step, of, epochs)); !(r >= 0 && r <= 0.1+0x1p-50) {
						t.Errorf("%s: step %d of %d epochs of %d: the rate is %v, want 0 to 0.1", name, step, epochs, of, r)
					}
				}
			}
		}
	}
}
