package article

import (
	"math/rand/v2"
	"slices"
	"testing"

	G "gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/convgrad/convgrad/verify"
	"github.com/convgrad/convgrad/verify/internal/graphs"

	"github.com/convgrad/convgrad/internal/kernel"
	"github.com/convgrad/convgrad/ops"
)

// What the article's readers asked in its comment thread, answered in whole numbers, so that every
// equality is one of bits. E = ⟨δ, x⟩ with a random δ, unless said otherwise: it is linear in every
// operand, and nudging an element by 1 gives the derivative without an error.
func TestReadersQuestions(t *testing.T) {
	const seed = 2016
	t.Logf("seed %d", seed)
	questions := map[string]func(t *testing.T, r *rand.Rand){
		"PhilS: is the bias gradient the sum of the deltas":                              biasGradient,
		"Andrea Apicella: what if the stride is greater than 1":                          strideTwo,
		"Diego: 3×32×32, six filters of 3×5×5, deltas of 6×28×28":                        depths,
		"Satyam Dev Bhardwaj: how does the error get past the second convolution":        secondConvolution,
		"Jason XU: is the delta multiplied by the activation below, through max pooling": pooledDelta,
		"Jason XU: is it δ or o that Eq. 14 rotates":                                     whatIsRotated,
		"Alan, Cici Hofsäß: is Eq. 22 a convolution or a cross-correlation":              equation22,
		"Ruthvik Vaila and others: what is flipped in the backward pass":                 whatIsFlipped,
		"Titouan Parcollet: why is a flipped weight update wrong":                        flippedUpdate,
		"Teemu Sarapisto: is a kernel shared between channels":                           filterBank,
		"Akram Askar: is the bias one per filter or one per position":                    onePerFilter,
		"Kai Waddington and others: are Eqs. 13 and 14 the new weights":                  gradientNotWeights,
		"Josue: what if the next layer has more outputs":                                 moreOutputs,
		"Yaswanth Reddy: from Eq. 10 to Eq. 12, and negative indices":                    fromTenToTwelve,
	}
	names := make([]string, 0, len(questions))
	for name := range questions {
		names = append(names, name)
	}
	slices.Sort(names)
	for i, name := range names {
		t.Run(name, func(t *testing.T) { questions[name](t, rand.New(rand.NewPCG(seed, uint64(i)))) })
	}
}

// whole is an array of random whole numbers.
func whole(r *rand.Rand, shape ...int) graphs.Array {
	a := graphs.Zeros(shape...)
	for i := range a.Data {
		a.Data[i] = float64(r.IntN(19) - 9)
	}
	return a
}

func output(t *testing.T, build verify.Build, in ...graphs.Array) []float64 {
	t.Helper()
	y, err := forward(build, in...)
	if err != nil {
		t.Fatal(err)
	}
	return y
}

// gradients of ⟨δ, output⟩.
func gradients(t *testing.T, build verify.Build, delta graphs.Array, in ...graphs.Array) []graphs.Array {
	t.Helper()
	_, dx, err := graphs.Run(build, in, delta)
	if err != nil {
		t.Fatal(err)
	}
	return dx
}

// nudged is the gradient of ⟨δ, output⟩ by operand k of a linear function: how much it grows with
// each element.
func nudged(t *testing.T, build verify.Build, delta graphs.Array, k int, in ...graphs.Array) []float64 {
	t.Helper()
	energy := func() (e float64) {
		for i, x := range output(t, build, in...) {
			e += delta.Data[i] * x
		}
		return e
	}
	before := energy()
	g := make([]float64, len(in[k].Data))
	for i := range g {
		in[k].Data[i]++
		g[i] = energy() - before
		in[k].Data[i]--
	}
	return g
}

func equal(t *testing.T, what string, got, want []float64) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s: got %v, want %v", what, got, want)
	}
}

func different(t *testing.T, what string, a, b []float64) {
	t.Helper()
	if slices.Equal(a, b) {
		t.Errorf("%s: the two are equal, want a difference", what)
	}
}

