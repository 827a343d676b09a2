// Command lanes generates the convolution's micro-kernels whose lanes are filters, and the loops
// that measure the processor's peak.
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

// op emits the instruction for single or double precision.
func (f flavour) op(single, double func(...Op), operands ...Op) {
	if f.size == 4 {
		single(operands...)
	} else {
		double(operands...)
	}
}

func (f flavour) broadcast(m Mem, v reg.VecVirtual) {
	if f.size == 4 {
		VBROADCASTSS(m, v)
	} else {
		VBROADCASTSD(m, v)
	}
}

func (f flavour) fma(a, b, c reg.VecVirtual) { f.op(VFMADD231PS, VFMADD231PD, a, b, c) }

// touchPixels is the most outputs of a micro-kernel that leave registers for asking for memory
// ahead of time.
const touchPixels = 8

// lanes is a tile of some outputs by the filters of so many vectors, kept in registers: for each
// product of the sum, one load of the filters' weights and one broadcast of each output's input,
// straight out of the padded image.
func lanes(f flavour, pixels, vectors int) {
	const unroll = 2
	nr := vectors * f.bytes / f.size
	name := fmt.Sprintf("lanes%dx%dx%s%s", pixels, nr, f.elem, f.tier)
	touching := pixels <= touchPixels
	signature := fmt.Sprintf("func(tiles, kc int, x *%[1]s, at, off *int, w, c *%[1]s, ldc, accumulate int, bias, cut *%[1]s", f.goType)
	doc := fmt.Sprintf("%s is c[i·ldc+j] = Σ_k x[at[i]+off[k]]·w[k·%d+j] (+ c[i·ldc+j] where accumulate is not 0) (+ bias[j] where it is not nil), then min(cut[1], max(cut[0], ·)) where cut is not nil, "+
		"0 ≤ k < kc, 0 ≤ i < %d·tiles, 0 ≤ j < %d.", name, nr, pixels, nr)
	if touching {
		signature += fmt.Sprintf(", touch *%s, touchStep, touches, touchNext int", f.goType)
		doc += " On the way it asks for the cache lines of touch[t·touchNext + l·touchStep], 0 ≤ t < tiles, 0 ≤ l < min(touches, kc), to the next even number of them."
	}
	TEXT(name, NOSPLIT, signature+")")
	Doc(doc)
	Pragma("noescape")
	// What goes from tile to tile stays in its place on the stack, and so does the count of
	// products: with twelve addresses no register is left for them.
	place := func(name string) Mem {
		p, err := Param(name).Resolve()
		if err != nil {
			panic(err)
		}
		return p.Addr
	}
	left := AllocLocal(8)
	Label("tile")
	from := make([]reg.GPVirtual, pixels)
	{
		x := Load(Param("x"), GP64())
		at := Load(Param("at"), GP64())
		for i := range from {
			from[i] = GP64()
			if i+1 == pixels { // the last address takes the table's register
				from[i] = at.(reg.GPVirtual)
			}
			MOVQ(Mem{Base: at, Disp: 8 * i}, from[i])
			LEAQ(Mem{Base: x, Index: from[i], Scale: uint8(f.size)}, from[i])
		}
	}
	ADDQ(I8(8*pixels), place("at"))
	off := Load(Param("off"), GP64())
	MOVQ(place("kc"), off)
	MOVQ(off, left)
	Load(Param("off"), off)
	w := Load(Param("w"), GP64())
	sums := make([][]reg.VecVirtual, pixels)
	for i := range sums {
		for range vectors {
			v := f.vector()
			f.zero(v)
			sums[i] = append(sums[i], v)
		}
	}
	var wv []reg.VecVirtual
	for range vectors {
		wv = append(wv, f.vector())
	}
	xv := []reg.VecVirtual{f.vector(), f.vector()}
	step := func(u int) {
		o := GP64()
		MOVQ(Mem{Base: off, Disp: 8 * u}, o)
		for j, v := range wv {
			VMOVUPS(Mem{Base: w, Disp: (u*vectors + j) * f.bytes}, v)
		}
		for i, b := range from {
			m := Mem{Base: b, Index: o, Scale: uint8(f.size)}
			// the broadcast value is used once: it comes with the multiply-add
			if vectors == 1 && f.bytes == 64 {
				if f.size == 4 {
					VFMADD231PS_BCST(m, wv[0], sums[i][0])
				} else {
					VFMADD231PD_BCST(m, wv[0], sums[i][0])
				}
				continue
			}
			x := xv[i%2]
			f.broadcast(m, x)
			for j, v := range wv {
				f.fma(v, x, sums[i][j])
			}
		}
	}
	rounds := func(label string, between func()) {
		Label(label)
		for u := range unroll {
			step(u)
			if between != nil {
				between()
			}
		}
		ADDQ(I32(8*unroll), off)
		ADDQ(I32(int32(unroll*vectors*f.bytes)), w)
		SUBQ(I8(unroll), left)
	}
	SUBQ(I8(unroll), left)
	JLT(LabelRef("rest"))
	if touching {
		touch := Load(Param("touch"), GP64())
		touchStep := Load(Param("touchStep"), GP64())
		touches := Load(Param("touches"), GP64())
		SHLQ(U8(1+f.size/4), touchStep)
		TESTQ(touches, touches)
		JLE(LabelRef("loop"))
		rounds("touching", func() {
			PREFETCHT0(Mem{Base: touch})
			ADDQ(touchStep, touch)
		})
		JLT(LabelRef("rest"))
		SUBQ(I8(unroll), touches)
		JGT(LabelRef("touching"))
	}
	rounds("loop", nil)
	JGE(LabelRef("loop"))
	Label("rest")
	ADDQ(I8(unroll), left)
	JLE(LabelRef("done"))
	step(0)
	Label("done")
	c := Load(Param("c"), GP64())
	ldc := Load(Param("ldc"), GP64())
	SHLQ(I8(int8(1+f.size/4)), ldc) // elements to bytes: by 4 or 8
	thirds := []reg.Register{c}     // every third line
	for i := 3; i < pixels; i += 3 {
		t := GP64()
		LEAQ(Mem{Base: ldc, Index: ldc, Scale: 2}, t)
		ADDQ(thirds[len(thirds)-1], t)
		thirds = append(thirds, t)
	}
	tile := func(i, j int) Mem {
		m := Mem{Base: thirds[i/3], Disp: j * f.bytes}
		if i%3 > 0 {
			m.Index, m.Scale = ldc, uint8(i%3)
		}
		return m
	}
	accumulate := Load(Param("accumulate"), GP64())
	TESTQ(accumulate, accumulate)
	JZ(LabelRef("bias"))
	for i := range sums {
		for j, v := range sums[i] {
			f.op(VADDPS, VADDPD, tile(i, j), v, v)
		}
	}
	Label("bias")
	bias := Load(Param("bias"), GP64())
	TESTQ(bias, bias)
	JZ(LabelRef("cut"))
	for j, b := range wv {
		VMOVUPS(Mem{Base: bias, Disp: j * f.bytes}, b)
		for i := range sums {
			f.op(VADDPS, VADDPD, b, sums[i][j], sums[i][j])
		}
	}
	Label("cut")
	cut := Load(Param("cut"), GP64())
	TESTQ(cut, cut)
	JZ(LabelRef("store"))
	f.broadcast(Mem{Base: cut}, xv[0])
	f.broadcast(Mem{Base: cut, Disp: f.size}, xv[1])
	for i := range sums {
		for _, v := range sums[i] { // a NaN in v stays
			f.op(VMAXPS, VMAXPD, v, xv[0], v)
			f.op(VMINPS, VMINPD, v, xv[1], v)
		}
	}
	Label("store")
	for i := range sums {
		for j, v := range sums[i] {
			VMOVUPS(v, tile(i, j))
		}
	}
	IMUL3Q(I8(int8(pixels)), ldc, ldc)
	ADDQ(ldc, place("c"))
	if touching {
		next := Load(Param("touchNext"), GP64())
		SHLQ(U8(1+f.size/4), next)
		ADDQ(next, place("touch"))
	}
	DECQ(place("tiles"))
	JNZ(LabelRef("tile"))
	VZEROUPPER()
	RET()
}

