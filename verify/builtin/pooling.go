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
)

// A pool is a geometry of one plane, and what it was made of.
type pool struct {
	kernel.Pool
	sp kernel.Spatial
}

// pools are geometries in order of the input's size.
func pools(spatial ...kernel.Spatial) (all []pool) {
	for _, s := range grid(func(s []int) int { return s[0] * s[1] }, 6, 6, 3, 3) {
		for _, sp := range spatial {
			g, err := kernel.NewPool(1, 1, s[0], s[1], s[2], s[3], sp)
			if err == nil && sp.PadTop < g.R && sp.PadLeft < g.S {
				all = append(all, pool{g, sp})
			}
		}
	}
	return all
}

func (g pool) x() []int { return []int{g.N, g.C, g.H, g.W} }

func (g pool) String() string {
	return fmt.Sprintf("x %v, window [%d %d], stride %v, pad %v", g.x(), g.R, g.S, strides(g.sp), pad4(g.sp))
}

func (g pool) max(x *G.Node) (*G.Node, error) {
	pad := []int{g.sp.PadTop, g.sp.PadLeft}
	if g.sp.PadTop != g.sp.PadBottom || g.sp.PadLeft != g.sp.PadRight {
		pad = pad4(g.sp)
	}
	return G.MaxPool2D(x, tensor.Shape{g.R, g.S}, pad, strides(g.sp))
}

func (g pool) maxUse() use {
	return use{[][]int{g.x()}, true, of(g.max), reference.MaxPool(g.Pool, false)}
}

func (g pool) averageUse() use {
	return use{[][]int{g.x()}, false, of(func(x *G.Node) (*G.Node, error) {
		return G.AveragePool2D(x, tensor.Shape{g.R, g.S}, []int{0, 0}, strides(g.sp))
	}), reference.AvgPool(g.Pool, true)}
}

func padded(top, bottom, left, right, stride int) kernel.Spatial {
	return kernel.Spatial{StrideH: stride, StrideW: stride, DilationH: 1, DilationW: 1, PadTop: top, PadBottom: bottom, PadLeft: left, PadRight: right}
}

func strides(sp kernel.Spatial) []int   { return []int{sp.StrideH, sp.StrideW} }
func dilations(sp kernel.Spatial) []int { return []int{sp.DilationH, sp.DilationW} }

// pad4 is Gorgonia's order: north, south, west, east.
func pad4(sp kernel.Spatial) []int { return []int{sp.PadTop, sp.PadBottom, sp.PadLeft, sp.PadRight} }

// A row1 is one row that one window covers, its maximum, and the gradient under dy = 1.
type row1 struct {
	x  []float64
	y  float64
	dx []float64
}

func (r row1) String() string { return fmt.Sprintf("x %v, window [1 %d]", r.x, len(r.x)) }

func (r row1) problem() string {
	n := len(r.x)
	return at(of(func(x *G.Node) (*G.Node, error) {
		return G.MaxPool2D(x, tensor.Shape{1, n}, []int{0, 0}, []int{1, n})
	}), image(1, n, r.x...), image(1, 1, 1), []float64{r.y}, r.dx)
}

