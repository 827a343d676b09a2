package kernel

// The reference is for reading: the article's sums as loops, in any number type that has + and ×.
// The fast kernels share nothing with it but the geometry's numbers. Types without operators (dual
// numbers, rationals) use Taps and Windows directly.

// Number is what the reference computes in.
type Number interface {
	~int | ~int32 | ~int64 | ~float32 | ~float64
}

// Taps visits every product of the convolution's sum once (Eqs. 1, 4 and 7): y[yi] += x[xi]·w[wi].
// Taps in the padding are not visited. The same walk is the forward pass and both derivatives, so
// that they cannot disagree about geometry.
func (g Conv) Taps(visit func(yi, xi, wi int)) {
	c, k := g.C/g.Groups, g.K/g.Groups // channels and filters of a group
	for n := range g.N {
		for kk := range g.K {
			for p := range g.P {
				for q := range g.Q {
					for cc := range c {
						for r := range g.R {
							for s := range g.S {
								if !g.Rows.Inside(p, r) || !g.Cols.Inside(q, s) {
									continue
								}
								fr, fs := r, s // the filter's element over the tap
								if g.Flip {
									fr, fs = g.R-1-r, g.S-1-s
								}
								ch := kk/k*c + cc
								visit(((n*g.K+kk)*g.P+p)*g.Q+q,
									((n*g.C+ch)*g.H+g.Rows.At(p, r))*g.W+g.Cols.At(q, s),
									((kk*c+cc)*g.R+fr)*g.S+fs)
							}
						}
					}
				}
			}
		}
	}
}

// RefForward is y = x ⋆ w (Eq. 7 without the bias).
func RefForward[T Number](g Conv, y, x, w []T) {
	clear(y)
	g.Taps(func(yi, xi, wi int) { y[yi] += x[xi] * w[wi] })
}

// RefBackwardData is dx (Eq. 20 without f′): each output's delta goes back along the weights that
// made it.
func RefBackwardData[T Number](g Conv, dx, dy, w []T) {
	clear(dx)
	g.Taps(func(yi, xi, wi int) { dx[xi] += dy[yi] * w[wi] })
}

// RefBackwardFilter is dw (Eq. 13): each weight meets the inputs that it met in the forward pass.
func RefBackwardFilter[T Number](g Conv, dw, dy, x []T) {
	clear(dw)
	g.Taps(func(yi, xi, wi int) { dw[wi] += dy[yi] * x[xi] })
}

// RefAddBias is y[n,k,p,q] += b[k].
func RefAddBias[T Number](g Conv, y, b []T) {
	for i := range y {
		y[i] += b[i/(g.P*g.Q)%g.K]
	}
}

// RefBackwardBias is db[k] = Σ_n Σ_p Σ_q dy[n,k,p,q].
func RefBackwardBias[T Number](g Conv, db, dy []T) {
	clear(db)
	for i, d := range dy {
		db[i/(g.P*g.Q)%g.K] += d
	}
}

// Windows visits every window of a pooling in the order of its output: the element yi of y is made
// of the elements at of x (in the order of the window's taps, padding left out), and at is only
// valid during the visit. plane is yi's plane n·C+c; a winner's index counts from that plane's
// first element, plane·H·W.
func (g Pool) Windows(visit func(yi, plane int, at []int)) {
	at := make([]int, 0, g.R*g.S)
	for plane := range g.N * g.C {
		for p := range g.P {
			for q := range g.Q {
				at = at[:0]
				for r := range g.R {
					for s := range g.S {
						if g.Rows.Inside(p, r) && g.Cols.Inside(q, s) {
							at = append(at, (plane*g.H+g.Rows.At(p, r))*g.W+g.Cols.At(q, s))
						}
					}
				}
				visit((plane*g.P+p)*g.Q+q, plane, at)
			}
		}
	}
}

// RefMaxWinners notes each window's winner as its index h·W+w in the plane. The first of equals
// wins; the first NaN wins over every number, as in PyTorch.
func RefMaxWinners[T Number](g Pool, winner []int32, x []T) {
	g.Windows(func(yi, plane int, at []int) {
		best := at[0]
		for _, i := range at[1:] {
			if x[i] > x[best] || (x[i] != x[i] && x[best] == x[best]) {
				best = i
			}
		}
		winner[yi] = int32(best - plane*g.H*g.W)
	})
}

// RefSumWindows is y = Σ of each window; RefSpreadWindows, its adjoint, gives each element the sum
// of its windows' dy. Average pooling is both of these times 1/divisor.
func RefSumWindows[T Number](g Pool, y, x []T) {
	clear(y)
	g.Windows(func(yi, _ int, at []int) {
		for _, i := range at {
			y[yi] += x[i]
		}
	})
}

// RefSpreadWindows is the adjoint of RefSumWindows.
func RefSpreadWindows[T Number](g Pool, dx, dy []T) {
	clear(dx)
	g.Windows(func(yi, _ int, at []int) {
		for _, i := range at {
			dx[i] += dy[yi]
		}
	})
}
