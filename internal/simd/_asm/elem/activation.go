package main

import (
	"fmt"
	"math"
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

// c is a constant in all lanes.
func (f flavour) c(v float64) Mem {
	if math.IsInf(v, 0) { // the assembler reads no infinity
		if f.single() {
			return f.bits(uint64(math.Float32bits(float32(v))))
		}
		return f.bits(math.Float64bits(v))
	}
	name := fmt.Sprintf("lanes%s_%016x", f.elem, math.Float64bits(v))
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

// taylor is 1/n!, …, 1/last! for the elements' type: the remainder of eʳ, |r| ≤ ln 2/2, is below
// 2⁻²⁷ with n = 7 and 2⁻⁵⁷ with n = 13.
func (f flavour) taylor(last int) (c []float64) {
	n := 13
	if f.single() {
		n = 7
	}
	for ; n >= last; n-- {
		c = append(c, 1/math.Gamma(float64(n+1)))
	}
	return c
}

// ln2 is ln 2 in two parts, as fdlibm and Cephes have it.
func (f flavour) ln2() (hi, lo float64) {
	if f.single() {
		return 0.693359375, -2.12194440054690583e-4
	}
	return math.Float64frombits(0x3FE62E42FEE00000), 1.90821492927058770002e-10
}

// reduced is k = round(x/ln 2) and r = x − k·ln 2. ln 2 is in two parts, the first so short that
// its product with k is exact.
func (f flavour) reduced(x vec) (k, r vec) {
	k = f.times(x, f.c(math.Log2E))
	switch {
	case f.wide() && f.single():
		VRNDSCALEPS(U8(8), k, k)
	case f.wide():
		VRNDSCALEPD(U8(8), k, k)
	case f.single():
		VROUNDPS(U8(8), k, k)
	default:
		VROUNDPD(U8(8), k, k)
	}
	hi, lo := f.ln2()
	r = f.copyOf(x)
	r = f.fnma(k, f.c(hi), r)
	return k, f.fnma(k, f.c(lo), r)
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

// biases is float32's bias, in eight lanes.
var biases Mem

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
	k, r := f.reduced(f.atLeast(f.atMost(x, f.c(high)), f.c(low)))
	return f.power(f.polynomial(r, f.taylor(0)), k)
}

// decay is e⁻ᵃ for a = |x|: f.exp without the upper limit.
func (f flavour) decay(x Op) vec {
	_, low := f.limits()
	minus := f.op("or", f.copyOf(f.c(math.Copysign(0, -1))), x)
	k, r := f.reduced(f.atLeast(minus, f.c(low)))
	return f.power(f.polynomial(r, f.taylor(0)), k)
}

// expm1 is eˣ − 1 for x ≤ 0: with q = eʳ − 1, 2ᵏ·q + (2ᵏ − 1).
func (f flavour) expm1(x vec) vec {
	low := -700.0
	if f.single() {
		low = -87
	}
	k, r := f.reduced(f.atLeast(x, f.c(low)))
	q := f.times(r, f.fma(f.polynomial(r, f.taylor(2)), r, f.c(1)))
	power := f.power(f.copyOf(f.c(1)), k)
	return f.fma(q, power, f.minus(power, f.c(1)))
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

// mills is Φ(−a)·e^(a²/2) for a ≥ 0 as a polynomial in (a−k)/(a+k), fitted at Chebyshev's points to
// a relative error below 2⁻²⁹ for a ≤ 15 in float32, and below 2⁻⁵⁶ for a ≤ 40 in float64.
func (f flavour) mills(a vec) vec {
	k, c := 5.0, mills64
	if f.single() {
		k, c = 4, mills32
	}
	return f.polynomial(f.over(f.minus(a, f.c(k)), f.plus(a, f.c(k))), c)
}

// mills32 are the coefficients for k = 4, the highest power first, mills64 those for k = 5.
var mills32 = []float64{
	8.52247928744150062e-6, 0.0000272470861935079637, -0.0000490817191602293092, -0.000187915186752674914,
	0.000639838740710519618, 0.000507971212046786322, -0.00849221033147305429, 0.0308647413345820668,
	-0.0717074034363704815, 0.124379258456678966, -0.170397721545395859, 0.0944106412774048996,
}

var mills64 = []float64{
	3.4689299501597492e-11, 7.03229576297861195e-11, -3.29435412612219026e-10, -8.29709600489918452e-10,
	1.92913086385087715e-9, 6.11360260827139199e-9, -1.10352127247079959e-8, -3.9569578929693995e-8,
	7.7094906287514605e-8, 2.43589860218287638e-7, -6.75058765267271371e-7, -1.27017373461457175e-6,
	6.64441214451349492e-6, 9.61332564341489633e-7, -0.0000604274806460167367, 0.00013427683864535298,
	0.000219550737351126669, -0.00237884435616025125, 0.0089913705506059934, -0.023413900487725634,
	0.0478553522841697864, -0.0808838772641264353, 0.116068811886003287, -0.14345755526401198,
	0.076919304975006296,
}

// normal is Φ(x) and e^(−x²/2). x² is taken with the rounding error of its product. Beyond the
// limit, e^(−x²/2) is 0.
func (f flavour) normal(x vec) (distribution, density vec) {
	limit := 40.0
	if f.single() {
		limit = 15
	}
	a := f.atMost(f.magnitude(x), f.c(limit))
	h := f.times(a, a)
	low := f.vector()
	if f.single() {
		VMOVAPS(a, low)
		VFMSUB213PS(h, a, low)
	} else {
		VMOVAPD(a, low)
		VFMSUB213PD(h, a, low)
	}
	e := f.exp(f.times(h, f.c(-0.5)))
	density = f.fnma(f.times(low, f.c(0.5)), e, f.copyOf(e))
	tail := f.times(density, f.mills(a))
	return f.where(less, x, f.c(0), tail, f.minus(f.copyOf(f.c(1)), tail)), density
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
}

var functions = []function{
	{"sigmoid", "",
		func(f flavour, x, _, _ vec) vec { v, _ := f.logistic(x, false); return v },
		func(f flavour, x, _, _ vec) vec {
			e := f.decay(x)
			d := f.plus(e, f.c(1))
			return f.over(e, f.times(d, d))
		}},
	{"tanh", "", // −m/(m+2) with m = e^(−2|x|) − 1
		func(f flavour, x, _, _ vec) vec {
			m := f.expm1(f.times(f.magnitude(x), f.c(-2)))
			return f.op("or", f.magnitude(f.over(m, f.plus(m, f.c(2)))), f.sign(x))
		},
		func(f flavour, x, _, _ vec) vec {
			e := f.decay(f.plus(x, x))
			d := f.plus(e, f.c(1))
			return f.over(f.times(e, f.c(4)), f.times(d, d))
		}},
	{"softplus", "",
		func(f flavour, x, _, _ vec) vec {
			return f.plus(f.log1p(f.decay(x)), f.atLeast(x, f.c(0)))
		},
		func(f flavour, x, _, _ vec) vec { v, _ := f.logistic(x, false); return v }},
	{"silu", "",
		func(f flavour, x, _, _ vec) vec { v, _ := f.logistic(x, false); return f.times(x, v) },
		func(f flavour, x, _, _ vec) vec {
			v, slope := f.logistic(x, true)
			return f.plus(v, f.times(f.clip(x, f.far()), slope))
		}},
	{"gelu", "",
		func(f flavour, x, _, _ vec) vec { v, _ := f.normal(x); return f.times(x, v) },
		func(f flavour, x, _, _ vec) vec {
			v, density := f.normal(x)
			return f.plus(v, f.times(f.times(f.clip(x, f.far()), density), f.c(1/math.Sqrt(2*math.Pi))))
		}},
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
		}},
	{"elu", "a",
		func(f flavour, x, a, _ vec) vec {
			m := f.op("or", f.expm1(f.atMost(x, f.c(0))), f.sign(x)) // −0 for −0
			return f.where(greater, x, f.c(0), x, f.times(a, m))
		},
		func(f flavour, x, a, _ vec) vec {
			return f.where(greater, x, f.c(0), f.copyOf(f.c(1)), f.times(a, f.exp(f.atMost(x, f.c(0)))))
		}},
	{"leakyReLU", "a",
		func(f flavour, x, a, _ vec) vec { return f.where(greater, x, f.c(0), x, f.times(a, x)) },
		func(f flavour, x, a, _ vec) vec { return f.where(greater, x, f.c(0), f.copyOf(f.c(1)), a) }},
	{"clamp", "a, b",
		func(f flavour, x, a, b vec) vec { return f.atMost(f.atLeast(x, a), b) },
		func(f flavour, x, a, b vec) vec {
			zero := f.copyOf(f.c(0))
			return f.where(greater, x, a, f.where(less, x, b, f.copyOf(f.c(1)), zero), zero)
		}},
	{"relu6", "",
		func(f flavour, x, _, _ vec) vec { // +0 for −0
			return f.plus(f.atMost(f.atLeast(x, f.c(0)), f.c(6)), f.c(0))
		},
		func(f flavour, x, _, _ vec) vec { // 1 where x is NaN
			zero := f.copyOf(f.c(0))
			return f.where(lessEqual, x, f.c(0), zero, f.where(atLeastIs, x, f.c(6), zero, f.copyOf(f.c(1))))
		}},
	{"hardSigmoid", "",
		func(f flavour, x, _, _ vec) vec { return f.over(f.clipped6(x), f.c(6)) },
		func(f flavour, x, _, _ vec) vec { return f.inside(x, -3, 3, 1.0/6) }},
	{"hardSwish", "",
		func(f flavour, x, _, _ vec) vec { return f.times(x, f.over(f.clipped6(x), f.c(6))) },
		func(f flavour, x, _, _ vec) vec {
			v := f.plus(f.over(x, f.c(3)), f.c(0.5))
			v = f.where(lessEqual, x, f.c(-3), f.copyOf(f.c(0)), v)
			return f.where(atLeastIs, x, f.c(3), f.copyOf(f.c(1)), v)
		}},
	{"exp", "",
		func(f flavour, x, _, _ vec) vec { return f.exp(x) },
		func(f flavour, x, _, _ vec) vec { return f.exp(x) }},
	{"log", "",
		func(f flavour, x, _, _ vec) vec { return f.log(x) },
		func(f flavour, x, _, _ vec) vec { return f.over(f.copyOf(f.c(1)), x) }},
	{"sqrt", "",
		func(f flavour, x, _, _ vec) vec { return f.op("sqrt", nil, x) },
		func(f flavour, x, _, _ vec) vec { return f.over(f.copyOf(f.c(0.5)), f.op("sqrt", nil, x)) }},
	{"square", "",
		func(f flavour, x, _, _ vec) vec { return f.times(x, x) },
		func(f flavour, x, _, _ vec) vec { return f.plus(x, x) }},
	{"abs", "",
		func(f flavour, x, _, _ vec) vec { return f.magnitude(x) },
		func(f flavour, x, _, _ vec) vec {
			v := f.where(less, x, f.c(0), f.copyOf(f.c(-1)), x)
			return f.where(greater, x, f.c(0), f.copyOf(f.c(1)), v)
		}},
	{"below", "",
		func(f flavour, x, _, _ vec) vec { return f.atMost(x, f.c(0)) },
		func(f flavour, x, _, _ vec) vec {
			return f.where(lessEqual, x, f.c(0), f.copyOf(f.c(1)), f.copyOf(f.c(0)))
		}},
}

// activation makes both kernels of a function.
func activation(f flavour, g function) {
	parameters := map[string]vec{}
	prepare := func() { f.constants(g.parameters, parameters) }
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
