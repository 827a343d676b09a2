package builtin

import (
	"fmt"
	"math"

	G "gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/convgrad/convgrad/internal/kernel"
	"github.com/convgrad/convgrad/verify"
	"github.com/convgrad/convgrad/verify/internal/graphs"
	"github.com/convgrad/convgrad/verify/internal/reference"
	"github.com/convgrad/convgrad/verify/internal/values"
)

// pooling are uses of the poolings.
func pooling() []builtIn {
	symmetric := []kernel.Spatial{padded(0, 0, 0, 0, 1), padded(0, 0, 0, 0, 2), padded(1, 1, 1, 1, 2), padded(1, 1, 0, 0, 1)}
	uneven := []kernel.Spatial{padded(0, 1, 0, 1, 1), padded(1, 0, 1, 0, 1), padded(0, 1, 0, 1, 2), padded(1, 0, 1, 0, 2)}
	maxBuild := func(g kernel.Pool, sp kernel.Spatial) verify.Build {
		pad := []int{sp.PadTop, sp.PadLeft}
		if sp.PadTop != sp.PadBottom || sp.PadLeft != sp.PadRight {
			pad = pad4(sp)
		}
		return func(in []*G.Node) (*G.Node, error) {
			return G.MaxPool2D(in[0], tensor.Shape{g.R, g.S}, pad, strides(sp))
		}
	}
	overMax := func(spatial []kernel.Spatial, by []verify.Oracle) func(try try) {
		return func(try try) {
			n := 0
			pools(spatial, func(g kernel.Pool, sp kernel.Spatial) bool {
				n++
				return n <= 150 && try(poolWhat(g, sp), func() string { return blamed(maxUse(g, maxBuild(g, sp)), by...) })
			})
		}
	}
	return []builtIn{
		{name: "MaxPool2D", use: "symmetric padding, under TapeMachine", search: overMax(symmetric, underTape)},
		{name: "MaxPool2D", use: "under LispMachine, x with a second consumer", known: "C2", search: overMax(symmetric, underLisp)},
		{name: "MaxPool2D", use: "four paddings that differ", known: "C3", mortal: true, search: overMax(uneven, underTape)},
		{name: "MaxPool2D", use: "two of one input that differ in their last paddings", known: "C4", search: func(try try) {
			pools([]kernel.Spatial{padded(0, 0, 0, 0, 2), padded(1, 1, 1, 1, 2)}, func(g kernel.Pool, sp kernel.Spatial) bool {
				more := sp
				more.PadBottom++
				other, err := kernel.NewPool(g.N, g.C, g.H, g.W, g.R, g.S, more)
				if err != nil || other.P != g.P || other.Q != g.Q {
					return true
				}
				return try(fmt.Sprintf("%s, and pad %v", poolWhat(g, sp), pad4(more)), func() string {
					_, in := graphs.Leaves(graphs.Zeros(1, 1, g.H, g.W))
					a, err := G.MaxPool2D(in[0], tensor.Shape{g.R, g.S}, pad4(sp), strides(sp))
					if err != nil {
						return ""
					}
					b, err := G.MaxPool2D(in[0], tensor.Shape{g.R, g.S}, pad4(more), strides(sp))
					if err != nil {
						return ""
					}
					if a == b {
						return "the two are one node"
					}
					return ""
				})
			})
		}},
		{name: "MaxPool2D", use: "a window of −Inf", known: "C5", mortal: true, search: func(try try) {
			inf := math.Inf(-1)
			try("x [−Inf], window [1 1]", func() string { return maxAt(1, image2(1, 1, inf), []float64{inf}, []float64{1}) })
			try("x [−Inf −Inf], window [1 2]", func() string { return maxAt(2, image2(1, 2, inf, inf), []float64{inf}, []float64{1, 0}) })
		}},
		{name: "MaxPool2D", use: "a NaN in a window", known: "C5", mortal: true, search: func(try try) {
			nan := math.NaN()
			try("x [1 NaN], window [1 2]", func() string { return maxAt(2, image2(1, 2, 1, nan), []float64{nan}, []float64{0, 1}) })
			try("x [NaN 1], window [1 2]", func() string { return maxAt(2, image2(1, 2, nan, 1), []float64{nan}, []float64{1, 0}) })
		}},
		{name: "MaxPool2D", use: "a window of NaN alone", known: "C5", mortal: true, search: func(try try) {
			nan := math.NaN()
			try("x [NaN], window [1 1]", func() string { return maxAt(1, image2(1, 1, nan), []float64{nan}, []float64{1}) })
		}},
		{name: "MaxPool2D", use: "a window of the least number, −MaxFloat64", known: "C5", mortal: true, search: one("x [−MaxFloat64], window [1 1]", func() string {
			return maxAt(1, image2(1, 1, -math.MaxFloat64), []float64{-math.MaxFloat64}, []float64{1})
		})},
		{name: "MaxPool2D", use: "a window that lies wholly in the padding", known: "C5", mortal: true, search: one("x [1], window [1 1], pad [1 1]", func() string {
			y, _, err := graphs.Run(func(in []*G.Node) (*G.Node, error) {
				return G.MaxPool2D(in[0], tensor.Shape{1, 1}, []int{1, 1}, []int{1, 1})
			}, []graphs.Array{image2(1, 1, 1)}, graphs.Of([]int{1, 1, 3, 3}, ones(9)))
			if err != nil {
				return "" // an error is an answer
			}
			return fmt.Sprintf("y is %v, where no element was: want an error", y.Data)
		})},
		{name: "MaxPool2D", use: "one op at two nodes", known: "C6", search: func(try try) {
			pools(symmetric, func(g kernel.Pool, sp kernel.Spatial) bool {
				one := maxUse(g, nil)
				s := use{shapes: [][]int{one.shapes[0], one.shapes[0]}, distinct: true}
				s.build = func(in []*G.Node) (*G.Node, error) {
					a, err := maxBuild(g, sp)(in[:1])
					if err != nil {
						return nil, err
					}
					b, err := G.ApplyOp(a.Op(), in[1])
					if err != nil {
						return nil, err
					}
					return G.Add(a, b)
				}
				s.reference = reference.Sum(reference.Of(reference.MaxPool(g, false), 0), reference.Of(reference.MaxPool(g, false), 1))
				return try(poolWhat(g, sp), func() string { return blamed(s, underTape...) })
			})
		}},
		{name: "MaxPool2D", use: "another run between forward and backward, as in a clone", known: "C6", search: func(try try) {
			pools(symmetric[:2], func(g kernel.Pool, sp kernel.Spatial) bool {
				return try(poolWhat(g, sp), func() string {
					return blamedFor(verify.Case{Build: verify.Build(maxBuild(g, sp)), Inputs: []verify.Input{verify.Permutation("x", g.N, g.C, g.H, g.W)}}, verify.ByInterleaving)
				})
			})
		}},
		{name: "MaxPool2D", use: "differentiated, and then something else in the same graph", known: "M2", search: gradTwice(func(x *G.Node) (*G.Node, error) {
			return G.MaxPool2D(x, tensor.Shape{1, 1}, []int{0, 0}, []int{1, 1})
		})},
		{name: "MaxPool2D", use: "a gradient's gradient", known: "C11", mortal: true, search: one("x [1 1 1 1], window [1 1]", func() string { return secondMax() })},
		{name: "AveragePool2D", use: "under TapeMachine", known: "C7", mortal: true, search: func(try try) {
			pools(symmetric[:2], func(g kernel.Pool, sp kernel.Spatial) bool {
				return try(poolWhat(g, sp), func() string {
					return blamed(avgUse(g, func(in []*G.Node) (*G.Node, error) {
						return G.AveragePool2D(in[0], tensor.Shape{g.R, g.S}, []int{0, 0}, strides(sp))
					}), underTape...)
				})
			})
		}},
		{name: "AveragePool2D", use: "its gradient", known: "C7", mortal: true, search: func(try try) {
			pools(symmetric[:2], func(g kernel.Pool, sp kernel.Spatial) bool {
				return try(poolWhat(g, sp), func() string {
					return blamed(avgUse(g, func(in []*G.Node) (*G.Node, error) {
						return G.AveragePool2D(in[0], tensor.Shape{g.R, g.S}, []int{0, 0}, strides(sp))
					}), verify.ByDifferences)
				})
			})
		}},
		{name: "AveragePool1D", use: "the forward pass", known: "C7", mortal: true, search: one("x [0 1], window 2", func() string {
			return at(func(in []*G.Node) (*G.Node, error) { return G.AveragePool1D(in[0], 2, 0, 2) }, []graphs.Array{image2(1, 2, 0, 1)}, image2(1, 1, 1), []float64{0.5}, nil)
		})},
		{name: "GlobalAveragePool2D", use: "its gradient", known: "C8", search: one("x [1]", func() string {
			return at(func(in []*G.Node) (*G.Node, error) { return G.GlobalAveragePool2D(in[0]) }, []graphs.Array{image2(1, 1, 1)}, image2(1, 1, 1), []float64{1}, []float64{1})
		})},
	}
}

