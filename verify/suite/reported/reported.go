// Package reported is a corpus of mistakes in derivatives that people really made and reported in
// public, each as a small op of its own, with the right rule beside the wrong one; and of right ops
// with hard numbers, which a checker must not refuse. What verify claims of itself is measured
// here.
package reported

import (
	"fmt"
	"strings"

	G "gorgonia.org/gorgonia"

	"github.com/convgrad/convgrad/verify"
)

// A Sight says what it takes to see a mistake.
type Sight string

// The sights.
const (
	AtOneShape Sight = "at the shapes and values given"
	ByVarying  Sight = "only by varying sizes or values"
	Never      Sight = "cannot be seen: what shows it is never varied"
)

// A Mistake is a rule that somebody got wrong.
type Mistake struct {
	Kind   string // such as "a buffer that is not cleared"
	Report string // such as "pytorch#1631"
	What   string // what the rule does wrong
	Inputs []verify.Input
	Seen   Sight
	Why    string   // it cannot be seen
	Hints  []string // what a hint may say and be true; a hint that contains none of them is false

	op func(wrong bool) def
}

// Right and Wrong build the op with the right and with the wrong rule.
func (m Mistake) Right() verify.Build { return m.build(false) }
func (m Mistake) Wrong() verify.Build { return m.build(true) }

func (m Mistake) build(wrong bool) verify.Build {
	return func(in []*G.Node) (*G.Node, error) { return m.op(wrong).Apply(in...) }
}

// A Finding is what the checker says of a mistake with nothing declared.
type Finding struct {
	Mistake
	Caught  bool // it fails
	Varied  bool // and does so only at other sizes or values than those given
	Refused bool // the right rule fails, too
	Says    string
	OfRight string // what it says of the right rule
	Judged  *verify.Report
}

// Check puts every mistake before the checker, and the right rule beside it.
func Check(seed uint64) ([]Finding, error) {
	var all []Finding
	for _, m := range Mistakes() {
		f := Finding{Mistake: m}
		var bad *verify.Report
		var err error
		for range 3 { // on a busy machine the checker leaves long axes out, as its report says
			bad, err = verify.Case{Name: m.Report, Build: m.Wrong(), Inputs: m.Inputs, Seed: seed}.Check()
			if err != nil {
				return nil, fmt.Errorf("%s: %w", m.Report, err)
			}
			if bad.Failed() || m.Seen == Never {
				break
			}
		}
		f.Judged, f.Caught = bad, bad.Failed()
		if f.Caught {
			f.Says = bad.First().String()
			fixed, err := verify.Case{Build: m.Wrong(), Inputs: m.Inputs, Seed: seed, Fixed: true, NoShrink: true}.Check()
			if err != nil {
				return nil, fmt.Errorf("%s: %w", m.Report, err)
			}
			f.Varied = !fixed.Failed()
		}
		good, err := verify.Case{Name: m.Report, Build: m.Right(), Inputs: m.Inputs, Seed: seed}.Check()
		if err != nil {
			return nil, fmt.Errorf("%s: %w", m.Report, err)
		}
		if f.Refused = good.Failed(); f.Refused {
			f.OfRight = good.First().String()
		}
		all = append(all, f)
	}
	return all, nil
}

// Hints are all patterns that a report prints.
func Hints(r *verify.Report) []string {
	var all []string
	for ; r != nil; r = r.Shrunk {
		for _, row := range r.Rows {
			if row.Verdict == verify.Fails && row.Mismatch != nil && row.Mismatch.Hint != "" {
				all = append(all, row.Mismatch.Hint)
			}
		}
	}
	return all
}

// False are the hints of a report that are not true of the mistake.
func (m Mistake) False(r *verify.Report) []string {
	var all []string
	for _, h := range Hints(r) {
		ok := false
		for _, allowed := range m.Hints {
			ok = ok || strings.Contains(h, allowed)
		}
		if !ok {
			all = append(all, h)
		}
	}
	return all
}

// Mistakes is the corpus.
func Mistakes() []Mistake {
	var all []Mistake
	for _, some := range [][]Mistake{arranging(), curves(), rowwise(), windowed()} {
		all = append(all, some...)
	}
	return all
}

// A Kind is what became of the mistakes of one kind.
type Kind struct {
	Kind      string   `json:"kind"`
	AtOnce    int      `json:"atOnce"`    // caught at the shapes and values given
	Varying   int      `json:"varying"`   // caught at others
	Invisible int      `json:"invisible"` // known not to be seen
	Missed    []string `json:"missed,omitempty"`
	Refused   []string `json:"refused,omitempty"` // right rules that the checker refuses
	Reports   []string `json:"reports"`
	Why       []string `json:"why,omitempty"` // what is never varied
}

// Kinds counts findings by kind, in the order of the corpus.
func Kinds(all []Finding) []Kind {
	var kinds []Kind
	at := map[string]int{}
	for _, f := range all {
		i, ok := at[f.Kind]
		if !ok {
			i = len(kinds)
			at[f.Kind], kinds = i, append(kinds, Kind{Kind: f.Kind})
		}
		k := &kinds[i]
		k.Reports = append(k.Reports, f.Report)
		switch {
		case f.Caught && f.Varied:
			k.Varying++
		case f.Caught:
			k.AtOnce++
		case f.Seen == Never:
			k.Invisible++
			k.Why = append(k.Why, f.Why)
		default:
			k.Missed = append(k.Missed, f.Report+": "+f.What)
		}
		if f.Refused {
			k.Refused = append(k.Refused, f.Report+": "+f.OfRight)
		}
	}
	return kinds
}
