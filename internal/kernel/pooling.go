package kernel

import "math"

// MaxWinners notes each window's winner as its index h·W+w in the plane, by the rule of RefMaxWinners.
func MaxWinners[T Float](g Pool, winner []int32, x []T) { RefMaxWinners(g, winner, x) }

// MaxForward is MaxWinners and Gather in one pass.
func MaxForward[T Float](g Pool, y []T, winner []int32, x []T) {
	MaxWinners(g, winner, x)
	Gather(g, y, x, winner)
}

// Gather is y[i] = x[winner[i]] in each plane. Every winner must be in [0, H·W): see CheckWinners.
func Gather[T Float](g Pool, y, x []T, winner []int32) {
	in, out := g.H*g.W, g.P*g.Q
	for i, k := range winner[:g.YLen()] {
		y[i] = x[i/out*in+int(k)]
	}
}

// Scatter is the adjoint of Gather: dx[winner[i]] += dy[i] in each plane, all else 0. Every winner must be in [0, H·W): see CheckWinners.
func Scatter[T Float](g Pool, dx, dy []T, winner []int32) {
	clear(dx)
	in, out := g.H*g.W, g.P*g.Q
	for i, k := range winner[:g.YLen()] {
		dx[i/out*in+int(k)] += dy[i]
	}
}

// CheckWinners returns the position of the first winner outside [0, H·W), or −1.
func CheckWinners(g Pool, winner []int32) int {
	for i, k := range winner {
		if k < 0 || int(k) >= g.H*g.W {
			return i
		}
	}
	return -1
}

// AvgForward is the mean of each window. The divisor is R·S where countPadding is set, otherwise the number of elements of the window that are not padding.
func AvgForward[T Float](g Pool, y, x []T, countPadding bool) {
	g.Windows(func(yi, _ int, at []int) {
		var s T
		for _, i := range at {
			s += x[i]
		}
		y[yi] = s / T(g.divisor(len(at), countPadding))
	})
}

// AvgBackward is the adjoint of AvgForward.
func AvgBackward[T Float](g Pool, dx, dy []T, countPadding bool) {
	clear(dx)
	g.Windows(func(yi, _ int, at []int) {
		d := dy[yi] / T(g.divisor(len(at), countPadding))
		for _, i := range at {
			dx[i] += d
		}
	})
}

func (g Pool) divisor(inside int, countPadding bool) int {
	if countPadding {
		return g.R * g.S
	}
	return inside
}

// L2Forward is y = √Σ x² over each window, scaled so that it neither overflows nor underflows where y itself does not.
func L2Forward[T Float](g Pool, y, x []T) {
	g.Windows(func(yi, _ int, at []int) {
		var n float64
		for _, i := range at {
			n = math.Hypot(n, float64(x[i]))
		}
		y[yi] = T(n)
	})
}

// L2Backward is dx[i] = Σ over i's windows of x[i]·dy/y, where a window with y = 0 gives 0.
func L2Backward[T Float](g Pool, dx, x, y, dy []T) {
	clear(dx)
	g.Windows(func(yi, _ int, at []int) {
		if y[yi] == 0 {
			return
		}
		for _, i := range at {
			dx[i] += x[i] / y[yi] * dy[yi]
		}
	})
}
