package ops

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"

	"github.com/pkg/errors"
	G "gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/convgrad/convgrad/internal/opset"
)

// Ops on sequences are the ops on images of height 1. Of the structs of parameters they take the
// fields that concern the width: W, Left and Right. The others must be left at 0.

// Conv1D is Conv2D on sequences: x N×C×W, w K×(C/Groups)×S, b K or nil, y N×K×Q. The equation, the
// derivatives and the errors are Conv2D's for one row.
func Conv1D(x, w, b *G.Node, p ConvParams) (*G.Node, error) {
	return convolve1D("Conv1D", Conv2D, x, w, b, p)
}

// ConvTranspose1D is ConvTranspose2D on sequences: x N×C×W, w C×(K/Groups)×S, b K or nil, y N×K×Q.
func ConvTranspose1D(x, w, b *G.Node, p ConvParams) (*G.Node, error) {
	return convolve1D("ConvTranspose1D", ConvTranspose2D, x, w, b, p)
}

// MaxPool1D is MaxPool2D on sequences, x N×C×W and y N×C×Q.
func MaxPool1D(x *G.Node, p PoolParams) (*G.Node, error) {
	return pool1D("MaxPool1D", MaxPool2D, x, p)
}

// AvgPool1D is AvgPool2D on sequences, x N×C×W and y N×C×Q.
func AvgPool1D(x *G.Node, p PoolParams) (*G.Node, error) {
	return pool1D("AvgPool1D", AvgPool2D, x, p)
}

// LpPool1D is LpPool2D on sequences, x N×C×W and y N×C×Q.
func LpPool1D(x *G.Node, p PoolParams) (*G.Node, error) {
	return pool1D("LpPool1D", LpPool2D, x, p)
}

func convolve1D(name string, op func(x, w, b *G.Node, p ConvParams) (*G.Node, error), x, w, b *G.Node, p ConvParams) (*G.Node, error) {
	if err := check(name, float("x", 3, x), float("w", 3, w)); err != nil {
		return nil, err
	}
	if p.OutputPad.H != 0 {
		return nil, errors.Errorf("ops: %s: OutputPad.H is %d, want 0: a sequence has a width only", name, p.OutputPad.H)
	}
	var err error
	if p.Stride, p.Dilation, p.Pad, err = flatParams(name, p.Stride, p.Dilation, p.Pad); err != nil {
		return nil, err
	}
	rowsX, err := withHeight(x)
	if err != nil {
		return nil, err
	}
	rowsW, err := withHeight(w)
	if err != nil {
		return nil, err
	}
	y, err := op(rowsX, rowsW, b, p)
	if err != nil {
		return nil, errors.Wrapf(err, "ops: %s", name)
	}
	return withoutHeight(y)
}

func pool1D(name string, op func(x *G.Node, p PoolParams) (*G.Node, error), x *G.Node, p PoolParams) (*G.Node, error) {
	if err := check(name, float("x", 3, x)); err != nil {
		return nil, err
	}
	if p.Window.H != 0 {
		return nil, errors.Errorf("ops: %s: Window.H is %d, want 0: a sequence has a width only", name, p.Window.H)
	}
	p.Window.H = 1
	if p.Stride == (Size{}) {
		p.Stride.W = p.Window.W
	}
	var err error
	if p.Stride, p.Dilation, p.Pad, err = flatParams(name, p.Stride, p.Dilation, p.Pad); err != nil {
		return nil, err
	}
	rows, err := withHeight(x)
	if err != nil {
		return nil, err
	}
	y, err := op(rows, p)
	if err != nil {
		return nil, errors.Wrapf(err, "ops: %s", name)
	}
	return withoutHeight(y)
}

// flatParams are the parameters for images of height 1. A width of 0 stands for 1.
func flatParams(name string, stride, dilation Size, pad Padding) (Size, Size, Padding, error) {
	if stride.H != 0 || dilation.H != 0 || pad.Top != 0 || pad.Bottom != 0 {
		return stride, dilation, pad, errors.Errorf("ops: %s: stride %v, dilation %v and padding %v have a part in the height, want 0: a sequence has a width only",
			name, stride, dilation, pad)
	}
	flat := func(s Size) Size {
		if s.W == 0 {
			s.W = 1
		}
		return Size{1, s.W}
	}
	return flat(stride), flat(dilation), pad, nil
}

func withHeight(x *G.Node) (*G.Node, error) {
	s := x.Shape()
	return node(reshape{From: sizeOf(s), To: sizeOf(tensor.Shape{s[0], s[1], 1, s[2]})}, x)
}

func withoutHeight(y *G.Node) (*G.Node, error) {
	s := y.Shape()
	return node(reshape{From: sizeOf(s), To: sizeOf(tensor.Shape{s[0], s[1], s[3]})}, y)
}

