package main

import (
	"fmt"
	"math"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// Exponentials of rows, with their sums in float64. Those of differences from a maximum are 1 at
// the most, so that they need no upper limit.

// bias is 1023 in four lanes of 32 bits, the bias of float64's exponents; biases is float32's, in
// eight.
var bias, biases Mem

func expTables() {
	bias = data("expBias", 1023, 1023, 1023, 1023)
	biases = data("expBiases", 127, 127, 127, 127, 127, 127, 127, 127)
}

// below1 is eˣ for x ≤ 0.
func (f flavour) below1(x vec) vec {
	_, least := f.limits()
	k, _, r := f.reduced(f.atLeast(x, f.c(least)))
	return f.power(f.polynomial(r, f.exponential(0)), k)
}

// some says how many of n elements a kernel does that masks its last vector where it can.
func some(f flavour) string {
	if f.wide() {
		return "over n elements"
	}
	return fmt.Sprintf("over n elements, a multiple of %d", f.lanes())
}

// masked runs body for vectors at element i of n, the last one under a mask where the flavour is
// wide. The mask is nil for whole vectors.
func masked(f flavour, n, i reg.Register, body func(u int, mask reg.Register)) {
	XORQ(i, i)
	if !f.wide() {
		loop(n, i, f.lanes(), func(u int) { body(u, nil) })
		return
	}
	whole := GP64()
	MOVQ(n, whole)
	ANDQ(I32(int32(-f.lanes())), whole)
	loop(whole, i, f.lanes(), func(u int) { body(u, nil) })
	CMPQ(i, n)
	JGE(LabelRef("end"))
	body(0, f.lastMask(n))
	Label("end")
}

// loadSome and storeSome move a vector, or the part under a mask. What is not loaded is 0.
func (f flavour) loadSome(m Mem, mask reg.Register) vec {
	v := f.vector()
	if mask == nil {
		f.load(m, v)
	} else {
		f.loadMasked(m, mask, v)
	}
	return v
}

func (f flavour) storeSome(v vec, mask reg.Register, m Mem) {
	if mask == nil {
		f.store(v, m)
	} else {
		f.storeMasked(v, mask, m)
	}
}

// halves are a vector's elements as vectors of float64, one or two.
func (f flavour) halves(v vec) []vec {
	if !f.single() {
		return []vec{v}
	}
	d := f.doubles()
	low, high := d.vector(), d.vector()
	if f.wide() {
		VCVTPS2PD(v.AsY(), low)
		VEXTRACTF32X8(U8(1), v, high.AsY())
		VCVTPS2PD(high.AsY(), high)
	} else {
		VCVTPS2PD(v.AsX(), low)
		VEXTRACTF128(U8(1), v, high.AsX())
		VCVTPS2PD(high.AsX(), high)
	}
	return []vec{low, high}
}

// expSum is a row less one number.
func expSum(f flavour) {
	begin("expSum"+f.elem+f.tier, fmt.Sprintf("func(n int, y, x *%s, top %s) (sum float64)", f.goType, f.goType),
		"y = exp(x − top) "+some(f)+", and its sum, for x ≤ top; NaN where the difference is.")
	n, y, x := Load(Param("n"), GP64()), Load(Param("y"), GP64()), Load(Param("x"), GP64())
	top := f.constant("top")
	f.hold(f.exps())
	d := f.doubles()
	sums := []vec{d.zeroed(), d.zeroed()}
	i := GP64()
	unroll = 2
	masked(f, n, i, func(u int, mask reg.Register) {
		at := func(p reg.Register) Mem { return Mem{Base: p, Index: i, Scale: uint8(f.size), Disp: u * f.bytes} }
		e := f.below1(f.minus(f.loadSome(at(x), mask), top))
		if mask != nil {
			e = f.under(mask, e)
		}
		f.storeSome(e, mask, at(y))
		for k, half := range f.halves(e) {
			to := sums[(u+k)%2]
			VADDPD(half, to, to)
		}
	})
	unroll = 4
	VADDPD(sums[1], sums[0], sums[0])
	Store(total(d, sums[0]), ReturnIndex(0))
	VZEROUPPER()
	RET()
}

// under is v where the mask is set, and 0 elsewhere.
func (f flavour) under(mask reg.Register, v vec) vec {
	to := f.vector()
	if f.single() {
		VMOVAPS_Z(v, mask, to)
	} else {
		VMOVAPD_Z(v, mask, to)
	}
	return to
}

// expAdd is a row less another, whose exponentials are added to sums of their own.
func expAdd(f flavour) {
	begin("expAdd"+f.elem+f.tier, fmt.Sprintf("func(n int, y, x, top *%s, sums *float64)", f.goType),
		"y = exp(x − top) and sums += y "+some(f)+", for x ≤ top; NaN where the difference is.")
	n, y, x := Load(Param("n"), GP64()), Load(Param("y"), GP64()), Load(Param("x"), GP64())
	top, sums := Load(Param("top"), GP64()), Load(Param("sums"), GP64())
	f.hold(f.exps())
	d := f.doubles()
	i := GP64()
	unroll = 2
	masked(f, n, i, func(u int, mask reg.Register) {
		at := func(p reg.Register) Mem { return Mem{Base: p, Index: i, Scale: uint8(f.size), Disp: u * f.bytes} }
		e := f.below1(f.minus(f.loadSome(at(x), mask), f.loadSome(at(top), mask)))
		f.storeSome(e, mask, at(y))
		for k, half := range f.halves(e) {
			part := mask
			if mask != nil && k > 0 {
				part = K()
				KSHIFTRW(U8(8), mask, part)
			}
			to := Mem{Base: sums, Index: i, Scale: 8, Disp: (u*f.lanes() + k*d.lanes()) * 8}
			VADDPD(d.loadSome(to, part), half, half)
			d.storeSome(half, part, to)
		}
	})
	unroll = 4
	VZEROUPPER()
	RET()
}

// rowMax is the maximum, of magnitudes if asked for, and NaN if there is one. The last vector
// overlaps the one before it.
func rowMax(f flavour, magnitudes bool) {
	name, of := "rowMax", "x"
	if magnitudes {
		name, of = "rowMaxAbs", "the magnitude of x"
	}
	begin(name+f.elem+f.tier, fmt.Sprintf("func(n int, x, top *%s)", f.goType),
		fmt.Sprintf("*top = the maximum of "+of+", NaN if one of them is, over n elements, %d or more.", f.lanes()))
	n := Load(Param("n"), GP64())
	x := Load(Param("x"), GP64())
	top := Load(Param("top"), GP64())
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
	JMP(LabelRef("last"))
	Label("single")
	one := at(0, f.vector())
	f.binary("max", one, tops[0], tops[0])
	nan.either(one, one)
	ADDQ(I32(int32(f.lanes())), i)
	Label("last")
	MOVQ(n, rest)
	SUBQ(i, rest)
	CMPQ(rest, I32(int32(f.lanes())))
	JGE(LabelRef("single"))
	TESTQ(rest, rest)
	JZ(LabelRef("done"))
	MOVQ(n, i)
	SUBQ(I32(int32(f.lanes())), i)
	JMP(LabelRef("single"))
	Label("done")
	for _, other := range tops[1:] {
		f.binary("max", other, tops[0], tops[0])
	}
	// The maximum of the lanes, by halves.
	v0 := tops[0]
	upper := f.vector()
	if f.wide() {
		VEXTRACTF64X4(U8(1), v0, upper.AsY())
		f.binary("max", upper.AsY(), v0.AsY(), v0.AsY())
	}
	VEXTRACTF128(U8(1), v0.AsY(), upper.AsX())
	f.binary("max", upper.AsX(), v0.AsX(), v0.AsX())
	VUNPCKHPD(v0.AsX(), v0.AsX(), upper.AsX())
	f.binary("max", upper.AsX(), v0.AsX(), v0.AsX())
	if f.single() {
		VMOVSHDUP(v0.AsX(), upper.AsX())
		f.binary("max", upper.AsX(), v0.AsX(), v0.AsX())
	}
	nan.write(v0)
	if f.single() {
		VMOVSS(v0.AsX(), Mem{Base: top})
	} else {
		VMOVSD(v0.AsX(), Mem{Base: top})
	}
	VZEROUPPER()
	RET()
}

// A nanWatch notes whether there was a NaN: in a mask where the flavour is wide, else in a vector.
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

// write makes NaN of v if there was one.
func (w nanWatch) write(v vec) {
	if w.f.wide() {
		KORTESTW(w.seen, w.seen)
	} else {
		mask := GP32()
		VMOVMSKPS(w.seen, mask)
		TESTL(mask, mask)
	}
	JZ(LabelRef("number"))
	w.f.move(w.f.bits(^uint64(0)>>(64-8*w.f.size)), v)
	Label("number")
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
