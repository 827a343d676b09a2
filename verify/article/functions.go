package article

// The article's functions of a world, in dual numbers.

// forward7 is Eq. 7, x[i,j] = Σ_m Σ_n w[m,n] o[i+m, j+n] + b, with the element (a, c) of w (by w)
// or of o given an ε.
func (w *world) forward7(i, j int, o func(i, j int) dual, k func(m, n int) dual) dual {
	s := dual{v: integer(w.b)}
	for m := range w.k1 {
		for n := range w.k2 {
			s = s.Plus(k(m, n).Times(o(i+m, j+n)))
		}
	}
	return s
}

func plainOf(m matrix) func(i, j int) dual {
	return func(i, j int) dual { return dual{v: m.At(i, j)} }
}

// variable is a matrix whose element (a, c) is the variable of a derivative.
func variable(m matrix, a, c int) func(i, j int) dual {
	return func(i, j int) dual {
		d := dual{v: m.At(i, j)}
		if i == a && j == c {
			d.e = integer(1)
		}
		return d
	}
}

// activated is f(x) = x², a function whose derivative 2x is no constant.
func activated(x func(i, j int) dual) func(i, j int) dual {
	return func(i, j int) dual { d := x(i, j); return d.Times(d) }
}

// fPrime is f′(x[i,j]).
func (w *world) fPrime(i, j int) rational { return integer(2).Times(w.x.At(i, j)) }

// outputs is o = f(x) as a matrix.
func (w *world) outputs() matrix {
	o := newMatrix(w.H, w.W)
	for i, v := range w.x.V {
		o.V[i] = v * v
	}
	return o
}

// E is Eq. 9 over the outputs of Eq. 7. The targets are such that the deltas are δ: t = x − δ.
func (w *world) E(values matrix, o, k func(i, j int) dual) dual {
	var e dual
	for i := range w.P() {
		for j := range w.Q() {
			y := w.forward7(i, j, o, k)
			t := w.forward7(i, j, plainOf(values), plainOf(w.w)).v.Minus(w.delta.At(i, j))
			d := dual{v: t}.Minus(y)
			e = e.Plus(d.Times(d))
		}
	}
	half := dual{v: ratio(1, 2)}
	return half.Times(e)
}

// dEdw is ∂E/∂w[m′,n′], and dEdx is ∂E/∂x[i′,j′] through o = f(x). Both are made by dual
// numbers, from Eqs. 7, 8 and 9 alone.
func (w *world) dEdw(m, n int) rational {
	return w.E(w.o, plainOf(w.o), variable(w.w, m, n)).e
}
func (w *world) dEdx(i, j int) rational {
	return w.E(w.outputs(), activated(variable(w.x, i, j)), plainOf(w.w)).e
}

// eq13 and eq20 are what the article derives for them.
func (w *world) eq13(m, n int) rational {
	return sum(0, w.H-w.k1, 0, w.W-w.k2, func(i, j int) rational { return w.delta.At(i, j).Times(w.o.At(i+m, j+n)) })
}
func (w *world) eq20(i, j int) rational {
	return sum(0, w.k1-1, 0, w.k2-1, func(m, n int) rational {
		return w.delta.At(i-m, j-n).Times(w.w.At(m, n)).Times(w.fPrime(i, j))
	})
}

// eq7 is Eq. 7 of a matrix o.
func (w *world) eq7(i, j int) rational { return w.forward7(i, j, plainOf(w.o), plainOf(w.w)).v }

// dxdx is ∂x^{l+1}[p,q]/∂x^l[i,j]; an output that does not exist does not change.
func (w *world) dxdx(p, q, i, j int) rational {
	if !w.delta.Inside(p, q) {
		return rational{}
	}
	return w.forward7(p, q, activated(variable(w.x, i, j)), plainOf(w.w)).e
}

// rowsOf evaluates a function on an area, row by row.
func rowsOf(rows, cols int, f func(i, j int) rational) []float64 {
	var v []float64
	for i := range rows {
		for j := range cols {
			v = append(v, f(i, j).Float())
		}
	}
	return v
}

func relu(x rational) rational {
	if x.Sign() < 0 {
		return rational{}
	}
	return x
}

// eq4 is the right side of Eq. 4 for filter d.
func (w *world) eq4(d, i, j int) rational {
	return sum(0, w.k1-1, 0, w.k2-1, func(m, n int) rational {
		var s rational
		for c := range w.C {
			s = s.Plus(w.K[d][c].At(m, n).Times(w.I[c].At(i+m, j+n)))
		}
		return s
	}).Plus(integer(w.bias[d]))
}

func blockOf(x func(i, j int) dual, p, q int) []dual {
	return []dual{x(2*p, 2*q), x(2*p, 2*q+1), x(2*p+1, 2*q), x(2*p+1, 2*q+1)}
}

// pooled is the derivative of Σ δ·y, y being the pooled blocks of x.
func (w *world) pooled(x func(i, j int) dual, pool func(block []dual) dual) rational {
	var s dual
	for p := range w.P() {
		for q := range w.Q() {
			s = s.Plus(dual{v: w.delta.At(p, q)}.Times(pool(blockOf(x, p, q))))
		}
	}
	return s.e
}

func norm(block []dual) dual {
	var s dual
	for _, d := range block {
		s = s.Plus(d.Times(d))
	}
	return s.sqrt()
}

// shared gives δ to each element of a block by its share in the block's norm.
func (w *world) shared(i, j int) rational {
	y := norm(blockOf(plainOf(w.norms), i/2, j/2)).v
	return w.delta.At(i/2, j/2).Times(w.norms.At(i, j)).Over(y)
}

// routed gives δ to each block's winner, as the index noted in the forward pass says.
func (w *world) routed(i, j int) rational {
	p, q := i/2, j/2
	winner, at := 0, [][2]int{{2 * p, 2 * q}, {2 * p, 2*q + 1}, {2*p + 1, 2 * q}, {2*p + 1, 2*q + 1}}
	for k, a := range at {
		if w.blocks.At(at[winner][0], at[winner][1]).Less(w.blocks.At(a[0], a[1])) {
			winner = k
		}
	}
	if at[winner] != [2]int{i, j} {
		return rational{}
	}
	return w.delta.At(p, q)
}

// lowered is 1 if the update step lowers E, or leaves w where the gradient is 0.
func (w *world) lowered() rational {
	trace := sum(0, w.P()-1, 0, w.Q()-1, func(i, j int) rational {
		return sum(i, i+w.k1-1, j, j+w.k2-1, func(a, c int) rational { return w.o.At(a, c).Times(w.o.At(a, c)) })
	})
	rate := integer(1).Over(integer(1).Plus(trace))
	flat := true
	step := func(m, n int) dual {
		g := w.eq13(m, n)
		flat = flat && g.Sign() == 0
		return dual{v: w.w.At(m, n).Minus(rate.Times(g))}
	}
	after, before := w.E(w.o, plainOf(w.o), step).v, w.E(w.o, plainOf(w.o), plainOf(w.w)).v
	if after.Less(before) || flat && after == before {
		return integer(1)
	}
	return rational{}
}
