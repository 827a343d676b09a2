package kernel

// A filter as large as its image meets it at one place, so that there is one output a filter, and
// the gradients are products of matrices: with x as N×CHW, w as K×CHW and dy as N×K,
//
//	dx = dy·w     dw = dyᵀ·x
//
// The other algorithms slide dy over an image that is padding nearly everywhere, which takes H·W
// times as long. The forward pass has no such padding and stays with them.
func acceptsWhole(dir Direction, g Conv) string {
	switch {
	case dir == ToOutput:
		return "the forward pass has no padding to avoid"
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
	if dir == ToData {
		MatMul(o.dst, o.a, o.b, g.N, image, g.K, false, false, false)
	} else {
		MatMul(o.dst, o.a, o.b, g.K, image, g.N, true, false, false)
	}
}
