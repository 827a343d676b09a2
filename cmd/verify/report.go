package main

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"html/template"
	"io"
	"runtime"
	"slices"
	"sort"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/convgrad/convgrad/verify/article"
	"github.com/convgrad/convgrad/verify/builtin"
	"github.com/convgrad/convgrad/verify/suite"
	"github.com/convgrad/convgrad/verify/suite/reported"
)

// A Report is everything that a run of the suite found.
type Report struct {
	Seed      uint64           `json:"seed"`
	Cases     int              `json:"cases"`
	Op        string           `json:"op,omitempty"` // the part of an op's name that was asked for
	Tier      string           `json:"tier"`
	Go        string           `json:"go"`
	Machine   string           `json:"machine"`
	Seconds   float64          `json:"seconds"`
	Rows      []suite.Row      `json:"rows,omitempty"`
	Equations []article.Result `json:"equations,omitempty"`
	BuiltIns  []builtin.Result `json:"builtIns,omitempty"`
	Reported  []reported.Kind  `json:"reported,omitempty"`
	Kills     []suite.Kill     `json:"kills,omitempty"`
}

// newReport describes the machine.
func newReport(o suite.Options) *Report {
	return &Report{Seed: o.Seed, Cases: o.Cases, Op: o.Op, Tier: suite.Tier(), Go: runtime.Version(), Machine: runtime.GOOS + "/" + runtime.GOARCH}
}

// Passed reports whether everything that is this library's passed: its ops, the equations, and
// every planted mistake caught. What Gorgonia's own ops do is a finding, not a failure.
func (r *Report) Passed() bool {
	for _, row := range r.Rows {
		if !row.Passed() {
			return false
		}
	}
	for _, e := range r.Equations {
		if !e.Passed() {
			return false
		}
	}
	for _, b := range r.BuiltIns {
		if b.Failed != "" {
			return false
		}
	}
	for _, k := range r.Reported {
		if len(k.Missed)+len(k.Refused) > 0 {
			return false
		}
	}
	return r.Survivors() == 0
}

// Survivors is the number of planted mistakes that nothing caught.
func (r *Report) Survivors() int {
	n := 0
	for _, k := range r.Kills {
		if !k.Caught {
			n++
		}
	}
	return n
}

func verdict(ok bool) string {
	if ok {
		return "ok"
	}
	return "FAILED"
}

// glance joins the quantities that one oracle judged of one op into a line.
func glance(rows []suite.Row) []suite.Row {
	var all []suite.Row
	at := map[[2]string]int{}
	for _, r := range rows {
		i, ok := at[[2]string{r.Op, r.Oracle}]
		if !ok {
			at[[2]string{r.Op, r.Oracle}] = len(all)
			all = append(all, r)
			continue
		}
		l := &all[i]
		l.Quantity += " " + r.Quantity
		l.Cases, l.Failed = max(l.Cases, r.Cases), max(l.Failed, r.Failed)
		l.Numbers += r.Numbers
		l.Worst, l.Equality = max(l.Worst, r.Worst), l.Equality && r.Equality
	}
	return all
}

// Text writes the tables as a terminal shows them: a line for each op and oracle, or with all set
// one for each quantity too.
func (r *Report) Text(w io.Writer, all bool) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	rows := r.Rows
	if !all {
		rows = glance(rows)
	}
	if len(rows) > 0 {
		fmt.Fprintf(t, "op\toracle\tquantity\tcases\tnumbers\tworst error/bound\tverdict\n")
		op := ""
		for _, row := range rows {
			name := row.Op
			if name == op {
				name = ""
			}
			op = row.Op
			fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%d\t%s\t%s\n", name, row.Oracle, row.Quantity, row.CasesText(), row.Numbers, row.WorstText(), row.Verdict())
		}
		fmt.Fprintln(t)
	}
	if len(r.Equations) > 0 {
		fmt.Fprintf(t, "equation\tverdict\tfunction\tcomputes it\n")
		for _, e := range r.Equations {
			fmt.Fprintf(t, "%s\t%s\t%s\t%s\n", e.Equation, e.Verdict, e.Function, verdict(e.Embodied))
		}
		fmt.Fprintln(t)
	}
	if len(r.BuiltIns) > 0 {
		fmt.Fprintf(t, "Gorgonia's own ops\tverdict\n")
		for _, b := range r.BuiltIns {
			fmt.Fprintf(t, "%s\t%s\n", b.Title(), b.Verdict())
		}
		fmt.Fprintln(t)
	}
	if len(r.Reported) > 0 {
		fmt.Fprintf(t, "reported mistakes\tat one shape\tby varying\tcannot be seen\n")
		for _, k := range r.Reported {
			fmt.Fprintf(t, "%s\t%d\t%d\t%d\n", k.Kind, k.AtOnce, k.Varying, k.Invisible)
		}
		fmt.Fprintln(t)
	}
	if len(r.Kills) > 0 {
		fmt.Fprintf(t, "op\tplanted mistake\tcaught\tby\n")
		for _, k := range r.Kills {
			fmt.Fprintf(t, "%s\t%s\t%s\t%s\n", k.Op, k.Mistake, k.CaughtText(), strings.Join(k.Oracles, "; "))
		}
		fmt.Fprintln(t)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	for _, e := range r.Equations {
		if e.CounterExample != "" {
			fmt.Fprintf(w, "%s: %s\n    %s: %s\n    as printed: %s\n", e.Equation, e.Says, e.Verdict, e.Reading, e.CounterExample)
		}
		if e.EmbodiedError != "" {
			fmt.Fprintf(w, "%s: %s: %s\n", e.Equation, e.Function, e.EmbodiedError)
		}
	}
	for _, b := range r.BuiltIns {
		if b.Defect || b.Failed != "" {
			fmt.Fprintf(w, "%s: %s\n    %s%s\n", b.Title(), b.Verdict(), b.Finding, b.Failed)
		}
	}
	for _, f := range r.Failures() {
		fmt.Fprintln(w, "FAILED:", f)
	}
	_, err := fmt.Fprintln(w, r.Summary())
	return err
}