func turned(a graphs.Array) graphs.Array {
	b := a.Clone()
	slices.Reverse(b.Data)
	return b
}

// Yes: db[k] = Σ_n Σ_i Σ_j δ[n,k,i,j].
func biasGradient(t *testing.T, r *rand.Rand) {
	x, w, b, delta := whole(r, 2, 3, 5, 6), whole(r, 4, 3, 2, 3), whole(r, 4), whole(r, 2, 4, 4, 4)
	build := correlate(ops.ConvParams{})
	want := make([]float64, 4)
	for i, d := range delta.Data {
		want[i/16%4] += d
	}
	equal(t, "the op", gradients(t, build, delta, x, w, b)[2].Data, want)
	equal(t, "nudging", nudged(t, build, delta, 2, x, w, b), want)
}

// The deltas lie stride apart: with as many zeros between them, everything is as for stride 1, up
// to rows and columns that no window reached.
func strideTwo(t *testing.T, r *rand.Rand) {
	const s = 2
	x, w, delta := whole(r, 1, 1, 8, 9), whole(r, 1, 1, 3, 2), whole(r, 1, 1, 3, 4)
	spread := graphs.Zeros(1, 1, 6, 8) // the outputs of stride 1
	for i := range 3 {
		for j := range 4 {
			spread.Data[s*i*8+s*j] = delta.Data[i*4+j]
		}
	}
	strided := correlate(ops.ConvParams{Stride: ops.Both(s)})
	got, dense := gradients(t, strided, delta, x, w), gradients(t, correlate(ops.ConvParams{}), spread, x, w)
	for k, name := range []string{"dx", "dw"} {
		equal(t, name+" beside deltas spread out", got[k].Data, dense[k].Data)
		equal(t, name+" beside nudging", got[k].Data, nudged(t, strided, delta, k, x, w))
	}
}

// Each filter's gradient is of its own delta with every channel; each channel's delta is summed
// over the filters.
func depths(t *testing.T, r *rand.Rand) {
	x, w, delta := whole(r, 1, 3, 32, 32), whole(r, 6, 3, 5, 5), whole(r, 1, 6, 28, 28)
	g := gradients(t, correlate(ops.ConvParams{}), delta, x, w)
	if !slices.Equal(g[0].Shape, x.Shape) || !slices.Equal(g[1].Shape, w.Shape) {
		t.Errorf("the gradients' shapes are %v and %v, want %v and %v", g[0].Shape, g[1].Shape, x.Shape, w.Shape)
	}
	plane := func(a graphs.Array, i, h, w int) graphs.Array {
		return graphs.Of([]int{1, 1, h, w}, a.Data[i*h*w:][:h*w])
	}
	sum := make([]float64, len(x.Data))
	for k := range 6 {
		for c := range 3 {
			one := gradients(t, correlate(ops.ConvParams{}), plane(delta, k, 28, 28), plane(x, c, 32, 32), plane(w, k*3+c, 5, 5))
			equal(t, "a filter's channel", plane(g[1], k*3+c, 5, 5).Data, one[1].Data)
			for i, v := range one[0].Data {
				sum[c*32*32+i] += v
			}
		}
	}
	equal(t, "the deltas of the channels", g[0].Data, sum)
}

