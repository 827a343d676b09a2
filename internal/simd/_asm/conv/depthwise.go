package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// A walk goes down the vectors of columns of a plane, the last under a mask.
type walk struct {
	f         flavour
	column    reg.Register // in bytes, of the first lane
	k         reg.Register
	all, tail reg.Register // masks
	end       reg.Register // bytes of whole vectors
}

// down runs body for every vector of n columns.
func (f flavour) down(body func(w *walk)) {
	n := GP64()
	Load(Param("n"), n)
	w := &walk{f: f, column: GP64()}
	w.tail = f.tailMask(n)
	w.end, w.k, w.all = n, K(), K()
	KXNORW(w.all, w.all, w.all)
	XORQ(w.column, w.column)
	Label("column")
	KMOVW(w.all, w.k)
	CMPQ(w.column, w.end)
	JLT(LabelRef("whole"))
	KTESTW(w.tail, w.tail)
	JZ(LabelRef("done"))
	KMOVW(w.tail, w.k)
	Label("whole")
	body(w)
	ADDQ(I32(int32(f.bytes)), w.column)
	CMPQ(w.column, w.end)
	JLE(LabelRef("column"))
	Label("done")
}

func (w *walk) load(m Mem, v reg.VecVirtual) {
	if w.f.single() {
		VMOVUPS_Z(m, w.k, v)
	} else {
		VMOVUPD_Z(m, w.k, v)
	}
}

// depthwise3 walks down each vector of columns with the sums of three rows of outputs under way, so
// that a row of inputs is loaded once. The padding is never stored: what of a row lies in it, a
// mask leaves out, and rows in it are zeros.
func depthwise3(f flavour) {
	begin("depthwise3x3x"+f.elem+f.tier, fmt.Sprintf("func(rows, blocks int, y *%[1]s, ldy int, x *%[1]s, ldx, h, top, left int, masks *uint16, weights, bias, floor *%[1]s)", f.goType),
		fmt.Sprintf("y[p·ldy+q] = max(floor, bias + Σ_r Σ_s weights[3r+s]·x[(p+r−top)·ldx + q+s−left]), 0 ≤ r, s < 3, 0 ≤ p < rows, for each of the blocks of %d columns q, terms being 0 where "+
			"the row is none of the h of x. For each block there are four masks: of the columns whose terms exist, for each s, and of the columns that are stored.", f.lanes()))
	weights := Load(Param("weights"), GP64())
	var w [9]reg.VecVirtual
	for i := range w {
		w[i] = f.vector()
		f.broadcast(Mem{Base: weights, Disp: i * f.size}, w[i])
	}
	bias, floor := f.vector(), f.vector()
	f.broadcast(Mem{Base: Load(Param("bias"), GP64())}, bias)
	f.broadcast(Mem{Base: Load(Param("floor"), GP64())}, floor)
	ldx := Load(Param("ldx"), GP64())
	ldy := Load(Param("ldy"), GP64())
	SHLQ(U8(f.shift()), ldy)
	x := GP64()
	Load(Param("x"), x)
	first := GP64() // row of the inputs
	Load(Param("top"), first)
	NEGQ(first)
	shift := GP64()
	MOVQ(first, shift)
	IMULQ(ldx, shift)
	SUBQ(Load(Param("left"), GP64()), shift)
	LEAQ(Mem{Base: x, Index: shift, Scale: uint8(f.size)}, x)
	SHLQ(U8(f.shift()), ldx)
	h := Load(Param("h"), GP64())
	y := GP64()
	Load(Param("y"), y)
	masks := GP64()
	Load(Param("masks"), masks)
	blocks := GP64()
	Load(Param("blocks"), blocks)
	Label("block")
	k := [4]reg.Register{K(), K(), K(), K()}
	for i := range k {
		KMOVW(Mem{Base: masks, Disp: 2 * i}, k[i])
	}
	from, to, rows, r := GP64(), GP64(), GP64(), GP64()
	MOVQ(x, from)
	MOVQ(y, to)
	MOVQ(first, r)
	Load(Param("rows"), rows)
	var v [3]reg.VecVirtual
	for s := range v {
		v[s] = f.vector()
	}
	s0, s1, s2 := f.vector(), f.vector(), f.vector() // three rows of outputs
	count := 0
	row := func() {
		count++
		outside, loaded := fmt.Sprintf("outside%d", count), fmt.Sprintf("loaded%d", count)
		CMPQ(r, h)
		JCC(LabelRef(outside))
		for s := range v {
			m := Mem{Base: from, Disp: s * f.size}
			if f.single() {
				VMOVUPS_Z(m, k[s], v[s])
			} else {
				VMOVUPD_Z(m, k[s], v[s])
			}
		}
		JMP(LabelRef(loaded))
		Label(outside)
		for s := range v {
			VPXORD(v[s], v[s], v[s])
		}
		Label(loaded)
		ADDQ(ldx, from)
		INCQ(r)
	}
	into := func(sum reg.VecVirtual, r int) {
		for s := range v {
			f.fma(v[s], w[3*r+s], sum)
		}
	}
	VMOVUPS(bias, s0)
	VMOVUPS(bias, s1)
	row()
	into(s0, 0)
	row()
	into(s0, 1)
	into(s1, 0)
	Label("row")
	row()
	VMOVUPS(bias, s2)
	into(s0, 2)
	into(s1, 1)
	into(s2, 0)
	if f.single() {
		VMAXPS(s0, floor, s0) // a NaN in the sum stays
		VMOVUPS(s0, k[3], Mem{Base: to})
	} else {
		VMAXPD(s0, floor, s0)
		VMOVUPD(s0, k[3], Mem{Base: to})
	}
	ADDQ(ldy, to)
	VMOVUPS(s1, s0)
	VMOVUPS(s2, s1)
	DECQ(rows)
	JNZ(LabelRef("row"))
	ADDQ(I32(int32(f.bytes)), x)
	ADDQ(I32(int32(f.bytes)), y)
	ADDQ(I8(8), masks)
	DECQ(blocks)
	JNZ(LabelRef("block"))
	VZEROUPPER()
	RET()
}

