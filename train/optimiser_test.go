package train

import (
	"math"
	"math/big"
	"math/rand/v2"
	"reflect"
	"testing"

	"gorgonia.org/tensor"

	"github.com/convgrad/convgrad/model"
)

// rule is an optimizer's step for one weight, in numbers of 200 bits.
type rule func(w, g *big.Float, s []*big.Float, t int, rate *big.Float) *big.Float

func number(v float64) *big.Float    { return new(big.Float).SetPrec(200).SetFloat64(v) }
func add(a, b *big.Float) *big.Float { return new(big.Float).SetPrec(200).Add(a, b) }
func sub(a, b *big.Float) *big.Float { return new(big.Float).SetPrec(200).Sub(a, b) }
func mul(a, b *big.Float) *big.Float { return new(big.Float).SetPrec(200).Mul(a, b) }
func quo(a, b *big.Float) *big.Float { return new(big.Float).SetPrec(200).Quo(a, b) }
func root(a *big.Float) *big.Float   { return new(big.Float).SetPrec(200).Sqrt(a) }
func power(b float64, n int) *big.Float {
	p := number(1)
	for range n {
		p = mul(p, number(b))
	}
	return p
}

// TestOptimizersFollowTheirFormulas compares five steps with the published formulas in 200 bits. A
// step has at most twelve roundings, each relative to a term no larger than |w| + |rate·step|. The
// terms of s are all of one sign, except SGD's and Adam's averages of g, which lose no more than
// five steps' worth of the largest |g|.
func TestOptimizersFollowTheirFormulas(t *testing.T) {
	one := number(1)
	adam := func(w, g *big.Float, s []*big.Float, t int, rate *big.Float) *big.Float {
		*s[0] = *add(mul(number(0.9), s[0]), mul(sub(one, number(0.9)), g))
		*s[1] = *add(mul(number(0.999), s[1]), mul(sub(one, number(0.999)), mul(g, g)))
		m, v := quo(s[0], sub(one, power(0.9, t))), quo(s[1], sub(one, power(0.999, t)))
		return sub(w, mul(rate, quo(m, add(root(v), number(1e-8)))))
	}
	for name, c := range map[string]struct {
		o    Optimizer
		rule rule
	}{
		"sgd": {&SGD{}, func(w, g *big.Float, s []*big.Float, t int, rate *big.Float) *big.Float { return sub(w, mul(rate, g)) }},
		"momentum": {&SGD{Momentum: 0.9, Decay: 0.01}, func(w, g *big.Float, s []*big.Float, t int, rate *big.Float) *big.Float {
			*s[0] = *add(mul(number(0.9), s[0]), add(g, mul(number(0.01), w)))
			return sub(w, mul(rate, s[0]))
		}},
		"nesterov": {&SGD{Momentum: 0.9, Nesterov: true}, func(w, g *big.Float, s []*big.Float, t int, rate *big.Float) *big.Float {
			*s[0] = *add(mul(number(0.9), s[0]), g)
			return sub(w, mul(rate, add(g, mul(number(0.9), s[0]))))
		}},
		"adam": {&Adam{}, adam},
		"adam with decay": {&Adam{Decay: 0.1}, func(w, g *big.Float, s []*big.Float, t int, rate *big.Float) *big.Float {
			return adam(w, add(g, mul(number(0.1), w)), s, t, rate)
		}},
		"adamw": {&Adam{Decay: 0.1, Decoupled: true}, func(w, g *big.Float, s []*big.Float, t int, rate *big.Float) *big.Float {
			return adam(sub(w, mul(mul(rate, number(0.1)), w)), g, s, t, rate)
		}},
		"rmsprop": {&RMSProp{Decay: 0.1}, func(w, g *big.Float, s []*big.Float, t int, rate *big.Float) *big.Float {
			g = add(g, mul(number(0.1), w))
			*s[0] = *add(mul(number(0.99), s[0]), mul(sub(one, number(0.99)), mul(g, g)))
			return sub(w, mul(rate, quo(g, add(root(s[0]), number(1e-8)))))
		}},
	} {
		t.Run(name, func(t *testing.T) {
			const n, steps, rate = 37, 5, 0.0625
			t.Log("seed 3")
			r := rand.New(rand.NewPCG(3, 0))
			w, wantW := make([]float64, n), make([]*big.Float, n)
			states := make([][]*big.Float, n)
			for i := range w {
				w[i] = r.NormFloat64()
				wantW[i], states[i] = number(w[i]), []*big.Float{number(0), number(0)}
			}
			p := &model.Param{Name: "w", Value: tensor.New(tensor.WithShape(n), tensor.WithBacking(w))}
			for step := 1; step <= steps; step++ {
				g := make([]float64, n)
				for i := range g {
					g[i] = r.NormFloat64()
					wantW[i] = c.rule(wantW[i], number(g[i]), states[i], step, number(rate))
				}
				if err := c.o.Step([]*model.Param{p}, []*tensor.Dense{tensor.New(tensor.WithShape(n), tensor.WithBacking(g))}, rate); err != nil {
					t.Fatal(err)
				}
			}
			for i := range w {
				want, _ := wantW[i].Float64()
				if bound := 12 * steps * 0x1p-53 * (math.Abs(w[i]) + 8); math.Abs(w[i]-want) > bound {
					t.Errorf("weight %d is %v after %d steps, want %v; the error is %.3g, the bound %.3g", i, w[i], steps, want, math.Abs(w[i]-want), bound)
				}
			}
		})
	}
}