// By Eq. 20: the first layers' gradients, taken layer by layer from the end, are those of the whole
// network's graph, whose softmax is told the true label.
func secondConvolution(t *testing.T, r *rand.Rand) {
	pool := func(x *G.Node) (*G.Node, error) { return ops.MaxPool2D(x, ops.PoolParams{Window: ops.Both(2)}) }
	layer := func(in []*G.Node) (*G.Node, error) { // conv → relu → max
		y, err := ops.Conv2D(in[0], in[1], nil, ops.ConvParams{})
		if err != nil {
			return nil, err
		}
		if y, err = ops.ReLU(y); err != nil {
			return nil, err
		}
		return pool(y)
	}
	top := func(in []*G.Node) (*G.Node, error) { // flatten → softmax, against label 1
		y, err := ops.Flatten(in[0])
		if err != nil {
			return nil, err
		}
		label := G.NewTensor(in[0].Graph(), tensor.Int, 1, G.WithShape(1), G.WithName("label"), G.WithValue(tensor.New(tensor.WithShape(1), tensor.WithBacking([]int{1}))))
		return ops.CrossEntropy(y, label, ops.CrossEntropyParams{Reduction: ops.ReductionSum})
	}
	network := func(in []*G.Node) (*G.Node, error) {
		y, err := layer(in[:2])
		if err != nil {
			return nil, err
		}
		if y, err = layer([]*G.Node{y, in[2]}); err != nil {
			return nil, err
		}
		return top([]*G.Node{y})
	}
	x, w1, w2 := whole(r, 1, 2, 14, 12), whole(r, 3, 2, 3, 3), whole(r, 4, 3, 3, 2)
	unit := graphs.Of(nil, []float64{1})
	all := gradients(t, network, unit, x, w1, w2)

	o1 := graphs.Of([]int{1, 3, 6, 5}, output(t, layer, x, w1))
	o2 := graphs.Of([]int{1, 4, 2, 2}, output(t, layer, o1, w2))
	delta := gradients(t, top, unit, o2)[0]
	second := gradients(t, layer, delta, o1, w2)
	first := gradients(t, layer, second[0], x, w1)
	equal(t, "the second filters' gradient", second[1].Data, all[2].Data)
	equal(t, "the first filters' gradient", first[1].Data, all[1].Data)
	if !slices.ContainsFunc(first[1].Data, func(v float64) bool { return v != 0 }) {
		t.Error("nothing got past the second convolution")
	}
}

// No: max pooling hands the delta to the winner as it is.
func pooledDelta(t *testing.T, r *rand.Rand) {
	x, delta := graphs.Zeros(1, 1, 4, 6), whole(r, 1, 1, 2, 3)
	for i, v := range r.Perm(len(x.Data)) {
		x.Data[i] = float64(v + 2) // no ties, and no 1, by which nothing would be multiplied
	}
	want := make([]float64, len(x.Data))
	for p := range 2 {
		for q := range 3 {
			winner := 2*p*6 + 2*q
			for _, i := range []int{winner + 1, winner + 6, winner + 7} {
				if x.Data[i] > x.Data[winner] {
					winner = i
				}
			}
			want[winner] = delta.Data[p*3+q]
		}
	}
	build := func(in []*G.Node) (*G.Node, error) { return ops.MaxPool2D(in[0], ops.PoolParams{Window: ops.Both(2)}) }
	equal(t, "dx", gradients(t, build, delta, x)[0].Data, want)
}

// δ: as a convolution (Eq. 2) of o with rot180(δ), and so a cross-correlation with δ as it is.
// Turning o too would turn the gradient.
func whatIsRotated(t *testing.T, r *rand.Rand) {
	o, w, delta := whole(r, 1, 1, 6, 7), whole(r, 1, 1, 3, 2), whole(r, 1, 1, 4, 6)
	dw := gradients(t, correlate(ops.ConvParams{}), delta, o, w)[1].Data
	equal(t, "rot180(δ) * o", output(t, correlate(ops.ConvParams{Flip: true}), o, turned(delta)), dw)
	different(t, "rot180(δ) * rot180(o)", output(t, correlate(ops.ConvParams{Flip: true}), turned(o), turned(delta)), dw)
	different(t, "δ * o", output(t, correlate(ops.ConvParams{Flip: true}), o, delta), dw)
}