// Summary is the run in a line.
func (r *Report) Summary() string {
	var s []string
	if n := len(r.Rows); n > 0 {
		failed, numbers := 0, 0
		for _, row := range r.Rows {
			numbers += row.Numbers
			if !row.Passed() {
				failed++
			}
		}
		s = append(s, fmt.Sprintf("%d of %d rows passed, %d numbers compared", n-failed, n, numbers))
	}
	if n := len(r.Equations); n > 0 {
		count := map[article.Verdict]int{}
		for _, e := range r.Equations {
			count[e.Verdict]++
		}
		s = append(s, fmt.Sprintf("equations: %d hold as printed, %d under a reading, %d not", count[article.HoldsAsPrinted], count[article.HoldsUnderReading], count[article.DoesNotHold]))
	}
	if n := len(r.BuiltIns); n > 0 {
		defects := 0
		for _, b := range r.BuiltIns {
			if b.Defect {
				defects++
			}
		}
		s = append(s, fmt.Sprintf("Gorgonia's own ops: %d defects found, %d checks passed", defects, n-defects))
	}
	if len(r.Reported) > 0 {
		seen, n := 0, 0
		for _, k := range r.Reported {
			seen += k.AtOnce + k.Varying
			n += len(k.Reports)
		}
		s = append(s, fmt.Sprintf("%d of %d reported mistakes caught", seen, n))
	}
	if n := len(r.Kills); n > 0 {
		s = append(s, fmt.Sprintf("%d of %d planted mistakes caught", n-r.Survivors(), n))
	}
	return fmt.Sprintf("%s; seed %d, tier %s, %v: %s", strings.Join(s, "; "), r.Seed, r.Tier, time.Duration(r.Seconds*float64(time.Second)).Round(10*time.Millisecond), verdict(r.Passed()))
}

// JSON writes the report.
func (r *Report) JSON(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode(finite{r})
}

// finite writes infinities and NaN, which JSON has no number for, as 1e300.
type finite struct{ *Report }

func (f finite) MarshalJSON() ([]byte, error) {
	r := *f.Report
	r.Rows = append([]suite.Row(nil), r.Rows...)
	for i := range r.Rows {
		if !(r.Rows[i].Worst < 1e300) {
			r.Rows[i].Worst = 1e300
		}
	}
	return json.Marshal(r)
}

//go:embed report.html
var page string

var pageTemplate = template.Must(template.New("report").Parse(page))

// A Glance has a row for each op and a column for each oracle.
type Glance struct {
	Oracles []string
	Ops     []GlanceRow
}

// GlanceRow is one op's.
type GlanceRow struct {
	Op    string
	Cases int
	Cells []GlanceCell
}

// GlanceCell is what an oracle says of an op: its text, and "ok", "bad" or nothing where the oracle
// does not apply.
type GlanceCell struct{ Text, Class string }

// Glance lays the ops out.
func (r *Report) Glance() Glance {
	var g Glance
	column, line := map[string]int{}, map[string]int{}
	rows := r.Rows
	for _, row := range rows {
		if _, ok := column[row.Oracle]; !ok {
			column[row.Oracle] = len(g.Oracles)
			g.Oracles = append(g.Oracles, row.Oracle)
		}
	}
	for _, row := range glance(rows) {
		i, ok := line[row.Op]
		if !ok {
			i = len(g.Ops)
			line[row.Op] = i
			g.Ops = append(g.Ops, GlanceRow{Op: row.Op, Cells: make([]GlanceCell, len(g.Oracles))})
		}
		c := GlanceCell{row.WorstText(), "ok"}
		switch {
		case !row.Passed():
			c = GlanceCell{fmt.Sprintf("%d failed", row.Failed), "bad"}
		case row.Equality:
			c.Text = "="
		}
		g.Ops[i].Cells[column[row.Oracle]] = c
		g.Ops[i].Cases = max(g.Ops[i].Cases, row.Cases)
	}
	return g
}

