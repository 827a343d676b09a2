package modeltest_test

import (
	"fmt"
	"strings"
	"testing"

	G "gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/convgrad/convgrad/model"
	"github.com/convgrad/convgrad/model/modeltest"
	"github.com/convgrad/convgrad/ops"
	"github.com/convgrad/convgrad/verify"
)

// center is a layer with a buffer.
func center(b *model.Builder, x *G.Node) *G.Node {
	mean := b.Buffer("mean", model.Zeros, x.Shape()[1])
	if b.Training() {
		batch := b.Do(ops.Mean(x, 0, 2, 3))
		b.Update(mean, b.Do(ops.Lerp(mean, batch, 0.1)))
		mean = batch
	}
	return b.Do(ops.Sub(x, b.Do(ops.Reshape(mean, 1, -1, 1, 1))))
}

func small(t *testing.T, inner model.Layer) *model.Network {
	t.Helper()
	conv := model.Conv2D{Filters: 2, Size: ops.Both(3), Pad: ops.Around(1)}
	net, err := model.New(model.Sequential{
		model.Residual{Body: model.Sequential{conv, inner, conv}}, model.ReLU{}, model.MaxPool2D{Window: ops.Both(2)},
		model.Flatten{}, model.Dropout{P: 0.3}, model.Linear{Outputs: 3},
	}, tensor.Shape{2, 4, 5}, model.Options{Name: "small", Seed: 1})
	if err != nil {
		t.Fatal(err)
	}
	return net
}

func TestNetworks(t *testing.T) {
	for name, inner := range map[string]model.Layer{"relu": model.ReLU{}, "a buffer": model.LayerFunc(center),
		"batch norm": model.BatchNorm{}} {
		for _, loss := range []model.Loss{model.CrossEntropy{}, model.SquaredError{}} {
			t.Run(fmt.Sprint(name, ", ", loss), func(t *testing.T) {
				modeltest.Check(t, small(t, inner), loss, 2)
			})
		}
	}
}

// wrong is x², whose derivative it takes for 3·x.
type wrong struct{}

func (wrong) Infer(in []tensor.Shape) (tensor.Shape, error) { return in[0], nil }
func (wrong) Compute(c *ops.Call) error {
	return ops.ByType(wrong{}, c, square[float32], square[float64])
}
func (wrong) Rule(in []*G.Node, _, dy *G.Node) ([]*G.Node, error) {
	var t ops.Try
	d := t.Do(ops.Mul(dy, t.Do(ops.Affine(in[0], 3, 0))))
	return []*G.Node{d}, t.Err()
}

func square[T ops.Float](_ wrong, c *ops.Call) error {
	y := ops.Out[T](c)
	for i, x := range ops.In[T](c, 0) {
		y[i] = x * x
	}
	return nil
}

// A recorder hears what a test would.
type recorder struct{ failed []string }

func (*recorder) Helper()             {}
func (*recorder) Logf(string, ...any) {}
func (r *recorder) Errorf(format string, args ...any) {
	r.failed = append(r.failed, fmt.Sprintf(format, args...))
}

// A layer whose rule is wrong is found, and the report names a parameter before it.
func TestWrongRuleIsFound(t *testing.T) {
	var r recorder
	modeltest.Check(&r, small(t, model.LayerFunc(func(b *model.Builder, x *G.Node) *G.Node {
		return b.Do(ops.Apply(wrong{}, x))
	})), model.SquaredError{}, 2)
	if len(r.failed) != 1 || !strings.Contains(r.failed[0], "0.body.0.") {
		t.Errorf("got %q, want a report that names a parameter", r.failed)
	}
}

func TestErrors(t *testing.T) {
	net := small(t, model.ReLU{})
	for want, f := range map[string]func(r *recorder){
		"want none nil and at least 1": func(r *recorder) { modeltest.Check(r, nil, model.CrossEntropy{}, 2) },
		"the loss <nil>":               func(r *recorder) { modeltest.Check(r, net, nil, 2) },
		"the batch 0":                  func(r *recorder) { modeltest.Check(r, net, model.CrossEntropy{}, 0) },
		"the loss function is nil":     func(r *recorder) { modeltest.Check(r, net, model.LossFunc(nil), 1) },
		"the network is empty":         func(r *recorder) { modeltest.Check(r, new(model.Network), model.CrossEntropy{}, 1) },
	} {
		var r recorder
		if f(&r); len(r.failed) != 1 || !strings.Contains(r.failed[0], want) {
			t.Errorf("got %q, want an error with %q", r.failed, want)
		}
	}
}

// Right networks pass at every seed, also where all weights and inputs are varied to ties and
// zeros, at which kinks of several layers meet.
func TestVaried(t *testing.T) {
	for name, l := range map[string]model.Layer{
		"linear": model.Sequential{model.Flatten{}, model.Linear{Outputs: 4}, model.ReLU{}, model.Linear{Outputs: 3}},
		"conv": model.Sequential{model.Conv2D{Filters: 2, Size: ops.Both(3)}, model.ReLU{}, model.Flatten{},
			model.Linear{Outputs: 3}},
		"pool": model.Sequential{model.Conv2D{Filters: 2, Size: ops.Both(3)}, model.MaxPool2D{Window: ops.Both(2)},
			model.Flatten{}, model.Linear{Outputs: 2}},
	} {
		for seed := range uint64(4) {
			net, err := model.New(l, tensor.Shape{1, 4, 5}, model.Options{Seed: seed})
			if err != nil {
				t.Fatal(err)
			}
			c, err := modeltest.Case(net, model.CrossEntropy{}, 2)
			if err != nil {
				t.Fatal(err)
			}
			c.Seed = seed
			if seed%2 == 0 {
				for i, in := range c.Inputs[2:] {
					c.Inputs[2+i] = verify.Normal(in.Name, in.Shape...)
				}
				c.Sample = 0
			}
			if r, err := c.Check(); err != nil || !r.Passed() {
				t.Errorf("%s, seed %d: %v\n%s", name, seed, err, r)
			}
		}
	}
}
