package kernel

import "github.com/convgrad/convgrad/internal/simd"

// A filter as large as its image meets it at one place, so that there is one output a filter, and
// the gradients are products of matrices: with x as N×CHW, w as K×CHW and dy as N×K,
//
//	dx = dy·w     dw = dyᵀ·x
//
// The other algorithms slide dy over an image that is padding nearly everywhere, which takes H·W
// times as long. The forward pass y = x·wᵀ has no such padding: it is better off here where the
// images are so few that packing the filters would cost as much as the product.
func acceptsWhole(dir Direction, g Conv) string {
	switch {
	case dir == ToOutput && (g.N > dotRows || g.C*g.H*g.W < dotTerms || simd.CurrentTier() == simd.Generic):
		return "the forward pass has no padding to avoid, and many images or short sums"
	case dir == ToOutput && g.last():
		return "channels are last"
	case dir == ToOutput && g.R*g.S == 1:
		return "filters of one element"
	case g.Groups != 1:
		return "several groups"
	case g.R != g.H || g.S != g.W || g.P != 1 || g.Q != 1 || g.Rows.Before+g.Cols.Before > 0:
		return "the filter is not as large as the image"
	case g.Rows.Dilation != 1 || g.Cols.Dilation != 1 || g.Flip:
		return "dilated or flipped"
	}
	return ""
}

func runWholeFilter[T Float](dir Direction, g Conv, o operands[T]) {
	image := g.C * g.H * g.W
	switch dir {
	case ToOutput:
		MatMul(o.dst, o.a, o.b, g.N, g.K, image, false, true, false)
		finishOutput(g, o.dst, o.bias, o.relu)
	case ToData:
		MatMul(o.dst, o.a, o.b, g.N, image, g.K, false, false, false)
	default:
		MatMul(o.dst, o.a, o.b, g.K, image, g.N, true, false, false)
	}
}
