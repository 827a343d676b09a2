// Command dots generates the micro-kernels of the filter gradient of few filters and taps: sums
// along rows of outputs.
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

func (f flavour) op(single, double func(...Op), operands ...Op) {
	if f.size == 4 {
		single(operands...)
	} else {
		double(operands...)
	}
}

// load loads a vector, or where mask is set the elements that it picks and zeros.
func (f flavour) load(m Mem, mask reg.Register, v reg.VecVirtual) {
	switch {
	case mask == nil:
		VMOVUPS(m, v)
	case f.bytes == 64 && f.size == 4:
		VMOVUPS_Z(m, mask, v)
	case f.bytes == 64:
		VMOVUPD_Z(m, mask, v)
	case f.size == 4:
		VMASKMOVPS(m, mask, v)
	default:
		VMASKMOVPD(m, mask, v)
	}
}

// masks hold a vector of ones before one of zeros: a load that begins rest elements before the
// zeros picks the first rest elements.
var masks = map[int]Mem{}

func table(size int) Mem {
	m := GLOBL(fmt.Sprintf("dotsMask%d", 8*size), RODATA|NOPTR)
	for i := range 8 {
		v := uint64(0)
		if i < 4 {
			v--
		}
		DATA(8*i, U64(v))
	}
	return m
}

// dots keeps filters × taps vectors of sums: of the products of filters' rows of deltas with the
// taps' rows of the image.
func dots(f flavour, filters, taps int) {
	name := fmt.Sprintf("dots%dx%dx%s%s", filters, taps, f.elem, f.tier)
	lanes := f.bytes / f.size
	TEXT(name, NOSPLIT, fmt.Sprintf("func(rows, vectors, rest int, dy *%[1]s, from *int, dyRow int, x *%[1]s, off *int, xRow int, sums *%[1]s)", f.goType))
	Doc(fmt.Sprintf("%s is sums[(i·%d+j)·%d + q mod %d] += Σ_r Σ_q dy[from[i]+r·dyRow+q]·x[off[j]+r·xRow+q], 0 ≤ r < rows, 0 ≤ q < %d·vectors+rest, 0 ≤ i < %d, 0 ≤ j < %d. rest < %d.",
		name, taps, lanes, lanes, lanes, filters, taps, lanes))
	Pragma("noescape")
	shift := U8(map[int]uint8{4: 2, 8: 3}[f.size])
	rows := Load(Param("rows"), GP64())
	rest := Load(Param("rest"), GP64())
	var mask reg.Register
	if f.bytes == 64 {
		bits := GP32()
		XORL(bits, bits)
		one := GP32()
		MOVL(U32(1), one)
		SHLXL(rest.(reg.GPVirtual).As32(), one, bits)
		DECL(bits)
		k := K()
		KMOVW(bits, k)
		mask = k
	} else {
		m := YMM()
		p := GP64()
		LEAQ(masks[f.size], p)
		NEGQ(rest.(reg.GPVirtual))
		VMOVUPS(Mem{Base: p, Index: rest, Scale: uint8(f.size), Disp: f.bytes}, m)
		mask = m
	}
	pointers := func(base, table string, n int) []reg.GPVirtual {
		b, t := Load(Param(base), GP64()), Load(Param(table), GP64())
		p := make([]reg.GPVirtual, n)
		for i := range p {
			o := GP64()
			MOVQ(Mem{Base: t, Disp: 8 * i}, o)
			p[i] = GP64()
			LEAQ(Mem{Base: b, Index: o, Scale: uint8(f.size)}, p[i])
		}
		return p
	}
	dy := pointers("dy", "from", filters)
	x := pointers("x", "off", taps)
	var acc [][]reg.VecVirtual
	for range filters {
		var row []reg.VecVirtual
		for range taps {
			v := f.vector()
			f.zero(v)
			row = append(row, v)
		}
		acc = append(acc, row)
	}
	step := func(at reg.Register, mask reg.Register) {
		var xv []reg.VecVirtual
		for _, p := range x {
			v := f.vector()
			f.load(Mem{Base: p, Index: at, Scale: 1}, mask, v)
			xv = append(xv, v)
		}
		d := f.vector()
		for i, p := range dy {
			f.load(Mem{Base: p, Index: at, Scale: 1}, mask, d)
			for j, v := range xv {
				f.op(VFMADD231PS, VFMADD231PD, v, d, acc[i][j])
			}
		}
	}
	Label("rows")
	at, n := GP64(), GP64()
	XORQ(at, at)
	Load(Param("vectors"), n)
	TESTQ(n, n)
	JZ(LabelRef("rest"))
	Label("loop")
	step(at, nil)
	ADDQ(I32(int32(f.bytes)), at)
	DECQ(n)
	JNZ(LabelRef("loop"))
	Label("rest")
	Load(Param("rest"), n)
	TESTQ(n, n)
	JZ(LabelRef("next"))
	step(at, mask)
	Label("next")
	for i, p := range append(append([]reg.GPVirtual{}, dy...), x...) {
		if i == 0 {
			Load(Param("dyRow"), n)
			SHLQ(shift, n)
		}
		if i == filters {
			Load(Param("xRow"), n)
			SHLQ(shift, n)
		}
		ADDQ(n, p)
	}
	DECQ(rows)
	JNZ(LabelRef("rows"))
	sums := Load(Param("sums"), GP64())
	for i := range acc {
		for j, v := range acc[i] {
			m := Mem{Base: sums, Disp: (i*taps + j) * f.bytes}
			f.op(VADDPS, VADDPD, m, v, v)
			VMOVUPS(v, m)
		}
	}
	VZEROUPPER()
	RET()
}

func main() {
	ConstraintExpr("amd64,!noasm")
	for _, size := range []int{4, 8} {
		masks[size] = table(size)
	}
	for _, f := range flavours {
		if f.tier == "AVX512" {
			// 24 of 32 registers hold sums.
			dots(f, 8, 3)
			dots(f, 6, 4)
			dots(f, 2, 8)
		} else {
			dots(f, 4, 2)
			dots(f, 2, 4)
		}
	}
	Generate()
}
