package ops

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"

	"github.com/pkg/errors"
	G "gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/convgrad/convgrad/internal/kernel"
	"github.com/convgrad/convgrad/internal/opset"
)

// CrossEntropyParams are the parameters of a cross-entropy. The zero value is the mean over the
// batch.
type CrossEntropyParams struct {
	Reduction Reduction
	// Weights is one weight per class, or nil. It is constant: it has no derivative.
	Weights *G.Node
	// Ignore is the label of samples that do not count; nil stands for −100. Probabilities have no
	// such label.
	Ignore *int
	// Smoothing is the part of a label's probability that is spread over all classes, 0 to 1.
	Smoothing float64
}

// defaultIgnore is the label that does not count unless Ignore says otherwise, as in PyTorch.
const defaultIgnore = -100

// CrossEntropy returns the node E, the cross-entropy of the softmax along axis 1 against a target,
// which is labels or probabilities:
//
//	E[n] = −Σ_j w[j] · q[n,j] · log softmax(x)[n,j]
//	q[n,j] = (1 − smoothing)·[j = label[n]] + smoothing/M     or
//	q[n,j] = (1 − smoothing)·target[n,j] + smoothing/M
//
// and its sum or mean by the reduction. The mean over labels is Σ E[n] / Σ w[label[n]], both sums
// without ignored labels; the mean over probabilities is Σ E[n] by the number of samples. That is
// PyTorch's cross_entropy.
//
// Shapes: logits x N×M or N×M×d₁×…; labels, of Int, Int32 or Int64 in [0, M), N or N×d₁×…;
// probabilities, of the logits' type, like x; weights M. E is a scalar, or like labels without a
// reduction. Each row is taken relative to its own greatest element, so any finite logits are safe.
//
// Derivatives, given dE: dx[n,j] = (softmax(x)[n,j]·Σ_l w[l]·q[n,l] − w[j]·q[n,j]) · dE, divided as
// E is; of probabilities −(1 − smoothing)·w[j]·log softmax(x)[n,j] · dE. Labels and weights have
// none. Where the label is ignored, E[n] and dx[n] are 0.
//
// A logit of −Inf is a class of probability 0: E is +Inf if it is the label's. A row with a NaN or
// +Inf, or of nothing but −Inf, makes E NaN, and its row of dx. The mean over nothing but ignored
// labels is NaN, with the derivative 0.
//
// CrossEntropy returns an error if a shape or type is not as above, Ignore is set for
// probabilities, the smoothing is not in [0, 1], or the logits are empty and are to be reduced. A
// run returns an error if a label that counts is out of range.
func CrossEntropy(logits, target *G.Node, p CrossEntropyParams) (*G.Node, error) {
	t, err := newTarget("CrossEntropy", "logits", logits, target, p)
	if err != nil {
		return nil, err
	}
	if t.labels && p.Weights == nil && p.Smoothing == 0 && p.Reduction != ReductionNone {
		return Apply(crossEntropy{t.ignore, p.Reduction == ReductionMean}, logits, target)
	}
	logp, err := Apply(logSoftmax{1}, logits)
	if err != nil {
		return nil, err
	}
	return t.loss(logp)
}

// CrossEntropyLogProbs returns CrossEntropy, and the node LogSoftmax(logits, 1), which it is made
// from.
func CrossEntropyLogProbs(logits, target *G.Node, p CrossEntropyParams) (e, logp *G.Node, err error) {
	t, err := newTarget("CrossEntropyLogProbs", "logits", logits, target, p)
	if err != nil {
		return nil, nil, err
	}
	if logp, err = LogSoftmax(logits, 1); err != nil {
		return nil, nil, err
	}
	e, err = t.loss(logp)
	return e, logp, err
}

// NLL returns the node E, the negative log-likelihood of labels by log-probabilities, such as
// LogSoftmax gives along axis 1:
//
//	E[n] = −w[label[n]] · logp[n,label[n]]
//
// and its sum or mean. Shapes, reductions, the weights and ignored labels are CrossEntropy's; the
// log-probabilities are not normalised. Derivative: dlogp[n,j] = −w[j]·[j = label[n]]·dE, divided
// as E is.
//
// NLL returns an error where CrossEntropy does, for labels of floats, and if Smoothing is set.
func NLL(logp, labels *G.Node, p CrossEntropyParams) (*G.Node, error) {
	t, err := newTarget("NLL", "logp", logp, labels, p)
	if err != nil {
		return nil, err
	}
	if !t.labels {
		of, _ := dtypeOf(labels)
		return nil, errors.Errorf("ops: NLL: labels has elements of type %v, want int, int32 or int64", of)
	}
	if p.Smoothing != 0 {
		return nil, errors.Errorf("ops: NLL: the smoothing is %v, want 0: CrossEntropy smoothes", p.Smoothing)
	}
	return t.loss(logp)
}

