package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// Pools of 2×2 with stride 2 take rows of outputs, ld apart, from pairs of rows of inputs, width
// apart. The wide ones do any number n of outputs of a row, the last few under a mask; the others
// do a multiple of their lanes.

// Tables of lanes for the wide flavours: the even and odd elements of two vectors, the two halves
// of the interleaved, and twice the lane's number.
var evens, odds, lows, highs [2]Mem // by element size: float32, float64
var overlapped [2]Mem               // the even elements of two vectors that share one
var once, twice, pick Mem

func poolTables() {
	for k, lanes := range []uint32{16, 8} {
		words := func(lane func(i uint32) uint32) (v []uint32) {
			for i := range lanes {
				v = append(v, lane(i))
				if k == 1 {
					v = append(v, 0)
				}
			}
			return v
		}
		name := []string{"32", "64"}[k]
		evens[k] = data("evens"+name, words(func(i uint32) uint32 { return 2 * i })...)
		odds[k] = data("odds"+name, words(func(i uint32) uint32 { return 2*i + 1 })...)
		overlapped[k] = data("overlapped"+name, words(func(i uint32) uint32 {
			if i < lanes/2 {
				return 2 * i
			}
			return 2*i + 1
		})...)
		interleaved := func(i uint32) uint32 { return i/2 + i%2*lanes }
		lows[k] = data("lows"+name, words(interleaved)...)
		highs[k] = data("highs"+name, words(func(i uint32) uint32 { return interleaved(i + lanes) })...)
	}
	var v, w []uint32
	for i := range uint32(16) {
		v, w = append(v, i), append(w, 2*i)
	}
	once, twice = data("once", v...), data("twice", w...)
	pick = data("pick", 0, 2, 4, 6, 0, 2, 4, 6)
}

func (f flavour) table(t [2]Mem) reg.VecVirtual {
	v := f.vector()
	k := 1
	if f.single() {
		k = 0
	}
	VMOVUPS(t[k], v)
	return v
}

// A pooler walks rows: at the vector of outputs that begins at q, in elements.
type pooler struct {
	f                  flavour
	q, in              reg.Register   // outputs, and inputs: twice as many
	evens, odds        reg.VecVirtual // tables, wide only
	lows, highs        reg.VecVirtual
	masked             bool
	out, inLow, inHigh reg.Register // masks of outputs and of the two vectors of inputs
}

func (p *pooler) outputs(base reg.Register, size int) Mem {
	return Mem{Base: base, Index: p.q, Scale: uint8(size)}
}

// inputs is the address of vector h of the two vectors of inputs.
func (p *pooler) inputs(base reg.Register, h int) Mem {
	return Mem{Base: base, Index: p.in, Scale: uint8(p.f.size), Disp: h * p.f.bytes}
}

// split loads two vectors of a row and returns its even and its odd elements.
func (p *pooler) split(row reg.Register) (even, odd reg.VecVirtual) {
	f := p.f
	lo, hi := f.vector(), f.vector()
	if p.masked {
		if f.single() {
			VMOVUPS_Z(p.inputs(row, 0), p.inLow, lo)
			VMOVUPS_Z(p.inputs(row, 1), p.inHigh, hi)
		} else {
			VMOVUPD_Z(p.inputs(row, 0), p.inLow, lo)
			VMOVUPD_Z(p.inputs(row, 1), p.inHigh, hi)
		}
	} else {
		f.load(p.inputs(row, 0), lo)
		f.load(p.inputs(row, 1), hi)
	}
	even, odd = f.vector(), f.vector()
	switch {
	case f.wide():
		VMOVDQU64(p.evens, even)
		VMOVDQU64(p.odds, odd)
		if f.single() {
			VPERMI2PS(hi, lo, even)
			VPERMI2PS(hi, lo, odd)
		} else {
			VPERMI2PD(hi, lo, even)
			VPERMI2PD(hi, lo, odd)
		}
	default:
		a, b := YMM(), YMM()
		VPERM2F128(U8(0x20), hi, lo, a)
		VPERM2F128(U8(0x31), hi, lo, b)
		if f.single() {
			VSHUFPS(U8(0x88), b, a, even)
			VSHUFPS(U8(0xDD), b, a, odd)
		} else {
			VUNPCKLPD(b, a, even)
			VUNPCKHPD(b, a, odd)
		}
	}
	return even, odd
}

