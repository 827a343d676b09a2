package simd

// A TileShape says which micro-kernels Tile has: they make tiles of MR×NR and, for the last
// columns, narrower ones by multiples of Vector.
type TileShape struct{ MR, NR, Vector int }

// NewTileShape is the shape of the tier. The generic one is what the compiler keeps in registers.
func NewTileShape[T Float]() TileShape {
	if tier == Generic {
		return TileShape{2, 4, 4}
	}
	lanes := Lanes[T]()
	return TileShape{traits[tier].tileRows, 3 * lanes, lanes}
}

// The largest NR and MR·NR of any tier.
const (
	MaxColumns = 48
	MaxTile    = 8 * MaxColumns
)

// Width is that of the panel which holds so many columns: all NR, or as few vectors as do.
func (s TileShape) Width(cols int) int {
	return min(s.NR, (cols+s.Vector-1)/s.Vector*s.Vector)
}

// tile2x4 is Tile in plain Go. Eight sums are what the compiler keeps in registers.
func tile2x4[T Float](kc int, a, b, tile []T, ld int, accumulate bool) {
	var c00, c01, c02, c03, c10, c11, c12, c13 T
	a, b = a[:kc*2], b[:kc*4]
	// four rounds at a time: moving two slices on costs as much as one
	for len(a) >= 8 && len(b) >= 16 {
		{
			a0, a1, b0, b1, b2, b3 := a[0], a[1], b[0], b[1], b[2], b[3]
			c00 += a0 * b0
			c01 += a0 * b1
			c02 += a0 * b2
			c03 += a0 * b3
			c10 += a1 * b0
			c11 += a1 * b1
			c12 += a1 * b2
			c13 += a1 * b3
		}
		{
			a0, a1, b0, b1, b2, b3 := a[2], a[3], b[4], b[5], b[6], b[7]
			c00 += a0 * b0
			c01 += a0 * b1
			c02 += a0 * b2
			c03 += a0 * b3
			c10 += a1 * b0
			c11 += a1 * b1
			c12 += a1 * b2
			c13 += a1 * b3
		}
		{
			a0, a1, b0, b1, b2, b3 := a[4], a[5], b[8], b[9], b[10], b[11]
			c00 += a0 * b0
			c01 += a0 * b1
			c02 += a0 * b2
			c03 += a0 * b3
			c10 += a1 * b0
			c11 += a1 * b1
			c12 += a1 * b2
			c13 += a1 * b3
		}
		{
			a0, a1, b0, b1, b2, b3 := a[6], a[7], b[12], b[13], b[14], b[15]
			c00 += a0 * b0
			c01 += a0 * b1
			c02 += a0 * b2
			c03 += a0 * b3
			c10 += a1 * b0
			c11 += a1 * b1
			c12 += a1 * b2
			c13 += a1 * b3
		}
		a, b = a[8:], b[16:]
	}
	for len(a) >= 2 && len(b) >= 4 {
		b0, b1, b2, b3 := b[0], b[1], b[2], b[3]
		a0, a1 := a[0], a[1]
		c00 += a0 * b0
		c01 += a0 * b1
		c02 += a0 * b2
		c03 += a0 * b3
		c10 += a1 * b0
		c11 += a1 * b1
		c12 += a1 * b2
		c13 += a1 * b3
		a, b = a[2:], b[4:]
	}
	r0, r1 := tile[:4], tile[ld:][:4]
	if accumulate {
		c00, c01, c02, c03 = c00+r0[0], c01+r0[1], c02+r0[2], c03+r0[3]
		c10, c11, c12, c13 = c10+r1[0], c11+r1[1], c12+r1[2], c13+r1[3]
	}
	r0[0], r0[1], r0[2], r0[3] = c00, c01, c02, c03
	r1[0], r1[1], r1[2], r1[3] = c10, c11, c12, c13
}