// depthwiseFilter3 is its derivative by the weights: the last three rows of deltas are kept.
func depthwiseFilter3(f flavour) {
	begin("depthwiseFilter3x3x"+f.elem+f.tier, fmt.Sprintf("func(rows, blocks int, d *%[1]s, ldd int, x *%[1]s, ldx, h, top, left int, masks *uint16, sums *%[1]s)", f.goType),
		fmt.Sprintf("Σ_l sums[%d·(3r+s)+l] += Σ_p Σ_q d[p·ldd+q]·x[(p+r−top)·ldx + q+s−left], 0 ≤ r, s < 3, 0 ≤ p < rows, for each of the blocks of %d columns q, terms being 0 where "+
			"the row is none of the h of x; each lane l has a part of the sum. Masks are those of the forward kernel.", f.lanes(), f.lanes()))
	sums := Load(Param("sums"), GP64())
	var acc [9]reg.VecVirtual
	for i := range acc {
		acc[i] = f.vector()
		VMOVUPS(Mem{Base: sums, Disp: i * f.bytes}, acc[i])
	}
	ldx := Load(Param("ldx"), GP64())
	ldd := Load(Param("ldd"), GP64())
	SHLQ(U8(f.shift()), ldd)
	x := GP64()
	Load(Param("x"), x)
	first := GP64() // row of the inputs
	Load(Param("top"), first)
	NEGQ(first)
	shift := GP64()
	MOVQ(first, shift)
	IMULQ(ldx, shift)
	SUBQ(Load(Param("left"), GP64()), shift)
	LEAQ(Mem{Base: x, Index: shift, Scale: uint8(f.size)}, x)
	SHLQ(U8(f.shift()), ldx)
	h := Load(Param("h"), GP64())
	d := GP64()
	Load(Param("d"), d)
	masks := GP64()
	Load(Param("masks"), masks)
	blocks := GP64()
	Load(Param("blocks"), blocks)
	Label("block")
	k := [4]reg.Register{K(), K(), K(), K()}
	for i := range k {
		KMOVW(Mem{Base: masks, Disp: 2 * i}, k[i])
	}
	from, delta, rows, r := GP64(), GP64(), GP64(), GP64()
	MOVQ(x, from)
	MOVQ(d, delta)
	MOVQ(first, r)
	Load(Param("rows"), rows)
	load := func(m Mem, k reg.Register, v reg.VecVirtual) {
		if f.single() {
			VMOVUPS_Z(m, k, v)
		} else {
			VMOVUPD_Z(m, k, v)
		}
	}
	var v [3]reg.VecVirtual
	for s := range v {
		v[s] = f.vector()
	}
	d0, d1, d2 := f.vector(), f.vector(), f.vector() // the row's and those of the two rows above
	count := 0
	row := func(deltas bool) {
		count++
		outside, loaded := fmt.Sprintf("outside%d", count), fmt.Sprintf("loaded%d", count)
		CMPQ(r, h)
		JCC(LabelRef(outside))
		for s := range v {
			load(Mem{Base: from, Disp: s * f.size}, k[s], v[s])
		}
		JMP(LabelRef(loaded))
		Label(outside)
		for s := range v {
			VPXORD(v[s], v[s], v[s])
		}
		Label(loaded)
		ADDQ(ldx, from)
		INCQ(r)
		if deltas {
			load(Mem{Base: delta}, k[3], d0)
			ADDQ(ldd, delta)
		}
	}
	into := func(r int, dv reg.VecVirtual) {
		for s := range v {
			f.fma(v[s], dv, acc[3*r+s])
		}
	}
	down := func() {
		VMOVUPS(d1, d2)
		VMOVUPS(d0, d1)
	}
	// The first two rows of inputs and the last two meet fewer rows of deltas; what is not there is
	// not multiplied, lest 0·∞ be made.
	row(true)
	into(0, d0)
	down()
	DECQ(rows)
	JZ(LabelRef("one"))
	row(true)
	into(0, d0)
	into(1, d1)
	down()
	DECQ(rows)
	JZ(LabelRef("last"))
	Label("row")
	row(true)
	into(0, d0)
	into(1, d1)
	into(2, d2)
	down()
	DECQ(rows)
	JNZ(LabelRef("row"))
	Label("last")
	row(false)
	into(1, d1)
	into(2, d2)
	row(false)
	into(2, d1)
	JMP(LabelRef("next"))
	Label("one")
	row(false)
	into(1, d1)
	row(false)
	into(2, d1)
	Label("next")
	ADDQ(I32(int32(f.bytes)), x)
	ADDQ(I32(int32(f.bytes)), d)
	ADDQ(I8(8), masks)
	DECQ(blocks)
	JNZ(LabelRef("block"))
	for i := range acc {
		VMOVUPS(acc[i], Mem{Base: sums, Disp: i * f.bytes})
	}
	VZEROUPPER()
	RET()
}

