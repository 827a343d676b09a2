package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// Sparse maps of an axis: weighted sums of rows, and of the elements of a row. Products are rounded
// before they are added, as Go does.

// mixRows makes rows of n outputs, four vectors of columns at a time, and then what is left, its
// last vector under a mask where the flavour is wide. The others do a multiple of their lanes.
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
	last := f.lastMask(n)
	SUBQ(I32(int32(4*f.lanes())), n) // where the last four vectors begin, if they are not masked
	q, k, end, k0, at := GP64(), GP64(), GP64(), GP64(), GP64()
	w, v := f.vector(), f.vector()
	acc := []reg.VecVirtual{f.vector(), f.vector(), f.vector(), f.vector()}

	// sums makes count vectors of columns from q on.
	sums := func(name string, count int, masked bool) {
		masked = masked && f.wide()
		next := func() {
			MOVLQSX(Mem{Base: index, Index: k, Scale: 4}, at)
			IMULQ(ldx, at)
			LEAQ(Mem{Base: x, Index: at, Scale: uint8(f.size)}, at)
			f.broadcast(Mem{Base: weight, Index: k, Scale: uint8(f.size)}, w)
			INCQ(k)
		}
		product := func(i int, to reg.VecVirtual) {
			from := Mem{Base: at, Index: q, Scale: uint8(f.size), Disp: i * f.bytes}
			if masked && i == count-1 {
				f.loadMasked(from, last, to)
				f.binary("mul", to, w, to)
				return
			}
			f.binary("mul", from, w, to)
		}
		Label(name)
		MOVQ(k0, k)
		CMPQ(k, end)
		JGE(LabelRef(name + "Nothing"))
		next()
		for i := range count {
			product(i, acc[i])
		}
		CMPQ(k, end)
		JGE(LabelRef(name + "Store"))
		Label(name + "Tap")
		next()
		for i := range count {
			product(i, v)
			f.binary("add", v, acc[i], acc[i])
		}
		CMPQ(k, end)
		JLT(LabelRef(name + "Tap"))
		JMP(LabelRef(name + "Store"))
		Label(name + "Nothing")
		for i := range count {
			f.binary("xor", acc[i], acc[i], acc[i])
		}
		Label(name + "Store")
		for i := range count {
			to := Mem{Base: y, Index: q, Scale: uint8(f.size), Disp: i * f.bytes}
			if masked && i == count-1 {
				f.storeMasked(acc[i], last, to)
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
	Label("columns")
	CMPQ(q, n)
	JGE(LabelRef("rest"))
	sums("whole", 4, false)
	ADDQ(I32(int32(4*f.lanes())), q)
	JMP(LabelRef("columns"))
	Label("rest") // one to four vectors: n is four vectors below the number of columns
	left := GP64()
	MOVQ(n, left)
	SUBQ(q, left)
	for count := 3; count >= 1; count-- {
		CMPQ(left, I32(int32((count-4)*f.lanes())))
		JGT(LabelRef(fmt.Sprintf("rest%d", count+1)))
	}
	for count := 1; count <= 4; count++ {
		sums(fmt.Sprintf("rest%d", count), count, true)
		if count < 4 {
			JMP(LabelRef("next"))
		}
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

// lastMask is the mask of the last vector of n columns; nil without masks.
func (f flavour) lastMask(n reg.Register) reg.Register {
	if !f.wide() {
		return nil
	}
	bits, count := GP64(), GP64()
	MOVQ(n, count)
	DECQ(count)
	ANDQ(I32(int32(f.lanes()-1)), count)
	INCQ(count)
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
// row by a permutation, a lane's number of which says in its sign that the tap is there. Rows go in
// groups that share what a tap needs.
func mixAcross(f flavour) {
	if !f.wide() && !f.single() {
		return // nothing permutes four float64 out of eight
	}
	begin("mixAcross"+f.elem+f.tier,
		fmt.Sprintf("func(rows, blocks, ldy, ldx int, y, x *%s, at *int, table *%s)", f.goType, f.goType),
		"the weighted sums of elements of rows. For each block, at holds the first output, the mask of the outputs "+
			"that are stored, the number of taps, and for each tap the element at which two vectors begin; table "+
			"holds for each tap a vector of numbers of lanes, negative where there is a tap, and one of weights.")
	blocks := Load(Param("blocks"), GP64())
	ldx := Load(Param("ldx"), GP64())
	at := Load(Param("at"), GP64())
	table := Load(Param("table"), GP64())
	ldy := Load(Param("ldy"), GP64())
	shift := U8(map[int]uint8{4: 2, 8: 3}[f.size])
	SHLQ(shift, ldx)
	SHLQ(shift, ldy)

	const group = 4
	to, from, left, t, entry, k := GP64(), GP64(), GP64(), GP64(), GP64(), GP64()
	order, weights, hi := f.vector(), f.vector(), f.vector()
	var sums, lanes [group]reg.VecVirtual
	for i := range sums {
		sums[i], lanes[i] = f.vector(), f.vector()
	}
	var stored, there reg.Register
	if f.wide() {
		stored, there = K(), K()
	}
	zero, upper := f.zeroed(), hi
	if !f.wide() {
		upper = f.vector()
	}

	// pick multiplies the lanes of tap t, of so many rows.
	pick := func(rows int) {
		MOVQ(Mem{Base: at, Index: t, Scale: 8, Disp: 24}, k)
		LEAQ(Mem{Base: from, Index: k, Scale: uint8(f.size)}, k)
		f.load(Mem{Base: entry}, order)
		f.load(Mem{Base: entry, Disp: f.bytes}, weights)
		switch {
		case f.wide() && f.single():
			VPMOVD2M(order, there)
		case f.wide():
			VPMOVQ2M(order, there)
		default:
			VPSLLD(U8(28), order, upper)
		}
		for i := range rows {
			if i > 0 {
				ADDQ(ldx, k)
			}
			v := lanes[i]
			switch {
			case f.wide() && f.single():
				f.load(Mem{Base: k}, v)
				VPERMT2PS(Mem{Base: k, Disp: f.bytes}, order, v)
			case f.wide():
				f.load(Mem{Base: k}, v)
				VPERMT2PD(Mem{Base: k, Disp: f.bytes}, order, v)
			default:
				VPERMPS(Mem{Base: k}, order, v)
				VPERMPS(Mem{Base: k, Disp: f.bytes}, order, hi)
				VBLENDVPS(upper, hi, v, v)
			}
			f.binary("mul", weights, v, v)
		}
		ADDQ(I32(int32(2*f.bytes)), entry)
		INCQ(t)
	}
	// row makes a block of outputs of so many rows.
	row := func(name string, rows int) {
		MOVQ(table, entry)
		XORQ(t, t)
		CMPQ(t, Mem{Base: at, Disp: 16})
		JGE(LabelRef(name + "Nothing"))
		pick(rows)
		for i := range rows {
			switch {
			case f.wide() && f.single():
				VMOVAPS_Z(lanes[i], there, sums[i])
			case f.wide():
				VMOVAPD_Z(lanes[i], there, sums[i])
			default:
				VBLENDVPS(order, lanes[i], zero, sums[i])
			}
		}
		JMP(LabelRef(name + "Test"))
		Label(name + "Nothing")
		for i := range rows {
			f.binary("xor", sums[i], sums[i], sums[i])
		}
		JMP(LabelRef(name + "Test"))
		Label(name + "Tap")
		pick(rows)
		for i := range rows {
			switch {
			case f.wide() && f.single():
				VADDPS(lanes[i], sums[i], there, sums[i])
			case f.wide():
				VADDPD(lanes[i], sums[i], there, sums[i])
			default:
				VADDPS(lanes[i], sums[i], lanes[i])
				VBLENDVPS(order, lanes[i], sums[i], sums[i])
			}
		}
		Label(name + "Test")
		CMPQ(t, Mem{Base: at, Disp: 16})
		JLT(LabelRef(name + "Tap"))
		for i := range rows {
			if f.wide() {
				f.storeMasked(sums[i], stored, Mem{Base: to})
			} else {
				f.store(sums[i], Mem{Base: to})
			}
			ADDQ(ldy, to)
			ADDQ(ldx, from)
		}
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
	Load(Param("rows"), left)
	SUBQ(I32(group), left)
	JLT(LabelRef("few"))
	Label("group")
	row("group", group)
	SUBQ(I32(group), left)
	JGE(LabelRef("group"))
	Label("few")
	ADDQ(I32(group), left)
	JZ(LabelRef("next"))
	Label("one")
	row("one", 1)
	DECQ(left)
	JNZ(LabelRef("one"))
	Label("next")
	MOVQ(entry, table)
	MOVQ(Mem{Base: at, Disp: 16}, k)
	LEAQ(Mem{Base: at, Index: k, Scale: 8, Disp: 24}, at)
	DECQ(blocks)
	JNZ(LabelRef("block"))
	VZEROUPPER()
	RET()
}