// Failures say what failed, each in a line.
func (r *Report) Failures() []string {
	var all []string
	for _, row := range r.Rows {
		if !row.Passed() {
			all = append(all, fmt.Sprintf("%s, %s, %s: %s", row.Op, row.Quantity, row.Oracle, row.Failure))
		}
	}
	for _, e := range r.Equations {
		if !e.Passed() {
			all = append(all, fmt.Sprintf("%s: %s; %s: %s", e.Equation, e.Verdict, e.Function, e.EmbodiedError))
		}
	}
	for _, b := range r.BuiltIns {
		if b.Failed != "" {
			all = append(all, b.Title()+" was not checked: "+b.Failed)
		}
	}
	for _, k := range r.Reported {
		for _, m := range k.Missed {
			all = append(all, "a reported mistake is not seen: "+m)
		}
		for _, m := range k.Refused {
			all = append(all, "a right rule is refused: "+m)
		}
	}
	for _, k := range r.Kills {
		if !k.Caught {
			all = append(all, fmt.Sprintf("%s: %q survived %d cases", k.Op, k.Mistake, k.Cases))
		}
	}
	return all
}

// HTML writes the report as one page that needs nothing else.
func (r *Report) HTML(w io.Writer) error { return pageTemplate.Execute(w, r) }

// KillTable is the matrix of planted mistakes: a row per mistake, a column per oracle.
type KillTable struct {
	Oracles []string
	Ops     []KillRows
}

// KillRows are one op's.
type KillRows struct {
	Op      string
	Columns int
	Rows    []KillRow
}

// KillRow is one mistake: which oracles caught it.
type KillRow struct {
	Mistake string
	Caught  bool
	By      []bool
}

// Matrix lays the planted mistakes out.
func (r *Report) Matrix() KillTable {
	count := map[string]int{}
	for _, k := range r.Kills {
		for _, o := range k.Oracles {
			if k.Registered {
				continue
			}
			count[o]++
		}
	}
	t := KillTable{}
	for o := range count {
		t.Oracles = append(t.Oracles, o)
	}
	sort.Slice(t.Oracles, func(i, j int) bool {
		a, b := t.Oracles[i], t.Oracles[j]
		return count[a] > count[b] || count[a] == count[b] && a < b
	})
	for _, k := range r.Kills {
		if k.Registered {
			continue
		}
		if len(t.Ops) == 0 || t.Ops[len(t.Ops)-1].Op != k.Op {
			t.Ops = append(t.Ops, KillRows{Op: k.Op, Columns: len(t.Oracles) + 2})
		}
		row := KillRow{Mistake: k.Mistake, Caught: k.Caught}
		for _, o := range t.Oracles {
			row.By = append(row.By, slices.Contains(k.Oracles, o))
		}
		last := &t.Ops[len(t.Ops)-1]
		last.Rows = append(last.Rows, row)
	}
	return t
}

// An OpKills is how many of the mistakes in the graph of a registered op were caught, and by whom.
type OpKills struct {
	Op              string
	Planted, Caught int
	By              string
}

// Registered sums up the mistakes that are planted in the graphs of registered ops.
func (r *Report) Registered() (all []OpKills) {
	var by map[string]int
	for i, k := range r.Kills {
		if !k.Registered {
			continue
		}
		if len(all) == 0 || all[len(all)-1].Op != k.Op {
			all, by = append(all, OpKills{Op: k.Op}), map[string]int{}
		}
		last := &all[len(all)-1]
		last.Planted++
		if k.Caught {
			last.Caught++
		}
		for _, o := range k.Oracles {
			by[o]++
		}
		if i+1 == len(r.Kills) || r.Kills[i+1].Op != k.Op {
			var oracles []string
			for o := range by {
				oracles = append(oracles, o)
			}
			sort.Slice(oracles, func(i, j int) bool {
				a, b := oracles[i], oracles[j]
				return by[a] > by[b] || by[a] == by[b] && a < b
			})
			for i, o := range oracles {
				oracles[i] = fmt.Sprintf("%s %d", o, by[o])
			}
			last.By = strings.Join(oracles, "; ")
		}
	}
	return all
}