// dot is one tap's sum for any depthwise filter.
func dot(f flavour) {
	begin("dotRows"+f.elem+f.tier, fmt.Sprintf("func(rows, n int, d *%s, ldd int, x *%s, ldx int, sums *%s)", f.goType, f.goType, f.goType),
		"Σ_l sums[l] += Σ_p Σ_q d[p·ldd+q]·x[p·ldx + q], 0 ≤ p < rows, 0 ≤ q < n, each lane l having a part of the sum.")
	sums := Load(Param("sums"), GP64())
	acc := f.vector()
	VMOVUPS(Mem{Base: sums}, acc)
	ldx := Load(Param("ldx"), GP64())
	SHLQ(U8(f.shift()), ldx)
	ldd := Load(Param("ldd"), GP64())
	SHLQ(U8(f.shift()), ldd)
	x := Load(Param("x"), GP64())
	d := Load(Param("d"), GP64())
	f.down(func(c *walk) {
		from, delta, rows := GP64(), GP64(), GP64()
		LEAQ(Mem{Base: x, Index: c.column, Scale: 1}, from)
		LEAQ(Mem{Base: d, Index: c.column, Scale: 1}, delta)
		Load(Param("rows"), rows)
		u, v := f.vector(), f.vector()
		Label("row")
		c.load(Mem{Base: from}, u)
		c.load(Mem{Base: delta}, v)
		f.fma(u, v, acc)
		ADDQ(ldx, from)
		ADDQ(ldd, delta)
		DECQ(rows)
		JNZ(LabelRef("row"))
	})
	VMOVUPS(acc, Mem{Base: sums})
	VZEROUPPER()
	RET()
}

