package ops_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	G "gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/convgrad/convgrad/internal/kernel"
	"github.com/convgrad/convgrad/ops"
)

// A convolution that both Gorgonia's Conv2d and Conv2D can do, or, if it is not plain, Conv2D
// alone.
type geometry struct {
	params ops.ConvParams
	conv   kernel.Conv
}

// draw makes geometries until there are n of them. Plain ones have symmetric padding, one group and
// filters as they are.
func draw(r *rand.Rand, n int, plain bool) []geometry {
	var all []geometry
	for len(all) < n {
		p := ops.ConvParams{
			Stride: ops.Size{H: 1 + r.IntN(3), W: 1 + r.IntN(3)}, Dilation: ops.Size{H: 1 + r.IntN(3), W: 1 + r.IntN(3)},
			Pad: ops.Padding{Top: r.IntN(4), Bottom: r.IntN(4), Left: r.IntN(4), Right: r.IntN(4)}, Groups: 1 + r.IntN(3), Flip: r.IntN(2) == 0,
		}
		if plain {
			p.Pad, p.Groups, p.Flip = ops.AroundHW(p.Pad.Top, p.Pad.Left), 1, false
		}
		c, k := p.Groups*(1+r.IntN(3)), p.Groups*(1+r.IntN(4))
		if plain && k == 1 {
			k = 2 // a bias of shape (1, 1, 1, 1) ends Gorgonia's process
		}
		g, err := kernel.NewConv(1+r.IntN(3), c, 1+r.IntN(9), 1+r.IntN(10), k, 1+r.IntN(4), 1+r.IntN(3), p.Groups, kernel.Spatial{
			StrideH: p.Stride.H, StrideW: p.Stride.W, DilationH: p.Dilation.H, DilationW: p.Dilation.W,
			PadTop: p.Pad.Top, PadBottom: p.Pad.Bottom, PadLeft: p.Pad.Left, PadRight: p.Pad.Right,
		}, p.Flip)
		if err == nil {
			all = append(all, geometry{p, g})
		}
	}
	return all
}

func (g geometry) String() string { return fmt.Sprintf("%+v", g.conv) }

func (g geometry) shapes() (x, w, b tensor.Shape) {
	c := g.conv
	return tensor.Shape{c.N, c.C, c.H, c.W}, tensor.Shape{c.K, c.C / c.Groups, c.R, c.S}, tensor.Shape{c.K}
}

// data are the operands and the cotangent of a convolution.
type data[T kernel.Float] struct{ x, w, b, dy []T }

// result is the output and the gradients by x, w and b.
type result[T kernel.Float] struct {
	y     []T
	grads [][]T
}

func runConv[T kernel.Float](g geometry, machine string, conv func(x, w, b *G.Node) (*G.Node, error), d data[T]) (result[T], error) {
	graph := G.NewGraph()
	xs, ws, bs := g.shapes()
	x, w, b := leaf(graph, "x", xs, d.x), leaf(graph, "w", ws, d.w), leaf(graph, "b", bs, d.b)
	y, err := conv(x, w, b)
	if err != nil {
		return result[T]{}, err
	}
	cost, err := costOf(y, d.dy)
	if err != nil {
		return result[T]{}, err
	}
	value, grads, err := evaluate[T](machine, cost, y, x, w, b)
	return result[T]{value, grads}, err
}

// our and their are the convolution with bias as this package and as Gorgonia have it.
func (g geometry) our(x, w, b *G.Node) (*G.Node, error) { return ops.Conv2D(x, w, b, g.params) }

func (g geometry) their(x, w, b *G.Node) (*G.Node, error) {
	p := g.params
	y, err := G.Conv2d(x, w, tensor.Shape{g.conv.R, g.conv.S}, []int{p.Pad.Top, p.Pad.Left}, []int{p.Stride.H, p.Stride.W}, []int{p.Dilation.H, p.Dilation.W})
	if err != nil {
		return nil, err
	}
	spread, err := G.Reshape(b, tensor.Shape{1, g.conv.K, 1, 1})
	if err != nil {
		return nil, err
	}
	return G.BroadcastAdd(y, spread, nil, []byte{0, 2, 3})
}

// A bound is how far two computations of the same sums may be apart.
//
// A sum of n products, computed in any order, fused or not, is off by at most γ_n·Σ|products| with
// γ_n = n·u/(1 − n·u): each product is rounded once and passes through at most n − 1 sums (Higham,
// Accuracy and Stability of Numerical Algorithms, 2002, §3.1). Products with padding are zeros,
// which add no error, so n counts the products inside the image. The bias makes it one sum more,
// γ_(n+1), with its magnitude among those summed. Two such computations differ by at most
// 2·γ_(n+1)·Σ. The Σ here is itself rounded in float64, with a relative error below γ_n in that
// type; 2·γ_(n+2) is enough for that, since γ_n·γ_(n+1) is far below u for the n ≤ 1000 here. The
// operands are uniform in (−1, 1): no product of two that are not zero underflows but with a
// probability below 10⁻³⁰.
func bound(n int, sum, unit float64) float64 {
	m := float64(n + 2)
	return 2 * m * unit / (1 - m*unit) * sum
}

