package verify

import (
	"math"
	"slices"

	"github.com/pkg/errors"
	"gorgonia.org/tensor"
)

// A function is what is differenced: its elements from the elements of all inputs.
type function func(x [][]float64) ([]float64, error)

// ladders are the steps h of a probe: central differences at three steps, each a quarter of the one
// before, and then smaller ones where a function bends or has a kink. With Richardson's
// extrapolation the truncation of three steps is of order h⁶. The noise is of order u/h.
var ladders = map[tensor.Dtype][][3]float64{
	tensor.Float64: {{0x1p-6, 0x1p-8, 0x1p-10}, {0x1p-11, 0x1p-13, 0x1p-15}, {0x1p-17, 0x1p-19, 0x1p-21}},
	tensor.Float32: {{0x1p-2, 0x1p-4, 0x1p-6}, {0x1p-4, 0x1p-6, 0x1p-8}, {0x1p-6, 0x1p-8, 0x1p-10}},
}

// What is known of the derivative of one element along a probe's direction.
type smoothness uint8

const (
	open     smoothness = iota // nothing yet
	smooth                     // d with an error of at most b
	oneSided                   // the same, from one side: the other is outside of the domain
	kinked                     // any number from lo to hi: the function has a kink there
	rough                      // no derivative that differences could find
)

// A probe finds the derivatives of all elements of a function along one direction, as precisely as
// they are asked for. It knows nothing of the rule under test.
//
// Where f is smooth the gap between the two one-sided differences, (f(x+hv) − 2f(x) + f(x−hv))/h,
// is proportional to h. It stays where f has a kink at x, and falls to nothing as h gets smaller
// than the way to a kink nearby. Neither is proportional, and the extrapolation, which can agree
// with itself there by chance, is then not believed.
type probe struct {
	t     *trial
	f     function
	here  []float64   // f(x)
	noise []float64   // of each element of f
	v     [][]float64 // the direction in each input; nil for none
	steps [][3]float64
	next  int // the triple of steps that comes next

	is     []smoothness
	d, b   []float64
	lo, hi []float64
	// one-sided differences at the latest steps; nil outside of the domain
	left, right   [3][]float64
	last          [3]float64 // those steps
	sampled, done bool
	scale         float64 // of the gradient: what is small beside it need not be known well
	whole         bool    // the function is the case's forward pass
}

// probe prepares one along v, which has an array for each input or nil.
func (t *trial) probe(f function, here, noise []float64, v [][]float64) *probe {
	n := len(here)
	p := &probe{t: t, f: f, here: here, noise: noise, v: v, steps: ladders[t.of],
		is: make([]smoothness, n), d: make([]float64, n), b: make([]float64, n),
		lo: make([]float64, n), hi: make([]float64, n)}
	// Steps are for numbers of about 1. Where all that moves is far smaller, so are the last steps;
	// where something is far larger, all are larger.
	least, most := math.Inf(1), 0.0
	for i, vi := range v {
		for e, m := range vi {
			if m != 0 {
				least, most = min(least, math.Abs(t.x[i][e])), max(most, math.Abs(t.x[i][e]))
			}
		}
	}
	switch {
	case most > 1<<14:
		p.steps = scaled(p.steps, math.Ldexp(1, math.Ilogb(most)-12))
	case most < 0x1p-8 && least > 1e-290:
		p.steps = append(scaled(p.steps, 1),
			scaled(p.steps[:1], math.Ldexp(1, math.Ilogb(least)))...)
	}
	return p
}

// forward is a probe of the forward pass.
func (t *trial) forward(v [][]float64) *probe {
	p := t.probe(t.fwd.forward, t.base.y, t.noises(), v)
	p.whole = true
	return p
}

func scaled(steps [][3]float64, by float64) [][3]float64 {
	var all [][3]float64
	for _, s := range steps {
		all = append(all, [3]float64{s[0] * by, s[1] * by, s[2] * by})
	}
	return all
}

// errOver says that there was no time left.
var errOver = errors.New("the time budget was used up")

// at is f(x + h·v), or nil where that is outside of the domain.
func (p *probe) at(x [][]float64, h float64) []float64 {
	y, err := p.f(moved(x, p.v, h))
	if err != nil || len(y) != len(p.here) {
		return nil
	}
	return y
}

