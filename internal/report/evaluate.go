package report

import (
	"cmp"
	"context"
	"math"
	"runtime"
	"slices"
	"sync"

	"github.com/pkg/errors"
	"gorgonia.org/tensor"

	"github.com/convgrad/convgrad/train"
	"github.com/convgrad/convgrad/train/data"
)

// An Evaluation is what a network makes of labelled samples. All shares are in [0, 1].
type Evaluation struct {
	Samples   int      `json:"samples"`
	Loss      float64  `json:"loss"`     // the mean, without penalties
	Accuracy  float64  `json:"accuracy"` // samples whose most probable class is their own
	Top5      float64  `json:"top5"`     // samples whose class is among the five most probable
	ECE       float64  `json:"ece"`      // Σ over bins of share·|right − sure|
	Classes   []Class  `json:"classes"`
	Bins      []Bin    `json:"calibration"`
	Confusion [][]int  `json:"confusion"` // by class, then by what it was taken for; nil for many
	Judged    []Judged `json:"-"`         // by sample
}

// A Class is how well one class is told from the others. A share of nothing is 0.
type Class struct {
	Name      string  `json:"class"`
	Samples   int     `json:"samples"`
	Precision float64 `json:"precision"` // of what was taken for it
	Recall    float64 `json:"recall"`    // of its samples
	F1        float64 `json:"f1"`        // the harmonic mean of the two
}

// A Bin is the samples whose most probable class has a probability in [From, To).
type Bin struct {
	From    float64 `json:"from"`
	To      float64 `json:"to"`
	Samples int     `json:"samples"`
	Sure    float64 `json:"confidence"` // the mean probability
	Right   float64 `json:"accuracy"`
}

// A Judged sample is one with what the network makes of it.
type Judged struct {
	Set, Index   int // of the sets that were given, and in it
	Label, Taken int
	Sure         float64 // the probability of Taken
}

// maxConfusion is the largest number of classes whose square is counted.
const maxConfusion = 1000

// bins is how many there are: the usual ten.
const bins = 10

// evalElements bounds the elements of the samples that are read at once.
const (
	evalBatch    = 256
	evalElements = 1 << 22
)

// Evaluate puts all samples of the sets, which the run's Sets opened, through its network.
//
// It returns an error that names the sample if one cannot be read or has no class, and if ctx ends.
func Evaluate(ctx context.Context, r *train.SavedRun, sets ...data.Set) (*Evaluation, error) {
	if r == nil || r.Classifier == nil || r.Network == nil || len(r.Classes) < 2 {
		return nil, errors.New("report: the run has no network or no classes")
	}
	k := len(r.Classes)
	e := &Evaluation{Bins: make([]Bin, bins)}
	if k <= maxConfusion {
		e.Confusion = make([][]int, k)
		for i := range e.Confusion {
			e.Confusion[i] = make([]int, k)
		}
	}
	for s, set := range sets {
		if set == nil || !set.Shape().Eq(r.Input) {
			return nil, errors.Errorf("report: set %d is not one of the run's Sets, whose samples are %v", s, r.Input)
		}
		size := r.Input.TotalSize()
		batch := min(evalBatch, max(1, evalElements/size), set.Len())
		x, labels := make([]float32, batch*size), make([]int, batch)
		for at := 0; at < set.Len(); at += batch {
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			n := min(batch, set.Len()-at)
			if err := readAll(set, at, x[:n*size], labels[:n], k); err != nil {
				return nil, err
			}
			in := tensor.New(tensor.WithShape(append(tensor.Shape{n}, r.Input...)...), tensor.WithBacking(x[:n*size]))
			y, err := r.Network.Predict(in)
			if err != nil {
				return nil, err
			}
			rows, ok := y.Data().([]float32)
			if !ok || len(rows) != n*k {
				return nil, errors.Errorf("report: the network's output is %v of %v, want %d×%d of float32", y.Shape(), y.Dtype(), n, k)
			}
			for i, label := range labels[:n] {
				if err := e.add(r, rows[i*k:][:k], Judged{Set: s, Index: at + i, Label: label}); err != nil {
					return nil, err
				}
			}
		}
	}
	e.settle(r.Classes)
	return e, nil
}