// bounds are the bounds of y and of the three gradients.
func bounds[T kernel.Float](g kernel.Conv, d data[T], unit float64) [][]float64 {
	sums := [][]float64{make([]float64, g.YLen()), make([]float64, g.XLen()), make([]float64, g.WLen()), make([]float64, g.K)}
	n := [][]int{make([]int, g.YLen()), make([]int, g.XLen()), make([]int, g.WLen()), make([]int, g.K)}
	term := func(of, i int, v float64) { sums[of][i] += math.Abs(v); n[of][i]++ }
	g.Taps(func(yi, xi, wi int) {
		x, w, dy := float64(d.x[xi]), float64(d.w[wi]), float64(d.dy[yi])
		term(0, yi, x*w)
		term(1, xi, dy*w)
		term(2, wi, dy*x)
	})
	for i, dy := range d.dy {
		k := i / (g.P * g.Q) % g.K
		sums[0][i] += math.Abs(float64(d.b[k]))
		term(3, k, float64(dy))
	}
	for of := range sums {
		for i := range sums[of] {
			sums[of][i] = bound(n[of][i], sums[of][i], unit)
		}
	}
	return sums
}

// drawn is how many geometries the tests below take.
func drawn() int {
	if testing.Short() {
		return 40
	}
	return 220
}

var parts = []string{"y", "dx", "dw", "db"}

func (r result[T]) all() [][]T { return append([][]T{r.y}, r.grads...) }

// Conv2D equals Gorgonia's Conv2d with BroadcastAdd, and its three gradients equal Gorgonia's, in
// every machine, to the rounding of the sums.
func TestConv2DEqualsBuiltIn(t *testing.T) {
	const seed = 41
	t.Logf("seed %d, %d geometries", seed, drawn())
	t.Run("float32", func(t *testing.T) { testEqualsBuiltIn[float32](t, seed, 0x1p-24) })
	t.Run("float64", func(t *testing.T) { testEqualsBuiltIn[float64](t, seed, 0x1p-53) })
}

func testEqualsBuiltIn[T kernel.Float](t *testing.T, seed uint64, unit float64) {
	r := rand.New(rand.NewPCG(seed, 0))
	worst, elements := 0.0, 0
	for _, g := range draw(r, drawn(), true) {
		d := data[T]{uniform[T](r, g.conv.XLen()), uniform[T](r, g.conv.WLen()), uniform[T](r, g.conv.K), uniform[T](r, g.conv.YLen())}
		limit := bounds(g.conv, d, unit)
		for _, theirMachine := range []string{tape, lisp} {
			want, err := runConv(g, theirMachine, g.their, d)
			if err != nil {
				t.Fatalf("%v: Gorgonia's Conv2d under %s: %v", g, theirMachine, err)
			}
			for _, machine := range machines {
				got, err := runConv(g, machine, g.our, d)
				if err != nil {
					t.Fatalf("%v: Conv2D under %s: %v", g, machine, err)
				}
				for of, part := range parts {
					i, share := apart(got.all()[of], want.all()[of], limit[of])
					if !(share <= 1) {
						t.Errorf("%v: %s under %s: element %d is %v, Gorgonia's Conv2d has %v under %s, a difference %.3g times what rounding can make",
							g, part, machine, i, got.all()[of][i], want.all()[of][i], theirMachine, share)
					}
					elements += len(limit[of])
					worst = max(worst, share)
				}
			}
		}
	}
	t.Logf("%d elements compared, the largest difference is %.2f of its bound", elements, worst)
	if worst == 0 {
		t.Error("no two results differ in any bit: are they two computations?")
	}
}

// apart returns the element at which two results differ most in proportion to their bound, and that
// proportion: +Inf if they cannot be compared.
func apart[T kernel.Float](got, want []T, limit []float64) (at int, share float64) {
	if len(got) != len(want) || len(got) != len(limit) {
		return 0, math.Inf(1)
	}
	for i := range got {
		e := math.Abs(float64(got[i]) - float64(want[i]))
		switch {
		case e == 0:
			continue
		case !(e <= limit[i]*math.MaxFloat32): // a NaN, or a bound of 0
			return i, math.Inf(1)
		}
		if s := e / limit[i]; s > share {
			at, share = i, s
		}
	}
	return at, share
}

