// Package suite checks this library: its ops by package verify, each with its reference, another
// graph and this library's executor where there are such, and the checker itself by planted
// mistakes.
package suite

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	G "gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/convgrad/convgrad/ops/vm"
	"github.com/convgrad/convgrad/verify"
)

// subject draws one and names it.
func (f family) subject(r *rand.Rand) *subject {
	s := f.draw(r)
	s.op = f.op
	return s
}

// chosen are the families whose op contains only, and an error if there are none.
func chosen(only string) ([]family, error) {
	var all []family
	for _, f := range families() {
		if strings.Contains(strings.ToLower(f.op), strings.ToLower(only)) {
			all = append(all, f)
		}
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("suite: got the op %q, want a part of one of %q", only, Ops())
	}
	return all, nil
}

// Ops are the names of what the suite checks.
func Ops() []string {
	var all []string
	for _, f := range families() {
		all = append(all, f.op)
	}
	return all
}

// arguments are the names of an op's differentiable inputs.
func arguments(op string) []string {
	switch op {
	case "Conv2DBackwardData":
		return []string{"dy", "w"}
	case "Conv2DBackwardFilter":
		return []string{"x", "dy"}
	case "MSE":
		return []string{"y", "t"}
	}
	return []string{"x", "w", "b"}
}

// executor is this library's machine.
var executor = verify.Machine{Name: "ops/vm", New: func(g *G.ExprGraph, outputs ...*G.Node) (G.VM, error) {
	return vm.New(g, outputs...)
}}

// check is the subject as a case of the checker. On whole numbers the reference and every machine
// must give equality; on others each is within its rounding bound.
func (s *subject) check(seed uint64, whole bool) verify.Case {
	c := verify.Case{
		Name: s.op, Build: s.build, Seed: seed, Reference: s.reference, Rounding: s.rounding,
		Machines: []verify.Machine{executor}, Fixed: true, Sample: 3, NoShrink: true, SameBits: true,
		Inputs: s.inputs,
	}
	if s.outputs != nil {
		c.Build, c.Outputs = nil, s.outputs
	} else {
		c.Other = s.another
	}
	if s.others != nil && s.planted {
		c.Sample = 0 // there is no reference, so differences have to look at every element
	}
	if s.rounding != nil { // not that of the formula
		c.Skip = append(c.Skip, verify.ByExact)
	}
	if s.rough {
		c.Skip = append(c.Skip, verify.BySecond)
	}
	for i, shape := range s.shapes {
		if s.inputs != nil {
			break
		}
		name := s.name(i)
		in := verify.Normal(name, shape...)
		switch {
		case s.distinct:
			in = verify.Permutation(name, shape...)
		case s.away:
			in.Draw = away
		case whole:
			in = verify.Integers(name, 4, shape...)
		}
		in.Linear = s.affine
		in.Batch = i == 0 && s.independent()
		c.Inputs = append(c.Inputs, in)
	}
	return c
}

// away draws numbers none of which is near 0.
func away(r *rand.Rand, v []float64) {
	for k := range v {
		v[k] = r.NormFloat64()
		v[k] += math.Copysign(0.5, v[k])
	}
}

// name is what input i is called.
func (s *subject) name(i int) string {
	if s.inputs != nil {
		return s.inputs[i].Name
	}
	return arguments(s.op)[i]
}

// independent reports whether the op treats the items along its first axis each by itself, with
// nothing of the batch size in its parameters.
func (s *subject) independent() bool {
	return (strings.HasPrefix(s.op, "Conv2D") && !strings.Contains(s.op, "Backward") ||
		strings.HasSuffix(s.op, "Pool2D") || s.op == "ReLU" || s.op == "Linear" || s.op == "Flatten" ||
		s.op == "Softmax") && s.outputs == nil && !s.planted
}

// Theirs is a case of the graph of Gorgonia's own ops that an op of ours is compared with, and its
// parameters. Build is nil where the subject drawn has none.
func Theirs(op string, r *rand.Rand) (params string, c verify.Case) {
	for _, f := range families() {
		if f.op == op {
			s := f.subject(r)
			c = s.check(1, true)
			c.Build, c.Other, c.Machines, c.SameBits = s.another, nil, nil, false
			return s.params, c
		}
	}
	return "", c
}

// judged is what the checker says: its first complaint, and all of its rows.
func (s *subject) judged(seed uint64, whole bool) ([]verify.Row, error) {
	r, err := s.check(seed, whole).Check()
	if err != nil {
		return nil, err
	}
	if f := r.First(); f != nil {
		return r.Rows, errors.New(f.String())
	}
	return r.Rows, nil
}

