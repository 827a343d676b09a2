// Command gemm generates the micro-kernels of the matrix product and the transpositions that pack
// its panels.
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

// shift is the logarithm of the size.
func (f flavour) shift() uint8 { return map[int]uint8{4: 2, 8: 3}[f.size] }

func (f flavour) vector() reg.VecVirtual {
	if f.bytes == 64 {
		return ZMM()
	}
	return YMM()
}

func (f flavour) zero(v reg.VecVirtual) {
	if f.bytes == 64 {
		VPXORD(v, v, v)
	} else {
		VPXOR(v, v, v)
	}
}

func (f flavour) broadcast(m Mem, v reg.VecVirtual) {
	if f.size == 4 {
		VBROADCASTSS(m, v)
	} else {
		VBROADCASTSD(m, v)
	}
}

func (f flavour) fma(a, b, c reg.VecVirtual) {
	if f.size == 4 {
		VFMADD231PS(a, b, c)
	} else {
		VFMADD231PD(a, b, c)
	}
}

func (f flavour) add(m Op, a, c reg.VecVirtual) {
	if f.size == 4 {
		VADDPS(m, a, c)
	} else {
		VADDPD(m, a, c)
	}
}

// tile is c (+)= Σ_k a[k·mr+i]·b[k·nr+j] with mr rows of up to three vectors kept in registers.
func tile(f flavour, mr, vectors int) {
	const unroll = 4
	nr := vectors * f.bytes / f.size
	TEXT(fmt.Sprintf("tile%dx%dx%s%s", mr, nr, f.elem, f.tier), NOSPLIT, fmt.Sprintf("func(kc int, a, b, c *%s, ld, accumulate int)", f.goType))
	Doc(fmt.Sprintf("tile%dx%dx%s%s is c[i·ld+j] = Σ_k a[k·%d+i]·b[k·%d+j] (+ c[i·ld+j] where accumulate is not 0), 0 ≤ k < kc, 0 ≤ i < %d, 0 ≤ j < %d.",
		mr, nr, f.elem, f.tier, mr, nr, mr, nr))
	Pragma("noescape")
	kc := Load(Param("kc"), GP64())
	a := Load(Param("a"), GP64())
	b := Load(Param("b"), GP64())
	c := Load(Param("c"), GP64())
	ld := Load(Param("ld"), GP64())
	SHLQ(U8(f.shift()), ld)
	at := GP64()
	MOVQ(c, at)
	for range mr {
		for j := 0; j < vectors*f.bytes; j += 64 {
			PREFETCHT0(Mem{Base: at, Disp: j})
		}
		ADDQ(ld, at)
	}
	sums := make([][]reg.VecVirtual, mr)
	for i := range sums {
		for range vectors {
			v := f.vector()
			f.zero(v)
			sums[i] = append(sums[i], v)
		}
	}
	var bv []reg.VecVirtual
	for range vectors {
		bv = append(bv, f.vector())
	}
	av := []reg.VecVirtual{f.vector()}
	if f.bytes == 64 {
		av = append(av, f.vector())
	}
	step := func(u int) {
		for j, v := range bv {
			VMOVUPS(Mem{Base: b, Disp: (u*vectors + j) * f.bytes}, v)
		}
		for i := range sums {
			x := av[i%len(av)]
			f.broadcast(Mem{Base: a, Disp: (u*mr + i) * f.size}, x)
			for j, v := range bv {
				f.fma(v, x, sums[i][j])
			}
		}
	}
	advance := func(u int) {
		ADDQ(I32(int32(u*vectors*f.bytes)), b)
		ADDQ(I32(int32(u*mr*f.size)), a)
	}
	SUBQ(I32(unroll), kc)
	JLT(LabelRef("rest"))
	Label("loop")
	for u := range unroll {
		step(u)
	}
	advance(unroll)
	SUBQ(I32(unroll), kc)
	JGE(LabelRef("loop"))
	Label("rest")
	ADDQ(I32(unroll), kc)
	JLE(LabelRef("done"))
	Label("single")
	step(0)
	advance(1)
	DECQ(kc)
	JNZ(LabelRef("single"))
	Label("done")
	accumulate := Load(Param("accumulate"), GP64())
	TESTQ(accumulate, accumulate)
	JZ(LabelRef("store"))
	MOVQ(c, at)
	for i := range sums {
		for j, v := range sums[i] {
			f.add(Mem{Base: at, Disp: j * f.bytes}, v, v)
		}
		ADDQ(ld, at)
	}
	Label("store")
	for i := range sums {
		for j, v := range sums[i] {
			VMOVUPS(v, Mem{Base: c, Disp: j * f.bytes})
		}
		ADDQ(ld, c)
	}
	VZEROUPPER()
	RET()
}

