package ops

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"

	"github.com/pkg/errors"
	G "gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/convgrad/convgrad/internal/kernel"
	"github.com/convgrad/convgrad/internal/opset"
)

// A PadMode says what Pad puts around an image.
type PadMode int

// The ways to pad.
const (
	PadZeros     PadMode = iota // zeros
	PadReflect                  // the image mirrored at its border elements, which are not repeated
	PadReplicate                // the border elements
)

// Pad returns the node y, x with rows and columns around it.
//
// Shapes: x N×C×H×W, y N×C×(top+H+bottom)×(left+W+right). With PadZeros a negative number cuts rows
// or columns away.
//
// Derivative: each element of x gets the sum of dy where it was copied to.
//
// Pad returns an error if x is not a float node of rank 4, the padding is SameUpper or SameLower,
// nothing would be left, or a reflection would need more rows or columns than x has beside the
// border.
func Pad(x *G.Node, p Padding, mode PadMode) (*G.Node, error) {
	const name = "Pad"
	if err := check(name, float("x", 4, x)); err != nil {
		return nil, err
	}
	kinds := map[PadMode]kernel.MapKind{PadZeros: kernel.PadZeros, PadReflect: kernel.PadReflect, PadReplicate: kernel.PadReplicate}
	kind, ok := kinds[mode]
	if !ok {
		return nil, errors.Errorf("ops: %s: the mode is %d, want PadZeros, PadReflect or PadReplicate", name, mode)
	}
	if p.same != 0 {
		return nil, errors.Errorf("ops: %s: the padding is %v, want numbers of rows and columns", name, p)
	}
	s := x.Shape()
	rows, err := padded(kind, "height", s[2], p.Top, p.Bottom)
	if err != nil {
		return nil, errors.Wrapf(err, "ops: %s", name)
	}
	cols, err := padded(kind, "width", s[3], p.Left, p.Right)
	if err != nil {
		return nil, errors.Wrapf(err, "ops: %s", name)
	}
	return resampled(name, x, rows, cols, 1)
}

// padded is the map of one axis.
func padded(kind kernel.MapKind, axis string, n, before, after int) (kernel.AxisMap, error) {
	const far = 1 << 29
	least := 0
	if kind == kernel.PadZeros {
		least = -far
	}
	if before < least || after < least || before > far || after > far {
		return kernel.AxisMap{}, errors.Errorf("the padding of the %s is %d and %d, want %d to %d each", axis, before, after, least, far)
	}
	if kind == kernel.PadReflect && max(before, after) >= n {
		return kernel.AxisMap{}, errors.Errorf("the padding of the %s is %d and %d, want less than its %d elements: a reflection has no more", axis, before, after, n)
	}
	if n+before+after < 1 {
		return kernel.AxisMap{}, errors.Errorf("the padding of the %s is %d and %d, which leaves none of its %d elements", axis, before, after, n)
	}
	return kernel.AxisMap{Kind: kind, Window: kernel.Window{In: n, Before: before, Out: n + before + after}}, nil
}

// A ResampleMode says how Upsample makes the elements of a larger or smaller image.
type ResampleMode int

// The ways to resample. Coordinates are PyTorch's, and ONNX's where its attribute is named.
const (
	Nearest         ResampleMode = iota // element ⌊p·H/P⌋ (asymmetric, floor)
	Bilinear                            // half_pixel: borders are repeated
	BilinearAligned                     // align_corners: the corners of x and y are the same
)

