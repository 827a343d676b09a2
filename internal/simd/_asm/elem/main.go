// Command elem generates the kernels that move data at the speed of memory: activations, dropout,
// optimisers, normalisation and pooling.
//
// Each comes for both vector widths and both element types. Elementwise ones take a number of
// elements that is a multiple of the vector's; the caller does the others in Go, and both compute
// the same bits: no fused multiply-add, the same order of operations.
package main

import (
	"fmt"
	"strings"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// A flavour is a vector width and an element type, with the instructions that depend on them.
type flavour struct {
	tier, elem string // parts of the functions' names
	goType     string
	bytes      int // of a vector
	size       int // of an element
}

var flavours = []flavour{
	{"AVX512", "32", "float32", 64, 4},
	{"AVX512", "64", "float64", 64, 8},
	{"AVX2", "32", "float32", 32, 4},
	{"AVX2", "64", "float64", 32, 8},
}

func (f flavour) wide() bool   { return f.bytes == 64 }
func (f flavour) single() bool { return f.size == 4 }
func (f flavour) lanes() int   { return f.bytes / f.size }

func (f flavour) vector() reg.VecVirtual {
	if f.wide() {
		return ZMM()
	}
	return YMM()
}

// half is a register of half the bytes.
func (f flavour) half() reg.VecVirtual {
	if f.wide() {
		return YMM()
	}
	return XMM()
}

// integers is a register of as many int32 as a vector has lanes.
func (f flavour) integers() reg.VecVirtual {
	if f.single() {
		return f.vector()
	}
	return f.half()
}

func (f flavour) zeroed() reg.VecVirtual {
	v := f.vector()
	if f.wide() {
		VPXORD(v, v, v)
	} else {
		VPXOR(v, v, v)
	}
	return v
}

// binary emits a three-operand instruction for the element type.
func (f flavour) binary(name string, a Op, b, to Op) {
	type instruction = func(ops ...Op)
	table := map[string][2]instruction{
		"add":    {VADDPS, VADDPD},
		"sub":    {VSUBPS, VSUBPD},
		"mul":    {VMULPS, VMULPD},
		"div":    {VDIVPS, VDIVPD},
		"max":    {VMAXPS, VMAXPD},
		"min":    {VMINPS, VMINPD},
		"and":    {VANDPS, VANDPD},
		"or":     {VORPS, VORPD},
		"xor":    {VXORPS, VXORPD},
		"andnot": {VANDNPS, VANDNPD}, // not the register, and the other
		"sqrt":   {func(ops ...Op) { VSQRTPS(ops[0], ops[2]) }, func(ops ...Op) { VSQRTPD(ops[0], ops[2]) }},
	}
	k := 1
	if f.single() {
		k = 0
	}
	table[name][k](a, b, to)
}

func (f flavour) load(m Mem, v Op)  { f.move(m, v) }
func (f flavour) store(v Op, m Mem) { f.move(v, m) }

// move copies a vector from or to memory, or to another register.
func (f flavour) move(from, to Op) {
	if f.single() {
		VMOVUPS(from, to)
	} else {
		VMOVUPD(from, to)
	}
}

// constant broadcasts a parameter.
func (f flavour) constant(name string) reg.VecVirtual {
	p, err := Param(name).Resolve()
	if err != nil {
		panic(err)
	}
	v := f.vector()
	if f.single() {
		VBROADCASTSS(p.Addr, v)
	} else {
		VBROADCASTSD(p.Addr, v)
	}
	return v
}

// cmpNotLE, cmpOrdered and cmpUnordered are predicates of VCMPPS: !(a ≤ b), true where either is
// NaN; neither is NaN; one is.
const (
	cmpNotLE     = 22
	cmpOrdered   = 7
	cmpUnordered = 3
)

// stream begins a function over n elements of the pointers, n a multiple of the lanes, and calls
// body for each vector; addr gives a pointer's address.
func stream(f flavour, name, doc, pointers, scalars string, prepare func(), body func(at func(pointer string) Mem)) {
	full := name + f.elem + f.tier
	signature := fmt.Sprintf("func(n int, %s *%s", pointers, f.goType)
	if scalars != "" {
		signature += fmt.Sprintf(", %s %s", scalars, f.goType)
	}
	begin(full, signature+")", doc)
	n := Load(Param("n"), GP64())
	base := map[string]reg.Register{}
	for _, p := range strings.Split(pointers, ", ") {
		base[p] = Load(Param(p), GP64())
	}
	if prepare != nil {
		prepare()
	}
	i := GP64()
	XORQ(i, i)
	loop(n, i, f.lanes(), func(u int) {
		body(func(p string) Mem { return Mem{Base: base[p], Index: i, Scale: uint8(f.size), Disp: u * f.bytes} })
	})
	VZEROUPPER()
	RET()
}

func begin(name, signature, doc string) {
	TEXT(name, NOSPLIT, signature)
	Doc(name + " is " + doc)
	Pragma("noescape")
	clear(held)
}

// unroll is how many steps a round of loop takes.
var unroll = 4

// loop runs body for i = 0, step, 2·step, … < n, unroll steps at a time while there are so many.
func loop(n, i reg.Register, step int, body func(u int)) {
	if unroll > 1 {
		rest := GP64()
		MOVQ(n, rest)
		SUBQ(I32(int32(unroll*step)), rest)
		JLT(LabelRef("rest"))
		Label("loop")
		for u := range unroll {
			body(u)
		}
		ADDQ(I32(int32(unroll*step)), i)
		CMPQ(i, rest)
		JLE(LabelRef("loop"))
		Label("rest")
	}
	CMPQ(i, n)
	JGE(LabelRef("done"))
	Label("single")
	body(0)
	ADDQ(I32(int32(step)), i)
	CMPQ(i, n)
	JLT(LabelRef("single"))
	Label("done")
}

func relu(f flavour) {
	var zero reg.VecVirtual
	stream(f, "relu", "y = max(0, x), NaN where x is NaN and +0 where x is −0, over n elements.", "y, x", "", func() { zero = f.zeroed() }, func(at func(string) Mem) {
		v := f.vector()
		// The maximum returns its second operand where either is NaN or both are zeros; +0 makes +0
		// of −0.
		f.binary("max", at("x"), zero, v)
		f.binary("add", zero, v, v)
		f.store(v, at("y"))
	})
}

func gate(f flavour) {
	var zero reg.VecVirtual
	stream(f, "gate", "dx = 0 where x ≤ 0 and dy elsewhere, over n elements.", "dx, dy, x", "", func() { zero = f.zeroed() }, func(at func(string) Mem) {
		v, x := f.vector(), f.vector()
		f.load(at("x"), x)
		if f.wide() {
			k := K()
			if f.single() {
				VCMPPS(U8(cmpNotLE), zero, x, k)
				VMOVUPS_Z(at("dy"), k, v)
			} else {
				VCMPPD(U8(cmpNotLE), zero, x, k)
				VMOVUPD_Z(at("dy"), k, v)
			}
		} else {
			if f.single() {
				VCMPPS(U8(cmpNotLE), zero, x, v)
			} else {
				VCMPPD(U8(cmpNotLE), zero, x, v)
			}
			f.binary("and", at("dy"), v, v)
		}
		f.store(v, at("dx"))
	})
}

func add(f flavour) {
	stream(f, "add", "y += x over n elements.", "y, x", "", nil, func(at func(string) Mem) {
		v := f.vector()
		f.load(at("x"), v)
		f.binary("add", at("y"), v, v)
		f.store(v, at("y"))
	})
}

func blend(f flavour) {
	var a, b reg.VecVirtual
	stream(f, "blend", "y = wu·u + wv·v over n elements.", "y, u, v", "wu, wv", func() {
		a, b = f.constant("wu"), f.constant("wv")
	}, func(at func(string) Mem) {
		u, v := f.vector(), f.vector()
		f.binary("mul", at("u"), a, u)
		f.binary("mul", at("v"), b, v)
		f.binary("add", v, u, u)
		f.store(u, at("y"))
	})
}

func addScaled(f flavour) {
	var w reg.VecVirtual
	stream(f, "addScaled", "y += w·x over n elements.", "y, x", "w", func() { w = f.constant("w") }, func(at func(string) Mem) {
		v := f.vector()
		f.binary("mul", at("x"), w, v)
		f.binary("add", at("y"), v, v)
		f.store(v, at("y"))
	})
}

func scale(f flavour) {
	var w reg.VecVirtual
	stream(f, "scale", "y = w·x over n elements.", "y, x", "w", func() { w = f.constant("w") }, func(at func(string) Mem) {
		v := f.vector()
		f.binary("mul", at("x"), w, v)
		f.store(v, at("y"))
	})
}

func sgd(f flavour) {
	var rate, decay reg.VecVirtual
	stream(f, "sgd", "w −= rate·(dw + decay·w) over n elements.", "w, dw", "rate, decay", func() {
		rate, decay = f.constant("rate"), f.constant("decay")
	}, func(at func(string) Mem) {
		w, d := f.vector(), f.vector()
		f.load(at("w"), w)
		f.binary("mul", w, decay, d)
		f.binary("add", at("dw"), d, d)
		f.binary("mul", d, rate, d)
		f.binary("sub", d, w, w)
		f.store(w, at("w"))
	})
}

func momentum(f flavour, nesterov bool) {
	var rate, mom, decay reg.VecVirtual
	name, doc := "momentum", "v = momentum·v + dw + decay·w, w −= rate·v over n elements."
	if nesterov {
		name, doc = "nesterov", "v = momentum·v + dw + decay·w, w −= rate·(dw + decay·w + momentum·v) over n elements."
	}
	stream(f, name, doc, "w, dw, v", "rate, momentum, decay", func() {
		rate, mom, decay = f.constant("rate"), f.constant("momentum"), f.constant("decay")
	}, func(at func(string) Mem) {
		w, v, d := f.vector(), f.vector(), f.vector()
		f.load(at("w"), w)
		f.binary("mul", w, decay, d)
		f.binary("add", at("dw"), d, d)
		f.binary("mul", at("v"), mom, v)
		f.binary("add", d, v, v)
		f.store(v, at("v"))
		if nesterov {
			f.binary("mul", v, mom, v)
			f.binary("add", d, v, v)
		}
		f.binary("mul", v, rate, v)
		f.binary("sub", v, w, w)
		f.store(w, at("w"))
	})
}

func adam(f flavour) {
	names := "beta1, rest1, beta2, rest2, rate, unbias2, epsilon, decay"
	c := map[string]reg.VecVirtual{}
	stream(f, "adam", "m = β₁m + rest1·dw, v = β₂v + rest2·dw·dw, w −= rate·m/(√(v·unbias2) + ε) + decay·w over n elements.", "w, dw, m, v", names, func() {
		for _, n := range strings.Split(names, ", ") {
			c[n] = f.constant(n)
		}
	}, func(at func(string) Mem) {
		w, g, m, v, t := f.vector(), f.vector(), f.vector(), f.vector(), f.vector()
		f.load(at("dw"), g)
		f.binary("mul", at("m"), c["beta1"], m)
		f.binary("mul", g, c["rest1"], t)
		f.binary("add", t, m, m)
		f.store(m, at("m"))
		f.binary("mul", at("v"), c["beta2"], v)
		f.binary("mul", g, c["rest2"], t)
		f.binary("mul", g, t, t)
		f.binary("add", t, v, v)
		f.store(v, at("v"))
		f.binary("mul", v, c["unbias2"], v)
		f.binary("sqrt", v, nil, v)
		f.binary("add", c["epsilon"], v, v)
		f.binary("mul", m, c["rate"], m)
		f.binary("div", v, m, m)
		f.load(at("w"), w)
		f.binary("mul", w, c["decay"], t)
		f.binary("add", t, m, m)
		f.binary("sub", m, w, w)
		f.store(w, at("w"))
	})
}

func rmsProp(f flavour) {
	names := "rho, rest, rate, epsilon"
	c := map[string]reg.VecVirtual{}
	stream(f, "rmsProp", "s = ρs + rest·dw·dw, w −= rate·dw/(√s + ε) over n elements.", "w, dw, s", names, func() {
		for _, n := range strings.Split(names, ", ") {
			c[n] = f.constant(n)
		}
	}, func(at func(string) Mem) {
		w, g, s, t := f.vector(), f.vector(), f.vector(), f.vector()
		f.load(at("dw"), g)
		f.binary("mul", at("s"), c["rho"], s)
		f.binary("mul", g, c["rest"], t)
		f.binary("mul", g, t, t)
		f.binary("add", t, s, s)
		f.store(s, at("s"))
		f.binary("sqrt", s, nil, s)
		f.binary("add", c["epsilon"], s, s)
		f.binary("mul", g, c["rate"], g)
		f.binary("div", s, g, g)
		f.load(at("w"), w)
		f.binary("sub", g, w, w)
		f.store(w, at("w"))
	})
}

// data makes a table of uint32 once.
func data(name string, values ...uint32) Mem {
	m := GLOBL(name, RODATA|NOPTR)
	for i, v := range values {
		DATA(4*i, U32(v))
	}
	return m
}

const (
	weyl = 0x9E3779B1
	mul1 = 0x21F0AAAD
	mul2 = 0x735A2D97
)

// broadcastInt is v in every 32-bit lane.
func broadcastInt(v uint32, to reg.VecVirtual) reg.VecVirtual {
	g := GP32()
	MOVL(U32(v), g)
	return broadcastReg(g, to)
}

func broadcastReg(g reg.Register, to reg.VecVirtual) reg.VecVirtual {
	x := XMM()
	VMOVD(g, x)
	VPBROADCASTD(x, to)
	return to
}

func dropout(f flavour) {
	begin("dropout"+f.elem+f.tier, fmt.Sprintf("func(n int, y, x *%s, i, key0, key1, drop uint32, scale %s)", f.goType, f.goType),
		"y[j] = 0 where hash(i+j, key0, key1) < drop and x[j]·scale elsewhere, over n elements.")
	n := Load(Param("n"), GP64())
	y := Load(Param("y"), GP64())
	x := Load(Param("x"), GP64())
	// The counter runs as (i+j)·weyl + key0.
	start := Load(Param("i"), GP32())
	IMUL3L(U32(weyl), start, start)
	key0 := GP32()
	Load(Param("key0"), key0)
	ADDL(key0, start)
	counter := f.integers()
	broadcastReg(start, counter)
	VPADDD(laneWeyl, counter, counter)
	key1 := broadcastReg(Load(Param("key1"), GP32()), f.integers())
	drop := broadcastReg(Load(Param("drop"), GP32()), f.integers())
	m1, m2 := broadcastInt(mul1, f.integers()), broadcastInt(mul2, f.integers())
	step := uint32(f.lanes())
	stride := broadcastInt(step*weyl&0xFFFFFFFF, f.integers())
	scale := f.constant("scale")
	i := GP64()
	XORQ(i, i)
	xor := func(a, b, to reg.VecVirtual) {
		if f.wide() && f.single() {
			VPXORD(a, b, to)
		} else {
			VPXOR(a, b, to)
		}
	}
	loop(n, i, f.lanes(), func(u int) {
		h, t, v := f.integers(), f.integers(), f.vector()
		VPSRLD(U8(16), counter, t)
		xor(counter, t, h)
		VPADDD(stride, counter, counter)
		VPMULLD(m1, h, h)
		VPADDD(key1, h, h)
		VPSRLD(U8(15), h, t)
		xor(h, t, h)
		VPMULLD(m2, h, h)
		VPSRLD(U8(15), h, t)
		xor(h, t, h)
		at := func(p reg.Register) Mem { return Mem{Base: p, Index: i, Scale: uint8(f.size), Disp: u * f.bytes} }
		if f.wide() {
			k := K()
			VPCMPUD(U8(5), drop, h, k) // h ≥ drop
			if f.single() {
				VMULPS_Z(at(x), scale, k, v)
			} else {
				VMULPD_Z(at(x), scale, k, v)
			}
		} else {
			VPMAXUD(drop, h, t)
			VPCMPEQD(h, t, t) // h ≥ drop
			if f.single() {
				VMULPS(at(x), scale, v)
				VANDPS(t, v, v)
			} else {
				wide := YMM()
				VPMOVSXDQ(t, wide)
				VMULPD(at(x), scale, v)
				VANDPD(wide, v, v)
			}
		}
		f.store(v, at(y))
	})
	VZEROUPPER()
	RET()
}

func normalise(f flavour) {
	begin("normalise"+f.elem+f.tier, fmt.Sprintf("func(n int, y *%s, x *uint8, mean, scale %s)", f.goType, f.goType), "y = (x − mean)·scale over n elements.")
	n := Load(Param("n"), GP64())
	y := Load(Param("y"), GP64())
	x := Load(Param("x"), GP64())
	mean, scale := f.constant("mean"), f.constant("scale")
	i := GP64()
	XORQ(i, i)
	loop(n, i, f.lanes(), func(u int) {
		b, v := f.integers(), f.vector()
		VPMOVZXBD(Mem{Base: x, Index: i, Scale: 1, Disp: u * f.lanes()}, b)
		if f.single() {
			VCVTDQ2PS(b, v)
		} else {
			VCVTDQ2PD(b, v)
		}
		f.binary("sub", mean, v, v)
		f.binary("mul", scale, v, v)
		f.store(v, Mem{Base: y, Index: i, Scale: uint8(f.size), Disp: u * f.bytes})
	})
	VZEROUPPER()
	RET()
}

// laneWeyl is lane·weyl, which begins the counters of dropout.
var laneWeyl Mem

func main() {
	ConstraintExpr("amd64,!noasm")
	var weyls []uint32
	for i := range uint32(16) {
		w := uint32(weyl)
		weyls = append(weyls, i*w)
	}
	laneWeyl = data("laneWeyl", weyls...)
	poolTables()
	expTables()
	for _, f := range flavours {
		relu(f)
		gate(f)
		add(f)
		blend(f)
		addScaled(f)
		scale(f)
		sgd(f)
		momentum(f, false)
		momentum(f, true)
		adam(f)
		rmsProp(f)
		dropout(f)
		normalise(f)
		sum(f)
		deviation(f)
		sumDot(f)
		for _, more := range []bool{false, true} {
			standard(f, more, false)
			standard(f, more, true)
		}
		standardBackward(f, false)
		standardEach(f)
		standardBackward(f, true)
		sumDotEach(f)
		arithmetic(f, "add", "+")
		arithmetic(f, "sub", "−")
		arithmetic(f, "mul", "·")
		arithmetic(f, "div", "/")
		wideAffine(f)
		addWide(f)
		addWideProduct(f)
		squares(f)
		for _, g := range functions {
			activation(f, g)
		}
		for _, g := range pairs {
			pairing(f, g)
		}
		raise(f)
		find(f)
		expSum(f)
		expAdd(f)
		rowMax(f, false)
		rowMax(f, true)
		maxPool(f)
		maxScatter(f)
		maxGather(f)
		if f.wide() {
			maxTaps(f, 1)
			maxTaps(f, 2)
		} else {
			maxTapsWhole(f, 1)
			maxTapsWhole(f, 2)
		}
		avgPool(f)
		avgSpread(f)
		mixRows(f)
		mixAcross(f)
	}
	Generate()
}
