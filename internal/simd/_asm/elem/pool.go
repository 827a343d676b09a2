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

func maxPool(f flavour) {
	begin("maxPool2x2x"+f.elem+f.tier, fmt.Sprintf("func(rows, n, ld int, y *%s, winner *int32, row0, row1 *%s, first, width uint32)", f.goType, f.goType),
		"the maxima of windows of 2×2 with stride 2 and their winners, counted from first, the position of row0, row1 being width later: the first of equals, "+
			"the first NaN before any number. It makes "+many(f))
	y := Load(Param("y"), GP64())
	winner := Load(Param("winner"), GP64())
	row0 := Load(Param("row0"), GP64())
	row1 := Load(Param("row1"), GP64())
	at, step := f.positions()
	width := Load(Param("width"), GP32())
	offsets := make([]reg.VecVirtual, 4)
	one := GP32()
	MOVL(U32(1), one)
	offsets[1] = f.offset(one)
	offsets[2] = f.offset(width)
	INCL(width)
	offsets[3] = f.offset(width)
	p := newPooler(f, true, false)
	p.run([]output{{y, f.size}, {winner, 4}}, []reg.Register{row0, row1}, func() { f.positionsOfNextRow(at) }, func() {
		a, b := p.split(row0)
		c, d := p.split(row1)
		if f.wide() {
			won := f.integers()
			VPXORD(won, won, won)
			for i, v := range []reg.VecVirtual{b, c, d} {
				ordered, wins := K(), K()
				if f.single() {
					VCMPPS(U8(cmpOrdered), a, a, ordered)
					VCMPPS(U8(cmpNotLE), a, v, ordered, wins)
					VMOVAPS(v, wins, a)
				} else {
					VCMPPD(U8(cmpOrdered), a, a, ordered)
					VCMPPD(U8(cmpNotLE), a, v, ordered, wins)
					VMOVAPD(v, wins, a)
				}
				VMOVDQA32(offsets[i+1], wins, won)
			}
			VPADDD(at, won, won)
			VPADDD(step, at, at)
			p.storeInts(won, p.outputs(winner, 4))
			if p.masked {
				if f.single() {
					VMOVUPS(a, p.out, p.outputs(y, f.size))
				} else {
					VMOVUPD(a, p.out, p.outputs(y, f.size))
				}
				return
			}
			f.store(a, p.outputs(y, f.size))
			return
		}
		won := YMM()
		VPXOR(won, won, won)
		for i, v := range []reg.VecVirtual{b, c, d} {
			ordered, wins := YMM(), YMM()
			if f.single() {
				VCMPPS(U8(cmpOrdered), a, a, ordered)
				VCMPPS(U8(cmpNotLE), a, v, wins)
				VANDPS(ordered, wins, wins)
				VBLENDVPS(wins, v, a, a)
			} else {
				VCMPPD(U8(cmpOrdered), a, a, ordered)
				VCMPPD(U8(cmpNotLE), a, v, wins)
				VANDPD(ordered, wins, wins)
				VBLENDVPD(wins, v, a, a)
			}
			VPBLENDVB(wins, offsets[i+1], won, won)
		}
		if !f.single() { // the low halves of 64-bit lanes
			order := YMM()
			VMOVDQU(pick, order)
			VPERMD(won, order, won)
			low := won.AsX()
			VPADDD(at, low, low)
			VPADDD(step, at, at)
			VMOVDQU(low, p.outputs(winner, 4))
		} else {
			VPADDD(at, won, won)
			VPADDD(step, at, at)
			VMOVDQU(won, p.outputs(winner, 4))
		}
		f.store(a, p.outputs(y, f.size))
	})
	VZEROUPPER()
	RET()
}

// A finder tells which element of its window each winner is.
type finder struct {
	p        *pooler
	winner   reg.Register
	at, step reg.VecVirtual
	offsets  []reg.VecVirtual // of the four elements
	ok       reg.Register     // 1 while every winner was one of them
}

// newFinder reads the parameters winner, first and width.
func newFinder(p *pooler) *finder {
	f := p.f
	winner := Load(Param("winner"), GP64())
	at, step := f.positions()
	width := Load(Param("width"), GP32())
	next := GP32()
	MOVL(width, next)
	INCL(next)
	ok := GP32()
	MOVL(U32(1), ok)
	zero := f.integers()
	if f.wide() && f.single() {
		VPXORD(zero, zero, zero)
	} else {
		VPXOR(zero, zero, zero)
	}
	return &finder{p, winner, at, step,
		[]reg.VecVirtual{zero, broadcastReg(ok, f.integers()), broadcastReg(width, f.integers()), broadcastReg(next, f.integers())}, ok}
}

