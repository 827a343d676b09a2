package train

import (
	"math"

	"github.com/pkg/errors"
	"gorgonia.org/tensor"

	"github.com/convgrad/convgrad/model"
	"github.com/convgrad/convgrad/train/data"
)

// A Step is a step of training in two halves, so that something can stand between them:
//
//	loss, err := s.Gradients(x, targets) // forward and backward
//	norm, err := s.Clip(1)               // or whatever is to be done to s.Grads()
//	err = s.Update(rate)                 // the optimizer's step
//
// Gradients may be called several times before Update, for a batch that memory does not hold at
// once. A Step is for one goroutine.
type Step struct {
	optimizer Optimizer
	graph     *model.Graph
	params    []*model.Param
	size      int // elements of a batch's input

	runs  int             // calls of Gradients in all: the number of the next dropout mask
	calls int             // calls of Gradients since the last Update
	last  []*tensor.Dense // the graph's gradients, of the last call
	sum   []*tensor.Dense // of all calls, if own
	own   bool            // the gradients are in sum, and not in last
	mean  bool            // sum has been divided by calls
}

// StepOptions are what a step may have beside what it needs.
type StepOptions struct {
	Seed      uint64          // of the dropout masks, which follow from it and the number of calls
	Penalties []model.Penalty // added to the loss, and their derivatives to the gradients
}

// NewStep returns a step for batches of that many samples.
//
// It returns an error if an argument is nil, or the network cannot be built for the batch and the
// loss.
func NewStep(net *model.Network, loss model.Loss, o Optimizer, batch int, options StepOptions) (*Step, error) {
	switch {
	case net == nil:
		return nil, errors.New("train: NewStep: the network is nil")
	case loss == nil:
		return nil, errors.New("train: NewStep: the loss is nil")
	case o == nil:
		return nil, errors.New("train: NewStep: the optimizer is nil")
	}
	g, err := net.Build(batch, model.BuildOptions{Loss: loss, Penalties: options.Penalties, Training: true, Seed: options.Seed})
	if err != nil {
		return nil, errors.Wrap(err, "train: NewStep")
	}
	return &Step{optimizer: o, graph: g, params: g.Params(), size: batch * net.Input().TotalSize()}, nil
}

// errStep is what a step that NewStep did not make gives.
func (s *Step) made(method string) error {
	if s == nil || s.graph == nil {
		return errors.Errorf("train: %s: the step is empty or closed, want one of NewStep", method)
	}
	return nil
}

// Gradients computes the loss of a batch and its gradients. x holds the samples one after the
// other. The gradients are those of the mean of all losses since the last Update: with k calls on
// batches of n, those of one batch of k·n for a loss that is a mean over samples.
//
// It returns an error that names what was got and wanted for arguments that do not fit the network,
// and for a loss that is not a finite number; the gradients are then those of the calls before.
func (s *Step) Gradients(x []float32, targets []data.Target) (loss float64, err error) {
	if err := s.made("Gradients"); err != nil {
		return 0, err
	}
	if len(x) != s.size || len(targets) != s.graph.Batch() {
		return 0, errors.Errorf("train: Gradients: %d numbers and %d targets, want %d and %d", len(x), len(targets), s.size, s.graph.Batch())
	}
	if err := fill(s.graph, x, targets); err != nil {
		return 0, err
	}
	if s.calls > 0 {
		s.keep() // the run overwrites the graph's
	}
	s.graph.SetStep(s.runs)
	if err := s.graph.Run(); err != nil {
		return 0, err
	}
	if loss, err = s.graph.LossValue(); err != nil {
		return 0, err
	}
	if math.IsNaN(loss) || math.IsInf(loss, 0) {
		return loss, errors.Errorf("the loss is %v, want a finite number: the training has diverged", loss)
	}
	if s.last, err = s.graph.Grads(); err != nil {
		return 0, err
	}
	if s.calls > 0 {
		if s.mean {
			s.each(func(v float64) float64 { return v * float64(s.calls) })
			s.mean = false
		}
		for i, g := range s.last {
			addTo(s.sum[i].Data(), g.Data())
		}
	}
	s.runs++
	s.calls++
	return loss, nil
}

// keep moves the gradients into memory of the step's own.
func (s *Step) keep() {
	if s.own {
		return
	}
	if s.sum == nil {
		for _, g := range s.last {
			s.sum = append(s.sum, tensor.New(tensor.WithShape(g.Shape()...), tensor.Of(g.Dtype())))
		}
	}
	for i, g := range s.last {
		copyFloats(s.sum[i].Data(), g.Data())
	}
	s.own, s.mean = true, false
}

// each replaces every element of the step's own gradients.
func (s *Step) each(f func(float64) float64) {
	for _, g := range s.sum {
		switch g := g.Data().(type) {
		case []float32:
			for i, v := range g {
				g[i] = float32(f(float64(v)))
			}
		case []float64:
			for i, v := range g {
				g[i] = f(v)
			}
		}
	}
}

