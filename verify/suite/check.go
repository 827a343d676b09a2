package suite

import (
	"fmt"
	"math"
	"math/rand/v2"

	"gorgonia.org/tensor"
)

// The oracles, as the report names them.
const (
	oracleExact      = "exact arithmetic"
	oracleAdjoint    = "adjoint identity, exact"
	oracleDual       = "dual numbers"
	oracleDirection  = "adjoint identity, dual numbers"
	oracleDifference = "central differences"
	oracleTwin       = "float64 twin"
	oracleMachines   = "other machines"
	oracleZero       = "zero cotangent"
	oracleRuns       = "it runs"
)

// accumulationUnder is the oracle of accumulates under one machine.
func accumulationUnder(on machine) string { return "accumulation, " + on.String() }

// arguments are the names of an op's differentiable inputs.
func arguments(op string) []string {
	switch op {
	case "Conv2DBackwardData":
		return []string{"dy", "w"}
	case "Conv2DBackwardFilter":
		return []string{"x", "dy"}
	case "MSE":
		return []string{"y", "t"}
	case "Softmax", "CrossEntropy", "ReLU", "Flatten", "Dropout", "MaxPool2D", "AvgPool2D", "L2Pool2D":
		return []string{"x"}
	}
	return []string{"x", "w", "b"}
}

// A comparison is one number that an oracle judged.
type comparison struct {
	quantity, oracle string
	worst            float64 // error as a fraction of its bound; 0 or +Inf where the oracle asks for equality
	failure          string  // what is wrong, empty where nothing is
}

// A judge collects the comparisons of one subject.
type judge struct {
	s    *subject
	of   tensor.Dtype
	rows []comparison
	more map[string]float64 // what the subject's algorithm may be off beyond the formula's bound, by quantity
}

func (j *judge) gradient(i int) string {
	if names := arguments(j.s.op); i < len(names) {
		return "d" + names[i]
	}
	return fmt.Sprintf("d%d", i)
}

// compare judges one element. The comparison fails on NaN.
func (j *judge) compare(quantity, oracle string, at int, shape []int, got, want, bound float64) {
	err := math.Abs(got - want)
	fraction := err / bound
	if err == 0 {
		fraction = 0
	}
	if got == want { // infinities, too
		err, fraction = 0, 0
	}
	c := comparison{quantity: quantity, oracle: oracle, worst: fraction}
	if !(err <= bound) {
		c.worst = math.Inf(1)
		if bound > 0 && !math.IsNaN(fraction) {
			c.worst = fraction
		}
		c.failure = fmt.Sprintf("%s%v: got %v, %s says %v; the error is %.3g, the bound %.3g", quantity, multiIndex(at, shape), got, oracle, want, err, bound)
	}
	j.rows = append(j.rows, c)
}

func (j *judge) fail(quantity, oracle, format string, args ...any) {
	j.rows = append(j.rows, comparison{quantity, oracle, math.Inf(1), fmt.Sprintf(format, args...)})
}

func multiIndex(at int, shape []int) []int {
	index := make([]int, len(shape))
	for k := len(shape) - 1; k >= 0; k-- {
		index[k] = at % shape[k]
		at /= shape[k]
	}
	return index
}

// failed reports the first failure.
func (j *judge) failed() (comparison, bool) {
	for _, c := range j.rows {
		if c.failure != "" {
			return c, true
		}
	}
	return comparison{}, false
}

// draw fills the inputs: integers for equality, or reals that float32 represents, so that both element types see the same numbers.
func (s *subject) values(r *rand.Rand, integers bool) []array {
	var in []array
	for _, shape := range s.shapes {
		a := newArray(shape...)
		switch {
		case integers && s.distinct: // odd, so none is 0, and 2 apart
			for i, p := range r.Perm(len(a.data)) {
				a.data[i] = float64(2*p + 1 - len(a.data)/2*2)
			}
		case integers:
			for i := range a.data {
				a.data[i] = float64(r.IntN(9) - 4)
			}
		default:
			for i := range a.data {
				v := r.NormFloat64()
				if s.away {
					v += math.Copysign(0.5, v)
				}
				a.data[i] = float64(float32(v))
			}
		}
		in = append(in, a)
	}
	return in
}

func (s *subject) cotangent(r *rand.Rand, integers bool) array {
	dy := newArray(s.y...)
	for i := range dy.data {
		dy.data[i] = float64(float32(r.NormFloat64()))
		if integers {
			dy.data[i] = float64(r.IntN(9) - 4)
		}
	}
	if integers {
		for i, v := range dy.data { // a cotangent of zeros would see nothing
			if v == 0 {
				dy.data[i] = 5
			}
		}
	}
	return dy
}

