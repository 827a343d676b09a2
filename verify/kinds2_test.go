package verify_test

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/pkg/errors"
	G "gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/convgrad/convgrad/verify"
)

// simple is a curve by float64 functions, rounded to float32 for the other type.
func simple(name string, f func(x float64) float64, d func(x, y float64) float64) *op {
	return both(name, 1, curve(f, d), curve(
		func(x float32) float32 { return float32(f(float64(x))) },
		func(x, y float32) float32 { return float32(d(float64(x), float64(y))) }))
}

// fixed are values of a caller's own.
func fixed(v ...float64) verify.Input {
	return verify.Input{Name: "x", Shape: tensor.Shape{len(v)}, Draw: func(_ *rand.Rand, d []float64) {
		for i := range d {
			d[i] = v[i%len(v)]
		}
	}}
}

func moreRightOps() map[string]kindCase {
	x := func(shape ...int) verify.Input { return verify.Normal("x", shape...) }
	sign := func(x float64) float64 {
		switch {
		case x > 0:
			return 1
		case x < 0:
			return -1
		}
		return 0
	}
	row := func(name string, f func(x []float64) []float64, d func(x, y, dy []float64) []float64, out func([]tensor.Shape) (tensor.Shape, error)) *op {
		wide := func(x []float32) []float64 {
			var v []float64
			for _, e := range x {
				v = append(v, float64(e))
			}
			return v
		}
		slim := func(x []float64) []float32 {
			var v []float32
			for _, e := range x {
				v = append(v, float32(e))
			}
			return v
		}
		o := both(name, 1, rowRule(f, d), rowRule(func(x []float32) []float32 { return slim(f(wide(x))) },
			func(x, y, dy []float32) []float32 { return slim(d(wide(x), wide(y), wide(dy))) }))
		o.out = out
		return o
	}
	median := row("median", func(x []float64) []float64 {
		s := slices.Clone(x)
		slices.Sort(s)
		return []float64{s[(len(s)-1)/2]}
	}, func(x, y, dy []float64) []float64 {
		dx := make([]float64, len(x))
		dx[slices.Index(x, y[0])] = dy[0]
		return dx
	}, firstOf)
	logsum := row("logsumexp", func(x []float64) []float64 {
		m, s := slices.Max(x), 0.0
		for _, v := range x {
			s += math.Exp(v - m)
		}
		return []float64{m + math.Log(s)}
	}, func(x, y, dy []float64) []float64 {
		dx := make([]float64, len(x))
		for i, v := range x {
			dx[i] = dy[0] * math.Exp(v-y[0])
		}
		return dx
	}, firstOf)
	cumsum := row("cumsum", func(x []float64) []float64 {
		y, s := slices.Clone(x), 0.0
		for i := range y {
			s += y[i]
			y[i] = s
		}
		return y
	}, func(_, _, dy []float64) []float64 {
		dx, s := slices.Clone(dy), 0.0
		for i := len(dx) - 1; i >= 0; i-- {
			s += dx[i]
			dx[i] = s
		}
		return dx
	}, nil)
	unit := row("x/‖x‖", func(x []float64) []float64 {
		s, y := 0.0, slices.Clone(x)
		for _, v := range x {
			s += v * v
		}
		for i := range y {
			y[i] /= math.Sqrt(s)
		}
		return y
	}, func(x, y, dy []float64) []float64 {
		s, p, dx := 0.0, 0.0, slices.Clone(dy)
		for i, v := range x {
			s += v * v
			p += y[i] * dy[i]
		}
		for i := range dx {
			dx[i] = (dy[i] - y[i]*p) / math.Sqrt(s)
		}
		return dx
	}, nil)
	variation := row("Σ|xᵢ₊₁−xᵢ|", func(x []float64) []float64 {
		s := 0.0
		for i := range len(x) - 1 {
			s += math.Abs(x[i+1] - x[i])
		}
		return []float64{s}
	}, func(x, _, dy []float64) []float64 {
		dx := make([]float64, len(x))
		for i := range len(x) - 1 {
			g := sign(x[i+1]-x[i]) * dy[0]
			dx[i+1] += g
			dx[i] -= g
		}
		return dx
	}, firstOf)
	layer := row("layer norm", func(x []float64) []float64 {
		m, s, y := 0.0, 0.0, slices.Clone(x)
		for _, v := range x {
			m += v / float64(len(x))
		}
		for _, v := range x {
			s += (v - m) * (v - m) / float64(len(x))
		}
		for i := range y {
			y[i] = (x[i] - m) / math.Sqrt(s+1e-5)
		}
		return y
	}, func(x, y, dy []float64) []float64 {
		m, s, a, b, dx := 0.0, 0.0, 0.0, 0.0, slices.Clone(x)
		n := float64(len(x))
		for _, v := range x {
			m += v / n
		}
		for i, v := range x {
			s += (v - m) * (v - m) / n
			a, b = a+dy[i]/n, b+dy[i]*y[i]/n
		}
		for i := range dx {
			dx[i] = (dy[i] - a - y[i]*b) / math.Sqrt(s+1e-5)
		}
		return dx
	}, nil)
	return map[string]kindCase{
		"acos":             one(simple("acos", math.Acos, func(x, _ float64) float64 { return -1 / math.Sqrt(1-x*x) }), verify.Uniform("x", -0.9, 0.9, 2, 3)),
		"acos to the edge": one(simple("acos", math.Acos, func(x, _ float64) float64 { return -1 / math.Sqrt(1-x*x) }), verify.Uniform("x", -1, 1, 4, 3)),
		"log":              one(simple("log", math.Log, func(x, _ float64) float64 { return 1 / x }), verify.Uniform("x", 0.1, 1, 2, 3)),
		"log to 0":         one(simple("log", math.Log, func(x, _ float64) float64 { return 1 / x }), verify.Uniform("x", 0, 1, 5, 5)),
		"1/x":              one(simple("1/x", func(x float64) float64 { return 1 / x }, func(_, y float64) float64 { return -y * y }), x(3, 3)),
		"1/x²":             one(simple("1/x²", func(x float64) float64 { return 1 / (x * x) }, func(x, y float64) float64 { return -2 * y / x }), x(3, 3)),
		"floor":            one(simple("floor", math.Floor, func(_, _ float64) float64 { return 0 }), x(2, 3)),
		"sign":             one(simple("sign", sign, func(_, _ float64) float64 { return 0 }), x(2, 3)),
		"clamp":            one(simple("clamp", func(x float64) float64 { return max(-1, min(1, x)) }, func(x, _ float64) float64 { return pick(x >= -1 && x <= 1, 1.0, 0) }), x(2, 3)),
		"hardswish":        one(simple("hardswish", func(x float64) float64 { return x * max(0, min(6, x+3)) / 6 }, func(x, _ float64) float64 { return pick(x <= -3, 0, pick(x >= 3, 1, (2*x+3)/6)) }), x(2, 3)),
		"gelu": one(simple("gelu", func(x float64) float64 { return x * 0.5 * math.Erfc(-x/math.Sqrt2) }, func(x, _ float64) float64 {
			return 0.5*math.Erfc(-x/math.Sqrt2) + x*math.Exp(-x*x/2)/math.Sqrt(2*math.Pi)
		}), x(2, 3)),
		"sinc":              one(simple("sinc", func(x float64) float64 { return pick(x == 0, 1, math.Sin(x)/x) }, func(x, y float64) float64 { return pick(x == 0, 0, (math.Cos(x)-y)/x) }), x(2, 3)),
		"|x|":               one(simple("abs", math.Abs, func(x, _ float64) float64 { return sign(x) }), x(2, 3)),
		"√|x|":              one(simple("√|x|", func(x float64) float64 { return math.Sqrt(math.Abs(x)) }, func(x, y float64) float64 { return sign(x) / (2 * y) }), x(2, 3)),
		"x³":                one(simple("x³", func(x float64) float64 { return x * x * x }, func(x, _ float64) float64 { return 3 * x * x }), x(2, 3)),
		"x^1.5":             one(simple("x^1.5", func(x float64) float64 { return math.Pow(x, 1.5) }, func(x, _ float64) float64 { return 1.5 * math.Sqrt(x) }), verify.Uniform("x", 0, 2, 2, 3)),
		"cos ×50":           one(simple("cos50", func(x float64) float64 { return math.Cos(50 * x) }, func(x, _ float64) float64 { return -50 * math.Sin(50*x) }), x(2, 3)),
		"x log x":           one(simple("xlogx", func(x float64) float64 { return pick(x == 0, 0, x*math.Log(x)) }, func(x, _ float64) float64 { return math.Log(x) + 1 }), verify.Uniform("x", 0, 1, 2, 3)),
		"median":            one(median, x(2, 5)),
		"logsumexp":         one(logsum, x(2, 4)),
		"cumsum":            one(cumsum, x(2, 4)),
		"x/‖x‖":             one(unit, x(2, 4)),
		"total variation":   one(variation, x(2, 5)),
		"layer norm":        one(layer, x(3, 4)),
		"layer norm at 1e3": one(layer, verify.Uniform("x", 1000, 1001, 3, 4)),
		"float32 alone":     {func(in []*G.Node) (*G.Node, error) { return single.build(in) }, []verify.Input{x(2, 3)}},
		"tanh of Gorgonia":  {func(in []*G.Node) (*G.Node, error) { return G.Tanh(in[0]) }, []verify.Input{x(2, 3)}},
		"two of Gorgonia's": {func(in []*G.Node) (*G.Node, error) {
			y, err := G.HadamardProd(in[0], in[1])
			if err != nil {
				return nil, err
			}
			return G.Sigmoid(y)
		}, []verify.Input{x(2, 3), verify.Normal("w", 2, 3)}},
		"Gorgonia's sum of products": {func(in []*G.Node) (*G.Node, error) {
			y, err := G.HadamardProd(in[0], in[1])
			if err != nil {
				return nil, err
			}
			return G.Sum(y)
		}, []verify.Input{x(2, 3), verify.Normal("w", 2, 3)}},
		"Gorgonia's reshape within": {func(in []*G.Node) (*G.Node, error) {
			y, err := tanhOf.build(in)
			if err != nil {
				return nil, err
			}
			return G.Reshape(y, tensor.Shape{y.Shape().TotalSize()})
		}, []verify.Input{x(2, 3)}},
		"fixed table": one(tabled, x(2, 3)),
	}
}