// A targeted is a target that has been checked.
type targeted struct {
	CrossEntropyParams
	node   *G.Node
	labels bool // or probabilities
	ignore int
}

func newTarget(name, scores string, x, target *G.Node, p CrossEntropyParams) (t targeted, err error) {
	t = targeted{CrossEntropyParams: p, node: target, ignore: defaultIgnore}
	if err := check(name, float(scores, -1, x)); err != nil {
		return t, err
	}
	if err := known(name, "labels", target, x, scores); err != nil {
		return t, err
	}
	if err := p.Reduction.check(name); err != nil {
		return t, err
	}
	of, err := dtypeOf(target)
	if err != nil {
		return t, errors.Wrapf(err, "ops: %s: labels", name)
	}
	s := x.Shape()
	if len(s) < 2 {
		return t, errors.Errorf("ops: %s: %s has shape %v, of rank %d, want rank 2 or more", name, scores, s, len(s))
	}
	rows := append(s[:1].Clone(), s[2:]...)
	switch l := target.Shape(); of {
	case tensor.Int, tensor.Int32, tensor.Int64:
		t.labels = true
		if !slices.Equal(rows, l) {
			return t, errors.Errorf("ops: %s: labels has shape %v, want %v: %s is %v", name, l, rows, scores, s)
		}
	case tensor.Float32, tensor.Float64:
		if slices.Equal(rows, l) {
			return t, errors.Errorf("ops: %s: labels has elements of type %v, want int, int32 or int64; probabilities are of shape %v",
				name, of, s)
		}
		if err := check(name, float(scores, -1, x), float("probabilities", -1, target)); err != nil {
			return t, err
		}
		if !slices.Equal(s, l) {
			return t, errors.Errorf("ops: %s: probabilities has shape %v, want %v like %s", name, l, s, scores)
		}
		if p.Ignore != nil {
			return t, errors.Errorf("ops: %s: Ignore is %d, want nil for probabilities", name, *p.Ignore)
		}
	default:
		return t, errors.Errorf("ops: %s: labels has elements of type %v, want int, int32 or int64, or probabilities", name, of)
	}
	if p.Weights != nil {
		if err := check(name, float(scores, -1, x), float("weights", 1, p.Weights)); err != nil {
			return t, err
		}
		if err := want("weights", p.Weights.Shape(), s[1]); err != nil {
			return t, errors.Wrapf(err, "ops: %s", name)
		}
	}
	if !(p.Smoothing >= 0 && p.Smoothing <= 1) {
		return t, errors.Errorf("ops: %s: the smoothing is %v, want a number of [0, 1]", name, p.Smoothing)
	}
	if p.Reduction != ReductionNone || s[1] == 0 {
		if err := nonEmpty(name, scores, x); err != nil {
			return t, err
		}
	}
	if p.Ignore != nil {
		t.ignore = *p.Ignore
	}
	return t, nil
}

// loss is the loss of log-probabilities.
func (t targeted) loss(logp *G.Node) (*G.Node, error) {
	var try Try
	m := logp.Shape()[1]
	if t.labels {
		operands := []*G.Node{logp, t.node}
		if t.Weights != nil {
			operands = append(operands, t.Weights)
		}
		e := try.Do(Apply(labelLoss{M: m, Smoothing: t.Smoothing, Ignore: t.ignore}, operands...))
		switch t.Reduction {
		case ReductionSum:
			e = try.Do(Sum(e))
		case ReductionMean:
			// Another slice: the graph keeps the one before.
			e = try.Do(Apply(labelMean{Ignore: t.ignore}, append([]*G.Node{e}, operands[1:]...)...))
		}
		return e, try.Err()
	}
	q := t.node
	if t.Smoothing != 0 {
		q = try.Do(Affine(q, 1-t.Smoothing, t.Smoothing/float64(m)))
	}
	if t.Weights != nil {
		along := slices.Repeat([]int{1}, logp.Dims()-1)
		along[0] = m
		q = try.Do(Mul(q, try.Do(Reshape(try.Do(Apply(constant{}, t.Weights)), along...))))
	}
	e := try.Do(Sum(try.Do(Mul(try.Do(Affine(q, -1, 0)), logp)), 1))
	switch t.Reduction {
	case ReductionSum:
		e = try.Do(Sum(e))
	case ReductionMean:
		e = try.Do(Mean(e))
	}
	return e, try.Err()
}

