package verify_test

import (
	"maps"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	G "gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/convgrad/convgrad/verify"
)

type kindCase struct {
	build  verify.Build
	inputs []verify.Input
}

func one(o *op, in ...verify.Input) kindCase { return kindCase{o.build, in} }

// rightOps are right rules that are hard to judge.
func rightOps() map[string]kindCase {
	x := func(shape ...int) verify.Input { return verify.Normal("x", shape...) }
	wide := func(scale float64, shape ...int) verify.Input {
		return verify.Input{Name: "x", Shape: shape, Draw: func(r *rand.Rand, v []float64) {
			for i := range v {
				v[i] = scale * (2*r.Float64() - 1)
			}
		}}
	}
	at := func(v ...float64) verify.Input {
		return verify.Input{Name: "x", Shape: tensor.Shape{len(v)}, Draw: func(_ *rand.Rand, d []float64) {
			for i := range d {
				d[i] = v[i%len(v)]
			}
		}}
	}
	sigmoid64 := func(x float64) float64 { return 1 / (1 + math.Exp(-x)) }
	sigmoid32 := func(x float32) float32 { return 1 / (1 + exp(-x)) }
	expo := both("exp", 1, curve(exp[float64], func(_, y float64) float64 { return y }), curve(exp[float32], func(_, y float32) float32 { return y }))
	sigm := both("sigmoid", 1, curve(sigmoid64, func(_, y float64) float64 { return y * (1 - y) }), curve(sigmoid32, func(_, y float32) float32 { return y * (1 - y) }))
	soft := both("softplus", 1,
		curve(func(x float64) float64 { return max(x, 0) + math.Log1p(math.Exp(-math.Abs(x))) }, func(x, _ float64) float64 { return sigmoid64(x) }),
		curve(func(x float32) float32 { return max(x, 0) + float32(math.Log1p(math.Exp(-math.Abs(float64(x))))) }, func(x, _ float32) float32 { return sigmoid32(x) }))
	root := both("root", 1,
		rule[float64]{}, rule[float32]{})
	*root.wide, *root.slim = rootRule[float64](), rootRule[float32]()
	shift := both("shift", 1, curve(func(x float64) float64 { return x + 1 }, func(_, _ float64) float64 { return 1 }), curve(func(x float32) float32 { return x + 1 }, func(_, _ float32) float32 { return 1 }))
	huber := both("huber", 1, curve(huberOf[float64], func(x, _ float64) float64 { return max(-1, min(1, x)) }), curve(huberOf[float32], func(x, _ float32) float32 { return max(-1, min(1, x)) }))
	elu := both("elu", 1,
		curve(func(x float64) float64 { return pick(x > 0, x, math.Expm1(x)) }, func(x, y float64) float64 { return pick(x > 0, 1, y+1) }),
		curve(func(x float32) float32 { return pick(x > 0, x, float32(math.Expm1(float64(x)))) }, func(x, y float32) float32 { return pick(x > 0, 1, y+1) }))
	poly := both("(x−1)⁷", 1, curve(seventh[float64], func(x, _ float64) float64 { return 7 * math.Pow(x-1, 6) }), curve(seventh[float32], func(x, _ float32) float32 { return 7 * float32(math.Pow(float64(x-1), 6)) }))
	quant := both("quantiser", 1, curve(func(x float64) float64 { return math.Round(x*1000) / 1000 }, func(_, _ float64) float64 { return 0 }), curve(func(x float32) float32 { return float32(math.Round(float64(x)*1000) / 1000) }, func(_, _ float32) float32 { return 0 }))
	alone := both("float64 alone", 1, curve(tanh[float64], func(_, y float64) float64 { return 1 - y*y }), rule[float32]{})
	alone.slim = nil
	plain := both("plain", 1, curve(tanh[float64], func(_, y float64) float64 { return 1 - y*y }), curve(tanh[float32], func(_, y float32) float32 { return 1 - y*y }))
	plain.plain = true
	identity := func(k, _, w int) (int, int) { return k / w, k % w }
	n := func(n int) int { return n }
	thirds := func(k, _ int) float64 { return 1 / float64(k) }
	thirds32 := func(k, _ int) float32 { return 1 / float32(k) }
	first := func(_, nth int) float64 { return pick(nth == 0, 1.0, 0) }
	first32 := func(_, nth int) float32 { return pick(nth == 0, float32(1), 0) }
	signed := both("x|x|", 1, curve(func(x float64) float64 { return x * math.Abs(x) }, func(x, _ float64) float64 { return 2 * math.Abs(x) }), curve(func(x float32) float32 { return x * absolute(x) }, func(x, _ float32) float32 { return 2 * absolute(x) }))
	squared := both("relu²", 1, curve(func(x float64) float64 { return max(x, 0) * max(x, 0) }, func(x, _ float64) float64 { return 2 * max(x, 0) }), curve(func(x float32) float32 { return max(x, 0) * max(x, 0) }, func(x, _ float32) float32 { return 2 * max(x, 0) }))
	// the second derivative on one side of the joint
	for _, o := range []*op{huber, signed, squared} {
		o.wrt = []bool{true, false, true}
		name := o.name
		o.second = func(x, dy, g *G.Node) (G.Nodes, error) { return secondOf(name, x, dy, g) }
	}
	length := func() *op { return mirrored(both("length", 1, lengthRule(0.0), lengthRule(float32(0))), firstOf) }
	cases := map[string]kindCase{
		"exp ±80":              one(expo, wide(80, 2, 3)),
		"exp ±120":             one(expo, wide(120, 2, 3)),
		"exp":                  one(expo, x(2, 3)),
		"sigmoid":              one(sigm, x(2, 3)),
		"sigmoid ±80":          one(sigm, wide(80, 2, 3)),
		"softplus":             one(soft, x(2, 3)),
		"softplus ±100":        one(soft, wide(100, 2, 3)),
		"softmax":              one(both("softmax", 1, softmaxRule[float64](), softmaxRule[float32]()), x(2, 3)),
		"softmax ±500":         one(both("softmax", 1, softmaxRule[float64](), softmaxRule[float32]()), wide(500, 2, 3)),
		"log-softmax":          one(both("log-softmax", 1, logSoftmaxRule[float64](), logSoftmaxRule[float32]()), x(2, 3)),
		"log-softmax ±100":     one(both("log-softmax", 1, logSoftmaxRule[float64](), logSoftmaxRule[float32]()), wide(100, 2, 3)),
		"entropy":              one(mirrored(both("entropy", 1, entropyRule[float64](), entropyRule[float32]()), firstOf), x(2, 3)),
		"confident entropy":    one(mirrored(both("entropy", 1, entropyRule[float64](), entropyRule[float32]()), firstOf), confident(2, 3)),
		"root, error outside":  one(root, verify.Uniform("x", 0, 1, 2, 3)),
		"root at 1e-6":         one(root, at(1e-6)),
		"float64 alone":        one(alone, x(2, 3)),
		"a float64 constant":   {func(in []*G.Node) (*G.Node, error) { return G.Add(in[0], G.NewConstant(1.5)) }, []verify.Input{x(2, 3)}},
		"plain memory":         one(plain, x(2, 3)),
		"sort, ties of three":  one(both("sort", 1, sortRule[float64](), sortRule[float32]()), verify.Integers("x", 1, 2, 5)),
		"sort":                 one(both("sort", 1, sortRule[float64](), sortRule[float32]()), x(2, 5)),
		"overlapping pool":     one(pool("pool", 2, 1, identity), verify.Integers("x", 2, 1, 1, 4, 5)),
		"pool":                 one(pool("pool", 2, 2, identity), x(1, 1, 4, 4)),
		"(x−1)⁷":               one(poly, verify.Uniform("x", 0.9, 1.1, 2, 3)),
		"(x−1)⁷, wide":         one(poly, x(2, 3)),
		"quantiser":            one(quant, x(2, 3)),
		"huber at its joint":   one(huber, at(-1, 0.5, 1, 2)),
		"huber":                one(huber, x(2, 3)),
		"elu at 0":             one(elu, at(0, -1, 2)),
		"x|x| at 0":            one(signed, at(0, 1)),
		"relu² at 0":           one(squared, at(0, -1, 2)),
		"relu 0 at 0":          one(relu(0), at(0)),
		"relu ½ at 0":          one(relu(0.5), at(0)),
		"relu 1 at 0":          one(relu(1), at(0, 1, -1)),
		"relu":                 one(relu(0), x(2, 3)),
		"max, thirds":          one(mirrored(both("max", 1, maxRule(thirds), maxRule(thirds32)), firstOf), verify.Integers("x", 1, 3, 4)),
		"max, the first":       one(mirrored(both("max", 1, maxRule(first), maxRule(first32)), firstOf), verify.Integers("x", 1, 3, 4)),
		"max":                  one(mirrored(both("max", 1, maxRule(first), maxRule(first32)), firstOf), x(3, 4)),
		"the greater, ½":       one(pairs("greater", 0.5, 0.5), verify.Integers("x", 1, 2, 3), verify.Integers("w", 1, 2, 3)),
		"the greater, 0 and 1": one(pairs("greater", 0, 1), x(2, 3), verify.Normal("w", 2, 3)),
		"length":               one(length(), x(2, 3)),
		"normalised":           one(norm("norm", n), x(6, 3)),
		"normalised at 1e4":    one(norm("norm", n), verify.Uniform("x", 1e4, 1e4+1, 8, 3)),
		"cumulative product":   one(both("product", 1, productRule[float64](false), productRule[float32](false)), x(2, 4)),
		"gather":               one(gather("gather", -1), x(4, 1), verify.Labels("rows", 4, 2)),
		"enlarged":             one(up("up", 8), x(2, 4)),
		"Gorgonia's Mul within": {func(in []*G.Node) (*G.Node, error) {
			y, err := shift.build(in[:1])
			if err != nil {
				return nil, err
			}
			return G.Mul(y, in[1])
		}, []verify.Input{x(2, 3), verify.Normal("w", 3, 4)}},
		"batch of 1000": one(norm("norm", n), x(1000, 3)),
	}
	return cases
}

