package main

import (
	"fmt"
	"strings"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// Normalisation: sums in float64 for both element types, and the passes that use them.

// doubles is the flavour of float64 of the same vector.
func (f flavour) doubles() flavour { return flavour{f.tier, "64", "float64", f.bytes, 8} }

// widened loads as many elements as there are lanes of float64.
func (f flavour) widened(m Mem) reg.VecVirtual {
	v := f.doubles().vector()
	if f.single() {
		VCVTPS2PD(m, v)
	} else {
		VMOVUPD(m, v)
	}
	return v
}

// total adds the lanes of a vector of float64, which it overwrites, into X0.
func total(d flavour, sum reg.VecVirtual) reg.Register {
	if d.wide() {
		upper := YMM()
		VEXTRACTF64X4(U8(1), sum, upper)
		VADDPD(upper, sum.AsY(), sum.AsY())
	}
	upper := XMM()
	if d.wide() {
		VEXTRACTF64X2(U8(1), sum.AsY(), upper)
	} else {
		VEXTRACTF128(U8(1), sum.AsY(), upper)
	}
	VADDPD(upper, sum.AsX(), sum.AsX())
	VUNPCKHPD(sum.AsX(), sum.AsX(), upper)
	VADDPD(upper, sum.AsX(), reg.X0)
	return reg.X0
}

// reduce begins a function that adds vectors of float64 into sums, four for each result, in turns.
func reduce(f flavour, name, doc, pointers, scalars, results string, prepare func(), body func(at func(string) Mem, sums []reg.VecVirtual)) {
	d := f.doubles()
	signature := fmt.Sprintf("func(n int, %s *%s", pointers, f.goType)
	if scalars != "" {
		signature += ", " + scalars + " float64"
	}
	begin(name+f.elem+f.tier, signature+") ("+results+" float64)", fmt.Sprintf("%s over n elements, a multiple of %d.", doc, d.lanes()))
	n := Load(Param("n"), GP64())
	base := map[string]reg.Register{}
	for _, p := range strings.Split(pointers, ", ") {
		base[p] = Load(Param(p), GP64())
	}
	prepare()
	count := len(strings.Split(results, ", "))
	sums := make([][]reg.VecVirtual, 4)
	for u := range sums {
		for range count {
			sums[u] = append(sums[u], d.zeroed())
		}
	}
	i := GP64()
	XORQ(i, i)
	loop(n, i, d.lanes(), func(u int) {
		at := func(p string) Mem {
			return Mem{Base: base[p], Index: i, Scale: uint8(f.size), Disp: u * d.lanes() * f.size}
		}
		body(at, sums[u])
	})
	for k := range count {
		VADDPD(sums[1][k], sums[0][k], sums[0][k])
		VADDPD(sums[3][k], sums[2][k], sums[2][k])
		VADDPD(sums[2][k], sums[0][k], sums[0][k])
		Store(total(d, sums[0][k]), ReturnIndex(k))
	}
	VZEROUPPER()
	RET()
}

func sum(f flavour) {
	reduce(f, "sum", "Σx", "x", "", "total", func() {}, func(at func(string) Mem, s []reg.VecVirtual) {
		VADDPD(f.widened(at("x")), s[0], s[0])
	})
}

func deviation(f flavour) {
	d := f.doubles()
	var mean reg.VecVirtual
	reduce(f, "deviation", "Σ(x − mean)²", "x", "mean", "total", func() { mean = d.constant("mean") }, func(at func(string) Mem, s []reg.VecVirtual) {
		v := f.widened(at("x"))
		VSUBPD(mean, v, v)
		VFMADD231PD(v, v, s[0])
	})
}

func sumDot(f flavour) {
	d := f.doubles()
	var mean reg.VecVirtual
	reduce(f, "sumDot", "Σdy and Σ dy·(x − mean)", "dy, x", "mean", "sum, dot", func() { mean = d.constant("mean") }, func(at func(string) Mem, s []reg.VecVirtual) {
		v, dy := f.widened(at("x")), f.widened(at("dy"))
		VSUBPD(mean, v, v)
		VADDPD(dy, s[0], s[0])
		VFMADD231PD(dy, v, s[1])
	})
}

// standard has four variants: with a tensor that is added, and with a ReLU at the end.
func standard(f flavour, more, cut bool) {
	name, doc, pointers := "standard", "y = (x − m)·a + b", "y, x"
	if more {
		name, doc, pointers = name+"Add", doc+" + r", pointers+", r"
	}
	if cut {
		name, doc = name+"ReLU", "the ReLU of "+doc
	}
	var m, a, b, zero reg.VecVirtual
	stream(f, name, doc+" over n elements.", pointers, "m, a, b", func() {
		m, a, b = f.constant("m"), f.constant("a"), f.constant("b")
		if cut {
			zero = f.zeroed()
		}
	}, func(at func(string) Mem) {
		v := f.vector()
		f.load(at("x"), v)
		f.binary("sub", m, v, v)
		f.binary("mul", a, v, v)
		f.binary("add", b, v, v)
		if more {
			f.binary("add", at("r"), v, v)
		}
		if cut { // as in relu
			f.binary("max", v, zero, v)
			f.binary("add", zero, v, v)
		}
		f.store(v, at("y"))
	})
}

// standardBackward is of dy, or, with each, of dy times a factor of each element's own.
func standardBackward(f flavour, each bool) {
	name, doc, vectors := "standardBackward", "dx = a·dy − c·(x − m) − b over n elements.", "dx, dy, x"
	if each {
		name, doc, vectors = "standardBackwardEach", "dx = a·(w·dy) − c·(x − m) − b over n elements.", "dx, dy, x, w"
	}
	var m, a, b, c reg.VecVirtual
	stream(f, name, doc, vectors, "m, a, b, c", func() {
		m, a, b, c = f.constant("m"), f.constant("a"), f.constant("b"), f.constant("c")
	}, func(at func(string) Mem) {
		v, d := f.vector(), f.vector()
		f.load(at("x"), v)
		f.binary("sub", m, v, v)
		f.binary("mul", c, v, v)
		if each {
			f.load(at("dy"), d)
			f.binary("mul", at("w"), d, d)
			f.binary("mul", a, d, d)
		} else {
			f.binary("mul", at("dy"), a, d)
		}
		f.binary("sub", v, d, d)
		f.binary("sub", b, d, d)
		f.store(d, at("dx"))
	})
}

// standardEach has a factor and a term for each element.
func standardEach(f flavour) {
	var m, inv reg.VecVirtual
	stream(f, "standardEach", "y = (x − m)·inv·a + b over n elements.", "y, x, a, b", "m, inv", func() {
		m, inv = f.constant("m"), f.constant("inv")
	}, func(at func(string) Mem) {
		v := f.vector()
		f.load(at("x"), v)
		f.binary("sub", m, v, v)
		f.binary("mul", inv, v, v)
		f.binary("mul", at("a"), v, v)
		f.binary("add", at("b"), v, v)
		f.store(v, at("y"))
	})
}

// sumDotEach is sumDot of w·dy, and adds dy and dy·(x − mean)·inv to sums of their own.
func sumDotEach(f flavour) {
	d := f.doubles()
	begin("sumDotEach"+f.elem+f.tier, fmt.Sprintf("func(n int, sums, dots *float64, dy, x, w *%s, mean, inv float64) (sum, dot float64)", f.goType),
		fmt.Sprintf("sums += dy and dots += dy·(x − mean)·inv, and Σ w·dy and Σ w·dy·(x − mean), over n elements, a multiple of %d.", d.lanes()))
	n, sums, dots := Load(Param("n"), GP64()), Load(Param("sums"), GP64()), Load(Param("dots"), GP64())
	dy, x, w := Load(Param("dy"), GP64()), Load(Param("x"), GP64()), Load(Param("w"), GP64())
	mean, inv := d.constant("mean"), d.constant("inv")
	var both [2][2]vec
	for u := range both {
		both[u] = [2]vec{d.zeroed(), d.zeroed()}
	}
	i := GP64()
	XORQ(i, i)
	unroll = 2
	loop(n, i, d.lanes(), func(u int) {
		at := func(p reg.Register) vec {
			return f.widened(Mem{Base: p, Index: i, Scale: uint8(f.size), Disp: u * d.lanes() * f.size})
		}
		v, g, by := at(x), at(dy), at(w)
		VSUBPD(mean, v, v)
		VMULPD(g, v, v)
		VFMADD231PD(g, by, both[u][0])
		VFMADD231PD(v, by, both[u][1])
		s := Mem{Base: sums, Index: i, Scale: 8, Disp: u * d.bytes}
		p := Mem{Base: dots, Index: i, Scale: 8, Disp: u * d.bytes}
		VADDPD(s, g, g)
		VMOVUPD(g, s)
		VFMADD213PD(p, inv, v)
		VMOVUPD(v, p)
	})
	unroll = 4
	for k := range 2 {
		VADDPD(both[1][k], both[0][k], both[0][k])
		Store(total(d, both[0][k]), ReturnIndex(k))
	}
	VZEROUPPER()
	RET()
}