// join stores even and odd elements to a row.
func (p *pooler) join(even, odd reg.VecVirtual, row reg.Register) {
	f := p.f
	lo, hi := f.vector(), f.vector()
	switch {
	case f.wide():
		VMOVDQU64(p.lows, lo)
		VMOVDQU64(p.highs, hi)
		if f.single() {
			VPERMI2PS(odd, even, lo)
			VPERMI2PS(odd, even, hi)
		} else {
			VPERMI2PD(odd, even, lo)
			VPERMI2PD(odd, even, hi)
		}
	default:
		a, b := YMM(), YMM()
		if f.single() {
			VUNPCKLPS(odd, even, a)
			VUNPCKHPS(odd, even, b)
		} else {
			VUNPCKLPD(odd, even, a)
			VUNPCKHPD(odd, even, b)
		}
		VPERM2F128(U8(0x20), b, a, lo)
		VPERM2F128(U8(0x31), b, a, hi)
	}
	if p.masked {
		if f.single() {
			VMOVUPS(lo, p.inLow, p.inputs(row, 0))
			VMOVUPS(hi, p.inHigh, p.inputs(row, 1))
		} else {
			VMOVUPD(lo, p.inLow, p.inputs(row, 0))
			VMOVUPD(hi, p.inHigh, p.inputs(row, 1))
		}
		return
	}
	f.store(lo, p.inputs(row, 0))
	f.store(hi, p.inputs(row, 1))
}

// An output is a pointer to rows of elements of that size.
type output struct {
	base reg.Register
	size int
}

// run emits body for every vector of the n outputs of each of the rows, and once more under masks
// for the last few of a row where the flavour is wide. After a row, the pointers to outputs, by the
// size of what they point to, and to rows of inputs, go on to the next.
func (p *pooler) run(outputs []output, inputs []reg.Register, nextRow func(), body func()) {
	f := p.f
	n := Load(Param("n"), GP64())
	rows := Load(Param("rows"), GP64())
	p.q, p.in = GP64(), GP64()
	if f.wide() {
		rest := GP64()
		MOVQ(n, rest)
		ANDQ(I32(int32(f.lanes()-1)), rest)
		bits := func() reg.GPVirtual {
			b := GP64()
			MOVQ(I32(-1), b)
			BZHIQ(rest, b, b)
			return b
		}
		p.out, p.inLow, p.inHigh = K(), K(), K()
		KMOVW(bits().As32(), p.out)
		SHLQ(U8(1), rest)
		in := bits()
		KMOVW(in.As32(), p.inLow)
		SHRQ(U8(f.lanes()), in)
		KMOVW(in.As32(), p.inHigh)
	}
	SUBQ(I32(int32(f.lanes())), n)
	Label("row")
	XORQ(p.q, p.q)
	XORQ(p.in, p.in)
	CMPQ(p.q, n)
	JGT(LabelRef("tail"))
	Label("vectors")
	p.masked = false
	body()
	ADDQ(I32(int32(f.lanes())), p.q)
	ADDQ(I32(int32(2*f.lanes())), p.in)
	CMPQ(p.q, n)
	JLE(LabelRef("vectors"))
	Label("tail")
	if f.wide() {
		KTESTW(p.out, p.out)
		JZ(LabelRef("next"))
		p.masked = true
		body()
	}
	Label("next")
	ld := GP64()
	Load(Param("ld"), ld)
	for _, o := range outputs {
		LEAQ(Mem{Base: o.base, Index: ld, Scale: uint8(o.size)}, o.base)
	}
	width := GP64()
	XORQ(width, width)
	Load(Param("width"), width.As32())
	ADDQ(width, width)
	for _, base := range inputs {
		LEAQ(Mem{Base: base, Index: width, Scale: uint8(f.size)}, base)
	}
	if nextRow != nil {
		nextRow()
	}
	DECQ(rows)
	JNZ(LabelRef("row"))
}

func newPooler(f flavour, split, join bool) *pooler {
	p := &pooler{f: f}
	if f.wide() {
		if split {
			p.evens, p.odds = f.table(evens), f.table(odds)
		}
		if join {
			p.lows, p.highs = f.table(lows), f.table(highs)
		}
	}
	return p
}

func many(f flavour) string {
	if f.wide() {
		return "n outputs of each row."
	}
	return fmt.Sprintf("n outputs, a multiple of %d, of each row.", f.lanes())
}

