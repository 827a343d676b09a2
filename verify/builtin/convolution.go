package builtin

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"

	G "gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/convgrad/convgrad/internal/kernel"
	"github.com/convgrad/convgrad/verify"
	"github.com/convgrad/convgrad/verify/internal/graphs"
	"github.com/convgrad/convgrad/verify/internal/reference"
	"github.com/convgrad/convgrad/verify/internal/values"
)

// A conv is a geometry, and what it was made of.
type conv struct {
	kernel.Conv
	sp kernel.Spatial
}

func newConv(n, c, h, w, k, r, s int, sp kernel.Spatial) (conv, error) {
	g, err := kernel.NewConv(n, c, h, w, k, r, s, 1, sp, false)
	return conv{g, sp}, err
}

// convs are geometries of one channel and one filter and then of several, in order of the input's
// and filter's size.
func convs() (all []conv) {
	size := func(s []int) int { return s[0]*s[1] + s[2]*s[3] }
	for _, n := range [][3]int{{1, 1, 1}, {2, 3, 2}} {
		for _, s := range grid(size, 6, 6, 3, 3) {
			for _, sp := range []kernel.Spatial{
				padded(0, 0, 0, 0, 1),
				{StrideH: 2, StrideW: 1, DilationH: 1, DilationW: 2, PadTop: 1, PadBottom: 1, PadLeft: 2, PadRight: 2},
			} {
				if g, err := newConv(n[0], n[1], s[0], s[1], n[2], s[2], s[3], sp); err == nil && s[0]*s[1] > 1 {
					all = append(all, g)
				}
			}
		}
	}
	slices.SortStableFunc(all, func(a, b conv) int { return cmp.Compare(a.H*a.W+a.R*a.S, b.H*b.W+b.R*b.S) })
	return all
}

func (g conv) x() []int { return []int{g.N, g.C, g.H, g.W} }
func (g conv) w() []int { return []int{g.K, g.C, g.R, g.S} }

func (g conv) String() string {
	return fmt.Sprintf("x %v, filter %v, stride %v, pad [%d %d], dilation %v", g.x(), g.w(), strides(g.sp), g.sp.PadTop, g.sp.PadLeft, dilations(g.sp))
}

func (g conv) build(in []*G.Node) (*G.Node, error) {
	return G.Conv2d(in[0], in[1], tensor.Shape{g.R, g.S}, []int{g.sp.PadTop, g.sp.PadLeft}, strides(g.sp), dilations(g.sp))
}

func (g conv) use() use {
	return use{shapes: [][]int{g.x(), g.w()}, build: g.build, reference: reference.Conv(g.Conv, false)}
}

// convolving are uses of Conv2d.
func convolving() []builtIn {
	overConv := func(by []verify.Oracle) search {
		return over(convs()[:150], "%v", func(g conv) string { return blamed(g.use(), by...) })
	}
	return []builtIn{
		{name: "Conv2d", use: "under TapeMachine", search: overConv(underTape)},
		{name: "Conv2d", use: "under LispMachine, x and w with second consumers", known: "C2", search: overConv(underLisp)},
		{name: "Conv2d", use: "two of one input that differ in their dilation", known: "C1",
			search: over(dilated(), "%v", func(p [2]conv) string {
				return blamed(use{p[0].use().shapes, false, func(in []*G.Node) (*G.Node, error) {
					return G.Add(must(p[0].build(in)), must(p[1].build(in)))
				}, reference.Sum(p[0].use().reference, p[1].use().reference)}, underTape...)
			})},
		{name: "Conv2d", use: "with a kernel shape that is not the filter's", known: "C9",
			search: over([][4]int{{1, 1, 1, 2}, {1, 2, 1, 1}, {2, 1, 1, 2}, {2, 2, 1, 4}, {2, 2, 4, 1}, {3, 3, 1, 9}}, "kernelShape and filter %v", func(s [4]int) string {
				_, in := graphs.Leaves(graphs.Zeros(1, 1, 9, 9), graphs.Zeros(1, 1, s[2], s[3]))
				y, err := G.Conv2d(in[0], in[1], tensor.Shape(s[:2]), []int{0, 0}, []int{1, 1}, []int{1, 1})
				if err == nil {
					return fmt.Sprintf("no error, and a node of shape %v", y.Shape())
				}
				return ""
			})},
		{name: "Conv2d", use: "a gradient's gradient: ∂/∂w ⟨∂E/∂x, v⟩", known: "C11", mortal: true,
			search: over(convs()[:20], "%v", secondConv)},
	}
}

// dilated are pairs of geometries that differ in dilation alone, and in no size.
func dilated() (all [][2]conv) {
	for _, g := range convs() {
		for dilation := 2; dilation <= 3; dilation++ {
			for stride := 1; stride <= 3; stride++ {
				sp := g.sp
				sp.StrideH, sp.StrideW, sp.DilationH, sp.DilationW = stride, stride, 1, 1
				a, err := newConv(g.N, g.C, g.H, g.W, g.K, g.R, g.S, sp)
				sp.DilationH, sp.DilationW = dilation, dilation
				b, other := newConv(g.N, g.C, g.H, g.W, g.K, g.R, g.S, sp)
				if err == nil && other == nil && a.P == b.P && a.Q == b.Q {
					all = append(all, [2]conv{a, b})
				}
			}
		}
	}
	return all
}

// secondConv is the gradient by w of ⟨∂E/∂x, v⟩, which is the filter gradient of v under dy.
func secondConv(g conv) string {
	r := rand.New(rand.NewPCG(1, 3))
	whole := func(shape ...int) graphs.Array {
		a := graphs.Zeros(shape...)
		for i := range a.Data {
			a.Data[i] = float64(r.IntN(9) - 4)
		}
		return a
	}
	x, w, dy, v := whole(g.x()...), whole(g.w()...), whole(g.N, g.K, g.P, g.Q), whole(g.x()...)
	graph, in := graphs.Leaves(x, w, v)
	dx := must(G.Grad(must(values.Weighted(must(g.build(in)), "dy", dy.Data)), in[0]))
	dw := must(G.Grad(must(G.Sum(must(G.HadamardProd(dx[0], in[2])))), in[1]))
	want := make([]float64, g.WLen())
	kernel.RefBackwardFilter(g.Conv, want, dy.Data, v.Data)
	return read("∂/∂w ⟨∂E/∂x, v⟩", graph, dw[0], want...)
}