// pooling are uses of the poolings.
func pooling() []builtIn {
	plain := pools(padded(0, 0, 0, 0, 1), padded(0, 0, 0, 0, 2))
	symmetric := pools(padded(0, 0, 0, 0, 1), padded(0, 0, 0, 0, 2), padded(1, 1, 1, 1, 2), padded(1, 1, 0, 0, 1))
	uneven := pools(padded(0, 1, 0, 1, 1), padded(1, 0, 1, 0, 1), padded(0, 1, 0, 1, 2), padded(1, 0, 1, 0, 2))
	inf, nan, least := math.Inf(-1), math.NaN(), -math.MaxFloat64
	overPools := func(all []pool, u func(g pool) use, by ...verify.Oracle) search {
		return over(all[:min(150, len(all))], "%v", func(g pool) string { return blamed(u(g), by...) })
	}
	rows := func(all ...row1) search { return over(all, "%v", row1.problem) }
	return []builtIn{
		{name: "MaxPool2D", use: "symmetric padding, under TapeMachine", search: overPools(symmetric, pool.maxUse, underTape...)},
		{name: "MaxPool2D", use: "under LispMachine, x with a second consumer", known: "C2", search: overPools(symmetric, pool.maxUse, underLisp...)},
		{name: "MaxPool2D", use: "four paddings that differ", known: "C3", mortal: true, search: overPools(uneven, pool.maxUse, underTape...)},
		{name: "MaxPool2D", use: "two of one input that differ in their last paddings", known: "C4",
			search: over(pools(padded(0, 0, 0, 0, 2), padded(1, 1, 1, 1, 2)), "%v, and one more below", func(g pool) string {
				more := g.sp
				more.PadBottom++
				other, err := kernel.NewPool(g.N, g.C, g.H, g.W, g.R, g.S, more)
				if err != nil || other.P != g.P || other.Q != g.Q {
					return ""
				}
				_, in := graphs.Leaves(graphs.Zeros(g.x()...))
				a, err := G.MaxPool2D(in[0], tensor.Shape{g.R, g.S}, pad4(g.sp), strides(g.sp))
				b, other2 := G.MaxPool2D(in[0], tensor.Shape{g.R, g.S}, pad4(more), strides(g.sp))
				if err == nil && other2 == nil && a == b {
					return "the two are one node"
				}
				return ""
			})},
		{name: "MaxPool2D", use: "a window of −Inf", known: "C5", mortal: true,
			search: rows(row1{[]float64{inf}, inf, []float64{1}}, row1{[]float64{inf, inf}, inf, []float64{1, 0}})},
		{name: "MaxPool2D", use: "a NaN in a window", known: "C5", mortal: true,
			search: rows(row1{[]float64{1, nan}, nan, []float64{0, 1}}, row1{[]float64{nan, 1}, nan, []float64{1, 0}})},
		{name: "MaxPool2D", use: "a window of NaN alone", known: "C5", mortal: true, search: rows(row1{[]float64{nan}, nan, []float64{1}})},
		{name: "MaxPool2D", use: "a window of the least number, −MaxFloat64", known: "C5", mortal: true, search: rows(row1{[]float64{least}, least, []float64{1}})},
		{name: "MaxPool2D", use: "a window that lies wholly in the padding", known: "C5", mortal: true,
			search: one("x [1], window [1 1], pad [1 1]", func() string {
				y, err := graphs.Forward(of(func(x *G.Node) (*G.Node, error) {
					return G.MaxPool2D(x, tensor.Shape{1, 1}, []int{1, 1}, []int{1, 1})
				}), image(1, 1, 1))
				if err != nil {
					return "" // an error is an answer
				}
				return fmt.Sprintf("y is %v, where no element was: want an error", y.Data)
			})},
		{name: "MaxPool2D", use: "one op at two nodes", known: "C6", search: overPools(symmetric, func(g pool) use {
			first := reference.MaxPool(g.Pool, false)
			return use{[][]int{g.x(), g.x()}, true, func(in []*G.Node) (*G.Node, error) {
				a := must(g.max(in[0]))
				return G.Add(a, must(G.ApplyOp(a.Op(), in[1])))
			}, reference.Sum(reference.Of(first, 0), reference.Of(first, 1))}
		}, underTape...)},
		{name: "MaxPool2D", use: "another run between forward and backward, as in a clone", known: "C6", search: overPools(plain, pool.maxUse, verify.ByInterleaving)},
		{name: "MaxPool2D", use: "differentiated, and then something else in the same graph", known: "M2", search: gradTwice(pools(padded(0, 0, 0, 0, 1))[0].max)},
		{name: "MaxPool2D", use: "a gradient's gradient", known: "C11", mortal: true, search: one("x [1 1 1 1], window [1 1]", func() string {
			// the gradient by dy of ⟨∂E/∂x, v⟩, which is v at the winner
			g, in := graphs.Leaves(image(1, 1, 2), image(1, 1, 3), image(1, 1, 5))
			y := must(pools(padded(0, 0, 0, 0, 1))[0].max(in[0]))
			dx := must(G.Grad(must(G.Sum(must(G.HadamardProd(y, in[1])))), in[0]))
			d := must(G.Grad(must(G.Sum(must(G.HadamardProd(dx[0], in[2])))), in[1]))
			return read("∂/∂dy ⟨∂E/∂x, v⟩", g, d[0], 5)
		})},
		{name: "AveragePool2D", use: "under TapeMachine", known: "C7", mortal: true, search: overPools(plain, pool.averageUse, underTape...)},
		{name: "AveragePool2D", use: "its gradient", known: "C7", mortal: true, search: overPools(plain, pool.averageUse, verify.ByDifferences)},
		{name: "AveragePool1D", use: "the forward pass", known: "C7", mortal: true, search: one("x [0 1], window 2", func() string {
			return at(of(func(x *G.Node) (*G.Node, error) { return G.AveragePool1D(x, 2, 0, 2) }), image(1, 2, 0, 1), image(1, 1, 1), []float64{0.5}, nil)
		})},
		{name: "GlobalAveragePool2D", use: "its gradient", known: "C8", search: one("x [1]", func() string {
			return at(of(G.GlobalAveragePool2D), image(1, 1, 1), image(1, 1, 1), []float64{1}, []float64{1})
		})},
	}
}