// moved is x + h·v.
func moved(x, v [][]float64, h float64) [][]float64 {
	to := append([][]float64(nil), x...)
	for i, vi := range v {
		if vi == nil {
			continue
		}
		to[i] = make([]float64, len(vi))
		for e := range vi {
			to[i][e] = x[i][e] + h*vi[e]
		}
	}
	return to
}

func finite(x float64) bool { return !math.IsNaN(x) && !math.IsInf(x, 0) }

// refine looks at the next steps, and reports whether there were any.
func (p *probe) refine() (bool, error) {
	if p.next == len(p.steps) {
		p.close()
		return false, nil
	}
	if p.t.spent.over() {
		return false, errOver
	}
	h := p.steps[p.next]
	p.next++
	p.last = h
	var plus, minus [3][]float64
	for s := range h {
		plus[s], minus[s] = p.at(p.t.x, h[s]), p.at(p.t.x, -h[s])
		p.left[s], p.right[s] = slope(minus[s], p.here, h[s]), slope(p.here, plus[s], h[s])
	}
	for o := range p.here {
		l, r := p.sides(o)
		if e, b, ok := p.central(l, r, h, p.noise[o]); ok {
			switch {
			case p.is[o] != smooth, math.Abs(e-p.d[o]) > b+p.b[o]:
				// A smaller step that disagrees is believed: there is structure in the larger ones.
				p.is[o], p.d[o], p.b[o] = smooth, e, b
			case b < p.b[o]:
				p.d[o], p.b[o] = e, b
			}
		}
	}
	return true, nil
}

func element(a []float64, o int) float64 {
	if a == nil {
		return math.NaN()
	}
	return a[o]
}

func slope(a, b []float64, h float64) []float64 {
	if a == nil || b == nil {
		return nil
	}
	d := make([]float64, len(a))
	for i := range d {
		d[i] = (b[i] - a[i]) / h
	}
	return d
}

// central extrapolates central differences of one element, if it looks smooth.
func (p *probe) central(l, r, h [3]float64, noise float64) (e, b float64, ok bool) {
	var d, gap [3]float64
	for s := range h {
		d[s], gap[s] = (l[s]+r[s])/2, r[s]-l[s]
		if !finite(d[s]) {
			return 0, 0, false
		}
	}
	for s := range 2 {
		g, quarter := gap[s], 4*gap[s+1]
		if !(math.Abs(g-quarter) <= 0.3*max(math.Abs(g), math.Abs(quarter))+32*noise/h[s+1]) {
			return 0, 0, false
		}
	}
	rest := 4*noise/h[2] + 0x1p-1000
	a, c := math.Abs(d[1]-d[0]), math.Abs(d[2]-d[1])
	if c > 0.6*a+rest { // they do not converge
		return 0, 0, false
	}
	if 8*c > a+8*rest {
		// A joint: the second derivative jumps at x, and the error is of order h, not h².
		e1, e2 := (4*d[1]-d[0])/3, (4*d[2]-d[1])/3
		return e2, 4*math.Abs(e2-e1) + 0.01*c + 4*rest + 64*p.t.u*math.Abs(e2), true
	}
	r1, r2 := (16*d[1]-d[0])/15, (16*d[2]-d[1])/15
	e = (256*r2 - r1) / 255
	b = 4*math.Abs(e-r2) + rest + 64*p.t.u*math.Abs(e)
	if ratio := (d[1] - d[0]) / (d[2] - d[1]); !(ratio > 13 && ratio < 20) {
		// The error is not of order h². A direction of many elements may cross joints of some of
		// them, at each step of others, and the extrapolation means nothing.
		b = max(b, min(c, a)+a/16)
	}
	return e, b, true
}

// side extrapolates one-sided differences of one element, if they converge.
func (p *probe) side(f, h [3]float64, noise float64) (e, b float64, ok bool) {
	for s := range h {
		if !finite(f[s]) {
			return 0, 0, false
		}
	}
	a, c := math.Abs(f[1]-f[0]), math.Abs(f[2]-f[1])
	if !(c <= 0.5*a+16*noise/h[2]) || !(math.Abs(f[2]) <= 1.6*math.Abs(f[1])+16*noise/h[2]) {
		return 0, 0, false
	}
	e1, e2 := (4*f[1]-f[0])/3, (4*f[2]-f[1])/3
	e = (16*e2 - e1) / 15
	b = 4*math.Abs(e-e2) + 8*noise/h[2] + 64*p.t.u*math.Abs(e)
	if c > 0.3*a { // of order √h, as for x^1.5 at 0: what is left is as much again
		b += 2 * c
	}
	return e, b, true
}