// rounds and exacts lift values into the two arithmetics, with the derivative along v.
func rounds(in, v []array) [][]number {
	var all [][]number
	for i, a := range in {
		n := make([]number, len(a.data))
		for k, x := range a.data {
			n[k] = roundly{}.from(x)
			if v != nil {
				n[k].d.Emag, n[k].m.Emag = v[i].data[k], math.Abs(v[i].data[k])
			}
		}
		all = append(all, n)
	}
	return all
}

func exacts(in, v []array) [][]dual {
	var all [][]dual
	for i, a := range in {
		n := make([]dual, len(a.data))
		for k, x := range a.data {
			n[k] = exactly{}.from(x)
			if v != nil {
				n[k].e = fraction(v[i].data[k])
			}
		}
		all = append(all, n)
	}
	return all
}

// along is ⟨dy, y⟩, which carries the derivative along the direction that y was computed with.
func along[T any](a arithmetic[T], y []T, dy array) T {
	s := a.from(0)
	for i, v := range y {
		s = a.add(s, a.mul(a.from(dy.data[i]), v))
	}
	return s
}

// towards is the direction of one element.
func towards(in []array, i, k int) []array {
	v := make([]array, len(in))
	for n, a := range in {
		v[n] = newArray(a.shape...)
	}
	v[i].data[k] = 1
	return v
}

// check puts the subject before every oracle that applies to it, in one element type, with values from r.
func check(s *subject, r *rand.Rand, of tensor.Dtype) *judge {
	j := &judge{s: s, of: of}
	if s.exact != nil {
		j.onIntegers(r)
	}
	if _, failed := j.failed(); !failed || s.exact == nil {
		j.onReals(r)
	}
	return j
}

// run is the outcome under the tape machine, and a failure if there is none.
func (j *judge) run(b builder, in []array, dy array, on machine) (outcome, bool) {
	out, err := run(b, in, dy, j.of, on)
	if err != nil {
		j.fail("y", oracleRuns, "%v: %v", on, err)
		return out, false
	}
	if len(out.y.data) != len(dy.data) {
		j.fail("y", oracleRuns, "%v: y has %d elements, want %d", on, len(out.y.data), len(dy.data))
		return out, false
	}
	return out, true
}

// onIntegers compares with exact arithmetic: to the bit where the results are integers or binary fractions.
func (j *judge) onIntegers(r *rand.Rand) {
	s := j.s
	in, dy := s.values(r, true), s.cotangent(r, true)
	out, ok := j.run(s.build, in, dy, tape)
	if !ok {
		return
	}
	want := s.exact(exacts(in, nil))
	bounds := s.round(rounds(in, nil))
	if s.winners != nil {
		j.onWinners(in)
	}
	if len(want) != len(out.y.data) {
		j.fail("y", oracleExact, "y has %d elements, want %d", len(out.y.data), len(want))
		return
	}
	for i, y := range out.y.data {
		bound := 0.0
		if !s.integral {
			bound = bounds[i].valueBound(j.of)
		}
		j.compare("y", oracleExact, i, s.y, y, want[i].v.float(), bound)
	}
	for i, a := range in {
		for range 3 {
			k := r.IntN(len(a.data))
			v := towards(in, i, k)
			bound := 0.0
			if !s.integral {
				bound = along(roundly{}, s.round(rounds(in, v)), dy).derivativeBound(j.of)
			}
			j.compare(j.gradient(i), oracleExact, k, a.shape, out.dx[i].data[k], along(exactly{}, s.exact(exacts(in, v)), dy).e.float(), bound)
		}
	}
	if s.integral { // every element of every gradient in one equation for each input, on random integers
		for i, a := range in {
			v := towards(in, i, 0)
			product := 0.0
			for k := range a.data {
				v[i].data[k] = float64(r.IntN(2001) - 1000)
				product += out.dx[i].data[k] * v[i].data[k]
			}
			want := along(exactly{}, s.exact(exacts(in, v)), dy).e.float()
			if product != want {
				j.fail(j.gradient(i), oracleAdjoint, "⟨%s, v⟩ is %v for an integer direction v, and ⟨dy, Jv⟩ %v", j.gradient(i), product, want)
			} else {
				j.rows = append(j.rows, comparison{quantity: j.gradient(i), oracle: oracleAdjoint})
			}
		}
		j.differences(r, in, dy, out)
	}
	if s.another != nil {
		j.anotherGraph(in, dy, out, r, s.integral)
	}
	j.accumulates(r, in, dy, out)
}

