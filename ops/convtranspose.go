package ops

import (
	"fmt"
	"math/rand/v2"

	"github.com/pkg/errors"
	G "gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/convgrad/convgrad/internal/kernel"
	"github.com/convgrad/convgrad/internal/opset"
)

// ConvTranspose2D returns the node y, the transposed convolution of x: the adjoint of the
// convolution Conv2D that would take an image of y's shape to one of x's, plus a bias:
//
//	y[n,k,i,j] = Σ_c Σ_r Σ_s x[n,c,p,q] · w[c,k,r,s] + b[k]
//	             over the p, q with p·stride + r·dilation − top = i
//	             and q·stride + s·dilation − left = j
//
// Shapes: x N×C×H×W, w C×(K/Groups)×R×S, b K or nil, and y N×K×P×Q with
// P = (H−1)·stride − top − bottom + (R−1)·dilation + 1 + OutputPad.H and Q likewise. OutputPad adds
// rows below and columns on the right; those which no tap reaches hold the bias alone.
//
// Derivatives, given dy: dx is Conv2D of dy with w, dw is Conv2DBackwardFilter with x in the place
// of the cotangent, and db[k] = Σ_n Σ_i Σ_j dy[n,k,i,j]. All of them have derivatives again.
//
// NaN and infinities are as in Conv2D. With SameUpper or SameLower y is stride times as large as x.
//
// ConvTranspose2D returns an error if an argument is not a float node of the right rank, or the
// shapes and parameters do not describe a transposed convolution: channels that do not match,
// groups that do not divide, an output padding that is not smaller than the larger of stride and
// dilation, an output of no rows or no columns.
func ConvTranspose2D(x, w, b *G.Node, p ConvParams) (*G.Node, error) {
	const name = "ConvTranspose2D"
	args := []wanted{float("x", 4, x), float("w", 4, w)}
	if b != nil {
		args = append(args, float("b", 1, b))
	}
	if err := check(name, args...); err != nil {
		return nil, err
	}
	y, err := p.transposed(name, x, w, b)
	return y, errors.Wrapf(err, "ops: %s", name)
}

// transposed makes the nodes of a transposed convolution.
func (p ConvParams) transposed(name string, x, w, b *G.Node) (*G.Node, error) {
	xs, ws := x.Shape(), w.Shape()
	groups := max(p.Groups, 1)
	if p.Groups < 0 || ws[0] != xs[1] || xs[1]%groups != 0 {
		return nil, errors.Errorf("x has %d channels in %d groups and w %d: x is %v, w is %v", xs[1], p.Groups, ws[0], xs, ws)
	}
	stride, dilation := p.Stride.or(Both(1)), p.Dilation.or(Both(1))
	rows, err := transposedAxis("height", xs[2], ws[2], stride.H, dilation.H, p.OutputPad.H, p.Pad.Top, p.Pad.Bottom, p.Pad.same)
	if err != nil {
		return nil, err
	}
	cols, err := transposedAxis("width", xs[3], ws[3], stride.W, dilation.W, p.OutputPad.W, p.Pad.Left, p.Pad.Right, p.Pad.same)
	if err != nil {
		return nil, err
	}
	g, err := kernel.NewConv(max(xs[0], 1), groups*ws[1], rows.out, cols.out, xs[1], ws[2], ws[3], groups, kernel.Spatial{
		StrideH: stride.H, StrideW: stride.W, DilationH: dilation.H, DilationW: dilation.W,
		PadTop: rows.before, PadBottom: rows.after, PadLeft: cols.before, PadRight: cols.after,
	}, p.Flip)
	if err != nil {
		return nil, errors.Wrapf(err, "x is %v, w is %v", xs, ws)
	}
	if g.P != xs[2] || g.Q != xs[3] {
		return nil, errors.Errorf("internal error: the adjoint of %v is %d×%d", xs, g.P, g.Q)
	}
	g.N, g.Winograd = xs[0], p.Winograd // an empty batch never reaches a kernel
	y, err := node(conv2DBackwardData{g}, x, w)
	if err != nil {
		return nil, err
	}
	if rows.rest > 0 || cols.rest > 0 {
		if y, err = Pad(y, Padding{Bottom: rows.rest, Right: cols.rest}, PadZeros); err != nil {
			return nil, err
		}
	}
	if b == nil {
		return y, nil
	}
	if err := want("b", b.Shape(), g.C); err != nil {
		return nil, err
	}
	return node(addChannels{sizeOf(y.Shape())}, y, b)
}

// transposedSides are one axis of a transposed convolution: the length of what the adjoint gives,
// the padding of the convolution that it is the adjoint of, and what zeros remain to be added after
// it.
type transposedSides struct{ out, before, after, rest int }