// close decides on the elements that were smooth at no step.
func (p *probe) close() {
	if p.done {
		return
	}
	p.done = true
	for o := range p.here {
		if p.is[o] != open {
			continue
		}
		l, r := p.sides(o)
		le, lb, lok := p.side(l, p.last, p.noise[o])
		re, rb, rok := p.side(r, p.last, p.noise[o])
		ended := func(f [3]float64) bool { return !finite(f[0]) && !finite(f[1]) && !finite(f[2]) }
		switch {
		case lok && rok && math.Abs(le-re) <= lb+rb:
			p.is[o], p.d[o], p.b[o] = smooth, (le+re)/2, max(lb, rb)
		case lok && rok:
			p.is[o], p.lo[o], p.hi[o] = kinked, min(le-lb, re-rb), max(le+lb, re+rb)
		case lok && ended(r):
			p.is[o], p.d[o], p.b[o] = oneSided, le, lb
		case rok && ended(l):
			p.is[o], p.d[o], p.b[o] = oneSided, re, rb
		default:
			p.is[o] = rough
		}
	}
}

// faint is the probe with kinks that are small beside the bend: there the gap between the one-sided
// differences does not end at 0, and the central difference is a mean of the one-sided derivatives.
// Noise, too, can look like that, so it only counts where it explains what a rule gives.
func (p *probe) faint() *probe {
	q := &probe{is: slices.Clone(p.is), d: p.d, b: p.b, lo: slices.Clone(p.lo), hi: slices.Clone(p.hi)}
	for o := range p.here {
		if p.is[o] != smooth {
			continue
		}
		l, r := p.sides(o)
		gap := func(s int) float64 { return (4*(r[s+1]-l[s+1]) - (r[s] - l[s])) / 3 }
		if !(math.Abs(gap(1)) > 2*math.Abs(gap(1)-gap(0))) {
			continue
		}
		le, lb, lok := p.side(l, p.last, p.noise[o])
		re, rb, rok := p.side(r, p.last, p.noise[o])
		if lok && rok {
			q.is[o] = kinked
			q.lo[o] = min(le-lb, re-rb, p.d[o]-p.b[o])
			q.hi[o] = max(le+lb, re+rb, p.d[o]+p.b[o])
		}
	}
	return q
}

// sides are the latest one-sided differences of an element.
func (p *probe) sides(o int) (l, r [3]float64) {
	for s := range l {
		l[s], r[s] = element(p.left[s], o), element(p.right[s], o)
	}
	return l, r
}

// sample looks at the derivatives along v at points near x, where a function that is smooth but for
// kinks has those of its pieces. A rule may give any mean of them at x. Where they are all
// different however near the points are, as those of a norm are around 0, there is nothing to
// compare with.
func (p *probe) sample() error {
	if p.sampled {
		return nil
	}
	p.sampled = true
	rings, err := p.t.neighbours(p.f)
	if err != nil {
		return err
	}
	var all [2][][]float64
	h := 0.0
	for ring, r := range rings {
		h = r.h
		for k, x := range r.x {
			if p.t.spent.over() {
				return errOver
			}
			if after := p.at(x, h); after != nil {
				all[ring] = append(all[ring], slope(r.y[k], after, h))
			}
		}
	}
	for o := range p.here {
		var lo, hi, most [2]float64
		different := 0
		for ring := range all {
			lo[ring], hi[ring] = math.Inf(1), math.Inf(-1)
			var seen []float64
			for _, d := range all[ring] {
				if !finite(d[o]) {
					continue
				}
				lo[ring], hi[ring] = min(lo[ring], d[o]), max(hi[ring], d[o])
				most[ring] = max(most[ring], math.Abs(d[o]))
				seen = append(seen, d[o])
			}
			fuzz := 1e-3*most[ring] + 16*p.noise[o]/h
			distinct := 0
			for i, a := range seen {
				alone := true
				for k, b := range seen {
					alone = alone && (i == k || math.Abs(a-b) > fuzz)
				}
				if alone {
					distinct++
				}
			}
			if ring == 1 && len(seen) >= 8 && 5*distinct >= 3*len(seen) {
				different = 1
			}
		}
		spread0, spread1 := hi[0]-lo[0], hi[1]-lo[1]
		fuzz := 16 * p.noise[o] / h
		low, high := lo[1], hi[1]
		// the pieces are planes, and the outer points see the same ones
		if spread0 < 2*spread1+fuzz {
			low, high = min(lo[0], lo[1]), max(hi[0], hi[1])
		}
		switch {
		case !(spread1 > 0.05*most[1]+fuzz): // smooth around x, as far as this can see
			if p.is[o] == kinked && !(p.hi[o]-p.lo[o] > 0) {
				p.is[o] = rough
			}
		case different == 1 && spread1 > 0.5*spread0:
			p.is[o] = rough
		case p.is[o] == smooth && spread1 < 0.5*spread0:
			// It bends, and that is all.
		case p.is[o] == kinked:
			p.lo[o], p.hi[o] = min(p.lo[o], low-fuzz), max(p.hi[o], high+fuzz)
		case p.is[o] == smooth || p.is[o] == oneSided:
			p.lo[o] = min(p.d[o]-p.b[o], low-fuzz)
			p.hi[o] = max(p.d[o]+p.b[o], high+fuzz)
			p.is[o] = kinked
		}
	}
	return nil
}