func rootRule[T real]() rule[T] {
	r := curve(sqrt[T], func(_, y T) T { return 0.5 / y })
	f := r.f
	r.f = func(in []shaped[T]) []T {
		for _, v := range in[0].v {
			if v < 0 {
				return nil
			}
		}
		return f(in)
	}
	return r
}

func huberOf[T real](x T) T {
	if a := absolute(x); a > 1 {
		return a - 0.5
	}
	return x * x / 2
}

func seventh[T real](x T) T {
	y := T(0)
	for _, c := range []T{1, -7, 21, -35, 35, -21, 7, -1} {
		y = y*x + c
	}
	return y
}

// secondOf differentiates the gradients of huber, x|x| and relu² by x and dy, with graphs.
func secondOf(name string, x, dy, g *G.Node) (G.Nodes, error) {
	r := func(d2, d1 func(v float64) float64) (G.Nodes, error) {
		a := both(name+" d2", 1, curve(d2, func(_, _ float64) float64 { return 0 }), curve(func(v float32) float32 { return float32(d2(float64(v))) }, func(_, _ float32) float32 { return 0 }))
		b := both(name+" d1.", 1, curve(d1, func(_, _ float64) float64 { return 0 }), curve(func(v float32) float32 { return float32(d1(float64(v))) }, func(_, _ float32) float32 { return 0 }))
		p, err := a.build([]*G.Node{x})
		if err != nil {
			return nil, err
		}
		q, err := b.build([]*G.Node{x})
		if err != nil {
			return nil, err
		}
		if p, err = G.HadamardProd(p, g); err != nil {
			return nil, err
		}
		if p, err = G.HadamardProd(p, dy); err != nil {
			return nil, err
		}
		if q, err = G.HadamardProd(q, g); err != nil {
			return nil, err
		}
		return G.Nodes{p, nil, q}, nil
	}
	step := func(when bool, a, b float64) float64 { return pick(when, a, b) }
	switch name {
	case "huber":
		return r(func(v float64) float64 { return step(math.Abs(v) < 1, 1, 0) }, func(v float64) float64 { return max(-1, min(1, v)) })
	case "x|x|":
		return r(func(v float64) float64 { return 2 * step(v > 0, 1, -1) }, func(v float64) float64 { return 2 * math.Abs(v) })
	}
	return r(func(v float64) float64 { return step(v > 0, 2, 0) }, func(v float64) float64 { return 2 * max(v, 0) })
}