// find calls use for each of the four elements with the mask, or the vector of masks, of the lanes
// where it is the winner.
func (s *finder) find(use func(i int, here Op)) {
	p, f := s.p, s.p.f
	k, found, want := f.integers(), GP32(), GP32()
	if f.wide() {
		if p.masked {
			VMOVDQU32_Z(p.outputs(s.winner, 4), p.out, k)
		} else {
			VMOVDQU32(p.outputs(s.winner, 4), k)
		}
		VPSUBD(s.at, k, k)
		VPADDD(s.step, s.at, s.at)
		all := K()
		for i, offset := range s.offsets {
			here := K()
			if p.masked {
				VPCMPEQD(offset, k, p.out, here)
			} else {
				VPCMPEQD(offset, k, here)
			}
			use(i, here)
			if i == 0 {
				KMOVW(here, all)
			} else {
				KORW(here, all, all)
			}
		}
		KMOVW(all, found)
		if p.masked {
			KMOVW(p.out, want)
		} else {
			MOVL(U32(1<<f.lanes()-1), want)
		}
	} else {
		VMOVDQU(p.outputs(s.winner, 4), k)
		VPSUBD(s.at, k, k)
		VPADDD(s.step, s.at, s.at)
		all := f.integers()
		for i, offset := range s.offsets {
			here := f.integers()
			VPCMPEQD(offset, k, here)
			if i == 0 {
				VMOVDQU(here, all)
			} else {
				VPOR(here, all, all)
			}
			if f.single() {
				use(i, here)
				continue
			}
			wide := YMM()
			VPMOVSXDQ(here, wide)
			use(i, wide)
		}
		VMOVMSKPS(all, found)
		MOVL(U32(1<<f.lanes()-1), want)
	}
	none := GP32()
	XORL(none, none)
	CMPL(found, want)
	CMOVLNE(none, s.ok)
}

func maxScatter(f flavour) {
	begin("maxScatter2x2x"+f.elem+f.tier, fmt.Sprintf("func(rows, n, ld int, row0, row1, dy *%s, winner *int32, first, width uint32) (ok uint32)", f.goType),
		"the adjoint of picking the winners out of windows of 2×2 with stride 2: both rows are 0 but for dy at the winners. ok is 1 if every winner was in its "+
			"own window, else what was written is void. It takes "+many(f))
	row0 := Load(Param("row0"), GP64())
	row1 := Load(Param("row1"), GP64())
	dy := Load(Param("dy"), GP64())
	p := newPooler(f, false, true)
	s := newFinder(p)
	zero := f.zeroed()
	p.run([]output{{dy, f.size}, {s.winner, 4}}, []reg.Register{row0, row1}, func() { f.positionsOfNextRow(s.at) }, func() {
		v := f.vector()
		p.loadOutputs(dy, v)
		f.binary("add", zero, v, v) // 0 + dy, as the sum has it
		parts := make([]reg.VecVirtual, 4)
		s.find(func(i int, here Op) {
			parts[i] = f.vector()
			switch {
			case f.wide() && f.single():
				VMOVAPS_Z(v, here, parts[i])
			case f.wide():
				VMOVAPD_Z(v, here, parts[i])
			default:
				f.binary("and", here, v, parts[i])
			}
		})
		p.join(parts[0], parts[1], row0)
		p.join(parts[2], parts[3], row1)
	})
	Store(s.ok, ReturnIndex(0))
	VZEROUPPER()
	RET()
}

