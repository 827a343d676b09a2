// Command conv generates the kernels that only convolutions need: the gathering of panels out of
// padded images, the copying of images into their padding, and sums of shifted rows for depthwise
// filters.
package main

import (
	"fmt"

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

// shift is the logarithm of the size.
func (f flavour) shift() uint8 { return map[int]uint8{4: 2, 8: 3}[f.size] }

func (f flavour) vector() reg.VecVirtual {
	if f.wide() {
		return ZMM()
	}
	return YMM()
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

func (f flavour) broadcast(m Mem, v reg.VecVirtual) {
	if f.single() {
		VBROADCASTSS(m, v)
	} else {
		VBROADCASTSD(m, v)
	}
}

func (f flavour) fma(a, b, c Op) {
	if f.single() {
		VFMADD231PS(a, b, c)
	} else {
		VFMADD231PD(a, b, c)
	}
}

func (f flavour) add(a, b, c Op) {
	if f.single() {
		VADDPS(a, b, c)
	} else {
		VADDPD(a, b, c)
	}
}

func begin(name, signature, doc string) {
	TEXT(name, NOSPLIT, signature)
	Doc(name + " is " + doc)
	Pragma("noescape")
}

// Tables of the even lanes of two vectors.
var evens [2]Mem

func table(name string, words ...uint32) Mem {
	m := GLOBL(name, RODATA|NOPTR)
	for i, v := range words {
		DATA(4*i, U32(v))
	}
	return m
}

// loader returns what loads a vector of elements step apart.
func (f flavour) loader(step int) func(m Mem, v reg.VecVirtual) {
	if step == 1 {
		return func(m Mem, v reg.VecVirtual) { VMOVUPS(m, v) }
	}
	if f.wide() {
		k := 1
		if f.single() {
			k = 0
		}
		idx := ZMM()
		VMOVDQU64(evens[k], idx)
		return func(m Mem, v reg.VecVirtual) {
			lo := ZMM()
			VMOVUPS(m, lo)
			VMOVDQU64(idx, v)
			if f.single() {
				VPERMI2PS(m.Offset(f.bytes), lo, v)
			} else {
				VPERMI2PD(m.Offset(f.bytes), lo, v)
			}
		}
	}
	return func(m Mem, v reg.VecVirtual) {
		lo, a, b := YMM(), YMM(), YMM()
		VMOVUPS(m, lo)
		VPERM2F128(U8(0x20), m.Offset(f.bytes), lo, a)
		VPERM2F128(U8(0x31), m.Offset(f.bytes), lo, b)
		if f.single() {
			VSHUFPS(U8(0x88), b, a, v)
		} else {
			VUNPCKLPD(b, a, v)
		}
	}
}

// Tables that repeat the lanes of the lower and of the upper half.
var repeats [2][2]Mem

// spreader returns what stores a vector's elements step apart under masks.
func (f flavour) spreader(step int) func(v reg.VecVirtual, m Mem, masks []reg.Register) {
	move := func(v Op, k Op, m Mem) {
		if f.single() {
			VMOVUPS(v, k, m)
		} else {
			VMOVUPD(v, k, m)
		}
	}
	if step == 1 {
		return func(v reg.VecVirtual, m Mem, masks []reg.Register) { move(v, masks[0], m) }
	}
	k := 1
	if f.single() {
		k = 0
	}
	return func(v reg.VecVirtual, m Mem, masks []reg.Register) {
		for half := range 2 {
			idx := ZMM()
			VMOVDQU64(repeats[k][half], idx)
			if f.single() {
				VPERMPS(v, idx, idx)
			} else {
				VPERMPD(v, idx, idx)
			}
			move(idx, masks[half], m.Offset(half*f.bytes))
		}
	}
}

// spread stores a row's elements two apart.
func spread(f flavour) {
	begin("spread2x"+f.elem+f.tier, fmt.Sprintf("func(n int, dst, src *%s)", f.goType), "dst[2i] = src[i], 0 ≤ i < n; what lies between is not touched.")
	n := Load(Param("n"), GP64())
	dst := Load(Param("dst"), GP64())
	src := Load(Param("src"), GP64())
	put := f.spreader(2)
	bits, even := GP64(), GP64()
	in, lo, hi := K(), K(), K()
	Label("loop")
	MOVQ(I32(-1), bits)
	CMPQ(n, I32(int32(f.lanes())))
	JGE(LabelRef("whole"))
	BZHIQ(n, bits, bits)
	Label("whole")
	ANDQ(I32(1<<f.lanes()-1), bits)
	KMOVW(bits.As32(), in)
	MOVQ(U32(0x55555555), even)
	PDEPQ(even, bits, bits)
	KMOVW(bits.As32(), lo)
	SHRQ(U8(f.lanes()), bits)
	KMOVW(bits.As32(), hi)
	v := f.vector()
	if f.single() {
		VMOVUPS_Z(Mem{Base: src}, in, v)
	} else {
		VMOVUPD_Z(Mem{Base: src}, in, v)
	}
	put(v, Mem{Base: dst}, []reg.Register{lo, hi})
	ADDQ(I32(int32(f.bytes)), src)
	ADDQ(I32(int32(2*f.bytes)), dst)
	SUBQ(I32(int32(f.lanes())), n)
	JGT(LabelRef("loop"))
	VZEROUPPER()
	RET()
}

func gather(f flavour, step int) {
	name := fmt.Sprintf("gather%dx%s%s", step, f.elem, f.tier)
	begin(name, fmt.Sprintf("func(count int, dst *%s, width int, src *%s, offsets *int, segments *int, n int)", f.goType, f.goType),
		fmt.Sprintf("dst[l·width + s₁ + i] = src[offsets[l] + s₀ + %d·i], 0 ≤ l < count, for each of the n segments, pairs s, and a whole vector of i. It reads and writes "+
			"whole vectors, the later ones over the earlier.", step))
	load := f.loader(step)
	count := Load(Param("count"), GP64())
	dst := Load(Param("dst"), GP64())
	width := Load(Param("width"), GP64())
	SHLQ(U8(f.shift()), width)
	src := Load(Param("src"), GP64())
	offsets := Load(Param("offsets"), GP64())
	segments := Load(Param("segments"), GP64())
	n := Load(Param("n"), GP64())
	SHLQ(U8(4), n)
	ADDQ(segments, n) // the end
	Label("line")
	from, s := GP64(), GP64()
	MOVQ(Mem{Base: offsets}, from)
	LEAQ(Mem{Base: src, Index: from, Scale: uint8(f.size)}, from)
	MOVQ(segments, s)
	Label("segment")
	at, to, v := GP64(), GP64(), f.vector()
	MOVQ(Mem{Base: s}, at)
	MOVQ(Mem{Base: s, Disp: 8}, to)
	load(Mem{Base: from, Index: at, Scale: uint8(f.size)}, v)
	VMOVUPS(v, Mem{Base: dst, Index: to, Scale: uint8(f.size)})
	ADDQ(I8(16), s)
	CMPQ(s, n)
	JNE(LabelRef("segment"))
	ADDQ(width, dst)
	ADDQ(I8(8), offsets)
	DECQ(count)
	JNZ(LabelRef("line"))
	VZEROUPPER()
	RET()
}

// tailMask makes the mask of the n mod lanes last elements and leaves in n the number of those
// before, in bytes.
func (f flavour) tailMask(n reg.GPVirtual) reg.Register {
	rest, bits, k := GP64(), GP64(), K()
	MOVQ(n, rest)
	ANDQ(I32(int32(f.lanes()-1)), rest)
	SUBQ(rest, n)
	SHLQ(U8(f.shift()), n)
	MOVQ(I32(-1), bits)
	BZHIQ(rest, bits, bits)
	KMOVW(bits.As32(), k)
	return k
}

// pad copies rows of planes to where zeros lie around them.
func pad(f flavour) {
	begin("pad"+f.elem+f.tier, fmt.Sprintf("func(planes, rows, n int, dst *%[1]s, dstPlane, dstRow int, src *%[1]s, srcPlane, srcRow, left, right int)", f.goType),
		"dst[c·dstPlane + r·dstRow + i] = src[c·srcPlane + r·srcRow + i − left] where left ≤ i < right, and 0 elsewhere, 0 ≤ c < planes, 0 ≤ r < rows, 0 ≤ i < n. "+
			"Of dst it writes whole vectors, the earlier rows' before the later ones'.")
	words := make([]uint32, 0, 16)
	for i := range uint32(f.lanes()) {
		if words = append(words, i); !f.single() {
			words = append(words, 0)
		}
	}
	numbers := table("lanes"+f.elem+f.tier, words...)
	dst := Load(Param("dst"), GP64())
	src := Load(Param("src"), GP64())
	n := Load(Param("n"), GP64())
	dstRow := Load(Param("dstRow"), GP64())
	srcRow := Load(Param("srcRow"), GP64())
	// Lane numbers are compared with the first and one behind the last that are the image's.
	first, step, left, right := f.vector(), f.vector(), f.vector(), f.vector()
	bound := func(name string, v reg.VecVirtual) reg.GPVirtual {
		g, x := GP64(), XMM()
		Load(Param(name), g)
		MOVQ(g, x)
		if f.single() {
			VPBROADCASTD(x, v)
		} else {
			VPBROADCASTQ(x, v)
		}
		return g
	}
	o := bound("left", left)
	bound("right", right)
	NEGQ(o)
	LEAQ(Mem{Base: src, Index: o, Scale: uint8(f.size)}, src.(reg.GPVirtual))
	lanes, x := GP64(), XMM()
	MOVQ(U32(uint32(f.lanes())), lanes)
	MOVQ(lanes, x)
	if f.single() {
		VPBROADCASTD(x, step)
	} else {
		VPBROADCASTQ(x, step)
	}
	VMOVUPS(numbers, first)
	planes := Load(Param("planes"), GP64())
	Label("plane")
	rows := Load(Param("rows"), GP64())
	from, to := GP64(), GP64()
	MOVQ(src, from)
	MOVQ(dst, to)
	Label("row")
	i, at := GP64(), f.vector()
	XORQ(i, i)
	if f.wide() {
		VMOVDQA64(first, at)
	} else {
		VMOVDQA(first, at)
	}
	Label("vector")
	v := f.vector()
	load, store := Mem{Base: from, Index: i, Scale: uint8(f.size)}, Mem{Base: to, Index: i, Scale: uint8(f.size)}
	switch {
	case f.wide() && f.single():
		in, k := K(), K()
		VPCMPD(U8(5), left, at, in) // at ≥ left
		VPCMPD(U8(1), right, at, in, k)
		VMOVUPS_Z(load, k, v)
		VPADDD(step, at, at)
	case f.wide():
		in, k := K(), K()
		VPCMPQ(U8(5), left, at, in)
		VPCMPQ(U8(1), right, at, in, k)
		VMOVUPD_Z(load, k, v)
		VPADDQ(step, at, at)
	case f.single():
		before, in := f.vector(), f.vector()
		VPCMPGTD(at, left, before)
		VPCMPGTD(at, right, in)
		VPANDN(in, before, in)
		VMASKMOVPS(load, in, v)
		VPADDD(step, at, at)
	default:
		before, in := f.vector(), f.vector()
		VPCMPGTQ(at, left, before)
		VPCMPGTQ(at, right, in)
		VPANDN(in, before, in)
		VMASKMOVPD(load, in, v)
		VPADDQ(step, at, at)
	}
	VMOVUPS(v, store)
	ADDQ(I8(int8(f.lanes())), i)
	CMPQ(i, n)
	JLT(LabelRef("vector"))
	LEAQ(Mem{Base: to, Index: dstRow, Scale: uint8(f.size)}, to)
	LEAQ(Mem{Base: from, Index: srcRow, Scale: uint8(f.size)}, from)
	DECQ(rows)
	JNZ(LabelRef("row"))
	Load(Param("dstPlane"), o)
	LEAQ(Mem{Base: dst, Index: o, Scale: uint8(f.size)}, dst.(reg.GPVirtual))
	Load(Param("srcPlane"), o)
	LEAQ(Mem{Base: src, Index: o, Scale: uint8(f.size)}, src.(reg.GPVirtual))
	DECQ(planes)
	JNZ(LabelRef("plane"))
	VZEROUPPER()
	RET()
}

func copyRows(f flavour) {
	begin("copyRows"+f.elem+f.tier, fmt.Sprintf("func(rows, n int, dst *%s, ldd int, src *%s, lds int)", f.goType, f.goType),
		"dst[r·ldd+i] = src[r·lds+i], 0 ≤ r < rows, 0 ≤ i < n.")
	rows := Load(Param("rows"), GP64())
	n := GP64()
	Load(Param("n"), n)
	dst := Load(Param("dst"), GP64())
	ldd := Load(Param("ldd"), GP64())
	src := Load(Param("src"), GP64())
	lds := Load(Param("lds"), GP64())
	k := f.tailMask(n)
	i := GP64()
	Label("row")
	XORQ(i, i)
	CMPQ(i, n)
	JGE(LabelRef("tail"))
	Label("loop")
	v := f.vector()
	VMOVUPS(Mem{Base: src, Index: i, Scale: 1}, v)
	VMOVUPS(v, Mem{Base: dst, Index: i, Scale: 1})
	ADDQ(I32(int32(f.bytes)), i)
	CMPQ(i, n)
	JLT(LabelRef("loop"))
	Label("tail")
	t := f.vector()
	if f.single() {
		VMOVUPS_Z(Mem{Base: src, Index: i, Scale: 1}, k, t)
		VMOVUPS(t, k, Mem{Base: dst, Index: i, Scale: 1})
	} else {
		VMOVUPD_Z(Mem{Base: src, Index: i, Scale: 1}, k, t)
		VMOVUPD(t, k, Mem{Base: dst, Index: i, Scale: 1})
	}
	LEAQ(Mem{Base: dst, Index: ldd, Scale: uint8(f.size)}, dst.(reg.GPVirtual))
	LEAQ(Mem{Base: src, Index: lds, Scale: uint8(f.size)}, src.(reg.GPVirtual))
	DECQ(rows)
	JNZ(LabelRef("row"))
	VZEROUPPER()
	RET()
}

func sumTaps(f flavour, step int) {
	begin(fmt.Sprintf("sumTaps%dx%s%s", step, f.elem, f.tier),
		fmt.Sprintf("func(rows, n int, y *%s, ldy int, x *%s, ldx int, offsets *int, weights *%s, count, accumulate int)", f.goType, f.goType, f.goType),
		fmt.Sprintf("y[r·ldy+q] = Σ_t weights[t]·x[offsets[t] + r·ldx + %d·q] (+ y[r·ldy+q] where accumulate is not 0), 0 ≤ t < count, 0 ≤ r < rows, 0 ≤ q < n. "+
			"Of x it reads whole vectors.", step))
	load := f.loader(step)
	rows := Load(Param("rows"), GP64())
	n := GP64()
	Load(Param("n"), n)
	y := Load(Param("y"), GP64())
	x := Load(Param("x"), GP64())
	offsets := Load(Param("offsets"), GP64())
	weights := Load(Param("weights"), GP64())
	count := Load(Param("count"), GP64())
	k := f.tailMask(n)
	all, tail := K(), K()
	KMOVW(k, tail)
	KXNORW(all, all, all)
	i, t := GP64(), GP64()
	bytes := GP64() // n in bytes, whole vectors
	MOVQ(n, bytes)
	Label("row")
	XORQ(i, i)
	Label("vector")
	KMOVW(all, k)
	CMPQ(i, bytes)
	JLT(LabelRef("whole"))
	KTESTW(tail, tail)
	JZ(LabelRef("next"))
	KMOVW(tail, k)
	Label("whole")
	s := f.zeroed()
	accumulate := GP64()
	Load(Param("accumulate"), accumulate)
	TESTQ(accumulate, accumulate)
	JZ(LabelRef("start"))
	if f.single() {
		VMOVUPS_Z(Mem{Base: y, Index: i, Scale: 1}, k, s)
	} else {
		VMOVUPD_Z(Mem{Base: y, Index: i, Scale: 1}, k, s)
	}
	Label("start")
	XORQ(t, t)
	from := GP64()
	LEAQ(Mem{Base: x, Index: i, Scale: uint8(step)}, from)
	Label("taps")
	off, v := GP64(), f.vector()
	MOVQ(Mem{Base: offsets, Index: t, Scale: 8}, off)
	load(Mem{Base: from, Index: off, Scale: uint8(f.size)}, v)
	if f.single() {
		VFMADD231PS_BCST(Mem{Base: weights, Index: t, Scale: 4}, v, s)
	} else {
		VFMADD231PD_BCST(Mem{Base: weights, Index: t, Scale: 8}, v, s)
	}
	INCQ(t)
	CMPQ(t, count)
	JLT(LabelRef("taps"))
	if f.single() {
		VMOVUPS(s, k, Mem{Base: y, Index: i, Scale: 1})
	} else {
		VMOVUPD(s, k, Mem{Base: y, Index: i, Scale: 1})
	}
	ADDQ(I32(int32(f.bytes)), i)
	CMPQ(i, bytes)
	JLE(LabelRef("vector"))
	Label("next")
	ld := GP64()
	Load(Param("ldy"), ld)
	LEAQ(Mem{Base: y, Index: ld, Scale: uint8(f.size)}, y.(reg.GPVirtual))
	Load(Param("ldx"), ld)
	LEAQ(Mem{Base: x, Index: ld, Scale: uint8(f.size)}, x.(reg.GPVirtual))
	DECQ(rows)
	JNZ(LabelRef("row"))
	VZEROUPPER()
	RET()
}

// bias is the end of a row of outputs: y = x + b, then max(0, ·) where it has a ReLU.
func bias(f flavour, relu bool) {
	name, doc := "bias", "y = x + b over n elements, a multiple of the vector's."
	if relu {
		name, doc = "biasReLU", "y = max(0, x + b), NaN where the sum is, over n elements, a multiple of the vector's."
	}
	begin(name+f.elem+f.tier, fmt.Sprintf("func(n int, y, x *%s, b %s)", f.goType, f.goType), doc)
	n := Load(Param("n"), GP64())
	y := Load(Param("y"), GP64())
	x := Load(Param("x"), GP64())
	p, err := Param("b").Resolve()
	if err != nil {
		panic(err)
	}
	b, zero := f.vector(), f.zeroed()
	f.broadcast(p.Addr, b)
	i := GP64()
	XORQ(i, i)
	Label("loop")
	v := f.vector()
	f.add(Mem{Base: x, Index: i, Scale: uint8(f.size)}, b, v)
	// the maximum's second operand where either is NaN or both are zeros; +0 makes +0 of −0
	if relu {
		if f.single() {
			VMAXPS(v, zero, v)
		} else {
			VMAXPD(v, zero, v)
		}
		f.add(zero, v, v)
	}
	VMOVUPS(v, Mem{Base: y, Index: i, Scale: uint8(f.size)})
	ADDQ(I32(int32(f.lanes())), i)
	CMPQ(i, n)
	JLT(LabelRef("loop"))
	VZEROUPPER()
	RET()
}

func main() {
	ConstraintExpr("amd64,!noasm")
	var e32, e64 []uint32
	for i := range uint32(16) {
		e32 = append(e32, 2*i)
		if i < 8 {
			e64 = append(e64, 2*i, 0)
		}
	}
	for k, lanes := range []uint32{16, 8} {
		for half := range uint32(2) {
			var words []uint32
			for i := range lanes {
				words = append(words, i/2+half*lanes/2)
				if k == 1 {
					words = append(words, 0)
				}
			}
			repeats[k][half] = table(fmt.Sprintf("repeat%d%s", half, []string{"32", "64"}[k]), words...)
		}
	}
	evens = [2]Mem{table("convEvens32", e32...), table("convEvens64", e64...)}
	for _, f := range flavours {
		gather(f, 1)
		gather(f, 2)
		bias(f, false)
		bias(f, true)
		pad(f)
		if f.wide() {
			copyRows(f)
			spread(f)
			depthwise3(f)
			depthwiseFilter3(f)
			tapChannels(f)
			dot(f)
			sumTaps(f, 1)
			sumTaps(f, 2)
			for _, s := range directShapes {
				direct(f, s[0], s[1], 1, 1)
				direct(f, s[0], s[1], 2, 1)
				direct(f, s[0], s[1], 1, 2)
			}
		}
	}
	Generate()
}

// direct takes m filters and some vectors of outputs, each of which lies where its segment says,
// straight from a padded image.
func direct(f flavour, m, vectors, step, spread int) {
	begin(fmt.Sprintf("direct%dx%dx%dto%dx%s%s", m, vectors, step, spread, f.elem, f.tier),
		fmt.Sprintf("func(depth int, a, src *%s, offsets, segments *int, dst *%s, ldd int, bias, floor *%s)", f.goType, f.goType, f.goType),
		fmt.Sprintf("dst[s₁ + i·ldd + %d·j] = max(floor, bias[i] + Σ_k a[k·%d+i]·src[offsets[k] + s₀ + %d·j]), 0 ≤ k < depth, 0 ≤ i < %d, for each of %d segments, triples "+
			"s, and the j whose bits are set in s₂. NaN stays NaN. Of src it reads whole vectors.", spread, m, step, m, vectors))
	load := f.loader(step)
	put := f.spreader(spread)
	bias := Load(Param("bias"), GP64())
	sums := make([][]reg.VecVirtual, m)
	for i := range sums {
		for j := range vectors {
			v := f.vector()
			if j == 0 {
				f.broadcast(Mem{Base: bias, Disp: i * f.size}, v)
			} else {
				VMOVUPS(sums[i][0], v)
			}
			sums[i] = append(sums[i], v)
		}
	}
	depth := Load(Param("depth"), GP64())
	a := Load(Param("a"), GP64())
	src := Load(Param("src"), GP64())
	offsets := Load(Param("offsets"), GP64())
	segments := Load(Param("segments"), GP64())
	at := make([]reg.Register, vectors)
	for j := range at {
		p := GP64()
		MOVQ(Mem{Base: segments, Disp: 24 * j}, p)
		LEAQ(Mem{Base: src, Index: p, Scale: uint8(f.size)}, p)
		at[j] = p
	}
	xs := make([]reg.VecVirtual, vectors)
	for j := range xs {
		xs[j] = f.vector()
	}
	Label("loop")
	off := GP64()
	MOVQ(Mem{Base: offsets}, off)
	for j, v := range xs {
		load(Mem{Base: at[j], Index: off, Scale: uint8(f.size)}, v)
	}
	w := f.vector()
	for i := range sums {
		if m > 1 && vectors == 1 {
			panic("one vector")
		}
		f.broadcast(Mem{Base: a, Disp: i * f.size}, w)
		for j, v := range xs {
			f.fma(v, w, sums[i][j])
		}
	}
	ADDQ(I32(8), offsets)
	ADDQ(I32(int32(m*f.size)), a)
	DECQ(depth)
	JNZ(LabelRef("loop"))
	floor := f.vector()
	f.broadcast(Mem{Base: Load(Param("floor"), GP64())}, floor)
	dst := Load(Param("dst"), GP64())
	ldd := Load(Param("ldd"), GP64())
	for j := range vectors {
		to, bits, k := GP64(), GP64(), K()
		MOVQ(Mem{Base: segments, Disp: 24*j + 8}, to)
		LEAQ(Mem{Base: dst, Index: to, Scale: uint8(f.size)}, to)
		MOVQ(Mem{Base: segments, Disp: 24*j + 16}, bits)
		masks := []reg.Register{k}
		if spread == 2 {
			even := GP64()
			MOVQ(U32(0x55555555), even)
			PDEPQ(even, bits, bits)
			KMOVW(bits.As32(), k)
			SHRQ(U8(f.lanes()), bits)
			high := K()
			KMOVW(bits.As32(), high)
			masks = append(masks, high)
		} else {
			KMOVW(bits.As32(), k)
		}
		for i := range sums {
			v := sums[i][j]
			// The maximum's second operand where either is NaN.
			if f.single() {
				VMAXPS(v, floor, v)
			} else {
				VMAXPD(v, floor, v)
			}
			put(v, Mem{Base: to}, masks)
			if i+1 < m {
				LEAQ(Mem{Base: to, Index: ldd, Scale: uint8(f.size)}, to)
			}
		}
	}
	VZEROUPPER()
	RET()
}

// directShapes are the numbers of filters and vectors of the direct kernels: enough sums to hide an
// FMA's latency, and no more than registers.
var directShapes = [][2]int{{1, 8}, {2, 8}, {3, 6}, {4, 5}, {6, 4}, {8, 3}}
