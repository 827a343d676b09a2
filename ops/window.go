package ops

import (
	"fmt"

	"github.com/pkg/errors"

	"github.com/convgrad/convgrad/internal/kernel"
)

// A Size is a pair of lengths on an image: down, along the height, and across, along the width.
type Size struct{ H, W int }

// Both is the Size with the same length down and across.
func Both(n int) Size { return Size{n, n} }

func (s Size) String() string { return fmt.Sprintf("%d×%d", s.H, s.W) }

// or returns s, or the default if both lengths are 0. A length of 0 beside another stays: it is an
// error of the caller's, not a default.
func (s Size) or(fallback Size) Size {
	if s == (Size{}) {
		return fallback
	}
	return s
}

// A Padding is the number of rows and columns around an image. The zero value is none. The order of
// the four numbers differs between libraries, so a literal must name its fields; the constructors
// are AroundHW (PyTorch's order), BeginEnd (ONNX's), SameUpper and SameLower.
type Padding struct {
	Top, Bottom, Left, Right int

	same int8 // +1 for SameUpper, −1 for SameLower: the numbers follow from the sizes
}

// Around is n rows and columns on every side.
func Around(n int) Padding { return Padding{Top: n, Bottom: n, Left: n, Right: n} }

// AroundHW is h rows above and below and w columns on the left and right, as in PyTorch's pairs.
func AroundHW(h, w int) Padding { return Padding{Top: h, Bottom: h, Left: w, Right: w} }

// BeginEnd is begin.H rows above, begin.W columns on the left, end.H rows below and end.W columns
// on the right, as in ONNX's pads.
func BeginEnd(begin, end Size) Padding {
	return Padding{Top: begin.H, Left: begin.W, Bottom: end.H, Right: end.W}
}

// SameUpper is the padding under which an image of length H gives ⌈H/stride⌉ windows, whatever the
// window's size and dilation. Of an odd number of rows or columns the larger part goes below and to
// the right. At stride 1 the output is as large as the input.
func SameUpper() Padding { return Padding{same: 1} }

// SameLower is SameUpper with the larger part of an odd number above and to the left.
func SameLower() Padding { return Padding{same: -1} }

func (p Padding) String() string {
	switch {
	case p.same > 0:
		return "same, upper"
	case p.same < 0:
		return "same, lower"
	case p.Top == p.Bottom && p.Left == p.Right && p.Top == p.Left:
		return fmt.Sprint(p.Top)
	case p.Top == p.Bottom && p.Left == p.Right:
		return fmt.Sprintf("%d×%d", p.Top, p.Left)
	}
	return fmt.Sprintf("top %d, bottom %d, left %d, right %d", p.Top, p.Bottom, p.Left, p.Right)
}

// axis is the padding before and after one axis of n elements under SameUpper or SameLower.
func (p Padding) axis(n, window, stride, dilation int) (before, after int) {
	const far = 1 << 29 // beyond it kernel refuses the sizes anyway, and sums could overflow
	for _, v := range []int{n, window, stride, dilation} {
		if v < 1 || v > far {
			return 0, 0
		}
	}
	if window > 1 && dilation > far/(window-1) {
		return 0, 0
	}
	total := max(0, (n-1)/stride*stride+(window-1)*dilation+1-n)
	if p.same > 0 {
		return total / 2, total - total/2
	}
	return total - total/2, total / 2
}

// spatial turns a constructor's parameters into the kernels'. A stride or dilation of two zeros
// stands for the default.
func spatial(image, window, stride, dilation Size, pad Padding, defaultStride Size) (kernel.Spatial, error) {
	stride, dilation = stride.or(defaultStride), dilation.or(Both(1))
	if pad.same != 0 {
		if pad.Top != 0 || pad.Bottom != 0 || pad.Left != 0 || pad.Right != 0 {
			return kernel.Spatial{}, errors.Errorf("the padding is same and has sides (%d, %d, %d, %d), want one of both",
				pad.Top, pad.Bottom, pad.Left, pad.Right)
		}
		upper := pad
		pad.Top, pad.Bottom = upper.axis(image.H, window.H, stride.H, dilation.H)
		pad.Left, pad.Right = upper.axis(image.W, window.W, stride.W, dilation.W)
	}
	return kernel.Spatial{
		StrideH: stride.H, StrideW: stride.W, DilationH: dilation.H, DilationW: dilation.W,
		PadTop: pad.Top, PadBottom: pad.Bottom, PadLeft: pad.Left, PadRight: pad.Right,
	}, nil
}
