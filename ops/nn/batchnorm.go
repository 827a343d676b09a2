package nnops

import (
	"github.com/pkg/errors"
	G "gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/convgrad/convgrad/ops"
)

// A BatchNormOp holds the running statistics of a BatchNorm, and whether it trains.
type BatchNormOp struct {
	running *tensor.Dense // 2×C: means and unbiased variances
	mode    *ops.Random   // only for what it knows of training
}

// BatchNorm returns x, N×C or N×C×H×W, with each channel normalised, and scaled and shifted by γ
// and β:
//
//	y = γ·(x − mean)/√(variance + epsilon) + β
//
// In training mean and variance are the batch's (ops.BatchNorm), and each run moves the running
// ones towards them: running = momentum·batch + (1 − momentum)·running, with the unbiased variance.
// In evaluation, after SetTraining(false) or under G.EvalMode(), they are the running ones, and
// constants in the derivative.
//
// scale and bias broadcast with x: (1, C, 1, 1) is a number for each channel. If they are nil, they
// are made as that, of ones and zeros; γ and β are they. Gorgonia's own have one number for each
// element of the batch, by chance, and its op loses the running statistics whenever a machine is
// made.
func BatchNorm(x, scale, bias *G.Node, momentum, epsilon float64) (y, γ, β *G.Node, op *BatchNormOp, err error) {
	const name = "BatchNorm"
	fail := func(err error) (y, γ, β *G.Node, op *BatchNormOp, _ error) { return nil, nil, nil, nil, err }
	if err := is(name, "x", x, -1); err != nil {
		return fail(err)
	}
	if !(momentum >= 0 && momentum <= 1) {
		return fail(errors.Errorf("nnops: %s: the momentum is %v, want a number of [0, 1]", name, momentum))
	}
	batch, stats, err := ops.BatchNormStats(x, nil, nil, epsilon) // it checks x
	if err != nil {
		return fail(err)
	}
	g, s, of := x.Graph(), x.Shape(), x.Dtype()
	if s[1] == 0 {
		return fail(errors.Errorf("nnops: %s: x has shape %v, want at least one channel", name, s))
	}
	op = &BatchNormOp{running: tensor.New(tensor.Of(of), tensor.WithShape(2, s[1]))}
	if err := op.Reset(); err != nil {
		return fail(err)
	}
	if op.mode, err = source(g); err != nil {
		return fail(err)
	}
	state, err := op.mode.State()
	if err != nil {
		return fail(err)
	}
	op.mode.SetStep(0)
	running := G.NewMatrix(g, of, G.WithShape(2, s[1]), G.WithName(x.Name()+"_running"), G.WithValue(op.running))

	var t ops.Try
	row := func(i int) *G.Node { return t.Do(ops.Reshape(t.Do(ops.Slice(running, 0, i, i+1, 1)), s[1])) }
	mean, variance := row(0), row(1)
	if err := t.Err(); err != nil {
		return fail(err)
	}
	fixed := t.Do(ops.BatchNormEval(x, nil, nil, ops.Stats{Mean: mean, Var: variance}, epsilon))
	y = t.Do(ops.Apply(either{momentum}, batch, fixed, stats.Mean, stats.Var, running, state))
	perChannel := make(tensor.Shape, len(s))
	for i := range perChannel {
		perChannel[i] = 1
	}
	perChannel[1] = s[1]
	if scale == nil {
		scale = G.NewTensor(g, of, len(s), G.WithShape(perChannel...), G.WithName(x.Name()+"_γ"), G.WithInit(G.Ones()))
	}
	if bias == nil {
		bias = G.NewTensor(g, of, len(s), G.WithShape(perChannel...), G.WithName(x.Name()+"_β"), G.WithInit(G.Zeroes()))
	}
	y = t.Do(ops.Add(t.Do(ops.Mul(scale, y)), bias))
	if err := t.Err(); err != nil {
		return fail(err)
	}
	if !y.Shape().Eq(s) {
		return fail(errors.Errorf("nnops: %s: scale %v and bias %v make %v of x, %v, want x's shape", name, scale.Shape(), bias.Shape(), y.Shape(), s))
	}
	return y, scale, bias, op, nil
}

// SetTraining switches between training and evaluation. As in Gorgonia, switching to training
// begins new statistics.
func (op *BatchNormOp) SetTraining(isTraining bool) error {
	if op == nil || op.mode == nil {
		return errNoBatchNorm
	}
	op.mode.SetTraining(isTraining)
	if isTraining {
		return op.Reset()
	}
	return nil
}

var errNoBatchNorm = errors.New("nnops: BatchNormOp: it is of no graph, want one that BatchNorm returned")

// Reset makes the running means 0 and the running variances 1.
func (op *BatchNormOp) Reset() error {
	if op == nil || op.running == nil {
		return errNoBatchNorm
	}
	switch v := op.running.Data().(type) {
	case []float32:
		reset(v)
	case []float64:
		reset(v)
	}
	return nil
}

