package verify

import (
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/pkg/errors"

	"github.com/convgrad/convgrad/verify/internal/values"
)

// A Verdict is the outcome of a row.
type Verdict string

// The verdicts of a row.
const (
	Holds     Verdict = "holds"
	Fails     Verdict = "fails"
	Skipped   Verdict = "skipped"    // it does not apply, or is not offered; Note says why
	NotJudged Verdict = "not judged" // there was nothing to compare with; Note says why
)

// A Float is a float64 that JSON can carry: NaN and infinities are written as strings.
type Float float64

// MarshalJSON writes NaN and infinities as "NaN", "+Inf" and "-Inf".
func (f Float) MarshalJSON() ([]byte, error) {
	if v := float64(f); math.IsNaN(v) || math.IsInf(v, 0) {
		return json.Marshal(strconv.FormatFloat(v, 'g', -1, 64))
	}
	return json.Marshal(float64(f))
}

// UnmarshalJSON reads what MarshalJSON writes.
func (f *Float) UnmarshalJSON(b []byte) error {
	v, err := strconv.ParseFloat(strings.Trim(string(b), `"`), 64)
	if err != nil {
		return errors.Wrapf(err, "verify: %s is not a number", b)
	}
	*f = Float(v)
	return nil
}

// A Mismatch is the worst element of a row that fails.
type Mismatch struct {
	// multi-index into the quantity; empty for a scalar or a direction
	Index []int `json:"index,omitempty"`
	// of a Jacobian: multi-index into y, Index being that into the input
	Of    []int  `json:"of,omitempty"`
	Got   Float  `json:"got"`
	Want  Float  `json:"want"`
	Error Float  `json:"error"`
	Bound Float  `json:"bound"`
	Hint  string `json:"hint,omitempty"` // the pattern of all mismatches together
}

// A Row is one quantity judged by one oracle.
type Row struct {
	Quantity string  `json:"quantity"` // y, or d and the name of an input
	Oracle   Oracle  `json:"oracle"`
	Verdict  Verdict `json:"verdict"`
	Compared int     `json:"compared"` // numbers compared
	// the largest error as a fraction of its bound; 0 where everything was equal
	Worst Float `json:"worst"`
	// of which are at kinks: any derivative between the one-sided ones is right
	Kinks int `json:"kinks,omitempty"`
	// the shapes or values at which it fails, if they were varied
	At       string    `json:"at,omitempty"`
	Note     string    `json:"note,omitempty"` // an error, a panic, or why the row was skipped
	Mismatch *Mismatch `json:"mismatch,omitempty"`

	same bool // the rule is compared with itself
}

// A Report is what Check found out about a case.
type Report struct {
	Name   string `json:"name"`
	Seed   uint64 `json:"seed"`
	Inputs string `json:"inputs"` // names and shapes
	Rows   []Row  `json:"rows"`
	Varied string `json:"varied,omitempty"` // what was varied beside, and what was not
	Blind  bool   `json:"blind,omitempty"`  // nothing fails, and no gradient could be judged
	Values string `json:"values,omitempty"` // the numbers of the smallest failing case, as Go text
	// the smallest shapes found at which the first failing row still fails
	Shrunk *Report `json:"shrunk,omitempty"`
}

// Failed reports whether a row fails.
func (r *Report) Failed() bool { return r.First() != nil }

// Passed reports whether no row fails and the gradients were judged. A nil report, as Check returns
// with an error, has not passed.
func (r *Report) Passed() bool { return r != nil && !r.Failed() && !r.Blind }

// Compared is how many numbers were compared.
func (r *Report) Compared() int {
	if r == nil {
		return 0
	}
	n := 0
	for _, row := range r.Rows {
		n += row.Compared
	}
	return n
}

// Worst is the largest error of all rows that hold, as a fraction of its bound.
func (r *Report) Worst() float64 {
	if r == nil {
		return 0
	}
	w := 0.0
	for _, row := range r.Rows {
		if row.Verdict == Holds {
			w = max(w, float64(row.Worst))
		}
	}
	return w
}

// First is the first row that fails, or nil.
func (r *Report) First() *Row {
	if r == nil {
		return nil
	}
	for i := range r.Rows {
		if r.Rows[i].Verdict == Fails {
			return &r.Rows[i]
		}
	}
	return nil
}

// counts are the rows by verdict.
func (r *Report) counts() string {
	n, kinks := map[Verdict]int{}, 0
	for _, row := range r.Rows {
		n[row.Verdict]++
		kinks = max(kinks, row.Kinks)
	}
	s := fmt.Sprintf("%d of %d rows hold", n[Holds], len(r.Rows))
	if n[Fails] > 0 {
		s = fmt.Sprintf("%d of %d rows fail, %d hold", n[Fails], len(r.Rows), n[Holds])
	}
	if n[Skipped] > 0 {
		s += fmt.Sprintf(", %d do not apply", n[Skipped])
	}
	if n[NotJudged] > 0 {
		s += fmt.Sprintf(", %d are not judged", n[NotJudged])
	}
	if kinks > 0 {
		s += fmt.Sprintf(", %d derivatives are at kinks", kinks)
	}
	return s
}

