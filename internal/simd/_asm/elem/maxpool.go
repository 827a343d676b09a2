package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

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
