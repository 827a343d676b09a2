package article

import (
	G "gorgonia.org/gorgonia"

	"github.com/convgrad/convgrad/verify"
	"github.com/convgrad/convgrad/verify/internal/graphs"

	"github.com/convgrad/convgrad/internal/kernel"
	"github.com/convgrad/convgrad/ops"
)

// Each equation's function, run on a world. The numbers are small integers (and quarters), so
// float64 computes them without rounding and both sides are equal to the bit.

// one is the cotangent of a number.
var one = graphs.Of(nil, []float64{1})

func image(m matrix) graphs.Array { return graphs.Of([]int{1, 1, m.Rows, m.Cols}, m.Floats()) }

// forward is a node of arrays, and gradient that of ⟨dy, node⟩ by one of them.
func forward(build verify.Build, in ...graphs.Array) ([]float64, error) {
	y, err := graphs.Forward(build, in...)
	return y.Data, err
}

func gradient(by int, build verify.Build, dy graphs.Array, in ...graphs.Array) ([]float64, error) {
	_, dx, err := graphs.Run(build, in, dy)
	if err != nil {
		return nil, err
	}
	return dx[by].Data, nil
}

// correlate is I ⊗ K over the positions inside I, by ops.Conv2D.
func correlate(p ops.ConvParams) verify.Build {
	return func(in []*G.Node) (*G.Node, error) {
		var b *G.Node
		if len(in) > 2 {
			b = in[2]
		}
		return ops.Conv2D(in[0], in[1], b, p)
	}
}

func embodiedCorrelation(w *world) (got, want []float64, err error) {
	I, K := w.I[0], w.K[0][0]
	got, err = forward(correlate(ops.ConvParams{}), image(I), image(K))
	return got, rowsOf(w.P(), w.Q(), func(i, j int) rational { return crossCorrelation(I, K, i, j) }), err
}

// embodiedConvolution has zeros around I, so that every index at which Eq. 2 is not 0 is an output.
func embodiedConvolution(w *world) (got, want []float64, err error) {
	I, K := w.I[0], w.K[0][0]
	full := ops.ConvParams{Flip: true, Pad: ops.AroundHW(w.k1-1, w.k2-1)}
	got, err = forward(correlate(full), image(I), image(K))
	return got, rowsOf(w.H+w.k1-1, w.W+w.k2-1, func(i, j int) rational { return convolution(I, K, i, j) }), err
}

func embodiedChannels(w *world) (got, want []float64, err error) {
	x, k, b := graphs.Zeros(1, w.C, w.H, w.W), graphs.Zeros(w.D, w.C, w.k1, w.k2), graphs.Zeros(w.D)
	x.Data, k.Data = x.Data[:0], k.Data[:0]
	for _, m := range w.I {
		x.Data = append(x.Data, m.Floats()...)
	}
	for d, f := range w.K {
		for _, m := range f {
			k.Data = append(k.Data, m.Floats()...)
		}
		b.Data[d] = float64(w.bias[d])
		want = append(want, rowsOf(w.P(), w.Q(), func(i, j int) rational { return w.eq4(d, i, j) })...)
	}
	got, err = forward(correlate(ops.ConvParams{}), x, k, b)
	return got, want, err
}

func (w *world) biasArray() graphs.Array { return graphs.Of([]int{1}, []float64{float64(w.b)}) }

func embodiedTurnedTwice(w *world) (got, want []float64, err error) {
	got, err = forward(correlate(ops.ConvParams{Flip: true}), image(w.o), image(rot180(w.w)), w.biasArray())
	return got, rowsOf(w.P(), w.Q(), w.eq7), err
}

func embodiedForward(w *world) (got, want []float64, err error) {
	got, err = forward(correlate(ops.ConvParams{}), image(w.o), image(w.w), w.biasArray())
	return got, rowsOf(w.P(), w.Q(), w.eq7), err
}

func embodiedReLU(w *world) (got, want []float64, err error) {
	got, err = forward(func(in []*G.Node) (*G.Node, error) { return ops.ReLU(in[0]) }, image(w.o))
	return got, rowsOf(w.H, w.W, func(i, j int) rational { return relu(w.o.At(i, j)) }), err
}

func embodiedError(w *world) (got, want []float64, err error) {
	got, err = forward(func(in []*G.Node) (*G.Node, error) { return ops.ArticleError(in[0], in[1]) }, image(w.x), image(w.o))
	e := sum(0, w.H-1, 0, w.W-1, func(i, j int) rational { d := w.o.At(i, j).Minus(w.x.At(i, j)); return d.Times(d) })
	return got, []float64{e.Times(ratio(1, 2)).Float()}, err
}

