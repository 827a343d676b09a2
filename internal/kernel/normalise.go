package kernel

import (
	"math"

	"github.com/convgrad/convgrad/internal/simd"
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
	if g.Mode == NormRaw {
		return float64(moments[group]), 1
	}
	return float64(moments[group]), 1 / math.Sqrt(float64(moments[g.Groups+group])+eps)
}

// piece is how many elements of a run Moments reads twice in a row: they stay in the nearest cache.
const piece = 1 << 12

// shortRun is the length of runs from which on they are worth two calls each.
const shortRun = 32

// Moments is each group's mean, and after all of these each group's biased variance,
// Σ(x−mean)²/Count. Sums are made in float64. A piece's squares are those of differences from its
// own mean, so that a large mean does not cancel the variance away; two pieces of n and m elements
// whose means differ by δ have n·m/(n+m)·δ² more than the sum of both (Chan, Golub and LeVeque,
// 1983).
func Moments[T Float](g Norm, moments, x []T) {
	g.blocks(func(lo, hi int) { momentsOf(&g, lo, hi, moments, x) })
}

// momentsOf is Moments for the groups [lo, hi).
func momentsOf[T Float](g *Norm, lo, hi int, moments, x []T) {
	s := takeScratch[float64](2)
	defer s.free()
	mean, squares := s.slice(0, hi-lo), s.slice(1, hi-lo)
	clear(mean)
	clear(squares)
	count := float64(g.Count())
	if g.Run < shortRun {
		g.runs(lo, hi, func(i, at int) { mean[i-lo] += sum64(x[at:][:g.Run]) })
		for k := range mean {
			mean[k] /= count
		}
		g.runs(lo, hi, func(i, at int) { squares[i-lo] += deviation(x[at:][:g.Run], mean[i-lo]) })
	} else {
		for i := lo; i < hi; i++ {
			mean[i-lo], squares[i-lo] = moments1(g, i, x)
		}
	}
	for k := range mean {
		moments[lo+k], moments[g.Groups+lo+k] = T(mean[k]), T(squares[k]/count)
	}
}

// moments1 is the mean of a group and its sum of squared differences from it.
func moments1[T Float](g *Norm, group int, x []T) (mean, squares float64) {
	var all running
	for p := range g.Parts {
		run := x[group*g.GroupStep+p*g.PartStep:][:g.Run]
		for len(run) > 0 {
			part := run[:min(piece, len(run))]
			run = run[len(part):]
			mean, squares := pieceMoments(part)
			all.add(float64(len(part)), mean, squares)
		}
	}
	return all.mean, all.squares
}

// sum64 is Σx.
func sum64[T Float](x []T) (sum float64) {
	for _, v := range x {
		sum += float64(v)
	}
	return sum
}

// deviation is Σ(x−m)².
func deviation[T Float](x []T, m float64) (sum float64) {
	for _, v := range x {
		sum += (float64(v) - m) * (float64(v) - m)
	}
	return sum
}

// An Affine is what follows x̂: scale and bias, one of each for each group, then a tensor Add, then
// a ReLU, or a ReLU6 where that is set too. A nil scale stands for ones, a nil bias or Add for
// zeros.
type Affine[T Float] struct {
	Scale, Bias, Add []T
	Eps              float64
	ReLU, ReLU6      bool
}

// Normalise is y = x̂·scale + bias, + Add, then max(0, ·) where a.ReLU is set, and min(·, 6) with
// a.ReLU6. y may be x or Add itself.
func Normalise[T Float](g Norm, y, x, moments []T, a Affine[T]) {
	if g.GroupStep < g.PartStep && g.Parts >= 4*workers.Threads() {
		// In the order in which the elements lie, which memory is faster in.
		workers.Spans(g.Parts, max(1, workers.Chunk/max(1, g.Groups*g.Run)), func(lo, hi int) {
			part, f, at := g, a, lo*g.PartStep
			if part.Parts = hi - lo; f.Add != nil {
				f.Add = f.Add[at:]
			}
			normaliseOf(&part, 0, g.Groups, y[at:], x[at:], moments, &f)
		})
		return
	}
	g.blocks(func(lo, hi int) { normaliseOf(&g, lo, hi, y, x, moments, &a) })
}

