package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
)

// arithmetic is y = a∘b for one operation: of two tensors, of one and a number, and the other way.
func arithmetic(f flavour, name, sign string) {
	unroll = 2
	stream(f, name+"Both", "y = a "+sign+" b over n elements.", "y, a, b", "", nil, func(at func(string) Mem) {
		v := f.vector()
		f.load(at("a"), v)
		f.binary(name, at("b"), v, v)
		f.store(v, at("y"))
	})
	for _, turned := range []bool{false, true} {
		full, doc := name+"Number", "y = a "+sign+" s over n elements."
		if turned {
			full, doc = name+"From", "y = s "+sign+" a over n elements."
		}
		var s vec
		stream(f, full, doc, "y, a", "s", func() { s = f.constant("s") }, func(at func(string) Mem) {
			v := f.vector()
			if turned {
				f.binary(name, at("a"), s, v)
			} else {
				f.load(at("a"), v)
				f.binary(name, s, v, v)
			}
			f.store(v, at("y"))
		})
	}
	unroll = 4
}

// raise keeps y where it or x is NaN.
func raise(f flavour) {
	stream(f, "raise", "y = x where x > y, over n elements.", "y, x", "", nil, func(at func(string) Mem) {
		v := f.vector()
		f.load(at("x"), v)
		f.binary("max", at("y"), v, v) // y unless x > y
		f.store(v, at("y"))
	})
}

// wideAffine is in float64, a vector of it at a time.
func wideAffine(f flavour) {
	d := f.doubles()
	begin("wideAffine"+f.elem+f.tier, fmt.Sprintf("func(n int, y, x *%s, m, a, b float64)", f.goType),
		fmt.Sprintf("y = (x − m)·a + b in float64, rounded once, over n elements, a multiple of %d.", d.lanes()))
	n, y, x := Load(Param("n"), GP64()), Load(Param("y"), GP64()), Load(Param("x"), GP64())
	m, a, b := d.constant("m"), d.constant("a"), d.constant("b")
	i := GP64()
	XORQ(i, i)
	loop(n, i, d.lanes(), func(u int) {
		v := f.widened(Mem{Base: x, Index: i, Scale: uint8(f.size), Disp: u * d.lanes() * f.size})
		VSUBPD(m, v, v)
		VMULPD(a, v, v)
		VADDPD(b, v, v)
		f.narrowed(v, Mem{Base: y, Index: i, Scale: uint8(f.size), Disp: u * d.lanes() * f.size})
	})
	VZEROUPPER()
	RET()
}

// narrowed stores a vector of float64 as elements.
func (f flavour) narrowed(v vec, to Mem) {
	switch {
	case !f.single():
		VMOVUPD(v, to)
	case f.wide():
		narrow := YMM()
		VCVTPD2PS(v, narrow)
		VMOVUPS(narrow, to)
	default:
		narrow := XMM()
		VCVTPD2PSY(v, narrow)
		VMOVUPS(narrow, to)
	}
}

// addWide adds elements to sums in float64.
func addWide(f flavour) {
	d := f.doubles()
	begin("addWide"+f.elem+f.tier, fmt.Sprintf("func(n int, sums *float64, x *%s)", f.goType),
		fmt.Sprintf("sums += x over n elements, a multiple of %d.", d.lanes()))
	n, sums, x := Load(Param("n"), GP64()), Load(Param("sums"), GP64()), Load(Param("x"), GP64())
	i := GP64()
	XORQ(i, i)
	loop(n, i, d.lanes(), func(u int) {
		v := f.widened(Mem{Base: x, Index: i, Scale: uint8(f.size), Disp: u * d.lanes() * f.size})
		s := Mem{Base: sums, Index: i, Scale: 8, Disp: u * d.bytes}
		VADDPD(s, v, v)
		VMOVUPD(v, s)
	})
	VZEROUPPER()
	RET()
}

// addWideProduct adds products to sums in float64.
func addWideProduct(f flavour) {
	d := f.doubles()
	begin("addWideProduct"+f.elem+f.tier, fmt.Sprintf("func(n int, sums *float64, x, y *%s)", f.goType),
		fmt.Sprintf("sums += x·y over n elements, a multiple of %d.", d.lanes()))
	n, sums, x, y := Load(Param("n"), GP64()), Load(Param("sums"), GP64()), Load(Param("x"), GP64()), Load(Param("y"), GP64())
	i := GP64()
	XORQ(i, i)
	loop(n, i, d.lanes(), func(u int) {
		v := f.widened(Mem{Base: x, Index: i, Scale: uint8(f.size), Disp: u * d.lanes() * f.size})
		w := f.widened(Mem{Base: y, Index: i, Scale: uint8(f.size), Disp: u * d.lanes() * f.size})
		s := Mem{Base: sums, Index: i, Scale: 8, Disp: u * d.bytes}
		VMULPD(w, v, v)
		VADDPD(s, v, v)
		VMOVUPD(v, s)
	})
	VZEROUPPER()
	RET()
}

// squares adds squared differences in float64.
func squares(f flavour) {
	reduce(f, "squares", "Σ(x − y)²", "x, y", "", "total", func() {}, func(at func(string) Mem, s []vec) {
		v := f.widened(at("x"))
		VSUBPD(f.widened(at("y")), v, v)
		VFMADD231PD(v, v, s[0])
	})
}