// Upsample returns the node y, each plane of x resampled to the given size, larger or smaller. When
// it makes an image smaller it does not average what it leaves out.
//
// Shapes: x N×C×H×W, y N×C×to.H×to.W.
//
// Derivative: each element of x gets dy of the elements that it has a part in, times that part.
//
// Upsample returns an error if x is not a float node of rank 4, a side of to is below 1, or the
// mode is none of the constants.
func Upsample(x *G.Node, to Size, mode ResampleMode) (*G.Node, error) {
	const name = "Upsample"
	kinds := map[ResampleMode]kernel.MapKind{Nearest: kernel.Nearest, Bilinear: kernel.Linear, BilinearAligned: kernel.LinearAligned}
	kind, ok := kinds[mode]
	if !ok {
		return nil, errors.Errorf("ops: %s: the mode is %d, want Nearest, Bilinear or BilinearAligned", name, mode)
	}
	return toSize(name, x, to, kind)
}

// AdaptiveAvgPool2D returns the node y of the given size whose element (p, q) is the mean of rows
// ⌊p·H/P⌋ to ⌈(p+1)·H/P⌉−1 of x and of the columns likewise, as in PyTorch. Windows may overlap.
//
// Shapes: x N×C×H×W, y N×C×to.H×to.W.
//
// Derivative: each element of a window gets dy/area, and the sum of them over its windows.
//
// It returns an error if x is not a float node of rank 4 or a side of to is below 1.
func AdaptiveAvgPool2D(x *G.Node, to Size) (*G.Node, error) {
	return toSize("AdaptiveAvgPool2D", x, to, kernel.AdaptiveMean)
}

// AdaptiveMaxPool2D is AdaptiveAvgPool2D with the greatest element of each window in place of the
// mean. The derivative, ties and NaN are MaxPool2D's.
func AdaptiveMaxPool2D(x *G.Node, to Size) (*G.Node, error) {
	const name = "AdaptiveMaxPool2D"
	if err := sized(name, x, to); err != nil {
		return nil, err
	}
	s := x.Shape()
	g := kernel.Pool{N: s[0], C: s[1], H: s[2], W: s[3], P: to.H, Q: to.W,
		Rows: kernel.Window{In: s[2], Out: to.H}, Cols: kernel.Window{In: s[3], Out: to.W}}
	winner, err := node(adaptiveWinners{g}, x)
	if err != nil {
		return nil, err
	}
	return node(gather{Geometry: g}, x, winner)
}

// GlobalAvgPool returns the node y N×C×1×1 of the means of x's planes, for x N×C×H×W. Derivative:
// dx is dy/(H·W). It returns an error if x is not a float node of rank 4.
func GlobalAvgPool(x *G.Node) (*G.Node, error) {
	return toSize("GlobalAvgPool", x, Both(1), kernel.AdaptiveMean)
}

// GlobalMaxPool returns the node y N×C×1×1 of the greatest elements of x's planes, for x N×C×H×W.
// Derivative, ties and NaN are MaxPool2D's. It returns an error if x is not a float node of rank 4.
func GlobalMaxPool(x *G.Node) (*G.Node, error) { return AdaptiveMaxPool2D(x, Both(1)) }

// sized checks what makes an image of another size.
func sized(name string, x *G.Node, to Size) error {
	if err := check(name, float("x", 4, x)); err != nil {
		return err
	}
	if to.H < 1 || to.W < 1 {
		return errors.Errorf("ops: %s: the size is %v, want sides of 1 or more", name, to)
	}
	s := x.Shape()
	return errors.Wrapf(countable(tensor.Shape{s[0], s[1], to.H, to.W}), "ops: %s: y", name)
}

func toSize(name string, x *G.Node, to Size, kind kernel.MapKind) (*G.Node, error) {
	if err := sized(name, x, to); err != nil {
		return nil, err
	}
	s := x.Shape()
	rows := kernel.AxisMap{Kind: kind, Window: kernel.Window{In: s[2], Out: to.H}}
	cols := kernel.AxisMap{Kind: kind, Window: kernel.Window{In: s[3], Out: to.W}}
	return resampled(name, x, rows, cols, 1)
}

func resampled(name string, x *G.Node, rows, cols kernel.AxisMap, scale float64) (*G.Node, error) {
	s := x.Shape()
	o := resample{N: s[0], C: s[1], Rows: rows, Cols: cols, Scale: scale}
	if err := countable(o.to()); err != nil {
		return nil, errors.Errorf("ops: %s: y %v", name, err)
	}
	n, err := node(o, x)
	return n, errors.Wrapf(err, "ops: %s", name)
}

