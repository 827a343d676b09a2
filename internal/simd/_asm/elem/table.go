package main

import (
	"math"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
)

// Functions of float32 in vectors of 16 lanes: a table of 16 elements is one register, and square
// roots begin with an instruction's estimate.

// logByTable is log x. x = 2ᵏ·m with ¾ ≤ m < 3⁄2, and the first four bits of m's fraction name a
// part of that interval, with a number c near the middle of 1/m there:
//
//	log x = k·ln 2 − log c + log(1+r),   r = m·c − 1
//
// c is 1 in the parts on both sides of m = 1, where |r| ≤ 1⁄16; elsewhere |r| ≤ 1⁄32, and c is
// chosen so that log c is a float32 to within 2⁻³⁴. The series of log(1+r), cut after r⁶, is right
// to 2⁻²⁶ of it. See the test of internal/kernel for the roundings.
//
// Negative numbers have no m but NaN; the exponent of 0 is −∞ and that of ∞ is ∞.
func (f flavour) logByTable(x vec) vec {
	m, k, part := f.vector(), f.vector(), f.vector()
	VGETMANTPS(U8(0b1011), x, m) // from ¾ to 3⁄2, NaN for negative x
	VGETEXPPS(x, k)
	below := K()
	VCMPPS(U8(less), f.c(1), m, below)
	VADDPS(f.c(1), k, below, k)
	VPSRLD(U8(19), m, part)
	r, y := f.vector(), f.vector()
	VPERMPS(f.lookup("logFactors", logFactors), part, r)
	VPERMPS(f.lookup("logValues", logValues), part, y)
	VFMSUB213PS(f.c(1), m, r)
	square := f.times(r, r)
	rest := f.fma(f.polynomial(r, logSeries), square, r)
	y = f.plusProduct(k, f.c(logHi), y)
	return f.plus(y, f.plusProduct(k, f.c(logLo), rest))
}

// ln 2 in two positive parts, as fdlibm has it: k may be infinite.
const logHi, logLo = 6.9313812256e-01, 9.0580006145e-06

var (
	logSeries             = []float64{-1.0 / 6, 1.0 / 5, -1.0 / 4, 1.0 / 3, -1.0 / 2}
	logFactors, logValues = logTables()
)

// logTables are c and −log c of the 16 parts.
func logTables() (factors, values []float32) {
	for part := range 16 {
		lo, hi := 1+float64(part)/16, 1+float64(part+1)/16
		if part >= 8 {
			lo, hi = lo/2, hi/2
		}
		c := float32(1)
		if part != 0 && part != 15 {
			// The least error of all within a thousandth of the middle.
			middle, least := float32(2/(lo+hi)), math.Inf(1)
			for i := -8192; i <= 8192; i++ {
				v := middle * (1 + float32(i)*0x1p-23)
				log := -math.Log(float64(v))
				if e := math.Abs(log - float64(float32(log))); e < least {
					c, least = v, e
				}
			}
		}
		factors, values = append(factors, c), append(values, float32(-math.Log(float64(c)))+0)
	}
	return factors, values
}

// lookup is a register's 16 elements, in memory or in a register.
func (f flavour) lookup(name string, values []float32) Op {
	if r, ok := held[name]; ok {
		return r
	}
	m, ok := constants[name]
	if !ok {
		m = GLOBL(name, RODATA|NOPTR)
		for i, v := range values {
			DATA(4*i, F32(v))
		}
		constants[name] = m
	}
	return m
}

// logs are the constants of log.
func (f flavour) logs() []float64 {
	if !f.single() {
		return nil
	}
	if f.wide() {
		held["logFactors"] = f.copyOf(f.lookup("logFactors", logFactors))
		held["logValues"] = f.copyOf(f.lookup("logValues", logValues))
	}
	return append([]float64{1, logHi, logLo}, logSeries...)
}

// sqrt is √x, correctly rounded. Where all x of a vector of 16 are well inside the range, it is
// made of an estimate y of 1/√x, right to 2⁻¹⁴, in less time than the processor's own instruction
// takes: with g = x·y and h = y/2, one step of Goldschmidt's makes both right to 2⁻²³, and
// g + h·(x − g²) is √x before its rounding to 2⁻⁴⁷ (Markstein, 1990). A test of internal/kernel
// compares all mantissas.
func (f flavour) sqrt(x vec) vec {
	if !f.wide() || !f.single() {
		return f.op("sqrt", nil, x)
	}
	const least, range_ = 0x0D800000, 0x65000000 // 2⁻¹⁰⁰, and up to 2¹⁰²
	v, inside := f.vector(), K()
	VPSUBD(f.bits(least), x, v)
	VPCMPUD(U8(1), f.bits(range_), v, inside)
	y := f.vector()
	KORTESTW(inside, inside)
	JCS(LabelRef("inside")) // all 16 are
	VSQRTPS(x, y)
	JMP(LabelRef("root"))
	Label("inside")
	VRSQRT14PS(x, y)
	g := f.times(x, y)
	h := f.times(y, f.c(0.5))
	r := f.fnma(g, h, f.copyOf(f.c(0.5)))
	g = f.plusProduct(g, r, g)
	h = f.plusProduct(h, r, h)
	d := f.fnma(g, g, f.copyOf(x))
	f.move(f.plusProduct(d, h, g), y)
	Label("root")
	return y
}
