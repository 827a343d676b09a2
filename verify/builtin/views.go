package builtin

import (
	"fmt"
	"slices"

	G "gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/convgrad/convgrad/internal/kernel"
	"github.com/convgrad/convgrad/verify/internal/graphs"
	"github.com/convgrad/convgrad/verify/internal/values"
)

// A view is a tensor that is not plain: its elements are those of the plain one.
type view struct {
	name string
	axis int // must have two elements or more, for a slice of one loses its axis
	make func(shape []int) (tensor.Tensor, error)
}

func views() []view {
	sliced := func(axis int) func(shape []int) (tensor.Tensor, error) {
		return func(shape []int) (tensor.Tensor, error) {
			wide := slices.Clone(shape)
			wide[axis]++
			index := make([]tensor.Slice, len(wide))
			index[axis] = G.S(0, shape[axis])
			return tensor.New(tensor.WithShape(wide...), tensor.Of(tensor.Float64)).Slice(index...)
		}
	}
	return []view{
		{"a slice of the batch", 0, sliced(0)},
		{"a slice of the channels", 1, sliced(1)},
		{"a slice of the width", 3, sliced(3)},
		{"a lazy transpose", 0, func(s []int) (tensor.Tensor, error) {
			d := tensor.New(tensor.WithShape(s[0], s[1], s[3], s[2]), tensor.Of(tensor.Float64))
			return d, d.T(0, 1, 3, 2)
		}},
		{"column-major", 0, func(s []int) (tensor.Tensor, error) {
			return tensor.New(tensor.WithShape(s...), tensor.Of(tensor.Float64), tensor.AsFortran(nil)), nil
		}},
	}
}

// viewed runs a node on a view and compares with what it makes of the plain tensor's elements.
func viewed(v view, shape []int, build func(x *G.Node) (*G.Node, error), want func(x []float64) []float64) string {
	a := graphs.Zeros(shape...)
	for i := range a.Data {
		a.Data[i] = float64(i*i%7 + i)
	}
	made, err := v.make(shape)
	if err != nil {
		return "the view cannot be made: " + err.Error()
	}
	d := made.(*tensor.Dense)
	done(values.Set(d, a.Data))
	g := G.NewGraph()
	x := G.NewTensor(g, tensor.Float64, len(shape), G.WithShape(shape...), G.WithName("x"))
	y := must(build(x))
	var read G.Value
	G.Read(y, &read)
	done(G.Let(x, d))
	run(g)
	got := must(values.Floats(read))
	return differs("y", got, want(a.Data))
}

// viewing are uses of convolution and pooling on views.
func viewing() (all []builtIn) {
	for _, v := range views() {
		all = append(all,
			builtIn{name: "Conv2d", use: v.name, known: knownView("Conv2d", v.name), mortal: true, search: func(try try) {
				for _, shape := range smallImages(v.axis) {
					try(fmt.Sprintf("x %v, filter [1 %d 1 1] of ones", shape, shape[1]), func() string {
						return viewed(v, shape, func(x *G.Node) (*G.Node, error) {
							w := graphs.Of([]int{1, shape[1], 1, 1}, ones(shape[1]))
							return G.Conv2d(x, G.NewTensor(x.Graph(), tensor.Float64, 4, G.WithShape(w.Shape...), G.WithName("w"), G.WithValue(w.Value(tensor.Float64))),
								tensor.Shape{1, 1}, []int{0, 0}, []int{1, 1}, []int{1, 1})
						}, func(x []float64) []float64 {
							g, err := kernel.NewConv(shape[0], shape[1], shape[2], shape[3], 1, 1, 1, 1, padded(0, 0, 0, 0, 1), false)
							if err != nil {
								panic(err)
							}
							y := make([]float64, g.YLen())
							kernel.RefForward(g, y, x, ones(shape[1]))
							return y
						})
					})
				}
			}},
			builtIn{name: "MaxPool2D", use: v.name, known: knownView("MaxPool2D", v.name), mortal: true, search: func(try try) {
				for _, shape := range smallImages(v.axis) {
					try(fmt.Sprintf("x %v, window [1 1]", shape), func() string {
						return viewed(v, shape, func(x *G.Node) (*G.Node, error) {
							return G.MaxPool2D(x, tensor.Shape{1, 1}, []int{0, 0}, []int{1, 1})
						}, func(x []float64) []float64 { return x })
					})
				}
			}})
	}
	return all
}

// knownView is what is expected of a view: slices of the batch are right in both ops, and of the
// channels in Conv2d.
func knownView(op, name string) string {
	if name == "a slice of the batch" || op == "Conv2d" && name == "a slice of the channels" {
		return ""
	}
	return "C10"
}

// smallImages are shapes in order of size, with two elements or more along an axis.
func smallImages(axis int) [][]int {
	var all [][]int
	for _, s := range shapesOf(4, 2) {
		if s[axis] > 1 {
			all = append(all, s)
		}
	}
	return all
}
