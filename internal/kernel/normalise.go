package kernel

import "math"

// A Norm says which elements of a tensor are normalised together. A group g of the Groups is made
// of Parts runs of Run elements; run p of it begins at element g·GroupStep + p·PartStep.
//
//	batch norm of N×C×L:         Groups C,   Parts N, Run L,     GroupStep L,     PartStep C·L
//	layer norm of M rows of D:   Groups M,   Parts 1, Run D,     GroupStep D
//	group norm of N×C×L in G:    Groups N·G, Parts 1, Run C/G·L, GroupStep C/G·L
type Norm struct {
	Groups, Parts, Run  int
	GroupStep, PartStep int
}

// ChannelNorm is batch norm's geometry of an N×C×L tensor.
func ChannelNorm(n, c, l int) Norm { return Norm{c, n, l, l, c * l} }

// RowNorm is the geometry of m rows of d elements, each normalised by itself.
func RowNorm(m, d int) Norm { return Norm{m, 1, d, d, 0} }

// Len is the number of elements of the tensor, Count that of a group.
func (g Norm) Len() int   { return g.Groups * g.Parts * g.Run }
func (g Norm) Count() int { return g.Parts * g.Run }

// groups calls f for each group, in parallel where there is work for it.
func (g *Norm) groups(f func(group int)) {
	spans(g.Groups, max(1, chunk/max(1, g.Count())), func(lo, hi int) {
		for i := lo; i < hi; i++ {
			f(i)
		}
	})
}

// run is run p of a group.
func run[T Float](g *Norm, x []T, group, p int) []T {
	return x[group*g.GroupStep+p*g.PartStep:][:g.Run]
}

// Moments is each group's mean and biased variance, Σ(x−mean)²/Count. Sums are made in float64. The
// variance is that of differences from the mean, so that a large mean does not cancel it away.
func Moments[T Float](g Norm, mean, variance, x []T) {
	count := float64(g.Count())
	g.groups(func(i int) {
		var sum float64
		for p := range g.Parts {
			sum += sum64(run(&g, x, i, p))
		}
		m := sum / count
		sum = 0
		for p := range g.Parts {
			sum += deviation(run(&g, x, i, p), m)
		}
		mean[i], variance[i] = T(m), T(sum/count)
	})
}

// sum64 is Σx in four float64 accumulators.
func sum64[T Float](x []T) float64 {
	var a, b, c, d float64
	for len(x) >= 4 {
		a, b, c, d = a+float64(x[0]), b+float64(x[1]), c+float64(x[2]), d+float64(x[3])
		x = x[4:]
	}
	for _, v := range x {
		a += float64(v)
	}
	return (a + b) + (c + d)
}

// deviation is Σ(x−m)².
func deviation[T Float](x []T, m float64) float64 {
	var a, b float64
	for len(x) >= 2 {
		p, q := float64(x[0])-m, float64(x[1])-m
		a, b = a+p*p, b+q*q
		x = x[2:]
	}
	for _, v := range x {
		a += (float64(v) - m) * (float64(v) - m)
	}
	return a + b
}

// Normalise is y = (x − mean)·1/√(variance+eps)·scale + bias, where each group has one mean,
// variance, scale and bias. A nil scale stands for ones, a nil bias for zeros. y may be x itself.
func Normalise[T Float](g Norm, y, x, mean, variance, scale, bias []T, eps float64) {
	g.groups(func(i int) {
		m := mean[i]
		a := T(1 / math.Sqrt(float64(variance[i])+eps))
		var b T
		if scale != nil {
			a *= scale[i]
		}
		if bias != nil {
			b = bias[i]
		}
		for p := range g.Parts {
			y, x := run(&g, y, i, p), run(&g, x, i, p)
			for j, v := range x {
				y[j] = (v-m)*a + b
			}
		}
	})
}

// NormaliseBackward is the derivative of Normalise∘Moments, the mean and variance being those of x:
//
//	dx    = scale/σ · (dy − Σdy/Count − x̂·Σ(dy·x̂)/Count),   x̂ = (x − mean)/σ,  σ = √(variance+eps)
//	dscale = Σ dy·x̂,   dbias = Σ dy
//
// Each of dx, dscale and dbias may be nil where it is not wanted. dx may be dy itself.
func NormaliseBackward[T Float](g Norm, dx, dscale, dbias, dy, x, mean, variance, scale []T, eps float64) {
	count := float64(g.Count())
	g.groups(func(i int) {
		m := float64(mean[i])
		inv := 1 / math.Sqrt(float64(variance[i])+eps)
		var sum, dot float64
		for p := range g.Parts {
			s, d := sumAndDot(run(&g, dy, i, p), run(&g, x, i, p), m)
			sum, dot = sum+s, dot+d
		}
		dot *= inv
		if dscale != nil {
			dscale[i] = T(dot)
		}
		if dbias != nil {
			dbias[i] = T(sum)
		}
		if dx == nil {
			return
		}
		a := inv
		if scale != nil {
			a *= float64(scale[i])
		}
		// dx = a·dy − c·(x − mean) − b
		b, c := T(a*sum/count), T(a*inv*dot/count)
		for p := range g.Parts {
			dx, dy, x := run(&g, dx, i, p), run(&g, dy, i, p), run(&g, x, i, p)
			scaled, centre := T(a), T(m)
			for j, v := range x {
				dx[j] = scaled*dy[j] - c*(v-centre) - b
			}
		}
	})
}

// sumAndDot is Σdy and Σdy·(x−m).
func sumAndDot[T Float](dy, x []T, m float64) (sum, dot float64) {
	dy = dy[:len(x)]
	var s, d [2]float64
	i := 0
	for ; i+2 <= len(x); i += 2 {
		p, q := float64(dy[i]), float64(dy[i+1])
		s[0], s[1] = s[0]+p, s[1]+q
		d[0], d[1] = d[0]+p*(float64(x[i])-m), d[1]+q*(float64(x[i+1])-m)
	}
	for ; i < len(x); i++ {
		s[0], d[0] = s[0]+float64(dy[i]), d[0]+float64(dy[i])*(float64(x[i])-m)
	}
	return s[0] + s[1], d[0] + d[1]
}