func transposedAxis(axis string, in, window, stride, dilation, extra, before, after int, same int8) (t transposedSides, err error) {
	const far = 1 << 29
	for _, v := range []struct {
		what     string
		got, min int
	}{{"stride", stride, 1}, {"dilation", dilation, 1}, {"output padding", extra, 0}, {"padding before", before, 0}, {"padding after", after, 0}} {
		if v.got < v.min || v.got > far {
			return t, errors.Errorf("%s of the %s is %d, want %d to %d", v.what, axis, v.got, v.min, far)
		}
	}
	if extra >= max(stride, dilation) {
		return t, errors.Errorf("output padding of the %s is %d, want less than the larger of stride and dilation, %d", axis, extra, max(stride, dilation))
	}
	if int64(in)*int64(stride) > far || int64(window)*int64(dilation) > far {
		return t, errors.Errorf("the %s of y is out of bounds: %d elements at stride %d, a window of %d at dilation %d", axis, in, stride, window, dilation)
	}
	full := (in-1)*stride + (window-1)*dilation + 1
	if same != 0 { // y is stride·in long
		total := full + extra - in*stride
		if total < 0 {
			extra, total = extra-total, 0
		}
		before, after = total/2, total-total/2
		if same < 0 {
			before, after = after, before
		}
	}
	out := full - before - after + extra
	if out < 1 {
		return t, errors.Errorf("the %s of y is %d, want 1 or more: %d − %d − %d of padding + %d", axis, out, full, before, after, extra)
	}
	// Output padding first takes back what the padding after cuts off. Beyond the last tap there
	// are zeros, of which the adjoint makes less than a stride: a convolution of a longer image
	// would have one window more.
	beyond := max(0, extra-after)
	inside := min(beyond, stride-1)
	return transposedSides{out: out - (beyond - inside), before: before, after: max(0, after-extra), rest: beyond - inside}, nil
}

// fuse adds the bias in the pass of the transposed convolution.
func (o conv2DBackwardData) fuse(next spec, at int) (spec, bool) {
	n, ok := next.(addChannels)
	if !ok || at != 0 || n.Of != sizeOf(xSides(o.Geometry)) {
		return nil, false
	}
	return biasedTransposed{Geometry: o.Geometry}, true
}

// biasedTransposed is conv2DBackwardData plus a bias for each channel of its result, and a ReLU
// where that is set: what the executor makes of a transposed convolution with a bias.
type biasedTransposed struct {
	Geometry kernel.Conv
	ReLU     bool
}

func (o biasedTransposed) name() string { return "ConvTranspose2D" }
func (o biasedTransposed) args() []arg {
	return []arg{{name: "x", rank: 4}, {name: "w", rank: 4}, {name: "b", rank: 1}}
}
func (o biasedTransposed) result() arg { return arg{name: "y", rank: 4} }
func (o biasedTransposed) infer(in []tensor.Shape) (tensor.Shape, error) {
	if err := want("x", in[0], ySides(o.Geometry)...); err != nil {
		return nil, err
	}
	if err := want("w", in[1], wSides(o.Geometry)...); err != nil {
		return nil, err
	}
	return xSides(o.Geometry), want("b", in[2], o.Geometry.C)
}

func (o biasedTransposed) exec(c *Call) error {
	if c.double() {
		kernel.Transposed(o.Geometry, slice[float64](c.dst), slice[float64](c.in[0]), slice[float64](c.in[1]), slice[float64](c.in[2]), o.ReLU)
	} else {
		kernel.Transposed(o.Geometry, slice[float32](c.dst), slice[float32](c.in[0]), slice[float32](c.in[1]), slice[float32](c.in[2]), o.ReLU)
	}
	return nil
}

func (o biasedTransposed) rule() []*term {
	dy := cotangent()
	if o.ReLU {
		dy = apply(gate{Rank: 4}, dy, out())
	}
	return []*term{
		apply(conv2D{Geometry: o.Geometry}, dy, in(1)),
		apply(conv2DBackwardFilter{o.Geometry}, dy, in(0)),
		apply(sumChannels{sizeOf(xSides(o.Geometry))}, dy),
	}
}

// fuse computes a ReLU that follows in the same pass.
func (o biasedTransposed) fuse(next spec, _ int) (spec, bool) {
	if _, ok := next.(relu); !ok || o.ReLU {
		return nil, false
	}
	o.ReLU = true
	return o, true
}

// addChannels is y[n,k,p,q] = x[n,k,p,q] + b[k].
type addChannels struct{ Of size }

func (o addChannels) InPlace() int { return 0 }
func (o addChannels) name() string { return "AddChannels" }
func (o addChannels) args() []arg {
	return []arg{{name: "x", rank: 4}, {name: "b", rank: 1}}
}
func (o addChannels) result() arg { return arg{name: "y", rank: 4} }
func (o addChannels) infer(in []tensor.Shape) (tensor.Shape, error) {
	if err := want("x", in[0], o.Of.shape()...); err != nil {
		return nil, err
	}
	return in[0], want("b", in[1], o.Of.sides[1])
}
func (o addChannels) rule() []*term {
	return []*term{apply(scale{4, 1}, cotangent()), apply(sumChannels(o), cotangent())}
}

