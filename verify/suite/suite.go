// Package suite checks this library: its ops against every oracle that applies, the article's equations in exact arithmetic, the checker itself by planted mistakes, and Gorgonia's own ops
// by the same checker.
package suite

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/pkg/errors"
	"gorgonia.org/tensor"
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
		return nil, errors.Errorf("suite: got the op %q, want a part of one of %q", only, Ops())
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

// A Row is one line of the suite's table.
type Row struct {
	Op       string  `json:"op"`
	Quantity string  `json:"quantity"`
	Oracle   string  `json:"oracle"`
	Cases    int     `json:"cases"`    // random subjects in which the oracle applied
	Numbers  int     `json:"numbers"`  // elements compared
	Worst    float64 `json:"worst"`    // the largest error as a fraction of its bound
	Equality bool    `json:"equality"` // no comparison allowed any error
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

// Run checks the library's ops. A failing row says what is wrong, in the smallest case found, and how to repeat it.
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
		f := all[i%len(all)]
		t.add(f, o.Seed, uint64(i), i/len(all)%every == 0)
	}
	return t.sorted(all), nil
}

type table struct {
	rows []Row
	at   map[[3]string]int
}

// numbered is the subject of a seed and a number, its element type, and the generator for its values.
func numbered(f family, seed, number uint64) (*subject, tensor.Dtype, *rand.Rand) {
	r := rand.New(rand.NewPCG(seed, number))
	of := []tensor.Dtype{tensor.Float64, tensor.Float32}[r.IntN(2)]
	return f.subject(r), of, r
}

// one checks the subject of a number, also by package verify's checker if asked to.
func one(f family, seed, number uint64, checker bool) (*subject, *judge) {
	s, of, r := numbered(f, seed, number)
	j := check(s, r, of)
	if checker {
		j.throughChecker(seed + number)
	}
	return s, j
}

func (t *table) add(f family, seed, number uint64, checker bool) {
	s, j := one(f, seed, number, checker)
	seen, failed := map[int]bool{}, map[int]bool{}
	for _, c := range j.rows {
		key := [3]string{f.op, c.quantity, c.oracle}
		i, ok := t.at[key]
		if !ok {
			i = len(t.rows)
			t.at[key] = i
			t.rows = append(t.rows, Row{Op: f.op, Quantity: c.quantity, Oracle: c.oracle, Equality: true})
		}
		row := &t.rows[i]
		row.Numbers++
		if !seen[i] {
			seen[i] = true
			row.Cases++
		}
		row.Worst = math.Max(row.Worst, c.worst)
		row.Equality = row.Equality && c.worst == 0
		if c.failure != "" && !failed[i] {
			failed[i] = true
			row.Failed++
			if row.Failed == 1 {
				row.Failure = smallest(f, s, j, c, seed, number, checker)
			}
		}
	}
}

// smallest looks for the smallest case of the op that fails in the same quantity and oracle, and describes it.
func smallest(f family, s *subject, j *judge, c comparison, seed, number uint64, checker bool) string {
	size := func(s *subject) int {
		n := 0
		for _, shape := range s.shapes {
			n += len(newArray(shape...).data)
		}
		return n
	}
	tries := uint64(400)
	if checker { // it shrinks by itself
		tries = 20
	}
	for i := range tries {
		n := 1<<32 + i
		if other, _, _ := numbered(f, seed, n); size(other) < size(s) {
			t, k := one(f, seed, n, checker)
			for _, d := range k.rows {
				if d.failure != "" && d.oracle == c.oracle && d.quantity == c.quantity {
					s, j, c, number = t, k, d, n
					break
				}
			}
		}
	}
	return fmt.Sprintf("%s, %v: %s (seed %d, case %d)", s.params, j.of, c.failure, seed, number)
}

func (t *table) sorted(all []family) []Row {
	var rows []Row
	for _, f := range all {
		for _, r := range t.rows {
			if r.Op == f.op {
				rows = append(rows, r)
			}
		}
	}
	return rows
}