// settle makes the step's own gradients those of the mean.
func (s *Step) settle(method string) error {
	if err := s.made(method); err != nil {
		return err
	}
	if s.calls == 0 {
		return errors.Errorf("train: %s: there are no gradients, want a call of Gradients before", method)
	}
	s.keep()
	if s.calls > 1 && !s.mean {
		s.each(func(v float64) float64 { return v / float64(s.calls) })
	}
	s.mean = true
	return nil
}

// Params are the parameters that are trained, in the order of Grads.
func (s *Step) Params() []*model.Param {
	if s == nil {
		return nil
	}
	return s.params
}

// Grads returns the gradients by Params. What is written to them is what Update takes.
//
// It returns an error before the first call of Gradients, and after an Update.
func (s *Step) Grads() ([]*tensor.Dense, error) {
	if err := s.settle("Grads"); err != nil {
		return nil, err
	}
	return s.sum, nil
}

// Clip scales all gradients by one factor so that their Euclidean norm, over all parameters
// together, is at most most. It returns the norm from before.
//
// It returns an error if most is not positive, the norm is not a finite number, or there are no
// gradients.
func (s *Step) Clip(most float64) (norm float64, err error) {
	if !(most > 0) {
		return 0, errors.Errorf("train: Clip: the largest norm is %v, want a positive number", most)
	}
	if err := s.settle("Clip"); err != nil {
		return 0, err
	}
	var squares float64
	for _, g := range s.sum {
		switch g := g.Data().(type) {
		case []float32:
			for _, v := range g {
				squares += float64(v) * float64(v)
			}
		case []float64:
			for _, v := range g {
				squares += v * v
			}
		}
	}
	norm = math.Sqrt(squares)
	if math.IsNaN(norm) || math.IsInf(norm, 0) {
		return norm, errors.Errorf("train: Clip: the norm of the gradients is %v, want a finite number", norm)
	}
	if norm > most {
		s.each(func(v float64) float64 { return v * (most / norm) })
	}
	return norm, nil
}

// Update makes the optimizer's step along the gradients. The next call of Gradients begins anew.
//
// It returns an error, and changes nothing, if there are no gradients or the optimizer refuses
// them.
func (s *Step) Update(rate float64) error {
	if err := s.made("Update"); err != nil {
		return err
	}
	grads := s.last
	if s.own || s.calls != 1 {
		if err := s.settle("Update"); err != nil {
			return err
		}
		grads = s.sum
	}
	if err := s.optimizer.Step(s.params, grads, rate); err != nil {
		return err
	}
	s.calls, s.own, s.mean = 0, false, false
	return nil
}

// Output is the network's output in the last call of Gradients, valid until the next.
func (s *Step) Output() (*tensor.Dense, error) {
	if err := s.made("Output"); err != nil {
		return nil, err
	}
	return s.graph.Output()
}

// Close gives the step's memory up.
func (s *Step) Close() error {
	if s == nil || s.graph == nil {
		return nil
	}
	err := s.graph.Close()
	s.graph = nil
	return err
}

// fill writes a batch to a graph.
func fill(g *model.Graph, x []float32, targets []data.Target) error {
	switch in := g.InputData().(type) {
	case []float32:
		copy(in, x)
	case []float64:
		for i, v := range x {
			in[i] = float64(v)
		}
	default:
		return errors.Errorf("train: the network's input is %T, want floats", in)
	}
	values := 0
	for _, t := range targets {
		if t.Values != nil {
			values++
		}
	}
	if values == 0 {
		labels := make([]int, len(targets))
		for i, t := range targets {
			labels[i] = t.Class
		}
		return g.SetLabels(labels)
	}
	if values < len(targets) {
		return errors.Errorf("train: %d of %d targets are values, want all or none", values, len(targets))
	}
	switch to := g.TargetData().(type) {
	case []float32:
		return spread(to, targets)
	case []float64:
		return spread(to, targets)
	case []int:
		return spread(to, targets)
	}
	return errors.Errorf("train: the loss's targets are %T, want numbers", g.TargetData())
}

// spread writes the values of a batch one after the other.
func spread[T int | float32 | float64](to []T, targets []data.Target) error {
	n := len(to) / len(targets)
	for i, t := range targets {
		if len(t.Values) != n {
			return errors.Errorf("train: target %d of the batch has %d values, want %d", i, len(t.Values), n)
		}
		for k, v := range t.Values {
			to[i*n+k] = T(v)
			if float32(to[i*n+k]) != v && v == v {
				return errors.Errorf("train: target %d of the batch is %v, want a whole number", i, v)
			}
		}
	}
	return nil
}

// addTo adds floats to floats of the same type.
func addTo(to, from any) {
	switch to := to.(type) {
	case []float32:
		for i, v := range from.([]float32) {
			to[i] += v
		}
	case []float64:
		for i, v := range from.([]float64) {
			to[i] += v
		}
	}
}

// copyFloats copies floats to floats of the same type.
func copyFloats(to, from any) {
	switch to := to.(type) {
	case []float32:
		copy(to, from.([]float32))
	case []float64:
		copy(to, from.([]float64))
	}
}