// TestNewOptimizer: each name gives the optimizer that calls itself so, with its settings and a
// rate.
func TestNewOptimizer(t *testing.T) {
	for name, want := range map[string]Optimizer{
		"sgd": &SGD{Momentum: 0.9}, "nesterov": &SGD{Momentum: 0.9, Nesterov: true}, "adam": &Adam{},
		"adamw": &Adam{Decoupled: true}, "rmsprop": &RMSProp{},
	} {
		if o, rate, err := NewOptimizer(name); err != nil || o.Name() != name || !reflect.DeepEqual(o, want) || !(rate > 0) {
			t.Errorf("%s: got %+v at %v, %v, want %+v", name, o, rate, err, want)
		}
	}
	_, _, err := NewOptimizer("lion")
	wants(t, err, "want one of sgd, nesterov, rmsprop, adam, adamw")
}

// TestOptimizersGoByName: a list in another order changes nothing, since what an optimizer
// remembers is kept under the parameter's name.
func TestOptimizersGoByName(t *testing.T) {
	step := func(swap bool) []float32 {
		o := &Adam{}
		a := &model.Param{Name: "a", Value: tensor.New(tensor.WithShape(2), tensor.WithBacking([]float32{1, 2}))}
		b := &model.Param{Name: "b", Value: tensor.New(tensor.WithShape(2), tensor.WithBacking([]float32{3, 4}))}
		ga, gb := tensor.New(tensor.WithShape(2), tensor.WithBacking([]float32{0.5, -1})), tensor.New(tensor.WithShape(2), tensor.WithBacking([]float32{2, 0.25}))
		for i := range 4 {
			ps, gs := []*model.Param{a, b}, []*tensor.Dense{ga, gb}
			if swap && i%2 == 1 {
				ps, gs = []*model.Param{b, a}, []*tensor.Dense{gb, ga}
			}
			if err := o.Step(ps, gs, 0.1); err != nil {
				t.Fatal(err)
			}
		}
		return append(a.Value.Data().([]float32), b.Value.Data().([]float32)...)
	}
	x, y := step(false), step(true)
	for i := range x {
		if x[i] != y[i] {
			t.Errorf("weight %d is %v in order and %v out of order", i, x[i], y[i])
		}
	}
}

func TestOptimizerErrorsChangeNothing(t *testing.T) {
	w := []float32{1, 2}
	p := &model.Param{Name: "w", Value: tensor.New(tensor.WithShape(2), tensor.WithBacking(w))}
	g := tensor.New(tensor.WithShape(2), tensor.WithBacking([]float32{1, 1}))
	long := tensor.New(tensor.WithShape(3), tensor.WithBacking([]float32{1, 1, 1}))
	for what, step := range map[string]func() error{
		"1 parameters and 0 gradients": func() error { return (&SGD{}).Step([]*model.Param{p}, nil, 0.1) },
		"learning rate is NaN":         func() error { return (&SGD{}).Step([]*model.Param{p}, []*tensor.Dense{g}, math.NaN()) },
		"the gradient of w is (3)":     func() error { return (&Adam{}).Step([]*model.Param{p}, []*tensor.Dense{long}, 0.1) },
		"momentum is 1":                func() error { return (&SGD{Momentum: 1}).Step([]*model.Param{p}, []*tensor.Dense{g}, 0.1) },
		"β₁ is -1":                     func() error { return (&Adam{Beta1: -1}).Step([]*model.Param{p}, []*tensor.Dense{g}, 0.1) },
		"two parameters are named w":   func() error { return (&RMSProp{}).Step([]*model.Param{p, p}, []*tensor.Dense{g, g}, 0.1) },
		"gradient 0 is nil":            func() error { return (&RMSProp{}).Step([]*model.Param{p}, []*tensor.Dense{nil}, 0.1) },
		"0 is nil or empty":            func() error { return (&RMSProp{}).Step([]*model.Param{p}, []*tensor.Dense{new(tensor.Dense)}, 0.1) },
	} {
		wants(t, step(), "train: ", what)
	}
	if w[0] != 1 || w[1] != 2 {
		t.Errorf("the weights are %v after errors, want [1 2]", w)
	}
}

// manyOptimizers are all of them, each as different from its zero as it can be.
func manyOptimizers() map[string]func() Optimizer {
	return map[string]func() Optimizer{
		"sgd":      func() Optimizer { return &SGD{} },
		"momentum": func() Optimizer { return &SGD{Momentum: 0.9, Decay: 0.01} },
		"nesterov": func() Optimizer { return &SGD{Momentum: 0.8, Nesterov: true} },
		"adam":     func() Optimizer { return &Adam{} },
		"adamw":    func() Optimizer { return &Adam{Decay: 0.1, Decoupled: true} },
		"adam, l2": func() Optimizer { return &Adam{Decay: 0.1} },
		"rmsprop":  func() Optimizer { return &RMSProp{Decay: 0.01} },
	}
}

