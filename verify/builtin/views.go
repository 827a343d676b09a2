package builtin

import (
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
	make func(of tensor.Dtype, shape tensor.Shape, v []float64, axes ...int) (G.Value, error)
}

var views = []view{
	{"a slice of the batch", 0, values.Sliced},
	{"a slice of the channels", 1, values.Sliced},
	{"a slice of the width", 3, values.Sliced},
	{"a lazy transpose", 0, values.Transposed},
	{"column-major", 0, values.ColumnMajor},
}

// viewed are runs of a node on a view of small images, compared with what it makes of the plain
// tensor's elements.
func viewed(v view, format string, build func(x *G.Node) (*G.Node, error), want func(shape []int, x []float64) []float64) search {
	small := slices.DeleteFunc(shapes(2, 2, 2, 2), func(s []int) bool { return s[v.axis] == 1 })
	return over(small, format, func(shape []int) string {
		a := graphs.Zeros(shape...)
		for i := range a.Data {
			a.Data[i] = float64(i*i%7 + i)
		}
		d := must(v.make(tensor.Float64, shape, a.Data, v.axis))
		g := G.NewGraph()
		x := G.NewTensor(g, tensor.Float64, len(shape), G.WithShape(shape...), G.WithName("x"))
		y := must(build(x))
		done(G.Let(x, d))
		return read("y", g, y, want(shape, a.Data)...)
	})
}

// viewing are uses of convolution and pooling on views. Slices of the batch are right in both ops,
// and of the channels in Conv2d.
func viewing() (all []builtIn) {
	pool := pools(padded(0, 0, 0, 0, 1))[0]
	for _, v := range views {
		conv, max := "C10", "C10"
		if v.axis == 0 && v.name == "a slice of the batch" {
			conv, max = "", ""
		} else if v.axis == 1 {
			conv = ""
		}
		all = append(all,
			builtIn{name: "Conv2d", use: v.name, known: conv, mortal: true,
				search: viewed(v, "x %v, a filter of ones over the channels", func(x *G.Node) (*G.Node, error) {
					w := graphs.Ones(1, x.Shape()[1], 1, 1)
					return G.Conv2d(x, G.NewTensor(x.Graph(), tensor.Float64, 4, G.WithShape(w.Shape...), G.WithName("w"), G.WithValue(w.Value(tensor.Float64))),
						tensor.Shape{1, 1}, []int{0, 0}, []int{1, 1}, []int{1, 1})
				}, func(s []int, x []float64) []float64 {
					g := must(newConv(s[0], s[1], s[2], s[3], 1, 1, 1, padded(0, 0, 0, 0, 1)))
					y := make([]float64, g.YLen())
					kernel.RefForward(g.Conv, y, x, graphs.Ones(s[1]).Data)
					return y
				})},
			builtIn{name: "MaxPool2D", use: v.name, known: max, mortal: true,
				search: viewed(v, "x %v, window [1 1]", pool.max, func(_ []int, x []float64) []float64 { return x })})
	}
	return all
}