// storeInts stores a vector's worth of int32.
func (p *pooler) storeInts(v reg.VecVirtual, m Mem) {
	switch {
	case p.masked:
		VMOVDQU32(v, p.out, m)
	case p.f.wide():
		VMOVDQU32(v, m)
	default:
		VMOVDQU(v, m)
	}
}

// positions is first + 2·lane for the lanes of a vector, and the step to the next vector.
func (f flavour) positions() (at, step reg.VecVirtual) {
	at = broadcastReg(Load(Param("first"), GP32()), f.integers())
	VPADDD(twice, at, at)
	return at, broadcastInt(uint32(2*f.lanes()), f.integers())
}

// positionsOfNextRow sets at to the positions two rows below the last.
func (f flavour) positionsOfNextRow(at reg.VecVirtual) {
	first, width := GP32(), GP32()
	Load(Param("width"), width)
	f32, _ := Param("first").Resolve()
	MOVL(f32.Addr, first)
	LEAL(Mem{Base: first, Index: width, Scale: 2}, first)
	MOVL(first, f32.Addr)
	broadcastReg(first, at)
	VPADDD(twice, at, at)
}

// lane32 is a broadcast of a 32-bit offset in lanes as wide as f's masks are: 64 bits for float64
// on AVX2, else 32.
func (f flavour) offset(g reg.Register) reg.VecVirtual {
	if f.wide() || f.single() {
		return broadcastReg(g, f.integers())
	}
	v := YMM()
	x := XMM()
	VMOVQ(g.(reg.GPVirtual).As64(), x)
	VPBROADCASTQ(x, v)
	return v
}

func avgPool(f flavour) {
	begin("avgPool2x2x"+f.elem+f.tier, fmt.Sprintf("func(rows, n, ld int, y, row0, row1 *%s, width uint32, quarter %s)", f.goType, f.goType),
		"the means of windows of 2×2 with stride 2, quarter being ¼. It makes "+many(f))
	y := Load(Param("y"), GP64())
	row0 := Load(Param("row0"), GP64())
	row1 := Load(Param("row1"), GP64())
	quarter := f.constant("quarter")
	p := newPooler(f, true, false)
	p.run([]output{{y, f.size}}, []reg.Register{row0, row1}, nil, func() {
		a, b := p.split(row0)
		c, d := p.split(row1)
		for _, v := range []reg.VecVirtual{b, c, d} {
			f.binary("add", v, a, a)
		}
		f.binary("mul", quarter, a, a)
		p.storeOutputs(a, y)
	})
	VZEROUPPER()
	RET()
}

func (p *pooler) loadOutputs(y reg.Register, v reg.VecVirtual) {
	switch {
	case p.masked && p.f.single():
		VMOVUPS_Z(p.outputs(y, p.f.size), p.out, v)
	case p.masked:
		VMOVUPD_Z(p.outputs(y, p.f.size), p.out, v)
	default:
		p.f.load(p.outputs(y, p.f.size), v)
	}
}

func (p *pooler) storeOutputs(v reg.VecVirtual, y reg.Register) {
	switch {
	case p.masked && p.f.single():
		VMOVUPS(v, p.out, p.outputs(y, p.f.size))
	case p.masked:
		VMOVUPD(v, p.out, p.outputs(y, p.f.size))
	default:
		p.f.store(v, p.outputs(y, p.f.size))
	}
}

func avgSpread(f flavour) {
	begin("avgSpread2x2x"+f.elem+f.tier, fmt.Sprintf("func(rows, n, ld int, row0, row1, dy *%s, width uint32, quarter %s)", f.goType, f.goType),
		"the adjoint of the means of windows of 2×2 with stride 2, quarter being ¼. It takes "+many(f))
	row0 := Load(Param("row0"), GP64())
	row1 := Load(Param("row1"), GP64())
	dy := Load(Param("dy"), GP64())
	quarter := f.constant("quarter")
	zero := f.zeroed()
	p := newPooler(f, false, true)
	p.run([]output{{dy, f.size}}, []reg.Register{row0, row1}, nil, func() {
		v := f.vector()
		p.loadOutputs(dy, v)
		f.binary("mul", quarter, v, v)
		f.binary("add", zero, v, v) // 0 + ¼dy, as the sum has it
		p.join(v, v, row0)
		p.join(v, v, row1)
	})
	VZEROUPPER()
	RET()
}
