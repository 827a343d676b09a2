package verify

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// check runs the trial at the case's own shapes and values, and unless that fails the varied ones.
func (c Case) check(clock *effort) *Report {
	r := &Report{Name: c.Name, Seed: c.Seed, Inputs: c.shapes()}
	failing, sides := (*trial)(nil), map[string]bool{}
	try := func(c *Case, t *trial) bool {
		t.spent = clock
		if err := c.run(t); err != nil {
			return false
		}
		r.merge(t.rows)
		if failing == nil && t.failed() {
			failing = t
		}
		return true
	}
	try(&c, &trial{})
	for s := 1; s < c.Seeds && failing == nil; s++ {
		again := c
		again.Seed += uint64(s)
		try(&again, &trial{at: fmt.Sprint("seed ", again.Seed)})
	}
	if !c.Fixed && failing == nil {
		from := clock.work
		count := 0
		for v := range c.variations() {
			if failing != nil || clock.over() {
				break
			}
			if clock.work-from > v.most {
				continue
			}
			v.c.Seed += 1000 + uint64(count)
			if try(&v.c, &trial{at: v.at, mood: v.mood, brief: v.brief}) {
				count++
				sides[v.what] = true
			}
		}
		r.Varied = fmt.Sprintf("%d variations", count)
		if len(sides) > 0 {
			r.Varied += ": " + strings.Join(slices.Sorted(maps.Keys(sides)), ", ")
		}
		if !sides["a long axis"] {
			r.Varied += "; no axis was longer than a thousand"
		}
	}
	if failing == nil {
		r.settle(&c)
		return r
	}
	r.Values = failing.values()
	if !c.NoShrink {
		// Shrinking has time of its own: a failure is worth it.
		if more := time.Now().Add(3 * time.Second); more.After(clock.deadline) {
			clock.deadline = more
		}
		if t := failing.c.shrink(failing, clock); t != nil {
			r.Shrunk = &Report{Name: c.Name, Seed: t.c.Seed, Inputs: t.c.shapes(), Rows: t.rows}
			r.Values = t.values()
		}
	}
	return r
}

// merge adds a trial's rows. A quantity judged by one oracle is one row, whatever was varied.
func (r *Report) merge(rows []Row) {
	for _, row := range rows {
		i := slices.IndexFunc(r.Rows, func(o Row) bool {
			return o.Quantity == row.Quantity && o.Oracle == row.Oracle
		})
		if i < 0 {
			r.Rows = append(r.Rows, row)
			continue
		}
		old := &r.Rows[i]
		compared, kinks := old.Compared+row.Compared, old.Kinks+row.Kinks
		worst := max(old.Worst, row.Worst)
		switch {
		case old.Verdict == Fails:
		case row.Verdict == Fails || old.Verdict != Holds && row.Verdict == Holds:
			*old = row
		}
		old.Compared, old.Kinks = compared, kinks
		if old.Verdict == Holds {
			old.Worst, old.At = worst, ""
		}
	}
	slices.SortStableFunc(r.Rows, func(a, b Row) int { return rankOf(a.Oracle) - rankOf(b.Oracle) })
}

func rankOf(o Oracle) int {
	if o := oracleOf(o); o != nil {
		return o.rank
	}
	return 0
}

// settle makes failures of what a strict case wants judged.
func (r *Report) settle(c *Case) {
	for i := range r.Rows {
		if c.Strict && r.Rows[i].Verdict == NotJudged {
			r.Rows[i].Verdict = Fails
		}
	}
	active := slices.ContainsFunc(c.Inputs, func(in Input) bool { return in.active() })
	r.Blind = active && len(c.Only) == 0 && !slices.ContainsFunc(r.Rows, func(row Row) bool {
		o := oracleOf(row.Oracle)
		return row.Verdict == Holds && o != nil && o.independent && !row.same
	})
}

// values are the numbers of the case as Go text, if they are few.
func (t *trial) values() string {
	if t.n == 0 || t.n+len(t.dy) > 96 {
		return ""
	}
	var b strings.Builder
	write := func(name string, shape []int, v []float64) {
		fmt.Fprintf(&b, "%s := []float64{", name)
		for i, x := range v {
			if i > 0 {
				b.WriteString(", ")
			}
			switch {
			case x != x:
				b.WriteString("math.NaN()")
			case !finite(x):
				fmt.Fprintf(&b, "math.Inf(%+d)", map[bool]int{true: 1, false: -1}[x > 0])
			default:
				fmt.Fprint(&b, x)
			}
		}
		fmt.Fprintf(&b, "} // shape %v\n", shape)
	}
	for i, in := range t.c.Inputs {
		write(identifier(in.Name), in.Shape, t.x[i])
	}
	if t.base.dx != nil {
		for o := range t.fwd.y {
			write("d"+t.fwd.name(o), t.fwd.shapes[o], t.fwd.part(o, t.dy))
		}
	}
	return b.String()
}

// identifier makes a Go name of an input's.
func identifier(name string) string {
	s := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' {
			return r
		}
		return '_'
	}, name)
	if s[0] >= '0' && s[0] <= '9' {
		s = "_" + s
	}
	return s
}