// differences moves an element by a step within which the op is affine, so that there is no truncation error, and integers give equality.
func (j *judge) differences(r *rand.Rand, in []array, dy array, out outcome) {
	s := j.s
	for i, a := range in {
		step := 1.0
		if s.distinct {
			step = 0.5
		} else if !s.affine[i] {
			continue
		}
		k := r.IntN(len(a.data))
		at := func(by float64) (float64, bool) {
			moved := append([]array(nil), in...)
			moved[i] = a.clone()
			moved[i].data[k] += by
			y, err := forward(s.build, moved, j.of)
			if err != nil || len(y.data) != len(dy.data) {
				j.fail("y", oracleRuns, "ops/vm: %v", err)
				return 0, false
			}
			t := 0.0
			for n, v := range y.data {
				t += v * dy.data[n]
			}
			return t, true
		}
		up, ok := at(step)
		down, also := at(-step)
		if !ok || !also {
			return
		}
		j.compare(j.gradient(i), oracleDifference, k, a.shape, out.dx[i].data[k], (up-down)/(2*step), 0)
	}
}

// onWinners compares the node of integers beside the result.
func (j *judge) onWinners(in []array) {
	got, err := forward(j.s.winners, in, j.of)
	want := j.s.won(in)
	if err != nil || len(got.data) != len(want) {
		j.fail("winner", oracleExact, "%d winners, want %d: %v", len(got.data), len(want), err)
		return
	}
	for i, v := range got.data {
		j.compare("winner", oracleExact, i, j.s.y, v, want[i], 0)
	}
}

// onReals compares with dual numbers, whose rounding bounds are computed for this op on this input.
func (j *judge) onReals(r *rand.Rand) {
	s := j.s
	in, dy := s.values(r, false), s.cotangent(r, false)
	if s.pre != nil {
		for _, v := range s.pre(rounds(in, nil)) {
			if math.Abs(v.d.Real) <= v.valueBound(j.of) {
				return // not differentiable here
			}
		}
	}
	out, ok := j.run(s.build, in, dy, tape)
	if !ok {
		return
	}
	if s.beyond != nil {
		j.more = s.beyond(in, dy, unit(j.of))
	}
	want := s.round(rounds(in, nil))
	if len(want) != len(out.y.data) {
		j.fail("y", oracleDual, "y has %d elements, want %d", len(out.y.data), len(want))
		return
	}
	for i, y := range out.y.data {
		j.compare("y", oracleDual, i, s.y, y, want[i].d.Real, want[i].valueBound(j.of)+j.more["y"])
	}
	for i, a := range in {
		for range 3 {
			k := r.IntN(len(a.data))
			e := along(roundly{}, s.round(rounds(in, towards(in, i, k))), dy)
			j.compare(j.gradient(i), oracleDual, k, a.shape, out.dx[i].data[k], e.d.Emag, e.derivativeBound(j.of)+j.more[j.gradient(i)])
		}
		v := towards(in, i, 0)
		product, length := 0.0, 0.0
		for k := range a.data {
			v[i].data[k] = r.NormFloat64()
			product += out.dx[i].data[k] * v[i].data[k]
			length += math.Abs(v[i].data[k])
		}
		e := along(roundly{}, s.round(rounds(in, v)), dy)
		j.compare("⟨"+j.gradient(i)+", v⟩", oracleDirection, 0, nil, product, e.d.Emag, e.derivativeBound(j.of)+j.more[j.gradient(i)]*length)
	}
	if s.exact == nil {
		j.richardson(r, in, dy, out)
		if s.another != nil {
			j.anotherGraph(in, dy, out, r, false)
		}
		j.accumulates(r, in, dy, out)
	}
	j.machines(in, dy, out)
	if j.of == tensor.Float32 {
		if twin, err := forward(s.build, in, tensor.Float64); err != nil {
			j.fail("y", oracleTwin, "%v", err)
		} else {
			for i, y := range out.y.data {
				j.compare("y", oracleTwin, i, s.y, y, twin.data[i], 2*(want[i].valueBound(j.of)+j.more["y"]))
			}
		}
	}
	if zero, ok := j.run(s.build, in, newArray(s.y...), tape); ok {
		for i, dx := range zero.dx {
			for k, v := range dx.data {
				if v != 0 {
					j.compare(j.gradient(i), oracleZero, k, dx.shape, v, 0, 0)
					break
				}
			}
			j.rows = append(j.rows, comparison{quantity: j.gradient(i), oracle: oracleZero})
		}
	}
}

// machines wants the same bits from LispMachine and from ops/vm, which is run twice: the second time its memory is dirty.
func (j *judge) machines(in []array, dy array, out outcome) {
	for _, on := range []machine{lisp, reusing} {
		other, ok := j.run(j.s.build, in, dy, on)
		if !ok {
			continue
		}
		for i, y := range other.y.data {
			if y != out.y.data[i] {
				j.compare("y", oracleMachines, i, j.s.y, y, out.y.data[i], 0)
				break
			}
		}
		j.rows = append(j.rows, comparison{quantity: "y", oracle: oracleMachines})
		for i, dx := range other.dx {
			for k, v := range dx.data {
				if v != out.dx[i].data[k] {
					j.compare(j.gradient(i), oracleMachines, k, dx.shape, v, out.dx[i].data[k], 0)
					break
				}
			}
			j.rows = append(j.rows, comparison{quantity: j.gradient(i), oracle: oracleMachines})
		}
	}
}