// A ring is points near x, what the function is there, and a step that is small beside the way to
// x.
type ring struct {
	x [][][]float64
	y [][]float64
	h float64
}

// size is the largest number of an input that can move.
func (t *trial) size() float64 {
	most := 0.0
	for i, x := range t.x {
		if !t.c.Inputs[i].whole() {
			most = max(most, greatest(x))
		}
	}
	return most
}

// neighbours are points around x at two distances. All directions share them.
func (t *trial) neighbours(f function) ([2]ring, error) {
	if t.rings != nil && t.ringed == t.fwd {
		return *t.rings, nil
	}
	most := t.size()
	if most < 1e-290 {
		most = 1
	}
	h, near := 0x1p-26*most, 0x1p-13*most
	if t.of == tensor.Float32 {
		h, near = 0x1p-10*most, 0x1p-6*most
	}
	var rings [2]ring
	for k, points := range []int{8, 16} {
		r := &rings[k]
		r.h = h
		for range points {
			if t.spent.over() {
				return rings, errOver
			}
			x := append([][]float64(nil), t.x...)
			for i := range x {
				if t.c.Inputs[i].whole() {
					continue
				}
				x[i] = append([]float64(nil), x[i]...)
				for e := range x[i] {
					x[i][e] += near * (2*t.r.Float64() - 1)
				}
			}
			y, err := f(x)
			if err == nil {
				r.x, r.y = append(r.x, x), append(r.y, y)
			}
		}
		h, near = h/4, near/16
	}
	t.rings, t.ringed = &rings, t.fwd
	return rings, nil
}

// broken reports whether an element has a kink along the direction, or no derivative.
func (p *probe) broken() bool { return slices.Contains(p.is, kinked) || slices.Contains(p.is, rough) }

// others are ladders beside the first one. Three steps can agree by chance on what a joint between
// them does. No rule fails that the steps of another ladder admit.
var others = [...]float64{0.83, 0.61, 0.37}

// A finding is what a probe says of a weighted sum of the function's elements: its derivative is of
// [lo, hi], give or take the bound.
type finding struct {
	lo, hi, bound float64
	kinked, rough bool
	open          bool // something has not been found out yet
	chosen        bool // of a reference: it chooses between numbers that are equal to rounding
}

// weigh sums the derivatives by weights.
func (p *probe) weigh(w []float64, extra float64) (f finding) {
	f.bound = extra
	for o, a := range w {
		if a == 0 {
			continue
		}
		switch p.is[o] {
		case smooth, oneSided:
			f.lo, f.hi, f.bound = f.lo+a*p.d[o], f.hi+a*p.d[o], f.bound+math.Abs(a)*p.b[o]
		case kinked:
			f.lo += min(a*p.lo[o], a*p.hi[o])
			f.hi += max(a*p.lo[o], a*p.hi[o])
			f.kinked = true
		case rough:
			f.rough = true
		default:
			f.open = true
		}
	}
	return f
}

func (f finding) admits(got float64) bool {
	return got >= f.lo-f.bound && got <= f.hi+f.bound
}