// confident are logits of which the first is 50 above the others.
func confident(n, m int) verify.Input {
	return verify.Input{Name: "x", Shape: tensor.Shape{n, m}, Draw: func(r *rand.Rand, v []float64) {
		for i := range v {
			if v[i] = r.NormFloat64(); i%m == 0 {
				v[i] += 50
			}
		}
	}}
}

// wrongOps are mistakes of the kinds that people made, with nothing declared.
func wrongOps() map[string]kindCase {
	x := func(shape ...int) verify.Input { return verify.Normal("x", shape...) }
	// its gradient has y for an argument, and rightly no derivative in it
	tanhOp := func(second float64) *op {
		o := both("tanh", 1,
			curve(tanh[float64], func(x, _ float64) float64 { y := tanh(x); return 1 - y*y }),
			curve(tanh[float32], func(x, _ float32) float32 { y := tanh(x); return 1 - y*y }))
		o.wrt = []bool{true, false, false}
		o.second = func(x, dy, g *G.Node) (G.Nodes, error) {
			t := both("tanh''", 1, curve(func(x float64) float64 { y := math.Tanh(x); return second * y * (1 - y*y) }, func(_, _ float64) float64 { return 0 }),
				curve(func(x float32) float32 { y := tanh(x); return float32(second) * y * (1 - y*y) }, func(_, _ float32) float32 { return 0 }))
			d, err := t.build([]*G.Node{x})
			if err == nil {
				d, err = G.HadamardProd(d, dy)
			}
			if err == nil {
				d, err = G.HadamardProd(d, g)
			}
			return G.Nodes{d, nil, nil}, err
		}
		return o
	}
	kept := gather("gather kept", -1)
	kept.keeps = true
	raw := both("raw", 1, curve(tanh[float64], func(_, y float64) float64 { return 1 - y*y }), curve(tanh[float32], func(_, y float32) float32 { return 1 - y*y }))
	raw.raw = true
	all := func(_, _ int) float64 { return 1 }
	all32 := func(_, _ int) float32 { return 1 }
	overs := both("e^x/(1+e^x)", 1,
		curve(func(x float64) float64 { return max(x, 0) + math.Log1p(math.Exp(-math.Abs(x))) }, func(x, _ float64) float64 { return math.Exp(x) / (1 + math.Exp(x)) }),
		curve(func(x float32) float32 { return max(x, 0) + float32(math.Log1p(math.Exp(-math.Abs(float64(x))))) }, func(x, _ float32) float32 { return exp(x) / (1 + exp(x)) }))
	absOp := both("abs", 1,
		curve(math.Abs, func(x, _ float64) float64 { return pick(x > 0, 1.0, pick(x == 0, 5.0, -1)) }),
		curve(absolute[float32], func(x, _ float32) float32 { return pick(x > 0, float32(1), pick(x == 0, float32(5), -1)) }))
	return map[string]kindCase{
		"tanh, its second derivative": one(tanhOp(-1), x(1, 1)),
		"|x| as √(x²), 0/0 at 0":      one(simple("√x²", func(x float64) float64 { return math.Sqrt(x * x) }, func(x, y float64) float64 { return x / y }), x(2, 3)),
		"2x²/x, 0/0 at 0":             one(simple("2x²/x", func(x float64) float64 { return x * x }, func(x, y float64) float64 { return 2 * y / x }), x(2, 3)),
		"gather keeps its buffer":     one(kept, x(4, 1), verify.Labels("rows", 4, 2)),
		"N−1 at 1e4":                  one(norm("norm n−1", func(n int) int { return n - 1 }), verify.Uniform("x", 1e4, 1e4+1, 8, 3)),
		"dy's memory":                 one(raw, x(2, 2)),
		"5 at 0 of |x|":               one(absOp, x(1)),
		"max, all of a tie":           one(mirrored(both("max all", 1, maxRule(all), maxRule(all32)), firstOf), verify.Integers("x", 2, 2, 4)),
		"max, all of a tie, reals":    one(mirrored(both("max all", 1, maxRule(all), maxRule(all32)), firstOf), x(2, 4)),
		"relu 7 at 0":                 one(relu(7), x(1)),
		"relu −1 at 0":                one(relu(-1), x(2, 2)),
		"the greater, both":           one(pairs("greater", 1, 1), x(1), verify.Normal("w", 1)),
		"the greater, neither":        one(pairs("greater", 0, 0), x(2, 3), verify.Normal("w", 2, 3)),
		"pool, sides swapped":         one(pool("pool swapped", 2, 2, func(k, h, _ int) (int, int) { return k / h, k % h }), x(1, 1, 4, 4)),
		"cumulative product, divided": one(both("product /", 1, productRule[float64](true), productRule[float32](true)), x(2, 4)),
		"∞/∞ beyond 44":               one(overs, x(2, 3)),
		"enlarged, short reach":       one(up("up short", 3), x(2, 4)),
		"a row ignored":               one(gather("gather skips", 0), x(4, 2), verify.Labels("rows", 4, 3)),
		"beyond 768 rows": one(both("threshold", 1,
			rule[float64]{f: curve(tanh[float64], nil).f, d: thresholdRule[float64]}, rule[float32]{f: curve(tanh[float32], nil).f, d: thresholdRule[float32]}), x(4, 3)),
		"root at 1e-6, twice": one(both("2root", 1, curve(sqrt[float64], func(_, y float64) float64 { return 1 / y }), curve(sqrt[float32], func(_, y float32) float32 { return 1 / y })),
			verify.Input{Name: "x", Shape: tensor.Shape{1}, Draw: func(_ *rand.Rand, v []float64) { v[0] = 1e-6 }}),
	}
}

