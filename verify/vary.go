package verify

import (
	"iter"
	"math"
	"slices"

	"gorgonia.org/tensor"
)

// A variation is the case with other shapes or other values.
type variation struct {
	c     Case
	at    string // for the report: where a row fails
	what  string // for the report: what was varied
	mood  mood
	brief bool
	most  int // it is left out once the variations have cost so much
}

// What variations may cost together, in elements of computed nodes: those of values and small
// shapes, and then those with a long axis.
const (
	mostWork = 3 << 20
	mostLong = 4 << 20
)

// long is a side's length beyond a thousand, and prime: blocks of any size leave a rest of it.
const long = 1103

// block is a length that is a multiple of what kernels work on at once.
const block = 32

// variations are other values at the case's shapes, and other shapes: sides one and two longer and
// shorter, alone and together with all of the same length, and sides of one. Long sides are made
// short first. At last each length in turn is a block's, and longer than a thousand.
func (c *Case) variations() iter.Seq[variation] {
	return func(yield func(variation) bool) {
		base, stopped := c.small(), false
		one := func(v variation) {
			v.most = mostWork
			if v.brief {
				v.most = mostLong
			}
			stopped = stopped || (!v.brief || v.c.cheap()) && !yield(v)
		}
		for _, m := range []mood{ties, asIs, large, zeroed, huge} {
			if m != asIs && !slices.ContainsFunc(c.Inputs, func(in Input) bool { return m.changes(&in) }) {
				continue
			}
			v := variation{c: base, what: m.String(), mood: m}
			if v.at = v.what; base.shapes() != c.shapes() {
				v.at += ", " + base.shapes()
			}
			one(v)
		}
		seen := map[string]bool{c.shapes(): true, base.shapes(): true}
		count := 0
		for _, t := range base.resized() {
			if s := t.shapes(); !seen[s] {
				seen[s] = true
				one(variation{c: t, at: s, what: "sizes", mood: []mood{asIs, spread, ties}[count%3]})
				count++
			}
		}
		for _, l := range base.lengths() {
			if t, ok := base.together(l, block); ok && t.elements() <= 1<<12 {
				one(variation{c: t, at: t.shapes(), what: "sizes", brief: true})
			}
			for _, t := range base.stretched(l, long) {
				if t.elements() <= 1<<14 {
					one(variation{c: t, at: t.shapes(), what: "a long axis", brief: true})
				}
			}
		}
	}
}

// mostRun is up to how many operations one run of a graph with a long axis may take.
const mostRun = 1 << 22

// cheap reports whether a run, with its gradients, takes few operations. It estimates them from the
// shapes: of a matrix product they are the root of the product of all sizes. It must not look at
// the time, on which no report may depend but for the budget.
func (c *Case) cheap() bool {
	w := c.graph()
	if w == nil {
		return false
	}
	nodes := w.steps
	if d, err := w.derive(); err == nil {
		nodes = d.nodes
	}
	work := 0.0
	for _, n := range nodes {
		size := float64(n.Shape().TotalSize())
		product, most := size, size
		args := w.args(n)
		for _, a := range args {
			s := float64(a.Shape().TotalSize())
			product, most = product*s, max(most, s)
		}
		if len(args) == 2 { // it may be a matrix product
			most = max(most, math.Sqrt(product))
		}
		work += most
	}
	return work <= mostRun
}

func (c *Case) elements() int {
	n := 0
	for _, in := range c.Inputs {
		n += in.Shape.TotalSize()
	}
	return n
}

// lengths are the different lengths of sides, longest first.
func (c *Case) lengths() []int {
	var all []int
	for _, in := range c.Inputs {
		for _, s := range in.Shape {
			if !slices.Contains(all, s) {
				all = append(all, s)
			}
		}
		if in.kind == labels && in.classes > 1 && !slices.Contains(all, in.classes) {
			all = append(all, in.classes)
		}
	}
	slices.Sort(all)
	slices.Reverse(all)
	return all
}

// small is the case with sides of at most eight, if it can be built so.
func (c *Case) small() Case {
	t := *c
	if c.elements() <= 64 {
		return t
	}
	taken := c.lengths()
	for _, l := range c.lengths() {
		if l <= 8 {
			continue
		}
		for _, s := range []int{7, 6, 5, 8, 4, 3} {
			if slices.Contains(taken, s) {
				continue
			}
			if smaller, ok := t.together(l, s); ok && smaller.graph() != nil {
				t, taken = smaller, append(taken, s)
				break
			}
		}
	}
	return t
}

// graph is the case's graph, of float64 if there is one, or nil.
func (c *Case) graph() *world {
	for _, of := range []tensor.Dtype{tensor.Float64, tensor.Float32} {
		if w, err := c.world(of, &effort{}); err == nil {
			return w
		}
	}
	return nil
}

// resize changes sides. Labels have as many classes as the sides that counted them have now.
func (c *Case) resize(change func(input, axis, side int) int, classes func(n int) int) (Case, bool) {
	t := *c
	t.Inputs = slices.Clone(c.Inputs)
	changed, batch := false, 0
	for i := range t.Inputs {
		in := &t.Inputs[i]
		in.Shape = in.Shape.Clone()
		for a, s := range in.Shape {
			n := change(i, a, s)
			if n < 1 {
				return t, false
			}
			if n != s {
				in.Shape[a], changed = n, true
			}
		}
		if in.kind == labels && in.Type != tensor.Bool && in.classes > 1 {
			if n := classes(in.classes); n >= 1 && n != in.classes {
				in.classes, changed = n, true
			}
		}
		if in.Batch {
			if batch != 0 && batch != in.Shape[0] {
				return t, false
			}
			batch = in.Shape[0]
		}
	}
	return t, changed
}

