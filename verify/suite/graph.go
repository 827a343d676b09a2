package suite

import (
	"fmt"
	"math"

	"github.com/pkg/errors"
	G "gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/convgrad/convgrad/ops/vm"
)

// An array is a tensor of float64 in row-major order, whatever element type the graph under test computes in.
type array struct {
	shape []int
	data  []float64
}

func newArray(shape ...int) array {
	n := 1
	for _, s := range shape {
		n *= s
	}
	return array{shape, make([]float64, n)}
}

func (a array) clone() array { return array{a.shape, append([]float64(nil), a.data...)} }

// value is the array as a dense tensor of the element type.
func (a array) value(of tensor.Dtype) *tensor.Dense {
	if of == tensor.Float32 {
		f := make([]float32, len(a.data))
		for i, v := range a.data {
			f[i] = float32(v)
		}
		return tensor.New(tensor.WithShape(a.shape...), tensor.WithBacking(f))
	}
	return tensor.New(tensor.WithShape(a.shape...), tensor.WithBacking(append([]float64(nil), a.data...)))
}

// floats reads a value's elements in row-major order.
func floats(v G.Value) ([]float64, error) {
	if v == nil {
		return nil, errors.New("no value")
	}
	switch d := v.Data().(type) {
	case []float64:
		return append([]float64(nil), d...), nil
	case []float32:
		f := make([]float64, len(d))
		for i, x := range d {
			f[i] = float64(x)
		}
		return f, nil
	case float64:
		return []float64{d}, nil
	case float32:
		return []float64{float64(d)}, nil
	case []int32:
		f := make([]float64, len(d))
		for i, x := range d {
			f[i] = float64(x)
		}
		return f, nil
	}
	return nil, errors.Errorf("a value of type %T", v.Data())
}

// builder makes the node under test from its differentiable inputs.
type builder func(in []*G.Node) (*G.Node, error)

// A machine is what runs a graph.
type machine int

const (
	tape machine = iota
	lisp
	reusing // ops/vm
)

func (m machine) String() string { return [...]string{"TapeMachine", "LispMachine", "ops/vm"}[m] }

// An outcome is what a run gave: the node's value, and the gradient of each input under the cotangent.
type outcome struct {
	y  array
	dx []array
}

// leaves makes the inputs' nodes in a new graph.
func leaves(in []array, of tensor.Dtype) (*G.ExprGraph, []*G.Node) {
	g := G.NewGraph()
	var nodes []*G.Node
	for i, a := range in {
		nodes = append(nodes, G.NewTensor(g, of, len(a.shape), G.WithShape(a.shape...), G.WithName(fmt.Sprintf("in%d", i)), G.WithValue(a.value(of))))
	}
	return g, nodes
}

// cost is Σ y ⊙ dy, whose gradients are those under the cotangent dy; a scalar y is times dy instead.
func cost(y *G.Node, dy array, of tensor.Dtype) (*G.Node, error) {
	if y.IsScalar() {
		var c any = dy.data[0]
		if of == tensor.Float32 {
			c = float32(dy.data[0])
		}
		return G.Mul(y, G.NewConstant(c, G.WithName("dy")))
	}
	d := G.NewTensor(y.Graph(), of, len(dy.shape), G.WithShape(dy.shape...), G.WithName("dy"), G.WithValue(dy.value(of)))
	p, err := G.HadamardProd(y, d)
	if err != nil {
		return nil, err
	}
	return G.Sum(p)
}

// run computes the node and the gradients of its inputs. A panic on this goroutine is an error, and so is an input that was changed. ops/vm is run twice.
func run(build builder, in []array, dy array, of tensor.Dtype, on machine) (out outcome, err error) {
	return runWith(build, in, dy, of, on, nil)
}

// runWith adds Σ second[i] ⊙ in[i] to the cost, so that every input has a second consumer whose gradient is second[i].
func runWith(build builder, in []array, dy array, of tensor.Dtype, on machine, second []array) (out outcome, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = errors.Errorf("panic: %v", r)
		}
	}()
	g, nodes := leaves(in, of)
	y, err := build(nodes)
	if err != nil {
		return out, err
	}
	var read G.Value
	if on != reusing {
		G.Read(y, &read)
	}
	c, err := cost(y, dy, of)
	if err != nil {
		return out, err
	}
	for i, a := range second {
		w := G.NewTensor(g, of, len(a.shape), G.WithShape(a.shape...), G.WithName(fmt.Sprintf("second%d", i)), G.WithValue(a.value(of)))
		p, err := G.HadamardProd(nodes[i], w)
		if err != nil {
			return out, err
		}
		if p, err = G.Sum(p); err != nil {
			return out, err
		}
		if c, err = G.Add(c, p); err != nil {
			return out, err
		}
	}
	var grads G.Nodes
	if on != lisp {
		if grads, err = G.Grad(c, nodes...); err != nil {
			return out, err
		}
	}
	var m G.VM
	switch on {
	case lisp:
		m = G.NewLispMachine(g)
	case reusing:
		if m, err = vm.New(g, append(G.Nodes{y, c}, grads...)...); err != nil {
			return out, err
		}
	default:
		m = G.NewTapeMachine(g)
	}
	defer m.Close()
	if err := m.RunAll(); err != nil {
		return out, err
	}
	if on == reusing {
		if err := m.RunAll(); err != nil {
			return out, err
		}
		read = y.Value()
	}
	for i, n := range nodes {
		after, err := floats(n.Value())
		if err != nil {
			return out, err
		}
		for k, v := range after {
			if b := in[i].data[k]; v != b && !(math.IsNaN(v) && math.IsNaN(b)) {
				return out, errors.Errorf("input %d: element %d was %v before the run and is %v after it", i, k, in[i].data[k], v)
			}
		}
	}
	out.y.shape = append([]int(nil), y.Shape()...)
	if out.y.data, err = floats(read); err != nil {
		return out, err
	}
	for i, n := range nodes {
		var v G.Value
		if on == lisp {
			if v, err = n.Grad(); err != nil {
				return out, err
			}
		} else {
			v = grads[i].Value()
		}
		f, err := floats(v)
		if err != nil {
			return out, errors.Wrapf(err, "the gradient of input %d", i)
		}
		out.dx = append(out.dx, array{in[i].shape, f})
	}
	return out, nil
}

// forward computes the node alone.
func forward(build builder, in []array, of tensor.Dtype) (y array, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = errors.Errorf("panic: %v", r)
		}
	}()
	g, nodes := leaves(in, of)
	n, err := build(nodes)
	if err != nil {
		return y, err
	}
	m, err := vm.New(g, n)
	if err != nil {
		return y, err
	}
	defer m.Close()
	if err := m.RunAll(); err != nil {
		return y, err
	}
	y.shape = append([]int(nil), n.Shape()...)
	y.data, err = floats(n.Value())
	return y, err
}
