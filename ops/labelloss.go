package ops

import (
	"math"

	"github.com/pkg/errors"
	G "gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/convgrad/convgrad/internal/kernel"
)

// labelLoss is E[n,…] = −Σ_j w[j]·q[n,j,…]·logp[n,j,…] for labels, of which q is made. It is
// linear in logp, and labelLossBackward is its adjoint: dlogp[n,j,…] = −w[j]·q[n,j,…]·dE[n,…].
type labelLoss struct {
	M         int
	Smoothing float64
	Ignore    int
}

var labelLossNames = []string{"logp", "labels", "weights"}

func (o labelLoss) Name(int) (string, []string) { return "LabelLoss", labelLossNames }
func (o labelLoss) Types(in []tensor.Dtype) (tensor.Dtype, error) {
	return floatAndIntegers(labelLossNames, in, 1)
}
func (o labelLoss) Infer(in []tensor.Shape) (tensor.Shape, error) {
	if err := labelled("logp", in); err != nil {
		return nil, err
	}
	return in[1], o.weights(in)
}
func (o labelLoss) weights(in []tensor.Shape) error {
	if len(in) < 3 {
		return nil
	}
	return want("weights", in[2], o.M)
}
func (o labelLoss) Compute(c *Call) error {
	return ByType(o, c, labelLosses[float32], labelLosses[float64])
}
func (o labelLoss) Rule(in []*G.Node, _, dE *G.Node) ([]*G.Node, error) {
	d, err := Apply(labelLossBackward(o), append([]*G.Node{dE}, in[1:]...)...)
	return append([]*G.Node{d}, make([]*G.Node, len(in)-1)...), err
}

// weightsOf is operand 2, or nil for ones.
func weightsOf[T kernel.Float](c *Call) []T {
	if c.Operands() > 2 {
		return In[T](c, 2)
	}
	return nil
}

func labelLosses[T kernel.Float](o labelLoss, c *Call) error {
	labels, classes := c.Ints(1), kernel.AlongAxis(c.Shape(0), 1)
	if _, err := checkLabels(labels, o.M, o.Ignore); err != nil {
		return err
	}
	kernel.LabelLosses(classes, Out[T](c), In[T](c, 0), labels, weightsOf[T](c), o.Ignore, o.Smoothing)
	return nil
}

type labelLossBackward labelLoss

func (o labelLossBackward) Name(int) (string, []string) {
	return "LabelLossBackward", []string{"dE", "labels", "weights"}
}
func (o labelLossBackward) Types(in []tensor.Dtype) (tensor.Dtype, error) {
	return floatAndIntegers([]string{"dE", "labels", "weights"}, in, 1)
}
func (o labelLossBackward) Infer(in []tensor.Shape) (tensor.Shape, error) {
	if err := want("dE", in[0], in[1]...); err != nil {
		return nil, err
	}
	if len(in[0]) == 0 {
		return nil, errors.Errorf("dE has shape %v, of rank 0, want rank 1 or more", in[0])
	}
	y := append(tensor.Shape{in[0][0], o.M}, in[0][1:]...)
	if err := countable(y); err != nil {
		return nil, err
	}
	return y, labelLoss(o).weights(in)
}
func (o labelLossBackward) Compute(c *Call) error {
	return ByType(o, c, labelSlopes[float32], labelSlopes[float64])
}
func (o labelLossBackward) Rule(in []*G.Node, _, dd *G.Node) ([]*G.Node, error) {
	d, err := Apply(labelLoss(o), append([]*G.Node{dd}, in[1:]...)...)
	return append([]*G.Node{d}, make([]*G.Node, len(in)-1)...), err
}

func labelSlopes[T kernel.Float](o labelLossBackward, c *Call) error {
	labels := c.Ints(1)
	if _, err := checkLabels(labels, o.M, o.Ignore); err != nil {
		return err
	}
	s := c.Shape(0)
	classes := kernel.Along{Outer: s[0], N: o.M, Inner: volume(s[1:])}
	kernel.LabelSlopes(classes, Out[T](c), In[T](c, 0), labels, weightsOf[T](c), o.Ignore, o.Smoothing)
	return nil
}

// labelMean is the scalar Σ e[n] / Σ w[label[n]] over labels that count. labelMeanBackward, its
// adjoint, is de[n] = dE / Σ w[label[n]].
type labelMean struct{ Ignore int }