var single = func() *op {
	o := both("single", 1, rule[float64]{}, curve(tanh[float32], func(_, y float32) float32 { return 1 - y*y }))
	o.wide = nil
	return o
}()

var tanhOf = simple("tanh of", math.Tanh, func(_, y float64) float64 { return 1 - y*y })

// tabled has a table of three weights, and panics beyond.
var tabled = func() *op {
	w := []float64{1, 2, 3}
	r := rowRule(func(x []float64) []float64 {
		y := slices.Clone(x)
		for i := range y {
			y[i] *= w[i]
		}
		return y
	}, func(_, _, dy []float64) []float64 {
		dx := slices.Clone(dy)
		for i := range dx {
			dx[i] *= w[i]
		}
		return dx
	})
	o := both("tabled", 1, r, rule[float32]{})
	o.slim = nil
	return o
}()

// counted is an op that counts its runs, and those of its gradient.
func counted(o *op, runs *int) *op {
	c := *o
	count := func(f func(in []shaped[float64]) []float64) func(in []shaped[float64]) []float64 {
		return func(in []shaped[float64]) []float64 {
			if len(in[0].v) > 2000 {
				*runs++
			}
			return f(in)
		}
	}
	w := *o.wide
	w.f = count(w.f)
	d := w.d
	w.d = func(i int, in []shaped[float64], y, dy []float64) []float64 {
		if len(in[0].v) > 2000 {
			*runs++
		}
		return d(i, in, y, dy)
	}
	c.wide = &w
	return &c
}

