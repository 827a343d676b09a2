package kernel

import (
	"math"
	"sync"
)

// The direct way of a correlation gathers nothing: vectors of neighbouring outputs of a row are loaded from the padded image where they lie. What it saves, with few filters
// most of the work, it pays in vectors that a row does not fill.

// directGroups are the numbers of filters that a direct kernel takes, and directVectors of how many vectors of outputs.
var directGroups = [...]int{8, 6, 4, 3, 2, 1}

func directVectors(m int) int { return [...]int{1: 8, 2: 8, 3: 6, 4: 5, 6: 4, 8: 3}[m] }

// group is the largest group in m filters.
func group(m int) int {
	for _, g := range directGroups {
		if g <= m {
			return g
		}
	}
	return 0
}

// preferDirect compares the two ways by a count of cycles for a product with one column, in 48ths: multiply-adds of whole vectors, and what either has beside them.
func (p *correlation[T]) preferDirect() bool {
	if !canDirect(p.stepW, p.dstCol) {
		return false
	}
	lanes := p.kern.vector
	vectors := (p.outW + lanes - 1) / lanes
	direct := 0.0
	for m := p.m; m > 0; m -= group(m) {
		direct += max(float64(group(m)), 1.75*float64(p.stepW)) // a small group waits for its loads
	}
	direct *= 3 * float64(vectors*lanes) / float64(p.outW)
	panels := float64((p.m + p.kern.mr - 1) / p.kern.mr)
	runs := max(3, 2+float64(p.kern.nr)/float64(p.outW))
	gathered := panels*3*float64(p.kern.mr) + 3.5*runs*float64(p.stepW) + 250*panels/float64(p.depth)
	return direct < gathered
}

// packDirect packs the weights of the groups, one after the other.
func (p *correlation[T]) packDirect() {
	area := len(p.rows) * len(p.cols)
	at := 0
	for first := 0; first < p.m; {
		g := group(p.m - first)
		for i := range g {
			w := p.weights[(first+i)*p.wm:]
			for l := range p.depth {
				p.packed[at+l*g+i] = w[l/area*p.wPlane+p.rows[l%area/len(p.cols)].element*p.wRow+p.cols[l%len(p.cols)].element]
			}
		}
		first += g
		at += g * p.depth
	}
}

var segmentLists = sync.Pool{New: func() any { return new([]int) }}

// directBlock does part of the rows of a block of images.
func (p *correlation[T]) directBlock(first, count, part, parts int) {
	s := takeScratch[T](2)
	defer s.free()
	image := p.planes * p.hp * p.wp
	padded := s.slice(0, count*image+slack)
	for n := range count {
		pad(p.frame(), padded[n*image:], p.src[(first+n)*p.srcImage:], 0, p.hp)
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
	lanes := p.kern.vector
	rows := count * p.outH
	for row := rows * part / parts; row < rows*(part+1)/parts; row++ {
		n, i := row/p.outH, row%p.outH
		for j := 0; j < p.outW; j += lanes {
			segs = append(segs, n*image+i*p.stepH*p.wp+j*p.stepW, (first+n)*p.dstImage+i*p.dstRow+j*p.dstCol, 1<<min(lanes, p.outW-j)-1)
		}
	}
	total := len(segs)
	if total == 0 { // the last block may have fewer rows than parts
		return
	}
	for range 7 { // a last kernel's vectors that are not wanted
		segs = append(segs, segs[0], segs[1], 0)
	}
	*list = segs
	at := 0
	for m := 0; m < p.m; {
		g := group(p.m - m)
		for i := 0; i < total; i += 3 * directVectors(g) {
			directVector(g, p.stepW, p.dstCol, p.depth, p.packed[at:], padded, p.offsets, segs[i:], p.dst[m*p.dstPlane:], p.dstPlane, bias[m:], floor)
		}
		m += g
		at += g * p.depth
	}
}