// resample is a linear map of each axis of an image: see kernel.Resample.
type resample struct {
	N, C       int
	Rows, Cols kernel.AxisMap
	Scale      float64
}

func (o resample) from() tensor.Shape { return tensor.Shape{o.N, o.C, o.Rows.In, o.Cols.In} }
func (o resample) to() tensor.Shape   { return tensor.Shape{o.N, o.C, o.Rows.Out, o.Cols.Out} }

func (o resample) name() string  { return "Resample" }
func (o resample) args() []arg   { return []arg{{name: "x", rank: 4}} }
func (o resample) result() arg   { return arg{name: "y", rank: 4} }
func (o resample) rule() []*term { return []*term{apply(resampleBackward(o), cotangent())} }
func (o resample) infer(in []tensor.Shape) (tensor.Shape, error) {
	return o.to(), want("x", in[0], o.from()...)
}

func (o resample) exec(c *Call) error {
	if c.double() {
		kernel.Resample(o.Rows, o.Cols, slice[float64](c.dst), slice[float64](c.in[0]), o.N*o.C, o.Scale)
	} else {
		kernel.Resample(o.Rows, o.Cols, slice[float32](c.dst), slice[float32](c.in[0]), o.N*o.C, o.Scale)
	}
	return nil
}

// resampleBackward is the adjoint of resample.
type resampleBackward resample

func (o resampleBackward) name() string  { return "ResampleBackward" }
func (o resampleBackward) args() []arg   { return []arg{{name: "dy", rank: 4}} }
func (o resampleBackward) result() arg   { return arg{name: "dx", rank: 4} }
func (o resampleBackward) rule() []*term { return []*term{apply(resample(o), cotangent())} }
func (o resampleBackward) infer(in []tensor.Shape) (tensor.Shape, error) {
	return resample(o).from(), want("dy", in[0], resample(o).to()...)
}

func (o resampleBackward) exec(c *Call) error {
	if c.double() {
		kernel.ResampleBackward(o.Rows, o.Cols, slice[float64](c.dst), slice[float64](c.in[0]), o.N*o.C, o.Scale)
	} else {
		kernel.ResampleBackward(o.Rows, o.Cols, slice[float32](c.dst), slice[float32](c.in[0]), o.N*o.C, o.Scale)
	}
	return nil
}

// adaptiveWinners notes the winner of each window of an adaptive maximum.
type adaptiveWinners struct{ Geometry kernel.Pool }

func (o adaptiveWinners) name() string  { return "AdaptiveMaxPool2DWinners" }
func (o adaptiveWinners) args() []arg   { return []arg{{name: "x", rank: 4}} }
func (o adaptiveWinners) result() arg   { return arg{name: "winner", rank: 4, of: tensor.Int32} }
func (o adaptiveWinners) rule() []*term { return []*term{nil} }
func (o adaptiveWinners) infer(in []tensor.Shape) (tensor.Shape, error) {
	return outSides(o.Geometry), want("x", in[0], inSides(o.Geometry)...)
}

func (o adaptiveWinners) exec(c *Call) error {
	if c.double() {
		kernel.AdaptiveMax(o.Geometry, nil, slice[int32](c.dst), slice[float64](c.in[0]))
	} else {
		kernel.AdaptiveMax(o.Geometry, nil, slice[int32](c.dst), slice[float32](c.in[0]))
	}
	return nil
}

// together notes the winners and takes their values in one pass.
func (o adaptiveWinners) together(consumer any, at []int) pass {
	return pooledWith(o.Geometry, kernel.AdaptiveMax[float32], kernel.AdaptiveMax[float64], consumer, at)
}