// vector is a parameter of floats of the type.
func vector[T float32 | float64](name string, v ...T) *model.Param {
	return &model.Param{Name: name, Value: tensor.New(tensor.WithShape(len(v)), tensor.WithBacking(v))}
}

// TestRestoredStateGoesOn: an optimizer that is made anew and takes over the state has, bit for
// bit, the steps of one that went on; one that does not take it over has others.
func TestRestoredStateGoesOn(t *testing.T) {
	t.Log("seed 4")
	for name, make := range manyOptimizers() {
		run := func(change func(o Optimizer) Optimizer) []float32 {
			r := rand.New(rand.NewPCG(4, 0))
			a, b := vector[float32]("layer.0.a", 1, -2, 3), vector[float32]("b", 0.5)
			o := make()
			for i := range 8 {
				if i == 5 {
					o = change(o)
				}
				ga, gb := vector("", float32(r.NormFloat64()), float32(r.NormFloat64()), float32(r.NormFloat64())), vector("", float32(r.NormFloat64()))
				if err := o.Step([]*model.Param{a, b}, []*tensor.Dense{ga.Value, gb.Value}, 0.1); err != nil {
					t.Fatal(err)
				}
			}
			return append(a.Value.Data().([]float32), b.Value.Data().([]float32)...)
		}
		whole := run(func(o Optimizer) Optimizer { return o })
		restored := run(func(o Optimizer) Optimizer {
			next := make()
			if err := next.Restore(o.State()); err != nil {
				t.Fatal(err)
			}
			// The copies are the new one's own.
			for _, v := range o.State() {
				v.Zero()
			}
			return next
		})
		fresh := run(func(Optimizer) Optimizer { return make() })
		if !reflect.DeepEqual(whole, restored) {
			t.Errorf("%s: restored, the weights are %v, want %v", name, restored, whole)
		}
		if name != "sgd" && reflect.DeepEqual(whole, fresh) {
			t.Errorf("%s: begun anew, the weights are the same: the state is not tested", name)
		}
	}
}

// TestParametersThatChange: a name that comes back with another type or shape is an error that
// changes nothing, and no panic.
func TestParametersThatChange(t *testing.T) {
	for name, make := range manyOptimizers() {
		o := make()
		w := vector[float32]("w", 1, 2, 3)
		if err := o.Step([]*model.Param{w}, []*tensor.Dense{w.Value.Clone().(*tensor.Dense)}, 0.1); err != nil {
			t.Fatal(err)
		}
		for what, other := range map[string]*model.Param{"type": vector[float64]("w", 1, 2, 3), "length": vector[float32]("w", 1, 2)} {
			before := other.Value.Clone().(*tensor.Dense)
			err := o.Step([]*model.Param{other}, []*tensor.Dense{before}, 0.1)
			if name == "sgd" { // without momentum nothing is remembered
				if err != nil {
					t.Errorf("%s: another %s: %v", name, what, err)
				}
				continue
			}
			wants(t, err, "train: w is (", "want (3) of float32")
			if !reflect.DeepEqual(other.Value.Data(), before.Data()) {
				t.Errorf("%s: another %s: the weights are %v, want %v", name, what, other.Value.Data(), before.Data())
			}
		}
	}
}

func TestRestoreErrors(t *testing.T) {
	v := vector[float32]("", 1).Value
	for want, restore := range map[string]func() error{
		`sgd: Restore: got "square.w"`:                  func() error { return (&SGD{}).Restore(map[string]*tensor.Dense{"square.w": v}) },
		`sgd: Restore: got "momentum"`:                  func() error { return (&SGD{}).Restore(map[string]*tensor.Dense{"momentum": v}) },
		"rmsprop: Restore: square.w is nil":             func() error { return (&RMSProp{}).Restore(map[string]*tensor.Dense{"square.w": nil}) },
		"adam: Restore: there is no steps":              func() error { return (&Adam{}).Restore(map[string]*tensor.Dense{"mean.w": v}) },
		"adam: Restore: steps is [1], want one whole":   func() error { return (&Adam{}).Restore(map[string]*tensor.Dense{"steps": v}) },
		"adam: Restore: steps is [1.5], want one whole": func() error { return (&Adam{}).Restore(map[string]*tensor.Dense{"steps": vector("", 1.5).Value}) },
		"sgd: the optimizer is nil":                     func() error { return (*SGD)(nil).Restore(nil) },
		"adam: the optimizer is nil":                    func() error { return (*Adam)(nil).Restore(nil) },
		"rmsprop: the optimizer is nil":                 func() error { return (*RMSProp)(nil).Step(nil, nil, 0) },
	} {
		wants(t, restore(), "train: ", want)
	}
}