func (o addChannels) exec(c *Call) error {
	s := o.Of.sides
	if c.double() {
		kernel.AddChannels(s[0]*s[1], s[2]*s[3], slice[float64](c.dst), slice[float64](c.in[0]), slice[float64](c.in[1]))
	} else {
		kernel.AddChannels(s[0]*s[1], s[2]*s[3], slice[float32](c.dst), slice[float32](c.in[0]), slice[float32](c.in[1]))
	}
	return nil
}

func init() {
	opset.Register(opset.Entry{Name: "ConvTranspose2D", Draw: func(r *rand.Rand) opset.Case {
		groups, c, k := 1+r.IntN(2), 1+r.IntN(2), 1+r.IntN(2)
		n, h, w, height, width := 1+r.IntN(2), 2+r.IntN(3), 2+r.IntN(3), 1+r.IntN(3), 1+r.IntN(3)
		p := ConvParams{Stride: Size{1 + r.IntN(3), 1 + r.IntN(2)}, Dilation: Size{1 + r.IntN(2), 1 + r.IntN(3)},
			Pad: Padding{Top: r.IntN(2), Left: r.IntN(2), Right: r.IntN(2)}, Groups: groups, Flip: r.IntN(4) == 0}
		p.OutputPad = Size{r.IntN(max(p.Stride.H, p.Dilation.H)), r.IntN(max(p.Stride.W, p.Dilation.W))}
		rows := (h-1)*p.Stride.H - p.Pad.Top + (height-1)*p.Dilation.H + 1 + p.OutputPad.H
		cols := (w-1)*p.Stride.W - p.Pad.Left - p.Pad.Right + (width-1)*p.Dilation.W + 1 + p.OutputPad.W
		if rows < 1 || cols < 1 {
			p.Pad = Padding{}
			rows, cols = (h-1)*p.Stride.H+(height-1)*p.Dilation.H+1+p.OutputPad.H, (w-1)*p.Stride.W+(width-1)*p.Dilation.W+1+p.OutputPad.W
		}
		return opset.Case{
			Params: fmt.Sprintf("%+v", p),
			Inputs: []opset.Input{opset.Normal("x", n, groups*c, h, w), opset.Normal("w", groups*c, k, height, width), opset.Normal("b", groups*k)},
			Build:  func(in []*G.Node) (*G.Node, error) { return ConvTranspose2D(in[0], in[1], in[2], p) },
			Terms:  c*height*width + 1,
			Want: func(in [][]float64) []float64 {
				y := make([]float64, n*groups*k*rows*cols)
				for i := range y {
					y[i] = in[2][i/(rows*cols)%(groups*k)]
				}
				for xi, v := range in[0] { // each element of x is spread by its channel's filters
					q, p0, channel, image := xi%w, xi/w%h, xi/(w*h)%(groups*c), xi/(w*h*groups*c)
					for kk := range k {
						for a := range height {
							for b := range width {
								i, j := p0*p.Stride.H+a*p.Dilation.H-p.Pad.Top, q*p.Stride.W+b*p.Dilation.W-p.Pad.Left
								if i < 0 || i >= rows || j < 0 || j >= cols {
									continue
								}
								fa, fb := a, b
								if p.Flip {
									fa, fb = height-1-a, width-1-b
								}
								out := channel/c*k + kk
								y[((image*groups*k+out)*rows+i)*cols+j] += v * in[1][((channel*k+kk)*height+fa)*width+fb]
							}
						}
					}
				}
				return y
			},
		}
	}})
}

func init() {
	opset.Timed("ConvTranspose2D", func() []opset.Case {
		call := func(side, stride, pad int, torch string, x, w []int) opset.Case {
			return opset.Call(fmt.Sprintf("%d×%d, stride %d, pad %d", side, side, stride, pad), torch, func(in []*G.Node) (*G.Node, error) {
				return ConvTranspose2D(in[0], in[1], in[2], ConvParams{Stride: Both(stride), Pad: Around(pad)})
			}, opset.Normal("x", x...), opset.Normal("w", w...), opset.Normal("b", w[1]))
		}
		return []opset.Case{
			call(2, 2, 0, "F.conv_transpose2d(x, w, b, stride=2)", []int{16, 64, 28, 28}, []int{64, 32, 2, 2}),
			call(4, 2, 1, "F.conv_transpose2d(x, w, b, stride=2, padding=1)", []int{16, 128, 14, 14}, []int{128, 64, 4, 4}),
			call(3, 1, 1, "F.conv_transpose2d(x, w, b, padding=1)", []int{16, 64, 28, 28}, []int{64, 64, 3, 3}),
		}
	})
}