func init() {
	mirror := func(i, n int) int {
		if i < 0 {
			i = -i
		}
		if i >= n {
			i = 2*(n-1) - i
		}
		return i
	}
	opset.Register(opset.Entry{Name: "Pad", Draw: func(r *rand.Rand) opset.Case {
		mode := PadMode(r.IntN(3))
		p := Padding{Top: r.IntN(3), Bottom: r.IntN(3), Left: r.IntN(3), Right: r.IntN(3)}
		if mode == PadZeros {
			p.Top, p.Right = p.Top-1, p.Right-1
		}
		const planes, h, w = 6, 3, 4
		rows, cols := h+p.Top+p.Bottom, w+p.Left+p.Right
		return opset.Case{
			Params: fmt.Sprintf("%v, mode %d", p, mode),
			Inputs: []opset.Input{opset.Normal("x", 2, 3, h, w)},
			Build:  func(in []*G.Node) (*G.Node, error) { return Pad(in[0], p, mode) },
			Want: func(in [][]float64) []float64 {
				y := make([]float64, planes*rows*cols)
				for k := range y {
					i, j := k/cols%rows-p.Top, k%cols-p.Left
					switch {
					case mode == PadReflect:
						i, j = mirror(i, h), mirror(j, w)
					case mode == PadReplicate:
						i, j = min(max(i, 0), h-1), min(max(j, 0), w-1)
					case i < 0 || i >= h || j < 0 || j >= w:
						continue
					}
					y[k] = in[0][k/(rows*cols)*h*w+i*w+j]
				}
				return y
			},
		}
	}})
	opset.Register(opset.Entry{Name: "Upsample", Draw: func(r *rand.Rand) opset.Case {
		mode, to := ResampleMode(r.IntN(3)), Size{1 + r.IntN(9), 1 + r.IntN(9)}
		const planes, h, w = 6, 4, 5
		coordinate := func(p, in, out int) float64 {
			if mode == BilinearAligned {
				return float64(p) * float64(in-1) / float64(max(1, out-1))
			}
			return max(0, (float64(p)+0.5)*float64(in)/float64(out)-0.5)
		}
		return opset.Case{
			Params: fmt.Sprintf("to %v, mode %d", to, mode),
			Inputs: []opset.Input{opset.Normal("x", 2, 3, h, w)},
			Build:  func(in []*G.Node) (*G.Node, error) { return Upsample(in[0], to, mode) },
			Terms:  8,
			Want: func(in [][]float64) []float64 {
				y := make([]float64, planes*to.H*to.W)
				for k := range y {
					p, q, x := k/to.W%to.H, k%to.W, in[0][k/(to.H*to.W)*h*w:][:h*w]
					if mode == Nearest {
						y[k] = x[p*h/to.H*w+q*w/to.W]
						continue
					}
					a, b := coordinate(p, h, to.H), coordinate(q, w, to.W)
					for i := range h { // a hat over each element
						for j := range w {
							y[k] += x[i*w+j] * max(0, 1-math.Abs(min(a, h-1)-float64(i))) * max(0, 1-math.Abs(min(b, w-1)-float64(j)))
						}
					}
				}
				return y
			},
		}
	}})
	for _, name := range []string{"AdaptiveAvgPool2D", "AdaptiveMaxPool2D"} {
		opset.Register(opset.Entry{Name: name, Draw: func(r *rand.Rand) opset.Case {
			to := Size{1 + r.IntN(6), 1 + r.IntN(6)}
			const planes, h, w = 6, 4, 5
			op := map[string]func(*G.Node, Size) (*G.Node, error){"AdaptiveAvgPool2D": AdaptiveAvgPool2D, "AdaptiveMaxPool2D": AdaptiveMaxPool2D}[name]
			return opset.Case{
				Params: fmt.Sprint("to ", to),
				Inputs: []opset.Input{opset.Distinct("x", 2, 3, h, w)},
				Build:  func(in []*G.Node) (*G.Node, error) { return op(in[0], to) },
				Terms:  h * w,
				Want: func(in [][]float64) []float64 {
					y := make([]float64, planes*to.H*to.W)
					for k := range y {
						p, q, x := k/to.W%to.H, k%to.W, in[0][k/(to.H*to.W)*h*w:][:h*w]
						sum, top, n := 0.0, math.Inf(-1), 0
						for i := range h {
							for j := range w {
								// The window is what its part of the image, as a stretch of real
								// numbers, touches.
								if (i+1)*to.H > p*h && i*to.H < (p+1)*h && (j+1)*to.W > q*w && j*to.W < (q+1)*w {
									sum, top, n = sum+x[i*w+j], max(top, x[i*w+j]), n+1
								}
							}
						}
						if y[k] = sum / float64(n); name == "AdaptiveMaxPool2D" {
							y[k] = top
						}
					}
					return y
				},
			}
		}})
	}
}

