package ops

import (
	"gorgonia.org/tensor"

	"github.com/convgrad/convgrad/internal/kernel"
)

// MACs is the number of multiply-adds that the op makes of operands of such shapes, products with
// padding included; 0 where multiplying is not what takes the time.
func (o op) MACs(in []tensor.Shape) int64 {
	if c, ok := o.inner().(Coster); ok {
		return c.MACs(in)
	}
	return 0
}

func (o conv2D) MACs([]tensor.Shape) int64               { return macs(o.Geometry) }
func (o conv2DBackwardData) MACs([]tensor.Shape) int64   { return macs(o.Geometry) }
func (o conv2DBackwardFilter) MACs([]tensor.Shape) int64 { return macs(o.Geometry) }

// macs is what a convolution and each of its derivatives take.
func macs(g kernel.Conv) int64 {
	return int64(g.N) * int64(g.K) * int64(g.P) * int64(g.Q) * int64(g.C/g.Groups) * int64(g.R) * int64(g.S)
}

func (o linear) MACs([]tensor.Shape) int64 { return int64(o.N) * int64(o.I) * int64(o.O) }
func (o matMul) MACs([]tensor.Shape) int64 { return int64(o.M) * int64(o.N) * int64(o.K) }

// Window is how an element of the result sees the rows and columns of the first operand: the size
// of its window, dilation included, and the distance of neighbouring windows. ok is false for ops
// that slide no windows.
func (o op) Window() (size, stride Size, ok bool) {
	s, ok := o.spec.(interface {
		windows() (rows, cols kernel.Window)
	})
	if !ok {
		return Size{}, Size{}, false
	}
	r, c := s.windows()
	return Size{r.Extent(), c.Extent()}, Size{r.Stride, c.Stride}, true
}

func (o conv2D) windows() (rows, cols kernel.Window)     { return o.Geometry.Rows, o.Geometry.Cols }
func (o maxWinners) windows() (rows, cols kernel.Window) { return o.Geometry.Rows, o.Geometry.Cols }
func (o gather) windows() (rows, cols kernel.Window)     { return o.Geometry.Rows, o.Geometry.Cols }
func (o avgPool) windows() (rows, cols kernel.Window)    { return o.Geometry.Rows, o.Geometry.Cols }
func (o lpPool) windows() (rows, cols kernel.Window)     { return o.Geometry.Rows, o.Geometry.Cols }
func (o l2Pool) windows() (rows, cols kernel.Window)     { return o.Geometry.Rows, o.Geometry.Cols }

// Kernel says which algorithm computes the op in the tier in use, on elements of a type, and for
// each algorithm that comes before it in the list why it does not. name is empty for ops that have
// no choice.
func (o op) Kernel(of tensor.Dtype) (name string, passed []string) {
	c, ok := o.spec.(conv2D)
	if !ok {
		return "", nil
	}
	choices := kernel.Explain[float32](c.Geometry, kernel.ToOutput)
	if of == tensor.Float64 {
		choices = kernel.Explain[float64](c.Geometry, kernel.ToOutput)
	}
	for _, choice := range choices {
		if choice.WhyNot == "" {
			return choice.Name, passed
		}
		passed = append(passed, choice.Name+": "+choice.WhyNot)
	}
	return "", passed
}