// accumulates gives every input a second consumer, under both of Gorgonia's machines: its gradient must be added to the op's.
func (j *judge) accumulates(r *rand.Rand, in []array, dy array, out outcome) {
	second := make([]array, len(in))
	for i, a := range in {
		second[i] = newArray(a.shape...)
		for k := range second[i].data {
			second[i].data[k] = float64(r.IntN(9) - 4)
		}
	}
	for _, on := range []machine{tape, lisp} {
		both, err := runWith(j.s.build, in, dy, j.of, on, second)
		if err != nil {
			j.fail("y", accumulationUnder(on), "%v", err)
			continue
		}
		for i, dx := range both.dx {
			for k, v := range dx.data {
				want := out.dx[i].data[k] + second[i].data[k]
				// The sum is rounded, and the gradient before it, unless an op adds what it has not rounded yet: u·(|dx| + |sum|), and a little for the products of the two.
				bound := 1.001 * unit(j.of) * (math.Abs(out.dx[i].data[k]) + math.Abs(want))
				if !(math.Abs(v-want) <= bound) {
					j.compare(j.gradient(i), accumulationUnder(on), k, dx.shape, v, want, bound)
					break
				}
			}
			j.rows = append(j.rows, comparison{quantity: j.gradient(i), oracle: accumulationUnder(on)})
		}
	}
}

// anotherGraph compares with a second formulation and its autodiff: to the bit on integers, else each within its own rounding bound of the truth.
func (j *judge) anotherGraph(in []array, dy array, out outcome, r *rand.Rand, equal bool) {
	s := j.s
	other, err := run(s.another, in, dy, j.of, tape)
	if err != nil {
		j.fail("y", s.anotherName, "it does not run: %v", err)
		return
	}
	want := s.round(rounds(in, nil))
	for i, y := range out.y.data {
		bound := 0.0
		if !equal {
			bound = 2 * want[i].valueBound(j.of)
		}
		j.compare("y", s.anotherName, i, s.y, y, other.y.data[i], bound)
	}
	for i, dx := range out.dx {
		if equal {
			for k, v := range dx.data {
				j.compare(j.gradient(i), s.anotherName, k, dx.shape, v, other.dx[i].data[k], 0)
			}
			continue
		}
		for range 3 {
			k := r.IntN(len(dx.data))
			e := along(roundly{}, s.round(rounds(in, towards(in, i, k))), dy)
			j.compare(j.gradient(i), s.anotherName, k, dx.shape, dx.data[k], other.dx[i].data[k], 4*e.derivativeBound(j.of))
		}
	}
}

// richardson extrapolates central differences of the float64 op. With R(h) = (4D(h/2) − D(h))/3, whose error falls by 16 for each halving of h, |R(h) − R(h/2)| is 15/16 of the error
// of R(h) or more of it as h → 0: four times that is the allowed error, and what rounding adds, the bound of y over the step.
func (j *judge) richardson(r *rand.Rand, in []array, dy array, out outcome) {
	s := j.s
	more := 0.0 // what the op in float64 may be off beyond the formula's bound
	if s.beyond != nil {
		more = s.beyond(in, dy, unit(tensor.Float64))["y"]
	}
	for i, a := range in {
		k := r.IntN(len(a.data))
		noise := 0.0
		at := func(by float64) float64 {
			moved := append([]array(nil), in...)
			moved[i] = a.clone()
			moved[i].data[k] += by
			y, err := forward(s.build, moved, tensor.Float64)
			if err != nil || len(y.data) != len(dy.data) {
				j.fail("y", oracleRuns, "ops/vm: %v", err)
				return math.NaN()
			}
			t := 0.0
			for n, v := range y.data {
				t += v * dy.data[n]
			}
			return t
		}
		for n, v := range s.round(rounds(in, nil)) {
			noise += math.Abs(dy.data[n]) * (v.valueBound(tensor.Float64) + more + 0x1p-52*v.m.Real*float64(len(dy.data)))
		}
		const h = 1. / 64
		d := func(h float64) float64 { return (at(h) - at(-h)) / (2 * h) }
		d1, d2, d4 := d(h), d(h/2), d(h/4)
		coarse, fine := (4*d2-d1)/3, (4*d4-d2)/3
		bound := 4*math.Abs(coarse-fine) + 16*noise/h + j.more[j.gradient(i)]
		if j.of == tensor.Float32 {
			bound += along(roundly{}, s.round(rounds(in, towards(in, i, k))), dy).derivativeBound(j.of)
		}
		j.compare(j.gradient(i), oracleDifference, k, a.shape, out.dx[i].data[k], fine, bound)
	}
}