func (o labelMean) Name(int) (string, []string) {
	return "LabelMean", []string{"e", "labels", "weights"}
}
func (o labelMean) Types(in []tensor.Dtype) (tensor.Dtype, error) {
	return floatAndIntegers([]string{"e", "labels", "weights"}, in, 1)
}
func (o labelMean) Infer(in []tensor.Shape) (tensor.Shape, error) {
	if len(in) > 2 {
		if err := ofRank("weights", in[2], 1); err != nil {
			return nil, err
		}
	}
	return tensor.ScalarShape(), want("e", in[0], in[1]...)
}
func (o labelMean) Compute(c *Call) error {
	return ByType(o, c, labelMeans[float32], labelMeans[float64])
}
func (o labelMean) Rule(in []*G.Node, _, dE *G.Node) ([]*G.Node, error) {
	d, err := Apply(labelMeanBackward(o), append([]*G.Node{dE}, in[1:]...)...)
	return append([]*G.Node{d}, make([]*G.Node, len(in)-1)...), err
}

// totalWeight is Σ w[label[n]] over labels that count.
func totalWeight[T kernel.Float](c *Call, ignore int) (total float64, err error) {
	labels, classes := c.Ints(1), math.MaxInt
	var w []T
	if c.Operands() > 2 {
		w = In[T](c, 2)
		classes = len(w)
	}
	counted, err := checkLabels(labels, classes, ignore)
	if w == nil || err != nil {
		return float64(counted), err
	}
	for _, l := range labels {
		if l != ignore {
			total += float64(w[l])
		}
	}
	return total, nil
}

func labelMeans[T kernel.Float](o labelMean, c *Call) error {
	total, err := totalWeight[T](c, o.Ignore)
	if err != nil {
		return err
	}
	e, sum := In[T](c, 0), 0.0
	for i, l := range c.Ints(1) {
		if l != o.Ignore {
			sum += float64(e[i])
		}
	}
	Out[T](c)[0] = T(sum / total)
	return nil
}

type labelMeanBackward struct{ Ignore int }

func (o labelMeanBackward) Name(int) (string, []string) {
	return "LabelMeanBackward", []string{"dE", "labels", "weights"}
}
func (o labelMeanBackward) Types(in []tensor.Dtype) (tensor.Dtype, error) {
	return floatAndIntegers([]string{"dE", "labels", "weights"}, in, 1)
}
func (o labelMeanBackward) Infer(in []tensor.Shape) (tensor.Shape, error) {
	if len(in) > 2 {
		if err := ofRank("weights", in[2], 1); err != nil {
			return nil, err
		}
	}
	return in[1], want("dE", in[0])
}
func (o labelMeanBackward) Compute(c *Call) error {
	return ByType(o, c, labelShares[float32], labelShares[float64])
}
func (o labelMeanBackward) Rule(in []*G.Node, _, dd *G.Node) ([]*G.Node, error) {
	d, err := Apply(labelMean(o), append([]*G.Node{dd}, in[1:]...)...)
	return append([]*G.Node{d}, make([]*G.Node, len(in)-1)...), err
}

func labelShares[T kernel.Float](o labelMeanBackward, c *Call) error {
	total, err := totalWeight[T](c, o.Ignore)
	if err != nil {
		return err
	}
	d, share := Out[T](c), float64(In[T](c, 0)[0])/total
	for i, l := range c.Ints(1) {
		if d[i] = 0; l != o.Ignore {
			d[i] = T(share)
		}
	}
	return nil
}

// constant is x, without a derivative.
type constant struct{}

func (o constant) Name(int) (string, []string)                   { return "Constant", []string{"x"} }
func (o constant) InPlace() int                                  { return 0 }
func (o constant) Infer(in []tensor.Shape) (tensor.Shape, error) { return in[0], nil }
func (o constant) Compute(c *Call) error                         { return ByType(o, c, unchanged[float32], unchanged[float64]) }
func (o constant) Rule([]*G.Node, *G.Node, *G.Node) ([]*G.Node, error) {
	return []*G.Node{nil}, nil
}

func unchanged[T kernel.Float](_ constant, c *Call) error {
	copy(Out[T](c), In[T](c, 0))
	return nil
}