// checkLabels refuses a label that is no class, but for the one that is ignored, and counts those
// that are not ignored.
func checkLabels(labels []int, classes, ignore int) (counted int, err error) {
	for i, l := range labels {
		if l == ignore {
			continue
		}
		if l < 0 || l >= classes {
			return 0, errors.Errorf("labels: element %d is %d, want 0 to %d", i, l, classes-1)
		}
		counted++
	}
	return counted, nil
}

// labelled checks classes along axis 1 with a label for each line of them.
func labelled(name string, in []tensor.Shape) error {
	s, l := in[0], in[1]
	if len(s) < 2 {
		return errors.Errorf("%s has shape %v, of rank %d, want rank 2 or more", name, s, len(s))
	}
	return want("labels", l, append(s[:1].Clone(), s[2:]...)...)
}

// crossEntropy is the sum or mean for plain labels, in one pass over the logits.
type crossEntropy struct {
	Ignore int
	Mean   bool
}

func (o crossEntropy) Name(int) (string, []string) {
	return "CrossEntropy", []string{"logits", "labels"}
}
func (o crossEntropy) Types(in []tensor.Dtype) (tensor.Dtype, error) {
	return floatAndIntegers([]string{"logits", "labels"}, in, 1)
}
func (o crossEntropy) Infer(in []tensor.Shape) (tensor.Shape, error) {
	return tensor.ScalarShape(), labelled("logits", in)
}
func (o crossEntropy) Compute(c *Call) error {
	return ByType(o, c, crossEntropyForward[float32], crossEntropyForward[float64])
}

// factor divides by the number of labels for the mean, all of which count as a rule.
func (o crossEntropy) factor(labels int) float64 {
	if o.Mean {
		return 1 / float64(labels)
	}
	return 1
}

func crossEntropyForward[T kernel.Float](o crossEntropy, c *Call) error {
	labels, classes := c.Ints(1), kernel.AlongAxis(c.Shape(0), 1)
	counted, err := checkLabels(labels, classes.N, o.Ignore)
	if err != nil {
		return err
	}
	if counted == 0 {
		Out[T](c)[0] = 0
		if o.Mean {
			Out[T](c)[0] = T(math.NaN())
		}
		return nil
	}
	Out[T](c)[0] = T(o.factor(counted) * kernel.CrossEntropy(classes, In[T](c, 0), labels, o.Ignore))
	return nil
}

func (o crossEntropy) Rule(in []*G.Node, _, dE *G.Node) ([]*G.Node, error) {
	var t Try
	d := t.Do(Apply(minusOneHot(o), t.Do(Apply(softmax{1}, in[0])), in[1]))
	return []*G.Node{t.Do(node(scaleBy{in[0].Dims(), o.factor(volume(in[1].Shape()))}, d, dE)), nil}, t.Err()
}

// minusOneHot is y[n,j,…] = x[n,j,…] − [j = label[n,…]], and 0 where the label is ignored. The
// mean's derivative is divided by the number of all labels: y makes up for those that are ignored.
type minusOneHot crossEntropy

func (o minusOneHot) Name(int) (string, []string) { return "MinusOneHot", []string{"x", "labels"} }
func (o minusOneHot) InPlace() int                { return 0 }
func (o minusOneHot) Types(in []tensor.Dtype) (tensor.Dtype, error) {
	return floatAndIntegers([]string{"x", "labels"}, in, 1)
}
func (o minusOneHot) Infer(in []tensor.Shape) (tensor.Shape, error) {
	return in[0], labelled("x", in)
}
func (o minusOneHot) Compute(c *Call) error {
	return ByType(o, c, subtractOnes[float32], subtractOnes[float64])
}
func (o minusOneHot) Rule(in []*G.Node, _, dy *G.Node) ([]*G.Node, error) {
	dx, err := Apply(countedRows(o), dy, in[1])
	return []*G.Node{dx, nil}, err
}

