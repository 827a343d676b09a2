package kernel

import (
	"github.com/convgrad/convgrad/internal/simd"
	"github.com/convgrad/convgrad/internal/workers"
)

// Without vectors, and with few filters, gathering panels costs more than the products: a row of
// outputs is then summed tap by tap, straight out of the padded image, four taps to a pass and two
// filters at a time.

func (p *correlation[T]) runRows() {
	p.kern = simd.NewTileShape[T]()
	defer p.measure(false).free()
	buffers := takeForCall[T](1)
	defer buffers.free()
	p.packed = buffers.slice(0, p.m*p.depth)
	area := len(p.rows) * len(p.cols)
	for m := range p.m {
		w := p.weights[m*p.wm:]
		for l := range p.depth {
			p.packed[m*p.depth+l] = w[l/area*p.wPlane+p.rows[l%area/len(p.cols)].element*p.wRow+p.cols[l%len(p.cols)].element]
		}
	}
	parts := 1
	if p.n < 16 {
		parts = min((16+p.n-1)/p.n, p.outH)
	}
	workers.Each(p.small(), p.n*parts, 1, func(t int) {
		n, part := t/parts, t%parts
		s := takeScratch[T](2)
		defer s.free()
		padded := s.slice(0, p.planes*p.hp*p.wp+simd.Slack)
		pad(p.frame(), padded, p.src[n*p.srcImage:], 0, p.hp)
		sums := s.slice(1, 2*p.outW)
		for i := p.outH * part / parts; i < p.outH*(part+1)/parts; i++ {
			for m := 0; m < p.m; m += 2 {
				clear(sums)
				w := p.packed[m*p.depth:][:min(2, p.m-m)*p.depth]
				if m+1 < p.m {
					rowPair(sums[:p.outW], sums[p.outW:], padded[i*p.stepH*p.wp:], p.offsets, w[:p.depth], w[p.depth:])
				} else {
					rowSingle(sums[:p.outW], padded[i*p.stepH*p.wp:], p.offsets, w)
				}
				for k := range min(2, p.m-m) {
					row := sums[k*p.outW:][:p.outW]
					if p.bias != nil || p.relu {
						p.addBias(row, m+k)
					}
					p.scatter(row, n, i*p.outW, m+k)
				}
			}
		}
	})
}

// rowSingle is y[q] += Σ_l w[l]·x[off[l]+q].
func rowSingle[T Float](y, x []T, off []int, w []T) {
	n := len(y)
	for ; len(off) >= 4 && len(w) >= 4; off, w = off[4:], w[4:] {
		x0, x1, x2, x3 := x[off[0]:][:n], x[off[1]:][:n], x[off[2]:][:n], x[off[3]:][:n]
		w0, w1, w2, w3 := w[0], w[1], w[2], w[3]
		for q := range y {
			y[q] = y[q] + w0*x0[q] + w1*x1[q] + w2*x2[q] + w3*x3[q]
		}
	}
	for l, o := range off {
		for q, v := range x[o:][:n] {
			y[q] += w[l] * v
		}
	}
}

// rowPair is rowSingle for two filters.
func rowPair[T Float](y, z, x []T, off []int, w, u []T) {
	n := len(y)
	z = z[:n]
	for ; len(off) >= 4 && len(w) >= 4 && len(u) >= 4; off, w, u = off[4:], w[4:], u[4:] {
		x0, x1, x2, x3 := x[off[0]:][:n], x[off[1]:][:n], x[off[2]:][:n], x[off[3]:][:n]
		w0, w1, w2, w3 := w[0], w[1], w[2], w[3]
		u0, u1, u2, u3 := u[0], u[1], u[2], u[3]
		for q := range y {
			a, b, c, d := x0[q], x1[q], x2[q], x3[q]
			y[q] = y[q] + w0*a + w1*b + w2*c + w3*d
			z[q] = z[q] + u0*a + u1*b + u2*c + u3*d
		}
	}
	rowSingle(y, x, off, w)
	rowSingle(z, x, off, u)
}