// A Row is one line of the suite's table.
type Row struct {
	Op       string  `json:"op"`
	Quantity string  `json:"quantity"`
	Oracle   string  `json:"oracle"`
	Cases    int     `json:"cases"`    // random subjects in which the oracle applied
	Numbers  int     `json:"numbers"`  // elements compared
	Worst    float64 `json:"worst"`    // the largest error as a fraction of its bound
	Equality bool    `json:"equality"` // every comparison found equality
	Failed   int     `json:"failed"`   // cases with a failure
	Failure  string  `json:"failure,omitempty"`
}

// Passed reports whether no case failed.
func (r Row) Passed() bool { return r.Failed == 0 }

// Options say how much to check.
type Options struct {
	Cases int           // random cases in all, shared among the ops
	Time  time.Duration // go on for so long, if it is more than the cases take
	Seed  uint64
	Op    string // only ops whose name contains it
}

// Run checks the library's ops. A failing row says what is wrong, in the smallest case found, and
// how to repeat it.
//
// It returns an error if no op has such a name.
func Run(o Options) ([]Row, error) {
	all, err := chosen(o.Op)
	if err != nil {
		return nil, err
	}
	t := table{at: map[[3]string]int{}}
	began := time.Now()
	for i := 0; i < o.Cases || time.Since(began) < o.Time; i++ {
		t.add(all[i%len(all)], o.Seed, uint64(i))
	}
	return t.sorted(all), nil
}

type table struct {
	rows []Row
	at   map[[3]string]int
}

// one is the subject of a seed and a number, and what the checker says of it.
func one(f family, seed, number uint64) (*subject, []verify.Row, error) {
	r := rand.New(rand.NewPCG(seed, number))
	whole := r.IntN(2) == 0
	s := f.subject(r)
	rows, err := s.judged(seed+number, whole)
	return s, rows, err
}

func (t *table) add(f family, seed, number uint64) {
	s, rows, err := one(f, seed, number)
	if err != nil && rows == nil {
		rows = []verify.Row{{Quantity: "y", Oracle: verify.ByRunning, Verdict: verify.Fails, Note: err.Error()}}
	}
	seen, failed := map[int]bool{}, map[int]bool{}
	for _, c := range rows {
		if c.Verdict == verify.Skipped || c.Verdict == verify.NotJudged || c.Verdict == verify.Holds && c.Compared == 0 {
			continue
		}
		key := [3]string{f.op, c.Quantity, string(c.Oracle)}
		i, ok := t.at[key]
		if !ok {
			i = len(t.rows)
			t.at[key] = i
			t.rows = append(t.rows, Row{Op: f.op, Quantity: c.Quantity, Oracle: key[2], Equality: true})
		}
		row := &t.rows[i]
		row.Numbers += c.Compared
		if !seen[i] {
			seen[i] = true
			row.Cases++
		}
		row.Worst = math.Max(row.Worst, float64(c.Worst))
		row.Equality = row.Equality && c.Worst == 0
		if c.Verdict == verify.Fails && !failed[i] {
			failed[i] = true
			if row.Failed++; row.Failed == 1 {
				row.Failure = smallest(f, s, c, seed, number)
			}
		}
	}
}

func (s *subject) size() int {
	n := 0
	for _, shape := range s.shapes {
		n += tensor.Shape(shape).TotalSize()
	}
	return n
}

// smallest looks for the smallest case of the op that fails in the same quantity and oracle, and
// describes it. The checker cannot make the shapes smaller: the parameters go with them.
func smallest(f family, s *subject, c verify.Row, seed, number uint64) string {
	for i := range uint64(200) {
		n := 1<<32 + i
		r := rand.New(rand.NewPCG(seed, n))
		r.IntN(2)
		if f.subject(r).size() >= s.size() {
			continue
		}
		t, rows, _ := one(f, seed, n)
		for _, d := range rows {
			if d.Verdict == verify.Fails && d.Oracle == c.Oracle && d.Quantity == c.Quantity {
				s, c, number = t, d, n
				break
			}
		}
	}
	return fmt.Sprintf("%s: %s (seed %d, case %d)", s.params, c, seed, number)
}

func (t *table) sorted(all []family) []Row {
	place := func(r Row) int { return slices.IndexFunc(all, func(f family) bool { return f.op == r.Op }) }
	slices.SortStableFunc(t.rows, func(a, b Row) int { return place(a) - place(b) })
	return t.rows
}
