package kernel

import (
	"math"

	"github.com/convgrad/convgrad/internal/workers"
)

// A Norm says which elements of a tensor are normalised together. A group g of the Groups is made
// of Parts runs of Run elements; run p of it begins at element g·GroupStep + p·PartStep.
//
//	channels of N×C×L: Groups C,   Parts N, Run L, GroupStep L, PartStep C·L
//	rows of M×D:       Groups M,   Parts 1, Run D, GroupStep D
type Norm struct {
	Groups, Parts, Run  int
	GroupStep, PartStep int
	Mode                NormMode
}

// A NormMode says what x̂ is, to which scale and bias are applied.
type NormMode int

// The modes of a Norm.
const (
	NormBatch NormMode = iota // (x − mean)/√(variance + eps), the moments being those of x itself
	NormFixed                 // the same, the moments being constants
	NormRaw                   // x − mean, the mean being that of x itself
	NormPlain                 // x
)

// ChannelNorm is the geometry of the channels of an N×C×L tensor.
func ChannelNorm(n, c, l int, mode NormMode) Norm { return Norm{c, n, l, l, c * l, mode} }

// RowNorm is the geometry of m rows of d elements.
func RowNorm(m, d int, mode NormMode) Norm { return Norm{m, 1, d, d, 0, mode} }

// Len is the number of elements of the tensor, Count that of a group.
func (g Norm) Len() int   { return g.Groups * g.Parts * g.Run }
func (g Norm) Count() int { return g.Parts * g.Run }

// blocks calls f for consecutive groups [lo, hi), in parallel where there is work for it. A block
// is one group unless runs are short: then a block's runs lie side by side in memory.
func (g *Norm) blocks(f func(lo, hi int)) {
	size := max(1, 256/max(g.Run, 1))
	blocks := (g.Groups + size - 1) / size
	workers.Spans(blocks, max(1, workers.Chunk/max(1, g.Count()*size)), func(first, last int) {
		for i := first; i < last; i++ {
			f(i*size, min(g.Groups, (i+1)*size))
		}
	})
}

// runs calls f for each run of the groups [lo, hi).
func (g *Norm) runs(lo, hi int, f func(group, at int)) {
	for p := range g.Parts {
		for i := lo; i < hi; i++ {
			f(i, i*g.GroupStep+p*g.PartStep)
		}
	}
}

// centre is the mean that x̂ subtracts in a group, and inv what it multiplies by.
func centre[T Float](g *Norm, moments []T, group int, eps float64) (mean, inv float64) {
	switch g.Mode {
	case NormPlain:
		return 0, 1
	case NormRaw:
		return float64(moments[group]), 1
	}
	return float64(moments[group]), 1 / math.Sqrt(float64(moments[g.Groups+group])+eps)
}