// transposer begins a function that transposes n blocks of side rows by side columns, calling block
// for each.
func transposer(side int, elem, goType string, size int, block func(from, to [8]Mem)) {
	name := fmt.Sprintf("transpose%dx%s", side, elem)
	TEXT(name, NOSPLIT, fmt.Sprintf("func(n int, dst *%s, ldd int, src *%s, lds int)", goType, goType))
	Doc(fmt.Sprintf("%s is dst[p·ldd+i] = src[i·lds+p], 0 ≤ i < %d, 0 ≤ p < %d·n.", name, side, side))
	Pragma("noescape")
	n := Load(Param("n"), GP64())
	dst := Load(Param("dst"), GP64())
	ldd := Load(Param("ldd"), GP64())
	src := Load(Param("src"), GP64())
	lds := Load(Param("lds"), GP64())
	var from, to [8]Mem
	lines := func(base, ld reg.Register) (at [8]Mem, high reg.Register) {
		SHLQ(U8(map[int]uint8{4: 2, 8: 3}[size]), ld.(reg.GPVirtual))
		ld3 := GP64()
		LEAQ(Mem{Base: ld, Index: ld, Scale: 2}, ld3)
		h := GP64()
		if side == 8 {
			LEAQ(Mem{Base: base, Index: ld, Scale: 4}, h)
		}
		for i := range side {
			b := base
			if i >= 4 {
				b = h
			}
			switch i % 4 {
			case 0:
				at[i] = Mem{Base: b}
			case 3:
				at[i] = Mem{Base: b, Index: ld3, Scale: 1}
			default:
				at[i] = Mem{Base: b, Index: ld, Scale: uint8(i % 4)}
			}
		}
		return at, h
	}
	from, fromHigh := lines(src, lds)
	to, toHigh := lines(dst, ldd)
	Label("loop")
	block(from, to)
	ADDQ(I32(int32(side*size)), src)
	if side == 8 {
		ADDQ(I32(int32(side*size)), fromHigh.(reg.GPVirtual))
		LEAQ(Mem{Base: toHigh, Index: ldd, Scale: 8}, toHigh.(reg.GPVirtual))
		LEAQ(Mem{Base: dst, Index: ldd, Scale: 8}, dst.(reg.GPVirtual))
	} else {
		LEAQ(Mem{Base: dst, Index: ldd, Scale: 4}, dst.(reg.GPVirtual))
	}
	DECQ(n)
	JNZ(LabelRef("loop"))
	VZEROUPPER()
	RET()
}

// transposeLanes transposes the lines of a whole vector. Quarters of a vector are loaded where they
// belong in the end, so that only what lies inside a quarter is left to shuffle.
func transposeLanes(elem, goType string, size int) {
	side, step := 64/size, 16/size // lines, and columns of a quarter
	name := fmt.Sprintf("transpose%dx%sAVX512", side, elem)
	TEXT(name, NOSPLIT, fmt.Sprintf("func(n int, dst *%s, ldd int, src *%s, lds int)", goType, goType))
	Doc(fmt.Sprintf("%s is dst[p·ldd+i] = src[i·lds+p], 0 ≤ i < %d, 0 ≤ p < %d·n.", name, side, step))
	Pragma("noescape")
	n := Load(Param("n"), GP64())
	dst := Load(Param("dst"), GP64())
	ldd := Load(Param("ldd"), GP64())
	src := Load(Param("src"), GP64())
	lds := Load(Param("lds"), GP64())
	lds3, ldd3 := GP64(), GP64()
	for _, ld := range [][2]reg.Register{{lds, lds3}, {ldd, ldd3}} {
		SHLQ(U8(map[int]uint8{4: 2, 8: 3}[size]), ld[0].(reg.GPVirtual))
		LEAQ(Mem{Base: ld[0], Index: ld[0], Scale: 2}, ld[1].(reg.GPVirtual))
	}
	bases := []reg.Register{src}
	for i := 4; i < side; i += 4 {
		b := GP64()
		LEAQ(Mem{Base: bases[len(bases)-1], Index: lds, Scale: 4}, b)
		bases = append(bases, b)
	}
	at := func(base, ld, ld3 reg.Register, i int) Mem {
		switch i {
		case 0:
			return Mem{Base: base}
		case 3:
			return Mem{Base: base, Index: ld3, Scale: 1}
		}
		return Mem{Base: base, Index: ld, Scale: uint8(i)}
	}
	Label("loop")
	z := make([]reg.VecVirtual, step)
	for e := range z {
		z[e] = ZMM()
		for quarter := range 4 {
			line := quarter*step + e
			m := at(bases[line/4], lds, lds3, line%4)
			if quarter == 0 {
				VMOVUPS(m, z[e].AsX())
			} else {
				VINSERTF32X4(U8(quarter), m, z[e], z[e])
			}
		}
	}
	if step == 4 {
		var t [4]reg.VecVirtual
		for i := range t {
			t[i] = ZMM()
		}
		VUNPCKLPS(z[1], z[0], t[0])
		VUNPCKHPS(z[1], z[0], t[1])
		VUNPCKLPS(z[3], z[2], t[2])
		VUNPCKHPS(z[3], z[2], t[3])
		z[0], z[1], z[2], z[3] = t[0], t[2], t[1], t[3]
	}
	for i := 0; i < step; i += 2 {
		lo, hi := ZMM(), ZMM()
		VUNPCKLPD(z[i+1], z[i], lo)
		VUNPCKHPD(z[i+1], z[i], hi)
		VMOVUPS(lo, at(dst, ldd, ldd3, i))
		VMOVUPS(hi, at(dst, ldd, ldd3, i+1))
	}
	for _, b := range bases {
		ADDQ(I8(16), b)
	}
	LEAQ(Mem{Base: dst, Index: ldd, Scale: uint8(step)}, dst.(reg.GPVirtual))
	DECQ(n)
	JNZ(LabelRef("loop"))
	VZEROUPPER()
	RET()
}