// Large inputs cost a bounded number of runs, whether the rule is right or wrong.
func TestRunsAreBounded(t *testing.T) {
	n := func(n int) int { return n }
	for name, c := range map[string]struct {
		o  *op
		in verify.Input
	}{
		"batch norm 1000×3":            {norm("norm", n), verify.Normal("x", 1000, 3)},
		"batch norm 1000×3, wrong":     {norm("norm n−1", func(n int) int { return n + 50 }), verify.Normal("x", 1000, 3)},
		"relu 60×60":                   {relu(0), verify.Normal("x", 60, 60)},
		"relu 60×60, wrong":            {relu(7), verify.Integers("x", 3, 60, 60)},
		"convolution 8×32×32":          {blur(1), verify.Normal("x", 1, 8, 32, 32)},
		"convolution 8×32×32, wrong":   {blur(1.01), verify.Normal("x", 1, 8, 32, 32)},
		"batch norm, wrong second one": {second(norm("norm second", n)), verify.Normal("x", 1000, 3)},
	} {
		runs := 0
		began := time.Now()
		r, err := verify.Case{Build: counted(c.o, &runs).build, Inputs: []verify.Input{c.in}, Seed: 1}.Check()
		if err != nil {
			t.Fatal(err)
		}
		t.Log(name, runs, "runs", time.Since(began), r.Failed())
		if runs > 1200 {
			t.Errorf("%s: %d runs of large inputs", name, runs)
		}
	}
}

// second offers a second derivative that is wrong, or rather one of dy alone.
func second(o *op) *op {
	o.wrt = []bool{false, false, true}
	o.second = func(x, dy, g *G.Node) (G.Nodes, error) { return G.Nodes{nil, nil, g}, nil }
	return o
}

// blur is a convolution of planes with a 3×3 filter; the gradient is factor times the right one.
func blur(factor float64) *op {
	taps := func(in shaped[float64], each func(o, i int, w float64)) {
		h, w := in.s[2], in.s[3]
		for k := range in.s[0] * in.s[1] {
			for p := range h {
				for q := range w {
					for a := -1; a <= 1; a++ {
						for b := -1; b <= 1; b++ {
							if p+a >= 0 && p+a < h && q+b >= 0 && q+b < w {
								each((k*h+p)*w+q, (k*h+p+a)*w+q+b, float64(3*a+b+7))
							}
						}
					}
				}
			}
		}
	}
	o := both("blur", 1, rule[float64]{
		f: func(in []shaped[float64]) []float64 {
			y := make([]float64, len(in[0].v))
			taps(in[0], func(o, i int, w float64) { y[o] += w * in[0].v[i] })
			return y
		},
		d: func(_ int, in []shaped[float64], _, dy []float64) []float64 {
			dx := make([]float64, len(dy))
			taps(in[0], func(o, i int, w float64) { dx[i] += factor * w * dy[o] })
			return dx
		}}, rule[float32]{})
	o.slim = nil
	o.out = func(in []tensor.Shape) (tensor.Shape, error) {
		if len(in[0]) != 4 {
			return nil, errors.New("want four axes")
		}
		return in[0].Clone(), nil
	}
	return o
}
