package lab

import (
	"github.com/convgrad/convgrad/ops"
	G "gorgonia.org/gorgonia"
)

// CrossAt is Eq. 1 at (i, j): Σ I[i+m, j+n]·K[m,n], with zeros outside I.
func CrossAt(I, K Mat, i, j int) (sum float64) {
	for m := range K {
		for n := range K[m] {
			sum += I.At(i+m, j+n) * K[m][n]
		}
	}
	return sum
}

// ConvAt is Eq. 2 at (i, j): Σ I[i−m, j−n]·K[m,n], with zeros outside I.
func ConvAt(I, K Mat, i, j int) (sum float64) {
	for m := range K {
		for n := range K[m] {
			sum += I.At(i-m, j-n) * K[m][n]
		}
	}
	return sum
}

// Cross is the cross-correlation I ⊗ K over the valid range: where all of K lies on I.
func Cross(I, K Mat) Mat {
	h, w := I.Size()
	k1, k2 := K.Size()
	return Fill(h-k1+1, w-k2+1, func(i, j int) float64 { return CrossAt(I, K, i, j) })
}

// Conv is the convolution I ∗ K over its valid range, which begins at (k₁−1, k₂−1).
func Conv(I, K Mat) Mat {
	h, w := I.Size()
	k1, k2 := K.Size()
	return Fill(h-k1+1, w-k2+1, func(i, j int) float64 { return ConvAt(I, K, i+k1-1, j+k2-1) })
}

// Full is I ⊗ K over the full range: wherever K touches I.
func Full(I, K Mat) Mat {
	h, w := I.Size()
	k1, k2 := K.Size()
	return Fill(h+k1-1, w+k2-1, func(i, j int) float64 { return CrossAt(I, K, i-k1+1, j-k2+1) })
}

// Nudge is the derivative of E by each element of m, for an E that is linear in them: the change of
// E when the element grows by 1. E must read m.
func Nudge(m Mat, E func() float64) Mat {
	r, c := m.Size()
	return Fill(r, c, func(i, j int) float64 {
		before := E()
		m[i][j]++
		after := E()
		m[i][j]--
		return after - before
	})
}

// Central is the derivative of E by each element of m by central differences with the step h,
// (E(v+h) − E(v−h))/2h. E must read m.
func Central(m Mat, h float64, E func() float64) Mat {
	r, c := m.Size()
	return Fill(r, c, func(i, j int) float64 {
		v := m[i][j]
		m[i][j] = v + h
		up := E()
		m[i][j] = v - h
		down := E()
		m[i][j] = v
		return (up - down) / (2 * h)
	})
}

// Conv2D builds ops.Conv2D of its inputs: x, w and, if there is a third, b.
func Conv2D(p ops.ConvParams) Build {
	return func(in G.Nodes) (*G.Node, error) {
		if len(in) == 2 {
			return ops.Conv2D(in[0], in[1], nil, p)
		}
		return ops.Conv2D(in[0], in[1], in[2], p)
	}
}

// Unary builds an op of one input.
func Unary(op func(*G.Node) (*G.Node, error)) Build {
	return func(in G.Nodes) (*G.Node, error) { return op(in[0]) }
}

// MaxPool, AvgPool and L2Pool build the three poolings.
func MaxPool(p ops.PoolParams) Build {
	return Unary(func(x *G.Node) (*G.Node, error) { return ops.MaxPool2D(x, p) })
}
func AvgPool(p ops.PoolParams) Build {
	return Unary(func(x *G.Node) (*G.Node, error) { return ops.AvgPool2D(x, p) })
}
func L2Pool(p ops.PoolParams) Build {
	return Unary(func(x *G.Node) (*G.Node, error) { return ops.L2Pool2D(x, p) })
}

// Apply runs an op forwards on one image of one channel.
func Apply(build Build, x Mat) Mat { return Plane(Forward(build, Tensor(1, 1, x)), 0, 0) }

// Back sends dy backwards through an op, by its derivative rule.
func Back(build Build, x, dy Mat) Mat {
	_, g := Backward(build, Tensor(1, 1, dy), Tensor(1, 1, x))
	return Plane(g[0], 0, 0)
}

// BackCentral is what Back should be, by central differences.
func BackCentral(build Build, x, dy Mat) Mat {
	return Central(x, 1e-4, func() float64 { return Apply(build, x).Times(dy).Sum() })
}