// pools visits poolings of one plane in order of the input's size.
func pools(spatial []kernel.Spatial, visit func(g kernel.Pool, sp kernel.Spatial) bool) {
	for size := 1; size <= 30; size++ {
		for h := 1; h <= 6; h++ {
			for w := 1; w <= 6; w++ {
				if h*w != size {
					continue
				}
				for r := 1; r <= 3; r++ {
					for s := 1; s <= 3; s++ {
						for _, sp := range spatial {
							g, err := kernel.NewPool(1, 1, h, w, r, s, sp)
							if err == nil && sp.PadTop < r && sp.PadLeft < s && !visit(g, sp) {
								return
							}
						}
					}
				}
			}
		}
	}
}

func padded(top, bottom, left, right, stride int) kernel.Spatial {
	return kernel.Spatial{StrideH: stride, StrideW: stride, DilationH: 1, DilationW: 1, PadTop: top, PadBottom: bottom, PadLeft: left, PadRight: right}
}

func strides(sp kernel.Spatial) []int { return []int{sp.StrideH, sp.StrideW} }

// pad4 is Gorgonia's order: north, south, west, east.
func pad4(sp kernel.Spatial) []int { return []int{sp.PadTop, sp.PadBottom, sp.PadLeft, sp.PadRight} }

func maxUse(g kernel.Pool, build verify.Build) use {
	return use{[][]int{{g.N, g.C, g.H, g.W}}, true, build, reference.MaxPool(g, false)}
}