func maxGather(f flavour) {
	begin("maxGather2x2x"+f.elem+f.tier, fmt.Sprintf("func(rows, n, ld int, y, row0, row1 *%s, winner *int32, first, width uint32) (ok uint32)", f.goType),
		"the winners' values out of windows of 2×2 with stride 2. ok is 1 if every winner was in its own window, else what was written is void. It makes "+many(f))
	y := Load(Param("y"), GP64())
	row0 := Load(Param("row0"), GP64())
	row1 := Load(Param("row1"), GP64())
	p := newPooler(f, true, false)
	s := newFinder(p)
	p.run([]output{{y, f.size}, {s.winner, 4}}, []reg.Register{row0, row1}, func() { f.positionsOfNextRow(s.at) }, func() {
		a, b := p.split(row0)
		c, d := p.split(row1)
		elements := []reg.VecVirtual{a, b, c, d}
		s.find(func(i int, here Op) {
			v := elements[i]
			switch {
			case i == 0:
			case f.wide() && f.single():
				VMOVAPS(v, here, a)
			case f.wide():
				VMOVAPD(v, here, a)
			case f.single():
				VBLENDVPS(here, v, a, a)
			default:
				VBLENDVPD(here, v, a, a)
			}
		})
		p.storeOutputs(a, y)
	})
	Store(s.ok, ReturnIndex(0))
	VZEROUPPER()
	RET()
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

// maxTaps takes a row of windows of any taps, stride 1 or 2 across.
func maxTaps(f flavour, stride int) {
	k := 1
	if f.single() {
		k = 0
	}
	begin(fmt.Sprintf("maxTaps%dx%s%s", stride, f.elem, f.tier),
		fmt.Sprintf("func(n int, y *%s, winner *int32, x *%s, taps *int32, count int, first uint32)", f.goType, f.goType),
		fmt.Sprintf("the maxima of n windows, %d elements apart, of count taps at the offsets taps from the window's begin at x, of which the first offset is 0, and their "+
			"winners, counted from first: the first of equals, the first NaN before any number.", stride))
	n := Load(Param("n"), GP64())
	y := Load(Param("y"), GP64())
	winner := Load(Param("winner"), GP64())
	x := Load(Param("x"), GP64())
	taps := Load(Param("taps"), GP64())
	count := Load(Param("count"), GP64())
	at := broadcastReg(Load(Param("first"), GP32()), f.integers())
	if stride == 2 {
		VPADDD(twice, at, at)
	} else {
		VPADDD(once, at, at)
	}
	step := broadcastInt(uint32(stride*f.lanes()), f.integers())
	var even reg.VecVirtual
	if stride == 2 {
		even = f.vector()
		VMOVDQU64(overlapped[k], even)
	}
	out, inLow, inHigh := K(), K(), K()
	KXNORW(out, out, out)
	KMOVW(out, inLow)
	KMOVW(out, inHigh)
	load := func(tap reg.Register, v reg.VecVirtual) {
		at := Mem{Base: x, Index: tap, Scale: uint8(f.size)}
		move := VMOVUPS_Z
		if !f.single() {
			move = VMOVUPD_Z
		}
		move(at, inLow, v)
		if stride == 1 {
			return
		}
		// The second vector begins at the last element of the first, so as not to read behind the
		// last window.
		hi, idx := f.vector(), f.vector()
		move(at.Offset(f.bytes-f.size), inHigh, hi)
		VMOVDQU64(even, idx)
		if f.single() {
			VPERMI2PS(hi, v, idx)
		} else {
			VPERMI2PD(hi, v, idx)
		}
		VMOVDQU64(idx, v)
	}
	Label("vectors")
	CMPQ(n, I32(int32(f.lanes())))
	JGE(LabelRef("whole"))
	TESTQ(n, n)
	JLE(LabelRef("end"))
	bits := func(count reg.Register) reg.GPVirtual {
		b := GP64()
		MOVQ(I32(-1), b)
		BZHIQ(count, b, b)
		return b
	}
	KMOVW(bits(n).As32(), out)
	if stride == 1 {
		KMOVW(out, inLow)
	} else {
		in := GP64()
		LEAQ(Mem{Base: n, Index: n, Scale: 1, Disp: -1}, in)
		b := bits(in)
		KMOVW(b.As32(), inLow)
		SHRQ(U8(f.lanes()-1), b)
		KMOVW(b.As32(), inHigh)
	}
	Label("whole")
	top, won := f.vector(), f.integers()
	t, tap := GP64(), GP64()
	XORQ(t, t)
	XORQ(tap, tap)
	load(tap, top)
	VPXORD(won, won, won)
	INCQ(t)
	CMPQ(t, count)
	JGE(LabelRef("store"))
	Label("taps")
	MOVLQSX(Mem{Base: taps, Index: t, Scale: 4}, tap)
	v := f.vector()
	load(tap, v)
	ordered, wins := K(), K()
	if f.single() {
		VCMPPS(U8(cmpOrdered), top, top, ordered)
		VCMPPS(U8(cmpNotLE), top, v, ordered, wins)
		VMOVAPS(v, wins, top)
	} else {
		VCMPPD(U8(cmpOrdered), top, top, ordered)
		VCMPPD(U8(cmpNotLE), top, v, ordered, wins)
		VMOVAPD(v, wins, top)
	}
	VPBROADCASTD(tap.As32(), wins, won)
	INCQ(t)
	CMPQ(t, count)
	JLT(LabelRef("taps"))
	Label("store")
	VPADDD(at, won, won)
	VPADDD(step, at, at)
	VMOVDQU32(won, out, Mem{Base: winner})
	if f.single() {
		VMOVUPS(top, out, Mem{Base: y})
	} else {
		VMOVUPD(top, out, Mem{Base: y})
	}
	ADDQ(I32(int32(4*f.lanes())), winner)
	ADDQ(I32(int32(f.bytes)), y)
	ADDQ(I32(int32(stride*f.bytes)), x)
	SUBQ(I32(int32(f.lanes())), n)
	JMP(LabelRef("vectors"))
	Label("end")
	VZEROUPPER()
	RET()
}

// maxTapsWhole is maxTaps for vectors without masks: it makes n windows, a multiple of the lanes.
func maxTapsWhole(f flavour, stride int) {
	begin(fmt.Sprintf("maxTaps%dx%s%s", stride, f.elem, f.tier),
		fmt.Sprintf("func(n int, y *%s, winner *int32, x *%s, taps *int32, count int, first uint32)", f.goType, f.goType),
		fmt.Sprintf("the maxima of n windows, a multiple of %d, %d elements apart, of count taps at the offsets taps from the window's begin at x, of which the first offset is 0, and "+
			"their winners, counted from first: the first of equals, the first NaN before any number.", f.lanes(), stride))
	n := Load(Param("n"), GP64())
	y := Load(Param("y"), GP64())
	winner := Load(Param("winner"), GP64())
	x := Load(Param("x"), GP64())
	taps := Load(Param("taps"), GP64())
	count := Load(Param("count"), GP64())
	at := broadcastReg(Load(Param("first"), GP32()), f.integers())
	if stride == 2 {
		VPADDD(twice, at, at)
	} else {
		VPADDD(once, at, at)
	}
	step := broadcastInt(uint32(stride*f.lanes()), f.integers())
	load := func(tap reg.Register, v reg.VecVirtual) {
		at := Mem{Base: x, Index: tap, Scale: uint8(f.size)}
		f.load(at, v)
		if stride == 1 {
			return
		}
		// The second vector begins at the last element of the first, so as not to read behind the
		// last window: its odd elements are wanted.
		hi, a, b := YMM(), YMM(), YMM()
		f.load(at.Offset(f.bytes-f.size), hi)
		VPERM2F128(U8(0x20), hi, v, a)
		VPERM2F128(U8(0x31), hi, v, b)
		if f.single() {
			VSHUFPS(U8(0x88), b, a, v)
			VSHUFPS(U8(0xDD), b, a, hi)
			VBLENDPS(U8(0xF0), hi, v, v)
		} else {
			VUNPCKLPD(b, a, v)
			VUNPCKHPD(b, a, hi)
			VBLENDPD(U8(0xC), hi, v, v)
		}
	}
	Label("vectors")
	SUBQ(I32(int32(f.lanes())), n)
	JLT(LabelRef("end"))
	top, won := YMM(), YMM()
	t, tap := GP64(), GP64()
	XORQ(t, t)
	XORQ(tap, tap)
	load(tap, top)
	VPXOR(won, won, won)
	INCQ(t)
	CMPQ(t, count)
	JGE(LabelRef("store"))
	Label("taps")
	MOVLQSX(Mem{Base: taps, Index: t, Scale: 4}, tap)
	v, ordered, wins, offset := YMM(), YMM(), YMM(), YMM()
	load(tap, v)
	low := offset.AsX()
	VMOVQ(tap, low)
	if f.single() {
		VPBROADCASTD(low, offset)
		VCMPPS(U8(cmpOrdered), top, top, ordered)
		VCMPPS(U8(cmpNotLE), top, v, wins)
		VANDPS(ordered, wins, wins)
		VBLENDVPS(wins, v, top, top)
	} else {
		VPBROADCASTQ(low, offset)
		VCMPPD(U8(cmpOrdered), top, top, ordered)
		VCMPPD(U8(cmpNotLE), top, v, wins)
		VANDPD(ordered, wins, wins)
		VBLENDVPD(wins, v, top, top)
	}
	VPBLENDVB(wins, offset, won, won)
	INCQ(t)
	CMPQ(t, count)
	JLT(LabelRef("taps"))
	Label("store")
	if f.single() {
		VPADDD(at, won, won)
		VMOVDQU(won, Mem{Base: winner})
	} else { // the low halves of 64-bit lanes
		order := YMM()
		VMOVDQU(pick, order)
		VPERMD(won, order, won)
		low := won.AsX()
		VPADDD(at, low, low)
		VMOVDQU(low, Mem{Base: winner})
	}
	VPADDD(step, at, at)
	f.store(top, Mem{Base: y})
	ADDQ(I32(int32(f.bytes)), y)
	ADDQ(I32(int32(4*f.lanes())), winner)
	ADDQ(I32(int32(stride*f.bytes)), x)
	JMP(LabelRef("vectors"))
	Label("end")
	VZEROUPPER()
	RET()
}