// A cross-correlation of the delta, with zeros around it, with rot180(w); which is the convolution
// with w.
func equation22(t *testing.T, r *rand.Rand) {
	o, w, delta := whole(r, 1, 1, 6, 7), whole(r, 1, 1, 3, 2), whole(r, 1, 1, 4, 6)
	dx := gradients(t, correlate(ops.ConvParams{}), delta, o, w)[0].Data
	full := ops.ConvParams{Pad: ops.AroundHW(2, 1)}
	flipped := full
	flipped.Flip = true
	equal(t, "δ ⊗ rot180(w)", output(t, correlate(full), delta, turned(w)), dx)
	equal(t, "δ * w", output(t, correlate(flipped), delta, w), dx)
	different(t, "δ * rot180(w)", output(t, correlate(flipped), delta, turned(w)), dx)
}

// For a forward cross-correlation the kernel alone, and only for the delta's way back; for a
// forward convolution nothing is on the way back, and the weights' gradient is turned.
func whatIsFlipped(t *testing.T, r *rand.Rand) {
	o, w, delta := whole(r, 1, 1, 6, 7), whole(r, 1, 1, 3, 2), whole(r, 1, 1, 4, 6)
	full := ops.ConvParams{Pad: ops.AroundHW(2, 1)}
	plain, flipped := gradients(t, correlate(ops.ConvParams{}), delta, o, w), gradients(t, correlate(ops.ConvParams{Flip: true}), delta, o, w)
	equal(t, "dx after ⊗", plain[0].Data, output(t, correlate(full), delta, turned(w)))
	equal(t, "dw after ⊗", plain[1].Data, output(t, correlate(ops.ConvParams{}), o, delta))
	equal(t, "dx after *", flipped[0].Data, output(t, correlate(full), delta, w))
	equal(t, "dw after *", flipped[1].Data, turned(graphs.Of(nil, output(t, correlate(ops.ConvParams{}), o, delta))).Data)
}

// It is not the derivative: it pairs δ[i,j] with inputs that output [i,j] never saw.
func flippedUpdate(t *testing.T, r *rand.Rand) {
	o, w, delta := whole(r, 1, 1, 6, 7), whole(r, 1, 1, 3, 2), whole(r, 1, 1, 4, 6)
	right := nudged(t, correlate(ops.ConvParams{}), delta, 1, o, w)
	equal(t, "δ[i,j] with o[i+m′, j+n′]", output(t, correlate(ops.ConvParams{}), o, delta), right)
	different(t, "the flipped pairing", output(t, correlate(ops.ConvParams{}), o, turned(delta)), right)
}

// The bank has four dimensions, and each channel has a kernel of its own: a kernel's gradient
// depends on its channel alone.
func filterBank(t *testing.T, r *rand.Rand) {
	x, w, delta := whole(r, 1, 2, 5, 6), whole(r, 3, 2, 2, 3), whole(r, 1, 3, 4, 4)
	before := gradients(t, correlate(ops.ConvParams{}), delta, x, w)[1]
	if len(before.Shape) != 4 {
		t.Errorf("the gradient's shape is %v, want four sides", before.Shape)
	}
	for i := range 5 * 6 { // another first channel
		x.Data[i] += float64(1 + r.IntN(9))
	}
	after := gradients(t, correlate(ops.ConvParams{}), delta, x, w)[1]
	for k := range 3 {
		different(t, "the first channel's kernel", before.Data[k*12:][:6], after.Data[k*12:][:6])
		equal(t, "the second channel's kernel", after.Data[k*12+6:][:6], before.Data[k*12+6:][:6])
	}
}

// One per filter, as the kernel is: a bias for every position is refused.
func onePerFilter(t *testing.T, r *rand.Rand) {
	x, w, b := whole(r, 1, 2, 5, 6), whole(r, 3, 2, 2, 3), whole(r, 3)
	with, without := output(t, correlate(ops.ConvParams{}), x, w, b), output(t, correlate(ops.ConvParams{}), x, w)
	for i := range with {
		if with[i]-without[i] != b.Data[i/16] {
			t.Fatalf("output %d grows by %v with the bias, want %v", i, with[i]-without[i], b.Data[i/16])
		}
	}
	if _, err := graphs.Forward(correlate(ops.ConvParams{}), x, w, whole(r, 4, 4)); err == nil {
		t.Error("a bias for every position is no error")
	}
}