// tapChannels is for channels side by side: any taps of a depthwise filter, which are given by
// their distances, for outputs that all of them meet.
func tapChannels(f flavour) {
	begin("tapChannels"+f.elem+f.tier, fmt.Sprintf("func(outputs, channels int, y *%[1]s, ldy int, x *%[1]s, step int, taps *int, count int, w, bias, cut *%[1]s)", f.goType),
		"y[i·ldy+c] = min(cut[1], max(cut[0], bias[c] + Σ_t x[i·step+taps[2t]+c]·w[taps[2t+1]+c])), 0 ≤ t < count, 0 ≤ i < outputs, 0 ≤ c < channels.")
	const most = 6 // outputs at a time
	cut := Load(Param("cut"), GP64())
	floor, ceiling := f.vector(), f.vector()
	f.broadcast(Mem{Base: cut}, floor)
	f.broadcast(Mem{Base: cut, Disp: f.size}, ceiling)
	end := GP64()
	Load(Param("channels"), end)
	tail, all, k := f.tailMask(end), K(), K()
	KXNORW(all, all, all)
	step, step3, ldy := GP64(), GP64(), GP64()
	Load(Param("step"), step)
	SHLQ(U8(f.shift()), step)
	LEAQ(Mem{Base: step, Index: step, Scale: 2}, step3)
	Load(Param("ldy"), ldy)
	SHLQ(U8(f.shift()), ldy)
	x, y, left, channel := GP64(), GP64(), GP64(), GP64()
	Load(Param("x"), x)
	Load(Param("y"), y)
	Load(Param("outputs"), left)
	for _, outputs := range []int{most, 1} {
		label := func(s string) string { return fmt.Sprintf("%s%d", s, outputs) }
		Label(label("outputs"))
		CMPQ(left, I8(int8(outputs)))
		JLT(LabelRef(label("fewer")))
		XORQ(channel, channel)
		Label(label("channels"))
		KMOVW(all, k)
		CMPQ(channel, end)
		JLT(LabelRef(label("whole")))
		KTESTW(tail, tail)
		JZ(LabelRef(label("next")))
		KMOVW(tail, k)
		Label(label("whole"))
		f.tapTile(outputs, k, channel, x, y, step, step3, ldy, floor, ceiling, label("tap"))
		ADDQ(I32(int32(f.bytes)), channel)
		CMPQ(channel, end)
		JLE(LabelRef(label("channels")))
		Label(label("next"))
		for range outputs / 3 {
			ADDQ(step3, x)
		}
		for range outputs % 3 {
			ADDQ(step, x)
		}
		for range outputs {
			ADDQ(ldy, y)
		}
		SUBQ(I8(int8(outputs)), left)
		JMP(LabelRef(label("outputs")))
		Label(label("fewer"))
	}
	VZEROUPPER()
	RET()
}

// tapTile makes so many outputs of a vector of channels.
func (f flavour) tapTile(outputs int, k, channel, x, y, step, step3, ldy reg.Register, floor, ceiling reg.VecVirtual, label string) {
	load := func(m Mem, v reg.VecVirtual) {
		if f.single() {
			VMOVUPS_Z(m, k, v)
		} else {
			VMOVUPD_Z(m, k, v)
		}
	}
	sums := make([]reg.VecVirtual, outputs)
	for i := range sums {
		sums[i] = f.vector()
		if i > 0 {
			VMOVUPS(sums[0], sums[i])
			continue
		}
		load(Mem{Base: Load(Param("bias"), GP64()), Index: channel, Scale: 1}, sums[0])
	}
	taps, count := GP64(), GP64()
	Load(Param("taps"), taps)
	Load(Param("count"), count)
	weights := f.vector()
	Label(label)
	from, w := GP64(), GP64()
	MOVQ(Mem{Base: taps, Disp: 8}, from)
	Load(Param("w"), w)
	LEAQ(Mem{Base: w, Index: from, Scale: uint8(f.size)}, w)
	load(Mem{Base: w, Index: channel, Scale: 1}, weights)
	MOVQ(Mem{Base: taps}, from)
	LEAQ(Mem{Base: x, Index: from, Scale: uint8(f.size)}, from)
	ADDQ(channel, from)
	for i, sum := range sums {
		if i > 0 && i%3 == 0 {
			ADDQ(step3, from)
		}
		m := Mem{Base: from}
		if i%3 > 0 {
			m.Index, m.Scale = step, uint8(i%3)
		}
		if f.single() {
			VFMADD231PS(m, weights, k, sum)
		} else {
			VFMADD231PD(m, weights, k, sum)
		}
	}
	ADDQ(I8(16), taps)
	DECQ(count)
	JNZ(LabelRef(label))
	to := GP64()
	LEAQ(Mem{Base: y, Index: channel, Scale: 1}, to)
	for i, sum := range sums {
		if i > 0 {
			ADDQ(ldy, to)
		}
		if f.single() { // a NaN in the sum stays
			VMAXPS(sum, floor, sum)
			VMINPS(sum, ceiling, sum)
			VMOVUPS(sum, k, Mem{Base: to})
		} else {
			VMAXPD(sum, floor, sum)
			VMINPD(sum, ceiling, sum)
			VMOVUPD(sum, k, Mem{Base: to})
		}
	}
}
