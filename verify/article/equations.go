package article

// The areas of the article's matrices.

// everywhere is all indices at which anything is not zero, and some more.
func everywhere(w *world) (i0, i1, j0, j1 int) { return -w.k1, w.H + w.k1, -w.k2, w.W + w.k2 }

func ofInput(w *world) (i0, i1, j0, j1 int)  { return 0, w.H, 0, w.W }
func ofOutput(w *world) (i0, i1, j0, j1 int) { return 0, w.P(), 0, w.Q() }
func ofKernel(w *world) (i0, i1, j0, j1 int) { return 0, w.k1, 0, w.k2 }
func ofBlocks(w *world) (i0, i1, j0, j1 int) { return 0, 2 * w.P(), 0, 2 * w.Q() }
func ofNumber(*world) (i0, i1, j0, j1 int)   { return 0, 1, 0, 1 }

// The article's matrices.
type letter = func(w *world) matrix

func matrixI(w *world) matrix { return w.I[0] }
func matrixK(w *world) matrix { return w.K[0][0] }
func matrixO(w *world) matrix { return w.o }
func matrixW(w *world) matrix { return w.w }
func matrixD(w *world) matrix { return w.delta }

func rotated(m letter) letter { return func(w *world) matrix { return rot180(m(w)) } }

// convolved is a * b of Eq. 2, and correlated a ⊗ b of Eq. 1.
func convolved(a, b letter) side {
	return func(w *world, i, j int) rational { return convolution(a(w), b(w), i, j) }
}

func correlated(a, b letter) side {
	return func(w *world, i, j int) rational { return crossCorrelation(a(w), b(w), i, j) }
}

// A shift moves indices.
type shift = func(w *world, i, j int) (int, int)

func later(w *world, i, j int) (int, int)   { return i + w.k1 - 1, j + w.k2 - 1 }
func earlier(w *world, i, j int) (int, int) { return i - w.k1 + 1, j - w.k2 + 1 }
func valid(w *world, i, j int) (int, int)   { return i + w.H - w.k1, j + w.W - w.k2 }
func mirror(w *world, i, j int) (int, int)  { return w.H - 1 - i, w.W - 1 - j }

// read is a side at shifted indices.
func read(s side, by ...shift) side {
	return func(w *world, i, j int) rational {
		for _, move := range by {
			i, j = move(w, i, j)
		}
		return s(w, i, j)
	}
}

// biased is a side and b, and sloped a side times f′(x).
func biased(s side) side {
	return func(w *world, i, j int) rational { return s(w, i, j).Plus(integer(w.b)) }
}

func sloped(s side) side {
	return func(w *world, i, j int) rational { return s(w, i, j).Times(w.fPrime(i, j)) }
}

// taps is Σ over m0 ≤ m ≤ m1 and n0 ≤ n ≤ n1 of a term at (i, j).
func taps(term func(w *world, i, j, m, n int) rational) side {
	return func(w *world, i, j int) rational {
		return sum(0, w.k1-1, 0, w.k2-1, func(m, n int) rational { return term(w, i, j, m, n) })
	}
}

// overChannels is Eq. 4 of the last filter with the operation that stands for *.
func overChannels(star func(I, K matrix, w *world, i, j int) rational) side {
	return func(w *world, i, j int) rational {
		d := w.D - 1
		s := integer(w.bias[d])
		for c := range w.C {
			s = s.Plus(star(w.I[c], w.K[d][c], w, i, j))
		}
		return s
	}
}

// starCorrelation and starTurned are what * can be in Eqs. 4 and 5, beside Eq. 2.
func starCorrelation(I, K matrix, _ *world, i, j int) rational { return crossCorrelation(I, K, i, j) }
func starTurned(I, K matrix, w *world, i, j int) rational {
	i, j = later(w, i, j)
	return convolution(I, rot180(K), i, j)
}

// of is every pair of an element of an area and a tap, laid out in blocks of k₁×k₂.
func of(a area) area {
	return func(w *world) (i0, i1, j0, j1 int) {
		i0, i1, j0, j1 = a(w)
		return i0 * w.k1, i1 * w.k1, j0 * w.k2, j1 * w.k2
	}
}