func avgUse(g kernel.Pool, build verify.Build) use {
	return use{[][]int{{g.N, g.C, g.H, g.W}}, false, build, reference.AvgPool(g, true)}
}

func poolWhat(g kernel.Pool, sp kernel.Spatial) string {
	return fmt.Sprintf("x [%d %d %d %d], window [%d %d], stride %v, pad %v", g.N, g.C, g.H, g.W, g.R, g.S, strides(sp), pad4(sp))
}

func maxAt(window int, x graphs.Array, y, dx []float64) string {
	return at(func(in []*G.Node) (*G.Node, error) {
		return G.MaxPool2D(in[0], tensor.Shape{1, window}, []int{0, 0}, []int{1, window})
	}, []graphs.Array{x}, image2(1, 1, 1), y, dx)
}

// secondMax is the gradient by dy of ⟨∂E/∂x, v⟩, which is v at the winner.
func secondMax() string {
	graph, in := graphs.Leaves(image2(1, 1, 2), image2(1, 1, 3), image2(1, 1, 5))
	y := must(G.MaxPool2D(in[0], tensor.Shape{1, 1}, []int{0, 0}, []int{1, 1}))
	c := G.Must(G.Sum(G.Must(G.HadamardProd(y, in[1]))))
	dx := must(G.Grad(c, in[0]))
	d := must(G.Grad(G.Must(G.Sum(G.Must(G.HadamardProd(dx[0], in[2])))), in[1]))
	run(graph)
	got := must(values.Floats(d[0].Value()))
	return differs("∂/∂dy ⟨∂E/∂x, v⟩", got, []float64{5})
}
