package main

import (
	"fmt"
	"math"
	"slices"
	"strings"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// Activations, each with the product of its derivative and a cotangent, computed in the elements'
// own type. The building blocks are eˣ, eˣ−1, log(1+t) and the normal distribution function. The
// tests of internal/kernel hold the bounds.

type vec = reg.VecVirtual

var constants = map[string]Mem{}

// held are the constants that a function keeps in registers, by their names. A load for each step
// of a polynomial would take longer than its arithmetic.
var held = map[string]vec{}

// hold loads constants into registers, where there are enough of them.
func (f flavour) hold(values []float64) {
	if f.wide() {
		for _, v := range values {
			if m, ok := f.c(v).(Mem); ok {
				held[m.Symbol.Name] = f.copyOf(m)
			}
		}
	}
}

// c is a constant in all lanes, in memory or in a register.
func (f flavour) c(v float64) Op {
	if math.IsInf(v, 0) { // the assembler reads no infinity
		if f.single() {
			return f.bits(uint64(math.Float32bits(float32(v))))
		}
		return f.bits(math.Float64bits(v))
	}
	name := fmt.Sprintf("lanes%s_%016x", f.elem, math.Float64bits(v))
	if r, ok := held[name]; ok {
		return r
	}
	if m, ok := constants[name]; ok {
		return m
	}
	m := GLOBL(name, RODATA|NOPTR)
	for i := range 64 / f.size {
		if f.single() {
			DATA(4*i, F32(v))
		} else {
			DATA(8*i, F64(v))
		}
	}
	constants[name] = m
	return m
}

// bits is a pattern of bits in all lanes.
func (f flavour) bits(v uint64) Mem {
	name := fmt.Sprintf("bits%s_%016x", f.elem, v)
	if m, ok := constants[name]; ok {
		return m
	}
	m := GLOBL(name, RODATA|NOPTR)
	for i := range 64 / f.size {
		if f.single() {
			DATA(4*i, U32(uint32(v)))
		} else {
			DATA(8*i, U64(v))
		}
	}
	constants[name] = m
	return m
}

func (f flavour) copyOf(v Op) vec {
	to := f.vector()
	f.move(v, to)
	return to
}

func (f flavour) op(name string, a, b Op) vec {
	to := f.vector()
	f.binary(name, b, a, to)
	return to
}

// a + b, a − b, a·b, a/b; b may be in memory.
func (f flavour) plus(a, b Op) vec  { return f.op("add", a, b) }
func (f flavour) minus(a, b Op) vec { return f.op("sub", a, b) }
func (f flavour) times(a, b Op) vec { return f.op("mul", a, b) }
func (f flavour) over(a, b Op) vec  { return f.op("div", a, b) }

// atLeast and atMost are the larger and the smaller of x and a limit, and x where it is NaN.
func (f flavour) atLeast(x, limit Op) vec { return f.op("max", f.copyOf(limit), x) }
func (f flavour) atMost(x, limit Op) vec  { return f.op("min", f.copyOf(limit), x) }

// clip is x within ±c, and x where it is NaN.
func (f flavour) clip(x Op, c float64) vec { return f.atLeast(f.atMost(x, f.c(c)), f.c(-c)) }

func (f flavour) magnitude(x Op) vec { return f.op("andnot", f.copyOf(f.c(math.Copysign(0, -1))), x) }
func (f flavour) sign(x vec) vec     { return f.op("and", x, f.c(math.Copysign(0, -1))) }

// fma is a·b + c, which overwrites a.
func (f flavour) fma(a, b vec, c Op) vec {
	if f.single() {
		VFMADD213PS(c, b, a)
	} else {
		VFMADD213PD(c, b, a)
	}
	return a
}

// plusProduct is c + a·b, which overwrites c.
func (f flavour) plusProduct(a vec, b Op, c vec) vec {
	if f.single() {
		VFMADD231PS(b, a, c)
	} else {
		VFMADD231PD(b, a, c)
	}
	return c
}

// fnma is c − a·b, which overwrites c.
func (f flavour) fnma(a vec, b Op, c vec) vec {
	if f.single() {
		VFNMADD231PS(b, a, c)
	} else {
		VFNMADD231PD(b, a, c)
	}
	return c
}

// where is yes in lanes where the comparison of a and b holds, and no elsewhere.
func (f flavour) where(predicate uint8, a vec, b Op, yes, no vec) vec {
	to := f.vector()
	switch {
	case f.wide() && f.single():
		k := K()
		VCMPPS(U8(predicate), b, a, k)
		VBLENDMPS(yes, no, k, to)
	case f.wide():
		k := K()
		VCMPPD(U8(predicate), b, a, k)
		VBLENDMPD(yes, no, k, to)
	case f.single():
		VCMPPS(U8(predicate), b, a, to)
		VBLENDVPS(to, yes, no, to)
	default:
		VCMPPD(U8(predicate), b, a, to)
		VBLENDVPD(to, yes, no, to)
	}
	return to
}

// Predicates of VCMPPS that are false where a or b is NaN.
const (
	equal     = 0
	less      = 17
	lessEqual = 18
	greater   = 30
	atLeastIs = 29
)

// polynomial is Σ c[i]·xⁿ⁻¹⁻ⁱ by Horner's rule.
func (f flavour) polynomial(x vec, c []float64) vec {
	p := f.copyOf(f.c(c[0]))
	for _, v := range c[1:] {
		p = f.fma(p, x, f.c(v))
	}
	return p
}

// exponential are the coefficients of eʳ, |r| ≤ ln 2/2, the highest power first, without those of
// the powers below the first. The others of float32 are fitted to a relative error below 2⁻²⁸;
// float64 has 1/13!, 1/12!, …, whose remainder is below 2⁻⁵⁷.
func (f flavour) exponential(first int) (c []float64) {
	if f.single() {
		c = []float64{0.0013814593684263249, 0.008368717352023769, 0.04166838814918253, 0.16666520626631065, 0.4999999344727869, 1, 1}
	} else {
		for n := 13; n >= 0; n-- {
			c = append(c, 1/math.Gamma(float64(n+1)))
		}
	}
	return c[:len(c)-first]
}

// ln2 is ln 2 in two parts, as fdlibm and Cephes have it.
func (f flavour) ln2() (hi, lo float64) {
	if f.single() {
		return 0.693359375, -2.12194440054690583e-4
	}
	return math.Float64frombits(0x3FE62E42FEE00000), 1.90821492927058770002e-10
}

// magic is a number that rounds what is added to it to a whole number k, the last bits of the sum
// being k and the exponent's bias.
func (f flavour) magic() float64 {
	if f.single() {
		return 0x1.8p23 + 127
	}
	return 0x1.8p52 + 1023
}

// reduced is k = round(x/ln 2), the sum of k and the magic number, and r = x − k·ln 2. ln 2 is in
// two parts, the first so short that its product with k is exact.
func (f flavour) reduced(x vec) (k, sum, r vec) {
	sum = f.plusProduct(x, f.c(math.Log2E), f.copyOf(f.c(f.magic())))
	k = f.minus(sum, f.c(f.magic()))
	hi, lo := f.ln2()
	r = f.copyOf(x)
	r = f.fnma(k, f.c(hi), r)
	return k, sum, f.fnma(k, f.c(lo), r)
}

// reduction are the constants of reduced.
func (f flavour) reduction() []float64 {
	hi, lo := f.ln2()
	return []float64{math.Log2E, f.magic(), hi, lo}
}

// exps are the constants of exp and its like.
func (f flavour) exps() []float64 {
	_, low := f.limits()
	return slices.Concat(f.reduction(), f.exponential(1), []float64{low})
}

// expm1s are those of expm1.
func (f flavour) expm1s() []float64 {
	return slices.Concat(f.reduction(), f.exponential(1), []float64{f.lowest()})
}

// power is p·2ᵏ. Without VSCALEF the power is made in two factors, each in range.
func (f flavour) power(p, k vec) vec {
	if f.wide() {
		to := f.vector()
		if f.single() {
			VSCALEFPS(k, p, to)
		} else {
			VSCALEFPD(k, p, to)
		}
		return to
	}
	to := p
	if f.single() {
		whole, half := f.vector(), f.vector()
		VCVTPS2DQ(k, whole)
		VPSRAD(U8(1), whole, half)
		VPSUBD(half, whole, whole)
		for _, e := range []vec{half, whole} {
			VPADDD(biases, e, e)
			VPSLLD(U8(23), e, e)
			to = f.times(to, e)
		}
		return to
	}
	whole, half := XMM(), XMM()
	VCVTPD2DQY(k, whole)
	VPSRAD(U8(1), whole, half)
	VPSUBD(half, whole, whole)
	for _, e := range []vec{half, whole} {
		power := YMM()
		VPADDD(bias, e, e)
		VPMOVSXDQ(e, power)
		VPSLLQ(U8(52), power, power)
		to = f.times(to, power)
	}
	return to
}

// limits are arguments at which eˣ is +Inf and 0.
func (f flavour) limits() (high, low float64) {
	if f.single() {
		return 89, -104
	}
	return 710, -746
}

// exp is eˣ.
func (f flavour) exp(x vec) vec {
	high, low := f.limits()
	k, _, r := f.reduced(f.atLeast(f.atMost(x, f.c(high)), f.c(low)))
	return f.power(f.polynomial(r, f.exponential(0)), k)
}

// decay is e⁻ᵃ for a = |x|: f.exp without the upper limit.
func (f flavour) decay(x Op) vec {
	_, low := f.limits()
	minus := f.op("or", f.copyOf(f.c(math.Copysign(0, -1))), x)
	k, _, r := f.reduced(f.atLeast(minus, f.c(low)))
	return f.power(f.polynomial(r, f.exponential(0)), k)
}

// lowest is where e⁻ˣ is still a normal number, and eˣ − 1 is −1.
func (f flavour) lowest() float64 {
	if f.single() {
		return -87
	}
	return -700
}

// expm1 is eˣ − 1 for lowest ≤ x ≤ 0: with q = eʳ − 1, 2ᵏ·q + (2ᵏ − 1). The bits of 2ᵏ are
// those of k and the bias, moved to the exponent's place.
func (f flavour) expm1(x vec) vec {
	_, sum, r := f.reduced(x)
	q := f.times(r, f.fma(f.polynomial(r, f.exponential(2)), r, f.c(1)))
	power := f.vector()
	if f.single() {
		VPSLLD(U8(23), sum, power)
	} else {
		VPSLLQ(U8(52), sum, power)
	}
	return f.fma(q, power, f.minus(power, f.c(1)))
}

// negative is −|x| or the limit, whichever is nearer 0. It may be a number where x is NaN.
func (f flavour) negative(x vec, limit float64) vec { return f.within(x, limit, 14, f.c(limit)) }

// positive is |x| or the limit likewise.
func (f flavour) positive(x vec, limit float64) vec { return f.within(x, limit, 10, f.c(limit)) }

// within is the number of the smaller magnitude, its sign cleared or set as VRANGEPS reads mode.
func (f flavour) within(x vec, limit float64, mode uint8, at Op) vec {
	if !f.wide() {
		if limit > 0 {
			return f.atMost(f.magnitude(x), at)
		}
		return f.atLeast(f.op("or", f.copyOf(f.c(math.Copysign(0, -1))), x), at)
	}
	to := f.vector()
	if f.single() {
		VRANGEPS(U8(mode), at, x, to)
	} else {
		VRANGEPD(U8(mode), at, x, to)
	}
	return to
}

// signed is q ≥ 0 with the sign of x.
func (f flavour) signed(q, x vec) vec {
	if !f.wide() {
		return f.op("or", q, f.sign(x))
	}
	if f.single() {
		VPTERNLOGD(U8(0xF8), f.c(math.Copysign(0, -1)), x, q) // q | x & c
	} else {
		VPTERNLOGQ(U8(0xF8), f.c(math.Copysign(0, -1)), x, q)
	}
	return q
}

// log1p is log(1+t) for 0 ≤ t ≤ 1: with s = t/(2+t) ≤ ⅓, 2s·(1 + s²/3 + s⁴/5 + …).
func (f flavour) log1p(t vec) vec {
	last := 33
	if f.single() {
		last = 15
	}
	var c []float64
	for ; last > 0; last -= 2 {
		c = append(c, 1/float64(last))
	}
	s := f.over(t, f.plus(t, f.c(2)))
	return f.times(f.plus(s, s), f.polynomial(f.times(s, s), c))
}

// log is log x, by fdlibm's e_log.c (Sun Microsystems, 1993) with the series of the logarithm for
// its polynomial. x = 2ᵏ·(1+f) with √½ ≤ 1+f < √2, and with s = f/(2+f), |s| ≤ 0.172,
//
//	log(1+f) = f − f²/2 + s·(f²/2 + R),   R = 2s²/3 + 2s⁴/5 + …
//
// Cut after s⁸ in float32 and s²² in float64, R is within 2⁻²⁸ and 2⁻⁵⁷ of log(1+f). See the
// test of internal/kernel for the roundings.
func (f flavour) log(x vec) vec {
	if f.wide() && f.single() {
		return f.logByTable(x)
	}
	one, half, mantissa := uint64(0x3F800000), uint64(0x3F3504F3), uint64(1)<<23-1 // 1, √½
	magic, grown, last, smallest := 0x1p23+127, 25.0, 9, 0x1p-126
	shift := uint64(23)
	if !f.single() {
		one, half, mantissa = 0x3FF0000000000000, 0x3FE6A09E667F3BCD, 1<<52-1
		magic, grown, last, smallest = 0x1p52+1023, 54, 23, 0x1p-1022
		shift = 52
	}
	// A subnormal number is scaled to a normal one.
	normal := f.where(less, x, f.c(smallest), f.times(x, f.c(math.Exp2(grown))), x)
	offset := f.where(less, x, f.c(smallest), f.copyOf(f.c(magic+grown)), f.copyOf(f.c(magic)))
	// The exponent's bits in the mantissa of 2²³ or 2⁵² are k, with the bias.
	i, e := f.vector(), f.vector()
	if f.single() {
		VPADDD(f.bits(one-half), normal, i)
		VPSRLD(U8(shift), i, e)
	} else {
		VPADDQ(f.bits(one-half), normal, i)
		VPSRLQ(U8(shift), i, e)
	}
	k := f.minus(f.op("or", e, f.c(math.Exp2(float64(shift)))), offset)
	i = f.op("and", i, f.bits(mantissa))
	if f.single() {
		VPADDD(f.bits(half), i, i)
	} else {
		VPADDQ(f.bits(half), i, i)
	}
	t := f.minus(i, f.c(1))
	s := f.over(t, f.plus(t, f.c(2)))
	z := f.times(s, s)
	var c []float64
	for ; last > 1; last -= 2 {
		c = append(c, 2/float64(last))
	}
	square := f.times(f.times(t, t), f.c(0.5))
	r := f.plus(f.times(z, f.polynomial(z, c)), square)
	hi, lo := f.ln2()
	y := f.minus(square, f.fma(s, r, f.times(k, f.c(lo))))
	y = f.minus(f.times(k, f.c(hi)), f.minus(y, t))
	// NaN below 0, −∞ at 0, and x where that is ∞ or NaN.
	y = f.where(less, x, f.c(math.Inf(1)), y, x)
	y = f.where(less, x, f.c(0), f.copyOf(f.bits(^uint64(0))), y)
	return f.where(equal, x, f.c(0), f.copyOf(f.c(math.Inf(-1))), y)
}

// mills is Φ(−a)·e^(a²/2) for a ≥ 0, as a quotient of polynomials whose coefficients are all
// positive, so that no sum cancels. It is fitted to a relative error below 2⁻²⁷ for a ≤ 15 in
// float32, and below 2⁻⁵⁹ for a ≤ 40 in float64.
func (f flavour) mills(a vec) (p, q vec) {
	if f.single() {
		return f.polynomial(a, millsP32), f.polynomial(a, millsQ32)
	}
	return f.polynomial(a, millsP64), f.polynomial(a, millsQ64)
}

// The coefficients of mills, the highest power first.
var (
	millsP32 = []float64{0.004151582171882966, 0.04087122028533698, 0.18394157686282983, 0.43924910720952576, 0.5000000030442484}
	millsQ32 = []float64{0.010406361549751672, 0.10245507582610257, 0.4713354043731097, 1.2054384319820528, 1.6763832137544166, 1}
	millsP64 = []float64{
		2.2637493519353564e-07, 7.034065374697877e-06, 0.00010732925053856219, 0.001045967107538992,
		0.00715870286643723, 0.03581490190671592, 0.13247884242661137, 0.3582274520717272,
		0.6807529170638121, 0.8286578365902755, 0.5,
	}
	millsQ64 = []float64{
		5.674378132237616e-07, 1.7631787153847757e-05, 0.00026960197190522184, 0.002639482513435426,
		0.018212106664659018, 0.09236123320198537, 0.34948701762078405, 0.9826504579553718,
		2.0052275255868603, 2.820472194502567, 2.4552002339834167, 1,
	}
)

// beyond is where e^(−x²/2) is 0.
func (f flavour) beyond() float64 {
	if f.single() {
		return 15
	}
	return 40
}

// normals are the constants of normal, as many as there are registers for.
func (f flavour) normals() []float64 {
	if f.single() {
		return slices.Concat([]float64{f.beyond(), -0.5}, f.reduction(), f.exponential(1), millsP32, millsQ32)
	}
	return slices.Concat([]float64{f.beyond(), -0.5}, f.reduction(), f.exponential(1))
}

// normal is Φ(x) and e^(−x²/2). x² is taken with the rounding error of its product. Neither need be
// NaN where x is.
func (f flavour) normal(x vec) (distribution, density vec) {
	a := f.positive(x, f.beyond())
	h := f.times(a, a)
	low := f.copyOf(a)
	if f.single() {
		VFMSUB213PS(h, a, low)
	} else {
		VFMSUB213PD(h, a, low)
	}
	k, _, r := f.reduced(f.times(h, f.c(-0.5)))
	r = f.plusProduct(low, f.c(-0.5), r)
	density = f.power(f.polynomial(r, f.exponential(0)), k)
	p, q := f.mills(a)
	return f.upper(x, f.times(density, f.over(p, q))), density
}

// upper is 1 − tail where x ≥ 0 and tail elsewhere. It may overwrite tail.
func (f flavour) upper(x, tail vec) vec {
	one := f.copyOf(f.c(1))
	switch {
	case f.wide() && f.single():
		k := K()
		VCMPPS(U8(atLeastIs), f.c(0), x, k)
		VSUBPS(tail, one, k, tail)
		return tail
	case f.wide():
		k := K()
		VCMPPD(U8(atLeastIs), f.c(0), x, k)
		VSUBPD(tail, one, k, tail)
		return tail
	}
	return f.where(less, x, f.c(0), tail, f.minus(one, tail))
}

// logistic is σ(x) and σ′(x), from e^−|x|.
func (f flavour) logistic(x vec, derivative bool) (value, slope vec) {
	e := f.decay(x)
	d := f.plus(e, f.c(1))
	value = f.over(f.where(less, x, f.c(0), e, f.copyOf(f.c(1))), d)
	if derivative {
		slope = f.over(e, f.times(d, d))
	}
	return value, slope
}

// far is where σ′ and the normal density are 0.
func (f flavour) far() float64 {
	if f.single() {
		return 120
	}
	return 800
}

// cubic is 2u of GELUTanh, and its derivative times x.
func (f flavour) cubic(x vec) (u, xdu vec) {
	const a, k = 2 * 0.79788456080286535588, 0.044715
	square := f.times(x, x)
	ax := f.times(x, f.c(a))
	return f.times(ax, f.plus(f.times(square, f.c(k)), f.c(1))), f.times(ax, f.plus(f.times(square, f.c(3*k)), f.c(1)))
}

// clipped6 is min(max(x + 3, 0), 6).
func (f flavour) clipped6(x vec) vec {
	return f.atMost(f.atLeast(f.plus(x, f.c(3)), f.c(0)), f.c(6))
}

// inside is c where lo < x < hi and 0 elsewhere.
func (f flavour) inside(x vec, lo, hi, c float64) vec {
	zero := f.copyOf(f.c(0))
	return f.where(greater, x, f.c(lo), f.where(less, x, f.c(hi), f.copyOf(f.c(c)), zero), zero)
}

// A function is an activation and its derivative. a and b are its parameters.
type function struct {
	name, parameters string
	value, slope     func(f flavour, x, a, b vec) vec
	holds            func(f flavour) []float64 // constants that are worth a register; may be nil
}

var functions = []function{
	{"sigmoid", "",
		func(f flavour, x, _, _ vec) vec { v, _ := f.logistic(x, false); return v },
		func(f flavour, x, _, _ vec) vec {
			e := f.decay(x)
			d := f.plus(e, f.c(1))
			return f.over(e, f.times(d, d))
		}, flavour.exps},
	{"tanh", "", // −m/(m+2) with m = e^(−2|x|) − 1
		func(f flavour, x, _, _ vec) vec {
			m := f.expm1(f.atLeast(f.times(f.magnitude(x), f.c(-2)), f.c(f.lowest())))
			return f.signed(f.magnitude(f.over(m, f.plus(m, f.c(2)))), x)
		},
		func(f flavour, x, _, _ vec) vec {
			e := f.decay(f.plus(x, x))
			d := f.plus(e, f.c(1))
			return f.over(f.times(e, f.c(4)), f.times(d, d))
		}, flavour.expm1s},
	{"softplus", "",
		func(f flavour, x, _, _ vec) vec {
			return f.plus(f.log1p(f.decay(x)), f.atLeast(x, f.c(0)))
		},
		func(f flavour, x, _, _ vec) vec { v, _ := f.logistic(x, false); return v }, flavour.exps},
	{"silu", "",
		func(f flavour, x, _, _ vec) vec { v, _ := f.logistic(x, false); return f.times(x, v) },
		func(f flavour, x, _, _ vec) vec {
			v, slope := f.logistic(x, true)
			return f.plus(v, f.times(f.clip(x, f.far()), slope))
		}, flavour.exps},
	{"gelu", "",
		func(f flavour, x, _, _ vec) vec { v, _ := f.normal(x); return f.times(x, v) },
		func(f flavour, x, _, _ vec) vec {
			v, density := f.normal(x)
			return f.plus(v, f.times(f.times(f.clip(x, f.far()), density), f.c(1/math.Sqrt(2*math.Pi))))
		}, flavour.normals},
	{"geluTanh", "",
		func(f flavour, x, _, _ vec) vec {
			u, _ := f.cubic(x)
			v, _ := f.logistic(u, false)
			return f.times(x, v)
		},
		func(f flavour, x, _, _ vec) vec {
			u, xdu := f.cubic(f.clip(x, 40))
			v, slope := f.logistic(u, true)
			return f.plus(v, f.times(xdu, slope))
		}, flavour.exps},
	{"elu", "a",
		func(f flavour, x, a, _ vec) vec {
			m := f.signed(f.expm1(f.negative(x, f.lowest())), x) // −0 for −0
			return f.where(lessEqual, x, f.c(0), f.times(a, m), x)
		},
		func(f flavour, x, a, _ vec) vec {
			return f.where(greater, x, f.c(0), f.copyOf(f.c(1)), f.times(a, f.exp(f.atMost(x, f.c(0)))))
		}, flavour.expm1s},
	{"leakyReLU", "a",
		func(f flavour, x, a, _ vec) vec { return f.where(greater, x, f.c(0), x, f.times(a, x)) },
		func(f flavour, x, a, _ vec) vec { return f.where(greater, x, f.c(0), f.copyOf(f.c(1)), a) }, nil},
	{"clamp", "a, b",
		func(f flavour, x, a, b vec) vec { return f.atMost(f.atLeast(x, a), b) },
		func(f flavour, x, a, b vec) vec {
			zero := f.copyOf(f.c(0))
			return f.where(greater, x, a, f.where(less, x, b, f.copyOf(f.c(1)), zero), zero)
		}, nil},
	{"relu6", "",
		func(f flavour, x, _, _ vec) vec { // +0 for −0
			return f.plus(f.atMost(f.atLeast(x, f.c(0)), f.c(6)), f.c(0))
		},
		func(f flavour, x, _, _ vec) vec { // 1 where x is NaN
			zero := f.copyOf(f.c(0))
			return f.where(lessEqual, x, f.c(0), zero, f.where(atLeastIs, x, f.c(6), zero, f.copyOf(f.c(1))))
		}, nil},
	{"hardSigmoid", "",
		func(f flavour, x, _, _ vec) vec { return f.over(f.clipped6(x), f.c(6)) },
		func(f flavour, x, _, _ vec) vec { return f.inside(x, -3, 3, 1.0/6) }, nil},
	{"hardSwish", "",
		func(f flavour, x, _, _ vec) vec { return f.times(x, f.over(f.clipped6(x), f.c(6))) },
		func(f flavour, x, _, _ vec) vec {
			v := f.plus(f.over(x, f.c(3)), f.c(0.5))
			v = f.where(lessEqual, x, f.c(-3), f.copyOf(f.c(0)), v)
			return f.where(atLeastIs, x, f.c(3), f.copyOf(f.c(1)), v)
		}, nil},
	{"exp", "",
		func(f flavour, x, _, _ vec) vec { return f.exp(x) },
		func(f flavour, x, _, _ vec) vec { return f.exp(x) }, flavour.exps},
	{"log", "",
		func(f flavour, x, _, _ vec) vec { return f.log(x) },
		func(f flavour, x, _, _ vec) vec { return f.over(f.copyOf(f.c(1)), x) }, flavour.logs},
	{"sqrt", "",
		func(f flavour, x, _, _ vec) vec { return f.sqrt(x) },
		func(f flavour, x, _, _ vec) vec { return f.over(f.copyOf(f.c(0.5)), f.op("sqrt", nil, x)) }, nil},
	{"square", "",
		func(f flavour, x, _, _ vec) vec { return f.times(x, x) },
		func(f flavour, x, _, _ vec) vec { return f.plus(x, x) }, nil},
	{"abs", "",
		func(f flavour, x, _, _ vec) vec { return f.magnitude(x) },
		func(f flavour, x, _, _ vec) vec {
			v := f.where(less, x, f.c(0), f.copyOf(f.c(-1)), x)
			return f.where(greater, x, f.c(0), f.copyOf(f.c(1)), v)
		}, nil},
	{"below", "",
		func(f flavour, x, _, _ vec) vec { return f.atMost(x, f.c(0)) },
		func(f flavour, x, _, _ vec) vec {
			return f.where(lessEqual, x, f.c(0), f.copyOf(f.c(1)), f.copyOf(f.c(0)))
		}, nil},
}

// activation makes both kernels of a function.
func activation(f flavour, g function) {
	parameters := map[string]vec{}
	prepare := func() {
		f.constants(g.parameters, parameters)
		if g.holds != nil {
			f.hold(g.holds(f))
		}
	}
	doc := g.name
	if g.parameters != "" {
		doc += " with the parameters " + g.parameters
	}
	unroll = 1 // the bodies are long
	stream(f, g.name, "y = f(x) over n elements, f being "+doc+".", "y, x", g.parameters, prepare, func(at func(string) Mem) {
		f.store(g.value(f, f.copyOf(at("x")), parameters["a"], parameters["b"]), at("y"))
	})
	stream(f, g.name+"Backward", "dx = dy·f′(x) over n elements, f being "+doc+".", "dx, dy, x", g.parameters, prepare, func(at func(string) Mem) {
		slope := g.slope(f, f.copyOf(at("x")), parameters["a"], parameters["b"])
		f.store(f.times(slope, at("dy")), at("dx"))
	})
	unroll = 4
}

// constants broadcasts parameters.
func (f flavour) constants(names string, to map[string]vec) {
	if names != "" {
		for _, p := range strings.Split(names, ", ") {
			to[p] = f.constant(p)
		}
	}
}