// judge compares the derivative that a rule gives of the weighted sum with what the probe finds. It
// looks as closely as it must.
func (p *probe) judge(got float64, w []float64, extra float64) (finding, error) {
	if !finite(got) && p.jumps(w) {
		return finding{rough: true}, nil
	}
	if p.next == 0 {
		if _, err := p.refine(); err != nil {
			return finding{}, err
		}
	}
	for {
		f := p.weigh(w, extra)
		if !f.open && !f.kinked && !f.rough && f.admits(got) &&
			f.bound <= 1e-5*max(math.Abs(got), math.Abs(f.lo), p.scale) {
			return f, nil
		}
		more, err := p.refine()
		if err != nil {
			return f, err
		}
		if !more {
			break
		}
	}
	f := p.weigh(w, extra)
	if f.rough || f.admits(got) && (!f.kinked || p.t.samples >= 4) {
		return f, nil
	}
	if g := p.faint().weigh(w, 0); !f.admits(got) && g.admits(got) {
		g.bound += extra
		return g, nil
	}
	for _, by := range others {
		if f.kinked || p.t.refused {
			break
		}
		q := p.t.probe(p.f, p.here, p.noise, p.v)
		q.steps, q.scale = scaled(q.steps, by), p.scale
		for more := true; more; {
			var err error
			if more, err = q.refine(); err != nil {
				return f, err
			}
		}
		if g := q.weigh(w, extra); !g.kinked && !g.rough && !g.open && g.admits(got) {
			return g, nil
		}
	}
	p.t.refused = p.t.refused || !f.kinked && !f.open && finite(got)
	p.t.samples++
	if err := p.sample(); err != nil {
		return f, err
	}
	for more := 0; ; more++ {
		f = p.weigh(w, extra)
		if f.rough || f.admits(got) || more == 4 || p.t.n > 64 || !p.broken() || !finite(got) {
			f.rough = f.rough || !f.admits(got) && p.whole && finite(got) && p.t.meets(p.v)
			return f, nil
		}
		p.t.rings = nil // other points may see other pieces
		p.sampled = false
		if err := p.sample(); err != nil {
			return f, err
		}
	}
}

// jumps reports whether the function changes by far more than rounding could between points that
// are next to each other, as the angle of a point does around 0. A rule has nothing to give there.
func (p *probe) jumps(w []float64) bool {
	most := 1e-3 * max(greatest(p.here), p.t.size())
	for o, a := range w {
		if a != 0 && p.noise[o] > most {
			return true
		}
	}
	return false
}

// measured is the noise of each element of a function: what rounding does to it between points that
// are next to each other. Fourth differences of a smooth function are all noise, with a variance of
// 70 times that of one value (Moré and Wild, Estimating Computational Noise, 2011).
//
// terms is the size of what cancels inside the function, as far as the rule under test shows it: a
// sum Σ x·dx of absolute values. It only counts times the unit roundoff, so that a rule that is
// wrong hides nothing by it.
func (t *trial) measured(f function, x [][]float64, here []float64, terms float64) []float64 {
	noise := make([]float64, len(here))
	most := t.size()
	if !(terms < 1e100) {
		terms = 0
	}
	for o, y := range here {
		noise[o] = 2 * t.u * (math.Abs(y) + most + terms)
	}
	tau := 0x1p-40
	if t.of == tensor.Float32 {
		tau = 0x1p-18
	}
	rounds := 3
	if t.brief {
		rounds = 1
	}
	for range rounds {
		if t.spent.over() {
			break
		}
		v := make([][]float64, len(x))
		for i := range x {
			if t.c.Inputs[i].whole() {
				continue
			}
			v[i] = make([]float64, len(x[i]))
			for e := range v[i] {
				v[i][e] = (0.5 + t.r.Float64()) * math.Max(math.Abs(x[i][e]), 0x1p-4)
				if t.r.IntN(2) == 0 {
					v[i][e] = -v[i][e]
				}
			}
		}
		p := &probe{t: t, f: f, here: here, v: v}
		a, b, c, d := p.at(x, -2*tau), p.at(x, -tau), p.at(x, tau), p.at(x, 2*tau)
		if a == nil || b == nil || c == nil || d == nil {
			continue
		}
		for o := range here {
			if e := math.Abs(a[o] - 4*b[o] + 6*here[o] - 4*c[o] + d[o]); finite(e) {
				noise[o] = max(noise[o], 6*e/math.Sqrt(70))
			}
		}
	}
	return noise
}
