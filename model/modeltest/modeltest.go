// Package modeltest checks the gradients of whole networks, in one call of a test.
package modeltest

import (
	"math/rand/v2"

	"github.com/pkg/errors"
	G "gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/convgrad/convgrad/model"
	"github.com/convgrad/convgrad/verify"
)

// few is how many elements and directions of each input are looked at.
const few = 6

// Check checks the loss of a network, in training, and its gradients by the input and by all
// parameters, with the oracles of package verify: central differences, other machines, the other
// float type, and so on. It fails the test with the report if one disagrees. Inputs and float
// targets are normal numbers, inputs also ties, zeros and large ones; labels are classes at random,
// and weights the network's own with a little noise.
//
//	modeltest.Check(t, net, model.CrossEntropy{}, 2)
func Check(t verify.TB, net *model.Network, loss model.Loss, batch int) {
	t.Helper()
	c, err := Case(net, loss, batch)
	if err != nil {
		t.Errorf("%v", err)
		return
	}
	c.Test(t)
}

// Case is what Check tests, for those who want to change something about it.
//
// It returns an error if the network or the loss is nil, or they do not fit.
func Case(net *model.Network, loss model.Loss, batch int) (verify.Case, error) {
	if net == nil || loss == nil || batch < 1 {
		return verify.Case{}, errors.Errorf("modeltest: the network is %v, the loss %v and the batch %d, want none nil and at least 1",
			net, loss, batch)
	}
	target, err := target(net, loss, batch)
	if err != nil {
		return verify.Case{}, err
	}
	x := verify.Normal("x", append([]int{batch}, net.Input()...)...)
	c := verify.Case{Name: "network " + net.Name(), Inputs: []verify.Input{x, target}, Seed: 1, Sample: few}
	// The updates of buffers are roots beside the loss, which LispMachine refuses.
	if len(net.Buffers()) > 0 {
		c.Skip = []verify.Oracle{verify.ByLisp, verify.ByLispAccumul}
	}
	for _, p := range net.Params() {
		c.Inputs = append(c.Inputs, verify.Input{Name: p.Name, Shape: p.Value.Shape().Clone(), Draw: near(p.Value)})
	}
	c.Build = func(in []*G.Node) (*G.Node, error) {
		y, err := net.Expand(in[0], in[2:], model.BuildOptions{Training: true, Seed: 1})
		if err != nil {
			return nil, err
		}
		return loss.Loss(y, in[1])
	}
	return c, nil
}

// target is the input of a batch's targets.
func target(net *model.Network, loss model.Loss, batch int) (in verify.Input, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = errors.Errorf("modeltest: the loss panicked: %v", r)
		}
	}()
	g := G.NewGraph()
	leaf := func(name string, of tensor.Dtype, s tensor.Shape) *G.Node {
		return G.NewTensor(g, of, len(s), G.WithShape(s...), G.WithName(name))
	}
	var params G.Nodes
	for _, p := range net.Params() {
		params = append(params, leaf(p.Name, net.Dtype(), p.Value.Shape()))
	}
	x := leaf("the input", net.Dtype(), append(tensor.Shape{batch}, net.Input()...))
	y, err := net.Expand(x, params, model.BuildOptions{Training: true})
	if err != nil {
		return in, err
	}
	shape, of, err := loss.Target(y)
	if err != nil {
		return in, errors.Wrap(err, "modeltest")
	}
	const name = "the targets"
	if of != tensor.Int {
		return verify.Normal(name, shape...).AsFixed(), nil
	}
	in = verify.Labels(name, y.Shape()[y.Dims()-1], 1)
	if y.Dims() == 4 { // a class for each pixel
		in = verify.Labels(name, y.Shape()[1], 1)
	}
	in.Shape = shape
	return in, nil
}

// near draws a weight's own values with a little noise, so that nothing is exactly 0.
func near(v *tensor.Dense) func(r *rand.Rand, w []float64) {
	return func(r *rand.Rand, w []float64) {
		for i := range w {
			w[i] = 0.05 * r.NormFloat64()
		}
		switch own := v.Data().(type) {
		case []float32:
			for i, x := range own {
				w[i] += float64(x)
			}
		case []float64:
			for i, x := range own {
				w[i] += x
			}
		}
	}
}