// String is the report for a person: a failing row in full, the others in a line each.
func (r *Report) String() string {
	if r == nil {
		return "no report"
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %s (%s; seed %d)\n", r.Name, r.counts(), r.Inputs, r.Seed)
	if r.Blind {
		b.WriteString("  no gradient could be judged: draw the inputs where the op is differentiable\n")
	}
	if f := r.First(); f != nil {
		fmt.Fprintf(&b, "  %s\n", f.sentence())
		if r.Shrunk != nil {
			if s := r.Shrunk.First(); s != nil {
				fmt.Fprintf(&b, "  smallest: %s: %s\n", r.Shrunk.Inputs, s.sentence())
			}
		}
	}
	q, o := 0, 0
	for _, row := range r.Rows {
		q, o = max(q, len([]rune(row.Quantity))), max(o, len([]rune(string(row.Oracle))))
	}
	for _, row := range r.Rows {
		fmt.Fprintf(&b, "  %-*s  %-*s  %-10s", q, row.Quantity, o, row.Oracle, row.Verdict)
		switch {
		case row.Note != "":
			fmt.Fprintf(&b, "  %s", row.Note)
		case row.Worst == 0:
			fmt.Fprintf(&b, "  %d equal", row.Compared)
		default:
			fmt.Fprintf(&b, "  %d compared, worst %.2g of its bound", row.Compared, float64(row.Worst))
		}
		if row.Kinks > 0 {
			fmt.Fprintf(&b, "; %d at kinks", row.Kinks)
		}
		b.WriteByte('\n')
	}
	if r.Varied != "" {
		fmt.Fprintf(&b, "  %s\n", r.Varied)
	}
	if r.Values != "" {
		b.WriteString("  the numbers of the smallest failing case:\n")
		for _, line := range strings.Split(strings.TrimSpace(r.Values), "\n") {
			fmt.Fprintf(&b, "    %s\n", line)
		}
	}
	return b.String()
}

// String is the row as a sentence: what is wrong, or what held.
func (r Row) String() string {
	if r.Verdict != Fails {
		return strings.TrimSpace(fmt.Sprintf("%s against %s: %s %s", r.Quantity, r.Oracle, r.Verdict, r.Note))
	}
	return r.sentence()
}

func (r *Row) sentence() string {
	s := fmt.Sprintf("%s against %s: ", r.Quantity, r.Oracle)
	if r.Oracle == ByRunning {
		s = r.Quantity + ": "
	}
	if r.Mismatch == nil {
		return s + r.Note + r.where()
	}
	m := r.Mismatch
	s = r.Quantity
	switch {
	case strings.HasPrefix(r.Quantity, "∂"):
		y, x, _ := strings.Cut(r.Quantity, "/∂")
		s = fmt.Sprintf("%s%v/∂%s%v", y, m.Of, x, m.Index)
	case len(m.Index) > 0:
		s += fmt.Sprint(m.Index)
	}
	got, want := fmt.Sprintf("%.10g", float64(m.Got)), fmt.Sprintf("%.10g", float64(m.Want))
	if got == want {
		got, want = fmt.Sprintf("%.17g", float64(m.Got)), fmt.Sprintf("%.17g", float64(m.Want))
	}
	if o := oracleOf(r.Oracle); o != nil && o.says != nil {
		s += o.says(r.Quantity, got, want)
	} else {
		s += fmt.Sprintf(" is %s, and by %s %s", got, r.Oracle, want)
	}
	s += fmt.Sprintf(": the error is %.3g, the bound %.3g", float64(m.Error), float64(m.Bound))
	s += r.where()
	if m.Hint != "" {
		s += ". Pattern: " + m.Hint
	}
	return s
}

// where is the variation at which the row fails.
func (r *Row) where() string {
	if r.At == "" || r.At == "smaller" {
		return ""
	}
	return ", at " + r.At
}

// compare makes a row of two arrays and the bound of each element. equal asks for the same bits,
// where any NaN equals any other.
func compare(quantity string, by Oracle, shape []int, got, want, bound []float64) Row {
	r := Row{Quantity: quantity, Oracle: by, Verdict: Holds, Compared: len(got)}
	if len(got) != len(want) {
		r.Verdict, r.Note = Fails, fmt.Sprintf("it has %d elements, and %d by the oracle", len(got), len(want))
		return r
	}
	worst, at := -1.0, -1
	bad := make([]bool, len(got))
	for i := range got {
		if got[i] == want[i] || math.IsNaN(got[i]) && math.IsNaN(want[i]) {
			continue
		}
		b := 0.0
		if bound != nil {
			b = bound[i]
		}
		e := math.Abs(got[i] - want[i])
		f := e / b
		if math.IsNaN(f) { // a NaN on one side, or a bound that is none
			f = math.Inf(1)
		}
		bad[i] = !(e <= b)
		if f > worst {
			worst, at = f, i
		}
	}
	if at < 0 {
		return r
	}
	r.Worst = Float(worst)
	if bad[at] {
		b := 0.0
		if bound != nil {
			b = bound[at]
		}
		r.Verdict = Fails
		r.Mismatch = &Mismatch{Index: values.Index(at, shape), Got: Float(got[at]), Want: Float(want[at]), Error: Float(math.Abs(got[at] - want[at])), Bound: Float(b),
			Hint: hint(shape, got, want, bad)}
	}
	return r
}