func subtractOnes[T kernel.Float](o minusOneHot, c *Call) error {
	y, labels, classes := Out[T](c), c.Ints(1), kernel.AlongAxis(c.Shape(0), 1)
	counted, err := checkLabels(labels, classes.N, o.Ignore)
	if err != nil {
		return err
	}
	copy(y, In[T](c, 0))
	for i, l := range labels {
		if l != o.Ignore {
			y[classes.At(i, l)]--
		}
	}
	countRows(y, labels, classes, counted, crossEntropy(o))
	return nil
}

// countRows clears the lines of classes that are ignored and scales the others up to the number of
// all.
func countRows[T kernel.Float](y []T, labels []int, classes kernel.Along, counted int, o crossEntropy) {
	if counted == len(labels) {
		return
	}
	if o.Mean {
		kernel.Scale(y, y, float64(len(labels))/float64(counted))
	}
	for i, l := range labels {
		if l == o.Ignore {
			for j := range classes.N {
				y[classes.At(i, j)] = 0
			}
		}
	}
}

// countedRows is the derivative of minusOneHot, and of itself: ignored rows are 0.
type countedRows crossEntropy

func (o countedRows) Name(int) (string, []string) { return "CountedRows", []string{"x", "labels"} }
func (o countedRows) InPlace() int                { return 0 }
func (o countedRows) Types(in []tensor.Dtype) (tensor.Dtype, error) {
	return minusOneHot(o).Types(in)
}
func (o countedRows) Infer(in []tensor.Shape) (tensor.Shape, error) {
	return in[0], labelled("x", in)
}
func (o countedRows) Compute(c *Call) error {
	return ByType(o, c, rowsCounted[float32], rowsCounted[float64])
}
func (o countedRows) Rule(in []*G.Node, _, dy *G.Node) ([]*G.Node, error) {
	dx, err := Apply(o, dy, in[1])
	return []*G.Node{dx, nil}, err
}

func rowsCounted[T kernel.Float](o countedRows, c *Call) error {
	y, labels, classes := Out[T](c), c.Ints(1), kernel.AlongAxis(c.Shape(0), 1)
	counted, err := checkLabels(labels, classes.N, o.Ignore)
	if err != nil {
		return err
	}
	copy(y, In[T](c, 0))
	countRows(y, labels, classes, counted, crossEntropy(o))
	return nil
}

// crossEntropyCase is a case of all that CrossEntropy can be asked.
func crossEntropyCase(reduction Reduction, smoothing float64, probabilities bool, ignore *int, shape ...int) opset.Case {
	m := shape[1]
	rows := append(shape[:1:1], shape[2:]...)
	target := opset.Labels("l", m, rows...)
	if probabilities {
		target = opset.Between("l", 0.1, 0.9, shape...)
	}
	n, inner := volume(rows), volume(shape[2:])
	return opset.Case{
		Params: fmt.Sprintf("x %v, %v, smoothing %v, probabilities %v, ignore %v", shape, reduction, smoothing, probabilities, ignore != nil),
		Inputs: []opset.Input{opset.Normal("x", shape...), target},
		Build: func(in []*G.Node) (*G.Node, error) {
			p := CrossEntropyParams{Reduction: reduction, Smoothing: smoothing, Ignore: ignore}
			if probabilities {
				p.Weights = caseWeights(in[0], m)
			}
			return CrossEntropy(in[0], in[1], p)
		},
		Want: func(in [][]float64) []float64 {
			e := make([]float64, n)
			sum, counted := 0.0, 0.0
			for i := range n {
				at := func(j int) int { return i/inner*inner*m + j*inner + i%inner }
				if !probabilities && ignore != nil && int(in[1][i]) == *ignore {
					continue
				}
				total := 0.0
				for j := range m {
					total += math.Exp(in[0][at(j)])
				}
				for j := range m {
					q := smoothing / float64(m)
					switch {
					case probabilities:
						q += (1 - smoothing) * in[1][at(j)]
					case j == int(in[1][i]):
						q += 1 - smoothing
					}
					if probabilities {
						q *= float64(j + 1)
					}
					e[i] -= q * (in[0][at(j)] - math.Log(total))
				}
				sum += e[i]
				counted++
			}
			switch reduction {
			case ReductionNone:
				return e
			case ReductionSum:
				return []float64{sum}
			}
			return []float64{sum / counted}
		},
		Terms:   32 + n*m,
		PyTorch: fmt.Sprintf("F.cross_entropy(x, l, reduction=%q, label_smoothing=%v)", reduction, smoothing),
	}
}

