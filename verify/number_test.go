package verify

import (
	"math"
	"testing"

	"pgregory.net/rapid"
)

// singles is arithmetic in float32, every result rounded: what the bounds are about.
type singles struct{}

func (singles) Number(v float64) float32 { return float32(v) }
func (singles) Add(a, b float32) float32 { return a + b }
func (singles) Sub(a, b float32) float32 { return a - b }
func (singles) Mul(a, b float32) float32 { return a * b }
func (singles) Div(a, b float32) float32 { return a / b }
func (singles) Sqrt(a float32) float32   { return float32(math.Sqrt(float64(a))) }
func (singles) Exp(a float32) float32    { return float32(math.Exp(float64(a))) }
func (singles) Log(a float32) float32    { return float32(math.Log(float64(a))) }
func (singles) Less(a, b float32) bool   { return a < b }

// doubles is float64, for the truth beside float32.
type doubles struct{}

func (doubles) Number(v float64) float64 { return v }
func (doubles) Add(a, b float64) float64 { return a + b }
func (doubles) Sub(a, b float64) float64 { return a - b }
func (doubles) Mul(a, b float64) float64 { return a * b }
func (doubles) Div(a, b float64) float64 { return a / b }
func (doubles) Sqrt(a float64) float64   { return math.Sqrt(a) }
func (doubles) Exp(a float64) float64    { return math.Exp(a) }
func (doubles) Log(a float64) float64    { return math.Log(a) }
func (doubles) Less(a, b float64) bool   { return a < b }

// program is a straight-line computation on a stack of positive numbers near 1, by a string of
// opcodes.
func program[T any](f Field[T], code []byte, x []T) T {
	s := append([]T(nil), x...)
	top := func(k int) T { return s[(len(s)-1-k%len(s)+len(s))%len(s)] }
	for i, c := range code {
		a, b := top(0), top(i+1)
		var y T
		switch c % 9 {
		case 0:
			y = f.Add(a, b)
		case 1:
			y = f.Sub(a, b)
		case 2:
			y = f.Mul(a, b)
		case 3:
			y = f.Div(a, f.Add(f.Mul(b, b), f.Number(1)))
		case 4:
			y = f.Sqrt(f.Add(f.Mul(a, a), f.Number(0.5)))
		case 5:
			y = f.Exp(f.Div(a, f.Add(f.Mul(a, a), f.Number(1))))
		case 6:
			y = f.Log(f.Add(f.Mul(a, a), f.Number(1.5)))
		case 7:
			if y = a; f.Less(a, b) {
				y = b
			}
		case 8:
			y = f.Sub(f.Mul(a, f.Number(-0.75)), b)
		}
		s = append(s, y)
	}
	return s[len(s)-1]
}

// A bound covers what float32 really does, and is finite; the derivative along with the value.
// Beside a float64 result the truth is off by a 2⁻²⁹th of the same bound.
func TestBoundsCover(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		code := rapid.SliceOfN(rapid.Byte(), 1, 12).Draw(t, "code")
		x := rapid.SliceOfN(rapid.Map(rapid.IntRange(-2048, 2048), func(i int) float64 { return float64(i) / 1024 }), 3, 3).Draw(t, "x")
		v := rapid.SliceOfN(rapid.Map(rapid.IntRange(-64, 64), func(i int) float64 { return float64(i) / 32 }), 3, 3).Draw(t, "v")
		b := bounds{u: u32}
		var bx []Rounded
		var sx []Dual[float32]
		var dx []Dual[float64]
		for i := range x {
			bx = append(bx, Rounded{b.Number(x[i]), b.Number(v[i])})
			sx = append(sx, Dual[float32]{float32(x[i]), float32(v[i])})
			dx = append(dx, Dual[float64]{x[i], v[i]})
		}
		bound := program(over[Bound]{b}, code, bx)
		single := program(over[float32]{singles{}}, code, sx)
		truth := program(over[float64]{doubles{}}, code, dx)
		if math.IsInf(truth.V, 0) || math.Abs(truth.V) > 1e30 || math.Abs(truth.D) > 1e30 {
			return // beyond float32
		}
		ev, ed := b.errorOf(bound.V), b.errorOf(bound.D)
		if branches(code) { // float32 and float64 may choose differently
			return
		}
		if !(math.Abs(float64(single.V)-truth.V) <= ev*(1+0x1p-20)) || !(math.Abs(float64(single.D)-truth.D) <= ed*(1+0x1p-20)) {
			t.Fatalf("float32 gives %v, the truth is %v, the bounds are %v and %v", single, truth, ev, ed)
		}
		if !(ev <= 1e-3*math.Pow(30, float64(len(code)))) {
			t.Fatalf("the bound %v says nothing of %v", ev, truth)
		}
	})
}