// Markdown writes one section as a table: one of Sections.
func (r *Report) Markdown(section string) (string, error) {
	var b strings.Builder
	cell := func(s string) string { return strings.NewReplacer("|", `\|`, "\n", " ").Replace(s) }
	text := func(s string) string { return strings.NewReplacer("*", `\*`, "_", `\_`, "[", `\[`).Replace(s) }
	row := func(cells ...string) {
		for _, c := range cells {
			b.WriteString("| " + cell(c) + " ")
		}
		b.WriteString("|\n")
	}
	head := func(cells ...string) {
		row(cells...)
		b.WriteString(strings.Repeat("| --- ", len(cells)) + "|\n")
	}
	switch section {
	case "suite":
		head("op", "oracles", "cases", "worst error / bound", "verdict")
		for _, f := range suite.Ops() {
			var oracles []string
			cases, worst, ok, seen := 0, 0.0, true, map[string]bool{}
			for _, x := range r.Rows {
				if x.Op != f {
					continue
				}
				if !seen[x.Oracle] {
					seen[x.Oracle] = true
					oracles = append(oracles, x.Oracle)
				}
				cases, worst, ok = max(cases, x.Cases), max(worst, x.Worst), ok && x.Passed()
			}
			row(f, strings.Join(oracles, "; "), fmt.Sprint(cases), fmt.Sprintf("%.3f", worst), verdict(ok))
		}
	case "equations":
		head("equation", "what it says", "verdict", "function", "test, in verify/article", "shown in")
		for _, e := range r.Equations {
			v := "**" + string(e.Verdict) + "**"
			if e.Reading != "" {
				v += ": " + text(e.Reading)
			}
			if e.CounterExample != "" {
				v += ". As printed it fails for " + text(e.CounterExample)
			}
			// from docs/equations.md
			row(e.Equation, text(e.Says), v, "`"+e.Function+"`", "`"+e.Test+"`", "["+e.Section()+"](../"+e.Notebook+")")
		}
	case "built-ins":
		head("Gorgonia's own", "verdict", "smallest reproduction")
		for _, x := range r.BuiltIns {
			row(text(x.Title()), x.Verdict(), text(x.Finding))
		}
	case "reported":
		head("kind of mistake", "caught at one shape", "only by varying", "cannot be", "public reports")
		var sum reported.Kind
		for _, k := range r.Reported {
			never := fmt.Sprint(k.Invisible)
			if k.Invisible > 0 {
				never += ": " + strings.Join(k.Why, "; ")
			}
			row(k.Kind, fmt.Sprint(k.AtOnce), fmt.Sprint(k.Varying), never, text(strings.Join(k.Reports, ", ")))
			sum.AtOnce, sum.Varying, sum.Invisible = sum.AtOnce+k.AtOnce, sum.Varying+k.Varying, sum.Invisible+k.Invisible
		}
		row("**all**", fmt.Sprint(sum.AtOnce), fmt.Sprint(sum.Varying), fmt.Sprint(sum.Invisible), "")
	case "mistakes":
		m := r.Matrix()
		head(append([]string{"op", "planted mistake"}, m.Oracles...)...)
		for _, o := range m.Ops {
			for _, k := range o.Rows {
				cells := []string{o.Op, k.Mistake}
				for _, by := range k.By {
					if by {
						cells = append(cells, "×")
					} else {
						cells = append(cells, "")
					}
				}
				if !k.Caught {
					cells[1] += " **SURVIVED**"
				}
				row(cells...)
			}
		}
	case "registered":
		head("op", "mistakes", "caught", "by")
		for _, k := range r.Registered() {
			row(k.Op, fmt.Sprint(k.Planted), fmt.Sprint(k.Caught), k.By)
		}
	default:
		return "", fmt.Errorf("suite: no section is called %q: want one of %s", section, strings.Join(Sections(), ", "))
	}
	return b.String(), nil
}

// Sections are the names that Markdown knows.
func Sections() []string {
	return []string{"suite", "equations", "built-ins", "reported", "mistakes", "registered"}
}

// Fill replaces what stands between the markers <!-- verify:NAME --> and <!-- /verify:NAME --> in a
// document by that section's table, for every section that has a marker. The mistakes planted in
// registered ops are another run's than all else: where one was not run, its tables are left alone.
//
// It returns an error if a marker is not closed.
func (r *Report) Fill(document string) (string, error) {
	for _, s := range Sections() {
		from, to := "<!-- verify:"+s+" -->", "<!-- /verify:"+s+" -->"
		before, rest, ok := strings.Cut(document, from)
		if !ok || (s == "registered") != (len(r.Registered()) > 0) {
			continue
		}
		_, after, ok := strings.Cut(rest, to)
		if !ok {
			return "", fmt.Errorf("suite: %s is not closed by %s", from, to)
		}
		text, err := r.Markdown(s)
		if err != nil {
			return "", err
		}
		document = before + from + "\n" + text + to + after
	}
	return document, nil
}
