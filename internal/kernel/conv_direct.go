package kernel

import (
	"math"
	"sync"

	"github.com/convgrad/convgrad/internal/simd"
)

// The direct way of a correlation gathers nothing: vectors of neighbouring outputs of a row are
// loaded from the padded image where they lie. What it saves, with few filters most of the work, it
// pays in vectors that a row does not fill.

// preferDirect compares the two ways by a count of cycles for a product with one column, in 48ths:
// multiply-adds of whole vectors, and what either has beside them.
func (p *correlation[T]) preferDirect() bool {
	lanes := p.kern.Vector
	vectors := (p.outW + lanes - 1) / lanes
	direct := 0.0
	for m := p.m; m > 0; m -= simd.DirectGroup(m) {
		// a small group waits for its loads
		direct += max(float64(simd.DirectGroup(m)), 1.75*float64(p.stepW))
	}
	direct *= 3 * float64(vectors*lanes) / float64(p.outW)
	panels := float64((p.m + p.kern.MR - 1) / p.kern.MR)
	runs := max(3, 2+float64(p.kern.NR)/float64(p.outW))
	gathered := panels*3*float64(p.kern.MR) + 3.5*runs*float64(p.stepW) + 250*panels/float64(p.depth)
	return direct < gathered
}

// rowsPay reports whether rows of outputs in lanes pay more than filters in lanes. With one or two
// vectors of filters a micro-kernel waits for its broadcasts, and its outputs have to be
// transposed. Rows that fill their vectors have neither cost: seven eighths are enough beside one
// vector of filters, and all beside two. Only a tier of 32 registers has a direct kernel that is as
// fast.
func (p *correlation[T]) rowsPay(s simd.LaneShape) bool {
	filters, rows := (p.m+s.Lanes-1)/s.Lanes*s.Lanes, (p.outW+s.Lanes-1)/s.Lanes*s.Lanes
	if s.Vectors < 4 || filters > 2*s.Lanes || p.stepW != 1 || p.dstCol != 1 {
		return false
	}
	p.kern = simd.NewTileShape[T]()
	least := 0.87
	if filters > s.Lanes {
		least = 1
	}
	return float64(p.outW*filters) >= least*float64(p.m*rows) && p.preferDirect()
}

// packDirect packs the weights of the groups, one after the other: rows' taps, then planes, then
// columns' taps.
func (p *correlation[T]) packDirect(s *scratch[T]) {
	var done func()
	if p.packed, done = p.find("direct", s, 0, p.m*p.depth); done == nil {
		return
	}
	defer done()
	at := 0
	for first := 0; first < p.m; {
		g := simd.DirectGroup(p.m - first)
		for i := range g {
			w, l := p.weights[(first+i)*p.wm:], at+i
			for _, r := range p.rows {
				for c := range p.planes {
					for _, q := range p.cols {
						p.packed[l] = w[c*p.wPlane+r.element*p.wRow+q.element]
						l += g
					}
				}
			}
		}
		first += g
		at += g * p.depth
	}
}

var segmentLists = sync.Pool{New: func() any { return new([]int) }}

// directBlock does part of the rows of a block of images.
func (p *correlation[T]) directBlock(first, count, part, parts int) {
	lo, hi := p.outH*part/parts, p.outH*(part+1)/parts
	if lo == hi { // fewer rows than parts
		return
	}
	s := takeScratch[T](2)
	defer s.free()
	padded := p.src[first*p.srcImage:]
	if !p.asIs {
		padded = s.slice(0, count*p.image+simd.Slack)
		for n := range count {
			pad(p.frame(), padded[n*p.image:], p.src[(first+n)*p.srcImage:], lo*p.stepH, (hi-1)*p.stepH+p.reach())
		}
	}
	bias := p.bias
	if bias == nil {
		bias = s.slice(1, p.m)
		clear(bias)
	}
	floor := T(math.Inf(-1))
	if p.relu {
		floor = 0
	}
	list := segmentLists.Get().(*[]int)
	defer segmentLists.Put(list)
	segs := (*list)[:0]
	lanes := p.kern.Vector
	for i := lo; i < hi; i++ {
		for n := range count {
			for j := 0; j < p.outW; j += lanes {
				segs = append(segs, n*p.image+i*p.stepH*p.pitch+j*p.stepW, (first+n)*p.dstImage+i*p.dstRow+j*p.dstCol, 1<<min(lanes, p.outW-j)-1)
			}
		}
	}
	total := len(segs)
	row := total / (hi - lo) // of each row
	for range 7 {            // a last kernel's vectors that are not wanted
		segs = append(segs, segs[0], segs[1], 0)
	}
	*list = segs
	at, taps := 0, p.planes*len(p.cols)
	for m := 0; m < p.m; {
		g := simd.DirectGroup(p.m - m)
		step := 3 * simd.DirectVectors(g)
		for i := 0; i < total; i += step {
			// Rows' taps that meet nothing but padding are left out: what is left is a run.
			from, to := p.meets(lo+i/row, lo+(min(i+step, total)-1)/row)
			simd.Direct(g, p.stepW, p.dstCol, (to-from)*taps, p.packed[at+from*taps*g:], padded, p.offsets[from*taps:], segs[i:], p.dst[m*p.dstPlane:], p.dstPlane, bias[m:], floor)
		}
		if p.six {
			for n := range count {
				for i := range g {
					upToSix(p.dst[(first+n)*p.dstImage+(m+i)*p.dstPlane+lo*p.dstRow:][:(hi-lo)*p.outW])
				}
			}
		}
		m += g
		at += g * p.depth
	}
	for n := range count {
		p.moments.wrote(first+n, (hi-lo)*p.outW)
	}
}

// meets is the run of rows' taps that meet the image in any of the rows i to last of outputs; never
// an empty one.
func (p *correlation[T]) meets(i, last int) (from, to int) {
	from, to = len(p.rows), 0
	for k, r := range p.rows {
		if last*p.stepH+r.at >= p.top && i*p.stepH+r.at < p.top+p.h {
			from, to = min(from, k), max(to, k+1)
		}
	}
	if from >= to {
		return 0, 1
	}
	return from, to
}
