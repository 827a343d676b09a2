// Command winograd generates the transformations of Winograd's algorithm for 3×3 filters. Lanes are
// channels: each function makes one tile of many of them.
package main

import (
	"fmt"
	"math"

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

type vec = reg.VecVirtual

func (f flavour) vector() vec {
	if f.bytes == 64 {
		return ZMM()
	}
	return YMM()
}

func (f flavour) op(single, double func(...Op), operands ...Op) {
	if f.size == 4 {
		single(operands...)
	} else {
		double(operands...)
	}
}

// to makes a new register and gives it to the instruction as its destination.
func (f flavour) to(single, double func(...Op), operands ...Op) vec {
	v := f.vector()
	f.op(single, double, append(operands, v)...)
	return v
}

func (f flavour) add(a, b vec) vec { return f.to(VADDPS, VADDPD, b, a) }

// sub is a − b.
func (f flavour) sub(a, b vec) vec { return f.to(VSUBPS, VSUBPD, b, a) }
func (f flavour) mul(a, b vec) vec { return f.to(VMULPS, VMULPD, b, a) }

// fma is a·b + c, fnma c − a·b; c's register is not kept.
func (f flavour) fma(a, b, c vec) vec  { f.op(VFMADD231PS, VFMADD231PD, a, b, c); return c }
func (f flavour) fnma(a, b, c vec) vec { f.op(VFNMADD231PS, VFNMADD231PD, a, b, c); return c }
func (f flavour) copy(a vec) vec       { return f.to(VMOVAPS, VMOVAPD, a) }

var constants = map[string]Mem{}

// constant is v in all lanes.
func (f flavour) constant(v float64) vec {
	name := fmt.Sprintf("winograd%s_%x", f.elem, math.Float64bits(v))
	m, ok := constants[name]
	if !ok {
		m = GLOBL(name, RODATA|NOPTR)
		if f.size == 4 {
			DATA(0, F32(float32(v)))
		} else {
			DATA(0, F64(v))
		}
		constants[name] = m
	}
	r := f.vector()
	if f.size == 4 {
		VBROADCASTSS(m, r)
	} else {
		VBROADCASTSD(m, r)
	}
	return r
}

// A transform takes vectors in, computes a fixed matrix times them, and gives each of out results
// to store as soon as it is there.
type transform struct {
	in, out   int
	constants []float64
	apply     func(f flavour, c []vec, d []vec, store func(i int, v vec))
}

// The matrices are those of Lavin and Gray (2016): of the interpolation points 0, 1, −1, ∞ for
// tiles of 2 outputs and 0, 1, −1, 2, −2, ∞ for 4.
var inputs = map[int]transform{
	2: {4, 4, nil, func(f flavour, _, d []vec, store func(int, vec)) {
		store(0, f.sub(d[0], d[2]))
		store(1, f.add(d[1], d[2]))
		store(2, f.sub(d[2], d[1]))
		store(3, f.sub(d[1], d[3]))
	}},
	4: {6, 6, []float64{2, 4, 5}, func(f flavour, c, d []vec, store func(int, vec)) {
		c2, c4, c5 := c[0], c[1], c[2]
		store(0, f.fma(d[0], c4, f.fnma(d[2], c5, f.copy(d[4]))))
		a, b := f.fnma(d[2], c4, f.copy(d[4])), f.fnma(d[1], c4, f.copy(d[3]))
		store(1, f.add(a, b))
		store(2, f.sub(a, b))
		a, b = f.sub(d[4], d[2]), f.sub(d[3], d[1])
		store(3, f.fma(b, c2, f.copy(a)))
		store(4, f.fnma(b, c2, a))
		store(5, f.fma(d[1], c4, f.fnma(d[3], c5, f.copy(d[5]))))
	}},
}

var outputs = map[int]transform{
	2: {4, 2, nil, func(f flavour, _, m []vec, store func(int, vec)) {
		store(0, f.add(m[0], f.add(m[1], m[2])))
		store(1, f.sub(f.sub(m[1], m[2]), m[3]))
	}},
	4: {6, 4, []float64{2, 4, 8}, func(f flavour, c, m []vec, store func(int, vec)) {
		s1, d1, s2, d2 := f.add(m[1], m[2]), f.sub(m[1], m[2]), f.add(m[3], m[4]), f.sub(m[3], m[4])
		store(0, f.add(s2, f.add(m[0], s1)))
		store(1, f.fma(d2, c[0], f.copy(d1)))
		store(2, f.fma(s2, c[1], s1))
		store(3, f.fma(d2, c[2], f.add(d1, m[5])))
	}},
}

var weights = map[int]transform{
	2: {3, 4, []float64{0.5}, func(f flavour, c, g []vec, store func(int, vec)) {
		s := f.add(g[0], g[2])
		store(0, g[0])
		store(1, f.mul(c[0], f.add(s, g[1])))
		store(2, f.mul(c[0], f.sub(s, g[1])))
		store(3, g[2])
	}},
	4: {3, 6, []float64{1. / 4, -1. / 6, 1. / 6, 1. / 24, 1. / 12}, func(f flavour, c, g []vec, store func(int, vec)) {
		s := f.add(g[0], g[2])
		store(0, f.mul(c[0], g[0]))
		store(1, f.mul(c[1], f.add(s, g[1])))
		store(2, f.mul(c[1], f.sub(s, g[1])))
		u, v := f.fma(c[3], g[0], f.mul(c[2], g[2])), f.mul(c[4], g[1])
		store(3, f.add(u, v))
		store(4, f.sub(u, v))
		store(5, g[2])
	}},
}

// The adjoints, for the filter's gradient: of the output's transformation, for the deltas, and of
// the weights'.
var deltas = map[int]transform{
	2: {2, 4, nil, func(f flavour, _, d []vec, store func(int, vec)) {
		store(0, d[0])
		store(1, f.add(d[0], d[1]))
		store(2, f.sub(d[0], d[1]))
		z := f.vector()
		f.zero(z)
		store(3, f.sub(z, d[1]))
	}},
	4: {4, 6, []float64{2, 4, 8}, func(f flavour, c, d []vec, store func(int, vec)) {
		store(0, d[0])
		a, b := f.add(d[0], d[2]), f.add(d[1], d[3])
		store(1, f.add(a, b))
		store(2, f.sub(a, b))
		a, b = f.fma(d[2], c[1], f.copy(d[0])), f.fma(d[3], c[2], f.mul(d[1], c[0]))
		store(3, f.add(a, b))
		store(4, f.sub(a, b))
		store(5, d[3])
	}},
}

var gradients = map[int]transform{
	2: {4, 3, []float64{0.5}, func(f flavour, c, d []vec, store func(int, vec)) {
		s := f.mul(c[0], f.add(d[1], d[2]))
		store(0, f.add(d[0], s))
		store(1, f.mul(c[0], f.sub(d[1], d[2])))
		store(2, f.add(s, d[3]))
	}},
	4: {6, 3, []float64{1. / 4, 1. / 6, 1. / 24, 1. / 12}, func(f flavour, c, d []vec, store func(int, vec)) {
		s1, d1, s2, d2 := f.mul(c[1], f.add(d[1], d[2])), f.mul(c[1], f.sub(d[1], d[2])), f.add(d[3], d[4]), f.sub(d[3], d[4])
		store(0, f.sub(f.fma(s2, c[2], f.mul(c[0], d[0])), s1))
		store(1, f.sub(f.mul(c[3], d2), d1))
		store(2, f.add(f.sub(f.mul(c[1], s2), s1), d[5]))
	}},
}

// load loads n vectors, step bytes apart.
func (f flavour) load(n int, from reg.GPVirtual, step reg.Register) []vec {
	p := GP64()
	MOVQ(from, p)
	d := make([]vec, n)
	for i := range d {
		d[i] = f.vector()
		VMOVUPS(Mem{Base: p}, d[i])
		if i+1 < n {
			ADDQ(step, p)
		}
	}
	return d
}

// function emits T·src·Tᵀ for n vectors of lanes. Source: element (i, j) is at src + i·rs + j·cs,
// or, where it is a run of tiles' elements, rs = in·cs. dst likewise.
func function(f flavour, name, doc string, t transform, isOutput bool) {
	shift := U8(map[int]uint8{4: 2, 8: 3}[f.size])
	extra := ""
	if isOutput {
		extra = fmt.Sprintf(", bias *%s, relu int", f.goType)
	}
	TEXT(name, NOSPLIT, fmt.Sprintf("func(n int, src *%[1]s, srcRow, srcCol int, dst *%[1]s, dstRow, dstCol int, tmp *%[1]s%[2]s)", f.goType, extra))
	Doc(fmt.Sprintf("%s is %s for n vectors of channels. Element (i, j) of a tile is at src[i·srcRow+j·srcCol] and dst[i·dstRow+j·dstCol]; tmp holds %d vectors.", name, doc, t.in*t.out+1))
	Pragma("noescape")
	n := Load(Param("n"), GP64())
	src := Load(Param("src"), GP64()).(reg.GPVirtual)
	sr, sc := Load(Param("srcRow"), GP64()), Load(Param("srcCol"), GP64())
	dst := Load(Param("dst"), GP64()).(reg.GPVirtual)
	dr, dc := Load(Param("dstRow"), GP64()), Load(Param("dstCol"), GP64())
	tmp := Load(Param("tmp"), GP64())
	for _, s := range []reg.Register{sr, sc, dr, dc} {
		SHLQ(shift, s)
	}
	var bias, relu reg.Register
	if isOutput {
		bias, relu = Load(Param("bias"), GP64()), Load(Param("relu"), GP64())
	}
	var c []vec
	for _, v := range t.constants {
		c = append(c, f.constant(v))
	}
	Label("channels")
	// Down the columns: tmp[i][j], i < out, j < in.
	at := GP64()
	MOVQ(src, at)
	for j := range t.in {
		t.apply(f, c, f.load(t.in, at, sr), func(i int, v vec) { VMOVUPS(v, Mem{Base: tmp, Disp: (i*t.in + j) * f.bytes}) })
		if j+1 < t.in {
			ADDQ(sc, at)
		}
	}
	// Along the rows.
	if isOutput {
		TESTQ(bias, bias)
		JZ(LabelRef("plain"))
		b := f.vector()
		VMOVUPS(Mem{Base: bias}, b)
		ADDQ(I32(int32(f.bytes)), bias.(reg.GPVirtual))
		// The bias waits in memory beside the tile, as there are few registers.
		VMOVUPS(b, Mem{Base: tmp, Disp: t.in * t.out * f.bytes})
		JMP(LabelRef("rows"))
		Label("plain")
		z := f.vector()
		f.zero(z)
		VMOVUPS(z, Mem{Base: tmp, Disp: t.in * t.out * f.bytes})
		Label("rows")
	}
	emit := func(relu bool) {
		row := GP64()
		MOVQ(dst, row)
		for i := range t.out {
			d := make([]vec, t.in)
			for j := range d {
				d[j] = f.vector()
				VMOVUPS(Mem{Base: tmp, Disp: (i*t.in + j) * f.bytes}, d[j])
			}
			to := GP64()
			MOVQ(row, to)
			t.apply(f, c, d, func(j int, v vec) {
				if isOutput {
					v = f.to(VADDPS, VADDPD, Mem{Base: tmp, Disp: t.in * t.out * f.bytes}, v)
					if relu {
						z := f.vector()
						f.zero(z)
						v = f.to(VMAXPS, VMAXPD, v, z) // a NaN in v stays
					}
				}
				VMOVUPS(v, Mem{Base: to})
				if j+1 < t.out {
					ADDQ(dc, to)
				}
			})
			if i+1 < t.out {
				ADDQ(dr, row)
			}
		}
	}
	if isOutput {
		TESTQ(relu, relu)
		JNZ(LabelRef("cut"))
		emit(false)
		JMP(LabelRef("next"))
		Label("cut")
		emit(true)
		Label("next")
	} else {
		emit(false)
	}
	ADDQ(I32(int32(f.bytes)), src)
	ADDQ(I32(int32(f.bytes)), dst)
	DECQ(n)
	JNZ(LabelRef("channels"))
	VZEROUPPER()
	RET()
}

func (f flavour) zero(v vec) {
	if f.bytes == 64 {
		VPXORD(v, v, v)
	} else {
		VPXOR(v, v, v)
	}
}

func main() {
	ConstraintExpr("amd64,!noasm")
	for _, f := range flavours {
		for _, m := range []int{2, 4} {
			suffix := fmt.Sprintf("%dx%s%s", m, f.elem, f.tier)
			function(f, "winogradInput"+suffix, "Bᵀ·src·B", inputs[m], false)
			function(f, "winogradWeights"+suffix, "G·src·Gᵀ", weights[m], false)
			function(f, "winogradDelta"+suffix, "A·src·Aᵀ", deltas[m], false)
			function(f, "winogradGradient"+suffix, "Gᵀ·src·G", gradients[m], false)
			function(f, "winogradOutput"+suffix, "Aᵀ·src·A (+ bias where it is not nil), then max(0, ·) where relu is not 0,", outputs[m], true)
		}
	}
	Generate()
}