func init() {
	opset.Timed("Pad", func() []opset.Case {
		var all []opset.Case
		for i, mode := range []string{"constant", "reflect", "replicate"} {
			all = append(all, opset.Call(mode, fmt.Sprintf("F.pad(x, (1, 1, 1, 1), %q)", mode), func(in []*G.Node) (*G.Node, error) {
				return Pad(in[0], Around(1), []PadMode{PadZeros, PadReflect, PadReplicate}[i])
			}, opset.Normal("x", 16, 64, 56, 56)))
		}
		return all
	})
	opset.Timed("Upsample", func() []opset.Case {
		call := func(name, torch string, mode ResampleMode) opset.Case {
			return opset.Call(name, "F.interpolate(x, (56, 56), mode="+torch+")", func(in []*G.Node) (*G.Node, error) {
				return Upsample(in[0], Both(56), mode)
			}, opset.Normal("x", 16, 64, 28, 28))
		}
		return []opset.Case{
			call("nearest", "'nearest'", Nearest),
			call("bilinear", "'bilinear', align_corners=False", Bilinear),
			call("bilinear, aligned", "'bilinear', align_corners=True", BilinearAligned),
		}
	})
	for name, torch := range map[string]string{"AdaptiveAvgPool2D": "avg", "AdaptiveMaxPool2D": "max"} {
		op := map[string]func(*G.Node, Size) (*G.Node, error){"AdaptiveAvgPool2D": AdaptiveAvgPool2D, "AdaptiveMaxPool2D": AdaptiveMaxPool2D}[name]
		opset.Timed(name, func() []opset.Case {
			var all []opset.Case
			for _, to := range []int{1, 7} {
				all = append(all, opset.Call(fmt.Sprintf("to %d×%d", to, to), fmt.Sprintf("F.adaptive_%s_pool2d(x, %d)", torch, to), func(in []*G.Node) (*G.Node, error) {
					return op(in[0], Both(to))
				}, opset.Normal("x", 16, 256, 28, 28)))
			}
			return all
		})
	}
}

func init() {
	for name, op := range map[string]func(*G.Node) (*G.Node, error){"GlobalAvgPool": GlobalAvgPool, "GlobalMaxPool": GlobalMaxPool} {
		opset.Register(opset.Entry{Name: name, Draw: func(r *rand.Rand) opset.Case {
			h, w := 2+r.IntN(3), 2+r.IntN(2)
			return opset.Case{
				Inputs: []opset.Input{opset.Distinct("x", 2, 3, h, w)},
				Build:  func(in []*G.Node) (*G.Node, error) { return op(in[0]) },
				Want: func(in [][]float64) []float64 {
					y := make([]float64, 6)
					for i := range y {
						plane := in[0][i*h*w : (i+1)*h*w]
						if y[i] = slices.Max(plane); name == "GlobalAvgPool" {
							y[i] = 0
							for _, x := range plane {
								y[i] += x / float64(h*w)
							}
						}
					}
					return y
				},
				Terms: h * w,
			}
		}})
	}
}