// Moments is each group's mean, and after all of these each group's biased variance,
// Σ(x−mean)²/Count. Sums are made in float64. The variance is that of differences from the mean, so
// that a large mean does not cancel it away.
func Moments[T Float](g Norm, moments, x []T) {
	count := float64(g.Count())
	g.blocks(func(lo, hi int) {
		s := takeScratch[float64](2)
		defer s.free()
		mean, sum := s.slice(0, hi-lo), s.slice(1, hi-lo)
		clear(mean)
		g.runs(lo, hi, func(i, at int) { mean[i-lo] += sum64(x[at:][:g.Run]) })
		for k := range mean {
			mean[k] /= count
		}
		clear(sum)
		g.runs(lo, hi, func(i, at int) { sum[i-lo] += deviation(x[at:][:g.Run], mean[i-lo]) })
		for k := range mean {
			moments[lo+k], moments[g.Groups+lo+k] = T(mean[k]), T(sum[k]/count)
		}
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

// Normalise is y = x̂·scale + bias, with one scale and one bias for each group. A nil scale stands
// for ones, a nil bias for zeros. y may be x itself.
func Normalise[T Float](g Norm, y, x, scale, bias, moments []T, eps float64) {
	g.blocks(func(lo, hi int) {
		g.runs(lo, hi, func(i, at int) {
			mean, inv := centre(&g, moments, i, eps)
			m, a, b := T(mean), T(inv), T(0)
			if scale != nil {
				a = T(inv * float64(scale[i]))
			}
			if bias != nil {
				b = bias[i]
			}
			y, x := y[at:][:g.Run], x[at:][:g.Run]
			for j, v := range x {
				y[j] = (v-m)*a + b
			}
		})
	})
}

// NormSums is each group's Σdy, and after all of these each group's Σ dy·x̂: the derivatives by
// bias and scale.
func NormSums[T Float](g Norm, sums, dy, x, moments []T, eps float64) {
	g.blocks(func(lo, hi int) {
		s := takeScratch[float64](2)
		defer s.free()
		sum, dot := s.slice(0, hi-lo), s.slice(1, hi-lo)
		clear(sum)
		clear(dot)
		g.runs(lo, hi, func(i, at int) {
			mean, _ := centre(&g, moments, i, eps)
			a, b := sumAndDot(dy[at:][:g.Run], x[at:][:g.Run], mean)
			sum[i-lo], dot[i-lo] = sum[i-lo]+a, dot[i-lo]+b
		})
		for k := range sum {
			_, inv := centre(&g, moments, lo+k, eps)
			sums[lo+k], sums[g.Groups+lo+k] = T(sum[k]), T(dot[k]*inv)
		}
	})
}

// sumAndDot is Σdy and Σ dy·(x−m).
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

// shares are the parts of NormSums that the derivative by x takes off again: what x̂'s moments owe
// to x. They are divided by Count.
func shares[T Float](g *Norm, sums []T, group int) (sum, dot float64) {
	count := float64(g.Count())
	switch g.Mode {
	case NormBatch:
		return float64(sums[group]) / count, float64(sums[g.Groups+group]) / count
	case NormRaw:
		return float64(sums[group]) / count, 0
	}
	return 0, 0
}

// NormBackward is the derivative of Normalise by x, moments that are those of x included:
//
//	dx = scale·inv·(dy − Σdy/Count − x̂·Σ(dy·x̂)/Count)
//
// where NormRaw leaves out the last part and NormFixed and NormPlain both. sums is what NormSums
// makes of dy. dx may be dy itself.
func NormBackward[T Float](g Norm, dx, dy, x, scale, moments, sums []T, eps float64) {
	g.blocks(func(lo, hi int) {
		g.runs(lo, hi, func(i, at int) {
			mean, inv := centre(&g, moments, i, eps)
			sum, dot := shares(&g, sums, i)
			a := inv
			if scale != nil {
				a *= float64(scale[i])
			}
			scaled, m, b, c := T(a), T(mean), T(a*sum), T(a*dot*inv)
			dx, dy, x := dx[at:][:g.Run], dy[at:][:g.Run], x[at:][:g.Run]
			if dot == 0 { // x may be infinite
				for j, d := range dy {
					dx[j] = scaled*d - b
				}
				return
			}
			for j, v := range x {
				dx[j] = scaled*dy[j] - c*(v-m) - b
			}
		})
	})
}

// NormSecond is the derivative of ⟨v, NormBackward⟩ by x in mode NormBatch; sums and sumsV are what
// NormSums makes of dy and of v. With s, t the sums of dy, v divided by Count and
// S = Σv·dy/Count − s₀·t₀ − s₁·t₁,
//
//	dx = −scale·inv²·(s₁·v + t₁·dy − s₁·t₀ − t₁·s₀ + x̂·(S − 2·s₁·t₁))
func NormSecond[T Float](g Norm, dx, v, dy, x, scale, moments, sums, sumsV []T, eps float64) {
	count := float64(g.Count())
	g.blocks(func(lo, hi int) {
		s := takeScratch[float64](1)
		defer s.free()
		products := s.slice(0, hi-lo)
		clear(products)
		g.runs(lo, hi, func(i, at int) {
			_, p := sumAndDot(v[at:][:g.Run], dy[at:][:g.Run], 0)
			products[i-lo] += p
		})
		g.runs(lo, hi, func(i, at int) {
			mean, inv := centre(&g, moments, i, eps)
			s0, s1 := shares(&g, sums, i)
			t0, t1 := shares(&g, sumsV, i)
			rest := products[i-lo]/count - s0*t0 - 3*s1*t1
			a := -inv * inv
			if scale != nil {
				a *= float64(scale[i])
			}
			for j := at; j < at+g.Run; j++ {
				normal := (float64(x[j]) - mean) * inv
				dx[j] = T(a * (s1*float64(v[j]) + t1*float64(dy[j]) - s1*t0 - t1*s0 + normal*rest))
			}
		})
	})
}

// NormScaleSecond is the derivative of ⟨v, NormBackward⟩ by scale: inv·(Σv·dy − Count·(s₀·t₀ +
// s₁·t₁)), where the modes leave out what NormBackward does.
func NormScaleSecond[T Float](g Norm, dscale, v, dy, moments, sums, sumsV []T, eps float64) {
	count := float64(g.Count())
	g.blocks(func(lo, hi int) {
		s := takeScratch[float64](1)
		defer s.free()
		products := s.slice(0, hi-lo)
		clear(products)
		g.runs(lo, hi, func(i, at int) {
			_, p := sumAndDot(v[at:][:g.Run], dy[at:][:g.Run], 0)
			products[i-lo] += p
		})
		for k := range products {
			_, inv := centre(&g, moments, lo+k, eps)
			s0, s1 := shares(&g, sums, lo+k)
			t0, t1 := shares(&g, sumsV, lo+k)
			dscale[lo+k] = T(inv * (products[k] - count*(s0*t0+s1*t1)))
		}
	})
}
