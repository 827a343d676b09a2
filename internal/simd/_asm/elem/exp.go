package main

import (
	"fmt"
	"math"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// float64's exponential: exp(d) = 2ᵏ·exp(r) with k =
// round(d/ln 2) and |r| ≤ ln 2/2, exp(r) by its Taylor polynomial of degree 13, whose remainder is
// below r¹⁴/14!·1.5 < 7·10⁻¹⁸. ln 2 is taken in two parts, so that r is right to a unit of float64.

// expTable is what the polynomial needs, coefficients from 1/13! to 1/0!.
var expTable Mem

const (
	expLog2e = iota
	expLn2Hi
	expLn2Lo
	expFloor
	expCoefficients
)

func expTables() {
	// The upper part of ln 2 has 32 bits, so that its product with k is exact.
	hi := math.Float64frombits(math.Float64bits(math.Ln2) &^ (1<<21 - 1))
	lo := 1.90821492927058770002e-10 // ln 2 − hi, as fdlibm has it
	if math.Float64bits(hi) != 0x3FE62E42FEE00000 {
		panic("ln 2")
	}
	values := []float64{math.Log2E, hi, lo, -746}
	factorial := 1.0
	coefficients := []float64{1}
	for i := 1; i <= 13; i++ {
		factorial *= float64(i)
		coefficients = append(coefficients, 1/factorial)
	}
	for i := 13; i >= 0; i-- {
		values = append(values, coefficients[i])
	}
	expTable = GLOBL("expTable", RODATA|NOPTR)
	for i, v := range values {
		DATA(8*i, F64(v))
	}
	bias = data("expBias", 1023, 1023, 1023, 1023)
	biases = data("expBiases", 127, 127, 127, 127, 127, 127, 127, 127)
}

// bias is 1023 in four lanes of 32 bits, the bias of float64's exponents.
var bias Mem

// expSum sums in float64. In float64 it keeps the exponential's coefficients in registers, where
// there are enough.
func expSum(f flavour) {
	if f.single() {
		expSum32(f)
		return
	}
	d := f
	begin("expSum"+f.elem+f.tier, fmt.Sprintf("func(n int, y, x *%s, top float64) (sum float64)", f.goType),
		fmt.Sprintf("y = exp(x − top) over n elements, a multiple of %d, and its sum, for x ≤ top; NaN where the difference is.", d.lanes()))
	n := Load(Param("n"), GP64())
	y := Load(Param("y"), GP64())
	x := Load(Param("x"), GP64())
	top := d.constant("top")
	table := GP64()
	LEAQ(expTable, table)
	constant := func(i int) reg.VecVirtual {
		v := d.vector()
		VBROADCASTSD(Mem{Base: table, Disp: 8 * i}, v)
		return v
	}
	log2e, hi, lo, floor := constant(expLog2e), constant(expLn2Hi), constant(expLn2Lo), constant(expFloor)
	var coefficients []reg.VecVirtual
	if f.wide() { // registers enough
		for i := range 14 {
			coefficients = append(coefficients, constant(expCoefficients+i))
		}
	}
	sum := d.zeroed()
	i := GP64()
	XORQ(i, i)
	Label("loop")
	v, k, p := d.vector(), d.vector(), d.vector()
	at := Mem{Base: x, Index: i, Scale: uint8(f.size)}
	VMOVUPD(at, v)
	VSUBPD(top, v, v)
	VMAXPD(v, floor, v) // its second operand where either is NaN
	VMULPD(log2e, v, k)
	if f.wide() {
		VRNDSCALEPD(U8(8), k, k)
	} else {
		VROUNDPD(U8(8), k, k)
	}
	VFNMADD231PD(hi, k, v)
	VFNMADD231PD(lo, k, v)
	next := func(i int) reg.VecVirtual {
		if coefficients != nil {
			return coefficients[i]
		}
		c := d.vector()
		VBROADCASTSD(Mem{Base: table, Disp: 8 * (expCoefficients + i)}, c)
		return c
	}
	VMOVUPD(next(0), p)
	for j := 1; j < 14; j++ {
		VFMADD213PD(next(j), v, p)
	}
	if f.wide() {
		VSCALEFPD(k, p, p)
	} else {
		// 2ᵏ in two factors, each in range.
		whole, half := XMM(), XMM()
		VCVTPD2DQY(k, whole)
		VPSRAD(U8(1), whole, half)
		VPSUBD(half, whole, whole)
		for _, e := range []reg.VecVirtual{half, whole} {
			power := YMM()
			VPADDD(bias, e, e)
			VPMOVSXDQ(e, power)
			VPSLLQ(U8(52), power, power)
			VMULPD(power, p, p)
		}
	}
	VADDPD(p, sum, sum)
	to := Mem{Base: y, Index: i, Scale: uint8(f.size)}
	VMOVUPD(p, to)
	ADDQ(I32(int32(d.lanes())), i)
	CMPQ(i, n)
	JLT(LabelRef("loop"))
	Store(total(d, sum), ReturnIndex(0))
	VZEROUPPER()
	RET()
}

// expSum32 has the exponential of the activations, which is within 4 units in the last place.
func expSum32(f flavour) {
	d := f.doubles()
	begin("expSum"+f.elem+f.tier, "func(n int, y, x *float32, top float32) (sum float64)",
		fmt.Sprintf("y = exp(x − top) over n elements, a multiple of %d, and its sum, for x ≤ top; NaN where the difference is.", f.lanes()))
	n, y, x := Load(Param("n"), GP64()), Load(Param("y"), GP64()), Load(Param("x"), GP64())
	top := f.constant("top")
	f.hold(f.exps())
	low, high := d.zeroed(), d.zeroed()
	i := GP64()
	XORQ(i, i)
	unroll = 2
	loop(n, i, f.lanes(), func(u int) {
		v := f.copyOf(Mem{Base: x, Index: i, Scale: 4, Disp: u * f.bytes})
		_, least := f.limits()
		k, _, r := f.reduced(f.atLeast(f.minus(v, top), f.c(least)))
		e := f.power(f.polynomial(r, f.exponential(0)), k)
		f.store(e, Mem{Base: y, Index: i, Scale: 4, Disp: u * f.bytes})
		wide, upper := d.vector(), d.vector()
		if f.wide() {
			VCVTPS2PD(e.AsY(), wide)
			VEXTRACTF32X8(U8(1), e, upper.AsY())
			VCVTPS2PD(upper.AsY(), upper)
		} else {
			VCVTPS2PD(e.AsX(), wide)
			VEXTRACTF128(U8(1), e, upper.AsX())
			VCVTPS2PD(upper.AsX(), upper)
		}
		VADDPD(wide, low, low)
		VADDPD(upper, high, high)
	})
	unroll = 4
	VADDPD(high, low, low)
	Store(total(d, low), ReturnIndex(0))
	VZEROUPPER()
	RET()
}

// rowMax is the maximum by lanes, of magnitudes if asked for, and whether there was a NaN.
func rowMax(f flavour, magnitudes bool) {
	name, of := "rowMax", "x"
	if magnitudes {
		name, of = "rowMaxAbs", "the magnitude of x"
	}
	begin(name+f.elem+f.tier, fmt.Sprintf("func(n int, x, lanes *%s)", f.goType),
		fmt.Sprintf("lanes[l] = max over i of "+of+"[%d·i+l], NaN where one of them is, over n > 0 elements, a multiple of %d.", f.lanes(), f.lanes()))
	n := Load(Param("n"), GP64())
	x := Load(Param("x"), GP64())
	lanes := Load(Param("lanes"), GP64())
	i, rest := GP64(), GP64()
	XORQ(i, i)
	sign := f.vector()
	if magnitudes {
		f.move(f.c(math.Copysign(0, -1)), sign)
	}
	at := func(u int, v vec) vec {
		f.load(Mem{Base: x, Index: i, Scale: uint8(f.size), Disp: u * f.bytes}, v)
		if magnitudes {
			f.binary("andnot", v, sign, v)
		}
		return v
	}
	nan := f.noNaN()
	tops := []vec{at(0, f.vector())}
	for len(tops) < 4 {
		tops = append(tops, f.copyOf(tops[0]))
	}
	MOVQ(n, rest)
	SUBQ(I32(int32(4*f.lanes())), rest)
	JLT(LabelRef("single"))
	Label("loop")
	var v []vec
	for u := range 4 {
		v = append(v, at(u, f.vector()))
	}
	for u := range 4 {
		f.binary("max", v[u], tops[u], tops[u]) // one of them where either is NaN
	}
	nan.either(v[0], v[1])
	nan.either(v[2], v[3])
	ADDQ(I32(int32(4*f.lanes())), i)
	CMPQ(i, rest)
	JLE(LabelRef("loop"))
	CMPQ(i, n)
	JGE(LabelRef("done"))
	Label("single")
	one := at(0, f.vector())
	f.binary("max", one, tops[0], tops[0])
	nan.either(one, one)
	ADDQ(I32(int32(f.lanes())), i)
	CMPQ(i, n)
	JLT(LabelRef("single"))
	Label("done")
	for _, other := range tops[1:] {
		f.binary("max", other, tops[0], tops[0])
	}
	nan.write(tops[0])
	f.store(tops[0], Mem{Base: lanes})
	VZEROUPPER()
	RET()
}

// A nanWatch notes in which lanes there was a NaN: in a mask where the flavour is wide, else in a
// vector.
type nanWatch struct {
	f          flavour
	seen, some reg.Register
}

// noNaN is a watch that has seen none.
func (f flavour) noNaN() nanWatch {
	if f.wide() {
		w := nanWatch{f, K(), K()}
		KXORW(w.seen, w.seen, w.seen)
		return w
	}
	return nanWatch{f, f.zeroed(), f.vector()}
}

// either looks at two vectors.
func (w nanWatch) either(a, b vec) {
	if w.f.single() {
		VCMPPS(U8(cmpUnordered), a, b, w.some)
	} else {
		VCMPPD(U8(cmpUnordered), a, b, w.some)
	}
	if w.f.wide() {
		KORW(w.some, w.seen, w.seen)
	} else {
		w.f.binary("or", w.some, w.seen, w.seen)
	}
}

// write makes NaN of the lanes of v in which there was one.
func (w nanWatch) write(v vec) {
	switch none := w.f.bits(^uint64(0) >> (64 - 8*w.f.size)); {
	case !w.f.wide():
		w.f.binary("or", w.seen, v, v)
	case w.f.single():
		VMOVUPS(none, w.seen, v)
	default:
		VMOVUPD(none, w.seen, v)
	}
}

// find is the index of the first element that equals v, or n.
func find(f flavour) {
	begin("find"+f.elem+f.tier, fmt.Sprintf("func(n int, x *%s, v %s) (at int)", f.goType, f.goType),
		fmt.Sprintf("the least i with x[i] = v, or n if there is none, over n elements, a multiple of %d.", f.lanes()))
	n, x := Load(Param("n"), GP64()), Load(Param("x"), GP64())
	v := f.constant("v")
	i, rest, mask := GP64(), GP64(), GP32()
	XORQ(i, i)
	at := func(u int) Mem { return Mem{Base: x, Index: i, Scale: uint8(f.size), Disp: u * f.bytes} }
	compare := func(u int, to Op) {
		if f.single() {
			VCMPPS(U8(equal), at(u), v, to)
		} else {
			VCMPPD(U8(equal), at(u), v, to)
		}
	}
	// Four vectors at a time, until one of them holds v or less than four are left.
	MOVQ(n, rest)
	SUBQ(I32(int32(4*f.lanes())), rest)
	JLT(LabelRef("single"))
	Label("loop")
	var found [4]reg.Register
	for u := range 4 {
		if found[u] = f.vector(); f.wide() {
			found[u] = K()
		}
		compare(u, found[u])
	}
	if f.wide() {
		KORW(found[0], found[1], found[0])
		KORW(found[2], found[3], found[2])
		KORTESTW(found[0], found[2])
	} else {
		f.binary("or", found[0], found[1], found[0])
		f.binary("or", found[2], found[3], found[2])
		f.binary("or", found[0], found[2], found[0])
		VMOVMSKPS(found[0], mask)
		TESTL(mask, mask)
	}
	JNE(LabelRef("single"))
	ADDQ(I32(int32(4*f.lanes())), i)
	CMPQ(i, rest)
	JLE(LabelRef("loop"))
	CMPQ(i, n)
	JGE(LabelRef("done"))
	Label("single")
	switch {
	case f.wide():
		k := K()
		compare(0, k)
		KMOVW(k, mask)
	case f.single():
		m := f.vector()
		compare(0, m)
		VMOVMSKPS(m, mask)
	default:
		m := f.vector()
		compare(0, m)
		VMOVMSKPD(m, mask)
	}
	TESTL(mask, mask)
	JNE(LabelRef("found"))
	ADDQ(I32(int32(f.lanes())), i)
	CMPQ(i, n)
	JLT(LabelRef("single"))
	JMP(LabelRef("done"))
	Label("found")
	BSFL(mask, mask)
	ADDQ(mask.As64(), i)
	Label("done")
	Store(i, ReturnIndex(0))
	VZEROUPPER()
	RET()
}