// chains is how many sums peak keeps going: more than the latency of a multiply-add asks for.
const chains = 12

func peak(f flavour) {
	name := "peak" + f.elem + f.tier
	TEXT(name, NOSPLIT, "func(n int)")
	Doc(fmt.Sprintf("%s does n rounds of %d independent vector multiply-adds.", name, chains))
	n := Load(Param("n"), GP64())
	a := f.vector()
	f.zero(a)
	var sums []reg.VecVirtual
	for range chains {
		v := f.vector()
		f.zero(v)
		sums = append(sums, v)
	}
	Label("loop")
	for _, v := range sums {
		f.fma(a, a, v)
	}
	DECQ(n)
	JNZ(LabelRef("loop"))
	VZEROUPPER()
	RET()
}

func main() {
	ConstraintExpr("amd64,!noasm")
	for _, f := range flavours {
		// 24 of 32 registers, or 12 of 16, hold sums; fewer vectors are for the last filters.
		// Twelve addresses are what the other registers can hold.
		pixels := map[string][]int{"AVX512": {12, 12, 8, 6}, "AVX2": {12, 6}}[f.tier]
		for vectors := len(pixels); vectors > 0; vectors-- {
			lanes(f, pixels[vectors-1], vectors)
		}
		peak(f)
	}
	Generate()
}
