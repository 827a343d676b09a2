package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// Sparse maps of an axis: weighted sums of rows, and of the elements of a row. Products are rounded
// before they are added, as Go does.

// mixRows makes rows of n outputs. Column blocks of four vectors, then of one; the wide flavours
// mask the last few columns, the others do a multiple of their lanes.
func mixRows(f flavour) {
	begin("mixRows"+f.elem+f.tier,
		fmt.Sprintf("func(rows, n, ldy, ldx int, y, x *%s, start, index *int32, weight *%s)", f.goType, f.goType),
		"y[p·ldy+q] = Σ_k weight[k]·x[index[k]·ldx+q] for start[p] ≤ k < start[p+1], p < rows, and "+many(f))
	n := Load(Param("n"), GP64())
	y := Load(Param("y"), GP64())
	x := Load(Param("x"), GP64())
	start := Load(Param("start"), GP64())
	index := Load(Param("index"), GP64())
	weight := Load(Param("weight"), GP64())
	ldx := Load(Param("ldx"), GP64())
	rows := Load(Param("rows"), GP64())
	rest := f.tailMask(n)
	SUBQ(I32(int32(f.lanes())), n) // the last column at which a vector begins
	q, k, end, k0, at := GP64(), GP64(), GP64(), GP64(), GP64()

	// sums makes count vectors of columns from q on.
	sums := func(name string, count int, masked bool) {
		acc := make([]reg.VecVirtual, count)
		for i := range acc {
			acc[i] = f.zeroed()
		}
		v, w := f.vector(), f.vector()
		column := func(i int) Mem {
			return Mem{Base: at, Index: q, Scale: uint8(f.size), Disp: i * f.bytes}
		}
		next := func() {
			MOVLQSX(Mem{Base: index, Index: k, Scale: 4}, at)
			IMULQ(ldx, at)
			LEAQ(Mem{Base: x, Index: at, Scale: uint8(f.size)}, at)
			f.broadcast(Mem{Base: weight, Index: k, Scale: uint8(f.size)}, w)
			INCQ(k)
		}
		product := func(i int, to reg.VecVirtual) {
			if masked {
				f.loadMasked(column(i), rest, to)
				f.binary("mul", to, w, to)
				return
			}
			f.binary("mul", column(i), w, to)
		}
		MOVQ(k0, k)
		CMPQ(k, end)
		JGE(LabelRef(name + "Store"))
		next()
		for i := range acc {
			product(i, acc[i])
		}
		JMP(LabelRef(name + "Test"))
		Label(name + "Tap")
		next()
		for i := range acc {
			product(i, v)
			f.binary("add", v, acc[i], acc[i])
		}
		Label(name + "Test")
		CMPQ(k, end)
		JLT(LabelRef(name + "Tap"))
		Label(name + "Store")
		for i := range acc {
			to := Mem{Base: y, Index: q, Scale: uint8(f.size), Disp: i * f.bytes}
			if masked {
				f.storeMasked(acc[i], rest, to)
			} else {
				f.store(acc[i], to)
			}
		}
	}

	Label("row")
	MOVLQSX(Mem{Base: start}, k0)
	MOVLQSX(Mem{Base: start, Disp: 4}, end)
	ADDQ(I32(4), start)
	XORQ(q, q)
	four := GP64()
	Label("four")
	LEAQ(Mem{Base: q, Disp: 3 * f.lanes()}, four)
	CMPQ(four, n)
	JGT(LabelRef("one"))
	sums("four", 4, false)
	ADDQ(I32(int32(4*f.lanes())), q)
	JMP(LabelRef("four"))
	Label("one")
	CMPQ(q, n)
	JGT(LabelRef("tail"))
	sums("one", 1, false)
	ADDQ(I32(int32(f.lanes())), q)
	JMP(LabelRef("one"))
	Label("tail")
	if f.wide() {
		KTESTW(rest, rest)
		JZ(LabelRef("next"))
		sums("tail", 1, true)
	}
	Label("next")
	ldy := GP64()
	Load(Param("ldy"), ldy)
	LEAQ(Mem{Base: y, Index: ldy, Scale: uint8(f.size)}, y)
	DECQ(rows)
	JNZ(LabelRef("row"))
	VZEROUPPER()
	RET()
}

// tailMask is the mask of the last n mod lanes columns; nil without masks.
func (f flavour) tailMask(n reg.Register) reg.Register {
	if !f.wide() {
		return nil
	}
	bits, count := GP64(), GP64()
	MOVQ(n, count)
	ANDQ(I32(int32(f.lanes()-1)), count)
	MOVQ(I32(-1), bits)
	BZHIQ(count, bits, bits)
	k := K()
	KMOVW(bits.As32(), k)
	return k
}

func (f flavour) broadcast(m Mem, to Op) {
	if f.single() {
		VBROADCASTSS(m, to)
	} else {
		VBROADCASTSD(m, to)
	}
}