func branches(code []byte) bool {
	for _, c := range code {
		if c%9 == 7 {
			return true
		}
	}
	return false
}

// Each operation and its derivative, in every arithmetic, at numbers where all of it is rational.
func TestOperations(t *testing.T) {
	inexact := false
	exact := over[Rational]{rationals{inexact: &inexact}}
	for name, c := range map[string]struct {
		exact func(a, b Exact) Exact
		v, d  float64 // at a = 4 + 3ε, b = 2 + 5ε
	}{
		"Add":  {exact.Add, 6, 8},
		"Sub":  {exact.Sub, 2, -2},
		"Mul":  {exact.Mul, 8, 26},
		"Div":  {exact.Div, 2, -3.5},
		"Sqrt": {func(a, _ Exact) Exact { return exact.Sqrt(a) }, 2, 0.75},
	} {
		y := c.exact(Exact{NewRational(4, 1), NewRational(3, 1)}, Exact{NewRational(2, 1), NewRational(5, 1)})
		v, _ := y.V.Float64()
		d, _ := y.D.Float64()
		if v != c.v || d != c.d || inexact {
			t.Errorf("%s: exact arithmetic gives %v + %vε, want %v + %vε", name, v, d, c.v, c.d)
		}
	}
	for name, f := range map[string]func() Exact{
		"√2":     func() Exact { return Exact{V: rationals{inexact: &inexact}.Sqrt(NewRational(2, 1))} },
		"√−1":    func() Exact { return Exact{V: rationals{inexact: &inexact}.Sqrt(NewRational(-1, 1))} },
		"e":      func() Exact { return exact.Exp(exact.Number(1)) },
		"ln 2":   func() Exact { return exact.Log(exact.Number(2)) },
		"1/0":    func() Exact { return exact.Div(exact.Number(1), exact.Number(0)) },
		"NaN":    func() Exact { return exact.Number(math.NaN()) },
		"d√0/dx": func() Exact { return exact.Sqrt(exact.Number(0)) },
	} {
		if inexact = false; f().V.Sign() == 99 || !inexact {
			t.Errorf("%s passes for rational", name)
		}
	}
	if !exact.Less(exact.Number(1), exact.Number(2)) || exact.Less(exact.Number(2), exact.Number(1)) {
		t.Error("Less")
	}
}

// Errors of operands reach the result: a bound covers what the operation makes of the ends of their
// intervals, and is little more than that.
func TestErrorsPropagate(t *testing.T) {
	b := bounds{u: u64}
	x, y := Bound{3, 0.01, 0, 1}, Bound{2, 0.02, 0, 1}
	for name, c := range map[string]struct {
		bound Bound
		f     func(x, y float64) float64
	}{
		"Add":  {b.Add(x, y), func(x, y float64) float64 { return x + y }},
		"Sub":  {b.Sub(x, y), func(x, y float64) float64 { return x - y }},
		"Mul":  {b.Mul(x, y), func(x, y float64) float64 { return x * y }},
		"Div":  {b.Div(x, y), func(x, y float64) float64 { return x / y }},
		"Sqrt": {b.Sqrt(x), func(x, _ float64) float64 { return math.Sqrt(x) }},
		"Exp":  {b.Exp(x), func(x, _ float64) float64 { return math.Exp(x) }},
		"Log":  {b.Log(x), func(x, _ float64) float64 { return math.Log(x) }},
	} {
		most := 0.0
		for _, s := range []float64{-1, 1} {
			for _, r := range []float64{-1, 1} {
				most = max(most, math.Abs(c.f(x.v+s*x.e, y.v+r*y.e)-c.f(x.v, y.v)))
			}
		}
		if e := b.errorOf(c.bound); c.bound.v != c.f(x.v, y.v) || !(e >= most*(1-1e-12)) || !(e <= 2.01*most) {
			t.Errorf("%s: the bound is %v about %v, and the error can be %v", name, e, c.bound.v, most)
		}
	}
	if v := b.Div(x, Bound{0.01, 0.02, 0, 1}); !math.IsInf(b.errorOf(v), 1) {
		t.Error("Div by what may be 0 is bounded")
	}
	if v := b.Log(Bound{0.01, 0.02, 0, 1}); !math.IsInf(b.errorOf(v), 1) {
		t.Error("Log of what may be 0 is bounded")
	}
	sum := b.Number(1)
	for range 1000 {
		sum = b.Add(sum, b.Number(1))
	}
	if e := b.errorOf(sum); !(e >= 999*u64*1001 && e <= 1.01*1002*u64*1001) {
		t.Errorf("a sum of 1001 terms is off by %v, want about 1001·u·1001", e)
	}
}