// Neither: they are the gradient, which the rate multiplies and the step subtracts. A small enough
// step lowers E.
func gradientNotWeights(t *testing.T, r *rand.Rand) {
	o, w := whole(r, 1, 1, 6, 7), whole(r, 1, 1, 3, 2)
	target := whole(r, 1, 1, 4, 6)
	loss := func(in []*G.Node) (*G.Node, error) {
		y, err := ops.Conv2D(in[0], in[1], nil, ops.ConvParams{})
		if err != nil {
			return nil, err
		}
		return ops.ArticleError(y, in[2])
	}
	dw := gradients(t, loss, graphs.Of(nil, []float64{1}), o, w, target)[1].Data
	const rate = 0x1p-12 // less than 1/(Σ o²), summed over the windows
	next := w.Clone()
	kernel.SGD(next.Data, dw, nil, rate, 0, 0, false)
	for i := range next.Data {
		if want := w.Data[i] - rate*dw[i]; next.Data[i] != want {
			t.Errorf("weight %d becomes %v, want %v", i, next.Data[i], want)
		}
	}
	before, after, wrong := output(t, loss, o, w, target)[0], output(t, loss, o, next, target)[0], output(t, loss, o, graphs.Of(w.Shape, dw), target)[0]
	if !(after < before) || !(wrong > before) {
		t.Errorf("E is %v, after the step %v, and with the gradient for weights %v: want less, and more", before, after, wrong)
	}
}

// Each output of the next layer sends its own delta back; they add up.
func moreOutputs(t *testing.T, r *rand.Rand) {
	x, w, delta := whole(r, 1, 2, 5, 6), whole(r, 7, 2, 2, 3), whole(r, 1, 7, 4, 4)
	got := gradients(t, correlate(ops.ConvParams{}), delta, x, w)[0].Data
	sum := make([]float64, len(x.Data))
	for k := range 7 {
		one := gradients(t, correlate(ops.ConvParams{}), graphs.Of([]int{1, 1, 4, 4}, delta.Data[k*16:][:16]), x, graphs.Of([]int{1, 2, 2, 3}, w.Data[k*12:][:12]))
		for i, v := range one[0].Data {
			sum[i] += v
		}
	}
	equal(t, "dx", got, sum)
	equal(t, "dx by nudging", nudged(t, correlate(ops.ConvParams{}), delta, 0, x, w), sum)
}

// Only one term of the sum over m, n holds w[m′,n′], and its factor is o[i+m′, j+n′]. What lies at
// negative indices, or behind the borders, does not exist and counts as 0: Eq. 17 with such zeros
// is Eq. 16 over Q.
func fromTenToTwelve(t *testing.T, r *rand.Rand) {
	o, w := whole(r, 1, 1, 5, 6), whole(r, 1, 1, 2, 3)
	for at := range 4 * 4 {
		only := graphs.Zeros(1, 1, 4, 4)
		only.Data[at] = 1 // E is x[i,j]
		i, j := at/4, at%4
		var want []float64
		for m := range 2 {
			for n := range 3 {
				want = append(want, o.Data[(i+m)*6+j+n])
			}
		}
		equal(t, "∂x[i,j]/∂w", nudged(t, correlate(ops.ConvParams{}), only, 1, o, w), want)
	}
	delta := whole(r, 1, 1, 4, 4)
	var inside []float64
	for i := range 5 {
		for j := range 6 {
			rows, cols, err := ops.Region(o.Shape, w.Shape, ops.ConvParams{}, i, j)
			if err != nil {
				t.Fatal(err)
			}
			sum := 0.0
			for p := rows[0]; p < rows[1]; p++ {
				for q := cols[0]; q < cols[1]; q++ {
					sum += delta.Data[p*4+q] * w.Data[(i-p)*3+j-q]
				}
			}
			inside = append(inside, sum)
		}
	}
	equal(t, "Eq. 16, over Q alone", inside, gradients(t, correlate(ops.ConvParams{}), delta, o, w)[0].Data)
}