func (f flavour) loadMasked(m Mem, k reg.Register, to Op) {
	if f.single() {
		VMOVUPS_Z(m, k, to)
	} else {
		VMOVUPD_Z(m, k, to)
	}
}

func (f flavour) storeMasked(v Op, k reg.Register, m Mem) {
	if f.single() {
		VMOVUPS(v, k, m)
	} else {
		VMOVUPD(v, k, m)
	}
}

// mixAcross makes blocks of outputs, a vector each. Their taps are taken out of two vectors of the
// row by a permutation, a lane's number of which says in its sign that the tap is there.
func mixAcross(f flavour) {
	if !f.wide() && !f.single() {
		return // nothing permutes four float64 out of eight
	}
	begin("mixAcross"+f.elem+f.tier,
		fmt.Sprintf("func(rows, blocks, taps, ldy, ldx int, y, x *%s, at *int, table *%s)", f.goType, f.goType),
		"the weighted sums of elements of rows. For each block, at holds the first output, the mask of the outputs "+
			"that are stored, and for each tap the element at which two vectors begin; table holds for each tap "+
			"a vector of numbers of lanes, negative where there is a tap, and one of weights.")
	rows := Load(Param("rows"), GP64())
	blocks := Load(Param("blocks"), GP64())
	taps := Load(Param("taps"), GP64())
	ldx := Load(Param("ldx"), GP64())
	at := Load(Param("at"), GP64())
	table := Load(Param("table"), GP64())
	ldy := Load(Param("ldy"), GP64())
	SHLQ(U8(map[int]uint8{4: 2, 8: 3}[f.size]), ldx)
	SHLQ(U8(map[int]uint8{4: 2, 8: 3}[f.size]), ldy)

	to, from, left, t, entry, k := GP64(), GP64(), GP64(), GP64(), GP64(), GP64()
	sum, order, v, hi := f.vector(), f.vector(), f.vector(), f.vector()
	var stored, there reg.Register
	if f.wide() {
		stored, there = K(), K()
	}
	zero := f.zeroed()

	// pick takes the lanes of tap t.
	pick := func() {
		MOVQ(Mem{Base: at, Index: t, Scale: 8, Disp: 16}, k)
		LEAQ(Mem{Base: from, Index: k, Scale: uint8(f.size)}, k)
		f.load(Mem{Base: entry}, order)
		switch {
		case f.wide() && f.single():
			f.load(Mem{Base: k}, v)
			VPERMT2PS(Mem{Base: k, Disp: f.bytes}, order, v)
			VPMOVD2M(order, there)
		case f.wide():
			f.load(Mem{Base: k}, v)
			VPERMT2PD(Mem{Base: k, Disp: f.bytes}, order, v)
			VPMOVQ2M(order, there)
		default:
			VPERMPS(Mem{Base: k}, order, v)
			VPERMPS(Mem{Base: k, Disp: f.bytes}, order, hi)
			upper := f.vector()
			VPSLLD(U8(28), order, upper)
			VBLENDVPS(upper, hi, v, v)
		}
		f.binary("mul", Mem{Base: entry, Disp: f.bytes}, v, v)
		ADDQ(I32(int32(2*f.bytes)), entry)
		INCQ(t)
	}

	Label("block")
	Load(Param("y"), to)
	Load(Param("x"), from)
	MOVQ(Mem{Base: at}, k)
	LEAQ(Mem{Base: to, Index: k, Scale: uint8(f.size)}, to)
	if f.wide() {
		MOVQ(Mem{Base: at, Disp: 8}, k)
		KMOVW(k.As32(), stored)
	}
	MOVQ(rows, left)
	Label("row")
	MOVQ(table, entry)
	XORQ(t, t)
	pick()
	switch {
	case f.wide() && f.single():
		VMOVAPS_Z(v, there, sum)
	case f.wide():
		VMOVAPD_Z(v, there, sum)
	default:
		VBLENDVPS(order, v, zero, sum)
	}
	JMP(LabelRef("test"))
	Label("tap")
	pick()
	switch {
	case f.wide() && f.single():
		VADDPS(v, sum, there, sum)
	case f.wide():
		VADDPD(v, sum, there, sum)
	default:
		VADDPS(v, sum, v)
		VBLENDVPS(order, v, sum, sum)
	}
	Label("test")
	CMPQ(t, taps)
	JLT(LabelRef("tap"))
	if f.wide() {
		f.storeMasked(sum, stored, Mem{Base: to})
	} else {
		f.store(sum, Mem{Base: to})
	}
	ADDQ(ldy, to)
	ADDQ(ldx, from)
	DECQ(left)
	JNZ(LabelRef("row"))
	MOVQ(entry, table)
	LEAQ(Mem{Base: at, Index: taps, Scale: 8, Disp: 16}, at)
	DECQ(blocks)
	JNZ(LabelRef("block"))
	VZEROUPPER()
	RET()
}