func thresholdRule[T real](_ int, in []shaped[T], y, dy []T) []T {
	dx := make([]T, len(y))
	for e := range y {
		if dx[e] = (1 - y[e]*y[e]) * dy[e]; in[0].s[0] > 768 {
			dx[e] *= 2
		}
	}
	return dx
}

func TestRightOpsPass(t *testing.T) {
	all := rightOps()
	maps.Copy(all, moreRightOps())
	for name, c := range all {
		t.Run(name, func(t *testing.T) {
			began := time.Now()
			told := &listener{}
			verify.Op(told, c.build, c.inputs...)
			if told.failed != "" {
				t.Error(told.failed)
			}
			t.Log(time.Since(began), told.logged)
		})
	}
}

func TestWrongOpsAreCaught(t *testing.T) {
	for name, c := range wrongOps() {
		t.Run(name, func(t *testing.T) {
			told := &listener{}
			verify.Op(told, c.build, c.inputs...)
			if told.failed == "" {
				r, _ := verify.Case{Build: c.build, Inputs: c.inputs, Seed: 1}.Check()
				t.Error("not caught:", r)
				return
			}
			lines := strings.SplitN(told.failed, "\n", 4)
			t.Log(strings.Join(lines[:min(3, len(lines))], "\n"))
		})
	}
}