// together changes all sides of one length.
func (c *Case) together(from, to int) (Case, bool) {
	same := func(s int) int {
		if s == from {
			return to
		}
		return s
	}
	return c.resize(func(_, _, s int) int { return same(s) }, same)
}

// stretched are the case with the sides of one length made longer: all of them, or, where an input
// has several, each choice of one side an input, for it cannot be told which belong together.
func (c *Case) stretched(from, to int) (all []Case) {
	var choices [][][2]int
	several := false
	for i, in := range c.Inputs {
		before := choices
		count := 0
		for a, s := range in.Shape {
			if s != from {
				continue
			}
			count++
			choices = append(choices, [][2]int{{i, a}})
			for _, b := range before {
				choices = append(choices, append(slices.Clone(b), [2]int{i, a}))
			}
		}
		several = several || count > 1
		if len(choices) > mostChoices {
			return nil
		}
	}
	if t, ok := c.together(from, to); ok && !several {
		return []Case{t}
	}
	for _, sides := range choices {
		if t, ok := c.apart(to, sides...); ok && several {
			all = append(all, t)
		}
	}
	return all
}

// mostChoices is up to how many choices of sides are tried.
const mostChoices = 200

// apart changes single sides, by input and axis.
func (c *Case) apart(to int, sides ...[2]int) (Case, bool) {
	from := c.Inputs[sides[0][0]].Shape[sides[0][1]]
	return c.resize(func(i, a, s int) int {
		if slices.Contains(sides, [2]int{i, a}) {
			return to
		}
		return s
	}, func(n int) int {
		if n == from { // labels stay below what may have counted them
			return min(n, to)
		}
		return n
	})
}

// resized are the case's shapes made a little longer and shorter, the most telling first.
func (c *Case) resized() (all []Case) {
	var sides [][2]int
	for i, in := range c.Inputs {
		for a := range in.Shape {
			sides = append(sides, [2]int{i, a})
		}
	}
	side := func(s [2]int) int { return c.Inputs[s[0]].Shape[s[1]] }
	add := func(t Case, ok bool) {
		if ok && t.elements() <= 4096 {
			all = append(all, t)
		}
	}
	near := func(by int) {
		for _, l := range c.lengths() {
			add(c.together(l, l+by))
		}
		for _, s := range sides {
			add(c.apart(side(s)+by, s))
		}
	}
	near(1)
	near(-1)
	for _, l := range c.lengths() {
		add(c.together(l, 1))
	}
	for k, s := range sides { // two inputs that meet in a side
		for _, p := range sides[k+1:] {
			if p[0] != s[0] && side(s) == side(p) {
				add(c.apart(side(s)+1, s, p))
			}
		}
	}
	near(2)
	near(-2)
	for _, s := range sides {
		add(c.apart(1, s))
	}
	return all
}

// shrink makes the shapes smaller as long as a row fails, and returns the trial of the smallest
// case, or nil if no smaller one fails.
func (c *Case) shrink(t *trial, clock *effort) *trial {
	i := slices.IndexFunc(t.rows, func(r Row) bool { return r.Verdict == Fails })
	row := &t.rows[i]
	var found *trial
	for budget, smaller := 60, true; smaller; {
		smaller = false
		all := c.smaller()
		if s := c.small(); s.shapes() != c.shapes() && found == nil && !t.brief {
			all = append([]Case{s}, all...)
		}
		for _, s := range all {
			if budget--; budget < 0 || clock.over() {
				return found
			}
			next := &trial{at: t.at, mood: t.mood, brief: t.brief, only: row, spent: clock}
			if next.at == "" {
				next.at = "smaller"
			}
			if s.run(next) != nil {
				continue
			}
			if k := slices.IndexFunc(next.rows, func(r Row) bool { return r.Verdict == Fails }); k >= 0 {
				f := next.rows[k]
				if f.Oracle == row.Oracle && f.Quantity == row.Quantity && (f.Mismatch == nil) == (row.Mismatch == nil) {
					for k := range next.rows {
						next.rows[k].At = ""
					}
					c, found, smaller = &s, next, true
					break
				}
			}
		}
	}
	return found
}

// smaller are the case with one side smaller, or all sides of one length smaller together, which
// keeps most ops' shapes consistent: by half, or else by one.
func (c *Case) smaller() []Case {
	var all []Case
	for _, less := range []func(int) int{
		func(s int) int { return (s + 1) / 2 }, func(s int) int { return s - 1 },
	} {
		for _, l := range c.lengths() {
			if t, ok := c.together(l, less(l)); ok && l > 1 {
				all = append(all, t)
			}
		}
		for i, in := range c.Inputs {
			for a, s := range in.Shape {
				if t, ok := c.apart(less(s), [2]int{i, a}); ok && s > 1 {
					all = append(all, t)
				}
			}
		}
	}
	return all
}