func reset[T ops.Float](v []T) {
	for i := range v {
		v[i] = T(2 * i / len(v)) // 0 in the first row, 1 in the second
	}
}

// Stats returns copies of the running means and variances, or nils for an op of no graph. In
// Gorgonia they are the op's own memory; SetStats writes here.
func (op *BatchNormOp) Stats() (runningMean, runningVariance tensor.Tensor) {
	if op == nil || op.running == nil {
		return nil, nil
	}
	c := op.running.Shape()[1]
	row := func(i int) tensor.Tensor {
		to := tensor.New(tensor.Of(op.running.Dtype()), tensor.WithShape(c))
		switch v := op.running.Data().(type) {
		case []float32:
			copy(to.Data().([]float32), v[i*c:(i+1)*c])
		case []float64:
			copy(to.Data().([]float64), v[i*c:(i+1)*c])
		}
		return to
	}
	return row(0), row(1)
}

// SetStats copies running means and variances into the op. It returns an error, and changes
// nothing, if they are not dense vectors of one number a channel of x's type.
func (op *BatchNormOp) SetStats(runningMean, runningVariance tensor.Tensor) error {
	if op == nil || op.running == nil {
		return errNoBatchNorm
	}
	c := op.running.Shape()[1]
	for i, v := range []tensor.Tensor{runningMean, runningVariance} {
		d, ok := v.(*tensor.Dense)
		if !ok || d == nil || !d.Shape().Eq(tensor.Shape{c}) || d.Dtype() != op.running.Dtype() || d.RequiresIterator() {
			return errors.Errorf("nnops: BatchNormOp: SetStats: %s is not a dense vector of %d elements of type %v",
				[]string{"the mean", "the variance"}[i], c, op.running.Dtype())
		}
	}
	switch v := op.running.Data().(type) {
	case []float32:
		copy(v, runningMean.Data().([]float32))
		copy(v[c:], runningVariance.Data().([]float32))
	case []float64:
		copy(v, runningMean.Data().([]float64))
		copy(v[c:], runningVariance.Data().([]float64))
	}
	return nil
}

// either gives its first operand in training and its second in evaluation. In training it also
// moves the running statistics towards the batch's: they are a leaf that belongs to it alone, as
// the state of an ops.Random does.
type either struct{ Momentum float64 }

func (either) Name(int) (string, []string) {
	return "BatchNorm", []string{"batch", "fixed", "mean", "variance", "running", "state"}
}

func (either) Types(in []tensor.Dtype) (tensor.Dtype, error) { return in[0], nil }

func (either) Infer(in []tensor.Shape) (tensor.Shape, error) { return in[0], nil }

func (o either) Compute(c *ops.Call) error {
	return ops.ByType(o, c, eitherForward[float32], eitherForward[float64])
}

func eitherForward[T ops.Float](o either, c *ops.Call) error {
	if c.Ints(5)[1] == 0 {
		copy(ops.Out[T](c), ops.In[T](c, 1))
		return nil
	}
	copy(ops.Out[T](c), ops.In[T](c, 0))
	mean, variance, running := ops.In[T](c, 2), ops.In[T](c, 3), ops.In[T](c, 4)
	count, m := float64(c.Result().TotalSize()/len(mean)), o.Momentum
	move := func(to *T, from float64) { *to = T(m*from + (1-m)*float64(*to)) }
	for i := range mean {
		move(&running[i], float64(mean[i]))
		move(&running[len(mean)+i], float64(variance[i])*count/(count-1))
	}
	return nil
}

// Rule: dy goes to the operand that y is.
func (o either) Rule(in []*G.Node, _, dy *G.Node) ([]*G.Node, error) {
	var t ops.Try
	batch := t.Do(ops.Apply(through{Training: 1}, dy, in[5]))
	fixed := t.Do(ops.Apply(through{Training: 0}, dy, in[5]))
	return []*G.Node{batch, fixed, nil, nil, nil, nil}, t.Err()
}

// through gives its first operand in one of the two modes, and 0 in the other.
type through struct{ Training int }

func (through) Name(int) (string, []string) { return "BatchNormGate", []string{"x", "state"} }

func (through) Types(in []tensor.Dtype) (tensor.Dtype, error) { return in[0], nil }

func (through) Infer(in []tensor.Shape) (tensor.Shape, error) { return in[0], nil }

func (o through) Compute(c *ops.Call) error {
	return ops.ByType(o, c, throughForward[float32], throughForward[float64])
}

func throughForward[T ops.Float](o through, c *ops.Call) error {
	y := ops.Out[T](c)
	if c.Ints(1)[1] != o.Training {
		clear(y)
		return nil
	}
	copy(y, ops.In[T](c, 0))
	return nil
}

// Rule: the map is linear and its own transpose.
func (o through) Rule(in []*G.Node, _, dy *G.Node) ([]*G.Node, error) {
	dx, err := ops.Apply(o, dy, in[1])
	return []*G.Node{dx, nil}, err
}
