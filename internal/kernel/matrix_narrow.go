package kernel

import (
	"github.com/convgrad/convgrad/internal/simd"
	"github.com/convgrad/convgrad/internal/workers"
)

// Where b has so few columns that they fit the lanes of one micro-kernel, packing a would cost as
// much as the product itself. The convolution's micro-kernels broadcast the elements of a from
// where they lie, through a table of distances; b alone is packed.

const (
	// narrowPanel bounds the elements of the panel of b, so that it stays in a near cache.
	narrowPanel = 1 << 14
	// narrowRows is how many rows of c make a task.
	narrowRows = simd.LaneStep
)

// narrow makes the product if c is narrow enough, and reports whether it did.
func (p *product[T]) narrow(m, n, k int, accumulate bool) bool {
	shape := simd.NewLaneShape[T]()
	if n > shape.Vectors*shape.Lanes {
		return false
	}
	width := (n + shape.Lanes - 1) / shape.Lanes * shape.Lanes
	pixels := shape.Pixels(width)
	block := min(k, narrowPanel/width)
	rowStep, colStep := p.lda, 1
	if p.transA {
		rowStep, colStep = 1, p.lda
	}
	table := takeInts(block + 2*pixels)
	defer table.free()
	off, whole, last := table.ints[:block], table.ints[block:][:pixels], table.ints[block+pixels:]
	for i := range off {
		off[i] = i * colStep
	}
	for r := range pixels { // where rows are missing, the last one stands for them
		whole[r], last[r] = r*rowStep, min(r, (m-1)%pixels)*rowStep
	}
	buf := takeForCall[T](1)
	defer buf.free()
	panel := buf.slice(0, block*width)
	small := p.alone || m*n*k < 1<<20 // another core would have to fetch the panel from this one
	for k0 := 0; k0 < k; k0 += block {
		kb := min(block, k-k0)
		packPanel(panel[:kb*width], p.b, p.ldb, 0, n, width, k0, kb, p.transB, p.alpha)
		accumulate := accumulate || k0 > 0
		workers.Each(small, (m+narrowRows-1)/narrowRows, 1, func(t int) {
			s := takeScratch[T](1)
			defer s.free()
			edge := s.slice(0, pixels*width)
			for i := t * narrowRows; i < min(m, (t+1)*narrowRows); i += pixels {
				rows, at := pixels, whole
				if i+rows > m {
					rows, at = m-i, last
				}
				a, c := p.a[k0*colStep+i*rowStep:], p.c[i*p.ldc:]
				if rows == pixels && n == width {
					simd.LaneTile(shape, width, 1, a, at, off[:kb], panel, c, p.ldc, accumulate, &simd.LaneEnd[T]{})
					continue
				}
				simd.LaneTile(shape, width, 1, a, at, off[:kb], panel, edge, width, false, &simd.LaneEnd[T]{})
				for r := range rows {
					to, from := c[r*p.ldc:][:n], edge[r*width:][:n]
					if !accumulate {
						copy(to, from)
						continue
					}
					for j, v := range from {
						to[j] += v
					}
				}
			}
		})
	}
	return true
}
