// Command convnet is a network for digits in the words of Gorgonia, as its program examples/convnet
// is, with our ops under them: of the imports, the line of G was changed. docs/migrating.md has the
// differences.
package main

import (
	"flag"
	"fmt"
	"log"

	"gorgonia.org/tensor"

	G "github.com/convgrad/convgrad/ops/nn" // it was "gorgonia.org/gorgonia"
	"github.com/convgrad/convgrad/train/data"
)

var (
	epochs    = flag.Int("epochs", 4, "how often to see the training set")
	training  = flag.Int("train", 4000, "number of digits to train on")
	batchsize = flag.Int("batchsize", 100, "digits in a batch")
	width     = flag.Int("width", 32, "filters of the first layer")
)

const classes = 10

var dt = tensor.Float32

type convnet struct {
	g                  *G.ExprGraph
	w0, w1, w2, w3, w4 *G.Node
	d0, d1, d2, d3     float64 // dropout probabilities

	out *G.Node
}

func newConvNet(g *G.ExprGraph, k int) *convnet {
	weight := func(name string, shape ...int) *G.Node {
		return G.NewTensor(g, dt, len(shape), G.WithShape(shape...), G.WithName(name), G.WithInit(G.GlorotN(1.0)))
	}
	return &convnet{
		g:  g,
		w0: weight("w0", k, 1, 3, 3),
		w1: weight("w1", 2*k, k, 3, 3),
		w2: weight("w2", 4*k, 2*k, 3, 3),
		w3: weight("w3", 4*k*3*3, 20*k),
		w4: weight("w4", 20*k, classes),
		d0: 0.2, d1: 0.2, d2: 0.2, d3: 0.55,
	}
}

func (m *convnet) learnables() G.Nodes { return G.Nodes{m.w0, m.w1, m.w2, m.w3, m.w4} }

// layer is a convolution that keeps the image's sides, ReLU and a pool that halves them.
func layer(x, w *G.Node) (*G.Node, error) {
	c, err := G.Conv2d(x, w, tensor.Shape{3, 3}, []int{1, 1}, []int{1, 1}, []int{1, 1})
	if err != nil {
		return nil, err
	}
	a, err := G.Rectify(c)
	if err != nil {
		return nil, err
	}
	return G.MaxPool2D(a, tensor.Shape{2, 2}, []int{0, 0}, []int{2, 2})
}

func (m *convnet) fwd(x *G.Node) error {
	var p0, l0, p1, l1, p2, r2, l2, fc, a3, l3, out *G.Node
	var err error
	if p0, err = layer(x, m.w0); err != nil {
		return fmt.Errorf("layer 0: %w", err)
	}
	if l0, err = G.Dropout(p0, m.d0); err != nil {
		return fmt.Errorf("layer 0: %w", err)
	}
	if p1, err = layer(l0, m.w1); err != nil {
		return fmt.Errorf("layer 1: %w", err)
	}
	if l1, err = G.Dropout(p1, m.d1); err != nil {
		return fmt.Errorf("layer 1: %w", err)
	}
	if p2, err = layer(l1, m.w2); err != nil {
		return fmt.Errorf("layer 2: %w", err)
	}
	s := p2.Shape()
	if r2, err = G.Reshape(p2, tensor.Shape{s[0], s[1] * s[2] * s[3]}); err != nil {
		return fmt.Errorf("layer 2: %w", err)
	}
	if l2, err = G.Dropout(r2, m.d2); err != nil {
		return fmt.Errorf("layer 2: %w", err)
	}
	if fc, err = G.Mul(l2, m.w3); err != nil {
		return fmt.Errorf("layer 3: %w", err)
	}
	if a3, err = G.Rectify(fc); err != nil {
		return fmt.Errorf("layer 3: %w", err)
	}
	if l3, err = G.Dropout(a3, m.d3); err != nil {
		return fmt.Errorf("layer 3: %w", err)
	}
	if out, err = G.Mul(l3, m.w4); err != nil {
		return fmt.Errorf("layer 4: %w", err)
	}
	m.out, err = G.SoftMax(out)
	return err
}

func main() {
	flag.Parse()
	bs := *batchsize
	digits, unseen, err := data.Digits(*training, 1000/bs*bs, 1)
	check(err)

	g := G.NewGraph()
	x := G.NewTensor(g, dt, 4, G.WithShape(bs, 1, 28, 28), G.WithName("x"))
	y := G.NewMatrix(g, dt, G.WithShape(bs, classes), G.WithName("y"))
	m := newConvNet(g, *width)
	check(m.fwd(x))

	losses := G.Must(G.HadamardProd(G.Must(G.Neg(G.Must(G.Log(m.out)))), y))
	cost := G.Must(G.Mean(losses))
	var costVal, outVal G.Value
	G.Read(cost, &costVal)
	_, err = G.Grad(cost, m.learnables()...)
	check(err)

	vm := G.NewTapeMachine(g, G.BindDualValues(m.learnables()...))
	solver := G.NewRMSPropSolver(G.WithBatchSize(float64(bs)))
	for epoch := range *epochs {
		for b := range digits.Len() / bs {
			check(let(x, y, digits, b*bs))
			check(vm.RunAll())
			check(solver.Step(G.NodesToValueGrads(m.learnables())))
			vm.Reset()
		}
		fmt.Printf("epoch %d, cost %.4f\n", epoch, costVal)
	}
	check(vm.Close())

	G.Read(m.out, &outVal)
	vm = G.NewTapeMachine(g, G.EvalMode()) // no dropout
	right := 0
	for b := range unseen.Len() / bs {
		check(let(x, y, unseen, b*bs))
		check(vm.RunAll())
		right += agree(outVal.Data().([]float32), y.Value().Data().([]float32))
		vm.Reset()
	}
	check(vm.Close())
	fmt.Printf("%.1f %% of %d digits read right\n", 100*float64(right)/float64(unseen.Len()), unseen.Len())
}

// let gives x and y the digits from the one numbered first, and which they are.
func let(x, y *G.Node, digits data.Set, first int) error {
	n := x.Shape()[0]
	pixels, hot := make([]float32, n*28*28), make([]float32, n*classes)
	for i := range n {
		target, err := digits.Read(first+i, pixels[i*28*28:(i+1)*28*28])
		if err != nil {
			return err
		}
		hot[i*classes+target.Class] = 1
	}
	if err := G.Let(x, tensor.New(tensor.WithShape(n, 1, 28, 28), tensor.WithBacking(pixels))); err != nil {
		return err
	}
	return G.Let(y, tensor.New(tensor.WithShape(n, classes), tensor.WithBacking(hot)))
}

// agree is the number of rows with their greatest element at the same place.
func agree(a, b []float32) int {
	n := 0
	for i := 0; i < len(a); i += classes {
		if greatest(a[i:i+classes]) == greatest(b[i:i+classes]) {
			n++
		}
	}
	return n
}

func greatest(v []float32) int {
	best := 0
	for i, x := range v {
		if x > v[best] {
			best = i
		}
	}
	return best
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