func init() {
	opset.Register(opset.Entry{Name: "Conv1D", Draw: func(r *rand.Rand) opset.Case {
		p := ConvParams{Stride: Size{W: 1 + r.IntN(3)}, Dilation: Size{W: 1 + r.IntN(2)}, Pad: Padding{Left: r.IntN(3), Right: r.IntN(2)}, Groups: 2}
		const n, c, k, w, s = 2, 2, 3, 7, 3 // c and k of a group
		q := (w+p.Pad.Left+p.Pad.Right-(s-1)*p.Dilation.W-1)/p.Stride.W + 1
		return opset.Case{
			Params: fmt.Sprintf("%+v", p),
			Inputs: []opset.Input{opset.Normal("x", n, 2*c, w), opset.Normal("w", 2*k, c, s), opset.Normal("b", 2*k)},
			Build:  func(in []*G.Node) (*G.Node, error) { return Conv1D(in[0], in[1], in[2], p) },
			Terms:  c*s + 1,
			Want: func(in [][]float64) []float64 {
				y := make([]float64, n*2*k*q)
				for yi := range y {
					out, image := yi/q%(2*k), yi/(q*2*k)
					y[yi] = in[2][out]
					for cc := range c {
						for tap := range s {
							if i := yi%q*p.Stride.W + tap*p.Dilation.W - p.Pad.Left; i >= 0 && i < w {
								y[yi] += in[0][(image*2*c+out/k*c+cc)*w+i] * in[1][(out*c+cc)*s+tap]
							}
						}
					}
				}
				return y
			},
		}
	}})
	opset.Register(opset.Entry{Name: "MaxPool1D", Draw: func(r *rand.Rand) opset.Case {
		p := PoolParams{Window: Size{W: 2 + r.IntN(2)}, Stride: Size{W: 1 + r.IntN(3)}, Pad: Padding{Left: r.IntN(2)}}
		const rows, w = 6, 8
		q := (w+p.Pad.Left-p.Window.W)/p.Stride.W + 1
		return opset.Case{
			Params: fmt.Sprintf("%+v", p),
			Inputs: []opset.Input{opset.Distinct("x", 2, 3, w)},
			Build:  func(in []*G.Node) (*G.Node, error) { return MaxPool1D(in[0], p) },
			Want: func(in [][]float64) []float64 {
				y := make([]float64, rows*q)
				for yi := range y {
					from := yi%q*p.Stride.W - p.Pad.Left
					y[yi] = slices.Max(in[0][yi/q*w:][max(from, 0) : from+p.Window.W])
				}
				return y
			},
		}
	}})
}

func init() {
	opset.Timed("Conv1D", func() []opset.Case {
		return []opset.Case{opset.Call("pad 1", "F.conv1d(x, w, b, padding=1)", func(in []*G.Node) (*G.Node, error) {
			return Conv1D(in[0], in[1], in[2], ConvParams{Pad: Padding{Left: 1, Right: 1}})
		}, opset.Normal("x", 32, 64, 1024), opset.Normal("w", 128, 64, 3), opset.Normal("b", 128))}
	})
	for name, torch := range map[string]string{"MaxPool1D": "F.max_pool1d(x, 2)", "AvgPool1D": "F.avg_pool1d(x, 2)"} {
		op := map[string]func(*G.Node, PoolParams) (*G.Node, error){"MaxPool1D": MaxPool1D, "AvgPool1D": AvgPool1D}[name]
		opset.Timed(name, func() []opset.Case {
			return []opset.Case{opset.Call("of 2", torch, func(in []*G.Node) (*G.Node, error) {
				return op(in[0], PoolParams{Window: Size{W: 2}})
			}, opset.Normal("x", 32, 64, 1024))}
		})
	}
}

func init() {
	for name, op := range map[string]func(*G.Node, PoolParams) (*G.Node, error){"AvgPool1D": AvgPool1D, "LpPool1D": LpPool1D} {
		opset.Register(opset.Entry{Name: name, Draw: func(r *rand.Rand) opset.Case {
			p := PoolParams{Window: Size{W: 2 + r.IntN(2)}, Stride: Size{W: 1 + r.IntN(3)}, Pad: Padding{Left: r.IntN(2)}}
			const rows, w = 6, 8
			q := (w+p.Pad.Left-p.Window.W)/p.Stride.W + 1
			return opset.Case{
				Params: fmt.Sprintf("%+v", p), Inputs: []opset.Input{opset.Distinct("x", 2, 3, w)},
				Build: func(in []*G.Node) (*G.Node, error) { return op(in[0], p) },
				Want: func(in [][]float64) []float64 {
					y := make([]float64, rows*q)
					for yi := range y {
						from := yi%q*p.Stride.W - p.Pad.Left
						for _, x := range in[0][yi/q*w:][max(from, 0) : from+p.Window.W] {
							if name == "LpPool1D" {
								x *= x
							}
							y[yi] += x
						}
						if y[yi] /= float64(p.Window.W); name == "LpPool1D" {
							y[yi] = math.Sqrt(y[yi] * float64(p.Window.W))
						}
					}
					return y
				},
				Terms: 4,
			}
		}})
	}
	opset.Register(opset.Entry{Name: "ConvTranspose1D", Draw: func(r *rand.Rand) opset.Case {
		const n, c, k, w, s = 2, 3, 2, 4, 3
		p := ConvParams{Stride: Size{W: 1 + r.IntN(3)}, Dilation: Size{W: 1 + r.IntN(2)}, Pad: Padding{Left: r.IntN(2), Right: r.IntN(2)}}
		q := (w-1)*p.Stride.W - p.Pad.Left - p.Pad.Right + (s-1)*p.Dilation.W + 1
		return opset.Case{
			Params: fmt.Sprintf("%+v", p),
			Inputs: []opset.Input{opset.Normal("x", n, c, w), opset.Normal("w", c, k, s), opset.Normal("b", k)},
			Build:  func(in []*G.Node) (*G.Node, error) { return ConvTranspose1D(in[0], in[1], in[2], p) },
			Want: func(in [][]float64) []float64 {
				y := make([]float64, n*k*q)
				for i := range y {
					y[i] = in[2][i/q%k]
				}
				for at := range n * c * k * w * s { // every tap
					tap, j, filter, channel, image := at%s, at/s%w, at/s/w%k, at/s/w/k%c, at/s/w/k/c
					if i := j*p.Stride.W + tap*p.Dilation.W - p.Pad.Left; i >= 0 && i < q {
						y[(image*k+filter)*q+i] += in[0][(image*c+channel)*w+j] * in[1][(channel*k+filter)*s+tap]
					}
				}
				return y
			},
			Terms: 20,
		}
	}})
}
