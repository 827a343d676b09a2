package simd

// A LaneShape says which micro-kernels LaneTile has: up to so many vectors of so many lanes. There
// are none where Vectors is 0.
type LaneShape struct{ Vectors, Lanes int }

// NewLaneShape is the shape of the tier.
func NewLaneShape[T Float]() LaneShape {
	return LaneShape{traits[tier].laneVectors, Lanes[T]()}
}

// MaxPixels is the most outputs that a LaneTile has. Every number of them divides LaneStep.
const (
	MaxPixels = 12
	LaneStep  = 24
)

// Pixels is how many outputs a tile of that width has.
func (s LaneShape) Pixels(width int) int {
	switch vectors := width / s.Lanes; {
	case vectors == s.Vectors:
		return 6
	case vectors == 3:
		return 8
	}
	return MaxPixels
}

// A LaneEnd says how LaneTile finishes: with a bias, of as many elements as the tile is wide, or
// none, and with Cut, the least and the greatest result, or none. On its way, one for each product
// of a sum, it asks the caches for Touches lines, Step apart, from Touch on, and Next farther on
// for the next tile, where it has registers for that.
type LaneEnd[T Float] struct {
	Bias, Cut           []T
	Touch               []T
	Step, Touches, Next int
}

// Outer2x4 stands for LaneTile where there are no vectors, for 2 outputs and 4 filters:
// c[i·4+j] (+)= Σ_q x[offsets[i] + at[q]]·d[q·4+j].
func Outer2x4[T Float](at []int, x []T, offsets []int, d, c []T, accumulate bool) {
	var c00, c01, c02, c03, c10, c11, c12, c13 T
	x0, x1 := x[offsets[0]:], x[offsets[1]:]
	for q, p := range at {
		b := d[q*4:][:4]
		b0, b1, b2, b3 := b[0], b[1], b[2], b[3]
		a0, a1 := x0[p], x1[p]
		c00 += a0 * b0
		c01 += a0 * b1
		c02 += a0 * b2
		c03 += a0 * b3
		c10 += a1 * b0
		c11 += a1 * b1
		c12 += a1 * b2
		c13 += a1 * b3
	}
	c = c[:8]
	if accumulate {
		c00, c01, c02, c03 = c00+c[0], c01+c[1], c02+c[2], c03+c[3]
		c10, c11, c12, c13 = c10+c[4], c11+c[5], c12+c[6], c13+c[7]
	}
	c[0], c[1], c[2], c[3] = c00, c01, c02, c03
	c[4], c[5], c[6], c[7] = c10, c11, c12, c13
}
