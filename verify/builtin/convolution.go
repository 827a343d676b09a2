package builtin

import (
	"fmt"
	"math/rand/v2"

	G "gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/convgrad/convgrad/internal/kernel"
	"github.com/convgrad/convgrad/verify"
	"github.com/convgrad/convgrad/verify/internal/graphs"
	"github.com/convgrad/convgrad/verify/internal/reference"
	"github.com/convgrad/convgrad/verify/internal/values"
)

// convolving are uses of Conv2d.
func convolving() []builtIn {
	overConv := func(by []verify.Oracle) func(try try) {
		return func(try try) {
			n := 0
			convolutions(func(g kernel.Conv, sp kernel.Spatial) bool {
				n++
				return n <= 150 && try(convWhat(g, sp), func() string { return blamed(convUse(g, sp), by...) })
			})
		}
	}
	return []builtIn{
		{name: "Conv2d", use: "under TapeMachine", search: overConv(underTape)},
		{name: "Conv2d", use: "under LispMachine, x and w with second consumers", known: "C2", search: overConv(underLisp)},
		{name: "Conv2d", use: "two of one input that differ in their dilation", known: "C1", search: func(try try) {
			convolutions(func(g kernel.Conv, sp kernel.Spatial) bool {
				for dilation := 2; dilation <= 3; dilation++ {
					for stride := 1; stride <= 3; stride++ {
						a, b := sp, sp
						a.StrideH, a.StrideW, b.StrideH, b.StrideW = stride, stride, stride, stride
						a.DilationH, a.DilationW, b.DilationH, b.DilationW = 1, 1, dilation, dilation
						ga, err := kernel.NewConv(g.N, g.C, g.H, g.W, g.K, g.R, g.S, 1, a, false)
						gb, other := kernel.NewConv(g.N, g.C, g.H, g.W, g.K, g.R, g.S, 1, b, false)
						if err != nil || other != nil || ga.P != gb.P || ga.Q != gb.Q {
							continue
						}
						s := convUse(ga, a)
						s.build = func(in []*G.Node) (*G.Node, error) {
							y, err := conv2d(in, ga, a)
							if err != nil {
								return nil, err
							}
							z, err := conv2d(in, gb, b)
							if err != nil {
								return nil, err
							}
							return G.Add(y, z)
						}
						s.reference = reference.Sum(reference.Conv(ga, false), reference.Conv(gb, false))
						if !try(fmt.Sprintf("%s, and dilation %d", convWhat(ga, a), dilation), func() string { return blamed(s, underTape...) }) {
							return false
						}
					}
				}
				return true
			})
		}},
		{name: "Conv2d", use: "with a kernel shape that is not the filter's", known: "C9", search: func(try try) {
			for _, k := range [][2]int{{1, 1}, {1, 2}, {2, 1}, {2, 2}, {3, 3}} {
				for _, f := range [][2]int{{1, 1}, {1, 2}, {2, 1}, {1, 4}, {4, 1}, {1, 9}} {
					if k == f {
						continue
					}
					try(fmt.Sprintf("kernelShape %v, filter [1 1 %d %d]", k, f[0], f[1]), func() string {
						_, in := graphs.Leaves(graphs.Zeros(1, 1, 9, 9), graphs.Zeros(1, 1, f[0], f[1]))
						y, err := G.Conv2d(in[0], in[1], tensor.Shape(k[:]), []int{0, 0}, []int{1, 1}, []int{1, 1})
						if err == nil {
							return fmt.Sprintf("no error, and a node of shape %v", y.Shape())
						}
						return ""
					})
				}
			}
		}},
		{name: "Conv2d", use: "a gradient's gradient: ∂/∂w ⟨∂E/∂x, v⟩", known: "C11", mortal: true, search: func(try try) {
			convolutions(func(g kernel.Conv, sp kernel.Spatial) bool {
				return try(convWhat(g, sp), func() string { return secondConv(g, sp) }) && g.H*g.W < 6
			})
		}},
	}
}

// convolutions visits geometries of one channel and one filter and then of several, in order of the
// input's and filter's size.
func convolutions(visit func(g kernel.Conv, sp kernel.Spatial) bool) {
	for size := 2; size <= 40; size++ {
		for _, n := range [][3]int{{1, 1, 1}, {2, 3, 2}} {
			for h := 1; h <= 6; h++ {
				for w := 1; w <= 6; w++ {
					for r := 1; r <= 3; r++ {
						for s := 1; s <= 3; s++ {
							if h*w+r*s != size {
								continue
							}
							for _, sp := range []kernel.Spatial{
								{StrideH: 1, StrideW: 1, DilationH: 1, DilationW: 1},
								{StrideH: 2, StrideW: 1, DilationH: 1, DilationW: 2, PadTop: 1, PadBottom: 1, PadLeft: 2, PadRight: 2},
							} {
								g, err := kernel.NewConv(n[0], n[1], h, w, n[2], r, s, 1, sp, false)
								if err == nil && !visit(g, sp) {
									return
								}
							}
						}
					}
				}
			}
		}
	}
}

func conv2d(in []*G.Node, g kernel.Conv, sp kernel.Spatial) (*G.Node, error) {
	return G.Conv2d(in[0], in[1], tensor.Shape{g.R, g.S}, []int{sp.PadTop, sp.PadLeft}, strides(sp), []int{sp.DilationH, sp.DilationW})
}

func convUse(g kernel.Conv, sp kernel.Spatial) use {
	return use{
		shapes:    [][]int{sidesX(g), {g.K, g.C, g.R, g.S}},
		build:     func(in []*G.Node) (*G.Node, error) { return conv2d(in, g, sp) },
		reference: reference.Conv(g, false),
	}
}

func sidesX(g kernel.Conv) []int { return []int{g.N, g.C, g.H, g.W} }

func convWhat(g kernel.Conv, sp kernel.Spatial) string {
	return fmt.Sprintf("x %v, filter %v, stride %v, pad [%d %d], dilation [%d %d]", sidesX(g), []int{g.K, g.C, g.R, g.S}, strides(sp), sp.PadTop, sp.PadLeft, sp.DilationH, sp.DilationW)
}

// secondConv is the gradient by w of ⟨∂E/∂x, v⟩, which is the filter gradient of v under dy.
func secondConv(g kernel.Conv, sp kernel.Spatial) string {
	r := rand.New(rand.NewPCG(1, 3))
	whole := func(shape ...int) graphs.Array {
		a := graphs.Zeros(shape...)
		for i := range a.Data {
			a.Data[i] = float64(r.IntN(9) - 4)
		}
		return a
	}
	x, w, dy, v := whole(sidesX(g)...), whole(g.K, g.C, g.R, g.S), whole(g.N, g.K, g.P, g.Q), whole(sidesX(g)...)
	graph, nodes := graphs.Leaves(x, w, v)
	y, err := conv2d(nodes, g, sp)
	if err != nil {
		return ""
	}
	c := must(graphs.Cost(y, dy))
	dx := must(G.Grad(c, nodes[0]))
	p := must(G.HadamardProd(dx[0], nodes[2]))
	p = must(G.Sum(p))
	dw := must(G.Grad(p, nodes[1]))
	run(graph)
	got := must(values.Floats(dw[0].Value()))
	want := make([]float64, g.WLen())
	kernel.RefBackwardFilter(g, want, dy.Data, v.Data)
	return differs("∂/∂w ⟨∂E/∂x, v⟩", got, want)
}
