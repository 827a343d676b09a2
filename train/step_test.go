package train

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/pkg/errors"
	G "gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/convgrad/convgrad/model"
	"github.com/convgrad/convgrad/train/data"
)

// linear is a network of one linear layer from 3 numbers to 2, in float64.
func linear(t *testing.T) *model.Network {
	t.Helper()
	n, err := model.New(model.Linear{Outputs: 2}, tensor.Shape{3}, model.Options{Seed: 1, Float64: true})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// difference is the loss Σ (y − t)² / n of a batch of n.
var difference = model.LossFunc(func(y, target *G.Node) (*G.Node, error) {
	d, err := G.Sub(y, target)
	if err != nil {
		return nil, err
	}
	if d, err = G.Square(d); err != nil {
		return nil, err
	}
	if d, err = G.Sum(d); err != nil {
		return nil, err
	}
	return G.Div(d, G.NewConstant(float64(y.Shape()[0])))
})

// regression is a batch of random numbers and values.
func regression(r *rand.Rand, n int) (x []float32, targets []data.Target) {
	for range n {
		for range 3 {
			x = append(x, float32(r.NormFloat64()))
		}
		targets = append(targets, data.Target{Values: []float32{float32(r.NormFloat64()), float32(r.NormFloat64())}})
	}
	return x, targets
}

// byHand is the gradient of Σ (w·x + b − t)²/n + λ/2·Σ w² by w and b.
func byHand(w, b []float64, x []float32, targets []data.Target, lambda float64) (dw, db []float64) {
	dw, db = make([]float64, len(w)), make([]float64, len(b))
	for i, t := range targets {
		for o := range b {
			y := b[o]
			for k := range 3 {
				y += w[o*3+k] * float64(x[i*3+k])
			}
			d := 2 * (y - float64(t.Values[o])) / float64(len(targets))
			db[o] += d
			for k := range 3 {
				dw[o*3+k] += d * float64(x[i*3+k])
			}
		}
	}
	for i, v := range w {
		dw[i] += lambda * v
	}
	for i, v := range b {
		db[i] += lambda * v
	}
	return dw, db
}

// close64 compares with a bound of some hundred roundings of numbers below 100.
func close64(t *testing.T, what string, got any, want []float64) {
	t.Helper()
	g, ok := got.([]float64)
	if !ok || len(g) != len(want) {
		t.Fatalf("%s: got %T of %v, want %d float64", what, got, got, len(want))
	}
	for i, v := range want {
		if !(math.Abs(g[i]-v) <= 100*0x1p-53*100) {
			t.Errorf("%s: element %d is %v, want %v", what, i, g[i], v)
		}
	}
}

// TestStepGradients: gradients of one call, of several added up, with a custom loss and with a
// penalty, are those worked out by hand.
func TestStepGradients(t *testing.T) {
	t.Log("seed 9")
	for _, lambda := range []float64{0, 0.25} {
		n := linear(t)
		var penalties []model.Penalty
		if lambda > 0 {
			penalties = append(penalties, model.L2(lambda))
		}
		s, err := NewStep(n, difference, &SGD{}, 4, StepOptions{Penalties: penalties})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		w, b := s.Params()[0].Value.Data().([]float64), s.Params()[1].Value.Data().([]float64)
		r := rand.New(rand.NewPCG(9, 0))
		for _, calls := range []int{1, 3, 2} {
			var x []float32
			var targets []data.Target
			for call := range calls {
				more, to := regression(r, 4)
				if _, err := s.Gradients(more, to); err != nil {
					t.Fatal(err)
				}
				x, targets = append(x, more...), append(targets, to...)
				if call == 1 { // looking at them in between changes nothing
					if _, err := s.Grads(); err != nil {
						t.Fatal(err)
					}
				}
			}
			dw, db := byHand(w, b, x, targets, lambda)
			want := 0.0
			for _, v := range append(append([]float64(nil), dw...), db...) {
				want += v * v
			}
			want = math.Sqrt(want)
			beforeW, beforeB := append([]float64(nil), w...), append([]float64(nil), b...)
			if calls > 1 {
				g, err := s.Grads()
				if err != nil {
					t.Fatal(err)
				}
				close64(t, "dw", g[0].Data(), dw)
				close64(t, "db", g[1].Data(), db)
				norm, err := s.Clip(want / 2)
				if err != nil || !(math.Abs(norm-want) <= 1e-11) {
					t.Errorf("the norm is %v (%v), want %v", norm, err, want)
				}
				for i := range dw {
					dw[i] /= 2
				}
				for i := range db {
					db[i] /= 2
				}
				// Below it nothing changes.
				if norm, err = s.Clip(want); err != nil || !(math.Abs(norm-want/2) <= 1e-11) {
					t.Errorf("the norm is %v (%v), want %v", norm, err, want/2)
				}
			}
			if err := s.Update(0.5); err != nil {
				t.Fatal(err)
			}
			for i := range dw {
				beforeW[i] -= 0.5 * dw[i]
			}
			for i := range db {
				beforeB[i] -= 0.5 * db[i]
			}
			close64(t, "w", w, beforeW)
			close64(t, "b", b, beforeB)
		}
	}
}

func TestStepErrors(t *testing.T) {
	n := linear(t)
	_, err := NewStep(nil, difference, &SGD{}, 4, StepOptions{})
	wants(t, err, "train: NewStep: the network is nil")
	_, err = NewStep(n, nil, &SGD{}, 4, StepOptions{})
	wants(t, err, "train: NewStep: the loss is nil")
	_, err = NewStep(n, difference, nil, 4, StepOptions{})
	wants(t, err, "train: NewStep: the optimizer is nil")
	_, err = NewStep(n, difference, &SGD{}, 0, StepOptions{})
	wants(t, err, "train: NewStep: ", "batch")
	s, err := NewStep(n, difference, &SGD{}, 2, StepOptions{})
	if err != nil {
		t.Fatal(err)
	}
	x, targets := regression(rand.New(rand.NewPCG(1, 0)), 2)
	for want, call := range map[string]func() error{
		"Gradients: 5 numbers and 2 targets, want 6 and 2": func() error { _, err := s.Gradients(x[:5], targets); return err },
		"Gradients: 6 numbers and 1 targets, want 6 and 2": func() error { _, err := s.Gradients(x, targets[:1]); return err },
		"target 1 of the batch has 1 values, want 2": func() error {
			_, err := s.Gradients(x, []data.Target{targets[0], {Values: []float32{1}}})
			return err
		},
		"1 of 2 targets are values":      func() error { _, err := s.Gradients(x, []data.Target{targets[0], {Class: 1}}); return err },
		"label 1 is 2":                   func() error { _, err := s.Gradients(x, []data.Target{{Class: 0}, {Class: 2}}); return err },
		"Update: there are no gradients": func() error { return s.Update(0.1) },
		"Clip: there are no gradients":   func() error { _, err := s.Clip(1); return err },
		"Grads: there are no gradients":  func() error { _, err := s.Grads(); return err },
		"Clip: the largest norm is NaN":  func() error { _, err := s.Clip(math.NaN()); return err },
		"Clip: the step is empty":        func() error { _, err := (*Step)(nil).Clip(1); return err },
		"Update: the step is empty":      func() error { return new(Step).Update(1) },
		"Output: the step is empty":      func() error { _, err := new(Step).Output(); return err },
		"Gradients: the step is empty":   func() error { _, err := (*Step)(nil).Gradients(nil, nil); return err },
		"diverged": func() error {
			_, err := s.Gradients([]float32{0, 0, 0, 0, float32(math.NaN()), 0}, targets)
			return err
		},
	} {
		wants(t, call(), want)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	_, err = s.Gradients(x, targets)
	wants(t, err, "the step is empty or closed")
	if err := (*Step)(nil).Close(); err != nil {
		t.Error(err)
	}
}

// TestGradientsThatShareMemory: where two parameters have one gradient, clipping scales it once.
func TestGradientsThatShareMemory(t *testing.T) {
	n, err := model.New(twoBiases{}, tensor.Shape{2}, model.Options{Float64: true})
	if err != nil {
		t.Fatal(err)
	}
	s, err := NewStep(n, difference, &SGD{}, 1, StepOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if _, err := s.Gradients([]float32{3, 4}, []data.Target{{Values: []float32{0, 0}}}); err != nil {
		t.Fatal(err)
	}
	// Both gradients are 2·(3, 4): the norm of the two is √2·10.
	if norm, err := s.Clip(math.Sqrt2 * 5); err != nil || math.Abs(norm-10*math.Sqrt2) > 1e-12 {
		t.Fatalf("got %v, %v", norm, err)
	}
	g, err := s.Grads()
	if err != nil {
		t.Fatal(err)
	}
	for _, g := range g {
		close64(t, "db", g.Data(), []float64{3, 4})
	}
}

// twoBiases adds two parameters to its input, which have the same gradient.
type twoBiases struct{}

func (twoBiases) Apply(b *model.Builder, x *G.Node) *G.Node {
	for _, name := range []string{"first", "second"} {
		x = b.Do(G.Add(x, b.Param(name, model.Zeros, 1, 2)))
	}
	return x
}

// TestBetween stands between the halves: what it does to the gradients is what is learned from,
// and its error ends the run.
func TestBetween(t *testing.T) {
	c := config()
	c.Optimizer, c.Momentum, c.Epochs = "sgd", new(0.0), 1
	tr := trainer(t, c)
	before := tr.Net.Params()[0].Value.Clone().(*tensor.Dense).Data().([]float32)
	tr.Between = func(s *Step) error {
		grads, err := s.Grads()
		for _, g := range grads {
			g.Zero()
		}
		return err
	}
	ran(t, tr)
	for i, v := range tr.Net.Params()[0].Value.Data().([]float32) {
		if v != before[i] {
			t.Fatalf("a weight changed from %v to %v by gradients of 0", before[i], v)
		}
	}
	tr = trainer(t, c)
	tr.Between = func(*Step) error { return errors.New("the others are away") }
	_, err := tr.Run(t.Context())
	wants(t, err, "train: epoch 1, batch 1: the others are away")
}

// TestMasksGoByTheStep: at a rate of 0, two steps on the same batch differ by what is dropped
// alone, and a step that is made again is the same.
func TestMasksGoByTheStep(t *testing.T) {
	n, err := model.New(model.Sequential{model.Dropout{P: 0.5}, model.Linear{Outputs: 2}}, tensor.Shape{3}, model.Options{Seed: 1, Float64: true})
	if err != nil {
		t.Fatal(err)
	}
	x, targets := regression(rand.New(rand.NewPCG(2, 0)), 8)
	s, err := NewStep(n, difference, &SGD{}, 8, StepOptions{})
	if err != nil {
		t.Fatal(err)
	}
	step := func() float64 {
		loss, err := s.Gradients(x, targets)
		if err == nil {
			err = s.Update(0)
		}
		if err != nil {
			t.Fatal(err)
		}
		return loss
	}
	a, b := step(), step()
	s.runs = 0
	if again := step(); a == b || a != again {
		t.Errorf("the losses of steps 0, 1 and 0 are %v, %v and %v, want the first and last alike", a, b, again)
	}
}

// TestStepSeed: the seed decides on the dropout masks, and the number of calls.
func TestStepSeed(t *testing.T) {
	loss := func(seed uint64, calls int) (loss float64) {
		net, err := model.New(model.Sequential{model.Dropout{P: 0.5}, model.Linear{Outputs: 2}}, tensor.Shape{40}, model.Options{Seed: 1})
		if err != nil {
			t.Fatal(err)
		}
		s, err := NewStep(net, model.CrossEntropy{}, &SGD{}, 1, StepOptions{Seed: seed})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		x := make([]float32, 40)
		for i := range x {
			x[i] = float32(i)
		}
		for range calls {
			if loss, err = s.Gradients(x, []data.Target{{Class: 1}}); err != nil {
				t.Fatal(err)
			}
		}
		return loss
	}
	if a, again, b, next := loss(1, 1), loss(1, 1), loss(2, 1), loss(1, 2); a != again || a == b || a == next {
		t.Errorf("the losses are %v and %v with one seed, %v with another, and %v in the next call", a, again, b, next)
	}
}