// readAll reads samples at, at+1 and so on, on all cores.
func readAll(set data.Set, at int, x []float32, labels []int, classes int) error {
	size := len(x) / len(labels)
	workers := min(runtime.GOMAXPROCS(0), len(labels))
	failed := make([]error, workers)
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			i := w
			defer func() { // a set may be a caller's
				if p := recover(); p != nil {
					failed[w] = errors.Errorf("report: sample %d: the set panicked: %v", at+i, p)
				}
			}()
			for ; i < len(labels); i += workers {
				t, err := set.Read(at+i, x[i*size:][:size:size])
				if err == nil && (t.Values != nil || t.Class < 0 || t.Class >= classes) {
					err = errors.Errorf("its class is %d, want 0 to %d", t.Class, classes-1)
				}
				if err != nil {
					failed[w] = errors.Wrapf(err, "report: sample %d", at+i)
					return
				}
				labels[i] = t.Class
			}
		})
	}
	wg.Wait()
	for _, err := range failed {
		if err != nil {
			return err
		}
	}
	return nil
}

// add counts a sample whose outputs are row.
func (e *Evaluation) add(r *train.SavedRun, row []float32, j Judged) error {
	p, err := r.Probabilities(row)
	if err != nil {
		return errors.Wrapf(err, "report: sample %d", j.Index)
	}
	above := 0
	for c, v := range p {
		if v > p[j.Taken] {
			j.Taken = c
		}
		if v > p[j.Label] || v == p[j.Label] && c < j.Label {
			above++
		}
	}
	j.Sure = p[j.Taken]
	e.Samples++
	e.Loss += r.LossOf(row, j.Label)
	if e.Confusion != nil {
		e.Confusion[j.Label][j.Taken]++
	}
	if above < 5 {
		e.Top5++
	}
	b := &e.Bins[min(int(j.Sure*bins), bins-1)]
	b.Samples++
	b.Sure += j.Sure
	if j.Taken == j.Label {
		e.Accuracy++
		b.Right++
	}
	e.Judged = append(e.Judged, j)
	return nil
}

// settle divides the sums.
func (e *Evaluation) settle(names []string) {
	n := float64(max(e.Samples, 1))
	e.Loss, e.Accuracy, e.Top5 = e.Loss/n, e.Accuracy/n, e.Top5/n
	for i := range e.Bins {
		b := &e.Bins[i]
		b.From, b.To = float64(i)/bins, float64(i+1)/bins
		b.Sure, b.Right = share(b.Sure, b.Samples), share(b.Right, b.Samples)
		e.ECE += float64(b.Samples) / n * math.Abs(b.Right-b.Sure)
	}
	own, taken, right := make([]int, len(names)), make([]int, len(names)), make([]float64, len(names))
	for _, j := range e.Judged {
		own[j.Label]++
		taken[j.Taken]++
		if j.Label == j.Taken {
			right[j.Label]++
		}
	}
	for c, name := range names {
		row := Class{Name: name, Samples: own[c], Precision: share(right[c], taken[c]), Recall: share(right[c], own[c])}
		if sum := row.Precision + row.Recall; sum > 0 {
			row.F1 = 2 * row.Precision * row.Recall / sum
		}
		e.Classes = append(e.Classes, row)
	}
}

func share(part float64, of int) float64 {
	if of == 0 {
		return 0
	}
	return part / float64(of)
}

// A Confused is a class and another that its samples were taken for.
type Confused struct{ Label, Taken, Samples int }

// MostConfused are the pairs of classes with the most mistakes, at most so many.
func (e *Evaluation) MostConfused(most int) []Confused {
	count := map[[2]int]int{}
	for _, j := range e.Judged {
		if j.Taken != j.Label {
			count[[2]int{j.Label, j.Taken}]++
		}
	}
	var all []Confused
	for pair, n := range count {
		all = append(all, Confused{pair[0], pair[1], n})
	}
	slices.SortFunc(all, func(a, b Confused) int {
		return cmp.Or(cmp.Compare(b.Samples, a.Samples), cmp.Compare(a.Label, b.Label), cmp.Compare(a.Taken, b.Taken))
	})
	return all[:min(len(all), most)]
}

// Mistakes are the samples that were taken for another class, the surest first, at most so many.
func (e *Evaluation) Mistakes(most int) []Judged {
	var wrong []Judged
	for _, j := range e.Judged {
		if j.Taken != j.Label {
			wrong = append(wrong, j)
		}
	}
	slices.SortStableFunc(wrong, func(a, b Judged) int { return cmp.Compare(b.Sure, a.Sure) })
	return wrong[:min(len(wrong), most)]
}