// caseWeights is the weights 1, 2, … of x's type.
func caseWeights(x *G.Node, m int) *G.Node {
	v := tensor.New(tensor.Of(x.Dtype()), tensor.WithShape(m))
	for i := range m {
		switch d := v.Data().(type) {
		case []float32:
			d[i] = float32(i + 1)
		case []float64:
			d[i] = float64(i + 1)
		}
	}
	return x.Graph().AddNode(G.NewConstant(v))
}

func init() {
	opset.Register(opset.Entry{
		Name: "CrossEntropy",
		Draw: func(r *rand.Rand) opset.Case {
			shape := [][]int{{5, 4}, {3, 3, 2}, {2, 3, 2, 2}}[r.IntN(3)]
			ignore := 1
			probabilities := r.IntN(3) == 0
			smoothing := []float64{0, 0, 0.125}[r.IntN(3)]
			if probabilities || r.IntN(2) == 0 {
				return crossEntropyCase(Reduction(r.IntN(3)), smoothing, probabilities, nil, shape...)
			}
			// Not the mean, which is NaN if all labels are ignored.
			return crossEntropyCase(ReductionSum+Reduction(r.IntN(2)), smoothing, false, &ignore, shape...)
		},
	})
	opset.Timed("CrossEntropy", func() []opset.Case {
		return []opset.Case{
			crossEntropyCase(ReductionMean, 0, false, nil, 128, 1000),
			crossEntropyCase(ReductionMean, 0.1, false, nil, 128, 1000),
			crossEntropyCase(ReductionMean, 0, false, nil, 8, 21, 64, 64),
		}
	})
	opset.Register(opset.Entry{Name: "NLL", Draw: func(r *rand.Rand) opset.Case {
		reduction := Reduction(r.IntN(3))
		return opset.Case{
			Params: fmt.Sprint(reduction),
			Inputs: []opset.Input{opset.Normal("logp", 5, 4), opset.Labels("l", 4, 5)},
			Build: func(in []*G.Node) (*G.Node, error) {
				return NLL(in[0], in[1], CrossEntropyParams{Reduction: reduction, Weights: caseWeights(in[0], 4)})
			},
			Want: func(in [][]float64) []float64 {
				e := make([]float64, 5)
				sum, weights := 0.0, 0.0
				for i, l := range in[1] {
					e[i] = -(l + 1) * in[0][i*4+int(l)]
					sum += e[i]
					weights += l + 1
				}
				switch reduction {
				case ReductionNone:
					return e
				case ReductionSum:
					return []float64{sum}
				}
				return []float64{sum / weights}
			},
			Terms:   8,
			PyTorch: fmt.Sprintf("F.nll_loss(logp, l, reduction=%q)", reduction),
		}
	}})
}

// The registered call adds the two results of CrossEntropyLogProbs, so that both are checked, and
// their derivatives where they meet.
func init() {
	opset.Register(opset.Entry{Name: "CrossEntropyLogProbs", Draw: func(r *rand.Rand) opset.Case {
		const n, m = 5, 4
		reduction := Reduction(r.IntN(2))
		return opset.Case{
			Params: fmt.Sprint(reduction),
			Inputs: []opset.Input{opset.Normal("x", n, m), opset.Labels("l", m, n)},
			Build: func(in []*G.Node) (*G.Node, error) {
				e, logp, err := CrossEntropyLogProbs(in[0], in[1], CrossEntropyParams{Reduction: reduction})
				if err != nil {
					return nil, err
				}
				return Add(logp, e)
			},
			Want: func(in [][]float64) []float64 {
				y, e := make([]float64, n*m), 0.0
				for i := range n {
					sum := 0.0
					for _, x := range in[0][i*m : (i+1)*m] {
						sum += math.Exp(x)
					}
					for j := range m {
						y[i*m+j] = in[0][i*m+j] - math.Log(sum)
					}
					e -= y[i*m+int(in[1][i])]
				}
				if reduction == ReductionMean {
					e /= n
				}
				for i := range y {
					y[i] += e
				}
				return y
			},
			Terms: 16,
		}
	}})
}