// embodiedFilter is the gradient of Eq. 9's error by w, through the graph of Conv2D and MSE that a
// network has: Conv2DBackwardFilter is what computes it.
func embodiedFilter(w *world) (got, want []float64, err error) {
	t := image(w.delta).Clone()
	for i, y := range rowsOf(w.P(), w.Q(), w.eq7) {
		t.Data[i] = y - t.Data[i]
	}
	build := func(in []*G.Node) (*G.Node, error) {
		y, err := ops.Conv2D(in[0], in[1], in[2], ops.ConvParams{})
		if err != nil {
			return nil, err
		}
		return ops.ArticleError(y, in[3])
	}
	got, err = gradient(1, build, one, image(w.o), image(w.w), w.biasArray(), t)
	return got, rowsOf(w.k1, w.k2, w.eq13), err
}

func embodiedDelta(w *world) (got, want []float64, err error) {
	t := image(w.x).Clone()
	for i := range t.Data {
		t.Data[i] -= float64(w.o.V[i]) // so that δ is o
	}
	build := func(in []*G.Node) (*G.Node, error) { return ops.ArticleError(in[0], in[1]) }
	got, err = gradient(0, build, one, image(w.x), t)
	return got, w.o.Floats(), err
}

// embodiedRegion compares Q with the outputs that change when the pixel does.
func embodiedRegion(w *world) (got, want []float64, err error) {
	ones := newMatrix(w.k1, w.k2)
	for i := range ones.V {
		ones.V[i] = 1
	}
	pixel := newMatrix(w.H, w.W)
	for i := range w.H {
		for j := range w.W {
			rows, cols, err := ops.Region([]int{1, 1, w.H, w.W}, []int{1, 1, w.k1, w.k2}, ops.ConvParams{}, i, j)
			if err != nil {
				return nil, nil, err
			}
			clear(pixel.V)
			pixel.V[i*w.W+j] = 1
			for p := range w.P() {
				for q := range w.Q() {
					in := 0.0
					if rows[0] <= p && p < rows[1] && cols[0] <= q && q < cols[1] {
						in = 1
					}
					got, want = append(got, in), append(want, crossCorrelation(pixel, ones, p, q).Float())
				}
			}
		}
	}
	return got, want, nil
}

// embodiedData is the gradient of ⟨δ, Conv2D⟩ by its input, times f′ as in Eq. 20.
func embodiedData(w *world) (got, want []float64, err error) {
	got, err = gradient(0, correlate(ops.ConvParams{}), image(w.delta), image(w.outputs()), image(w.w))
	f := rowsOf(w.H, w.W, w.fPrime)
	for i := range got {
		got[i] *= f[i]
	}
	return got, rowsOf(w.H, w.W, w.eq20), err
}

func poolGradient(w *world, x matrix, pool func(x *G.Node, p ops.PoolParams) (*G.Node, error)) ([]float64, error) {
	build := func(in []*G.Node) (*G.Node, error) { return pool(in[0], ops.PoolParams{Window: ops.Both(2)}) }
	return gradient(0, build, image(w.delta), image(x))
}

func embodiedMaxPool(w *world) (got, want []float64, err error) {
	got, err = poolGradient(w, w.blocks, ops.MaxPool2D)
	return got, rowsOf(2*w.P(), 2*w.Q(), w.routed), err
}

func embodiedAvgPool(w *world) (got, want []float64, err error) {
	got, err = poolGradient(w, w.blocks, func(x *G.Node, p ops.PoolParams) (*G.Node, error) { return ops.AvgPool2D(x, p) })
	return got, rowsOf(2*w.P(), 2*w.Q(), func(i, j int) rational { return w.delta.At(i/2, j/2).Times(ratio(1, 4)) }), err
}

func embodiedL2Pool(w *world) (got, want []float64, err error) {
	got, err = poolGradient(w, w.norms, ops.L2Pool2D)
	return got, rowsOf(2*w.P(), 2*w.Q(), w.shared), err
}

func embodiedReLUGradient(w *world) (got, want []float64, err error) {
	got, err = gradient(0, func(in []*G.Node) (*G.Node, error) { return ops.ReLU(in[0]) }, image(w.x), image(w.o))
	return got, rowsOf(w.H, w.W, func(i, j int) rational {
		if w.o.At(i, j).Sign() > 0 {
			return w.x.At(i, j)
		}
		return rational{}
	}), err
}

// embodiedUpdate is one step of gradient descent with the rate ¼.
func embodiedUpdate(w *world) (got, want []float64, err error) {
	got = w.w.Floats()
	kernel.SGD(got, rowsOf(w.k1, w.k2, w.eq13), nil, 0.25, 0, 0, false)
	return got, rowsOf(w.k1, w.k2, func(m, n int) rational { return w.w.At(m, n).Minus(ratio(1, 4).Times(w.eq13(m, n))) }), nil
}