func transpose8x32(from, to [8]Mem) {
	var r, t, u [8]reg.VecVirtual
	for i := range r {
		r[i], t[i], u[i] = YMM(), YMM(), YMM()
		VMOVUPS(from[i], r[i])
	}
	for i := 0; i < 8; i += 2 {
		VUNPCKLPS(r[i+1], r[i], t[i])
		VUNPCKHPS(r[i+1], r[i], t[i+1])
	}
	for h := 0; h < 8; h += 4 {
		VSHUFPS(U8(0x44), t[h+2], t[h], u[h])
		VSHUFPS(U8(0xEE), t[h+2], t[h], u[h+1])
		VSHUFPS(U8(0x44), t[h+3], t[h+1], u[h+2])
		VSHUFPS(U8(0xEE), t[h+3], t[h+1], u[h+3])
	}
	for i := range 4 {
		lo, hi := YMM(), YMM()
		VPERM2F128(U8(0x20), u[4+i], u[i], lo)
		VMOVUPS(lo, to[i])
		VPERM2F128(U8(0x31), u[4+i], u[i], hi)
		VMOVUPS(hi, to[4+i])
	}
}

func transpose4x32(from, to [8]Mem) {
	var r, t [4]reg.VecVirtual
	for i := range r {
		r[i], t[i] = XMM(), XMM()
		VMOVUPS(from[i], r[i])
	}
	VUNPCKLPS(r[1], r[0], t[0])
	VUNPCKHPS(r[1], r[0], t[1])
	VUNPCKLPS(r[3], r[2], t[2])
	VUNPCKHPS(r[3], r[2], t[3])
	for i := range 4 {
		v := XMM()
		VSHUFPS(U8([2]uint8{0x44, 0xEE}[i%2]), t[2+i/2], t[i/2], v)
		VMOVUPS(v, to[i])
	}
}

func transpose4x64(from, to [8]Mem) {
	var r, t [4]reg.VecVirtual
	for i := range r {
		r[i], t[i] = YMM(), YMM()
		VMOVUPD(from[i], r[i])
	}
	VUNPCKLPD(r[1], r[0], t[0])
	VUNPCKHPD(r[1], r[0], t[1])
	VUNPCKLPD(r[3], r[2], t[2])
	VUNPCKHPD(r[3], r[2], t[3])
	for i := range 4 {
		v := YMM()
		VPERM2F128(U8([2]uint8{0x20, 0x31}[i/2]), t[2+i%2], t[i%2], v)
		VMOVUPD(v, to[i])
	}
}

func main() {
	ConstraintExpr("amd64,!noasm")
	for _, f := range flavours {
		// Three vectors a row: 24 of 32 registers, or 12 of 16, hold sums. Fewer are for the last
		// columns.
		for vectors := 3; vectors > 0; vectors-- {
			tile(f, map[string]int{"AVX512": 8, "AVX2": 4}[f.tier], vectors)
		}
	}
	transposeLanes("32", "float32", 4)
	transposeLanes("64", "float64", 8)
	transposer(8, "32", "float32", 4, transpose8x32)
	transposer(4, "32", "float32", 4, transpose4x32)
	transposer(4, "64", "float64", 8, transpose4x64)
	Generate()
}