// pair is a side of such pairs. Where inside is set, the output (i−m, j−n) must exist.
func pair(inside bool, f func(w *world, i, j, m, n int) rational) side {
	return func(w *world, a, c int) rational {
		i, j, m, n := a/w.k1, c/w.k2, a%w.k1, c%w.k2
		if inside && !w.delta.Inside(i-m, j-n) {
			return rational{}
		}
		return f(w, i, j, m, n)
	}
}

// equations are the article's, in its order.
func equations() []equation {
	dEdw, dEdx, eq7, eq13, eq20 := (*world).dEdw, (*world).dEdx, (*world).eq7, (*world).eq13, (*world).eq20
	eq5 := taps(func(w *world, i, j, m, n int) rational { return matrixK(w).At(m, n).Times(matrixI(w).At(i+m, j+n)) })
	eq4 := func(w *world, i, j int) rational { return w.eq4(w.D-1, i, j) }
	byWeight := pair(false, func(w *world, i, j, m, n int) rational {
		return w.forward7(i, j, plainOf(w.o), variable(w.w, m, n)).e
	})
	byInput := pair(true, func(w *world, i, j, m, n int) rational { return w.dxdx(i-m, j-n, i, j) })
	return []equation{
		{
			number: "Eq. 1", says: "(I ⊗ K)[i,j] = Σ I[i+m, j+n] K[m,n]: each pixel of I meets the kernel's element at its distance from (i, j)", letters: "I K",
			claim: claim{everywhere, correlated(matrixI, matrixK), func(w *world, i, j int) rational {
				return sum(0, w.H-1, 0, w.W-1, func(a, c int) rational { return matrixI(w).At(a, c).Times(matrixK(w).At(a-i, c-j)) })
			}},
			function: "ops.Conv2D", embodied: embodiedCorrelation,
		},
		{
			number: "Eq. 2", says: "(I * K)[i,j] = Σ I[i−m, j−n] K[m,n], and so I * K = K * I", letters: "I K",
			claim:    claim{everywhere, convolved(matrixI, matrixK), convolved(matrixK, matrixI)},
			function: "ops.Conv2D with Flip", embodied: embodiedConvolution,
		},
		{
			number: "Eq. 3", says: "Eq. 2 = Σ_{m=0}^{k₁−1} Σ_{n=0}^{k₂−1} I[i+m, j+n] K[−m,−n]", letters: "I K",
			claim: claim{everywhere, convolved(matrixI, matrixK), taps(func(w *world, i, j, m, n int) rational {
				return matrixI(w).At(i+m, j+n).Times(matrixK(w).At(-m, -n))
			})},
			readings: []reading{{"m runs from −(k₁−1) to 0 and n from −(k₂−1) to 0", claim{everywhere, convolved(matrixI, matrixK),
				taps(func(w *world, i, j, m, n int) rational { return matrixI(w).At(i-m, j-n).Times(matrixK(w).At(m, n)) })}}},
			function: "ops.Conv2D with Flip", embodied: embodiedConvolution,
		},
		{
			number: "Eq. 3, the sentence", says: "convolution is cross-correlation with a flipped kernel: I * K = I ⊗ rot180(K)", letters: "I K",
			claim: claim{everywhere, convolved(matrixI, matrixK), correlated(matrixI, rotated(matrixK))},
			readings: []reading{{"(I * K)[i+k₁−1, j+k₂−1] = (I ⊗ rot180(K))[i, j]; no symmetry of K is needed",
				claim{everywhere, read(convolved(matrixI, matrixK), later), correlated(matrixI, rotated(matrixK))}}},
			function: "ops.Conv2D with Flip", embodied: embodiedConvolution,
		},
		{
			number: "Eq. 4", says: "(I * K)[i,j] = Σ_m Σ_n Σ_c K[m,n,c] I[i+m, j+n, c] + b, one b for each filter", letters: "I K",
			claim: claim{ofOutput, overChannels(func(I, K matrix, _ *world, i, j int) rational { return convolution(I, K, i, j) }), eq4},
			readings: []reading{
				{"* is the cross-correlation of Eq. 1", claim{ofOutput, overChannels(starCorrelation), eq4}},
				{"* is Eq. 2 with rot180(K), counted from (k₁−1, k₂−1)", claim{ofOutput, overChannels(starTurned), eq4}},
			},
			function: "ops.Conv2D", embodied: embodiedChannels,
		},
		{
			number: "Eq. 5", says: "Eq. 4 for one channel: (I * K)[i,j] = Σ_m Σ_n K[m,n] I[i+m, j+n] + b", letters: "I K",
			claim: claim{ofOutput, biased(convolved(matrixI, matrixK)), biased(eq5)},
			readings: []reading{
				{"* is the cross-correlation of Eq. 1", claim{ofOutput, biased(correlated(matrixI, matrixK)), biased(eq5)}},
				{"* is Eq. 2 with rot180(K), counted from (k₁−1, k₂−1)",
					claim{ofOutput, biased(read(convolved(matrixI, rotated(matrixK)), later)), biased(eq5)}},
			},
			function: "ops.Conv2D", embodied: embodiedCorrelation,
		},
		{
			number: "Eq. 6", says: "x[i,j] = (rot180(w) * o)[i,j] + b, said to be Eq. 7", letters: "o w",
			claim: claim{ofOutput, biased(convolved(rotated(matrixW), matrixO)), eq7},
			readings: []reading{
				{"read at [i+k₁−1, j+k₂−1]: the \"valid\" part of the convolution, counted from 0; with zeros around o it is then true at every index",
					claim{everywhere, biased(read(convolved(rotated(matrixW), matrixO), later)), eq7}},
				{"* is the cross-correlation of Eq. 1", claim{ofOutput, biased(correlated(matrixO, rotated(matrixW))), eq7}},
			},
			function: "ops.Conv2D with Flip and w turned", embodied: embodiedTurnedTwice,
		},
		{
			number: "Eq. 7", says: "x[i,j] = Σ_m Σ_n w[m,n] o[i+m, j+n] + b, and so x = o ⊗ w + b", letters: "o w",
			claim:    claim{everywhere, eq7, biased(correlated(matrixO, matrixW))},
			function: "ops.Conv2D", embodied: embodiedForward,
		},
		{
			number: "Eq. 8", says: "o = f(x), with f(x) = max(0, x) = (x + |x|)/2", letters: "o",
			claim: claim{ofInput, func(w *world, i, j int) rational { return relu(w.o.At(i, j)) }, func(w *world, i, j int) rational {
				v := w.o.At(i, j)
				return v.Plus(relu(v).Plus(relu(v.Neg()))).Times(ratio(1, 2))
			}},
			function: "ops.ReLU", embodied: embodiedReLU,
		},
		{
			number: "Eq. 9", says: "E = ½ Σ (t − y)² = ½ Σ t² − Σ ty + ½ Σ y²", letters: "o x",
			claim: claim{ofNumber, func(w *world, _, _ int) rational {
				return ratio(1, 2).Times(sum(0, w.H-1, 0, w.W-1, func(i, j int) rational { d := w.o.At(i, j).Minus(w.x.At(i, j)); return d.Times(d) }))
			}, func(w *world, _, _ int) rational {
				dot := func(a, b matrix) rational {
					return sum(0, w.H-1, 0, w.W-1, func(i, j int) rational { return a.At(i, j).Times(b.At(i, j)) })
				}
				return ratio(1, 2).Times(dot(w.o, w.o)).Minus(dot(w.o, w.x)).Plus(ratio(1, 2).Times(dot(w.x, w.x)))
			}},
			function: "ops.MSE with ArticleError", embodied: embodiedError,
		},
		{
			number: "Eq. 10", says: "∂E/∂w[m′,n′] = Σ_i Σ_j δ[i,j] ∂x[i,j]/∂w[m′,n′]", letters: "o w δ",
			claim: claim{ofKernel, dEdw, func(w *world, m, n int) rational {
				return sum(0, w.H-w.k1, 0, w.W-w.k2, func(i, j int) rational {
					return w.delta.At(i, j).Times(w.forward7(i, j, plainOf(w.o), variable(w.w, m, n)).e)
				})
			}},
			function: "ops.Conv2DBackwardFilter", embodied: embodiedFilter,
		},
		{
			number: "Eq. 11", says: "∂x[i,j]/∂w[m′,n′] = ∂/∂w[m′,n′] (Σ_m Σ_n w[m,n] o[i+m, j+n] + b)", letters: "o w",
			claim: claim{of(ofOutput), byWeight, pair(false, func(w *world, i, j, m, n int) rational {
				// the parentheses are affine in w: a difference of step 1 is the derivative
				return w.forward7(i, j, plainOf(w.o), plainOf(moved(w.w, m, n, 1))).v.Minus(w.eq7(i, j))
			})},
			function: "ops.Conv2DBackwardFilter", embodied: embodiedFilter,
		},
		{
			number: "Eq. 12", says: "∂x[i,j]/∂w[m′,n′] = o[i+m′, j+n′]", letters: "o w",
			claim:    claim{of(ofOutput), byWeight, pair(false, func(w *world, i, j, m, n int) rational { return w.o.At(i+m, j+n) })},
			function: "ops.Conv2DBackwardFilter", embodied: embodiedFilter,
		},
		{
			number: "Eq. 13", says: "∂E/∂w[m′,n′] = Σ_i Σ_j δ[i,j] o[i+m′, j+n′]", letters: "o w δ",
			claim:    claim{ofKernel, dEdw, eq13},
			function: "ops.Conv2DBackwardFilter", embodied: embodiedFilter,
		},
		{
			number: "Eq. 14", says: "Eq. 13 = (rot180(δ) * o)[m′,n′]", letters: "o δ",
			claim: claim{ofKernel, eq13, convolved(rotated(matrixD), matrixO)},
			readings: []reading{
				{"read at [m′+H−k₁, n′+W−k₂]: the \"valid\" part of the convolution, counted from 0",
					claim{ofKernel, eq13, read(convolved(rotated(matrixD), matrixO), valid)}},
				{"* is the cross-correlation of Eq. 1", claim{ofKernel, eq13, correlated(matrixO, rotated(matrixD))}},
				{"no rotation and * is the cross-correlation of Eq. 1: o ⊗ δ", claim{ofKernel, eq13, correlated(matrixO, matrixD)}},
				{"o is rotated in place of δ, with the same shift", claim{ofKernel, eq13, read(convolved(matrixD, rotated(matrixO)), valid)}},
			},
			function: "ops.Conv2DBackwardFilter", embodied: embodiedFilter,
		},
		{
			number: "Eq. 15", says: "δ[i,j] = ∂E/∂x[i,j], x being the pre-activation: for the output layer, x − t", letters: "x δ",
			claim: claim{ofOutput, func(w *world, i, j int) rational {
				d := variable(w.x, i, j)
				var e dual // t = x − δ
				for a := range w.P() {
					for c := range w.Q() {
						diff := dual{v: w.x.At(a, c).Minus(w.delta.At(a, c))}.Minus(d(a, c))
						e = e.Plus(diff.Times(diff))
					}
				}
				return e.e.Times(ratio(1, 2))
			}, func(w *world, i, j int) rational { return w.delta.At(i, j) }},
			function: "ops.Conv2D: its cotangent", embodied: embodiedDelta,
		},
		{
			number: "Eq. 16", says: "∂E/∂x[i′,j′] = Σ_{(i,j) ∈ Q} δ[i,j] ∂x[i,j]/∂x[i′,j′], Q being rows i′−k₁+1 … i′ and columns j′−k₂+1 … j′ of the output", letters: "δ w x",
			claim: claim{ofInput, dEdx, func(w *world, i, j int) rational {
				return sum(max(0, i-w.k1+1), min(i, w.P()-1), max(0, j-w.k2+1), min(j, w.Q()-1), func(p, q int) rational { return w.delta.At(p, q).Times(w.dxdx(p, q, i, j)) })
			}},
			function: "ops.Region", embodied: embodiedRegion,
		},
		{
			number: "Eq. 17", says: "∂E/∂x[i′,j′] = Σ_m Σ_n δ[i′−m, j′−n] ∂x[i′−m, j′−n]/∂x[i′,j′], δ being 0 outside its borders", letters: "δ w x",
			claim: claim{ofInput, dEdx, taps(func(w *world, i, j, m, n int) rational {
				return w.delta.At(i-m, j-n).Times(w.dxdx(i-m, j-n, i, j))
			})},
			function: "ops.Conv2DBackwardData", embodied: embodiedData,
		},
		{
			number: "Eq. 18", says: "∂x[i′−m, j′−n]/∂x[i′,j′] = ∂/∂x[i′,j′] (Σ_m′ Σ_n′ w[m′,n′] f(x[i′−m+m′, j′−n+n′]) + b)", letters: "w x",
			claim: claim{of(ofInput), byInput, pair(true, func(w *world, i, j, m, n int) rational {
				// f is a square: a central difference of step 1 is the derivative
				value := func(by int64) rational {
					return w.forward7(i-m, j-n, activated(plainOf(moved(w.x, i, j, by))), plainOf(w.w)).v
				}
				return value(1).Minus(value(-1)).Times(ratio(1, 2))
			})},
			function: "ops.Conv2DBackwardData", embodied: embodiedData,
		},
		{
			number: "Eq. 19", says: "∂x[i′−m, j′−n]/∂x[i′,j′] = w[m,n] f′(x[i′,j′])", letters: "w x",
			claim: claim{of(ofInput), byInput, pair(true, func(w *world, i, j, m, n int) rational {
				return w.w.At(m, n).Times(w.fPrime(i, j))
			})},
			function: "ops.Conv2DBackwardData", embodied: embodiedData,
		},
		{
			number: "Eq. 20", says: "∂E/∂x[i′,j′] = Σ_m Σ_n δ[i′−m, j′−n] w[m,n] f′(x[i′,j′]), δ being 0 outside its borders", letters: "δ w x",
			claim:    claim{ofInput, dEdx, eq20},
			function: "ops.Conv2DBackwardData", embodied: embodiedData,
		},
		{
			number: "Eq. 21", says: "Eq. 20 = rot180{Σ_m Σ_n δ[i′+m, j′+n] w[m,n]} f′(x[i′,j′])", letters: "δ w x",
			// the sum as an H×W matrix, turned
			claim: claim{ofInput, eq20, sloped(read(correlated(matrixD, matrixW), mirror))},
			readings: []reading{
				{"rot180 turns w alone, and the sum starts at δ[i′−k₁+1, j′−k₂+1]: Σ δ[i′−k₁+1+m, j′−k₂+1+n] rot180(w)[m,n] f′",
					claim{ofInput, eq20, sloped(read(correlated(matrixD, rotated(matrixW)), earlier))}},
				{"rot180 turns the whole sum over a turned δ: rot180{Σ rot180(δ)[i′−k₁+1+m, j′−k₂+1+n] w[m,n]} f′",
					claim{ofInput, eq20, sloped(read(correlated(rotated(matrixD), matrixW), mirror, earlier))}},
				{"rot180 turns the whole sum, which starts at δ[i′−k₁+1, j′−k₂+1]",
					claim{ofInput, eq20, sloped(read(correlated(matrixD, matrixW), mirror, earlier))}},
				{"rot180 turns w alone, the sum as printed", claim{ofInput, eq20, sloped(correlated(matrixD, rotated(matrixW)))}},
			},
			function: "ops.Conv2DBackwardData", embodied: embodiedData,
		},
		{
			number: "Eq. 22", says: "Eq. 20 = (δ * rot180(w))[i′,j′] f′(x[i′,j′])", letters: "δ w x",
			claim: claim{ofInput, eq20, sloped(convolved(matrixD, rotated(matrixW)))},
			readings: []reading{
				{"* is the cross-correlation of Eq. 1 over δ with k−1 zeros around it (\"full\"): (δ ⊗ rot180(w))[i′−k₁+1, j′−k₂+1] f′",
					claim{ofInput, eq20, sloped(read(correlated(matrixD, rotated(matrixW)), earlier))}},
				{"* is Eq. 2 and w is not turned: (δ * w)[i′, j′] f′", claim{ofInput, eq20, sloped(convolved(matrixD, matrixW))}},
				{"* is Eq. 2, read at [i′+k₁−1, j′+k₂−1]", claim{ofInput, eq20, sloped(read(convolved(matrixD, rotated(matrixW)), later))}},
				{"* is the cross-correlation of Eq. 1, at [i′, j′]", claim{ofInput, eq20, sloped(correlated(matrixD, rotated(matrixW)))}},
			},
			function: "ops.Conv2DBackwardData", embodied: embodiedData,
		},
		{
			number: "max pooling", says: "the error is assigned to the winning unit, all others get 0 (N = 2, y[p,q] = max of a block)", letters: "δ X",
			claim: claim{ofBlocks, func(w *world, i, j int) rational {
				return w.pooled(variable(w.blocks, i, j), func(block []dual) dual {
					best := block[0]
					for _, d := range block[1:] {
						if best.v.Less(d.v) {
							best = d
						}
					}
					return best
				})
			}, (*world).routed},
			function: "ops.MaxPool2D", embodied: embodiedMaxPool,
		},
		{
			number: "average pooling", says: "the error is multiplied by 1/(N×N) and assigned to the whole block (N = 2)", letters: "δ X",
			claim: claim{ofBlocks, func(w *world, i, j int) rational {
				return w.pooled(variable(w.blocks, i, j), func(block []dual) dual {
					var s dual
					for _, d := range block {
						s = s.Plus(d)
					}
					return s.Times(dual{v: ratio(1, int64(len(block)))})
				})
			}, func(w *world, i, j int) rational { return w.delta.At(i/2, j/2).Times(ratio(1, 2*2)) }},
			function: "ops.AvgPool2D", embodied: embodiedAvgPool,
		},
		{
			number: "L2-norm pooling", says: "y = √ Σ x², named without a derivative: ∂y/∂x = x/y (N = 2)", letters: "δ",
			claim:    claim{ofBlocks, func(w *world, i, j int) rational { return w.pooled(variable(w.norms, i, j), norm) }, (*world).shared},
			function: "ops.L2Pool2D", embodied: embodiedL2Pool,
		},
		{
			number: "ReLU", says: "f(x) = max(0, x): f′(x) = 1 where x > 0, and 0 elsewhere (at 0, where f has no derivative, by convention)", letters: "o",
			claim: claim{ofInput, func(w *world, i, j int) rational {
				x := w.o.At(i, j)
				if x.Sign() == 0 {
					return rational{}
				}
				// no kink within ½ of an integer but 0
				return relu(x.Plus(ratio(1, 2))).Minus(relu(x.Minus(ratio(1, 2))))
			}, func(w *world, i, j int) rational {
				if w.o.At(i, j).Sign() > 0 {
					return integer(1)
				}
				return rational{}
			}},
			function: "ops.ReLU", embodied: embodiedReLUGradient,
		},
		{
			number: "the update", says: "w changed by −η ∂E/∂w lowers E wherever ∂E/∂w ≠ 0, for η small enough (1/(1 + Σ o²), summed over the windows)", letters: "o w δ",
			claim:    claim{ofNumber, func(w *world, _, _ int) rational { return w.lowered() }, func(*world, int, int) rational { return integer(1) }},
			function: "train.SGD by kernel.SGD", embodied: embodiedUpdate,
		},
	}
}

// moved is a matrix with one element changed.
func moved(m matrix, i, j int, by int64) matrix {
	to := matrix{Rows: m.Rows, Cols: m.Cols, V: append([]int64(nil), m.V...)}
	to.V[i*m.Cols+j] += by
	return to
}