// MomentsNormalise is Moments and Normalise in one pass: a group's elements are still in a cache
// when they are read again. y must not be x.
func MomentsNormalise[T Float](g Norm, moments, y, x []T, a Affine[T]) {
	g.blocks(func(lo, hi int) {
		momentsOf(&g, lo, hi, moments, x)
		normaliseOf(&g, lo, hi, y, x, moments, &a)
	})
}

// normaliseOf is Normalise for the groups [lo, hi).
func normaliseOf[T Float](g *Norm, lo, hi int, y, x, moments []T, f *Affine[T]) {
	s := takeScratch[T](1)
	defer s.free()
	factors := s.slice(0, 3*(hi-lo)) // of each group: mean, factor and bias
	for i := lo; i < hi; i++ {
		mean, inv := centre(g, moments, i, f.Eps)
		to := factors[3*(i-lo):][:3]
		to[0], to[1], to[2] = T(mean), T(inv), 0
		if f.Scale != nil {
			to[1] = T(inv * float64(f.Scale[i]))
		}
		if f.Bias != nil {
			to[2] = f.Bias[i]
		}
	}
	g.runs(lo, hi, func(i, at int) {
		var more []T
		if f.Add != nil {
			more = f.Add[at:][:g.Run]
		}
		by := factors[3*(i-lo):][:3]
		simd.Standard(y[at:][:g.Run], x[at:][:g.Run], more, by[0], by[1], by[2], f.ReLU)
		if f.ReLU && f.ReLU6 {
			upToSix(y[at:][:g.Run])
		}
	})
}

// NormSums is each group's Σdy, and after all of these each group's Σ dy·x̂: the derivatives by
// bias and scale.
func NormSums[T Float](g Norm, sums, dy, x, moments []T, eps float64) {
	g.blocks(func(lo, hi int) { normSumsOf(&g, lo, hi, sums, dy, x, moments, eps) })
}

// normSumsOf is NormSums for the groups [lo, hi).
func normSumsOf[T Float](g *Norm, lo, hi int, sums, dy, x, moments []T, eps float64) {
	s := takeScratch[float64](2)
	defer s.free()
	sum, dot := s.slice(0, hi-lo), s.slice(1, hi-lo)
	clear(sum)
	clear(dot)
	g.runs(lo, hi, func(i, at int) {
		mean, _ := centre(g, moments, i, eps)
		a, b := simd.SumDot(dy[at:][:g.Run], x[at:][:g.Run], mean)
		sum[i-lo], dot[i-lo] = sum[i-lo]+a, dot[i-lo]+b
	})
	for k := range sum {
		_, inv := centre(g, moments, lo+k, eps)
		sums[lo+k], sums[g.Groups+lo+k] = T(sum[k]), T(dot[k]*inv)
	}
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
// where NormRaw leaves out the last part and NormFixed both. sums is what NormSums
// makes of dy. dx may be dy itself.
func NormBackward[T Float](g Norm, dx, dy, x, scale, moments, sums []T, eps float64) {
	g.blocks(func(lo, hi int) { normBackwardOf(&g, lo, hi, dx, dy, x, scale, moments, sums, eps) })
}

// NormSumsBackward is NormSums and NormBackward in one pass. dx must not be dy or x.
func NormSumsBackward[T Float](g Norm, sums, dx, dy, x, scale, moments []T, eps float64) {
	g.blocks(func(lo, hi int) {
		normSumsOf(&g, lo, hi, sums, dy, x, moments, eps)
		normBackwardOf(&g, lo, hi, dx, dy, x, scale, moments, sums, eps)
	})
}

// normBackwardOf is NormBackward for the groups [lo, hi).
func normBackwardOf[T Float](g *Norm, lo, hi int, dx, dy, x, scale, moments, sums []T, eps float64) {
	g.runs(lo, hi, func(i, at int) {
		mean, inv := centre(g, moments, i, eps)
		sum, dot := shares(g, sums, i)
		a := inv
		if scale != nil {
			a *= float64(scale[i])
		}
		dx, dy, x := dx[at:][:g.Run], dy[at:][:g.Run], x[at:][:g.Run]
		if dot == 0 { // x may be infinite
			simd.Standard(dx, dy, nil, 0, T(a), T(-a*sum), false)
			return
		}
		simd.StandardBackward(dx, dy, x, T(mean), T(a), T(a*sum), T(a*dot*inv))
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
			_, p := simd.SumDot(v[at:][:g.Run], dy[at:][:g.Run], 0)
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
			_, p := simd.SumDot(v[at:][:g.Run], dy[at:][:g.Run], 0)
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