// The comparison notices a convolution that is wrong in a small way: in every geometry in which the
// mistake can show, some element is far beyond its bound.
func TestBuiltInComparisonNoticesMistakes(t *testing.T) {
	const seed = 43
	t.Logf("seed %d", seed)
	unpadded := func(g kernel.Conv) bool { return g.Rows.Before == 0 && g.Cols.Before == 0 }
	for _, m := range []struct {
		name    string
		parts   []int // of the result, that it must show in
		applies func(g kernel.Conv) bool
		plant   func(p *ops.ConvParams, d *data[float32])
	}{
		{"filters flipped", []int{0, 1, 2}, func(g kernel.Conv) bool { return g.R > 1 && unpadded(g) }, func(p *ops.ConvParams, _ *data[float32]) { p.Flip = true }},
		{"padding off by one", []int{0, 1, 2}, func(g kernel.Conv) bool {
			return g.Rows.Before > 0 && g.Rows.Stride == 1 && g.Rows.Dilation == 1 && g.Cols.Before == 0
		}, func(p *ops.ConvParams, _ *data[float32]) { p.Pad.Top--; p.Pad.Bottom++ }},
		{"bias of the next filter", []int{0}, func(kernel.Conv) bool { return true }, func(_ *ops.ConvParams, d *data[float32]) { d.b = append(append([]float32(nil), d.b[1:]...), d.b[0]) }},
		{"one weight off by a thousandth", []int{0, 1}, unpadded, func(_ *ops.ConvParams, d *data[float32]) {
			d.w = append([]float32(nil), d.w...)
			d.w[0] += 1e-3
		}},
		{"cotangent of one element lost", []int{1, 2, 3}, unpadded, func(_ *ops.ConvParams, d *data[float32]) {
			d.dy = append([]float32(nil), d.dy...)
			d.dy[0] = 0
		}},
	} {
		r := rand.New(rand.NewPCG(seed, 0))
		applied := 0
		for _, g := range draw(r, 600, true) {
			if !m.applies(g.conv) || applied == 15 {
				continue
			}
			applied++
			d := data[float32]{uniform[float32](r, g.conv.XLen()), uniform[float32](r, g.conv.WLen()), uniform[float32](r, g.conv.K), uniform[float32](r, g.conv.YLen())}
			limit := bounds(g.conv, d, 0x1p-24)
			want, err := runConv(g, tape, g.their, d)
			if err != nil {
				t.Fatal(err)
			}
			wrong := g
			m.plant(&wrong.params, &d)
			got, err := runConv(wrong, tape, wrong.our, d)
			if err != nil {
				t.Fatal(err)
			}
			for _, of := range m.parts {
				if i, share := apart(got.all()[of], want.all()[of], limit[of]); share <= 1 {
					t.Errorf("%s: %v: %s: not noticed, at worst %.2f of the bound at element %d", m.name, g, parts[of], share, i)
				}
			}
		}
		if applied < 5 {
			t.Errorf("%s: %d geometries in which it can show, want more", m.name, applied)
		}
	}
}

// On integers whose sums a float holds exactly, Conv2D and its gradients equal the reference loop
// over the article's sums, element for element: with four-sided padding, groups and flipped filters
// too.
func TestConv2DEqualsReferenceExactly(t *testing.T) {
	const seed = 42
	t.Logf("seed %d, %d geometries of each kind", seed, drawn())
	t.Run("float32", func(t *testing.T) { testEqualsReference[float32](t, seed) })
	t.Run("float64", func(t *testing.T) { testEqualsReference[float64](t, seed) })
}

func testEqualsReference[T kernel.Float](t *testing.T, seed uint64) {
	r := rand.New(rand.NewPCG(seed, 0))
	for _, g := range append(draw(r, drawn(), true), draw(r, drawn(), false)...) {
		c := g.conv
		// |sums| ≤ 9·(terms ≤ 3·9·10·4·3·4) + 9 < 2²⁴.
		d := data[T]{integers[T](r, c.XLen(), 3), integers[T](r, c.WLen(), 3), integers[T](r, c.K, 9), integers[T](r, c.YLen(), 3)}
		want := [][]T{make([]T, c.YLen()), make([]T, c.XLen()), make([]T, c.WLen()), make([]T, c.K)}
		kernel.RefForward(c, want[0], d.x, d.w)
		kernel.RefAddBias(c, want[0], d.b)
		kernel.RefBackwardData(c, want[1], d.dy, d.w)
		kernel.RefBackwardFilter(c, want[2], d.dy, d.x)
		kernel.RefBackwardBias(c, want[3], d.dy)
		for _, machine := range machines {
			got, err := runConv(g, machine, g.our, d)
			if err != nil {
				t.Fatalf("%v: Conv2D under %s: %v", g, machine, err)
			}
			for of, part := range parts {
				equal(t, fmt.Sprintf("%v: %s under %s", g, part, machine), got.all()[of], want[of])
			}
		}
	}
}
