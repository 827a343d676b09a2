package verify

import (
	"math"
	"testing"

	"pgregory.net/rapid"
)

// A field is an arithmetic.
type field[T any] interface {
	Number(v float64) T
	Add(a, b T) T
	Sub(a, b T) T
	Mul(a, b T) T
	Div(a, b T) T
	Sqrt(a T) T
	Exp(a T) T
	Log(a T) T
	Less(a, b T) bool
}

// A dual is a number with its derivative, and over the arithmetic of such numbers.
type dual[T any] struct{ v, d T }

type over[T any] struct{ f field[T] }

func (o over[T]) Number(v float64) dual[T] { return dual[T]{o.f.Number(v), o.f.Number(0)} }
func (o over[T]) Add(a, b dual[T]) dual[T] { return dual[T]{o.f.Add(a.v, b.v), o.f.Add(a.d, b.d)} }
func (o over[T]) Sub(a, b dual[T]) dual[T] { return dual[T]{o.f.Sub(a.v, b.v), o.f.Sub(a.d, b.d)} }
func (o over[T]) Mul(a, b dual[T]) dual[T] {
	return dual[T]{o.f.Mul(a.v, b.v), o.f.Add(o.f.Mul(a.d, b.v), o.f.Mul(a.v, b.d))}
}
func (o over[T]) Div(a, b dual[T]) dual[T] {
	q := o.f.Div(a.v, b.v)
	return dual[T]{q, o.f.Div(o.f.Sub(a.d, o.f.Mul(q, b.d)), b.v)}
}
func (o over[T]) Sqrt(a dual[T]) dual[T] {
	r := o.f.Sqrt(a.v)
	return dual[T]{r, o.f.Div(a.d, o.f.Add(r, r))}
}
func (o over[T]) Exp(a dual[T]) dual[T]  { e := o.f.Exp(a.v); return dual[T]{e, o.f.Mul(e, a.d)} }
func (o over[T]) Log(a dual[T]) dual[T]  { return dual[T]{o.f.Log(a.v), o.f.Div(a.d, a.v)} }
func (o over[T]) Less(a, b dual[T]) bool { return o.f.Less(a.v, b.v) }

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
func program[T any](f field[T], code []byte, x []T) T {
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
		b := &Field{u: u32}
		var bx []Number
		var sx []dual[float32]
		var dx []dual[float64]
		for i := range x {
			bx = append(bx, Number{b.number(x[i]), b.number(v[i])})
			sx = append(sx, dual[float32]{float32(x[i]), float32(v[i])})
			dx = append(dx, dual[float64]{x[i], v[i]})
		}
		bound := program(b, code, bx)
		single := program(over[float32]{singles{}}, code, sx)
		truth := program(over[float64]{doubles{}}, code, dx)
		if math.IsInf(truth.v, 0) || math.Abs(truth.v) > 1e30 || math.Abs(truth.d) > 1e30 {
			return // beyond float32
		}
		ev, ed := b.errorOf(bound.v), b.errorOf(bound.d)
		if branches(code) { // float32 and float64 may choose differently
			return
		}
		if !(math.Abs(float64(single.v)-truth.v) <= ev*(1+0x1p-20)) || !(math.Abs(float64(single.d)-truth.d) <= ed*(1+0x1p-20)) {
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
	f := &Field{u: u64, rational: true}
	number := func(v, d float64) Number { return Number{f.number(v), f.number(d)} }
	for name, c := range map[string]struct {
		exact func(a, b Number) Number
		v, d  float64 // at a = 4 + 3ε, b = 2 + 5ε
	}{
		"Add":  {f.Add, 6, 8},
		"Sub":  {f.Sub, 2, -2},
		"Mul":  {f.Mul, 8, 26},
		"Div":  {f.Div, 2, -3.5},
		"Sqrt": {func(a, _ Number) Number { return f.Sqrt(a) }, 2, 0.75},
	} {
		y := c.exact(number(4, 3), number(2, 5))
		if y.v.q.Float() != c.v || y.d.q.Float() != c.d || y.v.off || y.d.off || y.v.v != c.v || y.d.v != c.d {
			t.Errorf("%s: exact arithmetic gives %v + %vε, want %v + %vε", name, y.v, y.d, c.v, c.d)
		}
	}
	for name, x := range map[string]scalar{
		"√2":     f.Sqrt(number(2, 0)).v,
		"√−1":    f.Sqrt(number(-1, 0)).v,
		"e":      f.Exp(number(1, 0)).v,
		"ln 2":   f.Log(number(2, 0)).v,
		"1/0":    f.Div(number(1, 0), number(0, 0)).v,
		"0/0":    f.Div(number(0, 0), number(0, 0)).v,
		"NaN":    f.Number(math.NaN()).v,
		"d√0/dx": f.Sqrt(number(0, 1)).d,
		"√2 + 1": f.Add(f.Sqrt(number(2, 0)), number(1, 0)).v,
		"√2 · 3": f.Mul(f.Sqrt(number(2, 0)), number(3, 0)).v,
		"√2 / 3": f.Div(f.Sqrt(number(2, 0)), number(3, 0)).v,
		"√√2":    f.Sqrt(f.Sqrt(number(2, 0))).v,
		"asked":  (&Field{u: u64}).Number(1).v,
	} {
		if !x.off {
			t.Errorf("%s passes for rational", name)
		}
	}
	if f.tie || !f.Less(number(1, 0), number(2, 0)) || f.Less(number(2, 0), number(1, 0)) || f.tie || f.Less(number(1, 0), number(1, 0)) || !f.tie {
		t.Error("Less")
	}
}

// Errors of operands reach the result: a bound covers what the operation makes of the ends of their
// intervals, and is little more than that.
func TestErrorsPropagate(t *testing.T) {
	b := &Field{u: u64}
	x, y := scalar{v: 3, e: 0.01, k: 1}, scalar{v: 2, e: 0.02, k: 1}
	for name, c := range map[string]struct {
		bound scalar
		f     func(x, y float64) float64
	}{
		"Add":  {b.add(x, y), func(x, y float64) float64 { return x + y }},
		"Sub":  {b.add(x, y.neg()), func(x, y float64) float64 { return x - y }},
		"Mul":  {b.mul(x, y), func(x, y float64) float64 { return x * y }},
		"Div":  {b.div(x, y), func(x, y float64) float64 { return x / y }},
		"Sqrt": {b.sqrt(x), func(x, _ float64) float64 { return math.Sqrt(x) }},
		"Exp":  {b.exp(x), func(x, _ float64) float64 { return math.Exp(x) }},
		"Log":  {b.log(x), func(x, _ float64) float64 { return math.Log(x) }},
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
	if v := b.div(x, scalar{v: 0.01, e: 0.02, k: 1}); !math.IsInf(b.errorOf(v), 1) {
		t.Error("Div by what may be 0 is bounded")
	}
	if v := b.log(scalar{v: 0.01, e: 0.02, k: 1}); !math.IsInf(b.errorOf(v), 1) {
		t.Error("Log of what may be 0 is bounded")
	}
	sum := b.number(1)
	for range 1000 {
		sum = b.add(sum, b.number(1))
	}
	if e := b.errorOf(sum); !(e >= 999*u64*1001 && e <= 1.01*1002*u64*1001) {
		t.Errorf("a sum of 1001 terms is off by %v, want about 1001·u·1001", e)
	}
}
